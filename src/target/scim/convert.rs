//! Between the attributes of the model and SCIM's JSON (RFC 7643).
//!
//! Each list has one value, the primary one, which is also all that AWS takes. A type without an address, number or
//! email has nothing to describe and is not sent.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value, json};

use crate::ids::TargetId;
use crate::model::{GroupAttributes, ObservedGroup, ObservedUser, UserAttribute as A, UserAttributes};

const USER: &str = "urn:ietf:params:scim:schemas:core:2.0:User";
const GROUP: &str = "urn:ietf:params:scim:schemas:core:2.0:Group";
const ENTERPRISE: &str = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User";
const PATCH: &str = "urn:ietf:params:scim:api:messages:2.0:PatchOp";

/// Where an attribute stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Plain(&'static str),
    Name(&'static str),
    /// The list, and the member of its one value.
    List(&'static str, &'static str),
    Enterprise(&'static str),
    /// SCIM has no such attribute.
    Nowhere,
}

fn place(attribute: A) -> Place {
    let path = attribute.path();
    if attribute == A::Website {
        Place::Nowhere
    } else if let Some(member) = path.strip_prefix("enterprise.") {
        Place::Enterprise(member)
    } else if let Some(member) = path.strip_prefix("name.") {
        Place::Name(member)
    } else if let Some((list, member)) = path.split_once("[primary].") {
        Place::List(list, member)
    } else {
        Place::Plain(path)
    }
}

/// What is empty is absent.
fn text(attributes: &UserAttributes, attribute: A) -> Option<&str> {
    attributes.get(&attribute).map(String::as_str).filter(|v| !v.is_empty())
}

/// The body of a user to be created.
pub(super) fn new_user(attributes: &UserAttributes) -> Value {
    let (mut user, mut name, mut enterprise) = (Map::new(), Map::new(), Map::new());
    for attribute in A::ALL.iter().copied() {
        let Some(value) = text(attributes, attribute) else { continue };
        match place(attribute) {
            Place::Plain(member) => _ = user.insert(member.to_owned(), value.into()),
            Place::Name(member) => _ = name.insert(member.to_owned(), value.into()),
            Place::Enterprise(member) => {
                enterprise.insert(member.to_owned(), enterprise_value(attribute, value));
            }
            Place::List(list, _) => {
                if let Some(value) = list_value(attributes, list) {
                    user.insert(list.to_owned(), value);
                }
            }
            Place::Nowhere => {}
        }
    }
    let mut schemas = vec![USER];
    if !name.is_empty() {
        user.insert("name".to_owned(), name.into());
    }
    if !enterprise.is_empty() {
        schemas.push(ENTERPRISE);
        user.insert(ENTERPRISE.to_owned(), enterprise.into());
    }
    user.insert("schemas".to_owned(), json!(schemas));
    // Not left to a default, which nobody documents.
    user.insert("active".to_owned(), true.into());
    Value::Object(user)
}

fn enterprise_value(attribute: A, value: &str) -> Value {
    if attribute == A::Manager { json!({ "value": value }) } else { value.into() }
}

/// The list with its one value, if there is anything to say but what type it would be.
fn list_value(attributes: &UserAttributes, list: &str) -> Option<Value> {
    let mut entry = Map::new();
    for attribute in A::ALL.iter().copied() {
        if let (Place::List(of, member), Some(value)) = (place(attribute), text(attributes, attribute))
            && of == list
        {
            entry.insert(member.to_owned(), value.into());
        }
    }
    let says_something = entry.keys().any(|member| member != "type");
    entry.insert("primary".to_owned(), true.into());
    says_something.then(|| json!([entry]))
}

/// The operations of a PATCH, each path once: no two of them meet, on userName least of all. What is absent in
/// `desired` is removed. Lists are replaced whole.
pub(super) fn user_changes(changed: &[A], desired: &UserAttributes) -> Vec<Value> {
    let mut operations: BTreeMap<String, Option<Value>> = BTreeMap::new();
    for attribute in changed.iter().copied() {
        let value = text(desired, attribute);
        match place(attribute) {
            Place::Plain(member) => _ = operations.insert(member.to_owned(), value.map(Value::from)),
            Place::Name(member) => _ = operations.insert(format!("name.{member}"), value.map(Value::from)),
            Place::Enterprise(member) => {
                let value = value.map(|v| enterprise_value(attribute, v));
                operations.insert(format!("{ENTERPRISE}:{member}"), value);
            }
            Place::List(list, _) => _ = operations.insert(list.to_owned(), list_value(desired, list)),
            Place::Nowhere => {}
        }
    }
    operations.into_iter().map(|(path, value)| put(&path, value)).collect()
}

fn put(path: &str, value: Option<Value>) -> Value {
    match value {
        Some(value) => json!({ "op": "replace", "path": path, "value": value }),
        None => json!({ "op": "remove", "path": path }),
    }
}

/// The one operation that enables or disables.
pub(super) fn activity(active: bool) -> Vec<Value> {
    vec![put("active", Some(active.into()))]
}

/// The body of a PATCH.
pub(super) fn patch(operations: Vec<Value>) -> Value {
    json!({ "schemas": [PATCH], "Operations": operations })
}

/// The body of a group to be created.
pub(super) fn new_group(group: &GroupAttributes, members: &[TargetId]) -> Value {
    let mut body = json!({ "schemas": [GROUP], "displayName": group.display_name });
    if let Some(id) = external_id(group) {
        body["externalId"] = id.into();
    }
    if !members.is_empty() {
        body["members"] = values(members);
    }
    body
}

fn external_id(group: &GroupAttributes) -> Option<&str> {
    group.external_id.as_deref().filter(|id| !id.is_empty())
}

fn values(members: &[TargetId]) -> Value {
    members.iter().map(|id| json!({ "value": id.as_str() })).collect()
}

pub(super) fn group_changes(before: &GroupAttributes, desired: &GroupAttributes) -> Vec<Value> {
    let mut operations = Vec::new();
    if before.display_name != desired.display_name {
        operations.push(put("displayName", Some(desired.display_name.as_str().into())));
    }
    if external_id(before) != external_id(desired) {
        operations.push(put("externalId", external_id(desired).map(Value::from)));
    }
    operations
}

/// Who comes in or goes out. Nothing for nobody: an empty list has been known to empty a group.
pub(super) fn member_changes(users: &[TargetId], add: bool, rfc_remove: bool) -> Vec<Value> {
    match (users, add, rfc_remove) {
        ([], ..) => Vec::new(),
        (_, true, _) => vec![json!({ "op": "add", "path": "members", "value": values(users) })],
        (_, false, false) => vec![json!({ "op": "remove", "path": "members", "value": values(users) })],
        (_, false, true) => users
            .iter()
            .map(|id| json!({ "op": "remove", "path": format!("members[{}]", super::list::eq("value", id.as_str())) }))
            .collect(),
    }
}

pub(super) fn id(resource: &Value) -> Option<TargetId> {
    let id = resource.get("id").and_then(Value::as_str).filter(|id| !id.is_empty())?;
    Some(TargetId::new(id))
}

/// `true` where nothing is said; some write it as a text.
pub(super) fn active(resource: &Value) -> Option<bool> {
    match resource.get("active")? {
        Value::Bool(active) => Some(*active),
        Value::String(text) => text.to_ascii_lowercase().parse().ok(),
        _ => None,
    }
}

pub(super) fn observed_user(user: &Value) -> ObservedUser {
    let mut attributes = UserAttributes::new();
    for attribute in A::ALL.iter().copied() {
        let value = match place(attribute) {
            Place::Plain(member) => user.get(member),
            Place::Name(member) => user.get("name").and_then(|n| n.get(member)),
            Place::List(list, member) => primary(user, list).and_then(|entry| entry.get(member)),
            Place::Enterprise(member) => user.get(ENTERPRISE).and_then(|e| e.get(member)),
            Place::Nowhere => None,
        };
        // A manager is an object with a `value`; some servers take the text alone.
        let value = value.and_then(|v| v.get("value").unwrap_or(v).as_str()).filter(|v| !v.is_empty());
        if let Some(value) = value {
            attributes.insert(attribute, value.to_owned());
        }
    }
    let external_ids = external_ids(attributes.get(&A::ExternalId).map(String::as_str));
    ObservedUser { attributes, disabled: active(user) == Some(false), external_ids }
}

/// SCIM's have no issuer.
fn external_ids(id: Option<&str>) -> Vec<(String, String)> {
    id.map(|id| (String::new(), id.to_owned())).into_iter().collect()
}

/// The one marked as primary, else the first: people who write by hand often mark none.
fn primary<'u>(user: &'u Value, list: &str) -> Option<&'u Value> {
    let entries = user.get(list)?.as_array()?;
    let marked = entries.iter().find(|e| e.get("primary").and_then(Value::as_bool) == Some(true));
    marked.or_else(|| entries.first())
}

/// All addresses of a user, the primary one or not.
pub(super) fn emails(user: &Value) -> impl Iterator<Item = &str> {
    let emails = user.get("emails").and_then(Value::as_array);
    emails.into_iter().flatten().filter_map(|e| e.get("value")?.as_str())
}

/// A group, and the members that it shows: none at AWS, whoever there is.
pub(super) fn observed_group(group: &Value) -> (ObservedGroup, BTreeSet<TargetId>) {
    let text = |name: &str| group.get(name).and_then(Value::as_str).filter(|v| !v.is_empty());
    let attributes = GroupAttributes {
        display_name: text("displayName").unwrap_or_default().to_owned(),
        description: None,
        external_id: text("externalId").map(str::to_owned),
    };
    let shown = group.get("members").and_then(Value::as_array).into_iter().flatten();
    let shown = shown.filter(|m| m.get("type").and_then(Value::as_str).is_none_or(|kind| kind == "User"));
    let shown = shown.filter_map(|m| Some(TargetId::new(m.get("value")?.as_str()?))).collect();
    (ObservedGroup { attributes, external_ids: external_ids(text("externalId")), members: None }, shown)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn everything() -> UserAttributes {
        A::ALL.iter().filter(|a| **a != A::Website).map(|a| (*a, format!("{a} ß"))).collect()
    }

    fn ids(names: &[&str]) -> Vec<TargetId> {
        names.iter().map(|id| TargetId::new(*id)).collect()
    }

    #[test]
    fn what_is_created_reads_back_the_same() {
        let all = everything();
        let read = observed_user(&new_user(&all));
        assert_eq!(read.attributes, all);
        assert_eq!(read.external_ids, [(String::new(), "externalId ß".to_owned())]);
        assert!(!read.disabled);
        // Each attribute alone: none depends on another, but for the types of lists.
        for (attribute, value) in all {
            let alone = UserAttributes::from([(attribute, value)]);
            let read = observed_user(&new_user(&alone)).attributes;
            match attribute {
                A::EmailType | A::PhoneType | A::AddressType => assert!(read.is_empty()),
                _ => assert_eq!(read, alone),
            }
        }
    }

    #[test]
    fn a_new_user_is_active_and_names_its_schemas() {
        let attributes = UserAttributes::from([
            (A::UserName, "anna@x".to_owned()),
            (A::Email, "anna@x".to_owned()),
            (A::Title, String::new()),
            (A::Website, "https://x".to_owned()),
            (A::Manager, "m-1".to_owned()),
        ]);
        assert_eq!(
            new_user(&attributes),
            json!({
                "schemas": [USER, ENTERPRISE],
                "userName": "anna@x",
                "emails": [{"value": "anna@x", "primary": true}],
                "active": true,
                ENTERPRISE: {"manager": {"value": "m-1"}},
            })
        );
    }

    #[test]
    fn changes_have_each_path_once_and_remove_what_is_empty() {
        let desired = UserAttributes::from([
            (A::UserName, "anna".to_owned()),
            (A::Email, "anna@x".to_owned()),
            (A::EmailType, "work".to_owned()),
            (A::Department, "IT".to_owned()),
        ]);
        let changed = [
            A::UserName,
            A::EmailType,
            A::Email,
            A::Phone,
            A::Title,
            A::MiddleName,
            A::Department,
            A::Manager,
            A::Website,
            A::UserName,
        ];
        assert_eq!(
            user_changes(&changed, &desired),
            [
                json!({"op": "replace", "path": "emails",
                    "value": [{"value": "anna@x", "type": "work", "primary": true}]}),
                json!({"op": "remove", "path": "name.middleName"}),
                json!({"op": "remove", "path": "phoneNumbers"}),
                json!({"op": "remove", "path": "title"}),
                json!({"op": "replace", "path": format!("{ENTERPRISE}:department"), "value": "IT"}),
                json!({"op": "remove", "path": format!("{ENTERPRISE}:manager")}),
                json!({"op": "replace", "path": "userName", "value": "anna"}),
            ]
        );
    }

    #[test]
    fn nobody_is_never_a_list_of_members() {
        for (add, rfc) in [(true, false), (false, false), (false, true)] {
            assert!(member_changes(&[], add, rfc).is_empty());
        }
        let group = GroupAttributes { display_name: "g".to_owned(), ..GroupAttributes::default() };
        assert_eq!(new_group(&group, &[]), json!({"schemas": [GROUP], "displayName": "g"}));
    }

    #[test]
    fn members_go_out_in_the_form_of_aws_or_of_the_rfc() {
        let users = ids(&["a", "b\""]);
        let both = json!([{"value": "a"}, {"value": "b\""}]);
        assert_eq!(
            member_changes(&users, false, false),
            [json!({"op": "remove", "path": "members", "value": both})]
        );
        assert_eq!(
            member_changes(&users, false, true),
            [
                json!({"op": "remove", "path": "members[value eq \"a\"]"}),
                json!({"op": "remove", "path": "members[value eq \"b\\\"\"]"}),
            ]
        );
        for rfc in [false, true] {
            assert_eq!(
                member_changes(&users, true, rfc),
                [json!({"op": "add", "path": "members", "value": both})]
            );
        }
    }

    #[test]
    fn of_a_group_name_and_external_id_are_written_and_no_description() {
        let group = |name: &str, id: Option<&str>| GroupAttributes {
            display_name: name.to_owned(),
            description: Some("never sent".to_owned()),
            external_id: id.map(str::to_owned),
        };
        let other = GroupAttributes { description: None, ..group("a", Some("x")) };
        assert!(group_changes(&group("a", Some("x")), &other).is_empty());
        assert_eq!(
            group_changes(&group("a", None), &group("b", Some("x"))),
            [
                json!({"op": "replace", "path": "displayName", "value": "b"}),
                json!({"op": "replace", "path": "externalId", "value": "x"}),
            ]
        );
        let body = new_group(&group("a", Some("x")), &ids(&["u"]));
        let expected =
            json!({"schemas": [GROUP], "displayName": "a", "externalId": "x", "members": [{"value": "u"}]});
        assert_eq!(body, expected);
    }

    #[test]
    fn what_others_wrote_is_read_as_it_was_meant() {
        let email = |emails: Value| observed_user(&json!({"emails": emails})).attributes.remove(&A::Email);
        let marked = json!([{"value": "a@x"}, {"value": "b@x", "primary": true}]);
        assert_eq!(email(marked), Some("b@x".to_owned()));
        assert_eq!(email(json!([{"value": "a@x"}, {"value": "b@x"}])), Some("a@x".to_owned()));
        assert_eq!(email(json!([])), None);
        assert!(observed_user(&json!({"active": "False"})).disabled);
        assert!(!observed_user(&json!({})).disabled);
        let manager = json!({ENTERPRISE: {"manager": "m"}});
        assert_eq!(observed_user(&manager).attributes[&A::Manager], "m");
        let members = json!([{"value": "u"}, {"value": "g", "type": "Group"}]);
        let (group, shown) = observed_group(&json!({"displayName": "a", "members": members}));
        assert_eq!(
            (group.attributes.display_name.as_str(), shown),
            ("a", BTreeSet::from([TargetId::new("u")]))
        );
    }

    /// Something like a resource: the right names with values of any sort.
    fn resource() -> impl Strategy<Value = Value> {
        let scalar = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            "\\PC{0,8}|\u{1b}\\[2J|True|false".prop_map(Value::from),
        ];
        let names = vec![
            "id",
            "userName",
            "name",
            "givenName",
            "familyName",
            "displayName",
            "emails",
            "value",
            "primary",
            "type",
            "active",
            "externalId",
            "members",
            "addresses",
            "phoneNumbers",
            "Resources",
            "nickName",
            "manager",
            "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User",
        ];
        scalar.prop_recursive(4, 40, 6, move |inner| {
            let pairs = prop::collection::vec((prop::sample::select(names.clone()), inner.clone()), 0..7);
            prop_oneof![
                prop::collection::vec(inner, 0..4).prop_map(Value::from),
                pairs.prop_map(|pairs| {
                    Value::Object(pairs.into_iter().map(|(name, value)| (name.to_owned(), value)).collect())
                }),
            ]
        })
    }

    proptest! {
        #[test]
        fn no_resource_makes_it_panic(value in resource()) {
            let _ = (observed_user(&value), observed_group(&value), active(&value), emails(&value).count());
            if let Some(id) = id(&value) {
                prop_assert!(!id.as_str().is_empty());
            }
        }
    }
}
