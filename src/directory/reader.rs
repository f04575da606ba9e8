//! What the walk asks of a directory, whether a server or a file answers.

use std::collections::BTreeSet;
use std::sync::Arc;

use async_trait::async_trait;
use jiff::{SignedDuration, Timestamp};

use super::filter::hex_pair;
use super::range::{self, Progress};
pub(super) use super::raw::RawEntry;
use crate::ids::{Anchor, Dn};
use crate::model::{DirectoryKind, Shortfall, ShortfallKind};

/// Names of attributes to ask for.
pub type Selection = Arc<[String]>;

#[async_trait]
pub(super) trait Reader: Send + Sync {
    fn facts(&self) -> &Facts;

    /// Everything below the base that matches, entry by entry, page by page. Entries that came before a fault
    /// have been handed over.
    async fn search(&self, query: &Query<'_>, sink: &mut (dyn FnMut(RawEntry) + Send)) -> Ending;

    /// The entries of these names, in one request: at most [`Facts::batch`] of them.
    async fn lookup(
        &self,
        names: &[Dn],
        filter: Option<&str>,
        attributes: &Selection,
    ) -> (Vec<RawEntry>, Ending);

    /// One attribute of one entry from the value number `from` on.
    async fn range(&self, anchor: Anchor, dn: &Dn, attribute: &str, from: u32) -> Result<RawEntry, Fault>;

    /// Which of these are deleted objects that the directory still shows: at most [`Facts::batch`] of them.
    async fn deleted(&self, anchors: &[Anchor]) -> (BTreeSet<Anchor>, Ending);

    fn traffic(&self) -> Traffic;
}

pub(super) struct Query<'a> {
    /// RFC 4515, in parentheses.
    pub filter: &'a str,
    pub attributes: &'a Selection,
    /// Give up after so many pages: the search was only a short cut.
    pub pages: Option<u64>,
    /// Asked only to learn who matches this user filter: what comes are no whole entries.
    pub verdicts: Option<&'a str>,
}

/// How a search ended. No fault and no referrals: the server has shown all that matches.
#[derive(Debug, Default)]
pub(super) struct Ending {
    pub fault: Option<Fault>,
    pub referrals: Vec<Referral>,
    /// It was given up after [`Query::pages`].
    pub given_up: bool,
}

/// A continuation reference (RFC 4511 section 4.5.3): what lies below `base` is on another server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Referral {
    pub url: String,
    pub base: Dn,
}

impl Referral {
    /// Reads `ldap://host/DC=child,DC=corp?…` (RFC 4516). Where the url names no DN, it is that of the search.
    pub fn of(url: &str, base: &Dn) -> Self {
        let path = url.split_once("://").and_then(|(_, rest)| rest.split_once('/')).map(|(_, path)| path);
        let encoded = path.and_then(|path| path.split('?').next()).unwrap_or_default();
        let dn = (!encoded.is_empty()).then(|| Dn::parse(&percent_decoded(encoded)).ok()).flatten();
        Self { url: url.chars().take(200).collect(), base: dn.unwrap_or_else(|| base.clone()) }
    }
}

fn percent_decoded(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&first, after)) = rest.split_first() {
        match (first == b'%').then(|| hex_pair(after)).flatten() {
            Some(byte) => {
                bytes.push(byte);
                rest = &after[2..];
            }
            None => {
                bytes.push(first);
                rest = after;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Fault {
    pub kind: ShortfallKind,
    pub detail: String,
}

impl Fault {
    pub fn new(kind: ShortfallKind, detail: impl Into<String>) -> Self {
        Self { kind, detail: detail.into() }
    }

    pub fn of(&self, what: impl Into<String>) -> Shortfall {
        Shortfall { kind: self.kind, what: what.into(), detail: self.detail.clone() }
    }
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Traffic {
    pub requests: u64,
    pub received: u64,
}

/// What is known of the directory once it answers.
#[derive(Clone, Debug)]
pub(super) struct Facts {
    pub kind: DirectoryKind,
    pub base: Dn,
    /// The naming context that holds the base.
    pub context: Dn,
    pub server: String,
    pub binding: String,
    pub domain: String,
    pub current_time: Option<Timestamp>,
    /// Seconds by which that was ahead of this machine's clock.
    pub clock_ahead: Option<i64>,
    /// The NetBIOS names by which the domain may be called, in upper case.
    pub domain_names: BTreeSet<String>,
    /// The anchor is nsUniqueId (389 Directory Server), not entryUUID.
    pub ns_unique_id: bool,
    /// Partitions of one's own forest in which no people or groups live.
    pub apart: Vec<Dn>,
    /// Every group has a SID; one that shows none hides it.
    pub sids: bool,
    /// Entries in one page.
    pub page: usize,
    /// Names in one look-up.
    pub batch: usize,
    /// Why nothing that was read may be taken for the whole.
    pub partial: Option<Fault>,
}

impl Facts {
    /// The directory's own time, by which accounts expire; `here` is this machine's, and all there is of others.
    pub fn time(&self, here: Timestamp) -> Timestamp {
        here.saturating_add(self.ahead()).unwrap_or(here)
    }

    /// When this machine's clock will show it, if it stays as it is.
    pub fn here(&self, there: Timestamp) -> Timestamp {
        there.saturating_sub(self.ahead()).unwrap_or(there)
    }

    fn ahead(&self) -> SignedDuration {
        SignedDuration::from_secs(self.clock_ahead.unwrap_or_default())
    }

    /// Whether something that was not found might lie behind this referral.
    pub fn is_foreign(&self, referral: &Referral) -> bool {
        !self.apart.contains(&referral.base)
    }

    /// What keeps a search that ended like this from being the whole.
    pub fn gap(&self, ending: &Ending) -> Option<Fault> {
        let referred = || {
            let referral = ending.referrals.iter().find(|referral| self.is_foreign(referral))?;
            let detail =
                format!("the server referred to {} for a part; referrals are not followed", referral.url);
            Some(Fault::new(ShortfallKind::Referral, detail))
        };
        ending.fault.clone().or_else(|| self.partial.clone()).or_else(referred)
    }
}

/// The values of an attribute that came in part, from where it ended; with a fault where they did not come to an end.
pub(super) async fn rest_of(
    reader: &dyn Reader,
    (anchor, dn): (Anchor, &Dn),
    attribute: &str,
    mut progress: Progress,
) -> (Vec<Vec<u8>>, Option<Fault>) {
    let mut all = Vec::new();
    loop {
        let answer = reader.range(anchor, dn, attribute, progress.next()).await;
        let entry = match answer {
            Ok(entry) => entry,
            Err(fault) => return (all, Some(fault)),
        };
        let part = entry.attributes().find_map(|(name, values)| {
            let (base, span) = range::split(name)?;
            (base == attribute).then(|| (span, values.map(<[u8]>::to_vec).collect::<Vec<_>>()))
        });
        let Some((span, values)) = part else {
            let detail = format!(
                "{} ended at value {} without saying that it was the last",
                attribute,
                progress.next()
            );
            return (all, Some(Fault::new(ShortfallKind::Range, detail)));
        };
        match span.and_then(|span| progress.take(span, values.len())) {
            Ok(last) => {
                all.extend(values);
                if last {
                    return (all, None);
                }
            }
            Err(why) => return (all, Some(Fault::new(ShortfallKind::Range, why))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_referral_names_what_lies_behind_it() {
        let base = Dn::parse("DC=corp,DC=example").unwrap();
        let of = |url: &str| Referral::of(url, &base).base;
        assert_eq!(
            of("ldap://child.corp.example/OU=M%C3%BCnchen%20S%C3%BCd,DC=child,DC=corp,DC=example??sub"),
            Dn::parse("OU=München Süd,DC=child,DC=corp,DC=example").unwrap()
        );
        assert_eq!(of("ldap://other.example"), base);
        assert_eq!(of("ldap://other.example/"), base);
    }
}
