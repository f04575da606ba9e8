//! What is told of a repair.

use std::fmt::Write as _;

use serde_json::json;

use super::Proposal;
use crate::cli::{Context, Exit};
use crate::config::Config;
use crate::plan::shown;

pub(super) fn tell(
    context: &Context,
    config: &Config,
    proposal: &Proposal,
    written: bool,
) -> Result<(), Exit> {
    context.give(
        || {
            json!({
                "schema": "idcsync/repair/v1",
                "profile": config.profile,
                "action": proposal.action,
                "written": written,
                "object": proposal.object,
                "changes": proposal.changes,
                "memberships": proposal.memberships,
                "strangers": proposal.strangers,
                "findings": proposal.findings,
            })
        },
        || text(proposal, written),
    )
}

/// So many memberships are named.
const NAMED: usize = 20;

fn text(proposal: &Proposal, written: bool) -> String {
    let mut text = String::new();
    // Writing to a String cannot fail.
    let _ = describe(&mut text, proposal, written);
    text
}

fn describe(text: &mut String, proposal: &Proposal, written: bool) -> std::fmt::Result {
    let of = |key: &str| shown(proposal.object[key].as_str().unwrap_or_default());
    let is_group = proposal.object["kind"] == "group";
    writeln!(text, "{} {} {}", proposal.action, of("kind"), of("label"))?;
    writeln!(text, "  in the directory  {} ({})", of("dn"), of("anchor"))?;
    writeln!(text, "  in the target     {}", of("targetId"))?;
    if proposal.idle {
        return writeln!(text, "It is linked so already: nothing to do.");
    }
    let known = if is_group { "Members whom idcsync knows" } else { "Groups that idcsync put it into" };
    for (names, what) in [(&proposal.memberships, known), (&proposal.strangers, "Other members")] {
        if !names.is_empty() {
            let more = names.len().saturating_sub(NAMED);
            let rest = if more > 0 { format!("; and {more} more") } else { String::new() };
            let some = names.iter().take(NAMED).cloned().collect::<Vec<_>>().join("; ");
            writeln!(text, "{what} ({}): {some}{rest}", names.len())?;
        }
    }
    match proposal.action {
        "link" => {
            for finding in &proposal.findings {
                writeln!(text, "{}: {}", finding.code, shown(&finding.message))?;
            }
            if proposal.changes.is_empty() {
                writeln!(text, "The next cycle would change none of its attributes.")?;
            } else {
                writeln!(text, "If it is in scope, the next cycle would change:")?;
            }
            for change in &proposal.changes {
                let value = |v: &Option<String>| match v {
                    Some(value) => format!("\"{}\"", shown(value)),
                    None => "(none)".to_owned(),
                };
                writeln!(text, "  {} {} → {}", change.attribute, value(&change.old), value(&change.new))?;
            }
        }
        "unlink" => writeln!(
            text,
            "It stays in the target as it is, memberships included. If it is in scope, the next cycle treats it as \
             new: it asks to adopt what bears its name (target.adopt), or creates another one."
        )?,
        _ => writeln!(
            text,
            "It stays in the target as it is, members included, and is no longer looked after."
        )?,
    }
    match written {
        true => writeln!(text, "Written."),
        false => writeln!(text, "Nothing is written yet: run it again with --yes."),
    }
}
