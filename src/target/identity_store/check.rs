//! What can be said of the target without changing it.

use aws_sdk_identitystore::config::ProvideCredentials as _;
use aws_sdk_identitystore::types::User;
use jiff::Timestamp;

use super::account::Caller;
use super::failure::of_credentials;
use super::{IdentityStoreTarget, convert, of_identity_store};
use crate::ids::TargetId;
use crate::model::{CheckLine, CheckState};
use crate::target::pacing::Repeat;
use crate::target::{TargetError, TargetErrorKind};

impl IdentityStoreTarget {
    /// Credentials, identity store, and the permissions to read; a line fails with what to do about it, and those
    /// that rest on it are left out.
    pub async fn check(&self) -> Vec<CheckLine> {
        let (credentials, caller) = self.check_credentials().await;
        let mut lines = vec![credentials];
        if lines.iter().any(|l| l.state == CheckState::Fail) {
            return lines;
        }
        match self.identity_store_id().await {
            Ok(id) => lines.push(ok("identity store", id.to_string())),
            Err(e) => {
                let remedy = "allow sso:ListInstances, or set `identity-store-id` in [target]";
                lines.push(fail("identity store", &e, remedy));
                return lines;
            }
        }
        let (of_users, a_user) = self.check_users().await;
        lines.extend(of_users);
        lines.push(self.check_groups().await);
        // Where nothing can be read, each call would say so once more.
        if !self.in_process && lines.iter().all(|l| l.state != CheckState::Fail) {
            lines.extend(Box::pin(self.check_rights()).await);
            lines.extend(self.check_organization(caller.as_ref()).await);
        }
        lines.extend(self.check_scim(a_user).await);
        lines
    }

    /// The SCIM endpoint beside the API, if there is one; a user by whom it is shown to be the same store's.
    async fn check_scim(&self, a_user: Option<User>) -> Vec<CheckLine> {
        let Some(scim) = &self.scim else { return Vec::new() };
        let mut lines = scim.check_lines(Timestamp::now()).await;
        if let Some(user) = a_user.filter(|_| lines.iter().all(|l| l.state != CheckState::Fail)) {
            let id = TargetId::new(user.user_id());
            lines.push(self.check_ids(scim, &id, &convert::listed_user(user)).await);
        }
        lines
    }

    /// And whose they are, where that can be told.
    async fn check_credentials(&self) -> (CheckLine, Option<Caller>) {
        const NAME: &str = "AWS credentials";
        let remedy =
            "set AWS_PROFILE, AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or give this machine a role";
        let Some(provider) = &self.credentials else {
            return (line(NAME, CheckState::Fail, "none are configured".to_owned(), Some(remedy)), None);
        };
        if let Err(e) = provider.provide_credentials().await {
            return (line(NAME, CheckState::Fail, of_credentials(&e).message, Some(remedy)), None);
        }
        if self.in_process {
            return (ok(NAME, "found".to_owned()), None);
        }
        match self.caller().await {
            Ok(caller) => (ok(NAME, format!("found: {}", caller.arn)), Some(caller)),
            Err(why) => (ok(NAME, format!("found; whose they are is unknown ({why})")), None),
        }
    }

    /// And one of the users, if there are any.
    async fn check_users(&self) -> (Vec<CheckLine>, Option<User>) {
        const NAME: &str = "reading users";
        let page = match self.one_page_of_users().await {
            Ok(page) => page,
            Err(e) => {
                let allow = "allow identitystore:ListUsers, DescribeUser and GetUserId";
                return (vec![fail(NAME, &e, allow)], None);
            }
        };
        let mut lines = vec![ok(NAME, "allowed".to_owned())];
        let issuers = page.users.iter().flat_map(|u| u.external_ids()).map(|e| e.issuer());
        if let Some(issuer) = issuers.into_iter().find(|i| is_directory(i)) {
            lines.push(line(
                "identity source",
                CheckState::Warn,
                format!("users carry external ids of {issuer}: AWS's own Active Directory sync seems to own this store"),
                Some("change the identity source of IAM Identity Center before idcsync writes to it"),
            ));
        }
        (lines, page.users.into_iter().next())
    }

    pub(super) async fn one_page_of_users(
        &self,
    ) -> Result<aws_sdk_identitystore::operation::list_users::ListUsersOutput, TargetError> {
        let store = self.identity_store_id().await?;
        self.pacer
            .call("ListUsers", Repeat::Read, || {
                let request = self.client.list_users().identity_store_id(store.as_str());
                let request = request.max_results(super::observe::PAGE);
                async move { request.send().await.map_err(of_identity_store) }
            })
            .await
    }

    async fn check_groups(&self) -> CheckLine {
        const NAME: &str = "reading groups";
        let store = match self.identity_store_id().await {
            Ok(store) => store,
            Err(e) => return fail(NAME, &e, "set `identity-store-id` in [target]"),
        };
        let page = self
            .pacer
            .call("ListGroups", Repeat::Read, || {
                let request = self.client.list_groups().identity_store_id(store.as_str()).max_results(1);
                async move { request.send().await.map_err(of_identity_store) }
            })
            .await;
        match page {
            Ok(_) => ok(NAME, "allowed".to_owned()),
            Err(e) => fail(
                NAME,
                &e,
                "allow identitystore:ListGroups, DescribeGroup, GetGroupId and ListGroupMemberships",
            ),
        }
    }
}

/// Whether an external id was issued by a directory of AWS Directory Service.
fn is_directory(issuer: &str) -> bool {
    issuer.starts_with("arn:") && issuer.contains(":ds:") && issuer.contains(":directory/")
}

pub(super) fn ok(name: &str, detail: String) -> CheckLine {
    line(name, CheckState::Ok, detail, None)
}

/// The remedy given is for a denied permission; other failures have their own.
pub(super) fn fail(name: &str, error: &TargetError, if_denied: &str) -> CheckLine {
    let remedy = match error.kind {
        TargetErrorKind::AccessDenied if error.code == "AccessDeniedException" => Some(if_denied),
        TargetErrorKind::AccessDenied => Some("check the credentials, the account and this machine's clock"),
        TargetErrorKind::Validation if error.code.starts_with("IdentityStore") => None,
        TargetErrorKind::Validation | TargetErrorKind::NotFound(_) => {
            Some("check `identity-store-id`, `region` and `endpoint-url` in [target]")
        }
        TargetErrorKind::Throttled => Some("other callers use up the account's rate; try again later"),
        _ if error.code == "Unreachable" => Some(
            "check the network, the proxy and `endpoint-url`: the service's HTTPS endpoint must be reachable",
        ),
        _ => Some("try again later"),
    };
    line(name, CheckState::Fail, format!("{}: {}", error.code, error.message), remedy)
}

fn line(name: &str, state: CheckState, detail: String, remedy: Option<&str>) -> CheckLine {
    CheckLine { name: name.to_owned(), state, detail, remedy: remedy.map(str::to_owned) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_is_told_from_other_issuers() {
        assert!(is_directory("arn:aws:ds:eu-west-1:111122223333:directory/d-1234567890"));
        assert!(!is_directory("https://scim.example.com/v2"));
        assert!(!is_directory("arn:aws:iam::111122223333:saml-provider/ds"));
    }

    #[test]
    fn remedies_tell_errors_apart() {
        let of = |kind, code: &str| fail("x", &TargetError::new(kind, code, "m"), "allow it").remedy;
        assert_eq!(of(TargetErrorKind::AccessDenied, "AccessDeniedException").as_deref(), Some("allow it"));
        assert_ne!(of(TargetErrorKind::AccessDenied, "ExpiredTokenException").as_deref(), Some("allow it"));
        assert!(of(TargetErrorKind::Unavailable, "Unreachable").unwrap().contains("network"));
    }
}
