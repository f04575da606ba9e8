//! Work that nobody else does at the same time.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::watch;
use tracing::warn;

use super::clock;
use crate::cycle::chain;
use crate::ids::IdentityStoreId;
use crate::state::{Holder, LeaseAnswer, State, StateError};

/// How long a lease lasts if its holder falls silent.
const LEASE: Duration = Duration::from_secs(60);

pub enum Leased<T> {
    Elsewhere { holder: Holder, until: Timestamp },
    Done(T),
}

/// Does `work` while this process has the lease of `store`. `stop` is told as soon as the lease is lost.
pub async fn under_lease<T>(
    state: &State,
    store: &IdentityStoreId,
    stop: Arc<watch::Sender<bool>>,
    work: impl Future<Output = T>,
) -> Result<Leased<T>, StateError> {
    let holder = Holder::current()?;
    if let LeaseAnswer::HeldBy { holder, until } =
        state.acquire_lease(store, &holder, clock::now(), LEASE).await?
    {
        return Ok(Leased::Elsewhere { holder, until });
    }
    let keeper = tokio::spawn(keep_lease(state.clone(), store.clone(), holder.clone(), stop));
    let result = work.await;
    keeper.abort();
    if let Err(error) = state.release_lease(store, &holder).await {
        warn!("the lease could not be given back; it ends by itself: {}", chain(&error));
    }
    Ok(Leased::Done(result))
}

/// Prolongs the lease while the cycle runs; without it, no further step is begun.
async fn keep_lease(state: State, store: IdentityStoreId, holder: Holder, stop: Arc<watch::Sender<bool>>) {
    let mut failures = 0;
    loop {
        tokio::time::sleep(LEASE / 6).await;
        match state.renew_lease(&store, &holder, clock::now(), LEASE).await {
            Ok(true) => failures = 0,
            Ok(false) => {
                warn!("the lease was taken over by another cycle: no further step is begun");
                let _ = stop.send(true);
                return;
            }
            Err(error) => {
                failures += 1;
                warn!("the lease could not be prolonged: {}", chain(&error));
                if failures >= 3 {
                    let _ = stop.send(true);
                    return;
                }
            }
        }
    }
}
