//! Whether what a server's log reports would make a difference to what is held. A log reports much that does not: others
//! than those in scope, and attributes that nobody asked for (with `lastbind` or a password policy, each time somebody signs
//! in, idcsync among them).

use std::collections::hash_map::DefaultHasher;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::hash::Hasher as _;

use super::changes::{Feed, telling};
use super::held::folded;
use crate::directory::entry::{self, Sort};
use crate::directory::filter::Filter;
use crate::directory::range;
use crate::directory::reader::{Facts, RawEntry, Selection};
use crate::directory::walk;
use crate::ids::{Anchor, Dn};
use crate::model::{DirectoryKind, Entries, Mirror, Wanted};

pub(in crate::directory) struct News {
    /// The attributes of a person that count.
    counts: BTreeSet<String>,
    held: HashMap<Anchor, What>,
    groups: HashMap<Dn, Anchor>,
    /// Of people and groups: a digest of the held groups that have them as members. Active Directory tells nothing of a
    /// group whose member was deleted or restored.
    within: HashMap<Anchor, u64>,
    /// Members of held groups that are not held: whoever gets such a name is a member at once.
    dangling: HashSet<Dn>,
    /// What the scope is found by: who answers it concerns us, held or not.
    questions: Vec<Filter>,
    /// Neither people nor groups, by what they were when they were seen last.
    others: HashMap<Anchor, u64>,
    /// Those of them that are held. Whoever gets the name of one may be a member at once.
    kept: HashSet<Anchor>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum What {
    /// With a digest of what counts.
    Person(u64),
    /// Each change of a group counts: its members are not compared.
    Group,
}

/// What is to be asked for of what has changed, so that [`News`] can judge it.
pub(in crate::directory) fn to_judge(kind: DirectoryKind, wanted: &Wanted) -> Selection {
    telling(&walk::of_all(kind, wanted))
}

impl News {
    pub fn of(facts: &Facts, mirror: &Mirror, wanted: &Wanted) -> Self {
        let counts = walk::of_people(facts.kind, wanted);
        let mut news = Self {
            counts,
            held: HashMap::with_capacity(mirror.entries.len()),
            groups: HashMap::new(),
            within: HashMap::new(),
            dangling: HashSet::new(),
            questions: mirror.answers.keys().filter_map(|question| Filter::parse(question).ok()).collect(),
            others: HashMap::new(),
            kept: HashSet::new(),
        };
        let mut places = HashMap::with_capacity(mirror.entries.len());
        let mut groups = Vec::new();
        for (anchor, bytes) in &mirror.entries {
            // What cannot be decoded is not held: the next read sees to it.
            let Some(raw) = RawEntry::kept(bytes) else { continue };
            places.insert(digest_of(&folded(raw.dn().as_bytes())), *anchor);
            match entry::sort(facts.kind, &raw) {
                Sort::Person => {
                    let digest = news.digest(&raw);
                    news.held.insert(*anchor, What::Person(digest));
                }
                Sort::Group(_) => {
                    news.held.insert(*anchor, What::Group);
                    groups.push((*anchor, raw));
                }
                Sort::Other(_) | Sort::Unclear => {
                    let digest = news.digest(&raw);
                    news.others.insert(*anchor, digest);
                    news.kept.insert(*anchor);
                }
            }
        }
        for (group, raw) in groups {
            news.take_members(facts, group, &raw, &places);
        }
        news
    }

    fn take_members(&mut self, facts: &Facts, group: Anchor, raw: &RawEntry, places: &HashMap<u64, Anchor>) {
        let lists = raw.attributes().filter(|(name, _)| entry::is_member_attribute(name));
        for value in lists.flat_map(|(_, values)| values) {
            if let Some(member) = places.get(&digest_of(&folded(value))) {
                if facts.kind == DirectoryKind::ActiveDirectory {
                    *self.within.entry(*member).or_default() ^= digest_of(&group);
                }
            } else if let Ok(text) = std::str::from_utf8(value)
                && let Ok(dn) = Dn::parse(entry::without_unique_id(text))
            {
                self.dangling.insert(dn);
            }
        }
        if let Ok(dn) = Dn::parse(raw.dn()) {
            self.groups.insert(dn, group);
        }
    }

    /// Whether any of it is to be acted on.
    pub fn are_in(&mut self, facts: &Facts, feed: &Feed) -> bool {
        let is_held = |anchor: &Anchor| self.held.contains_key(anchor) || self.kept.contains(anchor);
        let mut any = feed.deleted.iter().any(is_held);
        let mut changed = BTreeSet::new();
        for raw in &feed.changed {
            let Some(anchor) = entry::anchor(facts, raw) else { return true };
            changed.insert(anchor);
            any |= self.is(facts, anchor, raw);
        }
        let gone = |anchor: &Anchor| {
            feed.present.as_ref().is_some_and(|there| !there.contains(anchor) && !changed.contains(anchor))
        };
        any || self.held.keys().chain(&self.kept).any(gone)
    }

    /// Of people, whom a read will have as they are now. `false`: there are others among them, which say more than that.
    pub fn take(&mut self, facts: &Facts, changed: &BTreeMap<Anchor, RawEntry>) -> bool {
        for (anchor, raw) in changed {
            if entry::sort(facts.kind, raw) != Sort::Person {
                return false;
            }
            let digest = self.digest(raw);
            self.held.insert(*anchor, What::Person(digest));
        }
        true
    }

    fn is(&mut self, facts: &Facts, anchor: Anchor, raw: &RawEntry) -> bool {
        let is_other = matches!(entry::sort(facts.kind, raw), Sort::Other(_) | Sort::Unclear);
        // It has become something else.
        if is_other && self.held.contains_key(&anchor) || !is_other && self.others.contains_key(&anchor) {
            return true;
        }
        if is_other {
            // It may be what others lie below, under another name; unless nothing does (X.501).
            let digest = self.digest(raw);
            let before = self.others.insert(anchor, digest);
            let alone = before.is_none() && raw.text("hassubordinates") == Some("FALSE");
            return !alone && before != Some(digest);
        }
        let Ok(dn) = Dn::parse(raw.dn()) else { return true };
        let differs = match self.held.get(&anchor) {
            Some(What::Group) => true,
            Some(What::Person(known)) => *known != self.digest(raw),
            None => {
                self.dangling.contains(&dn)
                    || self.questions.iter().any(|question| question.evaluate(raw, &dn) == Some(true))
            }
        };
        differs
            || facts.kind == DirectoryKind::ActiveDirectory
                && self.says_to_be_in(raw) != self.within.get(&anchor).copied().unwrap_or_default()
    }

    /// As in `within`, by what the object itself says.
    fn says_to_be_in(&self, raw: &RawEntry) -> u64 {
        let lists = raw
            .attributes()
            .filter(|(name, _)| range::split(name).map_or(*name, |(base, _)| base) == "memberof");
        let names = lists
            .flat_map(|(_, values)| values)
            .filter_map(|value| Dn::parse(std::str::from_utf8(value).ok()?).ok());
        names.filter_map(|dn| self.groups.get(&dn)).fold(0, |all, group| all ^ digest_of(group))
    }

    fn digest(&self, raw: &RawEntry) -> u64 {
        digest(&self.counts, raw)
    }
}

/// Whether something that is held has changed, by the `held` entries of what was reported alone. If not, the whole mirror
/// has to say whether anything else counts.
pub(in crate::directory) fn plainly_in(facts: &Facts, feed: &Feed, held: &Entries, wanted: &Wanted) -> bool {
    let counts = walk::of_people(facts.kind, wanted);
    let mut differs = |raw: &RawEntry| {
        let held = entry::anchor(facts, raw).and_then(|anchor| held.get(&anchor));
        let Some(before) = held.and_then(RawEntry::kept) else { return false };
        match entry::sort(facts.kind, &before) {
            Sort::Person => {
                entry::sort(facts.kind, raw) != Sort::Person
                    || digest(&counts, &before) != digest(&counts, raw)
            }
            Sort::Group(_) => true,
            Sort::Other(_) | Sort::Unclear => false,
        }
    };
    feed.deleted.iter().any(|anchor| held.contains_key(anchor)) || feed.changed.iter().any(&mut differs)
}

/// Of what counts of a person.
pub(super) fn digest(counts: &BTreeSet<String>, raw: &RawEntry) -> u64 {
    let mut list: Vec<(&str, Vec<&[u8]>)> = raw
        .attributes()
        .map(|(name, values)| (range::split(name).map_or(name, |(base, _)| base), values))
        .filter(|(name, values)| !values.is_empty() && counts.contains(*name))
        .map(|(name, values)| {
            let mut values: Vec<&[u8]> = values.collect();
            values.sort();
            (name, values)
        })
        .collect();
    list.sort();
    digest_of(&(raw.dn(), list))
}

fn digest_of(what: &impl std::hash::Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    what.hash(&mut hasher);
    hasher.finish()
}
