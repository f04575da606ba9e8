//! The command line as a stranger meets it: wrong files, missing places, approvals, colours, JSON, closed pipes.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "in a test, a panic is the report")]

mod support;

#[path = "cli/approvals.rs"]
mod approvals;
#[path = "cli/assignments.rs"]
mod assignments;
#[path = "cli/check.rs"]
mod check;
#[path = "cli/explain.rs"]
mod explain;
#[path = "cli/history.rs"]
mod history;
#[path = "cli/init.rs"]
mod init;
#[path = "cli/life.rs"]
mod life;
#[path = "cli/output.rs"]
mod output;
#[path = "cli/places.rs"]
mod places;
#[path = "cli/plans.rs"]
mod plans;
#[path = "cli/progress.rs"]
mod progress;
#[path = "cli/repairs.rs"]
mod repairs;
#[path = "cli/scope.rs"]
mod scope;
#[path = "cli/usage.rs"]
mod usage;

use idcsync::state::{State, StateUrl};
use support::contents::Contents;
use support::export::Export;
use support::idcsync::{IDENTITY_STORE_ID, Idcsync, Sandbox};

/// An export, the in-process sandbox, SQLite: everything beside the config.
fn offline(export: &Export, scope: &[&str]) -> Idcsync {
    let idcsync = Idcsync::new(&offline_config(scope));
    idcsync.write("directory.ldif", &export.text());
    idcsync
}

fn offline_config(scope: &[&str]) -> String {
    format!(
        "profile = \"p\"\n{}\n[target]\nkind = \"sandbox\"\nstore = \"store.json\"\nrequests-per-second = 100000\n\n\
         [state]\nurl = \"sqlite:state.db\"\n",
        Export::config(scope)
    )
}

/// The same with a sandbox over HTTP.
fn online(export: &Export, scope: &[&str], sandbox: &Sandbox) -> Idcsync {
    let idcsync = Idcsync::new(&online_config(scope, &sandbox.target()));
    idcsync.write("directory.ldif", &export.text());
    idcsync
}

fn online_config(scope: &[&str], target: &str) -> String {
    format!("profile = \"p\"\n{}\n{target}\n[state]\nurl = \"sqlite:state.db\"\n", Export::config(scope))
}

/// Works on the state database as a cycle would, and gives it back.
fn with_state<T>(idcsync: &Idcsync, work: impl AsyncFnOnce(&State) -> T) -> T {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let url = StateUrl::parse("sqlite:state.db", &idcsync.path("")).expect("a url");
        let state = State::open(&url, "p").await.expect("open the state");
        let result = work(&state).await;
        state.close().await;
        result
    })
}

/// What the in-process sandbox's file holds, asked of a sandbox that serves it.
fn contents_of(idcsync: &Idcsync) -> Contents {
    let copy = idcsync.path("copy.json");
    std::fs::copy(idcsync.path("store.json"), &copy).expect("copy the store");
    let sandbox = Sandbox::start_with(&["--store", copy.to_str().expect("a path of letters")]);
    assert_eq!(IDENTITY_STORE_ID, "d-1234567890");
    sandbox.store().contents()
}
