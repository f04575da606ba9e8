//! Each way in which a request can fail, for each operation of a cycle that has something of everything, one by one: the
//! target ends as the directory has it, and nothing was done twice.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::net::SocketAddr;
use std::sync::Mutex;

use serde_json::Value;

use super::bench::{Mixed, TEAMS};
use super::support::contents::Contents;
use super::support::dirs;
use super::support::export::Export;
use super::support::idcsync::{Idcsync, Sandbox, is_write};
use super::support::proxy::Proxy;
use super::support::ways::Way;

/// As in `--fault`; in the order of severity.
const KINDS: [&str; 9] = [
    "throttle",
    "internal",
    "timeout-before",
    "timeout-after",
    "internal-after",
    "conflict",
    "access-denied",
    "validation",
    "quota",
];

/// A target in step with a directory that has changed since: as files, to begin from again and again.
struct Base {
    home: tempfile::TempDir,
    way: Way,
    /// Over SCIM, a profile is bound to the address.
    proxy: Proxy,
    /// The operations that a cycle from here takes.
    operations: BTreeSet<String>,
    wanted: Found,
}

/// Names and memberships, and what people are called.
type Found = (Contents, BTreeMap<String, String>);

fn found(sandbox: &Sandbox) -> Found {
    let text = |user: &Value, key: &str| user[key].as_str().unwrap().to_owned();
    let store = sandbox.store();
    let users = store.users();
    (store.contents(), users.iter().map(|u| (text(u, "UserName"), text(u, "DisplayName"))).collect())
}

impl Base {
    fn new(way: Way) -> Self {
        let home = dirs::private();
        let store = home.path().join("store.json");
        let sandbox = Sandbox::start_with(&["--store", store.to_str().unwrap()]);
        let proxy = Proxy::start(place(&sandbox));
        let token = sandbox.scim().token().to_owned();
        let mut mixed = Mixed::new(sandbox);
        mixed.idcsync.write("token", &token);
        mixed.configure(&table(way, &mixed.sandbox, &proxy), STATE);
        mixed.idcsync.run(&["sync"]).exits(0);
        // Twice, so that there is somebody to come back and a group to leave.
        mixed.change();
        mixed.idcsync.run(&["sync"]).exits(0);
        mixed.assert_whole();
        mixed.change();
        for name in FILES {
            fs::copy(mixed.idcsync.path(name), home.path().join(name)).unwrap();
        }
        mixed.sandbox.fold();
        let mut base = Self { home, way, proxy, operations: BTreeSet::new(), wanted: Found::default() };
        let (sandbox, idcsync) = base.begin(&[]);
        let (_, requests) = sandbox.requests_of(|| idcsync.run(&["sync"]).exits(0));
        base.operations = requests.iter().map(|r| r["operation"].as_str().unwrap().to_owned()).collect();
        base.wanted = found(&sandbox);
        base
    }

    fn begin(&self, options: &[&str]) -> (Sandbox, Idcsync) {
        let idcsync = Idcsync::new("");
        for name in FILES.iter().chain(&["store.json"]) {
            fs::copy(self.home.path().join(name), idcsync.path(name)).unwrap();
        }
        let store = idcsync.path("store.json");
        let sandbox = Sandbox::start_with(&[&["--store", store.to_str().unwrap()], options].concat());
        self.proxy.lead_to(place(&sandbox));
        idcsync.configure(&format!(
            "profile = \"p\"\n{}\n{}\n[guard]\nmax-percent = 100\n{STATE}",
            Export::config(&TEAMS),
            table(self.way, &sandbox, &self.proxy)
        ));
        (sandbox, idcsync)
    }
}

const FILES: [&str; 3] = ["state.db", "directory.ldif", "token"];
const STATE: &str = "[state]\nurl = \"sqlite:state.db\"\n";

fn place(sandbox: &Sandbox) -> SocketAddr {
    sandbox.endpoint().trim_start_matches("http://").parse().expect("its address")
}

fn table(way: Way, sandbox: &Sandbox, proxy: &Proxy) -> String {
    way.target(sandbox).replace(&place(sandbox).to_string(), &proxy.address().to_string())
}

/// What the first run said, and how many runs it took.
fn try_one(base: &Base, fault: &str, kind: &str) -> (i32, String) {
    let (sandbox, idcsync) = base.begin(&["--fault", fault]);
    let first = idcsync.run(&["sync"]);
    let struck = sandbox.requests().iter().any(|r| r["fault"] == kind);
    assert!(struck, "{fault} never came: {}", first.report());
    assert!([0, 3, 6].contains(&first.code), "{fault}: {}", first.report());
    // Over SCIM, 409 means that somebody has the name.
    let refused = ["validation", "quota"].contains(&kind) || base.way == Way::Scim && kind == "conflict";
    let mut runs = 1;
    while found(&sandbox) != base.wanted {
        // What was refused is asked again after an hour.
        let again = if refused { idcsync.run_at("90m", &["sync"]) } else { idcsync.run(&["sync"]) };
        runs += 1;
        assert!(again.code == 0 && runs <= 3, "{fault}: {}\n{}", first.report(), again.report());
    }
    let mut done = BTreeSet::new();
    for request in sandbox.requests().iter().filter(|r| is_write(r) && r["outcome"] == "ok") {
        // To say again what a value is changes nothing: so an update whose answer was lost is repeated. A PATCH over SCIM
        // says nothing of its content here.
        let update = request["operation"].as_str().is_some_and(|o| o.starts_with("Update"));
        if base.way == Way::Api && !(update && kind == "timeout-after") {
            let key = format!("{} {}", request["operation"], request["resource"]);
            assert!(done.insert(key.clone()), "{fault}: twice: {key}\n{}", first.report());
        }
    }
    let (_, requests) = sandbox.requests_of(|| idcsync.run(&["sync"]).exits(0).says("Nothing to do"));
    assert!(!requests.iter().any(is_write), "{fault}: {requests:?}");
    let text = format!("{}{}", first.stdout, first.stderr);
    let line = text.lines().find(|l| l.starts_with("error: ") || l.contains("Target")).unwrap_or("-").trim();
    (first.code, format!("exit {}, {runs} runs: {line}", first.code))
}

fn each_fault_of_each_operation(way: Way, least: usize) {
    let operations = Base::new(way).operations;
    let faults: Vec<(String, &str)> = operations
        .iter()
        .flat_map(|operation| KINDS.map(|kind| (format!("{operation}:{kind}@1"), kind)))
        // Done and not answered is the same as not done, for whoever only asks.
        .filter(|(fault, kind)| !kind.ends_with("-after") || !is_read(fault))
        .collect();
    assert!(faults.len() >= least, "{faults:?}");
    let queue = Mutex::new(faults.iter());
    let said = Mutex::new(BTreeMap::new());
    // Most of the time is spent on waiting between tries.
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                let base = Base::new(way);
                loop {
                    let Some((fault, kind)) = queue.lock().unwrap().next() else { return };
                    let (code, line) = try_one(&base, fault, kind);
                    said.lock().unwrap().insert((*kind, code), (fault.clone(), line));
                }
            });
        }
    });
    println!("{} faults over {operations:?}", faults.len());
    for ((kind, _), (fault, line)) in said.into_inner().unwrap() {
        println!("{kind}: {fault}: {line}");
    }
}

fn is_read(fault: &str) -> bool {
    let name = fault.trim_start_matches("scim:");
    ["Get", "List", "Describe", "Is"].iter().any(|start| name.starts_with(start))
}

#[test]
fn each_fault_of_each_operation_over_the_api_is_made_good() {
    each_fault_of_each_operation(Way::Api, 60);
}

#[test]
fn each_fault_of_each_operation_over_scim_is_made_good() {
    each_fault_of_each_operation(Way::Scim, 30);
}
