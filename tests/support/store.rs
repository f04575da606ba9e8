//! What an identity store really holds, asked with raw requests over a plain socket.
//!
//! No AWS SDK and nothing of the program under test: AWS's JSON 1.1 protocol is a POST with the operation's name in a
//! header. Signatures are not checked by the stand-ins; moto reads the service's name from where the signature is.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::time::Duration;

use serde_json::{Value, json};

use super::contents::Contents;

/// An identity store behind an endpoint such as `http://127.0.0.1:4566`.
#[derive(Debug, Clone)]
pub struct Store {
    endpoint: String,
    region: String,
    id: String,
}

impl Store {
    pub fn new(endpoint: &str, region: &str, identity_store_id: &str) -> Self {
        Self { endpoint: endpoint.to_owned(), region: region.to_owned(), id: identity_store_id.to_owned() }
    }

    /// One operation, such as `CreateUser`; the identity store's id is added. Status and body of the answer.
    pub fn try_call(&self, operation: &str, mut body: Value) -> (u16, Value) {
        body["IdentityStoreId"] = json!(self.id);
        call(&self.endpoint, &self.region, &format!("AWSIdentityStore.{operation}"), &body)
    }

    /// One operation that has to succeed; throttling is waited out.
    pub fn call(&self, operation: &str, body: Value) -> Value {
        for _ in 0..100 {
            let (status, answer) = self.try_call(operation, body.clone());
            if status == 200 {
                return answer;
            }
            let kind = answer["__type"].as_str().unwrap_or_default();
            assert!(kind.ends_with("ThrottlingException"), "{operation} answered {status}: {answer}");
            std::thread::sleep(Duration::from_millis(100));
        }
        panic!("{operation} was throttled for too long");
    }

    /// All records of a list operation, page by page.
    pub fn list(&self, operation: &str, key: &str, mut body: Value) -> Vec<Value> {
        body["MaxResults"] = json!(100);
        let mut all = Vec::new();
        loop {
            let mut answer = self.call(operation, body.clone());
            let Value::Array(page) = answer[key].take() else { panic!("{operation} answered without {key}") };
            all.extend(page);
            match answer["NextToken"].take() {
                Value::String(token) => body["NextToken"] = json!(token),
                _ => return all,
            }
        }
    }

    pub fn users(&self) -> Vec<Value> {
        self.list("ListUsers", "Users", json!({}))
    }

    pub fn groups(&self) -> Vec<Value> {
        self.list("ListGroups", "Groups", json!({}))
    }

    /// Everything. Panics on a name or a membership that is there twice, and on members that are not among the users.
    pub fn contents(&self) -> Contents {
        let mut names = BTreeMap::new();
        let mut contents = Contents::default();
        for user in self.users() {
            let name = text(&user, "UserName");
            assert!(contents.users.insert(name.clone()), "two users are called {name:?}");
            names.insert(text(&user, "UserId"), name);
        }
        for group in self.groups() {
            let name = text(&group, "DisplayName");
            assert!(contents.groups.insert(name.clone()), "two groups are called {name:?}");
            let mut members = BTreeSet::new();
            let query = json!({ "GroupId": group["GroupId"] });
            for membership in self.list("ListGroupMemberships", "GroupMemberships", query) {
                let id = text(&membership["MemberId"], "UserId");
                let member = names.get(&id).unwrap_or_else(|| panic!("{name:?} has an unknown member, {id}"));
                assert!(members.insert(member.clone()), "{member:?} is in {name:?} twice");
            }
            contents.members.insert(name, members);
        }
        contents
    }
}

/// A request to any AWS service that speaks JSON 1.1; `target` is the value of `X-Amz-Target`.
pub fn call(endpoint: &str, region: &str, target: &str, body: &Value) -> (u16, Value) {
    let service = match target.split('.').next() {
        Some("SWBExternalService") => "sso",
        Some("AWSOrganizationsV20161128") => "organizations",
        _ => "identitystore",
    };
    let authorization = format!(
        "AWS4-HMAC-SHA256 Credential=AKIDRIG/20260101/{region}/{service}/aws4_request, SignedHeaders=host, Signature=0"
    );
    let headers = [
        ("Content-Type", "application/x-amz-json-1.1"),
        ("X-Amz-Target", target),
        ("X-Amz-Date", "20260101T000000Z"),
        ("Authorization", &authorization),
    ];
    let (status, answer) = request("POST", endpoint, "/", &headers, body.to_string().as_bytes());
    let answer = serde_json::from_slice(&answer)
        .unwrap_or_else(|_| Value::String(String::from_utf8_lossy(&answer).into_owned()));
    (status, answer)
}

/// A request over HTTP/1.1 with a connection of its own; status and body of the answer.
pub fn request(
    method: &str,
    endpoint: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &[u8],
) -> (u16, Vec<u8>) {
    let host = endpoint.strip_prefix("http://").expect("a plain HTTP endpoint").trim_end_matches('/');
    let mut stream = TcpStream::connect(host).unwrap_or_else(|e| panic!("cannot connect to {endpoint}: {e}"));
    stream.set_read_timeout(Some(Duration::from_secs(60))).expect("set a time limit");
    let mut head = format!("{method} {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n");
    head.push_str(&format!("User-Agent: rig\r\nContent-Length: {}\r\n", body.len()));
    for (name, value) in headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    head.push_str("\r\n");
    stream.write_all(&[head.as_bytes(), body].concat()).expect("send a request");
    read_answer(&mut BufReader::new(stream))
}

fn read_answer(reader: &mut impl BufRead) -> (u16, Vec<u8>) {
    let status = line(reader);
    let status = status.split(' ').nth(1).and_then(|code| code.parse().ok()).expect("a status line");
    let (mut length, mut chunked) = (None, false);
    loop {
        let header = line(reader);
        let Some((name, value)) = header.split_once(':') else { break };
        match name.to_ascii_lowercase().as_str() {
            "content-length" => length = value.trim().parse::<usize>().ok(),
            "transfer-encoding" => chunked = value.trim().eq_ignore_ascii_case("chunked"),
            _ => {}
        }
    }
    let mut body = Vec::new();
    if chunked {
        loop {
            let size = line(reader);
            let size = size.split(';').next().unwrap_or_default();
            let size = usize::from_str_radix(size.trim(), 16).expect("the size of a chunk");
            let mut chunk = vec![0; size];
            reader.read_exact(&mut chunk).expect("a chunk");
            line(reader);
            if size == 0 {
                break;
            }
            body.extend(chunk);
        }
    } else if let Some(length) = length {
        body.resize(length, 0);
        reader.read_exact(&mut body).expect("the announced body");
    } else {
        reader.read_to_end(&mut body).expect("the body");
    }
    (status, body)
}

fn line(reader: &mut impl BufRead) -> String {
    let mut line = String::new();
    reader.read_line(&mut line).expect("a line of the answer");
    line.trim_end().to_owned()
}

fn text(record: &Value, key: &str) -> String {
    record[key].as_str().unwrap_or_else(|| panic!("{key} is missing in {record}")).to_owned()
}
