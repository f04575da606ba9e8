//! A target that throttles, fails, loses its answers or refuses: what can be done is done, once; the rest is said, and
//! tried again when that makes sense.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "in a test, a panic is the report")]

mod support;

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use support::export::{Export, people};
use support::idcsync::{Idcsync, Sandbox, is_write};

const SCOPE: [&str; 2] = ["Team", "Crew"];

fn export() -> Export {
    Export::of(12).group("Team", people(0..8)).group("Crew", people(4..12))
}

struct Bench {
    sandbox: Sandbox,
    idcsync: Idcsync,
    export: Export,
}

impl Bench {
    fn new(sandbox_options: &[&str], target_options: &str) -> Self {
        let sandbox = Sandbox::start_with(sandbox_options);
        let idcsync = Idcsync::new(&format!(
            "profile = \"p\"\n{}\n{}{target_options}\n[state]\nurl = \"sqlite:state.db\"\n",
            Export::config(&SCOPE),
            sandbox.target()
        ));
        let export = export();
        idcsync.write("directory.ldif", &export.text());
        Self { sandbox, idcsync, export }
    }

    #[track_caller]
    fn assert_whole_and_settled(&self) {
        self.export.expected(&SCOPE).assert_same(&self.sandbox.store().contents());
        self.sandbox.assert_settled(&self.idcsync);
    }
}

/// The codes of the findings that stand, of one object or of all.
fn codes(status: &Value, label: Option<&str>) -> Vec<String> {
    let findings = status["findings"].as_array().expect("findings");
    let findings = findings.iter().map(|f| &f["finding"]);
    let of = findings.filter(|f| label.is_none_or(|label| f["subject"]["label"] == label));
    of.map(|f| f["code"].as_str().expect("a code").to_owned()).collect()
}

#[test]
fn throttling_failures_and_lost_answers_end_in_the_same_target() {
    let faults =
        ["*:throttle%5", "*:internal%10", "CreateUser:timeout-after%25", "CreateGroup:timeout-after@1"];
    let options: Vec<&str> = faults.iter().flat_map(|fault| ["--fault", fault]).collect();
    let bench = Bench::new(&options, "");
    // What is still not done after all retries is left for another cycle, and said by the exit code.
    let mut codes = Vec::new();
    while codes.last() != Some(&0) {
        assert!(codes.len() < 4, "{codes:?}");
        let run = bench.idcsync.run(&["sync"]);
        assert!([0, 3].contains(&run.code), "{}", run.report());
        codes.push(run.never_says("Conflict").code);
    }
    let requests = bench.sandbox.requests();
    for fault in ["throttle", "internal", "timeout-after"] {
        assert!(requests.iter().any(|request| request["fault"] == fault), "no {fault}");
    }
    bench.export.expected(&SCOPE).assert_same(&bench.sandbox.store().contents());
}

#[test]
fn an_answer_that_is_always_lost_is_given_up_and_made_good_later() {
    let bench = Bench::new(
        &["--fault", "CreateUser:timeout-before@3", "--fault", "CreateUser:timeout-before@13"],
        "",
    );
    bench.idcsync.run(&["sync"]).exits(0);
    bench.assert_whole_and_settled();
}

#[test]
fn a_refusal_stops_one_object_and_those_that_need_it_and_is_not_hammered() {
    let bench =
        Bench::new(&["--fault", "CreateUser:validation@3", "--fault", "CreateGroupMembership:quota@2"], "");
    let run = bench.idcsync.run_json(&["sync"]).exits(0).json();
    assert_eq!(run["counts"]["failed"], json!({ "create-user": 1, "add-member": 1 }), "{run:#}");
    let expected = bench.export.expected(&SCOPE);
    let there = bench.sandbox.store().contents();
    assert_eq!((there.users.len(), there.groups.len()), (expected.users.len() - 1, 2));
    let refused = expected.users.difference(&there.users).next().expect("one user").clone();
    let status = bench.idcsync.run_json(&["status"]).exits(0).json();
    assert_eq!(codes(&status, Some(&refused)), ["TargetRefused"], "{status:#}");
    let missing = expected.memberships() - there.memberships();
    assert!((2..=3).contains(&missing), "{missing}");

    // The membership is tried again, the user not before an hour is over.
    let (_, requests) = bench.sandbox.requests_of(|| {
        bench.idcsync.run(&["sync"]).exits(0).says("is asked again after");
        bench.idcsync.run(&["sync"]).exits(0).says("is asked again after");
    });
    let writes: Vec<_> = requests.iter().filter(|r| is_write(r)).map(|r| &r["operation"]).collect();
    assert_eq!(writes, ["CreateGroupMembership"]);
    let there = bench.sandbox.store().contents();
    assert_eq!(there.users.len(), expected.users.len() - 1);
    for (group, members) in &expected.members {
        let without: std::collections::BTreeSet<_> =
            members.iter().filter(|name| **name != refused).cloned().collect();
        assert_eq!(there.members[group], without, "{group}");
    }
    bench.idcsync.run(&["sync", "--strict"]).exits(3);

    // Other values are another question.
    let mut export = bench.export.clone();
    let name = refused.split('@').next().expect("a name");
    export.people.get_mut(name).expect("a person").display_name = "Somebody Else".to_owned();
    bench.idcsync.write("directory.ldif", &export.text());
    bench.idcsync.run(&["sync"]).exits(0);
    bench.assert_whole_and_settled();
}

#[test]
fn an_address_that_another_user_has_is_a_conflict_of_one() {
    let bench = Bench::new(&[], "");
    let stranger = json!({
        "UserName": "stranger", "DisplayName": "S", "Name": { "GivenName": "S", "FamilyName": "S" },
        "Emails": [{ "Value": "p05@mail.ex.test", "Primary": true }],
    });
    bench.sandbox.store().call("CreateUser", stranger);
    let run = bench.idcsync.run(&["sync"]).exits(0).says("ConflictError p05@ex.test");
    let mut there = bench.sandbox.store().contents();
    assert!(there.users.remove("stranger"));
    let mut expected = bench.export.expected(&SCOPE);
    expected.users.remove("p05@ex.test");
    for members in expected.members.values_mut() {
        members.remove("p05@ex.test");
    }
    expected.assert_same(&there);
    let (_, requests) = bench.sandbox.requests_of(|| bench.idcsync.run(&["sync"]).exits(0));
    assert!(!requests.iter().any(is_write), "{requests:?}\n{}", run.report());
}

#[test]
fn somebody_else_changing_the_same_group_is_waited_out() {
    let bench = Bench::new(&["--fault", "CreateGroupMembership:conflict%30"], "");
    bench.idcsync.run(&["sync"]).exits(0).never_says("ConflictError").never_says("TargetFailed");
    bench.assert_whole_and_settled();
}

#[test]
fn out_of_time_the_rest_is_left_for_the_next_cycle() {
    let bench = Bench::new(&["--latency-ms", "1100"], "max-apply = \"1s\"\n");
    let begun = Instant::now();
    bench
        .idcsync
        .run(&["sync"])
        .exits(0)
        .complains("Out of time (target.max-apply)")
        .complains("left for the next cycle")
        .says("left for the next cycle");
    let first = bench.sandbox.store().contents();
    let expected = bench.export.expected(&SCOPE);
    assert!(first.users.len() + first.memberships() < expected.users.len() + expected.memberships());
    let mut runs = 1;
    while bench.idcsync.run(&["sync"]).exits(0).stderr.contains("Out of time") {
        runs += 1;
        assert!(runs < 5 && begun.elapsed() < Duration::from_secs(30));
    }
    bench.assert_whole_and_settled();
}

#[test]
fn a_target_that_denies_everything_is_given_up_at_once() {
    let bench = Bench::new(&["--fault", "*:access-denied"], "");
    let begun = Instant::now();
    let run = bench
        .idcsync
        .run(&["sync"])
        .exits(6)
        .complains("is not authorized to perform")
        .complains("idcsync check");
    assert!(begun.elapsed() < Duration::from_secs(5), "{}", run.report());
    assert!(bench.sandbox.requests().len() < 30, "{}", bench.sandbox.requests().len());
    let status = bench.idcsync.run_json(&["status"]).exits(0).json();
    assert_eq!(status["linkedUsers"], 0);
    assert_eq!(codes(&status, Some("p")), ["TargetUnavailable"]);
    bench.idcsync.run(&["check"]).exits(6).says("✗").says("→");
}

#[test]
fn a_target_that_denies_writes_is_given_up_before_all_are_tried() {
    let bench = Bench::new(&["--fault", "Create*:access-denied"], "");
    bench
        .idcsync
        .run(&["sync"])
        .exits(6)
        .says("give the caller's role the permission")
        .complains("error: the target failed again and again")
        .complains("CreateUser");
    let writes = bench.sandbox.requests().iter().filter(|r| is_write(r)).count();
    assert!((10..=26).contains(&writes), "{writes}");
    assert_eq!(bench.sandbox.store().contents(), support::contents::Contents::default());
}
