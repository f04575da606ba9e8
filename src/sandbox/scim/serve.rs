//! One SCIM request in, one answer out.

use std::time::{Duration, Instant};

use bytes::Bytes;
use jiff::Timestamp;
use secrecy::ExposeSecret;
use serde_json::{Value, json};
use uuid::Uuid;

use super::error::ScimError;
use super::operation::ScimOperation;
use super::perform::{self, Answer, Context};
use super::route::{self, Route, ScimRequest};
use super::{ScimSettings, issuer};
use crate::sandbox::fault::FaultKind;
use crate::sandbox::handler::{RawResponse, Sandbox, Withheld, over_the_limit};
use crate::sandbox::request_log::LogEntry;

/// What became of a request.
struct Outcome {
    answer: Result<Answer, ScimError>,
    operation: Option<ScimOperation>,
    resource: Value,
    fault: Option<FaultKind>,
}

impl Outcome {
    fn refused(error: ScimError) -> Self {
        Self { answer: Err(error), operation: None, resource: json!({}), fault: None }
    }
}

impl Sandbox {
    /// Answers one request to the SCIM endpoint, after the simulated latency. What the request asks for is done, and
    /// logged, at once: a caller who gives up while waiting for the answer does not undo it.
    pub async fn handle_scim(&self, request: ScimRequest) -> Result<RawResponse, Withheld> {
        let started = Instant::now();
        let delay = self.latency.next();
        let result = self.answer_scim(&request, started, delay);
        if !delay.is_zero() {
            tokio::time::sleep(delay).await;
        }
        result
    }

    /// How the SCIM endpoint behaves.
    pub fn scim(&self) -> &ScimSettings {
        &self.scim
    }

    fn answer_scim(
        &self,
        request: &ScimRequest,
        started: Instant,
        delay: Duration,
    ) -> Result<RawResponse, Withheld> {
        let now = Timestamp::now();
        let request_id = Uuid::new_v4().to_string();
        let outcome = self.scim_outcome(request, now);
        let response = respond(&outcome.answer, &request_id, now);
        let withheld = outcome.fault.is_some_and(FaultKind::withholds);
        let unknown = format!("scim:{} {}", request.method, request.path);
        self.record(&LogEntry {
            time: now.to_string(),
            request_id: &request_id,
            operation: outcome.operation.map_or(&unknown, |o| o.name()),
            access: outcome.operation.map(|o| o.access().name()),
            caller: None,
            resource: &outcome.resource,
            outcome: match &outcome.answer {
                _ if outcome.fault == Some(FaultKind::TimeoutBefore) => "none",
                Ok(_) => "ok",
                Err(error) => error.kind,
            },
            status: (!withheld).then_some(response.status),
            fault: outcome.fault.map(FaultKind::name),
            withheld,
            latency_ms: (started.elapsed() + delay).as_micros() as f64 / 1000.0,
        });
        if withheld { Err(Withheld) } else { Ok(response) }
    }

    /// User-Agent, token, rate limit, faults, the operation: in this order.
    fn scim_outcome(&self, request: &ScimRequest, now: Timestamp) -> Outcome {
        if request.user_agent.as_deref().is_none_or(|agent| agent.trim().is_empty()) {
            return Outcome::refused(ScimError::blocked());
        }
        let tenant = route::tenant(&request.path);
        if tenant != Some(self.scim.tenant.as_str()) || !self.knows(request.authorization.as_deref()) {
            return Outcome::refused(ScimError::unauthorized());
        }
        let route = match route::route(request) {
            Ok(route) => route,
            Err(error) => return Outcome::refused(error),
        };
        let operation = Some(route.operation);
        let mut resource = summary(&route, request);
        if let Some(seconds) = over_the_limit(self.scim_bucket.as_ref()) {
            return Outcome { answer: Err(ScimError::throttled(seconds)), operation, resource, fault: None };
        }
        let fault = self.faults.next(route.operation.name());
        let answer = match fault.and_then(ScimError::of_fault) {
            Some(error) => Err(error),
            None if fault == Some(FaultKind::TimeoutBefore) => Ok(Answer::none()),
            None => self.perform_scim(&route, request, now),
        };
        if let Ok(Answer { status: 201, body: Some(body) }) = &answer {
            let name = if route.operation == ScimOperation::CreateUser { "userId" } else { "groupId" };
            resource[name] = body["id"].clone();
        }
        let answer = match (fault, answer) {
            (Some(FaultKind::InternalAfter), Ok(_)) => Err(ScimError::internal("A fault on demand")),
            (_, answer) => answer,
        };
        Outcome { answer, operation, resource, fault }
    }

    fn knows(&self, authorization: Option<&str>) -> bool {
        let (scheme, token) = authorization.and_then(|text| text.split_once(' ')).unwrap_or_default();
        scheme.eq_ignore_ascii_case("bearer") && token == self.scim.token.expose_secret()
    }

    fn perform_scim(
        &self,
        route: &Route,
        request: &ScimRequest,
        now: Timestamp,
    ) -> Result<Answer, ScimError> {
        let mut books = self.books();
        let mut context = Context {
            books: &mut books,
            settings: &self.scim,
            store_id: &self.identity_store_id,
            issuer: &issuer(&self.region, &self.scim.tenant),
            now: now.as_millisecond(),
        };
        perform::perform(route, request, &mut context)
    }
}

/// What a request is about, for the log: read leniently, before anybody judges it.
fn summary(route: &Route, request: &ScimRequest) -> Value {
    use ScimOperation as O;
    let mut summary = json!({});
    match route.operation {
        O::GetUser | O::PatchUser | O::PutUser | O::DeleteUser => summary["userId"] = json!(route.id),
        O::GetGroup | O::PatchGroup | O::DeleteGroup => summary["groupId"] = json!(route.id),
        O::ListUsers | O::ListGroups => {
            if let Some(query) = &request.query {
                summary["query"] = json!(query);
            }
        }
        O::CreateUser | O::CreateGroup => {
            let body: Value = serde_json::from_slice(&request.body).unwrap_or_default();
            let name = if route.operation == O::CreateUser { "userName" } else { "displayName" };
            if let Some(text) = body[name].as_str() {
                summary[name] = json!(text);
            }
        }
        O::ServiceProviderConfig | O::ListSchemas | O::GetSchema | O::ListResourceTypes => {}
    }
    summary
}

pub fn respond(answer: &Result<Answer, ScimError>, request_id: &str, now: Timestamp) -> RawResponse {
    let mut headers = vec![("x-amzn-requestid", request_id.to_owned())];
    // The in-process caller has no server that would add it.
    if let Ok(date) = jiff::fmt::rfc2822::DateTimePrinter::new().timestamp_to_rfc9110_string(&now) {
        headers.push(("date", date));
    }
    const JSON: &str = "application/json";
    let (status, content_type, body) = match answer {
        Ok(Answer { status, body }) => {
            (*status, JSON, body.as_ref().map_or_else(String::new, Value::to_string))
        }
        Err(error) if error.kind == ScimError::blocked().kind => {
            (error.status, "text/html", format!("<html><body>{}</body></html>", error.detail))
        }
        Err(error) => {
            headers.push(("x-amzn-errortype", error.kind.to_owned()));
            headers.extend(error.retry_after.map(|seconds| ("retry-after", seconds.to_string())));
            (error.status, JSON, error.body(request_id, now).to_string())
        }
    };
    headers.push(("content-type", content_type.to_owned()));
    RawResponse { status, headers, body: Bytes::from(body) }
}

/// The answer to a body that is longer than any request can rightly have.
pub fn too_large() -> RawResponse {
    respond(&Err(ScimError::too_large()), &Uuid::new_v4().to_string(), Timestamp::now())
}
