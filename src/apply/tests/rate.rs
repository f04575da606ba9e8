//! A long apply against the sandbox over the SDK, on a clock that only moves when everybody waits: the same at each run.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;
use tokio::time::{Instant, sleep};

use crate::apply::{Journal, JournalError, Links, Pace, Stop, apply, recover};
use crate::ids::IdentityStoreId;
use crate::model::{Intent, Link, Outcome, Progress};
use crate::plan::tests::journal::Book;
use crate::plan::tests::store::SCIM;
use crate::plan::tests::world::{Prepared, World};
use crate::sandbox::{InProcess, Sandbox, Settings};
use crate::target::{IdentityStoreTarget, Pacing, Target};

const ALLOWED: u32 = 20;

/// A database far away: each transaction takes its time.
struct Slow<'a> {
    book: &'a Book,
    takes: Duration,
    notes: Mutex<Vec<Progress>>,
    /// How many outcomes were written down at a time.
    recorded: Mutex<Vec<usize>>,
}

impl<'a> Slow<'a> {
    fn new(book: &'a Book) -> Self {
        let (notes, recorded) = (Mutex::default(), Mutex::default());
        Self { book, takes: Duration::from_millis(80), notes, recorded }
    }
}

#[async_trait]
impl Journal for Slow<'_> {
    async fn intend(&self, intents: &[Intent]) -> Result<Vec<i64>, JournalError> {
        sleep(self.takes).await;
        self.book.intend(intents).await
    }

    async fn record(&self, outcomes: &[Outcome], links: &[&Link]) -> Result<(), JournalError> {
        sleep(self.takes).await;
        self.recorded.lock().unwrap().push(outcomes.len());
        self.book.record(outcomes, links).await
    }

    async fn note(&self, progress: &Progress, _: Timestamp) {
        sleep(self.takes).await;
        self.notes.lock().unwrap().push(*progress);
    }
}

fn paused<F: Future>(future: F) -> F::Output {
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    runtime.enable_time().start_paused(true).build().unwrap().block_on(future)
}

/// The sandbox takes 50 to 200 ms for each answer, and as many requests a second as AWS does.
fn target(others: &[&str]) -> Arc<IdentityStoreTarget> {
    let settings = Settings {
        requests_per_second: Some(ALLOWED),
        others: others.iter().map(|spec| spec.parse().unwrap()).collect(),
        latency: Duration::from_millis(50),
        jitter: Duration::from_millis(150),
        seed: 3,
        ..Settings::default()
    };
    let store = IdentityStoreId::new(settings.identity_store_id.clone());
    let sandbox = InProcess::new(Arc::new(Sandbox::open(settings).unwrap()));
    Arc::new(IdentityStoreTarget::with_http_client(sandbox, Some(store), Pacing::new(ALLOWED)))
}

fn of_people(count: usize) -> (World, Prepared) {
    let mut w = World::new();
    for n in 0..count {
        w.join("devs", &format!("p{n:04}"));
    }
    w.enter("devs");
    let prepared = w.prepare();
    w.register(&prepared);
    (w, prepared)
}

/// Applies what is planned; how long that took, and what was noted.
async fn applied(
    w: &World,
    prepared: &Prepared,
    target: &Arc<IdentityStoreTarget>,
) -> (Duration, Vec<Progress>) {
    let journal = Slow::new(w.book.as_ref());
    let mut links = Links::new(w.book.known().links);
    let (_keep, stop) = tokio::sync::watch::channel(false);
    let pace = Pace { in_flight: 16, deadline: std::time::Instant::now() + Duration::from_secs(3600) };
    let now = w.now;
    let begun = Instant::now();
    let clock = move || now;
    let applied = apply(
        &prepared.approved,
        Arc::clone(target) as Arc<dyn Target>,
        &journal,
        &mut links,
        pace,
        &clock,
        &stop,
        &|_| {},
    );
    let applied = applied.await.unwrap();
    assert!(applied.failed.is_empty() && applied.left == 0 && applied.stop.is_none(), "{applied:?}");
    (begun.elapsed(), journal.notes.into_inner().unwrap())
}

#[test]
fn a_long_apply_uses_what_is_allowed_however_slow_the_database_is() {
    let (w, prepared) = of_people(2500);
    paused(async {
        let target = target(&[]);
        let (took, notes) = applied(&w, &prepared, &target).await;
        let usage = target.usage();
        assert_eq!((usage.requests, usage.throttled), (5001, 0));
        let used = 5001.0 / (took.as_secs_f64() * f64::from(ALLOWED));
        assert!((0.97..=1.001).contains(&used), "{used}");
        // And it knew all the time how long the rest would take.
        assert_eq!((notes[0].pending, notes[0].seconds_left()), (5001, None));
        assert!(notes.len() >= 45, "{}", notes.len());
        for note in &notes[2..] {
            let left = note.seconds_left().unwrap() as f64;
            let should = note.pending as f64 / f64::from(ALLOWED);
            assert!((left - should).abs() <= should * 0.1 + 2.0, "{note:?}");
        }
    });
}

#[test]
fn a_target_that_is_faster_than_the_journal_does_not_run_away_from_it() {
    let mut w = World::new();
    w.store.become_of_sort(SCIM);
    let groups: Vec<String> = (0..20).map(|n| format!("group{n}")).collect();
    for group in &groups {
        for n in 0..300 {
            w.join(group, &format!("p{n:03}"));
        }
        w.enter(group);
    }
    let prepared = w.prepare();
    w.register(&prepared);
    paused(async {
        let journal = Slow::new(w.book.as_ref());
        let mut links = Links::new(w.book.known().links);
        let (ask, stop) = tokio::sync::watch::channel(false);
        let pace = Pace { in_flight: 16, deadline: std::time::Instant::now() + Duration::from_secs(3600) };
        let now = w.now;
        let some_way = |progress: &Progress| {
            if progress.done >= 2000 {
                ask.send_replace(true);
            }
        };
        let target = Arc::clone(&w.store) as Arc<dyn Target>;
        let clock = move || now;
        let applied = apply(&prepared.approved, target, &journal, &mut links, pace, &clock, &stop, &some_way)
            .await
            .unwrap();
        let most = journal.recorded.lock().unwrap().iter().copied().max();
        // What fills up a transaction, and sixteen requests for a hundred memberships each.
        assert!(most.is_some_and(|most| most <= 64 + 16 * 100), "{most:?} outcomes at once");
        // Of 6,320 steps; whoever asks to stop is heard.
        assert!(matches!(applied.stop, Some(Stop::Asked)) && applied.left > 2000, "{applied:?}");
    });
}

#[test]
fn an_apply_beside_others_adapts_and_fails_at_nothing() {
    let (w, prepared) = of_people(600);
    paused(async {
        let target = target(&["12@10+60"]);
        let (took, _) = applied(&w, &prepared, &target).await;
        let usage = target.usage();
        assert!(usage.slowed >= 1 && usage.throttled <= 40, "{usage:?}");
        // 1,201 requests at 20 a second for 10 s, 8 for 60 s, 20 for the rest are 96 s.
        assert!((90.0..115.0).contains(&took.as_secs_f64()), "{took:?}");
    });
}

#[test]
fn what_a_crash_left_open_is_looked_up_side_by_side() {
    let (w, prepared) = of_people(64);
    paused(async {
        let target = target(&[]);
        applied(&w, &prepared, &target).await;
        let before = target.usage();
        // As if nobody had heard how these ended.
        w.book.forget_outcomes("create-user");
        let pending = w.book.pending();
        assert_eq!(pending.len(), 64);
        let mut links = Links::new(w.book.known().links);
        let begun = Instant::now();
        let found =
            recover(&pending, target.as_ref(), w.book.as_ref(), &mut links, &w.book.known().elsewhere, w.now)
                .await
                .unwrap();
        assert_eq!(found, 64);
        let took = begun.elapsed().as_secs_f64();
        let requests = target.usage().since(before).requests;
        // One after the other they would have taken a latency each, which is 125 ms on average.
        let at_the_rate = requests as f64 / f64::from(ALLOWED);
        assert!(took <= at_the_rate * 1.03 + 0.5, "{requests} requests in {took} s");
        assert!(w.book.pending().is_empty());
    });
}
