//! Numbers as people read them, and what there is of each sort.

use std::borrow::Cow;
use std::collections::BTreeMap;

use super::approve::ApprovedPlan;
use super::sort::Sort;
use super::step::Step;

/// `4,312`
pub fn grouped(count: u64) -> String {
    let digits = count.to_string();
    let mut text = String::with_capacity(digits.len() * 4 / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// `1 user`, `2 users`.
pub fn counted(count: u64, one: &str, many: &str) -> String {
    format!("{} {}", grouped(count), if count == 1 { one } else { many })
}

/// How one of a sort and several are called, in the order in which they are told.
const WORDS: &[(Sort, &str, &str)] = &[
    (Sort::DeleteUser, "user to delete", "users to delete"),
    (Sort::DeleteGroup, "group to delete", "groups to delete"),
    (Sort::DisableUser, "user to disable", "users to disable"),
    (Sort::RevokeUser, "user to revoke", "users to revoke"),
    (Sort::ReportUser, "user to report", "users to report"),
    (Sort::RemoveMember, "membership to remove", "memberships to remove"),
    (Sort::EnableUser, "user to enable", "users to enable"),
    (Sort::RestoreUser, "user to restore", "users to restore"),
    (Sort::UpdateUser, "user to update", "users to update"),
    (Sort::UpdateGroup, "group to update", "groups to update"),
    (Sort::AdoptUser, "user to adopt", "users to adopt"),
    (Sort::AdoptGroup, "group to adopt", "groups to adopt"),
    (Sort::CreateUser, "user to create", "users to create"),
    (Sort::CreateGroup, "group to create", "groups to create"),
    (Sort::AddMember, "membership to add", "memberships to add"),
    (Sort::RebindEntry, "scope entry to rebind", "scope entries to rebind"),
];

/// How many steps of each sort, what takes away first. Who only steps aside for a swap has another step of the same sort.
pub fn by_sort<'a>(steps: impl IntoIterator<Item = Cow<'a, Step>>) -> Vec<(Sort, u64)> {
    let mut counts: BTreeMap<Sort, u64> = BTreeMap::new();
    for step in steps.into_iter().filter(|s| !s.action.parks()) {
        *counts.entry(step.action.sort()).or_default() += 1;
    }
    WORDS.iter().filter_map(|(sort, ..)| counts.get(sort).map(|count| (*sort, *count))).collect()
}

/// `3 users to create`
pub fn of_sort(sort: Sort, count: u64) -> String {
    let (one, many) = words(sort);
    counted(count, one, many)
}

/// Of one, and of several.
pub fn words(sort: Sort) -> (&'static str, &'static str) {
    let found = WORDS.iter().find(|(known, ..)| *known == sort);
    found.map_or(("step", "steps"), |(_, one, many)| (*one, *many))
}

/// How much of what a plan does: `3 users to create`, and so on.
pub fn counts(approved: &ApprovedPlan) -> Vec<String> {
    let counts = by_sort(approved.chosen().map(|(_, step)| step));
    counts.iter().map(|(sort, count)| of_sort(*sort, *count)).collect()
}

/// `2 users to disable, 4,312 memberships to add`
pub fn told(counts: &[(Sort, u64)]) -> String {
    let parts: Vec<_> = counts.iter().map(|(sort, count)| of_sort(*sort, *count)).collect();
    parts.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_sort_has_its_words() {
        for sort in Sort::ALL {
            assert_ne!(words(*sort), ("step", "steps"), "{}", sort.word());
        }
        assert_eq!(WORDS.len(), Sort::ALL.len());
    }

    #[test]
    fn thousands_are_told_apart() {
        for (count, text) in
            [(0, "0"), (999, "999"), (1000, "1,000"), (12_345, "12,345"), (1_234_567, "1,234,567")]
        {
            assert_eq!(grouped(count), text);
        }
        assert_eq!(counted(1, "user", "users"), "1 user");
    }
}
