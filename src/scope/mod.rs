//! Who is in, by which path, and how sure that is: configured entries → closure → flattened members.
//!
//! Pure. Works over the profile's own numbers ([`LinkNo`]), so that what was read, what was recorded and what was
//! applied are bitmaps that can be held against each other.

mod below;
mod flatten;
mod graph;
mod path;

use std::collections::{BTreeMap, BTreeSet};

use roaring::RoaringBitmap;

pub use below::Below;
pub use path::Path;

use crate::ids::{Anchor, LinkNo};
use crate::model::{
    AccountState, Closure, DirectoryGroup, DirectoryUser, EntryOutcome, EntryRead, Kind, Known, ObjectRef,
    ScopeEntry, Shortfall, ShortfallKind, Snapshot,
};
use flatten::{Bounds, Flattened};
use graph::Graph;

/// What decides, beside the entries, who is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NestedGroups {
    /// Every group reached is written, with all users reached from it.
    Flatten,
    /// Only the named groups, with their own users.
    Direct,
}

/// The scope of one snapshot.
pub struct Scope<'a> {
    numbers: BTreeMap<Anchor, LinkNo>,
    users: BTreeMap<LinkNo, &'a DirectoryUser>,
    groups: BTreeMap<LinkNo, &'a DirectoryGroup>,
    graph: Graph,
    tree: path::Tree,
    written: BTreeMap<LinkNo, WrittenGroup>,
    whole: Closure,
    /// Who would be in if the groups that suddenly read as empty still had their recorded members.
    doubted: BTreeMap<LinkNo, Doubt>,
    /// The same for the scope as a whole.
    in_doubt: RoaringBitmap,
    shortfall_groups: BTreeSet<LinkNo>,
    only_frozen: RoaringBitmap,
}

/// A group that is written to the target.
pub struct WrittenGroup {
    pub closure: Closure,
    /// Reached only through an entry whose name is now on another object: nothing is added or removed.
    pub frozen: bool,
}

/// Someone's place rests on a group that suddenly reads as having no members.
struct Doubt {
    people: RoaringBitmap,
    /// The suspect groups below.
    suspects: BTreeSet<LinkNo>,
}

impl<'a> Scope<'a> {
    /// Numbers all objects (known ones keep theirs, new ones follow by anchor) and flattens.
    pub fn resolve(snapshot: &'a Snapshot, known: &Known, nested: NestedGroups) -> Self {
        let numbers = number(snapshot, known);
        let users: BTreeMap<LinkNo, &DirectoryUser> =
            snapshot.users.iter().map(|u| (numbers[&u.anchor], u)).collect();
        let groups: BTreeMap<LinkNo, &DirectoryGroup> =
            snapshot.groups.iter().map(|g| (numbers[&g.anchor], g)).collect();
        let graph = Graph::build(snapshot, known, &numbers, nested);

        let flat = Flattened::of(&graph, Bounds::Read);
        let hidden = graph.has_hidden().then(|| Flattened::of(&graph, Bounds::Hidden));
        let restored = graph.has_suspects().then(|| Flattened::of(&graph, Bounds::Suspect));

        let closure = |node: graph::Node| {
            let certain = flat.people(node).clone();
            let short = flat.short(node);
            if short.is_empty() {
                let hidden = hidden.as_ref().map(|h| h.people(node).clone()).unwrap_or_default();
                Closure::complete(certain, &hidden).veiled(flat.veiled(node))
            } else {
                let list = short.iter().flat_map(|no| shortfalls(&groups, LinkNo(no))).collect();
                Closure::incomplete(certain, list)
            }
        };

        let pin = |entry: &ScopeEntry| known.pins.get(&(entry.kind, entry.name.clone()));
        // One that its entry did not lead to stays a container, also where another group leads to it.
        let containers: BTreeSet<LinkNo> = entry_groups(snapshot, &numbers)
            .filter(|(entry, _)| !entry.write)
            .map(|(_, group)| group)
            .chain(unresolved_containers(snapshot).filter_map(|e| numbers.get(&pin(e)?.anchor).copied()))
            .collect();
        // And where nothing is known of it yet, any group that is new may be it.
        let blind = unread_containers(snapshot).any(|entry| pin(entry).is_none());
        let named: BTreeSet<LinkNo> = entry_groups(snapshot, &numbers).map(|(_, group)| group).collect();
        let mut written = BTreeMap::new();
        for (group, frozen) in graph.reached() {
            let there = known.links.get(&group).is_some_and(|l| l.target_id.is_some());
            let reached = nested == NestedGroups::Flatten && (there || !blind);
            if (reached || named.contains(&group)) && !containers.contains(&group) {
                written.insert(group, WrittenGroup { closure: closure(graph.node(group)), frozen });
            }
        }

        let entries_short: Vec<Shortfall> =
            snapshot.entries.iter().filter(|e| !e.outcome.is_complete()).map(entry_shortfall).collect();
        let root = closure(graph.root());
        // While a group is suspect, nobody whom it held is out of the scope.
        let root = match &restored {
            Some(r) if root.is_complete() => {
                let hidden = hidden.as_ref().map(|h| h.people(graph.root()).clone()).unwrap_or_default();
                Closure::complete(root.certain().clone(), &(hidden | r.people(graph.root())))
                    .veiled(flat.veiled(graph.root()))
            }
            _ => root,
        };
        let whole = if entries_short.is_empty() {
            root
        } else {
            let all = root.shortfalls().iter().cloned().chain(entries_short).collect();
            Closure::incomplete(root.certain().clone(), all)
        };
        let in_doubt = restored
            .as_ref()
            .map_or_else(RoaringBitmap::new, |r| r.people(graph.root()) - flat.people(graph.root()));
        let doubted = restored.map_or_else(BTreeMap::new, |r| {
            written
                .keys()
                .map(|group| {
                    let node = graph.node(*group);
                    let suspects = r.suspects(node).iter().map(LinkNo).collect();
                    (*group, Doubt { people: r.people(node) - flat.people(node), suspects })
                })
                .filter(|(_, d): &(LinkNo, Doubt)| !d.people.is_empty())
                .collect()
        });
        let shortfall_groups =
            groups.iter().filter(|(_, g)| !g.members.completeness.is_complete()).map(|(no, _)| *no).collect();
        let tree = path::Tree::of(&graph, whole.certain());
        let only_frozen = graph.only_frozen(whole.certain(), |node| flat.people(node));
        Self {
            numbers,
            users,
            groups,
            graph,
            tree,
            written,
            whole,
            doubted,
            in_doubt,
            shortfall_groups,
            only_frozen,
        }
    }

    /// The number of an object that was read.
    pub fn number(&self, anchor: Anchor) -> Option<LinkNo> {
        self.numbers.get(&anchor).copied()
    }

    /// Everyone who was read, in scope or not.
    pub fn users(&self) -> &BTreeMap<LinkNo, &'a DirectoryUser> {
        &self.users
    }

    /// Every group that was read, containers included.
    pub fn groups(&self) -> &BTreeMap<LinkNo, &'a DirectoryGroup> {
        &self.groups
    }

    /// Of these it is not sure that they left the group: the read was not confirmed.
    pub fn doubt_members(&mut self, group: LinkNo, people: &RoaringBitmap, why: &str) {
        if let Some(written) = self.written.get_mut(&group) {
            written.closure.doubt(people, why);
        }
    }

    /// Who is in it was not confirmed, whoever that concerns.
    pub fn unsettle(&mut self, group: LinkNo, why: &str) {
        if let Some(written) = self.written.get_mut(&group) {
            written.closure.unsettle(why);
        }
    }

    pub fn unsettle_scope(&mut self, why: &str) {
        self.whole.unsettle(why);
    }

    /// The same for the scope as a whole.
    pub fn doubt_leavers(&mut self, people: &RoaringBitmap, why: &str) {
        self.whole.doubt(people, why);
    }

    pub fn written(&self) -> &BTreeMap<LinkNo, WrittenGroup> {
        &self.written
    }

    /// Everyone reached from any entry.
    pub fn whole(&self) -> &Closure {
        &self.whole
    }

    /// In scope only by entries whose name is now on another object: nobody is created on the strength of those.
    pub fn only_frozen(&self) -> &RoaringBitmap {
        &self.only_frozen
    }

    /// Groups whose own member list was not read to the end.
    pub fn incomplete_groups(&self) -> &BTreeSet<LinkNo> {
        &self.shortfall_groups
    }

    /// In scope, matching the filter, and an account that may sign in: these are written.
    pub fn eligible(&self) -> RoaringBitmap {
        self.of_whole(|u| u.matches_filter && u.account == AccountState::Enabled)
    }

    /// In scope, with an account of which nothing is known.
    pub fn unknown(&self) -> RoaringBitmap {
        self.of_whole(|u| u.matches_filter && u.account == AccountState::Unknown)
    }

    fn of_whole(&self, keep: impl Fn(&DirectoryUser) -> bool) -> RoaringBitmap {
        let certain = self.whole.certain();
        self.users
            .iter()
            .filter(|(no, user)| certain.contains(no.0) && keep(user))
            .map(|(no, _)| no.0)
            .collect()
    }

    /// The suspect groups on which someone's membership of `group` rested, where it did.
    pub fn doubt(&self, group: LinkNo, user: LinkNo) -> Option<&BTreeSet<LinkNo>> {
        self.doubted.get(&group).filter(|d| d.people.contains(user.0)).map(|d| &d.suspects)
    }

    /// Whoever belongs somewhere only if the groups that suddenly read as empty still have their recorded members.
    pub fn doubted_anywhere(&self) -> RoaringBitmap {
        self.doubted.values().fold(self.in_doubt.clone(), |all, doubt| all | &doubt.people)
    }

    /// Who is in the scope only if the groups that suddenly read as empty still have their recorded members.
    pub fn in_doubt(&self) -> &RoaringBitmap {
        &self.in_doubt
    }

    /// What is to be recorded of a group's direct members after this read; where the list was not read to its end,
    /// those recorded before are among them. `None` for a group that was not read.
    pub fn record_of(&self, group: LinkNo) -> Option<GroupRecord> {
        self.graph.record(group)
    }

    /// The way by which each of `people` comes into `group`, in their order: the group on the shortest path that holds
    /// the user directly; the group itself where none does.
    pub fn direct_holders(&self, group: LinkNo, people: &RoaringBitmap) -> Vec<(LinkNo, LinkNo)> {
        self.graph.direct_holders(group, people)
    }

    /// The shortest path from an entry.
    pub fn path_to(&self, object: LinkNo) -> Option<Path> {
        path::shortest(self, object)
    }

    /// Up to `limit` paths from entries, the shortest first; none visits a group twice.
    pub fn paths_to(&self, object: LinkNo, limit: usize) -> Vec<Path> {
        path::all_to(self, object, limit)
    }
}

/// What is recorded of a group after a read of its list.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GroupRecord {
    /// Everyone read, and everyone hidden; where the list was not read to its end, also everyone recorded before.
    pub direct: RoaringBitmap,
    /// Those of them who are members by `primaryGroupID`.
    pub primary: RoaringBitmap,
    pub hidden: RoaringBitmap,
    pub unreadable: BTreeSet<String>,
    /// Reads as empty, in one of the two ways to be a member, although members are recorded: the old record stays until the removals have been approved.
    pub suspect: bool,
}

fn number(snapshot: &Snapshot, known: &Known) -> BTreeMap<Anchor, LinkNo> {
    let mut numbers: BTreeMap<Anchor, LinkNo> = known.links.values().map(|l| (l.anchor, l.no)).collect();
    let mut next = known.next_no();
    let anchors: BTreeSet<Anchor> =
        (snapshot.users.iter().map(|u| u.anchor)).chain(snapshot.groups.iter().map(|g| g.anchor)).collect();
    for anchor in anchors {
        numbers.entry(anchor).or_insert_with(|| {
            let no = next;
            next = LinkNo(next.0 + 1);
            no
        });
    }
    numbers
}

/// Groups that an entry names and that were resolved.
fn entry_groups<'s>(
    snapshot: &'s Snapshot,
    numbers: &'s BTreeMap<Anchor, LinkNo>,
) -> impl Iterator<Item = (&'s ScopeEntry, LinkNo)> {
    snapshot.entries.iter().filter_map(|read| {
        let object = match &read.outcome {
            EntryOutcome::Resolved { object, .. } => Some(*object),
            EntryOutcome::Rebound { pinned, .. } => *pinned,
            _ => None,
        };
        match object {
            Some(ObjectRef::Group(ix)) => Some((&read.entry, numbers[&snapshot.group(ix).anchor])),
            _ => None,
        }
    })
}

/// Entries that are not to be written, and that did not lead to their object.
fn unresolved_containers(snapshot: &Snapshot) -> impl Iterator<Item = &ScopeEntry> {
    let resolved = |read: &&EntryRead| matches!(read.outcome, EntryOutcome::Resolved { .. });
    let rest = snapshot.entries.iter().filter(move |read| !resolved(read));
    rest.map(|read| &read.entry).filter(|entry| !entry.write)
}

/// Entries that are not to be written, and that could not be read.
fn unread_containers(snapshot: &Snapshot) -> impl Iterator<Item = &ScopeEntry> {
    let unread = snapshot.entries.iter().filter(|read| matches!(read.outcome, EntryOutcome::Unread(_)));
    unread.map(|read| &read.entry).filter(|entry| !entry.write)
}

fn shortfalls(groups: &BTreeMap<LinkNo, &DirectoryGroup>, no: LinkNo) -> Vec<Shortfall> {
    groups.get(&no).map(|g| g.members.completeness.shortfalls().to_vec()).unwrap_or_default()
}

fn entry_shortfall(read: &EntryRead) -> Shortfall {
    let what = format!("scope entry {}", read.entry.name);
    match &read.outcome {
        EntryOutcome::Unread(shortfall) => Shortfall { what, ..shortfall.clone() },
        other => {
            let detail = match other {
                EntryOutcome::NotFound => "matches nothing".to_owned(),
                EntryOutcome::Ambiguous(list) => format!("matches {} objects", list.len()),
                EntryOutcome::Rebound { .. } => "its name is on another object now".to_owned(),
                EntryOutcome::Unsuitable(why) => why.clone(),
                EntryOutcome::Resolved { .. } | EntryOutcome::Deleted { .. } | EntryOutcome::Unread(_) => {
                    String::new()
                }
            };
            Shortfall { kind: ShortfallKind::Malformed, what, detail }
        }
    }
}

/// The name that people know an object by: the leaf of its DN.
fn label(scope: &Scope<'_>, no: LinkNo) -> String {
    match (scope.groups.get(&no), scope.users.get(&no)) {
        (Some(group), _) => group.dn.leaf(),
        (None, Some(user)) => user.dn.leaf(),
        (None, None) => no.to_string(),
    }
}

/// The kind of an object that was read.
pub fn kind_of(scope: &Scope<'_>, no: LinkNo) -> Option<Kind> {
    if scope.groups.contains_key(&no) {
        return Some(Kind::Group);
    }
    scope.users.contains_key(&no).then_some(Kind::User)
}

#[cfg(test)]
mod tests;
