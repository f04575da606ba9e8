//! Takes one entry into the walk: what it is, what stays of it, and whom it names as members.

use std::ops::Range;
use std::sync::Arc;

use super::table::NameId;
use super::{Group, Owner, Person, Ranged, Slot, Verdict, Walk};
use crate::directory::entry::{self, GroupSort, Sort};
use crate::directory::range::{self, Progress};
use crate::directory::reader::{Fault, RawEntry};
use crate::model::{Attributes, Code, Completeness, Finding, Kind, Names, ShortfallKind, Subject, Values};

impl Walk<'_> {
    /// Takes an entry in under its name, and returns what the name stands for now. `follow`: a group is read
    /// through (else it is of no concern, as where nesting is off).
    pub(super) fn admit(&mut self, raw: RawEntry, follow: bool) -> Option<(NameId, Slot)> {
        let name = self.name(raw.dn())?;
        if let slot @ (Slot::Person(_) | Slot::Group(_)) = self.slot(name) {
            return Some((name, slot));
        }
        self.admit_as(name, &raw, follow);
        Some((name, self.slot(name)))
    }

    /// The same under a name for which nothing has been taken in yet.
    pub(super) fn admit_as(&mut self, name: NameId, raw: &RawEntry, follow: bool) {
        let slot = self.classify(name, raw, follow);
        self.set(name, slot);
    }

    fn classify(&mut self, name: NameId, raw: &RawEntry, follow: bool) -> Slot {
        let sort = entry::sort(self.kind, raw);
        let distribution = self.request.wanted.distribution_groups;
        match sort {
            Sort::Other(_) => return Slot::Ignored,
            Sort::Group(_) if !follow => return Slot::Ignored,
            Sort::Group(GroupSort::Distribution) if !distribution => return Slot::Ignored,
            Sort::Unclear => return self.unclear(name, "objectClass"),
            Sort::Group(GroupSort::Unclear) if !distribution => return self.unclear(name, "groupType"),
            Sort::Person | Sort::Group(_) => {}
        }
        let Some(anchor) = entry::anchor(self.reader.facts(), raw) else {
            let attribute = self.asked.anchor[0].clone();
            return self.unclear(name, &attribute);
        };
        // Renamed while we read: the same object under two names.
        if let Some(slot) = self.by_anchor.get(&anchor) {
            return *slot;
        }
        let slot = match sort {
            Sort::Person => Slot::Person(index(self.people.len())),
            _ => Slot::Group(index(self.groups.len())),
        };
        self.by_anchor.insert(anchor, slot);
        let sid = entry::sid(raw);
        let created = entry::created(self.kind, raw);
        let owner = Owner { slot, anchor, name };
        if sort == Sort::Person {
            let facts = self.reader.facts();
            let now = facts.time(self.request.now);
            let account = entry::account(self.kind, raw, now);
            let expiry = entry::expires(self.kind, raw).filter(|at| *at > now).map(|at| facts.here(at));
            self.next_expiry = self.next_expiry.into_iter().chain(expiry).min();
            let (attributes, fault) = self.keep(raw, owner);
            // An attribute that is known to be a part only is no attribute: the person counts as not read.
            let matches = fault.map_or(Verdict::Matches, |fault| Verdict::Failed(self.fault(fault)));
            self.people.push(Person { anchor, name, sid, account, created, attributes, matches });
            return slot;
        }
        let mut completeness = Completeness::Complete;
        let what = format!("members of {}", self.names.dn(name));
        let (attributes, fault) = self.keep(raw, owner);
        if let Some(fault) = fault {
            completeness.mark(fault.of(format!("attributes of {}", self.names.dn(name))));
        }
        let mut members = Vec::new();
        for (attribute, values) in raw.attributes().filter(|(n, _)| entry::is_member_attribute(n)) {
            if let Some(fault) = self.part(attribute, values, owner) {
                completeness.mark(fault.of(&what));
            }
            self.add_members(values, &mut members, &mut completeness, &what);
        }
        if sort == Sort::Group(GroupSort::MemberUid) {
            let fault = Fault::new(
                ShortfallKind::AttributeUnreadable,
                "its members are kept in memberUid only, which is not understood",
            );
            completeness.mark(fault.of(&what));
            let dn = self.names.dn(name);
            self.findings.push(Finding::new(
                Code::GroupMembersUnsupported,
                Subject { kind: Some(Kind::Group), id: anchor.to_string(), label: dn.leaf() },
                format!(
                    "{dn} names its members by memberUid only, which idcsync does not read; give it `member` \
                     values (groupOfNames), or name another group"
                ),
            ));
        }
        let primary = Vec::new();
        self.groups.push(Group { anchor, name, sid, created, attributes, members, primary, completeness });
        slot
    }

    fn unclear(&mut self, name: NameId, attribute: &str) -> Slot {
        let detail =
            format!("{attribute} of {} could not be read; let the bind account read it", self.names.dn(name));
        Slot::Failed(self.fault(Fault::new(ShortfallKind::AttributeUnreadable, detail)))
    }

    /// The attributes that go into the snapshot. Those that came in part are put on the list to be read on; a
    /// part that makes no sense is a fault.
    fn keep(&mut self, raw: &RawEntry, owner: Owner) -> (Attributes, Option<Fault>) {
        let is_group = matches!(owner.slot, Slot::Group(_));
        let mut list: Vec<(usize, Range<u32>, Values<'_>)> = Vec::with_capacity(self.kept.len());
        let mut fault = None;
        for (attribute, place, values) in raw.places() {
            let is = |kept: &Arc<str>| {
                let rest = attribute.strip_prefix(kept.as_bytes());
                rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(range::OPTION.as_bytes()))
            };
            let Some(at) = self.kept.iter().position(is) else { continue };
            let attribute = std::str::from_utf8(attribute).unwrap_or_default();
            if is_group && entry::is_member_attribute(attribute) {
                continue;
            }
            list.push((at, place, values));
            fault = fault.or(self.part(attribute, values, owner));
        }
        list.sort_by_key(|(at, ..)| *at);
        if list.windows(2).any(|pair| pair[0].0 == pair[1].0) {
            let named = list.into_iter().map(|(at, _, values)| (Arc::clone(&self.kept[at]), values));
            return (Attributes::new(named), fault);
        }
        let names = self.name_list(list.iter().map(|(at, ..)| *at).collect());
        // In memory anyway where the entry is held; else what nobody asked for is not to stay on.
        let attributes = if Arc::strong_count(raw.bytes()) > 1 && !is_group {
            Attributes::within(raw.bytes(), &names, list.into_iter().map(|(_, place, _)| place).collect())
        } else {
            Attributes::of(&names, list.iter().map(|(.., values)| *values))
        };
        (attributes, fault)
    }

    /// These of the names that are kept.
    fn name_list(&mut self, which: Vec<usize>) -> Names {
        let kept = &self.kept;
        let named = |at: &usize| Arc::clone(&kept[*at]);
        match self.lists.get(&which) {
            Some(names) => Arc::clone(names),
            None => Arc::clone(
                self.lists.entry(which).or_insert_with_key(|which| which.iter().map(named).collect()),
            ),
        }
    }

    /// If the attribute came as a range that has not reached its end, puts it on the list.
    fn part(&mut self, attribute: &str, values: Values<'_>, owner: Owner) -> Option<Fault> {
        let (base, span) = range::split(attribute)?;
        let mut progress = Progress::default();
        match span.and_then(|span| progress.take(span, values.count())) {
            Ok(true) => None,
            Ok(false) => {
                self.ranged.push(Ranged { owner, attribute: Arc::from(base), progress });
                None
            }
            Err(why) => Some(Fault::new(ShortfallKind::Range, why)),
        }
    }

    pub(super) fn add_members<'v>(
        &mut self,
        values: impl Iterator<Item = &'v [u8]> + Clone,
        members: &mut Vec<NameId>,
        completeness: &mut Completeness,
        what: &str,
    ) {
        members.reserve_exact(values.clone().count());
        for value in values {
            let text = std::str::from_utf8(value).map(entry::without_unique_id).unwrap_or_default();
            // The empty name is a stand-in that groupOfNames needs where there are no members.
            if text.is_empty() && value.is_empty() {
                continue;
            }
            match self.name(text) {
                Some(id) if !text.is_empty() => members.push(id),
                _ => {
                    let detail = format!("the member `{}` is not a DN", String::from_utf8_lossy(value));
                    let fault = Fault::new(ShortfallKind::Malformed, detail);
                    completeness.mark(fault.of(what));
                }
            }
        }
    }
}

fn index(len: usize) -> u32 {
    u32::try_from(len).unwrap_or(u32::MAX)
}
