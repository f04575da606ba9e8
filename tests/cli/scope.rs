//! The scope shown and edited by commands: what a change means is told before it is written, and is what the next cycle
//! then plans.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use serde_json::{Value, json};

use super::support::export::{Export, people};
use super::support::idcsync::{Idcsync, Sandbox, is_write};
use super::{offline, online};

fn export() -> Export {
    Export::of(12)
        .group("Team", people(0..4))
        .group("Inner", people(4..6))
        .group("Rest", people(6..10).into_iter().chain(["Inner".to_owned()]))
        .group("Other", people(10..12))
}

/// Runs it with nothing written anywhere.
fn only_looks<T>(idcsync: &Idcsync, work: impl FnOnce() -> T) -> T {
    let before = idcsync.files();
    let result = work();
    assert!(idcsync.files() == before, "looking writes nothing");
    result
}

fn config(idcsync: &Idcsync) -> String {
    fs::read_to_string(idcsync.path("idcsync.toml")).unwrap()
}

/// What the first line of a plan counts, and what is told of a change.
fn counts(text: &str, start: &str) -> String {
    let line = text.lines().find(|l| l.starts_with(start)).unwrap_or_else(|| panic!("{start} in {text}"));
    line.split_once(": ").unwrap().1.trim().to_owned()
}

#[test]
fn each_entry_is_listed_with_what_it_brings() {
    let idcsync = offline(&export(), &["Team", "Rest", "Nobody", "p00"]);
    only_looks(&idcsync, || {
        idcsync
            .run(&["scope", "list"])
            .exits(0)
            .says("Scope of profile p: 10 users and 3 groups.")
            .says("✓ group Team: 4 users, 1 group, CN=Team,DC=ex,DC=test")
            .says("✓ group Rest: 6 users, 2 groups, CN=Rest,DC=ex,DC=test")
            .says("✗ group Nobody: not found")
            .says("✗ group p00: unsuitable")
            .says("is a person, not a group");
        let json = idcsync.run_json(&["scope", "list"]).exits(0).json();
        assert_eq!(
            (&json["schema"], &json["users"], &json["groups"]),
            (&json!("idcsync/scope/v1"), &json!(10), &json!(3))
        );
        let states: Vec<&Value> = json["entries"].as_array().unwrap().iter().map(|e| &e["state"]).collect();
        assert_eq!(states, ["resolved", "resolved", "not-found", "unsuitable"]);
    });
    idcsync.write("directory.ldif", "dn: DC=ex,DC=test\n");
    idcsync.run(&["scope", "list"]).exits(6).says("✗ group Team: unread").says("the export is not whole");
}

#[test]
fn what_is_told_of_a_change_is_what_the_next_cycle_plans() {
    let sandbox = Sandbox::start();
    let idcsync = online(&export(), &["Team", "Rest"], &sandbox);
    idcsync.run(&["sync"]).exits(0);
    let before = config(&idcsync);

    let (_, requests) = sandbox.requests_of(|| {
        let asked = only_looks(&idcsync, || idcsync.run(&["scope", "remove", "group", "rest"]));
        asked
            .exits(2)
            .says("  - groups = [\"Team\", \"Rest\"]\n  + groups = [\"Team\"]")
            .says("6 users go out of scope: p04@ex.test; p05@ex.test; ")
            .says("2 groups go out of scope: Inner@ex.test; Rest@ex.test")
            .says("after 28 days")
            .says("The next cycle as it is: nothing to do.")
            .says("The guard would hold")
            .complains("nothing was written: there is no terminal to ask on; run it again with --yes");
        only_looks(&idcsync, || idcsync.run(&["scope", "remove", "group", "Rest", "--dry-run"]).exits(0));
    });
    assert!(!requests.iter().any(is_write), "{requests:?}");

    // By another name of the same object.
    let run = idcsync.run(&["scope", "remove", "group", "CN=Rest, DC=ex, DC=test", "--yes"]).exits(0);
    assert_eq!(config(&idcsync), before.replace(", \"Rest\"", ""));
    let plan = idcsync.run(&["sync", "--dry-run"]).exits(4);
    assert_eq!(counts(&run.stdout, "With the change"), counts(&plan.stdout, "Plan "));

    let run = idcsync.run(&["scope", "add", "group", "Other", "--yes"]).exits(0);
    let run = run
        .says("2 users come into scope: p10@ex.test; p11@ex.test")
        .says("1 group comes into scope: Other@ex.test");
    let plan = idcsync.run(&["sync", "--dry-run"]).exits(4);
    assert_eq!(counts(&run.stdout, "With the change"), counts(&plan.stdout, "Plan "));

    let json = idcsync.run_json(&["scope", "add", "group", "Rest", "--yes"]).exits(0).json();
    assert_eq!((&json["schema"], &json["written"]), (&json!("idcsync/scope-change/v1"), &json!(true)));
    assert_eq!(json["effect"]["usersIn"].as_array().unwrap().len(), 6, "{json}");
    assert_eq!(
        json["effect"]["after"]["counts"],
        json!(["2 users to create", "1 group to create", "2 memberships to add"])
    );
    assert!(config(&idcsync).contains("groups = [\"Team\", \"Other\", \"Rest\"]"));
    idcsync.run(&["sync"]).exits(0).says("2 users to create");
    export().expected(&["Team", "Rest", "Other"]).assert_same(&sandbox.store().contents());
}

#[test]
fn names_that_cannot_be_put_in_are_refused() {
    let mut export = export();
    export.person("p01").mail = "p02@mail.ex.test".to_owned();
    let idcsync = offline(&export, &["Team", "Rest"]);
    only_looks(&idcsync, || {
        let refused = |arguments: &[&str], why: &str| {
            let all = [&["scope"], arguments, &["--yes"]].concat();
            idcsync.run(&all).exits(2).complains(why);
        };
        refused(&["add", "group", "Nobody"], "the directory has no group Nobody");
        refused(&["add", "group", "p00"], "is a person, not a group");
        refused(
            &["add", "user", "p02@mail.ex.test"],
            "may be any of these; give the DN of one: CN=p01,DC=ex,DC=test; CN=p02",
        );
        refused(&["add", "user", "CN=p02,DC=other"], "outside the base DN");
        refused(&["add", "user", "p02", "--container"], "--container is for groups");
        refused(&["add", "user", " "], "the name is empty");
        refused(&["remove", "group", "Teams"], "the nearest is Team");
        refused(&["remove", "user", "p00"], "it names no user at all");
        for same in ["team", "CN=Team,DC=ex,DC=test"] {
            idcsync.run(&["scope", "add", "group", same, "--yes"]).exits(0).says("is in the scope already");
        }
    });
    idcsync.run(&["scope", "remove", "group", "Team", "--yes"]).exits(0);
    let last = only_looks(&idcsync, || idcsync.run(&["scope", "remove", "group", "Rest", "--yes"]));
    last.exits(2).complains("it is the only entry");
}

#[test]
fn a_group_becomes_a_container_and_a_user_gets_a_list() {
    let idcsync = offline(&export(), &["Team", "Rest"]);
    fs::set_permissions(idcsync.path("idcsync.toml"), fs::Permissions::from_mode(0o640)).unwrap();
    idcsync
        .run(&["scope", "add", "group", "REST", "--container", "--yes"])
        .exits(0)
        .says("1 group goes out of scope: Rest@ex.test")
        .never_says("users go");
    assert!(config(&idcsync).contains("groups = [\"Team\", { group = \"Rest\", write = false }]\n"));
    // By another name of the same object, there and back.
    let by_dn = ["scope", "add", "group", "CN=Rest,DC=ex,DC=test", "--yes"];
    idcsync.run(&by_dn).exits(0).says("1 group comes into scope: Rest@ex.test");
    assert!(config(&idcsync).contains("groups = [\"Team\", \"Rest\"]\n"));
    idcsync
        .run(&[&by_dn[..], &["--container"]].concat())
        .exits(0)
        .says("add group Rest (container): CN=Rest,DC=ex,DC=test");
    assert!(config(&idcsync).contains("groups = [\"Team\", { group = \"Rest\", write = false }]\n"));
    idcsync
        .run(&["scope", "add", "user", "p11@ex.test", "--yes"])
        .exits(0)
        .says("1 user comes into scope: p11@ex.test");
    assert!(config(&idcsync).contains("users = [\"p11@ex.test\"]\n"));
    assert_eq!(fs::metadata(idcsync.path("idcsync.toml")).unwrap().permissions().mode() & 0o777, 0o640);
    idcsync.run(&["scope", "list"]).exits(0).says("group Rest (container): 6 users, 1 group");
}

#[test]
fn a_terminal_is_asked() {
    let idcsync = offline(&export(), &["Team"]);
    let before = config(&idcsync);
    let answered = |answer: &str| {
        let program = env!("CARGO_BIN_EXE_idcsync");
        let command = format!("{program} scope add group Other");
        let mut script = idcsync.command(&[]);
        script = {
            let mut new = std::process::Command::new("script");
            new.current_dir(script.get_current_dir().unwrap()).args(["-qec", &command, "/dev/null"]);
            new
        };
        script.stdin(std::process::Stdio::piped()).stdout(std::process::Stdio::piped());
        let mut child = script.spawn().expect("script, of bsdutils");
        std::io::Write::write_all(child.stdin.as_mut().unwrap(), answer.as_bytes()).unwrap();
        let output = child.wait_with_output().unwrap();
        (output.status.code(), String::from_utf8(output.stdout).unwrap())
    };
    let (code, text) = answered("n\n");
    assert!(code == Some(0) && text.contains("Write it to idcsync.toml? [y/N]"), "{code:?} {text}");
    assert!(text.contains("Nothing was written.") && config(&idcsync) == before, "{text}");
    let (code, text) = answered("y\n");
    assert!(code == Some(0) && text.contains("Written to idcsync.toml"), "{code:?} {text}");
    assert_eq!(config(&idcsync), before.replace("[\"Team\"]", "[\"Team\", \"Other\"]"));
}

#[test]
fn a_store_that_is_filled_already_gives_a_scope() {
    let sandbox = Sandbox::start();
    let idcsync = online(&export(), &["Team", "Rest", "Other"], &sandbox);
    idcsync.run(&["sync"]).exits(0);
    let store = sandbox.store();
    let user = |name: &str| {
        let body =
            json!({ "UserName": name, "DisplayName": "S", "Name": { "GivenName": "S", "FamilyName": "S" } });
        store.call("CreateUser", body)["UserId"].clone()
    };
    let stray = user("stray@elsewhere.test");
    let group = store.call("CreateGroup", json!({ "DisplayName": "By hand" }))["GroupId"].clone();
    let plain = store.call("CreateGroup", json!({ "DisplayName": "Inner" }))["GroupId"].clone();
    for group in [group, plain] {
        store.call("CreateGroupMembership", json!({ "GroupId": group, "MemberId": { "UserId": stray } }));
    }
    let team = store.groups().into_iter().find(|g| g["DisplayName"] == "Team@ex.test").unwrap();
    store.call(
        "CreateGroupMembership",
        json!({ "GroupId": team["GroupId"], "MemberId": { "UserId": stray } }),
    );
    // As if nothing had been synced from there: another state, and a scope to begin with.
    let text = config(&idcsync)
        .replace("[\"Team\", \"Rest\", \"Other\"]", "[\"Team\"]")
        .replace("state.db", "new.db");
    idcsync.configure(&text);
    let (import, requests) =
        sandbox.requests_of(|| only_looks(&idcsync, || idcsync.run(&["scope", "import"]).exits(0)));
    assert!(!requests.iter().any(is_write), "{requests:?}");
    let import = import
        .says("4 of 6 groups have their match in the directory, and bring 12 of its 13 users")
        .says("\"Team\", # in the scope already; 4 members in both; 1 in the target alone: stray@elsewhere.test")
        .says("\"Other\", # 2 members in both\n")
        .says("# By hand: no group of the directory would be called that")
        .says("# Inner: the directory has a group of that name, which the mapping would call Inner@ex.test")
        .says("# stray@elsewhere.test: the directory has no user of that name");
    let table: toml::Table = toml::from_str(&import.stdout).unwrap();
    assert_eq!(table["scope"]["groups"].as_array().unwrap().len(), 4, "a table to copy from");
    idcsync
        .run(&["scope", "import", "--write", "--yes"])
        .exits(0)
        .says("add group Other: CN=Other,DC=ex,DC=test")
        .says("to adopt");
    assert!(
        config(&idcsync).contains("groups = [\"Team\", \"Inner\", \"Other\", \"Rest\"]\n"),
        "{}",
        config(&idcsync)
    );
    idcsync.run(&["scope", "import", "--write", "--yes"]).exits(0).says("nothing to do");
    idcsync.run_json(&["scope", "import"]).exits(0).says("idcsync/scope-import/v1");
}

/// The name was pinned to an object that is gone; in the config it would stand in everybody's way.
#[test]
fn a_name_that_does_not_resolve_is_told_and_not_proposed() {
    let sandbox = Sandbox::start();
    let idcsync = online(&export(), &["Team", "Other"], &sandbox);
    idcsync.run(&["sync"]).exits(0);
    idcsync.configure(&config(&idcsync).replace(", \"Other\"]", "]"));
    let anew = Export::of(12).group("Team", people(0..4)).group("Other2", people(10..12));
    idcsync.write("directory.ldif", &anew.text().replace("Other2", "Other"));
    idcsync
        .run(&["scope", "import"])
        .exits(0)
        .says("groups = [\n    \"Team\", # in the scope already; 4 members in both\n    # Other@ex.test: group Other is the name of another object now");
    idcsync.run(&["scope", "import", "--write", "--yes"]).exits(0).never_says("group Other");
}
