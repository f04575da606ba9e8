//! Who is in one group, and by which of the groups in it.

use std::collections::BTreeSet;

use roaring::RoaringBitmap;

use super::Scope;
use super::graph::Node;
use crate::ids::LinkNo;

/// The people of one group, as far as they were read.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Below {
    pub direct: RoaringBitmap,
    /// Direct ones and those of all groups below.
    pub all: RoaringBitmap,
    /// Groups that are direct members, each with the people below it, and those whom nothing else brings in.
    pub through: Vec<(LinkNo, RoaringBitmap, RoaringBitmap)>,
}

impl Scope<'_> {
    /// `None` for a group that was not read.
    pub fn below(&self, group: LinkNo) -> Option<Below> {
        let graph = &self.graph;
        let own = *graph.by_number.get(&group).filter(|_| self.groups.contains_key(&group))?;
        let direct = graph.nodes[own].people.clone();
        let inner: BTreeSet<Node> = graph.nodes[own].groups.iter().copied().filter(|n| *n != own).collect();
        let people: Vec<(LinkNo, RoaringBitmap)> =
            inner.iter().filter_map(|n| Some((graph.nodes[*n].number?, self.gathered(*n, own)))).collect();
        let (mut once, mut again) = (RoaringBitmap::new(), RoaringBitmap::new());
        for (_, people) in &people {
            again |= &once & people;
            once |= people;
        }
        let through = people
            .into_iter()
            .map(|(no, people)| {
                let only = &people - &direct - &again;
                (no, people, only)
            })
            .collect();
        Some(Below { all: &direct | &once, direct, through })
    }

    /// The groups below a group, itself left out unless a ring leads back to it.
    pub fn groups_below(&self, group: LinkNo) -> BTreeSet<LinkNo> {
        let nodes = &self.graph.nodes;
        let mut found = BTreeSet::new();
        let mut left: Vec<Node> = self.graph.by_number.get(&group).into_iter().copied().collect();
        while let Some(node) = left.pop() {
            let inner = nodes[node].groups.iter().copied();
            left.extend(inner.filter(|n| nodes[*n].number.is_some_and(|no| found.insert(no))));
        }
        found
    }

    /// Everybody at or below a group by ways that do not lead through `not`.
    fn gathered(&self, from: Node, not: Node) -> RoaringBitmap {
        let nodes = &self.graph.nodes;
        let mut people = RoaringBitmap::new();
        let mut seen = BTreeSet::from([from, not]);
        let mut left = vec![from];
        while let Some(node) = left.pop() {
            people |= &nodes[node].people;
            left.extend(nodes[node].groups.iter().copied().filter(|n| seen.insert(*n)));
        }
        people
    }
}
