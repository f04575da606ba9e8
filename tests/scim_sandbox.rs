//! The sandbox's SCIM endpoint over HTTP: beside an independent server, where both have an operation; beside the API
//! that the same process serves; and what only a connection shows.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test may panic")]

use serde_json::{Value, json};

mod support;

use support::idcsync::Sandbox;
use support::scim::{Scim, Scim2Server};

const USER: &str = "urn:ietf:params:scim:schemas:core:2.0:User";
const GROUP: &str = "urn:ietf:params:scim:schemas:core:2.0:Group";
const ENTERPRISE: &str = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User";

fn ada() -> Value {
    json!({
        "schemas": [USER, ENTERPRISE],
        "externalId": "guid-1",
        "userName": "ada@example.com",
        "displayName": "Ada Lovelace",
        "name": {"givenName": "Ada", "familyName": "Lovelace"},
        "emails": [{"value": "ada@example.com", "type": "work", "primary": true}],
        "title": "Countess",
        "active": true,
        ENTERPRISE: {"department": "Engines", "employeeNumber": "1"},
    })
}

fn other(name: &str) -> Value {
    json!({
        "schemas": [USER],
        "userName": name,
        "displayName": "Other",
        "name": {"givenName": "O", "familyName": "Ther"},
        "active": true,
    })
}

/// What two servers must agree on: not ids and times, not the members of a group (AWS never shows them), not the words
/// of an error.
fn common(status: u16, body: &Value) -> Value {
    let resource = |resource: &Value| {
        let mut resource = resource.clone();
        if let Some(members) = resource.as_object_mut() {
            members.retain(|name, _| !matches!(name.as_str(), "id" | "meta" | "schemas" | "members"));
        }
        resource
    };
    match (status, body.get("Resources").and_then(Value::as_array)) {
        (400.., _) => json!(status),
        (_, Some(list)) => {
            let list: Vec<_> = list.iter().map(resource).collect();
            json!([status, body["totalResults"], body["startIndex"], list])
        }
        _ => json!([status, resource(body)]),
    }
}

/// The same story told to a server, and its answers.
fn story(scim: &Scim) -> Vec<(String, Value)> {
    let mut told = Vec::new();
    let mut tell = |what: &str, (status, body): (u16, Value)| {
        told.push((what.to_owned(), common(status, &body)));
        body
    };
    let patched = |scim: &Scim, path: &str, operations: Value| {
        // RFC 7644 leaves it to the server whether the answer has a body (section 3.5.2).
        let (status, _) = scim.patch(path, operations);
        (if status == 204 { 200 } else { status }, Value::Null)
    };
    let post = |path: &str, body: Value| scim.call("POST", path, Some(&body));
    let id = |body: &Value| body["id"].as_str().unwrap().to_owned();

    tell("no token", scim.with_token("wrong").get("/Users"));
    tell("nobody yet", scim.get("/Users"));
    let user = id(&tell("create", post("/Users", ada())));
    tell("create again", post("/Users", ada()));
    tell("create in capitals", post("/Users", other("ADA@example.com")));
    tell("create without a name", post("/Users", json!({"schemas": [USER], "displayName": "x"})));
    let bob = id(&tell("create another", post("/Users", other("bob@example.com"))));
    let path = format!("/Users/{user}");
    tell("get", scim.get(&path));
    tell("get nobody", scim.get("/Users/1234567890-00000000-0000-4000-8000-000000000001"));
    for filter in [
        "userName eq \"ada@example.com\"",
        "userName eq \"ADA@example.com\"",
        "userName eq \"eve@example.com\"",
        "externalId eq \"guid-1\"",
        "externalId eq \"guid-2\"",
        "nonsense eq \"x\"",
        "userName is \"x\"",
    ] {
        tell(filter, scim.get(&format!("/Users?filter={filter}")));
    }

    let operations = json!([{"op": "replace", "path": "active", "value": false}]);
    tell("disable", patched(scim, &path, operations));
    tell("get disabled", scim.get(&path));
    let operations = json!([
        {"op": "replace", "path": "name.givenName", "value": "A."},
        {"op": "replace", "path": "emails[type eq \"work\"].value", "value": "a@example.com"},
        {"op": "replace", "path": format!("{ENTERPRISE}:department"), "value": "Mathematics"},
        {"op": "remove", "path": "title"},
        {"op": "add", "path": "nickName", "value": "Ada"},
        {"op": "replace", "value": {"displayName": "A. Lovelace"}},
    ]);
    tell("patch much", patched(scim, &path, operations));
    tell("get patched", scim.get(&path));
    let operations = json!([{"op": "replace", "path": "userName", "value": "bob@example.com"}]);
    tell("patch into a conflict", patched(scim, &path, operations));
    tell(
        "patch an unknown attribute",
        patched(scim, &path, json!([{"op": "replace", "path": "salary", "value": 1}])),
    );
    tell("remove a required one", patched(scim, &path, json!([{"op": "remove", "path": "userName"}])));
    tell("put", scim.call("PUT", &path, Some(&other("ada.l@example.com"))));
    tell("get put", scim.get(&path));

    let group = json!({"schemas": [GROUP], "displayName": "Admins", "externalId": "guid-g"});
    let group = id(&tell("create a group", post("/Groups", group)));
    let path_of_group = format!("/Groups/{group}");
    tell("get the group", scim.get(&path_of_group));
    for person in [&user, &bob, &user] {
        let operations = json!([{"op": "add", "path": "members", "value": [{"value": person}]}]);
        tell("add a member", patched(scim, &path_of_group, operations));
    }
    for filter in [
        "displayName eq \"Admins\"".to_owned(),
        "displayName eq \"None\"".to_owned(),
        "externalId eq \"guid-g\"".to_owned(),
        format!("members.value eq \"{user}\""),
    ] {
        let what = filter.replace(&user, "ada");
        tell(&what, scim.get(&format!("/Groups?filter={filter}")));
    }
    let operations = json!([{"op": "replace", "path": "displayName", "value": "Root"}]);
    tell("rename the group", patched(scim, &path_of_group, operations));
    tell("get the renamed", scim.get(&path_of_group));

    for path in [&path_of_group, &path] {
        tell("delete", scim.call("DELETE", path, None));
        tell("get deleted", scim.get(path));
        tell("delete again", scim.call("DELETE", path, None));
        let operations = json!([{"op": "replace", "path": "displayName", "value": "x"}]);
        tell("patch deleted", patched(scim, path, operations));
    }
    tell("put deleted", scim.call("PUT", &path, Some(&other("eve@example.com"))));
    tell("the name is free again", post("/Users", ada()));
    told
}

#[test]
fn the_sandbox_answers_like_an_independent_server() {
    let sandbox = Sandbox::start();
    let independent = Scim2Server::start();
    let (ours, theirs) = (story(&sandbox.scim()), story(&independent.scim()));
    assert_eq!(ours.len(), theirs.len());
    for (ours, theirs) in ours.iter().zip(&theirs) {
        assert_eq!(ours, theirs);
    }
    let statuses = |of: &[(String, Value)], status: u16| {
        of.iter().filter(|(_, answer)| *answer == json!(status)).count()
    };
    // The story has what it promises.
    assert!(statuses(&ours, 409) >= 3 && statuses(&ours, 404) >= 6 && statuses(&ours, 401) == 1, "{ours:?}");
}

#[test]
fn scim_and_the_api_show_one_content() {
    let dir = support::dirs::private();
    let file = dir.path().join("store.json");
    let options = ["--store", file.to_str().unwrap()];
    let (user, group);
    {
        let sandbox = Sandbox::start_with(&options);
        let (scim, api) = (sandbox.scim(), sandbox.store());
        user = scim.create("/Users", ada());
        group = scim.create("/Groups", json!({"displayName": "Admins", "members": [{"value": user}]}));
        let made = api.call(
            "CreateUser",
            json!({"UserName": "bob@example.com", "DisplayName": "Bob", "Name": {"GivenName": "B", "FamilyName": "O"}}),
        );
        let membership = json!({"GroupId": group, "MemberId": {"UserId": made["UserId"]}});
        api.call("CreateGroupMembership", membership);
        let (_, members) = scim.get(&format!("/Users?filter=groups.value eq \"{group}\""));
        assert_eq!(members["totalResults"], 2, "{members}");
        let (status, _) = scim
            .patch(&format!("/Users/{user}"), json!([{"op": "replace", "path": "active", "value": false}]));
        assert_eq!(status, 200);
    }
    // It is all in the file.
    let sandbox = Sandbox::start_with(&options);
    let described = sandbox.store().call("DescribeUser", json!({"UserId": user}));
    assert_eq!(
        (&described["UserStatus"], &described["ExternalIds"][0]["Id"]),
        (&json!("DISABLED"), &json!("guid-1"))
    );
    let contents = sandbox.store().contents();
    assert!(contents.members["Admins"].iter().eq(["ada@example.com", "bob@example.com"]), "{contents:?}");
    let (_, shown) = sandbox.scim().get(&format!("/Users/{user}"));
    assert_eq!((&shown["active"], &shown["externalId"]), (&json!(false), &json!("guid-1")));
}

#[test]
fn tenant_token_and_form_of_lists_are_chosen() {
    let dir = support::dirs::private();
    let token = dir.path().join("token");
    std::fs::write(&token, "geheim\n").unwrap();
    let options =
        ["--scim-tenant", "t-1", "--scim-token-file", token.to_str().unwrap(), "--scim-paging", "older"];
    let sandbox = Sandbox::start_with(&options);
    let scim = Scim::new(sandbox.endpoint(), "/t-1/scim/v2", "geheim");
    scim.create("/Users", ada());
    let (status, list) = scim.get("/Users?cursor=");
    assert_eq!((status, &list["totalResults"]), (200, &json!(1)));
    assert_eq!(sandbox.scim().get("/Users").0, 401);
    assert_eq!(scim.with_token("sandbox-token").get("/Users").0, 401);
    let said = sandbox.server().log_tail();
    assert!(said.contains(&format!("sandbox SCIM base URL {}\n", scim.base_url())), "{said}");
    assert!(!said.contains("geheim"), "{said}");
}

/// A client that is told nothing sends no User-Agent; and a lost answer is an error of the connection.
#[tokio::test]
async fn what_only_a_connection_shows() {
    let sandbox = tokio::task::spawn_blocking(|| {
        Sandbox::start_with(&[
            "--fault",
            "scim:CreateUser:timeout-after@1",
            "--fault",
            "scim:ListGroups:throttle",
        ])
    });
    let sandbox = sandbox.await.unwrap();
    let scim = sandbox.scim();
    let url = |path: &str| format!("{}{path}", scim.base_url());

    let nameless = reqwest::Client::new();
    let blocked = nameless.get(url("/Users")).bearer_auth(scim.token()).send().await.unwrap();
    assert_eq!(blocked.status(), 403);
    assert!(blocked.text().await.unwrap().starts_with("<html>"));

    let client = reqwest::Client::builder().user_agent("rig").build().unwrap();
    let create = || client.post(url("/Users")).bearer_auth(scim.token()).json(&ada());
    let lost = create().send().await.unwrap_err();
    assert!(lost.status().is_none() && !lost.is_timeout(), "{lost:?}");
    let again = create().send().await.unwrap();
    assert_eq!(again.status(), 409);
    let body: Value = again.json().await.unwrap();
    assert_eq!(body["detail"], "Refused to create a new, duplicate resource.");
    let filter = [("filter", "userName eq \"ada@example.com\""), ("cursor", "")];
    let found = client.get(url("/Users")).query(&filter).bearer_auth(scim.token()).send().await.unwrap();
    let found: Value = found.json().await.unwrap();
    assert_eq!(found["Resources"][0]["externalId"], "guid-1", "{found}");

    let throttled = client.get(url("/Groups")).bearer_auth(scim.token()).send().await.unwrap();
    assert_eq!(
        (throttled.status().as_u16(), throttled.headers()["retry-after"].to_str().unwrap()),
        (429, "1")
    );
    let operations: Vec<_> = sandbox.requests().iter().map(|r| r["operation"].clone()).collect();
    assert_eq!(operations[1..4], ["scim:CreateUser", "scim:CreateUser", "scim:ListUsers"]);
}
