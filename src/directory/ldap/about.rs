//! What a server says of its own state, as far as an ordinary account may see it: for `check`.

use jiff::Timestamp;
use ldap3::Scope;

use super::search::LdapReader;
use super::session::Session;
use super::wire::Ask;
use crate::directory::entry::generalized_time;
use crate::directory::reader::{RawEntry, Selection};
use crate::ids::Dn;

/// `None`: the server does not say, or not to this account.
#[derive(Debug, Default)]
pub(in crate::directory) struct About {
    pub is_synchronized: Option<bool>,
    pub is_global_catalog_ready: Option<bool>,
    pub usn: Option<u64>,
    /// `domainFunctionality`, `forestFunctionality`, `domainControllerFunctionality`
    pub levels: [Option<i64>; 3],
    /// Of the default query policy: `MaxPageSize` and so on, with their numbers.
    pub limits: Vec<(String, u64)>,
    /// The newest of the context's change sequence numbers: when it was last changed.
    pub last_change: Option<Timestamp>,
}

/// The overlay syncprov, as far as its configuration can be read.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::directory) enum SessionLog {
    /// So many changes.
    Kept(u64),
    Missing,
    Hidden,
}

impl LdapReader {
    /// Of the root DSE, the naming context and (Active Directory) the default query policy.
    pub(in crate::directory) async fn about(&self) -> About {
        const ROOT: [&str; 7] = [
            "isSynchronized",
            "isGlobalCatalogReady",
            "highestCommittedUSN",
            "domainFunctionality",
            "forestFunctionality",
            "domainControllerFunctionality",
            "configurationNamingContext",
        ];
        let Some(root) = one(&self.session, "", &ROOT).await else { return About::default() };
        let truth = |name: &str| root.text(name).map(|text| text.eq_ignore_ascii_case("true"));
        let mut about = About {
            is_synchronized: truth("issynchronized"),
            is_global_catalog_ready: truth("isglobalcatalogready"),
            usn: root.number("highestcommittedusn").and_then(|n| u64::try_from(n).ok()),
            levels: ["domainfunctionality", "forestfunctionality", "domaincontrollerfunctionality"]
                .map(|name| root.number(name)),
            ..About::default()
        };
        if let Some(configuration) = root.text("configurationnamingcontext").and_then(|t| Dn::parse(t).ok()) {
            about.limits = self.limits(&configuration).await;
        } else if let Some(head) = one(&self.session, self.facts.context.as_str(), &["contextCSN"]).await {
            about.last_change = head.values("contextcsn").filter_map(moment).max();
        }
        about
    }

    async fn limits(&self, configuration: &Dn) -> Vec<(String, u64)> {
        let policy = format!(
            "CN=Default Query Policy,CN=Query-Policies,CN=Directory Service,CN=Windows NT,CN=Services,{configuration}"
        );
        let Some(policy) = one(&self.session, &policy, &["lDAPAdminLimits"]).await else { return Vec::new() };
        let limits = policy.values("ldapadminlimits").filter_map(|value| {
            let (name, number) = std::str::from_utf8(value).ok()?.split_once('=')?;
            Some((name.trim().to_owned(), number.trim().parse().ok()?))
        });
        limits.collect()
    }

    /// slapd keeps it in its own configuration, which is rarely shown to others than its administrators.
    pub(in crate::directory) async fn session_log(&self) -> SessionLog {
        let attributes: Selection = ["olcSpSessionlog".to_owned()].into();
        let ask = Ask {
            base: "cn=config",
            scope: Scope::Subtree,
            filter: "(objectClass=olcSyncProvConfig)",
            attributes: &attributes,
            page: None,
            controls: &[],
        };
        let found = match self.session.collect(ask).await {
            Ok((found, answer)) if answer.code == 0 && !found.is_empty() => found,
            _ => return SessionLog::Hidden,
        };
        let kept = found.iter().filter_map(|e| u64::try_from(e.number("olcspsessionlog")?).ok());
        kept.max().filter(|kept| *kept > 0).map_or(SessionLog::Missing, SessionLog::Kept)
    }
}

/// `20261103120000.123456Z#000000#000#000000`
fn moment(csn: &[u8]) -> Option<Timestamp> {
    generalized_time(std::str::from_utf8(csn).ok()?.split('#').next()?)
}

async fn one(session: &Session, dn: &str, attributes: &[&str]) -> Option<RawEntry> {
    let attributes: Selection = attributes.iter().map(|a| (*a).to_owned()).collect();
    let (entries, answer) = session.collect(Ask::entry(dn, &attributes)).await.ok()?;
    entries.into_iter().next().filter(|_| answer.code == 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_sequence_number_begins_with_its_moment() {
        let at = moment(b"20261103120000.123456Z#000000#001#000000").map(|at| at.to_string());
        assert_eq!(at.as_deref(), Some("2026-11-03T12:00:00Z"));
        assert_eq!(moment(b"#"), None);
    }
}
