//! The mirror of the directory: written with the read that it comes from, loaded where a read is to start from it.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use sha2::{Digest as _, Sha256};

use super::db::{Row, Tx, Value, args};
use super::open::Reader;
use super::{Result, StateError};
use crate::ids::Anchor;
use crate::model::{Entries, Mark, Mirror, MirrorChange};

const MARK: &str = "SELECT mirror_mark FROM profiles WHERE id = $1";
const SET_MARK: &str = "UPDATE profiles SET mirror_mark = $2 WHERE id = $1";
const ENTRIES: &str = "SELECT anchor, content FROM mirror_entries WHERE profile_id = $1";
const ENTRY: &str = "SELECT content FROM mirror_entries WHERE profile_id = $1 AND anchor = $2";
const PUT: &str = "INSERT INTO mirror_entries (profile_id, anchor, content) VALUES {rows}
    ON CONFLICT (profile_id, anchor) DO UPDATE SET content = excluded.content";
const REMOVE: &str = "DELETE FROM mirror_entries WHERE profile_id = $1 AND anchor = $2";
const CLEAR: &str = "DELETE FROM mirror_entries WHERE profile_id = $1";
const ANSWERS: &str = "SELECT question, anchors FROM mirror_answers WHERE profile_id = $1";
const SET_ANSWERS: &str = "INSERT INTO mirror_answers (profile_id, digest, question, anchors) VALUES {rows}
    ON CONFLICT (profile_id, digest) DO UPDATE SET question = excluded.question, anchors = excluded.anchors";
const CLEAR_ANSWERS: &str = "DELETE FROM mirror_answers WHERE profile_id = $1";

type Answers = BTreeMap<String, BTreeSet<Anchor>>;

/// Of an anchor.
const WIDTH: usize = 16;

impl Reader {
    /// What the mirror that is kept is of; `None` where there is none, or one of another version.
    pub async fn mirror_mark(&self) -> Result<Option<Mark>> {
        let mark =
            self.db.fetch_one(MARK, args![self.profile_id], |row| row.next::<Option<String>>()).await?;
        Ok(mark.flatten().and_then(|text| serde_json::from_str(&text).ok()))
    }

    /// The mirror, whose mark was read before; `None` where another one is there by now.
    pub async fn mirror(&self, mark: &Mark) -> Result<Option<Mirror>> {
        let mut tx = self.db.begin_read().await?;
        if !is_of(&mut tx, self.profile_id, mark).await? {
            return Ok(None);
        }
        let read = |row: &mut Row| Ok((row.anchor("mirror_entries.anchor")?, row.next::<Vec<u8>>()?.into()));
        let entries: Entries = tx.fetch(ENTRIES, args![self.profile_id], read).await?.into_iter().collect();
        let answers = answers(&mut tx, self.profile_id).await?;
        tx.commit().await?;
        Ok(Some(Mirror { mark: mark.clone(), entries, answers }))
    }

    /// The searches that it holds, without the entries that they brought.
    pub async fn mirror_answers(&self, mark: &Mark) -> Result<Option<Answers>> {
        let mut tx = self.db.begin_read().await?;
        if !is_of(&mut tx, self.profile_id, mark).await? {
            return Ok(None);
        }
        let answers = answers(&mut tx, self.profile_id).await?;
        tx.commit().await?;
        Ok(Some(answers))
    }

    /// Single entries of it, as far as it holds them.
    pub async fn mirror_entries(&self, mark: &Mark, anchors: &BTreeSet<Anchor>) -> Result<Option<Entries>> {
        let mut tx = self.db.begin_read().await?;
        if !is_of(&mut tx, self.profile_id, mark).await? {
            return Ok(None);
        }
        let mut entries = Entries::new();
        for anchor in anchors {
            let content = tx.fetch_one(ENTRY, args![self.profile_id, anchor], Row::next::<Vec<u8>>).await?;
            entries.extend(content.map(|content| (*anchor, content.into())));
        }
        tx.commit().await?;
        Ok(Some(entries))
    }
}

async fn answers(tx: &mut Tx, profile_id: i64) -> Result<Answers> {
    let read = |row: &mut Row| {
        let (question, bytes): (String, Vec<u8>) = (row.next()?, row.next()?);
        let anchors = anchors(&bytes).ok_or_else(|| row.bad("mirror_answers.anchors"))?;
        Ok((question, anchors))
    };
    Ok(tx.fetch(ANSWERS, args![profile_id], read).await?.into_iter().collect())
}

/// Whether the mirror that is there has this mark.
async fn is_of(tx: &mut Tx, profile_id: i64, mark: &Mark) -> Result<bool> {
    let now = tx.fetch_one(MARK, args![profile_id], |row| row.next::<Option<String>>()).await?;
    let now: Option<Mark> = now.flatten().and_then(|text| serde_json::from_str(&text).ok());
    Ok(now.as_ref() == Some(mark))
}

pub(super) async fn write(tx: &mut Tx, profile_id: i64, change: &MirrorChange) -> Result<()> {
    let no_mark: Option<&str> = None;
    let (mark, put, answers) = match change {
        MirrorChange::Drop => {
            tx.run(SET_MARK, args![profile_id, no_mark]).await?;
            return clear(tx, profile_id).await;
        }
        MirrorChange::Whole(Mirror { mark, entries, answers }) => {
            clear(tx, profile_id).await?;
            (mark, entries, answers)
        }
        MirrorChange::Part { mark, put, gone, answers } => {
            for anchor in gone {
                tx.run(REMOVE, args![profile_id, anchor]).await?;
            }
            (mark, put, answers)
        }
    };
    let values = put
        .iter()
        .flat_map(|(anchor, content)| {
            [Value::from(profile_id), Value::from(anchor), Value::Blob(Some(Cow::Borrowed(content)))]
        })
        .collect();
    tx.run_rows(PUT, 3, values).await?;
    let values = answers
        .iter()
        .flat_map(|(question, anchors)| {
            let digest = Sha256::digest(question)[..WIDTH].to_vec();
            args![profile_id, Some(digest), question.as_str(), Some(bytes(anchors))]
        })
        .collect();
    tx.run_rows(SET_ANSWERS, 4, values).await?;
    let bad = |_| StateError::BadValue { place: tx.place().to_string(), column: "profiles.mirror_mark" };
    let text = serde_json::to_string(mark).map_err(bad)?;
    tx.run(SET_MARK, args![profile_id, text.as_str()]).await?;
    Ok(())
}

async fn clear(tx: &mut Tx, profile_id: i64) -> Result<()> {
    tx.run(CLEAR, args![profile_id]).await?;
    tx.run(CLEAR_ANSWERS, args![profile_id]).await?;
    Ok(())
}

fn bytes(anchors: &BTreeSet<Anchor>) -> Vec<u8> {
    anchors.iter().flat_map(|anchor| *anchor.as_bytes()).collect()
}

fn anchors(bytes: &[u8]) -> Option<BTreeSet<Anchor>> {
    let (all, rest) = bytes.as_chunks::<WIDTH>();
    rest.is_empty().then(|| all.iter().filter_map(|bytes| Anchor::from_bytes(bytes)).collect())
}
