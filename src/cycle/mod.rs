//! One cycle from top to bottom: read, plan, guard, apply. The only place that knows the order.
//!
//! A dry run is the same path, stopped after the guard: [`prepare`] writes nothing and [`carry_out`] is not
//! called.

mod assignments;
mod carry_out;
mod confirm;
mod entries;
mod explain;
mod fates;
mod findings;
mod identify;
mod journal;
mod needs;
mod observe;
mod outcome;
mod part;
mod prepare;
mod read;
mod record;
mod rest;
mod sweep;
#[cfg(test)]
mod tests;
mod unread;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;

pub use carry_out::carry_out;
pub use entries::{EntryView, OneRead, Planned, ScopeEffect, ScopeView, effect};
pub use explain::explain;
pub use findings::of_broken_config as config_broken;
pub use identify::{Named, identify};
pub use journal::{NoJournal, StateJournal};
pub use needs::{Needs, needs};
pub use outcome::{CycleReport, Outcome, failed_word};
pub use prepare::{prepare, prepare_sweep};
pub use sweep::{PauseDue, pause_due, warn_of_pause};

use crate::apply::{JournalError, Links, RecoverError};
use crate::directory::{Directory, DirectoryError};
use crate::ids::{Anchor, CycleId, Fingerprint, IdentityStoreId};
use crate::mapping::Mapping;
use crate::model::{Code, Finding, Known, Wanted};
use crate::plan::{ApprovedPlan, Elapsed, Policy};
use crate::printable::shown;
use crate::scope::NestedGroups;
use crate::state::{CycleKind, CycleOutcome, FindingChanges, State, StateError};
use crate::target::{Target, TargetError};
use part::Part;
use record::Record;
pub use rest::KeptInState;
use rest::Rest;
use unread::ReadIds;

/// What tests of the plan share with a real cycle.
#[cfg(test)]
pub(crate) mod for_tests {
    pub use super::observe::read_back;
    pub use super::record::{Record, Seen, Suspects};
}

/// What a profile is, as far as a cycle needs to know.
pub struct Profile<'a> {
    pub name: &'a str,
    pub wanted: Wanted,
    pub mapping: &'a Mapping,
    pub policy: &'a Policy,
    pub nested: NestedGroups,
    pub max_apply: Duration,
    pub keep_history: Duration,
    /// Read what the objects of a plan are assigned to.
    pub assignments: bool,
    /// Read the target back as a whole, due or not.
    pub full: bool,
    /// How long after a full cycle the next one is due.
    pub drift_check: Duration,
    /// How long after a read of the whole directory the next one is due; `None`: each read is of everything.
    pub full_read_every: Option<Duration>,
    /// Let go of what the profile is bound to, if the config points elsewhere now.
    pub rebind: bool,
    /// Run no other steps than these.
    pub only: Option<Only>,
    /// Where nothing has changed since a cycle that found nothing to do, do not look at everything again.
    pub rests: bool,
    /// What whoever runs it has found beside: findings of each cycle.
    pub notes: Vec<Finding>,
}

/// What of its plan a cycle does; the rest is left for the next one.
#[derive(Clone, Debug)]
pub enum Only {
    Steps(BTreeSet<Fingerprint>),
    /// The steps that concern the object with this anchor.
    About(Anchor),
}

impl Only {
    fn of(&self, approved: ApprovedPlan) -> ApprovedPlan {
        match self {
            Self::Steps(steps) => approved.only(steps),
            Self::About(anchor) => approved.only_about(*anchor),
        }
    }
}

impl Profile<'_> {
    fn is_full_due(&self, last: Option<Timestamp>, now: Timestamp) -> bool {
        let pause = jiff::SignedDuration::try_from(self.drift_check).unwrap_or(jiff::SignedDuration::MAX);
        last.is_none_or(|last| now.duration_since(last) >= pause)
    }

    fn elapsed(&self, known: &Known, now: Timestamp) -> Elapsed {
        Elapsed {
            now,
            last_complete_read: known.last_complete_read,
            last_read: known.last_read,
            disable_after: self.policy.lifecycle.disable_after,
        }
    }
}

#[derive(Debug, thiserror::Error)]
pub enum CycleError {
    #[error("the directory could not be read")]
    Directory(#[from] DirectoryError),
    #[error("the target could not be asked")]
    Target(#[source] TargetError),
    #[error("the state database could not be used")]
    State(#[from] StateError),
    #[error(transparent)]
    Recover(#[from] RecoverError),
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// The profile was first applied to something else.
    #[error(
        "profile {profile} is bound to {what} {bound}, and the config points to {found}. Put the config back; or use \
         another profile name and state database; or, if the {what} itself has been replaced, look at what `idcsync \
         sync --rebind --dry-run` would do"
    )]
    OtherBinding { profile: String, what: &'static str, bound: String, found: String },
    /// The domain SID that the profile is bound to could not be read, so nobody can say which directory this is.
    #[error(
        "profile {profile} is bound to the domain {bound}, and this read shows no domain SID: the answer was empty or \
         cut short, or the bind account may not read objectSid of the domain. Nothing was concluded from it"
    )]
    BindingUnread { profile: String, bound: String },
}

impl CycleError {
    /// Another run is at work by now, or may be.
    pub fn is_of_a_lost_lease(&self) -> bool {
        let in_journal = |error: &JournalError| {
            error.0.downcast_ref::<StateError>().is_some_and(StateError::is_of_a_lost_lease)
        };
        match self {
            Self::State(error) => error.is_of_a_lost_lease(),
            Self::Journal(error) | Self::Recover(RecoverError::Journal(error)) => in_journal(error),
            _ => false,
        }
    }

    /// The error with its causes, and what to do about it where they do not say.
    pub fn with_remedy(&self) -> String {
        let denied = TargetError::is_of_permissions;
        let remedy = match self {
            Self::Target(e) | Self::Recover(RecoverError::Target(e)) if denied(e) => Some(GIVE_PERMISSION),
            Self::Target(_) | Self::Recover(RecoverError::Target(_)) => Some(CHECK_TARGET),
            _ => None,
        };
        remedy.map_or_else(|| chain(self), |remedy| format!("{}; {remedy}", chain(self)))
    }
}

const GIVE_PERMISSION: &str =
    "give the caller's role that permission, then run `idcsync check`, which tries the others too";
const CHECK_TARGET: &str = "`idcsync check` tells what of the target can be reached";

/// The parts that a cycle runs between.
pub struct Parts<'a> {
    pub directory: &'a dyn Directory,
    pub target: Arc<dyn Target>,
    pub identity_store: IdentityStoreId,
    /// Asked for the time; nothing else in a cycle looks at a clock that could be set.
    pub clock: &'a (dyn Fn() -> Timestamp + Sync),
}

/// How long each phase of a cycle took; zero where it was not reached.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Times {
    /// The state, what was unfinished, and the directory.
    pub read: Duration,
    /// Scope, mapping, look-ups in the target, the second look, the guard.
    pub plan: Duration,
    pub apply: Duration,
}

/// A plan that the guard has seen, with all that carrying it out needs.
pub struct Prepared {
    pub approved: ApprovedPlan,
    /// Of the read, the mapping and the plan.
    pub findings: Vec<Finding>,
    /// Steps of an earlier run whose outcome had to be looked up.
    pub recovered: usize,
    pub requests: u64,
    /// Something was not read to its end: on which server, and why.
    pub cut_short: Option<String>,
    /// Nothing could be read at all, for so long that everybody would have to be disabled.
    pub unreadable: Option<DirectoryError>,
    /// The target was read back as a whole.
    pub full: bool,
    /// How many objects of the directory had changed, where it was asked for changes alone.
    pub by_changes: Option<usize>,
    pub times: Times,
    /// The clock can be trusted.
    trusted: bool,
    /// When the cycle began to read.
    now: Timestamp,
    /// When the cycle before this one was.
    since: Option<Timestamp>,
    /// Subjects of which this cycle cannot say whether the target has them disabled.
    unseen: BTreeSet<String>,
    read: Option<ReadIds>,
    record: Record,
    links: Links,
    /// What the next cycle may rest on, if this one ends well.
    rest: Option<Rest>,
    /// It rests on the one before.
    rested: bool,
    /// It looks at what a change touches alone, and the rest rests.
    of_part: bool,
    /// Where the next cycle may rest on it.
    part: Option<Part>,
}

/// Begins the record of a cycle.
pub async fn begin(state: &State, kind: CycleKind, now: Timestamp) -> Result<CycleId, StateError> {
    state.begin_cycle(kind, now).await
}

/// Records a cycle that could not be carried out, with the finding that says why; what stood keeps standing.
pub async fn failed(
    state: &State,
    cycle: CycleId,
    profile: &Profile<'_>,
    error: &CycleError,
    now: Timestamp,
) -> Result<FindingChanges, StateError> {
    let changes = if error.is_of_a_lost_lease() {
        // What stands is for the run to say that has it now.
        FindingChanges::default()
    } else {
        stand(state, profile, error, now).await?
    };
    let word = outcome::failed_word(error);
    let counts = serde_json::json!({ "error": chain(error) });
    state.finish_cycle(cycle, &CycleOutcome { word, counts, finished: now }).await?;
    Ok(changes)
}

async fn stand(
    state: &State,
    profile: &Profile<'_>,
    error: &CycleError,
    now: Timestamp,
) -> Result<FindingChanges, StateError> {
    let standing: Vec<Finding> = state.standing_findings().await?.into_iter().map(|(f, _)| f).collect();
    let code = match error {
        CycleError::Directory(e) => Some(e.code()),
        CycleError::BindingUnread { .. } => Some(Code::DirectoryUnavailable),
        CycleError::Target(_) | CycleError::Recover(_) => Some(Code::TargetUnavailable),
        CycleError::State(_) | CycleError::Journal(_) | CycleError::OtherBinding { .. } => None,
    };
    let mut now_standing = standing;
    now_standing.retain(|f| f.code != Code::ConfigInvalid);
    now_standing.extend(profile.notes.iter().cloned());
    if let Some(code) = code {
        now_standing.retain(|f| f.code != code);
        now_standing.push(Finding::new(code, findings::of_profile(profile.name), error.with_remedy()));
    }
    state.replace_findings(now, &now_standing).await
}

/// An error with what caused it, in one line that may be printed; what only repeats is left out.
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let words = cause.to_string();
        if !text.ends_with(&words) {
            text.push_str(": ");
            text.push_str(&words);
        }
        source = cause.source();
    }
    shown(&text)
}
