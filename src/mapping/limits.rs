//! What the identity store accepts, so that a value it would refuse is found before any call.
//!
//! From the Identity Store API Reference: `CreateUser`, `CreateGroup` and their types. The reference does not
//! say in which unit it counts; a length here is in UTF-16 code units, which is never less than the number of
//! characters: what passes here passes by either count.

use std::fmt;
use std::sync::LazyLock;

use regex::Regex;

use crate::model::{GroupAttributes, UserAttribute, UserAttributes};

/// Longest userName.
pub const MAX_USER_NAME: usize = 128;
/// Longest external id (`ExternalIdIdentifier`).
pub const MAX_EXTERNAL_ID: usize = 256;
/// Longest of every other text.
pub const MAX_TEXT: usize = 1024;

/// Names that no user and no group may have; taken as without regard to case.
pub const RESERVED: [&str; 2] = ["Administrator", "AWSAdministrators"];

/// Letters, marks, symbols, numbers and punctuation: userName and external ids. No spaces, and none of the
/// invisible characters (controls, direction marks, zero-width joiners).
static NAME: LazyLock<Option<Regex>> = LazyLock::new(|| Regex::new(r"^[\p{L}\p{M}\p{S}\p{N}\p{P}]+$").ok());
/// The same with tab, line ends, space and no-break space: `GroupDisplayName`.
static GROUP_NAME: LazyLock<Option<Regex>> =
    LazyLock::new(|| Regex::new(r"^[\p{L}\p{M}\p{S}\p{N}\p{P}\t\n\r \u{a0}]+$").ok());
/// The same with the ideographic space too: `SensitiveStringType`.
static TEXT: LazyLock<Option<Regex>> =
    LazyLock::new(|| Regex::new(r"^[\p{L}\p{M}\p{S}\p{N}\p{P}\t\n\r \u{a0}\u{3000}]+$").ok());

/// A value that the target would refuse. Does not hold the value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The attribute's name in a mapping.
    pub attribute: &'static str,
    pub breach: Breach,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Breach {
    Empty,
    TooLong {
        length: usize,
        limit: usize,
    },
    /// The first character that is not allowed.
    Character(char),
    Reserved,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let attribute = self.attribute;
        match &self.breach {
            Breach::Empty => write!(f, "{attribute} is empty"),
            Breach::TooLong { length, limit } => {
                write!(f, "{attribute} has {length} characters of at most {limit}")
            }
            Breach::Character(' ') => write!(f, "{attribute} contains a space, which is not allowed in it"),
            Breach::Character(c) => {
                write!(
                    f,
                    "{attribute} contains the character U+{:04X}, which is not allowed in it",
                    u32::from(*c)
                )
            }
            Breach::Reserved => {
                write!(f, "{attribute} is one of the names that are reserved ({})", RESERVED.join(", "))
            }
        }
    }
}

/// What the target would refuse in a user. That something required is missing is not looked at.
pub fn check_user(attributes: &UserAttributes) -> Vec<Problem> {
    attributes
        .iter()
        .filter_map(|(attribute, value)| {
            let breach = match attribute {
                UserAttribute::UserName => name(value, MAX_USER_NAME, &NAME),
                UserAttribute::ExternalId => text(value, MAX_EXTERNAL_ID, &NAME),
                _ => text(value, MAX_TEXT, &TEXT),
            }?;
            Some(Problem { attribute: attribute.path(), breach })
        })
        .collect()
}

/// What the target would refuse in a group.
pub fn check_group(attributes: &GroupAttributes) -> Vec<Problem> {
    let display_name = name(&attributes.display_name, MAX_TEXT, &GROUP_NAME);
    let description = attributes.description.as_ref().and_then(|v| text(v, MAX_TEXT, &TEXT));
    let external_id = attributes.external_id.as_ref().and_then(|v| text(v, MAX_EXTERNAL_ID, &NAME));
    [("displayName", display_name), ("description", description), ("externalId", external_id)]
        .into_iter()
        .filter_map(|(attribute, breach)| Some(Problem { attribute, breach: breach? }))
        .collect()
}

/// Whether a userName has the form name@domain, which SAML's nameID must match.
pub fn is_address(user_name: &str) -> bool {
    user_name
        .split_once('@')
        .is_some_and(|(name, domain)| !name.is_empty() && !domain.is_empty() && !domain.contains('@'))
}

fn name(value: &str, limit: usize, allowed: &LazyLock<Option<Regex>>) -> Option<Breach> {
    text(value, limit, allowed).or_else(|| {
        RESERVED.iter().any(|reserved| reserved.eq_ignore_ascii_case(value)).then_some(Breach::Reserved)
    })
}

fn text(value: &str, limit: usize, allowed: &LazyLock<Option<Regex>>) -> Option<Breach> {
    if value.is_empty() {
        return Some(Breach::Empty);
    }
    let length = if value.is_ascii() { value.len() } else { value.encode_utf16().count() };
    if length > limit {
        return Some(Breach::TooLong { length, limit });
    }
    // Letters, digits, symbols and punctuation: no pattern leaves one of these out.
    if value.bytes().all(|b| b.is_ascii_graphic()) {
        return None;
    }
    let is_allowed = |text: &str| allowed.as_ref().is_some_and(|pattern| pattern.is_match(text));
    if is_allowed(value) {
        return None;
    }
    let mut buffer = [0; 4];
    value.chars().find(|c| !is_allowed(c.encode_utf8(&mut buffer))).map(Breach::Character)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_pattern_refuses_a_visible_ascii_character() {
        for c in (0..=127).map(char::from).filter(char::is_ascii_graphic) {
            for pattern in [&NAME, &GROUP_NAME, &TEXT] {
                assert!(pattern.as_ref().unwrap().is_match(&c.to_string()), "{c}");
            }
        }
    }

    fn user(attribute: UserAttribute, value: &str) -> Option<Breach> {
        check_user(&UserAttributes::from([(attribute, value.to_owned())])).pop().map(|p| p.breach)
    }

    #[test]
    fn user_names() {
        for good in ["a", "jörg@büro.example", "o'neil+x@x", "Ω№€", "e\u{301}", &"a".repeat(128)] {
            assert_eq!(user(UserAttribute::UserName, good), None, "{good}");
        }
        assert_eq!(user(UserAttribute::UserName, ""), Some(Breach::Empty));
        assert_eq!(
            user(UserAttribute::UserName, &"a".repeat(129)),
            Some(Breach::TooLong { length: 129, limit: 128 })
        );
        assert_eq!(
            user(UserAttribute::UserName, &"\u{1F600}".repeat(65)),
            Some(Breach::TooLong { length: 130, limit: 128 })
        );
        for (bad, c) in
            [("a b", ' '), ("a\u{a0}b", '\u{a0}'), ("a\0", '\0'), ("\u{202e}a", '\u{202e}'), ("a\n", '\n')]
        {
            assert_eq!(user(UserAttribute::UserName, bad), Some(Breach::Character(c)));
        }
        for reserved in ["administrator", "AWSADMINISTRATORS"] {
            assert_eq!(user(UserAttribute::UserName, reserved), Some(Breach::Reserved));
        }
        assert_eq!(user(UserAttribute::UserName, "Administrator@x.example"), None);
    }

    #[test]
    fn other_texts() {
        assert_eq!(user(UserAttribute::Title, "Head of\tx\r\n y\u{a0}z\u{3000}"), None);
        assert_eq!(user(UserAttribute::Title, "Administrator"), None);
        assert_eq!(user(UserAttribute::Title, &"ä".repeat(1024)), None);
        assert_eq!(
            user(UserAttribute::Title, &"ä".repeat(1025)),
            Some(Breach::TooLong { length: 1025, limit: 1024 })
        );
        assert_eq!(user(UserAttribute::Title, "a\u{200f}b"), Some(Breach::Character('\u{200f}')));
        assert_eq!(user(UserAttribute::ExternalId, "a b"), Some(Breach::Character(' ')));
    }

    #[test]
    fn groups() {
        let problems = |name: &str, description: &str| {
            check_group(&GroupAttributes {
                display_name: name.to_owned(),
                description: Some(description.to_owned()),
                external_id: None,
            })
        };
        assert_eq!(problems("AWS Admins@corp.example", "x"), []);
        assert_eq!(problems("awsadministrators", "x")[0].breach, Breach::Reserved);
        let both = problems("a\u{3000}", "a\u{0}");
        assert_eq!(
            both.iter().map(ToString::to_string).collect::<Vec<_>>(),
            [
                "displayName contains the character U+3000, which is not allowed in it",
                "description contains the character U+0000, which is not allowed in it"
            ]
        );
    }

    #[test]
    fn addresses() {
        assert!(is_address("alice@corp.example"));
        for bad in ["alice", "@corp", "alice@", "a@b@c", ""] {
            assert!(!is_address(bad), "{bad}");
        }
    }
}
