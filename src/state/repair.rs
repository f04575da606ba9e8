//! Repairs by hand: links as somebody wants them, with a cycle of their own in the history.

use jiff::Timestamp;

use super::cycles::{CycleKind, CycleWord};
use super::db::args;
use super::findings::{self, Standing};
use super::open::{Reader, State};
use super::words::Word;
use super::{Result, StateError};
use crate::ids::{CycleId, IdentityStoreId, LinkNo, TargetId};
use crate::model::{Binding, Code, Finding, Kind, Link};

const CYCLE: &str = "INSERT INTO cycles (profile_id, kind, started_at, finished_at, word, counts)
    VALUES ($1, $2, $3, $4, $5, $6) RETURNING id";

/// What somebody has asked for.
#[derive(Clone, Debug)]
pub struct Repair<'a> {
    /// Whole rows, new and changed ones.
    pub links: Vec<&'a Link>,
    /// For `history`: what was done to which object.
    pub what: serde_json::Value,
    pub who: &'a str,
    /// Of a profile that is not bound yet.
    pub binding: Option<Binding>,
    /// Findings that are settled by it: of this code, about a subject of one of these ids.
    pub settles: Option<(Code, Vec<String>)>,
    pub now: Timestamp,
}

impl State {
    /// All of it or nothing. Gives the cycle that stands for it, and the findings that are gone with since when they
    /// stood.
    pub async fn repair(&self, repair: &Repair<'_>) -> Result<(CycleId, Vec<(Finding, Timestamp)>)> {
        match self.try_repair(repair).await {
            Err(error) => Err(self.name_owner(error, &repair.links).await),
            done => done,
        }
    }

    async fn try_repair(&self, repair: &Repair<'_>) -> Result<(CycleId, Vec<(Finding, Timestamp)>)> {
        let Repair { links, what, who, binding, settles, now } = repair;
        let counts = serde_json::json!({ "repair": what, "by": who }).to_string();
        let mut tx = self.db.begin().await?;
        if let Some(binding) = binding {
            self.bind(&mut tx, binding, *now).await?;
        }
        self.write_links(&mut tx, links).await?;
        let (kind, word) = (Word::word(CycleKind::Repair), Word::word(CycleWord::Done));
        let args = args![self.profile_id, kind, *now, *now, word, counts];
        let id = tx.fetch_one(CYCLE, args, |row| row.next::<i64>()).await?;
        let mut gone = Vec::new();
        if let Some((code, ids)) = settles {
            let is_it = |s: &Standing| s.finding.code == *code && ids.contains(&s.finding.subject.id);
            for standing in findings::load(&mut tx, self.profile_id).await?.into_iter().filter(is_it) {
                findings::end(&mut tx, &standing, *now).await?;
                gone.push((standing.finding, standing.since));
            }
        }
        self.fence(&mut tx).await?;
        tx.commit().await?;
        let bad = || StateError::BadValue { place: self.db.place.to_string(), column: "cycles.id" };
        Ok((id.map(CycleId).ok_or_else(bad)?, gone))
    }
}

impl Reader {
    /// Which profile has that object of the target, and the DN of what it is tied to.
    pub async fn owner(
        &self,
        store: &IdentityStoreId,
        kind: Kind,
        target: &TargetId,
    ) -> Result<Option<(String, String)>> {
        // No link has this number: nobody is left out.
        self.other_owner(store.as_str(), kind, target, LinkNo(0)).await
    }
}
