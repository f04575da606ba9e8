//! Who keeps a name that several desired objects claim.
//!
//! The identity store wants userNames, primary addresses and group names to be unique, taken here as without
//! regard to case. Who cannot have each of its names is left out of the desired set with a finding. Who is
//! left out and linked goes on holding the names that it has in the target, and so does who is `kept`: nobody
//! else may take those.

use std::cmp::Reverse;
use std::collections::hash_map::RandomState;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::hash::BuildHasher;

use jiff::Timestamp;

use super::subject;
use crate::ids::{Anchor, Dn, LinkNo};
use crate::model::{Code, DesiredGroup, DesiredUser, Finding, Kind, Known, Link, Subject, UserAttribute};

/// The desired objects that have each of their names to themselves, and a finding for each of the others.
#[derive(Clone, Debug, Default)]
pub struct Claimed {
    pub users: BTreeMap<LinkNo, Box<DesiredUser>>,
    pub groups: BTreeMap<LinkNo, DesiredGroup>,
    /// By object; one for each name that it does not get.
    pub findings: Vec<Finding>,
}

/// Settles who gets which name. `kept` are linked objects in scope that are not among the desired ones (a
/// required value is missing, say) and keep what they have. Other links yield: their names count as free.
///
/// A name goes to the linked object that holds it now; else to a linked one; else to the oldest (created
/// first, unknown last; then by anchor).
pub fn resolve_claims(
    mut users: BTreeMap<LinkNo, Box<DesiredUser>>,
    mut groups: BTreeMap<LinkNo, DesiredGroup>,
    known: &Known,
    kept: &BTreeSet<LinkNo>,
) -> Claimed {
    let mut crowd = Crowd::default();
    for (no, user) in &users {
        crowd.note(wanted_by_user(user), known.links.get(no));
    }
    for (no, group) in &groups {
        crowd.note(wanted_by_group(group), known.links.get(no));
    }
    let is_desired = |no: &LinkNo| users.contains_key(no) || groups.contains_key(no);
    let kept: Vec<&Link> =
        kept.iter().filter(|no| !is_desired(no)).filter_map(|no| known.links.get(no)).collect();
    for link in &kept {
        crowd.note(std::iter::empty(), Some(link));
    }
    let user_claims: BTreeMap<LinkNo, Claimant> = (users.iter())
        .filter(|(_, user)| wanted_by_user(user).any(|name| crowd.is_shared(name)))
        .map(|(no, user)| {
            let wants = wanted_by_user(user);
            (*no, Claimant::new(known.links.get(no), user.created, user.anchor, wants))
        })
        .collect();
    let group_claims: BTreeMap<LinkNo, Claimant> = (groups.iter())
        .filter(|(_, group)| wanted_by_group(group).any(|name| crowd.is_shared(name)))
        .map(|(no, group)| {
            let wants = wanted_by_group(group);
            (*no, Claimant::new(known.links.get(no), group.created, group.anchor, wants))
        })
        .collect();

    let mut findings = Vec::new();
    for (kind, claimants) in [(Kind::User, user_claims), (Kind::Group, group_claims)] {
        let held = held_by(kept.iter().copied().filter(|link| link.kind == kind));
        let settled = settle(&claimants, &held);
        for (no, claimant) in &claimants {
            if settled.winners.contains(no) {
                continue;
            }
            let about = |no: &LinkNo| match kind {
                Kind::User => users.get(no).map(|u| subject::of(kind, u.anchor, u.sid.as_ref(), &u.dn)),
                Kind::Group => groups.get(no).map(|g| subject::of(kind, g.anchor, g.sid.as_ref(), &g.dn)),
            };
            let Some(subject) = about(no) else { continue };
            for key in &claimant.wants {
                let Some(holder) = settled.holders.get(key).filter(|holder| *holder != no) else { continue };
                let held_by = about(holder).or_else(|| known.links.get(holder).and_then(describe_link));
                let has_it = known.links.get(holder).is_some_and(|link| held_keys(link).contains(key));
                let why = match claimants.get(holder) {
                    _ if has_it => "which has it in the target",
                    Some(other) if other.linked && !claimant.linked => "which is in the target already",
                    Some(other) if other.rank < claimant.rank => "which is older",
                    _ => "which gets it",
                };
                findings.push(finding(key.0, &subject, held_by.as_ref(), why, claimant.linked));
            }
        }
        for loser in claimants.keys().filter(|no| !settled.winners.contains(no)) {
            match kind {
                Kind::User => drop(users.remove(loser)),
                Kind::Group => drop(groups.remove(loser)),
            }
        }
    }
    findings.sort_by(|a, b| (&a.subject, a.code).cmp(&(&b.subject, b.code)));
    Claimed { users, groups, findings }
}

/// What must be unique.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Slot {
    UserName,
    Email,
    GroupName,
}

/// A name with its letters folded.
type Key = (Slot, String);

fn key(slot: Slot, name: &str) -> Key {
    (slot, if name.is_ascii() { name.to_ascii_lowercase() } else { name.to_lowercase() })
}

fn wanted_by_user(user: &DesiredUser) -> impl Iterator<Item = (Slot, &str)> {
    [(Slot::UserName, UserAttribute::UserName), (Slot::Email, UserAttribute::Email)]
        .into_iter()
        .filter_map(|(slot, attribute)| Some((slot, user.attributes.get(attribute)?)))
}

fn wanted_by_group(group: &DesiredGroup) -> impl Iterator<Item = (Slot, &str)> {
    std::iter::once((Slot::GroupName, group.attributes.display_name.as_str()))
}

fn held(link: &Link) -> impl Iterator<Item = (Slot, &str)> {
    let (name, email) = match link.kind {
        Kind::User => (Slot::UserName, Some(Slot::Email)),
        Kind::Group => (Slot::GroupName, None),
    };
    let name = link.name.as_deref().map(|text| (name, text));
    let email = email.and_then(|slot| link.email.as_deref().map(|text| (slot, text)));
    name.into_iter().chain(email).filter(|_| link.target_id.is_some())
}

/// Which names more than one object wants or holds, by digests: two that only seem to be the same do no harm. Whoever wants
/// none of these has what it wants, whatever becomes of the others, and nobody else's claim depends on it. Nearly all are
/// so, and are not looked at any further.
#[derive(Default)]
struct Crowd {
    hasher: RandomState,
    is_shared: HashMap<u64, bool>,
}

impl Crowd {
    /// What one object wants, and what it has.
    fn note<'n>(&mut self, wants: impl Iterator<Item = (Slot, &'n str)>, link: Option<&'n Link>) {
        let names = wants.chain(link.into_iter().flat_map(held));
        let digests: BTreeSet<u64> = names.map(|name| self.digest(name)).collect();
        for digest in digests {
            self.is_shared.entry(digest).and_modify(|shared| *shared = true).or_insert(false);
        }
    }

    fn is_shared(&self, name: (Slot, &str)) -> bool {
        self.is_shared.get(&self.digest(name)).copied().unwrap_or(true)
    }

    fn digest(&self, (slot, name): (Slot, &str)) -> u64 {
        self.hasher.hash_one(key(slot, name))
    }
}

#[derive(Clone, Debug)]
struct Claimant {
    linked: bool,
    /// Smaller is stronger: linked, then older.
    rank: (Reverse<bool>, bool, Option<Timestamp>, Anchor),
    wants: Vec<Key>,
    /// What it has in the target now.
    holds: Vec<Key>,
}

impl Claimant {
    fn new<'n>(
        link: Option<&Link>,
        created: Option<Timestamp>,
        anchor: Anchor,
        wants: impl Iterator<Item = (Slot, &'n str)>,
    ) -> Self {
        let linked = link.is_some_and(|link| link.target_id.is_some());
        Self {
            linked,
            rank: (Reverse(linked), created.is_none(), created, anchor),
            wants: wants.map(|(slot, name)| key(slot, name)).collect(),
            holds: link.map(held_keys).unwrap_or_default(),
        }
    }
}

fn held_keys(link: &Link) -> Vec<Key> {
    held(link).map(|(slot, text)| key(slot, text)).collect()
}

struct Settled<'k> {
    winners: BTreeSet<LinkNo>,
    /// Who has each name in the end: a winner, or someone who keeps what it has. Only looked up, so that no order shows.
    holders: HashMap<&'k Key, LinkNo>,
}

/// What these links hold, in the order in which they are heard.
fn held_by<'l>(links: impl Iterator<Item = &'l Link>) -> Vec<(Key, LinkNo)> {
    let mut links: Vec<&Link> = links.collect();
    links.sort_by_key(|link| link.anchor);
    links.into_iter().flat_map(|link| held_keys(link).into_iter().map(|key| (key, link.no))).collect()
}

/// Three steps. (1) Whoever wants a name that it holds now has it, come what may: if it loses over another
/// name it keeps this one all the same. (2) The others choose by rank; a linked one that loses holds on to what
/// it has, which may cost an earlier winner its name: then all choose again with that name taken, until no
/// more lose so. (3) Who has lost to someone who has lost since gets its names where they are free now.
fn settle<'k>(claimants: &'k BTreeMap<LinkNo, Claimant>, kept: &'k [(Key, LinkNo)]) -> Settled<'k> {
    let mut by_rank: Vec<(&LinkNo, &'k Claimant)> = claimants.iter().collect();
    by_rank.sort_by_key(|(_, claimant)| claimant.rank);

    let mut fixed: HashMap<&'k Key, LinkNo> = HashMap::with_capacity(2 * claimants.len());
    for (key, no) in kept {
        fixed.entry(key).or_insert(*no);
    }
    for &(no, claimant) in &by_rank {
        for key in claimant.wants.iter().filter(|key| claimant.holds.contains(key)) {
            fixed.entry(key).or_insert(*no);
        }
    }

    let mut staying: BTreeSet<LinkNo> = BTreeSet::new();
    let (mut winners, mut holders) = loop {
        let mut holders = fixed.clone();
        for &(no, claimant) in by_rank.iter().filter(|(no, _)| staying.contains(no)) {
            for key in &claimant.holds {
                holders.entry(key).or_insert(*no);
            }
        }
        let mut winners = BTreeSet::new();
        let before = staying.len();
        for &(no, claimant) in &by_rank {
            if staying.contains(no) {
                continue;
            }
            if takes(*no, claimant, &mut holders) {
                winners.insert(*no);
            } else if claimant.linked {
                staying.insert(*no);
            }
        }
        if staying.len() == before {
            break (winners, holders);
        }
    };

    let losers: Vec<_> = by_rank.into_iter().filter(|(no, _)| !winners.contains(no)).collect();
    // From the top again after each, so that a name that has become free goes to the strongest.
    while let Some(&(no, claimant)) =
        losers.iter().find(|&&(no, claimant)| !winners.contains(no) && takes(*no, claimant, &mut holders))
    {
        winners.insert(*no);
        // It lets go of what it held and does not want any more.
        holders.retain(|key, holder| holder != no || claimant.wants.contains(*key));
    }
    Settled { winners, holders }
}

/// Takes all the names that it wants, if nobody else has one of them.
fn takes<'k>(no: LinkNo, claimant: &'k Claimant, holders: &mut HashMap<&'k Key, LinkNo>) -> bool {
    let free = claimant.wants.iter().all(|key| holders.get(key).is_none_or(|holder| *holder == no));
    if free {
        holders.extend(claimant.wants.iter().map(|key| (key, no)));
    }
    free
}

fn describe_link(link: &Link) -> Option<Subject> {
    let dn = Dn::parse(&link.dn).ok()?;
    Some(subject::of(link.kind, link.anchor, link.sid.as_ref(), &dn))
}

fn finding(slot: Slot, about: &Subject, holder: Option<&Subject>, why: &str, linked: bool) -> Finding {
    let (code, name) = match slot {
        Slot::UserName => (Code::UserNameClaimed, "userName"),
        Slot::Email => (Code::EmailClaimed, "primary address"),
        Slot::GroupName => (Code::GroupNameClaimed, "displayName"),
    };
    let holder = holder
        .map_or_else(|| "another object".to_owned(), |holder| format!("{} ({})", holder.label, holder.id));
    let outcome = if linked { "keeps what it has in the target" } else { "is not created" };
    let message = format!(
        "claims the same {name} (whatever the case of its letters) as {holder}, {why}: this one {outcome}. Give \
         one of them another value in the directory, or map the attribute differently"
    );
    Finding::new(code, about.clone(), message)
}

#[cfg(test)]
mod tests;
