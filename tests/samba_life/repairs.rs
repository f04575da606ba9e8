//! Other hands in the store, another store, and repairs by hand.

use serde_json::json;

use super::support::idcsync::{Sandbox, is_write};
use super::timeline::{DOMAIN, Profile, Way, domain, group, person, upn};

#[test]
fn samba_a_full_cycle_repairs_what_other_hands_did() {
    let samba = domain();
    for way in [Way::Revoke, Way::Beside] {
        let protect = "[target]\nprotect = [\"Break-Glass@corp.example.com\"]\n";
        let profile = Profile::with(&samba, way, &[("[target]\n", protect)]);
        let store = profile.sandbox.store();
        let (glass, stranger) =
            (profile.stranger("break-glass@corp.example.com"), profile.stranger("stranger"));
        let theirs = store.call("CreateGroup", json!({ "DisplayName": "Theirs" }))["GroupId"].clone();
        let join = |group: &serde_json::Value, user: &str| {
            store.call("CreateGroupMembership", json!({ "GroupId": group, "MemberId": { "UserId": user } }))
        };
        join(&theirs, &stranger);
        profile.sync("0h");
        let mut expected = profile.contents();
        let before = profile.user(1);

        let (red, blue) = (json!(profile.group_id("Red")), json!(profile.group_id("Blue")));
        let set = |id: &str, path: &str, value: &str| {
            let operations = json!([{ "AttributePath": path, "AttributeValue": value }]);
            store.call("UpdateUser", json!({ "UserId": id, "Operations": operations }));
        };
        set(&profile.id(1), "userName", "mallory@corp.example.com");
        set(before["UserId"].as_str().expect("an id"), "displayName", "Mallory");
        join(&red, &stranger);
        join(&red, &glass);
        join(&theirs, &profile.id(2));
        let membership = json!({ "GroupId": red, "MemberId": { "UserId": profile.id(2) } });
        let membership = store.call("GetGroupMembershipId", membership)["MembershipId"].clone();
        store.call("DeleteGroupMembership", json!({ "MembershipId": membership }));
        let (lost, kept) = (profile.id(9), store.users().len());
        store.call("DeleteUser", json!({ "UserId": lost }));
        let operations = json!([{ "AttributePath": "displayName", "AttributeValue": "Renamed" }]);
        store.call("UpdateGroup", json!({ "GroupId": blue, "Operations": operations }));
        let strangers = || {
            let mut users = store.users();
            users.retain(|user| user["UserId"] == json!(stranger) || user["UserId"] == json!(glass));
            users
        };
        let unmanaged = strangers();

        // An ordinary cycle does not look for it.
        profile.idle("1h");
        let run = profile.at("1h", &["sync", "--full"]).exits(0).says(
            ": 1 membership to remove, 1 user to update, 1 group to update, 1 user to create, 2 memberships to add.\n",
        );
        run.says("\"mallory@corp.example.com\" → \"user1@corp.example.com\"")
            .says("\"Mallory\" → \"User 1\"")
            .says("\"Renamed@corp.example.com\"".replace("@corp.example.com", "").as_str())
            .says("- member stranger")
            .says("nobody in the directory: membership of a managed group is authoritative")
            .says("in scope, and deleted in the target by someone else")
            .never_says("- member break-glass");

        expected
            .members
            .get_mut(&format!("Red@{DOMAIN}"))
            .expect("a group")
            .insert("break-glass@corp.example.com".to_owned());
        expected.members.get_mut("Theirs").expect("a group").insert(upn(2));
        expected.assert_same(&profile.contents());
        assert_eq!(
            (profile.id(1).as_str(), profile.user(1)["DisplayName"].as_str()),
            (before["UserId"].as_str().unwrap(), Some("User 1"))
        );
        assert!(profile.id(9) != lost && profile.groups_of(9).iter().eq(["Blue"]));
        assert_eq!((strangers(), store.users().len()), (unmanaged, kept), "{way:?}");
        assert_eq!(json!(profile.group_id("Blue")), blue);
        profile.settled("1h");
    }
}

#[test]
fn samba_what_an_ordinary_cycle_does_not_find_is_repaired_in_the_same_run() {
    let samba = domain();
    let profiles = [Way::Revoke, Way::Beside, Way::Scim].map(|way| Profile::new(&samba, way));
    for profile in &profiles {
        profile.sync("0h");
    }
    samba.admin().replace(&person(7), "displayName", &["Seven"]);
    samba.admin().remove_member(&group("Red"), &person(6));
    samba.admin().add_member(&group("Red"), &person(12));
    for profile in &profiles {
        let expected = {
            let mut expected = profile.contents();
            let red = expected.members.get_mut(&format!("Red@{DOMAIN}")).expect("a group");
            assert!(red.remove(&upn(6)) && red.insert(upn(12)));
            expected
        };
        // Gone from the store: one who is to be updated, one who is to join, and a membership that is to be removed.
        let store = profile.sandbox.store();
        let lost = [7, 12].map(|number| profile.id(number));
        for id in &lost {
            store.call("DeleteUser", json!({ "UserId": id }));
        }
        let membership =
            json!({ "GroupId": profile.group_id("Red"), "MemberId": { "UserId": profile.id(6) } });
        let membership = store.call("GetGroupMembershipId", membership)["MembershipId"].clone();
        store.call("DeleteGroupMembership", json!({ "MembershipId": membership }));

        let run =
            profile.sync("1h").complains("Something was gone from the target: looking again, to repair it.");
        for number in [7, 12] {
            let made = format!("+ {}  (in scope, and deleted in the target by someone else)\n", upn(number));
            assert!(run.stdout.contains(&made), "user{number}: {}", run.report());
        }
        expected.assert_same(&profile.contents());
        assert_eq!(profile.user(7)["DisplayName"], "Seven", "{:?}", profile.way);
        assert!(!lost.contains(&profile.id(7)) && !lost.contains(&profile.id(12)));
        profile.settled("1h");
    }
    // The same for a user whose only change is a membership, and a group as a whole.
    samba.admin().add_member(&group("Blue"), &person(0));
    for profile in &profiles {
        let store = profile.sandbox.store();
        store.call("DeleteGroup", json!({ "GroupId": profile.group_id("Blue") }));
        profile.sync("2h").complains("looking again, to repair it.").says("1 group to create");
        assert_eq!(profile.contents().members[&format!("Blue@{DOMAIN}")].len(), 9, "{:?}", profile.way);
        profile.settled("2h");
    }
}

#[test]
fn samba_another_identity_store_is_refused_until_it_is_meant() {
    let samba = domain();
    let profile = Profile::new(&samba, Way::Revoke);
    profile.sync("0h");
    let before = profile.contents();
    // Another store that has one of the people and one of the groups already.
    let other = Sandbox::start_with(&["--identity-store-id", "d-9999999999"]);
    let target = profile.sandbox.target();
    let there =
        target.replace(profile.sandbox.endpoint(), other.endpoint()).replace("d-1234567890", "d-9999999999");
    let store = super::support::store::Store::new(other.endpoint(), "eu-west-1", "d-9999999999");
    let user = json!({
        "UserName": upn(1), "DisplayName": "One", "Name": { "GivenName": "O", "FamilyName": "Ne" },
    });
    let one = store.call("CreateUser", user)["UserId"].clone();
    store.call("CreateGroup", json!({ "DisplayName": format!("Red@{DOMAIN}") }));
    profile.configure(&[(&target, &there)]);
    for arguments in [&["sync"][..], &["sync", "--dry-run"], &["sync", "--full"]] {
        let (_, requests) = other.requests_of(|| {
            let run =
                profile.at("1h", arguments).exits(2).complains("d-1234567890").complains("d-9999999999");
            run.complains("--rebind")
        });
        assert!(!requests.iter().any(is_write), "{requests:?}");
    }

    let planned = "13 users to create, 1 group to create, 16 memberships to add.\n";
    let run = profile.at("1h", &["sync", "--dry-run", "--rebind"]).exits(4);
    run.says("1 user to adopt, 1 group to adopt, ")
        .says(planned)
        .never_says("to remove")
        .never_says("to delete");
    // Looking changed nothing: it is still bound to the first.
    profile.at("1h", &["sync"]).exits(2);
    profile.at("1h", &["sync", "--rebind"]).exits(4).says(planned).says("user1@corp.example.com (adopt ");
    let status = profile.at("1h", &["status", "--output", "json"]).exits(0).json();
    assert_eq!(status["binding"]["identityStore"], "d-9999999999", "{status:#}");
    profile.at("1h", &["approve", status["held"]["plan"].as_str().expect("a plan")]).exits(0);
    profile.sync("2h");
    before.assert_same(&store.contents());
    assert!(store.users().iter().any(|user| user["UserId"] == one && user["UserName"] == json!(upn(1))));
    let (_, requests) =
        other.requests_of(|| profile.at("2h", &["sync", "--full"]).exits(0).says("Nothing to do"));
    assert!(!requests.iter().any(is_write));
    before.assert_same(&profile.contents());
    // And back is another such step.
    profile.configure(&[]);
    profile.at("3h", &["sync"]).exits(2).complains("--rebind");
}

#[test]
fn samba_repairs_by_hand_are_followed_by_the_next_cycle() {
    let samba = domain();
    let profile = Profile::new(&samba, Way::Beside);
    // Someone whom the store knows by another name; the group of the same name stays.
    let old = profile.stranger("oldname");
    profile.at("0h", &["link", "user", "user5", &old]).exits(0).says("run it again with --yes");
    profile.at("0h", &["link", "user", "user5", &old, "--yes"]).exits(0).says("Written.");
    profile.sync("0h").says("\"oldname\" → \"user5@corp.example.com\"").says("13 users to create");
    assert_eq!(profile.id(5), old);
    profile.settled("0h");

    // Let go of, it is found again by its name and asked about; memberships stay meanwhile.
    let before = profile.contents();
    profile.at("1h", &["unlink", "user", "user5", "--yes"]).exits(0).says("Written.");
    profile.at("1h", &["sync"]).exits(4).says("user5@corp.example.com (adopt ");
    before.assert_same(&profile.contents());
    profile.at("1h", &["link", "user", "user5", &old, "--yes"]).exits(0);
    profile.sync("1h");
    before.assert_same(&profile.contents());
    profile.settled("1h");

    // A group out of scope: frozen, then let go of. Those only in it are out of scope with it.
    profile.configure(&[("[\"Red\", \"Blue\"]", "[\"Red\"]")]);
    let status = || profile.at("2h", &["status"]).exits(0);
    samba.admin().add_member(&group("Blue"), &person(0));
    let run = profile.at("2h", &["sync"]);
    assert!([0, 4].contains(&run.code), "{}", run.report());
    if run.code == 4 {
        let held = profile.at("2h", &["status", "--output", "json"]).json()["held"]["plan"].clone();
        profile.at("2h", &["approve", held.as_str().expect("a plan")]).exits(0);
        profile.sync("2h");
    }
    profile.settled("2h");
    let frozen = profile.contents();
    // Nobody is added, and who left the scope with it is out of it.
    assert!(frozen.members[&format!("Blue@{DOMAIN}")].iter().eq([&upn(6), &upn(7)]), "{frozen:?}");
    status().says("GroupOutOfScope Blue@corp.example.com since ");
    profile.at("2h", &["release", "group", "Red"]).exits(2).complains("is in scope");
    let released = profile.at("2h", &["release", "group", "Blue", "--yes"]).exits(0);
    released.says("Written.");
    profile.settled("3h");
    status().never_says("GroupOutOfScope");
    frozen.assert_same(&profile.contents());
    // From now on nobody is taken out of it.
    samba.admin().remove_member(&group("Red"), &person(7));
    profile.sync("4h").says(": 1 membership to remove.\n");
    assert!(profile.groups_of(7).iter().eq(["Blue"]));
}
