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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::ids::{Anchor, Dn};
    use crate::model::{AccountState, Attributes, DirectoryKind, DirectoryUser};

    fn entry(attributes: Attributes) -> DirectoryUser {
        DirectoryUser {
            anchor: Anchor::from_u128(0x6b29fc40_ca47_1067_b31d_00dd010662da),
            dn: Dn::parse("CN=Weiß\\, Jörg,OU=Büro,DC=Corp,DC=example,DC=com").unwrap(),
            sid: None,
            account: AccountState::Enabled,
            matches_filter: true,
            created: None,
            attributes,
        }
    }

    fn evaluate(template: &str, attributes: Attributes) -> Option<String> {
        let user = entry(attributes);
        Template::parse(template).unwrap().evaluate(&View::of_user(DirectoryKind::ActiveDirectory, &user))
    }

    fn many(name: &str, values: &[&str]) -> Attributes {
        Attributes::new([(name.into(), values)])
    }

    fn refused(template: &str) -> ExpressionError {
        Template::parse(template).unwrap_err()
    }

    #[test]
    fn the_forms_of_aws() {
        let all = || {
            Attributes::from([
                ("sAMAccountName", "jweiss"),
                ("description", "d"),
                ("givenName", "Jörg"),
                ("sn", "Weiß"),
                ("initials", "X"),
                ("mail", "j@x"),
                ("userPrincipalName", "j@corp"),
                ("displayName", "Jörg Weiß"),
                ("userAccountControl", "512"),
            ])
        };
        for (template, value) in [
            ("${samaccountname}", "jweiss"),
            ("${description}", "d"),
            ("${givenname}", "Jörg"),
            ("${sn}", "Weiß"),
            ("${initials}", "X"),
            ("${mail}", "j@x"),
            ("${userprincipalname}", "j@corp"),
            ("${displayname}", "Jörg Weiß"),
            ("${useraccountcontrol}", "512"),
            ("${objectguid}", "6b29fc40-ca47-1067-b31d-00dd010662da"),
            ("${distinguishedname}", "CN=Weiß\\, Jörg,OU=Büro,DC=Corp,DC=example,DC=com"),
            ("${associateddomain}", "corp.example.com"),
            ("{associateddomain}", "corp.example.com"),
            ("${samaccountname}@{AssociatedDomain}", "jweiss@corp.example.com"),
            ("${sAMAccountName}@${associatedDomain}", "jweiss@corp.example.com"),
            ("Dr. ${GIVENNAME} (${sn})", "Dr. Jörg (Weiß)"),
        ] {
            assert_eq!(evaluate(template, all()).as_deref(), Some(value), "{template}");
        }
    }

    #[test]
    fn proxy_addresses_by_type_and_its_case() {
        let addresses = ["smtp:z@x", "SMTP:main@x", "smtp:a@x", "X500:/o=x", "SIP:s@x"];
        let value = |template: &str| evaluate(template, many("proxyaddresses", &addresses));
        assert_eq!(value(r#"${proxyaddresses[?type == "SMTP"].value}"#).as_deref(), Some("main@x"));
        assert_eq!(value(r#"${proxyAddresses[?type=="smtp"].value}"#).as_deref(), Some("a@x"));
        assert_eq!(value(r#"<${proxyaddresses[?type == "SMTP"].value}>"#).as_deref(), Some("<main@x>"));
        let none =
            evaluate(r#"${proxyaddresses[?type == "SMTP"].value}"#, many("proxyaddresses", &["smtp:a@x"]));
        assert_eq!(none, None);
        let empty =
            evaluate(r#"${proxyaddresses[?type == "SMTP"].value}"#, many("proxyaddresses", &["SMTP: "]));
        assert_eq!(empty, None);
    }

    #[test]
    fn there_are_no_half_values() {
        assert_eq!(evaluate("${givenname} ${sn}", Attributes::from([("sn", "Weiß")])), None);
        assert_eq!(evaluate("${givenname}", Attributes::from([("givenname", "  ")])), None);
        assert_eq!(evaluate("${cn}@x", Attributes::from([("cn", " a ")])).as_deref(), Some("a@x"));
    }

    #[test]
    fn of_several_values_the_order_of_the_answer_does_not_show() {
        assert_eq!(evaluate("${cn}", many("cn", &["b", "a", "c"])).as_deref(), Some("a"));
        assert_eq!(evaluate("${cn}", many("cn", &["c", "", "a", "b"])).as_deref(), Some("a"));
    }

    #[test]
    fn dollars_and_braces_that_are_text() {
        for (template, value) in [
            ("$${mail}", "${mail}"),
            ("$", "$"),
            ("$5 {mail} }{", "$5 {mail} }{"),
            ("a$$b", "a$$b"),
            ("ä{", "ä{"),
        ] {
            assert_eq!(evaluate(template, Attributes::default()).as_deref(), Some(value), "{template}");
        }
        assert_eq!(evaluate("$$${cn}", Attributes::from([("cn", "x")])).as_deref(), Some("$${cn}"));
    }

    #[test]
    fn a_value_is_never_read_as_a_template() {
        for hostile in
            ["${mail}", "$${mail}", "{associateddomain}", "}", "\"", "${", "a\0b", "\u{202e}evil", "'||mail"]
        {
            let attributes = Attributes::from([("cn", hostile), ("mail", "secret")]);
            assert_eq!(evaluate("<${cn}>", attributes), Some(format!("<{hostile}>")));
        }
        // Nor can two values make one between them.
        let halves = Attributes::from([("cn", "$"), ("sn", "{mail}"), ("mail", "secret")]);
        assert_eq!(evaluate("${cn}${sn}", halves).as_deref(), Some("${mail}"));
        let long = "x".repeat(1 << 20);
        assert_eq!(evaluate("${cn}", many("cn", &[&long])).map(|v| v.len()), Some(1 << 20));
    }

    #[test]
    fn errors_point_at_the_place() {
        let place = |template: &str| {
            let e = refused(template);
            (e.offset, e.len)
        };
        assert_eq!(place("ä ${mail"), (3, 2));
        assert_eq!(place("${}"), (2, 0));
        assert_eq!(place("x${ mail}"), (3, 1));
        assert_eq!(place("${ma/il}"), (4, 1));
        assert_eq!(place("${1a}"), (2, 1));
        assert_eq!(place("${mäil}"), (3, 2));
        assert_eq!(place("${dir:email}"), (5, 1));
        assert!(refused("${dir:email}").help.unwrap().contains("${mail}"));
        for filter in [
            r#"${proxyaddresses[?type == "X500"].value}"#,
            r#"${proxyaddresses[?type == "Smtp"].value}"#,
            r#"${proxyaddresses[?type == 'SMTP'].value}"#,
            r#"${proxyaddresses[?type == "SMTP"]}"#,
            r#"${othermailbox[?type == "SMTP"].value}"#,
            "${proxyaddresses[0]}",
        ] {
            let e = refused(filter);
            assert_eq!(e.offset + e.len, filter.len() - 1, "{filter}");
            assert!(e.help.unwrap().contains("jmespath"));
        }
    }

    #[test]
    fn what_must_be_read() {
        let template =
            r#"${sn}{associateddomain}${proxyAddresses[?type == "smtp"].value}${distinguishedName}$${x}"#;
        let needed = Template::parse(template).unwrap().attributes();
        assert!(!needed.all);
        assert_eq!(needed.names.into_iter().collect::<Vec<_>>(), ["proxyaddresses", "sn"]);
    }

    proptest! {
        #[test]
        fn no_text_makes_the_parser_panic(text in "[${}a-c\\[\\]?=\"ä.]{0,30}|\\PC*") {
            if let Err(e) = Template::parse(&text) {
                prop_assert!(text.is_char_boundary(e.offset) && text.is_char_boundary(e.offset + e.len));
            }
        }

        #[test]
        fn a_value_comes_through_as_it_is(value in any::<String>()) {
            let attributes = Attributes::from([("cn", value.as_str())]);
            let expected = (!value.trim().is_empty()).then(|| format!("[{}]", value.trim()));
            prop_assert_eq!(evaluate("[${cn}]", attributes), expected);
        }
    }
}
