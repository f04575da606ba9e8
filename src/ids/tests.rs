#![allow(clippy::unwrap_used, reason = "in a test, a panic is the report")]

use proptest::prelude::*;

use super::dn::plain_key;
use super::*;

fn dn(text: &str) -> Dn {
    Dn::parse(text).unwrap()
}

#[test]
fn a_sid_goes_there_and_back() {
    let sid = Sid::parse("S-1-5-21-1003221212-1177285379-682003330-1105").unwrap();
    assert_eq!(Sid::from_bytes(&sid.to_bytes()), Some(sid.clone()));
    let other = sid.sibling(513).unwrap();
    assert_eq!(other.as_str(), "S-1-5-21-1003221212-1177285379-682003330-513");
}

#[test]
fn equal_names_in_different_spelling_are_equal() {
    assert_eq!(dn("CN=Müller\\, Anna,OU=A,DC=x"), dn("cn=müller\\2C anna , ou = a;dc=X"));
    assert_eq!(dn("cn=\"Müller, Anna\",dc=x"), dn("CN=M\\C3\\BCller\\, Anna,DC=x"));
    assert_eq!(dn("ou=a+cn=b,dc=x"), dn("cn=B + ou=A,dc=x"));
    assert_eq!(dn("cn=a  b,dc=x"), dn("cn=a b,dc=x"));
    assert_ne!(dn("cn=a\\+ou=b,dc=x"), dn("cn=a+ou=b,dc=x"));
    assert_ne!(dn("cn=a\\,dc=x"), dn("cn=a,dc=x"));
}

#[test]
fn an_escaped_sign_is_no_hex_pair() {
    assert_eq!(dn("cn=R\\+D,dc=x").leaf(), "R+D");
    assert_eq!(dn("cn=R\\+D,dc=x"), dn("cn=R\\2BD,dc=x"));
    assert_ne!(dn("cn=R\\+D,dc=x"), dn("cn=R\\0D,dc=x"));
}

#[test]
fn names_that_differ_in_what_is_no_text_differ() {
    assert_ne!(dn("cn=a\\ff,dc=x"), dn("cn=a\\fe,dc=x"));
    assert_ne!(dn("cn=a\\ff,dc=x"), dn("cn=a\\ef\\bf\\bd,dc=x"));
    assert_eq!(dn("cn=a\\FF,dc=x"), dn("CN=A\\ff,DC=x"));
}

#[test]
fn a_type_cannot_hide_a_component() {
    assert!(Dn::parse("cn=a,x\0dc=corp,dc=example").is_err());
    assert!(Dn::parse("cn=a,\"ou\"=b").is_err());
    assert!(Dn::parse("cn=a,o\\,u=b").is_err());
    assert!(!dn("cn=a\\00dc=corp,dc=example").is_within(&dn("dc=corp,dc=example")));
}

#[test]
fn a_name_is_within_its_base_by_components_not_by_letters() {
    let base = dn("DC=corp,DC=example");
    assert!(dn("cn=a,dc=CORP,dc=example").is_within(&base));
    assert!(base.is_within(&base));
    assert!(!dn("cn=a,dc=notcorp,dc=example").is_within(&dn("dc=corp,dc=example")));
    assert!(!dn("cn=a\\,dc=corp,dc=example").is_within(&dn("dc=corp,dc=example")));
    assert!(dn("cn=a").is_within(&dn("")));
}

#[test]
fn dns_domain_and_leaf() {
    let d = dn("CN=Weiß\\, Jörg,OU=Büro,DC=Corp,DC=example,DC=com");
    assert_eq!(d.dns_domain(), "corp.example.com");
    assert_eq!(d.leaf(), "Weiß, Jörg");
}

#[test]
fn malformed_names_are_refused() {
    assert!(Dn::parse("alice").is_err());
    assert!(Dn::parse("cn=a\\").is_err());
    assert!(Dn::parse("=a,dc=x").is_err());
}

#[test]
fn trailing_escaped_space_is_kept_from_trimming() {
    assert!(Dn::parse("cn=a\\ ,dc=x").is_ok());
    assert_eq!(dn("cn=a\\ ,dc=x").leaf(), "a ");
}

#[test]
fn a_guid_that_is_valid_utf8_and_one_that_is_not() {
    let ascii = Anchor::from_object_guid(b"abcdefghijklmnop").unwrap();
    assert_eq!(ascii.to_string(), "64636261-6665-6867-696a-6b6c6d6e6f70");
    assert_eq!(ascii.to_object_guid(), *b"abcdefghijklmnop");
    assert!(Anchor::from_object_guid(b"short").is_none());
    assert_eq!(
        Anchor::parse("64636261-66656867-696a6b6c-6d6e6f70"),
        Anchor::parse("{64636261-6665-6867-696A-6B6C6D6E6F70}")
    );
}

#[test]
fn sid_from_bytes() {
    let bytes = [1, 2, 0, 0, 0, 0, 0, 5, 32, 0, 0, 0, 0x20, 2, 0, 0];
    let sid = Sid::from_bytes(&bytes).unwrap();
    assert_eq!(sid.as_str(), "S-1-5-32-544");
    assert_eq!(sid.rid(), Some(544));
    assert!(Sid::from_bytes(&bytes[..10]).is_none());
}

#[test]
fn a_comma_in_a_name_is_no_detour() {
    for (text, key) in [
        ("CN=Smith\\, Jo,OU=A,DC=x", "cn=smith, jo\0ou=a\0dc=x"),
        ("CN=Smith\\2C Jo,DC=x", "cn=smith, jo\0dc=x"),
        ("CN=\\#1 Büro\\=\\3e,DC=x", "cn=#1 büro=>\0dc=x"),
        ("OU=R&D \\\"Labs\\22\\;,DC=x", "ou=r&d \"labs\";\0dc=x"),
        ("CN=a\\2B b,OU=Sales \\+ Marketing\\5C", "cn=a\\2b b\0ou=sales \\2b marketing\\5c"),
    ] {
        assert_eq!(plain_key(text).as_deref(), Some(key), "{text}");
    }
    for text in ["CN=a\\", "CN=a\\ ,DC=x", "CN=\\C3\\B6", "CN=a\\é"] {
        assert_eq!(plain_key(text), None, "{text}");
    }
}

/// As a server may write the value: every byte escaped, or only what must be.
fn escaped(value: &str, all: bool) -> String {
    value.bytes().fold(String::new(), |text, b| {
        if all || !b.is_ascii_alphanumeric() {
            format!("{text}\\{b:02X}")
        } else {
            text + &char::from(b).to_string()
        }
    })
}

proptest! {
    #[test]
    fn the_short_way_through_a_name_leads_to_the_same(
        text in "(\\PC{0,12}|[a-zA-Z=, .;+\"\\\\#0\0éÉßİ-]{0,40}|(CN|ou|Dc)=([A-Zé ]|\\\\[,;=<>#+\" \\\\é]|\\\\(2[0-9A-Fa-f]|C3|5c|41)){0,8}(,(ou|DC) ?= ?[a-zÜ ]{1,5}){0,3})"
    ) {
        if let Some(key) = plain_key(&text) {
            let parsed = Dn::parse_any(&text).unwrap();
            prop_assert_eq!(parsed.key(), key);
        }
    }

    #[test]
    fn no_text_makes_a_name_panic(text in "\\PC*|[a-c=,;+\\\\\"# 0-9A-F\0é]{0,40}") {
        if let Ok(one) = Dn::parse(&text) {
            prop_assert_eq!(&Dn::parse(one.as_str()).unwrap(), &one);
            prop_assert!(one.is_within(&one));
            let _ = (one.leaf(), one.dns_domain(), one.components().count());
        }
    }

    #[test]
    fn a_value_comes_back_however_it_is_escaped(value in "\\PC{1,20}|[\0-\x20,+\"\\\\<>;=#a-f0-9]{1,20}") {
        let (one, other) = (escaped(&value, true), escaped(&value, false));
        let (one, other) = (dn(&format!("CN={one},DC=x")), dn(&format!("cn={other} , dc=X")));
        prop_assert_eq!(one.leaf(), value.as_str());
        prop_assert_eq!(other.leaf(), value.as_str());
        prop_assert_eq!(one.components().count(), 2);
        prop_assert_eq!(&one, &other);
        prop_assert!(one.is_within(&dn("dc=x")) && !one.is_within(&dn("dc=y")));
    }
}
