//! The program under test, driven as its users drive it: a config file, arguments, what it prints, its exit code; and
//! its sandbox as a server.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::SystemTime;

use serde_json::Value;
use tempfile::TempDir;

use super::dirs;
use super::ports::Loopback;
use super::process::{Server, output};
use super::scim::Scim;
use super::store::Store;

/// The sandbox's own.
pub const REGION: &str = "eu-west-1";
pub const IDENTITY_STORE_ID: &str = "d-1234567890";

const CONFIG: &str = "idcsync.toml";

/// A directory with a config file in it, to run idcsync with. Relative paths of the config start there.
#[derive(Debug)]
pub struct Idcsync {
    home: TempDir,
}

/// What one run of idcsync came to.
#[derive(Debug)]
pub struct Run {
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
    arguments: String,
}

/// The files below a directory: their bytes, and when they were last written.
pub type Files = BTreeMap<PathBuf, (SystemTime, Vec<u8>)>;

impl Idcsync {
    pub fn new(config: &str) -> Self {
        let bench = Self { home: dirs::private() };
        bench.configure(config);
        bench
    }

    /// Writes the config file anew.
    pub fn configure(&self, config: &str) {
        self.write(CONFIG, config);
    }

    /// Writes a file beside the config (a password, say) that nobody else may read, and gives its path.
    pub fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.path(name);
        fs::write(&path, text).expect("write a file beside the config");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).expect("make a file private");
        path
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.home.path().join(name)
    }

    /// Runs idcsync with these arguments, to its end.
    pub fn run(&self, arguments: &[&str]) -> Run {
        finish(self.command(arguments), arguments)
    }

    /// The same as if so much time had gone by (`"28d 1h"`).
    pub fn run_at(&self, shift: &str, arguments: &[&str]) -> Run {
        let mut command = self.command(arguments);
        command.env("IDCSYNC_CLOCK_SHIFT", shift);
        finish(command, arguments)
    }

    /// The same with `--output json`.
    pub fn run_json(&self, arguments: &[&str]) -> Run {
        self.run(&[arguments, &["--output", "json"]].concat())
    }

    /// The command that [`Self::run`] runs, for those who want to interrupt it. Nothing of the environment that idcsync
    /// looks at is passed on; the credentials are made up.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = program();
        command.current_dir(self.home.path()).args(["--config", CONFIG]).args(arguments).stdin(Stdio::null());
        command
    }

    /// Runs a command of [`Self::command`] to its end; `arguments` are for the report.
    pub fn finish(&self, command: Command, arguments: &[&str]) -> Run {
        finish(command, arguments)
    }

    /// Everything in the directory as it is now.
    pub fn files(&self) -> Files {
        let mut files = Files::new();
        collect(self.home.path(), &mut files);
        files
    }
}

fn finish(mut command: Command, arguments: &[&str]) -> Run {
    Run::of(&output(&mut command), arguments)
}

fn program() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_idcsync"));
    for (name, _) in std::env::vars_os() {
        let text = name.to_string_lossy();
        let meant = ["AWS_", "IDCSYNC_", "NO_COLOR", "RUST_LOG", "COLUMNS"];
        if meant.iter().any(|start| text.starts_with(start)) {
            command.env_remove(&name);
        }
    }
    command
        .env("AWS_ACCESS_KEY_ID", "AKIDRIG")
        .env("AWS_SECRET_ACCESS_KEY", "rig")
        .env("AWS_EC2_METADATA_DISABLED", "true")
        .env("AWS_CONFIG_FILE", "/dev/null")
        .env("AWS_SHARED_CREDENTIALS_FILE", "/dev/null");
    command
}

fn collect(dir: &Path, files: &mut Files) {
    for entry in fs::read_dir(dir).expect("list a directory").flatten() {
        let meta = entry.metadata().expect("a file's state");
        if meta.is_dir() {
            collect(&entry.path(), files);
        } else {
            let content = (meta.modified().expect("a time"), fs::read(entry.path()).expect("read a file"));
            files.insert(entry.path(), content);
        }
    }
}

impl Run {
    pub fn of(output: &std::process::Output, arguments: &[&str]) -> Self {
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).expect("idcsync writes UTF-8");
        Self {
            code: output.status.code().unwrap_or_else(|| {
                panic!("idcsync was ended by {}: {}", output.status, String::from_utf8_lossy(&output.stderr))
            }),
            stdout: text(&output.stdout),
            stderr: text(&output.stderr),
            arguments: arguments.join(" "),
        }
    }

    /// Panics, with all that was printed, unless this was the exit code.
    #[track_caller]
    pub fn exits(self, code: i32) -> Self {
        assert!(self.code == code, "expected exit code {code}\n{}", self.report());
        self
    }

    /// Panics unless stdout has this text in it.
    #[track_caller]
    pub fn says(self, text: &str) -> Self {
        assert!(self.stdout.contains(text), "stdout has no {text:?}\n{}", self.report());
        self
    }

    /// Panics unless stderr has this text in it.
    #[track_caller]
    pub fn complains(self, text: &str) -> Self {
        assert!(self.stderr.contains(text), "stderr has no {text:?}\n{}", self.report());
        self
    }

    /// Panics if stdout or stderr has this text in it.
    #[track_caller]
    pub fn never_says(self, text: &str) -> Self {
        let said = self.stdout.contains(text) || self.stderr.contains(text);
        assert!(!said, "{text:?} was said\n{}", self.report());
        self
    }

    /// Stdout as one JSON value.
    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.stdout)
            .unwrap_or_else(|e| panic!("stdout is not JSON: {e}\n{}", self.report()))
    }

    /// All that was printed.
    pub fn report(&self) -> String {
        format!(
            "idcsync {} ended with {}\n--- stdout\n{}--- stderr\n{}---",
            self.arguments, self.code, self.stdout, self.stderr
        )
    }
}

/// `idcsync sandbox` on an address of its own, in memory; gone when dropped.
#[derive(Debug)]
pub struct Sandbox {
    server: Server,
    endpoint: String,
    log: PathBuf,
    _address: Loopback,
    _home: TempDir,
}

impl Sandbox {
    pub fn start() -> Self {
        Self::start_with(&[])
    }

    /// With more options, such as `--fault CreateUser:throttle`.
    pub fn start_with(options: &[&str]) -> Self {
        let home = dirs::private();
        let address = Loopback::claim();
        let log = home.path().join("requests.jsonl");
        let mut command = program();
        command.arg("sandbox").args(["--listen", &address.at(0).to_string(), "--request-log"]).arg(&log);
        command.args(options);
        let said = home.path().join("sandbox.log");
        let mut endpoint = String::new();
        let server = Server::start("sandbox", command, home.path(), || {
            let text = fs::read_to_string(&said).unwrap_or_default();
            let line = text.split_inclusive('\n').find(|line| line.ends_with('\n'));
            let place = line.and_then(|line| line.trim_end().strip_prefix("sandbox listening on "));
            endpoint = place.unwrap_or_default().to_owned();
            !endpoint.is_empty()
        });
        Self { server, endpoint, log, _address: address, _home: home }
    }

    pub fn endpoint(&self) -> &str {
        &self.endpoint
    }

    pub fn store(&self) -> Store {
        Store::new(&self.endpoint, REGION, IDENTITY_STORE_ID)
    }

    /// Its SCIM endpoint, with the tenant and the token that it has unless told otherwise.
    pub fn scim(&self) -> Scim {
        Scim::new(&self.endpoint, "/tenant/scim/v2", "sandbox-token")
    }

    /// Every request so far, those of [`Self::store`] too.
    pub fn requests(&self) -> Vec<Value> {
        let text = fs::read_to_string(&self.log).expect("the request log");
        // The last one may be on its way into the file.
        let lines = text.split_inclusive('\n').filter(|line| line.ends_with('\n'));
        lines.map(|line| serde_json::from_str(line).expect("a line of JSON")).collect()
    }

    /// The requests that were sent while `work` ran.
    pub fn requests_of<T>(&self, work: impl FnOnce() -> T) -> (T, Vec<Value>) {
        let before = self.requests().len();
        let result = work();
        (result, self.requests().split_off(before))
    }

    /// Another run has nothing to do, and asks the target nothing.
    #[track_caller]
    pub fn assert_settled(&self, idcsync: &Idcsync) {
        let (_, requests) = self.requests_of(|| idcsync.run(&["sync"]).exits(0).says("Nothing to do"));
        assert!(requests.is_empty(), "{requests:?}");
    }

    /// The `[target]` table of a config that means this sandbox.
    pub fn target(&self) -> String {
        target(&self.endpoint, Some(IDENTITY_STORE_ID))
    }

    pub fn server(&self) -> &Server {
        &self.server
    }

    /// Ends it in good order: everything is in its store file then.
    pub fn fold(&mut self) {
        self.server.stop();
    }
}

/// The `[target]` table of a config for an identity store at this endpoint, without a limit that would be felt.
pub fn target(endpoint: &str, identity_store_id: Option<&str>) -> String {
    let id = identity_store_id.map(|id| format!("identity-store-id = \"{id}\"\n")).unwrap_or_default();
    format!(
        "[target]\nkind = \"identity-store\"\nregion = \"{REGION}\"\nendpoint-url = \"{endpoint}\"\n\
         requests-per-second = 100000\n{id}"
    )
}

/// Whether a request of the sandbox's log would have changed something.
pub fn is_write(request: &Value) -> bool {
    request["access"] == "write"
}
