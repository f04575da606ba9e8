//! A first sync sends as few requests as there can be: counted in the sandbox's own log.
#![allow(clippy::print_stdout, reason = "the counts are for whoever runs it with --no-capture")]

use std::collections::BTreeMap;

use serde_json::Value;

use super::support::export::{Export, people};
use super::support::idcsync::is_write;
use super::support::ways::{Bench, Way};

const USERS: usize = 2_000;
/// Members of ten groups, ten times over.
const SIZES: [usize; 10] = [0, 1, 100, 101, 250, 399, 349, 200, 200, 400];

/// 2,000 users, 100 groups, 20,000 memberships.
fn export() -> (Export, Vec<String>) {
    let mut export = Export::of(USERS);
    let mut scope = Vec::new();
    for number in 0..100 {
        let name = format!("G{number:02}");
        let first = number * 20;
        let members = (first..first + SIZES[number % 10]).map(|n| n % USERS);
        export = export.group(&name, people(members));
        scope.push(name);
    }
    (export, scope)
}

fn counts(requests: &[Value], which: impl Fn(&Value) -> bool) -> BTreeMap<&str, usize> {
    let mut counts = BTreeMap::new();
    for request in requests.iter().filter(|r| which(r)) {
        *counts.entry(request["operation"].as_str().expect("a name")).or_default() += 1;
    }
    counts
}

fn first_sync(way: Way, writes: &[(&str, usize)], most_reads: usize) {
    let (export, scope) = export();
    let groups = scope.len();
    let memberships: usize = export.groups.values().map(Vec::len).sum();
    assert_eq!((groups, memberships), (100, 20_000));
    let scope: Vec<&str> = scope.iter().map(String::as_str).collect();
    let bench = Bench::new(way, export, &scope);
    let (run, requests) = bench.requests_of(&["sync", "-q"]);
    run.exits(0);
    let written = counts(&requests, is_write);
    let read = counts(&requests, |r| !is_write(r));
    let total: usize = written.values().sum();
    println!(
        "{way:?}: {USERS} users, {groups} groups, {memberships} memberships: {total} writes {written:?}, reads {read:?}"
    );
    assert_eq!(written, writes.iter().copied().collect());
    assert!(read.values().sum::<usize>() <= most_reads, "{read:?}");
    bench.assert_in_step();
    bench.assert_settled();
}

#[test]
fn a_first_sync_over_the_api_sends_one_request_for_each_thing() {
    first_sync(
        Way::Api,
        &[("CreateUser", USERS), ("CreateGroup", 100), ("CreateGroupMembership", 20_000)],
        4,
    );
}

#[test]
fn a_first_sync_over_scim_sends_a_hundred_memberships_at_once() {
    let hundreds: usize = SIZES.iter().map(|size| size.div_ceil(100).max(1)).sum::<usize>() * 10;
    first_sync(
        Way::Scim,
        &[("scim:CreateUser", USERS), ("scim:CreateGroup", 100), ("scim:PatchGroup", hundreds - 100)],
        4,
    );
}

/// Of everything something, with the least that each thing can take: a change of a user, a new one, up to a hundred
/// members of one group in or out, a new group with its first hundred.
#[test]
fn a_cycle_with_changes_of_every_kind_sends_the_fewest_requests_over_scim() {
    let export = Export::of(400)
        .group("All", people(0..400))
        .group("Big", people(0..250))
        .group("Small", people(0..3))
        .group("Still", people(100..300));
    let scope = ["All", "Big", "Small", "Still"];
    let guard = "\n[guard]\nmax-percent = 100\n";
    let mut bench = Bench::with(Way::Scim, export, &scope, &[], guard);
    bench.sync().exits(0);

    bench.scope.push("New".to_owned());
    bench.configure();
    bench.change(|export| {
        for n in 400..430 {
            export.add_person(&format!("p{n}"));
        }
        export.members("All").extend(people(400..430));
        // 130 out and 40 in; two each; and 150 into a new one.
        *export.members("Big") = people(130..290);
        *export.members("Small") = people(1..5);
        export.groups.insert("New".to_owned(), people(0..150));
        for name in people(310..320) {
            export.person(&name).display_name = "Somebody Else".to_owned();
        }
        // A member of All and nothing else: one removal, and one change of `active`.
        export.person("p399").disabled = true;
    });
    let (run, requests) = bench.requests_of(&["sync", "-q"]);
    run.exits(0);
    let groups = [
        1 + 1,                       // All: one out, thirty in
        2 + 1,                       // Big
        1 + 1,                       // Small
        150_usize.div_ceil(100) - 1, // New, beyond its creation
    ];
    let written = counts(&requests, is_write);
    let fewest = [
        ("scim:CreateGroup", 1),
        ("scim:CreateUser", 30),
        ("scim:PatchGroup", groups.iter().sum()),
        ("scim:PatchUser", 10 + 1),
    ];
    assert_eq!(written, fewest.into_iter().collect());
    // Whether the names of the newcomers are free, and how the changed ones are now: the users, a hundred at once, and
    // two questions for the group; and whether who is to be disabled is not so already.
    let read = counts(&requests, |r| !is_write(r));
    assert!(read.values().sum::<usize>() <= 4 + 2 + 1, "{read:?}");
    // Disabled, and there.
    let mut expected = bench.expected();
    expected.users.insert("p399@ex.test".to_owned());
    expected.assert_same(&bench.contents());
    bench.assert_settled();
}
