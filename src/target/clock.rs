//! How far the target's clock is ahead of this machine's, by the `Date` of its answers.

use std::sync::atomic::{AtomicI64, Ordering::Relaxed};

use jiff::Timestamp;

/// No answer yet.
const UNKNOWN: i64 = i64::MIN;

#[derive(Debug)]
pub(super) struct Clock(AtomicI64);

impl Clock {
    pub(super) fn new() -> Self {
        Self(AtomicI64::new(UNKNOWN))
    }

    /// Takes note of a `Date` header (RFC 9110 section 5.6.7). One that is no date says nothing.
    pub(super) fn see(&self, date: Option<&str>) {
        let Some(there) = date.and_then(|d| jiff::fmt::rfc2822::parse(d.trim()).ok()) else { return };
        self.0.store(there.timestamp().as_second() - Timestamp::now().as_second(), Relaxed);
    }

    /// In seconds, by the last answer.
    pub(super) fn ahead(&self) -> Option<i64> {
        Some(self.0.load(Relaxed)).filter(|seconds| *seconds != UNKNOWN)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_date_counts_and_nonsense_does_not() {
        let clock = Clock::new();
        clock.see(None);
        clock.see(Some("yesterday"));
        assert_eq!(clock.ahead(), None);
        let in_an_hour = Timestamp::now().as_second() + 3600;
        let text =
            Timestamp::from_second(in_an_hour).unwrap().strftime("%a, %d %b %Y %H:%M:%S GMT").to_string();
        clock.see(Some(&text));
        assert!((3595..=3600).contains(&clock.ahead().unwrap()), "{text}: {:?}", clock.ahead());
        clock.see(Some("Sun, 06 Nov 1994 08:49:37 GMT"));
        assert!(clock.ahead().unwrap() < -1_000_000_000);
        clock.see(Some(""));
        assert!(clock.ahead().unwrap() < 0);
    }
}
