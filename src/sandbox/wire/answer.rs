//! Answers as JSON, with the members of the API's shapes.

use serde_json::{Map, Value, json};

use super::failure::Failure;
use super::request::ENTERPRISE;
use crate::sandbox::store::{
    Assignment, ExternalId, Group, GroupId, Membership, MembershipId, Millis, User, UserAttributes, UserId,
};

/// The account that the sandbox plays.
pub const ACCOUNT: &str = "123456789012";

pub fn user_arn(id: UserId) -> String {
    format!("arn:aws:identitystore:::user/{id}")
}

pub fn group_arn(id: GroupId) -> String {
    format!("arn:aws:identitystore:::group/{id}")
}

pub fn membership_arn(id: MembershipId) -> String {
    format!("arn:aws:identitystore:::membership/{id}")
}

/// Times go over the wire as seconds since 1970, with a fraction.
pub fn time(at: Millis) -> Value {
    json!(at as f64 / 1000.0)
}

/// `userName` → `UserName`, through all levels: the stored names differ from the shapes' only in the first letter.
fn pascal(value: Value) -> Value {
    match value {
        Value::Object(members) => members
            .into_iter()
            .map(|(name, value)| {
                let mut chars = name.chars();
                let first = chars.next().map(|c| c.to_ascii_uppercase());
                (first.into_iter().chain(chars).collect::<String>(), pascal(value))
            })
            .collect::<Map<_, _>>()
            .into(),
        Value::Array(items) => items.into_iter().map(pascal).collect(),
        other => other,
    }
}

fn external_ids(ids: &[ExternalId]) -> Value {
    ids.iter().map(|id| json!({"Issuer": id.issuer, "Id": id.id})).collect()
}

/// The User shape, which is also what DescribeUser answers.
pub fn user(store: &str, user: &User, extensions: bool) -> Result<Value, Failure> {
    let attributes = UserAttributes { enterprise: None, ..user.attributes.clone() };
    let mut shape = match to_value(&attributes)? {
        Value::Object(attributes) => match pascal(Value::Object(attributes)) {
            Value::Object(shape) => shape,
            _ => Map::new(),
        },
        _ => Map::new(),
    };
    let mut put = |name: &str, value: Value| shape.insert(name.to_owned(), value);
    put("IdentityStoreId", json!(store));
    put("UserId", json!(user.id));
    put("UserArn", json!(user_arn(user.id)));
    put("Revision", json!(user.revision.0.to_string()));
    put("UserStatus", to_value(&user.status)?);
    put("CreatedAt", time(user.created_at));
    put("UpdatedAt", time(user.updated_at));
    if !user.external_ids.is_empty() {
        put("ExternalIds", external_ids(&user.external_ids));
    }
    if let (true, Some(enterprise)) = (extensions, &user.attributes.enterprise) {
        put("Extensions", json!({ ENTERPRISE: to_value(enterprise)? }));
    }
    Ok(Value::Object(shape))
}

fn to_value(value: &impl serde::Serialize) -> Result<Value, Failure> {
    serde_json::to_value(value).map_err(|_| Failure::internal("The answer could not be encoded"))
}

/// The Group shape, which is also what DescribeGroup answers.
pub fn group(store: &str, group: &Group) -> Value {
    let mut shape = json!({
        "IdentityStoreId": store,
        "GroupId": group.id,
        "GroupArn": group_arn(group.id),
        "Revision": group.revision.0.to_string(),
        "CreatedAt": time(group.created_at),
        "UpdatedAt": time(group.updated_at),
    });
    if let Value::Object(shape) = &mut shape {
        if let Some(name) = &group.display_name {
            shape.insert("DisplayName".to_owned(), json!(name));
        }
        if let Some(description) = &group.description {
            shape.insert("Description".to_owned(), json!(description));
        }
        if !group.external_ids.is_empty() {
            shape.insert("ExternalIds".to_owned(), external_ids(&group.external_ids));
        }
    }
    shape
}

/// The GroupMembership shape, which is also what DescribeGroupMembership answers.
pub fn membership(store: &str, membership: &Membership) -> Value {
    json!({
        "IdentityStoreId": store,
        "MembershipId": membership.id,
        "MembershipArn": membership_arn(membership.id),
        "GroupId": membership.group,
        "MemberId": {"UserId": membership.user},
        "CreatedAt": time(membership.created_at),
        "UpdatedAt": time(membership.created_at),
    })
}

/// A page of a list, under the name of its member.
pub fn page(name: &str, items: Vec<Value>, next_token: Option<String>) -> Value {
    let mut page = Map::new();
    page.insert(name.to_owned(), Value::Array(items));
    if let Some(token) = next_token {
        page.insert("NextToken".to_owned(), Value::String(token));
    }
    Value::Object(page)
}

/// The instance that goes with an identity store.
pub fn instance_arn(store: &str) -> String {
    let suffix: String = store
        .chars()
        .filter(char::is_ascii_alphanumeric)
        .chain("0000000000000000".chars())
        .take(16)
        .collect();
    format!("arn:aws:sso:::instance/ssoins-{suffix}")
}

/// One of those that ListAccountAssignmentsForPrincipal lists.
pub fn assignment(assignment: &Assignment) -> Value {
    pascal(json!(assignment))
}

/// The one instance that ListInstances of the SSO Admin API shows.
pub fn instances(store: &str, region: &str, created: Millis) -> Value {
    json!({"Instances": [{
        "InstanceArn": instance_arn(store),
        "IdentityStoreId": store,
        "IdentityStoreArn": format!("arn:aws:identitystore::{ACCOUNT}:identitystore/{store}"),
        "OwnerAccountId": ACCOUNT,
        "Name": "sandbox",
        "CreatedDate": time(created),
        "Status": "ACTIVE",
        "PrimaryRegion": region,
    }]})
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_change_their_first_letter_only() {
        assert_eq!(
            pascal(json!({"phoneNumbers": [{"value": "x", "type": "t"}], "name": {"givenName": "a"}})),
            json!({"PhoneNumbers": [{"Value": "x", "Type": "t"}], "Name": {"GivenName": "a"}})
        );
    }

    #[test]
    fn the_instance_arn_has_the_documented_form() {
        let instances = instances("d-1234567890", "eu-west-1", 0);
        assert_eq!(
            instances["Instances"][0]["InstanceArn"],
            "arn:aws:sso:::instance/ssoins-d123456789000000"
        );
    }
}
