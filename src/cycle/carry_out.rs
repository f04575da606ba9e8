//! A prepared plan is carried out: the read is recorded, the steps are applied, and how it ended is recorded.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Instant;

use jiff::Timestamp;
use tracing::{Instrument as _, info_span, warn};

use super::{
    CycleError, CycleReport, Outcome, Parts, Prepared, Profile, StateJournal, chain, findings, rest,
};
use crate::apply::{Applied, Journal, JournalError, Links, Pace, apply};
use crate::ids::{CycleId, Fingerprint};
use crate::model::{Code, Finding, Kind, Link, Pin, Progress};
use crate::plan::{Action, ApprovedPlan, Sort, StepNo, countdowns, crossed};
use crate::state::{CycleOutcome, State, StateError};

/// Carries a prepared plan out: records the read, applies, records how it ended.
pub async fn carry_out(
    profile: &Profile<'_>,
    parts: &Parts<'_>,
    state: &State,
    cycle: CycleId,
    prepared: Prepared,
    stop: &tokio::sync::watch::Receiver<bool>,
    progress: &(dyn Fn(&Progress) + Sync),
) -> Result<CycleReport, CycleError> {
    let clock = parts.clock;
    let begun = Instant::now();
    let Prepared {
        approved,
        mut findings,
        record,
        mut links,
        cut_short,
        unreadable,
        full,
        by_changes,
        mut times,
        trusted,
        now: since_full,
        since,
        unseen,
        read,
        requests,
        recovered,
        rest,
        rested,
        of_part,
        part,
    } = prepared;
    let cut_short = cut_short.or_else(|| unreadable.as_ref().map(|error| chain(error)));
    findings.extend(profile.notes.iter().cloned());
    findings.extend(unreadable.iter().flat_map(|e| findings::of_outage(profile, e)));
    record.write(&mut links, state, cycle, clock()).await?;
    log_countdowns(&links, profile, since, clock());
    let rebound = follow_rebinds(&approved, state, clock()).await?;
    // Settled by the approval: what it warned of has been decided.
    findings.retain(|f| {
        let entry = f.subject.kind.map(|kind| (kind, f.subject.label.as_str()));
        f.code != Code::ScopeEntryRebound
            || entry.is_none_or(|(kind, name)| !rebound.contains(&(kind, name.to_owned())))
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
    state.make_sure_of_lease().await?;
    if !rebound.is_empty() {
        applied.done.insert(Sort::RebindEntry, rebound.len() as u64);
    }
    let rebound = !rebound.is_empty();
    if let Some(support) = applied.rename_support {
        state.set_rename_support(support).await?;
    }
    for no in approved.approved().iter().filter(|no| !applied.undone.contains(no)) {
        if !approved.waits(*no) {
            state.consume_approval(&approved.plan().fingerprint(&approved.plan().step(*no)), clock()).await?;
        }
    }
    fill(&approved, &applied, &mut links, &journal).await?;

    findings.extend(findings::of_apply(&approved, &applied));
    let standing = state.standing_findings().await?;
    let left_out = findings::left_out(&approved);
    let stays = |f: &&Finding| findings::stays_unseen(f, &unseen) || findings::stays_left_out(f, &left_out);
    let found: BTreeSet<(Code, String)> = findings.iter().map(|f| (f.code, f.subject.id.clone())).collect();
    let new = |f: &&Finding| !found.contains(&(f.code, f.subject.id.clone()));
    findings.extend(standing.iter().map(|(f, _)| f).filter(stays).filter(new).cloned());
    if let Some(read) = &read {
        findings = read.with_those_of_unread_objects(findings, standing.into_iter().map(|(f, _)| f));
    }
    let changes = state.replace_findings(clock(), &findings).await?;
    let outcome = Outcome::of(&approved, &applied, &changes, cut_short.is_some(), clock());
    let waits = |no: &StepNo| approved.waits(*no) || applied.undone.contains(no);
    let settled = !approved.plan().found_by_full_cycles().iter().any(waits);
    if full && trusted && settled {
        state.set_last_full(since_full).await?;
    }
    times.apply = begun.elapsed();
    let again = rebound || (applied.missed && applied.stop.is_none());
    let mut report = CycleReport {
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
        by_changes,
        rested,
        of_part,
        at_rest: false,
        cut_short,
        times,
    };
    let finished = CycleOutcome { word: report.outcome.word(), counts: report.counts(), finished: clock() };
    state.finish_cycle(cycle, &finished).await?;
    let of_part = part.and_then(|part| part.rest(profile, parts, &links, &report.findings, since_full));
    if let Some(rest) = rest.or(of_part) {
        report.at_rest = rest::note(state, cycle, rest, &report).await?;
    }
    if let Ok(keep) = jiff::SignedDuration::try_from(profile.keep_history)
        && let Ok(oldest) = clock().checked_sub(keep)
    {
        // The cycle itself has ended well.
        if let Err(error) = state.prune(oldest).await {
            warn!("what is older than state.keep-history could not be removed: {}", chain(&error));
        }
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

/// Approved rebinds: the entry is pinned to the object that bears its name now. The next cycle reads through it.
/// Gives these entries.
async fn follow_rebinds(
    approved: &ApprovedPlan,
    state: &State,
    now: Timestamp,
) -> Result<BTreeSet<(Kind, String)>, StateError> {
    let mut followed = BTreeSet::new();
    for (no, step) in approved.runnable() {
        if let Action::RebindEntry { kind, name, to, .. } = &step.action {
            let pin = Pin { anchor: **to, name: name.clone() };
            state.set_pin(*kind, name, &pin, now).await?;
            state.consume_approval(&approved.plan().fingerprint(&approved.plan().step(no)), now).await?;
            followed.insert((*kind, name.clone()));
        }
    }
    Ok(followed)
}

/// A group counts as filled once all that was planned to be added to it has been, or was refused.
async fn fill(
    approved: &ApprovedPlan,
    applied: &Applied,
    links: &mut Links,
    journal: &StateJournal<'_>,
) -> Result<(), JournalError> {
    let lacking = applied.lacking(approved);
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
