//! Approvals of held steps, whoever gives them and by which way.

use std::collections::BTreeSet;

use jiff::{SignedDuration, Timestamp};
use serde::Deserialize as _;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use crate::cycle;
use crate::ids::{Anchor, Fingerprint, PlanId};
use crate::model::{Assignment, Kind};
use crate::plan::{ApprovedPlan, meant};
use crate::state::{CycleKind, CycleOutcome, CycleWord, Reader, State, StateError};

/// How long an approval counts.
const VALID: SignedDuration = SignedDuration::from_hours(72);

/// The held steps of a plan: what an approval is tied to, and the step as the plan's JSON has it.
pub struct HeldSteps {
    pub plan: PlanId,
    pub steps: Vec<(Fingerprint, Value)>,
}

/// What a page was showing: other steps may be held under the same plan by the time somebody approves it.
pub fn seal(steps: &[(Fingerprint, Value)]) -> String {
    let mut hasher = Sha256::new();
    for (print, _) in steps {
        hasher.update(print.as_str());
    }
    hasher.finalize().iter().take(8).fold(String::new(), |text, byte| text + &format!("{byte:02x}"))
}

impl HeldSteps {
    /// Those that a cycle has recorded; `None` where there are none of this plan.
    pub async fn on_record(reader: &Reader, plan: &PlanId) -> Result<Option<Self>, StateError> {
        let held = reader.held(plan).await?;
        Ok(held.map(|held| Self { plan: plan.clone(), steps: held.steps }))
    }

    /// Those of a plan that nothing has recorded, as a dry run makes it.
    pub fn of(approved: &ApprovedPlan) -> Self {
        let held = approved.held_fingerprints().into_iter();
        Self {
            plan: approved.plan().id.clone(),
            steps: held.map(|(no, print)| (print, approved.step_json(no))).collect(),
        }
    }

    /// Those that `sync --only` shows for the object of this kind with this anchor: on it, its memberships, and what
    /// these need.
    pub fn about(&self, kind: Kind, anchor: Anchor) -> Self {
        let (kind, anchor) = (Value::from(kind.to_string()), Value::from(anchor.to_string()));
        let number = |step: &Value| step["step"].as_u64();
        let is_it = |object: &Value| object["kind"] == kind && object["anchor"] == anchor;
        let is_about = |step: &Value| is_it(&step["object"]) || is_it(&step["member"]);
        let mut chosen: BTreeSet<u64> = self
            .steps
            .iter()
            .filter(|(_, step)| is_about(step))
            .filter_map(|(_, step)| number(step))
            .collect();
        loop {
            let before = chosen.len();
            // Nobody is left under a parking name.
            let parked: Vec<(u64, &Value)> = (self.steps.iter())
                .filter(|(_, step)| step["purpose"] == "park")
                .filter_map(|(_, step)| Some((number(step)?, &step["object"]["anchor"])))
                .filter(|(no, _)| chosen.contains(no))
                .collect();
            for (_, step) in self.steps.iter().rev() {
                let Some(no) = number(step) else { continue };
                let needs = || step["after"].as_array().into_iter().flatten().filter_map(Value::as_u64);
                let ends = |park: &(u64, &Value)| {
                    *park.1 == step["object"]["anchor"] && needs().any(|n| n == park.0)
                };
                if chosen.contains(&no) || parked.iter().any(ends) {
                    chosen.insert(no);
                    chosen.extend(needs());
                }
            }
            if chosen.len() == before {
                break;
            }
        }
        let is_chosen = |step: &Value| number(step).is_some_and(|no| chosen.contains(&no));
        let steps = self.steps.iter().filter(|(_, step)| is_chosen(step)).cloned().collect();
        Self { plan: self.plan.clone(), steps }
    }

    /// Until when `chosen` of them are approved by it.
    pub async fn approve(
        &self,
        chosen: &Self,
        state: &State,
        by: &str,
        now: Timestamp,
    ) -> Result<Timestamp, StateError> {
        let Self { plan, steps } = self;
        let expires = now.saturating_add(VALID).unwrap_or(now);
        if state.held(plan).await?.is_none() {
            // An approval belongs to a plan on record.
            let cycle = cycle::begin(state, CycleKind::Normal, now).await?;
            state.save_held(plan, cycle, steps, now).await?;
            let outcome = CycleOutcome {
                word: CycleWord::Held,
                counts: json!({ "planned": steps.len(), "held": steps.len(), "approvedFromDryRun": true }),
                finished: now,
            };
            state.finish_cycle(cycle, &outcome).await?;
        }
        let fingerprints: Vec<Fingerprint> = chosen.steps.iter().map(|(print, _)| print.clone()).collect();
        state.approve(plan, &fingerprints, by, now, expires).await?;
        Ok(expires)
    }

    /// `idcsync/approval/v1`; `until`: where they are approved.
    pub fn json(&self, until: Option<Timestamp>) -> Value {
        json!({
            "schema": "idcsync/approval/v1",
            "plan": self.plan,
            "approvedUntil": until,
            "steps": self.steps.iter().map(|(_, step)| step).collect::<Vec<_>>(),
        })
    }
}

/// A value that a held step writes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Changed {
    pub attribute: String,
    pub old: Option<String>,
    pub new: Option<String>,
}

/// The values that a held step changes, by its JSON.
pub fn changed(step: &Value) -> Vec<Changed> {
    let text = |value: &Value| value.as_str().map(str::to_owned);
    let of_user = step["changes"].as_array().into_iter().flatten().map(|change| Changed {
        attribute: text(&change["attribute"]).unwrap_or_default(),
        old: text(&change["old"]),
        new: text(&change["new"]),
    });
    let of_group = ["displayName", "description", "externalId"].into_iter().filter_map(|attribute| {
        let (old, new) = (&step["before"][attribute], &step["afterAttributes"][attribute]);
        let differs = step["before"].is_object() && old != new;
        differs.then(|| Changed { attribute: attribute.to_owned(), old: text(old), new: text(new) })
    });
    of_user.chain(of_group).collect()
}

/// The id in the target of what a held step takes over: which of two that bear a name is what its approval is about.
pub fn taken_over(step: &Value) -> Option<&str> {
    let adopts = step["action"].as_str().is_some_and(|action| action.starts_with("adopt-"));
    step["object"]["targetId"].as_str().filter(|_| adopts)
}

/// What a held step means for account assignments, in a line.
pub fn assigned(step: &Value) -> Option<String> {
    let list = step.get("assignments")?;
    // `null`: they could not be read.
    let list = Vec::<Assignment>::deserialize(list).ok();
    let meaning = |list: Vec<_>| meant(step["action"].as_str().unwrap_or_default(), &list);
    Some(list.map_or_else(|| "assigned: could not be read".to_owned(), meaning))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::RenameSupport;
    use crate::plan::tests::world::{Prepared, World};

    fn held(prepared: &Prepared) -> HeldSteps {
        HeldSteps::of(&prepared.approved)
    }

    fn told(held: &HeldSteps) -> Vec<String> {
        let text = |step: &Value| {
            let of = |key: &str| step[key]["label"].as_str().unwrap_or_default();
            format!("{} {} {}", step["action"].as_str().unwrap_or_default(), of("object"), of("member"))
        };
        held.steps.iter().map(|(_, step)| text(step).trim_end().to_owned()).collect()
    }

    #[test]
    fn of_one_object_no_more_is_approved_than_is_shown_of_it() {
        let mut world = World::synced(&[("devs", &["a", "b", "c"]), ("all", &["a", "b", "c", "d"])]);
        world.policy.guard.max_removals = 0;
        world.leave("devs", "a");
        world.leave("devs", "b");
        world.store.put_user("e@x.example", None);
        world.group("ops", &["e", "a"]);
        world.enter("ops");
        let prepared = world.prepare();
        let all = held(&prepared);
        let about = |handle: &str| {
            let kind = if ["devs", "all", "ops"].contains(&handle) { Kind::Group } else { Kind::User };
            all.about(kind, world.anchor_of(handle))
        };
        let of = |handle: &str| told(&about(handle));
        assert!(all.steps.len() > 3, "{}", prepared.text());
        assert_eq!(of("a"), ["remove-member devs a@x.example"]);
        assert_eq!(
            of("e"),
            ["adopt-user e@x.example", "update-user e@x.example", "add-member ops e@x.example"]
        );
        // Of a group its members, and what these need.
        assert_eq!(of("ops"), ["adopt-user e@x.example", "add-member ops e@x.example"]);
        assert_eq!(all.about(Kind::User, Anchor::from_u128(0xdead)).steps.len(), 0);
        assert_eq!(all.about(Kind::Group, world.anchor_of("a")).steps.len(), 0);
        for handle in ["a", "b", "c", "d", "e", "devs", "all", "ops"] {
            let one = prepared.approved.clone().only_about(world.anchor_of(handle));
            let shown: Vec<_> =
                one.held().keys().map(|no| one.plan().fingerprint(&one.plan().step(*no))).collect();
            let approved: Vec<_> = about(handle).steps.into_iter().map(|(f, _)| f).collect();
            assert_eq!(approved, shown, "{handle}");
        }
    }

    #[test]
    fn a_swap_that_is_held_is_approved_for_both() {
        let mut world = World::synced(&[("devs", &["a", "b", "c"])]);
        world.book.set_rename_support(RenameSupport::Unknown);
        let (a, b) = (world.person("a").upn.clone(), world.person("b").upn.clone());
        world.person("a").set("userprincipalname", &b);
        world.person("b").set("userprincipalname", &a);
        let all = held(&world.prepare());
        assert_eq!(all.steps.len(), 3);
        for handle in ["a", "b"] {
            assert_eq!(all.about(Kind::User, world.anchor_of(handle)).steps.len(), 3, "{handle}");
        }
        assert_eq!(all.about(Kind::User, world.anchor_of("c")).steps.len(), 0);
    }

    #[test]
    fn what_a_step_means_is_read_from_its_json() {
        let group = json!({
            "action": "update-group", "object": { "label": "Team", "targetId": "g-1" },
            "before": { "displayName": "Team", "description": "old" }, "afterAttributes": { "displayName": "Team" },
        });
        let gone = Changed { attribute: "description".to_owned(), old: Some("old".to_owned()), new: None };
        assert_eq!(changed(&group), [gone]);
        assert_eq!((taken_over(&group), assigned(&group)), (None, None));
        let adopt = json!({ "action": "adopt-group", "object": { "targetId": "g-1" }, "assignments": null });
        assert_eq!(taken_over(&adopt), Some("g-1"));
        assert_eq!(assigned(&adopt).as_deref(), Some("assigned: could not be read"));
        let list = json!([{ "account": "1", "permissionSet": "arn", "permissionSetName": "Admin" }]);
        let delete = json!({ "action": "delete-group", "object": {}, "assignments": list });
        assert_eq!(assigned(&delete).as_deref(), Some("goes with it for good: Admin in 1"));
        assert_eq!(changed(&delete), []);
    }
}
