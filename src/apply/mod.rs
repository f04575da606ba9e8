//! Runs the approved steps: intent before each call, outcome after it, independent steps in flight together.
//!
//! Takes no decision: which steps, in which order, with which values, is the plan's. A step that fails stops
//! those that need it and no other.

mod effect;
mod meter;
mod perform;
mod recover;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use futures::StreamExt as _;
use futures::stream::FuturesUnordered;
use jiff::Timestamp;

pub use effect::Links;
pub use recover::{RecoverError, recover};

use crate::ids::{LinkNo, TargetId};
use crate::model::{Finding, Intent, Kind, Link, Outcome, Progress, RenameSupport, StepResult};
use crate::plan::{Action, ApprovedPlan, Batch, Sort, StepNo, batches};
use crate::target::{Target, TargetError, TargetErrorKind};
use meter::Meter;
use perform::Performed;

/// Where intents and outcomes are kept.
#[async_trait]
pub trait Journal: Send + Sync {
    /// Writes the intents down, all or none; their numbers, in the same order.
    async fn intend(&self, intents: &[Intent]) -> Result<Vec<i64>, JournalError>;

    /// Outcomes and the links that they changed, all or none.
    async fn record(&self, outcomes: &[Outcome], links: &[&Link]) -> Result<(), JournalError>;

    /// For whoever asks meanwhile how far it is. Nothing rests on it.
    async fn note(&self, _progress: &Progress, _at: Timestamp) {}

    /// Nothing else goes on while it is written: a rehearsal is to go the same way each time, however long the database
    /// takes.
    fn is_alone(&self) -> bool {
        false
    }
}

/// The state database did not take an entry: nothing more is sent.
#[derive(Debug, thiserror::Error)]
#[error("the journal could not be written, so nothing more is sent to the target")]
pub struct JournalError(#[source] pub Box<dyn std::error::Error + Send + Sync>);

/// Bounds of one apply.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    /// Requests under way at once, so that latency does not cap the rate.
    pub in_flight: usize,
    /// No step is begun after this.
    pub deadline: Instant,
}

/// Why an apply ended before its last step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Stop {
    /// `max-apply` is over.
    OutOfTime,
    /// Someone asked for it.
    Asked,
    /// The target failed again and again.
    TargetUnavailable(String),
}

#[derive(Debug, Default)]
pub struct Applied {
    pub done: BTreeMap<Sort, u64>,
    pub failed: BTreeMap<Sort, u64>,
    /// Not begun: a step that they need failed, or the apply ended.
    pub left: u64,
    pub findings: Vec<Finding>,
    pub rename_support: Option<RenameSupport>,
    /// Failures that a retry may mend.
    pub retryable: u64,
    pub stop: Option<Stop>,
    /// Something in the target was not there that ought to have been: another plan will see to it.
    pub missed: bool,
    /// Steps that were not done although they were approved.
    pub undone: BTreeSet<StepNo>,
    /// Those of them that the target refused for what they are: the same request will fail again.
    pub refused: BTreeSet<StepNo>,
}

impl Applied {
    /// Groups that not all have joined yet who were to. Whoever the target refuses is not waited for: a group may have
    /// one such member for good.
    pub fn lacking(&self, plan: &ApprovedPlan) -> BTreeSet<LinkNo> {
        let outstanding = |no: &StepNo| self.undone.contains(no) && !self.refused.contains(no);
        plan.plan()
            .numbered()
            .filter(|(_, step)| matches!(step.action, Action::AddMember { .. }))
            .filter(|(no, _)| plan.waits(*no) || outstanding(no))
            .filter_map(|(_, step)| step.action.object())
            .collect()
    }
}

/// Intents written in one transaction. What a crash leaves to be looked up is at most this many.
const BATCH: usize = 64;
/// Outcomes are written at the latest after this.
const FLUSH: Duration = Duration::from_millis(500);
/// How far it is, is noted down every so often.
const NOTE: Duration = Duration::from_secs(5);
/// So many requests in a row that fail for a reason of the whole target end the apply; as many of one object, in a row or
/// not, end what is done to that one.
const GIVE_UP_AFTER: u32 = 10;

/// Performs all runnable steps. `links` are the profile's, changed as outcomes come in.
#[expect(
    clippy::too_many_arguments,
    reason = "these are what an apply runs between, and nothing else has them all"
)]
pub async fn apply(
    plan: &ApprovedPlan,
    target: Arc<dyn Target>,
    journal: &dyn Journal,
    links: &mut Links,
    pace: Pace,
    clock: &(dyn Fn() -> Timestamp + Sync),
    stop: &tokio::sync::watch::Receiver<bool>,
    progress: &(dyn Fn(&Progress) + Sync),
) -> Result<Applied, JournalError> {
    let limit = usize::try_from(target.capabilities().membership_batch).unwrap_or(1).max(1);
    let mut run = Run::new(plan, limit, links, clock);
    progress(&run.progress());
    let mut under_way = FuturesUnordered::new();
    // Came back from the target, and is to be settled.
    let mut landed = Vec::new();
    let mut flushed = tokio::time::Instant::now();
    let mut noted = None;
    let mut refused = None;
    let alone = journal.is_alone();
    loop {
        if run.applied.stop.is_none() {
            if *stop.borrow() {
                run.applied.stop = Some(Stop::Asked);
            } else if Instant::now() >= pace.deadline {
                run.applied.stop = Some(Stop::OutOfTime);
            }
        }
        // What has come back counts until it is settled: a target that is faster than the journal would never be.
        while run.applied.stop.is_none() && under_way.len() + landed.len() < pace.in_flight {
            if run.armed.is_empty()
                && !run.ready.is_empty()
                && let Err(error) = beside(alone, run.arm(journal), &mut under_way, &mut landed).await
            {
                // What is under way is waited for: it is written down what became of it, if that can be.
                refused = Some(error);
                run.applied.stop = Some(Stop::Asked);
                break;
            }
            let Some(batch) = run.armed.pop_front() else { break };
            let steps: Vec<_> = batch.iter().map(|(no, _)| plan.plan().step(*no)).collect();
            let call = perform::call(plan.plan(), &steps, run.links);
            let target = Arc::clone(&target);
            under_way.push(async move { (batch, perform::perform(call, target.as_ref()).await) });
        }
        if run.total > 0 && noted.is_none_or(|at: tokio::time::Instant| at.elapsed() >= NOTE) {
            noted = Some(tokio::time::Instant::now());
            let now = run.progress();
            beside(alone, journal.note(&now, clock()), &mut under_way, &mut landed).await;
        }
        if landed.is_empty() {
            if under_way.is_empty() {
                break;
            }
            match tokio::time::timeout(FLUSH, under_way.next()).await {
                Ok(one) => landed.extend(one),
                Err(_) => progress(&run.progress()),
            }
        }
        for (batch, performed) in landed.drain(..) {
            run.count(&batch);
            run.weigh(&batch, &performed);
            for ((no, seq), performed) in batch.into_iter().zip(performed) {
                run.settle(no, seq, performed);
            }
            progress(&run.progress());
        }
        let full = run.outcomes.len() >= BATCH || (run.armed.is_empty() && under_way.is_empty());
        if refused.is_none() && (full || flushed.elapsed() >= FLUSH) {
            if let Err(error) = beside(alone, run.flush(journal), &mut under_way, &mut landed).await {
                refused.get_or_insert(error);
                run.applied.stop = Some(Stop::Asked);
            }
            flushed = tokio::time::Instant::now();
        }
    }
    let applied = run.finish(journal).await;
    refused.map_or(applied, Err)
}

/// Waits for the journal while requests go on: a database that takes its time costs nothing of the rate. What comes back
/// from the target meanwhile is settled afterwards.
async fn beside<T, F: Future>(
    alone: bool,
    work: impl Future<Output = T>,
    under_way: &mut FuturesUnordered<F>,
    landed: &mut Vec<F::Output>,
) -> T {
    if alone {
        return work.await;
    }
    let mut work = std::pin::pin!(work);
    loop {
        tokio::select! {
            biased;
            done = &mut work => return done,
            Some(one) = under_way.next() => landed.push(one),
        }
    }
}

struct Run<'a> {
    plan: &'a ApprovedPlan,
    links: &'a mut Links,
    clock: &'a (dyn Fn() -> Timestamp + Sync),
    /// How many needed steps are not done yet.
    waiting: BTreeMap<StepNo, usize>,
    needed_by: BTreeMap<StepNo, Vec<StepNo>>,
    /// Steps of one request; those of which a needed step failed are taken out.
    batches: Vec<Batch>,
    batch_of: BTreeMap<StepNo, usize>,
    /// How many steps of a batch wait for others.
    held_up: Vec<usize>,
    /// What the plan deletes.
    ended: BTreeSet<LinkNo>,
    /// Batches, in the plan's order.
    ready: BTreeSet<usize>,
    /// Written down and not sent yet.
    armed: VecDeque<Vec<(StepNo, i64)>>,
    outcomes: Vec<Outcome>,
    changed: BTreeSet<LinkNo>,
    applied: Applied,
    failures_in_a_row: u32,
    /// Of which object the failures in a row are, while they are all of one.
    failing: Option<LinkNo>,
    failures_of: BTreeMap<LinkNo, u32>,
    total: u64,
    settled: u64,
    /// Requests of each batch.
    cost: Vec<u64>,
    meter: Meter,
}

impl<'a> Run<'a> {
    fn new(
        plan: &'a ApprovedPlan,
        limit: usize,
        links: &'a mut Links,
        clock: &'a (dyn Fn() -> Timestamp + Sync),
    ) -> Self {
        let mut run = Self {
            plan,
            links,
            clock,
            waiting: BTreeMap::new(),
            needed_by: BTreeMap::new(),
            batches: batches(plan, limit),
            batch_of: BTreeMap::new(),
            held_up: Vec::new(),
            ended: plan
                .runnable()
                .filter(|(_, step)| step.action.deletes())
                .filter_map(|(_, s)| s.action.object())
                .collect(),
            ready: BTreeSet::new(),
            armed: VecDeque::new(),
            outcomes: Vec::new(),
            changed: BTreeSet::new(),
            applied: Applied::default(),
            failures_in_a_row: 0,
            failing: None,
            failures_of: BTreeMap::new(),
            total: 0,
            settled: 0,
            cost: Vec::new(),
            meter: Meter::new(0),
        };
        run.batches.retain(|b| {
            !b.iter().any(|no| matches!(plan.plan().step(*no).action, Action::RebindEntry { .. }))
        });
        for (at, batch) in run.batches.iter().enumerate() {
            let mut held_up = 0;
            for no in batch {
                run.total += 1;
                run.applied.undone.insert(*no);
                run.batch_of.insert(*no, at);
                // What is done by the same request is not waited for.
                let needed: Vec<StepNo> =
                    plan.plan().step(*no).after.iter().copied().filter(|n| !batch.contains(n)).collect();
                if needed.is_empty() {
                    continue;
                }
                held_up += 1;
                run.waiting.insert(*no, needed.len());
                for needed in needed {
                    run.needed_by.entry(needed).or_default().push(*no);
                }
            }
            run.held_up.push(held_up);
            if held_up == 0 {
                run.ready.insert(at);
            }
            let first = batch.first().map(|no| plan.plan().step(*no).action.sort());
            run.cost.push(first.map_or(0, |sort| meter::requests(sort, limit == 1)));
        }
        run.meter = Meter::new(run.cost.iter().sum());
        run
    }

    fn progress(&self) -> Progress {
        self.meter.progress(self.settled, self.total)
    }

    /// These were sent, in whatever way they ended.
    fn count(&mut self, batch: &[(StepNo, i64)]) {
        let at = batch.first().and_then(|(no, _)| self.batch_of.get(no)).copied();
        let cost = at.and_then(|at| self.cost.get(at)).copied().unwrap_or_default();
        self.meter.settle(cost);
    }

    /// One step of a batch waits for nothing more.
    fn release(&mut self, no: StepNo) {
        let Some(at) = self.batch_of.get(&no).copied() else { return };
        if let Some(held_up) = self.held_up.get_mut(at) {
            *held_up -= 1;
            if *held_up == 0 && self.batches.get(at).is_some_and(|b| !b.is_empty()) {
                self.ready.insert(at);
            }
        }
    }

    /// What needs a step that was not done is not begun; others of its batch go without it.
    fn block(&mut self, failed: StepNo) {
        let mut open = vec![failed];
        while let Some(no) = open.pop() {
            for waiter in self.needed_by.remove(&no).unwrap_or_default() {
                if self.waiting.remove(&waiter).is_none() {
                    continue;
                }
                let Some(at) = self.batch_of.get(&waiter).copied() else { continue };
                let Some(batch) = self.batches.get_mut(at) else { continue };
                let first = batch.first() == Some(&waiter);
                batch.retain(|step| *step != waiter);
                open.push(waiter);
                // A group that cannot be made takes its first members with it.
                if first && self.plan.plan().step(waiter).action.sort() == Sort::CreateGroup {
                    let rest = std::mem::take(batch);
                    rest.iter().for_each(|step| {
                        self.waiting.remove(step);
                    });
                    open.extend(rest);
                }
                if batch.is_empty() {
                    self.meter.give_up(self.cost.get(at).copied().unwrap_or_default());
                }
                self.release(waiter);
            }
        }
    }

    /// Writes the next intents down, in the plan's order.
    async fn arm(&mut self, journal: &dyn Journal) -> Result<(), JournalError> {
        // Outcomes first: an object's next intent must not stand before its last outcome.
        self.flush(journal).await?;
        let mut chosen: Vec<usize> = Vec::new();
        let mut count = 0;
        for at in &self.ready {
            let size = self.batches[*at].len();
            if count > 0 && count + size > BATCH {
                break;
            }
            count += size;
            chosen.push(*at);
        }
        let steps: Vec<StepNo> = chosen.iter().flat_map(|at| self.batches[*at].iter().copied()).collect();
        let at = (self.clock)();
        let intents: Vec<Intent> =
            steps.iter().map(|no| perform::intent(self.plan.plan(), *no, self.links, at)).collect();
        let mut numbers = journal.intend(&intents).await?.into_iter();
        for at in chosen {
            self.ready.remove(&at);
            let batch = std::mem::take(&mut self.batches[at]);
            self.armed.push_back(batch.into_iter().zip(numbers.by_ref()).collect());
        }
        Ok(())
    }

    async fn flush(&mut self, journal: &dyn Journal) -> Result<(), JournalError> {
        if self.outcomes.is_empty() {
            return Ok(());
        }
        let links: Vec<&Link> = self.changed.iter().filter_map(|no| self.links.get(*no)).collect();
        journal.record(&self.outcomes, &links).await?;
        self.outcomes.clear();
        self.changed.clear();
        Ok(())
    }

    fn settle(&mut self, no: StepNo, seq: i64, performed: Performed) {
        self.settled += 1;
        let step = &*self.plan.plan().step(no);
        let sort = step.action.sort();
        let at = (self.clock)();
        match performed {
            Performed::Done { id, found } => {
                if perform::renames_user(&step.action) {
                    self.applied.rename_support = Some(RenameSupport::Accepted);
                }
                self.succeed(no, seq, id, if found { StepResult::Found } else { StepResult::Done });
            }
            // A membership that went with its user, who was deleted beside it.
            Performed::Moot(missing) if self.is_ended_here(&step.action, missing) => {
                self.succeed(no, seq, None, StepResult::Found);
            }
            Performed::Moot(missing) => {
                self.applied.missed = true;
                self.changed.extend(self.links.miss(step, missing));
                self.succeed(no, seq, None, StepResult::Found);
            }
            Performed::Failed(error) => {
                *self.applied.failed.entry(sort).or_default() += 1;
                // A permission can be given any time, and the same is tried again in each cycle.
                let retryable = error.is_retryable() || error.kind == TargetErrorKind::AccessDenied;
                self.applied.retryable += u64::from(retryable);
                let missed = matches!(error.kind, TargetErrorKind::NotFound(_));
                self.applied.missed |= missed;
                if !retryable && !missed {
                    self.applied.refused.insert(no);
                }
                if perform::renames_user(&step.action) && perform::refuses_rename(&error) {
                    self.applied.rename_support = Some(RenameSupport::Refused);
                }
                self.applied.findings.push(effect::finding(self.plan.plan(), step, &error));
                self.changed.extend(self.links.fail(step, &error, at));
                let result = StepResult::Failed { code: error.code.clone(), message: error.message.clone() };
                self.outcomes.push(Outcome { seq, result, at });
                self.block(no);
            }
            // Left without an outcome on purpose: it is looked up before anything else is done to the object.
            Performed::Unknown(error) => {
                *self.applied.failed.entry(sort).or_default() += 1;
                self.applied.retryable += 1;
                self.applied.findings.push(effect::finding(self.plan.plan(), step, &error));
                self.block(no);
            }
        }
    }

    /// Whether what was missing for a removal is deleted by this very plan.
    fn is_ended_here(&self, action: &Action, missing: Option<Kind>) -> bool {
        let Action::RemoveMember { group, user, .. } = action else { return false };
        let (user, group) = (self.ended.contains(user), self.ended.contains(group));
        match missing {
            Some(Kind::User) => user,
            Some(Kind::Group) => group,
            None => user || group,
        }
    }

    fn succeed(&mut self, no: StepNo, seq: i64, id: Option<TargetId>, result: StepResult) {
        let step = &*self.plan.plan().step(no);
        self.applied.undone.remove(&no);
        *self.applied.done.entry(step.action.sort()).or_default() += 1;
        let at = (self.clock)();
        self.changed.extend(self.links.succeed(step, id, at));
        self.outcomes.push(Outcome { seq, result, at });
        for waiter in self.needed_by.remove(&no).unwrap_or_default() {
            // Blocked by another step meanwhile, if it does not wait any more.
            let Some(left) = self.waiting.get_mut(&waiter) else { continue };
            *left -= 1;
            if *left == 0 {
                self.waiting.remove(&waiter);
                self.release(waiter);
            }
        }
    }

    /// One object's refusal says nothing of the target, however often it comes; the same failure of several in a row does.
    /// A request counts once, however many steps it was for.
    fn weigh(&mut self, batch: &[(StepNo, i64)], performed: &[Performed]) {
        let Some(step) = batch.first().map(|(no, _)| self.plan.plan().step(*no)) else { return };
        // Another door, with another key, that serves for nothing else: it says nothing of the target.
        let of_disabling = matches!(step.action.sort(), Sort::DisableUser | Sort::EnableUser);
        let says_much = |error: &&TargetError| {
            error.is_of_the_whole() && !(of_disabling && error.kind == TargetErrorKind::AccessDenied)
        };
        let failure = performed.iter().find_map(|performed| match performed {
            Performed::Failed(error) | Performed::Unknown(error) => Some(error).filter(says_much),
            Performed::Done { .. } | Performed::Moot(_) => None,
        });
        let Some(error) = failure else {
            self.failures_in_a_row = 0;
            self.failing = None;
            return;
        };
        let object = step.action.object();
        if self.failures_in_a_row == 0 {
            self.failing = object;
        } else if self.failing != object {
            self.failing = None;
        }
        self.failures_in_a_row += 1;
        if self.failures_in_a_row >= GIVE_UP_AFTER && self.failing.is_none() && self.applied.stop.is_none() {
            self.applied.stop = Some(Stop::TargetUnavailable(error.to_string()));
        }
        let Some(object) = object else { return };
        let failures = self.failures_of.entry(object).or_default();
        *failures += 1;
        if *failures == GIVE_UP_AFTER {
            self.leave(object);
        }
    }

    /// Nothing more is begun on this object; the next cycle tries again.
    fn leave(&mut self, object: LinkNo) {
        let of_it = |run: &Self, at: &usize| {
            let first = run.batches.get(*at).and_then(|batch| batch.first());
            first.is_some_and(|no| run.plan.plan().step(*no).action.object() == Some(object))
        };
        let ready: Vec<usize> = self.ready.iter().copied().filter(|at| of_it(self, at)).collect();
        for at in ready {
            self.ready.remove(&at);
            self.meter.give_up(self.cost.get(at).copied().unwrap_or_default());
            for no in std::mem::take(&mut self.batches[at]) {
                self.block(no);
            }
        }
    }

    async fn finish(mut self, journal: &dyn Journal) -> Result<Applied, JournalError> {
        let at = (self.clock)();
        for (_, seq) in std::mem::take(&mut self.armed).into_iter().flatten() {
            self.outcomes.push(Outcome { seq, result: StepResult::Skipped, at });
        }
        self.flush(journal).await?;
        self.applied.left = self.total - self.settled;
        // Time ran out, or someone asked, while the last steps were under way: nothing was stopped.
        if self.applied.left == 0 && matches!(self.applied.stop, Some(Stop::OutOfTime | Stop::Asked)) {
            self.applied.stop = None;
        }
        Ok(self.applied)
    }
}

#[cfg(test)]
mod tests;
