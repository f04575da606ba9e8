//! `sync` against a SCIM endpoint that throttles, fails, loses its answers, or has another token by now.

use std::process::Stdio;
use std::time::{Duration, Instant};

use serde_json::json;

use super::relay::Relay;
use super::support::export::{Export, people};
use super::support::idcsync::is_write;
use super::support::ways::{Bench, Way, writes};

const SCOPE: [&str; 2] = ["Team", "Crew"];

fn export() -> Export {
    Export::of(12).group("Team", people(0..8)).group("Crew", people(4..12))
}

fn faulty(faults: &[&str]) -> Bench {
    let options: Vec<&str> = faults.iter().flat_map(|fault| ["--fault", fault]).collect();
    Bench::with(Way::Scim, export(), &SCOPE, &options, "")
}

fn with_fault(bench: &Bench, fault: &str) -> usize {
    bench.sandbox.requests().iter().filter(|r| r["fault"] == fault).count()
}

#[test]
fn throttling_over_scim_is_waited_out() {
    let bench =
        faulty(&["scim:CreateUser:throttle@3", "scim:CreateGroup:throttle@1", "scim:ListUsers:throttle@1"]);
    let begun = Instant::now();
    bench.sync().exits(0).never_says("TargetFailed");
    // It says for how long.
    assert!(begun.elapsed() >= Duration::from_secs(1));
    assert_eq!(with_fault(&bench, "throttle"), 3);
    bench.assert_in_step();
    bench.assert_settled();
}

#[test]
fn a_lost_answer_over_scim_makes_no_second_one_and_no_conflict() {
    for kind in ["timeout-after", "internal-after"] {
        let faults = [format!("scim:CreateUser:{kind}@4"), format!("scim:CreateGroup:{kind}@1")];
        let bench = faulty(&faults.each_ref().map(String::as_str));
        bench.sync().exits(0).never_says("Conflict").never_says("TargetFailed");
        assert_eq!(with_fault(&bench, kind), 2);
        bench.assert_in_step();
        bench.assert_settled();
        let linked = bench.idcsync.run_json(&["status"]).exits(0).json();
        assert_eq!((linked["linkedUsers"].as_u64(), linked["linkedGroups"].as_u64()), (Some(12), Some(2)));
        bench.idcsync.run(&["sync", "--full"]).exits(0).says("Nothing to do");
    }
}

#[test]
fn a_lost_answer_to_memberships_over_scim_is_made_good() {
    for kind in ["timeout-after", "timeout-before", "internal-after", "internal", "validation"] {
        let mut bench = faulty(&[&format!("scim:PatchGroup:{kind}@1")]);
        bench.sync().exits(0);
        bench.change(|export| {
            export.members("Team").extend(people(8..11));
            export.members("Crew").truncate(5);
        });
        bench.sync().exits(0).never_says("TargetFailed");
        assert_eq!(with_fault(&bench, kind), 1);
        let mut expected = bench.expected();
        expected.users = people(0..12).iter().map(|name| format!("{name}@ex.test")).collect();
        expected.assert_same(&bench.contents());
        bench.assert_settled();
    }
}

#[test]
fn failures_over_scim_end_in_the_same_store() {
    let bench = faulty(&["scim:*:internal%15", "scim:*:throttle%5", "scim:Patch*:timeout-after%30"]);
    let mut codes = Vec::new();
    while codes.last() != Some(&0) {
        assert!(codes.len() < 4, "{codes:?}");
        let run = bench.sync();
        assert!([0, 3].contains(&run.code), "{}", run.report());
        codes.push(run.never_says("Conflict").code);
    }
    assert!(with_fault(&bench, "internal") > 0);
    bench.assert_in_step();
}

#[test]
fn a_wrong_token_is_said_with_the_key_that_names_it() {
    let bench = Bench::new(Way::Scim, export(), &SCOPE);
    bench.idcsync.write("token", "wrong");
    for arguments in [&["sync", "--dry-run"][..], &["sync"]] {
        let (run, requests) = bench.requests_of(arguments);
        run.exits(6).complains("token-file").complains("Automatic provisioning").never_says("wrong\"");
        let done = requests.iter().filter(|r| is_write(r) && r["outcome"] == "ok").count();
        assert_eq!(done, 0);
    }
    bench.idcsync.run(&["check"]).exits(6).says("✗").says("token");
    bench.idcsync.run(&["status"]).exits(0).says("TargetUnavailable");
    std::fs::remove_file(bench.idcsync.path("token")).unwrap();
    bench.sync().exits(6).complains("`scim.token-file`").complains("token: No such file");
    bench.idcsync.write("token", bench.sandbox.scim().token());
    bench.sync().exits(0);
    bench.assert_in_step();
    bench.idcsync.run(&["status"]).exits(0).never_says("TargetUnavailable");
}

/// The file has another token in the middle of a sync; the endpoint takes the old one no longer.
#[test]
fn a_token_that_is_replaced_in_the_middle_is_read_again() {
    let bench = Bench::with(Way::Scim, export(), &SCOPE, &["--latency-ms", "60"], "");
    let relay = Relay::start(bench.sandbox.endpoint(), bench.sandbox.scim().token(), "first");
    let config = bench.config("p", "state.db").replace(bench.sandbox.endpoint(), &relay.endpoint);
    bench.idcsync.configure(&config);
    bench.idcsync.write("token", "first");
    let mut command = bench.idcsync.command(&["sync"]);
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let child = command.spawn().expect("start idcsync");
    let begun = Instant::now();
    while relay.posts() < 5 {
        assert!(begun.elapsed() < Duration::from_secs(60), "idcsync stands still");
        std::thread::sleep(Duration::from_millis(2));
    }
    // As it is done with two valid at a time: the new one is put in its place as a whole, then the old one revoked.
    relay.accept("second");
    let new = bench.idcsync.write("new token", "second");
    std::fs::rename(new, bench.idcsync.path("token")).unwrap();
    relay.revoke("first");
    let output = child.wait_with_output().expect("idcsync ends");
    let text =
        format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert_eq!(output.status.code(), Some(0), "{text}");
    assert!(relay.passed_on("first") > 0 && relay.passed_on("second") > 0, "{text}");
    bench.assert_in_step();
    bench.assert_settled();
}

#[test]
fn the_older_form_of_lists_is_enough_for_a_sync() {
    let export = Export::of(120).group("Team", people(0..120)).group("Crew", people(0..30));
    let mut bench = Bench::with(Way::Scim, export, &SCOPE, &["--scim-paging", "older"], "");
    bench.sync().exits(0);
    bench.assert_in_step();
    bench.assert_settled();
    bench.change(|export| {
        export.members("Team").truncate(110);
        export.person("p05").display_name = "Changed".to_owned();
    });
    bench.sync().exits(0);
    assert_eq!(bench.contents().members["Team@ex.test"].len(), 110);
    bench.assert_settled();
    // What a full cycle cannot list, it asks for by itself; and so it is when one is due by the clock.
    let is_in = |user: &serde_json::Value| user["UserName"] == "p00@ex.test";
    let user = bench.sandbox.store().users().into_iter().find(is_in).expect("one of the team");
    let change = json!([{ "AttributePath": "displayName", "AttributeValue": "By hand" }]);
    bench.sandbox.store().call("UpdateUser", json!({ "UserId": user["UserId"], "Operations": change }));
    let mut command = bench.idcsync.command(&["sync"]);
    let output = command.env("IDCSYNC_CLOCK_SHIFT", "25h").output().expect("run idcsync");
    let text =
        format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert_eq!(output.status.code(), Some(0), "{text}");
    assert!(text.contains("1 user to update.") && text.contains("looked up one by one instead"), "{text}");
    let (run, requests) = bench.requests_of(&["sync", "--full"]);
    // The members of a group of more than one page cannot be compared, and are not taken for fewer.
    run.exits(0).says("Nothing to do").complains("the members of a group cannot be compared");
    assert_eq!(writes(&requests), 0, "{requests:?}");
}

#[test]
fn a_group_of_others_that_the_older_form_cannot_list_stops_nothing_but_itself() {
    let export = Export::of(70).group("Team", people(0..60)).group("Crew", people(60..70));
    let bench = Bench::with(Way::Scim, export, &SCOPE, &["--scim-paging", "older"], "");
    // All of Team and one stranger, made by somebody else.
    let scim = bench.sandbox.scim();
    let group = scim.create("/Groups", json!({ "displayName": "Team@ex.test" }));
    for number in 0..60 {
        let name = format!("stranger{number:02}@else.test");
        let user =
            json!({ "userName": name, "displayName": "S", "name": { "givenName": "S", "familyName": "S" } });
        let id = scim.create("/Users", user);
        scim.patch(
            &format!("/Groups/{group}"),
            json!([{ "op": "add", "path": "members", "value": [{ "value": id }] }]),
        );
    }
    for arguments in [&["sync"][..], &["sync"], &["sync", "--full"]] {
        bench.idcsync.run(arguments).exits(0).says("Team@ex.test");
        let there = bench.contents();
        assert_eq!((there.users.len(), there.groups.len()), (130, 2));
        assert_eq!((there.members["Team@ex.test"].len(), there.members["Crew@ex.test"].len()), (60, 10));
        assert!(there.members["Team@ex.test"].iter().all(|name| name.starts_with("stranger")));
    }
    bench.idcsync.run(&["status"]).exits(0).says("TargetRefused Team@ex.test since ").says("HTTP409");
}
