//! Refusals, lost answers, throttling: what fails, what goes on, and what is tried again when.

use crate::apply::Stop;
use crate::model::{Capabilities, Code, RenameSupport, StepResult, UserAttribute};
use crate::plan::Sort;
use crate::plan::tests::store::{API, Effect, Fault, SCIM};
use crate::plan::tests::world::World;
use crate::target::TargetErrorKind;

fn fresh() -> World {
    let mut w = World::new();
    w.group("devs", &["anna", "bob"]);
    w.enter("devs");
    w
}

#[test]
fn a_failed_step_stops_only_those_that_need_it() {
    let w = fresh();
    w.store.fail(Fault::new("create-user", "anna", TargetErrorKind::Validation));
    let ran = w.run();
    assert_eq!(ran.applied.failed[&Sort::CreateUser], 1);
    assert_eq!((ran.applied.left, ran.applied.undone.len(), ran.applied.retryable), (1, 2, 0));
    assert_eq!(ran.applied.findings.len(), 1);
    assert_eq!(ran.applied.findings[0].code, Code::TargetRefused);
    assert!(ran.applied.findings[0].message.starts_with("create-user: Validation: no; "));
    assert_eq!(w.store.members_of("devs"), ["bob@x.example"]);
    assert!(w.book.outcomes().iter().any(|(_, r)| matches!(r, Some(StepResult::Failed { .. }))));
    assert!(!w.link("devs").filled);
}

#[test]
fn a_refusal_is_tried_again_after_pauses_that_grow_to_a_day() {
    let mut w = fresh();
    w.store.fail(Fault::new("create-user", "anna", TargetErrorKind::Quota));
    let mut pauses = Vec::new();
    for _ in 0..7 {
        w.run();
        let retry = w.link("anna").retry.unwrap();
        let hours = retry.not_before.duration_since(w.now).as_hours();
        pauses.push(hours);
        // Just before, nothing is sent, and the finding stands.
        w.now = retry.not_before.checked_sub(jiff::SignedDuration::from_secs(1)).unwrap();
        w.store.take_log();
        assert!(w.run().prepared.codes().contains(&Code::TargetRefused));
        assert!(w.store.take_log().is_empty());
        w.later(1);
    }
    assert_eq!(pauses, [1, 2, 4, 8, 16, 24, 24]);
    w.store.mend();
    w.later(24);
    w.run();
    assert!(w.prepare().is_empty());
    assert_eq!(w.link("anna").retry, None);
}

#[test]
fn other_values_are_tried_at_once() {
    let mut w = World::synced(&[("devs", &["anna", "bob"])]);
    w.person("anna").set("title", "refused");
    w.store.fail(Fault { times: 1, ..Fault::new("update-user", "", TargetErrorKind::Validation) });
    w.run();
    assert!(w.prepare().is_empty());
    w.person("anna").set("title", "taken");
    w.run();
    assert_eq!(w.store.user("anna@x.example")[&UserAttribute::Title], "taken");
    assert_eq!(w.link("anna").retry, None);
}

#[test]
fn a_conflict_is_a_finding_that_says_what_to_do() {
    let w = fresh();
    let prepared = w.prepare();
    // Someone is quicker.
    w.store.put_user("ANNA@x.example", None);
    drop(prepared);
    w.store.fail(Fault::new("create-user", "bob", TargetErrorKind::Conflict));
    let ran = w.run();
    let finding = &ran.applied.findings[0];
    assert_eq!(finding.code, Code::ConflictError);
    assert!(finding.message.contains("rename it, or let it be adopted"));
    assert_eq!(finding.subject.label, "bob@x.example");
    assert_eq!(w.link("bob").retry.unwrap().attempts, 1);
}

#[test]
fn a_target_that_throttles_for_ever_ends_the_apply() {
    let mut w = World::new();
    for n in 0..40 {
        w.join("devs", &format!("p{n:02}"));
    }
    w.enter("devs");
    w.in_flight = 4;
    w.store.fail(Fault { message: "slow down", ..Fault::new("create-user", "", TargetErrorKind::Throttled) });
    w.store.fail(Fault::new("create-group", "", TargetErrorKind::Unavailable));
    let ran = w.run();
    assert!(matches!(&ran.applied.stop, Some(Stop::TargetUnavailable(why)) if why == "slow down"));
    let failed = ran.applied.failed.values().sum::<u64>();
    assert!((10..14).contains(&failed), "ten in a row, and what was under way: {failed}");
    assert_eq!(ran.applied.retryable, failed);
    assert!(w.book.pending().is_empty());
    // Nothing of it counts against the people.
    assert!((0..40).all(|n| w.link(&format!("p{n:02}")).retry.is_none()));
    w.store.mend();
    w.settle();
    assert_eq!(w.store.members_of("devs").len(), 40);
}

#[test]
fn a_denied_permission_ends_the_apply_and_is_no_ones_fault() {
    let mut w = World::new();
    for n in 0..20 {
        w.join("devs", &format!("p{n:02}"));
    }
    w.enter("devs");
    for operation in ["create-user", "create-group"] {
        w.store.fail(Fault::new(operation, "", TargetErrorKind::AccessDenied));
    }
    let ran = w.run();
    assert!(matches!(ran.applied.stop, Some(Stop::TargetUnavailable(_))));
    assert!(ran.applied.retryable >= 10, "a permission can be given");
    assert!((0..20).all(|n| w.link(&format!("p{n:02}")).retry.is_none()));
}

#[test]
fn refusals_of_single_objects_say_nothing_of_the_target() {
    let mut w = World::new();
    for n in 0..40 {
        w.join("devs", &format!("p{n:02}"));
    }
    w.enter("devs");
    w.store.fail(Fault { times: 30, ..Fault::new("create-user", "", TargetErrorKind::Validation) });
    let ran = w.run();
    assert_eq!(ran.applied.stop, None);
    assert_eq!(w.store.members_of("devs").len(), 10);
}

#[test]
fn a_create_whose_answer_is_lost_is_looked_up_and_not_repeated() {
    let w = fresh();
    let lost = |operation| Fault {
        times: 1,
        effect: Effect::Done,
        ..Fault::new(operation, "", TargetErrorKind::Ambiguous)
    };
    w.store.fail(lost("create-user"));
    w.store.fail(lost("create-group"));
    w.store.fail(lost("add-member"));
    let ran = w.run();
    assert!(ran.applied.failed.is_empty(), "{:?}", ran.applied.findings);
    let calls = w.store.take_calls();
    assert_eq!((calls["create-user"], calls["create-group"], calls["add-member"]), (2, 1, 2));
    assert_eq!((calls["find-user"], calls["find-group"], calls["is-member"]), (1, 1, 1));
    let found = w.book.outcomes().iter().filter(|(_, r)| *r == Some(StepResult::Found)).count();
    assert_eq!(found, 3);
    assert!(w.prepare().is_empty());
}

#[test]
fn a_create_that_was_lost_without_effect_is_repeated() {
    let w = fresh();
    w.store.fail(Fault { times: 1, ..Fault::new("create-user", "anna", TargetErrorKind::Ambiguous) });
    let ran = w.run();
    assert!(ran.applied.failed.is_empty());
    assert_eq!(w.store.take_calls()["create-user"], 3);
    assert_eq!(w.store.contents().users.len(), 2);
}

#[test]
fn a_conflict_after_a_lost_answer_is_our_own_create() {
    let w = fresh();
    // The answer is lost, the first look finds nothing yet, and the repeated create meets the first one's effect.
    w.store.fail(Fault {
        times: 1,
        effect: Effect::Done,
        ..Fault::new("create-user", "anna", TargetErrorKind::Ambiguous)
    });
    w.store.miss_once("anna@x.example");
    let ran = w.run();
    assert!(ran.applied.failed.is_empty(), "{:?}", ran.applied.findings);
    assert_eq!(w.store.contents().users.len(), 2);
    assert!(w.prepare().is_empty());
}

#[test]
fn a_refusal_after_a_lost_answer_leaves_the_create_to_be_looked_up() {
    let w = fresh();
    w.store.fail(Fault {
        times: 1,
        effect: Effect::Done,
        ..Fault::new("create-user", "anna", TargetErrorKind::Ambiguous)
    });
    w.store.fail(Fault { times: 1, ..Fault::new("create-user", "anna", TargetErrorKind::Throttled) });
    w.store.miss_once("anna@x.example");
    let ran = w.run();
    assert_eq!(ran.applied.failed[&Sort::CreateUser], 1);
    assert_eq!(w.book.pending().len(), 1);
    assert_eq!(ran.applied.retryable, 1);
    w.run();
    assert_eq!(w.store.contents().users.len(), 2);
    assert!(w.prepare().is_empty() && w.book.pending().is_empty());
}

#[test]
fn someone_elses_object_of_that_name_is_not_taken_for_ours() {
    let w = fresh();
    w.store.fail(Fault { times: 1, ..Fault::new("create-user", "anna", TargetErrorKind::Ambiguous) });
    w.store.on_write(0, {
        let store = std::sync::Arc::downgrade(&w.store);
        move || {
            store.upgrade().unwrap().put_user("anna@x.example", Some("someone@x.example"));
        }
    });
    let ran = w.run();
    assert_eq!(ran.applied.failed[&Sort::CreateUser], 1);
    assert!(w.link("anna").target_id.is_none());
    assert!(w.prepare().steps().contains(&"adopt-user anna@x.example [held]".to_owned()));
}

#[test]
fn an_update_whose_answer_is_lost_waits_for_the_next_cycle_to_look() {
    for effect in [Effect::Done, Effect::None] {
        let mut w = World::synced(&[("devs", &["anna", "bob"])]);
        w.person("anna").set("title", "Smith");
        w.groups.get_mut("devs").unwrap().description = Some("d".to_owned());
        for operation in ["update-user", "update-group"] {
            w.store.fail(Fault { times: 1, effect, ..Fault::new(operation, "", TargetErrorKind::Ambiguous) });
        }
        let ran = w.run();
        assert_eq!(ran.applied.retryable, 2);
        assert_eq!(w.book.pending().len(), 2);
        w.store.take_log();
        w.run();
        let repeated = w.store.take_log().len();
        assert_eq!(repeated, if effect == Effect::Done { 0 } else { 2 });
        assert!(w.prepare().is_empty() && w.book.pending().is_empty());
    }
}

#[test]
fn a_removal_whose_answer_is_lost_is_looked_up() {
    for (effect, failed) in [(Effect::Done, 0), (Effect::None, 1)] {
        let mut w = World::synced(&[("devs", &["anna", "bob"])]);
        w.leave("devs", "anna");
        w.store.fail(Fault {
            times: 1,
            effect,
            ..Fault::new("remove-member", "", TargetErrorKind::Ambiguous)
        });
        let ran = w.run();
        assert_eq!((ran.applied.failed.len(), ran.applied.retryable), (failed, failed as u64));
        w.run();
        assert_eq!(w.store.members_of("devs"), ["bob@x.example"]);
    }
}

#[test]
fn a_membership_of_a_group_that_is_gone_makes_it_again() {
    let mut w = World::synced(&[("devs", &["anna", "bob"])]);
    w.store.delete(&w.id("devs"));
    w.join("devs", "carl");
    let ran = w.run();
    assert_eq!(ran.applied.findings[0].code, Code::TargetObjectMissing);
    let ran = w.run();
    assert_eq!(ran.applied.done[&Sort::CreateGroup], 1);
    assert_eq!(w.store.members_of("devs").len(), 3);
}

#[test]
fn an_update_of_a_user_who_is_gone_makes_it_again() {
    let mut w = World::synced(&[("devs", &["anna", "bob"])]);
    w.person("anna").set("title", "Smith");
    w.store.on_write(0, || {});
    let anna = w.id("anna");
    // Gone between the look and the write.
    w.store.fail(Fault { times: 1, ..Fault::new("update-user", "", TargetErrorKind::NotFound(None)) });
    w.run();
    w.store.delete(&anna);
    let ran = w.run();
    assert_eq!(ran.applied.done[&Sort::CreateUser], 1);
    assert_eq!(w.store.members_of("devs").len(), 2);
}

#[test]
fn only_a_plain_word_of_the_store_stops_renames() {
    for (message, learned) in [
        ("UserName is immutable", Some(RenameSupport::Refused)),
        ("The userName cannot be changed", Some(RenameSupport::Refused)),
        ("Attribute path userName is read-only", Some(RenameSupport::Refused)),
        ("userName cannot be longer than 128 characters", None),
        ("userName contains characters that are not allowed", None),
        ("UserName cannot be empty", None),
        ("something is immutable", None),
    ] {
        let mut w = World::synced(&[("devs", &["anna", "bob"])]);
        w.person("anna").set("userprincipalname", "anna.new@x.example");
        w.store.fail(Fault { message, ..Fault::new("update-user", "", TargetErrorKind::Validation) });
        assert_eq!(w.run().applied.rename_support, learned, "{message}");
    }
}

#[test]
fn an_accepted_rename_is_learned_and_an_update_of_something_else_teaches_nothing() {
    let mut w = World::synced(&[("devs", &["anna", "bob"])]);
    w.person("anna").set("title", "Smith");
    assert_eq!(w.run().applied.rename_support, None);
    w.person("anna").set("userprincipalname", "anna.new@x.example");
    assert_eq!(w.run().applied.rename_support, Some(RenameSupport::Accepted));
}

/// Two groups of thirty that wait for thirty more.
fn two_to_be_filled(capabilities: Capabilities) -> World {
    let mut w = World::new();
    w.store.become_of_sort(capabilities);
    w.policy.guard.max_percent = 100;
    for group in ["all", "devs", "ops"] {
        (0..30).for_each(|n| w.join(group, &format!("p{n:02}")));
        w.enter(group);
    }
    (30..60).for_each(|n| w.join("all", &format!("p{n:02}")));
    w.settle();
    for group in ["devs", "ops"] {
        (30..60).for_each(|n| w.join(group, &format!("p{n:02}")));
    }
    w
}

/// Whatever one group has against its members, refusal or trouble, for each request or for all of them: the others are
/// none the worse for it.
#[test]
fn one_group_that_fails_does_not_stop_the_others() {
    for capabilities in [API, SCIM] {
        for kind in [
            TargetErrorKind::InPart,
            TargetErrorKind::Validation,
            TargetErrorKind::Unavailable,
            TargetErrorKind::Ambiguous,
        ] {
            let w = two_to_be_filled(capabilities);
            w.store.fail(Fault::new("add-member", "devs", kind));
            let ran = w.run();
            assert_eq!(ran.applied.stop, None, "{kind:?}");
            assert_eq!(w.store.members_of("ops").len(), 60, "{kind:?}");
            assert_eq!(w.store.members_of("devs").len(), 30);
            w.store.mend();
            w.settle();
            assert_eq!(w.store.members_of("devs").len(), 60, "{kind:?}");
            assert!(w.book.pending().is_empty());
        }
    }
}

/// With nobody there to answer, a hundred memberships in one request are not sent a hundred times more.
#[test]
fn a_request_that_nobody_answered_is_not_taken_apart() {
    let w = two_to_be_filled(SCIM);
    w.store.fail(Fault::new("add-member", "", TargetErrorKind::Ambiguous));
    w.store.take_calls();
    let ran = w.run();
    assert_eq!(w.store.take_calls()["add-member"], 2);
    assert_eq!((ran.applied.retryable, w.book.pending().len()), (60, 60));
    w.store.mend();
    w.settle();
    assert_eq!(w.store.members_of("devs").len(), 60);
    // One that was refused says nothing of whom: those are asked for one by one, until nobody answers any more.
    let mut w = two_to_be_filled(SCIM);
    w.store.fail(Fault { times: 1, ..Fault::new("add-member", "devs", TargetErrorKind::InPart) });
    w.store.fail(Fault { times: 3, ..Fault::new("add-member", "devs", TargetErrorKind::Throttled) });
    let ran = w.run();
    assert!(ran.applied.failed.values().sum::<u64>() >= 30);
    w.settle();
    assert_eq!(w.store.members_of("devs").len(), 60);
    w.leave("devs", "p01");
    assert_eq!(w.run().applied.failed.len(), 0);
}
