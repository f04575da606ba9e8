//! The config file on disk, and whether it has changed.

use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::time::Instant;

use crate::config::{Config, ConfigError};
use crate::cycle::chain;

/// How often the file is looked at.
const EVERY: Duration = Duration::from_secs(10);

pub(super) struct ConfigFile {
    path: PathBuf,
    /// What was last read, right or wrong.
    bytes: Option<Vec<u8>>,
    looked: Instant,
}

impl ConfigFile {
    /// What the file holds now counts as read.
    pub fn new(path: PathBuf) -> Self {
        let bytes = std::fs::read(&path).ok();
        Self { path, bytes, looked: Instant::now() }
    }

    /// The new config where the file has changed since it was last read, or why it is none. `at_once`: whoever asks
    /// wants to hear of a broken file even if nothing has changed.
    pub async fn changed(&mut self, at_once: bool) -> Option<Result<Config, String>> {
        if !at_once && self.looked.elapsed() < EVERY {
            return None;
        }
        self.looked = Instant::now();
        // By its content: a file that a container mounts is replaced by turning a link.
        let path = self.path.clone();
        let read = tokio::task::spawn_blocking(move || std::fs::read(&path)).await.ok()?;
        match read {
            Ok(bytes) if !at_once && self.bytes.as_ref() == Some(&bytes) => None,
            Ok(bytes) => {
                let config = Config::from_bytes(&bytes, &self.path).map_err(|error| explain(&error));
                self.bytes = Some(bytes);
                Some(config)
            }
            Err(_) if !at_once && self.bytes.is_none() => None,
            Err(error) => {
                self.bytes = None;
                Some(Err(format!("{} cannot be read: {error}", shown(&self.path))))
            }
        }
    }
}

fn shown(path: &Path) -> String {
    crate::plan::shown(&path.display().to_string())
}

/// All that is wrong with it, in one line.
fn explain(error: &ConfigError) -> String {
    match error {
        ConfigError::Invalid(diagnostics) => {
            let all: Vec<String> = diagnostics.list().iter().map(ToString::to_string).collect();
            all.join("; ")
        }
        ConfigError::Read { .. } => chain(error),
    }
}
