//! What the guard holds, and how it is let through.

use serde_json::{Value, json};

use super::support::export::{Export, people};
use super::support::idcsync::{Idcsync, Sandbox, is_write};
use super::{contents_of, offline, online, online_config};

/// The id of a plan, from its first line.
fn plan_id(text: &str) -> String {
    let line = text.lines().find(|line| line.starts_with("Plan ")).expect("a plan's first line");
    line.split(' ').nth(1).expect("its id").to_owned()
}

fn export() -> Export {
    Export::of(24).group("Team", people(0..20)).group("Everybody", people(0..24))
}

const SCOPE: [&str; 2] = ["Team", "Everybody"];

/// Six of the twenty members of a group go at once, which is more than the guard lets pass.
fn six_leave() -> (Export, Idcsync) {
    let mut export = export();
    let idcsync = offline(&export, &SCOPE);
    idcsync.run(&["sync"]).exits(0).says("Applied: ");
    export.expected(&SCOPE).assert_same(&contents_of(&idcsync));
    export.members("Team").drain(0..6);
    // Something that may pass.
    export.people.get_mut("p21").expect("a person").display_name = "Renamed".to_owned();
    idcsync.write("directory.ldif", &export.text());
    (export, idcsync)
}

#[test]
fn what_is_too_much_is_held_until_someone_approves_it() {
    let (export, idcsync) = six_leave();
    let run = idcsync
        .run(&["sync"])
        .exits(4)
        .says("6 steps are held:")
        .says("6 of 20 members of Team@ex.test removed, guard.max-percent allows 20 %")
        .says("Approve with: idcsync approve ")
        .says("[held]")
        .says("Applied: 1 done, 6 held.");
    let id = plan_id(&run.stdout);
    assert_eq!(contents_of(&idcsync).members["Team@ex.test"].len(), 20);
    idcsync.run(&["status"]).exits(0).says(&format!("6 steps of plan {id} held")).says("StepsHeld");

    // Again, the same is held; looking approves nothing.
    idcsync.run(&["sync"]).exits(4).says("6 held");
    let shown = idcsync.run(&["approve", &id, "--show"]).exits(0).says("Not approved yet");
    assert_eq!(shown.stdout.matches("remove-member Team@ex.test: p").count(), 6, "{}", shown.report());
    idcsync.run(&["sync"]).exits(4);

    idcsync.run(&["approve", &id]).exits(0).says("Approved until ");
    idcsync.run(&["sync"]).exits(0).says("Applied: 6 done.");
    export.expected(&SCOPE).assert_same(&contents_of(&idcsync));
    idcsync.run(&["sync"]).exits(0).says("Nothing to do");
    idcsync.run(&["status"]).exits(0).never_says("StepsHeld").never_says("held since");
}

#[test]
fn a_plan_that_only_a_dry_run_has_shown_can_be_approved() {
    let (export, idcsync) = six_leave();
    let before = idcsync.files();
    let run = idcsync.run(&["sync", "--dry-run"]).exits(4);
    let id = plan_id(&run.stdout);
    idcsync.run(&["approve", &id, "--show"]).exits(0).says("remove-member Team@ex.test: p00@ex.test");
    assert!(idcsync.files() == before, "nothing is written by looking");
    idcsync.run(&["approve", &id]).exits(0);
    idcsync.run(&["sync"]).exits(0).says("Applied: 7 done.");
    export.expected(&SCOPE).assert_same(&contents_of(&idcsync));
}

#[test]
fn of_what_is_held_one_object_alone_can_be_approved() {
    let (_, idcsync) = six_leave();
    let before = idcsync.files();
    let dry = idcsync.run(&["sync", "--dry-run", "--only", "user", "p02"]).exits(4).says("1 step is held:");
    let id = plan_id(&dry.stdout);
    // What is printed works as it stands, and names nobody else.
    let line = dry.stdout.lines().find_map(|line| line.trim().strip_prefix("Approve with: idcsync "));
    let line: Vec<&str> = line.expect("a command").split(' ').collect();
    assert_eq!(line[..4], ["approve", &id, "--only", "user"]);
    let shown =
        idcsync.run(&[&line[..], &["--show"]].concat()).exits(0).says("remove-member Team@ex.test: p02");
    shown.says("Of the same plan, 5 steps more wait").never_says("p03@ex.test");
    let explained = idcsync.run(&["explain", "user", "p02"]).exits(0);
    explained.says(&format!("once they are approved: idcsync {}\n", line.join(" ")));
    idcsync
        .run(&["approve", &id, "--only", "user", "p20"])
        .exits(2)
        .complains("holds no step for the user p20");
    idcsync
        .run(&["approve", &id, "--only", "person", "p02"])
        .exits(2)
        .complains("takes `user NAME` or `group");
    assert!(idcsync.files() == before, "nothing is written by looking");

    // By a name as well as by the anchor.
    let json = idcsync.run_json(&["approve", &id, "--only", "user", "p02"]).exits(0).json();
    assert_eq!(json["steps"].as_array().map(Vec::len), Some(1), "{json}");
    idcsync.run(&["sync"]).exits(4).says("5 steps are held").says("Applied: 2 done, 5 held.");
    let there = &contents_of(&idcsync).members["Team@ex.test"];
    assert!(there.len() == 19 && !there.contains("p02@ex.test"), "{there:?}");
}

#[test]
fn what_only_an_option_shows_is_recorded_first() {
    let (_, idcsync) = six_leave();
    let full = idcsync.run(&["sync", "--dry-run", "--full"]).exits(4);
    let id = plan_id(&full.stdout);
    full.says("  Run this first, which records and holds them: idcsync sync --full\n")
        .says(&format!("  Then approve with: idcsync approve {id}\n"));
    let nothing = idcsync.run(&["approve", "0123456789ab"]).exits(2);
    nothing.complains("can be approved once a run with that option has recorded it");
}

#[test]
fn an_approval_is_of_what_was_shown_and_nothing_else() {
    let (mut export, idcsync) = six_leave();
    let id = plan_id(&idcsync.run(&["sync"]).exits(4).stdout);
    idcsync.run(&["approve", &id]).exits(0);
    // Two more go: six were approved, and two are no crowd.
    export.members("Team").drain(0..2);
    idcsync.write("directory.ldif", &export.text());
    idcsync.run(&["sync"]).exits(0).says("Applied: 8 done.");
    export.expected(&SCOPE).assert_same(&contents_of(&idcsync));
    // Used up: those who come back and go again are a crowd again.
    let all = export.members("Team").clone();
    *export.members("Team") = [people(0..6), all].concat();
    idcsync.write("directory.ldif", &export.text());
    let run = idcsync.run(&["sync"]);
    let id = plan_id(&run.exits(4).says("added").stdout);
    idcsync.run(&["approve", &id]).exits(0);
    idcsync.run(&["sync"]).exits(0);
    export.members("Team").drain(0..6);
    idcsync.write("directory.ldif", &export.text());
    idcsync.run(&["sync"]).exits(4).says("6 steps are held");
}

#[test]
fn nothing_can_be_approved_that_nobody_holds() {
    let idcsync = offline(&export(), &SCOPE);
    idcsync.run(&["approve", "0123456789ab"]).exits(2).complains("there is no plan 0123456789ab");
    let id = plan_id(&idcsync.run(&["sync", "--dry-run"]).exits(0).stdout);
    idcsync.run(&["approve", &id]).exits(2).complains("holds no steps");
    idcsync.run(&["sync"]).exits(0);
    idcsync.run(&["approve", &id]).exits(2);
}

#[test]
fn what_is_there_already_is_adopted_when_approved() {
    let export = export();
    let sandbox = Sandbox::start();
    let store = sandbox.store();
    let user = json!({ "UserName": "P03@ex.test", "DisplayName": "Old", "Name": { "GivenName": "O", "FamilyName": "L" } });
    let user = store.call("CreateUser", user);
    let group = store.call("CreateGroup", json!({ "DisplayName": "Team@ex.test" }));
    let member = json!({ "GroupId": group["GroupId"], "MemberId": { "UserId": user["UserId"] } });
    store.call("CreateGroupMembership", member);

    let idcsync = online(&export, &SCOPE, &sandbox);
    let run = idcsync.run(&["sync"]).exits(4).says("it exists in the target already").says("(adopt ");
    let id = plan_id(&run.stdout);
    // The others are there, and the two as they were.
    let there = store.contents();
    assert_eq!((there.users.len(), there.groups.len()), (24, 2));
    assert_eq!(there.members["Team@ex.test"].len(), 1);
    let described = store.call("DescribeUser", json!({ "UserId": user["UserId"] }));
    assert_eq!(described["DisplayName"], "Old");

    idcsync.run(&["approve", &id]).exits(0);
    idcsync.run(&["sync"]).exits(0);
    export.expected(&SCOPE).assert_same(&store.contents());
    let described = store.call("DescribeUser", json!({ "UserId": user["UserId"] }));
    assert_eq!(described["DisplayName"], "Person p03");
    idcsync.run(&["sync"]).exits(0).says("Nothing to do");
}

#[test]
fn a_lost_state_database_makes_no_second_set() {
    let export = export();
    let sandbox = Sandbox::start();
    let idcsync = online(&export, &SCOPE, &sandbox);
    idcsync.run(&["sync"]).exits(0);
    let ids = |store: &super::support::store::Store| -> Vec<Value> {
        let mut ids: Vec<_> = store.users().iter().map(|u| u["UserId"].clone()).collect();
        ids.extend(store.groups().iter().map(|g| g["GroupId"].clone()));
        ids.sort_by_key(ToString::to_string);
        ids
    };
    let before = ids(&sandbox.store());
    for name in ["state.db", "state.db-wal", "state.db-shm"] {
        let _ = std::fs::remove_file(idcsync.path(name));
    }
    let (run, requests) = sandbox.requests_of(|| {
        idcsync.run(&["sync"]).exits(4).says("24 users to adopt, 2 groups to adopt").says("Applied: 0 done")
    });
    assert!(!requests.iter().any(is_write), "{requests:?}");
    idcsync.run(&["approve", &plan_id(&run.stdout)]).exits(0);
    let (_, requests) = sandbox.requests_of(|| idcsync.run(&["sync"]).exits(0));
    // All is as it should be already.
    assert!(!requests.iter().any(is_write), "{requests:?}");
    idcsync.run(&["sync"]).exits(0).says("Nothing to do");
    assert_eq!(ids(&sandbox.store()), before);
    export.expected(&SCOPE).assert_same(&sandbox.store().contents());

    // `adopt = "never"` leaves them to whoever has them.
    let never = Idcsync::new(&online_config(&SCOPE, &format!("{}adopt = \"never\"\n", sandbox.target())));
    never.write("directory.ldif", &export.text());
    let (_, requests) = sandbox.requests_of(|| never.run(&["sync"]).exits(0).says("ConflictError"));
    assert!(!requests.iter().any(is_write), "{requests:?}");
}
