//! The one who runs: it owns the config, the state and every run, so that there are never two at once.

use std::future::Future;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, MissedTickBehavior};
use tracing::{debug, error, info, warn};

use super::board::{Ask, Board, LastRun, Lease, Running};
use super::decide::{Decision, Facts, Why, backoff, decide};
use super::file::ConfigFile;
use crate::config::Config;
use crate::cycle::{CycleError, Prepared, chain};
use crate::ids::IdentityStoreId;
use crate::model::{Finding, Progress};
use crate::run::{
    Actual, CycleStats, Ending, Metrics, Observer, RunError, Surroundings, Wish, clock, describe, open,
    perform,
};
use crate::state::{Cycle, CycleKind, CycleWord, Holder, Pause, State, StateError};

/// How often it is looked whether something is due.
const TICK: Duration = Duration::from_secs(1);
/// Beside what [target] max-apply allows, a run may take so long before it counts as hung.
const LONGEST_READ: Duration = Duration::from_secs(3 * 3600);
/// Reads that were cut short may be cut short for months: so often they are tried again before the next slot.
const MOST_CUT_SHORT: u32 = 3;
/// What does something each time never comes to rest.
const MOST_RESTLESS: u32 = 3;
/// The state database is asked this often what others do.
const LOOK: Duration = Duration::from_secs(5);
/// A holder is left alone for so long before it is looked for again.
const BUSY: SignedDuration = SignedDuration::from_secs(5);
/// The last cycle is looked for among so many, the others being repairs by hand.
const LATELY: u32 = 100;

pub(super) struct Worker {
    board: Arc<Board>,
    metrics: Arc<Metrics>,
    file: ConfigFile,
    state: Option<State>,
    /// What the file would break, as a finding of each cycle.
    broken: Option<Finding>,
    /// The store that the last run worked on, where the config does not name it.
    store: Option<IdentityStoreId>,
    facts: Facts,
    failures: u32,
    /// Runs in a row that were to come to rest.
    restless: u32,
    /// The last run failed for what only another config can mend.
    waits_for_config: bool,
    looked: Option<Instant>,
    /// The state database is not asked before then.
    state_not_before: Option<Instant>,
    state_failures: u32,
    /// What was last said of the state database, so that it is not said every few seconds.
    said: Option<String>,
}

/// What the state database knows of the last cycle, and who is at work.
struct Seen {
    last_begun: Option<Timestamp>,
    open: bool,
    /// It ended well.
    well: bool,
    pause: Option<Pause>,
    /// In force.
    lease: Option<(Holder, Timestamp)>,
}

impl Worker {
    pub fn new(board: Arc<Board>, metrics: Arc<Metrics>, path: PathBuf) -> Self {
        Self {
            board,
            metrics,
            file: ConfigFile::new(path),
            state: None,
            broken: None,
            store: None,
            facts: Facts::default(),
            failures: 0,
            restless: 0,
            waits_for_config: false,
            looked: None,
            state_not_before: None,
            state_failures: 0,
            said: None,
        }
    }

    /// Until it is asked to stop.
    pub async fn work(mut self, mut asks: mpsc::Receiver<Ask>, stop: watch::Receiver<bool>) {
        let mut stopped = stop.clone();
        // By the monotonic clock: one that is set back must not stop it.
        let mut ticks = tokio::time::interval(TICK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
        loop {
            self.beat();
            let mut reload = false;
            tokio::select! {
                biased;
                _ = stopped.wait_for(|stop| *stop) => break,
                ask = asks.recv() => {
                    // Whatever waits is served by one run.
                    let mut next = ask;
                    while let Some(ask) = next {
                        self.facts.asked |= ask == Ask::SyncNow;
                        self.facts.changed |= ask == Ask::Changed;
                        reload |= ask == Ask::Reload;
                        next = asks.try_recv().ok();
                    }
                    self.looked = None;
                }
                _ = ticks.tick() => {}
            }
            self.take_up_config(reload).await;
            self.turn(&stop).await;
        }
        if let Some(state) = self.state.take() {
            self.board.set_state(None);
            state.close().await;
        }
    }

    /// A changed file is taken up between two runs; a broken one is told, and the old one stays.
    async fn take_up_config(&mut self, at_once: bool) {
        let Some(loaded) = self.file.changed(at_once).await else { return };
        let before = self.board.config();
        let taken = loaded.and_then(|config| fits(&before, config));
        match taken {
            Ok(config) => {
                if config.state != before.state
                    && let Some(state) = self.state.take()
                {
                    self.board.set_state(None);
                    state.close().await;
                }
                if config.service.listen != before.service.listen {
                    warn!("[service] listen has changed: it counts from the next start on");
                }
                info!(schedule = config.schedule.describe(), "the config file was taken up");
                self.facts.not_before = None;
                // It may be what the last run failed for.
                self.facts.failed |= self.waits_for_config;
                self.facts.barred = false;
                self.broken = None;
                self.looked = None;
                self.board.set_config(Arc::new(config));
                self.board.change(|view| view.config_problem = None);
            }
            Err(why) => {
                error!("the changed config file is not taken up, the one before it stays in force: {why}");
                self.broken = Some(crate::cycle::config_broken(&before.profile, &why));
                self.board.change(|view| view.config_problem = Some(why));
            }
        }
    }

    fn beat(&self) {
        self.board.change(|view| view.alive = Some(Instant::now()));
    }

    async fn turn(&mut self, stop: &watch::Receiver<bool>) {
        let config = self.board.config();
        let Some(state) = self.state(&config).await else { return };
        if self.looked.is_none_or(|at| at.elapsed() >= LOOK) {
            match self.look(&config, &state).await {
                Ok(seen) => self.note(seen),
                Err(error) => return self.state_failed(chain(&error)),
            }
            self.looked = Some(Instant::now());
        }
        let now = clock::now();
        match decide(&config.schedule, &self.facts, now) {
            Decision::Wait(at) => self.show_next(at),
            Decision::Run(why) => {
                self.run(&config, &state, why, stop).await;
                if let Decision::Wait(at) = decide(&config.schedule, &self.facts, clock::now()) {
                    self.show_next(at);
                }
                self.looked = None;
            }
        }
    }

    fn show_next(&self, at: Timestamp) {
        self.board.change(|view| view.next = (!view.paused).then_some(at));
    }

    async fn state(&mut self, config: &Config) -> Option<State> {
        if let Some(state) = &self.state {
            return Some(state.clone());
        }
        if self.state_not_before.is_some_and(|at| Instant::now() < at) {
            return None;
        }
        match open::state(config).await {
            Ok(state) => {
                self.state = Some(state.clone());
                self.board.set_state(Some(state.clone()));
                Some(state)
            }
            Err(error) => {
                self.state_failed(error.with_remedy());
                None
            }
        }
    }

    fn state_failed(&mut self, why: String) {
        self.state_failures += 1;
        let pause = Duration::from_secs(1 << self.state_failures.min(5)).min(Duration::from_secs(30));
        self.state_not_before = Some(Instant::now() + pause);
        // Its connections may be dead, or its password another one by now: opened anew, it may be there.
        if let Some(state) = self.state.take() {
            self.board.set_state(None);
            tokio::spawn(state.close());
        }
        if self.said.as_ref() != Some(&why) {
            error!("the state database cannot be used; it is tried again: {why}");
            self.said = Some(why.clone());
        }
        self.board.change(|view| view.waits_for = Some(format!("the state database: {why}")));
    }

    async fn look(&self, config: &Config, state: &State) -> Result<Seen, StateError> {
        let mut last = last_cycle(state).await?;
        let store = config.target.identity_store().or_else(|| self.store.clone());
        let lease = match &store {
            Some(store) => state.lease_in_force(store).await?,
            None => None,
        };
        if lease.is_none() && last.as_ref().is_some_and(|cycle| cycle.outcome.is_none()) {
            // It may have ended, and its lease with it, between the two questions.
            last = last_cycle(state).await?;
        }
        let well = last.as_ref().and_then(|c| c.outcome.as_ref()).is_some_and(|o| o.word.is_well());
        Ok(Seen {
            last_begun: last.as_ref().map(|cycle| cycle.started),
            open: last.is_some_and(|cycle| cycle.outcome.is_none()),
            well,
            pause: state.pause().await?.filter(|pause| !pause.is_over(clock::now())),
            lease,
        })
    }

    fn note(&mut self, seen: Seen) {
        if self.said.take().is_some() {
            info!("the state database can be used again");
        }
        self.state_failures = 0;
        let held = seen.lease;
        let mine = |holder: &Holder| Holder::current().is_ok_and(|me| me == *holder);
        let gone = held.as_ref().is_none_or(|(holder, _)| mine(holder) || holder.has_ended());
        if seen.well && seen.last_begun > self.facts.last_try {
            // Somebody else has done since what failed here.
            self.facts.failed = false;
            self.failures = 0;
        }
        self.facts.last_begun = seen.last_begun;
        self.facts.paused = seen.pause.is_some();
        self.facts.interrupted = seen.open && gone;
        self.board.change(|view| {
            view.waits_for = None;
            view.paused = seen.pause.is_some();
            view.lease = held.as_ref().map(|(holder, until)| Lease {
                holder: holder.to_string(),
                until: Some(*until),
                mine: mine(holder),
            });
        });
    }

    async fn run(&mut self, config: &Config, state: &State, why: Why, stop: &watch::Receiver<bool>) {
        if let Why::Due { missed } = why
            && missed > 0
        {
            warn!(missed, "slots of the schedule went by without a run; this one makes up for all");
        }
        debug!(why = why.word(), "run begins");
        let before = self.facts.last_try;
        // A slot that comes while it runs is made up for after it.
        self.facts.last_try = Some(clock::now());
        self.facts.asked = false;
        let changed = std::mem::take(&mut self.facts.changed);
        let wish = Wish { notes: self.broken.iter().cloned().collect(), ..Wish::default() };
        let watcher = Watcher::new(Arc::clone(&self.board), Arc::clone(&self.metrics), config);
        let around: Arc<dyn Surroundings> = Arc::new(Actual);
        let result = self.watched(config, perform(&around, config, state, &wish, stop, &watcher)).await;
        watcher.over();
        let now = clock::now();
        let last = self.conclude(why, before, result, now);
        // What was seen to have changed is for the first run after the pause.
        self.facts.changed |= changed && last.outcome == "paused";
        self.board.change(|view| {
            view.running = None;
            view.lease = None;
            view.last = Some(last);
        });
    }

    /// Gives signs of life meanwhile, unless it takes so long that it cannot be but hung.
    async fn watched<T>(&self, config: &Config, run: impl Future<Output = T>) -> T {
        let mut run = Box::pin(run);
        let begun = Instant::now();
        let mut ticks = tokio::time::interval(TICK);
        loop {
            tokio::select! {
                done = &mut run => return done,
                _ = ticks.tick() => {
                    if begun.elapsed() < config.max_apply + LONGEST_READ {
                        self.beat();
                    }
                }
            }
        }
    }

    /// What the next decision rests on, and what is told of this run.
    fn conclude(
        &mut self,
        why: Why,
        before: Option<Timestamp>,
        result: Result<Ending, RunError>,
        now: Timestamp,
    ) -> LastRun {
        let word = |outcome: CycleWord| outcome.word();
        self.facts.busy_until = None;
        self.facts.restless = false;
        let (outcome, error, retry) = match result {
            Ok(Ending::Paused(pause)) => {
                info!("nothing was done: the profile is {}", describe(&pause));
                ("paused", None, false)
            }
            Ok(Ending::Warned { pause, at }) => {
                warn!(%at, "the profile is {}: all its users are put out of use then", describe(&pause));
                ("paused", None, false)
            }
            Ok(Ending::LeaseElsewhere { store, holder, until }) => {
                info!(%until, "another cycle is at work on {store}: {holder}");
                self.facts.busy_until = Some(now.saturating_add(BUSY).unwrap_or(now));
                self.store = Some(store);
                self.facts.last_try = before;
                // Whoever is at work may have read before the change that the asker has in mind.
                self.facts.asked |= why == Why::Asked;
                self.facts.changed |= why == Why::Changed;
                return LastRun { ended: now, outcome: "lease-elsewhere", error: None };
            }
            Ok(Ending::Stopped) => (word(CycleWord::Stopped), None, false),
            Ok(Ending::PausedMeanwhile) => {
                info!("the profile was paused while it was read: nothing was begun");
                ("paused", None, false)
            }
            Ok(Ending::ResumedMeanwhile) => {
                info!("the profile was resumed: nobody was disabled for the pause");
                (word(CycleWord::Stopped), None, false)
            }
            Ok(Ending::Done(done)) => {
                self.store = Some(done.store);
                let outcome = &done.report.outcome;
                let retry =
                    outcome.target_unavailable || (outcome.cut_short && self.failures < MOST_CUT_SHORT);
                let config = self.board.config();
                let follows = config.follow.is_some() && config.full_read_every.is_some();
                let restless = !done.report.at_rest && outcome.word() == CycleWord::Done;
                self.restless = if why == Why::ToRest { self.restless + 1 } else { 0 };
                self.facts.restless = follows && restless && self.restless < MOST_RESTLESS;
                (word(outcome.word()), None, retry)
            }
            Err(error) => {
                let why = error.with_remedy();
                error!("the run failed: {why}");
                let word = match &error {
                    RunError::Cycle(CycleError::State(_) | CycleError::Journal(_)) => CycleWord::Failed,
                    RunError::Cycle(CycleError::OtherBinding { .. }) => CycleWord::Failed,
                    _ => CycleWord::Unreachable,
                };
                (word.word(), Some(why), error.may_pass())
            }
        };
        self.facts.failed = retry;
        self.waits_for_config = error.is_some() && !retry;
        self.facts.barred = self.waits_for_config;
        if retry {
            self.failures += 1;
            let pause = backoff(self.failures);
            self.facts.not_before = Some(now.saturating_add(pause).unwrap_or(now));
            info!(seconds = pause.as_secs(), "tried again, unless the next slot of the schedule comes first");
        } else {
            self.failures = 0;
            self.facts.not_before = None;
        }
        LastRun { ended: now, outcome, error }
    }
}

async fn last_cycle(state: &State) -> Result<Option<Cycle>, StateError> {
    Ok(state.cycles(LATELY).await?.into_iter().find(|cycle| cycle.kind != CycleKind::Repair))
}

/// What can be changed while the service runs: all but what the state of a profile hangs on.
fn fits(before: &Config, config: Config) -> Result<Config, String> {
    clock::set(&config)?;
    if config.profile != before.profile {
        return Err(format!(
            "the profile is {} now and was {}: that is another sync, so start the service again for it",
            config.profile, before.profile
        ));
    }
    Ok(config)
}

/// Puts what a run is at on the board.
struct Watcher {
    board: Arc<Board>,
    metrics: Arc<Metrics>,
    rate: u32,
    since: Mutex<Timestamp>,
}

impl Watcher {
    fn new(board: Arc<Board>, metrics: Arc<Metrics>, config: &Config) -> Self {
        Self { board, metrics, rate: config.target.requests_per_second(), since: Mutex::new(clock::now()) }
    }

    fn show(&self, phase: &'static str, done: u64, total: u64, seconds_left: Option<u64>) {
        let since = *self.since.lock().unwrap_or_else(PoisonError::into_inner);
        self.board.change(|view| view.running = Some(Running { since, phase, done, total, seconds_left }));
    }

    fn over(&self) {
        self.board.change(|view| view.running = None);
    }
}

impl Observer for Watcher {
    fn sweeping(&self, pause: &Pause) {
        warn!(
            "the profile is {}, for longer than lifecycle.disable-after: all its users are put out of use",
            describe(pause)
        );
    }

    fn reading(&self) {
        // Nobody reads for a cycle without it.
        if let Ok(me) = Holder::current() {
            let lease = Lease { holder: me.to_string(), until: None, mine: true };
            self.board.change(|view| view.lease = Some(lease));
        }
        self.show("reading", 0, 0, None);
    }

    fn planned(&self, prepared: &Prepared, _: bool) {
        self.show("applying", 0, prepared.approved.runnable().count() as u64, None);
    }

    fn applying(&self, progress: &Progress) {
        self.show("applying", progress.done, progress.total, progress.seconds_left());
    }

    fn ended(&self, stats: &CycleStats) {
        self.metrics.cycle(stats, self.rate);
    }
}
