//! What only the service knows.

use jiff::Timestamp;
use prometheus::{Gauge, IntGauge, IntGaugeVec, Registry, Result};

use super::families::{count, counts, gauge};
use super::seconds;

/// What the service is at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ServiceState<'a> {
    /// By the schedule; `None` while paused.
    pub next: Option<Timestamp>,
    pub lease_holder: Option<&'a str>,
    /// The holder is this process.
    pub lease_is_mine: bool,
    /// The config in force is that of the file.
    pub config_loaded: bool,
}

pub struct OfService {
    next: Gauge,
    lease_held: IntGauge,
    lease_holder: IntGaugeVec,
    config_loaded: IntGauge,
}

impl OfService {
    pub fn new(registry: &Registry) -> Result<Self> {
        let r = registry;
        Ok(Self {
            next: gauge(
                r,
                "idcsync_next_cycle_timestamp_seconds",
                "When the next cycle is due by the schedule; 0 while paused.",
            )?,
            lease_held: count(r, "idcsync_lease_held", "1 while this process holds the lease.")?,
            lease_holder: counts(
                r,
                "idcsync_lease_holder_info",
                &["holder"],
                "Always 1; who holds the lease now.",
            )?,
            config_loaded: count(
                r,
                "idcsync_config_loaded",
                "0 while a changed config file could not be taken up: the one before it is in force.",
            )?,
        })
    }

    pub fn set(&self, now: &ServiceState<'_>) {
        self.next.set(seconds(now.next));
        self.lease_held.set((now.lease_is_mine && now.lease_holder.is_some()).into());
        self.lease_holder.reset();
        if let Some(holder) = now.lease_holder {
            self.lease_holder.with_label_values(&[holder]).set(1);
        }
        self.config_loaded.set(now.config_loaded.into());
    }
}
