//! `idcsync link`, `unlink` and `release`: ties between directory and target, mended by hand. Shown first, written with
//! `--yes`; the target itself is never written to.

mod propose;
mod show;

use std::sync::Arc;

use clap::{Args, ValueEnum};
use serde_json::{Value, json};

use super::pause::login;
use super::sync::{self, clock, explain};
use super::{Context, Exit, open};
use crate::config::Config;
use crate::cycle::CycleError;
use crate::ids::IdentityStoreId;
use crate::model::{Binding, Code, Finding, Kind, Link};
use crate::plan::Difference;
use crate::state::{FindingChanges, Holder, LEASE_TTL, LeaseAnswer, Repair, State};
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
        let copy = open::state_copy(context, &config).await?;
        let proposal = Box::pin(propose(context, &config, copy.reader(), task)).await?;
        return tell(context, &config, &proposal, false);
    }
    let state = open::state(context, &config).await?;
    let result = Box::pin(under_lease(context, &config, &state, task)).await;
    state.close().await;
    let (proposal, written) = result?;
    tell(context, &config, &proposal, written)
}

/// No cycle runs while links are looked at and changed.
async fn under_lease(
    context: &Context,
    config: &Config,
    state: &State,
    task: Task<'_>,
) -> Result<(Proposal, bool), Exit> {
    let failed = |error| explain(context, &CycleError::State(error));
    let store = match config.target.identity_store() {
        Some(store) => store,
        None => {
            let target = open::target(context, config, Access::ReadOnly, Gate::Open).await?;
            sync::identity_store(context, target.as_ref()).await?
        }
    };
    let holder = Holder::current().map_err(failed)?;
    let answer = state.acquire_lease(&store, &holder, LEASE_TTL).await.map_err(failed)?;
    let lease = match answer {
        LeaseAnswer::Acquired(lease) => lease,
        LeaseAnswer::HeldBy { holder, until } => {
            context.complain(&format!(
                "error: a cycle is at work on {store} ({holder}, until {until}), so nothing was changed: try again when \
                 it has ended"
            ));
            return Err(Exit::LeaseElsewhere);
        }
    };
    let (stop, lost) = tokio::sync::watch::channel(false);
    let keeper = tokio::spawn(sync::keep_lease(state.clone(), lease.clone(), Arc::new(stop)));
    let work = async {
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
    let result = work.await;
    keeper.abort();
    if let Err(error) = state.release_lease(&lease).await {
        tracing::warn!(
            "the lease could not be given back; it ends by itself: {}",
            crate::cycle::chain(&error)
        );
    }
    result
}

async fn write(
    context: &Context,
    config: &Config,
    state: &State,
    store: &IdentityStoreId,
    proposal: &Proposal,
) -> Result<(), Exit> {
    let now = clock();
    let repair = Repair {
        links: proposal.links.iter().collect(),
        what: json!({ "action": proposal.action, "object": proposal.object }),
        who: &login(),
        binding: proposal.binding.clone(),
        settles: proposal.settles.clone(),
        now,
    };
    let (_, gone) = state.repair(&repair).await.map_err(|e| explain(context, &CycleError::State(e)))?;
    let changes = FindingChanges { gone, ..FindingChanges::default() };
    telemetry::record_findings(config, store, &changes, now);
    Ok(())
}
