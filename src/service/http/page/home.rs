//! The first page.

use std::collections::BTreeMap;

use askama::Template;
use axum::extract::State as Shared;
use axum::http::StatusCode;
use axum::response::Response;

use super::chart::{Bar, Chart, chart};
use super::lists::HeldView;
use super::objects::Search;
use super::{Frame, When, html, remedy, waits};
use crate::config::Config;
use crate::model::{Code, Severity};
use crate::plan::{Coming, counted, grouped};
use crate::run::{Overview, consequence, describe, put_out};
use crate::service::View;
use crate::service::http::FromWeb;
use crate::state::CycleWord;

/// Days of the calendar, and people who are named for each.
const DAYS: usize = 14;
const NAMED: usize = 5;

#[derive(Template)]
#[template(path = "status/home.html")]
struct Home {
    frame: Frame,
    state_word: &'static str,
    state_class: &'static str,
    notices: Vec<Notice>,
    paused: bool,
    last: String,
    last_at: Option<When>,
    next: String,
    next_at: Option<When>,
    last_read: Option<When>,
    users: String,
    groups: String,
    memberships: String,
    held: Option<HeldView>,
    chart: Chart,
    bars: Vec<Bar>,
    days: Vec<Day>,
    more_days: Option<String>,
    leaving: usize,
    findings_count: String,
    findings: Vec<FindingKind>,
    search: Search,
}

struct Notice {
    class: &'static str,
    text: String,
}

struct Day {
    day: String,
    count: String,
    names: String,
}

struct FindingKind {
    code: &'static str,
    severity: &'static str,
    class: &'static str,
    count: String,
    who: String,
    remedy: String,
}

pub async fn home(Shared(web): FromWeb) -> Response {
    let overview = match web.overview().await {
        Ok(overview) => overview,
        Err(refusal) => return waits(&web, "/", refusal),
    };
    let (config, view) = (web.board.config(), web.board.view());
    html(StatusCode::OK, &Home::of(Frame::new(&web, "/"), &config, &view, &overview))
}

impl Home {
    fn of(frame: Frame, config: &Config, view: &View, overview: &Overview) -> Self {
        let (state_word, state_class) = state(view, overview);
        let (last, last_at) = last(overview);
        let (next, next_at) = next(view, overview);
        let mut chart = chart(&overview.cycles);
        let bars = std::mem::take(&mut chart.bars);
        let (days, more_days) = calendar(config, overview);
        Self {
            frame,
            state_word,
            state_class,
            notices: notices(config, view, overview),
            paused: overview.pause.is_some(),
            last,
            last_at,
            next,
            next_at,
            last_read: overview.last_complete_read.map(When),
            users: grouped(overview.linked.users),
            groups: grouped(overview.linked.groups),
            memberships: grouped(overview.linked.memberships),
            held: HeldView::of(overview),
            chart,
            bars,
            days,
            more_days,
            leaving: overview.leavers.len(),
            findings_count: grouped(overview.findings.len() as u64),
            findings: kinds(overview),
            search: Search::empty(),
        }
    }
}

fn state(view: &View, overview: &Overview) -> (&'static str, &'static str) {
    match (&view.running, &overview.pause) {
        (_, Some(_)) => ("paused", "held"),
        (Some(running), _) => (running.phase, "change"),
        (None, None) => ("waiting for the next cycle", "plus"),
    }
}

fn notices(config: &Config, view: &View, overview: &Overview) -> Vec<Notice> {
    let mut all = Vec::new();
    let mut add = |class, text| all.push(Notice { class, text });
    if let Some(pause) = &overview.pause {
        let then = consequence(pause, config).map(|then| format!("; {then}")).unwrap_or_default();
        add("held", format!("The profile is {}{then}.", describe(pause)));
    }
    if let Some(running) = &view.running {
        let steps = match running.total {
            0 => String::new(),
            total => format!(", {} of {} steps done", grouped(running.done), grouped(total)),
        };
        let left = running.seconds_left.map(|s| format!(", about {} s left", grouped(s))).unwrap_or_default();
        add("", format!("A cycle is {} since {}{steps}{left}.", running.phase, When(running.since)));
    } else if let Some(lease) = view.lease.as_ref().filter(|lease| !lease.mine) {
        add("", format!("Somebody else is at work on the identity store: {}.", lease.holder));
    }
    if let Some(why) = &view.config_problem {
        add(
            "minus",
            format!("The changed config file is not taken up, the one before it stays in force: {why}"),
        );
    }
    if let Some(error) = view.last.as_ref().and_then(|last| last.error.as_ref()) {
        add("minus", format!("The last run failed: {error}"));
    }
    if let Some(why) = &view.waits_for {
        add("minus", format!("The service waits for {why}"));
    }
    all
}

fn last(overview: &Overview) -> (String, Option<When>) {
    let Some(cycle) = overview.cycles.first() else { return ("none yet".to_owned(), None) };
    match &cycle.outcome {
        Some(outcome) => {
            let word = match outcome.word {
                CycleWord::Nothing => "nothing to do",
                other => other.word(),
            };
            (word.to_owned(), Some(When(outcome.finished)))
        }
        None => ("under way, or killed".to_owned(), Some(When(cycle.started))),
    }
}

fn next(view: &View, overview: &Overview) -> (String, Option<When>) {
    match (view.next, &overview.pause) {
        (_, Some(_)) => ("none while paused".to_owned(), None),
        (Some(at), None) => ("by the schedule".to_owned(), Some(When(at))),
        (None, None) => ("not known yet".to_owned(), None),
    }
}

/// What is coming, day by day.
fn calendar(config: &Config, overview: &Overview) -> (Vec<Day>, Option<String>) {
    let mut days: BTreeMap<String, BTreeMap<&str, Vec<&str>>> = BTreeMap::new();
    for leaver in &overview.leavers {
        let Some((what, at, days_left)) = leaver.coming else { continue };
        let day = if days_left == 0 { "now".to_owned() } else { at.strftime("%Y-%m-%d").to_string() };
        let what = if what == Coming::Delete { "deleted" } else { put_out(config) };
        days.entry(day).or_default().entry(what).or_default().push(&leaver.name);
    }
    // What is due stands first, and "now" comes after all digits.
    let due = days.remove("now").map(|what| ("at the next cycle".to_owned(), what));
    let all: Vec<_> = due.into_iter().chain(days).collect();
    let count = |what: &BTreeMap<&str, Vec<&str>>| what.values().map(Vec::len).sum::<usize>() as u64;
    let later: u64 = all.iter().skip(DAYS).map(|(_, what)| count(what)).sum();
    let more = (later > 0).then(|| format!("{} later.", counted(later, "object", "objects")));
    let shown = all.iter().take(DAYS).map(|(day, what)| {
        let told: Vec<_> =
            what.iter().map(|(what, names)| format!("to be {what}: {}", some(names))).collect();
        Day { day: day.clone(), count: grouped(count(what)), names: told.join("; ") }
    });
    (shown.collect(), more)
}

/// The first of them by name, the others by number.
fn some(names: &[&str]) -> String {
    let mut text = names.iter().take(NAMED).copied().collect::<Vec<_>>().join(", ");
    if names.len() > NAMED {
        text += &format!(" and {} more", grouped((names.len() - NAMED) as u64));
    }
    text
}

fn kinds(overview: &Overview) -> Vec<FindingKind> {
    let mut by_code: BTreeMap<(std::cmp::Reverse<Severity>, Code), Vec<&str>> = BTreeMap::new();
    for (finding, _) in &overview.findings {
        let key = (std::cmp::Reverse(finding.code.severity()), finding.code);
        by_code.entry(key).or_default().push(&finding.subject.label);
    }
    let kind = |((std::cmp::Reverse(severity), code), labels): (_, Vec<&str>)| {
        let code: Code = code;
        let (severity, class) = match severity {
            Severity::Error => ("error", "minus"),
            Severity::Warning => ("warning", "change"),
            Severity::Info => ("info", "faint"),
        };
        FindingKind {
            code: code.name(),
            severity,
            class,
            count: grouped(labels.len() as u64),
            who: some(&labels),
            remedy: remedy(code),
        }
    };
    by_code.into_iter().map(kind).collect()
}
