//! An entry as it came, in one piece of memory: there may be a hundred thousand of them at once. In the same form it is
//! kept between reads.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use crate::model::{Values, pack};

/// An entry as it came: names of attributes in lower case with their options, values as bytes.
///
/// Its name, then of each attribute the name and all values together, each of these behind its length.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct RawEntry(Arc<[u8]>);

impl RawEntry {
    pub fn new<N, V>(dn: &str, attributes: impl IntoIterator<Item = (N, V)>) -> Self
    where
        N: AsRef<str>,
        V: IntoIterator<Item: AsRef<[u8]>>,
    {
        let mut packing = Packing::default();
        packing.begin(dn);
        for (name, values) in attributes {
            packing.attribute(name.as_ref());
            values.into_iter().for_each(|value| packing.value(value.as_ref()));
        }
        packing.entry()
    }

    /// Of what was kept; `None` where these are not the bytes of an entry.
    pub fn kept(bytes: &Arc<[u8]>) -> Option<Self> {
        let entry = Self(Arc::clone(bytes));
        let mut parts = Values::packed(bytes);
        std::str::from_utf8(parts.next()?).ok()?;
        while let Some(name) = parts.next() {
            std::str::from_utf8(name).ok()?;
            if !Values::packed(parts.next()?).are_whole() {
                return None;
            }
        }
        parts.is_empty().then_some(entry)
    }

    /// Of an entry's bytes.
    pub fn again(bytes: &Arc<[u8]>) -> Self {
        Self(Arc::clone(bytes))
    }

    pub fn bytes(&self) -> &Arc<[u8]> {
        &self.0
    }

    pub fn dn(&self) -> &str {
        Values::packed(&self.0).next().map(text).unwrap_or_default()
    }

    /// In the order received, each with its values.
    pub fn attributes(&self) -> impl Iterator<Item = (&str, Values<'_>)> {
        self.named().map(|(name, values)| (text(name), values))
    }

    /// Names as bytes: an attribute is looked for among a dozen, and that a dozen times for each entry.
    fn named(&self) -> impl Iterator<Item = (&[u8], Values<'_>)> {
        let mut parts = Values::packed(&self.0);
        parts.next();
        std::iter::from_fn(move || Some((parts.next()?, Values::packed(parts.next()?))))
    }

    /// The same, with the place of the values in [`Self::bytes`].
    pub fn places(&self) -> impl Iterator<Item = (&[u8], Range<u32>, Values<'_>)> {
        let mut at = size_of::<u32>() + self.dn().len();
        self.named().map(move |(name, values)| {
            let from = at + 2 * size_of::<u32>() + name.len();
            at = from + values.as_packed().len();
            let place = |at: usize| u32::try_from(at).unwrap_or(u32::MAX);
            (name, place(from)..place(at), values)
        })
    }

    /// `name` in lower case.
    pub fn values(&self, name: &str) -> Values<'_> {
        self.named().find(|(n, _)| *n == name.as_bytes()).map_or(Values::NONE, |(_, values)| values)
    }

    pub fn text(&self, name: &str) -> Option<&str> {
        let first = self.values(name).first()?;
        std::str::from_utf8(first).ok().filter(|t| !t.is_empty())
    }

    pub fn number(&self, name: &str) -> Option<i64> {
        self.text(name)?.trim().parse().ok()
    }

    pub fn has(&self, name: &str) -> bool {
        !self.values(name).is_empty()
    }

    /// With the attributes that `change` makes of these.
    pub fn with(&self, change: impl FnOnce(&mut Vec<(String, Vec<Vec<u8>>)>)) -> Self {
        let list =
            self.attributes().map(|(name, values)| (name.to_owned(), values.map(<[u8]>::to_vec).collect()));
        let mut list = list.collect();
        change(&mut list);
        Self::new(self.dn(), list)
    }
}

/// The attributes of whatever is printed for a developer.
impl fmt::Debug for RawEntry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let list =
            self.attributes().map(|(name, values)| (name, values.map(String::from_utf8_lossy).collect()));
        f.debug_tuple("RawEntry").field(&self.dn()).field(&list.collect::<Vec<(_, Vec<_>)>>()).finish()
    }
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap_or_default()
}

/// Bytes that stay reserved for the next entry.
const MOST_KEPT: usize = 1 << 20;

/// Puts entries together, one after the other, in the same memory.
#[derive(Debug, Default)]
pub(super) struct Packing {
    bytes: Vec<u8>,
    /// Where the values of the last attribute begin.
    values: Option<usize>,
}

impl Packing {
    /// Whatever was begun before is forgotten.
    pub fn begin(&mut self, dn: &str) {
        self.bytes.clear();
        self.values = None;
        pack(&mut self.bytes, dn.as_bytes());
    }

    /// An attribute to which the values belong that follow.
    pub fn attribute(&mut self, name: &str) {
        self.end();
        if name.bytes().any(|byte| byte.is_ascii_uppercase() || !byte.is_ascii()) {
            pack(&mut self.bytes, name.to_lowercase().as_bytes());
        } else {
            pack(&mut self.bytes, name.as_bytes());
        }
        pack(&mut self.bytes, &[]);
        self.values = Some(self.bytes.len());
    }

    pub fn value(&mut self, value: &[u8]) {
        pack(&mut self.bytes, value);
    }

    /// Writes how long the values are that came since.
    fn end(&mut self) {
        let Some(from) = self.values.take() else { return };
        let length = u32::try_from(self.bytes.len() - from).unwrap_or(u32::MAX);
        self.bytes[from - size_of::<u32>()..from].copy_from_slice(&length.to_le_bytes());
    }

    pub fn entry(&mut self) -> RawEntry {
        self.end();
        let entry = RawEntry(self.bytes.as_slice().into());
        // A group may have a hundred thousand members; nobody else needs so much.
        if self.bytes.capacity() > MOST_KEPT {
            self.bytes = Vec::new();
        }
        entry
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    type List = Vec<(String, Vec<Vec<u8>>)>;

    fn unpacked(entry: &RawEntry) -> List {
        let mut list = List::new();
        entry.with(|all| list.clone_from(all));
        list
    }

    proptest! {
        #[test]
        fn what_was_put_together_is_there(
            dn in ".{0,20}",
            attributes in proptest::collection::vec(
                ("[a-z;=0-9]{1,8}", proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..9), 0..4)),
                0..5,
            ),
        ) {
            let entry = RawEntry::new(&dn, attributes.clone());
            prop_assert_eq!(entry.dn(), dn.as_str());
            prop_assert_eq!(unpacked(&entry), attributes.clone());
            for (_, place, values) in entry.places() {
                let there = &entry.bytes()[place.start as usize..place.end as usize];
                prop_assert_eq!(there, values.as_packed());
            }
            prop_assert_eq!(RawEntry::kept(entry.bytes()), Some(entry.clone()));
            // Cut off anywhere but between attributes it is no entry any more.
            let ends: Vec<usize> = entry.places().map(|(_, place, _)| place.end as usize).collect();
            for end in 0..entry.bytes().len() {
                let cut = RawEntry::kept(&entry.bytes()[..end].into());
                prop_assert_eq!(cut.is_some(), ends.contains(&end) || end == 4 + dn.len());
            }
        }

        #[test]
        fn nonsense_is_refused_without_harm(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
            let _ = RawEntry::kept(&bytes.into());
        }
    }

    #[test]
    fn names_are_folded_and_nothing_of_the_entry_before_stays() {
        let mut packing = Packing::default();
        packing.begin("cn=a");
        packing.attribute("objectClass");
        packing.value(b"Top");
        packing.begin("cn=b");
        packing.attribute("Été");
        packing.value(b"X");
        packing.attribute("empty");
        let entry = packing.entry();
        assert_eq!((entry.dn(), entry.text("été")), ("cn=b", Some("X")));
        assert!(!entry.has("objectclass") && !entry.has("empty"));
        assert_eq!(entry.attributes().count(), 2);
    }
}
