//! A child process that is a server: started in its own process group, ready when said to be, gone with its guard.

use std::fs::{self, File};
use std::io::{Read, Seek, SeekFrom};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

/// How long a server may take to get ready. Generous: test machines are shared.
pub const START_LIMIT: Duration = Duration::from_secs(90);

/// How long a server may take to end when asked politely.
const TERM_LIMIT: Duration = Duration::from_secs(3);

/// A running server. Dropping it ends its whole process group.
#[derive(Debug)]
pub struct Server {
    name: String,
    child: Child,
    watchdog: Child,
    log: PathBuf,
    /// The signal that asks for an orderly end.
    end_signal: &'static str,
    ended: bool,
}

impl Server {
    /// Starts `command`, and waits until `ready` says so. Its output goes to a file in `dir`, the server's private
    /// directory (from [`super::dirs::private`]), which goes too should the test process be killed.
    ///
    /// Panics, with the end of the log, when the process ends early or is not ready within [`START_LIMIT`].
    pub fn start(name: &str, mut command: Command, dir: &Path, mut ready: impl FnMut() -> bool) -> Self {
        let log = dir.join(format!("{name}.log"));
        let out = File::options().create(true).append(true).open(&log).expect("open the server's log");
        let err = out.try_clone().expect("a second handle on the server's log");
        command.stdin(Stdio::null()).stdout(out).stderr(err).process_group(0);
        let child = command.spawn().unwrap_or_else(|e| panic!("{name} cannot be started ({command:?}): {e}"));
        let watchdog = watchdog(child.id(), dir);
        let mut server =
            Self { name: name.to_owned(), child, watchdog, log, end_signal: "TERM", ended: false };
        let since = Instant::now();
        loop {
            // Asked before `ready`, so that an answer of somebody else's server is not taken for ours.
            if let Some(status) = server.child.try_wait().expect("the state of our own child") {
                server.ended = true;
                let tail = server.log_tail();
                drop(server);
                panic!("{name} ended with {status} before it was ready; its log ends in:\n{tail}");
            }
            if ready() {
                return server;
            }
            if since.elapsed() > START_LIMIT {
                panic!(
                    "{name} was not ready within {START_LIMIT:?}; its log ends in:\n{}",
                    server.log_tail()
                );
            }
            sleep(Duration::from_millis(20));
        }
    }

    /// Asks for its end by another signal than TERM.
    pub fn ending_on(mut self, signal: &'static str) -> Self {
        self.end_signal = signal;
        self
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Sends a signal (`"STOP"`, `"CONT"`, `"HUP"`) to the whole group: a stopped server is one that goes silent.
    pub fn signal(&self, name: &str) {
        signal_group(self.pid(), name);
    }

    /// Ends the group at once, as a crash would.
    pub fn kill(&mut self) {
        signal_group(self.pid(), "KILL");
        self.wait_for_group(TERM_LIMIT);
        self.reap();
    }

    /// Ends the group: politely first, then not.
    pub fn stop(&mut self) {
        if self.ended {
            return;
        }
        // A stopped process would not see the TERM.
        signal_group(self.pid(), "CONT");
        signal_group(self.pid(), self.end_signal);
        if !self.wait_for_group(TERM_LIMIT) {
            signal_group(self.pid(), "KILL");
            self.wait_for_group(TERM_LIMIT);
        }
        self.reap();
    }

    /// The last lines of what the server wrote.
    pub fn log_tail(&self) -> String {
        tail(&self.log, 4_000)
    }

    fn wait_for_group(&mut self, limit: Duration) -> bool {
        let since = Instant::now();
        loop {
            let _ = self.child.try_wait();
            if !group_lives(self.pid()) {
                return true;
            }
            if since.elapsed() > limit {
                return false;
            }
            sleep(Duration::from_millis(10));
        }
    }

    fn reap(&mut self) {
        let _ = self.child.wait();
        self.ended = true;
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("--- the log of {} ends in:\n{}", self.name, self.log_tail());
        }
        self.stop();
        // Last, so that the group is watched until it is gone.
        let _ = self.watchdog.kill();
        let _ = self.watchdog.wait();
    }
}

/// Kills the group and removes the directory when this process is gone, even by SIGKILL: its standard input then
/// ends.
///
/// (A parent-death signal would follow the thread that started the server, and test threads come and go.)
fn watchdog(group: u32, dir: &Path) -> Child {
    assert!(dir.starts_with(std::env::temp_dir()), "{} is not a directory to throw away", dir.display());
    Command::new("/bin/sh")
        .args(["-c", r#"read -r _; kill -TERM -"$0"; sleep 2; kill -KILL -"$0"; rm -rf -- "$1""#])
        .arg(group.to_string())
        .arg(dir)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .process_group(0)
        .spawn()
        .expect("start a watchdog")
}

fn signal_group(group: u32, signal: &str) {
    // That nobody is left to be signalled is fine.
    let _ = Command::new("/bin/sh")
        .args(["-c", r#"kill -"$0" -"$1""#, signal, &group.to_string()])
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .status();
}

/// Whether any process of the group is alive; the dead that nobody has waited for do not count.
fn group_lives(group: u32) -> bool {
    let group = group.to_string();
    fs::read_dir("/proc").expect("/proc").flatten().any(|entry| {
        let Ok(stat) = fs::read_to_string(entry.path().join("stat")) else { return false };
        // "pid (name) state ppid pgrp …", and the name may hold anything.
        let Some((_, rest)) = stat.rsplit_once(") ") else { return false };
        let mut fields = rest.split(' ');
        let (state, pgrp) = (fields.next(), fields.nth(1));
        pgrp == Some(group.as_str()) && !matches!(state, Some("Z" | "X"))
    })
}

/// The last `bytes` of a file, or nothing.
fn tail(path: &Path, bytes: i64) -> String {
    let read = || -> std::io::Result<Vec<u8>> {
        let mut file = File::open(path)?;
        let length = i64::try_from(file.metadata()?.len()).unwrap_or(i64::MAX);
        file.seek(SeekFrom::End(-bytes.min(length)))?;
        let mut text = Vec::new();
        file.read_to_end(&mut text)?;
        Ok(text)
    };
    String::from_utf8_lossy(&read().unwrap_or_default()).into_owned()
}

/// Runs a helper to its end; panics with all it said when it fails. Its output is returned.
pub fn run(command: &mut Command) -> String {
    let output = output(command);
    assert!(
        output.status.success(),
        "{command:?} ended with {}\n{}{}",
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Runs a helper to its end, whatever that is; panics only when it cannot be started.
pub fn output(command: &mut Command) -> Output {
    command
        .stdin(Stdio::null())
        .output()
        .unwrap_or_else(|e| panic!("{command:?} cannot be run: {e} (make setup?)"))
}
