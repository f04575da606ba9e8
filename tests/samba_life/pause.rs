//! A paused profile: nothing for as long as it is allowed to be, then a day of notice, then everybody.

use super::timeline::{DOMAIN, IN_BLUE, IN_RED, Profile, Way, domain, group, person, steps, upn};

const WAYS: [Way; 3] = [Way::Revoke, Way::Beside, Way::Scim];

fn everybody() -> std::ops::Range<usize> {
    IN_RED.start..IN_BLUE.end
}

#[test]
fn samba_a_pause_that_ends_in_time_costs_nobody_anything() {
    let samba = domain();
    let profiles = WAYS.map(|way| Profile::new(&samba, way));
    for profile in &profiles {
        profile.sync("0h");
        profile.at("0h", &["pause", "--reason", "moving house", "--by", "alice"]).exits(0);
    }
    samba.admin().remove_member(&group("Red"), &person(3));
    samba.admin().replace(&person(4), "userAccountControl", &["514"]);
    for profile in &profiles {
        let before = (profile.contents(), profile.sandbox.store().users());
        for time in ["1h", "10d", "19d"] {
            let (_, requests) = profile.sandbox.requests_of(|| {
                profile
                    .sync(time)
                    .complains("The profile is paused since ")
                    .complains(" (moving house): nothing was done.\n")
                    .never_says("warning: the profile")
            });
            assert!(requests.is_empty(), "{requests:?}");
        }
        profile.at("19d", &["sync", "--strict"]).exits(5);
        profile.at("19d", &["sync", "--dry-run"]).exits(0).says("2 memberships to remove");
        assert_eq!((profile.contents(), profile.sandbox.store().users()), before, "{:?}", profile.way);

        profile.at("20d", &["resume"]).exits(0).says("Profile corp runs again; it was paused since ");
        let verb = profile.way.verb();
        profile.sync("20d").says(&format!(": 1 user to {verb}, 2 memberships to remove.\n"));
        assert!(profile.is_out(4) && profile.groups_of(3).is_empty(), "{:?}", profile.way);
        assert!(everybody().filter(|n| *n != 4).all(|n| profile.is_enabled(n)), "{:?}", profile.way);
        profile.settled("20d");
        // Whoever left during the pause has been out of scope since the first read that showed it.
        for time in ["29d", "47d"] {
            profile.idle(time);
        }
        profile.sync("48d 1h").says(&format!(": 1 user to {verb}.\n"));
        assert!(profile.is_out(3), "{:?}", profile.way);
    }
}

#[test]
fn samba_a_pause_of_four_weeks_is_warned_of_and_then_puts_everybody_out() {
    let samba = domain();
    let profiles = WAYS.map(|way| Profile::new(&samba, way));
    for profile in &profiles {
        let done = match profile.way {
            Way::Revoke => "revoked",
            _ => "disabled",
        };
        profile.sync("0h");
        let (before, users) = (profile.contents(), profile.sandbox.store().users());
        profile.at("0h", &["pause"]).exits(0).says(&format!("all its users are {done} from "));
        profile.sync("26d").complains(": nothing was done.").never_says("warning: the profile");
        for time in ["27d 12h", "28d 11h"] {
            profile
                .sync(time)
                .complains("warning: the profile is paused since ")
                .complains(&format!("All its users are {done} by the first run after "))
                .complains("`idcsync resume`");
            profile.at(time, &["sync", "--strict"]).exits(5);
            let status = profile.at(time, &["status"]).exits(0).says("PausedTooLong corp since ");
            status.says(&format!(" all users of the profile are {done} by the first run after "));
            assert_eq!(
                (profile.contents(), profile.sandbox.store().users()),
                (before.clone(), users.clone())
            );
        }

        let verb = profile.way.verb();
        profile
            .sync("29d")
            .complains(&format!("for longer than lifecycle.disable-after: all its users are {done} now"))
            .says(&format!(": 14 users to {verb}, 16 memberships to remove.\n"))
            .says("longer than lifecycle.disable-after)")
            .says("Applied: 30 done.")
            .never_says("are held");
        assert!(everybody().all(|n| profile.is_out(n)), "{:?}", profile.way);
        let status = profile.at("29d", &["status"]).exits(0).says("Put out of use by idcsync (14):");
        status.says(": the profile was paused for too long");
        // It goes on being paused.
        profile.idle("29d 1h").says(&format!(": all users of the profile are {done} already.\n"));
        profile.at("29d 1h", &["sync", "--strict"]).exits(5);
        profile.at("29d 1h", &["sync", "--dry-run"]).exits(0).says("16 memberships to add");

        profile.at("30d", &["resume"]).exits(0);
        let back = match profile.way {
            Way::Revoke => ": 14 users to restore, 16 memberships to add.\n",
            _ => ": 14 users to enable, 16 memberships to add.\n",
        };
        profile.sync("30d").says(back).says("desired again; idcsync had disabled it: paused");
        before.assert_same(&profile.contents());
        assert!(everybody().all(|n| profile.is_enabled(n)), "{:?}", profile.way);
        let status = profile.at("30d", &["status"]).exits(0);
        status.never_says("PausedTooLong").never_says("Put out of use").never_says("paused since");
        profile.settled("30d");
    }
}

#[test]
fn samba_a_pause_that_nobody_was_warned_of_is_warned_of_first() {
    let samba = domain();
    let profile = Profile::new(&samba, Way::Beside);
    profile.sync("0h");
    let (before, users) = (profile.contents(), profile.sandbox.store().users());
    profile.at("0h", &["pause"]).exits(0);
    for time in ["60d", "60d 23h"] {
        profile.sync(time).complains("warning: the profile is paused since ");
        assert_eq!((profile.contents(), profile.sandbox.store().users()), (before.clone(), users.clone()));
    }
    // Who left meanwhile does not matter to the sweep; and who was disabled by someone else is not its concern.
    profile.set_active(&profile.id(9), false);
    samba.admin().remove_member(&group("Red"), &person(0));
    let document = profile.at("61d", &["sync", "--output", "json"]).exits(0).json();
    let mut disabled: Vec<_> =
        steps(&document).into_iter().filter(|step| step.starts_with("disable")).collect();
    let mut expected: Vec<_> =
        everybody().filter(|n| *n != 9).map(|n| format!("disable-user user{n}")).collect();
    expected.sort();
    disabled.sort();
    assert_eq!(disabled, expected);
    let all = document["plan"]["steps"].as_array().expect("steps");
    assert!(all.iter().all(|step| step["proof"] == "paused"), "{document:#}");
    assert!(everybody().all(|n| profile.is_out(n)));

    // Who is out of scope at the end stays out, and has been disabled already.
    profile.at("62d", &["resume"]).exits(0);
    profile
        .sync("62d")
        .says(": 12 users to enable, 15 memberships to add.\n")
        .says("DisabledByOthers user9@");
    assert!(profile.is_out(0) && !profile.is_enabled(9));
    assert!(everybody().filter(|n| ![0, 9].contains(n)).all(|n| profile.is_enabled(n)));
    profile.settled("62d");
    samba.admin().add_member(&group("Red"), &person(0));
    profile.sync("63d").says(": 1 user to enable, 1 membership to add.\n");
    assert!(profile.contents().members.contains_key(&format!("Red@{}", DOMAIN)));
    assert!(profile.groups_of(0).iter().eq(["Red"]) && profile.find(&upn(0)).is_some());
}
