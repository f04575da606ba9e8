//! Decisions: may this be written, and what exactly changes if it is?

use std::fmt;

use super::content::{
    Change, ExternalId, Group, GroupContent, Membership, Millis, Revision, User, UserAttributes, UserContent,
};
use super::ids::{GroupId, MembershipId, UserId};
use super::rules::{self, Violation};
use super::{Store, fold};

/// What kind of resource something is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    User,
    Group,
    Membership,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::User => "user",
            Self::Group => "group",
            Self::Membership => "membership",
        })
    }
}

/// Something that only one object may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Claim {
    UserName,
    Email,
    GroupDisplayName,
    ExternalId,
    Membership,
    Id,
}

impl fmt::Display for Claim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::UserName => "userName",
            Self::Email => "primary email address",
            Self::GroupDisplayName => "group displayName",
            Self::ExternalId => "external id",
            Self::Membership => "membership",
            Self::Id => "id",
        })
    }
}

/// Why a change is not made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    #[error("invalid: {}", list(.0))]
    Invalid(Vec<Violation>),
    #[error("no {kind} has the id {id}")]
    NotFound { kind: Kind, id: String },
    #[error("another object has this {0}")]
    Duplicate(Claim),
    #[error("the {0} is not at the expected revision")]
    Stale(Kind),
    #[error("the quota of {what} ({limit}) is used up")]
    Quota { what: &'static str, limit: usize },
}

fn list(violations: &[Violation]) -> String {
    violations.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
}

impl Refusal {
    pub(super) fn not_found_user(id: UserId) -> Self {
        Self::NotFound { kind: Kind::User, id: id.to_string() }
    }

    pub(super) fn not_found_group(id: GroupId) -> Self {
        Self::NotFound { kind: Kind::Group, id: id.to_string() }
    }

    pub(super) fn not_found_membership(id: MembershipId) -> Self {
        Self::NotFound { kind: Kind::Membership, id: id.to_string() }
    }
}

/// How much a store may hold.
///
/// Source: IAM Identity Center User Guide, "IAM Identity Center quotas".
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Quotas {
    pub users: usize,
    pub groups: usize,
    pub groups_of_a_user: usize,
}

impl Default for Quotas {
    fn default() -> Self {
        Self { users: 100_000, groups: 100_000, groups_of_a_user: 1_000 }
    }
}

impl Quotas {
    fn hold(what: &'static str, used: usize, limit: usize) -> Result<(), Refusal> {
        if used < limit { Ok(()) } else { Err(Refusal::Quota { what, limit }) }
    }
}

fn valid(violations: Vec<Violation>) -> Result<(), Refusal> {
    if violations.is_empty() { Ok(()) } else { Err(Refusal::Invalid(violations)) }
}

fn at_revision(kind: Kind, current: Revision, expected: Option<Revision>) -> Result<(), Refusal> {
    match expected {
        Some(expected) if expected != current => Err(Refusal::Stale(kind)),
        _ => Ok(()),
    }
}

impl Store {
    fn next_revision(&self) -> Revision {
        Revision(self.last_revision.saturating_add(1))
    }

    /// A new user with the id `id`, at the time `at`.
    pub fn create_user(&self, id: UserId, content: UserContent, at: Millis) -> Result<Change, Refusal> {
        valid(rules::check_user(&content))?;
        if self.user(id).is_some() {
            return Err(Refusal::Duplicate(Claim::Id));
        }
        self.claims_of_user(id, &content.attributes, &content.external_ids)?;
        Quotas::hold("users", self.users().len(), self.quotas.users)?;
        Ok(Change::PutUser(Box::new(User {
            id,
            revision: self.next_revision(),
            status: content.status,
            created_at: at,
            updated_at: at,
            external_ids: content.external_ids,
            attributes: content.attributes,
        })))
    }

    /// The user `id` gets this content, if it is still at the `expected` revision.
    pub fn replace_user(
        &self,
        id: UserId,
        content: UserContent,
        expected: Option<Revision>,
        at: Millis,
    ) -> Result<Change, Refusal> {
        let user = self.user(id).ok_or(Refusal::not_found_user(id))?;
        at_revision(Kind::User, user.revision, expected)?;
        valid(rules::check_user(&content))?;
        self.claims_of_user(id, &content.attributes, &content.external_ids)?;
        Ok(Change::PutUser(Box::new(User {
            id,
            revision: self.next_revision(),
            status: content.status,
            created_at: user.created_at,
            updated_at: at,
            external_ids: content.external_ids,
            attributes: content.attributes,
        })))
    }

    /// The user `id` goes, with its memberships, if it is still at the `expected` revision.
    pub fn delete_user(&self, id: UserId, expected: Option<Revision>) -> Result<Change, Refusal> {
        let user = self.user(id).ok_or(Refusal::not_found_user(id))?;
        at_revision(Kind::User, user.revision, expected)?;
        Ok(Change::DeleteUser(id))
    }

    /// A new group with the id `id`, at the time `at`.
    pub fn create_group(&self, id: GroupId, content: GroupContent, at: Millis) -> Result<Change, Refusal> {
        valid(rules::check_group(&content))?;
        if self.group(id).is_some() {
            return Err(Refusal::Duplicate(Claim::Id));
        }
        self.claims_of_group(id, content.display_name.as_deref(), &content.external_ids)?;
        Quotas::hold("groups", self.groups().len(), self.quotas.groups)?;
        Ok(Change::PutGroup(Box::new(Group {
            id,
            revision: self.next_revision(),
            created_at: at,
            updated_at: at,
            external_ids: content.external_ids,
            display_name: content.display_name,
            description: content.description,
        })))
    }

    /// The group `id` gets this content, if it is still at the `expected` revision.
    pub fn replace_group(
        &self,
        id: GroupId,
        content: GroupContent,
        expected: Option<Revision>,
        at: Millis,
    ) -> Result<Change, Refusal> {
        let group = self.group(id).ok_or(Refusal::not_found_group(id))?;
        at_revision(Kind::Group, group.revision, expected)?;
        valid(rules::check_group(&content))?;
        self.claims_of_group(id, content.display_name.as_deref(), &content.external_ids)?;
        Ok(Change::PutGroup(Box::new(Group {
            id,
            revision: self.next_revision(),
            created_at: group.created_at,
            updated_at: at,
            external_ids: content.external_ids,
            display_name: content.display_name,
            description: content.description,
        })))
    }

    /// The group `id` goes, with its memberships, if it is still at the `expected` revision.
    pub fn delete_group(&self, id: GroupId, expected: Option<Revision>) -> Result<Change, Refusal> {
        let group = self.group(id).ok_or(Refusal::not_found_group(id))?;
        at_revision(Kind::Group, group.revision, expected)?;
        Ok(Change::DeleteGroup(id))
    }

    /// `user` becomes a member of `group`.
    pub fn add_member(
        &self,
        id: MembershipId,
        group: GroupId,
        user: UserId,
        at: Millis,
    ) -> Result<Change, Refusal> {
        if self.group(group).is_none() {
            return Err(Refusal::not_found_group(group));
        }
        if self.user(user).is_none() {
            return Err(Refusal::not_found_user(user));
        }
        if self.membership_of(group, user).is_some() {
            return Err(Refusal::Duplicate(Claim::Membership));
        }
        if self.membership(id).is_some() {
            return Err(Refusal::Duplicate(Claim::Id));
        }
        let groups = self.groups_of.get(&user).map_or(0, std::collections::BTreeSet::len);
        Quotas::hold("groups of a user", groups, self.quotas.groups_of_a_user)?;
        Ok(Change::PutMembership(Membership { id, group, user, created_at: at }))
    }

    /// The membership `id` goes.
    pub fn remove_membership(&self, id: MembershipId) -> Result<Change, Refusal> {
        self.membership(id).ok_or(Refusal::not_found_membership(id))?;
        Ok(Change::DeleteMembership(id))
    }

    /// Does anyone but `id` have one of these names?
    pub(super) fn claims_of_user(
        &self,
        id: UserId,
        attributes: &UserAttributes,
        external_ids: &[ExternalId],
    ) -> Result<(), Refusal> {
        let free = |owner: Option<&UserId>| owner.is_none_or(|owner| *owner == id);
        if let Some(name) = &attributes.user_name
            && !free(self.user_names.get(&fold(name)))
        {
            return Err(Refusal::Duplicate(Claim::UserName));
        }
        if let Some(email) = attributes.primary_email()
            && !free(self.emails.get(&fold(email)))
        {
            return Err(Refusal::Duplicate(Claim::Email));
        }
        if external_ids.iter().all(|e| free(self.user_external_ids.get(e))) {
            Ok(())
        } else {
            Err(Refusal::Duplicate(Claim::ExternalId))
        }
    }

    /// Does any group but `id` have one of these names?
    pub(super) fn claims_of_group(
        &self,
        id: GroupId,
        display_name: Option<&str>,
        external_ids: &[ExternalId],
    ) -> Result<(), Refusal> {
        let free = |owner: Option<&GroupId>| owner.is_none_or(|owner| *owner == id);
        if let Some(name) = display_name
            && !free(self.group_names.get(&fold(name)))
        {
            return Err(Refusal::Duplicate(Claim::GroupDisplayName));
        }
        if external_ids.iter().all(|e| free(self.group_external_ids.get(e))) {
            Ok(())
        } else {
            Err(Refusal::Duplicate(Claim::ExternalId))
        }
    }
}
