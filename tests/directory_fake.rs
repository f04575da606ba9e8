//! What the directory room makes of servers that answer in part, wrongly or not at all.

#![allow(clippy::unwrap_used, reason = "this is test code, where a panic is the report")]

#[path = "support/fake_ldap.rs"]
mod fake_ldap;

use std::collections::BTreeMap;
use std::time::Duration;

use fake_ldap::{BASE, Behaviour, Entry, FakeLdap, PASSWORD, Twist};
use idcsync::directory::{
    self, Bind, Directory, DirectoryError, DirectorySettings, LdapDirectory, LdapSettings, Servers,
};
use idcsync::ids::Dn;
use idcsync::model::{
    CheckState, Code, DirectoryGroup, DirectoryKind, EntryOutcome, Kind, ReadRequest, ScopeEntry,
    ShortfallKind, Snapshot, Unreadable, Wanted,
};
use idcsync::secret::SecretSource;
use ldap3_proto::proto::LdapResultCode;

/// A GUID of 16 letters: filters with it stay text.
fn guid(number: usize) -> Vec<u8> {
    format!("guid{number:012}").into_bytes()
}

fn person(number: usize) -> Entry {
    let mut entry = Entry::new(
        &format!("CN=p{number},OU=People,{BASE}"),
        &[
            ("objectClass", "person"),
            ("objectClass", "user"),
            ("sAMAccountName", &format!("p{number}")),
            ("userAccountControl", "512"),
        ],
    );
    entry.add("objectGUID", guid(number));
    entry
}

fn group(number: usize, name: &str, members: impl IntoIterator<Item = String>) -> Entry {
    let mut entry = Entry::new(
        &format!("CN={name},OU=Groups,{BASE}"),
        &[("objectClass", "group"), ("sAMAccountName", name), ("groupType", "-2147483646")],
    );
    entry.add("objectGUID", guid(number));
    for member in members {
        entry.add("member", member.into_bytes());
    }
    entry
}

fn people(numbers: std::ops::Range<usize>) -> impl Iterator<Item = String> {
    numbers.map(|n| format!("CN=p{n},OU=People,{BASE}"))
}

/// The domain, `count` people, and these groups.
fn domain(count: usize, groups: Vec<Entry>) -> Vec<Entry> {
    let mut head = Entry::new(BASE, &[("objectClass", "domainDNS")]);
    head.add("objectSid", vec![1, 4, 0, 0, 0, 0, 0, 5, 21, 0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 3, 0, 0, 0]);
    std::iter::once(head).chain((0..count).map(person)).chain(groups).collect()
}

fn settings(urls: &[&str]) -> (LdapSettings, tempfile::NamedTempFile) {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), PASSWORD).unwrap();
    let settings = LdapSettings {
        kind: DirectoryKind::ActiveDirectory,
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
    (settings, file)
}

fn request(names: &[&str]) -> ReadRequest {
    ReadRequest {
        wanted: Wanted {
            entries: names
                .iter()
                .map(|name| ScopeEntry { kind: Kind::Group, name: (*name).to_owned(), write: true })
                .collect(),
            nested: true,
            user_filter: None,
            primary_group: false,
            distribution_groups: false,
            attributes: ["displayname".to_owned()].into(),
        },
        pins: BTreeMap::new(),
        now: "2026-11-03T12:00:00Z".parse().unwrap(),
        server: None,
    }
}

async fn try_read(urls: &[&str], request: &ReadRequest) -> Result<Snapshot, DirectoryError> {
    let (settings, _password) = settings(urls);
    LdapDirectory::new(settings).read(request).await
}

async fn read(server: &FakeLdap, names: &[&str]) -> Snapshot {
    try_read(&[&server.url], &request(names)).await.unwrap()
}

fn named<'s>(snapshot: &'s Snapshot, name: &str) -> &'s DirectoryGroup {
    snapshot.groups.iter().find(|g| g.dn.leaf() == name).unwrap()
}

fn kinds(group: &DirectoryGroup) -> Vec<ShortfallKind> {
    group.members.completeness.shortfalls().iter().map(|s| s.kind).collect()
}

fn looks_up_people(filter: &str) -> bool {
    filter.contains("distinguishedName") && filter.contains("OU=People")
}

#[tokio::test]
async fn ranges_that_come_unasked_are_read_to_their_end() {
    let server =
        FakeLdap::start(Behaviour::of(domain(4000, vec![group(9000, "big", people(0..4000))]))).await;
    let snapshot = read(&server, &["big"]).await;
    let big = named(&snapshot, "big");
    assert_eq!(big.members.users.len(), 4000);
    assert!(big.members.completeness.is_complete());
    let ranges: Vec<String> = server
        .reads()
        .into_iter()
        .filter(|s| s.base.starts_with("<GUID="))
        .flat_map(|s| s.attributes)
        .collect();
    assert_eq!(ranges, ["member;range=1500-*", "member;range=3000-*"]);
    assert_eq!(snapshot.source.binding, "S-1-5-21-1-2-3");
    assert_eq!(snapshot.source.current_time, Some("2026-11-03T12:00:00Z".parse().unwrap()));
}

#[tokio::test]
async fn how_far_the_servers_clock_is_ahead() {
    let server = FakeLdap::start(Behaviour::of(domain(0, vec![]))).await;
    let there: jiff::Timestamp = "2026-11-03T12:00:00Z".parse().unwrap();
    let before = jiff::Timestamp::now();
    let ahead = read(&server, &[]).await.source.clock_ahead.unwrap();
    let after = jiff::Timestamp::now();
    assert!(ahead <= there.as_second() - before.as_second());
    assert!(ahead >= there.as_second() - after.as_second());
}

#[tokio::test]
async fn members_are_never_asked_for_one_by_one() {
    let all = domain(5000, vec![group(9000, "big", people(0..5000))]);
    let server = FakeLdap::start(Behaviour::of(all)).await;
    let snapshot = read(&server, &["big"]).await;
    assert_eq!(named(&snapshot, "big").members.users.len(), 5000);
    // 50 pages of 100 people, three ranges, the entry itself.
    let reads = server.reads().len();
    assert!(reads <= 60, "{reads} requests");
    assert_eq!(snapshot.source.requests, server.log().len() as u64);
    assert!(snapshot.source.received >= 5001);
}

#[tokio::test]
async fn a_small_group_in_a_large_directory_is_not_swept_up() {
    let all = domain(5000, vec![group(9000, "small", people(0..350))]);
    let server = FakeLdap::start(Behaviour::of(all)).await;
    let snapshot = read(&server, &["small"]).await;
    assert_eq!(named(&snapshot, "small").members.users.len(), 350);
    assert!(server.reads().len() <= 6, "{} requests", server.reads().len());
    assert!(snapshot.source.received < 400);
}

#[tokio::test]
async fn a_range_that_never_reaches_its_end_marks_its_group() {
    for (twist, expected) in [
        (Twist::Nothing, 1500),
        (Twist::Range { low: 0, high: Some(1499) }, 1500),
        (Twist::Range { low: 1501, high: None }, 1500),
        (Twist::Range { low: 1500, high: Some(1400) }, 1500),
        (Twist::Code { after: 0, code: LdapResultCode::Busy }, 1500),
    ] {
        let groups = vec![group(9000, "big", people(0..2000)), group(9001, "small", people(0..3))];
        let script = twist.clone();
        let behaviour = Behaviour::of(domain(2000, groups))
            .with(move |seen| seen.base.starts_with("<GUID=").then(|| script.clone()));
        let server = FakeLdap::start(behaviour).await;
        let snapshot = read(&server, &["big", "small"]).await;
        let big = named(&snapshot, "big");
        assert!(!big.members.completeness.is_complete(), "{twist:?}");
        assert_eq!(big.members.users.len(), expected, "{twist:?}");
        assert!(named(&snapshot, "small").members.completeness.is_complete(), "{twist:?}");
        assert!(snapshot.findings.iter().any(|f| f.code == Code::GroupReadIncomplete));
    }
}

#[tokio::test]
async fn a_failed_look_up_marks_only_the_groups_that_hold_those_names() {
    for (code, kind) in [
        (LdapResultCode::Busy, ShortfallKind::ResultCode(51)),
        (LdapResultCode::SizeLimitExceeded, ShortfallKind::Limit),
        (LdapResultCode::TimeLimitExceeded, ShortfallKind::Limit),
    ] {
        // Batches hold 100 names here: the first group's are asked for first.
        let groups = vec![group(9000, "first", people(0..100)), group(9001, "second", people(100..200))];
        let told = code.clone();
        let behaviour = Behaviour::of(domain(200, groups)).with(move |seen| {
            (looks_up_people(&seen.filter) && seen.filter.contains("CN=p150,"))
                .then(|| Twist::Code { after: 40, code: told.clone() })
        });
        let server = FakeLdap::start(behaviour).await;
        let snapshot = read(&server, &["first", "second"]).await;
        assert!(named(&snapshot, "first").members.completeness.is_complete());
        let second = named(&snapshot, "second");
        assert_eq!(kinds(second), [kind], "{code:?}");
        assert_eq!(second.members.users.len(), 40, "what came counts all the same");
        assert!(second.members.unreadable.is_empty());
    }
}

#[tokio::test]
async fn a_later_page_that_ends_badly_fails_the_search() {
    // More than four pages of members: everybody is swept up, and what the sweep does not show is looked up.
    let all = domain(600, vec![group(9000, "big", people(0..600))]);
    let behaviour = Behaviour::of(all.clone()).with(|seen| {
        (seen.offset == Some(100)).then_some(Twist::Code { after: 10, code: LdapResultCode::Busy })
    });
    let server = FakeLdap::start(behaviour).await;
    let snapshot = read(&server, &["big"]).await;
    assert_eq!(named(&snapshot, "big").members.users.len(), 600);
    assert!(named(&snapshot, "big").members.completeness.is_complete());

    // By primary group there is no second way.
    let mut staff = group(9000, "staff", []);
    staff.add("objectSid", {
        let mut sid = vec![1, 5, 0, 0, 0, 0, 0, 5, 21, 0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 3, 0, 0, 0];
        sid.extend_from_slice(&1234_u32.to_le_bytes());
        sid
    });
    let mut all = domain(300, vec![staff]);
    for entry in &mut all[1..301] {
        entry.add("primaryGroupID", b"1234".to_vec());
    }
    for code in [LdapResultCode::Busy, LdapResultCode::SizeLimitExceeded] {
        let told = code.clone();
        let behaviour = Behaviour::of(all.clone()).with(move |seen| {
            (seen.offset == Some(100)).then(|| Twist::Code { after: 10, code: told.clone() })
        });
        let server = FakeLdap::start(behaviour).await;
        let mut wanted = request(&["staff"]);
        wanted.wanted.primary_group = true;
        let snapshot = try_read(&[&server.url], &wanted).await.unwrap();
        let staff = named(&snapshot, "staff");
        assert_eq!(staff.members.users.len(), 110);
        assert!(!staff.members.completeness.is_complete());
    }
}

#[tokio::test]
async fn a_cut_connection_marks_all_that_had_not_been_read() {
    let groups = vec![
        group(9000, "outer", people(0..20).chain([format!("CN=inner,OU=Groups,{BASE}")])),
        group(9001, "inner", people(100..120)),
        group(9002, "apart", people(200..205)),
    ];
    let behaviour = Behaviour::of(domain(300, groups)).with(|seen| {
        (looks_up_people(&seen.filter) && seen.filter.contains("CN=p110,")).then_some(Twist::Cut { after: 5 })
    });
    let server = FakeLdap::start(behaviour).await;
    let snapshot = read(&server, &["outer", "apart"]).await;
    assert!(named(&snapshot, "outer").members.completeness.is_complete());
    assert!(named(&snapshot, "apart").members.completeness.is_complete());
    assert_eq!(kinds(named(&snapshot, "inner")), [ShortfallKind::ConnectionLost]);
    assert_eq!(named(&snapshot, "inner").members.users.len(), 5);
}

#[tokio::test]
async fn a_connection_cut_in_the_middle_of_a_page_of_names_leaves_the_entries_unread() {
    let behaviour = Behaviour::of(domain(5, vec![group(9000, "a", []), group(9001, "b", [])]))
        .with(|seen| seen.filter.contains("sAMAccountName").then_some(Twist::Cut { after: 1 }));
    let server = FakeLdap::start(behaviour).await;
    let snapshot = read(&server, &["a", "b"]).await;
    for read in &snapshot.entries {
        assert!(
            matches!(&read.outcome, EntryOutcome::Unread(s) if s.kind == ShortfallKind::ConnectionLost),
            "{read:?}"
        );
    }
}

#[tokio::test]
async fn a_silent_server_is_not_waited_for_again_and_again() {
    let all = domain(400, vec![group(9000, "first", people(0..100)), group(9001, "rest", people(100..400))]);
    let behaviour = Behaviour::of(all).with(|seen| {
        (seen.filter.contains("CN=p100,") && looks_up_people(&seen.filter)).then_some(Twist::Silent)
    });
    let server = FakeLdap::start(behaviour).await;
    let began = std::time::Instant::now();
    let snapshot = read(&server, &["first", "rest"]).await;
    assert!(began.elapsed() < Duration::from_secs(3), "{:?}", began.elapsed());
    assert!(kinds(named(&snapshot, "rest")).contains(&ShortfallKind::Timeout));
    assert!(snapshot.findings.iter().any(|f| f.message.contains("sent nothing for 0.4s")));
}

#[tokio::test]
async fn a_server_that_is_lost_before_it_showed_anything_is_left_for_the_next() {
    let all = || domain(5, vec![group(9000, "team", people(0..5))]);
    let lost =
        FakeLdap::start(Behaviour::of(all()).with(|seen| seen.is_read().then_some(Twist::Cut { after: 0 })))
            .await;
    let silent = FakeLdap::start(Behaviour::of(all()).with(|_| Some(Twist::Silent))).await;
    let good = FakeLdap::start(Behaviour::of(all())).await;
    let wanted = request(&["team"]);
    let urls = ["ldap://127.0.0.1:1", &lost.url, &silent.url, &good.url];
    let snapshot = try_read(&urls, &wanted).await.unwrap();
    assert_eq!(snapshot.source.server, good.url);
    assert_eq!(named(&snapshot, "team").members.users.len(), 5);

    let error = try_read(&urls[..3], &wanted).await.unwrap_err();
    assert_eq!(error.code(), Code::DirectoryUnavailable);
    let tried: Vec<&str> = error.attempts().iter().map(|a| a.server.as_str()).collect();
    assert_eq!(tried, urls[..3]);
    let text = error.to_string();
    assert!(text.contains("cannot connect") && text.contains("no answer within 0.4s"), "{text}");
}

#[tokio::test]
async fn what_lies_behind_a_referral_is_not_taken_for_absent() {
    let child = "CN=far,OU=People,DC=child,DC=corp,DC=example";
    let all = domain(3, vec![group(9000, "team", people(0..3).chain([child.to_owned()]))]);
    let behaviour = Behaviour::of(all.clone())
        .with(|_| Some(Twist::Refer("ldap://child.corp.example/DC=child,DC=corp,DC=example".to_owned())));
    let server = FakeLdap::start(behaviour).await;
    let snapshot = read(&server, &["team", "elsewhere"]).await;
    let team = named(&snapshot, "team");
    assert!(team.members.completeness.is_complete());
    assert_eq!(team.members.users.len(), 3);
    assert_eq!(team.members.unreadable.len(), 1);
    assert_eq!(team.members.unreadable[0].why, Unreadable::Referred);
    assert!(matches!(&snapshot.entries[1].outcome,
        EntryOutcome::Unread(s) if s.kind == ShortfallKind::Referral));

    // Those of one's own forest hide nobody.
    let behaviour = Behaviour::of(all).with(|seen| {
        let zone = ["CN=Configuration", "DC=DomainDnsZones", "DC=ForestDnsZones"][seen.number % 3];
        Some(Twist::Refer(format!("ldap://corp.example/{zone},DC=corp,DC=example")))
    });
    let server = FakeLdap::start(behaviour).await;
    let snapshot = read(&server, &["team", "elsewhere"]).await;
    assert!(matches!(&snapshot.entries[1].outcome, EntryOutcome::NotFound));
    let team = named(&snapshot, "team");
    assert_eq!(team.members.unreadable[0].why, Unreadable::NotReturned);
}

#[tokio::test]
async fn pages_that_lead_nowhere_come_to_an_end() {
    let mut staff = group(9000, "staff", []);
    let mut sid = vec![1, 5, 0, 0, 0, 0, 0, 5, 21, 0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 3, 0, 0, 0];
    sid.extend_from_slice(&1234_u32.to_le_bytes());
    staff.add("objectSid", sid);
    let mut all = domain(300, vec![staff]);
    for entry in &mut all[1..301] {
        entry.add("primaryGroupID", b"1234".to_vec());
    }
    let mut wanted = request(&["staff"]);
    wanted.wanted.primary_group = true;
    for (twist, complete, members) in [
        (Twist::Loop, false, 100),
        (Twist::Empty, false, 0),
        (Twist::Unpaged, true, 300),
        (Twist::Twice, true, 300),
    ] {
        let script = twist.clone();
        let behaviour = Behaviour::of(all.clone())
            .with(move |seen| seen.filter.contains("primaryGroupID").then(|| script.clone()));
        let server = FakeLdap::start(behaviour).await;
        let snapshot = try_read(&[&server.url], &wanted).await.unwrap();
        let staff = named(&snapshot, "staff");
        assert_eq!(staff.members.completeness.is_complete(), complete, "{twist:?}");
        assert_eq!(staff.members.users.len(), members, "{twist:?}");
        assert!(server.log().len() < 300);
    }
    // Without the control at all.
    let mut behaviour = Behaviour::of(all);
    behaviour.paging = false;
    let server = FakeLdap::start(behaviour).await;
    let snapshot = try_read(&[&server.url], &wanted).await.unwrap();
    assert_eq!(named(&snapshot, "staff").members.users.len(), 300);
    assert!(server.log().iter().all(|s| s.offset.is_none()));
}

#[tokio::test]
async fn a_search_for_names_that_fails_is_repeated_for_each_name() {
    let groups = vec![group(9000, "good", people(0..2)), group(9001, "bad", [])];
    let behaviour = Behaviour::of(domain(2, groups)).with(|seen| {
        (seen.filter.contains("sAMAccountName") && seen.filter.contains("\"bad\""))
            .then_some(Twist::Code { after: 0, code: LdapResultCode::Busy })
    });
    let server = FakeLdap::start(behaviour).await;
    let snapshot = read(&server, &["good", "bad"]).await;
    assert!(matches!(&snapshot.entries[0].outcome, EntryOutcome::Resolved { .. }));
    assert!(matches!(&snapshot.entries[1].outcome,
        EntryOutcome::Unread(s) if s.kind == ShortfallKind::ResultCode(51)));
}

#[tokio::test]
async fn who_is_filtered_out_is_told_apart_from_who_is_hidden() {
    let mut all = domain(3, vec![group(9000, "team", people(0..4))]);
    all[1].add("department", b"IT".to_vec());
    all[2].add("department", b"IT".to_vec());
    let mut wanted = request(&["team"]);
    wanted.wanted.user_filter = Some("(department=IT)".to_owned());
    let server = FakeLdap::start(Behaviour::of(all.clone())).await;
    let snapshot = try_read(&[&server.url], &wanted).await.unwrap();
    let matching: Vec<bool> = snapshot.users.iter().map(|u| u.matches_filter).collect();
    assert_eq!(matching, [true, true, false]);
    let team = named(&snapshot, "team");
    assert!(team.members.completeness.is_complete());
    assert_eq!(team.members.unreadable[0].why, Unreadable::NotReturned);

    // If the filter could not be asked about, nothing is known of those who were not returned.
    let behaviour = Behaviour::of(all.clone()).with(|seen| {
        seen.filter.contains("department").then_some(Twist::Code { after: 1, code: LdapResultCode::Busy })
    });
    let server = FakeLdap::start(behaviour).await;
    let snapshot = try_read(&[&server.url], &wanted).await.unwrap();
    assert_eq!(snapshot.users.len(), 1);
    assert!(snapshot.users[0].matches_filter);
    assert_eq!(kinds(named(&snapshot, "team")), [ShortfallKind::ResultCode(51)]);

    // Nor if the server returns somebody for neither side of it: its department may not be read.
    let behaviour = Behaviour::of(all).with(|seen| {
        (seen.filter.contains("department") && seen.filter.contains("Not(")).then_some(Twist::Nothing)
    });
    let server = FakeLdap::start(behaviour).await;
    let snapshot = try_read(&[&server.url], &wanted).await.unwrap();
    let matching: Vec<bool> = snapshot.users.iter().map(|u| u.matches_filter).collect();
    assert_eq!(matching, [true, true]);
    assert_eq!(kinds(named(&snapshot, "team")), [ShortfallKind::AttributeUnreadable]);
}

#[tokio::test]
async fn refused_binds_are_put_into_words_and_not_tried_elsewhere() {
    let mut behaviour = Behaviour::of(domain(0, vec![]));
    behaviour.bind = (
        LdapResultCode::InvalidCredentials,
        "80090308: LdapErr: DSID-0C090439, comment: AcceptSecurityContext error, data 533, v4563".to_owned(),
    );
    let (locked, other) = (FakeLdap::start(behaviour).await, FakeLdap::start(Behaviour::of(vec![])).await);
    let error = try_read(&[&locked.url, &other.url], &request(&[])).await.unwrap_err();
    assert_eq!(error.code(), Code::InvalidDirectoryCredentials);
    assert!(error.to_string().contains("the account is disabled"), "{error}");
    assert!(!format!("{error:?}{error}").contains(PASSWORD));
    assert!(other.log().is_empty());
}

#[tokio::test]
async fn a_base_that_does_not_exist_and_a_bad_filter_are_named() {
    let server = FakeLdap::start(Behaviour::of(vec![person(0)])).await;
    let error = try_read(&[&server.url], &request(&[])).await.unwrap_err();
    assert!(error.to_string().contains("the base DN DC=corp,DC=example does not exist"), "{error}");

    let mut wanted = request(&[]);
    wanted.wanted.user_filter = Some("(broken".to_owned());
    let error = try_read(&[&server.url], &wanted).await.unwrap_err();
    assert!(matches!(error, DirectoryError::UserFilter { .. }));
}

#[tokio::test]
async fn check_tells_what_works_and_what_does_not() {
    let mut blind = person(1);
    blind.attributes.retain(|(n, _)| n != "userAccountControl");
    let mut all = domain(0, vec![group(9000, "team", people(1..2))]);
    all.push(blind);
    let server = FakeLdap::start(Behaviour::of(all)).await;
    let (settings, _password) = settings(&["ldap://127.0.0.1:1", &server.url]);
    let lines =
        directory::check(&DirectorySettings::Ldap(settings), &request(&["team", "nobody"]).wanted, false)
            .await;
    let state = |name: &str| {
        let line = lines.iter().find(|l| l.name.starts_with(name));
        line.unwrap_or_else(|| panic!("no line {name}: {lines:#?}")).state
    };
    assert_eq!(state("server ldap://127.0.0.1:1"), CheckState::Fail);
    assert_eq!(state(&format!("server {}", server.url)), CheckState::Ok);
    assert_eq!(state("base DN"), CheckState::Ok);
    assert_eq!(state("paging"), CheckState::Ok);
    assert_eq!(state("members"), CheckState::Ok);
    assert_eq!(state("userAccountControl"), CheckState::Fail);
    assert_eq!(state("deleted objects"), CheckState::Warn);
    assert_eq!(state("group team"), CheckState::Ok);
    assert_eq!(state("group nobody"), CheckState::Fail);
}
