//! The SCIM 2.0 endpoint of the sandbox, over the same store as the Identity Store API: what one of the two writes, the
//! other shows.
//!
//! ```text
//! ScimRequest ──► route ──► User-Agent, token there? → rate limit → faults → perform → log → latency
//!                                                                             │
//!                          user, group, patch_*: JSON ⇄ content; filter, list ┴─► store
//! ```
//!
//! Where AWS's behaviour is documented ("IAM Identity Center SCIM Implementation Developer Guide"), this follows it.
//! Where it is not, this is the stricter side of what may be expected: unknown attributes and query parameters are
//! refused, a user that is created without `active` is disabled, `totalResults` counts no more than the page shows. The
//! known traps are there as well: groups never show their members, a list without `cursor` ends after one page without
//! saying so, and removing "all" members answers 400 and does it.
//!
//! A user's or group's `externalId` is the API's external id whose issuer is [`issuer`].

mod about;
mod error;
mod filter;
mod group;
mod list;
mod operation;
mod patch;
mod patch_group;
mod patch_user;
mod perform;
mod query;
mod route;
mod serve;
mod user;

use secrecy::SecretString;

pub use error::ScimError;
pub use operation::ScimOperation;
pub use route::{ScimRequest, is_scim_path};
pub use serve::too_large;

/// The tenant of a sandbox that isn't told another.
pub const DEFAULT_SCIM_TENANT: &str = "tenant";
/// The bearer token of a sandbox that isn't told another.
pub const DEFAULT_SCIM_TOKEN: &str = "sandbox-token";

/// How lists come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub enum ScimPaging {
    /// Pages by cursor, for those who ask with one
    #[default]
    Cursor,
    /// At most 50, and no way to the rest
    Older,
}

/// How the SCIM endpoint behaves.
#[derive(Debug, Clone)]
pub struct ScimSettings {
    /// The first part of the path; a request for another is not authorized.
    pub tenant: String,
    pub token: SecretString,
    pub paging: ScimPaging,
    /// Pages hold less than `count`, or nothing at all, although more follows.
    pub short_pages: bool,
}

impl Default for ScimSettings {
    fn default() -> Self {
        Self {
            tenant: DEFAULT_SCIM_TENANT.to_owned(),
            token: SecretString::from(DEFAULT_SCIM_TOKEN.to_owned()),
            paging: ScimPaging::default(),
            short_pages: false,
        }
    }
}

impl ScimSettings {
    /// The path that the base URL ends in.
    pub fn base_path(&self) -> String {
        format!("/{}/scim/v2", self.tenant)
    }
}

/// The issuer of the external ids that SCIM writes: the URL that the endpoint would have at AWS.
pub fn issuer(region: &str, tenant: &str) -> String {
    format!("https://scim.{region}.amazonaws.com/{tenant}/scim/v2")
}

#[cfg(test)]
mod tests;
