//! Paused or out of reach for too long, and clocks that cannot be trusted.

use super::*;

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
    w.person("dora").account = AccountState::Expired;
    w.distrust = Some(Distrust::Off { whose: "directory", ahead: 4000 });
    let mut steps = w.prepare().steps();
    steps.sort();
    assert_eq!(
        steps,
        [
            "disable-user anna@x.example [held]",
            "disable-user carl@x.example",
            "disable-user dora@x.example [held]",
            "remove-member devs bob@x.example",
            "remove-member devs carl@x.example",
            "remove-member devs dora@x.example [held]",
        ]
    );
}

#[test]
fn nobody_whose_account_had_expired_comes_back_by_a_clock_that_cannot_be_trusted() {
    let mut w = left(true);
    w.person("bob").account = AccountState::Expired;
    w.person("carl").account = AccountState::Disabled;
    w.run();
    w.person("bob").account = AccountState::Enabled;
    w.person("carl").account = AccountState::Enabled;
    w.distrust = Some(Distrust::Off { whose: "target", ahead: 2 * 86_400 });
    let mut steps = w.prepare().steps();
    steps.sort();
    assert_eq!(
        steps,
        [
            "add-member devs bob@x.example [held]",
            "add-member devs carl@x.example",
            "enable-user bob@x.example [held]",
            "enable-user carl@x.example",
        ]
    );
    w.distrust = None;
    assert!(w.prepare().approved.held().is_empty());
}

/// Nobody is called gone for long who was found two hours ago.
#[test]
fn a_long_absence_by_a_clock_that_cannot_be_trusted_takes_nothing() {
    let mut w = left(false);
    w.policy.lifecycle.delete_on_absence = Some(SignedDuration::from_hours(DAY));
    w.policy.lifecycle.delete_after = SignedDuration::ZERO;
    w.people.get_mut("bob").unwrap().hidden = true;
    w.run();
    w.later(3 * DAY);
    assert_eq!(w.prepare().steps(), ["remove-member devs bob@x.example", "delete-user bob@x.example"]);
    w.distrust = Some(Distrust::Off { whose: "directory", ahead: -3 * 86_400 });
    let held: Vec<String> =
        w.prepare().steps().into_iter().filter(|step| !step.ends_with(" [held]")).collect();
    assert!(held.is_empty(), "{held:?}");
}
