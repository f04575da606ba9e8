//! Search filters as the servers read them (RFC 4515), as far as anybody sends them.

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Filter {
    And(Vec<Filter>),
    Or(Vec<Filter>),
    Not(Box<Filter>),
    Present(String),
    Equal(String, Vec<u8>),
    AtLeast(String, u64),
}

/// `None` where it is not a filter.
pub fn parse(text: &str) -> Option<Filter> {
    let (filter, rest) = one(text)?;
    rest.is_empty().then_some(filter)
}

fn one(text: &str) -> Option<(Filter, &str)> {
    let inner = text.strip_prefix('(')?;
    let (filter, rest) = match inner.chars().next()? {
        '&' => list(&inner[1..]).map(|(list, rest)| (Filter::And(list), rest))?,
        '|' => list(&inner[1..]).map(|(list, rest)| (Filter::Or(list), rest))?,
        '!' => one(&inner[1..]).map(|(inner, rest)| (Filter::Not(Box::new(inner)), rest))?,
        _ => {
            let end = inner.find(')')?;
            let (name, value) = inner[..end].split_once('=')?;
            let filter = if let Some(name) = name.strip_suffix('>') {
                Filter::AtLeast(name.to_owned(), value.parse().ok()?)
            } else if value == "*" {
                Filter::Present(name.to_owned())
            } else {
                Filter::Equal(name.to_owned(), unescaped(value)?)
            };
            (filter, &inner[end..])
        }
    };
    Some((filter, rest.strip_prefix(')')?))
}

fn list(mut text: &str) -> Option<(Vec<Filter>, &str)> {
    let mut list = Vec::new();
    while text.starts_with('(') {
        let (filter, rest) = one(text)?;
        list.push(filter);
        text = rest;
    }
    Some((list, text))
}

fn unescaped(value: &str) -> Option<Vec<u8>> {
    let (mut bytes, mut rest) = (Vec::new(), value.as_bytes());
    while let Some((first, more)) = rest.split_first() {
        rest = more;
        match first {
            b'\\' => {
                let digits = std::str::from_utf8(rest.get(..2)?).ok()?;
                bytes.push(u8::from_str_radix(digits, 16).ok()?);
                rest = &rest[2..];
            }
            b'*' | b'(' => return None,
            byte => bytes.push(*byte),
        }
    }
    Some(bytes)
}
