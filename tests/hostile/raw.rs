//! Servers that send bytes of a test's choice, whatever they are asked.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

/// Talks to each caller on a thread of its own until it is dropped.
pub struct Raw {
    pub address: std::net::SocketAddr,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Raw {
    pub fn start(talk: impl Fn(&mut TcpStream) + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let address = listener.local_addr().unwrap();
        let stop = Arc::new(AtomicBool::new(false));
        let (stopped, talk) = (stop.clone(), Arc::new(talk));
        let thread = std::thread::spawn(move || {
            while !stopped.load(Ordering::Relaxed) {
                let Ok((mut stream, _)) = listener.accept() else {
                    std::thread::sleep(Duration::from_millis(2));
                    continue;
                };
                stream.set_nonblocking(false).unwrap();
                stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
                stream.set_write_timeout(Some(Duration::from_secs(20))).unwrap();
                let talk = talk.clone();
                std::thread::spawn(move || talk(&mut stream));
            }
        });
        Self { address, stop, thread: Some(thread) }
    }
}

impl Drop for Raw {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        let _ = self.thread.take().unwrap().join();
    }
}

/// One request of LDAP; its message number.
pub fn ldap_request(stream: &mut TcpStream) -> Option<u8> {
    let mut head = [0; 2];
    stream.read_exact(&mut head).ok()?;
    let mut length = usize::from(head[1]);
    if length & 0x80 != 0 {
        let mut digits = vec![0; length & 0x7f];
        stream.read_exact(&mut digits).ok()?;
        length = digits.iter().fold(0, |all, d| (all << 8) | usize::from(*d));
    }
    let mut body = vec![0; length];
    stream.read_exact(&mut body).ok()?;
    body.get(2).copied()
}

/// The head of an HTTP request; its body is short and comes with it.
pub fn http_request(stream: &mut TcpStream) -> Option<String> {
    let mut bytes = Vec::new();
    let mut chunk = [0; 4096];
    while !bytes.windows(4).any(|w| w == b"\r\n\r\n") {
        let count = stream.read(&mut chunk).ok().filter(|n| *n > 0)?;
        bytes.extend_from_slice(&chunk[..count]);
    }
    Some(String::from_utf8_lossy(&bytes).into_owned())
}

/// As long as somebody listens.
pub fn endlessly(stream: &mut TcpStream, piece: &[u8]) {
    while stream.write_all(piece).is_ok() {}
}

/// One BER element.
pub fn tlv(tag: u8, content: &[u8]) -> Vec<u8> {
    let len = u32::try_from(content.len()).unwrap().to_be_bytes();
    [&[tag, 0x84][..], &len, content].concat()
}

pub fn ldap_message(id: u8, rest: &[&[u8]]) -> Vec<u8> {
    tlv(0x30, &[&tlv(2, &[id])[..], &rest.concat()].concat())
}

/// Success, with this text.
pub fn ldap_result(tag: u8, text: &[u8]) -> Vec<u8> {
    tlv(tag, &[tlv(0x0a, &[0]), tlv(4, b""), tlv(4, text)].concat())
}
