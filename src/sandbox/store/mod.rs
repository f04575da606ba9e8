//! The content of the sandbox: users, groups and memberships with every index that the operations need, so that each
//! of them takes O(log n). Synchronous and pure: no clock, no randomness, no I/O, no wire format.
//!
//! A change is made in two steps. A *decision* ([`Store::create_user`] and its like) looks at the store, applies the
//! rules and answers with a [`Change`] or a [`Refusal`]; [`Store::apply`] then makes the change. Between the two the
//! owner of the store can write the change down, which is how nothing that was acknowledged is lost in a crash.

mod assignments;
mod content;
mod decide;
mod ids;
mod rules;

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;

pub use assignments::{Assignment, PermissionSet, Principal, is_permission_set_arn};
pub use content::{
    Address, Change, Enterprise, Entry, ExternalId, Group, GroupContent, Manager, Membership, Millis, Name,
    Photo, Revision, User, UserAttributes, UserContent, UserStatus,
};
pub use decide::{Claim, Kind, Quotas, Refusal};
pub use ids::{GroupId, MembershipId, NotAnId, ResourceId, UserId};
pub use rules::{EXTERNAL_ID_MAX, Rule, TEXT_MAX, USER_NAME_MAX, Violation};

/// Users, groups and memberships, ordered by id, with their indexes.
#[derive(Debug, Clone, Default)]
pub struct Store {
    users: BTreeMap<UserId, User>,
    groups: BTreeMap<GroupId, Group>,
    memberships: BTreeMap<MembershipId, Membership>,
    user_names: BTreeMap<String, UserId>,
    emails: BTreeMap<String, UserId>,
    user_external_ids: BTreeMap<ExternalId, UserId>,
    group_names: BTreeMap<String, GroupId>,
    group_external_ids: BTreeMap<ExternalId, GroupId>,
    members: BTreeMap<GroupId, BTreeMap<UserId, MembershipId>>,
    groups_of: BTreeMap<UserId, BTreeSet<GroupId>>,
    permission_sets: BTreeMap<String, PermissionSet>,
    assignments: BTreeSet<Assignment>,
    last_revision: u64,
    quotas: Quotas,
}

/// Names are compared without regard to case. (AWS does not say so; a store that took two users who differ only in
/// case would let a sync go wrong that fails against one that doesn't.)
fn fold(name: &str) -> String {
    name.to_lowercase()
}

impl Store {
    /// An empty store with the quotas of "IAM Identity Center quotas".
    pub fn new() -> Self {
        Self::default()
    }

    /// The same store with other quotas.
    pub fn with_quotas(self, quotas: Quotas) -> Self {
        Self { quotas, ..self }
    }

    /// All users, by id.
    pub fn users(&self) -> impl ExactSizeIterator<Item = &User> {
        self.users.values()
    }

    /// All groups, by id.
    pub fn groups(&self) -> impl ExactSizeIterator<Item = &Group> {
        self.groups.values()
    }

    /// All memberships, by id.
    pub fn memberships(&self) -> impl ExactSizeIterator<Item = &Membership> {
        self.memberships.values()
    }

    pub fn user(&self, id: UserId) -> Option<&User> {
        self.users.get(&id)
    }

    pub fn group(&self, id: GroupId) -> Option<&Group> {
        self.groups.get(&id)
    }

    pub fn membership(&self, id: MembershipId) -> Option<&Membership> {
        self.memberships.get(&id)
    }

    /// The membership of `user` in `group`.
    pub fn membership_of(&self, group: GroupId, user: UserId) -> Option<&Membership> {
        self.members.get(&group)?.get(&user).and_then(|id| self.memberships.get(id))
    }

    /// The user with this userName, whatever its case.
    pub fn user_by_name(&self, name: &str) -> Option<UserId> {
        self.user_names.get(&fold(name)).copied()
    }

    /// The user with this primary email address, whatever its case.
    pub fn user_by_email(&self, email: &str) -> Option<UserId> {
        self.emails.get(&fold(email)).copied()
    }

    pub fn user_by_external_id(&self, id: &ExternalId) -> Option<UserId> {
        self.user_external_ids.get(id).copied()
    }

    /// The group with this displayName, whatever its case.
    pub fn group_by_name(&self, name: &str) -> Option<GroupId> {
        self.group_names.get(&fold(name)).copied()
    }

    pub fn group_by_external_id(&self, id: &ExternalId) -> Option<GroupId> {
        self.group_external_ids.get(id).copied()
    }

    /// The users whose ids come after `last`, in order.
    pub fn users_after(&self, last: Option<UserId>) -> impl Iterator<Item = &User> {
        self.users.range((after(last), Bound::Unbounded)).map(|(_, user)| user)
    }

    /// The groups whose ids come after `last`, in order.
    pub fn groups_after(&self, last: Option<GroupId>) -> impl Iterator<Item = &Group> {
        self.groups.range((after(last), Bound::Unbounded)).map(|(_, group)| group)
    }

    /// The memberships of `group`, by user id, from the user after `last` on.
    pub fn members_after(&self, group: GroupId, last: Option<UserId>) -> impl Iterator<Item = &Membership> {
        let members = self.members.get(&group).into_iter();
        members
            .flat_map(move |m| m.range((after(last), Bound::Unbounded)))
            .filter_map(|(_, id)| self.memberships.get(id))
    }

    /// The memberships of `user`, by group id, from the group after `last` on.
    pub fn memberships_after(
        &self,
        user: UserId,
        last: Option<GroupId>,
    ) -> impl Iterator<Item = &Membership> {
        let groups = self.groups_of.get(&user).into_iter();
        groups
            .flat_map(move |g| g.range((after(last), Bound::Unbounded)))
            .filter_map(move |group| self.membership_of(*group, user))
    }

    /// Makes a change that was decided on this very state, or replays one from the journal. A change that cannot be
    /// made (two objects would claim one name, a membership of nobody) is refused and leaves the store as it was:
    /// that can only come from a file that was changed by hand.
    pub fn apply(&mut self, change: Change) -> Result<(), Refusal> {
        match change {
            Change::PutUser(user) => self.put_user(*user),
            Change::DeleteUser(id) => self.drop_user(id),
            Change::PutGroup(group) => self.put_group(*group),
            Change::DeleteGroup(id) => self.drop_group(id),
            Change::PutMembership(membership) => self.put_membership(membership),
            Change::DeleteMembership(id) => self.drop_membership(id),
        }
    }

    fn put_user(&mut self, user: User) -> Result<(), Refusal> {
        self.claims_of_user(user.id, &user.attributes, &user.external_ids)?;
        if let Some(old) = self.users.get(&user.id) {
            Self::unindex_user(old, &mut self.user_names, &mut self.emails, &mut self.user_external_ids);
        }
        if let Some(name) = &user.attributes.user_name {
            self.user_names.insert(fold(name), user.id);
        }
        if let Some(email) = user.attributes.primary_email() {
            self.emails.insert(fold(email), user.id);
        }
        for external in &user.external_ids {
            self.user_external_ids.insert(external.clone(), user.id);
        }
        self.last_revision = self.last_revision.max(user.revision.0);
        self.users.insert(user.id, user);
        Ok(())
    }

    fn unindex_user(
        user: &User,
        names: &mut BTreeMap<String, UserId>,
        emails: &mut BTreeMap<String, UserId>,
        external: &mut BTreeMap<ExternalId, UserId>,
    ) {
        if let Some(name) = &user.attributes.user_name {
            names.remove(&fold(name));
        }
        if let Some(email) = user.attributes.primary_email() {
            emails.remove(&fold(email));
        }
        for id in &user.external_ids {
            external.remove(id);
        }
    }

    fn drop_user(&mut self, id: UserId) -> Result<(), Refusal> {
        let user = self.users.remove(&id).ok_or(Refusal::not_found_user(id))?;
        Self::unindex_user(&user, &mut self.user_names, &mut self.emails, &mut self.user_external_ids);
        for group in self.groups_of.remove(&id).unwrap_or_default() {
            if let Some(membership) = self.forget_member(group, id) {
                self.memberships.remove(&membership);
            }
        }
        self.drop_assignments(Principal::User(id));
        Ok(())
    }

    fn put_group(&mut self, group: Group) -> Result<(), Refusal> {
        self.claims_of_group(group.id, group.display_name.as_deref(), &group.external_ids)?;
        if let Some(old) = self.groups.get(&group.id) {
            Self::unindex_group(old, &mut self.group_names, &mut self.group_external_ids);
        }
        if let Some(name) = &group.display_name {
            self.group_names.insert(fold(name), group.id);
        }
        for external in &group.external_ids {
            self.group_external_ids.insert(external.clone(), group.id);
        }
        self.last_revision = self.last_revision.max(group.revision.0);
        self.groups.insert(group.id, group);
        Ok(())
    }

    fn unindex_group(
        group: &Group,
        names: &mut BTreeMap<String, GroupId>,
        external: &mut BTreeMap<ExternalId, GroupId>,
    ) {
        if let Some(name) = &group.display_name {
            names.remove(&fold(name));
        }
        for id in &group.external_ids {
            external.remove(id);
        }
    }

    fn drop_group(&mut self, id: GroupId) -> Result<(), Refusal> {
        let group = self.groups.remove(&id).ok_or(Refusal::not_found_group(id))?;
        Self::unindex_group(&group, &mut self.group_names, &mut self.group_external_ids);
        for (user, membership) in self.members.remove(&id).unwrap_or_default() {
            self.memberships.remove(&membership);
            self.forget_group(user, id);
        }
        self.drop_assignments(Principal::Group(id));
        Ok(())
    }

    fn put_membership(&mut self, membership: Membership) -> Result<(), Refusal> {
        let Membership { id, group, user, .. } = membership;
        if !self.groups.contains_key(&group) {
            return Err(Refusal::not_found_group(group));
        }
        if !self.users.contains_key(&user) {
            return Err(Refusal::not_found_user(user));
        }
        if self.memberships.contains_key(&id) {
            return Err(Refusal::Duplicate(Claim::Id));
        }
        if self.membership_of(group, user).is_some() {
            return Err(Refusal::Duplicate(Claim::Membership));
        }
        self.members.entry(group).or_default().insert(user, id);
        self.groups_of.entry(user).or_default().insert(group);
        self.memberships.insert(id, membership);
        Ok(())
    }

    fn drop_membership(&mut self, id: MembershipId) -> Result<(), Refusal> {
        let membership = self.memberships.remove(&id).ok_or(Refusal::not_found_membership(id))?;
        self.forget_member(membership.group, membership.user);
        self.forget_group(membership.user, membership.group);
        Ok(())
    }

    fn forget_member(&mut self, group: GroupId, user: UserId) -> Option<MembershipId> {
        let members = self.members.get_mut(&group)?;
        let id = members.remove(&user);
        if members.is_empty() {
            self.members.remove(&group);
        }
        id
    }

    fn forget_group(&mut self, user: UserId, group: GroupId) {
        if let Some(groups) = self.groups_of.get_mut(&user) {
            groups.remove(&group);
            if groups.is_empty() {
                self.groups_of.remove(&user);
            }
        }
    }
}

fn after<K>(last: Option<K>) -> Bound<K> {
    last.map_or(Bound::Unbounded, Bound::Excluded)
}

#[cfg(test)]
mod tests;
