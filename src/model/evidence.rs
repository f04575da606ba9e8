//! How much a read allows one to conclude.
//!
//! Presence needs no proof. Absence does: whatever takes something away is built from an [`Absence`], and an
//! `Absence` of membership or of scope can only be made by a [`Closure`] that was read completely.

use std::fmt;

use jiff::{SignedDuration, Timestamp};
use roaring::RoaringBitmap;
use serde::{Deserialize, Serialize};

use super::fate::DeletionProof;
use crate::ids::LinkNo;

/// One thing that was not read, and why.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Shortfall {
    pub kind: ShortfallKind,
    /// What was being read, for a person: `members of CN=…`, `entry AWS-Admins`.
    pub what: String,
    /// What the server or the network said.
    pub detail: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ShortfallKind {
    /// The connection ended or was reset in the middle.
    ConnectionLost,
    /// Nothing came for the configured time.
    Timeout,
    /// A page ended with a result code other than success (RFC 4511 section 4.1.9).
    ResultCode(u32),
    /// sizeLimitExceeded (4), timeLimitExceeded (3) or adminLimitExceeded (11).
    Limit,
    /// A continuation reference was left that may hide what was asked for.
    Referral,
    /// A ranged attribute did not reach its last value.
    Range,
    /// An export without its end marker.
    Truncated,
    /// A value could not be understood.
    Malformed,
    /// An attribute that the decision needs could not be read.
    AttributeUnreadable,
}

impl fmt::Display for Shortfall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.what, self.detail)
    }
}

/// Whether one part was read to its end.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Completeness {
    #[default]
    Complete,
    Incomplete(Vec<Shortfall>),
}

impl Completeness {
    pub fn is_complete(&self) -> bool {
        matches!(self, Self::Complete)
    }

    pub fn shortfalls(&self) -> &[Shortfall] {
        match self {
            Self::Complete => &[],
            Self::Incomplete(list) => list,
        }
    }

    pub fn mark(&mut self, shortfall: Shortfall) {
        match self {
            Self::Complete => *self = Self::Incomplete(vec![shortfall]),
            Self::Incomplete(list) => {
                if !list.contains(&shortfall) {
                    list.push(shortfall);
                }
            }
        }
    }
}

/// Whether the directory lets the person sign in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum AccountState {
    Enabled,
    Disabled,
    Expired,
    /// The attribute that tells could not be read: nothing is concluded.
    Unknown,
}

impl AccountState {
    /// By what the directory says, nobody signs in with it.
    pub fn is_shut(self) -> bool {
        matches!(self, Self::Disabled | Self::Expired)
    }
}

/// Everyone reached from one group, or from the whole scope: who certainly is, and who might be.
///
/// The lower bound is what was positively read. The upper bound is everybody (`None`) where some list below
/// was not read to its end; otherwise the lower bound and whoever might hide behind a member that the server
/// cannot show.
#[derive(Clone, Debug, Default)]
pub struct Closure {
    certain: RoaringBitmap,
    possible: Option<RoaringBitmap>,
    shortfalls: Vec<Shortfall>,
    /// A member below that the server cannot show may be anyone, known to us or not.
    veiled: bool,
    /// Why some who were not read are still possible: the read was not confirmed.
    doubts: Vec<String>,
}

impl Closure {
    /// All below was read; `hidden` is who may be a member through something that the server cannot show.
    pub fn complete(certain: RoaringBitmap, hidden: &RoaringBitmap) -> Self {
        let possible = Some(&certain | hidden);
        Self { certain, possible, ..Self::default() }
    }

    /// Some member below could not be shown: who is unknown here may be that one.
    pub fn veiled(self, veiled: bool) -> Self {
        Self { veiled, ..self }
    }

    /// Something below was not read: anyone might be a member.
    pub fn incomplete(certain: RoaringBitmap, shortfalls: Vec<Shortfall>) -> Self {
        Self { certain, possible: None, shortfalls, ..Self::default() }
    }

    /// These were not read and yet may be in: another look did not confirm it, or is still to come. Never proves
    /// more than before.
    pub fn doubt(&mut self, people: &RoaringBitmap, why: &str) {
        let Some(possible) = &mut self.possible else { return };
        if people.is_subset(possible) {
            return;
        }
        *possible |= people;
        self.unsettle(why);
    }

    /// The read was not confirmed: nothing is concluded about whom it does not know.
    pub fn unsettle(&mut self, why: &str) {
        if !self.doubts.iter().any(|d| d == why) {
            self.doubts.push(why.to_owned());
        }
    }

    pub fn doubts(&self) -> &[String] {
        &self.doubts
    }

    pub fn certain(&self) -> &RoaringBitmap {
        &self.certain
    }

    pub fn is_complete(&self) -> bool {
        self.possible.is_some()
    }

    pub fn shortfalls(&self) -> &[Shortfall] {
        &self.shortfalls
    }

    /// Whether someone is certainly not a member.
    pub fn excludes(&self, user: LinkNo) -> bool {
        self.possible.as_ref().is_some_and(|p| !p.contains(user.0))
    }

    /// Those of `people` who are certainly not members.
    pub fn absent_of(&self, people: &RoaringBitmap) -> RoaringBitmap {
        self.possible.as_ref().map_or_else(RoaringBitmap::new, |p| people - p)
    }

    /// Proof that someone is not a member of the group that this is the closure of; `None` where it was not
    /// read well enough.
    pub fn not_a_member(&self, user: LinkNo) -> Option<Absence> {
        self.excludes(user).then_some(Absence(Proof::NotAMember))
    }

    /// Proof that a member in the target who belongs to nobody in the directory is not one of this group's: each of
    /// the group's members was read and shown.
    pub fn not_a_stranger(&self) -> Option<Absence> {
        (self.is_complete() && !self.veiled && self.doubts.is_empty()).then_some(Absence(Proof::NotAMember))
    }

    /// Proof that a group is not reached from the scope that this is the closure of; the caller has not reached it.
    pub fn group_out_of_scope(&self) -> Option<Absence> {
        (self.is_complete() && !self.veiled && self.doubts.is_empty())
            .then_some(Absence(Proof::GroupOutOfScope))
    }

    /// Proof that someone is out of the scope that this is the closure of.
    pub fn out_of_scope(&self, user: LinkNo) -> Option<Absence> {
        self.excludes(user).then_some(Absence(Proof::OutOfScope))
    }
}

/// Why it is known that something may be taken away. Cannot be made without a read that proves it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(transparent)]
pub struct Absence(Proof);

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
enum Proof {
    NotAMember,
    OutOfScope,
    ReadAsDisabled,
    ReadAsExpired,
    FilterNotMatched,
    GroupOutOfScope,
    Deleted(DeletionProof),
    Paused,
    OutOfReach,
}

impl Absence {
    /// From a deletion that the directory itself reports, or an absence that has lasted as long as the config demands.
    pub fn from_deletion(proof: DeletionProof) -> Self {
        Self(Proof::Deleted(proof))
    }

    /// From a pause that has lasted for longer than `limit`, of which was warned a day before.
    pub fn from_pause(
        since: Timestamp,
        warned: Option<Timestamp>,
        limit: SignedDuration,
        now: Timestamp,
    ) -> Option<Self> {
        let warned = warned.is_some_and(|at| now.duration_since(at) >= SignedDuration::from_hours(24));
        (warned && now.duration_since(since) > limit).then_some(Self(Proof::Paused))
    }

    /// From a directory of which nothing could be read for longer than `limit`. No more than a proposal: the guard
    /// holds it whatever its size.
    pub fn from_outage(last_read: Timestamp, limit: SignedDuration, now: Timestamp) -> Option<Self> {
        (now.duration_since(last_read) > limit).then_some(Self(Proof::OutOfReach))
    }

    /// Whether the read that it rests on must be confirmed by a second one: nothing was seen, and that is all.
    pub fn rests_on_absence(&self) -> bool {
        matches!(self.0, Proof::NotAMember | Proof::OutOfScope | Proof::GroupOutOfScope)
            || self.is_long_absence()
    }

    /// Of the scope as a whole, not of one group.
    pub fn is_of_scope(&self) -> bool {
        matches!(self.0, Proof::OutOfScope | Proof::GroupOutOfScope)
    }

    /// Of the person, whatever the groups say.
    pub fn is_of_person(&self) -> bool {
        matches!(
            self.0,
            Proof::ReadAsDisabled | Proof::ReadAsExpired | Proof::FilterNotMatched | Proof::Deleted(_)
        )
    }

    /// Not found for long, and nothing more.
    pub fn is_long_absence(&self) -> bool {
        self.0 == Proof::Deleted(DeletionProof::LongAbsence)
    }

    /// Whether a wrong clock can have made it.
    pub fn rests_on_time(&self) -> bool {
        matches!(self.0, Proof::ReadAsExpired | Proof::Paused | Proof::OutOfReach) || self.is_long_absence()
    }

    pub fn is_of_pause(&self) -> bool {
        self.0 == Proof::Paused
    }

    pub fn is_of_outage(&self) -> bool {
        self.0 == Proof::OutOfReach
    }

    /// From an account positively read as one that may not sign in.
    pub fn from_account(state: AccountState) -> Option<Self> {
        match state {
            AccountState::Disabled => Some(Self(Proof::ReadAsDisabled)),
            AccountState::Expired => Some(Self(Proof::ReadAsExpired)),
            AccountState::Enabled | AccountState::Unknown => None,
        }
    }

    /// From a person who was read and whom the server did not count among those who match the user filter.
    pub fn from_filter(matches: bool) -> Option<Self> {
        (!matches).then_some(Self(Proof::FilterNotMatched))
    }

    /// A word that is stable in JSON and in fingerprints.
    pub fn word(&self) -> &'static str {
        match self.0 {
            Proof::NotAMember => "not-a-member",
            Proof::OutOfScope => "out-of-scope",
            Proof::ReadAsDisabled => "read-as-disabled",
            Proof::ReadAsExpired => "read-as-expired",
            Proof::FilterNotMatched => "filter-not-matched",
            Proof::GroupOutOfScope => "group-out-of-scope",
            Proof::Deleted(proof) => proof.word(),
            Proof::Paused => "paused",
            Proof::OutOfReach => "out-of-reach",
        }
    }
}

impl fmt::Display for Absence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.0 {
            Proof::NotAMember => {
                "no longer a member, directly or nested: every group below was read completely"
            }
            Proof::OutOfScope => "out of scope: every scope entry was read completely",
            Proof::ReadAsDisabled => "the account was read as disabled",
            Proof::ReadAsExpired => "the account was read as expired",
            Proof::FilterNotMatched => "no longer matches the user filter",
            Proof::GroupOutOfScope => {
                "the group is no longer reached from the scope: every scope entry was read completely"
            }
            Proof::Deleted(DeletionProof::Tombstone) => "deleted in the directory: its tombstone was read",
            Proof::Deleted(DeletionProof::ChangeLog) => "deleted in the directory: its change log reports it",
            Proof::Deleted(DeletionProof::LongAbsence) => {
                "not found in the directory for longer than lifecycle.delete-on-absence"
            }
            Proof::Paused => "the profile has been paused for longer than lifecycle.disable-after",
            Proof::OutOfReach => {
                "the directory has been out of reach for longer than lifecycle.disable-after"
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_incomplete_closure_proves_nothing() {
        let shortfall =
            Shortfall { kind: ShortfallKind::Timeout, what: "x".to_owned(), detail: "silent".to_owned() };
        let closure = Closure::incomplete(RoaringBitmap::from_iter([1]), vec![shortfall]);
        assert_eq!(closure.not_a_member(LinkNo(2)), None);
        assert!(closure.absent_of(&RoaringBitmap::from_iter([2, 3])).is_empty());
    }

    #[test]
    fn a_complete_closure_proves_absence_except_behind_a_hidden_member() {
        let closure = Closure::complete(RoaringBitmap::from_iter([1]), &RoaringBitmap::from_iter([2]));
        assert_eq!(closure.not_a_member(LinkNo(1)), None);
        assert_eq!(closure.not_a_member(LinkNo(2)), None);
        assert!(closure.not_a_member(LinkNo(3)).is_some());
    }

    #[test]
    fn an_unreadable_account_proves_nothing() {
        assert_eq!(Absence::from_account(AccountState::Unknown), None);
        assert_eq!(Absence::from_account(AccountState::Enabled), None);
        assert!(Absence::from_account(AccountState::Disabled).is_some());
    }
}
