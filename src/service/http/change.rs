//! The requests that change something. Who may was settled before.

use axum::body::Bytes;
use axum::extract::State as Shared;
use axum::extract::rejection::BytesRejection;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use jiff::Timestamp;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::json;
use tracing::info;

use super::{BODY_LIMIT, FromWeb, Refusal, Web, answer, refuse, unreadable};
use crate::ids::PlanId;
use crate::run::{HeldSteps, Moment, begin_pause, clock, describe, end_pause, pause_json, seal};
use crate::service::Ask;

/// All may be left out.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct PauseWish {
    reason: Option<String>,
    /// As `idcsync pause --until` has it.
    until: Option<String>,
    by: Option<String>,
}

pub async fn pause(Shared(web): FromWeb, body: Result<Bytes, BytesRejection>) -> Result<Response, Refusal> {
    let wish = wish(body)?;
    // To the second, as people say it.
    let now = Timestamp::from_second(clock::now().as_second()).unwrap_or_else(|_| clock::now());
    let until = given(wish.until).map(|text| Moment::parse(&text).and_then(|end| end.after(now)));
    let until = until.transpose().map_err(|why| {
        Refusal(StatusCode::BAD_REQUEST, format!("until: {why}; leave it out to pause until it is resumed"))
    })?;
    let by = given(wish.by).unwrap_or_else(|| "HTTP".to_owned());
    let begun = begin_pause(&web.state()?, given(wish.reason), Some(by), until, now).await;
    let (pause, before) = begun.map_err(|error| unreadable(&error))?;
    info!("paused over HTTP");
    web.look();
    Ok(answer(StatusCode::OK, pause_json(&web.board.config(), Some(&pause), before.as_ref())))
}

/// What is approved, and by whom.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ApproveWish {
    plan: String,
    by: Option<String>,
    /// Of the steps that were looked at; left out, whatever the plan holds now is approved.
    seal: Option<String>,
}

/// Held steps that a cycle has recorded: nothing is planned for it, as `idcsync approve` would.
pub async fn approve(Shared(web): FromWeb, body: Result<Bytes, BytesRejection>) -> Result<Response, Refusal> {
    let body = whole(body)?;
    let wish: ApproveWish = parsed(&body, r#"{"plan": "715f16b19279", "by": "…"}"#)?;
    let (plan, state) = (PlanId::new(wish.plan.trim()), web.state()?);
    let held = HeldSteps::on_record(state.reader(), &plan).await.map_err(|error| unreadable(&error))?;
    let Some(held) = held else {
        let why = format!(
            "no cycle has recorded a plan {plan} with held steps: `GET /api/status` has the one that waits now; what a \
             dry run showed is approved by `idcsync approve`, which plans again"
        );
        return Err(Refusal(StatusCode::NOT_FOUND, why));
    };
    if given(wish.seal).is_some_and(|shown| shown != seal(&held.steps)) {
        let why =
            format!("plan {plan} holds other steps by now than were shown: load the page again, and look");
        return Err(Refusal(StatusCode::CONFLICT, why));
    }
    let by = given(wish.by).unwrap_or_else(|| "HTTP".to_owned());
    let until = held.approve(&held, &state, &by, clock::now()).await.map_err(|error| unreadable(&error))?;
    info!(%plan, steps = held.steps.len(), "held steps approved over HTTP");
    Ok(answer(StatusCode::OK, held.json(Some(until))))
}

pub async fn resume(Shared(web): FromWeb) -> Result<Response, Refusal> {
    let before = end_pause(&web.state()?, clock::now()).await.map_err(|error| unreadable(&error))?;
    info!("resumed over HTTP");
    web.look();
    Ok(answer(StatusCode::OK, pause_json(&web.board.config(), None, before.as_ref())))
}

pub async fn sync(Shared(web): FromWeb) -> Result<Response, Refusal> {
    let pause = web.state()?.pause().await.map_err(|error| unreadable(&error))?;
    if let Some(pause) = pause.filter(|pause| !pause.is_over(clock::now())) {
        let why = format!("the profile is {}: resume it first", describe(&pause));
        return Err(Refusal(StatusCode::CONFLICT, why));
    }
    if !web.board.ask(Ask::SyncNow) {
        let why = "the worker has been asked for more than it has come to; ask again in a moment";
        return Ok(
            ([(header::RETRY_AFTER, "5")], refuse(StatusCode::SERVICE_UNAVAILABLE, why)).into_response()
        );
    }
    let view = web.board.view();
    let body = json!({
        "schema": "idcsync/asked/v1",
        "asked": true,
        "running": view.running,
        "waitsFor": view.waits_for,
    });
    Ok(answer(StatusCode::ACCEPTED, body))
}

fn wish(body: Result<Bytes, BytesRejection>) -> Result<PauseWish, Refusal> {
    let body = whole(body)?;
    if body.trim_ascii().is_empty() {
        return Ok(PauseWish::default());
    }
    parsed(&body, r#"{"reason": "…", "until": "4h", "by": "…"}"#)
}

fn whole(body: Result<Bytes, BytesRejection>) -> Result<Bytes, Refusal> {
    body.map_err(|rejection| {
        let why = if rejection.status() == StatusCode::PAYLOAD_TOO_LARGE {
            format!("the body is longer than {BODY_LIMIT} bytes")
        } else {
            "the body could not be read".to_owned()
        };
        Refusal(rejection.status(), why)
    })
}

/// `form`: what the body is to look like.
fn parsed<T: DeserializeOwned>(body: &[u8], form: &str) -> Result<T, Refusal> {
    serde_json::from_slice(body).map_err(|error| {
        Refusal(StatusCode::BAD_REQUEST, format!("the body is not JSON such as {form}: {error}"))
    })
}

fn given(text: Option<String>) -> Option<String> {
    text.map(|text| text.trim().to_owned()).filter(|text| !text.is_empty())
}

impl Web {
    /// What it would see is in the state database anyway: where it has no time for it, it will look before it runs.
    fn look(&self) {
        let _ = self.board.ask(Ask::Look);
    }
}
