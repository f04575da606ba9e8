//! Newtypes for everything that identifies something, with their text forms.
//!
//! The anchor is the directory's own immutable identifier; names, DNs and addresses are only attributes of it.

mod dn;

use std::fmt;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

pub use self::dn::{Dn, DnError};

/// The immutable id of a directory object: `objectGUID` (Active Directory), `entryUUID` (RFC 4530) or
/// `nsUniqueId` (389 DS). All three are 128 bits wide.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Anchor(Uuid);

/// As the bytes would be compared, by two registers instead of a call: everything is looked up by anchors.
impl Ord for Anchor {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.0.as_u128().cmp(&other.0.as_u128())
    }
}

impl PartialOrd for Anchor {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Anchor {
    /// From the 16 bytes of `objectGUID`, whose first three fields are little-endian ([MS-DTYP] 2.3.4.2).
    pub fn from_object_guid(bytes: &[u8]) -> Option<Self> {
        Uuid::from_slice_le(bytes).ok().map(Self)
    }

    /// From text: dashed (`entryUUID`, a GUID as AD's tools print it), in braces, 32 hex digits, or the
    /// `8-8-8-8` groups of `nsUniqueId`.
    pub fn parse(text: &str) -> Option<Self> {
        let trimmed = text.trim();
        if let Ok(uuid) = Uuid::parse_str(trimmed) {
            return Some(Self(uuid));
        }
        let groups: Vec<&str> = trimmed.split('-').collect();
        if groups.len() == 4 && groups.iter().all(|g| g.len() == 8) {
            return Uuid::parse_str(&groups.concat()).ok().map(Self);
        }
        None
    }

    pub const fn from_u128(value: u128) -> Self {
        Self(Uuid::from_u128(value))
    }

    pub fn as_bytes(&self) -> &[u8; 16] {
        self.0.as_bytes()
    }

    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        Uuid::from_slice(bytes).ok().map(Self)
    }

    /// The 16 bytes as `objectGUID` stores them.
    pub fn to_object_guid(self) -> [u8; 16] {
        self.0.to_bytes_le()
    }
}

impl fmt::Display for Anchor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.hyphenated().fmt(f)
    }
}

impl fmt::Debug for Anchor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A Windows security identifier in its text form, `S-1-5-21-…`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Sid(Box<str>);

impl Sid {
    /// From the binary form of `objectSid` ([MS-DTYP] 2.4.2.2); `None` where the length does not fit.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (&revision, rest) = bytes.split_first()?;
        let (&count, rest) = rest.split_first()?;
        if revision != 1 || rest.len() != 6 + 4 * usize::from(count) {
            return None;
        }
        let (authority, subs) = rest.split_at(6);
        let authority = authority.iter().fold(0_u64, |acc, b| (acc << 8) | u64::from(*b));
        let mut text = format!("S-1-{authority}");
        for sub in subs.chunks_exact(4) {
            let value = sub.iter().rev().fold(0_u32, |acc, b| (acc << 8) | u32::from(*b));
            text.push('-');
            text.push_str(&value.to_string());
        }
        Some(Self(text.into()))
    }

    /// The binary form of `objectSid`.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut parts = self.0.split('-').skip(2).map(|part| part.parse::<u64>().unwrap_or_default());
        let authority = parts.next().unwrap_or_default();
        let subs: Vec<u64> = parts.collect();
        let mut bytes = vec![1, u8::try_from(subs.len()).unwrap_or_default()];
        bytes.extend_from_slice(&authority.to_be_bytes()[2..]);
        for sub in subs {
            bytes.extend_from_slice(&u32::try_from(sub).unwrap_or_default().to_le_bytes());
        }
        bytes
    }

    /// Another object of the same domain.
    #[must_use]
    pub fn sibling(&self, rid: u32) -> Option<Self> {
        self.domain().map(|domain| Self(format!("{domain}-{rid}").into()))
    }

    pub fn parse(text: &str) -> Option<Self> {
        let rest = text.strip_prefix("S-1-")?;
        let ok = !rest.is_empty() && rest.split('-').all(|p| !p.is_empty() && p.parse::<u64>().is_ok());
        ok.then(|| Self(text.into()))
    }

    /// The relative identifier: the last sub-authority.
    pub fn rid(&self) -> Option<u32> {
        self.0.rsplit('-').next()?.parse().ok()
    }

    /// The SID without its relative identifier: the domain's.
    pub fn domain(&self) -> Option<Sid> {
        self.0.rsplit_once('-').map(|(domain, _)| Self(domain.into()))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Sid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

macro_rules! text_id {
    ($(#[$meta:meta])* $name:ident) => {
        $(#[$meta])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(Box<str>);

        impl $name {
            pub fn new(text: impl Into<Box<str>>) -> Self {
                Self(text.into())
            }

            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

text_id! {
    /// The id of a user or group in the target (`UserId` and `GroupId` of the Identity Store API).
    TargetId
}
text_id! {
    /// `d-` and ten digits or letters: the id of an identity store.
    IdentityStoreId
}
text_id! {
    /// Names one plan: a digest of its steps, so that the same plan has the same id.
    PlanId
}
text_id! {
    /// Names one step by its content: what an approval is tied to, whatever plan the step turns up in.
    Fingerprint
}

/// The number of a directory object within a profile, given once and never again; bitmaps of people are
/// over these numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct LinkNo(pub u32);

/// The number of a cycle within the state database.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct CycleId(pub i64);

impl fmt::Display for LinkNo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

impl fmt::Display for CycleId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

#[cfg(test)]
mod tests;
