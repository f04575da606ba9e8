//! What was looked up in the target before planning, and what the plan needs to have looked up.

use std::collections::{BTreeMap, BTreeSet};

use super::{GroupAttributes, UserAttributes};
use crate::ids::TargetId;

/// The target objects that a plan depends on: those to be changed, and whoever holds a name that is to be
/// taken. Empty in a cycle without changes, which then sends nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Wants {
    /// Users to be read by their id.
    pub users: BTreeSet<TargetId>,
    pub groups: BTreeSet<TargetId>,
    /// userNames to be looked up, as desired.
    pub user_names: BTreeSet<String>,
    /// Primary addresses to be looked up.
    pub emails: BTreeSet<String>,
    /// Group displayNames to be looked up; the members of a group found so are read too.
    pub group_names: BTreeSet<String>,
    /// externalIds to be looked up, by targets that can (`Capabilities::finds_external_id`); the members of a group
    /// found so are read too.
    pub user_external_ids: BTreeSet<String>,
    pub group_external_ids: BTreeSet<String>,
}

impl Wants {
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// What the target answered. A wanted id that is not in here does not exist.
#[derive(Clone, Debug, Default)]
pub struct Observed {
    pub users: BTreeMap<TargetId, ObservedUser>,
    pub groups: BTreeMap<TargetId, ObservedGroup>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ObservedUser {
    pub attributes: UserAttributes,
    /// `UserStatus` is DISABLED, or `active` is false.
    pub disabled: bool,
    /// External ids: issuer (empty over SCIM, which has none) and id.
    pub external_ids: Vec<(String, String)>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ObservedGroup {
    pub attributes: GroupAttributes,
    pub external_ids: Vec<(String, String)>,
    /// Present where the group was found by name or external id, or read back: its members' user ids.
    pub members: Option<BTreeSet<TargetId>>,
}

/// What a target can do, as data for the plan: no code asks which target it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Capabilities {
    pub writes_external_id: bool,
    /// A single object can be looked up by its externalId.
    pub finds_external_id: bool,
    pub has_group_description: bool,
    /// Users can be disabled and enabled (`active`).
    pub disables: bool,
    /// How many membership changes of one group go into one request; also how many members a new group takes along
    /// with its creation, where it is more than one.
    pub membership_batch: u32,
}
