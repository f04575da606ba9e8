//! Scope and mapping together: what the target should hold, and what to ask it before planning.

use std::cell::LazyCell;
use std::collections::{BTreeMap, BTreeSet, HashMap};

use roaring::RoaringBitmap;

use crate::ids::{LinkNo, TargetId};
use crate::mapping::{Mapping, resolve_claims};
use crate::model::{
    AccountState, Capabilities, Code, Desired, DesiredGroup, DesiredUser, Digest, DirectoryUser, DisableHow,
    Finding, Kind, Known, Link, Subject, UserAttribute, UserValues, Wants,
};
use crate::scope::Scope;

/// What the target should hold, and who is in scope without being part of it.
#[derive(Debug, Default)]
pub struct Desire {
    pub desired: Desired,
    /// Linked and in scope, but with values that cannot be written (a missing surname, a claim lost), or an
    /// account that cannot be judged: they stay as they are and keep their names. Among them is whose account is shut,
    /// unless the directory has given the person another name: the old one is somebody else's then.
    pub kept: BTreeSet<LinkNo>,
    pub findings: Vec<Finding>,
}

pub fn desire(scope: &Scope<'_>, mapping: &Mapping, known: &Known, target: Capabilities) -> Desire {
    let mut desire = Desire::default();
    let eligible = scope.eligible();
    let linked = |no: &LinkNo| known.links.get(no).is_some_and(|l| l.target_id.is_some());
    let mut users = BTreeMap::new();
    for (no, user) in in_scope(scope, scope.whole().certain()) {
        if !eligible.contains(no.0) {
            if linked(&no) && user.matches_filter {
                desire.findings.extend(account_finding(user));
                if !user.account.is_shut() || !is_renamed(user, &known.links[&no], mapping, target) {
                    desire.kept.insert(no);
                }
            }
            continue;
        }
        if scope.only_frozen().contains(no.0) && !linked(&no) {
            continue;
        }
        let mapped = mapping.user(user, target.writes_external_id);
        let writable = mapped.is_writable();
        desire.findings.extend(mapped.findings);
        if writable {
            let wish = DesiredUser {
                anchor: user.anchor,
                dn: user.dn.clone(),
                sid: user.sid.clone(),
                created: user.created,
                digest: Digest::of_user(&mapped.attributes),
                attributes: UserValues::from(&mapped.attributes),
            };
            users.insert(no, Box::new(wish));
        } else if linked(&no) {
            desire.kept.insert(no);
        }
    }
    let mut groups = BTreeMap::new();
    for (no, written) in scope.written() {
        let Some(group) = scope.groups().get(no).filter(|_| !written.frozen || linked(no)) else { continue };
        let mapped = mapping.group(group, target.writes_external_id, target.has_group_description);
        let writable = mapped.is_writable();
        desire.findings.extend(mapped.findings);
        if writable {
            let wish = DesiredGroup {
                anchor: group.anchor,
                dn: group.dn.clone(),
                sid: group.sid.clone(),
                created: group.created,
                attributes: mapped.attributes,
            };
            groups.insert(*no, wish);
        } else if linked(no) {
            desire.kept.insert(*no);
        }
    }
    let wished: BTreeSet<LinkNo> = users.keys().chain(groups.keys()).copied().collect();
    let claimed = resolve_claims(users, groups, known, &desire.kept);
    desire.findings.extend(claimed.findings);
    let settled: BTreeSet<LinkNo> = claimed.users.keys().chain(claimed.groups.keys()).copied().collect();
    desire.kept.extend(wished.difference(&settled).filter(|no| linked(no)));
    desire.desired = Desired { users: claimed.users, groups: claimed.groups };
    desire
}

/// The directory has another userName for the person than the target.
fn is_renamed(user: &DirectoryUser, link: &Link, mapping: &Mapping, target: Capabilities) -> bool {
    let mapped = mapping.user(user, target.writes_external_id);
    let wanted = mapped.attributes.get(&UserAttribute::UserName).map(|name| name.to_lowercase());
    mapped.is_writable() && wanted.is_some() && wanted != link.name.as_ref().map(|name| name.to_lowercase())
}

fn in_scope<'s>(
    scope: &'s Scope<'_>,
    certain: &'s RoaringBitmap,
) -> impl Iterator<Item = (LinkNo, &'s DirectoryUser)> {
    scope.users().iter().filter(|(no, _)| certain.contains(no.0)).map(|(no, user)| (*no, *user))
}

/// A linked account that the directory has shut: an unlinked one is simply not created, and an unreadable one is the
/// directory's finding.
fn account_finding(user: &DirectoryUser) -> Option<Finding> {
    let state = match user.account {
        AccountState::Disabled => "disabled",
        AccountState::Expired => "expired",
        AccountState::Enabled | AccountState::Unknown => return None,
    };
    Some(Finding::new(
        Code::AccountDisabled,
        Subject {
            kind: Some(Kind::User),
            id: user.sid.as_ref().map_or_else(|| user.anchor.to_string(), ToString::to_string),
            label: user.dn.leaf(),
        },
        format!(
            "the account is {state} in the directory: it is disabled, and a member of no managed group, until it is \
             enabled there"
        ),
    ))
}

/// What has to be looked up in the target. Nothing where nothing changed.
pub fn wants(desire: &Desire, known: &Known, target: Capabilities) -> Wants {
    let mut wants = Wants::default();
    // Whether a person has done by now what was asked for.
    let asked_for = |l: &&Link| l.disabled.is_some_and(|d| d.how == DisableHow::Reported);
    wants.users.extend(known.links.values().filter(asked_for).filter_map(|l| l.target_id.clone()));
    // What a step did not find: is it really gone?
    for link in known.links.values().filter(|l| l.name.is_none()) {
        let Some(id) = link.target_id.clone() else { continue };
        match link.kind {
            Kind::User => wants.users.insert(id),
            Kind::Group => wants.groups.insert(id),
        };
    }
    // Mostly nobody asks.
    let by_name = LazyCell::new(|| holders(known, Kind::User, |l| l.name.as_deref()));
    let by_email = LazyCell::new(|| holders(known, Kind::User, |l| l.email.as_deref()));
    let by_group_name = LazyCell::new(|| holders(known, Kind::Group, |l| l.name.as_deref()));
    for (no, user) in &desire.desired.users {
        let link = known.links.get(no);
        let id = link.and_then(|l| l.target_id.clone());
        if link.is_some_and(|l| id.is_some() && l.digest == Some(user.digest)) {
            continue;
        }
        if id.is_none() && target.finds_external_id {
            wants.user_external_ids.insert(user.anchor.to_string());
        }
        wants.users.extend(id.clone());
        for (attribute, now, asked) in [
            (UserAttribute::UserName, link.and_then(|l| l.name.as_ref()), &mut wants.user_names),
            (UserAttribute::Email, link.and_then(|l| l.email.as_ref()), &mut wants.emails),
        ] {
            let Some(value) = user.attributes.get(attribute) else { continue };
            if id.is_none() || !now.is_some_and(|now| same(now, value)) {
                asked.insert(value.to_owned());
                // Whoever of ours holds it may have to give it up.
                let by = if attribute == UserAttribute::UserName { &*by_name } else { &*by_email };
                wants.users.extend(by.get(&fold(value)).into_iter().flatten().cloned());
            }
        }
    }
    for (no, group) in &desire.desired.groups {
        let link = known.links.get(no);
        let id = link.and_then(|l| l.target_id.clone());
        if link.is_some_and(|l| id.is_some() && l.digest == Some(Digest::of_group(&group.attributes))) {
            continue;
        }
        let name = &group.attributes.display_name;
        if id.is_none() && target.finds_external_id {
            wants.group_external_ids.insert(group.anchor.to_string());
        }
        wants.groups.extend(id.clone());
        if id.is_none() || !link.and_then(|l| l.name.as_ref()).is_some_and(|now| same(now, name)) {
            wants.group_names.insert(name.clone());
            wants.groups.extend(by_group_name.get(&fold(name)).into_iter().flatten().cloned());
        }
    }
    wants
}

/// Ids of linked objects by what was last written to them.
fn holders(
    known: &Known,
    kind: Kind,
    value: impl Fn(&Link) -> Option<&str>,
) -> HashMap<String, Vec<TargetId>> {
    let mut holders: HashMap<String, Vec<TargetId>> = HashMap::new();
    for link in known.links.values().filter(|l| l.kind == kind) {
        if let (Some(id), Some(value)) = (&link.target_id, value(link)) {
            holders.entry(fold(value)).or_default().push(id.clone());
        }
    }
    holders
}

/// Names in the target are unique without regard to case.
pub(super) fn fold(name: &str) -> String {
    name.to_lowercase()
}

fn same(a: &str, b: &str) -> bool {
    fold(a) == fold(b)
}
