//! How a server is: its clock, its replication, and whether it tells of changes.

use jiff::Timestamp;

use crate::directory::ldap::{About, LdapReader, Opened, SessionLog, no_changes};
use crate::directory::reader::Reader as _;
use crate::directory::settings::LdapSettings;
use crate::model::{CheckLine, DirectoryKind, Wanted};

/// Kerberos allows so much, and nobody who keeps time needs it.
const CLOCKS: i64 = 300;

/// Of each server that answers.
pub(super) async fn of_server(opened: &Opened, lines: &mut Vec<CheckLine>) {
    let facts = opened.reader.facts();
    let url = &facts.server;
    if let Some(ahead) = facts.clock_ahead {
        lines.push(clock(url, ahead));
    }
    let about = opened.reader.about().await;
    if opened.is_ad {
        lines.push(domain_controller(url, &about));
    } else if let Some(at) = about.last_change {
        lines.push(last_change(url, at, Timestamp::now()));
    }
}

fn clock(url: &str, ahead: i64) -> CheckLine {
    let name = format!("clock of {url}");
    let way = if ahead < 0 { "behind" } else { "ahead of" };
    let detail = match ahead {
        -1..=1 => "as this machine's".to_owned(),
        _ => format!("{} s {way} this machine's", ahead.abs()),
    };
    if ahead.abs() < CLOCKS {
        return CheckLine::ok(name, detail);
    }
    CheckLine::warn(
        name,
        detail,
        "set the clocks by NTP: by more than an hour, whatever rests on elapsed time is held",
    )
}

/// As far as an account without rights of its own can see.
fn domain_controller(url: &str, about: &About) -> CheckLine {
    let name = format!("replication of {url}");
    let [domain, forest, controller] = about.levels;
    let level = |level: Option<i64>| level.map_or_else(|| "unknown".to_owned(), functional_level);
    let mut detail = match about.is_synchronized {
        Some(true) => "the server says that it is synchronised",
        Some(false) => {
            "the server says that it is NOT synchronised: it has not finished its first replication"
        }
        None => "the server does not say whether it is synchronised",
    }
    .to_owned();
    if about.is_global_catalog_ready == Some(true) {
        detail.push_str(", and a global catalogue");
    }
    if let Some(usn) = about.usn {
        detail.push_str(&format!("; change number {usn}"));
    }
    detail.push_str(&format!(
        "; functional level of the domain {}, forest {}, server {}",
        level(domain),
        level(forest),
        level(controller)
    ));
    match about.is_synchronized {
        Some(true) => CheckLine::ok(name, detail),
        Some(false) => CheckLine::warn(
            name,
            detail,
            "take it out of `urls` until it is: what it does not have yet looks as if it had left (repadmin /showrepl)",
        ),
        None => CheckLine::unknown(name, detail),
    }
}

/// [MS-ADTS] 6.1.4.2
fn functional_level(level: i64) -> String {
    match level {
        0 => "2000".to_owned(),
        1 => "2003 interim".to_owned(),
        2 => "2003".to_owned(),
        3 => "2008".to_owned(),
        4 => "2008 R2".to_owned(),
        5 => "2012".to_owned(),
        6 => "2012 R2".to_owned(),
        7 => "2016".to_owned(),
        10 => "2025".to_owned(),
        other => format!("{other}"),
    }
}

fn last_change(url: &str, at: Timestamp, now: Timestamp) -> CheckLine {
    let hours = now.duration_since(at).as_hours();
    let age = match hours {
        ..=0 => "less than an hour ago".to_owned(),
        1..48 => format!("{hours} hours ago"),
        _ => format!("{} days ago", hours / 24),
    };
    let detail = format!(
        "contextCSN: last changed {age} ({at}); a replica that lags behind its provider shows it here"
    );
    CheckLine::ok(format!("replication of {url}"), detail)
}

/// Whether a cycle could ask for what has changed, instead of reading everything.
pub(super) async fn reads_of_changes(
    reader: &LdapReader,
    settings: &LdapSettings,
    wanted: &Wanted,
    asked_for: bool,
) -> CheckLine {
    const NAME: &str = "reads of changes";
    let why = no_changes(reader, settings, wanted).await;
    let log = match (settings.kind, &why) {
        (DirectoryKind::Ldap, None) => Some(reader.session_log().await),
        _ => None,
    };
    match (why, asked_for) {
        (Some(why), true) => CheckLine::warn(
            NAME,
            format!("not possible, so each read is of everything: {why}"),
            match settings.kind {
                DirectoryKind::ActiveDirectory => {
                    "let the bind account see deleted objects, or take `full-read-every` out of [schedule]"
                }
                DirectoryKind::Ldap => {
                    "have the overlay syncprov with a session log, or take `full-read-every` out of [schedule]"
                }
            },
        ),
        (Some(why), false) => {
            CheckLine::ok(NAME, format!("not asked for (`full-read-every`), and not possible: {why}"))
        }
        (None, asked_for) => {
            let how = if asked_for { "possible" } else { "possible, and not asked for (`full-read-every`)" };
            match log {
                None => CheckLine::ok(NAME, format!("{how}: by uSNChanged")),
                Some(SessionLog::Kept(most)) => {
                    CheckLine::ok(NAME, format!("{how}: by RFC 4533, with a session log of {most} changes"))
                }
                Some(SessionLog::Missing) if asked_for => CheckLine::warn(
                    NAME,
                    format!(
                        "{how}: by RFC 4533, but without a session log: the server names all entries after each change"
                    ),
                    "set olcSpSessionlog (syncprov-sessionlog) to more changes than there are between two cycles",
                ),
                Some(SessionLog::Missing) => {
                    CheckLine::ok(NAME, format!("{how}: by RFC 4533, but without a session log"))
                }
                Some(SessionLog::Hidden) => CheckLine::ok(
                    NAME,
                    format!(
                        "{how}: by RFC 4533; whether there is a session log (olcSpSessionlog) is hidden from this account"
                    ),
                ),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::CheckState;

    #[test]
    fn clocks_may_differ_a_little() {
        assert_eq!(clock("x", 0).detail, "as this machine's");
        assert_eq!(clock("x", -299).state, CheckState::Ok);
        let far = clock("x", -300);
        assert_eq!((far.state, far.detail.as_str()), (CheckState::Warn, "300 s behind this machine's"));
        assert_eq!(clock("x", 4000).detail, "4000 s ahead of this machine's");
    }

    #[test]
    fn a_server_that_is_not_in_step_is_worth_a_look() {
        let about = |is_synchronized| About {
            is_synchronized,
            is_global_catalog_ready: Some(true),
            usn: Some(4711),
            levels: [Some(7), Some(4), None],
            ..About::default()
        };
        let good = domain_controller("x", &about(Some(true)));
        assert_eq!(good.state, CheckState::Ok);
        assert_eq!(
            good.detail,
            "the server says that it is synchronised, and a global catalogue; change number 4711; functional level \
             of the domain 2016, forest 2008 R2, server unknown"
        );
        assert_eq!(domain_controller("x", &about(Some(false))).state, CheckState::Warn);
        assert_eq!(domain_controller("x", &about(None)).state, CheckState::Unknown);
    }

    #[test]
    fn the_age_of_the_last_change_in_one_unit() {
        let now: Timestamp = "2026-11-03T12:00:00Z".parse().unwrap();
        let age = |at: &str| last_change("x", at.parse().unwrap(), now).detail;
        assert!(age("2026-11-03T11:30:00Z").contains("less than an hour ago"));
        assert!(age("2026-11-02T12:00:00Z").contains("24 hours ago"));
        assert!(age("2026-10-03T12:00:00Z").contains("31 days ago"));
    }
}
