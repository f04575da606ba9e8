//! Where a part of a string's value stands in the file: TOML's escapes (TOML 1.1, "String") undone the other way.

use std::ops::Range;

/// The place in `file` of the bytes `part` of `value`, which the string literal at `span` (quotes included)
/// stands for. The whole literal, where the two cannot be brought together.
pub(super) fn place(file: &str, span: &Range<usize>, value: &str, part: Range<usize>) -> Range<usize> {
    let Some(pieces) = file.get(span.clone()).and_then(|literal| pieces(literal, value)) else {
        return span.clone();
    };
    // Bytes of the value are found in order; an end is the end of the piece that holds the last byte.
    let end_of_all = pieces.last().map_or(span.start, |p| span.start + p.source.end);
    let start = match pieces.iter().find(|p| p.value.contains(&part.start)) {
        Some(piece) => span.start + piece.source_of(part.start),
        None => end_of_all,
    };
    let end = match part.end.checked_sub(1).and_then(|last| pieces.iter().find(|p| p.value.contains(&last))) {
        Some(piece) if piece.is_plain() => span.start + piece.source_of(part.end),
        Some(piece) => span.start + piece.source.end,
        None => end_of_all,
    };
    // Within a character no caret can stand.
    let floor = |mut at: usize| {
        while !file.is_char_boundary(at) {
            at -= 1;
        }
        at
    };
    let (start, end) = (floor(start.min(file.len())), floor(end.min(file.len())));
    start..end.max(start)
}

/// A run of a literal, and the bytes of the value that it stands for: the same text, or one escape.
struct Piece {
    source: Range<usize>,
    value: Range<usize>,
}

impl Piece {
    fn is_plain(&self) -> bool {
        self.source.len() == self.value.len()
    }

    fn source_of(&self, at: usize) -> usize {
        if self.is_plain() { self.source.start + (at - self.value.start) } else { self.source.start }
    }
}

/// `None` where the literal does not stand for `value` after all.
fn pieces(literal: &str, value: &str) -> Option<Vec<Piece>> {
    let (quote, escapes) = if literal.starts_with("\"\"\"") {
        ("\"\"\"", true)
    } else if literal.starts_with("'''") {
        ("'''", false)
    } else if literal.starts_with('"') {
        ("\"", true)
    } else if literal.starts_with('\'') {
        ("'", false)
    } else {
        return None;
    };
    let end = literal.len().checked_sub(quote.len()).filter(|end| *end >= quote.len())?;
    let mut at = quote.len();
    if quote.len() == 3 {
        // The line break right after the opening quotes does not count.
        let body = &literal[at..end];
        at += if body.starts_with("\r\n") { 2 } else { usize::from(body.starts_with('\n')) };
    }
    let (mut pieces, mut decoded) = (Vec::new(), String::with_capacity(value.len()));
    while at < end {
        let rest = &literal[at..end];
        let c = rest.chars().next()?;
        let (taken, stands_for) = match c {
            '\\' if escapes => escape(rest)?,
            // The parser may keep the line's end as it is, or make it `\n`.
            '\r' if rest.starts_with("\r\n") && value.as_bytes().get(decoded.len()) != Some(&b'\r') => {
                (2, Some('\n'))
            }
            c => (c.len_utf8(), Some(c)),
        };
        let from = decoded.len();
        decoded.extend(stands_for);
        pieces.push(Piece { source: at..at + taken, value: from..decoded.len() });
        at += taken;
    }
    (decoded == value).then_some(pieces)
}

/// How long the escape at the start of `rest` is, and what it stands for (a line ending in a backslash: nothing).
fn escape(rest: &str) -> Option<(usize, Option<char>)> {
    let hex = |digits: usize| {
        let code = u32::from_str_radix(rest.get(2..2 + digits)?, 16).ok()?;
        Some((2 + digits, Some(char::from_u32(code)?)))
    };
    let simple = |c: char| Some((2, Some(c)));
    match rest[1..].chars().next()? {
        'b' => simple('\u{8}'),
        't' => simple('\t'),
        'n' => simple('\n'),
        'f' => simple('\u{c}'),
        'r' => simple('\r'),
        'e' => simple('\u{1b}'),
        c @ ('"' | '\\') => simple(c),
        'x' => hex(2),
        'u' => hex(4),
        'U' => hex(8),
        ' ' | '\t' | '\r' | '\n' => {
            let blank = |c: char| matches!(c, ' ' | '\t' | '\r' | '\n');
            Some((1 + rest[1..].len() - rest[1..].trim_start_matches(blank).len(), None))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use toml::de::{DeTable, DeValue};

    use super::*;

    fn value_of(file: &str) -> (String, Range<usize>) {
        let table = DeTable::parse(file).unwrap();
        let value = table.get_ref().get("k").unwrap();
        let DeValue::String(text) = value.get_ref() else { panic!("no string") };
        (text.to_string(), value.span())
    }

    /// What stands in the file where `part` stands in the value.
    fn found<'a>(file: &'a str, part: &str) -> &'a str {
        let (value, span) = value_of(file);
        let at = value.find(part).unwrap();
        &file[place(file, &span, &value, at..at + part.len())]
    }

    #[test]
    fn a_part_is_found_in_every_sort_of_string() {
        assert_eq!(found("k = \"abXcd\"", "X"), "X");
        assert_eq!(found("k = 'ab\\Xcd'", "X"), "X");
        assert_eq!(found(r#"k = "a \"q\" \u00fc ${X} b""#, "${X}"), "${X}");
        assert_eq!(found(r#"k = "a \"q\" b""#, "q\" b"), r#"q\" b"#);
        assert_eq!(found(r#"k = "a \u00fc b""#, "ü"), r"\u00fc");
        assert_eq!(found("k = \"\"\"\nab \\\n   X\"\"\"", "X"), "X");
        assert_eq!(found("k = '''\r\nab\r\nX'''", "X"), "X");
        assert_eq!(found("k = \"\"\"\r\nab\r\n\\u00fcX\"\"\"", "X"), "X");
        assert_eq!(found(r#"k = "\x41\e\tX""#, "X"), "X");
        assert_eq!(found(r#"k = "" "#, ""), "");
    }

    #[test]
    fn past_the_end_is_the_closing_quote_and_nonsense_the_whole() {
        let file = "k = \"abc\"";
        let (value, span) = value_of(file);
        assert_eq!(place(file, &span, &value, 3..4), 8..8);
        assert_eq!(place(file, &span, &value, 2..9), 7..8);
        assert_eq!(place(file, &span, "other", 0..1), span);
        assert_eq!(place(file, &(0..99), &value, 0..1), 0..99);
    }

    proptest! {
        #[test]
        fn any_character_is_found_again(text in "[ -~äüß\u{1F600}\t\n\"\\\\]{0,24}", escaped in any::<u32>()) {
            let mut literal = String::from("k = \"");
            let mut places = Vec::new();
            for (i, c) in text.chars().enumerate() {
                let from = literal.len();
                match c {
                    c if (escaped >> (i % 32)) & 1 == 1 => literal.push_str(&format!("\\U{:08X}", u32::from(c))),
                    '"' => literal.push_str("\\\""),
                    '\\' => literal.push_str("\\\\"),
                    '\t' => literal.push_str("\\t"),
                    '\n' => literal.push_str("\\n"),
                    c => literal.push(c),
                }
                places.push(from..literal.len());
            }
            literal.push('"');
            let (value, span) = value_of(&literal);
            prop_assert_eq!(&value, &text);
            for ((at, c), expected) in value.char_indices().zip(places) {
                prop_assert_eq!(place(&literal, &span, &value, at..at + c.len_utf8()), expected);
            }
        }

        #[test]
        fn any_range_gives_a_range_of_the_file(text in "\\PC{0,12}", part in 0_usize..20, len in 0_usize..20) {
            let file = format!("k = '{}'", text.replace('\'', ""));
            let (value, span) = value_of(&file);
            let place = place(&file, &span, &value, part..part + len);
            prop_assert!(file.get(place).is_some());
        }
    }
}
