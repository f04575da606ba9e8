//! Looking up many things in a store of unknown size, with few requests.
//!
//! Each wanted thing can be asked for by itself, or the whole store can be listed, a hundred objects a request. So:
//! up to 20 questions are asked one by one. More begin a listing, which goes on for as long as it has taken fewer
//! requests than the questions that are still open; it then either has come to the end of the store, or the rest is
//! asked for one by one. That takes at most twice the requests of the better of the two ways, whichever that is.
//!
//! What a protocol cannot be asked for by itself (SCIM: an address) is looked for in the first pages of a listing only:
//! in a small store it is found, in a large one a create is refused instead.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use async_trait::async_trait;
use futures::{StreamExt as _, TryStreamExt as _, stream};

use super::{TargetError, TargetErrorKind};
use crate::ids::TargetId;

/// So many questions, about a second's worth, are not worth a listing.
const ONE_BY_ONE: usize = 20;

/// So many pages, half a second's worth, are read for names that only a listing can find.
const PAGES_FOR_UNASKABLE: usize = 10;

/// Requests on their way at once: enough that the round trip does not cap the rate.
pub(super) const IN_FLIGHT: usize = 16;

/// An attribute by which an object can be found: over the API `UniqueAttribute` of GetUserId and GetGroupId, over SCIM
/// what a filter may name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Key {
    UserName,
    Email,
    DisplayName,
    ExternalId,
}

impl Key {
    pub(super) fn path(self) -> &'static str {
        match self {
            Self::UserName => "userName",
            Self::Email => "emails.value",
            Self::DisplayName => "displayName",
            Self::ExternalId => "externalId",
        }
    }
}

/// A name as it is compared: the store's uniqueness is taken to disregard case.
pub(super) type Name = (Key, String);

pub(super) fn name(key: Key, value: &str) -> Name {
    (key, value.to_lowercase())
}

/// What is looked for among the objects of one kind: in a first plan, three names of everybody.
#[derive(Debug)]
pub(super) struct Sought<'a> {
    ids: &'a BTreeSet<TargetId>,
    /// By key and folded name, each once.
    names: Vec<Question<'a>>,
}

#[derive(Debug)]
struct Question<'a> {
    key: Key,
    /// As in [`Name`]; mostly names are spelled so.
    folded: Cow<'a, str>,
    /// The spelling to ask for.
    value: &'a str,
}

impl<'a> Sought<'a> {
    pub(super) fn new(
        ids: &'a BTreeSet<TargetId>,
        names: impl IntoIterator<Item = (Key, &'a BTreeSet<String>)>,
    ) -> Self {
        let spelled = |(key, values): (Key, &'a BTreeSet<String>)| {
            values.iter().filter(|v| !v.is_empty()).map(move |value| Question {
                key,
                folded: folded(value),
                value,
            })
        };
        let mut names: Vec<Question<'a>> = names.into_iter().flat_map(spelled).collect();
        names.sort_by(|a, b| a.name().cmp(&b.name()));
        names.dedup_by(|b, a| a.name() == b.name());
        Self { ids, names }
    }

    pub(super) fn has_name(&self, name: &Name) -> bool {
        self.number(name).is_some()
    }

    /// Of the question.
    fn number(&self, (key, folded): &Name) -> Option<usize> {
        self.names.binary_search_by(|q| q.name().cmp(&(*key, folded))).ok()
    }
}

impl Question<'_> {
    fn name(&self) -> (Key, &str) {
        (self.key, &self.folded)
    }
}

/// Without a copy where nothing is to be folded.
fn folded(value: &str) -> Cow<'_, str> {
    if value.is_ascii() && !value.bytes().any(|b| b.is_ascii_uppercase()) {
        Cow::Borrowed(value)
    } else {
        Cow::Owned(value.to_lowercase())
    }
}

/// Questions that no page of a listing has answered yet.
struct Open<'a> {
    sought: &'a Sought<'a>,
    ids: BTreeSet<&'a TargetId>,
    /// Whether it is answered, for each of the names that are sought.
    answered: Vec<bool>,
    /// How many are not.
    names: usize,
}

impl<'a> Open<'a> {
    fn new(sought: &'a Sought<'a>) -> Self {
        let names = sought.names.len();
        Self { sought, ids: sought.ids.iter().collect(), answered: vec![false; names], names }
    }

    fn len(&self) -> usize {
        self.ids.len() + self.names
    }

    fn no_more_names(&mut self) {
        self.answered.fill(true);
        self.names = 0;
    }

    /// With their numbers.
    fn questions(&self) -> impl Iterator<Item = (usize, &'a Question<'a>)> {
        let questions = self.sought.names.iter().enumerate().zip(&self.answered);
        questions.filter(|(_, answered)| !**answered).map(|(question, _)| question)
    }

    /// Whether the object is one that is looked for; what it answers is no longer open.
    fn takes(&mut self, id: &TargetId, names: &[Name]) -> bool {
        self.ids.remove(id);
        let mut takes = self.sought.ids.contains(id);
        for number in names.iter().filter_map(|n| self.sought.number(n)) {
            takes = true;
            if let Some(answered) = self.answered.get_mut(number)
                && !std::mem::replace(answered, true)
            {
                self.names -= 1;
            }
        }
        takes
    }
}

/// The tokens of one listing.
#[derive(Debug, Default)]
pub(super) struct Pages {
    seen: BTreeSet<String>,
    read: usize,
}

impl Pages {
    /// The token of the page after this one; an error where the service leads in a circle.
    pub(super) fn next(&mut self, token: Option<String>) -> Result<Option<String>, TargetError> {
        self.read += 1;
        let Some(token) = token.filter(|t| !t.is_empty()) else { return Ok(None) };
        if !self.seen.insert(token.clone()) {
            return Err(TargetError::new(
                TargetErrorKind::Unavailable,
                "RepeatedPage",
                "the service gave the same page token twice: the listing would never end",
            ));
        }
        Ok(Some(token))
    }
}

/// One object of a listing: its id, the names it has, and itself.
pub(super) struct Listed<O> {
    pub id: TargetId,
    pub names: Vec<Name>,
    pub object: O,
}

/// One page of a listing.
pub(super) struct Page<O> {
    pub listed: Vec<Listed<O>>,
    pub next: Option<String>,
    /// There is, or may be, more that no further page gives.
    pub cut: bool,
}

/// What an object is found to be by one of its names.
pub(super) struct Hit<O> {
    pub id: TargetId,
    /// Where the answer has it too.
    pub object: Option<O>,
}

/// One kind of object, in the three ways of asking for it.
#[async_trait]
pub(super) trait Shelf: Sync {
    type Object: Send;

    async fn page(&self, token: Option<String>) -> Result<Page<Self::Object>, TargetError>;

    /// Whether [`Self::find`] can be asked for it.
    fn finds(&self, key: Key) -> bool;

    async fn find(&self, key: Key, value: &str) -> Result<Option<Hit<Self::Object>>, TargetError>;

    async fn describe(&self, id: &TargetId) -> Result<Option<Self::Object>, TargetError>;
}

pub(super) async fn gather<S: Shelf>(
    shelf: &S,
    sought: &Sought<'_>,
) -> Result<BTreeMap<TargetId, S::Object>, TargetError> {
    let mut found = BTreeMap::new();
    let mut open = Open::new(sought);
    let mut pages = Pages::default();
    let mut token = None;
    let many = open.len() > ONE_BY_ONE;
    while (many && open.len() > pages.read)
        || (pages.read < PAGES_FOR_UNASKABLE && open.questions().any(|(_, q)| !shelf.finds(q.key)))
    {
        let page = shelf.page(token).await?;
        for listed in page.listed {
            if open.takes(&listed.id, &listed.names) {
                found.insert(listed.id, listed.object);
            }
        }
        token = pages.next(page.next)?;
        if page.cut {
            break;
        }
        if token.is_none() {
            // Nobody has the names that are still open. Ids stay open: a listing that runs while others write
            // may miss an object, and a linked one must not be taken for gone on that account.
            open.no_more_names();
            break;
        }
    }

    let names: Vec<usize> =
        open.questions().filter(|(_, q)| shelf.finds(q.key)).map(|(number, _)| number).collect();
    let by_name: Vec<Hit<S::Object>> = stream::iter(names)
        .map(|number| async move {
            let Some(question) = sought.names.get(number) else { return Ok(None) };
            shelf.find(question.key, question.value).await
        })
        .buffer_unordered(IN_FLIGHT)
        .try_filter_map(|hit| async move { Ok(hit) })
        .try_collect()
        .await?;
    let mut ids: BTreeSet<TargetId> = open.ids.into_iter().cloned().collect();
    for hit in by_name {
        match hit.object {
            Some(object) => _ = found.insert(hit.id, object),
            None => _ = ids.insert(hit.id),
        }
    }
    ids.retain(|id| !found.contains_key(id));
    let described: Vec<_> = stream::iter(ids)
        .map(|id| async move { Ok::<_, TargetError>((shelf.describe(&id).await?, id)) })
        .buffer_unordered(IN_FLIGHT)
        .try_collect()
        .await?;
    found.extend(described.into_iter().filter_map(|(object, id)| Some((id, object?))));
    Ok(found)
}

/// Every object of the store, and whether the listing was cut short. One that a listing misses because others write
/// meanwhile is for the caller to ask for.
pub(super) async fn all<S: Shelf>(shelf: &S) -> Result<(BTreeMap<TargetId, S::Object>, bool), TargetError> {
    let mut found = BTreeMap::new();
    let mut pages = Pages::default();
    let mut token = None;
    loop {
        let page = shelf.page(token).await?;
        found.extend(page.listed.into_iter().map(|listed| (listed.id, listed.object)));
        token = pages.next(page.next)?;
        if page.cut || token.is_none() {
            return Ok((found, page.cut));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

    use super::*;

    /// Objects u0, u1, … named n0, n1, …, a hundred a page.
    #[derive(Default)]
    struct Store {
        size: usize,
        /// Missed by the listing, as when it is written during it.
        hidden: Option<usize>,
        /// Comes with a token after every second full page.
        with_empty_pages: bool,
        /// Ends in a token that was given before.
        circle: bool,
        /// Nothing follows the first page, which does not say so.
        cut: bool,
        /// Names can be looked for, but not asked for.
        nameless: bool,
        listed: AtomicUsize,
        asked: AtomicUsize,
    }

    fn number(id: &str) -> Option<usize> {
        id.get(1..)?.parse().ok()
    }

    #[async_trait]
    impl Shelf for Store {
        type Object = usize;

        async fn page(&self, token: Option<String>) -> Result<Page<usize>, TargetError> {
            let page = self.listed.fetch_add(1, Relaxed);
            if self.with_empty_pages && page % 3 == 2 {
                return Ok(Page { listed: Vec::new(), next: token.map(|t| format!("{t}+")), cut: false });
            }
            let from: usize = token.as_deref().map_or(0, |t| t.trim_end_matches('+').parse().unwrap());
            let until = (from + 100).min(self.size);
            let objects = (from..until).filter(|n| Some(*n) != self.hidden).map(|n| Listed {
                id: TargetId::new(format!("u{n}")),
                names: vec![name(Key::UserName, &format!("N{n}"))],
                object: n,
            });
            let next = match (until < self.size, self.circle) {
                _ if self.cut => None,
                (true, _) => Some(until.to_string()),
                (false, true) => Some("100".to_owned()),
                (false, false) => None,
            };
            Ok(Page { listed: objects.collect(), next, cut: self.cut })
        }

        fn finds(&self, _: Key) -> bool {
            !self.nameless
        }

        async fn find(&self, _: Key, value: &str) -> Result<Option<Hit<usize>>, TargetError> {
            self.asked.fetch_add(1, Relaxed);
            let found = number(value).filter(|n| *n < self.size);
            Ok(found.map(|n| Hit { id: TargetId::new(format!("u{n}")), object: (n % 2 == 0).then_some(n) }))
        }

        async fn describe(&self, id: &TargetId) -> Result<Option<usize>, TargetError> {
            self.asked.fetch_add(1, Relaxed);
            Ok(number(id.as_str()).filter(|n| *n < self.size))
        }
    }

    type Both = (BTreeSet<TargetId>, BTreeSet<String>);

    fn sought(ids: impl IntoIterator<Item = usize>, names: impl IntoIterator<Item = usize>) -> Both {
        let ids = ids.into_iter().map(|n| TargetId::new(format!("u{n}"))).collect();
        (ids, names.into_iter().map(|n| format!("n{n}")).collect())
    }

    async fn numbers(store: &Store, (ids, names): &Both) -> Vec<usize> {
        let sought = Sought::new(ids, [(Key::UserName, names)]);
        let mut found: Vec<usize> = gather(store, &sought).await.unwrap().into_values().collect();
        found.sort_unstable();
        found
    }

    fn requests(store: &Store) -> (usize, usize) {
        (store.listed.load(Relaxed), store.asked.load(Relaxed))
    }

    #[tokio::test]
    async fn few_questions_are_asked_one_by_one() {
        let store = Store { size: 1000, ..Store::default() };
        assert_eq!(numbers(&store, &sought([3, 5000], [7, 3, 6000])).await, [3, 7]);
        // Three names, then u3, u5000 and u7.
        assert_eq!(requests(&store), (0, 6));
        // What the answer to a name has in it is not asked for again.
        let store = Store { size: 1000, ..Store::default() };
        assert_eq!(numbers(&store, &sought([], [8])).await, [8]);
        assert_eq!(requests(&store), (0, 1));
    }

    #[tokio::test]
    async fn a_listing_that_is_cut_short_proves_no_absence() {
        let store = Store { size: 150, cut: true, ..Store::default() };
        assert_eq!(numbers(&store, &sought(100..102, 90..130)).await, (90..130).collect::<Vec<_>>());
        // One page; then thirty names, and for themselves the fifteen odd ones that only gave an id.
        assert_eq!(requests(&store), (1, 30 + 15));
        assert!(all(&store).await.unwrap().1);
    }

    #[tokio::test]
    async fn what_cannot_be_asked_for_is_looked_for_in_a_small_store_only() {
        let store = Store { size: 900, nameless: true, ..Store::default() };
        assert_eq!(numbers(&store, &sought([5], [800, 2000])).await, [5, 800]);
        assert_eq!(requests(&store), (9, 0));
        let store = Store { size: 100_000, nameless: true, ..Store::default() };
        assert_eq!(numbers(&store, &sought([50_000], [800, 2000])).await, [800, 50_000]);
        assert_eq!(requests(&store), (10, 1));
    }

    #[tokio::test]
    async fn many_questions_to_a_small_store_are_one_listing() {
        let store = Store { size: 150, ..Store::default() };
        let found = numbers(&store, &sought([], 100..20_000)).await;
        assert_eq!(found, (100..150).collect::<Vec<_>>());
        assert_eq!(requests(&store), (2, 0));
    }

    #[tokio::test]
    async fn a_large_store_is_not_listed_for_longer_than_it_pays() {
        let store = Store { size: 100_000, ..Store::default() };
        let wanted: Vec<usize> = (90_000..90_060).collect();
        assert_eq!(numbers(&store, &sought(wanted.clone(), [])).await, wanted);
        assert_eq!(requests(&store), (60, 60));
    }

    #[tokio::test]
    async fn spellings_that_fold_to_one_name_are_one_question() {
        let store = Store { size: 100_000, ..Store::default() };
        let names =
            ["n8".to_owned(), "N8".to_owned(), "É1".to_owned(), "é1".to_owned(), String::new()].into();
        let ids = BTreeSet::new();
        let sought = Sought::new(&ids, [(Key::UserName, &names), (Key::Email, &names)]);
        assert_eq!(
            sought.names.iter().map(|q| (q.key, &*q.folded)).collect::<Vec<_>>(),
            [(Key::UserName, "n8"), (Key::UserName, "é1"), (Key::Email, "n8"), (Key::Email, "é1")]
        );
        assert!(sought.has_name(&name(Key::Email, "É1")) && !sought.has_name(&name(Key::DisplayName, "n8")));
        assert_eq!(gather(&store, &sought).await.unwrap().into_values().collect::<Vec<_>>(), [8]);
        assert_eq!(requests(&store), (0, 4));
    }

    #[tokio::test]
    async fn an_id_that_a_listing_missed_is_asked_for() {
        let store = Store { size: 120, hidden: Some(7), ..Store::default() };
        assert_eq!(numbers(&store, &sought(0..60, [])).await, (0..60).collect::<Vec<_>>());
        assert_eq!(requests(&store), (1, 1));
    }

    #[tokio::test]
    async fn empty_pages_do_not_end_a_listing_and_a_circle_does() {
        let store = Store { size: 1000, with_empty_pages: true, ..Store::default() };
        assert_eq!(numbers(&store, &sought([], 900..1100)).await, (900..1000).collect::<Vec<_>>());
        assert_eq!(requests(&store), (14, 0));
        let store = Store { size: 1000, circle: true, ..Store::default() };
        let (ids, names) = sought([], 900..1100);
        let sought = Sought::new(&ids, [(Key::UserName, &names)]);
        assert_eq!(gather(&store, &sought).await.unwrap_err().code, "RepeatedPage");
    }
}
