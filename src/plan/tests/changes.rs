//! Creates, updates and memberships: what the directory says arrives, and nothing else.

use super::world::World;
use crate::model::{AccountState, Code, UserAttribute};

#[test]
fn a_first_run_creates_everything() {
    let mut w = World::new();
    w.group("devs", &["anna", "bob"]);
    w.groups.get_mut("devs").unwrap().description = Some("Who writes code".to_owned());
    w.enter("devs");
    insta::assert_snapshot!(w.text(), @r#"
    Plan 4e2b1e77ae01 for profile corp: 2 users to create, 1 group to create, 2 memberships to add.

    Users
      + anna@x.example  (in scope by devs)
          userName              = "anna@x.example"
          displayName           = "ANNA"
          name.givenName        = "anna"
          name.familyName       = "Doe"
          emails[primary].value = "anna@x.example"
      + bob@x.example  (in scope by devs)
          userName              = "bob@x.example"
          displayName           = "BOB"
          name.givenName        = "bob"
          name.familyName       = "Doe"
          emails[primary].value = "bob@x.example"

    Groups
      + devs  (in scope by devs)
          description = "Who writes code"
          + member anna@x.example  (a direct member)
          + member bob@x.example  (a direct member)
    "#);
    let ran = w.run();
    assert_eq!(ran.applied.done.values().sum::<u64>(), 5);
    assert_eq!(w.store.members_of("devs"), ["anna@x.example", "bob@x.example"]);
    assert!(w.prepare().is_empty());
}

#[test]
fn without_a_change_nothing_is_asked_and_nothing_sent() {
    let w = World::synced(&[("devs", &["anna", "bob"])]);
    w.store.take_calls();
    let ran = w.run();
    assert!(ran.prepared.is_empty());
    assert!(w.store.take_calls().is_empty());
    insta::assert_snapshot!(ran.prepared.text(), @"Nothing to do: the target is as the directory has it.");
}

#[test]
fn an_update_has_only_what_changed() {
    let mut w = World::synced(&[("devs", &["anna", "bob"])]);
    w.store.take_log();
    w.person("anna").set("sn", "Müller").set("title", "Smith").set("mail", "");
    w.person("bob").set("mail", "Bob@X.example");
    w.groups.get_mut("devs").unwrap().description = Some("d".to_owned());
    insta::assert_snapshot!(w.text(), @r#"
    Plan 67ad925c2646 for profile corp: 2 users to update, 1 group to update.

    Taken away: users
      ~ anna@x.example  (the directory has other values)
          name.familyName       "Doe" → "Müller"
          emails[primary].value "anna@x.example" → (none)
          title                 (none) → "Smith"

    Users
      ~ bob@x.example  (the directory has other values)
          emails[primary].value "bob@x.example" → "Bob@X.example"

    Groups
      ~ devs  (the directory has other values)
          description (none) → "d"
    "#);
    w.run();
    let mut log = w.store.take_log();
    log.sort();
    assert_eq!(
        log,
        [
            "update-group devs",
            "update-user anna@x.example name.familyName,emails[primary].value,title",
            "update-user bob@x.example emails[primary].value"
        ]
    );
    assert!(!w.store.user("anna@x.example").contains_key(&UserAttribute::Email));
    assert!(w.prepare().is_empty());
}

#[test]
fn what_others_wrote_into_attributes_that_are_not_mapped_stays() {
    let mut w = World::synced(&[("devs", &["anna"])]);
    w.store.change_user(&w.id("anna"), UserAttribute::NickName, "Nan");
    w.person("anna").set("title", "Smith");
    w.run();
    let anna = w.store.user("anna@x.example");
    assert_eq!(anna[&UserAttribute::NickName], "Nan");
    assert_eq!(anna[&UserAttribute::Title], "Smith");
}

#[test]
fn a_group_is_renamed_and_loses_its_description() {
    let mut w = World::synced(&[("devs", &["anna"])]);
    w.groups.get_mut("devs").unwrap().description = Some("d".to_owned());
    w.settle();
    w.groups.get_mut("devs").unwrap().description = None;
    w.groups.get_mut("devs").unwrap().name = "developers".to_owned();
    insta::assert_snapshot!(w.text(), @r#"
    Plan a21da4b6ba9d for profile corp: 1 group to update.

    Taken away: groups
      ~ developers  (the directory has other values)
          displayName "devs" → "developers"
          description "d" → (none)
    "#);
    w.run();
    assert_eq!(w.store.contents().groups.keys().collect::<Vec<_>>(), ["developers"]);
    assert!(w.prepare().is_empty());
}

#[test]
fn members_come_and_go_through_nested_groups_and_rings() {
    let mut w = World::synced(&[("all", &["root"])]);
    w.group("devs", &["anna", "bob"]);
    w.join("all", "devs");
    w.join("devs", "all");
    w.leave("all", "root");
    w.join("devs", "root");
    insta::assert_snapshot!(w.text(), @r#"
    Plan 31e87735f32d for profile corp: 2 users to create, 1 group to create, 5 memberships to add.

    Users
      + anna@x.example  (in scope by all → devs)
          userName              = "anna@x.example"
          displayName           = "ANNA"
          name.givenName        = "anna"
          name.familyName       = "Doe"
          emails[primary].value = "anna@x.example"
      + bob@x.example  (in scope by all → devs)
          userName              = "bob@x.example"
          displayName           = "BOB"
          name.givenName        = "bob"
          name.familyName       = "Doe"
          emails[primary].value = "bob@x.example"

    Groups
      ~ all
          + member anna@x.example  (a member through devs)
          + member bob@x.example  (a member through devs)
      + devs  (in scope by all → devs)
          + member anna@x.example  (a direct member)
          + member bob@x.example  (a direct member)
          + member root@x.example  (a direct member)
    "#);
    w.settle();
    w.leave("devs", "bob");
    insta::assert_snapshot!(w.text(), @"
    Plan 99998b0d91ec for profile corp: 2 memberships to remove.

    Taken away: groups
      ~ all
          - member bob@x.example  (no longer a member, directly or nested: every group below was read completely)
      ~ devs
          - member bob@x.example  (no longer a member, directly or nested: every group below was read completely)
    ");
}

#[test]
fn a_container_is_read_through_and_not_written() {
    let mut w = World::new();
    w.group("devs", &["anna"]);
    w.group("everything", &["devs", "bob"]);
    w.enter("everything").write = false;
    w.run();
    let contents = w.store.contents();
    assert_eq!(contents.groups.keys().collect::<Vec<_>>(), ["devs"]);
    assert_eq!(contents.users.keys().collect::<Vec<_>>(), ["anna@x.example", "bob@x.example"]);
}

#[test]
fn one_persons_move_stands_side_by_side_and_before_the_rest() {
    let mut w = World::synced(&[("a", &["anna", "bob", "carl", "dora"]), ("b", &["eve"])]);
    for handle in ["bob", "anna"] {
        w.leave("a", handle);
        w.join("b", handle);
    }
    w.person("eve").set("title", "Smith");
    w.join("b", "zoe");
    assert_eq!(
        w.prepare().steps(),
        [
            "remove-member a anna@x.example",
            "add-member b anna@x.example",
            "remove-member a bob@x.example",
            "add-member b bob@x.example",
            "update-user eve@x.example",
            "create-user zoe@x.example",
            "add-member b zoe@x.example",
        ]
    );
}

#[test]
fn someone_without_mail_is_created_and_someone_without_a_surname_is_not() {
    let mut w = World::new();
    w.group("devs", &["anna", "bob"]);
    w.enter("devs");
    w.person("anna").set("mail", "");
    w.person("bob").set("sn", "");
    let ran = w.run();
    assert_eq!(w.store.members_of("devs"), ["anna@x.example"]);
    assert!(ran.prepared.codes().is_superset(&[Code::EmailMissing, Code::RequiredAttributeMissing].into()));
    assert!(w.prepare().is_empty());
}

#[test]
fn someone_who_loses_the_surname_keeps_values_and_memberships() {
    let mut w = World::synced(&[("devs", &["anna", "bob"]), ("ops", &["carl"])]);
    w.person("anna").set("sn", "").set("title", "Smith");
    assert!(w.prepare().is_empty());
    // Memberships go on.
    w.join("ops", "anna");
    w.leave("devs", "anna");
    assert_eq!(w.prepare().steps(), ["remove-member devs anna@x.example", "add-member ops anna@x.example"]);
}

#[test]
fn who_may_not_sign_in_is_member_of_nothing_and_not_created() {
    for (account, reason) in [
        (AccountState::Disabled, "the account was read as disabled"),
        (AccountState::Expired, "the account was read as expired"),
    ] {
        let mut w = World::synced(&[("devs", &["anna", "bob"])]);
        w.join("devs", "new");
        w.person("new").account = account;
        w.person("anna").account = account;
        let prepared = w.prepare();
        assert_eq!(prepared.steps(), ["remove-member devs anna@x.example", "revoke-user anna@x.example"]);
        assert!(prepared.text().contains(reason), "{}", prepared.text());
        assert!(prepared.codes().contains(&Code::AccountDisabled));
        w.run();
        assert!(w.prepare().is_empty());
        w.person("anna").account = AccountState::Enabled;
        assert_eq!(w.prepare().steps(), ["restore-user anna@x.example", "add-member devs anna@x.example"]);
    }
}

#[test]
fn an_account_of_which_nothing_is_known_is_left_alone() {
    let mut w = World::synced(&[("devs", &["anna", "bob"]), ("ops", &["carl"])]);
    w.person("anna").set("title", "Smith").account = AccountState::Unknown;
    w.person("new").account = AccountState::Unknown;
    w.join("devs", "new");
    w.join("ops", "anna");
    // Gains nothing and loses nothing, except what is proven to be no membership any more.
    assert_eq!(w.prepare().steps(), Vec::<String>::new());
    w.leave("devs", "anna");
    assert_eq!(w.prepare().steps(), ["remove-member devs anna@x.example"]);
}

#[test]
fn who_stops_matching_the_filter_has_left() {
    let mut w = World::synced(&[("devs", &["anna", "bob"])]);
    w.person("anna").matches_filter = false;
    insta::assert_snapshot!(w.text(), @"
    Plan 457074ee2469 for profile corp: 1 membership to remove.

    Taken away: groups
      ~ devs
          - member anna@x.example  (no longer matches the user filter)
    ");
}

#[test]
fn a_user_deleted_in_the_target_is_created_again_with_its_memberships() {
    let mut w = World::synced(&[("devs", &["anna", "bob"]), ("ops", &["anna", "carl"])]);
    w.store.delete(&w.id("anna"));
    w.person("anna").set("title", "Smith");
    let prepared = w.prepare();
    assert!(prepared.codes().contains(&Code::TargetObjectMissing));
    insta::assert_snapshot!(prepared.text(), @r#"
    Plan bf46a51d6452 for profile corp: 1 user to create, 2 memberships to add.

    Users
      + anna@x.example  (in scope, and deleted in the target by someone else)
          userName              = "anna@x.example"
          displayName           = "ANNA"
          name.givenName        = "anna"
          name.familyName       = "Doe"
          emails[primary].value = "anna@x.example"
          title                 = "Smith"

    Groups
      ~ devs
          + member anna@x.example  (a direct member)
      ~ ops
          + member anna@x.example  (a direct member)
    "#);
    w.run();
    assert_eq!(w.store.members_of("ops"), ["anna@x.example", "carl@x.example"]);
    assert!(w.prepare().is_empty());
}

#[test]
fn a_user_deleted_in_the_target_is_met_by_a_membership() {
    let mut w = World::synced(&[("devs", &["anna", "bob"]), ("ops", &["anna", "carl"])]);
    w.store.delete(&w.id("anna"));
    w.group("new", &["anna"]);
    w.join("ops", "new");
    let ran = w.run();
    assert!(ran.prepared.codes().contains(&Code::TargetObjectMissing));
    w.run();
    assert_eq!(w.store.members_of("new"), ["anna@x.example"]);
    assert_eq!(w.store.members_of("devs"), ["anna@x.example", "bob@x.example"]);
    assert!(w.prepare().is_empty());
}

#[test]
fn a_removal_of_someone_who_is_gone_is_done() {
    let mut w = World::synced(&[("devs", &["anna", "bob", "carl"])]);
    w.store.delete(&w.id("anna"));
    w.leave("devs", "anna");
    let ran = w.run();
    assert!(ran.applied.failed.is_empty());
    assert!(w.prepare().is_empty());
}

#[test]
fn a_group_deleted_in_the_target_is_filled_again_which_is_no_growth() {
    let handles: Vec<String> = (0..12).map(|n| format!("u{n:02}")).collect();
    let people: Vec<&str> = handles.iter().map(String::as_str).collect();
    let mut w = World::synced(&[("devs", &people), ("x", &["x1"]), ("y", &["y1"])]);
    w.store.delete(&w.id("devs"));
    w.leave("devs", "u00");
    w.join("devs", "new");
    // The removal is moot, the addition meets that the group is gone.
    let ran = w.run();
    assert!(ran.prepared.codes().contains(&Code::TargetObjectMissing));
    let ran = w.run();
    assert!(ran.prepared.approved.held().is_empty(), "{}", ran.prepared.text());
    assert_eq!(w.store.members_of("devs").len(), 12);
    assert!(w.prepare().is_empty());
}

#[test]
fn a_user_that_is_named_itself_is_synced_without_a_group() {
    let mut w = World::new();
    w.person("anna");
    w.enter("anna");
    w.run();
    assert_eq!(w.store.contents().users.len(), 1);
    assert!(w.prepare().is_empty());
}
