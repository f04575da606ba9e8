use std::sync::Arc;

use proptest::prelude::*;

use super::*;
use crate::ids::Dn;
use crate::model::{
    Attributes, Completeness, DirectoryKind, EntryRead, GroupIx, Link, MemberRead, Pin, SourceInfo,
    Unreadable, UnreadableMember, UserIx,
};

/// Users are u0, u1, …, groups g0, g1, …; edges by number.
#[derive(Clone, Debug, Default)]
struct World {
    users: u32,
    groups: Vec<(Vec<u32>, Vec<u32>)>,
    entries: Vec<(u32, bool)>,
    incomplete: Vec<u32>,
    unreadable: Vec<(u32, &'static str, Unreadable)>,
}

fn user_anchor(n: u32) -> Anchor {
    Anchor::from_u128(1000 + u128::from(n))
}

fn group_anchor(n: u32) -> Anchor {
    Anchor::from_u128(u128::from(n))
}

impl World {
    fn snapshot(&self) -> Snapshot {
        let dn = |text: String| Dn::parse(&text).unwrap();
        let users = (0..self.users)
            .map(|n| DirectoryUser {
                anchor: user_anchor(n),
                dn: dn(format!("cn=u{n},dc=x")),
                sid: None,
                account: AccountState::Enabled,
                matches_filter: true,
                created: None,
                attributes: Attributes::new(vec![(Arc::from("cn"), vec![b"x".to_vec()])]),
            })
            .collect();
        let groups = (0_u32..)
            .zip(&self.groups)
            .map(|(n, (people, inner))| {
                let mut members = MemberRead {
                    users: people.iter().copied().collect(),
                    groups: inner.iter().copied().collect(),
                    ..MemberRead::default()
                };
                if self.incomplete.contains(&n) {
                    members.completeness = Completeness::Incomplete(vec![Shortfall {
                        kind: ShortfallKind::Timeout,
                        what: format!("g{n}"),
                        detail: "silent".to_owned(),
                    }]);
                }
                for (_, name, why) in self.unreadable.iter().filter(|(g, _, _)| *g == n) {
                    members.unreadable.push(UnreadableMember { dn: dn((*name).to_owned()), why: *why });
                }
                DirectoryGroup {
                    anchor: group_anchor(n),
                    dn: dn(format!("cn=g{n},dc=x")),
                    sid: None,
                    created: None,
                    attributes: Attributes::default(),
                    members,
                }
            })
            .collect();
        let entries = self
            .entries
            .iter()
            .map(|(n, write)| EntryRead {
                entry: ScopeEntry { kind: Kind::Group, name: format!("g{n}"), write: *write },
                outcome: EntryOutcome::Resolved {
                    object: ObjectRef::Group(GroupIx(*n)),
                    name: format!("g{n}"),
                    renamed: false,
                },
            })
            .collect();
        Snapshot {
            source: SourceInfo {
                kind: DirectoryKind::ActiveDirectory,
                server: String::new(),
                binding: String::new(),
                domain: "x".to_owned(),
                current_time: None,
                clock_ahead: None,
                requests: 0,
                received: 0,
            },
            entries,
            users,
            groups,
            findings: Vec::new(),
            next_expiry: None,
        }
    }

    /// As the state would be after this world was read and applied.
    fn recorded(&self) -> Known {
        let snapshot = self.snapshot();
        let mut known = Known::default();
        let scope = Scope::resolve(&snapshot, &known, NestedGroups::Flatten);
        let mut links = BTreeMap::new();
        for (no, user) in scope.users() {
            links.insert(*no, Link::new(*no, Kind::User, user.anchor, user.dn.as_str().to_owned()));
        }
        for (no, group) in scope.groups() {
            let mut link = Link::new(*no, Kind::Group, group.anchor, group.dn.as_str().to_owned());
            if let Some(record) = scope.record_of(*no) {
                link.direct = record.direct;
                link.unreadable = record.unreadable;
            }
            if let Some(written) = scope.written().get(no) {
                link.applied = written.closure.certain().clone();
            }
            links.insert(*no, link);
        }
        known.links = links;
        known
    }
}

fn members(scope: &Scope<'_>, n: u32) -> Vec<Anchor> {
    let no = scope.number(group_anchor(n)).unwrap();
    let certain = scope.written()[&no].closure.certain();
    scope.users().iter().filter(|(u, _)| certain.contains(u.0)).map(|(_, u)| u.anchor).collect()
}

fn excludes(scope: &Scope<'_>, group: u32, user: u32) -> bool {
    let group = scope.number(group_anchor(group)).unwrap();
    let user = scope.number(user_anchor(user)).unwrap();
    scope.written()[&group].closure.not_a_member(user).is_some()
}

fn anchors(users: &[u32]) -> Vec<Anchor> {
    users.iter().copied().map(user_anchor).collect()
}

#[test]
fn nested_groups_in_a_ring_all_hold_everyone() {
    let world = World {
        users: 4,
        groups: vec![(vec![0], vec![1]), (vec![1], vec![2]), (vec![2], vec![0]), (vec![3], vec![])],
        entries: vec![(0, true)],
        ..World::default()
    };
    let snapshot = world.snapshot();
    let known = Known::default();
    let scope = Scope::resolve(&snapshot, &known, NestedGroups::Flatten);
    for g in 0..3 {
        assert_eq!(members(&scope, g), anchors(&[0, 1, 2]));
    }
    assert_eq!(scope.written().len(), 3, "g3 is not reached");
    assert_eq!(scope.whole().certain().len(), 3);
    let u2 = scope.number(user_anchor(2)).unwrap();
    assert_eq!(scope.path_to(u2).unwrap().groups, ["g0", "g1", "g2"]);
    assert_eq!(scope.paths_to(u2, 9).len(), 1);
}

#[test]
fn a_container_is_read_through_and_not_written() {
    let world = World {
        users: 2,
        groups: vec![(vec![0], vec![1]), (vec![1], vec![])],
        entries: vec![(0, false)],
        ..World::default()
    };
    let snapshot = world.snapshot();
    let known = Known::default();
    let scope = Scope::resolve(&snapshot, &known, NestedGroups::Flatten);
    assert_eq!(scope.written().len(), 1);
    assert_eq!(members(&scope, 1), anchors(&[1]));
    assert_eq!(scope.whole().certain().len(), 2);
}

/// Another group leads to it, so that it is read all the same.
#[test]
fn a_container_whose_entry_could_not_be_read_is_not_written() {
    let world = World {
        users: 2,
        groups: vec![(vec![0], vec![1]), (vec![1], vec![])],
        entries: vec![(0, true), (1, false)],
        ..World::default()
    };
    let mut snapshot = world.snapshot();
    snapshot.entries[1].outcome = EntryOutcome::Unread(Shortfall {
        what: String::new(),
        kind: ShortfallKind::ConnectionLost,
        detail: String::new(),
    });
    // It was read before, or never; in the second case it is not known which group it is.
    let pin = Pin { anchor: group_anchor(1), name: "g1".to_owned() };
    let pinned = Known { pins: [((Kind::Group, "g1".to_owned()), pin)].into(), ..Known::default() };
    for known in [&pinned, &Known::default()] {
        let scope = Scope::resolve(&snapshot, known, NestedGroups::Flatten);
        let g0 = scope.number(group_anchor(0)).unwrap();
        assert_eq!(scope.written().keys().collect::<Vec<_>>(), [&g0]);
        assert_eq!(members(&scope, 0), anchors(&[0, 1]));
    }
    // Neither is one that its entry did not bring for another reason.
    let claimed = EntryOutcome::Rebound {
        pinned: None,
        pinned_anchor: group_anchor(1),
        claimant: group_anchor(7),
        claimant_dn: Dn::parse("CN=g1,DC=x").unwrap(),
    };
    for outcome in [claimed, EntryOutcome::NotFound, EntryOutcome::Ambiguous(Vec::new())] {
        snapshot.entries[1].outcome = outcome;
        let scope = Scope::resolve(&snapshot, &pinned, NestedGroups::Flatten);
        let g0 = scope.number(group_anchor(0)).unwrap();
        assert_eq!(scope.written().keys().collect::<Vec<_>>(), [&g0], "{:?}", snapshot.entries[1]);
    }
}

#[test]
fn direct_takes_the_named_groups_and_their_own_people() {
    let world = World {
        users: 2,
        groups: vec![(vec![0], vec![1]), (vec![1], vec![])],
        entries: vec![(0, true)],
        ..World::default()
    };
    let snapshot = world.snapshot();
    let known = Known::default();
    let scope = Scope::resolve(&snapshot, &known, NestedGroups::Direct);
    assert_eq!(scope.written().len(), 1);
    assert_eq!(members(&scope, 0), anchors(&[0]));
}

#[test]
fn an_incomplete_group_withholds_removals_above_it_and_only_there() {
    let mut world = World {
        users: 4,
        groups: vec![(vec![0], vec![2]), (vec![1, 3], vec![]), (vec![2], vec![])],
        entries: vec![(0, true), (1, true)],
        ..World::default()
    };
    let known = world.recorded();
    world.groups = vec![(vec![], vec![2]), (vec![1], vec![]), (vec![2], vec![])];
    world.incomplete = vec![2];
    let snapshot = world.snapshot();
    let scope = Scope::resolve(&snapshot, &known, NestedGroups::Flatten);
    assert!(!excludes(&scope, 0, 0), "g2 below g0 was cut short: u0 may have moved there");
    assert!(excludes(&scope, 1, 3), "g1 was read completely");
    assert!(!scope.whole().is_complete());
}

#[test]
fn a_member_that_cannot_be_shown_protects_those_it_may_be() {
    let mut world = World {
        users: 4,
        groups: vec![(vec![0], vec![1]), (vec![1, 2], vec![])],
        entries: vec![(0, true)],
        ..World::default()
    };
    let known = world.recorded();
    // g1 moved out of sight, and u0 left at the same time.
    world.groups[0] = (vec![3], vec![]);
    world.unreadable = vec![(0, "cn=g1,ou=hidden,dc=x", Unreadable::NotReturned)];
    let snapshot = world.snapshot();
    let scope = Scope::resolve(&snapshot, &known, NestedGroups::Flatten);
    for user in 0..3 {
        assert!(!excludes(&scope, 0, user), "u{user} may be behind the hidden member");
    }
    assert_eq!(members(&scope, 0), anchors(&[3]), "additions may always follow");

    // Known by its DN, the hidden member is g1, and u0 has really left.
    world.unreadable = vec![(0, "CN=g1, DC=X", Unreadable::NotReturned)];
    let snapshot = world.snapshot();
    let scope = Scope::resolve(&snapshot, &known, NestedGroups::Flatten);
    assert!(excludes(&scope, 0, 0));
    assert!(!excludes(&scope, 0, 1));
}

#[test]
fn a_member_unreadable_for_long_protects_nobody_new_and_a_hidden_one_stays_protected() {
    let mut world = World {
        users: 3,
        groups: vec![(vec![0, 1], vec![])],
        entries: vec![(0, true)],
        unreadable: vec![(0, "cn=old,dc=other", Unreadable::Referred)],
        ..World::default()
    };
    let mut known = world.recorded();
    world.groups[0].0 = vec![0];
    let snapshot = world.snapshot();
    assert!(excludes(&Scope::resolve(&snapshot, &known, NestedGroups::Flatten), 0, 1));

    world.unreadable.push((0, "cn=new,dc=other", Unreadable::Referred));
    let snapshot = world.snapshot();
    let scope = Scope::resolve(&snapshot, &known, NestedGroups::Flatten);
    assert!(!excludes(&scope, 0, 1), "u1 may be the new unreadable member");
    let group = scope.number(group_anchor(0)).unwrap();
    let record = scope.record_of(group).unwrap();
    let link = known.links.get_mut(&group).unwrap();
    link.direct = record.direct;
    link.hidden = record.hidden;
    link.unreadable = record.unreadable;
    let again = world.snapshot();
    assert!(!excludes(&Scope::resolve(&again, &known, NestedGroups::Flatten), 0, 1), "also a cycle later");
    world.unreadable.clear();
    let cleared = world.snapshot();
    assert!(excludes(&Scope::resolve(&cleared, &known, NestedGroups::Flatten), 0, 1));
}

#[test]
fn a_foreign_security_principal_hides_none_of_our_own() {
    let mut world =
        World { users: 2, groups: vec![(vec![0, 1], vec![])], entries: vec![(0, true)], ..World::default() };
    let known = world.recorded();
    world.groups[0].0 = vec![0];
    world.unreadable = vec![(0, "cn=S-1-5-21-1,dc=x", Unreadable::ForeignSecurityPrincipal)];
    let snapshot = world.snapshot();
    assert!(excludes(&Scope::resolve(&snapshot, &known, NestedGroups::Flatten), 0, 1));
}

#[test]
fn a_group_that_suddenly_reads_as_empty_puts_those_it_held_in_doubt() {
    let mut world = World {
        users: 3,
        groups: vec![(vec![0], vec![1]), (vec![1, 2], vec![])],
        entries: vec![(0, true)],
        ..World::default()
    };
    let known = world.recorded();
    world.groups = vec![(vec![2], vec![1]), (vec![], vec![])];
    let snapshot = world.snapshot();
    let scope = Scope::resolve(&snapshot, &known, NestedGroups::Flatten);
    let [g0, g1] = [0, 1].map(|n| scope.number(group_anchor(n)).unwrap());
    let [u0, u1] = [0, 1].map(|n| scope.number(user_anchor(n)).unwrap());
    assert_eq!(scope.doubt(g0, u1), Some(&BTreeSet::from([g1])));
    assert_eq!(scope.doubt(g0, u0), None, "u0 left g0 itself");
    assert!(scope.record_of(g1).unwrap().suspect);
    assert_eq!(scope.whole().out_of_scope(u1), None, "in doubt, nobody is out of the scope");
    assert!(scope.whole().out_of_scope(u0).is_some());
    assert!(scope.in_doubt().iter().eq([u1.0]), "u2 is in by another group as well");
}

#[test]
fn member_values_that_are_gone_are_in_doubt_though_there_are_members_by_primary_group() {
    let mut world = World {
        users: 3,
        groups: vec![(vec![0, 1, 2], vec![])],
        entries: vec![(0, true)],
        ..World::default()
    };
    let mut known = world.recorded();
    let scope_of = |world: &World, known: &Known, primary: u32| {
        let mut snapshot = world.snapshot();
        snapshot.groups[0].members.primary.insert(primary);
        let scope = Scope::resolve(&snapshot, known, NestedGroups::Flatten);
        let g0 = scope.number(group_anchor(0)).unwrap();
        let record = scope.record_of(g0).unwrap();
        let doubted: Vec<u32> = scope.in_doubt().iter().collect();
        (g0, record, doubted)
    };
    let numbers: Vec<u32> =
        (0..3).map(|n| known.links.values().find(|l| l.anchor == user_anchor(n)).unwrap().no.0).collect();
    let (g0, record, doubted) = scope_of(&world, &known, 2);
    assert!(!record.suspect && doubted.is_empty());
    assert!(record.primary.iter().eq([numbers[2]]));
    known.links.get_mut(&g0).unwrap().primary = record.primary;
    // Only the one by primary group is left: `member` may not be read any more, or is empty.
    world.groups[0].0 = vec![2];
    let (_, record, doubted) = scope_of(&world, &known, 2);
    assert!(record.suspect);
    assert_eq!(doubted, &numbers[..2]);
    // One of two values of `member` is gone: that is somebody who left.
    world.groups[0].0 = vec![0, 2];
    let (_, record, doubted) = scope_of(&world, &known, 2);
    assert!(!record.suspect && doubted.is_empty());
}

#[test]
fn whom_a_cut_read_has_shown_is_in_doubt_when_nobody_is_read_any_more() {
    let mut world =
        World { users: 2, groups: vec![(vec![0], vec![])], entries: vec![(0, true)], ..World::default() };
    let mut known = world.recorded();
    let g0 = known.links.values().find(|l| l.anchor == group_anchor(0)).unwrap().no;
    // As if it had never been read to its end.
    known.links.get_mut(&g0).unwrap().direct.clear();
    world.incomplete = vec![0];
    let record = Scope::resolve(&world.snapshot(), &known, NestedGroups::Flatten).record_of(g0).unwrap();
    let u0 = known.links.values().find(|l| l.anchor == user_anchor(0)).unwrap().no;
    assert!(record.direct.iter().eq([u0.0]) && !record.suspect);
    known.links.get_mut(&g0).unwrap().direct = record.direct;
    world.incomplete.clear();
    world.groups[0].0.clear();
    let snapshot = world.snapshot();
    let scope = Scope::resolve(&snapshot, &known, NestedGroups::Flatten);
    assert!(scope.record_of(g0).unwrap().suspect);
    assert_eq!(scope.doubt(g0, u0), Some(&BTreeSet::from([g0])));
}

#[test]
fn a_user_named_itself_is_in_by_its_entry() {
    let mut snapshot = World { users: 1, ..World::default() }.snapshot();
    snapshot.entries.push(EntryRead {
        entry: ScopeEntry { kind: Kind::User, name: "alice".to_owned(), write: true },
        outcome: EntryOutcome::Resolved {
            object: ObjectRef::User(UserIx(0)),
            name: "alice".to_owned(),
            renamed: false,
        },
    });
    let known = Known::default();
    let scope = Scope::resolve(&snapshot, &known, NestedGroups::Flatten);
    let u0 = scope.number(user_anchor(0)).unwrap();
    assert!(scope.eligible().contains(u0.0));
    assert_eq!(scope.path_to(u0).unwrap().to_string(), "alice");
}

#[test]
fn a_rebound_entry_freezes_what_only_it_reaches_and_proves_no_absence() {
    let world = World {
        users: 2,
        groups: vec![(vec![0], vec![]), (vec![1], vec![])],
        entries: vec![(0, true), (1, true)],
        ..World::default()
    };
    let mut snapshot = world.snapshot();
    snapshot.entries[0].outcome = EntryOutcome::Rebound {
        pinned: Some(ObjectRef::Group(GroupIx(0))),
        pinned_anchor: group_anchor(0),
        claimant: Anchor::from_u128(77),
        claimant_dn: Dn::parse("cn=g0,dc=y").unwrap(),
    };
    let known = Known::default();
    let scope = Scope::resolve(&snapshot, &known, NestedGroups::Flatten);
    let [g0, g1] = [0, 1].map(|n| scope.number(group_anchor(n)).unwrap());
    assert!(scope.written()[&g0].frozen);
    assert!(!scope.written()[&g1].frozen);
    assert!(!scope.whole().is_complete());
}

/// The naive walk that flattening must equal.
fn naive(world: &World, group: u32, seen: &mut BTreeSet<u32>, found: &mut BTreeSet<u32>) {
    if seen.insert(group) {
        let (people, inner) = &world.groups[group as usize];
        found.extend(people);
        for below in inner {
            naive(world, *below, seen, found);
        }
    }
}

fn worlds() -> impl Strategy<Value = World> {
    (1_u32..12, 1_u32..10).prop_flat_map(|(users, groups)| {
        let edges = (proptest::collection::vec(0..users, 0..4), proptest::collection::vec(0..groups, 0..4));
        (
            proptest::collection::vec(edges, groups as usize),
            proptest::collection::vec((0..groups, any::<bool>()), 1..3),
        )
            .prop_map(move |(list, entries)| World {
                users,
                groups: list,
                entries,
                ..World::default()
            })
    })
}

proptest! {
    #[test]
    fn flattening_equals_a_naive_walk(world in worlds()) {
        let snapshot = world.snapshot();
        let known = Known::default();
        let scope = Scope::resolve(&snapshot, &known, NestedGroups::Flatten);
        for (no, written) in scope.written() {
            let n = (0..world.groups.len() as u32).find(|n| scope.number(group_anchor(*n)) == Some(*no)).unwrap();
            let mut found = BTreeSet::new();
            naive(&world, n, &mut BTreeSet::new(), &mut found);
            prop_assert_eq!(members(&scope, n), anchors(&found.into_iter().collect::<Vec<_>>()));
            prop_assert!(written.closure.is_complete());
        }
        for user in scope.whole().certain() {
            let user = LinkNo(user);
            let shortest = scope.path_to(user).unwrap();
            let all = scope.paths_to(user, 50);
            prop_assert_eq!(shortest.groups.len(), all[0].groups.len());
        }
    }

    #[test]
    fn what_was_not_read_is_never_taken_away(
        before in worlds(), after in worlds(), cut in proptest::collection::vec(0_u32..10, 1..3),
    ) {
        let known = before.recorded();
        let mut after = after;
        after.incomplete = cut.into_iter().filter(|g| (*g as usize) < after.groups.len()).collect();
        let snapshot = after.snapshot();
        let scope = Scope::resolve(&snapshot, &known, NestedGroups::Flatten);
        for (no, written) in scope.written() {
            let n = (0..after.groups.len() as u32).find(|n| scope.number(group_anchor(*n)) == Some(*no)).unwrap();
            let mut seen = BTreeSet::new();
            naive(&after, n, &mut seen, &mut BTreeSet::new());
            if seen.iter().any(|g| after.incomplete.contains(g)) {
                prop_assert!(written.closure.absent_of(&RoaringBitmap::from_iter(0..5000)).is_empty());
            }
        }
    }
}

#[test]
fn who_is_below_a_group_and_by_what_alone() {
    // g0 holds u0 and the groups g1 (u1, u2) and g2 (u2, u3, and back to g0).
    let world = World {
        users: 4,
        groups: vec![(vec![0], vec![1, 2]), (vec![1, 2], vec![]), (vec![2, 3], vec![0])],
        entries: vec![(0, true)],
        ..World::default()
    };
    let snapshot = world.snapshot();
    let scope = Scope::resolve(&snapshot, &Known::default(), NestedGroups::Flatten);
    let group = |n| scope.number(group_anchor(n)).unwrap();
    let people = |list: &[u32]| -> RoaringBitmap {
        list.iter().map(|n| scope.number(user_anchor(*n)).unwrap().0).collect()
    };
    let below = scope.below(group(0)).unwrap();
    assert_eq!((below.direct, below.all), (people(&[0]), people(&[0, 1, 2, 3])));
    let expected = [(group(1), people(&[1, 2]), people(&[1])), (group(2), people(&[2, 3]), people(&[3]))];
    assert_eq!(below.through, expected);
    assert_eq!(scope.groups_below(group(1)).len(), 0);
    assert_eq!(scope.groups_below(group(2)).len(), 3, "by the ring");
}
