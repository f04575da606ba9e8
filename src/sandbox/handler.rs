//! One request in, one answer out: the part that the HTTP server and the in-process client share.

use std::fmt;
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use jiff::Timestamp;
use serde_json::{Value, json};
use uuid::Uuid;

use super::SandboxError;
use super::fault::{FaultKind, FaultSpec, Faults};
use super::pace::{Bucket, Latency, Others};
use super::persist::{Books, Mode};
use super::request_log::{LogEntry, RequestLog};
use super::scim::ScimSettings;
use super::store::Store;
use super::wire::{self, Context, Decoded, Failure, Operation};

/// How a sandbox behaves.
#[derive(Debug, Clone)]
pub struct Settings {
    /// `d-` and ten hexadecimal digits.
    pub identity_store_id: String,
    pub region: String,
    /// The store file; without one, the store is gone with the process.
    pub store: Option<PathBuf>,
    /// Reads the store file and writes nothing, the request log included: every change is answered with
    /// AccessDeniedException.
    pub read_only: bool,
    /// The limit for all callers of one endpoint (the API, SCIM) together; none without.
    pub requests_per_second: Option<u32>,
    /// Who else uses that limit.
    pub others: Vec<Others>,
    pub latency: Duration,
    /// Up to so much more latency, at random.
    pub jitter: Duration,
    pub faults: Vec<FaultSpec>,
    /// For percentages of faults and for the jitter.
    pub seed: u64,
    pub request_log: Option<PathBuf>,
    pub scim: ScimSettings,
}

/// The identity store id of a sandbox that isn't told another.
pub const DEFAULT_IDENTITY_STORE_ID: &str = "d-1234567890";
/// The region of a sandbox that isn't told another.
pub const DEFAULT_REGION: &str = "eu-west-1";

impl Default for Settings {
    fn default() -> Self {
        Self {
            identity_store_id: DEFAULT_IDENTITY_STORE_ID.to_owned(),
            region: DEFAULT_REGION.to_owned(),
            store: None,
            read_only: false,
            requests_per_second: None,
            others: Vec::new(),
            latency: Duration::ZERO,
            jitter: Duration::ZERO,
            faults: Vec::new(),
            seed: 0,
            request_log: None,
            scim: ScimSettings::default(),
        }
    }
}

/// A request, of which only this much matters.
#[derive(Debug, Clone)]
pub struct RawRequest {
    /// The header `X-Amz-Target`.
    pub target: Option<String>,
    pub body: Bytes,
    /// Whether there is an `Authorization` header. The signature is not verified.
    pub authorization: bool,
    /// The header `User-Agent`.
    pub agent: Option<String>,
}

/// An answer.
#[derive(Debug, Clone)]
pub struct RawResponse {
    pub status: u16,
    pub headers: Vec<(&'static str, String)>,
    pub body: Bytes,
}

/// There is no answer, because of a fault on demand (`timeout-before`, `timeout-after`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the sandbox withheld its answer")]
pub struct Withheld;

/// The stand-in for the Identity Store API and its SCIM endpoint.
pub struct Sandbox {
    pub(super) identity_store_id: String,
    pub(super) region: String,
    books: Mutex<Books>,
    bucket: Option<Mutex<Bucket>>,
    pub(super) scim_bucket: Option<Mutex<Bucket>>,
    pub(super) latency: Latency,
    pub(super) faults: Faults,
    log: Option<RequestLog>,
    pub(super) scim: ScimSettings,
}

impl fmt::Debug for Sandbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sandbox").field("identity_store_id", &self.identity_store_id).finish_non_exhaustive()
    }
}

/// What became of a request.
struct Outcome {
    answer: Result<Value, Failure>,
    resource: Value,
    fault: Option<FaultKind>,
}

impl Outcome {
    fn refused(failure: Failure) -> Self {
        Self { answer: Err(failure), resource: json!({}), fault: None }
    }

    fn withheld(&self) -> bool {
        self.fault.is_some_and(FaultKind::withholds)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // A panic elsewhere leaves the store whole: a change is made in one call.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Sandbox {
    /// Opens the store file (if any), takes its lock, and opens the request log.
    pub fn open(settings: Settings) -> Result<Self, SandboxError> {
        let id = &settings.identity_store_id;
        let well_formed = id.strip_prefix("d-").is_some_and(|digits| {
            digits.len() == 10 && digits.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
        });
        if !well_formed {
            return Err(SandboxError::IdentityStoreId(id.clone()));
        }
        let books = match &settings.store {
            Some(path) => {
                let mode = if settings.read_only { Mode::ReadOnly } else { Mode::ReadWrite };
                Books::open(path, id, mode)?
            }
            None => Books::in_memory(Store::new()),
        };
        let log = match settings.request_log.as_ref().filter(|_| !settings.read_only) {
            Some(path) => Some(
                RequestLog::open(path)
                    .map_err(|source| SandboxError::RequestLog { path: path.clone(), source })?,
            ),
            None => None,
        };
        let bucket = || {
            let rate = settings.requests_per_second?;
            Some(Mutex::new(Bucket::new(rate, clock()).shared_with(settings.others.clone())))
        };
        Ok(Self {
            books: Mutex::new(books),
            bucket: bucket(),
            scim_bucket: bucket(),
            latency: Latency::new(settings.latency, settings.jitter, settings.seed),
            faults: Faults::new(settings.faults, settings.seed),
            log,
            identity_store_id: settings.identity_store_id,
            region: settings.region,
            scim: settings.scim,
        })
    }

    /// A sandbox in memory that holds this store already: for tests and rehearsals.
    pub fn with_store(settings: Settings, store: Store) -> Result<Self, SandboxError> {
        let sandbox = Self::open(Settings { store: None, ..settings })?;
        *lock(&sandbox.books) = Books::in_memory(store);
        Ok(sandbox)
    }

    /// The region that it plays.
    pub fn region(&self) -> &str {
        &self.region
    }

    /// Looks at the store as it is now.
    pub fn inspect<T>(&self, look: impl FnOnce(&Store) -> T) -> T {
        look(lock(&self.books).store())
    }

    /// Writes the store file, if anything changed. A sandbox that ends without this loses nothing: its journal is read
    /// at the next start.
    pub fn close(&self) -> Result<(), SandboxError> {
        Ok(lock(&self.books).fold()?)
    }

    /// Answers one request, after the simulated latency. What the request asks for is done, and logged, at once: a
    /// caller who gives up while waiting for the answer does not undo it.
    pub async fn handle(&self, request: RawRequest) -> Result<RawResponse, Withheld> {
        let started = Instant::now();
        let delay = self.latency.next();
        let result = self.answer(&request, started, delay);
        if !delay.is_zero() {
            tokio::time::sleep(delay).await;
        }
        result
    }

    fn answer(
        &self,
        request: &RawRequest,
        started: Instant,
        delay: Duration,
    ) -> Result<RawResponse, Withheld> {
        let now = Timestamp::now();
        let request_id = Uuid::new_v4().to_string();
        let target = request.target.as_deref().unwrap_or("");
        let operation = Operation::from_target(target);
        let outcome = self.outcome(request, operation, now);
        let response = respond(&outcome.answer, &request_id, now);
        let withheld = outcome.withheld();
        self.record(&LogEntry {
            time: now.to_string(),
            request_id: &request_id,
            operation: operation.map_or(target, |o| o.name()),
            access: operation.map(|o| o.access().name()),
            caller: request.agent.as_deref().and_then(caller),
            resource: &outcome.resource,
            outcome: match &outcome.answer {
                _ if outcome.fault == Some(FaultKind::TimeoutBefore) => "none",
                Ok(_) => "ok",
                Err(failure) => failure.code,
            },
            status: (!withheld).then_some(response.status),
            fault: outcome.fault.map(FaultKind::name),
            withheld,
            latency_ms: (started.elapsed() + delay).as_micros() as f64 / 1000.0,
        });
        if withheld { Err(Withheld) } else { Ok(response) }
    }

    /// Writes a line of the request log, if there is one.
    pub(super) fn record(&self, entry: &LogEntry<'_>) {
        if let Some(Err(error)) = self.log.as_ref().map(|log| log.write(entry)) {
            tracing::error!(error = &error as &dyn std::error::Error, "the request log cannot be written");
        }
    }

    /// The store and its journal, for one operation.
    pub(super) fn books(&self) -> MutexGuard<'_, Books> {
        lock(&self.books)
    }

    /// Signature, rate limit, faults, the operation: in this order.
    fn outcome(&self, request: &RawRequest, operation: Option<Operation>, now: Timestamp) -> Outcome {
        if !request.authorization {
            return Outcome::refused(Failure::missing_token());
        }
        let Some(operation) = operation else {
            return Outcome::refused(Failure::unknown_operation());
        };
        // Decoded first only so that the log can say what a call that is refused was about.
        let decoded = wire::decode(operation, &request.body);
        let mut resource = decoded.as_ref().map_or_else(|_| json!({}), |d| d.request.summary());
        if let Some(seconds) = over_the_limit(self.bucket.as_ref()) {
            return Outcome { answer: Err(Failure::throttled(seconds)), resource, fault: None };
        }
        let fault = self.faults.next(operation.name());
        let answer = match (fault.and_then(|kind| kind.failure(operation)), decoded) {
            (Some(failure), _) => Err(failure),
            _ if fault == Some(FaultKind::TimeoutBefore) => Ok(json!({})),
            (None, Err(failure)) => Err(failure),
            (None, Ok(decoded)) => self.perform(decoded, now),
        };
        if let (Ok(answer), Some(resource)) = (&answer, resource.as_object_mut()) {
            for (member, name) in
                [("UserId", "userId"), ("GroupId", "groupId"), ("MembershipId", "membershipId")]
            {
                if let Some(id) = answer.get(member) {
                    resource.insert(name.to_owned(), id.clone());
                }
            }
        }
        let answer = match (fault, answer) {
            (Some(FaultKind::InternalAfter), Ok(_)) => Err(Failure::internal("A fault on demand")),
            (_, answer) => answer,
        };
        Outcome { answer, resource, fault }
    }

    fn perform(&self, decoded: Decoded, now: Timestamp) -> Result<Value, Failure> {
        let mut books = lock(&self.books);
        let mut context = Context {
            books: &mut books,
            store_id: &self.identity_store_id,
            region: &self.region,
            now: now.as_millisecond(),
            new_id: Uuid::new_v4(),
        };
        wire::perform(decoded, &mut context)
    }
}

/// The clock of the latency: where a test has stopped that, the limit stands still with it.
fn clock() -> Instant {
    tokio::time::Instant::now().into_std()
}

/// Takes a token, or tells after how many seconds there will be one.
pub(super) fn over_the_limit(bucket: Option<&Mutex<Bucket>>) -> Option<u64> {
    let wait = lock(bucket?).take(clock()).err()?;
    Some((wait.as_secs() + u64::from(wait.subsec_nanos() > 0)).max(1))
}

/// The application's name in the SDK's User-Agent: `… app/NAME …`.
fn caller(agent: &str) -> Option<&str> {
    agent.split_ascii_whitespace().find_map(|part| part.strip_prefix("app/"))
}

fn respond(answer: &Result<Value, Failure>, request_id: &str, now: Timestamp) -> RawResponse {
    let (status, body) = match answer {
        Ok(body) => (200, body.to_string()),
        Err(failure) => (failure.status, failure.body(request_id).to_string()),
    };
    let mut headers = vec![
        ("content-type", "application/x-amz-json-1.1".to_owned()),
        ("x-amzn-requestid", request_id.to_owned()),
    ];
    // The in-process client has no server that would add it.
    if let Ok(date) = jiff::fmt::rfc2822::DateTimePrinter::new().timestamp_to_rfc9110_string(&now) {
        headers.push(("date", date));
    }
    if let Err(failure) = answer {
        headers.push(("x-amzn-errortype", failure.code.to_owned()));
    }
    RawResponse { status, headers, body: Bytes::from(body) }
}

#[cfg(test)]
mod tests;
