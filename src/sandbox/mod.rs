//! sandbox
pub mod store;
