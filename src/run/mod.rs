//! What is done with a profile: one run of it (pause, lease, cycles), what is known of it, metrics, and the clock.
//!
//! The command line and the service come through here, so that a run is the same whoever asks for it: they see it by
//! an [`Observer`] and tell of it in their own way.

mod approvals;
mod check;
pub mod clock;
mod error;
mod explain;
pub mod history;
mod import;
mod lease;
mod metrics;
pub mod open;
mod overview;
mod pauses;
mod perform;
mod scope;
mod status;
mod textfile;

pub use crate::directory::Watch;
pub use approvals::{Changed, HeldSteps, assigned, changed, seal, taken_over};
pub use check::{Area, check};
pub use error::RunError;
pub use explain::{Answer, explain, identify};
pub use import::{Import, MatchedGroup, Unmatched, import};
pub use lease::{Leased, under_lease};
pub use metrics::{Metrics, MetricsError, ServiceState, TEXT_FORMAT};
pub use open::{Actual, Surroundings};
pub use overview::{Leaver, Overview};
pub use pauses::{Moment, begin_pause, consequence, describe, end_pause, pause_json, pause_view, put_out};
pub use perform::{CycleStats, Done, Ending, Observer, Silent, Wish, perform, preview};
pub use scope::{ScopeDesk, ScopeLook};
pub use status::{Status, object_name};
pub use textfile::{TextfileError, write_textfile};
