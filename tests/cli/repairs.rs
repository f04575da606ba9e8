//! Ties that are mended by hand.

use std::process::Stdio;
use std::time::{Duration, Instant};

use idcsync::state::{CycleKind, State};
use serde_json::{Value, json};

use super::support::export::{Export, people};
use super::support::idcsync::{Idcsync, Sandbox, is_write};
use super::{online, online_config, with_state};

fn export() -> Export {
    Export::of(6).group("Team", people(0..4)).group("Rest", people(4..6))
}

const SCOPE: [&str; 2] = ["Team", "Rest"];

fn synced(sandbox: &Sandbox) -> Idcsync {
    let idcsync = online(&export(), &SCOPE, sandbox);
    idcsync.run(&["sync"]).exits(0);
    idcsync
}

fn user_id(sandbox: &Sandbox, name: &str) -> String {
    let users = sandbox.store().users();
    let user = users.iter().find(|u| u["UserName"] == name).unwrap_or_else(|| panic!("{name}: {users:?}"));
    user["UserId"].as_str().unwrap().to_owned()
}

fn group_id(sandbox: &Sandbox, name: &str) -> String {
    let groups = sandbox.store().groups();
    let group = groups.iter().find(|g| g["DisplayName"] == name).unwrap();
    group["GroupId"].as_str().unwrap().to_owned()
}

/// Runs it without writing anything to the target.
fn only_reads<T>(sandbox: &Sandbox, work: impl FnOnce() -> T) -> T {
    let (result, requests) = sandbox.requests_of(work);
    assert!(!requests.iter().any(is_write), "{requests:?}");
    result
}

#[test]
fn a_user_is_tied_to_one_of_another_name() {
    let sandbox = Sandbox::start();
    let store = sandbox.store();
    let old = json!({
        "UserName": "old@ex.test", "DisplayName": "Person p01", "Name": { "GivenName": "Given", "FamilyName": "Family" },
    });
    let id = store.call("CreateUser", old)["UserId"].as_str().unwrap().to_owned();
    let idcsync = online(&export(), &SCOPE, &sandbox);
    let before = idcsync.files();
    only_reads(&sandbox, || {
        idcsync
            .run(&["link", "user", "p01", &id])
            .exits(0)
            .says("link user old@ex.test")
            .says("CN=p01,DC=ex,DC=test")
            .says("userName \"old@ex.test\" → \"p01@ex.test\"")
            .says("emails[primary].value (none) → \"p01@mail.ex.test\"")
            .never_says("displayName")
            .says("Nothing is written yet: run it again with --yes.")
    });
    assert!(idcsync.files() == before, "looking writes nothing");

    // Before the first cycle: the profile is bound by it.
    let linked =
        only_reads(&sandbox, || idcsync.run_json(&["link", "user", "p01", &id, "--yes"]).exits(0).json());
    assert_eq!(
        (linked["schema"].as_str(), linked["written"].as_bool()),
        (Some("idcsync/repair/v1"), Some(true))
    );
    assert_eq!((&linked["action"], &linked["object"]["targetId"]), (&json!("link"), &json!(id)), "{linked}");
    assert_eq!(linked["changes"].as_array().unwrap().len(), 2, "{linked}");
    idcsync.run(&["link", "user", "p01@ex.test", &id, "--yes"]).exits(0).says("is linked so already");

    idcsync.run(&["sync"]).exits(0).says("1 user to update").says("5 users to create");
    export().expected(&SCOPE).assert_same(&store.contents());
    assert_eq!(user_id(&sandbox, "p01@ex.test"), id);

    let cycles = with_state(&idcsync, async |state: &State| state.cycles(10).await.unwrap());
    let repair = cycles.iter().find(|c| c.kind == CycleKind::Repair).expect("a repair in the history");
    let counts = &repair.outcome.as_ref().unwrap().counts;
    assert_eq!(
        (&counts["repair"]["action"], &counts["repair"]["object"]["targetId"]),
        (&json!("link"), &json!(id))
    );
    assert_eq!(
        cycles.iter().filter(|c| c.kind == CycleKind::Repair).count(),
        1,
        "what is so already is none"
    );
}

#[test]
fn what_cannot_be_tied_is_refused() {
    let sandbox = Sandbox::start();
    let idcsync = synced(&sandbox);
    let (p00, p01, team) = (
        user_id(&sandbox, "p00@ex.test"),
        user_id(&sandbox, "p01@ex.test"),
        group_id(&sandbox, "Team@ex.test"),
    );
    let stray =
        json!({ "UserName": "stray", "DisplayName": "S", "Name": { "GivenName": "S", "FamilyName": "S" } });
    let stray = sandbox.store().call("CreateUser", stray)["UserId"].as_str().unwrap().to_owned();
    let refused = |arguments: &[&str], why: &str| {
        only_reads(&sandbox, || idcsync.run(&[arguments, &["--yes"]].concat()).exits(2).complains(why));
    };
    let nobody = "00000000-1111-2222-3333-444444444444";
    refused(&["link", "user", "p00", nobody], "the target has no user with the id");
    refused(&["link", "user", "p00", &team], "the target has no user with the id");
    refused(&["link", "group", "Team", &p00], "the target has no group with the id");
    refused(&["link", "user", "nobody", &stray], "the directory has no user nobody");
    refused(&["link", "group", "p00", &team], "p00");
    refused(&["link", "user", "p00", &p01], "it is linked to");
    refused(&["link", "user", "p00", &stray], "run `idcsync unlink user p00` first");
    refused(
        &["unlink", "user", "nobody"],
        "the directory has no user nobody, and none of that name is linked",
    );
    refused(&["release", "group", "Team"], "is in scope");
    idcsync.run(&["release", "user", "p00"]).exits(2);
    idcsync.run(&["link", "user", "p00"]).exits(2).complains("TARGET_ID");

    // Another profile of the same state database has it.
    let config = online_config(&["Rest"], &sandbox.target()).replace("profile = \"p\"", "profile = \"q\"");
    idcsync.configure(&config);
    let why = "is linked already: by the profile p, to CN=p01,DC=ex,DC=test";
    only_reads(&sandbox, || idcsync.run(&["link", "user", "p00", &p01]).exits(2).complains(why));
    // And nobody links what is protected.
    idcsync.configure(&config.replace("[state]", "protect = [\"STRAY\"]\n[state]"));
    idcsync.run(&["link", "user", "p00", &stray]).exits(2).complains("target.protect names stray");
}

#[test]
fn a_user_is_untied_and_is_as_if_never_met() {
    let sandbox = Sandbox::start();
    let idcsync = synced(&sandbox);
    let id = user_id(&sandbox, "p00@ex.test");
    idcsync
        .run(&["unlink", "user", "p00@ex.test"])
        .exits(0)
        .says("unlink user p00@ex.test")
        .says(&format!("  in the target     {id}"))
        .says("Groups that idcsync put it into (1): Team@ex.test")
        .says("run it again with --yes");
    idcsync.run(&["status"]).exits(0).says("6 users and 2 groups linked, 6 memberships");
    only_reads(&sandbox, || {
        idcsync.run(&["unlink", "user", "p00@ex.test", "--yes"]).exits(0).says("Written.")
    });
    let status = idcsync.run(&["status"]).exits(0).says("5 users and 2 groups linked, 5 memberships");
    // What `status` calls the last cycle is one.
    status.says("last cycle 1 began");
    idcsync.run(&["unlink", "user", "p00", "--yes"]).exits(2).complains("is not linked to anything");
    // The next cycle finds it by its name, and asks.
    idcsync.run(&["sync"]).exits(4).says("1 user to adopt");
    idcsync.run(&["link", "user", "p00", &id, "--yes"]).exits(0).says("would change none of its attributes");
    idcsync.run(&["sync"]).exits(0);
    idcsync.run(&["sync"]).exits(0).says("Nothing to do");
    export().expected(&SCOPE).assert_same(&sandbox.store().contents());
    assert_eq!(user_id(&sandbox, "p00@ex.test"), id);
}

#[test]
fn a_group_is_tied_with_its_members() {
    let sandbox = Sandbox::start();
    let idcsync = synced(&sandbox);
    let id = group_id(&sandbox, "Team@ex.test");
    idcsync
        .run(&["unlink", "group", "Team", "--yes"])
        .exits(0)
        .says("Members whom idcsync knows (4): p00@ex.test; p01");
    let stray =
        json!({ "UserName": "stray", "DisplayName": "S", "Name": { "GivenName": "S", "FamilyName": "S" } });
    let stray = sandbox.store().call("CreateUser", stray)["UserId"].clone();
    sandbox.store().call("CreateGroupMembership", json!({ "GroupId": id, "MemberId": { "UserId": stray } }));
    let mut smaller = export();
    smaller.members("Team").retain(|name| name != "p03");
    idcsync.write("directory.ldif", &smaller.text());
    let linked = idcsync.run_json(&["link", "group", "Team", &id, "--yes"]).exits(0).json();
    assert_eq!(linked["memberships"].as_array().unwrap().len(), 4, "{linked}");
    assert_eq!((&linked["strangers"], &linked["changes"]), (&json!(["stray"]), &json!([])), "{linked}");
    // Who does not belong there is known to be a member, and goes.
    idcsync.run(&["sync"]).exits(0).says("- member p03@ex.test");
    let members = sandbox.store().contents().members["Team@ex.test"].clone();
    assert!(members.contains("p00@ex.test") && !members.contains("p03@ex.test"), "{members:?}");
}

#[test]
fn a_group_that_left_the_scope_is_released() {
    let sandbox = Sandbox::start();
    let idcsync = synced(&sandbox);
    let config = online_config(&["Team"], &sandbox.target());
    idcsync
        .configure(&config.replace("groups = [\"Team\"]", "groups = [\"Team\"]\nusers = [\"p04\", \"p05\"]"));
    idcsync.run(&["sync"]).exits(0).says("GroupOutOfScope Rest@ex.test");
    let before = sandbox.store().contents();
    idcsync
        .run(&["release", "group", "Rest@ex.test"])
        .exits(0)
        .says("release group Rest@ex.test")
        .says("is no longer looked after");
    idcsync.run(&["status"]).exits(0).says("GroupOutOfScope");
    let run = only_reads(&sandbox, || idcsync.run(&["release", "group", "Rest@ex.test", "--yes"]).exits(0));
    run.says("Written.").complains("finding gone");
    idcsync.run(&["status"]).exits(0).never_says("GroupOutOfScope").says("6 users and 1 groups linked");
    idcsync.run(&["sync"]).exits(0).never_says("GroupOutOfScope").says("Nothing to do");
    sandbox.store().contents().assert_same(&before);
}

#[test]
fn nothing_is_mended_while_a_cycle_is_at_work() {
    let sandbox = Sandbox::start_with(&["--latency-ms", "1000"]);
    let idcsync = online(&export(), &SCOPE, &sandbox);
    let mut first = idcsync.command(&["sync"]);
    let mut first = first.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let begun = Instant::now();
    while !sandbox.requests().iter().any(is_write) {
        assert!(begun.elapsed() < Duration::from_secs(30), "no write");
        std::thread::sleep(Duration::from_millis(5));
    }
    idcsync.run(&["unlink", "user", "p00", "--yes"]).exits(7).complains("a cycle is at work on d-1234567890");
    assert_eq!(first.wait().unwrap().code(), Some(0));
    idcsync.run(&["unlink", "user", "p00", "--yes"]).exits(0);
    let cycles = with_state(&idcsync, async |state: &State| state.cycles(10).await.unwrap());
    assert_eq!(cycles.len(), 2);
}

#[test]
fn what_a_crash_left_open_is_looked_up_first() {
    let sandbox = Sandbox::start();
    let idcsync = synced(&sandbox);
    with_state(&idcsync, async |state: &State| {
        let now = jiff::Timestamp::now();
        let known = state.load(now).await.unwrap();
        let link = known.links.values().find(|l| l.name.as_deref() == Some("p00@ex.test")).unwrap().no;
        let cycle = state.begin_cycle(CycleKind::Normal, now).await.unwrap();
        let detail = Value::Object(serde_json::Map::default());
        let action = "update-user".to_owned();
        let intent = idcsync::model::Intent { step: 0, action, link, member: None, detail, at: now };
        state.intend(cycle, &[intent]).await.unwrap();
    });
    idcsync.run(&["unlink", "user", "p00", "--yes"]).exits(2).complains("run `idcsync sync` first");
    idcsync.run(&["unlink", "user", "p05", "--yes"]).exits(0);
}
