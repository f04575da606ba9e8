//! How a target is reached: plain data, made by `config`.

use std::path::PathBuf;

use crate::ids::IdentityStoreId;

#[derive(Clone, Debug)]
pub enum TargetSettings {
    IdentityStore(IdentityStoreSettings),
    /// In-process stand-in over a store file.
    Sandbox(SandboxSettings),
}

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
