//! PATCH on a user: operations on its document.
//!
//! Source: IAM Identity Center SCIM Implementation Developer Guide, PatchUser; RFC 7644, section 3.5.2.

use serde_json::{Map, Value};

use super::error::ScimError;
use super::filter;
use super::patch::{Operation, Verb};
use super::user::ENTERPRISE;

/// What PATCH may change.
const MODIFIABLE: [&str; 15] = [
    "userName",
    "active",
    "externalId",
    "displayName",
    "nickName",
    "profileUrl",
    "title",
    "userType",
    "preferredLanguage",
    "locale",
    "timezone",
    "name",
    "emails",
    "addresses",
    "phoneNumbers",
];
const LISTS: [&str; 3] = ["emails", "addresses", "phoneNumbers"];

/// Where in the document.
#[derive(Debug, Clone, PartialEq)]
struct Target {
    /// The URN of the extension, where the path begins with it.
    extension: bool,
    /// Empty for the extension as a whole.
    attribute: String,
    filter: Option<(String, Value)>,
    sub: Option<String>,
}

impl Target {
    fn parse(path: &str) -> Result<Self, ScimError> {
        let unknown = || ScimError::invalid(format!("the path {path:?} is not supported"));
        let (extension, rest) = match path.strip_prefix(ENTERPRISE) {
            Some("") => (true, ""),
            Some(rest) => (true, rest.strip_prefix(':').ok_or_else(unknown)?),
            None => (false, path),
        };
        let mut target = Self { extension, attribute: rest.to_owned(), filter: None, sub: None };
        if let Some((attribute, inside)) = rest.split_once('[') {
            let ((name, value), after) = filter::comparison(inside).ok_or_else(unknown)?;
            target.attribute = attribute.to_owned();
            target.filter = Some((name.to_owned(), value));
            target.sub = match after.strip_prefix(']').ok_or_else(unknown)? {
                "" => None,
                sub => Some(sub.strip_prefix('.').ok_or_else(unknown)?.to_owned()),
            };
        } else if let Some((attribute, sub)) = rest.split_once('.') {
            (target.attribute, target.sub) = (attribute.to_owned(), Some(sub.to_owned()));
        }
        let list = !extension && LISTS.contains(&target.attribute.as_str());
        let complex = matches!((extension, target.attribute.as_str()), (false, "name") | (true, "manager"));
        let known = extension || MODIFIABLE.contains(&target.attribute.as_str());
        // In a list, a sub-attribute belongs to the value that a filter names.
        let shaped = if list {
            target.filter.is_some() || target.sub.is_none()
        } else {
            target.filter.is_none() && (complex || target.sub.is_none())
        };
        if known && shaped { Ok(target) } else { Err(unknown()) }
    }

    fn once(&self) -> Option<&'static str> {
        match self.attribute.as_str() {
            "userName" if !self.extension => Some("userName"),
            "active" if !self.extension => Some("active"),
            _ => None,
        }
    }
}

/// Whether one of the operations wrote the addresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WroteEmails(pub bool);

/// Performs the operations one after another.
pub fn apply(
    document: &mut Map<String, Value>,
    operations: Vec<Operation>,
) -> Result<WroteEmails, ScimError> {
    let mut steps = Vec::new();
    for Operation { verb, path, value } in operations {
        match (path, value) {
            (Some(path), value) => steps.push((verb, Target::parse(&path)?, value)),
            (None, _) if verb == Verb::Remove => return Err(ScimError::invalid("remove needs a path")),
            (None, Some(Value::Object(members))) => {
                for (name, value) in members.into_iter().filter(|(name, _)| name != "schemas" && name != "id")
                {
                    steps.push((verb, Target::parse(&name)?, Some(value)));
                }
            }
            (None, _) => return Err(ScimError::invalid("without a path, the value must be an object")),
        }
    }
    for name in ["userName", "active"] {
        if steps.iter().filter(|(_, target, _)| target.once() == Some(name)).count() > 1 {
            return Err(ScimError::invalid(format!("there is more than one operation on {name}")));
        }
    }
    let wrote = steps.iter().any(|(verb, target, _)| *verb != Verb::Remove && target.attribute == "emails");
    for (verb, target, value) in steps {
        step(document, verb, &target, value)?;
    }
    Ok(WroteEmails(wrote))
}

fn step(
    document: &mut Map<String, Value>,
    verb: Verb,
    target: &Target,
    value: Option<Value>,
) -> Result<(), ScimError> {
    match (verb, value) {
        (Verb::Remove, None) => match target.once() {
            Some(name) => Err(ScimError::invalid(format!("{name} cannot be removed"))),
            None => remove(document, target),
        },
        (Verb::Remove, Some(_)) => Err(ScimError::invalid("remove takes no value")),
        (_, None) => Err(ScimError::invalid("add and replace need a value")),
        (verb, Some(value)) => put(document, verb, target, value),
    }
}

/// The object at `name`, made if it isn't there.
fn object<'a>(
    parent: &'a mut Map<String, Value>,
    name: &str,
) -> Result<&'a mut Map<String, Value>, ScimError> {
    let value = parent.entry(name).or_insert_with(|| Value::Object(Map::new()));
    value.as_object_mut().ok_or_else(|| ScimError::invalid(format!("{name} is no object")))
}

fn put(
    document: &mut Map<String, Value>,
    verb: Verb,
    target: &Target,
    value: Value,
) -> Result<(), ScimError> {
    if target.extension && target.attribute.is_empty() {
        return merge(object(document, ENTERPRISE)?, value);
    }
    let parent = if target.extension { object(document, ENTERPRISE)? } else { document };
    let name = target.attribute.as_str();
    match (&target.filter, &target.sub) {
        (Some(filter), sub) => {
            let found = matching(parent, name, filter);
            let found = found.ok_or_else(|| ScimError::invalid("no value matches the path"))?;
            match sub {
                Some(sub) => _ = found.insert(sub.clone(), value),
                None => merge(found, value)?,
            }
        }
        (None, Some(sub)) => _ = object(parent, name)?.insert(sub.clone(), value),
        (None, None) if value.is_object() && matches!(name, "name" | "manager") => {
            merge(object(parent, name)?, value)?;
        }
        (None, None) if LISTS.contains(&name) && !target.extension => put_list(parent, verb, name, value),
        (None, None) => _ = parent.insert(name.to_owned(), value),
    }
    Ok(())
}

/// Sub-attributes that the value doesn't have stay.
fn merge(into: &mut Map<String, Value>, value: Value) -> Result<(), ScimError> {
    let Value::Object(members) = value else {
        return Err(ScimError::invalid("the value must be an object"));
    };
    into.extend(members);
    Ok(())
}

/// Adding makes a list longer; whether it may be that long is judged at the end.
fn put_list(parent: &mut Map<String, Value>, verb: Verb, name: &str, value: Value) {
    let new = match value {
        Value::Array(new) => new,
        one => vec![one],
    };
    match parent.get_mut(name).and_then(Value::as_array_mut).filter(|_| verb == Verb::Add) {
        Some(old) => {
            let more: Vec<_> = new.into_iter().filter(|value| !old.contains(value)).collect();
            old.extend(more);
        }
        None => _ = parent.insert(name.to_owned(), Value::Array(new)),
    }
}

fn fits(value: &Value, filter: &(String, Value)) -> bool {
    value.get(&filter.0) == Some(&filter.1)
}

fn matching<'a>(
    parent: &'a mut Map<String, Value>,
    name: &str,
    filter: &(String, Value),
) -> Option<&'a mut Map<String, Value>> {
    let list = parent.get_mut(name)?.as_array_mut()?;
    list.iter_mut().find(|value| fits(value, filter))?.as_object_mut()
}

/// Removing what isn't there is no error.
fn remove(document: &mut Map<String, Value>, target: &Target) -> Result<(), ScimError> {
    if target.extension && target.attribute.is_empty() {
        document.remove(ENTERPRISE);
        return Ok(());
    }
    let parent = if target.extension { object(document, ENTERPRISE)? } else { document };
    let name = target.attribute.as_str();
    match (&target.filter, &target.sub) {
        (Some(filter), Some(sub)) => {
            if let Some(found) = matching(parent, name, filter) {
                found.remove(sub);
            }
        }
        (Some(filter), None) => {
            if let Some(list) = parent.get_mut(name).and_then(Value::as_array_mut) {
                list.retain(|value| !fits(value, filter));
            }
        }
        (None, Some(sub)) => {
            if let Some(object) = parent.get_mut(name).and_then(Value::as_object_mut) {
                object.remove(sub);
            }
        }
        (None, None) => _ = parent.remove(name),
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::sandbox::scim::patch::{PATCH, operations};

    fn map(value: Value) -> Map<String, Value> {
        match value {
            Value::Object(map) => map,
            other => panic!("{other}"),
        }
    }

    fn person() -> Map<String, Value> {
        map(json!({
            "userName": "ada", "active": true, "displayName": "Ada", "title": "Countess",
            "name": {"givenName": "Ada", "familyName": "L"},
            "emails": [{"value": "ada@example.com", "type": "work", "primary": true}],
            ENTERPRISE: {"department": "Engines", "manager": {"value": "m-1"}},
        }))
    }

    fn patched(operations_: Value) -> Result<Value, ScimError> {
        let body = map(json!({"schemas": [PATCH], "Operations": operations_}));
        let mut document = person();
        apply(&mut document, operations(body)?)?;
        Ok(Value::Object(document))
    }

    #[test]
    fn every_kind_of_path_is_understood() {
        let department = format!("{ENTERPRISE}:department");
        let manager = format!("{ENTERPRISE}:manager.value");
        let after = patched(json!([
            {"op": "replace", "path": "active", "value": false},
            {"op": "replace", "path": "name.givenName", "value": "A."},
            {"op": "add", "path": "name", "value": {"middleName": "K"}},
            {"op": "replace", "path": "emails[type eq \"work\"].value", "value": "a@example.com"},
            {"op": "remove", "path": "title"},
            {"op": "replace", "path": department, "value": "Maths"},
            {"op": "replace", "path": manager, "value": "m-2"},
            {"op": "replace", "value": {"displayName": "A. L.", "nickName": "A"}},
        ]))
        .unwrap();
        assert_eq!(
            after,
            json!({
                "userName": "ada", "active": false, "displayName": "A. L.", "nickName": "A",
                "name": {"givenName": "A.", "middleName": "K", "familyName": "L"},
                "emails": [{"value": "a@example.com", "type": "work", "primary": true}],
                ENTERPRISE: {"department": "Maths", "manager": {"value": "m-2"}},
            })
        );
        let emptied = patched(json!([
            {"op": "remove", "path": ENTERPRISE},
            {"op": "remove", "path": "emails[primary eq true]"},
        ]));
        let emptied = emptied.unwrap();
        assert_eq!((emptied.get(ENTERPRISE), &emptied["emails"]), (None, &json!([])));
    }

    #[test]
    fn lists_are_replaced_or_made_longer() {
        let other = json!({"value": "b@example.com", "type": "home"});
        let replaced = patched(json!([{"op": "replace", "path": "emails", "value": [other]}])).unwrap();
        assert_eq!(replaced["emails"], json!([other]));
        let added = patched(json!([{"op": "add", "path": "emails", "value": [other]}])).unwrap();
        assert_eq!(added["emails"].as_array().unwrap().len(), 2);
        let phone = patched(json!([{"op": "add", "path": "phoneNumbers", "value": {"value": "1"}}])).unwrap();
        assert_eq!(phone["phoneNumbers"], json!([{"value": "1"}]));
    }

    #[test]
    fn what_aws_does_not_do_is_refused() {
        for operations in [
            json!([]),
            json!([{"op": "remove", "path": "userName"}]),
            json!([{"op": "remove", "path": "active"}]),
            json!([{"op": "remove"}]),
            json!([{"op": "remove", "path": "title", "value": "Countess"}]),
            json!([{"op": "replace", "path": "title"}]),
            json!([{"op": "replace", "path": "title", "value": null}]),
            json!([{"op": "Replace", "path": "title", "value": "x"}]),
            json!([{"path": "title", "value": "x"}]),
            json!([{"op": "replace", "path": "roles", "value": [{"value": "x"}]}]),
            json!([{"op": "replace", "path": "groups", "value": []}]),
            json!([{"op": "replace", "path": "emails.value", "value": "x"}]),
            json!([{"op": "replace", "path": "emails[type eq \"home\"].value", "value": "x"}]),
            json!([{"op": "replace", "path": "title.x", "value": "x"}]),
            json!([{"op": "replace", "value": "x"}]),
            json!([{"op": "replace", "path": "active", "value": true}, {"op": "replace", "path": "active", "value": false}]),
            json!([{"op": "replace", "path": "userName", "value": "b"}, {"op": "replace", "value": {"userName": "c"}}]),
        ] {
            assert_eq!(patched(operations.clone()).map_err(|e| e.status), Err(400), "{operations}");
        }
    }
}
