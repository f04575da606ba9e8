//! The transitive closure of people over the groups: one pass over the condensation, so that rings cost nothing
//! and each group's people are gathered once.

use petgraph::algo::kosaraju_scc;
use petgraph::graph::{DiGraph, NodeIndex};
use roaring::RoaringBitmap;

use super::graph::{Graph, GroupNode, Node};

/// Which edges count.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Bounds {
    /// What was positively read.
    Read,
    /// And what may hide behind members that the server cannot show.
    Hidden,
    /// And what groups held that suddenly read as empty.
    Suspect,
}

/// For each node, everyone reached from it, the groups below that were not read to the end, and the suspects.
pub struct Flattened {
    component: Vec<usize>,
    people: Vec<RoaringBitmap>,
    short: Vec<RoaringBitmap>,
    suspects: Vec<RoaringBitmap>,
    veiled: Vec<bool>,
}

impl Flattened {
    pub fn of(graph: &Graph, bounds: Bounds) -> Self {
        let mut edges = DiGraph::<(), (), u32>::with_capacity(graph.nodes.len(), 0);
        let indexes: Vec<NodeIndex> = graph.nodes.iter().map(|_| edges.add_node(())).collect();
        for (from, node) in graph.nodes.iter().enumerate() {
            for to in below(node, bounds) {
                edges.add_edge(indexes[from], indexes[to], ());
            }
        }
        // Components come children first.
        let components = kosaraju_scc(&edges);
        let mut flat = Self {
            component: vec![0; graph.nodes.len()],
            people: Vec::with_capacity(components.len()),
            short: Vec::with_capacity(components.len()),
            suspects: Vec::with_capacity(components.len()),
            veiled: Vec::with_capacity(components.len()),
        };
        for (at, members) in components.iter().enumerate() {
            for member in members {
                flat.component[member.index()] = at;
            }
            let mut people = RoaringBitmap::new();
            let mut short = RoaringBitmap::new();
            let mut suspects = RoaringBitmap::new();
            let mut veiled = false;
            for member in members {
                let node = &graph.nodes[member.index()];
                people |= &node.people;
                if bounds != Bounds::Read {
                    people |= &node.hidden_people;
                }
                if bounds == Bounds::Suspect {
                    people |= &node.doubted_people;
                }
                veiled |= node.veiled;
                if let Some(number) = node.number {
                    if node.short {
                        short.insert(number.0);
                    }
                    if node.suspect {
                        suspects.insert(number.0);
                    }
                }
                for to in below(node, bounds) {
                    let child = flat.component[to];
                    if child != at {
                        people |= &flat.people[child];
                        short |= &flat.short[child];
                        suspects |= &flat.suspects[child];
                        veiled |= flat.veiled[child];
                    }
                }
            }
            flat.people.push(people);
            flat.short.push(short);
            flat.suspects.push(suspects);
            flat.veiled.push(veiled);
        }
        flat
    }

    pub fn people(&self, node: Node) -> &RoaringBitmap {
        &self.people[self.component[node]]
    }

    pub fn short(&self, node: Node) -> &RoaringBitmap {
        &self.short[self.component[node]]
    }

    /// Whether some member below could not be shown.
    pub fn veiled(&self, node: Node) -> bool {
        self.veiled[self.component[node]]
    }

    pub fn suspects(&self, node: Node) -> &RoaringBitmap {
        &self.suspects[self.component[node]]
    }
}

fn below(node: &GroupNode, bounds: Bounds) -> impl Iterator<Item = Node> {
    let hidden: &[Node] = if bounds == Bounds::Read { &[] } else { &node.hidden_groups };
    let doubted: &[Node] = if bounds == Bounds::Suspect { &node.doubted_groups } else { &[] };
    node.groups.iter().chain(hidden).chain(doubted).copied()
}
