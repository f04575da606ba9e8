//! `idcsync run`: cycles on the schedule, and what is shown of them over HTTP.
//!
//! One [`worker`] owns the runs; everything else reads the [`board`] or asks for something through it.

mod board;
pub mod http;

pub use board::{Ask, Board, LastRun, Lease, Running, View};
