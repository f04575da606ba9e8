//! LDAP filters (RFC 4515): checked when the config is read, and evaluated here where no server does it (LDIF).

use super::names::fold;
use super::reader::RawEntry;
use crate::ids::Dn;

/// Parentheses may be nested so deep; the parsers recurse.
const DEEPEST: usize = 40;

/// Whether `text` is a filter. The error says what is wrong with it.
pub fn check_filter(text: &str) -> Result<(), String> {
    let wrapped = wrapped(text);
    Filter::parse(&wrapped)?;
    ldap3::parse_filter(&wrapped).map(|_| ()).map_err(|()| "it is not a filter as of RFC 4515".to_owned())
}

/// In parentheses, which people leave out around a single condition.
pub(super) fn wrapped(text: &str) -> String {
    let text = text.trim();
    if text.starts_with('(') { text.to_owned() } else { format!("({text})") }
}

/// What everybody matches of whom it is known that they do not match `filter`, which is in parentheses. Who is Undefined
/// (RFC 4511 section 4.5.1.7) matches neither.
pub(super) fn negated(filter: &str) -> String {
    format!("(!{filter})")
}

/// The filter under its negations, and whether these are to be undone: so that a filter and its negation are known as
/// the two sides of one.
pub(super) fn without_negations(filter: &str) -> (&str, bool) {
    let inner = |text: &'_ str| -> Option<usize> {
        let inner = text.strip_prefix("(!")?.strip_suffix(')')?;
        inner.starts_with('(').then_some(inner.len())
    };
    let (mut bare, mut is_negated) = (filter, false);
    while let Some(length) = inner(bare) {
        bare = &bare[2..2 + length];
        is_negated = !is_negated;
    }
    (bare, is_negated)
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Filter {
    And(Vec<Filter>),
    Or(Vec<Filter>),
    Not(Box<Filter>),
    Present(String),
    Equal(String, Vec<u8>),
    Substring {
        attribute: String,
        initial: Vec<u8>,
        any: Vec<Vec<u8>>,
        last: Vec<u8>,
    },
    AtLeast(String, Vec<u8>),
    AtMost(String, Vec<u8>),
    /// Active Directory's bitwise rules: all, or any, of the bits.
    Bits {
        attribute: String,
        mask: i64,
        all: bool,
    },
    /// A matching rule that is not known here: always undefined.
    Unknown,
}

/// LDAP_MATCHING_RULE_BIT_AND and LDAP_MATCHING_RULE_BIT_OR ([MS-ADTS] 3.1.1.3.4.4).
const BIT_AND: &str = "1.2.840.113556.1.4.803";
const BIT_OR: &str = "1.2.840.113556.1.4.804";

impl Filter {
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut parser = Parser { text, at: 0 };
        let filter = parser.filter(0)?;
        if parser.at < text.len() {
            return Err(format!("there is something after its end: `{}`", &text[parser.at..]));
        }
        Ok(filter)
    }

    /// The attributes that it looks at, in lower case.
    pub fn attributes(&self) -> Vec<&str> {
        match self {
            Self::And(list) | Self::Or(list) => list.iter().flat_map(Self::attributes).collect(),
            Self::Not(inner) => inner.attributes(),
            Self::Present(a) | Self::Equal(a, _) | Self::AtLeast(a, _) | Self::AtMost(a, _) => vec![a],
            Self::Substring { attribute, .. } | Self::Bits { attribute, .. } => vec![attribute],
            Self::Unknown => Vec::new(),
        }
    }

    /// Whether it has a matching rule that is not known here.
    pub fn has_unknown_rule(&self) -> bool {
        match self {
            Self::And(list) | Self::Or(list) => list.iter().any(Self::has_unknown_rule),
            Self::Not(inner) => inner.has_unknown_rule(),
            Self::Unknown => true,
            _ => false,
        }
    }

    /// `None` is Undefined (RFC 4511 section 4.5.1.7): an unknown rule. Only `Some(true)` is a match. An attribute that is
    /// absent matches nothing, so that its negation matches: as slapd and Active Directory have it.
    pub fn evaluate(&self, entry: &RawEntry, dn: &Dn) -> Option<bool> {
        match self {
            Self::And(list) => combine(list, entry, dn, false),
            Self::Or(list) => combine(list, entry, dn, true),
            Self::Not(inner) => inner.evaluate(entry, dn).map(|b| !b),
            Self::Present(attribute) => Some(is_dn_attribute(attribute) || entry.has(attribute)),
            Self::Equal(attribute, wanted) if is_dn_attribute(attribute) => {
                Some(std::str::from_utf8(wanted).ok().and_then(|w| Dn::parse(w).ok()).as_ref() == Some(dn))
            }
            Self::Equal(attribute, wanted) => {
                Some(any_of(entry, attribute, |value| equal(attribute, value, wanted)))
            }
            Self::Substring { attribute, initial, any, last } => {
                Some(any_of(entry, attribute, |value| has_parts(value, initial, any, last)))
            }
            Self::AtLeast(attribute, bound) => {
                Some(any_of(entry, attribute, |value| order(value, bound).is_ge()))
            }
            Self::AtMost(attribute, bound) => {
                Some(any_of(entry, attribute, |value| order(value, bound).is_le()))
            }
            Self::Bits { attribute, mask, all } => Some(any_of(entry, attribute, |value| {
                let bits = number(value).unwrap_or(0);
                if *all { bits & mask == *mask } else { bits & mask != 0 }
            })),
            Self::Unknown => None,
        }
    }
}

/// And (`decisive` false) or Or (`decisive` true) in three-valued logic.
fn combine(list: &[Filter], entry: &RawEntry, dn: &Dn, decisive: bool) -> Option<bool> {
    let mut outcome = Some(!decisive);
    for filter in list {
        match filter.evaluate(entry, dn) {
            Some(value) if value == decisive => return Some(decisive),
            Some(_) => {}
            None => outcome = None,
        }
    }
    outcome
}

fn any_of(entry: &RawEntry, attribute: &str, test: impl Fn(&[u8]) -> bool) -> bool {
    entry.values(attribute).any(test)
}

fn is_dn_attribute(attribute: &str) -> bool {
    matches!(attribute, "distinguishedname" | "entrydn")
}

fn equal(attribute: &str, value: &[u8], wanted: &[u8]) -> bool {
    let (Ok(value), Ok(wanted)) = (std::str::from_utf8(value), std::str::from_utf8(wanted)) else {
        return value == wanted;
    };
    if fold(value) == fold(wanted) {
        return true;
    }
    if !value.contains('=') {
        return false;
    }
    let Ok(value) = Dn::parse(value) else { return false };
    // Active Directory lets a class be named instead of the DN that objectCategory holds.
    if attribute == "objectcategory" && !wanted.contains('=') {
        return fold(&value.leaf()) == fold(wanted);
    }
    Dn::parse(wanted).is_ok_and(|wanted| wanted == value)
}

fn has_parts(value: &[u8], initial: &[u8], any: &[Vec<u8>], last: &[u8]) -> bool {
    let lower = |bytes: &[u8]| String::from_utf8_lossy(bytes).to_lowercase();
    let value = lower(value);
    let Some(mut rest) = value.strip_prefix(&lower(initial)) else { return false };
    for part in any {
        let part = lower(part);
        let Some(at) = rest.find(&part) else { return false };
        rest = &rest[at + part.len()..];
    }
    rest.ends_with(&lower(last))
}

fn order(value: &[u8], bound: &[u8]) -> std::cmp::Ordering {
    match (number(value), number(bound)) {
        (Some(a), Some(b)) => a.cmp(&b),
        _ => {
            String::from_utf8_lossy(value).to_lowercase().cmp(&String::from_utf8_lossy(bound).to_lowercase())
        }
    }
}

fn number(value: &[u8]) -> Option<i64> {
    std::str::from_utf8(value).ok()?.trim().parse().ok()
}

struct Parser<'a> {
    text: &'a str,
    at: usize,
}

impl Parser<'_> {
    fn filter(&mut self, depth: usize) -> Result<Filter, String> {
        if depth > DEEPEST {
            return Err(format!("its parentheses are nested more than {DEEPEST} deep"));
        }
        self.spaces();
        self.expect('(')?;
        let filter = match self.peek() {
            Some('&') => Filter::And(self.list(depth)?),
            Some('|') => Filter::Or(self.list(depth)?),
            Some('!') => {
                self.at += 1;
                Filter::Not(Box::new(self.filter(depth + 1)?))
            }
            _ => self.item()?,
        };
        self.expect(')')?;
        Ok(filter)
    }

    fn list(&mut self, depth: usize) -> Result<Vec<Filter>, String> {
        self.at += 1;
        let mut list = Vec::new();
        while self.peek() == Some('(') {
            list.push(self.filter(depth + 1)?);
        }
        Ok(list)
    }

    fn item(&mut self) -> Result<Filter, String> {
        let rest = &self.text[self.at..];
        let end = rest.find([')', '(']).unwrap_or(rest.len());
        let item = &rest[..end];
        self.at += end;
        let (left, value) = item.split_once('=').ok_or_else(|| format!("`{item}` has no `=`"))?;
        let (attribute, operator) = match left.char_indices().last() {
            Some((at, c @ ('>' | '<' | '~' | ':'))) => (&left[..at], Some(c)),
            _ => (left, None),
        };
        if operator == Some(':') {
            return extensible(attribute, value);
        }
        let attribute = description(attribute)?;
        Ok(match operator {
            Some('>') => Filter::AtLeast(attribute, unescape(value)?),
            Some('<') => Filter::AtMost(attribute, unescape(value)?),
            Some('~') => Filter::Equal(attribute, unescape(value)?),
            _ if value == "*" => Filter::Present(attribute),
            _ if value.contains('*') => {
                let mut parts = value.split('*').map(unescape).collect::<Result<Vec<_>, _>>()?;
                let last = parts.pop().unwrap_or_default();
                let initial = if parts.is_empty() { Vec::new() } else { parts.remove(0) };
                if parts.iter().any(Vec::is_empty) {
                    return Err(format!("`{item}` has two stars side by side"));
                }
                Filter::Substring { attribute, initial, any: parts, last }
            }
            _ => Filter::Equal(attribute, unescape(value)?),
        })
    }

    fn peek(&self) -> Option<char> {
        self.text[self.at..].chars().next()
    }

    fn spaces(&mut self) {
        while self.peek() == Some(' ') {
            self.at += 1;
        }
    }

    fn expect(&mut self, wanted: char) -> Result<(), String> {
        match self.peek() {
            Some(c) if c == wanted => {
                self.at += c.len_utf8();
                Ok(())
            }
            Some(c) => Err(format!("there is `{c}` where `{wanted}` must be, at character {}", self.at + 1)),
            None => Err(format!("`{wanted}` is missing at its end")),
        }
    }
}

/// `attribute:rule:=value`; `:dn` and rules by name are not evaluated here.
fn extensible(left: &str, value: &str) -> Result<Filter, String> {
    let value = unescape(value)?;
    let mut parts = left.split(':');
    let attribute = parts.next().unwrap_or_default();
    let rules: Vec<&str> = parts.collect();
    let mask = number(&value);
    Ok(match (rules.as_slice(), mask) {
        ([rule @ (BIT_AND | BIT_OR)], Some(mask)) => {
            Filter::Bits { attribute: description(attribute)?, mask, all: *rule == BIT_AND }
        }
        ([], _) => Filter::Equal(description(attribute)?, value),
        _ => Filter::Unknown,
    })
}

fn description(text: &str) -> Result<String, String> {
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | ';' | '_');
    if text.is_empty() || !text.chars().all(fits) {
        return Err(format!("`{text}` is not the name of an attribute"));
    }
    Ok(text.to_ascii_lowercase())
}

fn unescape(text: &str) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&first, after)) = rest.split_first() {
        if first != b'\\' {
            bytes.push(first);
            rest = after;
            continue;
        }
        let byte = hex_pair(after);
        bytes.push(byte.ok_or_else(|| format!("`{text}`: a backslash must be followed by two hex digits"))?);
        rest = &after[2..];
    }
    Ok(bytes)
}

/// A sign, which the standard library would take for a part of the number, is no hex digit.
pub(super) fn hex_pair(bytes: &[u8]) -> Option<u8> {
    let digit = |at: usize| char::from(*bytes.get(at)?).to_digit(16);
    u8::try_from(digit(0)? * 16 + digit(1)?).ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::entry::tests::raw;
    use super::*;

    fn matches(filter: &str) -> Option<bool> {
        let entry = raw(
            "CN=Anna,OU=A,DC=x",
            &[
                ("objectClass", &["top", "person", "user"]),
                ("sAMAccountName", &["svc-Anna"]),
                ("userAccountControl", &["514"]),
                ("memberOf", &["CN=G\\2C 1,DC=x"]),
                ("objectCategory", &["CN=Person,CN=Schema,CN=Configuration,DC=x"]),
            ],
        );
        let dn = Dn::parse(entry.dn()).unwrap();
        Filter::parse(filter).unwrap().evaluate(&entry, &dn)
    }

    #[test]
    fn a_filter_and_its_negation_are_two_sides_of_one() {
        for filter in ["(title=x)", "(!(title=x))", "(! (title=x))", "(!(!(title=x)))"] {
            let (bare, is_negated) = without_negations(filter);
            let not = negated(filter);
            assert_eq!(without_negations(&not), (bare, !is_negated), "{filter}");
            assert!(Filter::parse(&not).is_ok(), "{not}");
        }
        assert_eq!(without_negations("(!(title=x))"), ("(title=x)", true));
        assert_eq!(without_negations("(&(!(a=b))(c=d))"), ("(&(!(a=b))(c=d))", false));
    }

    #[test]
    fn what_is_undefined_matches_no_negation() {
        assert_eq!(matches("(level:1.2.3:=9)"), None);
        assert_eq!(matches(&negated("(level:1.2.3:=9)")), None);
        assert_eq!(matches(&negated("(title=chief)")), Some(true));
    }

    #[test]
    fn conditions_are_evaluated() {
        assert_eq!(matches("(sAMAccountName=SVC-anna)"), Some(true));
        assert_eq!(matches("(sAMAccountName=svc-*)"), Some(true));
        assert_eq!(matches("(sAMAccountName=*c-a*A)"), Some(true));
        assert_eq!(matches("(sAMAccountName=*anna*a)"), Some(false));
        assert_eq!(matches("(!(sAMAccountName=svc-*))"), Some(false));
        assert_eq!(matches("(&(objectClass=user)(!(objectClass=computer)))"), Some(true));
        assert_eq!(matches("(userAccountControl:1.2.840.113556.1.4.803:=2)"), Some(true));
        assert_eq!(matches("(userAccountControl:1.2.840.113556.1.4.803:=3)"), Some(false));
        assert_eq!(matches("(userAccountControl:1.2.840.113556.1.4.804:=3)"), Some(true));
        assert_eq!(matches("(userAccountControl>=514)"), Some(true));
        assert_eq!(matches("(userAccountControl<=99)"), Some(false));
        assert_eq!(matches("(memberOf=cn=g\\5c, 1,dc=X)"), Some(true));
        assert_eq!(matches("(objectCategory=person)"), Some(true));
        assert_eq!(matches("(distinguishedName=cn=anna,ou=a,dc=x)"), Some(true));
    }

    #[test]
    fn what_is_absent_matches_nothing_and_an_unknown_rule_is_undefined() {
        assert_eq!(matches("(mail=x)"), Some(false));
        assert_eq!(matches("(!(mail=x))"), Some(true));
        assert_eq!(matches("(!(mail>=x))"), Some(true));
        assert_eq!(matches("(mail=*)"), Some(false));
        assert_eq!(matches("(!(mail=*))"), Some(true));
        assert_eq!(matches("(|(mail=x)(objectClass=user))"), Some(true));
        assert_eq!(matches("(&(mail=x)(objectClass=user))"), Some(false));
        assert_eq!(matches("(&(mail=x)(objectClass=group))"), Some(false));
        assert_eq!(matches("(memberOf:1.2.840.113556.1.4.1941:=cn=g)"), None);
        assert_eq!(matches("(!(memberOf:1.2.840.113556.1.4.1941:=cn=g))"), None);
    }

    #[test]
    fn mistakes_are_named() {
        assert!(check_filter("(!(sAMAccountName=svc-*))").is_ok());
        assert!(check_filter("sAMAccountName=svc-*").is_ok());
        assert!(check_filter("(a=b").unwrap_err().contains("missing"));
        assert!(check_filter("(a=b))").unwrap_err().contains("after its end"));
        assert!(check_filter("(a)").unwrap_err().contains("no `=`"));
        assert!(check_filter("(a b=c)").unwrap_err().contains("not the name"));
        assert!(check_filter("(a=\\zz)").unwrap_err().contains("hex"));
        assert!(check_filter("(a=\\+f)").unwrap_err().contains("hex"));
        assert!(check_filter(&format!("{}(a=b){}", "(!".repeat(100), ")".repeat(100))).is_err());
        assert!(check_filter("").is_err());
    }

    proptest! {
        #[test]
        fn no_text_makes_a_filter_panic(text in "\\PC*|[()&|!=<>~:*\\\\a-f0-9. é]{0,60}") {
            let valid = check_filter(&text);
            let entry = raw("CN=a,DC=x", &[("a", &["b", "7", "c=d"]), ("b", &[""])]);
            let dn = Dn::parse(entry.dn()).unwrap();
            if let Ok(filter) = Filter::parse(&wrapped(&text)) {
                let _ = (filter.evaluate(&entry, &dn), filter.attributes());
            }
            if valid.is_ok() {
                prop_assert!(ldap3::parse_filter(wrapped(&text)).is_ok());
            }
        }
    }
}
