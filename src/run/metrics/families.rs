//! Metrics are made and registered in one go.

use prometheus::{
    Gauge, GaugeVec, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts,
    Registry, Result,
};

macro_rules! made {
    ($registry:ident, $metric:expr) => {{
        let metric = $metric?;
        $registry.register(Box::new(metric.clone()))?;
        Ok(metric)
    }};
}

pub fn counter(registry: &Registry, name: &str, help: &str) -> Result<IntCounter> {
    made!(registry, IntCounter::new(name, help))
}

pub fn counters(registry: &Registry, name: &str, labels: &[&str], help: &str) -> Result<IntCounterVec> {
    made!(registry, IntCounterVec::new(Opts::new(name, help), labels))
}

pub fn count(registry: &Registry, name: &str, help: &str) -> Result<IntGauge> {
    made!(registry, IntGauge::new(name, help))
}

pub fn counts(registry: &Registry, name: &str, labels: &[&str], help: &str) -> Result<IntGaugeVec> {
    made!(registry, IntGaugeVec::new(Opts::new(name, help), labels))
}

pub fn gauge(registry: &Registry, name: &str, help: &str) -> Result<Gauge> {
    made!(registry, Gauge::new(name, help))
}

pub fn gauges(registry: &Registry, name: &str, labels: &[&str], help: &str) -> Result<GaugeVec> {
    made!(registry, GaugeVec::new(Opts::new(name, help), labels))
}

pub fn histograms(
    registry: &Registry,
    name: &str,
    labels: &[&str],
    buckets: &[f64],
    help: &str,
) -> Result<HistogramVec> {
    let opts = HistogramOpts::new(name, help).buckets(buckets.to_vec());
    made!(registry, HistogramVec::new(opts, labels))
}

/// What fits; a count that does not is beyond all use.
pub fn int(count: impl TryInto<i64>) -> i64 {
    count.try_into().unwrap_or(i64::MAX)
}
