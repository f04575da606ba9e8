//! For tests: an HTTP server that gives prepared answers in turn and keeps the requests.

use std::collections::VecDeque;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use super::{Pacing, ScimSettings, ScimTarget};
use crate::secret::SecretSource;

/// What comes back for one request.
#[derive(Clone, Debug)]
pub enum Answer {
    Says(u16, Value),
    /// A body that is no JSON (or none), with a header.
    Page(u16, &'static str, (&'static str, String)),
    /// The connection ends after the request was read.
    Breaks,
    /// Nothing, ever.
    Silence,
}

pub fn says(status: u16, body: Value) -> Answer {
    Answer::Says(status, body)
}

/// A success without a body.
pub fn done() -> Answer {
    Answer::Page(204, "", ("server", "scripted".to_owned()))
}

#[derive(Clone, Debug)]
pub struct Request {
    /// `GET /t/scim/v2/Users?count=100`
    pub line: String,
    /// Names in small letters.
    pub headers: Vec<(String, String)>,
    pub body: Value,
}

impl Request {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_str())
    }
}

#[derive(Default)]
struct Shared {
    answers: Mutex<VecDeque<Answer>>,
    requests: Mutex<Vec<Request>>,
}

/// Listens until it is dropped.
pub struct Scripted {
    shared: Arc<Shared>,
    url: String,
    server: tokio::task::JoinHandle<()>,
}

impl Drop for Scripted {
    fn drop(&mut self) {
        self.server.abort();
    }
}

impl Scripted {
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/t/scim/v2", listener.local_addr().unwrap());
        let shared = Arc::new(Shared::default());
        let serving = Arc::clone(&shared);
        let server = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(answer(stream, Arc::clone(&serving)));
            }
        });
        Self { shared, url, server }
    }

    pub fn settings(&self, token: &Path) -> ScimSettings {
        ScimSettings {
            url: self.url.clone(),
            token: SecretSource::File(token.to_owned()),
            token_expires: None,
            identity_store_id: None,
            rfc_remove: false,
            requests_per_second: 10_000,
        }
    }

    pub fn prepare(&self, answers: impl IntoIterator<Item = Answer>) {
        self.shared.answers.lock().unwrap().extend(answers);
    }

    /// The requests since the last time, all answers used up.
    pub fn taken(&self) -> Vec<Request> {
        let left = self.shared.answers.lock().unwrap().len();
        assert_eq!(left, 0, "fewer requests than were prepared for");
        std::mem::take(&mut *self.shared.requests.lock().unwrap())
    }

    /// Their first lines, without what is the same in all.
    pub fn lines(&self) -> Vec<String> {
        self.taken().into_iter().map(|r| r.line.replace("/t/scim/v2", "")).collect()
    }
}

async fn answer(mut stream: TcpStream, shared: Arc<Shared>) {
    let Some(request) = read(&mut stream).await else { return };
    let line = request.line.clone();
    shared.requests.lock().unwrap().push(request);
    let answer = shared.answers.lock().unwrap().pop_front();
    let (status, body, header) = match answer.unwrap_or_else(|| panic!("not prepared for {line}")) {
        Answer::Says(status, body) => (status, body.to_string(), ("x-amzn-requestid", "r-1".to_owned())),
        Answer::Page(status, body, header) => (status, body.to_owned(), header),
        Answer::Breaks => return,
        Answer::Silence => std::future::pending().await,
    };
    let (name, value) = header;
    let length = if status == 204 { String::new() } else { format!("content-length: {}\r\n", body.len()) };
    let text = format!("HTTP/1.1 {status} X\r\n{name}: {value}\r\n{length}connection: close\r\n\r\n{body}");
    _ = stream.write_all(text.as_bytes()).await;
    _ = stream.shutdown().await;
}

async fn read(stream: &mut TcpStream) -> Option<Request> {
    let mut bytes = Vec::new();
    let end = loop {
        if let Some(end) = bytes.windows(4).position(|w| w == b"\r\n\r\n") {
            break end;
        }
        if stream.read_buf(&mut bytes).await.ok()? == 0 {
            return None;
        }
    };
    let head = String::from_utf8(bytes[..end].to_vec()).unwrap();
    let mut lines = head.split("\r\n");
    let line = lines.next().unwrap().trim_end_matches(" HTTP/1.1").to_owned();
    let headers: Vec<(String, String)> = lines
        .filter_map(|l| l.split_once(": "))
        .map(|(name, value)| (name.to_lowercase(), value.to_owned()))
        .collect();
    let length = headers.iter().find(|(n, _)| n == "content-length").map_or(0, |(_, l)| l.parse().unwrap());
    while bytes.len() < end + 4 + length {
        if stream.read_buf(&mut bytes).await.ok()? == 0 {
            return None;
        }
    }
    let body = serde_json::from_slice(&bytes[end + 4..]).unwrap_or_default();
    Some(Request { line, headers, body })
}

/// Impatient.
pub fn pacing() -> Pacing {
    Pacing {
        first_pause: Duration::from_millis(2),
        attempts: 3,
        attempt_timeout: Duration::from_millis(500),
        ..Pacing::new(10_000)
    }
}

/// A SCIM endpoint that answers as prepared, and the target over it.
pub struct Rig {
    pub script: Scripted,
    pub target: ScimTarget,
    pub dir: tempfile::TempDir,
}

pub const TOKEN: &str = "secret-token";

impl Rig {
    pub async fn start() -> Self {
        Self::with(|_| {}).await
    }

    pub async fn with(change: impl FnOnce(&mut ScimSettings)) -> Self {
        let script = Scripted::start().await;
        let dir = tempfile::tempdir().unwrap();
        let token = dir.path().join("token");
        std::fs::write(&token, format!("{TOKEN}\n")).unwrap();
        let mut settings = script.settings(&token);
        change(&mut settings);
        let target = ScimTarget::connect_with(&settings, pacing()).unwrap();
        Self { script, target, dir }
    }
}
