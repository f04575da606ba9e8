use proptest::prelude::*;

use super::*;

fn group(name: &str) -> ScopeEntry {
    ScopeEntry { kind: Kind::Group, name: name.to_owned(), write: true }
}

fn container(name: &str) -> ScopeEntry {
    ScopeEntry { write: false, ..group(name) }
}

fn user(name: &str) -> ScopeEntry {
    ScopeEntry { kind: Kind::User, name: name.to_owned(), write: true }
}

fn add(text: &str, entry: &ScopeEntry) -> String {
    match edit_scope(text, Change::Add, entry) {
        Ok(Edited::Text(text)) => text,
        other => panic!("{other:?} of\n{text}"),
    }
}

fn remove(text: &str, entry: &ScopeEntry) -> String {
    match edit_scope(text, Change::Remove, entry) {
        Ok(Edited::Text(text)) => text,
        other => panic!("{other:?} of\n{text}"),
    }
}

/// What comes out when X is added; taken out again, it is as before.
fn there_and_back(text: &str, expected: &str) {
    let added = add(text, &group("X"));
    assert_eq!(added, expected);
    assert_eq!(remove(&added, &group("x")), text, "and back");
}

#[test]
fn on_one_line() {
    there_and_back("[scope]\ngroups = [\"a\"] # c\n", "[scope]\ngroups = [\"a\", \"X\"] # c\n");
    there_and_back("[scope]\ngroups = [\"a\",]\n", "[scope]\ngroups = [\"a\", \"X\",]\n");
    there_and_back("[scope]\ngroups = [ \"a\" ]\n", "[scope]\ngroups = [ \"a\", \"X\" ]\n");
    there_and_back("[scope]\ngroups = []\n", "[scope]\ngroups = [\"X\"]\n");
    there_and_back("scope = { groups = ['a'] }\n", "scope = { groups = ['a', \"X\"] }\n");
    there_and_back("scope.groups = ['a']\n", "scope.groups = ['a', \"X\"]\n");
}

#[test]
fn on_several_lines() {
    there_and_back(
        "[scope]\ngroups = [\n    \"a\", # one, two\n    { group = \"b\", write = false }, # read through, only\n]\nusers = [\"u\"]\n",
        "[scope]\ngroups = [\n    \"a\", # one, two\n    { group = \"b\", write = false }, # read through, only\n    \"X\",\n]\nusers = [\"u\"]\n",
    );
    there_and_back(
        "[scope]\ngroups = [\n  \"a\" # c\n]\n",
        "[scope]\ngroups = [\n  \"a\", # c\n  \"X\"\n]\n",
    );
    there_and_back("[scope]\ngroups = [\n]\n", "[scope]\ngroups = [\n    \"X\",\n]\n");
    there_and_back(
        "[scope]\ngroups = [\n    # none yet\n]\n",
        "[scope]\ngroups = [\n    # none yet\n    \"X\",\n]\n",
    );
    there_and_back(
        "[scope]\r\ngroups = [\r\n\t\"a\",\r\n]\r\n",
        "[scope]\r\ngroups = [\r\n\t\"a\",\r\n\t\"X\",\r\n]\r\n",
    );
    there_and_back(
        "[scope]\ngroups = [\"a\",\n  \"b\"]\n",
        "[scope]\ngroups = [\"a\",\n  \"b\",\n  \"X\"]\n",
    );
}

#[test]
fn from_the_middle() {
    assert_eq!(
        remove("[scope]\ngroups = [\"a\", \"b\", \"c\"]\n", &group("b")),
        "[scope]\ngroups = [\"a\", \"c\"]\n"
    );
    assert_eq!(remove("[scope]\ngroups = [\"a\", \"b\"]\n", &group("a")), "[scope]\ngroups = [\"b\"]\n");
    assert_eq!(
        remove("[scope]\ngroups = [\n  # of a\n  \"a\", # too\n  # of b\n  \"b\",\n]\n", &group("A")),
        "[scope]\ngroups = [\n  # of a\n  # of b\n  \"b\",\n]\n"
    );
    assert_eq!(
        remove("[scope]\ngroups = [\n  \"a\", \"b\", # both\n  \"c\"\n]\n", &group("b")),
        "[scope]\ngroups = [\n  \"a\", # both\n  \"c\"\n]\n"
    );
    assert_eq!(
        remove("[scope]\ngroups = [\n  \"a\", # one\n  \"b\"]\n", &group("b")),
        "[scope]\ngroups = [\n  \"a\" # one\n  ]\n"
    );
    assert_eq!(
        remove("[scope]\ngroups = [\"a\"]\nusers = [\"a\"]\n", &user("a")),
        "[scope]\ngroups = [\"a\"]\nusers = []\n"
    );
}

#[test]
fn what_is_missing_is_made() {
    assert_eq!(
        add("[scope] # who\ngroups = [\"a\"] # g\n# last\n", &user("u")),
        "[scope] # who\ngroups = [\"a\"] # g\nusers = [\"u\"]\n# last\n"
    );
    assert_eq!(
        add("[scope]\nusers = [\"u\"]\n", &group("g")),
        "[scope]\ngroups = [\"g\"]\nusers = [\"u\"]\n"
    );
    assert_eq!(add("[scope]", &group("g")), "[scope]\ngroups = [\"g\"]\n");
    assert_eq!(add("scope = {}\n", &group("g")), "scope = { groups = [\"g\"] }\n");
    assert_eq!(
        add("scope = { users = [\"u\"] }\n", &group("g")),
        "scope = { groups = [\"g\"], users = [\"u\"] }\n"
    );
    assert_eq!(
        add("scope.groups = [\"g\"]\nx = 1\n", &user("u")),
        "scope.groups = [\"g\"]\nscope.users = [\"u\"]\nx = 1\n"
    );
    assert_eq!(add("profile = \"p\"", &group("g")), "profile = \"p\"\n\n[scope]\ngroups = [\"g\"]\n");
}

#[test]
fn names_and_what_they_are_for() {
    let text = "[scope]\ngroups = [\"CN=A,DC=x\", \"b\"]\n";
    assert_eq!(edit_scope(text, Change::Add, &group("cn=a, dc=X")), Ok(Edited::Same));
    assert_eq!(edit_scope(text, Change::Remove, &group("c")), Ok(Edited::Same));
    let contained = add(text, &container("B"));
    assert_eq!(contained, "[scope]\ngroups = [\"CN=A,DC=x\", { group = \"b\", write = false }]\n");
    assert_eq!(add(&contained, &group("b")), text);
    assert_eq!(
        add("[scope]\ngroups = []\n", &group("CORP\\a \"b\"\u{202e}")),
        "[scope]\ngroups = [\"CORP\\\\a \\\"b\\\"\\u202E\"]\n"
    );
}

#[test]
fn what_cannot_be_edited_is_said() {
    let edit = |text: &str| edit_scope(text, Change::Add, &group("g"));
    assert_eq!(edit("[scope"), Err(Unedited::NotToml));
    assert_eq!(edit("scope = 3"), Err(Unedited::Shape("scope")));
    assert_eq!(edit("[scope]\ngroups = \"a\""), Err(Unedited::Shape("groups")));
    assert_eq!(edit("[scope]\ngroups = [1]"), Err(Unedited::Shape("groups")));
    assert_eq!(edit("scope.user-filter = \"(a=b)\""), Err(Unedited::Layout));
}

/// An array in one of the layouts that people use.
#[derive(Clone, Debug)]
struct Layout {
    entries: Vec<(String, bool, Option<String>)>,
    lines: bool,
    trailing: bool,
    crlf: bool,
    indent: &'static str,
    after: String,
}

impl Layout {
    fn text(&self) -> String {
        let count = self.entries.len();
        let mut array = String::from("[");
        for (at, (name, write, comment)) in self.entries.iter().enumerate() {
            let literal = entry_literal(&ScopeEntry { kind: Kind::Group, name: name.clone(), write: *write });
            let comma = if at + 1 < count || self.trailing { "," } else { "" };
            if self.lines {
                let comment = comment.as_ref().map(|c| format!(" # {c}")).unwrap_or_default();
                array += &format!("\n{}{literal}{comma}{comment}", self.indent);
            } else {
                let gap = if at > 0 { " " } else { "" };
                array += &format!("{gap}{literal}{comma}");
            }
        }
        array += if self.lines { "\n]" } else { "]" };
        let text = format!(
            "# top, [scope]\nprofile = \"p\"\n\n[scope] # \"x\", ]\n# of groups\ngroups = {array}\n{}",
            self.after
        );
        if self.crlf { text.replace('\n', "\r\n") } else { text }
    }
}

fn layouts() -> impl Strategy<Value = Layout> {
    let entry = (0..2_u8, proptest::option::of("[a-z,\\]\\[\"# ]{0,12}")).prop_map(|(w, c)| (w == 0, c));
    let after = prop_oneof![Just(""), Just("users = [\"u\"] # c\n"), Just("# end\n\n[state]\nurl = \"x\"\n")];
    (
        proptest::collection::vec(entry, 0..5),
        any::<bool>(),
        any::<bool>(),
        any::<bool>(),
        prop_oneof![Just("  "), Just("    "), Just("\t")],
        after,
    )
        .prop_map(|(list, lines, trailing, crlf, indent, after)| {
            let entries: Vec<(String, bool, Option<String>)> = list
                .into_iter()
                .enumerate()
                .map(|(no, (write, comment))| (format!("g \"{no}\" #"), write, comment))
                .collect();
            // An empty array has no comma.
            let trailing = trailing && !entries.is_empty();
            Layout { entries, lines, trailing, crlf, indent, after: after.to_owned() }
        })
}

proptest! {
    #[test]
    fn there_and_back_is_where_it_was(layout in layouts(), write in any::<bool>()) {
        let text = layout.text();
        let entry = ScopeEntry { write, ..group("new, # one") };
        let added = add(&text, &entry);
        let mut expected = entries(&text).unwrap();
        expected.insert(layout.entries.len(), entry.clone());
        prop_assert_eq!(entries(&added).unwrap(), expected);
        prop_assert_eq!(remove(&added, &entry), text);
    }

    #[test]
    fn all_other_lines_stay(layout in layouts(), at in 0..5_usize) {
        let text = layout.text();
        let Some((name, write, _)) = layout.entries.get(at) else { return Ok(()) };
        let removed = remove(&text, &ScopeEntry { write: *write, ..group(name) });
        prop_assert_eq!(entries(&removed).unwrap().len(), entries(&text).unwrap().len() - 1);
        let others = |text: &str| -> Vec<String> {
            let quoted = quoted(name);
            text.lines().filter(|l| !l.contains("groups = [") && !l.contains(&quoted)).map(str::to_owned).collect()
        };
        // But for the comma that divided the two, where the last one had none.
        let bare = |lines: Vec<String>| -> Vec<String> { lines.iter().map(|l| l.replace(',', "")).collect() };
        prop_assert_eq!(bare(others(&removed)), bare(others(&text)));
    }
}
