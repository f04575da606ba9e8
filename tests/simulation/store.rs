//! The simulated target: strict about what exists and what is unique, forgetful on demand, and watched at each write.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard};

use async_trait::async_trait;
use idcsync::ids::{IdentityStoreId, TargetId};
use idcsync::model::{
    Capabilities, CheckLine, GroupAttributes, Kind, Observed, ObservedGroup, ObservedUser, UserAttribute,
    UserAttributes, Wants,
};
use idcsync::target::{Target, TargetError, TargetErrorKind, Usage};

use super::hub::{Domain, Hub, Trouble};
use super::judge::Judge;

pub const STORE: &str = "d-1234567890";

#[derive(Clone, Debug, Default)]
pub struct Contents {
    pub users: BTreeMap<TargetId, ObservedUser>,
    pub groups: BTreeMap<TargetId, ObservedGroup>,
}

pub struct Store {
    hub: Arc<Hub>,
    judge: Arc<Judge>,
    pub capabilities: Capabilities,
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    now: Contents,
    /// What it was after each write, the last ones.
    past: Vec<Contents>,
    next: u32,
    usage: Usage,
}

type Result<T> = std::result::Result<T, TargetError>;

fn error(kind: TargetErrorKind, message: &str) -> TargetError {
    TargetError { kind, code: format!("{kind:?}"), message: message.to_owned() }
}

fn fold(text: &str) -> String {
    text.to_lowercase()
}

impl Contents {
    /// By the directory's GUID, which the mapping writes into each object of ours.
    pub fn user_of(&self, guid: &str) -> Vec<(&TargetId, &ObservedUser)> {
        self.users
            .iter()
            .filter(|(_, u)| u.attributes.get(&UserAttribute::NickName).is_some_and(|n| n == guid))
            .collect()
    }

    pub fn groups_of(&self, guid: &str) -> Vec<(&TargetId, &ObservedGroup)> {
        self.groups.iter().filter(|(_, g)| group_guid(g) == Some(guid)).collect()
    }

    pub fn members(&self, group: &TargetId) -> BTreeSet<TargetId> {
        self.groups.get(group).and_then(|g| g.members.clone()).unwrap_or_default()
    }

    fn check_user(&self, own: Option<&TargetId>, attributes: &UserAttributes) -> Result<()> {
        for required in UserAttribute::ALL.iter().filter(|a| a.is_required()) {
            if !attributes.contains_key(required) {
                return Err(error(TargetErrorKind::Validation, &format!("{required} is required")));
            }
        }
        for unique in [UserAttribute::UserName, UserAttribute::Email] {
            let Some(value) = attributes.get(&unique) else { continue };
            let taken = self.users.iter().any(|(id, user)| {
                Some(id) != own && user.attributes.get(&unique).is_some_and(|v| fold(v) == fold(value))
            });
            if taken {
                return Err(error(TargetErrorKind::Conflict, &format!("{unique} is taken")));
            }
        }
        Ok(())
    }

    fn check_group(&self, own: Option<&TargetId>, name: &str) -> Result<()> {
        let same = |g: &ObservedGroup| fold(&g.attributes.display_name) == fold(name);
        if self.groups.iter().any(|(id, group)| Some(id) != own && same(group)) {
            return Err(error(TargetErrorKind::Conflict, "displayName is taken"));
        }
        Ok(())
    }

    fn check_ends(&self, group: &TargetId, user: &TargetId) -> Result<()> {
        if !self.users.contains_key(user) {
            return Err(error(TargetErrorKind::NotFound(Some(Kind::User)), "no such user"));
        }
        if !self.groups.contains_key(group) {
            return Err(error(TargetErrorKind::NotFound(Some(Kind::Group)), "no such group"));
        }
        Ok(())
    }

    pub fn delete(&mut self, id: &TargetId) {
        self.users.remove(id);
        self.groups.remove(id);
        for members in self.groups.values_mut().filter_map(|g| g.members.as_mut()) {
            members.remove(id);
        }
    }
}

/// Where the mapping writes it: the description over the API, the externalId over SCIM.
pub fn group_guid(group: &ObservedGroup) -> Option<&str> {
    group.attributes.external_id.as_deref().or(group.attributes.description.as_deref())
}

pub fn user_guid(user: &ObservedUser) -> Option<&str> {
    user.attributes.get(&UserAttribute::NickName).map(String::as_str)
}

impl Store {
    pub fn new(hub: Arc<Hub>, judge: Arc<Judge>, capabilities: Capabilities) -> Self {
        Self { hub, judge, capabilities, inner: Mutex::default() }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap()
    }

    pub fn contents(&self) -> Contents {
        self.lock().now.clone()
    }

    pub fn writes(&self) -> u64 {
        self.lock().usage.writes
    }

    /// By other hands.
    pub fn meddle(&self, change: impl FnOnce(&mut Contents)) {
        let mut inner = self.lock();
        let before = inner.now.clone();
        change(&mut inner.now);
        inner.past.push(before);
    }

    /// Time has gone by: everybody sees what was written.
    pub fn settle(&self) {
        self.lock().past.clear();
    }

    pub fn put_user(&self, name: &str) -> TargetId {
        let id = TargetId::new(format!("other-{name}"));
        let attributes = UserAttributes::from([
            (UserAttribute::UserName, format!("{name}@corp.example")),
            (UserAttribute::DisplayName, "Somebody".to_owned()),
            (UserAttribute::GivenName, "S".to_owned()),
            (UserAttribute::FamilyName, "Doe".to_owned()),
        ]);
        let user = ObservedUser { attributes, ..ObservedUser::default() };
        self.lock().now.users.insert(id.clone(), user);
        id
    }

    pub fn put_group(&self, name: &str, members: &[TargetId]) -> TargetId {
        let id = TargetId::new(format!("other-{name}"));
        let attributes = GroupAttributes { display_name: name.to_owned(), ..GroupAttributes::default() };
        let members = Some(members.iter().cloned().collect());
        let group = ObservedGroup { attributes, members, ..ObservedGroup::default() };
        self.lock().now.groups.insert(id.clone(), group);
        id
    }

    async fn read<T>(&self, what: &str, answer: impl FnOnce(&Contents) -> Result<T>) -> Result<T> {
        let trouble = self.hub.enter(Domain::Target, || what.to_owned()).await;
        let (stale, denied) = {
            let hub = self.hub.lock();
            (hub.weather.stale, hub.weather.denied)
        };
        let result = {
            let mut inner = self.lock();
            inner.usage.requests += 1;
            let at = inner.past.len().checked_sub(stale);
            let seen = if stale == 0 { None } else { at.and_then(|at| inner.past.get(at)) };
            answer(seen.unwrap_or(&inner.now))
        };
        match trouble {
            _ if denied => Err(error(TargetErrorKind::AccessDenied, "no")),
            Some(Trouble::Throttled) => Err(error(TargetErrorKind::Throttled, "slow down")),
            Some(Trouble::Denied) => Err(error(TargetErrorKind::AccessDenied, "no")),
            Some(Trouble::Unavailable | Trouble::LostBefore | Trouble::LostAfter | Trouble::Contended) => {
                Err(error(TargetErrorKind::Unavailable, "no answer"))
            }
            Some(Trouble::Crash { .. }) => self.hub.die().await,
            _ => result,
        }
    }

    async fn write<T>(&self, what: String, perform: impl FnOnce(&mut Inner) -> Result<T>) -> Result<T> {
        let trouble = self.hub.enter(Domain::Target, || what.clone()).await;
        let number = self.hub.count(Domain::Target);
        if self.hub.lock().weather.meddling.contains(&number) {
            let victim = self.judge.somebody(&self.contents());
            if let Some((what, id)) = victim {
                self.hub.say(|| format!("    others: {what}"));
                self.meddle(|contents| contents.delete(&id));
            }
        }
        let denied = self.hub.lock().weather.denied;
        match trouble {
            _ if denied => return Err(error(TargetErrorKind::AccessDenied, "no")),
            Some(Trouble::Throttled) => return Err(error(TargetErrorKind::Throttled, "slow down")),
            Some(Trouble::Denied) => return Err(error(TargetErrorKind::AccessDenied, "no")),
            Some(Trouble::Unavailable) => return Err(error(TargetErrorKind::Unavailable, "not now")),
            Some(Trouble::LostBefore) => return Err(error(TargetErrorKind::Ambiguous, "no answer")),
            Some(Trouble::Contended) => return Err(error(TargetErrorKind::Conflict, "a concurrent change")),
            _ => {}
        }
        let result = {
            let mut inner = self.lock();
            let before = inner.now.clone();
            inner.usage.requests += 1;
            let result = perform(&mut inner);
            if result.is_ok() {
                inner.usage.writes += 1;
                inner.past.push(before);
                if inner.past.len() > 12 {
                    inner.past.remove(0);
                }
            }
            result
        };
        if let Err(refused) = &result {
            self.hub.say(|| format!("      refused: {refused}"));
        }
        match trouble {
            Some(Trouble::LostAfter) => Err(error(TargetErrorKind::Ambiguous, "no answer")),
            Some(Trouble::Crash { .. }) => self.hub.die().await,
            _ => result,
        }
    }
}

#[async_trait]
impl Target for Store {
    fn capabilities(&self) -> Capabilities {
        self.capabilities
    }

    async fn identity_store(&self) -> Result<IdentityStoreId> {
        Ok(IdentityStoreId::new(STORE))
    }

    async fn check(&self) -> Vec<CheckLine> {
        Vec::new()
    }

    async fn observe(&self, wants: &Wants) -> Result<Observed> {
        if wants.is_empty() {
            return Ok(Observed::default());
        }
        self.read("observe", |now| {
            let names: BTreeSet<String> = wants.user_names.iter().map(|n| fold(n)).collect();
            let emails: BTreeSet<String> = wants.emails.iter().map(|n| fold(n)).collect();
            let groups: BTreeSet<String> = wants.group_names.iter().map(|n| fold(n)).collect();
            let has = |user: &ObservedUser, attribute, among: &BTreeSet<String>| {
                user.attributes.get(&attribute).is_some_and(|v| among.contains(&fold(v)))
            };
            let mut observed = Observed::default();
            for (id, user) in &now.users {
                let external = user.attributes.get(&UserAttribute::ExternalId);
                if wants.users.contains(id)
                    || has(user, UserAttribute::UserName, &names)
                    || has(user, UserAttribute::Email, &emails)
                    || external.is_some_and(|e| wants.user_external_ids.contains(e))
                {
                    observed.users.insert(id.clone(), user.clone());
                }
            }
            for (id, group) in &now.groups {
                let external = group.attributes.external_id.as_ref();
                let found = groups.contains(&fold(&group.attributes.display_name))
                    || external.is_some_and(|e| wants.group_external_ids.contains(e));
                if found || wants.groups.contains(id) {
                    let members = found.then(|| group.members.clone().unwrap_or_default());
                    for member in members.iter().flatten() {
                        if let Some(user) = now.users.get(member) {
                            observed.users.insert(member.clone(), user.clone());
                        }
                    }
                    observed.groups.insert(id.clone(), ObservedGroup { members, ..group.clone() });
                }
            }
            Ok(observed)
        })
        .await
    }

    async fn create_user(&self, attributes: &UserAttributes) -> Result<TargetId> {
        let what = format!("create user {}", attributes[&UserAttribute::UserName]);
        self.write(what, |inner| {
            inner.now.check_user(None, attributes)?;
            inner.next += 1;
            let id = TargetId::new(format!("user-{}", inner.next));
            self.judge.creates_user(&inner.now, attributes);
            let external = attributes.get(&UserAttribute::ExternalId);
            let external_ids = external.iter().map(|e| (String::new(), (*e).clone())).collect();
            let user = ObservedUser { attributes: attributes.clone(), disabled: false, external_ids };
            inner.now.users.insert(id.clone(), user);
            Ok(id)
        })
        .await
    }

    async fn update_user(
        &self,
        user: &TargetId,
        changed: &[UserAttribute],
        desired: &UserAttributes,
    ) -> Result<()> {
        let list = changed.iter().map(|a| a.path()).collect::<Vec<_>>().join(",");
        self.write(
            format!("update user {user} {list} → {:?}", desired.get(&UserAttribute::UserName)),
            |inner| {
                let Some(now) = inner.now.users.get(user) else {
                    return Err(error(TargetErrorKind::NotFound(Some(Kind::User)), "no such user"));
                };
                let mut after = now.attributes.clone();
                for attribute in changed {
                    match desired.get(attribute) {
                        Some(value) => after.insert(*attribute, value.clone()),
                        None => after.remove(attribute),
                    };
                }
                inner.now.check_user(Some(user), &after)?;
                self.judge.updates(user);
                inner.now.users.get_mut(user).unwrap().attributes = after;
                Ok(())
            },
        )
        .await
    }

    async fn create_group(&self, attributes: &GroupAttributes, members: &[TargetId]) -> Result<TargetId> {
        self.write(format!("create group {} with {members:?}", attributes.display_name), |inner| {
            inner.now.check_group(None, &attributes.display_name)?;
            for member in members {
                if !inner.now.users.contains_key(member) {
                    return Err(error(TargetErrorKind::NotFound(Some(Kind::User)), "no such user"));
                }
            }
            inner.next += 1;
            let id = TargetId::new(format!("group-{}", inner.next));
            self.judge.creates_group(&inner.now, attributes);
            let external = attributes.external_id.iter().map(|e| (String::new(), e.clone())).collect();
            let group = ObservedGroup {
                attributes: attributes.clone(),
                external_ids: external,
                members: Some(members.iter().cloned().collect()),
            };
            for member in members {
                self.judge.adds(&inner.now.users[member], &group, member, &id);
            }
            inner.now.groups.insert(id.clone(), group);
            Ok(id)
        })
        .await
    }

    async fn update_group(
        &self,
        group: &TargetId,
        before: &GroupAttributes,
        desired: &GroupAttributes,
    ) -> Result<()> {
        self.write(format!("update group {group} {before:?} → {desired:?}"), |inner| {
            if !inner.now.groups.contains_key(group) {
                return Err(error(TargetErrorKind::NotFound(Some(Kind::Group)), "no such group"));
            }
            inner.now.check_group(Some(group), &desired.display_name)?;
            self.judge.updates(group);
            inner.now.groups.get_mut(group).unwrap().attributes = desired.clone();
            Ok(())
        })
        .await
    }

    async fn add_members(&self, group: &TargetId, users: &[TargetId]) -> Result<()> {
        self.write(format!("add to {group}: {users:?}"), |inner| {
            for user in users {
                inner.now.check_ends(group, user)?;
            }
            for user in users {
                let found = inner.now.groups[group].clone();
                self.judge.adds(&inner.now.users[user], &found, user, group);
                let members = inner.now.groups.get_mut(group).unwrap().members.get_or_insert_default();
                members.insert(user.clone());
            }
            Ok(())
        })
        .await
    }

    async fn remove_members(&self, group: &TargetId, users: &[TargetId]) -> Result<()> {
        self.write(format!("remove from {group}: {users:?}"), |inner| {
            for user in users {
                inner.now.check_ends(group, user)?;
            }
            for user in users {
                let members = inner.now.groups.get_mut(group).unwrap().members.get_or_insert_default();
                if members.remove(user) {
                    self.judge.removes(&inner.now, group, user);
                }
            }
            Ok(())
        })
        .await
    }

    async fn set_active(&self, user: &TargetId, active: bool) -> Result<()> {
        let verb = if active { "enable" } else { "disable" };
        self.write(format!("{verb} {user}"), |inner| {
            let Some(found) = inner.now.users.get_mut(user) else {
                return Err(error(TargetErrorKind::NotFound(Some(Kind::User)), "no such user"));
            };
            found.disabled = !active;
            let found = found.clone();
            if active {
                self.judge.enables(user, &found)
            } else {
                self.judge.disables(user, &found)
            }
            Ok(())
        })
        .await
    }

    async fn delete_user(&self, user: &TargetId) -> Result<()> {
        self.write(format!("delete {user}"), |inner| {
            if let Some(found) = inner.now.users.get(user) {
                self.judge.deletes_user(user, found);
            }
            inner.now.delete(user);
            Ok(())
        })
        .await
    }

    async fn delete_group(&self, group: &TargetId) -> Result<()> {
        self.write(format!("delete {group}"), |inner| {
            if let Some(found) = inner.now.groups.get(group) {
                self.judge.deletes_group(group, found);
            }
            inner.now.delete(group);
            Ok(())
        })
        .await
    }

    async fn read_back(&self, groups: &BTreeSet<TargetId>) -> Result<Observed> {
        self.read("read back", |now| {
            let mut observed = Observed { users: now.users.clone(), groups: now.groups.clone() };
            for (id, group) in &mut observed.groups {
                group.members = groups.contains(id).then(|| group.members.clone().unwrap_or_default());
            }
            Ok(observed)
        })
        .await
    }

    async fn find_user(&self, user_name: &str) -> Result<Option<(TargetId, ObservedUser)>> {
        self.read("find user", |now| {
            let same = |u: &ObservedUser| {
                u.attributes.get(&UserAttribute::UserName).is_some_and(|n| fold(n) == fold(user_name))
            };
            Ok(now.users.iter().find(|(_, u)| same(u)).map(|(id, u)| (id.clone(), u.clone())))
        })
        .await
    }

    async fn find_group(&self, display_name: &str) -> Result<Option<(TargetId, ObservedGroup)>> {
        self.read("find group", |now| {
            let same = |g: &ObservedGroup| fold(&g.attributes.display_name) == fold(display_name);
            let found = now.groups.iter().find(|(_, group)| same(group));
            Ok(found.map(|(id, group)| (id.clone(), ObservedGroup { members: None, ..group.clone() })))
        })
        .await
    }

    async fn is_member(&self, group: &TargetId, user: &TargetId) -> Result<bool> {
        self.read("is a member?", |now| {
            now.check_ends(group, user)?;
            Ok(now.members(group).contains(user))
        })
        .await
    }

    fn usage(&self) -> Usage {
        self.lock().usage
    }

    fn clock_ahead(&self) -> Option<i64> {
        let inner = self.hub.lock();
        Some(-inner.weather.skew.as_secs())
    }
}
