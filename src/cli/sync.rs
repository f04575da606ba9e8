//! `idcsync sync`: one cycle, and its dry run.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;

use clap::Args;
use jiff::Timestamp;
use serde_json::json;
use tracing::{debug, info, warn};

use super::pause::put_out;
use super::planfile::{self, PlanFile};
use super::progress::Progress;
use super::{Context, Exit, clock, open};
use crate::apply::Stop;
use crate::config::Config;
use crate::cycle::{
    self, CycleError, CycleReport, NoJournal, Outcome, Parts, PauseDue, Prepared, Profile, StateJournal,
    carry_out, chain, pause_due, prepare, prepare_sweep, warn_of_pause,
};
use crate::ids::IdentityStoreId;
use crate::model::{Code, Finding, Severity};
use crate::plan::{Action, PlanView, Sweep, render, shown};
use crate::state::{self, CycleKind, Holder, LEASE_TTL, Lease, LeaseAnswer, State};
use crate::target::{Access, Gate, Target};
use crate::telemetry;

#[derive(Debug, Args)]
pub struct SyncArgs {
    /// Stop before the first write: nothing is written, not to the target, not to the state database
    #[arg(long)]
    dry_run: bool,

    /// With --dry-run: write the plan as JSON to this file, for `idcsync apply`
    #[arg(long, value_name = "FILE", requires = "dry_run")]
    out: Option<PathBuf>,

    /// With --dry-run: exit with 8 if there are changes
    #[arg(long, requires = "dry_run")]
    detailed_exitcode: bool,

    /// Read the target back too, and repair what was changed there (as every [schedule] drift-check does by itself)
    #[arg(long)]
    full: bool,

    /// Let go of all that the profile is tied to, and bind it to the directory and the identity store that the config
    /// points to now. Look first, with --dry-run
    #[arg(long)]
    rebind: bool,

    /// Findings give exit code 3, paused gives 5, the lease elsewhere gives 7
    #[arg(long)]
    strict: bool,

    /// Of `apply`: nothing is done but what this has.
    #[arg(skip)]
    only: Option<PlanFile>,
}

impl SyncArgs {
    /// A cycle for the steps of a plan file.
    pub fn of_file(file: PlanFile, strict: bool) -> Self {
        Self {
            dry_run: false,
            out: None,
            detailed_exitcode: false,
            full: file.full,
            rebind: false,
            strict,
            only: Some(file),
        }
    }
}

/// Cycles of one run: the second repairs what the first did not find in the target.
const MOST_ROUNDS: u32 = 3;

pub async fn run(context: &Context, args: &SyncArgs) -> Exit {
    match sync(context, args).await {
        Ok(exit) | Err(exit) => exit,
    }
}

async fn sync(context: &Context, args: &SyncArgs) -> Result<Exit, Exit> {
    let config = context.load_config()?;
    context.start_log(&config);
    if args.dry_run { dry_run(context, args, &config).await } else { real(context, args, &config).await }
}

pub fn clock() -> Timestamp {
    clock::now()
}

impl SyncArgs {
    fn profile<'c>(&self, config: &'c Config) -> Profile<'c> {
        Profile { full: self.full, rebind: self.rebind, ..open::profile(config) }
    }
}

pub async fn identity_store(context: &Context, target: &dyn Target) -> Result<IdentityStoreId, Exit> {
    target.identity_store().await.map_err(|error| explain(context, &CycleError::Target(error)))
}

pub fn explain(context: &Context, error: &CycleError) -> Exit {
    context.complain(&format!("error: {}", error.with_remedy()));
    Exit::of_error(error)
}

async fn dry_run(context: &Context, args: &SyncArgs, config: &Config) -> Result<Exit, Exit> {
    let prepared = plan(context, config, &args.profile(config)).await?;
    let outcome = Outcome {
        steps: prepared.approved.plan().steps.len() as u64,
        held: prepared.approved.held().len() as u64,
        cut_short: prepared.cut_short,
        findings: prepared.findings.len() as u64,
        ..Outcome::default()
    };
    let view = PlanView { approved: &prepared.approved, findings: &prepared.findings };
    if let Some(path) = &args.out {
        planfile::write(path, &view).map_err(|error| planfile::explain(context, &error))?;
    }
    let print = if context.is_json() {
        context.print_json(&view)
    } else {
        let text = plan_text(context, config, &prepared, false) + &findings_text(&prepared.findings);
        context.print(&text)
    };
    print.map_err(|error| write_failed(context, &error))?;
    if prepared.cut_short {
        context.complain(CUT_SHORT);
    }
    match &args.out {
        None => context.say("Dry run: nothing was written."),
        Some(path) => {
            let path = path.display();
            context.say(&format!(
                "Dry run: nothing was written but {path}. Do what it has: idcsync apply {path}"
            ));
        }
    }
    Ok(Exit::of_cycle(&outcome, args.strict, args.detailed_exitcode))
}

/// The plan that a cycle would make now. Writes nothing anywhere.
pub async fn plan(context: &Context, config: &Config, profile: &Profile<'_>) -> Result<Prepared, Exit> {
    let target = open::target(context, config, Access::ReadOnly, Gate::Open).await?;
    let identity_store = identity_store(context, target.as_ref()).await?;
    let state = open::state_copy(context, config).await?;
    let directory = open::directory(config);
    let parts = Parts { directory: directory.as_ref(), target, identity_store, clock: &clock };
    let bar = Progress::new("reading and planning", context.global.quiet);
    let prepared = Box::pin(prepare(profile, &parts, state.reader(), &NoJournal)).await;
    bar.end();
    prepared.map_err(|error| explain(context, &error))
}

pub async fn real(context: &Context, args: &SyncArgs, config: &Config) -> Result<Exit, Exit> {
    let state = open::state(context, config).await?;
    let result = with_state(context, args, config, &state).await;
    state.close().await;
    result
}

async fn with_state(
    context: &Context,
    args: &SyncArgs,
    config: &Config,
    state: &State,
) -> Result<Exit, Exit> {
    let state_failed = |error| explain(context, &CycleError::State(error));
    let mut mode = Mode::Normal;
    if let Some(pause) = state.pause().await.map_err(state_failed)?
        && !pause.is_over(clock())
    {
        let reason = pause.reason.as_ref().map(|r| format!(" ({})", shown(r))).unwrap_or_default();
        let disable_after = config.policy.lifecycle.disable_after;
        match pause_due(&pause, disable_after, clock()) {
            PauseDue::Nothing => {
                context.say(&format!("The profile is paused since {}{reason}: nothing was done.", pause.at));
                return Ok(paused(args));
            }
            PauseDue::Warn { at } => {
                let changes =
                    warn_of_pause(state, &config.profile, &pause, at, put_out(config), clock()).await;
                let changes = changes.map_err(state_failed)?;
                let store = match config.target.identity_store() {
                    Some(store) => Some(store),
                    None => {
                        state.load(clock()).await.map_err(state_failed)?.binding.map(|b| b.identity_store)
                    }
                };
                let store = store.unwrap_or_else(|| IdentityStoreId::new("unknown"));
                telemetry::record_findings(config, &store, &changes, clock());
                context.complain(&format!(
                    "warning: the profile is paused since {}{reason}. All its users are {} by the first run after \
                     {at}, unless it is resumed: `idcsync resume`",
                    pause.at,
                    put_out(config)
                ));
                return Ok(paused(args));
            }
            PauseDue::Sweep(sweep) => {
                context.complain(&format!(
                    "warning: the profile is paused since {}{reason}, for longer than lifecycle.disable-after: all \
                     its users are {} now. To end it: `idcsync resume`",
                    pause.at,
                    put_out(config)
                ));
                mode = Mode::Sweep(sweep);
            }
        }
    }
    // The lease first, where it can be told what it is of: an in-process sandbox is locked by whoever is at work.
    let store = match config.target.identity_store() {
        Some(store) => store,
        None => {
            let target = open::target(context, config, Access::ReadOnly, Gate::Open).await?;
            identity_store(context, target.as_ref()).await?
        }
    };

    let holder = Holder::current().map_err(state_failed)?;
    let answer = state.acquire_lease(&store, &holder, LEASE_TTL).await.map_err(state_failed)?;
    let lease = match answer {
        LeaseAnswer::Acquired(lease) => lease,
        LeaseAnswer::HeldBy { holder, until } => {
            context.say(&format!(
                "Another cycle is at work on {store} ({holder}, until {until}): nothing was done."
            ));
            return Ok(if args.strict { Exit::LeaseElsewhere } else { Exit::Done });
        }
    };
    let (stop, stopped) = tokio::sync::watch::channel(false);
    let stop = Arc::new(stop);
    let keeper = tokio::spawn(keep_lease(state.clone(), lease.clone(), Arc::clone(&stop)));
    let signals = tokio::spawn(stop_on_signal(stop));

    let target = open::target(context, config, Access::ReadWrite, Gate::Lease(lease.deadline())).await;
    let result = match target {
        Ok(target) => cycles(context, args, config, state, target, store.clone(), mode, &stopped).await,
        Err(exit) => Err(exit),
    };
    keeper.abort();
    signals.abort();
    if let Err(error) = state.release_lease(&lease).await {
        warn!("the lease could not be given back; it ends by itself: {}", chain(&error));
    }
    result
}

fn paused(args: &SyncArgs) -> Exit {
    if args.strict { Exit::Paused } else { Exit::Done }
}

/// What a run is for.
#[derive(Clone, Copy)]
enum Mode {
    Normal,
    /// The profile is paused for too long.
    Sweep(Sweep),
}

/// One cycle; and another where an approved scope entry follows another object from now on.
#[expect(
    clippy::too_many_arguments,
    reason = "all that a run was given and opened, and each thing used once"
)]
async fn cycles(
    context: &Context,
    args: &SyncArgs,
    config: &Config,
    state: &State,
    target: Arc<dyn Target>,
    store: IdentityStoreId,
    mode: Mode,
    stopped: &tokio::sync::watch::Receiver<bool>,
) -> Result<Exit, Exit> {
    let directory = open::directory(config);
    let parts = Parts { directory: directory.as_ref(), target, identity_store: store, clock: &clock };
    let mut file = args.only.clone();
    let only = file.as_ref().map(PlanFile::fingerprints);
    let profile = Profile { only, ..args.profile(config) };
    let mut followed = Vec::new();
    let mut rounds = 0;
    loop {
        let report = one(context, config, state, &profile, &parts, mode, stopped).await?;
        rounds += 1;
        if !report.again || rounds >= MOST_ROUNDS {
            tell(context, config, &report, &followed, file.as_ref())?;
            return Ok(match (mode, Exit::of_cycle(&report.outcome, args.strict, false)) {
                (Mode::Sweep(_), Exit::Done) => paused(args),
                (_, exit) => exit,
            });
        }
        if context.is_json() {
            // One document, whatever the number of cycles.
            let plan = &report.approved;
            let rebinds = plan.runnable().filter(|(_, s)| matches!(s.action, Action::RebindEntry { .. }));
            followed.extend(rebinds.map(|(no, _)| plan.step_json(no)));
        } else {
            tell(context, config, &report, &followed, None)?;
        }
        if let Some(file) = &mut file {
            file.note_done(&report.approved);
        }
        context.say(if report.rebound {
            "A scope entry follows another object from now on: reading again."
        } else {
            "Something was gone from the target: looking again, to repair it."
        });
    }
}

async fn one(
    context: &Context,
    config: &Config,
    state: &State,
    profile: &Profile<'_>,
    parts: &Parts<'_>,
    mode: Mode,
    stopped: &tokio::sync::watch::Receiver<bool>,
) -> Result<CycleReport, Exit> {
    let state_failed = |error| explain(context, &CycleError::State(error));
    let kind = match mode {
        Mode::Sweep(_) => CycleKind::Sweep,
        Mode::Normal if profile.full => CycleKind::Full,
        Mode::Normal => CycleKind::Normal,
    };
    let cycle = cycle::begin(state, kind, clock()).await.map_err(state_failed)?;
    let bar = Progress::new("reading and planning", context.global.quiet);
    let journal = StateJournal { state, cycle };
    let run = async {
        let prepared = match mode {
            Mode::Normal => prepare(profile, parts, state.reader(), &journal).await?,
            Mode::Sweep(sweep) => prepare_sweep(profile, parts, state.reader(), &journal, sweep).await?,
        };
        if !context.is_json() {
            // Shown before it is done: whoever watches can still interrupt.
            let text = plan_text(context, config, &prepared, matches!(mode, Mode::Sweep(_)));
            if let Err(error) = bar.aside(|| context.print(&text)) {
                debug!("the plan could not be printed: {error}");
            }
        }
        carry_out(profile, parts, state, cycle, prepared, stopped, &|done, total| bar.set(done, total)).await
    };
    let result = Box::pin(run).await;
    bar.end();
    match result {
        Ok(report) => {
            telemetry::record_findings(config, &parts.identity_store, &report.changes, clock());
            info!(
                cycle = cycle.0,
                outcome = report.outcome.word().word(),
                steps = report.outcome.steps,
                done = report.applied.done.values().sum::<u64>(),
                held = report.outcome.held,
                findings = report.outcome.findings,
                requests = parts.target.usage().requests,
                throttled = parts.target.usage().throttled,
                "cycle finished"
            );
            Ok(report)
        }
        Err(error) => {
            match cycle::failed(state, cycle, profile.name, &error, clock()).await {
                Ok(changes) => telemetry::record_findings(config, &parts.identity_store, &changes, clock()),
                Err(second) => warn!("how the cycle failed could not be recorded: {}", chain(&second)),
            }
            Err(explain(context, &error))
        }
    }
}

/// `followed`: the steps by which scope entries were rebound in a cycle before this one.
fn tell(
    context: &Context,
    config: &Config,
    report: &CycleReport,
    followed: &[serde_json::Value],
    file: Option<&PlanFile>,
) -> Result<(), Exit> {
    let differences = file.map(|file| (file, file.compare(&report.approved)));
    let print = if context.is_json() {
        let mut document = json!({
            "schema": "idcsync/cycle/v1",
            "profile": config.profile,
            "outcome": report.outcome.word().word(),
            "facts": report.outcome,
            "counts": report.counts(),
            "rebound": followed,
            "plan": PlanView { approved: &report.approved, findings: &report.findings },
        });
        if let Some((_, differences)) = &differences {
            document["file"] = differences.json();
        }
        context.print_json(&document)
    } else {
        context.print(&(findings_text(&report.findings) + &summary(report)))
    };
    print.map_err(|error| write_failed(context, &error))?;
    if let Some((file, differences)) = differences {
        differences.tell(context, file);
    }
    tell_why_short(context, report);
    Ok(())
}

/// On stderr, for whoever reads nothing else: why not all was done.
fn tell_why_short(context: &Context, report: &CycleReport) {
    let left = report.applied.left;
    let steps = if left == 1 { "1 step is".to_owned() } else { format!("{left} steps are") };
    match &report.applied.stop {
        Some(Stop::OutOfTime) => {
            context.say(&format!("Out of time (target.max-apply): {steps} left for the next cycle."));
        }
        Some(Stop::Asked) => context.say(&format!("Stopped as asked: {steps} left for the next cycle.")),
        Some(Stop::TargetUnavailable(why)) => context.complain(&format!(
            "error: the target failed again and again, so {steps} left for the next cycle: {why}"
        )),
        None => {}
    }
    if report.outcome.cut_short {
        context.complain(CUT_SHORT);
    }
}

const CUT_SHORT: &str = "error: the directory was not read to its end: nobody is removed on the strength of what is \
    missing (see GroupReadIncomplete and ScopeEntryUnread among the findings)";

/// Where nothing was read, the directory is not what the target is as.
fn plan_text(context: &Context, config: &Config, prepared: &Prepared, swept: bool) -> String {
    let unread = swept || prepared.unreadable.is_some();
    if unread && prepared.approved.plan().steps.is_empty() {
        return format!("Nothing to do: all users of the profile are {} already.\n", put_out(config));
    }
    render(&prepared.approved, context.colors)
}

/// What was done, in one or two lines.
fn summary(report: &CycleReport) -> String {
    let done: u64 = report.applied.done.values().sum();
    let failed: u64 = report.applied.failed.values().sum();
    if report.outcome.steps == 0 {
        return String::new();
    }
    let mut parts = vec![format!("{done} done")];
    for (count, word) in
        [(failed, "failed"), (report.outcome.held, "held"), (report.applied.left, "left for the next cycle")]
    {
        if count > 0 {
            parts.push(format!("{count} {word}"));
        }
    }
    format!("\nApplied: {}.\n", parts.join(", "))
}

/// The gravest first; each kind once, with those whom it concerns by name.
fn findings_text(findings: &[Finding]) -> String {
    use std::fmt::Write as _;
    if findings.is_empty() {
        return String::new();
    }
    let mut kinds: BTreeMap<(Reverse<Severity>, Code, &str), BTreeSet<String>> = BTreeMap::new();
    for finding in findings {
        let kind = (Reverse(finding.code.severity()), finding.code, finding.message.as_str());
        kinds.entry(kind).or_default().insert(shown(&finding.subject.label));
    }
    let mut text = format!("\nFindings ({}):\n", findings.len());
    for ((_, code, message), labels) in kinds {
        let (message, count) = (shown(message), labels.len());
        // Writing to a String cannot fail.
        let _ = match labels.first() {
            Some(only) if count == 1 => writeln!(text, "  {code} {only}: {message}"),
            _ => {
                let some: Vec<_> = labels.into_iter().take(NAMED).collect();
                let more = count.saturating_sub(NAMED);
                let rest = if more > 0 {
                    format!("; and {more} more (--output json has all)")
                } else {
                    String::new()
                };
                writeln!(text, "  {code} ({count}): {message}\n      {}{rest}", some.join("; "))
            }
        };
    }
    text
}

/// So many objects of one kind of finding are named.
const NAMED: usize = 10;

fn write_failed(context: &Context, error: &std::io::Error) -> Exit {
    context.complain(&format!("error: stdout cannot be written: {error}"));
    Exit::Unexpected
}

/// Prolongs the lease while the cycle runs; without it, no further step is begun.
pub async fn keep_lease(state: State, lease: Lease, stop: Arc<tokio::sync::watch::Sender<bool>>) {
    let lost = move || {
        let _ = stop.send(true);
    };
    state::keep_lease(state, lease, lost).await;
}

/// The first SIGINT or SIGTERM ends the cycle between two steps, with everything journalled.
async fn stop_on_signal(stop: Arc<tokio::sync::watch::Sender<bool>>) {
    use tokio::signal::unix::{SignalKind, signal};
    let (Ok(mut interrupt), Ok(mut terminate)) =
        (signal(SignalKind::interrupt()), signal(SignalKind::terminate()))
    else {
        return;
    };
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
    info!("asked to stop: what is under way is finished, nothing new is begun");
    let _ = stop.send(true);
    // A second one ends at once; the journal knows what was under way.
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
    std::process::exit(i32::from(Exit::Unexpected.code()));
}
