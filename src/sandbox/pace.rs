//! How fast the sandbox is: the rate limit over all callers, those among them that are only pretended, and the latency
//! of each answer.

use std::fmt;
use std::str::FromStr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use super::fault::mix;

/// Other callers of the same account, who use the quota too: `RATE` requests a second, from the start to the end; or
/// `RATE@FROM+FOR`, from the second FROM of the sandbox on, for FOR seconds. They are not there: all that they do is to
/// take tokens, and they do it before anybody else.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Others {
    rate: f64,
    from: Duration,
    until: Option<Duration>,
}

/// The text is no `--others`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "other callers are written RATE or RATE@FROM+FOR, as in 10@30+60: 10 requests a second, from the 30th second on, for 60 seconds"
)]
pub struct OthersError;

impl FromStr for Others {
    type Err = OthersError;

    fn from_str(text: &str) -> Result<Self, OthersError> {
        let number = |text: &str| text.parse().ok().filter(|n| (0.0..=1e9).contains(n)).ok_or(OthersError);
        let seconds = |text: &str| number(text).map(Duration::from_secs_f64);
        let Some((rate, time)) = text.split_once('@') else {
            return Ok(Self { rate: number(text)?, from: Duration::ZERO, until: None });
        };
        let (from, lasts) = time.split_once('+').ok_or(OthersError)?;
        let from = seconds(from)?;
        Ok(Self { rate: number(rate)?, from, until: Some(from + seconds(lasts)?) })
    }
}

impl fmt::Display for Others {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.rate)?;
        match self.until {
            Some(until) => write!(f, "@{}+{}", self.from.as_secs_f64(), (until - self.from).as_secs_f64()),
            None => Ok(()),
        }
    }
}

impl Others {
    fn is_at_it(&self, at: Duration) -> bool {
        self.from <= at && self.until.is_none_or(|until| at < until)
    }
}

/// A token bucket: `rate` requests a second, and as many at once after a second of rest.
#[derive(Debug)]
pub struct Bucket {
    rate: f64,
    tokens: f64,
    begun: Instant,
    filled: Duration,
    others: Vec<Others>,
}

impl Bucket {
    pub fn new(rate: u32, now: Instant) -> Self {
        let rate = f64::from(rate.max(1));
        Self { rate, tokens: rate, begun: now, filled: Duration::ZERO, others: Vec::new() }
    }

    #[must_use]
    pub fn shared_with(self, others: Vec<Others>) -> Self {
        Self { others, ..self }
    }

    /// Takes a token, or tells after what time there will be one, if others leave any.
    pub fn take(&mut self, now: Instant) -> Result<(), Duration> {
        self.fill(now.saturating_duration_since(self.begun));
        if self.tokens >= 1.0 {
            self.tokens -= 1.0;
            return Ok(());
        }
        Err(Duration::from_secs_f64((1.0 - self.tokens) / self.rate))
    }

    /// Piece by piece: between two of these moments the others do not change.
    fn fill(&mut self, now: Duration) {
        let ends = self.others.iter().flat_map(|o| [Some(o.from), o.until]).flatten();
        let mut moments: Vec<Duration> = ends.filter(|at| *at > self.filled && *at < now).collect();
        moments.push(now);
        moments.sort();
        for at in moments {
            let Some(rest) = at.checked_sub(self.filled) else { continue };
            let taken: f64 = self.others.iter().filter(|o| o.is_at_it(self.filled)).map(|o| o.rate).sum();
            // What others are refused is not owed to them.
            self.tokens = (self.tokens + rest.as_secs_f64() * (self.rate - taken)).clamp(0.0, self.rate);
            self.filled = at;
        }
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
    fn others_take_their_part_while_they_are_there() {
        let start = Instant::now();
        let others = vec!["15@10+20".parse().unwrap()];
        let mut bucket = Bucket::new(20, start).shared_with(others);
        // One try per millisecond.
        let mut passed = |from: u64, until: u64| {
            let at = |ms| start + Duration::from_millis(ms);
            (from * 1000..until * 1000).filter(|ms| bucket.take(at(*ms)).is_ok()).count()
        };
        assert!((219..=221).contains(&passed(0, 10)), "a burst of 20 and 10 s");
        assert!((99..=101).contains(&passed(10, 30)), "5 a second are left");
        assert!((199..=201).contains(&passed(30, 40)), "all of it again");
        // However many they are, they owe nothing afterwards; and a rest over their time counts as what it was.
        let mut bucket = Bucket::new(20, start).shared_with(vec!["1000@0+60".parse().unwrap()]);
        let later = start + Duration::from_millis(60_500);
        assert_eq!((0..100).filter(|_| bucket.take(later).is_ok()).count(), 10);
    }

    #[test]
    fn others_are_written_in_one_of_two_ways() {
        for text in ["10", "0.5", "10@30+60", "2.5@0+1.5"] {
            assert_eq!(text.parse::<Others>().unwrap().to_string(), text);
        }
        for text in ["", "x", "-1", "10@", "10@5", "10@5+", "10@+5", "10@5+x", "NaN", "inf", "1e99"] {
            assert_eq!(text.parse::<Others>(), Err(OthersError), "{text}");
        }
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
