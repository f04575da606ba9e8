//! Scope entries put into the text of a config file and taken out of it: text in, text out. Everything else stays as it
//! is to the byte: what the parser says of places is all that is used, and the pieces are put together here.

mod array;
#[cfg(test)]
mod tests;

use std::ops::Range;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::check::entry_key;
use crate::model::{Kind, ScopeEntry};

/// What is to become of one entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// It is to be in, like this.
    Add,
    /// It is to be out.
    Remove,
}

/// The text after a change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Edited {
    /// It is so already.
    Same,
    Text(String),
}

/// Why the text was not changed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unedited {
    #[error("it is not valid TOML")]
    NotToml,
    #[error("`{0}` in [scope] is not an array of entries")]
    Shape(&'static str),
    /// Changing it the usual way would have changed something else too.
    #[error("its [scope] is written in a way that cannot be edited safely; change it by hand")]
    Layout,
}

/// One entry of an array, and where it stands.
struct Found {
    entry: ScopeEntry,
    span: Range<usize>,
}

/// Where the entries of one kind are, or would be.
enum Place {
    /// An array, brackets included, and its entries.
    Array(Range<usize>, Vec<Found>),
    /// Within a line of `{ … }`.
    Inline(Range<usize>),
    /// After this place a line can be put in; what a key begins with there.
    Line(usize, &'static str),
    /// Nothing of it is there.
    Nowhere,
}

/// Puts the entry in, takes it out, or (where it is in with another `write`) writes it anew.
pub fn edit_scope(text: &str, change: Change, entry: &ScopeEntry) -> Result<Edited, Unedited> {
    let before = entries(text)?;
    let key = entry_key(&entry.name);
    let is_meant = |e: &ScopeEntry| e.kind == entry.kind && entry_key(&e.name) == key;
    let place = place(text, entry.kind)?;
    let at = match &place {
        Place::Array(_, found) => found.iter().position(|f| is_meant(&f.entry)),
        _ => None,
    };
    let mut wanted = before.clone();
    let (pieces, written) = match (change, at, &place) {
        (Change::Remove, None, _) => return Ok(Edited::Same),
        (Change::Add, Some(at), Place::Array(_, found)) => {
            let there = &found[at];
            if there.entry.write == entry.write {
                return Ok(Edited::Same);
            }
            // As it was named; only what it is for is new.
            let anew = ScopeEntry { name: there.entry.name.clone(), ..entry.clone() };
            (vec![(there.span.clone(), entry_literal(&anew))], Some((there.entry.clone(), anew)))
        }
        (Change::Remove, Some(at), Place::Array(array, found)) => {
            wanted.retain(|e| *e != found[at].entry);
            let spans: Vec<Range<usize>> = found.iter().map(|f| f.span.clone()).collect();
            (array::remove(text, array, &spans, at), None)
        }
        (Change::Add, None, place) => {
            let last = wanted.iter().rposition(|e| e.kind <= entry.kind && e.kind == entry.kind);
            // Groups come first, whatever the order in the file.
            let to = last.map_or_else(|| first_place(&wanted, entry.kind), |last| last + 1);
            wanted.insert(to, entry.clone());
            (insert(text, place, entry), None)
        }
        (_, Some(_), _) => return Err(Unedited::Layout),
    };
    if let Some((old, new)) = written {
        for e in wanted.iter_mut().filter(|e| **e == old) {
            *e = new.clone();
        }
    }
    let edited = spliced(text, pieces);
    // Whatever the layout: what comes out says what was meant, and nothing else.
    match entries(&edited) {
        Ok(after) if after == wanted => Ok(Edited::Text(edited)),
        _ => Err(Unedited::Layout),
    }
}

fn first_place(entries: &[ScopeEntry], kind: Kind) -> usize {
    match kind {
        Kind::Group => 0,
        Kind::User => entries.len(),
    }
}

fn insert(text: &str, place: &Place, entry: &ScopeEntry) -> Vec<(Range<usize>, String)> {
    let (key, value) = (array_key(entry.kind), entry_literal(entry));
    let eol = eol(text);
    let line = |prefix: &str| format!("{prefix}{key} = [{value}]{eol}");
    match place {
        Place::Array(array, found) => {
            let spans: Vec<Range<usize>> = found.iter().map(|f| f.span.clone()).collect();
            array::push(text, array, &spans, &value)
        }
        Place::Inline(table) => {
            let inner = &text[table.start + 1..table.end - 1];
            let at = table.start + 1;
            let rest = if inner.trim().is_empty() { " " } else { "," };
            vec![(at..at, format!(" {key} = [{value}]{rest}"))]
        }
        Place::Line(at, prefix) => {
            let begun = text[..*at].ends_with('\n') || *at == 0;
            let gap = if begun { "" } else { eol };
            vec![(*at..*at, format!("{gap}{}", line(prefix)))]
        }
        Place::Nowhere => {
            let gap = if text.is_empty() || text.ends_with('\n') { "" } else { eol };
            let blank = if text.is_empty() { "" } else { eol };
            vec![(text.len()..text.len(), format!("{gap}{blank}[scope]{eol}{}", line("")))]
        }
    }
}

/// The pieces in place of what they stand for; they do not overlap.
fn spliced(text: &str, mut pieces: Vec<(Range<usize>, String)>) -> String {
    pieces.sort_by_key(|(span, _)| (span.start, span.end));
    let mut out = String::with_capacity(text.len() + 64);
    let mut done = 0;
    for (span, new) in pieces {
        out.push_str(&text[done..span.start]);
        out.push_str(&new);
        done = span.end;
    }
    out + &text[done..]
}

fn array_key(kind: Kind) -> &'static str {
    match kind {
        Kind::Group => "groups",
        Kind::User => "users",
    }
}

/// All entries, groups first, in the file's order.
fn entries(text: &str) -> Result<Vec<ScopeEntry>, Unedited> {
    let mut all = Vec::new();
    for kind in [Kind::Group, Kind::User] {
        if let Place::Array(_, found) = place(text, kind)? {
            all.extend(found.into_iter().map(|f| f.entry));
        }
    }
    Ok(all)
}

fn place(text: &str, kind: Kind) -> Result<Place, Unedited> {
    let (tree, errors) = DeTable::parse_recoverable(text);
    if !errors.is_empty() {
        return Err(Unedited::NotToml);
    }
    let root = tree.get_ref();
    let Some(scope) = root.get("scope") else { return Ok(Place::Nowhere) };
    let table = scope.get_ref().as_table().ok_or(Unedited::Shape("scope"))?;
    let (key, other) = match kind {
        Kind::Group => ("groups", "users"),
        Kind::User => ("users", "groups"),
    };
    if let Some(value) = table.get(key) {
        return Ok(Place::Array(value.span(), found(value, kind, key)?));
    }
    let span = scope.span();
    if text[span.clone()].starts_with('{') {
        return Ok(Place::Inline(span));
    }
    // Groups before users; else right below the header.
    let beside = table.get(other).map(Spanned::span);
    if let Some(header) = header(text) {
        let at = match (kind, beside) {
            (Kind::User, Some(groups)) => line_end(text, groups.end),
            _ => line_end(text, header.end),
        };
        return Ok(Place::Line(at, ""));
    }
    // `scope.groups = […]` in the root table.
    match beside {
        Some(beside) => Ok(Place::Line(line_end(text, beside.end), "scope.")),
        None => Err(Unedited::Layout),
    }
}

fn found(value: &Spanned<DeValue<'_>>, kind: Kind, key: &'static str) -> Result<Vec<Found>, Unedited> {
    let array = value.get_ref().as_array().ok_or(Unedited::Shape(key))?;
    let mut list = Vec::new();
    for element in array {
        let (name, write) = match element.get_ref() {
            DeValue::String(name) => (name.to_string(), true),
            DeValue::Table(table) if kind == Kind::Group => {
                let name = table.get("group").and_then(|v| v.get_ref().as_str());
                let write = table.get("write").and_then(|v| v.get_ref().as_bool()).unwrap_or(true);
                (name.ok_or(Unedited::Shape(key))?.to_owned(), write)
            }
            _ => return Err(Unedited::Shape(key)),
        };
        list.push(Found { entry: ScopeEntry { kind, name, write }, span: element.span() });
    }
    Ok(list)
}

/// The line `[scope]`, without its end.
fn header(text: &str) -> Option<Range<usize>> {
    let mut at = 0;
    for line in text.split_inclusive('\n') {
        let bare = line.split('#').next().unwrap_or_default().trim();
        let inner = bare.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
        if inner.is_some_and(|name| matches!(name.trim(), "scope" | "\"scope\"" | "'scope'")) {
            return Some(at..at + line.trim_end_matches(['\r', '\n']).len());
        }
        at += line.len();
    }
    None
}

/// Where the line ends that holds `at`, its line break included.
fn line_end(text: &str, at: usize) -> usize {
    text[at..].find('\n').map_or(text.len(), |nl| at + nl + 1)
}

/// How the file's lines end.
fn eol(text: &str) -> &'static str {
    match text.find('\n') {
        Some(at) if text[..at].ends_with('\r') => "\r\n",
        _ => "\n",
    }
}

/// The entry as it stands in an array.
pub fn entry_literal(entry: &ScopeEntry) -> String {
    if entry.write {
        quoted(&entry.name)
    } else {
        format!("{{ group = {}, write = false }}", quoted(&entry.name))
    }
}

/// A basic string (TOML 1.0, "String").
pub fn quoted(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            // What a terminal or an editor would not show is written by its number.
            c if crate::printable::is_hidden(c) && u32::from(c) > 0xffff => {
                out.push_str(&format!("\\U{:08X}", u32::from(c)));
            }
            c if crate::printable::is_hidden(c) => out.push_str(&format!("\\u{:04X}", u32::from(c))),
            c => out.push(c),
        }
    }
    out.push('"');
    out
}
