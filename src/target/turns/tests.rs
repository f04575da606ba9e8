//! The pacer against the sandbox's token bucket, on a clock that only moves when everybody waits: the same at each run.

use std::sync::Mutex;
use std::time::Duration;

use futures::{StreamExt as _, stream};
use tokio::time::{Instant, sleep};

use super::*;
use crate::sandbox::pace::{Bucket, Latency};
use crate::target::pacing::{Effect, Failure, Pacer, Pacing, Repeat};

const ALLOWED: u32 = 20;

/// Takes 50 to 200 ms for each answer, half of it before the request is counted.
struct Service {
    bucket: Mutex<Bucket>,
    latency: Latency,
    begun: Instant,
    /// When each request was answered that was let through.
    done: Mutex<Vec<Duration>>,
}

impl Service {
    fn new(others: &[&str]) -> Self {
        let begun = Instant::now();
        let others = others.iter().map(|spec| spec.parse().unwrap()).collect();
        Self {
            bucket: Mutex::new(Bucket::new(ALLOWED, begun.into_std()).shared_with(others)),
            latency: Latency::new(Duration::from_millis(50), Duration::from_millis(150), 7),
            begun,
            done: Mutex::default(),
        }
    }

    async fn answer(&self) -> Result<(), Failure> {
        let way = self.latency.next() / 2;
        sleep(way).await;
        let taken = self.bucket.lock().unwrap().take(Instant::now().into_std());
        sleep(way).await;
        taken.map_err(|_| Failure {
            retry_after: Some(Duration::from_secs(1)),
            ..Failure::new(Effect::Throttled, "ThrottlingException", "Rate exceeded")
        })?;
        self.done.lock().unwrap().push(self.begun.elapsed());
        Ok(())
    }

    /// Answers of these seconds, as a share of what is allowed.
    fn share(&self, seconds: std::ops::Range<u64>) -> f64 {
        let span = Duration::from_secs(seconds.start)..Duration::from_secs(seconds.end);
        let count = self.done.lock().unwrap().iter().filter(|at| span.contains(*at)).count();
        count as f64 / (f64::from(ALLOWED) * (seconds.end - seconds.start) as f64)
    }
}

/// Sixteen at once, as an apply has them, until all are done. Gives how many were refused for good.
async fn load(pacer: &Pacer, service: &Service, requests: usize) -> usize {
    stream::iter(0..requests)
        .map(|_| pacer.call("Test", Repeat::Write, || service.answer()))
        .buffer_unordered(16)
        .filter(|answer| std::future::ready(answer.is_err()))
        .count()
        .await
}

#[tokio::test(start_paused = true)]
async fn five_thousand_requests_use_the_allowed_rate_and_meet_no_throttle() {
    let service = Service::new(&[]);
    let pacer = Pacer::new(Pacing::new(ALLOWED));
    assert_eq!(load(&pacer, &service, 5000).await, 0);
    let used = 5000.0 / (service.begun.elapsed().as_secs_f64() * f64::from(ALLOWED));
    assert!((0.97..=1.001).contains(&used), "{used}");
    let usage = pacer.usage();
    assert_eq!((usage.requests, usage.throttled, usage.slowed), (5000, 0, 0));
}

#[tokio::test(start_paused = true)]
async fn what_others_take_is_found_out_and_what_they_leave_is_used() {
    let service = Service::new(&["10@60+120"]);
    let pacer = Pacer::new(Pacing::new(ALLOWED));
    assert_eq!(load(&pacer, &service, 5000).await, 0);
    let [before, beside, after] = [1..60, 70..180, 200..280].map(|seconds| service.share(seconds));
    assert!(before >= 0.97, "{before}");
    // Half of it is left.
    assert!((0.42..=0.51).contains(&beside), "{beside}");
    assert!(after >= 0.97, "{after}");
    let usage = pacer.usage();
    // Each finds out where the limit is now; between two of them lies the climb.
    assert!((1..=16).contains(&usage.slowed), "{usage:?}");
    assert!(usage.throttled <= 2 * usage.slowed, "{usage:?}");
    assert_eq!(usage.requests, 5000 + usage.throttled);
}

#[tokio::test(start_paused = true)]
async fn whoever_leaves_next_to_nothing_does_not_starve_us() {
    let service = Service::new(&["18@0+300"]);
    let pacer = Pacer::new(Pacing::new(ALLOWED));
    assert_eq!(load(&pacer, &service, 3000).await, 0, "no call runs out of patience");
    // A tenth of it is left.
    let beside = service.share(30..300);
    assert!((0.06..=0.105).contains(&beside), "{beside}");
    let after = service.share(340..400);
    assert!(after >= 0.97, "{after}");
}

#[tokio::test(start_paused = true)]
async fn the_rate_stays_between_its_floor_and_what_is_allowed() {
    let turns = Turns::new(ALLOWED);
    let rate = || turns.rate(Instant::now());
    for _ in 0..30 {
        turns.throttled(Instant::now(), Duration::ZERO);
        sleep(Duration::from_millis(1)).await;
    }
    assert!((1.0..1.01).contains(&rate()), "{}", rate());
    sleep(Duration::from_secs(10)).await;
    assert!((5.9..6.1).contains(&rate()), "half a request a second more each second: {}", rate());
    sleep(Duration::from_secs(3600)).await;
    assert!((rate() - 20.0).abs() < 1e-9, "{}", rate());
}

#[tokio::test(start_paused = true)]
async fn what_was_under_way_together_counts_once_and_a_pause_is_no_climb() {
    let turns = Turns::new(ALLOWED);
    let sent = Instant::now();
    sleep(Duration::from_millis(100)).await;
    for _ in 0..8 {
        turns.throttled(sent, Duration::from_secs(2));
    }
    assert_eq!(turns.slowed(), 1);
    sleep(Duration::from_secs(2)).await;
    let rate = turns.rate(Instant::now());
    assert!((rate - 14.0).abs() < 1e-9, "{rate}");
}

#[tokio::test(start_paused = true)]
async fn turns_that_come_late_are_made_up_for_but_no_more_than_one() {
    let turns = Turns::new(ALLOWED);
    let begun = Instant::now();
    let mut at = Vec::new();
    for _ in 0..4 {
        turns.take().await;
        at.push(begun.elapsed().as_millis());
        // The timer is late, each time.
        tokio::time::advance(Duration::from_millis(70)).await;
    }
    assert_eq!(at, [0, 70, 140, 210], "seventy are twenty too many, and nobody waits any longer for that");
    sleep(Duration::from_secs(60)).await;
    let rested = Instant::now();
    at.clear();
    for _ in 0..4 {
        turns.take().await;
        at.push(rested.elapsed().as_millis());
    }
    assert_eq!(at, [0, 0, 50, 100], "a rest is not saved up");
}

#[tokio::test(start_paused = true)]
async fn who_comes_first_is_served_first_and_who_gives_up_takes_nothing() {
    let turns = Turns::new(ALLOWED);
    let begun = Instant::now();
    let served = Mutex::new(Vec::new());
    let take = |name: &'static str| {
        let (turns, served) = (&turns, &served);
        async move {
            turns.take().await;
            served.lock().unwrap().push((name, begun.elapsed().as_millis()));
        }
    };
    let gives_up = tokio::time::timeout(Duration::from_millis(20), take("impatient"));
    take("first").await;
    let _ = futures::join!(gives_up, take("second"), take("third"));
    assert_eq!(*served.lock().unwrap(), [("first", 0), ("second", 50), ("third", 100)]);
}
