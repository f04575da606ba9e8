//! What is in a target, or ought to be: names only, which is what both sides can tell independently of each other.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Contents {
    /// User names.
    pub users: BTreeSet<String>,
    /// Display names of groups.
    pub groups: BTreeSet<String>,
    /// For every group its members' user names.
    pub members: BTreeMap<String, BTreeSet<String>>,
}

impl Contents {
    /// How many memberships there are.
    pub fn memberships(&self) -> usize {
        self.members.values().map(BTreeSet::len).sum()
    }

    /// Panics unless `found` is exactly this, and says what is missing and what is too much.
    #[track_caller]
    pub fn assert_same(&self, found: &Self) {
        let mut report = String::new();
        compare("users", &self.users, &found.users, &mut report);
        compare("groups", &self.groups, &found.groups, &mut report);
        let none = BTreeSet::new();
        for group in self.members.keys().chain(found.members.keys()).collect::<BTreeSet<_>>() {
            let of = |contents: &Self| contents.members.get(group).unwrap_or(&none).clone();
            compare(&format!("members of {group:?}"), &of(self), &of(found), &mut report);
        }
        assert!(report.is_empty(), "the target is not as expected\n{report}");
    }
}

fn compare(what: &str, expected: &BTreeSet<String>, found: &BTreeSet<String>, report: &mut String) {
    for (sign, set) in [("missing", expected - found), ("too much", found - expected)] {
        if !set.is_empty() {
            let some: Vec<_> = set.iter().take(10).collect();
            let _ = writeln!(
                report,
                "{what}: {} {sign}: {some:?}{}",
                set.len(),
                if set.len() > 10 { " …" } else { "" }
            );
        }
    }
}
