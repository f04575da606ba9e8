//! The target: where identities are written. Answers questions about what it holds, and performs single
//! writes; it takes no decision.

mod clock;
mod connect;
mod gather;
mod identity_store;
mod pacing;
mod scim;
#[cfg(test)]
mod scripted;
mod settings;
mod turns;

use std::collections::{BTreeMap, BTreeSet};
use std::error::Error as StdError;

use async_trait::async_trait;
use jiff::Timestamp;

use crate::ids::{IdentityStoreId, TargetId};
use crate::model::{
    Assignment, Capabilities, CheckLine, GroupAttributes, Kind, Observed, ObservedGroup, ObservedUser,
    UserAttribute, UserAttributes, Wants,
};

pub use connect::{Access, connect};
pub use identity_store::IdentityStoreTarget;
pub use pacing::{Gate, Pacing};
pub use scim::ScimTarget;
pub use settings::{IdentityStoreSettings, SandboxSettings, ScimSettings, TargetSettings};

/// An identity store, by whatever protocol.
///
/// Every call passes the rate limiter; throttling and failures that are safe to repeat are retried inside.
#[async_trait]
pub trait Target: Send + Sync {
    fn capabilities(&self) -> Capabilities;

    /// Of the store that is written to; found out at the first call where the settings do not name it.
    async fn identity_store(&self) -> Result<IdentityStoreId, TargetError>;

    /// What `idcsync check` can say of the target. Changes nothing.
    async fn check(&self) -> Vec<CheckLine>;

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

    /// With these members, at most `Capabilities::membership_batch`; none where that is 1.
    async fn create_group(
        &self,
        attributes: &GroupAttributes,
        members: &[TargetId],
    ) -> Result<TargetId, TargetError>;

    /// Writes displayName and description where `desired` differs from `before`.
    async fn update_group(
        &self,
        group: &TargetId,
        before: &GroupAttributes,
        desired: &GroupAttributes,
    ) -> Result<(), TargetError>;

    /// In one request: at most `Capabilities::membership_batch` users. Already a member: done.
    async fn add_members(&self, group: &TargetId, users: &[TargetId]) -> Result<(), TargetError>;

    /// The same. Not a member (any more): done.
    async fn remove_members(&self, group: &TargetId, users: &[TargetId]) -> Result<(), TargetError>;

    /// Enables or disables a user and verifies it in the answer. Where two protocols are used side by side, their ids
    /// must be shown to mean the same user. An error of kind `Validation` where the target cannot do it.
    async fn set_active(&self, user: &TargetId, active: bool) -> Result<(), TargetError>;

    /// Gone already: done.
    async fn delete_user(&self, user: &TargetId) -> Result<(), TargetError>;

    /// Gone already: done.
    async fn delete_group(&self, group: &TargetId) -> Result<(), TargetError>;

    /// Reads the target back: all users, all groups, and the members of `groups`.
    async fn read_back(&self, groups: &BTreeSet<TargetId>) -> Result<Observed, TargetError>;

    /// By userName. For what became of a create whose answer was lost.
    async fn find_user(&self, user_name: &str) -> Result<Option<(TargetId, ObservedUser)>, TargetError>;

    /// By displayName. Members are not read.
    async fn find_group(&self, display_name: &str) -> Result<Option<(TargetId, ObservedGroup)>, TargetError>;

    async fn is_member(&self, group: &TargetId, user: &TargetId) -> Result<bool, TargetError>;

    /// What these users and groups are assigned to themselves. Each of them is in the answer: with nothing, where nothing
    /// is assigned to it or it is gone. No principals: sends nothing.
    async fn assignments(
        &self,
        _principals: &BTreeMap<TargetId, Kind>,
    ) -> Result<BTreeMap<TargetId, Vec<Assignment>>, TargetError> {
        Err(TargetError::new(
            TargetErrorKind::Validation,
            "AssignmentsUnavailable",
            "this target does not show account assignments",
        ))
    }

    /// What `idcsync check` can say of reading them. Changes nothing.
    async fn check_assignments(&self) -> Vec<CheckLine> {
        Vec::new()
    }

    fn usage(&self) -> Usage;

    /// When the token ends by which the target is reached, where the config says so.
    fn token_expires(&self) -> Option<Timestamp> {
        None
    }

    /// How far the target's clock (`Date` of its last answer) was ahead of this machine's, in seconds; `None` before
    /// the first answer.
    fn clock_ahead(&self) -> Option<i64>;
}

/// Requests sent since the start of the process.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Usage {
    pub requests: u64,
    pub writes: u64,
    pub throttled: u64,
    pub retried: u64,
    /// How often the rate was lowered since the service was asked too much of.
    pub slowed: u64,
}

impl Usage {
    /// What was sent after `before` was taken.
    pub fn since(self, before: Self) -> Self {
        Self {
            requests: self.requests.saturating_sub(before.requests),
            writes: self.writes.saturating_sub(before.writes),
            throttled: self.throttled.saturating_sub(before.throttled),
            retried: self.retried.saturating_sub(before.retried),
            slowed: self.slowed.saturating_sub(before.slowed),
        }
    }
}

impl std::ops::Add for Usage {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            requests: self.requests + other.requests,
            writes: self.writes + other.writes,
            throttled: self.throttled + other.throttled,
            retried: self.retried + other.retried,
            slowed: self.slowed + other.slowed,
        }
    }
}

/// A page of users has a few hundred kilobytes at most.
const LONGEST_ANSWER: usize = 16 << 20;

const LISTING_CUT: &str = "ListingCut";

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
    /// As [`Self::Validation`], of memberships: a part of it may have been done all the same.
    InPart,
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

impl TargetError {
    /// Whether the same request may succeed later, with nothing changed in between.
    pub fn is_retryable(&self) -> bool {
        matches!(
            self.kind,
            TargetErrorKind::Throttled | TargetErrorKind::Unavailable | TargetErrorKind::Ambiguous
        )
    }

    /// Whether it says something of the target, or of who asks it, rather than of the object.
    pub fn is_of_the_whole(&self) -> bool {
        self.is_retryable() || self.kind == TargetErrorKind::AccessDenied
    }

    /// Whether it is the caller's role that lacks something, and not the credentials that are no good.
    pub fn is_of_permissions(&self) -> bool {
        self.kind == TargetErrorKind::AccessDenied
            && matches!(self.code.as_str(), "AccessDeniedException" | "AccessDenied" | "NotAuthorized")
    }

    /// A list that has more than its one page shows: what is wanted has to be asked for by itself.
    pub fn is_of_a_cut_listing(&self) -> bool {
        self.code == LISTING_CUT
    }

    pub(crate) fn new(kind: TargetErrorKind, code: impl Into<String>, message: impl Into<String>) -> Self {
        Self { kind, code: code.into(), message: message.into() }
    }

    /// Of an input that cannot be put into the protocol's shape.
    fn invalid_request(error: impl std::fmt::Display) -> Self {
        Self::new(
            TargetErrorKind::Validation,
            "InvalidRequest",
            format!("the request could not be made: {error}"),
        )
    }
}

/// An error and what it comes from, outermost first.
fn causes<'a>(error: &'a (dyn StdError + 'static)) -> impl Iterator<Item = &'a (dyn StdError + 'static)> {
    std::iter::successors(Some(error), |e: &&'a (dyn StdError + 'static)| {
        let error: &'a (dyn StdError + 'static) = *e;
        error.source()
    })
}

/// What is wrong with the other side's TLS, where that is why there is no connection: trying again would change nothing.
fn tls_refusal(error: &(dyn StdError + 'static)) -> Option<String> {
    use rustls::{AlertDescription, CertificateError, Error};

    let found = causes(error).find_map(of_rustls)?;
    let hint = match found {
        Error::InvalidCertificate(CertificateError::UnknownIssuer) => {
            "; add its CA to those of this system, or name a file with all CAs in SSL_CERT_FILE"
        }
        Error::InvalidCertificate(_) => "",
        Error::PeerIncompatible(_)
        | Error::AlertReceived(AlertDescription::ProtocolVersion | AlertDescription::HandshakeFailure) => {
            "; TLS 1.2 or 1.3 is needed"
        }
        _ => return None,
    };
    Some(format!("{found}{hint}"))
}

/// An `io::Error` is no source of what it carries.
fn of_rustls<'a>(error: &'a (dyn StdError + 'static)) -> Option<&'a rustls::Error> {
    match error.downcast_ref::<std::io::Error>() {
        Some(io) => of_rustls(io.get_ref()?),
        None => error.downcast_ref(),
    }
}
