//! What of other people's text may stand in a page. Templates (`templates/`, see askama.toml) put every value through
//! [`Escaper`], in text and in quoted attributes alike, and there is no way around it: a test looks for the words by which
//! a template could ask for one.

use std::fmt;

use askama::filters::Escaper as Escapes;
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use sha2::{Digest as _, Sha256};

use crate::printable;

/// Markup has no effect, what is hidden is visible: an escape of [`printable`] in its place.
#[derive(Clone, Copy, Debug, Default)]
pub struct Escaper;

impl Escapes for Escaper {
    fn write_escaped_str<W: fmt::Write>(&self, mut out: W, text: &str) -> fmt::Result {
        let mut rest = text;
        while let Some(at) = rest.find(needs_escape) {
            out.write_str(&rest[..at])?;
            let Some(c) = rest[at..].chars().next() else { break };
            self.write_escaped_char(&mut out, c)?;
            rest = &rest[at + c.len_utf8()..];
        }
        out.write_str(rest)
    }

    fn write_escaped_char<W: fmt::Write>(&self, mut out: W, c: char) -> fmt::Result {
        match entity(c) {
            Some(entity) => out.write_str(entity),
            None if printable::is_hidden(c) => write!(out, "{}", c.escape_default()),
            None => out.write_char(c),
        }
    }
}

fn needs_escape(c: char) -> bool {
    entity(c).is_some() || printable::is_hidden(c)
}

fn entity(c: char) -> Option<&'static str> {
    Some(match c {
        '<' => "&lt;",
        '>' => "&gt;",
        '&' => "&amp;",
        '"' => "&quot;",
        '\'' => "&#39;",
        '`' => "&#96;",
        _ => return None,
    })
}

/// By which a content security policy knows an inline style: `sha256-…`.
pub fn source_hash(text: &str) -> String {
    format!("sha256-{}", BASE64_STANDARD.encode(Sha256::digest(text)))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use proptest::prelude::*;

    use super::*;

    fn escaped(text: &str) -> String {
        let mut out = String::new();
        Escaper.write_escaped_str(&mut out, text).unwrap();
        out
    }

    #[test]
    fn markup_and_hidden_characters_have_no_effect() {
        assert_eq!(escaped("plain ümlaut 日本 👩 O’Hara"), "plain ümlaut 日本 👩 O’Hara");
        assert_eq!(escaped("<script>alert(1)</script>"), "&lt;script&gt;alert(1)&lt;/script&gt;");
        assert_eq!(
            escaped("\"><img src=x onerror='a`b'>"),
            "&quot;&gt;&lt;img src=x onerror=&#39;a&#96;b&#39;&gt;"
        );
        assert_eq!(escaped("&lt;"), "&amp;lt;");
        assert_eq!(escaped("a\u{1b}[2J\u{202e}b\0\r\n\t\u{2028}"), r"a\u{1b}[2J\u{202e}b\u{0}\r\n\t\u{2028}");
    }

    #[test]
    fn the_hash_is_that_of_browsers() {
        // The example of the specification (CSP Level 3, 8.3).
        assert_eq!(
            source_hash("alert('Hello, world.');"),
            "sha256-qznLcsROx4GACP2dm0UCKCzCG+HiZ1guq6ZZDob/Tng="
        );
    }

    #[test]
    fn no_template_asks_for_a_way_around() {
        fn look(dir: &Path, seen: &mut usize) {
            for entry in fs::read_dir(dir).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    look(&path, seen);
                } else if path.extension().is_some_and(|ending| ending == "html") {
                    *seen += 1;
                    let text = fs::read_to_string(&path).unwrap();
                    for word in [
                        "|safe",
                        "| safe",
                        "escape",
                        "javascript:",
                        " style=",
                        " onclick",
                        " onload",
                        "http:",
                        "https:",
                    ] {
                        assert!(!text.contains(word), "{}: {word}", path.display());
                    }
                    // A value in an attribute without quotes could end it.
                    for (at, _) in text.match_indices("={{").chain(text.match_indices("= {{")) {
                        let tag = text[..at].rfind('<').map_or("", |start| &text[start..at]);
                        let open = tag.matches('"').count() % 2 == 1;
                        assert!(open || tag.contains('>'), "{}: {tag}={{{{", path.display());
                    }
                }
            }
        }
        let mut seen = 0;
        look(&Path::new(env!("CARGO_MANIFEST_DIR")).join("templates"), &mut seen);
        assert!(seen >= 2, "{seen} templates");
    }

    proptest! {
        #[test]
        fn nothing_that_could_be_markup_gets_out(text in "([<>&\"'`]|\\PC|[\\x00-\\x20]|\u{202e})*") {
            let out = escaped(&text);
            prop_assert!(!out.chars().any(|c| matches!(c, '<' | '>' | '"' | '\'' | '`') || printable::is_hidden(c)));
            let back = out.replace("&lt;", "<").replace("&gt;", ">").replace("&quot;", "\"").replace("&#39;", "'")
                .replace("&#96;", "`").replace("&amp;", "&");
            prop_assert_eq!(back, printable::shown(&text));
        }
    }
}
