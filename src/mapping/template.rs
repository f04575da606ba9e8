//! `${attribute}` templates, in the forms of AWS's attribute mappings for Active Directory.

use super::expression::{AttributesNeeded, ExpressionError};
use super::view::{ASSOCIATED_DOMAIN, PROXY_ADDRESSES, View};

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Template {
    source: String,
    parts: Vec<Part>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Text(String),
    /// A name in lower case.
    Attribute(String),
    /// A type of proxyAddresses, `SMTP` or `smtp`.
    ProxyAddress(&'static str),
}

impl Template {
    pub(super) fn parse(source: &str) -> Result<Self, ExpressionError> {
        let mut parts = Vec::new();
        let mut text = String::new();
        let mut at = 0;
        while let Some(c) = source[at..].chars().next() {
            let rest = &source[at..];
            if rest.starts_with("$${") {
                text.push_str("${");
                at += 3;
            } else if rest.starts_with("${") {
                let close = closing_brace(rest).ok_or_else(|| {
                    error(
                        "this `${` has no closing brace",
                        at,
                        2,
                        "write `$${` for a `${` that is meant as it stands",
                    )
                })?;
                flush(&mut text, &mut parts);
                parts.push(reference(&rest[2..close], at + 2)?);
                at += close + 1;
            } else if let Some(len) = bare_associated_domain(rest) {
                flush(&mut text, &mut parts);
                parts.push(Part::Attribute(ASSOCIATED_DOMAIN.to_owned()));
                at += len;
            } else {
                text.push(c);
                at += c.len_utf8();
            }
        }
        flush(&mut text, &mut parts);
        Ok(Self { source: source.to_owned(), parts })
    }

    pub(super) fn source(&self) -> &str {
        &self.source
    }

    pub(super) fn attributes(&self) -> AttributesNeeded {
        let mut needed = AttributesNeeded::default();
        for part in &self.parts {
            match part {
                Part::Text(_) => {}
                Part::Attribute(name) => needed.add(name),
                Part::ProxyAddress(_) => needed.add(PROXY_ADDRESSES),
            }
        }
        needed
    }

    /// `None` where any attribute in it is empty. One pass: what a value contains is not looked at.
    pub(super) fn evaluate(&self, entry: &View<'_>) -> Option<String> {
        let mut result = String::new();
        for part in &self.parts {
            match part {
                Part::Text(text) => result.push_str(text),
                Part::Attribute(name) => result.push_str(&entry.text(name)?),
                Part::ProxyAddress(kind) => result.push_str(&entry.proxy_address(kind)?),
            }
        }
        Some(result)
    }
}

fn flush(text: &mut String, parts: &mut Vec<Part>) {
    if !text.is_empty() {
        parts.push(Part::Text(std::mem::take(text)));
    }
}

/// Where the reference that `rest` begins with is closed. A brace within quotes does not close it.
fn closing_brace(rest: &str) -> Option<usize> {
    let mut quoted = false;
    for (at, c) in rest.char_indices() {
        match c {
            '"' => quoted = !quoted,
            '}' if !quoted => return Some(at),
            _ => {}
        }
    }
    // An odd quote: then the first brace it is, and what is inside is refused there.
    rest.find('}')
}

/// AWS's own table writes `{associateddomain}` without the dollar. No other name works so.
fn bare_associated_domain(rest: &str) -> Option<usize> {
    let len = ASSOCIATED_DOMAIN.len() + 2;
    let name = rest.get(..len)?.strip_prefix('{')?.strip_suffix('}')?;
    name.eq_ignore_ascii_case(ASSOCIATED_DOMAIN).then_some(len)
}

/// What stands between the braces; `offset` is where in the template.
fn reference(inner: &str, offset: usize) -> Result<Part, ExpressionError> {
    let (name, filter) = match inner.find('[') {
        Some(at) => (&inner[..at], Some(&inner[at..])),
        None => (inner, None),
    };
    check_name(name, offset)?;
    let lower = name.to_ascii_lowercase();
    let Some(filter) = filter else { return Ok(Part::Attribute(lower)) };
    if lower == PROXY_ADDRESSES
        && let Some(kind) = proxy_type(filter)
    {
        return Ok(Part::ProxyAddress(kind));
    }
    Err(error(
        "the only filters in a template are `proxyaddresses[?type == \"SMTP\"].value` and the same with \"smtp\"",
        offset + name.len(),
        filter.len(),
        "for anything else write `{ jmespath = \"…\" }` in place of the template",
    ))
}

fn proxy_type(filter: &str) -> Option<&'static str> {
    let inner = filter.strip_prefix("[?")?.trim_start();
    let inner = inner.get(..4).filter(|t| t.eq_ignore_ascii_case("type")).map(|_| inner[4..].trim_start())?;
    let inner = inner.strip_prefix("==")?.trim_start();
    let (kind, rest) = ["SMTP", "smtp"].into_iter().find_map(|kind| {
        let rest = inner.strip_prefix('"')?.strip_prefix(kind)?.strip_prefix('"')?;
        Some((kind, rest))
    })?;
    let tail = rest.trim_start().strip_prefix(']')?;
    tail.eq_ignore_ascii_case(".value").then_some(kind)
}

/// RFC 4512 section 2.5: a letter, then letters, digits and hyphens; options after semicolons.
fn check_name(name: &str, offset: usize) -> Result<(), ExpressionError> {
    if name.is_empty() {
        return Err(error(
            "an attribute's name is missing here",
            offset,
            0,
            "write `${mail}`, with the name that the directory has for the attribute",
        ));
    }
    let bad = name.char_indices().find(|(at, c)| match c {
        'a'..='z' | 'A'..='Z' => false,
        '0'..='9' | '-' | ';' => *at == 0,
        _ => true,
    });
    let Some((at, c)) = bad else { return Ok(()) };
    let help = if c == ':' {
        "write the directory's own name for it: `${mail}`, not `${dir:email}`"
    } else if c.is_whitespace() {
        "write the name without spaces: `${mail}`"
    } else {
        "for functions and paths write `{ jmespath = \"…\" }` in place of the template"
    };
    Err(error(&format!("{c:?} cannot be in an attribute's name"), offset + at, c.len_utf8(), help))
}

fn error(message: &str, offset: usize, len: usize, help: &str) -> ExpressionError {
    ExpressionError { message: message.to_owned(), offset, len, help: Some(help.to_owned()) }
}
