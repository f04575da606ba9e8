//! The directory: asked for, tried, and described.

use std::io::{BufRead as _, Write as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use secrecy::ExposeSecret as _;

use super::{InitArgs, Kind, ask, broken, usage};
use crate::cli::{Context, Exit};
use crate::config::DraftDirectory;
use crate::cycle::{CycleError, chain};
use crate::directory::{self, Bind, DirectorySettings, LdapSettings, LdifSettings, Servers};
use crate::ids::Dn;
use crate::model::DirectoryKind;
use crate::plan::shown;
use crate::private_file;

/// A directory that answers.
pub struct Source {
    pub settings: DirectorySettings,
    pub draft: DraftDirectory,
    pub base_dn: Dn,
    /// The password that was typed.
    pub made: Option<Typed>,
}

/// A password on disk. It goes again with this, however `init` ends, unless it is kept.
pub struct Typed {
    path: PathBuf,
    kept: bool,
}

impl Typed {
    fn of(path: PathBuf) -> Self {
        Self { path, kept: false }
    }

    /// There is a config now that names it.
    pub fn keep(mut self) {
        self.kept = true;
    }
}

impl Drop for Typed {
    fn drop(&mut self) {
        if !self.kept {
            // It is the user's own to remove where that does not work.
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

pub async fn find(context: &Context, args: &InitArgs, asks: bool) -> Result<Source, Exit> {
    match &args.ldif {
        Some(file) => ldif(context, args, file),
        None => ldap(context, args, asks).await,
    }
}

fn ldif(context: &Context, args: &InitArgs, file: &Path) -> Result<Source, Exit> {
    let domain = match &args.base_dn {
        Some(text) => text.clone(),
        None => domain_of(file).map_err(|why| usage(context, &format!("{}: {why}", file.display())))?,
    };
    let base_dn = parse(context, &domain)?;
    let kind = kind_of(args.kind.unwrap_or(Kind::ActiveDirectory));
    let settings =
        DirectorySettings::Ldif(LdifSettings { file: file.to_owned(), base_dn: base_dn.clone(), kind });
    let draft = DraftDirectory::Ldif { file: from_config(context, file), schema: word(kind) };
    Ok(Source { settings, draft, base_dn, made: None })
}

/// The domain of the first entry.
fn domain_of(file: &Path) -> Result<String, String> {
    let input = std::fs::File::open(file).map_err(|error| error.to_string())?;
    for line in std::io::BufReader::new(input).lines().take(10_000) {
        let line = line.map_err(|error| error.to_string())?;
        let Some(dn) = line.strip_prefix("dn: ").and_then(|text| Dn::parse(text).ok()) else { continue };
        let domain = dn.dns_domain();
        if !domain.is_empty() {
            let parts: Vec<String> = domain.split('.').map(|part| format!("DC={part}")).collect();
            return Ok(parts.join(","));
        }
    }
    Err("no entry at its beginning names a domain (DC=…): give --base-dn".to_owned())
}

async fn ldap(context: &Context, args: &InitArgs, asks: bool) -> Result<Source, Exit> {
    let failed = |error| broken(context, &error);
    let mut urls = args.directory_url.clone();
    let mut bind_dn = args.bind_dn.clone();
    let mut password = args.password_file.clone();
    let mut ca_file = args.ca_file.clone();
    let mut made = None;
    loop {
        if urls.is_empty() {
            urls = vec![ask::line("Directory server (ldaps://host)", None).map_err(failed)?];
        }
        let bind = match bind_dn.clone() {
            Some(dn) => dn,
            None => ask::line("Account that reads, as a DN or user@domain", None).map_err(failed)?,
        };
        let file = match password.clone() {
            Some(file) => file,
            None => {
                let typed = typed(context)?;
                let file = typed.path.clone();
                made = Some(typed);
                file
            }
        };
        let plaintext = args.allow_plaintext;
        let starttls = !plaintext && urls.iter().any(|url| url.starts_with("ldap://"));
        let settings = LdapSettings {
            kind: DirectoryKind::Ldap,
            servers: Servers::Urls(urls.clone()),
            base_dn: nowhere(context)?,
            bind: Bind::with_file(&bind, file.clone()),
            ca_file: ca_file.clone(),
            starttls,
            allow_plaintext: plaintext,
            page_size: 500,
            timeout: Duration::from_secs(30),
        };
        let greeting = match directory::greet(&settings).await {
            Ok(greeting) => greeting,
            Err(error) => {
                let of_account = error.is_of_the_account();
                context.complain(&format!("error: {}", chain(&error)));
                made = None;
                if !asks {
                    let error = CycleError::Directory(error);
                    return Err(Exit::of_run(&error.into()));
                }
                // What was wrong is asked for anew.
                password = args.password_file.clone().filter(|_| !of_account);
                if of_account {
                    bind_dn = None;
                } else {
                    urls.clear();
                    ca_file = ask::optional("File with the CAs to trust (empty: the system's)")
                        .map_err(failed)?
                        .map(PathBuf::from);
                }
                continue;
            }
        };
        let host =
            greeting.host.as_deref().or(greeting.vendor.as_deref()).unwrap_or("it does not tell its name");
        let kind = args.kind.map_or(greeting.kind, kind_of);
        context.say(&format!(
            "Directory: connected to {} and bound ({}); it is {}.",
            greeting.server,
            shown(host),
            if kind == DirectoryKind::ActiveDirectory { "Active Directory" } else { "an LDAP directory" }
        ));
        let proposed = greeting.bases.first().map(ToString::to_string);
        let base = match (&args.base_dn, asks, proposed) {
            (Some(base), ..) => base.clone(),
            (None, true, proposed) => ask::line("Base DN", proposed.as_deref()).map_err(failed)?,
            (None, false, Some(base))
                if greeting.bases.len() == 1 || kind == DirectoryKind::ActiveDirectory =>
            {
                base
            }
            (None, false, _) => {
                let bases: Vec<String> = greeting.bases.iter().map(|dn| shown(dn.as_str())).collect();
                let text = format!("--base-dn is missing; the server names {}", bases.join(" and "));
                return Err(usage(context, if bases.is_empty() { "--base-dn is missing" } else { &text }));
            }
        };
        let base_dn = parse(context, &base)?;
        let draft = DraftDirectory::Ldap {
            kind: word(kind),
            urls,
            bind_dn: bind,
            password_file: from_config(context, &file),
            ca_file: ca_file.as_ref().map(|file| from_config(context, file)),
            starttls,
            allow_plaintext: plaintext,
        };
        let settings = LdapSettings { kind, base_dn: base_dn.clone(), ..settings };
        return Ok(Source { settings: DirectorySettings::Ldap(settings), draft, base_dn, made });
    }
}

/// Only to be able to ask for what the server says of itself.
fn nowhere(context: &Context) -> Result<Dn, Exit> {
    parse(context, "DC=invalid")
}

/// A password that is typed goes into a file beside the config, which nobody else may read.
fn typed(context: &Context) -> Result<Typed, Exit> {
    let failed = |error| broken(context, &error);
    let mut path = context.global.config.clone().into_os_string();
    path.push(".password");
    let path = PathBuf::from(path);
    // Nobody is to type it for nothing.
    if path.symlink_metadata().is_ok() {
        let text = format!(
            "{} exists, perhaps of an `init` that was killed: give it as --password-file, or remove it",
            path.display()
        );
        return Err(usage(context, &text));
    }
    let password = ask::secret("Its password").map_err(failed)?;
    let mut file = private_file::anew(&path).map_err(failed)?;
    let typed = Typed::of(path);
    file.write_all(password.expose_secret().as_bytes()).and_then(|()| file.sync_all()).map_err(failed)?;
    context.say(&format!("The password is in {}, which only you may read.", typed.path.display()));
    Ok(typed)
}

/// A path as the config, whose relative paths start where it is, has to have it.
pub fn from_config(context: &Context, file: &Path) -> String {
    let beside = context.global.config.parent().filter(|d| !d.as_os_str().is_empty());
    let text = match beside {
        Some(dir) if file.is_relative() => match file.strip_prefix(dir) {
            Ok(inner) => inner.to_owned(),
            Err(_) => std::path::absolute(file).unwrap_or_else(|_| file.to_owned()),
        },
        _ => file.to_owned(),
    };
    text.display().to_string()
}

fn parse(context: &Context, text: &str) -> Result<Dn, Exit> {
    Dn::parse(text).map_err(|error| usage(context, &format!("{} is no DN: {error}", shown(text))))
}

fn kind_of(kind: Kind) -> DirectoryKind {
    match kind {
        Kind::ActiveDirectory => DirectoryKind::ActiveDirectory,
        Kind::Ldap => DirectoryKind::Ldap,
    }
}

fn word(kind: DirectoryKind) -> &'static str {
    match kind {
        DirectoryKind::ActiveDirectory => "active-directory",
        DirectoryKind::Ldap => "ldap",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_typed_password_stays_only_with_a_config() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("password");
        for (kept, there) in [(false, false), (true, true)] {
            std::fs::write(&path, "secret").unwrap();
            let typed = Typed::of(path.clone());
            if kept {
                typed.keep();
            } else {
                drop(typed);
            }
            assert_eq!(path.exists(), there);
        }
    }
}
