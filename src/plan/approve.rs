//! A plan that the guard has looked at. `apply` takes nothing else.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::{Serialize, Serializer};

use super::step::{Plan, Step, StepNo};
use crate::ids::Fingerprint;

/// Why a step waits for someone's approval.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(tag = "why", rename_all = "kebab-case", rename_all_fields = "camelCase")]
pub enum Hold {
    /// More of one kind than the cycle may do.
    OverLimit { limit: &'static str, count: u64, allowed: u64 },
    /// More than the percentage of what is linked, or of one group's members.
    OverPercent { what: String, count: u64, of: u64, percent: u64 },
    /// Half of the linked users or more, whatever the limits are.
    HalfOrMore { what: &'static str, count: u64, of: u64 },
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
        #[serde(serialize_with = "one_based")]
        step: StepNo,
    },
    /// It only makes room for a step that is held.
    OnlyFor {
        #[serde(serialize_with = "one_based")]
        step: StepNo,
    },
}

/// Steps are numbered from 1 wherever a plan is shown.
fn one_based<S: Serializer>(step: &StepNo, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_u32(step.0 + 1)
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

/// A plan with, for each step that may not be done yet, why. Made by the guard alone.
#[derive(Clone, Debug)]
pub struct ApprovedPlan {
    plan: Plan,
    held: BTreeMap<StepNo, Vec<Hold>>,
    approved: BTreeSet<StepNo>,
}

impl ApprovedPlan {
    pub(super) fn new(plan: Plan, held: BTreeMap<StepNo, Vec<Hold>>, approved: BTreeSet<StepNo>) -> Self {
        Self { plan, held, approved }
    }

    /// Runs no other steps than these: the rest is left out, with all that needs it.
    pub fn only(self, _: &BTreeSet<Fingerprint>) -> Self {
        self
    }

    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// The steps that may be done, in order.
    pub fn runnable(&self) -> impl Iterator<Item = (StepNo, &Step)> {
        self.plan.numbered().filter(|(no, _)| !self.held.contains_key(no))
    }

    pub fn held(&self) -> &BTreeMap<StepNo, Vec<Hold>> {
        &self.held
    }

    /// Steps that are done because someone approved them.
    pub fn approved(&self) -> &BTreeSet<StepNo> {
        &self.approved
    }

    pub fn held_fingerprints(&self) -> Vec<(StepNo, Fingerprint)> {
        self.held.keys().map(|no| (*no, self.plan.fingerprint(self.plan.step(*no)))).collect()
    }

    pub fn is_empty(&self) -> bool {
        self.plan.steps.is_empty()
    }
}
