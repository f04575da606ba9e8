//! Creates, updates and memberships: what the directory says arrives, and nothing else.

use super::world::World;

#[test]
fn a_first_run_creates_everything() {
    let mut w = World::new();
    w.group("devs", &["anna", "bob"]);
    w.groups.get_mut("devs").unwrap().description = Some("Who writes code".to_owned());
    w.enter("devs");
    insta::assert_snapshot!(w.text(), @"");
    let ran = w.run();
    assert_eq!(ran.applied.done.values().sum::<u64>(), 5);
    assert_eq!(w.store.members_of("devs"), ["anna@x.example", "bob@x.example"]);
    assert!(w.prepare().is_empty());
}
