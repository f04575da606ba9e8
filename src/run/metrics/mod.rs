//! What is measured, for Prometheus: docs/metrics.md has the list.
//!
//! What a cycle did is counted as it ends. What the state database knows is taken over as a whole, and shown from the
//! first time on that it could be read: a gauge that says 0 because nobody has looked yet would be a lie. The same
//! goes for what only the service can know.

mod cycles;
mod families;
mod known;
mod service;

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use jiff::Timestamp;
use prometheus::{Registry, TextEncoder};

use super::{CycleStats, Status};
pub use service::ServiceState;

/// Content-Type of what [`Metrics::render`] gives.
pub const TEXT_FORMAT: &str = prometheus::TEXT_FORMAT;

#[derive(Debug, thiserror::Error)]
#[error("the metrics cannot be put into the text format")]
pub struct MetricsError(#[from] prometheus::Error);

pub struct Metrics {
    cycles: cycles::OfCycles,
    known: known::OfState,
    service: service::OfService,
    counted: Registry,
    of_state: Registry,
    of_service: Registry,
    /// Held while several values that belong together are set or read.
    shown: Mutex<Shown>,
}

/// Which parts there is something to say of.
#[derive(Default)]
struct Shown {
    state: bool,
    service: bool,
}

impl Metrics {
    /// Everything bears the name of the profile.
    pub fn new(profile: &str) -> Result<Self, MetricsError> {
        let labels = HashMap::from([("profile".to_owned(), profile.to_owned())]);
        let registry = || Registry::new_custom(None, Some(labels.clone()));
        let (counted, of_state, of_service) = (registry()?, registry()?, registry()?);
        Ok(Self {
            cycles: cycles::OfCycles::new(&counted)?,
            known: known::OfState::new(&of_state)?,
            service: service::OfService::new(&of_service)?,
            counted,
            of_state,
            of_service,
            shown: Mutex::default(),
        })
    }

    /// One cycle is over. `allowed_per_second`: requests to the target, by the config.
    pub fn cycle(&self, stats: &CycleStats, allowed_per_second: u32) {
        let _together = self.lock();
        self.cycles.add(stats, allowed_per_second);
    }

    /// Takes over what the state database knows.
    pub fn status(&self, status: &Status) {
        let mut shown = self.lock();
        self.known.set(status);
        shown.state = true;
    }

    pub fn service(&self, now: &ServiceState<'_>) {
        let mut shown = self.lock();
        self.service.set(now);
        shown.service = true;
    }

    /// In Prometheus' text format, which node-exporter's textfile collector reads too.
    pub fn render(&self) -> Result<String, MetricsError> {
        let shown = self.lock();
        let mut families = self.counted.gather();
        if shown.state {
            families.extend(self.of_state.gather());
        }
        if shown.service {
            families.extend(self.of_service.gather());
        }
        drop(shown);
        families.sort_by(|a, b| a.name().cmp(b.name()));
        Ok(TextEncoder::new().encode_to_string(&families)?)
    }

    fn lock(&self) -> MutexGuard<'_, Shown> {
        self.shown.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// In seconds, as Prometheus has times; 0 where there is none.
fn seconds(at: Option<Timestamp>) -> f64 {
    at.map_or(0.0, |at| at.as_duration().as_secs_f64())
}

#[cfg(test)]
mod tests;
