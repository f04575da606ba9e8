//! `idcsync apply`: one cycle that does nothing but what a reviewed plan has.

use std::path::PathBuf;

use clap::Args;

use super::planfile::{self, PlanFile};
use super::{Context, Exit, sync};

#[derive(Debug, Args)]
pub struct ApplyArgs {
    /// As `idcsync sync --dry-run --out FILE` wrote it
    file: PathBuf,

    /// Findings give exit code 3, paused gives 5, the lease elsewhere gives 7
    #[arg(long)]
    strict: bool,

    /// On a terminal: show the plan to its last line, and fold nothing
    #[arg(long)]
    full_plan: bool,
}

pub async fn run(context: &Context, args: &ApplyArgs) -> Exit {
    match apply(context, args).await {
        Ok(exit) | Err(exit) => exit,
    }
}

async fn apply(context: &Context, args: &ApplyArgs) -> Result<Exit, Exit> {
    let config = context.load_config()?;
    context.start_log(&config);
    let file = PlanFile::read(&args.file, &config.profile).map_err(|e| planfile::explain(context, &e))?;
    sync::real(context, &sync::SyncArgs::of_file(file, args.strict, args.full_plan), &config).await
}
