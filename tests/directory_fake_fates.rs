//! What is concluded of objects that were not found, from servers that answer in part, wrongly or not at all: nothing.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "this is test code, where a panic is the report")]

#[path = "support/fake_ldap.rs"]
mod fake_ldap;

use std::collections::BTreeMap;
use std::time::Duration;

use fake_ldap::{BASE, Behaviour, Entry, FakeLdap, PASSWORD, Seen, Twist, ended};
use idcsync::directory::{Bind, Directory, DirectoryError, LdapDirectory, LdapSettings, Servers};
use idcsync::ids::{Anchor, Dn};
use idcsync::model::{
    AccountState, ChangeCookie, DeletionProof, DirectoryKind, EntryOutcome, Fate, FateRequest, Fates, Kind,
    Pin, ReadRequest, ScopeEntry, ShortfallKind, Wanted,
};
use idcsync::secret::SecretSource;
use ldap3_proto::control::LdapControl;
use ldap3_proto::proto::{
    LdapIntermediateResponse, LdapOp, LdapResultCode, LdapSearchResultEntry, SyncStateValue,
};
use uuid::Uuid;

const TOMBSTONE: Fate = Fate::Deleted(DeletionProof::Tombstone);
const CHANGE_LOG: Fate = Fate::Deleted(DeletionProof::ChangeLog);

/// GUIDs of letters: filters with them stay text.
fn guid(number: usize) -> Vec<u8> {
    format!("guid{number:012}").into_bytes()
}

fn anchor(number: usize) -> Anchor {
    Anchor::from_object_guid(&guid(number)).unwrap()
}

/// A person as both sorts of server would have it.
fn person(number: usize) -> Entry {
    let dn = format!("CN=p{number},OU=People,{BASE}");
    let uuid = anchor(number).to_string();
    let mut entry =
        Entry::new(&dn, &[("objectClass", "user"), ("userAccountControl", "514"), ("entryUUID", &uuid)]);
    entry.add("objectGUID", guid(number));
    entry
}

fn tombstone(number: usize) -> Entry {
    let mut entry = Entry::new(
        &format!("CN=p{number}\\0ADEL:{number},CN=Deleted Objects,{BASE}"),
        &[("objectClass", "user"), ("isDeleted", "TRUE")],
    );
    entry.add("objectGUID", guid(number));
    entry
}

fn domain(others: impl IntoIterator<Item = Entry>) -> Vec<Entry> {
    let head = Entry::new(
        BASE,
        &[("objectClass", "domainDNS"), ("contextCSN", "20261103120000.000000Z#000000#000#000000")],
    );
    std::iter::once(head).chain(others).collect()
}

fn directory(kind: DirectoryKind, urls: &[&str]) -> (LdapDirectory, tempfile::NamedTempFile) {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), PASSWORD).unwrap();
    let settings = LdapSettings {
        kind,
        servers: Servers::Urls(urls.iter().map(|u| (*u).to_owned()).collect()),
        base_dn: Dn::parse(BASE).unwrap(),
        bind: Bind::Simple {
            dn: format!("CN=svc,{BASE}"),
            password: SecretSource::File(file.path().to_owned()),
        },
        ca_file: None,
        starttls: false,
        allow_plaintext: true,
        page_size: 100,
        timeout: Duration::from_millis(400),
    };
    (LdapDirectory::new(settings), file)
}

async fn ask(
    server: &FakeLdap,
    kind: DirectoryKind,
    numbers: impl Iterator<Item = usize>,
    cookie: Option<&[u8]>,
) -> Fates {
    let (directory, _password) = directory(kind, &["ldap://127.0.0.1:1"]);
    let request = FateRequest {
        server: server.url.clone(),
        objects: numbers.map(|n| (anchor(n), Kind::User)).collect(),
        now: "2026-11-03T12:00:00Z".parse().unwrap(),
        cookie: cookie.map(|bytes| ChangeCookie { server: server.url.clone(), bytes: bytes.to_vec() }),
    };
    directory.fates(&request).await.unwrap()
}

async fn of_ad(behaviour: Behaviour, numbers: std::ops::Range<usize>) -> BTreeMap<Anchor, Fate> {
    let server = FakeLdap::start(behaviour).await;
    ask(&server, DirectoryKind::ActiveDirectory, numbers, None).await.of
}

/// The kinds of what could not be read, by number; everything else as it is.
fn unread(fate: &Fate) -> Option<ShortfallKind> {
    match fate {
        Fate::Unread(shortfall) => Some(shortfall.kind),
        _ => None,
    }
}

fn is_live(seen: &Seen) -> bool {
    seen.filter.contains("objectGUID") && !seen.show_deleted
}

// Active Directory

#[tokio::test]
async fn objects_are_asked_for_many_at_once() {
    let all = domain((0..900).map(person).chain((900..950).map(tombstone)));
    let server = FakeLdap::start(Behaviour::of(all)).await;
    let fates = ask(&server, DirectoryKind::ActiveDirectory, 0..1000, None).await;
    assert_eq!(fates.of.len(), 1000);
    let dn = Dn::parse(&format!("CN=p7,OU=People,{BASE}")).unwrap();
    assert_eq!(fates.of[&anchor(7)], Fate::Present { dn, account: AccountState::Disabled });
    assert_eq!(fates.of[&anchor(949)], TOMBSTONE);
    assert_eq!(fates.of[&anchor(950)], Fate::Absent);
    // Ten batches of live objects, one of deleted ones.
    assert_eq!(server.reads().len(), 11);
    assert_eq!(fates.requests, server.log().len() as u64);
}

#[tokio::test]
async fn a_search_that_was_cut_short_says_nothing_of_what_it_did_not_show() {
    for (twist, kind, shown) in [
        (Twist::Code { after: 2, code: LdapResultCode::SizeLimitExceeded }, ShortfallKind::Limit, 2),
        (Twist::Code { after: 2, code: LdapResultCode::TimeLimitExceeded }, ShortfallKind::Limit, 2),
        (Twist::Code { after: 2, code: LdapResultCode::Busy }, ShortfallKind::ResultCode(51), 2),
        (Twist::Cut { after: 2 }, ShortfallKind::ConnectionLost, 2),
        (Twist::Silent, ShortfallKind::Timeout, 0),
        (Twist::Loop, ShortfallKind::Malformed, 3),
    ] {
        // Of live objects: what came is there, of the rest nothing is known.
        let all = domain([person(0), person(1), person(2), tombstone(3)]);
        let told = twist.clone();
        let behaviour = Behaviour::of(all).with(move |seen| is_live(seen).then(|| told.clone()));
        let fates = of_ad(behaviour, 0..5).await;
        for (n, fate) in fates.values().enumerate() {
            assert_eq!(matches!(fate, Fate::Present { .. }), n < shown, "{twist:?}: {fates:?}");
            assert_eq!(unread(fate), (n >= shown).then_some(kind), "{twist:?}: {fates:?}");
        }

        // Of deleted ones: what came was deleted.
        let all = domain([tombstone(0), tombstone(1), tombstone(2), person(3)]);
        let told = twist.clone();
        let behaviour = Behaviour::of(all).with(move |seen| seen.show_deleted.then(|| told.clone()));
        let mut fates = of_ad(behaviour, 0..5).await;
        assert!(matches!(fates.remove(&anchor(3)), Some(Fate::Present { .. })));
        for (n, fate) in fates.values().enumerate() {
            assert_eq!(*fate == TOMBSTONE, n < shown, "{twist:?}: {fates:?}");
            assert_eq!(unread(fate), (n >= shown).then_some(kind), "{twist:?}: {fates:?}");
        }
    }
}

#[tokio::test]
async fn a_later_batch_that_fails_leaves_the_first_as_it_is() {
    let all = domain((0..100).map(person));
    let busy = Twist::Code { after: 0, code: LdapResultCode::Busy };
    let behaviour = Behaviour::of(all)
        .with(move |seen| (is_live(seen) && seen.filter.contains("guid000000000150")).then(|| busy.clone()));
    let fates = of_ad(behaviour, 0..200).await;
    assert!((0..100).all(|n| matches!(fates[&anchor(n)], Fate::Present { .. })));
    assert!((100..200).all(|n| unread(&fates[&anchor(n)]) == Some(ShortfallKind::ResultCode(51))));
}

#[tokio::test]
async fn what_may_lie_behind_a_referral_is_not_absent() {
    let all = domain([person(0), tombstone(1)]);
    let child = || Twist::Refer("ldap://child.corp.example/DC=child,DC=corp,DC=example".to_owned());
    for deleted in [false, true] {
        let behaviour =
            Behaviour::of(all.clone()).with(move |seen| (seen.show_deleted == deleted).then(child));
        let fates = of_ad(behaviour, 0..3).await;
        assert!(matches!(fates[&anchor(0)], Fate::Present { .. }));
        // The tombstone speaks for itself.
        assert_eq!(fates[&anchor(1)], TOMBSTONE);
        assert_eq!(unread(&fates[&anchor(2)]), Some(ShortfallKind::Referral));
    }
    // Those of one's own forest hide nobody.
    let behaviour = Behaviour::of(all)
        .with(|_| Some(Twist::Refer("ldap://corp.example/CN=Configuration,DC=corp,DC=example".to_owned())));
    assert_eq!(of_ad(behaviour, 0..3).await[&anchor(2)], Fate::Absent);
}

#[tokio::test]
async fn a_server_that_does_not_keep_to_the_question_proves_nothing() {
    // Deleted objects are asked for, and live ones come too.
    let all = domain([person(0), person(1), tombstone(2)]);
    let behaviour = Behaviour::of(all).with(|seen| {
        if seen.show_deleted { Some(Twist::Everything) } else { is_live(seen).then_some(Twist::Nothing) }
    });
    let fates = of_ad(behaviour, 0..3).await;
    assert_eq!((&fates[&anchor(0)], &fates[&anchor(2)]), (&Fate::Absent, &TOMBSTONE));
    // Something comes that nobody asked for, or that does not say what it is.
    let mut blind = person(0);
    blind.attributes.retain(|(name, _)| name != "objectGUID");
    let behaviour =
        Behaviour::of(domain([blind, person(1)])).with(|seen| is_live(seen).then_some(Twist::Everything));
    let fates = of_ad(behaviour, 0..2).await;
    assert_eq!(unread(&fates[&anchor(0)]), Some(ShortfallKind::AttributeUnreadable));
    assert!(matches!(fates[&anchor(1)], Fate::Present { .. }));
}

#[tokio::test]
async fn a_pinned_entry_is_deleted_only_if_its_tombstone_is_shown() {
    let wanted = ReadRequest {
        wanted: Wanted {
            entries: vec![ScopeEntry { kind: Kind::Group, name: "team".to_owned(), write: true }],
            nested: true,
            user_filter: None,
            primary_group: false,
            distribution_groups: false,
            attributes: [].into(),
        },
        pins: [((Kind::Group, "team".to_owned()), Pin { anchor: anchor(1), name: "team".to_owned() })].into(),
        now: "2026-11-03T12:00:00Z".parse().unwrap(),
        server: None,
    };
    for (twist, deleted) in [
        (None, true),
        (Some(Twist::Code { after: 0, code: LdapResultCode::Busy }), false),
        (Some(Twist::Code { after: 0, code: LdapResultCode::SizeLimitExceeded }), false),
        (Some(Twist::Nothing), false),
    ] {
        let behaviour = Behaviour::of(domain([person(0), tombstone(1)]))
            .with(move |seen| twist.clone().filter(|_| seen.show_deleted));
        let server = FakeLdap::start(behaviour).await;
        let (directory, _password) = directory(DirectoryKind::ActiveDirectory, &[&server.url]);
        let snapshot = directory.read(&wanted).await.unwrap();
        match &snapshot.entries[0].outcome {
            EntryOutcome::Deleted { anchor: of, .. } => assert!(deleted && *of == anchor(1)),
            EntryOutcome::NotFound => assert!(!deleted),
            other => panic!("{other:?}"),
        }
    }
    // The name could not be looked up: it may be on another object by now.
    let behaviour = Behaviour::of(domain([tombstone(1)])).with(|seen| {
        seen.filter.contains("sAMAccountName").then_some(Twist::Code { after: 0, code: LdapResultCode::Busy })
    });
    let server = FakeLdap::start(behaviour).await;
    let (directory, _password) = directory(DirectoryKind::ActiveDirectory, &[&server.url]);
    let snapshot = directory.read(&wanted).await.unwrap();
    assert!(matches!(&snapshot.entries[0].outcome, EntryOutcome::Unread(_)));
}

#[tokio::test]
async fn only_the_server_that_was_named_is_asked() {
    let (one, other) =
        (FakeLdap::start(Behaviour::of(domain([]))).await, FakeLdap::start(Behaviour::of(domain([]))).await);
    let (directory, _password) = directory(DirectoryKind::ActiveDirectory, &[&one.url, &other.url]);
    let mut request = FateRequest {
        server: other.url.clone(),
        objects: [(anchor(0), Kind::User)].into(),
        now: "2026-11-03T12:00:00Z".parse().unwrap(),
        cookie: None,
    };
    assert_eq!(directory.fates(&request).await.unwrap().of[&anchor(0)], Fate::Absent);
    assert!(one.log().is_empty() && !other.log().is_empty());
    request.server = "ldap://127.0.0.1:1".to_owned();
    assert!(matches!(directory.fates(&request).await, Err(DirectoryError::NoServer(_))));
    assert!(one.log().is_empty());
}

// A change log

fn uuids(numbers: &[usize]) -> Vec<Uuid> {
    numbers.iter().map(|n| Uuid::from_bytes(*anchor(*n).as_bytes())).collect()
}

fn set(refresh_deletes: bool, numbers: &[usize]) -> (LdapOp, Vec<LdapControl>) {
    let set =
        LdapIntermediateResponse::SyncInfoIdSet { cookie: None, refresh_deletes, syncuuids: uuids(numbers) };
    (LdapOp::IntermediateResponse(set), vec![])
}

fn entry(number: usize, state: SyncStateValue) -> (LdapOp, Vec<LdapControl>) {
    let dn = format!("CN=p{number},OU=People,{BASE}");
    let control = LdapControl::SyncState { state, entry_uuid: uuids(&[number])[0], cookie: None };
    (LdapOp::SearchResultEntry(LdapSearchResultEntry { dn, attributes: vec![] }), vec![control])
}

fn synced(cookie: Option<&[u8]>) -> (LdapOp, Vec<LdapControl>) {
    let control = LdapControl::SyncDone { cookie: cookie.map(<[u8]>::to_vec), refresh_deletes: true };
    (ended(LdapResultCode::Success), vec![control])
}

const FRESH: &[u8] = b"rid=000,csn=20261103120000.000000Z#000000#000#000000";

fn logging(entries: Vec<Entry>, say: impl Fn() -> Twist + Send + Sync + 'static) -> Behaviour {
    let mut behaviour = Behaviour::of(domain(entries)).with(move |seen| seen.sync.as_ref().map(|_| say()));
    (behaviour.sync, behaviour.ad) = (true, false);
    behaviour
}

async fn of_log(say: Vec<(LdapOp, Vec<LdapControl>)>) -> (FakeLdap, Fates) {
    let server = FakeLdap::start(logging(vec![person(0), person(1)], move || Twist::Say(say.clone()))).await;
    let fates = ask(&server, DirectoryKind::Ldap, 0..6, Some(b"before")).await;
    (server, fates)
}

fn proven(fates: &Fates) -> Vec<usize> {
    (0..6).filter(|n| fates.of[&anchor(*n)] == CHANGE_LOG).collect()
}

#[tokio::test]
async fn only_explicit_deletes_of_what_is_not_there_are_proof() {
    let say = vec![
        set(true, &[1, 2]),
        entry(3, SyncStateValue::Delete),
        entry(0, SyncStateValue::Modify),
        entry(4, SyncStateValue::Add),
        set(true, &[9]),
        synced(Some(b"after")),
    ];
    let (server, fates) = of_log(say).await;
    assert_eq!(proven(&fates), [2, 3]);
    // 1 is there, whatever the log says; nobody asked for 9.
    assert_eq!(fates.reported, [2, 3, 9].map(anchor).into());
    assert_eq!(fates.of[&anchor(5)], Fate::Absent);
    assert_eq!(fates.cookie, Some(ChangeCookie { server: server.url.clone(), bytes: b"after".to_vec() }));
    let asked: Vec<Vec<u8>> = server.log().into_iter().filter_map(|s| s.sync).collect();
    assert_eq!(asked, [b"before".to_vec()]);
    // Nothing has changed: the cookie stays.
    let (_, fates) = of_log(vec![synced(None)]).await;
    assert_eq!(fates.cookie.unwrap().bytes, b"before");
}

#[tokio::test]
async fn lists_of_what_is_there_and_failures_prove_nothing_and_begin_anew() {
    let refused = (ended(LdapResultCode::EsyncRefreshRequired), vec![]);
    let raw = |value: &[u8]| {
        let name = Some("1.3.6.1.4.1.4203.1.9.1.4".to_owned());
        let raw = LdapIntermediateResponse::Raw { name, value: Some(value.to_vec()) };
        (LdapOp::IntermediateResponse(raw), vec![])
    };
    let without_state =
        LdapOp::SearchResultEntry(LdapSearchResultEntry { dn: BASE.to_owned(), attributes: vec![] });
    for say in [
        vec![set(false, &[0, 1]), synced(Some(b"after"))],
        vec![set(true, &[2]), refused],
        vec![set(true, &[2]), (ended(LdapResultCode::SizeLimitExceeded), vec![])],
        vec![set(true, &[2]), (ended(LdapResultCode::UnwillingToPerform), vec![])],
        // Without the control that ends it, it was an ordinary search.
        vec![set(true, &[2]), (ended(LdapResultCode::Success), vec![])],
        vec![set(true, &[2]), (without_state, vec![]), synced(Some(b"after"))],
        vec![set(true, &[2]), raw(b"\xa3\x02\x31"), synced(Some(b"after"))],
    ] {
        let told = format!("{say:?}");
        let (_, fates) = of_log(say).await;
        assert_eq!(proven(&fates), [0_usize; 0], "{told}");
        assert!(fates.reported.is_empty(), "{told}");
        assert_eq!(fates.cookie.unwrap().bytes, FRESH, "{told}");
        assert_eq!(fates.of[&anchor(2)], Fate::Absent);
    }
    let (_, fates) = of_log(vec![set(true, &[2]), (ended(LdapResultCode::Busy), vec![])]).await;
    assert!(fates.reported.is_empty());
    assert_eq!(fates.cookie.unwrap().bytes, b"before");
}

#[tokio::test]
async fn a_log_that_hangs_costs_one_wait_and_nothing_else() {
    for twist in [Twist::Silent, Twist::Cut { after: 0 }] {
        let server = FakeLdap::start(logging(vec![person(0)], move || twist.clone())).await;
        let fates = ask(&server, DirectoryKind::Ldap, 0..2, Some(b"before")).await;
        assert!(matches!(fates.of[&anchor(0)], Fate::Present { .. }));
        assert_eq!(fates.of[&anchor(1)], Fate::Absent);
        assert_eq!(fates.cookie.unwrap().bytes, b"before");
        assert_eq!(fates.requests, server.log().len() as u64);
    }
}

#[tokio::test]
async fn a_reported_delete_that_could_not_be_looked_up_is_not_proven() {
    let mut behaviour = Behaviour::of(domain([person(0)])).with(|seen| {
        if seen.sync.is_some() {
            return Some(Twist::Say(vec![set(true, &[1]), synced(Some(b"after"))]));
        }
        seen.filter.contains("entryUUID").then_some(Twist::Code { after: 1, code: LdapResultCode::Busy })
    });
    (behaviour.sync, behaviour.ad) = (true, false);
    let server = FakeLdap::start(behaviour).await;
    let fates = ask(&server, DirectoryKind::Ldap, 0..2, Some(b"before")).await;
    assert_eq!(unread(&fates.of[&anchor(1)]), Some(ShortfallKind::ResultCode(51)));
    assert_eq!(fates.reported, [anchor(1)].into());
}

#[tokio::test]
async fn the_log_is_never_asked_of_active_directory() {
    for kind in [DirectoryKind::ActiveDirectory, DirectoryKind::Ldap] {
        let mut behaviour = logging(vec![person(0)], || Twist::Silent);
        behaviour.ad = true;
        let server = FakeLdap::start(behaviour).await;
        let fates = ask(&server, kind, 0..1, Some(b"before")).await;
        assert_eq!(fates.cookie, None);
        assert!(server.log().iter().all(|seen| seen.sync.is_none()));
    }
}

#[tokio::test]
async fn tombstones_of_389_are_asked_for_by_their_class() {
    let mut head = domain([]).remove(0);
    head.add("nsUniqueId", b"11111111-11111111-11111111-11111111".to_vec());
    let named = |number: usize, class: &str| {
        let hex = anchor(number).to_string().replace('-', "");
        let id = format!("{}-{}-{}-{}", &hex[..8], &hex[8..16], &hex[16..24], &hex[24..]);
        Entry::new(&format!("uid=p{number},{BASE}"), &[("objectClass", class), ("nsUniqueId", &id)])
    };
    let mut behaviour = Behaviour::of(vec![head, named(0, "person"), named(1, "nsTombstone")]);
    (behaviour.sync, behaviour.ad) = (true, false);
    let server = FakeLdap::start(behaviour).await;
    let fates = ask(&server, DirectoryKind::Ldap, 0..3, None).await;
    assert!(matches!(fates.of[&anchor(0)], Fate::Present { .. }));
    assert_eq!((&fates.of[&anchor(1)], &fates.of[&anchor(2)]), (&TOMBSTONE, &Fate::Absent));
    assert_eq!(fates.cookie, None);
}
