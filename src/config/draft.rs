//! The text of a first config file. Its comments are those of `config/reference.toml`, so that they say of each key what
//! the reference says.

use super::edit::quoted;

const REFERENCE: &str = include_str!("../../config/reference.toml");

/// What a first config says.
#[derive(Clone, Debug)]
pub struct Draft {
    pub profile: String,
    pub directory: DraftDirectory,
    pub base_dn: String,
    pub groups: Vec<DraftGroup>,
    pub target: DraftTarget,
    /// Beside the config file.
    pub state: String,
}

#[derive(Clone, Debug)]
pub enum DraftDirectory {
    Ldap {
        kind: &'static str,
        urls: Vec<String>,
        bind_dn: String,
        password_file: String,
        ca_file: Option<String>,
        starttls: bool,
        allow_plaintext: bool,
    },
    Ldif {
        file: String,
        schema: &'static str,
    },
}

/// A group of the scope, with what is known of it.
#[derive(Clone, Debug)]
pub struct DraftGroup {
    pub name: String,
    pub comment: Option<String>,
}

#[derive(Clone, Debug)]
pub enum DraftTarget {
    Sandbox { store: String },
    IdentityStore { id: Option<String>, region: Option<String> },
    Scim { url: String, token_file: String },
}

/// The file.
pub fn draft(draft: &Draft) -> String {
    let mut page = Page { out: String::new(), table: "" };
    page.out += "# Made by `idcsync init`. What is not named here has its default; docs/configuration.md has every key.\n\n";
    page.key("profile", &quoted(&draft.profile));
    page.table("directory");
    match &draft.directory {
        DraftDirectory::Ldap { kind, urls, bind_dn, password_file, ca_file, starttls, allow_plaintext } => {
            page.key("kind", &quoted(kind));
            page.key("urls", &list(urls));
            page.key("base-dn", &quoted(&draft.base_dn));
            let bind = format!("{{ dn = {}, password-file = {} }}", quoted(bind_dn), quoted(password_file));
            page.key("bind", &bind);
            let ca = ca_file.as_ref().map(|file| format!("ca-file = {}", quoted(file)));
            let tls: Vec<String> =
                ca.into_iter().chain(starttls.then(|| "starttls = true".to_owned())).collect();
            if !tls.is_empty() {
                page.key("tls", &format!("{{ {} }}", tls.join(", ")));
            }
            if *allow_plaintext {
                page.key("allow-plaintext", "true");
            }
        }
        DraftDirectory::Ldif { file, schema } => {
            page.key("kind", "\"ldif\"");
            page.key("file", &quoted(file));
            page.bare("schema", &quoted(schema));
            page.key("base-dn", &quoted(&draft.base_dn));
        }
    }
    page.table("scope");
    page.key("groups", &groups(&draft.groups));
    page.hint("nested-groups");
    page.hint("user-filter");
    page.table("target");
    match &draft.target {
        DraftTarget::Sandbox { store } => {
            page.key("kind", "\"sandbox\"");
            page.key("store", &quoted(store));
            // The reference's words are about AWS.
            page.out += "# No pacing: nothing of AWS is asked.\n";
            page.bare("requests-per-second", "100000");
        }
        DraftTarget::IdentityStore { id, region } => {
            page.key("kind", "\"identity-store\"");
            if let Some(id) = id {
                page.key("identity-store-id", &quoted(id));
            }
            if let Some(region) = region {
                page.key("region", &quoted(region));
            }
        }
        DraftTarget::Scim { url, token_file } => {
            page.key("kind", "\"scim\"");
            page.key("scim", &format!("{{ url = {}, token-file = {} }}", quoted(url), quoted(token_file)));
        }
    }
    page.hint("adopt");
    page.hint("protect");
    page.table("state");
    page.key("url", &quoted(&draft.state));
    page.out
}

fn list(values: &[String]) -> String {
    format!("[{}]", values.iter().map(|v| quoted(v)).collect::<Vec<_>>().join(", "))
}

fn groups(groups: &[DraftGroup]) -> String {
    let mut text = String::from("[\n");
    for group in groups {
        let comment = group.comment.as_ref().map(|c| format!(" # {c}")).unwrap_or_default();
        text += &format!("    {},{comment}\n", quoted(&group.name));
    }
    text + "]"
}

struct Page {
    out: String,
    table: &'static str,
}

impl Page {
    fn table(&mut self, name: &'static str) {
        self.table = name;
        self.out += &format!("\n{}[{name}]\n", comment(name, None).unwrap_or_default());
    }

    fn key(&mut self, key: &str, value: &str) {
        self.out += &comment(self.table, Some(key)).unwrap_or_default();
        self.bare(key, value);
    }

    fn bare(&mut self, key: &str, value: &str) {
        self.out += &format!("{key} = {value}\n");
    }

    /// The key as the reference has it, left out of force.
    fn hint(&mut self, key: &str) {
        if let Some((comment, line)) = found(self.table, Some(key)) {
            self.out += &format!("{comment}#{}\n", line.trim_start_matches('#'));
        }
    }
}

fn comment(table: &str, key: Option<&str>) -> Option<String> {
    found(table, key).map(|(comment, _)| comment)
}

/// What the reference says right above a key, or above a table's header, and its line.
fn found(table: &str, key: Option<&str>) -> Option<(String, &'static str)> {
    let (mut here, mut comment) = ("", String::new());
    for line in REFERENCE.lines() {
        if line.starts_with("# ") {
            comment += line;
            comment.push('\n');
            continue;
        }
        if let Some(name) = line.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            here = name;
            if here == table && key.is_none() {
                return Some((comment, line));
            }
        } else if here == table
            && let Some(key) = key
            && line.trim_start_matches('#').strip_prefix(key).is_some_and(|rest| rest.starts_with(" = "))
        {
            return Some((comment, line));
        }
        comment.clear();
    }
    None
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::config::Config;

    fn ldap() -> DraftDirectory {
        DraftDirectory::Ldap {
            kind: "active-directory",
            urls: vec!["ldaps://dc1.corp.example".to_owned()],
            bind_dn: "CN=a \"b\",DC=x".to_owned(),
            password_file: "password".to_owned(),
            ca_file: Some("ca.pem".to_owned()),
            starttls: false,
            allow_plaintext: false,
        }
    }

    #[test]
    fn every_draft_is_a_config_and_says_what_the_reference_says() {
        let plain = DraftDirectory::Ldap {
            kind: "ldap",
            urls: vec!["ldap://127.0.0.1".to_owned()],
            bind_dn: "cn=a".to_owned(),
            password_file: "p".to_owned(),
            ca_file: None,
            starttls: true,
            allow_plaintext: false,
        };
        let ldif = DraftDirectory::Ldif { file: "x.ldif".to_owned(), schema: "ldap" };
        let targets = [
            DraftTarget::Sandbox { store: "store.json".to_owned() },
            DraftTarget::IdentityStore {
                id: Some("d-1234567890".to_owned()),
                region: Some("eu-west-1".to_owned()),
            },
            DraftTarget::IdentityStore { id: None, region: None },
            DraftTarget::Scim {
                url: "https://h.example/t/scim/v2".to_owned(),
                token_file: "token".to_owned(),
            },
        ];
        for directory in [ldap(), plain, ldif] {
            for target in targets.clone() {
                let text = draft(&Draft {
                    profile: "corp".to_owned(),
                    directory: directory.clone(),
                    base_dn: "DC=corp,DC=example".to_owned(),
                    groups: vec![
                        DraftGroup { name: "A \\ \"b\"".to_owned(), comment: Some("3 members".to_owned()) },
                        DraftGroup { name: "C".to_owned(), comment: None },
                    ],
                    target,
                    state: "sqlite:corp.db".to_owned(),
                });
                let config = match Config::from_bytes(text.as_bytes(), Path::new("idcsync.toml")) {
                    Ok(config) => config,
                    Err(error) => panic!("{:?}\n{text}", error.diagnostics()),
                };
                assert!(config.warnings.is_empty(), "{:?}", config.warnings);
                assert_eq!(config.scope.entries.len(), 2);
                assert!(text.contains("# Each is a sAMAccountName, DOMAIN"), "{text}");
                assert!(text.contains("\n#user-filter = \"(!(sAMAccountName=svc-*))\"\n"), "{text}");
                for line in text.lines().skip(1).filter(|l| l.starts_with("# ") && !l.contains("No pacing")) {
                    assert!(REFERENCE.contains(line), "{line}");
                }
            }
        }
    }

    #[test]
    fn no_key_is_without_its_comment() {
        let keys = [
            ("", "profile"),
            ("directory", "kind"),
            ("directory", "urls"),
            ("directory", "base-dn"),
            ("directory", "bind"),
            ("directory", "tls"),
            ("directory", "allow-plaintext"),
            ("directory", "file"),
            ("scope", "groups"),
            ("target", "kind"),
            ("target", "store"),
            ("target", "identity-store-id"),
            ("target", "region"),
            ("target", "scim"),
            ("target", "protect"),
            ("state", "url"),
        ];
        for (table, key) in keys {
            assert!(comment(table, Some(key)).is_some_and(|c| !c.is_empty()), "{table}.{key}");
        }
    }
}
