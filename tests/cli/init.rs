//! A first config, without a terminal and with one.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::process::{Command, Stdio};

use serde_json::json;

use super::support::export::{Export, people};
use super::support::idcsync::Idcsync;

fn bench() -> Idcsync {
    let idcsync = Idcsync::new("");
    fs::remove_file(idcsync.path("idcsync.toml")).unwrap();
    let export = Export::of(6)
        .group("AWS-Team", people(0..2))
        .group("Large", people(0..6))
        .group("Empty", people(0..0));
    idcsync.write("export.ldif", &export.text());
    idcsync
}

#[test]
fn what_is_missing_is_said_at_once() {
    let idcsync = bench();
    let before = idcsync.files();
    let refused = |arguments: &[&str], why: &str| {
        idcsync.run(&[&["init"], arguments].concat()).exits(2).complains(why);
    };
    refused(&[], "these are missing: --directory-url (or --ldif), --bind-dn, --password-file, --group");
    refused(
        &["--directory-url", "ldaps://x", "--group", "y"],
        "these are missing: --bind-dn, --password-file",
    );
    // Those named for AWS first, then the largest.
    refused(
        &["--ldif", "export.ldif"],
        "among others: AWS-Team (2 direct members), Large (6 direct members)",
    );
    refused(&["--ldif", "export.ldif", "--group", "Nope"], "no group of the directory is called Nope");
    refused(
        &["--ldif", "export.ldif", "--group", "Large", "--profile", "a b"],
        "cannot be the name of a profile",
    );
    refused(&["--ldif", "missing.ldif", "--group", "Large"], "missing.ldif");
    refused(&["--target", "scim", "--ldif", "export.ldif"], "--scim-url");
    let file = idcsync.path("export.ldif");
    let password = file.to_str().unwrap();
    let closed = ["init", "--directory-url", "ldaps://127.0.0.1:1", "--bind-dn", "cn=x", "--group", "y"];
    idcsync.run(&[&closed[..], &["--password-file", password]].concat()).exits(6).complains("cannot connect");
    assert!(idcsync.files() == before, "nothing was written");
}

#[test]
fn a_rehearsal_from_an_export() {
    let idcsync = bench();
    let flags = ["init", "--ldif", "export.ldif", "--group", "AWS-Team", "--group", "cn=Large,dc=EX,dc=test"];
    idcsync
        .run(&flags)
        .exits(0)
        .complains("Written: idcsync.toml.")
        .says("Dry run of profile ex-rehearsal: 6 users to create, 2 groups to create, 8 memberships to add.")
        .says("idcsync sync --dry-run");
    let path = idcsync.path("idcsync.toml");
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    let text = fs::read_to_string(&path).unwrap();
    assert!(text.contains("    \"AWS-Team\", # 2 direct members\n"), "{text}");
    let names: Vec<_> = idcsync.files().into_keys().collect();
    assert_eq!(names.len(), 2, "nothing but the config: {names:?}");

    idcsync
        .run(&["init", "--ldif", "export.ldif", "--group", "Large"])
        .exits(2)
        .complains("idcsync.toml exists");
    assert_eq!(fs::read_to_string(&path).unwrap(), text);
    idcsync.run(&["check"]).exits(0);
    idcsync.run(&["sync"]).exits(0).says("Applied: 16 done.");
    fs::remove_file(&path).unwrap();
    let json = idcsync.run_json(&flags).exits(0).json();
    assert_eq!((&json["schema"], &json["steps"]), (&json!("idcsync/init/v1"), &json!(0)), "{json}");
}

/// As somebody who types.
#[test]
fn a_terminal_is_asked_for_groups() {
    let idcsync = bench();
    let program = env!("CARGO_BIN_EXE_idcsync");
    let mut script = Command::new("script");
    script.current_dir(idcsync.path("")).args([
        "-qec",
        &format!("{program} init --ldif export.ldif"),
        "/dev/null",
    ]);
    let mut child = script.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("script, of bsdutils");
    child.stdin.as_mut().unwrap().write_all(b"Nope\n1, Large\ny\n").unwrap();
    let output = child.wait_with_output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    for said in [
        "1  AWS-Team (2 direct members)",
        "no group of the directory is called Nope",
        "Write idcsync.toml? [Y/n]",
    ] {
        assert!(text.contains(said), "{said}: {text}");
    }
    assert_eq!(output.status.code(), Some(0), "{text}");
    let written = fs::read_to_string(idcsync.path("idcsync.toml")).unwrap();
    assert!(written.contains("\"AWS-Team\"") && written.contains("\"Large\""), "{written}");
}
