//! A change of the scope: shown, and then written or not.

use std::fmt::Write as _;
use std::io::{IsTerminal as _, Write as _};

use serde_json::json;

use super::How;
use super::list::counted;
use crate::cli::{Context, Exit};
use crate::config::{Config, FileError, OnDisk};
use crate::cycle::{EntryView, Planned, ScopeEffect, chain};
use crate::plan::{OnGroupOut, shown};

/// So many names are told.
const NAMED: usize = 10;

pub(super) struct Proposal {
    pub action: &'static str,
    /// What is put in or taken out.
    pub entries: Vec<EntryView>,
    /// The config file as it would be.
    pub text: String,
    pub effect: ScopeEffect,
}

/// Shows what it means, and writes it where that is wanted.
pub(super) fn settle(
    context: &Context,
    config: &Config,
    file: &OnDisk,
    proposal: &Proposal,
    how: How,
) -> Result<Exit, Exit> {
    let path = file.path().display();
    if let Some(why) = &proposal.effect.cut_short {
        context.complain(&format!(
            "error: the directory was not read to its end ({}), so nobody can say what the change means: nothing was \
             written",
            shown(why)
        ));
        return Err(Exit::Unreachable);
    }
    if !context.is_json() {
        context.give(|| json!(null), || text(config, file, proposal))?;
    }
    let asked = how.yes || (!how.dry_run && ask(context, &format!("Write it to {path}?")));
    if asked {
        file.replace(&proposal.text).map_err(|error| failed(context, &error))?;
    }
    if context.is_json() {
        context.give(|| document(config, proposal, asked), String::new)?;
    }
    if asked {
        context.say(&format!("Written to {path}. The next cycle goes by it."));
        return Ok(Exit::Done);
    }
    if how.dry_run || can_ask() {
        context.say("Nothing was written.");
        return Ok(Exit::Done);
    }
    context.complain("error: nothing was written: there is no terminal to ask on; run it again with --yes");
    Err(Exit::Usage)
}

pub(in crate::cli) fn failed(context: &Context, error: &FileError) -> Exit {
    if let FileError::Config(error) = error {
        context.explain_config(error);
    } else {
        context.complain(&format!("error: {}", chain(error)));
    }
    Exit::Usage
}

fn can_ask() -> bool {
    std::io::stdin().is_terminal() && std::io::stderr().is_terminal()
}

fn ask(context: &Context, question: &str) -> bool {
    if !can_ask() {
        return false;
    }
    let mut out = std::io::stderr().lock();
    // Nobody is left to answer where it cannot be shown.
    let _ = write!(out, "{} [y/N] ", crate::printable::lines(question, context.stderr_color()));
    let _ = out.flush();
    let mut answer = String::new();
    let read = std::io::stdin().read_line(&mut answer);
    read.is_ok() && matches!(answer.trim().to_lowercase().as_str(), "y" | "yes")
}

fn document(config: &Config, proposal: &Proposal, written: bool) -> serde_json::Value {
    json!({
        "schema": "idcsync/scope-change/v1",
        "profile": config.profile,
        "action": proposal.action,
        "already": false,
        "written": written,
        "entries": proposal.entries,
        "effect": proposal.effect,
    })
}

fn text(config: &Config, file: &OnDisk, proposal: &Proposal) -> String {
    let mut text = String::new();
    // Writing to a String cannot fail.
    let _ = describe(&mut text, config, file, proposal);
    text
}

fn describe(text: &mut String, config: &Config, file: &OnDisk, proposal: &Proposal) -> std::fmt::Result {
    let effect = &proposal.effect;
    for entry in &proposal.entries {
        let what = if entry.write { "" } else { " (container)" };
        let dn = entry.dn.as_deref().unwrap_or(entry.state);
        writeln!(text, "{} {} {}{what}: {}", proposal.action, entry.kind, shown(&entry.name), shown(dn))?;
    }
    for (mark, line) in changed_lines(file.text(), &proposal.text) {
        writeln!(text, "  {mark} {}", shown(line))?;
    }
    for (names, what, goes) in [
        (&effect.users_in, "user", "into scope"),
        (&effect.groups_in, "group", "into scope"),
        (&effect.users_out, "user", "out of scope"),
        (&effect.groups_out, "group", "out of scope"),
    ] {
        if !names.is_empty() {
            let verb = match (goes, names.len()) {
                ("into scope", 1) => "comes",
                ("into scope", _) => "come",
                (_, 1) => "goes",
                (..) => "go",
            };
            writeln!(text, "{} {verb} {goes}: {}", counted(names.len() as u64, what), some(names))?;
        }
    }
    let still = [&effect.users_in, &effect.groups_in, &effect.users_out, &effect.groups_out];
    if still.iter().all(|names| names.is_empty()) {
        writeln!(text, "Nobody and no group comes into scope or goes out of it.")?;
    }
    let lifecycle = &config.policy.lifecycle;
    if !effect.users_out.is_empty() {
        let days = lifecycle.disable_after.as_hours() / 24;
        writeln!(
            text,
            "Who is synced and goes out loses the managed groups, and is put out of use after {days} days \
             (lifecycle.disable-after)."
        )?;
    }
    if !effect.groups_out.is_empty() {
        let what = match lifecycle.on_group_out_of_scope {
            OnGroupOut::Freeze => "is frozen: it stays, nobody is added",
            OnGroupOut::Empty => "loses its managed members",
        };
        writeln!(text, "A group that is synced and goes out {what} (lifecycle.on-group-out-of-scope).")?;
    }
    writeln!(text, "The next cycle as it is: {}.", words(&effect.before))?;
    writeln!(text, "With the change:         {}.", words(&effect.after))?;
    if effect.newly_held > 0 {
        let holds: Vec<String> = effect.holds.iter().take(NAMED).map(|why| shown(why)).collect();
        let steps = counted(effect.newly_held, "step");
        writeln!(text, "The guard would hold {steps} for approval: {}.", holds.join("; "))?;
    }
    Ok(())
}

fn words(planned: &Planned) -> String {
    if planned.counts.is_empty() { "nothing to do".to_owned() } else { planned.counts.join(", ") }
}

pub(super) fn some(names: &[String]) -> String {
    let more = names.len().saturating_sub(NAMED);
    let rest = if more > 0 { format!("; and {more} more") } else { String::new() };
    names.iter().take(NAMED).map(|n| shown(n)).collect::<Vec<_>>().join("; ") + &rest
}

/// The lines that go and that come, those that both have at the beginning and the end left out.
fn changed_lines<'t>(old: &'t str, new: &'t str) -> Vec<(char, &'t str)> {
    let (old, new): (Vec<&str>, Vec<&str>) = (old.lines().collect(), new.lines().collect());
    let start = old.iter().zip(&new).take_while(|(a, b)| a == b).count();
    let rest = (&old[start..], &new[start..]);
    let end = rest.0.iter().rev().zip(rest.1.iter().rev()).take_while(|(a, b)| a == b).count();
    let gone = rest.0[..rest.0.len() - end].iter().map(|line| ('-', *line));
    gone.chain(rest.1[..rest.1.len() - end].iter().map(|line| ('+', *line))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_differs_is_shown() {
        assert_eq!(changed_lines("a\nb\nc\n", "a\nc\n"), [('-', "b")]);
        assert_eq!(changed_lines("a\nb\n", "a\nx\nb\n"), [('+', "x")]);
        assert_eq!(changed_lines("a\nb\n", "a\nB\n"), [('-', "b"), ('+', "B")]);
        assert_eq!(changed_lines("a\na\n", "a\na\na\n"), [('+', "a")]);
    }
}
