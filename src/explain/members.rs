//! Who is in a group, and through what.

use roaring::RoaringBitmap;
use serde::Serialize;

use super::Sight;
use super::compose::label;
use crate::ids::LinkNo;

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Members {
    /// People who are members themselves.
    pub direct: Vec<String>,
    pub direct_groups: Vec<String>,
    /// How many are direct members by `primaryGroupID`.
    pub by_primary_group: u64,
    /// How many people are in it, by whatever way.
    pub effective: u64,
    /// Groups in it, with those who are in by nothing else.
    pub through: Vec<Through>,
    /// How many are in by several of these groups, and not directly.
    pub through_several: u64,
    /// How many of them are synced: in scope, with an account that may sign in and values that can be written.
    pub synced: u64,
    /// How many idcsync holds to be members in the target.
    pub in_target: u64,
    pub unreadable: Vec<Unread>,
    /// Why the list was not read to its end; empty: it was.
    pub incomplete: Vec<String>,
    /// Groups below whose list was not read to its end.
    pub incomplete_below: Vec<String>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Through {
    pub group: String,
    /// People below it.
    pub count: u64,
    /// Those whom nothing else brings in.
    pub only: Vec<String>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Unread {
    pub dn: String,
    pub why: String,
}

/// `None` for a group that was not read.
pub fn members(sight: &Sight<'_>, group: LinkNo) -> Option<Members> {
    let scope = sight.scope;
    let read = *scope.groups().get(&group)?;
    let below = scope.below(group)?;
    let names = |people: &RoaringBitmap| {
        let mut names: Vec<String> = people.iter().map(|no| label(sight, LinkNo(no))).collect();
        names.sort();
        names
    };
    let alone: RoaringBitmap = below.through.iter().fold(RoaringBitmap::new(), |all, (.., only)| all | only);
    let mut through: Vec<Through> = below
        .through
        .iter()
        .map(|(no, people, only)| Through {
            group: label(sight, *no),
            count: people.len(),
            only: names(only),
        })
        .collect();
    through.sort_by(|a, b| (b.only.len(), &a.group).cmp(&(a.only.len(), &b.group)));
    let desired = |no: &u32| sight.desire.desired.users.contains_key(&LinkNo(*no));
    let in_target = sight.known.links.get(&group).filter(|l| l.target_id.is_some());
    let mut direct_groups: Vec<String> = through.iter().map(|t| t.group.clone()).collect();
    if !sight.nested {
        // They are members, and not followed.
        direct_groups =
            read.members.groups.iter().map(|ix| sight.snapshot.groups[ix as usize].dn.leaf()).collect();
    }
    direct_groups.sort();
    let inner = scope.groups_below(group);
    let unread = scope.incomplete_groups().iter().filter(|no| **no != group && inner.contains(no));
    Some(Members {
        direct: names(&below.direct),
        direct_groups,
        by_primary_group: read.members.primary.len(),
        effective: below.all.len(),
        through_several: (&below.all - &below.direct - alone).len(),
        through,
        synced: below.all.iter().filter(desired).count() as u64,
        in_target: in_target.map_or(0, |l| l.applied.len()),
        unreadable: read
            .members
            .unreadable
            .iter()
            .map(|m| Unread { dn: m.dn.to_string(), why: m.why.to_string() })
            .collect(),
        incomplete: read.members.completeness.shortfalls().iter().map(ToString::to_string).collect(),
        incomplete_below: unread.map(|no| label(sight, *no)).collect(),
    })
}
