//! Plans over whole worlds: a directory, a state and a store are built, changed and planned; the plan is looked at
//! and, where it matters, carried out against a strict store in memory.

pub(crate) mod journal;
pub(crate) mod store;
pub(crate) mod world;

mod adoption;
mod changes;
mod evidence;
mod guard;
mod lifecycle;
mod names;
mod only;
mod properties;
mod render;
