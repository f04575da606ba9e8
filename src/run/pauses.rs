//! Pauses: how one begins and ends, and what is told of it.

use std::fmt::Write as _;

use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use crate::config::{Config, parse_duration};
use crate::cycle::{PauseDue, pause_due};
use crate::plan::{DisableMethod, pause_disables_at, shown};
use crate::state::{Pause, State, StateError};

/// A moment, as people say it: itself, or how far it is from now.
#[derive(Clone, Copy, Debug)]
pub enum Moment {
    At(Timestamp),
    In(SignedDuration),
}

impl Moment {
    pub fn parse(text: &str) -> Result<Self, String> {
        if let Ok(at) = text.parse::<Timestamp>() {
            return Ok(Self::At(at));
        }
        if let Ok(date) = text.parse::<Date>() {
            let start = date.to_zoned(TimeZone::system()).map_err(|error| error.to_string())?;
            return Ok(Self::At(start.timestamp()));
        }
        let time = parse_duration(text).map_err(|why| {
            format!("neither a time (2026-12-24T08:00:00Z), nor a date, nor a span such as 4h or 2d: {why}")
        })?;
        SignedDuration::try_from(time).map(Self::In).map_err(|_| "this is too long".to_owned())
    }

    /// `2d` is two days ago.
    pub fn before(self, now: Timestamp) -> Timestamp {
        match self {
            Self::At(at) => at,
            Self::In(time) => now.checked_sub(time).unwrap_or(Timestamp::MIN),
        }
    }

    /// `2d` is in two days.
    pub fn after(self, now: Timestamp) -> Result<Timestamp, String> {
        let at = match self {
            Self::At(at) => at,
            Self::In(time) => now.checked_add(time).map_err(|_| "this is too far away".to_owned())?,
        };
        if at <= now { Err(format!("{at} has gone by")) } else { Ok(at) }
    }
}

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

/// What a pause means for a plan that is shown meanwhile.
pub fn meaning(pause: &Pause, config: &Config, now: Timestamp) -> String {
    let (since, all) = (describe(pause), put_out(config));
    let lifecycle = &config.policy.lifecycle;
    // The warning is given even where the pause ends before anything comes of it.
    let warned = |at: &Timestamp| pause.until.is_none_or(|until| until > *at);
    match pause_due(pause, lifecycle.disable_after, now) {
        PauseDue::Sweep(_) => format!(
            "The next run does nothing of this: the profile is {since}, for longer than lifecycle.disable-after, and all \
             its users are {all} by it. To prevent that: `idcsync resume`"
        ),
        PauseDue::Warn { at } if warned(&at) => format!(
            "The profile is {since}: all its users are {all} by the first run after {at}, and nothing of this is done, \
             unless it is resumed: `idcsync resume`"
        ),
        _ => {
            let ends =
                if pause.until.is_some() { "that time, or for `idcsync resume`" } else { "`idcsync resume`" };
            let then = consequence(pause, config).map(|then| format!("; {then}")).unwrap_or_default();
            format!("The profile is {since}: this waits for {ends}{then}")
        }
    }
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

/// What `pause` and `resume` answer.
pub fn pause_json(config: &Config, pause: Option<&Pause>, before: Option<&Pause>) -> Value {
    json!({
        "schema": "idcsync/pause/v1",
        "profile": config.profile,
        "paused": pause.map(|p| pause_view(p, config)),
        "before": before.map(|p| pause_view(p, config)),
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_time_a_date_or_a_span() {
        let now: Timestamp = "2026-03-01T12:00:00Z".parse().unwrap();
        let at = |text: &str| Moment::parse(text).and_then(|end| end.after(now));
        assert_eq!(at("2026-03-01T14:00:00+01:00").unwrap().to_string(), "2026-03-01T13:00:00Z");
        assert_eq!(at("4h").unwrap().to_string(), "2026-03-01T16:00:00Z");
        assert_eq!(at("2d").unwrap().to_string(), "2026-03-03T12:00:00Z");
        assert!(at("2026-03-04").unwrap() > now);
        assert_eq!(at("2026-03-01T12:00:00Z").unwrap_err(), "2026-03-01T12:00:00Z has gone by");
        assert_eq!(at("0s").unwrap_err(), "2026-03-01T12:00:00Z has gone by");
        assert!(at("tomorrow").unwrap_err().contains("nor a span"));
        assert!(at("99999999w").is_err());
    }

    #[test]
    fn what_a_pause_means_for_a_plan_depends_on_how_long_it_has_been() {
        let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("config/quickstart.toml");
        let config = Config::load(&path).unwrap();
        let at = |text: &str| -> Timestamp { format!("2026-{text}T00:00:00Z").parse().unwrap() };
        let pause = |until: Option<&str>, warned: Option<&str>| Pause {
            at: at("03-01"),
            reason: None,
            by: Some("ada".to_owned()),
            until: until.map(at),
            warned: warned.map(at),
        };
        let told = |pause: &Pause, now: &str| meaning(pause, &config, at(now));
        let open = told(&pause(None, None), "03-02");
        assert!(open.starts_with("The profile is paused since 2026-03-01T00:00:00Z by ada: this waits for `idcsync resume`; if it"), "{open}");
        assert!(open.contains(" from 2026-03-29T00:00:00Z on (lifecycle.disable-after)"), "{open}");
        // It ends by itself, and nothing comes of it.
        let ends = told(&pause(Some("03-03"), None), "03-02");
        assert!(
            ends.ends_with("until 2026-03-03T00:00:00Z: this waits for that time, or for `idcsync resume`"),
            "{ends}"
        );
        let late = told(&pause(None, None), "03-28");
        assert!(
            late.contains("by the first run after 2026-03-29T00:00:00Z, and nothing of this is done"),
            "{late}"
        );
        let due = told(&pause(None, Some("03-28")), "04-01");
        assert!(due.starts_with("The next run does nothing of this: the profile is paused since "), "{due}");
    }

    proptest! {
        #[test]
        fn no_text_makes_the_end_of_a_pause_panic(text in "([0-9]{1,22} ?[dhmsw]? ?){0,4}|[0-9TZ:+-]{0,30}|\\PC*") {
            if let Ok(end) = Moment::parse(&text) {
                let _ = end.after(Timestamp::MAX);
                let _ = end.after(Timestamp::UNIX_EPOCH);
            }
            let _ = crate::config::parse_duration(&text);
        }
    }
}
