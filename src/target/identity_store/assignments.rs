//! Which AWS accounts and permission sets users and groups are assigned to: questions to the SSO Admin API.

use std::collections::{BTreeMap, BTreeSet};

use aws_sdk_ssoadmin::types::{AccountAssignmentForPrincipal, PrincipalType};
use futures::{StreamExt as _, TryStreamExt as _, stream};
use tracing::warn;

use super::check::{fail, ok};
use super::failure::of_service;
use super::observe::PAGE;
use super::{IdentityStoreTarget, absent};
use crate::ids::TargetId;
use crate::model::{Assignment, CheckLine, CheckState, Kind};
use crate::target::gather::{IN_FLIGHT, Pages};
use crate::target::pacing::Repeat;
use crate::target::{TargetError, TargetErrorKind};

const LIST_INSTANCES: &str = "sso:ListInstances";
const LIST_ASSIGNMENTS: &str = "sso:ListAccountAssignmentsForPrincipal";
const DESCRIBE_SET: &str = "sso:DescribePermissionSet";

impl IdentityStoreTarget {
    pub(super) async fn read_assignments(
        &self,
        principals: &BTreeMap<TargetId, Kind>,
    ) -> Result<BTreeMap<TargetId, Vec<Assignment>>, TargetError> {
        if principals.is_empty() {
            return Ok(BTreeMap::new());
        }
        let instance = self.instance_arn().await?;
        let mut found: BTreeMap<TargetId, Vec<Assignment>> = stream::iter(principals.clone())
            .map(|(id, kind)| async move {
                let found = self.assignments_of(instance, &id, kind).await?;
                Ok::<_, TargetError>((id, found))
            })
            .buffer_unordered(IN_FLIGHT)
            .try_collect()
            .await?;
        let names = self.permission_set_names(instance, sets(&found)).await;
        for assignment in found.values_mut().flatten() {
            assignment.permission_set_name = names.get(&assignment.permission_set).cloned();
        }
        found.values_mut().for_each(|list| list.sort());
        Ok(found)
    }

    /// Of the instance that the identity store belongs to.
    async fn instance_arn(&self) -> Result<&str, TargetError> {
        let store = self.identity_store_id().await?;
        let instances = self.instances().await.map_err(|e| lacking(e, LIST_INSTANCES))?;
        let ours = instances.iter().find(|i| i.identity_store_id() == Some(store.as_str()));
        ours.and_then(|i| i.instance_arn()).ok_or_else(|| {
            TargetError::new(
                TargetErrorKind::Validation,
                "InstanceNotFound",
                format!(
                    "{LIST_INSTANCES} shows no instance of IAM Identity Center with the identity store {store}: account \
                     assignments can be read from the management account, in the instance's own region"
                ),
            )
        })
    }

    /// Without names. Nothing where the principal is gone: its assignments went with it.
    async fn assignments_of(
        &self,
        instance: &str,
        principal: &TargetId,
        kind: Kind,
    ) -> Result<Vec<Assignment>, TargetError> {
        let principal_type = match kind {
            Kind::User => PrincipalType::User,
            Kind::Group => PrincipalType::Group,
        };
        let mut found = Vec::new();
        let mut pages = Pages::default();
        let mut token = None;
        loop {
            let page = self
                .pacer
                .call("ListAccountAssignmentsForPrincipal", Repeat::Read, || {
                    let request = self.sso_admin.list_account_assignments_for_principal();
                    let request = request.instance_arn(instance).principal_id(principal.as_str());
                    let request = request.principal_type(principal_type.clone());
                    let request = request.max_results(PAGE).set_next_token(token.clone());
                    async move { request.send().await.map_err(of_service) }
                })
                .await;
            let page = absent(page, kind).map_err(|e| lacking(e, LIST_ASSIGNMENTS))?;
            let Some(page) = page else { return Ok(Vec::new()) };
            let direct = |a: &AccountAssignmentForPrincipal| {
                a.principal_type().is_none_or(|t| *t == principal_type)
                    && a.principal_id().is_none_or(|id| id == principal.as_str())
            };
            // What a user has through its groups may be in the answer too, under the group's id.
            let listed = page.account_assignments.unwrap_or_default().into_iter().filter(direct);
            found.extend(listed.filter_map(|a| {
                let (account, permission_set) = (a.account_id?, a.permission_set_arn?);
                Some(Assignment { account, permission_set, permission_set_name: None })
            }));
            token = pages.next(page.next_token)?;
            if token.is_none() {
                return Ok(found);
            }
        }
    }

    /// By ARN, as far as they can be read: without its name a permission set is known by its ARN.
    async fn permission_set_names(&self, instance: &str, arns: BTreeSet<String>) -> BTreeMap<String, String> {
        let mut names = BTreeMap::new();
        for arn in arns {
            match self.permission_set_name(instance, &arn).await {
                Ok(Some(name)) => {
                    names.insert(arn, name);
                }
                Ok(None) => {}
                Err(error) => {
                    warn!(
                        "permission sets are shown by their ARNs, since their names could not be read: {error}"
                    );
                    break;
                }
            }
        }
        names
    }

    /// `None` where it is gone.
    pub(super) async fn permission_set_name(
        &self,
        instance: &str,
        arn: &str,
    ) -> Result<Option<String>, TargetError> {
        let answer = self
            .pacer
            .call("DescribePermissionSet", Repeat::Read, || {
                let request = self.sso_admin.describe_permission_set();
                let request = request.instance_arn(instance).permission_set_arn(arn);
                async move { request.send().await.map_err(of_service) }
            })
            .await;
        match answer {
            Ok(found) => Ok(found.permission_set.and_then(|set| set.name)),
            Err(e) if matches!(e.kind, TargetErrorKind::NotFound(_)) => Ok(None),
            Err(e) => Err(lacking(e, DESCRIBE_SET)),
        }
    }

    /// Whether all of it may be asked, and what is assigned to nobody. What cannot be read here fails no cycle, so it is
    /// worth a look and no more.
    pub(super) async fn try_assignments(&self) -> Vec<CheckLine> {
        match self.instance_arn().await {
            Ok(instance) => vec![self.try_those_of_one(instance).await, self.check_orphans(instance).await],
            Err(e) => vec![worth_a_look(&e, LIST_INSTANCES)],
        }
    }

    async fn try_those_of_one(&self, instance: &str) -> CheckLine {
        let users = match self.one_page_of_users().await {
            Ok(page) => page.users,
            Err(e) => return worth_a_look(&e, "identitystore:ListUsers"),
        };
        let Some(user) = users.first() else {
            return ok(NAME, "not tried: the store has no user to ask about".to_owned());
        };
        let found = match self.assignments_of(instance, &TargetId::new(user.user_id()), Kind::User).await {
            Ok(found) => found,
            Err(e) => return worth_a_look(&e, LIST_ASSIGNMENTS),
        };
        let Some(one) = found.first() else {
            return ok(NAME, "allowed; the names of permission sets were not tried".to_owned());
        };
        match self.permission_set_name(instance, &one.permission_set).await {
            Ok(_) => ok(NAME, "allowed, with the names of permission sets".to_owned()),
            Err(e) => worth_a_look(&e, DESCRIBE_SET),
        }
    }
}

const NAME: &str = "account assignments";

fn worth_a_look(error: &TargetError, permission: &str) -> CheckLine {
    let line = fail(NAME, error, &format!("allow {permission}"));
    CheckLine { state: CheckState::Warn, ..line }
}

fn sets(found: &BTreeMap<TargetId, Vec<Assignment>>) -> BTreeSet<String> {
    found.values().flatten().map(|a| a.permission_set.clone()).collect()
}

/// A denied call, with the permission that it lacks: the service does not always name it.
pub(super) fn lacking(error: TargetError, permission: &str) -> TargetError {
    let denied = error.kind == TargetErrorKind::AccessDenied && error.code == "AccessDeniedException";
    if denied {
        let message = format!("{}; allow {permission}", error.message);
        return TargetError { message, ..error };
    }
    error
}
