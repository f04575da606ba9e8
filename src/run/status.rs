//! What the state database knows of a profile, and what is going to happen to whom.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::pause_view;
use crate::config::Config;
use crate::model::{Code, Finding, Kind, Known, Link, Progress};
use crate::plan::{Countdown, countdowns, finding_ids};
use crate::state::{Cycle, CycleKind, HeldPlan, Pause, Reader, StateError};

/// Among so many the last one is looked for that was not a repair by hand.
const LATELY: u32 = 100;

/// An apply notes every 5 s how far it is. One that has not for so long is over, however that came about.
const SILENT: SignedDuration = SignedDuration::from_secs(60);

pub struct Status {
    pub config: Config,
    pub now: Timestamp,
    pub database: String,
    pub pause: Option<Pause>,
    pub last: Option<Cycle>,
    /// When the last cycle ended that is not running.
    pub last_ended: Option<Timestamp>,
    /// When the last cycle ended that ended well.
    pub last_success: Option<Timestamp>,
    pub known: Known,
    pub countdowns: Vec<Countdown>,
    pub held: Option<HeldPlan>,
    pub findings: Vec<(Finding, Timestamp)>,
}

/// One cycle, as in `status` and `history`.
pub(super) fn cycle_json(cycle: &Cycle) -> Value {
    json!({
        "cycle": cycle.id,
        "kind": cycle.kind.word(),
        "started": cycle.started,
        "finished": cycle.outcome.as_ref().map(|o| o.finished),
        "outcome": cycle.outcome.as_ref().map(|o| o.word.word()),
        "counts": cycle.outcome.as_ref().map(|o| &o.counts),
    })
}

/// What people call it.
pub fn object_name(link: &Link) -> &str {
    link.name.as_deref().unwrap_or(&link.dn)
}

impl Status {
    /// `place`: what to call the database.
    pub async fn read(
        config: Config,
        state: &Reader,
        place: &str,
        now: Timestamp,
    ) -> Result<Self, StateError> {
        let known = state.load(now).await?;
        let mut cycles = state.cycles(LATELY).await?;
        cycles.retain(|cycle| cycle.kind != CycleKind::Repair);
        Ok(Self {
            now,
            database: place.to_owned(),
            pause: state.pause().await?.filter(|pause| !pause.is_over(now)),
            last_ended: cycles.iter().find_map(|cycle| cycle.outcome.as_ref().map(|o| o.finished)),
            last_success: state.last_success().await?,
            last: cycles.into_iter().next(),
            countdowns: countdowns(known.links.values(), &config.policy.lifecycle, now),
            known,
            held: state.latest_held().await?.filter(|h| !h.steps.is_empty()),
            findings: state.standing_findings().await?,
            config,
        })
    }

    /// How far the cycle is that applies its plan now, as of when.
    pub fn applying(&self) -> Option<(Progress, Timestamp)> {
        let noted = self.last.as_ref()?.applying;
        noted.filter(|(_, at)| self.now.duration_since(*at).abs() < SILENT)
    }

    /// Since when steps are held; each cycle holds them anew.
    pub fn held_since(&self) -> Option<Timestamp> {
        let held = self.held.as_ref()?.held_at;
        let standing =
            self.findings.iter().filter(|(f, _)| f.code == Code::StepsHeld).map(|(_, since)| *since);
        Some(standing.min().map_or(held, |since| since.min(held)))
    }

    pub fn linked(&self, kind: Kind) -> usize {
        self.known.links.values().filter(|l| l.kind == kind && l.target_id.is_some()).count()
    }

    pub fn memberships(&self) -> u64 {
        self.known.links.values().filter(|l| l.kind == Kind::Group).map(|l| l.applied.len()).sum()
    }

    /// Linked objects of which something is known, the one of the longest standing first.
    pub fn linked_since<T>(
        &self,
        what: impl Fn(&Link) -> Option<(Timestamp, T)>,
    ) -> Vec<(&Link, Timestamp, T)> {
        let links = self.known.links.values().filter(|l| l.target_id.is_some());
        let mut found: Vec<_> = links.filter_map(|l| what(l).map(|(since, more)| (l, since, more))).collect();
        found.sort_by_key(|(link, since, _)| (*since, object_name(link), link.no));
        found
    }

    pub fn out_of_scope(&self) -> Vec<(&Link, Timestamp, ())> {
        let out_since = self.out_since();
        self.linked_since(|l| out_since(l).map(|since| (since, ())))
    }

    /// Since when an object is out of the scope. A group has a finding for it, and no mark of its own.
    pub fn out_since(&self) -> impl Fn(&Link) -> Option<Timestamp> + '_ {
        let frozen = self.findings.iter().filter(|(f, _)| f.code == Code::GroupOutOfScope);
        let frozen: BTreeMap<&str, Timestamp> =
            frozen.map(|(f, since)| (f.subject.id.as_str(), *since)).collect();
        move |link| {
            let found = || finding_ids(link).find_map(|id| frozen.get(id.as_str()).copied());
            link.out_since.or_else(|| if link.kind == Kind::Group { found() } else { None })
        }
    }

    pub fn json(&self) -> Value {
        let link = |no| self.known.links.get(&no);
        json!({
            "schema": "idcsync/status/v1",
            "profile": self.config.profile,
            "database": self.database,
            "paused": self.pause.as_ref().map(|p| pause_view(p, &self.config)),
            "lastCycle": self.last.as_ref().map(cycle_json),
            "applying": self.applying().map(|(progress, at)| json!({
                "done": progress.done,
                "total": progress.total,
                "pendingRequests": progress.pending,
                "requestsPerSecond": progress.per_second,
                "secondsLeft": progress.seconds_left(),
                "at": at,
            })),
            "lastSuccess": self.last_success,
            "lastCompleteRead": self.known.last_complete_read,
            "lastFullRead": self.known.last_full,
            "binding": self.known.binding,
            "linkedUsers": self.linked(Kind::User),
            "linkedGroups": self.linked(Kind::Group),
            "memberships": self.memberships(),
            "held": self.held.as_ref().map(|h| json!({
                "plan": h.plan,
                "since": self.held_since(),
                "steps": h.steps.iter().map(|(_, s)| s).collect::<Vec<_>>(),
            })),
            "approvals": self.known.approvals.len(),
            "outOfScope": self.out_of_scope().iter()
                .map(|(l, since, ())| json!({ "name": object_name(l), "kind": l.kind, "since": since }))
                .collect::<Vec<_>>(),
            "countdowns": self.countdowns.iter().filter_map(|c| link(c.link).map(|l| json!({
                "name": object_name(l), "kind": l.kind, "what": c.what.word(), "at": c.at, "daysLeft": c.days_left,
            }))).collect::<Vec<_>>(),
            "putOutOfUse": self.linked_since(|l| l.disabled.map(|d| (d.at, d))).iter().map(|(l, since, d)| json!({
                "name": object_name(l), "since": since, "cause": d.cause.word(), "how": d.how.word(),
            })).collect::<Vec<_>>(),
            "deletedInDirectory": self.linked_since(|l| l.deleted.map(|d| (d.since, d))).iter()
                .map(|(l, since, d)| json!({
                    "name": object_name(l), "kind": l.kind, "since": since, "proof": d.proof.word(),
                })).collect::<Vec<_>>(),
            "findings": self.findings.iter()
                .map(|(f, since)| json!({ "finding": f, "since": since })).collect::<Vec<_>>(),
        })
    }
}
