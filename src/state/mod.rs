//! What must outlive a cycle: the ties from directory objects to target ids, the journal of every write,
//! findings, held plans and approvals, the lease. SQLite by default, PostgreSQL by url, with one SQL text
//! for both.
//!
//! [`State`] reads and writes. [`StateCopy`] is what a dry run gets: the same reads, and no way to write.
//! Both give their reads through [`Reader`].

mod approvals;
mod browse;
mod condition;
mod copy;
mod cycles;
mod db;
mod error;
mod findings;
mod holder;
mod journal;
mod keep;
mod lease;
mod links;
mod load;
mod mirror;
mod mounts;
mod open;
mod part;
mod percent;
mod place;
mod probe;
mod profile;
mod repair;
mod schema;
mod transport;
mod url;
mod words;

pub use approvals::HeldPlan;
pub use browse::{Browse, Linked, Outline, Standing};
pub use copy::StateCopy;
pub use cycles::{Cycle, CycleKind, CycleOutcome, CycleWord, Pruned};
pub use error::StateError;
pub use findings::FindingChanges;
pub use holder::Holder;
pub use journal::JournalEntry;
pub use keep::keep_lease;
pub use lease::{LEASE_TTL, Lease, LeaseAnswer};
pub use open::{Reader, State};
pub use part::{RecordedGroup, Which};
pub use probe::{Operation, Probe};
pub use profile::{Pause, ReadRecord};
pub use repair::Repair;
pub use url::StateUrl;

/// What each method of the room answers.
pub type Result<T, E = StateError> = std::result::Result<T, E>;
