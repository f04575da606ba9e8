//! The 28-day rule, the three events, and what goes with them: over days, with every way of disabling.

use std::collections::BTreeMap;

use jiff::SignedDuration;

use super::store::{API, Fault, SCIM};
use super::world::{EntryState, World};
use crate::model::{
    AccountState, Assignment, Code, DeletionProof, DisableCause, DisableHow, Fate, Kind, UserAttribute,
};
use crate::plan::{
    ApprovedPlan, Assigned, Colors, DisableMethod, Distrust, Hold, OnDelete, OnDisable, OnGroupOut, Sweep,
    render,
};

const DAY: i64 = 24;

/// Six people in a group, one of whom has left it, and with it the scope.
fn left(scim: bool) -> World {
    let mut w = World::new();
    if scim {
        w.store.become_of_sort(SCIM);
    }
    w.group("devs", &["anna", "bob", "carl", "dora", "eve", "finn"]);
    w.enter("devs");
    w.settle();
    w.leave("devs", "anna");
    assert_eq!(w.prepare().steps(), ["remove-member devs anna@x.example"], "memberships go at once");
    w.run();
    assert!(w.prepare().is_empty());
    w
}

/// Cycles day by day, as a schedule would have them.
fn days(w: &mut World, days: i64) {
    for _ in 0..days {
        w.later(DAY);
        w.run();
    }
}

#[test]
fn out_of_scope_for_longer_than_disable_after_is_disabled_and_enabled_when_back() {
    let mut w = left(true);
    days(&mut w, 27);
    assert!(!w.store.is_disabled("anna@x.example"));
    w.later(DAY);
    assert!(w.prepare().is_empty(), "28 days are not longer than 28 days");
    w.later(1);
    assert_eq!(w.prepare().steps(), ["disable-user anna@x.example"]);
    w.run();
    assert!(w.store.is_disabled("anna@x.example"));
    assert_eq!(w.link("anna").disabled.unwrap().cause, DisableCause::OutOfScope);
    days(&mut w, 12);
    assert!(w.prepare().is_empty(), "once is enough");
    w.join("devs", "anna");
    w.person("anna").set("title", "Smith");
    assert_eq!(
        w.prepare().steps(),
        ["enable-user anna@x.example", "update-user anna@x.example", "add-member devs anna@x.example"]
    );
    w.run();
    assert!(!w.store.is_disabled("anna@x.example"));
    assert_eq!(w.link("anna").disabled, None);
    assert!(w.prepare().is_empty());
}

#[test]
fn whose_values_cannot_be_written_is_enabled_all_the_same() {
    let mut w = left(true);
    days(&mut w, 29);
    w.join("devs", "anna");
    w.person("anna").set("sn", "");
    assert_eq!(w.prepare().steps(), ["enable-user anna@x.example", "add-member devs anna@x.example"]);
}

#[test]
fn the_api_alone_revokes_and_says_so() {
    let mut w = left(false);
    days(&mut w, 28);
    w.later(1);
    insta::assert_snapshot!(w.text(), @r"
    Plan 48fba6ea2ea9 for profile corp: 1 user to revoke.

    Users
      - anna@x.example (revoke: memberships go; sign-in and direct assignments stay)  (out of scope since 2026-11-03 12:00 UTC: every scope entry was read completely)

    Role sessions that are running now may last for up to 12 hours after.
    ");
    w.store.take_log();
    w.run();
    assert!(w.store.take_log().is_empty(), "nothing is left to be taken away");
    assert_eq!(w.link("anna").disabled.unwrap().how, DisableHow::Revoked);
    w.join("devs", "anna");
    assert_eq!(w.prepare().steps(), ["restore-user anna@x.example", "add-member devs anna@x.example"]);
}

#[test]
fn report_is_a_finding_until_the_store_shows_disabled() {
    let mut w = left(false);
    w.policy.lifecycle.disable_method = DisableMethod::Report;
    days(&mut w, 28);
    w.later(1);
    assert_eq!(w.run().prepared.steps(), ["report-user anna@x.example"]);
    assert!(w.prepare().codes().contains(&Code::DisableByHand));
    w.store.set_disabled(&w.id("anna"), true);
    assert!(!w.prepare().codes().contains(&Code::DisableByHand));
    w.join("devs", "anna");
    let back = w.prepare();
    assert_eq!(back.steps(), ["restore-user anna@x.example", "add-member devs anna@x.example"]);
    assert!(back.codes().contains(&Code::DisabledByOthers), "whom a person disabled, a person enables");
}

#[test]
fn delete_as_the_method_deletes() {
    let mut w = left(false);
    w.policy.lifecycle.disable_method = DisableMethod::Delete;
    days(&mut w, 28);
    w.later(1);
    assert_eq!(w.run().prepared.steps(), ["delete-user anna@x.example"]);
    assert!(!w.store.contents().users.contains_key("anna@x.example"));
    assert_eq!(w.link("anna").target_id, None);
    w.join("devs", "anna");
    assert_eq!(w.prepare().steps(), ["create-user anna@x.example", "add-member devs anna@x.example"]);
}

#[test]
fn disable_after_may_be_hours() {
    let mut w = left(true);
    w.policy.lifecycle.disable_after = SignedDuration::from_hours(2);
    w.later(2);
    assert!(w.prepare().is_empty());
    w.later(1);
    assert_eq!(w.prepare().steps(), ["disable-user anna@x.example"]);
}

#[test]
fn a_job_that_did_not_run_for_five_weeks_disables_nobody() {
    let mut w = left(true);
    days(&mut w, 20);
    w.later(35 * DAY);
    assert!(w.prepare().is_empty());
    w.run();
    assert_eq!(w.link("anna").out_since, Some(w.now), "the time begins anew");
    days(&mut w, 27);
    assert!(w.prepare().is_empty());
    days(&mut w, 1);
    w.later(1);
    assert_eq!(w.prepare().steps(), ["disable-user anna@x.example"]);
}

#[test]
fn a_state_restored_from_thirty_days_ago_disables_nobody() {
    let mut w = left(true);
    days(&mut w, 1);
    let old = w.fork();
    w.join("devs", "anna");
    days(&mut w, 30);
    // The state is the old copy's; directory, store and clock have gone on.
    let restored = World { book: old.book.clone(), now: w.now, ..w.clone() };
    assert_eq!(restored.prepare().steps(), ["add-member devs anna@x.example"]);
    w.leave("devs", "anna");
    let restored = World { book: old.book, now: w.now, ..w };
    assert!(restored.prepare().steps().iter().all(|s| !s.contains("disable")), "{}", restored.text());
}

#[test]
fn nobody_is_disabled_while_an_entry_is_unread() {
    let mut w = left(true);
    w.group("ops", &["gus"]);
    w.enter("ops");
    w.settle();
    w.entry("ops").state = EntryState::Unread;
    assert!(!w.prepare().codes().contains(&Code::RemovalWithheld));
    days(&mut w, 29);
    assert!(w.prepare().is_empty());
    assert!(w.prepare().codes().contains(&Code::RemovalWithheld), "and it is said");
}

#[test]
fn an_account_that_is_shut_is_disabled_at_once_in_scope_or_not() {
    let mut w = left(true);
    w.person("bob").account = AccountState::Disabled;
    let carl = AccountState::Expired;
    w.person("carl").account = carl;
    let anna =
        Fate::Present { dn: crate::ids::Dn::parse("CN=anna").unwrap(), account: AccountState::Disabled };
    w.people.get_mut("anna").unwrap().hidden = true;
    w.fates.insert("anna".to_owned(), anna);
    let mut steps = w.prepare().steps();
    steps.retain(|s| s.starts_with("disable"));
    assert_eq!(
        steps,
        ["disable-user anna@x.example", "disable-user bob@x.example", "disable-user carl@x.example"]
            .map(|s| format!("{s} [held]")),
        "three of six are half of all"
    );
    w.person("carl").account = AccountState::Enabled;
    w.run();
    assert!(w.store.is_disabled("bob@x.example"));
    assert!(w.prepare().is_empty(), "{}", w.text());
    w.person("bob").account = AccountState::Enabled;
    assert_eq!(w.prepare().steps(), ["enable-user bob@x.example", "add-member devs bob@x.example"]);
}

#[test]
fn an_account_that_cannot_be_judged_is_left_alone() {
    let mut w = left(true);
    w.person("bob").account = AccountState::Unknown;
    assert!(w.prepare().is_empty());
    w.person("bob").account = AccountState::Disabled;
    w.run();
    w.person("bob").account = AccountState::Unknown;
    assert!(w.prepare().is_empty(), "neither enabled again");
}

#[test]
fn a_shut_account_may_be_ignored() {
    let mut w = left(true);
    w.policy.lifecycle.on_directory_disable = OnDisable::Ignore;
    w.people.get_mut("anna").unwrap().hidden = true;
    let dn = crate::ids::Dn::parse("CN=anna").unwrap();
    w.fates.insert("anna".to_owned(), Fate::Present { dn, account: AccountState::Disabled });
    assert!(w.prepare().is_empty());
}

fn deleted(w: &mut World, handle: &str) {
    w.delete_person(handle);
    w.fates.insert(handle.to_owned(), Fate::Deleted(DeletionProof::Tombstone));
}

#[test]
fn deleted_with_proof_is_disabled_at_once_and_deleted_after_delete_after() {
    let mut w = left(true);
    deleted(&mut w, "bob");
    assert_eq!(w.prepare().steps(), ["remove-member devs bob@x.example", "disable-user bob@x.example"]);
    w.run();
    days(&mut w, 6);
    assert!(w.prepare().is_empty());
    days(&mut w, 1);
    assert!(!w.store.contents().users.contains_key("bob@x.example"));
    assert!(w.prepare().is_empty());
}

#[test]
fn the_reason_of_a_delete_names_its_proof() {
    let mut w = left(true);
    w.policy.lifecycle.delete_after = SignedDuration::ZERO;
    deleted(&mut w, "bob");
    insta::assert_snapshot!(w.text(), @r"
    Plan 8c12476ef340 for profile corp: 1 user to delete, 1 membership to remove.

    Users
      - bob@x.example (delete, with its account assignments)  (deleted in the directory: its tombstone was read, first on 2026-11-03 12:00 UTC)

    Groups
      ~ devs
          - member bob@x.example  (deleted in the directory: its tombstone was read)

    Role sessions that are running now may last for up to 12 hours after.
    ");
}

#[test]
fn a_delete_tells_what_goes_with_it() {
    let mut w = left(true);
    w.policy.lifecycle.delete_after = SignedDuration::ZERO;
    deleted(&mut w, "bob");
    let bob = w.link("bob");
    let approved = w.prepare().approved;
    // The membership that goes too tells nothing.
    let expected = BTreeMap::from([(bob.no, (Kind::User, bob.target_id.as_ref()))]);
    assert_eq!(approved.assignable(), expected);
    let (id, prints) = (approved.plan().id.clone(), approved.held_fingerprints());
    let reads = Assignment {
        account: "111122223333".to_owned(),
        permission_set: "arn:1".to_owned(),
        permission_set_name: Some("ReadOnly".to_owned()),
    };
    let read = approved.clone().with_assigned(Assigned::Read(BTreeMap::from([(bob.no, vec![reads])])));
    assert_eq!((&read.plan().id, read.held_fingerprints()), (&id, prints));
    let text = render(&read, Colors::Off);
    assert!(text.contains("on 2026-11-03 12:00 UTC)\n      assigned: ReadOnly in 111122223333\n"), "{text}");
    let unread = approved.with_assigned(Assigned::Unread);
    let of_steps = |approved: &ApprovedPlan| -> Vec<Option<serde_json::Value>> {
        let plan = approved.plan();
        plan.numbered().map(|(no, _)| approved.step_json(no).get("assignments").cloned()).collect()
    };
    let list = serde_json::json!(
        [{ "account": "111122223333", "permissionSet": "arn:1", "permissionSetName": "ReadOnly" }]
    );
    assert_eq!(of_steps(&read), [None, Some(list)]);
    assert_eq!(of_steps(&unread), [None, Some(serde_json::Value::Null)]);
    let text = render(&unread, Colors::Off);
    assert!(text.contains("\nAccount assignments could not be read: the log says why.\n"), "{text}");
}

#[test]
fn restored_in_between_is_enabled_again() {
    let mut w = left(true);
    let before = w.people["bob"].clone();
    deleted(&mut w, "bob");
    w.run();
    days(&mut w, 3);
    w.fates.clear();
    w.people.insert("bob".to_owned(), before);
    w.join("devs", "bob");
    assert_eq!(w.prepare().steps(), ["enable-user bob@x.example", "add-member devs bob@x.example"]);
    w.run();
    assert_eq!(w.link("bob").deleted, None);
    days(&mut w, 9);
    assert!(w.prepare().is_empty());
}

#[test]
fn what_is_only_not_found_is_never_deleted() {
    let mut w = left(true);
    w.delete_person("bob");
    w.run();
    days(&mut w, 28);
    w.later(1);
    let prepared = w.prepare();
    assert!(prepared.steps().iter().all(|s| !s.starts_with("delete")), "{:?}", prepared.steps());
    assert!(prepared.steps().contains(&"disable-user bob@x.example".to_owned()), "it left the scope");
    w.run();
    days(&mut w, 100);
    assert!(w.store.contents().users.contains_key("bob@x.example"));
}

#[test]
fn servers_without_tombstones_may_be_given_a_time() {
    let mut w = left(true);
    w.policy.lifecycle.delete_on_absence = Some(SignedDuration::from_hours(48));
    w.policy.lifecycle.delete_after = SignedDuration::from_hours(24);
    w.delete_person("bob");
    w.run();
    days(&mut w, 2);
    assert!(w.prepare().is_empty(), "{}", w.text());
    w.later(1);
    assert_eq!(w.prepare().steps(), ["disable-user bob@x.example"]);
    w.run();
    days(&mut w, 1);
    assert!(!w.store.contents().users.contains_key("bob@x.example"), "delete-after counts from there");
}

#[test]
fn a_tombstone_that_is_not_shown_any_more_deletes_nobody() {
    let mut w = left(true);
    deleted(&mut w, "bob");
    w.run();
    w.fates.clear();
    days(&mut w, 30);
    assert!(w.store.contents().users.contains_key("bob@x.example"));
}

#[test]
fn a_newcomer_gets_the_name_of_someone_deleted_however_short_the_read() {
    let mut w = left(true);
    w.group("ops", &["gus"]);
    w.enter("ops");
    w.settle();
    w.entry("ops").state = EntryState::Unread;
    deleted(&mut w, "bob");
    w.join("devs", "bob2");
    w.person("bob2").set("userprincipalname", "bob@x.example");
    assert!(w.prepare().steps().contains(&"create-user bob@x.example".to_owned()), "{}", w.text());
}

#[test]
fn whoever_was_only_revoked_is_disabled_once_the_target_can() {
    let mut w = left(false);
    days(&mut w, 29);
    assert_eq!(w.link("anna").disabled.unwrap().how, DisableHow::Revoked);
    w.store.become_of_sort(crate::model::Capabilities { disables: true, ..API });
    assert_eq!(w.prepare().steps(), ["disable-user anna@x.example"]);
    w.run();
    assert!(w.prepare().is_empty());
}

#[test]
fn a_sweep_that_failed_in_part_is_completed_by_the_next() {
    let mut w = left(false);
    w.sweep = Some(sweep(&w, DisableCause::Paused));
    w.later(29 * DAY);
    let kind = crate::target::TargetErrorKind::Unavailable;
    w.store.fail(Fault { times: 1, ..Fault::new("remove-member", "bob", kind) });
    w.run();
    assert_eq!(w.link("bob").disabled, None, "nobody is called revoked who still is a member");
    assert_eq!(w.store.members_of("devs"), ["bob@x.example"]);
    w.run();
    assert!(w.store.members_of("devs").is_empty());
    assert_eq!(w.link("bob").disabled.unwrap().how, DisableHow::Revoked);
}

#[test]
fn a_clock_that_cannot_be_trusted_starts_no_count() {
    let mut w = left(true);
    w.later(-10 * DAY);
    w.distrust = Some(Distrust::Off { whose: "directory", ahead: 10 * 86_400 });
    deleted(&mut w, "bob");
    w.leave("devs", "carl");
    w.run();
    assert_eq!((w.link("bob").deleted, w.link("carl").out_since), (None, None));
    w.distrust = None;
    w.later(10 * DAY);
    w.run();
    assert_eq!(w.link("bob").deleted.map(|d| d.since), Some(w.now));
    assert_eq!(w.link("carl").out_since, Some(w.now));
}

#[test]
fn a_deletion_that_cannot_be_looked_at_again_waits() {
    let mut w = left(true);
    deleted(&mut w, "bob");
    w.run();
    days(&mut w, 6);
    let shortfall = super::world::shortfall("bob");
    w.fates.insert("bob".to_owned(), Fate::Unread(shortfall));
    w.later(2 * DAY);
    assert!(w.prepare().is_empty());
}

#[test]
fn on_directory_delete_may_be_to_disable() {
    let mut w = left(true);
    w.policy.lifecycle.on_directory_delete = OnDelete::Disable;
    deleted(&mut w, "bob");
    w.run();
    days(&mut w, 30);
    assert!(w.store.is_disabled("bob@x.example"));
}

#[test]
fn a_newcomer_of_the_same_name_inherits_nothing_even_while_the_old_one_is_there() {
    let mut w = left(true);
    w.group("ops", &["bob", "gus"]);
    w.enter("ops");
    w.settle();
    deleted(&mut w, "bob");
    w.join("devs", "bob2");
    let domain = super::world::DOMAIN;
    w.person("bob2").set("userprincipalname", &format!("bob@{domain}")).set("mail", &format!("bob@{domain}"));
    w.run();
    days(&mut w, 8);
    let contents = w.store.contents();
    assert_eq!(w.store.members_of("ops"), ["gus@x.example"]);
    assert!(w.store.members_of("devs").contains(&"bob@x.example".to_owned()));
    assert_eq!(contents.users.keys().filter(|n| n.contains("bob")).count(), 1, "{:?}", contents.users.keys());
    assert_ne!(w.link("bob2").target_id, None);
    assert_eq!(w.link("bob").target_id, None);
}

#[test]
fn a_deleted_group_is_emptied_and_then_deleted() {
    let mut w = left(true);
    w.group("ops", &["bob", "carl"]);
    w.enter("ops");
    w.settle();
    let anchor = w.anchor_of("ops");
    w.groups.remove("ops");
    w.entries.retain(|e| e.handle != "ops");
    w.buried.insert("ops".to_owned(), anchor);
    w.fates.insert("ops".to_owned(), Fate::Deleted(DeletionProof::Tombstone));
    assert_eq!(w.prepare().steps(), ["remove-member ops bob@x.example", "remove-member ops carl@x.example"]);
    w.run();
    days(&mut w, 7);
    assert!(!w.store.contents().groups.contains_key("ops"));
    assert!(w.prepare().is_empty());
}

#[test]
fn a_group_out_of_scope_may_be_emptied() {
    let mut w = left(true);
    w.group("ops", &["bob", "carl"]);
    w.enter("ops");
    w.settle();
    w.entries.retain(|e| e.handle != "ops");
    assert!(w.prepare().is_empty());
    w.policy.lifecycle.on_group_out_of_scope = OnGroupOut::Empty;
    assert_eq!(w.prepare().steps(), ["remove-member ops bob@x.example", "remove-member ops carl@x.example"]);
    w.entry("devs").state = EntryState::Unread;
    assert!(w.prepare().is_empty());
}

fn sweep(w: &World, cause: DisableCause) -> Sweep {
    let since = w.now;
    let later = since.checked_add(SignedDuration::from_hours(29 * DAY)).unwrap();
    let limit = SignedDuration::from_hours(28 * DAY);
    let proof = match cause {
        DisableCause::Paused => crate::model::Absence::from_pause(since, Some(since), limit, later),
        _ => crate::model::Absence::from_outage(since, limit, later),
    };
    Sweep { cause, since, proof: proof.unwrap() }
}

#[test]
fn a_pause_that_is_too_long_disables_everybody_and_the_guard_does_not_hold_it() {
    let mut w = left(true);
    w.sweep = Some(sweep(&w, DisableCause::Paused));
    w.later(29 * DAY);
    let prepared = w.prepare();
    assert_eq!(prepared.approved.held().len(), 0);
    assert_eq!(prepared.steps().iter().filter(|s| s.starts_with("disable")).count(), 6);
    w.run();
    assert!(w.store.members_of("devs").is_empty());
    assert!(w.prepare().is_empty());
    w.sweep = None;
    w.run();
    assert!(!w.store.is_disabled("bob@x.example"));
    assert!(w.store.is_disabled("anna@x.example"), "who is out of scope stays as it was made");
    assert_eq!(w.store.members_of("devs").len(), 5);
    assert!(w.prepare().is_empty());
}

#[test]
fn a_directory_out_of_reach_for_too_long_has_the_same_effect_only_after_approval() {
    let mut w = left(true);
    w.sweep = Some(sweep(&w, DisableCause::OutOfReach));
    w.later(29 * DAY);
    let prepared = w.prepare();
    let steps = prepared.approved.plan().steps.len();
    assert!(steps > 6 && prepared.approved.held().len() == steps);
    assert!(prepared.approved.held().values().flatten().any(|h| *h == Hold::OutOfReach));
    w.approve();
    w.run();
    assert!(w.store.is_disabled("bob@x.example"));
}

#[test]
fn a_clock_that_cannot_be_trusted_holds_what_rests_on_time_and_nothing_else() {
    let mut w = left(true);
    days(&mut w, 28);
    w.later(1);
    w.leave("devs", "bob");
    w.person("carl").account = AccountState::Disabled;
    w.distrust = Some(Distrust::Off { whose: "directory", ahead: 4000 });
    let mut steps = w.prepare().steps();
    steps.sort();
    assert_eq!(
        steps,
        [
            "disable-user anna@x.example [held]",
            "disable-user carl@x.example",
            "remove-member devs bob@x.example",
            "remove-member devs carl@x.example",
        ]
    );
}

#[test]
fn what_others_changed_in_the_target_is_repaired_by_a_full_cycle() {
    let mut w = left(true);
    w.store.change_user(&w.id("bob"), UserAttribute::GivenName, "Robert");
    w.store.set_member(&w.id("devs"), &w.id("carl"), false);
    let stranger = w.store.put_user("stranger@else.example", None);
    w.store.set_member(&w.id("devs"), &stranger, true);
    w.store.set_member(&w.id("devs"), &w.id("anna"), true);
    w.store.delete(&w.id("dora"));
    w.store.set_disabled(&w.id("eve"), true);
    assert!(w.prepare().is_empty(), "nobody looks");
    w.full = true;
    let prepared = w.prepare();
    let mut steps = prepared.steps();
    steps.sort();
    assert_eq!(
        steps,
        [
            "add-member devs carl@x.example",
            "add-member devs dora@x.example",
            "create-user dora@x.example",
            "remove-member devs anna@x.example",
            "remove-member devs stranger@else.example",
            "update-user bob@x.example",
        ]
    );
    assert!(prepared.codes().contains(&Code::DisabledByOthers));
    assert!(prepared.codes().contains(&Code::TargetObjectMissing));
    w.run();
    assert!(w.prepare().is_empty(), "{}", w.text());
    assert!(w.store.is_disabled("eve@x.example"), "a disable by others stays");
    assert!(
        w.store.contents().users.contains_key("stranger@else.example"),
        "unmanaged ones are never touched"
    );
}

#[test]
fn a_member_in_the_directory_without_a_link_is_no_stranger() {
    let mut w = left(true);
    w.person("gus").set("sn", "");
    w.join("devs", "gus");
    let stranger = w.store.put_user("gus@x.example", None);
    w.store.set_member(&w.id("devs"), &stranger, true);
    w.full = true;
    assert!(w.prepare().is_empty(), "{}", w.text());
}

#[test]
fn what_only_full_cycles_find_keeps_them_full_while_it_waits() {
    let mut w = left(true);
    let stranger = w.store.put_user("stranger@else.example", None);
    w.store.set_member(&w.id("devs"), &stranger, true);
    w.store.change_user(&w.id("bob"), UserAttribute::GivenName, "Robert");
    w.store.set_member(&w.id("devs"), &w.id("carl"), false);
    let found = |w: &World| {
        let prepared = w.prepare();
        (prepared.steps().len(), prepared.approved.plan().found_by_full_cycles().len())
    };
    assert_eq!(found(&w), (0, 0));
    w.full = true;
    // Who is missing in the group is on record from then on, and added by any cycle.
    assert_eq!(found(&w), (3, 2));
    w.run();
    assert_eq!(found(&w), (0, 0));
}

#[test]
fn protected_members_stay_in_a_full_cycle() {
    let mut w = left(true);
    let stranger = w.store.put_user("break-glass@else.example", None);
    w.store.set_member(&w.id("devs"), &stranger, true);
    w.full = true;
    w.policy.protect = vec!["Break-Glass@else.example".to_owned()];
    assert!(w.prepare().is_empty(), "{}", w.text());
}

#[test]
fn whom_others_enabled_again_is_disabled_again() {
    let mut w = left(true);
    w.person("bob").account = AccountState::Disabled;
    w.run();
    w.store.set_disabled(&w.id("bob"), false);
    w.full = true;
    assert_eq!(w.prepare().steps(), ["disable-user bob@x.example"]);
}

#[test]
fn a_leaver_who_was_deleted_by_hand_is_forgotten() {
    let mut w = left(true);
    w.store.delete(&w.id("anna"));
    w.full = true;
    assert!(w.prepare().is_empty());
    w.run();
    assert_eq!(w.link("anna").target_id, None);
}

#[test]
fn someone_whose_values_cannot_be_written_and_who_is_gone_is_made_anew_with_all_memberships() {
    let mut w = left(true);
    w.person("bob").set("sn", "");
    w.store.delete(&w.id("bob"));
    w.full = true;
    w.run();
    w.full = false;
    assert!(w.prepare().is_empty(), "{}", w.text());
    w.person("bob").set("sn", "Doe");
    assert_eq!(w.prepare().steps(), ["create-user bob@x.example", "add-member devs bob@x.example"]);
    w.run();
    assert!(w.store.members_of("devs").contains(&"bob@x.example".to_owned()));
}

#[test]
fn a_leaver_whom_a_step_did_not_find_is_looked_up_and_forgotten() {
    let mut w = left(true);
    w.store.delete(&w.id("bob"));
    w.leave("devs", "bob");
    w.run();
    w.run();
    assert_eq!(w.link("bob").target_id, None);
    w.store.take_calls();
    assert!(w.run().prepared.is_empty());
    assert!(w.store.take_calls().is_empty());
}

#[test]
fn deletes_and_disables_of_half_are_held_whatever_the_limits() {
    let mut w = World::synced(&[("devs", &["anna", "bob", "carl", "dora", "eve", "finn"])]);
    w.store.become_of_sort(SCIM);
    w.policy.guard.max_percent = 100;
    for handle in ["anna", "bob", "carl"] {
        deleted(&mut w, handle);
    }
    let prepared = w.prepare();
    assert_eq!(prepared.approved.held().len(), 3, "{}", prepared.text());
    assert!(prepared.text().contains("3 of 6 linked users would be disabled"), "{}", prepared.text());
    w.approve();
    w.run();
    assert!(w.store.is_disabled("anna@x.example"));
}

#[test]
fn new_groups_take_their_first_members_along() {
    let mut w = World::new();
    w.store.become_of_sort(SCIM);
    let people: Vec<String> = (0..250).map(|n| format!("u{n:03}")).collect();
    let people: Vec<&str> = people.iter().map(String::as_str).collect();
    w.group("devs", &people);
    w.group("empty", &[]);
    w.enter("devs");
    w.enter("empty");
    w.run();
    let log = w.store.take_log();
    let count = |word: &str| log.iter().filter(|l| l.starts_with(word)).count();
    assert_eq!((count("create-user"), count("create-group"), count("add-member")), (250, 2, 2));
    assert!(w.prepare().is_empty());
    for handle in people.iter().take(30) {
        w.leave("devs", handle);
    }
    w.approve();
    w.run();
    assert_eq!(w.store.take_log().iter().filter(|l| l.starts_with("remove-member")).count(), 1);
    w.store.become_of_sort(API);
}
