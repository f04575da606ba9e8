//! `idcsync check`: every problem in one go.

use serde_json::json;

use super::{Context, Exit};
use crate::cycle::chain;
use crate::directory;
use crate::model::{CheckLine, CheckState};
use crate::plan::shown;
use crate::run::open;
use crate::target::{self, Access, Gate};

pub async fn run(context: &Context) -> Exit {
    match check(context).await {
        Ok(exit) | Err(exit) => exit,
    }
}

async fn check(context: &Context) -> Result<Exit, Exit> {
    let config = context.load_config()?;
    context.start_log(&config);
    let wanted = config.scope.wanted(config.mapping.attributes_needed());

    let place = context.global.config.display().to_string();
    let warnings = config.warnings.list().iter().map(ToString::to_string);
    let mut config_lines = vec![CheckLine::ok("config file", place)];
    config_lines.extend(warnings.map(|w| CheckLine::warn("config file", w, "see config/reference.toml")));

    let mut sections = vec![("Config", config_lines)];
    sections.push(("Directory", directory::check(&config.directory, &wanted).await));
    sections.push((
        "Target",
        match target::connect(&config.target, Access::ReadOnly, Gate::Open).await {
            Ok(target) => {
                let mut lines = target.check().await;
                // Where the target cannot be asked at all, that is what is to be mended first.
                if config.assignments && lines.iter().all(|l| l.state != CheckState::Fail) {
                    lines.extend(target.check_assignments().await);
                }
                lines
            }
            Err(error) => vec![CheckLine::fail("connection", chain(&error), "correct [target]")],
        },
    ));
    sections.push(("State database", state(&config).await));

    let failed = sections.iter().any(|(_, lines)| lines.iter().any(|l| l.state == CheckState::Fail));
    let print = if context.is_json() {
        context.print_json(&json!({
            "schema": "idcsync/check/v1",
            "profile": config.profile,
            "ok": !failed,
            "sections": sections.iter()
                .map(|(name, lines)| json!({ "name": name, "checks": lines })).collect::<Vec<_>>(),
        }))
    } else {
        context.print(&text(&sections))
    };
    print.map_err(|error| {
        context.complain(&format!("error: stdout cannot be written: {error}"));
        Exit::Unexpected
    })?;
    Ok(if failed { Exit::Unreachable } else { Exit::Done })
}

async fn state(config: &crate::config::Config) -> Vec<CheckLine> {
    const NAME: &str = "state database";
    let url = match open::url(config) {
        Ok(url) => url,
        Err(error) => return vec![CheckLine::fail(NAME, error.with_remedy(), "correct [state] url")],
    };
    let copy = match open::try_state_copy(&url, config).await {
        Ok(copy) => copy,
        Err(error) => return vec![CheckLine::fail(NAME, chain(&error), "see [state] url")],
    };
    let place = copy.place().to_owned();
    match copy.cycles(1).await {
        Ok(cycles) if cycles.is_empty() => {
            vec![CheckLine::ok("state database", format!("{place}, no cycle yet"))]
        }
        Ok(cycles) => {
            let last = cycles.first().map(|c| c.started.to_string()).unwrap_or_default();
            vec![CheckLine::ok("state database", format!("{place}, last cycle {last}"))]
        }
        Err(error) => vec![CheckLine::fail("state database", chain(&error), "see [state] url")],
    }
}

fn text(sections: &[(&str, Vec<CheckLine>)]) -> String {
    use std::fmt::Write as _;
    let mut text = String::new();
    for (name, lines) in sections {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "{name}");
        for line in lines {
            let mark = match line.state {
                CheckState::Ok => "✓",
                CheckState::Warn => "!",
                CheckState::Fail => "✗",
            };
            let _ = writeln!(text, "  {mark} {}: {}", shown(&line.name), shown(&line.detail));
            if let Some(remedy) = &line.remedy {
                let _ = writeln!(text, "      → {}", shown(remedy));
            }
        }
    }
    text
}
