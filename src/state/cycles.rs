//! Cycles: when each began, how it ended, and how long any of this is kept.

use jiff::Timestamp;

use super::db::{Row, Tx, args};
use super::open::{Reader, State};
use super::words::{Word, words};
use super::{Result, StateError};
use crate::ids::CycleId;
use crate::model::Progress;

const BEGIN: &str = "INSERT INTO cycles (profile_id, kind, started_at) VALUES ($1, $2, $3) RETURNING id";
const FINISH: &str = "UPDATE cycles SET finished_at = $3, word = $4, counts = $5
    WHERE id = $2 AND profile_id = $1 AND finished_at IS NULL";
/// Of a cycle that runs, its place is where the counts will be.
const NOTE: &str = "UPDATE cycles SET counts = $3 WHERE id = $2 AND profile_id = $1 AND finished_at IS NULL";
const RUNNING: &str = "SELECT id FROM cycles WHERE id = $2 AND profile_id = $1 AND finished_at IS NULL";
const LIST: &str = "SELECT id, kind, started_at, finished_at, word, counts FROM cycles
    WHERE profile_id = $1 ORDER BY id DESC LIMIT $2";
const BETWEEN: &str = "SELECT id, kind, started_at, finished_at, word, counts FROM cycles
    WHERE profile_id = $1 AND started_at >= $2 AND started_at < $3 ORDER BY id DESC LIMIT $4";
const REPAIRS: &str = "SELECT id, kind, started_at, finished_at, word, counts FROM cycles
    WHERE profile_id = $1 AND kind = 'repair' ORDER BY id";
const ONE: &str = "SELECT id, kind, started_at, finished_at, word, counts FROM cycles
    WHERE profile_id = $1 AND id = $2";
/// The words are those of `CycleWord::is_well`. By the hand of a person is no cycle.
const LAST_WELL: &str = "SELECT finished_at FROM cycles WHERE profile_id = $1 AND kind <> 'repair'
    AND word IN ('nothing', 'done', 'held') ORDER BY id DESC LIMIT 1";

/// By way of the cycles, which are few: nothing else finds the old ones among millions of steps.
const PRUNE_JOURNAL: &str = "DELETE FROM journal
    WHERE cycle_id IN (SELECT id FROM cycles WHERE profile_id = $1 AND started_at < $2)
    AND intended_at < $2 AND result IS NOT NULL";
const PRUNE_HELD: &str = "DELETE FROM held_plans WHERE profile_id = $1 AND held_at < $2";
const PRUNE_APPROVALS: &str = "DELETE FROM approvals
    WHERE profile_id = $1 AND approved_at < $2 AND (expires_at < $2 OR used_at < $2)";
const PRUNE_FINDINGS: &str = "DELETE FROM findings WHERE profile_id = $1 AND gone_at < $2";
/// The last cycle stays, however old: `status` shows it.
const PRUNE_CYCLES: &str = "DELETE FROM cycles WHERE profile_id = $1 AND started_at < $2
    AND id <> (SELECT max(c.id) FROM cycles c WHERE c.profile_id = $1)
    AND NOT EXISTS (SELECT 1 FROM journal j WHERE j.cycle_id = cycles.id)
    AND NOT EXISTS (SELECT 1 FROM held_plans h WHERE h.cycle_id = cycles.id)";

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum CycleKind {
    Normal,
    /// Also reads the target back.
    Full,
    /// Of a paused profile: only what elapsed time alone asks for.
    Sweep,
    /// No cycle, but links that somebody changed by hand.
    Repair,
}

words! { CycleKind { Normal = "normal", Full = "full", Sweep = "sweep", Repair = "repair", } }

/// How a cycle ended, in one word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum CycleWord {
    /// Everything that was planned was done.
    Done,
    /// There was nothing to do.
    Nothing,
    /// The guard held steps; the others were done.
    Held,
    /// Some steps failed in a way that a retry may mend, or lacked a proof.
    Unsettled,
    /// It ran out of time, or was told to stop; the rest is left for the next cycle.
    Stopped,
    /// Directory or target could not be read or reached.
    Unreachable,
    Failed,
}

words! { CycleWord {
    Done = "done", Nothing = "nothing", Held = "held", Unsettled = "unsettled", Stopped = "stopped",
    Unreachable = "unreachable", Failed = "failed",
} }

impl CycleKind {
    /// As stored and as in JSON.
    pub fn word(self) -> &'static str {
        Word::word(self)
    }
}

impl CycleWord {
    pub const ALL: &'static [Self] = &[
        Self::Nothing,
        Self::Done,
        Self::Held,
        Self::Unsettled,
        Self::Stopped,
        Self::Unreachable,
        Self::Failed,
    ];

    /// As stored and as in JSON.
    pub fn word(self) -> &'static str {
        Word::word(self)
    }

    /// All that could be done was done: what the guard holds waits for a person, not for another cycle.
    pub fn is_well(self) -> bool {
        matches!(self, Self::Nothing | Self::Done | Self::Held)
    }
}

#[derive(Clone, Debug, PartialEq)]
pub struct CycleOutcome {
    pub word: CycleWord,
    /// What was counted, for `status` and `history`.
    pub counts: serde_json::Value,
    pub finished: Timestamp,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Cycle {
    pub id: CycleId,
    pub kind: CycleKind,
    pub started: Timestamp,
    /// `None`: it is running, or was killed.
    pub outcome: Option<CycleOutcome>,
    /// Of one without an outcome: how far it was when, once it had begun to apply.
    pub applying: Option<(Progress, Timestamp)>,
}

/// How many rows were too old to be kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pruned {
    pub cycles: u64,
    pub steps: u64,
    pub findings: u64,
}

impl State {
    pub async fn begin_cycle(&self, kind: CycleKind, now: Timestamp) -> Result<CycleId> {
        let mut tx = self.db.begin().await?;
        let args = args![self.profile_id, Word::word(kind), now];
        let id = tx.fetch_one(BEGIN, args, |row| row.next::<i64>()).await?;
        tx.commit().await?;
        id.map(CycleId).ok_or(StateError::BadValue { place: self.db.place.to_string(), column: "cycles.id" })
    }

    pub async fn finish_cycle(&self, cycle: CycleId, outcome: &CycleOutcome) -> Result<()> {
        let counts = outcome.counts.to_string();
        let args = args![self.profile_id, cycle, outcome.finished, Word::word(outcome.word), counts];
        match self.db.run(FINISH, args).await? {
            0 => Err(self.not_running(cycle)),
            _ => Ok(()),
        }
    }

    /// How far it is, for whoever looks.
    pub async fn note_progress(&self, cycle: CycleId, progress: &Progress, at: Timestamp) -> Result<()> {
        let Progress { done, total, pending, per_second } = progress;
        let note = serde_json::json!({
            "applying": { "done": done, "total": total, "pending": pending, "perSecond": per_second, "at": at },
        });
        self.db.run(NOTE, args![self.profile_id, cycle, note.to_string()]).await.map(drop)
    }

    /// Whatever is written belongs to a cycle that has begun and not ended.
    pub(super) async fn check_running(&self, tx: &mut Tx, cycle: CycleId) -> Result<()> {
        let found = tx.fetch_one(RUNNING, args![self.profile_id, cycle], |row| row.next::<i64>()).await?;
        found.map(|_| ()).ok_or_else(|| self.not_running(cycle))
    }

    fn not_running(&self, cycle: CycleId) -> StateError {
        StateError::NotRunning { cycle, profile: self.profile.clone() }
    }

    /// Deletes cycles, their steps, closed findings, held plans and approvals from before `older_than`. A step
    /// whose outcome is not known is kept until it is.
    pub async fn prune(&self, older_than: Timestamp) -> Result<Pruned> {
        let args = || args![self.profile_id, older_than];
        let mut tx = self.db.begin().await?;
        let steps = tx.run(PRUNE_JOURNAL, args()).await?;
        tx.run(PRUNE_HELD, args()).await?;
        tx.run(PRUNE_APPROVALS, args()).await?;
        let findings = tx.run(PRUNE_FINDINGS, args()).await?;
        let cycles = tx.run(PRUNE_CYCLES, args()).await?;
        tx.commit().await?;
        Ok(Pruned { cycles, steps, findings })
    }
}

impl Reader {
    /// The last cycles, newest first.
    pub async fn cycles(&self, limit: u32) -> Result<Vec<Cycle>> {
        self.db.fetch(LIST, args![self.profile_id, limit], read).await
    }

    /// Those that began from `since` on and before `until`, newest first.
    pub async fn cycles_between(&self, since: Timestamp, until: Timestamp, limit: u32) -> Result<Vec<Cycle>> {
        self.db.fetch(BETWEEN, args![self.profile_id, since, until, limit], read).await
    }

    /// All cycles by hand (`link`, `unlink`, `release`), the oldest first.
    pub async fn repairs(&self) -> Result<Vec<Cycle>> {
        self.db.fetch(REPAIRS, args![self.profile_id], read).await
    }

    pub async fn cycle(&self, cycle: CycleId) -> Result<Option<Cycle>> {
        self.db.fetch_one(ONE, args![self.profile_id, cycle], read).await
    }

    /// When the last cycle ended that ended well.
    pub async fn last_success(&self) -> Result<Option<Timestamp>> {
        let found =
            self.db.fetch_one(LAST_WELL, args![self.profile_id], |row| row.opt_time("cycles.finished_at"));
        Ok(found.await?.flatten())
    }
}

fn read(row: &mut Row) -> Result<Cycle> {
    let id = CycleId(row.next()?);
    let kind = row.word("cycles.kind", Word::of)?;
    let started = row.time("cycles.started_at")?;
    let (outcome, applying) = match row.opt_time("cycles.finished_at")? {
        Some(finished) => {
            let word = row.word("cycles.word", Word::of)?;
            (Some(CycleOutcome { finished, word, counts: row.json("cycles.counts")? }), None)
        }
        None => {
            row.next::<Option<String>>()?;
            (None, row.next::<Option<String>>()?.as_deref().and_then(noted))
        }
    };
    Ok(Cycle { id, kind, started, outcome, applying })
}

/// What [`State::note_progress`] wrote. Nothing rests on it, so whatever else stands there is nothing.
fn noted(text: &str) -> Option<(Progress, Timestamp)> {
    let note: serde_json::Value = serde_json::from_str(text).ok()?;
    let note = note.get("applying")?;
    let count = |key| note.get(key).and_then(serde_json::Value::as_u64);
    let progress = Progress {
        done: count("done")?,
        total: count("total")?,
        pending: count("pending")?,
        per_second: note.get("perSecond").and_then(serde_json::Value::as_f64),
    };
    Some((progress, note.get("at")?.as_str()?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_query_asks_for_the_words_that_are_well() {
        assert_eq!(CycleWord::ALL.len(), 7);
        for word in CycleWord::ALL {
            let quoted = format!("'{}'", word.word());
            assert_eq!(LAST_WELL.contains(&quoted), word.is_well(), "{quoted}");
        }
    }
}
