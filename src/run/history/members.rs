//! Who was in which group at a moment, by replaying the journal.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use serde_json::{Value, json};

use super::{Named, Step, named_json};
use crate::ids::{Anchor, CycleId, LinkNo};
use crate::model::{Kind, Known, Link, StepResult};
use crate::state::{Cycle, JournalEntry};

/// The members of a group, or the groups of a user.
#[derive(Debug)]
pub struct At {
    pub object: Named,
    pub at: Timestamp,
    pub list: Vec<Membership>,
    /// When idcsync made it or took it over, if that was later, or when it was deleted or let go, if that was before.
    pub note: Option<(Timestamp, &'static str)>,
    /// Before this nothing is on record.
    pub records_from: Option<Timestamp>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Membership {
    /// The user of a group's, the group of a user's.
    pub other: Named,
    /// The step that made it so; `None`: no step of idcsync did.
    pub since: Option<Since>,
    pub sure: Sure,
}

/// How sure it is that it was so at the moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sure {
    Yes,
    /// It came by another hand than idcsync's, and when is not on record.
    CameByOthers,
    /// It has ended by another hand since it came, and when is not on record.
    EndedByOthers,
}

impl Sure {
    fn word(self) -> &'static str {
        match self {
            Self::Yes => "yes",
            Self::CameByOthers => "came-by-others",
            Self::EndedByOthers => "ended-by-others",
        }
    }
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
    /// A member when idcsync took the group over.
    Found,
    /// The user or the group was deleted.
    Ended,
    /// Untied by hand (`unlink`, `release`): it was as it was, and from then on nothing is on record.
    LetGo,
}

/// What a person did to a link.
#[derive(Clone, Copy, Debug)]
pub struct Hand {
    at: Timestamp,
    cycle: CycleId,
    anchor: Anchor,
    /// `link`; the others untie.
    ties: bool,
}

impl Hand {
    /// Of a cycle by hand.
    pub fn of(cycle: &Cycle) -> Option<Self> {
        let what = cycle.outcome.as_ref()?.counts.get("repair")?;
        let anchor = Anchor::parse(what.get("object")?.get("anchor")?.as_str()?)?;
        let ties = match what.get("action")?.as_str()? {
            "link" => true,
            "unlink" | "release" => false,
            _ => return None,
        };
        Some(Self { at: cycle.started, cycle: cycle.id, anchor, ties })
    }
}

/// What there is to replay, the oldest first.
#[derive(Clone, Copy, Debug)]
pub struct Records<'a> {
    /// Every step about the object.
    pub about: &'a [JournalEntry],
    /// Deletions of users and groups, and groups taken over.
    pub turns: &'a [JournalEntry],
    pub hands: &'a [Hand],
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

/// Who was in `link`, or what it was in.
pub fn at(
    known: &Known,
    link: &Link,
    records: &Records<'_>,
    at: Timestamp,
    records_from: Option<Timestamp>,
) -> At {
    let Records { about, turns, hands } = *records;
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
    for entry in turns.iter().filter(|e| e.intent.action == "adopt-group") {
        let group = entry.intent.link;
        for user in present(entry) {
            let other = if group == link.no { user } else { group };
            if group == link.no || user == link.no {
                pairs.entry(other).or_default().extend(event(known, entry, What::Found));
            }
        }
    }
    let now: BTreeSet<LinkNo> = match link.kind {
        Kind::Group => link.applied.iter().map(LinkNo).collect(),
        Kind::User => known.links.values().filter(|l| l.applied.contains(link.no.0)).map(|l| l.no).collect(),
    };
    for other in &now {
        pairs.entry(*other).or_default();
    }
    // Of the object itself, for all its pairs; and of each other side.
    let own: Vec<&JournalEntry> = about.iter().filter(|e| e.intent.member.is_none()).collect();
    let ends = |entry: &&JournalEntry| matches!(entry.intent.action.as_str(), "delete-user" | "delete-group");
    for (other, events) in &mut pairs {
        let others = turns.iter().filter(|e| e.intent.link == *other);
        events.extend(own.iter().filter(|e| ends(e)).filter_map(|e| event(known, e, What::Ended)));
        events.extend(others.filter(|e| ends(e)).filter_map(|e| event(known, e, What::Ended)));
        let anchor = known.links.get(other).map(|l| l.anchor);
        let let_go = |hand: &&Hand| !hand.ties && (hand.anchor == link.anchor || Some(hand.anchor) == anchor);
        events.extend(hands.iter().filter(let_go).map(|hand| Event {
            at: hand.at,
            what: What::LetGo,
            cycle: hand.cycle,
            reason: None,
        }));
        events.sort_by_key(|event| event.at);
    }
    let by_hand = hands.iter().filter(|hand| hand.anchor == link.anchor);
    let note = note(&own, by_hand, at);
    // From then on each membership has a step of its own.
    let made = own
        .iter()
        .any(|e| e.intent.action.starts_with("create-") && happened(e).is_some_and(|when| when <= at));
    let mut list: Vec<Membership> = pairs
        .into_iter()
        .filter_map(|(other, events)| {
            let (since, sure) = was_in(&events, now.contains(&other), made, at)?;
            // What was there before idcsync took it over is not on record.
            let known_then = since.is_some() || !matches!(note, Some((_, MADE | ADOPTED)));
            let link = known.links.get(&other).filter(|_| known_then)?;
            Some(Membership { other: Named::of(link), since, sure })
        })
        .collect();
    list.sort_by(|a, b| (&a.other.label, &a.other.dn).cmp(&(&b.other.label, &b.other.dn)));
    At { object: Named::of(link), at, list, note, records_from }
}

const MADE: &str = "made by idcsync";
const ADOPTED: &str = "taken over by idcsync";
const DELETED: &str = "deleted by idcsync";
const LET_GO: &str = "let go by hand, as it was (unlink or release)";

/// The members that a group had when it was taken over.
fn present(entry: &JournalEntry) -> impl Iterator<Item = LinkNo> {
    let list = entry.intent.detail.get("present").and_then(Value::as_array);
    list.into_iter().flatten().filter_map(|no| Some(LinkNo(u32::try_from(no.as_u64()?).ok()?)))
}

/// What the object's own steps say of it at the time: nothing, if it was there and idcsync's.
fn note<'h>(
    own: &[&JournalEntry],
    by_hand: impl Iterator<Item = &'h Hand>,
    at: Timestamp,
) -> Option<(Timestamp, &'static str)> {
    let word = |entry: &&JournalEntry| match entry.intent.action.as_str() {
        "create-user" | "create-group" => Some(MADE),
        "adopt-user" | "adopt-group" => Some(ADOPTED),
        "delete-user" | "delete-group" => Some(DELETED),
        _ => None,
    };
    let ends = [DELETED, LET_GO];
    let mut steps: Vec<(Timestamp, &'static str)> =
        own.iter().filter_map(|e| Some((happened(e)?, word(e)?))).collect();
    steps.extend(by_hand.map(|hand| (hand.at, if hand.ties { ADOPTED } else { LET_GO })));
    steps.sort_by_key(|(when, _)| *when);
    match steps.iter().rev().find(|(when, _)| *when <= at) {
        Some(last) => Some(*last).filter(|(_, word)| ends.contains(word)),
        None => steps.first().copied().filter(|(_, word)| !ends.contains(word)),
    }
}

/// `None`: it was no membership at the time; else by which event it was one. `made`: idcsync had made the object by then.
fn was_in(events: &[Event], now_in: bool, made: bool, at: Timestamp) -> Option<(Option<Since>, Sure)> {
    let by_others = if made { Sure::CameByOthers } else { Sure::Yes };
    let last = events.iter().rposition(|event| event.at <= at);
    match last.map(|last| (&events[last], events.get(last + 1))) {
        Some((event, next)) if matches!(event.what, What::Added | What::Found) => {
            // Added again, or not there any more, without a step that took it away.
            let ended = next.map_or(!now_in, |next| matches!(next.what, What::Added | What::Found));
            let sure = if ended { Sure::EndedByOthers } else { Sure::Yes };
            let since = Since { at: event.at, cycle: event.cycle, reason: event.reason.clone() };
            Some((Some(since).filter(|_| event.what == What::Added), sure))
        }
        Some((event, _)) if event.what == What::LetGo && !now_in => None,
        // Taken away again later: somebody else had put it there.
        Some((_, Some(next))) if next.what == What::Removed => Some((None, Sure::CameByOthers)),
        Some((_, None)) if now_in => Some((None, Sure::CameByOthers)),
        Some(_) => None,
        // Whoever was taken out later had been in.
        None => match events.first().map(|event| event.what) {
            Some(What::Removed) => Some((None, by_others)),
            Some(What::Added | What::Found | What::Ended | What::LetGo) => None,
            None => now_in.then_some((None, by_others)),
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
                    "sure": m.sure.word(),
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
