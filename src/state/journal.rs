//! The journal: the intent of each write before it is sent, its outcome after. What has no outcome after a
//! crash must be looked up in the target before anything else is done to that object.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::db::{Row, Value, args};
use super::open::{Reader, State};
use super::{Result, StateError};
use crate::ids::{CycleId, LinkNo};
use crate::model::{Intent, Link, Outcome, PendingIntent, StepResult};

/// Numbers are given by the profile's row: which intent has which number depends on no engine's habits.
const TAKE_NUMBERS: &str = "UPDATE profiles SET last_seq = last_seq + $2 WHERE id = $1 RETURNING last_seq";
const INTEND: &str = "INSERT INTO journal
    (profile_id, seq, cycle_id, step, action, link_no, member_no, detail, intended_at) VALUES {rows}";
const RECORD: &str = "WITH given (profile_id, seq, result, code, message, recorded_at) AS (VALUES {rows})
    UPDATE journal SET result = given.result, code = given.code, message = given.message,
        recorded_at = given.recorded_at
    FROM given WHERE journal.profile_id = given.profile_id AND journal.seq = given.seq";
const EXISTS: &str = "SELECT seq FROM journal WHERE profile_id = $1 AND seq = $2";
const UNFINISHED: &str = "SELECT seq, cycle_id, step, action, link_no, member_no, detail, intended_at
    FROM journal WHERE profile_id = $1 AND result IS NULL ORDER BY seq";
const STEPS: &str = "SELECT seq, cycle_id, step, action, link_no, member_no, detail, intended_at,
        result, code, message, recorded_at
    FROM journal WHERE profile_id = $1 AND cycle_id = $2 ORDER BY seq";

const ABOUT: &str = "SELECT seq, cycle_id, step, action, link_no, member_no, detail, intended_at,
        result, code, message, recorded_at
    FROM journal WHERE profile_id = $1 AND (link_no = $2 OR member_no = $2) ORDER BY seq DESC LIMIT $3";

/// What leaves somebody in nothing, whatever they were in, and a group with nobody.
const TURNS: &str = "SELECT seq, cycle_id, step, action, link_no, member_no, detail, intended_at,
        result, code, message, recorded_at
    FROM journal WHERE profile_id = $1 AND action IN ('delete-user', 'delete-group', 'adopt-group')
    ORDER BY seq";
const FIRST: &str = "SELECT intended_at FROM journal WHERE profile_id = $1 ORDER BY seq LIMIT 1";

/// One step of a past cycle.
#[derive(Clone, Debug, PartialEq)]
pub struct JournalEntry {
    pub seq: i64,
    pub cycle: CycleId,
    pub intent: Intent,
    /// And when it was recorded; `None` where it is not known.
    pub result: Option<(StepResult, Timestamp)>,
}

impl State {
    /// Writes the intents down, all or none; their numbers, in the same order. Only then may they be sent. Refused once
    /// the lease is lost.
    pub async fn intend(&self, cycle: CycleId, intents: &[Intent]) -> Result<Vec<i64>> {
        if intents.is_empty() {
            return Ok(Vec::new());
        }
        let count = i64::try_from(intents.len()).unwrap_or(i64::MAX);
        let mut tx = self.db.begin().await?;
        self.check_running(&mut tx, cycle).await?;
        let last = tx
            .fetch_one(TAKE_NUMBERS, args![self.profile_id, count], |row| row.next::<i64>())
            .await?
            .ok_or(StateError::BadValue { place: self.db.place.to_string(), column: "profiles.last_seq" })?;
        let numbers: Vec<i64> = (last - count + 1..=last).collect();
        let values: Vec<Value<'_>> = intents
            .iter()
            .zip(&numbers)
            .flat_map(|(intent, seq)| {
                args![
                    self.profile_id,
                    *seq,
                    cycle,
                    intent.step,
                    intent.action.as_str(),
                    intent.link,
                    intent.member,
                    intent.detail.to_string(),
                    intent.at,
                ]
            })
            .collect();
        tx.run_rows(INTEND, 9, values).await?;
        // Last: the row is locked for as short a time as can be.
        self.fence(&mut tx).await?;
        tx.commit().await?;
        Ok(numbers)
    }

    /// Writes outcomes down together with the links that they changed, all or none. The same may be said
    /// twice: after a lost connection it is not known whether it was heard. Refused once the lease is lost: whoever has it
    /// then looks up what has no outcome, and knows the links better.
    pub async fn record(&self, outcomes: &[Outcome], links: &[&Link]) -> Result<()> {
        let done = match self.try_record(outcomes, links).await {
            Err(error) if error.is_cut() => self.try_record(outcomes, links).await,
            done => done,
        };
        match done {
            Err(error) => Err(self.name_owner(error, links).await),
            done => done,
        }
    }

    async fn try_record(&self, outcomes: &[Outcome], links: &[&Link]) -> Result<()> {
        if outcomes.is_empty() && links.is_empty() {
            return Ok(());
        }
        // The last word on each counts.
        let by_seq: BTreeMap<i64, &Outcome> = outcomes.iter().map(|o| (o.seq, o)).collect();
        let mut values = Vec::with_capacity(by_seq.len() * 6);
        for outcome in by_seq.values() {
            let (code, message) = match &outcome.result {
                StepResult::Failed { code, message } => (Some(code.as_str()), Some(message.as_str())),
                _ => (None, None),
            };
            let word = outcome.result.word();
            values.extend(args![self.profile_id, outcome.seq, word, code, message, outcome.at]);
        }
        let mut tx = self.db.begin().await?;
        self.write_links(&mut tx, links).await?;
        let written = tx.run_rows(RECORD, 6, values).await?;
        if written != by_seq.len() as u64 {
            for seq in by_seq.into_keys() {
                let args = args![self.profile_id, seq];
                if tx.fetch_one(EXISTS, args, |row| row.next::<i64>()).await?.is_none() {
                    return Err(StateError::NoSuchStep { seq, profile: self.profile.clone() });
                }
            }
        }
        self.fence(&mut tx).await?;
        tx.commit().await
    }
}

impl Reader {
    /// Intents of earlier cycles that have no outcome, oldest first.
    pub async fn unfinished(&self) -> Result<Vec<PendingIntent>> {
        self.db
            .fetch(UNFINISHED, args![self.profile_id], |row| {
                let (seq, cycle, intent) = read_intent(row)?;
                Ok(PendingIntent { seq, cycle, intent })
            })
            .await
    }

    /// The steps of one cycle in the order in which they were sent.
    pub async fn steps(&self, cycle: CycleId) -> Result<Vec<JournalEntry>> {
        self.db.fetch(STEPS, args![self.profile_id, cycle], read_entry).await
    }

    /// Deletions of users and groups, and groups that were taken over with their members, the oldest first.
    pub async fn turns(&self) -> Result<Vec<JournalEntry>> {
        self.db.fetch(TURNS, args![self.profile_id], read_entry).await
    }

    /// The time of the oldest step that is still kept.
    pub async fn first_step(&self) -> Result<Option<Timestamp>> {
        self.db.fetch_one(FIRST, args![self.profile_id], |row| row.time("journal.intended_at")).await
    }

    /// The last steps on this object, or with it as a member; the newest first.
    pub async fn writes_about(&self, object: LinkNo, limit: u32) -> Result<Vec<JournalEntry>> {
        self.db.fetch(ABOUT, args![self.profile_id, object, limit], read_entry).await
    }
}

fn read_entry(row: &mut Row) -> Result<JournalEntry> {
    let (seq, cycle, intent) = read_intent(row)?;
    Ok(JournalEntry { seq, cycle, intent, result: read_result(row)? })
}

fn read_intent(row: &mut Row) -> Result<(i64, CycleId, Intent)> {
    let seq = row.next()?;
    let cycle = CycleId(row.next()?);
    let intent = Intent {
        step: row.number("journal.step")?,
        action: row.next()?,
        link: row.link("journal.link_no")?,
        member: match row.next::<Option<i64>>()? {
            Some(no) => Some(LinkNo(u32::try_from(no).map_err(|_| row.bad("journal.member_no"))?)),
            None => None,
        },
        detail: row.json("journal.detail")?,
        at: row.time("journal.intended_at")?,
    };
    Ok((seq, cycle, intent))
}

fn read_result(row: &mut Row) -> Result<Option<(StepResult, Timestamp)>> {
    let Some(word) = row.next::<Option<String>>()? else { return Ok(None) };
    let (code, message): (Option<String>, Option<String>) = (row.next()?, row.next()?);
    let result = match word.as_str() {
        "done" => StepResult::Done,
        "found" => StepResult::Found,
        "failed" => {
            StepResult::Failed { code: code.unwrap_or_default(), message: message.unwrap_or_default() }
        }
        "skipped" => StepResult::Skipped,
        "not-done" => StepResult::NotDone,
        _ => return Err(row.bad("journal.result")),
    };
    Ok(Some((result, row.time("journal.recorded_at")?)))
}
