//! All findings of a cycle, from every room that had one.

use std::collections::BTreeSet;

use jiff::{SignedDuration, Timestamp};

use super::record::Suspects;
use super::{CHECK_TARGET, Profile, chain};
use crate::apply::{Applied, Stop};
use crate::directory::DirectoryError;
use crate::model::{Code, Desired, Finding, Kind, Known, Observed, Snapshot, Subject};
use crate::plan::{ApprovedPlan, Distrust, Hold, Plan, reported};
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
    let done = approved.runnable().filter(|(no, _)| !applied.undone.contains(no));
    all.extend(done.filter_map(|(_, step)| reported(plan, &step)));
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
            let none = if group.members.users.is_empty() { "none" } else { "no value of `member`" };
            let message = format!(
                "had {before} members and suddenly reads as having {none}, so whoever was in the scope through it keeps \
                 what they have. Let the bind account read its members; if that is how it is, take it out of `scope`, or \
                 give it a member who is in the scope by another group too"
            );
            Finding::new(Code::RemovalWithheld, subject, message)
        })
        .collect()
}

/// What the passing of time has to do with the plan.
pub fn of_time(
    profile: &Profile<'_>,
    known: &Known,
    approved: &ApprovedPlan,
    distrust: Option<Distrust>,
    now: Timestamp,
) -> Vec<Finding> {
    let mut all = Vec::new();
    let waits = approved.all_holds().filter(|h| matches!(h, Hold::ClockUntrusted { .. })).count();
    if let Some(why) = distrust.filter(|_| waits > 0) {
        let message = format!(
            "{why}: {waits} steps that rest on elapsed time wait. Set the clock of this machine right (NTP); if it is \
             right, see to the other one"
        );
        all.push(Finding::new(Code::ClockUntrusted, of_profile(profile.name), message));
    }
    let counting = known.links.values().filter(|l| l.target_id.is_some() && l.out_since.is_some()).count();
    if profile.elapsed(known, now).is_broken() && counting > 0 {
        let last = known.last_complete_read.map(|at| at.to_string()).unwrap_or_default();
        let message = format!(
            "the last complete read before this one was at {last}: nobody looked for too long to know who was outside \
             the scope meanwhile, so the time of {counting} users begins anew and nobody is disabled for it. Run \
             cycles more often than lifecycle.disable-after"
        );
        all.push(Finding::new(Code::TimeNotCounted, of_profile(profile.name), message));
    }
    all
}

/// The token by which the target is reached ends soon.
pub fn of_token(profile: &str, expires: Option<Timestamp>, now: Timestamp) -> Option<Finding> {
    let expires = expires.filter(|at| at.duration_since(now) < TOKEN_NOTICE)?;
    let message = format!(
        "the SCIM token ends at {expires} (scim.token-expires): make a second one in IAM Identity Center, put it into \
         `token-file`, and correct the date"
    );
    Some(Finding::new(Code::TokenExpiring, of_profile(profile), message))
}

/// Time enough to make a new token; `check` warns by the same.
pub const TOKEN_NOTICE: SignedDuration = SignedDuration::from_hours(30 * 24);

/// The directory has not answered for longer than `disable-after`.
pub fn of_outage(profile: &Profile<'_>, error: &DirectoryError) -> Vec<Finding> {
    let subject = || of_profile(profile.name);
    vec![
        Finding::new(error.code(), subject(), chain(error)),
        Finding::new(
            Code::DirectoryOutOfReach,
            subject(),
            "nothing could be read of the directory for longer than lifecycle.disable-after: all users would have to \
             be disabled, which waits for an approval. Mend the connection, and nothing happens",
        ),
    ]
}

/// Desired users of whom this cycle has not asked whether the target has them disabled.
pub fn unseen_in_target(desired: &Desired, known: &Known, observed: &Observed) -> BTreeSet<String> {
    desired
        .users
        .keys()
        .filter_map(|no| known.links.get(no))
        .filter(|l| l.target_id.as_ref().is_some_and(|id| !observed.users.contains_key(id)))
        .map(|l| l.sid.as_ref().map_or_else(|| l.anchor.to_string(), ToString::to_string))
        .collect()
}

/// A finding that only a look at the target can end.
pub fn stays_unseen(finding: &Finding, unseen: &BTreeSet<String>) -> bool {
    finding.code == Code::DisabledByOthers && unseen.contains(&finding.subject.id)
}

/// What only an apply can tell of an object, and only the next one that comes to it can end.
const OF_STEPS: [Code; 5] = [
    Code::ConflictError,
    Code::TargetRefused,
    Code::TargetObjectMissing,
    Code::TargetFailed,
    Code::DisableByHand,
];

/// Subjects of which a step was left out: what an earlier cycle has found of them stands.
pub fn left_out(approved: &ApprovedPlan) -> BTreeSet<String> {
    let plan = approved.plan();
    let objects = approved.left_out().filter_map(|no| {
        let action = &plan.step(no).action;
        // As with a failed step: that of a membership is its group's.
        plan.objects.get(&action.object()?)
    });
    objects.map(|o| o.sid.as_ref().map_or_else(|| o.anchor.to_string(), ToString::to_string)).collect()
}

pub fn stays_left_out(finding: &Finding, left_out: &BTreeSet<String>) -> bool {
    OF_STEPS.contains(&finding.code) && left_out.contains(&finding.subject.id)
}

/// A running service goes on with the config that it had.
pub fn of_broken_config(profile: &str, why: &str) -> Finding {
    let message = format!(
        "the config file has changed and cannot be taken up, so the one before it stays in force: {why}. Correct the \
         file; it is read again within seconds"
    );
    Finding::new(Code::ConfigInvalid, of_profile(profile), message)
}

/// What concerns the profile as a whole.
pub fn of_profile(profile: &str) -> Subject {
    Subject { kind: None, id: profile.to_owned(), label: profile.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::Anchor;
    use crate::model::Finding;
    use crate::plan::tests::world::World;

    #[test]
    fn what_a_step_has_shown_stands_while_the_step_is_left_out() {
        let mut world = World::new();
        world.group("devs", &["anna", "bob"]);
        world.enter("devs");
        let approved = world.prepare().approved;
        let finding = |code: Code, anchor: Anchor| {
            let subject = Subject { kind: Some(Kind::User), id: anchor.to_string(), label: String::new() };
            Finding::new(code, subject, "as it was")
        };
        let id = |handle: &str| {
            let anchor = world.anchor_of(handle);
            let object = approved.plan().objects.values().find(|o| o.anchor == anchor).expect("planned");
            (anchor, object.sid.as_ref().map_or_else(|| anchor.to_string(), ToString::to_string))
        };
        let of = |code: Code, handle: &str| {
            let (anchor, id) = id(handle);
            let mut finding = finding(code, anchor);
            finding.subject.id = id;
            finding
        };
        let all = left_out(&approved);
        assert!(all.is_empty(), "{all:?}");
        let only = left_out(&approved.clone().only_about(world.anchor_of("anna")));
        assert!(stays_left_out(&of(Code::TargetRefused, "bob"), &only));
        assert!(!stays_left_out(&of(Code::TargetRefused, "anna"), &only));
        // The mapping is seen by each cycle.
        assert!(!stays_left_out(&of(Code::MappingFailed, "bob"), &only));
    }
}
