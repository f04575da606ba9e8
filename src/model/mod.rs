//! The words that the rooms speak with each other: what was read (`snapshot`), how sure that is (`evidence`),
//! what the target should hold (`desired`), what is known of it (`known`, `observed`), and what is wrong
//! (`finding`). Pure data: no I/O, no clock.

mod assignment;
mod attributes;
mod check;
mod desired;
mod entry;
mod evidence;
mod fate;
mod finding;
mod journal;
mod known;
mod look;
mod mirror;
mod observed;
mod progress;
mod remedy;
mod snapshot;

pub use assignment::Assignment;
pub use attributes::{GroupAttribute, GroupAttributes, UserAttribute, UserAttributes, UserValues};
pub use check::{CheckLine, CheckState};
pub use desired::{Desired, DesiredGroup, DesiredUser};
pub use entry::{Attributes, Names, Values, pack};
pub use evidence::{Absence, AccountState, Closure, Completeness, Shortfall, ShortfallKind};
pub use fate::{ChangeCookie, DeletionProof, Fate, FateRequest, Fates};
pub use finding::{Code, Finding, Severity, Subject};
pub use journal::{Intent, Outcome, PendingIntent, StepResult};
pub use known::{
    Binding, Deleted, Digest, DisableCause, DisableHow, Disabled, GroupSets, Known, Link, Origin, Pin,
    RenameSupport, Retry,
};
pub use look::{Above, AboveRequest, Below, GroupAbove};
pub use mirror::{Entries, Mark, Mirror, MirrorChange, Position};
pub use observed::{Capabilities, Observed, ObservedGroup, ObservedUser, Wants};
pub use progress::Progress;
pub use snapshot::{
    DirectoryGroup, DirectoryKind, DirectoryUser, EntryOutcome, EntryRead, GroupIx, MemberRead, NameForm,
    ObjectRef, ReadRequest, ScopeEntry, Snapshot, SourceInfo, Unreadable, UnreadableMember, UserIx, Wanted,
};

/// What an object is, on either side.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    User,
    Group,
}

impl std::fmt::Display for Kind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::User => "user",
            Self::Group => "group",
        })
    }
}
