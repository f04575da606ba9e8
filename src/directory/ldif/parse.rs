//! LDIF content (RFC 2849), as `ldapsearch` and `ldifde` write it, read line by line.

use std::io::BufRead;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::LdifError;
use crate::directory::range;
use crate::directory::reader::RawEntry;

/// The comment by which a person vouches that an export of a program without an end marker is whole.
const END_COMMENT: &str = "idcsync: end";

/// What a file says beside its entries.
#[derive(Debug, Default)]
pub(super) struct Export {
    /// Urls of continuation references.
    pub references: Vec<String>,
    /// Why the file may not be the whole export; `None` where its end says that it is.
    pub doubt: Option<String>,
}

/// Reads the whole file. Of each entry, the attributes that `keep` names (lower case, without options) are handed
/// over.
pub(super) fn parse(
    input: &mut dyn BufRead,
    keep: &dyn Fn(&str) -> bool,
    sink: &mut dyn FnMut(RawEntry),
) -> Result<Export, LdifError> {
    let mut parser = Parser { keep, sink, current: None, end: End::default() };
    let mut lines = Lines { input, number: 0, next: None, first: true };
    while let Some((number, line)) = lines.next()? {
        parser.line(&line).map_err(|what| LdifError::Syntax { line: number, what })?;
    }
    parser.flush();
    Ok(parser.end.into_export())
}

/// Logical lines: continuation lines joined, line ends dropped.
struct Lines<'a> {
    input: &'a mut dyn BufRead,
    number: u64,
    next: Option<Vec<u8>>,
    first: bool,
}

impl Lines<'_> {
    fn next(&mut self) -> Result<Option<(u64, Vec<u8>)>, LdifError> {
        let Some(mut line) = self.physical()? else { return Ok(None) };
        let number = self.number;
        if line.first() == Some(&b' ') {
            let what = "a continuation line without a line before it".to_owned();
            return Err(LdifError::Syntax { line: number, what });
        }
        // An empty line ends an entry, and is continued by nothing.
        while !line.is_empty() {
            match self.physical()? {
                Some(more) if more.first() == Some(&b' ') => line.extend_from_slice(&more[1..]),
                Some(more) => {
                    self.next = Some(more);
                    self.number -= 1;
                    break;
                }
                None => break,
            }
        }
        Ok(Some((number, line)))
    }

    fn physical(&mut self) -> Result<Option<Vec<u8>>, LdifError> {
        if let Some(line) = self.next.take() {
            self.number += 1;
            return Ok(Some(line));
        }
        let mut line = Vec::new();
        if self.input.read_until(b'\n', &mut line)? == 0 {
            return Ok(None);
        }
        self.number += 1;
        if std::mem::take(&mut self.first) {
            if line.starts_with(&[0xff, 0xfe]) || line.starts_with(&[0xfe, 0xff]) {
                return Err(LdifError::Utf16);
            }
            if line.starts_with(&[0xef, 0xbb, 0xbf]) {
                line.drain(..3);
            }
        }
        if line.last() == Some(&b'\n') {
            line.pop();
        }
        if line.last() == Some(&b'\r') {
            line.pop();
        }
        Ok(Some(line))
    }
}

/// The entry that is being read.
struct Open {
    dn: String,
    attributes: Vec<(String, Vec<Vec<u8>>)>,
}

struct Parser<'a> {
    keep: &'a dyn Fn(&str) -> bool,
    sink: &'a mut dyn FnMut(RawEntry),
    current: Option<Open>,
    end: End,
}

impl Parser<'_> {
    fn line(&mut self, line: &[u8]) -> Result<(), String> {
        if line.is_empty() {
            self.flush();
            return Ok(());
        }
        if let Some(comment) = line.strip_prefix(b"#") {
            self.end.comment(String::from_utf8_lossy(comment).trim());
            return Ok(());
        }
        if line == b"-" {
            return Err("a change (`-`); an export of entries is needed, not one of changes".to_owned());
        }
        let colon = line
            .iter()
            .position(|b| *b == b':')
            .ok_or_else(|| format!("`{}` is not of the form `name: value`", String::from_utf8_lossy(line)))?;
        let name = std::str::from_utf8(&line[..colon]).map_err(|_| "the name is not UTF-8".to_owned())?;
        let name = name.trim().to_lowercase();
        if name.is_empty() {
            return Err("the name before the colon is empty".to_owned());
        }
        let value = value(&line[colon + 1..]).map_err(|why| format!("{name}: {why}"))?;
        if self.current.is_some() { self.attribute(name, value) } else { self.outside(&name, value) }
    }

    /// A line that belongs to no entry.
    fn outside(&mut self, name: &str, value: Vec<u8>) -> Result<(), String> {
        match name {
            "dn" => {
                let dn = String::from_utf8(value).map_err(|_| "the dn is not UTF-8".to_owned())?;
                self.current = Some(Open { dn, attributes: Vec::new() });
                self.end.entries += 1;
                Ok(())
            }
            "version" if value == b"1" => Ok(()),
            "version" => Err("only version 1 of LDIF is known".to_owned()),
            // What ldapsearch writes between and after the entries.
            "result" | "pagedresults" | "ref" | "search" | "control" | "text" | "matcheddn" => {
                self.end.trailer(name, &String::from_utf8_lossy(&value));
                Ok(())
            }
            _ => Err(format!("`{name}` stands before any `dn`")),
        }
    }

    fn attribute(&mut self, name: String, value: Vec<u8>) -> Result<(), String> {
        match name.as_str() {
            "dn" => return Err("a second `dn` in one entry; an empty line is missing before it".to_owned()),
            // ldifde
            "changetype" if value.eq_ignore_ascii_case(b"add") => return Ok(()),
            "changetype" => {
                let kind = String::from_utf8_lossy(&value);
                return Err(format!("a change record ({kind}); an export of entries is needed"));
            }
            _ => {}
        }
        let base = range::split(&name).map_or(name.as_str(), |(base, _)| base);
        if !(self.keep)(base) {
            return Ok(());
        }
        if let Some(entry) = &mut self.current {
            match entry.attributes.iter_mut().rev().find(|(n, _)| *n == name) {
                Some((_, values)) => values.push(value),
                None => entry.attributes.push((name, vec![value])),
            }
        }
        Ok(())
    }

    fn flush(&mut self) {
        if let Some(entry) = self.current.take() {
            (self.sink)(RawEntry::new(&entry.dn, entry.attributes));
        }
    }
}

fn value(rest: &[u8]) -> Result<Vec<u8>, String> {
    match rest.first() {
        Some(b':') => {
            let text: Vec<u8> = rest[1..].iter().copied().filter(|b| !b.is_ascii_whitespace()).collect();
            STANDARD.decode(&text).map_err(|why| format!("not base64 ({why})"))
        }
        Some(b'<') => Err("values by url are not read".to_owned()),
        _ => {
            let spaces = rest.iter().take_while(|b| **b == b' ').count();
            Ok(rest[spaces..].to_vec())
        }
    }
}

/// What the lines around the entries say about whether the export is whole.
#[derive(Default)]
struct End {
    entries: u64,
    /// Entries up to the last mark that vouches for the export.
    vouched: Option<u64>,
    /// Sum of the counts, as several searches in one file have several.
    counted: u64,
    bad_result: Option<String>,
    bad_count: Option<String>,
    more_pages: bool,
    references: Vec<String>,
}

impl End {
    fn comment(&mut self, text: &str) {
        if text == END_COMMENT {
            self.vouched = Some(self.entries);
        } else if let Some((name, value)) = text.split_once(": ") {
            match name {
                "numEntries" => self.count(value),
                // `ldapsearch -L` writes its trailer as comments.
                "result" | "pagedresults" => self.trailer(name, value),
                _ => {}
            }
        }
    }

    fn trailer(&mut self, name: &str, value: &str) {
        match name {
            "result" if value.split(' ').next() != Some("0") => {
                self.bad_result = Some(format!("the search ended with `result: {value}`"));
            }
            "pagedresults" => {
                self.more_pages = value.strip_prefix("cookie=").is_some_and(|cookie| !cookie.is_empty());
            }
            "ref" => self.references.push(value.to_owned()),
            _ => {}
        }
    }

    /// `# numEntries:` counts the entries of one search; of a paged one, of the last page or of all.
    fn count(&mut self, value: &str) {
        let Ok(count) = value.trim().parse::<u64>() else { return };
        self.counted = self.counted.saturating_add(count);
        if count == self.entries || self.counted == self.entries {
            self.vouched = Some(self.entries);
            self.bad_count = None;
        } else {
            self.bad_count =
                Some(format!("it says `# numEntries: {count}` and holds {} entries", self.entries));
        }
    }

    fn into_export(self) -> Export {
        let unmarked = || {
            "it has no end marker: neither ldapsearch's `# numEntries` (leave out -LL and -LLL), nor a line \
             `# idcsync: end`"
                .to_owned()
        };
        let doubt = self.bad_result.or(self.bad_count).or_else(|| {
            if self.more_pages {
                return Some("the search had more pages".to_owned());
            }
            match self.vouched {
                Some(entries) if entries == self.entries => None,
                Some(_) => Some("entries follow after its end marker".to_owned()),
                None => Some(unmarked()),
            }
        });
        Export { references: self.references, doubt }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(text: &[u8]) -> Result<(Vec<RawEntry>, Export), LdifError> {
        let mut entries = Vec::new();
        let export = parse(&mut &*text, &|_| true, &mut |entry| entries.push(entry))?;
        Ok((entries, export))
    }

    fn fails(text: &str) -> (u64, String) {
        match read(text.as_bytes()) {
            Err(LdifError::Syntax { line, what }) => (line, what),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn entries_with_folding_base64_comments_and_crlf() {
        let text = "version: 1\r\n# a comment\r\n  that goes on\r\ndn:: Q049TcO8bGxlcixEQz14\r\n\
                    changetype: add\r\ncn: a long\r\n  name\r\nobjectGUID:: AAECAwQFBgcICQoLDA0ODw==\r\n\
                    member: CN=A,DC=x\r\nmail:\r\nmember: CN=B,DC=x\r\n\r\n\r\ndn: CN=B,DC=x\r\ncn:B\r\n";
        let (entries, export) = read(text.as_bytes()).unwrap();
        assert_eq!(entries.len(), 2);
        assert_eq!(entries[0].dn(), "CN=Müller,DC=x");
        assert_eq!(entries[0].text("cn"), Some("a long name"));
        assert_eq!(entries[0].values("objectguid").first().unwrap().len(), 16);
        assert_eq!(entries[0].values("member").count(), 2);
        assert_eq!(entries[0].values("mail").collect::<Vec<_>>(), [b""]);
        assert_eq!(entries[1].text("cn"), Some("B"));
        assert!(export.doubt.unwrap().contains("no end marker"));
    }

    #[test]
    fn what_is_no_export_of_entries_is_refused_with_its_place() {
        assert_eq!(fails("dn: cn=a\nchangetype: modify\nadd: mail\n").0, 2);
        assert_eq!(fails("dn: cn=a\ncn: a\n-\n").0, 3);
        let (line, what) = fails("dn: cn=a\ncn: long\n er\nphoto:< file:///x\n");
        assert_eq!(line, 4);
        assert!(what.contains("photo: values by url"), "{what}");
        assert_eq!(fails("dn: cn=a\ncn:: %%%\n").0, 2);
        assert_eq!(fails("dn: cn=a\nnonsense\n").0, 2);
        assert_eq!(fails("cn: a\n").0, 1);
        assert_eq!(fails("dn: cn=a\ncn: a\ndn: cn=b\n").0, 3);
        assert_eq!(fails(" cn: a\n").0, 1);
        assert_eq!(fails("version: 2\n").0, 1);
        assert!(matches!(read(b"\xff\xfed\0n\0"), Err(LdifError::Utf16)));
    }

    #[test]
    fn an_end_that_vouches_for_the_whole() {
        let body = "dn: cn=a\ncn: a\n\ndn: cn=b\ncn: b\n\n";
        let doubt = |tail: &str| read(format!("{body}{tail}").as_bytes()).unwrap().1.doubt;
        let trailer = "# search result\nsearch: 2\nresult: 0 Success\n\n# numResponses: 3\n# numEntries: 2\n";
        assert_eq!(doubt(trailer), None);
        assert_eq!(
            doubt("# search result\n# result: 0 Success\n\n# numResponses: 3\n# numEntries: 2\n"),
            None
        );
        assert_eq!(doubt("# idcsync: end\n"), None);
        assert!(doubt("").unwrap().contains("no end marker"));
        assert!(doubt("# numEntries: 3\n").unwrap().contains("numEntries: 3"));
        let limited = trailer.replace("0 Success", "4 Size limit exceeded");
        assert!(doubt(&limited).unwrap().contains("4 Size limit exceeded"));
        assert!(doubt("# idcsync: end\n\ndn: cn=c\ncn: c\n").unwrap().contains("follow"));
        assert!(
            doubt("result: 0 Success\npagedresults: cookie=AAA=\n\n# idcsync: end\n")
                .unwrap()
                .contains("pages")
        );
        assert_eq!(read(b"dn: cn=a\ncn: a\n\nref: ldap://x/dc=y\n").unwrap().1.references, ["ldap://x/dc=y"]);
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(
            bytes in prop::collection::vec(any::<u8>(), 0..200),
            text in "(dn|cn|version|changetype|#|search|result|ref|-| |:|::|<|[a-zA-Z0-9=+/]|\r?\n|é){0,60}",
        ) {
            let _ = read(&bytes);
            let _ = read(text.as_bytes());
        }

        #[test]
        fn values_come_back_as_they_were(
            dn in "\\PC{1,20}",
            values in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..120), 1..5),
        ) {
            let mut text = format!("dn:: {}\n", STANDARD.encode(&dn));
            for value in &values {
                // Folded as ldapsearch folds.
                let line = format!("cn:: {}", STANDARD.encode(value));
                let parts: Vec<&str> = line.as_bytes().chunks(40).map(|c| std::str::from_utf8(c).unwrap()).collect();
                text += &(parts.join("\n ") + "\n");
            }
            let (entries, _) = read((text + "\n# idcsync: end\n").as_bytes()).unwrap();
            prop_assert_eq!(entries.len(), 1);
            prop_assert_eq!(entries[0].dn(), dn);
            prop_assert_eq!(entries[0].values("cn").collect::<Vec<_>>(), values);
        }
    }
}
