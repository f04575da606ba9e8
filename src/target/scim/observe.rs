//! The reads: by id, by name, page by page.

use std::collections::{BTreeMap, BTreeSet};

use async_trait::async_trait;
use futures::{StreamExt as _, TryStreamExt as _, stream};
use reqwest::Method;
use serde_json::Value;
use tracing::warn;

use super::failure::On;
use super::list::{cut_short, eq, not_understood};
use super::request::Ask;
use super::{ScimTarget, convert, endpoint};
use crate::ids::TargetId;
use crate::model::{Kind, ObservedGroup, ObservedUser, UserAttribute, Wants};
use crate::target::gather::{Hit, IN_FLIGHT, Key, Listed, Name, Page, Shelf, Sought, all, gather, name};
use crate::target::pacing::Repeat;
use crate::target::{TargetError, TargetErrorKind};

/// A group, and the members that its own answer shows.
type Shown = (ObservedGroup, BTreeSet<TargetId>);

impl ScimTarget {
    pub(super) async fn observe_users(
        &self,
        wants: &Wants,
    ) -> Result<BTreeMap<TargetId, ObservedUser>, TargetError> {
        let names = [
            (Key::UserName, &wants.user_names),
            (Key::Email, &wants.emails),
            (Key::ExternalId, &wants.user_external_ids),
        ];
        gather(&Users(self), &Sought::new(&wants.users, names)).await
    }

    pub(super) async fn observe_groups(
        &self,
        wants: &Wants,
    ) -> Result<BTreeMap<TargetId, ObservedGroup>, TargetError> {
        let names = [(Key::DisplayName, &wants.group_names), (Key::ExternalId, &wants.group_external_ids)];
        let sought = Sought::new(&wants.groups, names);
        let found = gather(&Groups(self), &sought).await?;
        let by_name = found
            .iter()
            .filter(|(_, (group, _))| group_names(group).iter().any(|n| sought.has_name(n)))
            .map(|(id, _)| id.clone())
            .collect();
        self.with_members(found, by_name).await
    }

    /// Every user of the store; an error where they cannot all be listed.
    pub(super) async fn all_users(&self) -> Result<BTreeMap<TargetId, ObservedUser>, TargetError> {
        match all(&Users(self)).await? {
            (users, false) => Ok(users),
            (_, true) => Err(cut_short("the users")),
        }
    }

    /// Every group of the store, and the members of `groups`. Where groups cannot all be listed, `groups` are asked for
    /// one by one.
    pub(super) async fn all_groups(
        &self,
        groups: &BTreeSet<TargetId>,
    ) -> Result<BTreeMap<TargetId, ObservedGroup>, TargetError> {
        let (mut found, cut) = all(&Groups(self)).await?;
        if cut {
            warn!(
                "the SCIM endpoint lists one page of groups only: groups that idcsync does not manage were not all read"
            );
            found.extend(gather(&Groups(self), &Sought::new(groups, [])).await?);
        }
        let there = groups.iter().filter(|id| found.contains_key(*id)).cloned().collect();
        self.with_members(found, there).await
    }

    async fn with_members(
        &self,
        found: BTreeMap<TargetId, Shown>,
        groups: BTreeSet<TargetId>,
    ) -> Result<BTreeMap<TargetId, ObservedGroup>, TargetError> {
        let unshown = groups.iter().filter(|id| found.get(*id).is_some_and(|(_, shown)| shown.is_empty()));
        let unshown: Vec<TargetId> = unshown.cloned().collect();
        let mut asked: BTreeMap<TargetId, Option<BTreeSet<TargetId>>> = stream::iter(unshown)
            .map(|id| async move { Ok::<_, TargetError>((self.members(&id).await?, id)) })
            .buffer_unordered(IN_FLIGHT)
            .map_ok(|(members, id)| (id, members))
            .try_collect()
            .await?;
        let groups = found.into_iter().filter_map(|(id, (group, shown))| {
            let members = match asked.remove(&id) {
                // Deleted since it was found.
                Some(None) => return None,
                Some(members) => members,
                None => groups.contains(&id).then_some(shown),
            };
            Some((id, ObservedGroup { members, ..group }))
        });
        Ok(groups.collect())
    }

    /// Asked of the users: a group's own list is empty, whoever is in it. `None` where there is no such group.
    async fn members(&self, group: &TargetId) -> Result<Option<BTreeSet<TargetId>>, TargetError> {
        match self.filtered(Kind::User, &eq("groups.value", group.as_str())).await? {
            Some((_, true)) => Err(cut_short("the members of a group")),
            Some((users, false)) => users.iter().map(id).collect::<Result<_, _>>().map(Some),
            None => Ok(None),
        }
    }

    /// `None` where an object that the filter names is not there: some endpoints say so instead of showing nobody.
    async fn filtered(&self, kind: Kind, filter: &str) -> Result<Option<(Vec<Value>, bool)>, TargetError> {
        match self.pages(kind, Some(filter)).await {
            Err(e) if e.kind == TargetErrorKind::NotFound(None) => {
                self.prove().await?;
                Ok(None)
            }
            found => found.map(Some),
        }
    }

    /// Asked of the groups: whether this one is among those with that member.
    pub(super) async fn has_member(&self, group: &TargetId, user: &TargetId) -> Result<bool, TargetError> {
        let filter = format!("{} and {}", eq("id", group.as_str()), eq("members", user.as_str()));
        // Nobody is a member of what does not exist, and who does not exist is member of nothing.
        let (groups, _) = self.filtered(Kind::Group, &filter).await?.unwrap_or_default();
        Ok(groups.iter().any(|g| convert::id(g).as_ref() == Some(group)))
    }

    pub(super) async fn user_named(
        &self,
        user_name: &str,
    ) -> Result<Option<(TargetId, ObservedUser)>, TargetError> {
        let found = self.one_named(Kind::User, Key::UserName, user_name).await?;
        found.map(|user| Ok((id(&user)?, convert::observed_user(&user)))).transpose()
    }

    pub(super) async fn group_named(
        &self,
        display_name: &str,
    ) -> Result<Option<(TargetId, ObservedGroup)>, TargetError> {
        let found = self.one_named(Kind::Group, Key::DisplayName, display_name).await?;
        found.map(|group| Ok((id(&group)?, convert::observed_group(&group).0))).transpose()
    }

    /// The resource that has the name. One that the endpoint gives without having it is not it: filters that are not
    /// understood are sometimes ignored.
    async fn one_named(&self, kind: Kind, key: Key, value: &str) -> Result<Option<Value>, TargetError> {
        let (found, cut) = match self.filtered(kind, &eq(key.path(), value)).await {
            // A name that is refused as no possible name is held by nobody: one bad name must not fail the look-up
            // of all others.
            Err(e) if e.kind == TargetErrorKind::Validation => return Ok(None),
            found => found?.unwrap_or_default(),
        };
        let wanted = name(key, value);
        match found.into_iter().find(|resource| names(kind, resource).contains(&wanted)) {
            None if cut => Err(cut_short("who has a certain name")),
            found => Ok(found),
        }
    }

    pub(in crate::target) async fn user(&self, user: &TargetId) -> Result<Option<ObservedUser>, TargetError> {
        Ok(self.resource(Kind::User, user).await?.as_ref().map(convert::observed_user))
    }

    /// `None` where it is not there, which is believed of an endpoint only.
    pub(super) async fn resource(&self, kind: Kind, id: &TargetId) -> Result<Option<Value>, TargetError> {
        let operation = match kind {
            Kind::User => "scim:GetUser",
            Kind::Group => "scim:GetGroup",
        };
        let url = self.url(&[endpoint(kind), id.as_str()]);
        let ask = Ask {
            operation,
            repeat: Repeat::Read,
            on: On::Object(kind),
            method: Method::GET,
            url,
            body: None,
        };
        match self.send(&ask).await {
            Ok(resource) if convert::id(&resource).as_ref() == Some(id) => Ok(Some(resource)),
            Ok(_) => Err(not_understood("something else than the object asked for")),
            Err(e) if e.kind == TargetErrorKind::NotFound(Some(kind)) => {
                self.prove().await?;
                Ok(None)
            }
            Err(e) => Err(e),
        }
    }

    /// An error where this seems to be no SCIM endpoint at all: then nothing is gone.
    pub(super) async fn prove(&self) -> Result<(), TargetError> {
        if self.is_proven() {
            return Ok(());
        }
        self.paging(Kind::User).await.map(drop)
    }
}

fn id(resource: &Value) -> Result<TargetId, TargetError> {
    convert::id(resource).ok_or_else(|| not_understood("an object without an id"))
}

fn names(kind: Kind, resource: &Value) -> Vec<Name> {
    match kind {
        Kind::User => user_names(&convert::observed_user(resource), convert::emails(resource)),
        Kind::Group => group_names(&convert::observed_group(resource).0),
    }
}

fn user_names<'e>(user: &ObservedUser, emails: impl Iterator<Item = &'e str>) -> Vec<Name> {
    let attribute = |key, attribute| user.attributes.get(&attribute).map(|value| name(key, value));
    let user_name = attribute(Key::UserName, UserAttribute::UserName);
    let external_id = attribute(Key::ExternalId, UserAttribute::ExternalId);
    user_name.into_iter().chain(external_id).chain(emails.map(|e| name(Key::Email, e))).collect()
}

fn group_names(group: &ObservedGroup) -> Vec<Name> {
    let external_id = group.attributes.external_id.as_deref().map(|id| name(Key::ExternalId, id));
    std::iter::once(name(Key::DisplayName, &group.attributes.display_name)).chain(external_id).collect()
}

struct Users<'a>(&'a ScimTarget);

#[async_trait]
impl Shelf for Users<'_> {
    type Object = ObservedUser;

    async fn page(&self, token: Option<String>) -> Result<Page<ObservedUser>, TargetError> {
        let sheet = self.0.page(Kind::User, None, token).await?;
        let listed = sheet.resources.iter().map(|resource| {
            let object = convert::observed_user(resource);
            Ok(Listed { id: id(resource)?, names: user_names(&object, convert::emails(resource)), object })
        });
        Ok(Page { listed: listed.collect::<Result<_, TargetError>>()?, next: sheet.next, cut: sheet.cut })
    }

    fn finds(&self, key: Key) -> bool {
        matches!(key, Key::UserName | Key::ExternalId)
    }

    async fn find(&self, key: Key, value: &str) -> Result<Option<Hit<ObservedUser>>, TargetError> {
        let found = self.0.one_named(Kind::User, key, value).await?;
        let hit = |user: Value| Ok(Hit { id: id(&user)?, object: Some(convert::observed_user(&user)) });
        found.map(hit).transpose()
    }

    async fn describe(&self, id: &TargetId) -> Result<Option<ObservedUser>, TargetError> {
        self.0.user(id).await
    }
}

struct Groups<'a>(&'a ScimTarget);

#[async_trait]
impl Shelf for Groups<'_> {
    type Object = Shown;

    async fn page(&self, token: Option<String>) -> Result<Page<Shown>, TargetError> {
        let sheet = self.0.page(Kind::Group, None, token).await?;
        let listed = sheet.resources.iter().map(|resource| {
            let object = convert::observed_group(resource);
            Ok(Listed { id: id(resource)?, names: group_names(&object.0), object })
        });
        Ok(Page { listed: listed.collect::<Result<_, TargetError>>()?, next: sheet.next, cut: sheet.cut })
    }

    fn finds(&self, key: Key) -> bool {
        matches!(key, Key::DisplayName | Key::ExternalId)
    }

    async fn find(&self, key: Key, value: &str) -> Result<Option<Hit<Shown>>, TargetError> {
        let found = self.0.one_named(Kind::Group, key, value).await?;
        let hit = |group: Value| Ok(Hit { id: id(&group)?, object: Some(convert::observed_group(&group)) });
        found.map(hit).transpose()
    }

    async fn describe(&self, id: &TargetId) -> Result<Option<Shown>, TargetError> {
        Ok(self.0.resource(Kind::Group, id).await?.as_ref().map(convert::observed_group))
    }
}
