//! Ended in the middle, and started again: by SIGKILL, by SIGTERM, and by the target's end. Whatever was under way, the
//! target ends as the directory has it, with nothing there twice and nothing lost.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "in a test, a panic is the report")]

mod support;

use std::process::{Child, Output, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use serde_json::Value;
use support::export::{Export, people};
use support::idcsync::{Idcsync, Sandbox, is_write};
use support::process::output;

const SCOPE: [&str; 2] = ["Outer", "Other"];

/// Thirty people; 9 groups in three levels, 141 memberships.
fn export() -> Export {
    let mut export = Export::of(30)
        .group("Outer", ["Mid-1", "Mid-2", "p00", "p01"])
        .group("Mid-1", ["In-1", "In-2", "p02", "p03"])
        .group("Mid-2", ["In-3", "In-4", "p04", "p05"])
        .group("Other", people(0..20));
    for inner in 1..=4 {
        export = export.group(&format!("In-{inner}"), people(inner * 5..inner * 5 + 10));
    }
    export.group("Alone", people(0..3))
}

struct Bench {
    sandbox: Sandbox,
    idcsync: Idcsync,
    export: Export,
}

impl Bench {
    fn new(sandbox_options: &[&str]) -> Self {
        let sandbox = Sandbox::start_with(sandbox_options);
        let bench = Self { sandbox, idcsync: Idcsync::new(""), export: export() };
        bench.idcsync.write("directory.ldif", &bench.export.text());
        bench.configure();
        bench
    }

    fn configure(&self) {
        self.idcsync.configure(&format!(
            "profile = \"p\"\n{}\n{}\n[state]\nurl = \"sqlite:state.db\"\n",
            Export::config(&SCOPE),
            self.sandbox.target()
        ));
    }

    fn start(&self) -> Child {
        let mut command = self.idcsync.command(&["sync"]);
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("start idcsync")
    }

    /// Starts a sync and waits until the sandbox has seen so many requests more that are `such`; nothing if the sync
    /// ends before.
    fn start_and_wait_for(&self, count: usize, such: impl Fn(&Value) -> bool) -> Option<Child> {
        let before = self.sandbox.requests().len();
        let mut child = self.start();
        let begun = Instant::now();
        loop {
            if self.sandbox.requests().iter().skip(before).filter(|r| such(r)).count() >= count {
                return Some(child);
            }
            if child.try_wait().expect("the state of our own child").is_some() {
                return None;
            }
            assert!(begun.elapsed() < Duration::from_secs(60), "idcsync stands still");
            sleep(Duration::from_millis(2));
        }
    }

    #[track_caller]
    fn assert_whole(&self) {
        self.export.expected(&SCOPE).assert_same(&self.sandbox.store().contents());
    }

    /// Everything that there is was made once, and the state knows it.
    #[track_caller]
    fn assert_settled(&self) {
        self.sandbox.assert_settled(&self.idcsync);
        let status = self.idcsync.run_json(&["status"]).exits(0).json();
        let contents = self.sandbox.store().contents();
        let known = [&status["linkedUsers"], &status["linkedGroups"], &status["memberships"]];
        let there = [contents.users.len(), contents.groups.len(), contents.memberships()];
        assert_eq!(known.map(Value::as_u64), there.map(|n| u64::try_from(n).ok()));
    }
}

fn kill(mut child: Child) {
    child.kill().expect("SIGKILL");
    child.wait().expect("the end of our own child");
}

fn signal(child: &Child, name: &str) {
    output(std::process::Command::new("kill").args([&format!("-{name}"), &child.id().to_string()]));
}

fn finish(child: Child) -> (Option<i32>, String, String) {
    let Output { status, stdout, stderr } = child.wait_with_output().expect("the end of our own child");
    let text = |bytes| String::from_utf8(bytes).expect("UTF-8");
    (status.code(), text(stdout), text(stderr))
}

#[test]
fn killed_again_and_again_it_ends_whole() {
    let bench = Bench::new(&["--latency-ms", "15"]);
    let mut kills = 0;
    // Among the creates of users, of groups, and all along the memberships.
    for writes in [1, 12, 10, 2, 25, 1, 5] {
        let Some(child) = bench.start_and_wait_for(writes, is_write) else { break };
        kill(child);
        kills += 1;
    }
    assert_eq!(kills, 7);
    // What is there twice, or not as its record says, panics here.
    let halfway = bench.sandbox.store().contents();
    assert!(halfway.memberships() > 0);
    assert_ne!(halfway, bench.export.expected(&SCOPE), "the kills came too late to be in the middle");
    bench.idcsync.run(&["sync"]).exits(0);
    bench.assert_whole();
    bench.assert_settled();
}

#[test]
fn killed_right_after_an_answer_was_lost_it_finds_what_was_done() {
    for (fault, nth) in [("CreateUser:timeout-after@12", 1), ("CreateGroup:timeout-after@3", 1)] {
        let bench = Bench::new(&["--fault", fault, "--latency-ms", "5"]);
        let lost = |request: &Value| request["withheld"] == true;
        kill(bench.start_and_wait_for(nth, lost).expect("an answer is lost"));
        let run = bench.idcsync.run(&["sync"]).exits(0).never_says("Conflict");
        bench.assert_whole();
        bench.assert_settled();
        drop(run);
    }
}

#[test]
fn killed_while_memberships_lose_their_answers_it_ends_whole() {
    let bench = Bench::new(&["--fault", "CreateGroupMembership:timeout-after%30", "--latency-ms", "5"]);
    for lost in [1, 4, 2] {
        let seen = bench.start_and_wait_for(lost, |request| request["withheld"] == true);
        kill(seen.expect("answers are lost"));
    }
    bench.idcsync.run(&["sync"]).exits(0);
    bench.assert_whole();
    bench.assert_settled();
}

#[test]
fn asked_to_end_it_finishes_what_is_under_way_and_leaves_the_rest() {
    let bench = Bench::new(&["--latency-ms", "60"]);
    let child = bench.start_and_wait_for(40, is_write).expect("it is at work");
    let begun = Instant::now();
    signal(&child, "TERM");
    let (code, stdout, stderr) = finish(child);
    assert_eq!(code, Some(0), "{stderr}");
    assert!(begun.elapsed() < Duration::from_secs(3), "{:?}", begun.elapsed());
    assert!(stderr.contains("left for the next cycle"), "{stderr}");
    assert!(stdout.contains("left for the next cycle"), "{stdout}");
    let there = bench.sandbox.store().contents();
    let status = bench.idcsync.run_json(&["status"]).exits(0).json();
    // Everything that was done is on record, so nothing has to be looked up.
    assert_eq!(status["memberships"].as_u64(), u64::try_from(there.memberships()).ok());
    assert_eq!(status["linkedUsers"].as_u64(), u64::try_from(there.users.len()).ok());
    assert_eq!(status["lastCycle"]["outcome"], "stopped");
    bench.idcsync.run(&["sync"]).exits(0);
    bench.assert_whole();
    bench.assert_settled();
}

#[test]
fn the_target_dies_in_the_middle_and_comes_back() {
    let home = support::dirs::private();
    let store = home.path().join("store.json");
    let store = store.to_str().expect("a path of letters");
    let mut bench = Bench::new(&["--latency-ms", "15", "--store", store]);
    let child = bench.start_and_wait_for(60, is_write).expect("it is at work");
    bench.sandbox.server().signal("KILL");
    let (code, stdout, stderr) = finish(child);
    assert_eq!(code, Some(6), "{stdout}{stderr}");
    assert!(stderr.contains("error: the target failed again and again"), "{stderr}");
    assert!(stdout.contains("left for the next cycle"), "{stdout}");

    bench.sandbox = Sandbox::start_with(&["--store", store]);
    bench.configure();
    bench.idcsync.run(&["sync"]).exits(0);
    bench.assert_whole();
    bench.assert_settled();
}
