//! `idcsync status`: what the state database knows of the profile.

use std::fmt::Write as _;

use jiff::Timestamp;
use serde_json::json;

use super::{Context, Exit, open};
use crate::cycle::{CycleError, chain};
use crate::model::{Finding, Kind, Known};
use crate::plan::shown;
use crate::state::{Cycle, CycleWord, HeldPlan, Pause, StateError};

pub async fn run(context: &Context) -> Exit {
    match status(context).await {
        Ok(()) => Exit::Done,
        Err(exit) => exit,
    }
}

struct Status {
    profile: String,
    database: String,
    pause: Option<Pause>,
    last: Option<Cycle>,
    known: Known,
    held: Option<HeldPlan>,
    findings: Vec<(Finding, Timestamp)>,
}

async fn status(context: &Context) -> Result<(), Exit> {
    let config = context.load_config()?;
    context.start_log(&config);
    let state = open::state_copy(context, &config).await?;
    let read = async {
        Ok::<_, StateError>(Status {
            profile: config.profile.clone(),
            database: state.place().to_owned(),
            pause: state.pause().await?,
            last: state.cycles(1).await?.into_iter().next(),
            known: state.load(super::clock::now()).await?,
            held: state.latest_held().await?.filter(|h| !h.steps.is_empty()),
            findings: state.standing_findings().await?,
        })
    };
    let status = read.await.map_err(|error| {
        let error = CycleError::State(error);
        context.complain(&format!("error: {}", chain(&error)));
        Exit::of_error(&error)
    })?;
    let print =
        if context.is_json() { context.print_json(&status.json()) } else { context.print(&status.text()) };
    print.map_err(|error| {
        context.complain(&format!("error: stdout cannot be written: {error}"));
        Exit::Unexpected
    })
}

fn ending(word: CycleWord) -> &'static str {
    match word {
        CycleWord::Nothing => "nothing to do",
        other => other.word(),
    }
}

impl Status {
    fn linked(&self, kind: Kind) -> usize {
        self.known.links.values().filter(|l| l.kind == kind && l.target_id.is_some()).count()
    }

    fn memberships(&self) -> u64 {
        self.known.links.values().filter(|l| l.kind == Kind::Group).map(|l| l.applied.len()).sum()
    }

    fn out_of_scope(&self) -> Vec<(&str, Timestamp)> {
        let mut out: Vec<(&str, Timestamp)> = self
            .known
            .links
            .values()
            .filter(|l| l.target_id.is_some())
            .filter_map(|l| l.out_since.map(|since| (l.name.as_deref().unwrap_or(&l.dn), since)))
            .collect();
        out.sort_by_key(|(name, since)| (*since, *name));
        out
    }

    fn json(&self) -> serde_json::Value {
        json!({
            "schema": "idcsync/status/v1",
            "profile": self.profile,
            "database": self.database,
            "paused": self.pause.as_ref().map(|p| json!({
                "since": p.at, "reason": p.reason, "by": p.by, "until": p.until,
            })),
            "lastCycle": self.last.as_ref().map(|c| json!({
                "cycle": c.id,
                "kind": c.kind.word(),
                "started": c.started,
                "finished": c.outcome.as_ref().map(|o| o.finished),
                "outcome": c.outcome.as_ref().map(|o| o.word.word()),
                "counts": c.outcome.as_ref().map(|o| &o.counts),
            })),
            "lastCompleteRead": self.known.last_complete_read,
            "binding": self.known.binding,
            "linkedUsers": self.linked(Kind::User),
            "linkedGroups": self.linked(Kind::Group),
            "memberships": self.memberships(),
            "held": self.held.as_ref().map(|h| json!({
                "plan": h.plan,
                "since": h.held_at,
                "steps": h.steps.iter().map(|(_, s)| s).collect::<Vec<_>>(),
            })),
            "approvals": self.known.approvals.len(),
            "outOfScope": self.out_of_scope().iter()
                .map(|(name, since)| json!({ "name": name, "since": since })).collect::<Vec<_>>(),
            "findings": self.findings.iter()
                .map(|(f, since)| json!({ "finding": f, "since": since })).collect::<Vec<_>>(),
        })
    }

    fn text(&self) -> String {
        let mut text = String::new();
        // Writing to a String cannot fail.
        let _ = self.write(&mut text);
        text
    }

    fn write(&self, text: &mut String) -> std::fmt::Result {
        writeln!(text, "Profile {} (state in {})", shown(&self.profile), shown(&self.database))?;
        if let Some(pause) = &self.pause {
            let reason = pause.reason.as_deref().map(|r| format!(": {}", shown(r))).unwrap_or_default();
            writeln!(text, "  paused since {}{reason}", pause.at)?;
        }
        match &self.last {
            None => writeln!(text, "  no cycle yet: run `idcsync sync --dry-run`")?,
            Some(cycle) => {
                let how = match &cycle.outcome {
                    Some(o) => format!("{} at {}", ending(o.word), o.finished),
                    None => "running, or killed before its end".to_owned(),
                };
                writeln!(text, "  last cycle {} began {}: {how}", cycle.id, cycle.started)?;
            }
        }
        if let Some(read) = self.known.last_complete_read {
            writeln!(text, "  last complete read {read}")?;
        }
        writeln!(
            text,
            "  {} users and {} groups linked, {} memberships",
            self.linked(Kind::User),
            self.linked(Kind::Group),
            self.memberships()
        )?;
        if let Some(held) = &self.held {
            writeln!(text, "  {} steps of plan {} held since {}", held.steps.len(), held.plan, held.held_at)?;
            writeln!(text, "    look: idcsync approve {} --show", held.plan)?;
        }
        let out = self.out_of_scope();
        if !out.is_empty() {
            writeln!(text, "\nOut of scope ({}; this version disables nobody):", out.len())?;
            for (name, since) in out {
                writeln!(text, "  {} since {since}", shown(name))?;
            }
        }
        if !self.findings.is_empty() {
            writeln!(text, "\nFindings ({}):", self.findings.len())?;
            for (finding, since) in &self.findings {
                let (label, message) = (shown(&finding.subject.label), shown(&finding.message));
                writeln!(text, "  {} {label} since {since}: {message}", finding.code)?;
            }
        }
        Ok(())
    }
}
