//! A plan of which only chosen steps are done: what goes with the others, and what the guard says then.

use std::collections::BTreeSet;

use super::world::{Prepared, World};
use crate::ids::Fingerprint;
use crate::model::RenameSupport;
use crate::plan::{Action, ApprovedPlan, Hold, PlanView, Sort};

fn chosen(prepared: &Prepared, which: impl Fn(&Action) -> bool) -> BTreeSet<Fingerprint> {
    let plan = prepared.approved.plan();
    plan.steps.iter().filter(|s| which(&s.action)).map(|s| plan.fingerprint(&s)).collect()
}

fn only(prepared: &Prepared, which: impl Fn(&Action) -> bool) -> ApprovedPlan {
    prepared.approved.clone().only(&chosen(prepared, which))
}

fn runnable(approved: &ApprovedPlan) -> Vec<String> {
    let plan = approved.plan();
    approved
        .runnable()
        .map(|(_, s)| {
            let label = |no| plan.label(no).to_owned();
            let member = s.action.member().map(|no| format!(" {}", label(no))).unwrap_or_default();
            format!("{} {}{member}", s.action.sort().word(), s.action.object().map(label).unwrap_or_default())
        })
        .collect()
}

#[test]
fn what_needs_a_step_that_is_left_out_is_left_out() {
    let mut w = World::new();
    for handle in ["a", "b", "c"] {
        w.join("devs", handle);
    }
    w.enter("devs");
    let prepared = w.prepare();
    let all = only(&prepared, |_| true);
    assert_eq!((all.runnable().count(), all.left_out().len()), (7, 0));

    // Everything but one person: not that one's membership either.
    let b = prepared.approved.plan().steps.iter().find_map(|s| match &s.action {
        Action::CreateUser { user, .. } if prepared.approved.plan().label(*user).starts_with('b') => {
            Some(*user)
        }
        _ => None,
    });
    let part = only(&prepared, |a| !(a.sort() == Sort::CreateUser && a.object() == b));
    assert_eq!((part.runnable().count(), part.left_out().len(), part.held().len()), (5, 2, 0));
    assert!(part.runnable().all(|(_, s)| s.action.object() != b && s.action.member() != b));

    // Memberships alone can be done of nobody who is to be created.
    let none = only(&prepared, |a| a.sort() == Sort::AddMember);
    assert_eq!((none.runnable().count(), none.left_out().len()), (0, 7));
    let text = crate::plan::render(&none, crate::plan::Colors::Off);
    assert_eq!(text, "Nothing to do: none of the chosen steps can be done now.\n");
    let json = serde_json::to_value(PlanView { approved: &none, findings: &[] }).unwrap();
    assert_eq!(json["steps"][0]["leftOut"], true);
    assert!(
        serde_json::to_value(PlanView { approved: &all, findings: &[] }).unwrap()["steps"][0]["leftOut"]
            .is_null()
    );
}

#[test]
fn a_choice_is_no_approval_and_what_is_not_chosen_holds_nobody_up() {
    let mut w = World::synced(&[("devs", &["a", "b", "c", "d"]), ("all", &["a", "b", "c", "d"])]);
    w.policy.guard.max_percent = 100;
    w.policy.guard.max_removals = 1;
    w.leave("devs", "a");
    w.leave("devs", "b");
    w.person("c").set("displayname", "Renamed");
    let prepared = w.prepare();
    assert_eq!(prepared.approved.held().len(), 2);
    let removals = only(&prepared, |a| a.sort() == Sort::RemoveMember);
    assert_eq!((removals.runnable().count(), removals.held().len()), (0, 2));
    assert!(removals.held().values().flatten().all(|h| matches!(h, Hold::OverLimit { .. })));

    let rename = only(&prepared, |a| a.sort() == Sort::UpdateUser);
    assert_eq!(runnable(&rename), ["update-user c@x.example"]);
    assert_eq!((rename.held().len(), rename.left_out().len()), (0, 2));
    assert_eq!(rename.held_fingerprints().len(), 2, "they wait for an approval all the same");
    assert_eq!(rename.all_holds().filter(|h| matches!(h, Hold::OverLimit { .. })).count(), 2);
}

#[test]
fn nobody_is_left_under_a_parking_name() {
    let mut w = World::synced(&[("devs", &["a", "b"])]);
    w.book.set_rename_support(RenameSupport::Accepted);
    let (a, b) = (w.person("a").upn.clone(), w.person("b").upn.clone());
    w.person("a").set("userprincipalname", &b);
    w.person("b").set("userprincipalname", &a);
    let prepared = w.prepare();
    let parks = |approved: &ApprovedPlan| approved.runnable().filter(|(_, s)| s.action.parks()).count();
    let all = only(&prepared, |_| true);
    let halves = only(&prepared, Action::parks);
    assert_eq!((parks(&halves), halves.runnable().count()), (0, 0), "{}", prepared.text());
    assert_eq!(halves.left_out().len(), all.plan().steps.len());
}

#[test]
fn a_group_is_not_emptied_because_its_new_members_are_left_out() {
    let mut w = World::synced(&[("devs", &["a", "b", "c"]), ("all", &["a", "b", "c", "d", "e"])]);
    w.policy.guard.max_percent = 100;
    for handle in ["a", "b", "c"] {
        w.leave("devs", handle);
    }
    w.join("devs", "d");
    let prepared = w.prepare();
    assert!(prepared.approved.held().is_empty(), "{}", prepared.text());
    let removals = only(&prepared, |a| a.sort() == Sort::RemoveMember);
    assert_eq!((removals.runnable().count(), removals.held().len()), (0, 3));
    assert!(removals.held().values().flatten().all(|h| matches!(h, Hold::WouldEmpty { members: 3, .. })));
    // One of them may go: two stay.
    let a = w.link("a").no;
    let one = only(&prepared, |x| x.sort() == Sort::RemoveMember && x.member() == Some(a));
    assert_eq!((one.runnable().count(), one.held().len()), (1, 0));
}

#[test]
fn whatever_is_left_out_nothing_that_is_done_lacks_what_it_needs() {
    let mut w = World::synced(&[("devs", &["a", "b", "c"]), ("all", &["a", "b", "c", "d"])]);
    w.book.set_rename_support(RenameSupport::Accepted);
    let (a, b) = (w.person("a").upn.clone(), w.person("b").upn.clone());
    w.person("a").set("userprincipalname", &b);
    w.person("b").set("userprincipalname", &a);
    w.leave("devs", "c");
    w.join("devs", "new");
    w.group("more", &["new", "a", "d"]);
    w.enter("more");
    let prepared = w.prepare();
    let plan = prepared.approved.plan();
    assert!(plan.steps.len() > 8, "{}", prepared.text());
    for left_out in plan.steps.iter() {
        let mut wanted: BTreeSet<_> = plan.steps.iter().map(|s| plan.fingerprint(&s)).collect();
        wanted.remove(&plan.fingerprint(&left_out));
        let approved = prepared.approved.clone().only(&wanted);
        for (_, step) in approved.runnable() {
            assert!(step.after.iter().all(|no| !approved.waits(*no)), "{step:?} without {left_out:?}");
        }
        let parked = approved.runnable().filter(|(_, s)| s.action.parks()).count();
        let renamed = approved.runnable().filter(|(_, s)| s.action.sort() == Sort::UpdateUser).count();
        assert!(parked == 0 || renamed == 3, "somebody stays parked without {left_out:?}");
    }
}

#[test]
fn one_person_alone_with_what_that_needs() {
    let mut w = World::new();
    w.group("devs", &["a", "b", "c"]);
    w.group("all", &["a", "d"]);
    w.enter("devs");
    w.enter("all");
    let prepared = w.prepare();
    let a = prepared.approved.clone().only_about(w.anchor_of("a"));
    let mut done = runnable(&a);
    done.sort();
    assert_eq!(
        done,
        [
            "add-member all a@x.example",
            "add-member devs a@x.example",
            "create-group all",
            "create-group devs",
            "create-user a@x.example"
        ]
    );
    assert_eq!(a.left_out().len(), prepared.approved.plan().steps.len() - 5);
    // A group takes its members along.
    let all = prepared.approved.clone().only_about(w.anchor_of("all"));
    let mut done = runnable(&all);
    done.sort();
    assert_eq!(
        done,
        [
            "add-member all a@x.example",
            "add-member all d@x.example",
            "create-group all",
            "create-user a@x.example",
            "create-user d@x.example"
        ]
    );
    let nobody = prepared.approved.clone().only_about(crate::ids::Anchor::from_u128(0xdead));
    assert_eq!(nobody.runnable().count(), 0);
}

#[test]
fn a_swap_of_names_is_done_for_both_or_for_neither() {
    let mut w = World::synced(&[("devs", &["a", "b", "c"])]);
    w.book.set_rename_support(RenameSupport::Accepted);
    let (a, b) = (w.person("a").upn.clone(), w.person("b").upn.clone());
    w.person("a").set("userprincipalname", &b);
    w.person("b").set("userprincipalname", &a);
    w.person("c").set("displayname", "Other");
    let prepared = w.prepare();
    for handle in ["a", "b"] {
        let one = prepared.approved.clone().only_about(w.anchor_of(handle));
        assert_eq!((one.runnable().count(), one.left_out().len()), (3, 1), "{}", prepared.text());
    }
    let c = prepared.approved.clone().only_about(w.anchor_of("c"));
    assert_eq!(runnable(&c), ["update-user c@x.example"]);
}

/// Five leave a group, which is held; one more is to be taken over, which waits as well.
fn much_is_held() -> World {
    let mut w = World::synced(&[("devs", &["a", "b", "c", "d"]), ("all", &["a", "b", "c", "d"])]);
    w.policy.guard.max_removals = 0;
    w.leave("devs", "a");
    w.leave("devs", "b");
    w.store.put_user("e@x.example", None);
    w.join("all", "e");
    w
}

#[test]
fn nobody_is_told_to_approve_what_was_not_shown() {
    let w = much_is_held();
    let prepared = w.prepare();
    let id = prepared.approved.plan().id.clone();
    let text = |approved: &ApprovedPlan| crate::plan::render(approved, crate::plan::Colors::Off);
    let lines = |approved: &ApprovedPlan| {
        let all = text(approved);
        let lines = all.lines().filter(|line| line.contains("idcsync ")).map(|line| line.trim().to_owned());
        lines.collect::<Vec<_>>()
    };
    assert_eq!(lines(&prepared.approved), [format!("Approve with: idcsync approve {id}")]);
    let e = w.anchor_of("e");
    let one = prepared.approved.clone().only_about(e);
    assert_eq!(lines(&one), [format!("Approve with: idcsync approve {id} --only user {e}")]);
    let group = w.anchor_of("devs");
    let one = prepared.approved.clone().only_about(group);
    assert_eq!(lines(&one), [format!("Approve with: idcsync approve {id} --only group {group}")]);
    // Steps of a file have no such name.
    let some = only(&prepared, |a| a.sort() == Sort::AdoptUser);
    assert_eq!(
        lines(&some),
        [
            format!("Approve with: idcsync approve {id}"),
            format!("This also approves 4 steps not shown here; look first: idcsync approve {id} --show")
        ]
    );
}

#[test]
fn what_only_an_option_plans_is_recorded_before_it_is_approved() {
    let w = much_is_held();
    let approved = w.prepare().approved;
    let id = approved.plan().id.clone();
    let full = approved.clone().made_with(vec!["--full"]);
    let text = crate::plan::render(&full, crate::plan::Colors::Off);
    let lines = format!(
        "  Run this first, which records and holds them: idcsync sync --full\n  Then approve with: idcsync approve {id}\n"
    );
    assert!(text.contains(&lines), "{text}");
    let mut page = String::new();
    let view = PlanView { approved: &full, findings: &[] };
    crate::plan::PlanPage { view: &view, json: None }.write_to(&mut page).unwrap();
    assert!(page.contains("<pre>idcsync sync --full</pre>"), "{page}");
    assert!(page.contains(&format!("<pre>idcsync approve {id}</pre>")), "{page}");
    let e = w.anchor_of("e");
    let both = approved.made_with(vec!["--full", "--rebind"]).only_about(e).how_to_approve();
    assert_eq!(both.first, Some(format!("idcsync sync --full --rebind --only user {e}")));
    assert_eq!(both.command, format!("idcsync approve {id} --only user {e}"));
}

#[test]
fn of_one_object_nothing_is_said_that_is_about_others() {
    let mut w = World::synced(&[("devs", &["a", "b", "c"]), ("ops", &["a", "b", "c"])]);
    w.join("devs", "d");
    w.leave("ops", "b");
    w.groups.get_mut("ops").unwrap().cut_at = Some(0);
    let approved = w.prepare().approved;
    let about = |handle: &str| approved.clone().only_about(w.anchor_of(handle)).withheld().count();
    assert_eq!((approved.withheld().count(), about("d")), (1, 0));
    let told = crate::plan::render(&approved.clone().only_about(w.anchor_of("d")), crate::plan::Colors::Off);
    assert!(!told.contains("Not taken away"), "{told}");
}

#[test]
fn sessions_of_others_are_no_concern_of_one() {
    let mut w = World::synced(&[("devs", &["a", "b", "c"])]);
    w.join("devs", "d");
    w.person("b").account = crate::model::AccountState::Disabled;
    let approved = w.prepare().approved;
    let told = |handle: &str| {
        crate::plan::render(&approved.clone().only_about(w.anchor_of(handle)), crate::plan::Colors::Off)
    };
    assert!(told("b").contains("Role sessions"), "{}", told("b"));
    assert!(!told("d").contains("Role sessions"), "{}", told("d"));
}
