//! Traps on the side of the target, and of what is known of it.

use std::process::Stdio;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::fake::{Fake, delete, domain, names};
use super::fake_ldap::PASSWORD;
use super::support::export::{Export, people};
use super::support::idcsync::{Idcsync, Sandbox, is_write};
use super::support::ways::{Bench, Way, plan_id, writes};

const SCOPE: [&str; 2] = ["Team", "Crew"];

fn export() -> Export {
    Export::of(12).group("Team", people(0..8)).group("Crew", people(4..12))
}

/// The id of a user or group of this name, as the store has it.
fn id_of(bench: &Bench, name: &str) -> String {
    let store = bench.sandbox.store();
    let user = store.users().into_iter().find(|u| u["UserName"] == name).map(|u| u["UserId"].clone());
    let group =
        || store.groups().into_iter().find(|g| g["DisplayName"] == name).map(|g| g["GroupId"].clone());
    let id = user.or_else(group).unwrap_or_else(|| panic!("{name} is not there"));
    id.as_str().expect("an id").to_owned()
}

fn operations(requests: &[Value]) -> Vec<&str> {
    requests.iter().filter(|r| is_write(r)).map(|r| r["operation"].as_str().expect("a name")).collect()
}

#[test]
fn state_is_kept_as_it_happens_and_a_crash_leads_to_no_conflict() {
    for way in [Way::Api, Way::Scim] {
        let bench = Bench::with(way, export(), &SCOPE, &["--latency-ms", "25"], "");
        for writes_before in [5, 9, 4] {
            let mut command = bench.idcsync.command(&["sync"]);
            let mut child =
                command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("start idcsync");
            let before = writes(&bench.sandbox.requests());
            let begun = Instant::now();
            while writes(&bench.sandbox.requests()) < before + writes_before {
                assert!(begun.elapsed() < Duration::from_secs(60), "idcsync stands still");
                if child.try_wait().expect("its state").is_some() {
                    break;
                }
                std::thread::sleep(Duration::from_millis(2));
            }
            child.kill().expect("SIGKILL");
            child.wait().expect("its end");
        }
        bench.sync().exits(0).never_says("Conflict").never_says("to adopt");
        bench.assert_in_step();
        bench.assert_settled();
        let refused = |r: &&Value| r["outcome"].as_str().is_some_and(|o| o.contains("Conflict"));
        let requests = bench.sandbox.requests();
        assert!(!requests.iter().any(|r| refused(&r)), "{:?}", requests.iter().find(refused));
    }
}

#[test]
fn an_object_deleted_by_hand_does_not_stop_the_sync() {
    for way in [Way::Api, Way::Scim] {
        let mut bench = Bench::new(way, export(), &SCOPE);
        bench.sync().exits(0);
        let store = bench.sandbox.store();
        store.call("DeleteUser", json!({ "UserId": id_of(&bench, "p05@ex.test") }));
        store.call("DeleteGroup", json!({ "GroupId": id_of(&bench, "Crew@ex.test") }));
        // A cycle that meets it: one of them is to be updated, and somebody is to join and to leave the other.
        bench.change(|export| {
            export.person("p05").display_name = "Somebody Else".to_owned();
            export.members("Crew").retain(|name| name != "p11");
            export.members("Crew").push("p00".to_owned());
            export.add_person("p12");
            export.members("Team").push("p12".to_owned());
        });
        bench.sync().exits(0);
        let mut expected = bench.expected();
        // Out of scope, and not disabled yet.
        expected.users.insert("p11@ex.test".to_owned());
        expected.assert_same(&bench.contents());
        bench.assert_settled();
        // And one that only a full cycle can see.
        store.call("DeleteUser", json!({ "UserId": id_of(&bench, "p02@ex.test") }));
        bench.idcsync.run(&["sync", "--full"]).exits(0).says("TargetObjectMissing");
        expected.assert_same(&bench.contents());
    }
}

#[test]
fn one_bad_user_does_not_end_the_run() {
    for way in [Way::Api, Way::Scim] {
        let mut export = export();
        export.person("p03").family_name = String::new();
        export.person("p04").user_name = "with blanks@ex.test".to_owned();
        export.person("p05").mail = String::new();
        export.person("p06").display_name = "x".repeat(2_000);
        let bench = Bench::new(way, export, &SCOPE);
        bench.sync().exits(0);
        let there = bench.contents();
        let bad = ["p03@ex.test", "with blanks@ex.test", "p06@ex.test"].map(str::to_owned);
        let mut expected = bench.expected();
        for contents in std::iter::once(&mut expected.users).chain(expected.members.values_mut()) {
            contents.retain(|name| !bad.contains(name));
        }
        expected.assert_same(&there);
        bench.idcsync.run(&["sync", "--strict"]).exits(3).says("Nothing to do");
    }
}

/// 150 users, 120 groups: more than one page of each, in every form.
fn many() -> (Export, Vec<String>) {
    let mut export = Export::of(150);
    let mut scope = vec!["All".to_owned()];
    for number in 0..119 {
        let name = format!("G{number:03}");
        export = export.group(&name, people([number, number + 1]));
        scope.push(name);
    }
    (export.group("All", people(0..150)), scope)
}

#[test]
fn pages_past_the_first_are_read_over_the_api() {
    all_pages_are_read(Way::Api, &[]);
}

#[test]
fn pages_past_the_first_are_read_over_scim() {
    all_pages_are_read(Way::Scim, &["--scim-short-pages"]);
}

fn all_pages_are_read(way: Way, options: &[&str]) {
    let (export, scope) = many();
    let scope: Vec<&str> = scope.iter().map(String::as_str).collect();
    let bench = Bench::with(way, export, &scope, options, "");
    bench.sync().exits(0);
    bench.assert_in_step();
    let ids = ids(&bench);
    assert_eq!(ids.len(), 270);

    // Changed by somebody else, on every page.
    let store = bench.sandbox.store();
    for user in store.users().iter().step_by(40) {
        let change = json!([{ "AttributePath": "displayName", "AttributeValue": "Changed" }]);
        store.call("UpdateUser", json!({ "UserId": user["UserId"], "Operations": change }));
    }
    let groups = store.groups();
    let stray = &store.users()[149]["UserId"];
    let lone: Vec<&Value> = groups.iter().filter(|g| g["DisplayName"] != "All@ex.test").step_by(60).collect();
    assert_eq!(lone.len(), 2);
    for group in lone {
        let member = json!({ "GroupId": group["GroupId"], "MemberId": { "UserId": stray } });
        store.try_call("CreateGroupMembership", member);
    }
    assert!(bench.contents().memberships() > bench.expected().memberships());
    bench.idcsync.run(&["sync", "--full"]).exits(0).says("4 users to update");
    bench.assert_in_step();
    bench.idcsync.run(&["sync", "--full"]).exits(0).says("Nothing to do");

    // What is there already is found on every page: nothing is created.
    bench.lose_the_state();
    let run = bench.sync().says("150 users to adopt, 120 groups to adopt").never_says("to create");
    if run.code == 4 {
        bench.idcsync.run(&["approve", &plan_id(&run)]).exits(0);
        bench.sync().exits(0);
    }
    bench.assert_in_step();
    bench.assert_settled();
    assert_eq!(self::ids(&bench), ids);
}

/// The older form lists one page of fifty: what is wanted is asked for by itself.
#[test]
fn pages_that_cannot_be_turned_are_not_all_there_is() {
    let (export, scope) = many();
    let mut scope: Vec<&str> = scope.iter().map(String::as_str).collect();
    // A group whose members would not fit on one page either.
    scope.retain(|name| *name != "All");
    let mut bench = Bench::with(Way::Scim, export, &scope, &["--scim-paging", "older"], "");
    bench.sync().exits(0);
    bench.assert_in_step();
    bench.assert_settled();
    let ids = ids(&bench);
    let last = bench.sandbox.store().users().last().unwrap().clone();
    let name = last["UserName"].as_str().unwrap().split('@').next().unwrap().to_owned();
    bench.change(|export| export.person(&name).display_name = "Changed".to_owned());
    bench.sync().exits(0).says("1 user to update");
    let change = json!([{ "AttributePath": "displayName", "AttributeValue": "By hand" }]);
    bench.sandbox.store().call("UpdateUser", json!({ "UserId": last["UserId"], "Operations": change }));
    bench.idcsync.run(&["sync", "--full"]).exits(0).says("1 user to update");
    bench.idcsync.run(&["sync", "--full"]).exits(0).says("Nothing to do");

    bench.lose_the_state();
    bench.sync().exits(0).says("120 users to adopt, 119 groups to adopt").never_says("to create");
    bench.assert_in_step();
    assert_eq!(self::ids(&bench), ids);
}

fn ids(bench: &Bench) -> Vec<String> {
    let store = bench.sandbox.store();
    let users = store.users().into_iter().map(|u| u["UserId"].to_string());
    let mut ids: Vec<String> =
        users.chain(store.groups().into_iter().map(|g| g["GroupId"].to_string())).collect();
    ids.sort();
    ids
}

#[test]
fn a_rename_is_looked_up_by_id_and_not_by_its_new_name() {
    for way in [Way::Api, Way::Scim] {
        let mut bench = Bench::new(way, export(), &SCOPE);
        bench.sync().exits(0);
        let user = id_of(&bench, "p05@ex.test");
        bench.change(|export| {
            let person = export.person("p05");
            person.user_name = "new.name@ex.test".to_owned();
            person.mail = "new.name@mail.ex.test".to_owned();
        });
        let (run, requests) = bench.requests_of(&["sync"]);
        run.exits(0).says("1 user to update.");
        assert_eq!(writes(&requests), 1, "{requests:?}");
        assert_eq!(id_of(&bench, "new.name@ex.test"), user);
        bench.assert_in_step();
        bench.assert_settled();
    }
}

#[test]
fn a_recycled_address_inherits_nothing() {
    for way in [Way::Api, Way::Scim] {
        let mut bench = Bench::new(way, export(), &SCOPE);
        bench.sync().exits(0);
        let old = id_of(&bench, "p02@ex.test");
        // Somebody else of the same name and address, in the other group; and the first one is nowhere.
        bench.change(|export| {
            export.person("p02").seed = "another p02".to_owned();
            export.members("Team").retain(|name| name != "p02");
            export.members("Crew").push("p02".to_owned());
        });
        bench.sync().exits(0).says("renamed out of the way");
        let new = id_of(&bench, "p02@ex.test");
        assert_ne!(new, old);
        let there = bench.contents();
        assert!(!there.members["Team@ex.test"].contains("p02@ex.test"));
        assert!(there.members["Crew@ex.test"].contains("p02@ex.test"));
        let former: Vec<&String> = there.users.iter().filter(|name| name.starts_with("former-")).collect();
        assert_eq!(former.len(), 1, "{:?}", there.users);
        assert_eq!(id_of(&bench, former[0]), old);
        let groups = there.members.values().filter(|members| members.contains(former[0]));
        assert_eq!(groups.count(), 0);
        bench.assert_settled();
    }
}

#[test]
fn what_it_did_not_create_is_not_deleted() {
    for way in [Way::Api, Way::Scim] {
        let team = [("Team", names(0..12)), ("Crew", names(0..4))];
        let before = Fake::start(domain(12, &team));
        let mut entries = domain(12, &team);
        delete(&mut entries, 0..2);
        let after = Fake::start(entries);
        let sandbox = Sandbox::start();
        let target = way.target(&sandbox) + "\n[lifecycle]\ndelete-after = \"0s\"\n";
        let idcsync = Idcsync::new(&before.config(&["Team", "Crew"], &target));
        idcsync.write("password", PASSWORD);
        idcsync.write("token", sandbox.scim().token());
        let store = sandbox.store();
        let group = store.call("CreateGroup", json!({ "DisplayName": "Strangers" }))["GroupId"].clone();
        for number in 0..3 {
            let name = json!({ "GivenName": "S", "FamilyName": "S" });
            let user = json!({ "UserName": format!("stranger{number}"), "DisplayName": "S", "Name": name });
            let id = store.call("CreateUser", user)["UserId"].clone();
            store.call("CreateGroupMembership", json!({ "GroupId": group, "MemberId": { "UserId": id } }));
        }
        let theirs = store.contents();
        for (directory, ours) in [(&before, 12), (&after, 10)] {
            idcsync.configure(&directory.config(&["Team", "Crew"], &target));
            for arguments in [&["sync"][..], &["sync", "--full"], &["sync"]] {
                idcsync.run(arguments).exits(0);
                let there = store.contents();
                assert!(there.users.is_superset(&theirs.users), "{:?}", there.users);
                assert_eq!(there.members["Strangers"], theirs.members["Strangers"]);
                assert_eq!((there.users.len(), there.groups.len()), (ours + 3, 3));
            }
        }
    }
}

#[test]
fn a_failed_one_shot_does_not_exit_with_0() {
    // What may fail, and with which code.
    let denied = ["--fault", "CreateUser:access-denied", "--fault", "CreateGroup:access-denied"];
    let bench = Bench::with(Way::Api, export(), &SCOPE, &denied, "");
    bench.sync().exits(6).complains("error: the target failed again and again");
    let bench = Bench::with(Way::Api, export(), &SCOPE, &["--fault", "CreateGroup:access-denied"], "");
    bench.sync().exits(3);
    let bench = Bench::with(Way::Api, export(), &SCOPE, &["--fault", "CreateGroup:internal"], "");
    bench.sync().exits(3);
    let bench = Bench::new(Way::Scim, export(), &SCOPE);
    bench.idcsync.write("directory.ldif", "");
    bench.sync().exits(6).complains("error: ");
    std::fs::remove_file(bench.idcsync.path("directory.ldif")).unwrap();
    bench.sync().exits(6).complains("error: ");
    bench.put();
    bench.idcsync.write(
        "state.db",
        "not a database, and longer than the head of one would have to be to be read as such",
    );
    bench.sync().exits(6).complains("error: ");
    std::fs::remove_file(bench.idcsync.path("state.db")).unwrap();
    bench.sandbox.server().signal("KILL");
    bench.sync().exits(6).complains("error: ");
    bench.idcsync.configure("profile = \"p\"\n");
    bench.sync().exits(2).complains("error");
}

#[test]
fn a_dry_run_plans_what_the_real_run_does() {
    for way in [Way::Api, Way::Scim] {
        let mut bench = Bench::new(way, export(), &SCOPE);
        for round in 0..3 {
            match round {
                0 => {}
                // Every kind of change, and some of it held.
                1 => bench.change(|export| {
                    export.person("p01").display_name = "Changed".to_owned();
                    export.person("p02").user_name = "changed@ex.test".to_owned();
                    export.person("p03").disabled = true;
                    export.members("Crew").drain(0..6);
                    export.members("Team").push("p11".to_owned());
                    export.add_person("p12");
                    export.members("Crew").push("p12".to_owned());
                }),
                _ => bench.change(|export| export.members("Team").clear()),
            }
            let files = bench.idcsync.files();
            let (dry, requests) = bench.requests_of(&["sync", "--dry-run", "--output", "json"]);
            assert_eq!(writes(&requests), 0);
            assert!(files == bench.idcsync.files(), "a dry run writes nothing");
            let real = bench.idcsync.run_json(&["sync"]);
            assert_eq!(dry.code, real.code, "{}{}", dry.report(), real.report());
            assert_eq!(dry.code, if round == 0 { 0 } else { 4 }, "{}", dry.report());
            let (dry, real) = (dry.json(), real.json());
            assert_eq!(dry["plan"], real["plan"]["plan"]);
            assert_eq!(dry["steps"], real["plan"]["steps"]);
            assert!(dry["plan"].is_string() && !dry["steps"].as_array().unwrap().is_empty());
        }
    }
}

#[test]
fn memberships_are_not_written_one_request_each_where_many_fit_in_one() {
    let mut bench = Bench::new(Way::Scim, Export::of(250).group("Team", people(0..5)), &["Team"]);
    bench.more = "[guard]\nmax-growth = 1000\nmax-removals = 1000\nmax-percent = 100\n".to_owned();
    bench.configure();
    bench.sync().exits(0);
    bench.change(|export| *export.members("Team") = people(0..250));
    // Growth in percent is more than any percentage: approved.
    let run = bench.sync();
    if run.code == 4 {
        bench.idcsync.run(&["approve", &plan_id(&run)]).exits(0);
    }
    bench.sync().exits(0);
    let all = bench.sandbox.requests();
    let patches = all.iter().filter(|r| r["operation"] == "scim:PatchGroup").count();
    assert_eq!(patches, 3, "245 memberships");
    bench.change(|export| *export.members("Team") = people(240..250));
    let (run, requests) = bench.requests_of(&["sync"]);
    run.exits(0);
    assert_eq!(operations(&requests), ["scim:PatchGroup"; 3]);
    let mut expected = bench.expected();
    expected.users = bench.contents().users;
    expected.assert_same(&bench.contents());
}
