//! What a page shows of a profile: the state database asked for no more than that.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

use super::object_name;
use crate::config::Config;
use crate::ids::Fingerprint;
use crate::model::{Code, DisableCause, DisableHow, Finding, Kind, Link};
use crate::plan::{Coming, countdowns};
use crate::state::{Cycle, CycleKind, HeldPlan, Linked, Pause, Reader, StateError};

/// Of these the page shows those that were no repair by hand.
const CYCLES: u32 = 60;

/// A linked object that is on its way out, or put out of use.
#[derive(Clone, Debug)]
pub struct Leaver {
    pub name: String,
    pub kind: Kind,
    pub out_since: Option<Timestamp>,
    pub deleted_since: Option<Timestamp>,
    /// What idcsync did to it, when and why.
    pub put_out: Option<(Timestamp, DisableCause, DisableHow)>,
    /// What is coming, when, and in how many days.
    pub coming: Option<(Coming, Timestamp, u32)>,
}

pub struct Overview {
    pub now: Timestamp,
    pub pause: Option<Pause>,
    /// The last ones, newest first.
    pub cycles: Vec<Cycle>,
    pub last_success: Option<Timestamp>,
    pub last_complete_read: Option<Timestamp>,
    pub last_full: Option<Timestamp>,
    pub linked: Linked,
    /// What is coming first stands first, then what has been done.
    pub leavers: Vec<Leaver>,
    pub held: Option<HeldPlan>,
    pub approvals: BTreeSet<Fingerprint>,
    /// With the time since when it stands; the gravest first.
    pub findings: Vec<(Finding, Timestamp)>,
}

impl Overview {
    pub async fn read(config: &Config, state: &Reader, now: Timestamp) -> Result<Self, StateError> {
        let outline = state.outline(now).await?;
        let mut cycles = state.cycles(CYCLES).await?;
        cycles.retain(|cycle| cycle.kind != CycleKind::Repair);
        let mut findings = state.standing_findings().await?;
        findings.sort_by(|(a, _), (b, _)| {
            let key = |f: &Finding| (std::cmp::Reverse(f.code.severity()), f.code);
            key(a).cmp(&key(b)).then_with(|| a.subject.label.cmp(&b.subject.label))
        });
        Ok(Self {
            now,
            pause: state.pause().await?.filter(|pause| !pause.is_over(now)),
            cycles,
            last_success: state.last_success().await?,
            last_complete_read: outline.last_complete_read,
            last_full: outline.last_full,
            linked: outline.linked,
            leavers: leavers(config, &outline.leaving, now),
            held: state.latest_held().await?.filter(|held| !held.steps.is_empty()),
            approvals: outline.approvals,
            findings,
        })
    }

    /// Since when steps are held; each cycle holds them anew.
    pub fn held_since(&self) -> Option<Timestamp> {
        let held = self.held.as_ref()?.held_at;
        let standing = self.findings.iter().filter(|(f, _)| f.code == Code::StepsHeld).map(|(_, at)| *at);
        Some(standing.min().map_or(held, |since| since.min(held)))
    }

    /// Held steps that nobody has approved yet.
    pub fn unapproved(&self) -> usize {
        let steps = self.held.iter().flat_map(|held| &held.steps);
        steps.filter(|(print, _)| !self.approvals.contains(print)).count()
    }
}

fn leavers(config: &Config, links: &[Link], now: Timestamp) -> Vec<Leaver> {
    let coming: BTreeMap<_, _> = countdowns(links, &config.policy.lifecycle, now)
        .into_iter()
        .map(|c| (c.link, (c.what, c.at, c.days_left)))
        .collect();
    let mut leavers: Vec<Leaver> = links
        .iter()
        .map(|link| Leaver {
            name: object_name(link).to_owned(),
            kind: link.kind,
            out_since: link.out_since,
            deleted_since: link.deleted.map(|d| d.since),
            put_out: link.disabled.map(|d| (d.at, d.cause, d.how)),
            coming: coming.get(&link.no).copied(),
        })
        .collect();
    leavers.sort_by(|a, b| {
        let key = |l: &Leaver| (l.coming.is_none(), l.coming.map(|(_, at, _)| at));
        key(a).cmp(&key(b)).then_with(|| a.name.cmp(&b.name))
    });
    leavers
}
