//! When nothing is read for too long: a paused profile, and a directory that stays out of reach.

use jiff::{SignedDuration, Timestamp};
use tracing::debug;

use super::prepare::distrust;
use super::record::Record;
use super::unread::ReadIds;
use super::{CycleError, Parts, Prepared, Profile, Times, assignments, findings, observe};
use crate::apply::Links;
use crate::model::{
    Absence, Code, DirectoryKind, DisableCause, EntryOutcome, EntryRead, Finding, Known, Observed, Shortfall,
    ShortfallKind, Snapshot, SourceInfo,
};
use crate::plan::{Desire, Given, Inputs, Sweep, guard, plan};
use crate::scope::Scope;
use crate::state::{CycleKind, CycleOutcome, CycleWord, FindingChanges, Pause, Reader, State, StateError};

/// So long before everybody is disabled, it must have been said.
const NOTICE: SignedDuration = SignedDuration::from_hours(24);

/// What a pause has come to.
#[derive(Clone, Copy, Debug)]
pub enum PauseDue {
    /// Nothing yet.
    Nothing,
    /// It is to be said now that everybody will be disabled, not before then.
    Warn {
        at: Timestamp,
    },
    Sweep(Sweep),
}

/// Pure: the pause, `disable-after` and the time decide.
pub fn pause_due(pause: &Pause, disable_after: SignedDuration, now: Timestamp) -> PauseDue {
    if let Some(proof) = Absence::from_pause(pause.at, pause.warned, disable_after, now) {
        return PauseDue::Sweep(Sweep { cause: DisableCause::Paused, since: pause.at, proof });
    }
    let due = pause.at.saturating_add(disable_after).unwrap_or(Timestamp::MAX);
    if now.duration_since(due) < -NOTICE {
        return PauseDue::Nothing;
    }
    let noticed = pause.warned.unwrap_or(now).saturating_add(NOTICE).unwrap_or(Timestamp::MAX);
    PauseDue::Warn { at: due.max(noticed) }
}

/// Says, on the record, what the pause leads to; the first time starts the day of notice. `put_out`: what becomes of
/// users, "disabled" or what the config has in its place.
pub async fn warn_of_pause(
    state: &State,
    profile: &str,
    pause: &Pause,
    at: Timestamp,
    put_out: &str,
    now: Timestamp,
) -> Result<FindingChanges, StateError> {
    if pause.warned.is_none() {
        state.warn_of_pause(now).await?;
    }
    let cycle = super::begin(state, CycleKind::Sweep, now).await?;
    let mut standing: Vec<Finding> = state.standing_findings().await?.into_iter().map(|(f, _)| f).collect();
    standing.retain(|f| f.code != Code::PausedTooLong);
    standing.push(Finding::new(
        Code::PausedTooLong,
        findings::of_profile(profile),
        format!(
            "paused since {}, which is nearly as long as lifecycle.disable-after: all users of the profile are \
             {put_out} by the first run after {at}. To prevent it: `idcsync resume`",
            pause.at
        ),
    ));
    let changes = state.replace_findings(now, &standing).await?;
    let counts = serde_json::json!({ "warnedOfPause": at });
    state.finish_cycle(cycle, &CycleOutcome { word: CycleWord::Nothing, counts, finished: now }).await?;
    Ok(changes)
}

/// The directory has not answered for longer than `limit`.
pub(super) fn of_outage(known: &Known, limit: SignedDuration, now: Timestamp) -> Option<Sweep> {
    let since = known.last_read?;
    let proof = Absence::from_outage(since, limit, now)?;
    Some(Sweep { cause: DisableCause::OutOfReach, since, proof })
}

/// A plan that disables everybody, and the record of a cycle that read nothing.
pub(super) async fn prepare(
    profile: &Profile<'_>,
    parts: &Parts<'_>,
    state: &Reader,
    known: Known,
    sweep: Sweep,
    recovered: usize,
    now: Timestamp,
) -> Result<Prepared, CycleError> {
    let snapshot = nothing_read(profile);
    let scope = Scope::resolve(&snapshot, &known, profile.nested);
    let (desire, mut observed) = (Desire::default(), Observed::default());
    let make = |observed: &Observed| {
        let inputs = Inputs {
            profile: profile.name,
            scope: &scope,
            desired: &desire.desired,
            kept: &desire.kept,
            known: &known,
            observed,
            full: false,
            fates: &Default::default(),
            target: parts.target.capabilities(),
            sweep: Some(sweep),
            managed: &Default::default(),
            policy: profile.policy,
            now,
        };
        plan(&inputs, &[])
    };
    let mut plan = make(&observed);
    if observe::look_at_the_disabled(parts.target.as_ref(), &plan, &mut observed).await? {
        plan = make(&observed);
    }
    let distrust = distrust(parts, state, &known, &plan, None, now).await?;
    let given = Given { approvals: &known.approvals, renames: known.rename_support, distrust };
    let mut approved = guard(plan, profile.policy, &given);
    if let Some(only) = &profile.only {
        approved = only.of(approved);
    }
    let approved = assignments::annotated(profile, parts.target.as_ref(), &known, approved).await;
    debug!(plan = %approved.plan().id, steps = approved.plan().steps.len(), "planned without a read");
    let mut record = Record::default();
    record.clock = distrust.is_none().then_some(now);
    let mut all = approved.plan().findings.clone();
    all.extend(findings::of_time(profile, &known, &approved, distrust, now));
    Ok(Prepared {
        by_changes: None,
        approved,
        findings: all,
        recovered,
        requests: 0,
        cut_short: None,
        unreadable: None,
        full: false,
        times: Times::default(),
        trusted: distrust.is_none(),
        now,
        since: known.last_cycle,
        unseen: Default::default(),
        read: Some(ReadIds::of(&snapshot)),
        record,
        links: Links::new(known.links),
        rest: None,
        rested: false,
        of_part: false,
        part: None,
    })
}

/// The scope as it is seen by someone who has looked at nothing: nobody is in it for certain, and nobody out of it.
fn nothing_read(profile: &Profile<'_>) -> Snapshot {
    let unread = || Shortfall {
        kind: ShortfallKind::ConnectionLost,
        what: "the directory".to_owned(),
        detail: "not read".to_owned(),
    };
    let entries = profile.wanted.entries.iter();
    Snapshot {
        source: SourceInfo {
            kind: DirectoryKind::ActiveDirectory,
            server: String::new(),
            binding: String::new(),
            domain: String::new(),
            current_time: None,
            clock_ahead: None,
            requests: 0,
            received: 0,
        },
        entries: entries
            .map(|e| EntryRead { entry: e.clone(), outcome: EntryOutcome::Unread(unread()) })
            .collect(),
        users: Vec::new(),
        groups: Vec::new(),
        findings: Vec::new(),
        next_expiry: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        format!("2026-{text}Z").parse().unwrap()
    }

    fn pause(warned: Option<&str>) -> Pause {
        let (reason, by) = (None, None);
        Pause { at: at("03-01T00:00:00"), reason, by, until: None, warned: warned.map(at) }
    }

    fn due(warned: Option<&str>, now: &str) -> PauseDue {
        pause_due(&pause(warned), SignedDuration::from_hours(28 * 24), at(now))
    }

    #[test]
    fn a_pause_is_warned_of_a_day_before_it_disables_anybody() {
        assert!(matches!(due(None, "03-27T23:59:59"), PauseDue::Nothing));
        let expected = at("03-29T00:00:00");
        assert!(matches!(due(None, "03-28T00:00:00"), PauseDue::Warn { at } if at == expected));
        let warned = Some("03-28T00:00:00");
        assert!(matches!(due(warned, "03-29T00:00:00"), PauseDue::Warn { at } if at == expected));
        assert!(
            matches!(due(warned, "03-29T00:00:01"), PauseDue::Sweep(s) if s.cause == DisableCause::Paused)
        );
    }

    #[test]
    fn whoever_was_not_warned_is_not_swept_however_long_the_pause() {
        let noticed = at("06-02T00:00:00");
        assert!(matches!(due(None, "06-01T00:00:00"), PauseDue::Warn { at } if at == noticed));
        let warned = Some("06-01T00:00:00");
        assert!(matches!(due(warned, "06-01T12:00:00"), PauseDue::Warn { at } if at == noticed));
        assert!(matches!(due(warned, "06-02T00:00:00"), PauseDue::Sweep(_)));
    }
}
