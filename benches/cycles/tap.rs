//! A relay before an LDAP server that counts what passes through: requests, entries and bytes. What is measured in time
//! does not run through it.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use serde_json::{Value, json};

const SEARCH_REQUEST: u8 = 0x63;
const SEARCH_ENTRY: u8 = 0x64;

#[derive(Debug, Default)]
struct Counts {
    connections: AtomicU64,
    searches: AtomicU64,
    entries: AtomicU64,
    sent: AtomicU64,
    received: AtomicU64,
}

/// Listens until the process ends.
#[derive(Debug)]
pub struct Tap {
    address: SocketAddr,
    counts: Arc<Counts>,
}

impl Tap {
    pub fn start(server: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("its address");
        let counts = Arc::new(Counts::default());
        let shared = Arc::clone(&counts);
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let server = TcpStream::connect(server).expect("connect to the server");
                shared.connections.fetch_add(1, Ordering::Relaxed);
                let other = (client.try_clone().expect("a handle"), server.try_clone().expect("a handle"));
                let counts = Arc::clone(&shared);
                thread::spawn(move || pass(client, server, SEARCH_REQUEST, &counts.searches, &counts.sent));
                let counts = Arc::clone(&shared);
                thread::spawn(move || {
                    pass(other.1, other.0, SEARCH_ENTRY, &counts.entries, &counts.received)
                });
            }
        });
        Self { address, counts }
    }

    pub fn url(&self) -> String {
        format!("ldap://{}", self.address)
    }

    /// What has passed since the last time that somebody asked.
    pub fn take(&self) -> Value {
        let take = |count: &AtomicU64| count.swap(0, Ordering::Relaxed);
        json!({
            "connections": take(&self.counts.connections),
            "searches": take(&self.counts.searches),
            "entries": take(&self.counts.entries),
            "sent": take(&self.counts.sent),
            "received": take(&self.counts.received),
        })
    }
}

fn pass(mut from: TcpStream, mut to: TcpStream, operation: u8, count: &AtomicU64, bytes: &AtomicU64) {
    let mut buffer = vec![0; 1 << 16];
    let mut messages = Messages::default();
    while let Ok(length @ 1..) = from.read(&mut buffer) {
        bytes.fetch_add(length as u64, Ordering::Relaxed);
        let found = messages.count(&buffer[..length], operation);
        count.fetch_add(found, Ordering::Relaxed);
        if to.write_all(&buffer[..length]).is_err() {
            break;
        }
    }
    let _ = to.shutdown(Shutdown::Write);
}

/// Finds LDAP messages in a stream (RFC 4511 section 4.1.1), of which only headers are kept.
#[derive(Debug, Default)]
struct Messages {
    header: Vec<u8>,
    /// Of the message that is passing.
    left: usize,
}

impl Messages {
    /// How many messages of this operation begin in it.
    fn count(&mut self, mut bytes: &[u8], operation: u8) -> u64 {
        let mut found = 0;
        while !bytes.is_empty() {
            let skipped = self.left.min(bytes.len());
            self.left -= skipped;
            bytes = &bytes[skipped..];
            while self.left == 0 {
                let Some((first, rest)) = bytes.split_first() else { break };
                self.header.push(*first);
                bytes = rest;
                if let Some((length, kind)) = header(&self.header) {
                    found += u64::from(kind == operation);
                    self.left = length - self.header.len();
                    self.header.clear();
                    break;
                }
            }
        }
        found
    }
}

/// The length of the whole message, and its operation: behind the number, which is short.
fn header(bytes: &[u8]) -> Option<(usize, u8)> {
    let size = |at: usize| {
        let first = usize::from(*bytes.get(at)?);
        if first < 0x80 {
            return Some((first, at + 1));
        }
        let end = at + 1 + (first & 0x7f);
        let digits = bytes.get(at + 1..end)?;
        Some((digits.iter().fold(0, |all, digit| all << 8 | usize::from(*digit)), end))
    };
    let (length, body) = size(1)?;
    let (number, id) = size(body + 1)?;
    Some((body + length, *bytes.get(id + number)?))
}
