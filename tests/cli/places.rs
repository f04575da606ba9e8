//! State databases and stores that are missing, read-only, full or in use.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use super::support::dirs;
use super::support::export::{Export, people};
use super::support::idcsync::{Idcsync, Sandbox, is_write};
use super::{offline, offline_config, online};

fn small() -> Export {
    Export::of(8).group("Team", people(0..8))
}

#[test]
fn a_place_that_is_not_there_is_not_made_up() {
    let idcsync = offline(&small(), &["Team"]);
    let config = offline_config(&["Team"]);
    idcsync.configure(&config.replace("sqlite:state.db", "sqlite:nowhere/state.db"));
    for arguments in [&["sync"][..], &["sync", "--dry-run"], &["status"]] {
        idcsync.run(arguments).exits(6).complains("nowhere for the state database does not exist: create it");
    }
    idcsync.run(&["check"]).exits(6).says("✗ state database: the directory ").says("✓ group Team");
    let check = idcsync.run_json(&["check"]).exits(6).json();
    assert_eq!((check["schema"].as_str(), check["ok"].as_bool()), (Some("idcsync/check/v1"), Some(false)));

    idcsync.configure(&config.replace("store.json", "nowhere/store.json"));
    idcsync.run(&["sync"]).exits(6).complains("nowhere/store.json").complains("No such file");
    assert!(!idcsync.path("nowhere").exists());
    idcsync.configure(&config.replace("directory.ldif", "nowhere.ldif"));
    idcsync.run(&["sync"]).exits(6).complains("nowhere.ldif").complains("No such file");
}

/// A command that runs with nothing of root's power over files (for root alone; others have none).
fn without_power(command: &Command) -> Command {
    let mut weak = Command::new("setpriv");
    if fs::metadata("/proc/self").is_ok_and(|me| std::os::unix::fs::MetadataExt::uid(&me) == 0) {
        weak.args(["--bounding-set", "-all", "--inh-caps", "-all", "--"]);
    }
    weak.arg(command.get_program()).args(command.get_args()).stdin(Stdio::null());
    weak.current_dir(command.get_current_dir().expect("a directory"));
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => weak.env(name, value),
            None => weak.env_remove(name),
        };
    }
    weak
}

#[test]
fn a_place_that_cannot_be_written_is_said() {
    let idcsync = offline(&small(), &["Team"]);
    let config = offline_config(&["Team"]);
    let place = idcsync.path("locked");
    fs::create_dir(&place).unwrap();
    idcsync.configure(&config.replace("sqlite:state.db", "sqlite:locked/state.db"));
    fs::set_permissions(&place, fs::Permissions::from_mode(0o555)).unwrap();
    let output = without_power(&idcsync.command(&["sync"])).output().expect("setpriv");
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(6), "{stderr}");
    assert!(stderr.contains("locked/state.db") && stderr.contains("Permission denied"), "{stderr}");
    // A database that is there and may only be read is still good for looking.
    fs::set_permissions(&place, fs::Permissions::from_mode(0o755)).unwrap();
    idcsync.run(&["sync"]).exits(0);
    for file in fs::read_dir(&place).unwrap().flatten() {
        fs::set_permissions(file.path(), fs::Permissions::from_mode(0o444)).unwrap();
    }
    fs::set_permissions(&place, fs::Permissions::from_mode(0o555)).unwrap();
    let run = |arguments: &[&str]| {
        let output = without_power(&idcsync.command(arguments)).output().expect("setpriv");
        let text =
            format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        (output.status.code(), text)
    };
    let (code, text) = run(&["status"]);
    assert_eq!(code, Some(0), "{text}");
    assert!(
        text.contains("8 users and 1 groups linked") || text.contains("8 users and 1 group linked"),
        "{text}"
    );
    let (code, text) = run(&["sync", "--dry-run"]);
    assert_eq!(code, Some(0), "{text}");
    let (code, text) = run(&["sync"]);
    assert_eq!(code, Some(6), "{text}");
    assert!(text.contains("error: the state database cannot be used"), "{text}");
    fs::set_permissions(&place, fs::Permissions::from_mode(0o755)).unwrap();
}

#[test]
fn a_disk_that_is_full_costs_no_change() {
    let sandbox = Sandbox::start();
    let export = Export::of(400).group("Team", people(0..3));
    let scope = ["Team", "Many"];
    let idcsync = online(&export, &scope, &sandbox);
    idcsync.run(&["sync"]).exits(0).says("ScopeEntryNotFound");
    let export = export.group("Many", people(0..400));
    idcsync.write("directory.ldif", &export.text());
    // No file of it may grow past so many blocks of 512 bytes: as good as a full disk.
    let command = idcsync.command(&["sync"]);
    let mut limited = Command::new("/bin/sh");
    limited.args(["-c", r#"ulimit -f 140; trap "" XFSZ; exec "$@""#, "sh"]);
    limited.arg(command.get_program()).args(command.get_args()).stdin(Stdio::null());
    limited.current_dir(command.get_current_dir().unwrap());
    for (name, value) in command.get_envs() {
        if let Some(value) = value {
            limited.env(name, value);
        }
    }
    let output = limited.output().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(6), "{stderr}");
    assert!(stderr.contains("error: "), "{stderr}");
    // What was done before it was full is known or found again.
    idcsync.run(&["sync"]).exits(0);
    export.expected(&scope).assert_same(&sandbox.store().contents());
    let (_, requests) = sandbox.requests_of(|| idcsync.run(&["sync"]).exits(0).says("Nothing to do"));
    assert!(requests.is_empty());
}

#[test]
fn one_cycle_at_a_time() {
    let sandbox = Sandbox::start_with(&["--latency-ms", "1000"]);
    let idcsync = online(&small(), &["Team"], &sandbox);
    let mut first = idcsync.command(&["sync"]);
    let mut first = first.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    wait_for_a_write(&sandbox);
    idcsync.run(&["sync"]).exits(0).complains("Another cycle is at work on d-1234567890");
    idcsync.run(&["sync", "--strict"]).exits(7);
    // Looking is always possible.
    idcsync.run(&["status"]).exits(0);
    idcsync.run(&["sync", "--dry-run"]).exits(0);
    assert_eq!(first.wait().unwrap().code(), Some(0));
    small().expected(&["Team"]).assert_same(&sandbox.store().contents());
    assert!(!sandbox.requests().iter().any(|request| request["outcome"] == "ConflictException"));
    idcsync.run(&["sync", "--strict"]).exits(0).says("Nothing to do");
}

#[test]
fn one_cycle_at_a_time_with_the_sandbox_in_the_process_too() {
    let export = Export::of(60).group("Team", people(0..60)).group("Crew", people(0..60));
    let idcsync = offline(&export, &["Team", "Crew"]);
    idcsync.configure(&offline_config(&["Team", "Crew"]).replace("100000", "60"));
    let mut first = idcsync.command(&["sync"]);
    let mut first = first.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    sleep(Duration::from_millis(600));
    idcsync.run(&["sync"]).exits(0).complains("Another cycle is at work");
    first.kill().unwrap();
    first.wait().unwrap();
}

fn wait_for_a_write(sandbox: &Sandbox) {
    let begun = Instant::now();
    while !sandbox.requests().iter().any(is_write) {
        assert!(begun.elapsed() < Duration::from_secs(30), "no write");
        sleep(Duration::from_millis(5));
    }
}

#[test]
fn the_quickstart_works_as_its_sample_says() {
    let home = dirs::private();
    for name in ["config", "target", "testdata"] {
        fs::create_dir(home.path().join(name)).unwrap();
    }
    for name in ["config/quickstart.toml", "testdata/quickstart.ldif"] {
        fs::copy(dirs::root().join(name), home.path().join(name)).unwrap();
    }
    let idcsync = Idcsync::new("");
    let config = home.path().join("config/quickstart.toml");
    let config = config.to_str().unwrap();
    let run = |arguments: &[&str]| idcsync.run(&[arguments, &["--config", config]].concat());
    run(&["check"]).exits(0).says("no cycle yet");
    run(&["sync"])
        .exits(0)
        .says("15 users to create, 7 groups to create, 36 memberships to add")
        .says("Applied: 58 done.");
    run(&["sync"]).exits(0).says("Nothing to do: the target is as the directory has it.");
    run(&["status"]).exits(0).says("15 users and 7 groups linked, 36 memberships").says("Maya");
}
