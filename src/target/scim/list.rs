//! Lists, read to their end, or known not to have been.
//!
//! The newer form pages by cursor: the first request must carry an empty `cursor=`, pages may be short or empty, and a
//! page without `nextCursor` is the last. The older form gives at most 50 and no way to the rest, and may not even say
//! that there is any. So the end of a first page without `nextCursor` is believed where it has fewer than that; where
//! it has as many or more, a question for one object shows once whether the endpoint tells of more.

use std::sync::atomic::Ordering::Relaxed;

use reqwest::{Method, Url};
use serde_json::Value;

use super::failure::On;
use super::request::Ask;
use super::{ScimTarget, endpoint};
use crate::model::Kind;
use crate::target::gather::Pages;
use crate::target::pacing::Repeat;
use crate::target::{LISTING_CUT, TargetError, TargetErrorKind};

/// The most that AWS gives in one page (`count`).
const PAGE: usize = 100;
/// The most that the older form gives.
const OLDER_PAGE: usize = 50;

/// One page as it came.
#[derive(Debug)]
pub(super) struct Sheet {
    pub resources: Vec<Value>,
    pub next: Option<String>,
    /// There is, or may be, more that no further page gives.
    pub cut: bool,
}

/// What an endpoint shows of itself when it is asked for one object of several.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Paging {
    Cursor,
    /// No pages, but `totalResults` says how many there are.
    Totals,
    /// One object was shown, and nothing said of others.
    Silent,
}

/// `attribute eq "value"`, the value written as in JSON (RFC 7644 section 3.4.2.2).
pub(super) fn eq(attribute: &str, value: &str) -> String {
    format!("{attribute} eq {}", Value::from(value))
}

impl ScimTarget {
    /// The page after `cursor`; the first one without.
    pub(super) async fn page(
        &self,
        kind: Kind,
        filter: Option<&str>,
        cursor: Option<String>,
    ) -> Result<Sheet, TargetError> {
        let first = cursor.is_none();
        let mut sheet = self.ask_for_page(kind, filter, cursor, PAGE).await?;
        if sheet.next.is_some() {
            _ = self.pages.set(true);
        } else if first && !sheet.cut && sheet.resources.len() >= OLDER_PAGE {
            sheet.cut = !self.tells_of_more(kind).await?;
        }
        Ok(sheet)
    }

    /// All pages, and whether that is all there is.
    pub(super) async fn pages(
        &self,
        kind: Kind,
        filter: Option<&str>,
    ) -> Result<(Vec<Value>, bool), TargetError> {
        let mut resources = Vec::new();
        let mut pages = Pages::default();
        let mut cursor = None;
        loop {
            let sheet = self.page(kind, filter, cursor).await?;
            resources.extend(sheet.resources);
            cursor = pages.next(sheet.next)?;
            if sheet.cut || cursor.is_none() {
                return Ok((resources, sheet.cut));
            }
        }
    }

    /// Asked once, and only of a kind of which there are several.
    async fn tells_of_more(&self, kind: Kind) -> Result<bool, TargetError> {
        let told = self
            .pages
            .get_or_try_init(|| async { Ok::<_, TargetError>(self.paging(kind).await? != Paging::Silent) });
        told.await.copied()
    }

    pub(super) async fn paging(&self, kind: Kind) -> Result<Paging, TargetError> {
        let sheet = self.ask_for_page(kind, None, None, 1).await?;
        Ok(match (sheet.next, sheet.cut) {
            (Some(_), _) => Paging::Cursor,
            (None, true) => Paging::Totals,
            (None, false) => Paging::Silent,
        })
    }

    /// One page, cut where `totalResults` names more than came.
    async fn ask_for_page(
        &self,
        kind: Kind,
        filter: Option<&str>,
        cursor: Option<String>,
        count: usize,
    ) -> Result<Sheet, TargetError> {
        let first = cursor.is_none();
        let with_cursor = !self.without_cursor.load(Relaxed);
        let cursor = with_cursor.then(|| cursor.unwrap_or_default());
        let answer = match self.send_list(kind, filter, cursor, count).await {
            // An endpoint that knows no cursors may refuse the parameter; but so it does a filter.
            Err(refused) if first && with_cursor && refused.kind == TargetErrorKind::Validation => {
                let plain = self.send_list(kind, filter, None, count).await.map_err(|_| refused)?;
                let mut plain = sheet(plain, first)?;
                if filter.is_none() {
                    self.without_cursor.store(true, Relaxed);
                } else if plain.next.is_none() && plain.resources.len() >= OLDER_PAGE {
                    // The filter alone was refused with a cursor: what the endpoint tells of others is not told of it.
                    plain.cut = true;
                }
                return Ok(plain);
            }
            answer => answer?,
        };
        sheet(answer, first)
    }

    async fn send_list(
        &self,
        kind: Kind,
        filter: Option<&str>,
        cursor: Option<String>,
        count: usize,
    ) -> Result<Value, TargetError> {
        let mut url = self.url(&[endpoint(kind)]);
        let count = count.to_string();
        let on = if filter.is_some() { On::Naming } else { On::Endpoint };
        let filter = filter.map(|f| ("filter", f));
        let cursor = cursor.as_deref().map(|c| ("cursor", c));
        set_query(&mut url, filter.into_iter().chain([("count", count.as_str())]).chain(cursor));
        let operation = match kind {
            Kind::User => "scim:ListUsers",
            Kind::Group => "scim:ListGroups",
        };
        let ask = Ask { operation, repeat: Repeat::Read, on, method: Method::GET, url, body: None };
        self.send(&ask).await
    }
}

/// With blanks as `%20`: a plus sign is a blank only where a query is read as a form.
fn set_query<'p>(url: &mut Url, parameters: impl Iterator<Item = (&'p str, &'p str)>) {
    url.query_pairs_mut().clear().extend_pairs(parameters);
    let query = url.query().map(|q| q.replace('+', "%20"));
    url.set_query(query.as_deref());
}

/// What is not understood is an error and never an empty list.
fn sheet(mut answer: Value, first: bool) -> Result<Sheet, TargetError> {
    let next = answer.get("nextCursor").and_then(Value::as_str).filter(|c| !c.is_empty()).map(str::to_owned);
    let total = answer.get("totalResults").and_then(Value::as_u64);
    let resources = match answer.get_mut("Resources").map(Value::take) {
        Some(Value::Array(resources)) => resources,
        // RFC 7644 section 3.4.2: may be left out where there are none.
        None | Some(Value::Null) if total == Some(0) || next.is_some() => Vec::new(),
        _ => return Err(not_understood("a list without `Resources`")),
    };
    let came = u64::try_from(resources.len()).unwrap_or(u64::MAX);
    let cut = first && next.is_none() && total.is_some_and(|total| total > came);
    Ok(Sheet { resources, next, cut })
}

pub(super) fn not_understood(what: &str) -> TargetError {
    TargetError::new(
        TargetErrorKind::Unavailable,
        "NotUnderstood",
        format!("the SCIM endpoint answered with {what}; check `scim.url` in [target]"),
    )
}

/// What was asked for and could not be listed to its end.
pub(super) fn cut_short(what: &str) -> TargetError {
    TargetError::new(
        TargetErrorKind::Unavailable,
        LISTING_CUT,
        format!(
            "{what} could not be listed: the SCIM endpoint gives one page and no cursor to the rest, and what is not \
             listed must not be taken for gone"
        ),
    )
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn filter_values_are_quoted_as_in_json() {
        assert_eq!(eq("userName", r#"a"b\c or title eq "x"#), r#"userName eq "a\"b\\c or title eq \"x""#);
        assert_eq!(eq("displayName", "Zürich\n"), r#"displayName eq "Zürich\n""#);
    }

    #[test]
    fn a_query_has_no_plus_for_a_blank() {
        let mut url = Url::parse("https://h/Users").unwrap();
        set_query(&mut url, [("filter", "userName eq \"a+b&c=d\""), ("cursor", "")].into_iter());
        assert_eq!(url.as_str(), "https://h/Users?filter=userName%20eq%20%22a%2Bb%26c%3Dd%22&cursor=");
    }

    #[test]
    fn what_is_no_list_is_not_an_empty_one() {
        for answer in
            [json!(null), json!({}), json!({"totalResults": 3}), json!({"Resources": {}}), json!([])]
        {
            assert_eq!(sheet(answer.clone(), true).unwrap_err().code, "NotUnderstood", "{answer}");
        }
        assert!(sheet(json!({"totalResults": 0}), true).unwrap().resources.is_empty());
        assert!(sheet(json!({"totalResults": 2, "Resources": [{}]}), true).unwrap().cut);
        // Later pages count what is theirs.
        assert!(!sheet(json!({"totalResults": 2, "Resources": [{}]}), false).unwrap().cut);
        assert!(!sheet(json!({"totalResults": 2, "Resources": [{}], "nextCursor": "c"}), true).unwrap().cut);
    }
}
