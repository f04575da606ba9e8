//! The values of a directory entry. There are a hundred thousand entries with a dozen values each, so that all values of
//! one lie in one piece of memory.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

/// The length that stands before each value.
type Length = [u8; 4];

/// Puts a value, with its length, behind others.
pub fn pack(bytes: &mut Vec<u8>, value: &[u8]) {
    bytes.extend(u32::try_from(value.len()).unwrap_or(u32::MAX).to_le_bytes());
    bytes.extend_from_slice(value);
}

/// The values of one attribute, each behind its length.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Values<'a>(&'a [u8]);

impl<'a> Values<'a> {
    pub const NONE: Values<'static> = Values(&[]);

    /// Of bytes that were put together by [`pack`].
    pub fn packed(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    pub fn is_empty(self) -> bool {
        self.0.is_empty()
    }

    pub fn first(mut self) -> Option<&'a [u8]> {
        self.next()
    }

    /// Whether the bytes end with the end of a value.
    pub fn are_whole(mut self) -> bool {
        while self.next().is_some() {}
        self.0.is_empty()
    }

    /// As they are packed.
    pub fn as_packed(self) -> &'a [u8] {
        self.0
    }
}

impl<'a> Iterator for Values<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        let (length, rest) = self.0.split_first_chunk::<{ size_of::<Length>() }>()?;
        let (value, rest) = rest.split_at_checked(usize::try_from(u32::from_le_bytes(*length)).ok()?)?;
        self.0 = rest;
        Some(value)
    }
}

/// The attributes of one entry: names in lower case, values as bytes, in the order received.
#[derive(Clone, Default)]
pub struct Attributes {
    /// In their order. Nearly all people have the same ones.
    names: Names,
    /// Of each one's values.
    places: Box<[Range<u32>]>,
    bytes: Arc<[u8]>,
}

/// Names of attributes, in lower case, in their order, each once.
pub type Names = Arc<[Arc<str>]>;

impl Attributes {
    /// Names are folded to lower case by the caller, who may share them; a name given twice is joined.
    pub fn new<V>(list: impl IntoIterator<Item = (Arc<str>, V)>) -> Self
    where
        V: IntoIterator<Item: AsRef<[u8]>>,
    {
        let mut list: Vec<(Arc<str>, V)> = list.into_iter().collect();
        list.sort_by(|a, b| a.0.cmp(&b.0));
        let (mut bytes, mut names) = (Vec::new(), Vec::with_capacity(list.len()));
        let mut places: Vec<Range<u32>> = Vec::with_capacity(list.len());
        for (name, values) in list {
            let from = place(bytes.len());
            values.into_iter().for_each(|value| pack(&mut bytes, value.as_ref()));
            let to = place(bytes.len());
            match places.last_mut().filter(|_| names.last() == Some(&name)) {
                Some(places) => places.end = to,
                None => {
                    names.push(name);
                    places.push(from..to);
                }
            }
        }
        Self { names: names.into(), places: places.into(), bytes: bytes.into() }
    }

    /// With the values of each of the names.
    pub fn of<'v>(names: &Names, values: impl Iterator<Item = Values<'v>> + Clone) -> Self {
        let mut bytes = Vec::with_capacity(values.clone().map(|values| values.0.len()).sum());
        let places = values.map(|values| {
            let from = place(bytes.len());
            bytes.extend_from_slice(values.0);
            from..place(bytes.len())
        });
        Self { names: Arc::clone(names), places: places.collect(), bytes: bytes.into() }
    }

    /// With the values of each of the names, at these places of something that is in memory anyway.
    pub fn within(bytes: &Arc<[u8]>, names: &Names, places: Box<[Range<u32>]>) -> Self {
        Self { names: Arc::clone(names), places, bytes: Arc::clone(bytes) }
    }

    /// With more values of one attribute, behind those that are there.
    pub fn with(&self, name: &Arc<str>, values: &[Vec<u8>]) -> Self {
        let all = (0..self.names.len()).map(|at| (self.names[at].clone(), self.at(at).collect()));
        let more = values.iter().map(Vec::as_slice).collect::<Vec<_>>();
        Self::new(all.chain([(name.clone(), more)]))
    }

    fn at(&self, at: usize) -> Values<'_> {
        let Some(Range { start, end }) = self.places.get(at).cloned() else { return Values::NONE };
        Values(self.bytes.get(start as usize..end as usize).unwrap_or_default())
    }

    /// All values; none where the attribute is absent. `name` in lower case.
    pub fn values(&self, name: &str) -> Values<'_> {
        match self.names.binary_search_by(|n| n.as_ref().cmp(name)) {
            Ok(at) => self.at(at),
            Err(_) => Values::NONE,
        }
    }

    /// The first value as text; `None` where absent, empty or not UTF-8.
    pub fn text(&self, name: &str) -> Option<&str> {
        let first = self.values(name).first()?;
        std::str::from_utf8(first).ok().filter(|t| !t.is_empty())
    }

    pub fn has(&self, name: &str) -> bool {
        !self.values(name).is_empty()
    }

    pub fn iter(&self) -> impl Iterator<Item = (&str, Values<'_>)> {
        self.names.iter().enumerate().map(|(at, name)| (name.as_ref(), self.at(at)))
    }
}

/// Entries are told by a message of the server's, of a limited length.
fn place(at: usize) -> u32 {
    u32::try_from(at).unwrap_or(u32::MAX)
}

/// Names and values, wherever they lie.
impl fmt::Debug for Attributes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let escaped =
            |values: Values<'_>| values.map(|value| value.escape_ascii().to_string()).collect::<Vec<_>>();
        f.debug_map().entries(self.iter().map(|(name, values)| (name, escaped(values)))).finish()
    }
}

impl PartialEq for Attributes {
    fn eq(&self, other: &Self) -> bool {
        self.iter().eq(other.iter())
    }
}

impl Eq for Attributes {}

impl<const N: usize> From<[(&str, &str); N]> for Attributes {
    fn from(list: [(&str, &str); N]) -> Self {
        Self::new(list.into_iter().map(|(n, v)| (Arc::from(n.to_lowercase()), [v])))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attributes_are_found_in_any_order_and_joined() {
        let a = Attributes::new([
            (Arc::from("mail"), [b"a"]),
            (Arc::from("cn"), [b"c"]),
            (Arc::from("mail"), [b"b"]),
        ]);
        assert_eq!(a.values("mail").collect::<Vec<_>>(), [b"a", b"b"]);
        assert_eq!(a.text("cn"), Some("c"));
        assert_eq!(a.text("sn"), None);
        let more = a.with(&Arc::from("mail"), &[Vec::new(), b"d".to_vec()]);
        assert_eq!(more.values("mail").collect::<Vec<_>>(), [&b"a"[..], b"b", b"", b"d"]);
        assert_eq!(
            more.iter().map(|(name, values)| (name, values.count())).collect::<Vec<_>>(),
            [("cn", 1), ("mail", 4)]
        );
        assert!(more.has("cn") && !more.has("sn"));
    }

    #[test]
    fn attributes_within_other_bytes_are_the_same() {
        let mut bytes = b"something before".to_vec();
        let from = place(bytes.len());
        pack(&mut bytes, b"x");
        pack(&mut bytes, b"");
        let middle = place(bytes.len());
        pack(&mut bytes, b"c");
        let (bytes, to): (Arc<[u8]>, u32) = (bytes.clone().into(), place(bytes.len()));
        let names: Names = [Arc::from("cn"), Arc::from("mail")].into();
        let within = Attributes::within(&bytes, &names, [middle..to, from..middle].into());
        let same = Attributes::new([(Arc::from("cn"), vec!["c"]), (Arc::from("mail"), vec!["x", ""])]);
        assert_eq!(within, same);
        assert_eq!(Attributes::of(&names, [0, 1].iter().map(|at| within.at(*at))), same);
        assert_ne!(within, same.with(&Arc::from("cn"), &[b"d".to_vec()]));
        assert!(Values::packed(&bytes[from as usize..]).are_whole());
        assert!(!Values::packed(&bytes[from as usize..bytes.len() - 1]).are_whole());
    }
}
