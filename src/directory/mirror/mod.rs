//! A reader that remembers: what the server has answered once is not asked again, as long as the server's log of changes
//! says that it still holds. The walk does not know whom it asks, so that it makes the same snapshot of either.
//!
//! What is not held is asked of the server, and held from then on. A search counts as held where the same words were
//! answered to their end before; which of the entries answer it now is decided anew for those that have changed. The
//! server alone judges by the user filter.

mod changes;
mod held;
mod news;
mod plain;
#[cfg(test)]
pub(super) mod tests;

use std::collections::{BTreeSet, HashSet};
use std::fmt::Write as _;
use std::sync::{Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use sha2::{Digest as _, Sha256};

use self::held::{Held, verdicts};
use super::entry;
use super::filter::{Filter, wrapped};
use super::reader::{Ending, Facts, Fault, Query, RawEntry, Reader, Referral, Selection, Traffic};
use super::settings::LdapSettings;
use crate::ids::{Anchor, Dn};
use crate::model::{Mark, MirrorChange, Position, Shortfall, ShortfallKind, Snapshot, Wanted};

pub(super) use self::changes::{Feed, most_changes, telling};
pub(super) use self::held::seen_by;
pub(super) use self::news::{News, plainly_in, to_judge};
pub(super) use self::plain::Told;

/// Of the form in which entries are held, and of what is asked for: a mirror of another one is not used.
const FORMAT: u32 = 4;

/// Names in one look-up where most are held.
const BATCH: usize = 5_000;

pub(super) struct Mirroring<'l> {
    live: &'l dyn Reader,
    facts: Facts,
    state: Mutex<State>,
    anew: bool,
    /// What is held is all that there is.
    alone: bool,
}

struct State {
    held: Held,
    referrals: Vec<Referral>,
    /// Why what is held cannot be taken for the whole.
    fault: Option<Fault>,
}

impl<'l> Mirroring<'l> {
    /// Nothing is held yet: everything is asked, and held.
    pub fn anew(live: &'l dyn Reader) -> Self {
        Self::new(live, Held::default(), live.facts().clone(), true)
    }

    fn over(live: &'l dyn Reader, held: Held) -> Self {
        // Nothing is gained by sweeping up what is held.
        let facts = Facts { page: usize::MAX >> 16, batch: BATCH, ..live.facts().clone() };
        Self::new(live, held, facts, false)
    }

    fn new(live: &'l dyn Reader, held: Held, facts: Facts, anew: bool) -> Self {
        let state = State { held, referrals: Vec::new(), fault: None };
        Self { live, facts, state: Mutex::new(state), anew, alone: false }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is to be kept for the next read; `position` was true before anything was asked. `None`: nothing can be,
    /// since not all was answered to its end.
    pub fn finish(
        self,
        digest: String,
        position: Position,
        snapshot: &Snapshot,
        now: jiff::Timestamp,
    ) -> Option<MirrorChange> {
        let state = self.state.into_inner().unwrap_or_else(PoisonError::into_inner);
        if let Some(fault) = state.fault.or(self.facts.partial) {
            tracing::debug!(fault.detail, "what was read is not kept");
            return None;
        }
        if !is_worth_keeping(snapshot) {
            return None;
        }
        let mark = Mark { digest, server: self.facts.server, position, full: now, reads: 0 };
        let users = snapshot.users.iter().map(|u| u.anchor);
        let used = users.chain(snapshot.groups.iter().map(|g| g.anchor)).collect();
        Some(state.held.into_whole(mark, &used))
    }

    /// The same after a read of changes alone.
    pub fn finish_part(self, mark: Mark, snapshot: &Snapshot) -> Option<MirrorChange> {
        let state = self.state.into_inner().unwrap_or_else(PoisonError::into_inner);
        (state.fault.is_none() && is_worth_keeping(snapshot)).then(|| state.held.into_part(mark))
    }

    /// Asks the server by these names, in requests of a size that it takes.
    async fn ask_live(
        &self,
        names: &[Dn],
        filter: Option<&str>,
        attributes: &Selection,
    ) -> (Vec<RawEntry>, Ending) {
        let mut all = Vec::new();
        let mut whole = Ending::default();
        for chunk in names.chunks(self.live.facts().batch.max(1)) {
            let (entries, ending) = self.live.lookup(chunk, filter, attributes).await;
            all.extend(entries);
            whole.referrals.extend(ending.referrals);
            if let Some(fault) = ending.fault {
                whole.fault = Some(fault);
                break;
            }
        }
        (all, whole)
    }

    /// A search that was asked in other words before, of other groups.
    fn search_held(&self, query: &Query<'_>, sink: &mut (dyn FnMut(RawEntry) + Send)) -> Ending {
        let mut state = self.state();
        let Ok(filter) = Filter::parse(query.filter) else {
            state.lacks(query.filter);
            return Ending::default();
        };
        let all: Vec<Anchor> = state.held.anchors().collect();
        for raw in all.into_iter().filter_map(|anchor| state.held.get(anchor)) {
            if Dn::parse(raw.dn()).is_ok_and(|dn| filter.evaluate(&raw, &dn) == Some(true)) {
                sink(raw);
            }
        }
        Ending::default()
    }

    /// Notes how a search ended; what it referred to is said again of everything.
    fn note(&self, state: &mut State, ending: &mut Ending) {
        for referral in &ending.referrals {
            if !state.referrals.contains(referral) {
                state.referrals.push(referral.clone());
            }
        }
        if !self.anew {
            ending.referrals.clone_from(&state.referrals);
        }
        if state.fault.is_none() {
            state.fault.clone_from(&ending.fault);
        }
    }
}

/// Whoever mends what an entry of the scope lacks, or what of a group did not come, is not to wait for the next read of
/// everything.
fn is_worth_keeping(snapshot: &Snapshot) -> bool {
    let unclear = |s: &Shortfall| s.kind == ShortfallKind::AttributeUnreadable;
    snapshot.entries.iter().all(|e| e.outcome.is_complete())
        && snapshot.groups.iter().all(|g| g.members.completeness.shortfalls().iter().all(unclear))
}

/// Of all that decides what a read asks for and of whom, and what the answers mean. `None`: what the user filter or an
/// attribute says of somebody may change without a word about them, so that nothing can be kept.
pub(super) fn digest(settings: &LdapSettings, wanted: &Wanted) -> Option<String> {
    let Wanted { entries, nested, user_filter, primary_group, distribution_groups, attributes } = wanted;
    if attributes.iter().any(|attribute| held::is_made_up(attribute)) {
        return None;
    }
    if user_filter.as_ref().is_some_and(|filter| !held::is_of_the_entry(&wrapped(filter))) {
        return None;
    }
    let names: BTreeSet<_> = entries.iter().map(|e| (e.kind, &e.name)).collect();
    let all = format!(
        "{FORMAT} {:?} {:?} {:?} {:?} {names:?} {nested} {user_filter:?} {primary_group} {distribution_groups} {attributes:?}",
        settings.kind,
        settings.base_dn.key(),
        settings.servers,
        settings.bind,
    );
    Some(Sha256::digest(all).iter().take(16).fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    }))
}

#[async_trait]
impl Reader for Mirroring<'_> {
    fn facts(&self) -> &Facts {
        &self.facts
    }

    async fn search(&self, query: &Query<'_>, sink: &mut (dyn FnMut(RawEntry) + Send)) -> Ending {
        if !self.anew && query.pages.is_none() && query.verdicts.is_none() {
            let state = self.state();
            if let Some(answer) = state.held.answer(query.filter) {
                for anchor in answer.clone() {
                    if let Some(raw) = state.held.get(anchor) {
                        sink(raw);
                    }
                }
                return Ending { referrals: state.referrals.clone(), ..Ending::default() };
            }
        }
        if self.alone && query.verdicts.is_none() {
            return self.search_held(query, sink);
        }
        let spare = query.pages.is_some();
        // Whoever cannot be known again cannot be held, and neither can an answer that they are in.
        let mut answer = (!spare).then(BTreeSet::new);
        let mut ending = self
            .live
            .search(query, &mut |raw| {
                match entry::anchor(&self.facts, &raw) {
                    Some(anchor) => {
                        if let Some(answer) = &mut answer {
                            answer.insert(anchor);
                        }
                        if query.verdicts.is_none() {
                            self.state().held.keep(anchor, &raw, spare);
                        }
                    }
                    None => answer = None,
                }
                sink(raw);
            })
            .await;
        let mut state = self.state();
        if spare {
            // A short cut: what it did not bring is asked for by name.
            return ending;
        }
        self.note(&mut state, &mut ending);
        if let (None, Some(answer)) = (&ending.fault, answer) {
            match query.verdicts {
                Some(filter) => state.held.judge_all(&verdicts(filter), answer),
                None => state.held.set_answer(query.filter.to_owned(), answer),
            }
        }
        ending
    }

    async fn lookup(
        &self,
        names: &[Dn],
        filter: Option<&str>,
        attributes: &Selection,
    ) -> (Vec<RawEntry>, Ending) {
        let mut found = Vec::new();
        let mut unknown = Vec::new();
        {
            let state = self.state();
            let question = filter.map(verdicts);
            for dn in names {
                let anchor = if self.anew { None } else { state.held.anchor_of(dn) };
                let Some(anchor) = anchor else {
                    unknown.push(dn.clone());
                    continue;
                };
                if let Some((yes, no)) = &question {
                    let says = |key: &String| state.held.answer(key).is_some_and(|set| set.contains(&anchor));
                    if says(no) {
                        continue;
                    }
                    if !says(yes) {
                        unknown.push(dn.clone());
                        continue;
                    }
                }
                found.extend(state.held.get(anchor));
            }
        }
        if unknown.is_empty() {
            return (found, Ending { referrals: self.state().referrals.clone(), ..Ending::default() });
        }
        if self.alone && filter.is_none() {
            self.state().lacks(unknown[0].as_str());
            return (found, Ending::default());
        }
        let (entries, mut ending) = self.ask_live(&unknown, filter, attributes).await;
        let mut state = self.state();
        self.note(&mut state, &mut ending);
        match filter.map(verdicts) {
            Some(question) if ending.fault.is_none() => {
                let matching: HashSet<Anchor> =
                    entries.iter().filter_map(|raw| entry::anchor(&self.facts, raw)).collect();
                let asked: Vec<Anchor> = unknown.iter().filter_map(|dn| state.held.anchor_of(dn)).collect();
                for anchor in asked.into_iter().filter(|anchor| matching.contains(anchor)) {
                    state.held.judge(&question, anchor);
                }
            }
            Some(_) => {}
            None => {
                for raw in &entries {
                    if let Some(anchor) = entry::anchor(&self.facts, raw) {
                        state.held.keep(anchor, raw, false);
                    }
                }
            }
        }
        found.extend(entries);
        (found, ending)
    }

    async fn range(&self, anchor: Anchor, dn: &Dn, attribute: &str, from: u32) -> Result<RawEntry, Fault> {
        let part = self.live.range(anchor, dn, attribute, from).await;
        let mut state = self.state();
        match &part {
            Ok(part) => state.held.append(anchor, part),
            Err(fault) => {
                state.fault.get_or_insert_with(|| fault.clone());
            }
        }
        part
    }

    async fn deleted(&self, anchors: &[Anchor]) -> (BTreeSet<Anchor>, Ending) {
        self.live.deleted(anchors).await
    }

    fn traffic(&self) -> Traffic {
        self.live.traffic()
    }
}
