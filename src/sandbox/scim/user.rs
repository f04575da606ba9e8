//! Users as SCIM writes them, to and from what the store holds.
//!
//! A *document* is a user as JSON with all that a caller may write: what POST and PUT send, and what PATCH works on.

use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::error::ScimError;
use crate::sandbox::store::{
    Enterprise, ExternalId, Manager, Millis, User, UserAttributes, UserContent, UserStatus,
};

pub const CORE: &str = "urn:ietf:params:scim:schemas:core:2.0:User";
pub const ENTERPRISE: &str = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User";

/// What a document may hold beside `schemas`, `id`, `meta`, `externalId`, `active` and the extension.
///
/// Source: IAM Identity Center SCIM Implementation Developer Guide, "Limitations from SCIM specification".
const ATTRIBUTES: [&str; 14] = [
    "userName",
    "name",
    "displayName",
    "nickName",
    "profileUrl",
    "title",
    "userType",
    "preferredLanguage",
    "locale",
    "timezone",
    "emails",
    "addresses",
    "phoneNumbers",
    "roles",
];

/// A document, understood.
#[derive(Debug)]
struct Written {
    attributes: UserAttributes,
    external_id: Option<String>,
    active: bool,
}

/// The content that a document describes. What SCIM has no words for (photos, a website, external ids of others) stays as
/// it is in `existing`. `emails` says whether the caller wrote the addresses: only then they must be marked as primary.
pub fn content(
    document: Map<String, Value>,
    existing: Option<&User>,
    issuer: &str,
    emails: bool,
) -> Result<UserContent, ScimError> {
    let Written { mut attributes, external_id, active } = read(document)?;
    if emails {
        let primary = attributes.emails.iter().all(|e| e.primary == Some(true) && e.value.is_some());
        if !primary {
            return Err(ScimError::invalid("emails must have a value that is marked as primary"));
        }
    }
    let mut external_ids = Vec::new();
    if let Some(old) = existing {
        attributes.website.clone_from(&old.attributes.website);
        attributes.birthdate.clone_from(&old.attributes.birthdate);
        attributes.photos.clone_from(&old.attributes.photos);
        keep_manager_name(&mut attributes, &old.attributes);
        external_ids.extend(old.external_ids.iter().filter(|e| e.issuer != issuer).cloned());
    }
    external_ids.extend(external_id.map(|id| ExternalId { issuer: issuer.to_owned(), id }));
    let status = if active { UserStatus::Enabled } else { UserStatus::Disabled };
    Ok(UserContent { attributes, external_ids, status })
}

fn manager(attributes: &UserAttributes) -> Option<&Manager> {
    attributes.enterprise.as_ref()?.manager.as_ref()
}

/// The API can give a manager a name, SCIM cannot: it stays as long as the manager does.
fn keep_manager_name(new: &mut UserAttributes, old: &UserAttributes) {
    let Some(old) = manager(old) else { return };
    if let Some(new) = new.enterprise.as_mut().and_then(|e| e.manager.as_mut())
        && new.value == old.value
    {
        new.display_name.clone_from(&old.display_name);
    }
}

fn read(document: Map<String, Value>) -> Result<Written, ScimError> {
    let (mut rest, mut external_id, mut active) = (Map::new(), None, false);
    for (name, value) in document {
        match (name.as_str(), value) {
            // What the service gives out may come back with a PUT.
            ("id" | "meta", _) | (_, Value::Null) => {}
            ("schemas", value) => schemas(&value)?,
            ("externalId", Value::String(id)) if !id.is_empty() => external_id = Some(id),
            ("externalId", _) => return Err(ScimError::invalid("externalId is no text, or empty")),
            ("active", value) => {
                active =
                    truth(&value).ok_or_else(|| ScimError::invalid("active is neither true nor false"))?;
            }
            (ENTERPRISE, value) => {
                rest.insert("enterprise".to_owned(), value);
            }
            (name, value) if ATTRIBUTES.contains(&name) => {
                rest.insert(name.to_owned(), value);
            }
            (name, _) => return Err(ScimError::invalid(format!("{name} is not supported"))),
        }
    }
    let wrong = |e: serde_json::Error| ScimError::invalid(e.to_string());
    let mut attributes: UserAttributes = serde_json::from_value(Value::Object(rest)).map_err(wrong)?;
    if manager(&attributes).is_some_and(|m| m.display_name.is_some()) {
        return Err(ScimError::invalid("manager.displayName is not supported"));
    }
    attributes.enterprise = attributes.enterprise.filter(|e| *e != Enterprise::default());
    Ok(Written { attributes, external_id, active })
}

fn schemas(value: &Value) -> Result<(), ScimError> {
    let known = |schema: &Value| matches!(schema.as_str(), Some(CORE | ENTERPRISE));
    match value.as_array() {
        Some(list) if list.iter().all(known) && list.iter().any(|s| s == CORE) => Ok(()),
        _ => Err(ScimError::invalid("schemas does not name the schemas of a user")),
    }
}

/// AWS's own example writes `"false"`.
fn truth(value: &Value) -> Option<bool> {
    match value {
        Value::Bool(truth) => Some(*truth),
        Value::String(text) if text.eq_ignore_ascii_case("true") => Some(true),
        Value::String(text) if text.eq_ignore_ascii_case("false") => Some(false),
        _ => None,
    }
}

/// The external id of this endpoint.
pub fn external_id<'a>(ids: &'a [ExternalId], issuer: &str) -> Option<&'a str> {
    ids.iter().find(|e| e.issuer == issuer).map(|e| e.id.as_str())
}

/// The user with all that a caller may write.
pub fn document(user: &User, issuer: &str) -> Result<Map<String, Value>, ScimError> {
    let mut attributes = user.attributes.clone();
    (attributes.website, attributes.birthdate, attributes.photos) = (None, None, Vec::new());
    if let Some(manager) = attributes.enterprise.as_mut().and_then(|e| e.manager.as_mut()) {
        manager.display_name = None;
    }
    let Ok(Value::Object(mut document)) = serde_json::to_value(&attributes) else {
        return Err(ScimError::internal("The user could not be encoded"));
    };
    if let Some(enterprise) = document.remove("enterprise") {
        document.insert(ENTERPRISE.to_owned(), enterprise);
    }
    document.insert("active".to_owned(), json!(user.status == UserStatus::Enabled));
    if let Some(id) = external_id(&user.external_ids, issuer) {
        document.insert("externalId".to_owned(), json!(id));
    }
    Ok(document)
}

/// The user as it is answered.
pub fn answer(user: &User, issuer: &str) -> Result<Value, ScimError> {
    let mut answer = document(user, issuer)?;
    let mut schemas = vec![CORE];
    if let Some(enterprise) = answer.get_mut(ENTERPRISE) {
        schemas.push(ENTERPRISE);
        // It can be written, and is not shown.
        if let Some(manager) = enterprise.get_mut("manager").and_then(Value::as_object_mut) {
            manager.remove("$ref");
        }
    }
    answer.insert("schemas".to_owned(), json!(schemas));
    answer.insert("id".to_owned(), json!(user.id));
    answer.insert("meta".to_owned(), meta("User", user.created_at, user.updated_at));
    Ok(Value::Object(answer))
}

pub fn meta(resource_type: &str, created: Millis, modified: Millis) -> Value {
    json!({"resourceType": resource_type, "created": time(created), "lastModified": time(modified)})
}

/// To the second, as AWS shows it.
fn time(at: Millis) -> String {
    Timestamp::from_second(at.div_euclid(1000)).map_or_else(|_| String::new(), |time| time.to_string())
}
