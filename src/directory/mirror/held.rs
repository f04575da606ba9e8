//! The entries that are held, found by anchor and by name, and what has become of them since the mirror was made.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use super::content::{self, Interner};
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
    by_dn: HashMap<Dn, Anchor>,
    answers: Answers,
    names: Interner,
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
        let mut by_dn = HashMap::with_capacity(entries.len());
        for (anchor, bytes) in &entries {
            by_dn.insert(Dn::parse(content::dn(bytes)?).ok()?, *anchor);
        }
        Some(Self { entries, by_dn, answers, ..Self::default() })
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
            let Some(mut raw) = self.get(anchor) else { continue };
            let lists = raw.attributes.iter_mut().filter(|(name, _)| entry::is_member_attribute(name));
            let mut any = false;
            for (_, values) in lists {
                let before = values.len();
                values.retain(|value| {
                    let text = std::str::from_utf8(value).ok().map(entry::without_unique_id);
                    let dn = text.and_then(|text| Dn::parse(text).ok());
                    dn.is_some_and(|dn| self.by_dn.contains_key(&dn))
                });
                any |= values.len() < before;
            }
            if any {
                self.entries.insert(anchor, content::encode(&raw));
            }
        }
    }

    pub fn get(&mut self, anchor: Anchor) -> Option<RawEntry> {
        content::decode(&mut self.names, self.entries.get(&anchor)?)
    }

    pub fn anchor_of(&self, dn: &Dn) -> Option<Anchor> {
        self.by_dn.get(dn).copied()
    }

    pub fn dn_of(&self, anchor: Anchor) -> Option<&str> {
        content::dn(self.entries.get(&anchor)?)
    }

    pub fn anchors(&self) -> impl Iterator<Item = Anchor> {
        self.entries.keys().copied()
    }

    /// Whether anything that is held lies below this name.
    pub fn is_above_others(&self, dn: &Dn) -> bool {
        self.by_dn.keys().any(|other| other != dn && other.is_within(dn))
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
    pub fn keep(&mut self, facts: &Facts, raw: &RawEntry, spare: bool) {
        let Some(anchor) = entry::anchor(facts, raw) else { return };
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
        let Some(mut raw) = self.get(anchor) else { return };
        for (name, values) in &part.attributes {
            let Some((base, _)) = range::split(name) else { continue };
            if let Some((_, have)) = raw.attributes.iter_mut().find(|(n, _)| &**n == base) {
                have.extend(values.iter().cloned());
            }
        }
        self.write(anchor, &raw);
    }

    fn write(&mut self, anchor: Anchor, raw: &RawEntry) {
        let Ok(dn) = Dn::parse(&raw.dn) else { return };
        let old = self.dn_of(anchor).and_then(|old| Dn::parse(old).ok()).filter(|old| *old != dn);
        if let Some(old) = old.filter(|old| self.anchor_of(old) == Some(anchor)) {
            self.by_dn.remove(&old);
        }
        self.by_dn.insert(dn, anchor);
        self.entries.insert(anchor, content::encode(raw));
        self.gone.remove(&anchor);
        self.put.insert(anchor);
    }

    pub fn remove(&mut self, anchor: Anchor) {
        let old = self.dn_of(anchor).and_then(|old| Dn::parse(old).ok());
        if let Some(old) = old.filter(|old| self.anchor_of(old) == Some(anchor)) {
            self.by_dn.remove(&old);
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
        let Ok(dn) = Dn::parse(&raw.dn) else { return };
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
    pub fn holders(&mut self, names: &HashSet<Vec<u8>>) -> HashMap<Vec<u8>, BTreeSet<Anchor>> {
        let mut holders: HashMap<Vec<u8>, BTreeSet<Anchor>> = HashMap::new();
        let all: Vec<Anchor> = self.entries.keys().copied().collect();
        for anchor in all {
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
    pub fn naming(&mut self, names: HashSet<&Dn>) -> BTreeSet<Anchor> {
        if names.is_empty() {
            return BTreeSet::new();
        }
        let all: Vec<Anchor> = self.entries.keys().copied().collect();
        all.into_iter()
            .filter(|anchor| {
                let Some(raw) = self.get(*anchor) else { return false };
                let lists = raw.attributes.iter().filter(|(name, _)| entry::is_member_attribute(name));
                lists.flat_map(|(_, values)| values).any(|value| {
                    let text = std::str::from_utf8(value).ok().map(entry::without_unique_id);
                    text.and_then(|text| Dn::parse(text).ok()).is_some_and(|dn| names.contains(&dn))
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
            let Some(mut raw) = self.get(anchor) else { continue };
            let Some((_, members)) = raw.attributes.iter_mut().find(|(name, _)| &**name == "member") else {
                continue;
            };
            let mut changed = false;
            members.retain_mut(|value| match renames.get(&folded(value)) {
                None => true,
                Some(now) => {
                    changed = true;
                    if let Some(now) = now {
                        *value = now.clone().into_bytes();
                    }
                    now.is_some()
                }
            });
            if changed {
                self.write(anchor, &raw);
            }
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
    let mut whole = RawEntry { dn: raw.dn.clone(), attributes: Vec::with_capacity(raw.attributes.len()) };
    for (name, values) in &raw.attributes {
        let base = range::split(name).map_or(&**name, |(base, _)| base);
        match whole.attributes.iter_mut().find(|(n, _)| &**n == base) {
            // The empty `member` beside `member;range=0-1499`.
            Some((_, have)) => have.extend(values.iter().cloned()),
            None if base.len() == name.len() => whole.attributes.push((name.clone(), values.clone())),
            None => whole.attributes.push((base.into(), values.clone())),
        }
    }
    whole
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
