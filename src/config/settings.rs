//! The checked config: nothing in it needs another look.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use super::diagnostic::Diagnostics;
use crate::directory::DirectorySettings;
use crate::mapping::Mapping;
use crate::model::{ScopeEntry, Wanted};
use crate::plan::Policy;
use crate::schedule::Schedule;
use crate::secret::SecretSource;
use crate::target::TargetSettings;

/// One sync profile. Holds no secret: only where each is found.
#[derive(Clone, Debug)]
pub struct Config {
    pub profile: String,
    pub directory: DirectorySettings,
    pub scope: ScopeSettings,
    pub mapping: Mapping,
    pub target: TargetSettings,
    /// `[guard]`, `[lifecycle]`, and `adopt` and `protect` of `[target]`.
    pub policy: Policy,
    /// Say what objects are assigned to in AWS accounts.
    pub assignments: bool,
    /// How long one cycle may apply.
    pub max_apply: Duration,
    /// How often a cycle also reads the target back.
    pub drift_check: Duration,
    /// How often a cycle reads the whole directory, and the others only what has changed; `None`: each cycle.
    pub full_read_every: Option<Duration>,
    /// How often the service looks for changes in the directory between the cycles; `None`: never.
    pub follow: Option<Duration>,
    /// When the service runs cycles.
    pub schedule: Schedule,
    pub service: ServiceSettings,
    /// Where `sync` leaves its metrics for a node exporter.
    pub metrics_textfile: Option<PathBuf>,
    pub state: StateSettings,
    /// How long past cycles are kept.
    pub keep_history: Duration,
    pub log: LogSettings,
    /// What is allowed and yet doubtful.
    pub warnings: Diagnostics,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScopeSettings {
    /// Groups, then users, each in the file's order.
    pub entries: Vec<ScopeEntry>,
    /// `nested-groups = "flatten"`
    pub nested: bool,
    /// RFC 4515.
    pub user_filter: Option<String>,
    pub primary_group: bool,
    pub distribution_groups: bool,
}

impl ScopeSettings {
    /// What a directory is asked for. `attributes`: those that the mapping reads, lower case.
    pub fn wanted(&self, attributes: BTreeSet<String>) -> Wanted {
        Wanted {
            entries: self.entries.clone(),
            nested: self.nested,
            user_filter: self.user_filter.clone(),
            primary_group: self.primary_group,
            distribution_groups: self.distribution_groups,
            attributes,
        }
    }
}

/// Where the state database is. The url holds no password.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StateSettings {
    /// `sqlite:PATH`, `sqlite://PATH`, `sqlite:///ABSOLUTE/PATH`, or `postgres://user@host/database`.
    pub url: String,
    /// For PostgreSQL.
    pub password: Option<SecretSource>,
    /// Where a relative SQLite path starts: the directory of the config file.
    pub base_dir: PathBuf,
}

/// What the service is to others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServiceSettings {
    /// For health, metrics and the API.
    pub listen: SocketAddr,
    /// What a caller has to show who changes something; without it nobody can.
    pub token: Option<SecretSource>,
    /// How long a cycle may go on when the service is told to end.
    pub grace: Duration,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogSettings {
    pub format: LogFormat,
    /// Gets a copy of each error record.
    pub error_log: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// Text on a terminal, JSON otherwise.
    Auto,
    Text,
    Json,
}
