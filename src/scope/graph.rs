//! Groups as a graph over the profile's numbers: what was read, and what may hide or is in doubt.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use roaring::RoaringBitmap;

use super::{GroupRecord, NestedGroups};
use crate::ids::{Anchor, Dn, LinkNo};
use crate::model::{DirectoryGroup, EntryOutcome, Kind, Known, Link, ObjectRef, Snapshot, Unreadable};

/// Index of a group in the graph; the last one is the root, which holds the entries.
pub type Node = usize;

pub struct Graph {
    pub by_number: BTreeMap<LinkNo, Node>,
    pub nodes: Vec<GroupNode>,
    /// Entries, by configured name, with what each resolved to.
    pub roots: Vec<(String, LinkNo)>,
    frozen_roots: BTreeSet<LinkNo>,
}

#[derive(Default)]
pub struct GroupNode {
    pub number: Option<LinkNo>,
    /// Read now.
    pub people: RoaringBitmap,
    pub groups: Vec<Node>,
    /// May stand behind a member that the server cannot show.
    pub hidden_people: RoaringBitmap,
    pub hidden_groups: Vec<Node>,
    /// Recorded members of a group that suddenly reads as empty.
    pub doubted_people: RoaringBitmap,
    pub doubted_groups: Vec<Node>,
    /// The list was not read to its end.
    pub short: bool,
    pub suspect: bool,
    /// It has a member that the server cannot show.
    pub veiled: bool,
    record: Option<GroupRecord>,
}

impl Graph {
    pub fn build(
        snapshot: &Snapshot,
        known: &Known,
        numbers: &BTreeMap<Anchor, LinkNo>,
        nested: NestedGroups,
    ) -> Self {
        let mut graph = Self {
            by_number: BTreeMap::new(),
            nodes: Vec::new(),
            roots: Vec::new(),
            frozen_roots: BTreeSet::new(),
        };
        // Recorded groups that were not read take part with their recorded members: something hidden may be them.
        let read: BTreeSet<LinkNo> = snapshot.groups.iter().map(|g| numbers[&g.anchor]).collect();
        let recorded = known.links.values().filter(|l| l.kind == Kind::Group).map(|l| l.no);
        for no in read.iter().copied().chain(recorded).collect::<BTreeSet<_>>() {
            graph.by_number.insert(no, graph.nodes.len());
            graph.nodes.push(GroupNode { number: Some(no), ..GroupNode::default() });
        }
        for link in known.links.values().filter(|l| l.kind == Kind::Group && !read.contains(&l.no)) {
            let node = graph.by_number[&link.no];
            let (people, groups) = graph.split(&link.direct);
            graph.nodes[node].people = people;
            graph.nodes[node].groups = groups;
        }
        let read = Read::of(snapshot, numbers);
        let by_dn = known_names(snapshot, known);
        for group in &snapshot.groups {
            graph.add_group(&read, known, numbers, nested, &by_dn, group);
        }
        graph.add_root(snapshot, numbers);
        graph
    }

    fn add_group(
        &mut self,
        read: &Read,
        known: &Known,
        numbers: &BTreeMap<Anchor, LinkNo>,
        nested: NestedGroups,
        by_dn: &BTreeMap<String, LinkNo>,
        group: &DirectoryGroup,
    ) {
        let no = numbers[&group.anchor];
        let node = self.by_number[&no];
        let members = &group.members;
        let people = numbered(&members.users, &read.users);
        let inner = numbered(&members.groups, &read.groups);
        let now = &people | &inner;
        let link = known.links.get(&no);

        let unreadable: BTreeSet<String> = members
            .unreadable
            .iter()
            .filter(|m| m.why != Unreadable::ForeignSecurityPrincipal)
            .map(|m| m.dn.key().to_owned())
            .collect();
        let complete = members.completeness.is_complete();
        let hidden = hidden_members(link, &now, &unreadable, by_dn);
        let primary = numbered(&members.primary, &read.users);
        let sound = complete && members.unreadable.is_empty();
        let doubted = if sound { doubted(link, &now, &primary) } else { RoaringBitmap::new() };
        let suspect = !doubted.is_empty();

        let record = match link {
            _ if complete => {
                GroupRecord { direct: &now | &hidden, primary, hidden: hidden.clone(), unreadable, suspect }
            }
            // Whoever was seen is known from now on to have been a member.
            Some(link) => GroupRecord {
                direct: &now | &link.direct,
                // Whoever has another primary group by now may be a member by value.
                primary: &primary | &(&link.primary - &now),
                hidden: link.hidden.clone(),
                unreadable: link.unreadable.clone(),
                suspect,
            },
            None => GroupRecord { direct: now, primary, ..GroupRecord::default() },
        };
        let (hidden_people, hidden_groups) = self.split(&hidden);
        let (doubted_people, doubted_groups) = self.split(&doubted);
        let (_, groups) = self.split(&inner);
        let flat = nested == NestedGroups::Flatten;
        self.nodes[node] = GroupNode {
            number: Some(no),
            people,
            groups: if flat { groups } else { Vec::new() },
            hidden_people,
            hidden_groups: if flat { hidden_groups } else { Vec::new() },
            doubted_people,
            doubted_groups: if flat { doubted_groups } else { Vec::new() },
            short: !complete,
            suspect,
            veiled: !members.unreadable.is_empty(),
            record: Some(record),
        };
    }

    fn add_root(&mut self, snapshot: &Snapshot, numbers: &BTreeMap<Anchor, LinkNo>) {
        let mut root = GroupNode::default();
        for read in &snapshot.entries {
            let (object, frozen) = match &read.outcome {
                EntryOutcome::Resolved { object, .. } => (*object, false),
                EntryOutcome::Rebound { pinned: Some(object), .. } => (*object, true),
                _ => continue,
            };
            let no = match object {
                ObjectRef::User(ix) => {
                    let no = numbers[&snapshot.user(ix).anchor];
                    root.people.insert(no.0);
                    no
                }
                ObjectRef::Group(ix) => {
                    let no = numbers[&snapshot.group(ix).anchor];
                    root.groups.push(self.by_number[&no]);
                    no
                }
            };
            self.roots.push((read.entry.name.clone(), no));
            if frozen {
                self.frozen_roots.insert(no);
            }
        }
        // One object may be named twice, once by a name that is now another's: the sound entry counts.
        for read in &snapshot.entries {
            if let EntryOutcome::Resolved { object, .. } = &read.outcome {
                let anchor = match object {
                    ObjectRef::User(ix) => snapshot.user(*ix).anchor,
                    ObjectRef::Group(ix) => snapshot.group(*ix).anchor,
                };
                self.frozen_roots.remove(&numbers[&anchor]);
            }
        }
        self.nodes.push(root);
    }

    /// Parts numbers into people and groups.
    fn split(&self, members: &RoaringBitmap) -> (RoaringBitmap, Vec<Node>) {
        let mut people = members.clone();
        let mut groups = Vec::new();
        for no in members {
            if let Some(node) = self.by_number.get(&LinkNo(no)) {
                people.remove(no);
                groups.push(*node);
            }
        }
        (people, groups)
    }

    pub fn node(&self, group: LinkNo) -> Node {
        self.by_number[&group]
    }

    pub fn root(&self) -> Node {
        self.nodes.len() - 1
    }

    pub fn has_hidden(&self) -> bool {
        self.nodes.iter().any(|n| !n.hidden_people.is_empty() || !n.hidden_groups.is_empty())
    }

    pub fn has_suspects(&self) -> bool {
        self.nodes.iter().any(|n| n.suspect)
    }

    pub fn record(&self, group: LinkNo) -> Option<GroupRecord> {
        self.by_number.get(&group).and_then(|node| self.nodes[*node].record.clone())
    }

    /// Everyone whom no sound entry reaches. `people` gives everyone below a group.
    pub fn only_frozen<'p>(
        &self,
        everyone: &RoaringBitmap,
        people: impl Fn(Node) -> &'p RoaringBitmap,
    ) -> RoaringBitmap {
        if self.frozen_roots.is_empty() {
            return RoaringBitmap::new();
        }
        let mut left = everyone.clone();
        for (_, no) in self.roots.iter().filter(|(_, no)| !self.frozen_roots.contains(no)) {
            match self.by_number.get(no) {
                Some(node) => left -= people(*node),
                None => {
                    left.remove(no.0);
                }
            }
        }
        left
    }

    /// Every group reached from the entries, and whether only through a frozen one.
    pub fn reached(&self) -> BTreeMap<LinkNo, bool> {
        let sound = self.reach(|no| !self.frozen_roots.contains(&no));
        let frozen = self.reach(|no| self.frozen_roots.contains(&no));
        frozen.into_iter().map(|no| (no, true)).chain(sound.into_iter().map(|no| (no, false))).collect()
    }

    fn reach(&self, from: impl Fn(LinkNo) -> bool) -> BTreeSet<LinkNo> {
        let mut seen = BTreeSet::new();
        let mut queue: VecDeque<Node> = self.nodes[self.root()]
            .groups
            .iter()
            .copied()
            .filter(|n| self.nodes[*n].number.is_some_and(&from))
            .collect();
        while let Some(node) = queue.pop_front() {
            let Some(number) = self.nodes[node].number else { continue };
            if seen.insert(number) {
                queue.extend(&self.nodes[node].groups);
            }
        }
        seen
    }

    /// For each of `people`, in their order, the nearest group at or below `group` that holds the person directly; the
    /// group itself where none does.
    pub fn direct_holders(&self, group: LinkNo, people: &RoaringBitmap) -> Vec<(LinkNo, LinkNo)> {
        let mut left = people.clone();
        let mut holders = Vec::with_capacity(usize::try_from(people.len()).unwrap_or_default());
        let mut seen = BTreeSet::new();
        let mut queue = VecDeque::from([self.node(group)]);
        while let Some(node) = queue.pop_front() {
            if left.is_empty() {
                break;
            }
            let Some(number) = self.nodes[node].number.filter(|_| seen.insert(node)) else { continue };
            let here = &self.nodes[node].people & &left;
            holders.extend(here.iter().map(|user| (LinkNo(user), number)));
            left -= here;
            queue.extend(&self.nodes[node].groups);
        }
        holders.extend(left.iter().map(|user| (LinkNo(user), group)));
        holders.sort_unstable();
        holders
    }
}

/// The numbers of all that was read, by place in the snapshot: looked up once each, not once for each membership.
struct Read {
    users: Vec<u32>,
    groups: Vec<u32>,
}

impl Read {
    fn of(snapshot: &Snapshot, numbers: &BTreeMap<Anchor, LinkNo>) -> Self {
        Self {
            users: snapshot.users.iter().map(|u| numbers[&u.anchor].0).collect(),
            groups: snapshot.groups.iter().map(|g| numbers[&g.anchor].0).collect(),
        }
    }
}

/// A bitmap of places as one of numbers. Numbers need not be in the order of places.
fn numbered(places: &RoaringBitmap, numbers: &[u32]) -> RoaringBitmap {
    let mut list: Vec<u32> = places.iter().map(|place| numbers[place as usize]).collect();
    list.sort_unstable();
    list.into_iter().collect()
}

/// Recorded members of a group that had values of `member` and has none now, though some may be members by
/// `primaryGroupID`: an attribute that may not be read any more looks like one that is empty. And all of them, where
/// there is nobody in either way.
fn doubted(link: Option<&Link>, now: &RoaringBitmap, primary: &RoaringBitmap) -> RoaringBitmap {
    match link {
        Some(link) if now.is_empty() => link.direct.clone(),
        Some(link) if now.is_subset(primary) => &(&link.direct - &link.primary) - now,
        _ => RoaringBitmap::new(),
    }
}

/// Who may be one of the members that the server cannot show: whoever bears such a member's name, as last read, and
/// recorded members that are not read now.
///
/// A member that was unreadable at the last complete read already is another object than those recorded beside
/// it. A new one is exactly the one whose recorded DN it bears, or any of those that are missing.
fn hidden_members(
    link: Option<&Link>,
    now: &RoaringBitmap,
    unreadable: &BTreeSet<String>,
    by_dn: &BTreeMap<String, LinkNo>,
) -> RoaringBitmap {
    if unreadable.is_empty() {
        return RoaringBitmap::new();
    }
    let missing = link.map(|l| &l.direct - now).unwrap_or_default();
    let mut hidden = link.map(|l| &l.hidden & &missing).unwrap_or_default();
    for name in unreadable {
        match by_dn.get(name).filter(|no| !now.contains(no.0)) {
            Some(no) => {
                hidden.insert(no.0);
            }
            None if link.is_some_and(|l| l.unreadable.contains(name)) => {}
            None => hidden |= &missing,
        }
    }
    hidden
}

/// Everything that was ever met, by the normal form of its name; empty where nobody asks.
fn known_names(snapshot: &Snapshot, known: &Known) -> BTreeMap<String, LinkNo> {
    if snapshot.groups.iter().all(|g| g.members.unreadable.is_empty()) {
        return BTreeMap::new();
    }
    let name = |l: &Link| Dn::parse(&l.dn).ok().map(|dn| (dn.key().to_owned(), l.no));
    known.links.values().filter_map(name).collect()
}
