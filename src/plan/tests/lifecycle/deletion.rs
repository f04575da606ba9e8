//! Deletion on proof, and all that is none.

use super::*;

#[test]
fn deleted_with_proof_is_disabled_at_once_and_deleted_after_delete_after() {
    let mut w = left(true);
    deleted(&mut w, "bob");
    assert_eq!(w.prepare().steps(), ["remove-member devs bob@x.example", "disable-user bob@x.example"]);
    w.run();
    days(&mut w, 6);
    assert!(w.prepare().is_empty());
    days(&mut w, 1);
    assert!(!w.store.contents().users.contains_key("bob@x.example"));
    assert!(w.prepare().is_empty());
}

#[test]
fn the_reason_of_a_delete_names_its_proof() {
    let mut w = left(true);
    w.policy.lifecycle.delete_after = SignedDuration::ZERO;
    deleted(&mut w, "bob");
    insta::assert_snapshot!(w.text(), @r"
    Plan 8c12476ef340 for profile corp: 1 user to delete, 1 membership to remove.

    Taken away: users
      - bob@x.example (delete, with its account assignments)  (deleted in the directory: its tombstone was read, first on 2026-11-03 12:00 UTC)

    Taken away: groups
      ~ devs
          - member bob@x.example  (deleted in the directory: its tombstone was read)

    Role sessions that are running now may last for up to 12 hours after.
    ");
}

#[test]
fn a_delete_tells_what_goes_with_it() {
    let mut w = left(true);
    w.policy.lifecycle.delete_after = SignedDuration::ZERO;
    deleted(&mut w, "bob");
    let bob = w.link("bob");
    let approved = w.prepare().approved;
    // The membership that goes too takes away what the group is assigned to.
    let devs = w.link("devs");
    let expected = BTreeMap::from([
        (bob.no, (Kind::User, bob.target_id.as_ref())),
        (devs.no, (Kind::Group, devs.target_id.as_ref())),
    ]);
    assert_eq!(approved.assignable(), expected);
    let (id, prints) = (approved.plan().id.clone(), approved.held_fingerprints());
    let reads = Assignment {
        account: "111122223333".to_owned(),
        permission_set: "arn:1".to_owned(),
        permission_set_name: Some("ReadOnly".to_owned()),
    };
    let of_both = BTreeMap::from([(bob.no, vec![reads.clone()]), (devs.no, vec![reads])]);
    let read = approved.clone().with_assigned(Assigned::Read(of_both));
    assert_eq!((&read.plan().id, read.held_fingerprints()), (&id, prints));
    let text = render(&read, Colors::Off);
    assert!(
        text.contains("on 2026-11-03 12:00 UTC)\n      goes with it for good: ReadOnly in 111122223333\n"),
        "{text}"
    );
    let unread = approved.with_assigned(Assigned::Unread);
    let of_steps = |approved: &ApprovedPlan| -> Vec<Option<serde_json::Value>> {
        let plan = approved.plan();
        plan.numbered().map(|(no, _)| approved.step_json(no).get("assignments").cloned()).collect()
    };
    let list = serde_json::json!(
        [{ "account": "111122223333", "permissionSet": "arn:1", "permissionSetName": "ReadOnly" }]
    );
    assert!(text.contains("      takes away from each member: ReadOnly in 111122223333\n"), "{text}");
    assert_eq!(of_steps(&read), [Some(list.clone()), Some(list)]);
    assert_eq!(of_steps(&unread), [Some(serde_json::Value::Null), Some(serde_json::Value::Null)]);
    let text = render(&unread, Colors::Off);
    assert!(text.contains("\nAccount assignments could not be read: the log says why.\n"), "{text}");
}

#[test]
fn restored_in_between_is_enabled_again() {
    let mut w = left(true);
    let before = w.people["bob"].clone();
    deleted(&mut w, "bob");
    w.run();
    days(&mut w, 3);
    w.fates.clear();
    w.people.insert("bob".to_owned(), before);
    w.join("devs", "bob");
    assert_eq!(w.prepare().steps(), ["enable-user bob@x.example", "add-member devs bob@x.example"]);
    w.run();
    assert_eq!(w.link("bob").deleted, None);
    days(&mut w, 9);
    assert!(w.prepare().is_empty());
}

#[test]
fn what_is_only_not_found_is_never_deleted() {
    let mut w = left(true);
    w.delete_person("bob");
    w.run();
    days(&mut w, 28);
    w.later(1);
    let prepared = w.prepare();
    assert!(prepared.steps().iter().all(|s| !s.starts_with("delete")), "{:?}", prepared.steps());
    assert!(prepared.steps().contains(&"disable-user bob@x.example".to_owned()), "it left the scope");
    w.run();
    days(&mut w, 100);
    assert!(w.store.contents().users.contains_key("bob@x.example"));
}

#[test]
fn servers_without_tombstones_may_be_given_a_time() {
    let mut w = left(true);
    w.policy.lifecycle.delete_on_absence = Some(SignedDuration::from_hours(48));
    w.policy.lifecycle.delete_after = SignedDuration::from_hours(24);
    w.delete_person("bob");
    w.run();
    days(&mut w, 2);
    assert!(w.prepare().is_empty(), "{}", w.text());
    w.later(1);
    assert_eq!(w.prepare().steps(), ["disable-user bob@x.example"]);
    w.run();
    days(&mut w, 1);
    assert!(!w.store.contents().users.contains_key("bob@x.example"), "delete-after counts from there");
}

#[test]
fn a_tombstone_that_is_not_shown_any_more_deletes_nobody() {
    let mut w = left(true);
    deleted(&mut w, "bob");
    w.run();
    w.fates.clear();
    days(&mut w, 30);
    assert!(w.store.contents().users.contains_key("bob@x.example"));
}

#[test]
fn a_newcomer_gets_the_name_of_someone_deleted_however_short_the_read() {
    let mut w = left(true);
    w.group("ops", &["gus"]);
    w.enter("ops");
    w.settle();
    w.entry("ops").state = EntryState::Unread;
    deleted(&mut w, "bob");
    w.join("devs", "bob2");
    w.person("bob2").set("userprincipalname", "bob@x.example");
    assert!(w.prepare().steps().contains(&"create-user bob@x.example".to_owned()), "{}", w.text());
}

#[test]
fn a_deletion_that_cannot_be_looked_at_again_waits() {
    let mut w = left(true);
    deleted(&mut w, "bob");
    w.run();
    days(&mut w, 6);
    let shortfall = crate::plan::tests::world::shortfall("bob");
    w.fates.insert("bob".to_owned(), Fate::Unread(shortfall));
    w.later(2 * DAY);
    assert!(w.prepare().is_empty());
}

#[test]
fn on_directory_delete_may_be_to_disable() {
    let mut w = left(true);
    w.policy.lifecycle.on_directory_delete = OnDelete::Disable;
    deleted(&mut w, "bob");
    w.run();
    days(&mut w, 30);
    assert!(w.store.is_disabled("bob@x.example"));
}

#[test]
fn a_newcomer_of_the_same_name_inherits_nothing_even_while_the_old_one_is_there() {
    let mut w = left(true);
    w.group("ops", &["bob", "gus"]);
    w.enter("ops");
    w.settle();
    deleted(&mut w, "bob");
    w.join("devs", "bob2");
    let domain = crate::plan::tests::world::DOMAIN;
    w.person("bob2").set("userprincipalname", &format!("bob@{domain}")).set("mail", &format!("bob@{domain}"));
    w.run();
    days(&mut w, 8);
    let contents = w.store.contents();
    assert_eq!(w.store.members_of("ops"), ["gus@x.example"]);
    assert!(w.store.members_of("devs").contains(&"bob@x.example".to_owned()));
    assert_eq!(contents.users.keys().filter(|n| n.contains("bob")).count(), 1, "{:?}", contents.users.keys());
    assert_ne!(w.link("bob2").target_id, None);
    assert_eq!(w.link("bob").target_id, None);
}

#[test]
fn a_deleted_group_is_emptied_and_then_deleted() {
    let mut w = left(true);
    w.group("ops", &["bob", "carl"]);
    w.enter("ops");
    w.settle();
    let anchor = w.anchor_of("ops");
    w.groups.remove("ops");
    w.entries.retain(|e| e.handle != "ops");
    w.buried.insert("ops".to_owned(), anchor);
    w.fates.insert("ops".to_owned(), Fate::Deleted(DeletionProof::Tombstone));
    assert_eq!(w.prepare().steps(), ["remove-member ops bob@x.example", "remove-member ops carl@x.example"]);
    w.run();
    days(&mut w, 7);
    assert!(!w.store.contents().groups.contains_key("ops"));
    assert!(w.prepare().is_empty());
}

#[test]
fn deletes_and_disables_of_half_are_held_whatever_the_limits() {
    let mut w = World::synced(&[("devs", &["anna", "bob", "carl", "dora", "eve", "finn"])]);
    w.store.become_of_sort(SCIM);
    w.policy.guard.max_percent = 100;
    for handle in ["anna", "bob", "carl"] {
        deleted(&mut w, handle);
    }
    let prepared = w.prepare();
    assert_eq!(prepared.approved.held().len(), 6, "with their memberships: {}", prepared.text());
    assert!(prepared.text().contains("3 of 6 linked users would be disabled"), "{}", prepared.text());
    w.approve();
    w.run();
    assert!(w.store.is_disabled("anna@x.example"));
    assert_eq!(w.store.members_of("devs").len(), 3);
}
