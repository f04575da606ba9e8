//! The life of a linked object: one rule (out of scope for longer than `disable-after`) and three events (deleted, or
//! shut, in the directory; gone from the target).
//!
//! Pure: links, what was read, the time of the last complete read, now and the policy decide.

use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp};

use super::draft::{self, Drafts};
use super::policy::{DisableMethod, Lifecycle, OnDelete, OnDisable};
use super::step::{Action, Plan, Reason, Step};
use super::{Inputs, Sweep};
use crate::ids::LinkNo;
use crate::model::{
    Absence, AccountState, Code, Deleted, DeletionProof, DisableCause, DisableHow, Fate, Finding, Kind, Link,
    ObservedUser, Subject,
};

/// What is to happen to one linked object as a whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct End {
    pub action: Action,
    pub reason: Reason,
}

/// What becomes of linked objects, beside their values and memberships.
#[derive(Debug, Default)]
pub struct Ends {
    /// Disabled or deleted.
    pub out: BTreeMap<LinkNo, End>,
    /// Enabled again.
    pub back: BTreeMap<LinkNo, End>,
    /// Gone from the target, and not to come back.
    pub vanished: BTreeSet<LinkNo>,
    pub findings: Vec<Finding>,
}

/// Reads further apart than this count as a break even where `disable-after` is shorter: else a weekly job would never
/// disable anybody.
const SHORTEST_BREAK: SignedDuration = SignedDuration::from_hours(8 * 24);

/// Time that has gone by, as far as reads have witnessed it.
#[derive(Clone, Copy, Debug)]
pub struct Elapsed {
    pub now: Timestamp,
    pub last_complete_read: Option<Timestamp>,
    /// However incomplete.
    pub last_read: Option<Timestamp>,
    pub disable_after: SignedDuration,
}

impl Elapsed {
    /// Nobody looked for longer than the whole of `disable-after` (a job that did not run, a database restored from
    /// an old copy): whoever was outside then may have been back for weeks. The count begins anew.
    pub fn is_broken(&self) -> bool {
        self.is_too_long(self.last_complete_read)
    }

    /// The same for what follows from any read, however incomplete.
    pub fn is_unread(&self) -> bool {
        self.is_too_long(self.last_read)
    }

    fn is_too_long(&self, last: Option<Timestamp>) -> bool {
        let limit = self.disable_after.max(SHORTEST_BREAK);
        last.is_some_and(|last| self.now.duration_since(last) > limit)
    }

    /// The rule. `positive`: that someone is outside follows from any read (the user filter), not from complete ones.
    pub fn is_overdue(&self, out_since: Option<Timestamp>, positive: bool) -> bool {
        let broken = if positive { self.is_unread() } else { self.is_broken() };
        !broken && out_since.is_some_and(|first| self.now.duration_since(first) > self.disable_after)
    }
}

impl Inputs<'_> {
    pub fn elapsed(&self) -> Elapsed {
        Elapsed {
            now: self.now,
            last_complete_read: self.known.last_complete_read,
            last_read: self.known.last_read,
            disable_after: self.policy.lifecycle.disable_after,
        }
    }

    /// Linked, looked up in the target, and not there. A link without a name is one that a step did not find.
    pub(super) fn is_gone(&self, link: &Link) -> bool {
        let Some(id) = link.target_id.as_ref().filter(|_| self.full || link.name.is_none()) else {
            return false;
        };
        match link.kind {
            Kind::User => !self.observed.users.contains_key(id),
            Kind::Group => !self.observed.groups.contains_key(id),
        }
    }

    /// What is known of a linked object's deletion in the directory, this cycle's look-ups included.
    pub fn deletion(&self, link: &Link) -> Option<Deleted> {
        let read = self.scope.users().contains_key(&link.no) || self.scope.groups().contains_key(&link.no);
        if read {
            return None;
        }
        match self.fates.get(&link.no) {
            Some(Fate::Present { .. }) => None,
            Some(Fate::Deleted(proof)) => {
                let since = link.deleted.map_or(self.now, |d| d.since);
                Some(Deleted { since, proof: *proof })
            }
            Some(Fate::Absent) => link.deleted.or_else(|| self.long_absence(link)),
            Some(Fate::Unread(_)) | None => link.deleted,
        }
    }

    /// Whether the proof has been looked at again: nobody is deleted on the strength of an old one. A tombstone that is
    /// not there any more may have become a live object somewhere out of sight; a change log says a thing once.
    fn is_seen_deleted(&self, no: LinkNo, deleted: Deleted) -> bool {
        match self.fates.get(&no) {
            Some(Fate::Deleted(_)) => true,
            Some(Fate::Absent) => deleted.proof != DeletionProof::Tombstone,
            Some(Fate::Present { .. } | Fate::Unread(_)) | None => false,
        }
    }

    /// Servers without tombstones: not found for as long as the config demands.
    fn long_absence(&self, link: &Link) -> Option<Deleted> {
        let limit = self.policy.lifecycle.delete_on_absence?;
        let since = link.absent_since?;
        let long = !self.elapsed().is_unread() && self.now.duration_since(since) > limit;
        // From when it was long enough; not kept, so that it can still turn up.
        let since = since.saturating_add(limit).unwrap_or(self.now);
        long.then_some(Deleted { since, proof: DeletionProof::LongAbsence })
    }

    /// Positively read: the directory does not let this one sign in.
    fn shut(&self, no: LinkNo) -> Option<(DisableCause, Absence)> {
        let account = match (self.scope.users().get(&no), self.fates.get(&no)) {
            (Some(user), _) => user.account,
            (None, Some(Fate::Present { account, .. })) => *account,
            (None, _) => return None,
        };
        let cause = match account {
            AccountState::Disabled => DisableCause::AccountDisabled,
            AccountState::Expired => DisableCause::AccountExpired,
            AccountState::Enabled | AccountState::Unknown => return None,
        };
        let ignored = self.policy.lifecycle.on_directory_disable == OnDisable::Ignore;
        Absence::from_account(account).filter(|_| !ignored).map(|proof| (cause, proof))
    }

    /// Why someone is to be a member of nothing, whatever the scope says.
    pub(super) fn barred(&self, link_no: LinkNo) -> Option<Absence> {
        let deleted = self.known.links.get(&link_no).and_then(|l| self.deletion(l));
        let by_filter =
            || self.scope.users().get(&link_no).and_then(|u| Absence::from_filter(u.matches_filter));
        (deleted.map(|d| Absence::from_deletion(d.proof)))
            .or_else(|| self.shut(link_no).map(|(_, proof)| proof))
            .or_else(by_filter)
    }

    /// Proof that someone has left the scope.
    fn left(&self, no: LinkNo) -> Option<Absence> {
        let by_filter = self.scope.users().get(&no).and_then(|u| Absence::from_filter(u.matches_filter));
        by_filter.or_else(|| self.scope.whole().out_of_scope(no))
    }
}

/// What a deletion leads to once it is proven.
fn is_due(lifecycle: &Lifecycle, deleted: Deleted, now: Timestamp) -> bool {
    lifecycle.on_directory_delete == OnDelete::Delete
        && now.duration_since(deleted.since) >= lifecycle.delete_after
}

pub fn ends(inputs: &Inputs<'_>, drafts: &Drafts) -> Ends {
    let mut ends = Ends::default();
    let eligible = inputs.scope.eligible();
    for link in inputs.known.links.values() {
        let Some(id) = &link.target_id else { continue };
        if drafts.protected.contains(&link.no) || drafts.gone.contains(&link.no) {
            continue;
        }
        if inputs.is_gone(link) {
            // Whoever is desired has a draft that makes it anew, or a reason why it waits.
            let wished =
                inputs.desired.users.contains_key(&link.no) || inputs.desired.groups.contains_key(&link.no);
            if !wished {
                ends.vanished.insert(link.no);
            }
            continue;
        }
        match link.kind {
            Kind::User => {
                // Also one whose values cannot be written: it keeps the last good ones, and its memberships.
                // Nobody comes back through an entry whose name is on another object.
                let stays = eligible.contains(link.no.0) && !inputs.scope.only_frozen().contains(link.no.0);
                user(inputs, drafts, link, stays, inputs.observed.users.get(id), &mut ends);
            }
            Kind::Group => {
                if let Some(end) = group(inputs, drafts, link) {
                    ends.out.insert(link.no, end);
                }
            }
        }
    }
    ends.findings.extend(withheld(inputs));
    ends
}

/// Users whose time is over, and of whom nobody can say now that they are out of the scope.
fn withheld(inputs: &Inputs<'_>) -> Option<Finding> {
    let whole = inputs.scope.whole();
    let over = |since: Timestamp| inputs.now.duration_since(since) > inputs.policy.lifecycle.disable_after;
    let count = inputs
        .known
        .links
        .values()
        .filter(|l| l.kind == Kind::User && l.target_id.is_some() && l.disabled.is_none())
        .filter(|l| l.out_since.is_some_and(over))
        .filter(|l| !whole.certain().contains(l.no.0) && inputs.left(l.no).is_none())
        .count();
    let why: Vec<String> = (whole.shortfalls().iter().map(ToString::to_string))
        .chain(whole.doubts().iter().cloned())
        .take(3)
        .collect();
    let subject = Subject { kind: None, id: inputs.profile.to_owned(), label: inputs.profile.to_owned() };
    let message = format!(
        "{count} users have been out of the scope for longer than lifecycle.disable-after and are not disabled, \
         since this read does not prove that they still are: {}. Mend the read",
        why.join("; ")
    );
    (count > 0).then(|| Finding::new(Code::RemovalWithheld, subject, message))
}

fn user(
    inputs: &Inputs<'_>,
    drafts: &Drafts,
    link: &Link,
    stays: bool,
    now: Option<&ObservedUser>,
    ends: &mut Ends,
) {
    let subject = || draft::subject(Kind::User, link.anchor, link.sid.as_ref(), &inputs.label(link.no));
    if let Some(out) = out_of_use(inputs, drafts, link) {
        ends.out.insert(link.no, out);
        return;
    }
    match (link.disabled, now) {
        (Some(disabled), _) if stays => {
            let action = Action::EnableUser { user: link.no, how: disabled.how };
            ends.back.insert(link.no, End { action, reason: Reason::BackInScope(disabled.cause) });
            if disabled.how == DisableHow::Reported && now.is_some_and(|u| u.disabled) {
                ends.findings.push(disabled_by_others(subject()));
            }
        }
        // Someone else let them in again.
        (Some(disabled), Some(found)) if disabled.how == DisableHow::Deactivated && !found.disabled => {
            if let Some(proof) = standing_proof(inputs, link, disabled.cause) {
                let action =
                    Action::DisableUser { user: link.no, cause: disabled.cause, how: disabled.how, proof };
                ends.out.insert(link.no, End { action, reason: Reason::EnabledByOthers });
            }
        }
        (Some(disabled), found)
            if disabled.how == DisableHow::Reported && !found.is_some_and(|u| u.disabled) =>
        {
            ends.findings.push(disable_by_hand(subject(), disabled.cause));
        }
        (None, Some(found)) if stays && found.disabled => ends.findings.push(disabled_by_others(subject())),
        _ => {}
    }
}

/// What is found as long as the target does not show somebody as disabled who is reported to be.
fn disable_by_hand(subject: Subject, cause: DisableCause) -> Finding {
    Finding::new(
        Code::DisableByHand,
        subject,
        format!(
            "it is to be disabled ({}), which this target cannot do and the config leaves to a person \
             (lifecycle.disable-method = \"report\"): disable the user in IAM Identity Center",
            cause.word()
        ),
    )
}

/// The same of a step that reports somebody, once it is done: not only from the next cycle on.
pub fn reported(plan: &Plan, step: &Step) -> Option<Finding> {
    let Action::DisableUser { user, cause, how: DisableHow::Reported, .. } = step.action else { return None };
    let object = plan.objects.get(&user)?;
    let subject = draft::subject(Kind::User, object.anchor, object.sid.as_ref(), &object.label);
    Some(disable_by_hand(subject, cause))
}

fn disabled_by_others(subject: Subject) -> Finding {
    Finding::new(
        Code::DisabledByOthers,
        subject,
        "it is in scope and was disabled in the target by someone else, which stays as it is. Enable the user in IAM \
         Identity Center, or take it out of the scope",
    )
}

/// Why someone whom idcsync disabled is still to be so.
fn standing_proof(inputs: &Inputs<'_>, link: &Link, cause: DisableCause) -> Option<Absence> {
    match cause {
        DisableCause::Deleted => inputs.deletion(link).map(|d| Absence::from_deletion(d.proof)),
        DisableCause::AccountDisabled | DisableCause::AccountExpired => {
            inputs.shut(link.no).map(|(_, proof)| proof)
        }
        DisableCause::OutOfScope | DisableCause::Paused | DisableCause::OutOfReach => inputs.left(link.no),
    }
}

/// Whether a linked user is to be disabled or deleted now.
fn out_of_use(inputs: &Inputs<'_>, drafts: &Drafts, link: &Link) -> Option<End> {
    let lifecycle = &inputs.policy.lifecycle;
    if let Some(deleted) = inputs.deletion(link) {
        let proof = Absence::from_deletion(deleted.proof);
        let reason = Reason::DeletedSince(deleted.since, proof);
        // Its name is wanted by a newcomer: that comes first, and the delete follows in the next cycle. Not to be
        // read now: nobody deletes on the strength of an old proof that could not be looked at again.
        let ready = !drafts.list.contains_key(&link.no) && inputs.is_seen_deleted(link.no, deleted);
        if ready && is_due(lifecycle, deleted, inputs.now) {
            let waited = !lifecycle.delete_after.is_zero();
            let action = Action::DeleteUser { user: link.no, cause: DisableCause::Deleted, proof, waited };
            return Some(End { action, reason });
        }
        return disable(inputs, drafts, link, DisableCause::Deleted, proof, reason);
    }
    if let Some((cause, proof)) = inputs.shut(link.no) {
        return disable(inputs, drafts, link, cause, proof, Reason::Proof(proof));
    }
    let proof = inputs.left(link.no)?;
    let positive = !proof.rests_on_absence();
    let since = link.out_since.filter(|_| inputs.elapsed().is_overdue(link.out_since, positive))?;
    disable(inputs, drafts, link, DisableCause::OutOfScope, proof, Reason::OutSince(since, proof))
}

/// In the way that the target has, or the config chose for want of one.
fn disable(
    inputs: &Inputs<'_>,
    drafts: &Drafts,
    link: &Link,
    cause: DisableCause,
    proof: Absence,
    reason: Reason,
) -> Option<End> {
    let user = link.no;
    let how = if inputs.target.disables {
        // What someone else has done stays theirs, and is not undone when this one comes back.
        let found = link.target_id.as_ref().and_then(|id| inputs.observed.users.get(id));
        if found.is_some_and(|user| user.disabled) {
            return None;
        }
        DisableHow::Deactivated
    } else {
        match inputs.policy.lifecycle.disable_method {
            DisableMethod::Revoke => DisableHow::Revoked,
            DisableMethod::Report => DisableHow::Reported,
            DisableMethod::Delete if link.disabled.is_some_and(|d| d.how == DisableHow::Deactivated) => {
                return None;
            }
            DisableMethod::Delete => {
                let action = Action::DeleteUser { user, cause, proof, waited: false };
                return (!drafts.list.contains_key(&user)).then_some(End { action, reason });
            }
        }
    };
    // What was done in a weaker way, since the target or the config knew no better then, is done again.
    if link.disabled.is_some_and(|done| strength(done.how) >= strength(how)) {
        return None;
    }
    Some(End { action: Action::DisableUser { user, cause, how, proof }, reason })
}

fn strength(how: DisableHow) -> u8 {
    match how {
        DisableHow::Reported => 0,
        DisableHow::Revoked => 1,
        DisableHow::Deactivated => 2,
    }
}

fn group(inputs: &Inputs<'_>, drafts: &Drafts, link: &Link) -> Option<End> {
    let lifecycle = &inputs.policy.lifecycle;
    let deleted = inputs.deletion(link)?;
    let ready = !drafts.list.contains_key(&link.no) && inputs.is_seen_deleted(link.no, deleted);
    if !ready || !is_due(lifecycle, deleted, inputs.now) {
        return None;
    }
    let proof = Absence::from_deletion(deleted.proof);
    let waited = !lifecycle.delete_after.is_zero();
    let action = Action::DeleteGroup { group: link.no, proof, waited };
    Some(End { action, reason: Reason::DeletedSince(deleted.since, proof) })
}

/// Everybody, since the profile was paused, or the directory out of reach, for too long.
pub fn sweep(inputs: &Inputs<'_>, drafts: &Drafts, sweep: Sweep) -> Ends {
    let reason = match sweep.cause {
        DisableCause::OutOfReach => Reason::OutOfReachSince(sweep.since),
        _ => Reason::PausedSince(sweep.since),
    };
    let out = inputs
        .known
        .links
        .values()
        .filter(|l| l.kind == Kind::User && l.target_id.is_some() && !drafts.protected.contains(&l.no))
        .filter_map(|link| {
            let end = disable(inputs, drafts, link, sweep.cause, sweep.proof, reason.clone())?;
            Some((link.no, end))
        })
        .collect();
    Ends { out, ..Ends::default() }
}
