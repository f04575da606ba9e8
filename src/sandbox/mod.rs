//! sandbox
pub mod persist;
pub mod store;
pub mod wire;
