//! What the state database knows of a profile when a cycle begins.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::ops::{Deref, DerefMut};
use std::sync::{Arc, LazyLock};

use jiff::Timestamp;
use roaring::RoaringBitmap;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::finding::Finding;
use super::{ChangeCookie, DeletionProof, GroupAttributes, Kind, UserAttribute, UserAttributes, UserValues};
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
    /// When the last cycle that wrote was begun, by a clock that could be trusted.
    pub last_cycle: Option<Timestamp>,
    pub rename_support: RenameSupport,
    /// The server that the last complete read came from.
    pub last_server: Option<String>,
    /// When the directory last answered, however incompletely.
    pub last_read: Option<Timestamp>,
    /// When the target was last read back as a whole.
    pub last_full: Option<Timestamp>,
    /// How far the directory's change log has been read.
    pub cookie: Option<ChangeCookie>,
    /// Objects of the target that other profiles of this state database have linked, with their names. Filled where
    /// something was observed that is not linked here.
    pub elsewhere: BTreeMap<(Kind, TargetId), String>,
}

impl Known {
    /// The number that the next new object gets.
    pub fn next_no(&self) -> LinkNo {
        LinkNo(self.links.keys().next_back().map_or(1, |no| no.0 + 1))
    }
}

/// What a profile is tied to at its first apply.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
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
#[derive(Clone, Debug, PartialEq)]
pub struct Link {
    pub no: LinkNo,
    pub kind: Kind,
    pub anchor: Anchor,
    /// The DN as last read; shared with what was read of a newcomer.
    pub dn: Arc<str>,
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
    /// What idcsync did to a user who may not use the target; `None`: nothing.
    pub disabled: Option<Disabled>,
    /// Since when its deletion in the directory is proven.
    pub deleted: Option<Deleted>,
    /// When look-ups that ended well first did not find it in the directory.
    pub absent_since: Option<Timestamp>,
    /// Groups: whether all members of its first cycle have been written once.
    pub filled: bool,
    /// A link has the fields of it like its own.
    pub of_group: OfGroup,
    /// A refusal that a retry cannot mend, and when to try again. Few have one.
    pub retry: Option<Box<Retry>>,
}

/// What groups have more than people, of whom there are ten times as many: kept apart where there is any.
#[derive(Clone, Default)]
pub struct OfGroup(Option<Box<GroupSets>>);

#[derive(Clone, Debug, Default, PartialEq)]
pub struct GroupSets {
    /// Direct members (users and groups) as last completely read, and whoever was seen since.
    pub direct: RoaringBitmap,
    /// Those of `direct` who were members by `primaryGroupID`.
    pub primary: RoaringBitmap,
    /// Those of `direct` who were no longer read when a member appeared that the server cannot show, and who may be
    /// that member.
    pub hidden: RoaringBitmap,
    /// Normal forms of the members that the server could not show at the last complete read.
    pub unreadable: BTreeSet<String>,
    /// Users that idcsync holds to be members in the target.
    pub applied: RoaringBitmap,
    /// Users whose absence was first shown by a server that had not been read before: it counts from the second cycle
    /// on.
    pub doubtful: RoaringBitmap,
}

static NOBODY: LazyLock<GroupSets> = LazyLock::new(GroupSets::default);

impl PartialEq for OfGroup {
    fn eq(&self, other: &Self) -> bool {
        self.sets() == other.sets()
    }
}

impl From<GroupSets> for OfGroup {
    fn from(sets: GroupSets) -> Self {
        Self((sets != *NOBODY).then(|| Box::new(sets)))
    }
}

impl fmt::Debug for OfGroup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.sets().fmt(f)
    }
}

impl OfGroup {
    fn sets(&self) -> &GroupSets {
        self.0.as_deref().unwrap_or_else(|| &NOBODY)
    }
}

impl Deref for Link {
    type Target = GroupSets;

    fn deref(&self) -> &GroupSets {
        self.of_group.sets()
    }
}

impl DerefMut for Link {
    fn deref_mut(&mut self) -> &mut GroupSets {
        self.of_group.0.get_or_insert_default()
    }
}

impl Link {
    /// A directory object met for the first time.
    pub fn new(no: LinkNo, kind: Kind, anchor: Anchor, dn: impl Into<Arc<str>>) -> Self {
        Self {
            no,
            kind,
            anchor,
            dn: dn.into(),
            sid: None,
            target_id: None,
            origin: Origin::Created,
            name: None,
            email: None,
            digest: None,
            out_since: None,
            disabled: None,
            deleted: None,
            absent_since: None,
            filled: false,
            of_group: OfGroup::default(),
            retry: None,
        }
    }
}

impl Link {
    /// Forgets the target object, and all that was known of it.
    pub fn untie(&mut self) {
        let Self { no, kind, anchor, dn, sid, of_group, .. } = self;
        let of_group = std::mem::take(of_group);
        *self = Self { sid: sid.take(), of_group, ..Self::new(*no, *kind, *anchor, Arc::clone(dn)) };
        if let Some(sets) = &mut self.of_group.0 {
            sets.applied.clear();
            sets.doubtful.clear();
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Origin {
    Created,
    Adopted,
}

/// A user whom idcsync has put out of use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Disabled {
    pub at: Timestamp,
    pub cause: DisableCause,
    pub how: DisableHow,
}

/// Why a user is disabled.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DisableCause {
    /// Outside the scope for longer than `disable-after`.
    OutOfScope,
    /// The profile was paused for longer than `disable-after`.
    Paused,
    /// The directory was out of reach for longer than `disable-after`.
    OutOfReach,
    /// Disabled in the directory.
    AccountDisabled,
    /// Expired in the directory.
    AccountExpired,
    /// Deleted in the directory.
    Deleted,
}

impl DisableCause {
    /// As stored and as in JSON.
    pub fn word(self) -> &'static str {
        match self {
            Self::OutOfScope => "out-of-scope",
            Self::Paused => "paused",
            Self::OutOfReach => "out-of-reach",
            Self::AccountDisabled => "account-disabled",
            Self::AccountExpired => "account-expired",
            Self::Deleted => "deleted",
        }
    }

    /// For a person.
    pub fn text(self) -> &'static str {
        match self {
            Self::OutOfScope => "out of scope for too long",
            Self::Paused => "the profile was paused for too long",
            Self::OutOfReach => "the directory was out of reach for too long",
            Self::AccountDisabled => "the account is disabled in the directory",
            Self::AccountExpired => "the account is expired in the directory",
            Self::Deleted => "deleted in the directory",
        }
    }

    /// Whether it follows from time that has gone by, and so needs a clock that is right.
    pub fn rests_on_time(self) -> bool {
        matches!(self, Self::OutOfScope | Self::Paused | Self::OutOfReach)
    }
}

/// What was really done to a disabled user: no target is said to have disabled anyone that cannot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DisableHow {
    /// `active: false`, verified: the user cannot sign in.
    Deactivated,
    /// Managed memberships removed; sign-in and direct assignments stay.
    Revoked,
    /// Nothing but a finding that asks a person to do it.
    Reported,
}

impl DisableHow {
    /// As stored and as in JSON.
    pub fn word(self) -> &'static str {
        match self {
            Self::Deactivated => "deactivated",
            Self::Revoked => "revoked",
            Self::Reported => "reported",
        }
    }
}

/// An object whose deletion in the directory is proven.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Deleted {
    /// When the proof was first seen.
    pub since: Timestamp,
    pub proof: DeletionProof,
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
        Self::of_each(attributes.iter().map(|(attribute, value)| (*attribute, value.as_str())))
    }

    /// The same of the same values.
    pub fn of_values(values: &UserValues) -> Self {
        Self::of_each(values.iter())
    }

    fn of_each<'v>(values: impl Iterator<Item = (UserAttribute, &'v str)>) -> Self {
        let mut hasher = Sha256::new();
        for (attribute, value) in values {
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

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
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
