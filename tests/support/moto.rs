//! moto: an independent stand-in for the AWS APIs.
//!
//! It has all operations of the identity store but UpdateUser and UpdateGroup, and is less strict than AWS.

use std::path::PathBuf;
use std::process::Command;

use serde_json::json;
use tempfile::TempDir;

use super::dirs;
use super::ports::{Loopback, answers};
use super::process::Server;
use super::store::{Store, call};

const PORT: u16 = 5000;
pub const REGION: &str = "eu-west-1";

/// A running moto; gone when dropped.
#[derive(Debug)]
pub struct Moto {
    server: Server,
    address: Loopback,
    identity_store_id: String,
    _home: TempDir,
}

impl Moto {
    pub fn start() -> Self {
        let program = venv("moto_server");
        let home = dirs::private();
        let address = Loopback::claim();
        let mut command = Command::new(program);
        command.args(["-H", &address.to_string(), "-p", &PORT.to_string()]);
        let server = Server::start("moto", command, home.path(), || answers(address.at(PORT)));
        let endpoint = format!("http://{}", address.at(PORT));
        let (status, answer) = call(&endpoint, REGION, "SWBExternalService.ListInstances", &json!({}));
        assert_eq!(status, 200, "{answer}");
        let id = answer["Instances"][0]["IdentityStoreId"].as_str().expect("moto has an instance").to_owned();
        Self { server, address, identity_store_id: id, _home: home }
    }

    /// For all services.
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address.at(PORT))
    }

    pub fn region(&self) -> &'static str {
        REGION
    }

    /// The one that ListInstances names.
    pub fn identity_store_id(&self) -> &str {
        &self.identity_store_id
    }

    pub fn store(&self) -> Store {
        Store::new(&self.endpoint(), REGION, &self.identity_store_id)
    }

    pub fn server(&self) -> &Server {
        &self.server
    }
}

/// A program of the Python environment that `make setup` makes.
pub fn venv(program: &str) -> PathBuf {
    let path = dirs::root().join("target/rig/venv/bin").join(program);
    assert!(path.exists(), "{} is missing: make setup", path.display());
    path
}
