//! What one cycle would do, as data: steps with their reasons, in order, and the guard that holds those which
//! go too far. Pure: time and policy are arguments.

mod policy;

pub use policy::{Adopt, GuardLimits, Policy};
