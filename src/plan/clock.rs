//! Whether the clock can be trusted. Pure: what other clocks say is an argument.

use std::fmt;

use jiff::{SignedDuration, Timestamp};

/// Behind the last recorded cycle by more than this: the clock was set back.
const BEHIND: SignedDuration = SignedDuration::from_mins(5);
/// Off from another clock by more than this, in seconds.
const OFF: i64 = 3600;

/// Why steps that rest on elapsed time wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Distrust {
    /// This machine's clock is behind the last recorded cycle.
    Behind { last: Timestamp, now: Timestamp },
    /// It differs from another clock.
    Off { whose: &'static str, ahead: i64 },
}

impl fmt::Display for Distrust {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Behind { last, now } => {
                write!(f, "the clock says {now}, which is before the last cycle ({last})")
            }
            Self::Off { whose, ahead } => {
                let (by, way) = (ahead.abs() / 60, if *ahead > 0 { "ahead of" } else { "behind" });
                write!(f, "the clock of the {whose} is {by} minutes {way} this machine's")
            }
        }
    }
}

/// `others`: whose clock, and by how many seconds it is ahead of this machine's; the first that is known decides.
pub fn distrust(
    now: Timestamp,
    last_cycle: Option<Timestamp>,
    others: &[(&'static str, Option<i64>)],
) -> Option<Distrust> {
    if let Some(last) = last_cycle.filter(|last| last.duration_since(now) > BEHIND) {
        return Some(Distrust::Behind { last, now });
    }
    let (whose, ahead) = others.iter().find_map(|(whose, ahead)| ahead.map(|a| (*whose, a)))?;
    (ahead.abs() > OFF).then_some(Distrust::Off { whose, ahead })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        format!("2026-11-03T{text}Z").parse().unwrap()
    }

    #[test]
    fn five_minutes_behind_the_last_cycle_are_too_many() {
        assert_eq!(distrust(at("12:00:00"), Some(at("12:05:00")), &[]), None);
        let last = at("12:05:01");
        assert_eq!(
            distrust(at("12:00:00"), Some(last), &[]),
            Some(Distrust::Behind { last, now: at("12:00:00") })
        );
        assert_eq!(distrust(at("12:00:00"), Some(at("01:00:00")), &[]), None);
    }

    #[test]
    fn an_hour_from_the_first_known_clock_is_too_much() {
        let now = at("12:00:00");
        let of = |directory, target| distrust(now, None, &[("directory", directory), ("target", target)]);
        assert_eq!(of(Some(3600), Some(9999)), None, "the directory's clock decides");
        assert_eq!(of(Some(-3601), None), Some(Distrust::Off { whose: "directory", ahead: -3601 }));
        assert_eq!(of(None, Some(3601)), Some(Distrust::Off { whose: "target", ahead: 3601 }));
        assert_eq!(of(None, None), None);
    }
}
