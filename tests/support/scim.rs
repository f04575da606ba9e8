//! SCIM endpoints, asked with raw requests; and scim2-server, an independent one, which follows the RFCs and is less
//! strict than AWS.

use std::process::Command;

use serde_json::{Value, json};
use tempfile::TempDir;

use super::dirs;
use super::moto::venv;
use super::ports::{Loopback, answers};
use super::process::Server;
use super::store::request;

const PORT: u16 = 8080;
const TOKEN: &str = "rig-token";
const PATCH: &str = "urn:ietf:params:scim:api:messages:2.0:PatchOp";

/// An endpoint, and the token that it takes.
#[derive(Debug, Clone)]
pub struct Scim {
    endpoint: String,
    base_path: String,
    token: String,
}

impl Scim {
    /// `endpoint` as in `http://127.0.0.1:4566`, `base_path` as in `/tenant/scim/v2`.
    pub fn new(endpoint: &str, base_path: &str, token: &str) -> Self {
        Self { endpoint: endpoint.to_owned(), base_path: base_path.to_owned(), token: token.to_owned() }
    }

    /// As it is written in a config.
    pub fn base_url(&self) -> String {
        format!("{}{}", self.endpoint, self.base_path)
    }

    pub fn token(&self) -> &str {
        &self.token
    }

    /// The same endpoint with another token.
    pub fn with_token(&self, token: &str) -> Self {
        Self { token: token.to_owned(), ..self.clone() }
    }

    /// Status and body of one answer. `path` begins after the base URL; spaces and quotes in it are encoded.
    pub fn call(&self, method: &str, path: &str, body: Option<&Value>) -> (u16, Value) {
        let path = format!("{}{}", self.base_path, path.replace(' ', "%20").replace('"', "%22"));
        let authorization = format!("Bearer {}", self.token);
        let headers = [("Authorization", authorization.as_str()), ("Content-Type", "application/scim+json")];
        let body = body.map(Value::to_string).unwrap_or_default();
        let (status, answer) = request(method, &self.endpoint, &path, &headers, body.as_bytes());
        (status, serde_json::from_slice(&answer).unwrap_or_default())
    }

    pub fn get(&self, path: &str) -> (u16, Value) {
        self.call("GET", path, None)
    }

    pub fn patch(&self, path: &str, operations: Value) -> (u16, Value) {
        self.call("PATCH", path, Some(&json!({"schemas": [PATCH], "Operations": operations})))
    }

    /// The id of what was made at `/Users` or `/Groups`.
    pub fn create(&self, path: &str, body: Value) -> String {
        let (status, answer) = self.call("POST", path, Some(&body));
        assert_eq!(status, 201, "{answer}");
        answer["id"].as_str().expect("an id").to_owned()
    }
}

/// A running scim2-server, empty at first; gone when dropped.
#[derive(Debug)]
pub struct Scim2Server {
    server: Server,
    address: Loopback,
    _home: TempDir,
}

impl Scim2Server {
    pub fn start() -> Self {
        let home = dirs::private();
        let address = Loopback::claim();
        let mut command = Command::new(venv("scim2-server"));
        command.args(["--hostname", &address.to_string(), "--port", &PORT.to_string()]);
        command.args(["--bearer-token", TOKEN]);
        let server = Server::start("scim2-server", command, home.path(), || answers(address.at(PORT)));
        Self { server, address, _home: home }
    }

    pub fn scim(&self) -> Scim {
        Scim::new(&format!("http://{}", self.address.at(PORT)), "/v2", TOKEN)
    }

    pub fn server(&self) -> &Server {
        &self.server
    }
}
