//! `idcsync status`: what the state database knows of the profile, and what is going to happen to whom.

use std::fmt::Write as _;

use jiff::{SignedDuration, Timestamp};

use super::progress::outlook;
use super::sync::explain;
use super::{Context, Exit};
use crate::model::Kind;
use crate::plan::{Coming, Countdown, shown};
use crate::run::{Status, clock, consequence, describe, object_name as name, open, put_out};
use crate::state::CycleWord;

pub async fn run(context: &Context) -> Exit {
    match status(context).await {
        Ok(()) => Exit::Done,
        Err(exit) => exit,
    }
}

async fn status(context: &Context) -> Result<(), Exit> {
    let config = context.load_config()?;
    context.start_log(&config);
    let state = open::state_copy(&config).await.map_err(|error| explain(context, error))?;
    let read = Status::read(config, state.reader(), state.place(), clock::now()).await;
    let status = read.map_err(|error| explain(context, error))?;
    context.give(|| status.json(), || Text(&status).text())
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

fn ending(word: CycleWord) -> &'static str {
    match word {
        CycleWord::Nothing => "nothing to do",
        other => other.word(),
    }
}

/// For a person.
struct Text<'s>(&'s Status);

impl Text<'_> {
    fn text(&self) -> String {
        let mut text = String::new();
        // Writing to a String cannot fail.
        let _ = self.write(&mut text);
        text
    }

    fn write(&self, text: &mut String) -> std::fmt::Result {
        writeln!(text, "Profile {} (state in {})", shown(&self.0.config.profile), shown(&self.0.database))?;
        if let Some(pause) = &self.0.pause {
            writeln!(text, "  {}", describe(pause))?;
            if let Some(consequence) = consequence(pause, &self.0.config) {
                writeln!(text, "    {consequence}")?;
            }
        }
        match &self.0.last {
            None => writeln!(text, "  no cycle yet: run `idcsync sync --dry-run`")?,
            Some(cycle) => {
                let how = match (&cycle.outcome, self.0.applying(), cycle.applying) {
                    (Some(o), ..) => format!("{} at {}", ending(o.word), o.finished),
                    (None, Some((progress, _)), _) => {
                        format!("{} of {} steps done, {}", progress.done, progress.total, outlook(&progress))
                    }
                    (None, None, Some((progress, at))) => format!(
                        "{} of {} steps done at {at}, and not heard of since: killed before its end",
                        progress.done, progress.total
                    ),
                    (None, None, None) => "running, or killed before its end".to_owned(),
                };
                writeln!(text, "  last cycle {} began {}: {how}", cycle.id, cycle.started)?;
            }
        }
        if let Some(read) = self.0.known.last_complete_read {
            writeln!(text, "  last complete read {read}")?;
        }
        if let Some(full) = self.0.known.last_full {
            writeln!(text, "  last full read of the target {full}")?;
        }
        writeln!(
            text,
            "  {} users and {} groups linked, {} memberships",
            self.0.linked(Kind::User),
            self.0.linked(Kind::Group),
            self.0.memberships()
        )?;
        if let Some(held) = &self.0.held {
            let since = self.0.held_since().unwrap_or(held.held_at);
            writeln!(text, "  {} steps of plan {} held since {since}", held.steps.len(), held.plan)?;
            writeln!(text, "    look: idcsync approve {} --show", held.plan)?;
        }
        self.write_leavers(text)?;
        if !self.0.findings.is_empty() {
            writeln!(text, "\nFindings ({}):", self.0.findings.len())?;
            for (finding, since) in &self.0.findings {
                let (label, message) = (shown(&finding.subject.label), shown(&finding.message));
                writeln!(text, "  {} {label} since {since}: {message}", finding.code)?;
            }
        }
        Ok(())
    }

    /// Who is on the way out: what comes first stands first.
    fn write_leavers(&self, text: &mut String) -> std::fmt::Result {
        let link = |c: &Countdown| self.0.known.links.get(&c.link);
        let of = |what| self.0.countdowns.iter().filter(move |c| c.what == what);
        let out: Vec<_> = of(Coming::Disable).filter_map(|c| link(c).map(|l| (l, c.at))).collect();
        if !out.is_empty() {
            let to_be = put_out(&self.0.config);
            writeln!(text, "\nOut of scope ({}; to be {to_be} after lifecycle.disable-after):", out.len())?;
            for (link, at) in out {
                let since = link.out_since.unwrap_or(at);
                let left = left(at, self.0.now);
                writeln!(text, "  {} since {since}: {to_be} {left} ({at})", shown(name(link)))?;
            }
        }
        let gone = self.0.linked_since(|l| l.deleted.map(|d| (d.since, d.proof)));
        if !gone.is_empty() {
            writeln!(text, "\nDeleted in the directory ({}):", gone.len())?;
            for (link, since, proof) in gone {
                let (kind, label) = (link.kind, shown(name(link)));
                let then = match of(Coming::Delete).find(|c| c.link == link.no) {
                    Some(c) => format!("deleted in the target {} ({})", left(c.at, self.0.now), c.at),
                    None => "kept (lifecycle.on-directory-delete)".to_owned(),
                };
                writeln!(text, "  {kind} {label} since {since} ({}): {then}", proof.word())?;
            }
        }
        let put_out = self.0.linked_since(|l| l.disabled.map(|d| (d.at, d)));
        if !put_out.is_empty() {
            writeln!(text, "\nPut out of use by idcsync ({}):", put_out.len())?;
            for (link, since, disabled) in put_out {
                let (label, how) = (shown(name(link)), disabled.how.word());
                writeln!(text, "  {label} {how} since {since}: {}", disabled.cause.text())?;
            }
        }
        let frozen =
            self.0.out_of_scope().into_iter().filter(|(l, ..)| l.kind == Kind::Group && l.deleted.is_none());
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
