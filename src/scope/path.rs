//! By which ways an object is in: simple paths from the entries, the shortest first.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt;

use roaring::RoaringBitmap;
use serde::Serialize;

use super::graph::{Graph, Node};
use super::{Scope, label};
use crate::ids::LinkNo;

/// From a scope entry down to the group that holds the object.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize)]
pub struct Path {
    /// As the config names it.
    pub entry: String,
    /// Labels of the groups, the entry's own first; empty for a user that is named itself.
    pub groups: Vec<String>,
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.groups.is_empty() {
            write!(f, "{}", self.entry)
        } else {
            f.write_str(&self.groups.join(" → "))
        }
    }
}

/// The breadth-first tree from the entries: one shortest path to every object, in one pass.
pub(super) struct Tree {
    parent: BTreeMap<Node, Node>,
    /// For each person, the nearest node that holds them directly.
    holder: BTreeMap<u32, Node>,
}

impl Tree {
    pub fn of(graph: &Graph, everyone: &RoaringBitmap) -> Self {
        let mut tree = Self { parent: BTreeMap::new(), holder: BTreeMap::new() };
        let mut left = everyone.clone();
        let mut queue = VecDeque::from([graph.root()]);
        while let Some(node) = queue.pop_front() {
            let here = &graph.nodes[node].people & &left;
            tree.holder.extend(here.iter().map(|user| (user, node)));
            left -= here;
            for below in &graph.nodes[node].groups {
                if *below != graph.root() && !tree.parent.contains_key(below) {
                    tree.parent.insert(*below, node);
                    queue.push_back(*below);
                }
            }
        }
        tree
    }
}

/// The shortest path, off the tree.
pub(super) fn shortest(scope: &Scope<'_>, object: LinkNo) -> Option<Path> {
    let (graph, tree) = (&scope.graph, &scope.tree);
    let mut node = match tree.holder.get(&object.0) {
        Some(holder) => *holder,
        None => *graph.by_number.get(&object).filter(|n| tree.parent.contains_key(n))?,
    };
    let mut groups = Vec::new();
    let mut top = object;
    while node != graph.root() {
        top = graph.nodes[node].number?;
        groups.push(label(scope, top));
        node = *tree.parent.get(&node)?;
    }
    groups.reverse();
    let entry = graph.roots.iter().find(|(_, no)| *no == top)?.0.clone();
    Some(Path { entry, groups })
}

/// Breadth first upwards from the object, over simple paths; stops at `limit`.
pub(super) fn all_to(scope: &Scope<'_>, object: LinkNo, limit: usize) -> Vec<Path> {
    let graph = &scope.graph;
    let named: BTreeMap<LinkNo, &str> = graph.roots.iter().rev().map(|(n, no)| (*no, n.as_str())).collect();
    let mut above: BTreeMap<Node, BTreeSet<Node>> = BTreeMap::new();
    for (node, group) in graph.nodes.iter().enumerate().filter(|(node, _)| *node != graph.root()) {
        for below in &group.groups {
            above.entry(*below).or_default().insert(node);
        }
    }
    let mut found = Vec::new();
    let own = graph.by_number.get(&object).copied();
    if let (None, Some(entry)) = (own, named.get(&object)) {
        found.push(Path { entry: (*entry).to_owned(), groups: Vec::new() });
    }
    let mut queue: VecDeque<Vec<Node>> = match own {
        Some(node) => VecDeque::from([vec![node]]),
        None => {
            (0..graph.root()).filter(|n| graph.nodes[*n].people.contains(object.0)).map(|n| vec![n]).collect()
        }
    };
    // The number of simple paths can be exponential: a search among many dead ends gives up.
    let mut steps = 0;
    while let Some(path) = queue.pop_front() {
        steps += 1;
        if found.len() >= limit || steps > 20_000 {
            break;
        }
        let Some(&top) = path.last() else { continue };
        if let Some(entry) = graph.nodes[top].number.and_then(|no| named.get(&no)) {
            let groups = path.iter().rev().filter_map(|n| graph.nodes[*n].number).map(|no| label(scope, no));
            found.push(Path { entry: (*entry).to_owned(), groups: groups.collect() });
        }
        for parent in above.get(&top).into_iter().flatten().filter(|p| !path.contains(p)) {
            let mut longer = path.clone();
            longer.push(*parent);
            queue.push_back(longer);
        }
    }
    found.truncate(limit);
    found
}
