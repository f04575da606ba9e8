//! What the objects of a plan are assigned to: one look-up after the guard, and only where the plan has steps that it
//! tells something about.

use std::collections::{BTreeMap, BTreeSet};

use tracing::warn;

use super::Profile;
use crate::ids::TargetId;
use crate::model::{Kind, Known};
use crate::plan::{ApprovedPlan, Assigned};
use crate::target::Target;

/// One request for each: a minute and a half at the account's rate.
const MOST: usize = 1500;

/// The plan as it is, with the answers. They decide nothing, so a look-up that fails is said, and nothing more.
pub(super) async fn annotated(
    profile: &Profile<'_>,
    target: &dyn Target,
    known: &Known,
    approved: ApprovedPlan,
) -> ApprovedPlan {
    if !profile.assignments {
        return approved;
    }
    let concerned: BTreeMap<_, _> = approved
        .assignable()
        .into_iter()
        .filter_map(|(no, (kind, id))| {
            let linked = || known.links.get(&no)?.target_id.as_ref();
            id.or_else(linked).map(|id| (no, (id.clone(), kind)))
        })
        .collect();
    if concerned.is_empty() {
        return approved;
    }
    let mut concerned = concerned;
    if concerned.len() > MOST {
        // Whoever loses something comes first; the others are not said to have nothing.
        let losing = approved.losing();
        let mut order: Vec<_> = concerned.keys().copied().collect();
        order.sort_by_key(|no| (!losing.contains(no), *no));
        let kept: BTreeSet<_> = order.into_iter().take(MOST).collect();
        warn!(
            "the plan concerns {} users and groups; account assignments are shown for {MOST} of them",
            concerned.len()
        );
        concerned.retain(|no, _| kept.contains(no));
    }
    let principals: BTreeMap<TargetId, Kind> = concerned.values().cloned().collect();
    let assigned = match target.assignments(&principals).await {
        Ok(found) => {
            let of = concerned.iter().filter_map(|(no, (id, _))| Some((*no, found.get(id)?.clone())));
            Assigned::Read(of.collect())
        }
        Err(error) => {
            warn!("account assignments could not be read, so the plan does not show them: {error}");
            Assigned::Unread
        }
    };
    approved.with_assigned(assigned)
}
