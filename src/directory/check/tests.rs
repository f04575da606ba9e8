//! What is said of a directory, read from LDIF.

use std::path::PathBuf;

use super::*;
use crate::ids::{Anchor, Dn, IdentityStoreId};
use crate::model::{Binding, ScopeEntry};

const BASE: &str = "DC=corp,DC=example";

/// `ldif`: objects, whose DNs end in BASE.
fn written(dir: &tempfile::TempDir, ldif: &str) -> PathBuf {
    let file = dir.path().join("export.ldif");
    std::fs::write(&file, format!("{}# idcsync: end\n", ldif.replace("BASE", BASE))).unwrap();
    file
}

fn wanted(groups: &[&str]) -> Wanted {
    let entry = |name: &&str| ScopeEntry { kind: Kind::Group, name: (*name).to_owned(), write: true };
    Wanted {
        entries: groups.iter().map(entry).collect(),
        nested: true,
        user_filter: None,
        primary_group: true,
        distribution_groups: false,
        attributes: Default::default(),
    }
}

/// Of the entries alone. `pins`: names with the numbers of their objects, of the directory `bound`.
async fn of_entries(ldif: &str, groups: &[&str], pins: &[(&str, u128)], bound: &str) -> Vec<CheckLine> {
    let pin = |(name, to): &(&str, u128)| {
        ((Kind::Group, (*name).to_owned()), Pin { anchor: Anchor::from_u128(*to), name: (*name).to_owned() })
    };
    let binding =
        Binding { directory: bound.to_owned(), identity_store: IdentityStoreId::new("d-1234567890") };
    let known = Known { pins: pins.iter().map(pin).collect(), binding: Some(binding), ..Known::default() };
    let dir = tempfile::tempdir().unwrap();
    let file = written(&dir, ldif);
    let settings = LdifSettings { file, base_dn: Dn::parse(BASE).unwrap(), kind: DirectoryKind::Ldap };
    let mut lines = check(&DirectorySettings::Ldif(settings), &wanted(groups), &known, false).await;
    assert_eq!(lines.remove(0).name, "LDIF file");
    lines
}

async fn around(ldif: &str, kind: DirectoryKind) -> Vec<CheckLine> {
    let dir = tempfile::tempdir().unwrap();
    let settings = LdifSettings { file: written(&dir, ldif), base_dn: Dn::parse(BASE).unwrap(), kind };
    let reader = ldif::open(&settings, &wanted(&[])).await.unwrap();
    let mut lines = Vec::new();
    rights::look_around(&reader, &mut lines).await;
    lines
}

fn group(number: u32, name: &str, class: &str, more: &str) -> String {
    format!(
        "dn: cn={name},BASE\nobjectClass: {class}\ncn: {name}\nentryUUID: 00000000-0000-0000-0000-00000000000{number}\n\
         {more}\n"
    )
}

#[tokio::test]
async fn an_entry_is_looked_up_by_its_pin_as_in_a_cycle() {
    let ldif = group(1, "old", "groupOfNames", "") + &group(2, "admins", "groupOfNames", "");
    let pins = [("former", 1), ("admins", 1)];
    let lines = of_entries(&ldif, &["former", "admins", "old"], &pins, "dc=corp,dc=example").await;
    let of: Vec<_> = lines.iter().map(|l| (l.name.as_str(), l.state)).collect();
    assert_eq!(
        of,
        [
            ("group former", CheckState::Warn),
            ("group admins", CheckState::Fail),
            ("group old", CheckState::Ok),
        ]
    );
    assert!(lines[0].detail.contains("is now called old; it is followed"), "{}", lines[0].detail);
    assert!(lines[1].detail.contains("is the name of another object now"), "{}", lines[1].detail);

    // Of another directory, which the profile was bound to before.
    let lines = of_entries(&ldif, &["admins"], &pins, "dc=elsewhere").await;
    assert_eq!(lines[0].state, CheckState::Ok);
}

#[tokio::test]
async fn a_group_whose_members_are_not_understood_is_worth_a_look() {
    let ldif = group(1, "posix", "posixGroup", "memberUid: anna\n")
        + &group(2, "both", "posixGroup", "member: cn=anna,BASE\nmemberUid: anna\n");
    let lines = of_entries(&ldif, &["posix", "both"], &[], "").await;
    assert_eq!(lines[0].state, CheckState::Warn);
    assert!(lines[0].detail.contains("names its members by memberUid only"), "{}", lines[0].detail);
    assert_eq!(lines[1].state, CheckState::Ok);

    // Counted once, whatever it has.
    let lines = around(&ldif, DirectoryKind::Ldap).await;
    assert_eq!(lines[0], CheckLine::ok("members", "readable (1 of the first 2 groups show some)"));
    let lines = around(&group(1, "posix", "posixGroup", "memberUid: anna\n"), DirectoryKind::Ldap).await;
    assert_eq!(lines[0].state, CheckState::Warn);
    assert!(lines[0].detail.contains("but by memberUid"), "{}", lines[0].detail);
}

#[tokio::test]
async fn what_can_be_read_of_some_people_only_is_worth_a_look() {
    let person = |name: &str, more: &str| {
        format!("dn: CN={name},BASE\nobjectClass: user\nsAMAccountName: {name}\n{more}\n")
    };
    let guid = |number: u128| {
        use base64::Engine as _;
        let bytes = Anchor::from_u128(number).to_object_guid();
        format!("objectGUID:: {}\n", base64::engine::general_purpose::STANDARD.encode(bytes))
    };
    let whole = "userAccountControl: 512\naccountExpires: 0\n";
    let trust = person("OTHER$", "sAMAccountType: 805306370\n");
    let states = async |ldif: String| {
        let lines = around(&ldif, DirectoryKind::ActiveDirectory).await;
        let of = |name: &str| lines.iter().find(|l| l.name == name).map(|l| l.state);
        [of("people"), of("userAccountControl"), of("accountExpires")].map(Option::unwrap)
    };
    let (ok, warn, fail) = (CheckState::Ok, CheckState::Warn, CheckState::Fail);
    let anna = person("anna", &(guid(1) + whole));
    assert_eq!(states(format!("{anna}{trust}")).await, [ok, ok, ok]);
    assert_eq!(states(anna.clone() + &person("ben", &guid(2))).await, [ok, warn, warn]);
    assert_eq!(states(anna + &person("ben", whole)).await, [warn, ok, ok]);
    assert_eq!(states(person("ben", &(guid(2) + "userAccountControl: 512\n"))).await, [ok, ok, warn]);
    assert_eq!(states(person("ben", "")).await, [fail, fail, warn]);
}
