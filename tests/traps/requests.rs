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
