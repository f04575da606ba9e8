//! Targets that are none: nothing is taken away, nobody is taken for absent, the token goes nowhere else.

use std::io::Write as _;
use std::net::TcpStream;
use std::sync::{Arc, Mutex};

use super::raw::{Raw, endlessly, http_request};
use super::screen::{HOSTILE, Screened as _};
use super::support::export::{Export, people};
use super::support::idcsync::{Idcsync, Sandbox};

type Talk = Arc<dyn Fn(&mut TcpStream) -> Option<()> + Send + Sync>;

const QUICK: [&str; 5] =
    ["a body without end", "a page that refuses", "depth in a refusal", "hostile words", "an absurd wait"];

fn attacks(elsewhere: &str) -> Vec<(&'static str, Talk)> {
    fn whole(head: String, body: impl Into<Vec<u8>>) -> Talk {
        let body = body.into();
        Arc::new(move |stream| {
            http_request(stream)?;
            let length = body.len();
            stream
                .write_all(format!("HTTP/1.1 {head}\r\ncontent-length: {length}\r\n\r\n").as_bytes())
                .ok()?;
            stream.write_all(&body).ok()
        })
    }
    let json = "content-type: application/scim+json";
    let bytes = |bytes: &'static [u8]| -> Talk {
        Arc::new(move |stream| {
            http_request(stream)?;
            stream.write_all(bytes).ok()
        })
    };
    vec![
        (
            "a body without end",
            Arc::new(|stream: &mut TcpStream| {
                http_request(stream)?;
                stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n\r\n[").ok()?;
                endlessly(stream, &[b' '; 1 << 16]);
                None
            }),
        ),
        (
            "chunks without end",
            Arc::new(|stream: &mut TcpStream| {
                http_request(stream)?;
                stream.write_all(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n").ok()?;
                endlessly(stream, format!("8000\r\n{}\r\n", " ".repeat(0x8000)).as_bytes());
                None
            }),
        ),
        (
            "headers without end",
            Arc::new(|stream: &mut TcpStream| {
                http_request(stream)?;
                stream.write_all(b"HTTP/1.1 200 OK\r\n").ok()?;
                endlessly(
                    stream,
                    b"x-more: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\r\n",
                );
                None
            }),
        ),
        (
            "chunks that are none",
            bytes(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzzzz\r\n\x1b[2J\r\n0\r\n\r\n"),
        ),
        ("two lengths", bytes(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\ncontent-length: 9\r\n\r\n{}")),
        ("no HTTP", bytes(b"\x1b]0;title\x07\x1b[2J\xff\xfe220 smtp ready\r\n")),
        ("a page", whole("200 OK\r\ncontent-type: text/html".to_owned(), "<html><h1>Sign in</h1>")),
        ("a page that refuses", whole("400 Bad Request\r\ncontent-type: text/html".to_owned(), "<html>no")),
        ("a redirect", whole(format!("307 Go\r\nlocation: {elsewhere}"), "")),
        ("a moved endpoint", whole(format!("301 Go\r\nlocation: {elsewhere}"), "")),
        ("depth", whole(format!("200 OK\r\n{json}"), format!("{{\"Resources\": {}", "[".repeat(1 << 20)))),
        ("depth in a refusal", whole(format!("400 No\r\n{json}"), "{\"a\":".repeat(1 << 19))),
        ("hostile words", {
            let body = serde_json::json!({
                "schemas": ["urn:ietf:params:scim:api:messages:2.0:Error"],
                "detail": HOSTILE, "scimType": HOSTILE, "status": "403",
                "__type": HOSTILE, "message": HOSTILE, "Message": HOSTILE,
            });
            whole(format!("403 No\r\n{json}\r\nretry-after: 99999999999999999999"), body.to_string())
        }),
        ("an absurd wait", whole(format!("503 Later\r\n{json}\r\nretry-after: 18446744073709551615"), "{}")),
    ]
}

fn export() -> Export {
    Export::of(6).group("Team", people(0..6))
}

#[test]
fn whatever_answers_nothing_is_taken_away() {
    let stolen: Arc<Mutex<Vec<String>>> = Arc::default();
    let noted = stolen.clone();
    let thief = Raw::start(move |stream| {
        if let Some(request) = http_request(stream) {
            noted.lock().unwrap().push(request);
        }
    });
    let elsewhere = format!("http://{}/", thief.address);
    let sandbox = Sandbox::start();
    let state = |target: &str| {
        format!(
            "profile = \"p\"\n{}\n{target}\n[state]\nurl = \"sqlite:state.db\"\n[log]\nformat = \"text\"\n",
            Export::config(&["Team"])
        )
    };
    let (api, scim) = (Idcsync::new(&state(&sandbox.target())), Idcsync::new(""));
    let over_scim = |url: &str| {
        state(&format!(
            "[target]\nkind = \"scim\"\nidentity-store-id = \"d-1234567890\"\nrequests-per-second = 100000\nscim = {{ url = \"{url}\", token-file = \"token\" }}\n"
        ))
    };
    let other = Sandbox::start();
    scim.configure(&over_scim(&other.scim().base_url()));
    for (bench, of) in [(&api, &sandbox), (&scim, &other)] {
        bench.write("directory.ldif", &export().text());
        bench.write("token", of.scim().token());
        bench.run(&["sync"]).exits(0);
    }
    // Somebody new and somebody renamed, so that the target is asked.
    let mut changed = export();
    changed.add_person("p06");
    changed.members("Team").push("p06".to_owned());
    changed.person("p01").display_name = "Renamed".to_owned();
    // Most of them are tried again for a while, as they should be.
    let all = std::env::var_os("IDCSYNC_TEST_SOAK").is_some();
    for (name, talk) in attacks(&elsewhere).into_iter().filter(|(name, _)| all || QUICK.contains(name)) {
        let server = Raw::start(move |stream| {
            let _ = talk(stream);
        });
        let url = format!("http://{}", server.address);
        api.configure(&state(&super::support::idcsync::target(&url, Some("d-1234567890"))));
        scim.configure(&over_scim(&format!("{url}/tenant/scim/v2")));
        let try_it = |bench: &Idcsync, of: &Sandbox| {
            bench.write("directory.ldif", &changed.text());
            let (run, requests) = of.requests_of(|| bench.run(&["sync"]));
            let run = run.shows_clean().never_says("panicked").never_says(of.scim().token());
            assert!(matches!(run.code, 3 | 6), "{name}\n{}", run.report());
            assert!(requests.is_empty(), "{name}");
            assert!(run.stderr.len() < 20_000, "{name}\n{:.3000}", run.report());
        };
        std::thread::scope(|scope| {
            scope.spawn(|| try_it(&api, &sandbox));
            scope.spawn(|| try_it(&scim, &other));
        });
    }
    assert!(stolen.lock().unwrap().is_empty(), "{:?}", stolen.lock().unwrap());
    // Back in its place, all is well.
    api.configure(&state(&sandbox.target()));
    scim.configure(&over_scim(&other.scim().base_url()));
    for bench in [&api, &scim] {
        bench.run(&["sync"]).exits(0);
        bench.run(&["sync", "--full"]).exits(0).says("Nothing to do");
    }
}
