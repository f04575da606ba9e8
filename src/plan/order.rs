//! Puts the pieces of a plan in order: a step comes after every step that it needs.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use roaring::RoaringBitmap;

use super::Inputs;
use super::after::After;
use super::draft::{Adoption, Content, Draft, Drafts, Revised};
use super::lifecycle::End;
use super::members::Member;
use super::names::{ParkedAs, Settled};
use super::sort::Sort;
use super::step::{Action, Change, Purpose, Reason, Step, StepNo};
use super::steps::Steps;
use crate::ids::LinkNo;
use crate::model::{DisableHow, EntryOutcome, EntryRead, Kind};
use crate::scope::Path;

/// One thing to be done to one object; a draft makes up to three of them.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Piece {
    Adopt(LinkNo),
    Enable(LinkNo),
    Park(LinkNo),
    Main(LinkNo),
}

pub struct Order<'a> {
    inputs: &'a Inputs<'a>,
    drafts: &'a Drafts,
    settled: &'a Settled,
    present: &'a BTreeMap<LinkNo, BTreeSet<LinkNo>>,
    back: &'a BTreeMap<LinkNo, End>,
    steps: Steps,
    done: BTreeMap<Piece, Option<StepNo>>,
    /// What was found for objects of memberships, each of which is in many.
    ready: HashMap<LinkNo, Option<StepNo>>,
    /// By which somebody is in scope.
    paths: HashSet<Arc<Path>>,
    /// Removals of strangers, by group: they come before the group is adopted, so that one that fails is planned
    /// again.
    strangers: BTreeMap<LinkNo, Vec<StepNo>>,
    /// Removals by group: they come before the group is deleted, so that it goes only if they may.
    removed: BTreeMap<LinkNo, Vec<StepNo>>,
}

impl<'a> Order<'a> {
    pub fn new(
        inputs: &'a Inputs<'a>,
        drafts: &'a Drafts,
        settled: &'a Settled,
        present: &'a BTreeMap<LinkNo, BTreeSet<LinkNo>>,
        back: &'a BTreeMap<LinkNo, End>,
    ) -> Self {
        Self {
            inputs,
            drafts,
            settled,
            present,
            back,
            steps: Steps::default(),
            done: BTreeMap::new(),
            ready: HashMap::new(),
            paths: HashSet::new(),
            strangers: BTreeMap::new(),
            removed: BTreeMap::new(),
        }
    }

    pub fn all(
        mut self,
        entries: &[EntryRead],
        removes: Vec<Member>,
        adds: BTreeMap<LinkNo, RoaringBitmap>,
        out: BTreeMap<LinkNo, End>,
    ) -> Steps {
        let joins = adds.values().map(|people| people.len() as usize).sum();
        self.steps.reserve(self.drafts.list.len(), joins);
        self.entries(entries);
        let left = self.removals(removes, adds, out);
        for no in self.back.keys().copied().collect::<Vec<_>>() {
            self.emit(Piece::Enable(no));
        }
        for kind in [Kind::User, Kind::Group] {
            self.mains(|draft| {
                draft.kind == kind && matches!(draft.content, Content::User(_) | Content::Group { .. })
            });
        }
        for kind in [Kind::Group, Kind::User] {
            self.mains(|draft| draft.kind == kind);
        }
        for (group, people) in left {
            self.additions(group, &people);
        }
        self.steps
    }

    fn entries(&mut self, entries: &[EntryRead]) {
        for read in entries {
            if let EntryOutcome::Rebound { pinned_anchor, claimant, .. } = &read.outcome {
                let (kind, name) = (read.entry.kind, read.entry.name.clone());
                let (from, to) = (Box::new(*pinned_anchor), Box::new(*claimant));
                self.push(Action::RebindEntry { kind, name, from, to }, Reason::EntryRebound, &mut []);
            }
        }
    }

    /// Everything that is taken from people, person by person: memberships first, then the use of the target; each
    /// followed by what the same person is given. Then groups that go. Returns the additions that are left.
    fn removals(
        &mut self,
        removes: Vec<Member>,
        mut adds: BTreeMap<LinkNo, RoaringBitmap>,
        mut out: BTreeMap<LinkNo, End>,
    ) -> BTreeMap<LinkNo, RoaringBitmap> {
        let losing: RoaringBitmap = removes.iter().filter_map(|m| m.user).map(|user| user.0).collect();
        let mut given: BTreeMap<LinkNo, Vec<LinkNo>> = BTreeMap::new();
        for (group, people) in &mut adds {
            for user in &*people & &losing {
                given.entry(LinkNo(user)).or_default().push(*group);
            }
            *people -= &losing;
        }
        let mut lost: BTreeMap<Option<LinkNo>, Vec<Member>> = BTreeMap::new();
        for member in removes {
            lost.entry(member.user).or_default().push(member);
        }
        let groups = out.extract_if(.., |_, end| matches!(end.action, Action::DeleteGroup { .. }));
        let groups: Vec<End> = groups.map(|(_, end)| end).collect();
        let people: BTreeSet<Option<LinkNo>> =
            lost.keys().copied().chain(out.keys().copied().map(Some)).collect();
        for user in people {
            let mut taken = lost.remove(&user).unwrap_or_default();
            taken.sort_by_key(|m| m.group);
            let taken: Vec<StepNo> = taken.into_iter().map(|m| self.member(m)).collect();
            if let Some(end) = user.and_then(|no| out.remove(&no)) {
                // Nobody is called revoked who still is a member; and a delete takes memberships along, which may
                // have to wait for someone's approval. To shut the door waits for nothing.
                let waits = end.action.deletes()
                    || matches!(end.action, Action::DisableUser { how: DisableHow::Revoked, .. });
                let removal = |no: &StepNo| self.steps.get(*no).action.sort() == Sort::RemoveMember;
                let mut after: Vec<StepNo> = taken.into_iter().filter(|no| waits && removal(no)).collect();
                self.push(end.action, end.reason, &mut after);
            }
            if let Some(user) = user {
                for group in given.remove(&user).unwrap_or_default() {
                    self.additions(group, &RoaringBitmap::from_iter([user.0]));
                }
            }
        }
        for end in groups {
            let mut emptied = end.action.object().and_then(|no| self.removed.remove(&no)).unwrap_or_default();
            self.push(end.action, end.reason, &mut emptied);
        }
        adds
    }

    /// Those who join a group, each with the nested group that brings them.
    fn additions(&mut self, group: LinkNo, people: &RoaringBitmap) {
        let via = self.inputs.scope.direct_holders(group, people);
        for (user, holder) in via {
            let reason = if holder == group { Reason::DirectMember } else { Reason::MemberThrough(holder) };
            self.membership(group, user, Action::AddMember { group, user }, reason);
        }
    }

    fn mains(&mut self, which: impl Fn(&Draft) -> bool) {
        let numbers: Vec<LinkNo> =
            self.drafts.list.iter().filter(|(_, d)| which(d)).map(|(no, _)| *no).collect();
        for no in numbers {
            self.emit(Piece::Main(no));
        }
    }

    fn member(&mut self, member: Member) -> StepNo {
        if matches!(member.action, Action::RemoveStranger { .. }) {
            let no = self.push(member.action, member.reason, &mut []);
            self.strangers.entry(member.group).or_default().push(no);
            return no;
        }
        let removes = matches!(member.action, Action::RemoveMember { .. });
        let no = match member.user {
            Some(user) => self.membership(member.group, user, member.action, member.reason),
            None => self.push(member.action, member.reason, &mut []),
        };
        if removes {
            self.removed.entry(member.group).or_default().push(no);
        }
        no
    }

    fn membership(&mut self, group: LinkNo, user: LinkNo, action: Action, reason: Reason) -> StepNo {
        match (self.ready(group), self.ready(user)) {
            (Some(group), Some(user)) => self.push(action, reason, &mut [group, user]),
            (Some(one), None) | (None, Some(one)) => self.push(action, reason, &mut [one]),
            (None, None) => self.push(action, reason, &mut []),
        }
    }

    /// The step that gives an object its id in the target, where one does.
    fn ready(&mut self, no: LinkNo) -> Option<StepNo> {
        if let Some(step) = self.ready.get(&no) {
            return *step;
        }
        let step = self.bringing(no);
        self.ready.insert(no, step);
        step
    }

    fn bringing(&mut self, no: LinkNo) -> Option<StepNo> {
        if self.back.contains_key(&no) {
            return self.emit(Piece::Enable(no));
        }
        let draft = self.drafts.list.get(&no)?;
        match (&draft.content, &draft.adopt) {
            (_, Some(_)) => self.emit(Piece::Adopt(no)),
            (Content::NewUser { .. } | Content::NewGroup { .. }, None) => self.emit(Piece::Main(no)),
            _ => None,
        }
    }

    /// Puts a piece and all that it needs into the list. Not recursive: a chain of names can be long.
    fn emit(&mut self, piece: Piece) -> Option<StepNo> {
        if let Some(done) = self.done.get(&piece) {
            return *done;
        }
        let mut stack = vec![piece];
        while let Some(top) = stack.last().copied() {
            if self.done.contains_key(&top) {
                stack.pop();
                continue;
            }
            let needs = self.needs(top);
            let missing: Vec<Piece> = needs.iter().copied().filter(|n| !self.done.contains_key(n)).collect();
            if !missing.is_empty() {
                stack.extend(missing);
                continue;
            }
            let mut after: Vec<StepNo> =
                needs.iter().filter_map(|n| self.done.get(n).copied().flatten()).collect();
            if let Piece::Adopt(no) = top {
                after.extend(self.strangers.get(&no).into_iter().flatten());
            }
            let no = match self.content(top) {
                Some((action, reason)) => {
                    after.sort_unstable();
                    after.dedup();
                    Some(self.push(action, reason, &mut after))
                }
                // An adopted object that is as desired already: whoever needs it needs its adoption.
                None => self.done.get(&Piece::Adopt(of(top))).copied().flatten(),
            };
            self.done.insert(top, no);
            stack.pop();
        }
        self.done.get(&piece).copied().flatten()
    }

    fn needs(&self, piece: Piece) -> Vec<Piece> {
        let no = of(piece);
        let adopt = self.drafts.list.get(&no).and_then(|d| d.adopt.as_ref()).map(|_| Piece::Adopt(no));
        match piece {
            Piece::Adopt(_) | Piece::Enable(_) => Vec::new(),
            Piece::Park(_) => adopt.into_iter().collect(),
            Piece::Main(_) => {
                let park = self.settled.parked.contains_key(&no).then_some(Piece::Park(no));
                let waits = self.settled.waits.get(&no).into_iter().flatten().map(|(other, keys)| {
                    let aside = self.settled.parked.get(other).is_some_and(|p| keys.is_subset(&p.frees));
                    if aside { Piece::Park(*other) } else { Piece::Main(*other) }
                });
                let enable = self.back.contains_key(&no).then_some(Piece::Enable(no));
                adopt.into_iter().chain(enable).chain(park).chain(waits).collect()
            }
        }
    }

    fn why(&mut self, no: LinkNo, again: bool) -> Reason {
        if again {
            return Reason::GoneFromTarget;
        }
        let path = self.inputs.scope.path_to(no).map(|path| match self.paths.get(&path) {
            Some(known) => Arc::clone(known),
            None => {
                let path = Arc::new(path);
                self.paths.insert(Arc::clone(&path));
                path
            }
        });
        Reason::InScope(path)
    }

    fn content(&mut self, piece: Piece) -> Option<(Action, Reason)> {
        let no = of(piece);
        if let Piece::Enable(_) = piece {
            return self.back.get(&no).map(|end| (end.action.clone(), end.reason.clone()));
        }
        let draft = self.drafts.list.get(&no)?;
        match piece {
            Piece::Adopt(_) => {
                let Adoption { id, same_anchor, found } = *draft.adopt.clone()?;
                let found = Box::new(found);
                let reason = if same_anchor {
                    Reason::SameAnchor
                } else {
                    Reason::SameName(self.inputs.label(no).into())
                };
                let action = match draft.kind {
                    Kind::User => Action::AdoptUser { user: no, id, same_anchor, found },
                    Kind::Group => {
                        let present = Box::new(self.present.get(&no).cloned().unwrap_or_default());
                        Action::AdoptGroup { group: no, id, same_anchor, found, present }
                    }
                };
                Some((action, reason))
            }
            Piece::Enable(_) => None,
            Piece::Park(_) => {
                let action = match self.settled.parked.get(&no)?.change.clone() {
                    ParkedAs::User { changes, after } => {
                        let (changes, after) = (changes.into(), Box::new(after));
                        Action::UpdateUser { user: no, purpose: Purpose::Park, changes, after, digest: None }
                    }
                    ParkedAs::Group { before, after } => {
                        let (before, after) = (Box::new(before), Box::new(after));
                        Action::UpdateGroup { group: no, purpose: Purpose::Park, before, after, digest: None }
                    }
                };
                Some((action, Reason::SwapOfNames))
            }
            Piece::Main(_) => {
                let (purpose, changed) = match &draft.yields_to {
                    Some(newcomer) => (Purpose::Yield, Reason::NameTakenBy(newcomer.as_str().into())),
                    None if draft.drifted => (Purpose::Values, Reason::TargetChanged),
                    None => (Purpose::Values, Reason::DirectoryChanged),
                };
                match draft.content.clone() {
                    Content::NewUser { attributes, again } => {
                        Some((Action::CreateUser { user: no, attributes, again }, self.why(no, again)))
                    }
                    Content::NewGroup { attributes, again } => {
                        Some((Action::CreateGroup { group: no, attributes, again }, self.why(no, again)))
                    }
                    Content::User(revised) => {
                        let Revised { changes, after, digest, .. } = *revised;
                        let changes = self.since_parking(no, changes);
                        let (changes, after) = (changes.into_boxed_slice(), Box::new(after));
                        (!changes.is_empty()).then_some((
                            Action::UpdateUser { user: no, purpose, changes, after, digest },
                            changed,
                        ))
                    }
                    Content::Group { before, after, digest } => {
                        let before = match self.settled.parked.get(&no).map(|p| &p.change) {
                            Some(ParkedAs::Group { after: aside, .. }) => Box::new(aside.clone()),
                            _ => before,
                        };
                        (before != after).then_some({
                            (Action::UpdateGroup { group: no, purpose, before, after, digest }, changed)
                        })
                    }
                }
            }
        }
    }

    /// What is left to change once the object has stepped aside, from the values that it has then.
    fn since_parking(&self, no: LinkNo, changes: Vec<Change>) -> Vec<Change> {
        let Some(ParkedAs::User { after: aside, .. }) = self.settled.parked.get(&no).map(|p| &p.change)
        else {
            return changes;
        };
        changes
            .into_iter()
            .map(|change| Change { old: aside.get(&change.attribute).cloned(), ..change })
            .filter(|change| change.old != change.new)
            .collect()
    }

    /// None of `after` is given twice.
    fn push(&mut self, action: Action, reason: Reason, after: &mut [StepNo]) -> StepNo {
        after.sort_unstable();
        self.steps.push(Step { action, reason, after: After::from(&*after) })
    }
}

fn of(piece: Piece) -> LinkNo {
    match piece {
        Piece::Adopt(no) | Piece::Enable(no) | Piece::Park(no) | Piece::Main(no) => no,
    }
}
