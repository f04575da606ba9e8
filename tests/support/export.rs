//! A small Active Directory as an LDIF export, in a state that a test chooses: people `p00`, `p01`, …, and groups of
//! them. All that the program asks of an entry is in it, and its GUID is a function of its name.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest, Sha256};

use super::company::ScopeGroup;
use super::contents::Contents;
use super::ldap::line;
use super::oracle::{Kind, Question};

const BASE: &str = "DC=ex,DC=test";

/// People and groups; members are names of either.
#[derive(Debug, Clone, Default)]
pub struct Export {
    pub people: BTreeMap<String, Person>,
    pub groups: BTreeMap<String, Vec<String>>,
}

#[derive(Debug, Clone)]
pub struct Person {
    pub user_name: String,
    pub mail: String,
    pub display_name: String,
    /// Left out where empty.
    pub family_name: String,
    /// The account may not be used.
    pub disabled: bool,
    /// What the objectGUID is made of: somebody else of the same name has another one.
    pub seed: String,
}

impl Export {
    /// This many people, in no group.
    pub fn of(people: usize) -> Self {
        let mut export = Self::default();
        for name in (0..people).map(person) {
            export.add_person(&name);
        }
        export
    }

    pub fn add_person(&mut self, name: &str) {
        let person = Person {
            user_name: format!("{name}@ex.test"),
            mail: format!("{name}@mail.ex.test"),
            display_name: format!("Person {name}"),
            family_name: "Family".to_owned(),
            disabled: false,
            seed: name.to_owned(),
        };
        self.people.insert(name.to_owned(), person);
    }

    /// A group of these people or groups.
    #[must_use]
    pub fn group(mut self, name: &str, members: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.groups.insert(name.to_owned(), members.into_iter().map(Into::into).collect());
        self
    }

    pub fn person(&mut self, name: &str) -> &mut Person {
        self.people.get_mut(name).expect("a person of the export")
    }

    pub fn members(&mut self, group: &str) -> &mut Vec<String> {
        self.groups.get_mut(group).expect("a group of the export")
    }

    /// As `ldifde` or `ldapsearch` would write it, end marker included.
    pub fn text(&self) -> String {
        let mut text =
            line("dn", BASE) + "objectClass: domainDNS\n" + &sid(&[], "objectSid") + &guid(BASE) + "\n";
        for (name, person) in &self.people {
            let _ = write!(
                text,
                "{}objectClass: top\nobjectClass: person\nobjectClass: user\nsAMAccountName: {name}\ngivenName: Given\n\
                 userAccountControl: {}\nprimaryGroupID: 513\nwhenCreated: 20200101080000.0Z\n{}{}{}{}{}{}\n",
                line("dn", &dn(name)),
                if person.disabled { 514 } else { 512 },
                if person.family_name.is_empty() { String::new() } else { line("sn", &person.family_name) },
                line("userPrincipalName", &person.user_name),
                line("mail", &person.mail),
                line("displayName", &person.display_name),
                sid(person.seed.as_bytes(), "objectSid"),
                guid(&person.seed),
            );
        }
        for (name, members) in &self.groups {
            let _ = write!(
                text,
                "{}objectClass: top\nobjectClass: group\nsAMAccountName: {name}\ngroupType: -2147483640\n{}{}",
                line("dn", &dn(name)),
                sid(name.as_bytes(), "objectSid"),
                guid(name),
            );
            for member in members {
                text += &line("member", &dn(member));
            }
            text.push('\n');
        }
        text + "# idcsync: end\n"
    }

    /// What a target ought to hold if these groups are the scope.
    pub fn expected(&self, scope: &[&str]) -> Contents {
        let scope = scope.iter().map(|name| ScopeGroup::written(name)).collect();
        Question::new(Kind::ActiveDirectory, scope).answer(&self.text())
    }

    /// The `[directory]` and `[scope]` tables that mean this export, written to `directory.ldif` beside the config.
    pub fn config(scope: &[&str]) -> String {
        format!(
            "[directory]\nkind = \"ldif\"\nfile = \"directory.ldif\"\nbase-dn = \"{BASE}\"\n\n[scope]\ngroups = {scope:?}\n"
        )
    }
}

/// The objectGUID of a person or group, as the program writes it.
pub fn anchor(seed: &str) -> String {
    let bytes: [u8; 16] = Sha256::digest(seed.as_bytes())[..16].try_into().expect("sixteen bytes");
    uuid::Uuid::from_bytes_le(bytes).to_string()
}

/// The name of a person.
pub fn person(number: usize) -> String {
    format!("p{number:02}")
}

/// The names of some people.
pub fn people(numbers: impl IntoIterator<Item = usize>) -> Vec<String> {
    numbers.into_iter().map(person).collect()
}

fn dn(name: &str) -> String {
    format!("CN={name},{BASE}")
}

fn guid(name: &str) -> String {
    let hash = Sha256::digest(name.as_bytes());
    format!("objectGUID:: {}\n", STANDARD.encode(&hash[..16]))
}

/// Of the domain, or of an object in it.
fn sid(name: &[u8], attribute: &str) -> String {
    let mut bytes = vec![1, if name.is_empty() { 4 } else { 5 }, 0, 0, 0, 0, 0, 5, 21, 0, 0, 0];
    bytes.extend([1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12]);
    if !name.is_empty() {
        bytes.extend(&Sha256::digest(name)[..4]);
    }
    format!("{attribute}:: {}\n", STANDARD.encode(bytes))
}
