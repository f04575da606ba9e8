//! Who may read what is written, whatever the umask; and links that somebody else put in its way.

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt as _, lchown, symlink};
use std::path::{Path, PathBuf};

use super::support::idcsync::Idcsync;
use super::support::ports::Loopback;
use super::support::process::output;
use super::support::service::{self, Service};
use super::{export, is_root, through};
use crate::support::export::Export;

/// `out` is where everything is written, beside the config.
fn bench(out: &str) -> Idcsync {
    let idcsync = Idcsync::new(&format!(
        "profile = \"p\"\n{}\n[target]\nkind = \"sandbox\"\nstore = \"{out}/store.json\"\n\
         request-log = \"{out}/requests.jsonl\"\nrequests-per-second = 100000\n\
         [state]\nurl = \"sqlite:{out}/state.db\"\n[log]\nerror-log = \"{out}/errors.jsonl\"\n\
         [metrics]\ntextfile = \"{out}/idcsync.prom\"\n",
        Export::config(&["Team"])
    ));
    idcsync.write("directory.ldif", &export().text());
    fs::create_dir(idcsync.path(out)).unwrap();
    idcsync
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

/// Name and mode of all that is there.
fn modes(dir: &Path) -> Vec<(String, u32)> {
    let entries = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap());
    let mut modes: Vec<_> =
        entries.map(|e| (e.file_name().into_string().unwrap(), mode(&e.path()))).collect();
    modes.sort();
    modes
}

/// Runs it with this umask; its exit code and stderr.
fn run_under(umask: &str, idcsync: &Idcsync, arguments: &[&str]) -> (Option<i32>, String) {
    let script = format!("umask {umask}; exec \"$0\" \"$@\"");
    let output = output(&mut through("/bin/sh", &["-c", &script], &idcsync.command(arguments)));
    (output.status.code(), String::from_utf8(output.stderr).unwrap())
}

#[test]
fn what_is_written_is_the_owners_alone_whatever_the_umask() {
    for umask in ["000", "022", "077"] {
        let idcsync = bench("out");
        let (code, told) = run_under(umask, &idcsync, &["sync", "--dry-run", "--out", "out/plan.json"]);
        assert_eq!(code, Some(0), "{told}");
        let (code, told) = run_under(umask, &idcsync, &["sync"]);
        assert_eq!(code, Some(0), "{told}");
        let expected = [
            ("errors.jsonl", 0o600),
            // Numbers, for a node exporter that runs as somebody else.
            ("idcsync.prom", 0o644),
            ("plan.json", 0o600),
            ("requests.jsonl", 0o600),
            ("state.db", 0o600),
            ("store.json", 0o600),
            ("store.json.lock", 0o600),
        ]
        .map(|(name, mode)| (name.to_owned(), mode));
        assert_eq!(modes(&idcsync.path("out")), expected, "umask {umask}");
        let metrics = fs::read_to_string(idcsync.path("out/idcsync.prom")).unwrap();
        assert!(metrics.contains("idcsync_") && !metrics.contains("p07"), "{metrics}");
        assert!(!told.contains("chmod"), "{told}");
    }
}

#[test]
fn what_lies_beside_an_open_database_is_the_owners_alone_too() {
    let idcsync = bench("out");
    let address = Loopback::claim();
    let config = fs::read_to_string(idcsync.path("idcsync.toml")).unwrap();
    idcsync.configure(&format!("{config}{}[schedule]\ncron = \"0 0 29 2 *\"\n", service::config(&address)));
    idcsync.write("http-token", "opensesame-opensesame\n");
    let command = idcsync.command(&["run"]);
    let script = ["-c", "umask 000; exec \"$0\" \"$@\""];
    let service = Service::start_as(through("/bin/sh", &script, &command), &idcsync, &address, "service");
    service.wait_for("cycle finished", 1);
    for name in ["state.db", "state.db-wal", "state.db-shm"] {
        assert_eq!(mode(&idcsync.path("out").join(name)), 0o600, "{name}");
    }
}

#[test]
fn what_was_laxer_is_made_anew_or_warned_of_and_never_loosened() {
    let idcsync = bench("out");
    idcsync.run(&["sync", "--dry-run", "--out", "out/plan.json"]).exits(0);
    idcsync.run(&["sync"]).exits(0);
    let at = |name: &str| idcsync.path("out").join(name);
    for name in ["errors.jsonl", "plan.json", "state.db", "store.json"] {
        fs::set_permissions(at(name), Permissions::from_mode(0o666)).unwrap();
    }
    // Another finding, another change.
    let mut changed = export();
    changed.person("p06").family_name = String::new();
    changed.person("p01").display_name = "Renamed".to_owned();
    idcsync.write("directory.ldif", &changed.text());
    idcsync.run(&["sync", "--dry-run", "--out", "out/plan.json"]).exits(0);
    idcsync
        .run(&["sync"])
        .exits(0)
        .complains("the state database is not idcsync's alone: every user of this machine has access to it: chmod o= it")
        .complains("names people, and every user of this machine has access to it: chmod o= it");
    assert_eq!((mode(&at("plan.json")), mode(&at("store.json"))), (0o600, 0o600));
    assert_eq!((mode(&at("errors.jsonl")), mode(&at("state.db"))), (0o666, 0o666));

    // A group that is meant to read along is no reason to say anything; and one that has less keeps it.
    for (name, mode) in [("errors.jsonl", 0o640), ("state.db", 0o600)] {
        fs::set_permissions(at(name), Permissions::from_mode(mode)).unwrap();
    }
    idcsync.write("directory.ldif", &export().text());
    idcsync.run(&["sync"]).exits(0).never_says("chmod");
    assert_eq!((mode(&at("errors.jsonl")), mode(&at("state.db"))), (0o640, 0o600));

    fs::set_permissions(idcsync.path("out"), Permissions::from_mode(0o777)).unwrap();
    idcsync.run(&["status"]).exits(0);
    idcsync.run(&["sync"]).exits(0).complains("can put files beside the state database");
}

/// A file of somebody else, and links to it by these names, that somebody else made.
fn plant(dir: &Path, names: &[&str]) -> PathBuf {
    const NOBODY: u32 = 65534;
    let victim = dir.parent().unwrap().join("victim");
    fs::write(&victim, "theirs").unwrap();
    fs::set_permissions(dir, Permissions::from_mode(0o777)).unwrap();
    for name in names {
        let link = dir.join(name);
        symlink(&victim, &link).unwrap();
        lchown(&link, Some(NOBODY), Some(NOBODY)).unwrap();
    }
    victim
}

#[test]
fn links_that_somebody_else_planted_are_not_written_through() {
    // Only root can make a link that is another user's.
    if !is_root() {
        return;
    }
    let idcsync = bench("out");
    let victim = plant(&idcsync.path("out"), &["plan.json"]);
    idcsync
        .run(&["sync", "--dry-run", "--out", "out/plan.json"])
        .exits(1)
        .complains("out/plan.json")
        .complains("it is a link that belongs to another user");
    assert_eq!(fs::read_to_string(&victim).unwrap(), "theirs");

    // The sync itself does not hang on the error log; the files of the rehearsal are replaced.
    let idcsync = bench("out");
    let names = ["errors.jsonl", "idcsync.prom", "store.json.log", "store.json.tmp"];
    let victim = plant(&idcsync.path("out"), &names);
    idcsync.run(&["sync"]).exits(0).complains("it is a link that belongs to another user");
    assert_eq!(fs::read_to_string(&victim).unwrap(), "theirs");
    assert!(fs::read_to_string(idcsync.path("out/idcsync.prom")).unwrap().contains("idcsync_"));

    for name in ["requests.jsonl", "store.json.lock"] {
        let idcsync = bench("out");
        let victim = plant(&idcsync.path("out"), &[name]);
        idcsync.run(&["sync"]).exits(6).complains("it is a link that belongs to another user");
        assert_eq!(fs::read_to_string(&victim).unwrap(), "theirs");
    }
}

#[test]
fn links_of_ones_own_lead_where_they_are_meant_to() {
    let idcsync = bench("out");
    let elsewhere = idcsync.path("elsewhere");
    fs::create_dir(&elsewhere).unwrap();
    for name in ["errors.jsonl", "plan.json"] {
        fs::write(elsewhere.join(name), "").unwrap();
        symlink(elsewhere.join(name), idcsync.path("out").join(name)).unwrap();
    }
    idcsync.run(&["sync", "--dry-run", "--out", "out/plan.json"]).exits(0);
    idcsync.run(&["sync"]).exits(0);
    assert!(fs::read_to_string(elsewhere.join("errors.jsonl")).unwrap().contains("error_code"));
    assert!(fs::read_to_string(elsewhere.join("plan.json")).unwrap().contains("idcsync/plan/"));
    assert_eq!(mode(&elsewhere.join("plan.json")), 0o600);
    // Standard error is such a link.
    let config = fs::read_to_string(idcsync.path("idcsync.toml")).unwrap();
    idcsync.configure(&config.replace("out/errors.jsonl", "/dev/stderr"));
    let mut changed = export();
    changed.person("p06").family_name = String::new();
    idcsync.write("directory.ldif", &changed.text());
    idcsync.run(&["sync"]).exits(0).complains("\"error_code\":\"RequiredAttributeMissing\"");
}
