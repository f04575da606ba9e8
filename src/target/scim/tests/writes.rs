//! Writes: what is sent, what is sent again, and what an answer proves.

use std::time::{Duration, Instant};

use super::*;

#[tokio::test]
async fn throttling_is_waited_out_for_as_long_as_was_asked() {
    let rig = Rig::start().await;
    let busy = Answer::Page(429, "slow down", ("retry-after", "1".to_owned()));
    rig.script.prepare([busy, says(201, user(1))]);
    let begun = Instant::now();
    assert_eq!(rig.target.create_user(&anna()).await.unwrap(), id("u1"));
    assert!(begun.elapsed() >= Duration::from_secs(1));
    assert_eq!(rig.target.usage(), Usage { requests: 2, writes: 2, throttled: 1, retried: 1, slowed: 1 });
}

#[tokio::test]
async fn a_create_without_a_clear_answer_is_ambiguous_and_never_repeated() {
    for (answer, code) in [
        (refusal(500), "HTTP500"),
        (Answer::Page(502, "<html>", ("server", "proxy".to_owned())), "HTTP502"),
        (Answer::Page(201, "<html>", ("server", "proxy".to_owned())), "HTTP201"),
        (says(201, json!({"schemas": []})), "NotUnderstood"),
        (Answer::Breaks, "ConnectionLost"),
        (Answer::Silence, "Timeout"),
    ] {
        let rig = Rig::start().await;
        rig.script.prepare([answer.clone()]);
        let error = kind(rig.target.create_user(&anna()).await);
        assert_eq!(error, (TargetErrorKind::Ambiguous, code.to_owned()));
        assert_eq!(rig.script.lines(), ["POST /Users"]);
        rig.script.prepare([answer]);
        let error = kind(rig.target.create_group(&group("g"), &ids(0..2)).await);
        assert_eq!(error.0, TargetErrorKind::Ambiguous);
        assert_eq!(rig.script.lines(), ["POST /Groups"]);
    }
}

#[tokio::test]
async fn a_conflict_is_one_because_no_create_is_sent_twice() {
    let rig = Rig::start().await;
    rig.script.prepare([refusal(409)]);
    let error = rig.target.create_user(&anna()).await.unwrap_err();
    assert_eq!((error.kind, error.code.as_str()), (TargetErrorKind::Conflict, "HTTP409"));
    assert_eq!(error.message, "so it is (request id r-1)");
    assert_eq!(rig.script.lines().len(), 1);
}

#[tokio::test]
async fn other_writes_and_reads_are_repeated_after_a_lost_answer() {
    let rig = Rig::start().await;
    rig.script.prepare([Answer::Breaks, refusal(503), says(200, user(1))]);
    rig.target.update_user(&id("u1"), &[A::Title, A::NickName], &anna()).await.unwrap();
    let requests = rig.script.taken();
    assert_eq!(requests.len(), 3);
    assert_eq!(requests[2].line, "PATCH /t/scim/v2/Users/u1");
    assert_eq!(
        requests[2].body,
        json!({
            "schemas": ["urn:ietf:params:scim:api:messages:2.0:PatchOp"],
            "Operations": [
                {"op": "remove", "path": "nickName"},
                {"op": "replace", "path": "title", "value": "Dr"},
            ],
        })
    );
    rig.script.prepare([Answer::Breaks, Answer::Breaks, Answer::Breaks]);
    let error = kind(rig.target.update_user(&id("u1"), &[A::Title], &anna()).await);
    assert_eq!(error, (TargetErrorKind::Ambiguous, "ConnectionLost".to_owned()));
    rig.script.prepare([Answer::Breaks, Answer::Breaks, Answer::Breaks]);
    assert_eq!(kind(rig.target.find_user("anna").await).0, TargetErrorKind::Unavailable);
}

#[tokio::test]
async fn a_400_on_memberships_proves_nothing_and_is_not_repeated() {
    let rig = Rig::start().await;
    for add in [true, false] {
        rig.script.prepare([refusal(400)]);
        assert_eq!(kind(rig.target.send_members(&id("g"), &ids(0..2), add).await).0, TargetErrorKind::InPart);
        assert_eq!(rig.script.lines(), ["PATCH /Groups/g"]);
    }
    // On the group itself it is a refusal.
    rig.script.prepare([refusal(400)]);
    let error = kind(rig.target.update_group(&id("g"), &group("a"), &group("b")).await);
    assert_eq!(error.0, TargetErrorKind::Validation);
}

#[tokio::test]
async fn a_hundred_members_go_into_one_request_and_none_into_no_request() {
    let rig = Rig::start().await;
    rig.target.add_members(&id("g"), &[]).await.unwrap();
    rig.target.remove_members(&id("g"), &[]).await.unwrap();
    assert_eq!(kind(rig.target.add_members(&id("g"), &ids(0..101)).await).0, TargetErrorKind::Validation);
    assert_eq!(kind(rig.target.create_group(&group("g"), &ids(0..101)).await).0, TargetErrorKind::Validation);
    assert_eq!(rig.target.usage(), Usage::default());

    rig.script.prepare([done(), done(), says(201, json!({"schemas": [], "id": "g9"}))]);
    rig.target.add_members(&id("g"), &ids(0..100)).await.unwrap();
    rig.target.remove_members(&id("g"), &ids(0..100)).await.unwrap();
    assert_eq!(rig.target.create_group(&group("g"), &ids(0..100)).await.unwrap(), id("g9"));
    let bodies: Vec<Value> = rig.script.taken().into_iter().map(|r| r.body).collect();
    let everybody: Value = (0..100).map(|n| json!({"value": format!("u{n}")})).collect();
    assert_eq!(bodies[0]["Operations"], json!([{"op": "add", "path": "members", "value": everybody}]));
    assert_eq!(bodies[1]["Operations"], json!([{"op": "remove", "path": "members", "value": everybody}]));
    assert_eq!(bodies[2]["members"], everybody);
}

#[tokio::test]
async fn the_rfc_s_remove_names_each_member_in_its_path() {
    let rig = Rig::with(|settings| settings.rfc_remove = true).await;
    rig.script.prepare([done()]);
    rig.target.remove_members(&id("g"), &ids(0..2)).await.unwrap();
    let operations = rig.script.taken()[0].body["Operations"].clone();
    assert_eq!(
        operations,
        json!([
            {"op": "remove", "path": "members[value eq \"u0\"]"},
            {"op": "remove", "path": "members[value eq \"u1\"]"},
        ])
    );
}

#[tokio::test]
async fn what_a_membership_did_not_find_is_looked_up() {
    let rig = Rig::start().await;
    let there = says(200, json!({"schemas": [], "id": "g", "displayName": "g"}));
    let list = page(json!([]), None);
    for (add, answers, missing) in [
        (true, vec![refusal(404), there.clone()], Some(Kind::User)),
        (true, vec![refusal(404), refusal(404)], Some(Kind::Group)),
        (false, vec![refusal(404), there], None),
        (false, vec![refusal(404), refusal(404)], Some(Kind::Group)),
    ] {
        rig.script.prepare(answers);
        // The endpoint has shown that it is one, the first time that something is said to be gone.
        if missing == Some(Kind::Group) && !rig.target.is_proven() {
            rig.script.prepare([list.clone()]);
        }
        let error = rig.target.send_members(&id("g"), &ids(0..1), add).await.err().map(|e| e.kind);
        assert_eq!(error, missing.map(|kind| TargetErrorKind::NotFound(Some(kind))));
        rig.script.taken();
    }
}

#[tokio::test]
async fn a_new_group_without_a_member_that_is_gone_is_told_from_no_endpoint() {
    let rig = Rig::start().await;
    rig.script.prepare([refusal(404), page(json!([]), None)]);
    let error = kind(rig.target.create_group(&group("g"), &ids(0..2)).await);
    assert_eq!(error.0, TargetErrorKind::NotFound(Some(Kind::User)));
    rig.script.prepare([refusal(404)]);
    assert_eq!(kind(rig.target.create_group(&group("g"), &[]).await).0, TargetErrorKind::Unavailable);
    let rig = Rig::start().await;
    rig.script.prepare([refusal(404), refusal(404)]);
    let error = kind(rig.target.create_group(&group("g"), &ids(0..2)).await);
    assert_eq!(error.0, TargetErrorKind::Unavailable);
}

#[tokio::test]
async fn disabling_counts_when_the_answer_shows_it() {
    let rig = Rig::start().await;
    let shown = |active: Value| says(200, json!({"schemas": [], "id": "u", "active": active}));
    rig.script.prepare([shown(json!(false))]);
    rig.target.set_active(&id("u"), false).await.unwrap();
    let request = rig.script.taken().remove(0);
    assert_eq!(request.line, "PATCH /t/scim/v2/Users/u");
    assert_eq!(request.body["Operations"], json!([{"op": "replace", "path": "active", "value": false}]));
    // Without a body the user is read.
    rig.script.prepare([done(), shown(json!("True"))]);
    rig.target.set_active(&id("u"), true).await.unwrap();
    assert_eq!(rig.script.lines(), ["PATCH /Users/u", "GET /Users/u"]);
    for answers in [vec![shown(json!(true))], vec![shown(Value::Null)], vec![done(), shown(json!(true))]] {
        rig.script.prepare(answers);
        let error = kind(rig.target.set_active(&id("u"), false).await);
        assert_eq!(error, (TargetErrorKind::Ambiguous, "ActiveNotVerified".to_owned()));
    }
    rig.script.prepare([refusal(404)]);
    let error = kind(rig.target.set_active(&id("u"), false).await);
    assert_eq!(error.0, TargetErrorKind::NotFound(Some(Kind::User)));
    // Taken, and then nobody may look.
    rig.script.prepare([done(), refusal(403)]);
    assert_eq!(kind(rig.target.set_active(&id("u"), false).await).0, TargetErrorKind::Ambiguous);
}
