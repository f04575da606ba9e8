//! A plan that the guard has looked at. `apply` takes nothing else.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::assigned::Assigned;
use super::guard;
use super::step::{Plan, Step, StepNo, Withheld};
use crate::ids::{Anchor, Fingerprint, LinkNo, PlanId};
use crate::model::Kind;

/// Why a step waits for someone's approval.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(tag = "why", rename_all = "kebab-case", rename_all_fields = "camelCase")]
pub enum Hold {
    /// More of one kind than the cycle may do.
    OverLimit { limit: Cow<'static, str>, count: u64, allowed: u64 },
    /// More than the percentage of what is linked, or of one group's members.
    OverPercent { what: String, count: u64, of: u64, percent: u64 },
    /// Half of the linked users or more, whatever the limits are.
    HalfOrMore { what: Cow<'static, str>, count: u64, of: u64 },
    /// It rests on time that has gone by, and the clock cannot be trusted.
    ClockUntrusted {
        #[serde(rename = "detail")]
        why: String,
    },
    /// The directory has been out of reach for longer than `disable-after`.
    OutOfReach,
    /// A group of three or more would become empty.
    WouldEmpty { group: String, members: u64 },
    /// A group that was known to have members suddenly reads as having none.
    SuddenlyEmpty { groups: Vec<String> },
    /// An existing object of the same name is taken over.
    Adoption,
    /// A scope entry's name is on another object now.
    Rebinding,
    /// A swap of userNames in a store that has not been seen to accept a changed one.
    UnprovenRename,
    /// It needs a step that is held.
    DependsOn {
        #[serde(serialize_with = "one_based", deserialize_with = "from_one")]
        step: StepNo,
    },
    /// It only makes room for a step that is held.
    OnlyFor {
        #[serde(serialize_with = "one_based", deserialize_with = "from_one")]
        step: StepNo,
    },
}

impl Hold {
    /// Whether the step is held for what it does itself, and not for another step.
    pub fn is_of_itself(&self) -> bool {
        !matches!(self, Self::DependsOn { .. } | Self::OnlyFor { .. })
    }
}

/// Steps are numbered from 1 wherever a plan is shown.
fn one_based<S: Serializer>(step: &StepNo, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_u32(step.0 + 1)
}

fn from_one<'de, D: Deserializer<'de>>(deserializer: D) -> Result<StepNo, D::Error> {
    u32::deserialize(deserializer).map(|shown| StepNo(shown.saturating_sub(1)))
}

impl fmt::Display for Hold {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OverLimit { limit, count, allowed } => {
                write!(f, "{count} in this cycle, guard.{limit} allows {allowed}")
            }
            Self::OverPercent { what, count, of, percent } => {
                write!(f, "{count} of {of} {what}, guard.max-percent allows {percent} %")
            }
            Self::HalfOrMore { what, count, of } => {
                write!(f, "{count} of {of} linked users would be {what}: half or more is never done unasked")
            }
            Self::ClockUntrusted { why } => {
                write!(f, "it rests on elapsed time, and {why}: set the clock right")
            }
            Self::OutOfReach => f.write_str(
                "nothing could be read of the directory for longer than lifecycle.disable-after: mend that, or approve",
            ),
            Self::WouldEmpty { group, members } => {
                write!(f, "{group} would lose the last of its {members} members")
            }
            Self::SuddenlyEmpty { groups } => {
                write!(f, "{} had members and suddenly reads as having none", groups.join(", "))
            }
            Self::Adoption => {
                f.write_str("it exists in the target already and would be taken over (target.adopt)")
            }
            Self::Rebinding => f.write_str("the configured name is on another object than before"),
            Self::UnprovenRename => {
                f.write_str("a swap of userNames, and this store has not been seen to accept a changed one")
            }
            Self::DependsOn { step } => write!(f, "needs step {}, which is held", step.0 + 1),
            Self::OnlyFor { step } => write!(f, "makes room for step {}, which is held", step.0 + 1),
        }
    }
}

/// What is typed to approve what a plan holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Approving {
    /// What has to be run before, to record and hold them.
    pub first: Option<String>,
    pub command: String,
    /// Steps that it approves as well, though they were not shown.
    pub others: usize,
}

/// A plan with, for each step that may not be done yet, why. Made by the guard alone.
#[derive(Clone, Debug)]
pub struct ApprovedPlan {
    plan: Plan,
    held: BTreeMap<StepNo, Vec<Hold>>,
    approved: BTreeSet<StepNo>,
    /// Not to be done in this cycle, whatever the guard says of them; with what it does say.
    left_out: BTreeMap<StepNo, Vec<Hold>>,
    /// The one object for which it is done.
    about: Option<LinkNo>,
    /// Options without which no cycle makes this plan.
    options: Vec<&'static str>,
}

impl ApprovedPlan {
    pub(super) fn new(plan: Plan, held: BTreeMap<StepNo, Vec<Hold>>, approved: BTreeSet<StepNo>) -> Self {
        let (left_out, about, options) = Default::default();
        Self { plan, held, approved, left_out, about, options }
    }

    /// The same with nothing to be done but steps of these fingerprints: the others are left out, and every step that
    /// needs one of them. What is held stays held.
    #[must_use]
    pub fn only(self, wanted: &BTreeSet<Fingerprint>) -> Self {
        let Self { plan, held, approved, about, options, .. } = self;
        let other = plan.numbered().filter(|(_, step)| !wanted.contains(&plan.fingerprint(step.as_ref())));
        let out = other.map(|(no, _)| no).collect();
        let (held, left_out) = guard::without(&plan, &approved, held, out);
        Self { plan, held, approved, left_out, about, options }
    }

    /// The same, done for this one object. `None`: the plan has no step for it.
    pub(super) fn for_one(self, about: Option<LinkNo>) -> Self {
        Self { about, ..self }
    }

    /// The same, as it is made with these options alone: until a run with them has recorded it, nobody can approve it.
    #[must_use]
    pub fn made_with(self, options: Vec<&'static str>) -> Self {
        Self { options, ..self }
    }

    /// The same, with what its objects are assigned to.
    #[must_use]
    pub fn with_assigned(mut self, assigned: Assigned) -> Self {
        self.plan.assigned = assigned;
        self
    }

    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// The steps that may be done, in order.
    pub fn runnable(&self) -> impl Iterator<Item = (StepNo, Cow<'_, Step>)> {
        self.plan.numbered().filter(|(no, _)| !self.waits(*no))
    }

    /// All but those that are left out.
    pub fn chosen(&self) -> impl Iterator<Item = (StepNo, Cow<'_, Step>)> {
        self.plan.numbered().filter(|(no, _)| !self.left_out.contains_key(no))
    }

    /// Whether a step may not be done in this cycle: held, or left out.
    pub fn waits(&self, no: StepNo) -> bool {
        self.held.contains_key(&no) || self.left_out.contains_key(&no)
    }

    pub fn held(&self) -> &BTreeMap<StepNo, Vec<Hold>> {
        &self.held
    }

    /// What [`Self::only`] has left out.
    pub fn left_out(&self) -> impl ExactSizeIterator<Item = StepNo> {
        self.left_out.keys().copied()
    }

    pub fn is_left_out(&self, no: StepNo) -> bool {
        self.left_out.contains_key(&no)
    }

    /// How its held steps are approved, and nothing that was not shown.
    pub fn how_to_approve(&self) -> Approving {
        let plan = &self.plan;
        let one = self.about.and_then(|no| plan.objects.get(&no)).map(|object| (object.kind, object.anchor));
        let run = || format!("idcsync sync {}{}", self.options.join(" "), only(one));
        let others = self.left_out.values().filter(|holds| !holds.is_empty()).count();
        Approving {
            first: (!self.options.is_empty()).then(run),
            command: approve_command(&plan.id, one),
            others: if one.is_some() { 0 } else { others },
        }
    }

    /// What holds steps, those that are left out among them.
    pub fn all_holds(&self) -> impl Iterator<Item = &Hold> {
        self.held.values().chain(self.left_out.values()).flatten()
    }

    /// What the plan withholds, as far as it concerns what it is done for.
    pub fn withheld(&self) -> impl Iterator<Item = &Withheld> {
        let concerns = |w: &&Withheld| self.about.is_none_or(|no| w.group == no || w.users.contains(&no));
        self.plan.withheld.iter().filter(concerns)
    }

    /// Steps that are done because someone approved them.
    pub fn approved(&self) -> &BTreeSet<StepNo> {
        &self.approved
    }

    /// All that needs an approval, left out or not.
    pub fn held_fingerprints(&self) -> Vec<(StepNo, Fingerprint)> {
        let left_out = self.left_out.iter().filter(|(_, holds)| !holds.is_empty()).map(|(no, _)| no);
        let all: BTreeSet<StepNo> = self.held.keys().chain(left_out).copied().collect();
        all.into_iter().map(|no| (no, self.plan.fingerprint(&self.plan.step(no)))).collect()
    }

    /// Why a step waits for an approval, left out or not.
    pub(super) fn holds(&self, no: StepNo) -> &[Hold] {
        self.held.get(&no).or_else(|| self.left_out.get(&no)).map(Vec::as_slice).unwrap_or_default()
    }

    pub fn is_empty(&self) -> bool {
        self.plan.steps.is_empty()
    }
}

/// What is typed to approve the held steps of a plan, or those of one object. The anchor is nobody else's, and needs no
/// quotes.
pub fn approve_command(plan: &PlanId, one: Option<(Kind, Anchor)>) -> String {
    format!("idcsync approve {plan}{}", only(one))
}

fn only(one: Option<(Kind, Anchor)>) -> String {
    one.map(|(kind, anchor)| format!(" --only {kind} {anchor}")).unwrap_or_default()
}
