//! How a target is reached: plain data, made by `config`.

use std::net::IpAddr;
use std::path::PathBuf;

use jiff::Timestamp;

use crate::ids::IdentityStoreId;
use crate::secret::SecretSource;

#[derive(Clone, Debug)]
pub enum TargetSettings {
    IdentityStore(IdentityStoreSettings),
    /// The store's SCIM endpoint alone.
    Scim(ScimSettings),
    /// In-process stand-in over a store file.
    Sandbox(SandboxSettings),
}

impl TargetSettings {
    /// Where it can be told without asking anybody.
    pub fn identity_store(&self) -> Option<IdentityStoreId> {
        match self {
            Self::IdentityStore(settings) => settings.identity_store_id.clone(),
            Self::Scim(settings) => Some(settings.identity_store()),
            Self::Sandbox(settings) => Some(settings.identity_store()),
        }
    }
}

impl TargetSettings {
    /// Whether everything that is written stays on this machine.
    pub fn is_stand_in(&self) -> bool {
        match self {
            Self::IdentityStore(settings) => {
                settings.endpoint_url.as_deref().is_some_and(is_stand_in)
                    && settings.scim.as_ref().is_none_or(|scim| is_stand_in(&scim.url))
            }
            Self::Scim(settings) => is_stand_in(&settings.url),
            Self::Sandbox(_) => true,
        }
    }

    /// What all requests to it together may be.
    pub fn requests_per_second(&self) -> u32 {
        match self {
            Self::IdentityStore(settings) => settings.requests_per_second,
            Self::Scim(settings) => settings.requests_per_second,
            Self::Sandbox(settings) => settings.requests_per_second,
        }
    }

    /// Whether users can be disabled there, and not only be taken out of their groups.
    pub fn disables(&self) -> bool {
        match self {
            Self::Scim(_) => true,
            Self::IdentityStore(settings) => settings.scim.is_some(),
            Self::Sandbox(_) => false,
        }
    }
}

/// Whether a url leads to this machine, and not over TLS: never AWS.
pub(super) fn is_stand_in(url: &str) -> bool {
    let Ok(uri) = url.parse::<http::Uri>() else { return false };
    let host = uri.host().map(|h| h.trim_matches(['[', ']'])).unwrap_or_default();
    let loopback = host.parse::<IpAddr>().map_or(host == "localhost", |ip| ip.is_loopback());
    uri.scheme_str() == Some("http") && loopback
}

impl SandboxSettings {
    pub fn identity_store(&self) -> IdentityStoreId {
        self.identity_store_id.clone().unwrap_or_else(|| IdentityStoreId::new(SANDBOX_IDENTITY_STORE_ID))
    }
}

/// What the sandbox calls its identity store unless it is told otherwise.
const SANDBOX_IDENTITY_STORE_ID: &str = "d-1234567890";

#[derive(Clone, Debug)]
pub struct IdentityStoreSettings {
    /// Found through `sso:ListInstances` where absent.
    pub identity_store_id: Option<IdentityStoreId>,
    /// The SDK's own chain decides where absent.
    pub region: Option<String>,
    pub endpoint_url: Option<String>,
    /// For all attempts of all calls together.
    pub requests_per_second: u32,
    /// Beside the API, to disable and enable users: for nothing else.
    pub scim: Option<ScimSettings>,
}

/// A SCIM 2.0 endpoint (RFC 7644) as IAM Identity Center has it.
#[derive(Clone, Debug)]
pub struct ScimSettings {
    /// `https://scim.REGION.amazonaws.com/TENANT/scim/v2`, with or without a slash at its end.
    pub url: String,
    /// The bearer token; a file is read again when it changes.
    pub token: SecretSource,
    /// When the token ends (`token-expires`), for a warning before that.
    pub token_expires: Option<Timestamp>,
    pub identity_store_id: Option<IdentityStoreId>,
    /// Memberships are taken out by the path filter of RFC 7644 (`members[value eq "ID"]`) instead of AWS's form.
    pub rfc_remove: bool,
    /// For all attempts of all calls together.
    pub requests_per_second: u32,
}

impl ScimSettings {
    /// The configured one, else the endpoint's own address: one endpoint is one store.
    pub fn identity_store(&self) -> IdentityStoreId {
        self.identity_store_id.clone().unwrap_or_else(|| IdentityStoreId::new(self.url.trim_end_matches('/')))
    }
}

#[derive(Clone, Debug)]
pub struct SandboxSettings {
    pub identity_store_id: Option<IdentityStoreId>,
    pub store: PathBuf,
    pub request_log: Option<PathBuf>,
    pub requests_per_second: u32,
}
