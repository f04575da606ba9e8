//! The connection itself, and a relay that stands between it and the LDAP library: requests go out as they are, answers
//! come in message by message, each of them examined first.

use std::io;
use std::sync::{Arc, OnceLock};

use bytes::BytesMut;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, copy, split};
use tokio::net::{TcpStream, UnixStream};
use tokio_rustls::TlsConnector;

use super::message::{Answers, Passage, length};
use super::tls;
use crate::directory::error::ServerFailure;
use crate::printable::brief;

/// A connection, with or without TLS.
pub(super) trait Line: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Line for T {}

/// Why the relay ended the connection, where it was not the library that did.
pub(super) type Verdict = Arc<OnceLock<String>>;

/// Bytes of the server's that are taken in at a time, where a message is not longer.
const READ_AT_ONCE: usize = 64 << 10;

/// ExtendedRequest for StartTLS (RFC 4511 section 4.14.1) with the message number 1.
const START_TLS: &[u8] = b"\x30\x1d\x02\x01\x01\x77\x18\x80\x161.3.6.1.4.1.1466.20037";

/// Connects to `host` (which may be an address in brackets) and begins TLS where there is a config for it.
pub(super) async fn connect(
    host: &str,
    port: u16,
    tls: Option<Arc<ClientConfig>>,
    start_tls: bool,
) -> Result<Box<dyn Line>, ServerFailure> {
    let failed = |error: io::Error| match tls::words(&error) {
        Some(words) => ServerFailure::Tls(words),
        None => ServerFailure::Connect(brief(&error.to_string())),
    };
    let mut tcp = tcp(host, port).await.map_err(failed)?;
    let Some(tls) = tls else { return Ok(Box::new(tcp)) };
    let name = ServerName::try_from(host.trim_matches(['[', ']']).to_owned())
        .map_err(|_| ServerFailure::Tls("the url's host is not a name that TLS can verify".to_owned()))?;
    if start_tls {
        ask_for_tls(&mut tcp).await?;
    }
    let secured = TlsConnector::from(tls).connect(name, tcp).await.map_err(failed)?;
    Ok(Box::new(secured))
}

/// Requests are under way together, and longer than a piece that is passed on: none is to wait until the server has
/// acknowledged the one before.
pub(super) async fn tcp(host: &str, port: u16) -> io::Result<TcpStream> {
    let tcp = TcpStream::connect(format!("{host}:{port}")).await?;
    tcp.set_nodelay(true)?;
    Ok(tcp)
}

async fn ask_for_tls(tcp: &mut TcpStream) -> Result<(), ServerFailure> {
    let closed = || ServerFailure::Connect("the server closed the connection".to_owned());
    let refused = |why: String| ServerFailure::Tls(format!("the server refuses StartTLS ({why})"));
    tcp.write_all(START_TLS).await.map_err(|_| closed())?;
    let mut answer = BytesMut::new();
    let whole = loop {
        match length(&answer).map_err(ServerFailure::Connect)? {
            Some(whole) if answer.len() >= whole => break whole,
            // An answer of so many bytes has something else in it.
            _ if answer.len() > 64 << 10 => return Err(refused("the answer is too long".to_owned())),
            _ => {}
        }
        if tcp.read_buf(&mut answer).await.map_err(|_| closed())? == 0 {
            return Err(closed());
        }
    };
    // What came in the clear behind the answer would be taken for a part of what is secured.
    if answer.len() > whole {
        return Err(refused("more than the answer came with it".to_owned()));
    }
    match super::message::start_tls_result(&answer) {
        Some((0, _)) => Ok(()),
        Some((code, text)) if text.is_empty() => Err(refused(format!("result code {code}"))),
        Some((code, text)) => Err(refused(format!("result code {code}: {text}"))),
        None => Err(refused("the answer cannot be decoded".to_owned())),
    }
}

/// Relays until either side has had enough. What is said of the server is in the verdict before the library sees the
/// end of the connection.
pub(super) async fn relay(server: Box<dyn Line>, library: UnixStream, verdict: Verdict) {
    let (mut from_server, mut to_server) = split(server);
    let (mut from_library, mut to_library) = library.into_split();
    tokio::select! {
        _ = copy(&mut from_library, &mut to_server) => {
            // The other side may be gone already.
            let _ = to_server.shutdown().await;
        }
        ended = answers(&mut from_server, &mut to_library) => {
            if let Err(why) = ended {
                let _ = verdict.set(why);
            }
        }
    }
}

/// The whole messages that `buffer` begins with and that may pass on, all in one piece: entries are small, and a call
/// of the system for each of a hundred thousand would cost as much as reading them. With why there will be no more.
fn examined(answers: &mut Answers, buffer: &mut BytesMut) -> (BytesMut, Result<(), String>) {
    let mut whole = 0;
    let verdict = loop {
        let length = match length(&buffer[whole..]) {
            Ok(Some(length)) if buffer.len() - whole >= length => length,
            Ok(_) => break Ok(()),
            Err(why) => break Err(why),
        };
        match answers.examine(&mut buffer[whole..whole + length]) {
            Ok(Passage::On) => whole += length,
            Ok(Passage::Left) => {
                buffer.copy_within(whole + length.., whole);
                buffer.truncate(buffer.len() - length);
            }
            Err(why) => break Err(why),
        }
    };
    (buffer.split_to(whole), verdict)
}

async fn answers(
    server: &mut (impl AsyncRead + Unpin),
    library: &mut (impl AsyncWrite + Unpin),
) -> Result<(), String> {
    let mut answers = Answers::default();
    let mut buffer = BytesMut::new();
    loop {
        let (passed, verdict) = examined(&mut answers, &mut buffer);
        if library.write_all(&passed).await.is_err() {
            return Ok(());
        }
        verdict?;
        drop(passed);
        buffer.reserve(READ_AT_ONCE);
        match server.read_buf(&mut buffer).await {
            Ok(0) => return Ok(()),
            Ok(_) => {}
            Err(error) => return Err(format!("the connection was lost ({error})")),
        }
    }
}
