//! A store in which somebody else was first, and a state database that was lost: what is there is taken over, as the
//! same objects, and nothing is made a second time.

use serde_json::{Value, json};

use super::support::export::{Export, anchor, people};
use super::support::ways::{Bench, WAYS, Way, plan_id, writes};

const SCOPE: [&str; 2] = ["Team", "Crew"];

fn export() -> Export {
    Export::of(8).group("Team", people(0..6)).group("Crew", people(4..8))
}

fn user(bench: &Bench, name: &str) -> Value {
    let users = bench.sandbox.store().users();
    users.into_iter().find(|u| u["UserName"] == name).unwrap_or_else(|| panic!("{name} is not there"))
}

/// Made over SCIM, as an earlier tool would have.
fn make(bench: &Bench, user_name: &str, display_name: &str, external_id: Option<&str>) -> String {
    let mut body = json!({
        "userName": user_name, "displayName": display_name,
        "name": { "givenName": "Given", "familyName": "Family" },
    });
    if let Some(id) = external_id {
        body["externalId"] = json!(id);
    }
    bench.sandbox.scim().create("/Users", body)
}

fn ids(bench: &Bench) -> Vec<(String, String)> {
    let store = bench.sandbox.store();
    let text = |v: &Value| v.as_str().expect("text").to_owned();
    let users = store.users().into_iter().map(|u| (text(&u["UserName"]), text(&u["UserId"])));
    let groups = store.groups().into_iter().map(|g| (text(&g["DisplayName"]), text(&g["GroupId"])));
    users.chain(groups).collect()
}

#[test]
fn who_has_the_same_name_is_held_with_what_would_change_and_adopted_when_approved() {
    for way in WAYS {
        let bench = Bench::new(way, export(), &SCOPE);
        let old = make(&bench, "P03@EX.test", "Old Name", None);
        let stranger = make(&bench, "stranger@ex.test", "Stranger", None);
        let group = bench.sandbox.scim().create("/Groups", json!({ "displayName": "team@ex.test" }));
        let members =
            json!([{"op": "add", "path": "members", "value": [{"value": stranger}, {"value": old}]}]);
        bench.sandbox.scim().patch(&format!("/Groups/{group}"), members);

        let (run, requests) = bench.requests_of(&["sync", "--dry-run"]);
        let run = run
            .exits(4)
            .says("1 user to adopt, 1 group to adopt, 7 users to create, 1 group to create")
            .says(&format!("(adopt {old})  (the target has p03@ex.test already)  [held]"))
            .says("\"P03@EX.test\" → \"p03@ex.test\"")
            .says("\"Old Name\" → \"Person p03\"")
            .says("emails[primary].value (none) → \"p03@mail.ex.test\"")
            .says("displayName \"team@ex.test\" → \"Team@ex.test\"")
            .says(&format!("(adopt {group})"))
            .says("- member stranger@ex.test");
        assert_eq!(writes(&requests), 0, "{}", run.report());
        bench.sync().exits(4).says("held");
        // The others are there, and the two as they were.
        let there = bench.contents();
        assert_eq!((there.users.len(), there.groups.len()), (9, 2), "{way:?}");
        assert_eq!(there.members["team@ex.test"].len(), 2);
        assert_eq!(user(&bench, "P03@EX.test")["DisplayName"], "Old Name");

        let id = plan_id(&bench.idcsync.run(&["sync", "--dry-run"]).exits(4));
        bench.idcsync.run(&["approve", &id]).exits(0);
        bench.sync().exits(0);
        let mut expected = bench.expected();
        expected.users.insert("stranger@ex.test".to_owned());
        expected.assert_same(&bench.contents());
        let now = ids(&bench);
        assert!(now.contains(&("p03@ex.test".to_owned(), old)), "{now:?}");
        assert!(now.contains(&("Team@ex.test".to_owned(), group)), "{now:?}");
        bench.assert_settled();
        bench.idcsync.run(&["sync", "--full"]).exits(0).says("Nothing to do");
    }
}

#[test]
fn without_the_state_over_scim_everything_is_known_by_its_external_id() {
    let bench = Bench::new(Way::Scim, export(), &SCOPE);
    bench.sync().exits(0);
    let before = ids(&bench);
    bench.lose_the_state();
    let (run, requests) = bench.requests_of(&["sync"]);
    run.exits(0).says("8 users to adopt, 2 groups to adopt").says("Applied: ").never_says("[held]");
    assert_eq!(writes(&requests), 0, "{requests:?}");
    bench.assert_settled();
    assert_eq!(ids(&bench), before);

    // Whatever it is called now.
    let store = bench.sandbox.store();
    let change = json!([{ "AttributePath": "userName", "AttributeValue": "somebody@else.test" }]);
    let id = user(&bench, "p02@ex.test")["UserId"].clone();
    store.call("UpdateUser", json!({ "UserId": id, "Operations": change }));
    let change = json!([{ "AttributePath": "displayName", "AttributeValue": "Gang" }]);
    let group = store.groups().into_iter().find(|g| g["DisplayName"] == "Crew@ex.test").expect("Crew");
    store.call("UpdateGroup", json!({ "GroupId": group["GroupId"], "Operations": change }));
    bench.lose_the_state();
    let (run, requests) = bench.requests_of(&["sync"]);
    run.exits(0).says("\"somebody@else.test\" → \"p02@ex.test\"").says("\"Gang\" → \"Crew@ex.test\"");
    assert_eq!(writes(&requests), 2, "{requests:?}");
    assert_eq!(ids(&bench), before);
    bench.assert_in_step();
    bench.assert_settled();
}

#[test]
fn without_the_state_over_the_api_everything_waits_for_an_approval_and_stays_the_same() {
    for way in [Way::Api, Way::Beside] {
        let bench = Bench::new(way, export(), &SCOPE);
        bench.sync().exits(0);
        let before = ids(&bench);
        bench.lose_the_state();
        let (run, requests) = bench.requests_of(&["sync"]);
        let run = run.exits(4).says("8 users to adopt, 2 groups to adopt").never_says("to create");
        assert_eq!(writes(&requests), 0, "{requests:?}");
        bench.idcsync.run(&["approve", &plan_id(&run)]).exits(0);
        let (run, requests) = bench.requests_of(&["sync"]);
        run.exits(0);
        assert_eq!(writes(&requests), 0, "{requests:?}");
        bench.assert_settled();
        assert_eq!(ids(&bench), before);
    }
}

#[test]
fn two_who_could_be_the_same_person_are_a_conflict_of_one() {
    let bench = Bench::new(Way::Scim, export(), &SCOPE);
    let by_id = make(&bench, "somebody@else.test", "By Id", Some(&anchor("p03")));
    let by_name = make(&bench, "p03@ex.test", "By Name", None);
    bench
        .sync()
        .exits(0)
        .says("ConflictError p03@ex.test: two objects of the target could be this one")
        .says(&format!("{by_id} bears its external id, and {by_name} holds the userName p03@ex.test"))
        .says("idcsync link");
    let there = bench.contents();
    assert_eq!(there.users.len(), 9);
    assert!(!there.members["Team@ex.test"].contains("p03@ex.test"));
    assert_eq!(user(&bench, "p03@ex.test")["DisplayName"], "By Name");
    assert_eq!(user(&bench, "somebody@else.test")["DisplayName"], "By Id");
    let (run, requests) = bench.requests_of(&["sync"]);
    run.exits(0).says("Nothing to do");
    assert_eq!(writes(&requests), 0);
    // One of them gone, the other is it.
    bench.sandbox.store().call("DeleteUser", json!({ "UserId": by_name }));
    bench.sync().exits(0);
    assert_eq!(user(&bench, "p03@ex.test")["UserId"], json!(by_id));
    bench.assert_in_step();
}

#[test]
fn what_another_profile_has_linked_is_refused_and_that_profile_named() {
    for way in [Way::Api, Way::Scim] {
        let mut bench = Bench::new(way, export(), &SCOPE);
        bench.sync().exits(0);
        let before = bench.contents();
        bench.idcsync.configure(&bench.config("other", "state.db"));
        for _ in 0..2 {
            let (run, requests) = bench.requests_of(&["sync"]);
            let run = run.exits(0).says("Nothing to do").says("Findings (10):");
            let run = run.says("belongs to the profile `p` already").never_says("to adopt");
            assert_eq!(writes(&requests), 0, "{}", run.report());
        }
        before.assert_same(&bench.contents());

        // Those who are nobody's are not held up by it.
        bench.export = export().group("New", people(6..8).into_iter().chain(["p90".to_owned()]));
        bench.export.add_person("p90");
        bench.put();
        bench.scope = vec!["New".to_owned()];
        bench.idcsync.configure(&bench.config("other", "state.db"));
        bench.sync().exits(0).says("1 user to create, 1 group to create, 1 membership to add.");
        let there = bench.contents();
        assert_eq!((there.users.len(), there.members["New@ex.test"].len()), (9, 1));

        // And the first one has lost nothing.
        bench.export = export();
        bench.put();
        bench.scope = SCOPE.map(str::to_owned).to_vec();
        bench.configure();
        bench.assert_settled();
    }
}
