//! The walk over small directories, read from LDIF.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;

use crate::directory::mirror::tests::{self as server, Server};
use crate::directory::reader::RawEntry;
use crate::directory::{Directory, LdifDirectory, LdifSettings};
use crate::ids::{Anchor, Dn};
use crate::model::{
    AccountState, Code, DirectoryKind, EntryOutcome, Fate, FateRequest, Kind, ObjectRef, Pin, ReadRequest,
    ScopeEntry, ShortfallKind, Snapshot, Unreadable, Wanted,
};

const BASE: &str = "DC=corp,DC=example";
const END: &str = "# idcsync: end\n";

/// An Active Directory in the making; objects get the GUIDs 1, 2, …
struct Ad(String, u128);

impl Ad {
    fn new() -> Self {
        Self(String::new(), 0)
    }

    fn object(mut self, dn: &str, lines: &str) -> Self {
        self.1 += 1;
        let guid = STANDARD.encode(guid(self.1).to_object_guid());
        let mut sid = vec![1, 5, 0, 0, 0, 0, 0, 5];
        for part in [21, 1, 2, 3, 1000 + u32::try_from(self.1).unwrap()] {
            sid.extend_from_slice(&part.to_le_bytes());
        }
        let sid = STANDARD.encode(sid);
        let _ = write!(self.0, "dn: {dn},{BASE}\nobjectGUID:: {guid}\nobjectSid:: {sid}\n{lines}\n");
        self
    }

    fn user(self, name: &str) -> Self {
        self.user_with(name, "userAccountControl: 512\n")
    }

    fn user_with(self, name: &str, lines: &str) -> Self {
        let lines = format!("objectClass: person\nobjectClass: user\nsAMAccountName: {name}\n{lines}");
        self.object(&format!("CN={name},OU=People"), &lines)
    }

    fn group(self, name: &str, members: &[&str]) -> Self {
        self.group_of_type(name, "-2147483646", members)
    }

    fn group_of_type(self, name: &str, kind: &str, members: &[&str]) -> Self {
        let mut lines = format!("objectClass: group\nsAMAccountName: {name}\ngroupType: {kind}\n");
        for member in members {
            let full = if member.contains("DC=") { (*member).to_owned() } else { format!("{member},{BASE}") };
            let _ = writeln!(lines, "member: {full}");
        }
        self.object(&format!("CN={name},OU=Groups"), &lines)
    }

    async fn read(&self, request: &ReadRequest) -> Snapshot {
        read(&format!("{}{END}", self.0), DirectoryKind::ActiveDirectory, request).await
    }
}

fn guid(number: u128) -> Anchor {
    Anchor::from_u128(number)
}

fn person(name: &str) -> String {
    format!("CN={name},OU=People")
}

async fn read(ldif: &str, kind: DirectoryKind, request: &ReadRequest) -> Snapshot {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("export.ldif");
    std::fs::write(&file, ldif).unwrap();
    let settings = LdifSettings { file, base_dn: Dn::parse(BASE).unwrap(), kind };
    LdifDirectory::new(settings).read(request).await.unwrap()
}

fn request(entries: &[(Kind, &str)]) -> ReadRequest {
    ReadRequest {
        wanted: Wanted {
            entries: entries
                .iter()
                .map(|(kind, name)| ScopeEntry { kind: *kind, name: (*name).to_owned(), write: true })
                .collect(),
            nested: true,
            user_filter: None,
            primary_group: true,
            distribution_groups: false,
            attributes: ["displayname".to_owned()].into(),
        },
        pins: BTreeMap::new(),
        now: "2026-11-03T12:00:00Z".parse().unwrap(),
        server: None,
    }
}

fn pinned(kind: Kind, name: &str, to: u128) -> ReadRequest {
    let mut request = request(&[(kind, name)]);
    request.pins.insert((kind, name.to_owned()), Pin { anchor: guid(to), name: name.to_owned() });
    request
}

fn codes(snapshot: &Snapshot) -> Vec<Code> {
    snapshot.findings.iter().map(|f| f.code).collect()
}

/// The leaf names of the users of a group.
fn members(snapshot: &Snapshot, group: &str) -> Vec<String> {
    let group = snapshot.groups.iter().find(|g| g.dn.leaf() == group).unwrap();
    group.members.users.iter().map(|ix| snapshot.users[ix as usize].dn.leaf()).collect()
}

/// An export without the attribute would let everybody through a `!`.
#[tokio::test]
async fn what_a_filter_looks_at_and_no_entry_has_is_said() {
    let ad = Ad::new().user("anna").group("devs", &[&person("anna")]);
    let mut asked = request(&[(Kind::Group, "devs")]);
    asked.wanted.user_filter = Some("(&(sAMAccountName=*)(!(employeeType=contractor)))".to_owned());
    let snapshot = ad.read(&asked).await;
    assert_eq!(codes(&snapshot), [Code::FilterAttributeUnseen]);
    assert_eq!(snapshot.findings[0].subject.id, "employeetype");
    let other = "sAMAccountName: ben\nobjectClass: user\nemployeeType: contractor\n";
    assert_eq!(codes(&ad.object("CN=ben,OU=People", other).read(&asked).await), []);
}

#[tokio::test]
async fn groups_in_groups_are_followed_around_rings() {
    let ad = Ad::new()
        .user("anna")
        .user("ben")
        .group("outer", &["CN=inner,OU=Groups", &person("anna")])
        .group("inner", &["CN=outer,OU=Groups", "CN=inner,OU=Groups", &person("ben")])
        .group("apart", &[&person("ben")]);
    let snapshot = ad.read(&request(&[(Kind::Group, "OUTER")])).await;
    assert_eq!(members(&snapshot, "outer"), ["anna"]);
    assert_eq!(members(&snapshot, "inner"), ["ben"]);
    assert_eq!(snapshot.groups.len(), 2);
    let inner = snapshot.groups.iter().find(|g| g.dn.leaf() == "inner").unwrap();
    assert_eq!(inner.members.groups.len(), 2);
    assert!(snapshot.findings.is_empty(), "{:?}", snapshot.findings);
    assert_eq!(snapshot.source.binding, "S-1-5-21-1-2-3");
    assert_eq!(snapshot.source.domain, "corp.example");
    assert!(matches!(&snapshot.entries[0].outcome,
        EntryOutcome::Resolved { object: ObjectRef::Group(_), name, renamed: false } if name == "outer"));

    let mut direct = request(&[(Kind::Group, "outer")]);
    direct.wanted.nested = false;
    let snapshot = ad.read(&direct).await;
    assert_eq!(snapshot.groups.len(), 1);
    assert_eq!(members(&snapshot, "outer"), ["anna"]);
    assert!(snapshot.groups[0].members.completeness.is_complete());
}

#[tokio::test]
async fn what_is_no_person_is_ignored_and_what_cannot_be_read_is_named() {
    let foreign = "CN=S-1-5-21-9-9-9-1104,CN=ForeignSecurityPrincipals";
    let ad = Ad::new()
        .user("anna")
        .object("CN=pc,CN=Computers", "objectClass: user\nobjectClass: computer\n")
        .object("CN=kim,OU=Contacts", "objectClass: person\nobjectClass: contact\n")
        .group_of_type("list", "2", &[&person("anna")])
        .group(
            "team",
            &[
                &person("anna"),
                "CN=pc,CN=Computers",
                "CN=kim,OU=Contacts",
                "CN=list,OU=Groups",
                foreign,
                "CN=far,DC=other,DC=example",
                "CN=gone,OU=People",
            ],
        );
    let snapshot = ad.read(&request(&[(Kind::Group, "team"), (Kind::Group, "list")])).await;
    let team = snapshot.groups.iter().find(|g| g.dn.leaf() == "team").unwrap();
    assert_eq!(members(&snapshot, "team"), ["anna"]);
    assert!(team.members.completeness.is_complete());
    assert_eq!(team.members.groups.len(), 0);
    let mut why: Vec<Unreadable> = team.members.unreadable.iter().map(|m| m.why).collect();
    why.sort();
    assert_eq!(why, [Unreadable::OutsideBase, Unreadable::ForeignSecurityPrincipal, Unreadable::NotReturned]);
    assert_eq!(codes(&snapshot).iter().filter(|c| **c == Code::MemberUnreadable).count(), 3);
    assert!(snapshot.findings.iter().any(|f| f.subject.id == "S-1-5-21-9-9-9-1104"));
    assert!(
        matches!(&snapshot.entries[1].outcome, EntryOutcome::Unsuitable(why) if why.contains("distribution"))
    );

    let mut with_lists = request(&[(Kind::Group, "list")]);
    with_lists.wanted.distribution_groups = true;
    assert_eq!(members(&ad.read(&with_lists).await, "list"), ["anna"]);
}

#[tokio::test]
async fn members_by_primary_group() {
    // The group is the third object, hence has the RID 1003.
    let ad = Ad::new()
        .user_with("anna", "userAccountControl: 512\nprimaryGroupID: 1003\n")
        .user_with("ben", "userAccountControl: 512\nprimaryGroupID: 513\n")
        .group("staff", &[]);
    let mut wanted = request(&[(Kind::Group, "staff")]);
    assert_eq!(members(&ad.read(&wanted).await, "staff"), ["anna"]);
    wanted.wanted.primary_group = false;
    assert!(members(&ad.read(&wanted).await, "staff").is_empty());
}

#[tokio::test]
async fn the_state_of_accounts_is_read_and_what_is_unknown_is_found() {
    let ad = Ad::new()
        .user_with("off", "userAccountControl: 514\n")
        .user_with("late", "userAccountControl: 512\naccountExpires: 1\n")
        .user_with("blank", "")
        .group("team", &[&person("off"), &person("late"), &person("blank")]);
    let snapshot = ad.read(&request(&[(Kind::Group, "team")])).await;
    let states: Vec<AccountState> = snapshot.users.iter().map(|u| u.account).collect();
    assert_eq!(states, [AccountState::Disabled, AccountState::Expired, AccountState::Unknown]);
    assert_eq!(codes(&snapshot), [Code::AccountUnknown]);
}

#[tokio::test]
async fn who_does_not_match_the_filter_is_read_all_the_same() {
    let ad = Ad::new()
        .user("anna")
        .user("svc-x")
        .user("svc-y")
        .group("team", &[&person("anna"), &person("svc-x")]);
    let mut wanted = request(&[(Kind::Group, "team"), (Kind::User, "svc-y")]);
    wanted.wanted.user_filter = Some("(!(sAMAccountName=svc-*))".to_owned());
    let snapshot = ad.read(&wanted).await;
    let matching: Vec<(String, bool)> =
        snapshot.users.iter().map(|u| (u.dn.leaf(), u.matches_filter)).collect();
    let expected = [("anna", true), ("svc-x", false), ("svc-y", false)].map(|(n, m)| (n.to_owned(), m));
    assert_eq!(matching, expected);
    assert!(snapshot.groups[0].members.completeness.is_complete());
}

/// Not to be returned is no proof: the server may be unable to tell, or have lost sight of somebody meanwhile.
#[tokio::test]
async fn who_matches_neither_the_filter_nor_its_negation_counts_as_not_read() {
    let titled = |title: &str| format!("userAccountControl: 512\ntitle: {title}\n");
    let ad = Ad::new()
        .user_with("anna", &titled("chief"))
        .user_with("ben", &titled("boss"))
        .user("carl")
        .group("team", &[&person("anna"), &person("ben"), &person("carl")])
        .group("few", &[&person("anna"), &person("carl")]);
    let mut wanted = request(&[(Kind::Group, "team"), (Kind::Group, "few"), (Kind::User, "ben")]);
    wanted.wanted.user_filter = Some("(|(title=chief)(&(title=boss)(level:1.2.3:=9)))".to_owned());
    let snapshot = ad.read(&wanted).await;
    let known: Vec<(String, bool)> = snapshot.users.iter().map(|u| (u.dn.leaf(), u.matches_filter)).collect();
    assert_eq!(known, [("anna".to_owned(), true), ("carl".to_owned(), false)]);
    let shortfalls = |name: &str| {
        let group = snapshot.groups.iter().find(|g| g.dn.leaf() == name).unwrap();
        group.members.completeness.shortfalls().to_vec()
    };
    assert!(shortfalls("few").is_empty());
    let team = shortfalls("team");
    assert_eq!(team.len(), 1);
    assert_eq!(team[0].kind, ShortfallKind::AttributeUnreadable);
    assert!(
        team[0].detail.starts_with(&format!("of {},{BASE} the server says neither that", person("ben"))),
        "{}",
        team[0].detail
    );
    assert!(matches!(&snapshot.entries[2].outcome, EntryOutcome::Unread(_)));

    // The same where everybody is swept up.
    let (one, two) = (server::person_dn(1), server::person_dn(2));
    let title = ("title".to_owned(), vec![b"boss".to_vec()]);
    let boss = server::person(2, &two, &[]).with(|list| list.push(title));
    let entries = [(1, server::person(1, &one, &[])), (2, boss), (100, server::team(&[&one, &two]))];
    let mut there = Server::new(entries);
    there.facts.page = 0;
    let mut request = server::request();
    request.wanted.user_filter = wanted.wanted.user_filter.clone();
    let snapshot = super::read(&there, &request).await;
    assert!(snapshot.users.iter().map(|u| (u.anchor, u.matches_filter)).eq([(server::anchor(1), false)]));
    assert!(!snapshot.groups[0].members.completeness.is_complete());
}

#[tokio::test]
async fn few_groups_that_lead_to_many_people_bring_a_sweep() {
    let groups: Vec<String> = (0..3).map(|at| format!("CN=G{at},{BASE}")).collect();
    let people: Vec<String> = (0..60).map(server::person_dn).collect();
    let mut entries = vec![(100, server::team(&groups.iter().map(String::as_str).collect::<Vec<_>>()))];
    for (at, (dn, members)) in groups.iter().zip(people.chunks(20)).enumerate() {
        let members: Vec<&str> = members.iter().map(String::as_str).collect();
        let id = 101 + u32::try_from(at).unwrap();
        entries.push((id, server::group(id, dn, &members)));
    }
    entries.extend((0..).zip(&people).map(|(id, dn)| (id, server::person(id, dn, &[]))));
    let mut there = Server::new(entries);
    (there.facts.page, there.facts.batch) = (2, 2);
    let mut request = server::request();
    request.wanted.primary_group = false;
    let snapshot = super::read(&there, &request).await;
    assert_eq!((snapshot.groups.len(), snapshot.users.len()), (4, 60));
    assert!(snapshot.groups.iter().all(|group| group.members.completeness.is_complete()));
    // The entry, three groups by two names, and everybody; by their names alone they would be thirty requests more.
    let asked = there.asked();
    assert!(asked <= 6, "{asked}");
}

/// In OpenLDAP `posixAccount` is an auxiliary class: a group may have it, and is found among the people then.
#[tokio::test]
async fn a_group_that_is_an_account_too_keeps_its_members_where_everybody_is_swept_up() {
    let entry = |id: u32, dn: &str, classes: &[&str], members: &[&str]| {
        let uuid = server::anchor(id).to_string();
        let name = Dn::parse(dn).unwrap().leaf();
        let list = [("objectclass", classes), ("entryuuid", &[&uuid]), ("cn", &[&name]), ("member", members)];
        (id, RawEntry::new(dn, list))
    };
    let dn = |name: &str| format!("CN={name},{BASE}");
    let (group, person): (&[&str], &[&str]) = (&["groupOfNames"], &["inetOrgPerson"]);
    let entries = [
        entry(1, &dn("Team"), group, &[&dn("ops"), &dn("anna")]),
        entry(2, &dn("ops"), &["groupOfNames", "posixAccount"], &[&dn("bert"), &dn("desk")]),
        // Nothing has led to it when everybody is swept up.
        entry(3, &dn("desk"), &["groupOfNames", "posixAccount"], &[&dn("carl")]),
        entry(4, &dn("anna"), person, &[]),
        entry(5, &dn("bert"), person, &[]),
        entry(6, &dn("carl"), person, &[]),
    ];
    let mut there = Server::new(entries);
    there.facts = crate::directory::names::tests::facts(DirectoryKind::Ldap);
    there.facts.page = 0;
    let snapshot = super::read(&there, &server::request()).await;
    assert_eq!((snapshot.groups.len(), snapshot.users.len()), (3, 3), "{snapshot:?}");
    let members: Vec<_> =
        snapshot.groups.iter().map(|g| (g.members.users.len(), g.members.groups.len())).collect();
    assert_eq!(members, [(1, 1), (1, 1), (1, 0)]);
}

#[tokio::test]
async fn entries_without_a_pin() {
    let ad = Ad::new()
        .user_with(
            "anna",
            "userAccountControl: 512\nmail: team@corp.example\nuserPrincipalName: anna@corp.example\n",
        )
        .user_with("ben", "userAccountControl: 512\nmail: team@corp.example\n")
        .group("team", &[]);
    let snapshot = ad
        .read(&request(&[
            (Kind::User, "CORP\\anna"),
            (Kind::User, "anna@corp.example"),
            (Kind::User, "00000000-0000-0000-0000-000000000001"),
            (Kind::User, "cn=Anna, ou=people, dc=corp, dc=example"),
            (Kind::User, "team@corp.example"),
            (Kind::User, "team"),
            (Kind::User, "nobody"),
            (Kind::User, "OTHER\\anna"),
        ]))
        .await;
    for read in &snapshot.entries[..4] {
        assert!(
            matches!(&read.outcome, EntryOutcome::Resolved { object: ObjectRef::User(ix), renamed: false, .. }
                if snapshot.user(*ix).anchor == guid(1)),
            "{read:?}"
        );
    }
    assert!(matches!(&snapshot.entries[4].outcome, EntryOutcome::Ambiguous(dns) if dns.len() == 2));
    assert!(
        matches!(&snapshot.entries[5].outcome, EntryOutcome::Unsuitable(why) if why.contains("is a group"))
    );
    assert!(matches!(&snapshot.entries[6].outcome, EntryOutcome::NotFound));
    assert!(matches!(&snapshot.entries[7].outcome, EntryOutcome::Unsuitable(why) if why.contains("OTHER")));
    let expected = [
        Code::ScopeEntryAmbiguous,
        Code::ScopeEntryUnsuitable,
        Code::ScopeEntryNotFound,
        Code::ScopeEntryUnsuitable,
    ];
    assert_eq!(codes(&snapshot), expected);
    assert_eq!(snapshot.users.len(), 1, "what only came up in a search is not part of the snapshot");
}

#[tokio::test]
async fn a_pinned_entry_follows_its_object() {
    let ad = Ad::new().user("anna").group("new-name", &[&person("anna")]).group("other", &[]);
    // Renamed: the name is on nobody.
    let snapshot = ad.read(&pinned(Kind::Group, "old-name", 2)).await;
    assert!(matches!(&snapshot.entries[0].outcome,
        EntryOutcome::Resolved { renamed: true, name, .. } if name == "new-name"));
    assert_eq!(codes(&snapshot), [Code::ScopeEntryRenamed]);
    assert_eq!(members(&snapshot, "new-name"), ["anna"]);
    // Not renamed.
    let snapshot = ad.read(&pinned(Kind::Group, "new-name", 2)).await;
    assert!(matches!(&snapshot.entries[0].outcome, EntryOutcome::Resolved { renamed: false, .. }));
    // Moved, for an entry given by its DN.
    let moved = format!("CN=new-name,OU=Old,{BASE}");
    let snapshot = ad.read(&pinned(Kind::Group, &moved, 2)).await;
    assert!(matches!(&snapshot.entries[0].outcome, EntryOutcome::Resolved { renamed: true, .. }));
    // Gone, and the name matches nothing: absence proves nothing.
    let snapshot = ad.read(&pinned(Kind::Group, "old-name", 77)).await;
    assert!(matches!(&snapshot.entries[0].outcome, EntryOutcome::NotFound));
}

#[tokio::test]
async fn what_only_the_search_by_name_brings_is_not_another_object() {
    let one = server::person_dn(1);
    let mut there = Server::new([(1, server::person(1, &one, &[])), (100, server::team(&[&one]))]);
    there.forgets_guids = true;
    let mut request = server::request();
    let pin = Pin { anchor: server::anchor(100), name: "Team".to_owned() };
    request.pins.insert((Kind::Group, "Team".to_owned()), pin);
    let snapshot = super::read(&there, &request).await;
    assert!(matches!(&snapshot.entries[0].outcome, EntryOutcome::Resolved { renamed: false, .. }));
    assert_eq!((snapshot.users.len(), codes(&snapshot)), (1, vec![]));
}

#[tokio::test]
async fn a_name_that_is_on_another_object_is_not_followed() {
    let ad = Ad::new()
        .user("anna")
        .user("eve")
        .group("former", &[&person("anna")])
        .group("admins", &[&person("eve")]);
    let snapshot = ad.read(&pinned(Kind::Group, "admins", 3)).await;
    let EntryOutcome::Rebound { pinned: Some(ObjectRef::Group(ix)), pinned_anchor, claimant, claimant_dn } =
        &snapshot.entries[0].outcome
    else {
        panic!("{:?}", snapshot.entries[0]);
    };
    assert_eq!((*pinned_anchor, *claimant), (guid(3), guid(4)));
    assert_eq!(claimant_dn.leaf(), "admins");
    assert_eq!(snapshot.group(*ix).dn.leaf(), "former");
    assert_eq!(snapshot.groups.len(), 1, "the claimant is not read through");
    assert_eq!(snapshot.users.len(), 1);
    assert_eq!(codes(&snapshot), [Code::ScopeEntryRebound]);

    // The pinned object is gone: nobody is read.
    let snapshot = ad.read(&pinned(Kind::Group, "admins", 77)).await;
    assert!(matches!(&snapshot.entries[0].outcome, EntryOutcome::Rebound { pinned: None, .. }));
    assert!(snapshot.groups.is_empty());

    // A DN that is another object now.
    let dn = format!("CN=admins,OU=Groups,{BASE}");
    let snapshot = ad.read(&pinned(Kind::Group, &dn, 3)).await;
    assert!(matches!(&snapshot.entries[0].outcome, EntryOutcome::Rebound { pinned: Some(_), .. }));

    // An entry given by GUID names the object itself.
    let guid = "00000000-0000-0000-0000-000000000004";
    let snapshot = ad.read(&pinned(Kind::Group, guid, 3)).await;
    assert!(matches!(&snapshot.entries[0].outcome, EntryOutcome::Resolved { renamed: false, name, .. }
        if name == "admins"));
}

#[tokio::test]
async fn an_export_that_is_not_whole_proves_nothing() {
    let ad = Ad::new().user("anna").group("team", &[&person("anna"), &person("ben")]);
    let wanted = request(&[(Kind::Group, "team"), (Kind::User, "ben")]);
    let snapshot = read(&ad.0, DirectoryKind::ActiveDirectory, &wanted).await;
    assert_eq!(members(&snapshot, "team"), ["anna"]);
    let kinds: Vec<ShortfallKind> =
        snapshot.groups[0].members.completeness.shortfalls().iter().map(|s| s.kind).collect();
    assert_eq!(kinds, [ShortfallKind::Truncated]);
    assert!(matches!(&snapshot.entries[1].outcome,
        EntryOutcome::Unread(s) if s.kind == ShortfallKind::Truncated));
    assert!(codes(&snapshot).contains(&Code::GroupReadIncomplete));
}

#[tokio::test]
async fn a_part_of_a_range_in_an_export_is_a_part() {
    let lines = format!(
        "objectClass: group\nsAMAccountName: big\ngroupType: -2147483646\nmember;range=0-0: {},{BASE}\n",
        person("anna")
    );
    let ad = Ad::new().user("anna").object("CN=big,OU=Groups", &lines);
    let snapshot = ad.read(&request(&[(Kind::Group, "big")])).await;
    assert_eq!(members(&snapshot, "big"), ["anna"]);
    let shortfalls = snapshot.groups[0].members.completeness.shortfalls();
    assert_eq!(shortfalls.len(), 1);
    assert_eq!(shortfalls[0].kind, ShortfallKind::Range);
}

#[tokio::test]
async fn what_cannot_be_told_apart_marks_its_group() {
    let no_type = "objectClass: group\nsAMAccountName: x\n";
    let no_class = "sAMAccountName: y\n";
    let ad = Ad::new()
        .object("CN=x,OU=Groups", no_type)
        .object("CN=y,OU=People", no_class)
        .group("one", &["CN=x,OU=Groups"])
        .group("two", &["CN=y,OU=People"])
        .group("three", &[]);
    let wanted =
        request(&[(Kind::Group, "one"), (Kind::Group, "two"), (Kind::Group, "three"), (Kind::Group, "x")]);
    let snapshot = ad.read(&wanted).await;
    let complete: BTreeMap<String, bool> =
        snapshot.groups.iter().map(|g| (g.dn.leaf(), g.members.completeness.is_complete())).collect();
    assert_eq!(
        complete,
        [("one", false), ("three", true), ("two", false)].map(|(n, c)| (n.to_owned(), c)).into()
    );
    assert!(matches!(&snapshot.entries[3].outcome,
        EntryOutcome::Unread(s) if s.kind == ShortfallKind::AttributeUnreadable));
}

#[tokio::test]
async fn other_servers_have_other_classes_and_anchors() {
    let ldif = "dn: uid=anna,ou=People,DC=corp,DC=example\nobjectClass: inetOrgPerson\nuid: anna\ncn: Anna\n\
                entryUUID: 00000000-0000-0000-0000-000000000001\nnsAccountLock: TRUE\n\n\
                dn: uid=ben,ou=People,DC=corp,DC=example\nobjectClass: posixAccount\nuid: ben\n\
                entryUUID: 00000000-0000-0000-0000-000000000002\n\n\
                dn: cn=team,ou=Groups,DC=corp,DC=example\nobjectClass: groupOfNames\ncn: team\n\
                entryUUID: 00000000-0000-0000-0000-000000000003\nmember: uid=anna,ou=People,DC=corp,DC=example\n\
                member: cn=uniq,ou=Groups,DC=corp,DC=example\nmember:\n\n\
                dn: cn=uniq,ou=Groups,DC=corp,DC=example\nobjectClass: groupOfUniqueNames\ncn: uniq\n\
                entryUUID: 00000000-0000-0000-0000-000000000004\n\
                uniqueMember: uid=ben,ou=People,DC=corp,DC=example#'01'B\n\n\
                dn: cn=posix,ou=Groups,DC=corp,DC=example\nobjectClass: posixGroup\ncn: posix\n\
                entryUUID: 00000000-0000-0000-0000-000000000005\nmemberUid: anna\n\n# idcsync: end\n";
    let wanted = request(&[(Kind::Group, "team"), (Kind::Group, "posix"), (Kind::User, "ben")]);
    let snapshot = read(ldif, DirectoryKind::Ldap, &wanted).await;
    assert_eq!(members(&snapshot, "team"), ["anna"]);
    assert_eq!(members(&snapshot, "uniq"), ["ben"]);
    assert_eq!(snapshot.users[0].account, AccountState::Disabled);
    assert_eq!(snapshot.users[1].account, AccountState::Enabled);
    assert!(codes(&snapshot).contains(&Code::GroupMembersUnsupported));
    let posix = snapshot.groups.iter().find(|g| g.dn.leaf() == "posix").unwrap();
    assert!(!posix.members.completeness.is_complete());
    assert_eq!(snapshot.source.binding, "dc=corp,dc=example");
}

#[tokio::test]
async fn one_object_is_looked_up_without_its_members_and_the_groups_above_it_are_found() {
    use crate::ids::Sid;
    use crate::model::{AboveRequest, Below};

    let me = person("anna");
    let ad = Ad::new()
        .user_with("anna", "userAccountControl: 514\nprimaryGroupID: 1005\n")
        .group("team", &[&me])
        .group_of_type("mail", "2", &["CN=team,OU=Groups"])
        .group("top", &["CN=mail,OU=Groups", "CN=top,OU=Groups"])
        .group("primary", &[]);
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("export.ldif");
    std::fs::write(&file, format!("{}{END}", ad.0)).unwrap();
    let base_dn = Dn::parse(BASE).unwrap();
    let directory = LdifDirectory::new(LdifSettings { file, base_dn, kind: DirectoryKind::ActiveDirectory });

    let found = directory.look(&request(&[(Kind::User, "anna")])).await.unwrap();
    assert_eq!(found.users[0].account, AccountState::Disabled);
    let found = directory.look(&request(&[(Kind::Group, "team")])).await.unwrap();
    assert_eq!((found.groups.len(), found.users.len()), (1, 0), "nobody asked for members");

    let dn = Dn::parse(&format!("{me},{BASE}")).unwrap();
    let sid = Sid::parse("S-1-5-21-1-2-3-1001").unwrap();
    let objects = vec![Below { dn, primary_group: sid.sibling(1005) }];
    let request = AboveRequest { objects, distribution: false, server: String::new() };
    let above = directory.above(&request).await.unwrap();
    assert_eq!(above.cut_short, None);
    let list: Vec<_> = above.of[0].iter().map(|g| (g.dn.leaf(), g.level, g.below, g.counts)).collect();
    let expected = [
        ("team".to_owned(), 1, None, true),
        ("primary".to_owned(), 1, None, true),
        ("mail".to_owned(), 2, Some(0), false),
        ("top".to_owned(), 3, Some(2), true),
    ];
    assert_eq!(list, expected);
}

/// Two people in a team, one of whom runs out at noon, on a server that says by how much its clock is ahead.
async fn by_the_servers_clock(ahead: Option<i64>) -> (AccountState, Option<Timestamp>) {
    let (one, two) = (server::person_dn(1), server::person_dn(2));
    // 2026-11-03T12:00:00Z, in 100 ns since 1601.
    let expires = ("accountexpires".to_owned(), vec![b"134381808000000000".to_vec()]);
    let person = server::person(2, &two, &[]).with(|list| list.push(expires));
    let entries = [(1, server::person(1, &one, &[])), (2, person), (100, server::team(&[&one, &two]))];
    let mut there = Server::new(entries);
    there.facts.clock_ahead = ahead;
    let now = "2026-11-03T11:00:00Z".parse().unwrap();
    let snapshot = super::read(&there, &ReadRequest { now, ..server::request() }).await;
    let anchor = server::anchor(2);
    let account = snapshot.users.iter().find(|u| u.anchor == anchor).unwrap().account;
    let objects = [(anchor, Kind::User)].into();
    let request = FateRequest { server: "any".to_owned(), objects, now, cookie: None };
    let fates = crate::directory::fates::fates(&there, &request, BTreeSet::new()).await;
    assert!(matches!(fates.of[&anchor], Fate::Present { account: again, .. } if again == account));
    (account, snapshot.next_expiry)
}

#[tokio::test]
async fn accounts_expire_by_the_directorys_clock() {
    let at = |text: &str| Some(text.parse().unwrap());
    assert_eq!(by_the_servers_clock(None).await, (AccountState::Enabled, at("2026-11-03T12:00:00Z")));
    // This machine's clock is an hour behind, or ahead: when it is time is said by that clock.
    assert_eq!(by_the_servers_clock(Some(3600)).await, (AccountState::Expired, None));
    assert_eq!(by_the_servers_clock(Some(3599)).await, (AccountState::Enabled, at("2026-11-03T11:00:01Z")));
    assert_eq!(by_the_servers_clock(Some(-3600)).await, (AccountState::Enabled, at("2026-11-03T13:00:00Z")));
}

#[tokio::test]
async fn a_group_that_hides_its_sid_has_not_shown_its_members_by_primary_group() {
    let one = server::person_dn(1);
    let mut there = Server::new([(1, server::person(1, &one, &[])), (100, server::team(&[&one]))]);
    there.facts.sids = true;
    let mut request = server::request();
    let shortfalls = |snapshot: Snapshot| snapshot.groups[0].members.completeness.shortfalls().to_vec();
    let found = shortfalls(super::read(&there, &request).await);
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].kind, ShortfallKind::AttributeUnreadable);
    assert!(found[0].detail.contains("let the bind account read it"), "{found:?}");
    request.wanted.primary_group = false;
    assert!(shortfalls(super::read(&there, &request).await).is_empty());
    // An export may have been made without.
    request.wanted.primary_group = true;
    there.facts.sids = false;
    assert!(shortfalls(super::read(&there, &request).await).is_empty());
}
