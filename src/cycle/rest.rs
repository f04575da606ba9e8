//! A short cut. A cycle that found nothing to do leaves behind what that rested on; as long as all of it holds, and no
//! moment has come from which time alone would make another plan, the next cycle would find nothing to do either, and
//! does not look at everything again. Any doubt is no rest.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::time::Duration;

use async_trait::async_trait;
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use tokio::time::Instant;
use tracing::debug;

use super::findings::TOKEN_NOTICE;
use super::part::{self, Begun};
use super::record::Record;
use super::{CycleError, CycleReport, Parts, Prepared, Profile, Times, chain};
use crate::apply::Links;
use crate::directory::{Kept, Quiet, Since};
use crate::ids::{Anchor, CycleId, LinkNo};
use crate::model::{
    ChangeCookie, Code, Entries, Fate, FateRequest, Kind, Known, Mark, Mirror, ReadRequest, RenameSupport,
    Snapshot, Unreadable,
};
use crate::plan::{ApprovedPlan, Base, Given, distrust, guard, next_moment, nothing};
use crate::state::{CycleWord, Reader, State, StateError, Which};

/// So long at the most: whatever was forgotten here is found then.
const LONGEST: SignedDuration = SignedDuration::from_hours(24);
/// More objects are not asked for one by one, again and again.
const MOST_OUTSIDE: usize = 5_000;
/// More entries are read with all others.
const MOST_SINGLE: usize = 500;
/// The running cycle, and the one before.
const LAST_TWO: u32 = 2;

/// What there being nothing to do rests on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rest {
    /// Of the program, the config and the target: what a plan is made by.
    basis: String,
    pub mark: Mark,
    at: Timestamp,
    until: Timestamp,
    /// Linked objects that the read did not bring, and what became of them, as a digest.
    pub outside: Vec<(Anchor, Kind)>,
    fates: String,
    pub base: Base,
}

/// The cycle that has found so last. Every other cycle since ends the rest, those by hand among them.
#[derive(Serialize, Deserialize)]
struct Noted {
    cycle: CycleId,
    rest: Rest,
}

/// What a cycle has looked at, when it is about to say that there is nothing to do.
pub struct Found<'a> {
    pub snapshot: &'a Snapshot,
    pub known: &'a Known,
    pub fates: &'a BTreeMap<Anchor, (Kind, Fate)>,
    pub approved: &'a ApprovedPlan,
    /// What was to be looked up in the target: some of it is asked for in each cycle until it is otherwise there.
    /// Nothing had to be looked up in the target.
    pub unasked: bool,
    pub record: &'a Record,
    /// The target was read back.
    pub full: bool,
}

/// What became of linked objects that the read did not bring.
pub fn fates_by_anchor(of: &BTreeMap<LinkNo, Fate>, known: &Known) -> BTreeMap<Anchor, (Kind, Fate)> {
    of.iter()
        .filter_map(|(no, fate)| known.links.get(no).map(|link| (link.anchor, (link.kind, fate.clone()))))
        .collect()
}

/// What the next cycle may rest on; `None`: it has to look for itself. The caller vouches for complete reads and a clock
/// that is right.
pub fn of(profile: &Profile<'_>, parts: &Parts<'_>, seen: &Found<'_>, now: Timestamp) -> Option<Rest> {
    let Found { snapshot, known, fates, approved, unasked, record, full } = *seen;
    let every = profile.full_read_every.filter(|_| profile.notes.is_empty() && record.is_complete())?;
    let plan = approved.plan();
    let is_idle = plan.steps.is_empty()
        && plan.withheld.is_empty()
        && plan.confirmed.is_empty()
        && plan.found_again.is_empty()
        && plan.vanished.is_empty()
        && unasked
        && record.is_still();
    // Without a word in the log they may be readable tomorrow.
    let hidden = |why: Unreadable| matches!(why, Unreadable::NotReturned | Unreadable::Referred);
    let is_seen = !snapshot.groups.iter().flat_map(|g| &g.members.unreadable).any(|m| hidden(m.why))
        && fates.len() <= MOST_OUTSIDE
        && !fates.values().any(|(_, fate)| matches!(fate, Fate::Unread(_)));
    let waits_for_time = known.links.values().any(|link| {
        let absent = link.absent_since.is_some() && profile.policy.lifecycle.delete_on_absence.is_some();
        link.retry.is_some() || !link.doubtful.is_empty() || absent
    });
    if !is_idle || !is_seen || waits_for_time || profile.elapsed(known, now).is_broken() {
        return None;
    }
    let mark = record.mirror.as_ref()?.mark()?.clone();
    // What another server is the first to miss waits for a second cycle.
    if known.last_server.as_ref() != Some(&mark.server) {
        return None;
    }
    let last_full = if full { now } else { record.full.or(known.last_full)? };
    let token = parts.target.token_expires().and_then(|at| at.checked_sub(TOKEN_NOTICE).ok());
    let until = [
        after(mark.full, every),
        after(last_full, profile.drift_check),
        now.checked_add(LONGEST).ok(),
        next_moment(known.links.values(), &profile.policy.lifecycle, now),
        snapshot.next_expiry,
        token.filter(|at| *at > now),
    ]
    .into_iter()
    .flatten()
    .min()?;
    Some(Rest {
        basis: basis(profile, parts),
        mark,
        at: now,
        until,
        outside: fates.iter().map(|(anchor, (kind, _))| (*anchor, *kind)).collect(),
        fates: digest(fates.iter().map(|(anchor, (_, fate))| (anchor, fate))),
        base: plan.base,
    })
}

fn after(begun: Timestamp, time: Duration) -> Option<Timestamp> {
    begun.checked_add(SignedDuration::try_from(time).ok()?).ok()
}

/// Of all that a plan is made by, beside what is read and known.
fn basis(profile: &Profile<'_>, parts: &Parts<'_>) -> String {
    let Profile { name, wanted, mapping, policy, nested, drift_check, full_read_every, .. } = profile;
    let mut hasher = Writer(Sha256::new());
    // Writing into a digest cannot fail.
    let _ = write!(
        hasher,
        "{} {name} {wanted:?} {mapping:?} {policy:?} {nested:?} {drift_check:?} {full_read_every:?} {:?} {} {:?}",
        env!("CARGO_PKG_VERSION"),
        parts.target.capabilities(),
        parts.identity_store,
        parts.target.token_expires(),
    );
    hasher.end()
}

fn digest<'a>(fates: impl Iterator<Item = (&'a Anchor, &'a Fate)>) -> String {
    let mut hasher = Writer(Sha256::new());
    for (anchor, fate) in fates {
        let _ = writeln!(hasher, "{anchor} {fate:?}");
    }
    hasher.end()
}

struct Writer(Sha256);

impl std::fmt::Write for Writer {
    fn write_str(&mut self, text: &str) -> std::fmt::Result {
        self.0.update(text);
        Ok(())
    }
}

impl Writer {
    fn end(self) -> String {
        self.0.finalize().iter().fold(String::new(), |mut text, byte| {
            let _ = write!(text, "{byte:02x}");
            text
        })
    }
}

/// Notes what the next cycle may rest on, now that this one has ended; whether it may.
pub async fn note(
    state: &State,
    cycle: CycleId,
    rest: Rest,
    report: &CycleReport,
) -> Result<bool, StateError> {
    let changes = &report.changes;
    let settled = matches!(report.outcome.word(), CycleWord::Nothing | CycleWord::Done)
        && !report.again
        && report.recovered == 0
        // What a part shows has been held against what it shows once that is carried out.
        && (report.of_part || changes.appeared.is_empty() && changes.gone.is_empty())
        // How long it stands makes another outcome of it.
        && !changes.standing.iter().any(|(finding, _)| finding.code == Code::RemovalWithheld);
    if !settled {
        return Ok(false);
    }
    match serde_json::to_string(&Noted { cycle, rest }) {
        Ok(text) => state.set_rest(&text).await.map(|()| true),
        Err(error) => {
            debug!("what the next cycle could rest on is not noted: {error}");
            Ok(false)
        }
    }
}

/// A cycle that rests on the one before; `None` where it has to look for itself.
pub async fn prepare(
    profile: &Profile<'_>,
    parts: &Parts<'_>,
    state: &Reader,
    now: Timestamp,
) -> Result<Option<Prepared>, CycleError> {
    let by_itself = profile.full || profile.rebind || profile.only.is_some() || !profile.notes.is_empty();
    if !profile.rests || by_itself || profile.full_read_every.is_none() {
        return Ok(None);
    }
    let begun = Instant::now();
    let Some(Noted { cycle, rest }) = state.rest().await?.and_then(|text| serde_json::from_str(&text).ok())
    else {
        return Ok(None);
    };
    let known = state.load_profile().await?;
    if !rest.holds(profile, parts, &known, now) || !is_last(state, cycle).await? {
        return Ok(None);
    }
    let request = ReadRequest { wanted: profile.wanted.clone(), pins: BTreeMap::new(), now, server: None };
    if state.mirror_mark().await?.as_ref() != Some(&rest.mark) || !parts.directory.fits(&request, &rest.mark)
    {
        return Ok(None);
    }
    let kept = KeptInState::of(state, &rest.mark);
    let since = parts.directory.since(&profile.wanted, &rest.mark, &kept).await;
    let quiet = match &since {
        Since::Nothing(quiet) => quiet,
        Since::Plain(plain) => &plain.quiet,
        Since::Unclear => {
            debug!("what has changed is not plain: everything is looked at");
            return Ok(None);
        }
    };
    let bound = known
        .binding
        .as_ref()
        .is_some_and(|b| b.directory == quiet.binding && b.identity_store == parts.identity_store);
    let database = if quiet.clock_ahead.is_none() { state.clock_ahead().await? } else { None };
    let others = [("directory", quiet.clock_ahead), ("state database", database)];
    if !bound || distrust(now, known.last_cycle, &others).is_some() {
        return Ok(None);
    }
    let Some(outside) = rest.outside_is_as_it_was(profile, parts, state, &known, now).await? else {
        return Ok(None);
    };
    let Outside { of: outside, requests: asked, cookie } = outside;
    let requests = quiet.requests + asked;
    let Quiet { position, changed, .. } = match since {
        Since::Nothing(quiet) => quiet,
        Since::Plain(plain) => {
            let begun = Begun { rest, requests, cookie, outside, now, at: begun };
            return part::prepare(profile, parts, state, begun, &plain).await;
        }
        Since::Unclear => return Ok(None),
    };
    let given = Given { approvals: &BTreeSet::new(), renames: RenameSupport::default(), distrust: None };
    let approved = guard(nothing(profile.name, rest.base), profile.policy, &given);
    let findings = state.standing_findings().await?.into_iter().map(|(finding, _)| finding).collect();
    let moved = (position != rest.mark.position).then(|| Mark { position, ..rest.mark.clone() });
    let record = Record::of_rest(&rest.mark.server, now, cookie, moved.clone());
    debug!(cycle = cycle.0, until = %rest.until, changed, "nothing has changed since: at rest");
    let mark = moved.unwrap_or_else(|| rest.mark.clone());
    Ok(Some(Prepared {
        approved,
        findings,
        recovered: 0,
        requests,
        cut_short: None,
        unreadable: None,
        full: false,
        by_changes: Some(changed),
        times: Times { read: begun.elapsed(), ..Times::default() },
        trusted: true,
        now,
        since: known.last_cycle,
        unseen: BTreeSet::new(),
        read: None,
        record,
        links: Links::new(BTreeMap::new()),
        rest: Some({
            let base = rest.base;
            rest.moved(mark, now, base)
        }),
        rested: true,
        of_part: false,
        part: None,
    }))
}

/// No other cycle was there since, and none was begun and not ended.
async fn is_last(state: &Reader, cycle: CycleId) -> Result<bool, StateError> {
    let last = state.cycles(LAST_TWO).await?;
    // The first is the one that runs now.
    Ok(last.get(1).is_some_and(|before| before.id == cycle && before.outcome.is_some()))
}

impl Rest {
    /// The same at a later moment.
    pub fn moved(self, mark: Mark, at: Timestamp, base: Base) -> Self {
        Self { mark, at, base, ..self }
    }

    /// Where more objects are outside than before, or others.
    pub fn with_outside(self, kinds: BTreeMap<Anchor, Kind>, fates: &BTreeMap<Anchor, Fate>) -> Self {
        Self { outside: kinds.into_iter().collect(), fates: digest(fates.iter()), ..self }
    }

    pub fn no_longer_than(self, other: &Self) -> Self {
        Self { until: self.until.min(other.until), ..self }
    }

    fn holds(&self, profile: &Profile<'_>, parts: &Parts<'_>, known: &Known, now: Timestamp) -> bool {
        let from = known.last_cycle.map_or(self.at, |last| last.max(self.at));
        (from..self.until).contains(&now) && self.basis == basis(profile, parts)
    }

    async fn outside_is_as_it_was(
        &self,
        profile: &Profile<'_>,
        parts: &Parts<'_>,
        state: &Reader,
        known: &Known,
        now: Timestamp,
    ) -> Result<Option<Outside>, StateError> {
        // A change log is followed without a break.
        if self.outside.is_empty() && known.cookie.is_none() {
            return Ok(Some(Outside::default()));
        }
        let trusted = profile.policy.lifecycle.trust_change_log;
        let request = FateRequest {
            server: self.mark.server.clone(),
            objects: self.outside.iter().copied().collect(),
            now,
            cookie: known.cookie.clone().filter(|_| trusted),
        };
        let fates = match parts.directory.fates(&request).await {
            Ok(fates) => fates,
            Err(error) => {
                debug!("what became of those outside could not be asked: {}", chain(&error));
                return Ok(None);
            }
        };
        // Deleted just now, after the log was asked what has changed: it says so once.
        let reported = fates.reported.iter().filter(|anchor| !fates.of.contains_key(anchor));
        let lost = state.links_of(Which::Anchors(&reported.copied().collect())).await?;
        let is_heard = lost.iter().all(|link| link.target_id.is_none());
        let is_same = digest(fates.of.iter()) == self.fates && is_heard;
        let cookie = fates.cookie.filter(|_| trusted);
        Ok(is_same.then_some(Outside { of: fates.of, requests: fates.requests, cookie }))
    }
}

/// What became of linked objects that the read did not bring, which is what it was before.
#[derive(Default)]
struct Outside {
    of: BTreeMap<Anchor, Fate>,
    requests: u64,
    /// How far the change log has been read.
    cookie: Option<ChangeCookie>,
}

/// The mirror with this mark, where the state still has it.
pub struct KeptInState<'a> {
    pub(super) state: &'a Reader,
    pub(super) mark: &'a Mark,
    /// More entries are not asked for one by one.
    pub(super) most: usize,
}

impl<'a> KeptInState<'a> {
    pub fn of(state: &'a Reader, mark: &'a Mark) -> Self {
        Self { state, mark, most: MOST_SINGLE }
    }
}

#[async_trait]
impl Kept for KeptInState<'_> {
    async fn mirror(&self) -> Option<Mirror> {
        self.state.mirror(self.mark).await.ok().flatten()
    }

    async fn entries(&self, anchors: &BTreeSet<Anchor>) -> Option<Entries> {
        if anchors.len() > self.most {
            return None;
        }
        self.state.mirror_entries(self.mark, anchors).await.ok().flatten()
    }

    async fn answers(&self) -> Option<BTreeMap<String, BTreeSet<Anchor>>> {
        self.state.mirror_answers(self.mark).await.ok().flatten()
    }
}
