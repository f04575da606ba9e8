//! From the raw file to a [`Config`]: each table in its own file, every problem noted, none twice.

mod directory;
mod lifecycle;
mod mapping;
mod schedule;
mod scim;
mod scope;
mod service;
mod state;
mod target;

pub(super) use scope::entry_key;

use std::path::Path;

use toml::de::{DeTable, Error};

use super::diagnostic::{Diagnostics, Problem, Severity};
use super::keys::{self, Shape};
use super::raw::{Reader, Section, shown};
use super::settings::Config;
use crate::plan::Policy;

/// Checks the text of a config file. `file` is for messages, and for where relative paths start.
pub(super) fn check(text: &str, file: &Path) -> Result<Config, Diagnostics> {
    let (tree, syntax) = DeTable::parse_recoverable(text);
    if !syntax.is_empty() {
        return Err(Diagnostics::new(file, text, Severity::Error, syntax_problems(text, &syntax)));
    }
    let base = match file.parent() {
        Some(dir) if !dir.as_os_str().is_empty() => dir,
        _ => Path::new("."),
    };
    let mut reader = Reader { text, base, errors: Vec::new(), warnings: Vec::new() };
    let config = read(&mut reader, tree.get_ref());
    if reader.errors.is_empty() && config.is_none() {
        // Every reader that gives nothing has said why.
        reader.error(0..0, "the file is not complete");
    }
    match config {
        Some(mut config) if reader.errors.is_empty() => {
            config.warnings = Diagnostics::new(file, text, Severity::Warning, reader.warnings);
            Ok(config)
        }
        _ => Err(Diagnostics::new(file, text, Severity::Error, reader.errors)),
    }
}

fn read<'t>(r: &mut Reader<'t>, tree: &'t DeTable<'t>) -> Option<Config> {
    let root = r.section(&keys::ROOT, tree, 0..0);
    let profile = profile(r, &root);
    let directory = required(r, &root, "directory", &keys::DIRECTORY).map(|s| directory::read(r, &s));
    let scope = required(r, &root, "scope", &keys::SCOPE).and_then(|s| scope::read(r, &s));
    let mapping = optional(r, &root, "mapping", &keys::MAPPING);
    let mapping = mapping::read(r, &mapping, directory.as_ref().and_then(|d| d.kind), target_kind(tree));
    let target = required(r, &root, "target", &keys::TARGET).map(|s| target::read(r, &s));
    let lifecycle = optional(r, &root, "lifecycle", &keys::LIFECYCLE);
    let lifecycle = lifecycle::read(r, &lifecycle, target.as_ref().and_then(|t| t.settings.as_ref()));
    let guard = optional(r, &root, "guard", &keys::GUARD);
    let guard = target::guard(r, &guard);
    let schedule = optional(r, &root, "schedule", &keys::SCHEDULE);
    let drift_check = schedule::drift_check(r, &schedule);
    let (full_read_every, follow) = schedule::following(r, &schedule, directory.as_ref());
    let schedule = schedule::read(r, &schedule, profile.as_deref().unwrap_or_default());
    let service = optional(r, &root, "service", &keys::SERVICE);
    let service = service::read(r, &service);
    let metrics = optional(r, &root, "metrics", &keys::METRICS);
    let metrics_textfile = service::textfile(r, &metrics);
    let state = optional(r, &root, "state", &keys::STATE);
    let state = state::read(r, &state);
    let log = optional(r, &root, "log", &keys::LOG);
    let log = state::log(r, &log);

    let target = target?;
    Some(Config {
        profile: profile?,
        directory: directory?.settings?,
        scope: scope?,
        mapping: mapping?,
        target: target.settings?,
        policy: Policy { guard, adopt: target.adopt, protect: target.protect, lifecycle },
        assignments: target.assignments,
        max_apply: target.max_apply,
        drift_check,
        full_read_every,
        follow,
        schedule: schedule?,
        service: service?,
        metrics_textfile,
        state: state.settings?,
        keep_history: state.keep_history,
        log,
        warnings: Diagnostics::default(),
    })
}

/// What `[mapping]` depends on; that it is missing or unknown is said where `[target]` is read.
fn target_kind<'t>(tree: &'t DeTable<'t>) -> Option<&'t str> {
    let kind = tree.get("target")?.get_ref().as_table()?.get("kind")?.get_ref().as_str()?;
    target::KINDS.iter().any(|(known, _)| *known == kind).then_some(kind)
}

fn required<'t>(
    r: &mut Reader<'t>,
    root: &Section<'t>,
    key: &'static str,
    shape: &'static Shape,
) -> Option<Section<'t>> {
    if !root.has(key) {
        r.error(0..0, format!("the table [{key}] is missing")).label("in this file");
    }
    root.table(r, key, shape)
}

fn optional<'t>(
    r: &mut Reader<'t>,
    root: &Section<'t>,
    key: &'static str,
    shape: &'static Shape,
) -> Section<'t> {
    match root.has(key) {
        true => root.table(r, key, shape).unwrap_or_else(|| Section::absent(shape)),
        false => Section::absent(shape),
    }
}

/// The profile's name stands in the state database, in logs and in metrics.
fn profile<'t>(r: &mut Reader<'t>, root: &Section<'t>) -> Option<String> {
    const MOST: usize = 64;
    let help = "a short name for this sync, such as \"corp\"";
    let text = root.required(r, "profile", "a name", help)?;
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    if text.value.len() > MOST || !text.value.chars().all(plain) || text.value.starts_with(['-', '.']) {
        r.error(text.span, format!("\"{}\" cannot be the name of a profile", shown(text.value)))
            .label("no name")
            .help("at most 64 letters, digits, `-`, `_` and `.`, beginning with a letter or digit");
        return None;
    }
    Some(text.value.to_owned())
}

/// The first on each line: what the parser says after it on the same line is mostly its echo.
fn syntax_problems(text: &str, errors: &[Error]) -> Vec<Problem> {
    let mut problems = Vec::new();
    let mut lines = Vec::new();
    for error in errors {
        let span = error.span().unwrap_or(0..0);
        let before = text.get(..span.start).unwrap_or(text);
        let line = before.matches('\n').count();
        if lines.contains(&line) {
            continue;
        }
        lines.push(line);
        let mut problem = Problem::new(span, format!("not valid TOML: {}", error.message()));
        problem.label("not valid TOML");
        let start = before.rfind('\n').map_or(0, |nl| nl + 1);
        let rest = &text[start..];
        if rest.lines().next().is_some_and(|l| l.trim_start().contains("[primary]") && !l.contains("\"")) {
            problem.help("a name with brackets in it stands in quotes: \"emails[primary].value\"");
        }
        problems.push(problem);
    }
    problems
}
