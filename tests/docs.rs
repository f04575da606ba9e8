//! What the documents say of the program is held to what it is.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use idcsync::model::Code;

fn read(name: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(name)).unwrap()
}

/// Each row of the tables begins with a code.
#[test]
fn every_code_has_its_cause_and_remedy_and_no_other_has() {
    let text = read("docs/errors.md");
    let mut told = BTreeSet::new();
    for row in text.lines().filter(|l| l.starts_with("| `")) {
        let cells: Vec<&str> = row.trim_matches('|').split('|').map(str::trim).collect();
        assert_eq!(cells.len(), 3, "{row}");
        assert!(cells.iter().all(|c| !c.is_empty()), "{row}");
        assert!(told.insert(cells[0].trim_matches('`').to_owned()), "told twice: {row}");
    }
    let known: BTreeSet<String> = Code::ALL.iter().map(|c| c.name().to_owned()).collect();
    assert_eq!(told, known);
}

/// Links between documents, and to files of the tree, lead somewhere.
#[test]
fn links_lead_somewhere() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    for name in [
        "README.md",
        "CHANGELOG.md",
        "docs/ARCHITECTURE.md",
        "docs/errors.md",
        "docs/getting-started.md",
        "docs/metrics.md",
        "docs/output.md",
        "docs/operations.md",
        "docs/reliability.md",
        "docs/threat-model.md",
        "deploy/README.md",
    ] {
        let text = read(name);
        let here = root.join(name).parent().unwrap().to_owned();
        for (at, _) in text.match_indices("](") {
            let link = text[at + 2..].split(')').next().unwrap();
            if !link.contains("://") && !link.starts_with('#') {
                let file = link.split('#').next().unwrap();
                assert!(here.join(file).exists(), "{name}: {link}");
            }
        }
    }
}

/// The threat model names what holds it.
#[test]
fn the_code_that_the_threat_model_names_is_there() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let text = read("docs/threat-model.md");
    let named: BTreeSet<&str> =
        text.split('`').skip(1).step_by(2).filter(|name| name.ends_with(".rs")).collect();
    assert!(named.len() > 15, "{named:?}");
    for name in named {
        let found = ["", "src", "src/service/http"].iter().any(|dir| root.join(dir).join(name).exists());
        assert!(found, "{name}");
    }
}
