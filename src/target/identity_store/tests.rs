//! The client over a scripted transport: what it makes of answers, and which requests it sends.

mod assignments;

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use aws_sdk_identitystore::config::{HttpClient, RuntimeComponents};
use aws_smithy_runtime_api::client::http::{
    HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpConnector,
};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_types::body::SdkBody;
use serde_json::{Value, json};

use super::*;
use crate::model::{CheckState, UserAttribute as A};
use crate::target::scripted::{Rig, says};
use crate::target::{IdentityStoreSettings, Pacing};

/// What comes back for one request.
enum Answer {
    Says(u16, Value),
    /// A body that is no JSON, with a header.
    Page(u16, &'static str, (&'static str, &'static str)),
    /// The connection breaks after the request was sent.
    Breaks,
    /// Nothing, ever.
    Silence,
}

/// Gives prepared answers in turn and keeps the requests: operation and body.
#[derive(Clone, Default)]
struct Script {
    answers: Arc<Mutex<VecDeque<Answer>>>,
    requests: Arc<Mutex<Vec<(String, Value)>>>,
}

impl std::fmt::Debug for Script {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Script")
    }
}

impl HttpConnector for Script {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let target = request.headers().get("x-amz-target").unwrap_or_default();
        let operation = target.rsplit('.').next().unwrap_or_default().to_owned();
        let body = request.body().bytes().and_then(|b| serde_json::from_slice(b).ok()).unwrap_or_default();
        self.requests.lock().unwrap().push((operation, body));
        let answer = self.answers.lock().unwrap().pop_front();
        HttpConnectorFuture::new(async move {
            let (status, body, header) = match answer.expect("one more request than was prepared for") {
                Answer::Says(status, body) => (status, body.to_string(), ("x-amzn-requestid", "r-1")),
                Answer::Page(status, body, header) => (status, body.to_owned(), header),
                Answer::Breaks => {
                    let cut = std::io::Error::from(std::io::ErrorKind::ConnectionReset);
                    return Err(ConnectorError::io(cut.into()));
                }
                Answer::Silence => std::future::pending().await,
            };
            let mut response = HttpResponse::new(status.try_into().unwrap(), SdkBody::from(body));
            response.headers_mut().insert(header.0, header.1);
            Ok(response)
        })
    }
}

impl HttpClient for Script {
    fn http_connector(&self, _: &HttpConnectorSettings, _: &RuntimeComponents) -> SharedHttpConnector {
        SharedHttpConnector::new(self.clone())
    }
}

impl Script {
    fn target(&self, answers: impl IntoIterator<Item = Answer>) -> IdentityStoreTarget {
        self.answers.lock().unwrap().extend(answers);
        let store = IdentityStoreId::new("d-1234567890");
        IdentityStoreTarget::with_http_client(self.clone(), Some(store), pacing())
    }

    fn operations(&self) -> Vec<String> {
        self.requests.lock().unwrap().iter().map(|(operation, _)| operation.clone()).collect()
    }
}

fn pacing() -> Pacing {
    Pacing {
        first_pause: Duration::from_millis(2),
        attempts: 3,
        attempt_timeout: Duration::from_millis(200),
        ..Pacing::new(10_000)
    }
}

fn refusal(code: &str, extra: &Value) -> Answer {
    let mut body = json!({"__type": format!("com.amazonaws.identitystore#{code}"), "Message": "so it is"});
    for (key, value) in extra.as_object().into_iter().flatten() {
        body[key] = value.clone();
    }
    Answer::Says(if code == "InternalServerException" { 500 } else { 400 }, body)
}

fn not_found(resource: &str) -> Answer {
    refusal("ResourceNotFoundException", &json!({"ResourceType": resource}))
}

fn anna() -> UserAttributes {
    UserAttributes::from([(A::UserName, "anna".to_owned()), (A::Title, "Dr".to_owned())])
}

fn id(text: &str) -> TargetId {
    TargetId::new(text)
}

#[tokio::test]
async fn throttling_comes_as_http_400_and_is_waited_out() {
    let script = Script::default();
    let asked = json!({"RetryAfterSeconds": 1});
    let created = Answer::Says(200, json!({"UserId": "u-1", "IdentityStoreId": "d-1234567890"}));
    let target = script.target([refusal("ThrottlingException", &asked), created]);
    let begun = std::time::Instant::now();
    assert_eq!(target.create_user(&anna()).await.unwrap(), id("u-1"));
    assert!(begun.elapsed() >= Duration::from_secs(1));
    assert_eq!(target.usage(), Usage { requests: 2, writes: 2, throttled: 1, retried: 1, slowed: 1 });
}

#[tokio::test]
async fn a_retry_after_header_counts_too() {
    let script = Script::default();
    let busy = Answer::Page(429, "<html>", ("retry-after", "1"));
    let target = script.target([busy, not_found("USER")]);
    let begun = std::time::Instant::now();
    assert_eq!(target.find_user("anna").await.unwrap(), None);
    assert!(begun.elapsed() >= Duration::from_secs(1));
}

#[tokio::test]
async fn a_create_without_a_clear_answer_is_ambiguous_and_never_repeated() {
    let internal = || refusal("InternalServerException", &json!({"RetryAfterSeconds": 1}));
    let gateway = || Answer::Page(502, "<html>bad gateway</html>", ("server", "proxy"));
    for (answer, code) in [
        (internal(), "InternalServerException"),
        (gateway(), "HTTP502"),
        (Answer::Page(200, "not JSON", ("server", "proxy")), "HTTP200"),
        (Answer::Breaks, "ConnectionLost"),
        (Answer::Silence, "Timeout"),
    ] {
        let script = Script::default();
        let error = script.target([answer]).create_user(&anna()).await.unwrap_err();
        assert_eq!((error.kind, error.code.as_str()), (TargetErrorKind::Ambiguous, code));
        assert_eq!(script.operations(), ["CreateUser"]);
    }
    let script = Script::default();
    let group = GroupAttributes { display_name: "g".to_owned(), ..GroupAttributes::default() };
    let error = script.target([internal()]).create_group(&group, &[]).await.unwrap_err();
    assert_eq!(error.kind, TargetErrorKind::Ambiguous);
}

#[tokio::test]
async fn other_writes_and_reads_are_repeated_after_a_lost_answer() {
    let script = Script::default();
    let target = script.target([Answer::Breaks, Answer::Silence, Answer::Says(200, json!({}))]);
    target.update_user(&id("u-1"), &[A::Title], &anna()).await.unwrap();
    assert_eq!(script.operations(), ["UpdateUser"; 3]);
    let (_, body) = script.requests.lock().unwrap()[2].clone();
    assert_eq!(body["Operations"], json!([{"AttributePath": "title", "AttributeValue": "Dr"}]));

    let target = script.target([Answer::Breaks, Answer::Breaks, Answer::Breaks]);
    let error = target.update_user(&id("u-1"), &[A::Title], &anna()).await.unwrap_err();
    assert_eq!(error.kind, TargetErrorKind::Ambiguous);
    let target = script.target([Answer::Breaks, Answer::Breaks, Answer::Breaks]);
    assert_eq!(target.find_user("anna").await.unwrap_err().kind, TargetErrorKind::Unavailable);
}

#[tokio::test]
async fn a_clear_refusal_is_not_repeated_and_keeps_the_service_s_words() {
    for (code, kind) in [
        ("ConflictException", TargetErrorKind::Conflict),
        ("ValidationException", TargetErrorKind::Validation),
        ("AccessDeniedException", TargetErrorKind::AccessDenied),
        ("ExpiredTokenException", TargetErrorKind::AccessDenied),
        ("ServiceQuotaExceededException", TargetErrorKind::Quota),
    ] {
        let script = Script::default();
        let target = script.target([refusal(code, &json!({}))]);
        let error = target.create_user(&anna()).await.unwrap_err();
        assert_eq!((error.kind, error.code.as_str()), (kind, code));
        assert!(error.message.contains("so it is (request id r-1)"), "{error}");
        assert_eq!(script.operations().len(), 1);
    }
}

#[tokio::test]
async fn a_missing_store_is_an_error_and_not_an_empty_one() {
    let script = Script::default();
    let target = script.target([not_found("IDENTITY_STORE")]);
    let wants = Wants { users: [id("u-1")].into(), ..Wants::default() };
    assert_eq!(target.observe(&wants).await.unwrap_err().kind, TargetErrorKind::Unavailable);
    let target = script.target([not_found("USER")]);
    assert!(target.observe(&wants).await.unwrap().users.is_empty());
}

#[tokio::test]
async fn one_impossible_name_does_not_fail_the_look_up() {
    let script = Script::default();
    let target = script.target([refusal("ValidationException", &json!({}))]);
    let wants = Wants { user_names: ["a b".to_owned()].into(), ..Wants::default() };
    assert!(target.observe(&wants).await.unwrap().users.is_empty());
    // With a key that cannot be used, nobody has been looked for.
    let target = script.target([refusal("ValidationException", &json!({"Reason": "KMS_DISABLED"}))]);
    let error = target.observe(&wants).await.unwrap_err();
    assert_eq!(error.kind, TargetErrorKind::AccessDenied, "{error}");
}

#[tokio::test]
async fn a_conflicting_membership_is_looked_up() {
    let script = Script::default();
    let conflict = || refusal("ConflictException", &json!({}));
    let there = || Answer::Says(200, json!({"MembershipId": "m-1", "IdentityStoreId": "d-1234567890"}));
    // The answer to the first attempt was lost, so the second one meets what the first did.
    let target = script.target([Answer::Breaks, conflict(), there()]);
    target.add_members(&id("g-1"), &[id("u-1")]).await.unwrap();
    assert_eq!(
        script.operations(),
        ["CreateGroupMembership", "CreateGroupMembership", "GetGroupMembershipId"]
    );
    let target = script.target([conflict(), not_found("GROUP_MEMBERSHIP")]);
    let error = target.add_members(&id("g-1"), &[id("u-1")]).await.unwrap_err();
    assert_eq!((error.kind, error.code.as_str()), (TargetErrorKind::Conflict, "ConflictException"));
}

#[tokio::test]
async fn removing_who_is_no_member_is_done() {
    let script = Script::default();
    let there = || Answer::Says(200, json!({"MembershipId": "m-1", "IdentityStoreId": "d-1234567890"}));
    let is_member = |yes: bool| {
        let result = json!({"GroupId": "g-1", "MemberId": {"UserId": "u-1"}, "MembershipExists": yes});
        Answer::Says(200, json!({"Results": [result]}))
    };
    let (group, user) = (id("g-1"), id("u-1"));
    for (answers, kind) in [
        (vec![there(), Answer::Says(200, json!({}))], None),
        (vec![not_found("GROUP_MEMBERSHIP"), is_member(false)], None),
        (vec![there(), not_found("GROUP_MEMBERSHIP"), is_member(false)], None),
        (vec![not_found("GROUP_MEMBERSHIP"), is_member(true)], Some(TargetErrorKind::NotFound(None))),
        (vec![not_found("GROUP")], Some(TargetErrorKind::NotFound(Some(Kind::Group)))),
        (vec![not_found("USER")], Some(TargetErrorKind::NotFound(Some(Kind::User)))),
    ] {
        let result = script.target(answers).remove_members(&group, std::slice::from_ref(&user)).await;
        assert_eq!(result.err().map(|e| e.kind), kind);
        assert!(script.answers.lock().unwrap().is_empty());
    }
}

#[tokio::test]
async fn nothing_is_sent_where_nothing_is_wanted_or_changed() {
    let script = Script::default();
    let target = script.target([]);
    assert!(target.observe(&Wants::default()).await.unwrap().users.is_empty());
    target.update_user(&id("u-1"), &[A::ExternalId], &anna()).await.unwrap();
    let group = GroupAttributes::default();
    target.update_group(&id("g-1"), &group, &group).await.unwrap();
    assert_eq!(target.usage(), Usage::default());
}

#[tokio::test]
async fn an_attribute_that_is_gone_is_sent_as_null() {
    let script = Script::default();
    let target = script.target([Answer::Says(200, json!({}))]);
    target.update_user(&id("u-1"), &[A::Email], &anna()).await.unwrap();
    let (_, body) = script.requests.lock().unwrap()[0].clone();
    assert_eq!(body["Operations"], json!([{"AttributePath": "emails", "AttributeValue": null}]));
}

#[tokio::test]
async fn where_nobody_listens_nothing_was_done() {
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let settings = IdentityStoreSettings {
        identity_store_id: Some(IdentityStoreId::new("d-1234567890")),
        region: None,
        endpoint_url: Some(format!("http://{closed}")),
        requests_per_second: 1000,
        scim: None,
    };
    let target = IdentityStoreTarget::connect_with(&settings, pacing()).await.unwrap();
    let error = target.create_user(&anna()).await.unwrap_err();
    assert_eq!((error.kind, error.code.as_str()), (TargetErrorKind::Unavailable, "Unreachable"), "{error}");
    assert_eq!(target.usage(), Usage { retried: 2, ..Usage::default() });
}

#[tokio::test]
async fn a_server_that_hangs_up_leaves_a_create_ambiguous() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            stream.readable().await.unwrap();
            drop(stream);
        }
    });
    let settings = IdentityStoreSettings {
        identity_store_id: Some(IdentityStoreId::new("d-1234567890")),
        region: None,
        endpoint_url: Some(format!("http://{address}")),
        requests_per_second: 1000,
        scim: None,
    };
    let target = IdentityStoreTarget::connect_with(&settings, pacing()).await.unwrap();
    let error = target.create_user(&anna()).await.unwrap_err();
    assert_eq!((error.kind, error.code.as_str()), (TargetErrorKind::Ambiguous, "ConnectionLost"), "{error}");
    assert_eq!(target.usage().requests, 1);
}

#[tokio::test]
async fn a_check_tells_what_is_denied_and_who_owns_the_store() {
    let script = Script::default();
    let issuer = "arn:aws:ds:eu-west-1:111122223333:directory/d-1";
    let user = json!({"UserId": "u", "IdentityStoreId": "d-1234567890",
        "ExternalIds": [{"Issuer": issuer, "Id": "x"}]});
    let denied = refusal("AccessDeniedException", &json!({}));
    let target = script.target([Answer::Says(200, json!({"Users": [user]})), denied]);
    let lines = target.check().await;
    let states: Vec<_> = lines.iter().map(|l| (l.name.as_str(), l.state)).collect();
    assert_eq!(
        states,
        [
            ("AWS credentials", CheckState::Ok),
            ("identity store", CheckState::Ok),
            ("reading users", CheckState::Ok),
            ("identity source", CheckState::Warn),
            ("reading groups", CheckState::Fail),
        ]
    );
    assert!(lines[4].remedy.as_deref().unwrap().contains("identitystore:ListGroups"));
}

/// What the API says of a user.
fn described(user_name: &str) -> Answer {
    Answer::Says(200, json!({"UserId": "u-1", "IdentityStoreId": "d-1234567890", "UserName": user_name}))
}

/// What SCIM says of the same id.
fn shown(user_name: &str, active: bool) -> crate::target::scripted::Answer {
    says(200, json!({"schemas": [], "id": "u-1", "userName": user_name, "active": active}))
}

#[tokio::test]
async fn without_scim_nobody_is_disabled_and_nothing_is_sent() {
    let script = Script::default();
    let target = script.target([]);
    assert!(!target.capabilities().disables);
    let error = target.set_active(&id("u-1"), false).await.unwrap_err();
    assert_eq!((error.kind, error.code.as_str()), (TargetErrorKind::Validation, "CannotDisable"));
    assert_eq!(target.usage(), Usage::default());
}

#[tokio::test]
async fn a_user_is_disabled_over_scim_only_where_both_sides_give_it_the_same_name() {
    let Rig { script: over_scim, target: scim, dir: _dir } = Rig::start().await;
    let script = Script::default();
    let target = script.target([]).with_scim(scim);
    assert!(target.capabilities().disables);
    let prepare = |answer| script.answers.lock().unwrap().push_back(answer);

    prepare(described("Anna@x"));
    over_scim.prepare([shown("anna@X", true), shown("anna@x", false)]);
    target.set_active(&id("u-1"), false).await.unwrap();
    assert_eq!(over_scim.lines(), ["GET /Users/u-1", "PATCH /Users/u-1"]);
    assert_eq!(target.usage(), Usage { requests: 3, writes: 1, ..Usage::default() });

    let missing = says(404, json!({"schemas": [], "detail": "no such user"}));
    for (api, scim) in [
        ("anna@x", shown("bert@x", true)),
        ("bert@x", shown("anna@x", true)),
        ("", shown("", true)),
        ("anna@x", missing),
    ] {
        prepare(described(api));
        over_scim.prepare([scim]);
        let error = target.set_active(&id("u-1"), false).await.unwrap_err();
        assert_eq!((error.kind, error.code.as_str()), (TargetErrorKind::Validation, "IdsDiffer"));
        assert!(error.message.contains("another identity store"), "{error}");
        assert_eq!(over_scim.lines(), ["GET /Users/u-1"]);
    }
    prepare(not_found("USER"));
    over_scim.prepare([shown("anna@x", true)]);
    let error = target.set_active(&id("u-1"), false).await.unwrap_err();
    assert_eq!(error.kind, TargetErrorKind::NotFound(Some(Kind::User)));
    assert_eq!(over_scim.lines(), ["GET /Users/u-1"]);
}

#[tokio::test]
async fn a_check_tells_whether_both_sides_are_one_store() {
    let list = |user: Value| says(200, json!({"schemas": [], "Resources": [user]}));
    for (name, state) in [("anna@x", CheckState::Ok), ("bert@x", CheckState::Fail)] {
        let Rig { script: over_scim, target: scim, dir: _dir } = Rig::start().await;
        let user = json!({"UserId": "u-1", "IdentityStoreId": "d-1234567890", "UserName": "anna@x"});
        let users = Answer::Says(200, json!({"Users": [user]}));
        let target =
            Script::default().target([users, Answer::Says(200, json!({"Groups": []}))]).with_scim(scim);
        over_scim.prepare([
            says(200, json!({"schemas": []})),
            list(json!({"id": "u-1"})),
            list(json!({"id": "g-1"})),
            shown(name, true),
        ]);
        let lines = target.check().await;
        let last = lines.last().unwrap();
        assert_eq!((last.name.as_str(), last.state), ("SCIM and API", state));
        over_scim.taken();
    }
}

#[tokio::test]
async fn the_clock_is_read_from_refusals_too() {
    let script = Script::default();
    let date = ("date", "Fri, 01 Jan 2100 00:00:00 GMT");
    let target = script.target([Answer::Page(403, "", date)]);
    assert_eq!(target.clock_ahead(), None);
    target.find_user("anna").await.unwrap_err();
    assert!(target.clock_ahead().unwrap() > 1_000_000);
}

/// Whatever stands between here and the service, or in its place.
#[tokio::test]
async fn answers_that_are_none_of_the_services_are_errors() {
    let header = ("content-type", "application/x-amz-json-1.1");
    let long: &'static str = format!("[\"{}\"]", "x".repeat(crate::target::LONGEST_ANSWER)).leak();
    let deep: &'static str = format!("{{\"Users\": {}{}}}", "[".repeat(200_000), "]".repeat(200_000)).leak();
    let unknown: &'static str =
        format!("{{\"Novel\": {}{}}}", "{\"a\":".repeat(200_000), "0".to_owned() + &"}".repeat(200_000))
            .leak();
    let extension: &'static str = format!(
        "{{\"IdentityStoreId\": \"d-1234567890\", \"UserId\": \"u\", \"Extensions\": {{\"x\": {}0{}}}}}",
        "[".repeat(200_000),
        "]".repeat(200_000)
    )
    .leak();
    for (status, body) in [
        (200, long),
        (500, long),
        (200, deep),
        (200, unknown),
        (400, deep),
        (200, extension),
        (200, "<html><h1>Sign in</h1></html>"),
        (200, "{\"Users\": 7}"),
        (200, "\u{feff}{}"),
        (302, "elsewhere"),
        (599, "\0\0\0"),
    ] {
        let script = Script::default();
        let answers = (0..8).map(|_| Answer::Page(status, body, header));
        let target = script.target(answers);
        let found = target.find_user("anna@x").await;
        let told = format!("{found:?}");
        // The unknown member is passed over, whatever is in it; then there is no id in the answer.
        assert!(found.is_err(), "{status} {:.60} {told:.200}", body);
        assert!(told.len() < 2000, "{told:.2000}");
        let said = found.unwrap_err();
        assert!(!matches!(said.kind, TargetErrorKind::NotFound(_)), "{said:?}");
    }
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let script = Script::default();
    let target =
        script.target((0..8).map(|_| Answer::Page(307, "", ("location", "http://127.0.0.1:1/steal"))));
    target.find_user("anna@x").await.unwrap_err();
    assert!(script.operations().iter().all(|operation| operation == "GetUserId"));
}

/// A user as the service gives one, with damage done to it.
fn damaged() -> impl proptest::strategy::Strategy<Value = String> {
    use proptest::prelude::*;
    let whole = json!({
        "IdentityStoreId": "d-1234567890", "UserId": "u-1", "UserName": "anna@x", "DisplayName": "Anna",
        "Name": { "GivenName": "Anna", "FamilyName": "X" }, "UserStatus": "ENABLED",
        "Emails": [{ "Value": "anna@x", "Primary": true, "Type": "work" }],
        "Addresses": [{ "StreetAddress": "1" }], "CreatedAt": 1.7e9, "ExternalIds": [{ "Issuer": "i", "Id": "x" }],
        "Extensions": { "aws:identitystore:enterprise": { "department": "d", "manager": { "value": "m" } } },
    })
    .to_string();
    let put = "[\\]\\[{}:,\"0-9a-f\\\\-]{0,6}|null|true|\\PC{0,3}|1e999|\\\\ud800";
    prop::collection::vec((any::<prop::sample::Index>(), 0..12_usize, put), 1..4).prop_map(move |edits| {
        let mut text = whole.clone();
        for (at, len, put) in edits {
            let start = text.floor_char_boundary(at.index(text.len().max(1)));
            let end = text.ceil_char_boundary((start + len).min(text.len()));
            text.replace_range(start..end, &put);
        }
        text
    })
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig {
        // Some are asked for again and again.
        cases: (proptest::prelude::ProptestConfig::default().cases / 4).max(1),
        ..proptest::prelude::ProptestConfig::default()
    })]

    #[test]
    fn a_damaged_answer_is_an_error_or_a_user(body in damaged(), status in proptest::sample::select(vec![200, 200, 400])) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let body: &'static str = body.leak();
        let header = ("content-type", "application/x-amz-json-1.1");
        runtime.block_on(async {
            let script = Script::default();
            let target = script.target((0..8).map(|_| Answer::Page(status, body, header)));
            match target.user(&TargetId::new("u-1")).await {
                Ok(found) => assert!(status == 200 || found.is_none()),
                Err(error) => assert!(error.message.len() < 2000),
            }
        });
    }
}
