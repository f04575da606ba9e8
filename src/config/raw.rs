//! The file as a tree that still knows where each thing stood, and small readers over it that note what is wrong
//! and go on, so that one run reports everything.

use std::ops::Range;
use std::path::{Path, PathBuf};

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::diagnostic::{Problem, names_a_secret};
use super::keys::{self, Shape, nearest};
use super::literal;
use crate::printable::is_hidden;

pub(super) type Span = Range<usize>;

/// What the readers share: the text, where relative paths start, and the problems met so far.
pub(super) struct Reader<'t> {
    pub text: &'t str,
    pub base: &'t Path,
    pub errors: Vec<Problem>,
    pub warnings: Vec<Problem>,
}

/// A string of the file.
#[derive(Clone, Debug)]
pub(super) struct Text<'t> {
    pub value: &'t str,
    /// With its quotes.
    pub span: Span,
}

/// A value and its place.
#[derive(Clone)]
pub(super) struct Value<'t> {
    pub value: &'t DeValue<'t>,
    pub span: Span,
}

/// A table of known shape; without a table where the file has none, and then every key is absent.
pub(super) struct Section<'t> {
    shape: &'static Shape,
    table: Option<&'t DeTable<'t>>,
    /// Keys that are missing because they are misspelt, which has been noted.
    meant: Vec<&'static str>,
    /// Where something that is missing from it would be noted.
    pub at: Span,
}

impl<'t> Reader<'t> {
    pub fn error(&mut self, span: Span, message: impl Into<String>) -> &mut Problem {
        push(&mut self.errors, Problem::new(span, message))
    }

    pub fn warn(&mut self, span: Span, message: impl Into<String>) -> &mut Problem {
        push(&mut self.warnings, Problem::new(span, message))
    }

    /// Bytes `offset..offset + len` of the string's value as a place in the file, escapes undone.
    pub fn within(&self, text: &Text<'_>, offset: usize, len: usize) -> Span {
        literal::place(self.text, &text.span, text.value, offset..offset.saturating_add(len))
    }

    /// Opens a table: notes the keys it should not have.
    pub fn section(&mut self, shape: &'static Shape, table: &'t DeTable<'t>, at: Span) -> Section<'t> {
        let mut meant = Vec::new();
        for name in table.keys() {
            if !shape.has(name.get_ref()) {
                meant.extend(self.unknown_key(shape, name.get_ref(), name.span()));
            }
        }
        Section { shape, table: Some(table), meant, at }
    }

    /// Gives the key that was most likely meant.
    fn unknown_key(&mut self, shape: &'static Shape, name: &str, span: Span) -> Option<&'static str> {
        let near = nearest(name, shape.names());
        let title = shape.title();
        let secret = names_a_secret(name).then(|| shape.secret()).flatten();
        let elsewhere = keys::ALL.iter().find(|s| s.has(name));
        let help = if let Some((file, env)) = secret {
            format!("secrets are never written in this file: use `{file}` or `{env}`")
        } else if let Some(near) = near {
            format!("did you mean `{near}`?")
        } else if let Some(other) = elsewhere {
            format!("`{name}` is a key of {}", other.title())
        } else {
            format!("known here: {}", shape.names().collect::<Vec<_>>().join(", "))
        };
        self.error(span, format!("unknown key `{}` in {title}", shown(name))).label("unknown").help(help);
        secret.map(|(file, _)| file).or(near)
    }

    pub fn wrong_type(&mut self, value: &DeValue<'_>, span: Span, wanted: &str) {
        let found = match value.type_str() {
            kind @ ("array" | "integer") => format!("an {kind}"),
            kind => format!("a {kind}"),
        };
        self.error(span, format!("expected {wanted}, found {found}")).label(format!("expected {wanted}"));
    }

    /// A non-empty string that does not start or end with blanks.
    pub fn text_of(&mut self, value: &'t DeValue<'t>, span: Span, wanted: &str) -> Option<Text<'t>> {
        let DeValue::String(text) = value else {
            self.wrong_type(value, span, wanted);
            return None;
        };
        if text.trim().is_empty() {
            self.error(span, format!("expected {wanted}, found an empty string")).label("empty");
            return None;
        }
        if text.trim().len() != text.len() || text.contains(['\0', '\r', '\n']) {
            self.error(span, format!("{wanted} has blanks around it, or a line break in it"))
                .label("as it is written");
            return None;
        }
        Some(Text { value: text, span })
    }

    /// A path, relative ones from where the config file is.
    pub fn path_of(&self, text: &Text<'_>) -> PathBuf {
        self.base.join(text.value)
    }
}

fn push(list: &mut Vec<Problem>, problem: Problem) -> &mut Problem {
    let at = list.len();
    list.push(problem);
    &mut list[at]
}

/// A name from the file, short enough to be repeated in a message.
pub(super) fn shown(name: &str) -> String {
    const MOST: usize = 60;
    let clean: String = name.chars().map(|c| if is_hidden(c) { '\u{fffd}' } else { c }).collect();
    if clean.chars().count() <= MOST { clean } else { clean.chars().take(MOST).chain(['…']).collect() }
}

impl<'t> Section<'t> {
    /// One that the file leaves out.
    pub fn absent(shape: &'static Shape) -> Self {
        Self { shape, table: None, meant: Vec::new(), at: 0..0 }
    }

    pub fn title(&self) -> String {
        self.shape.title()
    }

    pub fn value(&self, key: &'static str) -> Option<Value<'t>> {
        debug_assert!(self.shape.has(key), "`{key}` is not in the shape of {}", self.shape.path);
        let value: &Spanned<DeValue<'_>> = self.table?.get(key)?;
        Some(Value { value: value.get_ref(), span: value.span() })
    }

    /// Where the key itself stands.
    pub fn key_span(&self, key: &str) -> Option<Span> {
        self.table?.get_key_value(key).map(|(k, _)| k.span())
    }

    pub fn has(&self, key: &'static str) -> bool {
        self.value(key).is_some()
    }

    /// Absent, or an array without elements.
    pub fn array_is_empty(&self, key: &'static str) -> bool {
        self.value(key).is_none_or(|v| v.value.as_array().is_some_and(|a| a.is_empty()))
    }

    /// Notes each of `keys` that is given, since `why` rules it out.
    pub fn refuse(&self, r: &mut Reader<'t>, keys: &[&'static str], why: &str) {
        for key in keys {
            if let Some(span) = self.key_span(key) {
                r.error(span, format!("`{key}` cannot be used here: {why}")).label("not used");
            }
        }
    }

    /// Whether the key, or what seems to be a misspelling of it, is there.
    pub fn tries(&self, key: &'static str) -> bool {
        self.has(key) || self.meant.contains(&key)
    }

    pub fn missing(&self, r: &mut Reader<'t>, key: &'static str, help: &str) {
        if self.meant.contains(&key) {
            return;
        }
        r.error(self.at.clone(), format!("`{key}` is missing from {}", self.title()))
            .label(format!("`{key}` is missing"))
            .help(help);
    }

    pub fn string(&self, r: &mut Reader<'t>, key: &'static str, wanted: &str) -> Option<Text<'t>> {
        let value = self.value(key)?;
        r.text_of(value.value, value.span, wanted)
    }

    pub fn required(
        &self,
        r: &mut Reader<'t>,
        key: &'static str,
        wanted: &str,
        help: &str,
    ) -> Option<Text<'t>> {
        if !self.has(key) {
            self.missing(r, key, help);
        }
        self.string(r, key, wanted)
    }

    pub fn path(&self, r: &mut Reader<'t>, key: &'static str) -> Option<PathBuf> {
        let text = self.string(r, key, "a path")?;
        Some(r.path_of(&text))
    }

    pub fn bool(&self, r: &mut Reader<'t>, key: &'static str) -> Option<(bool, Span)> {
        let value = self.value(key)?;
        match value.value.as_bool() {
            Some(b) => Some((b, value.span)),
            None => {
                r.wrong_type(value.value, value.span, "true or false");
                None
            }
        }
    }

    pub fn number(
        &self,
        r: &mut Reader<'t>,
        key: &'static str,
        allowed: std::ops::RangeInclusive<u32>,
    ) -> Option<(u32, Span)> {
        let value = self.value(key)?;
        let Some(integer) = value.value.as_integer() else {
            r.wrong_type(value.value, value.span, "a whole number");
            return None;
        };
        let number =
            i64::from_str_radix(integer.as_str(), integer.radix()).ok().and_then(|n| u32::try_from(n).ok());
        match number.filter(|n| allowed.contains(n)) {
            Some(number) => Some((number, value.span)),
            None => {
                let range = format!("from {} to {}", allowed.start(), allowed.end());
                r.error(value.span, format!("`{key}` must be {range}")).label(range);
                None
            }
        }
    }

    /// One of a fixed set of words.
    pub fn choice<T: Copy>(
        &self,
        r: &mut Reader<'t>,
        key: &'static str,
        words: &[(&'static str, T)],
    ) -> Option<(T, Span)> {
        let text = self.string(r, key, &one_of(words.iter().map(|(w, _)| *w)))?;
        if let Some((_, value)) = words.iter().find(|(word, _)| *word == text.value) {
            return Some((*value, text.span));
        }
        let names = || words.iter().map(|(word, _)| *word);
        let help = match nearest(text.value, names()) {
            Some(near) => format!("did you mean \"{near}\"?"),
            None => format!("expected {}", one_of(names())),
        };
        r.error(text.span, format!("`{key}` cannot be \"{}\"", shown(text.value)))
            .label("unknown value")
            .help(help);
        None
    }

    /// The elements of an array; a value that is no array is noted.
    pub fn array(
        &self,
        r: &mut Reader<'t>,
        key: &'static str,
        wanted: &str,
    ) -> Option<(&'t [Spanned<DeValue<'t>>], Span)> {
        let value = self.value(key)?;
        match value.value.as_array() {
            Some(array) => Some((array.as_ref(), value.span)),
            None => {
                r.wrong_type(value.value, value.span, wanted);
                None
            }
        }
    }

    pub fn strings(
        &self,
        r: &mut Reader<'t>,
        key: &'static str,
        each: &str,
    ) -> Option<(Vec<Text<'t>>, Span)> {
        let (array, span) = self.array(r, key, &format!("an array of strings, each {each}"))?;
        let texts = array.iter().filter_map(|v| r.text_of(v.get_ref(), v.span(), each)).collect();
        Some((texts, span))
    }

    /// A table below this one.
    pub fn table(&self, r: &mut Reader<'t>, key: &'static str, shape: &'static Shape) -> Option<Section<'t>> {
        let value = self.value(key)?;
        match value.value.as_table() {
            Some(table) => {
                let at = self.key_span(key).unwrap_or(value.span);
                Some(r.section(shape, table, at))
            }
            None => {
                r.wrong_type(value.value, value.span, "a table");
                None
            }
        }
    }
}

/// `"a", "b" or "c"`
pub(super) fn one_of<'a>(words: impl Iterator<Item = &'a str>) -> String {
    let words: Vec<String> = words.map(|w| format!("\"{w}\"")).collect();
    match words.as_slice() {
        [most @ .., last] if !most.is_empty() => format!("{} or {last}", most.join(", ")),
        _ => words.concat(),
    }
}
