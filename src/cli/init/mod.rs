//! `idcsync init`: from a directory and a target to a first config and its dry run. Each answer is tried at once.

mod ask;
mod groups;
mod source;

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use serde_json::json;

use super::scope::failed as write_failed;
use super::sync::{explain, plan as preview};
use super::{Context, Exit};
use crate::config::{Config, Draft, DraftTarget, OnDisk, draft};
use crate::plan::{counts, shown};
use crate::run::open;
use crate::target::{Access, Gate};
use source::Source;

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Kind {
    ActiveDirectory,
    Ldap,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum TargetKind {
    Sandbox,
    IdentityStore,
    Scim,
}

/// What is not given is asked for on a terminal, or guessed from what the directory says.
#[derive(Debug, Args)]
pub struct InitArgs {
    /// A server: ldaps://host, or ldap://host (then StartTLS is used). May be repeated
    #[arg(long, value_name = "URL", conflicts_with = "ldif")]
    directory_url: Vec<String>,
    /// An LDIF export in place of a server
    #[arg(long, value_name = "FILE")]
    ldif: Option<PathBuf>,
    /// Without it, what the server says of itself decides
    #[arg(long, value_enum)]
    kind: Option<Kind>,
    /// Without it, the naming context that the server names first
    #[arg(long, value_name = "DN")]
    base_dn: Option<String>,
    /// The account that reads
    #[arg(long, value_name = "DN")]
    bind_dn: Option<String>,
    /// A file with its password
    #[arg(long, value_name = "FILE")]
    password_file: Option<PathBuf>,
    /// The CAs to trust, as PEM, instead of the system's
    #[arg(long, value_name = "FILE")]
    ca_file: Option<PathBuf>,
    /// Let the password travel over ldap:// without StartTLS
    #[arg(long)]
    allow_plaintext: bool,
    /// Where identities are written. The sandbox, a stand-in within idcsync, is for a rehearsal
    #[arg(long, value_enum, default_value = "sandbox")]
    target: TargetKind,
    /// Found through sso:ListInstances when left out
    #[arg(long, value_name = "ID")]
    identity_store_id: Option<String>,
    /// By the AWS SDK's own rules when left out
    #[arg(long)]
    region: Option<String>,
    /// The SCIM endpoint, for --target scim
    #[arg(long, value_name = "URL", required_if_eq("target", "scim"))]
    scim_url: Option<String>,
    /// A file with its token
    #[arg(long, value_name = "FILE", required_if_eq("target", "scim"))]
    token_file: Option<PathBuf>,
    /// A group of the scope. May be repeated
    #[arg(long, value_name = "NAME")]
    group: Vec<String>,
    /// The name of the profile; without it, from the base DN
    #[arg(long, value_name = "NAME")]
    profile: Option<String>,
    /// Ask nothing: what is missing is an error, and the file is written
    #[arg(long)]
    yes: bool,
}

pub async fn run(context: &Context, args: &InitArgs) -> Exit {
    match init(context, args).await {
        Ok(exit) | Err(exit) => exit,
    }
}

async fn init(context: &Context, args: &InitArgs) -> Result<Exit, Exit> {
    let path = &context.global.config;
    if path.symlink_metadata().is_ok() {
        return Err(usage(
            context,
            &format!("{} exists, and is left alone: name another file with --config", path.display()),
        ));
    }
    let asks = ask::can_ask() && !args.yes;
    if !asks {
        let missing = missing(args);
        // Groups can be proposed where everything else is there.
        if !missing.is_empty() {
            return Err(usage(
                context,
                &format!("there is nobody to ask, and these are missing: {}", missing.join(", ")),
            ));
        }
    }
    let mut source = source::find(context, args, asks).await?;
    let groups = groups::choose(context, args, &source, asks).await?;
    let draft_of = Draft {
        profile: args.profile.clone().unwrap_or_else(|| profile_name(&source, args.target)),
        directory: source.draft.clone(),
        base_dn: source.base_dn.to_string(),
        groups,
        target: target(context, args),
        state: String::new(),
    };
    let name = draft_of.profile.clone();
    let mut draft_of = Draft { state: format!("sqlite:{name}.db"), ..draft_of };
    if let DraftTarget::Sandbox { store } = &mut draft_of.target {
        *store = format!("{name}-store.json");
    }
    let text = draft(&draft_of);
    let config = Config::from_bytes(text.as_bytes(), path).map_err(|error| {
        context.explain_config(&error);
        Exit::Usage
    })?;
    let reached = open::target(&config, Access::ReadOnly, Gate::Open).await;
    let target = reached.map_err(|error| explain(context, error))?;
    let store = open::identity_store(target.as_ref()).await.map_err(|error| explain(context, error))?;
    context.say(&target_line(args.target, store.as_str()));
    if asks && !ask::yes(&format!("Write {}?", path.display())).map_err(|e| broken(context, &e))? {
        context.say("Nothing was written.");
        return Ok(Exit::Done);
    }
    OnDisk::create(path, &text).map_err(|error| write_failed(context, &error))?;
    if let Some(password) = source.made.take() {
        password.keep();
    }
    context.say(&format!("Written: {}.", path.display()));
    first_look(context, &config).await
}

/// What a first cycle would do.
async fn first_look(context: &Context, config: &Config) -> Result<Exit, Exit> {
    let path = context.global.config.display();
    let prepared = Box::pin(preview(context, config, &open::profile(config))).await?;
    let approved = &prepared.approved;
    let (counts, held) = (counts(approved), approved.held().len());
    context.give(
        || {
            json!({
                "schema": "idcsync/init/v1",
                "profile": config.profile,
                "config": path.to_string(),
                "steps": approved.plan().steps.len(),
                "counts": counts,
                "held": held,
                "findings": prepared.findings,
            })
        },
        || {
            let would = if counts.is_empty() { "nothing to do".to_owned() } else { counts.join(", ") };
            let mut text = format!("Dry run of profile {}: {would}.\n", config.profile);
            if held > 0 {
                text += &format!("Held for approval: {held}.\n");
            }
            let findings = prepared.findings.len();
            if findings > 0 {
                text += &format!("Findings: {findings}; the dry run tells them.\n");
            }
            let option = if path.to_string() == "idcsync.toml" { String::new() } else { format!(" --config {path}") };
            text + &format!(
                "\nNext:\n  idcsync check{option}            every problem in one go\n  idcsync sync{option} --dry-run   \
                 each step with its reason\n  idcsync sync{option}             do it\n"
            )
        },
    )?;
    Ok(if prepared.cut_short.is_some() { Exit::Unreachable } else { Exit::Done })
}

/// The flags without which nothing can be tried.
fn missing(args: &InitArgs) -> Vec<&'static str> {
    let mut missing = Vec::new();
    if args.directory_url.is_empty() && args.ldif.is_none() {
        missing.push("--directory-url (or --ldif)");
    }
    if args.ldif.is_none() {
        if args.bind_dn.is_none() {
            missing.push("--bind-dn");
        }
        if args.password_file.is_none() {
            missing.push("--password-file");
        }
    }
    if args.group.is_empty() && !missing.is_empty() {
        missing.push("--group");
    }
    missing
}

/// The first component of the domain; a rehearsal is another profile than what comes later.
fn profile_name(source: &Source, target: TargetKind) -> String {
    let domain = source.base_dn.dns_domain();
    let plain = |c: &char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
    let name: String = domain.split('.').next().unwrap_or_default().chars().filter(plain).take(40).collect();
    let name = name.trim_start_matches(['-', '_']);
    let name = if name.is_empty() { "directory" } else { name };
    if target == TargetKind::Sandbox { format!("{name}-rehearsal") } else { name.to_owned() }
}

/// Nobody is to take a rehearsal for the real thing.
fn target_line(kind: TargetKind, store: &str) -> String {
    let store = shown(store);
    match kind {
        TargetKind::Sandbox => {
            format!("Target: the sandbox within idcsync (identity store {store}); for AWS see --target.")
        }
        TargetKind::IdentityStore | TargetKind::Scim => format!("Target: identity store {store}."),
    }
}

fn target(context: &Context, args: &InitArgs) -> DraftTarget {
    match args.target {
        TargetKind::Sandbox => DraftTarget::Sandbox { store: String::new() },
        TargetKind::IdentityStore => {
            DraftTarget::IdentityStore { id: args.identity_store_id.clone(), region: args.region.clone() }
        }
        TargetKind::Scim => DraftTarget::Scim {
            url: args.scim_url.clone().unwrap_or_default(),
            token_file: args.token_file.as_ref().map(|f| source::from_config(context, f)).unwrap_or_default(),
        },
    }
}

fn usage(context: &Context, why: &str) -> Exit {
    context.complain(&format!("error: {why}"));
    Exit::Usage
}

fn broken(context: &Context, error: &std::io::Error) -> Exit {
    context.complain(&format!("error: {error}: nothing was written"));
    Exit::Usage
}
