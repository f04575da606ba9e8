//! How fast an apply is, and how long the rest takes at that rate.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::time::Instant;

use crate::model::Progress;
use crate::plan::Sort;

/// The rate is that of so many seconds, the last ones.
const WINDOW: u64 = 60;

/// Nothing is said of the rate before so much time has gone by.
const FIRST: Duration = Duration::from_secs(2);

/// Counts in requests, since steps differ: most are one, some are none, a hundred memberships may be one.
pub struct Meter {
    begun: Instant,
    /// Of steps that are neither settled nor given up.
    pending: u64,
    /// What was settled in each second since `begun`, of the last ones, none empty.
    settled: VecDeque<(u64, u64)>,
}

/// What a step takes where nothing goes wrong. `alone`: memberships go one by one, and have ids of their own, so that
/// one has to be looked up before it is removed; and users are disabled over another door, both of which are asked first.
pub fn requests(sort: Sort, alone: bool) -> u64 {
    match sort {
        Sort::RebindEntry
        | Sort::AdoptUser
        | Sort::AdoptGroup
        | Sort::RevokeUser
        | Sort::ReportUser
        | Sort::RestoreUser => 0,
        Sort::RemoveMember if alone => 2,
        Sort::DisableUser | Sort::EnableUser if alone => 3,
        _ => 1,
    }
}

impl Meter {
    pub fn new(pending: u64) -> Self {
        Self { begun: Instant::now(), pending, settled: VecDeque::new() }
    }

    pub fn settle(&mut self, requests: u64) {
        self.give_up(requests);
        let second = self.begun.elapsed().as_secs();
        match self.settled.back_mut() {
            Some((last, count)) if *last == second => *count += requests,
            _ => self.settled.push_back((second, requests)),
        }
        while self.settled.front().is_some_and(|(at, _)| at + WINDOW < second) {
            self.settled.pop_front();
        }
    }

    /// They will not be sent.
    pub fn give_up(&mut self, requests: u64) {
        self.pending = self.pending.saturating_sub(requests);
    }

    pub fn progress(&self, done: u64, total: u64) -> Progress {
        Progress { done, total, pending: self.pending, per_second: self.per_second() }
    }

    /// `None` while it cannot be told: too little time, or nothing settled in all of the window.
    fn per_second(&self) -> Option<f64> {
        let elapsed = self.begun.elapsed();
        let since = elapsed.as_secs().saturating_sub(WINDOW);
        let settled: u64 = self.settled.iter().filter(|(at, _)| *at >= since).map(|(_, count)| count).sum();
        if elapsed < FIRST || settled == 0 {
            return None;
        }
        let span = elapsed.saturating_sub(Duration::from_secs(since));
        #[expect(clippy::cast_precision_loss, reason = "a rate")]
        Some(settled as f64 / span.as_secs_f64())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn seconds(n: u64) {
        tokio::time::advance(Duration::from_secs(n)).await;
    }

    #[tokio::test(start_paused = true)]
    async fn the_time_left_is_what_is_pending_at_the_rate_of_the_last_minute() {
        let mut meter = Meter::new(3000);
        let left = |meter: &Meter| meter.progress(0, 0).seconds_left();
        assert_eq!(left(&meter), None);
        meter.settle(20);
        assert_eq!(left(&meter), None, "one answer says nothing of the rate");
        for _ in 0..40 {
            seconds(1).await;
            meter.settle(20);
        }
        // 820 in 40 s, which is 20.5 a second.
        assert_eq!((meter.progress(0, 0).pending, left(&meter)), (2180, Some(107)));
        // Slower from now on: after a minute nothing else counts.
        for _ in 0..61 {
            seconds(1).await;
            meter.settle(5);
        }
        let rate = meter.progress(0, 0).per_second.unwrap();
        assert!((5.0..5.2).contains(&rate), "{rate}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_standstill_has_no_end_that_could_be_told() {
        let mut meter = Meter::new(100);
        seconds(10).await;
        meter.settle(50);
        assert_eq!(meter.progress(0, 0).seconds_left(), Some(10));
        seconds(30).await;
        assert_eq!(meter.progress(0, 0).seconds_left(), Some(40), "it gets slower as time goes by");
        seconds(40).await;
        assert_eq!(meter.progress(0, 0).seconds_left(), None);
        meter.give_up(50);
        assert_eq!(meter.progress(0, 0).seconds_left(), Some(0), "nothing is left to be waited for");
    }
}
