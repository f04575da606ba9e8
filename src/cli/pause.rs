//! `idcsync pause` and `idcsync resume`: what stops and restarts all cycles of the profile.

use std::fmt::Write as _;

use clap::Args;
use jiff::Timestamp;

use super::sync::explain;
use super::{Context, Exit};
use crate::config::Config;
use crate::run::{Moment, begin_pause, clock, consequence, describe, end_pause, open, pause_json};
use crate::state::Pause;

#[derive(Debug, Args)]
pub struct PauseArgs {
    /// For those who wonder: shown by `status` and by every cycle that is not run
    #[arg(long)]
    reason: Option<String>,

    /// When it ends by itself: 2026-12-24T08:00:00Z, 2026-12-24 (its first moment here), or from now on, as in 4h or 2d
    #[arg(long, value_name = "TIME", value_parser = Moment::parse)]
    until: Option<Moment>,

    /// Who pauses, if not the user that is logged in
    #[arg(long, value_name = "NAME")]
    by: Option<String>,
}

/// The name that the user is logged in with, else the number.
pub fn login() -> String {
    ["USER", "LOGNAME"]
        .iter()
        .find_map(|name| std::env::var(name).ok().filter(|value| !value.is_empty()))
        // Asked of the system: what /proc shows of a process that cannot be dumped is root's in part.
        .unwrap_or_else(|| format!("uid {}", rustix::process::getuid().as_raw()))
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
    let until = args.until.map(|until| until.after(now)).transpose().map_err(|why| {
        context.complain(&format!("error: --until: {why}; leave it out to pause until `idcsync resume`"));
        Exit::Usage
    })?;
    let by = Some(args.by.clone().unwrap_or_else(login));
    let state = open::state(&config).await.map_err(|error| explain(context, error))?;
    let result = begin_pause(&state, args.reason.clone(), by, until, now).await;
    state.close().await;
    let (pause, before) = result.map_err(|error| explain(context, error))?;
    context.give(
        || pause_json(&config, Some(&pause), before.as_ref()),
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
        || pause_json(&config, None, before.as_ref()),
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
        let _ =
            writeln!(text, "No cycle is run, and one that is under way ends within seconds; {consequence}.");
    }
    let _ = writeln!(text, "End it with: idcsync resume");
    text
}
