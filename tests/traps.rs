//! What has gone wrong in other people's sync tools, each held against the real binary by a test of its name; and the
//! three ways to write, held against each other.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "in a test, a panic is the report")]

mod support;

#[path = "traps/adoption.rs"]
mod adoption;
#[path = "traps/directory.rs"]
mod directory;
#[path = "traps/fake.rs"]
mod fake;
#[path = "support/fake_ldap.rs"]
mod fake_ldap;
#[path = "traps/guard.rs"]
mod guard;
#[path = "traps/relay.rs"]
mod relay;
#[path = "traps/requests.rs"]
mod requests;
#[path = "traps/scim_faults.rs"]
mod scim_faults;
#[path = "traps/target.rs"]
mod target;
#[path = "traps/three_ways.rs"]
mod three_ways;
