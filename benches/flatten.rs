//! Flattening alone: 100,000 users in 10,000 groups nested five deep, 500,000 direct memberships, 5,000,000 effective
//! ones. Time, and the memory that it takes beside the snapshot it reads.
//!
//! ```text
//! cargo bench --bench flatten
//! ```
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    reason = "this measures and prints; a panic is the report"
)]

use std::collections::BTreeMap;
use std::fs;
use std::sync::Arc;
use std::time::Instant;

use idcsync::ids::{Anchor, Dn};
use idcsync::model::{
    AccountState, Attributes, DirectoryGroup, DirectoryKind, DirectoryUser, EntryOutcome, EntryRead, GroupIx,
    Kind, Known, Link, MemberRead, ObjectRef, ScopeEntry, Snapshot, SourceInfo,
};
use idcsync::scope::{NestedGroups, Scope};

const USERS: u32 = 100_000;
/// Groups of each level, the one on top first: each has ten below it, and two or three parents.
const LEVELS: [u32; 5] = [1, 9, 90, 900, 9_000];
const DIRECT: u32 = 500_000;
/// Groups have members that stand close together in number, as teams have that were made together.
const SPREAD: u32 = 400;
const RUNS: usize = 5;

/// splitmix64
struct Dice(u64);

impl Dice {
    fn below(&mut self, limit: u32) -> u32 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        u32::try_from((z ^ (z >> 31)) % u64::from(limit.max(1))).unwrap()
    }
}

fn anchor(dice: &mut Dice) -> Anchor {
    let mut word = || u128::from(dice.below(u32::MAX));
    Anchor::from_u128(word() << 96 | word() << 64 | word() << 32 | word())
}

/// `scattered`: members of a group are anybody, as where anchors are drawn by chance; else neighbours.
fn snapshot(scattered: bool) -> Snapshot {
    let mut dice = Dice(1);
    let dn = |text: String| Dn::parse(&text).unwrap();
    let mut users: Vec<DirectoryUser> = (0..USERS)
        .map(|n| DirectoryUser {
            anchor: anchor(&mut dice),
            dn: dn(format!("uid=u{n},ou=people,dc=corp,dc=example")),
            sid: None,
            account: AccountState::Enabled,
            matches_filter: true,
            created: None,
            attributes: Attributes::new(vec![(Arc::from("uid"), vec![format!("u{n}").into_bytes()])]),
        })
        .collect();
    users.sort_by_key(|user| user.anchor);
    let count: u32 = LEVELS.iter().sum();
    let mut groups: Vec<DirectoryGroup> = (0..count)
        .map(|n| DirectoryGroup {
            anchor: anchor(&mut dice),
            dn: dn(format!("cn=g{n},ou=groups,dc=corp,dc=example")),
            sid: None,
            created: None,
            attributes: Attributes::default(),
            members: MemberRead::default(),
        })
        .collect();
    groups.sort_by_key(|group| group.anchor);
    let mut start = 0;
    for (level, size) in LEVELS.iter().enumerate() {
        let next = start + size;
        if let Some(below) = LEVELS.get(level + 1) {
            for n in 0..*below {
                groups[(start + n % size) as usize].members.groups.insert(next + n);
                // And below some others: what is reached in two ways is counted once.
                for _ in 0..1 + n % 2 {
                    groups[(start + dice.below(*size)) as usize].members.groups.insert(next + n);
                }
            }
        }
        start = next;
    }
    for _ in 0..DIRECT {
        let group = dice.below(count);
        let user = match scattered {
            true => dice.below(USERS),
            false => (group * (USERS / count) + dice.below(SPREAD)) % USERS,
        };
        groups[group as usize].members.users.insert(user);
    }
    let entry = ScopeEntry { kind: Kind::Group, name: "g0".to_owned(), write: true };
    let object = ObjectRef::Group(GroupIx(0));
    let outcome = EntryOutcome::Resolved { object, name: "g0".to_owned(), renamed: false };
    Snapshot {
        source: SourceInfo {
            kind: DirectoryKind::Ldap,
            server: String::new(),
            binding: String::new(),
            domain: "corp.example".to_owned(),
            current_time: None,
            clock_ahead: None,
            requests: 0,
            received: 0,
        },
        entries: vec![EntryRead { entry, outcome }],
        users,
        groups,
        findings: Vec::new(),
        next_expiry: None,
    }
}

/// As the state is after this snapshot was applied.
fn recorded(snapshot: &Snapshot) -> Known {
    let scope = Scope::resolve(snapshot, &Known::default(), NestedGroups::Flatten);
    let mut links = BTreeMap::new();
    for (no, user) in scope.users() {
        links.insert(*no, Link::new(*no, Kind::User, user.anchor, user.dn.as_str().to_owned()));
    }
    for (no, group) in scope.groups() {
        let mut link = Link::new(*no, Kind::Group, group.anchor, group.dn.as_str().to_owned());
        link.direct = scope.record_of(*no).unwrap().direct;
        link.applied = scope.written()[no].closure.certain().clone();
        links.insert(*no, link);
    }
    Known { links, ..Known::default() }
}

/// Kilobytes of this process: resident now, and at most.
fn resident() -> (u64, u64) {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let number = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap();
        line.split_whitespace().next().unwrap().parse().unwrap()
    };
    (number("VmRSS:"), number("VmHWM:"))
}

fn measure(what: &str, snapshot: &Snapshot, known: &Known) {
    // From here on the peak is counted anew (proc(5), clear_refs).
    fs::write("/proc/self/clear_refs", "5").unwrap();
    let before = resident().0;
    let mut times = Vec::new();
    let mut effective = 0;
    let mut peak = 0;
    for _ in 0..RUNS {
        let since = Instant::now();
        let scope = Scope::resolve(snapshot, known, NestedGroups::Flatten);
        times.push(since.elapsed().as_secs_f64() * 1000.0);
        effective = scope.written().values().map(|group| group.closure.certain().len()).sum();
        peak = peak.max(resident().1);
    }
    times.sort_by(f64::total_cmp);
    println!(
        "| {what} | {effective} | {:.0} ms | {:.0} MB |",
        times[RUNS / 2],
        peak.saturating_sub(before) as f64 / 1024.0
    );
}

fn main() {
    if !std::env::args().any(|argument| argument == "--bench") {
        return;
    }
    println!(
        "| {USERS} users, {} groups, {DIRECT} direct | effective | median | memory |",
        LEVELS.iter().sum::<u32>()
    );
    println!("| --- | ---: | ---: | ---: |");
    for (scattered, members) in [(false, "members that are neighbours"), (true, "members drawn by chance")] {
        let snapshot = snapshot(scattered);
        measure(&format!("first, {members}"), &snapshot, &Known::default());
        let known = recorded(&snapshot);
        measure(&format!("known, {members}"), &snapshot, &known);
    }
}
