//! The errors of the SCIM endpoint as they go over the wire.

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::sandbox::fault::FaultKind;
use crate::sandbox::persist::CommitError;
use crate::sandbox::store::{Refusal, Violation};

const SCHEMA: &str = "urn:ietf:params:scim:api:messages:2.0:Error";

/// An error answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScimError {
    pub status: u16,
    /// AWS's name for it: in the request log and the header `x-amzn-errortype`.
    pub kind: &'static str,
    pub detail: String,
    /// Seconds.
    pub retry_after: Option<u64>,
}

impl ScimError {
    fn new(status: u16, kind: &'static str, detail: impl Into<String>) -> Self {
        Self { status, kind, detail: detail.into(), retry_after: None }
    }

    /// AWS leaves it at the first half of the sentence.
    pub fn invalid(why: impl AsRef<str>) -> Self {
        let why = why.as_ref();
        let text = format!("Request is unparsable, syntactically incorrect, or violates schema: {why}");
        Self::new(400, "ValidationException", text)
    }

    pub fn violations(violations: &[Violation]) -> Self {
        Self::invalid(violations.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))
    }

    pub fn unauthorized() -> Self {
        Self::new(401, "UnauthorizedException", "Unauthorized: the bearer token or the tenant is wrong")
    }

    /// What a firewall says, not the service: no JSON.
    pub fn blocked() -> Self {
        Self::new(403, "Forbidden", "Request blocked: no User-Agent")
    }

    pub fn access_denied(why: &str) -> Self {
        Self::new(403, "AccessDeniedException", why)
    }

    pub fn not_found(what: &str) -> Self {
        Self::new(404, "ResourceNotFoundException", format!("{what} not found"))
    }

    pub fn method_not_allowed() -> Self {
        Self::new(405, "UnsupportedOperationException", "This endpoint does not support the method")
    }

    pub fn duplicate() -> Self {
        Self::new(409, "ConflictException", "Refused to create a new, duplicate resource.")
    }

    pub fn too_large() -> Self {
        Self::new(413, "RequestEntityTooLargeException", "Request size exceeded 1 MiB")
    }

    /// `retry_after` in seconds.
    pub fn throttled(retry_after: u64) -> Self {
        let error = Self::new(429, "ThrottlingException", "Rate exceeded");
        Self { retry_after: Some(retry_after), ..error }
    }

    pub fn internal(why: &str) -> Self {
        Self::new(500, "InternalServerException", why)
    }

    /// The answer that a fault on demand puts in the place of the real one, if it does.
    pub fn of_fault(kind: FaultKind) -> Option<Self> {
        const WHY: &str = "A fault on demand";
        Some(match kind {
            FaultKind::Throttle => Self::throttled(1),
            FaultKind::Internal => Self::internal(WHY),
            FaultKind::Conflict => Self::duplicate(),
            FaultKind::AccessDenied => Self::access_denied(WHY),
            FaultKind::Validation => Self::invalid(WHY),
            FaultKind::Quota => Self::new(400, "ServiceQuotaExceededException", WHY),
            FaultKind::TimeoutBefore | FaultKind::TimeoutAfter | FaultKind::InternalAfter => return None,
        })
    }

    /// The body of the answer. AWS sends the schema under both names, and its own two members at the end.
    pub fn body(&self, request_id: &str, now: Timestamp) -> Value {
        json!({
            "schema": [SCHEMA],
            "schemas": [SCHEMA],
            "detail": self.detail,
            "status": self.status.to_string(),
            "exceptionRequestId": request_id,
            "timeStamp": now.strftime("%Y-%m-%d %H:%M:%S%.3f").to_string(),
        })
    }
}

impl From<Refusal> for ScimError {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Invalid(violations) => Self::violations(&violations),
            Refusal::NotFound { kind, .. } => Self::not_found(&kind.to_string()),
            Refusal::Duplicate(_) => Self::duplicate(),
            Refusal::Stale(_) => Self::internal("The resource changed meanwhile"),
            Refusal::Quota { what, limit } => {
                let why = format!("The limit of {limit} {what} is reached");
                Self::new(400, "ServiceQuotaExceededException", why)
            }
        }
    }
}

impl From<CommitError> for ScimError {
    fn from(error: CommitError) -> Self {
        match error {
            CommitError::ReadOnly => Self::access_denied("This sandbox is open for reading only"),
            CommitError::Refused(refusal) => refusal.into(),
            CommitError::Journal(_) => {
                tracing::error!(error = &error as &dyn std::error::Error, "a change was not written");
                Self::internal("The change could not be stored")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_has_the_members_that_aws_sends() {
        let now: Timestamp = "2024-04-05T06:32:12.227Z".parse().unwrap();
        assert_eq!(
            ScimError::duplicate().body("r-1", now),
            json!({
                "schema": [SCHEMA],
                "schemas": [SCHEMA],
                "detail": "Refused to create a new, duplicate resource.",
                "status": "409",
                "exceptionRequestId": "r-1",
                "timeStamp": "2024-04-05 06:32:12.227",
            })
        );
        assert_eq!(ScimError::throttled(3).retry_after, Some(3));
    }
}
