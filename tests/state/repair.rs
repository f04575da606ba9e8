//! Links that somebody changes by hand.

use idcsync::ids::LinkNo;
use idcsync::model::{Code, Finding, Kind, Subject};
use idcsync::state::{CycleKind, CycleWord, Repair, StateError};
use serde_json::json;

use crate::bed::{Bed, Engine, at, binding, full_group, shown, store, user, with_links};

#[tokio::test(flavor = "multi_thread")]
async fn sqlite_keeps_a_repair_as_a_whole_or_not_at_all() {
    a_repair_is_kept_as_a_whole_or_not_at_all(Engine::Sqlite).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn postgres_keeps_a_repair_as_a_whole_or_not_at_all() {
    a_repair_is_kept_as_a_whole_or_not_at_all(Engine::Postgres).await;
}

fn repair(links: Vec<&idcsync::model::Link>) -> Repair<'_> {
    let what = json!({ "action": "unlink" });
    Repair { links, what, who: "alice", binding: None, settles: None, now: at("09T00:00:00") }
}

async fn a_repair_is_kept_as_a_whole_or_not_at_all(engine: Engine) {
    let bed = Bed::new(engine);
    let state = bed.open().await;
    // Nothing is tied to a store that nobody named; with a binding it is.
    let anna = user(1, Some("u-1"));
    let error = state.repair(&repair(vec![&anna])).await.unwrap_err();
    assert!(matches!(error, StateError::NotBound { .. }), "{error:?}");
    assert!(
        state.cycles(10).await.unwrap().is_empty()
            && state.load(at("09T00:00:00")).await.unwrap().links.is_empty()
    );
    let bound = Repair { binding: Some(binding()), ..repair(vec![&anna]) };
    let (first, gone) = state.repair(&bound).await.unwrap();
    assert!(gone.is_empty());
    let known = state.load(at("09T00:00:00")).await.unwrap();
    assert_eq!((known.binding, known.links.len()), (Some(binding()), 1));
    assert_eq!(known.last_cycle, None, "a repair is no cycle by which time is told");

    let group = full_group();
    with_links(&state, &[user(2, Some("u-2")), group.clone()]).await;
    let subject = |id: &str| Subject { kind: Some(Kind::Group), id: id.to_owned(), label: "x".to_owned() };
    let sid = group.sid.as_ref().unwrap().to_string();
    let standing = [
        Finding::new(Code::GroupOutOfScope, subject(&sid), "a"),
        Finding::new(Code::GroupOutOfScope, subject("another"), "b"),
        Finding::new(Code::MemberUnreadable, subject(&sid), "c"),
    ];
    state.replace_findings(at("02T00:00:00"), &standing).await.unwrap();

    let mut free = group.clone();
    free.target_id = None;
    free.applied.clear();
    let settles = Some((Code::GroupOutOfScope, vec![group.anchor.to_string(), sid]));
    let (id, gone) = state.repair(&Repair { settles, ..repair(vec![&free]) }).await.unwrap();
    assert_eq!(gone, [(standing[0].clone(), at("02T00:00:00"))]);
    let left: Vec<_> = state.standing_findings().await.unwrap().into_iter().map(|(f, _)| f).collect();
    assert!(left.len() == 2 && standing[1..].iter().all(|f| left.contains(f)), "{left:?}");
    let known = state.load(at("09T00:00:00")).await.unwrap();
    assert_eq!(shown(&known.links[&LinkNo(7)]), shown(&free));
    let cycles = state.cycles(10).await.unwrap();
    let repairs: Vec<_> = cycles.iter().filter(|c| c.kind == CycleKind::Repair).collect();
    assert_eq!(repairs.iter().map(|c| c.id).collect::<Vec<_>>(), [id, first]);
    let outcome = repairs[0].outcome.as_ref().unwrap();
    assert_eq!((outcome.word, outcome.finished), (CycleWord::Done, at("09T00:00:00")));
    assert_eq!(outcome.counts, json!({ "repair": { "action": "unlink" }, "by": "alice" }));

    // What another link has is refused by its name, and nothing of the rest is written.
    let mut third = user(3, Some("u-2"));
    third.dn = "CN=third,DC=x".into();
    let fourth = user(4, None);
    let error = state.repair(&repair(vec![&third, &fourth])).await.unwrap_err();
    assert!(
        matches!(&error, StateError::Owned { profile, dn, .. } if profile == "corp" && dn == "CN=u2,DC=x"),
        "{error:?}"
    );
    assert_eq!(state.load(at("09T00:00:00")).await.unwrap().links.len(), 3);
    assert_eq!(state.cycles(10).await.unwrap().len(), cycles.len());
    let owner = state.owner(&store(), Kind::User, &idcsync::ids::TargetId::new("u-2")).await.unwrap();
    assert_eq!(owner, Some(("corp".to_owned(), "CN=u2,DC=x".to_owned())));
    assert_eq!(state.owner(&store(), Kind::Group, &idcsync::ids::TargetId::new("u-2")).await.unwrap(), None);
    state.close().await;
}
