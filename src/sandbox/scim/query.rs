//! The part of the URL after the question mark.

use super::error::ScimError;

/// What a list request asks for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ListQuery {
    /// `?cursor` and `?cursor=` are both the empty one.
    pub cursor: Option<String>,
    pub count: Option<usize>,
    pub filter: Option<String>,
}

/// The most that a page holds.
pub const COUNT_MAX: usize = 100;

/// `attributes` and `excludedAttributes` are not supported. Nor is `startIndex`, but senders of the older form have it
/// in every request: alone it is ignored.
pub fn parse(query: Option<&str>) -> Result<ListQuery, ScimError> {
    let (mut list, mut start_index) = (ListQuery::default(), false);
    let parts = query.unwrap_or_default().split('&').filter(|part| !part.is_empty());
    for part in parts {
        let (name, value) = part.split_once('=').unwrap_or((part, ""));
        let value =
            decode(value).ok_or_else(|| ScimError::invalid("the query is not UTF-8, percent-encoded"))?;
        let seen = match name {
            "cursor" => list.cursor.replace(value).is_some(),
            "filter" => list.filter.replace(value).is_some(),
            "count" => {
                let count = value.parse().ok().filter(|n| (1..=COUNT_MAX).contains(n));
                let count = count.ok_or_else(|| ScimError::invalid("count must be from 1 to 100"))?;
                list.count.replace(count).is_some()
            }
            "startIndex" => std::mem::replace(&mut start_index, true),
            other => return Err(ScimError::invalid(format!("the parameter {other:?} is not supported"))),
        };
        if seen {
            return Err(ScimError::invalid(format!("the parameter {name:?} is there twice")));
        }
    }
    if start_index && list.cursor.is_some() {
        return Err(ScimError::invalid("startIndex and cursor exclude each other"));
    }
    Ok(list)
}

/// `a%20b+c` → `a b c`
fn decode(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'+' => b' ',
            b'%' => {
                let mut digit = || char::from(rest.next()?).to_digit(16);
                let (high, low) = (digit()?, digit()?);
                u8::try_from(high * 16 + low).ok()?
            }
            other => other,
        });
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_decoded() {
        let list = parse(Some("filter=userName%20eq+%22ad%C3%A0%22&count=7&cursor")).unwrap();
        assert_eq!(list.filter.as_deref(), Some("userName eq \"adà\""));
        assert_eq!((list.count, list.cursor.as_deref()), (Some(7), Some("")));
        assert_eq!(parse(Some("cursor=")).unwrap().cursor.as_deref(), Some(""));
        assert_eq!(parse(Some("startIndex=1&count=100")).unwrap().cursor, None);
        assert_eq!(parse(None).unwrap(), ListQuery::default());
    }

    #[test]
    fn what_is_not_supported_is_refused() {
        for query in [
            "count=0",
            "count=101",
            "count=x",
            "count=-1",
            "cursor=&startIndex=1",
            "startIndex=1&cursor",
            "attributes=userName",
            "excludedAttributes=members",
            "sortBy=userName",
            "cursor=&cursor=",
            "filter=%ff",
            "filter=%2",
        ] {
            assert_eq!(parse(Some(query)).map_err(|e| e.status), Err(400), "{query}");
        }
    }
}
