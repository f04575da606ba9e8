//! `explain`, and cycles for one object: what a helpdesk asks and does.

use serde_json::{Value, json};

use super::support::export::{Export, anchor};
use super::support::idcsync::{Run, Sandbox, is_write};
use super::{contents_of, offline, offline_config, online};

const SCOPE: [&str; 1] = ["Team"];

/// p00 and p01 in the team, p01 and p02 in a group in it; p03 in a group beside it, p04 in none.
fn export() -> Export {
    Export::of(5)
        .group("Team", ["p00", "p01", "Inner"])
        .group("Inner", ["p01", "p02"])
        .group("Beside", ["p03"])
        .group("Company", ["Team", "Beside"])
}

/// Without the lines about attributes.
fn brief(run: &Run) -> String {
    let is_source = |line: &&str| !line.starts_with("   ") && !line.contains(" = ");
    run.stdout.lines().filter(is_source).collect::<Vec<_>>().join("\n")
}

#[test]
fn someone_in_scope() {
    let idcsync = offline(&export(), &SCOPE);
    let before = idcsync.files();
    let run = idcsync.run(&["explain", "user", "p02"]).exits(0);
    assert!(idcsync.files() == before, "it writes nothing");
    insta::assert_snapshot!(brief(&run), @r"
    The user p02@ex.test is in scope, by Team → Inner.


    Link
      in the directory  CN=p02,DC=ex,DC=test (ca727986-0b2a-c525-cd3e-e920b11e8367)
      in the target     not linked

    Groups in the target (2)
      Inner@ex.test: to be a direct member
      Team@ex.test: to be a member, through Inner

    Next cycle
      create Inner@ex.test in the target  (in scope by Team → Inner)  [needed for it]
      create Team@ex.test in the target  (in scope by Team)  [needed for it]
      create it in the target  (in scope by Team → Inner)
      add it to Inner@ex.test  (a direct member)
      add it to Team@ex.test  (a member through Inner@ex.test)
    ");
    let run = idcsync.run(&["explain", "user", "p01"]).exits(0);
    let run = run.says("is in scope, by Team.\n  And by one other path: Team → Inner\n");
    run.says("userName              = \"p01@ex.test\"\n").says("userprincipalname is \"p01@ex.test\"");

    idcsync.run(&["sync"]).exits(0);
    let run = idcsync.run(&["explain", "user", "p01"]).exits(0);
    let run = run.says("Nothing to do to it: the target is as the directory has it.");
    let run = run.says("Inner@ex.test: a direct member").says("created by idcsync").says("last written");
    run.says("create-user: done").says("add-member Team@ex.test: done");
    idcsync.run(&["pause"]).exits(0);
    idcsync.run(&["explain", "user", "p01"]).exits(0).says("The profile is paused since ");
    idcsync.run(&["sync", "--only", "user", "p01"]).exits(0).complains("is paused since");
}

#[test]
fn every_form_of_a_name_is_understood() {
    let idcsync = offline(&export(), &SCOPE);
    idcsync.run(&["sync"]).exits(0);
    let explained = idcsync.run_json(&["explain", "user", "p01"]).exits(0).json();
    assert_eq!(explained["schema"], "idcsync/explain/v1");
    let id = explained["link"]["targetId"].as_str().expect("a target id").to_owned();
    let guid = anchor("p01");
    for name in [
        "P01",
        "EX\\p01",
        "p01@ex.test",
        "p01@mail.ex.test",
        "cn=p01, dc=EX,dc=test",
        guid.as_str(),
        id.as_str(),
    ] {
        let same = idcsync.run_json(&["explain", "user", name]).exits(0).json();
        assert_eq!(same, explained, "{name}");
    }
    // The name in the target is not a name in the directory.
    let group = idcsync.run_json(&["explain", "group", "Inner@ex.test"]).exits(0).json();
    assert_eq!(group["object"]["dn"], "CN=Inner,DC=ex,DC=test");
}

#[test]
fn someone_who_is_not_in_scope() {
    let mut export = export();
    let idcsync = offline(&export, &SCOPE);
    let run = idcsync.run(&["explain", "user", "p03"]).exits(0);
    insta::assert_snapshot!(brief(&run), @r"
    The user p03@ex.test is not in scope:
      - p03 is a member of no group of the scope, and no entry names it
      The nearest scope group is Team: both are in Company. The way up from p03@ex.test: Beside → Company.


    Link
      in the directory  CN=p03,DC=ex,DC=test (3da62166-293f-b9f6-f393-64d2e501d458)
      in the target     not linked

    Next cycle
      Nothing to do to it.
    ");
    let json = idcsync.run_json(&["explain", "user", "p03"]).exits(0).json();
    let near = &json["scope"]["nearest"];
    assert_eq!(
        (&json["scope"]["verdict"], &near[0]["group"]),
        (&json!("out-of-scope"), &json!("Team")),
        "{json}"
    );
    assert_eq!(near[0]["by"], json!(["Beside", "Company"]));
    idcsync.run(&["explain", "user", "p04"]).exits(0).says("is a member of no group of the scope");
    idcsync.run(&["explain", "group", "Beside"]).exits(0).says("no scope entry names it or leads to it");

    export.person("p00").disabled = true;
    export.person("p02").family_name.clear();
    idcsync.write("directory.ldif", &export.text());
    let run = idcsync
        .run(&["explain", "user", "p00"])
        .exits(0)
        .says("is not synced, though a scope entry leads to it");
    run.says("- the account is disabled in the directory");
    let run =
        idcsync.run(&["explain", "user", "p02"]).exits(0).says("RequiredAttributeMissing: no value for");
    run.says("remedy: fill the attribute, or map it to something that is never empty");
}

#[test]
fn a_way_that_counts_is_not_called_one_that_does_not() {
    let idcsync = offline(&export(), &SCOPE);
    let config = offline_config(&SCOPE).replacen(
        "[scope]\n",
        "[scope]\nuser-filter = \"(!(sAMAccountName=p01))\"\n",
        1,
    );
    idcsync.configure(&config);
    let run = idcsync.run(&["explain", "user", "p01"]).exits(0);
    let run =
        run.says("- it does not match scope.user-filter (!(sAMAccountName=p01))").says("2 paths lead to it");
    run.never_says("does not count").never_says("the read did not show it");
}

#[test]
fn who_left_the_scope_is_counted_down() {
    let mut export = export();
    let idcsync = offline(&export, &SCOPE);
    idcsync.run(&["sync"]).exits(0);
    export.members("Inner").retain(|name| name != "p02");
    idcsync.write("directory.ldif", &export.text());
    idcsync.run(&["explain", "user", "p02"]).exits(0).says("remove it from Inner@ex.test  (");
    idcsync.run(&["sync"]).exits(0);
    let run = idcsync.run_at("10d", &["explain", "user", "p02"]).exits(0);
    let run = run.says("is not in scope:\n").says("out of scope      since ");
    run.says("to be disabled    in 18 days (").says("remove-member Inner@ex.test: done");
    // Gone from the directory, and known by the name in the target alone.
    export.people.remove("p02");
    idcsync.write("directory.ldif", &export.text());
    let run = idcsync.run(&["explain", "user", "p02@ex.test"]).exits(0);
    run.says("the directory does not show the user any more").says("That is no proof of a deletion");
}

#[test]
fn a_group_with_its_members() {
    let idcsync = offline(&export(), &SCOPE);
    let run = idcsync.run(&["explain", "group", "Team"]).exits(0);
    insta::assert_snapshot!(brief(&run), @r"
    The group Team@ex.test is in scope, by Team.

    Members
      3 people in effect: 2 people directly, 1 group in it
      3 synced, 0 members in the target by what idcsync wrote
      The list was read to its end.
      directly: p00@ex.test; p01@ex.test
      through Inner@ex.test: 2 people, 1 by it alone: p02@ex.test


    Link
      in the directory  CN=Team,DC=ex,DC=test (9f038559-6d10-54f0-b43c-3529139613bf)
      in the target     not linked

    Next cycle
      create it in the target  (in scope by Team)
      create p01@ex.test in the target  (in scope by Team)  [needed for it]
      create p02@ex.test in the target  (in scope by Team → Inner)  [needed for it]
      create p00@ex.test in the target  (in scope by Team)  [needed for it]
      add p01@ex.test to it  (a direct member)
      add p02@ex.test to it  (a member through Inner@ex.test)
      add p00@ex.test to it  (a direct member)
    ");
    let json = idcsync.run_json(&["explain", "group", "Team"]).exits(0).json();
    let members = &json["members"];
    assert_eq!((&members["effective"], &members["through"][0]["only"]), (&json!(3), &json!(["p02@ex.test"])));
    assert_eq!(members["incomplete"], json!([]));
}

#[test]
fn what_a_pause_that_lasts_too_long_does_is_done_to_nobody_alone() {
    let mut export = export();
    let idcsync = offline(&export, &SCOPE);
    idcsync.run(&["sync"]).exits(0);
    let before = contents_of(&idcsync);
    idcsync.run(&["pause", "--until", "90d"]).exits(0);
    export.person("p01").display_name = "Renamed".to_owned();
    idcsync.write("directory.ldif", &export.text());
    let waits = idcsync.run(&["explain", "user", "p01"]).exits(0).says("this waits for that time, or for");
    waits.says("if it stays paused, all its users are ").says("update it: ");
    let json = idcsync.run_json(&["explain", "user", "p01"]).exits(0).json();
    let next = &json["next"];
    assert!(next["pausedSince"].is_string() && next["pausedUntil"].is_string(), "{next}");
    assert!(next["disablesAt"].is_string(), "{next}");

    idcsync.run_at("28d", &["sync"]).exits(0).complains("All its users are ");
    idcsync.run_at("30d", &["explain", "user", "p01"]).exits(0).says("  The next run does nothing of this: ");
    let refused = idcsync.run_at("30d", &["sync", "--only", "user", "p01"]).exits(2);
    refused.complains("none is run for chosen steps alone").never_says("Applied");
    before.assert_same(&contents_of(&idcsync));
}

#[test]
fn what_the_target_has_otherwise_is_marked() {
    let sandbox = Sandbox::start();
    let idcsync = online(&export(), &SCOPE, &sandbox);
    idcsync.run(&["sync"]).exits(0);
    let store = sandbox.store();
    let user = store.users().into_iter().find(|u| u["UserName"] == "p01@ex.test").expect("a user");
    let operations = json!([{ "AttributePath": "displayName", "AttributeValue": "By hand" }]);
    store.call("UpdateUser", json!({ "UserId": user["UserId"], "Operations": operations }));
    let (run, requests) = sandbox.requests_of(|| idcsync.run(&["explain", "user", "p01"]).exits(0));
    assert!(!requests.iter().any(is_write), "{requests:?}");
    run.says("≠ displayName           = \"Person p01\"   the target has \"By hand\"\n");
}

#[test]
fn a_name_that_is_nobodys_or_several_peoples_is_refused() {
    let mut export = export();
    export.person("p03").mail = "p04@mail.ex.test".to_owned();
    let idcsync = offline(&export, &SCOPE);
    let before = idcsync.files();
    for command in [&["explain"][..], &["sync", "--only"], &["sync", "--dry-run", "--only"]] {
        let run = |name: &str| idcsync.run(&[command, &["user", name]].concat()).exits(2);
        let nobody = run("p77").complains("neither the directory nor the target has a user p77");
        assert_eq!(nobody.stdout, "");
        let several = run("p04@mail.ex.test")
            .complains("give the DN or objectGUID of one: CN=p03,DC=ex,DC=test; CN=p04");
        assert_eq!(several.stdout, "");
        run("Team").complains("CN=Team,DC=ex,DC=test is a group, not a person");
    }
    assert!(idcsync.files() == before, "nothing is written");
    idcsync
        .run(&["sync", "--only", "person", "p01"])
        .exits(2)
        .complains("--only takes `user NAME` or `group NAME`");
    idcsync.run(&["sync", "--only", "user"]).exits(2);
    idcsync.run(&["sync", "--dry-run", "--only", "user", "p01", "--out", "plan.json"]).exits(2);
    // What cannot be read says nothing about a name.
    idcsync.write("directory.ldif", "dn: DC=ex,DC=test\nobjectClass: domainDNS\n");
    idcsync.run(&["explain", "user", "p01"]).exits(6).complains("p01 could not be looked up");
    idcsync.run(&["sync", "--only", "user", "p01"]).exits(6);
}

fn left_out(run: &Run) -> usize {
    let steps = run.json()["steps"].as_array().expect("steps").clone();
    steps.iter().filter(|step| step["leftOut"] == Value::Bool(true)).count()
}

#[test]
fn one_person_now_and_the_others_in_the_next_cycle() {
    let export = export();
    let idcsync = offline(&export, &SCOPE);
    let before = idcsync.files();
    let dry = idcsync.run(&["sync", "--dry-run", "--only", "user", "p02"]).exits(0);
    let dry =
        dry.says("1 user to create, 2 groups to create, 2 memberships to add.").never_says("p00@ex.test  (");
    dry.complains(
        "Only what concerns the user p02: 5 steps are left for the next cycle (3 add-member, 2 create-user).",
    );
    assert_eq!(left_out(&idcsync.run_json(&["sync", "--dry-run", "--only", "user", "p02"])), 5);
    assert!(idcsync.files() == before, "a dry run writes nothing");

    let run = idcsync.run(&["sync", "--only", "user", "p02"]).exits(0).says("Applied: 5 done.");
    run.complains("Only what concerns the user p02: 5 steps are left for the next cycle");
    let there = contents_of(&idcsync);
    assert_eq!(there.users.len(), 1);
    assert_eq!(there.members["Team@ex.test"].iter().collect::<Vec<_>>(), ["p02@ex.test"]);
    idcsync.run(&["sync", "--only", "user", "p02"]).exits(0).says("Nothing to do for the user p02");
    idcsync.run(&["sync", "--only", "user", "p03"]).exits(0).says("Nothing to do for the user p03");

    idcsync
        .run(&["sync", "--only", "group", "Inner"])
        .exits(0)
        .says("1 user to create, 1 membership to add.");
    assert_eq!(contents_of(&idcsync).members["Inner@ex.test"].len(), 2);
    idcsync.run(&["sync"]).exits(0).says("Applied: 3 done.");
    export.expected(&SCOPE).assert_same(&contents_of(&idcsync));
    idcsync.run(&["sync"]).exits(0).says("Nothing to do");
}

#[test]
fn one_persons_leaving_is_guarded_like_any_other_and_the_others_wait_as_they_are() {
    let mut export = Export::of(8).group("Team", (0..8).map(|n| format!("p{n:02}")));
    let idcsync = offline(&export, &SCOPE);
    idcsync.run(&["sync"]).exits(0);
    export.members("Team").retain(|name| name != "p00");
    export.person("p01").display_name = "Renamed".to_owned();
    idcsync.write("directory.ldif", &export.text());
    let run = idcsync.run(&["sync", "--only", "user", "p00"]).exits(0).says("Applied: 1 done.");
    run.complains("1 step is left for the next cycle (1 update-user)");
    assert_eq!(contents_of(&idcsync).members["Team@ex.test"].len(), 7);
    // More than the guard allows of the group: held, and nobody's approval.
    export.members("Team").retain(|name| !["p01", "p02", "p03", "p04", "p05"].contains(&name.as_str()));
    idcsync.write("directory.ldif", &export.text());
    let run = idcsync.run(&["sync", "--only", "user", "p02"]).exits(4).says("[held]");
    run.says("Applied: 0 done, 1 held.");
    assert_eq!(contents_of(&idcsync).members["Team@ex.test"].len(), 7);
    idcsync.run(&["explain", "user", "p02"]).exits(0).says("    held: ").says("idcsync approve ");
    // The read was a whole one: who left it is counted from then on.
    idcsync.run(&["status"]).exits(0).says("Out of scope (");
}
