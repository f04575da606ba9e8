//! What the target would have to hold after the next cycle, as far as it is idcsync's: a dry run that is counted.

use std::collections::{BTreeMap, BTreeSet};

use super::prepare::prepare_seen;
use super::{CycleError, NoJournal, Parts, Profile};
use crate::ids::LinkNo;
use crate::model::{Kind, Known};
use crate::plan::{Action, ApprovedPlan};
use crate::state::Reader;

/// Counted as if every step were done, held ones too.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Needs {
    pub plan: String,
    pub steps: usize,
    pub users: u64,
    pub groups: u64,
    /// The groups of whoever is in most, and who that is.
    pub most_groups: u64,
    pub in_most: Option<String>,
    /// Something was not read to its end, so the numbers are of a part: why.
    pub cut_short: Option<String>,
}

/// Writes nothing anywhere.
pub async fn needs(profile: &Profile<'_>, parts: &Parts<'_>, state: &Reader) -> Result<Needs, CycleError> {
    let mut needs = Needs::default();
    let prepared = Box::pin(prepare_seen(profile, parts, state, &NoJournal, &mut |sight| {
        needs = count(sight.known, sight.approved);
    }))
    .await?;
    match prepared.unreadable {
        Some(error) => Err(error.into()),
        None => Ok(Needs { cut_short: prepared.cut_short, ..needs }),
    }
}

fn count(known: &Known, approved: &ApprovedPlan) -> Needs {
    let plan = approved.plan();
    let linked = |kind| known.links.values().filter(move |l| l.kind == kind && l.target_id.is_some());
    let mut users: BTreeSet<LinkNo> = linked(Kind::User).map(|l| l.no).collect();
    let mut groups: BTreeSet<LinkNo> = linked(Kind::Group).map(|l| l.no).collect();
    let mut groups_of: BTreeMap<LinkNo, i64> = BTreeMap::new();
    for group in &groups {
        for user in known.links.get(group).into_iter().flat_map(|l| &l.applied) {
            *groups_of.entry(LinkNo(user)).or_default() += 1;
        }
    }
    for (_, step) in plan.numbered() {
        match &step.action {
            Action::CreateUser { user, .. } | Action::AdoptUser { user, .. } => {
                users.insert(*user);
            }
            Action::CreateGroup { group, .. } | Action::AdoptGroup { group, .. } => {
                groups.insert(*group);
            }
            Action::DeleteUser { user, .. } => {
                users.remove(user);
            }
            Action::DeleteGroup { group, .. } => {
                groups.remove(group);
            }
            Action::AddMember { user, .. } => *groups_of.entry(*user).or_default() += 1,
            Action::RemoveMember { user, .. } => *groups_of.entry(*user).or_default() -= 1,
            _ => {}
        }
    }
    let name = |no: LinkNo| {
        let planned = plan.objects.get(&no).map(|o| o.label.clone());
        planned.or_else(|| known.links.get(&no).map(|l| l.name.clone().unwrap_or_else(|| l.dn.to_string())))
    };
    let most = groups_of.into_iter().max_by_key(|(no, count)| (*count, std::cmp::Reverse(*no)));
    Needs {
        plan: plan.id.to_string(),
        steps: plan.steps.len(),
        users: users.len() as u64,
        groups: groups.len() as u64,
        most_groups: most.map_or(0, |(_, count)| u64::try_from(count).unwrap_or(0)),
        in_most: most.and_then(|(no, _)| name(no)),
        cut_short: None,
    }
}
