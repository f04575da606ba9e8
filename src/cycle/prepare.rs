//! Everything up to the first write: recover, read, look up, plan, look again, guard.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use tokio::time::Instant;
use tracing::{Instrument as _, debug, info_span, warn};

use super::confirm::{self, Concerned};
use super::fates::Asked;
use super::part::Part;
use super::read::DirectoryRead;
use super::record::{self, Record, Seen, Suspects};
use super::unread::ReadIds;
use super::{
    CycleError, Parts, Prepared, Profile, Times, assignments, chain, fates, findings, observe, read, rest,
    sweep,
};
use crate::apply::{Journal, Links, recover};
use crate::explain::Sight;
use crate::ids::{LinkNo, Sid};
use crate::model::{
    Absence, AccountState, Binding, DirectoryUser, Fate, Known, Link, MirrorChange, Observed, ReadRequest,
    Snapshot,
};
use crate::plan::{Distrust, Given, Inputs, OnDisable, Plan, Sweep, desire, guard, plan, wants};
use crate::scope::{NestedGroups, Scope};
use crate::state::Reader;

/// Everything up to the first write. `journal` takes the outcomes of unfinished steps that had to be looked up;
/// a dry run's takes nothing.
pub async fn prepare(
    profile: &Profile<'_>,
    parts: &Parts<'_>,
    state: &Reader,
    journal: &dyn Journal,
) -> Result<Prepared, CycleError> {
    if let Some(prepared) = rest::prepare(profile, parts, state, (parts.clock)()).await? {
        return Ok(prepared);
    }
    prepare_seen(profile, parts, state, journal, &mut |_| {}).await
}

/// The same without resting on the cycle before, shown to somebody once it is all at hand: what was read, what follows from
/// it, and the plan.
pub(super) async fn prepare_seen(
    profile: &Profile<'_>,
    parts: &Parts<'_>,
    state: &Reader,
    journal: &dyn Journal,
    witness: &mut (dyn FnMut(&Sight<'_>) + Send),
) -> Result<Prepared, CycleError> {
    let now = (parts.clock)();
    let begun = Instant::now();
    let mut known = state.load(now).await?;
    let store = parts.identity_store.as_str();
    let mut rebound = bind(profile, &mut known, "identity store", store, |b| b.identity_store.as_str())?;
    let recovered = recover_known(parts, state, journal, &mut known, now).await?;

    let request = |known: &Known| {
        let pins = known.pins.clone();
        ReadRequest { wanted: profile.wanted.clone(), pins, now, server: None }
    };
    let mut taken = match read::read(profile, parts.directory, state, &request(&known), now).await {
        Ok(taken) => taken,
        Err(CycleError::Directory(error)) => {
            let limit = profile.policy.lifecycle.disable_after;
            let Some(sweep) = sweep::of_outage(&known, limit, now) else { return Err(error.into()) };
            warn!("{}", chain(&error));
            let prepared = sweep::prepare(profile, parts, state, known, sweep, recovered, now).await?;
            return Ok(Prepared { unreadable: Some(error), ..prepared });
        }
        Err(error) => return Err(error),
    };
    let bound = known.binding.as_ref().map(|b| b.directory.as_str());
    if let Some(bound) =
        bound.filter(|b| Sid::parse(b).is_some() && Sid::parse(&taken.snapshot.source.binding).is_none())
    {
        let profile = profile.name.to_owned();
        return Err(CycleError::BindingUnread { profile, bound: bound.to_owned() });
    }
    if bind(profile, &mut known, "directory", &taken.snapshot.source.binding, |b| b.directory.as_str())? {
        // Pins are of the other directory.
        rebound = true;
        known.pins.clear();
        taken = read::whole(parts.directory, &request(&known)).await?;
    }
    let considered = Considered { now, begun, known, taken, rebound, recovered, asked: None, part: None };
    work_out(profile, parts, state, considered, witness).await
}

/// What was read, and what was known before.
pub(super) struct Considered {
    pub now: Timestamp,
    pub begun: Instant,
    pub known: Known,
    pub taken: DirectoryRead,
    /// What was tied to another directory or store has been let go of.
    pub rebound: bool,
    pub recovered: usize,
    /// What became of objects that were not read, where that is known already.
    pub asked: Option<Asked>,
    /// Of what it is all there is.
    pub part: Option<Part>,
}

/// What the config makes of accounts that the directory has shut.
pub(super) fn read_as(profile: &Profile<'_>, snapshot: &mut Snapshot) {
    if profile.policy.lifecycle.on_directory_disable == OnDisable::Ignore {
        let shut = |u: &&mut DirectoryUser| Absence::from_account(u.account).is_some();
        snapshot.users.iter_mut().filter(shut).for_each(|u| u.account = AccountState::Enabled);
    }
}

/// From the read to a plan that the guard has seen.
pub(super) async fn work_out(
    profile: &Profile<'_>,
    parts: &Parts<'_>,
    state: &Reader,
    considered: Considered,
    witness: &mut (dyn FnMut(&Sight<'_>) + Send),
) -> Result<Prepared, CycleError> {
    let Considered { now, begun, mut known, mut taken, rebound, recovered, asked, part } = considered;
    let snapshot = &mut taken.snapshot;
    let read_in = begun.elapsed();
    debug!(
        server = snapshot.source.server,
        requests = snapshot.source.requests,
        entries = snapshot.source.received,
        changes = taken.by_changes,
        "directory read"
    );
    read_as(profile, snapshot);
    let (snapshot, by_changes) = (&taken.snapshot, taken.by_changes);
    let mut confirmed = true;

    let mut scope = Scope::resolve(snapshot, &known, profile.nested);
    let doubtful = confirm::doubt_new_server(snapshot, &mut scope, &known);
    let trust_log = profile.policy.lifecycle.trust_change_log;
    let mut asked = match asked {
        Some(asked) => asked,
        None => fates::ask(parts.directory, trust_log, snapshot, &scope, &known, now).await,
    };
    let capabilities = parts.target.capabilities();
    let desire = desire(&scope, profile.mapping, &known, capabilities);
    let wants = wants(&desire, &known, capabilities);
    let linked = known.links.values().any(|l| l.target_id.is_some());
    // Whoever is not part of a part would be a stranger in it.
    let full = part.is_none() && linked && (profile.full || profile.is_full_due(known.last_full, now));
    let mut observed = if full {
        observe::read_back(parts.target.as_ref(), &wants, &known).await?
    } else {
        observe::observe(parts.target.as_ref(), &wants).await?
    };
    let unasked = wants.is_empty();
    // Of a first plan, all names that there are.
    drop(wants);
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
        let mut plan = plan(&inputs, &snapshot.entries);
        part.iter().for_each(|part| part.amend(&mut plan));
        plan
    };
    let mut plan = make(&scope, &asked.of, &observed);
    if observe::look_at_the_disabled(parts.target.as_ref(), &plan, &mut observed).await? {
        plan = make(&scope, &asked.of, &observed);
    }
    let mut requests = snapshot.source.requests + asked.requests;
    let mut second_short = None;
    let concerned = Concerned::of(&plan);
    if !concerned.is_empty() {
        let server = snapshot.source.server.as_str();
        if concerned.is_of_members() {
            let again =
                confirm::look_again(parts.directory, profile, server, &mut scope, &known, &concerned, now)
                    .instrument(info_span!("confirm"))
                    .await;
            requests += again.requests;
            second_short = again.cut_short;
            confirmed = again.confirmed;
        }
        if concerned.absent {
            asked.confirm(fates::ask(parts.directory, trust_log, snapshot, &scope, &known, now).await);
        }
        plan = make(&scope, &asked.of, &observed);
    }
    let mut findings = findings::of_plan(snapshot, desire.findings.clone(), &plan);
    let distrust = distrust(parts, state, &known, &plan, snapshot.source.clock_ahead, now).await?;
    let given = Given { approvals: &known.approvals, renames: known.rename_support, distrust };
    let mut approved = guard(plan, profile.policy, &given);
    if let Some(only) = &profile.only {
        approved = only.of(approved);
    }
    let approved = assignments::annotated(profile, parts.target.as_ref(), &known, approved).await;
    debug!(plan = %approved.plan().id, steps = approved.plan().steps.len(), held = approved.held().len(), "planned");
    findings.extend(findings::of_time(profile, &known, &approved, distrust, now));
    findings.extend(findings::of_token(profile.name, parts.target.token_expires(), now));

    let suspects = Suspects::of(&scope, &known, &approved);
    findings.extend(findings::of_suspects(&scope, &known, &suspects));
    witness(&Sight {
        snapshot,
        scope: &scope,
        nested: profile.nested == NestedGroups::Flatten,
        filter: profile.wanted.user_filter.as_deref(),
        known: &known,
        desire: &desire,
        mapping: profile.mapping,
        target: capabilities,
        lifecycle: &profile.policy.lifecycle,
        approved: &approved,
        findings: &findings,
        now,
    });
    let unseen = findings::unseen_in_target(&desire.desired, &known, &observed);
    drop((desire, observed));
    let seen = Seen {
        snapshot,
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
    // Where a second look did not agree with what is to be kept of the first, the next read is of everything.
    let of_another = rebound.then_some(MirrorChange::Drop);
    record.mirror =
        taken.mirror.or(of_another).map(|change| if confirmed { change } else { MirrorChange::Drop });
    // What a full cycle found and could not do yet is found by full ones only: the next one is due at once then.
    record.full = (part.is_none() && !linked && distrust.is_none()).then_some(now);
    if rebound {
        record.rebind(&known);
    }
    let short = record::cut_short(snapshot);
    let cut_short = short.clone().or(second_short).or(asked.cut_short);
    let certain = cut_short.is_none() && confirmed && distrust.is_none() && recovered == 0;
    let fates = rest::fates_by_anchor(&asked.of, &known);
    let found = rest::Found {
        snapshot,
        known: &known,
        fates: &fates,
        approved: &approved,
        unasked,
        record: &record,
        full,
    };
    let rest = if certain && part.is_none() { rest::of(profile, parts, &found, now) } else { None };
    let read_ids = short.is_some().then(|| ReadIds::of(snapshot));
    let since = known.last_cycle;
    let mut links = known.links;
    if let Some(part) = &part {
        record.complete(part);
        links.values_mut().for_each(|link| part.complete(link));
    }
    let links = Links::new(links);
    Ok(Prepared {
        approved,
        findings,
        recovered,
        requests,
        cut_short,
        unreadable: None,
        full,
        by_changes,
        times: Times { read: read_in, plan: begun.elapsed().saturating_sub(read_in), ..Times::default() },
        trusted: distrust.is_none(),
        now,
        since,
        unseen,
        read: read_ids,
        record,
        links,
        rest,
        rested: false,
        of_part: part.is_some(),
        part: part.filter(|_| certain),
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
    let elsewhere = match pending.is_empty() {
        true => BTreeMap::new(),
        false => state.linked_elsewhere(&parts.identity_store).await?,
    };
    let recovered = recover(&pending, parts.target.as_ref(), journal, &mut links, &elsewhere, now).await?;
    known.links = links.into_inner();
    Ok(recovered)
}

/// Whether this machine's clock is right, by the first other clock that can be asked. Where the plan rests on time and
/// nobody has told it yet, the target is asked something for its sake.
pub(super) async fn distrust(
    parts: &Parts<'_>,
    state: &Reader,
    known: &Known,
    plan: &Plan,
    directory: Option<i64>,
    now: Timestamp,
) -> Result<Option<Distrust>, CycleError> {
    let rests_on_time = plan.steps.iter().any(|step| step.rests_on_time());
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

pub(super) fn check_binding(
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
