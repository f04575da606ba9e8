//! Which scope groups somebody outside the scope is nearest to: by the groups above.

use std::collections::BTreeMap;

use serde::Serialize;

use super::Sight;
use crate::ids::{Anchor, Dn};
use crate::model::EntryOutcome;
use crate::model::{Above, Below, GroupAbove, ObjectRef};

/// So many are told.
const NAMED: usize = 3;

/// So many scope groups are looked above.
const MOST_ENTRIES: usize = 20;

/// What is kept of the scope until the groups above have been asked for.
#[derive(Clone, Debug, Default)]
pub struct Terrain {
    /// Groups of the scope, with what people call them.
    groups: BTreeMap<Anchor, String>,
    /// The groups that entries name: the config's name, and the DN.
    entries: Vec<(String, Dn)>,
    /// Groups in groups are followed.
    nested: bool,
}

impl Terrain {
    pub fn of(sight: &Sight<'_>) -> Self {
        let groups = sight.snapshot.groups.iter().map(|g| (g.anchor, g.dn.leaf())).collect();
        let entries = sight.snapshot.entries.iter().filter_map(|read| match &read.outcome {
            EntryOutcome::Resolved { object: ObjectRef::Group(ix), .. } => {
                Some((read.entry.name.clone(), sight.snapshot.group(*ix).dn.clone()))
            }
            _ => None,
        });
        Self { groups, entries: entries.take(MOST_ENTRIES).collect(), nested: sight.nested }
    }

    /// Whose groups are to be asked for: the object's, and those of the scope's entries.
    pub fn objects(&self, object: Below) -> Vec<Below> {
        let entries = self.entries.iter().map(|(_, dn)| Below { dn: dn.clone(), primary_group: None });
        std::iter::once(object).chain(entries).collect()
    }
}

/// A scope group that is near.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Near {
    /// The scope group.
    pub group: String,
    /// From the object up to what both have in common, by their names.
    pub by: Vec<String>,
    pub how: How,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum How {
    /// The scope group stands above, and something between does not count: a distribution group, groups in groups.
    Above,
    /// The scope group stands above, all between counts, and the read did not show it.
    Unread,
    /// Both are in the last of `by`.
    SharedGroup,
    /// They have nothing in common: only the group that the object is in is told.
    InNoScopeGroup,
}

/// The nearest first. `above`: the answer for [`Terrain::objects`].
pub fn nearest(terrain: &Terrain, above: &Above) -> Vec<Near> {
    let Some((own, entries)) = above.of.split_first() else { return Vec::new() };
    let mut found: Vec<(u32, How, Near)> = Vec::new();
    for (at, group) in own.iter().enumerate() {
        if let Some(label) = group.anchor.and_then(|anchor| terrain.groups.get(&anchor)) {
            let by = way(own, at);
            let entry = terrain.entries.iter().any(|(_, dn)| *dn == group.dn);
            let followed = terrain.nested || (group.level == 1 && entry);
            let how = if followed && counts(own, at) { How::Unread } else { How::Above };
            found.push((group.level, how, Near { group: label.clone(), by, how }));
        }
    }
    for ((name, dn), list) in terrain.entries.iter().zip(entries) {
        if own.iter().any(|group| group.dn == *dn) {
            continue;
        }
        let shared = list.iter().filter_map(|theirs| {
            let at = own.iter().position(|ours| ours.dn == theirs.dn)?;
            Some((own[at].level + theirs.level, at))
        });
        if let Some((far, at)) = shared.min() {
            let near = Near { group: name.clone(), by: way(own, at), how: How::SharedGroup };
            found.push((far, How::SharedGroup, near));
        }
    }
    found.sort_by(|a, b| (a.1, a.0, &a.2.group).cmp(&(b.1, b.0, &b.2.group)));
    let mut list: Vec<Near> = found.into_iter().map(|(.., near)| near).take(NAMED).collect();
    if list.is_empty() {
        let direct = own.iter().filter(|group| group.level == 1).take(NAMED);
        list.extend(direct.map(|group| Near {
            group: group.dn.leaf(),
            by: Vec::new(),
            how: How::InNoScopeGroup,
        }));
    }
    list
}

/// Whether nothing between the object and this group is of a kind that does not count.
fn counts(list: &[GroupAbove], at: usize) -> bool {
    let mut next = list.get(at);
    while let Some(group) = next {
        if !group.counts {
            return false;
        }
        next = group.below.and_then(|at| list.get(at));
    }
    true
}

/// From the object's own group up to this one. A group that does not count says so.
fn way(list: &[GroupAbove], at: usize) -> Vec<String> {
    let mut names = Vec::new();
    let mut next = Some(at);
    while let Some(group) = next.and_then(|at| list.get(at)) {
        let label = group.dn.leaf();
        names.push(if group.counts { label } else { format!("{label} (a distribution group)") });
        next = group.below;
    }
    names.reverse();
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dn(name: &str) -> Dn {
        Dn::parse(&format!("CN={name},DC=x")).unwrap()
    }

    fn group(name: &str, level: u32, below: Option<usize>) -> GroupAbove {
        GroupAbove { dn: dn(name), anchor: Some(anchor(name)), level, below, counts: true }
    }

    fn anchor(name: &str) -> Anchor {
        Anchor::from_u128(name.bytes().fold(0, |all, byte| all << 8 | u128::from(byte)))
    }

    fn terrain() -> Terrain {
        Terrain {
            groups: [(anchor("aws"), "aws".to_owned())].into(),
            entries: vec![("CORP\\aws".to_owned(), dn("aws"))],
            nested: true,
        }
    }

    #[test]
    fn a_scope_group_above_comes_first_with_the_way_to_it() {
        let mut list = vec![group("mail", 1, None), group("aws", 2, Some(0))];
        list[0].counts = false;
        let above = Above { of: vec![list, vec![]], cut_short: None };
        let by = vec!["mail (a distribution group)".to_owned(), "aws".to_owned()];
        assert_eq!(nearest(&terrain(), &above), [Near { group: "aws".to_owned(), by, how: How::Above }]);
    }

    #[test]
    fn a_way_that_counts_is_one_that_the_read_did_not_show() {
        let how = |terrain: &Terrain, list: Vec<GroupAbove>| {
            nearest(terrain, &Above { of: vec![list, vec![]], cut_short: None })[0].how
        };
        let far = || vec![group("inner", 1, None), group("aws", 2, Some(0))];
        assert_eq!(how(&terrain(), vec![group("aws", 1, None)]), How::Unread);
        assert_eq!(how(&terrain(), far()), How::Unread);
        // Groups in groups are not followed: then only a direct member is one.
        let direct = Terrain { nested: false, ..terrain() };
        assert_eq!(how(&direct, vec![group("aws", 1, None)]), How::Unread);
        assert_eq!(how(&direct, far()), How::Above);
        let beside = Terrain { entries: vec![], ..direct };
        assert_eq!(how(&beside, vec![group("aws", 1, None)]), How::Above);
    }

    #[test]
    fn what_both_are_in_makes_them_neighbours() {
        let own = vec![group("berlin", 1, None), group("world", 2, Some(0)), group("staff", 1, None)];
        let theirs = vec![group("staff", 1, None), group("world", 2, Some(0))];
        let above = Above { of: vec![own, theirs], cut_short: None };
        let near = nearest(&terrain(), &above);
        let expected =
            Near { group: "CORP\\aws".to_owned(), by: vec!["staff".to_owned()], how: How::SharedGroup };
        assert_eq!(near, [expected]);
    }

    #[test]
    fn whoever_has_nothing_in_common_is_told_of_the_own_groups() {
        let above = Above { of: vec![vec![group("berlin", 1, None)], vec![]], cut_short: None };
        let near = nearest(&terrain(), &above);
        assert_eq!((near[0].group.as_str(), near[0].how), ("berlin", How::InNoScopeGroup));
        assert!(nearest(&terrain(), &Above { of: vec![vec![], vec![]], cut_short: None }).is_empty());
    }
}
