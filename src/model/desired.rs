//! What the target should hold, by snapshot and mapping.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::attributes::{GroupAttributes, UserValues};
use super::known::Digest;
use crate::ids::{Anchor, Dn, LinkNo, Sid};

/// Desired users and groups by their number; memberships are in `scope`'s result, over the same numbers.
#[derive(Clone, Debug, Default)]
pub struct Desired {
    /// Each by itself: a map that grows has room for as many again.
    pub users: BTreeMap<LinkNo, Box<DesiredUser>>,
    pub groups: BTreeMap<LinkNo, DesiredGroup>,
}

#[derive(Clone, Debug)]
pub struct DesiredUser {
    pub anchor: Anchor,
    pub dn: Dn,
    pub sid: Option<Sid>,
    pub created: Option<Timestamp>,
    /// Shared with the plan that writes them.
    pub attributes: UserValues,
    /// Of these.
    pub digest: Digest,
}

#[derive(Clone, Debug)]
pub struct DesiredGroup {
    pub anchor: Anchor,
    pub dn: Dn,
    pub sid: Option<Sid>,
    pub created: Option<Timestamp>,
    pub attributes: GroupAttributes,
}
