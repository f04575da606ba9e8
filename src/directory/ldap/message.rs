//! What a server may send, message by message (RFC 4511 section 4.1.1). The LDAP library recurses for each level of
//! BER, keeps what is half there for as long as more comes, and panics on results that are put together otherwise than
//! it expects; it gets to see only what has passed here.

use std::collections::HashMap;
use std::ops::Range;

use super::ber::element;
use crate::printable::brief;

/// A group with 600,000 members, and no range option, fits.
const LONGEST: usize = 64 << 20;
/// Values and what holds them in one message.
const MOST_ELEMENTS: usize = 1 << 20;
/// Message, operation, attributes, attribute, values: five are needed.
const DEEPEST: usize = 10;

/// Of one answer: ten times what the target can hold.
const MOST_MESSAGES: u32 = 1_000_000;
const MOST_BYTES: usize = 512 << 20;
/// Requests are answered a few at a time.
const MOST_ANSWERS: usize = 1000;

/// Of a tag: elements are in it, not bytes (X.690 section 8.1.2.5).
const CONSTRUCTED: u8 = 0x20;

const BIND_RESPONSE: u8 = 0x61;
const SEARCH_ENTRY: u8 = 0x64;
const SEARCH_DONE: u8 = 0x65;
const SEARCH_REFERENCE: u8 = 0x73;
const EXTENDED_RESPONSE: u8 = 0x78;
const INTERMEDIATE: u8 = 0x79;

/// Notice of Disconnection (RFC 4511 section 4.4.1).
const DISCONNECTION: &[u8] = b"1.3.6.1.4.1.1466.20036";

/// The length of the message that `bytes` begin with, header and all; `None` where more of it must come first.
pub(super) fn length(bytes: &[u8]) -> Result<Option<usize>, String> {
    let Some((&tag, rest)) = bytes.split_first() else { return Ok(None) };
    if tag != 0x30 {
        return Err("what the server sends is not LDAP; is this the right port?".to_owned());
    }
    let Some((&first, rest)) = rest.split_first() else { return Ok(None) };
    let (digits, content) = if first & 0x80 == 0 {
        (0, usize::from(first))
    } else {
        let digits = usize::from(first & 0x7f);
        if digits == 0 || digits > 8 {
            return Err("the server sends a message without a length".to_owned());
        }
        let Some(digits) = rest.get(..digits) else { return Ok(None) };
        let length = digits.iter().fold(0_u64, |all, d| (all << 8) | u64::from(*d));
        (digits.len(), usize::try_from(length).unwrap_or(usize::MAX))
    };
    if content > LONGEST {
        return Err(format!("the server announces a message of {content} bytes"));
    }
    Ok(Some(2 + digits + content))
}

/// What becomes of a message.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Passage {
    On,
    /// It means nothing to us.
    Left,
}

/// The answers that are under way on one connection.
#[derive(Debug, Default)]
pub(super) struct Answers {
    /// The bind has been answered; it is the first request, and the only one that is no search.
    bound: bool,
    under_way: HashMap<u32, (u32, usize)>,
}

impl Answers {
    /// Whether one whole message may be passed on. Texts in it that are not UTF-8 are made so, and entries are put on
    /// record as primitive.
    pub fn examine(&mut self, message: &mut [u8]) -> Result<Passage, String> {
        well_formed(message)?;
        let undecodable = || "the server sends messages that cannot be decoded".to_owned();
        let parts = inside(message, 0..message.len())
            .and_then(|outer| inside(message, outer.first()?.1.clone()))
            .ok_or_else(undecodable)?;
        let (id, at, (operation, body), controls) = match parts.as_slice() {
            [(0x02, id), operation, controls @ ..] if (1..=4).contains(&id.len()) && controls.len() <= 1 => {
                let at = id.end;
                let id = message[id.clone()].iter().fold(0, |all, d| (all << 8) | u32::from(*d));
                (id, at, operation.clone(), controls.first().cloned())
            }
            _ => return Err(undecodable()),
        };
        if id == 0 {
            return unsolicited(message, operation, body);
        }
        match controls {
            None => {}
            Some((0xa0, list)) if controls_fit(message, list.clone()) => {}
            Some(_) => return Err("the server sends controls that cannot be decoded".to_owned()),
        }
        match (self.bound, operation) {
            (false, BIND_RESPONSE) => {
                self.bound = true;
                self.result(message, body)
            }
            (true, SEARCH_DONE) => {
                self.under_way.remove(&id);
                self.result(message, body)
            }
            (true, SEARCH_ENTRY) => {
                // To the library it is a piece of bytes, which it need not take apart for us to put it together again.
                message[at] &= !CONSTRUCTED;
                self.part(id, message.len())
            }
            (true, SEARCH_REFERENCE | INTERMEDIATE) => self.part(id, message.len()),
            _ => {
                Err(format!("the server answers with an operation ({operation:#04x}) that was not asked for"))
            }
        }
    }

    fn part(&mut self, id: u32, len: usize) -> Result<Passage, String> {
        let (messages, bytes) = self.under_way.entry(id).or_default();
        *messages += 1;
        *bytes += len;
        if *messages > MOST_MESSAGES || *bytes > MOST_BYTES {
            return Err(format!(
                "the server does not come to an end: {messages} messages with {bytes} bytes answer one request"
            ));
        }
        if self.under_way.len() > MOST_ANSWERS {
            return Err(format!("the server answers more than {MOST_ANSWERS} requests at once"));
        }
        Ok(Passage::On)
    }

    /// `LDAPResult` (RFC 4511 section 4.1.9), and what bind and extended responses have behind it.
    fn result(&self, message: &mut [u8], body: Range<usize>) -> Result<Passage, String> {
        let undecodable = || "the server sends a result that cannot be decoded".to_owned();
        let parts = inside(message, body).ok_or_else(undecodable)?;
        let [(0x0a, code), (0x04, matched), (0x04, text), more @ ..] = parts.as_slice() else {
            return Err(undecodable());
        };
        if !(1..=4).contains(&code.len()) {
            return Err(undecodable());
        }
        let mut texts = vec![matched.clone(), text.clone()];
        for (tag, part) in more {
            match tag {
                0xa3 => {
                    let urls = inside(message, part.clone()).ok_or_else(undecodable)?;
                    if urls.iter().any(|(tag, _)| tag & 0x20 != 0) {
                        return Err(undecodable());
                    }
                    texts.extend(urls.into_iter().map(|(_, url)| url));
                }
                0x87 | 0x8b => {}
                0x8a => texts.push(part.clone()),
                _ => return Err(undecodable()),
            }
        }
        for text in texts {
            make_text(&mut message[text]);
        }
        Ok(Passage::On)
    }
}

/// Code and text of the answer to StartTLS.
pub(super) fn start_tls_result(message: &[u8]) -> Option<(u32, String)> {
    well_formed(message).ok()?;
    let outer = inside(message, 0..message.len())?;
    let parts = inside(message, outer.first()?.1.clone())?;
    let (_, body) = parts.get(1).filter(|(operation, _)| *operation == EXTENDED_RESPONSE)?;
    let result = inside(message, body.clone())?;
    let (_, code) = result.first().filter(|(tag, code)| *tag == 0x0a && (1..=4).contains(&code.len()))?;
    let code = message[code.clone()].iter().fold(0, |all, d| (all << 8) | u32::from(*d));
    let text = result.get(2).map(|(_, text)| String::from_utf8_lossy(&message[text.clone()]).into_owned());
    Some((code, brief(&text.unwrap_or_default())))
}

/// Messages with the number 0 answer nothing.
fn unsolicited(message: &[u8], operation: u8, body: Range<usize>) -> Result<Passage, String> {
    let names_it = message.windows(DISCONNECTION.len()).any(|part| part == DISCONNECTION);
    if operation != EXTENDED_RESPONSE || !names_it {
        return Ok(Passage::Left);
    }
    let text = inside(message, body).and_then(|parts| Some(parts.get(2)?.1.clone()));
    let text = text.map(|text| brief(&String::from_utf8_lossy(&message[text]))).unwrap_or_default();
    let why = if text.is_empty() { String::new() } else { format!(": {text}") };
    Err(format!("the server ended the connection{why}"))
}

/// `SEQUENCE OF SEQUENCE { type, criticality BOOLEAN, value OCTET STRING }`, the last two optional.
fn controls_fit(message: &[u8], list: Range<usize>) -> bool {
    let fits = |control: &(u8, Range<usize>)| {
        let parts = inside(message, control.1.clone()).filter(|_| control.0 == 0x30)?;
        let name = match parts.as_slice() {
            [(0x04, name)] | [(0x04, name), (0x04, _)] => name,
            [(0x04, name), (0x01, yes)] | [(0x04, name), (0x01, yes), (0x04, _)] if yes.len() == 1 => name,
            _ => return None,
        };
        message[name.clone()].is_ascii().then_some(())
    };
    inside(message, list).is_some_and(|controls| controls.iter().all(|control| fits(control).is_some()))
}

/// Every length fits in what holds it, and there is a bound to depth and number.
fn well_formed(message: &[u8]) -> Result<(), String> {
    let mut open = vec![message];
    let mut elements = 0_usize;
    while let Some(rest) = open.last_mut() {
        if rest.is_empty() {
            open.pop();
            continue;
        }
        let (tag, content, after) =
            element(rest).ok_or_else(|| "the server sends messages that cannot be decoded".to_owned())?;
        *rest = after;
        elements += 1;
        if tag & 0x20 != 0 {
            open.push(content);
        }
        if open.len() > DEEPEST || elements > MOST_ELEMENTS {
            return Err(format!(
                "the server sends a message with more than {DEEPEST} levels or {MOST_ELEMENTS} elements"
            ));
        }
    }
    Ok(())
}

/// The elements in a part of the message, by where their content is.
fn inside(message: &[u8], part: Range<usize>) -> Option<Vec<(u8, Range<usize>)>> {
    let end = part.end;
    let mut rest = message.get(part)?;
    let mut list = Vec::new();
    while !rest.is_empty() {
        let (tag, content, after) = element(rest)?;
        let stop = end - after.len();
        list.push((tag, stop - content.len()..stop));
        rest = after;
    }
    Some(list)
}

/// In place, since lengths stand all around it.
fn make_text(bytes: &mut [u8]) {
    if std::str::from_utf8(bytes).is_err() {
        bytes.iter_mut().filter(|b| !b.is_ascii()).for_each(|b| *b = b'?');
    }
}

#[cfg(test)]
#[path = "message_tests.rs"]
mod tests;
