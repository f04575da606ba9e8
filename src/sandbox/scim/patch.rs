//! The body of a PATCH, on a user or a group: a list of operations.

use serde_json::{Map, Value};

use super::error::ScimError;

/// The schema that the body must name.
pub const PATCH: &str = "urn:ietf:params:scim:api:messages:2.0:PatchOp";

/// What an operation does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verb {
    Add,
    Replace,
    Remove,
}

/// One operation as it came.
#[derive(Debug, Clone, PartialEq)]
pub struct Operation {
    pub verb: Verb,
    pub path: Option<String>,
    pub value: Option<Value>,
}

/// The operations of a PATCH body.
pub fn operations(mut body: Map<String, Value>) -> Result<Vec<Operation>, ScimError> {
    if body.remove("schemas") != Some(Value::from(vec![PATCH])) {
        return Err(ScimError::invalid(format!("schemas must be [{PATCH:?}]")));
    }
    let Some(Value::Array(list)) = body.remove("Operations").filter(|_| body.is_empty()) else {
        return Err(ScimError::invalid("Operations must be a list, and nothing else is known"));
    };
    if list.is_empty() {
        return Err(ScimError::invalid("there is no operation"));
    }
    list.into_iter().map(operation).collect()
}

fn operation(value: Value) -> Result<Operation, ScimError> {
    let wrong =
        || ScimError::invalid("an operation must have an op of add, replace and remove, a path and a value");
    let Value::Object(mut members) = value else { return Err(wrong()) };
    let verb = match members.remove("op").as_ref().and_then(Value::as_str) {
        Some("add") => Verb::Add,
        Some("replace") => Verb::Replace,
        Some("remove") => Verb::Remove,
        _ => return Err(wrong()),
    };
    let path = match members.remove("path") {
        None | Some(Value::Null) => None,
        Some(Value::String(path)) if !path.is_empty() => Some(path),
        Some(_) => return Err(wrong()),
    };
    let value = members.remove("value").filter(|v| !v.is_null());
    if members.is_empty() { Ok(Operation { verb, path, value }) } else { Err(wrong()) }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(body: Value) -> Result<Vec<Operation>, u16> {
        match body {
            Value::Object(body) => operations(body).map_err(|e| e.status),
            other => panic!("{other}"),
        }
    }

    #[test]
    fn a_body_names_its_schema_and_has_operations() {
        let remove = json!({"op": "remove", "path": "title"});
        let found = read(json!({"schemas": [PATCH], "Operations": [remove]})).unwrap();
        assert_eq!(found, [Operation { verb: Verb::Remove, path: Some("title".into()), value: None }]);
        for body in [
            json!({"Operations": [remove]}),
            json!({"schemas": ["urn:other"], "Operations": [remove]}),
            json!({"schemas": [PATCH]}),
            json!({"schemas": [PATCH], "Operations": []}),
            json!({"schemas": [PATCH], "operations": [remove]}),
            json!({"schemas": [PATCH], "Operations": [remove], "more": 1}),
            json!({"schemas": [PATCH], "Operations": [{"op": "Remove", "path": "title"}]}),
            json!({"schemas": [PATCH], "Operations": [{"op": "remove", "path": ""}]}),
            json!({"schemas": [PATCH], "Operations": [{"op": "remove", "path": "title", "x": 1}]}),
            json!({"schemas": [PATCH], "Operations": ["remove"]}),
        ] {
            assert_eq!(read(body.clone()), Err(400), "{body}");
        }
    }
}
