//! Findings as intervals: a row is written when one appears, when its text changes, and when it is gone.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::Result;
use super::db::{Row, Tx, Value, args};
use super::open::{Reader, State};
use super::words::Word;
use crate::model::{Code, Finding, Kind, Subject};

const STANDING: &str = "SELECT id, code, subject_kind, subject_id, subject_label, message, since
    FROM findings WHERE profile_id = $1 AND gone_at IS NULL ORDER BY id";
const APPEAR: &str = "INSERT INTO findings
    (profile_id, code, subject_kind, subject_id, subject_label, message, since) VALUES {rows}";
const CHANGE: &str = "UPDATE findings SET subject_kind = $2, subject_label = $3, message = $4 WHERE id = $1";
const GO: &str = "WITH given (id, gone_at) AS (VALUES {rows})
    UPDATE findings SET gone_at = given.gone_at FROM given WHERE findings.id = given.id";

/// What has changed since the last time; no finding is in two of the lists. Each with the time since when it
/// stands or stood.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FindingChanges {
    pub appeared: Vec<Finding>,
    pub gone: Vec<(Finding, Timestamp)>,
    /// Stood before and still do, in the words of now.
    pub standing: Vec<(Finding, Timestamp)>,
}

#[derive(Debug)]
pub(super) struct Standing {
    id: i64,
    pub finding: Finding,
    pub since: Timestamp,
}

impl State {
    /// Makes `findings` the ones that stand. Two of the same code and subject count as one; the last is kept. Refused once
    /// the lease is lost: another run says then what stands.
    pub async fn replace_findings(&self, now: Timestamp, findings: &[Finding]) -> Result<FindingChanges> {
        let mut wanted: BTreeMap<(Code, String), &Finding> =
            findings.iter().map(|f| ((f.code, f.subject.id.clone()), f)).collect();
        let mut tx = self.db.begin().await?;
        self.fence(&mut tx).await?;
        let mut changes = FindingChanges::default();
        let mut gone = Vec::new();
        for old in load(&mut tx, self.profile_id).await? {
            match wanted.remove(&(old.finding.code, old.finding.subject.id.clone())) {
                Some(new) => {
                    if *new != old.finding {
                        let kind = new.subject.kind.map(Word::word);
                        let (label, message) = (new.subject.label.as_str(), new.message.as_str());
                        tx.run(CHANGE, args![old.id, kind, label, message]).await?;
                    }
                    changes.standing.push((new.clone(), old.since));
                }
                None => {
                    gone.extend(args![old.id, now]);
                    changes.gone.push((old.finding, old.since));
                }
            }
        }
        tx.run_rows(GO, 2, gone).await?;
        let new: Vec<Value<'_>> = wanted
            .values()
            .flat_map(|f| {
                args![
                    self.profile_id,
                    f.code.name(),
                    f.subject.kind.map(Word::word),
                    f.subject.id.as_str(),
                    f.subject.label.as_str(),
                    f.message.as_str(),
                    now,
                ]
            })
            .collect();
        tx.run_rows(APPEAR, 7, new).await?;
        changes.appeared = wanted.into_values().cloned().collect();
        tx.commit().await?;
        Ok(changes)
    }
}

impl Reader {
    /// What stands, and since when; the oldest first.
    pub async fn standing_findings(&self) -> Result<Vec<(Finding, Timestamp)>> {
        let mut tx = self.db.begin_read().await?;
        let standing = load(&mut tx, self.profile_id).await?;
        tx.commit().await?;
        Ok(standing.into_iter().map(|s| (s.finding, s.since)).collect())
    }
}

/// One of them is gone.
pub(super) async fn end(tx: &mut Tx, standing: &Standing, now: Timestamp) -> Result<()> {
    tx.run_rows(GO, 2, args![standing.id, now]).await?;
    Ok(())
}

pub(super) async fn load(tx: &mut Tx, profile_id: i64) -> Result<Vec<Standing>> {
    tx.fetch(STANDING, args![profile_id], |row| {
        Ok(Standing { id: row.next()?, finding: read(row)?, since: row.time("findings.since")? })
    })
    .await
}

fn read(row: &mut Row) -> Result<Finding> {
    let code = row.word("findings.code", Code::parse)?;
    let kind = match row.next::<Option<String>>()? {
        Some(word) => Some(<Kind as Word>::of(&word).ok_or_else(|| row.bad("findings.subject_kind"))?),
        None => None,
    };
    let subject = Subject { kind, id: row.next()?, label: row.next()? };
    Ok(Finding { code, subject, message: row.next()? })
}
