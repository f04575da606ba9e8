//! The HTTP client, and where it sends to.

use std::sync::atomic::AtomicBool;
use std::time::Duration;

use reqwest::Url;
use reqwest::redirect::Policy;
use tokio::sync::OnceCell;

use super::ScimTarget;
use crate::target::clock::Clock;
use crate::target::pacing::{Pacer, Pacing};
use crate::target::{ScimSettings, TargetError, TargetErrorKind};

/// AWS blocks requests without one.
const USER_AGENT: &str = concat!(env!("CARGO_PKG_NAME"), "/", env!("CARGO_PKG_VERSION"));

/// Shorter than servers and the proxies before them keep idle connections: a create that meets a closing one is
/// ambiguous.
const IDLE: Duration = Duration::from_secs(15);

impl ScimTarget {
    /// Nothing is sent yet, and the token is not read yet.
    pub fn connect_with(settings: &ScimSettings, pacing: Pacing) -> Result<Self, TargetError> {
        let base = base(&settings.url)?;
        let mut builder = reqwest::Client::builder()
            .user_agent(USER_AGENT)
            .connect_timeout(pacing.connect_timeout)
            .timeout(pacing.attempt_timeout)
            .pool_idle_timeout(IDLE)
            // The token goes where the settings say and nowhere else; and every attempt must pass the pacer.
            .redirect(Policy::none())
            .retry(reqwest::retry::never());
        if base.scheme() == "http" {
            // A stand-in on this machine.
            builder = builder.no_proxy();
        }
        let http = builder.build().map_err(|e| {
            let why = super::failure::deepest(&e);
            let message = format!("no TLS client could be made: {why}; check this machine's CA certificates");
            TargetError::new(TargetErrorKind::Unavailable, "ClientUnavailable", message)
        })?;
        Ok(Self {
            http,
            base,
            token: settings.token.clone(),
            token_expires: settings.token_expires,
            store: settings.identity_store(),
            rfc_remove: settings.rfc_remove,
            pacer: Pacer::new(pacing),
            clock: Clock::new(),
            proven: AtomicBool::new(false),
            without_cursor: AtomicBool::new(false),
            pages: OnceCell::new(),
        })
    }

    /// `base/part/part`, whatever is in the parts.
    pub(super) fn url(&self, parts: &[&str]) -> Url {
        let mut url = self.base.clone();
        if let Ok(mut path) = url.path_segments_mut() {
            path.extend(parts);
        }
        url
    }
}

/// The configured url without a slash at its end.
fn base(text: &str) -> Result<Url, TargetError> {
    let refused = |why: String| {
        let message = format!("`scim.url` in [target] is no url of a SCIM endpoint: {why}");
        TargetError::new(TargetErrorKind::Validation, "InvalidUrl", message)
    };
    let mut url = Url::parse(text).map_err(|e| refused(e.to_string()))?;
    if !matches!(url.scheme(), "https" | "http") || url.query().is_some() || url.fragment().is_some() {
        return Err(refused("https://HOST/PATH is expected".to_owned()));
    }
    let path = url.path().trim_end_matches('/').to_owned();
    url.set_path(&path);
    url.path_segments_mut().map_err(|()| refused("it has no path".to_owned()))?.pop_if_empty();
    Ok(url)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secret::SecretSource;

    fn target(url: &str) -> ScimTarget {
        let settings = ScimSettings {
            url: url.to_owned(),
            token: SecretSource::Env("NONE".to_owned()),
            token_expires: None,
            identity_store_id: None,
            rfc_remove: false,
            requests_per_second: 18,
        };
        ScimTarget::connect_with(&settings, Pacing::new(18)).unwrap()
    }

    #[test]
    fn the_base_may_end_in_slashes_and_ids_stay_within_their_place() {
        for base in
            ["https://s.example/t/scim/v2", "https://s.example/t/scim/v2/", "https://s.example/t/scim/v2//"]
        {
            let target = target(base);
            assert_eq!(target.url(&["Users"]).as_str(), "https://s.example/t/scim/v2/Users");
            assert_eq!(
                target.url(&["Groups", "a/../b?c#d ü"]).as_str(),
                "https://s.example/t/scim/v2/Groups/a%2F..%2Fb%3Fc%23d%20%C3%BC"
            );
        }
        assert_eq!(target("http://127.0.0.1:1").url(&["Users"]).as_str(), "http://127.0.0.1:1/Users");
    }

    #[test]
    fn what_is_no_base_is_refused() {
        for bad in ["scim.example/v2", "ftp://h/x", "https://h/x?y=1", "https://h/#a", "mailto:a@b"] {
            assert_eq!(base(bad).unwrap_err().code, "InvalidUrl", "{bad}");
        }
    }
}
