//! Which process holds a lease, and whether it still lives.

use std::fmt;

use super::db::Value;
use super::{Result, StateError};

/// A process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holder {
    pub host: String,
    /// The boot and the name space in which `pid` has a meaning: containers may share a host's name.
    pub space: String,
    pub pid: u32,
    /// When the process began, in ticks since boot: tells it from a later one of the same id.
    pub start: u64,
}

impl Holder {
    /// This process.
    pub fn current() -> Result<Self> {
        let pid = std::process::id();
        let read = |path: &str| {
            std::fs::read_to_string(path)
                .map(|text| text.trim().to_owned())
                .map_err(|source| StateError::File { what: "read", path: path.into(), source })
        };
        let stat = read(&format!("/proc/{pid}/stat"))?;
        let Some((_, start)) = parse_stat(&stat) else {
            let source = std::io::Error::from(std::io::ErrorKind::InvalidData);
            return Err(StateError::File {
                what: "understand",
                path: format!("/proc/{pid}/stat").into(),
                source,
            });
        };
        Ok(Self { host: read("/proc/sys/kernel/hostname")?, space: space(), pid, start })
    }

    /// As far as can be seen from here.
    pub fn has_ended(&self) -> bool {
        Self::current().is_ok_and(|here| self.is_gone(&here))
    }

    /// Whether the process has certainly ended. Of another host, boot or container this cannot be said.
    pub(super) fn is_gone(&self, here: &Self) -> bool {
        if self.host != here.host || self.space != here.space || self.space.is_empty() {
            return false;
        }
        match std::fs::read_to_string(format!("/proc/{}/stat", self.pid)) {
            // A zombie does nothing any more.
            Ok(stat) => parse_stat(&stat)
                .is_some_and(|(state, start)| start != self.start || matches!(state, 'Z' | 'X')),
            Err(e) => e.kind() == std::io::ErrorKind::NotFound,
        }
    }

    pub(super) fn values(&self) -> [Value<'_>; 4] {
        // Ticks since boot do not come near the limit.
        let start = i64::try_from(self.start).unwrap_or(i64::MAX);
        [
            Value::from(self.host.as_str()),
            Value::from(self.space.as_str()),
            Value::from(self.pid),
            Value::from(start),
        ]
    }
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "process {} on {}", self.pid, self.host)
    }
}

/// Empty where either cannot be read; then no holder is ever taken for gone.
fn space() -> String {
    let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id");
    let pids = std::fs::read_link("/proc/self/ns/pid");
    match (boot, pids) {
        (Ok(boot), Ok(pids)) => format!("{} {}", boot.trim(), pids.display()),
        _ => String::new(),
    }
}

/// State and start time of /proc/PID/stat (proc(5)): the third and the 22nd field. The second, the command in
/// parentheses, may hold spaces and parentheses itself.
fn parse_stat(stat: &str) -> Option<(char, u64)> {
    let (_, rest) = stat.rsplit_once(')')?;
    let mut fields = rest.split_ascii_whitespace();
    let state = fields.next()?.chars().next()?;
    Some((state, fields.nth(18)?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_known_by_its_start() {
        let me = Holder::current().unwrap();
        assert!(!me.is_gone(&me));
        let earlier = Holder { start: me.start + 1, ..me.clone() };
        assert!(earlier.is_gone(&me));
        let elsewhere = Holder { host: "other".to_owned(), ..earlier.clone() };
        assert!(!elsewhere.is_gone(&me));
        let container = Holder { space: "another boot pid:[1]".to_owned(), ..earlier };
        assert!(!container.is_gone(&me));
    }

    #[test]
    fn a_process_that_has_ended_is_gone() {
        let me = Holder::current().unwrap();
        let mut child = std::process::Command::new("sleep").arg("60").spawn().unwrap();
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", child.id())).unwrap();
        let other = Holder { pid: child.id(), start: parse_stat(&stat).unwrap().1, ..me.clone() };
        assert!(!other.is_gone(&me));
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(other.is_gone(&me));
    }

    #[test]
    fn a_command_may_look_like_the_rest_of_the_line() {
        let stat = "42 (a) R 1) S 1 1 1 0 -1 0 0 0 0 0 1 2 3 4 20 0 1 0 98765 0 0";
        assert_eq!(parse_stat(stat), Some(('S', 98765)));
    }
}
