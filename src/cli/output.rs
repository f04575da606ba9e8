//! Data on its way to stdout, piece by piece: a first plan can have millions of lines.

use std::fmt;
use std::io::{self, Write};

use crate::printable::{self, JsonWriter};

/// So much is made fit for printing at a time, in whole lines.
const PIECE: usize = 64 << 10;

/// Writes text; `styled`: our own colours stay.
pub fn text(styled: bool, write: impl FnOnce(&mut dyn fmt::Write) -> fmt::Result) -> io::Result<()> {
    let mut sheet = Sheet { out: io::stdout().lock(), styled, text: String::new(), failed: None };
    // The one error that there is has been kept.
    let _ = write(&mut sheet);
    sheet.pass(sheet.text.len());
    let Sheet { mut out, failed, .. } = sheet;
    to_the_end(failed.map_or(Ok(()), Err).and_then(|()| out.flush()))
}

/// Writes one JSON document.
pub fn json(value: &impl serde::Serialize) -> io::Result<()> {
    let mut out = JsonWriter(io::BufWriter::with_capacity(PIECE, io::stdout().lock()));
    let written = serde_json::to_writer_pretty(&mut out, value).map_err(io::Error::from);
    to_the_end(written.and_then(|()| out.write_all(b"\n")).and_then(|()| out.flush()))
}

/// Whoever reads may have read enough.
fn to_the_end(result: io::Result<()>) -> io::Result<()> {
    match result {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        other => other,
    }
}

struct Sheet<W> {
    out: W,
    styled: bool,
    text: String,
    failed: Option<io::Error>,
}

impl<W: Write> Sheet<W> {
    fn pass(&mut self, length: usize) {
        if self.failed.is_none() {
            let piece = printable::lines(&self.text[..length], self.styled);
            self.failed = self.out.write_all(piece.as_bytes()).err();
        }
        self.text.drain(..length);
    }
}

impl<W: Write> fmt::Write for Sheet<W> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.text.push_str(text);
        if self.text.len() >= PIECE
            && let Some(end) = self.text.rfind('\n')
        {
            self.pass(end + 1);
        }
        if self.failed.is_some() { Err(fmt::Error) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use std::fmt::Write as _;

    use super::*;

    #[test]
    fn pieces_are_whole_lines_and_nothing_is_lost_or_let_through() {
        let mut sheet = Sheet { out: Vec::new(), styled: false, text: String::new(), failed: None };
        let mut expected = String::new();
        for no in 0..20_000 {
            write!(sheet, "line {no} ").unwrap();
            sheet.write_str("\u{1b}[31m\n").unwrap();
            expected += &format!("line {no} \\u{{1b}}[31m\n");
        }
        sheet.write_str("end").unwrap();
        assert!(sheet.text.len() < PIECE && !sheet.out.is_empty());
        sheet.pass(sheet.text.len());
        assert_eq!(String::from_utf8(sheet.out).unwrap(), expected + "end");
    }
}
