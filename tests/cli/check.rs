//! What `check` says: each line with one of four outcomes, in words and as JSON.

use std::fs;

use serde_json::Value;

use super::support::export::{Export, people};
use super::support::idcsync::{Idcsync, Sandbox, is_write};
use super::{offline, offline_config, online};

fn small() -> Export {
    Export::of(8).group("Team", people(0..8))
}

/// The check with this name.
fn check<'c>(report: &'c Value, area: &str, name: &str) -> &'c Value {
    let checks = report["checks"].as_array().expect("a list");
    let found = checks.iter().find(|c| c["area"] == area && c["name"] == name);
    found.unwrap_or_else(|| panic!("no {area} {name} in {report:#}"))
}

fn outcome<'c>(report: &'c Value, area: &str, name: &str) -> &'c str {
    check(report, area, name)["outcome"].as_str().expect("an outcome")
}

#[test]
fn a_good_setup_is_told_area_by_area_and_left_as_it_is() {
    let idcsync = offline(&small(), &["Team"]);
    let before = idcsync.files();
    let run = idcsync.run(&["check"]).exits(0);
    let titles: Vec<&str> = run.stdout.lines().filter(|l| !l.starts_with(' ')).collect();
    assert_eq!(titles, ["Config", "Directory", "Target", "State database", "Quotas"]);
    assert!(run.stdout.lines().all(|l| !l.starts_with("  !") && !l.starts_with("  ✗")), "{}", run.report());
    run.says("  ✓ schema: none yet: the first sync makes it")
        .says("  ✓ lease: free: no cycle is running\n")
        .says("  ✓ users: 8 of 100000 after the ");
    assert!(idcsync.files() == before, "check writes nothing");

    idcsync.run(&["sync"]).exits(0);
    idcsync
        .run(&["check"])
        .exits(0)
        .says("(0 minutes ago): done\n")
        .says("which is this program's\n")
        .says("  ✓ users: 8 of 100000 after the last cycle");
    let report = idcsync.run_json(&["check"]).exits(0).json();
    assert_eq!((report["schema"].as_str(), report["ok"].as_bool()), (Some("idcsync/check/v1"), Some(true)));
    for one in report["checks"].as_array().expect("a list") {
        let mut keys: Vec<&str> = one.as_object().expect("an object").keys().map(String::as_str).collect();
        keys.sort_unstable();
        assert_eq!(keys, ["area", "detail", "name", "outcome", "remedy"]);
        assert!(
            ["ok", "warn", "fail", "unknown"].contains(&one["outcome"].as_str().expect("a word")),
            "{one}"
        );
    }
}

#[test]
fn every_problem_is_told_in_one_run() {
    let idcsync = offline(&small(), &["Team", "Nobody's"]);
    let config = offline_config(&["Team", "Nobody's"]);
    idcsync.configure(&config.replace("sqlite:state.db", "sqlite:elsewhere/state.db"));
    let report = idcsync.run_json(&["check"]).exits(6).json();
    assert_eq!(report["ok"], false);
    assert_eq!(outcome(&report, "directory", "group Team"), "ok");
    assert_eq!(outcome(&report, "directory", "group Nobody's"), "fail");
    assert_eq!(outcome(&report, "target", "reading users"), "ok");
    assert_eq!(outcome(&report, "state", "state database"), "fail");
    // No dry run where something is wrong.
    assert_eq!(outcome(&report, "quotas", "what the next cycle needs"), "unknown");
    idcsync.configure("profile = \"p\"\n[directory]\nkind = \"nothing\"\n");
    idcsync.run(&["check"]).exits(2).complains("kind");
}

/// What a cycle follows, `check` follows; and where each cycle would end, or see a part only, it is not well.
#[test]
fn what_a_cycle_would_make_of_it_counts() {
    let idcsync = offline(&small(), &["Team"]);
    idcsync.run(&["sync"]).exits(0);
    let text = small().text();
    idcsync.write("directory.ldif", &text.replace("sAMAccountName: Team\n", "sAMAccountName: Crew\n"));
    idcsync.run(&["check"]).exits(0).says("  ! group Team: group Team is now called Crew; it is followed");
    let other = Export::of(8).group("Team2", people(0..8)).text().replace("Team2", "Team");
    idcsync.write("directory.ldif", &other);
    idcsync.run(&["check"]).exits(6).says("  ✗ group Team: group Team is the name of another object now");

    let failed = |text: &str, why: &str| {
        idcsync.write("directory.ldif", text);
        idcsync.run(&["sync", "--dry-run"]);
        idcsync.run(&["check"]).exits(6).says(&format!("  ✗ what the next cycle needs: {why}"));
    };
    failed(&text.replace("# idcsync: end\n", ""), "not counted: the dry run could not read everything: ");
    let (before, rest) = text.split_once("objectSid:: ").unwrap();
    let elsewhere =
        format!("{before}objectSid:: AQQAAAAAAAUVAAAACQkJCQkJCQkJCQkJ\n{}", rest.split_once('\n').unwrap().1);
    failed(&elsewhere, "the dry run ended: profile p is bound to directory ");
}

/// The writes are tried on an id that nobody has: nothing is changed by it, and a permission that is not there is told.
#[test]
fn permissions_are_told_apart_without_a_change() {
    let checked = |faults: &[&str]| {
        let options: Vec<&str> = faults.iter().flat_map(|f| ["--fault", f]).collect();
        let sandbox = Sandbox::start_with(&options);
        let idcsync: Idcsync = online(&small(), &["Team"], &sandbox);
        let before = sandbox.store().contents();
        let (run, requests) = sandbox.requests_of(|| idcsync.run_json(&["check"]));
        before.assert_same(&sandbox.store().contents());
        let writes: Vec<Value> = requests.into_iter().filter(is_write).collect();
        (run, writes)
    };
    let (run, writes) = checked(&[]);
    let report = run.exits(0).json();
    for name in ["permissions to read", "permissions to write"] {
        assert_eq!(outcome(&report, "target", name), "ok", "{report:#}");
    }
    let detail = check(&report, "target", "permissions to write")["detail"].as_str().unwrap();
    for call in ["UpdateUser", "DeleteUser", "UpdateGroup", "DeleteGroup", "CreateGroupMembership"] {
        assert!(detail.contains(call), "{detail}");
    }
    // The sandbox knows neither STS nor Organizations.
    assert_eq!(outcome(&report, "target", "trusted access"), "unknown");
    assert!(!writes.is_empty());
    for write in &writes {
        assert!(write["status"].as_u64().is_some_and(|s| s >= 400), "{write}");
    }

    let (run, _) = checked(&["DeleteGroup:access-denied"]);
    let report = run.exits(6).json();
    let denied = check(&report, "target", "identitystore:DeleteGroup");
    assert_eq!(denied["outcome"], "fail");
    assert!(denied["remedy"].as_str().is_some_and(|r| r.contains("sync.json")), "{denied}");
    assert_eq!(outcome(&report, "target", "permissions to write"), "ok");

    let all = [
        "UpdateUser",
        "DeleteUser",
        "UpdateGroup",
        "DeleteGroup",
        "CreateGroupMembership",
        "DeleteGroupMembership",
        "GetGroupMembershipId",
        "IsMemberInGroups",
    ]
    .map(|call| format!("{call}:access-denied"));
    let (run, _) = checked(&all.each_ref().map(String::as_str));
    let report = run.exits(0).json();
    assert_eq!(outcome(&report, "target", "permissions to write"), "warn");
}

#[test]
fn an_older_database_is_worth_a_look_and_a_damaged_one_a_failure() {
    let idcsync = offline(&small(), &["Team"]);
    idcsync.run(&["sync"]).exits(0);
    fs::write(idcsync.path("state.db"), "no database").expect("a file");
    for beside in ["state.db-wal", "state.db-shm"] {
        let _ = fs::remove_file(idcsync.path(beside));
    }
    let report = idcsync.run_json(&["check"]).exits(6).json();
    assert_eq!(outcome(&report, "state", "state database"), "fail");
}
