//! Who gets in, how fast, and what goes wrong on demand.

use std::num::NonZeroU32;
use std::time::Duration;

use tempfile::TempDir;

use super::*;

#[tokio::test]
async fn without_the_token_of_the_tenant_nothing_is_answered() {
    let bed = Bed::new();
    let ask = |tenant: &str, authorization: Option<&str>| ScimRequest {
        method: "GET".into(),
        path: format!("/{tenant}/scim/v2/Users"),
        authorization: authorization.map(str::to_owned),
        user_agent: Some("test".into()),
        ..ScimRequest::default()
    };
    for (tenant, authorization) in [
        ("tenant", None),
        ("tenant", Some("Bearer wrong")),
        ("tenant", Some("Basic sandbox-token")),
        ("tenant", Some("sandbox-token")),
        ("other", Some("Bearer sandbox-token")),
    ] {
        let refused = bed.0.handle_scim(ask(tenant, authorization)).await.unwrap();
        assert_eq!(refused.status, 401, "{tenant} {authorization:?}");
        assert_eq!(header(&refused, "x-amzn-errortype"), Some("UnauthorizedException"));
    }
    assert_eq!(bed.0.handle_scim(ask("tenant", Some("bearer sandbox-token"))).await.unwrap().status, 200);
}

#[tokio::test]
async fn who_does_not_say_what_it_is_is_blocked_before_all_else() {
    let bed = Bed::new();
    for agent in [None, Some(String::new())] {
        let request = ScimRequest {
            method: "GET".into(),
            path: "/tenant/scim/v2/Users".into(),
            user_agent: agent,
            ..ScimRequest::default()
        };
        let blocked = bed.0.handle_scim(request).await.unwrap();
        assert_eq!((blocked.status, header(&blocked, "content-type")), (403, Some("text/html")));
    }
}

#[tokio::test]
async fn each_endpoint_has_a_rate_limit_of_its_own() {
    let bed = Bed::with(Settings { requests_per_second: Some(2), ..Settings::default() });
    assert_eq!(bed.get("/Users").await.0, 200);
    assert_eq!(bed.get("/Users").await.0, 200);
    let throttled = bed.raw("GET", "/Users", None).await.unwrap();
    assert_eq!((throttled.status, header(&throttled, "retry-after")), (429, Some("1")));
    assert_eq!(bed.api("ListUsers", json!({})).await.0, 200);
}

#[tokio::test]
async fn what_aws_does_not_have_is_refused() {
    let bed = Bed::new();
    let group = bed.group("Admins", &[]).await;
    let (status, _) = bed.send("PUT", &format!("/Groups/{group}"), json!({"displayName": "New"})).await;
    assert_eq!(status, 405);
    for (method, path) in
        [("POST", "/Bulk"), ("GET", "/Me"), ("POST", "/.search"), ("POST", "/Users/.search")]
    {
        assert_eq!(bed.send(method, path, json!({})).await.0, 404, "{path}");
    }
    assert!(bed.0.inspect(|s| s.group_by_name("admins").is_some()));
}

#[tokio::test]
async fn the_endpoint_describes_itself() {
    let bed = Bed::new();
    let (status, config) = bed.get("/ServiceProviderConfig").await;
    assert_eq!((status, &config["patch"]["supported"]), (200, &json!(true)));
    assert_eq!(config["bulk"]["supported"], false);
    let (status, schemas) = bed.get("/Schemas").await;
    assert_eq!((status, &schemas["totalResults"]), (200, &json!(3)));
    let (status, one) = bed.get(&format!("/Schemas/{ENTERPRISE}")).await;
    assert_eq!((status, &one["name"]), (200, &json!("EnterpriseUser")));
    assert_eq!(bed.get("/Schemas/urn:none").await.0, 404);
    let (_, types) = bed.get("/ResourceTypes").await;
    assert_eq!(names(&types, "endpoint"), ["/Groups", "/Users"]);
}

fn faults(specs: &[&str]) -> Settings {
    let faults = specs.iter().map(|spec| spec.parse().unwrap()).collect();
    Settings { faults, ..Settings::default() }
}

#[tokio::test]
async fn every_fault_has_its_answer_and_does_nothing() {
    for (kind, status) in
        [("throttle", 429), ("internal", 500), ("conflict", 409), ("access-denied", 403), ("validation", 400)]
    {
        let bed = Bed::with(faults(&[&format!("scim:CreateUser:{kind}@1")]));
        assert_eq!(bed.send("POST", "/Users", person("ada")).await.0, status, "{kind}");
        assert_eq!(bed.0.inspect(|s| s.users().len()), 0, "{kind}");
        assert_eq!(bed.send("POST", "/Users", person("ada")).await.0, 201, "{kind}");
    }
}

#[tokio::test]
async fn a_create_whose_answer_is_lost_is_a_conflict_when_it_is_tried_again() {
    for kind in ["timeout-after", "internal-after"] {
        let bed = Bed::with(faults(&[&format!("scim:CreateUser:{kind}@1")]));
        let lost = bed.raw("POST", "/Users", Some(&person("ada"))).await;
        assert_eq!(
            lost.map(|answer| answer.status).unwrap_or(0),
            if kind == "internal-after" { 500 } else { 0 }
        );
        let (status, body) = bed.send("POST", "/Users", person("ada")).await;
        assert_eq!(status, 409);
        assert_eq!(body["detail"], "Refused to create a new, duplicate resource.");
    }
    let bed = Bed::with(faults(&["scim:CreateUser:timeout-before@1"]));
    assert_eq!(bed.raw("POST", "/Users", Some(&person("ada"))).await.unwrap_err(), Withheld);
    assert_eq!(bed.send("POST", "/Users", person("ada")).await.0, 201);
}

#[tokio::test]
async fn the_api_has_the_lost_answer_too() {
    let bed = Bed::with(faults(&["CreateGroup:internal-after@1"]));
    let group = json!({"DisplayName": "Admins"});
    let (status, body) = bed.api("CreateGroup", group.clone()).await;
    assert_eq!((status, &body["__type"]), (500, &json!("InternalServerException")));
    assert_eq!(bed.api("CreateGroup", group).await.1["__type"], "ConflictException");
}

#[tokio::test]
async fn latency_does_not_queue_requests() {
    let bed = Bed::with(Settings { latency: Duration::from_secs(3600), ..Settings::default() });
    let body = person("ada");
    let mut answer = Box::pin(bed.raw("POST", "/Users", Some(&body)));
    assert!(futures::poll!(&mut answer).is_pending());
    assert_eq!(bed.0.inspect(|s| s.users().len()), 1);
}

#[tokio::test]
async fn the_log_tells_the_operations_of_the_two_endpoints_apart() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("requests.jsonl");
    let rate = NonZeroU32::MAX.get();
    let settings = faults(&["scim:CreateUser:timeout-after@2"]);
    let settings = Settings { request_log: Some(path.clone()), requests_per_second: Some(rate), ..settings };
    let bed = Bed::with(settings);
    let ada = bed.user("ada").await;
    assert!(bed.raw("POST", "/Users", Some(&person("bob"))).await.is_err());
    bed.get("/Users?cursor=&count=5").await;
    bed.patch(&format!("/Users/{ada}"), json!([{"op": "remove", "path": "active"}])).await;
    bed.api("ListUsers", json!({})).await;
    bed.get("/Me").await;
    let text = std::fs::read_to_string(&path).unwrap();
    let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let field = |line: &Value, name: &str| line.get(name).cloned().unwrap_or_default();
    let short: Vec<_> = lines
        .iter()
        .map(|l| {
            json!([
                field(l, "operation"),
                field(l, "access"),
                field(l, "outcome"),
                field(l, "status"),
                field(l, "resource")
            ])
        })
        .collect();
    assert_eq!(
        short,
        [
            json!(["scim:CreateUser", "write", "ok", 201, {"userName": "ada", "userId": ada}]),
            json!(["scim:CreateUser", "write", "ok", null, lines[1]["resource"]]),
            json!(["scim:ListUsers", "read", "ok", 200, {"query": "cursor=&count=5"}]),
            json!(["scim:PatchUser", "write", "ValidationException", 400, {"userId": ada}]),
            json!(["ListUsers", "read", "ok", 200, {}]),
            json!(["scim:GET /tenant/scim/v2/Me", null, "ResourceNotFoundException", 404, {}]),
        ]
    );
    assert_eq!((&lines[1]["withheld"], &lines[1]["fault"]), (&json!(true), &json!("timeout-after")));
}

#[tokio::test]
async fn a_store_that_is_open_for_reading_refuses_writes() {
    let dir = TempDir::new().unwrap();
    let settings = Settings { store: Some(dir.path().join("store.json")), ..Settings::default() };
    let external = json!({"externalId": "guid-1", "active": false});
    {
        let bed = Bed::with(settings.clone());
        let mut ada = person("ada");
        ada.as_object_mut().unwrap().extend(external.as_object().unwrap().clone());
        assert_eq!(bed.send("POST", "/Users", ada).await.0, 201);
        bed.0.close().unwrap();
    }
    let bed = Bed::with(Settings { read_only: true, ..settings });
    assert_eq!(bed.send("POST", "/Users", person("bob")).await.0, 403);
    let (_, list) = bed.get("/Users?filter=externalId eq \"guid-1\"").await;
    assert_eq!(
        (&list["Resources"][0]["userName"], &list["Resources"][0]["active"]),
        (&json!("ada"), &json!(false))
    );
}
