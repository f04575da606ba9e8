//! Whose turn it is to send: turns are given one by one, evenly spaced, and further apart for a while after the service
//! has said that it was too fast.
//!
//! The quota is that of the account and shared with everybody else who uses it (the page "AWS IAM Identity Center
//! quotas" of the user guide: 20 requests a second, counted for the Identity Store APIs together and for SCIM). What is
//! left of it can only be found out by trying. So: additive increase, multiplicative decrease, as TCP shares a line.
//! After a throttled answer the rate falls to seven tenths, at most once for all that was under way together; then it
//! climbs by a fortieth of the allowed rate a second. It is never above the allowed rate, and never below a twentieth
//! of it or one a second: whoever uses the rest of the quota does not shut us out.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::{Instant, sleep_until};

/// What is left of the rate after a throttled answer.
const DECREASE: f64 = 0.7;

/// Parts of the allowed rate by which the rate climbs in a second.
const INCREASE: f64 = 1.0 / 40.0;

/// Parts of the allowed rate that are always tried.
const FLOOR: f64 = 1.0 / 20.0;

/// Timers are no finer than a millisecond. So much lateness is made up for where turns are closer together than that (a
/// stand-in without limits).
const GRAIN: Duration = Duration::from_millis(5);

pub(super) struct Turns {
    allowed: f64,
    floor: f64,
    /// When the next turn is. Whoever holds it waits for that moment, all others wait for it in the order in which they
    /// came.
    next: tokio::sync::Mutex<Instant>,
    pace: Mutex<Pace>,
}

#[derive(Clone, Copy)]
struct Pace {
    /// Requests a second, as of `since`.
    rate: f64,
    since: Instant,
    /// Nothing is sent before this.
    resume: Instant,
    /// What was sent before this tells nothing new by being throttled.
    lowered: Option<Instant>,
    slowed: u64,
}

impl Turns {
    /// `requests_per_second`: 0 is taken as 1.
    pub fn new(requests_per_second: u32) -> Self {
        let allowed = f64::from(requests_per_second.max(1));
        let now = Instant::now();
        let pace = Pace { rate: allowed, since: now, resume: now, lowered: None, slowed: 0 };
        Self {
            allowed,
            floor: (allowed * FLOOR).max(1.0),
            next: tokio::sync::Mutex::new(now),
            pace: Mutex::new(pace),
        }
    }

    /// Waits for a turn and takes it. Whoever gives up waiting has taken none.
    ///
    /// A turn that comes late (timers do, and a machine that is busy) leaves the next one where it was, so that
    /// lateness costs nothing of the rate; but no more than one turn is made up for. So any one second sees at most two
    /// requests more than the rate.
    pub async fn take(&self) {
        let mut next = self.next.lock().await;
        loop {
            let at = self.resume().max(*next);
            // Somebody may be throttled while this one waits.
            if at <= Instant::now() {
                break;
            }
            sleep_until(at).await;
        }
        let now = Instant::now();
        let apart = Duration::from_secs_f64(1.0 / self.rate(now));
        let earliest = now.checked_sub(apart.max(GRAIN)).unwrap_or(now);
        *next = earliest.max(*next) + apart;
    }

    /// Something that was sent at `sent` was throttled: nobody sends anything for `pause`, and then slower.
    pub fn throttled(&self, sent: Instant, pause: Duration) {
        let now = Instant::now();
        let mut pace = self.pace();
        pace.resume = pace.resume.max(now + pause);
        if pace.lowered.is_some_and(|lowered| sent < lowered) {
            return;
        }
        pace.rate = (self.climbed(&pace, now) * DECREASE).max(self.floor);
        pace.since = pace.resume;
        pace.lowered = Some(now);
        pace.slowed += 1;
    }

    /// How often the rate was lowered.
    pub fn slowed(&self) -> u64 {
        self.pace().slowed
    }

    pub fn resume(&self) -> Instant {
        self.pace().resume
    }

    /// Requests a second that are tried at this moment.
    pub fn rate(&self, now: Instant) -> f64 {
        self.climbed(&self.pace(), now)
    }

    fn climbed(&self, pace: &Pace, now: Instant) -> f64 {
        let seconds = now.saturating_duration_since(pace.since).as_secs_f64();
        (pace.rate + seconds * self.allowed * INCREASE).min(self.allowed)
    }

    /// A panic elsewhere leaves it whole.
    fn pace(&self) -> MutexGuard<'_, Pace> {
        self.pace.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
#[cfg(feature = "sandbox")]
mod tests;
