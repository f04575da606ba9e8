//! Ranged retrieval of attributes ([MS-ADTS] 3.1.1.3.1.3.3): a server that has more values than it returns at
//! once names the attribute `member;range=0-1499`, also unasked, and leaves `member` empty or out. The last part
//! ends in `*`.

/// Between the name of an attribute and the numbers of its values, in lower case.
pub(super) const OPTION: &str = ";range=";

/// The part of the values that an answer carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Span {
    low: u32,
    /// `None`: to the end.
    high: Option<u32>,
}

/// Parts a name like `member;range=0-1499` (lower case) into the attribute and the span. Other options stay
/// with the name. `None` where there is no range option; `Some(Err)` where there is one that makes no sense.
pub(super) fn split(name: &str) -> Option<(&str, Result<Span, String>)> {
    // Nearly no name has an option, and this is asked of each attribute of each entry.
    if !name.contains(';') {
        return None;
    }
    let (attribute, rest) = name.split_once(OPTION)?;
    Some((attribute, parse(rest).ok_or_else(|| format!("`{name}` is not a range"))))
}

fn parse(text: &str) -> Option<Span> {
    let (low, high) = text.split_once('-')?;
    let low = low.parse().ok()?;
    let high = if high == "*" { None } else { Some(high.parse().ok()?) };
    Some(Span { low, high })
}

/// The option that asks for the values from `from` on.
pub(super) fn request(attribute: &str, from: u32) -> String {
    format!("{attribute};range={from}-*")
}

/// More parts than any real group has: against a server that goes on for ever.
const MOST_PARTS: u32 = 20_000;

/// How far one attribute has been read.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Progress {
    next: u32,
    parts: u32,
}

impl Progress {
    /// The number of the first value not read yet.
    pub fn next(&self) -> u32 {
        self.next
    }

    /// Takes note of a part with `count` values. `true`: that was the last one.
    pub fn take(&mut self, span: Span, count: usize) -> Result<bool, String> {
        if span.low != self.next {
            return Err(format!("asked for values from {} on, got them from {} on", self.next, span.low));
        }
        self.parts += 1;
        let Some(high) = span.high else { return Ok(true) };
        if high < span.low || self.parts > MOST_PARTS || high == u32::MAX {
            return Err(format!("the range {}-{high} leads nowhere", span.low));
        }
        let announced = (high - span.low) as usize + 1;
        if count != announced {
            return Err(format!("the range {}-{high} came with {count} values", span.low));
        }
        self.next = high + 1;
        Ok(false)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn span(name: &str) -> Span {
        split(name).unwrap().1.unwrap()
    }

    #[test]
    fn names_are_parted() {
        assert_eq!(split("member"), None);
        assert_eq!(split("usercertificate;binary"), None);
        assert_eq!(split("member;range=0-1499").unwrap().0, "member");
        assert_eq!(span("member;range=0-1499"), Span { low: 0, high: Some(1499) });
        assert_eq!(span("member;range=1500-*"), Span { low: 1500, high: None });
        assert!(split("member;range=x-*").unwrap().1.is_err());
        assert!(split("member;range=5").unwrap().1.is_err());
        assert_eq!(request("member", 1500), "member;range=1500-*");
    }

    #[test]
    fn parts_that_follow_each_other_are_read_to_the_star() {
        let mut progress = Progress::default();
        assert_eq!(progress.take(span("member;range=0-1499"), 1500), Ok(false));
        assert_eq!(progress.next(), 1500);
        assert_eq!(progress.take(span("member;range=1500-2999"), 1500), Ok(false));
        assert_eq!(progress.take(span("member;range=3000-*"), 7), Ok(true));
    }

    #[test]
    fn parts_that_repeat_skip_go_back_or_are_short_are_refused() {
        let after_one = || {
            let mut progress = Progress::default();
            progress.take(span("member;range=0-1499"), 1500).unwrap();
            progress
        };
        assert!(after_one().take(span("member;range=0-1499"), 1500).is_err());
        assert!(after_one().take(span("member;range=1501-*"), 3).is_err());
        assert!(after_one().take(span("member;range=1500-1499"), 0).is_err());
        assert!(after_one().take(span("member;range=1500-2999"), 1499).is_err());
    }

    proptest! {
        #[test]
        fn no_name_makes_a_range_panic_and_no_parts_go_on_for_ever(
            text in "member;range=[0-9*+-]{0,24}|\\PC*",
            parts in prop::collection::vec((any::<u32>(), prop::option::of(any::<u32>()), any::<usize>()), 0..20),
        ) {
            let mut progress = Progress::default();
            if let Some((_, Ok(span))) = split(&text) {
                let _ = progress.take(span, 3);
            }
            for (low, high, count) in parts {
                let (before, span) = (progress.next(), Span { low, high });
                if progress.take(span, count) == Ok(false) {
                    prop_assert!(progress.next() > before);
                }
            }
        }
    }
}
