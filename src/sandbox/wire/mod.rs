//! The wire format of the Identity Store API (awsJson1_1): JSON in, checked member by member; the store asked or
//! changed; JSON out.
//!
//! Where AWS's behaviour is documented, this follows the Identity Store API Reference. Where it is not, this is the
//! stricter side of what may be expected: members that a shape does not have are refused (AWS may ignore them), names
//! are unique whatever their case, an attribute that IAM Identity Center requires cannot be removed.

mod answer;
mod failure;
mod members;
mod operation;
pub(in crate::sandbox) mod page;
mod patch;
mod perform;
mod request;
mod sso_admin;
mod user_input;

pub use failure::Failure;
pub use operation::{Access, Operation};
pub use perform::{Context, perform};
pub use request::{Decoded, Request, decode};
