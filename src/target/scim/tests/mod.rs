//! The client over a scripted server: what it makes of answers, and which requests it sends.

mod access;
mod lists;
mod writes;

use serde_json::{Value, json};

use super::*;
use crate::model::UserAttribute as A;
use crate::target::TargetErrorKind;
use crate::target::scripted::{Answer, Rig, done, says};

const LIST: &str = "urn:ietf:params:scim:api:messages:2.0:ListResponse";

fn id(text: &str) -> TargetId {
    TargetId::new(text)
}

fn ids(range: std::ops::Range<usize>) -> Vec<TargetId> {
    range.map(|n| TargetId::new(format!("u{n}"))).collect()
}

fn user(n: usize) -> Value {
    json!({"schemas": [], "id": format!("u{n}"), "userName": format!("n{n}@x"), "active": true})
}

fn users(range: std::ops::Range<usize>) -> Value {
    range.map(user).collect()
}

/// A page of the newer form.
fn page(resources: Value, next: Option<&str>) -> Answer {
    let mut body = json!({"schemas": [LIST], "Resources": resources});
    if let Some(next) = next {
        body["nextCursor"] = next.into();
    }
    says(200, body)
}

/// A page of the older form.
fn sole_page(resources: Value, total: usize) -> Answer {
    says(200, json!({"schemas": [LIST], "totalResults": total, "startIndex": 1, "Resources": resources}))
}

fn refusal(status: u16) -> Answer {
    says(status, json!({"schemas": ["urn:ietf:params:scim:api:messages:2.0:Error"], "detail": "so it is"}))
}

fn anna() -> UserAttributes {
    UserAttributes::from([(A::UserName, "anna@x".to_owned()), (A::Title, "Dr".to_owned())])
}

fn group(name: &str) -> GroupAttributes {
    GroupAttributes { display_name: name.to_owned(), ..GroupAttributes::default() }
}

fn kind<T: std::fmt::Debug>(result: Result<T, TargetError>) -> (TargetErrorKind, String) {
    let error = result.unwrap_err();
    (error.kind, error.code)
}
