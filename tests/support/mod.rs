//! The rig: real servers for integration tests, started by the tests themselves, and independent checks.
//!
//! Every server lives in a private directory, listens on a loopback address of its own, and goes away with its
//! guard (or with the test process, however that ends). A server that cannot start is a failure of the run.
//! `make setup` installs what is needed.
//!
//! | module | what it gives |
//! | --- | --- |
//! | [`company`] | a made-up company of any size, as LDIF for Active Directory and for OpenLDAP |
//! | [`samba`], [`slapd`] | directories to read it from |
//! | [`moto`], [`postgres`] | a stand-in for the AWS APIs, a state database |
//! | [`scim`] | SCIM endpoints asked by raw requests, and an independent one |
//! | [`oracle`] | what a target should hold, from plain `ldapsearch` output by naive means |
//! | [`store`] | what a target does hold, by raw requests |
//! | [`service`] | the program as a service, over HTTP and by its log |
//! | [`proxy`], [`cuts`] | a relay that breaks what passes through it; reads of a directory broken at many places |
//! | [`export`] | a small directory in a chosen state, as LDIF |
//! | [`idcsync`] | the program under test, and its sandbox as a server |
//! | [`ways`] | the three ways to write to one sandbox |
//! | [`forecast`] | what the target is to be once a plan has been carried out |
//! | [`contents`] | the form in which both say it |
#![allow(dead_code, reason = "each test crate uses its own part of the rig")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stderr,
    reason = "this is test code, where a panic is the report"
)]

pub mod company;
pub mod contents;
pub mod cuts;
pub mod dirs;
pub mod export;
pub mod forecast;
pub mod idcsync;
pub mod ldap;
pub mod moto;
pub mod oracle;
pub mod ports;
pub mod postgres;
pub mod process;
pub mod proxy;
pub mod samba;
pub mod scim;
pub mod service;
pub mod slapd;
pub mod store;
pub mod tls;
pub mod ways;
