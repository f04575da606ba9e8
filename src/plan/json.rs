//! A plan as JSON, `idcsync/plan/v1`: the steps in the order in which they would be done.

use std::collections::BTreeMap;

use serde::ser::{SerializeSeq, SerializeStruct};
use serde::{Serialize, Serializer};

use super::approve::{ApprovedPlan, Hold};
use super::sort::Sort;
use super::step::{Action, Change, Plan, Step, StepNo, Withheld};
use crate::ids::{Anchor, Fingerprint, LinkNo, TargetId};
use crate::model::{Assignment, DisableCause, DisableHow, Finding, GroupAttributes, Kind, UserValues};

pub const SCHEMA: &str = "idcsync/plan/v1";

/// Serialises without copying the plan.
pub struct PlanView<'a> {
    pub approved: &'a ApprovedPlan,
    /// All findings of the cycle, those of the read included.
    pub findings: &'a [Finding],
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct StepView<'a> {
    step: u32,
    action: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    object: Option<ObjectView<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    member: Option<ObjectView<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    attributes: Option<&'a UserValues>,
    #[serde(skip_serializing_if = "Option::is_none")]
    changes: Option<&'a [Change]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    before: Option<&'a GroupAttributes>,
    #[serde(skip_serializing_if = "Option::is_none")]
    after_attributes: Option<&'a GroupAttributes>,
    #[serde(skip_serializing_if = "Option::is_none")]
    purpose: Option<super::step::Purpose>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cause: Option<DisableCause>,
    #[serde(skip_serializing_if = "Option::is_none")]
    how: Option<DisableHow>,
    #[serde(skip_serializing_if = "Option::is_none")]
    proof: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    entry: Option<EntryView<'a>>,
    /// `null` where they could not be read.
    #[serde(skip_serializing_if = "Option::is_none")]
    assignments: Option<Option<&'a [Assignment]>>,
    reason: String,
    after: Vec<u32>,
    #[serde(skip_serializing_if = "<[Hold]>::is_empty")]
    held: &'a [Hold],
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    left_out: bool,
    approved: bool,
    fingerprint: Fingerprint,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ObjectView<'a> {
    kind: Kind,
    label: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    anchor: Option<Anchor>,
    #[serde(skip_serializing_if = "Option::is_none")]
    dn: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    target_id: Option<&'a TargetId>,
}

#[derive(Serialize)]
struct EntryView<'a> {
    kind: Kind,
    name: &'a str,
    from: Anchor,
    to: Anchor,
}

impl Serialize for PlanView<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let plan = self.approved.plan();
        let counts: BTreeMap<&str, u64> = plan.counts().into_iter().map(|(s, n)| (s.word(), n)).collect();
        let withheld: &[Withheld] = &plan.withheld;
        let mut view = serializer.serialize_struct("Plan", 9)?;
        view.serialize_field("schema", SCHEMA)?;
        view.serialize_field("plan", &plan.id)?;
        view.serialize_field("profile", &plan.profile)?;
        view.serialize_field("full", &plan.full)?;
        view.serialize_field("counts", &counts)?;
        view.serialize_field("held", &self.approved.held().len())?;
        view.serialize_field("steps", &Steps(self.approved))?;
        view.serialize_field("withheld", withheld)?;
        view.serialize_field("findings", self.findings)?;
        view.end()
    }
}

struct Steps<'a>(&'a ApprovedPlan);

impl Serialize for Steps<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let plan = self.0.plan();
        let mut list = serializer.serialize_seq(Some(plan.steps.len()))?;
        for (no, step) in plan.numbered() {
            list.serialize_element(&step_view(self.0, plan, no, &step))?;
        }
        list.end()
    }
}

impl ApprovedPlan {
    /// One step as in the plan's JSON.
    pub fn step_json(&self, no: StepNo) -> serde_json::Value {
        let plan = self.plan();
        // Only strings, numbers and maps with string keys: cannot fail.
        serde_json::to_value(step_view(self, plan, no, &plan.step(no))).unwrap_or_default()
    }
}

fn object(plan: &Plan, no: LinkNo) -> Option<ObjectView<'_>> {
    plan.objects.get(&no).map(|o| ObjectView {
        kind: o.kind,
        label: &o.label,
        anchor: Some(o.anchor),
        dn: Some(&o.dn),
        target_id: o.target_id.as_ref(),
    })
}

fn step_view<'a>(approved: &'a ApprovedPlan, plan: &'a Plan, no: StepNo, step: &'a Step) -> StepView<'a> {
    let action = match &step.action {
        Action::RemoveStranger { .. } => Sort::RemoveMember.word(),
        other => other.sort().word(),
    };
    let mut view = StepView {
        step: no.0 + 1,
        action,
        object: step.action.object().and_then(|o| object(plan, o)),
        member: step.action.member().and_then(|m| object(plan, m)),
        attributes: None,
        changes: None,
        before: None,
        after_attributes: None,
        purpose: None,
        cause: None,
        how: None,
        proof: step.action.proof().map(|p| p.word()),
        entry: None,
        assignments: plan.assigned.of(&step.action),
        reason: plan.reason(step),
        after: step.after.iter().map(|n| n.0 + 1).collect(),
        held: approved.holds(no),
        left_out: approved.is_left_out(no),
        approved: approved.approved().contains(&no),
        fingerprint: plan.fingerprint(step),
    };
    match &step.action {
        Action::RebindEntry { kind, name, from, to } => {
            view.entry = Some(EntryView { kind: *kind, name, from: **from, to: **to });
        }
        Action::CreateUser { attributes, .. } => view.attributes = Some(attributes),
        Action::UpdateUser { purpose, changes, .. } => {
            view.purpose = Some(*purpose);
            view.changes = Some(changes);
        }
        Action::CreateGroup { attributes, .. } => view.after_attributes = Some(attributes),
        Action::UpdateGroup { purpose, before, after, .. } => {
            view.purpose = Some(*purpose);
            view.before = Some(before);
            view.after_attributes = Some(after);
        }
        Action::DisableUser { cause, how, .. } => {
            view.cause = Some(*cause);
            view.how = Some(*how);
        }
        Action::EnableUser { how, .. } => view.how = Some(*how),
        Action::DeleteUser { cause, .. } => view.cause = Some(*cause),
        Action::RemoveMember { .. } | Action::DeleteGroup { .. } => {}
        Action::RemoveStranger { user, label, .. } => {
            view.member =
                Some(ObjectView { kind: Kind::User, label, anchor: None, dn: None, target_id: Some(user) });
        }
        Action::AdoptUser { id, .. } | Action::AdoptGroup { id, .. } => {
            if let Some(object) = &mut view.object {
                object.target_id = Some(id);
            }
        }
        Action::AddMember { .. } => {}
    }
    view
}
