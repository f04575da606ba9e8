//! Entries as bytes, as they are kept between reads: names and values, each with its length before it.

use std::collections::HashMap;
use std::sync::Arc;

use crate::directory::reader::RawEntry;

/// Names of attributes, each once.
#[derive(Debug, Default)]
pub(super) struct Interner {
    all: HashMap<Box<str>, Arc<str>>,
    /// Those of the last entries, by their place: most entries have the same ones in the same order.
    last: Vec<Arc<str>>,
}

impl Interner {
    fn name(&mut self, at: usize, text: &str) -> Arc<str> {
        if let Some(same) = self.last.get(at).filter(|last| &***last == text) {
            return same.clone();
        }
        let shared = match self.all.get(text) {
            Some(known) => known.clone(),
            None => {
                let shared: Arc<str> = text.into();
                self.all.insert(text.into(), shared.clone());
                shared
            }
        };
        match self.last.get_mut(at) {
            Some(last) => *last = shared.clone(),
            None => self.last.push(shared.clone()),
        }
        shared
    }
}

pub(super) fn encode(entry: &RawEntry) -> Vec<u8> {
    let values = |values: &[Vec<u8>]| values.iter().map(|v| v.len() + 4).sum::<usize>();
    let size: usize =
        entry.attributes.iter().map(|(name, list)| name.len() + values(list) + 8).sum::<usize>();
    let mut bytes = Vec::with_capacity(size + entry.dn.len() + 4);
    put(&mut bytes, entry.dn.as_bytes());
    for (name, values) in &entry.attributes {
        put(&mut bytes, name.as_bytes());
        bytes.extend(length(values.len()));
        for value in values {
            put(&mut bytes, value);
        }
    }
    bytes
}

fn length(len: usize) -> [u8; 4] {
    u32::try_from(len).unwrap_or(u32::MAX).to_le_bytes()
}

fn put(bytes: &mut Vec<u8>, part: &[u8]) {
    bytes.extend(length(part.len()));
    bytes.extend_from_slice(part);
}

/// `None`: these are not the bytes of an entry.
pub(super) fn decode(names: &mut Interner, mut bytes: &[u8]) -> Option<RawEntry> {
    let rest = &mut bytes;
    let dn = text(rest)?.to_owned();
    let mut attributes = Vec::new();
    while !rest.is_empty() {
        let name = names.name(attributes.len(), text(rest)?);
        let count = number(rest)?;
        // Each value takes four bytes at the least: a count that cannot be true reserves no memory.
        let mut values = Vec::with_capacity(count.min(rest.len() / 4));
        for _ in 0..count {
            values.push(take(rest)?.to_vec());
        }
        attributes.push((name, values));
    }
    Some(RawEntry { dn, attributes })
}

pub(super) fn dn(mut bytes: &[u8]) -> Option<&str> {
    text(&mut bytes)
}

fn text<'b>(rest: &mut &'b [u8]) -> Option<&'b str> {
    std::str::from_utf8(take(rest)?).ok()
}

fn number(rest: &mut &[u8]) -> Option<usize> {
    let (bytes, after) = rest.split_first_chunk::<4>()?;
    *rest = after;
    usize::try_from(u32::from_le_bytes(*bytes)).ok()
}

fn take<'b>(rest: &mut &'b [u8]) -> Option<&'b [u8]> {
    let len = number(rest)?;
    let (part, after) = rest.split_at_checked(len)?;
    *rest = after;
    Some(part)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn what_was_encoded_is_decoded_again(
            dn in ".{0,20}",
            attributes in proptest::collection::vec(
                ("[a-z;=0-9]{1,8}", proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..9), 0..4)),
                0..5,
            ),
        ) {
            let attributes: Vec<(Arc<str>, Vec<Vec<u8>>)> =
                attributes.into_iter().map(|(name, values)| (Arc::from(name), values)).collect();
            let bytes = encode(&RawEntry { dn: dn.clone(), attributes: attributes.clone() });
            let back = decode(&mut Interner::default(), &bytes).unwrap();
            prop_assert_eq!(super::dn(&bytes), Some(dn.as_str()));
            prop_assert_eq!((back.dn, back.attributes), (dn, attributes));
        }

        #[test]
        fn nonsense_is_refused_without_harm(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
            let _ = decode(&mut Interner::default(), &bytes);
        }
    }
}
