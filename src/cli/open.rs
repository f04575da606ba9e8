//! From a config to the parts of a cycle.
//!
//! What connects is boxed: futures within futures of libraries grow past the depth that an optimising build follows.

use std::sync::Arc;

use super::{Context, Exit};
use crate::config::Config;
use crate::cycle::{Profile, chain};
use crate::directory::{self, Directory};
use crate::scope::NestedGroups;
use crate::state::{State, StateCopy, StateError, StateUrl};
use crate::target::{self, Access, Gate, Target};

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
        rebind: false,
        only: None,
    }
}

pub fn directory(config: &Config) -> Box<dyn Directory> {
    directory::open(config.directory.clone())
}

pub async fn target(
    context: &Context,
    config: &Config,
    access: Access,
    gate: Gate,
) -> Result<Arc<dyn Target>, Exit> {
    Box::pin(target::connect(&config.target, access, gate)).await.map_err(|error| {
        context.complain(&format!("error: the target cannot be used: {}", chain(&error)));
        Exit::Unreachable
    })
}

pub fn url(context: &Context, config: &Config) -> Result<StateUrl, Exit> {
    StateUrl::parse(&config.state.url, &config.state.base_dir)
        .and_then(|url| url.with_password(config.state.password.clone()))
        .map_err(|error| {
            context.complain(&format!("error: {}", chain(&error)));
            Exit::Usage
        })
}

pub async fn state(context: &Context, config: &Config) -> Result<State, Exit> {
    let url = url(context, config)?;
    Box::pin(State::open(&url, &config.profile)).await.map_err(|error| {
        context.complain(&format!("error: the state database cannot be used: {}", chain(&error)));
        Exit::Unreachable
    })
}

/// What a dry run reads: the database itself stays untouched.
pub async fn state_copy(context: &Context, config: &Config) -> Result<StateCopy, Exit> {
    let url = url(context, config)?;
    try_state_copy(&url, config).await.map_err(|error| {
        context.complain(&format!("error: the state database cannot be read: {}", chain(&error)));
        Exit::Unreachable
    })
}

pub async fn try_state_copy(url: &StateUrl, config: &Config) -> Result<StateCopy, StateError> {
    Box::pin(State::open_copy(url, &config.profile)).await
}
