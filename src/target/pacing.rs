//! When a request may be sent, and which requests are sent again.
//!
//! Every attempt of every call waits for its turn ([`turns`](super::turns)), first ones and repeated ones alike, and one
//! pause holds back all callers as soon as any of them was throttled: the quota belongs to the whole account. Behind it
//! stands the gate: no attempt is begun that might outlive the lease under which it is made.

use std::fmt;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::task::Poll;
use std::time::Duration;

use tokio::time::Instant;
use tracing::debug;
use uuid::Uuid;

use super::turns::Turns;
use super::{TargetError, TargetErrorKind, Usage};
use crate::deadline::LeaseDeadline;

/// What of the lease must be left beyond the longest time that an attempt may take.
const MARGIN: Duration = Duration::from_secs(2);

/// So many attempts are enough to know a service that nobody has reached yet: a wrong address, no network.
const UNREACHED_ATTEMPTS: u32 = 3;

/// Under what requests are sent. A lease cannot recall a request, so none is begun shortly before it ends.
#[derive(Clone, Debug, Default)]
pub enum Gate {
    /// No lease: of dry runs and checks, which write nothing.
    #[default]
    Open,
    Lease(LeaseDeadline),
}

/// How fast, how often, how long and under which lease requests are tried.
#[derive(Clone, Debug)]
pub struct Pacing {
    /// For all attempts of all calls together; 0 is taken as 1.
    pub requests_per_second: u32,
    /// Of one call, the first included.
    pub attempts: u32,
    /// The longest pause before the second attempt; doubled for each one after it.
    pub first_pause: Duration,
    pub longest_pause: Duration,
    /// From the first attempt of a call until the last one may begin.
    pub total: Duration,
    pub connect_timeout: Duration,
    /// For one attempt, connecting included.
    pub attempt_timeout: Duration,
    pub gate: Gate,
}

impl Pacing {
    pub fn new(requests_per_second: u32) -> Self {
        Self {
            requests_per_second,
            attempts: 8,
            first_pause: Duration::from_millis(250),
            longest_pause: Duration::from_secs(20),
            total: Duration::from_secs(120),
            connect_timeout: Duration::from_secs(5),
            // Short against a lease: requests go on while renewals fail for a while.
            attempt_timeout: Duration::from_secs(20),
            gate: Gate::Open,
        }
    }

    /// The usual bounds, under a lease or none.
    pub(super) fn under(gate: &Gate, requests_per_second: u32) -> Self {
        Self { gate: gate.clone(), ..Self::new(requests_per_second) }
    }
}

const LONGEST_ASKED: Duration = Duration::from_secs(24 * 60 * 60);

const LEASE_ENDING: &str = "LeaseEnding";
const LEASE_ENDING_MESSAGE: &str = "not sent: the lease of this run is over or about to end, and was not renewed. The \
    state database did not answer in time, or another run has taken over; the next cycle goes on from here";

/// What it means to send a request twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Repeat {
    Read,
    /// A write with the same effect however often it is done: an update, a delete, a membership.
    Write,
    /// A write that would be done twice: never repeated once it may have been received.
    Create,
}

/// What is known of a request that brought no result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Effect {
    /// Refused for a reason that will not go away by asking again.
    Refused(TargetErrorKind),
    /// Refused because of the rate.
    Throttled,
    /// Refused because somebody else was changing the same thing at that moment.
    Contended,
    /// Never left: no connection, no credentials yet.
    Unsent,
    /// Sent, and no clear answer came: a time-out, a cut connection, an internal error of the service.
    Unknown,
}

/// One attempt that brought no result.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Failure {
    pub effect: Effect,
    pub code: String,
    pub message: String,
    /// What the service asked for.
    pub retry_after: Option<Duration>,
}

impl Failure {
    pub(super) fn new(effect: Effect, code: impl Into<String>, message: impl Into<String>) -> Self {
        Self { effect, code: code.into(), message: message.into(), retry_after: None }
    }

    fn may_repeat(&self, repeat: Repeat) -> bool {
        match self.effect {
            Effect::Refused(_) => false,
            Effect::Throttled | Effect::Contended | Effect::Unsent => true,
            Effect::Unknown => repeat != Repeat::Create,
        }
    }

    /// `unknown_before`: an earlier attempt of the same call may have had its effect.
    fn into_error(self, repeat: Repeat, unknown_before: bool) -> TargetError {
        let of_the_caller = |kind| {
            use TargetErrorKind::{AccessDenied, Quota, Unavailable};
            matches!(kind, AccessDenied | Quota | Unavailable)
        };
        let kind = match self.effect {
            // It says nothing of the attempt before it.
            Effect::Refused(kind) if unknown_before && repeat != Repeat::Read && of_the_caller(kind) => {
                TargetErrorKind::Ambiguous
            }
            Effect::Refused(kind) => kind,
            Effect::Unknown if repeat == Repeat::Read => TargetErrorKind::Unavailable,
            Effect::Unknown => TargetErrorKind::Ambiguous,
            _ if unknown_before && repeat != Repeat::Read => TargetErrorKind::Ambiguous,
            Effect::Throttled => TargetErrorKind::Throttled,
            Effect::Contended | Effect::Unsent => TargetErrorKind::Unavailable,
        };
        TargetError { kind, code: self.code, message: self.message }
    }
}

pub(super) struct Pacer {
    pacing: Pacing,
    turns: Turns,
    requests: AtomicU64,
    writes: AtomicU64,
    throttled: AtomicU64,
    retried: AtomicU64,
    /// Some request has left this machine.
    reached: AtomicBool,
}

impl Pacer {
    pub(super) fn new(pacing: Pacing) -> Self {
        Self {
            turns: Turns::new(pacing.requests_per_second),
            pacing,
            requests: AtomicU64::new(0),
            writes: AtomicU64::new(0),
            throttled: AtomicU64::new(0),
            retried: AtomicU64::new(0),
            reached: AtomicBool::new(false),
        }
    }

    pub(super) fn usage(&self) -> Usage {
        Usage {
            requests: self.requests.load(Relaxed),
            writes: self.writes.load(Relaxed),
            throttled: self.throttled.load(Relaxed),
            retried: self.retried.load(Relaxed),
            slowed: self.turns.slowed(),
        }
    }

    /// Sends until there is a result, a refusal, or no patience left. `operation` is the API's name of it.
    pub(super) async fn call<T, F, Fut>(
        &self,
        operation: &'static str,
        repeat: Repeat,
        send: F,
    ) -> Result<T, TargetError>
    where
        F: Fn() -> Fut + Send,
        Fut: Future<Output = Result<T, Failure>> + Send,
    {
        let mut begun = None;
        let mut unknown_before = false;
        let mut attempt = 0;
        loop {
            attempt += 1;
            if let Err(closed) = self.admit().await {
                debug!(operation, attempt, code = closed.code, "request not begun");
                return Err(closed.into_error(repeat, unknown_before));
            }
            let sent_at = Instant::now();
            let begun = *begun.get_or_insert(sent_at);
            debug!(operation, attempt, "request");
            let answer = self.while_it_lasts(Box::pin(send())).await;
            let sent = !matches!(&answer, Err(failure) if failure.effect == Effect::Unsent);
            self.count(repeat, attempt, sent);
            let failure = match answer {
                Ok(result) => return Ok(result),
                Err(failure) => failure,
            };

            let pause = self.pause_after(&failure, attempt);
            if failure.effect == Effect::Throttled {
                self.throttled.fetch_add(1, Relaxed);
                self.turns.throttled(sent_at, pause.min(self.pacing.total));
            }
            let again = failure.may_repeat(repeat)
                && attempt < self.attempts()
                && begun.elapsed() + pause <= self.pacing.total;
            // The service's message may name a person: only the code is logged here.
            debug!(operation, attempt, code = failure.code, again, ?pause, "request failed");
            if !again {
                return Err(failure.into_error(repeat, unknown_before));
            }
            unknown_before |= failure.effect == Effect::Unknown;
            tokio::time::sleep(pause).await;
        }
    }

    /// Waits for a turn, and until the lease lasts longer than the request can take.
    async fn admit(&self) -> Result<(), Failure> {
        loop {
            if let Gate::Lease(lease) = &self.pacing.gate
                && lease.is_over()
            {
                return Err(Failure::new(Effect::Unsent, LEASE_ENDING, LEASE_ENDING_MESSAGE));
            }
            self.turns.take().await;
            let Gate::Lease(lease) = &self.pacing.gate else { return Ok(()) };
            let needed = self.pacing.attempt_timeout + MARGIN;
            if lease.remaining() >= needed {
                return Ok(());
            }
            if !lease.reserve(needed).await {
                return Err(Failure::new(Effect::Unsent, LEASE_ENDING, LEASE_ENDING_MESSAGE));
            }
            // Renewed. All who waited for that would go at once: each waits for its turn again.
        }
    }

    /// The lease is looked at before each turn of a request: a process that stood still for too long wakes with requests in
    /// its hands that it may not send any more.
    async fn while_it_lasts<T, Fut>(&self, mut send: Pin<Box<Fut>>) -> Result<T, Failure>
    where
        Fut: Future<Output = Result<T, Failure>>,
    {
        let Gate::Lease(lease) = &self.pacing.gate else { return send.await };
        poll_fn(|context| {
            if lease.is_over() {
                let failure = Failure::new(Effect::Unknown, LEASE_ENDING, LEASE_ENDING_MESSAGE);
                return Poll::Ready(Err(failure));
            }
            send.as_mut().poll(context)
        })
        .await
    }

    fn attempts(&self) -> u32 {
        let most = self.pacing.attempts;
        if self.reached.load(Relaxed) { most } else { most.min(UNREACHED_ATTEMPTS) }
    }

    fn count(&self, repeat: Repeat, attempt: u32, sent: bool) {
        if sent {
            self.requests.fetch_add(1, Relaxed);
            self.reached.store(true, Relaxed);
        }
        if sent && repeat != Repeat::Read {
            self.writes.fetch_add(1, Relaxed);
        }
        if attempt > 1 {
            self.retried.fetch_add(1, Relaxed);
        }
    }

    /// Exponential backoff with full jitter; what the service asked for comes before it.
    fn pause_after(&self, failure: &Failure, attempt: u32) -> Duration {
        let doubled =
            self.pacing.first_pause.saturating_mul(1_u32.checked_shl(attempt - 1).unwrap_or(u32::MAX));
        match failure.retry_after {
            // Longer than any call waits; and of an absurd number nothing can be added up.
            Some(asked) => asked.min(LONGEST_ASKED) + self.pacing.first_pause.mul_f64(fraction()),
            None => doubled.min(self.pacing.longest_pause).mul_f64(fraction()),
        }
    }
}

impl fmt::Debug for Pacer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pacer")
            .field("pacing", &self.pacing)
            .field("usage", &self.usage())
            .finish_non_exhaustive()
    }
}

/// Evenly spread over 0 to 1. The first four bytes of a version 4 UUID are random.
fn fraction() -> f64 {
    let (random, ..) = Uuid::new_v4().as_fields();
    f64::from(random) / f64::from(u32::MAX)
}

#[cfg(test)]
mod tests;
