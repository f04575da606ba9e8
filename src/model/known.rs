//! What the state database knows of a profile when a cycle begins.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use roaring::RoaringBitmap;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::finding::Finding;
use super::{GroupAttributes, Kind, UserAttributes};
use crate::ids::{Anchor, Fingerprint, IdentityStoreId, LinkNo, Sid, TargetId};

#[derive(Clone, Debug, Default)]
pub struct Known {
    /// Every object ever met in this profile, by number; those with a `target_id` are linked.
    pub links: BTreeMap<LinkNo, Link>,
    /// Entries that were resolved before, by kind and configured name.
    pub pins: BTreeMap<(Kind, String), Pin>,
    /// Approved steps that have not expired.
    pub approvals: BTreeSet<Fingerprint>,
    /// Findings that stand.
    pub findings: Vec<Finding>,
    pub binding: Option<Binding>,
    /// When every scope entry was last read completely.
    pub last_complete_read: Option<Timestamp>,
    /// When the last cycle that could write was begun, by the clock of then.
    pub last_cycle: Option<Timestamp>,
    pub rename_support: RenameSupport,
}

impl Known {
    /// The number that the next new object gets.
    pub fn next_no(&self) -> LinkNo {
        LinkNo(self.links.keys().next_back().map_or(1, |no| no.0 + 1))
    }
}

/// What a profile is tied to at its first apply.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Binding {
    /// Domain SID, or naming context.
    pub directory: String,
    pub identity_store: IdentityStoreId,
}

/// A scope entry's object, fixed when it was first resolved.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pin {
    pub anchor: Anchor,
    /// What the object was called when it was last read (sAMAccountName, uid or cn).
    pub name: String,
}

/// The tie from a directory object to its id in the target.
#[derive(Clone, Debug)]
pub struct Link {
    pub no: LinkNo,
    pub kind: Kind,
    pub anchor: Anchor,
    /// The DN as last read.
    pub dn: String,
    pub sid: Option<Sid>,
    /// `None`: met in the directory (a container, someone without a surname), not in the target.
    pub target_id: Option<TargetId>,
    pub origin: Origin,
    /// userName or displayName as last applied.
    pub name: Option<String>,
    /// The primary address as last applied.
    pub email: Option<String>,
    /// Of the attributes as last applied; `None` where that is not known and the target must be asked.
    pub digest: Option<Digest>,
    /// When complete reads first showed it outside the scope.
    pub out_since: Option<Timestamp>,
    /// Groups: whether all members of its first cycle have been written once.
    pub filled: bool,
    /// Groups: direct members (users and groups) as last completely read.
    pub direct: RoaringBitmap,
    /// Groups: those of `direct` who were no longer read when a member appeared that the server cannot show, and
    /// who may be that member.
    pub hidden: RoaringBitmap,
    /// Groups: normal forms of the members that the server could not show at the last complete read.
    pub unreadable: BTreeSet<String>,
    /// Groups: users that idcsync holds to be members in the target.
    pub applied: RoaringBitmap,
    /// A refusal that a retry cannot mend, and when to try again.
    pub retry: Option<Retry>,
}

impl Link {
    /// A directory object met for the first time.
    pub fn new(no: LinkNo, kind: Kind, anchor: Anchor, dn: String) -> Self {
        Self {
            no,
            kind,
            anchor,
            dn,
            sid: None,
            target_id: None,
            origin: Origin::Created,
            name: None,
            email: None,
            digest: None,
            out_since: None,
            filled: false,
            direct: RoaringBitmap::new(),
            hidden: RoaringBitmap::new(),
            unreadable: BTreeSet::new(),
            applied: RoaringBitmap::new(),
            retry: None,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Origin {
    Created,
    Adopted,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Retry {
    pub attempts: u32,
    pub not_before: Timestamp,
    /// The error's code, for a person.
    pub code: String,
    /// Of the attributes that were refused: other ones may be tried at once.
    pub digest: Digest,
}

/// Whether the identity store lets `userName` be changed; learned from its answers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RenameSupport {
    #[default]
    Unknown,
    Accepted,
    Refused,
}

/// The first 16 bytes of a SHA-256 over attributes in a fixed order.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Digest([u8; 16]);

impl Digest {
    pub fn of_user(attributes: &UserAttributes) -> Self {
        let mut hasher = Sha256::new();
        for (attribute, value) in attributes {
            add(&mut hasher, attribute.path());
            add(&mut hasher, value);
        }
        Self::take(hasher)
    }

    pub fn of_group(attributes: &GroupAttributes) -> Self {
        let mut hasher = Sha256::new();
        add(&mut hasher, &attributes.display_name);
        add(&mut hasher, attributes.description.as_deref().unwrap_or_default());
        add(&mut hasher, attributes.external_id.as_deref().unwrap_or_default());
        Self::take(hasher)
    }

    fn take(hasher: Sha256) -> Self {
        let mut bytes = [0; 16];
        bytes.copy_from_slice(&hasher.finalize()[..16]);
        Self(bytes)
    }

    pub fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }

    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(Self)
    }
}

impl std::fmt::Debug for Digest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0[..4].iter().try_for_each(|b| write!(f, "{b:02x}"))
    }
}

/// Length first, so that no two lists of values run together.
fn add(hasher: &mut Sha256, text: &str) {
    hasher.update((text.len() as u64).to_le_bytes());
    hasher.update(text.as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::UserAttribute;

    #[test]
    fn digests_do_not_run_values_together() {
        let a = UserAttributes::from([
            (UserAttribute::UserName, "ab".to_owned()),
            (UserAttribute::Title, "c".to_owned()),
        ]);
        let b = UserAttributes::from([
            (UserAttribute::UserName, "a".to_owned()),
            (UserAttribute::Title, "bc".to_owned()),
        ]);
        assert_ne!(Digest::of_user(&a), Digest::of_user(&b));
        assert_eq!(Digest::of_user(&a), Digest::of_user(&a.clone()));
    }
}
