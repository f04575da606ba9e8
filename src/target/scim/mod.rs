//! The SCIM 2.0 endpoint of IAM Identity Center (RFC 7643, RFC 7644, and where AWS departs from them), over plain HTTP.
//!
//! `connect` makes the client, `request` sends one request and `failure` says what an answer means; `list` reads lists
//! to their end, or says that it could not; `convert` knows the shapes; `observe` asks (with as few requests as
//! `target::gather` can), `write` writes. Every attempt passes the pacer; the HTTP client itself repeats nothing.
//!
//! - An address cannot be asked for: no filter names it. It is found where a listing comes by, else a create that it
//!   stands in the way of is refused as a conflict.
//! - Groups never show their members; they are the users with `groups.value eq "ID"`. A server that does show them
//!   (RFC 7643) is believed.
//! - A group's description and a user's website have no place in SCIM and are never sent.

mod check;
mod connect;
mod convert;
mod failure;
mod list;
mod observe;
mod request;
#[cfg(test)]
mod tests;
mod write;

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use async_trait::async_trait;
use jiff::Timestamp;
use tokio::sync::OnceCell;

use super::clock::Clock;
use super::pacing::Pacer;
use super::{Capabilities, Target, TargetError, Usage};
use crate::ids::{IdentityStoreId, TargetId};
use crate::model::{
    CheckLine, GroupAttributes, Kind, Observed, ObservedGroup, ObservedUser, UserAttribute, UserAttributes,
    Wants,
};
use crate::secret::SecretSource;

/// The most membership changes of one group that AWS takes in one request.
const BATCH: usize = 100;

/// One SCIM endpoint, reached by one client that all callers share.
#[derive(Debug)]
pub struct ScimTarget {
    http: reqwest::Client,
    /// Without a slash at its end.
    base: reqwest::Url,
    token: SecretSource,
    token_expires: Option<Timestamp>,
    store: IdentityStoreId,
    rfc_remove: bool,
    pacer: Pacer,
    clock: Clock,
    /// It has answered as a SCIM endpoint does: only then a 404 may mean that an object is gone.
    proven: AtomicBool,
    /// It refuses the parameter `cursor`.
    without_cursor: AtomicBool,
    /// See [`list`].
    pages: OnceCell<bool>,
}

#[async_trait]
impl Target for ScimTarget {
    fn capabilities(&self) -> Capabilities {
        Capabilities {
            writes_external_id: true,
            finds_external_id: true,
            has_group_description: false,
            disables: true,
            membership_batch: 100,
        }
    }

    async fn identity_store(&self) -> Result<IdentityStoreId, TargetError> {
        Ok(self.store.clone())
    }

    async fn check(&self) -> Vec<CheckLine> {
        self.check_lines(Timestamp::now()).await
    }

    async fn observe(&self, wants: &Wants) -> Result<Observed, TargetError> {
        if wants.is_empty() {
            return Ok(Observed::default());
        }
        let (users, groups) = futures::try_join!(self.observe_users(wants), self.observe_groups(wants))?;
        Ok(Observed { users, groups })
    }

    async fn create_user(&self, attributes: &UserAttributes) -> Result<TargetId, TargetError> {
        self.send_create_user(attributes).await
    }

    async fn update_user(
        &self,
        user: &TargetId,
        changed: &[UserAttribute],
        desired: &UserAttributes,
    ) -> Result<(), TargetError> {
        self.send_update_user(user, changed, desired).await
    }

    async fn create_group(
        &self,
        attributes: &GroupAttributes,
        members: &[TargetId],
    ) -> Result<TargetId, TargetError> {
        self.send_create_group(attributes, members).await
    }

    async fn update_group(
        &self,
        group: &TargetId,
        before: &GroupAttributes,
        desired: &GroupAttributes,
    ) -> Result<(), TargetError> {
        self.send_update_group(group, before, desired).await
    }

    async fn add_members(&self, group: &TargetId, users: &[TargetId]) -> Result<(), TargetError> {
        self.send_members(group, users, true).await
    }

    async fn remove_members(&self, group: &TargetId, users: &[TargetId]) -> Result<(), TargetError> {
        self.send_members(group, users, false).await
    }

    async fn set_active(&self, user: &TargetId, active: bool) -> Result<(), TargetError> {
        self.send_active(user, active).await
    }

    async fn delete_user(&self, user: &TargetId) -> Result<(), TargetError> {
        self.send_delete(Kind::User, user).await
    }

    async fn delete_group(&self, group: &TargetId) -> Result<(), TargetError> {
        self.send_delete(Kind::Group, group).await
    }

    async fn read_back(&self, groups: &BTreeSet<TargetId>) -> Result<Observed, TargetError> {
        let (users, groups) = futures::try_join!(self.all_users(), self.all_groups(groups))?;
        Ok(Observed { users, groups })
    }

    async fn find_user(&self, user_name: &str) -> Result<Option<(TargetId, ObservedUser)>, TargetError> {
        self.user_named(user_name).await
    }

    async fn find_group(&self, display_name: &str) -> Result<Option<(TargetId, ObservedGroup)>, TargetError> {
        self.group_named(display_name).await
    }

    async fn is_member(&self, group: &TargetId, user: &TargetId) -> Result<bool, TargetError> {
        self.has_member(group, user).await
    }

    fn usage(&self) -> Usage {
        self.pacer.usage()
    }

    fn token_expires(&self) -> Option<Timestamp> {
        self.token_expires
    }

    fn clock_ahead(&self) -> Option<i64> {
        self.clock.ahead()
    }
}

impl ScimTarget {
    fn is_proven(&self) -> bool {
        self.proven.load(Relaxed)
    }
}

/// Where resources of a kind are.
fn endpoint(kind: Kind) -> &'static str {
    match kind {
        Kind::User => "Users",
        Kind::Group => "Groups",
    }
}
