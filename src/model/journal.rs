//! What is written down before and after each write.

use jiff::Timestamp;

use crate::ids::{CycleId, LinkNo};

/// A write that is about to be sent.
#[derive(Clone, Debug, PartialEq)]
pub struct Intent {
    /// The step's place in its plan.
    pub step: u32,
    /// `create-user`, `add-member` …
    pub action: String,
    /// The object, or the group of a membership; its row must have been written before.
    pub link: LinkNo,
    /// The user of a membership.
    pub member: Option<LinkNo>,
    /// Whatever is needed to look the step up, and to tell about it.
    pub detail: serde_json::Value,
    pub at: Timestamp,
}

/// An intent without an outcome.
#[derive(Clone, Debug, PartialEq)]
pub struct PendingIntent {
    pub seq: i64,
    pub cycle: CycleId,
    pub intent: Intent,
}

/// How a step ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StepResult {
    /// The target has done it.
    Done,
    /// A look-up showed that it was done already.
    Found,
    Failed {
        code: String,
        message: String,
    },
    /// It was not sent.
    Skipped,
    /// A look-up showed that it was not done.
    NotDone,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    pub seq: i64,
    pub result: StepResult,
    pub at: Timestamp,
}

impl StepResult {
    /// As stored and as in JSON.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Found => "found",
            Self::Failed { .. } => "failed",
            Self::Skipped => "skipped",
            Self::NotDone => "not-done",
        }
    }
}
