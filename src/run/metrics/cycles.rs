//! What the cycles of this process did.

use std::time::Duration;

use prometheus::{Gauge, GaugeVec, HistogramVec, IntCounter, IntCounterVec, IntGaugeVec, Registry, Result};

use super::families::{counter, counters, counts, gauge, gauges, histograms};
use crate::cycle::Times;
use crate::plan::Sort;
use crate::run::CycleStats;
use crate::state::CycleWord;

/// From a small directory without changes to a first sync of a large one.
const PHASE_BUCKETS: &[f64] =
    &[0.1, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1800.0, 3600.0];

pub struct OfCycles {
    _build: IntGaugeVec,
    ended: IntCounterVec,
    phases: HistogramVec,
    last_phases: GaugeVec,
    steps: IntCounterVec,
    requests: IntCounter,
    throttled: IntCounter,
    slowed: IntCounter,
    allowed: Gauge,
    used: Gauge,
}

fn phases(times: &Times) -> [(&'static str, Duration); 3] {
    [("read", times.read), ("plan", times.plan), ("apply", times.apply)]
}

impl OfCycles {
    pub fn new(registry: &Registry) -> Result<Self> {
        let r = registry;
        let build = counts(r, "idcsync_build_info", &["version"], "Always 1; which version this is.")?;
        build.with_label_values(&[env!("CARGO_PKG_VERSION")]).set(1);
        let all = Self {
            _build: build,
            ended: counters(r, "idcsync_cycles_total", &["outcome"], "Cycles that ended, by how they did.")?,
            phases: histograms(
                r,
                "idcsync_cycle_phase_seconds",
                &["phase"],
                PHASE_BUCKETS,
                "Time of each phase that a cycle reached.",
            )?,
            last_phases: gauges(
                r,
                "idcsync_last_cycle_seconds",
                &["phase"],
                "Time of each phase of the last cycle; 0 where it was not reached.",
            )?,
            steps: counters(
                r,
                "idcsync_steps_total",
                &["kind", "outcome"],
                "Steps that were tried, by what they are and whether they were done.",
            )?,
            requests: counter(
                r,
                "idcsync_target_requests_total",
                "Requests sent to the target, each attempt counted.",
            )?,
            throttled: counter(
                r,
                "idcsync_target_throttled_total",
                "Answers of the target that said: too fast.",
            )?,
            slowed: counter(
                r,
                "idcsync_target_rate_lowered_total",
                "How often requests were spaced out further, since the target had said: too fast.",
            )?,
            allowed: gauge(
                r,
                "idcsync_rate_limit_requests_per_second",
                "Requests to the target that the config allows in a second.",
            )?,
            used: gauge(
                r,
                "idcsync_rate_limit_use_ratio",
                "Share of the allowed rate that the last apply phase used.",
            )?,
        };
        // There from the start, so that the first one is seen as an increase.
        for word in CycleWord::ALL {
            all.ended.with_label_values(&[word.word()]);
        }
        for sort in Sort::ALL {
            for outcome in ["done", "failed"] {
                all.steps.with_label_values(&[sort.word(), outcome]);
            }
        }
        for (phase, _) in phases(&Times::default()) {
            all.phases.with_label_values(&[phase]);
            all.last_phases.with_label_values(&[phase]);
        }
        Ok(all)
    }

    pub fn add(&self, stats: &CycleStats, allowed_per_second: u32) {
        self.ended.with_label_values(&[stats.word.word()]).inc();
        for (phase, time) in phases(&stats.times) {
            if !time.is_zero() {
                self.phases.with_label_values(&[phase]).observe(time.as_secs_f64());
            }
            self.last_phases.with_label_values(&[phase]).set(time.as_secs_f64());
        }
        for (outcome, counts) in [("done", &stats.done), ("failed", &stats.failed)] {
            for (sort, count) in counts {
                self.steps.with_label_values(&[sort.word(), outcome]).inc_by(*count);
            }
        }
        self.requests.inc_by(stats.usage.requests);
        self.throttled.inc_by(stats.usage.throttled);
        self.slowed.inc_by(stats.usage.slowed);
        self.allowed.set(allowed_per_second.into());
        let possible = stats.times.apply.as_secs_f64() * f64::from(allowed_per_second);
        #[expect(clippy::cast_precision_loss, reason = "a share")]
        let used = if possible > 0.0 { stats.usage_of_apply.requests as f64 / possible } else { 0.0 };
        self.used.set(used);
    }
}
