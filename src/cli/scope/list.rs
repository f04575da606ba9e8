//! `idcsync scope list`.

use std::fmt::Write as _;

use serde_json::json;

use crate::cli::progress::Progress;
use crate::cli::sync::explain;
use crate::cli::{Context, Exit};
use crate::config::Config;
use crate::cycle::{EntryView, ScopeView};
use crate::plan::shown;
use crate::run::{Actual, ScopeDesk};

pub async fn run(context: &Context) -> Result<Exit, Exit> {
    let config = context.load_config()?;
    context.start_log(&config);
    let bar = Progress::new("reading the directory", context.global.quiet);
    let view = Box::pin(read(&config)).await;
    bar.end();
    let view = view.map_err(|error| explain(context, error))?;
    context.give(|| document(&config, &view), || text(&config, &view))?;
    let unread = view.entries.iter().any(|e| e.state == "unread");
    if let Some(why) = &view.cut_short {
        context
            .complain(&format!("error: not everything could be read, so there may be more: {}", shown(why)));
    }
    Ok(if unread || view.cut_short.is_some() { Exit::Unreachable } else { Exit::Done })
}

async fn read(config: &Config) -> Result<ScopeView, crate::run::RunError> {
    let desk = ScopeDesk::open(&Actual, config).await?;
    Ok(desk.read(&[]).await?.view(&config.scope.entries))
}

fn document(config: &Config, view: &ScopeView) -> serde_json::Value {
    json!({
        "schema": "idcsync/scope/v1",
        "profile": config.profile,
        "entries": view.entries,
        "users": view.users,
        "groups": view.groups,
        "cutShort": view.cut_short,
    })
}

fn text(config: &Config, view: &ScopeView) -> String {
    let mut text = format!(
        "Scope of profile {}: {} and {}.\n",
        config.profile,
        counted(view.users, "user"),
        counted(view.groups, "group")
    );
    for entry in &view.entries {
        // Writing to a String cannot fail.
        let _ = write!(text, "{}", line(entry));
    }
    text
}

fn line(entry: &EntryView) -> String {
    let mark = match (entry.is_resolved(), &entry.problem) {
        (true, None) => "✓",
        (true, Some(_)) => "!",
        (false, _) => "✗",
    };
    let what = if entry.write { "" } else { " (container)" };
    let mut line = format!("  {mark} {} {}{what}: ", entry.kind, shown(&entry.name));
    match &entry.dn {
        Some(dn) => {
            let mut brings = counted(entry.users, "user");
            if entry.kind == crate::model::Kind::Group {
                brings = format!("{brings}, {}", counted(entry.groups, "group"));
            }
            line += &format!("{brings}, {}\n", shown(dn));
        }
        None => line += &format!("{}\n", entry.state.replace('-', " ")),
    }
    if let Some(problem) = &entry.problem {
        line += &format!("      → {}\n", shown(problem));
    }
    line
}

/// `1 user`, `2 users`.
pub(super) fn counted(count: u64, one: &str) -> String {
    crate::plan::counted(count, one, &format!("{one}s"))
}
