//! What holds for every plan, over small worlds and hostile changes.

use std::collections::BTreeSet;
use std::time::Duration;

use proptest::prelude::*;

use super::store::{API, Effect, SCIM};
use super::world::{EntryState, World};
use crate::apply::Stop;
use crate::model::{AccountState, Code, DeletionProof, Fate, RenameSupport};
use crate::plan::{Adopt, StepNo, batches};
use crate::target::{Target as _, TargetErrorKind};

const PEOPLE: usize = 8;
const GROUPS: usize = 4;

/// One change, by numbers that are taken modulo what there is.
#[derive(Clone, Debug)]
enum Change {
    Join(usize, usize),
    Nest(usize, usize),
    Leave(usize, usize),
    TakeName(usize, usize),
    TakeMail(usize, usize),
    SwapNames(usize, usize),
    SwapMails(usize, usize),
    TakeGroupName(usize, usize),
    Title(usize, u8),
    NoMail(usize),
    NoSurname(usize),
    Account(usize, u8),
    Filter(usize),
    /// Gone, and someone new with the same names.
    Recycle(usize),
    Delete(usize),
    Hide(usize),
    Show,
    Short(usize),
    Whole,
    Clear(usize),
    EntryUnread(usize),
    EntrySound,
    Rebind(usize, usize),
    LeaveScope(usize),
    /// Deleted, with a tombstone.
    Bury(usize),
    Later(i64),
    /// The target is read back from now on, or no more.
    Full(bool),
    /// Other hands in the target.
    Expel(usize, usize),
    Smuggle(usize, usize),
    DeleteThere(usize),
    DisableThere(usize, bool),
}

fn change() -> impl Strategy<Value = Change> {
    use Change as C;
    let (p, g) = (0..PEOPLE, 0..GROUPS);
    prop_oneof![
        4 => (g.clone(), p.clone()).prop_map(|(a, b)| C::Join(a, b)),
        2 => (g.clone(), g.clone()).prop_map(|(a, b)| C::Nest(a, b)),
        4 => (g.clone(), p.clone()).prop_map(|(a, b)| C::Leave(a, b)),
        3 => (p.clone(), p.clone()).prop_map(|(a, b)| C::TakeName(a, b)),
        3 => (p.clone(), p.clone()).prop_map(|(a, b)| C::TakeMail(a, b)),
        2 => (p.clone(), p.clone()).prop_map(|(a, b)| C::SwapNames(a, b)),
        2 => (p.clone(), p.clone()).prop_map(|(a, b)| C::SwapMails(a, b)),
        2 => (g.clone(), g.clone()).prop_map(|(a, b)| C::TakeGroupName(a, b)),
        2 => (p.clone(), 0..3_u8).prop_map(|(a, b)| C::Title(a, b)),
        1 => p.clone().prop_map(C::NoMail),
        1 => p.clone().prop_map(C::NoSurname),
        2 => (p.clone(), 0..4_u8).prop_map(|(a, b)| C::Account(a, b)),
        1 => p.clone().prop_map(C::Filter),
        2 => p.clone().prop_map(C::Recycle),
        1 => p.clone().prop_map(C::Delete),
        1 => p.clone().prop_map(C::Hide),
        1 => Just(C::Show),
        1 => g.clone().prop_map(C::Short),
        1 => Just(C::Whole),
        1 => g.clone().prop_map(C::Clear),
        1 => g.clone().prop_map(C::EntryUnread),
        1 => Just(C::EntrySound),
        1 => (g.clone(), g.clone()).prop_map(|(a, b)| C::Rebind(a, b)),
        1 => g.clone().prop_map(C::LeaveScope),
        1 => p.clone().prop_map(C::Bury),
        3 => prop_oneof![Just(1), Just(24), Just(8 * 24), Just(27 * 24), Just(40 * 24)].prop_map(C::Later),
        1 => any::<bool>().prop_map(C::Full),
        1 => (g.clone(), p.clone()).prop_map(|(a, b)| C::Expel(a, b)),
        1 => (g, p.clone()).prop_map(|(a, b)| C::Smuggle(a, b)),
        1 => p.clone().prop_map(C::DeleteThere),
        1 => (p, any::<bool>()).prop_map(|(a, b)| C::DisableThere(a, b)),
    ]
}

fn changes(most: usize) -> impl Strategy<Value = Vec<Change>> {
    proptest::collection::vec(change(), 1..most)
}

fn handle<'w>(names: impl Iterator<Item = &'w String>, at: usize) -> Option<String> {
    let list: Vec<&String> = names.collect();
    (!list.is_empty()).then(|| list[at % list.len()].clone())
}

impl World {
    /// A cycle that does not read the target back meets what others did there only as it goes (`cycle` is tested for
    /// that); here it is always a full one.
    fn changes(&mut self, list: &[Change]) {
        use Change as C;
        for change in list {
            self.change(change);
        }
        let others =
            |c: &Change| matches!(c, C::Expel(..) | C::Smuggle(..) | C::DeleteThere(_) | C::DisableThere(..));
        self.full |= list.iter().any(others);
    }

    fn change(&mut self, change: &Change) {
        use Change as C;
        let p = |w: &World, at: usize| handle(w.people.keys(), at);
        let g = |w: &World, at: usize| handle(w.groups.keys(), at).unwrap();
        match change {
            C::Join(a, b) => {
                if let Some(person) = p(self, *b) {
                    let group = g(self, *a);
                    self.join(&group, &person);
                }
            }
            C::Nest(a, b) => {
                let (outer, inner) = (g(self, *a), g(self, *b));
                self.join(&outer, &inner);
            }
            C::Leave(a, b) => {
                let group = self.groups.get_mut(&g(self, *a)).unwrap();
                if let Some(member) = handle(group.members.iter(), *b) {
                    group.members.remove(&member);
                }
            }
            C::TakeName(a, b) | C::SwapNames(a, b) => {
                let (Some(one), Some(other)) = (p(self, *a), p(self, *b)) else { return };
                let (first, second) = (self.people[&one].upn.clone(), self.people[&other].upn.clone());
                self.person(&one).set("userprincipalname", &second);
                if matches!(change, C::SwapNames(..)) {
                    self.person(&other).set("userprincipalname", &first);
                }
            }
            C::TakeMail(a, b) | C::SwapMails(a, b) => {
                let (Some(one), Some(other)) = (p(self, *a), p(self, *b)) else { return };
                let of = |w: &World, h: &str| w.people[h].attributes.get("mail").cloned().unwrap_or_default();
                let (first, second) = (of(self, &one), of(self, &other));
                self.person(&one).set("mail", &second.to_uppercase());
                if matches!(change, C::SwapMails(..)) {
                    self.person(&other).set("mail", &first);
                }
            }
            C::TakeGroupName(a, b) => {
                let (one, other) = (g(self, *a), g(self, *b));
                let (first, second) = (self.groups[&one].name.clone(), self.groups[&other].name.clone());
                self.groups.get_mut(&one).unwrap().name = second;
                self.groups.get_mut(&other).unwrap().name = first;
            }
            C::Title(a, n) => {
                if let Some(one) = p(self, *a) {
                    let title = if *n == 0 { String::new() } else { format!("T{n}") };
                    self.person(&one).set("title", &title);
                }
            }
            C::NoMail(a) => {
                if let Some(one) = p(self, *a) {
                    self.person(&one).set("mail", "");
                }
            }
            C::NoSurname(a) => {
                if let Some(one) = p(self, *a) {
                    let has = self.people[&one].attributes.contains_key("sn");
                    self.person(&one).set("sn", if has { "" } else { "Doe" });
                }
            }
            C::Account(a, n) => {
                let states = [
                    AccountState::Enabled,
                    AccountState::Disabled,
                    AccountState::Expired,
                    AccountState::Unknown,
                ];
                if let Some(one) = p(self, *a) {
                    self.person(&one).account = states[usize::from(*n)];
                }
            }
            C::Filter(a) => {
                if let Some(one) = p(self, *a) {
                    let person = self.person(&one);
                    person.matches_filter = !person.matches_filter;
                }
            }
            C::Recycle(a) => {
                let Some(one) = p(self, *a) else { return };
                let old = self.people[&one].clone();
                let within: Vec<String> = self
                    .groups
                    .iter()
                    .filter(|(_, g)| g.members.contains(&one))
                    .map(|(h, _)| h.clone())
                    .collect();
                self.delete_person(&one);
                let new = format!("{one}n");
                self.person(&new).set("userprincipalname", &old.upn);
                if let Some(mail) = old.attributes.get("mail") {
                    self.person(&new).set("mail", mail);
                }
                within.iter().for_each(|g| self.join(g, &new));
            }
            C::Delete(a) => {
                if let Some(one) = p(self, *a) {
                    self.delete_person(&one);
                }
            }
            C::Hide(a) => {
                if let Some(one) = p(self, *a) {
                    self.person(&one).hidden = true;
                }
            }
            C::Show => self.people.values_mut().for_each(|p| p.hidden = false),
            C::Short(a) => self.groups.get_mut(&g(self, *a)).unwrap().cut_at = Some(1),
            C::Whole => self.groups.values_mut().for_each(|g| g.cut_at = None),
            C::Clear(a) => self.groups.get_mut(&g(self, *a)).unwrap().members.clear(),
            C::EntryUnread(a) => {
                let at = a % self.entries.len();
                self.entries[at].state = EntryState::Unread;
            }
            C::EntrySound => self.entries.iter_mut().for_each(|e| e.state = EntryState::Sound),
            C::Rebind(a, b) => {
                let at = a % self.entries.len();
                let other = g(self, *b);
                if self.entries[at].handle != other {
                    self.entries[at].state = EntryState::ReboundTo(other);
                }
            }
            C::LeaveScope(a) => {
                if self.entries.len() > 1 {
                    self.entries.remove(a % self.entries.len());
                }
            }
            C::Bury(a) => {
                if let Some(one) = p(self, *a) {
                    self.delete_person(&one);
                    self.fates.insert(one, Fate::Deleted(DeletionProof::Tombstone));
                }
            }
            C::Later(hours) => self.later(*hours),
            C::Full(full) => self.full = *full,
            C::Expel(a, b) | C::Smuggle(a, b) => {
                let (group, person) = (g(self, *a), p(self, *b));
                let linked = |w: &World, handle: &str| {
                    let anchor = w.anchor_of(handle);
                    w.book.known().links.into_values().find(|l| l.anchor == anchor).and_then(|l| l.target_id)
                };
                let ids = (linked(self, &group), person.and_then(|person| linked(self, &person)));
                if let (Some(group), Some(user)) = ids
                    && self.store.exists(&group)
                    && self.store.exists(&user)
                    && self.store.is_in(&group, &user) == matches!(change, C::Expel(..))
                {
                    self.store.set_member(&group, &user, matches!(change, C::Smuggle(..)));
                }
            }
            C::DeleteThere(a) | C::DisableThere(a, _) => {
                let Some(one) = p(self, *a) else { return };
                let anchor = self.people[&one].anchor;
                let links = self.book.known().links;
                let Some(id) = links.into_values().find(|l| l.anchor == anchor).and_then(|l| l.target_id)
                else {
                    return;
                };
                if self.store.exists(&id) {
                    match change {
                        C::DisableThere(_, disabled) => self.store.set_disabled(&id, *disabled),
                        _ => self.store.delete(&id),
                    }
                }
            }
        }
    }
}

/// A world that has been synced once, with a few objects of others in the store.
fn start(adopt: Adopt, renames: RenameSupport, scim: bool) -> World {
    let mut w = World::new();
    w.store.become_of_sort(if scim { SCIM } else { API });
    for n in 0..PEOPLE {
        let group = format!("g{}", n % (GROUPS - 1));
        w.join(&group, &format!("p{n}"));
        w.person(&format!("p{n}"));
    }
    w.group("g3", &["g2", "p0", "p1"]);
    for n in 0..GROUPS {
        w.enter(&format!("g{n}"));
    }
    w.policy.adopt = adopt;
    // The numbers of a guard for large worlds would only stop everything here.
    w.policy.guard.max_percent = 100;
    w.book.set_rename_support(renames);
    w.settle();
    let other = w.store.put_user("other@x.example", Some("else@x.example"));
    w.store.put_group("theirs", &[&other]);
    w
}

fn adopt() -> impl Strategy<Value = Adopt> {
    prop_oneof![Just(Adopt::Approve), Just(Adopt::Auto), Just(Adopt::Never)]
}

fn renames() -> impl Strategy<Value = RenameSupport> {
    prop_oneof![3 => Just(RenameSupport::Accepted), 1 => Just(RenameSupport::Unknown)]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, ..ProptestConfig::default() })]

    /// Planning again after applying gives nothing but what is held; applying sends exactly the runnable writes;
    /// and no plan whose look-ups were fresh meets a conflict.
    #[test]
    fn what_was_applied_is_not_planned_again(
        adopt in adopt(),
        renames in renames(),
        rounds in proptest::collection::vec(changes(8), 1..4),
        approve in any::<bool>(),
        scim in any::<bool>(),
    ) {
        let mut w = start(adopt, renames, scim);
        for round in rounds {
            w.changes(&round);
            if approve {
                w.approve();
            }
            w.store.take_log();
            let ran = w.run();
            let log = w.store.take_log();
            prop_assert!(ran.applied.failed.is_empty(), "{:?}\n{}", ran.applied.findings, ran.prepared.text());
            let approved = &ran.prepared.approved;
            let limit = w.store.capabilities().membership_batch as usize;
            let sent = |b: &Vec<StepNo>| b.iter().any(|no| approved.plan().step(*no).action.writes_target());
            let writes = batches(approved, limit).into_iter().filter(sent).count();
            prop_assert_eq!(log.len(), writes, "{:?}", log);
            // Once removals from a suddenly empty group have been approved, or the store has accepted a rename, more
            // is known than before.
            let renamed = ran.applied.rename_support.is_some_and(|s| s != ran.prepared.known.rename_support);
            // Who vanished gives up names, which nobody could know before.
            let vanished = !ran.prepared.approved.plan().vanished.is_empty();
            let wiser = renamed || vanished || ran.prepared.approved.runnable().any(|(_, s)| {
                matches!(s.action, crate::plan::Action::RemoveMember { suspects: Some(_), .. })
            });
            if wiser {
                w.run();
            }
            let again = w.prepare();
            let left: Vec<_> = again.approved.runnable().map(|(_, s)| s.action.clone()).collect();
            prop_assert!(left.is_empty(), "{}\nthen\n{}", ran.prepared.text(), again.text());
            prop_assert!(wiser || again.approved.held().len() == ran.prepared.approved.held().len());
        }
    }

    /// The same in another order is the same plan, to the letter.
    #[test]
    fn the_order_of_the_input_never_shows(
        adopt in adopt(),
        list in changes(12),
        seed in 1..u64::MAX,
        fresh in any::<bool>(),
    ) {
        let mut w = start(adopt, RenameSupport::Accepted, fresh);
        if fresh {
            w.book.forget_everything();
        }
        w.changes(&list);
        let first = w.prepare();
        w.shuffle = seed;
        let other = w.prepare();
        prop_assert_eq!(first.text(), other.text());
        prop_assert_eq!(first.steps(), other.steps());
        let findings = |p: &super::world::Prepared| p.findings.clone();
        prop_assert_eq!(findings(&first), findings(&other));
    }

    /// Whatever is cut off from a read, nobody loses a membership or a name who would not lose it by the whole read.
    #[test]
    fn what_was_not_read_is_never_taken_away(
        list in changes(8),
        groups in proptest::collection::btree_set(0..GROUPS, 0..3),
        hidden in proptest::collection::btree_set(0..PEOPLE, 0..3),
        unread in proptest::option::of(0..GROUPS),
        weeks in 0..6_i64,
        scim in any::<bool>(),
    ) {
        let mut w = start(Adopt::Auto, RenameSupport::Accepted, scim);
        w.changes(&list);
        for _ in 0..weeks {
            w.run();
            w.later(7 * 24);
        }
        let whole = w.prepare();
        for at in groups {
            let group = handle(w.groups.keys(), at).unwrap();
            w.groups.get_mut(&group).unwrap().cut_at = Some(0);
        }
        for at in hidden {
            if let Some(person) = handle(w.people.keys(), at) {
                w.person(&person).hidden = true;
            }
        }
        if let Some(at) = unread {
            let at = at % w.entries.len();
            w.entries[at].state = EntryState::Unread;
        }
        let part = w.prepare();
        let taken = |p: &super::world::Prepared| -> BTreeSet<String> {
            let plan = p.approved.plan();
            plan.steps
                .iter()
                .filter(|s| s.action.proof().is_some())
                .map(|s| {
                    let anchor = |no: Option<crate::ids::LinkNo>| no.map(|no| plan.objects[&no].anchor.to_string());
                    let sort = s.action.sort().word();
                    format!("{sort} {:?} {:?}", anchor(s.action.object()), anchor(s.action.member()))
                })
                .collect()
        };
        prop_assert!(taken(&part).is_subset(&taken(&whole)), "{}\nbut\n{}", part.text(), whole.text());
        let renamed = |p: &super::world::Prepared| p.text().matches("renamed out of the way").count();
        prop_assert!(renamed(&part) <= renamed(&whole));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    /// Killed at any write, its effect done or not, and started again: the same target as without.
    #[test]
    fn an_interrupted_apply_ends_where_an_uninterrupted_one_does(
        list in changes(10),
        effect in prop_oneof![Just(Effect::None), Just(Effect::Done)],
        in_flight in prop_oneof![Just(1_usize), Just(3), Just(8)],
    ) {
        let mut w = start(Adopt::Auto, RenameSupport::Accepted, in_flight == 3);
        w.in_flight = in_flight;
        w.changes(&list);
        let straight = w.fork();
        straight.settle();
        let expected = straight.store.contents();
        let writes = {
            let w = w.fork();
            w.approve();
            w.store.take_log();
            w.run();
            w.store.take_log().len()
        };
        for at in 0..writes {
            let w = w.fork();
            w.approve();
            w.store.crash_at(Some((at, effect)));
            let (_keep, stop) = tokio::sync::watch::channel(false);
            prop_assert!(w.run_until(&stop, Duration::from_secs(60)).is_none(), "write {at} is sent");
            w.store.crash_at(None);
            let (_keep, stop) = tokio::sync::watch::channel(false);
            let ran = w.run_until(&stop, Duration::from_secs(60)).unwrap();
            prop_assert!(w.book.pending().is_empty());
            prop_assert!(ran.applied.failed.is_empty(), "write {}: {:?}", at, ran.applied.findings);
            w.settle();
            prop_assert_eq!(&w.store.contents(), &expected, "write {}", at);
        }
    }

    /// Stopped by hand or by time after any number of writes, the rest is done by the next run.
    #[test]
    fn a_stopped_apply_goes_on_later(list in changes(10), at in 0..6_usize, lost in any::<bool>()) {
        let mut w = start(Adopt::Auto, RenameSupport::Accepted, lost);
        w.changes(&list);
        let straight = w.fork();
        straight.settle();
        w.approve();
        for _ in 0..at {
            // Some call fails as the network does; what became of it is looked up.
            let kind = if lost { TargetErrorKind::Ambiguous } else { TargetErrorKind::Unavailable };
            for operation in ["update-user", "update-group", "add-member", "remove-member"] {
                w.store.fail(super::store::Fault {
                    times: 1,
                    effect: if lost { Effect::Done } else { Effect::None },
                    ..super::store::Fault::new(operation, "", kind)
                });
            }
        }
        let ran = w.run();
        let gave_up = matches!(ran.applied.stop, Some(Stop::TargetUnavailable(_)));
        prop_assert!(ran.applied.stop.is_none() || gave_up);
        w.store.mend();
        w.later(48);
        w.run();
        w.settle();
        prop_assert_eq!(w.store.contents(), straight.store.contents());
    }
}

#[test]
fn a_large_world_is_planned_without_looking_at_everyone_for_everyone() {
    // Not a measurement: a quadratic loop over this many would not end in any patience.
    let mut w = World::new();
    for n in 0..1_500 {
        w.person(&format!("p{n:04}"));
    }
    for n in 0..150 {
        let members: Vec<String> = (0..40).map(|m| format!("p{:04}", (n * 10 + m * 37) % 1_500)).collect();
        w.group(&format!("g{n:03}"), &members.iter().map(String::as_str).collect::<Vec<_>>());
        w.enter(&format!("g{n:03}"));
    }
    let prepared = w.prepare();
    assert!(prepared.approved.held().is_empty());
    assert!(!prepared.codes().contains(&Code::ConflictError));
}
