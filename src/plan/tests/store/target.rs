//! What the target answers.

use async_trait::async_trait;

use super::*;

#[async_trait]
impl Target for Store {
    fn capabilities(&self) -> Capabilities {
        self.inner.lock().unwrap().capabilities
    }

    async fn identity_store(&self) -> Result<IdentityStoreId, TargetError> {
        Ok(IdentityStoreId::new("d-1234567890"))
    }

    async fn check(&self) -> Vec<CheckLine> {
        Vec::new()
    }

    async fn observe(&self, wants: &Wants) -> Result<Observed, TargetError> {
        self.read("observe", "")?;
        let inner = self.inner.lock().unwrap();
        let names: BTreeSet<String> = wants.user_names.iter().map(|n| fold(n)).collect();
        let emails: BTreeSet<String> = wants.emails.iter().map(|n| fold(n)).collect();
        let groups: BTreeSet<String> = wants.group_names.iter().map(|n| fold(n)).collect();
        let has = |user: &ObservedUser, attribute, among: &BTreeSet<String>| {
            user.attributes.get(&attribute).is_some_and(|v| among.contains(&fold(v)))
        };
        let mut observed = Observed::default();
        for (id, user) in &inner.users {
            if wants.users.contains(id)
                || has(user, UserAttribute::UserName, &names)
                || has(user, UserAttribute::Email, &emails)
            {
                observed.users.insert(id.clone(), user.clone());
            }
        }
        for (id, group) in &inner.groups {
            let by_name = groups.contains(&fold(&group.attributes.display_name));
            if by_name || wants.groups.contains(id) {
                let members = by_name.then(|| group.members.clone().unwrap_or_default());
                observed.groups.insert(id.clone(), ObservedGroup { members, ..group.clone() });
            }
        }
        Ok(observed)
    }

    async fn create_user(&self, attributes: &UserAttributes) -> Result<TargetId, TargetError> {
        let name = attributes[&UserAttribute::UserName].clone();
        self.write("create-user", name.clone(), Written::Named("userName", &name), |inner| {
            inner.check_user(None, attributes)?;
            let id = inner.new_id("user");
            let user = ObservedUser { attributes: attributes.clone(), ..ObservedUser::default() };
            inner.users.insert(id.clone(), user);
            Ok(id)
        })
        .await
    }

    async fn update_user(
        &self,
        user: &TargetId,
        changed: &[UserAttribute],
        desired: &UserAttributes,
    ) -> Result<(), TargetError> {
        let name = self.inner.lock().unwrap().name(user);
        let list = changed.iter().map(|a| a.path()).collect::<Vec<_>>().join(",");
        self.write("update-user", format!("{name} {list}"), Written::Object(user), |inner| {
            let Some(now) = inner.users.get(user) else {
                return Err(error(TargetErrorKind::NotFound(Some(Kind::User)), "no such user"));
            };
            let mut after = now.attributes.clone();
            let mut changed: BTreeSet<UserAttribute> = changed.iter().copied().collect();
            if changed.contains(&UserAttribute::UserName) && inner.refuses_renames {
                return Err(error(TargetErrorKind::Validation, "UserName is immutable"));
            }
            // The list is replaced whole.
            if changed.contains(&UserAttribute::Email) || changed.contains(&UserAttribute::EmailType) {
                changed.extend([UserAttribute::Email, UserAttribute::EmailType]);
            }
            for attribute in changed {
                match desired.get(&attribute) {
                    Some(value) => after.insert(attribute, value.clone()),
                    None => after.remove(&attribute),
                };
            }
            inner.check_user(Some(user), &after)?;
            inner.users.get_mut(user).unwrap().attributes = after;
            Ok(())
        })
        .await
    }

    async fn create_group(
        &self,
        attributes: &GroupAttributes,
        members: &[TargetId],
    ) -> Result<TargetId, TargetError> {
        let name = attributes.display_name.clone();
        self.write("create-group", name.clone(), Written::Named("displayName", &name), |inner| {
            inner.check_group(None, &attributes.display_name)?;
            assert!(members.is_empty() || members.len() <= inner.batch(), "too many members for one request");
            let id = inner.new_id("group");
            let attributes = attributes.clone();
            let members = Some(members.iter().cloned().collect());
            inner
                .groups
                .insert(id.clone(), ObservedGroup { attributes, members, ..ObservedGroup::default() });
            Ok(id)
        })
        .await
    }

    async fn update_group(
        &self,
        group: &TargetId,
        before: &GroupAttributes,
        desired: &GroupAttributes,
    ) -> Result<(), TargetError> {
        assert_ne!(before, desired, "an update changes something");
        let name = self.inner.lock().unwrap().name(group);
        self.write("update-group", name, Written::Object(group), |inner| {
            if !inner.groups.contains_key(group) {
                return Err(error(TargetErrorKind::NotFound(Some(Kind::Group)), "no such group"));
            }
            inner.check_group(Some(group), &desired.display_name)?;
            inner.groups.get_mut(group).unwrap().attributes = desired.clone();
            Ok(())
        })
        .await
    }

    async fn add_members(&self, group: &TargetId, users: &[TargetId]) -> Result<(), TargetError> {
        let about = self.memberships(group, users);
        self.write("add-member", about, Written::Membership(group, &users[0]), |inner| {
            assert!(users.len() <= inner.batch(), "too many members for one request");
            users.iter().try_for_each(|user| inner.check_ends(group, user))?;
            inner.members(group).extend(users.iter().cloned());
            Ok(())
        })
        .await
    }

    async fn remove_members(&self, group: &TargetId, users: &[TargetId]) -> Result<(), TargetError> {
        let about = self.memberships(group, users);
        self.write("remove-member", about, Written::Membership(group, &users[0]), |inner| {
            assert!(users.len() <= inner.batch(), "too many members for one request");
            users.iter().try_for_each(|user| inner.check_ends(group, user))?;
            inner.members(group).retain(|m| !users.contains(m));
            Ok(())
        })
        .await
    }

    async fn set_active(&self, user: &TargetId, active: bool) -> Result<(), TargetError> {
        let verb = if active { "enable-user" } else { "disable-user" };
        let now = self.inner.lock().unwrap().name(user);
        self.write(verb, now.clone(), Written::Object(user), |inner| {
            assert!(inner.capabilities.disables, "this target cannot disable");
            let Some(found) = inner.users.get_mut(user) else {
                return Err(error(TargetErrorKind::NotFound(Some(Kind::User)), "no such user"));
            };
            found.disabled = !active;
            Ok(())
        })
        .await
    }

    async fn delete_user(&self, user: &TargetId) -> Result<(), TargetError> {
        let name = self.inner.lock().unwrap().name(user);
        self.write("delete-user", name, Written::Object(user), |inner| {
            inner.users.remove(user);
            inner.groups.values_mut().for_each(|g| {
                g.members.get_or_insert_default().remove(user);
            });
            Ok(())
        })
        .await
    }

    async fn delete_group(&self, group: &TargetId) -> Result<(), TargetError> {
        let name = self.inner.lock().unwrap().name(group);
        self.write("delete-group", name, Written::Object(group), |inner| {
            inner.groups.remove(group);
            Ok(())
        })
        .await
    }

    async fn read_back(&self, groups: &BTreeSet<TargetId>) -> Result<Observed, TargetError> {
        self.read("read-back", "")?;
        let inner = self.inner.lock().unwrap();
        let mut observed = Observed { users: inner.users.clone(), groups: inner.groups.clone() };
        for (id, group) in &mut observed.groups {
            group.members = groups.contains(id).then(|| group.members.clone().unwrap_or_default());
        }
        Ok(observed)
    }

    async fn find_user(&self, user_name: &str) -> Result<Option<(TargetId, ObservedUser)>, TargetError> {
        self.read("find-user", user_name)?;
        let mut inner = self.inner.lock().unwrap();
        if inner.missed.remove(user_name) {
            return Ok(None);
        }
        let found = inner.users.iter().find(|(_, user)| {
            user.attributes.get(&UserAttribute::UserName).is_some_and(|n| fold(n) == fold(user_name))
        });
        Ok(found.map(|(id, user)| (id.clone(), user.clone())))
    }

    async fn find_group(&self, display_name: &str) -> Result<Option<(TargetId, ObservedGroup)>, TargetError> {
        self.read("find-group", display_name)?;
        let inner = self.inner.lock().unwrap();
        let found =
            inner.groups.iter().find(|(_, group)| fold(&group.attributes.display_name) == fold(display_name));
        Ok(found.map(|(id, group)| (id.clone(), ObservedGroup { members: None, ..group.clone() })))
    }

    async fn is_member(&self, group: &TargetId, user: &TargetId) -> Result<bool, TargetError> {
        self.read("is-member", "")?;
        let inner = self.inner.lock().unwrap();
        inner.check_ends(group, user)?;
        Ok(inner.groups[group].members.iter().flatten().any(|m| m == user))
    }

    fn usage(&self) -> Usage {
        Usage::default()
    }

    fn clock_ahead(&self) -> Option<i64> {
        None
    }
}
