//! When a run begins: by what is known, and nothing else.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use crate::schedule::{Due, Schedule};

/// Why a run begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// By the schedule; so many slots before this one went by without a run.
    Due { missed: u32 },
    /// Somebody asked for it.
    Asked,
    /// The directory has changed, and changes are followed.
    Changed,
    /// The last cycle ended without a word, and nobody is at work on it any more.
    Interrupted,
    /// The last run failed, and it is time to try again.
    Again,
    /// The last run has done something, and left nothing to rest on: one that finds nothing left to do does.
    ToRest,
}

impl Why {
    pub fn word(self) -> &'static str {
        match self {
            Self::Due { .. } => "due",
            Self::Asked => "asked for",
            Self::Changed => "the directory has changed",
            Self::Interrupted => "the last one was interrupted",
            Self::Again => "the last one failed",
            Self::ToRest => "the last one has done something",
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    Run(Why),
    Wait(Timestamp),
}

/// What a decision rests on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Facts {
    /// When the last cycle of the profile began, in whatever process.
    pub last_begun: Option<Timestamp>,
    /// It has no end, and its holder's lease has run out.
    pub interrupted: bool,
    /// When this process last tried.
    pub last_try: Option<Timestamp>,
    /// Before then this process does not try again, unless it is asked to or the next slot comes.
    pub not_before: Option<Timestamp>,
    /// The last try failed for want of something that may come back.
    pub failed: bool,
    /// Another process was at work; until then it is left alone.
    pub busy_until: Option<Timestamp>,
    pub asked: bool,
    pub changed: bool,
    /// Changes are followed, and the last run left nothing for the next one to rest on, as another one would.
    pub restless: bool,
    /// The last run failed for what only a person can mend: changes are not followed until the schedule, or somebody,
    /// has a run that does not. Each try with a wrong password counts towards a lockout.
    pub barred: bool,
    pub paused: bool,
}

pub fn decide(schedule: &Schedule, facts: &Facts, now: Timestamp) -> Decision {
    // A time that lies ahead was written by a clock that was wrong, or is now.
    let believed = |at: &Timestamp| at.duration_since(now) <= CLOCK_TOLERANCE;
    let ahead = |at: Option<Timestamp>| at.filter(|at| *at > now).filter(believed);
    if let Some(at) = ahead(facts.busy_until) {
        return Decision::Wait(at);
    }
    if facts.asked {
        return Decision::Run(Why::Asked);
    }
    let resting = ahead(facts.not_before);
    // A paused profile is looked at by the schedule alone: nothing else is to be done for it.
    if facts.interrupted && !facts.paused && resting.is_none() {
        return Decision::Run(Why::Interrupted);
    }
    if facts.changed && !facts.paused && !facts.barred && resting.is_none() {
        return Decision::Run(Why::Changed);
    }
    if facts.restless && !facts.paused && !facts.barred && resting.is_none() {
        return Decision::Run(Why::ToRest);
    }
    let last = [facts.last_begun, facts.last_try].into_iter().flatten().filter(believed).max();
    match schedule.due(last, now) {
        Due::Now { missed, .. } => Decision::Run(Why::Due { missed }),
        Due::At(_) if facts.failed && !facts.paused && resting.is_none() => Decision::Run(Why::Again),
        Due::At(at) => Decision::Wait(resting.map_or(at, |resting| resting.min(at))),
    }
}

/// So far ahead a time may lie: for the clocks of two machines, and the longest pause.
const CLOCK_TOLERANCE: SignedDuration = SignedDuration::from_mins(5);

/// The pause after the `failures`-th failure in a row: 15 s, doubled up to five minutes.
pub fn backoff(failures: u32) -> SignedDuration {
    const FIRST: Duration = Duration::from_secs(15);
    const LONGEST: Duration = Duration::from_secs(300);
    let pause = FIRST.saturating_mul(1 << failures.saturating_sub(1).min(8)).min(LONGEST);
    SignedDuration::try_from(pause).unwrap_or(SignedDuration::from_secs(300))
}

#[cfg(test)]
mod tests {
    use jiff::tz::TimeZone;

    use super::*;

    fn hourly() -> Schedule {
        Schedule::new("0 * * * *", TimeZone::UTC, SignedDuration::ZERO, "corp").unwrap()
    }

    fn at(time: &str) -> Timestamp {
        format!("2026-11-03T{time}Z").parse().unwrap()
    }

    fn begun(time: &str) -> Facts {
        Facts { last_begun: Some(at(time)), ..Facts::default() }
    }

    fn decided(facts: Facts, now: &str) -> Decision {
        decide(&hourly(), &facts, at(now))
    }

    #[test]
    fn a_run_is_due_once_a_slot() {
        assert_eq!(decided(Facts::default(), "10:20:00"), Decision::Run(Why::Due { missed: 0 }));
        assert_eq!(decided(begun("10:20:00"), "10:59:59"), Decision::Wait(at("11:00:00")));
        assert_eq!(decided(begun("10:20:00"), "11:00:00"), Decision::Run(Why::Due { missed: 0 }));
        assert_eq!(decided(begun("11:00:00"), "11:00:01"), Decision::Wait(at("12:00:00")));
        assert_eq!(decided(begun("07:00:00"), "11:30:00"), Decision::Run(Why::Due { missed: 3 }));
    }

    #[test]
    fn a_try_that_left_no_cycle_counts_too() {
        // As while the profile is paused.
        let facts = Facts { last_try: Some(at("11:00:00")), ..begun("10:00:00") };
        assert_eq!(decided(facts, "11:00:01"), Decision::Wait(at("12:00:00")));
    }

    #[test]
    fn what_failed_is_tried_again_before_the_next_slot() {
        let failed = Facts { failed: true, not_before: Some(at("10:00:15")), ..begun("10:00:00") };
        assert_eq!(decided(failed, "10:00:14"), Decision::Wait(at("10:00:15")));
        assert_eq!(decided(failed, "10:00:15"), Decision::Run(Why::Again));
        let late = Facts { not_before: Some(at("11:04:00")), ..failed };
        assert_eq!(decided(late, "10:59:00"), Decision::Wait(at("11:00:00")));
        assert_eq!(decided(late, "11:00:00"), Decision::Run(Why::Due { missed: 0 }));
    }

    #[test]
    fn whoever_was_interrupted_is_followed_at_once() {
        let facts = Facts { interrupted: true, ..begun("10:00:00") };
        assert_eq!(decided(facts, "10:00:50"), Decision::Run(Why::Interrupted));
        let failed = Facts { failed: true, not_before: Some(at("10:01:05")), ..facts };
        assert_eq!(decided(failed, "10:00:51"), Decision::Wait(at("10:01:05")));
    }

    #[test]
    fn while_another_is_at_work_nothing_is_tried() {
        let facts = Facts { busy_until: Some(at("11:00:15")), ..begun("10:00:00") };
        assert_eq!(decided(facts, "11:00:14"), Decision::Wait(at("11:00:15")));
        assert_eq!(decided(facts, "11:00:15"), Decision::Run(Why::Due { missed: 0 }));
        assert_eq!(decided(Facts { asked: true, ..facts }, "11:00:01"), Decision::Wait(at("11:00:15")));
        assert_eq!(decided(Facts { asked: true, ..facts }, "11:00:15"), Decision::Run(Why::Asked));
    }

    #[test]
    fn a_clock_that_was_set_back_does_not_stop_everything() {
        assert_eq!(decided(begun("23:00:00"), "10:00:00"), Decision::Run(Why::Due { missed: 0 }));
        let paused = Facts { last_try: Some(at("10:00:00")), ..begun("23:00:00") };
        assert_eq!(decided(paused, "10:00:01"), Decision::Wait(at("11:00:00")));
    }

    #[test]
    fn a_paused_profile_is_looked_at_by_the_schedule_alone() {
        let facts = Facts { interrupted: true, failed: true, paused: true, ..begun("10:00:00") };
        assert_eq!(decided(facts, "10:00:01"), Decision::Wait(at("11:00:00")));
        assert_eq!(decided(facts, "11:00:00"), Decision::Run(Why::Due { missed: 0 }));
    }

    #[test]
    fn a_change_is_followed_at_once_but_not_while_paused_or_after_a_failure() {
        let facts = Facts { changed: true, ..begun("10:00:00") };
        assert_eq!(decided(facts, "10:00:03"), Decision::Run(Why::Changed));
        assert_eq!(decided(Facts { paused: true, ..facts }, "10:00:03"), Decision::Wait(at("11:00:00")));
        let resting = Facts { failed: true, not_before: Some(at("10:00:15")), ..facts };
        assert_eq!(decided(resting, "10:00:03"), Decision::Wait(at("10:00:15")));
        assert_eq!(decided(resting, "10:00:15"), Decision::Run(Why::Changed));
        let busy = Facts { busy_until: Some(at("10:00:15")), ..facts };
        assert_eq!(decided(busy, "10:00:03"), Decision::Wait(at("10:00:15")));
        assert_eq!(decided(Facts { barred: true, ..facts }, "10:00:03"), Decision::Wait(at("11:00:00")));
    }

    #[test]
    fn what_did_something_is_followed_by_one_to_rest_on() {
        let facts = Facts { restless: true, ..begun("10:00:00") };
        assert_eq!(decided(facts, "10:00:05"), Decision::Run(Why::ToRest));
        for waits in [Facts { paused: true, ..facts }, Facts { barred: true, ..facts }] {
            assert!(matches!(decided(waits, "10:00:05"), Decision::Wait(_)));
        }
        assert_eq!(decided(Facts { changed: true, ..facts }, "10:00:05"), Decision::Run(Why::Changed));
    }

    #[test]
    fn a_clock_that_was_set_back_makes_no_pause_longer() {
        let busy = Facts { busy_until: Some(at("13:00:00")), ..begun("10:00:00") };
        assert_eq!(decided(busy, "10:00:01"), Decision::Wait(at("11:00:00")));
        let failed = Facts { failed: true, not_before: Some(at("13:00:00")), ..begun("10:00:00") };
        assert_eq!(decided(failed, "10:00:01"), Decision::Run(Why::Again));
    }

    #[test]
    fn pauses_grow_and_end() {
        let seconds: Vec<i64> = (1..8).map(|n| backoff(n).as_secs()).collect();
        assert_eq!(seconds, [15, 30, 60, 120, 240, 300, 300]);
        assert_eq!(backoff(u32::MAX).as_secs(), 300);
    }
}
