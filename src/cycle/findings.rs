//! All findings of a cycle, from every room that had one.

use std::collections::BTreeSet;

use super::CHECK_TARGET;
use super::record::Suspects;
use crate::apply::{Applied, Stop};
use crate::model::{Code, Finding, Kind, Known, Snapshot, Subject};
use crate::plan::{ApprovedPlan, Plan};
use crate::scope::Scope;

/// Of the read, the mapping and the plan; in a fixed order.
pub fn of_plan(snapshot: &Snapshot, mapped: Vec<Finding>, plan: &Plan) -> Vec<Finding> {
    let mut all: BTreeSet<Finding> = snapshot.findings.iter().cloned().collect();
    all.extend(mapped);
    all.extend(plan.findings.iter().cloned());
    all.extend(plan.withheld.iter().map(|w| {
        let subject =
            Subject { kind: Some(Kind::Group), id: w.group_id.clone(), label: w.group_label.clone() };
        let message = format!(
            "{} {} may have left, which is not proven: {}. Mend the read; nothing is taken away before",
            w.members,
            if w.members == 1 { "member" } else { "members" },
            w.why
        );
        Finding::new(Code::RemovalWithheld, subject, message)
    }));
    all.into_iter().collect()
}

/// Of applying: steps that failed, steps that wait, a target that is gone.
pub fn of_apply(approved: &ApprovedPlan, applied: &Applied) -> Vec<Finding> {
    let plan = approved.plan();
    let mut all = applied.findings.clone();
    let held = approved.held_fingerprints().len();
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

/// Groups that suddenly read as empty, for which there is no step that could be held.
pub fn of_suspects(scope: &Scope<'_>, known: &Known, suspects: &Suspects) -> Vec<Finding> {
    let groups = suspects.silent.iter().filter_map(|no| Some((no, scope.groups().get(no)?)));
    groups
        .map(|(no, group)| {
            let before = known.links.get(no).map_or(0, |l| l.direct.len());
            let id = group.sid.as_ref().map_or_else(|| group.anchor.to_string(), ToString::to_string);
            let subject = Subject { kind: Some(Kind::Group), id, label: group.dn.leaf() };
            let message = format!(
                "had {before} members and suddenly reads as having none, so whoever was in the scope through it keeps \
                 what they have. Let the bind account read its members; if it really is empty, take it out of `scope`"
            );
            Finding::new(Code::RemovalWithheld, subject, message)
        })
        .collect()
}

/// What concerns the profile as a whole.
pub fn of_profile(profile: &str) -> Subject {
    Subject { kind: None, id: profile.to_owned(), label: profile.to_owned() }
}
