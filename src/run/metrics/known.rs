//! What the state database knows of the profile.

use std::collections::BTreeMap;

use jiff::Timestamp;
use prometheus::{Gauge, IntGauge, IntGaugeVec, Registry, Result};

use super::families::{count, counts, gauge, int};
use super::seconds;
use crate::model::{Code, Kind, Link, Severity};
use crate::plan::Coming;
use crate::run::Status;

/// Up to how many days; `None`: however many.
const WITHIN: [(&str, Option<u32>); 5] =
    [("1d", Some(1)), ("3d", Some(3)), ("7d", Some(7)), ("14d", Some(14)), ("any", None)];

pub struct OfState {
    in_scope: IntGaugeVec,
    linked: IntGaugeVec,
    memberships: IntGauge,
    held: IntGauge,
    held_since: Gauge,
    withheld_since: Gauge,
    to_disable: IntGaugeVec,
    disabled: IntGauge,
    findings: IntGaugeVec,
    last_success: Gauge,
    last_cycle: Gauge,
    last_complete_read: Gauge,
    paused: IntGauge,
}

impl OfState {
    pub fn new(registry: &Registry) -> Result<Self> {
        let r = registry;
        Ok(Self {
            in_scope: counts(
                r,
                "idcsync_objects_in_scope",
                &["kind"],
                "Linked objects that are in the scope.",
            )?,
            linked: counts(
                r,
                "idcsync_objects_linked",
                &["kind"],
                "Directory objects that are tied to one of the target.",
            )?,
            memberships: count(r, "idcsync_memberships", "Memberships that idcsync has written.")?,
            held: count(r, "idcsync_held_steps", "Steps that wait for an approval.")?,
            held_since: gauge(
                r,
                "idcsync_held_since_timestamp_seconds",
                "Since when steps have been waiting for an approval; 0 if none is.",
            )?,
            withheld_since: gauge(
                r,
                "idcsync_withheld_since_timestamp_seconds",
                "Since when something that ought to be taken away has been withheld for want of a proof (the oldest); \
                 0 if nothing is.",
            )?,
            to_disable: counts(
                r,
                "idcsync_users_to_disable",
                &["within"],
                "Users that will be disabled within that time if nothing changes.",
            )?,
            disabled: count(r, "idcsync_users_disabled", "Users that idcsync has put out of use.")?,
            findings: counts(r, "idcsync_findings", &["code", "severity"], "Findings that stand.")?,
            last_success: gauge(
                r,
                "idcsync_last_success_timestamp_seconds",
                "End of the last cycle that ended well (nothing, done, held); 0 if none.",
            )?,
            last_cycle: gauge(
                r,
                "idcsync_last_cycle_timestamp_seconds",
                "End of the last cycle; 0 if none.",
            )?,
            last_complete_read: gauge(
                r,
                "idcsync_last_complete_read_timestamp_seconds",
                "When the directory was last read completely; 0 if never.",
            )?,
            paused: count(r, "idcsync_paused", "1 while the profile is paused.")?,
        })
    }

    pub fn set(&self, status: &Status) {
        let linked = |kind: Kind| {
            status.known.links.values().filter(move |l: &&Link| l.kind == kind && l.target_id.is_some())
        };
        let out_since = status.out_since();
        for (kind, word) in [(Kind::User, "user"), (Kind::Group, "group")] {
            let inside = linked(kind).filter(|l| out_since(l).is_none() && l.deleted.is_none());
            self.in_scope.with_label_values(&[word]).set(int(inside.count()));
            self.linked.with_label_values(&[word]).set(int(linked(kind).count()));
        }
        self.memberships.set(int(status.memberships()));
        self.held.set(int(status.held.as_ref().map_or(0, |h| h.steps.len())));
        let held_since = status.held_since();
        self.held_since.set(seconds(held_since));
        self.withheld_since.set(seconds(oldest(status, Code::RemovalWithheld)));
        for (within, days) in WITHIN {
            let near = |left: u32| days.is_none_or(|days| left <= days);
            let coming =
                status.countdowns.iter().filter(|c| c.what == Coming::Disable && near(c.days_left)).count();
            self.to_disable.with_label_values(&[within]).set(int(coming));
        }
        self.disabled.set(int(linked(Kind::User).filter(|l| l.disabled.is_some()).count()));
        self.set_findings(status);
        self.last_success.set(seconds(status.last_success));
        self.last_cycle.set(seconds(status.last_ended));
        self.last_complete_read.set(seconds(status.known.last_complete_read));
        self.paused.set(status.pause.is_some().into());
    }

    /// What stands no more is gone, not 0: there are many codes, and few that ever stand.
    fn set_findings(&self, status: &Status) {
        let mut counts: BTreeMap<Code, usize> = BTreeMap::new();
        for (finding, _) in &status.findings {
            *counts.entry(finding.code).or_default() += 1;
        }
        self.findings.reset();
        for (code, count) in counts {
            self.findings.with_label_values(&[code.name(), word(code.severity())]).set(int(count));
        }
    }
}

fn oldest(status: &Status, code: Code) -> Option<Timestamp> {
    status.findings.iter().filter(|(finding, _)| finding.code == code).map(|(_, since)| *since).min()
}

fn word(severity: Severity) -> &'static str {
    match severity {
        Severity::Info => "info",
        Severity::Warning => "warning",
        Severity::Error => "error",
    }
}
