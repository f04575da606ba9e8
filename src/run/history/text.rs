//! Answers for a person.

use std::fmt::{self, Write as _};

use jiff::Timestamp;
use serde_json::Value;

use super::{Answer, At, Named, Step, Sure};
use crate::model::{Kind, StepResult};
use crate::plan::shown;
use crate::state::{Cycle, CycleKind, CycleWord};

/// To the second, in UTC: what is looked for is compared with other logs.
fn second(at: Timestamp) -> String {
    at.strftime("%Y-%m-%d %H:%M:%S UTC").to_string()
}

pub fn render(answer: &Answer) -> String {
    let mut text = String::new();
    // Writing to a String cannot fail.
    let _ = write(&mut text, answer);
    text
}

fn write(text: &mut String, answer: &Answer) -> fmt::Result {
    match answer {
        Answer::Cycles { cycles, more } => write_cycles(text, cycles, *more),
        Answer::Cycle { cycle, steps } => {
            write_cycles(text, std::slice::from_ref(cycle), false)?;
            if steps.is_empty() {
                return writeln!(text, "\nNo step of it is on record.");
            }
            writeln!(text)?;
            steps.iter().try_for_each(|step| write_step(text, step))
        }
        Answer::Object { object, steps, records_from } => {
            writeln!(text, "The {}", named(object))?;
            steps.iter().try_for_each(|step| write_step(text, step))?;
            if steps.is_empty() {
                writeln!(text, "  no step about it is on record in that time")?;
            }
            records(text, *records_from)
        }
        Answer::At(at) => write_at(text, at),
        Answer::NoSuchCycle(id) => writeln!(text, "There is no cycle {id} on record."),
        Answer::Nobody => writeln!(text, "No such object is or was linked."),
        Answer::Several(list) => {
            writeln!(text, "Several have that name; give the DN or objectGUID of one:")?;
            list.iter().try_for_each(|one| writeln!(text, "  {}", named(one)))
        }
    }
}

fn named(object: &Named) -> String {
    format!("{} {} ({})", object.kind, shown(&object.label), shown(&object.dn))
}

fn records(text: &mut String, from: Option<Timestamp>) -> fmt::Result {
    match from {
        Some(from) => writeln!(text, "\nThe records go back to {} (state.keep-history).", second(from)),
        None => writeln!(text, "\nNo step is on record at all."),
    }
}

fn write_cycles(text: &mut String, cycles: &[Cycle], more: bool) -> fmt::Result {
    if cycles.is_empty() {
        return writeln!(text, "No cycle in that time.");
    }
    for cycle in cycles {
        let took = cycle.outcome.as_ref().map(|o| o.finished.duration_since(cycle.started).as_secs());
        let took = took.map_or_else(String::new, |seconds| format!(" in {seconds} s"));
        let how = match &cycle.outcome {
            Some(outcome) => match outcome.word {
                CycleWord::Nothing => "nothing to do",
                word => word.word(),
            },
            None => "no end on record",
        };
        let kind = match cycle.kind {
            CycleKind::Normal => String::new(),
            kind => format!(" ({})", kind.word()),
        };
        write!(text, "cycle {}{kind}  {}{took}  {how}", cycle.id, second(cycle.started))?;
        if let Some(outcome) = &cycle.outcome {
            let counts = &outcome.counts;
            list(text, ": ", &counts["done"])?;
            list(text, "; failed: ", &counts["failed"])?;
            for (key, words) in [("held", "held"), ("left", "left for the next"), ("findings", "findings")] {
                if let Some(count) = counts[key].as_u64().filter(|count| *count > 0) {
                    write!(text, "; {count} {words}")?;
                }
            }
            if let Some(why) = counts["error"].as_str().or_else(|| counts["repair"].as_str()) {
                write!(text, ": {}", shown(why))?;
            }
            if let Some(by) = counts["by"].as_str() {
                write!(text, ", by {}", shown(by))?;
            }
        }
        writeln!(text)?;
    }
    if more {
        writeln!(text, "… there are older ones: --limit, or --until")?;
    }
    Ok(())
}

/// `{"add-member": 3}` as `3 add-member`.
fn list(text: &mut String, before: &str, counts: &Value) -> fmt::Result {
    let Some(counts) = counts.as_object().filter(|counts| !counts.is_empty()) else { return Ok(()) };
    let all: Vec<String> = counts.iter().map(|(word, count)| format!("{count} {word}")).collect();
    write!(text, "{before}{}", all.join(", "))
}

fn write_step(text: &mut String, step: &Step) -> fmt::Result {
    let what = match &step.member {
        Some(member) => format!("{} in {}", shown(member), shown(&step.object)),
        None => shown(&step.object),
    };
    let how = match &step.entry.result {
        Some((StepResult::Failed { code, message }, _)) => {
            format!("failed: {} ({})", shown(message), shown(code))
        }
        Some((StepResult::Done, _)) => "done".to_owned(),
        Some((StepResult::Found, _)) => "found done".to_owned(),
        Some((other, _)) => other.word().to_owned(),
        None => "not known how it ended".to_owned(),
    };
    let why = step.reason().map(|reason| format!(" ({})", shown(reason))).unwrap_or_default();
    writeln!(
        text,
        "  {}  cycle {}  {} {what}: {how}{why}",
        second(step.at()),
        step.entry.cycle,
        step.entry.intent.action
    )
}

fn write_at(text: &mut String, at: &At) -> fmt::Result {
    let (one, many) = match at.object.kind {
        Kind::Group => ("member", "members"),
        Kind::User => ("group", "groups"),
    };
    let count = at.list.len();
    let word = if count == 1 { one } else { many };
    writeln!(text, "The {} at {}: {count} {word} by idcsync", named(&at.object), second(at.at))?;
    if let Some((when, what)) = at.note {
        writeln!(text, "  it was {what} on {}", second(when))?;
    }
    for membership in &at.list {
        let since = match (&membership.since, membership.sure) {
            (Some(since), _) => {
                let why = since.reason.as_ref().map(|r| format!(": {}", shown(r))).unwrap_or_default();
                format!("since {}, cycle {}{why}", second(since.at), since.cycle)
            }
            (None, Sure::Yes) => "since before anything is on record of it".to_owned(),
            (None, _) => "perhaps: put in by somebody else, and when is not on record".to_owned(),
        };
        let ended = match membership.sure {
            Sure::EndedByOthers => "; ended by somebody else since then, and when is not on record",
            Sure::Yes | Sure::CameByOthers => "",
        };
        writeln!(text, "  {}  {since}{ended}", shown(&membership.other.label))?;
    }
    records(text, at.records_from)
}
