//! What is set for the whole process before anything else: its memory holds passwords and tokens.

use rustix::fs::Mode;
use rustix::process::{Resource, Rlimit, setrlimit, umask};

/// No core dump, neither to a file (the limit) nor to a collector (which no limit stops); no other process of the same
/// user may look into this one's memory or environment; and no file is made for anybody else unless it says so.
///
/// What the system refuses is refused to a process that has been confined already: that is no reason not to run.
pub fn guard() {
    umask(Mode::from_raw_mode(0o077));
    let none = Rlimit { current: Some(0), maximum: Some(0) };
    let _ = setrlimit(Resource::Core, none);
    #[cfg(target_os = "linux")]
    {
        use rustix::process::{DumpableBehavior, set_dumpable_behavior};
        let _ = set_dumpable_behavior(DumpableBehavior::NotDumpable);
    }
}
