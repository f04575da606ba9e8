//! A shell for the commands of one page, in a private copy of what they need.

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use super::ports::{self, Loopback};

/// For one command. Generous: test machines are shared.
const LIMIT: Duration = Duration::from_secs(120);

/// For what a command in the background prints.
const PATIENCE: Duration = Duration::from_secs(60);

/// Stands for the real one: what it would build is there already.
const CARGO: &str = "#!/bin/sh
[ \"$1\" = build ] && exit
while [ \"$1\" != -- ]; do shift; done
shift
exec idcsync \"$@\"
";

/// Comes before the exit code of each command.
const MARK: char = '\u{1e}';

pub struct Shell {
    home: TempDir,
    address: Loopback,
    bash: Child,
    input: ChildStdin,
    printed: Receiver<String>,
    /// That was printed last. Plans of a store with ids of its own have another id each time.
    plan: Option<String>,
    /// How much of what the command in the background prints has been looked at.
    seen: usize,
}

impl Shell {
    /// In a directory that looks like the root of the tree. `cargo run … -- ARGUMENTS` runs the program that is tested,
    /// and `cargo build` does nothing.
    pub fn start(root: &Path) -> Self {
        let home = lay_out(root);
        let path = format!("{}:{}", home.path().join("bin").display(), std::env::var("PATH").unwrap());
        let mut command = Command::new("bash");
        for (name, _) in std::env::vars_os() {
            let name = name.to_string_lossy();
            let meant =
                ["AWS_", "IDCSYNC_", "RUST_LOG", "COLUMNS"].iter().any(|start| name.starts_with(start));
            if meant || name.to_ascii_lowercase().ends_with("_proxy") {
                command.env_remove(&*name);
            }
        }
        let mut bash = command
            .args(["--noprofile", "--norc"])
            .current_dir(home.path())
            .envs([("PATH", path.as_str()), ("NO_COLOR", "1"), ("AWS_EC2_METADATA_DISABLED", "true")])
            .envs([("AWS_CONFIG_FILE", "/dev/null"), ("AWS_SHARED_CREDENTIALS_FILE", "/dev/null")])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .process_group(0)
            .spawn()
            .unwrap();
        let mut input = bash.stdin.take().unwrap();
        let output = bash.stdout.take().unwrap();
        writeln!(input, "exec 2>&1").unwrap();
        let (send, printed) = mpsc::channel();
        thread::spawn(move || {
            for line in BufReader::new(output).lines().map_while(Result::ok) {
                if send.send(line).is_err() {
                    break;
                }
            }
        });
        Self { home, address: Loopback::claim(), bash, input, printed, plan: None, seen: 0 }
    }

    /// Its exit code and what it prints, to stdout and stderr. A command that ends in `&` has its port open afterwards,
    /// if it names one.
    pub fn run(&mut self, command: &str) -> (i32, String) {
        let command = self.ours(&self.with_plan(command));
        writeln!(self.input, "{command}\nprintf '{MARK}%s\\n' $?").unwrap();
        let mut printed = String::new();
        let since = Instant::now();
        loop {
            let left = LIMIT.saturating_sub(since.elapsed());
            let Ok(line) = self.printed.recv_timeout(left) else {
                panic!("`{command}` did not end in {LIMIT:?}; it printed:\n{printed}")
            };
            if let Some((rest, code)) = line.split_once(MARK) {
                printed.push_str(rest);
                let plan = printed.lines().find_map(|line| line.strip_prefix("Plan ")?.get(..12));
                self.plan = plan.map(str::to_owned).or(self.plan.take());
                if command.ends_with('&') {
                    self.await_port(&command);
                }
                return (code.parse().unwrap(), self.theirs(&printed));
            }
            printed.push_str(&line);
            printed.push('\n');
        }
    }

    /// Starts it as on a terminal, and waits until what it prints is `enough`, or for long.
    pub fn start_background(&mut self, command: &str, enough: impl Fn(&str) -> bool) -> bool {
        let command = self.ours(command);
        self.write("background.sh", &format!("echo $$ >background.pid\nexec {command}\n"));
        let (code, printed) =
            self.run("{ script -qefc 'sh background.sh' background.log; } </dev/null >/dev/null 2>&1 &");
        assert!(code == 0, "{printed}");
        self.await_background(enough)
    }

    /// Waits until what it has printed since [`Self::background_seen`] is `enough`; `false` where that takes too long.
    pub fn await_background(&self, enough: impl Fn(&str) -> bool) -> bool {
        let since = Instant::now();
        while since.elapsed() < PATIENCE {
            if enough(&self.background_rest()) {
                return true;
            }
            thread::sleep(Duration::from_millis(50));
        }
        false
    }

    /// What the command in the background has printed since [`Self::background_seen`].
    pub fn background_rest(&self) -> String {
        self.background().lines().skip(self.seen).map(|line| format!("{line}\n")).collect()
    }

    pub fn background_seen(&mut self) {
        self.seen = self.background().lines().count();
    }

    pub fn end_background(&mut self) {
        let (code, printed) = self.run("kill -TERM $(cat background.pid) && wait");
        assert!(code == 0, "{printed}");
    }

    /// Without the first and the last line, which `script` adds.
    fn background(&self) -> String {
        let text = fs::read_to_string(self.path("background.log")).unwrap_or_default().replace('\r', "");
        let lines = text
            .lines()
            .filter(|line| !line.starts_with("Script started on ") && !line.starts_with("Script done on "));
        self.theirs(&lines.map(|line| format!("{line}\n")).collect::<String>())
    }

    pub fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap_or_else(|e| panic!("{name}: {e}"))
    }

    pub fn write(&self, name: &str, text: &str) {
        fs::write(self.path(name), self.ours(text)).unwrap();
    }

    fn path(&self, name: &str) -> PathBuf {
        self.home.path().join(name)
    }

    /// The pasted id after `approve` stands for the one that was printed.
    fn with_plan(&self, command: &str) -> String {
        match (command.split_once("idcsync approve "), &self.plan) {
            (Some((before, rest)), Some(plan)) if rest.len() >= 12 => {
                format!("{before}idcsync approve {plan}{}", &rest[12..])
            }
            _ => command.to_owned(),
        }
    }

    /// Servers of the page listen at an address where nobody else does.
    fn ours(&self, text: &str) -> String {
        let ip = self.address.ip().to_string();
        text.replace("127.0.0.1", &ip).replace("localhost", &ip)
    }

    fn theirs(&self, text: &str) -> String {
        text.replace(&self.address.ip().to_string(), "127.0.0.1")
    }

    fn await_port(&self, command: &str) {
        let start = format!("{}:", self.address.ip());
        let Some((_, rest)) = command.split_once(&start) else { return };
        let digits: String = rest.chars().take_while(char::is_ascii_digit).collect();
        let since = Instant::now();
        while !ports::answers(self.address.at(digits.parse().unwrap())) {
            assert!(since.elapsed() < LIMIT, "`{command}` does not listen");
            thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for Shell {
    fn drop(&mut self) {
        // The whole group: what a page leaves in the background goes with its shell.
        let _ = Command::new("kill").args(["-KILL", "--", &format!("-{}", self.bash.id())]).output();
        let _ = self.bash.wait();
    }
}

/// What the commands find where they are run.
fn lay_out(root: &Path) -> TempDir {
    let home = tempfile::Builder::new().prefix("idcsync-docs-").tempdir().unwrap();
    for dir in ["config", "testdata"] {
        copy(&root.join(dir), &home.path().join(dir));
    }
    fs::create_dir_all(home.path().join("target/release")).unwrap();
    fs::create_dir(home.path().join("bin")).unwrap();
    for place in ["bin/idcsync", "target/release/idcsync"] {
        symlink(env!("CARGO_BIN_EXE_idcsync"), home.path().join(place)).unwrap();
    }
    let cargo = home.path().join("bin/cargo");
    fs::write(&cargo, CARGO).unwrap();
    fs::set_permissions(&cargo, fs::Permissions::from_mode(0o755)).unwrap();
    home
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
    }
}
