//! The objects that entries are pinned to: looked up by their anchors, and among the deleted ones.

use std::collections::{BTreeMap, BTreeSet};

use super::Walk;
use super::resolve::{AT_ONCE, Candidates};
use crate::directory::names;
use crate::directory::reader::Fault;
use crate::ids::Anchor;
use crate::model::{NameForm, Pin, ReadRequest, ScopeEntry};

impl<'r> Walk<'r> {
    /// The entry's pin. An entry given by its anchor needs none: it names the object itself.
    pub(super) fn pin(request: &'r ReadRequest, entry: &ScopeEntry) -> Option<&'r Pin> {
        if matches!(entry.form(), NameForm::Anchor(_)) {
            return None;
        }
        request.pins.get(&(entry.kind, entry.name.clone()))
    }

    pub(super) async fn search_pins(
        &mut self,
        candidates: &mut Candidates,
        anchors: &BTreeSet<Anchor>,
    ) -> (BTreeMap<Anchor, usize>, BTreeMap<Anchor, Fault>) {
        let (mut found, mut faults) = (BTreeMap::new(), BTreeMap::new());
        let all: Vec<Anchor> = anchors.iter().copied().collect();
        for chunk in all.chunks(AT_ONCE) {
            let filters: Vec<String> =
                chunk.iter().map(|a| names::by_anchor(self.reader.facts(), *a)).collect();
            let (hits, ending) = self.candidates(candidates, &names::any(&filters)).await;
            for at in hits {
                if let Some(anchor) = candidates.list[at].anchor {
                    found.insert(anchor, at);
                }
            }
            if let Some(fault) = ending.fault {
                let missing = chunk.iter().filter(|a| !found.contains_key(a));
                faults.extend(missing.map(|a| (*a, fault.clone())));
            }
        }
        (found, faults)
    }

    /// The object that the entry stands for, by its pin or because it names it so.
    pub(super) fn meant(entry: &ScopeEntry, pin: Option<&Pin>) -> Option<Anchor> {
        match (pin, entry.form()) {
            (Some(pin), _) => Some(pin.anchor),
            (None, NameForm::Anchor(anchor)) => Some(anchor),
            (None, _) => None,
        }
    }

    /// Which of the objects that entries stand for, and that were not found, the server shows as deleted.
    pub(super) async fn search_deleted(
        &self,
        meant: impl Iterator<Item = Anchor>,
        candidates: &Candidates,
        faults: &BTreeMap<Anchor, Fault>,
    ) -> BTreeSet<Anchor> {
        let found: BTreeSet<Anchor> = candidates.list.iter().filter_map(|c| c.anchor).collect();
        let missing: BTreeSet<Anchor> =
            meant.filter(|anchor| !found.contains(anchor) && !faults.contains_key(anchor)).collect();
        let missing: Vec<Anchor> = missing.into_iter().collect();
        let mut deleted = BTreeSet::new();
        for chunk in missing.chunks(AT_ONCE) {
            // Where it fails, they count as not found.
            deleted.extend(self.reader.deleted(chunk).await.0);
        }
        deleted
    }
}
