use std::path::Path;

use axum::body::{Body, to_bytes};
use axum::extract::ConnectInfo;
use axum::http::Method;
use jiff::{SignedDuration, Timestamp};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, watch};
use tower::ServiceExt as _;

use super::*;
use crate::config::Config;
use crate::model::{Code, Finding, Subject};
use crate::secret::SecretSource;
use crate::service::{Ask, Lease, Running};
use crate::state::StateUrl;

mod pages;

const TOKEN: &str = "correct horse";

/// A service without its worker.
struct Service {
    board: Arc<Board>,
    asks: mpsc::Receiver<Ask>,
    web: Arc<Web>,
    router: Router,
    dir: TempDir,
}

struct Answer {
    status: StatusCode,
    headers: axum::http::HeaderMap,
    text: String,
}

impl Answer {
    fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap()
    }

    fn error(&self) -> String {
        self.json()["error"].as_str().unwrap().to_owned()
    }
}

impl Service {
    fn new(with_token: bool) -> Self {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("config/quickstart.toml");
        let mut config = Config::load(&path).unwrap();
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("token"), format!("{TOKEN}\n")).unwrap();
        config.service.token = with_token.then(|| SecretSource::File(dir.path().join("token")));
        let config = Arc::new(config);
        let (sender, asks) = mpsc::channel(2);
        let board = Arc::new(Board::new(Arc::clone(&config), sender));
        let metrics = Arc::new(Metrics::new(&config.profile).unwrap());
        let begun = Instant::now();
        let web = Arc::new(Web { board: Arc::clone(&board), metrics, begun, reading: Arc::default() });
        Self { board, asks, router: routes(Arc::clone(&web)), web, dir }
    }

    async fn ready() -> (Self, State) {
        let service = Self::new(true);
        let url = format!("sqlite://{}/state.db", service.dir.path().display());
        let url = StateUrl::parse(&url, service.dir.path()).unwrap();
        let state = State::open(&url, "quickstart").await.unwrap();
        service.board.set_state(Some(state.clone()));
        service.board.change(|view| view.waits_for = None);
        (service, state)
    }

    async fn send(&self, request: Request) -> Answer {
        let response = self.router.clone().oneshot(request).await.unwrap();
        let (parts, body) = response.into_parts();
        let body = to_bytes(body, 1 << 20).await.unwrap();
        let text = String::from_utf8(body.to_vec()).unwrap();
        Answer { status: parts.status, headers: parts.headers, text }
    }

    async fn get(&self, path: &str) -> Answer {
        self.send(Request::get(path).body(Body::empty()).unwrap()).await
    }

    /// With the token.
    async fn post(&self, path: &str, body: &str) -> Answer {
        self.post_as(path, &[&format!("Bearer {TOKEN}")], body).await
    }

    async fn post_as(&self, path: &str, authorization: &[&str], body: &str) -> Answer {
        let mut request = Request::post(path);
        for value in authorization {
            request = request.header(header::AUTHORIZATION, *value);
        }
        self.send(request.body(Body::from(body.to_owned())).unwrap()).await
    }

    fn set_token(&self, text: &str) {
        std::fs::write(self.dir.path().join("token"), text).unwrap();
    }

    fn asked(&mut self) -> Option<Ask> {
        self.asks.try_recv().ok()
    }
}

#[tokio::test]
async fn the_service_is_alive_while_its_worker_is() {
    let service = Service::new(false);
    let fresh = service.get("/healthz").await;
    assert_eq!((fresh.status, fresh.text.as_str()), (StatusCode::OK, "ok"), "nothing was to be heard yet");
    let before = |minutes: u64| Instant::now().checked_sub(Duration::from_secs(minutes * 60)).unwrap();
    service.board.change(|view| view.alive = Some(before(4)));
    assert_eq!(service.get("/healthz").await.status, StatusCode::OK);
    service.board.change(|view| view.alive = Some(before(6)));
    let silent = service.get("/healthz").await;
    assert_eq!(silent.status, StatusCode::SERVICE_UNAVAILABLE);
    assert!(silent.error().contains("no sign of life for 36"), "{}", silent.text);
}

#[tokio::test]
async fn it_is_ready_once_nothing_is_waited_for() {
    let service = Service::new(false);
    let waits = service.get("/readyz").await;
    assert_eq!(waits.status, StatusCode::SERVICE_UNAVAILABLE);
    let expected = json!({ "schema": "idcsync/ready/v1", "ready": false, "waitsFor": "the state database", "last": null });
    assert_eq!(waits.json(), expected);
    let ended: Timestamp = "2026-03-01T00:00:00Z".parse().unwrap();
    service.board.change(|view| {
        view.waits_for = None;
        view.last = Some(LastRun { ended, outcome: "unreachable", error: Some("dc1.corp: no".to_owned()) });
    });
    let ready = service.get("/readyz").await;
    assert_eq!(ready.status, StatusCode::OK);
    assert_eq!(ready.json()["last"], json!({ "ended": "2026-03-01T00:00:00Z", "outcome": "unreachable" }));
}

#[tokio::test]
async fn every_answer_is_for_now_and_what_it_says_it_is() {
    let (service, _state) = Service::ready().await;
    for path in ["/healthz", "/readyz", "/metrics", "/api/status", "/api/pause", "/nothing"] {
        let answer = service.get(path).await;
        assert_eq!(answer.headers[header::CACHE_CONTROL], "no-store", "{path}");
        assert_eq!(answer.headers[header::X_CONTENT_TYPE_OPTIONS], "nosniff", "{path}");
        assert!(!answer.headers.contains_key(header::ACCESS_CONTROL_ALLOW_ORIGIN), "{path}");
        assert!(answer.headers.contains_key(header::CONTENT_TYPE), "{path}");
    }
}

#[tokio::test]
async fn unknown_paths_and_wrong_methods() {
    let (mut service, _state) = Service::ready().await;
    let unknown = service.get("/api/nothing").await;
    assert_eq!(unknown.status, StatusCode::NOT_FOUND);
    assert!(!unknown.error().is_empty());
    for path in ["/api/pause", "/api/resume", "/api/sync"] {
        let wrong = service.get(path).await;
        assert_eq!(wrong.status, StatusCode::METHOD_NOT_ALLOWED, "{path}");
        assert_eq!(wrong.headers[header::ALLOW], "POST");
        assert!(!wrong.error().is_empty());
    }
    let put = Request::builder().method(Method::DELETE).uri("/api/status").body(Body::empty()).unwrap();
    assert_eq!(service.send(put).await.status, StatusCode::METHOD_NOT_ALLOWED);
    assert_eq!(service.asked(), None);
}

#[tokio::test]
async fn without_a_token_in_the_config_nothing_can_be_changed() {
    let service = Service::new(false);
    for path in ["/api/pause", "/api/resume", "/api/sync"] {
        let refused = service.post(path, "").await;
        assert_eq!(refused.status, StatusCode::FORBIDDEN, "{path}");
        assert!(refused.error().contains("[service] token-file"), "{}", refused.text);
    }
}

#[tokio::test]
async fn only_the_one_token_of_the_file_lets_pass() {
    let (mut service, state) = Service::ready().await;
    let right = format!("Bearer {TOKEN}");
    let twice = [right.as_str(), right.as_str()];
    let (longer, shorter) = (format!("{right}x"), right[..right.len() - 1].to_owned());
    let basic = right.replace("Bearer", "Basic");
    for wrong in
        [&[] as &[&str], &["Bearer "], &["Bearer"], &[TOKEN], &[&basic], &twice, &[&longer], &[&shorter]]
    {
        for path in ["/api/pause", "/api/resume", "/api/sync"] {
            let refused = service.post_as(path, wrong, "").await;
            assert_eq!(refused.status, StatusCode::UNAUTHORIZED, "{wrong:?}");
            let challenge = refused.headers[header::WWW_AUTHENTICATE].to_str().unwrap();
            assert!(challenge.starts_with("Bearer realm="), "{challenge}");
            assert!(!refused.text.contains(TOKEN));
        }
    }
    assert_eq!(state.pause().await.unwrap(), None);
    assert_eq!(service.asked(), None);
    let passed = service.post_as("/api/sync", &[&right.replace("Bearer", "bEARER")], "").await;
    assert_eq!(passed.status, StatusCode::ACCEPTED);
}

#[tokio::test]
async fn an_empty_or_missing_token_file_lets_nobody_pass() {
    let (mut service, _state) = Service::ready().await;
    for empty in ["", "\n"] {
        service.set_token(empty);
        for header in ["Bearer ", "Bearer x", "Bearer \n"] {
            let Ok(value) = axum::http::HeaderValue::from_str(header) else { continue };
            let refused = service.post_as("/api/sync", &[value.to_str().unwrap()], "").await;
            assert!(!refused.status.is_success(), "{header:?}");
        }
        assert_eq!(service.post("/api/sync", "").await.status, StatusCode::SERVICE_UNAVAILABLE);
    }
    std::fs::remove_file(service.dir.path().join("token")).unwrap();
    let refused = service.post("/api/sync", "").await;
    assert_eq!(refused.status, StatusCode::SERVICE_UNAVAILABLE);
    let place = service.dir.path().display().to_string();
    assert!(!refused.text.contains(&place), "where it is, is for the log: {}", refused.text);
    assert_eq!(service.asked(), None);
}

#[tokio::test]
async fn a_changed_token_counts_at_once() {
    let (service, _state) = Service::ready().await;
    assert_eq!(service.post("/api/sync", "").await.status, StatusCode::ACCEPTED);
    service.set_token("another");
    assert_eq!(service.post("/api/sync", "").await.status, StatusCode::UNAUTHORIZED);
    assert_eq!(service.post_as("/api/sync", &["Bearer another"], "").await.status, StatusCode::ACCEPTED);
}

#[tokio::test]
async fn a_pause_is_seen_and_ended() {
    let (mut service, _state) = Service::ready().await;
    assert_eq!(service.get("/api/status").await.json()["paused"], Value::Null);
    let paused = service.post("/api/pause", r#"{"reason":"move","until":"4h","by":"ada"}"#).await;
    assert_eq!(paused.status, StatusCode::OK, "{}", paused.text);
    assert_eq!(service.asked(), Some(Ask::Look));
    assert_eq!(paused.json()["schema"], "idcsync/pause/v1");
    let status = service.get("/api/status").await.json();
    assert_eq!(status["schema"], "idcsync/status/v1");
    assert_eq!((&status["paused"]["reason"], &status["paused"]["by"]), (&json!("move"), &json!("ada")));
    let time = |key: &str| status["paused"][key].as_str().unwrap().parse::<Timestamp>().unwrap();
    assert_eq!(time("until").duration_since(time("since")), SignedDuration::from_hours(4));
    // The metrics say so, too.
    assert!(service.get("/metrics").await.text.contains("idcsync_paused{profile=\"quickstart\"} 1\n"));
    let refused = service.post("/api/sync", "").await;
    assert_eq!(refused.status, StatusCode::CONFLICT);
    assert!(refused.error().contains("by ada"), "{}", refused.text);
    assert_eq!(service.asked(), None);
    let resumed = service.post("/api/resume", "").await;
    assert_eq!((resumed.status, &resumed.json()["paused"]), (StatusCode::OK, &Value::Null));
    assert_eq!(resumed.json()["before"]["reason"], "move");
    assert_eq!(service.asked(), Some(Ask::Look));
    assert_eq!(service.get("/api/status").await.json()["paused"], Value::Null);
    assert_eq!(service.post("/api/resume", "").await.json()["before"], Value::Null);
}

#[tokio::test]
async fn a_pause_may_say_nothing_and_nothing_else() {
    let (service, state) = Service::ready().await;
    for wrong in
        ["[]", "{", r#"{"untill":"4h"}"#, r#"{"until":"soon"}"#, r#"{"until":"2020-01-01T00:00:00Z"}"#]
    {
        let refused = service.post("/api/pause", wrong).await;
        assert_eq!(refused.status, StatusCode::BAD_REQUEST, "{wrong}");
        assert!(!refused.error().is_empty());
    }
    assert_eq!(state.pause().await.unwrap(), None);
    let paused = service.post("/api/pause", "").await;
    assert_eq!((paused.status, &paused.json()["paused"]["by"]), (StatusCode::OK, &json!("HTTP")));
    assert_eq!(paused.json()["paused"]["until"], Value::Null);
}

#[tokio::test]
async fn a_long_body_is_refused_and_only_read_with_the_token() {
    let (service, state) = Service::ready().await;
    let long = format!(r#"{{"reason":"{}"}}"#, "x".repeat(BODY_LIMIT));
    assert_eq!(service.post_as("/api/pause", &[], &long).await.status, StatusCode::UNAUTHORIZED);
    let refused = service.post("/api/pause", &long).await;
    assert_eq!(refused.status, StatusCode::PAYLOAD_TOO_LARGE);
    assert!(refused.error().contains("16384"), "{}", refused.text);
    assert_eq!(state.pause().await.unwrap(), None);
}

#[tokio::test]
async fn a_sync_is_asked_of_the_worker() {
    let (mut service, _state) = Service::ready().await;
    let asked = service.post("/api/sync", "").await;
    assert_eq!(asked.status, StatusCode::ACCEPTED);
    let expected = json!({ "schema": "idcsync/asked/v1", "asked": true, "running": null, "waitsFor": null });
    assert_eq!(asked.json(), expected);
    assert_eq!(service.asked(), Some(Ask::SyncNow));
    let since = "2026-03-01T00:00:00Z".parse().unwrap();
    service.board.change(|view| {
        view.running = Some(Running { since, phase: "applying", done: 1, total: 9, seconds_left: Some(4) });
    });
    assert_eq!(service.post("/api/sync", "").await.json()["running"]["phase"], "applying");
    // The channel of this test takes two.
    assert_eq!(service.post("/api/sync", "").await.status, StatusCode::ACCEPTED);
    let full = service.post("/api/sync", "").await;
    assert_eq!(full.status, StatusCode::SERVICE_UNAVAILABLE);
    assert!(full.headers.contains_key(header::RETRY_AFTER));
}

#[tokio::test]
async fn without_a_state_database_it_says_what_it_waits_for() {
    let service = Service::new(true);
    let status = service.get("/api/status").await;
    assert_eq!(status.status, StatusCode::SERVICE_UNAVAILABLE);
    assert!(status.error().contains("waits for the state database"), "{}", status.text);
    assert_eq!(status.json()["service"]["waitsFor"], "the state database");
    for path in ["/api/pause", "/api/resume", "/api/sync"] {
        assert_eq!(service.post(path, "").await.status, StatusCode::SERVICE_UNAVAILABLE, "{path}");
    }
    let metrics = service.get("/metrics").await;
    assert_eq!(metrics.status, StatusCode::OK);
    assert!(metrics.text.contains("idcsync_cycles_total{outcome=\"done\",profile=\"quickstart\"} 0\n"));
    assert!(!metrics.text.contains("idcsync_objects_linked"), "nobody has looked");
}

#[tokio::test]
async fn a_state_database_that_is_gone_leaves_what_was_read() {
    let (service, state) = Service::ready().await;
    assert!(service.get("/metrics").await.text.contains("idcsync_paused{profile=\"quickstart\"} 0\n"));
    state.close().await;
    let status = service.get("/api/status").await;
    assert_eq!(status.status, StatusCode::SERVICE_UNAVAILABLE);
    assert!(status.error().contains("state database"), "{}", status.text);
    let metrics = service.get("/metrics").await;
    assert_eq!(metrics.status, StatusCode::OK);
    assert!(metrics.text.contains("idcsync_paused{profile=\"quickstart\"} 0\n"));
}

#[tokio::test]
async fn the_state_is_read_now_and_then_for_the_metrics() {
    let (service, state) = Service::ready().await;
    let findings =
        |metrics: Answer| metrics.text.lines().filter(|l| l.starts_with("idcsync_findings{")).count();
    assert_eq!(findings(service.get("/metrics").await), 0);
    let subject = Subject { kind: None, id: "x".to_owned(), label: "x".to_owned() };
    let finding = Finding::new(Code::StepsHeld, subject, "…");
    state.replace_findings(clock::now(), &[finding]).await.unwrap();
    assert_eq!(findings(service.get("/metrics").await), 0);
    *service.web.reading.lock().await = Instant::now().checked_sub(scrape::FRESH);
    assert_eq!(findings(service.get("/metrics").await), 1);
}

#[tokio::test]
async fn the_lease_is_shown_while_it_lasts() {
    let (service, _state) = Service::ready().await;
    let lease = Lease { holder: "host-7".to_owned(), until: None, mine: true };
    service.board.change(|view| view.lease = Some(lease));
    let text = service.get("/metrics").await.text;
    assert!(text.contains("idcsync_lease_held{profile=\"quickstart\"} 1\n"), "{text}");
    assert!(text.contains("holder=\"host-7\""));
    service.board.change(|view| view.lease = None);
    let text = service.get("/metrics").await.text;
    assert!(text.contains("idcsync_lease_held{profile=\"quickstart\"} 0\n"), "{text}");
    assert!(!text.contains("host-7"));
}

#[tokio::test]
async fn a_name_that_was_made_to_point_here_reads_no_status() {
    let (service, _state) = Service::ready().await;
    let ask = |remote: &str, host: &str, token: bool| {
        let mut request = Request::get("/api/status").header(header::HOST, host);
        if token {
            request = request.header(header::AUTHORIZATION, format!("Bearer {TOKEN}"));
        }
        let mut request = request.body(Body::empty()).unwrap();
        let remote: std::net::SocketAddr = remote.parse().unwrap();
        request.extensions_mut().insert(ConnectInfo(remote));
        service.send(request)
    };
    let (near, far) = ("127.0.0.1:5000", "10.0.0.9:5000");
    assert_eq!(ask(near, "localhost:8080", false).await.status, StatusCode::OK);
    assert_eq!(ask(near, "[::1]:8080", false).await.status, StatusCode::OK);
    assert_eq!(ask(near, "evil.example:8080", false).await.status, StatusCode::MISDIRECTED_REQUEST);
    assert_eq!(
        ask("[::ffff:127.0.0.1]:1", "evil.example", false).await.status,
        StatusCode::MISDIRECTED_REQUEST
    );
    assert_eq!(ask(near, "idcsync.corp.example", true).await.status, StatusCode::OK);
    assert_eq!(ask(far, "idcsync.svc:8080", false).await.status, StatusCode::OK);
}

#[tokio::test]
async fn it_serves_over_a_socket_and_ends_when_told() {
    let (service, _state) = Service::ready().await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (stop, stopped) = watch::channel(false);
    let server = tokio::spawn(serve(listener, service.router.clone(), stopped));
    let mut idle = TcpStream::connect(address).await.unwrap();
    let request = format!("GET /api/status HTTP/1.1\r\nhost: {address}\r\n\r\n");
    idle.write_all(request.as_bytes()).await.unwrap();
    let mut start = [0; 15];
    idle.read_exact(&mut start).await.unwrap();
    assert_eq!(&start, b"HTTP/1.1 200 OK");
    // With an idle connection still open, and the receiver seeing the end of it.
    stop.send(true).unwrap();
    server.await.unwrap().unwrap();
    idle.read_to_end(&mut Vec::new()).await.unwrap();
    assert!(TcpStream::connect(address).await.is_err());
}
