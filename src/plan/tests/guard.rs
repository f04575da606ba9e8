//! Each rule of the guard: what it holds, what it lets go on, and what an approval changes.

use std::collections::BTreeSet;

use super::world::{Prepared, World};
use crate::model::{AccountState, RenameSupport};
use crate::plan::{Action, Hold, Sort};

fn handles(prefix: &str, count: usize) -> Vec<String> {
    (0..count).map(|n| format!("{prefix}{n:03}")).collect()
}

/// A group of so many, and another one that keeps all of them in scope.
fn crowd(count: usize) -> World {
    let mut w = World::new();
    for handle in handles("u", count) {
        w.join("devs", &handle);
        w.join("all", &handle);
    }
    w.enter("devs");
    w.enter("all");
    w.settle();
    w.store.take_log();
    w
}

fn held(prepared: &Prepared, which: impl Fn(&Action) -> bool) -> (usize, usize) {
    let plan = prepared.approved.plan();
    let all = plan.numbered().filter(|(_, s)| which(&s.action)).count();
    let held = prepared.approved.held().keys().filter(|no| which(&plan.step(**no).action)).count();
    (held, all)
}

fn removals(action: &Action) -> bool {
    action.sort() == Sort::RemoveMember
}

fn additions(action: &Action) -> bool {
    action.sort() == Sort::AddMember
}

fn updates(action: &Action) -> bool {
    action.sort() == Sort::UpdateUser
}

/// The reasons, each once.
fn why(prepared: &Prepared) -> Vec<String> {
    let all: BTreeSet<String> =
        prepared.approved.held().values().flatten().map(ToString::to_string).collect();
    all.into_iter().collect()
}

#[test]
fn removals_are_counted_over_all_groups() {
    let mut w = crowd(30);
    w.policy.guard.max_percent = 100;
    w.policy.guard.max_removals = 4;
    for handle in handles("u", 2) {
        w.leave("devs", &handle);
        w.leave("all", &handle);
    }
    assert_eq!(held(&w.prepare(), removals), (0, 4));
    w.leave("devs", "u007");
    w.join("devs", "new");
    let prepared = w.prepare();
    assert_eq!(held(&prepared, removals), (5, 5));
    assert_eq!(held(&prepared, additions), (0, 1), "the kinds are counted apart");
    assert_eq!(why(&prepared), ["5 in this cycle, guard.max-removals allows 4"]);
}

#[test]
fn the_rest_goes_through_once_a_part_is_approved() {
    let mut w = crowd(30);
    w.policy.guard.max_percent = 100;
    w.policy.guard.max_removals = 4;
    for handle in handles("u", 6) {
        w.leave("devs", &handle);
    }
    let prepared = w.prepare();
    assert_eq!(held(&prepared, removals), (6, 6));
    let someone = w.link("u000").no;
    w.book.approve_only(&prepared.approved, |a| a.member() == Some(someone));
    assert_eq!(held(&w.prepare(), removals), (5, 5 + 1), "five are still too many");
    let other = w.link("u001").no;
    w.book.approve_only(&w.prepare().approved, |a| a.member() == Some(other));
    assert_eq!(held(&w.prepare(), removals), (0, 6));
    w.run();
    assert_eq!(w.store.members_of("devs").len(), 24);
}

#[test]
fn the_percentage_of_a_group_counts_from_five_on() {
    let mut w = crowd(20);
    for handle in handles("u", 4) {
        w.leave("devs", &handle);
    }
    assert_eq!(held(&w.prepare(), removals), (0, 4));
    w.leave("devs", "u004");
    let prepared = w.prepare();
    assert_eq!(held(&prepared, removals), (5, 5));
    assert_eq!(why(&prepared), ["5 of 20 members of devs removed, guard.max-percent allows 20 %"]);
    // Exactly the percentage is allowed.
    w.policy.guard.max_percent = 25;
    assert_eq!(held(&w.prepare(), removals), (0, 5));
}

/// Twelve people in groups of three, one of whom is in two; of each group, two accounts are disabled in the directory.
fn a_script_disables_eight_of_twelve() -> World {
    let mut w = World::new();
    let all = handles("u", 12);
    for (at, three) in all.chunks(3).enumerate() {
        w.group(&format!("g{at}"), &three.iter().map(String::as_str).collect::<Vec<_>>());
        w.enter(&format!("g{at}"));
    }
    w.join("g0", "u011");
    w.settle();
    for three in all.chunks(3) {
        for handle in &three[..2] {
            w.person(handle).account = AccountState::Disabled;
        }
    }
    w
}

#[test]
fn memberships_wait_with_the_end_of_their_person() {
    let mut w = a_script_disables_eight_of_twelve();
    // What the groups say is no part of it.
    w.leave("g0", "u011");
    let prepared = w.prepare();
    assert_eq!(held(&prepared, Action::disables), (8, 8));
    assert_eq!(held(&prepared, removals), (8, 9), "{}", prepared.text());
    w.run();
    assert_eq!(w.store.members_of("g0"), ["u000@x.example", "u001@x.example", "u002@x.example"]);
    // One approval is for both.
    w.approve();
    w.run();
    assert_eq!(w.store.members_of("g0"), ["u002@x.example"]);
    assert!(w.prepare().is_empty(), "{}", w.text());
}

#[test]
fn a_limit_on_disables_limits_what_they_take() {
    let mut w = crowd(20);
    w.policy.guard.max_disables = 1;
    for handle in handles("u", 2) {
        w.person(&handle).account = AccountState::Disabled;
    }
    let prepared = w.prepare();
    assert_eq!((held(&prepared, Action::disables), held(&prepared, removals)), ((2, 2), (4, 4)));
    assert_eq!(why(&prepared), ["2 in this cycle, guard.max-disables allows 1"]);
    // Once one is approved the other is not too many, with all that goes by it.
    let someone = w.link("u000").no;
    w.book.approve_only(&prepared.approved, |a| a.disables() && a.object() == Some(someone));
    assert!(w.prepare().approved.held().is_empty(), "{}", w.text());
}

#[test]
fn one_groups_crowd_does_not_hold_anothers_few() {
    let mut w = crowd(20);
    for handle in handles("u", 6) {
        w.leave("devs", &handle);
    }
    w.leave("all", "u010");
    let prepared = w.prepare();
    assert_eq!(held(&prepared, removals), (6, 7));
}

#[test]
fn a_group_of_three_is_not_emptied_whatever_the_limits() {
    let mut w = World::synced(&[
        ("three", &["a", "b", "c"]),
        ("two", &["d", "e"]),
        ("all", &["a", "b", "c", "d", "e"]),
    ]);
    w.policy.guard.max_percent = 100;
    w.group("stays", &[]);
    for handle in ["three", "two"] {
        // Something stays in the list, so that it does not read as suddenly empty.
        w.groups.get_mut(handle).unwrap().members = ["stays".to_owned()].into();
    }
    let prepared = w.prepare();
    assert_eq!(held(&prepared, removals), (3, 5));
    assert_eq!(why(&prepared), ["three would lose the last of its 3 members"]);
    // All but one is approved: the last one is what empties it.
    let last = w.link("c").no;
    w.book.approve_only(&prepared.approved, |a| a.member() != Some(last));
    assert_eq!(held(&w.prepare(), removals), (1, 5));
    // Someone who joins in the same cycle keeps it from being empty.
    w.join("three", "f");
    assert_eq!(held(&w.prepare(), removals), (0, 5));
    w.approve();
    w.run();
    assert_eq!(w.store.members_of("three"), ["f@x.example"]);
}

#[test]
fn who_joins_by_a_held_step_does_not_keep_a_group_from_being_emptied() {
    let mut w = World::synced(&[("three", &["a", "b", "c"]), ("all", &["a", "b", "c"])]);
    w.store.put_user("new@x.example", None);
    w.groups.get_mut("three").unwrap().members.clear();
    w.join("three", "new");
    let prepared = w.prepare();
    assert_eq!(held(&prepared, removals), (3, 3));
    assert!(why(&prepared).iter().any(|w| w.contains("would lose the last")), "{:?}", why(&prepared));
}

#[test]
fn growth_is_held_once_the_group_has_been_filled() {
    let mut w = World::new();
    w.policy.guard.max_growth = 6;
    w.group("devs", &handles("u", 10).iter().map(String::as_str).collect::<Vec<_>>());
    w.enter("devs");
    let prepared = w.prepare();
    assert!(prepared.approved.held().is_empty(), "the first filling is no growth");
    w.run();
    for handle in handles("v", 4) {
        w.join("devs", &handle);
    }
    assert_eq!(held(&w.prepare(), additions), (0, 4));
    for handle in handles("v", 7) {
        w.join("devs", &handle);
    }
    w.join("small", "v000");
    w.enter("small");
    let prepared = w.prepare();
    assert_eq!(held(&prepared, additions), (7, 8));
    assert_eq!(
        why(&prepared),
        [
            "7 in this cycle, guard.max-growth allows 6",
            "7 of 10 members of devs added, guard.max-percent allows 20 %"
        ]
    );
    assert_eq!(held(&prepared, |a| a.sort() == Sort::CreateUser), (0, 7));
}

#[test]
fn a_filling_that_was_cut_short_goes_on_without_counting_as_growth() {
    use super::store::Fault;
    let mut w = World::new();
    w.policy.guard.max_growth = 3;
    w.group("devs", &handles("u", 10).iter().map(String::as_str).collect::<Vec<_>>());
    w.enter("devs");
    w.store
        .fail(Fault { times: 5, ..Fault::new("add-member", "", crate::target::TargetErrorKind::Throttled) });
    w.run();
    w.store.mend();
    assert!(!w.link("devs").filled);
    assert!(w.prepare().approved.held().is_empty());
    w.run();
    assert!(w.link("devs").filled);
}

#[test]
fn one_whom_the_target_refuses_for_good_does_not_keep_a_group_from_being_filled() {
    use super::store::Fault;
    let mut w = World::new();
    w.policy.guard.max_growth = 3;
    w.group("devs", &handles("u", 10).iter().map(String::as_str).collect::<Vec<_>>());
    w.enter("devs");
    w.store.fail(Fault::new("add-member", "u003", crate::target::TargetErrorKind::Quota));
    let ran = w.run();
    assert_eq!(ran.applied.failed[&Sort::AddMember], 1);
    assert!(w.link("devs").filled);
    for handle in handles("v", 5) {
        w.join("devs", &handle);
    }
    assert_eq!(held(&w.prepare(), additions), (6, 6), "{}", w.text());
}

#[test]
fn renames_and_emptied_attributes_are_counted_together() {
    let mut w = crowd(40);
    w.book.set_rename_support(RenameSupport::Accepted);
    w.policy.guard.max_renames = 5;
    for handle in handles("u", 3) {
        w.person(&handle).set("userprincipalname", &format!("{handle}.new@x.example"));
    }
    for handle in ["u010", "u011"] {
        w.person(handle).set("mail", "");
    }
    for handle in ["u020", "u021"] {
        w.person(handle).set("title", "Smith");
    }
    assert_eq!(held(&w.prepare(), updates), (0, 7));
    w.person("u012").set("mail", "");
    let prepared = w.prepare();
    assert_eq!(held(&prepared, updates), (6, 8));
    assert_eq!(why(&prepared), ["6 in this cycle, guard.max-renames allows 5"]);
    w.policy.guard.max_renames = 50;
    assert_eq!(held(&w.prepare(), updates), (0, 8));
    w.policy.guard.max_percent = 10;
    let prepared = w.prepare();
    assert_eq!(held(&prepared, updates), (6, 8));
    assert_eq!(
        why(&prepared),
        ["6 of 40 linked users renamed or with an emptied attribute, guard.max-percent allows 10 %"]
    );
}

#[test]
fn emptied_descriptions_of_groups_are_held_against_the_groups() {
    let mut w = World::new();
    for handle in handles("g", 20) {
        w.group(&handle, &["anna"]).description = Some("d".to_owned());
        w.enter(&handle);
    }
    w.settle();
    for handle in handles("g", 5) {
        w.groups.get_mut(&handle).unwrap().description = None;
    }
    w.groups.get_mut("g010").unwrap().description = Some("other".to_owned());
    let prepared = w.prepare();
    assert_eq!(held(&prepared, |a| a.sort() == Sort::UpdateGroup), (5, 6));
    assert_eq!(
        why(&prepared),
        ["5 of 20 linked groups with an emptied attribute, guard.max-percent allows 20 %"]
    );
}

#[test]
fn what_is_created_again_counts_like_a_delete() {
    let mut w = crowd(40);
    w.policy.guard.max_deletes = 2;
    for handle in handles("u", 2) {
        w.store.delete(&w.id(&handle));
        w.person(&handle).set("title", "Smith");
    }
    assert!(w.prepare().approved.held().is_empty());
    w.store.delete(&w.id("u002"));
    w.person("u002").set("title", "Smith");
    w.join("devs", "new");
    let prepared = w.prepare();
    assert_eq!(held(&prepared, |a| matches!(a, Action::CreateUser { again: true, .. })), (3, 3));
    assert_eq!(held(&prepared, |a| matches!(a, Action::CreateUser { again: false, .. })), (0, 1));
    // The memberships of those three wait with them.
    assert_eq!(held(&prepared, additions), (6, 7));
    assert!(why(&prepared).contains(&"3 in this cycle, guard.max-deletes allows 2".to_owned()));
    w.approve();
    let ran = w.run();
    assert!(ran.prepared.approved.held().is_empty());
    assert!(w.prepare().is_empty());
}

#[test]
fn a_share_of_the_linked_users_created_again_is_held() {
    let mut w = crowd(20);
    for handle in handles("u", 5) {
        w.store.delete(&w.id(&handle));
        w.person(&handle).set("title", "Smith");
    }
    let prepared = w.prepare();
    assert_eq!(held(&prepared, |a| a.sort() == Sort::CreateUser), (5, 5));
    assert!(
        why(&prepared)
            .contains(&"5 of 20 linked users created again, guard.max-percent allows 20 %".to_owned())
    );
}

#[test]
fn an_approved_step_that_needs_a_held_one_stays_held() {
    let mut w = World::new();
    w.group("devs", &["anna"]);
    w.enter("devs");
    w.store.put_user("anna@x.example", None);
    let prepared = w.prepare();
    w.book.approve_only(&prepared.approved, additions);
    let prepared = w.prepare();
    let plan = prepared.approved.plan();
    let (no, _) = plan.numbered().find(|(_, s)| additions(&s.action)).unwrap();
    assert!(prepared.approved.approved().contains(&no));
    assert!(matches!(prepared.approved.held()[&no][..], [Hold::DependsOn { .. }]));
}

#[test]
fn what_is_held_for_its_own_sake_does_not_count_against_the_rest() {
    let mut w = crowd(40);
    w.policy.guard.max_renames = 3;
    // Five who are to be adopted lose a middle name; two who are linked lose their address.
    for handle in handles("v", 5) {
        let id = w.store.put_user(&format!("{handle}@x.example"), None);
        w.store.change_user(&id, crate::model::UserAttribute::MiddleName, "M");
        w.join("devs", &handle);
    }
    for handle in handles("u", 2) {
        w.person(&handle).set("mail", "");
    }
    let prepared = w.prepare();
    let of_linked = |a: &Action| matches!(a, Action::UpdateUser { changes, .. } if changes.len() == 1);
    assert_eq!(held(&prepared, of_linked), (0, 2));
    assert_eq!(held(&prepared, |a| a.sort() == Sort::AdoptUser), (5, 5));
}

#[test]
fn nobody_is_left_under_a_parking_name() {
    let mut w = World::new();
    for handle in ["a", "b", "c", "d"] {
        w.group(handle, &["anna"]).description = Some("d".to_owned());
        w.enter(handle);
    }
    w.settle();
    w.groups.get_mut("a").unwrap().name = "b".to_owned();
    w.groups.get_mut("b").unwrap().name = "a".to_owned();
    w.groups.get_mut("b").unwrap().description = None;
    w.policy.guard.max_renames = 0;
    let prepared = w.prepare();
    assert_eq!(held(&prepared, |_| true), (3, 3), "{}", prepared.text());
    w.run();
    assert!(w.store.contents().groups.contains_key("a"));
}

#[test]
fn nobody_gives_up_a_name_for_a_newcomer_who_is_held() {
    let mut w = World::synced(&[("devs", &["anna", "bob", "carl"])]);
    w.delete_person("anna");
    let id = w.store.put_user("new@x.example", None);
    w.store.change_user(&id, crate::model::UserAttribute::FamilyName, "Else");
    w.join("devs", "new");
    w.person("new").set("mail", "anna@x.example");
    // The newcomer is to be adopted, and takes anna's address.
    let prepared = w.prepare();
    let yields = |a: &Action| updates(a);
    assert_eq!(held(&prepared, yields), (2, 2), "{}", prepared.text());
    assert!(why(&prepared).iter().any(|w| w.starts_with("makes room for step")), "{:?}", why(&prepared));
    w.settle();
    assert!(w.prepare().is_empty());
}

#[test]
fn an_approval_is_for_these_values_only() {
    let mut w = crowd(40);
    w.policy.guard.max_renames = 0;
    w.person("u000").set("mail", "");
    w.approve();
    w.person("u000").set("title", "Smith");
    assert_eq!(held(&w.prepare(), updates), (1, 1));
    w.person("u000").set("title", "");
    assert_eq!(held(&w.prepare(), updates), (0, 1));
}
