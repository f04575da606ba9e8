//! What one cycle read from the directory, each part with how complete it is.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use jiff::Timestamp;
use roaring::RoaringBitmap;
use serde::{Deserialize, Serialize};

use super::Kind;
use super::entry::Attributes;
use super::evidence::{AccountState, Completeness, Shortfall};
use super::fate::DeletionProof;
use super::finding::Finding;
use super::known::Pin;
use crate::ids::{Anchor, Dn, Sid};

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DirectoryKind {
    ActiveDirectory,
    Ldap,
}

/// The forms in which a scope entry may name its object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NameForm {
    Anchor(Anchor),
    Dn(Dn),
    /// `DOMAIN\name`
    Domain {
        domain: String,
        name: String,
    },
    /// userPrincipalName or mail
    Address(String),
    /// sAMAccountName; `uid` or `cn` on other servers
    Account(String),
}

impl NameForm {
    /// Reads the form off the text. Nothing is looked up.
    pub fn of(text: &str) -> Self {
        let text = text.trim();
        if let Some(anchor) = Anchor::parse(text) {
            return Self::Anchor(anchor);
        }
        if text.contains('=')
            && let Ok(dn) = Dn::parse(text)
        {
            return Self::Dn(dn);
        }
        if let Some((domain, name)) = text.split_once('\\') {
            return Self::Domain { domain: domain.to_owned(), name: name.to_owned() };
        }
        if text.contains('@') { Self::Address(text.to_owned()) } else { Self::Account(text.to_owned()) }
    }
}

/// One user or group that the config names.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ScopeEntry {
    pub kind: Kind,
    /// As the config has it.
    pub name: String,
    /// `false`: a container, read through and not written.
    pub write: bool,
}

impl ScopeEntry {
    pub fn form(&self) -> NameForm {
        NameForm::of(&self.name)
    }
}

impl fmt::Display for ScopeEntry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.kind, self.name)
    }
}

/// What is to be read. Policy that decides what is *in* is applied later, by `scope`; this is what decides
/// which objects are fetched, and with what.
#[derive(Clone, Debug)]
pub struct ReadRequest {
    pub wanted: Wanted,
    /// Pins of entries resolved before, by entry (kind and configured name).
    pub pins: BTreeMap<(Kind, String), Pin>,
    /// The time against which `accountExpires` is held.
    pub now: Timestamp,
    /// Only this server may answer: for a second look at what a first read has shown.
    pub server: Option<String>,
}

#[derive(Clone, Debug)]
pub struct Wanted {
    pub entries: Vec<ScopeEntry>,
    /// Follow groups in groups.
    pub nested: bool,
    /// An LDAP filter (RFC 4515) that people must match, evaluated by the server.
    pub user_filter: Option<String>,
    /// Count members by `primaryGroupID`.
    pub primary_group: bool,
    /// Read through distribution groups too.
    pub distribution_groups: bool,
    /// Attributes that the mapping needs, lower case, beside those that every read fetches.
    pub attributes: BTreeSet<String>,
}

/// Index into `Snapshot::users`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UserIx(pub u32);

/// Index into `Snapshot::groups`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct GroupIx(pub u32);

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ObjectRef {
    User(UserIx),
    Group(GroupIx),
}

#[derive(Clone, Debug)]
pub struct Snapshot {
    pub source: SourceInfo,
    /// One for each configured entry, in the config's order.
    pub entries: Vec<EntryRead>,
    /// Everyone who was read, in scope or not; ordered by anchor, each once.
    pub users: Vec<DirectoryUser>,
    /// Every group reached, containers included; ordered by anchor, each once.
    pub groups: Vec<DirectoryGroup>,
    pub findings: Vec<Finding>,
    /// When the next account expires that has not expired yet, by this machine's clock.
    pub next_expiry: Option<Timestamp>,
}

impl Snapshot {
    pub fn user(&self, ix: UserIx) -> &DirectoryUser {
        &self.users[ix.0 as usize]
    }

    pub fn group(&self, ix: GroupIx) -> &DirectoryGroup {
        &self.groups[ix.0 as usize]
    }
}

#[derive(Clone, Debug, Serialize)]
pub struct SourceInfo {
    pub kind: DirectoryKind,
    /// The one server (or file) that everything was read from.
    pub server: String,
    /// What a profile is bound to: the domain SID (AD) or the naming context.
    pub binding: String,
    /// The DNS domain of the base DN.
    pub domain: String,
    /// The server's clock, where it tells it (`currentTime` of the root DSE).
    pub current_time: Option<Timestamp>,
    /// How far that was ahead of this machine's clock when it was read, in seconds (behind: negative).
    pub clock_ahead: Option<i64>,
    /// Requests sent, pages and ranges counted singly.
    pub requests: u64,
    /// Entries received.
    pub received: u64,
}

#[derive(Clone, Debug)]
pub struct EntryRead {
    pub entry: ScopeEntry,
    pub outcome: EntryOutcome,
}

#[derive(Clone, Debug)]
pub enum EntryOutcome {
    /// Found, by its pin or (the first time) by its name. `name` is what it is called now (sAMAccountName,
    /// uid or cn); `renamed` says that the configured name is no longer its name.
    Resolved { object: ObjectRef, name: String, renamed: bool },
    /// The configured name is on another object than the one pinned. `pinned` is the old one where it can
    /// still be read: it keeps what it holds, and nothing is added or removed through the entry.
    Rebound { pinned: Option<ObjectRef>, pinned_anchor: Anchor, claimant: Anchor, claimant_dn: Dn },
    /// The object that the entry is pinned to was deleted, and the server shows its tombstone: the entry is empty.
    Deleted { anchor: Anchor, proof: DeletionProof },
    /// The search was complete and matched nothing.
    NotFound,
    /// The search was complete and matched more than one.
    Ambiguous(Vec<Dn>),
    /// Found, but not of a sort that is synced: not a person, a distribution group, a user where a group is
    /// named.
    Unsuitable(String),
    /// The search failed or was cut short.
    Unread(Shortfall),
}

impl EntryOutcome {
    /// Whether the entry was read well enough to say that something is *not* in it. A name that matches
    /// nothing proves nothing: the object may have been renamed, moved or hidden.
    pub fn is_complete(&self) -> bool {
        matches!(self, Self::Resolved { .. } | Self::Deleted { .. })
    }
}

#[derive(Clone, Debug)]
pub struct DirectoryUser {
    pub anchor: Anchor,
    pub dn: Dn,
    pub sid: Option<Sid>,
    pub account: AccountState,
    /// Whether the user filter matched; true where there is none.
    pub matches_filter: bool,
    /// `whenCreated` or `createTimestamp`.
    pub created: Option<Timestamp>,
    pub attributes: Attributes,
}

#[derive(Clone, Debug)]
pub struct DirectoryGroup {
    pub anchor: Anchor,
    pub dn: Dn,
    pub sid: Option<Sid>,
    /// `whenCreated` or `createTimestamp`.
    pub created: Option<Timestamp>,
    pub attributes: Attributes,
    pub members: MemberRead,
}

/// The direct members of one group, as far as they were read.
#[derive(Clone, Debug, Default)]
pub struct MemberRead {
    /// Indexes into `Snapshot::users`.
    pub users: RoaringBitmap,
    /// Those of `users` who are members by `primaryGroupID`.
    pub primary: RoaringBitmap,
    /// Indexes into `Snapshot::groups`.
    pub groups: RoaringBitmap,
    /// Whether the *list* of members was read to its end and each of them was looked up.
    pub completeness: Completeness,
    /// Members whose name is known and which the server says it cannot show.
    pub unreadable: Vec<UnreadableMember>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnreadableMember {
    pub dn: Dn,
    pub why: Unreadable,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Unreadable {
    /// Outside the base DN.
    OutsideBase,
    /// `CN=S-1-…,CN=ForeignSecurityPrincipals`: someone of another forest.
    ForeignSecurityPrincipal,
    /// The server answered completely and did not return it: hidden by a permission, or gone since.
    NotReturned,
    /// It lies below a naming context that the server referred to another one.
    Referred,
}

impl fmt::Display for Unreadable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::OutsideBase => "outside the base DN",
            Self::ForeignSecurityPrincipal => "a foreign security principal",
            Self::NotReturned => "not returned by the server (hidden or gone)",
            Self::Referred => "in another domain, to which the server referred",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_form_of_a_name_is_read_off_its_text() {
        assert!(matches!(NameForm::of("6b29fc40-ca47-1067-b31d-00dd010662da"), NameForm::Anchor(_)));
        assert!(matches!(NameForm::of("CN=AWS\\, Admins,DC=x"), NameForm::Dn(_)));
        assert!(matches!(NameForm::of("CORP\\alice"), NameForm::Domain { domain, name }
            if domain == "CORP" && name == "alice"));
        assert!(matches!(NameForm::of("alice@x.example"), NameForm::Address(_)));
        assert!(matches!(NameForm::of("AWS-Admins"), NameForm::Account(_)));
    }
}
