//! BER (X.690) as far as entries and the values of controls need it. The library's own parsers panic on what they do not
//! expect.

/// One BER element of definite length: its tag, its content, and what follows it.
pub(super) fn element(bytes: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (&tag, rest) = bytes.split_first()?;
    let (&first, rest) = rest.split_first()?;
    let (length, rest) = if first & 0x80 == 0 {
        (usize::from(first), rest)
    } else {
        let (digits, rest) = rest.split_at_checked(usize::from(first & 0x7f))?;
        // None: of indefinite length, which RFC 4511 section 5.1 does not allow.
        if digits.is_empty() || digits.len() > 4 {
            return None;
        }
        (digits.iter().fold(0, |all, d| (all << 8) | usize::from(*d)), rest)
    };
    let (content, rest) = rest.split_at_checked(length)?;
    Some((tag, content, rest))
}

/// Whether what stands behind the components that are known may be there: of a later version, with tags of its own (RFC
/// 4511 section 4).
pub(super) fn is_extension(rest: &[u8]) -> bool {
    const CLASS: u8 = 0xc0;
    elements(rest).is_some_and(|list| list.iter().all(|(tag, _)| tag & CLASS != 0))
}

/// All elements of a constructed value.
pub(super) fn elements(mut bytes: &[u8]) -> Option<Vec<(u8, &[u8])>> {
    let mut list = Vec::new();
    while !bytes.is_empty() {
        let (tag, content, rest) = element(bytes)?;
        list.push((tag, content));
        bytes = rest;
    }
    Some(list)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn elements_come_in_both_forms_of_length_and_never_beyond_the_end() {
        assert_eq!(elements(&[2, 1, 9, 4, 0x81, 2, 7, 8]), Some(vec![(2, &[9][..]), (4, &[7, 8][..])]));
        assert_eq!(elements(&[]), Some(vec![]));
        for bad in [
            &[2][..],
            &[2, 2, 1],
            &[4, 0x85, 0, 0, 0, 0, 1, 1],
            &[4, 0x82, 1],
            &[2, 1, 1, 4],
            &[0x31, 0x80, 0, 0],
        ] {
            assert_eq!(elements(bad), None, "{bad:?}");
        }
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic_and_elements_are_of_the_whole(bytes in prop::collection::vec(any::<u8>(), 0..80)) {
            if let Some(list) = elements(&bytes) {
                prop_assert!(list.iter().map(|(_, content)| content.len() + 2).sum::<usize>() <= bytes.len());
            }
        }
    }
}
