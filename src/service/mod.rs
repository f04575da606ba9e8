//! `idcsync run`: cycles on the schedule, and what is shown of them over HTTP.
//!
//! One worker owns the runs; everything else reads the [`Board`] or asks for something through it.

mod board;
mod decide;
mod file;
mod follower;
pub mod http;
mod serve;
mod worker;

pub use board::{Ask, Board, LastRun, Lease, Running, View};
pub use serve::{ServiceError, serve};
