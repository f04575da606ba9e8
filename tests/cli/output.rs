//! Text, colours and JSON; what goes where; exit codes for scripts.

use std::process::{Command, Stdio};

use serde_json::Value;

use super::offline;
use super::support::export::{Export, people};
use super::support::idcsync::Idcsync;

fn export() -> Export {
    Export::of(20).group("Team", people(0..20))
}

fn bench() -> Idcsync {
    offline(&export(), &["Team"])
}

#[test]
fn json_is_one_document_with_its_schema() {
    let idcsync = bench();
    let dry = idcsync.run_json(&["sync", "--dry-run"]).exits(0).json();
    assert_eq!(dry["schema"], "idcsync/plan/v1");
    assert_eq!(dry["steps"].as_array().map(Vec::len), Some(41));
    let cycle = idcsync.run_json(&["sync"]).exits(0).json();
    assert_eq!((&cycle["schema"], &cycle["outcome"]), (&"idcsync/cycle/v1".into(), &"done".into()));
    assert_eq!(cycle["plan"]["steps"], dry["steps"]);
    assert_eq!(idcsync.run_json(&["sync"]).exits(0).json()["outcome"], "nothing");
    let status = idcsync.run_json(&["status"]).exits(0).json();
    assert_eq!((&status["schema"], &status["linkedUsers"]), (&"idcsync/status/v1".into(), &20.into()));
    let check = idcsync.run_json(&["check"]).exits(0).json();
    assert_eq!((&check["schema"], &check["ok"]), (&"idcsync/check/v1".into(), &true.into()));

    let mut fewer = export();
    fewer.members("Team").truncate(13);
    idcsync.write("directory.ldif", &fewer.text());
    let held = idcsync.run_json(&["sync"]).exits(4).json();
    let id = held["plan"]["id"]
        .as_str()
        .or_else(|| held["plan"]["plan"].as_str())
        .expect("a plan's id")
        .to_owned();
    let shown = idcsync.run_json(&["approve", &id, "--show"]).exits(0).json();
    assert_eq!((&shown["schema"], &shown["approvedUntil"]), (&"idcsync/approval/v1".into(), &Value::Null));
    assert_eq!(shown["steps"].as_array().map(Vec::len), Some(7));
    let approved = idcsync.run_json(&["approve", &id]).exits(0).json();
    assert!(approved["approvedUntil"].is_string(), "{approved}");
    assert_eq!(idcsync.run_json(&["status"]).exits(0).json()["approvals"], 7);
}

#[test]
fn data_goes_to_stdout_and_everything_else_to_stderr() {
    let idcsync = bench();
    let run = idcsync.run(&["sync", "--dry-run"]).exits(0).complains("Dry run: nothing was written.");
    assert!(run.stdout.starts_with("Plan "), "{}", run.report());
    // In a pipe, the log is JSON, line by line.
    for line in run.stderr.lines().filter(|line| line.starts_with('{')) {
        serde_json::from_str::<Value>(line).expect("a log line of JSON");
    }
    let quiet = idcsync.run(&["sync", "-q"]).exits(0);
    assert_eq!(quiet.stderr, "");
    let first = run.stdout.lines().next();
    assert_eq!(quiet.stdout.lines().next(), first);
    let verbose = idcsync.run(&["sync", "-v"]).exits(0);
    assert!(verbose.stderr.contains("planned"), "{}", verbose.report());
}

#[test]
fn colours_are_for_terminals_and_for_those_who_ask() {
    let idcsync = bench();
    let dry = ["sync", "--dry-run"];
    idcsync.run(&dry).exits(0).never_says("\u{1b}[");
    idcsync.run(&[&dry[..], &["--color", "always"]].concat()).exits(0).says("\u{1b}[32m+ ");
    idcsync.run(&[&dry[..], &["--color", "never"]].concat()).exits(0).never_says("\u{1b}[");
    // On a terminal, unless NO_COLOR says otherwise.
    let on_a_terminal = |no_color: &str| {
        let command = idcsync.command(&dry);
        let program: Vec<_> = std::iter::once(command.get_program()).chain(command.get_args()).collect();
        let line = program.iter().map(|word| word.to_str().unwrap()).collect::<Vec<_>>().join(" ");
        let mut script = Command::new("script");
        script.args(["-qec", &line, "/dev/null"]).stdin(Stdio::null()).env("NO_COLOR", no_color);
        script.current_dir(command.get_current_dir().unwrap());
        let output = script.output().expect("script(1)");
        String::from_utf8(output.stdout).unwrap()
    };
    assert!(on_a_terminal("").contains("\u{1b}[32m+ p00@ex.test"));
    let plain = on_a_terminal("1");
    assert!(plain.contains("+ p00@ex.test") && !plain.contains("\u{1b}[32m"), "{plain:?}");
}

#[test]
fn a_reader_who_has_seen_enough_is_no_failure() {
    let idcsync = offline(&Export::of(3_000).group("Team", people(0..3_000)), &["Team"]);
    for arguments in
        [&["sync", "--dry-run"][..], &["sync", "--dry-run", "--output", "json"], &["completions", "bash"]]
    {
        let mut command = idcsync.command(arguments);
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        drop(child.stdout.take());
        let output = child.wait_with_output().unwrap();
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(0), "{stderr}");
        assert!(!stderr.contains("panicked") && !stderr.contains("error"), "{stderr}");
    }
    // A disk that is full is one.
    let full = std::fs::File::options().write(true).open("/dev/full").unwrap();
    let output = idcsync.command(&["sync", "--dry-run"]).stdout(full).output().unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{stderr}");
    assert!(stderr.contains("stdout cannot be written"), "{stderr}");
}

#[test]
fn scripts_can_ask_for_more_exit_codes() {
    let mut export = export();
    let idcsync = offline(&export, &["Team"]);
    idcsync.run(&["sync", "--dry-run"]).exits(0);
    idcsync.run(&["sync", "--dry-run", "--detailed-exitcode"]).exits(8);
    idcsync.run(&["sync"]).exits(0);
    idcsync.run(&["sync", "--dry-run", "--detailed-exitcode"]).exits(0);
    idcsync.run(&["sync", "--strict"]).exits(0);
    export.people.get_mut("p07").unwrap().mail = String::new();
    let text = export.text().replace("mail: \n", "");
    idcsync.write("directory.ldif", &text);
    idcsync.run(&["sync"]).exits(0).says("EmailMissing");
    idcsync.run(&["sync", "--strict"]).exits(3);
    idcsync.run(&["sync", "--strict", "--dry-run"]).exits(3);
}
