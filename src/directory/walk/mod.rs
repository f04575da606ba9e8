//! The walk from the scope's entries through their members, with the same behaviour whatever is read. It never asks for
//! members one by one: names that are unknown are looked up together, and swept up where they are many.
//!
//! What could not be read is noted beside the name it concerns, and becomes a mark on exactly the groups and
//! entries that hold that name when the snapshot is put together.

mod admit;
mod fetch;
mod look;
mod pins;
mod resolve;
mod snapshot;
mod table;
#[cfg(test)]
mod tests;

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use jiff::Timestamp;

pub(super) use self::fetch::{groups_filter, people_filter};
pub(super) use self::look::{above, look};
use self::table::{NameId, Names};
use super::entry;
use super::mirror;
use super::range::Progress;
use super::reader::{Fault, Reader, Referral, Selection};
use crate::ids::{Anchor, Sid};
use crate::model::{
    self, AccountState, Attributes, Completeness, DirectoryKind, Finding, ReadRequest, Snapshot, Unreadable,
    Wanted,
};

/// Reads all that the request's entries reach.
pub(super) async fn read(reader: &dyn Reader, request: &ReadRequest) -> Snapshot {
    let mut walk = Walk::new(reader, request);
    let resolved = walk.resolve().await;
    walk.descend().await;
    walk.hold_against_filter(&resolved).await;
    walk.into_snapshot(resolved)
}

/// How the scope's entries fare, without their members: for `check`.
pub(super) async fn resolve_only(reader: &dyn Reader, request: &ReadRequest) -> Snapshot {
    let mut walk = Walk::new(reader, request);
    let resolved = walk.resolve().await;
    for group in &mut walk.groups {
        group.members.clear();
    }
    walk.into_snapshot(resolved)
}

struct Walk<'r> {
    reader: &'r dyn Reader,
    request: &'r ReadRequest,
    kind: DirectoryKind,
    asked: Asked,
    /// What of an entry's attributes goes into the snapshot.
    kept: Vec<Arc<str>>,
    /// Those of them that one entry or another has, by their places among them: each list once.
    lists: HashMap<Vec<usize>, model::Names>,
    names: Names,
    /// What became of each name, by [`NameId`].
    slots: Vec<Slot>,
    by_anchor: HashMap<Anchor, Slot>,
    people: Vec<Person>,
    groups: Vec<Group>,
    /// Attributes that came in part, to be read on.
    ranged: Vec<Ranged>,
    faults: Vec<Fault>,
    referrals: Vec<Referral>,
    findings: Vec<Finding>,
    next_expiry: Option<Timestamp>,
    /// Entries that the last sweep brought.
    swept: Option<u64>,
}

/// The attributes that are asked for.
struct Asked {
    /// Of people only: without the members.
    people: Selection,
    /// Of whatever the name may turn out to be.
    all: Selection,
    /// To know an entry again.
    anchor: Selection,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Slot {
    /// Only the name is known.
    Unseen,
    /// The name is being looked up.
    Asked,
    Person(u32),
    Group(u32),
    /// Read, and of no concern: a computer, a contact, a distribution group.
    Ignored,
    Unreadable(Unreadable),
    /// Not read; an index into the faults.
    Failed(u32),
}

struct Person {
    anchor: Anchor,
    name: NameId,
    sid: Option<Sid>,
    account: AccountState,
    created: Option<Timestamp>,
    attributes: Attributes,
    matches: Verdict,
}

/// What is known of the user filter's verdict on somebody.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    Matches,
    Differs,
    /// Still to be found out.
    Open,
    /// Could not be found out; an index into the faults. The person counts as not read.
    Failed(u32),
}

struct Group {
    anchor: Anchor,
    name: NameId,
    sid: Option<Sid>,
    created: Option<Timestamp>,
    attributes: Attributes,
    members: Vec<NameId>,
    /// People whose primary group this is, by index.
    primary: Vec<u32>,
    completeness: Completeness,
}

/// A person or group, and under which names the server knows it.
#[derive(Clone, Copy, Debug)]
struct Owner {
    slot: Slot,
    anchor: Anchor,
    name: NameId,
}

/// The rest of an attribute that is still to be read.
struct Ranged {
    owner: Owner,
    attribute: Arc<str>,
    progress: Progress,
}

/// The attributes that are asked for of a person: those that the user filter looks at among them, so that it is seen when
/// they change. (Those that servers make up are not: a change of them is told by nobody.)
pub(super) fn of_people(kind: DirectoryKind, wanted: &Wanted) -> BTreeSet<String> {
    let filter = wanted.user_filter.iter().flat_map(|text| mirror::seen_by(text));
    entry::always(kind)
        .iter()
        .map(|a| (*a).to_owned())
        .chain(wanted.attributes.iter().cloned())
        .chain(filter)
        .collect()
}

/// The attributes that are asked for of an entry that may be anything.
pub(super) fn of_all(kind: DirectoryKind, wanted: &Wanted) -> BTreeSet<String> {
    let mut all = of_people(kind, wanted);
    all.insert("member".to_owned());
    if kind == DirectoryKind::Ldap {
        all.insert("uniquemember".to_owned());
    }
    all
}

impl<'r> Walk<'r> {
    fn new(reader: &'r dyn Reader, request: &'r ReadRequest) -> Self {
        let facts = reader.facts();
        let kind = facts.kind;
        let wanted = &request.wanted.attributes;
        let people = of_people(kind, &request.wanted);
        let all = of_all(kind, &request.wanted);
        let anchor = match kind {
            DirectoryKind::ActiveDirectory => "objectguid",
            DirectoryKind::Ldap if facts.ns_unique_id => "nsuniqueid",
            DirectoryKind::Ldap => "entryuuid",
        };
        let kept: BTreeSet<&str> =
            entry::naming(kind).iter().copied().chain(wanted.iter().map(String::as_str)).collect();
        Self {
            reader,
            request,
            kind,
            asked: Asked {
                people: people.into_iter().collect(),
                all: all.into_iter().collect(),
                anchor: [anchor.to_owned()].into(),
            },
            kept: kept.into_iter().map(Arc::from).collect(),
            lists: HashMap::new(),
            names: Names::default(),
            slots: Vec::new(),
            by_anchor: HashMap::new(),
            people: Vec::new(),
            groups: Vec::new(),
            ranged: Vec::new(),
            faults: Vec::new(),
            referrals: Vec::new(),
            findings: Vec::new(),
            next_expiry: None,
            swept: None,
        }
    }

    fn name(&mut self, text: &str) -> Option<NameId> {
        let id = self.names.of(text).ok()?;
        self.slots.resize(self.names.len(), Slot::Unseen);
        Some(id)
    }

    /// The same, of names that are known, and of others only where they are `wanted`.
    fn name_if(&mut self, text: &str, wanted: bool) -> Option<NameId> {
        let id = self.names.of_wanted(text, wanted)?;
        self.slots.resize(self.names.len(), Slot::Unseen);
        Some(id)
    }

    fn slot(&self, id: NameId) -> Slot {
        self.slots[id.0 as usize]
    }

    fn set(&mut self, id: NameId, slot: Slot) {
        self.slots[id.0 as usize] = slot;
    }

    /// Keeps a fault; the same one again has the same number.
    fn fault(&mut self, fault: Fault) -> u32 {
        let last = self.faults.len().saturating_sub(8);
        let at = match self.faults[last..].iter().position(|f| *f == fault) {
            Some(at) => last + at,
            None => {
                self.faults.push(fault);
                self.faults.len() - 1
            }
        };
        u32::try_from(at).unwrap_or(u32::MAX)
    }

    fn fault_at(&self, index: u32) -> &Fault {
        &self.faults[index as usize]
    }
}
