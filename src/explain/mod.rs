//! Why one object is as it is: whether it is in scope and by which paths, what its attributes come from, what the next
//! cycle would do to it. Composed from what a cycle has read and planned anyway, by the same path; pure.

mod compose;
mod members;
mod near;
mod standing;
mod text;

use jiff::Timestamp;
use serde::Serialize;

pub use compose::{Asked, explain, hold_against};
pub use members::{Members, Through, Unread};
pub use near::{Near, Terrain, nearest};
pub use standing::{Lack, Standing, Verdict};
pub use text::render;

use crate::ids::{Anchor, Sid, TargetId};
use crate::mapping::{Mapping, Traced};
use crate::model::{
    Assignment, Capabilities, Code, DisableCause, DisableHow, Finding, Kind, Known, Origin, Snapshot,
};
use crate::plan::{ApprovedPlan, Desire, Lifecycle};
use crate::scope::Scope;

pub const SCHEMA: &str = "idcsync/explain/v1";

/// What a cycle has at hand when its plan is made.
pub struct Sight<'a> {
    pub snapshot: &'a Snapshot,
    pub scope: &'a Scope<'a>,
    /// Groups in groups are followed.
    pub nested: bool,
    /// As configured.
    pub filter: Option<&'a str>,
    pub known: &'a Known,
    pub desire: &'a Desire,
    pub mapping: &'a Mapping,
    pub target: Capabilities,
    pub lifecycle: &'a Lifecycle,
    pub approved: &'a ApprovedPlan,
    /// Of the read, the mapping and the plan.
    pub findings: &'a [Finding],
    pub now: Timestamp,
}

/// The answer.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Explanation {
    pub schema: &'static str,
    pub profile: String,
    pub object: Object,
    pub scope: Standing,
    pub attributes: Vec<Attribute>,
    pub target: InTarget,
    pub link: Option<LinkFacts>,
    /// Of a user: the managed groups that it is in, or ought to be.
    pub memberships: Vec<Membership>,
    /// Of a group.
    pub members: Option<Members>,
    pub next: Next,
    pub findings: Vec<Told>,
    /// What it may reach in AWS accounts, as the target has it now; `None`: not asked for (`assignments`).
    pub access: Option<Access>,
    /// The last writes that were about it, the newest first.
    pub journal: Vec<Write>,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Object {
    pub kind: Kind,
    pub label: String,
    pub dn: String,
    pub anchor: Anchor,
    pub sid: Option<Sid>,
}

/// One attribute, from the directory to the target.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Attribute {
    #[serde(flatten)]
    pub traced: Traced,
    /// What the target has now; `None`: nothing, or it was not asked.
    pub now: Option<String>,
    /// The target was asked, and has something else.
    pub differs: bool,
}

/// The object in the target.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum InTarget {
    /// It is linked to nothing there.
    #[default]
    NotLinked,
    /// Its id is not there (any more).
    Gone,
    There,
    /// There, and disabled.
    Disabled,
}

/// What the state database knows of it.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct LinkFacts {
    pub target_id: Option<TargetId>,
    pub origin: Option<Origin>,
    /// As last applied.
    pub name: Option<String>,
    pub out_of_scope_since: Option<Timestamp>,
    pub disabled: Option<DisabledBy>,
    pub deleted_in_directory_since: Option<Timestamp>,
    pub absent_since: Option<Timestamp>,
    pub countdown: Option<Coming>,
    pub retry_not_before: Option<Timestamp>,
    /// When something about it was last written to the target, as far as the journal goes back.
    pub last_applied: Option<Timestamp>,
    /// When the last cycle wrote.
    pub last_cycle: Option<Timestamp>,
    pub last_complete_read: Option<Timestamp>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct DisabledBy {
    pub at: Timestamp,
    pub cause: DisableCause,
    pub how: DisableHow,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Coming {
    pub what: &'static str,
    pub at: Timestamp,
    pub days_left: u32,
}

/// A managed group, seen from one of its people.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Membership {
    pub group: String,
    /// By what was read; `None`: the read was not enough to say.
    pub wanted: Option<bool>,
    /// idcsync has made it a member in the target.
    pub there: bool,
    /// The nested group by which it is in; `None`: directly.
    pub through: Option<String>,
}

/// What the next cycle would do to it.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Next {
    /// No cycle is run before the pause ends.
    pub paused_since: Option<Timestamp>,
    /// When it ends by itself.
    pub paused_until: Option<Timestamp>,
    /// When the pause disables everybody; `None` where it ends before.
    pub disables_at: Option<Timestamp>,
    /// What the pause means for the steps.
    #[serde(skip)]
    pub paused: Option<String>,
    pub plan: String,
    pub steps: Vec<NextStep>,
    /// What is not taken away, and why.
    pub withheld: Vec<String>,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct NextStep {
    /// On another object: one of the steps needs it.
    pub needed: bool,
    /// As in `idcsync/plan/v1`.
    #[serde(flatten)]
    pub step: serde_json::Value,
    #[serde(skip)]
    pub line: String,
    /// Why it waits for an approval.
    #[serde(skip)]
    pub holds: Vec<String>,
}

/// A finding, with what to do about it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Told {
    pub code: Code,
    pub message: String,
    pub remedy: &'static str,
}

/// Account assignments.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Access {
    /// Why it is not known.
    pub unread: Option<String>,
    /// Only what has any assignments: its own first, then its groups by name.
    pub by: Vec<Granted>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Granted {
    /// `None`: assigned to the object itself.
    pub group: Option<String>,
    pub assignments: Vec<Assignment>,
}

/// A write of an earlier cycle.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Write {
    pub cycle: i64,
    pub at: Timestamp,
    pub action: String,
    /// The other side of a membership: the group of a user's, the user of a group's.
    pub other: Option<String>,
    /// `None`: how it ended is not known.
    pub result: Option<&'static str>,
    pub error: Option<String>,
}

#[cfg(test)]
mod tests;
