//! Which calls the credentials may make, told apart without changing anything: each is made for an id that no user, group
//! or membership can have. Whoever may make it is told that there is no such thing, and whoever may not, that.

use super::IdentityStoreTarget;
use super::account::patiently;
use crate::ids::TargetId;
use crate::model::{CheckLine, GroupAttributes, UserAttribute, UserAttributes};
use crate::target::gather::Key;
use crate::target::{TargetError, TargetErrorKind};

/// The nil UUID (RFC 9562 section 5.9): nothing is ever made under it.
const NOBODY: &str = "00000000-0000-0000-0000-000000000000";

/// What a call that cannot succeed shows.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Right {
    Allowed,
    Denied(String),
    /// With what was answered instead.
    Unclear(String),
}

impl Right {
    fn of<T>(answer: Result<T, TargetError>) -> Self {
        match answer {
            Ok(_) => Self::Allowed,
            Err(e) => match e.kind {
                TargetErrorKind::NotFound(_) | TargetErrorKind::Conflict => Self::Allowed,
                TargetErrorKind::AccessDenied => Self::Denied(e.message),
                _ => Self::Unclear(format!("{}: {}", e.code, e.message)),
            },
        }
    }
}

impl IdentityStoreTarget {
    /// `assignments`, `sso:` and the listings have lines of their own.
    pub(super) async fn check_rights(&self) -> Vec<CheckLine> {
        let (nobody, nothing) = (TargetId::new(NOBODY), TargetId::new(NOBODY));
        let reads = futures::join!(
            of("DescribeUser", self.user(&nobody)),
            of("GetUserId", self.user_id(Key::UserName, NOBODY)),
            of("DescribeGroup", self.group(&nothing)),
            of("GetGroupId", self.group_id(NOBODY)),
            of("ListGroupMemberships", self.members(&nothing)),
        );
        let reads = [reads.0, reads.1, reads.2, reads.3, reads.4];
        let (user, group) = (nobody_renamed(), nothing_renamed());
        let writes = futures::join!(
            of("UpdateUser", self.send_update_user(&nobody, &[UserAttribute::DisplayName], &user)),
            of("DeleteUser", self.send_delete_user(&nobody)),
            of("UpdateGroup", self.send_update_group(&nothing, &group.0, &group.1)),
            of("DeleteGroup", self.send_delete_group(&nothing)),
            of("CreateGroupMembership", self.send_add_member(&nothing, &nobody)),
            of("DeleteGroupMembership", self.delete_membership(NOBODY)),
        );
        let beside = futures::join!(
            of("GetGroupMembershipId", self.membership_id(&nothing, &nobody)),
            of("IsMemberInGroups", self.send_is_member(&nothing, &nobody)),
        );
        let writes = [writes.0, writes.1, writes.2, writes.3, writes.4, writes.5];
        let mut lines = told("permissions to read", "", &reads, "allow it: deploy/iam/read.json", false);
        lines.extend(to_write(&writes, &[beside.0, beside.1]));
        lines
    }
}

/// `beside`: reads that only whoever writes has need of.
fn to_write(writes: &[(&'static str, Right)], beside: &[(&'static str, Right)]) -> Vec<CheckLine> {
    const NAME: &str = "permissions to write";
    // Whoever may write nothing at all is somebody who looks.
    if writes.iter().all(|(_, right)| matches!(right, Right::Denied(_))) {
        return vec![CheckLine::warn(
            NAME,
            "none: these credentials do for `check` and for dry runs, and for no cycle",
            "give deploy/iam/sync.json to whoever runs the cycles",
        )];
    }
    let not_tried = "; CreateUser and CreateGroup were not tried: no call tells without making something";
    told(NAME, not_tried, &[writes, beside].concat(), "allow it: deploy/iam/sync.json", true)
}

async fn of<T>(
    name: &'static str,
    call: impl Future<Output = Result<T, TargetError>>,
) -> (&'static str, Right) {
    (name, Right::of(patiently(call).await))
}

fn told(name: &str, beside: &str, rights: &[(&str, Right)], remedy: &str, writes: bool) -> Vec<CheckLine> {
    let allowed: Vec<&str> =
        rights.iter().filter(|(_, right)| *right == Right::Allowed).map(|(call, _)| *call).collect();
    let mut lines = Vec::new();
    if !allowed.is_empty() {
        lines.push(CheckLine::ok(name, format!("{}{beside}", allowed.join(", "))));
    }
    lines.extend(rights.iter().filter_map(|(call, right)| {
        let name = format!("identitystore:{call}");
        match right {
            Right::Allowed => None,
            Right::Denied(why) => Some(CheckLine::fail(name, format!("denied: {why}"), remedy)),
            Right::Unclear(why) => {
                let what = if writes { "whether it may be called" } else { "whether it may be asked" };
                Some(CheckLine::unknown(name, format!("{what} cannot be told: {why}")))
            }
        }
    }));
    lines
}

/// A change of something that does not exist.
fn nobody_renamed() -> UserAttributes {
    UserAttributes::from([(UserAttribute::DisplayName, "idcsync check".to_owned())])
}

fn nothing_renamed() -> (GroupAttributes, GroupAttributes) {
    let called = |name: &str| GroupAttributes { display_name: name.to_owned(), ..GroupAttributes::default() };
    (called("nothing"), called("idcsync check"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::CheckState;

    #[test]
    fn only_a_denial_is_one() {
        let of = |kind, code: &str| Right::of::<()>(Err(TargetError::new(kind, code, "m")));
        assert_eq!(of(TargetErrorKind::NotFound(None), "ResourceNotFoundException"), Right::Allowed);
        assert_eq!(of(TargetErrorKind::AccessDenied, "AccessDeniedException"), Right::Denied("m".to_owned()));
        assert!(matches!(of(TargetErrorKind::Ambiguous, "Timeout"), Right::Unclear(_)));
        assert!(matches!(of(TargetErrorKind::Validation, "ValidationException"), Right::Unclear(_)));
    }

    #[test]
    fn whoever_may_only_read_is_somebody_who_looks() {
        let denied = || Right::Denied("no".to_owned());
        // As with a policy of Get*, Describe*, List* and Is*.
        let reads = [("IsMemberInGroups", Right::Allowed)];
        let lines = to_write(&[("UpdateUser", denied()), ("DeleteUser", denied())], &reads);
        assert_eq!(lines.iter().map(|l| l.state).collect::<Vec<_>>(), [CheckState::Warn]);
        let lines = to_write(&[("UpdateUser", Right::Allowed), ("DeleteUser", denied())], &reads);
        assert_eq!(lines.iter().map(|l| l.state).collect::<Vec<_>>(), [CheckState::Ok, CheckState::Fail]);
    }

    #[test]
    fn what_is_allowed_takes_one_line_and_each_other_call_its_own() {
        let rights = [
            ("A", Right::Allowed),
            ("B", Right::Denied("no".to_owned())),
            ("C", Right::Unclear("HTTP500".to_owned())),
            ("D", Right::Allowed),
        ];
        let lines = told("x", "; y", &rights, "r", true);
        assert_eq!(lines[0], CheckLine::ok("x", "A, D; y"));
        assert_eq!(lines[1], CheckLine::fail("identitystore:B", "denied: no", "r"));
        assert_eq!(lines[2].state, CheckState::Unknown);
        assert_eq!(lines.len(), 3);
    }
}
