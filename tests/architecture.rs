//! Holds the import rules of docs/ARCHITECTURE.md: each room knows only those before it, and the middle is pure.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// What each room may import from the crate, beside itself.
const ROOMS: &[(&str, &[&str])] = &[
    ("printable", &[]),
    ("markup", &[]),
    ("ids", &[]),
    ("secret", &[]),
    ("deadline", &[]),
    ("process", &[]),
    ("private_file", &[]),
    ("model", &["ids"]),
    ("scope", &["ids", "model"]),
    ("mapping", &["ids", "model"]),
    ("plan", &["ids", "model", "scope", "mapping"]),
    ("explain", &["ids", "model", "scope", "mapping", "plan"]),
    ("schedule", &[]),
    ("directory", &["ids", "model", "secret"]),
    ("target", &["ids", "model", "secret", "deadline", "sandbox"]),
    ("state", &["ids", "model", "secret", "deadline", "private_file"]),
    ("sandbox", &["secret", "private_file"]),
    ("apply", &["ids", "model", "plan", "target"]),
    ("config", &["ids", "model", "secret", "directory", "mapping", "plan", "schedule", "state", "target"]),
    (
        "cycle",
        &["ids", "model", "scope", "mapping", "plan", "explain", "directory", "target", "state", "apply"],
    ),
    ("telemetry", &["ids", "model", "plan", "directory", "state", "config", "private_file"]),
    (
        "service",
        &["ids", "secret", "model", "plan", "state", "config", "cycle", "telemetry", "run", "schedule"],
    ),
    (
        "run",
        &[
            "ids",
            "model",
            "scope",
            "plan",
            "explain",
            "directory",
            "target",
            "state",
            "config",
            "cycle",
            "telemetry",
        ],
    ),
    (
        "cli",
        &[
            "ids",
            "model",
            "scope",
            "mapping",
            "plan",
            "explain",
            "schedule",
            "directory",
            "target",
            "state",
            "apply",
            "config",
            "cycle",
            "telemetry",
            "run",
            "service",
            "sandbox",
            "process",
            "private_file",
        ],
    ),
    ("lib", &[]),
    ("main", &["cli"]),
];

/// Know no other room, and any may use them.
const EVERYWHERE: &[&str] = &["printable", "markup"];

/// No I/O, no clock, no randomness, no async.
const PURE: &[&str] =
    &["printable", "markup", "ids", "model", "scope", "mapping", "plan", "explain", "schedule"];
const IMPURE: &[&str] = &[
    "ldap3",
    "aws_",
    "sqlx",
    "reqwest",
    "tokio",
    "axum",
    "futures",
    "std::fs",
    "std::net",
    "std::env",
    "std::process",
    "std::time",
    "SystemTime",
    "Instant",
    "Timestamp::now",
    "Zoned::now",
    "Uuid::new_v4",
    "async fn",
    "async_trait",
    ".await",
];

fn sources(dir: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|e| e == "rs") {
            found.push(path);
        }
    }
}

/// The code of a file that ends up in the product: without comments, and without its tests.
fn product_code(path: &Path) -> String {
    let text = fs::read_to_string(path).unwrap();
    let text = text.split("#[cfg(test)]\nmod tests {").next().unwrap().to_owned();
    text.lines().filter(|l| !l.trim_start().starts_with("//")).collect::<Vec<_>>().join("\n")
}

fn is_test_file(path: &Path) -> bool {
    path.components().any(|c| {
        let name = c.as_os_str().to_string_lossy();
        name == "tests" || name == "tests.rs" || name == "samples.rs" || name.ends_with("_tests.rs")
    })
}

/// Room by room, the files that are part of the product.
fn rooms() -> BTreeMap<String, Vec<(PathBuf, String)>> {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    sources(&src, &mut files);
    let mut rooms: BTreeMap<String, Vec<(PathBuf, String)>> = BTreeMap::new();
    for file in files {
        let inner = file.strip_prefix(&src).unwrap().to_owned();
        if is_test_file(&inner) {
            continue;
        }
        let first = inner.components().next().unwrap().as_os_str().to_string_lossy().into_owned();
        let room = first.strip_suffix(".rs").unwrap_or(&first).to_owned();
        rooms.entry(room).or_default().push((inner, product_code(&file)));
    }
    rooms
}

/// The first names of paths into the crate: `crate::NAME` and `crate::{NAME…, NAME…}`.
fn imported(code: &str, krate: &str) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    let needle = format!("{krate}::");
    for (at, _) in code.match_indices(&needle) {
        // `x_crate::` is another name.
        if code[..at].chars().next_back().is_some_and(|c| c.is_alphanumeric() || c == '_') {
            continue;
        }
        let rest = &code[at + needle.len()..];
        if let Some(group) = rest.strip_prefix('{') {
            let mut depth = 1;
            let mut item = String::new();
            for c in group.chars() {
                match c {
                    '{' => depth += 1,
                    '}' => depth -= 1,
                    _ => {}
                }
                if depth == 0 || (depth == 1 && c == ',') {
                    names.extend(first_name(item.trim()));
                    item.clear();
                    if depth == 0 {
                        break;
                    }
                } else {
                    item.push(c);
                }
            }
        } else {
            names.extend(first_name(rest));
        }
    }
    names
}

fn first_name(path: &str) -> Option<String> {
    let name: String = path.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
    (!name.is_empty()).then_some(name)
}

#[test]
fn every_room_is_known_and_imports_only_what_it_may() {
    let allowed: BTreeMap<&str, &[&str]> = ROOMS.iter().copied().collect();
    let mut broken = Vec::new();
    for (room, files) in rooms() {
        let Some(may) = allowed.get(room.as_str()) else {
            broken.push(format!("src/{room} is no room of docs/ARCHITECTURE.md"));
            continue;
        };
        for (file, code) in files {
            let krate = if room == "main" { "idcsync" } else { "crate" };
            for name in imported(&code, krate) {
                let is_room = allowed.contains_key(name.as_str());
                if is_room
                    && name != room
                    && !EVERYWHERE.contains(&name.as_str())
                    && !may.contains(&name.as_str())
                {
                    broken.push(format!("{} imports {name}, which {room} may not", file.display()));
                }
            }
        }
    }
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}

#[test]
fn the_middle_is_pure() {
    let mut broken = Vec::new();
    for (room, files) in rooms().into_iter().filter(|(room, _)| PURE.contains(&room.as_str())) {
        for (file, code) in files {
            for word in IMPURE.iter().filter(|w| code.contains(**w)) {
                broken.push(format!("{}: `{word}` in {room}, which is pure", file.display()));
            }
        }
    }
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}

/// Only the flattening makes closures, so no other room can invent the proof that somebody is absent; only the guard
/// makes approved plans.
#[test]
fn evidence_and_approval_are_made_in_one_place() {
    let mut broken = Vec::new();
    for (room, files) in rooms() {
        for (file, code) in files {
            for (word, home) in [
                ("Closure::complete(", "scope"),
                ("Closure::incomplete(", "scope"),
                ("ApprovedPlan::new(", "plan"),
            ] {
                if code.contains(word) && room != home {
                    broken.push(format!("{}: {word}…) outside {home}", file.display()));
                }
            }
        }
    }
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}

#[test]
fn the_reader_of_imports_reads() {
    let code = "use crate::{ids::{A, B}, model};\nlet x = crate::plan::y; let z = my_crate::state;";
    assert_eq!(imported(code, "crate"), ["ids", "model", "plan"].map(str::to_owned).into());
}
