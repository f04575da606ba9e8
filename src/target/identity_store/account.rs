//! Whose the credentials are, and how the account stands to IAM Identity Center: for `check`. What may not be asked stays
//! unknown, and nothing fails by it.

use std::time::Duration;

use super::IdentityStoreTarget;
use super::failure::of_service;
use crate::model::CheckLine;
use crate::target::gather::Pages;
use crate::target::pacing::Repeat;
use crate::target::{TargetError, TargetErrorKind};

/// By this name it has trusted access and delegated administrators.
const SERVICE: &str = "sso.amazonaws.com";

/// These services are beside the point of a cycle, and may be out of reach where it runs.
const PATIENCE: Duration = Duration::from_secs(10);

/// Who asks.
pub(super) struct Caller {
    pub arn: String,
    pub account: String,
}

impl IdentityStoreTarget {
    pub(super) async fn caller(&self) -> Result<Caller, String> {
        let asked = self.pacer.call("GetCallerIdentity", Repeat::Read, || {
            let request = self.sts.get_caller_identity();
            async move { request.send().await.map_err(of_service) }
        });
        let who = patiently(asked).await.map_err(|e| told(&e, "sts:GetCallerIdentity"))?;
        let arn = who.arn.ok_or("the answer names nobody")?;
        Ok(Caller { arn, account: who.account.unwrap_or_default() })
    }

    /// The organization, trusted access, delegated administrators, and what the caller's account is among them.
    pub(super) async fn check_organization(&self, caller: Option<&Caller>) -> Vec<CheckLine> {
        let mut lines = vec![self.owner().await];
        let asked = self.pacer.call("DescribeOrganization", Repeat::Read, || {
            let request = self.organizations.describe_organization();
            async move { request.send().await.map_err(of_service) }
        });
        let management = match patiently(asked).await {
            Ok(found) => found.organization.and_then(|o| o.master_account_id),
            Err(e) if e.code == "AWSOrganizationsNotInUseException" => {
                lines.push(CheckLine::ok("organization", "the account is in none: an instance of its own"));
                return lines;
            }
            Err(e) => {
                lines.push(unknown("organization", &e, "organizations:DescribeOrganization"));
                None
            }
        };
        if let Some(management) = &management {
            lines.push(CheckLine::ok("organization", format!("its management account is {management}")));
        }
        lines.push(self.trusted_access().await);
        lines.push(self.administrator(caller, management.as_deref()).await);
        lines
    }

    /// Whose instance it is, where it may be listed.
    async fn owner(&self) -> CheckLine {
        const NAME: &str = "instance";
        let store = match self.identity_store_id().await {
            Ok(store) => store,
            Err(e) => return unknown(NAME, &e, "sso:ListInstances"),
        };
        match patiently(self.instances()).await {
            Ok(all) => match all.iter().find(|i| i.identity_store_id() == Some(store.as_str())) {
                Some(found) => {
                    let owner = found.owner_account_id().unwrap_or("an account that is not named");
                    let status = found.status().map_or("status unknown", |s| s.as_str());
                    let arn = found.instance_arn().unwrap_or("without an ARN");
                    CheckLine::ok(NAME, format!("{arn} of {owner}, {status}"))
                }
                None => CheckLine::unknown(
                    NAME,
                    format!(
                        "sso:ListInstances does not show the one with {store}: it shows those of the region and account"
                    ),
                ),
            },
            Err(e) => unknown(NAME, &e, "sso:ListInstances"),
        }
    }

    async fn trusted_access(&self) -> CheckLine {
        const NAME: &str = "trusted access";
        let mut pages = Pages::default();
        let mut token = None;
        loop {
            let asked = self.pacer.call("ListAWSServiceAccessForOrganization", Repeat::Read, || {
                let request = self.organizations.list_aws_service_access_for_organization();
                let request = request.set_next_token(token.clone());
                async move { request.send().await.map_err(of_service) }
            });
            let page = match patiently(asked).await {
                Ok(page) => page,
                Err(e) => return unknown(NAME, &e, "organizations:ListAWSServiceAccessForOrganization"),
            };
            let mut all = page.enabled_service_principals.unwrap_or_default().into_iter();
            if all.any(|p| p.service_principal.as_deref() == Some(SERVICE)) {
                return CheckLine::ok(NAME, format!("{SERVICE} has it"));
            }
            token = match pages.next(page.next_token) {
                Ok(Some(next)) => Some(next),
                Ok(None) => break,
                Err(e) => return unknown(NAME, &e, "organizations:ListAWSServiceAccessForOrganization"),
            };
        }
        CheckLine::fail(
            NAME,
            format!("{SERVICE} has none in the organization: IAM Identity Center does not work without"),
            "enable it in the management account: IAM Identity Center's console asks for it",
        )
    }

    /// Who may write: the management account, and who was made administrator in its place.
    async fn administrator(&self, caller: Option<&Caller>, management: Option<&str>) -> CheckLine {
        const NAME: &str = "delegated administrator";
        const ALLOW: &str = "organizations:ListDelegatedAdministrators";
        let here = caller.map(|c| c.account.as_str());
        if here.is_some() && here == management {
            return CheckLine::ok(NAME, "not needed: the credentials are of the management account");
        }
        let asked = self.pacer.call("ListDelegatedAdministrators", Repeat::Read, || {
            // An account may be administrator of IAM Identity Center alone with few others: one page.
            let request = self.organizations.list_delegated_administrators().service_principal(SERVICE);
            async move { request.send().await.map_err(of_service) }
        });
        let found = match patiently(asked).await {
            Ok(found) => found.delegated_administrators.unwrap_or_default(),
            Err(e) => return unknown(NAME, &e, ALLOW),
        };
        let all: Vec<String> = found.into_iter().filter_map(|a| a.id).collect();
        standing(here, management, &all)
    }
}

/// What the credentials' account may do, by who administers.
fn standing(here: Option<&str>, management: Option<&str>, all: &[String]) -> CheckLine {
    const NAME: &str = "delegated administrator";
    let named = if all.is_empty() { "there is none".to_owned() } else { all.join(", ") };
    match (here, management) {
        (Some(here), _) if all.iter().any(|id| id == here) => {
            CheckLine::ok(NAME, format!("{here}, the credentials' account"))
        }
        (Some(here), Some(management)) => CheckLine::warn(
            NAME,
            format!(
                "{named}; the credentials' account {here} is neither that nor {management}, and may only read"
            ),
            format!(
                "use a role of {management}, or make {here} the delegated administrator of IAM Identity Center"
            ),
        ),
        (Some(here), None) => CheckLine::unknown(
            NAME,
            format!(
                "{named}; whether the credentials' account {here} is the management account is not known"
            ),
        ),
        (None, _) => CheckLine::unknown(NAME, format!("{named}; whose the credentials are is not known")),
    }
}

fn unknown(name: &str, error: &TargetError, permission: &str) -> CheckLine {
    let line = CheckLine::unknown(name, told(error, permission));
    match error.kind {
        TargetErrorKind::AccessDenied => {
            line.with_remedy(format!("allow {permission}, if it is to be known"))
        }
        _ => line,
    }
}

fn told(error: &TargetError, permission: &str) -> String {
    // AWS knows its own operations.
    if error.code == "UnknownOperationException" && permission.starts_with("organizations:") {
        return format!(
            "{permission}: the endpoint has no such operation (`idcsync sandbox` has no Organizations)"
        );
    }
    format!("{permission} was not answered: {}: {}", error.code, error.message)
}

pub(super) async fn patiently<T>(
    asked: impl Future<Output = Result<T, TargetError>>,
) -> Result<T, TargetError> {
    match tokio::time::timeout(PATIENCE, asked).await {
        Ok(answer) => answer,
        Err(_) => Err(TargetError::new(
            TargetErrorKind::Unavailable,
            "NoAnswer",
            format!("nothing came within {} s", PATIENCE.as_secs()),
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::CheckState;

    #[test]
    fn an_account_whose_standing_cannot_be_told_is_not_well() {
        let of = |here, management, all: &[&str]| {
            let all: Vec<String> = all.iter().map(|id| (*id).to_owned()).collect();
            standing(here, management, &all).state
        };
        assert_eq!(of(Some("1"), None, &["1"]), CheckState::Ok);
        assert_eq!(of(Some("1"), Some("2"), &["3"]), CheckState::Warn);
        assert_eq!(of(Some("1"), None, &["3"]), CheckState::Unknown);
        assert_eq!(of(None, Some("2"), &["3"]), CheckState::Unknown);
        assert_eq!(of(None, None, &[]), CheckState::Unknown);
    }

    #[test]
    fn the_sandbox_is_told_in_plain_words() {
        let error = TargetError::new(TargetErrorKind::Validation, "UnknownOperationException", "HTTP 400");
        assert_eq!(
            unknown("organization", &error, "organizations:DescribeOrganization").detail,
            "organizations:DescribeOrganization: the endpoint has no such operation (`idcsync sandbox` has no \
             Organizations)"
        );
    }
}
