#![allow(clippy::unwrap_used, reason = "in a test, a panic is the report")]

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use async_trait::async_trait;
use jiff::Timestamp;

use super::*;
use crate::directory::filter::Filter;
use crate::directory::names::tests::facts;
use crate::directory::{Bind, Servers, walk};
use crate::model::{DirectoryKind, Kind, Mirror, ReadRequest, ScopeEntry};

const AD: DirectoryKind = DirectoryKind::ActiveDirectory;

/// A server with these entries, which counts what it is asked.
pub(in crate::directory) struct Server {
    pub facts: Facts,
    entries: Mutex<BTreeMap<u32, RawEntry>>,
    asked: AtomicU64,
    /// Ranges have no end.
    endless: bool,
    /// Searches by GUID bring nothing.
    pub forgets_guids: bool,
}

impl Server {
    pub fn new(entries: impl IntoIterator<Item = (u32, RawEntry)>) -> Self {
        let entries = Mutex::new(entries.into_iter().collect());
        Self { facts: facts(AD), entries, asked: AtomicU64::new(0), endless: false, forgets_guids: false }
    }

    fn put(&self, id: u32, entry: RawEntry) -> RawEntry {
        self.entries.lock().unwrap().insert(id, entry.clone());
        entry
    }

    fn all(&self) -> Vec<RawEntry> {
        self.asked.fetch_add(1, Ordering::Relaxed);
        self.entries.lock().unwrap().values().cloned().collect()
    }

    /// How often since the last time.
    pub fn asked(&self) -> u64 {
        self.asked.swap(0, Ordering::Relaxed)
    }
}

#[async_trait]
impl Reader for Server {
    fn facts(&self) -> &Facts {
        &self.facts
    }

    async fn search(&self, query: &Query<'_>, sink: &mut (dyn FnMut(RawEntry) + Send)) -> Ending {
        let filter = Filter::parse(query.filter).unwrap();
        let forgotten = self.forgets_guids && query.filter.contains("objectGUID");
        let base = |name: &str| name.split(';').next().unwrap().to_owned();
        let asked = |name: &str| query.attributes.contains(&base(name));
        for raw in self.all() {
            if !forgotten && filter.evaluate(&raw, &Dn::parse(raw.dn()).unwrap()) == Some(true) {
                sink(raw.with(|list| list.retain(|(name, _)| asked(name))));
            }
        }
        Ending::default()
    }

    async fn lookup(&self, names: &[Dn], by: Option<&str>, _: &Selection) -> (Vec<RawEntry>, Ending) {
        let by = by.map(|text| Filter::parse(text).unwrap());
        let hit = |raw: &RawEntry| {
            let dn = Dn::parse(raw.dn()).unwrap();
            names.contains(&dn) && by.as_ref().is_none_or(|filter| filter.evaluate(raw, &dn) == Some(true))
        };
        (self.all().into_iter().filter(hit).collect(), Ending::default())
    }

    async fn range(&self, _: Anchor, dn: &Dn, attribute: &str, from: u32) -> Result<RawEntry, Fault> {
        self.asked.fetch_add(1, Ordering::Relaxed);
        let part = (format!("{attribute};range={from}-*"), [person_dn(2)]);
        Ok(RawEntry::new(dn.as_str(), (!self.endless).then_some(part)))
    }

    async fn deleted(&self, _: &[Anchor]) -> (BTreeSet<Anchor>, Ending) {
        (BTreeSet::new(), Ending::default())
    }

    fn traffic(&self) -> Traffic {
        Traffic::default()
    }
}

pub(in crate::directory) fn anchor(id: u32) -> Anchor {
    Anchor::from_u128(id.into())
}

pub(in crate::directory) fn raw(id: u32, dn: &str, attributes: &[(&str, &[&str])]) -> RawEntry {
    let guid = ("objectguid".to_owned(), vec![anchor(id).to_object_guid().to_vec()]);
    RawEntry::new(dn, attributes.iter().copied()).with(|list| list.push(guid))
}

pub(in crate::directory) fn person_dn(id: u32) -> String {
    format!("CN=p{id},DC=corp,DC=example")
}

pub(in crate::directory) fn person(id: u32, dn: &str, member_of: &[&str]) -> RawEntry {
    let name = format!("p{id}");
    raw(
        id,
        dn,
        &[
            ("objectclass", &["user"]),
            ("samaccountname", &[&name]),
            ("useraccountcontrol", &["512"]),
            ("memberof", member_of),
        ],
    )
}

const TEAM: &str = "CN=Team,DC=corp,DC=example";

pub(in crate::directory) fn team(members: &[&str]) -> RawEntry {
    group(100, TEAM, members)
}

pub(in crate::directory) fn group(id: u32, dn: &str, members: &[&str]) -> RawEntry {
    let kind: &[&str] = &["-2147483646"];
    let name = Dn::parse(dn).unwrap().leaf();
    raw(
        id,
        dn,
        &[
            ("objectclass", &["group"]),
            ("samaccountname", &[&name]),
            ("grouptype", kind),
            ("member", members),
        ],
    )
}

pub(in crate::directory) fn request() -> ReadRequest {
    ReadRequest {
        wanted: Wanted {
            entries: vec![ScopeEntry { kind: Kind::Group, name: "Team".to_owned(), write: true }],
            nested: true,
            user_filter: None,
            primary_group: true,
            distribution_groups: false,
            attributes: BTreeSet::new(),
        },
        pins: BTreeMap::new(),
        now: Timestamp::UNIX_EPOCH,
        server: None,
    }
}

fn position(usn: u64) -> Position {
    Position::Usn { invocation: anchor(7), usn }
}

/// Who the snapshot says is in the team.
fn members(snapshot: &Snapshot) -> Vec<String> {
    let team = &snapshot.groups[0].members;
    team.users.iter().map(|ix| snapshot.users[ix as usize].dn.as_str().to_owned()).collect()
}

async fn whole(server: &Server) -> Option<Mirror> {
    let mirroring = Mirroring::anew(server);
    let snapshot = walk::read(&mirroring, &request()).await;
    match mirroring.finish("d".to_owned(), position(10), &snapshot, Timestamp::UNIX_EPOCH)? {
        MirrorChange::Whole(mirror) => Some(mirror),
        other => panic!("{other:?}"),
    }
}

async fn after(server: &Server, mirror: Mirror, feed: Feed) -> Result<Snapshot, String> {
    let kept = walk::of_all(AD, &request().wanted);
    let (mirroring, _) = Mirroring::after(server, mirror, feed, &kept).await?;
    Ok(walk::read(&mirroring, &request()).await)
}

fn changed(changed: impl IntoIterator<Item = RawEntry>) -> Feed {
    Feed { changed: changed.into_iter().collect(), ..Feed::default() }
}

fn two_in_a_team() -> Server {
    let (one, two) = (person_dn(1), person_dn(2));
    Server::new([
        (1, person(1, &one, &[TEAM])),
        (2, person(2, &two, &[TEAM])),
        (3, person(3, &person_dn(3), &[])),
        (100, team(&[&one, &two])),
    ])
}

#[tokio::test]
async fn what_is_held_is_not_asked_again() {
    let server = two_in_a_team();
    let mirror = whole(&server).await.unwrap();
    assert!(server.asked() > 0);
    let snapshot = after(&server, mirror, Feed::default()).await.unwrap();
    assert_eq!(members(&snapshot), [person_dn(1), person_dn(2)]);
    assert_eq!(server.asked(), 0);
}

#[tokio::test]
async fn of_a_new_member_that_one_alone_is_asked_for() {
    let server = two_in_a_team();
    let mirror = whole(&server).await.unwrap();
    let now = server.put(100, team(&[&person_dn(1), &person_dn(3)]));
    server.asked();
    let snapshot = after(&server, mirror, changed([now])).await.unwrap();
    assert_eq!(members(&snapshot), [person_dn(1), person_dn(3)]);
    assert_eq!(server.asked(), 1);
}

#[tokio::test]
async fn renamed_and_deleted_members_are_so_in_groups_of_which_nothing_is_said() {
    let server = two_in_a_team();
    let mirror = whole(&server).await.unwrap();
    let renamed = person(1, "CN=other,DC=corp,DC=example", &[TEAM]);
    server.put(1, renamed.clone());
    let feed = Feed { deleted: [anchor(2)].into(), ..changed([renamed]) };
    server.asked();
    assert_eq!(members(&after(&server, mirror, feed).await.unwrap()), ["CN=other,DC=corp,DC=example"]);
    assert_eq!(server.asked(), 0);
}

/// A member that could not be read is renamed, which nobody reports; somebody else takes its name and is in no group.
#[tokio::test]
async fn whoever_takes_the_name_of_a_member_is_no_member_for_it() {
    let server = two_in_a_team();
    server.put(100, team(&[&person_dn(1), &person_dn(9)]));
    let mirror = whole(&server).await.unwrap();
    server.put(100, team(&[&person_dn(1), "CN=hidden,DC=corp,DC=example"]));
    let taker = server.put(4, person(4, &person_dn(9), &[]));
    let snapshot = after(&server, mirror, changed([taker])).await.unwrap();
    assert_eq!(members(&snapshot), [person_dn(1)]);
}

#[tokio::test]
async fn whoever_was_restored_is_in_the_groups_that_they_say() {
    let server = two_in_a_team();
    server.put(100, team(&[&person_dn(1)]));
    let mirror = whole(&server).await.unwrap();
    server.put(100, team(&[&person_dn(1), &person_dn(3)]));
    let restored = server.put(3, person(3, &person_dn(3), &[TEAM]));
    let snapshot = after(&server, mirror, changed([restored])).await.unwrap();
    assert_eq!(members(&snapshot), [person_dn(1), person_dn(3)]);
}

#[tokio::test]
async fn doubts_are_said_and_nothing_is_read_on() {
    let server = two_in_a_team();
    let mirror = whole(&server).await.unwrap();
    let refused = async |entry: RawEntry| after(&server, mirror.clone(), changed([entry])).await.err();
    // Nobody knows what it was called before, and what lay below it.
    let unit = |created: &str| {
        raw(
            50,
            "OU=Staff,DC=corp,DC=example",
            &[("objectclass", &["organizationalUnit"]), ("usncreated", &[created])],
        )
    };
    assert!(refused(unit("9")).await.unwrap().contains("Staff was changed"));
    assert_eq!(refused(unit("11")).await, None, "it is new");
    let taker = person(4, &person_dn(1), &[]);
    assert!(refused(taker).await.unwrap().contains("the name of another object"));
    let nameless = person(5, &person_dn(5), &[]).with(|list| drop(list.pop()));
    assert!(refused(nameless).await.unwrap().contains("does not show which object"));
    let mut damaged = mirror.clone();
    damaged.entries.insert(anchor(1), [0xff].into());
    assert!(after(&server, damaged, Feed::default()).await.err().unwrap().contains("damaged"));
}

#[tokio::test]
async fn what_did_not_come_whole_is_not_kept() {
    let partly = |server: &Server| {
        let part = ("member;range=0-0".to_owned(), vec![person_dn(1).into_bytes()]);
        server.put(100, team(&[]).with(|list| list.push(part)));
    };
    let server = two_in_a_team();
    partly(&server);
    let mirror = whole(&server).await.unwrap();
    let snapshot = after(&server, mirror, Feed::default()).await.unwrap();
    assert_eq!(members(&snapshot), [person_dn(1), person_dn(2)], "both parts are held");

    let server = Server { endless: true, ..two_in_a_team() };
    partly(&server);
    assert_eq!(whole(&server).await, None);
    // An entry of the scope that is not there: whoever mends it is not to wait.
    assert_eq!(whole(&Server::new([])).await, None);
}

#[test]
fn a_digest_is_of_all_that_decides_what_is_read() {
    let settings = |url: &str, dn: &str| LdapSettings {
        kind: AD,
        servers: Servers::Urls(vec![url.to_owned()]),
        base_dn: Dn::parse("DC=corp,DC=example").unwrap(),
        bind: Bind::Simple { dn: dn.to_owned(), password: crate::secret::SecretSource::Env("X".to_owned()) },
        ca_file: None,
        starttls: false,
        allow_plaintext: false,
        page_size: 1000,
        timeout: std::time::Duration::from_secs(1),
    };
    let of = |url, dn, wanted: &Wanted| digest(&settings(url, dn), wanted);
    let wanted = request().wanted;
    let first = of("ldaps://a", "cn=x", &wanted);
    assert!(first.is_some());
    assert_eq!(first, of("ldaps://a", "cn=x", &wanted));
    assert_ne!(first, of("ldaps://b", "cn=x", &wanted));
    assert_ne!(first, of("ldaps://a", "cn=y", &wanted));
    let with = |change: &dyn Fn(&mut Wanted)| {
        let mut other = wanted.clone();
        change(&mut other);
        of("ldaps://a", "cn=x", &other)
    };
    assert_ne!(first, with(&|w| w.entries[0].name.push('s')));
    assert_ne!(first, with(&|w| w.user_filter = Some("title=*".to_owned())));
    // What changes without a word about the entry.
    for made_up in ["memberof", "msds-principalname", "manager"] {
        assert_eq!(with(&|w| w.attributes = [made_up.to_owned()].into()), None, "{made_up}");
    }
    for filter in [
        "memberOf=CN=x",
        "(!(msDS-User-Account-Control-Computed=16))",
        "cn:1.2.3:=x",
        "memberOf:1.2.840.113556.1.4.1941:=CN=x",
    ] {
        assert_eq!(with(&|w| w.user_filter = Some(filter.to_owned())), None, "{filter}");
    }
}

/// Whether it is news, by the whole mirror. What the entries concerned show alone must agree.
fn is_news(server: &Server, mirror: &Mirror, wanted: &Wanted, feed: &Feed) -> bool {
    let news = News::of(&server.facts, mirror, wanted).are_in(&server.facts, feed);
    assert!(news || !is_plain(server, mirror, wanted, feed));
    news
}

fn is_plain(server: &Server, mirror: &Mirror, wanted: &Wanted, feed: &Feed) -> bool {
    let named: BTreeSet<Anchor> = (feed.changed.iter().filter_map(|raw| entry::anchor(&server.facts, raw)))
        .chain(feed.deleted.iter().copied())
        .collect();
    let held = mirror.entries.iter().filter(|(anchor, _)| named.contains(anchor));
    let held = held.map(|(anchor, content)| (*anchor, content.clone())).collect();
    plainly_in(&server.facts, feed, &held, wanted)
}

#[tokio::test]
async fn what_an_entry_shows_by_itself_is_plain() {
    let server = two_in_a_team();
    let mirror = whole(&server).await.unwrap();
    let is = |feed: &Feed| is_plain(&server, &mirror, &request().wanted, feed);
    let same = || person(1, &person_dn(1), &[TEAM]);
    let disabled = same().with(|list| list[2].1 = vec![b"514".to_vec()]);
    let contact = raw(1, &person_dn(1), &[("objectclass", &["contact"])]);
    for now in [disabled, contact, team(&[]), person(1, "CN=p1,OU=x,DC=corp,DC=example", &[TEAM])] {
        assert!(is(&changed([now.clone()])), "{now:?}");
    }
    assert!(is(&Feed { deleted: [anchor(2)].into(), ..Feed::default() }));
    // Of these the whole has to say.
    assert!(!is(&changed([same(), person(3, &person_dn(3), &[TEAM])])));
    assert!(!is(&Feed { deleted: [anchor(3)].into(), present: Some([anchor(1)].into()), ..Feed::default() }));
}

#[tokio::test]
async fn whoever_gets_the_name_of_a_missing_member_is_news() {
    let server = two_in_a_team();
    server.put(100, team(&[&person_dn(1), &person_dn(9)]));
    let mirror = whole(&server).await.unwrap();
    let mut news = News::of(&server.facts, &mirror, &request().wanted);
    let new = |dn: &str| changed([person(9, dn, &[])]);
    assert!(!news.are_in(&server.facts, &new(&person_dn(8))));
    assert!(news.are_in(&server.facts, &new("cn=P9, dc=CORP,dc=example")));
}

/// A mail contact in a group goes, and a person gets its name: a member, of which no group is reported.
#[tokio::test]
async fn what_is_neither_person_nor_group_and_goes_leaves_its_name_to_others() {
    let server = two_in_a_team();
    let contact = raw(5, &person_dn(5), &[("objectclass", &["contact"]), ("hassubordinates", &["FALSE"])]);
    server.put(5, contact);
    server.put(100, team(&[&person_dn(1), &person_dn(5)]));
    let mirror = whole(&server).await.unwrap();
    let is = |feed: Feed| is_news(&server, &mirror, &request().wanted, &feed);
    assert!(is(Feed { deleted: [anchor(5)].into(), ..Feed::default() }));
    let present = |ids: &[u32]| Some(ids.iter().map(|id| anchor(*id)).collect());
    assert!(is(Feed { present: present(&[1, 100]), ..Feed::default() }));
    assert!(!is(Feed { present: present(&[1, 5, 100]), deleted: [anchor(77)].into(), ..Feed::default() }));
}

#[tokio::test]
async fn only_a_verdict_that_was_given_is_held() {
    let server = two_in_a_team();
    server.put(100, team(&[&person_dn(1), &person_dn(2), &person_dn(3)]));
    let titled = |id: u32, title: &str| {
        let title = ("title".to_owned(), vec![title.as_bytes().to_vec()]);
        person(id, &person_dn(id), &[TEAM]).with(|list| list.push(title))
    };
    server.put(1, titled(1, "chief"));
    let mut request = request();
    // Of a boss this cannot be said.
    let filter = "(!(|(!(|(title=chief)(title=boss)))(&(title=boss)(level:1.2.3:=9))))";
    request.wanted.user_filter = Some(filter.to_owned());
    let read = async |mirror: Option<Mirror>| {
        let kept = walk::of_all(AD, &request.wanted);
        let mirroring = match mirror {
            Some(mirror) => Mirroring::after(&server, mirror, Feed::default(), &kept).await.unwrap().0,
            None => Mirroring::anew(&server),
        };
        let snapshot = walk::read(&mirroring, &request).await;
        let verdicts: Vec<bool> = snapshot.users.iter().map(|u| u.matches_filter).collect();
        let mirror = match mirroring.finish("d".to_owned(), position(10), &snapshot, Timestamp::UNIX_EPOCH) {
            Some(MirrorChange::Whole(mirror)) => mirror,
            other => panic!("{other:?}"),
        };
        (verdicts, snapshot.groups[0].members.completeness.is_complete(), server.asked(), mirror)
    };
    let (verdicts, complete, _, mirror) = read(None).await;
    assert_eq!((verdicts, complete), (vec![true, false, false], true));
    let (verdicts, complete, asked, _) = read(Some(mirror)).await;
    assert_eq!((verdicts, complete, asked), (vec![true, false, false], true, 0), "either verdict is held");
    server.put(2, titled(2, "boss"));
    let (verdicts, complete, _, mirror) = read(None).await;
    assert_eq!((verdicts, complete), (vec![true, false], false));
    let (verdicts, complete, asked, _) = read(Some(mirror)).await;
    assert_eq!((verdicts, complete, asked), (vec![true, false], false, 2), "both ways, and only of the boss");
}

#[tokio::test]
async fn what_the_user_filter_looks_at_counts() {
    let server = two_in_a_team();
    let of = |text: Option<&str>| {
        let sort = text.map(|t| ("employeetype".to_owned(), vec![t.as_bytes().to_vec()]));
        person(1, &person_dn(1), &[TEAM]).with(|list| list.extend(sort))
    };
    server.put(1, of(Some("staff")));
    let mirror = whole(&server).await.unwrap();
    let filter = Some("employeeType=staff".to_owned());
    let wanted = Wanted { user_filter: filter, ..request().wanted };
    assert!(to_judge(AD, &wanted).contains(&"employeetype".to_owned()));
    let is = |wanted: &Wanted, now: Option<&str>| is_news(&server, &mirror, wanted, &changed([of(now)]));
    assert!(!is(&wanted, Some("staff")));
    // Cleared, too: by that, too, somebody is taken out.
    assert!(is(&wanted, Some("guest")) && is(&wanted, None));
    assert!(!is(&request().wanted, None));
    // Where the server makes it up, no filter is of the entry, and nothing is kept.
    assert_eq!(seen_by("memberOf=cn=x"), BTreeSet::new());
}

#[tokio::test]
async fn news_is_what_makes_a_difference() {
    let server = two_in_a_team();
    let mirror = whole(&server).await.unwrap();
    let fresh = || News::of(&server.facts, &mirror, &request().wanted);
    let is = |feed: Feed| is_news(&server, &mirror, &request().wanted, &feed);
    assert!(!is(Feed::default()));
    // Signed in: nothing that is asked for is another.
    let same = || person(1, &person_dn(1), &[TEAM]);
    assert!(!is(changed([same()])));
    let disabled = same().with(|list| list[2].1 = vec![b"514".to_vec()]);
    assert!(is(changed([disabled])));
    assert!(is(changed([person(1, "CN=p1,OU=x,DC=corp,DC=example", &[])])));
    assert!(is(changed([team(&[])])), "groups are not compared");
    // People and groups of whom the scope knows nothing, until one has a name that it asks for.
    assert!(!is(changed([person(3, &person_dn(3), &[])])));
    let of_team = team(&[]);
    let group = of_team.attributes().filter(|(name, _)| *name != "objectguid");
    let namesake = RawEntry::new("CN=elsewhere,DC=corp,DC=example", group)
        .with(|list| list.push(("objectguid".to_owned(), vec![anchor(8).to_object_guid().to_vec()])));
    assert!(is(changed([namesake])));
    // Restored: held, and without the groups that it had, of which nothing is said; or the other way round.
    assert!(is(changed([person(1, &person_dn(1), &[])])));
    assert!(is(changed([person(3, &person_dn(3), &[TEAM])])));
    assert!(!is(changed([person(3, &person_dn(3), &["CN=Other,DC=corp,DC=example"])])));
    assert!(is(Feed { deleted: [anchor(2)].into(), ..Feed::default() }));
    assert!(!is(Feed { deleted: [anchor(3)].into(), ..Feed::default() }));
    let present =
        |ids: &[u32]| Feed { present: Some(ids.iter().map(|id| anchor(*id)).collect()), ..Feed::default() };
    assert!(!is(present(&[1, 2, 100])));
    assert!(is(present(&[1, 100])));
    // What was a person is none any more.
    let contact = raw(1, &person_dn(1), &[("objectclass", &["contact"]), ("hassubordinates", &["FALSE"])]);
    assert!(is(changed([contact])));
    // A container may be another one for all below it: once.
    let mut news = fresh();
    let unit = || raw(50, "OU=Staff,DC=corp,DC=example", &[("objectclass", &["organizationalUnit"])]);
    assert!(news.are_in(&server.facts, &changed([unit()])));
    assert!(!news.are_in(&server.facts, &changed([unit()])));
}
