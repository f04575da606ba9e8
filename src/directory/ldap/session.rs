//! Single requests on one connection. Every wait has a limit, every result code is looked at, and a connection that
//! was lost or went silent stays so: nothing is tried on it again.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};

use ldap3::asn1::{PL, StructureTag};
use ldap3::controls::Control;
use ldap3::{LdapResult, ResultEntry};

use super::ber::{element, is_extension};
use super::wire::{Ask, Broken, Wire};
use crate::directory::raw::{Packing, RawEntry};
use crate::directory::reader::{Fault, Traffic};
use crate::model::ShortfallKind;
use crate::printable::brief;

/// Universal tags (X.690 section 8).
const OCTET_STRING: u8 = 0x04;
const SEQUENCE: u8 = 0x30;
const SET: u8 = 0x31;

/// RFC 2696
pub(super) const PAGED_RESULTS: &str = "1.2.840.113556.1.4.319";
/// A directory has a handful of partitions to refer to.
const MOST_REFERENCES: usize = 1000;

pub(super) struct Session {
    wire: Box<dyn Wire>,
    requests: AtomicU64,
    received: AtomicU64,
    lost: OnceLock<Fault>,
    /// For one entry after the other.
    packing: Mutex<Packing>,
}

/// How the server ended the answer to one request.
#[derive(Debug, Default)]
pub(super) struct Answer {
    pub code: u32,
    pub text: String,
    /// Urls of continuation references, and of a referral as the result.
    pub references: Vec<String>,
    /// Of the paging control; empty after the last page, `None` where the server did not page.
    pub cookie: Option<Vec<u8>>,
}

impl Answer {
    /// What keeps the answer from being the whole.
    pub fn fault(&self) -> Option<Fault> {
        let kind = match self.code {
            0 => return None,
            3 | 4 | 11 => ShortfallKind::Limit,
            10 => ShortfallKind::Referral,
            code => ShortfallKind::ResultCode(code),
        };
        let mut detail = match code_name(self.code) {
            Some(name) => format!("the server ended the search with {name} ({})", self.code),
            None => format!("the server ended the search with result code {}", self.code),
        };
        if !self.text.is_empty() {
            detail.push_str(": ");
            detail.push_str(&self.text);
        }
        Some(Fault::new(kind, detail))
    }
}

/// RFC 4511 appendix A.1
fn code_name(code: u32) -> Option<&'static str> {
    Some(match code {
        1 => "operationsError",
        2 => "protocolError",
        3 => "timeLimitExceeded",
        4 => "sizeLimitExceeded",
        8 => "strongerAuthRequired",
        10 => "referral",
        11 => "adminLimitExceeded",
        12 => "unavailableCriticalExtension",
        32 => "noSuchObject",
        50 => "insufficientAccessRights",
        51 => "busy",
        52 => "unavailable",
        53 => "unwillingToPerform",
        80 => "other",
        _ => return None,
    })
}

impl Session {
    pub fn new(wire: Box<dyn Wire>) -> Self {
        Self {
            wire,
            requests: AtomicU64::new(0),
            received: AtomicU64::new(0),
            lost: OnceLock::new(),
            packing: Mutex::default(),
        }
    }

    pub fn traffic(&self) -> Traffic {
        Traffic {
            requests: self.requests.load(Ordering::Relaxed),
            received: self.received.load(Ordering::Relaxed),
        }
    }

    /// Why nothing can be asked any more.
    pub fn lost(&self) -> Option<&Fault> {
        self.lost.get()
    }

    pub async fn close(&self) {
        self.wire.close().await;
    }

    /// Sends one request and hands over its entries. `Err`: there is no answer, or not all of it, and the
    /// connection cannot be used any more (a filter that the library refuses, and answers that make no sense, aside).
    pub async fn ask(&self, ask: Ask<'_>, sink: &mut (dyn FnMut(RawEntry) + Send)) -> Result<Answer, Fault> {
        let mut answer = Answer::default();
        let mut malformed = false;
        let mut urls = 0;
        let mut take = |item: ResultEntry| {
            if item.is_ref() {
                urls += 1;
                if urls <= MOST_REFERENCES {
                    answer.references.extend(references(item));
                }
            } else if !item.is_intermediate() {
                match self.entry(item) {
                    Some(entry) => sink(entry),
                    None => malformed = true,
                }
            }
            true
        };
        let Some(result) = self.exchange(ask, &mut take).await? else {
            return Err(Fault::new(ShortfallKind::ConnectionLost, "the search was called off"));
        };
        answer.code = result.rc;
        answer.text = brief(&result.text);
        answer.references.extend(result.refs);
        answer.cookie = cookie(&result.ctrls)?;
        if urls > MOST_REFERENCES {
            let detail = format!("the server sent more than {MOST_REFERENCES} references for one search");
            return Err(Fault::new(ShortfallKind::Malformed, detail));
        }
        if malformed && answer.code == 0 {
            return Err(Fault::new(
                ShortfallKind::Malformed,
                "the server sent an entry that cannot be decoded",
            ));
        }
        Ok(answer)
    }

    /// Sends one request and hands over all that comes back: entries in bytes where a relay stands before the library,
    /// else taken apart. `None`: `take` had enough, and the rest was called off.
    pub async fn exchange(
        &self,
        ask: Ask<'_>,
        take: &mut (dyn FnMut(ResultEntry) -> bool + Send),
    ) -> Result<Option<LdapResult>, Fault> {
        if let Some(fault) = self.lost.get() {
            return Err(fault.clone());
        }
        self.requests.fetch_add(1, Ordering::Relaxed);
        let mut count = |item: ResultEntry| {
            if !item.is_ref() && !item.is_intermediate() {
                self.received.fetch_add(1, Ordering::Relaxed);
            }
            take(item)
        };
        self.wire.search(&ask, &mut count).await.map_err(|broken| self.fault(broken, ask.filter))
    }

    /// All entries of a small search. The outer error is for a connection that is gone.
    pub async fn collect(&self, ask: Ask<'_>) -> Result<(Vec<RawEntry>, Answer), Fault> {
        let mut entries = Vec::new();
        let answer = self.ask(ask, &mut |entry| entries.push(entry)).await?;
        Ok((entries, answer))
    }

    fn fault(&self, broken: Broken, filter: &str) -> Fault {
        let fault = match broken {
            Broken::Filter => {
                return Fault::new(ShortfallKind::Malformed, format!("{filter} is not a filter"));
            }
            Broken::Lost(detail) => Fault::new(ShortfallKind::ConnectionLost, detail),
            Broken::Slow(all) => {
                let detail = format!("the server took more than {}s for one answer", all.as_secs_f32());
                Fault::new(ShortfallKind::Timeout, detail)
            }
            Broken::Silent(limit) => {
                let detail = format!("the server sent nothing for {}s", limit.as_secs_f32());
                Fault::new(ShortfallKind::Timeout, detail)
            }
        };
        self.lost.get_or_init(|| fault).clone()
    }

    /// Values stay bytes: the library's own conversion sorts them by whether they happen to be UTF-8, which about one
    /// in ten thousand GUIDs is.
    pub fn entry(&self, item: ResultEntry) -> Option<RawEntry> {
        let mut packing = self.packing.lock().unwrap_or_else(PoisonError::into_inner);
        match item.0.payload {
            PL::P(body) => unpack(&body, &mut packing)?,
            PL::C(parts) => take_over(parts, &mut packing)?,
        }
        Some(packing.entry())
    }
}

/// The content of a SearchResultEntry (RFC 4511 section 4.5.2), as [`super::message`] hands it on.
fn unpack(body: &[u8], packing: &mut Packing) -> Option<()> {
    let (name_tag, dn, rest) = element(body)?;
    let (list_tag, mut list, rest) = element(rest)?;
    if (name_tag, list_tag) != (OCTET_STRING, SEQUENCE) || !is_extension(rest) {
        return None;
    }
    packing.begin(std::str::from_utf8(dn).ok()?);
    while !list.is_empty() {
        let (tag, attribute, after) = element(list)?;
        list = after;
        let (type_tag, name, rest) = element(attribute)?;
        let (set_tag, mut values, rest) = element(rest)?;
        if (tag, type_tag, set_tag) != (SEQUENCE, OCTET_STRING, SET) || !is_extension(rest) {
            return None;
        }
        packing.attribute(std::str::from_utf8(name).ok()?);
        while !values.is_empty() {
            let (tag, value, after) = element(values)?;
            values = after;
            if tag != OCTET_STRING {
                return None;
            }
            packing.value(value);
        }
    }
    Some(())
}

/// The same as the library takes it apart, where no relay stands before it.
fn take_over(parts: Vec<StructureTag>, packing: &mut Packing) -> Option<()> {
    let mut parts = parts.into_iter();
    packing.begin(std::str::from_utf8(&parts.next()?.expect_primitive()?).ok()?);
    for attribute in parts.next()?.expect_constructed()? {
        let mut pair = attribute.expect_constructed()?.into_iter();
        packing.attribute(std::str::from_utf8(&pair.next()?.expect_primitive()?).ok()?);
        for value in pair.next()?.expect_constructed()? {
            packing.value(&value.expect_primitive()?);
        }
    }
    Some(())
}

fn references(item: ResultEntry) -> Vec<String> {
    let list = item.0.expect_constructed().unwrap_or_default();
    list.into_iter().filter_map(|t| String::from_utf8(t.expect_primitive()?).ok()).collect()
}

/// The cookie in the paging control's answer, `SEQUENCE { size INTEGER, cookie OCTET STRING }`.
fn cookie(controls: &[Control]) -> Result<Option<Vec<u8>>, Fault> {
    let Some(Control(_, control)) = controls.iter().find(|Control(_, raw)| raw.ctype == PAGED_RESULTS) else {
        return Ok(None);
    };
    let read = control.val.as_deref().and_then(|value| {
        let (tag, content, _) = element(value)?;
        let (size_tag, _, rest) = element(content)?;
        let (cookie_tag, cookie, _) = element(rest)?;
        (tag == 0x30 && size_tag == 0x02 && cookie_tag == 0x04).then(|| cookie.to_vec())
    });
    let fault = || Fault::new(ShortfallKind::Malformed, "the server's paging control cannot be decoded");
    read.map(Some).ok_or_else(fault)
}

#[cfg(test)]
mod tests {
    use ldap3::asn1::parse_tag;
    use ldap3::controls::RawControl;

    use super::*;

    fn control(value: &[u8]) -> Vec<Control> {
        vec![Control(
            None,
            RawControl { ctype: PAGED_RESULTS.to_owned(), crit: false, val: Some(value.to_vec()) },
        )]
    }

    #[test]
    fn cookies_are_read_and_nonsense_is_refused() {
        assert_eq!(cookie(&[]).unwrap(), None);
        assert_eq!(cookie(&control(&[0x30, 5, 2, 1, 0, 4, 0])).unwrap(), Some(vec![]));
        assert_eq!(cookie(&control(&[0x30, 7, 2, 1, 0, 4, 2, 9, 8])).unwrap(), Some(vec![9, 8]));
        // Active Directory writes lengths in the long form.
        assert_eq!(
            cookie(&control(&[0x30, 0x84, 0, 0, 0, 8, 2, 1, 0, 4, 0x81, 2, 9, 8])).unwrap(),
            Some(vec![9, 8])
        );
        assert!(cookie(&control(&[0x30, 9, 2, 1, 0])).is_err());
        assert!(cookie(&control(&[])).is_err());
    }

    fn tlv(tag: u8, content: &[u8]) -> Vec<u8> {
        [&[tag, u8::try_from(content.len()).unwrap()], content].concat()
    }

    fn attribute(name: &[u8], values: &[u8]) -> Vec<u8> {
        tlv(SEQUENCE, &[tlv(OCTET_STRING, name), tlv(SET, values)].concat())
    }

    fn unpacked(body: &[u8]) -> Option<RawEntry> {
        let mut packing = Packing::default();
        unpack(body, &mut packing)?;
        Some(packing.entry())
    }

    #[test]
    fn an_entry_is_taken_apart_and_nonsense_is_refused() {
        let name = tlv(OCTET_STRING, "CN=Zoë".as_bytes());
        let values = [tlv(OCTET_STRING, b"top"), tlv(OCTET_STRING, &[0xff, 0])].concat();
        let list = [attribute(b"objectClass", &values), attribute(b"member;Range=0-1", b"")].concat();
        let body = [name.clone(), tlv(SEQUENCE, &list)].concat();
        let expected = RawEntry::new(
            "CN=Zoë",
            [("objectclass", vec![b"top".as_slice(), &[0xff, 0]]), ("member;range=0-1", vec![])],
        );
        assert_eq!(unpacked(&body).as_ref(), Some(&expected));
        let (_, whole) = parse_tag(&tlv(0x64, &body)).unwrap();
        let mut packing = Packing::default();
        take_over(whole.expect_constructed().unwrap(), &mut packing).unwrap();
        assert_eq!(packing.entry(), expected);
        let bare = [name.clone(), tlv(SEQUENCE, b"")].concat();
        assert_eq!(unpacked(&bare).map(|entry| entry.attributes().count()), Some(0));

        let with = |attribute: Vec<u8>| [name.clone(), tlv(SEQUENCE, &attribute)].concat();
        // Components of a later version of the protocol.
        assert_eq!(unpacked(&[body.clone(), vec![0x80, 0]].concat()), unpacked(&body));
        let more = [tlv(OCTET_STRING, b"cn"), tlv(SET, &tlv(OCTET_STRING, b"a")), tlv(0x80, b"")].concat();
        assert_eq!(unpacked(&with(tlv(SEQUENCE, &more))).unwrap().text("cn"), Some("a"));
        // A list that ends before its values do.
        let short = |set: &[u8]| {
            let values = tlv(OCTET_STRING, b"a");
            with(tlv(SEQUENCE, &[&tlv(OCTET_STRING, b"member"), set, &values].concat()))
        };
        for bad in [
            vec![],
            name.clone(),
            [body.clone(), vec![4, 0]].concat(),
            short(&[SET, 0]),
            short(&[SET, 0x80]),
            [tlv(OCTET_STRING, &[0xff]), tlv(SEQUENCE, b"")].concat(),
            [tlv(0x02, b"CN=a"), tlv(SEQUENCE, b"")].concat(),
            with(tlv(SET, &[tlv(OCTET_STRING, b"cn"), tlv(SET, b"")].concat())),
            with(tlv(SEQUENCE, &tlv(OCTET_STRING, b"cn"))),
            with(tlv(SEQUENCE, &[tlv(OCTET_STRING, b"cn"), tlv(SEQUENCE, b"")].concat())),
            with(attribute(&[0xc3], b"")),
            with(attribute(b"cn", &tlv(0x02, b"1"))),
            with(attribute(b"cn", &[4, 2, b'a'])),
        ] {
            assert_eq!(unpacked(&bad), None, "{bad:x?}");
        }
    }

    #[test]
    fn result_codes_say_what_they_mean() {
        let fault = |code| Answer { code, ..Answer::default() }.fault().map(|f| f.kind);
        assert_eq!(fault(0), None);
        assert_eq!(fault(3), Some(ShortfallKind::Limit));
        assert_eq!(fault(4), Some(ShortfallKind::Limit));
        assert_eq!(fault(11), Some(ShortfallKind::Limit));
        assert_eq!(fault(10), Some(ShortfallKind::Referral));
        assert_eq!(fault(51), Some(ShortfallKind::ResultCode(51)));
    }
}
