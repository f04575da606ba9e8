//! What one cycle would do, as data: steps with their reasons, in order, and the guard that holds those which
//! go too far. Pure: time and policy are arguments.

mod after;
mod approve;
mod assigned;
mod batch;
mod clock;
mod concern;
mod countdown;
mod counts;
mod deed;
mod desire;
mod diff;
mod draft;
mod grouped;
mod guard;
mod json;
mod lifecycle;
mod members;
mod names;
mod order;
mod page;
mod policy;
mod reason;
mod repair;
mod sort;
mod step;
mod steps;
mod text;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use jiff::Timestamp;

pub use crate::printable::shown;
pub use approve::{ApprovedPlan, Hold, approve_command};
pub use assigned::{Assigned, meant, summary};
pub use batch::{Batch, batches};
pub use clock::{Distrust, distrust};
pub use countdown::{Coming, Countdown, countdowns, crossed, next_moment, pause_disables_at};
pub use counts::{counted, counts, grouped};
pub use desire::{Desire, desire, wants};
pub use diff::{nothing, plan};
pub use guard::{Given, guard};
pub use json::{PlanView, SCHEMA};
pub use lifecycle::{Elapsed, reported};
pub use page::PlanPage;
pub use policy::{Adopt, DisableMethod, GuardLimits, Lifecycle, OnDelete, OnDisable, OnGroupOut, Policy};
pub use repair::{
    Candidate, Difference, TargetObject, finding_ids, group_differences, groups_of, is_frozen, link_of,
    linked_by_name, owner, tied, untied, user_differences,
};
pub use sort::Sort;
pub use step::{Action, Base, Change, Confirmed, Plan, PlanObject, Purpose, Reason, Step, StepNo, Withheld};
pub use steps::Steps;
pub use text::{Colors, IN_STEP, Look, render, render_to};

use crate::ids::{Anchor, Dn, LinkNo};
use crate::model::{Absence, Capabilities, Desired, DisableCause, Fate, Known, Observed, UserAttribute};
use crate::scope::Scope;

/// All that a plan is made from.
pub struct Inputs<'a> {
    pub profile: &'a str,
    pub scope: &'a Scope<'a>,
    pub desired: &'a Desired,
    /// In scope and linked, but to be left as they are.
    pub kept: &'a BTreeSet<LinkNo>,
    pub known: &'a Known,
    pub observed: &'a Observed,
    /// `observed` is all that the target holds.
    pub full: bool,
    /// Of linked objects that the read did not bring.
    pub fates: &'a BTreeMap<LinkNo, Fate>,
    pub target: Capabilities,
    /// Nothing was read: everybody is to be disabled.
    pub sweep: Option<Sweep>,
    /// Attributes that the mapping is in charge of; others are never touched.
    pub managed: &'a BTreeSet<UserAttribute>,
    pub policy: &'a Policy,
    pub now: Timestamp,
}

/// The profile was paused, or the directory out of reach, for longer than `disable-after`.
#[derive(Clone, Copy, Debug)]
pub struct Sweep {
    pub cause: DisableCause,
    /// When the pause or the outage began.
    pub since: Timestamp,
    pub proof: Absence,
}

impl Inputs<'_> {
    /// What a person calls it: the name in the target as desired, else as known, else the DN's leaf.
    fn label(&self, no: LinkNo) -> String {
        let wished = (self.desired.users.get(&no))
            .and_then(|u| u.attributes.get(UserAttribute::UserName))
            .or_else(|| self.desired.groups.get(&no).map(|g| g.attributes.display_name.as_str()));
        let known = || self.known.links.get(&no).and_then(|l| l.name.as_deref());
        wished.or_else(known).map(str::to_owned).unwrap_or_else(|| {
            match (self.read_dn(no), self.known.links.get(&no)) {
                (Some(dn), _) => dn.leaf(),
                (None, Some(link)) => link.dn.to_string(),
                (None, None) => no.to_string(),
            }
        })
    }

    fn dn(&self, no: LinkNo) -> Arc<str> {
        match (self.read_dn(no), self.known.links.get(&no)) {
            (Some(dn), _) => dn.shared_text(),
            (None, Some(link)) => Arc::clone(&link.dn),
            (None, None) => "".into(),
        }
    }

    fn read_dn(&self, no: LinkNo) -> Option<&Dn> {
        let user = self.scope.users().get(&no).map(|u| &u.dn);
        user.or_else(|| self.scope.groups().get(&no).map(|g| &g.dn))
    }

    fn anchor(&self, no: LinkNo) -> Anchor {
        (self.scope.users().get(&no).map(|u| u.anchor))
            .or_else(|| self.scope.groups().get(&no).map(|g| g.anchor))
            .or_else(|| self.known.links.get(&no).map(|l| l.anchor))
            .unwrap_or(Anchor::from_u128(0))
    }
}

#[cfg(test)]
pub(crate) mod tests;
