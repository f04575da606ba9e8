use std::sync::Mutex;

use super::*;
use crate::deadline::LeaseDeadline;

fn quick(requests_per_second: u32) -> Pacer {
    Pacer::new(Pacing {
        first_pause: Duration::from_millis(4),
        longest_pause: Duration::from_millis(10),
        attempts: 4,
        ..Pacing::new(requests_per_second)
    })
}

/// Gives the failures in turn, then success.
async fn outcome(pacer: &Pacer, repeat: Repeat, effects: &[Effect]) -> (u64, Option<TargetErrorKind>) {
    let tries = Mutex::new(0);
    let left = Mutex::new(effects.iter().copied());
    let result = pacer
        .call("Test", repeat, || {
            *tries.lock().unwrap() += 1;
            let next = left.lock().unwrap().next();
            async move { next.map_or(Ok(()), |effect| Err(Failure::new(effect, "X", "x"))) }
        })
        .await;
    (tries.into_inner().unwrap(), result.err().map(|e| e.kind))
}

#[tokio::test]
async fn only_what_is_safe_is_sent_again() {
    use Effect::{Contended, Refused, Throttled, Unknown, Unsent};
    let pacer = quick(10_000);
    let conflict = Refused(TargetErrorKind::Conflict);
    for repeat in [Repeat::Read, Repeat::Write, Repeat::Create] {
        assert_eq!(outcome(&pacer, repeat, &[Throttled, Unsent]).await, (3, None));
        assert_eq!(outcome(&pacer, repeat, &[conflict]).await, (1, Some(TargetErrorKind::Conflict)));
        assert_eq!(outcome(&pacer, repeat, &[Throttled; 9]).await, (4, Some(TargetErrorKind::Throttled)));
        assert_eq!(outcome(&pacer, repeat, &[Contended; 2]).await, (3, None));
        let contended = outcome(&pacer, repeat, &[Contended; 9]).await;
        assert_eq!(contended, (4, Some(TargetErrorKind::Unavailable)));
        assert_eq!(outcome(&pacer, repeat, &[Unsent; 9]).await, (4, Some(TargetErrorKind::Unavailable)));
    }
    assert_eq!(outcome(&pacer, Repeat::Read, &[Unknown, Unknown]).await, (3, None));
    assert_eq!(outcome(&pacer, Repeat::Write, &[Unknown, Unknown]).await, (3, None));
    assert_eq!(outcome(&pacer, Repeat::Create, &[Unknown]).await, (1, Some(TargetErrorKind::Ambiguous)));
    assert_eq!(
        outcome(&pacer, Repeat::Create, &[Throttled, Unknown]).await,
        (2, Some(TargetErrorKind::Ambiguous))
    );
}

#[tokio::test]
async fn a_write_that_may_have_been_done_stays_ambiguous_whatever_follows() {
    use Effect::{Throttled, Unknown, Unsent};
    let pacer = quick(10_000);
    for last in [Throttled, Unsent, Unknown] {
        let effects = [Unknown, last, last, last];
        assert_eq!(outcome(&pacer, Repeat::Write, &effects).await, (4, Some(TargetErrorKind::Ambiguous)));
    }
    assert_eq!(outcome(&pacer, Repeat::Read, &[Unknown; 4]).await, (4, Some(TargetErrorKind::Unavailable)));
    // A token that ends in between, a proxy: they refuse the second attempt.
    use TargetErrorKind::{AccessDenied, Ambiguous, NotFound, Quota, Unavailable, Validation};
    for (kind, of_both) in [
        (AccessDenied, Ambiguous),
        (Quota, Ambiguous),
        (Unavailable, Ambiguous),
        // What is wrong with the request was wrong with it before; and what is gone by now need not be deleted.
        (Validation, Validation),
        (NotFound(None), NotFound(None)),
    ] {
        let effects = [Unknown, Effect::Refused(kind)];
        assert_eq!(outcome(&pacer, Repeat::Write, &effects).await, (2, Some(of_both)));
        assert_eq!(outcome(&pacer, Repeat::Read, &effects).await, (2, Some(kind)));
        assert_eq!(outcome(&pacer, Repeat::Write, &effects[1..]).await, (1, Some(kind)));
    }
}

#[tokio::test]
async fn what_the_service_asks_for_is_waited_for_by_everyone() {
    let pacer = quick(10_000);
    let asked = Duration::from_millis(150);
    let failed = Mutex::new(false);
    let begun = Instant::now();
    let throttled = pacer.call("A", Repeat::Read, || {
        let first = !std::mem::replace(&mut *failed.lock().unwrap(), true);
        async move {
            let failure = Failure::new(Effect::Throttled, "ThrottlingException", "slow down");
            if first { Err(Failure { retry_after: Some(asked), ..failure }) } else { Ok(()) }
        }
    });
    let other = async {
        tokio::time::sleep(Duration::from_millis(30)).await;
        pacer.call("B", Repeat::Read, || async { Ok(Instant::now()) }).await
    };
    let (first, second) = tokio::join!(throttled, other);
    first.unwrap();
    assert!(begun.elapsed() >= asked);
    assert!(second.unwrap() - begun >= asked, "the other caller was not held back");
    assert_eq!(pacer.usage(), Usage { requests: 3, writes: 0, throttled: 1, retried: 1, slowed: 1 });
}

#[tokio::test]
async fn a_pause_longer_than_patience_ends_the_call_at_once() {
    let pacer = quick(10_000);
    let begun = Instant::now();
    let result: Result<(), _> = pacer
        .call("A", Repeat::Create, || async {
            let failure = Failure::new(Effect::Throttled, "ThrottlingException", "come back tomorrow");
            Err(Failure { retry_after: Some(Duration::from_secs(86_400)), ..failure })
        })
        .await;
    assert_eq!(result.unwrap_err().kind, TargetErrorKind::Throttled);
    assert!(begun.elapsed() < Duration::from_secs(5));
}

#[tokio::test]
async fn no_second_sees_more_than_one_request_above_the_rate() {
    let pacer = quick(40);
    let sent = Mutex::new(Vec::new());
    let calls = (0..60).map(|_| {
        pacer.call("A", Repeat::Read, || {
            sent.lock().unwrap().push(Instant::now());
            async { Ok(()) }
        })
    });
    futures::future::try_join_all(calls).await.unwrap();
    let sent = sent.into_inner().unwrap();
    // Timers may fire late but never early: a window of 1 s less a timer's grain is on the safe side.
    for window in sent.windows(42) {
        let took = window[41] - window[0];
        assert!(took >= Duration::from_millis(950), "42 requests in {took:?}");
    }
}

#[test]
fn pauses_grow_and_stay_in_bounds() {
    let pacer = Pacer::new(Pacing::new(18));
    let failure = Failure::new(Effect::Unknown, "X", "x");
    for attempt in 1..=40 {
        let bound = Duration::from_millis(250 * (1 << (attempt - 1).min(10))).min(Duration::from_secs(20));
        assert!(pacer.pause_after(&failure, attempt) <= bound, "{attempt}");
    }
}

const SECOND: Duration = Duration::from_secs(1);

/// Needs 22 s of the lease for each attempt.
fn under(lease: &LeaseDeadline) -> Pacer {
    let pacing = Pacing { attempt_timeout: 20 * SECOND, first_pause: SECOND, ..Pacing::new(10_000) };
    Pacer::new(Pacing { gate: Gate::Lease(lease.clone()), ..pacing })
}

fn lease_of(seconds: u32) -> LeaseDeadline {
    LeaseDeadline::new(Instant::now() + seconds * SECOND)
}

/// Renews as a keeper does: to so many seconds from then.
async fn renewed(lease: &LeaseDeadline, after: u32, seconds: u32) {
    tokio::time::sleep(after * SECOND).await;
    lease.extend(Instant::now() + seconds * SECOND);
}

async fn sent(pacer: &Pacer) -> Result<Duration, TargetError> {
    let begun = Instant::now();
    pacer.call("Test", Repeat::Read, || async { Ok(begun.elapsed()) }).await
}

#[tokio::test(start_paused = true)]
async fn nothing_is_sent_that_might_outlive_the_lease() {
    let lease = lease_of(45);
    let pacer = under(&lease);
    assert_eq!(sent(&pacer).await.unwrap(), Duration::ZERO);
    tokio::time::advance(23 * SECOND).await;
    assert_eq!(sent(&pacer).await.unwrap(), Duration::ZERO, "22 s are left, which is just enough");
    tokio::time::advance(SECOND).await;

    let begun = Instant::now();
    for repeat in [Repeat::Read, Repeat::Write, Repeat::Create] {
        let tried: Result<(), _> = pacer.call("Test", repeat, || async { panic!("sent") }).await;
        let error = tried.unwrap_err();
        assert_eq!((error.kind, error.code.as_str()), (TargetErrorKind::Unavailable, "LeaseEnding"));
    }
    assert_eq!(begun.elapsed(), 21 * SECOND, "a renewal was waited for until the end, once");
    assert_eq!(pacer.usage(), Usage { requests: 2, ..Usage::default() });
}

#[tokio::test(start_paused = true)]
async fn the_gate_opens_when_the_lease_is_renewed_and_not_before() {
    let lease = lease_of(20);
    let pacer = under(&lease);
    let renewals = async {
        renewed(&lease, 3, 21).await;
        renewed(&lease, 4, 45).await;
    };
    let (first, second, ()) = tokio::join!(sent(&pacer), sent(&pacer), renewals);
    assert_eq!((first.unwrap(), second.unwrap()), (7 * SECOND, 7 * SECOND));
}

#[tokio::test(start_paused = true)]
async fn the_gate_closes_at_once_when_the_lease_is_lost() {
    let lease = lease_of(45);
    let pacer = under(&lease);
    sent(&pacer).await.unwrap();
    lease.end();
    let begun = Instant::now();
    assert_eq!(sent(&pacer).await.unwrap_err().code, "LeaseEnding");
    assert_eq!(begun.elapsed(), Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn what_is_in_hand_when_the_lease_ends_is_dropped() {
    for repeat in [Repeat::Create, Repeat::Write] {
        let lease = lease_of(45);
        let pacer = under(&lease);
        let lost = async {
            tokio::time::sleep(SECOND).await;
            lease.end();
        };
        let late = AtomicU64::new(0);
        let send = || async {
            tokio::time::sleep(5 * SECOND).await;
            late.fetch_add(1, Relaxed);
            Ok(())
        };
        let (result, ()) = tokio::join!(pacer.call("Test", repeat, send), lost);
        let error = result.unwrap_err();
        assert_eq!((error.kind, error.code.as_str()), (TargetErrorKind::Ambiguous, "LeaseEnding"));
        assert_eq!(late.load(Relaxed), 0, "it went on");
    }
}

#[tokio::test(start_paused = true)]
async fn a_second_attempt_does_not_slip_through() {
    for (effect, kind) in
        [(Effect::Throttled, TargetErrorKind::Unavailable), (Effect::Unknown, TargetErrorKind::Ambiguous)]
    {
        let lease = lease_of(30);
        let pacer = under(&lease);
        let tries = AtomicU64::new(0);
        let result: Result<(), _> = pacer
            .call("Test", Repeat::Write, || async {
                tries.fetch_add(1, Relaxed);
                tokio::time::sleep(10 * SECOND).await;
                Err(Failure::new(effect, "X", "x"))
            })
            .await;
        let error = result.unwrap_err();
        assert_eq!((error.kind, error.code.as_str()), (kind, "LeaseEnding"), "{effect:?}");
        assert_eq!(tries.into_inner(), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn a_service_that_nobody_has_reached_is_soon_given_up() {
    use Effect::{Throttled, Unsent};
    let pacer = Pacer::new(Pacing::new(10_000));
    let unreachable = (3, Some(TargetErrorKind::Unavailable));
    assert_eq!(outcome(&pacer, Repeat::Read, &[Unsent; 20]).await, unreachable);
    // An answer of any kind shows that it is there: what fails then is waited for.
    assert_eq!(outcome(&pacer, Repeat::Read, &[Throttled, Unsent, Unsent, Unsent]).await, (5, None));
    let gone = (8, Some(TargetErrorKind::Unavailable));
    assert_eq!(outcome(&pacer, Repeat::Read, &[Unsent; 20]).await, gone);
}

#[tokio::test]
async fn an_absurd_wait_is_no_reason_to_fall_over() {
    let pacer = quick(10_000);
    let asked = Failure {
        retry_after: Some(Duration::from_secs(u64::MAX)),
        ..Failure::new(Effect::Unknown, "HTTP503", "later")
    };
    let result: Result<(), _> = pacer
        .call("A", Repeat::Read, || {
            let asked = asked.clone();
            async move { Err(asked) }
        })
        .await;
    assert_eq!(result.unwrap_err().code, "HTTP503");
}
