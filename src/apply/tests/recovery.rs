//! After a crash: what has no outcome is looked up before anything else is done.

use std::time::Duration;

use crate::apply::{Links, RecoverError, recover};
use crate::model::{Kind, StepResult};
use crate::plan::tests::store::{Effect, Fault};
use crate::plan::tests::world::{World, block_on};
use crate::target::{Target as _, TargetErrorKind};

/// Killed at that write.
fn crash(w: &World, at: usize, effect: Effect) {
    w.store.crash_at(Some((at, effect)));
    let (_keep, stop) = tokio::sync::watch::channel(false);
    assert!(w.run_until(&stop, Duration::from_secs(60)).is_none());
    w.store.crash_at(None);
    w.store.take_log();
}

fn recovered(w: &World) -> Result<usize, RecoverError> {
    let mut links = Links::new(w.book.known().links);
    block_on(recover(
        &w.book.pending(),
        w.store.as_ref(),
        w.book.as_ref(),
        &mut links,
        &w.book.known().elsewhere,
        w.now,
    ))
}

#[test]
fn a_create_that_was_done_is_found_and_not_repeated() {
    let mut w = World::new();
    w.person("anna");
    w.enter("anna");
    crash(&w, 0, Effect::Done);
    assert_eq!(recovered(&w).unwrap(), 1);
    assert_eq!(w.book.outcomes()[0].1, Some(StepResult::Found));
    let anna = w.link("anna");
    assert!(anna.target_id.is_some() && anna.digest.is_some() && anna.email.is_some());
    assert!(w.prepare().is_empty());
    assert_eq!(w.store.contents().users.len(), 1);
}

#[test]
fn a_create_that_was_not_done_is_planned_again() {
    let mut w = World::new();
    w.person("anna");
    w.enter("anna");
    crash(&w, 0, Effect::None);
    assert_eq!(recovered(&w).unwrap(), 1);
    assert_eq!(w.book.outcomes()[0].1, Some(StepResult::NotDone));
    assert_eq!(w.prepare().steps(), ["create-user anna@x.example"]);
}

#[test]
fn someone_elses_object_of_that_name_is_left_to_the_plan() {
    let mut w = World::new();
    w.person("anna");
    w.enter("anna");
    crash(&w, 0, Effect::None);
    w.store.put_user("anna@x.example", Some("someone@x.example"));
    recovered(&w).unwrap();
    assert!(w.link("anna").target_id.is_none());
    assert!(w.prepare().steps()[0].contains("adopt-user"));
}

#[test]
fn groups_updates_and_memberships_are_found_too() {
    for effect in [Effect::Done, Effect::None] {
        let mut w = World::synced(&[("devs", &["anna", "bob"]), ("ops", &["carl", "bob"])]);
        w.in_flight = 8;
        w.leave("devs", "anna");
        w.join("ops", "anna");
        w.person("carl").set("title", "Smith");
        w.groups.get_mut("ops").unwrap().description = Some("d".to_owned());
        w.group("new", &["bob"]);
        w.enter("new");
        for at in 0..6 {
            let w = w.fork();
            crash(&w, at, effect);
            let pending = w.book.pending().len();
            assert!(pending > 0);
            assert_eq!(recovered(&w).unwrap(), pending);
            assert!(w.book.pending().is_empty());
            w.run();
            assert!(w.prepare().is_empty());
            assert_eq!(w.store.members_of("ops").len(), 3);
            assert_eq!(w.store.members_of("devs"), ["bob@x.example"]);
            assert_eq!(w.store.members_of("new"), ["bob@x.example"]);
        }
    }
}

#[test]
fn a_user_made_anew_by_a_lost_create_is_a_member_of_nothing_yet() {
    let w = World::synced(&[("devs", &["anna", "bob"])]);
    w.store.delete(&w.id("anna"));
    w.book.change_link(w.link("anna"), |l| l.digest = None);
    crash(&w, 0, Effect::Done);
    recovered(&w).unwrap();
    let (anna, devs) = (w.link("anna"), w.link("devs"));
    assert!(!devs.applied.contains(anna.no.0), "and the database knows");
    assert_eq!(w.prepare().steps(), ["add-member devs anna@x.example"]);
}

#[test]
fn someone_who_is_gone_since_does_not_keep_the_rest_from_going_on() {
    let mut w = World::synced(&[("devs", &["anna", "bob"])]);
    w.leave("devs", "anna");
    crash(&w, 0, Effect::None);
    w.store.delete(&w.id("anna"));
    assert_eq!(recovered(&w).unwrap(), 1);
    assert!(w.run().applied.failed.is_empty());
    assert!(w.prepare().is_empty());
}

#[test]
fn without_an_answer_nothing_is_concluded() {
    let mut w = World::new();
    w.person("anna");
    w.enter("anna");
    crash(&w, 0, Effect::Done);
    w.store.fail(Fault::new("find-user", "", TargetErrorKind::Unavailable));
    assert!(matches!(recovered(&w), Err(RecoverError::Target(_))));
    assert_eq!(w.book.pending().len(), 1);
    w.store.mend();
    w.run();
    assert_eq!(w.store.contents().users.len(), 1);
}

/// The same, made by another profile after this one was killed: it is theirs.
#[test]
fn what_another_profile_has_made_is_not_taken_for_ours() {
    let mut w = World::new();
    w.group("devs", &["anna"]);
    w.enter("devs");
    crash(&w, 0, Effect::Done);
    let pending = w.book.pending();
    let (made, _) = block_on(w.store.find_user("anna@x.example")).unwrap().unwrap();
    let elsewhere = [((Kind::User, made), "other".to_owned())].into();
    let mut links = Links::new(w.book.known().links);
    let found = recover(&pending, w.store.as_ref(), w.book.as_ref(), &mut links, &elsewhere, w.now);
    block_on(found).unwrap();
    assert!(w.link("anna").target_id.is_none() && w.book.pending().is_empty());
}

#[test]
fn nothing_pending_asks_nothing_and_writes_nothing() {
    let w = World::synced(&[("devs", &["anna"])]);
    w.store.take_calls();
    assert_eq!(recovered(&w).unwrap(), 0);
    assert!(w.store.take_calls().is_empty());
}
