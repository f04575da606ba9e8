//! What the documents say of the program is held to what it is.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

#[path = "docs/configuration.rs"]
mod configuration;

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

/// `explain` says what to do in the words of the document.
#[test]
fn the_remedies_are_those_of_the_document() {
    let text = read("docs/errors.md");
    for row in text.lines().filter(|l| l.starts_with("| `")) {
        let cells: Vec<&str> = row.trim_matches('|').split('|').map(str::trim).collect();
        let code = Code::parse(cells[0].trim_matches('`')).unwrap();
        assert_eq!(code.remedy(), cells[2], "{code}");
    }
}

fn pages() -> Vec<String> {
    let docs = fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs")).unwrap();
    let docs = docs.map(|entry| format!("docs/{}", entry.unwrap().file_name().to_str().unwrap()));
    let others = ["README.md", "CHANGELOG.md", "deploy/README.md"].map(str::to_owned);
    docs.chain(others).filter(|name| name.ends_with(".md")).collect()
}

/// What a heading is called in a link.
fn anchor(heading: &str) -> String {
    let kept = heading.to_lowercase();
    let kept = kept.chars().filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
    kept.map(|c| if c == ' ' { '-' } else { c }).collect()
}

fn anchors(text: &str) -> BTreeSet<String> {
    let mut in_block = false;
    let mut found = BTreeSet::new();
    for line in text.lines() {
        in_block ^= line.trim_start().starts_with("```");
        if !in_block && line.starts_with('#') {
            found.insert(anchor(line.trim_start_matches('#').trim()));
        }
    }
    found
}

/// Links between documents, and to files of the tree, lead somewhere; those to a section, to one that is there.
#[test]
fn links_lead_somewhere() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut links = 0;
    for name in pages() {
        let text = read(&name);
        let here = root.join(&name).parent().unwrap().to_owned();
        for (at, _) in text.match_indices("](") {
            let link = text[at + 2..].split(')').next().unwrap();
            if link.contains("://") {
                continue;
            }
            let (file, section) = link.split_once('#').unwrap_or((link, ""));
            let path = if file.is_empty() { root.join(&name) } else { here.join(file) };
            assert!(path.exists(), "{name}: {link}");
            if !section.is_empty() {
                assert!(anchors(&fs::read_to_string(path).unwrap()).contains(section), "{name}: {link}");
            }
            links += 1;
        }
    }
    assert!(links > 100, "{links}");
}

/// Every page is found from the README.
#[test]
fn the_readme_names_every_page() {
    let readme = read("README.md");
    for name in pages().iter().filter(|name| name.starts_with("docs/")) {
        assert!(readme.contains(&format!("]({name})")), "{name}");
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
