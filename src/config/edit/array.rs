//! One element more or less in an array, on one line or on several. `array` is the place of the whole, brackets included;
//! `elements` are the places of what is in it, in order.

use std::ops::Range;

use super::{eol, line_end};

type Pieces = Vec<(Range<usize>, String)>;

/// Puts `value` behind the last element.
pub(super) fn push(text: &str, array: &Range<usize>, elements: &[Range<usize>], value: &str) -> Pieces {
    let eol = eol(text);
    let close = array.end - 1;
    let Some(last) = elements.last() else {
        if !text[array.clone()].contains('\n') {
            return vec![(array.start + 1..close, value.to_owned())];
        }
        let line = line_start(text, close);
        let indent = &text[line..close];
        return vec![(line..line, format!("{indent}    {value},{eol}"))];
    };
    if !text[array.clone()].contains('\n') {
        return vec![(last.end..last.end, format!(", {value}"))];
    }
    let line = line_start(text, last.start);
    let indent: String = text[line..].chars().take_while(|c| matches!(c, ' ' | '\t')).collect();
    // On the line of the opening bracket there is nothing to go by.
    let indent = if line <= array.start { format!("{indent}    ") } else { indent };
    let comma = comma(text, last.end, close);
    let after = comma.map_or(last.end, |comma| comma + 1);
    let end = line_end(text, after);
    // Nothing but a comment follows on the line, and the bracket does not.
    let alone = end <= close && is_blank(&text[after..end]);
    match (comma, alone) {
        (Some(_), true) => vec![(end..end, format!("{indent}{value},{eol}"))],
        (Some(comma), false) => vec![(comma + 1..comma + 1, format!(" {value},"))],
        (None, true) => {
            vec![(last.end..last.end, ",".to_owned()), (end..end, format!("{indent}{value}{eol}"))]
        }
        (None, false) => vec![(last.end..last.end, format!(",{eol}{indent}{value}"))],
    }
}

/// Takes out the element number `at`, with its line where it has one of its own.
pub(super) fn remove(text: &str, array: &Range<usize>, elements: &[Range<usize>], at: usize) -> Pieces {
    let close = array.end - 1;
    let this = elements[at].clone();
    let (next, previous) = (elements.get(at + 1), at.checked_sub(1).map(|p| &elements[p]));
    let comma_after = comma(text, this.end, close);
    let after = comma_after.map_or(this.end, |comma| comma + 1);
    // The comma that only stood between the two.
    let lone = previous.filter(|_| next.is_none() && comma_after.is_none());
    let lone =
        lone.and_then(|previous| comma(text, previous.end, this.start)).map(|c| (c..c + 1, String::new()));

    let start = line_start(text, this.start);
    let end = line_end(text, after);
    let own_line = start > array.start
        && text[start..this.start].trim().is_empty()
        && end <= close
        && is_blank(&text[after..end]);
    if own_line {
        return std::iter::once((start..end, String::new())).chain(lone).collect();
    }
    if let Some(next) = next
        && !text[after..next.start].contains(['#', '\n'])
    {
        return vec![(this.start..next.start, String::new())];
    }
    if let Some(previous) = previous
        && !text[previous.end..this.start].contains('#')
    {
        return vec![(previous.end..this.end, String::new())];
    }
    // Between two comments: the element, and what divides it from the next.
    std::iter::once((this.start..after, String::new())).chain(lone).collect()
}

/// The comma that follows `from`, before `to`; comments have commas too, which are none.
fn comma(text: &str, from: usize, to: usize) -> Option<usize> {
    let mut in_comment = false;
    for (at, c) in text[from..to].char_indices() {
        match c {
            '\n' => in_comment = false,
            '#' => in_comment = true,
            ',' if !in_comment => return Some(from + at),
            _ => {}
        }
    }
    None
}

/// Nothing, or a comment.
fn is_blank(rest: &str) -> bool {
    let rest = rest.trim();
    rest.is_empty() || rest.starts_with('#')
}

fn line_start(text: &str, at: usize) -> usize {
    text[..at].rfind('\n').map_or(0, |nl| nl + 1)
}
