//! idcsync keeps the identity store of AWS IAM Identity Center in step with Active Directory and other LDAP directories.
//!
//! Rooms, in the order in which the data flows:
//!
//! ```text
//! config ─ directory ─► Snapshot ─► scope ─► mapping ─► Desired ─┐
//!                                                               ├─► plan ─► guard ─► apply ─► target
//! state ───────────────────────────────────────────────► Known ─┘                      │
//!   ▲                                                                                  │
//!   └────────────────────── outcome of each step, as it happens ───────────────────────┘
//! ```
//!
//! `ids`, `model`, `scope`, `mapping`, `plan`, `explain` (why one object is as it is) and `schedule` (when cycles run) are pure: no async, no clock, no I/O.
//! `directory`, `target` and `state` know `model` and never each other (`deadline` is what they share of a lease);
//! `apply` knows `plan` and the traits; only `cycle` knows the order. `run` is what `cli` and `service` do with a
//! profile. `printable` is for all of them: what of other people's text may be printed, and `markup` what of it
//! may stand in a page. `process` and `private_file` keep
//! what is in memory and on disk from others of the same machine.

pub mod apply;
pub mod cli;
pub mod config;
pub mod cycle;
pub mod deadline;
pub mod directory;
pub mod explain;
pub mod ids;
pub mod mapping;
pub mod markup;
pub mod model;
pub mod plan;
pub mod printable;
pub mod private_file;
pub mod process;
pub mod run;
#[cfg(feature = "sandbox")]
pub mod sandbox;
pub mod schedule;
pub mod scope;
pub mod secret;
pub mod service;
pub mod state;
pub mod target;
pub mod telemetry;
