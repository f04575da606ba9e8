//! A strict local stand-in for the AWS Identity Store API (and for those operations of the SSO Admin API by which an
//! identity store is found and account assignments are read) and for the SCIM endpoint of IAM Identity Center, to rehearse and to test against.
//!
//! ```text
//! http (axum) ──┐
//!               ├─► handler: signature there? → rate limit → faults → wire → log → latency
//! in_process ───┘                                             │
//!                                  wire: JSON → Request ──► store: decide ──► persist: journal ──► store: apply
//! ```
//!
//! - [`store`]: the content and its rules, free of clock, I/O and wire format; other endpoints can stand on it too.
//! - [`wire`]: the API's requests, answers and errors.
//! - [`scim`]: the SCIM endpoint, beside `handler` and `wire`, over the same store.
//! - [`persist`]: the store file, its journal and its lock.
//! - [`fault`], [`pace`], [`request_log`]: what goes wrong on demand, how fast it is, what was asked.
//! - [`handler`]: [`Sandbox`], one request in, one answer out.
//! - [`http`] and [`in_process`]: the two ways to reach it. [`args`]: the command.

pub mod args;
pub mod fault;
pub mod handler;
pub mod http;
pub mod in_process;
pub mod pace;
pub mod persist;
pub mod request_log;
pub mod scim;
pub mod store;
pub mod wire;

use std::net::SocketAddr;
use std::path::PathBuf;

pub use args::{SandboxArgs, run};
pub use fault::FaultSpec;
pub use handler::{RawRequest, RawResponse, Sandbox, Settings, Withheld};
pub use http::serve;
pub use in_process::InProcess;
pub use pace::Others;
pub use scim::{ScimPaging, ScimRequest, ScimSettings};

/// Why the sandbox could not start, or not end well.
#[derive(Debug, thiserror::Error)]
pub enum SandboxError {
    #[error(transparent)]
    Persist(#[from] persist::PersistError),
    #[error(
        "{0:?} is not an identity store id: it is d- and ten digits or letters from a to f, as in d-1234567890"
    )]
    IdentityStoreId(String),
    #[error("cannot open the request log {}", path.display())]
    RequestLog { path: PathBuf, source: std::io::Error },
    #[error("the token for SCIM cannot be had")]
    ScimToken(#[from] crate::secret::SecretError),
    #[error("{0:?} cannot be a tenant: it is letters, digits, dots, dashes and underscores")]
    ScimTenant(String),
    #[error("cannot listen on {address}")]
    Listen { address: SocketAddr, source: std::io::Error },
    #[error("cannot say on stdout where the sandbox listens")]
    Announce(#[source] std::io::Error),
    #[error("cannot wait for signals")]
    Signal(#[source] std::io::Error),
    #[error("the sandbox stopped serving")]
    Serve(#[source] std::io::Error),
}
