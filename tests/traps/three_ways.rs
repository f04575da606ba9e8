//! The same directory, written by the API, by the API with SCIM beside it, and by SCIM alone, ends in the same store.

use serde_json::{Value, json};

use super::support::export::{Export, people};
use super::support::ways::{Bench, WAYS, writes};

const SCOPE: [&str; 3] = ["Outer", "Big", "Empty"];

fn export() -> Export {
    let mut export = Export::of(130)
        .group("Outer", ["Inner", "p00", "p01"])
        .group("Inner", ["Outer", "p02", "p03", "Big"])
        .group("Big", people(0..115))
        .group("Empty", people(0..0));
    export.person("p07").disabled = true;
    export.person("p08").family_name = "Ünïcode \"quoted\", \\ and ; more".to_owned();
    export.person("p09").mail = String::new();
    export.person("p10").user_name = "Upper.Case+tag@EX.test".to_owned();
    export
}

/// Users and groups by name, with all of their attributes, and without what is the store's own or can be written one
/// way only.
fn records(bench: &Bench) -> (Vec<Value>, Vec<Value>) {
    let store = bench.sandbox.store();
    let strip = |mut record: Value| {
        let object = record.as_object_mut().expect("a record");
        for own in [
            "UserId",
            "UserArn",
            "GroupArn",
            "GroupId",
            "ExternalIds",
            "Description",
            "CreatedAt",
            "UpdatedAt",
            "CreatedBy",
            "UpdatedBy",
            "Revision",
            "IdentityStoreId",
        ] {
            object.remove(own);
        }
        record
    };
    let sorted = |records: Vec<Value>| {
        let mut records: Vec<Value> = records.into_iter().map(strip).collect();
        records.sort_by_key(|r| format!("{}{}", r["UserName"], r["DisplayName"]));
        records
    };
    (sorted(store.users()), sorted(store.groups()))
}

#[test]
fn the_three_ways_end_in_the_same_store_and_then_have_nothing_to_do() {
    let mut benches = WAYS.map(|way| Bench::new(way, export(), &SCOPE));
    for round in 0..2 {
        for bench in &mut benches {
            if round == 1 {
                bench.change(|export| {
                    export.person("p11").display_name = "Changed".to_owned();
                    export.person("p12").user_name = "changed@ex.test".to_owned();
                    export.members("Big").drain(50..54);
                    export.members("Outer").push("p129".to_owned());
                    export.members("Inner").push("p128".to_owned());
                });
            }
            bench.sync().exits(0);
            bench.assert_settled();
            let (run, requests) = bench.requests_of(&["sync", "--full"]);
            run.exits(0).says("Nothing to do");
            assert_eq!(writes(&requests), 0, "{:?}", bench.way);
        }
        let [api, beside, scim] = &benches;
        let first = (records(api), api.contents());
        assert_eq!(first.0.0.len(), if round == 0 { 114 } else { 116 });
        for other in [beside, scim] {
            let (users, groups) = records(other);
            for (one, two) in first.0.0.iter().zip(&users) {
                assert_eq!(one, two, "{:?}", other.way);
            }
            assert_eq!((first.0.0.len(), &first.0.1), (users.len(), &groups), "{:?}", other.way);
            first.1.assert_same(&other.contents());
        }
    }
}

/// What only one of them can do is said by its words.
#[test]
fn with_scim_a_user_is_disabled_and_without_it_revoked() {
    for (bench, word) in WAYS.map(|way| Bench::new(way, export(), &SCOPE)).iter_mut().zip([
        "1 user to revoke",
        "1 user to disable",
        "1 user to disable",
    ]) {
        bench.sync().exits(0);
        bench.change(|export| export.person("p02").disabled = true);
        bench.sync().exits(0).says(word);
        let store = bench.sandbox.store();
        let user = store.users().into_iter().find(|u| u["UserName"] == "p02@ex.test").expect("p02");
        let status = if word.contains("disable") { json!("DISABLED") } else { json!("ENABLED") };
        assert_eq!(user["UserStatus"], status, "{:?}", bench.way);
        let there = bench.contents();
        assert!(there.members.values().all(|members| !members.contains("p02@ex.test")), "{:?}", bench.way);
        bench.assert_settled();
        bench.change(|export| export.person("p02").disabled = false);
        bench.sync().exits(0);
        bench.assert_in_step();
        bench.assert_settled();
    }
}
