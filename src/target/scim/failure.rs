//! What an answer that is no success means for the one who asked, and what a request without an answer means.

use std::error::Error as StdError;
use std::time::Duration;

use serde_json::Value;

use crate::model::Kind;
use crate::secret::{SecretError, SecretSource};
use crate::target::pacing::{Effect, Failure};
use crate::target::{TargetErrorKind, causes, tls_refusal};

/// What a request was about: the same status means different things.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum On {
    /// One object, by its id.
    Object(Kind),
    /// The members of one group.
    Members,
    /// A list or a create that may name an object by its id, in its filter or as a member.
    Naming,
    /// Another list or create, the endpoint itself.
    Endpoint,
}

/// An answer that is no success.
#[derive(Debug, Default)]
pub(super) struct Refusal {
    pub status: u16,
    pub retry_after: Option<Duration>,
    pub request_id: Option<String>,
    /// `None` where the body is empty or no JSON.
    pub body: Option<Value>,
    /// There is a body, and it is no JSON: not the service's own words.
    pub foreign: bool,
}

pub(super) fn of_refusal(refusal: Refusal, on: On, token: &SecretSource) -> Failure {
    use TargetErrorKind::{AccessDenied, Conflict, InPart, NotFound, Quota, Unavailable, Validation};

    let text = |name: &str| refusal.body.as_ref().and_then(|b| b.get(name)).and_then(Value::as_str);
    let (effect, hint) = match (refusal.status, on) {
        (429, _) => (Effect::Throttled, None),
        (401 | 403, _) => (Effect::Refused(AccessDenied), Some(renew(token))),
        (407, _) => (Effect::Refused(AccessDenied), Some("the proxy refuses this machine".to_owned())),
        (402, _) => (Effect::Refused(Quota), None),
        (409, _) => (Effect::Refused(Conflict), None),
        // Something between here and the service.
        (404, _) if refusal.foreign => (Effect::Unknown, Some(CHECK_URL.to_owned())),
        (404, On::Object(kind)) => (Effect::Refused(NotFound(Some(kind))), None),
        (404, On::Members | On::Naming) => (Effect::Refused(NotFound(None)), None),
        // Without the endpoint nothing can be said about what it holds: this must never read as "no such user".
        (404, On::Endpoint) => (Effect::Refused(Unavailable), Some(CHECK_URL.to_owned())),
        (400, _) if text("scimType") == Some("uniqueness") => (Effect::Refused(Conflict), None),
        // It is known to have come with the group emptied.
        (400, On::Members) => {
            let hint = "whether the members were changed all the same must be looked up";
            (Effect::Refused(InPart), Some(hint.to_owned()))
        }
        (408, _) => (Effect::Unknown, None),
        (300..=399, _) => {
            let hint = format!("the endpoint leads elsewhere, and the token is not sent there; {CHECK_URL}");
            (Effect::Refused(Unavailable), Some(hint))
        }
        // Not the endpoint's own words, so nothing that it says of the request.
        (400..=499 | 501, _) if refusal.foreign => (Effect::Refused(Unavailable), Some(CHECK_URL.to_owned())),
        (400..=499 | 501, _) => (Effect::Refused(Validation), None),
        _ => (Effect::Unknown, None),
    };
    let code = text("scimType")
        .filter(|t| t.len() <= 40 && t.bytes().all(|b| b.is_ascii_alphanumeric()))
        .map_or_else(|| format!("HTTP{}", refusal.status), str::to_owned);
    let id = refusal.request_id.as_deref().or_else(|| text("exceptionRequestId"));
    let id = id.filter(|id| id.len() <= LONGEST_ID);
    let mut message = match text("detail").filter(|d| !d.is_empty()) {
        Some(detail) => detail.chars().take(LONGEST_DETAIL).collect(),
        None => format!("the SCIM endpoint answered HTTP {} without saying why", refusal.status),
    };
    if let Some(id) = id {
        message = format!("{message} (request id {id})");
    }
    if let Some(hint) = hint {
        message = format!("{message}: {hint}");
    }
    Failure { retry_after: refusal.retry_after, ..Failure::new(effect, code, message) }
}

const CHECK_URL: &str = "check `scim.url` in [target]";
const LONGEST_DETAIL: usize = 500;
const LONGEST_ID: usize = 200;

/// What to do about a token that is refused.
pub(super) fn renew(token: &SecretSource) -> String {
    let place = match token {
        SecretSource::File(path) => format!("the file {} (`scim.token-file` in [target])", path.display()),
        SecretSource::Env(name) => format!("the environment variable {name} (`scim.token-env` in [target])"),
    };
    format!(
        "the bearer token in {place} is not accepted: generate a new one in IAM Identity Center (Settings, Automatic \
         provisioning), and put it there"
    )
}

pub(super) fn of_token(error: &SecretError) -> Failure {
    let why: Vec<String> = causes(error).map(ToString::to_string).collect();
    let message = format!(
        "the SCIM bearer token (`scim.token-file` or `scim.token-env` in [target]) cannot be read: {}",
        why.join(": ")
    );
    Failure::new(Effect::Refused(TargetErrorKind::AccessDenied), "TokenUnreadable", message)
}

/// No answer, or not all of one. What certainly did not reach the endpoint is told apart from the rest.
pub(super) fn of_transport(error: reqwest::Error) -> Failure {
    // The url has names of people in it.
    let error = error.without_url();
    let why = deepest(&error);
    if let Some(why) = tls_refusal(&error) {
        let message = format!("the SCIM endpoint's TLS is not accepted: {why}");
        Failure::new(Effect::Refused(TargetErrorKind::Unavailable), "TlsRefused", message)
    } else if error.is_connect() {
        Failure::new(Effect::Unsent, "Unreachable", format!("no connection to the SCIM endpoint: {why}"))
    } else if error.is_timeout() {
        Failure::new(Effect::Unknown, "Timeout", "the SCIM endpoint did not answer in time")
    } else if error.is_builder() {
        let message = format!("the request could not be made: {why}");
        Failure::new(Effect::Refused(TargetErrorKind::Validation), "InvalidRequest", message)
    } else {
        let message = format!("the connection broke before the whole answer came: {why}");
        Failure::new(Effect::Unknown, "ConnectionLost", message)
    }
}

/// The error below all others says what happened; those above it only in what.
pub(super) fn deepest(error: &(dyn StdError + 'static)) -> String {
    causes(error).last().map(ToString::to_string).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn of(status: u16, on: On, body: Option<Value>) -> Failure {
        let refusal = Refusal { status, body, ..Refusal::default() };
        of_refusal(refusal, on, &SecretSource::Env("SCIM_TOKEN".to_owned()))
    }

    #[test]
    fn a_status_means_what_was_asked() {
        use TargetErrorKind::{AccessDenied, Conflict, InPart, NotFound, Quota, Unavailable, Validation};
        let user = On::Object(Kind::User);
        for (status, on, effect) in [
            (429, On::Endpoint, Effect::Throttled),
            (409, On::Endpoint, Effect::Refused(Conflict)),
            (402, On::Endpoint, Effect::Refused(Quota)),
            (401, user, Effect::Refused(AccessDenied)),
            (403, On::Members, Effect::Refused(AccessDenied)),
            (404, user, Effect::Refused(NotFound(Some(Kind::User)))),
            (404, On::Members, Effect::Refused(NotFound(None))),
            (404, On::Naming, Effect::Refused(NotFound(None))),
            (404, On::Endpoint, Effect::Refused(Unavailable)),
            (400, user, Effect::Refused(Validation)),
            (400, On::Members, Effect::Refused(InPart)),
            (307, user, Effect::Refused(Unavailable)),
            (501, On::Endpoint, Effect::Refused(Validation)),
            (500, user, Effect::Unknown),
            (503, On::Members, Effect::Unknown),
        ] {
            assert_eq!(of(status, on, None).effect, effect, "{status} {on:?}");
        }
        let taken = of(400, user, Some(json!({"scimType": "uniqueness"})));
        assert_eq!((taken.effect, taken.code.as_str()), (Effect::Refused(Conflict), "uniqueness"));
        let portal = Refusal { status: 404, foreign: true, ..Refusal::default() };
        assert_eq!(of_refusal(portal, user, &SecretSource::Env("T".to_owned())).effect, Effect::Unknown);
    }

    #[test]
    fn a_refused_token_is_named_by_its_place() {
        assert!(of(401, On::Endpoint, None).message.contains("environment variable SCIM_TOKEN"));
        let body = json!({"detail": "so it is", "exceptionRequestId": "r-1"});
        assert_eq!(of(409, On::Endpoint, Some(body)).message, "so it is (request id r-1)");
    }
}
