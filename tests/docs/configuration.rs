//! docs/configuration.md is held to what the checker knows: names, defaults, ranges and choices.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use idcsync::config::{Config, Diagnostics, all_keys, parse_duration};
use idcsync::mapping::Mapping;
use idcsync::model::DirectoryKind;

/// Each table has a header of its own here, so that a key can be put into it.
const SERVER: &str = r#"profile = "p"
[directory]
kind = "active-directory"
urls = ["ldaps://dc"]
base-dn = "DC=x"
[directory.bind]
dn = "CN=s,DC=x"
password-env = "P"
[directory.tls]
[scope]
[[scope.groups]]
group = "g"
[target]
kind = "identity-store"
[target.scim]
url = "https://h/scim/v2"
token-env = "T"
[lifecycle]
[guard]
[schedule]
full-read-every = "24h"
[state]
[service]
[metrics]
[log]
"#;

const EXPORT: &str = r#"profile = "p"
[directory]
kind = "ldif"
file = "f"
base-dn = "DC=x"
[scope]
users = ["u"]
[target]
kind = "sandbox"
store = "s"
"#;

/// What has no default that could be written down.
const WITHOUT_DEFAULT: &[&str] = &[
    "directory.base-dn",
    "directory.bind",
    "directory.bind.dn",
    "directory.bind.external",
    "directory.bind.external.cert-file",
    "directory.bind.external.key-file",
    "directory.bind.password-env",
    "directory.bind.password-file",
    "directory.discover",
    "directory.file",
    "directory.kind",
    "directory.tls",
    "directory.tls.ca-file",
    "directory.urls",
    "log.error-log",
    "mapping.group",
    "mapping.user",
    "metrics.textfile",
    "profile",
    "schedule.follow",
    "schedule.full-read-every",
    "scope.groups",
    "scope.groups.group",
    "scope.user-filter",
    "scope.users",
    "service.token-env",
    "service.token-file",
    "state.password-env",
    "state.password-file",
    "target.endpoint-url",
    "target.identity-store-id",
    "target.kind",
    "target.region",
    "target.request-log",
    "target.scim",
    "target.scim.token-env",
    "target.scim.token-expires",
    "target.scim.token-file",
    "target.scim.url",
    "target.store",
];

struct Row {
    /// The table's path, and the key.
    table: String,
    key: String,
    cells: [String; 3],
}

impl Row {
    fn path(&self) -> String {
        format!("{}.{}", self.table, self.key).trim_start_matches('.').to_owned()
    }

    fn is_mapping(&self) -> bool {
        self.table.starts_with("mapping.")
    }

    fn takes(&self) -> &str {
        &self.cells[0]
    }

    /// What stands in backquotes as the default, a value of TOML.
    fn default(&self) -> Option<&str> {
        self.cells[1].strip_prefix('`')?.strip_suffix('`')
    }

    /// The file with the key put into it in place of what it has there; `None` where it has no such table.
    fn put(&self, base: &str, value: &str) -> Option<String> {
        let (mut out, mut here, mut found) = (String::new(), self.table.is_empty(), self.table.is_empty());
        let line = format!("{} = {value}\n", self.key);
        if here {
            out.push_str(&line);
        }
        for old in base.lines() {
            if let Some(header) = old.strip_prefix('[') {
                here = header.trim_matches(['[', ']']) == self.table;
                out.push_str(&format!("{old}\n"));
                if here {
                    found = true;
                    out.push_str(&line);
                }
            } else if !here || !old.starts_with(&format!("{} = ", self.key)) {
                out.push_str(&format!("{old}\n"));
            }
        }
        found.then_some(out)
    }

    /// Whether the key may be so in one of the files, and what that comes to.
    fn accepted(&self, value: &str) -> Vec<(String, String)> {
        let files = [SERVER, EXPORT].into_iter().filter_map(|base| Some((base, self.put(base, value)?)));
        files.filter_map(|(base, text)| Some((checked(base)?, checked(&text)?))).collect()
    }
}

fn checked(text: &str) -> Option<String> {
    let mut config = Config::from_bytes(text.as_bytes(), Path::new("c.toml")).ok()?;
    config.warnings = Diagnostics::default();
    Some(format!("{config:?}"))
}

fn rows() -> Vec<Row> {
    let text = super::read("docs/configuration.md");
    let (mut rows, mut table) = (Vec::new(), String::new());
    for line in text.lines() {
        if line.starts_with('#') {
            let heading = line.trim_start_matches('#').trim();
            table = heading.trim_matches('`').trim_matches(['[', ']']).to_owned();
            if heading == "The file" {
                table.clear();
            }
        } else if line.starts_with("| `") {
            let cells: Vec<&str> = line.trim().trim_matches('|').split(" | ").map(str::trim).collect();
            let [key, a, b, c] = cells[..] else { panic!("not four cells: {line}") };
            let key = key.trim_matches('`').to_owned();
            rows.push(Row { table: table.clone(), key, cells: [a, b, c].map(str::to_owned) });
        }
    }
    rows
}

#[test]
fn the_page_has_every_key_once_and_no_other() {
    let mut found = BTreeMap::new();
    for row in rows() {
        *found.entry(row.path()).or_insert(0) += 1;
    }
    let known = all_keys().into_iter().map(|path| (path, 1)).collect();
    assert_eq!(found, known);
}

#[test]
fn the_defaults_of_the_page_are_the_defaults() {
    let mut without = BTreeSet::new();
    for row in rows().iter().filter(|row| !row.is_mapping()) {
        let path = row.path();
        let Some(default) = row.default() else {
            assert!(["–", "**required**"].contains(&row.cells[1].as_str()), "{path}: {}", row.cells[1]);
            if row.takes() != "a table" || path.contains('.') {
                without.insert(path);
            }
            continue;
        };
        let same = row.accepted(default);
        assert!(!same.is_empty(), "{path} = {default} is refused");
        assert!(same.iter().all(|(bare, with)| bare == with), "{path} = {default} is not the default");
    }
    assert_eq!(without, WITHOUT_DEFAULT.iter().map(|path| (*path).to_owned()).collect());
}

#[test]
fn what_the_page_requires_is_required() {
    for row in rows().iter().filter(|row| row.cells[1] == "**required**" && row.takes() != "a table") {
        for base in [SERVER, EXPORT] {
            let Some(with) = row.put(base, "\"x\"") else { continue };
            let line = format!("{} = \"x\"\n", row.key);
            assert!(checked(&with.replacen(&line, "", 1)).is_none(), "{} can be left out", row.path());
        }
    }
}

#[test]
fn the_default_mappings_of_the_page_are_the_defaults() {
    let rows = rows();
    for (column, kind) in [(0, DirectoryKind::ActiveDirectory), (1, DirectoryKind::Ldap)] {
        let mapping = Mapping::new(kind, BTreeMap::new(), BTreeMap::new());
        let users = mapping.user_expressions().iter().map(|(a, e)| (format!("mapping.user.\"{a}\""), e));
        let groups = mapping.group_expressions().iter().map(|(a, e)| (format!("mapping.group.\"{a}\""), e));
        let known: BTreeMap<String, String> =
            users.chain(groups).map(|(path, e)| (path, format!("`{e}`"))).collect();
        let named = rows.iter().filter(|row| row.is_mapping() && row.cells[column] != "–");
        let named: BTreeMap<String, String> =
            named.map(|row| (row.path(), row.cells[column].clone())).collect();
        assert_eq!(named, known);
    }
}

/// What `takes` has in backquotes.
fn quoted(takes: &str) -> Vec<&str> {
    takes.split('`').skip(1).step_by(2).collect()
}

#[test]
fn the_ranges_of_the_page_are_the_ranges() {
    let mut tried = 0;
    for row in rows().iter().filter(|row| row.takes().contains("` to `")) {
        let [.., least, most] = quoted(row.takes())[..] else { panic!("{}", row.takes()) };
        let path = row.path();
        let is_time = row.takes().contains("time, ");
        let text = |value: i128| if is_time { format!("\"{value}s\"") } else { value.to_string() };
        let number = |bound: &str| -> i128 {
            if is_time { parse_duration(bound).unwrap().as_secs().into() } else { bound.parse().unwrap() }
        };
        let (least, most) = (number(least), number(most));
        let accepts = |value| checked(&row.put(SERVER, &text(value)).unwrap()).is_some();
        for value in [least, most] {
            assert!(accepts(value), "{path} = {} is refused", text(value));
        }
        for value in [least - 1, most + 1] {
            assert!(!accepts(value), "{path} = {} is accepted", text(value));
        }
        tried += 1;
    }
    assert!(tried > 15, "{tried}");
}

#[test]
fn the_choices_of_the_page_are_the_choices() {
    let mut tried = 0;
    for row in
        rows().iter().filter(|row| row.takes().starts_with("`\"") && row.takes().contains("\"` or `\""))
    {
        let path = row.path();
        assert!(row.accepted("\"nonsense\"").is_empty(), "{path}");
        // What else must be there hangs on the kind.
        if row.key != "kind" {
            for choice in quoted(row.takes()) {
                assert!(!row.accepted(choice).is_empty(), "{path} = {choice} is refused");
            }
        }
        tried += 1;
    }
    assert!(tried > 8, "{tried}");
}
