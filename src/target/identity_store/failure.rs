//! From the SDK's errors to what they mean for the one who asked.
//!
//! Errors are told apart by their type, never by the HTTP status alone: the service answers throttling with 400.

use std::error::Error as StdError;
use std::time::Duration;

use aws_credential_types::provider::error::CredentialsError;
use aws_sdk_identitystore::Error as ServiceError;
use aws_sdk_identitystore::types::ResourceType;
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_runtime_api::client::result::{DispatchFailure, SdkError};
use aws_smithy_types::error::metadata::ProvideErrorMetadata;
use http_body_util::LengthLimitError;

use crate::model::Kind;
use crate::target::pacing::{Effect, Failure};
use crate::target::{LONGEST_ANSWER, TargetErrorKind, causes, tls_refusal};

/// Of a call to the Identity Store API.
pub(super) fn of_identity_store<E>(error: SdkError<E, HttpResponse>) -> Failure
where
    E: Into<ServiceError> + StdError + 'static,
{
    of(error, |e| refusal_details(&e.into()))
}

/// Of a call to another service.
pub(super) fn of_service<E>(error: SdkError<E, HttpResponse>) -> Failure
where
    E: ProvideErrorMetadata + StdError + 'static,
{
    of(error, |e| Details {
        code: e.code().map(str::to_owned),
        message: e.message().map(str::to_owned),
        ..Details::default()
    })
}

/// What an error answer says.
#[derive(Debug, Default)]
struct Details {
    code: Option<String>,
    message: Option<String>,
    request_id: Option<String>,
    reason: Option<String>,
    resource: Option<ResourceType>,
    retry_after_seconds: i32,
}

fn of<E>(error: SdkError<E, HttpResponse>, details: impl FnOnce(E) -> Details) -> Failure
where
    E: StdError + 'static,
{
    if find::<LengthLimitError>(&error).is_some() {
        return too_long();
    }
    match error {
        SdkError::ServiceError(answer) => {
            let (status, retry_after, request_id) = of_response(answer.raw());
            let mut details = details(answer.into_err());
            details.request_id = request_id.or(details.request_id);
            let asked = u64::try_from(details.retry_after_seconds).ok().filter(|s| *s > 0);
            let failure = of_answer(status, details);
            Failure { retry_after: asked.map(Duration::from_secs).or(retry_after), ..failure }
        }
        SdkError::ResponseError(answer) => {
            let (status, retry_after, request_id) = of_response(answer.raw());
            let failure = of_answer(status, Details { request_id, ..Details::default() });
            Failure { retry_after, ..failure }
        }
        SdkError::TimeoutError(_) => {
            Failure::new(Effect::Unknown, "Timeout", "the service did not answer in time")
        }
        SdkError::DispatchFailure(failure) => of_dispatch(&failure),
        SdkError::ConstructionFailure(failure) => Failure::new(
            Effect::Refused(TargetErrorKind::Validation),
            "InvalidRequest",
            format!("the request could not be made: {failure:?}"),
        ),
        // The enum may grow: what is not known may have been sent.
        _ => Failure::new(Effect::Unknown, "UnknownFailure", "the request failed in an unknown way"),
    }
}

fn too_long() -> Failure {
    let message = format!("the answer is longer than {LONGEST_ANSWER} bytes, so it is none of the service's");
    Failure::new(Effect::Unknown, "AnswerTooLong", message)
}

/// Status, `Retry-After` (as a number of seconds; a date is not used by AWS) and request id.
fn of_response(response: &HttpResponse) -> (u16, Option<Duration>, Option<String>) {
    let header = |name: &str| response.headers().get(name).map(str::trim);
    let retry_after = header("retry-after").and_then(|v| v.parse().ok()).map(Duration::from_secs);
    let request_id = header("x-amzn-requestid").or_else(|| header("x-amz-request-id"));
    (response.status().as_u16(), retry_after, request_id.map(str::to_owned))
}

fn refusal_details(error: &ServiceError) -> Details {
    macro_rules! details {
        ($e:expr $(, $field:ident: $value:expr)*) => {
            Details { request_id: $e.request_id.clone() $(, $field: $value)*, ..Details::default() }
        };
    }
    let details = match error {
        ServiceError::AccessDeniedException(e) => {
            details!(e, reason: e.reason.as_ref().map(|r| r.as_str().to_owned()))
        }
        ServiceError::ConflictException(e) => {
            details!(e, reason: e.reason.as_ref().map(|r| r.as_str().to_owned()))
        }
        ServiceError::InternalServerException(e) => {
            details!(e, retry_after_seconds: e.retry_after_seconds)
        }
        ServiceError::ResourceNotFoundException(e) => details!(
            e,
            reason: e.reason.as_ref().map(|r| r.as_str().to_owned()),
            resource: e.resource_type.clone()
        ),
        ServiceError::ServiceQuotaExceededException(e) => details!(e),
        ServiceError::ThrottlingException(e) => details!(
            e,
            reason: e.reason.as_ref().map(|r| r.as_str().to_owned()),
            retry_after_seconds: e.retry_after_seconds
        ),
        ServiceError::ValidationException(e) => {
            details!(e, reason: e.reason.as_ref().map(|r| r.as_str().to_owned()))
        }
        _ => Details::default(),
    };
    Details {
        code: error.code().map(str::to_owned),
        message: error.message().map(str::to_owned).or(details.message),
        ..details
    }
}

fn of_answer(status: u16, details: Details) -> Failure {
    use TargetErrorKind::{AccessDenied, Conflict, NotFound, Quota, Unavailable, Validation};

    // What is wrong with the store's key is wrong for every request, whatever the error's type.
    let key_trouble = details.reason.as_deref().is_some_and(|r| r.starts_with("KMS_"));
    let code = details.code.clone().unwrap_or_else(|| format!("HTTP{status}"));
    let (effect, hint) = match code.as_str() {
        "ThrottlingException"
        | "Throttling"
        | "ThrottledException"
        | "TooManyRequestsException"
        | "RequestLimitExceeded"
        | "RequestThrottled"
        | "RequestThrottledException"
        | "SlowDown" => (Effect::Throttled, None),
        _ if key_trouble => (
            Effect::Refused(AccessDenied),
            Some("the identity store's customer managed key cannot be used; allow kms:Decrypt on it"),
        ),
        // Nothing is wrong with the request: the next attempt meets the other change done.
        "ConflictException" if details.reason.as_deref() == Some("CONCURRENT_MODIFICATION") => {
            (Effect::Contended, None)
        }
        "ConflictException" => (Effect::Refused(Conflict), None),
        "ValidationException" | "SerializationException" | "UnknownOperationException" => {
            (Effect::Refused(Validation), None)
        }
        "ResourceNotFoundException" => match details.resource {
            Some(ResourceType::User) => (Effect::Refused(NotFound(Some(Kind::User))), None),
            Some(ResourceType::Group) => (Effect::Refused(NotFound(Some(Kind::Group))), None),
            // Without the store nothing can be said about what it holds: this must never read as "no such user".
            Some(ResourceType::IdentityStore) => (
                Effect::Refused(Unavailable),
                Some("check the identity store's id, the region and the account"),
            ),
            _ => (Effect::Refused(NotFound(None)), None),
        },
        "ServiceQuotaExceededException" => (Effect::Refused(Quota), None),
        "AccessDeniedException" | "AccessDenied" | "NotAuthorized" => (Effect::Refused(AccessDenied), None),
        "ExpiredTokenException" | "ExpiredToken" => {
            (Effect::Refused(AccessDenied), Some("the AWS credentials have expired; renew them"))
        }
        "UnrecognizedClientException"
        | "InvalidClientTokenId"
        | "MissingAuthenticationToken"
        | "MissingAuthenticationTokenException"
        | "IncompleteSignature"
        | "IncompleteSignatureException"
        | "OptInRequired" => (
            Effect::Refused(AccessDenied),
            Some("the AWS credentials are not valid here; check the account and the region"),
        ),
        "InvalidSignatureException" | "SignatureDoesNotMatch" | "RequestExpired" | "RequestTimeTooSkewed" => {
            (
                Effect::Refused(AccessDenied),
                Some("the signature was refused; check the secret key and this machine's clock"),
            )
        }
        "InternalServerException"
        | "InternalFailure"
        | "ServiceUnavailable"
        | "ServiceUnavailableException"
        | "RequestTimeout"
        | "RequestTimeoutException" => (Effect::Unknown, None),
        // Something between here and the service, or an error that is newer than this code.
        _ => match status {
            429 => (Effect::Throttled, None),
            401 | 403 | 407 => (Effect::Refused(AccessDenied), None),
            408 => (Effect::Unknown, None),
            400..=499 => (Effect::Refused(Validation), None),
            _ => (Effect::Unknown, None),
        },
    };
    Failure::new(effect, code, message(status, &details, hint))
}

const LONGEST_MESSAGE: usize = 500;

fn message(status: u16, details: &Details, hint: Option<&str>) -> String {
    let mut text = match &details.message {
        Some(message) if !message.is_empty() => message.chars().take(LONGEST_MESSAGE).collect(),
        _ => format!("the service answered HTTP {status} without saying why"),
    };
    let extras: Vec<String> = details
        .reason
        .iter()
        .cloned()
        .chain(details.request_id.iter().map(|id| format!("request id {id}")))
        .collect();
    if !extras.is_empty() {
        text = format!("{text} ({})", extras.join(", "));
    }
    if let Some(hint) = hint {
        text = format!("{text}: {hint}");
    }
    text
}

/// Failures before or while sending. What certainly did not reach the service is told apart from the rest.
fn of_dispatch(failure: &DispatchFailure) -> Failure {
    let Some(connector) = failure.as_connector_error() else {
        return Failure::new(Effect::Unknown, "ConnectionLost", "the connection failed");
    };
    if let Some(credentials) = find::<CredentialsError>(connector) {
        return of_credentials(credentials);
    }
    let connecting = find::<hyper_util::client::legacy::Error>(connector).is_some_and(|e| e.is_connect());
    let why = deepest(connector);
    if let Some(why) = tls_refusal(connector) {
        let message = format!("the service's TLS is not accepted: {why}");
        Failure::new(Effect::Refused(TargetErrorKind::Unavailable), "TlsRefused", message)
    } else if connecting {
        Failure::new(Effect::Unsent, "Unreachable", format!("no connection to the service: {why}"))
    } else if connector.is_user() {
        let message = format!("the request could not be sent: {why}");
        Failure::new(Effect::Refused(TargetErrorKind::Validation), "InvalidRequest", message)
    } else if connector.is_timeout() {
        Failure::new(Effect::Unknown, "Timeout", "the service did not answer in time")
    } else {
        let message = format!("the connection broke before an answer came: {why}");
        Failure::new(Effect::Unknown, "ConnectionLost", message)
    }
}

pub(super) fn of_credentials(error: &CredentialsError) -> Failure {
    let why = deepest(error);
    match error {
        CredentialsError::CredentialsNotLoaded(_) => Failure::new(
            Effect::Refused(TargetErrorKind::AccessDenied),
            "CredentialsNotFound",
            "no AWS credentials were found in the environment, the shared config files or the machine's role",
        ),
        CredentialsError::InvalidConfiguration(_) => Failure::new(
            Effect::Refused(TargetErrorKind::AccessDenied),
            "CredentialsInvalid",
            format!("the AWS credentials are configured wrongly: {why}"),
        ),
        // A provider that could not be asked this time: STS, the container's or the machine's metadata service.
        _ => Failure::new(
            Effect::Unsent,
            "CredentialsUnavailable",
            format!("the AWS credentials could not be fetched or renewed: {why}"),
        ),
    }
}

fn find<'a, E: StdError + 'static>(error: &'a (dyn StdError + 'static)) -> Option<&'a E> {
    causes(error).find_map(|e| e.downcast_ref())
}

/// The error below all others says what happened; those above it only in what.
fn deepest(error: &(dyn StdError + 'static)) -> String {
    causes(error).last().map(ToString::to_string).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn details(code: &str) -> Details {
        Details { code: Some(code.to_owned()), message: Some("said so".to_owned()), ..Details::default() }
    }

    #[test]
    fn the_type_counts_and_not_the_status() {
        use TargetErrorKind::{AccessDenied, Conflict, Quota, Validation};
        for (code, status, effect) in [
            ("ThrottlingException", 400, Effect::Throttled),
            ("ConflictException", 400, Effect::Refused(Conflict)),
            ("ConflictException", 409, Effect::Refused(Conflict)),
            ("ValidationException", 400, Effect::Refused(Validation)),
            ("AccessDeniedException", 400, Effect::Refused(AccessDenied)),
            ("ExpiredTokenException", 400, Effect::Refused(AccessDenied)),
            ("ServiceQuotaExceededException", 402, Effect::Refused(Quota)),
            ("InternalServerException", 500, Effect::Unknown),
            ("SomethingNewException", 400, Effect::Refused(Validation)),
            ("SomethingNewException", 503, Effect::Unknown),
        ] {
            assert_eq!(of_answer(status, details(code)).effect, effect, "{code} {status}");
        }
        for (status, effect) in [
            (429, Effect::Throttled),
            (403, Effect::Refused(AccessDenied)),
            (502, Effect::Unknown),
            (200, Effect::Unknown),
        ] {
            assert_eq!(of_answer(status, Details::default()).effect, effect, "{status}");
        }
    }

    #[test]
    fn a_concurrent_change_is_not_a_conflict_of_values() {
        let conflict = |reason: &str| {
            let details = Details { reason: Some(reason.to_owned()), ..details("ConflictException") };
            of_answer(400, details).effect
        };
        assert_eq!(conflict("CONCURRENT_MODIFICATION"), Effect::Contended);
        let taken = conflict("UNIQUENESS_CONSTRAINT_VIOLATION");
        assert_eq!(taken, Effect::Refused(TargetErrorKind::Conflict));
    }

    #[test]
    fn a_missing_store_or_key_is_not_a_missing_user() {
        let missing = |resource: ResourceType| {
            let found =
                of_answer(400, Details { resource: Some(resource), ..details("ResourceNotFoundException") });
            found.effect
        };
        assert_eq!(missing(ResourceType::User), Effect::Refused(TargetErrorKind::NotFound(Some(Kind::User))));
        assert_eq!(missing(ResourceType::GroupMembership), Effect::Refused(TargetErrorKind::NotFound(None)));
        assert_eq!(missing(ResourceType::IdentityStore), Effect::Refused(TargetErrorKind::Unavailable));
        let key = Details {
            reason: Some("KMS_KEY_NOT_FOUND".to_owned()),
            resource: Some(ResourceType::User),
            ..details("ResourceNotFoundException")
        };
        assert_eq!(of_answer(400, key).effect, Effect::Refused(TargetErrorKind::AccessDenied));
    }

    #[test]
    fn a_message_carries_reason_and_request_id() {
        let found = Details {
            reason: Some("UNIQUENESS_CONSTRAINT_VIOLATION".to_owned()),
            request_id: Some("1-2-3".to_owned()),
            ..details("ConflictException")
        };
        assert_eq!(
            of_answer(400, found).message,
            "said so (UNIQUENESS_CONSTRAINT_VIOLATION, request id 1-2-3)"
        );
        assert_eq!(of_answer(500, Details::default()).code, "HTTP500");
    }
}
