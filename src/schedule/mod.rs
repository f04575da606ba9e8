//! When the service runs cycles: the cron line of the config as a pure function of the last cycle's begin and of now.
//!
//! `cron` reads the line and matches local time, `slots` lays local time over the changes of a time zone. No clock is
//! read here: whoever asks says what time it is.
//!
//! # When the clocks change
//!
//! As cron(8) has it (Debian's, after Vixie: "Special considerations exist when the clock is changed by less than 3
//! hours"), with the hour field alone deciding which of the two a line is:
//!
//! - A line whose hour field begins with `*`, or names every hour, follows elapsed time: a run at each minute that the
//!   local clock shows and the line matches. In an hour that is repeated it runs in both passes; in one that is skipped
//!   it loses the slots that do not exist, and no others.
//! - A line with fixed hours runs once for each local time that it names. One that does not exist (spring) runs at the
//!   first moment after the gap, once for all that fell into it; one that occurs twice (autumn) runs in the first pass.
//!
//! A slot is such a moment. A cycle starts at its slot, or later by the slot's share of the jitter.

mod cron;
mod slots;
#[cfg(test)]
mod tests;

use std::fmt;

use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use sha2::{Digest, Sha256};

use cron::Cron;

/// A begin that lies further ahead than this was written by a clock that has been set back since, and says nothing.
const CLOCK_TOLERANCE: SignedDuration = SignedDuration::from_mins(5);
/// How far back `last_at_or_before` looks.
const LOOK_BACK: SignedDuration = SignedDuration::from_hours(400 * 24);
/// Missed slots are counted up to here.
const MOST_MISSED: u32 = 100;

/// When cycles are to run. Equal where the config has the same line, zone and jitter.
#[derive(Clone)]
pub struct Schedule {
    text: String,
    cron: Cron,
    zone: TimeZone,
    jitter: SignedDuration,
    /// Sets this schedule's delays apart from those of others: the profile's name.
    seed: String,
}

/// Why a schedule cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ScheduleError {
    /// `offset` and `len` are bytes of the cron line.
    #[error("{message}")]
    Syntax { offset: usize, len: usize, message: String },
    #[error("no such day ever comes")]
    Never,
    #[error("the jitter must be shorter than the time between two runs, which is {shortest:#}")]
    Jitter { shortest: SignedDuration },
}

/// Whether a cycle is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Due {
    /// For this slot, the latest that has passed; none where no cycle was ever begun, or none whose begin can be believed.
    /// `missed`: how many slots before it passed without a cycle (counted up to 100); they are not made up for.
    Now { slot: Option<Timestamp>, missed: u32 },
    /// Not before; jitter included.
    At(Timestamp),
}

impl Schedule {
    /// `cron`: five fields as in crontab(5), or `@hourly` and its like. `jitter` has to be shorter than the time between
    /// two slots.
    pub fn new(
        cron: &str,
        zone: TimeZone,
        jitter: SignedDuration,
        seed: &str,
    ) -> Result<Self, ScheduleError> {
        let parsed = Cron::parse(cron)?;
        let shortest = parsed.shortest();
        if jitter >= shortest {
            return Err(ScheduleError::Jitter { shortest });
        }
        Ok(Self { text: cron.to_owned(), cron: parsed, zone, jitter, seed: seed.to_owned() })
    }

    /// The first slot strictly after. `None` only where none comes within 40 years.
    pub fn next_after(&self, after: Timestamp) -> Option<Timestamp> {
        slots::next(&self.cron, &self.zone, after)
    }

    /// The last slot up to and including `at`; `None` where there is none in the 400 days before.
    pub fn last_at_or_before(&self, at: Timestamp) -> Option<Timestamp> {
        let mut window = SignedDuration::from_mins(2);
        loop {
            // Twice as far each time, so that few slots lie between what is found first and `at`.
            let reach = window.min(LOOK_BACK);
            let from = at.checked_sub(reach).unwrap_or(Timestamp::MIN);
            let mut found = self.next_after(from).filter(|slot| *slot <= at);
            while let Some(next) = found.and_then(|slot| self.next_after(slot)).filter(|slot| *slot <= at) {
                found = Some(next);
            }
            if found.is_some() || reach == LOOK_BACK {
                return found;
            }
            window = window.saturating_mul(2);
        }
    }

    /// When the cycle of this slot starts: the slot itself, or later by less than the jitter, and always before the next
    /// slot. The same for every process that asks, since only seed and slot decide.
    pub fn start_of(&self, slot: Timestamp) -> Timestamp {
        if self.jitter.is_zero() {
            return slot;
        }
        // Around a change of the clocks slots may be closer to each other than the line has them.
        let gap = self.next_after(slot).map(|next| next.duration_since(slot));
        let room = gap.map_or(self.jitter, |gap| gap.min(self.jitter));
        let hash = Sha256::new()
            .chain_update(self.seed.as_bytes())
            .chain_update([0])
            .chain_update(slot.as_second().to_be_bytes())
            .finalize();
        let number = hash.iter().take(8).fold(0_u64, |n, byte| n << 8 | u64::from(*byte));
        let share = i128::from(number) % room.as_millis().max(1);
        let delay = SignedDuration::from_millis(i64::try_from(share).unwrap_or(0));
        slot.checked_add(delay).unwrap_or(slot)
    }

    /// Whether a cycle is due now. `last_begun`: when the newest cycle began, whatever started it; the newest by the order
    /// in which they were recorded, not by its time.
    ///
    /// A cycle serves every slot up to its begin, so a slot never gives two; and however many slots have passed without
    /// one, they give one cycle. Where none was ever begun, one is due at once. So it is where the begin lies more than 5
    /// minutes ahead of now: the clock has been set back, and whoever believed it would wait until the time has come
    /// round again. A begin less far ahead is believed.
    pub fn due(&self, last_begun: Option<Timestamp>, now: Timestamp) -> Due {
        let Some(last) = last_begun.filter(|last| last.duration_since(now) <= CLOCK_TOLERANCE) else {
            return Due::Now { slot: None, missed: 0 };
        };
        let Some(mut slot) = self.next_after(last) else {
            return Due::At(Timestamp::MAX);
        };
        let start = self.start_of(slot);
        if start > now {
            return Due::At(start);
        }
        let mut missed = 0;
        while let Some(next) = self.next_after(slot).filter(|next| self.start_of(*next) <= now) {
            if missed == MOST_MISSED {
                slot = self.last_started(now).unwrap_or(next);
                break;
            }
            slot = next;
            missed += 1;
        }
        Due::Now { slot: Some(slot), missed }
    }

    /// The last slot whose start has passed. Only the very last slot can have passed without its start.
    fn last_started(&self, now: Timestamp) -> Option<Timestamp> {
        let last = self.last_at_or_before(now)?;
        if self.start_of(last) <= now {
            return Some(last);
        }
        self.last_at_or_before(last.checked_sub(SignedDuration::from_nanos(1)).ok()?)
    }

    /// The cron line as the config has it.
    pub fn cron(&self) -> &str {
        &self.text
    }

    pub fn zone(&self) -> &TimeZone {
        &self.zone
    }

    pub fn jitter(&self) -> SignedDuration {
        self.jitter
    }

    /// For people: `0 * * * *, Europe/Zurich, up to 2m later`.
    pub fn describe(&self) -> String {
        let zone = self.zone.iana_name().unwrap_or("an unnamed time zone");
        match self.jitter.is_zero() {
            true => format!("{}, {zone}", self.text),
            false => format!("{}, {zone}, up to {:#} later", self.text, self.jitter),
        }
    }
}

impl PartialEq for Schedule {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
            && self.zone == other.zone
            && self.jitter == other.jitter
            && self.seed == other.seed
    }
}

impl Eq for Schedule {}

impl fmt::Debug for Schedule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Schedule({})", self.describe())
    }
}
