//! The writes, one request each, and the look-ups that make a repeated one harmless.

use aws_sdk_identitystore::types::{AttributeOperation, MemberId};
use aws_smithy_types::Document;

use super::observe::target_id;
use super::{IdentityStoreTarget, convert, of_identity_store};
use crate::ids::TargetId;
use crate::model::{GroupAttributes, UserAttribute, UserAttributes};
use crate::target::pacing::Repeat;
use crate::target::{TargetError, TargetErrorKind};

/// A create that was answered by something without an id.
fn perhaps_done(error: TargetError) -> TargetError {
    TargetError { kind: TargetErrorKind::Ambiguous, ..error }
}

impl IdentityStoreTarget {
    pub(super) async fn send_create_user(
        &self,
        attributes: &UserAttributes,
    ) -> Result<TargetId, TargetError> {
        let store = self.identity_store_id().await?;
        let input = convert::create_user(attributes).identity_store_id(store.as_str());
        let created = self
            .pacer
            .call("CreateUser", Repeat::Create, || {
                let input = input.clone();
                async move { input.send_with(&self.client).await.map_err(of_identity_store) }
            })
            .await?;
        target_id(created.user_id).map_err(perhaps_done)
    }

    pub(super) async fn send_update_user(
        &self,
        user: &TargetId,
        changed: &[UserAttribute],
        desired: &UserAttributes,
    ) -> Result<(), TargetError> {
        let operations = operations(convert::update_user(changed, desired))?;
        if operations.is_empty() {
            return Ok(());
        }
        let store = self.identity_store_id().await?;
        self.pacer
            .call("UpdateUser", Repeat::Write, || {
                let request = self.client.update_user().identity_store_id(store.as_str());
                let request = request.user_id(user.as_str()).set_operations(Some(operations.clone()));
                async move { request.send().await.map_err(of_identity_store) }
            })
            .await
            .map(drop)
    }

    pub(super) async fn send_create_group(&self, group: &GroupAttributes) -> Result<TargetId, TargetError> {
        let store = self.identity_store_id().await?;
        let created = self
            .pacer
            .call("CreateGroup", Repeat::Create, || {
                let request = self.client.create_group().identity_store_id(store.as_str());
                let request = request.display_name(&group.display_name);
                let request = request.set_description(convert::description(group).map(str::to_owned));
                async move { request.send().await.map_err(of_identity_store) }
            })
            .await?;
        target_id(created.group_id).map_err(perhaps_done)
    }

    pub(super) async fn send_update_group(
        &self,
        group: &TargetId,
        before: &GroupAttributes,
        desired: &GroupAttributes,
    ) -> Result<(), TargetError> {
        let operations = operations(convert::update_group(before, desired))?;
        if operations.is_empty() {
            return Ok(());
        }
        let store = self.identity_store_id().await?;
        self.pacer
            .call("UpdateGroup", Repeat::Write, || {
                let request = self.client.update_group().identity_store_id(store.as_str());
                let request = request.group_id(group.as_str()).set_operations(Some(operations.clone()));
                async move { request.send().await.map_err(of_identity_store) }
            })
            .await
            .map(drop)
    }

    pub(super) async fn send_add_member(&self, group: &TargetId, user: &TargetId) -> Result<(), TargetError> {
        let store = self.identity_store_id().await?;
        let added = self
            .pacer
            .call("CreateGroupMembership", Repeat::Write, || {
                let request = self.client.create_group_membership().identity_store_id(store.as_str());
                let request = request.group_id(group.as_str()).member_id(member(user));
                async move { request.send().await.map_err(of_identity_store) }
            })
            .await;
        match added {
            Ok(_) => Ok(()),
            // Added before, by an attempt whose answer was lost or by someone else; a concurrent change of the
            // group is a conflict too, and then the membership is not there.
            Err(conflict) if conflict.kind == TargetErrorKind::Conflict => {
                match self.membership_id(group, user).await {
                    Ok(_) => Ok(()),
                    Err(e) if matches!(e.kind, TargetErrorKind::NotFound(_)) => Err(conflict),
                    Err(e) => Err(e),
                }
            }
            Err(e) => Err(e),
        }
    }

    pub(super) async fn send_remove_member(
        &self,
        group: &TargetId,
        user: &TargetId,
    ) -> Result<(), TargetError> {
        let removed = match self.membership_id(group, user).await {
            Ok(membership) => self.delete_membership(&membership).await,
            Err(e) => Err(e),
        };
        match removed {
            // Not told what was not found: the membership, or one of its ends.
            Err(e) if e.kind == TargetErrorKind::NotFound(None) => {
                if self.send_is_member(group, user).await? { Err(e) } else { Ok(()) }
            }
            removed => removed,
        }
    }

    pub(super) async fn send_delete_user(&self, user: &TargetId) -> Result<(), TargetError> {
        let store = self.identity_store_id().await?;
        self.pacer
            .call("DeleteUser", Repeat::Write, || {
                let request = self.client.delete_user().identity_store_id(store.as_str());
                let request = request.user_id(user.as_str());
                async move { request.send().await.map_err(of_identity_store) }
            })
            .await
            .map(drop)
    }

    pub(super) async fn send_delete_group(&self, group: &TargetId) -> Result<(), TargetError> {
        let store = self.identity_store_id().await?;
        self.pacer
            .call("DeleteGroup", Repeat::Write, || {
                let request = self.client.delete_group().identity_store_id(store.as_str());
                let request = request.group_id(group.as_str());
                async move { request.send().await.map_err(of_identity_store) }
            })
            .await
            .map(drop)
    }

    /// An error of kind `NotFound` where the user is not a member.
    pub(super) async fn membership_id(
        &self,
        group: &TargetId,
        user: &TargetId,
    ) -> Result<String, TargetError> {
        let store = self.identity_store_id().await?;
        let found = self
            .pacer
            .call("GetGroupMembershipId", Repeat::Read, || {
                let request = self.client.get_group_membership_id().identity_store_id(store.as_str());
                let request = request.group_id(group.as_str()).member_id(member(user));
                async move { request.send().await.map_err(of_identity_store) }
            })
            .await?;
        Ok(found.membership_id)
    }

    pub(super) async fn delete_membership(&self, membership: &str) -> Result<(), TargetError> {
        let store = self.identity_store_id().await?;
        self.pacer
            .call("DeleteGroupMembership", Repeat::Write, || {
                let request = self.client.delete_group_membership().identity_store_id(store.as_str());
                let request = request.membership_id(membership);
                async move { request.send().await.map_err(of_identity_store) }
            })
            .await
            .map(drop)
    }

    pub(super) async fn send_is_member(
        &self,
        group: &TargetId,
        user: &TargetId,
    ) -> Result<bool, TargetError> {
        let store = self.identity_store_id().await?;
        let found = self
            .pacer
            .call("IsMemberInGroups", Repeat::Read, || {
                let request = self.client.is_member_in_groups().identity_store_id(store.as_str());
                let request = request.member_id(member(user)).group_ids(group.as_str());
                async move { request.send().await.map_err(of_identity_store) }
            })
            .await;
        match found {
            Ok(found) => Ok(found
                .results
                .iter()
                .any(|r| r.group_id() == Some(group.as_str()) && r.membership_exists())),
            // Nobody is a member of what does not exist, and who does not exist is member of nothing.
            Err(e) if matches!(e.kind, TargetErrorKind::NotFound(_)) => Ok(false),
            Err(e) => Err(e),
        }
    }
}

fn member(user: &TargetId) -> MemberId {
    MemberId::UserId(user.as_str().to_owned())
}

fn operations(
    values: impl IntoIterator<Item = (String, Document)>,
) -> Result<Vec<AttributeOperation>, TargetError> {
    let built = values.into_iter().map(|(path, value)| {
        AttributeOperation::builder().attribute_path(path).attribute_value(value).build()
    });
    built.collect::<Result<_, _>>().map_err(TargetError::invalid_request)
}
