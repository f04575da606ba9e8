//! What becomes of people over weeks: a real Active Directory domain controller (Samba), the sandbox as target, and a
//! clock that is shifted from run to run. Each step is looked for in what is printed, and its effect in the store.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "this is test code, where a panic is the report")]

mod support;

#[path = "samba_life/accounts.rs"]
mod accounts;
#[path = "samba_life/deleted.rs"]
mod deleted;
#[path = "samba_life/gaps.rs"]
mod gaps;
#[path = "samba_life/pause.rs"]
mod pause;
#[path = "samba_life/repairs.rs"]
mod repairs;
#[path = "samba_life/scope.rs"]
mod scope;
#[path = "samba_life/timeline.rs"]
mod timeline;
