//! What the parts of the service know of each other: the worker writes it, HTTP reads it and asks for runs.

use std::sync::{Arc, PoisonError, RwLock};

use jiff::Timestamp;
use serde::Serialize;
use tokio::sync::mpsc;
use tokio::time::Instant;

use crate::config::Config;
use crate::state::State;

/// Asked of the worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ask {
    /// Run as soon as nothing else runs, due or not.
    SyncNow,
    /// The directory has changed: run as soon as nothing else runs, unless the profile is paused.
    Changed,
    /// Look again at what others may have changed: the pause, the last cycle.
    Look,
    /// Read the config file again, changed or not.
    Reload,
}

/// A run that is under way.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Running {
    pub since: Timestamp,
    /// `reading`, `applying`
    pub phase: &'static str,
    pub done: u64,
    pub total: u64,
    /// While it applies, and where it can be told.
    pub seconds_left: Option<u64>,
}

/// How the last run of this process ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct LastRun {
    pub ended: Timestamp,
    /// One of `CycleWord`'s, or `paused`, `lease-elsewhere`.
    pub outcome: &'static str,
    /// Why it failed.
    pub error: Option<String>,
}

/// Who works on the identity store.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Lease {
    pub holder: String,
    /// By the database's clock; it is prolonged while the holder works. `None` of this process's own.
    pub until: Option<Timestamp>,
    /// It is this process.
    pub mine: bool,
}

/// What the service is at.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct View {
    /// What has to be there before anything can be run; nothing once it is ready.
    pub waits_for: Option<String>,
    pub running: Option<Running>,
    pub paused: bool,
    /// By the schedule; `None` while paused, or where it cannot be told yet.
    pub next: Option<Timestamp>,
    pub last: Option<LastRun>,
    pub lease: Option<Lease>,
    /// Why a changed config file was not taken up: the one before it is in force.
    pub config_problem: Option<String>,
    /// When the worker last showed that it is alive, by a clock that nobody can set.
    #[serde(skip)]
    pub alive: Option<Instant>,
}

pub struct Board {
    config: RwLock<Arc<Config>>,
    state: RwLock<Option<State>>,
    view: RwLock<View>,
    asks: mpsc::Sender<Ask>,
}

impl Board {
    pub fn new(config: Arc<Config>, asks: mpsc::Sender<Ask>) -> Self {
        let view = View { waits_for: Some("the state database".to_owned()), ..View::default() };
        Self { config: RwLock::new(config), state: RwLock::default(), view: RwLock::new(view), asks }
    }

    /// The one in force.
    pub fn config(&self) -> Arc<Config> {
        Arc::clone(&self.config.read().unwrap_or_else(PoisonError::into_inner))
    }

    pub fn set_config(&self, config: Arc<Config>) {
        *self.config.write().unwrap_or_else(PoisonError::into_inner) = config;
    }

    /// `None` until it could be opened.
    pub fn state(&self) -> Option<State> {
        self.state.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub fn set_state(&self, state: Option<State>) {
        *self.state.write().unwrap_or_else(PoisonError::into_inner) = state;
    }

    pub fn view(&self) -> View {
        self.view.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub fn change(&self, change: impl FnOnce(&mut View)) {
        change(&mut self.view.write().unwrap_or_else(PoisonError::into_inner));
    }

    /// False where so much is asked already that one more would change nothing.
    pub fn ask(&self, ask: Ask) -> bool {
        self.asks.try_send(ask).is_ok()
    }
}
