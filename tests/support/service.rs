//! `idcsync run` as a server: started, asked over HTTP, signalled, read by its log.

use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::thread::sleep;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::idcsync::Idcsync;
use super::ports::{Loopback, answers};
use super::process::Server;
use super::store::request;

/// How long anything may take that is waited for. Generous: test machines are shared.
const PATIENCE: Duration = Duration::from_secs(120);

/// A running service; ended when dropped.
#[derive(Debug)]
pub struct Service {
    server: Server,
    endpoint: String,
    log: PathBuf,
    token: String,
    _home: tempfile::TempDir,
}

/// What a config of a service needs beside, for one that listens there.
pub fn config(address: &Loopback) -> String {
    format!("[service]\nlisten = \"{}\"\ntoken-file = \"http-token\"\n", address.at(8080))
}

impl Service {
    /// Starts it with the config of `bench`, which has [`config`] in it.
    pub fn start(bench: &Idcsync, address: &Loopback, name: &str) -> Self {
        Self::start_as(bench.command(&["run"]), bench, address, name)
    }

    pub fn start_as(mut command: Command, bench: &Idcsync, address: &Loopback, name: &str) -> Self {
        let home = super::dirs::private();
        let token = fs::read_to_string(bench.path("http-token")).unwrap_or_default();
        command.env("AWS_SDK_UA_APP_ID", name);
        command.env("IDCSYNC_LOG", "warn,ldap3=off,idcsync=info,idcsync::service::worker=debug");
        let place = address.at(8080);
        let server = Server::start(name, command, home.path(), || answers(place));
        let log = home.path().join(format!("{name}.log"));
        Self { server, endpoint: format!("http://{place}"), log, token: token.trim().to_owned(), _home: home }
    }

    pub fn server(&mut self) -> &mut Server {
        &mut self.server
    }

    /// A signal to the process alone.
    pub fn server_signal(&self, name: &str) {
        self.server.signal(name);
    }

    /// All that it has logged: text where it is no JSON line.
    pub fn log(&self) -> Vec<Value> {
        let text = fs::read_to_string(&self.log).expect("the service's log");
        text.lines().map(|l| serde_json::from_str(l).unwrap_or(Value::String(l.to_owned()))).collect()
    }

    /// The lines of which the message is this.
    pub fn logged(&self, message: &str) -> Vec<Value> {
        self.log().into_iter().filter(|l| l["message"] == message).collect()
    }

    /// Waits until it has logged so many lines with this message; gives them.
    #[track_caller]
    pub fn wait_for(&self, message: &str, count: usize) -> Vec<Value> {
        self.until(message, || Some(self.logged(message)).filter(|lines| lines.len() >= count))
    }

    /// Waits until it has logged a line with a message that begins so.
    #[track_caller]
    pub fn wait_for_start(&self, start: &str) {
        let is = |line: &Value| line["message"].as_str().is_some_and(|message| message.starts_with(start));
        self.until(start, || self.log().iter().any(is).then_some(()));
    }

    /// Waits until `ready` gives something.
    #[track_caller]
    pub fn until<T>(&self, what: &str, mut ready: impl FnMut() -> Option<T>) -> T {
        let since = Instant::now();
        loop {
            if let Some(found) = ready() {
                return found;
            }
            assert!(since.elapsed() < PATIENCE, "waited for {what}; the log:\n{:#?}", self.log());
            sleep(Duration::from_millis(20));
        }
    }

    pub fn get(&self, path: &str) -> (u16, String) {
        let (status, body) = request("GET", &self.endpoint, path, &[], b"");
        (status, String::from_utf8(body).expect("UTF-8"))
    }

    /// As soon as the state database can be asked.
    #[track_caller]
    pub fn status(&self) -> Value {
        let body = self.until("the status", || {
            let (status, body) = self.get("/api/status");
            (status == 200).then_some(body)
        });
        serde_json::from_str(&body).expect("JSON")
    }

    /// Asks for a run, as soon as somebody listens.
    #[track_caller]
    pub fn sync_now(&self) {
        self.until("the run to be taken on", || (self.post("/api/sync", "").0 == 202).then_some(()));
    }

    /// With the token of the config's file.
    pub fn post(&self, path: &str, body: &str) -> (u16, String) {
        let bearer = format!("Bearer {}", self.token);
        let headers = [("Authorization", bearer.as_str()), ("Content-Type", "application/json")];
        let (status, body) = request("POST", &self.endpoint, path, &headers, body.as_bytes());
        (status, String::from_utf8(body).expect("UTF-8"))
    }

    /// The value of a metric of which the line starts so.
    pub fn metric(&self, start: &str) -> Option<f64> {
        let (status, body) = self.get("/metrics");
        assert_eq!(status, 200, "{body}");
        body.lines().find_map(|line| line.strip_prefix(start)?.trim().parse().ok())
    }
}
