//! Account assignments: who may use which permission set in which AWS account. They are served, and they go with their
//! user or group, as at AWS; no operation of the sandbox makes one, so they are written into the store file by hand.

use serde::{Deserialize, Serialize};

use super::content::Millis;
use super::ids::{GroupId, UserId};
use super::{Refusal, Rule, Store, Violation};

/// A permission set, as far as it matters here.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PermissionSet {
    /// `arn:aws:sso:::permissionSet/ssoins-…/ps-…`
    pub permission_set_arn: String,
    pub name: String,
    #[serde(default)]
    pub created_at: Millis,
}

/// Who an assignment is of. Ordered: users, then groups, by id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(tag = "principalType", content = "principalId", rename_all = "UPPERCASE")]
pub enum Principal {
    User(UserId),
    Group(GroupId),
}

/// One permission set in one account.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Assignment {
    #[serde(flatten)]
    pub principal: Principal,
    pub account_id: String,
    pub permission_set_arn: String,
}

const ACCOUNT_PATTERN: &str = "\\d{12}";
const SET_PATTERN: &str =
    "arn:aws[a-z-]*:sso:::permissionSet/(sso)?ins-[a-zA-Z0-9-.]{16}/ps-[a-zA-Z0-9-./]{16}";

/// Whether it is an ARN of a permission set.
///
/// Source: IAM Identity Center API Reference, DescribePermissionSet, PermissionSetArn.
pub fn is_permission_set_arn(arn: &str) -> bool {
    let parts = arn.strip_prefix("arn:aws").and_then(|rest| rest.split_once(":sso:::permissionSet/"));
    let Some((partition, (instance, set))) = parts.and_then(|(p, rest)| Some((p, rest.split_once("/ps-")?)))
    else {
        return false;
    };
    let plain = |text: &str, more: &[u8]| {
        text.len() == 16 && text.bytes().all(|b| b.is_ascii_alphanumeric() || more.contains(&b))
    };
    let instance = instance.strip_prefix("sso").unwrap_or(instance).strip_prefix("ins-");
    partition.bytes().all(|b| b.is_ascii_lowercase() || b == b'-')
        && instance.is_some_and(|id| plain(id, b"-."))
        && plain(set, b"-./")
}

fn invalid(path: &str, rule: Rule) -> Refusal {
    Refusal::Invalid(vec![Violation::new(path, rule)])
}

impl Store {
    /// All permission sets, by ARN.
    pub fn permission_sets(&self) -> impl ExactSizeIterator<Item = &PermissionSet> {
        self.permission_sets.values()
    }

    pub fn permission_set(&self, arn: &str) -> Option<&PermissionSet> {
        self.permission_sets.get(arn)
    }

    /// All assignments, by principal, account and permission set.
    pub fn assignments(&self) -> impl ExactSizeIterator<Item = &Assignment> {
        self.assignments.iter()
    }

    /// Those of a principal, and those that a user has through its groups. Whether AWS lists the latter its
    /// documentation leaves open; a caller that wants the direct ones has to look at whose each is.
    pub fn assignments_of(&self, principal: Principal) -> impl Iterator<Item = &Assignment> {
        let has = move |of: Principal| match (principal, of) {
            (Principal::User(user), Principal::Group(group)) => self.membership_of(group, user).is_some(),
            _ => of == principal,
        };
        self.assignments.iter().filter(move |a| has(a.principal))
    }

    pub fn put_permission_set(&mut self, set: PermissionSet) -> Result<(), Refusal> {
        if !is_permission_set_arn(&set.permission_set_arn) {
            return Err(invalid("permissionSetArn", Rule::Pattern(SET_PATTERN)));
        }
        if !(1..=32).contains(&set.name.chars().count()) {
            return Err(invalid("name", Rule::Other("Member must have from 1 to 32 characters")));
        }
        self.permission_sets.insert(set.permission_set_arn.clone(), set);
        Ok(())
    }

    /// Refused where there is no such user or group, or no such permission set.
    pub fn put_assignment(&mut self, assignment: Assignment) -> Result<(), Refusal> {
        match assignment.principal {
            Principal::User(id) if self.user(id).is_none() => return Err(Refusal::not_found_user(id)),
            Principal::Group(id) if self.group(id).is_none() => return Err(Refusal::not_found_group(id)),
            _ => {}
        }
        let account = assignment.account_id.as_bytes();
        if account.len() != 12 || !account.iter().all(u8::is_ascii_digit) {
            return Err(invalid("accountId", Rule::Pattern(ACCOUNT_PATTERN)));
        }
        if self.permission_set(&assignment.permission_set_arn).is_none() {
            let rule = Rule::Other("Member must be the ARN of one of permissionSets");
            return Err(invalid("permissionSetArn", rule));
        }
        self.assignments.insert(assignment);
        Ok(())
    }

    pub(super) fn drop_assignments(&mut self, principal: Principal) {
        self.assignments.retain(|a| a.principal != principal);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_arn_is_one_of_a_permission_set() {
        for right in [
            "arn:aws:sso:::permissionSet/ssoins-d123456789000000/ps-0123456789abcdef",
            "arn:aws-us-gov:sso:::permissionSet/ins-d123456789000000/ps-0123456789abcdef",
        ] {
            assert!(is_permission_set_arn(right), "{right}");
        }
        for wrong in [
            "",
            "AdministratorAccess",
            "arn:aws:sso:::instance/ssoins-d123456789000000",
            "arn:aws:sso:::permissionSet/ssoins-d123456789000000/ps-01234",
            "arn:aws:sso:::permissionSet/xins-d123456789000000/ps-0123456789abcdef",
        ] {
            assert!(!is_permission_set_arn(wrong), "{wrong}");
        }
    }
}
