//! One object by its name, whether the scope leads to it or not, and the groups above it.

use std::collections::{BTreeMap, VecDeque};

use super::{Walk, groups_filter};
use crate::directory::entry::{self, GroupSort, Sort};
use crate::directory::names;
use crate::directory::reader::{Query, RawEntry, Reader};
use crate::ids::{Anchor, Dn};
use crate::model::{Above, AboveRequest, DirectoryKind, GroupAbove, ReadRequest, Snapshot};

/// So many searches for one question: whoever asks about one object does not wait for a whole directory.
const MOST_SEARCHES: usize = 100;

/// The objects of the request's entries, without the members of groups.
pub(in crate::directory) async fn look(reader: &dyn Reader, request: &ReadRequest) -> Snapshot {
    let mut walk = Walk::new(reader, request);
    let resolved = walk.resolve().await;
    for group in &mut walk.groups {
        group.members.clear();
    }
    // Lists that came in part are not read on: nobody asks for members here.
    walk.ranged.clear();
    walk.hold_against_filter(&resolved).await;
    walk.into_snapshot(resolved)
}

/// The groups that hold each of the objects, the nearest first. Rings end.
pub(in crate::directory) async fn above(reader: &dyn Reader, request: &AboveRequest) -> Above {
    let facts = reader.facts();
    let attributes = entry::always(facts.kind).iter().map(|a| (*a).to_owned()).collect();
    let mut found = Above::default();
    let mut searches = 0;
    let mut holders: BTreeMap<String, Vec<RawGroup>> = BTreeMap::new();
    for object in &request.objects {
        let mut list: Vec<GroupAbove> = Vec::new();
        let mut queue = VecDeque::from([(object.dn.clone(), None, 1)]);
        while let Some((dn, below, level)) = queue.pop_front() {
            if !holders.contains_key(dn.key()) {
                if searches >= MOST_SEARCHES {
                    found.cut_short = Some(format!("more than {MOST_SEARCHES} searches were not made"));
                    break;
                }
                searches += 1;
                let mut filter = String::from("(|");
                for attribute in match facts.kind {
                    DirectoryKind::ActiveDirectory => &["member"][..],
                    DirectoryKind::Ldap => &["member", "uniqueMember"],
                } {
                    filter += &names::equal(attribute, dn.as_str());
                }
                if let Some(sid) = object.primary_group.as_ref().filter(|_| below.is_none()) {
                    filter += &names::by_sid(sid);
                }
                filter.push(')');
                let filter = format!("(&{}{filter})", groups_filter(facts.kind));
                let query =
                    Query { filter: &filter, attributes: &attributes, pages: Some(10), verdicts: None };
                let mut groups = Vec::new();
                let ending = reader
                    .search(&query, &mut |raw| {
                        groups.extend(RawGroup::of(reader, &raw, request.distribution))
                    })
                    .await;
                if let Some(fault) = facts.gap(&ending) {
                    found.cut_short = Some(fault.detail);
                }
                holders.insert(dn.key().to_owned(), groups);
            }
            for group in holders.get(dn.key()).into_iter().flatten() {
                if list.iter().any(|known| known.dn == group.dn) || group.dn == object.dn {
                    continue;
                }
                list.push(GroupAbove {
                    dn: group.dn.clone(),
                    anchor: group.anchor,
                    level,
                    below,
                    counts: group.counts,
                });
                queue.push_back((group.dn.clone(), Some(list.len() - 1), level + 1));
            }
        }
        found.of.push(list);
    }
    found
}

struct RawGroup {
    dn: Dn,
    anchor: Option<Anchor>,
    /// Not a distribution group that is passed over.
    counts: bool,
}

impl RawGroup {
    fn of(reader: &dyn Reader, raw: &RawEntry, distribution: bool) -> Option<Self> {
        let Sort::Group(sort) = entry::sort(reader.facts().kind, raw) else { return None };
        let counts = distribution || sort != GroupSort::Distribution;
        Some(Self { dn: Dn::parse(raw.dn()).ok()?, anchor: entry::anchor(reader.facts(), raw), counts })
    }
}
