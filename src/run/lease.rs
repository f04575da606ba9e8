//! Work that nobody else does at the same time.

use std::future::Future;

use jiff::Timestamp;
use tracing::warn;

use crate::cycle::chain;
use crate::ids::IdentityStoreId;
use crate::state::{self, Holder, LEASE_TTL, LeaseAnswer, State, StateError};
use crate::target::Gate;

pub enum Leased<T> {
    Elsewhere { holder: Holder, until: Timestamp },
    Done(T),
}

/// Does `work` while this process has the lease of `store`; what it sends has to pass the gate. `lost` is called as soon
/// as the lease is.
pub async fn under_lease<T, F: Future<Output = T>>(
    state: &State,
    store: &IdentityStoreId,
    lost: impl FnOnce() + Send + 'static,
    work: impl FnOnce(Gate) -> F,
) -> Result<Leased<T>, StateError> {
    let holder = Holder::current()?;
    let lease = match state.acquire_lease(store, &holder, LEASE_TTL).await? {
        LeaseAnswer::Acquired(lease) => lease,
        LeaseAnswer::HeldBy { holder, until } => return Ok(Leased::Elsewhere { holder, until }),
    };
    let keeper = tokio::spawn(state::keep_lease(state.clone(), lease.clone(), lost));
    let result = work(Gate::Lease(lease.deadline())).await;
    keeper.abort();
    if let Err(error) = state.release_lease(&lease).await {
        warn!("the lease could not be given back; it ends by itself: {}", chain(&error));
    }
    Ok(Leased::Done(result))
}
