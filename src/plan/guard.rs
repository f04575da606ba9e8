//! Holds what goes too far: over a limit, over a percentage, or wrong whatever its size. Everything else goes on.
//!
//! Approved steps are not counted, so that once the rest of a crowd has been approved, what did not exceed a
//! limit by itself goes through.

use std::collections::{BTreeMap, BTreeSet};

use super::approve::{ApprovedPlan, Hold};
use super::policy::{Adopt, Policy};
use super::step::{Action, Plan, Purpose, Sort, Step, StepNo};
use crate::ids::{Fingerprint, LinkNo};
use crate::model::{Kind, RenameSupport, UserAttribute};

/// The percentage counts from this many steps on.
const PERCENT_FROM: u64 = 5;
/// A group of this size may not be emptied without approval.
const EMPTYING_FROM: u64 = 3;

/// `approvals` are those that have not expired.
pub fn guard(
    plan: Plan,
    policy: &Policy,
    approvals: &BTreeSet<Fingerprint>,
    renames: RenameSupport,
) -> ApprovedPlan {
    let approved: BTreeSet<StepNo> = if approvals.is_empty() {
        BTreeSet::new()
    } else {
        plan.numbered().filter(|(_, s)| approvals.contains(&plan.fingerprint(s))).map(|(no, _)| no).collect()
    };
    let mut guard = Guard { plan: &plan, policy, approved: &approved, held: BTreeMap::new() };
    guard.single_steps(renames);
    guard.whole_cycle();
    guard.each_group();
    guard.dependants();
    let held = guard.held;
    ApprovedPlan::new(plan, held, approved)
}

struct Guard<'a> {
    plan: &'a Plan,
    policy: &'a Policy,
    approved: &'a BTreeSet<StepNo>,
    held: BTreeMap<StepNo, Vec<Hold>>,
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

    /// Held whatever the number.
    fn single_steps(&mut self, renames: RenameSupport) {
        if self.policy.adopt != Adopt::Auto {
            let adoptions =
                self.open(|s| matches!(s.action, Action::AdoptUser { .. } | Action::AdoptGroup { .. }));
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

    fn whole_cycle(&mut self) {
        let limits = &self.policy.guard;
        let (max_removals, max_renames, max_deletes) =
            (limits.max_removals, limits.max_renames, limits.max_deletes);
        let removals = self.open(|s| s.action.sort() == Sort::RemoveMember);
        self.absolute(&removals, "max-removals", max_removals);

        let renames = self.open(|s| s.action.renames_or_empties());
        self.absolute(&renames, "max-renames", max_renames);
        for (kind, of, what) in [
            (Kind::User, self.plan.base.linked_users, "linked users renamed or with an emptied attribute"),
            (Kind::Group, self.plan.base.linked_groups, "linked groups with an emptied attribute"),
        ] {
            let some = self.of_kind(&renames, kind);
            self.percent(&some, what, of);
        }

        // Something that was linked and is to be made anew was lost: as grave as a delete.
        let again = self.open(|s| s.action.recreates());
        self.absolute(&again, "max-deletes", max_deletes);
        for (kind, of, what) in [
            (Kind::User, self.plan.base.linked_users, "linked users created again"),
            (Kind::Group, self.plan.base.linked_groups, "linked groups created again"),
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

    fn absolute(&mut self, steps: &[StepNo], limit: &'static str, allowed: u32) {
        let (count, allowed) = (steps.len() as u64, u64::from(allowed));
        if count > allowed {
            self.hold(steps, &Hold::OverLimit { limit, count, allowed });
        }
    }

    fn percent(&mut self, steps: &[StepNo], what: &str, of: u64) {
        let (count, percent) = (steps.len() as u64, u64::from(self.policy.guard.max_percent));
        if count >= PERCENT_FROM && count * 100 > of * percent {
            self.hold(steps, &Hold::OverPercent { what: what.to_owned(), count, of, percent });
        }
    }

    fn each_group(&mut self) {
        let mut removals: BTreeMap<LinkNo, Vec<StepNo>> = BTreeMap::new();
        let mut additions: BTreeMap<LinkNo, Vec<StepNo>> = BTreeMap::new();
        for (no, step) in self.plan.numbered() {
            let by_group = match step.action.sort() {
                Sort::RemoveMember => &mut removals,
                Sort::AddMember => &mut additions,
                _ => continue,
            };
            if let Some(group) = step.action.object() {
                by_group.entry(group).or_default().push(no);
            }
        }
        for (group, all) in &additions {
            let Some(object) = self.plan.objects.get(group).filter(|o| o.filled) else { continue };
            let (of, label) = (object.members, object.label.clone());
            let open: Vec<StepNo> = all.iter().filter(|no| !self.approved.contains(no)).copied().collect();
            self.absolute(&open, "max-growth", self.policy.guard.max_growth);
            // Of an empty group everything is more than any percentage: there the absolute limit is what counts.
            if of > 0 {
                self.percent(&open, &format!("members of {label} added"), of);
            }
        }
        for (group, all) in &removals {
            let Some(object) = self.plan.objects.get(group) else { continue };
            let (of, label) = (object.members, object.label.clone());
            let open: Vec<StepNo> = all.iter().filter(|no| !self.approved.contains(no)).copied().collect();
            self.percent(&open, &format!("members of {label} removed"), of);
            let gains = additions.get(group).is_some_and(|a| a.iter().any(|no| !self.held.contains_key(no)));
            if of >= EMPTYING_FROM && all.len() as u64 >= of && !gains {
                self.hold(&open, &Hold::WouldEmpty { group: label, members: of });
            }
        }
    }

    /// Steps come after those that they need, so one pass is enough.
    fn dependants(&mut self) {
        for (no, step) in self.plan.numbered() {
            if let Some(needed) = step.after.iter().find(|n| self.held.contains_key(n)) {
                self.held.entry(no).or_default().push(Hold::DependsOn { step: *needed });
            }
        }
    }
}
