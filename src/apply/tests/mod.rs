//! Apply against a strict store with faults: what is sent, in which order, what is written down, and what a failure
//! stops. That no call goes without an intent is asserted by the store itself, at every write of every test.

mod faults;
mod order;
#[cfg(feature = "sandbox")]
mod rate;
mod recovery;
