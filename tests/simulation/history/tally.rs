//! What a history was made of.

use std::collections::BTreeMap;
use std::fmt;

use super::super::hub::{Hidden, Trouble, Weather};

/// What a history was made of.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    pub histories: u64,
    pub cycles: u64,
    pub writes: u64,
    pub crashes: u64,
    pub held: u64,
    /// Cycles that read by changes, and those of them that saw any.
    pub by_changes: (u64, u64),
    /// Cycles that looked at a part of the scope, and those of them that had something to do.
    pub parts: (u64, u64),
    pub faults: BTreeMap<&'static str, u64>,
    /// All that happened, where it was to be told.
    pub trace: Vec<String>,
}

impl Tally {
    pub fn add(&mut self, other: &Self) {
        self.histories += 1;
        self.cycles += other.cycles;
        self.writes += other.writes;
        self.crashes += other.crashes;
        self.held += other.held;
        self.by_changes.0 += other.by_changes.0;
        self.by_changes.1 += other.by_changes.1;
        self.parts.0 += other.parts.0;
        self.parts.1 += other.parts.1;
        for (what, count) in &other.faults {
            *self.faults.entry(what).or_default() += count;
        }
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{} histories, {} cycles, {} writes, {} held steps, {} times the process ended in the middle",
            self.histories, self.cycles, self.writes, self.held, self.crashes
        )?;
        let (all, with) = self.by_changes;
        writeln!(f, "{all} cycles read by changes, and saw some in {with}")?;
        let (all, with) = self.parts;
        writeln!(f, "{all} cycles looked at a part, and {with} of them had something to do")?;
        for (what, count) in &self.faults {
            writeln!(f, "{count:7} {what}")?;
        }
        Ok(())
    }
}

impl Tally {
    pub(super) fn count(&mut self, weather: &Weather) {
        let mut add = |what: &'static str, is: bool| {
            if is {
                *self.faults.entry(what).or_default() += 1;
            }
        };
        for trouble in weather.troubles.values() {
            add(
                match trouble {
                    Trouble::Cut(_) => "directory: connection cut",
                    Trouble::Silent => "directory: no answer",
                    Trouble::Code(..) => "directory: result code",
                    Trouble::Refer => "directory: referral",
                    Trouble::Omit(_) => "directory: an entry is missing in one answer",
                    Trouble::Throttled => "target: throttled",
                    Trouble::Unavailable => "target: unavailable",
                    Trouble::Denied => "target: denied",
                    Trouble::LostBefore => "target: no answer, not done",
                    Trouble::LostAfter => "target: no answer, done",
                    Trouble::Contended => "target: conflict",
                    Trouble::Broken => "state: operation failed",
                    Trouble::Untold => "state: commit unanswered",
                    Trouble::Crash { .. } => "process: ended",
                },
                true,
            );
        }
        add("process: ended at any request or statement", weather.crash.is_some());
        add("directory: first server down", weather.first_down);
        add("directory: second server behind", weather.first_down && weather.lag > 0);
        add("directory: permission missing", weather.hidden != Hidden::default());
        add("directory: size limit", weather.size_limit.is_some());
        add("target: reads out of date", weather.stale > 0);
        add("target: everything denied", weather.denied);
        add("clock: wrong", !weather.skew.is_zero());
        add("target: others at work meanwhile", !weather.meddling.is_empty());
    }
}
