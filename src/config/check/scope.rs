//! `[scope]`: who is named, and how far membership reaches.

use std::collections::BTreeMap;

use crate::config::keys;
use crate::config::raw::{Reader, Section, Span, Text, shown};
use crate::config::settings::ScopeSettings;
use crate::model::{Kind, NameForm, ScopeEntry};

/// A filter longer than this is no filter that someone wrote.
const MAX_FILTER: usize = 4096;
/// The parser descends once for each level.
const MAX_FILTER_DEPTH: usize = 32;

pub(super) fn read<'t>(r: &mut Reader<'t>, section: &Section<'t>) -> Option<ScopeSettings> {
    let mut seen = BTreeMap::new();
    let mut entries = groups(r, section, &mut seen);
    entries.extend(users(r, section, &mut seen));
    if section.array_is_empty("groups") && section.array_is_empty("users") {
        r.error(section.at.clone(), "the scope is empty: nobody would be synced")
            .label("names no group and no user")
            .help("groups = [\"…\"]: each is a sAMAccountName, DOMAIN\\name, userPrincipalName, mail, DN or objectGUID");
    }
    let nested = section.choice(r, "nested-groups", &[("flatten", true), ("direct", false)]);
    let user_filter = section.string(r, "user-filter", "an LDAP filter");
    if let Some(text) = &user_filter
        && let Err((offset, len, message)) = check_filter(text.value)
    {
        let place = r.within(text, offset, len);
        r.error(place, "`user-filter` is no LDAP filter (RFC 4515)")
            .because(message)
            .help("such as \"(&(department=IT)(!(sAMAccountName=svc-*)))\"");
    }
    Some(ScopeSettings {
        entries,
        nested: nested.is_none_or(|(nested, _)| nested),
        user_filter: user_filter.map(|text| text.value.to_owned()),
        primary_group: section.bool(r, "primary-group").is_none_or(|(on, _)| on),
        distribution_groups: section.bool(r, "include-distribution-groups").is_some_and(|(on, _)| on),
    })
}

type Seen = BTreeMap<(Kind, String), Span>;

fn groups<'t>(r: &mut Reader<'t>, section: &Section<'t>, seen: &mut Seen) -> Vec<ScopeEntry> {
    let wanted = "an array of names, or of { group = \"…\", write = … }";
    let Some((array, _)) = section.array(r, "groups", wanted) else {
        return Vec::new();
    };
    let mut entries = Vec::new();
    for element in array {
        let (text, write) = match element.get_ref().as_table() {
            Some(table) => {
                let table = r.section(&keys::SCOPE_GROUP, table, element.span());
                let text = table.required(r, "group", "a name", "the group's name");
                let write = table.bool(r, "write").is_none_or(|(write, _)| write);
                (text, write)
            }
            None => (r.text_of(element.get_ref(), element.span(), "the name of a group"), true),
        };
        let Some(text) = text else { continue };
        if acceptable(r, &text, Kind::Group, seen) {
            entries.push(ScopeEntry { kind: Kind::Group, name: text.value.to_owned(), write });
        }
    }
    entries
}

fn users<'t>(r: &mut Reader<'t>, section: &Section<'t>, seen: &mut Seen) -> Vec<ScopeEntry> {
    let Some((texts, _)) = section.strings(r, "users", "the name of a user") else {
        return Vec::new();
    };
    let mut entries = Vec::new();
    for text in texts {
        if acceptable(r, &text, Kind::User, seen) {
            entries.push(ScopeEntry { kind: Kind::User, name: text.value.to_owned(), write: true });
        }
    }
    entries
}

/// Whether the name has one of the forms that can be looked up, and is named for the first time.
fn acceptable(r: &mut Reader<'_>, text: &Text<'_>, kind: Kind, seen: &mut Seen) -> bool {
    let form = NameForm::of(text.value);
    let flaw = match &form {
        NameForm::Account(_) | NameForm::Domain { .. } if text.value.contains('=') => {
            Some("a DN it is not: a component has no `=`, or an escape is cut off")
        }
        NameForm::Account(name) if name.contains('"') => Some("no account name has quotes in it"),
        NameForm::Domain { domain, name } if domain.is_empty() || name.is_empty() || name.contains('\\') => {
            Some("DOMAIN\\name is expected, one backslash between the two")
        }
        NameForm::Address(address) if address.starts_with('@') || address.ends_with('@') => {
            Some("name@domain is expected")
        }
        _ => None,
    };
    if let Some(flaw) = flaw {
        r.error(text.span.clone(), format!("\"{}\" is no name of a {kind}", shown(text.value)))
            .because(flaw)
            .help("a sAMAccountName, DOMAIN\\name, userPrincipalName, mail, DN or objectGUID");
        return false;
    }
    let key = entry_key(text.value);
    match seen.get(&(kind, key.clone())) {
        Some(first) => {
            let first = first.clone();
            r.error(text.span.clone(), format!("the {kind} \"{}\" is named twice", shown(text.value)))
                .label("again here")
                .also(first, "first here");
            false
        }
        None => {
            seen.insert((kind, key), text.span.clone());
            true
        }
    }
}

/// Two entries of one key are one. Names are compared as the directory does: without regard to case, DNs by their
/// components.
pub(in crate::config) fn entry_key(name: &str) -> String {
    match NameForm::of(name) {
        NameForm::Anchor(anchor) => format!("anchor {anchor}"),
        NameForm::Dn(dn) => format!("dn {}", dn.key()),
        NameForm::Domain { .. } | NameForm::Address(_) | NameForm::Account(_) => {
            format!("name {}", name.to_lowercase())
        }
    }
}

/// Byte offset, length and what is wrong there.
fn check_filter(text: &str) -> Result<(), (usize, usize, &'static str)> {
    if text.len() > MAX_FILTER {
        return Err((0, text.len(), "longer than 4096 bytes"));
    }
    if !text.starts_with('(') {
        return Err((0, text.len(), "a filter stands in parentheses"));
    }
    // Parentheses within values are escaped (RFC 4515 section 3), so that these are all structure.
    let mut open = Vec::new();
    for (at, c) in text.char_indices() {
        match c {
            '(' => {
                open.push(at);
                if open.len() > MAX_FILTER_DEPTH {
                    return Err((at, 1, "nested too deep"));
                }
            }
            ')' if open.pop().is_none() => return Err((at, 1, "closes nothing")),
            ')' => {}
            _ if open.is_empty() => return Err((at, text.len() - at, "after the end of the filter")),
            _ => {}
        }
    }
    if let Some(at) = open.pop() {
        return Err((at, 1, "never closed"));
    }
    ldap3::parse_filter(text).map(|_| ()).map_err(|()| (0, text.len(), "cannot be read"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn filters() {
        assert_eq!(check_filter("(!(sAMAccountName=svc-*))"), Ok(()));
        assert_eq!(check_filter("(&(a=b)(|(c>=1)(d=*))(cn=Müller\\28x\\29))"), Ok(()));
        assert_eq!(check_filter("a=b"), Err((0, 3, "a filter stands in parentheses")));
        assert_eq!(check_filter("(&(a=b)"), Err((0, 1, "never closed")));
        assert_eq!(check_filter("(a=b))"), Err((5, 1, "closes nothing")));
        assert_eq!(check_filter("(a=b) x"), Err((5, 2, "after the end of the filter")));
        assert_eq!(check_filter("(a)"), Err((0, 3, "cannot be read")));
        let deep = format!("{}(a=b){}", "(!".repeat(2000), ")".repeat(2000));
        assert!(matches!(check_filter(&deep[..4000]), Err((_, 1, "nested too deep"))));
    }
}
