//! A cycle that looks at what a change touches, and at nothing else.
//!
//! The cycle before has found nothing to do ([`super::rest`]). What the server reports since is plain: people and groups
//! that are held, under the names by which they are held. Then the plan concerns the people of whom something has changed,
//! those who joined or left a group, and the groups above them; it is made of these alone, by the same rules, as though
//! nothing else existed. Whatever might reach further is left to a cycle that looks at everything: a name that somebody
//! else may want, a group that joined another, a member that cannot be read. And the part is held against what is known of
//! it, before the changes and after they have been carried out.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet, VecDeque};

use jiff::Timestamp;
use roaring::RoaringBitmap;
use tokio::time::Instant;
use tracing::debug;

use super::confirm::Doubtful;
use super::fates::{self, Asked};
use super::prepare::{Considered, read_as, work_out};
use super::read::DirectoryRead;
use super::record::{Record, Seen, Suspects};
use super::rest::{self, Found, KeptInState, Rest};
use super::{CycleError, Parts, Prepared, Profile, findings};
use crate::apply::Links;
use crate::directory::{Kept as _, PartRead, Plain};
use crate::ids::{Anchor, Dn, LinkNo};
use crate::model::{
    ChangeCookie, Code, Entries, Fate, Finding, Kind, Known, Link, Mark, MirrorChange, Observed, ReadRequest,
    Snapshot, UserAttribute, Wanted, Wants,
};
use crate::plan::{Base, Desire, Given, Inputs, Plan, desire, guard, plan, wants};
use crate::scope::Scope;
use crate::state::{Reader, RecordedGroup, StateError, Which};

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

/// What a part consists of.
struct Chosen {
    /// With the links of the part alone.
    known: Known,
    groups: BTreeMap<LinkNo, RecordedGroup>,
    entries: Entries,
    moves: Moves,
}

/// Who joined and left a group, by number.
#[derive(Default)]
struct Moves {
    joined: BTreeMap<LinkNo, RoaringBitmap>,
    left: BTreeMap<LinkNo, RoaringBitmap>,
}

/// `Err`: why it has to be everything.
async fn choose(
    state: &Reader,
    wanted: &Wanted,
    rest: &Rest,
    plain: &Plain,
    now: Timestamp,
) -> Result<Result<Chosen, &'static str>, StateError> {
    let mut known = state.load_without_objects(now).await?;
    if !known.approvals.is_empty() || !state.unfinished().await?.is_empty() {
        return Ok(Err("something was approved, or is unfinished"));
    }
    let groups: BTreeMap<LinkNo, RecordedGroup> =
        state.recorded_groups().await?.into_iter().map(|group| (group.no, group)).collect();
    let entries = wanted.entries.iter().map(|entry| (entry.kind, entry.name.clone()));
    let pinned = entries.filter_map(|entry| known.pins.get(&entry)).map(|pin| pin.anchor).collect();
    let people = match People::of(state, &pinned, rest, plain, &groups).await? {
        Ok(people) => people,
        Err(why) => return Ok(Err(why)),
    };
    let People { links: mut found, moves, seeds } = people;
    let people: RoaringBitmap = found.keys().map(|no| no.0).collect();
    let above = above(&groups, &people, seeds);
    if found.len() + above.len() > MOST {
        return Ok(Err("it is nearly everything"));
    }
    let anchors: BTreeSet<Anchor> =
        found.values().map(|link| link.anchor).chain(above.iter().map(|no| groups[no].anchor)).collect();
    let kept = KeptInState { state, mark: &rest.mark, most: MOST };
    let Some(entries) = kept.entries(&anchors).await else {
        return Ok(Err("what was kept of the last read is gone"));
    };
    if !found.values().all(|link| entries.contains_key(&link.anchor)) {
        return Ok(Err("somebody was not read last"));
    }
    // Recorded once, and out of reach by now: as though they were not.
    let above: BTreeSet<LinkNo> =
        above.into_iter().filter(|no| entries.contains_key(&groups[no].anchor)).collect();
    if above.iter().any(|no| groups[no].uncertain || !groups[no].unreadable.is_empty()) {
        return Ok(Err("a group has members that could not be read"));
    }
    let of_groups = state.links_of(Which::Numbers(&above)).await?;
    found.extend(of_groups.into_iter().map(|link| (link.no, link)));
    let is_outside = |anchor: &Anchor| rest.outside.iter().any(|(outside, _)| outside == anchor);
    if found.values().any(|link| is_outside(&link.anchor)) {
        return Ok(Err("somebody was out of the scope"));
    }
    // A group that is frozen, say: whoever is disabled loses it too.
    let is_apart =
        |group: &&RecordedGroup| !found.contains_key(&group.no) && !group.applied.is_disjoint(&people);
    if groups.values().any(|group| is_apart(&group)) {
        return Ok(Err("somebody is a member of a group in the target that is not above them"));
    }
    known.links = found;
    Ok(Ok(Chosen { known, groups, entries, moves }))
}

/// The people whom a change concerns, and the groups from which it goes upwards.
struct People {
    links: BTreeMap<LinkNo, Link>,
    moves: Moves,
    seeds: BTreeSet<LinkNo>,
}

impl People {
    async fn of(
        state: &Reader,
        pinned: &BTreeSet<Anchor>,
        rest: &Rest,
        plain: &Plain,
        groups: &BTreeMap<LinkNo, RecordedGroup>,
    ) -> Result<Result<Self, &'static str>, StateError> {
        let by_anchor: HashMap<Anchor, LinkNo> = groups.values().map(|g| (g.anchor, g.no)).collect();
        let members = plain.groups.values();
        let named = members.flat_map(|m| m.joined.iter().chain(&m.left).chain(&m.staying)).cloned().collect();
        let mut by_name: HashMap<Dn, Option<Link>> = HashMap::new();
        for link in state.links_of(Which::Names(&named)).await? {
            let Ok(dn) = Dn::parse(&link.dn) else { continue };
            // Whose name was another's before cannot be told by it.
            by_name.entry(dn).and_modify(|twice| *twice = None).or_insert(Some(link));
        }
        let person = |name: &Dn| by_name.get(name).cloned().flatten().filter(|l| l.kind == Kind::User);

        let mut people = Self { links: BTreeMap::new(), moves: Moves::default(), seeds: BTreeSet::new() };
        people.seeds.extend(pinned.iter().filter_map(|anchor| by_anchor.get(anchor)));
        let single = pinned.iter().filter(|anchor| !by_anchor.contains_key(anchor)).copied().collect();
        let entries = state.links_of(Which::Anchors(&single)).await?;
        if entries.len() != single.len() {
            return Ok(Err("an entry of the scope is not on record"));
        }
        let changed = state.links_of(Which::Anchors(&plain.people)).await?;
        // Whoever was never met is out of reach, whatever is other about them.
        people.links.extend(entries.into_iter().chain(changed).map(|link| (link.no, link)));
        if people.links.values().any(|link| link.kind != Kind::User) {
            return Ok(Err("a person is on record as something else"));
        }
        for (anchor, membership) in &plain.groups {
            let Some(no) = by_anchor.get(anchor) else { continue };
            people.seeds.insert(*no);
            for (names, moved) in
                [(&membership.joined, &mut people.moves.joined), (&membership.left, &mut people.moves.left)]
            {
                for name in names {
                    let Some(link) = person(name) else {
                        return Ok(Err("a member who joined or left is not on record as a person"));
                    };
                    moved.entry(*no).or_default().insert(link.no.0);
                    people.links.insert(link.no, link);
                }
            }
            if membership.left.is_empty() {
                continue;
            }
            // Somebody who stays: a group that has lost all its members is not to be told from one that cannot be read.
            let Some(witness) = membership.staying.iter().find_map(person) else {
                return Ok(Err("of a group that somebody left, nobody is known to stay"));
            };
            people.links.insert(witness.no, witness);
        }
        if is_elsewhere(plain, rest, groups, &people, &by_anchor, state).await? {
            return Ok(Err("objects say that groups have other members than were reported"));
        }
        Ok(Ok(people))
    }
}

/// Whether what was reported of objects says that groups have other members than the log shows.
async fn is_elsewhere(
    plain: &Plain,
    rest: &Rest,
    groups: &BTreeMap<LinkNo, RecordedGroup>,
    people: &People,
    by_anchor: &HashMap<Anchor, LinkNo>,
    state: &Reader,
) -> Result<bool, StateError> {
    // Whose name a group has as that of a member, and who could not be read as one.
    let is_member = |name: &Dn| groups.values().any(|group| group.unreadable.contains(name.key()));
    if plain.strangers.iter().any(is_member) {
        return Ok(true);
    }
    let is_outside = |link: &Link| rest.outside.iter().any(|(anchor, _)| *anchor == link.anchor);
    if people.links.values().any(is_outside) {
        return Ok(true);
    }
    if plain.within.is_empty() {
        return Ok(false);
    }
    let by_name: HashMap<Dn, LinkNo> =
        groups.values().filter_map(|group| Some((Dn::parse(&group.dn).ok()?, group.no))).collect();
    let anchors: BTreeSet<Anchor> = plain.within.iter().filter_map(|(anchor, _)| *anchor).collect();
    let numbers: HashMap<Anchor, LinkNo> = state
        .links_of(Which::Anchors(&anchors))
        .await?
        .into_iter()
        .map(|link| (link.anchor, link.no))
        .chain(by_anchor.iter().map(|(anchor, no)| (*anchor, *no)))
        .collect();
    for (anchor, names) in &plain.within {
        let says: HashSet<LinkNo> = names.iter().filter_map(|name| by_name.get(name).copied()).collect();
        let Some(no) = anchor.and_then(|anchor| numbers.get(&anchor)) else {
            if says.is_empty() {
                continue;
            }
            return Ok(true);
        };
        let moved = |moves: &BTreeMap<LinkNo, RoaringBitmap>, group: &RecordedGroup| {
            moves.get(&group.no).is_some_and(|moved| moved.contains(no.0))
        };
        let is_in = |group: &&RecordedGroup| {
            let was = group.direct.contains(no.0) && !group.primary.contains(no.0);
            (was || moved(&people.moves.joined, group)) && !moved(&people.moves.left, group)
        };
        if groups.values().filter(is_in).map(|group| group.no).collect::<HashSet<_>>() != says {
            return Ok(true);
        }
    }
    Ok(false)
}

/// The groups that have any of these people in them, those of `seeds`, and all above.
fn above(
    groups: &BTreeMap<LinkNo, RecordedGroup>,
    people: &RoaringBitmap,
    seeds: BTreeSet<LinkNo>,
) -> BTreeSet<LinkNo> {
    let all: RoaringBitmap = groups.keys().map(|no| no.0).collect();
    let mut parents: HashMap<u32, Vec<LinkNo>> = HashMap::new();
    let mut above = seeds;
    for group in groups.values() {
        for child in &group.direct & &all {
            parents.entry(child).or_default().push(group.no);
        }
        if !group.direct.is_disjoint(people) {
            above.insert(group.no);
        }
    }
    let mut queue: VecDeque<LinkNo> = above.iter().copied().collect();
    while let Some(group) = queue.pop_front() {
        for parent in parents.get(&group.0).into_iter().flatten() {
            if above.insert(*parent) {
                queue.push_back(*parent);
            }
        }
    }
    above
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

/// By what a plan is made.
struct Moment<'a> {
    profile: &'a Profile<'a>,
    parts: &'a Parts<'a>,
    now: Timestamp,
}

/// Of objects for which there is nothing to do.
struct AtRest {
    rest: Rest,
    findings: BTreeSet<Finding>,
    claims: BTreeMap<LinkNo, Claims>,
}

/// Names that others may want; `None`: there is nobody who wants one.
type Claims = [Option<String>; 2];

impl Moment<'_> {
    /// `None`: there is something to do. `gone` are not read, and what became of them are the `fates`.
    fn at_rest(
        &self,
        snapshot: &Snapshot,
        known: &Known,
        mark: &Mark,
        gone: &RoaringBitmap,
        fates: &BTreeMap<LinkNo, Fate>,
    ) -> Option<AtRest> {
        let Self { profile, parts, now } = *self;
        let scope = Scope::resolve(snapshot, known, profile.nested);
        if unread(&scope, known)? != *gone {
            return None;
        }
        let capabilities = parts.target.capabilities();
        let desire = desire(&scope, profile.mapping, known, capabilities);
        let wants = wants(&desire, known, capabilities);
        let managed = profile.mapping.user_expressions().keys().copied().collect();
        let inputs = Inputs {
            profile: profile.name,
            scope: &scope,
            desired: &desire.desired,
            kept: &desire.kept,
            known,
            observed: &Observed::default(),
            full: false,
            fates,
            target: capabilities,
            sweep: None,
            managed: &managed,
            policy: profile.policy,
            now,
        };
        let plan = plan(&inputs, &snapshot.entries);
        let findings = findings::of_plan(snapshot, desire.findings.clone(), &plan).into_iter().collect();
        let given = Given { approvals: &BTreeSet::new(), renames: known.rename_support, distrust: None };
        let approved = guard(plan, profile.policy, &given);
        let suspects = Suspects::of(&scope, known, &approved);
        let seen = Seen {
            snapshot,
            scope: &scope,
            known,
            fates,
            doubtful: &Doubtful::new(),
            elapsed: profile.elapsed(known, now),
            trusted: true,
        };
        let mut record = Record::of(&seen, &approved, &suspects, parts.identity_store.clone(), now);
        record.mirror = Some(MirrorChange::only(mark.clone()));
        let found = Found {
            snapshot,
            known,
            fates: &rest::fates_by_anchor(fates, known),
            approved: &approved,
            wants: &wants,
            record: &record,
            full: false,
        };
        let rest = rest::of(profile, parts, &found, now)?;
        Some(AtRest { rest, findings, claims: claims(known, &desire) })
    }

    /// Whom the read does not bring any more, since they left a group. `None`: others than these want other names than before,
    /// a group is to be other than it is, or has other members than those whom it had, with these moves.
    fn gone(&self, was: &AtRest, after: &Snapshot, known: &Known, moves: &Moves) -> Option<RoaringBitmap> {
        let scope = Scope::resolve(after, known, self.profile.nested);
        let gone = unread(&scope, known)?;
        let left = moves.left.values().fold(RoaringBitmap::new(), |all, left| all | left);
        let same_members = known.links.values().filter(|link| link.kind == Kind::Group).all(|link| {
            let mut direct = link.direct.clone();
            direct |= moves.joined.get(&link.no).unwrap_or(&RoaringBitmap::new());
            direct -= moves.left.get(&link.no).unwrap_or(&RoaringBitmap::new());
            scope.record_of(link.no).is_some_and(|record| !record.suspect && record.direct == direct)
        });
        let capabilities = self.parts.target.capabilities();
        let desire = desire(&scope, self.profile.mapping, known, capabilities);
        let Wants { groups, group_names, group_external_ids, .. } = wants(&desire, known, capabilities);
        // Whoever looks at a group in the target sees all its members.
        let no_group = groups.is_empty() && group_names.is_empty() && group_external_ids.is_empty();
        let stay = was.claims.iter().filter(|(no, _)| !gone.contains(no.0));
        let same_claims = stay.eq(&claims(known, &desire));
        (gone.is_subset(&left) && same_members && no_group && same_claims).then_some(gone)
    }
}

/// Whom of the part the read did not bring; `None`: it has brought others.
fn unread(scope: &Scope<'_>, known: &Known) -> Option<RoaringBitmap> {
    let read: RoaringBitmap = scope.users().keys().chain(scope.groups().keys()).map(|no| no.0).collect();
    let all: RoaringBitmap = known.links.keys().map(|no| no.0).collect();
    read.is_subset(&all).then(|| all - read)
}

/// Who holds or wants which name: userNames and addresses, displayNames of groups.
fn claims(known: &Known, desire: &Desire) -> BTreeMap<LinkNo, Claims> {
    let folded = |name: Option<&String>| name.map(|name| name.to_lowercase());
    let users = desire.desired.users.iter().map(|(no, user)| {
        let value = |attribute| folded(user.attributes.get(&attribute));
        (*no, [value(UserAttribute::UserName), value(UserAttribute::Email)])
    });
    let groups = desire
        .desired
        .groups
        .iter()
        .map(|(no, group)| (*no, [folded(Some(&group.attributes.display_name)), None]));
    let kept = desire
        .kept
        .iter()
        .filter_map(|no| known.links.get(no))
        .map(|link| (link.no, [folded(link.name.as_ref()), folded(link.email.as_ref())]));
    kept.chain(users).chain(groups).collect()
}
