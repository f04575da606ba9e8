//! The config file: one TOML file is one sync profile.
//!
//! `raw` reads it as a tree that keeps the place of everything (`keys` has the shape, `literal` finds places
//! within strings), `check` makes a [`Config`] of it or says everything that is wrong at once, as
//! [`Diagnostics`]. `draft` writes a first one, `edit` changes single entries of the text, `file` puts the changed text in the old one's place.

mod check;
mod diagnostic;
mod draft;
mod edit;
mod file;
mod keys;
mod literal;
mod raw;
#[cfg(test)]
mod samples;
mod settings;
#[cfg(test)]
mod tests;
mod values;

use std::path::{Path, PathBuf};

pub use diagnostic::{Diagnostic, Diagnostics, Severity};
pub use draft::{Draft, DraftDirectory, DraftGroup, DraftTarget, draft};
pub use edit::{Change, Edited, Unedited, edit_scope, entry_literal, quoted};
pub use file::{FileError, OnDisk};
pub use keys::all_keys;
pub use settings::{Config, LogFormat, LogSettings, ScopeSettings, ServiceSettings, StateSettings};

/// More than a scope of 100,000 names comes to.
const LONGEST: u64 = 16 << 20;

/// Why there is no config.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    #[error("cannot read the config file {}", path.display())]
    Read { path: PathBuf, source: std::io::Error },
    #[error("the config file {} has {} error{}", .0.file(), .0.count(), if .0.count() == 1 { "" } else { "s" })]
    Invalid(Diagnostics),
}

impl ConfigError {
    /// Every single problem; empty where the file could not be read at all.
    pub fn diagnostics(&self) -> &[Diagnostic] {
        match self {
            Self::Read { .. } => &[],
            Self::Invalid(diagnostics) => diagnostics.list(),
        }
    }
}

/// A span of time as the config file has them: `28d`, `1h30m`.
pub fn parse_duration(text: &str) -> Result<std::time::Duration, String> {
    values::duration(text).map_err(|flaw| flaw.message)
}

impl Config {
    /// Reads and checks the file. Relative paths in it start where it is.
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        let failed = |source| ConfigError::Read { path: path.to_owned(), source };
        let bytes = file::read(path).map_err(failed)?;
        Self::from_bytes(&bytes, path)
    }

    /// Checks what a file at `path` would hold. Looks at nothing but the mode of password files.
    pub fn from_bytes(bytes: &[u8], path: &Path) -> Result<Self, ConfigError> {
        match std::str::from_utf8(bytes) {
            Ok(text) => check::check(text, path).map_err(ConfigError::Invalid),
            Err(error) => {
                let text = String::from_utf8_lossy(bytes);
                let at = error.valid_up_to();
                let mut problem = diagnostic::Problem::new(
                    at..at + char::REPLACEMENT_CHARACTER.len_utf8(),
                    "the file is not UTF-8, as TOML must be",
                );
                problem.label("not UTF-8");
                Err(ConfigError::Invalid(Diagnostics::new(path, &text, Severity::Error, vec![problem])))
            }
        }
    }
}
