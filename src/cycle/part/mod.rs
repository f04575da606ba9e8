//! A cycle that looks at what a change touches, and at nothing else.
//!
//! The cycle before has found nothing to do ([`super::rest`]). What the server reports since is plain: people and groups
//! that are held, under the names by which they are held. Then the plan concerns the people of whom something has changed,
//! those who joined or left a group, and the groups above them; it is made of these alone, by the same rules, as though
//! nothing else existed. Whatever might reach further is left to a cycle that looks at everything: a name that somebody
//! else may want, a group that joined another, a member that cannot be read. And the part is held against what is known of
//! it, before the changes and after they have been carried out.

mod choose;
mod moment;

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use roaring::RoaringBitmap;
use tokio::time::Instant;
use tracing::debug;

use self::choose::{Chosen, choose};
use self::moment::Moment;
use super::fates::{self, Asked};
use super::prepare::{Considered, read_as, work_out};
use super::read::DirectoryRead;
use super::rest::{self, Rest};
use super::{CycleError, Parts, Prepared, Profile};
use crate::apply::Links;
use crate::directory::{PartRead, Plain};
use crate::ids::{Anchor, LinkNo};
use crate::model::{ChangeCookie, Code, Fate, Finding, Kind, Known, Link, Mark, ReadRequest, Snapshot};
use crate::plan::{Base, Plan};
use crate::scope::Scope;
use crate::state::{Reader, RecordedGroup};

/// More objects are as much as everything.
const MOST: usize = 5_000;

/// What a part is of, and what it was taken out of.
pub struct Part {
    numbers: RoaringBitmap,
    /// Of groups: who is in them and is not looked at.
    others: BTreeMap<LinkNo, Others>,
    /// As it was found, of these objects alone.
    known: Known,
    now: Snapshot,
    mark: Mark,
    before: Rest,
    /// What limits are held against, of these objects alone.
    base: Base,
    /// Those of them whom the read did not bring any more, and what became of those who are linked.
    gone: RoaringBitmap,
    fates: BTreeMap<LinkNo, Fate>,
    /// And of those whom the read before had not brought.
    outside: BTreeMap<Anchor, Fate>,
}

/// Numbers of a link's bitmaps.
#[derive(Default)]
struct Others {
    direct: RoaringBitmap,
    primary: RoaringBitmap,
    applied: RoaringBitmap,
}

/// What the rest that is left tells of the moment.
pub struct Begun {
    pub rest: Rest,
    /// Requests to the directory so far.
    pub requests: u64,
    pub cookie: Option<ChangeCookie>,
    /// What became of linked objects that the last read did not bring: the same as then.
    pub outside: BTreeMap<Anchor, Fate>,
    pub now: Timestamp,
    pub at: Instant,
}

/// Plans what follows from these changes. `None`: everything has to be looked at.
pub async fn prepare(
    profile: &Profile<'_>,
    parts: &Parts<'_>,
    state: &Reader,
    begun: Begun,
    plain: &Plain,
) -> Result<Option<Prepared>, CycleError> {
    let Begun { rest, mut requests, cookie, outside, now, at } = begun;
    let chosen = match choose(state, &profile.wanted, &rest, plain, now).await? {
        Ok(chosen) => chosen,
        Err(why) => return Ok(everything(why)),
    };
    let Chosen { mut known, groups, entries, moves } = chosen;
    let request = ReadRequest { wanted: profile.wanted.clone(), pins: known.pins.clone(), now, server: None };
    let Some(read) = parts.directory.read_part(&request, &rest.mark, plain, entries).await else {
        return Ok(everything("it could not be read by itself"));
    };
    let PartRead { mut before, now: mut after, mirror } = read;
    read_as(profile, &mut before);
    read_as(profile, &mut after);
    let Some(mark) = mirror.mark().cloned() else { return Ok(None) };
    let numbers: RoaringBitmap = known.links.keys().map(|no| no.0).collect();
    let others = take_others(&mut known, &numbers, &groups);

    let standing: BTreeSet<Finding> =
        state.standing_findings().await?.into_iter().map(|(finding, _)| finding).collect();
    let moment = Moment { profile, parts, now };
    let Some(was) = moment.at_rest(&before, &known, &rest.mark, &RoaringBitmap::new(), &BTreeMap::new())
    else {
        return Ok(everything("by itself it is not at rest"));
    };
    let gone = moment.gone(&was, &after, &known, &moves);
    let Some(gone) = gone.filter(|_| was.findings.iter().all(|finding| standing.contains(finding))) else {
        return Ok(everything("names, groups or members that were not reported are others now"));
    };
    // Who leaves the scope gives up a name.
    if !gone.is_empty() && standing.iter().any(is_of_names) {
        return Ok(everything("somebody else may want the name of one who left"));
    }
    let ids = ids(&known);
    let about = |finding: &&Finding| is_about(finding, &ids);
    if !standing.iter().filter(about).all(|finding| was.findings.contains(finding)) {
        return Ok(everything("something else was found of it before"));
    }
    let mut of_gone = Asked::default();
    if !gone.is_empty() {
        let scope = Scope::resolve(&after, &known, profile.nested);
        let trust = profile.policy.lifecycle.trust_change_log;
        of_gone = fates::ask(parts.directory, trust, &after, &scope, &known, now).await;
        requests += of_gone.requests;
    }
    if of_gone.cut_short.is_some() || outside.len() + of_gone.of.len() > MOST {
        return Ok(everything("what became of those who left could not be asked"));
    }
    debug!(objects = known.links.len(), "only what a change touches is looked at");
    let part = Part {
        numbers,
        others,
        known: known.clone(),
        now: after.clone(),
        mark,
        before: rest,
        base: was.rest.base,
        gone,
        fates: of_gone.of.clone(),
        outside,
    };
    let considered = Considered {
        now,
        begun: at,
        known,
        taken: DirectoryRead { snapshot: after, by_changes: Some(plain.quiet.changed), mirror: Some(mirror) },
        rebound: false,
        recovered: 0,
        // Of two looks at a change log, the next one goes on from the first.
        asked: Some(Asked { of: of_gone.of, cookie, requests, cut_short: None }),
        part: Some(part),
    };
    let mut prepared = Box::pin(work_out(profile, parts, state, considered, &mut |_| {})).await?;
    let stay = standing.into_iter().filter(|finding| {
        let by_a_look = finding.code == Code::DisabledByOthers && ids.contains(&finding.subject.id);
        !was.findings.contains(finding) && !by_a_look
    });
    let all: BTreeSet<Finding> = stay.chain(std::mem::take(&mut prepared.findings)).collect();
    prepared.findings = all.into_iter().collect();
    Ok(Some(prepared))
}

/// Somebody waits for a name.
fn is_of_names(finding: &Finding) -> bool {
    matches!(finding.code, Code::UserNameClaimed | Code::EmailClaimed | Code::GroupNameClaimed)
}

/// By what findings name objects.
fn ids(known: &Known) -> BTreeSet<String> {
    let id = |link: &Link| link.sid.as_ref().map_or_else(|| link.anchor.to_string(), ToString::to_string);
    known.links.values().map(id).collect()
}

/// What only a look at the target shows stands until one ends it, and says nothing of what was planned.
fn is_about(finding: &Finding, ids: &BTreeSet<String>) -> bool {
    finding.code != Code::DisabledByOthers && ids.contains(&finding.subject.id)
}

fn everything(why: &str) -> Option<Prepared> {
    debug!(why, "what a change touches cannot be looked at alone");
    None
}

impl Part {
    /// Sizes, and what limits are held against, are those of everything.
    pub fn amend(&self, plan: &mut Plan) {
        plan.base = self.before.base;
        for (no, object) in &mut plan.objects {
            object.members += self.others.get(no).map_or(0, |others| others.applied.len());
        }
    }

    /// With those who are not looked at.
    pub fn complete(&self, link: &mut Link) {
        if let Some(others) = self.others.get(&link.no) {
            link.direct |= &others.direct;
            link.primary |= &others.primary;
            link.applied |= &others.applied;
        }
    }

    /// What the next cycle may rest on, now that the plan has been carried out and `found` is recorded: nothing is left to
    /// do for these objects, and for the others nothing has changed.
    pub fn rest(
        self,
        profile: &Profile<'_>,
        parts: &Parts<'_>,
        links: &Links,
        found: &[Finding],
        now: Timestamp,
    ) -> Option<Rest> {
        let Self { numbers, mut known, now: snapshot, mark, before, base, gone, fates, outside, .. } = self;
        let was = std::mem::take(&mut known.links);
        known.links = numbers
            .iter()
            .filter_map(|no| links.get(LinkNo(no)))
            .map(|link| (link.no, link.clone()))
            .collect();
        restrict(&mut known, &numbers);
        (known.last_complete_read, known.last_read, known.last_cycle) = (Some(now), Some(now), Some(now));
        let is = Moment { profile, parts, now }.at_rest(&snapshot, &known, &mark, &gone, &fates)?;
        let ids = ids(&known);
        let about: BTreeSet<&Finding> = found.iter().filter(|finding| is_about(finding, &ids)).collect();
        // What is said of an apply is said once.
        let same = about.iter().all(|finding| is.findings.contains(*finding))
            && is.findings.iter().all(|finding| found.contains(finding));
        let names = |link: &Link| (link.target_id.clone(), link.name.clone(), link.email.clone());
        let gave_up = known.links.values().any(|link| was.get(&link.no).map(names) != Some(names(link)));
        if !same || gave_up && found.iter().any(is_of_names) {
            return None;
        }
        let moved = |whole: u64, from: u64, to: u64| (whole + to).checked_sub(from);
        let base = Base {
            linked_users: moved(before.base.linked_users, base.linked_users, is.rest.base.linked_users)?,
            active_users: moved(before.base.active_users, base.active_users, is.rest.base.active_users)?,
            linked_groups: moved(before.base.linked_groups, base.linked_groups, is.rest.base.linked_groups)?,
        };
        let left = rest::fates_by_anchor(&fates, &known);
        let kinds = left.iter().map(|(anchor, (kind, _))| (*anchor, *kind));
        let kinds: BTreeMap<Anchor, Kind> = before.outside.iter().copied().chain(kinds).collect();
        let all = outside.into_iter().chain(left.into_iter().map(|(anchor, (_, fate))| (anchor, fate)));
        Some(before.no_longer_than(&is.rest).moved(mark, now, base).with_outside(kinds, &all.collect()))
    }
}

fn restrict(known: &mut Known, to: &RoaringBitmap) {
    for link in known.links.values_mut() {
        link.direct &= to;
        link.primary &= to;
        link.applied &= to;
    }
}

/// Takes out of the links whoever is not among these.
fn take_others(
    known: &mut Known,
    numbers: &RoaringBitmap,
    groups: &BTreeMap<LinkNo, RecordedGroup>,
) -> BTreeMap<LinkNo, Others> {
    let of_groups = known.links.values().filter(|link| groups.contains_key(&link.no));
    let others = of_groups.map(|link| {
        let others = Others {
            direct: &link.direct - numbers,
            primary: &link.primary - numbers,
            applied: &link.applied - numbers,
        };
        (link.no, others)
    });
    let others = others.collect();
    restrict(known, numbers);
    others
}
