//! Whether a part is at rest by itself, and whether changes of it stay within it.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use roaring::RoaringBitmap;

use super::super::confirm::Doubtful;
use super::super::record::{Record, Seen, Suspects};
use super::super::rest::{self, Found, Rest};
use super::super::{Parts, Profile, findings};
use super::choose::Moves;
use crate::ids::LinkNo;
use crate::model::{
    Fate, Finding, Kind, Known, Mark, MirrorChange, Observed, Snapshot, UserAttribute, Wants,
};
use crate::plan::{Desire, Given, Inputs, desire, guard, plan, wants};
use crate::scope::Scope;

/// By what a plan is made.
pub struct Moment<'a> {
    pub profile: &'a Profile<'a>,
    pub parts: &'a Parts<'a>,
    pub now: Timestamp,
}

/// Of objects for which there is nothing to do.
pub struct AtRest {
    pub rest: Rest,
    pub findings: BTreeSet<Finding>,
    claims: BTreeMap<LinkNo, Claims>,
}

/// Names that others may want; `None`: there is nobody who wants one.
type Claims = [Option<String>; 2];

impl Moment<'_> {
    /// `None`: there is something to do. `gone` are not read, and what became of them are the `fates`.
    pub fn at_rest(
        &self,
        snapshot: &Snapshot,
        known: &Known,
        mark: &Mark,
        gone: &RoaringBitmap,
        fates: &BTreeMap<LinkNo, Fate>,
    ) -> Option<AtRest> {
        let Self { profile, parts, now } = *self;
        let scope = Scope::resolve(snapshot, known, profile.nested);
        if unread(&scope, known)? != *gone {
            return None;
        }
        let capabilities = parts.target.capabilities();
        let desire = desire(&scope, profile.mapping, known, capabilities);
        let wants = wants(&desire, known, capabilities);
        let managed = profile.mapping.user_expressions().keys().copied().collect();
        let inputs = Inputs {
            profile: profile.name,
            scope: &scope,
            desired: &desire.desired,
            kept: &desire.kept,
            known,
            observed: &Observed::default(),
            full: false,
            fates,
            target: capabilities,
            sweep: None,
            managed: &managed,
            policy: profile.policy,
            now,
        };
        let plan = plan(&inputs, &snapshot.entries);
        let findings = findings::of_plan(snapshot, desire.findings.clone(), &plan).into_iter().collect();
        let given = Given { approvals: &BTreeSet::new(), renames: known.rename_support, distrust: None };
        let approved = guard(plan, profile.policy, &given);
        let suspects = Suspects::of(&scope, known, &approved);
        let seen = Seen {
            snapshot,
            scope: &scope,
            known,
            fates,
            doubtful: &Doubtful::new(),
            elapsed: profile.elapsed(known, now),
            trusted: true,
        };
        let mut record = Record::of(&seen, &approved, &suspects, parts.identity_store.clone(), now);
        record.mirror = Some(MirrorChange::only(mark.clone()));
        let found = Found {
            snapshot,
            known,
            fates: &rest::fates_by_anchor(fates, known),
            approved: &approved,
            unasked: wants.is_empty(),
            record: &record,
            full: false,
        };
        let rest = rest::of(profile, parts, &found, now)?;
        Some(AtRest { rest, findings, claims: claims(known, &desire) })
    }

    /// Whom the read does not bring any more, since they left a group. `None`: others than these want other names than before,
    /// a group is to be other than it is, or has other members than those whom it had, with these moves.
    pub fn gone(
        &self,
        was: &AtRest,
        after: &Snapshot,
        known: &Known,
        moves: &Moves,
    ) -> Option<RoaringBitmap> {
        let scope = Scope::resolve(after, known, self.profile.nested);
        let gone = unread(&scope, known)?;
        let left = moves.left.values().fold(RoaringBitmap::new(), |all, left| all | left);
        let same_members = known.links.values().filter(|link| link.kind == Kind::Group).all(|link| {
            let mut direct = link.direct.clone();
            direct |= moves.joined.get(&link.no).unwrap_or(&RoaringBitmap::new());
            direct -= moves.left.get(&link.no).unwrap_or(&RoaringBitmap::new());
            scope.record_of(link.no).is_some_and(|record| !record.suspect && record.direct == direct)
        });
        let capabilities = self.parts.target.capabilities();
        let desire = desire(&scope, self.profile.mapping, known, capabilities);
        let Wants { groups, group_names, group_external_ids, .. } = wants(&desire, known, capabilities);
        // Whoever looks at a group in the target sees all its members.
        let no_group = groups.is_empty() && group_names.is_empty() && group_external_ids.is_empty();
        let stay = was.claims.iter().filter(|(no, _)| !gone.contains(no.0));
        let same_claims = stay.eq(&claims(known, &desire));
        (gone.is_subset(&left) && same_members && no_group && same_claims).then_some(gone)
    }
}

/// Whom of the part the read did not bring; `None`: it has brought others.
fn unread(scope: &Scope<'_>, known: &Known) -> Option<RoaringBitmap> {
    let read: RoaringBitmap = scope.users().keys().chain(scope.groups().keys()).map(|no| no.0).collect();
    let all: RoaringBitmap = known.links.keys().map(|no| no.0).collect();
    read.is_subset(&all).then(|| all - read)
}

/// Who holds or wants which name: userNames and addresses, displayNames of groups.
fn claims(known: &Known, desire: &Desire) -> BTreeMap<LinkNo, Claims> {
    let folded = |name: Option<&str>| name.map(str::to_lowercase);
    let users = desire.desired.users.iter().map(|(no, user)| {
        let value = |attribute| folded(user.attributes.get(attribute));
        (*no, [value(UserAttribute::UserName), value(UserAttribute::Email)])
    });
    let groups = desire
        .desired
        .groups
        .iter()
        .map(|(no, group)| (*no, [folded(Some(group.attributes.display_name.as_str())), None]));
    let kept = desire
        .kept
        .iter()
        .filter_map(|no| known.links.get(no))
        .map(|link| (link.no, [folded(link.name.as_deref()), folded(link.email.as_deref())]));
    kept.chain(users).chain(groups).collect()
}
