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
    /// It could not be found out: no failure by itself.
    Unknown,
}

impl CheckState {
    pub fn word(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warn => "warn",
            Self::Fail => "fail",
            Self::Unknown => "unknown",
        }
    }
}

/// What was tried, how it went, and what to do about it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CheckLine {
    /// What was checked: `bind`, `group AWS-Admins`.
    pub name: String,
    #[serde(rename = "outcome")]
    pub state: CheckState,
    pub detail: String,
    #[serde(default)]
    pub remedy: Option<String>,
}

impl CheckLine {
    pub fn ok(name: impl Into<String>, detail: impl Into<String>) -> Self {
        Self { name: name.into(), state: CheckState::Ok, detail: detail.into(), remedy: None }
    }

    pub fn warn(name: impl Into<String>, detail: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            state: CheckState::Warn,
            detail: detail.into(),
            remedy: Some(remedy.into()),
        }
    }

    pub fn fail(name: impl Into<String>, detail: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            state: CheckState::Fail,
            detail: detail.into(),
            remedy: Some(remedy.into()),
        }
    }

    /// `detail` says why it could not be found out.
    pub fn unknown(name: impl Into<String>, detail: impl Into<String>) -> Self {
        Self { name: name.into(), state: CheckState::Unknown, detail: detail.into(), remedy: None }
    }

    pub fn with_remedy(self, remedy: impl Into<String>) -> Self {
        Self { remedy: Some(remedy.into()), ..self }
    }
}
