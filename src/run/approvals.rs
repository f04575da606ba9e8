//! Approvals of held steps, whoever gives them and by which way.

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use crate::cycle;
use crate::ids::{Fingerprint, PlanId};
use crate::plan::ApprovedPlan;
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

    /// Until when they are approved by it.
    pub async fn approve(&self, state: &State, by: &str, now: Timestamp) -> Result<Timestamp, StateError> {
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
        let fingerprints: Vec<Fingerprint> = steps.iter().map(|(print, _)| print.clone()).collect();
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
