//! One cycle from top to bottom: read, plan, guard, apply. The only place that knows the order.
//!
//! A dry run is the same path, stopped after the guard: [`prepare`] writes nothing and [`carry_out`] is not
//! called.

mod findings;
mod journal;
mod outcome;
mod record;
mod unread;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use tracing::{Instrument as _, debug, info, info_span};

pub use journal::{NoJournal, StateJournal};
pub use outcome::{CycleReport, Outcome};

use crate::apply::{Applied, Journal, JournalError, Links, Pace, RecoverError, apply, recover};
use crate::directory::{Directory, DirectoryError};
use crate::ids::{CycleId, Fingerprint, IdentityStoreId, Sid};
use crate::mapping::Mapping;
use crate::model::{Binding, Code, Finding, Kind, Known, Link, Observed, Pin, ReadRequest, Wanted, Wants};
use crate::plan::{Action, ApprovedPlan, Inputs, Policy, Sort, desire, guard, plan, wants};
use crate::scope::{NestedGroups, Scope};
use crate::state::{CycleKind, CycleOutcome, FindingChanges, Reader, State, StateError};
use crate::target::{Target, TargetError, TargetErrorKind};
use record::{Record, Suspects};
use unread::ReadIds;

/// What a profile is, as far as a cycle needs to know.
pub struct Profile<'a> {
    pub name: &'a str,
    pub wanted: Wanted,
    pub mapping: &'a Mapping,
    pub policy: &'a Policy,
    pub nested: NestedGroups,
    pub max_apply: Duration,
    pub keep_history: Duration,
    /// Nothing is done but these of the planned steps.
    pub only: Option<BTreeSet<Fingerprint>>,
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
        "profile {profile} is bound to {what} {bound}, and the config points to {found}. Use another profile name \
         and state database for another {what}, or put the config back"
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
        let denied = |e: &TargetError| e.kind == TargetErrorKind::AccessDenied;
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
    check_binding(profile, &known, "identity store", parts.identity_store.as_str(), |b| {
        b.identity_store.as_str()
    })?;

    let pending = state.unfinished().await?;
    let mut links = Links::new(std::mem::take(&mut known.links));
    let recovered = recover(&pending, parts.target.as_ref(), journal, &mut links, now).await?;
    known.links = links.into_inner();

    let request = ReadRequest { wanted: profile.wanted.clone(), pins: known.pins.clone(), now, server: None };
    let snapshot = parts.directory.read(&request).instrument(info_span!("read")).await?;
    let bound = known.binding.as_ref().map(|b| b.directory.as_str());
    if let Some(bound) =
        bound.filter(|b| Sid::parse(b).is_some() && Sid::parse(&snapshot.source.binding).is_none())
    {
        let profile = profile.name.to_owned();
        return Err(CycleError::BindingUnread { profile, bound: bound.to_owned() });
    }
    check_binding(profile, &known, "directory", &snapshot.source.binding, |b| b.directory.as_str())?;
    info!(
        server = snapshot.source.server,
        requests = snapshot.source.requests,
        entries = snapshot.source.received,
        "directory read"
    );

    let scope = Scope::resolve(&snapshot, &known, profile.nested);
    let desire = desire(&scope, profile.mapping, &known, parts.target.capabilities());
    let observed = observe(parts.target.as_ref(), &wants(&desire, &known)).await?;
    let managed: BTreeSet<_> = profile.mapping.user_expressions().keys().copied().collect();
    let inputs = Inputs {
        profile: profile.name,
        scope: &scope,
        desired: &desire.desired,
        kept: &desire.kept,
        known: &known,
        observed: &observed,
        managed: &managed,
        policy: profile.policy,
        now,
    };
    let plan = plan(&inputs, &snapshot.entries);
    let mut findings = findings::of_plan(&snapshot, desire.findings, &plan);
    let mut approved = guard(plan, profile.policy, &known.approvals, known.rename_support);
    if let Some(only) = &profile.only {
        approved = approved.only(only);
    }
    debug!(plan = %approved.plan().id, steps = approved.plan().steps.len(), held = approved.held().len(), "planned");

    let suspects = Suspects::of(&scope, &known, &approved);
    findings.extend(findings::of_suspects(&scope, &known, &suspects));
    let record =
        Record::of(&snapshot, &scope, &known, &approved, &suspects, parts.identity_store.clone(), now);
    let cut_short = record::cut_short(&snapshot);
    let read = cut_short.then(|| ReadIds::of(&snapshot));
    let requests = snapshot.source.requests;
    let links = Links::new(known.links);
    Ok(Prepared { approved, findings, recovered, requests, cut_short, read, record, links })
}

/// What the plan depends on, and then the names of members of groups that are to be adopted: `protect` goes by
/// name.
async fn observe(target: &dyn Target, wants: &Wants) -> Result<Observed, CycleError> {
    if wants.is_empty() {
        return Ok(Observed::default());
    }
    let mut observed = target.observe(wants).await.map_err(CycleError::Target)?;
    let unnamed: BTreeSet<_> = observed
        .groups
        .values()
        .flat_map(|g| g.members.iter().flatten())
        .filter(|id| !observed.users.contains_key(*id))
        .cloned()
        .collect();
    if !unnamed.is_empty() {
        let wants = Wants { users: unnamed, ..Wants::default() };
        let more = target.observe(&wants).await.map_err(CycleError::Target)?;
        observed.users.extend(more.users);
    }
    Ok(observed)
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
    let Prepared { approved, mut findings, record, mut links, cut_short, read, requests, recovered } =
        prepared;
    record.write(&mut links, state, cycle, clock()).await?;
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
    if let Some(read) = &read {
        let standing = state.standing_findings().await?;
        findings = read.with_those_of_unread_objects(findings, standing.into_iter().map(|(f, _)| f));
    }
    let changes = state.replace_findings(clock(), &findings).await?;
    let outcome = Outcome::of(&approved, &applied, &changes, cut_short, clock());
    let report = CycleReport { outcome, applied, approved, changes, findings, requests, recovered, rebound };
    let finished = CycleOutcome { word: report.outcome.word(), counts: report.counts(), finished: clock() };
    state.finish_cycle(cycle, &finished).await?;
    if let Ok(keep) = jiff::SignedDuration::try_from(profile.keep_history)
        && let Ok(oldest) = clock().checked_sub(keep)
    {
        state.prune(oldest).await?;
    }
    Ok(report)
}

/// Enough to keep the allowed rate at any latency that is usual.
const IN_FLIGHT: usize = 16;

/// Begins the record of a cycle.
pub async fn begin(state: &State, now: Timestamp) -> Result<CycleId, StateError> {
    state.begin_cycle(CycleKind::Normal, now).await
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
