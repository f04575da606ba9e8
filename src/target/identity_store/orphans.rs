//! Assignments whose user or group is gone: for `check`. Only a look at all assignments of the instance shows them, so
//! it ends after a number of requests.

use std::collections::{BTreeMap, BTreeSet};

use aws_sdk_ssoadmin::types::PrincipalType;

use super::IdentityStoreTarget;
use super::assignments::lacking;
use super::failure::of_service;
use super::observe::PAGE;
use crate::ids::TargetId;
use crate::model::{Assignment, CheckLine, Kind};
use crate::target::TargetError;
use crate::target::gather::Pages;
use crate::target::pacing::Repeat;

const NAME: &str = "assignments without anybody";

/// Half a minute at the account's rate.
const MOST_REQUESTS: u64 = 500;
/// Principals that are named.
const NAMED: usize = 5;

const LIST_SETS: &str = "sso:ListPermissionSets";
const LIST_ACCOUNTS: &str = "sso:ListAccountsForProvisionedPermissionSet";
const LIST_ASSIGNMENTS: &str = "sso:ListAccountAssignments";

/// What was seen, and whether that is all.
#[derive(Default)]
struct Seen {
    of: BTreeMap<(Kind, TargetId), Vec<Assignment>>,
    cut_short: bool,
}

impl IdentityStoreTarget {
    /// `summary`: of the assignments of one principal, in a line.
    pub(super) async fn check_orphans(&self, instance: &str) -> CheckLine {
        let before = self.pacer.usage().requests;
        let spent = |most| self.pacer.usage().requests - before >= most;
        // The rest is for a look at those who are assigned.
        let listed = || spent(MOST_REQUESTS / 2);
        let seen = match self.all_assignments(instance, &listed).await {
            Ok(seen) => seen,
            Err(e) => {
                return CheckLine::unknown(NAME, format!("{}: {}", e.code, e.message));
            }
        };
        let mut gone = Vec::new();
        let mut cut_short = seen.cut_short;
        let (mut looked_at, mut count) = (0_u64, 0_u64);
        for ((kind, id), list) in &seen.of {
            if spent(MOST_REQUESTS) {
                cut_short = true;
                break;
            }
            let there = match kind {
                Kind::User => self.user(id).await.map(|found| found.is_some()),
                Kind::Group => self.group(id).await.map(|found| found.is_some()),
            };
            match there {
                Ok(true) => {}
                Ok(false) => gone.push((*kind, id, list)),
                Err(e) => return CheckLine::unknown(NAME, format!("{}: {}", e.code, e.message)),
            }
            looked_at += 1;
            count += list.len() as u64;
        }
        let extent = format!(
            "{count} assignments of {looked_at} users and groups looked at{}",
            if cut_short {
                format!("; there are more than {MOST_REQUESTS} requests show")
            } else {
                String::new()
            }
        );
        if gone.is_empty() && cut_short {
            return CheckLine::unknown(NAME, format!("none among the first; {extent}"));
        }
        if gone.is_empty() {
            return CheckLine::ok(NAME, format!("none; {extent}"));
        }
        let mut named: Vec<String> = gone
            .iter()
            .take(NAMED)
            .map(|(kind, id, list)| format!("{kind} {id}: {}", in_accounts(list)))
            .collect();
        if gone.len() > NAMED {
            named.push(format!("{} more", gone.len() - NAMED));
        }
        CheckLine::warn(
            NAME,
            format!("{}; {extent}", named.join("; ")),
            "remove them in IAM Identity Center, or by sso:DeleteAccountAssignment: the id does not come back",
        )
    }

    async fn all_assignments(
        &self,
        instance: &str,
        spent: &(dyn Fn() -> bool + Sync),
    ) -> Result<Seen, TargetError> {
        let mut seen = Seen::default();
        for set in self.permission_sets(instance).await? {
            if spent() {
                seen.cut_short = true;
                break;
            }
            let mut found: Vec<((Kind, TargetId), Assignment)> = Vec::new();
            for account in self.accounts_of(instance, &set).await? {
                if spent() {
                    seen.cut_short = true;
                    break;
                }
                found.extend(self.assignments_in(instance, &set, &account).await?);
            }
            if !found.is_empty() {
                // Without its name a permission set is known by its ARN.
                let name = self.permission_set_name(instance, &set).await.ok().flatten();
                for (principal, mut assignment) in found {
                    assignment.permission_set_name.clone_from(&name);
                    seen.of.entry(principal).or_default().push(assignment);
                }
            }
            if seen.cut_short {
                break;
            }
        }
        Ok(seen)
    }

    async fn permission_sets(&self, instance: &str) -> Result<BTreeSet<String>, TargetError> {
        let (mut all, mut pages, mut token) = (BTreeSet::new(), Pages::default(), None);
        loop {
            let page = self
                .pacer
                .call("ListPermissionSets", Repeat::Read, || {
                    let request = self.sso_admin.list_permission_sets().instance_arn(instance);
                    let request = request.max_results(PAGE).set_next_token(token.clone());
                    async move { request.send().await.map_err(of_service) }
                })
                .await
                .map_err(|e| lacking(e, LIST_SETS))?;
            all.extend(page.permission_sets.unwrap_or_default());
            token = pages.next(page.next_token)?;
            if token.is_none() {
                return Ok(all);
            }
        }
    }

    async fn accounts_of(&self, instance: &str, set: &str) -> Result<BTreeSet<String>, TargetError> {
        let (mut all, mut pages, mut token) = (BTreeSet::new(), Pages::default(), None);
        loop {
            let page = self
                .pacer
                .call("ListAccountsForProvisionedPermissionSet", Repeat::Read, || {
                    let request = self.sso_admin.list_accounts_for_provisioned_permission_set();
                    let request = request.instance_arn(instance).permission_set_arn(set);
                    let request = request.max_results(PAGE).set_next_token(token.clone());
                    async move { request.send().await.map_err(of_service) }
                })
                .await
                .map_err(|e| lacking(e, LIST_ACCOUNTS))?;
            all.extend(page.account_ids.unwrap_or_default());
            token = pages.next(page.next_token)?;
            if token.is_none() {
                return Ok(all);
            }
        }
    }

    async fn assignments_in(
        &self,
        instance: &str,
        set: &str,
        account: &str,
    ) -> Result<Vec<((Kind, TargetId), Assignment)>, TargetError> {
        let (mut all, mut pages, mut token) = (Vec::new(), Pages::default(), None);
        loop {
            let page = self
                .pacer
                .call("ListAccountAssignments", Repeat::Read, || {
                    let request = self.sso_admin.list_account_assignments().instance_arn(instance);
                    let request = request.permission_set_arn(set).account_id(account);
                    let request = request.max_results(PAGE).set_next_token(token.clone());
                    async move { request.send().await.map_err(of_service) }
                })
                .await
                .map_err(|e| lacking(e, LIST_ASSIGNMENTS))?;
            let listed = page.account_assignments.unwrap_or_default().into_iter();
            all.extend(listed.filter_map(|a| {
                let kind = match a.principal_type? {
                    PrincipalType::User => Kind::User,
                    PrincipalType::Group => Kind::Group,
                    _ => return None,
                };
                let assignment = Assignment {
                    account: account.to_owned(),
                    permission_set: set.to_owned(),
                    permission_set_name: None,
                };
                Some(((kind, TargetId::new(a.principal_id?)), assignment))
            }));
            token = pages.next(page.next_token)?;
            if token.is_none() {
                return Ok(all);
            }
        }
    }
}

fn in_accounts(list: &[Assignment]) -> String {
    let mut accounts: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for assignment in list {
        let name = assignment.permission_set_name.as_deref().unwrap_or(&assignment.permission_set);
        accounts.entry(name).or_default().push(&assignment.account);
    }
    let each = accounts.into_iter().map(|(name, accounts)| match accounts.as_slice() {
        [one] => format!("{name} in {one}"),
        several => format!("{name} in {} accounts", several.len()),
    });
    each.collect::<Vec<_>>().join(", ")
}
