//! Holds the Dockerfile to what is promised of the image, as far as that shows without building it; `make test-image`
//! builds it and sees the rest.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(name: &str) -> String {
    fs::read_to_string(root().join(name)).unwrap()
}

/// An instruction, in capitals, and its words on one line.
#[derive(Debug)]
struct Instruction {
    name: String,
    words: String,
}

/// The instructions of each stage, FROM first.
fn stages() -> Vec<Vec<Instruction>> {
    let lines: Vec<String> =
        read("Dockerfile").lines().filter(|l| !l.starts_with('#')).map(|l| l.trim_end().to_owned()).collect();
    let text = lines.join("\n").replace("\\\n", " ");
    let mut stages: Vec<Vec<Instruction>> = Vec::new();
    for line in text.lines().filter(|l| !l.is_empty()) {
        let (name, words) = line.split_once(' ').unwrap();
        let instruction = Instruction { name: name.to_owned(), words: words.trim().to_owned() };
        if name == "FROM" {
            stages.push(vec![instruction]);
        } else {
            stages.last_mut().unwrap().push(instruction);
        }
    }
    stages
}

fn all<'a>(stage: &'a [Instruction], name: &str) -> Vec<&'a str> {
    stage.iter().filter(|i| i.name == name).map(|i| i.words.as_str()).collect()
}

/// Its only one, in the exec form: no shell is there to take it apart.
fn exec(stage: &[Instruction], name: &str) -> Vec<String> {
    let found = all(stage, name);
    assert_eq!(found.len(), 1, "{name}");
    let list = found[0].split_once('[').map(|(_, rest)| format!("[{rest}")).unwrap();
    serde_json::from_str(&list).unwrap()
}

#[test]
fn the_last_stage_starts_from_nothing_and_takes_all_from_the_build() {
    let stages = stages();
    let [build, last] = stages.as_slice() else { panic!("{stages:?}") };
    assert_eq!(last[0].words, "scratch");
    assert!(all(last, "RUN").is_empty(), "there is no shell");
    for copy in all(last, "COPY") {
        assert!(copy.starts_with("--from=build "), "{copy}");
    }
    // A name without a registry and with a version, whose Rust is new enough.
    let base = build[0].words.strip_suffix(" AS build").unwrap();
    let version = base.strip_prefix("rust:").and_then(|t| t.split_once('-')).unwrap().0;
    let numbers = |v: &str| v.split('.').map(|n| n.parse().unwrap()).collect::<Vec<u32>>();
    assert!(numbers(version) >= numbers(env!("CARGO_PKG_RUST_VERSION"))[..2].to_vec(), "{version}");
    assert!(!read("Dockerfile").contains(":latest"));
}

#[test]
fn the_image_runs_the_service_as_a_number() {
    let stages = stages();
    let last = stages.last().unwrap();
    assert_eq!(exec(last, "ENTRYPOINT"), ["/idcsync"]);
    assert_eq!(exec(last, "CMD"), ["run"]);
    assert_eq!(exec(last, "HEALTHCHECK"), ["/idcsync", "health"]);
    assert_eq!(exec(last, "VOLUME"), ["/var/lib/idcsync"]);
    assert_eq!(all(last, "STOPSIGNAL"), ["SIGTERM"]);
    let user = all(last, "USER");
    let ids: Vec<u32> = user.last().unwrap().split(':').map(|id| id.parse().unwrap()).collect();
    assert!(ids.len() == 2 && ids.iter().all(|id| *id != 0), "{user:?}");
    // The volume is the user's own.
    let volume = format!("--chown={} /volume/ /var/lib/", user[0]);
    assert!(all(last, "COPY").iter().any(|c| c.ends_with(&volume)), "{volume}");
    // The database that the config has by default is in the volume.
    assert!(read("config/reference.toml").contains("sqlite:///var/lib/idcsync/state.db"));
    assert!(all(last, "ENV")[0].contains("IDCSYNC_CONFIG=/etc/idcsync/idcsync.toml"));
}

#[test]
fn labels_say_what_the_crate_says() {
    let stages = stages();
    let last = stages.last().unwrap();
    let label = all(last, "LABEL")[0];
    for (name, value) in [
        ("title", env!("CARGO_PKG_NAME")),
        ("description", env!("CARGO_PKG_DESCRIPTION")),
        ("licenses", "MIT OR Apache-2.0"),
        ("version", "$VERSION"),
        ("revision", "$REVISION"),
    ] {
        let expected = format!("org.opencontainers.image.{name}=\"{value}\"");
        assert!(label.contains(&expected), "{expected}");
    }
    assert!(read("Cargo.toml").contains("license = \"MIT OR Apache-2.0\""));
    // A build without scripts/image.sh has the right version, too.
    for stage in &stages {
        let version = concat!("VERSION=", env!("CARGO_PKG_VERSION"));
        assert!(all(stage, "ARG").contains(&version), "{stage:?}");
    }
}

/// Nothing reaches the builder but what is named, and all that is named is there.
#[test]
fn the_context_holds_what_the_build_needs_and_no_more() {
    let text = read(".dockerignore");
    let mut lines = text.lines().filter(|l| !l.is_empty() && !l.starts_with('#'));
    assert_eq!(lines.next(), Some("*"));
    let allowed: Vec<PathBuf> = lines.map(|l| PathBuf::from(l.strip_prefix('!').unwrap())).collect();
    for path in &allowed {
        assert!(root().join(path).exists(), "{}", path.display());
    }
    for needed in [
        "Cargo.toml",
        "Cargo.lock",
        "askama.toml",
        "src",
        "templates",
        "migrations",
        "LICENSE-APACHE",
        "LICENSE-MIT",
    ] {
        assert!(allowed.contains(&PathBuf::from(needed)), "{needed}");
    }
    let build = &stages()[0];
    assert!(all(build, "RUN").iter().any(|r| r.contains("--locked --no-default-features")));
}

#[test]
fn hadolint_finds_nothing() {
    let program = root().join("target/rig/venv/bin/hadolint");
    assert!(program.exists(), "{} is missing: make setup", program.display());
    let output = Command::new(program).arg("--no-color").arg(root().join("Dockerfile")).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
}
