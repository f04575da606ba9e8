//! Pages: `MaxResults`, and tokens that carry the last id of a page and a digest that binds them to their request.
//!
//! A page goes on after the last id that it showed, so nothing is shown twice or left out when objects come and go
//! between two pages.

use std::fmt::Display;
use std::str::FromStr;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest, Sha256};

use super::failure::Failure;

/// The most that one page holds, and what it holds when the request doesn't say.
///
/// Source: Identity Store API Reference, ListUsers, MaxResults.
pub const MAX_RESULTS: usize = 100;

const DIGEST_LEN: usize = 12;

/// What a request says about the page it wants.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PageRequest {
    pub max_results: Option<usize>,
    pub next_token: Option<String>,
}

/// One page and, if there is more, the token of the next.
#[derive(Debug)]
pub struct Page<T> {
    pub items: Vec<T>,
    pub next_token: Option<String>,
}

impl PageRequest {
    /// The id after which the page begins. `scope` is all that must be the same for a token to be valid: the identity
    /// store, the operation, and what is listed.
    pub fn start<K: FromStr>(&self, scope: &str) -> Result<Option<K>, Failure> {
        let Some(token) = &self.next_token else { return Ok(None) };
        let bad = || Failure::validation("The NextToken is not valid for this request");
        let bytes = URL_SAFE_NO_PAD.decode(token).map_err(|_| bad())?;
        let (digest, last) = bytes.split_at_checked(DIGEST_LEN).ok_or_else(bad)?;
        let last = std::str::from_utf8(last).map_err(|_| bad())?;
        if digest != digest_of(scope, last) {
            return Err(bad());
        }
        last.parse().map(Some).map_err(|_| bad())
    }

    /// One page of `items`, which begin after [`start`](Self::start).
    pub fn page<T, K: Display>(
        &self,
        scope: &str,
        items: impl Iterator<Item = T>,
        id: impl Fn(&T) -> K,
    ) -> Page<T> {
        let size = self.max_results.unwrap_or(MAX_RESULTS);
        let mut items: Vec<T> = items.take(size + 1).collect();
        let more = items.len() > size;
        items.truncate(size);
        let next_token = match items.last() {
            Some(last) if more => Some(token(scope, &id(last).to_string())),
            _ => None,
        };
        Page { items, next_token }
    }
}

/// The token of the page that begins after `last`, for requests of this scope.
pub fn token(scope: &str, last: &str) -> String {
    let mut bytes = digest_of(scope, last);
    bytes.extend_from_slice(last.as_bytes());
    URL_SAFE_NO_PAD.encode(bytes)
}

fn digest_of(scope: &str, last: &str) -> Vec<u8> {
    let mut digest = Sha256::new();
    digest.update(scope.as_bytes());
    digest.update([0]);
    digest.update(last.as_bytes());
    digest.finalize()[..DIGEST_LEN].to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(max: usize, token: Option<String>) -> PageRequest {
        PageRequest { max_results: Some(max), next_token: token }
    }

    #[test]
    fn pages_join_to_the_whole() {
        let mut seen = Vec::new();
        let mut token = None;
        loop {
            let request = request(3, token);
            let start: Option<u32> = request.start("users").unwrap();
            let page = request.page("users", start.map_or(0, |s| s + 1)..10, |n| *n);
            assert!(page.items.len() <= 3);
            seen.extend(page.items);
            token = page.next_token;
            if token.is_none() {
                break;
            }
        }
        assert_eq!(seen, (0..10).collect::<Vec<_>>());
    }

    #[test]
    fn a_last_page_that_is_full_has_no_token() {
        assert!(request(5, None).page("users", 0..5, |n| *n).next_token.is_none());
        assert!(PageRequest::default().page("users", 0..101, |n| *n).next_token.is_some());
    }

    #[test]
    fn a_token_belongs_to_its_request() {
        let token = request(1, None).page("users", 0..5, |n| *n).next_token.unwrap();
        assert!(request(1, Some(token.clone())).start::<u32>("users").is_ok());
        for (scope, token) in [
            ("groups", token.clone()),
            ("users", format!("{token}A")),
            ("users", "x".into()),
            ("users", String::new()),
        ] {
            let result = request(1, Some(token)).start::<u32>(scope);
            assert_eq!(result.map_err(|f| f.code), Err("ValidationException"));
        }
    }
}
