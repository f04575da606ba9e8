//! `idcsync status`: what the state database knows of the profile, and what is going to happen to whom.

use std::fmt::Write as _;

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::pause::{consequence, describe, pause_view, put_out};
use super::{Context, Exit, open};
use crate::config::Config;
use crate::cycle::{CycleError, chain};
use crate::model::{DisableCause, Finding, Kind, Known, Link};
use crate::plan::{Coming, Countdown, countdowns, shown};
use crate::state::{Cycle, CycleKind, CycleWord, HeldPlan, Pause, StateError};

pub async fn run(context: &Context) -> Exit {
    match status(context).await {
        Ok(()) => Exit::Done,
        Err(exit) => exit,
    }
}

/// Among so many the last one is looked for that was not a repair by hand.
const LATELY: u32 = 100;

struct Status {
    config: Config,
    now: Timestamp,
    database: String,
    pause: Option<Pause>,
    last: Option<Cycle>,
    known: Known,
    countdowns: Vec<Countdown>,
    held: Option<HeldPlan>,
    findings: Vec<(Finding, Timestamp)>,
}

async fn status(context: &Context) -> Result<(), Exit> {
    let config = context.load_config()?;
    context.start_log(&config);
    let state = open::state_copy(context, &config).await?;
    let now = super::clock::now();
    let read = async {
        let known = state.load(now).await?;
        Ok::<_, StateError>(Status {
            now,
            database: state.place().to_owned(),
            pause: state.pause().await?.filter(|pause| !pause.is_over(now)),
            last: state.cycles(LATELY).await?.into_iter().find(|cycle| cycle.kind != CycleKind::Repair),
            countdowns: countdowns(known.links.values(), &config.policy.lifecycle, now),
            known,
            held: state.latest_held().await?.filter(|h| !h.steps.is_empty()),
            findings: state.standing_findings().await?,
            config,
        })
    };
    let status = read.await.map_err(|error| {
        let error = CycleError::State(error);
        context.complain(&format!("error: {}", chain(&error)));
        Exit::of_error(&error)
    })?;
    context.give(|| status.json(), || status.text())
}

fn name(link: &Link) -> &str {
    link.name.as_deref().unwrap_or(&link.dn)
}

/// `in 12 days`, `in 5 hours`.
fn left(at: Timestamp, now: Timestamp) -> String {
    const DAY: SignedDuration = SignedDuration::from_hours(24);
    let time = at.duration_since(now);
    let counted = |count: i64, unit: &str| format!("in {count} {unit}{}", if count == 1 { "" } else { "s" });
    if time <= SignedDuration::ZERO {
        "at the next cycle".to_owned()
    } else if time > DAY * 2 {
        counted((time.as_secs() + DAY.as_secs() - 1) / DAY.as_secs(), "day")
    } else if time.as_hours() > 0 {
        counted(time.as_hours(), "hour")
    } else {
        counted(time.as_mins().max(1), "minute")
    }
}

fn cause(cause: DisableCause) -> &'static str {
    match cause {
        DisableCause::OutOfScope => "out of scope for too long",
        DisableCause::Paused => "the profile was paused for too long",
        DisableCause::OutOfReach => "the directory was out of reach for too long",
        DisableCause::AccountDisabled => "the account is disabled in the directory",
        DisableCause::AccountExpired => "the account is expired in the directory",
        DisableCause::Deleted => "deleted in the directory",
    }
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

    /// Linked objects of which something is known, the one of the longest standing first.
    fn linked_since<T>(&self, what: impl Fn(&Link) -> Option<(Timestamp, T)>) -> Vec<(&Link, Timestamp, T)> {
        let links = self.known.links.values().filter(|l| l.target_id.is_some());
        let mut found: Vec<_> = links.filter_map(|l| what(l).map(|(since, more)| (l, since, more))).collect();
        found.sort_by_key(|(link, since, _)| (*since, name(link), link.no));
        found
    }

    fn out_of_scope(&self) -> Vec<(&Link, Timestamp, ())> {
        self.linked_since(|l| l.out_since.map(|since| (since, ())))
    }

    fn json(&self) -> Value {
        let link = |no| self.known.links.get(&no);
        json!({
            "schema": "idcsync/status/v1",
            "profile": self.config.profile,
            "database": self.database,
            "paused": self.pause.as_ref().map(|p| pause_view(p, &self.config)),
            "lastCycle": self.last.as_ref().map(|c| json!({
                "cycle": c.id,
                "kind": c.kind.word(),
                "started": c.started,
                "finished": c.outcome.as_ref().map(|o| o.finished),
                "outcome": c.outcome.as_ref().map(|o| o.word.word()),
                "counts": c.outcome.as_ref().map(|o| &o.counts),
            })),
            "lastCompleteRead": self.known.last_complete_read,
            "lastFullRead": self.known.last_full,
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
                .map(|(l, since, ())| json!({ "name": name(l), "kind": l.kind, "since": since }))
                .collect::<Vec<_>>(),
            "countdowns": self.countdowns.iter().filter_map(|c| link(c.link).map(|l| json!({
                "name": name(l), "kind": l.kind, "what": c.what.word(), "at": c.at, "daysLeft": c.days_left,
            }))).collect::<Vec<_>>(),
            "putOutOfUse": self.linked_since(|l| l.disabled.map(|d| (d.at, d))).iter().map(|(l, since, d)| json!({
                "name": name(l), "since": since, "cause": d.cause.word(), "how": d.how.word(),
            })).collect::<Vec<_>>(),
            "deletedInDirectory": self.linked_since(|l| l.deleted.map(|d| (d.since, d))).iter()
                .map(|(l, since, d)| json!({
                    "name": name(l), "kind": l.kind, "since": since, "proof": d.proof.word(),
                })).collect::<Vec<_>>(),
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
        writeln!(text, "Profile {} (state in {})", shown(&self.config.profile), shown(&self.database))?;
        if let Some(pause) = &self.pause {
            writeln!(text, "  {}", describe(pause))?;
            if let Some(consequence) = consequence(pause, &self.config) {
                writeln!(text, "    {consequence}")?;
            }
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
        if let Some(full) = self.known.last_full {
            writeln!(text, "  last full read of the target {full}")?;
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
        self.write_leavers(text)?;
        if !self.findings.is_empty() {
            writeln!(text, "\nFindings ({}):", self.findings.len())?;
            for (finding, since) in &self.findings {
                let (label, message) = (shown(&finding.subject.label), shown(&finding.message));
                writeln!(text, "  {} {label} since {since}: {message}", finding.code)?;
            }
        }
        Ok(())
    }

    /// Who is on the way out: what comes first stands first.
    fn write_leavers(&self, text: &mut String) -> std::fmt::Result {
        let link = |c: &Countdown| self.known.links.get(&c.link);
        let of = |what| self.countdowns.iter().filter(move |c| c.what == what);
        let out: Vec<_> = of(Coming::Disable).filter_map(|c| link(c).map(|l| (l, c.at))).collect();
        if !out.is_empty() {
            let to_be = put_out(&self.config);
            writeln!(text, "\nOut of scope ({}; to be {to_be} after lifecycle.disable-after):", out.len())?;
            for (link, at) in out {
                let since = link.out_since.unwrap_or(at);
                let left = left(at, self.now);
                writeln!(text, "  {} since {since}: {to_be} {left} ({at})", shown(name(link)))?;
            }
        }
        let gone = self.linked_since(|l| l.deleted.map(|d| (d.since, d.proof)));
        if !gone.is_empty() {
            writeln!(text, "\nDeleted in the directory ({}):", gone.len())?;
            for (link, since, proof) in gone {
                let (kind, label) = (link.kind, shown(name(link)));
                let then = match of(Coming::Delete).find(|c| c.link == link.no) {
                    Some(c) => format!("deleted in the target {} ({})", left(c.at, self.now), c.at),
                    None => "kept (lifecycle.on-directory-delete)".to_owned(),
                };
                writeln!(text, "  {kind} {label} since {since} ({}): {then}", proof.word())?;
            }
        }
        let put_out = self.linked_since(|l| l.disabled.map(|d| (d.at, d)));
        if !put_out.is_empty() {
            writeln!(text, "\nPut out of use by idcsync ({}):", put_out.len())?;
            for (link, since, disabled) in put_out {
                let (label, how) = (shown(name(link)), disabled.how.word());
                writeln!(text, "  {label} {how} since {since}: {}", cause(disabled.cause))?;
            }
        }
        let frozen =
            self.out_of_scope().into_iter().filter(|(l, ..)| l.kind == Kind::Group && l.deleted.is_none());
        let frozen: Vec<_> = frozen.collect();
        if !frozen.is_empty() {
            writeln!(text, "\nGroups out of scope ({}; see lifecycle.on-group-out-of-scope):", frozen.len())?;
            for (link, since, ()) in frozen {
                writeln!(text, "  {} since {since}", shown(name(link)))?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_that_is_left_in_one_unit() {
        let now: Timestamp = "2026-03-01T00:00:00Z".parse().unwrap();
        let left = |minutes: i64| left(now.checked_add(SignedDuration::from_mins(minutes)).unwrap(), now);
        let day = 24 * 60;
        assert_eq!(left(28 * day), "in 28 days");
        assert_eq!(left(3 * day - 1), "in 3 days");
        assert_eq!(left(2 * day), "in 48 hours");
        assert_eq!(left(60), "in 1 hour");
        assert_eq!(left(5), "in 5 minutes");
        assert_eq!(left(0), "at the next cycle");
        assert_eq!(left(-5), "at the next cycle");
    }
}
