//! What the objects of a plan are assigned to in AWS accounts: said beside the steps, and no part of them. Neither a
//! fingerprint nor a plan's id depends on it.

use std::collections::BTreeMap;

use super::approve::ApprovedPlan;
use super::counts::counted;
use super::step::{Action, StepNo};
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
        _ => action.recreates(),
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
                let id = match &step.action {
                    Action::AdoptUser { id, .. } | Action::AdoptGroup { id, .. } => Some(id),
                    action if action.recreates() => None,
                    _ => object.target_id.as_ref(),
                };
                Some((no, (object.kind, id)))
            })
            .collect()
    }

    /// What a step's object is assigned to, in a line.
    pub(super) fn assigned_line(&self, no: StepNo) -> Option<String> {
        let action = &self.plan().step(no).action;
        let list = self.plan().assigned.of(action)??;
        Some(match (action.recreates(), list.is_empty()) {
            (false, _) => format!("assigned: {}", summary(list)),
            (true, true) => "assigned: nothing is left from before it was deleted".to_owned(),
            (true, false) => {
                format!("assigned before, under an id that does not come back: {}", summary(list))
            }
        })
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
