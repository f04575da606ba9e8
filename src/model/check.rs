//! One line of `idcsync check`.

use serde::{Deserialize, Serialize};

/// How one check went.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CheckState {
    Ok,
    /// Works, but is worth a look.
    Warn,
    Fail,
}

/// What was tried, how it went, and what to do about it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CheckLine {
    /// What was checked: `bind`, `group AWS-Admins`.
    pub name: String,
    pub ok: CheckState,
    pub detail: String,
    pub remedy: Option<String>,
}

impl CheckLine {
    pub fn ok(name: impl Into<String>, detail: impl Into<String>) -> Self {
        Self { name: name.into(), ok: CheckState::Ok, detail: detail.into(), remedy: None }
    }

    pub fn warn(name: impl Into<String>, detail: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { name: name.into(), ok: CheckState::Warn, detail: detail.into(), remedy: Some(remedy.into()) }
    }

    pub fn fail(name: impl Into<String>, detail: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { name: name.into(), ok: CheckState::Fail, detail: detail.into(), remedy: Some(remedy.into()) }
    }
}
