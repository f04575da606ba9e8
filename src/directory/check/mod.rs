//! Everything about the directory that can be tried without changing anything, one line each: for `idcsync check`.
//! `server` is about reaching a server, `rights` about what the account may read there, `limits` about how much at once,
//! `condition` about how the server is and what it tells of changes.

mod condition;
mod limits;
mod rights;
mod server;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::error::DirectoryError;
use super::ldap::{Opened, Opener, names_a_domain, servers};
use super::reader::Reader as _;
use super::settings::{DirectorySettings, LdapSettings, LdifSettings, Servers};
use super::{filter, ldif, walk};
use crate::model::{
    CheckLine, CheckState, DirectoryKind, EntryOutcome, EntryRead, Kind, Known, ObjectRef, Pin, ReadRequest,
    Snapshot, Wanted,
};

/// Checks the directory. Each configured server is tried; the permissions, the limits and the scope are looked at on the
/// first one that answers. `known`: what the entries stood for in the last cycle. `by_changes`: the config asks for reads
/// of changes.
pub async fn check(
    settings: &DirectorySettings,
    wanted: &Wanted,
    known: &Known,
    by_changes: bool,
) -> Vec<CheckLine> {
    let mut lines = Vec::new();
    if let Some(text) = &wanted.user_filter {
        lines.push(match filter::check_filter(text) {
            Ok(()) => CheckLine::ok("user filter", text.clone()),
            Err(why) => CheckLine::fail("user filter", format!("{text}: {why}"), "correct `user-filter`"),
        });
    }
    let request = ReadRequest {
        wanted: wanted.clone(),
        pins: BTreeMap::new(),
        now: Timestamp::UNIX_EPOCH,
        server: None,
    };
    match settings {
        DirectorySettings::Ldap(settings) => {
            Box::pin(check_ldap(settings, request, known, by_changes, &mut lines)).await;
        }
        DirectorySettings::Ldif(settings) => check_ldif(settings, request, known, &mut lines).await,
    }
    lines
}

async fn check_ldap(
    settings: &LdapSettings,
    mut request: ReadRequest,
    known: &Known,
    by_changes: bool,
    lines: &mut Vec<CheckLine>,
) {
    let opener = match Opener::looking_on(settings) {
        Ok(opener) => opener,
        Err(error) => return lines.push(failed("directory settings", &error)),
    };
    let urls = match servers(settings).await {
        Ok(urls) => urls,
        Err(error) => return lines.push(failed("server discovery", &error)),
    };
    if let Servers::Discover(domain) = &settings.servers {
        lines.push(CheckLine::ok("server discovery", format!("{domain}: {}", urls.join(", "))));
    }
    let mut chosen: Option<Opened> = None;
    let mut refused: Option<String> = None;
    for url in urls {
        let tried = match &refused {
            // One wrong password is enough: each counts towards a lockout.
            Some(by) => server::only_reach(settings, &url, by, lines).await,
            None => server::open(&opener, settings, &url, names_a_domain(&request), lines).await,
        };
        match tried {
            server::Tried::Opened(opened) => {
                condition::of_server(&opened, lines).await;
                match chosen {
                    None => chosen = Some(*opened),
                    Some(_) => opened.reader.close().await,
                }
            }
            server::Tried::Final => refused = Some(url),
            server::Tried::Next => {}
        }
    }
    let Some(opened) = chosen else { return };
    describe(&opened, settings, lines);
    rights::look_around(&opened.reader, lines).await;
    limits::limits(&opened.reader, settings, lines).await;
    request.pins = pins(known, &opened.reader.facts().binding);
    let snapshot = Box::pin(walk::resolve_only(&opened.reader, &request)).await;
    entries(&snapshot, lines);
    lines.push(condition::reads_of_changes(&opened.reader, settings, &request.wanted, by_changes).await);
    // Last: a server that hangs over its change log would take the connection with it.
    lines.push(rights::deletions(&opened.reader).await);
    opened.reader.close().await;
}

async fn check_ldif(
    settings: &LdifSettings,
    mut request: ReadRequest,
    known: &Known,
    lines: &mut Vec<CheckLine>,
) {
    let reader = match ldif::open(settings, &request.wanted).await {
        Ok(reader) => reader,
        Err(error) => return lines.push(failed("LDIF file", &error)),
    };
    let what = format!("{}: {} entries", settings.file.display(), reader.len());
    lines.push(match &reader.facts().partial {
        None => CheckLine::ok("LDIF file", what),
        Some(fault) => CheckLine::warn(
            "LDIF file",
            format!("{what}; {}", fault.detail),
            "nothing will be taken away on the strength of it; export it again, or add the end marker",
        ),
    });
    request.pins = pins(known, &reader.facts().binding);
    let snapshot = Box::pin(walk::resolve_only(&reader, &request)).await;
    entries(&snapshot, lines);
}

/// As a cycle has them: those of another directory say nothing about this one.
fn pins(known: &Known, here: &str) -> BTreeMap<(Kind, String), Pin> {
    match &known.binding {
        Some(bound) if bound.directory == here => known.pins.clone(),
        _ => BTreeMap::new(),
    }
}

fn describe(opened: &Opened, settings: &LdapSettings, lines: &mut Vec<CheckLine>) {
    let facts = opened.reader.facts();
    let vendor = opened.vendor.as_deref().unwrap_or("vendor unknown");
    lines.push(CheckLine::ok("base DN", format!("{} (bound to {}; {vendor})", facts.base, facts.binding)));
    let configured_ad = settings.kind == DirectoryKind::ActiveDirectory;
    if configured_ad != opened.is_ad {
        let (says, kind) = if opened.is_ad {
            ("the server is Active Directory", "active-directory")
        } else {
            ("the server does not say that it is Active Directory", "ldap")
        };
        lines.push(CheckLine::warn(
            "directory kind",
            says,
            format!("set `kind = \"{kind}\"` if that is right"),
        ));
    }
}

fn entries(snapshot: &Snapshot, lines: &mut Vec<CheckLine>) {
    for EntryRead { entry, outcome } in &snapshot.entries {
        let label = entry.to_string();
        let told =
            |id: &str| snapshot.findings.iter().find(|f| f.subject.id == id).map(|f| f.message.clone());
        let line = match outcome {
            EntryOutcome::Resolved { object, name: called, .. } => {
                let (anchor, sid, dn) = match object {
                    ObjectRef::User(ix) => {
                        let user = snapshot.user(*ix);
                        (user.anchor, &user.sid, &user.dn)
                    }
                    ObjectRef::Group(ix) => {
                        let group = snapshot.group(*ix);
                        (group.anchor, &group.sid, &group.dn)
                    }
                };
                let of_object =
                    told(&anchor.to_string()).or_else(|| sid.as_ref().and_then(|sid| told(&sid.to_string())));
                let doubts: Vec<String> = told(&label).into_iter().chain(of_object).collect();
                if doubts.is_empty() {
                    CheckLine::ok(label, format!("{called} ({dn})"))
                } else {
                    // What to do is in their words.
                    CheckLine {
                        name: label,
                        state: CheckState::Warn,
                        detail: doubts.join("; "),
                        remedy: None,
                    }
                }
            }
            _ => {
                let detail = told(&label).unwrap_or_else(|| "it was not found".to_owned());
                CheckLine { name: label, state: CheckState::Fail, detail, remedy: None }
            }
        };
        lines.push(line);
    }
}

fn failed(name: impl Into<String>, error: &DirectoryError) -> CheckLine {
    let mut detail = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(inner) = source {
        let text = inner.to_string();
        // Some libraries repeat their source's words.
        if !detail.ends_with(&text) {
            detail.push_str(": ");
            detail.push_str(&text);
        }
        source = inner.source();
    }
    match (error, detail.split_once("; ")) {
        (DirectoryError::Credentials { why, .. }, _) => {
            // The line names the server already.
            let why = why.to_string();
            let (cause, remedy) = why.split_once("; ").unwrap_or((&why, "check `bind`"));
            CheckLine::fail(name, format!("refused the bind: {cause}"), remedy)
        }
        // A message says what to do after its semicolon.
        (_, Some((cause, remedy))) if error.attempts().is_empty() => CheckLine::fail(name, cause, remedy),
        _ => CheckLine { name: name.into(), state: CheckState::Fail, detail, remedy: None },
    }
}
