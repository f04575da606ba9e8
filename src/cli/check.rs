//! `idcsync check`: every problem in one go.

use std::fmt::Write as _;

use serde_json::{Value, json};

use super::progress::Progress;
use super::{Context, Exit};
use crate::model::CheckState;
use crate::plan::shown;
use crate::run::{self, Area};

pub async fn run(context: &Context) -> Exit {
    match check(context).await {
        Ok(exit) | Err(exit) => exit,
    }
}

async fn check(context: &Context) -> Result<Exit, Exit> {
    let config = context.load_config()?;
    context.start_log(&config);
    let place = context.global.config.display().to_string();
    let bar = Progress::new("checking", context.global.quiet);
    let areas = Box::pin(run::check(&run::Actual, &config, &place)).await;
    bar.end();
    let failed = areas.iter().flat_map(|a| &a.lines).any(|l| l.state == CheckState::Fail);
    context.give(|| as_json(&config.profile, &areas, !failed), || text(&areas))?;
    Ok(if failed { Exit::Unreachable } else { Exit::Done })
}

fn as_json(profile: &str, areas: &[Area], ok: bool) -> Value {
    let checks: Vec<Value> = areas
        .iter()
        .flat_map(|area| area.lines.iter().map(move |line| (area, line)))
        .map(|(area, line)| {
            json!({
                "area": area.area,
                "name": line.name,
                "outcome": line.state.word(),
                "detail": line.detail,
                "remedy": line.remedy,
            })
        })
        .collect();
    json!({ "schema": "idcsync/check/v1", "profile": profile, "ok": ok, "checks": checks })
}

fn text(areas: &[Area]) -> String {
    let mut text = String::new();
    for area in areas {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "{}", area.title);
        for line in &area.lines {
            let mark = match line.state {
                CheckState::Ok => "✓",
                CheckState::Warn => "!",
                CheckState::Fail => "✗",
                CheckState::Unknown => "?",
            };
            let _ = writeln!(text, "  {mark} {}: {}", shown(&line.name), shown(&line.detail));
            if let Some(remedy) = &line.remedy {
                let _ = writeln!(text, "      → {}", shown(remedy));
            }
        }
    }
    text
}
