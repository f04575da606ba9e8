//! The filters that find an object by one of the names that a scope entry may use.

use std::fmt::Write as _;

use ldap3::ldap_escape;

use super::reader::{Facts, RawEntry};
use crate::ids::{Anchor, Dn, Sid};
use crate::model::{DirectoryKind, Kind, NameForm};

/// The attribute in which an entry carries its own name, and which can be searched.
pub(super) fn dn_attribute(kind: DirectoryKind) -> &'static str {
    match kind {
        DirectoryKind::ActiveDirectory => "distinguishedName",
        // RFC 5020
        DirectoryKind::Ldap => "entryDN",
    }
}

pub(super) fn by_dn(kind: DirectoryKind, dn: &Dn) -> String {
    equal(dn_attribute(kind), dn.as_str())
}

pub(super) fn by_anchor(facts: &Facts, anchor: Anchor) -> String {
    match facts.kind {
        DirectoryKind::ActiveDirectory => {
            let mut filter = "(objectGUID=".to_owned();
            for byte in anchor.to_object_guid() {
                let _ = write!(filter, "\\{byte:02x}");
            }
            filter + ")"
        }
        DirectoryKind::Ldap if facts.ns_unique_id => {
            let hex = anchor.to_string().replace('-', "");
            format!("(nsUniqueId={}-{}-{}-{})", &hex[..8], &hex[8..16], &hex[16..24], &hex[24..])
        }
        DirectoryKind::Ldap => format!("(entryUUID={anchor})"),
    }
}

/// The filter for one name, or why there can be none.
pub(super) fn filter(facts: &Facts, kind: Kind, form: &NameForm) -> Result<String, String> {
    let account = account_attribute(facts.kind, kind);
    match form {
        NameForm::Anchor(anchor) => Ok(by_anchor(facts, *anchor)),
        NameForm::Dn(dn) if dn.is_within(&facts.base) => Ok(by_dn(facts.kind, dn)),
        NameForm::Dn(_) => Err(format!("it lies outside the base DN {}", facts.base)),
        NameForm::Domain { domain, name } => {
            if facts.kind != DirectoryKind::ActiveDirectory {
                return Err("names of the form DOMAIN\\name exist in Active Directory only".to_owned());
            }
            let known = facts.domain_names.contains(&domain.to_uppercase())
                || domain.eq_ignore_ascii_case(&facts.domain);
            if !known {
                let ours: Vec<&str> = facts.domain_names.iter().map(String::as_str).collect();
                return Err(format!("the domain {domain} is not the one that is read ({})", ours.join(", ")));
            }
            Ok(equal(account, name))
        }
        NameForm::Address(address) => Ok(match facts.kind {
            DirectoryKind::ActiveDirectory => {
                format!("(|{}{})", equal("userPrincipalName", address), equal("mail", address))
            }
            DirectoryKind::Ldap => format!("(|{}{})", equal(account, address), equal("mail", address)),
        }),
        NameForm::Account(name) => Ok(equal(account, name)),
    }
}

/// Whether an entry that came back for several names at once is the one that this name asked for. Stricter than a
/// server may be (Active Directory sees no accents): what is left over is asked for singly.
pub(super) fn matches(facts: &Facts, kind: Kind, form: &NameForm, entry: &RawEntry, dn: &Dn) -> bool {
    let account = account_attribute(facts.kind, kind).to_lowercase();
    let has = |attribute: &str, wanted: &str| {
        let wanted = fold(wanted);
        entry.values(attribute).any(|v| std::str::from_utf8(v).is_ok_and(|v| fold(v) == wanted))
    };
    match form {
        NameForm::Anchor(anchor) => super::entry::anchor(facts, entry) == Some(*anchor),
        NameForm::Dn(wanted) => wanted == dn,
        NameForm::Domain { name, .. } | NameForm::Account(name) => has(&account, name),
        NameForm::Address(address) => {
            has("mail", address)
                || match facts.kind {
                    DirectoryKind::ActiveDirectory => has("userprincipalname", address),
                    DirectoryKind::Ldap => has(&account, address),
                }
        }
    }
}

/// By `objectSid`, in the binary form that exports and servers hold.
pub(super) fn by_sid(sid: &Sid) -> String {
    let mut filter = "(objectSid=".to_owned();
    for byte in sid.to_bytes() {
        let _ = write!(filter, "\\{byte:02x}");
    }
    filter + ")"
}

fn account_attribute(directory: DirectoryKind, kind: Kind) -> &'static str {
    match (directory, kind) {
        (DirectoryKind::ActiveDirectory, _) => "sAMAccountName",
        (DirectoryKind::Ldap, Kind::User) => "uid",
        (DirectoryKind::Ldap, Kind::Group) => "cn",
    }
}

pub(super) fn equal(attribute: &str, value: &str) -> String {
    format!("({attribute}={})", ldap_escape(value))
}

/// One filter that matches what any of them matches.
pub(super) fn any(filters: &[String]) -> String {
    match filters {
        [one] => one.clone(),
        _ => format!("(|{})", filters.concat()),
    }
}

/// caseIgnoreMatch as far as it matters here: case, and spaces at the ends and doubled.
pub(super) fn fold(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ").to_lowercase()
}

#[cfg(test)]
pub(super) mod tests {
    use proptest::prelude::*;

    use super::super::entry::tests::raw;
    use super::super::filter::Filter;
    use super::*;

    pub(in crate::directory) fn facts(kind: DirectoryKind) -> Facts {
        Facts {
            kind,
            base: Dn::parse("DC=corp,DC=example").unwrap(),
            context: Dn::parse("DC=corp,DC=example").unwrap(),
            server: "test".to_owned(),
            binding: "S-1-5-21-1-2-3".to_owned(),
            domain: "corp.example".to_owned(),
            current_time: None,
            clock_ahead: None,
            domain_names: ["CORP".to_owned()].into(),
            ns_unique_id: false,
            apart: Vec::new(),
            sids: false,
            page: 1000,
            batch: 200,
            partial: None,
        }
    }

    fn ad(kind: Kind, text: &str) -> Result<String, String> {
        filter(&facts(DirectoryKind::ActiveDirectory), kind, &NameForm::of(text))
    }

    #[test]
    fn every_form_has_its_filter() {
        assert_eq!(ad(Kind::Group, "AWS-Admins").unwrap(), "(sAMAccountName=AWS-Admins)");
        assert_eq!(ad(Kind::Group, "corp\\AWS").unwrap(), "(sAMAccountName=AWS)");
        assert_eq!(ad(Kind::Group, "corp.example\\AWS").unwrap(), "(sAMAccountName=AWS)");
        assert!(ad(Kind::Group, "OTHER\\AWS").unwrap_err().contains("OTHER"));
        assert_eq!(
            ad(Kind::User, "a@b.example").unwrap(),
            "(|(userPrincipalName=a@b.example)(mail=a@b.example))"
        );
        assert_eq!(
            ad(Kind::Group, "CN=A\\, (B),DC=corp,DC=example").unwrap(),
            "(distinguishedName=CN=A\\5c, \\28B\\29,DC=corp,DC=example)"
        );
        assert!(ad(Kind::Group, "CN=A,DC=other").is_err());
        assert_eq!(
            ad(Kind::User, "64636261-6665-6867-696a-6b6c6d6e6f70").unwrap(),
            "(objectGUID=\\61\\62\\63\\64\\65\\66\\67\\68\\69\\6a\\6b\\6c\\6d\\6e\\6f\\70)"
        );
        let ldap = facts(DirectoryKind::Ldap);
        let of = |kind, text: &str| filter(&ldap, kind, &NameForm::of(text));
        assert_eq!(of(Kind::User, "alice").unwrap(), "(uid=alice)");
        assert_eq!(of(Kind::Group, "admins").unwrap(), "(cn=admins)");
        assert!(of(Kind::Group, "CORP\\admins").is_err());
    }

    #[test]
    fn nothing_in_a_name_can_change_the_filter() {
        assert_eq!(ad(Kind::User, "*)(cn~*").unwrap(), "(sAMAccountName=\\2a\\29\\28cn~\\2a)");
    }

    #[test]
    fn an_unique_id_in_the_form_of_389() {
        let mut ldap = facts(DirectoryKind::Ldap);
        ldap.ns_unique_id = true;
        let anchor = Anchor::parse("b6e7ef85-c2a011ef-8b2ae6d1-5c9f0e3a").unwrap();
        assert_eq!(by_anchor(&ldap, anchor), "(nsUniqueId=b6e7ef85-c2a011ef-8b2ae6d1-5c9f0e3a)");
    }

    #[test]
    fn names_are_held_against_entries_without_regard_to_case() {
        let facts = facts(DirectoryKind::ActiveDirectory);
        let dn = Dn::parse("CN=A,DC=corp,DC=example").unwrap();
        let entry = raw(dn.as_str(), &[("sAMAccountName", &["AWS  Admins"]), ("mail", &["X@b.example"])]);
        let is = |text: &str| matches(&facts, Kind::Group, &NameForm::of(text), &entry, &dn);
        assert!(is("aws admins"));
        assert!(is("CORP\\aws admins"));
        assert!(is("x@B.example"));
        assert!(is("cn=a,dc=CORP,dc=example"));
        assert!(!is("aws"));
    }

    /// The one condition, or the two, that the filter stands for.
    fn equalities(filter: &str) -> Vec<(String, Vec<u8>)> {
        assert!(ldap3::parse_filter(filter).is_ok(), "{filter}");
        match Filter::parse(filter).unwrap() {
            Filter::Equal(attribute, value) => vec![(attribute, value)],
            Filter::Or(list) => list
                .into_iter()
                .map(|each| match each {
                    Filter::Equal(attribute, value) => (attribute, value),
                    other => panic!("{other:?}"),
                })
                .collect(),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn names_that_were_made_to_be_filters_are_names() {
        for name in
            ["*)(objectClass=*", "a\\00", "(|(x=*))", "*", "a)(&", "\"'`", "é\u{202e}\0", "\\2a", "a*b\\"]
        {
            let sent = filter(
                &facts(DirectoryKind::ActiveDirectory),
                Kind::User,
                &NameForm::Account(name.to_owned()),
            );
            let expected = vec![("samaccountname".to_owned(), name.as_bytes().to_vec())];
            assert_eq!(equalities(&sent.unwrap()), expected, "{name}");
        }
    }

    proptest! {
        #[test]
        fn a_filter_asks_for_exactly_the_name(name in "\\PC{0,30}|[\0-\x7f]{0,30}|[()*\\\\&|!=a0]{0,12}", ad in proptest::bool::ANY) {
            let kind = if ad { DirectoryKind::ActiveDirectory } else { DirectoryKind::Ldap };
            let facts = facts(kind);
            for kind in [Kind::User, Kind::Group] {
                let form = NameForm::of(&name);
                let Ok(sent) = filter(&facts, kind, &form) else { continue };
                let wanted = match &form {
                    NameForm::Account(text) | NameForm::Address(text) => text.clone(),
                    NameForm::Domain { name, .. } => name.clone(),
                    NameForm::Dn(dn) => dn.as_str().to_owned(),
                    NameForm::Anchor(_) => continue,
                };
                for (_, value) in equalities(&sent) {
                    prop_assert_eq!(&value, wanted.as_bytes(), "{}", sent);
                }
            }
        }
    }
}
