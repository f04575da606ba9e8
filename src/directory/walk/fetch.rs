//! What groups lead to: the rest of long attributes, people by primary group, and members that are unknown yet, many
//! together. Levels do not wait for one another where few are unknown.

use std::collections::{BTreeMap, HashMap, VecDeque};

use futures::future::maybe_done;
use futures::{StreamExt, poll, stream};
use roaring::RoaringBitmap;
use tracing::debug;

use super::resolve::Resolved;
use super::table::NameId;
use super::{Ranged, Slot, Verdict, Walk};
use crate::directory::entry;
use crate::directory::filter::{negated, wrapped};
use crate::directory::reader::{Ending, Fault, Query, RawEntry, rest_of};
use crate::ids::{Dn, Sid};
use crate::model::{Completeness, DirectoryKind, ShortfallKind, Unreadable};

/// Look-ups and ranges that are under way at the same time.
const IN_FLIGHT: usize = 4;
/// More names than these pages hold are swept up in one search of everybody.
const SWEEP_FROM_PAGES: usize = 4;
/// One entry in so many must be a wanted one, as far as can be foreseen.
const SWEEP_SHARE: u64 = 3;
/// Groups whose people are asked for in one search.
const PRIMARY_AT_ONCE: usize = 100;

impl Walk<'_> {
    pub(super) async fn descend(&mut self) {
        let mut level = 0;
        let mut from = 0;
        loop {
            self.finish_ranges().await;
            let to = self.groups.len();
            if from == to {
                return;
            }
            if self.kind == DirectoryKind::ActiveDirectory && self.request.wanted.primary_group {
                self.read_primary(from, to).await;
            }
            let pending = self.unknown_members(from, to);
            debug!(level, groups = to - from, unknown = pending.len(), "reading the members of a level");
            self.look_up(pending).await;
            self.finish_ranges().await;
            if !self.request.wanted.nested {
                return;
            }
            from = to;
            level += 1;
        }
    }

    /// The members of these groups whose names turn up for the first time; those that cannot be asked for are
    /// settled here.
    fn unknown_members(&mut self, from: usize, to: usize) -> Vec<NameId> {
        let mut pending = Vec::new();
        let base = &self.reader.facts().base;
        for group in &self.groups[from..to] {
            for member in &group.members {
                let slot = &mut self.slots[member.0 as usize];
                if *slot != Slot::Unseen {
                    continue;
                }
                let dn = self.names.dn(*member);
                *slot = if self.kind == DirectoryKind::ActiveDirectory && is_foreign_principal(dn) {
                    Slot::Unreadable(Unreadable::ForeignSecurityPrincipal)
                } else if !dn.is_within(base) {
                    Slot::Unreadable(Unreadable::OutsideBase)
                } else {
                    pending.push(*member);
                    Slot::Asked
                };
            }
        }
        pending
    }

    async fn look_up(&mut self, mut pending: Vec<NameId>) {
        while !pending.is_empty() {
            self.sweep_up(&mut pending).await;
            pending = self.look_up_each(pending.into()).await;
        }
    }

    /// So many are more than a few: they may be worth a sweep.
    fn many(&self) -> usize {
        self.reader.facts().page * SWEEP_FROM_PAGES
    }

    /// Leaves those that no sweep has brought.
    async fn sweep_up(&mut self, pending: &mut Vec<NameId>) {
        for (what, filter) in [("people", people_filter(self.kind)), ("groups", groups_filter(self.kind))] {
            // What a sweep brings is known once there was one: it must be worth its while.
            let worth = |brought: u64| pending.len() as u64 * SWEEP_SHARE >= brought;
            if pending.len() <= self.many() || !self.swept.is_none_or(worth) {
                return;
            }
            let batches = (pending.len() / self.reader.facts().batch.max(1)) as u64;
            let spare = if what == "people" { pending.len() as u64 * SWEEP_SHARE } else { 0 };
            self.sweep(what, &filter, batches.saturating_mul(2).max(8), spare).await;
            pending.retain(|name| self.slot(*name) == Slot::Asked);
        }
    }

    /// And the members of groups that are found so: while one answer is taken in, the server is at work on others, and
    /// levels need not wait for each other. Returns those that are left to be looked up, where they are many.
    async fn look_up_each(&mut self, mut pending: VecDeque<NameId>) -> Vec<NameId> {
        let reader = self.reader;
        let attributes = &self.asked.all.clone();
        let batch = reader.facts().batch.max(1);
        let mut left = Vec::new();
        let mut seen = self.groups.len();
        let mut under_way = VecDeque::new();
        loop {
            // A request that is not full waits for more names, unless nothing else is under way.
            while under_way.len() < IN_FLIGHT
                && (pending.len() >= batch || under_way.is_empty() && !pending.is_empty())
            {
                let ids: Vec<NameId> = pending.drain(..batch.min(pending.len())).collect();
                let dns: Vec<Dn> = ids.iter().map(|id| self.names.dn(*id).clone()).collect();
                let mut request = Box::pin(maybe_done(async move {
                    let answer = reader.lookup(&dns, None, attributes).await;
                    (ids, answer)
                }));
                // Sent now, and not when the answer is waited for.
                let _ = poll!(request.as_mut());
                under_way.push_back(request);
            }
            let Some(mut request) = under_way.pop_front() else { return left };
            request.as_mut().await;
            let Some((ids, (entries, ending))) = request.as_mut().take_output() else { continue };
            for entry in entries {
                self.admit_asked(entry);
            }
            self.settle(&ids, ending);
            if self.request.wanted.nested {
                let found = self.groups.len();
                let members = self.unknown_members(seen, found);
                seen = found;
                if left.is_empty() && pending.len() + members.len() <= self.many() {
                    pending.extend(members);
                } else {
                    left.extend(members);
                }
            }
        }
    }

    /// What a look-up did not return: why not.
    fn settle(&mut self, ids: &[NameId], ending: Ending) {
        let fault = ending.fault.map(|fault| self.fault(fault));
        self.note_referrals(&ending.referrals);
        for id in ids {
            if self.slot(*id) != Slot::Asked {
                continue;
            }
            let dn = self.names.dn(*id);
            let slot = match fault {
                Some(fault) => Slot::Failed(fault),
                None if self.referrals.iter().any(|r| dn.is_within(&r.base)) => {
                    Slot::Unreadable(Unreadable::Referred)
                }
                None => Slot::Unreadable(Unreadable::NotReturned),
            };
            self.set(*id, slot);
        }
    }

    pub(super) fn note_referrals(&mut self, referrals: &[crate::directory::reader::Referral]) {
        for referral in referrals {
            if !self.referrals.contains(referral) {
                debug!(referral.url, "the server referred to another one; referrals are not followed");
                self.referrals.push(referral.clone());
            }
        }
    }

    /// One search of everybody, of which those are kept who were asked for, and some to spare: a later level may
    /// ask for them. Faults do not matter: what it did not show is looked up afterwards.
    async fn sweep(&mut self, what: &'static str, filter: &str, most_pages: u64, mut spare: u64) {
        let reader = self.reader;
        // Of the classes of groups and of people one may have both, where they are not of one kind.
        let only_people = what == "people" && self.kind == DirectoryKind::ActiveDirectory;
        let attributes = if only_people { self.asked.people.clone() } else { self.asked.all.clone() };
        let query = Query { filter, attributes: &attributes, pages: Some(most_pages), verdicts: None };
        let before = reader.traffic();
        let ending = reader
            .search(&query, &mut |entry| {
                let Some(name) = self.name_if(entry.dn(), spare > 0) else { return };
                match self.slot(name) {
                    Slot::Asked => self.admit_as(name, &entry, self.request.wanted.nested),
                    // A group that something leads to is read through then.
                    Slot::Unseen if spare > 0 && !entry::is_group(self.kind, &entry) => {
                        spare -= 1;
                        self.admit_as(name, &entry, false);
                    }
                    _ => {}
                }
            })
            .await;
        let now = reader.traffic();
        let (pages, brought) = (now.requests - before.requests, now.received - before.received);
        debug!(what, pages, brought, given_up = ending.given_up, "swept the directory");
        self.note_referrals(&ending.referrals);
        self.swept = Some(if ending.given_up { u64::MAX } else { brought });
    }

    fn admit_asked(&mut self, entry: RawEntry) {
        let name = self.names.find(entry.dn()).filter(|name| self.slot(*name) == Slot::Asked);
        if let Some(name) = name {
            self.admit_as(name, &entry, self.request.wanted.nested);
        }
    }

    /// People who are members of these groups by `primaryGroupID`, which no `member` shows.
    async fn read_primary(&mut self, from: usize, to: usize) {
        let reader = self.reader;
        let mut by_rid: BTreeMap<u32, Vec<(Option<Sid>, usize)>> = BTreeMap::new();
        for at in from..to {
            let group = &mut self.groups[at];
            let sid = group.sid.as_ref();
            if let Some((rid, domain)) = sid.and_then(|sid| Some((sid.rid()?, sid.domain()))) {
                by_rid.entry(rid).or_default().push((domain, at));
            } else if reader.facts().sids {
                let fault = Fault::new(
                    ShortfallKind::AttributeUnreadable,
                    "objectSid of the group could not be read, by which they are asked for; let the bind account \
                     read it, or set `primary-group = false`",
                );
                let dn = self.names.dn(group.name);
                group.completeness.mark(fault.of(format!("members of {dn} by primary group")));
            }
        }
        let attributes = self.asked.people.clone();
        let rids: Vec<u32> = by_rid.keys().copied().collect();
        for chunk in rids.chunks(PRIMARY_AT_ONCE) {
            let ids: String = chunk.iter().map(|rid| format!("(primaryGroupID={rid})")).collect();
            let filter = format!("(&(objectClass=user)(!(objectClass=computer))(|{ids}))");
            let query = Query { filter: &filter, attributes: &attributes, pages: None, verdicts: None };
            let ending = reader.search(&query, &mut |entry| self.admit_primary(entry, &by_rid)).await;
            let Some(fault) = ending.fault else { continue };
            for (_, at) in chunk.iter().filter_map(|rid| by_rid.get(rid)).flatten() {
                let dn = self.names.dn(self.groups[*at].name);
                let shortfall = fault.of(format!("members of {dn} by primary group"));
                self.groups[*at].completeness.mark(shortfall);
            }
        }
    }

    fn admit_primary(&mut self, entry: RawEntry, by_rid: &BTreeMap<u32, Vec<(Option<Sid>, usize)>>) {
        let rid = entry.number("primarygroupid").and_then(|n| u32::try_from(n).ok());
        let domain = entry::sid(&entry).and_then(|sid| sid.domain());
        let Some(groups) = rid.and_then(|rid| by_rid.get(&rid)) else { return };
        // Unreadable attributes: the person is counted among the groups' failed members.
        let admitted = self.admit(entry, false);
        for (group_domain, at) in groups {
            if domain.is_some() && domain != *group_domain {
                continue;
            }
            match admitted {
                Some((_, Slot::Person(person))) => {
                    let primary = &mut self.groups[*at].primary;
                    // Repeated entries come one after the other, if at all; the rest is a bitmap's business.
                    if primary.last() != Some(&person) {
                        primary.push(person);
                    }
                }
                Some((name, Slot::Failed(_))) => self.groups[*at].members.push(name),
                _ => {}
            }
        }
    }

    /// Reads on all attributes that came in part, several at once.
    pub(super) async fn finish_ranges(&mut self) {
        let reader = self.reader;
        let jobs: Vec<(Ranged, Dn)> = std::mem::take(&mut self.ranged)
            .into_iter()
            .map(|job| {
                let dn = self.names.dn(job.owner.name).clone();
                (job, dn)
            })
            .collect();
        let mut parts = stream::iter(jobs)
            .map(|(job, dn)| async move {
                let (values, fault) =
                    rest_of(reader, (job.owner.anchor, &dn), &job.attribute, job.progress).await;
                (job, values, fault)
            })
            .buffered(IN_FLIGHT);
        while let Some((job, values, fault)) = parts.next().await {
            match job.owner.slot {
                Slot::Group(at) => self.add_to_group(at, &job, values, fault),
                Slot::Person(at) => {
                    let fault = fault.map(|fault| self.fault(fault));
                    let person = &mut self.people[at as usize];
                    person.attributes = person.attributes.with(&job.attribute, &values);
                    if let Some(fault) = fault {
                        person.matches = Verdict::Failed(fault);
                    }
                }
                _ => {}
            }
        }
    }

    fn add_to_group(&mut self, at: u32, job: &Ranged, values: Vec<Vec<u8>>, fault: Option<Fault>) {
        let what = format!("{} of {}", job.attribute, self.names.dn(job.owner.name));
        let at = at as usize;
        if let Some(fault) = fault {
            self.groups[at].completeness.mark(fault.of(&what));
        }
        if entry::is_member_attribute(&job.attribute) {
            let mut members = std::mem::take(&mut self.groups[at].members);
            let mut completeness =
                std::mem::replace(&mut self.groups[at].completeness, Completeness::Complete);
            let values = values.iter().map(Vec::as_slice);
            self.add_members(values, &mut members, &mut completeness, &what);
            self.groups[at].members = members;
            self.groups[at].completeness = completeness;
        } else {
            let attributes = &mut self.groups[at].attributes;
            *attributes = attributes.with(&job.attribute, &values);
        }
    }

    /// Who of the people read matches the user filter, by the server's word, and who does not, by the same: whom it
    /// returns neither way it cannot judge, or not find any more.
    pub(super) async fn hold_against_filter(&mut self, resolved: &[Resolved]) {
        let Some(filter) = self.request.wanted.user_filter.as_deref().map(wrapped) else { return };
        let mut open: Vec<usize> = self
            .referenced(resolved)
            .iter()
            .map(|at| at as usize)
            .filter(|at| self.people[*at].matches == Verdict::Matches)
            .collect();
        for at in &open {
            self.people[*at].matches = Verdict::Open;
        }
        let not = negated(&filter);
        for (filter, verdict) in [(&filter, Verdict::Matches), (&not, Verdict::Differs)] {
            self.judge(filter, &open, verdict).await;
            open.retain(|at| self.people[*at].matches == Verdict::Open);
        }
        self.fail_unjudged(&open);
    }

    /// Whom of these the server returns for the filter has that verdict.
    async fn judge(&mut self, filter: &str, open: &[usize], verdict: Verdict) {
        let reader = self.reader;
        let attributes = self.asked.anchor.clone();
        let by_name: HashMap<NameId, usize> = open.iter().map(|at| (self.people[*at].name, *at)).collect();
        if open.len() > reader.facts().page * SWEEP_FROM_PAGES {
            let sweep = format!("(&{}{filter})", people_filter(self.kind));
            let query =
                Query { filter: &sweep, attributes: &attributes, pages: None, verdicts: Some(filter) };
            let ending = reader.search(&query, &mut |entry| self.judged(&entry, &by_name, verdict)).await;
            self.undecided(open.iter().copied(), ending.fault);
            return;
        }
        let names: Vec<NameId> = open.iter().map(|at| self.people[*at].name).collect();
        let lookups = batches(self, &names);
        let mut answers = stream::iter(lookups)
            .map(|(ids, dns)| {
                let attributes = attributes.clone();
                async move { (ids, reader.lookup(&dns, Some(filter), &attributes).await) }
            })
            .buffered(IN_FLIGHT);
        while let Some((ids, (entries, ending))) = answers.next().await {
            for entry in entries {
                self.judged(&entry, &by_name, verdict);
            }
            self.undecided(ids.iter().filter_map(|id| by_name.get(id).copied()), ending.fault);
        }
    }

    fn fail_unjudged(&mut self, open: &[usize]) {
        let Some(first) = open.first() else { return };
        let first = self.names.dn(self.people[*first].name);
        let whom = match open.len() {
            1 => first.to_string(),
            count => format!("{count} people, {first} among them,"),
        };
        // One for all: a filter that the server cannot judge may concern everybody.
        let fault = Fault::new(
            ShortfallKind::AttributeUnreadable,
            format!(
                "of {whom} the server says neither that they match the user filter nor that they do not: let the bind \
                 account read what `user-filter` looks at. Who was only moved meanwhile is read next time"
            ),
        );
        let fault = self.fault(fault);
        for at in open {
            self.people[*at].matches = Verdict::Failed(fault);
        }
    }

    /// The people whom a group or an entry leads to; others were swept up to spare.
    pub(super) fn referenced(&self, resolved: &[Resolved]) -> RoaringBitmap {
        let mut people = RoaringBitmap::new();
        let members = self.groups.iter().flat_map(|group| &group.members).map(|name| self.slot(*name));
        let entries = resolved.iter().filter_map(|resolved| match resolved {
            Resolved::Object { slot, .. } | Resolved::Rebound { pinned: Some(slot), .. } => Some(*slot),
            _ => None,
        });
        people.extend(members.chain(entries).filter_map(|slot| match slot {
            Slot::Person(at) => Some(at),
            _ => None,
        }));
        people.extend(self.groups.iter().flat_map(|group| &group.primary).copied());
        people
    }

    fn judged(&mut self, entry: &RawEntry, by_name: &HashMap<NameId, usize>, verdict: Verdict) {
        let anchor = entry::anchor(self.reader.facts(), entry);
        let slot = anchor.and_then(|anchor| self.by_anchor.get(&anchor).copied());
        let at = match slot {
            Some(Slot::Person(at)) => Some(at as usize),
            _ => self.names.find(entry.dn()).and_then(|id| by_name.get(&id).copied()),
        };
        if let Some(at) = at
            && self.people[at].matches == Verdict::Open
        {
            self.people[at].matches = verdict;
        }
    }

    /// After an answer that was cut short, not to be among those returned says nothing.
    fn undecided(&mut self, people: impl Iterator<Item = usize>, fault: Option<Fault>) {
        let Some(fault) = fault else { return };
        let fault = self.fault(fault);
        for at in people {
            if self.people[at].matches == Verdict::Open {
                self.people[at].matches = Verdict::Failed(fault);
            }
        }
    }
}

fn batches(walk: &Walk<'_>, names: &[NameId]) -> Vec<(Vec<NameId>, Vec<Dn>)> {
    names
        .chunks(walk.reader.facts().batch.max(1))
        .map(|ids| (ids.to_vec(), ids.iter().map(|id| walk.names.dn(*id).clone()).collect()))
        .collect()
}

/// `CN=S-1-5-…,CN=ForeignSecurityPrincipals,…`: stands for someone of another forest.
fn is_foreign_principal(dn: &Dn) -> bool {
    let mut parts = dn.components();
    parts.next().is_some_and(|leaf| leaf.starts_with("cn=s-1-"))
        && parts.next() == Some("cn=foreignsecurityprincipals")
}

pub(in crate::directory) fn people_filter(kind: DirectoryKind) -> String {
    match kind {
        DirectoryKind::ActiveDirectory => "(&(objectClass=user)(!(objectClass=computer)))".to_owned(),
        DirectoryKind::Ldap => classes(&entry::LDAP_PEOPLE),
    }
}

pub(in crate::directory) fn groups_filter(kind: DirectoryKind) -> String {
    match kind {
        DirectoryKind::ActiveDirectory => "(objectClass=group)".to_owned(),
        DirectoryKind::Ldap => classes(&entry::LDAP_GROUPS),
    }
}

fn classes(names: &[&str]) -> String {
    let all: String = names.iter().map(|c| format!("(objectClass={c})")).collect();
    format!("(|{all})")
}
