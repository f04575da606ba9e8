//! Distinguished names.

use std::fmt::{self, Write as _};
use std::sync::Arc;

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
    pub(super) fn parse_any(text: &str) -> Result<Self, DnError> {
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

/// The key of a name without quotes and without components of several values, in which nothing but plain marks is
/// escaped (`Smith\\, Jo`), as nearly all are: in one pass. `None` for all others, and for what is no name.
pub(super) fn plain_key(text: &str) -> Option<String> {
    let mut key = String::with_capacity(text.len());
    let mut rest = Some(text);
    while let Some(here) = rest {
        let (rdn, after) = first_component(here);
        rest = after;
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
            push_folded(&mut key, word)?;
        }
    }
    Some(key)
}

/// Up to the first comma that is not escaped, and what follows it.
fn first_component(text: &str) -> (&str, Option<&str>) {
    let bytes = text.as_bytes();
    let mut at = 0;
    while let Some(byte) = bytes.get(at) {
        match byte {
            b',' => return (&text[..at], Some(&text[at + 1..])),
            // Whatever is escaped takes two places at the least, and a comma is no second hex digit.
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
    (text, None)
}

/// `None` where something is escaped that is not simply a mark.
fn push_folded(key: &mut String, word: &str) -> Option<()> {
    let mut pieces = word.split('\\');
    let mut piece = pieces.next();
    while let Some(plain) = piece {
        if plain.bytes().any(|b| matches!(b, b'"' | b'+' | b';' | 0)) {
            return None;
        }
        if plain.is_ascii() {
            key.extend(plain.bytes().map(|b| char::from(b.to_ascii_lowercase())));
        } else {
            key.extend(plain.chars().flat_map(char::to_lowercase));
        }
        piece = pieces.next();
        if let Some(escaped) = &mut piece {
            let (mark, after) = match hex_pair(escaped.as_bytes()) {
                Some(byte) => (byte, escaped.get(2..)?),
                None => (*escaped.as_bytes().first()?, escaped.get(1..)?),
            };
            match mark {
                // As they are kept apart from what separates, there.
                b'+' => key.push_str("\\2b"),
                b'\\' => key.push_str("\\5c"),
                _ if mark.is_ascii_punctuation() => key.push(char::from(mark)),
                _ => return None,
            }
            *escaped = after;
        }
    }
    Some(())
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
