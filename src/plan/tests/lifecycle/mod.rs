//! The 28-day rule, the three events, and what goes with them: over days, with every way of disabling.

mod deletion;
mod drift;
mod rule;
mod sweeps;

use std::collections::BTreeMap;

use jiff::SignedDuration;

use super::store::{API, Fault, SCIM};
use super::world::{EntryState, World};
use crate::model::{
    AccountState, Assignment, Code, DeletionProof, DisableCause, DisableHow, Fate, Kind, UserAttribute,
};
use crate::plan::{
    ApprovedPlan, Assigned, Colors, DisableMethod, Distrust, Hold, OnDelete, OnDisable, OnGroupOut, Sweep,
    render,
};

const DAY: i64 = 24;

/// Six people in a group, one of whom has left it, and with it the scope.
fn left(scim: bool) -> World {
    let mut w = World::new();
    if scim {
        w.store.become_of_sort(SCIM);
    }
    w.group("devs", &["anna", "bob", "carl", "dora", "eve", "finn"]);
    w.enter("devs");
    w.settle();
    w.leave("devs", "anna");
    assert_eq!(w.prepare().steps(), ["remove-member devs anna@x.example"], "memberships go at once");
    w.run();
    assert!(w.prepare().is_empty());
    w
}

/// Cycles day by day, as a schedule would have them.
fn days(w: &mut World, days: i64) {
    for _ in 0..days {
        w.later(DAY);
        w.run();
    }
}

fn deleted(w: &mut World, handle: &str) {
    w.delete_person(handle);
    w.fates.insert(handle.to_owned(), Fate::Deleted(DeletionProof::Tombstone));
}

fn sweep(w: &World, cause: DisableCause) -> Sweep {
    let since = w.now;
    let later = since.checked_add(SignedDuration::from_hours(29 * DAY)).unwrap();
    let limit = SignedDuration::from_hours(28 * DAY);
    let proof = match cause {
        DisableCause::Paused => crate::model::Absence::from_pause(since, Some(since), limit, later),
        _ => crate::model::Absence::from_outage(since, limit, later),
    };
    Sweep { cause, since, proof: proof.unwrap() }
}
