//! The scope of a profile, looked at and tried out: what its entries stand for, and what the next cycle would do with
//! another one. Writes nothing anywhere.

use std::collections::BTreeSet;

use super::{RunError, Surroundings, open};
use crate::config::Config;
use crate::cycle::{self, OneRead, Parts, Profile, ScopeEffect, ScopeView};
use crate::directory::Directory;
use crate::ids::Anchor;
use crate::model::{Known, ScopeEntry};
use crate::state::StateCopy;
use crate::target::{Access, Gate};

/// A profile with its directory and what is known of it.
pub struct ScopeDesk<'a> {
    around: &'a dyn Surroundings,
    config: &'a Config,
    state: StateCopy,
    known: Known,
    directory: Box<dyn Directory>,
}

impl<'a> ScopeDesk<'a> {
    pub async fn open(around: &'a dyn Surroundings, config: &'a Config) -> Result<Self, RunError> {
        let state = open::state_copy(config).await?;
        let known = state.reader().load(around.now()).await?;
        let directory = around.directory(config);
        Ok(Self { around, config, state, known, directory })
    }

    /// Reads all that the configured entries reach, and these.
    pub async fn read(&self, more: &[ScopeEntry]) -> Result<ScopeLook<'_>, RunError> {
        let mut profile = open::profile(self.config);
        for entry in more {
            let there = |e: &ScopeEntry| (e.kind, &e.name) == (entry.kind, &entry.name);
            if !profile.wanted.entries.iter().any(there) {
                profile.wanted.entries.push(entry.clone());
            }
        }
        let read = OneRead::of(&profile, self.directory.as_ref(), &self.known, self.around.now()).await?;
        Ok(ScopeLook { desk: self, read })
    }
}

/// What was read of a scope.
pub struct ScopeLook<'a> {
    desk: &'a ScopeDesk<'a>,
    read: OneRead<'a>,
}

impl ScopeLook<'_> {
    /// What these entries stand for, of those that were read.
    pub fn view(&self, entries: &[ScopeEntry]) -> ScopeView {
        self.read.view(&open::profile(self.desk.config), &self.desk.known, entries)
    }

    /// The userNames, in lower case, that each of these entries brings.
    pub fn user_names(&self, entries: &[ScopeEntry]) -> Vec<BTreeSet<String>> {
        self.read.user_names(&open::profile(self.desk.config), &self.desk.known, entries)
    }

    /// The object that an entry stands for.
    pub fn object(&self, entry: &ScopeEntry) -> Option<Anchor> {
        self.read.object(entry)
    }

    /// What the next cycle would do with these entries in place of the configured ones.
    pub async fn effect(&self, entries: &[ScopeEntry]) -> Result<ScopeEffect, RunError> {
        let ScopeDesk { around, config, state, .. } = self.desk;
        let target = around.target(config, Access::ReadOnly, Gate::Open).await?;
        let identity_store = open::identity_store(target.as_ref()).await?;
        let clock = || around.now();
        let parts = Parts { directory: &self.read, target, identity_store, clock: &clock };
        let before = Profile { assignments: false, ..open::profile(config) };
        let mut after = Profile { assignments: false, ..open::profile(config) };
        after.wanted.entries = entries.to_vec();
        Ok(cycle::effect(&before, &after, &parts, state.reader()).await?)
    }
}
