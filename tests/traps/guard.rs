//! The guard, end to end: what is too much whatever its size, what is not, and what an approval is worth later on.

use super::fake::{Fake, delete, domain, names};
use super::fake_ldap::PASSWORD;
use super::support::export::{Export, people};
use super::support::idcsync::{Idcsync, Run, Sandbox};
use super::support::ways::{Bench, Way, plan_id, writes};

#[test]
fn nine_of_nine_do_not_vanish_from_a_group() {
    for way in [Way::Api, Way::Scim] {
        let export = Export::of(60).group("Nine", people(0..9)).group("All", people(0..60));
        let more = "[guard]\nmax-percent = 100\n";
        let mut bench = Bench::with(way, export, &["Nine", "All"], &[], more);
        bench.sync().exits(0);
        bench.change(|export| {
            export.members("Nine").clear();
            export.members("All").pop();
        });
        bench.sync().exits(4).says("9 steps are held:").says("Applied: 1 done, 9 held.");
        let there = bench.contents();
        assert_eq!((there.members["Nine@ex.test"].len(), there.members["All@ex.test"].len()), (9, 59));
        // Eight of nine are eight of nine.
        bench.change(|export| export.members("Nine").push("p00".to_owned()));
        bench.sync().exits(0).says("Applied: 8 done.");
        assert_eq!(bench.contents().members["Nine@ex.test"].len(), 1);
    }
}

#[test]
fn half_of_the_users_are_not_disabled_at_once_whatever_the_limits() {
    for (way, word) in [(Way::Api, "revoke"), (Way::Scim, "disable")] {
        let export = Export::of(12).group("Team", people(0..12));
        let mut bench = Bench::with(way, export, &["Team"], &[], "[guard]\nmax-percent = 100\n");
        bench.sync().exits(0);
        let disable = |export: &mut Export, numbers: std::ops::Range<usize>| {
            people(numbers).iter().for_each(|name| export.person(name).disabled = true);
        };
        bench.change(|export| disable(export, 0..6));
        // Their memberships wait with them: where nobody can be disabled, they are all that anybody loses.
        bench
            .sync()
            .exits(4)
            .says(&format!("6 users to {word}, 6 memberships to remove"))
            .says("6 of 12 linked users would be disabled: half or more")
            .says("Applied: 0 done, 12 held.");
        assert_eq!(bench.contents().members["Team@ex.test"].len(), 12);
        let held = bench.idcsync.run(&["sync", "--dry-run"]).exits(4);
        bench.idcsync.run(&["approve", &plan_id(&held)]).exits(0);
        bench.sync().exits(0).says("Applied: 12 done.");
        assert_eq!(bench.contents().members["Team@ex.test"].len(), 6);
        // Three of the six that are left are half of them again, and two are not.
        bench.change(|export| disable(export, 6..9));
        bench.sync().exits(4).says("3 of 6 linked users would be disabled");
        bench.change(|export| export.person("p08").disabled = false);
        bench.sync().exits(0).says("Applied: ");
    }
}

/// Twelve people in Active Directory, of whom some are deleted: a tombstone each.
fn some_are_deleted(way: Way, deleted: usize) -> (Run, Sandbox) {
    let team = [("Team", names(0..12))];
    let before = Fake::start(domain(12, &team));
    let mut entries = domain(12, &team);
    delete(&mut entries, 0..deleted);
    let after = Fake::start(entries);
    let sandbox = Sandbox::start();
    let more = "\n[lifecycle]\ndelete-after = \"0s\"\n[guard]\nmax-percent = 100\n";
    let target = way.target(&sandbox) + more;
    let idcsync = Idcsync::new(&before.config(&["Team"], &target));
    idcsync.write("password", PASSWORD);
    idcsync.write("token", sandbox.scim().token());
    idcsync.run(&["sync"]).exits(0);
    idcsync.configure(&after.config(&["Team"], &target));
    (idcsync.run(&["sync"]), sandbox)
}

#[test]
fn half_of_the_users_are_not_deleted_at_once_whatever_the_limits() {
    for way in [Way::Api, Way::Scim] {
        let (run, sandbox) = some_are_deleted(way, 6);
        run.exits(4).says("6 users to delete").says("6 of 12 linked users would be deleted: half or more");
        assert_eq!(sandbox.store().users().len(), 12);
    }
}

#[test]
fn three_of_twelve_users_are_deleted_or_disabled_without_an_approval() {
    for way in [Way::Api, Way::Scim] {
        let (run, sandbox) = some_are_deleted(way, 3);
        run.exits(0).says("3 users to delete");
        let there = sandbox.store().contents();
        assert_eq!((there.users.len(), there.members["Team@corp.example"].len()), (9, 9));
    }
    let mut bench = Bench::new(Way::Scim, Export::of(12).group("Team", people(0..12)), &["Team"]);
    bench.sync().exits(0);
    bench.change(|export| people(0..3).iter().for_each(|name| export.person(name).disabled = true));
    bench.sync().exits(0).says("3 users to disable, 3 memberships to remove.");
    let users = bench.sandbox.store().users();
    assert_eq!(users.iter().filter(|u| u["UserStatus"] == "DISABLED").count(), 3);
    bench.assert_settled();
}

#[test]
fn a_large_group_nested_into_the_admins_waits_for_an_approval() {
    for way in [Way::Api, Way::Scim] {
        let export = Export::of(260).group("Admins", people(0..5)).group("Everybody", people(0..250));
        let mut bench = Bench::new(way, export, &["Admins", "Everybody"]);
        bench.sync().exits(0);
        bench.change(|export| {
            export.members("Admins").push("Everybody".to_owned());
            export.members("Everybody").push("p255".to_owned());
        });
        let run = bench
            .sync()
            .exits(4)
            .says("247 memberships to add")
            .says("guard.max-growth")
            .says("Applied: 2 done, 246 held.");
        let there = bench.contents();
        assert_eq!(
            (there.members["Admins@ex.test"].len(), there.members["Everybody@ex.test"].len()),
            (5, 251)
        );
        // One more is no crowd, and goes through beside those that are held.
        bench.idcsync.run(&["approve", &plan_id(&run)]).exits(0);
        bench.sync().exits(0);
        bench.assert_in_step();
    }
}

#[test]
fn approved_steps_are_done_in_a_later_cycle_although_other_things_changed() {
    for way in [Way::Api, Way::Scim] {
        let export = Export::of(40).group("Nine", people(0..9)).group("All", people(0..40));
        let mut bench = Bench::new(way, export, &["Nine", "All"]);
        bench.sync().exits(0);
        bench.change(|export| export.members("Nine").clear());
        let run = bench.sync().exits(4).says("9 held");
        let id = plan_id(&run);
        bench.idcsync.run(&["approve", &id]).exits(0);
        // Somebody is renamed, somebody comes, somebody goes, and one of the nine has another name now.
        bench.change(|export| {
            export.person("p30").display_name = "Changed".to_owned();
            export.person("p03").display_name = "Changed".to_owned();
            export.add_person("p40");
            export.members("All").push("p40".to_owned());
            export.members("All").retain(|name| name != "p39");
        });
        let (run, requests) = bench.requests_of(&["sync"]);
        let run = run.exits(0).says("Applied: 14 done.");
        assert_ne!(plan_id(&run), id);
        assert!(writes(&requests) > 0);
        let there = bench.contents();
        assert!(there.members["Nine@ex.test"].is_empty());
        assert_eq!(there.members["All@ex.test"].len(), 40);
        bench.assert_settled();
        // Used up.
        bench.change(|export| *export.members("Nine") = people(0..9));
        let run = bench.sync();
        if run.code == 4 {
            bench.idcsync.run(&["approve", &plan_id(&run)]).exits(0);
            bench.sync().exits(0);
        }
        bench.change(|export| export.members("Nine").clear());
        bench.sync().exits(4).says("9 held");
    }
}
