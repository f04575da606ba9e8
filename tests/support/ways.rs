//! The three ways to write to one sandbox: the API, the API with SCIM beside it, SCIM alone.

use serde_json::Value;

use super::contents::Contents;
use super::export::Export;
use super::idcsync::{Idcsync, Run, Sandbox, is_write};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    Api,
    Beside,
    Scim,
}

pub const WAYS: [Way; 3] = [Way::Api, Way::Beside, Way::Scim];

impl Way {
    /// The `[target]` table; more keys of it may follow. The token is in `token` beside the config.
    pub fn target(self, sandbox: &Sandbox) -> String {
        let scim = format!("scim = {{ url = \"{}\", token-file = \"token\" }}\n", sandbox.scim().base_url());
        match self {
            Self::Api => sandbox.target(),
            Self::Beside => sandbox.target() + &scim,
            Self::Scim => format!("[target]\nkind = \"scim\"\nrequests-per-second = 100000\n{scim}"),
        }
    }
}

/// An export, a sandbox, and idcsync between them.
#[derive(Debug)]
pub struct Bench {
    pub way: Way,
    pub export: Export,
    pub scope: Vec<String>,
    pub sandbox: Sandbox,
    pub idcsync: Idcsync,
    /// More of the `[target]` table, and other tables.
    pub more: String,
}

impl Bench {
    pub fn new(way: Way, export: Export, scope: &[&str]) -> Self {
        Self::with(way, export, scope, &[], "")
    }

    /// `sandbox` are options of the sandbox.
    pub fn with(way: Way, export: Export, scope: &[&str], sandbox: &[&str], more: &str) -> Self {
        let bench = Self {
            way,
            export,
            scope: scope.iter().map(|name| (*name).to_owned()).collect(),
            sandbox: Sandbox::start_with(sandbox),
            idcsync: Idcsync::new(""),
            more: more.to_owned(),
        };
        bench.idcsync.write("token", bench.sandbox.scim().token());
        bench.configure();
        bench.put();
        bench
    }

    /// Writes the config anew.
    pub fn configure(&self) {
        self.idcsync.configure(&self.config("p", "state.db"));
    }

    pub fn config(&self, profile: &str, state: &str) -> String {
        format!(
            "profile = \"{profile}\"\n{}\n{}{}\n\n[state]\nurl = \"sqlite:{state}\"\n",
            Export::config(&self.scope()),
            self.way.target(&self.sandbox),
            self.more
        )
    }

    fn scope(&self) -> Vec<&str> {
        self.scope.iter().map(String::as_str).collect()
    }

    /// Writes the export anew.
    pub fn put(&self) {
        self.idcsync.write("directory.ldif", &self.export.text());
    }

    pub fn change(&mut self, change: impl FnOnce(&mut Export)) {
        change(&mut self.export);
        self.put();
    }

    pub fn sync(&self) -> Run {
        self.idcsync.run(&["sync"])
    }

    /// A run, and what it sent to the target.
    pub fn requests_of(&self, arguments: &[&str]) -> (Run, Vec<Value>) {
        self.sandbox.requests_of(|| self.idcsync.run(arguments))
    }

    pub fn lose_the_state(&self) {
        for name in ["state.db", "state.db-wal", "state.db-shm"] {
            let _ = std::fs::remove_file(self.idcsync.path(name));
        }
    }

    pub fn expected(&self) -> Contents {
        self.export.expected(&self.scope())
    }

    pub fn contents(&self) -> Contents {
        self.sandbox.store().contents()
    }

    #[track_caller]
    pub fn assert_in_step(&self) {
        self.expected().assert_same(&self.contents());
    }

    /// Another run finds nothing to do, and sends nothing.
    #[track_caller]
    pub fn assert_settled(&self) {
        let (run, requests) = self.requests_of(&["sync"]);
        run.exits(0).says("Nothing to do");
        assert!(requests.is_empty(), "{requests:?}");
    }
}

/// The id of a plan, from its first line.
pub fn plan_id(run: &Run) -> String {
    let line = run.stdout.lines().find(|line| line.starts_with("Plan "));
    let line = line.unwrap_or_else(|| panic!("no plan\n{}", run.report()));
    line.split(' ').nth(1).expect("its id").to_owned()
}

/// How many of these requests would change something.
pub fn writes(requests: &[Value]) -> usize {
    requests.iter().filter(|request| is_write(request)).count()
}
