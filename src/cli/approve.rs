//! `idcsync approve`: lets held steps through.

use clap::Args;
use jiff::Timestamp;
use serde::Deserialize as _;
use serde_json::Value;

use super::pause::login;
use super::sync::explain;
use super::{Context, Exit, sync};
use crate::ids::{Fingerprint, PlanId};
use crate::model::Assignment;
use crate::plan::{meant, shown};
use crate::run::{HeldSteps, clock, open};
use crate::state::StateError;

#[derive(Debug, Args)]
pub struct ApproveArgs {
    /// As the plan's first line and `idcsync status` show it
    plan_id: String,

    /// Only show the held steps
    #[arg(long)]
    show: bool,
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
                    0 => format!("error: there is no plan {id} with held steps, and no step would be held now"),
                    _ => format!(
                        "error: there is no plan {id} with held steps; as of now, plan {now} holds {held}. Look at \
                         it with `idcsync sync --dry-run`"
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
    let expires = if args.show {
        None
    } else {
        let state = open::state(&config).await.map_err(|e| explain(context, e))?;
        let result = held.approve(&state, &who(), clock::now()).await;
        state.close().await;
        Some(result.map_err(failed)?)
    };
    context.give(|| held.json(expires), || text(&id, &held.steps, expires))
}

/// Whom the approval is recorded for.
fn who() -> String {
    std::env::var("SUDO_USER").ok().filter(|name| !name.is_empty()).unwrap_or_else(login)
}

fn text(id: &PlanId, steps: &[(Fingerprint, Value)], expires: Option<Timestamp>) -> String {
    use std::fmt::Write as _;
    let mut text = format!("Held steps of plan {id}:\n");
    for (_, step) in steps {
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
        if let Some(list) = step.get("assignments") {
            // `null`: they could not be read.
            let list = Vec::<Assignment>::deserialize(list).ok();
            let unread = || "assigned: could not be read".to_owned();
            let line = list.map_or_else(unread, |list| meant(of("action"), &list));
            let _ = writeln!(text, "      {line}");
        }
        for change in step.get("changes").and_then(Value::as_array).into_iter().flatten() {
            let value = |key: &str| match change.get(key).and_then(Value::as_str) {
                Some(value) => format!("\"{}\"", shown(value)),
                None => "(none)".to_owned(),
            };
            let attribute = change.get("attribute").and_then(Value::as_str).unwrap_or_default();
            let _ = writeln!(text, "      {attribute} {} → {}", value("old"), value("new"));
        }
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
