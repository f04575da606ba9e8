//! `idcsync scope import`.

use std::fmt::Write as _;

use super::change::{checked, edited, idle, open};
use super::list::counted;
use super::write::{Proposal, settle, some};
use super::{How, ImportArgs};
use crate::cli::progress::Progress;
use crate::cli::sync::explain;
use crate::cli::{Context, Exit};
use crate::config::{Change, Config, OnDisk, quoted};
use crate::plan::shown;
use crate::run::{self, Actual, Import, ScopeDesk};

pub async fn run(context: &Context, args: &ImportArgs) -> Result<Exit, Exit> {
    let (file, config) = open(context)?;
    let bar = Progress::new("reading the target and the directory", context.global.quiet);
    let import = Box::pin(run::import(&Actual, &config)).await;
    bar.end();
    let import = import.map_err(|error| explain(context, error))?;
    if args.write {
        return write(context, &config, &file, &import, args).await;
    }
    context.give(
        || {
            serde_json::json!({
                "schema": "idcsync/scope-import/v1", "profile": config.profile, "import": import,
            })
        },
        || text(&import),
    )?;
    let count = import.entries().len();
    if count > 0 {
        context.say(&format!(
            "Nothing was written. `idcsync scope import --write` puts the {} into the config.",
            if count == 1 { "new entry".to_owned() } else { format!("{count} new entries") }
        ));
    }
    Ok(Exit::Done)
}

async fn write(
    context: &Context,
    config: &Config,
    file: &OnDisk,
    import: &Import,
    args: &ImportArgs,
) -> Result<Exit, Exit> {
    let entries = import.entries();
    if entries.is_empty() {
        return idle(context, "The scope has everything that has its match already");
    }
    let mut text = file.text().to_owned();
    for entry in &entries {
        if let Some(next) = edited(context, file, &text, Change::Add, entry)? {
            text = next;
        }
    }
    let after = checked(context, file, &text)?;
    let bar = Progress::new("reading and planning", context.global.quiet);
    let desk = ScopeDesk::open(&Actual, config).await.map_err(|e| explain(context, e))?;
    let look = desk.read(&entries).await.map_err(|e| explain(context, e))?;
    let effect = Box::pin(look.effect(&after.scope.entries)).await;
    bar.end();
    let effect = effect.map_err(|e| explain(context, e))?;
    let proposal = Proposal { action: "add", entries: look.view(&entries).entries, text, effect };
    settle(context, config, file, &proposal, How { yes: args.yes, dry_run: args.dry_run })
}

/// A `[scope]` table to copy from.
fn text(import: &Import) -> String {
    let mut text = String::new();
    // Writing to a String cannot fail.
    let _ = describe(&mut text, import);
    text
}

fn describe(text: &mut String, import: &Import) -> std::fmt::Result {
    let groups = import.groups.len() + import.other_groups.len();
    writeln!(
        text,
        "# Of identity store {}: {} of {} have their match in the directory, and bring {} of its {}.",
        shown(&import.identity_store),
        import.groups.len(),
        counted(groups as u64, "group"),
        import.users_by_groups,
        counted(import.users_in_target, "user"),
    )?;
    writeln!(text, "[scope]\ngroups = [")?;
    for group in &import.groups {
        let mut told = vec![format!("{} in both", counted(group.in_both, "member"))];
        if !group.only_in_target.is_empty() {
            told.push(format!(
                "{} in the target alone: {}",
                group.only_in_target.len(),
                some(&group.only_in_target)
            ));
        }
        if group.only_in_directory > 0 {
            told.push(format!("{} in the directory alone", group.only_in_directory));
        }
        let there = if group.configured { "in the scope already; " } else { "" };
        writeln!(text, "    {}, # {there}{}", quoted(&group.name), told.join("; "))?;
    }
    for group in &import.other_groups {
        writeln!(text, "    # {}: {}", shown(&group.name), shown(&group.why))?;
    }
    writeln!(text, "]")?;
    if import.users.is_empty() && import.other_users.is_empty() {
        return Ok(());
    }
    writeln!(text, "users = [")?;
    for name in &import.users {
        writeln!(text, "    {}, # in none of these groups", quoted(name))?;
    }
    for user in &import.other_users {
        writeln!(text, "    # {}: {}", shown(&user.name), shown(&user.why))?;
    }
    writeln!(text, "]")
}
