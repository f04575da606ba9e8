//! Which steps of a plan concern one object.

use std::collections::BTreeSet;

use super::approve::ApprovedPlan;
use super::step::{Plan, StepNo};
use crate::ids::{Anchor, Fingerprint, LinkNo};

impl Plan {
    /// The steps on this object; of a user, its memberships too.
    pub fn about(&self, object: LinkNo) -> BTreeSet<StepNo> {
        let is_about = |no: Option<LinkNo>| no == Some(object);
        self.numbered()
            .filter(|(_, step)| is_about(step.action.object()) || is_about(step.action.member()))
            .map(|(no, _)| no)
            .collect()
    }

    /// These, with all that they need. Nobody is left under a parking name: with the first half of a swap comes the
    /// second.
    pub fn with_needs(&self, mut steps: BTreeSet<StepNo>) -> BTreeSet<StepNo> {
        loop {
            let before = steps.len();
            // A step comes after those that it needs: from the last to the first, one pass finds them all.
            for at in (0..u32::try_from(self.steps.len()).unwrap_or(u32::MAX)).rev() {
                if steps.contains(&StepNo(at)) {
                    steps.extend(self.step(StepNo(at)).after.iter());
                }
            }
            let parked: BTreeSet<StepNo> =
                steps.iter().copied().filter(|no| self.step(*no).action.parks()).collect();
            if !parked.is_empty() {
                let halves = self.numbered().filter(|(_, step)| {
                    let object = step.action.object();
                    step.after.iter().any(|n| parked.contains(n) && self.step(*n).action.object() == object)
                });
                steps.extend(halves.map(|(no, _)| no));
            }
            if steps.len() == before {
                return steps;
            }
        }
    }
}

impl ApprovedPlan {
    /// The same with nothing to be done but what concerns the object with this anchor, and what that needs.
    #[must_use]
    pub fn only_about(self, anchor: Anchor) -> Self {
        let plan = self.plan();
        let object = plan.objects.iter().find(|(_, object)| object.anchor == anchor).map(|(no, _)| *no);
        let steps = object.map(|no| plan.with_needs(plan.about(no))).unwrap_or_default();
        let wanted: BTreeSet<Fingerprint> =
            steps.iter().map(|no| plan.fingerprint(&plan.step(*no))).collect();
        self.only(&wanted).for_one(object)
    }
}
