//! What other hands did in the target.

use super::*;

#[test]
fn what_others_changed_in_the_target_is_repaired_by_a_full_cycle() {
    let mut w = left(true);
    w.store.change_user(&w.id("bob"), UserAttribute::GivenName, "Robert");
    w.store.set_member(&w.id("devs"), &w.id("carl"), false);
    let stranger = w.store.put_user("stranger@else.example", None);
    w.store.set_member(&w.id("devs"), &stranger, true);
    w.store.set_member(&w.id("devs"), &w.id("anna"), true);
    w.store.delete(&w.id("dora"));
    w.store.set_disabled(&w.id("eve"), true);
    assert!(w.prepare().is_empty(), "nobody looks");
    w.full = true;
    let prepared = w.prepare();
    let mut steps = prepared.steps();
    steps.sort();
    assert_eq!(
        steps,
        [
            "add-member devs carl@x.example",
            "add-member devs dora@x.example",
            "create-user dora@x.example",
            "remove-member devs anna@x.example",
            "remove-member devs stranger@else.example",
            "update-user bob@x.example",
        ]
    );
    assert!(prepared.codes().contains(&Code::DisabledByOthers));
    assert!(prepared.codes().contains(&Code::TargetObjectMissing));
    w.run();
    assert!(w.prepare().is_empty(), "{}", w.text());
    assert!(w.store.is_disabled("eve@x.example"), "a disable by others stays");
    assert!(
        w.store.contents().users.contains_key("stranger@else.example"),
        "unmanaged ones are never touched"
    );
}

#[test]
fn a_member_in_the_directory_without_a_link_is_no_stranger() {
    let mut w = left(true);
    w.person("gus").set("sn", "");
    w.join("devs", "gus");
    let stranger = w.store.put_user("gus@x.example", None);
    w.store.set_member(&w.id("devs"), &stranger, true);
    w.full = true;
    assert!(w.prepare().is_empty(), "{}", w.text());
    // An account of which nothing is known may still be let in.
    w.person("gus").account = AccountState::Unknown;
    assert!(w.prepare().is_empty(), "{}", w.text());
}

#[test]
fn a_member_without_a_link_whose_account_is_shut_is_not_shielded() {
    for account in [AccountState::Disabled, AccountState::Expired] {
        let mut w = left(true);
        w.person("gus").account = account;
        w.join("devs", "gus");
        let stranger = w.store.put_user("gus@x.example", None);
        w.store.set_member(&w.id("devs"), &stranger, true);
        w.full = true;
        assert_eq!(w.prepare().steps(), ["remove-member devs gus@x.example"]);
    }
    let mut w = left(true);
    w.person("gus").matches_filter = false;
    w.join("devs", "gus");
    let stranger = w.store.put_user("gus@x.example", None);
    w.store.set_member(&w.id("devs"), &stranger, true);
    w.full = true;
    assert_eq!(w.prepare().steps(), ["remove-member devs gus@x.example"]);
    w.run();
    assert!(!w.store.members_of("devs").contains(&"gus@x.example".to_owned()));
}

#[test]
fn what_only_full_cycles_find_keeps_them_full_while_it_waits() {
    let mut w = left(true);
    let stranger = w.store.put_user("stranger@else.example", None);
    w.store.set_member(&w.id("devs"), &stranger, true);
    w.store.change_user(&w.id("bob"), UserAttribute::GivenName, "Robert");
    w.store.set_member(&w.id("devs"), &w.id("carl"), false);
    let found = |w: &World| {
        let prepared = w.prepare();
        (prepared.steps().len(), prepared.approved.plan().found_by_full_cycles().len())
    };
    assert_eq!(found(&w), (0, 0));
    w.full = true;
    // Who is missing in the group is on record from then on, and added by any cycle.
    assert_eq!(found(&w), (3, 2));
    w.run();
    assert_eq!(found(&w), (0, 0));
}

#[test]
fn protected_members_stay_in_a_full_cycle() {
    let mut w = left(true);
    let stranger = w.store.put_user("break-glass@else.example", None);
    w.store.set_member(&w.id("devs"), &stranger, true);
    w.full = true;
    w.policy.protect = vec!["Break-Glass@else.example".to_owned()];
    assert!(w.prepare().is_empty(), "{}", w.text());
}

#[test]
fn whom_others_enabled_again_is_disabled_again() {
    let mut w = left(true);
    w.person("bob").account = AccountState::Disabled;
    w.run();
    w.store.set_disabled(&w.id("bob"), false);
    w.full = true;
    assert_eq!(w.prepare().steps(), ["disable-user bob@x.example"]);
}

#[test]
fn a_leaver_who_was_deleted_by_hand_is_forgotten() {
    let mut w = left(true);
    w.store.delete(&w.id("anna"));
    w.full = true;
    assert!(w.prepare().is_empty());
    w.run();
    assert_eq!(w.link("anna").target_id, None);
}

#[test]
fn someone_whose_values_cannot_be_written_and_who_is_gone_is_made_anew_with_all_memberships() {
    let mut w = left(true);
    w.person("bob").set("sn", "");
    w.store.delete(&w.id("bob"));
    w.full = true;
    w.run();
    w.full = false;
    assert!(w.prepare().is_empty(), "{}", w.text());
    w.person("bob").set("sn", "Doe");
    assert_eq!(w.prepare().steps(), ["create-user bob@x.example", "add-member devs bob@x.example"]);
    w.run();
    assert!(w.store.members_of("devs").contains(&"bob@x.example".to_owned()));
}

#[test]
fn a_leaver_whom_a_step_did_not_find_is_looked_up_and_forgotten() {
    let mut w = left(true);
    w.store.delete(&w.id("bob"));
    w.leave("devs", "bob");
    w.run();
    w.run();
    assert_eq!(w.link("bob").target_id, None);
    w.store.take_calls();
    assert!(w.run().prepared.is_empty());
    assert!(w.store.take_calls().is_empty());
}

#[test]
fn new_groups_take_their_first_members_along() {
    let mut w = World::new();
    w.store.become_of_sort(SCIM);
    let people: Vec<String> = (0..250).map(|n| format!("u{n:03}")).collect();
    let people: Vec<&str> = people.iter().map(String::as_str).collect();
    w.group("devs", &people);
    w.group("empty", &[]);
    w.enter("devs");
    w.enter("empty");
    w.run();
    let log = w.store.take_log();
    let count = |word: &str| log.iter().filter(|l| l.starts_with(word)).count();
    assert_eq!((count("create-user"), count("create-group"), count("add-member")), (250, 2, 2));
    assert!(w.prepare().is_empty());
    for handle in people.iter().take(30) {
        w.leave("devs", handle);
    }
    w.approve();
    w.run();
    assert_eq!(w.store.take_log().iter().filter(|l| l.starts_with("remove-member")).count(), 1);
    w.store.become_of_sort(API);
}
