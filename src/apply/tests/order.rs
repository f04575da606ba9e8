//! In which order steps go, what bounds an apply, and what is written down about it.

use std::time::Duration;

use crate::apply::Stop;
use crate::model::{Kind, StepResult};
use crate::plan::Sort;
use crate::plan::tests::store::{API, SCIM};
use crate::plan::tests::world::World;

fn at(log: &[String], line: &str) -> usize {
    log.iter().position(|l| l == line).unwrap_or_else(|| panic!("{line} is not in {log:?}"))
}

#[test]
fn what_takes_away_goes_first_and_one_persons_move_side_by_side() {
    let mut w = World::synced(&[("a", &["anna", "bob", "carl", "dora"]), ("b", &["eve"])]);
    w.in_flight = 1;
    for handle in ["anna", "bob"] {
        w.leave("a", handle);
        w.join("b", handle);
    }
    w.person("eve").set("title", "Smith");
    w.join("b", "zoe");
    w.store.take_log();
    w.run();
    assert_eq!(
        w.store.take_log(),
        [
            "remove-member a anna@x.example",
            "add-member b anna@x.example",
            "remove-member a bob@x.example",
            "add-member b bob@x.example",
            "update-user eve@x.example title",
            "create-user zoe@x.example",
            "add-member b zoe@x.example",
        ]
    );
}

/// Hundreds of each, so that they are written down in several goes, and names that would have it the other way round.
#[test]
fn what_takes_away_goes_before_what_gives_however_much_there_is_of_both() {
    for capabilities in [API, SCIM] {
        let (stay, go, come) = (names('s', 200), names('g', 150), names('c', 150));
        let mut w = World::new();
        w.store.become_of_sort(capabilities);
        for name in stay.iter().chain(&go) {
            w.join("z", name);
        }
        for name in &stay {
            w.join("a", name);
        }
        for name in &come {
            w.join("m", name);
        }
        for group in ["a", "m", "z"] {
            w.enter(group);
        }
        w.settle();
        for name in &go {
            w.leave("z", name);
        }
        for name in &come {
            w.join("a", name);
        }
        w.in_flight = 1;
        w.approve();
        w.store.take_log();
        w.run();
        let log = w.store.take_log();
        let of = |action: &str| log.iter().filter(|line| line.starts_with(action)).count();
        let last = log.iter().rposition(|line| line.starts_with("remove-member")).unwrap();
        let first = log.iter().position(|line| line.starts_with("add-member")).unwrap();
        assert!(last < first, "{last} {first}");
        let each = 150_usize.div_ceil(capabilities.membership_batch as usize);
        assert_eq!((of("remove-member"), of("add-member")), (each, each), "{log:?}");
        assert!(w.prepare().is_empty());
    }
}

fn names(of: char, count: usize) -> Vec<String> {
    (0..count).map(|n| format!("{of}{n:03}")).collect()
}

/// A request of a hundred memberships is written down by itself, which must not make the next one wait for its answer.
#[test]
fn requests_of_many_steps_are_under_way_together_too() {
    let mut w = World::new();
    w.store.become_of_sort(SCIM);
    w.in_flight = 8;
    for name in names('p', 99) {
        for group in names('x', 12) {
            w.join(&group, &name);
        }
    }
    for group in names('x', 12) {
        w.enter(&group);
    }
    w.settle();
    w.store.forget_most_under_way();
    for group in names('x', 12) {
        for name in names('p', 70) {
            w.leave(&group, &name);
        }
    }
    w.approve();
    w.store.take_log();
    w.run();
    assert_eq!(w.store.take_log().len(), 12);
    assert_eq!(w.store.most_under_way(), 8);
}

#[test]
fn several_go_at_once_and_none_before_what_it_needs() {
    let mut w = World::new();
    w.in_flight = 8;
    let people: Vec<String> = (0..30).map(|n| format!("p{n:02}")).collect();
    w.group("devs", &people.iter().map(String::as_str).collect::<Vec<_>>());
    w.enter("devs");
    let ran = w.run();
    assert!(ran.applied.failed.is_empty());
    assert_eq!(w.store.most_under_way(), 8);
    let log = w.store.take_log();
    for person in &people {
        let create = at(&log, &format!("create-user {person}@x.example"));
        let add = at(&log, &format!("add-member devs {person}@x.example"));
        assert!(create < add && at(&log, "create-group devs") < add);
    }
}

#[test]
fn the_plan_is_the_most_that_is_done() {
    let mut w = World::synced(&[("devs", &["anna", "bob", "carl"])]);
    w.store.put_user("new@x.example", None);
    w.join("devs", "new");
    w.leave("devs", "anna");
    w.store.take_log();
    let ran = w.run();
    assert_eq!(ran.prepared.approved.held().len(), 3);
    assert_eq!(w.store.take_log(), ["remove-member devs anna@x.example"]);
    assert_eq!(ran.applied.done[&Sort::RemoveMember], 1);
    assert!(ran.applied.undone.is_empty() && ran.applied.left == 0);
}

#[test]
fn a_held_rebind_writes_nothing_to_the_target() {
    let mut w = World::synced(&[("devs", &["anna"])]);
    w.group("devs2", &[]);
    w.entry("devs").state = crate::plan::tests::world::EntryState::ReboundTo("devs2".to_owned());
    w.book.approve_only(&w.prepare().approved, |_| true);
    w.store.take_log();
    let ran = w.run();
    assert!(ran.prepared.approved.held().is_empty());
    assert!(w.store.take_log().is_empty() && ran.applied.undone.is_empty());
}

#[test]
fn after_the_deadline_no_step_is_begun() {
    let mut w = World::new();
    w.group("devs", &["anna", "bob"]);
    w.enter("devs");
    let (_keep, stop) = tokio::sync::watch::channel(false);
    let ran = w.run_until(&stop, Duration::ZERO).unwrap();
    assert_eq!(ran.applied.stop, Some(Stop::OutOfTime));
    assert_eq!((ran.applied.left, ran.applied.undone.len()), (5, 5));
    assert!(w.store.take_log().is_empty());
    assert!(w.book.pending().is_empty());
    // The next cycle goes on.
    w.run();
    assert!(w.prepare().is_empty());
}

#[test]
fn asked_to_stop_it_finishes_what_is_under_way_and_says_what_was_not_sent() {
    let mut w = World::new();
    w.in_flight = 2;
    for n in 0..20 {
        w.join("devs", &format!("p{n:02}"));
    }
    w.enter("devs");
    let (ask, stop) = tokio::sync::watch::channel(false);
    let prepared = w.prepare();
    drop(prepared);
    // The store asks after its fifth write.
    w.store.on_write(5, move || {
        let _ = ask.send(true);
    });
    let ran = w.run_until(&stop, Duration::from_secs(60)).unwrap();
    assert_eq!(ran.applied.stop, Some(Stop::Asked));
    let sent = w.store.take_log().len() as u64;
    assert!((5..=7).contains(&sent), "{sent}");
    assert_eq!(ran.applied.done.values().sum::<u64>(), sent);
    assert_eq!(ran.applied.left, 41 - sent);
    assert!(w.book.pending().is_empty());
    assert!(w.book.outcomes().iter().any(|(_, result)| *result == Some(StepResult::Skipped)));
    w.run();
    assert!(w.prepare().is_empty());
}

#[test]
fn nothing_is_sent_once_the_journal_fails() {
    use crate::apply::{Links, Pace, apply};
    use crate::plan::tests::world::block_on;
    let mut w = World::new();
    for n in 0..80 {
        w.join("devs", &format!("p{n:02}"));
    }
    w.enter("devs");
    let prepared = w.prepare();
    w.register(&prepared);
    w.book.limit(Some(64));
    let mut links = Links::new(w.book.known().links);
    let (_keep, stop) = tokio::sync::watch::channel(false);
    let pace = Pace { in_flight: 4, deadline: std::time::Instant::now() + Duration::from_secs(60) };
    let store = std::sync::Arc::clone(&w.store) as std::sync::Arc<dyn crate::target::Target>;
    let now = w.now;
    let result = block_on(apply(
        &prepared.approved,
        store,
        w.book.as_ref(),
        &mut links,
        pace,
        &move || now,
        &stop,
        &|_| {},
    ));
    assert!(result.is_err());
    // All that was written down, but for what had not left yet.
    assert!((60..=64).contains(&w.store.take_log().len()));
    w.book.limit(None);
    w.run();
    assert!(w.prepare().is_empty());
    assert_eq!(w.store.contents().users.len(), 80);
}

#[test]
fn an_intent_tells_what_is_needed_to_look_it_up() {
    let mut w = World::synced(&[("devs", &["anna", "bob"])]);
    w.leave("devs", "anna");
    w.person("bob").set("title", "Smith");
    w.join("devs", "new");
    w.run();
    let intents = w.book.intents();
    let of = |action: &str| intents.iter().rev().find(|i| i.action == action).unwrap();
    let removal = of("remove-member");
    assert_eq!(removal.detail["proof"], "not-a-member");
    assert_eq!((removal.link, removal.member), (w.link("devs").no, Some(w.link("anna").no)));
    assert_eq!(of("create-user").detail["userName"], "new@x.example");
    assert_eq!(of("update-user").detail["attributes"], serde_json::json!(["title"]));
    assert_eq!(of("add-member").member, Some(w.link("new").no));
    assert!(w.book.outcomes().iter().all(|(_, r)| *r == Some(StepResult::Done)));
}

#[test]
fn links_tell_what_was_applied() {
    let mut w = World::synced(&[("devs", &["anna"])]);
    w.person("anna").set("userprincipalname", "anna.new@x.example").set("mail", "");
    w.groups.get_mut("devs").unwrap().name = "developers".to_owned();
    w.run();
    let (anna, devs) = (w.link("anna"), w.link("devs"));
    assert_eq!((anna.kind, anna.name.as_deref(), anna.email), (Kind::User, Some("anna.new@x.example"), None));
    assert_eq!(devs.name.as_deref(), Some("developers"));
    assert!(devs.filled && devs.applied.contains(anna.no.0));
    assert!(anna.digest.is_some() && devs.digest.is_some());
}

#[test]
fn progress_counts_up_to_all_steps() {
    let seen = std::sync::Mutex::new(Vec::new());
    let mut w = World::new();
    w.group("devs", &["anna", "bob"]);
    w.enter("devs");
    w.run_with_progress(&|p| seen.lock().unwrap().push((p.done, p.total, p.pending)));
    let seen = seen.into_inner().unwrap();
    assert_eq!(seen, [(0, 5, 5), (1, 5, 4), (2, 5, 3), (3, 5, 2), (4, 5, 1), (5, 5, 0)]);
}
