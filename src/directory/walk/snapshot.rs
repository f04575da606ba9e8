//! Puts together what was read: everything ordered by anchor, and every fault turned into a mark on exactly the
//! groups and entries that it touches.

use std::collections::{BTreeMap, BTreeSet};

use tracing::debug;

use super::resolve::Resolved;
use super::table::NameId;
use super::{Group, Person, Slot, Verdict, Walk};
use crate::directory::entry;
use crate::directory::reader::Fault;
use crate::ids::Anchor;
use crate::model::{
    AccountState, Code, DeletionProof, DirectoryGroup, DirectoryKind, DirectoryUser, EntryOutcome, EntryRead,
    Finding, GroupIx, Kind, MemberRead, ObjectRef, ScopeEntry, ShortfallKind, Snapshot, SourceInfo, Subject,
    Unreadable, UnreadableMember, UserIx,
};

/// New places of people and groups; `Err` with the fault for people who count as not read.
struct Places {
    people: Vec<Result<u32, u32>>,
    groups: Vec<u32>,
}

impl Walk<'_> {
    pub(super) fn into_snapshot(mut self, resolved: Vec<Resolved>) -> Snapshot {
        let mut people_order: Vec<usize> = self
            .referenced(&resolved)
            .iter()
            .map(|at| at as usize)
            .filter(|at| !matches!(self.people[*at].matches, Verdict::Failed(_)))
            .collect();
        people_order.sort_by_key(|at| self.people[*at].anchor);
        let mut group_order: Vec<usize> = (0..self.groups.len()).collect();
        group_order.sort_by_key(|at| self.groups[*at].anchor);
        let mut places = Places {
            people: self
                .people
                .iter()
                .map(|person| match person.matches {
                    Verdict::Failed(fault) => Err(fault),
                    Verdict::Matches | Verdict::Differs | Verdict::Open => Ok(0),
                })
                .collect(),
            groups: vec![0; self.groups.len()],
        };
        for (new, old) in (0_u32..).zip(&people_order) {
            places.people[*old] = Ok(new);
        }
        for (new, old) in (0_u32..).zip(&group_order) {
            places.groups[*old] = new;
        }

        let mut unreadable: BTreeMap<NameId, (Unreadable, Vec<String>)> = BTreeMap::new();
        let mut members: Vec<Option<MemberRead>> =
            self.groups.iter().map(|group| Some(self.members_of(group, &places, &mut unreadable))).collect();
        let mut groups: Vec<Option<Group>> = std::mem::take(&mut self.groups).into_iter().map(Some).collect();
        let mut people: Vec<Option<Person>> =
            std::mem::take(&mut self.people).into_iter().map(Some).collect();
        let mut users = Vec::with_capacity(people_order.len());
        users.extend(people_order.iter().filter_map(|at| people[*at].take()).map(|person| self.user(person)));
        drop(people);
        let groups: Vec<DirectoryGroup> = group_order
            .iter()
            .filter_map(|at| groups[*at].take().zip(members[*at].take()))
            .map(|(group, members)| self.group(group, members))
            .collect();
        for (name, (why, holders)) in unreadable {
            self.unreadable_finding(name, why, &holders);
        }
        let request = self.request;
        let entries = request
            .wanted
            .entries
            .iter()
            .zip(resolved)
            .map(|(entry, resolved)| self.outcome(entry.clone(), resolved, &places, &users, &groups))
            .collect();
        let source = self.source();
        debug!(
            server = source.server,
            requests = source.requests,
            received = source.received,
            people = users.len(),
            groups = groups.len(),
            "read the directory"
        );
        Snapshot { source, entries, users, groups, findings: self.findings, next_expiry: self.next_expiry }
    }

    fn members_of(
        &self,
        group: &Group,
        places: &Places,
        unreadable: &mut BTreeMap<NameId, (Unreadable, Vec<String>)>,
    ) -> MemberRead {
        let mut read = MemberRead { completeness: group.completeness.clone(), ..MemberRead::default() };
        let mut faults: BTreeSet<u32> = BTreeSet::new();
        let mut hidden: BTreeSet<NameId> = BTreeSet::new();
        let mut forgotten = false;
        read.primary.extend(group.primary.iter().filter_map(|at| places.people[*at as usize].ok()));
        let primary = group.primary.iter().map(|person| (None, Slot::Person(*person)));
        let direct = group.members.iter().map(|name| (Some(*name), self.slot(*name)));
        for (name, slot) in direct.chain(primary) {
            match slot {
                Slot::Person(at) => match places.people[at as usize] {
                    Ok(place) => {
                        read.users.insert(place);
                    }
                    Err(fault) => {
                        faults.insert(fault);
                    }
                },
                Slot::Group(at) => {
                    read.groups.insert(places.groups[at as usize]);
                }
                Slot::Ignored => {}
                Slot::Unreadable(why) => {
                    if let Some(name) = name
                        && hidden.insert(name)
                    {
                        read.unreadable.push(UnreadableMember { dn: self.names.dn(name).clone(), why });
                        let holders = &mut unreadable.entry(name).or_insert((why, Vec::new())).1;
                        holders.push(self.names.dn(group.name).leaf());
                    }
                }
                Slot::Failed(fault) => {
                    faults.insert(fault);
                }
                Slot::Unseen | Slot::Asked => forgotten = true,
            }
        }
        read.unreadable.sort_by(|a, b| a.dn.cmp(&b.dn));
        let what = format!("members of {}", self.names.dn(group.name));
        for fault in faults {
            read.completeness.mark(self.fault_at(fault).of(&what));
        }
        if forgotten {
            let fault =
                Fault::new(ShortfallKind::ConnectionLost, "the read ended before they were looked up");
            read.completeness.mark(fault.of(&what));
        }
        if let Some(fault) = &self.reader.facts().partial {
            read.completeness.mark(fault.of(&what));
        }
        read
    }

    fn user(&mut self, person: Person) -> DirectoryUser {
        let dn = self.names.dn(person.name).clone();
        let user = DirectoryUser {
            anchor: person.anchor,
            dn,
            sid: person.sid,
            account: person.account,
            matches_filter: person.matches == Verdict::Matches,
            created: person.created,
            attributes: person.attributes,
        };
        if user.account == AccountState::Unknown {
            let message = format!(
                "userAccountControl of {} could not be read, so that nothing is concluded about the account: it is \
                 not created, disabled or removed. Let the bind account read userAccountControl and accountExpires",
                user.dn
            );
            let id = user.sid.as_ref().map_or_else(|| user.anchor.to_string(), ToString::to_string);
            let subject = Subject { kind: Some(Kind::User), id, label: user.dn.leaf() };
            self.findings.push(Finding::new(Code::AccountUnknown, subject, message));
        }
        user
    }

    fn group(&mut self, group: Group, members: MemberRead) -> DirectoryGroup {
        let dn = self.names.dn(group.name).clone();
        if !members.completeness.is_complete() {
            let shortfalls = members.completeness.shortfalls();
            let mut reasons: Vec<String> = shortfalls.iter().take(3).map(|s| s.detail.clone()).collect();
            if shortfalls.len() > reasons.len() {
                reasons.push(format!("and {} more", shortfalls.len() - reasons.len()));
            }
            let message = format!(
                "not all members of {dn} could be read ({}). Nobody is removed from it, or from a group that it is \
                 in, until a read succeeds",
                reasons.join("; ")
            );
            let subject = subject(Kind::Group, group.sid.as_ref(), group.anchor, dn.leaf());
            self.findings.push(Finding::new(Code::GroupReadIncomplete, subject, message));
        }
        DirectoryGroup {
            anchor: group.anchor,
            dn,
            sid: group.sid,
            created: group.created,
            attributes: group.attributes,
            members,
        }
    }

    fn unreadable_finding(&mut self, name: NameId, why: Unreadable, holders: &[String]) {
        let dn = self.names.dn(name);
        // The name of a foreign security principal is its SID.
        let id = match why {
            Unreadable::ForeignSecurityPrincipal => dn.leaf(),
            _ => dn.as_str().to_owned(),
        };
        let mut groups = holders.iter().take(3).cloned().collect::<Vec<_>>().join(", ");
        if holders.len() > 3 {
            groups.push_str(&format!(" and {} more", holders.len() - 3));
        }
        let remedy = match why {
            Unreadable::OutsideBase => "widen `base-dn`, or take it out of the group",
            Unreadable::ForeignSecurityPrincipal | Unreadable::Referred => {
                "people of another domain need a profile of their own; take it out of the group if nobody is meant"
            }
            Unreadable::NotReturned => "let the bind account read it, or take it out of the group",
        };
        let message = format!(
            "{dn} is a member of {groups} and cannot be read: it is {why}. While it stands, nobody is removed who may \
             be a member through it; {remedy}"
        );
        let subject = Subject { kind: None, id, label: dn.leaf() };
        self.findings.push(Finding::new(Code::MemberUnreadable, subject, message));
    }

    fn outcome(
        &mut self,
        entry: ScopeEntry,
        resolved: Resolved,
        places: &Places,
        users: &[DirectoryUser],
        groups: &[DirectoryGroup],
    ) -> EntryRead {
        let outcome = match resolved {
            Resolved::Object { slot, renamed } => match self.object(slot, places) {
                Ok(object) => {
                    let name = called(self.kind, object, users, groups);
                    EntryOutcome::Resolved { object, name, renamed }
                }
                Err(fault) => EntryOutcome::Unread(fault.of(entry.to_string())),
            },
            Resolved::Rebound { pinned, pinned_anchor, claimant, claimant_dn } => EntryOutcome::Rebound {
                pinned: pinned.and_then(|slot| self.object(slot, places).ok()),
                pinned_anchor,
                claimant,
                claimant_dn,
            },
            Resolved::Deleted(anchor) => EntryOutcome::Deleted { anchor, proof: DeletionProof::Tombstone },
            Resolved::NotFound => EntryOutcome::NotFound,
            Resolved::Ambiguous(dns) => EntryOutcome::Ambiguous(dns),
            Resolved::Unsuitable(why) => EntryOutcome::Unsuitable(why),
            Resolved::Unread(shortfall) => EntryOutcome::Unread(shortfall),
        };
        if let Some((code, message)) = entry_finding(&entry, &outcome) {
            let subject =
                Subject { kind: Some(entry.kind), id: entry.to_string(), label: entry.name.clone() };
            self.findings.push(Finding::new(code, subject, message));
        }
        EntryRead { entry, outcome }
    }

    fn object(&self, slot: Slot, places: &Places) -> Result<ObjectRef, Fault> {
        match slot {
            Slot::Person(at) => match places.people[at as usize] {
                Ok(place) => Ok(ObjectRef::User(UserIx(place))),
                Err(fault) => Err(self.fault_at(fault).clone()),
            },
            Slot::Group(at) => Ok(ObjectRef::Group(GroupIx(places.groups[at as usize]))),
            _ => Err(Fault::new(ShortfallKind::Malformed, "it could not be understood")),
        }
    }

    fn source(&self) -> SourceInfo {
        let facts = self.reader.facts();
        let traffic = self.reader.traffic();
        SourceInfo {
            kind: facts.kind,
            server: facts.server.clone(),
            binding: facts.binding.clone(),
            domain: facts.domain.clone(),
            current_time: facts.current_time,
            clock_ahead: facts.clock_ahead,
            requests: traffic.requests,
            received: traffic.received,
        }
    }
}

fn subject(kind: Kind, sid: Option<&crate::ids::Sid>, anchor: Anchor, label: String) -> Subject {
    let id = sid.map_or_else(|| anchor.to_string(), ToString::to_string);
    Subject { kind: Some(kind), id, label }
}

fn called(
    kind: DirectoryKind,
    object: ObjectRef,
    users: &[DirectoryUser],
    groups: &[DirectoryGroup],
) -> String {
    let (attributes, dn) = match object {
        ObjectRef::User(ix) => (&users[ix.0 as usize].attributes, &users[ix.0 as usize].dn),
        ObjectRef::Group(ix) => (&groups[ix.0 as usize].attributes, &groups[ix.0 as usize].dn),
    };
    let group = matches!(object, ObjectRef::Group(_));
    entry::name(kind, group, |a| attributes.text(a).map(str::to_owned)).unwrap_or_else(|| dn.leaf())
}

/// What to say about an entry that is not simply there.
fn entry_finding(entry: &ScopeEntry, outcome: &EntryOutcome) -> Option<(Code, String)> {
    Some(match outcome {
        EntryOutcome::Resolved { renamed: false, .. } => return None,
        EntryOutcome::Resolved { name, renamed: true, .. } => (
            Code::ScopeEntryRenamed,
            format!("{entry} is now called {name}; it is followed. Write the new name into `scope`"),
        ),
        EntryOutcome::Rebound { pinned, claimant_dn, .. } => (
            Code::ScopeEntryRebound,
            format!(
                "{entry} is the name of another object now, {claimant_dn}; the one that it stood for {}. Nothing is \
                 added or removed through it. If the new object is meant, approve it; else write the old object's \
                 new name or its GUID into `scope`",
                if pinned.is_some() { "has another name" } else { "is gone" }
            ),
        ),
        EntryOutcome::Deleted { .. } => (
            Code::ScopeEntryDeleted,
            format!(
                "{entry} was deleted in the directory, which its tombstone proves: nobody is in scope through it any \
                 more. Take it out of `scope`, or restore it in the directory"
            ),
        ),
        EntryOutcome::NotFound => (
            Code::ScopeEntryNotFound,
            format!(
                "{entry} matches nothing below the base DN. Check its spelling, `base-dn`, and whether the bind \
                 account may see it. Nobody leaves the scope while this stands"
            ),
        ),
        EntryOutcome::Ambiguous(dns) => {
            let list = dns.iter().take(5).map(ToString::to_string).collect::<Vec<_>>().join("; ");
            (
                Code::ScopeEntryAmbiguous,
                format!("{entry} matches {} objects ({list}); name it by its DN or GUID", dns.len()),
            )
        }
        EntryOutcome::Unsuitable(why) => (
            Code::ScopeEntryUnsuitable,
            format!("{entry} is not synced: {why}. Correct or drop it in `scope`"),
        ),
        EntryOutcome::Unread(shortfall) => (
            Code::ScopeEntryUnread,
            format!(
                "{entry} could not be read: {}. Nothing is taken away through it; the next cycle tries again",
                shortfall.detail
            ),
        ),
    })
}
