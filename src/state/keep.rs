//! Keeping a lease while work is done under it.

use std::error::Error as StdError;
use std::time::Duration;

use tracing::{debug, warn};

use super::lease::Lease;
use super::open::State;
use super::{Result, StateError};
use crate::deadline::LeaseDeadline;

/// How often a lease is renewed.
const EVERY: Duration = Duration::from_secs(5);
/// How soon again after a renewal that failed.
const AGAIN: Duration = Duration::from_secs(1);
/// A renewal without an answer is given up after this and tried again, on another connection: a database that was cut
/// off says nothing at all.
const PATIENCE: Duration = Duration::from_secs(4);

/// Renews the lease until it is given back or lost, and calls `lost` then. Failures are borne for as long as the lease
/// lasts without a renewal. For a task of its own, which is aborted when the work is done.
pub async fn keep_lease(state: State, lease: Lease, lost: impl FnOnce()) {
    let renew = || {
        let (state, lease) = (state.clone(), lease.clone());
        async move { state.renew_lease(&lease).await }
    };
    keep(&lease.deadline(), renew).await;
    lost();
}

/// Ends when the lease has.
async fn keep<F>(deadline: &LeaseDeadline, renew: impl Fn() -> F)
where
    F: Future<Output = Result<bool>>,
{
    let mut pause = EVERY;
    loop {
        tokio::time::sleep(pause.min(deadline.remaining())).await;
        let left = deadline.remaining();
        if left.is_zero() {
            warn!("the lease has run out and could not be renewed: nothing more is sent to the target");
            deadline.end();
            return;
        }
        pause = match tokio::time::timeout(left.min(PATIENCE), renew()).await {
            Ok(Ok(true)) => EVERY,
            Ok(Ok(false)) => {
                warn!("the lease was taken over by another run: nothing more is sent to the target");
                deadline.end();
                return;
            }
            Ok(Err(error)) => {
                note(left, &error);
                AGAIN
            }
            Err(_) => {
                warn!(
                    left = left.as_secs(),
                    "the state database does not answer, so the lease was not renewed"
                );
                AGAIN
            }
        };
        debug!(left = deadline.remaining().as_secs(), "lease");
    }
}

fn note(left: Duration, error: &StateError) {
    warn!(
        left = left.as_secs(),
        error = error as &dyn StdError,
        "the lease could not be renewed yet, which is tried again"
    );
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use tokio::time::Instant;

    use super::*;

    const TTL: Duration = Duration::from_secs(45);

    fn unreachable() -> StateError {
        StateError::Silent { place: "postgres://db".to_owned(), seconds: 60 }
    }

    /// What `renew` does at each call: `Some` answers at once, `None` hangs. The last is repeated.
    async fn kept(answers: &[Option<Result<bool, ()>>]) -> (LeaseDeadline, Duration, usize) {
        let begun = Instant::now();
        let deadline = LeaseDeadline::new(begun + TTL);
        let calls = Mutex::new(0);
        let renew = || async {
            let call = {
                let mut calls = calls.lock().unwrap();
                *calls += 1;
                *calls - 1
            };
            match answers.get(call).or(answers.last()).copied().flatten() {
                Some(Ok(ours)) => {
                    deadline.extend(Instant::now() + TTL);
                    Ok(ours)
                }
                Some(Err(())) => Err(unreachable()),
                None => std::future::pending().await,
            }
        };
        keep(&deadline, renew).await;
        (deadline, begun.elapsed(), calls.into_inner().unwrap())
    }

    #[tokio::test(start_paused = true)]
    async fn failures_are_borne_until_the_lease_has_run_out() {
        let (deadline, took, calls) = kept(&[Some(Err(()))]).await;
        assert!(deadline.is_over());
        assert_eq!(took, TTL);
        assert!(calls > 20, "{calls}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_database_that_is_cut_off_does_not_hold_the_keeper_up() {
        let (deadline, took, calls) = kept(&[None]).await;
        assert!(deadline.is_over());
        assert_eq!(took, TTL);
        assert!(calls >= 5, "{calls}: each on another connection");
    }

    #[tokio::test(start_paused = true)]
    async fn one_success_makes_up_for_all_failures_before() {
        let cut = [Some(Err(())), None, Some(Err(())), None, Some(Ok(true)), Some(Ok(true)), Some(Err(()))];
        let (_, took, _) = kept(&cut).await;
        // 5 + 1 + (4 + 1) + 1 + (4 + 1) s until the first success, and 5 s until the second.
        assert_eq!(took, Duration::from_secs(22) + TTL);
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_taken_over_is_over_at_once() {
        let (deadline, took, calls) = kept(&[Some(Ok(true)), Some(Ok(false))]).await;
        assert!(deadline.is_over());
        assert_eq!((took, calls), (EVERY * 2, 2));
    }

    #[tokio::test(start_paused = true)]
    async fn a_lease_that_was_given_back_is_not_renewed() {
        let deadline = LeaseDeadline::new(Instant::now() + TTL);
        deadline.end();
        keep(&deadline, || async { panic!("renewed") }).await;
    }
}
