//! Whether all that a server's log reports is plain: of objects that are held, under the names by which they are held, or
//! of others that nothing leads to. What follows from it then concerns few, and a read need not look at the rest.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use super::changes::{Feed, whole, work_in};
use super::held::{Answers, Held};
use super::news::digest;
use super::{Mirroring, State};
use crate::directory::Membership;
use crate::directory::entry::{self, Sort};
use crate::directory::filter::Filter;
use crate::directory::reader::{Facts, Fault, RawEntry, Reader};
use crate::directory::walk;
use crate::ids::{Anchor, Dn};
use crate::model::{DirectoryKind, Entries, Mark, MirrorChange, ShortfallKind, Snapshot, Wanted};

/// More changes are read with all that is held.
const MOST: usize = 500;
/// Of those who stay in a group, so many are named.
const STAYING: usize = 8;

/// What was reported, and what of it may count.
#[derive(Default)]
pub(in crate::directory) struct Told {
    /// As they are now, with all their values; only those that may count.
    pub changed: BTreeMap<Anchor, RawEntry>,
    pub people: BTreeSet<Anchor>,
    pub groups: BTreeMap<Anchor, Membership>,
    /// Not held: whoever has one of these names as a member has them in scope.
    pub strangers: Vec<Dn>,
    /// Active Directory: the groups that somebody says to be in; `None`: somebody who is not held.
    pub within: Vec<(Option<Anchor>, Vec<Dn>)>,
    pub answers: Answers,
}

impl Told {
    /// `None`: it is not plain, or too much. `held`: of all that was reported, what is held.
    pub async fn of(
        live: &dyn Reader,
        feed: &Feed,
        held: &Entries,
        answers: Answers,
        wanted: &Wanted,
    ) -> Option<Self> {
        let gone = feed.present.is_some() || feed.deleted.iter().any(|anchor| held.contains_key(anchor));
        if gone || feed.changed.len() > MOST {
            return None;
        }
        let facts = live.facts();
        let mut told = Self { answers, ..Self::default() };
        let questions: Vec<Filter> =
            told.answers.keys().filter_map(|question| Filter::parse(question).ok()).collect();
        let counts = walk::of_people(facts.kind, wanted);
        for (anchor, raw) in whole(live, feed.changed.clone()).await.ok()? {
            let dn = Dn::parse(raw.dn()).ok()?;
            let linked = facts.kind == DirectoryKind::ActiveDirectory;
            let Some(before) = held.get(&anchor) else {
                if !is_stranger(facts, &raw, &dn, &questions) {
                    return None;
                }
                if linked {
                    told.within.push((None, groups_of(&raw)?));
                }
                told.strangers.push(dn);
                continue;
            };
            let before = RawEntry::kept(before)?;
            let sort = entry::sort(facts.kind, &raw);
            if before.dn() != raw.dn() || entry::sort(facts.kind, &before) != sort {
                return None;
            }
            if linked {
                told.within.push((Some(anchor), groups_of(&raw)?));
            }
            match sort {
                Sort::Person if digest(&counts, &before) == digest(&counts, &raw) => continue,
                // Whose primary group is another one now is a member of groups of which nothing was reported.
                Sort::Person if !before.values("primarygroupid").eq(raw.values("primarygroupid")) => {
                    return None;
                }
                Sort::Person => drop(told.people.insert(anchor)),
                Sort::Group(_) => {
                    let members = membership(&before, &raw)?;
                    let same = members.joined.is_empty() && members.left.is_empty();
                    if same && digest(&counts, &before) == digest(&counts, &raw) {
                        continue;
                    }
                    told.groups.insert(anchor, members);
                }
                Sort::Other(_) | Sort::Unclear if digest(&counts, &before) == digest(&counts, &raw) => {
                    continue;
                }
                Sort::Other(_) | Sort::Unclear => return None,
            }
            told.changed.insert(anchor, raw);
        }
        Some(told)
    }

    /// Something that is held is other than before.
    pub fn is_of_held(&self) -> bool {
        !self.changed.is_empty()
    }

    /// There was nothing to tell but of those who are held, and of them nothing that counts.
    pub fn is_nothing(&self) -> bool {
        self.changed.is_empty() && self.strangers.is_empty() && self.within.is_empty()
    }
}

/// Neither is the scope found by it, nor can anything that is held lie below it.
fn is_stranger(facts: &Facts, raw: &RawEntry, dn: &Dn, questions: &[Filter]) -> bool {
    let below = match entry::sort(facts.kind, raw) {
        Sort::Person | Sort::Group(_) => false,
        Sort::Other(_) | Sort::Unclear => raw.text("hassubordinates") != Some("FALSE"),
    };
    !below && !questions.iter().any(|question| question.evaluate(raw, dn) == Some(true))
}

fn groups_of(raw: &RawEntry) -> Option<Vec<Dn>> {
    let lists = raw.attributes().filter(|(name, _)| name.split(';').next() == Some("memberof"));
    let names = lists.flat_map(|(_, values)| values);
    names.map(|value| Dn::parse(std::str::from_utf8(value).ok()?).ok()).collect()
}

fn members(raw: &RawEntry) -> Option<HashSet<&str>> {
    let lists = raw.attributes().filter(|(name, _)| entry::is_member_attribute(name));
    let values = lists.flat_map(|(_, values)| values);
    values.map(|value| std::str::from_utf8(value).ok().map(entry::without_unique_id)).collect()
}

fn membership(before: &RawEntry, now: &RawEntry) -> Option<Membership> {
    let (before, now) = (members(before)?, members(now)?);
    let parsed = |name: &&str| Dn::parse(name).ok();
    let list = |these: &HashSet<&str>, those: &HashSet<&str>| {
        these.difference(those).map(parsed).collect::<Option<BTreeSet<_>>>()
    };
    let staying = before.intersection(&now).take(STAYING).filter_map(parsed).collect();
    Some(Membership { joined: list(&now, &before)?, left: list(&before, &now)?, staying })
}

impl<'l> Mirroring<'l> {
    /// A reader to which nothing exists but these entries: of members, those remain that are among them. What they match
    /// is still asked of the server.
    pub fn of_part(live: &'l dyn Reader, entries: Entries, answers: Answers) -> Option<Self> {
        Some(Self::among(live, Held::of_part(entries, answers)?))
    }

    /// The same after what was told.
    pub fn of_part_after(
        live: &'l dyn Reader,
        entries: Entries,
        told: &Told,
        wanted: &Wanted,
    ) -> Option<Part<'l>> {
        let facts = live.facts();
        let mut held = Held::of_part(entries, told.answers.clone())?;
        work_in(facts, &mut held, &told.changed, BTreeSet::new(), &walk::of_all(facts.kind, wanted));
        let put = held.take_put();
        Some(Part { reader: Self::among(live, held), put })
    }

    fn among(live: &'l dyn Reader, mut held: Held) -> Self {
        held.keep_members_held();
        Self { alone: true, ..Self::over(live, held) }
    }
}

/// A reader of a part, and the entries of it that are others now.
pub(in crate::directory) struct Part<'l> {
    pub reader: Mirroring<'l>,
    put: Entries,
}

impl Part<'_> {
    /// `None`: something was asked for that is not part of it, or not all was answered.
    pub fn finish(self, mark: Mark, snapshot: &Snapshot) -> Option<MirrorChange> {
        match self.reader.finish_part(mark, snapshot)? {
            MirrorChange::Part { mark, put, gone, answers } if put.is_empty() && gone.is_empty() => {
                Some(MirrorChange::Part { mark, put: self.put, gone, answers })
            }
            _ => None,
        }
    }
}

impl State {
    /// Whoever asks for what is not part of what there is has not been given enough.
    pub(super) fn lacks(&mut self, what: &str) {
        let detail = format!("{what} is not part of what is looked at");
        self.fault.get_or_insert_with(|| Fault::new(ShortfallKind::Malformed, detail));
    }
}
