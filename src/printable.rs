//! What may be printed. Values come from directories, targets and files of others; a terminal obeys some characters,
//! shows others as nothing, and a reader of lines takes a line break for the end of one. So none of them gets out as it
//! is: each place that puts a value into a line uses [`shown`], and whatever is written at all passes [`lines`] or
//! [`json`] once more.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::io::{self, Write};

/// Control characters, and what a terminal shows as nothing, as a new line or as a change of direction
/// (Unicode's categories Cc, Cf, Zl and Zp).
pub fn is_hidden(c: char) -> bool {
    // Nearly all that is printed, in plans of millions of lines.
    if c.is_ascii() {
        return c.is_ascii_control();
    }
    c.is_control()
        || matches!(c,
            '\u{ad}' | '\u{600}'..='\u{605}' | '\u{61c}' | '\u{6dd}' | '\u{70f}' | '\u{890}'..='\u{891}' | '\u{8e2}'
            | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}'
            | '\u{fff9}'..='\u{fffb}' | '\u{110bd}' | '\u{110cd}' | '\u{13430}'..='\u{1343f}'
            | '\u{1bca0}'..='\u{1bca3}' | '\u{1d173}'..='\u{1d17a}' | '\u{e0000}'..='\u{e007f}')
}

/// A value as it may stand in a line: what is hidden is escaped, so that it cannot move the cursor, begin a line of its
/// own or disguise itself.
pub fn shown(text: &str) -> String {
    escaped(text, |_| false).into_owned()
}

/// The most characters of what somebody else said that are repeated in an error.
const BRIEF: usize = 300;

/// What a server or a file says, fit for one line of an error.
pub fn brief(text: &str) -> String {
    let text = text.trim_matches(|c: char| c.is_whitespace() || c.is_control());
    let short: String = text.chars().take(BRIEF).collect();
    shown(&short)
}

/// Text of several lines, as a whole. Where it is `styled` our own colours stay, and no other sequence does.
pub fn lines(text: &str, styled: bool) -> Cow<'_, str> {
    if !styled || !text.contains('\u{1b}') {
        return escaped(text, |c| c == '\n');
    }
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('\u{1b}') {
        out.push_str(&escaped(&rest[..at], |c| c == '\n'));
        let style = style_len(&rest[at..]);
        out.push_str(if style > 0 { &rest[at..at + style] } else { "\\u{1b}" });
        rest = &rest[at + style.max(1)..];
    }
    out.push_str(&escaped(rest, |c| c == '\n'));
    Cow::Owned(out)
}

/// One record of a log: a single line, its end aside.
pub fn record(text: &str, styled: bool) -> String {
    let inner = text.strip_suffix('\n').unwrap_or(text).replace('\n', "\\n");
    lines(&inner, styled).into_owned() + "\n"
}

/// JSON as it may be printed: such characters are within strings only, and there each has an escape.
pub fn json(text: &str) -> Cow<'_, str> {
    if !text.chars().any(|c| c != '\n' && is_hidden(c)) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        if c != '\n' && is_hidden(c) {
            for unit in c.encode_utf16(&mut [0; 2]) {
                let _ = write!(out, "\\u{unit:04x}");
            }
        } else {
            out.push(c);
        }
    }
    Cow::Owned(out)
}

/// [`json`] on the way to a file: what writes JSON hands over whole pieces of text.
pub struct JsonWriter<W>(pub W);

impl<W: Write> Write for JsonWriter<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match std::str::from_utf8(bytes) {
            Ok(text) => self.0.write_all(json(text).as_bytes())?,
            Err(_) => self.0.write_all(bytes)?,
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

fn escaped(text: &str, stays: impl Fn(char) -> bool) -> Cow<'_, str> {
    let Some(first) = text.find(|c| is_hidden(c) && !stays(c)) else { return Cow::Borrowed(text) };
    let mut out = String::with_capacity(text.len() + 16);
    out.push_str(&text[..first]);
    for c in text[first..].chars() {
        if is_hidden(c) && !stays(c) { out.extend(c.escape_default()) } else { out.push(c) }
    }
    Cow::Owned(out)
}

/// The bytes of the colour or weight that `text` begins with (`ESC [ 1;31 m`); 0 where it begins with anything else.
fn style_len(text: &str) -> usize {
    let Some(rest) = text.strip_prefix("\u{1b}[") else { return 0 };
    let numbers = rest.find(|c: char| !c.is_ascii_digit() && c != ';').unwrap_or(rest.len());
    if rest[numbers..].starts_with('m') { 2 + numbers + 1 } else { 0 }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const HOSTILE: &str =
        "a\u{1b}[2J\u{1b}]52;c;eA==\u{7}\u{1b}]8;;http://x\u{1b}\\b\u{9b}2Jc\u{202e}d\u{200b}e\0f\r\ng\th";

    #[test]
    fn a_value_stays_on_its_line_and_moves_nothing() {
        assert_eq!(shown("plain ümlaut 日本 👩"), "plain ümlaut 日本 👩");
        assert_eq!(
            shown(HOSTILE),
            r"a\u{1b}[2J\u{1b}]52;c;eA==\u{7}\u{1b}]8;;http://x\u{1b}\b\u{9b}2Jc\u{202e}d\u{200b}e\u{0}f\r\ng\th"
        );
        assert_eq!(brief(" \u{7}no\u{1b}[2J\nway\0"), r"no\u{1b}[2J\nway");
        assert_eq!(brief(&"x".repeat(5000)).len(), BRIEF);
    }

    #[test]
    fn only_our_own_colours_get_through() {
        let text = "\u{1b}[1;31mred\u{1b}[0m\n\u{1b}[2J\u{1b}[31\u{1b}]0;t\u{7}\u{1b}";
        assert_eq!(
            lines(text, true),
            "\u{1b}[1;31mred\u{1b}[0m\n\\u{1b}[2J\\u{1b}[31\\u{1b}]0;t\\u{7}\\u{1b}"
        );
        assert!(!lines(text, false).contains('\u{1b}'));
        assert_eq!(record("one\ntwo\n", false), "one\\ntwo\n");
        assert_eq!(record("one", true), "one\n");
    }

    #[test]
    fn json_keeps_its_meaning() {
        let text = serde_json::to_string_pretty(&serde_json::json!([HOSTILE, "\u{e0041}", "ä"])).unwrap();
        let safe = json(&text);
        assert!(safe.chars().all(|c| c == '\n' || !is_hidden(c)), "{safe}");
        let read: serde_json::Value = serde_json::from_str(&safe).unwrap();
        assert_eq!(read, serde_json::json!([HOSTILE, "\u{e0041}", "ä"]));
        let mut out = JsonWriter(Vec::new());
        serde_json::to_writer_pretty(&mut out, &read).unwrap();
        assert_eq!(String::from_utf8(out.0).unwrap(), safe);
    }

    proptest! {
        #[test]
        fn nothing_hidden_gets_out(text in "(\\PC|\\x1b|\\x1b\\[|[0-9;m\n\u{9b}\u{202e}\u{85}\0])*") {
            prop_assert!(!shown(&text).chars().any(is_hidden));
            prop_assert!(!lines(&text, false).chars().any(|c| c != '\n' && is_hidden(c)));
            let styled = lines(&text, true);
            let mut rest: &str = &styled;
            while let Some(at) = rest.find('\u{1b}') {
                prop_assert!(style_len(&rest[at..]) > 0);
                rest = &rest[at + 1..];
            }
            let quoted = serde_json::to_string(&text).unwrap();
            let read: String = serde_json::from_str(&json(&quoted)).unwrap();
            prop_assert_eq!(read, text);
        }
    }
}
