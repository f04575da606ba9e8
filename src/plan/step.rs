//! What a plan is made of: objects, and single writes on them, each with its reason.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::after::After;
use super::assigned::Assigned;
use super::sort::Sort;
use super::steps::Steps;
use crate::ids::{Anchor, Fingerprint, LinkNo, PlanId, Sid, TargetId};
use crate::model::{
    Absence, Digest, DisableCause, DisableHow, Finding, GroupAttributes, Kind, UserAttribute, UserAttributes,
    UserValues,
};
use crate::scope::Path;

/// Index of a step in its plan; steps come in the order in which they are to be begun.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct StepNo(pub u32);

/// What a cycle would do. Immutable; the order of everything in it is fixed by its content.
#[derive(Clone, Debug)]
pub struct Plan {
    pub profile: String,
    pub id: PlanId,
    /// Every object that a step names.
    pub objects: BTreeMap<LinkNo, Box<PlanObject>>,
    pub steps: Steps,
    /// Removals that would follow from the read if it were complete.
    pub withheld: Vec<Withheld>,
    /// Linked objects that were found to be as desired already: only this is to be recorded.
    pub confirmed: BTreeMap<LinkNo, Confirmed>,
    /// Groups that were read back: who of ours is a member there now.
    pub read_back: BTreeMap<LinkNo, BTreeSet<LinkNo>>,
    /// Linked objects that a step had not found and that are there: what they are called.
    pub found_again: BTreeMap<LinkNo, String>,
    /// Linked objects that are gone from the target and are not to come back: only this is to be recorded.
    pub vanished: BTreeSet<LinkNo>,
    /// The target was read back for it.
    pub full: bool,
    pub base: Base,
    pub findings: Vec<Finding>,
    /// Beside the steps, and no part of them.
    pub assigned: Assigned,
}

/// What limits are held against.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Base {
    pub linked_users: u64,
    /// Linked, and not disabled by idcsync.
    pub active_users: u64,
    pub linked_groups: u64,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlanObject {
    pub kind: Kind,
    pub anchor: Anchor,
    /// userName or displayName, as desired; the DN's leaf where there is neither.
    pub label: String,
    pub dn: Arc<str>,
    pub sid: Option<Sid>,
    /// `None` where a step of this plan makes it.
    pub target_id: Option<TargetId>,
    /// Groups: members before this plan, and whether it has been filled once.
    pub members: u64,
    pub filled: bool,
}

/// What an object that is to be taken over has in the target now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    pub name: String,
    pub email: Option<String>,
    /// Where it is as desired already.
    pub digest: Option<Digest>,
}

impl Found {
    pub(super) fn of_user(attributes: &UserAttributes) -> Self {
        Self {
            name: attributes.get(&UserAttribute::UserName).cloned().unwrap_or_default(),
            email: attributes.get(&UserAttribute::Email).cloned(),
            digest: None,
        }
    }
}

/// A linked object that was looked up and is as desired.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Confirmed {
    pub digest: Digest,
    pub name: String,
    pub email: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Withheld {
    #[serde(skip)]
    pub group: LinkNo,
    /// The SID, else the anchor.
    pub group_id: String,
    pub group_label: String,
    pub members: u64,
    /// Who they are.
    #[serde(skip)]
    pub users: Vec<LinkNo>,
    pub why: String,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    pub action: Action,
    pub reason: Reason,
    /// Steps that must have been done before; earlier ones all.
    pub after: After,
}

/// What is large stands apart, so that a membership takes little room.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Lets a scope entry follow its name to another object. Writes to the state only.
    RebindEntry {
        kind: Kind,
        name: String,
        from: Box<Anchor>,
        to: Box<Anchor>,
    },
    CreateUser {
        user: LinkNo,
        attributes: UserValues,
        again: bool,
    },
    /// Takes over an existing user of the target. Writes to the state only.
    AdoptUser {
        user: LinkNo,
        id: TargetId,
        same_anchor: bool,
        found: Box<Found>,
    },
    /// `digest`: of what is desired, where the step brings that about.
    UpdateUser {
        user: LinkNo,
        purpose: Purpose,
        changes: Box<[Change]>,
        after: Box<UserAttributes>,
        digest: Option<Digest>,
    },
    CreateGroup {
        group: LinkNo,
        attributes: Box<GroupAttributes>,
        again: bool,
    },
    /// Takes over an existing group and those of its members who are linked or adopted too.
    AdoptGroup {
        group: LinkNo,
        id: TargetId,
        same_anchor: bool,
        found: Box<Found>,
        present: Box<BTreeSet<LinkNo>>,
    },
    UpdateGroup {
        group: LinkNo,
        purpose: Purpose,
        before: Box<GroupAttributes>,
        after: Box<GroupAttributes>,
        digest: Option<Digest>,
    },
    AddMember {
        group: LinkNo,
        user: LinkNo,
    },
    RemoveMember {
        group: LinkNo,
        user: LinkNo,
        proof: Absence,
        suspects: Option<Box<BTreeSet<LinkNo>>>,
    },
    /// `how` Deactivated writes to the target; the others to the state only, after the memberships are gone.
    DisableUser {
        user: LinkNo,
        cause: DisableCause,
        how: DisableHow,
        proof: Absence,
    },
    /// The reverse, of what idcsync itself disabled.
    EnableUser {
        user: LinkNo,
        how: DisableHow,
    },
    /// `waited`: for `delete-after`, so that it rests on the clock.
    DeleteUser {
        user: LinkNo,
        cause: DisableCause,
        proof: Absence,
        waited: bool,
    },
    DeleteGroup {
        group: LinkNo,
        proof: Absence,
        waited: bool,
    },
    /// Removes a member of a managed group who belongs to nobody in the directory.
    RemoveStranger {
        group: LinkNo,
        user: TargetId,
        label: Box<str>,
        proof: Absence,
    },
}

/// Why an object is updated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Purpose {
    /// The directory has other values.
    Values,
    /// It is no longer desired and gives its name to a newcomer.
    Yield,
    /// First half of a swap of names.
    Park,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Change {
    pub attribute: UserAttribute,
    pub old: Option<String>,
    pub new: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reason {
    /// Many are by the same one.
    InScope(Option<Arc<Path>>),
    /// In scope, and gone from the target though it was linked.
    GoneFromTarget,
    DirectoryChanged,
    /// The label of the newcomer.
    NameTakenBy(Box<str>),
    SwapOfNames,
    SameName(Box<str>),
    /// The target shows the object's anchor as the external id.
    SameAnchor,
    DirectMember,
    /// Through the nested group with this number.
    MemberThrough(LinkNo),
    Proof(Absence),
    /// Out of scope since then.
    OutSince(Timestamp, Absence),
    /// Deleted in the directory; the proof was first seen then.
    DeletedSince(Timestamp, Absence),
    PausedSince(Timestamp),
    OutOfReachSince(Timestamp),
    /// Desired again, and disabled by idcsync.
    BackInScope(DisableCause),
    /// Disabled by idcsync, and enabled in the target by someone else.
    EnabledByOthers,
    /// The target has other values than idcsync wrote.
    TargetChanged,
    NotInDirectory,
    EntryRebound,
}

impl Step {
    /// Whether it follows from time that has gone by, or from an expiry that seems not to have come yet.
    pub fn rests_on_time(&self) -> bool {
        self.action.rests_on_time() || self.reason == Reason::BackInScope(DisableCause::AccountExpired)
    }
}

impl Action {
    pub fn sort(&self) -> Sort {
        match self {
            Self::RebindEntry { .. } => Sort::RebindEntry,
            Self::CreateUser { .. } => Sort::CreateUser,
            Self::AdoptUser { .. } => Sort::AdoptUser,
            Self::UpdateUser { .. } => Sort::UpdateUser,
            Self::CreateGroup { .. } => Sort::CreateGroup,
            Self::AdoptGroup { .. } => Sort::AdoptGroup,
            Self::UpdateGroup { .. } => Sort::UpdateGroup,
            Self::AddMember { .. } => Sort::AddMember,
            Self::RemoveMember { .. } | Self::RemoveStranger { .. } => Sort::RemoveMember,
            Self::DisableUser { how: DisableHow::Deactivated, .. } => Sort::DisableUser,
            Self::DisableUser { how: DisableHow::Revoked, .. } => Sort::RevokeUser,
            Self::DisableUser { how: DisableHow::Reported, .. } => Sort::ReportUser,
            Self::EnableUser { how: DisableHow::Deactivated, .. } => Sort::EnableUser,
            Self::EnableUser { .. } => Sort::RestoreUser,
            Self::DeleteUser { .. } => Sort::DeleteUser,
            Self::DeleteGroup { .. } => Sort::DeleteGroup,
        }
    }

    /// The proof that a step which takes something away rests on.
    pub fn proof(&self) -> Option<Absence> {
        match self {
            Self::RemoveMember { proof, .. }
            | Self::RemoveStranger { proof, .. }
            | Self::DisableUser { proof, .. }
            | Self::DeleteUser { proof, .. }
            | Self::DeleteGroup { proof, .. } => Some(*proof),
            _ => None,
        }
    }

    /// Whether it follows from time that has gone by.
    fn rests_on_time(&self) -> bool {
        let waited = match self {
            Self::DisableUser { cause, .. } => cause.rests_on_time(),
            Self::DeleteUser { cause, waited, .. } => *waited || cause.rests_on_time(),
            Self::DeleteGroup { waited, .. } => *waited,
            _ => false,
        };
        waited || self.proof().is_some_and(|proof| proof.rests_on_time())
    }

    pub fn deletes(&self) -> bool {
        matches!(self, Self::DeleteUser { .. } | Self::DeleteGroup { .. })
    }

    /// Whether somebody loses the use of the target by it.
    pub fn disables(&self) -> bool {
        matches!(self, Self::DisableUser { how: DisableHow::Deactivated | DisableHow::Revoked, .. })
    }

    /// The object that the step is on; memberships are on their group. `None` for a scope entry.
    pub fn object(&self) -> Option<LinkNo> {
        match self {
            Self::RebindEntry { .. } => None,
            Self::CreateUser { user, .. }
            | Self::AdoptUser { user, .. }
            | Self::UpdateUser { user, .. }
            | Self::DisableUser { user, .. }
            | Self::EnableUser { user, .. }
            | Self::DeleteUser { user, .. } => Some(*user),
            Self::DeleteGroup { group, .. }
            | Self::CreateGroup { group, .. }
            | Self::AdoptGroup { group, .. }
            | Self::UpdateGroup { group, .. }
            | Self::AddMember { group, .. }
            | Self::RemoveMember { group, .. }
            | Self::RemoveStranger { group, .. } => Some(*group),
        }
    }

    /// The person of a membership step.
    pub fn member(&self) -> Option<LinkNo> {
        match self {
            Self::AddMember { user, .. } | Self::RemoveMember { user, .. } => Some(*user),
            _ => None,
        }
    }

    /// Whether the target is written to.
    pub fn writes_target(&self) -> bool {
        match self {
            Self::RebindEntry { .. } | Self::AdoptUser { .. } | Self::AdoptGroup { .. } => false,
            Self::DisableUser { how, .. } | Self::EnableUser { how, .. } => *how == DisableHow::Deactivated,
            _ => true,
        }
    }

    /// Whether it changes a userName or leaves an attribute empty. The first half of a swap is not counted beside the
    /// second.
    pub fn renames_or_empties(&self) -> bool {
        match self {
            Self::UpdateUser { purpose: Purpose::Park, .. } => false,
            Self::UpdateUser { changes, .. } => {
                changes.iter().any(|c| c.new.is_none() || c.attribute == UserAttribute::UserName)
            }
            Self::UpdateGroup { before, after, .. } => {
                before.description.is_some() && after.description.is_none()
            }
            _ => false,
        }
    }

    /// Whether somebody or something loses by it: access, a membership, a name, a value.
    pub fn takes_away(&self) -> bool {
        match self {
            Self::DeleteUser { .. }
            | Self::DeleteGroup { .. }
            | Self::DisableUser { .. }
            | Self::RemoveMember { .. }
            | Self::RemoveStranger { .. }
            | Self::UpdateUser { purpose: Purpose::Yield, .. }
            | Self::UpdateGroup { purpose: Purpose::Yield, .. } => true,
            Self::UpdateUser { changes, .. } => changes.iter().any(|c| c.new.is_none()),
            Self::UpdateGroup { before, after, .. } => {
                before.description.is_some() && after.description.is_none()
            }
            _ => false,
        }
    }

    /// Whether it is the first half of a swap.
    pub fn parks(&self) -> bool {
        matches!(
            self,
            Self::UpdateUser { purpose: Purpose::Park, .. }
                | Self::UpdateGroup { purpose: Purpose::Park, .. }
        )
    }

    /// Whether it serves only steps that come after it: nobody is to be moved aside for those that are held.
    pub fn makes_room(&self) -> bool {
        matches!(
            self,
            Self::UpdateUser { purpose: Purpose::Park | Purpose::Yield, .. }
                | Self::UpdateGroup { purpose: Purpose::Park | Purpose::Yield, .. }
        )
    }

    /// Whether a linked object that was gone is made anew.
    pub fn recreates(&self) -> bool {
        matches!(self, Self::CreateUser { again: true, .. } | Self::CreateGroup { again: true, .. })
    }
}

impl Plan {
    pub fn step(&self, no: StepNo) -> Cow<'_, Step> {
        self.steps.get(no)
    }

    pub fn numbered(&self) -> impl Iterator<Item = (StepNo, Cow<'_, Step>)> {
        self.steps.numbered()
    }

    /// Steps that a cycle which does not read the target back would not plan: as long as one of them waits, the next
    /// cycle has to be a full one.
    pub fn found_by_full_cycles(&self) -> BTreeSet<StepNo> {
        let adopts = |s: &Cow<'_, Step>| s.action.sort() == Sort::AdoptGroup;
        let adopted: BTreeSet<Option<LinkNo>> =
            self.steps.iter().filter(adopts).map(|s| s.action.object()).collect();
        let of_drift = |step: &Step| match (&step.action, &step.reason) {
            (Action::RemoveStranger { .. }, _) => !adopted.contains(&step.action.object()),
            (_, Reason::TargetChanged | Reason::EnabledByOthers | Reason::GoneFromTarget) => self.full,
            _ => false,
        };
        self.numbered().filter(|(_, step)| of_drift(step)).map(|(no, _)| no).collect()
    }

    pub fn label(&self, no: LinkNo) -> &str {
        self.objects.get(&no).map_or("?", |o| o.label.as_str())
    }

    pub fn counts(&self) -> BTreeMap<Sort, u64> {
        let mut counts = BTreeMap::new();
        for step in self.steps.iter() {
            *counts.entry(step.action.sort()).or_default() += 1;
        }
        counts
    }

    /// The step by its content: the same in every plan that has it.
    pub fn fingerprint(&self, step: &Step) -> Fingerprint {
        let mut hasher = Sha256::new();
        let mut add = |text: &[u8]| {
            hasher.update((text.len() as u64).to_le_bytes());
            hasher.update(text);
        };
        add(self.profile.as_bytes());
        add(step.action.sort().word().as_bytes());
        // Who joins may be created by the very cycle that holds the joining, and has an id when it is approved.
        let joins = matches!(step.action, Action::AddMember { .. });
        for (no, by_id) in [(step.action.object(), true), (step.action.member(), !joins)] {
            if let Some(object) = no.and_then(|no| self.objects.get(&no)) {
                add(object.anchor.as_bytes());
                let id = object.target_id.as_ref().filter(|_| by_id);
                add(id.map_or("", TargetId::as_str).as_bytes());
            }
        }
        match &step.action {
            Action::RebindEntry { kind, name, from, to } => {
                add(kind.to_string().as_bytes());
                add(name.as_bytes());
                add(from.as_bytes());
                add(to.as_bytes());
            }
            Action::CreateUser { attributes, again, .. } => {
                add(if *again { b"again" } else { b"" });
                for (attribute, value) in attributes.iter() {
                    add(attribute.path().as_bytes());
                    add(value.as_bytes());
                }
            }
            Action::AdoptUser { id, .. } | Action::AdoptGroup { id, .. } => add(id.as_str().as_bytes()),
            Action::UpdateUser { changes, .. } => {
                for change in changes {
                    add(change.attribute.path().as_bytes());
                    add(change.old.as_deref().unwrap_or_default().as_bytes());
                    add(change.new.as_deref().unwrap_or_default().as_bytes());
                }
            }
            Action::CreateGroup { attributes, again, .. } => {
                add(if *again { b"again" } else { b"" });
                add_group(&mut add, attributes);
            }
            Action::UpdateGroup { before, after, .. } => {
                add_group(&mut add, before);
                add_group(&mut add, after);
            }
            Action::AddMember { .. } => {}
            Action::DisableUser { cause, how, proof, .. } => {
                add(cause.word().as_bytes());
                add(how.word().as_bytes());
                add(proof.word().as_bytes());
            }
            Action::EnableUser { how, .. } => add(how.word().as_bytes()),
            Action::DeleteUser { cause, proof, .. } => {
                add(cause.word().as_bytes());
                add(proof.word().as_bytes());
            }
            Action::RemoveMember { proof, .. } | Action::DeleteGroup { proof, .. } => {
                add(proof.word().as_bytes());
            }
            Action::RemoveStranger { user, proof, .. } => {
                add(user.as_str().as_bytes());
                add(proof.word().as_bytes());
            }
        }
        Fingerprint::new(hex(&hasher.finalize()[..16]))
    }

    /// The same steps make the same id, whoever plans them and when.
    pub(super) fn id_of(&self) -> PlanId {
        let mut hasher = Sha256::new();
        for step in self.steps.iter() {
            hasher.update(self.fingerprint(&step).as_str().as_bytes());
        }
        PlanId::new(hex(&hasher.finalize()[..6]))
    }
}

fn add_group(add: &mut impl FnMut(&[u8]), attributes: &GroupAttributes) {
    add(attributes.display_name.as_bytes());
    add(attributes.description.as_deref().unwrap_or_default().as_bytes());
    add(attributes.external_id.as_deref().unwrap_or_default().as_bytes());
}

pub(super) fn hex(bytes: &[u8]) -> String {
    let digit = |nibble: u8| char::from_digit(u32::from(nibble), 16).unwrap_or_default();
    bytes.iter().flat_map(|b| [digit(b >> 4), digit(b & 15)]).collect()
}
