//! `idcsync pause` and `idcsync resume`: what stops and restarts all cycles of the profile.

use std::fmt::Write as _;

use clap::Args;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::sync::explain;
use super::{Context, Exit};
use crate::config::{Config, parse_duration};
use crate::run::{begin_pause, clock, consequence, describe, end_pause, open, pause_view};
use crate::state::Pause;

#[derive(Debug, Args)]
pub struct PauseArgs {
    /// For those who wonder: shown by `status` and by every cycle that is not run
    #[arg(long)]
    reason: Option<String>,

    /// When it ends by itself: 2026-12-24T08:00:00Z, 2026-12-24 (its first moment here), or from now on, as in 4h or 2d
    #[arg(long, value_name = "TIME", value_parser = until)]
    until: Option<Until>,

    /// Who pauses, if not the user that is logged in
    #[arg(long, value_name = "NAME")]
    by: Option<String>,
}

#[derive(Clone, Copy, Debug)]
enum Until {
    At(Timestamp),
    In(SignedDuration),
}

fn until(text: &str) -> Result<Until, String> {
    if let Ok(at) = text.parse::<Timestamp>() {
        return Ok(Until::At(at));
    }
    if let Ok(date) = text.parse::<Date>() {
        let start = date.to_zoned(TimeZone::system()).map_err(|error| error.to_string())?;
        return Ok(Until::At(start.timestamp()));
    }
    let time = parse_duration(text).map_err(|why| {
        format!("neither a time (2026-12-24T08:00:00Z), nor a date, nor a span such as 4h or 2d: {why}")
    })?;
    SignedDuration::try_from(time).map(Until::In).map_err(|_| "this is too long".to_owned())
}

impl Until {
    fn from(self, now: Timestamp) -> Result<Timestamp, String> {
        let at = match self {
            Self::At(at) => at,
            Self::In(time) => now.checked_add(time).map_err(|_| "this is too far away".to_owned())?,
        };
        if at <= now { Err(format!("{at} has gone by")) } else { Ok(at) }
    }
}

/// The name that the user is logged in with, else the number.
pub fn login() -> String {
    ["USER", "LOGNAME"]
        .iter()
        .find_map(|name| std::env::var(name).ok().filter(|value| !value.is_empty()))
        .unwrap_or_else(|| {
            use std::os::unix::fs::MetadataExt as _;
            std::fs::metadata("/proc/self")
                .map_or_else(|_| "unknown".to_owned(), |me| format!("uid {}", me.uid()))
        })
}

pub async fn pause(context: &Context, args: &PauseArgs) -> Exit {
    done(try_pause(context, args).await)
}

pub async fn resume(context: &Context) -> Exit {
    done(try_resume(context).await)
}

fn done(result: Result<(), Exit>) -> Exit {
    match result {
        Ok(()) => Exit::Done,
        Err(exit) => exit,
    }
}

async fn try_pause(context: &Context, args: &PauseArgs) -> Result<(), Exit> {
    let config = context.load_config()?;
    context.start_log(&config);
    // To the second, as people say it.
    let now = Timestamp::from_second(clock::now().as_second()).unwrap_or_else(|_| clock::now());
    let until = args.until.map(|until| until.from(now)).transpose().map_err(|why| {
        context.complain(&format!("error: --until: {why}; leave it out to pause until `idcsync resume`"));
        Exit::Usage
    })?;
    let by = Some(args.by.clone().unwrap_or_else(login));
    let state = open::state(&config).await.map_err(|error| explain(context, error))?;
    let result = begin_pause(&state, args.reason.clone(), by, until, now).await;
    state.close().await;
    let (pause, before) = result.map_err(|error| explain(context, error))?;
    context.give(
        || view(&config, Some(&pause), before.as_ref()),
        || paused_text(&config, &pause, before.as_ref()),
    )
}

async fn try_resume(context: &Context) -> Result<(), Exit> {
    let config = context.load_config()?;
    context.start_log(&config);
    let state = open::state(&config).await.map_err(|error| explain(context, error))?;
    let now = clock::now();
    let result = end_pause(&state, now).await;
    state.close().await;
    let before = result.map_err(|error| explain(context, error))?;
    context.give(
        || view(&config, None, before.as_ref()),
        || match &before {
            Some(pause) => format!("Profile {} runs again; it was {}.\n", config.profile, describe(pause)),
            None => format!("Profile {} is not paused: nothing to do.\n", config.profile),
        },
    )
}

fn paused_text(config: &Config, pause: &Pause, before: Option<&Pause>) -> String {
    let mut text = format!("Profile {} is {}.\n", config.profile, describe(pause));
    if let Some(before) = before {
        let _ =
            writeln!(text, "It was {} already: its beginning stays, the rest is replaced.", describe(before));
    }
    if let Some(consequence) = consequence(pause, config) {
        let _ = writeln!(text, "No cycle is run; {consequence}.");
    }
    let _ = writeln!(text, "End it with: idcsync resume");
    text
}

fn view(config: &Config, pause: Option<&Pause>, before: Option<&Pause>) -> Value {
    json!({
        "schema": "idcsync/pause/v1",
        "profile": config.profile,
        "paused": pause.map(|p| pause_view(p, config)),
        "before": before.map(|p| pause_view(p, config)),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_a_date_or_a_span() {
        let now: Timestamp = "2026-03-01T12:00:00Z".parse().unwrap();
        let at = |text: &str| until(text).and_then(|u| u.from(now));
        assert_eq!(at("2026-03-01T14:00:00+01:00").unwrap().to_string(), "2026-03-01T13:00:00Z");
        assert_eq!(at("4h").unwrap().to_string(), "2026-03-01T16:00:00Z");
        assert_eq!(at("2d").unwrap().to_string(), "2026-03-03T12:00:00Z");
        assert!(at("2026-03-04").unwrap() > now);
        assert_eq!(at("2026-03-01T12:00:00Z").unwrap_err(), "2026-03-01T12:00:00Z has gone by");
        assert_eq!(at("0s").unwrap_err(), "2026-03-01T12:00:00Z has gone by");
        assert!(at("tomorrow").unwrap_err().contains("nor a span"));
        assert!(at("99999999w").is_err());
    }
}
