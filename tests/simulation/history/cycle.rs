//! One run in some weather, by the program itself.

use std::collections::BTreeSet;
use std::sync::Mutex;

use idcsync::cycle::Profile;
use idcsync::model::Finding;
use idcsync::run::{Done, Ending, Wish, open, perform, preview};
use tokio::sync::watch;

use super::super::hub::Weather;
use super::History;
use super::process::Watcher;

/// How a cycle ended.
enum End {
    Crashed,
    Failed,
    Nothing,
    Done(Box<Done>),
}

impl History {
    /// One run in this weather, and everything that has to hold after it.
    pub(super) fn cycle(&mut self, weather: Weather) -> Option<Box<Done>> {
        let clear = weather.is_clear();
        self.hub.say(|| format!("--- cycle at {}: {weather:?}", self.hub.true_now()));
        self.account.count(&weather);
        let wish = Wish { full: self.chance.one_in(6), ..Wish::default() };
        let foreseen = if clear && self.chance.one_in(5) { self.preview(wish.full) } else { None };
        // Whoever reads by changes stays with a server, and what that one shows hangs on how far it is behind.
        let steady = !self.settings.incremental || weather.lag == 0;
        let foreseen = foreseen.filter(|_| steady);
        if self.chance.one_in(4) {
            self.close();
        }
        self.judge.laws().writes.clear();
        if !weather.meddling.is_empty() {
            self.robbed.extend(self.store.contents().groups.into_keys());
        }
        self.process();
        self.hub.begin(weather);
        let watcher = Watcher { plans: Mutex::default(), store: self.store.clone() };
        let end = self.perform(&wish, &watcher);
        self.plans = watcher.plans.into_inner().unwrap();
        self.account.cycles += 1;
        if self.hub.is_crashed() {
            self.account.crashes += 1;
            self.end_process();
        }
        let word = match &end {
            End::Crashed => "crashed",
            End::Failed => "failed",
            End::Nothing => "nothing done",
            End::Done(_) => "done",
        };
        self.hub.say(|| format!("    {word}, {} events, plans {:?}", self.hub.events(), self.plans.ids));
        self.check_plan(foreseen);
        self.check_journal();
        self.clear_before = clear && matches!(end, End::Done(_));
        if self.clear_before {
            self.judge.looked();
        }
        self.check_emptied();
        let End::Done(done) = end else { return None };
        if clear && done.report.full {
            self.smuggled.clear();
            self.robbed.clear();
        }
        for finding in &done.report.findings {
            self.hub.say(|| format!("    {}: {}: {}", finding.code, finding.subject.label, finding.message));
        }
        for line in &self.plans.held {
            self.hub.say(|| format!("    held: {line:?}"));
        }
        self.account.held += done.report.outcome.held;
        if let Some(changes) = done.report.by_changes {
            self.account.by_changes.0 += 1;
            self.account.by_changes.1 += u64::from(changes > 0);
        }
        if clear && done.report.applied.stop.is_none() && !done.swept {
            self.check_leavers(&done);
        } else {
            self.lingering.clear();
        }
        Some(done)
    }

    /// A cycle in fair weather, held against a dry run just before it, which looks at everything. Whether it has
    /// done something for which everything was looked at.
    pub(super) fn fair_cycle(&mut self) -> bool {
        let Some(foreseen) = self.preview_all(false) else { return false };
        self.judge.laws().writes.clear();
        self.process();
        self.hub.begin(Weather::default());
        let watcher = Watcher { plans: Mutex::default(), store: self.store.clone() };
        let end = self.perform(&Wish::default(), &watcher);
        self.plans = watcher.plans.into_inner().unwrap();
        self.account.cycles += 1;
        let End::Done(done) = end else {
            self.hub.accuse("a cycle in fair weather was not carried out".to_owned());
            return false;
        };
        let part = done.report.of_part;
        self.hub.say(|| format!("--- fair cycle, of a part: {part}, plans {:?}", self.plans.ids));
        self.account.parts.0 += u64::from(part);
        self.account.parts.1 += u64::from(part && done.report.outcome.steps > 0);
        self.check_plan(Some(foreseen.0));
        if foreseen.1 != self.plans.findings {
            let differ: Vec<_> = foreseen.1.symmetric_difference(&self.plans.findings).collect();
            self.hub.accuse(format!("of a part: {part}; otherwise found than by a dry run: {differ:?}"));
        }
        self.check_journal();
        self.check_emptied();
        self.account.held += done.report.outcome.held;
        self.check_leavers(&done);
        if done.report.outcome.held > 0 {
            self.approve();
        }
        !part && done.report.outcome.steps > 0
    }

    /// The plan that a dry run shows. It writes nothing.
    fn preview(&mut self, full: bool) -> Option<String> {
        self.preview_all(full).map(|(id, _)| id)
    }

    fn preview_all(&mut self, full: bool) -> Option<(String, BTreeSet<Finding>)> {
        self.close();
        self.hub.begin(Weather::default());
        if self.judge.laws().paused_since.is_some() {
            return None;
        }
        let before = self.store.writes();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let profile = Profile { full, ..open::profile(&self.config) };
        let prepared = runtime.block_on(Box::pin(preview(self.around.as_ref(), &self.config, &profile)));
        if self.store.writes() != before {
            self.hub.accuse("a dry run has written to the target".to_owned());
        }
        prepared.ok().map(|p| (p.approved.plan().id.to_string(), p.findings.into_iter().collect()))
    }

    fn perform(&mut self, wish: &Wish, watcher: &Watcher) -> End {
        let (around, config, hub) = (self.around.clone(), self.config.clone(), self.hub.clone());
        let (runtime, state) = self.process.as_ref().unwrap();
        let (_keep, asked) = watch::channel(false);
        let ended = runtime.block_on(async {
            let run = Box::pin(perform(&around, &config, state, wish, &asked, watcher));
            tokio::select! {
                biased;
                () = hub.crashed() => None,
                ended = run => Some(ended),
            }
        });
        match ended {
            None => End::Crashed,
            Some(Ok(Ending::Done(done))) => End::Done(done),
            Some(Ok(_)) => End::Nothing,
            Some(Err(error)) => {
                self.hub.say(|| format!("    error: {}", error.with_remedy()));
                End::Failed
            }
        }
    }
}
