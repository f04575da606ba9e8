//! The rule: out of scope for longer than `disable-after`, by each way of disabling; and accounts that are shut.

use super::*;

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

    Taken away: users
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
