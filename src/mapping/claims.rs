//! Who keeps a name that several desired objects claim.
//!
//! The identity store wants userNames, primary addresses and group names to be unique, taken here as without
//! regard to case. Who cannot have each of its names is left out of the desired set with a finding. Who is
//! left out and linked goes on holding the names that it has in the target, and so does who is `kept`: nobody
//! else may take those.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, HashMap};

use jiff::Timestamp;

use super::subject;
use crate::ids::{Anchor, Dn, LinkNo};
use crate::model::{Code, DesiredGroup, DesiredUser, Finding, Kind, Known, Link, Subject, UserAttribute};

/// The desired objects that have each of their names to themselves, and a finding for each of the others.
#[derive(Clone, Debug, Default)]
pub struct Claimed {
    pub users: BTreeMap<LinkNo, DesiredUser>,
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
    mut users: BTreeMap<LinkNo, DesiredUser>,
    mut groups: BTreeMap<LinkNo, DesiredGroup>,
    known: &Known,
    kept: &BTreeSet<LinkNo>,
) -> Claimed {
    let user_claims: BTreeMap<LinkNo, Claimant> = users
        .iter()
        .map(|(no, user)| {
            let value = |attribute| user.attributes.get(&attribute).map(String::as_str);
            let wants = [
                (Slot::UserName, value(UserAttribute::UserName)),
                (Slot::Email, value(UserAttribute::Email)),
            ];
            (*no, Claimant::new(known.links.get(no), user.created, user.anchor, &wants))
        })
        .collect();
    let group_claims: BTreeMap<LinkNo, Claimant> = groups
        .iter()
        .map(|(no, group)| {
            let wants = [(Slot::GroupName, Some(group.attributes.display_name.as_str()))];
            (*no, Claimant::new(known.links.get(no), group.created, group.anchor, &wants))
        })
        .collect();

    let mut findings = Vec::new();
    for (kind, claimants) in [(Kind::User, user_claims), (Kind::Group, group_claims)] {
        let held = kept
            .iter()
            .filter(|no| !claimants.contains_key(no))
            .filter_map(|no| known.links.get(no))
            .filter(|link| link.kind == kind);
        let held = held_by(held);
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
        match kind {
            Kind::User => users.retain(|no, _| settled.winners.contains(no)),
            Kind::Group => groups.retain(|no, _| settled.winners.contains(no)),
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
    (slot, name.to_lowercase())
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
    fn new(
        link: Option<&Link>,
        created: Option<Timestamp>,
        anchor: Anchor,
        wants: &[(Slot, Option<&str>)],
    ) -> Self {
        let linked = link.is_some_and(|link| link.target_id.is_some());
        Self {
            linked,
            rank: (Reverse(linked), created.is_none(), created, anchor),
            wants: wants.iter().filter_map(|(slot, name)| name.map(|name| key(*slot, name))).collect(),
            holds: link.map(held_keys).unwrap_or_default(),
        }
    }
}

fn held_keys(link: &Link) -> Vec<Key> {
    if link.target_id.is_none() {
        return Vec::new();
    }
    let (name, email) = match link.kind {
        Kind::User => (Slot::UserName, Some(Slot::Email)),
        Kind::Group => (Slot::GroupName, None),
    };
    let name = link.name.as_deref().map(|text| key(name, text));
    let email = email.and_then(|slot| link.email.as_deref().map(|text| key(slot, text)));
    name.into_iter().chain(email).collect()
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
