//! What a step's outcome changes in the profile's links, and what is said of a failure.

use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp};

use super::perform;
use crate::ids::{LinkNo, TargetId};
use crate::model::{Code, Digest, Disabled, Finding, Kind, Link, Origin, Retry, Subject, UserAttribute};
use crate::plan::{Action, Plan, Step};
use crate::target::{TargetError, TargetErrorKind};

/// The profile's links while a plan is applied.
#[derive(Debug, Default)]
pub struct Links(BTreeMap<LinkNo, Link>);

const FIRST_PAUSE: SignedDuration = SignedDuration::from_hours(1);
const LONGEST_PAUSE: SignedDuration = SignedDuration::from_hours(24);

impl Links {
    pub fn new(links: BTreeMap<LinkNo, Link>) -> Self {
        Self(links)
    }

    pub fn get(&self, no: LinkNo) -> Option<&Link> {
        self.0.get(&no)
    }

    pub fn get_mut(&mut self, no: LinkNo) -> Option<&mut Link> {
        self.0.get_mut(&no)
    }

    pub fn into_inner(self) -> BTreeMap<LinkNo, Link> {
        self.0
    }

    pub fn extend(&mut self, links: impl IntoIterator<Item = (LinkNo, Link)>) {
        self.0.extend(links);
    }

    pub fn iter(&self) -> impl Iterator<Item = &Link> {
        self.0.values()
    }

    pub fn target_id(&self, no: LinkNo) -> Option<TargetId> {
        self.0.get(&no).and_then(|l| l.target_id.clone())
    }

    /// What is true of the target now that the step is done. Returns the links that changed.
    pub(super) fn succeed(&mut self, step: &Step, id: Option<TargetId>, now: Timestamp) -> BTreeSet<LinkNo> {
        let mut changed: BTreeSet<LinkNo> = step.action.object().into_iter().collect();
        match &step.action {
            Action::RebindEntry { .. } | Action::RemoveStranger { .. } => changed.clear(),
            Action::CreateUser { user, attributes, again } => {
                if *again {
                    // Whatever the lost one was a member of, the new one is not.
                    for group in self.0.values_mut().filter(|l| l.kind == Kind::Group) {
                        if group.applied.remove(user.0) {
                            changed.insert(group.no);
                        }
                    }
                }
                if let Some(link) = self.0.get_mut(user) {
                    link.target_id = id;
                    link.origin = Origin::Created;
                    link.digest = Some(Digest::of_values(attributes));
                    link.name = attributes.get(UserAttribute::UserName).map(str::to_owned);
                    link.email = attributes.get(UserAttribute::Email).map(str::to_owned);
                    link.disabled = None;
                    link.retry = None;
                }
            }
            Action::CreateGroup { group, attributes, .. } => {
                if let Some(link) = self.0.get_mut(group) {
                    link.target_id = id;
                    link.origin = Origin::Created;
                    link.digest = Some(Digest::of_group(attributes));
                    link.name = Some(attributes.display_name.clone());
                    // Whatever a lost one held, this one is to be filled for the first time.
                    link.applied.clear();
                    link.filled = false;
                    link.retry = None;
                }
            }
            Action::AdoptUser { user: no, found, .. } | Action::AdoptGroup { group: no, found, .. } => {
                if let Some(link) = self.0.get_mut(no) {
                    link.target_id = id;
                    link.origin = Origin::Adopted;
                    link.digest = found.digest;
                    link.name = Some(found.name.clone());
                    link.email.clone_from(&found.email);
                    link.retry = None;
                    if let Action::AdoptGroup { present, .. } = &step.action {
                        link.applied = present.iter().map(|no| no.0).collect();
                    }
                }
            }
            Action::UpdateUser { user, after, digest, .. } => {
                if let Some(link) = self.0.get_mut(user) {
                    link.digest = *digest;
                    link.name = after.get(&UserAttribute::UserName).cloned();
                    link.email = after.get(&UserAttribute::Email).cloned();
                    link.retry = None;
                }
            }
            Action::UpdateGroup { group, after, digest, .. } => {
                if let Some(link) = self.0.get_mut(group) {
                    link.digest = *digest;
                    link.name = Some(after.display_name.clone());
                    link.retry = None;
                }
            }
            Action::DisableUser { user, cause, how, .. } => {
                if let Some(link) = self.0.get_mut(user) {
                    link.disabled = Some(Disabled { at: now, cause: *cause, how: *how });
                }
            }
            Action::EnableUser { user, .. } => {
                if let Some(link) = self.0.get_mut(user) {
                    link.disabled = None;
                }
            }
            Action::DeleteUser { user: no, .. } | Action::DeleteGroup { group: no, .. } => {
                changed.extend(self.forget(*no));
            }
            Action::AddMember { group, user } => {
                if let Some(link) = self.0.get_mut(group) {
                    link.applied.insert(user.0);
                }
            }
            Action::RemoveMember { group, user, .. } => {
                if let Some(link) = self.0.get_mut(group) {
                    link.applied.remove(user.0);
                }
            }
        }
        changed
    }

    /// The object is gone from the target for good: nothing is left of the tie but the object's number.
    pub fn forget(&mut self, no: LinkNo) -> BTreeSet<LinkNo> {
        let mut changed = BTreeSet::from([no]);
        for group in self.0.values_mut().filter(|l| l.kind == Kind::Group) {
            if group.applied.remove(no.0) {
                changed.insert(group.no);
            }
        }
        if let Some(link) = self.0.get_mut(&no) {
            link.untie();
        }
        changed
    }

    /// Something that the step needs is gone from the target: the next plan looks, and makes it again where it is
    /// still desired. Where the target did not say which, each end of a membership may be it.
    pub(super) fn miss(&mut self, step: &Step, what: Option<Kind>) -> BTreeSet<LinkNo> {
        let (object, member) = (step.action.object(), step.action.member());
        let missing = match what {
            Some(Kind::User) if member.is_some() => [None, member],
            Some(_) => [object, None],
            None => [object, member],
        };
        let mut changed = BTreeSet::new();
        for no in missing.into_iter().flatten() {
            if let Some(link) = self.0.get_mut(&no) {
                // Without a name, it is looked up whoever desires it.
                link.digest = None;
                link.name = None;
                changed.insert(no);
            }
        }
        changed
    }

    /// A refusal that a retry cannot mend is tried again with growing pauses; something that is gone is looked
    /// up at the next plan. Returns the links that changed.
    pub(super) fn fail(&mut self, step: &Step, error: &TargetError, now: Timestamp) -> BTreeSet<LinkNo> {
        let mut changed = BTreeSet::new();
        if let TargetErrorKind::NotFound(what) = error.kind {
            return self.miss(step, what);
        }
        let refused = match &step.action {
            Action::CreateUser { user, attributes, .. } => Some((*user, Digest::of_values(attributes))),
            Action::CreateGroup { group, attributes, .. } => Some((*group, Digest::of_group(attributes))),
            Action::UpdateUser { user, digest: Some(digest), .. } => Some((*user, *digest)),
            Action::UpdateGroup { group, digest: Some(digest), .. } => Some((*group, *digest)),
            _ => None,
        };
        if let Some((no, digest)) = refused
            && let Some(link) = self.0.get_mut(&no)
        {
            if !error.is_retryable() && error.kind != TargetErrorKind::AccessDenied {
                let attempts =
                    link.retry.as_ref().filter(|r| r.digest == digest).map_or(0, |r| r.attempts) + 1;
                let pause = (FIRST_PAUSE * (1_i32 << attempts.min(6).saturating_sub(1))).min(LONGEST_PAUSE);
                let not_before = now.saturating_add(pause).unwrap_or(now);
                let retry = Retry { attempts, not_before, code: error.code.clone(), digest };
                link.retry = Some(Box::new(retry));
            }
            // Part of it may have been done: the next plan asks.
            if link.target_id.is_some() {
                link.digest = None;
            }
            changed.insert(no);
        }
        changed
    }
}

/// One finding for a failed step.
pub(super) fn finding(plan: &Plan, step: &Step, error: &TargetError) -> Finding {
    let object = step.action.object().and_then(|no| plan.objects.get(&no));
    let member = step.action.member().map(|no| format!(" ({})", plan.label(no))).unwrap_or_default();
    let subject = match object {
        Some(o) => Subject {
            kind: perform::kind(plan, step),
            id: o.sid.as_ref().map_or_else(|| o.anchor.to_string(), ToString::to_string),
            label: o.label.clone(),
        },
        None => Subject { kind: None, id: plan.profile.clone(), label: plan.profile.clone() },
    };
    let (code, advice) = match error.kind {
        TargetErrorKind::Conflict => (
            Code::ConflictError,
            "something else in the target holds a value that must be unique; rename it, or let it be adopted",
        ),
        TargetErrorKind::Validation | TargetErrorKind::InPart => {
            (Code::TargetRefused, "correct the value in the directory or the mapping")
        }
        TargetErrorKind::Quota => (Code::TargetRefused, "raise the quota, or narrow the scope"),
        TargetErrorKind::AccessDenied if !error.is_of_permissions() => {
            (Code::TargetRefused, "`idcsync check` tells what of the target can be reached")
        }
        TargetErrorKind::AccessDenied => {
            (Code::TargetRefused, "give the caller's role the permission that the message names")
        }
        TargetErrorKind::NotFound(_) => {
            (Code::TargetObjectMissing, "it is looked up, and created again if need be, in the next cycle")
        }
        TargetErrorKind::Throttled | TargetErrorKind::Unavailable | TargetErrorKind::Ambiguous => {
            (Code::TargetFailed, "it is tried again in the next cycle")
        }
    };
    let action = step.action.sort().word();
    Finding::new(code, subject, format!("{action}{member}: {}: {}; {advice}", error.code, error.message))
}
