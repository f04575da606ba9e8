//! The samples in `config/` are held to what the checker knows.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::{Config, keys};
use crate::directory::DirectorySettings;
use crate::target::TargetSettings;

fn dir() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("config")
}

fn load(name: &str) -> Config {
    Config::load(&dir().join(name)).unwrap_or_else(|error| panic!("{name}: {:?}", error.diagnostics()))
}

#[test]
fn every_sample_loads_without_a_warning() {
    let mut names = Vec::new();
    for entry in std::fs::read_dir(dir()).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        if name.ends_with(".toml") {
            assert!(load(&name).warnings.is_empty(), "{name}");
            names.push(name);
        }
    }
    names.sort();
    assert_eq!(names, ["active-directory.toml", "openldap.toml", "quickstart.toml", "reference.toml"]);
}

#[test]
fn the_quickstart_stays_within_the_repository() {
    let config = load("quickstart.toml");
    assert_eq!(config.profile, "quickstart");
    let DirectorySettings::Ldif(ldif) = &config.directory else { panic!("no ldif") };
    assert_eq!(ldif.file, dir().join("../testdata/quickstart.ldif"));
    let TargetSettings::Sandbox(sandbox) = &config.target else { panic!("no sandbox") };
    assert_eq!(sandbox.store, dir().join("../target/quickstart-store.json"));
    assert_eq!(config.state.base_dir, dir());
    let entries: Vec<_> = config.scope.entries.iter().map(|e| (e.name.as_str(), e.write)).collect();
    assert_eq!(entries, [("AWS-Admins", true), ("AWS-Developers", true), ("AWS-All-Users", false)]);
}

/// The file with the keys that are commented out put in.
fn uncommented(text: &str) -> Vec<String> {
    text.lines()
        .map(|line| match line.strip_prefix('#') {
            Some(key) if !key.is_empty() && !key.starts_with(' ') => key.to_owned(),
            Some(_) => String::new(),
            None => line.to_owned(),
        })
        .collect()
}

/// Dotted paths of all keys of a table; elements of arrays count as the array.
fn paths(table: &DeTable<'_>, above: &str, out: &mut BTreeSet<String>) {
    fn value(v: &Spanned<DeValue<'_>>, path: &str, out: &mut BTreeSet<String>) {
        match v.get_ref() {
            DeValue::Table(table) => paths(table, path, out),
            DeValue::Array(array) => array.iter().for_each(|v| value(v, path, out)),
            _ => {}
        }
    }
    for (key, v) in table {
        let key = key.get_ref();
        let key = if above.starts_with("mapping.") && key.as_ref() != "jmespath" {
            format!("{above}.\"{key}\"")
        } else {
            format!("{above}.{key}")
        };
        let key = key.trim_start_matches('.').to_owned();
        value(v, &key, out);
        out.insert(key);
    }
}

#[test]
fn the_reference_has_every_key_and_no_other() {
    let text = std::fs::read_to_string(dir().join("reference.toml")).unwrap();
    // Line by line, since alternatives give one key several times.
    let (mut found, mut header) = (BTreeSet::new(), String::new());
    for line in uncommented(&text) {
        let is_header = line.starts_with('[');
        if is_header {
            header = format!("{line}\n");
        }
        let document = if is_header { line } else { format!("{header}{line}") };
        let table =
            DeTable::parse(&document).unwrap_or_else(|e| panic!("no line of its own: {document}: {e}"));
        paths(table.get_ref(), "", &mut found);
    }
    found.retain(|path| !path.ends_with(".jmespath"));

    assert_eq!(found, keys::all_keys());
}

/// The reference with every commented key put in, except those that `leave_out` names by their table and key.
fn filled_in(leave_out: impl Fn(&str, &str) -> bool) -> String {
    let text = std::fs::read_to_string(dir().join("reference.toml")).unwrap();
    let (mut header, mut out) = (String::new(), String::new());
    for (line, bare) in text.lines().zip(uncommented(&text)) {
        if line.starts_with('[') {
            header = line.to_owned();
        }
        let key = bare.split(" = ").next().unwrap_or_default();
        if !line.starts_with('#') || !leave_out(&header, key) {
            out.push_str(&bare);
        }
        out.push('\n');
    }
    assert!(out.contains("\nmax-percent = "), "the keys are put in");
    out
}

/// What is commented out as an alternative or an example, and not as a default.
const EXAMPLES: &[&str] = &[
    "discover",
    "bind",
    "tls",
    "file",
    "schema",
    "user-filter",
    "identity-store-id",
    "region",
    "endpoint-url",
    "store",
    "request-log",
    "password-file",
    "password-env",
    "token-file",
    "token-env",
    "textfile",
    "error-log",
    "scim",
    "full-read-every",
    "follow",
];

#[test]
fn the_defaults_that_the_reference_names_are_the_defaults() {
    let full = filled_in(|header, key| header.starts_with("[mapping") || EXAMPLES.contains(&key));
    let full = Config::from_bytes(full.as_bytes(), &dir().join("reference.toml")).unwrap();
    assert_eq!(format!("{full:?}"), format!("{:?}", load("reference.toml")));
}

#[test]
fn the_default_mappings_that_the_reference_names_are_the_defaults() {
    let text = std::fs::read_to_string(dir().join("reference.toml")).unwrap();
    let mapping = load("reference.toml").mapping;
    let users = mapping.user_expressions().iter().map(|(a, e)| (a.path(), e));
    let groups = mapping.group_expressions().iter().map(|(a, e)| (a.path(), e));
    let mut named = 0;
    for (path, expression) in users.chain(groups) {
        // Of several, the reference names the first.
        let first = expression.to_string().split(", else ").next().unwrap().to_owned();
        assert!(text.contains(&format!("#\"{path}\" = \"{first}\"\n")), "{path} = {first}");
        named += 1;
    }
    assert_eq!(named, 10);
}

#[test]
fn the_mappings_that_the_reference_shows_can_be_used() {
    let path = dir().join("reference.toml");
    let scim = "kind = \"scim\"\nscim = { url = \"https://h/scim/v2\", token-env = \"T\" }";
    for (kind, foreign) in
        [("kind = \"identity-store\"", &["externalId"][..]), (scim, &["website", "description"])]
    {
        let full = filled_in(|_, key| EXAMPLES.contains(&key) || foreign.contains(&key.trim_matches('"')));
        let full = full.replace("kind = \"identity-store\"", kind);
        if let Err(error) = Config::from_bytes(full.as_bytes(), &path) {
            panic!("{:#?}", error.diagnostics());
        }
    }
}
