//! Who was in which group at a moment, by replaying the journal.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use serde_json::{Value, json};

use super::{Named, Step, named_json};
use crate::ids::{CycleId, LinkNo};
use crate::model::{Kind, Known, Link, StepResult};
use crate::state::JournalEntry;

/// The members of a group, or the groups of a user.
#[derive(Debug)]
pub struct At {
    pub object: Named,
    pub at: Timestamp,
    pub list: Vec<Membership>,
    /// When idcsync made it or took it over, if that was later, or when it was deleted, if that was before.
    pub note: Option<(Timestamp, &'static str)>,
    /// Before this nothing is on record.
    pub records_from: Option<Timestamp>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Membership {
    /// The user of a group's, the group of a user's.
    pub other: Named,
    /// The step that made it so; `None`: it was so before anything is on record (or was taken over like that).
    pub since: Option<Since>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Since {
    pub at: Timestamp,
    pub cycle: CycleId,
    pub reason: Option<String>,
}

/// What happened to one pair of user and group.
#[derive(Clone, Debug)]
struct Event {
    at: Timestamp,
    what: What,
    cycle: CycleId,
    reason: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum What {
    Added,
    Removed,
    /// The user or the group was deleted.
    Ended,
}

/// When it really happened; `None`: it did not, or nobody knows.
fn happened(entry: &JournalEntry) -> Option<Timestamp> {
    match &entry.result {
        Some((StepResult::Done | StepResult::Found, at)) => Some(*at),
        _ => None,
    }
}

fn event(known: &Known, entry: &JournalEntry, what: What) -> Option<Event> {
    let at = happened(entry)?;
    let reason = Step::of(known, entry.clone()).reason().map(str::to_owned);
    Some(Event { at, what, cycle: entry.cycle, reason })
}

/// `about`: every step about `link`, the oldest first; `deleted`: deletions of users.
pub fn at(
    known: &Known,
    link: &Link,
    about: &[JournalEntry],
    deleted: &[JournalEntry],
    at: Timestamp,
    records_from: Option<Timestamp>,
) -> At {
    let mut pairs: BTreeMap<LinkNo, Vec<Event>> = BTreeMap::new();
    for entry in about {
        let (group, Some(user)) = (entry.intent.link, entry.intent.member) else { continue };
        let what = match entry.intent.action.as_str() {
            "add-member" => What::Added,
            "remove-member" => What::Removed,
            _ => continue,
        };
        let other = if group == link.no { user } else { group };
        pairs.entry(other).or_default().extend(event(known, entry, what));
    }
    let now: BTreeSet<LinkNo> = match link.kind {
        Kind::Group => link.applied.iter().map(LinkNo).collect(),
        Kind::User => known.links.values().filter(|l| l.applied.contains(link.no.0)).map(|l| l.no).collect(),
    };
    for other in &now {
        pairs.entry(*other).or_default();
    }
    // Of the object itself, for all its pairs; and of each user of a group.
    let own: Vec<&JournalEntry> = about.iter().filter(|e| e.intent.member.is_none()).collect();
    let ends =
        |entry: &&&JournalEntry| matches!(entry.intent.action.as_str(), "delete-user" | "delete-group");
    for (other, events) in &mut pairs {
        let others = deleted.iter().filter(|e| e.intent.link == *other);
        events.extend(own.iter().filter(ends).filter_map(|e| event(known, e, What::Ended)));
        events.extend(others.filter_map(|e| event(known, e, What::Ended)));
        events.sort_by_key(|event| event.at);
    }
    let note = note(&own, at);
    let list = pairs
        .into_iter()
        .filter_map(|(other, events)| {
            let since = was_in(&events, now.contains(&other), at)?;
            // What was there before idcsync took it over is not on record.
            let known_then = since.is_some() || !matches!(note, Some((_, MADE | ADOPTED)));
            known.links.get(&other).filter(|_| known_then).map(|l| Membership { other: Named::of(l), since })
        })
        .collect::<Vec<_>>();
    let mut list = list;
    list.sort_by(|a, b| (&a.other.label, &a.other.dn).cmp(&(&b.other.label, &b.other.dn)));
    At { object: Named::of(link), at, list, note, records_from }
}

const MADE: &str = "made by idcsync";
const ADOPTED: &str = "taken over by idcsync";
const DELETED: &str = "deleted by idcsync";

/// What the object's own steps say of it at the time: nothing, if it was there and idcsync's.
fn note(own: &[&JournalEntry], at: Timestamp) -> Option<(Timestamp, &'static str)> {
    let word = |entry: &&JournalEntry| match entry.intent.action.as_str() {
        "create-user" | "create-group" => Some(MADE),
        "adopt-user" | "adopt-group" => Some(ADOPTED),
        "delete-user" | "delete-group" => Some(DELETED),
        _ => None,
    };
    let steps: Vec<(Timestamp, &'static str)> =
        own.iter().filter_map(|e| Some((happened(e)?, word(e)?))).collect();
    match steps.iter().rev().find(|(when, _)| *when <= at) {
        Some(last) => Some(*last).filter(|(_, word)| *word == DELETED),
        None => steps.first().copied().filter(|(_, word)| *word != DELETED),
    }
}

/// `None`: it was no membership at the time; else by which event it was one.
fn was_in(events: &[Event], now_in: bool, at: Timestamp) -> Option<Option<Since>> {
    match events.iter().rev().find(|event| event.at <= at) {
        Some(event) if event.what == What::Added => {
            Some(Some(Since { at: event.at, cycle: event.cycle, reason: event.reason.clone() }))
        }
        Some(_) => None,
        // Whoever was taken out later had been in.
        None => match events.first().map(|event| event.what) {
            Some(What::Removed) => Some(None),
            Some(What::Added | What::Ended) => None,
            None => now_in.then_some(None),
        },
    }
}

impl At {
    pub(super) fn json(&self) -> Value {
        let list: Vec<Value> = self
            .list
            .iter()
            .map(|m| {
                json!({
                    "object": named_json(&m.other),
                    "since": m.since.as_ref().map(|s| s.at),
                    "cycle": m.since.as_ref().map(|s| s.cycle),
                    "reason": m.since.as_ref().and_then(|s| s.reason.as_ref()),
                })
            })
            .collect();
        let key = if self.object.kind == Kind::Group { "members" } else { "groups" };
        json!({
            "object": named_json(&self.object),
            "at": self.at,
            "recordsFrom": self.records_from,
            "note": self.note.map(|(at, what)| json!({ "at": at, "what": what })),
            key: list,
        })
    }
}

#[cfg(test)]
mod tests;
