//! What is asked of the target before planning: a few objects, or everything.

use std::collections::BTreeSet;

use tracing::warn;

use super::CycleError;
use crate::ids::TargetId;
use crate::model::{DisableHow, Kind, Known, Observed, Wants};
use crate::plan::{Action, Plan};
use crate::target::Target;

/// What the plan depends on, and then the names of members of groups that are to be adopted: `protect` goes by
/// name.
pub async fn observe(target: &dyn Target, wants: &Wants) -> Result<Observed, CycleError> {
    if wants.is_empty() {
        return Ok(Observed::default());
    }
    let mut observed = match target.observe(wants).await {
        Err(error) if error.is_of_a_cut_listing() => group_by_group(target, wants).await?,
        answer => answer.map_err(CycleError::Target)?,
    };
    name_members(target, &mut observed).await?;
    Ok(observed)
}

/// A group whose members cannot be listed to their end is not to be taken over: who would be put out of it unseen?
/// It is left unobserved, so that to create one of that name is a conflict of this group alone.
async fn group_by_group(target: &dyn Target, wants: &Wants) -> Result<Observed, CycleError> {
    let mut rest = wants.clone();
    let names = std::mem::take(&mut rest.group_names)
        .into_iter()
        .map(|name| Wants { group_names: BTreeSet::from([name]), ..Wants::default() });
    let ids = std::mem::take(&mut rest.group_external_ids)
        .into_iter()
        .map(|id| Wants { group_external_ids: BTreeSet::from([id]), ..Wants::default() });
    let mut observed = target.observe(&rest).await.map_err(CycleError::Target)?;
    for single in names.chain(ids) {
        match target.observe(&single).await {
            Ok(found) => observed.groups.extend(found.groups),
            Err(error) if error.is_of_a_cut_listing() => {
                let what = single.group_names.first().or(single.group_external_ids.first());
                warn!(group = what.map(String::as_str), "a group that exists is not taken over: {error}");
            }
            Err(error) => return Err(CycleError::Target(error)),
        }
    }
    Ok(observed)
}

/// Everything that the target holds, with the members of the groups that are linked or may be adopted.
pub async fn read_back(target: &dyn Target, wants: &Wants, known: &Known) -> Result<Observed, CycleError> {
    let linked =
        |kind| known.links.values().filter(move |l| l.kind == kind).filter_map(|l| l.target_id.clone());
    let groups: BTreeSet<TargetId> = linked(Kind::Group).collect();
    let mut observed = match target.read_back(&groups).await {
        Err(error) if error.is_of_a_cut_listing() => {
            warn!("{error}: what is linked is looked up one by one instead");
            return one_by_one(target, wants, linked(Kind::User).collect(), groups).await;
        }
        read => read.map_err(CycleError::Target)?,
    };
    // A listing that runs while others write may miss an object: no linked one is taken for gone on that account.
    // Names are asked for as ever, since whoever is found so comes with members.
    let again = Wants {
        users: linked(Kind::User).filter(|id| !observed.users.contains_key(id)).collect(),
        groups: groups.iter().filter(|id| !observed.groups.contains_key(*id)).cloned().collect(),
        group_names: wants.group_names.clone(),
        group_external_ids: wants.group_external_ids.clone(),
        ..Wants::default()
    };
    if !again.is_empty() {
        let more = target.observe(&again).await.map_err(CycleError::Target)?;
        observed.users.extend(more.users);
        for (id, group) in more.groups {
            match observed.groups.get_mut(&id) {
                Some(found) if group.members.is_some() => found.members = group.members,
                Some(_) => {}
                None => {
                    observed.groups.insert(id, group);
                }
            }
        }
    }
    name_members(target, &mut observed).await?;
    Ok(observed)
}

/// Whether there is anything that this profile has not linked.
pub fn shows_strangers(observed: &Observed, known: &Known) -> bool {
    let ours: BTreeSet<&TargetId> = known.links.values().filter_map(|l| l.target_id.as_ref()).collect();
    observed.users.keys().chain(observed.groups.keys()).any(|id| !ours.contains(id))
}

/// Of a target that cannot list all that it holds: what is wanted and what is linked, with the members of the linked
/// groups as far as they can be listed.
async fn one_by_one(
    target: &dyn Target,
    wants: &Wants,
    users: BTreeSet<TargetId>,
    groups: BTreeSet<TargetId>,
) -> Result<Observed, CycleError> {
    let mut all = wants.clone();
    all.users.extend(users);
    all.groups.extend(groups.iter().cloned());
    let mut observed = observe(target, &all).await?;
    for id in groups {
        let Some(group) = observed.groups.get_mut(&id).filter(|g| g.members.is_none()) else { continue };
        let name = group.attributes.display_name.clone();
        let named = Wants { group_names: BTreeSet::from([name.clone()]), ..Wants::default() };
        match target.observe(&named).await {
            Ok(mut found) => group.members = found.groups.remove(&id).and_then(|found| found.members),
            // What was applied is taken for what is there, as in any cycle that is no full one.
            Err(error) if error.is_of_a_cut_listing() => {
                warn!(group = %id, "the members of a group cannot be compared: {error}");
            }
            Err(error) => return Err(CycleError::Target(error)),
        }
    }
    name_members(target, &mut observed).await?;
    Ok(observed)
}

/// Whoever is to be disabled is looked at before: someone else may have done it, and then that stays theirs. Says
/// whether anybody was.
pub async fn look_at_the_disabled(
    target: &dyn Target,
    plan: &Plan,
    observed: &mut Observed,
) -> Result<bool, CycleError> {
    let users: BTreeSet<TargetId> = plan
        .steps
        .iter()
        .filter_map(|step| match &step.action {
            Action::DisableUser { user, how: DisableHow::Deactivated, .. } => {
                plan.objects.get(user)?.target_id.clone()
            }
            _ => None,
        })
        .filter(|id| !observed.users.contains_key(id))
        .collect();
    if users.is_empty() {
        return Ok(false);
    }
    let wants = Wants { users, ..Wants::default() };
    let found = target.observe(&wants).await.map_err(CycleError::Target)?;
    observed.users.extend(found.users);
    Ok(true)
}

/// One small question, for the `Date` of its answer.
pub async fn ask_the_time(target: &dyn Target, known: &Known) -> Result<(), CycleError> {
    let users = known.links.values().filter(|l| l.kind == Kind::User).find_map(|l| l.target_id.clone());
    let wants = Wants { users: users.into_iter().collect(), ..Wants::default() };
    target.observe(&wants).await.map(drop).map_err(CycleError::Target)
}

async fn name_members(target: &dyn Target, observed: &mut Observed) -> Result<(), CycleError> {
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
    Ok(())
}
