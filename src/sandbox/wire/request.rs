//! Requests, decoded from JSON: every member checked for type, length and pattern before the store is looked at.

use std::str::FromStr;

use serde_json::{Map, Value, json};

use super::failure::Failure;
use super::members::{Members, Problems};
use super::operation::Operation;
use super::page::{MAX_RESULTS, PageRequest};
use super::patch::AttributeOperation;
use super::sso_admin::{self, Question};
use super::user_input;
use crate::sandbox::store::{
    EXTERNAL_ID_MAX, ExternalId, GroupId, MembershipId, Revision, Rule, TEXT_MAX, UserAttributes, UserId,
};

/// The only extension that exists.
pub const ENTERPRISE: &str = "aws:identitystore:enterprise";

const STORE_ID_PATTERN: &str = "(arn:aws[a-z-]*:identitystore::\\d{12}:identitystore/)?(d-[0-9a-f]{10}|[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12})";
const RESOURCE_ID_PATTERN: &str = "(arn:aws[a-z-]*:identitystore:::(user|group|membership)/)?([0-9a-f]{10}-|)[A-Fa-f0-9]{8}-[A-Fa-f0-9]{4}-[A-Fa-f0-9]{4}-[A-Fa-f0-9]{4}-[A-Fa-f0-9]{12}";
const REVISION_PATTERN: &str = "[0-9]+";
const EXTENSION_PATTERN: &str = "aws:identitystore:[a-z]{1,20}";
const NEXT_TOKEN_PATTERN: &str = "[-a-zA-Z0-9+=/:_]*";
const NEXT_TOKEN_MAX: usize = 65_535;

/// A request that is well formed, for the identity store `store` (none for the SSO Admin API).
#[derive(Debug, Clone, PartialEq)]
pub struct Decoded {
    pub store: Option<String>,
    pub request: Request,
}

/// By what a user or group is looked up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Alternate {
    UserName(String),
    Email(String),
    DisplayName(String),
    External(ExternalId),
}

/// The operations with their members.
#[derive(Debug, Clone, PartialEq)]
pub enum Request {
    CreateUser { attributes: Box<UserAttributes> },
    DescribeUser { user: UserId, extensions: bool },
    UpdateUser { user: UserId, operations: Vec<AttributeOperation>, revision: Option<Revision> },
    DeleteUser { user: UserId, revision: Option<Revision> },
    GetUserId { by: Alternate },
    ListUsers { page: PageRequest, user_name: Option<String>, extensions: bool },
    CreateGroup { display_name: Option<String>, description: Option<String> },
    DescribeGroup { group: GroupId },
    UpdateGroup { group: GroupId, operations: Vec<AttributeOperation>, revision: Option<Revision> },
    DeleteGroup { group: GroupId, revision: Option<Revision> },
    GetGroupId { by: Alternate },
    ListGroups { page: PageRequest, display_name: Option<String> },
    CreateGroupMembership { group: GroupId, user: UserId },
    DescribeGroupMembership { membership: MembershipId },
    DeleteGroupMembership { membership: MembershipId },
    GetGroupMembershipId { group: GroupId, user: UserId },
    IsMemberInGroups { user: UserId, groups: Vec<GroupId> },
    ListGroupMemberships { group: GroupId, page: PageRequest },
    ListGroupMembershipsForMember { user: UserId, page: PageRequest },
    ListInstances,
    SsoAdmin(Question),
}

/// Decodes the body of a call of `operation`.
pub fn decode(operation: Operation, body: &[u8]) -> Result<Decoded, Failure> {
    let values: Map<String, Value> =
        serde_json::from_slice(body).map_err(|e| Failure::serialization(e.to_string()))?;
    let mut m = Members::top(values);
    let mut problems = Problems::default();
    let p = &mut problems;
    let store = if operation.is_of_sso_admin() { None } else { identity_store_id(&mut m, p) };
    let request = match operation {
        Operation::ListInstances => list_instances(&mut m, p),
        Operation::ListAccountAssignmentsForPrincipal => sso_admin::list_account_assignments(&mut m, p),
        Operation::DescribePermissionSet => sso_admin::describe_permission_set(&mut m, p),
        _ => read(operation, &mut m, p),
    };
    m.finish(p);
    match (Failure::of(problems), request) {
        (Some(failure), _) => Err(failure),
        (None, Some(request)) => Ok(Decoded { store, request }),
        (None, None) => Err(Failure::internal("The request could not be decoded")),
    }
}

/// Reads all members before it gives up on a missing one, so that every problem is found.
fn read(operation: Operation, m: &mut Members, p: &mut Problems) -> Option<Request> {
    Some(match operation {
        Operation::CreateUser => {
            let attributes = Box::new(user_input::read(m, p));
            Request::CreateUser { attributes }
        }
        Operation::DescribeUser => {
            let (user, extensions) = (user_id(m, p), extension_names(m, p));
            Request::DescribeUser { user: user?, extensions }
        }
        Operation::UpdateUser => {
            let (user, operations, revision) = (user_id(m, p), operations(m, p), revision(m, p));
            Request::UpdateUser { user: user?, operations: operations?, revision }
        }
        Operation::DeleteUser => {
            let (user, revision) = (user_id(m, p), revision(m, p));
            Request::DeleteUser { user: user?, revision }
        }
        Operation::GetUserId => Request::GetUserId { by: alternate(m, user_alternate, p)? },
        Operation::ListUsers => {
            let (page, extensions) = (page(m, p), extension_names(m, p));
            let user_name = filter(m, "UserName", p);
            Request::ListUsers { page, user_name, extensions }
        }
        Operation::CreateGroup => {
            let (display_name, description) = (m.text("DisplayName", p), m.text("Description", p));
            Request::CreateGroup { display_name, description }
        }
        Operation::DescribeGroup => Request::DescribeGroup { group: group_id(m, p)? },
        Operation::UpdateGroup => {
            let (group, operations, revision) = (group_id(m, p), operations(m, p), revision(m, p));
            Request::UpdateGroup { group: group?, operations: operations?, revision }
        }
        Operation::DeleteGroup => {
            let (group, revision) = (group_id(m, p), revision(m, p));
            Request::DeleteGroup { group: group?, revision }
        }
        Operation::GetGroupId => Request::GetGroupId { by: alternate(m, group_alternate, p)? },
        Operation::ListGroups => {
            let page = page(m, p);
            let display_name = filter(m, "DisplayName", p);
            Request::ListGroups { page, display_name }
        }
        Operation::CreateGroupMembership => {
            let (group, user) = (group_id(m, p), member_id(m, p));
            Request::CreateGroupMembership { group: group?, user: user? }
        }
        Operation::DescribeGroupMembership => {
            Request::DescribeGroupMembership { membership: membership_id(m, p)? }
        }
        Operation::DeleteGroupMembership => {
            Request::DeleteGroupMembership { membership: membership_id(m, p)? }
        }
        Operation::GetGroupMembershipId => {
            let (group, user) = (group_id(m, p), member_id(m, p));
            Request::GetGroupMembershipId { group: group?, user: user? }
        }
        Operation::IsMemberInGroups => {
            let (user, groups) = (member_id(m, p), group_ids(m, p));
            Request::IsMemberInGroups { user: user?, groups: groups? }
        }
        Operation::ListGroupMemberships => {
            let (group, page) = (group_id(m, p), page(m, p));
            Request::ListGroupMemberships { group: group?, page }
        }
        Operation::ListGroupMembershipsForMember => {
            let (user, page) = (member_id(m, p), page(m, p));
            Request::ListGroupMembershipsForMember { user: user?, page }
        }
        Operation::ListInstances
        | Operation::ListAccountAssignmentsForPrincipal
        | Operation::DescribePermissionSet => return None,
    })
}

fn list_instances(m: &mut Members, p: &mut Problems) -> Option<Request> {
    let page = page(m, p);
    // There is one instance, so there is no second page.
    if page.next_token.is_some() {
        p.add("nextToken", Rule::Other("The token is not valid for this request"));
    }
    if m.text("RegionScope", p).is_some_and(|s| s != "CURRENT_REGION" && s != "ALL_REGIONS") {
        p.add(
            "regionScope",
            Rule::Other("Member must satisfy enum value set: [CURRENT_REGION, ALL_REGIONS]"),
        );
    }
    Some(Request::ListInstances)
}

/// The id alone, whether it came as such or as an ARN.
fn identity_store_id(m: &mut Members, p: &mut Problems) -> Option<String> {
    let text = m.text("IdentityStoreId", p);
    let text = m.require("IdentityStoreId", text, p)?;
    let id = match text.strip_prefix("arn:aws") {
        None => Some(text.as_str()),
        Some(rest) => rest.rsplit_once('/').and_then(|(arn, id)| {
            let account = arn.split_once(":identitystore::")?.1.strip_suffix(":identitystore")?;
            (account.len() == 12 && account.bytes().all(|b| b.is_ascii_digit())).then_some(id)
        }),
    };
    let hex = |s: &str| s.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
    let id = id.filter(|id| match id.strip_prefix("d-") {
        Some(short) => short.len() == 10 && hex(short),
        None => id.len() == 36 && UserId::from_str(id).is_ok() && hex(&id.replace('-', "")),
    });
    if id.is_none() {
        p.add("identityStoreId", Rule::Pattern(STORE_ID_PATTERN));
    }
    id.map(str::to_owned)
}

pub(super) fn resource_id<T: FromStr>(path: String, text: &str, kind: &str, p: &mut Problems) -> Option<T> {
    let id = match text.strip_prefix("arn:aws") {
        None => Some(text),
        Some(rest) => rest.split_once(":identitystore:::").and_then(|(partition, resource)| {
            let letters = partition.bytes().all(|b| b.is_ascii_lowercase() || b == b'-');
            resource.split_once('/').filter(|(of, _)| letters && *of == kind).map(|(_, id)| id)
        }),
    };
    let id = id.and_then(|id| id.parse().ok());
    if id.is_none() {
        p.add(path, Rule::Pattern(RESOURCE_ID_PATTERN));
    }
    id
}

fn required_id<T: FromStr>(m: &mut Members, name: &str, kind: &str, p: &mut Problems) -> Option<T> {
    let text = m.text(name, p);
    let text = m.require(name, text, p)?;
    resource_id(m.path_of(name), &text, kind, p)
}

fn user_id(m: &mut Members, p: &mut Problems) -> Option<UserId> {
    required_id(m, "UserId", "user", p)
}

fn group_id(m: &mut Members, p: &mut Problems) -> Option<GroupId> {
    required_id(m, "GroupId", "group", p)
}

fn membership_id(m: &mut Members, p: &mut Problems) -> Option<MembershipId> {
    required_id(m, "MembershipId", "membership", p)
}

/// The union MemberId, of which only UserId exists: there are no groups in groups.
fn member_id(m: &mut Members, p: &mut Problems) -> Option<UserId> {
    let member = m.structure("MemberId", p);
    let mut member = m.require("MemberId", member, p)?;
    let id = user_id(&mut member, p);
    member.finish(p);
    id
}

fn group_ids(m: &mut Members, p: &mut Problems) -> Option<Vec<GroupId>> {
    let ids = m.texts("GroupIds", (1, 100), p);
    let ids = m.require("GroupIds", ids, p)?;
    ids.into_iter().map(|(path, id)| resource_id(path, &id, "group", p)).collect()
}

fn revision(m: &mut Members, p: &mut Problems) -> Option<Revision> {
    let text = m.text("Revision", p)?;
    let digits = (1..=64).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit());
    if !digits {
        p.add("revision", Rule::Pattern(REVISION_PATTERN));
    }
    // A number that is too great is well formed, and no revision of anything.
    digits.then(|| Revision(text.parse().unwrap_or(u64::MAX)))
}

pub(super) fn page(m: &mut Members, p: &mut Problems) -> PageRequest {
    let max_results = m.integer("MaxResults", p);
    if max_results.is_some_and(|n| n < 1) {
        p.add("maxResults", Rule::MinValue(1));
    }
    if max_results.is_some_and(|n| n > MAX_RESULTS as i64) {
        p.add("maxResults", Rule::MaxValue(MAX_RESULTS as i64));
    }
    let next_token = m.text("NextToken", p);
    if let Some(token) = &next_token {
        let allowed = |b: u8| b.is_ascii_alphanumeric() || b"-+=/:_".contains(&b);
        if token.is_empty() {
            p.add("nextToken", Rule::MinLength(1));
        } else if token.len() > NEXT_TOKEN_MAX {
            p.add("nextToken", Rule::MaxLength(NEXT_TOKEN_MAX));
        } else if !token.bytes().all(allowed) {
            p.add("nextToken", Rule::Pattern(NEXT_TOKEN_PATTERN));
        }
    }
    PageRequest { max_results: max_results.and_then(|n| usize::try_from(n).ok()), next_token }
}

/// `Filters`: at most one, of the attribute `path`, compared whole.
fn filter(m: &mut Members, path: &str, p: &mut Problems) -> Option<String> {
    let mut wanted = None;
    for mut filter in m.structures("Filters", (0, 1), p)? {
        let (attribute, value) = (filter.text("AttributePath", p), filter.text("AttributeValue", p));
        let attribute = filter.require("AttributePath", attribute, p);
        if attribute.is_some_and(|a| a != path) {
            p.add(
                filter.path_of("AttributePath"),
                Rule::Other("Filtering by this attribute is not supported"),
            );
        }
        let value = filter.require("AttributeValue", value, p);
        wanted = value.filter(|v| within(v, TEXT_MAX, &filter.path_of("AttributeValue"), p));
        filter.finish(p);
    }
    wanted
}

fn within(text: &str, max: usize, path: &str, p: &mut Problems) -> bool {
    let rule = match text.chars().count() {
        0 => Rule::MinLength(1),
        n if n > max => Rule::MaxLength(max),
        _ => return true,
    };
    p.add(path, rule);
    false
}

/// Whether the enterprise extension is asked for.
fn extension_names(m: &mut Members, p: &mut Problems) -> bool {
    let names = m.texts("Extensions", (1, 10), p).unwrap_or_default();
    for (path, name) in &names {
        known_extension(path, name, p);
    }
    !names.is_empty()
}

pub(super) fn known_extension(path: &str, name: &str, p: &mut Problems) {
    let form = |last: &str| (1..=20).contains(&last.len()) && last.bytes().all(|b| b.is_ascii_lowercase());
    if !name.strip_prefix("aws:identitystore:").is_some_and(form) {
        p.add(path, Rule::Pattern(EXTENSION_PATTERN));
    } else if name != ENTERPRISE {
        p.add(path, Rule::Other("The only supported extension is aws:identitystore:enterprise"));
    }
}

fn operations(m: &mut Members, p: &mut Problems) -> Option<Vec<AttributeOperation>> {
    let list = m.structures("Operations", (1, 100), p);
    let list = m.require("Operations", list, p)?;
    let mut operations = Vec::with_capacity(list.len());
    for mut item in list {
        let (path, value) = (item.text("AttributePath", p), item.document("AttributeValue"));
        let at = item.path_of("AttributeValue");
        if let Some(path) = item.require("AttributePath", path, p)
            && within(&path, 255, &item.path_of("AttributePath"), p)
        {
            operations.push(AttributeOperation { path, value, at });
        }
        item.finish(p);
    }
    Some(operations)
}

/// The union AlternateIdentifier: exactly one of its two members.
fn alternate(
    m: &mut Members,
    by_attribute: fn(&str, String) -> Option<Alternate>,
    p: &mut Problems,
) -> Option<Alternate> {
    let union = m.structure("AlternateIdentifier", p);
    let mut union = m.require("AlternateIdentifier", union, p)?;
    let (external, unique) = (union.structure("ExternalId", p), union.structure("UniqueAttribute", p));
    let path = union.path_of("");
    union.finish(p);
    match (external, unique) {
        (Some(mut external), None) => {
            let (issuer, id) = (external.text("Issuer", p), external.text("Id", p));
            let issuer = external.require("Issuer", issuer, p);
            let id = external.require("Id", id, p);
            let (at_issuer, at_id) = (external.path_of("Issuer"), external.path_of("Id"));
            external.finish(p);
            let issuer = issuer.filter(|text| within(text, EXTERNAL_ID_MAX, &at_issuer, p));
            let id = id.filter(|text| within(text, EXTERNAL_ID_MAX, &at_id, p));
            Some(Alternate::External(ExternalId { issuer: issuer?, id: id? }))
        }
        (None, Some(mut unique)) => {
            let (attribute, value) = (unique.text("AttributePath", p), unique.document("AttributeValue"));
            let attribute = unique.require("AttributePath", attribute, p);
            let value = unique.require("AttributeValue", value, p);
            let (at_path, at_value) = (unique.path_of("AttributePath"), unique.path_of("AttributeValue"));
            unique.finish(p);
            let (attribute, value) = (attribute?, value?);
            let Value::String(value) = value else {
                p.add(at_value, Rule::Other("Member must be a string"));
                return None;
            };
            let found = by_attribute(&attribute, value);
            if found.is_none() {
                p.add(at_path, Rule::Other("This is not a unique attribute"));
            }
            found
        }
        _ => {
            p.add(path.trim_end_matches('.'), Rule::Other("Exactly one member of the union must be set"));
            None
        }
    }
}

// The documentation shows these paths in camelCase; callers in the wild send `UserName` and `DisplayName` too.
fn user_alternate(path: &str, value: String) -> Option<Alternate> {
    match path.to_lowercase().as_str() {
        "username" => Some(Alternate::UserName(value)),
        "emails.value" => Some(Alternate::Email(value)),
        _ => None,
    }
}

fn group_alternate(path: &str, value: String) -> Option<Alternate> {
    (path.to_lowercase() == "displayname").then_some(Alternate::DisplayName(value))
}

impl Request {
    /// What the request is about, for the log: ids and the names that identify, no other personal data.
    pub fn summary(&self) -> Value {
        match self {
            Self::CreateUser { attributes } => json!({"userName": attributes.user_name}),
            Self::DescribeUser { user, .. } | Self::DeleteUser { user, .. } => json!({"userId": user}),
            Self::UpdateUser { user, operations, .. } => {
                json!({"userId": user, "attributePaths": paths(operations)})
            }
            Self::GetUserId { by } | Self::GetGroupId { by } => by.summary(),
            Self::ListUsers { user_name, .. } => {
                user_name.as_ref().map_or(json!({}), |n| json!({"userName": n}))
            }
            Self::CreateGroup { display_name, .. } => json!({"displayName": display_name}),
            Self::DescribeGroup { group }
            | Self::DeleteGroup { group, .. }
            | Self::ListGroupMemberships { group, .. } => json!({"groupId": group}),
            Self::UpdateGroup { group, operations, .. } => {
                json!({"groupId": group, "attributePaths": paths(operations)})
            }
            Self::ListGroups { display_name, .. } => {
                display_name.as_ref().map_or(json!({}), |n| json!({"displayName": n}))
            }
            Self::CreateGroupMembership { group, user } | Self::GetGroupMembershipId { group, user } => {
                json!({"groupId": group, "userId": user})
            }
            Self::DescribeGroupMembership { membership } | Self::DeleteGroupMembership { membership } => {
                json!({"membershipId": membership})
            }
            Self::IsMemberInGroups { user, groups } => json!({"userId": user, "groupIds": groups}),
            Self::ListGroupMembershipsForMember { user, .. } => json!({"userId": user}),
            Self::ListInstances => json!({}),
            Self::SsoAdmin(question) => question.summary(),
        }
    }
}

impl Alternate {
    fn summary(&self) -> Value {
        match self {
            Self::UserName(name) => json!({"userName": name}),
            Self::Email(email) => json!({"email": email}),
            Self::DisplayName(name) => json!({"displayName": name}),
            Self::External(id) => json!({"externalId": id.id}),
        }
    }
}

fn paths(operations: &[AttributeOperation]) -> Vec<&str> {
    operations.iter().map(|o| o.path.as_str()).collect()
}

#[cfg(test)]
mod tests;
