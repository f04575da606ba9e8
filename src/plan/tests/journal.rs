//! The state database's part: links, the journal and approvals, with what a crash leaves of them.

use std::sync::Mutex;

use async_trait::async_trait;
use jiff::Timestamp;

use crate::apply::{Applied, Journal, JournalError};
use crate::ids::{CycleId, TargetId};
use crate::model::{Intent, Kind, Known, Link, Outcome, PendingIntent, RenameSupport, StepResult};
use crate::plan::{Action, ApprovedPlan};

#[derive(Default)]
pub struct Book(Mutex<Inner>);

#[derive(Clone, Default)]
struct Inner {
    known: Known,
    entries: Vec<(Intent, Option<StepResult>)>,
    /// Entries are taken until so many are there.
    room: Option<usize>,
}

impl Book {
    pub fn copy(&self) -> Self {
        Self(Mutex::new(self.0.lock().unwrap().clone()))
    }

    pub fn known(&self) -> Known {
        self.0.lock().unwrap().known.clone()
    }

    pub fn set_rename_support(&self, support: RenameSupport) {
        self.0.lock().unwrap().known.rename_support = support;
    }

    pub fn change_link(&self, mut link: Link, change: impl FnOnce(&mut Link)) {
        change(&mut link);
        self.write_links(&[link]);
    }

    pub fn write_links(&self, links: &[Link]) {
        let mut inner = self.0.lock().unwrap();
        for link in links {
            inner.known.links.insert(link.no, link.clone());
        }
    }

    pub fn read_at(&self, now: Timestamp, complete: bool) {
        let known = &mut self.0.lock().unwrap().known;
        known.last_cycle = Some(now);
        known.last_read = Some(now);
        if complete {
            known.last_complete_read = Some(now);
        }
    }

    pub fn forget_everything(&self) {
        *self.0.lock().unwrap() = Inner::default();
    }

    pub fn approve(&self, approved: &ApprovedPlan) {
        self.approve_only(approved, |a| !matches!(a, Action::RebindEntry { .. }));
    }

    pub fn approve_only(&self, approved: &ApprovedPlan, which: impl Fn(&Action) -> bool) {
        let plan = approved.plan();
        let chosen = approved.held().keys().map(|no| plan.step(*no)).filter(|s| which(&s.action));
        let prints: Vec<_> = chosen.map(|s| plan.fingerprint(&s)).collect();
        self.0.lock().unwrap().known.approvals.extend(prints);
    }

    /// What a cycle records when its apply is over.
    pub fn finish(&self, approved: &ApprovedPlan, applied: &Applied) {
        let mut inner = self.0.lock().unwrap();
        if let Some(support) = applied.rename_support {
            inner.known.rename_support = support;
        }
        for no in approved.approved().iter().filter(|no| !applied.undone.contains(no)) {
            if !approved.held().contains_key(no) {
                let print = approved.plan().fingerprint(&approved.plan().step(*no));
                inner.known.approvals.remove(&print);
            }
        }
        let lacking = applied.lacking(approved);
        for link in inner.known.links.values_mut() {
            let complete = link.kind == Kind::Group && link.target_id.is_some() && !link.applied.is_empty();
            link.filled |= complete && !lacking.contains(&link.no);
        }
    }

    pub fn pending(&self) -> Vec<PendingIntent> {
        let inner = self.0.lock().unwrap();
        (0..)
            .zip(&inner.entries)
            .filter(|(_, (_, result))| result.is_none())
            .map(|(seq, (intent, _))| PendingIntent { seq, cycle: CycleId(1), intent: intent.clone() })
            .collect()
    }

    /// As after a crash: what became of these is not known.
    pub fn forget_outcomes(&self, action: &str) {
        let mut inner = self.0.lock().unwrap();
        inner
            .entries
            .iter_mut()
            .filter(|(intent, _)| intent.action == action)
            .for_each(|(_, result)| *result = None);
    }

    /// Every outcome, by `action`.
    pub fn outcomes(&self) -> Vec<(String, Option<StepResult>)> {
        self.0.lock().unwrap().entries.iter().map(|(i, r)| (i.action.clone(), r.clone())).collect()
    }

    pub fn intents(&self) -> Vec<Intent> {
        self.0.lock().unwrap().entries.iter().map(|(i, _)| i.clone()).collect()
    }

    /// The database fails once so many intents are there.
    pub fn limit(&self, room: Option<usize>) {
        self.0.lock().unwrap().room = room;
    }

    /// An intent without an outcome must stand before a write is sent.
    pub fn assert_intended(&self, action: &str, object: &Written<'_>) {
        let inner = self.0.lock().unwrap();
        let id = |no| inner.known.links.get(&no).and_then(|l| l.target_id.as_ref());
        let fits = |intent: &Intent| match object {
            Written::Named(key, name) => intent.detail.get(key).and_then(|v| v.as_str()) == Some(name),
            Written::Object(object) => id(intent.link) == Some(object),
            Written::Membership(group, user) => {
                let stranger = intent.detail.get("userId").and_then(|v| v.as_str()) == Some(user.as_str());
                // A group that is about to be adopted has no link yet.
                (id(intent.link).is_none_or(|g| g == *group) && stranger)
                    || (id(intent.link) == Some(group) && intent.member.and_then(id) == Some(user))
            }
        };
        let open = inner.entries.iter().any(|(i, result)| result.is_none() && i.action == action && fits(i));
        assert!(open, "{action} was sent without an intent");
    }
}

pub enum Written<'a> {
    Named(&'a str, &'a str),
    Object(&'a TargetId),
    Membership(&'a TargetId, &'a TargetId),
}

#[derive(Debug, thiserror::Error)]
#[error("the disk is full")]
struct Full;

#[async_trait]
impl Journal for Book {
    async fn intend(&self, intents: &[Intent]) -> Result<Vec<i64>, JournalError> {
        let mut inner = self.0.lock().unwrap();
        if inner.room.is_some_and(|room| inner.entries.len() + intents.len() > room) {
            return Err(JournalError(Box::new(Full)));
        }
        for intent in intents {
            assert!(inner.known.links.contains_key(&intent.link), "the object's row stands before");
        }
        let first = i64::try_from(inner.entries.len()).unwrap();
        inner.entries.extend(intents.iter().map(|i| (i.clone(), None)));
        Ok((first..).take(intents.len()).collect())
    }

    async fn record(&self, outcomes: &[Outcome], links: &[&Link]) -> Result<(), JournalError> {
        let mut inner = self.0.lock().unwrap();
        for outcome in outcomes {
            let entry = &mut inner.entries[usize::try_from(outcome.seq).unwrap()];
            assert!(entry.1.is_none(), "an outcome is recorded once");
            entry.1 = Some(outcome.result.clone());
        }
        for link in links {
            inner.known.links.insert(link.no, (*link).clone());
        }
        Ok(())
    }
}
