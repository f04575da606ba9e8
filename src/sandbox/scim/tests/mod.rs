//! The endpoint as a caller sees it, without a socket: one request in, one answer out.

use bytes::Bytes;
use serde_json::{Value, json};

use super::super::handler::{RawRequest, RawResponse, Sandbox, Settings, Withheld};
use super::*;

mod access;
mod groups;
mod lists;
mod users;

const STORE: &str = "d-1234567890";
const PATCH: &str = "urn:ietf:params:scim:api:messages:2.0:PatchOp";
const ENTERPRISE: &str = user::ENTERPRISE;

/// A sandbox, and what is asked of it.
struct Bed(Sandbox);

impl Bed {
    fn new() -> Self {
        Self::with(Settings::default())
    }

    fn with(settings: Settings) -> Self {
        Self(Sandbox::open(settings).unwrap())
    }

    /// `path` begins after the base URL, and may have a query.
    async fn raw(&self, method: &str, path: &str, body: Option<&Value>) -> Result<RawResponse, Withheld> {
        let (path, query) = path.split_once('?').map_or((path, None), |(path, query)| (path, Some(query)));
        let request = ScimRequest {
            method: method.into(),
            path: format!("{}{path}", self.0.scim().base_path()),
            query: query.map(|q| q.replace(' ', "%20").replace('"', "%22")),
            authorization: Some("Bearer sandbox-token".into()),
            user_agent: Some("test".into()),
            body: body.map_or_else(Bytes::new, |body| body.to_string().into()),
        };
        self.0.handle_scim(request).await
    }

    async fn send(&self, method: &str, path: &str, body: Value) -> (u16, Value) {
        read(&self.raw(method, path, Some(&body)).await.unwrap())
    }

    async fn get(&self, path: &str) -> (u16, Value) {
        read(&self.raw("GET", path, None).await.unwrap())
    }

    async fn delete(&self, path: &str) -> u16 {
        self.raw("DELETE", path, None).await.unwrap().status
    }

    async fn patch(&self, path: &str, operations: Value) -> (u16, Value) {
        self.send("PATCH", path, json!({"schemas": [PATCH], "Operations": operations})).await
    }

    /// The id of a new user.
    async fn user(&self, name: &str) -> String {
        let (status, body) = self.send("POST", "/Users", person(name)).await;
        assert_eq!(status, 201, "{body}");
        body["id"].as_str().unwrap().to_owned()
    }

    /// The id of a new group.
    async fn group(&self, name: &str, members: &[&str]) -> String {
        let group = json!({"displayName": name, "members": people(members)});
        let (status, body) = self.send("POST", "/Groups", group).await;
        assert_eq!(status, 201, "{body}");
        body["id"].as_str().unwrap().to_owned()
    }

    /// Who is in the group, by the userNames that SCIM shows.
    async fn members(&self, group: &str) -> Vec<String> {
        let (status, list) = self.get(&format!("/Users?filter=groups.value eq \"{group}\"")).await;
        assert_eq!(status, 200, "{list}");
        names(&list, "userName")
    }

    /// The same store, asked by the Identity Store API.
    async fn api(&self, operation: &str, mut body: Value) -> (u16, Value) {
        body["IdentityStoreId"] = json!(STORE);
        let request = RawRequest {
            target: Some(format!("AWSIdentityStore.{operation}")),
            body: Bytes::from(body.to_string()),
            authorization: true,
            agent: None,
        };
        read(&self.0.handle(request).await.unwrap())
    }
}

fn read(response: &RawResponse) -> (u16, Value) {
    (response.status, serde_json::from_slice(&response.body).unwrap_or_default())
}

fn header<'a>(response: &'a RawResponse, name: &str) -> Option<&'a str> {
    response.headers.iter().find(|(n, _)| *n == name).map(|(_, value)| value.as_str())
}

/// The least that makes a user.
fn person(name: &str) -> Value {
    json!({
        "userName": name,
        "displayName": name,
        "name": {"givenName": "G", "familyName": "F"},
        "emails": [{"value": format!("{name}@example.com"), "type": "work", "primary": true}],
        "active": true,
    })
}

fn people(ids: &[&str]) -> Value {
    ids.iter().map(|id| json!({"value": id})).collect()
}

fn names(list: &Value, name: &str) -> Vec<String> {
    let resources = list["Resources"].as_array().unwrap();
    let mut names: Vec<_> = resources.iter().map(|r| r[name].as_str().unwrap().to_owned()).collect();
    names.sort();
    names
}
