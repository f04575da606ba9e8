//! `idcsync approve`: lets held steps through.

use clap::Args;
use jiff::Timestamp;
use serde_json::Value;

use super::only::OnlyOne;
use super::pause::login;
use super::sync::explain;
use super::{Context, Exit, sync};
use crate::config::Config;
use crate::ids::{Anchor, PlanId};
use crate::plan::{counted, shown};
use crate::run::{HeldSteps, assigned, changed, clock, open, taken_over};
use crate::state::StateError;

#[derive(Debug, Args)]
pub struct ApproveArgs {
    /// As the plan's first line and `idcsync status` show it
    plan_id: String,

    /// Only show the held steps
    #[arg(long)]
    show: bool,

    /// Approve nothing but what concerns this one user or group, and what that needs: what `sync --only` shows
    #[arg(long, num_args = 2, value_names = ["user|group", "NAME"])]
    only: Option<Vec<String>>,
}

pub async fn run(context: &Context, args: &ApproveArgs) -> Exit {
    match approve(context, args).await {
        Ok(()) => Exit::Done,
        Err(exit) => exit,
    }
}

async fn approve(context: &Context, args: &ApproveArgs) -> Result<(), Exit> {
    let config = context.load_config()?;
    context.start_log(&config);
    let failed = |error: StateError| explain(context, error);
    let id = PlanId::new(args.plan_id.trim());
    let copy = open::state_copy(&config).await.map_err(|e| explain(context, e))?;
    let held = match HeldSteps::on_record(copy.reader(), &id).await.map_err(failed)? {
        Some(held) => held,
        // Shown by a dry run, which records nothing: the plan is made again, and must be the same.
        None => {
            let prepared = Box::pin(sync::plan(context, &config, &open::profile(&config))).await?;
            let now = &prepared.approved.plan().id;
            if *now != id {
                let held = prepared.approved.held().len();
                context.complain(&match held {
                    0 => format!(
                        "error: there is no plan {id} with held steps, and no step would be held now. {UNRECORDED}"
                    ),
                    _ => format!(
                        "error: there is no plan {id} with held steps; as of now, plan {now} holds {held}. Look at \
                         it with `idcsync sync --dry-run`. {UNRECORDED}"
                    ),
                });
                return Err(Exit::Usage);
            }
            HeldSteps::of(&prepared.approved)
        }
    };
    if held.steps.is_empty() {
        context.complain(&format!("error: plan {id} holds no steps, so there is nothing to approve"));
        return Err(Exit::Usage);
    }
    let (chosen, whose) = chosen(context, args, &config, &held).await?;
    let expires = if args.show {
        None
    } else {
        let state = open::state(&config).await.map_err(|e| explain(context, e))?;
        let result = held.approve(&chosen, &state, &who(), clock::now()).await;
        state.close().await;
        Some(result.map_err(failed)?)
    };
    let others = held.steps.len() - chosen.steps.len();
    context.give(|| chosen.json(expires), || text(&chosen, &whose, others, expires))
}

/// Beside a plan that neither the record nor a new plan has.
const UNRECORDED: &str = "What `sync --dry-run` showed with `--full` or `--rebind` can be approved once a run with that \
                          option has recorded it";

/// The steps that are meant, and in words whose they are.
async fn chosen(
    context: &Context,
    args: &ApproveArgs,
    config: &Config,
    held: &HeldSteps,
) -> Result<(HeldSteps, String), Exit> {
    let all = || HeldSteps { plan: held.plan.clone(), steps: held.steps.clone() };
    let Some((kind, name)) = OnlyOne::parse(context, args.only.as_deref())? else {
        return Ok((all(), String::new()));
    };
    // What a plan prints is an anchor: then nobody has to be asked who is meant.
    let by_anchor =
        Anchor::parse(name).map(|anchor| held.about(kind, anchor)).filter(|found| !found.steps.is_empty());
    let found = match by_anchor {
        Some(found) => found,
        None => {
            let one = OnlyOne::of(context, args.only.as_deref(), false, config).await?;
            one.map_or_else(all, |one| held.about(kind, one.anchor()))
        }
    };
    let whose = format!("{kind} {}", shown(name));
    if found.steps.is_empty() {
        context.complain(&format!("error: plan {} holds no step for the {whose}", held.plan));
        return Err(Exit::Usage);
    }
    Ok((found, format!(" for the {whose}")))
}

/// Whom the approval is recorded for.
fn who() -> String {
    std::env::var("SUDO_USER").ok().filter(|name| !name.is_empty()).unwrap_or_else(login)
}

fn text(held: &HeldSteps, whose: &str, others: usize, expires: Option<Timestamp>) -> String {
    use std::fmt::Write as _;
    let mut text = format!("Held steps of plan {}{whose}:\n", held.plan);
    for (_, step) in &held.steps {
        let of = |key: &str| step.get(key).and_then(Value::as_str).unwrap_or_default();
        let label = |key: &str| {
            step.get(key).and_then(|o| o.get("label")).and_then(Value::as_str).unwrap_or_default()
        };
        let entry = |key: &str| {
            step.get("entry").and_then(|e| e.get(key)).and_then(Value::as_str).unwrap_or_default()
        };
        let object = if label("object").is_empty() { entry("name") } else { label("object") };
        let to = match (label("member"), entry("from"), entry("to")) {
            ("", "", _) => String::new(),
            ("", from, to) => format!(": {} → {}", shown(from), shown(to)),
            (member, ..) => format!(": {}", shown(member)),
        };
        // Writing to a String cannot fail.
        let _ = writeln!(text, "  {} {}{to}  ({})", of("action"), shown(object), shown(of("reason")));
        if let Some(id) = taken_over(step) {
            let _ = writeln!(text, "      takes over {}", shown(id));
        }
        if let Some(line) = assigned(step) {
            let _ = writeln!(text, "      {line}");
        }
        for change in changed(step) {
            let value = |value: &Option<String>| match value {
                Some(value) => format!("\"{}\"", shown(value)),
                None => "(none)".to_owned(),
            };
            let (old, new) = (value(&change.old), value(&change.new));
            let _ = writeln!(text, "      {} {old} → {new}", shown(&change.attribute));
        }
    }
    if others > 0 {
        let _ = writeln!(
            text,
            "Of the same plan, {} more wait and are not meant here.",
            counted(others as u64, "step", "steps")
        );
    }
    let _ = match expires {
        Some(until) => writeln!(
            text,
            "Approved until {until}: the next cycle does those of them that it plans again identically."
        ),
        None => writeln!(text, "Not approved yet: run the command without --show."),
    };
    text
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::ids::Fingerprint;

    #[test]
    fn whoever_approves_sees_every_value_and_which_object_is_taken_over() {
        let steps = [
            json!({
                "action": "update-group", "object": { "label": "Admins" }, "reason": "the directory has other values",
                "before": { "displayName": "Admins", "description": "a\u{202e}" },
                "afterAttributes": { "displayName": "Admins", "description": "b" },
            }),
            json!({
                "action": "adopt-user", "object": { "label": "alice", "targetId": "u-1" },
                "reason": "the target has alice already", "assignments": [],
            }),
        ];
        let steps =
            steps.into_iter().map(|step| (Fingerprint::new(step["action"].to_string()), step)).collect();
        let held = HeldSteps { plan: PlanId::new("0123456789ab".to_owned()), steps };
        insta::assert_snapshot!(text(&held, " for the user alice", 300, None), @r#"
        Held steps of plan 0123456789ab for the user alice:
          update-group Admins  (the directory has other values)
              description "a\u{202e}" → "b"
          adopt-user alice  (the target has alice already)
              takes over u-1
              assigned: nothing directly
        Of the same plan, 300 steps more wait and are not meant here.
        Not approved yet: run the command without --show.
        "#);
    }
}
