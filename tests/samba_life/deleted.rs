//! Deleted in the directory, which a tombstone proves; and what only looks like it.

use serde_json::json;

use super::support::idcsync::IDENTITY_STORE_ID;
use super::timeline::{
    BASE, Profile, Way, domain, domain_without_tombstones, group, person, record, step, steps, upn,
};

#[test]
fn samba_who_is_deleted_is_disabled_at_once_and_deleted_a_week_later() {
    let samba = domain();
    let profiles = Way::ALL.map(|way| Profile::new(&samba, way));
    for profile in &profiles {
        profile.sync("0h");
    }
    let gone = samba.delete("user3");
    let _back = samba.delete("user4");
    for profile in &profiles {
        let (way, verb) = (profile.way, profile.way.verb());
        let document = profile.at("1h", &["sync", "--output", "json"]).exits(0).json();
        // Where nobody can be disabled, and deleting stands for it, that is done.
        assert_eq!(
            steps(&document),
            sorted([
                format!("{verb}-user user3"),
                format!("{verb}-user user4"),
                "remove-member Red user3".to_owned(),
                "remove-member Red user4".to_owned(),
            ]),
            "{way:?}"
        );
        let disable = step(&document, &format!("{verb}-user user3"));
        assert_eq!(
            (&disable["cause"], &disable["proof"]),
            (&json!("deleted"), &json!("tombstone")),
            "{way:?}"
        );
        let reason = disable["reason"].as_str().expect("a reason");
        assert!(
            reason.starts_with("deleted in the directory: its tombstone was read, first on "),
            "{reason}"
        );
        assert_eq!(step(&document, "remove-member Red user3")["proof"], "tombstone");
        assert!(profile.is_out(3) && profile.is_out(4), "{way:?}");
        profile.idle("1h");
        let status = profile.at("1h", &["status"]).exits(0);
        if way == Way::Delete {
            status.never_says("Deleted in the directory");
        } else {
            status
                .says("Deleted in the directory (2):")
                .says(" (tombstone): deleted in the target in 7 days (");
        }
        profile.idle("6d 23h");
    }

    samba.undelete(&gone);
    for profile in &profiles {
        let run = profile.sync("7d");
        match profile.way {
            Way::Delete => run.says(": 1 user to create, 1 membership to add.\n"),
            Way::Revoke | Way::Report => run.says(": 1 user to restore, 1 membership to add.\n"),
            Way::Beside | Way::Scim => run
                .says(": 1 user to enable, 1 membership to add.\n")
                .says("idcsync had disabled it: deleted"),
        };
        assert!(profile.is_enabled(3) && profile.groups_of(3).iter().eq(["Red"]), "{:?}", profile.way);
        profile.idle("7d");
        if profile.way == Way::Delete {
            continue;
        }
        let document = profile.at("7d 2h", &["sync", "--output", "json"]).exits(0).json();
        assert_eq!(steps(&document), ["delete-user user4"], "{:?}", profile.way);
        let delete = step(&document, "delete-user user4");
        assert_eq!((&delete["cause"], &delete["proof"]), (&json!("deleted"), &json!("tombstone")));
        let reason = delete["reason"].as_str().expect("a reason");
        assert!(
            reason.starts_with("deleted in the directory: its tombstone was read, first on "),
            "{reason}"
        );
        in_journal(profile, "delete-user", reason);
        assert!(profile.find(&upn(4)).is_none());
        assert!(profile.is_enabled(3));
        profile.settled("7d 2h");
    }
}

fn sorted<const N: usize>(mut steps: [String; N]) -> [String; N] {
    steps.sort();
    steps
}

/// The journal has the last step of this sort with its proof.
fn in_journal(profile: &Profile, action: &str, reason: &str) {
    use idcsync::model::StepResult;
    use idcsync::state::{State, StateUrl};
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let url = StateUrl::parse("sqlite:state.db", &profile.idcsync.path("")).expect("a url");
        let state = State::open(&url, "corp").await.expect("open the state");
        let cycle = state.cycles(1).await.expect("cycles")[0].id;
        let steps = state.steps(cycle).await.expect("steps");
        let entry = steps.iter().find(|step| step.intent.action == action).expect("the step");
        assert_eq!(entry.intent.detail["proof"], "tombstone", "{entry:?}");
        assert_eq!(entry.intent.detail["reason"], reason, "{entry:?}");
        assert!(matches!(entry.result, Some((StepResult::Done, _))), "{entry:?}");
        state.close().await;
    });
}

#[test]
fn samba_what_moved_away_or_is_hidden_is_never_deleted() {
    let samba = domain();
    // Below two OUs only: whoever is moved out of them is out of sight.
    let base = format!("base-dn = \"{BASE}\"");
    let profiles = [Way::Revoke, Way::Beside].map(|way| Profile::new(&samba, way));
    for profile in &profiles {
        profile.sync("0h");
    }
    // Everything but OU=Away is moved below one OU, which is the base from now on: nothing of it shows in the target.
    samba.ldapmodify(&format!("dn: OU=Corp,{BASE}\nobjectClass: organizationalUnit\nou: Corp\n\n"));
    for unit in ["Here", "There", "Groups"] {
        samba.admin().move_to(&format!("OU={unit},{BASE}"), &format!("OU=Corp,{BASE}"));
    }
    let below = |dn: String| dn.replace(&format!(",{BASE}"), &format!(",OU=Corp,{BASE}"));
    for profile in &profiles {
        profile.configure(&[(&base, &format!("base-dn = \"OU=Corp,{BASE}\""))]);
        profile.settled("1h");
    }

    // Out of the base, and not a member any more; and one of whom the account may see nothing at all.
    samba.admin().remove_member(&below(group("Red")), &below(person(3)));
    samba.admin().move_to(&below(person(3)), &format!("OU=Away,{BASE}"));
    samba.admin().remove_member(&below(group("Red")), &below(person(4)));
    samba.deny(&below(person(4)), "D;CI;LCLORPGR;;");
    for profile in &profiles {
        let verb = profile.way.verb();
        profile.sync("2h").says("2 memberships to remove.\n").never_says("delete").never_says("tombstone");
        for time in ["14d", "28d"] {
            profile.idle(time);
        }
        let run = profile.sync("28d 3h").says(&format!(": 2 users to {verb}.\n"));
        run.says("every scope entry was read completely").never_says("tombstone");
        assert!(profile.is_out(3) && profile.is_out(4));
        for time in ["55d", "82d", "105d"] {
            profile.idle(time);
        }
        profile.at("105d", &["status"]).exits(0).never_says("Deleted in the directory");
        assert!(profile.find(&upn(3)).is_some() && profile.find(&upn(4)).is_some());
    }
    // Back, and seen again.
    samba.admin().move_to(&format!("CN=User 3,OU=Away,{BASE}"), &format!("OU=There,OU=Corp,{BASE}"));
    samba.admin().add_member(&below(group("Red")), &below(person(3)));
    for profile in &profiles {
        profile.sync("106d").says("1 membership to add");
        assert!(profile.is_enabled(3) && profile.groups_of(3).iter().eq(["Red"]));
    }
    // Out of the base, but still a member: who cannot be read keeps what it has.
    samba.admin().move_to(&below(person(5)), &format!("OU=Away,{BASE}"));
    for profile in &profiles {
        profile.idle("107d").says("MemberUnreadable User 5: ").says("RemovalWithheld Red@");
        // For more than a day: the exit code says so.
        for time in ["120d", "140d"] {
            let run = profile
                .at(time, &["sync"])
                .exits(3)
                .says("Nothing to do, as far as the directory could be read");
            run.says("MemberUnreadable User 5: ").says("RemovalWithheld Red@");
        }
        assert!(profile.is_enabled(5) && profile.groups_of(5).iter().eq(["Red"]));
    }
}

#[test]
fn samba_a_newcomer_with_the_names_of_someone_deleted_inherits_nothing() {
    let samba = domain();
    let ways = [Way::Revoke, Way::Delete, Way::Beside, Way::Scim];
    let profiles = ways.map(|way| Profile::new(&samba, way));
    for profile in &profiles {
        profile.sync("0h");
    }
    // In both groups, deleted; the next one of the name is in one of them.
    assert_eq!(samba.delete("user7").groups.len(), 2);
    let old = profiles.each_ref().map(|profile| profile.id(7));
    for profile in &profiles[..2] {
        profile.sync("1h").says("2 memberships to remove");
    }
    samba.ldapmodify(&record(&person(7), 7));
    samba.admin().add_member(&group("Blue"), &person(7));
    let arn = IDENTITY_STORE_ID.replace("d-", "");
    for (profile, old) in profiles.iter().zip(&old) {
        let way = profile.way;
        // Some have met the deletion before, some meet both at once.
        let run = profile.sync("2h").says("1 user to create");
        if way != Way::Delete {
            run.says("gives its name to user7@corp.example.com");
        }
        profile.at("2h", &["sync"]).exits(0);
        let new = profile.id(7);
        assert_ne!(new, *old, "{way:?}");
        assert!(new.starts_with(&arn), "{new}");
        assert!(profile.groups_of(7).iter().eq(["Blue"]), "{way:?}");
        assert!(profile.is_enabled(7));
        let users = profile.sandbox.store().users();
        let former = users.iter().find(|user| user["UserId"] == *old);
        assert_eq!(former.is_none(), way == Way::Delete, "{way:?}");
        if let Some(former) = former {
            let name = former["UserName"].as_str().expect("a name");
            assert!(name.starts_with("former-"), "{name}");
            assert!(former["Emails"].as_array().is_none_or(Vec::is_empty), "{former}");
            assert_eq!(former["UserStatus"] == "DISABLED", way.disables(), "{way:?}");
            assert!(!profile.contents().members.values().any(|members| members.contains(name)));
        }
        profile.idle("3h");
        // The old one goes in its time, and nothing becomes of the new one.
        let run = profile.sync("7d 4h");
        if way != Way::Delete {
            run.says(": 1 user to delete.\n");
        }
        assert!(profile.sandbox.store().users().iter().all(|user| user["UserId"] != *old), "{way:?}");
        assert_eq!(profile.id(7), new);
        assert!(profile.groups_of(7).iter().eq(["Blue"]), "{way:?}");
        profile.settled("7d 4h");
    }
}

#[test]
fn samba_deletions_follow_the_terms_of_the_config() {
    let samba = domain();
    let terms = |text: &str| ("[lifecycle]\n", format!("[lifecycle]\n{text}\n"));
    let profile = |way, text: &str| {
        let (old, new) = terms(text);
        Profile::with(&samba, way, &[(old, &new)])
    };
    let usual = Profile::new(&samba, Way::Beside);
    let stays = profile(Way::Scim, "on-directory-delete = \"disable\"");
    let at_once = profile(Way::Revoke, "delete-after = \"0s\"");
    for profile in [&usual, &stays, &at_once] {
        profile.sync("0h");
    }

    // Out of scope and disabled for it; then deleted: from then on it goes by that.
    samba.admin().remove_member(&group("Red"), &person(0));
    usual.sync("1h").says("1 membership to remove");
    usual.idle("20d");
    usual.sync("29d").says(": 1 user to disable.\n");
    samba.delete("user0");
    samba.delete("user1");
    usual.sync("30d").says(": 1 user to disable, 1 membership to remove.\n");
    usual.idle("36d");
    usual
        .sync("37d 1h")
        .says(": 2 users to delete.\n")
        .says("deleted in the directory: its tombstone was read");
    assert!(usual.find(&upn(0)).is_none() && usual.find(&upn(1)).is_none());

    // At once, or never.
    at_once.sync("1h").says(": 2 users to delete, 2 memberships to remove.\n").says("Applied: 4 done.");
    assert!(at_once.find(&upn(0)).is_none() && at_once.find(&upn(1)).is_none());
    at_once.settled("1h");
    stays.sync("1h").says(": 2 users to disable, 2 memberships to remove.\n");
    for time in ["8d", "35d", "62d"] {
        stays.idle(time);
    }
    assert!(stays.is_out(0) && stays.is_out(1));
}

/// Its members go by the guard, and it goes only when they may.
#[test]
fn samba_a_deleted_group_is_deleted_once_its_members_may_go() {
    let samba = domain();
    let profiles = [Way::Revoke, Way::Scim].map(|way| Profile::new(&samba, way));
    for profile in &profiles {
        profile.sync("0h");
    }
    let gone = samba.delete("Blue");
    for profile in &profiles {
        let before = profile.contents();
        // Longer than delete-after: no approval, no delete.
        for (time, steps) in
            [("1h", "8 memberships to remove.\n8 steps"), ("3d", "8 memberships to remove.\n8 steps")]
        {
            let run =
                profile.at(time, &["sync"]).exits(4).says(steps).says("would lose the last of its 8 members");
            run.says("ScopeEntryDeleted Blue: ").says("Applied: 0 done, 8 held.");
        }
        for time in ["8d", "9d"] {
            let run = profile.at(time, &["sync"]).exits(4);
            run.says(": 1 group to delete, 8 memberships to remove.\n9 steps are held:\n")
                .says("Applied: 0 done, 9 held.");
        }
        before.assert_same(&profile.contents());
    }
    // One says yes; for the other it is brought back.
    let (yes, no) = (&profiles[0], &profiles[1]);
    let held = yes.at("9d", &["status", "--output", "json"]).exits(0).json()["held"]["plan"].clone();
    yes.at("9d", &["approve", held.as_str().expect("a plan")]).exits(0).says("Approved until");
    let document = yes.at("9d", &["sync", "--output", "json"]).exits(0).json();
    let delete = step(&document, "delete-group Blue");
    assert_eq!(delete["proof"], "tombstone");
    assert!(
        delete["reason"]
            .as_str()
            .expect("a reason")
            .starts_with("deleted in the directory: its tombstone was read")
    );
    assert!(!yes.contents().groups.contains("Blue@corp.example.com"));
    assert!((8..14).all(|n| yes.is_enabled(n)), "they are out of scope, and nothing more");
    yes.settled("9d");

    samba.undelete(&gone);
    no.sync("10d").says("Nothing to do");
    assert_eq!(no.contents().members["Blue@corp.example.com"].len(), 8);
    no.settled("10d");
    yes.sync("10d").says(": 1 group to create, 8 memberships to add.\n");
    yes.settled("10d");
}

#[test]
fn samba_who_may_not_see_tombstones_deletes_nobody() {
    let samba = domain_without_tombstones();
    let profiles = [Way::Revoke, Way::Beside].map(|way| Profile::new(&samba, way));
    for profile in &profiles {
        profile.sync("0h");
        profile.at("0h", &["check"]).exits(0).says("deleted objects").says("dsacls");
    }
    samba.delete("user1");
    for profile in &profiles {
        let verb = profile.way.verb();
        profile.sync("1h").says(": 1 membership to remove.\n").never_says("tombstone");
        for time in ["14d", "28d"] {
            profile.idle(time);
            assert!(profile.is_enabled(1));
        }
        profile.sync("28d 2h").says(&format!(": 1 user to {verb}.\n")).says("(out of scope since ");
        for time in ["55d", "82d", "105d"] {
            profile.idle(time);
        }
        assert!(profile.is_out(1), "{:?}", profile.way);
    }
}
