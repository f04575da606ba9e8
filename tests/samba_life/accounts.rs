//! Accounts that the directory has shut: disabled, or expired.

use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::json;

use super::timeline::{Profile, Way, domain, group, person, step, steps, upn};

/// So many days from now, as `accountExpires` has it: in 100 ns since 1601.
fn expiry(days: u64) -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("a clock").as_secs();
    ((now + days * 86_400 + 11_644_473_600) * 10_000_000).to_string()
}

#[test]
fn samba_accounts_that_are_disabled_or_run_out_are_put_out_of_use_at_once() {
    let samba = domain();
    let admin = samba.admin();
    let ignore = &[("[lifecycle]\n", "[lifecycle]\non-directory-disable = \"ignore\"\n")];
    let ways = [Way::Revoke, Way::Delete, Way::Beside, Way::Scim];
    let profiles = ways.map(|way| Profile::new(&samba, way));
    let ignoring = [Way::Revoke, Way::Beside].map(|way| Profile::with(&samba, way, ignore));
    for profile in profiles.iter().chain(&ignoring) {
        profile.sync("0h");
    }
    let ids = profiles.each_ref().map(|profile| profile.id(7));
    let before = ignoring.each_ref().map(|profile| (profile.contents(), profile.sandbox.store().users()));

    // One is disabled, one runs out in ten days; and one who was never linked is disabled when it joins.
    admin.replace(&person(3), "userAccountControl", &["514"]);
    admin.replace(&person(7), "accountExpires", &[&expiry(10)]);
    admin.replace(&person(14), "userAccountControl", &["514"]);
    admin.add_member(&group("Blue"), &person(14));
    for profile in &profiles {
        let (way, verb) = (profile.way, profile.way.verb());
        let document = profile.at("1h", &["sync", "--output", "json"]).exits(0).json();
        let mut expected = [format!("{verb}-user user3"), "remove-member Red user3".to_owned()];
        expected.sort();
        assert_eq!(steps(&document), expected, "{way:?}");
        let disable = step(&document, &format!("{verb}-user user3"));
        assert_eq!(
            (&disable["cause"], &disable["proof"]),
            (&json!("account-disabled"), &json!("read-as-disabled"))
        );
        assert!(profile.is_out(3) && profile.find(&upn(14)).is_none(), "{way:?}");
        profile.idle("1h");
        profile.idle("9d 23h");
        assert!(profile.is_enabled(7));

        let document = profile.at("10d 1h", &["sync", "--output", "json"]).exits(0).json();
        let mut expected = [
            format!("{verb}-user user7"),
            "remove-member Blue user7".to_owned(),
            "remove-member Red user7".to_owned(),
        ];
        expected.sort();
        assert_eq!(steps(&document), expected, "{way:?}");
        let disable = step(&document, &format!("{verb}-user user7"));
        assert_eq!(
            (&disable["cause"], &disable["proof"]),
            (&json!("account-expired"), &json!("read-as-expired"))
        );
        assert!(profile.is_out(7), "{way:?}");
        // However long: a shut account is not deleted.
        for time in ["30d", "45d"] {
            profile.idle(time);
        }
    }
    for (profile, before) in ignoring.iter().zip(&before) {
        // Who was never linked is created as anybody else.
        profile.sync("1h").says(": 1 user to create, 1 membership to add.\n");
        for time in ["11d", "38d"] {
            profile.idle(time);
        }
        assert!(profile.is_enabled(14) && profile.groups_of(14).iter().eq(["Blue"]));
        let users = profile.sandbox.store().users();
        assert!(before.1.iter().all(|user| users.contains(user)), "{:?}", profile.way);
        let mut expected = before.0.clone();
        expected.users.insert(upn(14));
        expected.members.get_mut("Blue@corp.example.com").expect("a group").insert(upn(14));
        expected.assert_same(&profile.contents());
    }

    admin.replace(&person(3), "userAccountControl", &["512"]);
    admin.replace(&person(7), "accountExpires", &["0"]);
    for (profile, id) in profiles.iter().zip(&ids) {
        let run = profile.sync("46d");
        match profile.way {
            Way::Delete => run.says(": 2 users to create, 3 memberships to add.\n"),
            Way::Revoke | Way::Report => run.says(": 2 users to restore, 3 memberships to add.\n"),
            Way::Beside | Way::Scim => run
                .says(": 2 users to enable, 3 memberships to add.\n")
                .says("idcsync had disabled it: account-disabled")
                .says("idcsync had disabled it: account-expired"),
        };
        assert!(profile.is_enabled(3) && profile.is_enabled(7));
        assert!(profile.groups_of(3).iter().eq(["Red"]) && profile.groups_of(7).iter().eq(["Blue", "Red"]));
        assert_eq!(profile.id(7) == *id, profile.way != Way::Delete);
        profile.settled("46d");
    }
}
