//! How a target is reached: plain data, made by `config`.

use std::path::PathBuf;

use crate::ids::IdentityStoreId;

#[derive(Clone, Debug)]
pub enum TargetSettings {
    IdentityStore(IdentityStoreSettings),
    /// In-process stand-in over a store file.
    Sandbox(SandboxSettings),
}

impl TargetSettings {
    /// Where it can be told without asking anybody.
    pub fn identity_store(&self) -> Option<IdentityStoreId> {
        match self {
            Self::IdentityStore(settings) => settings.identity_store_id.clone(),
            Self::Sandbox(settings) => Some(settings.identity_store()),
        }
    }
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
}

#[derive(Clone, Debug)]
pub struct SandboxSettings {
    pub identity_store_id: Option<IdentityStoreId>,
    pub store: PathBuf,
    pub request_log: Option<PathBuf>,
    pub requests_per_second: u32,
}
