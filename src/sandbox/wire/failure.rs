//! The errors of the API as they go over the wire: `__type`, `Message`, and the members that each shape has.
//!
//! All of them are HTTP 400, InternalServerException apart: that is how the service answers, whatever the status that
//! the API Reference gives for the shape.

use serde_json::{Map, Value, json};

use super::members::Problems;
use crate::sandbox::store::{Claim, Kind, Refusal, Violation};

/// An error answer.
#[derive(Debug, Clone, PartialEq)]
pub struct Failure {
    pub status: u16,
    pub code: &'static str,
    pub message: String,
    /// Members beside `Message` and `RequestId`.
    pub extra: Map<String, Value>,
}

impl Failure {
    fn new(status: u16, code: &'static str, message: impl Into<String>, extra: Value) -> Self {
        let extra = match extra {
            Value::Object(extra) => extra,
            _ => Map::new(),
        };
        Self { status, code, message: message.into(), extra }
    }

    /// No such operation, or no target at all.
    pub fn unknown_operation() -> Self {
        Self::new(400, "UnknownOperationException", "", Value::Null)
    }

    /// The request carries no signature.
    pub fn missing_token() -> Self {
        Self::new(400, "MissingAuthenticationTokenException", "Missing Authentication Token", Value::Null)
    }

    /// The body is no JSON structure, or a member has the wrong type.
    pub fn serialization(message: impl Into<String>) -> Self {
        Self::new(400, "SerializationException", message, Value::Null)
    }

    /// The body is longer than any request can rightly be.
    pub fn too_large() -> Self {
        Self::new(413, "RequestEntityTooLargeException", "Request size exceeded 1 MiB", Value::Null)
    }

    pub fn validation(message: impl Into<String>) -> Self {
        Self::new(400, "ValidationException", message, Value::Null)
    }

    /// One answer for all that is wrong.
    pub fn violations(violations: &[Violation]) -> Self {
        let all = violations.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ");
        match violations.len() {
            1 => Self::validation(format!("1 validation error detected: {all}")),
            n => Self::validation(format!("{n} validation errors detected: {all}")),
        }
    }

    /// What a request has wrong with it, if anything.
    pub fn of(problems: Problems) -> Option<Self> {
        if let Some(malformed) = problems.malformed {
            return Some(Self::serialization(malformed));
        }
        if problems.violations.is_empty() { None } else { Some(Self::violations(&problems.violations)) }
    }

    pub fn identity_store_not_found(id: &str) -> Self {
        Self::new(
            400,
            "ResourceNotFoundException",
            "IDENTITY_STORE not found.",
            json!({"ResourceType": "IDENTITY_STORE", "ResourceId": id}),
        )
    }

    /// `id` is left out where the caller looked for something by name.
    pub fn not_found(kind: Kind, id: Option<String>) -> Self {
        let (shown, resource_type) = match kind {
            Kind::User => ("USER", "USER"),
            Kind::Group => ("GROUP", "GROUP"),
            Kind::Membership => ("MEMBERSHIP", "GROUP_MEMBERSHIP"),
        };
        let mut extra = json!({"ResourceType": resource_type});
        if let (Some(id), Some(extra)) = (id, extra.as_object_mut()) {
            extra.insert("ResourceId".to_owned(), Value::String(id));
        }
        Self::new(400, "ResourceNotFoundException", format!("{shown} not found."), extra)
    }

    /// Of the SSO Admin API, whose shape has no more than a message.
    pub fn not_found_in_sso_admin(message: impl Into<String>) -> Self {
        Self::new(400, "ResourceNotFoundException", message, Value::Null)
    }

    pub fn duplicate(message: &str) -> Self {
        let reason = json!({"Reason": "UNIQUENESS_CONSTRAINT_VIOLATION"});
        Self::new(400, "ConflictException", message, reason)
    }

    pub fn concurrent_modification() -> Self {
        let message = "The resource was modified by another request";
        Self::new(400, "ConflictException", message, json!({"Reason": "CONCURRENT_MODIFICATION"}))
    }

    /// `retry_after` in seconds.
    pub fn throttled(retry_after: u64) -> Self {
        Self::new(400, "ThrottlingException", "Rate exceeded", json!({"RetryAfterSeconds": retry_after}))
    }

    pub fn internal(message: &str) -> Self {
        Self::new(500, "InternalServerException", message, json!({"RetryAfterSeconds": 1}))
    }

    pub fn access_denied(message: impl Into<String>) -> Self {
        Self::new(400, "AccessDeniedException", message, Value::Null)
    }

    pub fn quota(message: impl Into<String>) -> Self {
        Self::new(400, "ServiceQuotaExceededException", message, Value::Null)
    }

    /// The body of the answer.
    pub fn body(&self, request_id: &str) -> Value {
        let mut body = Map::new();
        body.insert("__type".to_owned(), json!(self.code));
        body.insert("Message".to_owned(), json!(self.message));
        body.insert("RequestId".to_owned(), json!(request_id));
        body.extend(self.extra.clone());
        Value::Object(body)
    }
}

impl From<Refusal> for Failure {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Invalid(violations) => Self::violations(&violations),
            Refusal::NotFound { kind, id } => Self::not_found(kind, Some(id)),
            Refusal::Stale(_) => Self::concurrent_modification(),
            Refusal::Quota { what, limit } => Self::quota(format!("The limit of {limit} {what} is reached")),
            Refusal::Duplicate(claim) => match claim {
                Claim::UserName => Self::duplicate("Duplicate UserName"),
                Claim::Email => Self::duplicate("Duplicate Emails"),
                Claim::GroupDisplayName => Self::duplicate("Duplicate GroupDisplayName"),
                Claim::ExternalId => Self::duplicate("Duplicate ExternalIds"),
                Claim::Membership => Self::duplicate("Member and Group relationship already exists"),
                Claim::Id => Self::internal("The new id is taken"),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_conflict_has_exactly_the_members_of_its_shape() {
        let failure = Failure::from(Refusal::Duplicate(Claim::UserName));
        assert_eq!(failure.status, 400);
        assert_eq!(
            failure.body("r-1"),
            json!({
                "__type": "ConflictException",
                "Message": "Duplicate UserName",
                "RequestId": "r-1",
                "Reason": "UNIQUENESS_CONSTRAINT_VIOLATION"
            })
        );
    }

    #[test]
    fn what_is_not_found_says_its_type() {
        let refusal = Refusal::NotFound { kind: Kind::Membership, id: "x".into() };
        assert_eq!(
            Failure::from(refusal).body("r-1"),
            json!({
                "__type": "ResourceNotFoundException",
                "Message": "MEMBERSHIP not found.",
                "RequestId": "r-1",
                "ResourceType": "GROUP_MEMBERSHIP",
                "ResourceId": "x"
            })
        );
    }
}
