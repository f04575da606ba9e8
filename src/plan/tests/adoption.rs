//! Objects that are in the target already: taken over on approval, or left alone.

use super::world::World;
use crate::model::{Code, UserAttribute};
use crate::plan::{Action, Adopt};

/// A store in which someone else made anna, bob and the group that holds them and a stranger.
fn populated() -> World {
    let mut w = World::new();
    w.group("devs", &["anna", "new"]);
    w.enter("devs");
    let anna = w.store.put_user("Anna@x.example", Some("old@x.example"));
    let stranger = w.store.put_user("stranger@x.example", None);
    w.store.put_group("DEVS", &[&anna, &stranger]);
    w
}

#[test]
fn what_has_the_same_name_is_held_with_all_that_depends_on_it() {
    let w = populated();
    insta::assert_snapshot!(w.text(), @r#"
    Plan f6321d13b49e for profile corp: 1 membership to remove, 1 user to update, 1 group to update, 1 user to adopt, 1 group to adopt, 1 user to create, 1 membership to add.
    6 steps are held:
      3 steps: it exists in the target already and would be taken over (target.adopt)
      Approve with: idcsync approve f6321d13b49e

    Taken away: groups
      ~ devs
          - member stranger@x.example  (nobody in the directory: membership of a managed group is authoritative)  [held]

    Users
      ~ anna@x.example (adopt other-1)  (the target has anna@x.example already)  [held]
      ~ anna@x.example  (the directory has other values)  [held]
          userName              "Anna@x.example" → "anna@x.example"
          name.givenName        "Anna" → "anna"
          emails[primary].value "old@x.example" → "anna@x.example"
      + new@x.example  (in scope by devs)
          userName              = "new@x.example"
          displayName           = "NEW"
          name.givenName        = "new"
          name.familyName       = "Doe"
          emails[primary].value = "new@x.example"

    Groups
      ~ devs (adopt other-3)  (the target has devs already)  [held]
      ~ devs  (the directory has other values)  [held]
          displayName "DEVS" → "devs"
          + member new@x.example  (a direct member)  [held]
    "#);
    w.run();
    assert_eq!(w.store.take_log(), ["create-user new@x.example"]);
    w.approve();
    let ran = w.run();
    assert!(ran.applied.failed.is_empty());
    assert_eq!(w.store.members_of("devs"), ["anna@x.example", "new@x.example"]);
    assert_eq!(w.store.contents().users.len(), 3, "the stranger is still there");
    assert!(w.prepare().is_empty());
    assert!(w.book.known().approvals.is_empty(), "an approval is used up");
}

#[test]
fn adopt_auto_asks_nobody() {
    let mut w = populated();
    w.policy.adopt = Adopt::Auto;
    let ran = w.run();
    assert!(ran.prepared.approved.held().is_empty());
    assert_eq!(w.store.members_of("devs"), ["anna@x.example", "new@x.example"]);
    assert!(w.prepare().is_empty());
}

#[test]
fn adopt_never_leaves_them_alone() {
    let mut w = populated();
    w.policy.adopt = Adopt::Never;
    let ran = w.run();
    assert_eq!(w.store.take_log(), ["create-user new@x.example"]);
    assert_eq!(ran.prepared.findings.iter().filter(|f| f.code == Code::ConflictError).count(), 2);
    assert_eq!(w.store.members_of("DEVS").len(), 2);
}

#[test]
fn the_same_anchor_needs_no_approval() {
    for adopt in [Adopt::Approve, Adopt::Never] {
        let mut w = populated();
        w.policy.adopt = adopt;
        let id = w.store.put_user("new@x.example", None);
        w.store.set_external_id(&id, &w.anchor_of("new").to_string());
        let steps = w.prepare().steps();
        assert!(steps.contains(&"adopt-user new@x.example".to_owned()), "{steps:?}");
    }
}

#[test]
fn an_adopted_object_that_is_as_desired_needs_no_write() {
    let mut w = World::new();
    w.group("devs", &["anna"]);
    w.enter("devs");
    let anna = w.store.put_user("anna@x.example", Some("anna@x.example"));
    w.store.put_group("devs", &[&anna]);
    assert_eq!(w.prepare().steps(), ["adopt-user anna@x.example [held]", "adopt-group devs [held]"]);
    w.approve();
    w.run();
    assert!(w.store.take_log().is_empty());
    w.store.take_calls();
    assert!(w.prepare().is_empty());
    assert!(w.store.take_calls().is_empty(), "its digest is known");
}

#[test]
fn a_lost_state_ends_in_a_plan_to_approve_not_in_a_second_set() {
    let mut w = World::synced(&[("devs", &["anna", "bob"]), ("ops", &["bob", "carl"])]);
    let before = w.store.contents();
    w.store.take_log();
    w.book.forget_everything();
    let ran = w.run();
    assert!(w.store.take_log().is_empty());
    assert_eq!(ran.prepared.approved.held().len(), 5);
    w.leave("ops", "carl");
    w.approve();
    w.run();
    assert_eq!(w.store.take_log(), ["remove-member ops carl@x.example"]);
    w.join("ops", "carl");
    w.settle();
    assert_eq!(w.store.contents(), before);
}

#[test]
fn a_group_may_be_adopted_before_its_members_are() {
    let mut w = populated();
    w.person("new").set("sn", "");
    w.book.approve_only(&w.prepare().approved, |a| {
        !matches!(a, Action::AdoptUser { .. } | Action::UpdateUser { .. })
    });
    w.run();
    assert_eq!(w.store.members_of("devs"), ["Anna@x.example"]);
    // anna is a member already: once she is adopted, nothing more is sent for that.
    assert_eq!(
        w.prepare().steps(),
        ["adopt-user anna@x.example [held]", "update-user anna@x.example [held]"]
    );
    w.store.take_log();
    w.settle();
    assert_eq!(
        w.store.take_log(),
        ["update-user Anna@x.example userName,name.givenName,emails[primary].value"]
    );
}

#[test]
fn a_failed_removal_of_a_stranger_leaves_the_group_unadopted() {
    use super::store::Fault;
    let w = populated();
    w.approve();
    w.store.fail(Fault::new("remove-member", "stranger", crate::target::TargetErrorKind::Throttled));
    let ran = w.run();
    assert!(w.link("devs").target_id.is_none());
    assert_eq!(ran.applied.failed.len(), 1);
    w.store.mend();
    w.settle();
    assert_eq!(w.store.members_of("devs"), ["anna@x.example", "new@x.example"]);
}

#[test]
fn protected_objects_are_never_adopted_written_or_removed() {
    let mut w = populated();
    w.policy.protect = vec!["STRANGER@x.example".to_owned()];
    w.settle();
    assert_eq!(w.store.members_of("devs"), ["anna@x.example", "new@x.example", "stranger@x.example"]);

    for name in ["devs", "Devs"] {
        let mut w = populated();
        w.policy.protect = vec![name.to_owned()];
        w.settle();
        assert_eq!(w.store.members_of("DEVS"), ["anna@x.example", "stranger@x.example"]);
    }
    // By the address that it has in the target, and by its id.
    for name in ["OLD@x.example", "other-1"] {
        let mut w = populated();
        w.policy.protect = vec![name.to_owned()];
        let prepared = w.prepare();
        assert!(prepared.codes().contains(&Code::Protected));
        assert!(
            prepared.steps().iter().all(|s| !s.to_lowercase().contains("anna")),
            "{:?}",
            prepared.steps()
        );
    }
}

#[test]
fn protect_holds_for_what_is_linked() {
    let mut w = World::synced(&[("devs", &["anna", "bob", "carl"]), ("ops", &["anna", "bob"])]);
    w.policy.protect = vec!["anna@x.example".to_owned(), "Ops".to_owned()];
    // Written, renamed, removed, added: nothing of it.
    w.person("anna").set("title", "Smith").set("userprincipalname", "anna.new@x.example");
    w.leave("devs", "anna");
    w.leave("ops", "bob");
    w.groups.get_mut("ops").unwrap().name = "operations".to_owned();
    w.group("new", &["anna"]);
    w.join("devs", "new");
    w.leave("new", "anna");
    w.join("new", "carl");
    let prepared = w.prepare();
    assert_eq!(prepared.steps(), ["create-group new", "add-member new carl@x.example"]);
    // By the address alone, also when the directory has another one, and when it cannot be mapped.
    w.policy.protect = vec!["ANNA@x.example".to_owned(), "ops".to_owned()];
    w.person("anna").set("userprincipalname", "anna@x.example").set("mail", "other@x.example").set("sn", "");
    assert_eq!(w.prepare().steps(), ["create-group new", "add-member new carl@x.example"]);
}

#[test]
fn a_protected_object_that_left_gives_up_nothing() {
    let mut w = World::synced(&[("devs", &["anna", "bob"])]);
    w.policy.protect = vec!["anna@x.example".to_owned()];
    w.delete_person("anna");
    w.join("devs", "anna2");
    w.person("anna2").set("mail", "anna@x.example");
    let prepared = w.prepare();
    assert!(prepared.is_empty(), "{}", prepared.text());
}

#[test]
fn an_address_of_another_one_stands_in_the_way_of_an_adoption() {
    let w = populated();
    w.store.put_user("other@x.example", Some("anna@x.example"));
    let prepared = w.prepare();
    assert!(prepared.codes().contains(&Code::ConflictError));
    assert!(prepared.steps().iter().all(|s| !s.contains("adopt-user")), "{:?}", prepared.steps());
    w.settle();
    assert_eq!(w.store.user("Anna@x.example")[&UserAttribute::Email], "old@x.example");
}

#[test]
fn a_member_who_is_linked_and_left_is_taken_out_of_an_adopted_group() {
    let mut w = World::synced(&[("devs", &["anna", "bob"])]);
    let (anna, bob) = (w.id("anna"), w.id("bob"));
    w.store.put_group("ops", &[&anna, &bob]);
    w.group("ops", &["bob"]);
    w.enter("ops");
    assert_eq!(w.prepare().steps(), ["adopt-group ops [held]", "remove-member ops anna@x.example [held]"]);
    w.settle();
    assert_eq!(w.store.members_of("ops"), ["bob@x.example"]);
}
