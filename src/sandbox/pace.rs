//! How fast the sandbox is: the rate limit over all callers, and the latency of each answer.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use super::fault::mix;

/// A token bucket: `rate` requests a second, and as many at once after a second of rest.
#[derive(Debug)]
pub struct Bucket {
    rate: f64,
    tokens: f64,
    filled: Instant,
}

impl Bucket {
    pub fn new(rate: u32, now: Instant) -> Self {
        let rate = f64::from(rate.max(1));
        Self { rate, tokens: rate, filled: now }
    }

    /// Takes a token, or tells after what time there will be one.
    pub fn take(&mut self, now: Instant) -> Result<(), Duration> {
        let rest = now.saturating_duration_since(self.filled).as_secs_f64();
        self.tokens = (self.tokens + rest * self.rate).min(self.rate);
        self.filled = self.filled.max(now);
        if self.tokens >= 1.0 {
            self.tokens -= 1.0;
            return Ok(());
        }
        Err(Duration::from_secs_f64((1.0 - self.tokens) / self.rate))
    }
}

/// A fixed delay, and up to `jitter` more, chosen anew for each answer from a seed.
#[derive(Debug)]
pub struct Latency {
    fixed: Duration,
    jitter: Duration,
    seed: u64,
    calls: AtomicU64,
}

impl Latency {
    pub fn new(fixed: Duration, jitter: Duration, seed: u64) -> Self {
        Self { fixed, jitter, seed, calls: AtomicU64::new(0) }
    }

    /// The delay of the next answer.
    pub fn next(&self) -> Duration {
        if self.jitter.is_zero() {
            return self.fixed;
        }
        let call = self.calls.fetch_add(1, Ordering::Relaxed);
        let part = (mix(self.seed ^ call) >> 11) as f64 / (1_u64 << 53) as f64;
        self.fixed + self.jitter.mul_f64(part)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_lets_a_burst_through_and_then_the_rate() {
        let start = Instant::now();
        let mut bucket = Bucket::new(20, start);
        let burst = (0..100).filter(|_| bucket.take(start).is_ok()).count();
        assert_eq!(burst, 20);
        let wait = bucket.take(start).unwrap_err();
        assert_eq!(wait, Duration::from_millis(50));
        assert!(bucket.take(start + Duration::from_millis(49)).is_err());
        assert!(bucket.take(start + Duration::from_millis(51)).is_ok());
        // Ten seconds of one try per millisecond.
        let passed =
            (51..10_051).filter(|ms| bucket.take(start + Duration::from_millis(*ms)).is_ok()).count();
        assert!((199..=201).contains(&passed), "{passed}");
        // A long rest gives no more than one second's worth.
        let later = start + Duration::from_secs(3600);
        assert_eq!((0..100).filter(|_| bucket.take(later).is_ok()).count(), 20);
    }

    #[test]
    fn jitter_stays_within_its_bounds() {
        let latency = Latency::new(Duration::from_millis(10), Duration::from_millis(5), 1);
        let delays: Vec<_> = (0..1000).map(|_| latency.next()).collect();
        assert!(delays.iter().all(|d| (10..=15).contains(&d.as_millis())));
        assert!(delays.iter().any(|d| *d < Duration::from_micros(10_500)));
        assert!(delays.iter().any(|d| *d > Duration::from_micros(14_500)));
        let fixed = Latency::new(Duration::from_millis(3), Duration::ZERO, 1);
        assert_eq!(fixed.next(), Duration::from_millis(3));
    }
}
