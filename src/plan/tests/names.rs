//! Names that move: chains, swaps, rings, names of those who left, names of others.

use super::world::{EntryState, World};
use crate::model::{Code, RenameSupport, UserAttribute};

fn upn(w: &mut World, handle: &str, name: &str) {
    w.person(handle).set("userprincipalname", &format!("{name}@x.example"));
}

fn mail(w: &mut World, handle: &str, name: &str) {
    w.person(handle).set("mail", &format!("{name}@x.example"));
}

fn three() -> World {
    let w = World::synced(&[("devs", &["anna", "bob", "carl"])]);
    w.store.take_log();
    w
}

fn accepted(w: &World) {
    w.book.set_rename_support(RenameSupport::Accepted);
}

#[test]
fn a_chain_of_renames_goes_from_the_free_end() {
    let mut w = three();
    upn(&mut w, "anna", "bob");
    upn(&mut w, "bob", "carl");
    upn(&mut w, "carl", "dora");
    let ran = w.run();
    assert!(ran.applied.failed.is_empty());
    assert_eq!(
        w.store.take_log(),
        [
            "update-user carl@x.example userName",
            "update-user bob@x.example userName",
            "update-user anna@x.example userName"
        ]
    );
    assert_eq!(w.store.user("bob@x.example")[&UserAttribute::GivenName], "anna");
    assert_eq!(w.book.known().rename_support, RenameSupport::Accepted);
    assert!(w.prepare().is_empty());
}

#[test]
fn a_swap_of_user_names_is_held_until_the_store_has_accepted_a_rename() {
    let mut w = three();
    upn(&mut w, "anna", "bob");
    upn(&mut w, "bob", "anna");
    w.person("carl").set("title", "Smith");
    insta::assert_snapshot!(w.text(), @r#"
    Plan 27aa7a81bfe8 for profile corp: 3 users to update.
    3 steps are held:
      1 step: a swap of userNames, and this store has not been seen to accept a changed one
      Approve with: idcsync approve 27aa7a81bfe8

    Users
      ~ anna@x.example  (the directory has other values)  [held]
          userName "bob@x.example" → "anna@x.example"
      ~ bob@x.example (parked)  (steps aside for a swap of names)  [held]
          userName "anna@x.example" → "parked-7c3ccd10@x.example"
      ~ bob@x.example  (the directory has other values)  [held]
          userName "parked-7c3ccd10@x.example" → "bob@x.example"
      ~ carl@x.example  (the directory has other values)
          title (none) → "Smith"
    "#);
    let ran = w.run();
    assert_eq!(w.store.take_log(), ["update-user carl@x.example title"]);
    assert_eq!(ran.prepared.approved.held().len(), 3);
    accepted(&w);
    insta::assert_snapshot!(w.text(), @r#"
    Plan de075c419964 for profile corp: 2 users to update.

    Users
      ~ anna@x.example  (the directory has other values)
          userName "bob@x.example" → "anna@x.example"
      ~ bob@x.example (parked)  (steps aside for a swap of names)
          userName "anna@x.example" → "parked-7c3ccd10@x.example"
      ~ bob@x.example  (the directory has other values)
          userName "parked-7c3ccd10@x.example" → "bob@x.example"
    "#);
    w.run();
    assert_eq!(w.store.user("anna@x.example")[&UserAttribute::GivenName], "bob");
    assert_eq!(w.store.user("bob@x.example")[&UserAttribute::GivenName], "anna");
    assert!(w.prepare().is_empty());
}

#[test]
fn a_store_that_refuses_renames_gets_everything_else() {
    let mut w = three();
    w.store.refuse_renames();
    upn(&mut w, "anna", "dora");
    let ran = w.run();
    assert_eq!(ran.applied.rename_support, Some(RenameSupport::Refused));
    w.later(48);
    w.person("anna").set("title", "Smith");
    upn(&mut w, "bob", "anna");
    let prepared = w.prepare();
    assert!(prepared.codes().contains(&Code::UserNameChangeRefused));
    insta::assert_snapshot!(prepared.text(), @r#"
    Plan eb37fb0e8ce8 for profile corp: 1 user to update.

    Users
      ~ dora@x.example  (the directory has other values)
          title (none) → "Smith"
    "#);
    w.run();
    assert_eq!(w.store.user("anna@x.example")[&UserAttribute::Title], "Smith");
    // The finding stands, the wished name is not taken for the one in the target.
    let again = w.prepare();
    assert!(again.is_empty() && again.codes().contains(&Code::UserNameChangeRefused));
    assert_eq!(w.link("anna").name.unwrap(), "anna@x.example");
    let again = w.run().prepared;
    assert!(again.is_empty() && again.codes().contains(&Code::UserNameChangeRefused));
}

#[test]
fn a_swap_of_addresses_parks_one_without() {
    let mut w = three();
    mail(&mut w, "anna", "bob");
    mail(&mut w, "bob", "anna");
    insta::assert_snapshot!(w.text(), @r#"
    Plan b9f2f4d3abed for profile corp: 2 users to update.

    Taken away: users
      ~ anna@x.example (parked)  (steps aside for a swap of names)
          emails[primary].value "anna@x.example" → (none)

    Users
      ~ anna@x.example  (the directory has other values)
          emails[primary].value (none) → "bob@x.example"
      ~ bob@x.example  (the directory has other values)
          emails[primary].value "bob@x.example" → "anna@x.example"
    "#);
    let ran = w.run();
    assert!(ran.applied.failed.is_empty());
    assert_eq!(w.store.user("anna@x.example")[&UserAttribute::Email], "bob@x.example");
    assert!(w.prepare().is_empty());
}

#[test]
fn a_ring_of_addresses_parks_no_user_name() {
    let mut w = three();
    mail(&mut w, "anna", "bob");
    mail(&mut w, "bob", "anna");
    upn(&mut w, "anna", "anna.new");
    upn(&mut w, "carl", "anna");
    // anna's name is free once she has her new one; only her address stands in a ring.
    let ran = w.run();
    assert!(ran.prepared.approved.held().is_empty(), "{}", ran.prepared.text());
    assert!(ran.applied.failed.is_empty());
    assert_eq!(w.store.user("anna@x.example")[&UserAttribute::GivenName], "carl");
    assert!(w.prepare().is_empty());
}

#[test]
fn a_ring_of_three_with_both_keys() {
    let mut w = three();
    accepted(&w);
    for (who, whose) in [("anna", "bob"), ("bob", "carl"), ("carl", "anna")] {
        upn(&mut w, who, whose);
    }
    for (who, whose) in [("bob", "anna"), ("carl", "bob"), ("anna", "carl")] {
        mail(&mut w, who, whose);
    }
    let ran = w.run();
    assert!(ran.applied.failed.is_empty(), "{:?}", ran.applied.findings);
    assert_eq!(w.store.user("carl@x.example")[&UserAttribute::GivenName], "bob");
    assert_eq!(w.store.user("carl@x.example")[&UserAttribute::Email], "anna@x.example");
    assert!(w.prepare().is_empty());
}

#[test]
fn groups_swap_their_names_whatever_the_store_thinks_of_user_names() {
    let mut w = World::synced(&[("a", &["anna"]), ("b", &["bob"])]);
    w.groups.get_mut("a").unwrap().name = "B".to_owned();
    w.groups.get_mut("b").unwrap().name = "a".to_owned();
    insta::assert_snapshot!(w.text(), @r#"
    Plan ecc40f2ef6e1 for profile corp: 2 groups to update.

    Groups
      ~ B (parked)  (steps aside for a swap of names)
          displayName "a" → "parked-692865c9"
      ~ B  (the directory has other values)
          displayName "parked-692865c9" → "B"
      ~ a  (the directory has other values)
          displayName "b" → "a"
    "#);
    w.run();
    assert_eq!(w.store.members_of("a"), ["bob@x.example"]);
    assert_eq!(w.store.members_of("B"), ["anna@x.example"]);
    assert!(w.prepare().is_empty());
}

#[test]
fn letters_of_another_case_are_no_other_name() {
    let mut w = three();
    upn(&mut w, "anna", "Anna");
    mail(&mut w, "anna", "ANNA");
    let ran = w.run();
    assert_eq!(w.store.take_log().len(), 1);
    assert!(ran.applied.failed.is_empty());
    assert!(w.prepare().is_empty());
}

/// anna has left, and a new person has her name and her address.
fn recycled() -> World {
    let mut w = three();
    w.delete_person("anna");
    w.person("anna2");
    upn(&mut w, "anna2", "anna");
    mail(&mut w, "anna2", "Anna");
    w.join("devs", "anna2");
    w
}

#[test]
fn a_recycled_name_goes_to_the_newcomer_who_inherits_nothing() {
    let w = recycled();
    insta::assert_snapshot!(w.text(), @r#"
    Plan 5f53290c9f87 for profile corp: 1 membership to remove, 1 user to update, 1 user to create, 1 membership to add.

    Taken away: users
      ~ anna@x.example (renamed out of the way)  (out of scope: gives its name to anna@x.example)
          userName              "anna@x.example" → "former-7c3ccd10-anna@x.example"
          emails[primary].value "anna@x.example" → (none)

    Taken away: groups
      ~ devs
          - member anna@x.example  (no longer a member, directly or nested: every group below was read completely)

    Users
      + anna@x.example  (in scope by devs)
          userName              = "anna@x.example"
          displayName           = "ANNA2"
          name.givenName        = "anna2"
          name.familyName       = "Doe"
          emails[primary].value = "Anna@x.example"

    Groups
      ~ devs
          + member anna@x.example  (a direct member)
    "#);
    let ran = w.run();
    assert!(ran.applied.failed.is_empty(), "{:?}", ran.applied.findings);
    let contents = w.store.contents();
    let former = contents.users.keys().find(|n| n.starts_with("former-")).unwrap();
    assert!(former.ends_with("-anna@x.example"), "{former}");
    assert_eq!(w.store.members_of("devs"), ["anna@x.example", "bob@x.example", "carl@x.example"]);
    assert_eq!(w.store.user("anna@x.example")[&UserAttribute::GivenName], "anna2");
    assert!(w.prepare().is_empty());
}

#[test]
fn only_the_names_that_are_taken_are_given_up() {
    let mut w = recycled();
    mail(&mut w, "anna2", "other");
    w.run();
    let contents = w.store.contents();
    let (_, former) = contents.users.iter().find(|(n, _)| n.starts_with("former-")).unwrap();
    assert_eq!(former[&UserAttribute::Email], "anna@x.example");
    assert!(w.prepare().is_empty());
}

#[test]
fn a_name_is_not_taken_on_the_strength_of_a_short_read() {
    let mut w = recycled();
    w.groups.get_mut("devs").unwrap().cut_at = Some(3);
    let prepared = w.prepare();
    assert_eq!(prepared.steps(), Vec::<String>::new());
    assert!(prepared.codes().contains(&Code::UserNameClaimed));
    let mut w = recycled();
    w.group("other", &[]);
    w.enter("other").state = EntryState::Unread;
    assert!(w.prepare().codes().contains(&Code::UserNameClaimed));
}

#[test]
fn who_keeps_the_user_name_keeps_the_address_too() {
    let w = recycled();
    w.book.set_rename_support(RenameSupport::Refused);
    let prepared = w.prepare();
    // The newcomer cannot have both, so nobody gives up one for nothing.
    assert_eq!(prepared.steps(), ["remove-member devs anna@x.example"]);
    assert!(prepared.codes().contains(&Code::UserNameClaimed));
}

#[test]
fn who_is_gone_from_the_target_holds_no_name() {
    let mut w = three();
    w.store.delete(&w.id("anna"));
    w.delete_person("anna");
    w.person("anna2");
    upn(&mut w, "anna2", "anna");
    mail(&mut w, "anna2", "anna");
    w.join("devs", "anna2");
    let ran = w.run();
    assert!(ran.applied.failed.is_empty());
    assert!(w.store.contents().users.contains_key("anna@x.example"));
    assert!(w.prepare().is_empty());
}

#[test]
fn who_is_disabled_or_unmapped_keeps_the_name() {
    let mut w = three();
    w.person("anna").account = crate::model::AccountState::Disabled;
    w.join("devs", "anna2");
    upn(&mut w, "anna2", "anna");
    let prepared = w.prepare();
    assert_eq!(prepared.steps(), ["remove-member devs anna@x.example", "revoke-user anna@x.example"]);
    assert!(prepared.codes().contains(&Code::UserNameClaimed));
}

#[test]
fn who_is_disabled_and_renamed_gives_the_name_to_a_newcomer() {
    let mut w = three();
    w.person("anna").account = crate::model::AccountState::Disabled;
    w.run();
    upn(&mut w, "anna", "anna-left");
    w.join("devs", "anna2");
    upn(&mut w, "anna2", "anna");
    let prepared = w.prepare();
    assert!(!prepared.codes().contains(&Code::UserNameClaimed));
    let steps =
        ["update-user anna@x.example", "create-user anna@x.example", "add-member devs anna@x.example"];
    assert_eq!(prepared.steps(), steps);
    w.run();
    assert!(w.prepare().is_empty());
}

#[test]
fn a_group_that_left_gives_up_its_name() {
    let mut w = World::synced(&[("a", &["anna"]), ("b", &["bob"])]);
    w.entries.retain(|e| e.handle != "a");
    w.group("a2", &["anna"]).name = "A".to_owned();
    w.enter("a2");
    insta::assert_snapshot!(w.text(), @r#"
    Plan 6e60d217f701 for profile corp: 1 group to update, 1 group to create, 1 membership to add.

    Taken away: groups
      ~ a (renamed out of the way)  (out of scope: gives its name to A)
          displayName "a" → "former-692865c9-a"

    Groups
      + A  (in scope by a2)
          + member anna@x.example  (a direct member)
    "#);
    w.run();
    assert_eq!(w.store.members_of("A"), ["anna@x.example"]);
    assert!(w.prepare().is_empty());
}

#[test]
fn of_two_who_claim_a_name_the_linked_one_keeps_it_else_the_older() {
    let mut w = World::new();
    w.group("devs", &["young", "old"]);
    w.enter("devs");
    upn(&mut w, "young", "same");
    upn(&mut w, "old", "SAME");
    w.person("old").created = Some("2001-01-01T00:00:00Z".parse().unwrap());
    w.person("young").created = Some("2002-01-01T00:00:00Z".parse().unwrap());
    let ran = w.run();
    assert!(ran.prepared.codes().contains(&Code::UserNameClaimed));
    assert_eq!(w.store.members_of("devs"), ["SAME@x.example"]);
    // Linked: keeps it from someone who is older still.
    w.join("devs", "oldest");
    upn(&mut w, "oldest", "same");
    w.person("oldest").created = Some("1999-01-01T00:00:00Z".parse().unwrap());
    assert!(w.prepare().is_empty());
}

#[test]
fn of_two_groups_that_claim_a_name_the_older_gets_it() {
    let mut w = World::new();
    w.group("young", &["anna"]).created = Some("2002-01-01T00:00:00Z".parse().unwrap());
    w.group("old", &["bob"]).created = Some("2001-01-01T00:00:00Z".parse().unwrap());
    for handle in ["young", "old"] {
        w.groups.get_mut(handle).unwrap().name = "same".to_owned();
        w.enter(handle);
    }
    let ran = w.run();
    assert!(ran.prepared.codes().contains(&Code::GroupNameClaimed));
    assert_eq!(w.store.members_of("same"), ["bob@x.example"]);
}

#[test]
fn an_address_that_someone_else_holds_is_a_finding_and_costs_whoever_waits_for_it() {
    let mut w = three();
    w.store.put_user("other@x.example", Some("taken@x.example"));
    mail(&mut w, "anna", "taken");
    mail(&mut w, "bob", "anna");
    w.person("carl").set("title", "Smith");
    let prepared = w.prepare();
    assert_eq!(prepared.steps(), ["update-user carl@x.example"]);
    let text: Vec<String> = prepared.findings.iter().map(|f| format!("{} {}", f.code, f.message)).collect();
    insta::assert_snapshot!(text.join("\n"), @"
    EmailClaimed its primary address is held by anna@x.example, which keeps it. Give one of them another value in the directory
    ConflictError the primary address taken@x.example is held in the target by other-5, which this profile does not manage. Rename or remove that one, or let it be adopted (target.adopt)
    ");
}

#[test]
fn a_newcomer_whose_address_someone_else_holds_is_not_created() {
    let mut w = three();
    w.store.put_user("other@x.example", Some("NEW@x.example"));
    w.join("devs", "new");
    let prepared = w.prepare();
    assert!(prepared.is_empty());
    assert!(prepared.codes().contains(&Code::ConflictError));
}

#[test]
fn many_newcomers_take_the_names_of_those_who_left() {
    let mut w = World::new();
    for n in 0..40 {
        w.join("devs", &format!("u{n:02}"));
    }
    w.group("devs", &[]);
    w.enter("devs");
    w.settle();
    for n in 0..40 {
        w.delete_person(&format!("u{n:02}"));
        let new = format!("v{n:02}");
        w.join("devs", &new);
        upn(&mut w, &new, &format!("u{n:02}"));
        mail(&mut w, &new, &format!("u{n:02}"));
    }
    w.policy.guard.max_percent = 100;
    w.approve();
    let ran = w.run();
    assert!(ran.applied.failed.is_empty());
    assert_eq!(w.store.contents().users.len(), 80);
    assert!(w.prepare().is_empty());
}
