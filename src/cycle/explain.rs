//! Why one object is as it is: a dry run, with a look at what it had at hand.

use std::collections::{BTreeMap, BTreeSet};

use super::prepare::prepare_seen;
use super::{CycleError, NoJournal, Parts, Profile};
use crate::directory::DirectoryError;
use crate::explain::{self, Access, Asked, Explanation, Granted, Terrain, Verdict, Write, nearest};
use crate::ids::{Anchor, LinkNo, TargetId};
use crate::model::{AboveRequest, Below, Kind, Known, Link, Snapshot, StepResult, Wants};
use crate::plan::{groups_of, link_of};
use crate::state::{JournalEntry, Reader};
use crate::target::Target;

/// So many writes are told.
const WRITES: usize = 10;

/// So many are looked at for the last one that was done.
const LOOKED_AT: u32 = 100;

/// The answer about the object with this anchor; `look` is the directory's own answer for it, where it has one. Writes
/// nothing anywhere.
pub async fn explain(
    profile: &Profile<'_>,
    parts: &Parts<'_>,
    state: &Reader,
    known: &Known,
    (kind, anchor): (Kind, Anchor),
    look: Option<&Snapshot>,
) -> Result<Explanation, CycleError> {
    let asked = Asked::new(kind, anchor, look);
    let mut seen: Option<(Explanation, Terrain, String)> = None;
    let prepared = Box::pin(prepare_seen(profile, parts, state, &NoJournal, &mut |sight| {
        let (explanation, terrain) = explain::explain(sight, &asked);
        seen = Some((explanation, terrain, sight.snapshot.source.server.clone()));
    }))
    .await?;
    // Where nothing was read, there is nothing to explain by.
    let (mut explanation, terrain, server) = match (prepared.unreadable, seen) {
        (Some(error), _) => return Err(error.into()),
        (None, Some(seen)) => seen,
        (None, None) => return Err(DirectoryError::NoServer(Vec::new()).into()),
    };
    if let Some(id) = explanation.link.as_ref().and_then(|l| l.target_id.clone()) {
        let one = BTreeSet::<TargetId>::from([id]);
        let wants = match kind {
            Kind::User => Wants { users: one, ..Wants::default() },
            Kind::Group => Wants { groups: one, ..Wants::default() },
        };
        let observed = parts.target.observe(&wants).await.map_err(CycleError::Target)?;
        explain::hold_against(&mut explanation, &observed);
    }
    // Where a path leads to it, what it lacks is nothing that stands above.
    if matches!(explanation.scope.verdict, Verdict::OutOfScope | Verdict::Unsure)
        && explanation.scope.paths.is_empty()
    {
        place(profile, parts, &asked, &mut explanation, &terrain, server).await;
    }
    if let Some(link) = link_of(known, anchor) {
        let entries = state.writes_about(link.no, LOOKED_AT).await?;
        let done = |e: &JournalEntry| match &e.result {
            Some((StepResult::Done | StepResult::Found, at)) => Some(*at),
            _ => None,
        };
        if let Some(facts) = &mut explanation.link {
            facts.last_applied = entries.iter().find_map(done);
        }
        explanation.journal = entries.iter().take(WRITES).map(|entry| told(known, link.no, entry)).collect();
    }
    if profile.assignments {
        explanation.access = access(parts.target.as_ref(), known, link_of(known, anchor)).await;
    }
    Ok(explanation)
}

/// What the object may reach, by itself and by the groups that it is in. `None` where the target has no such object.
async fn access(target: &dyn Target, known: &Known, link: Option<&Link>) -> Option<Access> {
    let link = link?;
    let own = (link.target_id.clone()?, link.kind);
    let mut groups: Vec<(String, TargetId)> = match link.kind {
        Kind::User => groups_of(known, link.no)
            .filter_map(|group| {
                Some((group.name.clone().unwrap_or_else(|| group.dn.to_string()), group.target_id.clone()?))
            })
            .collect(),
        Kind::Group => Vec::new(),
    };
    groups.sort();
    let principals: BTreeMap<TargetId, Kind> =
        groups.iter().map(|(_, id)| (id.clone(), Kind::Group)).chain([own.clone()]).collect();
    let mut found = match target.assignments(&principals).await {
        Ok(found) => found,
        Err(error) => return Some(Access { unread: Some(error.to_string()), by: Vec::new() }),
    };
    let each = [(None, own.0)].into_iter().chain(groups.into_iter().map(|(name, id)| (Some(name), id)));
    let by = each
        .filter_map(|(group, id)| {
            let assignments = found.remove(&id).filter(|list| !list.is_empty())?;
            Some(Granted { group, assignments })
        })
        .collect();
    Some(Access { unread: None, by })
}

/// Which scope groups are near. That the directory cannot tell is told, and nothing more.
async fn place(
    profile: &Profile<'_>,
    parts: &Parts<'_>,
    asked: &Asked<'_>,
    explanation: &mut Explanation,
    terrain: &Terrain,
    server: String,
) {
    let object = match (asked.user, asked.group) {
        (Some(user), _) => {
            let rid = user.attributes.text("primarygroupid").and_then(|text| text.trim().parse().ok());
            let primary_group =
                rid.filter(|_| profile.wanted.primary_group).and_then(|rid| user.sid.as_ref()?.sibling(rid));
            Below { dn: user.dn.clone(), primary_group }
        }
        (None, Some(group)) => Below { dn: group.dn.clone(), primary_group: None },
        (None, None) => return,
    };
    let objects = terrain.objects(object);
    let distribution = profile.wanted.distribution_groups;
    match parts.directory.above(&AboveRequest { objects, distribution, server }).await {
        Ok(above) => {
            explanation.scope.nearest = nearest(terrain, &above);
            explanation.scope.nearest_unsure = above.cut_short;
        }
        Err(error) => explanation.scope.nearest_unsure = Some(super::chain(&error)),
    }
}

fn told(known: &Known, about: LinkNo, entry: &JournalEntry) -> Write {
    let other = match entry.intent.member {
        Some(member) if member == about => Some(entry.intent.link),
        other => other,
    };
    let name = |no: LinkNo| {
        let link = known.links.get(&no)?;
        Some(link.name.clone().unwrap_or_else(|| link.dn.to_string()))
    };
    let error = match &entry.result {
        Some((StepResult::Failed { code, message }, _)) => Some(format!("{code}: {message}")),
        _ => None,
    };
    Write {
        cycle: entry.cycle.0,
        at: entry.intent.at,
        action: entry.intent.action.clone(),
        other: other.and_then(name),
        result: entry.result.as_ref().map(|(result, _)| result.word()),
        error,
    }
}
