//! The entries that are held, found by anchor and by name, and what has become of them since the mirror was made.

use std::cell::OnceCell;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use crate::directory::entry;
use crate::directory::filter::{Filter, without_negations, wrapped};
use crate::directory::range;
use crate::directory::reader::{Facts, RawEntry};
use crate::ids::{Anchor, Dn};
use crate::model::{Entries, Mark, Mirror, MirrorChange};

pub(in crate::directory) type Answers = BTreeMap<String, BTreeSet<Anchor>>;

/// Who is known to match the user filter or its negation, as asked; and who is known to match the other one.
pub(super) fn verdicts(filter: &str) -> (String, String) {
    let (bare, is_negated) = without_negations(filter);
    let (yes, no) = (format!("+{bare}"), format!("-{bare}"));
    if is_negated { (no, yes) } else { (yes, no) }
}

fn is_search(question: &str) -> bool {
    question.starts_with('(')
}

#[derive(Default)]
pub(super) struct Held {
    entries: Entries,
    /// Made where somebody asks by name.
    by_dn: OnceCell<HashMap<Dn, Anchor>>,
    answers: Answers,
    /// Written anew since the mirror was made.
    put: BTreeSet<Anchor>,
    gone: BTreeSet<Anchor>,
    asked_anew: BTreeSet<String>,
    /// Came by the way, in searches of everybody: worth keeping only where something led there.
    spare: HashSet<Anchor>,
}

/// Objects whose names are others now (or none any more), by the old name as the server wrote it.
pub(super) type Renames = HashMap<Vec<u8>, Option<String>>;

impl Held {
    /// `None`: the mirror is damaged.
    pub fn over(mirror: Mirror) -> Option<Self> {
        Self::of_part(mirror.entries, mirror.answers)
    }

    /// The same of some entries only.
    pub fn of_part(entries: Entries, answers: Answers) -> Option<Self> {
        entries.values().all(|bytes| RawEntry::kept(bytes).is_some()).then(|| Self {
            entries,
            answers,
            ..Self::default()
        })
    }

    /// What was written anew, as it is now: taken note of, so that it is not written twice.
    pub fn take_put(&mut self) -> Entries {
        let put = std::mem::take(&mut self.put);
        put.into_iter().filter_map(|anchor| Some((anchor, self.entries.get(&anchor)?.clone()))).collect()
    }

    /// Members that are not held are members no more.
    pub fn keep_members_held(&mut self) {
        let all: Vec<Anchor> = self.entries.keys().copied().collect();
        for anchor in all {
            let Some(raw) = self.get(anchor) else { continue };
            let is_held = |value: &[u8]| {
                let text = std::str::from_utf8(value).ok().map(entry::without_unique_id);
                let dn = text.and_then(|text| Dn::parse(text).ok());
                dn.is_some_and(|dn| self.anchor_of(&dn).is_some())
            };
            let mut lists = raw.attributes().filter(|(name, _)| entry::is_member_attribute(name));
            if lists.all(|(_, mut values)| values.all(is_held)) {
                continue;
            }
            let less = raw.with(|list| {
                let lists = list.iter_mut().filter(|(name, _)| entry::is_member_attribute(name));
                lists.for_each(|(_, values)| values.retain(|value| is_held(value)));
            });
            self.entries.insert(anchor, Arc::clone(less.bytes()));
        }
    }

    pub fn get(&self, anchor: Anchor) -> Option<RawEntry> {
        self.entries.get(&anchor).map(RawEntry::again)
    }

    fn by_dn(&self) -> &HashMap<Dn, Anchor> {
        self.by_dn.get_or_init(|| {
            let named = |(anchor, bytes): (&Anchor, &Arc<[u8]>)| {
                Some((Dn::parse(RawEntry::again(bytes).dn()).ok()?, *anchor))
            };
            self.entries.iter().filter_map(named).collect()
        })
    }

    pub fn anchor_of(&self, dn: &Dn) -> Option<Anchor> {
        self.by_dn().get(dn).copied()
    }

    pub fn dn_of(&self, anchor: Anchor) -> Option<Dn> {
        Dn::parse(self.get(anchor)?.dn()).ok()
    }

    pub fn anchors(&self) -> impl Iterator<Item = Anchor> {
        self.entries.keys().copied()
    }

    /// Whether anything that is held lies below this name.
    pub fn is_above_others(&self, dn: &Dn) -> bool {
        self.by_dn().keys().any(|other| other != dn && other.is_within(dn))
    }

    pub fn answer(&self, question: &str) -> Option<&BTreeSet<Anchor>> {
        self.answers.get(question)
    }

    pub fn set_answer(&mut self, question: String, answer: BTreeSet<Anchor>) {
        self.asked_anew.insert(question.clone());
        self.answers.insert(question, answer);
    }

    /// Notes that somebody matches. Who was not returned is not judged: only who matches the negation is known to differ.
    pub fn judge(&mut self, (yes, no): &(String, String), anchor: Anchor) {
        if self.answers.entry(yes.clone()).or_default().insert(anchor) {
            self.asked_anew.insert(yes.clone());
        }
        if self.answers.get_mut(no).is_some_and(|set| set.remove(&anchor)) {
            self.asked_anew.insert(no.clone());
        }
    }

    /// All that is held was asked about, and these match.
    pub fn judge_all(&mut self, (yes, _): &(String, String), matching: BTreeSet<Anchor>) {
        self.set_answer(yes.clone(), matching);
    }

    /// Takes in an entry as the server has sent it just now. What came in part only has the option's name without the
    /// option, and the rest is to be appended. The first one of a read stays: what is appended belongs to it.
    pub fn keep(&mut self, anchor: Anchor, raw: &RawEntry, spare: bool) {
        if spare {
            if !self.entries.contains_key(&anchor) {
                self.spare.insert(anchor);
            }
        } else {
            self.spare.remove(&anchor);
        }
        if !self.put.contains(&anchor) {
            self.replace(anchor, raw);
        }
    }

    pub fn replace(&mut self, anchor: Anchor, raw: &RawEntry) {
        self.write(anchor, &whole_names(raw));
    }

    /// The rest of an attribute that came in part.
    pub fn append(&mut self, anchor: Anchor, part: &RawEntry) {
        let Some(raw) = self.get(anchor) else { return };
        let more = raw.with(|list| {
            for (name, values) in part.attributes() {
                let Some((base, _)) = range::split(name) else { continue };
                if let Some((_, have)) = list.iter_mut().find(|(n, _)| n == base) {
                    have.extend(values.map(<[u8]>::to_vec));
                }
            }
        });
        self.write(anchor, &more);
    }

    fn write(&mut self, anchor: Anchor, raw: &RawEntry) {
        let old = self.by_dn.get().and_then(|_| self.dn_of(anchor));
        if let Some(by_dn) = self.by_dn.get_mut() {
            forget(by_dn, old, anchor);
            by_dn.extend(Dn::parse(raw.dn()).map(|dn| (dn, anchor)));
        }
        self.entries.insert(anchor, Arc::clone(raw.bytes()));
        self.gone.remove(&anchor);
        self.put.insert(anchor);
    }

    pub fn remove(&mut self, anchor: Anchor) {
        let old = self.dn_of(anchor);
        if let Some(by_dn) = self.by_dn.get_mut() {
            forget(by_dn, old, anchor);
        }
        if self.entries.remove(&anchor).is_some() {
            self.gone.insert(anchor);
        }
        self.put.remove(&anchor);
        for (question, answer) in &mut self.answers {
            if answer.remove(&anchor) {
                self.asked_anew.insert(question.clone());
            }
        }
    }

    /// The object was changed: what it answers now, and nobody knows whether it matches the user filter.
    pub fn reconsider(&mut self, facts: &Facts, anchor: Anchor, raw: &RawEntry) {
        let Ok(dn) = Dn::parse(raw.dn()) else { return };
        for (question, answer) in &mut self.answers {
            let answers = is_search(question)
                && dn.is_within(&facts.base)
                && Filter::parse(question).is_ok_and(|filter| filter.evaluate(raw, &dn) == Some(true));
            let changed = if answers { answer.insert(anchor) } else { answer.remove(&anchor) };
            if changed {
                self.asked_anew.insert(question.clone());
            }
        }
    }

    /// The groups that are known to have members of these names (as [`folded`]), by name.
    pub fn holders(&self, names: &HashSet<Vec<u8>>) -> HashMap<Vec<u8>, BTreeSet<Anchor>> {
        let mut holders: HashMap<Vec<u8>, BTreeSet<Anchor>> = HashMap::new();
        for anchor in self.anchors() {
            let Some(raw) = self.get(anchor) else { continue };
            for value in raw.values("member") {
                let name = folded(value);
                if names.contains(&name) {
                    holders.entry(name).or_default().insert(anchor);
                }
            }
        }
        holders
    }

    /// The entries that have a member of one of these names, however the name is written.
    pub fn naming(&self, names: HashSet<&Dn>) -> BTreeSet<Anchor> {
        if names.is_empty() {
            return BTreeSet::new();
        }
        self.anchors()
            .filter(|anchor| {
                let Some(raw) = self.get(*anchor) else { return false };
                let mut lists = raw.attributes().filter(|(name, _)| entry::is_member_attribute(name));
                lists.any(|(_, mut values)| {
                    values.any(|value| {
                        let text = std::str::from_utf8(value).ok().map(entry::without_unique_id);
                        text.and_then(|text| Dn::parse(text).ok()).is_some_and(|dn| names.contains(&dn))
                    })
                })
            })
            .collect()
    }

    /// Active Directory's links follow their objects: a member that was renamed or deleted is so in every group, and no
    /// group is reported for it.
    pub fn rename_members(&mut self, renames: &Renames) {
        if renames.is_empty() {
            return;
        }
        let all: Vec<Anchor> = self.entries.keys().copied().collect();
        for anchor in all {
            let Some(raw) = self.get(anchor) else { continue };
            if !raw.values("member").any(|value| renames.contains_key(&folded(value))) {
                continue;
            }
            let renamed = raw.with(|list| {
                let Some((_, members)) = list.iter_mut().find(|(name, _)| name == "member") else { return };
                members.retain_mut(|value| match renames.get(&folded(value)) {
                    None => true,
                    Some(now) => {
                        if let Some(now) = now {
                            *value = now.clone().into_bytes();
                        }
                        now.is_some()
                    }
                });
            });
            self.write(anchor, &renamed);
        }
    }

    pub fn into_whole(mut self, mark: Mark, used: &HashSet<Anchor>) -> MirrorChange {
        for anchor in std::mem::take(&mut self.spare) {
            if !used.contains(&anchor) {
                self.entries.remove(&anchor);
            }
        }
        MirrorChange::Whole(Mirror { mark, entries: self.entries, answers: self.answers })
    }

    pub fn into_part(mut self, mark: Mark) -> MirrorChange {
        let put = self.put.iter().filter_map(|a| Some((*a, self.entries.remove(a)?))).collect();
        let answers =
            self.asked_anew.iter().filter_map(|q| Some((q.clone(), self.answers.remove(q)?))).collect();
        MirrorChange::Part { mark, put, gone: self.gone, answers }
    }
}

/// The name may be somebody else's by now.
fn forget(by_dn: &mut HashMap<Dn, Anchor>, old: Option<Dn>, anchor: Anchor) {
    if let Some(old) = old.filter(|old| by_dn.get(old) == Some(&anchor)) {
        by_dn.remove(&old);
    }
}

/// As names of members are compared here: by case alone. Active Directory writes each name in one way.
pub(super) fn folded(value: &[u8]) -> Vec<u8> {
    if value.is_ascii() {
        return value.to_ascii_lowercase();
    }
    match std::str::from_utf8(value) {
        Ok(text) => text.to_lowercase().into_bytes(),
        Err(_) => value.to_vec(),
    }
}

fn whole_names(raw: &RawEntry) -> RawEntry {
    if !raw.attributes().any(|(name, _)| range::split(name).is_some()) {
        return raw.clone();
    }
    let mut whole: Vec<(&str, Vec<&[u8]>)> = Vec::new();
    for (name, values) in raw.attributes() {
        let base = range::split(name).map_or(name, |(base, _)| base);
        match whole.iter_mut().find(|(n, _)| *n == base) {
            // The empty `member` beside `member;range=0-1499`.
            Some((_, have)) => have.extend(values),
            None => whole.push((base, values.collect())),
        }
    }
    RawEntry::new(raw.dn(), whole)
}

/// Whether what the filter says of somebody changes only with their own entry.
pub(super) fn is_of_the_entry(filter: &str) -> bool {
    let Ok(filter) = Filter::parse(filter) else { return false };
    !filter.has_unknown_rule() && !filter.attributes().iter().any(|a| is_made_up(a))
}

/// The attributes that the user filter looks at, where all that it says is of the entry.
pub(in crate::directory) fn seen_by(filter: &str) -> BTreeSet<String> {
    let filter = wrapped(filter);
    if !is_of_the_entry(&filter) {
        return BTreeSet::new();
    }
    Filter::parse(&filter)
        .map(|f| f.attributes().into_iter().map(str::to_owned).collect())
        .unwrap_or_default()
}

/// What a server makes up from other entries, or keeps in step with them, changes without a word about the entry itself.
pub(super) fn is_made_up(attribute: &str) -> bool {
    const MADE_UP: [&str; 14] = [
        "memberof",
        "ismemberof",
        "tokengroups",
        "primarygrouptoken",
        "distinguishedname",
        "entrydn",
        "canonicalname",
        "manager",
        "directreports",
        "managedby",
        "secretary",
        "assistant",
        "owner",
        "seealso",
    ];
    MADE_UP.contains(&attribute) || attribute.starts_with("msds-")
}
