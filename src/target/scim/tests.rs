//! The client over a scripted server: what it makes of answers, and which requests it sends.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::*;
use crate::model::{CheckState, UserAttribute as A};
use crate::target::TargetErrorKind;
use crate::target::scripted::{Answer, Rig, TOKEN, done, says};

const LIST: &str = "urn:ietf:params:scim:api:messages:2.0:ListResponse";

fn id(text: &str) -> TargetId {
    TargetId::new(text)
}

fn ids(range: std::ops::Range<usize>) -> Vec<TargetId> {
    range.map(|n| TargetId::new(format!("u{n}"))).collect()
}

fn user(n: usize) -> Value {
    json!({"schemas": [], "id": format!("u{n}"), "userName": format!("n{n}@x"), "active": true})
}

fn users(range: std::ops::Range<usize>) -> Value {
    range.map(user).collect()
}

/// A page of the newer form.
fn page(resources: Value, next: Option<&str>) -> Answer {
    let mut body = json!({"schemas": [LIST], "Resources": resources});
    if let Some(next) = next {
        body["nextCursor"] = next.into();
    }
    says(200, body)
}

/// A page of the older form.
fn sole_page(resources: Value, total: usize) -> Answer {
    says(200, json!({"schemas": [LIST], "totalResults": total, "startIndex": 1, "Resources": resources}))
}

fn refusal(status: u16) -> Answer {
    says(status, json!({"schemas": ["urn:ietf:params:scim:api:messages:2.0:Error"], "detail": "so it is"}))
}

fn anna() -> UserAttributes {
    UserAttributes::from([(A::UserName, "anna@x".to_owned()), (A::Title, "Dr".to_owned())])
}

fn group(name: &str) -> GroupAttributes {
    GroupAttributes { display_name: name.to_owned(), ..GroupAttributes::default() }
}

fn kind<T: std::fmt::Debug>(result: Result<T, TargetError>) -> (TargetErrorKind, String) {
    let error = result.unwrap_err();
    (error.kind, error.code)
}

#[tokio::test]
async fn every_request_has_token_and_user_agent_and_the_first_of_a_list_an_empty_cursor() {
    let rig = Rig::start().await;
    rig.script.prepare([page(users(0..2), Some("c")), page(users(2..3), None), says(201, user(3))]);
    assert_eq!(rig.target.all_users().await.unwrap().into_keys().collect::<Vec<_>>(), ids(0..3));
    rig.target.create_user(&anna()).await.unwrap();
    let requests = rig.script.taken();
    for request in &requests {
        assert_eq!(request.header("authorization"), Some(format!("Bearer {TOKEN}").as_str()));
        assert_eq!(request.header("user-agent"), Some(concat!("idcsync/", env!("CARGO_PKG_VERSION"))));
    }
    assert_eq!(requests[0].line, "GET /t/scim/v2/Users?count=100&cursor=");
    assert_eq!(requests[2].header("content-type"), Some("application/scim+json"));
}

#[tokio::test]
async fn short_and_empty_pages_do_not_end_a_list_and_a_repeated_cursor_is_an_error() {
    let rig = Rig::start().await;
    let listing = [
        page(users(0..1), Some("a b+c")),
        page(json!([]), Some("2")),
        page(users(1..61), Some("3")),
        page(users(61..62), None),
    ];
    rig.script.prepare(listing);
    let (users_found, cut) = rig.target.pages(Kind::User, None).await.unwrap();
    assert_eq!((users_found.len(), cut), (62, false));
    assert_eq!(
        rig.script.lines(),
        [
            "GET /Users?count=100&cursor=",
            "GET /Users?count=100&cursor=a%20b%2Bc",
            "GET /Users?count=100&cursor=2",
            "GET /Users?count=100&cursor=3"
        ]
    );
    rig.script.prepare([
        page(users(0..1), Some("1")),
        page(json!([]), Some("2")),
        page(json!([]), Some("1")),
    ]);
    assert_eq!(kind(rig.target.pages(Kind::User, None).await).1, "RepeatedPage");
}

#[tokio::test]
async fn a_page_that_ends_where_the_older_form_ends_is_not_all_until_that_is_shown() {
    // The older form, which says nothing of the rest.
    let rig = Rig::start().await;
    rig.script.prepare([sole_page(users(0..50), 50), sole_page(users(0..1), 1)]);
    assert!(rig.target.pages(Kind::User, None).await.unwrap().1);
    assert_eq!(rig.script.lines(), ["GET /Users?count=100&cursor=", "GET /Users?count=1&cursor="]);
    // One that does say.
    let rig = Rig::start().await;
    rig.script.prepare([sole_page(users(0..50), 51)]);
    assert!(rig.target.pages(Kind::User, None).await.unwrap().1);
    assert_eq!(rig.script.lines().len(), 1);
    // Just so many, and pages by cursor: asked once.
    let rig = Rig::start().await;
    rig.script.prepare([page(users(0..50), None), page(users(0..1), Some("c")), page(users(0..70), None)]);
    assert!(!rig.target.pages(Kind::User, None).await.unwrap().1);
    assert!(!rig.target.pages(Kind::User, None).await.unwrap().1);
    assert_eq!(rig.script.lines().len(), 3);
    // Just so many, and the total tells the truth.
    let rig = Rig::start().await;
    rig.script.prepare([sole_page(users(0..60), 60), sole_page(users(0..1), 60)]);
    assert!(!rig.target.pages(Kind::User, None).await.unwrap().1);
    // Fewer need no proof.
    let rig = Rig::start().await;
    rig.script.prepare([sole_page(users(0..49), 49)]);
    assert!(!rig.target.pages(Kind::User, None).await.unwrap().1);
}

#[tokio::test]
async fn where_the_list_is_cut_short_everything_wanted_is_asked_for_by_itself() {
    let rig = Rig::start().await;
    rig.script.prepare([sole_page(users(0..50), 50), sole_page(users(0..1), 1)]);
    rig.script.prepare((50..60).map(|n| sole_page(users(n..n + 1), 1)));
    let user_names = (0..60).map(|n| format!("N{n}@x")).collect();
    let wants = Wants { user_names, ..Wants::default() };
    assert_eq!(rig.target.observe(&wants).await.unwrap().users.len(), 60);
    // In whatever order the look-ups come in.
    let lines = rig.script.lines();
    assert_eq!(lines.len(), 12);
    let filter = "GET /Users?filter=userName%20eq%20%22N57%40x%22&count=100&cursor=";
    assert!(lines.iter().any(|l| l == filter), "{lines:?}");
}

#[tokio::test]
async fn reading_back_a_cut_list_is_an_error_for_users_and_single_questions_for_groups() {
    let groups = |range: std::ops::Range<usize>| -> Value {
        range.map(|n| json!({"id": format!("g{n}"), "displayName": format!("g{n}"), "members": []})).collect()
    };
    let rig = Rig::start().await;
    rig.script.prepare([sole_page(users(0..50), 70)]);
    assert_eq!(kind(rig.target.all_users().await), (TargetErrorKind::Unavailable, "ListingCut".to_owned()));
    rig.script.prepare([
        sole_page(groups(0..50), 70),
        says(200, json!({"schemas": [], "id": "g60", "displayName": "g60"})),
        sole_page(users(3..5), 2),
    ]);
    let wanted = BTreeSet::from([id("g60")]);
    let found = rig.target.all_groups(&wanted).await.unwrap();
    assert_eq!(found.len(), 51);
    assert_eq!(found[&id("g60")].members, Some(ids(3..5).into_iter().collect()));
    assert_eq!(found[&id("g1")].members, None);
    // Members that cannot all be listed are not a smaller group.
    rig.script.prepare([sole_page(groups(0..1), 1), sole_page(users(0..50), 99)]);
    assert_eq!(kind(rig.target.all_groups(&[id("g0")].into()).await).1, "ListingCut");
}

#[tokio::test]
async fn a_server_without_cursors_is_asked_without() {
    for status in [400, 501] {
        let rig = Rig::start().await;
        rig.script.prepare([refusal(status), sole_page(users(0..1), 1), sole_page(users(0..1), 1)]);
        assert_eq!(rig.target.pages(Kind::User, None).await.unwrap().0.len(), 1);
        assert_eq!(rig.target.pages(Kind::User, None).await.unwrap().0.len(), 1);
        let lines = rig.script.lines();
        assert_eq!(lines, ["GET /Users?count=100&cursor=", "GET /Users?count=100", "GET /Users?count=100"]);
    }
    // A filter that is refused is refused either way, and the cursor is not blamed.
    let rig = Rig::start().await;
    rig.script.prepare([refusal(400), refusal(400), page(users(0..1), None)]);
    assert_eq!(rig.target.find_user("a b").await.unwrap(), None);
    rig.target.pages(Kind::User, None).await.unwrap();
    assert!(rig.script.lines()[2].ends_with("cursor="));
}

#[tokio::test]
async fn members_are_asked_of_the_users_and_a_membership_of_the_groups() {
    let rig = Rig::start().await;
    let team = json!({"schemas": [], "id": "g\"1", "displayName": "Team", "externalId": "E", "members": []});
    rig.script.prepare([page(json!([team]), None), page(users(0..2), Some("c")), page(users(2..3), None)]);
    let wants = Wants { group_external_ids: ["e".to_owned()].into(), ..Wants::default() };
    let found = rig.target.observe(&wants).await.unwrap().groups;
    let found = &found[&id("g\"1")];
    assert_eq!(found.members, Some(ids(0..3).into_iter().collect()));
    assert_eq!(found.external_ids, [(String::new(), "E".to_owned())]);
    let lines = rig.script.lines();
    assert_eq!(lines[1], "GET /Users?filter=groups.value%20eq%20%22g%5C%221%22&count=100&cursor=");
    // A server that shows members is believed.
    let shown = json!({"schemas": [], "id": "g", "displayName": "Team", "members": [{"value": "u7"}]});
    rig.script.prepare([page(json!([shown]), None)]);
    let wants = Wants { group_names: ["team".to_owned()].into(), ..Wants::default() };
    let found = rig.target.observe(&wants).await.unwrap().groups;
    assert_eq!(found[&id("g")].members, Some([id("u7")].into()));
    assert_eq!(rig.script.lines().len(), 1);

    rig.script.prepare([page(json!([{"id": "g"}]), None), page(json!([]), None)]);
    assert!(rig.target.is_member(&id("g"), &id("u")).await.unwrap());
    assert!(!rig.target.is_member(&id("g"), &id("u")).await.unwrap());
    let filter = "filter=id%20eq%20%22g%22%20and%20members%20eq%20%22u%22";
    assert_eq!(rig.script.lines()[0], format!("GET /Groups?{filter}&count=100&cursor="));
}

#[tokio::test]
async fn an_answer_that_does_not_have_the_name_asked_for_is_nobody() {
    let rig = Rig::start().await;
    rig.script.prepare([page(users(0..3), None), page(users(0..3), None)]);
    assert_eq!(rig.target.find_user("someone@x").await.unwrap(), None);
    let (found, _) = rig.target.find_user("N2@X").await.unwrap().unwrap();
    assert_eq!(found, id("u2"));
}

#[tokio::test]
async fn an_address_is_found_by_listing_and_never_asked_for() {
    let rig = Rig::start().await;
    let anna = json!({"id": "u", "userName": "a", "emails": [{"value": "Anna@x"}]});
    rig.script.prepare([page(json!([]), Some("c")), page(json!([anna]), None)]);
    let wants = Wants { emails: ["anna@X".to_owned(), "bert@x".to_owned()].into(), ..Wants::default() };
    assert!(rig.target.observe(&wants).await.unwrap().users.contains_key(&id("u")));
    assert_eq!(rig.script.lines(), ["GET /Users?count=100&cursor=", "GET /Users?count=100&cursor=c"]);
}

#[tokio::test]
async fn throttling_is_waited_out_for_as_long_as_was_asked() {
    let rig = Rig::start().await;
    let busy = Answer::Page(429, "slow down", ("retry-after", "1".to_owned()));
    rig.script.prepare([busy, says(201, user(1))]);
    let begun = Instant::now();
    assert_eq!(rig.target.create_user(&anna()).await.unwrap(), id("u1"));
    assert!(begun.elapsed() >= Duration::from_secs(1));
    assert_eq!(rig.target.usage(), Usage { requests: 2, writes: 2, throttled: 1, retried: 1 });
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
        assert_eq!(
            kind(rig.target.send_members(&id("g"), &ids(0..2), add).await).0,
            TargetErrorKind::Ambiguous
        );
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
    rig.target.set_active(&id("u"), "anna", false).await.unwrap();
    let request = rig.script.taken().remove(0);
    assert_eq!(request.line, "PATCH /t/scim/v2/Users/u");
    assert_eq!(request.body["Operations"], json!([{"op": "replace", "path": "active", "value": false}]));
    // Without a body the user is read.
    rig.script.prepare([done(), shown(json!("True"))]);
    rig.target.set_active(&id("u"), "anna", true).await.unwrap();
    assert_eq!(rig.script.lines(), ["PATCH /Users/u", "GET /Users/u"]);
    for answers in [vec![shown(json!(true))], vec![shown(Value::Null)], vec![done(), shown(json!(true))]] {
        rig.script.prepare(answers);
        let error = kind(rig.target.set_active(&id("u"), "anna", false).await);
        assert_eq!(error, (TargetErrorKind::Ambiguous, "ActiveNotVerified".to_owned()));
    }
    rig.script.prepare([refusal(404)]);
    let error = kind(rig.target.set_active(&id("u"), "anna", false).await);
    assert_eq!(error.0, TargetErrorKind::NotFound(Some(Kind::User)));
}

#[tokio::test]
async fn a_refused_token_is_named_by_its_place_and_never_shown() {
    let rig = Rig::start().await;
    for status in [401, 403] {
        rig.script.prepare([refusal(status)]);
        let error = rig.target.find_user("anna").await.unwrap_err();
        assert_eq!(error.kind, TargetErrorKind::AccessDenied);
        let place = rig.dir.path().join("token").display().to_string();
        assert!(error.message.contains(&place) && !error.message.contains(TOKEN), "{error}");
        assert!(!format!("{:?}", rig.target).contains(TOKEN));
        rig.script.taken();
    }
    std::fs::remove_file(rig.dir.path().join("token")).unwrap();
    let error = rig.target.find_user("anna").await.unwrap_err();
    assert_eq!((error.kind, error.code.as_str()), (TargetErrorKind::AccessDenied, "TokenUnreadable"));
    std::fs::write(rig.dir.path().join("token"), "a\nb").unwrap();
    assert_eq!(kind(rig.target.find_user("anna").await).1, "TokenInvalid");
    assert_eq!(rig.script.lines().len(), 0);
}

#[tokio::test]
async fn a_new_token_counts_from_the_moment_it_is_there() {
    let rig = Rig::start().await;
    rig.script.prepare([page(json!([]), None), page(json!([]), None)]);
    rig.target.find_user("anna").await.unwrap();
    std::fs::write(rig.dir.path().join("token"), "new").unwrap();
    rig.target.find_user("anna").await.unwrap();
    let requests = rig.script.taken();
    let tokens: Vec<_> = requests.iter().filter_map(|r| r.header("authorization")).collect();
    assert_eq!(tokens, [format!("Bearer {TOKEN}").as_str(), "Bearer new"]);
}

#[tokio::test]
async fn what_is_no_scim_endpoint_has_lost_nobody() {
    // A list that is not there, with a filter and without.
    let rig = Rig::start().await;
    rig.script.prepare([refusal(404), refusal(404)]);
    assert_eq!(kind(rig.target.find_user("anna").await).0, TargetErrorKind::Unavailable);
    // A user that is not there, at an endpoint that has shown nothing of itself yet, and has no users at all.
    let wants = Wants { users: [id("u")].into(), ..Wants::default() };
    rig.script.prepare([refusal(404), refusal(404)]);
    assert_eq!(kind(rig.target.observe(&wants).await).0, TargetErrorKind::Unavailable);
    rig.script.prepare([refusal(404), refusal(404)]);
    assert_eq!(kind(rig.target.delete_user(&id("u")).await).0, TargetErrorKind::Unavailable);
    // Something in between.
    let portal = || Answer::Page(404, "<html>", ("server", "proxy".to_owned()));
    rig.script.prepare([portal(), portal(), portal()]);
    assert_eq!(kind(rig.target.observe(&wants).await).0, TargetErrorKind::Unavailable);
    // An endpoint: asked once whether it is one.
    rig.script.taken();
    rig.script.prepare([refusal(404), page(json!([]), None), refusal(404)]);
    assert!(rig.target.observe(&wants).await.unwrap().users.is_empty());
    rig.target.delete_user(&id("u")).await.unwrap();
    assert_eq!(rig.script.lines(), ["GET /Users/u", "GET /Users?count=1&cursor=", "DELETE /Users/u"]);
    // What a filter names may be gone as well.
    rig.script.prepare([refusal(404)]);
    assert!(!rig.target.is_member(&id("g"), &id("u")).await.unwrap());
    let team = json!({"schemas": [], "id": "g", "displayName": "Team"});
    rig.script.prepare([page(json!([team]), None), refusal(404)]);
    let of_team = Wants { group_names: ["team".to_owned()].into(), ..Wants::default() };
    assert!(rig.target.observe(&of_team).await.unwrap().groups.is_empty());
    // Another object than the one asked for is neither.
    rig.script.prepare([says(200, user(9))]);
    assert_eq!(kind(rig.target.observe(&wants).await).1, "NotUnderstood");
}

#[tokio::test]
async fn the_token_does_not_follow_a_redirect() {
    let rig = Rig::start().await;
    let elsewhere = rig.target.base.to_string() + "/elsewhere";
    rig.script.prepare([Answer::Page(307, "", ("location", elsewhere))]);
    let error = rig.target.delete_group(&id("g")).await.unwrap_err();
    assert_eq!((error.kind, error.code.as_str()), (TargetErrorKind::Validation, "HTTP307"));
    assert_eq!(rig.script.lines(), ["DELETE /Groups/g"]);
}

#[tokio::test]
async fn where_nobody_listens_nothing_was_done() {
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let rig = Rig::with(|settings| settings.url = format!("http://{closed}/t/scim/v2/")).await;
    let error = rig.target.create_user(&anna()).await.unwrap_err();
    assert_eq!((error.kind, error.code.as_str()), (TargetErrorKind::Unavailable, "Unreachable"), "{error}");
    assert!(!error.message.contains("http://"), "{error}");
    assert_eq!(rig.target.usage(), Usage { requests: 0, writes: 0, throttled: 0, retried: 2 });
}

#[tokio::test]
async fn the_clock_is_read_from_any_answer() {
    let rig = Rig::start().await;
    assert_eq!(rig.target.clock_ahead(), None);
    rig.script.prepare([Answer::Page(403, "", ("date", "Fri, 01 Jan 2100 00:00:00 GMT".to_owned()))]);
    rig.target.find_user("anna").await.unwrap_err();
    assert!(rig.target.clock_ahead().unwrap() > 1_000_000);
}

#[tokio::test]
async fn nothing_is_sent_where_nothing_is_wanted_or_changed() {
    let rig = Rig::start().await;
    assert!(rig.target.observe(&Wants::default()).await.unwrap().users.is_empty());
    rig.target.update_user(&id("u"), &[A::Website], &anna()).await.unwrap();
    let described = GroupAttributes { description: Some("x".to_owned()), ..group("g") };
    rig.target.update_group(&id("g"), &group("g"), &described).await.unwrap();
    assert_eq!(rig.target.usage(), Usage::default());
    assert_eq!(rig.target.identity_store().await.unwrap().as_str(), rig.target.base.as_str());
}

#[tokio::test]
async fn a_check_tells_what_can_be_read_and_how() {
    let rig = Rig::with(|s| s.token_expires = Some(Timestamp::UNIX_EPOCH)).await;
    let config =
        says(200, json!({"schemas": ["urn:ietf:params:scim:schemas:core:2.0:ServiceProviderConfig"]}));
    rig.script.prepare([
        config.clone(),
        page(users(0..2), None),
        page(users(0..1), Some("c")),
        page(json!([]), None),
    ]);
    let states = |lines: &[CheckLine]| lines.iter().map(|l| (l.name.clone(), l.state)).collect::<Vec<_>>();
    let named = |list: &[(&str, CheckState)]| -> Vec<(String, CheckState)> {
        list.iter().map(|(name, state)| ((*name).to_owned(), *state)).collect()
    };
    assert_eq!(
        states(&rig.target.check().await),
        named(&[
            ("SCIM token expiry", CheckState::Fail),
            ("SCIM endpoint", CheckState::Ok),
            ("reading users over SCIM", CheckState::Ok),
            ("listing users over SCIM", CheckState::Ok),
            ("reading groups over SCIM", CheckState::Ok),
        ])
    );
    let rig = Rig::start().await;
    rig.script.prepare([config, sole_page(users(0..3), 3), sole_page(users(0..1), 1), refusal(403)]);
    let lines = rig.target.check().await;
    let expected = named(&[
        ("SCIM endpoint", CheckState::Ok),
        ("reading users over SCIM", CheckState::Ok),
        ("listing users over SCIM", CheckState::Warn),
        ("reading groups over SCIM", CheckState::Fail),
    ]);
    assert_eq!(states(&lines), expected);
    assert!(lines[3].remedy.as_deref().unwrap().contains("Automatic provisioning"));
    rig.script.prepare([refusal(401)]);
    let lines = rig.target.check().await;
    assert_eq!(states(&lines), named(&[("SCIM endpoint", CheckState::Fail)]));
}
