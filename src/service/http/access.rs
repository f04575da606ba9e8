//! Who may ask for what.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use axum::extract::{ConnectInfo, Request, State as Shared};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::middleware::Next;
use axum::response::Response;
use secrecy::ExposeSecret as _;
use sha2::{Digest as _, Sha256};
use tracing::warn;

use super::{Web, refuse};
use crate::cycle::chain;
use crate::secret::SecretSource;

/// What a request bears.
#[derive(Debug, PartialEq, Eq)]
enum Borne {
    Nothing,
    Wrong,
    Right,
    /// What it would be compared with cannot be read.
    Unknown,
}

/// Lets pass what bears the token. Asked before anything of the body is read.
pub async fn token(Shared(web): Shared<Arc<Web>>, request: Request, next: Next) -> Response {
    // Of the config in force.
    let config = web.board.config();
    let Some(source) = &config.service.token else {
        let why = "changes over HTTP are off: name a file that holds a token in [service] token-file to switch them \
                   on, or use the commands `idcsync pause`, `resume` and `sync`";
        return refuse(StatusCode::FORBIDDEN, why);
    };
    let challenge = |how: &'static str, why: &str| {
        let mut response = refuse(StatusCode::UNAUTHORIZED, why);
        response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static(how));
        response
    };
    match borne(request.headers(), source).await {
        Borne::Right => next.run(request).await,
        Borne::Nothing => challenge(
            "Bearer realm=\"idcsync\"",
            "this takes one header `Authorization: Bearer TOKEN`, with the token of [service] token-file",
        ),
        Borne::Wrong => challenge(
            "Bearer realm=\"idcsync\", error=\"invalid_token\"",
            "this is not the token that [service] token-file holds now",
        ),
        Borne::Unknown => refuse(
            StatusCode::SERVICE_UNAVAILABLE,
            "the token of [service] token-file cannot be read: the log of the service says why",
        ),
    }
}

/// Keeps a web page whose name was made to point at this machine (DNS rebinding) from reading who works here: over
/// loopback, the service is asked by address or as localhost. With the token, by any name: a proxy may keep it.
pub async fn host(Shared(web): Shared<Arc<Web>>, request: Request, next: Next) -> Response {
    let remote = request.extensions().get::<ConnectInfo<SocketAddr>>().map(|info| info.0.ip());
    let is_near = remote.is_none_or(|ip| ip.to_canonical().is_loopback());
    if is_near && names_somebody_else(request.headers()) {
        let right = match &web.board.config().service.token {
            Some(source) => borne(request.headers(), source).await == Borne::Right,
            None => false,
        };
        if !right {
            let why = "from this machine, ask by its address or as localhost; by another name it takes the bearer token";
            return refuse(StatusCode::MISDIRECTED_REQUEST, why);
        }
    }
    next.run(request).await
}

fn names_somebody_else(headers: &HeaderMap) -> bool {
    headers.get_all(header::HOST).iter().any(|host| {
        let Ok(host) = host.to_str() else { return true };
        let name = match host.strip_prefix('[') {
            Some(rest) => rest.split(']').next().unwrap_or_default(),
            None => host.split(':').next().unwrap_or_default(),
        };
        let name = name.trim_end_matches('.').to_ascii_lowercase();
        name.parse::<IpAddr>().is_err() && name != "localhost" && !name.ends_with(".localhost")
    })
}

async fn borne(headers: &HeaderMap, source: &SecretSource) -> Borne {
    let mut all = headers.get_all(header::AUTHORIZATION).iter();
    // Of several it could not be told which one counts.
    let (Some(one), None) = (all.next(), all.next()) else { return Borne::Nothing };
    let Some(given) = bearer(one.as_bytes()) else { return Borne::Nothing };
    // Read anew each time: a token is changed by writing another one into the file.
    let read = tokio::task::spawn_blocking({
        let source = source.clone();
        move || source.read()
    });
    match read.await {
        // The digests are of one length, and nobody can aim at a part of one: how long this takes tells nothing.
        Ok(Ok(token)) if Sha256::digest(token.expose_secret()) == Sha256::digest(given) => Borne::Right,
        Ok(Ok(_)) => Borne::Wrong,
        Ok(Err(error)) => {
            warn!("[service] token-file: {}", chain(&error));
            Borne::Unknown
        }
        Err(error) => {
            warn!("[service] token-file: {error}");
            Borne::Unknown
        }
    }
}

/// RFC 6750: the scheme in any case, and one token.
fn bearer(header: &[u8]) -> Option<&[u8]> {
    let at = header.iter().position(|byte| *byte == b' ')?;
    let (scheme, token) = (&header[..at], header[at..].trim_ascii());
    (scheme.eq_ignore_ascii_case(b"bearer") && !token.is_empty()).then_some(token)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_bearer_token() {
        assert_eq!(bearer(b"Bearer abc"), Some(b"abc".as_slice()));
        assert_eq!(bearer(b"bearer  abc "), Some(b"abc".as_slice()));
        for wrong in [b"Bearer".as_slice(), b"Bearer ", b"Basic abc", b"Bearerabc", b""] {
            assert_eq!(bearer(wrong), None);
        }
    }

    #[test]
    fn names_of_this_machine_and_others() {
        let host = |host: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::HOST, HeaderValue::from_static(host));
            names_somebody_else(&headers)
        };
        for near in
            ["127.0.0.1:8080", "[::1]:8080", "localhost", "LOCALHOST:80", "idcsync.localhost:1", "10.0.0.7"]
        {
            assert!(!host(near), "{near}");
        }
        for other in ["evil.example:8080", "localhost.evil.example", "127.0.0.1.evil.example", "[::1", ""] {
            assert_eq!(host(other), other != "[::1", "{other}");
        }
        assert!(!names_somebody_else(&HeaderMap::new()));
    }
}
