//! What belongs to a part: the people whom changes concern, and the groups above them, by the record.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet, VecDeque};

use jiff::Timestamp;
use roaring::RoaringBitmap;

use super::super::rest::{KeptInState, Rest};
use super::MOST;
use crate::directory::{Kept as _, Plain};
use crate::ids::{Anchor, Dn, LinkNo};
use crate::model::{Entries, Kind, Known, Link, Wanted};
use crate::state::{Reader, RecordedGroup, StateError, Which};

/// What a part consists of.
pub struct Chosen {
    /// With the links of the part alone.
    pub known: Known,
    pub groups: BTreeMap<LinkNo, RecordedGroup>,
    pub entries: Entries,
    pub moves: Moves,
}

/// Who joined and left a group, by number.
#[derive(Default)]
pub struct Moves {
    pub joined: BTreeMap<LinkNo, RoaringBitmap>,
    pub left: BTreeMap<LinkNo, RoaringBitmap>,
}

/// `Err`: why it has to be everything.
pub async fn choose(
    state: &Reader,
    wanted: &Wanted,
    rest: &Rest,
    plain: &Plain,
    now: Timestamp,
) -> Result<Result<Chosen, &'static str>, StateError> {
    let mut known = state.load_without_objects(now).await?;
    if !known.approvals.is_empty() || !state.unfinished().await?.is_empty() {
        return Ok(Err("something was approved, or is unfinished"));
    }
    let groups: BTreeMap<LinkNo, RecordedGroup> =
        state.recorded_groups().await?.into_iter().map(|group| (group.no, group)).collect();
    let entries = wanted.entries.iter().map(|entry| (entry.kind, entry.name.clone()));
    let pinned = entries.filter_map(|entry| known.pins.get(&entry)).map(|pin| pin.anchor).collect();
    let people = match People::of(state, &pinned, plain, &groups).await? {
        Ok(people) => people,
        Err(why) => return Ok(Err(why)),
    };
    let People { links: mut found, moves, seeds } = people;
    let people: RoaringBitmap = found.keys().map(|no| no.0).collect();
    let above = above(&groups, &people, seeds);
    if found.len() + above.len() > MOST {
        return Ok(Err("it is nearly everything"));
    }
    let anchors: BTreeSet<Anchor> =
        found.values().map(|link| link.anchor).chain(above.iter().map(|no| groups[no].anchor)).collect();
    let kept = KeptInState { state, mark: &rest.mark, most: MOST };
    let Some(entries) = kept.entries(&anchors).await else {
        return Ok(Err("what was kept of the last read is gone"));
    };
    if !found.values().all(|link| entries.contains_key(&link.anchor)) {
        return Ok(Err("somebody was not read last"));
    }
    // Recorded once, and out of reach by now: as though they were not.
    let above: BTreeSet<LinkNo> =
        above.into_iter().filter(|no| entries.contains_key(&groups[no].anchor)).collect();
    if above.iter().any(|no| groups[no].uncertain || !groups[no].unreadable.is_empty()) {
        return Ok(Err("a group has members that could not be read"));
    }
    let of_groups = state.links_of(Which::Numbers(&above)).await?;
    found.extend(of_groups.into_iter().map(|link| (link.no, link)));
    let is_outside = |anchor: &Anchor| rest.outside.iter().any(|(outside, _)| outside == anchor);
    if found.values().any(|link| is_outside(&link.anchor)) {
        return Ok(Err("somebody was out of the scope"));
    }
    // A group that is frozen, say: whoever is disabled loses it too.
    let is_apart =
        |group: &&RecordedGroup| !found.contains_key(&group.no) && !group.applied.is_disjoint(&people);
    if groups.values().any(|group| is_apart(&group)) {
        return Ok(Err("somebody is a member of a group in the target that is not above them"));
    }
    known.links = found;
    Ok(Ok(Chosen { known, groups, entries, moves }))
}

/// The people whom a change concerns, and the groups from which it goes upwards.
struct People {
    links: BTreeMap<LinkNo, Link>,
    moves: Moves,
    seeds: BTreeSet<LinkNo>,
}

impl People {
    async fn of(
        state: &Reader,
        pinned: &BTreeSet<Anchor>,
        plain: &Plain,
        groups: &BTreeMap<LinkNo, RecordedGroup>,
    ) -> Result<Result<Self, &'static str>, StateError> {
        let by_anchor: HashMap<Anchor, LinkNo> = groups.values().map(|g| (g.anchor, g.no)).collect();
        let members = plain.groups.values();
        let named = members.flat_map(|m| m.joined.iter().chain(&m.left).chain(&m.staying)).cloned().collect();
        let mut by_name: HashMap<Dn, Option<Link>> = HashMap::new();
        for link in state.links_of(Which::Names(&named)).await? {
            let Ok(dn) = Dn::parse(&link.dn) else { continue };
            // Whose name was another's before cannot be told by it.
            by_name.entry(dn).and_modify(|twice| *twice = None).or_insert(Some(link));
        }
        let person = |name: &Dn| by_name.get(name).cloned().flatten().filter(|l| l.kind == Kind::User);

        let mut people = Self { links: BTreeMap::new(), moves: Moves::default(), seeds: BTreeSet::new() };
        people.seeds.extend(pinned.iter().filter_map(|anchor| by_anchor.get(anchor)));
        let single = pinned.iter().filter(|anchor| !by_anchor.contains_key(anchor)).copied().collect();
        let entries = state.links_of(Which::Anchors(&single)).await?;
        if entries.len() != single.len() {
            return Ok(Err("an entry of the scope is not on record"));
        }
        let changed = state.links_of(Which::Anchors(&plain.people)).await?;
        // Whoever was never met is out of reach, whatever is other about them.
        people.links.extend(entries.into_iter().chain(changed).map(|link| (link.no, link)));
        if people.links.values().any(|link| link.kind != Kind::User) {
            return Ok(Err("a person is on record as something else"));
        }
        for (anchor, membership) in &plain.groups {
            let Some(no) = by_anchor.get(anchor) else { continue };
            people.seeds.insert(*no);
            for (names, moved) in
                [(&membership.joined, &mut people.moves.joined), (&membership.left, &mut people.moves.left)]
            {
                for name in names {
                    let Some(link) = person(name) else {
                        return Ok(Err("a member who joined or left is not on record as a person"));
                    };
                    moved.entry(*no).or_default().insert(link.no.0);
                    people.links.insert(link.no, link);
                }
            }
            if membership.left.is_empty() {
                continue;
            }
            // Somebody who stays: a group that has lost all its members is not to be told from one that cannot be read.
            let Some(witness) = membership.staying.iter().find_map(person) else {
                return Ok(Err("of a group that somebody left, nobody is known to stay"));
            };
            people.links.insert(witness.no, witness);
        }
        if is_elsewhere(plain, groups, &people, &by_anchor, state).await? {
            return Ok(Err("objects say that groups have other members than were reported"));
        }
        Ok(Ok(people))
    }
}

/// Whether what was reported of objects says that groups have other members than the log shows.
async fn is_elsewhere(
    plain: &Plain,
    groups: &BTreeMap<LinkNo, RecordedGroup>,
    people: &People,
    by_anchor: &HashMap<Anchor, LinkNo>,
    state: &Reader,
) -> Result<bool, StateError> {
    // Whose name a group has as that of a member, and who could not be read as one.
    let is_member = |name: &Dn| groups.values().any(|group| group.unreadable.contains(name.key()));
    if plain.strangers.iter().any(is_member) {
        return Ok(true);
    }
    if plain.within.is_empty() {
        return Ok(false);
    }
    let by_name: HashMap<Dn, LinkNo> =
        groups.values().filter_map(|group| Some((Dn::parse(&group.dn).ok()?, group.no))).collect();
    let anchors: BTreeSet<Anchor> = plain.within.iter().filter_map(|(anchor, _)| *anchor).collect();
    let numbers: HashMap<Anchor, LinkNo> = state
        .links_of(Which::Anchors(&anchors))
        .await?
        .into_iter()
        .map(|link| (link.anchor, link.no))
        .chain(by_anchor.iter().map(|(anchor, no)| (*anchor, *no)))
        .collect();
    for (anchor, names) in &plain.within {
        let says: HashSet<LinkNo> = names.iter().filter_map(|name| by_name.get(name).copied()).collect();
        let Some(no) = anchor.and_then(|anchor| numbers.get(&anchor)) else {
            if says.is_empty() {
                continue;
            }
            return Ok(true);
        };
        let moved = |moves: &BTreeMap<LinkNo, RoaringBitmap>, group: &RecordedGroup| {
            moves.get(&group.no).is_some_and(|moved| moved.contains(no.0))
        };
        let is_in = |group: &&RecordedGroup| {
            let was = group.direct.contains(no.0) && !group.primary.contains(no.0);
            (was || moved(&people.moves.joined, group)) && !moved(&people.moves.left, group)
        };
        if groups.values().filter(is_in).map(|group| group.no).collect::<HashSet<_>>() != says {
            return Ok(true);
        }
    }
    Ok(false)
}

/// The groups that have any of these people in them, those of `seeds`, and all above.
fn above(
    groups: &BTreeMap<LinkNo, RecordedGroup>,
    people: &RoaringBitmap,
    seeds: BTreeSet<LinkNo>,
) -> BTreeSet<LinkNo> {
    let all: RoaringBitmap = groups.keys().map(|no| no.0).collect();
    let mut parents: HashMap<u32, Vec<LinkNo>> = HashMap::new();
    let mut above = seeds;
    for group in groups.values() {
        for child in &group.direct & &all {
            parents.entry(child).or_default().push(group.no);
        }
        if !group.direct.is_disjoint(people) {
            above.insert(group.no);
        }
    }
    let mut queue: VecDeque<LinkNo> = above.iter().copied().collect();
    while let Some(group) = queue.pop_front() {
        for parent in parents.get(&group.0).into_iter().flatten() {
            if above.insert(*parent) {
                queue.push_back(*parent);
            }
        }
    }
    above
}
