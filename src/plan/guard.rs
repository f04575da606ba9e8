//! Holds what goes too far: over a limit, over a percentage, or wrong whatever its size. Everything else goes on.
//!
//! Approved steps are not counted, so that once the rest of a crowd has been approved, what did not exceed a
//! limit by itself goes through.

use std::collections::{BTreeMap, BTreeSet};

use super::approve::{ApprovedPlan, Hold};
use super::clock::Distrust;
use super::policy::{Adopt, Policy};
use super::sort::Sort;
use super::step::{Action, Plan, PlanObject, Purpose, Step, StepNo};
use crate::ids::{Fingerprint, LinkNo};
use crate::model::{Absence, Kind, RenameSupport, UserAttribute};

/// The percentage counts from this many steps on.
const PERCENT_FROM: u64 = 5;
/// Half of the linked users or more counts from this many steps on.
const HALF_FROM: u64 = 3;
/// A group of this size may not be emptied without approval.
const EMPTYING_FROM: u64 = 3;

/// What the guard goes by, beside the plan and the policy.
#[derive(Clone, Copy, Debug)]
pub struct Given<'a> {
    /// Those that have not expired.
    pub approvals: &'a BTreeSet<Fingerprint>,
    pub renames: RenameSupport,
    /// Why the clock cannot be trusted.
    pub distrust: Option<Distrust>,
}

pub fn guard(plan: Plan, policy: &Policy, given: &Given<'_>) -> ApprovedPlan {
    let Given { approvals, renames, distrust } = *given;
    let approved: BTreeSet<StepNo> = if approvals.is_empty() {
        BTreeSet::new()
    } else {
        plan.numbered().filter(|(_, s)| approvals.contains(&plan.fingerprint(s))).map(|(no, _)| no).collect()
    };
    let mut guard =
        Guard { plan: &plan, policy, approved: &approved, held: BTreeMap::new(), uncounted: BTreeSet::new() };
    guard.single_steps(renames);
    guard.by_time(distrust);
    guard.connected();
    guard.uncounted = guard.held.keys().copied().collect();
    guard.whole_cycle();
    guard.each_group();
    // Holding one step may leave another without its purpose, or a group without those who were to join it.
    loop {
        let before = guard.held.len();
        guard.connected();
        guard.emptied_groups(&BTreeSet::new());
        if guard.held.len() == before {
            break;
        }
    }
    let held = guard.held;
    ApprovedPlan::new(plan, held, approved)
}

type Holds = BTreeMap<StepNo, Vec<Hold>>;

/// What is held, and what is left out with its holds, once `out` is not to be done in this cycle: whatever needs a
/// step of `out` is left out too, and nothing is done that was let through only because of one.
pub(super) fn without(
    plan: &Plan,
    approved: &BTreeSet<StepNo>,
    mut held: Holds,
    mut out: BTreeSet<StepNo>,
) -> (Holds, Holds) {
    let policy = Policy::default();
    let mut left_out: Holds = out.iter().map(|no| (*no, held.remove(no).unwrap_or_default())).collect();
    let before: BTreeSet<StepNo> = held.keys().copied().collect();
    held.extend(out.iter().map(|no| (*no, Vec::new())));
    let mut guard = Guard { plan, policy: &policy, approved, held, uncounted: BTreeSet::new() };
    loop {
        let before = guard.held.len();
        guard.connected();
        guard.emptied_groups(&out);
        if guard.held.len() == before {
            break;
        }
    }
    let mut held = guard.held;
    loop {
        let because = |holds: &Vec<Hold>| match holds.as_slice() {
            [Hold::DependsOn { step } | Hold::OnlyFor { step }] => out.contains(step),
            _ => false,
        };
        let new =
            held.iter().filter(|(no, holds)| !before.contains(no) && !out.contains(no) && because(holds));
        let new: Vec<StepNo> = new.map(|(no, _)| *no).collect();
        if new.is_empty() {
            break;
        }
        left_out.extend(new.iter().map(|no| (*no, Vec::new())));
        out.extend(new);
    }
    held.retain(|no, _| !out.contains(no));
    (held, left_out)
}

struct Guard<'a> {
    plan: &'a Plan,
    policy: &'a Policy,
    approved: &'a BTreeSet<StepNo>,
    held: BTreeMap<StepNo, Vec<Hold>>,
    /// What limits are not held against, beside what is approved: what is held whatever the number.
    uncounted: BTreeSet<StepNo>,
}

impl Guard<'_> {
    fn hold(&mut self, steps: &[StepNo], why: &Hold) {
        for no in steps {
            self.held.entry(*no).or_default().push(why.clone());
        }
    }

    /// Unapproved steps of one sort.
    fn open(&self, which: impl Fn(&Step) -> bool) -> Vec<StepNo> {
        self.plan
            .numbered()
            .filter(|(no, step)| !self.approved.contains(no) && which(step))
            .map(|(no, _)| no)
            .collect()
    }

    fn counts(&self, no: StepNo) -> bool {
        !self.approved.contains(&no) && !self.uncounted.contains(&no)
    }

    fn counted(&self, which: impl Fn(&Action) -> bool) -> Vec<StepNo> {
        let steps = self.plan.numbered().filter(|(no, step)| self.counts(*no) && which(&step.action));
        steps.map(|(no, _)| no).collect()
    }

    /// Held whatever the number.
    fn single_steps(&mut self, renames: RenameSupport) {
        if self.policy.adopt != Adopt::Auto {
            let adoptions = self.open(|s| {
                matches!(
                    s.action,
                    Action::AdoptUser { same_anchor: false, .. }
                        | Action::AdoptGroup { same_anchor: false, .. }
                )
            });
            let groups: BTreeSet<Option<LinkNo>> =
                adoptions.iter().map(|no| self.plan.step(*no).action.object()).collect();
            let strangers = self.open(|s| {
                matches!(s.action, Action::RemoveStranger { .. }) && groups.contains(&s.action.object())
            });
            self.hold(&adoptions, &Hold::Adoption);
            self.hold(&strangers, &Hold::Adoption);
        }
        let rebinds = self.open(|s| s.action.sort() == Sort::RebindEntry);
        self.hold(&rebinds, &Hold::Rebinding);
        if renames != RenameSupport::Accepted {
            let parks = self.open(|s| match &s.action {
                Action::UpdateUser { purpose: Purpose::Park, changes, .. } => {
                    changes.iter().any(|c| c.attribute == UserAttribute::UserName)
                }
                _ => false,
            });
            self.hold(&parks, &Hold::UnprovenRename);
        }
        for no in self.open(|s| matches!(&s.action, Action::RemoveMember { suspects: Some(_), .. })) {
            if let Action::RemoveMember { suspects: Some(suspects), .. } = &self.plan.step(no).action {
                let groups = suspects.iter().map(|g| self.plan.label(*g).to_owned()).collect();
                self.hold(&[no], &Hold::SuddenlyEmpty { groups });
            }
        }
    }

    /// What rests on a clock that cannot be trusted, or on a directory of which nothing was read.
    fn by_time(&mut self, distrust: Option<Distrust>) {
        if let Some(why) = distrust {
            let steps = self.open(|s| s.rests_on_time());
            self.hold(&steps, &Hold::ClockUntrusted { why: why.to_string() });
        }
        let steps = self.open(|s| s.action.proof().is_some_and(|p| p.is_of_outage()));
        self.hold(&steps, &Hold::OutOfReach);
    }

    /// Deletes and disables, with the memberships that go by them. A paused profile's sweep was announced and is not held.
    fn ends(&mut self) {
        let base = self.plan.base;
        let (max_deletes, max_disables) = (self.policy.guard.max_deletes, self.policy.guard.max_disables);
        let swept = |a: &Action| a.proof().is_some_and(|p| p.is_of_pause());
        // What was announced is that people are disabled: deletes are never unasked in such numbers.
        let deletes = self.counted(Action::deletes);
        let disables = self.counted(|a| a.disables() && !swept(a));
        self.absolute(&deletes, "max-deletes", max_deletes);
        self.absolute(&disables, "max-disables", max_disables);
        let users = self.of_kind(&deletes, Kind::User);
        let groups = self.of_kind(&deletes, Kind::Group);
        self.percent(&users, "linked users deleted", base.linked_users);
        self.percent(&groups, "linked groups deleted", base.linked_groups);
        self.percent(&disables, "linked users disabled", base.active_users);
        self.half_or_more(&users, "deleted", base.linked_users);
        self.half_or_more(&disables, "disabled", base.active_users);
        self.with_memberships(deletes.into_iter().chain(disables));
    }

    /// Who is put out of use loses the memberships by the same proof, and where the target cannot disable, that is all
    /// they lose: these wait with the end of it, or a limit would limit nothing. What rests on the groups stays its own.
    fn with_memberships(&mut self, ends: impl Iterator<Item = StepNo>) {
        let mut waiting: BTreeMap<(LinkNo, Absence), Vec<Hold>> = BTreeMap::new();
        for no in ends {
            let action = &self.plan.step(no).action;
            if let (Some(holds), Some(person), Some(proof)) =
                (self.held.get(&no), action.object(), action.proof().filter(Absence::is_of_person))
            {
                waiting.entry((person, proof)).or_insert_with(|| holds.clone());
            }
        }
        if waiting.is_empty() {
            return;
        }
        for no in self.counted(|a| a.sort() == Sort::RemoveMember) {
            if let Action::RemoveMember { user, proof, .. } = &self.plan.step(no).action
                && let Some(holds) = waiting.get(&(*user, *proof))
            {
                self.held.entry(no).or_default().extend(holds.iter().cloned());
            }
        }
    }

    /// Whatever the limits are.
    fn half_or_more(&mut self, steps: &[StepNo], what: &'static str, of: u64) {
        let count = steps.len() as u64;
        if count >= HALF_FROM && count * 2 >= of {
            self.hold(steps, &Hold::HalfOrMore { what: what.into(), count, of });
        }
    }

    fn whole_cycle(&mut self) {
        self.ends();
        let limits = &self.policy.guard;
        let (max_removals, max_renames, max_deletes) =
            (limits.max_removals, limits.max_renames, limits.max_deletes);
        let swept = |a: &Action| a.proof().is_some_and(|p| p.is_of_pause());
        let removals = self.counted(|a| a.sort() == Sort::RemoveMember && !swept(a));
        self.absolute(&removals, "max-removals", max_removals);

        // Who is taken over in this very cycle is one of those whom the profile answers for.
        let adopted = |kind| self.counted(|a| a.sort() == kind).len() as u64;
        let users = self.plan.base.linked_users + adopted(Sort::AdoptUser);
        let groups = self.plan.base.linked_groups + adopted(Sort::AdoptGroup);

        let renames = self.counted(Action::renames_or_empties);
        self.absolute(&renames, "max-renames", max_renames);
        for (kind, of, what) in [
            (Kind::User, users, "linked users renamed or with an emptied attribute"),
            (Kind::Group, groups, "linked groups with an emptied attribute"),
        ] {
            let some = self.of_kind(&renames, kind);
            self.percent(&some, what, of);
        }

        // Something that was linked and is to be made anew was lost: as grave as a delete.
        let again = self.counted(Action::recreates);
        self.absolute(&again, "max-deletes", max_deletes);
        for (kind, of, what) in [
            (Kind::User, users, "linked users created again"),
            (Kind::Group, groups, "linked groups created again"),
        ] {
            let some = self.of_kind(&again, kind);
            self.percent(&some, what, of);
        }
    }

    fn of_kind(&self, steps: &[StepNo], kind: Kind) -> Vec<StepNo> {
        let is = |no: &&StepNo| {
            let object = self.plan.step(**no).action.object();
            object.and_then(|o| self.plan.objects.get(&o)).is_some_and(|o| o.kind == kind)
        };
        steps.iter().filter(is).copied().collect()
    }

    fn over_percent(&self, count: u64, of: u64) -> bool {
        count >= PERCENT_FROM && count * 100 > of * u64::from(self.policy.guard.max_percent)
    }

    fn absolute(&mut self, steps: &[StepNo], limit: &'static str, allowed: u32) {
        let (count, allowed) = (steps.len() as u64, u64::from(allowed));
        if count > allowed {
            self.hold(steps, &Hold::OverLimit { limit: limit.into(), count, allowed });
        }
    }

    fn percent(&mut self, steps: &[StepNo], what: &str, of: u64) {
        let (count, percent) = (steps.len() as u64, u64::from(self.policy.guard.max_percent));
        if self.over_percent(count, of) {
            self.hold(steps, &Hold::OverPercent { what: what.to_owned(), count, of, percent });
        }
    }

    /// Removals or additions by group, those that hold for `which`, of groups where so many go too `far`. Most groups
    /// are counted only: a first plan adds millions.
    fn by_group(
        &self,
        sort: Sort,
        which: impl Fn(StepNo) -> bool,
        far: impl Fn(&PlanObject, u64) -> bool,
    ) -> BTreeMap<LinkNo, Vec<StepNo>> {
        let steps = || {
            let steps = self.plan.numbered().filter(|(_, step)| step.action.sort() == sort);
            let steps = steps.filter_map(|(no, step)| Some((step.action.object()?, no)));
            steps.filter(|(_, no)| which(*no))
        };
        let mut sizes: BTreeMap<LinkNo, u64> = BTreeMap::new();
        steps().for_each(|(group, _)| *sizes.entry(group).or_default() += 1);
        sizes.retain(|group, size| self.plan.objects.get(group).is_some_and(|o| far(o, *size)));
        let mut groups: BTreeMap<LinkNo, Vec<StepNo>> = BTreeMap::new();
        if !sizes.is_empty() {
            for (group, no) in steps().filter(|(group, _)| sizes.contains_key(group)) {
                groups.entry(group).or_default().push(no);
            }
        }
        groups
    }

    fn each_group(&mut self) {
        let max_growth = self.policy.guard.max_growth;
        let counts = |no: StepNo| {
            self.counts(no) && !self.plan.step(no).action.proof().is_some_and(|p| p.is_of_pause())
        };
        // Of an empty group everything is more than any percentage: there the absolute limit is what counts.
        let grows = |count: u64, of: u64| of > 0 && self.over_percent(count, of);
        let added = self.by_group(Sort::AddMember, counts, |o, count| {
            o.filled && (count > u64::from(max_growth) || grows(count, o.members))
        });
        let removed =
            self.by_group(Sort::RemoveMember, counts, |o, count| self.over_percent(count, o.members));
        for (group, steps) in added {
            let Some(object) = self.plan.objects.get(&group) else { continue };
            let (of, label) = (object.members, object.label.clone());
            self.absolute(&steps, "max-growth", max_growth);
            if of > 0 {
                self.percent(&steps, &format!("members of {label} added"), of);
            }
        }
        for (group, steps) in removed {
            let Some(object) = self.plan.objects.get(&group) else { continue };
            self.percent(&steps, &format!("members of {} removed", object.label), object.members);
        }
    }

    /// Whatever the size of the limits. Who is approved counts here: it is the last one that makes a group empty.
    fn emptied_groups(&mut self, left_out: &BTreeSet<StepNo>) {
        let emptied = |o: &PlanObject, leave: u64| o.members >= EMPTYING_FROM && leave >= o.members;
        let mut groups = self.by_group(Sort::RemoveMember, |no| !left_out.contains(&no), emptied);
        if groups.is_empty() {
            return;
        }
        for (no, step) in self.plan.numbered().filter(|(_, step)| step.action.sort() == Sort::AddMember) {
            if let Some(group) = step.action.object().filter(|_| !self.held.contains_key(&no)) {
                groups.remove(&group);
            }
        }
        for (group, steps) in groups {
            let Some(object) = self.plan.objects.get(&group) else { continue };
            let of = object.members;
            let why = Hold::WouldEmpty { group: object.label.clone(), members: of };
            let swept = |no: &StepNo| self.plan.step(*no).action.proof().is_some_and(|p| p.is_of_pause());
            let open: Vec<StepNo> = steps
                .into_iter()
                .filter(|no| !self.approved.contains(no) && !swept(no))
                .filter(|no| self.held.get(no).is_none_or(|holds| !holds.contains(&why)))
                .collect();
            self.hold(&open, &why);
        }
    }

    /// What needs a held step is held; so is what only makes room for held steps.
    fn connected(&mut self) {
        let mut needed_by: BTreeMap<StepNo, Vec<StepNo>> = BTreeMap::new();
        let makes_room = self.plan.numbered().filter(|(_, step)| step.action.makes_room());
        let makes_room: BTreeSet<StepNo> = makes_room.map(|(no, _)| no).collect();
        for (no, step) in self.plan.numbered().filter(|_| !makes_room.is_empty()) {
            for needed in step.after.iter().filter(|n| makes_room.contains(n)) {
                needed_by.entry(*needed).or_default().push(no);
            }
        }
        loop {
            let before = self.held.len();
            // Steps come after those that they need, so one pass is enough.
            for (no, step) in self.plan.numbered().filter(|(_, step)| !step.after.is_empty()) {
                if self.held.contains_key(&no) {
                    continue;
                }
                if let Some(needed) = step.after.iter().find(|n| self.held.contains_key(n)) {
                    self.held.insert(no, vec![Hold::DependsOn { step: *needed }]);
                }
            }
            for (no, waiting) in &needed_by {
                let own =
                    |n: &&StepNo| self.plan.step(**n).action.object() == self.plan.step(*no).action.object();
                // Under a parking name nobody is to be left, whoever else waits.
                let left = waiting.iter().filter(own).find(|n| self.held.contains_key(n));
                let idle =
                    || waiting.iter().all(|n| self.held.contains_key(n)).then(|| waiting.first()).flatten();
                if !self.held.contains_key(no)
                    && let Some(purpose) = left.or_else(idle)
                {
                    self.held.insert(*no, vec![Hold::OnlyFor { step: *purpose }]);
                }
            }
            if self.held.len() == before {
                break;
            }
        }
    }
}
