//! The status page: what `/api/status` tells, for people. Made here, readable without its script, and with no more of the
//! state database than it shows.

mod chart;
mod home;
mod lists;
mod objects;

use std::fmt;

use askama::Template;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use jiff::Timestamp;
use tracing::error;

pub use home::home;
pub use lists::{findings, held, leaving};
pub use objects::objects;

use super::{Refusal, Web};
use crate::model::Code;
use crate::plan::grouped;
use crate::run::clock;

/// What all pages share, and what only these have.
const STYLE: &str = concat!(
    include_str!("../../../../templates/page.css"),
    include_str!("../../../../templates/status/page.css")
);
const SCRIPT: &str = include_str!("../../../../templates/status/page.js");
const ICON: &str = include_str!("../../../../templates/status/icon.svg");

/// Its own files and nothing else: no inline style or script, no other origin, in no frame.
const POLICY: &str = "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; connect-src 'self'; \
                      form-action 'self'; frame-ancestors 'none'; base-uri 'none'";

/// Rows of one page of a list.
const PER_PAGE: u32 = 50;

/// What is around each page.
struct Frame {
    profile: String,
    path: &'static str,
    now: When,
    version: &'static str,
    /// A token is configured.
    can_change: bool,
}

impl Frame {
    fn new(web: &Web, path: &'static str) -> Self {
        let config = web.board.config();
        Self {
            profile: config.profile.clone(),
            path,
            now: When(clock::now()),
            version: env!("CARGO_PKG_VERSION"),
            can_change: config.service.token.is_some(),
        }
    }

    fn tabs(&self) -> &'static [(&'static str, &'static str)] {
        &[
            ("/", "Status"),
            ("/objects", "Users and groups"),
            ("/held", "Held steps"),
            ("/leaving", "Leaving"),
            ("/findings", "Findings"),
        ]
    }
}

/// A time for people.
#[derive(Clone, Copy, Debug)]
struct When(Timestamp);

impl When {
    fn iso(&self) -> String {
        self.0.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
    }
}

impl fmt::Display for When {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0.strftime("%Y-%m-%d %H:%M UTC"))
    }
}

/// Where in a list a page is.
#[derive(Clone, Debug)]
struct Paging {
    page: u64,
    pages: u64,
    total: u64,
    /// The address of the list, to which the number is added.
    address: String,
}

impl Paging {
    /// `asked`: from the address; what is no page of the list is the first or the last one.
    fn new(asked: Option<&str>, total: u64, address: String) -> Self {
        let pages = total.div_ceil(u64::from(PER_PAGE)).max(1);
        Self { page: number(asked).clamp(1, pages), pages, total, address }
    }

    fn offset(&self) -> u64 {
        (self.page - 1) * u64::from(PER_PAGE)
    }

    /// Of a list that is there as a whole.
    fn cut<'a, T>(&self, all: &'a [T]) -> &'a [T] {
        let start = usize::try_from(self.offset()).unwrap_or(usize::MAX).min(all.len());
        let end = start.saturating_add(PER_PAGE as usize).min(all.len());
        &all[start..end]
    }

    fn to(&self, page: u64) -> String {
        let joint = if self.address.contains('?') { '&' } else { '?' };
        format!("{}{joint}page={page}", self.address)
    }

    fn before(&self) -> Option<String> {
        (self.page > 1).then(|| self.to(self.page - 1))
    }

    fn after(&self) -> Option<String> {
        (self.page < self.pages).then(|| self.to(self.page + 1))
    }

    /// `51 to 100 of 4,312`
    fn range(&self) -> String {
        let (first, last) = (self.offset() + 1, (self.offset() + u64::from(PER_PAGE)).min(self.total));
        format!("{} to {} of {}", grouped(first.min(last)), grouped(last), grouped(self.total))
    }
}

fn number(asked: Option<&str>) -> u64 {
    asked.and_then(|text| text.trim().parse().ok()).unwrap_or(1)
}

/// Without the marks for code.
fn remedy(code: Code) -> String {
    code.remedy().replace('`', "")
}

#[derive(Template)]
#[template(path = "status/wait.html")]
struct Wait {
    frame: Frame,
    why: String,
}

fn waits(web: &Web, path: &'static str, refusal: Refusal) -> Response {
    html(refusal.0, &Wait { frame: Frame::new(web, path), why: refusal.1 })
}

fn html(status: StatusCode, page: &impl Template) -> Response {
    let text = match page.render() {
        Ok(text) => text,
        Err(error) => {
            error!("a page cannot be made: {error}");
            return super::refuse(StatusCode::INTERNAL_SERVER_ERROR, "the page could not be made");
        }
    };
    let mut response = (status, [(header::CONTENT_TYPE, "text/html; charset=utf-8")], text).into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
    headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    headers.insert("cross-origin-opener-policy", HeaderValue::from_static("same-origin"));
    response
}

pub async fn style() -> Response {
    ([(header::CONTENT_TYPE, "text/css; charset=utf-8")], STYLE).into_response()
}

pub async fn script() -> Response {
    ([(header::CONTENT_TYPE, "text/javascript; charset=utf-8")], SCRIPT).into_response()
}

pub async fn icon() -> Response {
    ([(header::CONTENT_TYPE, "image/svg+xml")], ICON).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_of_a_list_are_those_that_there_are() {
        let paging = |asked, total| Paging::new(asked, total, "/held".to_owned());
        let page = paging(Some("2"), 120);
        assert_eq!((page.page, page.pages, page.offset()), (2, 3, 50));
        assert_eq!(page.range(), "51 to 100 of 120");
        assert_eq!(
            (page.before().as_deref(), page.after().as_deref()),
            (Some("/held?page=1"), Some("/held?page=3"))
        );
        assert_eq!(page.cut(&(0..120).collect::<Vec<_>>())[0], 50);
        for (asked, expected) in [
            (None, 1),
            (Some(""), 1),
            (Some("x"), 1),
            (Some("0"), 1),
            (Some("-3"), 1),
            (Some("99999999999"), 3),
        ] {
            assert_eq!(paging(asked, 120).page, expected, "{asked:?}");
        }
        let last = paging(Some("3"), 120);
        assert_eq!((last.range().as_str(), last.after()), ("101 to 120 of 120", None));
        assert_eq!(last.cut(&(0..120).collect::<Vec<_>>()).len(), 20);
        let empty = paging(Some("4"), 0);
        assert_eq!((empty.page, empty.pages, empty.range().as_str()), (1, 1, "0 to 0 of 0"));
        assert!(empty.cut::<u8>(&[]).is_empty());
        let with = Paging::new(None, 120, "/objects?q=a%26b".to_owned());
        assert_eq!(with.after().as_deref(), Some("/objects?q=a%26b&page=2"));
    }

    #[test]
    fn the_policy_lets_in_nothing_inline_and_nothing_from_elsewhere() {
        assert!(POLICY.starts_with("default-src 'none'; "));
        for word in ["unsafe", "http", "data:", "*", "blob:"] {
            assert!(!POLICY.contains(word), "{word}");
        }
        for word in ["form-action 'self'", "frame-ancestors 'none'", "base-uri 'none'"] {
            assert!(POLICY.contains(word), "{word}");
        }
        // What the policy would refuse is not in the script either.
        for word in [
            "innerHTML",
            "outerHTML",
            "insertAdjacent",
            "document.write",
            "eval(",
            "http:",
            "https:",
            "cookie",
        ] {
            assert!(!SCRIPT.contains(word), "{word}");
        }
        assert!(SCRIPT.len() + STYLE.len() < 20_000);
    }
}
