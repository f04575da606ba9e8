#![allow(clippy::unwrap_used, reason = "in a test, a panic is the report")]

use super::*;
use crate::ids::{Anchor, TargetId};
use crate::model::Intent;

const GROUP: u32 = 9;

fn time(hour: i64) -> Timestamp {
    Timestamp::from_second(hour * 3600).unwrap()
}

fn link(no: u32, kind: Kind) -> Link {
    let mut link = Link::new(LinkNo(no), kind, Anchor::from_u128(no.into()), format!("CN=o{no},DC=x"));
    link.target_id = Some(TargetId::new(no.to_string()));
    link.name = Some(format!("o{no}"));
    link
}

/// Three people and a group that has these now.
fn known(now: &[u32]) -> Known {
    let mut group = link(GROUP, Kind::Group);
    group.applied = now.iter().copied().collect();
    let people = (1..=3).map(|no| link(no, Kind::User));
    Known { links: people.chain([group]).map(|l| (l.no, l)).collect(), ..Known::default() }
}

/// The same without a member.
fn nobody() -> Known {
    known(&[])
}

/// A step that ended an hour after the one before.
fn step(hour: i64, action: &str, link: u32, member: Option<u32>, result: Option<StepResult>) -> JournalEntry {
    let intent = Intent {
        step: 0,
        action: action.to_owned(),
        link: LinkNo(link),
        member: member.map(LinkNo),
        detail: json!({ "reason": "a direct member" }),
        at: time(hour),
    };
    JournalEntry { seq: hour, cycle: CycleId(hour), intent, result: result.map(|r| (r, time(hour))) }
}

fn done(hour: i64, action: &str, link: u32, member: Option<u32>) -> JournalEntry {
    step(hour, action, link, member, Some(StepResult::Done))
}

fn records<'a>(about: &'a [JournalEntry], turns: &'a [JournalEntry]) -> Records<'a> {
    Records { about, turns, hands: &[] }
}

fn members(known: &Known, about: &[JournalEntry], deleted: &[JournalEntry], hour: i64) -> Vec<String> {
    let answer = at(known, &known.links[&LinkNo(GROUP)], &records(about, deleted), time(hour), None);
    answer
        .list
        .iter()
        .map(|m| {
            let since = m.since.as_ref().map_or("?".to_owned(), |s| s.cycle.to_string());
            let sure = if m.sure == Sure::Yes { "" } else { " perhaps" };
            format!("{} {since}{sure}", m.other.label)
        })
        .collect()
}

#[test]
fn the_last_word_before_the_moment_counts() {
    let about = [
        done(1, "create-group", GROUP, None),
        done(2, "add-member", GROUP, Some(1)),
        done(3, "add-member", GROUP, Some(2)),
        done(4, "remove-member", GROUP, Some(1)),
        done(5, "add-member", GROUP, Some(1)),
    ];
    let known = known(&[1, 2]);
    let at = |hour| members(&known, &about, &[], hour);
    assert_eq!(at(1), [] as [&str; 0]);
    assert_eq!(at(2), ["o1 2"]);
    assert_eq!(at(3), ["o1 2", "o2 3"]);
    assert_eq!(at(4), ["o2 3"]);
    assert_eq!(at(9), ["o1 5", "o2 3"]);
}

#[test]
fn what_did_not_happen_does_not_count() {
    let failed = StepResult::Failed { code: "X".to_owned(), message: String::new() };
    let about = [
        step(1, "add-member", GROUP, Some(1), Some(failed)),
        step(2, "add-member", GROUP, Some(2), Some(StepResult::NotDone)),
        step(3, "add-member", GROUP, Some(3), None),
        step(4, "add-member", GROUP, Some(3), Some(StepResult::Found)),
    ];
    assert_eq!(members(&known(&[3]), &about, &[], 9), ["o3 4"]);
}

#[test]
fn whoever_is_older_than_the_records_was_there_before() {
    // 1 was taken out later, 2 has always been in, 3 came later.
    let about = [done(5, "remove-member", GROUP, Some(1)), done(6, "add-member", GROUP, Some(3))];
    let known = known(&[2, 3]);
    assert_eq!(members(&known, &about, &[], 4), ["o1 ?", "o2 ?"]);
    assert_eq!(members(&known, &about, &[], 7), ["o2 ?", "o3 6"]);
}

#[test]
fn before_a_group_was_ours_nothing_is_known() {
    let about = [done(5, "adopt-group", GROUP, None), done(6, "remove-member", GROUP, Some(1))];
    let known = known(&[2]);
    let before = at(&known, &known.links[&LinkNo(GROUP)], &records(&about, &[]), time(4), Some(time(1)));
    assert_eq!((before.list, before.note), (vec![], Some((time(5), ADOPTED))));
    assert_eq!(members(&known, &about, &[], 5), ["o1 ?", "o2 ?"]);
}

#[test]
fn whoever_is_deleted_is_in_nothing_and_a_deleted_group_has_nobody() {
    let about = [done(1, "add-member", GROUP, Some(1)), done(2, "add-member", GROUP, Some(2))];
    let known = known(&[2]);
    let gone = [done(3, "delete-user", 1, None)];
    assert_eq!(members(&known, &about, &gone, 2), ["o1 1", "o2 2"]);
    assert_eq!(members(&known, &about, &gone, 3), ["o2 2"]);
    let known = nobody();
    let about = [about.as_slice(), &[done(4, "delete-group", GROUP, None)]].concat();
    assert_eq!(members(&known, &about, &gone, 3), ["o2 2"]);
    assert_eq!(members(&known, &about, &gone, 4), [] as [&str; 0]);
    let after = at(&known, &known.links[&LinkNo(GROUP)], &records(&about, &gone), time(5), None);
    assert_eq!(after.note, Some((time(4), DELETED)));
}

#[test]
fn the_groups_of_a_user() {
    let about = [done(1, "add-member", GROUP, Some(1)), done(3, "remove-member", GROUP, Some(1))];
    let known = known(&[]);
    let groups = |hour| {
        let answer = at(&known, &known.links[&LinkNo(1)], &records(&about, &[]), time(hour), None);
        answer.list.into_iter().map(|m| m.other.label).collect::<Vec<_>>()
    };
    assert_eq!(groups(2), ["o9"]);
    assert_eq!(groups(3), [] as [&str; 0]);
    // A group that was deleted has nobody.
    let deleted = [done(5, "delete-group", GROUP, None)];
    let about = [done(1, "add-member", GROUP, Some(1))];
    let groups =
        |hour| at(&known, &known.links[&LinkNo(1)], &records(&about, &deleted), time(hour), None).list.len();
    assert_eq!((groups(4), groups(5)), (1, 0));
}

#[test]
fn what_others_did_is_not_taken_for_certain() {
    let made = done(1, "create-group", GROUP, None);
    // 1 was found there and taken out; 2 was put in, was gone once, and put in again; 3 is not in any more.
    let about = [
        made,
        done(2, "add-member", GROUP, Some(2)),
        done(3, "add-member", GROUP, Some(3)),
        done(6, "add-member", GROUP, Some(2)),
        done(7, "remove-member", GROUP, Some(1)),
    ];
    let known = known(&[2]);
    let at = |hour| members(&known, &about, &[], hour);
    assert_eq!(at(4), ["o1 ? perhaps", "o2 2 perhaps", "o3 3 perhaps"]);
    assert_eq!(at(8), ["o2 6", "o3 3 perhaps"]);
}

/// The object is let go, and stays in the target with all that it is in.
#[test]
fn what_is_let_go_by_hand_has_not_ended() {
    let about = [done(1, "create-group", GROUP, None), done(2, "add-member", GROUP, Some(1))];
    let hand = |hour: i64, no: u32, ties| Hand {
        at: time(hour),
        cycle: CycleId(hour),
        anchor: Anchor::from_u128(no.into()),
        ties,
    };
    let known = nobody();
    for who in [GROUP, 1] {
        let hands = [hand(4, who, false)];
        let records = Records { about: &about, turns: &[], hands: &hands };
        let ask = |no: u32, hour| at(&known, &known.links[&LinkNo(no)], &records, time(hour), None);
        for no in [GROUP, 1] {
            let before = ask(no, 3);
            assert_eq!((before.list.len(), before.list[0].sure, before.note), (1, Sure::Yes, None));
            let after = ask(no, 5);
            assert_eq!((after.list.len(), after.note.is_some()), (0, no == who), "{no} {who}");
        }
        assert_eq!(ask(who, 5).note, Some((time(4), LET_GO)));
    }
    // Tied by hand, and nobody knows what it was before.
    let known = self::known(&[1]);
    let hands = [hand(4, GROUP, true)];
    let records = Records { about: &[], turns: &[], hands: &hands };
    let before = at(&known, &known.links[&LinkNo(GROUP)], &records, time(3), None);
    assert_eq!((before.list, before.note), (vec![], Some((time(4), ADOPTED))));
    assert_eq!(at(&known, &known.links[&LinkNo(GROUP)], &records, time(5), None).list.len(), 1);
}

/// Whoever was there when a group was taken over is on record, also where nothing of them is left.
#[test]
fn whoever_was_found_in_a_group_was_in_it() {
    let mut adopted = done(2, "adopt-group", GROUP, None);
    adopted.intent.detail = json!({ "targetId": "9", "present": [1, 2] });
    let removed = done(5, "remove-member", GROUP, Some(2));
    let (about, turns) = ([adopted.clone(), removed], [adopted]);
    let known = nobody();
    let at_hour = |hour| {
        let answer = at(&known, &known.links[&LinkNo(GROUP)], &records(&about, &turns), time(hour), None);
        answer.list.into_iter().map(|m| (m.other.label, m.since.is_some(), m.sure)).collect::<Vec<_>>()
    };
    assert_eq!(at_hour(1), []);
    let one = ("o1".to_owned(), false, Sure::EndedByOthers);
    assert_eq!(at_hour(3), [one.clone(), ("o2".to_owned(), false, Sure::Yes)]);
    assert_eq!(at_hour(6), [one]);
    let of_user = at(&known, &known.links[&LinkNo(2)], &records(&about[1..], &turns), time(3), None);
    assert_eq!(of_user.list.len(), 1);
}
