//! `idcsync link`, `unlink` and `release`: ties between directory and target, mended by hand. Shown first, written with
//! `--yes`; the target itself is never written to.

mod propose;
mod show;

use clap::{Args, ValueEnum};
use serde_json::{Value, json};
use tokio::sync::watch;

use super::pause::login;
use super::sync::explain;
use super::{Context, Exit};
use crate::config::Config;
use crate::cycle::CycleError;
use crate::ids::IdentityStoreId;
use crate::model::{Binding, Code, Finding, Kind, Link};
use crate::plan::Difference;
use crate::run::{Leased, clock, open, under_lease};
use crate::state::{FindingChanges, Repair, State};
use crate::target::{Access, Gate};
use crate::telemetry;
use propose::propose;
use show::tell;

#[derive(Clone, Copy, Debug, ValueEnum)]
enum What {
    User,
    Group,
}

impl What {
    fn kind(self) -> Kind {
        match self {
            Self::User => Kind::User,
            Self::Group => Kind::Group,
        }
    }
}

#[derive(Debug, Args)]
pub struct LinkArgs {
    kind: What,
    /// As in [scope]: a sAMAccountName, DOMAIN\name, userPrincipalName, mail, DN or objectGUID
    name: String,
    /// The id of the user or group in the target
    target_id: String,
    /// Write it; without, it is only shown
    #[arg(long)]
    yes: bool,
}

#[derive(Debug, Args)]
pub struct UnlinkArgs {
    kind: What,
    /// As in [scope], or the name in the target
    name: String,
    /// Write it; without, it is only shown
    #[arg(long)]
    yes: bool,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum OnlyGroup {
    Group,
}

#[derive(Debug, Args)]
pub struct ReleaseArgs {
    #[arg(value_name = "KIND")]
    _kind: OnlyGroup,
    /// As in [scope], or the name in the target
    name: String,
    /// Write it; without, it is only shown
    #[arg(long)]
    yes: bool,
}

/// One of the three, with what it is about.
#[derive(Clone, Copy)]
enum Task<'a> {
    Link { kind: Kind, name: &'a str, id: &'a str },
    Unlink { kind: Kind, name: &'a str },
    Release { name: &'a str },
}

pub async fn link(context: &Context, args: &LinkArgs) -> Exit {
    let task = Task::Link { kind: args.kind.kind(), name: args.name.trim(), id: args.target_id.trim() };
    run(context, task, args.yes).await
}

pub async fn unlink(context: &Context, args: &UnlinkArgs) -> Exit {
    run(context, Task::Unlink { kind: args.kind.kind(), name: args.name.trim() }, args.yes).await
}

pub async fn release(context: &Context, args: &ReleaseArgs) -> Exit {
    run(context, Task::Release { name: args.name.trim() }, args.yes).await
}

/// What would be written, and what is told of it.
struct Proposal {
    action: &'static str,
    links: Vec<Link>,
    binding: Option<Binding>,
    settles: Option<(Code, Vec<String>)>,
    object: Value,
    /// What the next cycle would change of it.
    changes: Vec<Difference>,
    /// Why the next cycle would leave it as it is.
    findings: Vec<Finding>,
    /// Of a group: its members; of a user: its groups. Those that idcsync knows.
    memberships: Vec<String>,
    /// Members of a group that belong to nobody who is linked.
    strangers: Vec<String>,
    /// It is so already.
    idle: bool,
}

async fn run(context: &Context, task: Task<'_>, yes: bool) -> Exit {
    match try_run(context, task, yes).await {
        Ok(()) => Exit::Done,
        Err(exit) => exit,
    }
}

async fn try_run(context: &Context, task: Task<'_>, yes: bool) -> Result<(), Exit> {
    let config = context.load_config()?;
    context.start_log(&config);
    if !yes {
        let copy = open::state_copy(&config).await.map_err(|e| explain(context, e))?;
        let proposal = Box::pin(propose(context, &config, copy.reader(), task)).await?;
        return tell(context, &config, &proposal, false);
    }
    let state = open::state(&config).await.map_err(|e| explain(context, e))?;
    let result = Box::pin(alone(context, &config, &state, task)).await;
    state.close().await;
    let (proposal, written) = result?;
    tell(context, &config, &proposal, written)
}

/// No cycle runs while links are looked at and changed.
async fn alone(
    context: &Context,
    config: &Config,
    state: &State,
    task: Task<'_>,
) -> Result<(Proposal, bool), Exit> {
    let failed = |error| explain(context, CycleError::State(error));
    let store = match config.target.identity_store() {
        Some(store) => store,
        None => {
            let target =
                open::target(config, Access::ReadOnly, Gate::Open).await.map_err(|e| explain(context, e))?;
            open::identity_store(target.as_ref()).await.map_err(|e| explain(context, e))?
        }
    };
    let (stop, lost) = watch::channel(false);
    let work = |_| async {
        let proposal = propose(context, config, state.reader(), task).await?;
        if proposal.idle {
            return Ok((proposal, false));
        }
        if *lost.borrow() {
            context.complain("error: the lease was lost, so nothing was changed: try again");
            return Err(Exit::LeaseElsewhere);
        }
        write(context, config, state, &store, &proposal).await?;
        Ok((proposal, true))
    };
    let told = move || {
        let _ = stop.send(true);
    };
    match Box::pin(under_lease(state, &store, told, work)).await.map_err(failed)? {
        Leased::Done(result) => result,
        Leased::Elsewhere { holder, until } => {
            context.complain(&format!(
                "error: a cycle is at work on {store} ({holder}, until {until}), so nothing was changed: try again when \
                 it has ended"
            ));
            Err(Exit::LeaseElsewhere)
        }
    }
}

async fn write(
    context: &Context,
    config: &Config,
    state: &State,
    store: &IdentityStoreId,
    proposal: &Proposal,
) -> Result<(), Exit> {
    let now = clock::now();
    let repair = Repair {
        links: proposal.links.iter().collect(),
        what: json!({ "action": proposal.action, "object": proposal.object }),
        who: &login(),
        binding: proposal.binding.clone(),
        settles: proposal.settles.clone(),
        now,
    };
    let (_, gone) = state.repair(&repair).await.map_err(|e| explain(context, CycleError::State(e)))?;
    let changes = FindingChanges { gone, ..FindingChanges::default() };
    telemetry::record_findings(config, store, &changes, now);
    Ok(())
}
