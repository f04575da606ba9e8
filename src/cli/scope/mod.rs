//! `idcsync scope`: what the scope's entries stand for, and changes to them in the config file, shown before they are
//! written. Neither the target nor the state database is written to.

mod change;
mod import;
mod list;
mod write;

use clap::{Args, Subcommand};

pub(super) use write::failed;

use super::explain::What;
use super::{Context, Exit};

#[derive(Debug, Subcommand)]
pub enum ScopeCommand {
    /// The configured entries: what each stands for now, and how many users and groups it brings
    List,
    /// Put a user or group into the scope
    Add(AddArgs),
    /// Take an entry out of the scope
    Remove(RemoveArgs),
    /// Propose a scope from what the target holds already; nothing of it is written to
    Import(ImportArgs),
}

#[derive(Debug, Args)]
pub struct AddArgs {
    kind: What,
    /// A sAMAccountName, DOMAIN\name, userPrincipalName, mail, DN or objectGUID; written as it is given
    name: String,
    /// A group to be read through: its people are synced, the group itself is not
    #[arg(long)]
    container: bool,
    #[command(flatten)]
    how: How,
}

#[derive(Debug, Args)]
pub struct RemoveArgs {
    kind: What,
    /// As the config has it, or any other name of the same object
    name: String,
    #[command(flatten)]
    how: How,
}

#[derive(Debug, Args)]
pub struct ImportArgs {
    /// Put what has its match into the config, as `add` does
    #[arg(long)]
    write: bool,
    /// With --write: without asking
    #[arg(long, requires = "write")]
    yes: bool,
    /// With --write: only show what it would mean
    #[arg(long, requires = "write", conflicts_with = "yes")]
    dry_run: bool,
}

/// Whether a change is written.
#[derive(Clone, Copy, Debug, Args)]
pub struct How {
    /// Write it without asking
    #[arg(long)]
    yes: bool,
    /// Only show what it would mean
    #[arg(long, conflicts_with = "yes")]
    dry_run: bool,
}

pub async fn run(context: &Context, command: &ScopeCommand) -> Exit {
    let result = match command {
        ScopeCommand::List => list::run(context).await,
        ScopeCommand::Add(args) => change::add(context, args).await,
        ScopeCommand::Remove(args) => change::remove(context, args).await,
        ScopeCommand::Import(args) => import::run(context, args).await,
    };
    match result {
        Ok(exit) | Err(exit) => exit,
    }
}
