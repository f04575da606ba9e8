//! What others on the machine, in the directory or on the network can get out of the program, or into it: files,
//! secrets, memory, TLS, the service's HTTP. docs/threat-model.md names these tests.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "in a test, a panic is the report")]

mod support;

#[path = "security/files.rs"]
mod files;
#[path = "security/http.rs"]
mod http;
#[path = "security/memory.rs"]
mod memory;
#[path = "security/secrets.rs"]
mod secrets;
#[path = "security/tls.rs"]
mod tls;

use std::os::unix::fs::MetadataExt as _;
use std::process::{Command, Stdio};

use support::export::{Export, people};

/// Eight people in a group, one of them without what a user needs: that is a finding, and findings name people.
fn export() -> Export {
    let mut export = Export::of(8).group("Team", people(0..8));
    export.person("p07").family_name = String::new();
    export
}

fn is_root() -> bool {
    std::fs::metadata("/proc/self").is_ok_and(|me| me.uid() == 0)
}

/// The same command started by another program: its directory and its environment stay.
fn through(program: &str, arguments: &[&str], command: &Command) -> Command {
    let mut outer = Command::new(program);
    outer.args(arguments).arg(command.get_program()).args(command.get_args()).stdin(Stdio::null());
    outer.current_dir(command.get_current_dir().expect("a directory"));
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => outer.env(name, value),
            None => outer.env_remove(name),
        };
    }
    outer
}
