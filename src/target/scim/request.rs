//! One request, paced and repeated where that is safe.

use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use reqwest::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, DATE, HeaderMap, HeaderValue, RETRY_AFTER};
use reqwest::{Method, Response, Url};
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::Value;

use super::ScimTarget;
use super::failure::{On, Refusal, of_refusal, of_token, of_transport};
use crate::target::pacing::{Effect, Failure, Repeat};
use crate::target::{LONGEST_ANSWER, TargetError, TargetErrorKind};

const JSON: &str = "application/scim+json";

/// A request that may be sent several times.
#[derive(Debug)]
pub(super) struct Ask {
    /// For the log: `scim:ListUsers`.
    pub operation: &'static str,
    pub repeat: Repeat,
    pub on: On,
    pub method: Method,
    pub url: Url,
    pub body: Option<Value>,
}

impl ScimTarget {
    /// The answer's body; `Null` where it has none.
    pub(super) async fn send(&self, ask: &Ask) -> Result<Value, TargetError> {
        self.pacer.call(ask.operation, ask.repeat, || self.attempt(ask)).await
    }

    async fn attempt(&self, ask: &Ask) -> Result<Value, Failure> {
        // Read each time, so that a new token counts from the moment it is there.
        let token = self.token.read().map_err(|e| of_token(&e))?;
        let mut request = self
            .http
            .request(ask.method.clone(), ask.url.clone())
            .header(AUTHORIZATION, bearer(&token)?)
            .header(ACCEPT, "application/scim+json, application/json");
        if let Some(body) = &ask.body {
            request = request.header(CONTENT_TYPE, JSON).body(body.to_string());
        }
        let response = request.send().await.map_err(of_transport)?;
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        self.clock.see(text(&headers, DATE.as_str()));
        let bytes = whole(response).await?;
        let body: Option<Value> = serde_json::from_slice(&bytes).ok();
        if (200..=299).contains(&status) {
            return match body {
                _ if bytes.is_empty() => Ok(Value::Null),
                Some(body) => {
                    if body.get("schemas").is_some() {
                        self.proven.store(true, Relaxed);
                    }
                    Ok(body)
                }
                None => Err(Failure::new(
                    Effect::Unknown,
                    format!("HTTP{status}"),
                    "the answer is no JSON: it seems not to come from a SCIM endpoint; check `scim.url` in [target]",
                )),
            };
        }
        let refusal = Refusal {
            status,
            retry_after: text(&headers, RETRY_AFTER.as_str())
                .and_then(|v| v.parse().ok())
                .map(Duration::from_secs),
            request_id: text(&headers, "x-amzn-requestid").map(str::to_owned),
            foreign: body.is_none() && !bytes.is_empty(),
            body,
        };
        let mut failure = of_refusal(refusal, ask.on, &self.token);
        // Whoever answers may say back what it was sent, and what it says goes into the log.
        failure.message = failure.message.replace(token.expose_secret(), "***");
        failure.code = failure.code.replace(token.expose_secret(), "***");
        // A token that was replaced while this request was on its way: refused, and the new one has not been tried.
        if status == 401 && self.token.read().is_ok_and(|new| new.expose_secret() != token.expose_secret()) {
            return Err(Failure { effect: Effect::Contended, ..failure });
        }
        Err(failure)
    }
}

/// The body, unless it is longer than any answer of a SCIM endpoint.
async fn whole(mut response: Response) -> Result<Vec<u8>, Failure> {
    let mut bytes = Vec::new();
    let mut fits = response.content_length().is_none_or(|length| length <= LONGEST_ANSWER as u64);
    while fits {
        match response.chunk().await.map_err(of_transport)? {
            None => return Ok(bytes),
            Some(chunk) => bytes.extend_from_slice(&chunk),
        }
        fits = bytes.len() <= LONGEST_ANSWER;
    }
    let why = format!("the answer has more than {LONGEST_ANSWER} bytes: check `scim.url` in [target]");
    Err(Failure::new(Effect::Unknown, "AnswerTooLong", why))
}

fn bearer(token: &SecretString) -> Result<HeaderValue, Failure> {
    let value = HeaderValue::from_str(&format!("Bearer {}", token.expose_secret())).map_err(|_| {
        Failure::new(
            Effect::Refused(TargetErrorKind::AccessDenied),
            "TokenInvalid",
            "the SCIM bearer token has characters that no token has: a line break in the middle, perhaps",
        )
    });
    value.map(|mut value| {
        value.set_sensitive(true);
        value
    })
}

fn text<'h>(headers: &'h HeaderMap, name: &str) -> Option<&'h str> {
    headers.get(name)?.to_str().ok().map(str::trim)
}
