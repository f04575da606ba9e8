//! Four weeks out of scope, in each way that there is to put somebody out of use.

use super::support::samba::Samba;
use super::timeline::{Profile, Way, domain, group, person, upn};

const SHOWN: &str = "User 3, now of another name";

#[test]
fn samba_who_leaves_the_scope_is_put_out_of_use_after_four_weeks_and_comes_back() {
    let samba = domain();
    let profiles = Way::ALL.map(|way| Profile::new(&samba, way));
    for profile in &profiles {
        profile.sync("0h");
    }
    let before = profiles.each_ref().map(|profile| profile.user(3));

    samba.admin().remove_member(&group("Red"), &person(3));
    for (profile, before) in profiles.iter().zip(&before) {
        let expected = leaves(profile, before);
        is_put_out(profile, before);
        // Nobody else was touched.
        expected.assert_same(&profile.contents());
    }
    samba.admin().add_member(&group("Red"), &person(3));
    samba.admin().replace(&person(3), "displayName", &[SHOWN]);
    for (profile, before) in profiles.iter().zip(&before) {
        comes_back(profile, before["UserId"].as_str().expect("an id"));
    }
    only_whom_it_disabled(&samba, &profiles);
}

/// Memberships go at once, and nothing else for four weeks. Gives what the store is to hold then.
fn leaves(profile: &Profile, before: &serde_json::Value) -> super::support::contents::Contents {
    let mut expected = profile.contents();
    assert!(expected.members.get_mut("Red@corp.example.com").expect("a group").remove(&upn(3)));
    let run = profile.sync("1h").says("1 membership to remove.\n").says("Applied: 1 done.");
    run.never_says("user3@corp.example.com (").never_says("disable");
    expected.assert_same(&profile.contents());
    assert_eq!(profile.user(3), *before, "{:?}", profile.way);
    profile.idle("1h");
    let to_be = ["revoked", "reported", "deleted", "disabled", "disabled"];
    let to_be = to_be[Way::ALL.iter().position(|way| *way == profile.way).expect("a way")];
    profile
        .at("1h", &["status"])
        .exits(0)
        .says(&format!("Out of scope (1; to be {to_be} after"))
        .says(&format!(": {to_be} in 28 days ("));

    // Cycles that read the target back as well, and the last one an hour before the time has come.
    for time in ["14d", "27d", "28d"] {
        profile.idle(time);
        assert_eq!(profile.user(3), *before, "{:?} at {time}", profile.way);
    }
    if profile.way == Way::Delete {
        expected.users.remove(&upn(3));
    }
    expected
}

fn is_put_out(profile: &Profile, before: &serde_json::Value) {
    let verb = profile.way.verb();
    let time = "28d 2h";
    let dry = profile.at(time, &["sync", "--dry-run"]).exits(0);
    assert_eq!(profile.user(3), *before, "{:?}", profile.way);
    let run = profile.sync(time).says(&format!(": 1 user to {verb}.\n")).says("Applied: 1 done.");
    assert!(
        run.stdout.starts_with(&dry.stdout.lines().next().expect("a plan").to_owned()),
        "{}",
        run.report()
    );
    let run = run.says("  (out of scope since ").says(": every scope entry was read completely");
    let run = match profile.way {
        Way::Revoke => run
            .says("- user3@corp.example.com (revoke: memberships go; sign-in and direct assignments stay)")
            .never_says("disable ")
            .never_says("disabled"),
        Way::Report => run
            .says("~ user3@corp.example.com (report: to be disabled in IAM Identity Center by hand)")
            .says("DisableByHand user3@corp.example.com: it is to be disabled (out-of-scope)"),
        Way::Delete => run.says("- user3@corp.example.com (delete, with its account assignments)"),
        Way::Beside | Way::Scim => run.says("- user3@corp.example.com (disable)"),
    };
    let sessions = "Role sessions that are running now may last for up to 12 hours after.";
    assert_eq!(run.stdout.contains(sessions), profile.way != Way::Report, "{}", run.report());
    assert!(profile.is_out(3), "{:?}", profile.way);
    if profile.way != Way::Delete {
        // All but the status is as it was.
        let strip = |user: &serde_json::Value| {
            let mut user = user.clone();
            for field in ["UserStatus", "Revision", "UpdatedAt", "UpdatedBy"] {
                user.as_object_mut().expect("a record").remove(field);
            }
            user
        };
        assert_eq!(strip(&profile.user(3)), strip(before), "{:?}", profile.way);
    }
    profile.settled(time);
    if profile.way == Way::Report {
        profile.idle("29d").says("DisableByHand user3@corp.example.com");
        profile.at("29d", &["sync", "--strict"]).exits(3);
        profile.set_active(before["UserId"].as_str().expect("an id"), false);
        // Asked of the store by the next cycle that reads it back.
        let run = profile.idle("31d");
        assert!(!run.stdout.contains("DisableByHand"), "{}", run.report());
        profile.set_active(before["UserId"].as_str().expect("an id"), true);
    }
    profile.idle("39d");
}

fn comes_back(profile: &Profile, id: &str) {
    let run = profile.sync("40d");
    let run = match profile.way {
        Way::Revoke | Way::Report => {
            run.says(": 1 user to restore, 1 user to update, 1 membership to add.\n").says("(restore)")
        }
        Way::Delete => run.says(": 1 user to create, 1 membership to add.\n"),
        Way::Beside | Way::Scim => {
            run.says(": 1 user to enable, 1 user to update, 1 membership to add.\n").says("(enable)")
        }
    };
    if profile.way != Way::Delete {
        run.says("desired again; idcsync had disabled it: out-of-scope");
    }
    assert!(profile.is_enabled(3));
    assert_eq!(profile.user(3)["DisplayName"], SHOWN);
    assert!(profile.groups_of(3).iter().eq(["Red"]), "{:?}", profile.way);
    assert_eq!(profile.id(3) == id, profile.way != Way::Delete, "{:?}", profile.way);
    profile.settled("40d");
}

/// Who was disabled by someone else stays so, and is not enabled by coming back, however long it took.
fn only_whom_it_disabled(samba: &Samba, profiles: &[Profile]) {
    let profiles = || profiles.iter().filter(|profile| profile.way.disables());
    for profile in profiles() {
        profile.set_active(&profile.id(4), false);
        profile.set_active(&profile.id(5), false);
    }
    samba.admin().remove_member(&group("Red"), &person(4));
    samba.admin().remove_member(&group("Red"), &person(5));
    for profile in profiles() {
        profile.at("41d", &["sync", "--full"]).exits(0).says(": 2 memberships to remove.\n");
        profile.idle("41d");
    }
    samba.admin().add_member(&group("Red"), &person(4));
    for profile in profiles() {
        let run = profile.at("42d", &["sync", "--full"]).exits(0).says(": 1 membership to add.\n");
        run.says("DisabledByOthers user4@corp.example.com: ").never_says("enable)");
        for time in ["56d", "69d 1h", "70d"] {
            profile.idle(time);
        }
    }
    samba.admin().add_member(&group("Red"), &person(5));
    for profile in profiles() {
        let run = profile.at("71d", &["sync", "--full"]).exits(0).says(": 1 membership to add.\n");
        run.says("DisabledByOthers (2): ").never_says("enable)");
        assert!(!profile.is_enabled(4) && !profile.is_enabled(5), "{:?}", profile.way);
    }
}
