//! What there is of the SSO Admin API beside ListInstances: who is assigned to what.

use serde_json::{Value, json};

use super::answer::{self, instance_arn};
use super::failure::Failure;
use super::members::{Members, Problems};
use super::page::PageRequest;
use super::perform::Context;
use super::request::{Request, page, resource_id};
use crate::sandbox::store::{Assignment, Principal, Rule, is_permission_set_arn};

const INSTANCE_PATTERN: &str = "arn:aws(-[a-z]{1,5}){0,3}:sso:::instance/(sso)?ins-[a-zA-Z0-9-.]{16}";

/// What is asked for.
#[derive(Debug, Clone, PartialEq)]
pub enum Question {
    AssignmentsOf { instance: String, principal: Principal, account: Option<String>, page: PageRequest },
    PermissionSet { instance: String, arn: String },
}

pub(super) fn list_account_assignments(m: &mut Members, p: &mut Problems) -> Option<Request> {
    let (instance, principal, page) = (instance(m, p), principal(m, p), page(m, p));
    let account = m.structure("Filter", p).and_then(|mut filter| {
        let account = filter.text("AccountId", p);
        filter.finish(p);
        account
    });
    let (instance, principal) = (instance?, principal?);
    Some(Request::SsoAdmin(Question::AssignmentsOf { instance, principal, account, page }))
}

pub(super) fn describe_permission_set(m: &mut Members, p: &mut Problems) -> Option<Request> {
    let instance = instance(m, p);
    let arn = m.text("PermissionSetArn", p);
    let arn = m.require("PermissionSetArn", arn, p)?;
    if !is_permission_set_arn(&arn) {
        p.add("permissionSetArn", Rule::Other("Member must be the ARN of a permission set"));
    }
    Some(Request::SsoAdmin(Question::PermissionSet { instance: instance?, arn }))
}

fn instance(m: &mut Members, p: &mut Problems) -> Option<String> {
    let arn = m.text("InstanceArn", p);
    let arn = m.require("InstanceArn", arn, p)?;
    if !arn.starts_with("arn:aws") || !arn.contains(":sso:::instance/") {
        p.add("instanceArn", Rule::Pattern(INSTANCE_PATTERN));
    }
    Some(arn)
}

fn principal(m: &mut Members, p: &mut Problems) -> Option<Principal> {
    let (id, kind) = (m.text("PrincipalId", p), m.text("PrincipalType", p));
    let id = m.require("PrincipalId", id, p);
    let kind = m.require("PrincipalType", kind, p)?;
    let at = || "principalId".to_owned();
    match kind.as_str() {
        "USER" => resource_id(at(), &id?, "user", p).map(Principal::User),
        "GROUP" => resource_id(at(), &id?, "group", p).map(Principal::Group),
        _ => {
            p.add("principalType", Rule::Other("Member must satisfy enum value set: [USER, GROUP]"));
            None
        }
    }
}

impl Question {
    /// For the log.
    pub fn summary(&self) -> Value {
        match self {
            Self::AssignmentsOf { principal, .. } => json!(principal),
            Self::PermissionSet { arn, .. } => json!({"permissionSetArn": arn}),
        }
    }
}

pub(super) fn perform(question: Question, cx: &Context<'_>) -> Result<Value, Failure> {
    let store = cx.books.store();
    let ours = |instance: &str| {
        let known = instance == instance_arn(cx.store_id);
        known.then_some(()).ok_or_else(|| Failure::not_found_in_sso_admin("Instance not found."))
    };
    match question {
        Question::AssignmentsOf { instance, principal, account, page } => {
            ours(&instance)?;
            let exists = match principal {
                Principal::User(id) => store.user(id).is_some(),
                Principal::Group(id) => store.group(id).is_some(),
            };
            if !exists {
                return Err(Failure::not_found_in_sso_admin("Principal not found."));
            }
            let scope = format!("{}/assignments/{principal:?}/{account:?}", cx.store_id);
            let last: Option<String> = page.start(&scope)?;
            let mut found: Vec<(String, &Assignment)> = store
                .assignments_of(principal)
                .filter(|a| account.as_ref().is_none_or(|account| a.account_id == *account))
                .map(|a| (format!("{:?}/{}/{}", a.principal, a.account_id, a.permission_set_arn), a))
                .filter(|(key, _)| last.as_ref().is_none_or(|last| key > last))
                .collect();
            found.sort();
            let found = page.page(&scope, found.into_iter(), |(key, _)| key.clone());
            let listed = found.items.iter().map(|(_, a)| answer::assignment(a)).collect();
            Ok(answer::page("AccountAssignments", listed, found.next_token))
        }
        Question::PermissionSet { instance, arn } => {
            ours(&instance)?;
            let set = store.permission_set(&arn);
            let set = set.ok_or_else(|| Failure::not_found_in_sso_admin("PermissionSet not found."))?;
            Ok(json!({"PermissionSet": {
                "Name": set.name,
                "PermissionSetArn": set.permission_set_arn,
                "CreatedDate": answer::time(set.created_at),
            }}))
        }
    }
}
