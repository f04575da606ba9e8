//! The target: where identities are written. Answers questions about what it holds, and performs single
//! writes; it takes no decision.

mod settings;

use async_trait::async_trait;

use crate::ids::TargetId;
use crate::model::{
    GroupAttributes, Kind, Observed, ObservedGroup, ObservedUser, UserAttribute, UserAttributes, Wants,
};

pub use settings::{IdentityStoreSettings, SandboxSettings, TargetSettings};

/// An identity store, by whatever protocol.
///
/// Every call passes the rate limiter; throttling and failures that are safe to repeat are retried inside.
#[async_trait]
pub trait Target: Send + Sync {
    fn capabilities(&self) -> Capabilities;

    /// Looks up what a plan needs, one by one or by listing, whichever takes fewer requests. An empty `wants`
    /// sends nothing.
    async fn observe(&self, wants: &Wants) -> Result<Observed, TargetError>;

    async fn create_user(&self, attributes: &UserAttributes) -> Result<TargetId, TargetError>;

    /// Writes `changed` attributes so that the user has them as in `desired` (where they are absent, they are
    /// removed). Lists are replaced whole, so `desired` gives the parts that did not change.
    async fn update_user(
        &self,
        user: &TargetId,
        changed: &[UserAttribute],
        desired: &UserAttributes,
    ) -> Result<(), TargetError>;

    async fn create_group(&self, attributes: &GroupAttributes) -> Result<TargetId, TargetError>;

    /// Writes displayName and description where `desired` differs from `before`.
    async fn update_group(
        &self,
        group: &TargetId,
        before: &GroupAttributes,
        desired: &GroupAttributes,
    ) -> Result<(), TargetError>;

    /// Already a member: done.
    async fn add_member(&self, group: &TargetId, user: &TargetId) -> Result<(), TargetError>;

    /// Not a member (any more): done.
    async fn remove_member(&self, group: &TargetId, user: &TargetId) -> Result<(), TargetError>;

    /// By userName. For what became of a create whose answer was lost.
    async fn find_user(&self, user_name: &str) -> Result<Option<(TargetId, ObservedUser)>, TargetError>;

    /// By displayName. Members are not read.
    async fn find_group(&self, display_name: &str) -> Result<Option<(TargetId, ObservedGroup)>, TargetError>;

    async fn is_member(&self, group: &TargetId, user: &TargetId) -> Result<bool, TargetError>;

    fn usage(&self) -> Usage;
}

/// What a target can do, as data for the plan: no code asks which target it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Capabilities {
    pub writes_external_id: bool,
    pub has_group_description: bool,
}

/// Requests sent since the start of the process.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Usage {
    pub requests: u64,
    pub writes: u64,
    pub throttled: u64,
    pub retried: u64,
}

/// Why a call had no effect, or that its effect is not known.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct TargetError {
    pub kind: TargetErrorKind,
    /// The service's own name of the error (`ConflictException`), or ours (`Timeout`).
    pub code: String,
    /// What the service said, with its request id where it gave one.
    pub message: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TargetErrorKind {
    /// Uniqueness, or a concurrent change.
    Conflict,
    /// The request can never succeed as it is.
    Validation,
    NotFound(Option<Kind>),
    AccessDenied,
    Quota,
    /// Still throttled after all retries. No effect.
    Throttled,
    /// Certainly not done: not reached at all, or refused before any effect; retries used up.
    Unavailable,
    /// Sent, and it is not known what became of it: a time-out after sending, a cut connection, a 5xx answer to
    /// a create. Must be looked up before anything is repeated.
    Ambiguous,
}
