//! What real servers say of objects that were deleted, moved, hidden or restored: only a deletion is a deletion.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "this is test code, where a panic is the report")]

mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use idcsync::directory::{
    self, Bind, Directory, DirectoryError, DirectorySettings, LdapDirectory, LdapSettings, Servers,
};
use idcsync::ids::{Anchor, Dn};
use idcsync::model::{
    AccountState, ChangeCookie, CheckState, Code, DeletionProof, DirectoryKind, EntryOutcome, Fate,
    FateRequest, Fates, Kind, Known, Pin, ReadRequest, ScopeEntry, Wanted,
};
use idcsync::secret::SecretSource;
use support::company::Company;
use support::ldap::Client;
use support::samba::Samba;
use support::slapd::{Options, Slapd};

const BASE: &str = "dc=corp,dc=example,dc=com";

/// A directory to ask, with the file that its password is in.
struct Bench {
    directory: LdapDirectory,
    settings: LdapSettings,
    url: String,
    _password: tempfile::NamedTempFile,
}

impl Bench {
    fn new(kind: DirectoryKind, client: &Client, base: &str) -> Self {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), &client.password).unwrap();
        let settings = LdapSettings {
            kind,
            servers: Servers::Urls(vec!["ldaps://127.0.0.1:1".to_owned(), client.url.clone()]),
            base_dn: Dn::parse(base).unwrap(),
            bind: Bind::Simple {
                dn: client.bind_dn.clone(),
                password: SecretSource::File(file.path().to_owned()),
            },
            ca_file: Some(client.ca.clone()),
            starttls: client.starttls,
            allow_plaintext: false,
            page_size: 500,
            timeout: Duration::from_secs(30),
        };
        let directory = LdapDirectory::new(settings.clone());
        Self { directory, settings, url: client.url.clone(), _password: file }
    }

    async fn fates(&self, anchors: &[Anchor], cookie: Option<ChangeCookie>) -> Fates {
        let request = FateRequest {
            server: self.url.clone(),
            objects: anchors.iter().map(|a| (*a, Kind::User)).collect(),
            now: "2026-11-03T12:00:00Z".parse().unwrap(),
            cookie,
        };
        self.directory.fates(&request).await.unwrap()
    }

    async fn fate(&self, anchor: Anchor) -> Fate {
        self.fates(&[anchor], None).await.of.remove(&anchor).unwrap()
    }

    async fn check(&self, name: &str) -> (CheckState, String) {
        let wanted = request(&[]).wanted;
        let settings = DirectorySettings::Ldap(self.settings.clone());
        let lines = directory::check(&settings, &wanted, &Known::default(), false).await;
        let line = lines.into_iter().find(|l| l.name == name).unwrap();
        (line.state, format!("{} {}", line.detail, line.remedy.unwrap_or_default()))
    }
}

fn request(groups: &[&str]) -> ReadRequest {
    ReadRequest {
        wanted: Wanted {
            entries: groups
                .iter()
                .map(|name| ScopeEntry { kind: Kind::Group, name: (*name).to_owned(), write: true })
                .collect(),
            nested: true,
            user_filter: None,
            primary_group: false,
            distribution_groups: false,
            attributes: BTreeSet::new(),
        },
        pins: BTreeMap::new(),
        now: "2026-11-03T12:00:00Z".parse().unwrap(),
        server: None,
    }
}

fn is_present(fate: &Fate) -> bool {
    matches!(fate, Fate::Present { .. })
}

// OpenLDAP's slapd

fn content() -> String {
    let ou = |name: &str| format!("dn: ou={name},{BASE}\nobjectClass: organizationalUnit\nou: {name}\n\n");
    let people: String = (0..8)
        .map(|n| {
            format!(
                "dn: uid=p{n},ou=people,{BASE}\nobjectClass: inetOrgPerson\nuid: p{n}\ncn: P {n}\nsn: {n}\n\
                 entryUUID: {}\n\n",
                anchor(n)
            )
        })
        .collect();
    format!(
        "dn: {BASE}\nobjectClass: dcObject\nobjectClass: organization\no: Corp\ndc: corp\n\n{}{}{}{people}",
        ou("people"),
        ou("elsewhere"),
        ou("vault"),
    )
}

fn anchor(number: u128) -> Anchor {
    Anchor::from_u128(0x5000_0000_0000_4000_8000_0000_0000_0000 + number)
}

fn person(number: u128) -> String {
    format!("uid=p{number},ou=people,{BASE}")
}

fn slapd(options: &Options) -> (Slapd, Bench) {
    let slapd = Slapd::start_ldif(&content(), BASE, options);
    let bench = Bench::new(DirectoryKind::Ldap, &slapd.client(&slapd.reader_dn()), BASE);
    (slapd, bench)
}

fn logging() -> Options {
    Options { syncprov: true, ..Options::default() }
}

const CHANGE_LOG: Fate = Fate::Deleted(DeletionProof::ChangeLog);

#[tokio::test(flavor = "multi_thread")]
async fn slapd_reports_what_was_deleted_and_not_what_was_renamed_moved_or_changed() {
    let (slapd, bench) = slapd(&logging());
    let all: Vec<Anchor> = (0..6).map(anchor).collect();
    let first = bench.fates(&all, None).await;
    assert!(first.of.values().all(is_present), "{:?}", first.of);
    assert!(first.reported.is_empty());
    let cookie = first.cookie.unwrap();
    assert_eq!(cookie.server, bench.url);
    // Nothing has changed: the log has been read so far.
    let idle = bench.fates(&all, Some(cookie.clone())).await;
    assert!(idle.cookie.is_some() && idle.reported.is_empty());

    let admin = slapd.admin();
    admin.delete(&person(0));
    admin.rename(&person(1), "uid=renamed");
    admin.move_to(&person(2), &format!("ou=elsewhere,{BASE}"));
    admin.replace(&person(3), "title", &["Chief"]);
    // Deleted, and another one of the same name.
    admin.delete(&person(4));
    admin.create(&person(4), &[("objectClass", "inetOrgPerson"), ("uid", "p4"), ("cn", "P"), ("sn", "4")]);
    // Of nobody's concern yet.
    admin.delete(&person(7));
    let second = bench.fates(&all, idle.cookie).await;
    let deleted: Vec<bool> = all.iter().map(|a| second.of[a] == CHANGE_LOG).collect();
    assert_eq!(deleted, [true, false, false, false, true, false], "{:?}", second.of);
    assert!([1, 2, 3, 5].iter().all(|n| is_present(&second.of[&anchor(*n)])));
    assert_eq!(second.reported, [0, 4, 7].map(anchor).into());
    let cookie = second.cookie.unwrap();

    // The log tells everything once.
    let third = bench.fates(&all, Some(cookie)).await;
    assert!(third.reported.is_empty());
    assert_eq!(third.of[&anchor(0)], Fate::Absent);
}

#[tokio::test(flavor = "multi_thread")]
async fn slapd_that_lost_its_log_proves_nothing() {
    let (mut slapd, bench) = slapd(&logging());
    let ask = [anchor(0), anchor(1), anchor(2)];
    let cookie = bench.fates(&ask, None).await.cookie;
    slapd.admin().delete(&person(0));
    slapd.restart();
    let after = bench.fates(&ask, cookie).await;
    assert_eq!(after.of[&anchor(0)], Fate::Absent);
    assert!(after.reported.is_empty());
    // From here on it tells again.
    slapd.admin().delete(&person(1));
    let later = bench.fates(&ask, after.cookie).await;
    assert_eq!(later.of[&anchor(1)], CHANGE_LOG);
    assert_eq!(later.of[&anchor(0)], Fate::Absent);
    assert_eq!(later.reported, [anchor(1)].into());

    // A restart with nothing missed costs nothing.
    slapd.restart();
    let idle = bench.fates(&ask, later.cookie).await;
    slapd.admin().delete(&person(2));
    assert_eq!(bench.fates(&ask, idle.cookie).await.of[&anchor(2)], CHANGE_LOG);
}

#[tokio::test(flavor = "multi_thread")]
async fn slapd_without_a_log_and_cookies_of_no_use_prove_nothing() {
    let (plain, bench) = slapd(&Options::default());
    plain.admin().delete(&person(0));
    let fates = bench.fates(&[anchor(0), anchor(1)], None).await;
    assert_eq!((&fates.of[&anchor(0)], &fates.cookie), (&Fate::Absent, &None));
    assert!(is_present(&fates.of[&anchor(1)]));
    let (state, text) = bench.check("deleted objects").await;
    assert_eq!(state, CheckState::Warn);
    assert!(text.contains("syncprov") && text.contains("delete-on-absence"), "{text}");

    let (slapd, bench) = slapd(&logging());
    let good = bench.fates(&[], None).await.cookie.unwrap();
    slapd.admin().delete(&person(0));
    let of = |server: &str, bytes: &[u8]| ChangeCookie { server: server.to_owned(), bytes: bytes.to_vec() };
    let now = |date: &str| format!("rid=000,csn={date}.000000Z#000000#000#000000").into_bytes();
    for cookie in [
        of(&bench.url, b"nonsense"),
        of(&bench.url, b""),
        of(&bench.url, &[0xff, 0, 1]),
        of(&bench.url, &now("20010101000000")),
        of(&bench.url, &now("20990101000000")),
        // Good, but of another server.
        of("ldap://other.example", &good.bytes),
    ] {
        let fates = bench.fates(&[anchor(0)], Some(cookie.clone())).await;
        assert_eq!(fates.of[&anchor(0)], Fate::Absent, "{cookie:?}");
        assert!(fates.reported.is_empty());
        let fresh = fates.cookie.unwrap();
        assert_eq!(fresh.server, bench.url);
        assert_ne!(fresh, cookie);
        let next = bench.fates(&[anchor(0)], Some(fresh)).await;
        assert!(next.reported.is_empty() && next.cookie.is_some());
    }
    // The good one still tells.
    let fates = bench.fates(&[anchor(0)], Some(good)).await;
    assert_eq!(fates.of[&anchor(0)], CHANGE_LOG);
    assert_eq!(bench.check("deleted objects").await.0, CheckState::Ok);
}

#[tokio::test(flavor = "multi_thread")]
async fn slapd_that_begins_to_list_everything_is_told_to_stop() {
    let company = Company::new(3000, 15);
    let slapd = Slapd::start_with(&company, &logging());
    let base = slapd.base_dn().to_owned();
    let bench = Bench::new(DirectoryKind::Ldap, &slapd.client(&slapd.reader_dn()), &base);
    let account = format!("(uid={})", company.person(2).account);
    let answer = slapd.admin().search(&["-b", &base, &account, "entryUUID"]);
    let anchor = answer.lines().find_map(|line| line.strip_prefix("entryUUID: ")).unwrap();
    let anchor = Anchor::parse(anchor).unwrap();
    slapd.admin().replace(&slapd.admin().dn_of(&base, &account), "title", &["Chief"]);
    for bytes in ["rid=000,csn=20010101000000.000000Z#000000#000#000000", "rid=000", "nonsense"] {
        let cookie = ChangeCookie { server: bench.url.clone(), bytes: bytes.as_bytes().to_vec() };
        let fates = bench.fates(&[anchor], Some(cookie)).await;
        assert!(is_present(&fates.of[&anchor]), "{bytes}");
        let cookie = fates.cookie.unwrap();
        let next = bench.fates(&[anchor], Some(cookie.clone())).await;
        assert_eq!(next.cookie, Some(cookie), "nothing has changed since");
    }
}

/// The limit of this proof, which `check` names: slapd reports what this account may not see any more in the words of a
/// deletion. Without a change to the entry, hiding it is no more than that.
#[tokio::test(flavor = "multi_thread")]
async fn slapd_reports_an_entry_that_moved_out_of_sight() {
    let vault = format!("ou=vault,{BASE}");
    let hidden =
        |dn: &str| format!("access to dn.subtree=\"{dn}\" by dn.exact=\"cn=reader,{BASE}\" none by * read");
    let options = Options { access: vec![hidden(&vault), hidden(&person(1))], ..logging() };
    let (slapd, bench) = slapd(&options);
    let cookie = bench.fates(&[], None).await.cookie;
    slapd.admin().move_to(&person(0), &vault);
    let fates = bench.fates(&[anchor(0), anchor(1)], cookie).await;
    assert_eq!(fates.of[&anchor(0)], CHANGE_LOG);
    assert_eq!(fates.of[&anchor(1)], Fate::Absent);
    let (_, text) = bench.check("deleted objects").await;
    assert!(text.contains("may read every entry"), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn slapd_answers_only_as_the_server_that_was_meant() {
    let (mut slapd, bench) = slapd(&logging());
    let mut request = request(&[]);
    request.server = Some(bench.url.clone());
    // The first of the servers is out of reach, and is not asked.
    let source = bench.directory.read(&request).await.unwrap().source;
    assert_eq!(source.server, bench.url);
    // It does not tell the time.
    assert_eq!((source.current_time, source.clock_ahead), (None, None));
    slapd.kill();
    let error = bench.directory.read(&request).await.unwrap_err();
    let DirectoryError::NoServer(attempts) = &error else { panic!("{error}") };
    assert_eq!(attempts.iter().map(|a| a.server.as_str()).collect::<Vec<_>>(), [bench.url.as_str()]);
    let fates = FateRequest {
        server: bench.url.clone(),
        objects: [(anchor(0), Kind::User)].into(),
        now: request.now,
        cookie: None,
    };
    assert!(matches!(bench.directory.fates(&fates).await, Err(DirectoryError::NoServer(_))));
}

// Samba as Active Directory

const DOMAIN: &str = "corp.example.com";
const TOMBSTONE: Fate = Fate::Deleted(DeletionProof::Tombstone);

fn samba() -> Samba {
    let ou = |name: &str| format!("dn: OU={name},{BASE}\nobjectClass: organizationalUnit\n\n");
    let person = |name: &str, control: u32| {
        format!(
            "dn: CN={name},OU=Staff,{BASE}\nobjectClass: user\nsAMAccountName: {name}\nuserAccountControl: {control}\n\
             userPrincipalName: {name}@{DOMAIN}\ndisplayName: {name} Ö\nsn: {name}\n\n"
        )
    };
    let group = |name: &str| {
        format!(
            "dn: CN={name},OU=Staff,{BASE}\nobjectClass: group\nsAMAccountName: {name}\ngroupType: -2147483646\n\
             member: CN=anna,OU=Staff,{BASE}\n\n"
        )
    };
    let people: String = ["anna", "ben", "cleo", "dora"].map(|name| person(name, 512)).concat();
    let off = person("off", 514);
    let ldif = [ou("Staff"), ou("Far"), people, off, group("team"), group("other")].concat();
    Samba::start_ldif(DOMAIN, &ldif)
}

fn anchor_of(samba: &Samba, account: &str) -> Anchor {
    Anchor::from_u128(samba.guid_of(account).as_u128())
}

fn by(samba: &Samba, client: &Client, below: &str) -> Bench {
    Bench::new(DirectoryKind::ActiveDirectory, client, &format!("{below}{}", samba.base_dn()))
}

#[tokio::test(flavor = "multi_thread")]
async fn samba_shows_tombstones_to_whom_it_may() {
    let samba = samba();
    let (admin, reader) = (by(&samba, &samba.admin(), ""), by(&samba, &samba.reader(), ""));
    let names = ["anna", "ben", "cleo", "off"];
    let [anna, ben, cleo, off] = names.map(|name| anchor_of(&samba, name));
    let never = Anchor::from_u128(77);
    let all = [anna, ben, cleo, off, never];
    let before = admin.fates(&all, None).await;
    let account = |fates: &Fates, anchor: Anchor| match &fates.of[&anchor] {
        Fate::Present { account, dn } => Some((*account, dn.leaf())),
        _ => None,
    };
    assert_eq!(account(&before, anna), Some((AccountState::Enabled, "anna".to_owned())));
    assert_eq!(account(&before, off), Some((AccountState::Disabled, "off".to_owned())));
    assert_eq!(before.of[&never], Fate::Absent);
    assert!(before.cookie.is_none() && before.reported.is_empty());
    // An account that has run out.
    let dora = anchor_of(&samba, "dora");
    samba.admin().replace(&samba.dn_of("dora"), "accountExpires", &["131000000000000000"]);
    assert!(matches!(admin.fate(dora).await, Fate::Present { account: AccountState::Expired, .. }));

    let gone = samba.delete("anna");
    assert_eq!(gone.groups.len(), 2);
    samba.admin().rename(&samba.dn_of("ben"), "CN=Ben Renamed");
    samba.admin().move_to(&samba.dn_of("cleo"), &format!("OU=Far,{BASE}"));
    let after = admin.fates(&all, None).await;
    assert_eq!(after.of[&anna], TOMBSTONE);
    assert!([ben, cleo, off].iter().all(|a| is_present(&after.of[a])));
    assert_eq!(after.of[&never], Fate::Absent);
    assert!(after.requests < 12, "{} requests", after.requests);
    // An ordinary account does not see it.
    assert_eq!(reader.fate(anna).await, Fate::Absent);
    assert_eq!(admin.check("deleted objects").await.0, CheckState::Ok);
    let (state, text) = reader.check("deleted objects").await;
    assert_eq!(state, CheckState::Warn);
    assert!(text.contains("dsacls") && text.contains("List Contents"), "{text}");

    // Another object of the same name is another object.
    samba.ldapmodify(&format!("dn: CN=anna,OU=Staff,{BASE}\nobjectClass: user\nsAMAccountName: anna\n\n"));
    let newcomer = anchor_of(&samba, "anna");
    let both = admin.fates(&[anna, newcomer], None).await;
    assert!(both.of[&anna] == TOMBSTONE && is_present(&both.of[&newcomer]));
    samba.delete("anna");

    // Out of the recycle bin: the same object, with its memberships.
    samba.undelete(&gone);
    assert!(matches!(admin.fate(anna).await, Fate::Present { account: AccountState::Enabled, .. }));
    assert!(is_present(&reader.fate(anna).await));
    assert_eq!(anchor_of(&samba, "anna"), anna);
    let answer = samba.ldapsearch(&["-b", &gone.dn, "(userPrincipalName=anna@*)", "memberOf", "displayName"]);
    assert_eq!(answer.matches("memberOf:").count(), 2, "{answer}");
    assert!(answer.contains("displayName::"), "{answer}");
}

#[tokio::test(flavor = "multi_thread")]
async fn samba_lets_an_ordinary_account_see_tombstones_when_told_to() {
    let samba = samba();
    let anna = anchor_of(&samba, "anna");
    samba.delete("anna");
    samba.show_deleted_to_reader();
    let reader = by(&samba, &samba.reader(), "");
    assert_eq!(reader.fate(anna).await, TOMBSTONE);
    assert_eq!(reader.check("deleted objects").await.0, CheckState::Ok);
}

#[tokio::test(flavor = "multi_thread")]
async fn samba_objects_that_moved_away_or_are_hidden_are_not_deleted() {
    let samba = samba();
    let [anna, ben, cleo] = ["anna", "ben", "cleo"].map(|name| anchor_of(&samba, name));
    let staff = by(&samba, &samba.admin(), "OU=Staff,");
    samba.admin().move_to(&samba.dn_of("anna"), &format!("OU=Far,{BASE}"));
    samba.delete("ben");
    let fates = staff.fates(&[anna, ben, cleo], None).await;
    assert_eq!(fates.of[&anna], Fate::Absent);
    assert_eq!(fates.of[&ben], TOMBSTONE);
    assert!(is_present(&fates.of[&cleo]));
    // Deleted from where it was moved to.
    samba.delete("anna");
    assert_eq!(staff.fate(anna).await, TOMBSTONE);

    samba.show_deleted_to_reader();
    let reader = by(&samba, &samba.reader(), "");
    assert!(is_present(&reader.fate(cleo).await));
    samba.deny(&samba.dn_of("cleo"), "D;;RPLCLORC;;");
    samba.deny(&format!("OU=Staff,{BASE}"), "D;CI;LC;;");
    assert_eq!(reader.fate(cleo).await, Fate::Absent);
}

#[tokio::test(flavor = "multi_thread")]
async fn samba_scope_groups_that_were_deleted_are_empty_entries() {
    let samba = samba();
    let bench = by(&samba, &samba.admin(), "");
    let mut wanted = request(&["team", "other"]);
    let [team, other] = ["team", "other"].map(|name| anchor_of(&samba, name));
    for (name, anchor) in [("team", team), ("other", other)] {
        wanted.pins.insert((Kind::Group, name.to_owned()), Pin { anchor, name: name.to_owned() });
    }
    let gone = samba.delete("team");
    let snapshot = bench.directory.read(&wanted).await.unwrap();
    // It runs on this machine.
    assert!(snapshot.source.clock_ahead.is_some_and(|seconds| seconds.abs() < 600));
    assert!(
        matches!(&snapshot.entries[0].outcome,
            EntryOutcome::Deleted { anchor, proof: DeletionProof::Tombstone } if *anchor == team),
        "{:?}",
        snapshot.entries[0]
    );
    assert!(matches!(&snapshot.entries[1].outcome, EntryOutcome::Resolved { .. }));
    assert_eq!(snapshot.findings.iter().map(|f| f.code).collect::<Vec<_>>(), [Code::ScopeEntryDeleted]);
    // An account that may not see it concludes nothing.
    let reader = by(&samba, &samba.reader(), "");
    let snapshot = reader.directory.read(&wanted).await.unwrap();
    assert!(matches!(&snapshot.entries[0].outcome, EntryOutcome::NotFound));
    // An entry given by its GUID.
    let by_guid = request(&[&team.to_string()]);
    let snapshot = bench.directory.read(&by_guid).await.unwrap();
    assert!(matches!(&snapshot.entries[0].outcome, EntryOutcome::Deleted { anchor, .. } if *anchor == team));

    // The name on another group: nothing is concluded from the deletion.
    samba.ldapmodify(&format!(
        "dn: CN=team,OU=Staff,{BASE}\nobjectClass: group\nsAMAccountName: team\ngroupType: -2147483646\n\n"
    ));
    let snapshot = bench.directory.read(&wanted).await.unwrap();
    assert!(matches!(&snapshot.entries[0].outcome, EntryOutcome::Rebound { pinned: None, .. }));
    samba.delete("team");
    samba.undelete(&gone);
    let snapshot = bench.directory.read(&wanted).await.unwrap();
    assert!(matches!(&snapshot.entries[0].outcome, EntryOutcome::Resolved { renamed: false, .. }));
    let restored = snapshot.groups.iter().find(|g| g.anchor == team).unwrap();
    assert_eq!(restored.members.users.len(), 1);
}
