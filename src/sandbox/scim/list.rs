//! Lists, page by page.
//!
//! With `cursor` in the query, an answer has a `nextCursor` as long as more follows. Without, it has `totalResults` and
//! `startIndex` instead, and there is no way to what did not fit: `totalResults` does not tell, it counts the page.

use std::fmt;
use std::str::FromStr;

use serde_json::{Value, json};

use super::error::ScimError;
use super::query::{COUNT_MAX, ListQuery};
use super::{ScimPaging, ScimSettings};
use crate::sandbox::store::ResourceId;
use crate::sandbox::wire::page::{PageRequest, token};

/// The most that the older form shows.
pub const OLDER_MAX: usize = 50;

/// One page of a list.
#[derive(Debug)]
pub struct Pager<'a> {
    /// All that a cursor must be used with again: the list and its filter.
    scope: &'a str,
    at: Mark,
    size: usize,
    cursor: bool,
}

/// What a cursor holds: the number of the page, and the last id of the pages before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Mark {
    page: usize,
    last: Option<ResourceId>,
}

impl fmt::Display for Mark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/", self.page)?;
        self.last.map_or(Ok(()), |last| last.fmt(f))
    }
}

impl FromStr for Mark {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let (page, last) = text.split_once('/').ok_or(())?;
        let last = if last.is_empty() { None } else { Some(last.parse().map_err(|_| ())?) };
        Ok(Self { page: page.parse().map_err(|_| ())?, last })
    }
}

impl<'a> Pager<'a> {
    pub fn new(settings: &ScimSettings, query: &ListQuery, scope: &'a str) -> Result<Self, ScimError> {
        let count = query.count.unwrap_or(COUNT_MAX);
        if settings.paging == ScimPaging::Older {
            return Ok(Self { scope, at: Mark::default(), size: count.min(OLDER_MAX), cursor: false });
        }
        let Some(cursor) = &query.cursor else {
            return Ok(Self { scope, at: Mark::default(), size: count, cursor: false });
        };
        let request = PageRequest {
            max_results: None,
            next_token: Some(cursor.clone()).filter(|cursor| !cursor.is_empty()),
        };
        let at: Option<Mark> = request
            .start(scope)
            .map_err(|_| ScimError::invalid("the cursor does not belong to this list"))?;
        let at = at.unwrap_or_default();
        let size = if settings.short_pages { short(count, at.page) } else { count };
        Ok(Self { scope, at, size, cursor: true })
    }

    /// The id after which the page begins.
    pub fn last(&self) -> Option<ResourceId> {
        self.at.last
    }

    /// The answer; `items` begin after [`Self::last`].
    pub fn answer<T>(
        &self,
        items: impl Iterator<Item = T>,
        id: impl Fn(&T) -> ResourceId,
        show: impl Fn(&T) -> Result<Value, ScimError>,
    ) -> Result<Value, ScimError> {
        let mut items: Vec<T> = items.take(self.size + 1).collect();
        let more = items.len() > self.size;
        items.truncate(self.size);
        let resources: Vec<Value> = items.iter().map(show).collect::<Result<_, _>>()?;
        let mut answer = json!({
            "schemas": ["urn:ietf:params:scim:api:messages:2.0:ListResponse"],
            "itemsPerPage": resources.len(),
            "Resources": resources,
        });
        if !self.cursor {
            answer["totalResults"] = json!(items.len());
            answer["startIndex"] = json!(1);
        } else if more {
            let next = Mark { page: self.at.page + 1, last: items.last().map(id).or(self.at.last) };
            answer["nextCursor"] = json!(token(self.scope, &next.to_string()));
        }
        Ok(answer)
    }
}

/// Half of the page, nothing, one, all of it, and again.
fn short(count: usize, page: usize) -> usize {
    match page % 4 {
        0 => count.div_ceil(2),
        1 => 0,
        2 => 1,
        _ => count,
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    fn id(n: u128) -> ResourceId {
        ResourceId::new("d-1234567890", Uuid::from_u128(n))
    }

    fn page(settings: &ScimSettings, query: &ListQuery, scope: &str, len: u128) -> Result<Value, ScimError> {
        let pager = Pager::new(settings, query, scope)?;
        let items = (1..=len).map(id).filter(|id| Some(*id) > pager.last());
        pager.answer(items, |id| *id, |id| Ok(json!(id)))
    }

    fn walk(settings: &ScimSettings, count: usize, len: u128) -> (usize, Vec<usize>) {
        let mut query = ListQuery { cursor: Some(String::new()), count: Some(count), filter: None };
        let (mut seen, mut sizes) = (Vec::new(), Vec::new());
        loop {
            let answer = page(settings, &query, "users", len).unwrap();
            assert_eq!(answer.get("totalResults"), None);
            let resources = answer["Resources"].as_array().unwrap().clone();
            sizes.push(resources.len());
            seen.extend(resources);
            match answer["nextCursor"].as_str() {
                Some(next) => query.cursor = Some(next.to_owned()),
                None => break,
            }
        }
        let expected: Vec<_> = (1..=len).map(|n| json!(id(n))).collect();
        assert_eq!(seen, expected);
        (seen.len(), sizes)
    }

    #[test]
    fn pages_join_to_the_whole_short_ones_too() {
        let whole = ScimSettings::default();
        assert_eq!(walk(&whole, 4, 10), (10, vec![4, 4, 2]));
        assert_eq!(walk(&whole, 5, 10), (10, vec![5, 5]));
        assert_eq!(walk(&whole, 5, 0), (0, vec![0]));
        let short = ScimSettings { short_pages: true, ..whole };
        assert_eq!(walk(&short, 4, 10), (10, vec![2, 0, 1, 4, 2, 0, 1]));
    }

    #[test]
    fn without_a_cursor_the_rest_is_out_of_reach_and_unmentioned() {
        let settings = ScimSettings::default();
        let answer = page(&settings, &ListQuery::default(), "users", 150).unwrap();
        assert_eq!(answer["Resources"].as_array().unwrap().len(), 100);
        assert_eq!(answer["totalResults"], 100);
        assert_eq!(answer.get("nextCursor"), None);
        let older = ScimSettings { paging: ScimPaging::Older, ..settings };
        let query = ListQuery { cursor: Some(String::new()), count: Some(100), filter: None };
        let answer = page(&older, &query, "users", 150).unwrap();
        assert_eq!((answer["itemsPerPage"].as_u64(), answer["totalResults"].as_u64()), (Some(50), Some(50)));
        assert_eq!(answer.get("nextCursor"), None);
    }

    #[test]
    fn a_cursor_belongs_to_its_list_and_filter() {
        let settings = ScimSettings::default();
        let query = |cursor: &str| ListQuery { cursor: Some(cursor.into()), count: Some(1), filter: None };
        let next =
            page(&settings, &query(""), "users", 3).unwrap()["nextCursor"].as_str().unwrap().to_owned();
        assert!(page(&settings, &query(&next), "users", 3).is_ok());
        for (scope, cursor) in
            [("groups", next.clone()), ("users", format!("{next}A")), ("users", "x".into())]
        {
            let refused = page(&settings, &query(&cursor), scope, 3);
            assert_eq!(refused.map_err(|e| e.status), Err(400), "{scope} {cursor}");
        }
    }
}
