use proptest::prelude::*;

use super::*;

/// One element, in the shortest form of its length.
fn tlv(tag: u8, content: &[u8]) -> Vec<u8> {
    let len = content.len();
    let mut bytes = vec![tag];
    match len {
        0..=0x7f => bytes.push(len as u8),
        0x80..=0xff => bytes.extend([0x81, len as u8]),
        0x100..=0xffff => bytes.extend([0x82, (len >> 8) as u8, len as u8]),
        _ => bytes.extend([0x84, (len >> 24) as u8, (len >> 16) as u8, (len >> 8) as u8, len as u8]),
    }
    bytes.extend_from_slice(content);
    bytes
}

fn message(id: u8, rest: &[Vec<u8>]) -> Vec<u8> {
    tlv(0x30, &[tlv(2, &[id]), rest.concat()].concat())
}

fn result(tag: u8, text: &[u8]) -> Vec<u8> {
    tlv(tag, &[tlv(0x0a, &[0]), tlv(4, b""), tlv(4, text)].concat())
}

fn entry() -> Vec<u8> {
    let values = tlv(0x31, &tlv(4, b"v"));
    let attribute = tlv(0x30, &[tlv(4, b"cn"), values].concat());
    tlv(SEARCH_ENTRY, &[tlv(4, b"cn=a"), tlv(0x30, &attribute)].concat())
}

fn paging() -> Vec<u8> {
    let value = tlv(0x30, &[tlv(2, &[0]), tlv(4, b"7")].concat());
    tlv(0xa0, &tlv(0x30, &[tlv(4, b"1.2.840.113556.1.4.319"), tlv(4, &value)].concat()))
}

/// After the bind.
fn bound() -> Answers {
    let mut answers = Answers::default();
    answers.examine(&mut message(1, &[result(BIND_RESPONSE, b"")])).unwrap();
    answers
}

fn refused(mut bytes: Vec<u8>) -> String {
    bound().examine(&mut bytes).unwrap_err()
}

#[test]
fn what_servers_send_passes() {
    let mut answers = bound();
    for good in [
        message(2, &[entry()]),
        message(2, &[result(SEARCH_DONE, b"fine"), paging()]),
        message(3, &[tlv(SEARCH_REFERENCE, &tlv(4, b"ldap://x/"))]),
        message(3, &[tlv(INTERMEDIATE, &tlv(0x80, b"1.2.3"))]),
        message(3, &[result(SEARCH_DONE, b"")]),
    ] {
        assert_eq!(length(&good), Ok(Some(good.len())));
        assert_eq!(answers.examine(&mut good.clone()), Ok(Passage::On), "{good:x?}");
    }
    assert!(answers.under_way.is_empty());
}

#[test]
fn lengths_are_known_before_a_message_is_there() {
    assert_eq!(length(&[]), Ok(None));
    assert_eq!(length(&[0x30]), Ok(None));
    assert_eq!(length(&[0x30, 0x82, 1]), Ok(None));
    assert_eq!(length(&[0x30, 0x82, 1, 0]), Ok(Some(260)));
    assert!(length(&[0x30, 0x80]).unwrap_err().contains("without a length"));
    assert!(length(&[0x30, 0x84, 0x7f, 0xff, 0xff, 0xff]).unwrap_err().contains("2147483647 bytes"));
    assert!(length(&[0x30, 0x88, 255, 255, 255, 255, 255, 255, 255, 255]).is_err());
    assert!(length(b"HTTP/1.1 400 Bad Request").unwrap_err().contains("not LDAP"));
}

#[test]
fn depth_and_number_are_bounded() {
    let mut deep = tlv(4, b"x");
    for _ in 0..50_000 {
        deep = tlv(0x30, &deep);
        if deep.len() > 20_000 {
            break;
        }
    }
    assert!(refused(message(2, &[tlv(SEARCH_ENTRY, &deep)])).contains("levels"));
    let many = tlv(0x31, &[4, 0].repeat(MOST_ELEMENTS));
    assert!(refused(message(2, &[tlv(SEARCH_ENTRY, &many)])).contains("elements"));
}

#[test]
fn an_answer_that_does_not_end_is_ended() {
    let mut answers = bound();
    let one = message(2, &[entry()]);
    let last = (0..=MOST_MESSAGES).find_map(|_| answers.examine(&mut one.clone()).err());
    assert!(last.unwrap().contains("does not come to an end"));

    let mut answers = bound();
    let big = MOST_BYTES / 4 + 1;
    assert_eq!((0..3).map(|_| answers.part(2, big)).collect::<Result<Vec<_>, _>>().unwrap().len(), 3);
    assert!(answers.part(2, big).is_err());

    let mut answers = bound();
    assert!((0..=MOST_ANSWERS as u32).any(|id| answers.part(id, 1).is_err()));
}

#[test]
fn an_entry_is_passed_on_as_one_piece_of_bytes() {
    let mut passed = message(2, &[entry()]);
    assert_eq!(bound().examine(&mut passed), Ok(Passage::On));
    let (_, tag) = ldap3::asn1::parse_tag(&passed).unwrap();
    let operation = tag.expect_constructed().unwrap().remove(1);
    assert_eq!((operation.id, operation.class), (4, ldap3::asn1::TagClass::Application));
    let body = operation.expect_primitive().unwrap();
    assert_eq!(tlv(SEARCH_ENTRY, &body), entry());
    // From a server it would be none.
    let mut again = passed.clone();
    assert!(bound().examine(&mut again).unwrap_err().contains("0x44"));
}

#[test]
fn what_was_not_asked_for_is_refused() {
    // The library ends with a panic where a search is answered by anything else.
    assert!(refused(message(2, &[result(BIND_RESPONSE, b"")])).contains("0x61"));
    assert!(refused(message(2, &[result(EXTENDED_RESPONSE, b"")])).contains("0x78"));
    assert!(refused(message(2, &[result(0x67, b"")])).contains("0x67"));
    let early = Answers::default().examine(&mut message(1, &[entry()]));
    assert!(early.unwrap_err().contains("0x64"));
}

#[test]
fn a_notice_of_disconnection_is_told() {
    let oid = tlv(0x8a, DISCONNECTION);
    let whole = tlv(
        EXTENDED_RESPONSE,
        &[tlv(0x0a, &[52]), tlv(4, b""), tlv(4, b"going\x1b[2J down"), oid.clone()].concat(),
    );
    assert_eq!(refused(message(0, &[whole])), "the server ended the connection: going\\u{1b}[2J down");
    // As Active Directory writes it.
    let outside = tlv(EXTENDED_RESPONSE, &[tlv(0x0a, &[52]), tlv(4, b""), tlv(4, b"")].concat());
    assert_eq!(refused(message(0, &[outside, oid])), "the server ended the connection");
    let other =
        tlv(EXTENDED_RESPONSE, &[tlv(0x0a, &[0]), tlv(4, b""), tlv(4, b""), tlv(0x8a, b"1.2.3")].concat());
    assert_eq!(bound().examine(&mut message(0, &[other])), Ok(Passage::Left));
    assert_eq!(bound().examine(&mut message(0, &[entry()])), Ok(Passage::Left));
}

#[test]
fn a_message_that_is_no_text_becomes_one() {
    let mut latin = message(2, &[result(SEARCH_DONE, b"Zugriff verweigert f\xfcr M\xfcller")]);
    assert_eq!(bound().examine(&mut latin), Ok(Passage::On));
    assert!(String::from_utf8(latin).unwrap().contains("f?r M?ller"));
    let mut utf8 = message(2, &[result(SEARCH_DONE, "für".as_bytes())]);
    let before = utf8.clone();
    assert_eq!(bound().examine(&mut utf8), Ok(Passage::On));
    assert_eq!(utf8, before);
}

/// What the library would do with what has passed.
fn library_takes(bytes: &[u8]) {
    use ldap3::asn1::parse_tag;
    let (rest, tag) = parse_tag(bytes).unwrap();
    assert!(rest.is_empty());
    let parts = tag.expect_constructed().unwrap();
    let operation = parts[1].clone();
    if matches!(operation.id, 1 | 5) {
        // Panics where it does not like it.
        let _ = ldap3::LdapResult::from(ldap3::asn1::Tag::StructureTag(operation));
    }
}

fn mutated() -> impl Strategy<Value = Vec<u8>> {
    let samples = vec![
        message(2, &[entry()]),
        message(2, &[result(SEARCH_DONE, b"fine"), paging()]),
        message(
            2,
            &[tlv(
                SEARCH_DONE,
                &[tlv(0x0a, &[10]), tlv(4, b""), tlv(4, b""), tlv(0xa3, &tlv(4, b"ldap://x"))].concat(),
            )],
        ),
        message(
            1,
            &[tlv(
                BIND_RESPONSE,
                &[tlv(0x0a, &[14]), tlv(4, b""), tlv(4, b""), tlv(0x87, b"creds")].concat(),
            )],
        ),
        message(0, &[result(EXTENDED_RESPONSE, b"")]),
    ];
    let edits = prop::collection::vec((any::<prop::sample::Index>(), any::<u8>(), 0..3_u8), 0..4);
    (prop::sample::select(samples), edits).prop_map(|(mut bytes, edits)| {
        for (at, byte, how) in edits {
            let at = at.index(bytes.len());
            match how {
                0 => bytes[at] = byte,
                1 => bytes.insert(at, byte),
                _ if bytes.len() > 1 => {
                    bytes.remove(at);
                }
                _ => {}
            }
        }
        bytes
    })
}

proptest! {
    #[test]
    fn nothing_that_passes_makes_the_library_panic(mut bytes in mutated(), is_bound in any::<bool>()) {
        let mut answers = if is_bound { bound() } else { Answers::default() };
        if length(&bytes) == Ok(Some(bytes.len())) && answers.examine(&mut bytes) == Ok(Passage::On) {
            library_takes(&bytes);
        }
        let _ = start_tls_result(&bytes);
    }

    #[test]
    fn no_bytes_make_it_panic(mut bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = length(&bytes);
        let _ = bound().examine(&mut bytes);
        let _ = start_tls_result(&bytes);
    }
}
