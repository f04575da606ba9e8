//! Which approved steps go to the target in one request, where a target takes several memberships at once. Reasons,
//! approvals and outcomes stay those of single steps.

use std::collections::BTreeMap;

use super::approve::ApprovedPlan;
use super::step::{Action, StepNo};
use crate::ids::LinkNo;

/// Steps of one request: one step; or memberships of one group, all added or all removed; or a new group with its
/// first members.
pub type Batch = Vec<StepNo>;

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Way {
    Add,
    Remove,
    /// Before the group is adopted, other removals after it.
    RemoveStranger,
}

/// All runnable steps in batches of at most `limit` memberships, in the order of their first steps.
pub fn batches(approved: &ApprovedPlan, limit: usize) -> Vec<Batch> {
    let mut batches: Vec<Batch> = Vec::new();
    // The batch of a group that still has room.
    let mut open: BTreeMap<(LinkNo, Way), (usize, usize)> = BTreeMap::new();
    for (no, step) in approved.runnable() {
        let (group, way) = match &step.action {
            Action::CreateGroup { group, .. } => {
                if limit > 1 {
                    open.insert((*group, Way::Add), (batches.len(), 0));
                }
                batches.push(vec![no]);
                continue;
            }
            Action::AddMember { group, .. } => (*group, Way::Add),
            Action::RemoveMember { group, .. } => (*group, Way::Remove),
            Action::RemoveStranger { group, .. } => (*group, Way::RemoveStranger),
            _ => {
                batches.push(vec![no]);
                continue;
            }
        };
        match open.get_mut(&(group, way)) {
            Some((batch, members)) if *members < limit => {
                *members += 1;
                batches[*batch].push(no);
            }
            _ => {
                open.insert((group, way), (batches.len(), 1));
                batches.push(vec![no]);
            }
        }
    }
    batches
}
