//! Newtypes for everything that identifies something, with their text forms.
//!
//! The anchor is the directory's own immutable identifier; names, DNs and addresses are only attributes of it.

use std::fmt::{self, Write as _};
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// The immutable id of a directory object: `objectGUID` (Active Directory), `entryUUID` (RFC 4530) or
/// `nsUniqueId` (389 DS). All three are 128 bits wide.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Anchor(Uuid);

/// As the bytes would be compared, by two registers instead of a call: everything is looked up by anchors.
impl Ord for Anchor {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.0.as_u128().cmp(&other.0.as_u128())
    }
}

impl PartialOrd for Anchor {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Anchor {
    /// From the 16 bytes of `objectGUID`, whose first three fields are little-endian ([MS-DTYP] 2.3.4.2).
    pub fn from_object_guid(bytes: &[u8]) -> Option<Self> {
        Uuid::from_slice_le(bytes).ok().map(Self)
    }

    /// From text: dashed (`entryUUID`, a GUID as AD's tools print it), in braces, 32 hex digits, or the
    /// `8-8-8-8` groups of `nsUniqueId`.
    pub fn parse(text: &str) -> Option<Self> {
        let trimmed = text.trim();
        if let Ok(uuid) = Uuid::parse_str(trimmed) {
            return Some(Self(uuid));
        }
        let groups: Vec<&str> = trimmed.split('-').collect();
        if groups.len() == 4 && groups.iter().all(|g| g.len() == 8) {
            return Uuid::parse_str(&groups.concat()).ok().map(Self);
        }
        None
    }

    pub const fn from_u128(value: u128) -> Self {
        Self(Uuid::from_u128(value))
    }

    pub fn as_bytes(&self) -> &[u8; 16] {
        self.0.as_bytes()
    }

    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        Uuid::from_slice(bytes).ok().map(Self)
    }

    /// The 16 bytes as `objectGUID` stores them.
    pub fn to_object_guid(self) -> [u8; 16] {
        self.0.to_bytes_le()
    }
}

impl fmt::Display for Anchor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.hyphenated().fmt(f)
    }
}

impl fmt::Debug for Anchor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A Windows security identifier in its text form, `S-1-5-21-…`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Sid(String);

impl Sid {
    /// From the binary form of `objectSid` ([MS-DTYP] 2.4.2.2); `None` where the length does not fit.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (&revision, rest) = bytes.split_first()?;
        let (&count, rest) = rest.split_first()?;
        if revision != 1 || rest.len() != 6 + 4 * usize::from(count) {
            return None;
        }
        let (authority, subs) = rest.split_at(6);
        let authority = authority.iter().fold(0_u64, |acc, b| (acc << 8) | u64::from(*b));
        let mut text = format!("S-1-{authority}");
        for sub in subs.chunks_exact(4) {
            let value = sub.iter().rev().fold(0_u32, |acc, b| (acc << 8) | u32::from(*b));
            text.push('-');
            text.push_str(&value.to_string());
        }
        Some(Self(text))
    }

    /// The binary form of `objectSid`.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut parts = self.0.split('-').skip(2).map(|part| part.parse::<u64>().unwrap_or_default());
        let authority = parts.next().unwrap_or_default();
        let subs: Vec<u64> = parts.collect();
        let mut bytes = vec![1, u8::try_from(subs.len()).unwrap_or_default()];
        bytes.extend_from_slice(&authority.to_be_bytes()[2..]);
        for sub in subs {
            bytes.extend_from_slice(&u32::try_from(sub).unwrap_or_default().to_le_bytes());
        }
        bytes
    }

    /// Another object of the same domain.
    #[must_use]
    pub fn sibling(&self, rid: u32) -> Option<Self> {
        self.domain().map(|domain| Self(format!("{domain}-{rid}")))
    }

    pub fn parse(text: &str) -> Option<Self> {
        let rest = text.strip_prefix("S-1-")?;
        let ok = !rest.is_empty() && rest.split('-').all(|p| !p.is_empty() && p.parse::<u64>().is_ok());
        ok.then(|| Self(text.to_owned()))
    }

    /// The relative identifier: the last sub-authority.
    pub fn rid(&self) -> Option<u32> {
        self.0.rsplit('-').next()?.parse().ok()
    }

    /// The SID without its relative identifier: the domain's.
    pub fn domain(&self) -> Option<Sid> {
        self.0.rsplit_once('-').map(|(domain, _)| Self(domain.to_owned()))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Sid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A distinguished name (RFC 4514), compared in normal form: attribute types and values without regard to
/// case, without the optional spaces, escapes undone.
#[derive(Clone)]
pub struct Dn {
    /// Shared, as the key is: a name is kept by whoever was read and by those who look it up.
    text: Arc<str>,
    /// RDNs in normal form; a value cannot contain U+0000 unescaped, so it parts them unambiguously.
    key: Arc<str>,
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DnError {
    #[error("`{0}` has a component without `=`")]
    NoEquals(String),
    #[error("`{0}` ends in the middle of an escape")]
    BadEscape(String),
    #[error("`{0}` has an empty attribute type")]
    EmptyType(String),
    #[error("`{0}` has an attribute type with characters that none has")]
    BadType(String),
}

const RDN_SEPARATOR: char = '\u{0}';

impl Dn {
    /// Parses the text form. The empty string is the root DSE's name.
    pub fn parse(text: &str) -> Result<Self, DnError> {
        match plain_key(text) {
            Some(key) => Ok(Self { text: text.into(), key: key.into() }),
            None => Self::parse_any(text),
        }
    }

    /// Whatever RFC 4514 allows.
    fn parse_any(text: &str) -> Result<Self, DnError> {
        let mut key = String::with_capacity(text.len());
        for rdn in split_unescaped(text, &[',', ';']) {
            if rdn.trim().is_empty() && text.trim().is_empty() {
                break;
            }
            // The parts of a multi-valued RDN have no order (RFC 4514 section 2.2).
            let mut parts = split_unescaped(rdn, &['+'])
                .into_iter()
                .map(|ava| normal_ava(ava, text))
                .collect::<Result<Vec<_>, _>>()?;
            parts.sort();
            if !key.is_empty() {
                key.push(RDN_SEPARATOR);
            }
            key.push_str(&parts.join("+"));
        }
        Ok(Self { text: text.into(), key: key.into() })
    }

    /// The name as the directory wrote it.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The normal form: equal for equal names; not for display.
    pub fn key(&self) -> &str {
        &self.key
    }

    pub(crate) fn shared_text(&self) -> Arc<str> {
        Arc::clone(&self.text)
    }

    pub(crate) fn shared_key(&self) -> Arc<str> {
        Arc::clone(&self.key)
    }

    /// The components in normal form, that of the object itself first.
    pub fn components(&self) -> impl Iterator<Item = &str> {
        self.key.split(RDN_SEPARATOR)
    }

    /// Whether this name is `base` or below it.
    pub fn is_within(&self, base: &Dn) -> bool {
        base.key.is_empty()
            || self
                .key
                .strip_suffix(&*base.key)
                .is_some_and(|above| above.is_empty() || above.ends_with(RDN_SEPARATOR))
    }

    /// The DNS domain that the `DC` components spell (RFC 2247), in lower case; empty where there are none.
    pub fn dns_domain(&self) -> String {
        self.key.split(RDN_SEPARATOR).filter_map(|rdn| rdn.strip_prefix("dc=")).collect::<Vec<_>>().join(".")
    }

    /// The first component's value, unescaped and in its own case: what people call the object.
    pub fn leaf(&self) -> String {
        let first = split_unescaped(&self.text, &[',', ';']).first().copied().unwrap_or_default();
        let value = first.split_once('=').map_or(first, |(_, v)| v);
        unescape(trim_value(value), &self.text)
            .map_or_else(|_| value.to_owned(), |bytes| String::from_utf8_lossy(&bytes).into_owned())
    }
}

/// The key of a name in which nothing is escaped, quoted or of several values, which nearly all are: in one pass.
/// `None` for all others, and for what is no name.
fn plain_key(text: &str) -> Option<String> {
    if text.bytes().any(|b| matches!(b, b'\\' | b'"' | b'+' | b';' | 0)) {
        return None;
    }
    let mut key = String::with_capacity(text.len());
    for rdn in text.split(',') {
        let (kind, value) = rdn.split_once('=')?;
        let kind = kind.trim_matches(' ');
        if kind.is_empty()
            || !kind.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_'))
        {
            return None;
        }
        if !key.is_empty() {
            key.push(RDN_SEPARATOR);
        }
        key.extend(kind.bytes().map(|b| char::from(b.to_ascii_lowercase())));
        key.push('=');
        let mut first = true;
        for word in value.split(' ').filter(|word| !word.is_empty()) {
            if !std::mem::take(&mut first) {
                key.push(' ');
            }
            if word.is_ascii() {
                key.extend(word.bytes().map(|b| char::from(b.to_ascii_lowercase())));
            } else {
                key.extend(word.chars().flat_map(char::to_lowercase));
            }
        }
    }
    Some(key)
}

fn split_unescaped<'a>(text: &'a str, separators: &[char]) -> Vec<&'a str> {
    let mut parts = Vec::new();
    let (mut start, mut escaped, mut quoted) = (0, false, false);
    for (at, c) in text.char_indices() {
        if escaped {
            escaped = false;
        } else if c == '\\' {
            escaped = true;
        } else if c == '"' {
            quoted = !quoted;
        } else if !quoted && separators.contains(&c) {
            parts.push(&text[start..at]);
            start = at + c.len_utf8();
        }
    }
    parts.push(&text[start..]);
    parts
}

fn normal_ava(ava: &str, whole: &str) -> Result<String, DnError> {
    let (kind, value) = ava.split_once('=').ok_or_else(|| DnError::NoEquals(whole.to_owned()))?;
    let kind = kind.trim().to_lowercase();
    if kind.is_empty() {
        return Err(DnError::EmptyType(whole.to_owned()));
    }
    // A descriptor or an OID (RFC 4512 section 1.4); anything else could pass for several components of the key.
    if !kind.chars().all(|c| c.is_alphanumeric() || matches!(c, '-' | '.' | '_' | ';')) {
        return Err(DnError::BadType(whole.to_owned()));
    }
    let value = unescape(trim_value(value), whole)?;
    // caseIgnoreMatch folds case and squeezes inner spaces (RFC 4518 section 2.6.1). `+` and NUL that
    // belong to the value are kept apart from the separators of the key.
    let mut folded = String::with_capacity(value.len());
    for word in value.split(|b| *b == b' ').filter(|w| !w.is_empty()) {
        if !folded.is_empty() {
            folded.push(' ');
        }
        for chunk in word.utf8_chunks() {
            for c in chunk.valid().chars().flat_map(char::to_lowercase) {
                match c {
                    '+' => folded.push_str("\\2b"),
                    '\\' => folded.push_str("\\5c"),
                    '\0' => folded.push_str("\\00"),
                    c => folded.push(c),
                }
            }
            // Names that differ in what is no text are not the same.
            for byte in chunk.invalid() {
                let _ = write!(folded, "\\{byte:02x}");
            }
        }
    }
    Ok(format!("{kind}={folded}"))
}

/// Spaces around a value do not count, except one that is escaped.
fn trim_value(value: &str) -> &str {
    let start = value.trim_start_matches(' ');
    let end = start.trim_end_matches(' ');
    let backslashes = end.chars().rev().take_while(|c| *c == '\\').count();
    if backslashes % 2 == 1 && end.len() < start.len() { &start[..=end.len()] } else { end }
}

/// Undoes `\,`, `\2C` and quoting; hex pairs are bytes, as a rule of UTF-8.
fn unescape(value: &str, whole: &str) -> Result<Vec<u8>, DnError> {
    let value = value.strip_prefix('"').and_then(|v| v.strip_suffix('"')).unwrap_or(value);
    if !value.contains('\\') {
        return Ok(value.as_bytes().to_vec());
    }
    let mut bytes = Vec::with_capacity(value.len());
    let mut rest = value;
    while let Some(at) = rest.find('\\') {
        bytes.extend_from_slice(&rest.as_bytes()[..at]);
        let after = &rest[at + 1..];
        if let Some(byte) = hex_pair(after.as_bytes()) {
            bytes.push(byte);
            rest = &after[2..];
        } else {
            let c = after.chars().next().ok_or_else(|| DnError::BadEscape(whole.to_owned()))?;
            bytes.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
            rest = &after[c.len_utf8()..];
        }
    }
    bytes.extend_from_slice(rest.as_bytes());
    Ok(bytes)
}

/// Two hex digits; a sign, which the standard library would take for a part of the number, is none.
fn hex_pair(bytes: &[u8]) -> Option<u8> {
    let digit = |at: usize| char::from(*bytes.get(at)?).to_digit(16);
    u8::try_from(digit(0)? * 16 + digit(1)?).ok()
}

impl PartialEq for Dn {
    fn eq(&self, other: &Self) -> bool {
        self.key == other.key
    }
}
impl Eq for Dn {}
impl PartialOrd for Dn {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for Dn {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.key.cmp(&other.key)
    }
}
impl std::hash::Hash for Dn {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.key.hash(state);
    }
}
impl fmt::Display for Dn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}
impl fmt::Debug for Dn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Dn({:?})", self.text)
    }
}

macro_rules! text_id {
    ($(#[$meta:meta])* $name:ident) => {
        $(#[$meta])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(String);

        impl $name {
            pub fn new(text: impl Into<String>) -> Self {
                Self(text.into())
            }

            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

text_id! {
    /// The id of a user or group in the target (`UserId` and `GroupId` of the Identity Store API).
    TargetId
}
text_id! {
    /// `d-` and ten digits or letters: the id of an identity store.
    IdentityStoreId
}
text_id! {
    /// Names one plan: a digest of its steps, so that the same plan has the same id.
    PlanId
}
text_id! {
    /// Names one step by its content: what an approval is tied to, whatever plan the step turns up in.
    Fingerprint
}

/// The number of a directory object within a profile, given once and never again; bitmaps of people are
/// over these numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct LinkNo(pub u32);

/// The number of a cycle within the state database.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct CycleId(pub i64);

impl fmt::Display for LinkNo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

impl fmt::Display for CycleId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

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
            text in "(\\PC{0,12}|[a-zA-Z=, .;+\"\\\\#0\0éÉßİ-]{0,40}|(CN|ou|Dc)=[A-Zé ]{0,8}(,(ou|DC) ?= ?[a-zÜ ]{1,5}){0,3})"
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
}
