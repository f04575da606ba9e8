//! `idcsync scope import`.

use std::fmt::Write as _;

use super::change::{checked, edited, idle, open, refuse};
use super::list::counted;
use super::write::{Proposal, settle, some};
use super::{How, ImportArgs};
use crate::cli::progress::Progress;
use crate::cli::sync::explain;
use crate::cli::{Context, Exit};
use crate::config::{Change, Config, OnDisk, entry_literal};
use crate::model::{Kind, ScopeEntry};
use crate::plan::shown;
use crate::run::{self, Actual, Import, MatchedGroup, ScopeDesk};

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
        || text(&import, &config.scope.entries),
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
    let views = look.view(&entries).entries;
    // They were resolved when they were proposed: somebody was at the directory in between.
    if let Some((entry, view)) = entries.iter().zip(&views).find(|(_, view)| !view.is_resolved()) {
        bar.end();
        return Err(refuse(context, entry, Some(view)));
    }
    let effect = Box::pin(look.effect(&after.scope.entries)).await;
    bar.end();
    let effect = effect.map_err(|e| explain(context, e))?;
    let proposal = Proposal { action: "add", entries: views, text, effect };
    settle(context, config, file, &proposal, How { yes: args.yes, dry_run: args.dry_run })
}

/// The two lists of `[scope]` to copy from: what is configured, as it is, and what is new.
fn text(import: &Import, configured: &[ScopeEntry]) -> String {
    let mut text = String::new();
    // Writing to a String cannot fail.
    let _ = describe(&mut text, import, configured);
    text
}

fn describe(text: &mut String, import: &Import, configured: &[ScopeEntry]) -> std::fmt::Result {
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
    writeln!(text, "# In place of the two lists of [scope]; its other keys stay as they are.")?;
    writeln!(text, "[scope]\ngroups = [")?;
    let there = |kind| configured.iter().filter(move |e| e.kind == kind);
    for entry in there(Kind::Group) {
        let matched = import.groups.iter().find(|g| g.configured && g.name == entry.name);
        let told = matched.map_or_else(String::new, |group| format!("; {}", told(group)));
        writeln!(text, "    {}, # in the scope already{told}", entry_literal(entry))?;
    }
    let new = import.entries();
    for (entry, group) in new.iter().zip(import.groups.iter().filter(|g| !g.configured)) {
        writeln!(text, "    {}, # {}", entry_literal(entry), told(group))?;
    }
    for group in &import.other_groups {
        writeln!(text, "    # {}: {}", shown(&group.name), shown(&group.why))?;
    }
    writeln!(text, "]")?;
    if there(Kind::User).next().is_none() && import.users.is_empty() && import.other_users.is_empty() {
        return Ok(());
    }
    writeln!(text, "users = [")?;
    for entry in there(Kind::User) {
        writeln!(text, "    {}, # in the scope already", entry_literal(entry))?;
    }
    for entry in new.iter().filter(|e| e.kind == Kind::User) {
        writeln!(text, "    {}, # in none of these groups", entry_literal(entry))?;
    }
    for user in &import.other_users {
        writeln!(text, "    # {}: {}", shown(&user.name), shown(&user.why))?;
    }
    writeln!(text, "]")
}

fn told(group: &MatchedGroup) -> String {
    let mut told = vec![format!("{} in both", counted(group.in_both, "member"))];
    if !group.only_in_target.is_empty() {
        let (count, names) = (group.only_in_target.len(), some(&group.only_in_target));
        told.push(format!("{count} in the target alone: {names}"));
    }
    if group.only_in_directory > 0 {
        told.push(format!("{} in the directory alone", group.only_in_directory));
    }
    told.join("; ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::run::Unmatched;

    fn matched(name: &str, configured: bool) -> MatchedGroup {
        MatchedGroup {
            display_name: name.to_owned(),
            name: name.to_owned(),
            dn: format!("CN={name}"),
            configured,
            in_both: 2,
            only_in_target: Vec::new(),
            only_in_directory: 0,
        }
    }

    /// What is printed can be put in place of what is there, and nothing is lost or written anew by it.
    #[test]
    fn what_is_configured_stays_as_it_is() {
        let entry = |kind, name: &str, write| ScopeEntry { kind, name: name.to_owned(), write };
        let configured = [
            entry(Kind::Group, "A", true),
            entry(Kind::Group, "All", false),
            entry(Kind::Group, "Not in the store yet", true),
            entry(Kind::User, "alice", true),
        ];
        let import = Import {
            identity_store: "d-1234567890".to_owned(),
            groups: vec![matched("A", true), matched("All", true), matched("B", false)],
            other_groups: vec![Unmatched { name: "C".to_owned(), why: "x".to_owned() }],
            users: vec!["bob".to_owned()],
            ..Import::default()
        };
        let text = text(&import, &configured);
        let lines: Vec<&str> = text.lines().skip(3).collect();
        assert_eq!(
            lines,
            [
                "groups = [",
                "    \"A\", # in the scope already; 2 members in both",
                "    { group = \"All\", write = false }, # in the scope already; 2 members in both",
                "    \"Not in the store yet\", # in the scope already",
                "    \"B\", # 2 members in both",
                "    # C: x",
                "]",
                "users = [",
                "    \"alice\", # in the scope already",
                "    \"bob\", # in none of these groups",
                "]",
            ]
        );
    }
}
