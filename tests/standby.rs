//! Two services on one PostgreSQL, of which one works at a time: killed at random and followed at once, silenced and
//! followed when its lease is over. No write is done twice, none is begun by whoever has lost its lease, and the target
//! ends as the directory has it.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "in a test, a panic is the report")]

mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::thread::sleep;
use std::time::{Duration, Instant};

use serde_json::Value;
use support::export::{Export, people, person};
use support::idcsync::{Idcsync, Sandbox, is_write};
use support::ports::Loopback;
use support::postgres::Postgres;
use support::service::{self, Service};

const SCOPE: [&str; 3] = ["All", "Odd", "Some"];
const CYCLES: usize = 100;
/// Requests that one process has under way at a time.
const IN_FLIGHT: usize = 16;

struct Bench {
    addresses: [Loopback; 2],
    sandbox: Sandbox,
    idcsync: [Idcsync; 2],
    _postgres: Postgres,
}

impl Bench {
    fn new(options: &[&str]) -> Self {
        let bench = Self {
            addresses: [Loopback::claim(), Loopback::claim()],
            sandbox: Sandbox::start_with(options),
            idcsync: [Idcsync::new(""), Idcsync::new("")],
            _postgres: Postgres::start(),
        };
        for (idcsync, address) in bench.idcsync.iter().zip(&bench.addresses) {
            idcsync.write("http-token", "opensesame-opensesame");
            idcsync.configure(&format!(
                "profile = \"p\"\n{}\n{}\n{}[guard]\nmax-percent = 100\n{}\n[schedule]\n\
                 cron = \"0 0 29 2 *\"\n",
                Export::config(&SCOPE),
                bench.sandbox.target(),
                bench._postgres.state(&idcsync.path("")),
                service::config(address),
            ));
        }
        bench
    }

    fn publish(&self, export: &Export) {
        for idcsync in &self.idcsync {
            idcsync.write("next.ldif", &export.text());
            // Nobody reads half a file.
            std::fs::rename(idcsync.path("next.ldif"), idcsync.path("directory.ldif")).unwrap();
        }
    }

    fn start(&self, which: usize) -> Service {
        let name = ["first", "second"][which];
        Service::start(&self.idcsync[which], &self.addresses[which], name)
    }

    fn writes(&self) -> Vec<Value> {
        self.sandbox.requests().into_iter().filter(is_write).collect()
    }
}

/// The company as it is in this round.
fn company(round: usize) -> Export {
    let some = (0..10).filter(|n| !(n + round).is_multiple_of(3)).map(person);
    let odd = (0..24).filter(|n| n % 2 == 1 && !(n + round).is_multiple_of(5)).map(person);
    let mut export = Export::of(24).group("All", people(0..24)).group("Odd", odd).group("Some", some);
    for (n, one) in export.people.values_mut().enumerate() {
        if (n + round).is_multiple_of(4) {
            one.display_name = format!("Person in round {}", round / 4);
        }
    }
    export
}

/// A small generator: which moment a process is killed at is not for the kernel to choose, and can be told again.
struct Dice(u64);

impl Dice {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % limit
    }
}

/// Every write had its effect: none found that it had been done before.
#[track_caller]
fn assert_nothing_twice(writes: &[Value]) {
    let mut members: BTreeMap<String, bool> = BTreeMap::new();
    let mut pairs: BTreeMap<String, String> = BTreeMap::new();
    let mut names: BTreeSet<String> = BTreeSet::new();
    for write in writes {
        assert_eq!(write["outcome"], "ok", "{write}");
        match write["operation"].as_str().unwrap() {
            "CreateGroupMembership" => {
                let pair = format!("{} {}", write["resource"]["groupId"], write["resource"]["userId"]);
                pairs.insert(write["resource"]["membershipId"].to_string(), pair.clone());
                assert_ne!(members.insert(pair, true), Some(true), "added twice: {write}");
            }
            "DeleteGroupMembership" => {
                let pair = pairs.remove(&write["resource"]["membershipId"].to_string());
                assert_eq!(pair.and_then(|p| members.insert(p, false)), Some(true), "removed twice: {write}");
            }
            "CreateUser" | "CreateGroup" => {
                let name = &write["resource"]
                    [if write["resource"]["userName"].is_null() { "displayName" } else { "userName" }];
                assert!(names.insert(name.to_string()), "created twice: {write}");
            }
            _ => {}
        }
    }
}

#[test]
fn killed_again_and_again_one_of_two_goes_on() {
    let bench = Bench::new(&["--latency-ms", "10"]);
    bench.publish(&company(0));
    let mut services = [Some(bench.start(0)), Some(bench.start(1))];
    let mut dice = Dice(20_261_103);
    let mut kills = 0;
    for round in 1..=CYCLES {
        bench.publish(&company(round));
        // Both are asked: whoever comes second says that the other one is at work.
        let mut order: Vec<&Service> = services.iter().flatten().collect();
        if dice.below(2) == 0 {
            order.reverse();
        }
        for service in order {
            service.sync_now();
        }
        if round % 4 != 0 {
            sleep(Duration::from_millis(50 + dice.below(150)));
            continue;
        }
        sleep(Duration::from_millis(dice.below(400)));
        // The holder is killed, whichever it is; where nobody is at work at this moment, one of the two.
        let holder = services.iter().position(|s| {
            s.as_ref().is_some_and(|s| s.status()["service"]["running"]["phase"] == "applying")
        });
        let which = holder.unwrap_or(round / 4 % 2);
        if let Some(mut service) = services[which].take() {
            service.server().kill();
            kills += 1;
        }
        services[which] = Some(bench.start(which));
    }
    assert_eq!(kills, CYCLES / 4);
    let services: Vec<Service> = services.into_iter().flatten().collect();
    // Until a cycle that was begun from here on finds nothing to do.
    let settle = |service: &Service| {
        let mut seen = service.status()["lastCycle"]["cycle"].as_u64();
        service.sync_now();
        service.until("a cycle that finds nothing to do", || {
            let last = service.status()["lastCycle"].clone();
            if last["outcome"].is_null() || last["cycle"].as_u64() <= seen {
                return None;
            }
            seen = last["cycle"].as_u64();
            let done = last["outcome"] == "nothing";
            if !done {
                service.sync_now();
            }
            done.then_some(())
        });
    };
    services.iter().for_each(settle);
    // Whoever was asked while the other one was at work has had its turn.
    sleep(Duration::from_secs(7));
    // Each by itself goes on where the other one left it.
    for (service, round) in services.iter().zip(CYCLES + 1..) {
        bench.publish(&company(round));
        settle(service);
    }
    company(CYCLES + 2).expected(&SCOPE).assert_same(&bench.sandbox.store().contents());
    let writes = bench.writes();
    assert_nothing_twice(&writes);
    let by = |name: &str| writes.iter().filter(|w| w["caller"] == name).count();
    assert!(by("first") > 0 && by("second") > 0, "{} and {}", by("first"), by("second"));
    println!(
        "{CYCLES} rounds, {kills} kills; {} writes by the first, {} by the second",
        by("first"),
        by("second")
    );
}

#[test]
fn whoever_fell_silent_is_followed_and_writes_no_more() {
    let bench = Bench::new(&["--latency-ms", "400"]);
    bench.publish(&company(0));
    let first = bench.start(0);
    first.until("some writes", || (bench.writes().len() > 20).then_some(()));
    first.server_signal("STOP");
    let silent = Instant::now();
    let second = bench.start(1);
    // It is alive, as far as anyone can see: so the lease itself has to end.
    second.wait_for("run begins", 1);
    assert!(silent.elapsed() < Duration::from_secs(60), "taken over after {:?}", silent.elapsed());
    second.wait_for("cycle finished", 1);
    company(0).expected(&SCOPE).assert_same(&bench.sandbox.store().contents());

    let whole = bench.writes().len();
    first.server_signal("CONT");
    first.until("the end of its cycle", || {
        let last = first.status()["service"]["last"]["outcome"].clone();
        (!last.is_null()).then_some(())
    });
    // A lease cannot recall what had been let through when the process was stopped, which is what was under way at most;
    // it finds everything done. Nothing is begun after that.
    let late = bench.writes().split_off(whole).into_iter().filter(|w| w["caller"] == "first");
    assert!(late.clone().count() <= IN_FLIGHT, "it went on after it had lost its lease");
    assert!(late.clone().all(|w| w["outcome"] == "ConflictException"), "{:#?}", late.collect::<Vec<_>>());
    assert_nothing_twice(&bench.writes()[..whole]);
    second.sync_now();
    let cycles = second.wait_for("cycle finished", 2);
    assert_eq!(cycles[1]["outcome"], "nothing");
}
