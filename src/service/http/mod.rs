//! The service over HTTP: health for whoever runs it, metrics, what `idcsync status` says, as JSON and as pages, and four
//! requests that change something. docs/output.md has the answers, docs/metrics.md the metrics.
//!
//! Nobody is asked who they are to read. To change something takes the bearer token: a page in somebody's browser has
//! none, and no CORS header invites it.

mod access;
mod change;
mod page;
mod patient;
mod scrape;
mod serve;

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{DefaultBodyLimit, Request, State as Shared};
use axum::http::{HeaderValue, StatusCode, header};
use axum::middleware::{Next, from_fn, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use serde_json::{Value, json};
use tokio::time::{Instant, timeout};
use tracing::debug;

use super::{Board, LastRun};
use crate::cycle::chain;
use crate::printable;
use crate::run::{Metrics, Overview, Status, clock};
use crate::state::{State, StateError};
pub use serve::serve;

/// Without a sign of life from the worker for so long the process is to be started anew. It gives one each second.
const SILENCE: Duration = Duration::from_secs(300);
/// A reason for a pause fits many times over.
const BODY_LIMIT: usize = 16 * 1024;
/// From the end of a request's head to its answer. A state database that is busy is waited for less than that.
const TIME_LIMIT: Duration = Duration::from_secs(30);

const NO_PAGE: &str = "default-src 'none'; frame-ancestors 'none'";

struct Web {
    board: Arc<Board>,
    metrics: Arc<Metrics>,
    /// The worker counts as alive from here on.
    begun: Instant,
    /// Held by the one who reads the state database: the worker shares its connections, and must not have to queue
    /// behind a crowd. When the metrics were last brought up to date.
    reading: Arc<tokio::sync::Mutex<Option<Instant>>>,
}

type FromWeb = Shared<Arc<Web>>;

pub fn router(board: Arc<Board>, metrics: Arc<Metrics>) -> Router {
    routes(Arc::new(Web { board, metrics, begun: Instant::now(), reading: Arc::default() }))
}

fn routes(web: Arc<Web>) -> Router {
    let token = || from_fn_with_state(Arc::clone(&web), access::token);
    let host = || from_fn_with_state(Arc::clone(&web), access::host);
    let pages = Router::new()
        .route("/", get(page::home))
        .route("/objects", get(page::objects))
        .route("/held", get(page::held))
        .route("/leaving", get(page::leaving))
        .route("/findings", get(page::findings))
        .route("/page.css", get(page::style))
        .route("/page.js", get(page::script))
        .route("/icon.svg", get(page::icon))
        .route_layer(host());
    Router::new()
        .route("/healthz", get(health))
        .route("/readyz", get(ready))
        .route("/metrics", get(scrape::metrics))
        .route("/api/status", get(status).route_layer(host()))
        .route("/api/pause", post(change::pause).route_layer(token()))
        .route("/api/resume", post(change::resume).route_layer(token()))
        .route("/api/sync", post(change::sync).route_layer(token()))
        .route("/api/approve", post(change::approve).route_layer(token()))
        .merge(pages)
        .fallback(|| async { refuse(StatusCode::NOT_FOUND, "there is nothing here") })
        .method_not_allowed_fallback(|| async {
            refuse(StatusCode::METHOD_NOT_ALLOWED, "not by this method: see the Allow header")
        })
        .layer(DefaultBodyLimit::max(BODY_LIMIT))
        .layer(from_fn(every))
        .with_state(web)
}

/// What goes for every request.
async fn every(request: Request, next: Next) -> Response {
    let (method, path) = (request.method().clone(), request.uri().path().to_owned());
    let begun = Instant::now();
    let mut response = timeout(TIME_LIMIT, next.run(request)).await.unwrap_or_else(|_| {
        refuse(StatusCode::SERVICE_UNAVAILABLE, "no answer could be had in time; try again later")
    });
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    // What is no page is no part of one either, and is not to be framed by one.
    if !headers.contains_key(header::CONTENT_SECURITY_POLICY) {
        headers.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(NO_PAGE));
    }
    headers.insert("cross-origin-resource-policy", HeaderValue::from_static("same-origin"));
    debug!(%method, path, status = response.status().as_u16(), took = ?begun.elapsed(), "answered");
    response
}

/// Why something is not done.
struct Refusal(StatusCode, String);

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        answer(self.0, json!({ "error": self.1 }))
    }
}

fn answer(status: StatusCode, value: Value) -> Response {
    let body = printable::json(&value.to_string()).into_owned();
    (status, [(header::CONTENT_TYPE, "application/json")], body).into_response()
}

fn refuse(status: StatusCode, why: impl Into<String>) -> Response {
    Refusal(status, why.into()).into_response()
}

async fn health(Shared(web): FromWeb) -> Response {
    let silent = web.board.view().alive.unwrap_or(web.begun).elapsed();
    if silent > SILENCE {
        let why = format!("the worker has given no sign of life for {} seconds", silent.as_secs());
        return refuse(StatusCode::SERVICE_UNAVAILABLE, why);
    }
    "ok".into_response()
}

async fn ready(Shared(web): FromWeb) -> Response {
    let view = web.board.view();
    let status = if view.waits_for.is_none() { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let last = |run: LastRun| json!({ "ended": run.ended, "outcome": run.outcome });
    let body = json!({
        "schema": "idcsync/ready/v1",
        "ready": view.waits_for.is_none(),
        "waitsFor": view.waits_for,
        "last": view.last.map(last),
    });
    answer(status, body)
}

async fn status(Shared(web): FromWeb) -> Response {
    let service = json!(web.board.view());
    let missing =
        |why: String| answer(StatusCode::SERVICE_UNAVAILABLE, json!({ "error": why, "service": service }));
    let state = match web.state() {
        Ok(state) => state,
        Err(refusal) => return missing(refusal.1),
    };
    let mut read = web.reading.lock().await;
    match read_status(&web, &state).await {
        Ok(status) => {
            *read = Some(Instant::now());
            drop(read);
            let mut body = status.json();
            body["service"] = service;
            answer(StatusCode::OK, body)
        }
        Err(error) => missing(unreadable(&error).1),
    }
}

impl Web {
    fn state(&self) -> Result<State, Refusal> {
        self.board.state().ok_or_else(|| {
            let what = self.board.view().waits_for;
            let why =
                format!("the service still waits for {}", what.as_deref().unwrap_or("the state database"));
            Refusal(StatusCode::SERVICE_UNAVAILABLE, why)
        })
    }
}

impl Web {
    /// For the pages; each read by itself, after the one before.
    async fn overview(&self) -> Result<Overview, Refusal> {
        let state = self.state()?;
        let _reading = self.reading.lock().await;
        let config = self.board.config();
        Overview::read(&config, &state, clock::now()).await.map_err(|error| unreadable(&error))
    }
}

/// What is read goes into the metrics too.
async fn read_status(web: &Web, state: &State) -> Result<Status, StateError> {
    let config = web.board.config().as_ref().clone();
    let status = Status::read(config, state, state.place(), clock::now()).await?;
    web.metrics.status(&status);
    Ok(status)
}

fn unreadable(error: &StateError) -> Refusal {
    let why = format!("the state database cannot be used: {}", chain(error));
    Refusal(StatusCode::SERVICE_UNAVAILABLE, why)
}

#[cfg(test)]
mod tests;
