//! The reads of the API: by id, by name, page by page.

use std::collections::{BTreeMap, BTreeSet};

use async_trait::async_trait;
use aws_sdk_identitystore::types::{AlternateIdentifier, UniqueAttribute};
use futures::{StreamExt as _, TryStreamExt as _, stream};

use super::{ENTERPRISE, IdentityStoreTarget, absent, convert, of_identity_store};
use crate::ids::TargetId;
use crate::model::{Kind, ObservedGroup, ObservedUser, Wants};
use crate::target::gather::{Hit, IN_FLIGHT, Key, Listed, Page, Pages, Shelf, Sought, all, gather, name};
use crate::target::pacing::Repeat;
use crate::target::{TargetError, TargetErrorKind};

/// The most that List operations give (`MaxResults`).
pub(super) const PAGE: i32 = 100;

impl IdentityStoreTarget {
    pub(super) async fn observe_users(
        &self,
        wants: &Wants,
    ) -> Result<BTreeMap<TargetId, ObservedUser>, TargetError> {
        let names = [(Key::UserName, &wants.user_names), (Key::Email, &wants.emails)];
        gather(&Users(self), &Sought::new(&wants.users, names)).await
    }

    pub(super) async fn observe_groups(
        &self,
        wants: &Wants,
    ) -> Result<BTreeMap<TargetId, ObservedGroup>, TargetError> {
        let sought = Sought::new(&wants.groups, [(Key::DisplayName, &wants.group_names)]);
        let mut found = gather(&Groups(self), &sought).await?;
        let by_name: BTreeSet<TargetId> = found
            .iter()
            .filter(|(_, g)| sought.has_name(&name(Key::DisplayName, &g.attributes.display_name)))
            .map(|(id, _)| id.clone())
            .collect();
        self.with_members(&mut found, by_name).await?;
        Ok(found)
    }

    /// Every user of the store.
    pub(super) async fn all_users(&self) -> Result<BTreeMap<TargetId, ObservedUser>, TargetError> {
        Ok(all(&Users(self)).await?.0)
    }

    /// Every group of the store, and the members of `groups`.
    pub(super) async fn all_groups(
        &self,
        groups: &BTreeSet<TargetId>,
    ) -> Result<BTreeMap<TargetId, ObservedGroup>, TargetError> {
        let (mut found, _) = all(&Groups(self)).await?;
        let there = groups.iter().filter(|id| found.contains_key(*id)).cloned().collect();
        self.with_members(&mut found, there).await?;
        Ok(found)
    }

    async fn with_members(
        &self,
        found: &mut BTreeMap<TargetId, ObservedGroup>,
        groups: BTreeSet<TargetId>,
    ) -> Result<(), TargetError> {
        let members: Vec<_> = stream::iter(groups)
            .map(|id| async move { Ok::<_, TargetError>((self.members(&id).await?, id)) })
            .buffer_unordered(IN_FLIGHT)
            .try_collect()
            .await?;
        for (members, id) in members {
            match members {
                Some(members) => {
                    if let Some(group) = found.get_mut(&id) {
                        group.members = Some(members);
                    }
                }
                // Deleted since it was found.
                None => {
                    found.remove(&id);
                }
            }
        }
        Ok(())
    }

    /// The members' user ids; `None` where there is no such group.
    pub(super) async fn members(&self, group: &TargetId) -> Result<Option<BTreeSet<TargetId>>, TargetError> {
        let store = self.identity_store_id().await?;
        let mut members = BTreeSet::new();
        let mut pages = Pages::default();
        let mut token = None;
        loop {
            let page = self
                .pacer
                .call("ListGroupMemberships", Repeat::Read, || {
                    let request = self.client.list_group_memberships().identity_store_id(store.as_str());
                    let request = request.group_id(group.as_str()).max_results(PAGE);
                    let request = request.set_next_token(token.clone());
                    async move { request.send().await.map_err(of_identity_store) }
                })
                .await;
            let Some(page) = absent(page, Kind::Group)? else { return Ok(None) };
            members.extend(page.group_memberships.into_iter().filter_map(|membership| {
                let member = membership.member_id?;
                member.as_user_id().ok().map(|id| TargetId::new(id.as_str()))
            }));
            token = pages.next(page.next_token)?;
            if token.is_none() {
                return Ok(Some(members));
            }
        }
    }

    pub(super) async fn user_id(&self, key: Key, value: &str) -> Result<Option<TargetId>, TargetError> {
        let store = self.identity_store_id().await?;
        let identifier = identifier(key, value)?;
        let found = self
            .pacer
            .call("GetUserId", Repeat::Read, || {
                let request = self.client.get_user_id().identity_store_id(store.as_str());
                let request = request.alternate_identifier(identifier.clone());
                async move { request.send().await.map_err(of_identity_store) }
            })
            .await;
        unheld(found, Kind::User)?.map(|found| target_id(found.user_id)).transpose()
    }

    pub(super) async fn group_id(&self, display_name: &str) -> Result<Option<TargetId>, TargetError> {
        let store = self.identity_store_id().await?;
        let identifier = identifier(Key::DisplayName, display_name)?;
        let found = self
            .pacer
            .call("GetGroupId", Repeat::Read, || {
                let request = self.client.get_group_id().identity_store_id(store.as_str());
                let request = request.alternate_identifier(identifier.clone());
                async move { request.send().await.map_err(of_identity_store) }
            })
            .await;
        unheld(found, Kind::Group)?.map(|found| target_id(found.group_id)).transpose()
    }

    pub(super) async fn user(&self, user: &TargetId) -> Result<Option<ObservedUser>, TargetError> {
        let store = self.identity_store_id().await?;
        let found = self
            .pacer
            .call("DescribeUser", Repeat::Read, || {
                let request = self.client.describe_user().identity_store_id(store.as_str());
                let request = request.user_id(user.as_str()).extensions(ENTERPRISE);
                async move { request.send().await.map_err(of_identity_store) }
            })
            .await;
        let Some(found) = absent(found, Kind::User)? else { return Ok(None) };
        target_id(found.user_id.clone())?;
        Ok(Some(convert::described_user(found)))
    }

    pub(super) async fn group(&self, group: &TargetId) -> Result<Option<ObservedGroup>, TargetError> {
        let store = self.identity_store_id().await?;
        let found = self
            .pacer
            .call("DescribeGroup", Repeat::Read, || {
                let request = self.client.describe_group().identity_store_id(store.as_str());
                let request = request.group_id(group.as_str());
                async move { request.send().await.map_err(of_identity_store) }
            })
            .await;
        let Some(found) = absent(found, Kind::Group)? else { return Ok(None) };
        target_id(found.group_id.clone())?;
        Ok(Some(convert::described_group(found)))
    }
}

/// The SDK puts the empty text where an answer has no id: whatever that answer is, nobody is meant by it.
pub(super) fn target_id(id: String) -> Result<TargetId, TargetError> {
    if id.is_empty() {
        let message = "the answer has no id in it, so it is none of the Identity Store's: check `endpoint-url` in \
                       [target], and what stands between this machine and the service";
        return Err(TargetError::new(TargetErrorKind::Unavailable, "AnswerNotUnderstood", message));
    }
    Ok(TargetId::new(id))
}

fn identifier(key: Key, value: &str) -> Result<AlternateIdentifier, TargetError> {
    let attribute =
        UniqueAttribute::builder().attribute_path(key.path()).attribute_value(value.into()).build();
    attribute.map(AlternateIdentifier::UniqueAttribute).map_err(TargetError::invalid_request)
}

/// A name that the service refuses as no possible name is held by nobody: one bad name must not fail the look-up
/// of all others. It must be the service that says so: what stands before it refuses for other reasons, and a key that
/// cannot be used has the same code.
fn unheld<T>(found: Result<T, TargetError>, kind: Kind) -> Result<Option<T>, TargetError> {
    match found {
        Err(e) if e.code == "ValidationException" && e.kind == TargetErrorKind::Validation => Ok(None),
        found => absent(found, kind),
    }
}

struct Users<'a>(&'a IdentityStoreTarget);

#[async_trait]
impl Shelf for Users<'_> {
    type Object = ObservedUser;

    async fn page(&self, token: Option<String>) -> Result<Page<ObservedUser>, TargetError> {
        let store = self.0.identity_store_id().await?;
        let page = self
            .0
            .pacer
            .call("ListUsers", Repeat::Read, || {
                let request = self.0.client.list_users().identity_store_id(store.as_str());
                let request = request.max_results(PAGE).extensions(ENTERPRISE).set_next_token(token.clone());
                async move { request.send().await.map_err(of_identity_store) }
            })
            .await?;
        let listed = page.users.into_iter().map(|user| {
            let user_name = user.user_name().map(|n| name(Key::UserName, n));
            let emails = convert::emails(&user).map(|e| name(Key::Email, e));
            Ok(Listed {
                id: target_id(user.user_id.clone())?,
                names: user_name.into_iter().chain(emails).collect(),
                object: convert::listed_user(user),
            })
        });
        Ok(Page { listed: listed.collect::<Result<_, TargetError>>()?, next: page.next_token, cut: false })
    }

    fn finds(&self, key: Key) -> bool {
        matches!(key, Key::UserName | Key::Email)
    }

    async fn find(&self, key: Key, value: &str) -> Result<Option<Hit<ObservedUser>>, TargetError> {
        Ok(self.0.user_id(key, value).await?.map(|id| Hit { id, object: None }))
    }

    async fn describe(&self, id: &TargetId) -> Result<Option<ObservedUser>, TargetError> {
        self.0.user(id).await
    }
}

struct Groups<'a>(&'a IdentityStoreTarget);

#[async_trait]
impl Shelf for Groups<'_> {
    type Object = ObservedGroup;

    async fn page(&self, token: Option<String>) -> Result<Page<ObservedGroup>, TargetError> {
        let store = self.0.identity_store_id().await?;
        let page = self
            .0
            .pacer
            .call("ListGroups", Repeat::Read, || {
                let request = self.0.client.list_groups().identity_store_id(store.as_str());
                let request = request.max_results(PAGE).set_next_token(token.clone());
                async move { request.send().await.map_err(of_identity_store) }
            })
            .await?;
        let listed = page.groups.into_iter().map(|group| {
            Ok(Listed {
                id: target_id(group.group_id.clone())?,
                names: group.display_name().map(|n| name(Key::DisplayName, n)).into_iter().collect(),
                object: convert::listed_group(group),
            })
        });
        Ok(Page { listed: listed.collect::<Result<_, TargetError>>()?, next: page.next_token, cut: false })
    }

    fn finds(&self, key: Key) -> bool {
        key == Key::DisplayName
    }

    async fn find(&self, _: Key, value: &str) -> Result<Option<Hit<ObservedGroup>>, TargetError> {
        Ok(self.0.group_id(value).await?.map(|id| Hit { id, object: None }))
    }

    async fn describe(&self, id: &TargetId) -> Result<Option<ObservedGroup>, TargetError> {
        self.0.group(id).await
    }
}
