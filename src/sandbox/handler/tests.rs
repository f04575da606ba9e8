use tempfile::TempDir;

use super::*;

fn request(operation: &str, body: Value) -> RawRequest {
    RawRequest {
        target: Some(format!("AWSIdentityStore.{operation}")),
        body: Bytes::from(body.to_string()),
        authorization: true,
        agent: None,
    }
}

fn list() -> RawRequest {
    request("ListUsers", json!({"IdentityStoreId": DEFAULT_IDENTITY_STORE_ID}))
}

fn create(user_name: &str) -> RawRequest {
    request(
        "CreateUser",
        json!({"IdentityStoreId": DEFAULT_IDENTITY_STORE_ID, "UserName": user_name, "DisplayName": "D",
               "Name": {"GivenName": "G", "FamilyName": "F"}}),
    )
}

fn body(response: &RawResponse) -> Value {
    serde_json::from_slice(&response.body).unwrap()
}

fn header<'a>(response: &'a RawResponse, name: &str) -> Option<&'a str> {
    response.headers.iter().find(|(n, _)| *n == name).map(|(_, value)| value.as_str())
}

#[tokio::test]
async fn errors_have_type_header_and_request_id() {
    let sandbox = Sandbox::open(Settings::default()).unwrap();
    let unsigned = RawRequest { authorization: false, ..list() };
    let untargeted = RawRequest { target: None, ..list() };
    let unknown = request("DisableUser", json!({}));
    for (request, code) in [
        (unsigned, "MissingAuthenticationTokenException"),
        (untargeted, "UnknownOperationException"),
        (unknown, "UnknownOperationException"),
        (request("ListUsers", json!([])), "SerializationException"),
        (request("ListUsers", json!({})), "ValidationException"),
    ] {
        let response = sandbox.handle(request).await.unwrap();
        assert_eq!(response.status, 400);
        assert_eq!(header(&response, "x-amzn-errortype"), Some(code));
        assert_eq!(body(&response)["__type"], code);
        assert_eq!(body(&response)["RequestId"].as_str(), header(&response, "x-amzn-requestid"));
        assert_eq!(header(&response, "content-type"), Some("application/x-amz-json-1.1"));
    }
    let response = sandbox.handle(list()).await.unwrap();
    assert_eq!(response.status, 200);
    assert_eq!(body(&response), json!({"Users": []}));
    assert!(header(&response, "date").unwrap().ends_with(" GMT"));
}

#[tokio::test]
async fn the_rate_limit_is_for_all_callers_and_says_when_to_come_back() {
    let dir = TempDir::new().unwrap();
    let log = dir.path().join("requests.jsonl");
    let settings =
        Settings { requests_per_second: Some(3), request_log: Some(log.clone()), ..Settings::default() };
    let sandbox = Sandbox::open(settings).unwrap();
    for _ in 0..3 {
        assert_eq!(sandbox.handle(list()).await.unwrap().status, 200);
    }
    let response = sandbox.handle(create("ada")).await.unwrap();
    assert_eq!(response.status, 400);
    assert_eq!(body(&response)["__type"], "ThrottlingException");
    assert_eq!(body(&response)["RetryAfterSeconds"], 1);
    assert_eq!(sandbox.inspect(|s| s.users().len()), 0);
    let lines = std::fs::read_to_string(log).unwrap();
    let last: Value = serde_json::from_str(lines.lines().last().unwrap()).unwrap();
    assert_eq!(last["outcome"], "ThrottlingException");
    assert_eq!(last["resource"], json!({"userName": "ada"}));
}

#[tokio::test]
async fn a_fault_comes_before_the_request_is_judged() {
    let faults = vec!["ListUsers:internal@1".parse().unwrap()];
    let sandbox = Sandbox::open(Settings { faults, ..Settings::default() }).unwrap();
    let wrong = || request("ListUsers", json!({"Bogus": 1}));
    let first = sandbox.handle(wrong()).await.unwrap();
    assert_eq!((first.status, body(&first)["__type"].as_str()), (500, Some("InternalServerException")));
    let second = sandbox.handle(wrong()).await.unwrap();
    assert_eq!(body(&second)["__type"], "ValidationException");
}

#[tokio::test]
async fn latency_does_not_queue_requests() {
    let latency = Duration::from_secs(3600);
    let sandbox = Sandbox::open(Settings { latency, ..Settings::default() }).unwrap();
    let mut waiting = Vec::new();
    for n in 0..20 {
        let mut answer = Box::pin(sandbox.handle(create(&format!("user-{n}"))));
        assert!(futures::poll!(&mut answer).is_pending());
        waiting.push(answer);
    }
    // All are done while every one of the answers is still on its way.
    assert_eq!(sandbox.inspect(|s| s.users().len()), 20);
}

#[tokio::test]
async fn the_log_has_a_line_for_each_request() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("requests.jsonl");
    let faults =
        vec!["CreateUser:timeout-after@2".parse().unwrap(), "ListUsers:timeout-before@2".parse().unwrap()];
    let settings = Settings { faults, request_log: Some(path.clone()), ..Settings::default() };
    let sandbox = Sandbox::open(settings).unwrap();
    sandbox.handle(create("ada")).await.unwrap();
    assert_eq!(sandbox.handle(create("bob")).await.unwrap_err(), Withheld);
    sandbox.handle(create("ADA")).await.unwrap();
    sandbox.handle(list()).await.unwrap();
    assert_eq!(sandbox.handle(list()).await.unwrap_err(), Withheld);
    sandbox.handle(request("Nonsense", json!({}))).await.unwrap();
    let text = std::fs::read_to_string(&path).unwrap();
    let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let short: Vec<_> = lines
        .iter()
        .map(|l| {
            let field = |name: &str| l.get(name).cloned().unwrap_or_default();
            json!([field("operation"), field("access"), field("outcome"), field("status"), field("withheld")])
        })
        .collect();
    assert_eq!(
        short,
        [
            json!(["CreateUser", "write", "ok", 200, null]),
            json!(["CreateUser", "write", "ok", null, true]),
            json!(["CreateUser", "write", "ConflictException", 400, null]),
            json!(["ListUsers", "read", "ok", 200, null]),
            json!(["ListUsers", "read", "none", null, true]),
            json!(["AWSIdentityStore.Nonsense", null, "UnknownOperationException", 400, null]),
        ]
    );
    assert_eq!(lines[0]["resource"]["userName"], "ada");
    assert!(lines[0]["resource"]["userId"].as_str().unwrap().starts_with("1234567890-"));
    assert_eq!(lines[1]["fault"], "timeout-after");
    assert!(lines[0]["latencyMs"].is_number() && lines[0]["requestId"].is_string());
    assert!(lines[0]["time"].as_str().unwrap().parse::<Timestamp>().is_ok());
}

#[tokio::test]
async fn acknowledged_changes_survive_an_end_without_close() {
    let dir = TempDir::new().unwrap();
    let settings = Settings { store: Some(dir.path().join("store.json")), ..Settings::default() };
    let sandbox = Sandbox::open(settings.clone()).unwrap();
    sandbox.handle(create("ada")).await.unwrap();
    let busy = Sandbox::open(settings.clone()).unwrap_err();
    assert!(busy.to_string().contains("in use by another sandbox"), "{busy}");
    drop(sandbox);
    let sandbox = Sandbox::open(settings.clone()).unwrap();
    assert!(sandbox.inspect(|s| s.user_by_name("ada")).is_some());
    sandbox.handle(create("bob")).await.unwrap();
    sandbox.close().unwrap();
    drop(sandbox);

    let before = std::fs::read(dir.path().join("store.json")).unwrap();
    let log = dir.path().join("requests.jsonl");
    let settings = Settings { request_log: Some(log.clone()), ..settings };
    let reader = Sandbox::open(Settings { read_only: true, ..settings }).unwrap();
    assert_eq!(reader.inspect(|s| s.users().len()), 2);
    let refused = reader.handle(create("eve")).await.unwrap();
    assert_eq!(body(&refused)["__type"], "AccessDeniedException");
    reader.close().unwrap();
    assert_eq!(std::fs::read(dir.path().join("store.json")).unwrap(), before);
    assert!(!log.exists());
}

#[tokio::test]
async fn the_identity_store_id_must_be_one() {
    for id in ["", "1234567890", "d-123", "d-123456789Z"] {
        let settings = Settings { identity_store_id: id.into(), ..Settings::default() };
        assert!(matches!(Sandbox::open(settings), Err(SandboxError::IdentityStoreId(_))), "{id}");
    }
}
