//! What a target should hold, by naive means: an LDIF reader, a recursive walk and the default mapping.
//!
//! It shares nothing with the program under test, on purpose: not the parser, not the walk, not a type. It is slow and
//! simple, and reads what `ldapsearch` prints (or an export in a file).

use std::collections::{BTreeMap, BTreeSet};
use std::time::{SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::company::ScopeGroup;
use super::contents::Contents;

/// How the directory names things.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    ActiveDirectory,
    Ldap,
}

/// What is asked of the directory.
#[derive(Debug, Clone)]
pub struct Question {
    pub kind: Kind,
    pub groups: Vec<ScopeGroup>,
    /// Accounts (sAMAccountName or uid) that are in the scope by themselves.
    pub users: Vec<String>,
    /// Whether distribution groups count; else they are neither written nor read through.
    pub distribution_groups: bool,
}

impl Question {
    pub fn new(kind: Kind, groups: Vec<ScopeGroup>) -> Self {
        Self { kind, groups, users: Vec::new(), distribution_groups: false }
    }

    /// The contents that a target ought to have, with nested groups flattened. Panics when a scope group is not there.
    pub fn answer(&self, ldif: &str) -> Contents {
        let directory = Directory::new(self, parse(ldif));
        let mut reached = BTreeSet::new();
        let mut written = BTreeSet::new();
        for entry in &self.groups {
            let group = directory.find_group(&entry.name);
            let mut below = BTreeSet::new();
            directory.walk(group, &mut below);
            reached.extend(&below);
            if !entry.write {
                // Named as a container, it is read through; another entry may still write it.
                below.remove(&group);
            }
            written.extend(below);
        }
        for entry in self.groups.iter().filter(|entry| !entry.write) {
            written.remove(&directory.find_group(&entry.name));
        }
        let mut contents = Contents::default();
        for group in &reached {
            contents.users.extend(directory.people_directly_in(*group));
        }
        for account in &self.users {
            contents.users.extend(directory.find_user(account));
        }
        for group in written {
            let name = directory.group_name(group);
            let mut below = BTreeSet::new();
            directory.walk(group, &mut below);
            let people = below.iter().flat_map(|group| directory.people_directly_in(*group)).collect();
            assert!(contents.groups.insert(name.clone()), "two groups of the scope are called {name:?}");
            contents.members.insert(name, people);
        }
        contents
    }
}

/// An entry of a directory: attribute names in lower case, values as they are.
#[derive(Debug, Clone)]
pub struct Entry {
    pub dn: String,
    values: BTreeMap<String, Vec<Vec<u8>>>,
}

impl Entry {
    /// All values that are text.
    pub fn texts(&self, name: &str) -> impl Iterator<Item = &str> {
        self.bytes(name).filter_map(|value| std::str::from_utf8(value).ok())
    }

    /// The first value that is not empty.
    pub fn text(&self, name: &str) -> Option<&str> {
        self.texts(name).find(|value| !value.is_empty())
    }

    pub fn bytes(&self, name: &str) -> impl Iterator<Item = &[u8]> {
        self.values.get(name).into_iter().flatten().map(Vec::as_slice)
    }

    fn has_class(&self, class: &str) -> bool {
        self.texts("objectclass").any(|value| value.eq_ignore_ascii_case(class))
    }

    fn number(&self, name: &str) -> Option<i64> {
        self.text(name)?.parse().ok()
    }
}

/// Reads LDIF, folded or not. What is no entry (comments, references, the end of a search) is left out.
pub fn parse(ldif: &str) -> Vec<Entry> {
    let unfolded = ldif.replace("\r\n", "\n").replace("\n ", "");
    let mut entries = Vec::new();
    let mut current: Option<Entry> = None;
    for line in unfolded.lines() {
        if line.is_empty() {
            entries.extend(current.take());
            continue;
        }
        if line.starts_with('#') {
            continue;
        }
        let (name, rest) = line.split_once(':').unwrap_or_else(|| panic!("not a line of LDIF: {line:?}"));
        let value = match rest.strip_prefix(':') {
            Some(encoded) => STANDARD.decode(encoded.trim()).expect("base64"),
            None => rest.trim_start().as_bytes().to_vec(),
        };
        let name = name.to_ascii_lowercase();
        assert!(!name.contains(";range="), "the values of {name} are not complete");
        if name == "dn" {
            entries.extend(current.take());
            current =
                Some(Entry { dn: String::from_utf8(value).expect("a DN is text"), values: BTreeMap::new() });
        } else if let Some(entry) = &mut current {
            entry.values.entry(name).or_default().push(value);
        }
    }
    entries.extend(current);
    entries
}

struct Directory<'a> {
    question: &'a Question,
    entries: Vec<Entry>,
    by_dn: BTreeMap<String, usize>,
    /// People by the relative identifier of their primary group.
    by_primary_group: BTreeMap<i64, Vec<usize>>,
    /// Seconds since 1970.
    now: i64,
}

impl<'a> Directory<'a> {
    fn new(question: &'a Question, entries: Vec<Entry>) -> Self {
        let by_dn = entries.iter().enumerate().map(|(index, entry)| (comparable(&entry.dn), index)).collect();
        let mut by_primary_group = BTreeMap::<_, Vec<_>>::new();
        for (index, entry) in entries.iter().enumerate() {
            if let Some(rid) = entry.number("primarygroupid") {
                by_primary_group.entry(rid).or_default().push(index);
            }
        }
        let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("a clock after 1970").as_secs();
        let now = i64::try_from(now).expect("a clock before the end of time");
        Self { question, entries, by_dn, by_primary_group, now }
    }

    fn account_attribute(&self) -> &'static str {
        if self.question.kind == Kind::ActiveDirectory { "samaccountname" } else { "uid" }
    }

    fn group_attribute(&self) -> &'static str {
        if self.question.kind == Kind::ActiveDirectory { "samaccountname" } else { "cn" }
    }

    fn find(&self, attribute: &str, name: &str, is: impl Fn(&Entry) -> bool) -> usize {
        let wanted = name.to_lowercase();
        let mut found = self.entries.iter().enumerate().filter(|(_, entry)| {
            is(entry) && entry.texts(attribute).any(|value| value.to_lowercase() == wanted)
        });
        let (index, _) = found.next().unwrap_or_else(|| panic!("{name:?} is not in the directory"));
        assert!(found.next().is_none(), "{name:?} is in the directory twice");
        index
    }

    fn find_group(&self, name: &str) -> usize {
        self.find(self.group_attribute(), name, is_group)
    }

    fn find_user(&self, account: &str) -> Option<String> {
        self.user_name(self.find(self.account_attribute(), account, |entry| !is_group(entry)))
    }

    /// All groups reached from this one, itself included.
    fn walk(&self, group: usize, seen: &mut BTreeSet<usize>) {
        let entry = &self.entries[group];
        let security = entry.number("grouptype").is_none_or(|kind| kind < 0);
        if !(security || self.question.distribution_groups) || !seen.insert(group) {
            return;
        }
        for member in self.members(group) {
            if is_group(&self.entries[member]) {
                self.walk(member, seen);
            }
        }
    }

    /// The direct members of a group that are in the directory.
    fn members(&self, group: usize) -> Vec<usize> {
        let entry = &self.entries[group];
        let named = entry.texts("member").chain(entry.texts("uniquemember"));
        let mut members: Vec<_> = named.filter_map(|dn| self.by_dn.get(&comparable(dn)).copied()).collect();
        if let Some(sid) = entry.bytes("objectsid").next() {
            // The last part of a SID is the relative identifier.
            let rid = sid.last_chunk().map(|bytes| i64::from(u32::from_le_bytes(*bytes)));
            members.extend(rid.and_then(|rid| self.by_primary_group.get(&rid)).into_iter().flatten());
        }
        members
    }

    fn people_directly_in(&self, group: usize) -> BTreeSet<String> {
        self.members(group).into_iter().filter_map(|member| self.user_name(member)).collect()
    }

    /// The user name of a person who is to be in the target; nothing for all others.
    fn user_name(&self, index: usize) -> Option<String> {
        let entry = &self.entries[index];
        entry.text("givenname")?;
        entry.text("sn")?;
        match self.question.kind {
            Kind::ActiveDirectory => {
                entry.text("displayname")?;
                let enabled = entry.number("useraccountcontrol")? & 2 == 0;
                let expires = entry.number("accountexpires").filter(|time| !matches!(*time, 0 | i64::MAX));
                // In tenths of a microsecond since 1601.
                let expired = expires.is_some_and(|time| time / 10_000_000 - 11_644_473_600 < self.now);
                if !entry.has_class("user") || entry.has_class("computer") || !enabled || expired {
                    return None;
                }
                let account = entry.text("samaccountname")?;
                Some(match entry.text("userprincipalname") {
                    Some(name) => name.to_owned(),
                    None => format!("{account}@{}", domain(&entry.dn)),
                })
            }
            Kind::Ldap => {
                if !entry.has_class("inetOrgPerson") {
                    return None;
                }
                entry.text("displayname").or_else(|| entry.text("cn"))?;
                match entry.text("mail") {
                    Some(mail) => Some(mail.to_owned()),
                    None => Some(format!("{}@{}", entry.text("uid")?, domain(&entry.dn))),
                }
            }
        }
    }

    fn group_name(&self, index: usize) -> String {
        let entry = &self.entries[index];
        let name = entry.text(self.group_attribute()).expect("a group has a name");
        format!("{name}@{}", domain(&entry.dn))
    }
}

fn is_group(entry: &Entry) -> bool {
    ["group", "groupOfNames", "groupOfUniqueNames"].iter().any(|class| entry.has_class(class))
}

/// The DNS domain of a DN: its `dc` parts.
fn domain(dn: &str) -> String {
    let parts = split(dn, ',');
    let labels = parts.iter().filter_map(|part| {
        let (name, value) = part.split_once('=')?;
        name.trim().eq_ignore_ascii_case("dc").then(|| value.trim())
    });
    labels.collect::<Vec<_>>().join(".")
}

/// A DN in one form for all ways to write it: no case, no escapes, no spaces around the signs.
fn comparable(dn: &str) -> String {
    let rdns = split(dn, ',').into_iter().map(|rdn| {
        let mut pairs: Vec<_> = split(rdn, '+')
            .into_iter()
            .map(|pair| {
                let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
                // A control character cannot be mistaken for anything in a name.
                format!("{}\u{1}{}", name.trim().to_lowercase(), unescaped(value.trim()).to_lowercase())
            })
            .collect();
        pairs.sort();
        pairs.join("\u{2}")
    });
    rdns.collect::<Vec<_>>().join("\u{3}")
}

/// The parts between signs that are not escaped.
fn split(text: &str, sign: char) -> Vec<&str> {
    let (mut parts, mut start, mut escaped) = (Vec::new(), 0, false);
    for (place, letter) in text.char_indices() {
        if !escaped && letter == sign {
            parts.push(&text[start..place]);
            start = place + letter.len_utf8();
        }
        escaped = !escaped && letter == '\\';
    }
    parts.push(&text[start..]);
    parts
}

fn unescaped(value: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = value.as_bytes();
    while let Some((first, more)) = rest.split_first() {
        let pair = more.get(..2).and_then(|pair| std::str::from_utf8(pair).ok());
        match pair.and_then(|pair| u8::from_str_radix(pair, 16).ok()) {
            Some(byte) if *first == b'\\' => {
                bytes.push(byte);
                rest = &more[2..];
            }
            _ if *first == b'\\' => {
                bytes.extend(more.first());
                rest = more.get(1..).unwrap_or_default();
            }
            _ => {
                bytes.push(*first);
                rest = more;
            }
        }
    }
    String::from_utf8(bytes).expect("a DN is text")
}
