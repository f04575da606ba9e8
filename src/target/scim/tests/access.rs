//! Token, endpoint, clock, check.

use super::*;
use crate::model::CheckState;
use crate::target::scripted::TOKEN;

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
    assert_eq!((error.kind, error.code.as_str()), (TargetErrorKind::Unavailable, "HTTP307"));
    assert_eq!(rig.script.lines(), ["DELETE /Groups/g"]);
}

#[tokio::test]
async fn what_the_endpoint_says_back_is_not_shown() {
    let rig = Rig::start().await;
    let detail = format!("bad header: Bearer {TOKEN}");
    rig.script.prepare([says(403, json!({"detail": detail, "scimType": TOKEN}))]);
    let error = rig.target.find_user("anna").await.unwrap_err();
    assert!(error.message.contains("Bearer ***") && !format!("{error:?}").contains(TOKEN), "{error:?}");
}

#[tokio::test]
async fn an_answer_without_end_is_not_kept() {
    let rig = Rig::start().await;
    let longest = crate::target::LONGEST_ANSWER;
    let body: &'static str = Box::leak("x".repeat(longest + 1).into_boxed_str());
    rig.script.prepare([Answer::Page(200, body, ("server", "scripted".to_owned()))]);
    let error = rig.target.create_user(&anna()).await.unwrap_err();
    assert_eq!((error.kind, error.code.as_str()), (TargetErrorKind::Ambiguous, "AnswerTooLong"), "{error}");
}

#[tokio::test]
async fn where_nobody_listens_nothing_was_done() {
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let rig = Rig::with(|settings| settings.url = format!("http://{closed}/t/scim/v2/")).await;
    let error = rig.target.create_user(&anna()).await.unwrap_err();
    assert_eq!((error.kind, error.code.as_str()), (TargetErrorKind::Unavailable, "Unreachable"), "{error}");
    assert!(!error.message.contains("http://"), "{error}");
    assert_eq!(rig.target.usage(), Usage { retried: 2, ..Usage::default() });
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

/// What stands between here and the endpoint, or in its place.
#[tokio::test]
async fn answers_that_are_none_of_the_endpoints_are_errors() {
    let header = |name: &'static str, value: &str| (name, value.to_owned());
    let long: &'static str = format!("[\"{}\"]", "x".repeat(crate::target::LONGEST_ANSWER)).leak();
    let deep: &'static str = format!("{{\"Resources\": {}", "[".repeat(500_000)).leak();
    for (status, body, header, times) in [
        (200, long, header("content-type", "application/scim+json"), 3),
        (200, deep, header("content-type", "application/scim+json"), 3),
        (200, "<html><h1>Sign in</h1></html>", header("content-type", "text/html"), 3),
        (200, "{\"Resources\": 7}", header("content-type", "application/scim+json"), 1),
        (302, "", header("location", "http://127.0.0.1:1/steal"), 1),
        (307, "<html>", header("location", "http://127.0.0.1:1/steal"), 1),
        (400, "<html>Bad Request", header("server", "proxy"), 1),
        (421, "<html>", header("server", "proxy"), 1),
        (503, "", header("retry-after", "18446744073709551615"), 1),
        (200, "", header("x-long", &"a".repeat(600_000)), 3),
    ] {
        let rig = Rig::start().await;
        rig.script.prepare((0..times).map(|_| Answer::Page(status, body, header.clone())));
        // Nobody is taken for absent, and the token goes nowhere else.
        let error = rig.target.find_user("anna").await.unwrap_err();
        assert_eq!(error.kind, TargetErrorKind::Unavailable, "{status} {error}");
        let told = format!("{error:?}");
        assert!(told.len() < 1000 && !told.contains(TOKEN), "{told:.1000}");
        assert_eq!(rig.script.lines().len(), times, "{status}");
    }
}
