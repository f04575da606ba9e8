//! Name, port, certificate and bind of one server.

use jiff::{SignedDuration, Timestamp};

use super::failed;
use crate::directory::error::{BindRefusal, ServerFailure};
use crate::directory::ldap::{Chain, Opened, Opener, Setback, reach};
use crate::directory::settings::LdapSettings;
use crate::model::CheckLine;

/// A certificate takes a while to be renewed.
const WARN_BEFORE: SignedDuration = SignedDuration::from_hours(30 * 24);

/// What came of a server.
pub(super) enum Tried {
    Opened(Box<Opened>),
    Next,
    /// No other server would do better.
    Final,
}

pub(super) async fn open(
    opener: &Opener<'_>,
    settings: &LdapSettings,
    url: &str,
    need_domain_name: bool,
    lines: &mut Vec<CheckLine>,
) -> Tried {
    let name = format!("server {url}");
    if !reached(settings, url, lines).await {
        return Tried::Next;
    }
    let opened = opener.open(url, need_domain_name).await;
    let shown = opener.shown();
    match opened {
        Ok(opened) => {
            lines.extend(shown.map(|chain| certificate(url, &chain, Timestamp::now())));
            let security = match (url.starts_with("ldaps://"), settings.starttls) {
                (true, _) => "TLS",
                (false, true) => "StartTLS",
                (false, false) => "no encryption",
            };
            let host = opened.host.as_deref().unwrap_or("a server that does not tell its name");
            lines.push(CheckLine::ok(name, format!("connected with {security} and bound; it is {host}")));
            Tried::Opened(Box::new(opened))
        }
        Err(Setback::Next(why)) => {
            let mut detail = why.to_string();
            if let (ServerFailure::Tls(_), Some(chain)) = (&why, &shown) {
                let (from, to) = (chain.not_before, chain.ends.0);
                detail.push_str(&format!(
                    "; the certificate is {}, valid from {from} until {to}",
                    chain.told()
                ));
            } else {
                lines.extend(shown.map(|chain| certificate(url, &chain, Timestamp::now())));
            }
            lines.push(CheckLine::fail(name, detail, remedy(&why)));
            Tried::Next
        }
        Err(Setback::Final(error)) => {
            lines.extend(shown.map(|chain| certificate(url, &chain, Timestamp::now())));
            lines.push(failed(name, &error));
            Tried::Final
        }
    }
}

/// Name and port of a server that is not bound to, since another one has refused the account.
pub(super) async fn only_reach(
    settings: &LdapSettings,
    url: &str,
    refused_by: &str,
    lines: &mut Vec<CheckLine>,
) -> Tried {
    if reached(settings, url, lines).await {
        let detail = format!("not tried after what {refused_by} said: it would say the same");
        lines.push(CheckLine::unknown(format!("server {url}"), detail));
    }
    Tried::Next
}

/// Whether there is any use in going on; a url that is none is left to whoever opens it.
async fn reached(settings: &LdapSettings, url: &str, lines: &mut Vec<CheckLine>) -> bool {
    let reached = match reach(url, settings.timeout).await {
        None => return true,
        Some(Ok(reached)) => reached,
        Some(Err(why)) => {
            lines.push(CheckLine::fail(format!("server {url}"), why.to_string(), remedy(&why)));
            return false;
        }
    };
    let all: Vec<String> = reached.addresses.iter().map(|(ip, _)| ip.to_string()).collect();
    if !reached.is_address {
        lines.push(CheckLine::ok(format!("name {}", reached.host), all.join(", ")));
    }
    let name = format!("port {} of {}", reached.port, reached.host);
    let silent: Vec<String> =
        reached.addresses.iter().filter_map(|(ip, why)| Some(format!("{ip}: {}", why.as_ref()?))).collect();
    if !reached.answers() {
        let words = match reached.addresses.as_slice() {
            [(_, Some(why))] => why.clone(),
            _ => silent.join("; "),
        };
        let why = ServerFailure::Connect(words);
        lines.push(CheckLine::fail(format!("server {url}"), why.to_string(), remedy(&why)));
        return false;
    }
    lines.push(if silent.is_empty() {
        CheckLine::ok(name, "answers")
    } else {
        let remedy = "take the address out of DNS, or mend that server: a cycle may be sent to it";
        CheckLine::warn(name, format!("answers, but not at all its addresses: {}", silent.join("; ")), remedy)
    });
    true
}

/// Of a chain that was accepted.
fn certificate(url: &str, chain: &Chain, now: Timestamp) -> CheckLine {
    let name = format!("certificate of {url}");
    let (at, whose) = &chain.ends;
    let days = at.duration_since(now).as_hours() / 24;
    let which = if *whose == chain.subject { String::new() } else { format!(" (its CA {whose})") };
    let detail = format!(
        "{}; chain of {} verified; valid until {}{which}, {days} days",
        chain.told(),
        chain.length,
        at.strftime("%Y-%m-%d")
    );
    if at.duration_since(now) < WARN_BEFORE {
        CheckLine::warn(name, detail, "renew it: when it ends, no cycle can read the directory")
    } else {
        CheckLine::ok(name, detail)
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::CheckState;

    #[test]
    fn a_certificate_that_ends_within_a_month_is_worth_a_look() {
        let now: Timestamp = "2026-11-01T00:00:00Z".parse().unwrap();
        let chain = |ends: &str| Chain {
            subject: "dc1".to_owned(),
            issuer: "Corp CA".to_owned(),
            names: ["dc1.corp.example.com".to_owned()].into(),
            not_before: now,
            ends: (ends.parse().unwrap(), "Corp CA".to_owned()),
            length: 2,
        };
        let fine = certificate("ldaps://dc1", &chain("2027-01-01T00:00:00Z"), now);
        assert_eq!(fine.state, CheckState::Ok);
        assert_eq!(
            fine.detail,
            "for dc1.corp.example.com, issued by Corp CA; chain of 2 verified; valid until 2027-01-01 \
             (its CA Corp CA), 61 days"
        );
        assert_eq!(certificate("x", &chain("2026-12-01T00:00:00Z"), now).state, CheckState::Ok);
        assert_eq!(certificate("x", &chain("2026-11-30T23:59:59Z"), now).state, CheckState::Warn);
    }
}
