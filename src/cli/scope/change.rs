//! `idcsync scope add` and `remove`.

use super::write::{Proposal, settle};
use super::{AddArgs, RemoveArgs};
use crate::cli::progress::Progress;
use crate::cli::sync::explain;
use crate::cli::{Context, Exit};
use crate::config::{Change, Config, Edited, OnDisk, edit_scope};
use crate::cycle::EntryView;
use crate::model::{Kind, ScopeEntry};
use crate::plan::shown;
use crate::run::{Actual, ScopeDesk, ScopeLook};

pub async fn add(context: &Context, args: &AddArgs) -> Result<Exit, Exit> {
    let mut entry = entry(context, args.kind.kind(), &args.name, !args.container)?;
    let (file, config) = open(context)?;
    let Some(mut text) = edited(context, &file, file.text(), Change::Add, &entry)? else {
        return idle(context, &format!("The {} is in the scope already", label(&entry)));
    };
    let mut after = checked(context, &file, &text)?;
    let bar = Progress::new("reading and planning", context.global.quiet);
    let desk = ScopeDesk::open(&Actual, &config).await.map_err(|e| explain(context, e))?;
    let look = desk.read(std::slice::from_ref(&entry)).await.map_err(|e| explain(context, e))?;
    let view = one(&look, &entry);
    let Some(mut view) = view.filter(EntryView::is_resolved) else {
        bar.end();
        return Err(refuse(context, &entry, one(&look, &entry).as_ref()));
    };
    // By another name, perhaps.
    if let Some(there) = same_object(&look, &config, &entry)
        && there.name != entry.name
        && after.scope.entries.len() > config.scope.entries.len()
    {
        let same = format!("The {} is in the scope already, as {}", label(&entry), shown(&there.name));
        // Only what it is for is new, if anything.
        entry = ScopeEntry { name: there.name.clone(), ..entry };
        let Some(anew) = edited(context, &file, file.text(), Change::Add, &entry)? else {
            bar.end();
            return idle(context, &same);
        };
        after = checked(context, &file, &anew)?;
        text = anew;
        view = EntryView { name: entry.name.clone(), ..view };
    }
    let effect = look.effect(&after.scope.entries).await;
    bar.end();
    let effect = effect.map_err(|e| explain(context, e))?;
    let proposal = Proposal { action: "add", entries: vec![view], text, effect };
    settle(context, &config, &file, &proposal, args.how)
}

pub async fn remove(context: &Context, args: &RemoveArgs) -> Result<Exit, Exit> {
    let mut entry = entry(context, args.kind.kind(), &args.name, true)?;
    let (file, config) = open(context)?;
    let bar = Progress::new("reading and planning", context.global.quiet);
    let desk = ScopeDesk::open(&Actual, &config).await.map_err(|e| explain(context, e))?;
    let look;
    let text = match edited(context, &file, file.text(), Change::Remove, &entry)? {
        Some(text) => {
            look = desk.read(&[]).await.map_err(|e| explain(context, e))?;
            text
        }
        None => {
            look = desk.read(std::slice::from_ref(&entry)).await.map_err(|e| explain(context, e))?;
            let Some(there) = same_object(&look, &config, &entry) else {
                bar.end();
                return Err(not_there(context, &config, &entry));
            };
            entry = there.clone();
            match edited(context, &file, file.text(), Change::Remove, &entry)? {
                Some(text) => text,
                None => return Err(not_there(context, &config, &entry)),
            }
        }
    };
    let named = config.scope.entries.iter().find(|e| e.kind == entry.kind && is_gone(e, &file, &text));
    let view = one(&look, named.unwrap_or(&entry));
    if config.scope.entries.len() == 1 {
        bar.end();
        context.complain(
            "error: it is the only entry, and an empty scope would sync nobody: add another one first; to stop \
             syncing, use `idcsync pause`",
        );
        return Err(Exit::Usage);
    }
    let after = checked(context, &file, &text)?;
    let effect = look.effect(&after.scope.entries).await;
    bar.end();
    let effect = effect.map_err(|e| explain(context, e))?;
    let proposal = Proposal { action: "remove", entries: view.into_iter().collect(), text, effect };
    settle(context, &config, &file, &proposal, args.how)
}

pub(super) fn open(context: &Context) -> Result<(OnDisk, Config), Exit> {
    let config = context.load_config()?;
    context.start_log(&config);
    OnDisk::load(&context.global.config).map_err(|error| {
        context.explain_config(&error);
        Exit::Usage
    })
}

/// A name that no config could have is refused before anything is read.
fn entry(context: &Context, kind: Kind, name: &str, write: bool) -> Result<ScopeEntry, Exit> {
    let name = name.trim();
    let why = match (kind, write) {
        _ if name.is_empty() => "the name is empty",
        (Kind::User, false) => "--container is for groups",
        _ => return Ok(ScopeEntry { kind, name: name.to_owned(), write }),
    };
    context.complain(&format!("error: {why}"));
    Err(Exit::Usage)
}

/// The text after the change; `None`: it is so already.
pub(super) fn edited(
    context: &Context,
    file: &OnDisk,
    text: &str,
    change: Change,
    entry: &ScopeEntry,
) -> Result<Option<String>, Exit> {
    match edit_scope(text, change, entry) {
        Ok(Edited::Text(text)) => Ok(Some(text)),
        Ok(Edited::Same) => Ok(None),
        Err(error) => {
            context.complain(&format!("error: {} cannot be edited: {error}", file.path().display()));
            Err(Exit::Usage)
        }
    }
}

pub(super) fn checked(context: &Context, file: &OnDisk, text: &str) -> Result<Config, Exit> {
    file.checked(text).map_err(|error| {
        context.complain("error: with that the config would not be valid, so nothing was written:");
        context.explain_config(&error);
        Exit::Usage
    })
}

fn is_gone(entry: &ScopeEntry, file: &OnDisk, text: &str) -> bool {
    file.checked(text).is_ok_and(|after| !after.scope.entries.contains(entry))
}

fn one(look: &ScopeLook<'_>, entry: &ScopeEntry) -> Option<EntryView> {
    look.view(std::slice::from_ref(entry)).entries.pop()
}

/// The configured entry that stands for the same object.
fn same_object<'c>(look: &ScopeLook<'_>, config: &'c Config, entry: &ScopeEntry) -> Option<&'c ScopeEntry> {
    let meant = look.object(entry)?;
    config.scope.entries.iter().find(|e| e.kind == entry.kind && look.object(e) == Some(meant))
}

fn label(entry: &ScopeEntry) -> String {
    format!("{} {}", entry.kind, shown(&entry.name))
}

pub(super) fn idle(context: &Context, text: &str) -> Result<Exit, Exit> {
    context.give(
        || serde_json::json!({ "schema": "idcsync/scope-change/v1", "written": false, "already": true }),
        || format!("{text}: nothing to do.\n"),
    )?;
    Ok(Exit::Done)
}

fn not_there(context: &Context, config: &Config, entry: &ScopeEntry) -> Exit {
    let wanted = entry.name.to_lowercase();
    let near = config.scope.entries.iter().filter(|e| e.kind == entry.kind).max_by(|a, b| {
        let likeness = |e: &ScopeEntry| strsim::jaro_winkler(&e.name.to_lowercase(), &wanted);
        likeness(a).total_cmp(&likeness(b))
    });
    let hint = near.map_or_else(
        || format!("it names no {} at all", entry.kind),
        |near| format!("the nearest is {}; `idcsync scope list` shows all", shown(&near.name)),
    );
    context.complain(&format!("error: the scope has no entry for the {}: {hint}", label(entry)));
    Exit::Usage
}

/// A name that is not one object.
pub(super) fn refuse(context: &Context, entry: &ScopeEntry, view: Option<&EntryView>) -> Exit {
    let label = label(entry);
    let problem = view.and_then(|v| v.problem.as_deref()).map(shown).unwrap_or_default();
    let candidates: Vec<String> = view.iter().flat_map(|v| &v.candidates).map(|dn| shown(dn)).collect();
    let (text, exit) = match view.map(|v| v.state) {
        Some("unread") => (format!("the {label} could not be read: {problem}"), Exit::Unreachable),
        Some("ambiguous") => (
            format!("{label} may be any of these; give the DN of one: {}", candidates.join("; ")),
            Exit::Usage,
        ),
        None | Some("not-found") => (
            format!(
                "the directory has no {label}, as far as the bind account can see: check the spelling and \
                 directory.base-dn"
            ),
            Exit::Usage,
        ),
        Some(_) => (format!("{label} cannot be in the scope: {problem}"), Exit::Usage),
    };
    context.complain(&format!("error: {text}"));
    exit
}
