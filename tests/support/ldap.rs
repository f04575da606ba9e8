//! The command-line LDAP clients, and changes to a directory written as LDIF.

use std::fmt::Write as _;
use std::fs;
use std::path::PathBuf;
use std::process::{Command, Output};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::process::{output, run};

/// Somebody who can bind to a server.
#[derive(Debug, Clone)]
pub struct Client {
    pub url: String,
    pub ca: PathBuf,
    /// With `ldap://`: insist on StartTLS.
    pub starttls: bool,
    pub bind_dn: String,
    pub password: String,
}

impl Client {
    /// `ldapsearch -LLL -o ldif-wrap=no` with these arguments; panics unless it succeeds.
    pub fn search(&self, arguments: &[&str]) -> String {
        run(&mut self.search_command(arguments))
    }

    /// The same, whatever the outcome is: for results that are not to be a success.
    pub fn try_search(&self, arguments: &[&str]) -> Output {
        output(&mut self.search_command(arguments))
    }

    fn search_command(&self, arguments: &[&str]) -> Command {
        let mut command = self.command("ldapsearch");
        command.args(["-LLL", "-o", "ldif-wrap=no"]).args(arguments);
        command
    }

    /// The DN of the only entry below `base` that matches.
    pub fn dn_of(&self, base: &str, filter: &str) -> String {
        let answer = self.search(&["-b", base, filter, "1.1"]);
        let mut dns = answer.lines().filter(|line| line.starts_with("dn:")).map(text_of);
        let dn = dns.next().unwrap_or_else(|| panic!("nothing matches {filter} below {base}"));
        assert_eq!(dns.next(), None, "{filter} matches several entries");
        dn
    }

    /// Applies LDIF with or without `changetype` (without: the entry is added).
    pub fn modify(&self, ldif: &str) {
        self.modify_with(&[], ldif);
    }

    /// The same, with more arguments for `ldapmodify`.
    pub fn modify_with(&self, arguments: &[&str], ldif: &str) {
        let file = tempfile::NamedTempFile::new().expect("make a temporary file");
        fs::write(file.path(), ldif).expect("write the change");
        run(self.command("ldapmodify").arg("-a").args(arguments).arg("-f").arg(file.path()));
    }

    pub fn create(&self, dn: &str, attributes: &[(&str, &str)]) {
        self.modify(&create(dn, attributes));
    }

    pub fn delete(&self, dn: &str) {
        self.modify(&delete(dn));
    }

    /// Gives the entry another RDN (`"CN=New Name"`), in the same place.
    pub fn rename(&self, dn: &str, new_rdn: &str) {
        self.modify(&move_entry(dn, new_rdn, None));
    }

    /// Moves the entry under another parent; its RDN stays.
    pub fn move_to(&self, dn: &str, parent: &str) {
        self.modify(&move_entry(dn, rdn_of(dn), Some(parent)));
    }

    /// Makes these the values of the attribute; none removes it.
    pub fn replace(&self, dn: &str, attribute: &str, values: &[&str]) {
        self.modify(&replace(dn, attribute, values));
    }

    pub fn add_member(&self, group: &str, member: &str) {
        self.modify(&change_member(group, "add", member));
    }

    pub fn remove_member(&self, group: &str, member: &str) {
        self.modify(&change_member(group, "delete", member));
    }

    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command.env("LDAPTLS_CACERT", &self.ca).env("LDAPTLS_REQCERT", "demand").env("LDAPCONF", "/dev/null");
        command.args(["-x", "-o", "nettimeout=60", "-H", &self.url]);
        if self.starttls {
            command.arg("-ZZ");
        }
        if !self.bind_dn.is_empty() {
            command.args(["-D", &self.bind_dn, "-w", &self.password]);
        }
        command
    }
}

/// An LDIF line, base64 where the text needs it.
pub fn line(name: &str, value: &str) -> String {
    let plain = value.bytes().all(|byte| (0x20..0x7f).contains(&byte))
        && !value.starts_with([' ', ':', '<'])
        && !value.ends_with(' ');
    if plain { format!("{name}: {value}\n") } else { format!("{name}:: {}\n", STANDARD.encode(value)) }
}

/// The value of an LDIF line.
pub fn text_of(line: &str) -> String {
    let value = line.split_once(':').expect("a line of LDIF").1;
    match value.strip_prefix(": ") {
        Some(encoded) => String::from_utf8(STANDARD.decode(encoded).unwrap()).unwrap(),
        None => value.trim_start().to_owned(),
    }
}

pub fn create(dn: &str, attributes: &[(&str, &str)]) -> String {
    let mut ldif = line("dn", dn) + "changetype: add\n";
    for (name, value) in attributes {
        ldif.push_str(&line(name, value));
    }
    ldif + "\n"
}

pub fn delete(dn: &str) -> String {
    line("dn", dn) + "changetype: delete\n\n"
}

pub fn move_entry(dn: &str, new_rdn: &str, parent: Option<&str>) -> String {
    let mut ldif = line("dn", dn) + "changetype: modrdn\n" + &line("newrdn", new_rdn) + "deleteoldrdn: 1\n";
    if let Some(parent) = parent {
        ldif.push_str(&line("newsuperior", parent));
    }
    ldif + "\n"
}

pub fn replace(dn: &str, attribute: &str, values: &[&str]) -> String {
    let mut ldif = line("dn", dn);
    let _ = writeln!(ldif, "changetype: modify\nreplace: {attribute}");
    for value in values {
        ldif.push_str(&line(attribute, value));
    }
    ldif + "-\n\n"
}

pub fn change_member(group: &str, operation: &str, member: &str) -> String {
    line("dn", group)
        + &format!("changetype: modify\n{operation}: member\n")
        + &line("member", member)
        + "-\n\n"
}

/// The first RDN of a DN, as it is written.
pub fn rdn_of(dn: &str) -> &str {
    let mut escaped = false;
    for (place, letter) in dn.char_indices() {
        match letter {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            ',' => return &dn[..place],
            _ => {}
        }
    }
    dn
}
