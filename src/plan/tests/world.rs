//! A directory, a state and a store in a known state. Tests change them, plan, apply, and look again.

mod run;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::Timestamp;

use super::journal::Book;
use super::store::Store;
use crate::apply::{Applied, Links, Pace, apply, recover};
use crate::cycle::for_tests::{self, Record, Seen, Suspects};
use crate::ids::{Anchor, Dn, IdentityStoreId, LinkNo, TargetId};
use crate::mapping::Mapping;
use crate::model::{
    AccountState, Attributes, Code, Completeness, DirectoryGroup, DirectoryKind, DirectoryUser, EntryOutcome,
    EntryRead, Fate, Finding, GroupIx, Kind, Known, Link, MemberRead, ObjectRef, Progress, ScopeEntry,
    Shortfall, ShortfallKind, Snapshot, SourceInfo, Unreadable, UnreadableMember, UserAttribute, UserIx,
};
use crate::plan::{
    Action, ApprovedPlan, Colors, Distrust, Elapsed, Given, Inputs, Policy, Sort, Sweep, desire, guard, plan,
    render, wants,
};
use crate::scope::{NestedGroups, Scope};
use crate::target::Target;

pub const DOMAIN: &str = "x.example";

#[derive(Clone, Debug)]
pub struct Person {
    pub anchor: Anchor,
    pub upn: String,
    pub attributes: BTreeMap<&'static str, String>,
    pub account: AccountState,
    pub matches_filter: bool,
    pub created: Option<Timestamp>,
    /// The server does not return it to anyone.
    pub hidden: bool,
}

impl Person {
    pub fn set(&mut self, attribute: &'static str, value: &str) -> &mut Self {
        if attribute == "userprincipalname" {
            value.clone_into(&mut self.upn);
        } else if value.is_empty() {
            self.attributes.remove(attribute);
        } else {
            self.attributes.insert(attribute, value.to_owned());
        }
        self
    }
}

#[derive(Clone, Debug)]
pub struct Group {
    pub anchor: Anchor,
    /// sAMAccountName.
    pub name: String,
    pub description: Option<String>,
    /// Handles of people and groups.
    pub members: BTreeSet<String>,
    /// The list of members was not read to its end, from these on.
    pub cut_at: Option<usize>,
    pub foreign: BTreeSet<String>,
    pub created: Option<Timestamp>,
}

#[derive(Clone, Debug)]
pub struct Entry {
    pub kind: Kind,
    pub handle: String,
    pub write: bool,
    pub state: EntryState,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EntryState {
    Sound,
    Unread,
    NotFound,
    /// The name is on the object with this handle now.
    ReboundTo(String),
}

/// Handles are names that stay, whatever happens to the object's own.
#[derive(Clone)]
pub struct World {
    pub people: BTreeMap<String, Person>,
    pub groups: BTreeMap<String, Group>,
    pub entries: Vec<Entry>,
    pub book: Arc<Book>,
    pub store: Arc<Store>,
    pub policy: Policy,
    pub now: Timestamp,
    /// Another order of everything that is read; entries keep that of the config.
    pub shuffle: u64,
    pub in_flight: usize,
    /// Read the target back.
    pub full: bool,
    pub sweep: Option<Sweep>,
    pub distrust: Option<Distrust>,
    /// What the directory says of those who are not read, by handle; the others are absent.
    pub fates: BTreeMap<String, Fate>,
    /// Anchors of people and groups that are gone.
    pub buried: BTreeMap<String, Anchor>,
    pub next: u128,
}

/// A plan and what led to it.
pub struct Prepared {
    pub approved: ApprovedPlan,
    pub findings: Vec<Finding>,
    pub known: Known,
    /// Links as the read changes them.
    record: Vec<Link>,
    complete_read: bool,
}

impl Prepared {
    pub fn text(&self) -> String {
        render(&self.approved, Colors::Off)
    }

    pub fn codes(&self) -> BTreeSet<Code> {
        self.findings.iter().map(|f| f.code).collect()
    }

    pub fn is_empty(&self) -> bool {
        self.approved.is_empty()
    }

    /// `action object [member]` of each step, in order.
    pub fn steps(&self) -> Vec<String> {
        let plan = self.approved.plan();
        plan.numbered()
            .map(|(no, step)| {
                let member = match &step.action {
                    Action::RemoveStranger { label, .. } => format!(" {label}"),
                    other => other.member().map(|m| format!(" {}", plan.label(m))).unwrap_or_default(),
                };
                let object = step.action.object().map(|o| plan.label(o)).unwrap_or_default();
                let held = if self.approved.held().contains_key(&no) { " [held]" } else { "" };
                format!("{} {object}{member}{held}", step.action.sort().word())
            })
            .collect()
    }
}

pub struct Ran {
    pub prepared: Prepared,
    pub applied: Applied,
}

impl Default for World {
    fn default() -> Self {
        let book = Arc::new(Book::default());
        Self {
            people: BTreeMap::new(),
            groups: BTreeMap::new(),
            entries: Vec::new(),
            store: Arc::new(Store::new(Arc::clone(&book))),
            book,
            policy: Policy::default(),
            now: "2026-11-03T12:00:00Z".parse().unwrap(),
            shuffle: 0,
            in_flight: 4,
            full: false,
            sweep: None,
            distrust: None,
            fates: BTreeMap::new(),
            buried: BTreeMap::new(),
            next: 0,
        }
    }
}

pub fn block_on<F: Future>(future: F) -> F::Output {
    tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(future)
}

impl World {
    pub fn new() -> Self {
        Self::default()
    }

    /// People, and groups with members, all groups in scope; already applied.
    pub fn synced(groups: &[(&str, &[&str])]) -> Self {
        let mut world = Self::new();
        for (group, members) in groups {
            world.group(group, members);
            world.enter(group);
        }
        world.settle();
        world
    }

    fn anchor(&mut self) -> Anchor {
        self.next += 1;
        Anchor::from_u128(self.next)
    }

    pub fn person(&mut self, handle: &str) -> &mut Person {
        if !self.people.contains_key(handle) {
            let anchor = self.anchor();
            let attributes = BTreeMap::from([
                ("displayname", handle.to_uppercase()),
                ("givenname", handle.to_owned()),
                ("sn", "Doe".to_owned()),
                ("mail", format!("{handle}@{DOMAIN}")),
            ]);
            let person = Person {
                anchor,
                upn: format!("{handle}@{DOMAIN}"),
                attributes,
                account: AccountState::Enabled,
                matches_filter: true,
                created: None,
                hidden: false,
            };
            self.people.insert(handle.to_owned(), person);
        }
        self.people.get_mut(handle).unwrap()
    }

    /// A group with these members; people who are not there yet are made.
    pub fn group(&mut self, handle: &str, members: &[&str]) -> &mut Group {
        for member in members {
            if !self.groups.contains_key(*member) {
                self.person(member);
            }
        }
        if !self.groups.contains_key(handle) {
            let group = Group {
                anchor: self.anchor(),
                name: handle.to_owned(),
                description: None,
                members: BTreeSet::new(),
                cut_at: None,
                foreign: BTreeSet::new(),
                created: None,
            };
            self.groups.insert(handle.to_owned(), group);
        }
        let group = self.groups.get_mut(handle).unwrap();
        group.members.extend(members.iter().map(|m| (*m).to_owned()));
        group
    }

    pub fn join(&mut self, group: &str, member: &str) {
        self.group(group, &[member]);
    }

    pub fn leave(&mut self, group: &str, member: &str) {
        assert!(self.groups.get_mut(group).unwrap().members.remove(member), "{member} is no member");
    }

    /// Into the scope.
    pub fn enter(&mut self, handle: &str) -> &mut Entry {
        let kind = if self.groups.contains_key(handle) { Kind::Group } else { Kind::User };
        self.entries.push(Entry { kind, handle: handle.to_owned(), write: true, state: EntryState::Sound });
        self.entries.last_mut().unwrap()
    }

    pub fn entry(&mut self, handle: &str) -> &mut Entry {
        self.entries.iter_mut().find(|e| e.handle == handle).unwrap()
    }

    pub fn delete_person(&mut self, handle: &str) {
        let person = self.people.remove(handle).unwrap();
        self.buried.insert(handle.to_owned(), person.anchor);
        self.groups.values_mut().for_each(|g| {
            g.members.remove(handle);
        });
    }

    pub fn later(&mut self, hours: i64) {
        self.now = self.now.checked_add(jiff::SignedDuration::from_hours(hours)).unwrap();
    }

    pub fn anchor_of(&self, handle: &str) -> Anchor {
        (self.people.get(handle).map(|p| p.anchor))
            .or_else(|| self.buried.get(handle).copied())
            .or_else(|| self.groups.get(handle).map(|g| g.anchor))
            .unwrap()
    }

    /// The link of a person or group, as recorded.
    pub fn link(&self, handle: &str) -> Link {
        let anchor = self.anchor_of(handle);
        self.book.known().links.into_values().find(|l| l.anchor == anchor).unwrap()
    }

    pub fn id(&self, handle: &str) -> TargetId {
        self.link(handle).target_id.unwrap()
    }

    /// What the directory answers.
    pub fn read(&self) -> Snapshot {
        let mut people: Vec<&String> =
            self.people.iter().filter(|(_, p)| !p.hidden).map(|(h, _)| h).collect();
        let mut groups: Vec<&String> = self.groups.keys().collect();
        let entries: Vec<&Entry> = self.entries.iter().collect();
        people.sort_by_key(|h| self.people[*h].anchor);
        groups.sort_by_key(|h| self.groups[*h].anchor);
        shuffle(&mut people, self.shuffle);
        shuffle(&mut groups, self.shuffle);
        let users = people.iter().map(|handle| self.user(handle)).collect();
        let place = |list: &[&String], handle: &str| {
            list.iter().position(|h| *h == handle).map(|at| u32::try_from(at).unwrap())
        };
        let read = groups
            .iter()
            .map(|handle| {
                let group = &self.groups[*handle];
                let mut members = MemberRead::default();
                for member in group.members.iter().take(group.cut_at.unwrap_or(usize::MAX)) {
                    match (place(&people, member), place(&groups, member)) {
                        (Some(at), _) => {
                            members.users.insert(at);
                        }
                        (None, Some(at)) => {
                            members.groups.insert(at);
                        }
                        (None, None) => members
                            .unreadable
                            .push(UnreadableMember { dn: dn_of(member), why: Unreadable::NotReturned }),
                    }
                }
                for dn in &group.foreign {
                    let dn = Dn::parse(dn).unwrap();
                    members.unreadable.push(UnreadableMember { dn, why: Unreadable::OutsideBase });
                }
                if group.cut_at.is_some() {
                    members.completeness =
                        Completeness::Incomplete(vec![shortfall(&format!("members of {handle}"))]);
                }
                self.directory_group(handle, members)
            })
            .collect();
        let entries = entries
            .iter()
            .map(|entry| {
                let object = match entry.kind {
                    Kind::User => place(&people, &entry.handle).map(|at| ObjectRef::User(UserIx(at))),
                    Kind::Group => place(&groups, &entry.handle).map(|at| ObjectRef::Group(GroupIx(at))),
                };
                let outcome = match (&entry.state, object) {
                    (EntryState::Unread, _) => EntryOutcome::Unread(shortfall("the entry")),
                    (EntryState::ReboundTo(other), pinned) => EntryOutcome::Rebound {
                        pinned,
                        pinned_anchor: self.anchor_of(&entry.handle),
                        claimant: self.anchor_of(other),
                        claimant_dn: dn_of(other),
                    },
                    (EntryState::Sound, Some(object)) => {
                        EntryOutcome::Resolved { object, name: entry.handle.clone(), renamed: false }
                    }
                    _ => EntryOutcome::NotFound,
                };
                let entry = ScopeEntry { kind: entry.kind, name: entry.handle.clone(), write: entry.write };
                EntryRead { entry, outcome }
            })
            .collect();
        let source = SourceInfo {
            kind: DirectoryKind::ActiveDirectory,
            server: "dc1".to_owned(),
            binding: "S-1-5-21-1-2-3".to_owned(),
            domain: DOMAIN.to_owned(),
            current_time: None,
            clock_ahead: None,
            requests: 0,
            received: 0,
        };
        Snapshot { source, entries, users, groups: read, findings: Vec::new(), next_expiry: None }
    }

    fn user(&self, handle: &str) -> DirectoryUser {
        let person = &self.people[handle];
        let upn = ("userprincipalname", person.upn.as_str());
        let list = person.attributes.iter().map(|(n, v)| (*n, v.as_str())).chain([upn]);
        DirectoryUser {
            anchor: person.anchor,
            dn: dn_of(handle),
            sid: None,
            account: person.account,
            matches_filter: person.matches_filter,
            created: person.created,
            attributes: Attributes::new(
                list.filter(|(_, v)| !v.is_empty()).map(|(n, v)| (Arc::from(n), [v])),
            ),
        }
    }

    fn directory_group(&self, handle: &str, members: MemberRead) -> DirectoryGroup {
        let group = &self.groups[handle];
        let mut attributes = vec![(Arc::from("samaccountname"), vec![group.name.as_bytes().to_vec()])];
        if let Some(text) = &group.description {
            attributes.push((Arc::from("description"), vec![text.as_bytes().to_vec()]));
        }
        DirectoryGroup {
            anchor: group.anchor,
            dn: dn_of(handle),
            sid: None,
            created: group.created,
            attributes: Attributes::new(attributes),
            members,
        }
    }
}

/// What holds for every plan.
fn check(plan: &crate::plan::Plan) {
    for (no, step) in plan.numbered() {
        assert!(step.after.iter().all(|n| *n < no), "a step comes after those that it needs");
        for object in [step.action.object(), step.action.member()].into_iter().flatten() {
            assert!(plan.objects.contains_key(&object), "every object is described");
        }
    }
    for no in plan.confirmed.keys() {
        assert!(!plan.steps.iter().any(|s| s.action.object() == Some(*no)
            && s.action.member().is_none()
            && !matches!(s.action, Action::RemoveStranger { .. })));
    }
    let prints: BTreeSet<_> = plan.steps.iter().map(|s| plan.fingerprint(&s)).collect();
    assert_eq!(prints.len(), plan.steps.len(), "no step is planned twice");
}

pub fn mapping() -> Mapping {
    let expression = |text: &str| crate::mapping::Expression::template(text).unwrap();
    Mapping::new(
        DirectoryKind::ActiveDirectory,
        BTreeMap::from([(UserAttribute::Title, expression("${title}"))]),
        BTreeMap::from([(crate::model::GroupAttribute::DisplayName, expression("${samaccountname}"))]),
    )
}

fn dn_of(handle: &str) -> Dn {
    Dn::parse(&format!("CN={handle},DC=x,DC=example")).unwrap()
}

pub fn shortfall(what: &str) -> Shortfall {
    Shortfall { kind: ShortfallKind::Timeout, what: what.to_owned(), detail: "no answer in 30s".to_owned() }
}

/// Fisher-Yates with a small generator; 0 leaves the order.
fn shuffle<T>(list: &mut [T], seed: u64) {
    let mut state = seed;
    for at in (1..list.len()).rev().filter(|_| seed != 0) {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let other = usize::try_from(state >> 33).unwrap() % (at + 1);
        list.swap(at, other);
    }
}
