//! What past cycles did, and who was a member of what at which moment: for those who ask afterwards. All of it comes from
//! the journal and is as old as `state.keep-history` lets it be.

mod members;
mod text;

use jiff::Timestamp;
use serde_json::{Value, json};

pub use self::members::{At, Membership, Sure};
use self::members::{Hand, Records};
pub use self::text::render;
use super::RunError;
use super::status::{cycle_json, object_name};
use crate::ids::{Anchor, CycleId, Dn, LinkNo};
use crate::model::{Kind, Known, Link, StepResult};
use crate::plan::linked_by_name;
use crate::state::{Cycle, JournalEntry, Reader};

/// What is asked.
#[derive(Clone, Debug)]
pub enum Question {
    /// Cycles that began from `since` on and before `until`, at most so many, the last ones.
    Cycles { since: Timestamp, until: Timestamp, most: u32 },
    /// Each step of one cycle.
    Cycle(CycleId),
    /// Each step about one object, from `since` on and before `until`.
    Object { kind: Kind, name: String, since: Timestamp, until: Timestamp },
    /// The members of a group, or the groups of a user, at a moment.
    At { kind: Kind, name: String, at: Timestamp },
}

/// What is answered.
#[derive(Debug)]
pub enum Answer {
    /// The newest first; `more`: there are older ones in the span.
    Cycles {
        cycles: Vec<Cycle>,
        more: bool,
    },
    Cycle {
        cycle: Cycle,
        steps: Vec<Step>,
    },
    Object {
        object: Named,
        steps: Vec<Step>,
        records_from: Option<Timestamp>,
    },
    At(At),
    NoSuchCycle(CycleId),
    /// No object of that name is or was linked.
    Nobody,
    /// Several have the name.
    Several(Vec<Named>),
}

/// An object as people know it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Named {
    pub kind: Kind,
    pub label: String,
    pub dn: String,
    pub anchor: Anchor,
}

impl Named {
    fn of(link: &Link) -> Self {
        let label = object_name(link).to_owned();
        Self { kind: link.kind, label, dn: link.dn.to_string(), anchor: link.anchor }
    }
}

/// A step of the past.
#[derive(Clone, Debug)]
pub struct Step {
    pub entry: JournalEntry,
    /// The object, or the group of a membership; what its link says now.
    pub object: String,
    /// The user of a membership.
    pub member: Option<String>,
}

impl Step {
    fn of(known: &Known, entry: JournalEntry) -> Self {
        let object = label(known, entry.intent.link, &entry);
        let member = entry.intent.member.map(|no| label(known, no, &entry));
        Self { entry, object, member }
    }

    /// Why it was planned, where that was written down.
    pub fn reason(&self) -> Option<&str> {
        let detail = |key: &str| self.entry.intent.detail.get(key).and_then(Value::as_str);
        detail("reason").or_else(|| detail("proof"))
    }

    /// When its outcome was recorded, else when it was begun.
    pub fn at(&self) -> Timestamp {
        self.entry.result.as_ref().map_or(self.entry.intent.at, |(_, at)| *at)
    }

    fn json(&self) -> Value {
        let result = self.entry.result.as_ref().map(|(result, _)| result);
        let failure = match result {
            Some(StepResult::Failed { code, message }) => Some((code, message)),
            _ => None,
        };
        json!({
            "seq": self.entry.seq,
            "cycle": self.entry.cycle,
            "at": self.at(),
            "action": self.entry.intent.action,
            "object": self.object,
            "member": self.member,
            "attributes": self.entry.intent.detail.get("attributes"),
            "reason": self.reason(),
            "result": result.map(StepResult::word),
            "code": failure.map(|(code, _)| code),
            "message": failure.map(|(_, message)| message),
        })
    }
}

/// What it is called now; one that is gone from the target by what it was made as, or its DN.
fn label(known: &Known, no: LinkNo, entry: &JournalEntry) -> String {
    let named = known.links.get(&no);
    let made = || {
        let detail = |key: &str| entry.intent.detail.get(key).and_then(Value::as_str);
        detail("userName").or_else(|| detail("displayName")).filter(|_| entry.intent.link == no)
    };
    match named {
        Some(link) if link.name.is_some() => object_name(link).to_owned(),
        Some(link) => made().unwrap_or(&link.dn).to_owned(),
        None => made().map_or_else(|| format!("object {no}"), str::to_owned),
    }
}

/// Answers from the state database alone.
pub async fn ask(state: &Reader, question: &Question, now: Timestamp) -> Result<Answer, RunError> {
    match question {
        Question::Cycles { since, until, most } => {
            let mut cycles = state.cycles_between(*since, *until, most.saturating_add(1)).await?;
            let most = usize::try_from(*most).unwrap_or(usize::MAX);
            let more = cycles.len() > most;
            cycles.truncate(most);
            Ok(Answer::Cycles { cycles, more })
        }
        Question::Cycle(id) => {
            let Some(cycle) = state.cycle(*id).await? else { return Ok(Answer::NoSuchCycle(*id)) };
            let known = state.load(now).await?;
            let steps = state.steps(*id).await?.into_iter().map(|entry| Step::of(&known, entry)).collect();
            Ok(Answer::Cycle { cycle, steps })
        }
        Question::Object { kind, name, since, until } => {
            let known = state.load(now).await?;
            let link = match one(&known, *kind, name) {
                Ok(link) => link,
                Err(answer) => return Ok(*answer),
            };
            let mut steps: Vec<Step> = state
                .writes_about(link.no, u32::MAX)
                .await?
                .into_iter()
                .map(|entry| Step::of(&known, entry))
                .filter(|step| (*since..*until).contains(&step.at()))
                .collect();
            steps.reverse();
            let records_from = state.first_step().await?;
            Ok(Answer::Object { object: Named::of(link), steps, records_from })
        }
        Question::At { kind, name, at } => {
            let known = state.load(now).await?;
            let link = match one(&known, *kind, name) {
                Ok(link) => link,
                Err(answer) => return Ok(*answer),
            };
            let mut about = state.writes_about(link.no, u32::MAX).await?;
            about.reverse();
            let turns = state.turns().await?;
            let hands = state.repairs().await?.iter().filter_map(Hand::of).collect::<Vec<_>>();
            let records_from = state.first_step().await?;
            let records = Records { about: &about, turns: &turns, hands: &hands };
            Ok(Answer::At(members::at(&known, link, &records, *at, records_from)))
        }
    }
}

/// The link that is meant; the answer instead where there is not exactly one.
fn one<'k>(known: &'k Known, kind: Kind, name: &str) -> Result<&'k Link, Box<Answer>> {
    let mut found = linked_by_name(known, kind, name);
    if found.is_empty() {
        found = once_linked(known, kind, name);
    }
    match found.as_slice() {
        [] => Err(Box::new(Answer::Nobody)),
        [link] => Ok(link),
        several => {
            let several = several.iter().map(|link| Named::of(link)).collect();
            Err(Box::new(Answer::Several(several)))
        }
    }
}

/// Those who are not linked any more have no name in the target; and people say the first part of an address.
fn once_linked<'k>(known: &'k Known, kind: Kind, name: &str) -> Vec<&'k Link> {
    let wanted = name.to_lowercase();
    let dn = Dn::parse(name).ok().filter(|_| name.contains('='));
    let is_it = |link: &&Link| {
        let parsed = Dn::parse(&link.dn).ok();
        let local =
            link.name.as_deref().and_then(|n| n.split_once('@')).map(|(local, _)| local.to_lowercase());
        local.as_ref() == Some(&wanted)
            || link.anchor.to_string() == wanted
            || link.target_id.as_ref().is_some_and(|id| id.as_str() == name)
            || dn.is_some() && parsed == dn
            || parsed.is_some_and(|dn| dn.leaf().to_lowercase() == wanted)
    };
    known.links.values().filter(|link| link.kind == kind).filter(is_it).collect()
}

impl Answer {
    pub fn json(&self, profile: &str) -> Value {
        let mut value = match self {
            Self::Cycles { cycles, more } => {
                json!({ "cycles": cycles.iter().map(cycle_json).collect::<Vec<_>>(), "more": more })
            }
            Self::Cycle { cycle, steps } => json!({
                "cycle": cycle_json(cycle),
                "steps": steps.iter().map(Step::json).collect::<Vec<_>>(),
            }),
            Self::Object { object, steps, records_from } => json!({
                "object": named_json(object),
                "steps": steps.iter().map(Step::json).collect::<Vec<_>>(),
                "recordsFrom": records_from,
            }),
            Self::At(at) => at.json(),
            Self::NoSuchCycle(id) => json!({ "error": "no such cycle", "cycle": id }),
            Self::Nobody => json!({ "error": "no such object" }),
            Self::Several(list) => {
                json!({ "error": "several objects", "objects": list.iter().map(named_json).collect::<Vec<_>>() })
            }
        };
        value["schema"] = "idcsync/history/v1".into();
        value["profile"] = profile.into();
        value
    }
}

fn named_json(named: &Named) -> Value {
    json!({ "kind": named.kind, "label": named.label, "dn": named.dn, "anchor": named.anchor.to_string() })
}
