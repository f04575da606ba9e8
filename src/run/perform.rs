//! One run: nothing while the profile is paused, the lease, and as many cycles as it takes.

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::watch;
use tokio::time::Instant;
use tracing::{debug, info, warn};

use super::{Leased, RunError, Surroundings, describe, open, put_out, under_lease};
use crate::config::Config;
use crate::cycle::{
    self, CycleError, CycleReport, NoJournal, Only, Parts, PauseDue, Prepared, Profile, StateJournal, Times,
    carry_out, chain, pause_due, prepare, prepare_sweep, warn_of_pause,
};
use crate::ids::{CycleId, IdentityStoreId};
use crate::model::{Finding, Progress};
use crate::plan::{Sort, Sweep};
use crate::state::{CycleKind, CycleOutcome, CycleWord, Holder, Pause, State, StateError};
use crate::target::{Access, Gate, Usage};
use crate::telemetry;

/// Cycles of one run: the second repairs what the first did not find in the target.
const MOST_ROUNDS: u32 = 3;

/// How often it is looked whether the profile was paused meanwhile.
const HEED: Duration = Duration::from_secs(3);

/// What is wanted of a run.
#[derive(Clone, Debug, Default)]
pub struct Wish {
    /// Read the target back too.
    pub full: bool,
    pub rebind: bool,
    /// Run no other steps than these.
    pub only: Option<Only>,
    /// Findings of whoever asks, which each cycle records.
    pub notes: Vec<Finding>,
}

/// Who watches a run. Each call is made as it happens.
pub trait Observer: Sync {
    /// The profile is paused for too long: everybody is put out of use now.
    fn sweeping(&self, _: &Pause) {}
    fn reading(&self) {}
    /// Shown before it is done: whoever watches can still interrupt.
    fn planned(&self, _: &Prepared, _swept: bool) {}
    fn applying(&self, _: &Progress) {}
    /// One cycle is over, whatever came of it.
    fn ended(&self, _: &CycleStats) {}
    /// Another one follows in the same run.
    fn again(&self, _: &CycleReport) {}
}

/// Nobody watches.
pub struct Silent;

impl Observer for Silent {}

/// What a cycle took and did, for metrics.
#[derive(Clone, Debug)]
pub struct CycleStats {
    pub cycle: CycleId,
    pub word: CycleWord,
    /// Of each phase that was reached.
    pub times: Times,
    pub done: BTreeMap<Sort, u64>,
    pub failed: BTreeMap<Sort, u64>,
    /// Of the target, in this cycle alone.
    pub usage: Usage,
    /// The part of it that was sent since the plan was made.
    pub usage_of_apply: Usage,
}

/// How a run ended.
pub enum Ending {
    /// Nothing was done.
    Paused(Pause),
    /// Nothing was done, but to say that everybody will be put out of use by the first run after `at`.
    Warned {
        pause: Pause,
        at: Timestamp,
    },
    /// Nothing was done: somebody else is at work.
    LeaseElsewhere {
        store: IdentityStoreId,
        holder: Holder,
        until: Timestamp,
    },
    /// Asked to stop before anything was begun.
    Stopped,
    /// The profile was paused before anything was begun.
    PausedMeanwhile,
    /// The pause that was too long was ended before anybody was put out of use.
    ResumedMeanwhile,
    Done(Box<Done>),
}

/// The last cycle of a run.
pub struct Done {
    pub report: CycleReport,
    /// Everybody was to be put out of use, as the profile is paused for too long.
    pub swept: bool,
    pub store: IdentityStoreId,
}

/// Why a run ends before its time; the first reason counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Why {
    Asked,
    Paused,
    Resumed,
    LeaseLost,
}

/// Ends a run between two steps.
#[derive(Clone)]
struct Brake {
    stop: Arc<watch::Sender<bool>>,
    why: Arc<OnceLock<Why>>,
}

impl Brake {
    fn pull(&self, why: Why) {
        let _ = self.why.set(why);
        let _ = self.stop.send(true);
    }
}

/// What a run is for.
#[derive(Clone, Copy)]
enum Mode {
    Normal,
    /// The profile is paused for too long.
    Sweep(Sweep),
}

/// The plan that a cycle would make now. Writes nothing anywhere.
pub async fn preview(
    around: &dyn Surroundings,
    config: &Config,
    profile: &Profile<'_>,
) -> Result<Prepared, RunError> {
    let target = around.target(config, Access::ReadOnly, Gate::Open).await?;
    let identity_store = open::identity_store(target.as_ref()).await?;
    let state = open::state_copy(config).await?;
    let directory = around.directory(config);
    let clock = || around.now();
    let parts = Parts { directory: directory.as_ref(), target, identity_store, clock: &clock };
    Ok(prepare(profile, &parts, state.reader(), &NoJournal).await?)
}

/// Runs the profile once. `asked`: true as soon as it is to end between two steps.
pub async fn perform(
    around: &Arc<dyn Surroundings>,
    config: &Config,
    state: &State,
    wish: &Wish,
    asked: &watch::Receiver<bool>,
    observer: &dyn Observer,
) -> Result<Ending, RunError> {
    let (mut mode, mut swept_for) = (Mode::Normal, None);
    if let Some(pause) = state.pause().await?
        && !pause.is_over(around.now())
    {
        match pause_due(&pause, config.policy.lifecycle.disable_after, around.now()) {
            PauseDue::Nothing => return Ok(Ending::Paused(pause)),
            PauseDue::Warn { at } => {
                warn(config, state, &pause, at, around.now()).await?;
                return Ok(Ending::Warned { pause, at });
            }
            PauseDue::Sweep(_) if wish.only.is_some() => {
                return Err(RunError::PausedTooLong(describe(&pause)));
            }
            PauseDue::Sweep(sweep) => {
                observer.sweeping(&pause);
                (mode, swept_for) = (Mode::Sweep(sweep), Some(pause));
            }
        }
    }
    // The lease first: what is opened for writing sends nothing without it.
    let store = match config.target.identity_store() {
        Some(store) => store,
        None => {
            let target = around.target(config, Access::ReadOnly, Gate::Open).await?;
            open::identity_store(target.as_ref()).await?
        }
    };
    let (stop, stopped) = watch::channel(false);
    let brake = Brake { stop: Arc::new(stop), why: Arc::default() };
    let relay = tokio::spawn(relay(asked.clone(), brake.clone()));
    let pauses = tokio::spawn(heed_pauses(around.clone(), state.clone(), brake.clone(), swept_for));
    let work = |gate| async {
        let target = around.target(config, Access::ReadWrite, gate).await?;
        let directory = around.directory(config);
        let clock = || around.now();
        let parts =
            Parts { directory: directory.as_ref(), target, identity_store: store.clone(), clock: &clock };
        cycles(config, state, wish, &parts, mode, &stopped, observer).await
    };
    let lost = brake.clone();
    let leased = Box::pin(under_lease(state, &store, move || lost.pull(Why::LeaseLost), work)).await;
    relay.abort();
    pauses.abort();
    match (leased?, brake.why.get()) {
        (Leased::Elsewhere { holder, until }, _) => Ok(Ending::LeaseElsewhere { store, holder, until }),
        // Whatever it says of itself: another run goes on from here, this one or somebody else's.
        (Leased::Done(Ok(_)), Some(Why::LeaseLost)) => Err(StateError::LeaseLost { store }.into()),
        (Leased::Done(Ok(Ending::Stopped)), Some(Why::Paused)) => Ok(Ending::PausedMeanwhile),
        (Leased::Done(Ok(Ending::Stopped)), Some(Why::Resumed)) => Ok(Ending::ResumedMeanwhile),
        (Leased::Done(result), _) => result,
    }
}

async fn relay(mut asked: watch::Receiver<bool>, brake: Brake) {
    if asked.wait_for(|asked| *asked).await.is_ok() {
        brake.pull(Why::Asked);
    }
}

/// Whoever pauses means the cycle that is under way too; and whoever resumes means the one that puts everybody out of use,
/// since the profile was paused for so long (`swept_for`).
async fn heed_pauses(around: Arc<dyn Surroundings>, state: State, brake: Brake, swept_for: Option<Pause>) {
    loop {
        tokio::time::sleep(HEED).await;
        let pause = match state.pause().await {
            Ok(pause) => pause.filter(|pause| !pause.is_over(around.now())),
            // Whether the run can go on without its database is seen where it writes.
            Err(error) => {
                debug!("whether the profile is paused could not be read: {}", chain(&error));
                continue;
            }
        };
        match (&swept_for, pause) {
            (None, Some(_)) => {
                warn!("the profile was paused: what is under way is finished, nothing new is begun");
                return brake.pull(Why::Paused);
            }
            (Some(before), now) if now.as_ref().is_none_or(|now| now.at != before.at) => {
                warn!("the pause was ended: nobody else is disabled for it, what is under way is finished");
                return brake.pull(Why::Resumed);
            }
            _ => {}
        }
    }
}

/// Says on the record what the pause leads to.
async fn warn(
    config: &Config,
    state: &State,
    pause: &Pause,
    at: Timestamp,
    now: Timestamp,
) -> Result<(), RunError> {
    let changes = warn_of_pause(state, &config.profile, pause, at, put_out(config), now).await?;
    let store = match config.target.identity_store() {
        Some(store) => Some(store),
        None => state.load(now).await?.binding.map(|b| b.identity_store),
    };
    let store = store.unwrap_or_else(|| IdentityStoreId::new("unknown"));
    telemetry::record_findings(config, &store, &changes, now);
    Ok(())
}

/// One cycle; and another where an approved scope entry follows another object from now on.
async fn cycles(
    config: &Config,
    state: &State,
    wish: &Wish,
    parts: &Parts<'_>,
    mode: Mode,
    stopped: &watch::Receiver<bool>,
    observer: &dyn Observer,
) -> Result<Ending, RunError> {
    let profile = Profile {
        full: wish.full,
        rebind: wish.rebind,
        only: wish.only.clone(),
        notes: wish.notes.clone(),
        rests: true,
        ..open::profile(config)
    };
    let mut rounds = 0;
    let mut last = None;
    loop {
        let done = |report| {
            let (swept, store) = (matches!(mode, Mode::Sweep(_)), parts.identity_store.clone());
            Ok(Ending::Done(Box::new(Done { report, swept, store })))
        };
        let report = match (one(config, state, &profile, parts, mode, stopped, observer).await?, last) {
            (Some(report), _) => report,
            // What the round before has done and found is to be told all the same.
            (None, Some(last)) => return done(last),
            (None, None) => return Ok(Ending::Stopped),
        };
        rounds += 1;
        if !report.again || rounds >= MOST_ROUNDS {
            return done(report);
        }
        observer.again(&report);
        last = Some(report);
    }
}

/// `None` where it was asked to stop before the plan was made.
async fn one(
    config: &Config,
    state: &State,
    profile: &Profile<'_>,
    parts: &Parts<'_>,
    mode: Mode,
    stopped: &watch::Receiver<bool>,
    observer: &dyn Observer,
) -> Result<Option<CycleReport>, RunError> {
    let kind = match mode {
        Mode::Sweep(_) => CycleKind::Sweep,
        Mode::Normal if profile.full => CycleKind::Full,
        Mode::Normal => CycleKind::Normal,
    };
    let cycle = cycle::begin(state, kind, (parts.clock)()).await?;
    observer.reading();
    let before = parts.target.usage();
    let begun = Instant::now();
    let mut planned = None;
    let journal = StateJournal { state, cycle };
    let plan = async {
        match mode {
            Mode::Normal => prepare(profile, parts, state.reader(), &journal).await,
            Mode::Sweep(sweep) => prepare_sweep(profile, parts, state.reader(), &journal, sweep).await,
        }
    };
    let mut asked = stopped.clone();
    let run = async {
        // Until here nothing was written to the target, so reading and planning can be dropped as they are.
        let prepared = tokio::select! {
            biased;
            _ = asked.wait_for(|asked| *asked) => return Ok(None),
            prepared = plan => prepared?,
        };
        observer.planned(&prepared, matches!(mode, Mode::Sweep(_)));
        planned = Some(parts.target.usage());
        let progress = |progress: &Progress| observer.applying(progress);
        carry_out(profile, parts, state, cycle, prepared, stopped, &progress).await.map(Some)
    };
    let result = Box::pin(run).await;
    let usage = parts.target.usage();
    let stats = |word, report: Option<&CycleReport>| CycleStats {
        cycle,
        word,
        times: report.map_or(Times { read: begun.elapsed(), ..Times::default() }, |r| r.times),
        done: report.map(|r| r.applied.done.clone()).unwrap_or_default(),
        failed: report.map(|r| r.applied.failed.clone()).unwrap_or_default(),
        usage: usage.since(before),
        usage_of_apply: planned.map(|planned| usage.since(planned)).unwrap_or_default(),
    };
    match result {
        Ok(Some(report)) => {
            telemetry::record_findings(config, &parts.identity_store, &report.changes, (parts.clock)());
            let stats = stats(report.outcome.word(), Some(&report));
            log(cycle, &report, &stats);
            observer.ended(&stats);
            Ok(Some(report))
        }
        Ok(None) => {
            let counts = serde_json::json!({ "stopped": "while reading" });
            let outcome = CycleOutcome { word: CycleWord::Stopped, counts, finished: (parts.clock)() };
            state.finish_cycle(cycle, &outcome).await?;
            info!(cycle = cycle.0, outcome = CycleWord::Stopped.word(), "cycle finished");
            observer.ended(&stats(CycleWord::Stopped, None));
            Ok(None)
        }
        Err(error) => {
            observer.ended(&stats(cycle::failed_word(&error), None));
            match cycle::failed(state, cycle, profile, &error, (parts.clock)()).await {
                Ok(changes) => {
                    telemetry::record_findings(config, &parts.identity_store, &changes, (parts.clock)());
                }
                Err(second) => warn!("how the cycle failed could not be recorded: {}", chain(&second)),
            }
            Err(CycleError::into(error))
        }
    }
}

/// The one line of a cycle.
fn log(cycle: CycleId, report: &CycleReport, stats: &CycleStats) {
    let seconds = |time: Duration| (time.as_secs_f64() * 1000.0).round() / 1000.0;
    info!(
        cycle = cycle.0,
        outcome = stats.word.word(),
        steps = report.outcome.steps,
        done = report.applied.done.values().sum::<u64>(),
        failed = report.applied.failed.values().sum::<u64>(),
        held = report.outcome.held,
        left = report.applied.left,
        findings = report.outcome.findings,
        changed = report.by_changes,
        rested = report.rested,
        part = report.of_part,
        requests = stats.usage.requests,
        throttled = stats.usage.throttled,
        slowed = stats.usage.slowed,
        read_seconds = seconds(stats.times.read),
        plan_seconds = seconds(stats.times.plan),
        apply_seconds = seconds(stats.times.apply),
        "cycle finished"
    );
}
