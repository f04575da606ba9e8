//! Input made to do harm, from the directory, the target, the config and plan files, held against the real binary.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "in a test, a panic is the report")]

mod support;

#[path = "hostile/config.rs"]
mod config;
#[allow(dead_code, reason = "some of it is for other tests")]
#[path = "traps/fake.rs"]
mod fake;
#[path = "support/fake_ldap.rs"]
mod fake_ldap;
#[path = "hostile/ldap.rs"]
mod ldap;
#[path = "hostile/output.rs"]
mod output;
#[path = "hostile/plans.rs"]
mod plans;
#[path = "hostile/raw.rs"]
mod raw;
#[path = "hostile/screen.rs"]
mod screen;
#[path = "hostile/target.rs"]
mod target;
