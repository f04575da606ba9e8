//! Finds the objects that the scope's entries name: by pin and by name, many at once.

use std::collections::{BTreeSet, HashMap};

use super::{Slot, Walk};
use crate::directory::entry::{self, GroupSort, Sort};
use crate::directory::names;
use crate::directory::reader::{Ending, Fault, Query, RawEntry};
use crate::ids::{Anchor, Dn};
use crate::model::{DirectoryKind, Kind, NameForm, Pin, ScopeEntry, Shortfall, ShortfallKind};

/// Names in one search.
pub(super) const AT_ONCE: usize = 50;

/// The outcome for one entry, in terms of the walk.
pub(super) enum Resolved {
    Object { slot: Slot, renamed: bool },
    Rebound { pinned: Option<Slot>, pinned_anchor: Anchor, claimant: Anchor, claimant_dn: Dn },
    Deleted(Anchor),
    NotFound,
    Ambiguous(Vec<Dn>),
    Unsuitable(String),
    Unread(Shortfall),
}

/// Something found that an entry may mean.
pub(super) struct Candidate {
    /// Gone once it was taken into the walk.
    raw: Option<RawEntry>,
    dn: Dn,
    pub anchor: Option<Anchor>,
    sort: Sort,
}

#[derive(Default)]
pub(super) struct Candidates {
    pub list: Vec<Candidate>,
    by_dn: HashMap<Dn, usize>,
}

enum Fit {
    Suitable,
    Unsuitable(String),
    Unclear(Fault),
}

/// What the search for one name gave.
enum Named {
    Found(Vec<usize>),
    /// No search is possible, with why.
    Never(String),
    Failed(Fault),
}

impl<'r> Walk<'r> {
    pub(super) async fn resolve(&mut self) -> Vec<Resolved> {
        let request = self.request;
        let entries = &request.wanted.entries;
        let mut candidates = Candidates::default();
        let pins: Vec<Option<&Pin>> = entries.iter().map(|e| Self::pin(request, e)).collect();
        let anchors: BTreeSet<Anchor> = pins.iter().flatten().map(|pin| pin.anchor).collect();
        let (pinned, pin_faults) = self.search_pins(&mut candidates, &anchors).await;
        let named = self.search_names(&mut candidates, entries).await;
        let meant = entries.iter().zip(&pins).filter_map(|(entry, pin)| Self::meant(entry, *pin));
        let deleted = self.search_deleted(meant, &candidates, &pin_faults).await;
        let mut resolved = Vec::new();
        for ((entry, pin), named) in entries.iter().zip(pins).zip(named) {
            let gone = Self::meant(entry, pin).filter(|anchor| deleted.contains(anchor));
            let outcome = match pin {
                None => self.decide_by_name(&mut candidates, entry, named, gone),
                Some(pin) => match pin_faults.get(&pin.anchor) {
                    Some(fault) => unread(entry, fault),
                    None => {
                        let found = pinned.get(&pin.anchor).copied();
                        self.decide_by_pin(&mut candidates, entry, pin, (found, gone), named)
                    }
                },
            };
            resolved.push(outcome);
        }
        resolved
    }

    async fn search_names(&mut self, candidates: &mut Candidates, entries: &[ScopeEntry]) -> Vec<Named> {
        let mut named: Vec<Named> = Vec::new();
        let mut asks: Vec<(usize, NameForm, String)> = Vec::new();
        for (at, entry) in entries.iter().enumerate() {
            let form = entry.form();
            match names::filter(self.reader.facts(), entry.kind, &form) {
                Ok(filter) => {
                    named.push(Named::Found(Vec::new()));
                    asks.push((at, form, filter));
                }
                Err(why) => named.push(Named::Never(why)),
            }
        }
        for chunk in asks.chunks(AT_ONCE) {
            let filters: Vec<String> = chunk.iter().map(|(_, _, filter)| filter.clone()).collect();
            let (hits, ending) = self.candidates(candidates, &names::any(&filters)).await;
            let mut left: BTreeSet<usize> = hits.iter().copied().collect();
            let facts = self.reader.facts();
            for (at, form, _) in chunk {
                let kind = entries[*at].kind;
                let mine: Vec<usize> = hits
                    .iter()
                    .copied()
                    .filter(|hit| {
                        let candidate = &candidates.list[*hit];
                        candidate
                            .raw
                            .as_ref()
                            .is_some_and(|raw| names::matches(facts, kind, form, raw, &candidate.dn))
                    })
                    .collect();
                for hit in &mine {
                    left.remove(hit);
                }
                named[*at] = Named::Found(mine);
            }
            // Something came that none of the names seems to have asked for, or the search failed for one of them:
            // ask for each singly, so that each has its own answer.
            if left.is_empty() && ending.fault.is_none() {
                continue;
            }
            for (at, _, filter) in chunk {
                named[*at] = if chunk.len() == 1 {
                    ending.fault.clone().map_or_else(|| Named::Found(hits.clone()), Named::Failed)
                } else {
                    let (hits, ending) = self.candidates(candidates, filter).await;
                    ending.fault.map_or(Named::Found(hits), Named::Failed)
                };
            }
        }
        named
    }

    pub(super) async fn candidates(
        &mut self,
        candidates: &mut Candidates,
        filter: &str,
    ) -> (Vec<usize>, Ending) {
        let reader = self.reader;
        let attributes = self.asked.all.clone();
        let query = Query { filter, attributes: &attributes, pages: None, verdicts: None };
        let (facts, kind) = (reader.facts(), self.kind);
        let mut hits = Vec::new();
        let ending = reader
            .search(&query, &mut |raw| {
                if let Some(at) = candidates.add(raw, kind, |raw| entry::anchor(facts, raw))
                    && !hits.contains(&at)
                {
                    hits.push(at);
                }
            })
            .await;
        self.note_referrals(&ending.referrals);
        (hits, ending)
    }

    fn decide_by_name(
        &mut self,
        candidates: &mut Candidates,
        entry: &ScopeEntry,
        named: Named,
        gone: Option<Anchor>,
    ) -> Resolved {
        let hits = match named {
            Named::Found(hits) => hits,
            Named::Never(why) => return Resolved::Unsuitable(why),
            Named::Failed(fault) => return unread(entry, &fault),
        };
        let (mut suitable, mut others, mut unclear) = (Vec::new(), Vec::new(), None);
        for at in hits {
            match self.fit(&candidates.list[at], entry.kind) {
                Fit::Suitable => suitable.push(at),
                Fit::Unsuitable(why) => others.push(why),
                Fit::Unclear(fault) => unclear = Some(fault),
            }
        }
        match (suitable.as_slice(), unclear, others.pop()) {
            (_, Some(fault), _) => unread(entry, &fault),
            ([one], None, _) => self.take(candidates, entry, *one, false),
            ([], None, Some(why)) => Resolved::Unsuitable(why),
            ([], None, None) => self.nothing_found(entry, gone),
            (several, None, _) => Resolved::Ambiguous(dns(candidates, several)),
        }
    }

    fn decide_by_pin(
        &mut self,
        candidates: &mut Candidates,
        entry: &ScopeEntry,
        pin: &Pin,
        (found, gone): (Option<usize>, Option<Anchor>),
        named: Named,
    ) -> Resolved {
        let (hits, never) = match named {
            Named::Found(hits) => (hits, None),
            Named::Never(why) => (Vec::new(), Some(why)),
            Named::Failed(fault) => return unread(entry, &fault),
        };
        // The one look-up may miss what the other brings: it is the same object, and nobody has taken its name over.
        let same = || hits.iter().copied().find(|at| candidates.list[*at].anchor == Some(pin.anchor));
        let found = found.or_else(same);
        if let Some(at) = found {
            match self.fit(&candidates.list[at], entry.kind) {
                Fit::Suitable if hits.contains(&at) => return self.take(candidates, entry, at, false),
                Fit::Suitable => {}
                Fit::Unsuitable(why) => return Resolved::Unsuitable(why),
                Fit::Unclear(fault) => return unread(entry, &fault),
            }
        }
        // Only what could be meant by the entry takes its name over.
        let claimants: Vec<usize> = hits
            .into_iter()
            .filter(|at| !matches!(self.fit(&candidates.list[*at], entry.kind), Fit::Unsuitable(_)))
            .collect();
        match (found, claimants.as_slice()) {
            (Some(at), []) => self.take(candidates, entry, at, true),
            (None, []) => match never.filter(|_| gone.is_none()) {
                Some(why) => Resolved::Unsuitable(why),
                None => self.nothing_found(entry, gone),
            },
            (None, several @ [_, _, ..]) => Resolved::Ambiguous(dns(candidates, several)),
            (_, [first, ..]) => {
                let claimant = &candidates.list[*first];
                let claimant_dn = claimant.dn.clone();
                let Some(claimant) = claimant.anchor else {
                    let detail = format!("the anchor of {claimant_dn} could not be read");
                    return unread(entry, &Fault::new(ShortfallKind::AttributeUnreadable, detail));
                };
                let pinned = match found.map(|at| self.take(candidates, entry, at, false)) {
                    Some(Resolved::Object { slot, .. }) => Some(slot),
                    Some(other) => return other,
                    None => None,
                };
                Resolved::Rebound { pinned, pinned_anchor: pin.anchor, claimant, claimant_dn }
            }
        }
    }

    /// A complete search that matched nothing: because what was meant is known to be deleted, or else may lie where
    /// it could not look.
    fn nothing_found(&self, entry: &ScopeEntry, gone: Option<Anchor>) -> Resolved {
        if let Some(anchor) = gone {
            return Resolved::Deleted(anchor);
        }
        let facts = self.reader.facts();
        if let Some(fault) = &facts.partial {
            return unread(entry, fault);
        }
        let form = entry.form();
        let hidden = self.referrals.iter().find(|referral| match &form {
            NameForm::Dn(dn) => dn.is_within(&referral.base),
            _ => facts.is_foreign(referral),
        });
        match hidden {
            Some(referral) => {
                let detail = format!(
                    "it was not found here, and the server referred to {} for the rest; referrals are not \
                     followed: configure that directory as a profile of its own",
                    referral.url
                );
                unread(entry, &Fault::new(ShortfallKind::Referral, detail))
            }
            None => Resolved::NotFound,
        }
    }

    fn take(
        &mut self,
        candidates: &mut Candidates,
        entry: &ScopeEntry,
        at: usize,
        renamed: bool,
    ) -> Resolved {
        let candidate = &mut candidates.list[at];
        let slot = match candidate.raw.take() {
            Some(raw) => self.admit(raw, true).map(|(_, slot)| slot),
            None => candidate.anchor.and_then(|anchor| self.by_anchor.get(&anchor).copied()),
        };
        match slot {
            Some(slot @ (Slot::Person(_) | Slot::Group(_))) => Resolved::Object { slot, renamed },
            Some(Slot::Failed(fault)) => unread(entry, self.fault_at(fault)),
            _ => {
                let detail = format!("{} could not be understood", candidate.dn);
                unread(entry, &Fault::new(ShortfallKind::Malformed, detail))
            }
        }
    }

    fn fit(&self, candidate: &Candidate, kind: Kind) -> Fit {
        let dn = &candidate.dn;
        let unreadable = |attribute: &str| {
            let detail = format!("{attribute} of {dn} could not be read; let the bind account read it");
            Fit::Unclear(Fault::new(ShortfallKind::AttributeUnreadable, detail))
        };
        let distribution = self.request.wanted.distribution_groups;
        match (kind, candidate.sort) {
            (_, Sort::Unclear) => unreadable("objectClass"),
            (_, Sort::Person | Sort::Group(_)) if candidate.anchor.is_none() => {
                unreadable(self.asked.anchor.first().map_or("the anchor", String::as_str))
            }
            (Kind::User, Sort::Person) => Fit::Suitable,
            (Kind::User, Sort::Group(_)) => Fit::Unsuitable(format!("{dn} is a group, not a person")),
            (Kind::Group, Sort::Person) => Fit::Unsuitable(format!("{dn} is a person, not a group")),
            (_, Sort::Other(what)) => Fit::Unsuitable(format!("{dn} is {what}")),
            (Kind::Group, Sort::Group(GroupSort::Unclear)) if !distribution => unreadable("groupType"),
            (Kind::Group, Sort::Group(GroupSort::Distribution)) if !distribution => Fit::Unsuitable(format!(
                "{dn} is a distribution group; set `include-distribution-groups = true` if it is really meant"
            )),
            (Kind::Group, Sort::Group(_)) => Fit::Suitable,
        }
    }
}

impl Candidates {
    fn add(
        &mut self,
        raw: RawEntry,
        kind: DirectoryKind,
        anchor: impl Fn(&RawEntry) -> Option<Anchor>,
    ) -> Option<usize> {
        let dn = Dn::parse(raw.dn()).ok()?;
        if let Some(at) = self.by_dn.get(&dn) {
            return Some(*at);
        }
        let (anchor, sort) = (anchor(&raw), entry::sort(kind, &raw));
        self.by_dn.insert(dn.clone(), self.list.len());
        self.list.push(Candidate { raw: Some(raw), dn, anchor, sort });
        Some(self.list.len() - 1)
    }
}

fn dns(candidates: &Candidates, list: &[usize]) -> Vec<Dn> {
    let mut dns: Vec<Dn> = list.iter().map(|at| candidates.list[*at].dn.clone()).collect();
    dns.sort();
    dns
}

fn unread(entry: &ScopeEntry, fault: &Fault) -> Resolved {
    Resolved::Unread(fault.of(entry.to_string()))
}
