//! How a cycle ended, and what a script may rely on of it.

use jiff::{SignedDuration, Timestamp};
use serde::Serialize;
use serde_json::json;

use super::{CycleError, Times};
use crate::apply::{Applied, Stop};
use crate::model::{Code, Finding};
use crate::plan::ApprovedPlan;
use crate::state::{CycleWord, FindingChanges};

/// The facts that the exit code is made of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Outcome {
    pub steps: u64,
    pub held: u64,
    /// Failures that a retry may mend.
    pub retryable: u64,
    pub cut_short: bool,
    pub target_unavailable: bool,
    /// Something that ought to be taken away has been withheld for more than 24 hours.
    pub withheld_long: bool,
    pub out_of_time: bool,
    pub asked_to_stop: bool,
    pub findings: u64,
}

const WITHHELD_LIMIT: SignedDuration = SignedDuration::from_hours(24);

impl Outcome {
    pub fn of(
        approved: &ApprovedPlan,
        applied: &Applied,
        changes: &FindingChanges,
        cut_short: bool,
        now: Timestamp,
    ) -> Self {
        let long = |(finding, since): &(Finding, Timestamp)| {
            finding.code == Code::RemovalWithheld && now.duration_since(*since) > WITHHELD_LIMIT
        };
        Self {
            steps: (approved.plan().steps.len() - approved.left_out().len()) as u64,
            held: approved.held().len() as u64,
            retryable: applied.retryable,
            cut_short,
            target_unavailable: matches!(applied.stop, Some(Stop::TargetUnavailable(_))),
            withheld_long: changes.standing.iter().any(long),
            out_of_time: applied.stop == Some(Stop::OutOfTime),
            asked_to_stop: applied.stop == Some(Stop::Asked),
            findings: (changes.appeared.len() + changes.standing.len()) as u64,
        }
    }

    pub fn word(&self) -> CycleWord {
        if self.target_unavailable {
            CycleWord::Unreachable
        } else if self.out_of_time || self.asked_to_stop {
            CycleWord::Stopped
        } else if self.held > 0 {
            CycleWord::Held
        } else if self.retryable > 0 || self.withheld_long || self.cut_short {
            CycleWord::Unsettled
        } else if self.steps == 0 {
            CycleWord::Nothing
        } else {
            CycleWord::Done
        }
    }
}

/// How a cycle ended that could not be carried out.
pub fn failed_word(error: &CycleError) -> CycleWord {
    match error {
        CycleError::Directory(_)
        | CycleError::BindingUnread { .. }
        | CycleError::Target(_)
        | CycleError::Recover(_) => CycleWord::Unreachable,
        CycleError::State(_) | CycleError::Journal(_) | CycleError::OtherBinding { .. } => CycleWord::Failed,
    }
}

/// All that there is to tell of a cycle that was carried out.
pub struct CycleReport {
    pub outcome: Outcome,
    pub applied: Applied,
    pub approved: ApprovedPlan,
    pub changes: FindingChanges,
    pub findings: Vec<Finding>,
    /// Sent to the directory.
    pub requests: u64,
    pub recovered: usize,
    /// A scope entry follows another object from now on: the scope is to be read again.
    pub rebound: bool,
    /// Something that was thought to be there was not, or an entry was rebound: the same run goes on with another
    /// cycle.
    pub again: bool,
    /// The target was read back as a whole.
    pub full: bool,
    /// How many objects of the directory had changed, where it was asked for changes alone.
    pub by_changes: Option<usize>,
    /// It rests on the one before: nothing had changed that counts, so not everything was looked at again.
    pub rested: bool,
    /// It looked at what has changed and what that touches alone; for the others nothing had changed.
    pub of_part: bool,
    /// The next cycle can rest on it.
    pub at_rest: bool,
    /// Something of the directory was not read to its end: on which server, and why.
    pub cut_short: Option<String>,
    pub times: Times,
}

impl CycleReport {
    /// For the database, `status` and JSON.
    pub fn counts(&self) -> serde_json::Value {
        let words = |counts: &std::collections::BTreeMap<crate::plan::Sort, u64>| {
            counts
                .iter()
                .map(|(sort, n)| (sort.word().to_owned(), json!(n)))
                .collect::<serde_json::Map<_, _>>()
        };
        json!({
            "planned": self.outcome.steps,
            "held": self.outcome.held,
            "done": words(&self.applied.done),
            "failed": words(&self.applied.failed),
            "left": self.applied.left,
            "leftOut": self.approved.left_out().len(),
            "findings": self.outcome.findings,
            "full": self.full,
            "directoryRequests": self.requests,
            "directoryChanges": self.by_changes,
            "rested": self.rested,
            "part": self.of_part,
            "plan": self.approved.plan().id,
        })
    }
}
