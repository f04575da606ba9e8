//! What is in `deploy/` is held to the program: manifests, alerts, units, policies, configs, and the commands of the manual.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "this is test code, where a panic is the report")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use idcsync::config::Config;

#[path = "deploy/manual.rs"]
mod manual;
#[path = "deploy/mistakes.rs"]
mod mistakes;
#[path = "deploy/policies.rs"]
mod policies;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(name: &str) -> String {
    fs::read_to_string(root().join(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// All files below a directory whose names end so.
fn files(dir: &Path, ending: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path, ending));
        } else if path.to_str().unwrap().ends_with(ending) {
            found.push(path);
        }
    }
    found.sort();
    found
}

/// `scripts/check-deploy.py` with these arguments: whether it was content, and what it said.
fn check(arguments: &[&str]) -> (bool, String) {
    let python = root().join("target/rig/venv/bin/python");
    assert!(python.exists(), "{} is missing: make setup", python.display());
    let output =
        Command::new(python).arg(root().join("scripts/check-deploy.py")).args(arguments).output().unwrap();
    (output.status.success(), String::from_utf8(output.stderr).unwrap())
}

#[test]
fn manifests_are_as_kubernetes_and_we_want_them() {
    assert_eq!(check(&["kubernetes"]), (true, String::new()));
}

#[test]
fn alerts_fire_when_they_should_and_have_a_runbook() {
    assert_eq!(check(&["rules"]), (true, String::new()));
}

#[test]
fn units_are_known_to_systemd_and_hardened() {
    assert_eq!(check(&["systemd"]), (true, String::new()));
}

#[test]
fn the_configs_are_accepted_without_a_warning() {
    let configs = files(&root().join("deploy"), ".toml");
    assert_eq!(configs.len(), 7, "{configs:?}");
    for path in configs {
        match Config::load(&path) {
            Ok(config) => assert!(config.warnings.is_empty(), "{}: {:?}", path.display(), config.warnings),
            Err(error) => panic!("{}: {:#?}", path.display(), error.diagnostics()),
        }
    }
}

/// The source without what is only for tests.
fn sources() -> BTreeMap<PathBuf, String> {
    files(&root().join("src"), ".rs")
        .into_iter()
        .filter(|path| !path.to_str().unwrap().contains("tests"))
        .map(|path| {
            let text = fs::read_to_string(&path).unwrap();
            (path, text)
        })
        .collect()
}

/// The word at the start of `text`.
fn word(text: &str) -> &str {
    text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_').next().unwrap()
}

#[test]
fn alerts_rest_on_metrics_that_there_are() {
    let sources: String = sources().into_values().collect();
    for name in ["idcsync.rules.yml", "idcsync.rules.test.yml", "idcsync-days.rules.test.yml"] {
        let rules = read(&format!("deploy/prometheus/{name}"));
        let used: BTreeSet<&str> =
            rules.match_indices("idcsync_").map(|(at, _)| word(&rules[at..])).collect();
        assert!(used.len() > 4, "{used:?}");
        for metric in used {
            assert!(sources.contains(&format!("\"{metric}\"")), "{name}: no metric {metric}");
        }
    }
}
