//! Everything about the directory that can be tried without changing anything, one line each: for `idcsync check`.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::error::{BindRefusal, DirectoryError, ServerFailure};
use super::ldap::{LdapReader, Opened, Opener, Setback, Sight, names_a_domain, servers};
use super::reader::{Query, Reader, Selection};
use super::settings::{DirectorySettings, LdapSettings, LdifSettings, Servers};
use super::{filter, ldif, walk};
use crate::model::{
    CheckLine, CheckState, DirectoryKind, EntryOutcome, EntryRead, ObjectRef, ReadRequest, Snapshot, Wanted,
};

/// Checks the directory: names, TLS, bind, base DN, paging, and each scope entry. Each configured server is tried; the
/// scope is looked at on the first one that answers.
pub async fn check(settings: &DirectorySettings, wanted: &Wanted) -> Vec<CheckLine> {
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
        DirectorySettings::Ldap(settings) => Box::pin(check_ldap(settings, &request, &mut lines)).await,
        DirectorySettings::Ldif(settings) => check_ldif(settings, &request, &mut lines).await,
    }
    lines
}

async fn check_ldap(settings: &LdapSettings, request: &ReadRequest, lines: &mut Vec<CheckLine>) {
    let opener = match Opener::new(settings, None) {
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
    let mut chosen = None;
    for url in urls {
        match opener.open(&url, names_a_domain(request)).await {
            Ok(opened) => {
                let security = match (url.starts_with("ldaps://"), settings.starttls) {
                    (true, _) => "TLS",
                    (false, true) => "StartTLS",
                    (false, false) => "no encryption",
                };
                let host = opened.host.as_deref().unwrap_or("a server that does not tell its name");
                let detail = format!("connected with {security} and bound; it is {host}");
                lines.push(CheckLine::ok(format!("server {url}"), detail));
                if chosen.is_none() {
                    chosen = Some(opened);
                } else {
                    opened.reader.close().await;
                }
            }
            Err(Setback::Next(why)) => {
                let line = CheckLine::fail(format!("server {url}"), why.to_string(), remedy(&why));
                lines.push(line);
            }
            Err(Setback::Final(error)) => {
                lines.push(failed(format!("server {url}"), &error));
                break;
            }
        }
    }
    let Some(opened) = chosen else { return };
    describe(&opened, settings, lines);
    look_around(&opened.reader, settings, lines).await;
    let snapshot = Box::pin(walk::resolve_only(&opened.reader, request)).await;
    entries(&snapshot, lines);
    // Last: a server that hangs over its change log would take the connection with it.
    lines.push(deletions(&opened.reader).await);
    opened.reader.close().await;
}

async fn check_ldif(settings: &LdifSettings, request: &ReadRequest, lines: &mut Vec<CheckLine>) {
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
    let snapshot = Box::pin(walk::resolve_only(&reader, request)).await;
    entries(&snapshot, lines);
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
    lines.push(if opened.reader.has_paging() {
        CheckLine::ok("paging", format!("{} entries a page", facts.page))
    } else {
        CheckLine::warn(
            "paging",
            "the server has no paged results (RFC 2696); a size limit would cut reads short",
            "raise the server's size limit for the bind account",
        )
    });
}

/// Whether the attributes that matter can be read, from a few groups and people.
async fn look_around(reader: &LdapReader, settings: &LdapSettings, lines: &mut Vec<CheckLine>) {
    let kind = settings.kind;
    let groups = sample(reader, &walk::groups_filter(kind), &["member", "uniqueMember", "memberUid"]).await;
    let (seen, readable) = groups;
    let with_members = readable.iter().sum::<u64>();
    lines.push(match (seen, with_members) {
        (0, _) => CheckLine::warn(
            "groups",
            "no group can be seen below the base DN",
            "check `base-dn` and the permissions",
        ),
        (_, 0) => CheckLine::warn(
            "members",
            format!("none of {seen} groups shows a member"),
            "let the bind account read `member`",
        ),
        _ => CheckLine::ok(
            "members",
            format!("readable ({with_members} of the first {seen} groups show some)"),
        ),
    });
    if kind == DirectoryKind::ActiveDirectory {
        let (seen, readable) = sample(reader, &walk::people_filter(kind), &["userAccountControl"]).await;
        let readable = readable[0];
        lines.push(match (seen, readable) {
            (0, _) => CheckLine::warn("people", "nobody can be seen below the base DN", "check `base-dn` and the permissions"),
            (_, 0) => CheckLine::fail(
                "userAccountControl",
                format!("cannot be read of any of {seen} people"),
                "let the bind account read userAccountControl and accountExpires; without it nobody is created or \
                 disabled",
            ),
            _ => CheckLine::ok("userAccountControl", format!("readable of {readable} of the first {seen} people")),
        });
    }
}

/// Whether a deletion can be told from an object that merely is not found. Nothing is deleted without that.
async fn deletions(reader: &LdapReader) -> CheckLine {
    const NAME: &str = "deleted objects";
    let context = &reader.facts().context;
    let without = "a user who is not found any more counts as one who left the scope";
    if let Some(sight) = reader.sight_of_deleted().await {
        let remedy = match reader.facts().kind {
            DirectoryKind::ActiveDirectory => format!(
                "give the bind account List Contents and Read Property on the Deleted Objects container: \
                 dsacls \"CN=Deleted Objects,{context}\" /takeOwnership, then the same with /G DOMAIN\\account:LCRP"
            ),
            DirectoryKind::Ldap => {
                "let the bind account read entries with objectClass=nsTombstone, or set `delete-on-absence`"
                    .to_owned()
            }
        };
        return match sight {
            Sight::Objects => CheckLine::ok(NAME, "shown to the bind account"),
            Sight::Container => CheckLine::warn(
                NAME,
                format!(
                    "the container is shown, but no object in it: there is none, or they are hidden and {without}"
                ),
                remedy,
            ),
            Sight::Nothing(Some(fault)) => CheckLine::warn(
                NAME,
                format!("not shown to the bind account ({}): {without}", fault.detail),
                remedy,
            ),
            Sight::Nothing(None) => {
                CheckLine::warn(NAME, format!("not shown to the bind account: {without}"), remedy)
            }
        };
    }
    let log = "the change log (RFC 4533)";
    match reader.change_log_answers().await {
        Some(true) => CheckLine::ok(
            NAME,
            format!(
                "{log} of {context} can be read; it is a proof only where the bind account may read every entry, and \
                 where the server keeps a session log (syncprov-sessionlog)"
            ),
        ),
        Some(false) => CheckLine::warn(
            NAME,
            format!("{log} of {context} cannot be read: {without}"),
            "let the bind account read contextCSN, and have the overlay syncprov on that database",
        ),
        None => CheckLine::warn(
            NAME,
            format!("the server offers no change log (RFC 4533): {without}"),
            "add the overlay syncprov with syncprov-sessionlog (slapd), or set `delete-on-absence`",
        ),
    }
}

/// Of one page: how many entries came, and how many of them had each attribute.
async fn sample(reader: &LdapReader, filter: &str, attributes: &[&str]) -> (u64, Vec<u64>) {
    let selection: Selection = attributes.iter().map(|a| (*a).to_owned()).collect();
    let (mut seen, mut having) = (0, vec![0; attributes.len()]);
    let query = Query { filter, attributes: &selection, pages: Some(1), verdicts: None };
    reader
        .search(&query, &mut |raw| {
            seen += 1;
            for (at, attribute) in attributes.iter().enumerate() {
                let wanted = attribute.to_lowercase();
                // A long attribute may come as a range only.
                let has = raw
                    .attributes
                    .iter()
                    .any(|(n, values)| !values.is_empty() && n.split(';').next() == Some(wanted.as_str()));
                having[at] += u64::from(has);
            }
        })
        .await;
    (seen, having)
}

fn entries(snapshot: &Snapshot, lines: &mut Vec<CheckLine>) {
    for EntryRead { entry, outcome } in &snapshot.entries {
        let name = entry.to_string();
        let line = match outcome {
            EntryOutcome::Resolved { object, name: called, .. } => {
                let dn = match object {
                    ObjectRef::User(ix) => &snapshot.user(*ix).dn,
                    ObjectRef::Group(ix) => &snapshot.group(*ix).dn,
                };
                CheckLine::ok(name, format!("{called} ({dn})"))
            }
            _ => {
                let label = entry.to_string();
                let finding = snapshot.findings.iter().find(|f| f.subject.id == label);
                let detail = finding.map_or_else(|| "it was not found".to_owned(), |f| f.message.clone());
                CheckLine { name, state: CheckState::Fail, detail, remedy: None }
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

fn remedy(why: &ServerFailure) -> &'static str {
    match why {
        ServerFailure::Connect(_) => "check the name and the port, and that nothing in between blocks it",
        ServerFailure::Tls(_) => "check `tls` and the server's certificate",
        ServerFailure::Timeout { .. } | ServerFailure::Lost { .. } => {
            "check that the server is well, and the network between; raise `timeout` if it is only slow"
        }
        ServerFailure::Bind(BindRefusal::NeedsTls) => "use ldaps://, or set `starttls = true`",
        ServerFailure::Bind(_) => "check `bind`",
        ServerFailure::Refused { .. } => "check what the bind account may do",
    }
}
