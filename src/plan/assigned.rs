//! What the objects of a plan are assigned to in AWS accounts: said beside the steps, and no part of them. Neither a
//! fingerprint nor a plan's id depends on it.

use std::collections::{BTreeMap, BTreeSet};

use super::approve::ApprovedPlan;
use super::counts::counted;
use super::grouped::ObjectSteps;
use super::sort::Sort;
use super::step::{Action, StepNo};
use super::steps::whole;
use crate::ids::{LinkNo, TargetId};
use crate::model::{Assignment, Kind};
use crate::printable::shown;

/// What was found out about a plan's objects.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Assigned {
    /// Not configured, or no step of the plan is on an object that could lose or bring any.
    #[default]
    NotAsked,
    /// Asked for, and not answered.
    Unread,
    Read(BTreeMap<LinkNo, Vec<Assignment>>),
}

impl Assigned {
    /// Of one step: `None` where it is not the question, `Some(None)` where it could not be read.
    pub(super) fn of(&self, action: &Action) -> Option<Option<&[Assignment]>> {
        let no = action.object().filter(|_| concerns(action))?;
        match self {
            Self::NotAsked => None,
            Self::Unread => Some(None),
            Self::Read(of) => of.get(&no).map(|list| Some(list.as_slice())),
        }
    }
}

/// Whether what its object is assigned to is part of what the step means.
fn concerns(action: &Action) -> bool {
    match action {
        Action::AdoptUser { .. }
        | Action::AdoptGroup { .. }
        | Action::DisableUser { .. }
        | Action::DeleteUser { .. }
        | Action::DeleteGroup { .. } => true,
        _ => is_membership(action) || action.recreates(),
    }
}

/// What its group is assigned to is what the step gives or takes.
fn is_membership(action: &Action) -> bool {
    matches!(action.sort(), Sort::AddMember | Sort::RemoveMember)
}

/// What a list of assignments means beside a step of this sort (`Sort::word`).
pub fn meaning(sort: &str) -> &'static str {
    match sort {
        "create-user" | "create-group" => "assigned before, under an id that does not come back",
        "delete-user" | "delete-group" => "goes with it for good",
        "revoke-user" | "report-user" => "stays, assigned directly",
        "add-member" => "gives",
        "remove-member" => "takes away",
        _ => "assigned",
    }
}

/// The list with what it means.
pub fn meant(sort: &str, list: &[Assignment]) -> String {
    let creates = sort.starts_with("create-");
    match list {
        [] if creates => "assigned: nothing is left from before it was deleted".to_owned(),
        [] => format!("assigned: {}", summary(list)),
        _ => format!("{}: {}", meaning(sort), summary(list)),
    }
}

impl ApprovedPlan {
    /// The objects whose assignments are part of what the plan means. Without an id where the object was linked and is
    /// gone: the plan has none of it.
    pub fn assignable(&self) -> BTreeMap<LinkNo, (Kind, Option<&TargetId>)> {
        let objects = &self.plan().objects;
        let concerned = self.chosen().filter(|(_, step)| concerns(&step.action));
        concerned
            .filter_map(|(_, step)| {
                let no = step.action.object()?;
                let object = objects.get(&no)?;
                let id = match whole(&step).map(|step| &step.action) {
                    Some(Action::AdoptUser { id, .. } | Action::AdoptGroup { id, .. }) => Some(id),
                    Some(action) if action.recreates() => None,
                    _ => object.target_id.as_ref(),
                };
                Some((no, (object.kind, id)))
            })
            .collect()
    }

    /// Objects of steps that take something away.
    pub fn losing(&self) -> BTreeSet<LinkNo> {
        let taking = self.chosen().filter(|(_, step)| step.action.proof().is_some());
        taking.filter_map(|(_, step)| step.action.object()).collect()
    }

    /// What a step's object is assigned to, in a line.
    pub(super) fn assigned_line(&self, no: StepNo) -> Option<String> {
        let step = self.plan().step(no);
        let action = &step.action;
        let list = self.plan().assigned.of(action)??;
        let says_something = !list.is_empty() || !is_membership(action);
        says_something.then(|| meant(action.sort().word(), list))
    }

    /// What the memberships of one group in one part of a plan give or take, in a line for all of them: `None` where that
    /// is nothing.
    pub(super) fn membership_line(&self, found: &ObjectSteps<'_>) -> Option<String> {
        let first = self.plan().step(*found.members.first()?);
        let list = self.plan().assigned.of(&first.action)??;
        let word =
            if first.action.takes_away() { "takes away from each member" } else { "gives each member" };
        (!list.is_empty()).then(|| format!("{word}: {}", summary(list)))
    }
}

/// Permission sets that are named in a line; the others are counted.
const NAMED: usize = 5;

/// `AdministratorAccess in 111122223333, ReadOnly in 2 accounts`: bounded, whatever the number.
pub fn summary(assignments: &[Assignment]) -> String {
    let mut accounts: BTreeMap<(&str, &str), Vec<&str>> = BTreeMap::new();
    for assignment in assignments {
        let arn = assignment.permission_set.as_str();
        let name = assignment.permission_set_name.as_deref().unwrap_or(arn);
        accounts.entry((name, arn)).or_default().push(&assignment.account);
    }
    if accounts.is_empty() {
        return "nothing directly".to_owned();
    }
    let others = accounts.len().saturating_sub(NAMED);
    let named = accounts.into_iter().take(NAMED).map(|((name, _), accounts)| match accounts.as_slice() {
        [account] => format!("{} in {}", shown(name), shown(account)),
        several => format!("{} in {} accounts", shown(name), several.len()),
    });
    let mut parts: Vec<String> = named.collect();
    if others > 0 {
        parts.push(counted(others as u64, "permission set more", "permission sets more"));
    }
    parts.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn assignment(account: &str, set: &str, name: Option<&str>) -> Assignment {
        Assignment {
            account: account.to_owned(),
            permission_set: format!("arn:aws:sso:::permissionSet/ssoins-1/ps-{set}"),
            permission_set_name: name.map(str::to_owned),
        }
    }

    #[test]
    fn one_account_is_named_and_several_are_counted() {
        assert_eq!(summary(&[]), "nothing directly");
        let list = [
            assignment("111122223333", "1", Some("AdministratorAccess")),
            assignment("111122223333", "2", Some("ReadOnly")),
            assignment("444455556666", "2", Some("ReadOnly")),
            assignment("444455556666", "3", None),
        ];
        assert_eq!(
            summary(&list),
            "AdministratorAccess in 111122223333, ReadOnly in 2 accounts, \
             arn:aws:sso:::permissionSet/ssoins-1/ps-3 in 444455556666"
        );
    }

    #[test]
    fn what_a_list_means_depends_on_the_step() {
        let list = [assignment("111122223333", "1", Some("A"))];
        assert_eq!(meant("delete-group", &list), "goes with it for good: A in 111122223333");
        assert_eq!(meant("revoke-user", &list), "stays, assigned directly: A in 111122223333");
        assert_eq!(meant("remove-member", &list), "takes away: A in 111122223333");
        assert_eq!(meant("delete-user", &[]), "assigned: nothing directly");
        assert_eq!(meant("create-user", &[]), "assigned: nothing is left from before it was deleted");
        // Each sort has a word, and no other step is said to be on an assignment.
        for sort in Sort::ALL {
            assert!(!meaning(sort.word()).is_empty());
        }
    }

    #[test]
    fn a_line_stays_a_line_whatever_the_number() {
        let many: Vec<_> =
            (0..300).map(|n| assignment("1", &format!("{n:03}"), Some(&format!("Set{n:03}")))).collect();
        assert_eq!(
            summary(&many),
            "Set000 in 1, Set001 in 1, Set002 in 1, Set003 in 1, Set004 in 1, 295 permission sets more"
        );
        assert!(summary(&many[..6]).ends_with(", 1 permission set more"));
        // Two permission sets of one name are two.
        let twins = [assignment("1", "1", Some("A")), assignment("2", "2", Some("A"))];
        assert_eq!(summary(&twins), "A in 1, A in 2");
        assert_eq!(summary(&[assignment("1", "1", Some("a\nb"))]), r"a\nb in 1");
    }
}
