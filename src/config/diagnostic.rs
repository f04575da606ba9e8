//! What is wrong with a config file, and where: for people with the line and a caret, for logs on one line.

use std::fmt;
use std::ops::Range;
use std::path::Path;

use miette::{
    GraphicalReportHandler, GraphicalTheme, LabeledSpan, MietteError, NamedSource, SourceCode, SourceSpan,
    SpanContents,
};
use serde::Serialize;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Severity {
    Error,
    Warning,
}

/// One problem. `line` and `column` count from 1, in characters.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Diagnostic {
    pub severity: Severity,
    pub file: String,
    pub line: usize,
    pub column: usize,
    pub message: String,
    /// What is said at the place itself.
    pub label: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub help: Option<String>,
    /// Bytes of the file.
    #[serde(skip)]
    pub span: Range<usize>,
    /// Other places that have to do with it, and what they have.
    #[serde(skip)]
    pub also: Vec<(Range<usize>, String)>,
}

impl fmt::Display for Diagnostic {
    /// `file:line:column: message; help`
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}: ", self.file, self.line, self.column)?;
        if self.severity == Severity::Warning {
            f.write_str("warning: ")?;
        }
        f.write_str(&self.message)?;
        self.help.as_ref().map_or(Ok(()), |help| write!(f, "; {help}"))
    }
}

/// Problems of one file, in the order of their places.
#[derive(Clone, Default)]
pub struct Diagnostics {
    file: String,
    /// The file's text, with what looks like a secret masked: snippets of it are shown.
    text: String,
    list: Vec<Diagnostic>,
    /// Problems that were met beyond those in the list.
    more: usize,
}

/// Whoever has more than these to mend has got hold of the wrong file. Each costs a walk through the file.
const MOST: usize = 100;
/// Bytes of the line that is shown around a problem.
const LONGEST_LINE: usize = 2000;

impl Diagnostics {
    pub(super) fn new(file: &Path, text: &str, severity: Severity, mut problems: Vec<Problem>) -> Self {
        let file = file.display().to_string();
        problems.sort_by_key(|p| (p.span.start, p.span.end));
        let more = problems.len().saturating_sub(MOST);
        let list: Vec<Diagnostic> = problems
            .into_iter()
            .take(MOST)
            .map(|p| {
                let (line, column) = position(text, p.span.start);
                Diagnostic {
                    severity,
                    file: file.clone(),
                    line,
                    column,
                    message: p.message,
                    label: p.label,
                    help: p.help,
                    span: p.span,
                    also: p.also,
                }
            })
            .collect();
        Self { file, text: mask(text), list, more }
    }

    pub fn file(&self) -> &str {
        &self.file
    }

    pub fn list(&self) -> &[Diagnostic] {
        &self.list
    }

    /// How many problems there are, those included that are not in the list.
    pub fn count(&self) -> usize {
        self.list.len() + self.more
    }

    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// With the lines concerned and carets under the places, for a terminal of `width` columns.
    pub fn render(&self, color: bool, width: usize) -> String {
        let theme = if color { GraphicalTheme::unicode() } else { GraphicalTheme::unicode_nocolor() };
        let handler = GraphicalReportHandler::new_themed(theme).with_width(width).with_context_lines(1);
        let source = Lines { named: NamedSource::new(&self.file, self.text.clone()), text: &self.text };
        let mut out = String::new();
        for diagnostic in &self.list {
            // Writing to a string fails only where a span lies outside the text; the plain form always works.
            let mut one = String::new();
            if !out.is_empty() {
                out.push('\n');
            }
            let rendered = if self.line_around(diagnostic) > LONGEST_LINE {
                Err(fmt::Error)
            } else {
                handler.render_report(&mut one, &Shown { diagnostic, source: &source })
            };
            match rendered {
                Ok(()) => out.push_str(&one),
                Err(fmt::Error) => {
                    out.push_str(&diagnostic.to_string());
                    out.push('\n');
                }
            }
        }
        if self.more > 0 {
            out.push_str(&format!("\nand {} more\n", self.more));
        }
        out
    }

    /// The bytes of the lines that the problem is in.
    fn line_around(&self, diagnostic: &Diagnostic) -> usize {
        let places = diagnostic.also.iter().map(|(span, _)| span).chain([&diagnostic.span]);
        let length = |span: &Range<usize>| {
            let start = self.text.get(..span.start)?.rfind('\n').map_or(0, |nl| nl + 1);
            let rest = self.text.get(span.end..)?;
            Some(span.end - start + rest.find('\n').unwrap_or(rest.len()))
        };
        places.filter_map(length).max().unwrap_or_default()
    }
}

impl fmt::Debug for Diagnostics {
    /// Without the text of the file.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.list.iter().map(ToString::to_string)).finish()
    }
}

/// A problem that was met while the file was read.
#[derive(Debug)]
pub(super) struct Problem {
    message: String,
    label: String,
    help: Option<String>,
    span: Range<usize>,
    also: Vec<(Range<usize>, String)>,
}

impl Problem {
    pub fn new(span: Range<usize>, message: impl Into<String>) -> Self {
        Self { message: message.into(), label: "here".to_owned(), help: None, span, also: Vec::new() }
    }

    pub fn label(&mut self, label: impl Into<String>) -> &mut Self {
        self.label = label.into();
        self
    }

    /// What exactly is wrong, said at the place and in the message.
    pub fn because(&mut self, detail: impl Into<String>) -> &mut Self {
        let detail = detail.into();
        self.message.push_str(": ");
        self.message.push_str(&detail);
        self.label(detail)
    }

    pub fn help(&mut self, help: impl Into<String>) -> &mut Self {
        self.help = Some(help.into());
        self
    }

    pub fn also(&mut self, span: Range<usize>, label: impl Into<String>) -> &mut Self {
        self.also.push((span, label.into()));
        self
    }
}

/// Line and column of a byte, from 1; columns count characters.
fn position(text: &str, at: usize) -> (usize, usize) {
    let before = text.get(..at).unwrap_or(text);
    let line = before.matches('\n').count() + 1;
    let start = before.rfind('\n').map_or(0, |nl| nl + 1);
    (line, before[start..].chars().count() + 1)
}

/// An empty span at the end of a line moves onto the line's last character, since a caret needs one to stand under.
fn visible(text: &str, span: &Range<usize>) -> Range<usize> {
    let ends = text.get(span.start..).is_some_and(|rest| rest.is_empty() || rest.starts_with(['\r', '\n']));
    match text.get(..span.start).and_then(|before| before.chars().next_back()) {
        Some(last) if ends && span.is_empty() && last != '\n' => span.start - last.len_utf8()..span.start,
        _ => span.clone(),
    }
}

struct Shown<'a> {
    diagnostic: &'a Diagnostic,
    source: &'a Lines<'a>,
}

/// The text in whole lines: those that a span touches, without their neighbours.
struct Lines<'a> {
    named: NamedSource<String>,
    text: &'a str,
}

impl SourceCode for Lines<'_> {
    fn read_span<'a>(
        &'a self,
        span: &SourceSpan,
        before: usize,
        _after: usize,
    ) -> Result<Box<dyn SpanContents<'a> + 'a>, MietteError> {
        // Without any context asked for, it is the line and column of the span itself that are wanted.
        let start = self.text.get(..span.offset()).filter(|_| before > 0);
        let end = self.text.get(span.offset() + span.len()..);
        let (Some(start), Some(end)) = (start, end) else {
            return self.named.read_span(span, 0, 0);
        };
        let start = start.rfind('\n').map_or(0, |nl| nl + 1);
        let end = self.text.len() - end.len() + end.find('\n').unwrap_or(end.len());
        self.named.read_span(&SourceSpan::from(start..end), 0, 0)
    }
}

impl fmt::Debug for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.diagnostic, f)
    }
}

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.diagnostic.message)
    }
}

impl std::error::Error for Shown<'_> {}

impl miette::Diagnostic for Shown<'_> {
    fn severity(&self) -> Option<miette::Severity> {
        Some(match self.diagnostic.severity {
            Severity::Error => miette::Severity::Error,
            Severity::Warning => miette::Severity::Warning,
        })
    }

    fn help<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        self.diagnostic.help.as_ref().map(|h| Box::new(h) as Box<dyn fmt::Display>)
    }

    fn source_code(&self) -> Option<&dyn miette::SourceCode> {
        Some(self.source)
    }

    fn labels(&self) -> Option<Box<dyn Iterator<Item = LabeledSpan> + '_>> {
        let d = self.diagnostic;
        let main =
            LabeledSpan::new_primary_with_span(Some(d.label.clone()), visible(self.source.text, &d.span));
        let also =
            d.also.iter().map(|(span, label)| LabeledSpan::new_with_span(Some(label.clone()), span.clone()));
        Some(Box::new(std::iter::once(main).chain(also)))
    }
}

/// Whether a key's value would be a secret itself, and not the name of a place that holds one.
pub(super) fn names_a_secret(key: &str) -> bool {
    let key = key.to_lowercase().replace('_', "-");
    let secret = ["password", "passwd", "passphrase", "secret", "token", "bindpw", "bind-pw"];
    let place = ["-file", "-env", "-expires"];
    secret.iter().any(|s| key.contains(s)) && !place.iter().any(|p| key.ends_with(p))
}

/// The text with the same length, in which values of secret-sounding keys and passwords in urls are stars.
/// Works on the bare text, since it must hold for files that are no TOML, too.
fn mask(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut hidden: Vec<Range<usize>> = Vec::new();
    for (at, _) in text.match_indices('=') {
        let word = |c: char| c.is_alphanumeric() || matches!(c, '-' | '_' | '"' | '\'');
        let before = text[..at].trim_end_matches([' ', '\t']);
        let key = &before[before.trim_end_matches(word).len()..];
        if names_a_secret(key.trim_matches(['"', '\''])) {
            hidden.push(value_at(text, at + 1));
        }
    }
    for (at, _) in text.match_indices("://") {
        let rest = &text[at + 3..];
        let end = rest.find(|c: char| c.is_whitespace() || matches!(c, '"' | '\'')).unwrap_or(rest.len());
        if let Some(amp) = rest[..end].rfind('@')
            && let Some(colon) = rest[..amp].find(':')
        {
            hidden.push(at + 3 + colon + 1..at + 3 + amp);
        }
    }
    let mut out = bytes.to_vec();
    for byte in hidden.into_iter().flatten() {
        if !matches!(out[byte], b'\n' | b'\r') {
            out[byte] = b'*';
        }
    }
    String::from_utf8(out).unwrap_or_default()
}

/// Where the value that starts after `from` (spaces aside) lies, quotes left out.
fn value_at(text: &str, from: usize) -> Range<usize> {
    let rest = &text[from..];
    let start = from + rest.len() - rest.trim_start_matches([' ', '\t']).len();
    let value = &text[start..];
    for quote in ["\"\"\"", "'''"] {
        if let Some(inner) = value.strip_prefix(quote) {
            return start + 3..start + 3 + inner.find(quote).unwrap_or(inner.len());
        }
    }
    if let Some(quote @ ('"' | '\'')) = value.chars().next() {
        let mut escaped = false;
        let inner = &value[1..];
        let end = inner.find(|c| {
            let stop = c == '\n' || (c == quote && !escaped);
            escaped = quote == '"' && c == '\\' && !escaped;
            stop
        });
        return start + 1..start + 1 + end.unwrap_or(inner.len());
    }
    let end = value.find(['\n', ',', '}', '#', '&', '"', '\'']);
    start..start + end.unwrap_or(value.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_count_characters_from_one() {
        assert_eq!(position("a\nüx", 0), (1, 1));
        assert_eq!(position("a\nüx", 4), (2, 2));
        assert_eq!(position("a\n", 2), (2, 1));
        assert_eq!(position("a", 99), (1, 2));
    }

    #[test]
    fn secrets_are_masked_wherever_they_stand() {
        let masked = |text: &str| {
            let out = mask(text);
            assert_eq!(out.len(), text.len());
            out
        };
        assert_eq!(masked("password = \"a\\\"b\" # x"), "password = \"****\" # x");
        assert_eq!(masked("bind = { password = 'pw', dn = 'x' }"), "bind = { password = '**', dn = 'x' }");
        assert_eq!(masked("bind.\"password\" = \"ü"), "bind.\"password\" = \"**");
        assert_eq!(masked("secret=abc\nx = 1"), "secret=***\nx = 1");
        assert_eq!(masked("token = '''a\nb''' "), "token = '''*\n*''' ");
        assert_eq!(masked("u = \"postgres://u:p/@w@h/d\""), "u = \"postgres://u:****@h/d\"");
        assert_eq!(
            masked("u = \"postgres://h/d?password=geheim&a=b\""),
            "u = \"postgres://h/d?password=******&a=b\""
        );
        assert_eq!(masked("password-file = \"/run/x\""), "password-file = \"/run/x\"");
    }
}
