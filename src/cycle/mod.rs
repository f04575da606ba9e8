//! One cycle from top to bottom: read, plan, guard, apply. The only place that knows the order.
//!
//! A dry run is the same path, stopped after the guard: [`prepare`] writes nothing and [`carry_out`] is not
//! called.

mod assignments;
mod confirm;
mod fates;
mod findings;
mod journal;
mod observe;
mod outcome;
mod record;
mod sweep;
#[cfg(test)]
mod tests;
mod unread;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use tracing::{Instrument as _, debug, info, info_span, warn};

pub use journal::{NoJournal, StateJournal};
pub use outcome::{CycleReport, Outcome};
pub use sweep::{PauseDue, pause_due, warn_of_pause};

use crate::apply::{Applied, Journal, JournalError, Links, Pace, RecoverError, apply, recover};
use crate::directory::{Directory, DirectoryError};
use crate::ids::{CycleId, Fingerprint, IdentityStoreId, LinkNo, Sid};
use crate::mapping::Mapping;
use crate::model::{
    Absence, AccountState, Binding, Code, DirectoryUser, Fate, Finding, Kind, Known, Link, Observed, Pin,
    ReadRequest, Wanted,
};
use crate::plan::{
    Action, ApprovedPlan, Distrust, Elapsed, Given, Inputs, OnDisable, Plan, Policy, Sort, StepNo, Sweep,
    countdowns, crossed, desire, guard, plan, wants,
};
use crate::scope::{NestedGroups, Scope};
use crate::state::{CycleKind, CycleOutcome, FindingChanges, Reader, State, StateError};
use crate::target::{Target, TargetError};
use confirm::Concerned;
use record::{Record, Seen, Suspects};
use unread::ReadIds;

/// What tests of the plan share with a real cycle.
#[cfg(test)]
pub(crate) mod for_tests {
    pub use super::observe::read_back;
    pub use super::record::{Record, Seen, Suspects};
}

/// What a profile is, as far as a cycle needs to know.
pub struct Profile<'a> {
    pub name: &'a str,
    pub wanted: Wanted,
    pub mapping: &'a Mapping,
    pub policy: &'a Policy,
    pub nested: NestedGroups,
    pub max_apply: Duration,
    pub keep_history: Duration,
    /// Read what the objects of a plan are assigned to.
    pub assignments: bool,
    /// Read the target back as a whole, due or not.
    pub full: bool,
    /// How long after a full cycle the next one is due.
    pub drift_check: Duration,
    /// Let go of what the profile is bound to, if the config points elsewhere now.
    pub rebind: bool,
    /// Run no other steps than these.
    pub only: Option<BTreeSet<Fingerprint>>,
}

impl Profile<'_> {
    fn is_full_due(&self, last: Option<Timestamp>, now: Timestamp) -> bool {
        let pause = jiff::SignedDuration::try_from(self.drift_check).unwrap_or(jiff::SignedDuration::MAX);
        last.is_none_or(|last| now.duration_since(last) >= pause)
    }

    fn elapsed(&self, known: &Known, now: Timestamp) -> Elapsed {
        Elapsed {
            now,
            last_complete_read: known.last_complete_read,
            last_read: known.last_read,
            disable_after: self.policy.lifecycle.disable_after,
        }
    }
}

#[derive(Debug, thiserror::Error)]
pub enum CycleError {
    #[error("the directory could not be read")]
    Directory(#[from] DirectoryError),
    #[error("the target could not be asked")]
    Target(#[source] TargetError),
    #[error("the state database could not be used")]
    State(#[from] StateError),
    #[error(transparent)]
    Recover(#[from] RecoverError),
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// The profile was first applied to something else.
    #[error(
        "profile {profile} is bound to {what} {bound}, and the config points to {found}. Put the config back; or use \
         another profile name and state database; or, if the {what} itself has been replaced, look at what `idcsync \
         sync --rebind --dry-run` would do"
    )]
    OtherBinding { profile: String, what: &'static str, bound: String, found: String },
    /// The domain SID that the profile is bound to could not be read, so nobody can say which directory this is.
    #[error(
        "profile {profile} is bound to the domain {bound}, and this read shows no domain SID: the answer was empty or \
         cut short, or the bind account may not read objectSid of the domain. Nothing was concluded from it"
    )]
    BindingUnread { profile: String, bound: String },
}

impl CycleError {
    /// The error with its causes, and what to do about it where they do not say.
    pub fn with_remedy(&self) -> String {
        let denied = TargetError::is_of_permissions;
        let remedy = match self {
            Self::Target(e) | Self::Recover(RecoverError::Target(e)) if denied(e) => Some(GIVE_PERMISSION),
            Self::Target(_) | Self::Recover(RecoverError::Target(_)) => Some(CHECK_TARGET),
            _ => None,
        };
        remedy.map_or_else(|| chain(self), |remedy| format!("{}; {remedy}", chain(self)))
    }
}

const GIVE_PERMISSION: &str =
    "give the caller's role that permission, then run `idcsync check`, which tries the others too";
const CHECK_TARGET: &str = "`idcsync check` tells what of the target can be reached";

/// The parts that a cycle runs between.
pub struct Parts<'a> {
    pub directory: &'a dyn Directory,
    pub target: Arc<dyn Target>,
    pub identity_store: IdentityStoreId,
    /// Asked for the time; nothing else in a cycle looks at a clock that could be set.
    pub clock: &'a (dyn Fn() -> Timestamp + Sync),
}

/// A plan that the guard has seen, with all that carrying it out needs.
pub struct Prepared {
    pub approved: ApprovedPlan,
    /// Of the read, the mapping and the plan.
    pub findings: Vec<Finding>,
    /// Steps of an earlier run whose outcome had to be looked up.
    pub recovered: usize,
    pub requests: u64,
    /// Something was not read to its end.
    pub cut_short: bool,
    /// Nothing could be read at all, for so long that everybody would have to be disabled.
    pub unreadable: Option<DirectoryError>,
    /// The target was read back as a whole.
    pub full: bool,
    /// The clock can be trusted.
    trusted: bool,
    /// When the cycle began to read.
    now: Timestamp,
    /// When the cycle before this one was.
    since: Option<Timestamp>,
    /// Subjects of which this cycle cannot say whether the target has them disabled.
    unseen: BTreeSet<String>,
    read: Option<ReadIds>,
    record: Record,
    links: Links,
}

/// Everything up to the first write. `journal` takes the outcomes of unfinished steps that had to be looked up;
/// a dry run's takes nothing.
pub async fn prepare(
    profile: &Profile<'_>,
    parts: &Parts<'_>,
    state: &Reader,
    journal: &dyn Journal,
) -> Result<Prepared, CycleError> {
    let now = (parts.clock)();
    let mut known = state.load(now).await?;
    let store = parts.identity_store.as_str();
    let mut rebound = bind(profile, &mut known, "identity store", store, |b| b.identity_store.as_str())?;
    let recovered = recover_known(parts, state, journal, &mut known, now).await?;

    let read = |known: &Known| {
        let pins = known.pins.clone();
        ReadRequest { wanted: profile.wanted.clone(), pins, now, server: None }
    };
    let first = parts.directory.read(&read(&known)).instrument(info_span!("read")).await;
    let mut snapshot = match first {
        Ok(snapshot) => snapshot,
        Err(error) => {
            let limit = profile.policy.lifecycle.disable_after;
            let Some(sweep) = sweep::of_outage(&known, limit, now) else { return Err(error.into()) };
            warn!("{}", chain(&error));
            let prepared = sweep::prepare(profile, parts, state, known, sweep, recovered, now).await?;
            return Ok(Prepared { unreadable: Some(error), ..prepared });
        }
    };
    let bound = known.binding.as_ref().map(|b| b.directory.as_str());
    if let Some(bound) =
        bound.filter(|b| Sid::parse(b).is_some() && Sid::parse(&snapshot.source.binding).is_none())
    {
        let profile = profile.name.to_owned();
        return Err(CycleError::BindingUnread { profile, bound: bound.to_owned() });
    }
    if bind(profile, &mut known, "directory", &snapshot.source.binding, |b| b.directory.as_str())? {
        // Pins are of the other directory.
        rebound = true;
        known.pins.clear();
        snapshot = parts.directory.read(&read(&known)).instrument(info_span!("read")).await?;
    }
    info!(
        server = snapshot.source.server,
        requests = snapshot.source.requests,
        entries = snapshot.source.received,
        "directory read"
    );
    if profile.policy.lifecycle.on_directory_disable == OnDisable::Ignore {
        let shut = |u: &&mut DirectoryUser| Absence::from_account(u.account).is_some();
        snapshot.users.iter_mut().filter(shut).for_each(|u| u.account = AccountState::Enabled);
    }

    let mut scope = Scope::resolve(&snapshot, &known, profile.nested);
    let doubtful = confirm::doubt_new_server(&snapshot, &mut scope, &known);
    let mut asked = fates::ask(
        parts.directory,
        profile.policy.lifecycle.trust_change_log,
        &snapshot,
        &scope,
        &known,
        now,
    )
    .await;
    let capabilities = parts.target.capabilities();
    let desire = desire(&scope, profile.mapping, &known, capabilities);
    let wants = wants(&desire, &known, capabilities);
    let linked = known.links.values().any(|l| l.target_id.is_some());
    let full = linked && (profile.full || profile.is_full_due(known.last_full, now));
    let mut observed = if full {
        observe::read_back(parts.target.as_ref(), &wants, &known).await?
    } else {
        observe::observe(parts.target.as_ref(), &wants).await?
    };
    if observe::shows_strangers(&observed, &known) {
        known.elsewhere = state.linked_elsewhere(&parts.identity_store).await?;
    }
    let managed: BTreeSet<_> = profile.mapping.user_expressions().keys().copied().collect();
    let make = |scope: &Scope<'_>, fates: &BTreeMap<LinkNo, Fate>, observed: &Observed| {
        let inputs = Inputs {
            profile: profile.name,
            scope,
            desired: &desire.desired,
            kept: &desire.kept,
            known: &known,
            observed,
            full,
            fates,
            target: capabilities,
            sweep: None,
            managed: &managed,
            policy: profile.policy,
            now,
        };
        plan(&inputs, &snapshot.entries)
    };
    let mut plan = make(&scope, &asked.of, &observed);
    if observe::look_at_the_disabled(parts.target.as_ref(), &plan, &mut observed).await? {
        plan = make(&scope, &asked.of, &observed);
    }
    let mut requests = snapshot.source.requests + asked.requests;
    let concerned = Concerned::of(&plan);
    if !concerned.is_empty() {
        let server = snapshot.source.server.as_str();
        if concerned.is_of_members() {
            requests +=
                confirm::look_again(parts.directory, profile, server, &mut scope, &known, &concerned, now)
                    .instrument(info_span!("confirm"))
                    .await;
        }
        if concerned.absent {
            let trust = profile.policy.lifecycle.trust_change_log;
            asked.confirm(fates::ask(parts.directory, trust, &snapshot, &scope, &known, now).await);
        }
        plan = make(&scope, &asked.of, &observed);
    }
    let mut findings = findings::of_plan(&snapshot, desire.findings.clone(), &plan);
    let distrust = distrust(parts, state, &known, &plan, snapshot.source.clock_ahead, now).await?;
    let given = Given { approvals: &known.approvals, renames: known.rename_support, distrust };
    let mut approved = guard(plan, profile.policy, &given);
    if let Some(only) = &profile.only {
        approved = approved.only(only);
    }
    let approved = assignments::annotated(profile, parts.target.as_ref(), &known, approved).await;
    debug!(plan = %approved.plan().id, steps = approved.plan().steps.len(), held = approved.held().len(), "planned");
    findings.extend(findings::of_time(profile, &known, &approved, distrust, now));
    findings.extend(findings::of_token(profile.name, parts.target.token_expires(), now));

    let suspects = Suspects::of(&scope, &known, &approved);
    findings.extend(findings::of_suspects(&scope, &known, &suspects));
    let unseen = findings::unseen_in_target(&desire.desired, &known, &observed);
    let seen = Seen {
        snapshot: &snapshot,
        scope: &scope,
        known: &known,
        fates: &asked.of,
        doubtful: &doubtful,
        elapsed: profile.elapsed(&known, now),
        trusted: distrust.is_none(),
    };
    let mut record = Record::of(&seen, &approved, &suspects, parts.identity_store.clone(), now);
    record.clock = distrust.is_none().then_some(now);
    record.cookie = asked.cookie;
    // What a full cycle found and could not do yet is found by full ones only: the next one is due at once then.
    record.full = (!linked && distrust.is_none()).then_some(now);
    if rebound {
        record.rebind(&known);
    }
    let cut_short = record::cut_short(&snapshot);
    let read = cut_short.then(|| ReadIds::of(&snapshot));
    let since = known.last_cycle;
    let links = Links::new(known.links);
    Ok(Prepared {
        approved,
        findings,
        recovered,
        requests,
        cut_short,
        unreadable: None,
        full,
        trusted: distrust.is_none(),
        now,
        since,
        unseen,
        read,
        record,
        links,
    })
}

/// The same for a paused profile: nothing is read.
pub async fn prepare_sweep(
    profile: &Profile<'_>,
    parts: &Parts<'_>,
    state: &Reader,
    journal: &dyn Journal,
    sweep: Sweep,
) -> Result<Prepared, CycleError> {
    let now = (parts.clock)();
    let mut known = state.load(now).await?;
    let store = parts.identity_store.as_str();
    bind(profile, &mut known, "identity store", store, |b| b.identity_store.as_str())?;
    let recovered = recover_known(parts, state, journal, &mut known, now).await?;
    sweep::prepare(profile, parts, state, known, sweep, recovered, now).await
}

async fn recover_known(
    parts: &Parts<'_>,
    state: &Reader,
    journal: &dyn Journal,
    known: &mut Known,
    now: Timestamp,
) -> Result<usize, CycleError> {
    let pending = state.unfinished().await?;
    let mut links = Links::new(std::mem::take(&mut known.links));
    let recovered = recover(&pending, parts.target.as_ref(), journal, &mut links, now).await?;
    known.links = links.into_inner();
    Ok(recovered)
}

/// Whether this machine's clock is right, by the first other clock that can be asked. Where the plan rests on time and
/// nobody has told it yet, the target is asked something for its sake.
async fn distrust(
    parts: &Parts<'_>,
    state: &Reader,
    known: &Known,
    plan: &Plan,
    directory: Option<i64>,
    now: Timestamp,
) -> Result<Option<Distrust>, CycleError> {
    let rests_on_time = plan.steps.iter().any(|step| step.action.rests_on_time());
    if rests_on_time && directory.is_none() && parts.target.clock_ahead().is_none() {
        observe::ask_the_time(parts.target.as_ref(), known).await?;
    }
    let target = parts.target.clock_ahead();
    let database = match (directory, target) {
        (None, None) => state.clock_ahead().await?,
        _ => None,
    };
    let others = [("directory", directory), ("target", target), ("state database", database)];
    Ok(crate::plan::distrust(now, known.last_cycle, &others))
}

/// Refuses what the profile is not bound to, or lets go of everything that was tied there (`--rebind`): then true.
fn bind(
    profile: &Profile<'_>,
    known: &mut Known,
    what: &'static str,
    found: &str,
    bound: impl Fn(&Binding) -> &str,
) -> Result<bool, CycleError> {
    match check_binding(profile, known, what, found, bound) {
        Err(CycleError::OtherBinding { .. }) if profile.rebind => {
            known.binding = None;
            known.last_full = None;
            known.last_server = None;
            known.cookie = None;
            known.links.values_mut().for_each(Link::untie);
            Ok(true)
        }
        other => other.map(|()| false),
    }
}

fn check_binding(
    profile: &Profile<'_>,
    known: &Known,
    what: &'static str,
    found: &str,
    bound: impl Fn(&Binding) -> &str,
) -> Result<(), CycleError> {
    match known.binding.as_ref().map(bound) {
        Some(bound) if bound != found => Err(CycleError::OtherBinding {
            profile: profile.name.to_owned(),
            what,
            bound: bound.to_owned(),
            found: found.to_owned(),
        }),
        _ => Ok(()),
    }
}

/// Carries a prepared plan out: records the read, applies, records how it ended.
pub async fn carry_out(
    profile: &Profile<'_>,
    parts: &Parts<'_>,
    state: &State,
    cycle: CycleId,
    prepared: Prepared,
    stop: &tokio::sync::watch::Receiver<bool>,
    progress: &(dyn Fn(u64, u64) + Sync),
) -> Result<CycleReport, CycleError> {
    let clock = parts.clock;
    let Prepared {
        approved,
        mut findings,
        record,
        mut links,
        cut_short,
        unreadable,
        full,
        trusted,
        now: since_full,
        since,
        unseen,
        read,
        requests,
        recovered,
    } = prepared;
    let cut_short = cut_short || unreadable.is_some();
    findings.extend(unreadable.iter().flat_map(|e| findings::of_outage(profile, e)));
    record.write(&mut links, state, cycle, clock()).await?;
    log_countdowns(&links, profile, since, clock());
    let rebound = follow_rebinds(&approved, state, clock()).await?;
    // Settled by the approval: what it warned of has been decided.
    findings.retain(|f| {
        let entry = f.subject.kind.map(|kind| (kind, f.subject.label.as_str()));
        f.code != Code::ScopeEntryRebound || entry.is_none_or(|entry| !rebound.contains(&entry))
    });

    let held: Vec<(Fingerprint, serde_json::Value)> =
        approved.held_fingerprints().into_iter().map(|(no, f)| (f, approved.step_json(no))).collect();
    state.save_held(&approved.plan().id, cycle, &held, clock()).await?;

    let pace = Pace { in_flight: IN_FLIGHT, deadline: Instant::now() + profile.max_apply };
    let journal = StateJournal { state, cycle };
    let mut applied =
        apply(&approved, Arc::clone(&parts.target), &journal, &mut links, pace, clock, stop, progress)
            .instrument(info_span!("apply"))
            .await?;
    if !rebound.is_empty() {
        applied.done.insert(Sort::RebindEntry, rebound.len() as u64);
    }
    let rebound = !rebound.is_empty();
    if let Some(support) = applied.rename_support {
        state.set_rename_support(support).await?;
    }
    for no in approved.approved().iter().filter(|no| !applied.undone.contains(no)) {
        if !approved.waits(*no) {
            state.consume_approval(&approved.plan().fingerprint(approved.plan().step(*no)), clock()).await?;
        }
    }
    fill(&approved, &applied, &mut links, &journal).await?;

    findings.extend(findings::of_apply(&approved, &applied));
    let standing = state.standing_findings().await?;
    findings.extend(standing.iter().map(|(f, _)| f).filter(|f| findings::stays_unseen(f, &unseen)).cloned());
    if let Some(read) = &read {
        findings = read.with_those_of_unread_objects(findings, standing.into_iter().map(|(f, _)| f));
    }
    let changes = state.replace_findings(clock(), &findings).await?;
    let outcome = Outcome::of(&approved, &applied, &changes, cut_short, clock());
    let waits = |no: &StepNo| approved.waits(*no) || applied.undone.contains(no);
    let settled = !approved.plan().found_by_full_cycles().iter().any(waits);
    if full && trusted && settled {
        state.set_last_full(since_full).await?;
    }
    let again = rebound || (applied.missed && applied.stop.is_none());
    let report = CycleReport {
        outcome,
        applied,
        approved,
        changes,
        findings,
        requests,
        recovered,
        rebound,
        again,
        full,
    };
    let finished = CycleOutcome { word: report.outcome.word(), counts: report.counts(), finished: clock() };
    state.finish_cycle(cycle, &finished).await?;
    if let Ok(keep) = jiff::SignedDuration::try_from(profile.keep_history)
        && let Ok(oldest) = clock().checked_sub(keep)
    {
        state.prune(oldest).await?;
    }
    Ok(report)
}

/// Who came nearer to being disabled or deleted: said 14, 7, 3 and 1 days before.
fn log_countdowns(links: &Links, profile: &Profile<'_>, since: Option<Timestamp>, now: Timestamp) {
    let Some(since) = since else { return };
    for coming in countdowns(links.iter(), &profile.policy.lifecycle, now) {
        let Some(days) = crossed(since, now, coming.at) else { continue };
        let Some(link) = links.get(coming.link) else { continue };
        // No personal data: the id is what `status` and the directory know it by.
        let id = link.sid.as_ref().map_or_else(|| link.anchor.to_string(), ToString::to_string);
        warn!(object = id, kind = %link.kind, what = coming.what.word(), at = %coming.at, days, "countdown");
    }
}

/// Enough to keep the allowed rate at any latency that is usual.
const IN_FLIGHT: usize = 16;

/// Begins the record of a cycle.
pub async fn begin(state: &State, kind: CycleKind, now: Timestamp) -> Result<CycleId, StateError> {
    state.begin_cycle(kind, now).await
}

/// Records a cycle that could not be carried out, with the finding that says why; what stood keeps standing.
pub async fn failed(
    state: &State,
    cycle: CycleId,
    profile: &str,
    error: &CycleError,
    now: Timestamp,
) -> Result<FindingChanges, StateError> {
    let standing: Vec<Finding> = state.standing_findings().await?.into_iter().map(|(f, _)| f).collect();
    let code = match error {
        CycleError::Directory(e) => Some(e.code()),
        CycleError::BindingUnread { .. } => Some(Code::DirectoryUnavailable),
        CycleError::Target(_) | CycleError::Recover(_) => Some(Code::TargetUnavailable),
        CycleError::State(_) | CycleError::Journal(_) | CycleError::OtherBinding { .. } => None,
    };
    let mut now_standing = standing;
    if let Some(code) = code {
        now_standing.retain(|f| f.code != code);
        now_standing.push(Finding::new(code, findings::of_profile(profile), error.with_remedy()));
    }
    let changes = state.replace_findings(now, &now_standing).await?;
    let word = outcome::failed_word(error);
    let counts = serde_json::json!({ "error": chain(error) });
    state.finish_cycle(cycle, &CycleOutcome { word, counts, finished: now }).await?;
    Ok(changes)
}

/// An error with what caused it, in one line; what only repeats is left out.
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let words = cause.to_string();
        if !text.ends_with(&words) {
            text.push_str(": ");
            text.push_str(&words);
        }
        source = cause.source();
    }
    text
}

/// Approved rebinds: the entry is pinned to the object that bears its name now. The next cycle reads through it.
/// Gives these entries.
async fn follow_rebinds<'a>(
    approved: &'a ApprovedPlan,
    state: &State,
    now: Timestamp,
) -> Result<BTreeSet<(Kind, &'a str)>, StateError> {
    let mut followed = BTreeSet::new();
    for (no, step) in approved.runnable() {
        if let Action::RebindEntry { kind, name, to, .. } = &step.action {
            let pin = Pin { anchor: *to, name: name.clone() };
            state.set_pin(*kind, name, &pin, now).await?;
            state.consume_approval(&approved.plan().fingerprint(approved.plan().step(no)), now).await?;
            followed.insert((*kind, name.as_str()));
        }
    }
    Ok(followed)
}

/// A group counts as filled once all that was planned to be added to it has been.
async fn fill(
    approved: &ApprovedPlan,
    applied: &Applied,
    links: &mut Links,
    journal: &StateJournal<'_>,
) -> Result<(), JournalError> {
    let lacking: BTreeSet<_> = approved
        .plan()
        .numbered()
        .filter(|(no, step)| {
            matches!(step.action, Action::AddMember { .. })
                && (approved.waits(*no) || applied.undone.contains(no))
        })
        .filter_map(|(_, step)| step.action.object())
        .collect();
    let filled: Vec<_> = links
        .iter()
        .filter(|l| {
            l.kind == Kind::Group
                && l.target_id.is_some()
                && !l.filled
                && !lacking.contains(&l.no)
                && !l.applied.is_empty()
        })
        .map(|l| l.no)
        .collect();
    for no in &filled {
        if let Some(link) = links.get_mut(*no) {
            link.filled = true;
        }
    }
    let changed: Vec<&Link> = filled.iter().filter_map(|no| links.get(*no)).collect();
    if changed.is_empty() { Ok(()) } else { journal.record(&[], &changed).await }
}
