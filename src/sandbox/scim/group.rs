//! Groups as SCIM writes them, to and from what the store holds; and lists of members.

use serde_json::{Map, Value, json};

use super::error::ScimError;
use super::user;
use crate::sandbox::store::{ExternalId, Group, GroupContent, UserId};

pub const CORE: &str = "urn:ietf:params:scim:schemas:core:2.0:Group";

/// The most members that one request may add or remove.
pub const CHANGES_MAX: usize = 100;

/// What POST sends.
#[derive(Debug)]
pub struct NewGroup {
    pub content: GroupContent,
    pub members: Vec<UserId>,
}

pub fn new_group(document: Map<String, Value>, issuer: &str) -> Result<NewGroup, ScimError> {
    let (mut content, mut members) = (GroupContent::default(), Vec::new());
    for (name, value) in document {
        match (name.as_str(), value) {
            ("id" | "meta", _) | (_, Value::Null) => {}
            ("schemas", value) => {
                if value != json!([CORE]) {
                    return Err(ScimError::invalid("schemas does not name the schema of a group"));
                }
            }
            ("displayName", Value::String(text)) => content.display_name = Some(text),
            ("externalId", value) => set_external_id(&mut content, value, issuer)?,
            ("members", value) => members = ids(&member_values(&value)?)?,
            // A description among them: SCIM's groups have none.
            (name, _) => return Err(ScimError::invalid(format!("{name} is not supported, or no text"))),
        }
    }
    if members.len() > CHANGES_MAX {
        return Err(ScimError::invalid("a group can be made with 100 members at most"));
    }
    Ok(NewGroup { content, members })
}

pub fn set_external_id(content: &mut GroupContent, value: Value, issuer: &str) -> Result<(), ScimError> {
    match value {
        Value::String(id) if !id.is_empty() => {
            content.external_ids.retain(|e| e.issuer != issuer);
            content.external_ids.push(ExternalId { issuer: issuer.to_owned(), id });
            Ok(())
        }
        _ => Err(ScimError::invalid("externalId is no text, or empty")),
    }
}

/// The texts in `[{"value": "…"}]`, whatever they are.
pub fn member_values(value: &Value) -> Result<Vec<&str>, ScimError> {
    let wrong = || ScimError::invalid("members is not a list of objects with a value");
    let one = |member: &'_ Value| -> bool {
        member.as_object().is_some_and(|m| {
            m.keys().all(|k| matches!(k.as_str(), "value" | "$ref" | "type" | "display"))
                && m.get("type").is_none_or(|t| t.is_null() || t == "User")
        })
    };
    let list = value.as_array().ok_or_else(wrong)?;
    list.iter().map(|m| m["value"].as_str().filter(|_| one(m)).ok_or_else(wrong)).collect()
}

/// The same as ids. One that is none could not be anybody's.
pub fn ids(values: &[&str]) -> Result<Vec<UserId>, ScimError> {
    let id = |text: &&str| {
        text.parse().map_err(|_| ScimError::invalid(format!("the member {text:?} is no id of a user")))
    };
    values.iter().map(id).collect()
}

/// The group as it is answered. AWS shows the list of members to nobody; the answer to a POST doesn't even have it.
pub fn answer(group: &Group, issuer: &str, members: bool) -> Value {
    let mut answer = json!({
        "id": group.id,
        "meta": user::meta("Group", group.created_at, group.updated_at),
        "schemas": [CORE],
        "displayName": group.display_name,
    });
    if let Some(id) = user::external_id(&group.external_ids, issuer) {
        answer["externalId"] = json!(id);
    }
    if members {
        answer["members"] = json!([]);
    }
    answer
}
