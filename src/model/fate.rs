//! What became of objects that a read did not bring: looked up by their anchors, one answer for each.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::Kind;
use super::evidence::{AccountState, Shortfall};
use crate::ids::{Anchor, Dn};

/// Objects to be looked up by anchor.
#[derive(Clone, Debug)]
pub struct FateRequest {
    /// The server that the snapshot came from: no other one may answer.
    pub server: String,
    pub objects: BTreeMap<Anchor, Kind>,
    /// The time against which `accountExpires` is held.
    pub now: Timestamp,
    /// Where the server's change log was read to, if it ever was.
    pub cookie: Option<ChangeCookie>,
}

/// How far a server's change log has been read; opaque outside of `directory`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChangeCookie {
    /// The server (or its replication identity) that gave it.
    pub server: String,
    pub bytes: Vec<u8>,
}

#[derive(Clone, Debug, Default)]
pub struct Fates {
    /// One for each object that was asked for.
    pub of: BTreeMap<Anchor, Fate>,
    /// Objects that the change log reports as deleted since the cookie, asked for or not.
    pub reported: BTreeSet<Anchor>,
    /// Where the change log has been read to now; `None` where the server keeps none that can be read.
    pub cookie: Option<ChangeCookie>,
    /// Requests sent.
    pub requests: u64,
}

/// What is known of one object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It exists and can be read.
    Present { dn: Dn, account: AccountState },
    /// The server itself says that it was deleted.
    Deleted(DeletionProof),
    /// The search ended well and brought nothing: moved, hidden by a permission, or gone. No proof of anything.
    Absent,
    /// It could not be asked.
    Unread(Shortfall),
}

/// By what it is known that an object was deleted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DeletionProof {
    /// A deleted object with this objectGUID (`isDeleted`, shown by control 1.2.840.113556.1.4.417).
    Tombstone,
    /// The server's change log reports the delete (RFC 4533 `syncIdSet` with `refreshDeletes`, or a delete entry).
    ChangeLog,
    /// Not found for longer than `delete-on-absence`, on a server that keeps no tombstones.
    LongAbsence,
}

impl DeletionProof {
    /// As stored and as in JSON.
    pub fn word(self) -> &'static str {
        match self {
            Self::Tombstone => "tombstone",
            Self::ChangeLog => "change-log",
            Self::LongAbsence => "long-absence",
        }
    }
}
