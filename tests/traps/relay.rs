//! A relay before a SCIM endpoint that takes a token of the test's choice, which may change at any time.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use super::support::store::request;

pub struct Relay {
    pub endpoint: String,
    shared: Arc<Shared>,
}

struct Shared {
    /// Where requests go, and the token that is taken there.
    to: String,
    token: String,
    accepted: Mutex<BTreeSet<String>>,
    posts: AtomicUsize,
    passed_on: Mutex<Vec<String>>,
}

impl Relay {
    pub fn start(to: &str, token: &str, accepted: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let endpoint = format!("http://{}", listener.local_addr().expect("its address"));
        let shared = Arc::new(Shared {
            to: to.to_owned(),
            token: token.to_owned(),
            accepted: Mutex::new(BTreeSet::from([accepted.to_owned()])),
            posts: AtomicUsize::new(0),
            passed_on: Mutex::default(),
        });
        let serving = Arc::clone(&shared);
        // Ends with the test's process.
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let shared = Arc::clone(&serving);
                std::thread::spawn(move || serve(stream, &shared));
            }
        });
        Self { endpoint, shared }
    }

    /// This one too.
    pub fn accept(&self, token: &str) {
        self.shared.accepted.lock().expect("the tokens").insert(token.to_owned());
    }

    pub fn revoke(&self, token: &str) {
        self.shared.accepted.lock().expect("the tokens").remove(token);
    }

    /// POSTs that were passed on.
    pub fn posts(&self) -> usize {
        self.shared.posts.load(Ordering::SeqCst)
    }

    /// How many requests with this token were passed on.
    pub fn passed_on(&self, token: &str) -> usize {
        let all = self.shared.passed_on.lock().expect("the tokens");
        all.iter().filter(|passed| *passed == token).count()
    }
}

/// One request after the other, until the client has no more.
fn serve(stream: TcpStream, shared: &Shared) {
    let mut reader = BufReader::new(stream.try_clone().expect("a second handle"));
    let mut stream = stream;
    loop {
        let mut first = String::new();
        if reader.read_line(&mut first).unwrap_or_default() == 0 {
            return;
        }
        let mut words = first.split(' ');
        let (method, path) = (words.next().expect("a method"), words.next().expect("a path"));
        let (mut length, mut bearer) = (0, String::new());
        loop {
            let mut line = String::new();
            reader.read_line(&mut line).expect("a header");
            let Some((name, value)) = line.trim_end().split_once(':') else { break };
            match name.to_ascii_lowercase().as_str() {
                "content-length" => length = value.trim().parse().expect("a length"),
                "authorization" => value.trim().trim_start_matches("Bearer ").clone_into(&mut bearer),
                _ => {}
            }
        }
        let mut body = vec![0; length];
        reader.read_exact(&mut body).expect("the announced body");
        let right = shared.accepted.lock().expect("the tokens").contains(&bearer);
        if right {
            shared.passed_on.lock().expect("the tokens").push(bearer);
            shared.posts.fetch_add(usize::from(method == "POST"), Ordering::SeqCst);
        }
        let token = if right { shared.token.as_str() } else { "another one" };
        let headers =
            [("Authorization", &*format!("Bearer {token}")), ("Content-Type", "application/scim+json")];
        let (status, answer) = request(method, &shared.to, path, &headers, &body);
        let head = format!(
            "HTTP/1.1 {status} Said\r\nContent-Type: application/scim+json\r\nContent-Length: {}\r\n\r\n",
            answer.len()
        );
        // 204 has no body, and says so by having none.
        let head = if status == 204 { "HTTP/1.1 204 Said\r\n\r\n".to_owned() } else { head };
        if stream.write_all(&[head.as_bytes(), &answer].concat()).is_err() {
            return;
        }
    }
}
