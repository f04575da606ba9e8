//! Whole searches: page after page until the server says that it was the last one.

use std::collections::{BTreeSet, HashSet};
use std::hash::BuildHasher;

use async_trait::async_trait;
use foldhash::fast::RandomState;
use futures::future::join;
use ldap3::Scope;
use tokio::sync::Mutex;

use super::facts::{Commits, Learned};
use super::session::{Answer, Session};
use super::wire::Ask;
use crate::directory::names;
use crate::directory::range;
use crate::directory::reader::{Ending, Facts, Fault, Query, RawEntry, Reader, Referral, Selection, Traffic};
use crate::ids::{Anchor, Dn};
use crate::model::{DirectoryKind, ShortfallKind};

/// A server may send pages without entries (it filters them after cutting pages), but not for ever.
const MOST_EMPTY_PAGES: u32 = 200;
/// Pages that hold only what was seen before.
const MOST_REPEATED_PAGES: u32 = 3;
const MOST_PAGES: u64 = 200_000;
const MOST_ENTRIES: usize = 5_000_000;

pub(in crate::directory) struct LdapReader {
    pub(super) session: Session,
    pub(super) facts: Facts,
    /// The server has the paging control.
    pages: bool,
    /// The server offers a change log (RFC 4533).
    pub(super) change_log: bool,
    /// How far the server's changes went when the connection was made.
    pub(super) commits: Option<Commits>,
    /// Entries that came while connecting do not count as read.
    before: u64,
    /// slapd keeps one paged search for each connection: a second one would end the first.
    turn: Mutex<()>,
}

impl LdapReader {
    pub(super) fn new(session: Session, learned: Learned) -> Self {
        let before = session.traffic().received;
        let Learned { facts, paging: pages, change_log, commits, .. } = learned;
        Self { session, facts, pages, change_log, commits, before, turn: Mutex::new(()) }
    }

    /// Nothing can be asked on this connection any more.
    pub(super) fn is_lost(&self) -> bool {
        self.session.lost().is_some()
    }

    /// The connection failed before a single entry came: nothing ties the read to this server.
    pub(super) fn lost_before_anything_came(&self) -> Option<Fault> {
        let nothing = self.session.traffic().received == self.before;
        self.session.lost().filter(|_| nothing).cloned()
    }

    pub(in crate::directory) fn has_paging(&self) -> bool {
        self.pages
    }

    pub(in crate::directory) async fn close(&self) {
        self.session.close().await;
    }

    fn referrals(&self, answer: &Answer) -> Vec<Referral> {
        answer.references.iter().map(|url| Referral::of(url, &self.facts.base)).collect()
    }

    /// Tells the server that no further page is wanted (RFC 2696 section 3).
    async fn give_up(&self, ask: Ask<'_>, cookie: Vec<u8>) {
        let ask = Ask { page: Some((0, cookie)), ..ask };
        // Some servers answer with an error; either way the search is over.
        let _ = self.session.ask(ask, &mut |_| {}).await;
    }

    /// Page after page, given up after `most` of them.
    pub(super) async fn paged(
        &self,
        request: Ask<'_>,
        most: Option<u64>,
        sink: &mut (dyn FnMut(RawEntry) + Send),
    ) -> Ending {
        let _turn = self.turn.lock().await;
        let mut last = Vec::new();
        let ending = self.pages(request, most, &mut last, sink).await;
        last.into_iter().for_each(sink);
        ending
    }

    /// Hands over all but the `last` page: while a page is taken in, the server is at work on the next one.
    async fn pages(
        &self,
        request: Ask<'_>,
        most: Option<u64>,
        last: &mut Vec<RawEntry>,
        sink: &mut (dyn FnMut(RawEntry) + Send),
    ) -> Ending {
        let mut ending = Ending::default();
        let mut seen = Seen::default();
        let mut known = BTreeSet::new();
        let size = i32::try_from(self.facts.page).unwrap_or(i32::MAX);
        let mut cookie = self.pages.then(Vec::new);
        let mut pages = 0;
        loop {
            pages += 1;
            let ask = Ask { page: cookie.map(|cookie| (size, cookie)), ..request.clone() };
            let answer = if ask.page.is_none() {
                // All that there is, in one answer: it is not to pile up.
                self.session.ask(ask, sink).await
            } else {
                let before = std::mem::take(last);
                let mut note = |entry: RawEntry| {
                    seen.note(entry.dn());
                    last.push(entry);
                };
                let asked = self.session.ask(ask, &mut note);
                // In this order: what is polled first is under way by the time that the other is.
                join(asked, async { before.into_iter().for_each(&mut *sink) }).await.0
            };
            let answer = match answer {
                Ok(answer) => answer,
                Err(fault) => {
                    ending.fault = Some(fault);
                    return ending;
                }
            };
            let referrals = self.referrals(&answer);
            ending
                .referrals
                .extend(referrals.into_iter().filter(|r| known.insert((r.url.clone(), r.base.clone()))));
            ending.fault = answer.fault();
            // A server that does not page has sent everything.
            let next = answer.cookie.filter(|next| !next.is_empty());
            let (Some(next), None) = (next, &ending.fault) else { return ending };
            ending.fault = seen.end_page().or_else(|| {
                let endless = || format!("the server did not come to an end after {pages} pages");
                let endless_in_all = pages >= MOST_PAGES || seen.names.len() > MOST_ENTRIES;
                endless_in_all.then(|| Fault::new(ShortfallKind::Malformed, endless()))
            });
            if ending.fault.is_some() {
                return ending;
            }
            if most.is_some_and(|most| pages >= most) {
                self.give_up(request, next).await;
                ending.given_up = true;
                return ending;
            }
            cookie = Some(next);
        }
    }
}

#[async_trait]
impl Reader for LdapReader {
    fn facts(&self) -> &Facts {
        &self.facts
    }

    async fn search(&self, query: &Query<'_>, sink: &mut (dyn FnMut(RawEntry) + Send)) -> Ending {
        let ask = Ask {
            base: self.facts.base.as_str(),
            scope: Scope::Subtree,
            filter: query.filter,
            attributes: query.attributes,
            page: None,
            controls: &[],
        };
        self.paged(ask, query.pages, sink).await
    }

    async fn lookup(
        &self,
        names: &[Dn],
        filter: Option<&str>,
        attributes: &Selection,
    ) -> (Vec<RawEntry>, Ending) {
        let each: Vec<String> = names.iter().map(|dn| names::by_dn(self.facts.kind, dn)).collect();
        let mut wanted = names::any(&each);
        if let Some(filter) = filter {
            wanted = format!("(&{wanted}{filter})");
        }
        // Not paged: it is smaller than a page, and several of them may be under way at once.
        let ask = Ask {
            base: self.facts.base.as_str(),
            scope: Scope::Subtree,
            filter: &wanted,
            attributes,
            page: None,
            controls: &[],
        };
        let mut entries = Vec::new();
        let mut ending = Ending::default();
        match self.session.ask(ask, &mut |entry| entries.push(entry)).await {
            Ok(answer) => {
                ending.referrals = self.referrals(&answer);
                ending.fault = answer.fault();
            }
            Err(fault) => ending.fault = Some(fault),
        }
        (entries, ending)
    }

    async fn range(&self, anchor: Anchor, dn: &Dn, attribute: &str, from: u32) -> Result<RawEntry, Fault> {
        // By GUID: a rename in between does no harm.
        let base = match self.facts.kind {
            DirectoryKind::ActiveDirectory => format!("<GUID={anchor}>"),
            DirectoryKind::Ldap => dn.as_str().to_owned(),
        };
        let attributes: Selection = [range::request(attribute, from)].into();
        let (entries, answer) = self.session.collect(Ask::entry(&base, &attributes)).await?;
        match answer.fault() {
            Some(fault) => Err(fault),
            None => entries.into_iter().next().ok_or_else(|| {
                Fault::new(ShortfallKind::Range, format!("{dn} was gone before all of its {attribute} came"))
            }),
        }
    }

    async fn deleted(&self, anchors: &[Anchor]) -> (BTreeSet<Anchor>, Ending) {
        self.tombstones(anchors).await
    }

    fn traffic(&self) -> Traffic {
        self.session.traffic()
    }
}

/// Tells pages that bring something from those that do not. The cookie cannot: 389 Directory Server sends the same
/// one with every page.
#[derive(Default)]
struct Seen {
    hasher: RandomState,
    names: HashSet<u64>,
    on_page: u32,
    fresh: u32,
    empty_pages: u32,
    repeated_pages: u32,
}

impl Seen {
    fn note(&mut self, dn: &str) {
        self.on_page += 1;
        if self.names.insert(self.hasher.hash_one(dn)) {
            self.fresh += 1;
        }
    }

    fn end_page(&mut self) -> Option<Fault> {
        let counter = match (self.on_page, self.fresh) {
            (0, _) => &mut self.empty_pages,
            (_, 0) => &mut self.repeated_pages,
            _ => {
                (self.empty_pages, self.repeated_pages) = (0, 0);
                (self.on_page, self.fresh) = (0, 0);
                return None;
            }
        };
        *counter += 1;
        (self.on_page, self.fresh) = (0, 0);
        (self.empty_pages > MOST_EMPTY_PAGES || self.repeated_pages >= MOST_REPEATED_PAGES)
            .then(|| Fault::new(ShortfallKind::Malformed, "the server sends the same page over and over"))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use ldap3::asn1::{PL, StructureTag, TagClass};
    use ldap3::controls::{Control, RawControl};
    use ldap3::{LdapResult, ResultEntry};

    use super::super::wire::{Broken, Take, Wire};
    use super::*;

    /// Gives one page after the other, of entries that are told by a letter; without a cookie the connection is lost.
    struct Pages(Mutex<VecDeque<(&'static str, Option<&'static str>)>>);

    fn octets(id: u64, payload: PL) -> StructureTag {
        StructureTag { class: TagClass::Universal, id, payload }
    }

    #[async_trait]
    impl Wire for Pages {
        async fn search(&self, _: &Ask<'_>, take: Take<'_>) -> Result<Option<LdapResult>, Broken> {
            let (letters, cookie) = self.0.lock().await.pop_front().unwrap();
            for letter in letters.chars() {
                let name = octets(4, PL::P(format!("CN={letter}").into_bytes()));
                let body = vec![name, octets(16, PL::C(Vec::new()))];
                let entry = StructureTag { class: TagClass::Application, id: 4, payload: PL::C(body) };
                assert!(take(ResultEntry::new(entry)));
            }
            let Some(cookie) = cookie else { return Err(Broken::Lost("cut".to_owned())) };
            let length = u8::try_from(cookie.len()).unwrap();
            let value = [&[0x30, 5 + length, 2, 1, 0, 4, length], cookie.as_bytes()].concat();
            let paging =
                RawControl { ctype: "1.2.840.113556.1.4.319".to_owned(), crit: false, val: Some(value) };
            let (matched, text) = (String::new(), String::new());
            let (refs, ctrls) = (Vec::new(), vec![Control(None, paging)]);
            Ok(Some(LdapResult { rc: 0, matched, text, refs, ctrls }))
        }

        async fn close(&self) {}
    }

    /// What is handed on, in its order, and the fault.
    async fn read(pages: impl IntoIterator<Item = (&'static str, Option<&'static str>)>) -> (String, bool) {
        let facts = Facts {
            kind: DirectoryKind::Ldap,
            base: Dn::parse("DC=x").unwrap(),
            context: Dn::parse("DC=x").unwrap(),
            server: String::new(),
            binding: String::new(),
            domain: String::new(),
            current_time: None,
            clock_ahead: None,
            domain_names: BTreeSet::new(),
            ns_unique_id: false,
            apart: Vec::new(),
            sids: false,
            page: 3,
            batch: 10,
            partial: None,
        };
        let (host, vendor, is_ad, change_log, commits) = (None, None, false, false, None);
        let learned = Learned { facts, paging: true, host, vendor, is_ad, change_log, commits };
        let wire = Pages(Mutex::new(pages.into_iter().collect()));
        let reader = LdapReader::new(Session::new(Box::new(wire)), learned);
        let attributes = Selection::default();
        let query = Query { filter: "(cn=*)", attributes: &attributes, pages: None, verdicts: None };
        let mut seen = String::new();
        let ending = reader.search(&query, &mut |entry| seen.push_str(&entry.dn()[3..])).await;
        (seen, ending.fault.is_some())
    }

    #[tokio::test]
    async fn entries_are_handed_on_once_and_in_order_however_the_search_ends() {
        assert_eq!(read([("abc", Some("1")), ("def", Some("2")), ("g", Some(""))]).await.0, "abcdefg");
        assert_eq!(
            read([("abc", Some("1")), ("", Some("2")), ("de", Some(""))]).await,
            ("abcde".into(), false)
        );
        // The half page counts, and so does the one before it.
        assert_eq!(read([("abc", Some("1")), ("de", None)]).await, ("abcde".into(), true));
        assert_eq!(read([("ab", None)]).await, ("ab".into(), true));
        assert_eq!(read([("abc", Some("1")), ("", None)]).await, ("abc".into(), true));
    }

    #[test]
    fn repeated_and_empty_pages_come_to_an_end() {
        let mut seen = Seen::default();
        seen.note("cn=a");
        assert_eq!(seen.end_page(), None);
        let mut pages = 0;
        while seen.end_page().is_none() {
            seen.note("cn=a");
            pages += 1;
            assert!(pages < 10);
        }
        let mut seen = Seen::default();
        for _ in 0..MOST_EMPTY_PAGES {
            assert_eq!(seen.end_page(), None);
        }
        assert!(seen.end_page().is_some());
    }
}
