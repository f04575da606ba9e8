//! Fates over an export.

use std::collections::BTreeMap;

use crate::directory::{Directory, LdifDirectory, LdifSettings};
use crate::ids::{Anchor, Dn};
use crate::model::{AccountState, DirectoryKind, Fate, FateRequest, Fates, Kind, ShortfallKind};

const END: &str = "# idcsync: end\n";

fn anchor(number: u128) -> Anchor {
    Anchor::from_u128(number)
}

fn export() -> String {
    let entry = |number: u128, name: &str, lines: &str| {
        format!(
            "dn: uid={name},DC=corp,DC=example\nobjectClass: inetOrgPerson\nentryUUID: {}\n{lines}\n",
            anchor(number)
        )
    };
    entry(1, "anna", "") + &entry(2, "off", "nsAccountLock: true\n") + &entry(3, "team", "")
}

async fn fates(ldif: &str, base: &str) -> Fates {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("export.ldif");
    std::fs::write(&file, ldif).unwrap();
    let settings = LdifSettings { file, base_dn: Dn::parse(base).unwrap(), kind: DirectoryKind::Ldap };
    let objects: BTreeMap<Anchor, Kind> =
        [(1, Kind::User), (2, Kind::User), (3, Kind::Group), (9, Kind::User)]
            .map(|(n, k)| (anchor(n), k))
            .into();
    let request = FateRequest {
        server: "any".to_owned(),
        objects,
        now: "2026-11-03T12:00:00Z".parse().unwrap(),
        cookie: None,
    };
    LdifDirectory::new(settings).fates(&request).await.unwrap()
}

#[tokio::test]
async fn an_export_shows_what_is_there() {
    let fates = fates(&(export() + END), "DC=corp,DC=example").await;
    let accounts: Vec<Option<AccountState>> = fates
        .of
        .values()
        .map(|fate| match fate {
            Fate::Present { account, .. } => Some(*account),
            _ => None,
        })
        .collect();
    let expected =
        [Some(AccountState::Enabled), Some(AccountState::Disabled), Some(AccountState::Unknown), None];
    assert_eq!(accounts, expected);
    assert_eq!(fates.of[&anchor(9)], Fate::Absent);
    assert!(fates.cookie.is_none() && fates.reported.is_empty());
}

#[tokio::test]
async fn what_lies_outside_the_base_is_absent_and_never_deleted() {
    let fates = fates(&(export() + END), "OU=People,DC=corp,DC=example").await;
    assert!(fates.of.values().all(|fate| *fate == Fate::Absent));
}

#[tokio::test]
async fn an_export_that_is_not_whole_says_nothing_of_what_it_lacks() {
    let fates = fates(&export(), "DC=corp,DC=example").await;
    assert!(matches!(&fates.of[&anchor(1)], Fate::Present { .. }));
    assert!(matches!(&fates.of[&anchor(9)], Fate::Unread(s) if s.kind == ShortfallKind::Truncated));
}
