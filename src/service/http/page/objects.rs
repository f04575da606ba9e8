//! Users and groups, looked up in the state database page by page.

use askama::Template;
use axum::extract::{Query, State as Shared};
use axum::http::StatusCode;
use axum::response::Response;

use super::lists::{Asked, how_word};
use super::{Frame, PER_PAGE, Paging, When, html, waits};
use crate::model::{Kind, Link};
use crate::plan::grouped;
use crate::service::http::{FromWeb, unreadable};
use crate::state::{Browse, Standing};

/// More than anybody types, and little enough for a query.
const LONGEST: usize = 200;

/// What the form shows.
pub(super) struct Search {
    pub text: String,
    pub groups: bool,
    pub standing: Standing,
}

impl Search {
    pub fn empty() -> Self {
        Self { text: String::new(), groups: false, standing: Standing::default() }
    }

    fn of(asked: &Asked) -> Self {
        let of = |key| asked.0.get(key).map(String::as_str).unwrap_or_default();
        let standing = Standing::ALL.iter().copied().find(|s| s.word() == of("standing"));
        Self {
            text: of("q").trim().chars().take(LONGEST).collect(),
            groups: of("kind") == "group",
            standing: standing.unwrap_or_default(),
        }
    }

    pub fn standings(&self) -> Vec<(&'static str, &'static str, bool)> {
        Standing::ALL.iter().map(|s| (s.word(), title(*s), *s == self.standing)).collect()
    }

    fn kind(&self) -> Kind {
        if self.groups { Kind::Group } else { Kind::User }
    }

    fn address(&self) -> String {
        format!("/objects?kind={}&standing={}&q={}", self.kind(), self.standing.word(), encoded(&self.text))
    }
}

fn title(standing: Standing) -> &'static str {
    match standing {
        Standing::In => "in scope",
        Standing::Out => "on the way out",
        Standing::Off => "put out of use",
        Standing::Linked => "in the target",
        Standing::Unlinked => "not in the target",
        Standing::All => "all ever met",
    }
}

/// For a place behind the `?` of an address.
fn encoded(text: &str) -> String {
    let mut out = String::new();
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => out.push(char::from(byte)),
            other => out += &format!("%{other:02X}"),
        }
    }
    out
}

#[derive(Template)]
#[template(path = "status/objects.html")]
struct Objects {
    frame: Frame,
    search: Search,
    groups: bool,
    heading: &'static str,
    rows: Vec<Row>,
    paging: Paging,
}

struct Row {
    name: String,
    dn: String,
    target_id: Option<String>,
    standing: &'static str,
    since: Option<When>,
    members: String,
}

impl Row {
    fn of(link: Link) -> Self {
        let (standing, since) = match (&link.target_id, link.deleted, link.disabled, link.out_since) {
            (None, ..) => ("not in the target", None),
            (_, Some(deleted), ..) => ("deleted in the directory", Some(deleted.since)),
            (_, _, Some(disabled), None) => (disabled.cause.text(), Some(disabled.at)),
            (_, _, Some(disabled), Some(_)) => (how_word(disabled.how), Some(disabled.at)),
            (_, _, None, Some(since)) => ("out of scope", Some(since)),
            (Some(_), None, None, None) => ("in scope", None),
        };
        Self {
            standing,
            since: since.map(When),
            members: grouped(link.applied.len()),
            target_id: link.target_id.map(|id| id.as_str().to_owned()),
            name: link.name.unwrap_or_else(|| "(no name in the target)".to_owned()),
            dn: link.dn.to_string(),
        }
    }
}

pub async fn objects(Shared(web): FromWeb, asked: Asked) -> Response {
    let search = Search::of(&asked);
    let Query(asked) = asked;
    let page = asked.get("page").map(String::as_str);
    let state = match web.state() {
        Ok(state) => state,
        Err(refusal) => return waits(&web, "/objects", refusal),
    };
    let wanted = Browse { kind: search.kind(), standing: search.standing, text: search.text.clone() };
    let reading = web.reading.lock().await;
    // A page behind the last one is the last one, which the count has to tell first.
    let before = Paging::new(page, u64::MAX, String::new()).offset().min(1 << 40);
    let mut found = state.browse(&wanted, before, PER_PAGE).await;
    if let Ok((total, links)) = &found
        && links.is_empty()
        && *total > 0
    {
        let last = Paging::new(page, *total, String::new()).offset();
        found = state.browse(&wanted, last, PER_PAGE).await;
    }
    drop(reading);
    let (total, links) = match found {
        Ok(found) => found,
        Err(error) => return waits(&web, "/objects", unreadable(&error)),
    };
    let page = Objects {
        paging: Paging::new(page, total, search.address()),
        groups: search.groups,
        heading: if search.groups { "Groups" } else { "Users" },
        rows: links.into_iter().map(Row::of).collect(),
        frame: Frame::new(&web, "/objects"),
        search,
    };
    html(StatusCode::OK, &page)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn what_is_asked_for_is_kept_in_the_address_and_bounded() {
        let asked = |pairs: &[(&str, &str)]| {
            let map: BTreeMap<String, String> =
                pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
            Search::of(&Query(map))
        };
        let search = asked(&[("q", " a&b=\"<ü> "), ("kind", "group"), ("standing", "off")]);
        assert_eq!(search.address(), "/objects?kind=group&standing=off&q=a%26b%3D%22%3C%C3%BC%3E");
        let odd = asked(&[("kind", "x"), ("standing", "y"), ("q", &"ü".repeat(5000))]);
        assert_eq!((odd.groups, odd.standing, odd.text.chars().count()), (false, Standing::In, LONGEST));
        assert_eq!(asked(&[]).address(), "/objects?kind=user&standing=in&q=");
    }
}
