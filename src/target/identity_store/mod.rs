//! The Identity Store API (`aws-sdk-identitystore`): the target that AWS offers without SCIM.
//!
//! `connect` makes the clients, `convert` knows the shapes, `observe` asks (with as few requests as `target::gather` can),
//! `assignments` asks the SSO Admin API who is assigned to what, `check` (with `account`, `rights`, `orphans`) tries what can
//! be tried without a change, `write` writes, `disable` goes over the store's SCIM endpoint where there is one, `failure` says what an error means.
//! The SDK's own retries are off: every attempt passes the pacer.

mod account;
mod assignments;
mod bounded;
mod check;
mod connect;
mod convert;
mod dates;
mod disable;
mod failure;
mod observe;
mod orphans;
mod rights;
#[cfg(test)]
mod tests;
mod write;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use async_trait::async_trait;
use aws_sdk_identitystore::config::SharedCredentialsProvider;
use aws_sdk_ssoadmin::types::InstanceMetadata;
use jiff::Timestamp;
use tokio::sync::OnceCell;

use self::convert::ENTERPRISE;
use self::failure::of_identity_store;
use super::clock::Clock;
use super::gather::Key;
use super::pacing::Pacer;
use super::{Capabilities, ScimTarget, Target, TargetError, TargetErrorKind, Usage};
use crate::ids::{IdentityStoreId, TargetId};
use crate::model::{
    Assignment, CheckLine, GroupAttributes, Kind, Observed, ObservedGroup, ObservedUser, UserAttribute,
    UserAttributes, Wants,
};

/// One identity store, reached by one client that all callers share.
#[derive(Debug)]
pub struct IdentityStoreTarget {
    client: aws_sdk_identitystore::Client,
    sso_admin: aws_sdk_ssoadmin::Client,
    sts: aws_sdk_sts::Client,
    organizations: aws_sdk_organizations::Client,
    /// A stand-in in this process: it knows neither permissions nor accounts.
    in_process: bool,
    credentials: Option<SharedCredentialsProvider>,
    pacer: Pacer,
    store: OnceCell<IdentityStoreId>,
    /// As `sso:ListInstances` shows them.
    instances: OnceCell<Vec<InstanceMetadata>>,
    clock: Arc<Clock>,
    /// To disable and enable users: for nothing else.
    scim: Option<ScimTarget>,
}

#[async_trait]
impl Target for IdentityStoreTarget {
    fn capabilities(&self) -> Capabilities {
        Capabilities {
            writes_external_id: false,
            finds_external_id: false,
            has_group_description: true,
            disables: self.scim.is_some(),
            membership_batch: 1,
        }
    }

    async fn identity_store(&self) -> Result<IdentityStoreId, TargetError> {
        self.identity_store_id().await.cloned()
    }

    async fn check(&self) -> Vec<CheckLine> {
        Box::pin(IdentityStoreTarget::check(self)).await
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
        let group = self.send_create_group(attributes).await?;
        self.add_members(&group, members).await?;
        Ok(group)
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
        for user in users {
            self.send_add_member(group, user).await?;
        }
        Ok(())
    }

    async fn remove_members(&self, group: &TargetId, users: &[TargetId]) -> Result<(), TargetError> {
        for user in users {
            self.send_remove_member(group, user).await?;
        }
        Ok(())
    }

    async fn set_active(&self, user: &TargetId, active: bool) -> Result<(), TargetError> {
        self.set_active_over_scim(user, active).await
    }

    async fn delete_user(&self, user: &TargetId) -> Result<(), TargetError> {
        absent(self.send_delete_user(user).await, Kind::User).map(drop)
    }

    async fn delete_group(&self, group: &TargetId) -> Result<(), TargetError> {
        absent(self.send_delete_group(group).await, Kind::Group).map(drop)
    }

    async fn read_back(&self, groups: &BTreeSet<TargetId>) -> Result<Observed, TargetError> {
        let (users, groups) = futures::try_join!(self.all_users(), self.all_groups(groups))?;
        Ok(Observed { users, groups })
    }

    async fn find_user(&self, user_name: &str) -> Result<Option<(TargetId, ObservedUser)>, TargetError> {
        let Some(id) = self.user_id(Key::UserName, user_name).await? else { return Ok(None) };
        Ok(self.user(&id).await?.map(|user| (id, user)))
    }

    async fn find_group(&self, display_name: &str) -> Result<Option<(TargetId, ObservedGroup)>, TargetError> {
        let Some(id) = self.group_id(display_name).await? else { return Ok(None) };
        Ok(self.group(&id).await?.map(|group| (id, group)))
    }

    async fn is_member(&self, group: &TargetId, user: &TargetId) -> Result<bool, TargetError> {
        self.send_is_member(group, user).await
    }

    async fn assignments(
        &self,
        principals: &BTreeMap<TargetId, Kind>,
    ) -> Result<BTreeMap<TargetId, Vec<Assignment>>, TargetError> {
        self.read_assignments(principals).await
    }

    async fn check_assignments(&self) -> Vec<CheckLine> {
        Box::pin(self.try_assignments()).await
    }

    fn usage(&self) -> Usage {
        let scim = self.scim.as_ref().map(Target::usage).unwrap_or_default();
        self.pacer.usage() + scim
    }

    fn token_expires(&self) -> Option<Timestamp> {
        self.scim.as_ref().and_then(|scim| scim.token_expires())
    }

    fn clock_ahead(&self) -> Option<i64> {
        self.clock.ahead()
    }
}

/// `None` where the object asked for is not there. Something else that is missing (the store itself) stays an
/// error.
fn absent<T>(found: Result<T, TargetError>, kind: Kind) -> Result<Option<T>, TargetError> {
    match found {
        Ok(found) => Ok(Some(found)),
        Err(e) if e.kind == TargetErrorKind::NotFound(None) => Ok(None),
        Err(e) if e.kind == TargetErrorKind::NotFound(Some(kind)) => Ok(None),
        Err(e) => Err(e),
    }
}
