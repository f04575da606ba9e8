//! From a config to the parts of a cycle.
//!
//! What connects is boxed: futures within futures of libraries grow past the depth that an optimising build follows.

use std::sync::Arc;

use async_trait::async_trait;
use jiff::Timestamp;

use super::{RunError, clock};
use crate::config::Config;
use crate::cycle::{CycleError, Profile};
use crate::directory::{self, Directory, DirectoryError, Watch};
use crate::ids::IdentityStoreId;
use crate::model::Mark;
use crate::scope::NestedGroups;
use crate::state::{State, StateCopy, StateError, StateUrl};
use crate::target::{self, Access, Gate, Target};

/// Where the parts of a run come from, and what the time is there.
#[async_trait]
pub trait Surroundings: Send + Sync {
    fn now(&self) -> Timestamp;

    fn directory(&self, config: &Config) -> Box<dyn Directory>;

    async fn target(&self, config: &Config, access: Access, gate: Gate) -> Result<Arc<dyn Target>, RunError>;
}

/// What the config names.
#[derive(Clone, Copy, Debug)]
pub struct Actual;

#[async_trait]
impl Surroundings for Actual {
    fn now(&self) -> Timestamp {
        clock::now()
    }

    fn directory(&self, config: &Config) -> Box<dyn Directory> {
        directory(config)
    }

    async fn target(&self, config: &Config, access: Access, gate: Gate) -> Result<Arc<dyn Target>, RunError> {
        target(config, access, gate).await
    }
}

pub fn profile(config: &Config) -> Profile<'_> {
    Profile {
        name: &config.profile,
        wanted: config.scope.wanted(config.mapping.attributes_needed()),
        mapping: &config.mapping,
        policy: &config.policy,
        nested: if config.scope.nested { NestedGroups::Flatten } else { NestedGroups::Direct },
        max_apply: config.max_apply,
        keep_history: config.keep_history,
        assignments: config.assignments,
        full: false,
        drift_check: config.drift_check,
        full_read_every: config.full_read_every,
        rebind: false,
        only: None,
        rests: false,
        notes: Vec::new(),
    }
}

pub fn directory(config: &Config) -> Box<dyn Directory> {
    directory::open(config.directory.clone())
}

/// Who looks out for changes of what the mirror with this mark holds.
pub async fn watch(config: &Config, mark: &Mark) -> Result<Box<dyn Watch>, DirectoryError> {
    directory(config).watch(&profile(config).wanted, mark).await
}

pub async fn target(config: &Config, access: Access, gate: Gate) -> Result<Arc<dyn Target>, RunError> {
    Box::pin(target::connect(&config.target, access, gate)).await.map_err(RunError::Target)
}

/// Which identity store the target writes to: configured, or asked for.
pub async fn identity_store(target: &dyn Target) -> Result<IdentityStoreId, RunError> {
    target.identity_store().await.map_err(|error| CycleError::Target(error).into())
}

pub fn url(config: &Config) -> Result<StateUrl, RunError> {
    StateUrl::parse(&config.state.url, &config.state.base_dir)
        .and_then(|url| url.with_password(config.state.password.clone()))
        .map_err(RunError::Url)
}

pub async fn state(config: &Config) -> Result<State, RunError> {
    let url = url(config)?;
    Box::pin(State::open(&url, &config.profile)).await.map_err(RunError::State)
}

/// What a dry run reads: the database itself stays untouched.
pub async fn state_copy(config: &Config) -> Result<StateCopy, RunError> {
    let url = url(config)?;
    try_state_copy(&url, config).await.map_err(RunError::Copy)
}

pub async fn try_state_copy(url: &StateUrl, config: &Config) -> Result<StateCopy, StateError> {
    Box::pin(State::open_copy(url, &config.profile)).await
}
