//! What a server reports as changed is worked into what is held. Where it leaves a doubt (a container renamed, which is
//! said of the container alone; an answer that is not whole), the doubt is the answer, and everything is to be read.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::time::Duration;

use super::Mirroring;
use super::held::{Held, Renames, folded};
use crate::directory::entry::{self, Sort};
use crate::directory::range::{self, Progress};
use crate::directory::reader::{Facts, RawEntry, Reader, Selection, rest_of};
use crate::ids::{Anchor, Dn};
use crate::model::{DirectoryKind, Mark, Mirror, Position};

/// What a server says has changed since a position in its log.
#[derive(Debug, Default)]
pub(in crate::directory) struct Feed {
    /// As they are now.
    pub changed: Vec<RawEntry>,
    pub deleted: BTreeSet<Anchor>,
    /// All that is there, where the server lists that instead of what went.
    pub present: Option<HashSet<Anchor>>,
}

/// Asked for beside what a read asks for: to judge a change, and not kept.
const TELLING: [&str; 5] =
    ["memberof", "usncreated", "modifytimestamp", "createtimestamp", "hassubordinates"];
/// More than one in so many: to read everything is cheaper, or something is amiss.
const MOST_CHANGED: usize = 4;
/// Up to so many changes are not many.
const FEW: usize = 1_000;
/// What a server does by itself to groups after a change (OpenLDAP's `refint` in a task of its own), it has done by then.
const SETTLING: [Duration; 3] = [Duration::ZERO, Duration::from_millis(250), Duration::from_millis(750)];

/// What to ask for of changed entries, where a read asks for `attributes`.
pub(in crate::directory) fn telling(attributes: &BTreeSet<String>) -> Selection {
    attributes
        .iter()
        .cloned()
        .chain(TELLING.map(str::to_owned))
        .collect::<BTreeSet<_>>()
        .into_iter()
        .collect()
}

impl<'l> Mirroring<'l> {
    /// A reader of the mirror with these changes worked in, and how many there were. `Err`: why everything has to be
    /// read instead.
    pub async fn after(
        live: &'l dyn Reader,
        mirror: Mirror,
        feed: Feed,
        attributes: &BTreeSet<String>,
    ) -> Result<(Self, usize), String> {
        let mark = mirror.mark.clone();
        let mut held = Held::over(mirror).ok_or("what was kept of the last read is damaged")?;
        let facts = live.facts();
        let count = feed.changed.len() + feed.deleted.len();
        let changes = whole(live, feed.changed).await?;
        for (anchor, raw) in &changes {
            doubt_of(facts, &held, &mark, *anchor, raw)?;
            let other =
                Dn::parse(raw.dn()).ok().and_then(|dn| held.anchor_of(&dn)).filter(|other| other != anchor);
            if other.is_some_and(|other| !changes.contains_key(&other) && !feed.deleted.contains(&other)) {
                return Err(format!(
                    "{} is the name of another object now, of which nothing was said",
                    raw.dn()
                ));
            }
        }
        let mut gone = feed.deleted;
        if let Some(present) = feed.present {
            let missing = |anchor: &Anchor| !present.contains(anchor) && !changes.contains_key(anchor);
            gone.extend(held.anchors().filter(missing));
        }
        let names = names_at_stake(facts, &held, &changes, &gone);
        work_in(facts, &mut held, &changes, gone, attributes);
        match facts.kind {
            DirectoryKind::ActiveDirectory => again(live, &mut held, &changes, attributes).await?,
            DirectoryKind::Ldap => settle(live, &mut held, &changes, names, attributes).await?,
        }
        Ok((Self::over(live, held), count))
    }
}

/// All values of what came in part, by anchor.
pub(super) async fn whole(
    live: &dyn Reader,
    entries: Vec<RawEntry>,
) -> Result<BTreeMap<Anchor, RawEntry>, String> {
    let mut all = BTreeMap::new();
    for mut raw in entries {
        let Some(anchor) = entry::anchor(live.facts(), &raw) else {
            return Err(format!("the server reports {}, and does not show which object that is", raw.dn()));
        };
        let parts: Vec<(String, Progress)> = raw
            .attributes()
            .filter_map(|(name, values)| {
                let (base, span) = range::split(name)?;
                let mut progress = Progress::default();
                match span.and_then(|span| progress.take(span, values.count())) {
                    Ok(true) => None,
                    Ok(false) => Some(Ok((base.to_owned(), progress))),
                    Err(why) => Some(Err(why)),
                }
            })
            .collect::<Result<_, _>>()?;
        for (attribute, progress) in parts {
            let dn = Dn::parse(raw.dn()).map_err(|why| why.to_string())?;
            let (values, fault) = rest_of(live, (anchor, &dn), &attribute, progress).await;
            if let Some(fault) = fault {
                return Err(fault.detail);
            }
            let begun = format!("{attribute};range=");
            raw = raw.with(|list| {
                if let Some((_, have)) = list.iter_mut().find(|(name, _)| name.starts_with(&begun)) {
                    have.extend(values);
                }
            });
        }
        all.insert(anchor, raw);
    }
    Ok(all)
}

/// A change that may mean more than it says.
fn doubt_of(facts: &Facts, held: &Held, mark: &Mark, anchor: Anchor, raw: &RawEntry) -> Result<(), String> {
    let dn = Dn::parse(raw.dn()).map_err(|why| why.to_string())?;
    let before = held.dn_of(anchor);
    let moved = match &before {
        Some(before) => *before != dn && held.is_above_others(before),
        // Nobody knows what it was called before: unless it is new, others may have been below it.
        None => {
            matches!(entry::sort(facts.kind, raw), Sort::Other(_) | Sort::Unclear)
                && !is_new(facts.kind, mark, raw)
                // X.501; what has nothing below it now took nothing along.
                && raw.text("hassubordinates") != Some("FALSE")
        }
    };
    if moved {
        return Err(format!("{} was changed, which may have given other names to all below it", dn.leaf()));
    }
    Ok(())
}

fn is_new(kind: DirectoryKind, mark: &Mark, raw: &RawEntry) -> bool {
    match (kind, &mark.position) {
        (DirectoryKind::ActiveDirectory, Position::Usn { usn, .. }) => raw
            .number("usncreated")
            .and_then(|created| u64::try_from(created).ok())
            .is_some_and(|created| created > *usn),
        _ => raw.has("createtimestamp") && raw.values("createtimestamp").eq(raw.values("modifytimestamp")),
    }
}

pub(super) fn work_in(
    facts: &Facts,
    held: &mut Held,
    changes: &BTreeMap<Anchor, RawEntry>,
    gone: BTreeSet<Anchor>,
    kept: &BTreeSet<String>,
) {
    // Elsewhere, members are texts: whether they follow anybody is seen in `settle`.
    let linked = facts.kind == DirectoryKind::ActiveDirectory;
    let mut renames = Renames::new();
    if linked {
        for (anchor, now) in
            changes.iter().map(|(a, raw)| (a, Some(raw.dn()))).chain(gone.iter().map(|a| (a, None)))
        {
            let before = held.dn_of(*anchor).filter(|before| now.is_none_or(|now| now != before.as_str()));
            if let Some(before) = before {
                renames.insert(folded(before.as_str().as_bytes()), now.map(str::to_owned));
            }
        }
    }
    // Before the groups that were reported: they have the new names already.
    held.rename_members(&renames);
    for anchor in gone {
        held.remove(anchor);
    }
    for (anchor, raw) in changes {
        let inside = Dn::parse(raw.dn()).is_ok_and(|dn| dn.is_within(&facts.base));
        if inside {
            held.replace(*anchor, &without_telling(kept, raw));
            held.reconsider(facts, *anchor, raw);
        } else {
            held.remove(*anchor);
        }
    }
}

/// Somebody who was changed says in which groups they are, of which nothing is reported where they were restored or took
/// the name of another: groups that say otherwise are read again.
async fn again(
    live: &dyn Reader,
    held: &mut Held,
    changes: &BTreeMap<Anchor, RawEntry>,
    attributes: &BTreeSet<String>,
) -> Result<(), String> {
    if changes.is_empty() {
        return Ok(());
    }
    let names = changes.values().map(|raw| folded(raw.dn().as_bytes())).collect();
    let holders = held.holders(&names);
    let mut groups = BTreeSet::new();
    for raw in changes.values() {
        let says = raw.values("memberof").filter_map(|value| {
            let dn = Dn::parse(std::str::from_utf8(value).ok()?).ok()?;
            held.anchor_of(&dn)
        });
        let says: BTreeSet<Anchor> = says.collect();
        let nothing = BTreeSet::new();
        let known = holders.get(&folded(raw.dn().as_bytes())).unwrap_or(&nothing);
        groups.extend(says.symmetric_difference(known));
    }
    groups.retain(|group| !changes.contains_key(group));
    read_again(live, held, &groups, attributes).await
}

/// Names that somebody has no more, or has newly. The values of `gone` are those that a group may be rid of by itself.
struct AtStake {
    gone: HashSet<Dn>,
    new: HashSet<Dn>,
}

fn names_at_stake(
    facts: &Facts,
    held: &Held,
    changes: &BTreeMap<Anchor, RawEntry>,
    gone: &BTreeSet<Anchor>,
) -> AtStake {
    let mut names = AtStake { gone: HashSet::new(), new: HashSet::new() };
    if facts.kind == DirectoryKind::ActiveDirectory {
        return names;
    }
    let before = |anchor: &Anchor| held.dn_of(*anchor);
    names.gone.extend(gone.iter().filter_map(before));
    for (anchor, raw) in changes {
        let (old, now) = (before(anchor), Dn::parse(raw.dn()).ok());
        if old != now {
            names.gone.extend(old);
            names.new.extend(now);
        }
    }
    names
}

/// Whether members follow their objects is for each server to say (OpenLDAP's `refint` and `memberof-refint`), and a group
/// of which it has rewritten a member is reported by none. Groups that have such a name are read again; where they still
/// have one that is gone, a little later once more: it may be that nobody keeps them in order, and they are as they are.
async fn settle(
    live: &dyn Reader,
    held: &mut Held,
    changes: &BTreeMap<Anchor, RawEntry>,
    names: AtStake,
    attributes: &BTreeSet<String>,
) -> Result<(), String> {
    let AtStake { gone, new } = names;
    if gone.is_empty() && new.is_empty() {
        return Ok(());
    }
    let mut groups = held.naming(gone.iter().chain(&new).collect());
    groups.retain(|group| !changes.contains_key(group));
    for pause in SETTLING {
        if groups.is_empty() {
            break;
        }
        tokio::time::sleep(pause).await;
        read_again(live, held, &groups, attributes).await?;
        let still = held.naming(gone.iter().collect());
        groups.retain(|group| still.contains(group));
    }
    Ok(())
}

async fn read_again(
    live: &dyn Reader,
    held: &mut Held,
    groups: &BTreeSet<Anchor>,
    attributes: &BTreeSet<String>,
) -> Result<(), String> {
    let names: Vec<Dn> = groups.iter().filter_map(|group| held.dn_of(*group)).collect();
    let selection = telling(attributes);
    let mut came = BTreeSet::new();
    for chunk in names.chunks(live.facts().batch.max(1)) {
        let (entries, ending) = live.lookup(chunk, None, &selection).await;
        if let Some(fault) = live.facts().gap(&ending) {
            return Err(fault.detail);
        }
        let read = whole(live, entries).await?;
        came.extend(read.keys().copied());
        work_in(live.facts(), held, &read, BTreeSet::new(), attributes);
    }
    match groups.iter().find(|group| !came.contains(*group)) {
        Some(group) => Err(format!(
            "{} could not be read again",
            held.dn_of(*group).map(|dn| dn.to_string()).unwrap_or_default()
        )),
        None => Ok(()),
    }
}

fn without_telling(kept: &BTreeSet<String>, raw: &RawEntry) -> RawEntry {
    let stays = |name: &str| {
        let base = range::split(name).map_or(name, |(base, _)| base);
        kept.contains(base) || !TELLING.contains(&base)
    };
    RawEntry::new(raw.dn(), raw.attributes().filter(|(name, _)| stays(name)))
}

/// More changes than these are as much as everything.
pub(in crate::directory) fn most_changes(mirror: &Mirror) -> usize {
    FEW.max(mirror.entries.len() / MOST_CHANGED)
}
