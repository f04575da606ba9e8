//! Time that nobody watched: a job that did not run, a database from a backup, a directory out of reach, a clock that
//! was wrong.

use super::support::samba::Samba;
use super::timeline::{IN_BLUE, IN_RED, Profile, Way, domain, group, person, step, steps, upn};

fn codes(document: &serde_json::Value) -> Vec<String> {
    let all = document["plan"]["findings"].as_array().expect("findings").iter();
    all.map(|finding| finding["code"].as_str().expect("a code").to_owned()).collect()
}

fn leave(samba: &Samba, number: usize) {
    samba.admin().remove_member(&group("Red"), &person(number));
}

#[test]
fn samba_a_job_that_did_not_run_for_five_weeks_disables_nobody() {
    let samba = domain();
    let profile = Profile::new(&samba, Way::Beside);
    profile.sync("0h");
    // Just before the job stops; and while nobody looks.
    leave(&samba, 0);
    profile.sync("1h").says("1 membership to remove");
    leave(&samba, 1);
    let run = profile.sync("35d").says(": 1 membership to remove.\n").says("TimeNotCounted corp: ");
    run.says("the time of 1 users begins anew and nobody is disabled for it").never_says("disable)");
    for number in [0, 1] {
        assert!(profile.is_enabled(number) && profile.groups_of(number).is_empty());
    }
    // Said of the cycle that it is true of.
    let run = profile.idle("35d 1h");
    assert!(!run.stdout.contains("TimeNotCounted"), "{}", run.report());
    for time in ["49d", "62d 23h"] {
        profile.idle(time);
    }
    profile.sync("63d 1h").says(": 2 users to disable.\n");
    assert!([0, 1].iter().all(|n| profile.is_out(*n)));
    profile.settled("63d 1h");
}

#[test]
fn samba_a_state_database_from_a_backup_disables_nobody() {
    let samba = domain();
    let profile = Profile::new(&samba, Way::Beside);
    profile.sync("0h");
    leave(&samba, 0);
    leave(&samba, 2);
    profile.sync("1h").says("2 memberships to remove");
    let database = std::fs::read(profile.idcsync.path("state.db")).expect("the database");

    // Meanwhile one of them is back, and was never away for long; someone is new; someone is in another group.
    samba.admin().add_member(&group("Red"), &person(0));
    samba.admin().add_member(&group("Blue"), &person(14));
    samba.admin().add_member(&group("Blue"), &person(3));
    profile.sync("2h").says(": 1 user to create, 3 memberships to add.\n");
    profile.idle("20d");
    leave(&samba, 0);
    leave(&samba, 3);
    profile.sync("29d 23h").says(": 1 user to disable, 2 memberships to remove.\n");
    assert!(profile.is_out(2));
    let (before, users) = (profile.contents(), profile.sandbox.store().users());

    restore(&profile, &database);
    // What it does not know of is found again, by its name, and asked about.
    let run = profile.at("30d 2h", &["sync"]).exits(4).says("TimeNotCounted corp: ").never_says("disable)");
    run.says("user14@corp.example.com (adopt ");
    profile.at("30d 2h", &["approve", &plan_of(&profile, "30d 2h")]).exits(0);
    profile.sync("30d 2h").never_says("disable)");
    // As before, and nobody is disabled for what the old copy says.
    before.assert_same(&profile.contents());
    assert_eq!(
        profile.sandbox.store().users().iter().map(|u| u["UserId"].clone()).collect::<Vec<_>>(),
        users.iter().map(|u| u["UserId"].clone()).collect::<Vec<_>>()
    );
    assert!(profile.is_enabled(0) && profile.is_enabled(3));
    profile.settled("30d 3h");
    // The time of the one whom the backup has as out of scope began anew.
    for time in ["44d", "58d"] {
        profile.idle(time);
    }
}

fn restore(profile: &Profile, database: &[u8]) {
    for tail in ["-wal", "-shm"] {
        let _ = std::fs::remove_file(profile.idcsync.path(&format!("state.db{tail}")));
    }
    std::fs::write(profile.idcsync.path("state.db"), database).expect("put the backup back");
}

/// The id of the plan that is held.
fn plan_of(profile: &Profile, time: &str) -> String {
    let status = profile.at(time, &["status", "--output", "json"]).exits(0).json();
    status["held"]["plan"].as_str().unwrap_or_else(|| panic!("nothing is held: {status:#}")).to_owned()
}

#[test]
fn samba_out_of_reach_for_five_weeks_disables_everybody_once_approved() {
    let mut samba = domain();
    let profiles = [Way::Revoke, Way::Beside].map(|way| Profile::new(&samba, way));
    for profile in &profiles {
        profile.sync("0h");
    }
    samba.kill();
    let before = profiles[0].contents();
    for profile in &profiles {
        for time in ["1h", "14d", "27d"] {
            profile.at(time, &["sync"]).exits(6).complains("no directory server could be used");
            let status = profile.at(time, &["status"]).exits(0).says("DirectoryUnavailable corp since ");
            status.never_says("DirectoryOutOfReach");
        }
        let verb = profile.way.verb();
        let held = format!(": 14 users to {verb}, 16 memberships to remove.\n30 steps are held:\n");
        let mut plans = Vec::new();
        for time in ["35d", "35d 1h"] {
            let run = profile.at(time, &["sync"]).exits(6).says(&held).says("Applied: 0 done, 30 held.");
            run.says("  30 steps: nothing could be read of the directory")
                .says("DirectoryOutOfReach corp: nothing could be read of the directory for longer than");
            before.assert_same(&profile.contents());
            assert!((IN_RED.start..IN_BLUE.end).all(|n| profile.is_enabled(n)));
            plans.push(plan_of(profile, time));
        }
        assert_eq!(plans[0], plans[1], "the same plan, however often it is made");
    }

    // One of them is approved, though the directory is still out of reach.
    let approved = &profiles[1];
    let plan = plan_of(approved, "35d 1h");
    approved.at("35d 1h", &["approve", &plan]).exits(0).says("Approved until");
    let run =
        approved.at("35d 2h", &["sync"]).exits(6).says(": 14 users to disable, 16 memberships to remove.\n");
    run.says("Applied: 30 done.\n").never_says("are held");
    assert!((IN_RED.start..IN_BLUE.end).all(|n| approved.is_out(n)));
    approved
        .at("35d 3h", &["sync"])
        .exits(6)
        .says("Nothing to do: all users of the profile are disabled already.");

    // It is there again: everybody is back with the one, and nothing has become of the other.
    samba.restart();
    approved.sync("36d").says(": 14 users to enable, 16 memberships to add.\n");
    before.assert_same(&approved.contents());
    assert!((IN_RED.start..IN_BLUE.end).all(|n| approved.is_enabled(n)));
    profiles[0].idle("36d");
    before.assert_same(&profiles[0].contents());
    for profile in &profiles {
        profile.settled("36d 1h");
        profile
            .at("36d 1h", &["status"])
            .exits(0)
            .never_says("DirectoryOutOfReach")
            .never_says("steps of plan");
    }
}

#[test]
fn samba_a_clock_that_was_ahead_holds_what_rests_on_time_and_nothing_else() {
    let samba = domain();
    let profile = Profile::new(&samba, Way::Beside);
    profile.sync("-5h");
    leave(&samba, 0);
    samba.delete("user5");
    profile.sync("-4h").says(": 1 user to disable, 2 memberships to remove.\n");
    // The clock was ahead for once; from now on, less patience.
    profile.idle("2h");
    profile.configure(&[("[lifecycle]\n", "[lifecycle]\ndisable-after = \"1h\"\ndelete-after = \"1h\"\n")]);
    samba.admin().replace(&person(1), "displayName", &["Somebody Else"]);
    samba.admin().add_member(&group("Blue"), &person(1));
    samba.admin().replace(&person(2), "userAccountControl", &["514"]);

    let document = profile.at("0h", &["sync", "--output", "json"]).exits(4).json();
    assert_eq!(
        steps(&document),
        [
            "add-member Blue user1",
            "delete-user user5",
            "disable-user user0",
            "disable-user user2",
            "remove-member Red user2",
            "update-user user1"
        ]
    );
    for (wanted, held) in [
        ("delete-user user5", true),
        ("disable-user user0", true),
        ("disable-user user2", false),
        ("add-member Blue user1", false),
    ] {
        assert_eq!(step(&document, wanted)["held"].is_array(), held, "{wanted}: {document:#}");
    }
    assert!(codes(&document).contains(&"ClockUntrusted".to_owned()), "{document:#}");
    assert!(profile.is_enabled(0) && profile.find(&upn(5)).is_some());
    assert!(profile.is_out(2) && profile.groups_of(1).contains("Blue"));
    assert_eq!(profile.user(1)["DisplayName"], "Somebody Else");
    // As long as it takes.
    for time in ["0h", "1h", "1h 50m"] {
        profile
            .at(time, &["sync"])
            .exits(4)
            .says(": 1 user to delete, 1 user to disable.\n2 steps are held:\n")
            .says("  2 steps: it rests on elapsed time, and the clock says ")
            .says(", which is before the last cycle (")
            .says("ClockUntrusted corp: ")
            .says("Set the clock of this machine right (NTP)")
            .says("Applied: 0 done, 2 held.");
    }
    profile.sync("1h 57m").says(": 1 user to delete, 1 user to disable.\n").says("Applied: 2 done.");
    assert!(profile.is_out(0) && profile.find(&upn(5)).is_none());
    profile.settled("2h");
}
