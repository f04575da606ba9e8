//! Where a cycle keeps its intents and outcomes: the state database, or nowhere.

use async_trait::async_trait;
use jiff::Timestamp;
use tracing::debug;

use super::chain;
use crate::apply::{Journal, JournalError};
use crate::ids::CycleId;
use crate::model::{Intent, Link, Outcome, Progress};
use crate::state::State;

/// The journal of one cycle in the state database.
pub struct StateJournal<'a> {
    pub state: &'a State,
    pub cycle: CycleId,
}

#[async_trait]
impl Journal for StateJournal<'_> {
    async fn intend(&self, intents: &[Intent]) -> Result<Vec<i64>, JournalError> {
        self.state.intend(self.cycle, intents).await.map_err(|e| JournalError(Box::new(e)))
    }

    async fn record(&self, outcomes: &[Outcome], links: &[&Link]) -> Result<(), JournalError> {
        self.state.record(outcomes, links).await.map_err(|e| JournalError(Box::new(e)))
    }

    async fn note(&self, progress: &Progress, at: Timestamp) {
        if let Err(error) = self.state.note_progress(self.cycle, progress, at).await {
            // Whether the apply can go on without its database is seen where it writes what counts.
            debug!("how far the apply is could not be noted: {}", chain(&error));
        }
    }

    fn is_alone(&self) -> bool {
        self.state.is_watched()
    }
}

/// Of a dry run: nothing is written, and nothing is ever sent.
pub struct NoJournal;

#[async_trait]
impl Journal for NoJournal {
    async fn intend(&self, _: &[Intent]) -> Result<Vec<i64>, JournalError> {
        Err(JournalError("a dry run sends nothing".into()))
    }

    async fn record(&self, _: &[Outcome], _: &[&Link]) -> Result<(), JournalError> {
        Ok(())
    }
}
