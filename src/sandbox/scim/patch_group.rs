//! PATCH on a group: its name, its external id, its members.
//!
//! Source: IAM Identity Center SCIM Implementation Developer Guide, PatchGroup. The trap is from experience: where a
//! removal or replacement names no member, AWS has answered 400 and emptied the group.

use std::collections::BTreeMap;

use serde_json::Value;

use super::error::ScimError;
use super::group::{self, CHANGES_MAX};
use super::patch::{Operation, Verb};
use crate::sandbox::store::{GroupContent, UserId};

/// What the operations come to.
#[derive(Debug)]
pub struct GroupPatch {
    /// The group's own content, if anything is said about it.
    pub content: Option<GroupContent>,
    /// Who is a member afterwards, and who isn't; of those that are named.
    pub members: BTreeMap<UserId, bool>,
}

/// Why nothing of a PATCH is done, or the trap.
#[derive(Debug, PartialEq, Eq)]
pub enum Stumble {
    Refused(ScimError),
    /// Answered as this error, with the group emptied.
    Emptied(ScimError),
}

impl From<ScimError> for Stumble {
    fn from(error: ScimError) -> Self {
        Self::Refused(error)
    }
}

pub fn read(old: GroupContent, operations: Vec<Operation>, issuer: &str) -> Result<GroupPatch, Stumble> {
    let mut changed = None;
    let (mut members, mut changes) = (BTreeMap::new(), 0);
    for Operation { verb, path, value } in operations {
        match (path.as_deref(), value) {
            (Some("members"), value) => {
                let named = named(verb, value.as_ref())?;
                changes += named.len();
                members.extend(named.into_iter().map(|user| (user, verb == Verb::Add)));
            }
            (Some(name), Some(value)) if verb != Verb::Remove => {
                set(changed.get_or_insert_with(|| old.clone()), name, value, issuer)?;
            }
            (None, Some(Value::Object(values))) if verb == Verb::Replace => {
                let content = changed.get_or_insert_with(|| old.clone());
                for (name, value) in values.into_iter().filter(|(name, _)| name != "id") {
                    set(content, &name, value, issuer)?;
                }
            }
            // The RFC's path filter among them.
            _ => return Err(ScimError::invalid("the operation is not supported on groups").into()),
        }
    }
    if changes > CHANGES_MAX {
        return Err(ScimError::invalid("more than 100 membership changes in one request").into());
    }
    Ok(GroupPatch { content: changed, members })
}

fn set(content: &mut GroupContent, name: &str, value: Value, issuer: &str) -> Result<(), ScimError> {
    match (name, value) {
        ("displayName", Value::String(text)) => {
            content.display_name = Some(text);
            Ok(())
        }
        ("externalId", value) => group::set_external_id(content, value, issuer),
        _ => Err(ScimError::invalid(
            "only displayName (a text), members (by path) and externalId can be changed",
        )),
    }
}

fn named(verb: Verb, value: Option<&Value>) -> Result<Vec<UserId>, Stumble> {
    let values = match value {
        Some(value) => group::member_values(value)?,
        None => Vec::new(),
    };
    let nobody = values.iter().all(|id| id.is_empty());
    match verb {
        Verb::Add if nobody => Err(ScimError::invalid("no member is named").into()),
        Verb::Remove | Verb::Replace if nobody => {
            Err(Stumble::Emptied(ScimError::invalid("no member is named")))
        }
        Verb::Replace => Err(ScimError::invalid("all members cannot be replaced at once").into()),
        Verb::Add | Verb::Remove => Ok(group::ids(&values)?),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const ISSUER: &str = "https://scim.example";

    fn id(n: usize) -> String {
        format!("1234567890-00000000-0000-4000-8000-{n:012}")
    }

    fn patch(operations: Value) -> Result<GroupPatch, Stumble> {
        let body =
            json!({"schemas": ["urn:ietf:params:scim:api:messages:2.0:PatchOp"], "Operations": operations});
        let Value::Object(body) = body else { panic!() };
        let old = GroupContent { display_name: Some("Old".into()), ..GroupContent::default() };
        read(old, super::super::patch::operations(body)?, ISSUER)
    }

    fn people(range: std::ops::Range<usize>) -> Value {
        range.map(|n| json!({"value": id(n)})).collect()
    }

    #[test]
    fn the_forms_of_aws_are_understood() {
        let done = patch(json!([
            {"op": "add", "path": "members", "value": people(0..2)},
            {"op": "remove", "path": "members", "value": people(1..3)},
            {"op": "replace", "value": {"id": id(9), "displayName": "New"}},
            {"op": "replace", "path": "externalId", "value": "guid"},
        ]))
        .unwrap();
        let members: Vec<_> = done.members.values().copied().collect();
        assert_eq!(members, [true, false, false]);
        let content = done.content.unwrap();
        assert_eq!(content.display_name.as_deref(), Some("New"));
        assert_eq!(content.external_ids[0].id, "guid");
        assert_eq!(content.external_ids[0].issuer, ISSUER);
    }

    #[test]
    fn a_hundred_changes_and_no_more() {
        let split = |first, second| {
            patch(json!([
                {"op": "add", "path": "members", "value": people(0..first)},
                {"op": "remove", "path": "members", "value": people(first..first + second)},
            ]))
        };
        assert_eq!(split(60, 40).unwrap().members.len(), 100);
        assert!(matches!(split(60, 41), Err(Stumble::Refused(e)) if e.status == 400));
    }

    #[test]
    fn naming_nobody_is_the_trap() {
        for value in [json!([]), json!(null), json!([{"value": ""}])] {
            for op in ["remove", "replace"] {
                let done = patch(json!([{"op": op, "path": "members", "value": value}]));
                assert!(matches!(done, Err(Stumble::Emptied(e)) if e.status == 400), "{op} {value}");
            }
            let added = patch(json!([{"op": "add", "path": "members", "value": value}]));
            assert!(matches!(added, Err(Stumble::Refused(e)) if e.status == 400), "add {value}");
        }
    }

    #[test]
    fn all_else_is_refused_and_nothing_done() {
        let filter = format!("members[value eq \"{}\"]", id(1));
        for operations in [
            json!([{"op": "remove", "path": filter}]),
            json!([{"op": "add", "path": filter, "value": people(0..1)}]),
            json!([{"op": "replace", "path": "members", "value": people(0..1)}]),
            json!([{"op": "add", "path": "members", "value": [{"value": "ada"}]}]),
            json!([{"op": "add", "path": "members", "value": [{"value": id(1), "type": "Group"}]}]),
            json!([{"op": "add", "path": "members", "value": {"value": id(1)}}]),
            json!([{"op": "add", "value": {"members": people(0..1)}}]),
            json!([{"op": "replace", "path": "description", "value": "x"}]),
            json!([{"op": "replace", "value": {"description": "x"}}]),
            json!([{"op": "replace", "path": "displayName", "value": 1}]),
            json!([{"op": "remove", "path": "displayName"}]),
            json!([{"op": "remove"}]),
        ] {
            let done = patch(operations.clone());
            assert!(matches!(done, Err(Stumble::Refused(e)) if e.status == 400), "{operations}");
        }
    }
}
