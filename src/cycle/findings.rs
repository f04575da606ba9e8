//! All findings of a cycle, from every room that had one.

use std::collections::BTreeSet;

use super::CHECK_TARGET;
use crate::apply::{Applied, Stop};
use crate::model::{Code, Finding, Kind, Snapshot, Subject};
use crate::plan::{ApprovedPlan, Plan};

/// Of the read, the mapping and the plan; in a fixed order.
pub fn of_plan(snapshot: &Snapshot, mapped: Vec<Finding>, plan: &Plan) -> Vec<Finding> {
    let mut all: BTreeSet<Finding> = snapshot.findings.iter().cloned().collect();
    all.extend(mapped);
    all.extend(plan.findings.iter().cloned());
    all.extend(plan.withheld.iter().map(|w| {
        let subject =
            Subject { kind: Some(Kind::Group), id: w.group_id.clone(), label: w.group_label.clone() };
        let message = format!(
            "{} members may have left, which is not proven: {}. Mend the read; nothing is taken away before",
            w.members, w.why
        );
        Finding::new(Code::RemovalWithheld, subject, message)
    }));
    all.into_iter().collect()
}

/// Of applying: steps that failed, steps that wait, a target that is gone.
pub fn of_apply(approved: &ApprovedPlan, applied: &Applied) -> Vec<Finding> {
    let plan = approved.plan();
    let mut all = applied.findings.clone();
    let held = approved.held().len();
    if held > 0 {
        let message = format!(
            "{held} steps wait for an approval: see them with `idcsync approve {} --show`, and approve them without \
             --show",
            plan.id
        );
        all.push(Finding::new(Code::StepsHeld, of_profile(&plan.profile), message));
    }
    if let Some(Stop::TargetUnavailable(why)) = &applied.stop {
        let message = format!("the target failed again and again, so the cycle ended: {why}; {CHECK_TARGET}");
        all.push(Finding::new(Code::TargetUnavailable, of_profile(&plan.profile), message));
    }
    all
}

/// What concerns the profile as a whole.
pub fn of_profile(profile: &str) -> Subject {
    Subject { kind: None, id: profile.to_owned(), label: profile.to_owned() }
}
