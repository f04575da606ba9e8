//! Answers about a small company, as a cycle would have them at hand.
#![allow(clippy::unwrap_used, reason = "this is test code, where a panic is the report")]

use super::*;
use crate::model::{
    AccountState, DirectoryUser, Kind, Observed, ObservedUser, UserAttribute, UserAttributes,
};
use crate::plan::desire;
use crate::plan::tests::world::{World, mapping};
use crate::scope::NestedGroups;
use crate::target::Target as _;

/// `handle` may be somebody whom the scope does not lead to: `stranger` is what the directory says then.
fn ask(world: &World, kind: Kind, handle: &str, stranger: Option<&DirectoryUser>) -> Explanation {
    let prepared = world.prepare();
    let (snapshot, known, mapping) = (world.read(), world.book.known(), mapping());
    let scope = Scope::resolve(&snapshot, &known, NestedGroups::Flatten);
    let target = world.store.capabilities();
    let desire = desire(&scope, &mapping, &known, target);
    let sight = Sight {
        snapshot: &snapshot,
        scope: &scope,
        nested: true,
        filter: Some("(!(x=y))"),
        known: &known,
        desire: &desire,
        mapping: &mapping,
        target,
        lifecycle: &world.policy.lifecycle,
        approved: &prepared.approved,
        findings: &prepared.findings,
        now: world.now,
    };
    let anchor = stranger.map_or_else(|| world.anchor_of(handle), |user| user.anchor);
    let asked = Asked { kind, anchor, user: stranger, group: None };
    explain(&sight, &asked).0
}

fn user(world: &World, handle: &str) -> Explanation {
    ask(world, Kind::User, handle, None)
}

fn company() -> World {
    let mut world = World::new();
    world.group("inner", &["anna", "bob"]);
    world.group("devs", &["bob", "carl", "inner"]);
    world.group("all", &["anna", "inner", "devs"]);
    world.enter("devs");
    world.enter("all");
    world
}

fn codes(explanation: &Explanation) -> Vec<&'static str> {
    explanation.scope.lacks.iter().map(|lack| lack.code).collect()
}

#[test]
fn whoever_is_in_has_every_path_the_shortest_first() {
    let anna = user(&company(), "anna");
    assert_eq!(anna.scope.verdict, Verdict::InScope);
    let paths: Vec<String> = anna.scope.paths.iter().map(ToString::to_string).collect();
    assert_eq!(paths, ["all", "devs → inner", "all → inner", "all → devs → inner"]);
    assert_eq!((anna.scope.path_count, anna.scope.path_count_cut_short), (4, false));
    // What is to be done to her, and the groups that have to be there first.
    let own: Vec<&str> =
        anna.next.steps.iter().filter(|s| !s.needed).map(|s| s.step["action"].as_str().unwrap()).collect();
    assert_eq!(own, ["create-user", "add-member", "add-member", "add-member"]);
    assert_eq!(anna.next.steps.iter().filter(|s| s.needed).count(), 3);
    let groups: Vec<_> = anna.memberships.iter().map(|m| (m.wanted, m.there, m.through.is_some())).collect();
    assert_eq!(groups, [(Some(true), false, false), (Some(true), false, true), (Some(true), false, false)]);
    let text = render(&anna);
    assert!(
        text.starts_with("The user anna@x.example is in scope, by all.\n  And by 3 other paths:\n"),
        "{text}"
    );
    assert!(text.contains("create it in the target  (in scope by all)\n"), "{text}");
}

#[test]
fn what_somebody_lacks_is_said() {
    let mut world = company();
    world.person("bob").account = AccountState::Disabled;
    world.person("carl").matches_filter = false;
    world.person("anna").set("sn", "");
    let bob = user(&world, "bob");
    assert_eq!((bob.scope.verdict, codes(&bob)), (Verdict::NotSynced, vec!["disabled"]));
    let carl = user(&world, "carl");
    assert_eq!((carl.scope.verdict, codes(&carl)), (Verdict::OutOfScope, vec!["filtered"]));
    assert!(carl.scope.lacks[0].text.ends_with("scope.user-filter (!(x=y))"));
    let anna = user(&world, "anna");
    assert_eq!((anna.scope.verdict, codes(&anna)), (Verdict::NotSynced, vec!["not-writable"]));
    let found = &anna.findings[0];
    assert_eq!((found.code, found.remedy), (Code::RequiredAttributeMissing, found.code.remedy()));
    assert!(render(&anna).contains("    remedy: fill the attribute, or map it"));
    assert!(anna.scope.lacks[0].text.ends_with(": see the findings (RequiredAttributeMissing)"));
}

#[test]
fn somebody_whom_no_read_brought_is_told_by_the_directorys_own_answer() {
    let mut world = company();
    let mut gus = world.read().users[0].clone();
    gus.anchor = Anchor::from_u128(0xffff);
    let out = ask(&world, Kind::User, "gus", Some(&gus));
    assert_eq!((out.scope.verdict, codes(&out)), (Verdict::OutOfScope, vec!["not-a-member"]));
    assert!(!out.attributes.is_empty() && out.next.steps.is_empty() && out.link.is_none());
    // A list that was cut short may have held him.
    world.groups.get_mut("inner").unwrap().cut_at = Some(0);
    let unsure = ask(&world, Kind::User, "gus", Some(&gus));
    assert_eq!(unsure.scope.verdict, Verdict::Unsure);
    assert!(!unsure.scope.doubts.is_empty());
    assert!(render(&unsure).contains("cannot be said for sure"));
}

#[test]
fn what_the_target_has_is_held_against_what_it_should_have() {
    let world = World::synced(&[("devs", &["anna", "bob", "carl"])]);
    let mut anna = user(&world, "anna");
    assert!(anna.next.steps.is_empty());
    assert_eq!(
        anna.memberships.iter().map(|m| (m.wanted, m.there)).collect::<Vec<_>>(),
        [(Some(true), true)]
    );
    hold_against(&mut anna, &Observed::default());
    assert_eq!(anna.target, InTarget::Gone);
    let mut attributes: UserAttributes = anna
        .attributes
        .iter()
        .filter_map(|a| Some((UserAttribute::parse(a.traced.attribute)?, a.traced.value.clone()?)))
        .collect();
    attributes.insert(UserAttribute::DisplayName, "Old \u{202e}name".to_owned());
    let observed = ObservedUser { attributes, disabled: true, ..ObservedUser::default() };
    let users = [(world.id("anna"), observed)].into();
    hold_against(&mut anna, &Observed { users, ..Observed::default() });
    assert_eq!(anna.target, InTarget::Disabled);
    let differing: Vec<_> =
        anna.attributes.iter().filter(|a| a.differs).map(|a| a.traced.attribute).collect();
    assert_eq!(differing, ["displayName"]);
    let text = render(&anna);
    assert!(
        text.contains("≠ displayName") && text.contains("the target has \"Old \\u{202e}name\""),
        "{text}"
    );
    assert!(text.contains("it is disabled there"), "{text}");
}

#[test]
fn who_left_is_counted_down_and_what_is_held_says_why() {
    let mut world = World::synced(&[("devs", &["anna", "bob", "carl"]), ("all", &["bob", "carl", "dora"])]);
    world.leave("devs", "anna");
    world.run();
    world.later(24 * 10);
    let anna = user(&world, "anna");
    assert_eq!(anna.scope.verdict, Verdict::OutOfScope);
    let link = anna.link.as_ref().unwrap();
    assert!(link.out_of_scope_since.is_some());
    assert_eq!(link.countdown.map(|c| (c.what, c.days_left)), Some(("disable", 18)));
    assert!(render(&anna).contains("  to be disabled    in 18 days ("), "{}", render(&anna));

    world.policy.guard.max_removals = 0;
    world.leave("devs", "bob");
    let bob = user(&world, "bob");
    let text = render(&bob);
    assert!(
        text.contains("remove it from") && text.contains("    held: 1 in this cycle, guard.max-removals"),
        "{text}"
    );
    // No more than what this answer shows.
    let only = format!("idcsync approve {} --only user {}\n", bob.next.plan, world.anchor_of("bob"));
    assert!(text.contains(&only), "{text}");
}

/// As the target has it, but for what `change` does to it.
fn seen(world: &World, handle: &str, change: impl FnOnce(&mut ObservedUser)) -> Explanation {
    let mut explained = user(world, handle);
    let values = explained.attributes.iter();
    let attributes: UserAttributes = values
        .filter_map(|a| Some((UserAttribute::parse(a.traced.attribute)?, a.traced.value.clone()?)))
        .collect();
    let mut observed = ObservedUser { attributes, ..ObservedUser::default() };
    change(&mut observed);
    let users = [(world.id(handle), observed)].into();
    hold_against(&mut explained, &Observed { users, ..Observed::default() });
    explained
}

fn idle(explained: &Explanation) -> String {
    let text = render(explained);
    text.lines()
        .find(|line| line.starts_with("  Nothing to do"))
        .unwrap_or_else(|| panic!("{text}"))
        .to_owned()
}

#[test]
fn that_all_is_as_it_should_be_is_said_of_what_was_looked_at() {
    let mut world = World::synced(&[("devs", &["anna", "bob", "carl"])]);
    let well = "  Nothing to do to it: the target is as the directory has it.";
    assert_eq!(idle(&seen(&world, "anna", |_| {})), well);
    let full = "  Nothing to do to it in the next cycle: what the target has otherwise than the directory is found by \
                the next full cycle (`idcsync sync --full`), and repaired or reported.";
    let renamed = |user: &mut ObservedUser| {
        user.attributes.insert(UserAttribute::DisplayName, "Other".to_owned());
    };
    assert_eq!(idle(&seen(&world, "anna", renamed)), full);
    assert_eq!(idle(&seen(&world, "anna", |user| user.disabled = true)), full);
    let mut gone = user(&world, "anna");
    hold_against(&mut gone, &Observed::default());
    assert_eq!(idle(&gone), full);
    // Whom the plan leaves alone for a reason of its own.
    world.policy.protect = ["anna@x.example".to_owned()].into();
    world.person("anna").set("displayname", "New");
    let protected = seen(&world, "anna", |_| {});
    assert_eq!(idle(&protected), "  Nothing to do to it in the next cycle: see the findings (Protected).");
    // Not linked, and its creation has to wait.
    let mut bob = seen(&world, "bob", |_| {});
    bob.target = InTarget::NotLinked;
    bob.link.as_mut().unwrap().retry_not_before = Some(world.now);
    assert_eq!(
        idle(&bob),
        "  Nothing to do to it in the next cycle: the target has refused it, as said above."
    );
}

#[test]
fn a_membership_that_was_not_read_is_not_called_a_strangers() {
    let mut world = World::synced(&[("devs", &["anna", "bob"]), ("ops", &["anna", "bob"])]);
    world.leave("devs", "anna");
    world.groups.get_mut("ops").unwrap().cut_at = Some(0);
    let anna = user(&world, "anna");
    let of = |group: &str| anna.memberships.iter().find(|m| m.group == group).unwrap();
    assert_eq!((of("devs").wanted, of("ops").wanted), (Some(false), None));
    let text = render(&anna);
    assert!(text.contains("ops: a member there; whether by the directory could not be read"), "{text}");
    assert!(text.contains("devs: is a member there, and not by the directory"), "{text}");
    // Unsure, and the list of the other group was read to its end.
    assert_eq!(anna.scope.verdict, Verdict::Unsure);
    assert!(
        text.contains("it is not taken to have left the scope; a group that was read to its end may"),
        "{text}"
    );
    assert!(text.contains("  remove it from devs  ("), "{text}");
    assert!(!text.contains("nothing is taken away"), "{text}");
    // The account cannot be read: whether it is to be a member neither.
    world.person("bob").account = AccountState::Unknown;
    let bob = user(&world, "bob");
    assert!(bob.memberships.iter().all(|m| m.wanted.is_none()), "{:?}", bob.memberships);
    let ops = render(&ask(&world, Kind::Group, "ops", None));
    assert!(
        ops.contains("nobody is taken to have left it; who is disabled, expired or deleted is removed"),
        "{ops}"
    );
}

#[test]
fn a_group_tells_who_is_in_it_by_what() {
    let mut world = company();
    world.group("other", &["dora", "anna"]);
    world.join("all", "other");
    let all = ask(&world, Kind::Group, "all", None);
    let members = all.members.as_ref().unwrap();
    assert_eq!((members.direct.len(), members.effective, members.synced), (1, 4, 4));
    // bob comes by inner and by devs.
    assert_eq!(members.through_several, 1);
    let only: Vec<(u64, usize)> = members.through.iter().map(|t| (t.count, t.only.len())).collect();
    assert_eq!(only, [(3, 1), (2, 1), (2, 0)]);
    assert!(members.incomplete.is_empty() && members.incomplete_below.is_empty());

    world.groups.get_mut("inner").unwrap().cut_at = Some(1);
    world.groups.get_mut("all").unwrap().foreign.insert("CN=elsewhere,DC=y".to_owned());
    let all = ask(&world, Kind::Group, "all", None);
    let members = all.members.as_ref().unwrap();
    assert_eq!((members.incomplete_below.len(), members.unreadable.len()), (1, 1));
    let text = render(&all);
    assert!(text.contains("Not read to the end below it: inner"), "{text}");
    assert!(text.contains("  unreadable: ") && text.contains("outside the base DN"), "{text}");
    assert!(render(&ask(&world, Kind::Group, "inner", None)).contains("The list was not read to its end: "));
}

#[test]
fn a_container_says_that_it_is_one() {
    let mut world = company();
    world.entry("all").write = false;
    let all = ask(&world, Kind::Group, "all", None);
    assert_eq!((all.scope.verdict, codes(&all)), (Verdict::NotSynced, vec!["container"]));
    assert!(all.members.is_some());
}
