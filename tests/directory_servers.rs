//! The directory room against real servers: what it reads is what plain `ldapsearch` shows.

#![allow(clippy::unwrap_used, reason = "this is test code, where a panic is the report")]

mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::Duration;

use idcsync::directory::{Bind, Directory, DirectoryError, LdapDirectory, LdapSettings, Servers};
use idcsync::ids::{Anchor, Dn};
use idcsync::model::{
    AccountState, Code, DirectoryKind, EntryOutcome, Kind, Pin, ReadRequest, ScopeEntry, ShortfallKind,
    Snapshot, Wanted,
};
use idcsync::secret::SecretSource;
use support::company::Company;
use support::oracle;
use support::samba::Samba;
use support::slapd::{Options, Slapd};

fn settings(
    kind: DirectoryKind,
    url: String,
    base: &str,
    ca: &Path,
    dn: String,
    password: &Path,
) -> LdapSettings {
    LdapSettings {
        kind,
        servers: Servers::Urls(vec![url]),
        base_dn: Dn::parse(base).unwrap(),
        bind: Bind::Simple { dn, password: SecretSource::File(password.to_owned()) },
        ca_file: Some(ca.to_owned()),
        starttls: true,
        allow_plaintext: false,
        page_size: 500,
        timeout: Duration::from_secs(30),
    }
}

fn of_slapd(slapd: &Slapd, dn: String) -> (LdapSettings, tempfile::NamedTempFile) {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), slapd.password()).unwrap();
    let url = slapd.ldap_url();
    let made = settings(DirectoryKind::Ldap, url, slapd.base_dn(), slapd.ca_file(), dn, file.path());
    (made, file)
}

fn of_samba(samba: &Samba) -> (LdapSettings, tempfile::NamedTempFile) {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), samba.password()).unwrap();
    let (kind, url) = (DirectoryKind::ActiveDirectory, samba.ldaps_url());
    let made = settings(kind, url, samba.base_dn(), samba.ca_file(), samba.bind_dn(), file.path());
    (made, file)
}

fn request(company: &Company) -> ReadRequest {
    let entries = company
        .scope()
        .into_iter()
        .map(|group| ScopeEntry { kind: Kind::Group, name: group.name, write: group.write })
        .collect();
    ReadRequest {
        wanted: Wanted {
            entries,
            nested: true,
            user_filter: None,
            primary_group: true,
            distribution_groups: false,
            attributes: ["displayname", "givenname", "sn", "initials", "description"]
                .map(str::to_owned)
                .into(),
        },
        pins: BTreeMap::new(),
        now: "2026-11-03T12:00:00Z".parse().unwrap(),
        server: None,
    }
}

/// Each group that was read has exactly the members that the dump shows, and nothing is marked.
fn assert_as_dumped(snapshot: &Snapshot, dump: &str) {
    let entries = oracle::parse(dump);
    let by_dn: BTreeMap<Dn, &oracle::Entry> =
        entries.iter().map(|e| (Dn::parse(&e.dn).unwrap(), e)).collect();
    for read in &snapshot.entries {
        assert!(matches!(read.outcome, EntryOutcome::Resolved { .. }), "{read:?}");
    }
    let users: BTreeSet<&Dn> = snapshot.users.iter().map(|u| &u.dn).collect();
    let groups: BTreeSet<&Dn> = snapshot.groups.iter().map(|g| &g.dn).collect();
    assert!(groups.len() > 5 && users.len() > 50);
    for group in &snapshot.groups {
        assert!(group.members.completeness.is_complete(), "{:?}", group.members.completeness);
        let found: BTreeSet<&Dn> = group
            .members
            .users
            .iter()
            .map(|ix| &snapshot.users[ix as usize].dn)
            .chain(group.members.groups.iter().map(|ix| &snapshot.groups[ix as usize].dn))
            .chain(group.members.unreadable.iter().map(|m| &m.dn))
            .collect();
        let entry = by_dn[&group.dn];
        let mut expected: BTreeSet<Dn> = entry.texts("member").map(|m| Dn::parse(m).unwrap()).collect();
        if let Some(rid) = group.sid.as_ref().and_then(|sid| sid.rid()) {
            let rid = rid.to_string();
            let primary = by_dn.iter().filter(|(_, e)| {
                e.text("primarygroupid") == Some(&rid) && e.texts("objectclass").all(|c| c != "computer")
            });
            expected.extend(primary.map(|(dn, _)| dn.clone()));
        }
        // Computers, contacts and the like are members that are of no concern.
        expected.retain(|dn| users.contains(dn) || groups.contains(dn) || !by_dn.contains_key(dn));
        let expected: BTreeSet<&Dn> = expected.iter().collect();
        let differing: Vec<_> = found.symmetric_difference(&expected).take(5).collect();
        assert!(differing.is_empty(), "{}: {differing:?}", group.dn);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn slapd_is_read_whole_over_starttls() {
    let company = Company::new(2500, 120);
    let slapd = Slapd::start(&company);
    let (settings, _password) = of_slapd(&slapd, slapd.reader_dn());
    let snapshot = LdapDirectory::new(settings).read(&request(&company)).await.unwrap();
    assert_as_dumped(&snapshot, &slapd.dump());
    assert!(snapshot.source.requests < 60, "{} requests", snapshot.source.requests);
    let user = &snapshot.users[0];
    assert!(user.attributes.has("uid") && user.created.is_some());
    assert_eq!(user.account, AccountState::Enabled);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_size_limit_is_never_taken_for_the_end() {
    let company = Company::new(800, 60);
    let slapd = Slapd::start_with(&company, &Options { sizelimit: 150, ..Options::default() });
    let (mut settings, _password) = of_slapd(&slapd, slapd.limited_dn());
    settings.page_size = 1000;
    let snapshot = LdapDirectory::new(settings).read(&request(&company)).await.unwrap();
    let whole = |g: &&idcsync::model::DirectoryGroup| g.members.completeness.is_complete();
    assert!(snapshot.groups.iter().any(|g| !whole(&g)));
    let kinds: BTreeSet<ShortfallKind> = snapshot
        .groups
        .iter()
        .flat_map(|g| g.members.completeness.shortfalls().iter().map(|s| s.kind))
        .collect();
    assert_eq!(kinds, [ShortfallKind::Limit].into());
    assert!(snapshot.groups.iter().all(|g| g.members.unreadable.is_empty()));
}

#[tokio::test(flavor = "multi_thread")]
async fn who_the_server_is_and_who_we_are_is_checked() {
    let company = Company::new(20, 15);
    let slapd = Slapd::start(&company);
    let wanted = request(&company);
    let (good, password) = of_slapd(&slapd, slapd.reader_dn());
    let ldaps =
        LdapSettings { servers: Servers::Urls(vec![slapd.ldaps_url()]), starttls: false, ..good.clone() };
    assert!(LdapDirectory::new(ldaps.clone()).read(&wanted).await.is_ok());

    let other_ca = LdapSettings { ca_file: None, ..ldaps };
    let error = LdapDirectory::new(other_ca).read(&wanted).await.unwrap_err();
    let text = error.to_string();
    assert!(text.contains("CA that is not trusted") || text.contains("no CA certificates"), "{text}");

    let plain = LdapSettings { starttls: false, ..good.clone() };
    let error = LdapDirectory::new(plain).read(&wanted).await.unwrap_err();
    assert!(matches!(error, DirectoryError::Plaintext(_)));

    std::fs::write(password.path(), "wrong").unwrap();
    let error = LdapDirectory::new(good).read(&wanted).await.unwrap_err();
    assert_eq!(error.code(), Code::InvalidDirectoryCredentials);
}

#[tokio::test(flavor = "multi_thread")]
async fn samba_is_read_whole_over_ldaps() {
    let company = Company::new(2000, 200);
    let samba = Samba::start(&company);
    let (settings, _password) = of_samba(&samba);
    let directory = LdapDirectory::new(settings);
    let mut wanted = request(&company);
    wanted.wanted.entries.push(ScopeEntry {
        kind: Kind::Group,
        name: "Domain Users".to_owned(),
        write: true,
    });
    let snapshot = directory.read(&wanted).await.unwrap();
    assert_as_dumped(&snapshot, &samba.dump());
    assert!(snapshot.source.requests < 80, "{} requests", snapshot.source.requests);
    assert!(snapshot.source.binding.starts_with("S-1-5-21-"));
    assert!(snapshot.source.current_time.is_some());
    assert!(snapshot.users.iter().any(|u| u.account == AccountState::Disabled));
    assert!(snapshot.users.iter().any(|u| u.account == AccountState::Enabled));

    // A user filter, by the server's word.
    wanted.wanted.user_filter = Some("(userAccountControl:1.2.840.113556.1.4.803:=2)".to_owned());
    let filtered = directory.read(&wanted).await.unwrap();
    assert_eq!(filtered.users.len(), snapshot.users.len());
    for user in &filtered.users {
        assert_eq!(user.matches_filter, user.account == AccountState::Disabled, "{}", user.dn);
    }

    // Every form of a name leads to the same object.
    let (_, group) = snapshot
        .entries
        .iter()
        .find_map(|e| match &e.outcome {
            EntryOutcome::Resolved { object: idcsync::model::ObjectRef::Group(ix), name, .. } => {
                Some((name, snapshot.group(*ix)))
            }
            _ => None,
        })
        .unwrap();
    let account = group.attributes.text("samaccountname").unwrap().to_owned();
    let label = samba.domain().split('.').next().unwrap();
    let forms =
        [account.clone(), format!("{label}\\{account}"), group.dn.to_string(), group.anchor.to_string()];
    wanted.wanted.user_filter = None;
    wanted.wanted.entries =
        forms.iter().map(|name| ScopeEntry { kind: Kind::Group, name: name.clone(), write: true }).collect();
    for read in &directory.read(&wanted).await.unwrap().entries {
        assert!(
            matches!(&read.outcome, EntryOutcome::Resolved { name, renamed: false, .. } if *name == account),
            "{read:?}"
        );
    }

    // Renamed, then its name given to another group.
    let admin = samba.admin();
    wanted.wanted.entries.truncate(1);
    wanted.pins.insert((Kind::Group, account.clone()), Pin { anchor: group.anchor, name: account.clone() });
    admin.replace(group.dn.as_str(), "sAMAccountName", &["Another Name"]);
    let renamed = directory.read(&wanted).await.unwrap();
    assert!(matches!(&renamed.entries[0].outcome,
        EntryOutcome::Resolved { renamed: true, name, .. } if name == "Another Name"));
    let taker =
        snapshot.groups.iter().find(|g| g.anchor != group.anchor && g.dn.leaf() != "Domain Users").unwrap();
    admin.replace(taker.dn.as_str(), "sAMAccountName", &[&account]);
    let rebound = directory.read(&wanted).await.unwrap();
    let anchors = |a: &Anchor, b: &Anchor| *a == group.anchor && *b == taker.anchor;
    assert!(matches!(&rebound.entries[0].outcome,
        EntryOutcome::Rebound { pinned: Some(_), pinned_anchor, claimant, .. } if anchors(pinned_anchor, claimant)));
    assert_eq!(rebound.findings.iter().filter(|f| f.code == Code::ScopeEntryRebound).count(), 1);
}
