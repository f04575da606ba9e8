//! What a step does to its object, in words, and the values that it concerns.

use std::borrow::Cow;

use super::step::{Action, Purpose};
use crate::model::{DisableHow, GroupAttributes};

/// One attribute of a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Value<'a> {
    pub attribute: &'a str,
    /// What the target has, or that it has nothing; `None` of what is made anew.
    pub was: Option<Option<&'a str>>,
    pub new: Option<&'a str>,
}

impl Action {
    /// `+` gives, `-` takes away, `~` changes.
    pub(super) fn mark(&self) -> char {
        match self {
            Self::CreateUser { .. }
            | Self::CreateGroup { .. }
            | Self::AddMember { .. }
            | Self::EnableUser { .. } => '+',
            Self::DisableUser { how: DisableHow::Deactivated | DisableHow::Revoked, .. }
            | Self::DeleteUser { .. }
            | Self::DeleteGroup { .. }
            | Self::RemoveMember { .. }
            | Self::RemoveStranger { .. } => '-',
            Self::RebindEntry { .. }
            | Self::AdoptUser { .. }
            | Self::AdoptGroup { .. }
            | Self::UpdateUser { .. }
            | Self::UpdateGroup { .. }
            | Self::DisableUser { how: DisableHow::Reported, .. } => '~',
        }
    }

    /// To go beside the object's name.
    pub(super) fn deed(&self) -> Cow<'static, str> {
        Cow::Borrowed(match self {
            Self::RebindEntry { .. } => "follow another object",
            Self::CreateUser { .. } | Self::CreateGroup { .. } => "create",
            Self::AdoptUser { id, .. } | Self::AdoptGroup { id, .. } => {
                return Cow::Owned(format!("adopt {}", id.as_str()));
            }
            Self::UpdateUser { purpose, .. } | Self::UpdateGroup { purpose, .. } => match purpose {
                Purpose::Values => "update",
                Purpose::Yield => "renamed out of the way",
                Purpose::Park => "parked",
            },
            Self::AddMember { .. } => "add member",
            Self::RemoveMember { .. } | Self::RemoveStranger { .. } => "remove member",
            Self::DisableUser { how, .. } => match how {
                DisableHow::Deactivated => "disable",
                DisableHow::Revoked => "revoke: memberships go; sign-in and direct assignments stay",
                DisableHow::Reported => "report: to be disabled in IAM Identity Center by hand",
            },
            Self::EnableUser { how: DisableHow::Deactivated, .. } => "enable",
            Self::EnableUser { .. } => "restore",
            Self::DeleteUser { .. } | Self::DeleteGroup { .. } => "delete, with its account assignments",
        })
    }

    pub(super) fn values(&self) -> Vec<Value<'_>> {
        match self {
            Self::CreateUser { attributes, .. } => attributes
                .iter()
                .map(|(attribute, value)| Value { attribute: attribute.path(), was: None, new: Some(value) })
                .collect(),
            Self::UpdateUser { changes, .. } => changes
                .iter()
                .map(|c| Value {
                    attribute: c.attribute.path(),
                    was: Some(c.old.as_deref()),
                    new: c.new.as_deref(),
                })
                .collect(),
            // Its displayName is what it is called here.
            Self::CreateGroup { attributes, .. } => (attributes.description.as_deref())
                .map(|description| Value { attribute: "description", was: None, new: Some(description) })
                .into_iter()
                .collect(),
            Self::UpdateGroup { before, after, .. } => of_group(before, after),
            _ => Vec::new(),
        }
    }
}

fn of_group<'a>(before: &'a GroupAttributes, after: &'a GroupAttributes) -> Vec<Value<'a>> {
    let names = ("displayName", Some(before.display_name.as_str()), Some(after.display_name.as_str()));
    let descriptions = ("description", before.description.as_deref(), after.description.as_deref());
    [names, descriptions]
        .into_iter()
        .filter(|(_, old, new)| old != new)
        .map(|(attribute, old, new)| Value { attribute, was: Some(old), new })
        .collect()
}
