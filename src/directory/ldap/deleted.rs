//! Deleted objects that a server still shows: tombstones ([MS-ADTS] 3.1.1.5.5), and those of 389 Directory Server.

use std::collections::BTreeSet;

use ldap3::Scope;
use ldap3::controls::RawControl;

use super::search::LdapReader;
use super::wire::Ask;
use crate::directory::entry;
use crate::directory::names;
use crate::directory::reader::{Ending, Fault, RawEntry, Selection};
use crate::ids::{Anchor, Dn};
use crate::model::DirectoryKind;

/// LDAP_SERVER_SHOW_DELETED_OID ([MS-ADTS] 3.1.1.3.4.1.14)
pub(super) const SHOW_DELETED: &str = "1.2.840.113556.1.4.417";

/// What a look at all deleted objects shows.
#[derive(Debug)]
pub(in crate::directory) enum Sight {
    Objects,
    /// The container that they lie in, and none in it.
    Container,
    Nothing(Option<Fault>),
}

/// The condition that a deleted object fulfils and no other one does; `None` where the server keeps none.
fn condition(kind: DirectoryKind, ns_unique_id: bool) -> Option<&'static str> {
    match kind {
        DirectoryKind::ActiveDirectory => Some("(isDeleted=TRUE)"),
        // 389 DS shows them where the filter names them.
        DirectoryKind::Ldap => ns_unique_id.then_some("(objectClass=nsTombstone)"),
    }
}

impl LdapReader {
    /// Which of these the server shows as deleted. It may hide them from this account: who is missing may be there.
    pub(super) async fn tombstones(&self, anchors: &[Anchor]) -> (BTreeSet<Anchor>, Ending) {
        let facts = &self.facts;
        let mut found = BTreeSet::new();
        let Some(condition) = condition(facts.kind, facts.ns_unique_id).filter(|_| !anchors.is_empty())
        else {
            return (found, Ending::default());
        };
        let each: Vec<String> = anchors.iter().map(|anchor| names::by_anchor(facts, *anchor)).collect();
        let filter = format!("(&{condition}{})", names::any(&each));
        let mut keep = |raw: RawEntry| {
            // The server's filter is not taken on trust.
            if let Some(anchor) = entry::anchor(facts, &raw).filter(|_| entry::is_deleted(facts.kind, &raw))
                && anchors.contains(&anchor)
            {
                found.insert(anchor);
            }
        };
        // From the top of the domain: the container itself cannot be named by whoever may not see it.
        let ending = self.among_deleted(&facts.context, &filter, None, &mut keep).await;
        (found, ending)
    }

    /// Whether any deleted object is shown to this account. `None` where the server keeps none.
    pub(in crate::directory) async fn sight_of_deleted(&self) -> Option<Sight> {
        let facts = &self.facts;
        let condition = condition(facts.kind, facts.ns_unique_id)?;
        let container = match facts.kind {
            DirectoryKind::ActiveDirectory => {
                Dn::parse(&format!("CN=Deleted Objects,{}", facts.context)).ok()?
            }
            DirectoryKind::Ldap => facts.context.clone(),
        };
        let (mut objects, mut itself) = (false, false);
        let mut count = |raw: RawEntry| {
            if Dn::parse(raw.dn()).is_ok_and(|dn| dn == container) {
                itself = true;
            } else if entry::is_deleted(facts.kind, &raw) {
                objects = true;
            }
        };
        let ending = self.among_deleted(&container, condition, Some(1), &mut count).await;
        Some(match (objects, itself) {
            (true, _) => Sight::Objects,
            (false, true) => Sight::Container,
            (false, false) => Sight::Nothing(ending.fault),
        })
    }

    async fn among_deleted(
        &self,
        base: &Dn,
        filter: &str,
        pages: Option<u64>,
        sink: &mut (dyn FnMut(RawEntry) + Send),
    ) -> Ending {
        let (attributes, controls): (Selection, _) = match self.facts.kind {
            DirectoryKind::ActiveDirectory => (
                ["objectGUID", "isDeleted"].map(str::to_owned).into(),
                vec![RawControl { ctype: SHOW_DELETED.to_owned(), crit: true, val: None }],
            ),
            DirectoryKind::Ldap => (["nsUniqueId", "objectClass"].map(str::to_owned).into(), Vec::new()),
        };
        let ask = Ask {
            base: base.as_str(),
            scope: Scope::Subtree,
            filter,
            attributes: &attributes,
            page: None,
            controls: &controls,
        };
        self.paged(ask, pages, sink).await
    }
}
