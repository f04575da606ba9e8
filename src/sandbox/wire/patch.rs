//! UpdateUser and UpdateGroup: attribute operations applied to what is there.
//!
//! A path is written in camelCase (`name.givenName`, `emails`); those of the enterprise extension begin with its name
//! (`aws:identitystore:enterprise`, `aws:identitystore:enterprise.department`,
//! `aws:identitystore:enterprise.manager.value`). Lists are replaced whole, with the members of their items in camelCase
//! too. Null, or no value, removes the attribute.
//!
//! Source: Identity Store API Reference, AttributeOperation (and its pattern of AttributePath).

use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use super::failure::Failure;
use super::request::ENTERPRISE;
use crate::sandbox::store::{
    Address, Enterprise, Entry, GroupContent, Manager, Name, Photo, Rule, UserAttributes, Violation,
};

pub const NOT_ENTERPRISE: &str = "Member must be a map of employeeNumber, costCenter, organization, division, \
                                  department (strings) and manager (a map of value, displayName, $ref)";

/// One operation: `value` is `None` to remove the attribute. `at` is where the value stands in the request.
#[derive(Debug, Clone, PartialEq)]
pub struct AttributeOperation {
    pub path: String,
    pub value: Option<Value>,
    pub at: String,
}

/// What a path leads to.
#[derive(Debug, Clone, Copy)]
enum Shape {
    Text,
    Name,
    Entries,
    Addresses,
    Photos,
    Enterprise,
    Manager,
}

/// The steps into the stored attributes, and what is there.
fn user_path(path: &str) -> Option<(Vec<&str>, Shape)> {
    if let Some(rest) = path.strip_prefix(ENTERPRISE) {
        let inner = match rest {
            "" => return Some((vec!["enterprise"], Shape::Enterprise)),
            _ => rest.strip_prefix('.')?,
        };
        return match inner {
            "employeeNumber" | "costCenter" | "organization" | "division" | "department" => {
                Some((vec!["enterprise", inner], Shape::Text))
            }
            "manager" => Some((vec!["enterprise", "manager"], Shape::Manager)),
            "manager.value" => Some((vec!["enterprise", "manager", "value"], Shape::Text)),
            "manager.displayName" => Some((vec!["enterprise", "manager", "displayName"], Shape::Text)),
            _ => None,
        };
    }
    if let Some(part) = path.strip_prefix("name.") {
        return match part {
            "formatted" | "familyName" | "givenName" | "middleName" | "honorificPrefix"
            | "honorificSuffix" => Some((vec!["name", part], Shape::Text)),
            _ => None,
        };
    }
    let shape = match path {
        "userName" | "displayName" | "nickName" | "profileUrl" | "userType" | "title"
        | "preferredLanguage" | "locale" | "timezone" | "website" | "birthdate" => Shape::Text,
        "name" => Shape::Name,
        "emails" | "phoneNumbers" | "roles" => Shape::Entries,
        "addresses" => Shape::Addresses,
        "photos" => Shape::Photos,
        _ => return None,
    };
    Some((vec![path], shape))
}

fn is_a<T: DeserializeOwned>(value: &Value) -> bool {
    serde_json::from_value::<T>(value.clone()).is_ok()
}

impl Shape {
    /// What is wrong with a value for this place.
    fn refuses(self, value: &Value) -> Option<Rule> {
        let (fits, wanted) = match self {
            Self::Text => (value.is_string(), "Member must be a string, or null to remove the attribute"),
            Self::Name => (is_a::<Name>(value), "Member must be a map of the parts of a name"),
            Self::Entries => (is_a::<Vec<Entry>>(value), "Member must be a list of value, type, primary"),
            Self::Addresses => (is_a::<Vec<Address>>(value), "Member must be a list of addresses"),
            Self::Photos => {
                (is_a::<Vec<Photo>>(value), "Member must be a list of value, type, display, primary")
            }
            Self::Enterprise => (is_a::<Enterprise>(value), NOT_ENTERPRISE),
            Self::Manager => (is_a::<Manager>(value), "Member must be a map of value, displayName, $ref"),
        };
        // serde takes a list for a structure too.
        let structure = matches!(self, Self::Name | Self::Enterprise | Self::Manager);
        if !fits || (structure && !value.is_object()) {
            return Some(Rule::Other(wanted));
        }
        let empty = match value {
            Value::String(text) => text.is_empty(),
            Value::Array(items) => items.is_empty(),
            Value::Object(members) => members.is_empty(),
            _ => false,
        };
        empty.then_some(Rule::MinLength(1))
    }
}

fn at_path_of(operation: &AttributeOperation) -> String {
    operation.at.replace("attributeValue", "attributePath")
}

const NOT_AN_ATTRIBUTE: Rule = Rule::Other("This is not an attribute that can be updated");

/// The attributes after all operations, in their order. The store's rules have still to look at the result.
pub fn patch_user(
    attributes: &UserAttributes,
    operations: &[AttributeOperation],
) -> Result<UserAttributes, Failure> {
    let internal = |_| Failure::internal("The attributes could not be updated");
    let mut tree = match serde_json::to_value(attributes).map_err(internal)? {
        Value::Object(tree) => tree,
        _ => Map::new(),
    };
    let mut violations = Vec::new();
    for operation in operations {
        let Some((steps, shape)) = user_path(&operation.path) else {
            violations.push(Violation::new(at_path_of(operation), NOT_AN_ATTRIBUTE));
            continue;
        };
        match &operation.value {
            None => unset(&mut tree, &steps),
            Some(value) => match shape.refuses(value) {
                Some(rule) => violations.push(Violation::new(&operation.at, rule)),
                None => set(&mut tree, &steps, value.clone()),
            },
        }
    }
    if !violations.is_empty() {
        return Err(Failure::violations(&violations));
    }
    serde_json::from_value(Value::Object(tree)).map_err(internal)
}

fn set(tree: &mut Map<String, Value>, steps: &[&str], value: Value) {
    match steps {
        [] => {}
        [last] => {
            tree.insert((*last).to_owned(), value);
        }
        [first, rest @ ..] => {
            let inner = tree.entry(*first).or_insert_with(|| Value::Object(Map::new()));
            if let Value::Object(inner) = inner {
                set(inner, rest, value);
            }
        }
    }
}

/// Removes what is there, and what is empty after that.
fn unset(tree: &mut Map<String, Value>, steps: &[&str]) {
    match steps {
        [] => {}
        [last] => {
            tree.remove(*last);
        }
        [first, rest @ ..] => {
            if let Some(Value::Object(inner)) = tree.get_mut(*first) {
                unset(inner, rest);
                if inner.is_empty() {
                    tree.remove(*first);
                }
            }
        }
    }
}

/// The group after all operations: `displayName` and `description`.
pub fn patch_group(
    content: &GroupContent,
    operations: &[AttributeOperation],
) -> Result<GroupContent, Failure> {
    let mut content = content.clone();
    let mut violations = Vec::new();
    for operation in operations {
        let place = match operation.path.as_str() {
            "displayName" => &mut content.display_name,
            "description" => &mut content.description,
            _ => {
                violations.push(Violation::new(at_path_of(operation), NOT_AN_ATTRIBUTE));
                continue;
            }
        };
        match &operation.value {
            None => *place = None,
            Some(value) => match (Shape::Text.refuses(value), value) {
                (None, Value::String(text)) => *place = Some(text.clone()),
                (rule, _) => {
                    let rule = rule.unwrap_or(Rule::NotNull);
                    violations.push(Violation::new(&operation.at, rule));
                }
            },
        }
    }
    if violations.is_empty() { Ok(content) } else { Err(Failure::violations(&violations)) }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn operation(path: &str, value: Value) -> AttributeOperation {
        let value = Some(value).filter(|v| !v.is_null());
        AttributeOperation { path: path.into(), value, at: "operations.1.member.attributeValue".into() }
    }

    fn patched(before: Value, path: &str, value: Value) -> Result<Value, String> {
        let before: UserAttributes = serde_json::from_value(before).unwrap();
        patch_user(&before, &[operation(path, value)])
            .map(|after| serde_json::to_value(after).unwrap())
            .map_err(|f| f.message)
    }

    #[test]
    fn a_nested_attribute_is_set_and_removed_without_its_siblings() {
        let before = json!({"name": {"givenName": "Ada", "middleName": "K"}});
        assert_eq!(
            patched(before.clone(), "name.givenName", json!("Augusta")),
            Ok(json!({"name": {"givenName": "Augusta", "middleName": "K"}}))
        );
        assert_eq!(
            patched(before, "name.middleName", Value::Null),
            Ok(json!({"name": {"givenName": "Ada"}}))
        );
        assert_eq!(
            patched(json!({}), "name.givenName", json!("Ada")),
            Ok(json!({"name": {"givenName": "Ada"}}))
        );
    }

    #[test]
    fn a_list_is_replaced_whole() {
        let before = json!({"emails": [{"value": "a@example.com", "type": "work", "primary": true}]});
        assert_eq!(
            patched(before.clone(), "emails", json!([{"value": "b@example.com"}])),
            Ok(json!({"emails": [{"value": "b@example.com"}]}))
        );
        assert_eq!(patched(before.clone(), "emails", Value::Null), Ok(json!({})));
        for wrong in [json!("b@example.com"), json!([{"Value": "b"}]), json!([1]), json!([]), json!([["a"]])]
        {
            assert!(patched(before.clone(), "emails", wrong.clone()).is_err(), "{wrong}");
        }
        assert!(patched(before, "emails.value", json!("b")).is_err());
    }

    #[test]
    fn the_extension_is_addressed_by_its_name() {
        let after = patched(json!({}), "aws:identitystore:enterprise.manager.value", json!("u-1")).unwrap();
        assert_eq!(after, json!({"enterprise": {"manager": {"value": "u-1"}}}));
        let both = patched(after.clone(), "aws:identitystore:enterprise.department", json!("IT")).unwrap();
        assert_eq!(both, json!({"enterprise": {"department": "IT", "manager": {"value": "u-1"}}}));
        assert_eq!(patched(after, "aws:identitystore:enterprise.manager.value", Value::Null), Ok(json!({})));
        assert_eq!(
            patched(both.clone(), "aws:identitystore:enterprise", json!({"division": "X"})),
            Ok(json!({"enterprise": {"division": "X"}}))
        );
        assert_eq!(patched(both, "aws:identitystore:enterprise", Value::Null), Ok(json!({})));
        assert!(patched(json!({}), "aws:identitystore:enterprise", json!(["a"])).is_err());
        assert!(patched(json!({}), "enterprise.department", json!("IT")).is_err());
    }

    #[test]
    fn the_empty_string_and_wrong_types_are_refused() {
        assert_eq!(
            patched(json!({"title": "x"}), "title", json!("")),
            Err("1 validation error detected: Value at 'operations.1.member.attributeValue' failed to satisfy \
                 constraint: Member must have length greater than or equal to 1"
                .to_owned())
        );
        assert!(patched(json!({}), "title", json!(5)).is_err());
        for path in ["UserName", "externalIds", "userStatus", "userId", "Title", "name.nickName", "groups"] {
            let message = patched(json!({}), path, json!("x")).unwrap_err();
            assert!(message.contains("'operations.1.member.attributePath'"), "{message}");
        }
    }

    #[test]
    fn a_group_has_two_attributes() {
        let before = GroupContent { display_name: Some("A".into()), ..GroupContent::default() };
        let after = patch_group(&before, &[operation("description", json!("d"))]).unwrap();
        assert_eq!(after.description.as_deref(), Some("d"));
        let after = patch_group(&after, &[operation("description", Value::Null)]).unwrap();
        assert_eq!(after, before);
        for (path, value) in [("description", json!("")), ("displayName", json!(1)), ("members", json!("x"))]
        {
            assert!(patch_group(&before, &[operation(path, value)]).is_err(), "{path}");
        }
    }
}
