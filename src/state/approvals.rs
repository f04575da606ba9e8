//! Plans of which steps are held, and the approvals of such steps.

use std::collections::BTreeSet;

use jiff::Timestamp;

use super::db::{Row, Tx, Value, args};
use super::open::{Reader, State};
use super::{Result, StateError};
use crate::ids::{CycleId, Fingerprint, PlanId};

const HOLD: &str = "INSERT INTO held_plans (profile_id, plan_id, cycle_id, held_at) VALUES ($1, $2, $3, $4)
    ON CONFLICT (profile_id, plan_id) DO UPDATE SET cycle_id = excluded.cycle_id, held_at = excluded.held_at";
const FORGET_STEPS: &str = "DELETE FROM held_steps WHERE profile_id = $1 AND plan_id = $2";
const HOLD_STEPS: &str =
    "INSERT INTO held_steps (profile_id, plan_id, position, fingerprint, step) VALUES {rows}";
const PLAN: &str = "SELECT plan_id, cycle_id, held_at FROM held_plans WHERE profile_id = $1 AND plan_id = $2";
const LATEST: &str = "SELECT plan_id, cycle_id, held_at FROM held_plans WHERE profile_id = $1
    ORDER BY cycle_id DESC, held_at DESC LIMIT 1";
const STEPS: &str = "SELECT fingerprint, step FROM held_steps WHERE profile_id = $1 AND plan_id = $2
    ORDER BY position";

const APPROVE: &str = "INSERT INTO approvals
    (profile_id, fingerprint, plan_id, approved_by, approved_at, expires_at) VALUES {rows}
    ON CONFLICT (profile_id, fingerprint) DO UPDATE SET plan_id = excluded.plan_id,
        approved_by = excluded.approved_by, approved_at = excluded.approved_at,
        expires_at = excluded.expires_at, used_at = NULL";
const CONSUME: &str = "UPDATE approvals SET used_at = $3
    WHERE profile_id = $1 AND fingerprint = $2 AND used_at IS NULL";
const APPROVED: &str = "SELECT fingerprint FROM approvals
    WHERE profile_id = $1 AND used_at IS NULL AND expires_at > $2";

/// The held steps of one plan.
#[derive(Clone, Debug, PartialEq)]
pub struct HeldPlan {
    pub plan: PlanId,
    /// The last cycle that held it.
    pub cycle: CycleId,
    pub held_at: Timestamp,
    /// What an approval is tied to, and the step as the plan's JSON has it.
    pub steps: Vec<(Fingerprint, serde_json::Value)>,
}

impl State {
    /// Keeps what the guard of this cycle held. With no steps it says that nothing is held any more.
    pub async fn save_held(
        &self,
        plan: &PlanId,
        cycle: CycleId,
        held: &[(Fingerprint, serde_json::Value)],
        now: Timestamp,
    ) -> Result<()> {
        let mut tx = self.db.begin().await?;
        self.check_running(&mut tx, cycle).await?;
        self.fence(&mut tx).await?;
        tx.run(HOLD, args![self.profile_id, plan.as_str(), cycle, now]).await?;
        tx.run(FORGET_STEPS, args![self.profile_id, plan.as_str()]).await?;
        let steps: Vec<Value<'_>> = (0_u32..)
            .zip(held)
            .flat_map(|(position, (fingerprint, step))| {
                args![self.profile_id, plan.as_str(), position, fingerprint.as_str(), step.to_string()]
            })
            .collect();
        tx.run_rows(HOLD_STEPS, 5, steps).await?;
        tx.commit().await
    }

    /// Approves steps until `expires`; again, where they were approved or used before.
    pub async fn approve(
        &self,
        plan: &PlanId,
        fingerprints: &[Fingerprint],
        by: &str,
        now: Timestamp,
        expires: Timestamp,
    ) -> Result<()> {
        let mut tx = self.db.begin().await?;
        let unique: BTreeSet<&Fingerprint> = fingerprints.iter().collect();
        let values: Vec<Value<'_>> = unique
            .into_iter()
            .flat_map(|f| args![self.profile_id, f.as_str(), plan.as_str(), by, now, expires])
            .collect();
        tx.run_rows(APPROVE, 6, values).await?;
        tx.commit().await
    }

    /// The approved step has been done: the approval does not count again. Whether there was one.
    pub async fn consume_approval(&self, fingerprint: &Fingerprint, now: Timestamp) -> Result<bool> {
        let mut tx = self.db.begin().await?;
        self.fence(&mut tx).await?;
        let there = tx.run(CONSUME, args![self.profile_id, fingerprint.as_str(), now]).await? > 0;
        tx.commit().await?;
        Ok(there)
    }
}

impl Reader {
    /// What is held of this plan; `None` where it is not known, or nothing of it is held.
    pub async fn held(&self, plan: &PlanId) -> Result<Option<HeldPlan>> {
        self.held_plan(PLAN, args![self.profile_id, plan.as_str()]).await
    }

    /// What the last cycle that had something to say about it held.
    pub async fn latest_held(&self) -> Result<Option<HeldPlan>> {
        self.held_plan(LATEST, args![self.profile_id]).await
    }

    async fn held_plan(&self, sql: &'static str, args: Vec<Value<'_>>) -> Result<Option<HeldPlan>> {
        let mut tx = self.db.begin_read().await?;
        let plan = tx.fetch_one(sql, args, read_plan).await?;
        let Some(mut plan) = plan else { return Ok(None) };
        let args = args![self.profile_id, plan.plan.as_str()];
        plan.steps = tx.fetch(STEPS, args, read_step).await?;
        tx.commit().await?;
        Ok(Some(plan).filter(|plan| !plan.steps.is_empty()))
    }
}

fn read_plan(row: &mut Row) -> Result<HeldPlan> {
    Ok(HeldPlan {
        plan: PlanId::new(row.next::<String>()?),
        cycle: CycleId(row.next()?),
        held_at: row.time("held_plans.held_at")?,
        steps: Vec::new(),
    })
}

fn read_step(row: &mut Row) -> Result<(Fingerprint, serde_json::Value), StateError> {
    Ok((Fingerprint::new(row.next::<String>()?), row.json("held_steps.step")?))
}

pub(super) async fn load(tx: &mut Tx, profile_id: i64, now: Timestamp) -> Result<BTreeSet<Fingerprint>> {
    let found =
        tx.fetch(APPROVED, args![profile_id, now], |row| Ok(Fingerprint::new(row.next::<String>()?))).await?;
    Ok(found.into_iter().collect())
}
