//! What a complete read leaves behind, so that a later one has to ask the server for what has changed only.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::ids::Anchor;

/// Until where the server's changes are known, and what for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mark {
    /// Of all that decides what is read: with another one the mirror is of no use.
    pub digest: String,
    /// The server that was read. Positions in a change log are its own.
    pub server: String,
    pub position: Position,
    /// When everything was read.
    pub full: Timestamp,
    /// Reads of changes alone since then.
    pub reads: u32,
}

/// A place in a server's log of changes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Position {
    /// Active Directory: the highest `uSNChanged` that was committed in this incarnation of the server's database
    /// ([MS-ADTS] 3.1.1.3.2.20 and 3.1.1.1.9, `invocationId`).
    Usn { invocation: Anchor, usn: u64 },
    /// The cookie of a content synchronisation (RFC 4533).
    Sync { cookie: Vec<u8> },
}

/// Entries as the server sent them, in a form that only `directory` reads.
pub type Entries = BTreeMap<Anchor, Arc<[u8]>>;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mirror {
    pub mark: Mark,
    pub entries: Entries,
    /// The searches that were answered to their end, and by which entries.
    pub answers: BTreeMap<String, BTreeSet<Anchor>>,
}

/// What a read makes of the mirror.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MirrorChange {
    /// Everything was read: nothing that was there before counts.
    Whole(Mirror),
    Part {
        mark: Mark,
        put: Entries,
        gone: BTreeSet<Anchor>,
        /// Those that are others now.
        answers: BTreeMap<String, BTreeSet<Anchor>>,
    },
    /// It cannot be trusted, or not be kept: the next read is of everything.
    Drop,
}

impl MirrorChange {
    /// Nothing is other than before but how far the log has been read.
    pub fn only(mark: Mark) -> Self {
        Self::Part { mark, put: Entries::new(), gone: BTreeSet::new(), answers: BTreeMap::new() }
    }

    pub fn mark(&self) -> Option<&Mark> {
        match self {
            Self::Whole(mirror) => Some(&mirror.mark),
            Self::Part { mark, .. } => Some(mark),
            Self::Drop => None,
        }
    }
}
