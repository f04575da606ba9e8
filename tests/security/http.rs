//! The service's HTTP, asked in ways that no client of ours would: by raw bytes over a socket.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use super::export;
use super::support::export::Export;
use super::support::idcsync::Idcsync;
use super::support::ports::Loopback;
use super::support::service::{self, Service};

const TOKEN: &str = "opensesame-opensesame";
const CHANGES: [&str; 4] = ["/api/pause", "/api/resume", "/api/sync", "/api/approve"];

struct Bench {
    idcsync: Idcsync,
    service: Service,
    place: SocketAddr,
    _address: Loopback,
}

impl Bench {
    fn start(more: &str) -> Self {
        let address = Loopback::claim();
        let listen = service::config(&address).replace("token-file = \"http-token\"\n", more);
        let idcsync = Idcsync::new(&format!(
            "profile = \"p\"\n{}\n[target]\nkind = \"sandbox\"\nstore = \"store.json\"\n\
             [state]\nurl = \"sqlite:state.db\"\n{listen}[schedule]\ncron = \"0 0 29 2 *\"\n",
            Export::config(&["Team"])
        ));
        idcsync.write("directory.ldif", &export().text());
        idcsync.write("http-token", &format!("{TOKEN}\n"));
        let service = Service::start(&idcsync, &address, "service");
        service.wait_for("cycle finished", 1);
        Self { idcsync, service, place: address.at(8080), _address: address }
    }

    /// All that comes back for these bytes until the connection ends.
    fn raw(&self, bytes: &[u8]) -> String {
        let mut stream = TcpStream::connect(self.place).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
        // It may have had enough before the end.
        let _ = stream.write_all(bytes);
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer);
        String::from_utf8(answer).unwrap()
    }

    /// With these header lines beside `Host` and `Connection`.
    fn ask(&self, line: &str, headers: &[&[u8]], body: &[u8]) -> Answer {
        let start = format!("{line} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n", self.place);
        let mut bytes = start.into_bytes();
        for header in headers {
            bytes.extend_from_slice(header);
            bytes.extend_from_slice(b"\r\n");
        }
        bytes.extend_from_slice(format!("Content-Length: {}\r\n\r\n", body.len()).as_bytes());
        bytes.extend_from_slice(body);
        Answer::of(&self.raw(&bytes))
    }

    fn runs(&self) -> usize {
        self.service.logged("run begins").len()
    }
}

struct Answer {
    status: u16,
    /// In small letters.
    head: String,
    body: String,
}

impl Answer {
    fn of(text: &str) -> Self {
        let (head, body) = text.split_once("\r\n\r\n").unwrap_or((text, ""));
        let status = head.split(' ').nth(1).and_then(|s| s.parse().ok()).unwrap_or_default();
        Self { status, head: head.to_ascii_lowercase(), body: body.to_owned() }
    }
}

fn bearer(token: &[u8]) -> Vec<u8> {
    [b"Authorization: Bearer ", token].concat()
}

#[test]
fn only_the_token_changes_anything() {
    let bench = Bench::start("token-file = \"http-token\"\n");
    let right = bearer(TOKEN.as_bytes());
    let longer = bearer(format!("{TOKEN}x").as_bytes());
    let shorter = bearer(&TOKEN.as_bytes()[1..]);
    let capital = bearer(TOKEN.to_uppercase().as_bytes());
    let foreign = bearer("ö\u{1F600}".as_bytes());
    let broken = bearer(&[0xff, 0xfe, 0x80]);
    let zero = bearer(&[TOKEN.as_bytes(), b"\0"].concat());
    let large = bearer(&[b'x'; 8 * 1024]);
    let basic = b"Authorization: Basic b3BlbnNlc2FtZQ==".to_vec();
    let bare = format!("Authorization: {TOKEN}").into_bytes();
    let list = format!("Authorization: Bearer wrong, Bearer {TOKEN}").into_bytes();
    let cookie = format!("Cookie: Authorization=Bearer {TOKEN}").into_bytes();
    let none: &[&[u8]] = &[];
    let wrong: Vec<(&str, Vec<&[u8]>)> = vec![
        ("none", none.to_vec()),
        ("empty", vec![b"Authorization: Bearer "]),
        ("empty header", vec![b"Authorization:"]),
        ("longer", vec![&longer]),
        ("shorter", vec![&shorter]),
        ("capitals", vec![&capital]),
        ("not ASCII", vec![&foreign]),
        ("not UTF-8", vec![&broken]),
        ("a zero byte", vec![&zero]),
        ("large", vec![&large]),
        ("another scheme", vec![&basic]),
        ("no scheme", vec![&bare]),
        ("a list", vec![&list]),
        ("in a cookie", vec![&cookie]),
        ("twice", vec![&right, &right]),
        ("wrong and right", vec![&longer, &right]),
        ("right and wrong", vec![&right, &longer]),
    ];
    let runs = bench.runs();
    for (what, headers) in &wrong {
        for path in CHANGES {
            let answer = bench.ask(&format!("POST {path}"), headers, b"");
            assert!([400, 401].contains(&answer.status), "{what}: {} {}", answer.status, answer.body);
            if answer.status == 401 {
                assert!(
                    answer.head.contains("www-authenticate: bearer realm=\"idcsync\""),
                    "{}",
                    answer.head
                );
            }
            assert!(!answer.body.contains(TOKEN) && !answer.head.contains(TOKEN), "{what}");
        }
    }
    // In the query it would end up in logs.
    let asked = bench.ask(&format!("POST /api/sync?access_token={TOKEN}"), &[], b"");
    assert_eq!(asked.status, 401);
    // A header that no token comes to.
    let giant = bearer(&vec![b'x'; 64 * 1024]);
    let asked = bench.ask("POST /api/sync", &[&giant], b"");
    assert!([0, 431].contains(&asked.status), "{}", asked.status);
    assert_eq!((bench.service.status()["paused"].clone(), bench.runs()), (serde_json::Value::Null, runs));

    // What the token opens.
    let body = vec![b' '; 17 * 1024];
    assert_eq!(bench.ask("POST /api/pause", &[], &body).status, 401);
    assert_eq!(bench.ask("POST /api/pause", &[&right], &body).status, 413);
    assert_eq!(bench.ask("POST /api/pause", &[&right], b"{\"reason\": \"\xff\"}").status, 400);
    assert_eq!(bench.ask("POST /api/sync", &[&right], b"").status, 202);
    bench.service.wait_for("cycle finished", 2);
}

#[test]
fn a_page_in_somebodys_browser_gets_nothing_done_and_nothing_told() {
    let bench = Bench::start("token-file = \"http-token\"\n");
    let page: [&[u8]; 4] = [
        b"Origin: http://evil.example",
        b"Sec-Fetch-Site: cross-site",
        b"Content-Type: text/plain",
        b"Cookie: a=b",
    ];
    for path in CHANGES {
        let answer = bench.ask(&format!("POST {path}"), &page, b"{}");
        assert_eq!(answer.status, 401, "{path}");
        assert!(!answer.head.contains("access-control-"), "{}", answer.head);
        // What a browser asks first for a request with a header of its own.
        let preflight: [&[u8]; 3] = [
            b"Origin: http://evil.example",
            b"Access-Control-Request-Method: POST",
            b"Access-Control-Request-Headers: authorization",
        ];
        let answer = bench.ask(&format!("OPTIONS {path}"), &preflight, b"");
        assert_eq!(answer.status, 405, "{path}");
        assert!(!answer.head.contains("access-control-"), "{}", answer.head);
    }
    for path in ["/api/status", "/metrics", "/healthz", "/readyz", "/nothing"] {
        let answer = bench.ask(&format!("GET {path}"), &page, b"");
        assert!(!answer.head.contains("access-control-"), "{}", answer.head);
        for header in [
            "cache-control: no-store",
            "x-content-type-options: nosniff",
            "content-security-policy: default-src 'none'; frame-ancestors 'none'",
            "cross-origin-resource-policy: same-origin",
        ] {
            assert!(answer.head.contains(header), "{path}: {}", answer.head);
        }
        assert!(!answer.head.contains("set-cookie") && !answer.head.contains("server:"), "{}", answer.head);
    }
    // A name that was made to point here (DNS rebinding).
    let rebound = |host: &str| {
        let text = format!("GET /api/status HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
        Answer::of(&bench.raw(text.as_bytes()))
    };
    for host in ["evil.example", "evil.example:8080", "127.0.0.1.evil.example", "localhost.evil.example"] {
        let answer = rebound(host);
        assert_eq!(answer.status, 421, "{host}");
        assert!(!answer.body.contains("p07"), "{}", answer.body);
    }
    assert_eq!(rebound(&bench.place.to_string()).status, 200);
    assert_eq!(rebound("localhost").status, 200);
    // Two, of which one is ours.
    let text =
        "GET /api/status HTTP/1.1\r\nHost: localhost\r\nHost: evil.example\r\nConnection: close\r\n\r\n";
    assert!([400, 421].contains(&Answer::of(&bench.raw(text.as_bytes())).status));
}

#[test]
fn without_a_token_in_the_config_nobody_changes_anything_loopback_or_not() {
    let bench = Bench::start("");
    for path in CHANGES {
        for headers in [vec![], vec![bearer(b"")], vec![bearer(TOKEN.as_bytes())]] {
            let headers: Vec<&[u8]> = headers.iter().map(Vec::as_slice).collect();
            assert_eq!(bench.ask(&format!("POST {path}"), &headers, b"").status, 403, "{path}");
        }
    }
    assert_eq!(bench.service.status()["paused"], serde_json::Value::Null);
}

#[test]
fn an_empty_or_missing_token_file_opens_nothing() {
    let bench = Bench::start("token-file = \"http-token\"\n");
    for text in ["", "\n", "\r\n"] {
        bench.idcsync.write("http-token", text);
        for token in [b"".as_slice(), TOKEN.as_bytes(), b"\n"] {
            let answer = bench.ask("POST /api/sync", &[&bearer(token)], b"");
            assert!([400, 401, 503].contains(&answer.status), "{text:?} {token:?}: {}", answer.status);
        }
    }
    std::fs::remove_file(bench.idcsync.path("http-token")).unwrap();
    let answer = bench.ask("POST /api/sync", &[&bearer(TOKEN.as_bytes())], b"");
    assert_eq!(answer.status, 503);
    assert!(!answer.body.contains("http-token\":") && !answer.body.contains(TOKEN), "{}", answer.body);
}

#[test]
fn what_is_no_request_or_asks_for_what_is_not_there_is_refused_and_the_service_goes_on() {
    let bench = Bench::start("token-file = \"http-token\"\n");
    for path in [
        "/../../etc/passwd",
        "/%2e%2e/%2e%2e/etc/passwd",
        "/api/../http-token",
        "/http-token",
        "/idcsync.toml",
        "/state.db",
        "//api/status",
        "/api/status/",
        "/api/status%00",
        "/API/STATUS",
        "/.git/config",
    ] {
        let answer = bench.ask(&format!("GET {path}"), &[], b"");
        assert!([400, 404].contains(&answer.status), "{path}: {} {}", answer.status, answer.body);
        assert!(!answer.body.contains(TOKEN) && !answer.body.contains("root:"), "{path}");
    }
    for method in ["GET", "PUT", "DELETE", "PATCH", "HEAD", "TRACE", "OPTIONS", "BREW"] {
        for path in CHANGES {
            let answer = bench.ask(&format!("{method} {path}"), &[&bearer(TOKEN.as_bytes())], b"");
            assert_eq!(answer.status, 405, "{method} {path}");
            assert!(!answer.body.contains(TOKEN), "TRACE says nothing back");
        }
    }
    assert_eq!(bench.ask("POST /api/status", &[&bearer(TOKEN.as_bytes())], b"").status, 405);
    for junk in [
        b"\0\0\0\0\r\n\r\n".as_slice(),
        b"GET / HTTP/9.9\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
        b"GET /healthz HTTP/1.1\r\nContent-Length: -1\r\n\r\n",
        b"GET /healthz HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
        b"GET /healthz HTTP/1.1\r\nA B: c\r\n\r\n",
    ] {
        let answer = Answer::of(&bench.raw(junk));
        assert!([0, 400, 505].contains(&answer.status), "{}", answer.head);
    }
    let many = "X: y\r\n".repeat(5000);
    let text = format!("GET /healthz HTTP/1.1\r\nHost: x\r\n{many}\r\n");
    assert!([0, 400, 431].contains(&Answer::of(&bench.raw(text.as_bytes())).status));
    assert_eq!(bench.service.get("/healthz").0, 200);
    assert_eq!(bench.service.status()["paused"], serde_json::Value::Null);
    assert!(bench.service.log().iter().all(|l| !l.to_string().contains("panicked")));
}
