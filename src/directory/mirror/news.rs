//! Whether what a server's log reports would make a difference to what is held. A log reports much that does not: others
//! than those in scope, and attributes that nobody asked for (with `lastbind` or a password policy, each time somebody signs
//! in, idcsync among them).

use std::collections::hash_map::DefaultHasher;
use std::collections::{BTreeSet, HashMap};
use std::hash::{Hash as _, Hasher as _};

use super::changes::Feed;
use super::content::{self, Interner};
use crate::directory::entry::{self, Sort};
use crate::directory::filter::Filter;
use crate::directory::range;
use crate::directory::reader::{Facts, RawEntry};
use crate::ids::{Anchor, Dn};
use crate::model::Mirror;

pub(in crate::directory) struct News {
    /// The attributes of a person that count.
    counts: BTreeSet<String>,
    held: HashMap<Anchor, What>,
    /// What the scope is found by: who answers it concerns us, held or not.
    questions: Vec<Filter>,
    /// Neither people nor groups, by what they were when they were seen last.
    others: HashMap<Anchor, u64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum What {
    /// With a digest of what counts.
    Person(u64),
    /// Each change of a group counts: its members are not compared.
    Group,
}

impl News {
    /// `counts`: the attributes that are asked for of a person.
    pub fn of(facts: &Facts, mirror: &Mirror, counts: BTreeSet<String>) -> Self {
        let mut news = Self {
            counts,
            held: HashMap::with_capacity(mirror.entries.len()),
            questions: mirror.answers.keys().filter_map(|question| Filter::parse(question).ok()).collect(),
            others: HashMap::new(),
        };
        let mut names = Interner::default();
        for (anchor, bytes) in &mirror.entries {
            // What cannot be decoded is not held: the next read sees to it.
            let Some(raw) = content::decode(&mut names, bytes) else { continue };
            match entry::sort(facts.kind, &raw) {
                Sort::Person => {
                    let digest = news.digest(&raw);
                    news.held.insert(*anchor, What::Person(digest));
                }
                Sort::Group(_) => {
                    news.held.insert(*anchor, What::Group);
                }
                Sort::Other(_) | Sort::Unclear => {
                    let digest = news.digest(&raw);
                    news.others.insert(*anchor, digest);
                }
            }
        }
        news
    }

    /// Whether any of it is to be acted on.
    pub fn are_in(&mut self, facts: &Facts, feed: &Feed) -> bool {
        let mut any = feed.deleted.iter().any(|anchor| self.held.contains_key(anchor));
        let mut changed = BTreeSet::new();
        for raw in &feed.changed {
            let Some(anchor) = entry::anchor(facts, raw) else { return true };
            changed.insert(anchor);
            any |= self.is(facts, anchor, raw);
        }
        let gone = |anchor: &Anchor| {
            feed.present.as_ref().is_some_and(|there| !there.contains(anchor) && !changed.contains(anchor))
        };
        any || self.held.keys().any(gone)
    }

    fn is(&mut self, facts: &Facts, anchor: Anchor, raw: &RawEntry) -> bool {
        if let Sort::Other(_) | Sort::Unclear = entry::sort(facts.kind, raw) {
            // It may be what others lie below, under another name.
            let digest = self.digest(raw);
            return self.others.insert(anchor, digest) != Some(digest);
        }
        match self.held.get(&anchor) {
            Some(What::Group) => true,
            Some(What::Person(known)) => *known != self.digest(raw),
            None => Dn::parse(&raw.dn)
                .map_or(true, |dn| self.questions.iter().any(|q| q.evaluate(raw, &dn) == Some(true))),
        }
    }

    fn digest(&self, raw: &RawEntry) -> u64 {
        let mut list: Vec<(&str, Vec<&Vec<u8>>)> = raw
            .attributes
            .iter()
            .map(|(name, values)| (range::split(name).map_or(&**name, |(base, _)| base), values))
            .filter(|(name, values)| !values.is_empty() && self.counts.contains(*name))
            .map(|(name, values)| {
                let mut values: Vec<&Vec<u8>> = values.iter().collect();
                values.sort();
                (name, values)
            })
            .collect();
        list.sort();
        let mut hasher = DefaultHasher::new();
        (&raw.dn, list).hash(&mut hasher);
        hasher.finish()
    }
}
