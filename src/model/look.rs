//! What is asked about single objects that no read would bring, and the answers.

use crate::ids::{Anchor, Dn, Sid};

/// Whose groups are asked for.
#[derive(Clone, Debug)]
pub struct AboveRequest {
    pub objects: Vec<Below>,
    /// Distribution groups count.
    pub distribution: bool,
    /// The server that the snapshot came from.
    pub server: String,
}

/// An object that groups may hold.
#[derive(Clone, Debug)]
pub struct Below {
    pub dn: Dn,
    /// Of a person: the primary group, which has no `member` for it.
    pub primary_group: Option<Sid>,
}

/// The groups above each object that was asked for, in the order of the request.
#[derive(Clone, Debug, Default)]
pub struct Above {
    pub of: Vec<Vec<GroupAbove>>,
    /// Why there may be more.
    pub cut_short: Option<String>,
}

/// A group that holds an object, or a group that does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupAbove {
    pub dn: Dn,
    pub anchor: Option<Anchor>,
    /// 1: it holds the object itself.
    pub level: u32,
    /// The place in this list of the group by which it holds the object.
    pub below: Option<usize>,
    /// Members of it count: it is no distribution group that is passed over.
    pub counts: bool,
}
