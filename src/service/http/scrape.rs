//! `/metrics`: what is counted as it happens, and what the state database knows, read now and then.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::State as Shared;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use tokio::time::{Instant, timeout_at};
use tracing::{debug, error};

use super::{FromWeb, Web, read_status, refuse, unreadable};
use crate::cycle::chain;
use crate::run::{ServiceState, TEXT_FORMAT};

/// As often as anybody scrapes.
pub(super) const FRESH: Duration = Duration::from_secs(15);
/// Prometheus waits for ten seconds.
const PATIENCE: Duration = Duration::from_secs(5);

pub async fn metrics(Shared(web): FromWeb) -> Response {
    refresh(&web).await;
    let view = web.board.view();
    let lease = view.lease;
    web.metrics.service(&ServiceState {
        next: view.next,
        lease_holder: lease.as_ref().map(|lease| lease.holder.as_str()),
        lease_is_mine: lease.as_ref().is_some_and(|lease| lease.mine),
        config_loaded: view.config_problem.is_none(),
    });
    match web.metrics.render() {
        Ok(text) => ([(header::CONTENT_TYPE, TEXT_FORMAT)], text).into_response(),
        Err(error) => {
            error!("{}", chain(&error));
            refuse(StatusCode::INTERNAL_SERVER_ERROR, error.to_string())
        }
    }
}

/// Where the database does not answer in time, what was read before has to do. One reads, and the others who ask
/// meanwhile wait for that.
async fn refresh(web: &Arc<Web>) {
    let deadline = Instant::now() + PATIENCE;
    let Ok(mut read) = timeout_at(deadline, Arc::clone(&web.reading).lock_owned()).await else { return };
    if read.is_some_and(|at| at.elapsed() < FRESH) {
        return;
    }
    let Some(state) = web.board.state() else { return };
    // By itself, so that it is not broken off with the request.
    let reader = Arc::clone(web);
    let work = tokio::spawn(async move {
        if let Err(error) = read_status(&reader, &state).await {
            debug!("metrics are not brought up to date: {}", unreadable(&error).1);
        }
        // Also after a failure: a database that is ill is not to be asked all the time.
        *read = Some(Instant::now());
    });
    let _ = timeout_at(deadline, work).await;
}
