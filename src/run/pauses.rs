//! Pauses: how one begins and ends, and what is told of it.

use std::fmt::Write as _;

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::config::Config;
use crate::plan::{DisableMethod, pause_disables_at, shown};
use crate::state::{Pause, State, StateError};

/// A pause that goes on keeps its beginning: by it everybody is disabled one day.
pub async fn begin_pause(
    state: &State,
    reason: Option<String>,
    by: Option<String>,
    until: Option<Timestamp>,
    now: Timestamp,
) -> Result<(Pause, Option<Pause>), StateError> {
    let before = state.pause().await?.filter(|pause| !pause.is_over(now));
    let (at, warned) = before.as_ref().map_or((now, None), |pause| (pause.at, pause.warned));
    let pause = Pause { at, reason, by, until, warned };
    state.set_pause(&pause).await?;
    Ok((pause, before))
}

/// Gives what ended.
pub async fn end_pause(state: &State, now: Timestamp) -> Result<Option<Pause>, StateError> {
    let before = state.pause().await?;
    if before.is_some() {
        state.clear_pause().await?;
    }
    Ok(before.filter(|pause| !pause.is_over(now)))
}

/// `paused since …, by …, until … (reason)`
pub fn describe(pause: &Pause) -> String {
    let mut text = format!("paused since {}", pause.at);
    // Writing to a String cannot fail.
    if let Some(by) = &pause.by {
        let _ = write!(text, " by {}", shown(by));
    }
    if let Some(until) = pause.until {
        let _ = write!(text, " until {until}");
    }
    if let Some(reason) = &pause.reason {
        let _ = write!(text, " ({})", shown(reason));
    }
    text
}

/// What really becomes of those who are to be disabled, by what the target can do.
pub fn put_out(config: &Config) -> &'static str {
    match config.policy.lifecycle.disable_method {
        _ if config.target.disables() => "disabled",
        DisableMethod::Revoke => "revoked",
        DisableMethod::Report => "reported",
        DisableMethod::Delete => "deleted",
    }
}

/// What it leads to in the end.
pub fn consequence(pause: &Pause, config: &Config) -> Option<String> {
    let at = pause_disables_at(pause.at, pause.until, &config.policy.lifecycle)?;
    Some(format!(
        "if it stays paused, all its users are {} from {at} on (lifecycle.disable-after)",
        put_out(config)
    ))
}

pub fn pause_view(pause: &Pause, config: &Config) -> Value {
    json!({
        "since": pause.at,
        "reason": pause.reason,
        "by": pause.by,
        "until": pause.until,
        "warned": pause.warned,
        "disablesAt": pause_disables_at(pause.at, pause.until, &config.policy.lifecycle),
    })
}
