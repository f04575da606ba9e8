//! Real faults on real parts: the directory, the network, TLS, the target, the state database, its disk, and the process
//! itself, each broken in as many ways and at as many moments as there is time for. No single one takes access away
//! without proof, or leaves the target other than it should be after one healthy run, or writes anything twice; and each
//! is told in words that say what to do.
//!
//! With `--no-capture`, each says how often it tried, and what a user is told.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "in a test, a panic is the report")]
#![allow(clippy::print_stdout, reason = "the counts are for whoever runs it with --no-capture")]

mod support;

#[path = "broken/bench.rs"]
mod bench;
#[path = "broken/binds.rs"]
mod binds;
#[path = "broken/cuts.rs"]
mod cuts;
#[path = "broken/database.rs"]
mod database;
#[path = "broken/disk.rs"]
mod disk;
#[path = "support/fake_ldap.rs"]
mod fake_ldap;
#[path = "broken/kills.rs"]
mod kills;
#[path = "broken/limits.rs"]
mod limits;
#[path = "broken/target.rs"]
mod target;
#[path = "broken/tls.rs"]
mod tls;
