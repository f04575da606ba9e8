//! What holds on both engines.

use std::collections::{BTreeMap, BTreeSet};

use idcsync::ids::{Anchor, CycleId, Fingerprint, IdentityStoreId, LinkNo, PlanId, TargetId};
use idcsync::model::{
    ChangeCookie, Code, Finding, Intent, Kind, Link, Mark, Mirror, MirrorChange, Outcome, PendingIntent, Pin,
    Position, Progress, RenameSupport, StepResult, Subject,
};
use idcsync::state::{
    Cycle, CycleKind, CycleOutcome, CycleWord, Pause, Pruned, ReadRecord, State, StateError,
};
use serde_json::json;

use crate::bed::{Bed, Engine, at, binding, full_group, read, shown, store, user, with_links};

on_both! {
    a_new_database_knows_nothing
    everything_that_a_read_records_is_loaded_again
    a_link_is_written_as_a_whole
    what_only_one_column_says_is_loaded
    a_mirror_is_kept_changed_and_dropped_with_its_read
    profiles_do_not_see_each_other
    target_objects_have_one_owner
    a_target_id_moves_from_one_link_to_another
    a_profile_stays_bound_to_what_it_was_bound_to
    cycles_begin_end_and_are_listed
    an_intent_without_an_outcome_is_found_after_a_crash
    outcomes_and_links_are_recorded_together_or_not_at_all
    thousands_of_steps_keep_their_order
    findings_are_intervals
    held_plans_and_approvals
    a_pause_is_kept_and_lifted
    old_history_goes_and_what_is_open_stays
    many_open_a_new_database_at_once
    a_hundred_thousand_links
    text_that_an_engine_cannot_hold
}

async fn a_new_database_knows_nothing(engine: Engine) {
    let bed = Bed::new(engine);
    let state = bed.open().await;
    let known = state.load(at("01T00:00:00")).await.unwrap();
    assert!(known.links.is_empty() && known.pins.is_empty() && known.approvals.is_empty());
    assert!(known.findings.is_empty() && known.binding.is_none());
    assert_eq!((known.last_complete_read, known.last_cycle), (None, None));
    assert_eq!(known.rename_support, RenameSupport::Unknown);
    assert_eq!(known.next_no(), LinkNo(1));
    assert!(state.cycles(10).await.unwrap().is_empty() && state.unfinished().await.unwrap().is_empty());
    assert_eq!(state.latest_held().await.unwrap(), None);
    assert_eq!((state.pause().await.unwrap(), state.lease(&store()).await.unwrap()), (None, None));
}

async fn everything_that_a_read_records_is_loaded_again(engine: Engine) {
    let bed = Bed::new(engine);
    let state = bed.open().await;
    let cycle = state.begin_cycle(CycleKind::Full, at("03T10:00:00.5")).await.unwrap();
    let links = [user(1, None), user(2, Some("u-2")), full_group()];
    let pin = Pin { anchor: Anchor::from_u128(7), name: "AWS-Admins".to_owned() };
    let pins = BTreeMap::from([
        ((Kind::Group, "AWS-Admins".to_owned()), pin.clone()),
        ((Kind::User, "AWS-Admins".to_owned()), Pin { name: "somebody".to_owned(), ..pin.clone() }),
    ]);
    let record = ReadRecord {
        pins: pins.clone(),
        complete_read: Some(at("03T10:00:07.25")),
        server: Some("ldaps://dc1".to_owned()),
        read: Some(at("03T10:00:07.5")),
        clock: Some(at("03T10:00:00.5")),
        full: Some(at("03T10:00:07.75")),
        cookie: Some(ChangeCookie { server: "ldap://s".to_owned(), bytes: vec![0, 255, 7] }),
        mirror: None,
        ..read(links.iter().collect(), at("03T10:00:08"))
    };
    state.record_read(cycle, &record).await.unwrap();
    state.set_rename_support(RenameSupport::Refused).await.unwrap();
    let renamed = Pin { name: "AWS-Administrators".to_owned(), ..pin };
    state.set_pin(Kind::Group, "AWS-Admins", &renamed, at("03T11:00:00")).await.unwrap();
    state.close().await;

    let known = bed.open().await.load(at("04T00:00:00")).await.unwrap();
    assert_eq!(known.links.len(), 3);
    for link in &links {
        assert_eq!(shown(&known.links[&link.no]), shown(link));
    }
    assert_eq!(known.pins[&(Kind::Group, "AWS-Admins".to_owned())], renamed);
    assert_eq!(
        known.pins[&(Kind::User, "AWS-Admins".to_owned())],
        pins[&(Kind::User, "AWS-Admins".to_owned())]
    );
    assert_eq!(known.binding, Some(binding()));
    assert_eq!(known.last_complete_read, Some(at("03T10:00:07.25")));
    assert_eq!(known.last_cycle, Some(at("03T10:00:00.5")));
    assert_eq!(known.last_server.as_deref(), Some("ldaps://dc1"));
    assert_eq!(known.last_read, Some(at("03T10:00:07.5")));
    assert_eq!(known.last_full, Some(at("03T10:00:07.75")));
    assert_eq!(known.cookie, Some(ChangeCookie { server: "ldap://s".to_owned(), bytes: vec![0, 255, 7] }));
    assert_eq!(known.rename_support, RenameSupport::Refused);
    assert_eq!(known.next_no(), LinkNo(8));
}

/// More entries than one statement takes, a question longer than any key may be, and bytes that are no text.
async fn a_mirror_is_kept_changed_and_dropped_with_its_read(engine: Engine) {
    let bed = Bed::new(engine);
    let state = bed.open().await;
    let cycle = state.begin_cycle(CycleKind::Normal, at("03T10:00:00")).await.unwrap();
    let mark = Mark {
        digest: "d".to_owned(),
        server: "ldaps://dc1".to_owned(),
        position: Position::Usn { invocation: Anchor::from_u128(5), usn: u64::MAX },
        full: at("03T10:00:00"),
        reads: 0,
    };
    assert_eq!(state.mirror_mark().await.unwrap(), None);
    assert_eq!(state.mirror(&mark).await.unwrap(), None);
    let anchor = |n: u32| Anchor::from_u128(n.into());
    let mut mirror = Mirror {
        mark: mark.clone(),
        entries: (1..2000).map(|n| (anchor(n), n.to_le_bytes().as_slice().into())).collect(),
        answers: BTreeMap::from([
            (format!("(|{})", "(cn=somebody)".repeat(2000)), [anchor(1), anchor(2)].into()),
            ("(cn=nobody)".to_owned(), BTreeSet::new()),
        ]),
    };
    let record = |change| ReadRecord { mirror: Some(change), ..read(vec![], at("03T10:00:08")) };
    state.record_read(cycle, &record(MirrorChange::Whole(mirror.clone()))).await.unwrap();
    assert_eq!(state.mirror_mark().await.unwrap().as_ref(), Some(&mark));
    assert_eq!(state.mirror(&mark).await.unwrap().as_ref(), Some(&mirror));

    let next = Mark { position: Position::Sync { cookie: vec![0, 255] }, reads: 1, ..mark.clone() };
    let answers = BTreeMap::from([("(cn=nobody)".to_owned(), BTreeSet::from([anchor(7)]))]);
    let change = MirrorChange::Part {
        mark: next.clone(),
        put: BTreeMap::from([(anchor(1), [0xff].as_slice().into()), (anchor(5000), [].into())]),
        gone: [anchor(2), anchor(9999)].into(),
        answers: answers.clone(),
    };
    state.record_read(cycle, &record(change)).await.unwrap();
    mirror.mark = next.clone();
    mirror.entries.remove(&anchor(2));
    mirror.entries.extend([(anchor(1), [0xff].as_slice().into()), (anchor(5000), [].into())]);
    mirror.answers.extend(answers);
    // Who has seen the old mark does not get what belongs to the new one.
    assert_eq!(state.mirror(&mark).await.unwrap(), None);
    assert_eq!(state.mirror(&next).await.unwrap().as_ref(), Some(&mirror));
    let some = BTreeSet::from([anchor(1), anchor(2), anchor(5000)]);
    assert_eq!(state.mirror_entries(&mark, &some).await.unwrap(), None);
    let held = BTreeMap::from([(anchor(1), [0xff].as_slice().into()), (anchor(5000), [].into())]);
    assert_eq!(state.mirror_entries(&next, &some).await.unwrap(), Some(held));

    // A read that keeps nothing leaves what is there; one that cannot be trusted does not.
    state.record_read(cycle, &read(vec![], at("03T11:00:00"))).await.unwrap();
    assert_eq!(state.mirror_mark().await.unwrap().as_ref(), Some(&next));
    let other = State::open(&bed.url, "other").await.unwrap();
    assert_eq!(other.mirror_mark().await.unwrap(), None);
    state.record_read(cycle, &record(MirrorChange::Drop)).await.unwrap();
    assert_eq!(state.mirror_mark().await.unwrap(), None);
    state.record_read(cycle, &record(MirrorChange::Whole(Mirror { mark, ..mirror.clone() }))).await.unwrap();
    assert_eq!(state.mirror_mark().await.unwrap().map(|m| m.reads), Some(0));
}

async fn a_link_is_written_as_a_whole(engine: Engine) {
    let bed = Bed::new(engine);
    let state = bed.open().await;
    let cycle = with_links(&state, &[full_group(), user(1, None)]).await;
    let mut bare = Link::new(LinkNo(7), Kind::Group, full_group().anchor, "CN=x".to_owned());
    bare.filled = false;
    // The same link twice in one record: the last one counts.
    state.record_read(cycle, &read(vec![&full_group(), &bare], at("02T00:00:00"))).await.unwrap();
    let known = state.load(at("02T00:00:00")).await.unwrap();
    assert_eq!(shown(&known.links[&LinkNo(7)]), shown(&bare));
    assert_eq!(shown(&known.links[&LinkNo(1)]), shown(&user(1, None)));
}

/// Columns that are mostly empty are asked for only where one of them is not: none of them may be forgotten there. And no
/// text is taken for anything else.
async fn what_only_one_column_says_is_loaded(engine: Engine) {
    let from: [fn(&mut Link, Link); 12] = [
        |link, full| link.out_since = full.out_since,
        |link, full| link.direct = full.direct.clone(),
        |link, full| link.hidden = full.hidden.clone(),
        |link, full| link.unreadable = full.unreadable.clone(),
        |link, full| link.applied = full.applied.clone(),
        |link, full| link.retry = full.retry,
        |link, full| link.disabled = full.disabled,
        |link, full| link.deleted = full.deleted,
        |link, full| link.absent_since = full.absent_since,
        |link, full| link.doubtful = full.doubtful.clone(),
        |link, full| link.primary = full.primary.clone(),
        |link, full| link.digest = full.digest,
    ];
    let odd = "\"\\,[]{}\u{1}\n\u{7f}\u{202e}\u{1f600}é'null";
    let links: Vec<Link> = (100..)
        .zip(from)
        .map(|(no, take)| {
            let mut link = user(no, Some(&format!("{odd}{no}")));
            let bare = link.clone();
            take(&mut link, full_group());
            assert!(link != bare, "the full group has it");
            (link.dn, link.name, link.email) = (odd.into(), Some(odd.to_owned()), Some(odd.to_owned()));
            link
        })
        .collect();
    let bed = Bed::new(engine);
    let state = bed.open().await;
    with_links(&state, &links).await;
    let known = state.load(at("02T00:00:00")).await.unwrap();
    assert_eq!(known.links.values().collect::<Vec<_>>(), links.iter().collect::<Vec<_>>());
}

async fn profiles_do_not_see_each_other(engine: Engine) {
    let bed = Bed::new(engine);
    let corp = bed.open().await;
    let other = State::open(&bed.url, "other").await.unwrap();
    with_links(&corp, &[user(1, Some("u-1"))]).await;
    let cycle = with_links(&other, &[user(1, Some("u-2"))]).await;
    let known = corp.load(at("02T00:00:00")).await.unwrap();
    assert_eq!(known.links[&LinkNo(1)].target_id, Some(TargetId::new("u-1")));
    assert_eq!(corp.cycles(9).await.unwrap().len(), 1);
    assert!(matches!(
        corp.record_read(cycle, &read(vec![], at("02T00:00:00"))).await,
        Err(StateError::NotRunning { .. })
    ));
}

async fn target_objects_have_one_owner(engine: Engine) {
    let bed = Bed::new(engine);
    let corp = bed.open().await;
    with_links(&corp, &[user(1, Some("x")), user(2, None)]).await;
    let other = State::open(&bed.url, "other").await.unwrap();
    let mut group = user(1, Some("x"));
    group.kind = Kind::Group;
    // Users and groups have id spaces of their own.
    let cycle = with_links(&other, &[group]).await;
    let error =
        other.record_read(cycle, &read(vec![&user(3, Some("x"))], at("02T00:00:00"))).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "the user x of the target belongs to the profile `corp` already (its CN=u1,DC=x)"
    );
    assert!(!error.is_unavailable());
    // Of both, what the other one has; of the link that has no id, nothing.
    for (state, kind, owner) in [(&other, Kind::User, "corp"), (&corp, Kind::Group, "other")] {
        let elsewhere = state.linked_elsewhere(&store()).await.unwrap();
        assert_eq!(elsewhere, [((kind, TargetId::new("x")), owner.to_owned())].into());
    }
    assert!(!other.load(at("02T00:00:00")).await.unwrap().links.contains_key(&LinkNo(3)));
    // And within one profile.
    assert!(matches!(
        corp.record(&[], &[&user(2, Some("x"))]).await,
        Err(StateError::Owned { profile, .. }) if profile == "corp"
    ));
}

async fn a_target_id_moves_from_one_link_to_another(engine: Engine) {
    let bed = Bed::new(engine);
    let state = bed.open().await;
    with_links(&state, &[user(1, None), user(2, Some("x"))]).await;
    state.record(&[], &[&user(1, Some("x")), &user(2, None)]).await.unwrap();
    let known = state.load(at("02T00:00:00")).await.unwrap();
    assert_eq!(known.links[&LinkNo(1)].target_id, Some(TargetId::new("x")));
    assert_eq!(known.links[&LinkNo(2)].target_id, None);
}

async fn a_profile_stays_bound_to_what_it_was_bound_to(engine: Engine) {
    let bed = Bed::new(engine);
    let state = bed.open().await;
    let now = at("01T00:00:00");
    let cycle = state.begin_cycle(CycleKind::Normal, now).await.unwrap();
    let (unlinked, linked) = (user(1, None), user(1, Some("u-1")));
    let unbound = |links| ReadRecord { binding: None, ..read(links, now) };
    state.record_read(cycle, &unbound(vec![&unlinked])).await.unwrap();
    assert!(matches!(
        state.record_read(cycle, &unbound(vec![&linked])).await,
        Err(StateError::NotBound { .. })
    ));
    state.record_read(cycle, &read(vec![&linked], now)).await.unwrap();
    state.record_read(cycle, &read(vec![&linked], now)).await.unwrap();
    for (what, changed) in [("directory", 0), ("identity store", 1)] {
        let mut other = binding();
        match changed {
            0 => other.directory = "S-1-5-21-9-9-9".to_owned(),
            _ => other.identity_store = IdentityStoreId::new("d-0000000000"),
        }
        let record = ReadRecord { binding: Some(other), ..read(vec![&unlinked], now) };
        let error = state.record_read(cycle, &record).await.unwrap_err();
        assert!(error.to_string().contains(&format!("is tied to the {what}")), "{error}");
    }
    let known = state.load(now).await.unwrap();
    assert_eq!((known.binding, known.links.len()), (Some(binding()), 1));
    assert!(known.links[&LinkNo(1)].target_id.is_some(), "what went with the refused binding is not kept");
}

async fn cycles_begin_end_and_are_listed(engine: Engine) {
    let bed = Bed::new(engine);
    let state = bed.open().await;
    let first = state.begin_cycle(CycleKind::Normal, at("01T00:00:00")).await.unwrap();
    let second = state.begin_cycle(CycleKind::Full, at("01T01:00:00")).await.unwrap();
    assert!(second > first);
    let outcome = CycleOutcome {
        word: CycleWord::Held,
        counts: json!({"created": 3, "held": {"remove": 1}}),
        finished: at("01T00:05:00"),
    };
    state.finish_cycle(first, &outcome).await.unwrap();
    assert!(matches!(state.finish_cycle(first, &outcome).await, Err(StateError::NotRunning { .. })));
    assert!(matches!(state.finish_cycle(CycleId(99), &outcome).await, Err(StateError::NotRunning { .. })));
    let cycles = state.cycles(10).await.unwrap();
    let began = at("01T01:00:00");
    let mut running =
        Cycle { id: second, kind: CycleKind::Full, started: began, outcome: None, applying: None };
    assert_eq!(cycles[0], running);
    let progress = Progress { done: 3, total: 9, pending: 5, per_second: Some(17.5) };
    for progress in [Progress { per_second: None, ..progress }, progress] {
        state.note_progress(second, &progress, began).await.unwrap();
        running.applying = Some((progress, began));
        assert_eq!(state.cycles(1).await.unwrap(), [running.clone()]);
    }
    // Too late: it has ended, and has its counts.
    state.note_progress(first, &progress, began).await.unwrap();
    assert_eq!(cycles[1].outcome, Some(outcome));
    assert_eq!(state.cycles(1).await.unwrap().len(), 1);
    // What belongs to a cycle belongs to one that runs.
    assert!(matches!(state.intend(first, &[intent(0)]).await, Err(StateError::NotRunning { .. })));
}

fn intent(step: u32) -> Intent {
    Intent {
        step,
        action: "add-member".to_owned(),
        link: LinkNo(7),
        member: step.is_multiple_of(2).then_some(LinkNo(1)),
        detail: json!({"userName": "jürg", "n": step}),
        at: at("01T00:01:00"),
    }
}

async fn an_intent_without_an_outcome_is_found_after_a_crash(engine: Engine) {
    let bed = Bed::new(engine);
    let state = bed.open().await;
    let cycle = with_links(&state, &[full_group(), user(1, None)]).await;
    let numbers = state.intend(cycle, &[intent(0), intent(1), intent(2)]).await.unwrap();
    let done = Outcome { seq: numbers[1], result: StepResult::Done, at: at("01T00:02:00") };
    state.record(&[done], &[]).await.unwrap();
    // Not closed: as if it had been killed.
    drop(state);

    let state = bed.open().await;
    let pending = |at: usize, step| PendingIntent { seq: numbers[at], cycle, intent: intent(step) };
    assert_eq!(state.unfinished().await.unwrap(), [pending(0, 0), pending(2, 2)]);
    let other = State::open(&bed.url, "other").await.unwrap();
    assert!(other.unfinished().await.unwrap().is_empty());
    let outcomes = [
        Outcome { seq: numbers[0], result: StepResult::Found, at: at("01T00:09:00") },
        Outcome { seq: numbers[2], result: StepResult::NotDone, at: at("01T00:09:00") },
    ];
    state.record(&outcomes, &[]).await.unwrap();
    assert!(state.unfinished().await.unwrap().is_empty());
}

async fn outcomes_and_links_are_recorded_together_or_not_at_all(engine: Engine) {
    let bed = Bed::new(engine);
    let state = bed.open().await;
    let cycle = with_links(&state, &[full_group(), user(1, None)]).await;
    let seq = state.intend(cycle, &[intent(4)]).await.unwrap()[0];
    let failed = StepResult::Failed { code: "ThrottlingException".to_owned(), message: "später".to_owned() };
    let outcome = Outcome { seq, result: failed.clone(), at: at("01T00:02:00") };
    let unknown = Outcome { seq: seq + 1, ..outcome.clone() };
    let linked = user(1, Some("u-1"));
    let error = state.record(&[outcome.clone(), unknown], &[&linked]).await.unwrap_err();
    assert!(matches!(error, StateError::NoSuchStep { seq: s, .. } if s == seq + 1), "{error}");
    assert_eq!(state.unfinished().await.unwrap().len(), 1);
    assert_eq!(state.load(at("02T00:00:00")).await.unwrap().links[&LinkNo(1)].target_id, None);

    // Said twice, as after a connection that was lost on the way back.
    state.record(std::slice::from_ref(&outcome), &[&linked]).await.unwrap();
    state.record(&[outcome], &[&linked]).await.unwrap();
    let steps = state.steps(cycle).await.unwrap();
    assert_eq!((steps.len(), &steps[0].intent), (1, &intent(4)));
    assert_eq!(steps[0].result, Some((failed, at("01T00:02:00"))));
    assert!(state.load(at("02T00:00:00")).await.unwrap().links[&LinkNo(1)].target_id.is_some());

    // An object must be known before anything is done to it.
    let stranger = Intent { link: LinkNo(99), ..intent(5) };
    assert!(state.intend(cycle, &[intent(4), stranger]).await.is_err());
    assert_eq!(state.steps(cycle).await.unwrap().len(), 1);
}

async fn thousands_of_steps_keep_their_order(engine: Engine) {
    let bed = Bed::new(engine);
    let state = bed.open().await;
    let cycle = with_links(&state, &[full_group(), user(1, None)]).await;
    let intents: Vec<Intent> = (0..3001).map(intent).collect();
    let numbers = state.intend(cycle, &intents).await.unwrap();
    let outcomes: Vec<Outcome> = numbers
        .iter()
        .filter(|seq| *seq % 3 != 0)
        .map(|seq| Outcome { seq: *seq, result: StepResult::Done, at: at("01T00:03:00") })
        .collect();
    state.record(&outcomes, &[]).await.unwrap();
    let steps = state.steps(cycle).await.unwrap();
    assert_eq!(steps.len(), 3001);
    for ((step, seq), intent) in steps.iter().zip(&numbers).zip(&intents) {
        assert_eq!((step.seq, &step.intent), (*seq, intent));
        assert_eq!(step.result.is_none(), seq % 3 == 0);
    }
    assert_eq!(state.unfinished().await.unwrap().len(), 3001 - outcomes.len());
}

fn finding(code: Code, id: &str, message: &str) -> Finding {
    let subject = Subject { kind: Some(Kind::User), id: id.to_owned(), label: format!("the {id}") };
    Finding::new(code, subject, message)
}

async fn findings_are_intervals(engine: Engine) {
    let bed = Bed::new(engine);
    let state = bed.open().await;
    let a = finding(Code::EmailMissing, "a", "one");
    let b = finding(Code::EmailMissing, "b", "one");
    let other = finding(Code::EmailClaimed, "a", "one");
    let profile = Finding::new(
        Code::TargetUnavailable,
        Subject { kind: None, id: "corp".to_owned(), label: "corp".to_owned() },
        "silent",
    );
    let first = state
        .replace_findings(
            at("01T00:00:00"),
            &[a.clone(), b.clone(), other.clone(), profile.clone(), a.clone()],
        )
        .await
        .unwrap();
    assert_eq!(first.appeared.iter().collect::<BTreeSet<_>>(), BTreeSet::from([&a, &b, &other, &profile]));
    assert!(first.gone.is_empty() && first.standing.is_empty());

    let reworded = finding(Code::EmailMissing, "a", "two");
    let second = state.replace_findings(at("02T00:00:00"), &[reworded.clone(), other.clone()]).await.unwrap();
    assert!(second.appeared.is_empty());
    assert_eq!(second.gone, [(b.clone(), at("01T00:00:00")), (profile, at("01T00:00:00"))]);
    assert_eq!(second.standing.len(), 2);

    // Back again: it stands since now.
    let third = state.replace_findings(at("03T00:00:00"), &[reworded.clone(), b.clone()]).await.unwrap();
    assert_eq!(third.appeared, std::slice::from_ref(&b));
    let standing = [(reworded, at("01T00:00:00")), (b, at("03T00:00:00"))];
    assert_eq!(state.standing_findings().await.unwrap(), standing);
    let known = state.load(at("03T00:00:00")).await.unwrap();
    assert_eq!(known.findings, standing.map(|(finding, _)| finding));
}

async fn held_plans_and_approvals(engine: Engine) {
    let bed = Bed::new(engine);
    let state = bed.open().await;
    let cycle = with_links(&state, &[]).await;
    let fp = |name: &str| Fingerprint::new(name);
    let plan = PlanId::new("p1");
    let steps = vec![(fp("f1"), json!({"action": "remove-member"})), (fp("f2"), json!({"n": 2}))];
    state.save_held(&plan, cycle, &steps, at("01T00:00:00")).await.unwrap();
    let held = state.held(&plan).await.unwrap().unwrap();
    assert_eq!((&held.steps, held.cycle, held.held_at), (&steps, cycle, at("01T00:00:00")));
    assert_eq!(state.latest_held().await.unwrap(), Some(held));
    assert_eq!(state.held(&PlanId::new("p2")).await.unwrap(), None);

    let (now, expires) = (at("01T01:00:00"), at("04T01:00:00"));
    state.approve(&plan, &[fp("f1"), fp("f2"), fp("f1")], "anna", now, expires).await.unwrap();
    let approvals = async |when| state.load(when).await.unwrap().approvals;
    assert_eq!(approvals(at("04T00:59:59")).await, BTreeSet::from([fp("f1"), fp("f2")]));
    assert!(approvals(expires).await.is_empty());
    assert!(state.consume_approval(&fp("f1"), now).await.unwrap());
    assert!(!state.consume_approval(&fp("f1"), now).await.unwrap());
    assert_eq!(approvals(now).await, BTreeSet::from([fp("f2")]));
    // Approved anew, it counts anew.
    state.approve(&plan, &[fp("f1")], "anna", now, expires).await.unwrap();
    assert_eq!(approvals(now).await.len(), 2);

    // The same plan later holds less; then a plan holds nothing.
    let later = state.begin_cycle(CycleKind::Normal, at("02T00:00:00")).await.unwrap();
    state.save_held(&plan, later, &steps[1..], at("02T00:00:00")).await.unwrap();
    assert_eq!(state.latest_held().await.unwrap().unwrap().steps, steps[1..]);
    let last = state.begin_cycle(CycleKind::Normal, at("03T00:00:00")).await.unwrap();
    state.save_held(&PlanId::new("p3"), last, &[], at("03T00:00:00")).await.unwrap();
    assert_eq!(state.latest_held().await.unwrap(), None);
    assert!(state.held(&plan).await.unwrap().is_some());
}

async fn a_pause_is_kept_and_lifted(engine: Engine) {
    let bed = Bed::new(engine);
    let state = bed.open().await;
    let pause = Pause {
        at: at("01T00:00:00"),
        reason: Some("migration".to_owned()),
        by: Some("anna".to_owned()),
        until: Some(at("05T00:00:00")),
        warned: None,
    };
    state.set_pause(&pause).await.unwrap();
    assert_eq!(bed.open().await.pause().await.unwrap(), Some(pause));
    let bare = Pause { at: at("02T00:00:00"), reason: None, by: None, until: None, warned: None };
    state.set_pause(&bare).await.unwrap();
    assert_eq!(state.pause().await.unwrap(), Some(bare));
    state.clear_pause().await.unwrap();
    assert_eq!(state.pause().await.unwrap(), None);
}

async fn old_history_goes_and_what_is_open_stays(engine: Engine) {
    let bed = Bed::new(engine);
    let state = bed.open().await;
    let cycle = with_links(&state, &[full_group(), user(1, None)]).await;
    let seq = state.intend(cycle, &[intent(0), intent(1)]).await.unwrap();
    let done = |seq| Outcome { seq, result: StepResult::Done, at: at("01T00:02:00") };
    state.record(&[done(seq[0])], &[]).await.unwrap();
    let plan = PlanId::new("p");
    state.save_held(&plan, cycle, &[(Fingerprint::new("f"), json!(1))], at("01T00:00:00")).await.unwrap();
    let (a, b) = (finding(Code::EmailMissing, "a", ""), finding(Code::EmailMissing, "b", ""));
    state.replace_findings(at("01T00:00:00"), &[a, b.clone()]).await.unwrap();
    state.replace_findings(at("02T00:00:00"), std::slice::from_ref(&b)).await.unwrap();
    let last = state.begin_cycle(CycleKind::Normal, at("03T00:00:00")).await.unwrap();

    assert_eq!(state.prune(at("01T00:00:00")).await.unwrap(), Pruned::default());
    // One step is open: it stays, and its cycle with it.
    let pruned = state.prune(at("20T00:00:00")).await.unwrap();
    assert_eq!(pruned, Pruned { cycles: 0, steps: 1, findings: 1 });
    assert_eq!(state.unfinished().await.unwrap().len(), 1);
    assert_eq!(state.held(&plan).await.unwrap(), None);
    state.record(&[done(seq[1])], &[]).await.unwrap();
    let pruned = state.prune(at("20T00:00:00")).await.unwrap();
    assert_eq!(pruned, Pruned { cycles: 1, steps: 1, findings: 0 });
    assert_eq!(state.cycles(9).await.unwrap()[0].id, last);
    assert_eq!(state.standing_findings().await.unwrap(), [(b, at("01T00:00:00"))]);
    assert_eq!(state.load(at("20T00:00:00")).await.unwrap().links.len(), 2);
}

async fn many_open_a_new_database_at_once(engine: Engine) {
    let bed = Bed::new(engine);
    let opened = (0..6).map(|n| {
        let url = bed.url.clone();
        tokio::spawn(async move { State::open(&url, if n % 2 == 0 { "corp" } else { "other" }).await })
    });
    for state in futures::future::join_all(opened).await {
        let state = state.unwrap().unwrap();
        state.begin_cycle(CycleKind::Normal, at("01T00:00:00")).await.unwrap();
    }
    assert_eq!(bed.open().await.cycles(9).await.unwrap().len(), 3);
}

async fn a_hundred_thousand_links(engine: Engine) {
    let bed = Bed::new(engine);
    let state = bed.open().await;
    let links: Vec<Link> = (1..=100_000).map(|no| user(no, Some(&format!("u-{no}")))).collect();
    with_links(&state, &links).await;
    let known = state.load(at("02T00:00:00")).await.unwrap();
    assert_eq!(known.links.len(), 100_000);
    assert!(known.links.values().zip(&links).all(|(a, b)| shown(a) == shown(b)));
    assert_eq!(known.next_no(), LinkNo(100_001));
}

async fn text_that_an_engine_cannot_hold(engine: Engine) {
    let bed = Bed::new(engine);
    let state = bed.open().await;
    let mut link = user(1, None);
    link.name = Some("a\0b".to_owned());
    let cycle = with_links(&state, &[link]).await;
    let counts = json!({"x\0": "\u{1F600}\0"});
    let outcome = CycleOutcome { word: CycleWord::Done, counts, finished: at("01T00:00:00") };
    state.finish_cycle(cycle, &outcome).await.unwrap();
    let known = state.load(at("02T00:00:00")).await.unwrap();
    assert_eq!(known.links[&LinkNo(1)].name.as_deref(), Some("a\u{fffd}b"));
    assert_eq!(state.cycles(1).await.unwrap()[0].outcome, Some(outcome));
}
