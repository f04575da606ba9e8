//! `idcsync health`: whether the service is alive, for containers that have no shell and no curl.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use clap::Args;
use http::Uri;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::{Context, Exit};

/// Liveness probes have time-outs of their own, and say less about what is wrong.
const PATIENCE: Duration = Duration::from_secs(5);
/// The answer of the service is far shorter.
const LONGEST: u64 = 16 * 1024;

#[derive(Debug, Args)]
pub struct HealthArgs {
    /// Where the service listens, if not at [service] listen of the config
    #[arg(long, value_name = "ADDR")]
    listen: Option<SocketAddr>,

    /// Ask this service instead, as in http://idcsync.example.com:8080
    #[arg(long, value_name = "URL", conflicts_with = "listen", value_parser = place)]
    url: Option<Place>,
}

/// What is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Place {
    host: String,
    port: u16,
    path: String,
}

pub async fn run(context: &Context, args: &HealthArgs) -> Exit {
    let place = match (&args.url, args.listen) {
        (Some(place), _) => place.clone(),
        (None, Some(listen)) => Place::of(listen),
        (None, None) => Place::of(configured_listen(context)),
    };
    let asked = timeout(PATIENCE, ask(&place)).await;
    match asked.unwrap_or_else(|_| Err(format!("no answer within {} seconds", PATIENCE.as_secs()))) {
        Ok(()) => Exit::Done,
        Err(why) => {
            context.complain(&format!(
                "error: the service at {}:{} is not healthy: {why}",
                place.host, place.port
            ));
            Exit::Unexpected
        }
    }
}

/// `[service] listen`, whatever else is in the file: one that has become wrong since the service took it up says nothing
/// of the service, which goes on with the one before.
fn configured_listen(context: &Context) -> SocketAddr {
    let text = std::fs::read_to_string(&context.global.config).unwrap_or_default();
    let table: toml::Table = text.parse().unwrap_or_default();
    let listen = table.get("service").and_then(|s| s.get("listen")).and_then(|l| l.as_str());
    listen
        .and_then(|listen| listen.parse().ok())
        .unwrap_or_else(|| SocketAddr::from((Ipv4Addr::LOCALHOST, 8080)))
}

fn place(text: &str) -> Result<Place, String> {
    let uri: Uri = text.parse().map_err(|error| format!("no url: {error}"))?;
    let host = uri.host().filter(|host| !host.is_empty() && uri.scheme_str() == Some("http"));
    let host = host.ok_or("expected http://HOST:PORT (the service speaks no TLS)")?;
    let path = match uri.path() {
        "" | "/" => "/healthz",
        path => path,
    };
    Ok(Place {
        host: host.trim_matches(['[', ']']).to_owned(),
        port: uri.port_u16().unwrap_or(80),
        path: path.to_owned(),
    })
}

impl Place {
    /// Who listens everywhere is asked on this machine.
    fn of(listen: SocketAddr) -> Self {
        let ip = match listen.ip() {
            IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
            IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
            ip => ip,
        };
        Self { host: ip.to_string(), port: listen.port(), path: "/healthz".to_owned() }
    }

    fn authority(&self) -> String {
        let Self { host, port, .. } = self;
        if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
    }
}

/// By hand: an HTTP client of use elsewhere would want CA certificates, which a small image need not have.
async fn ask(place: &Place) -> Result<(), String> {
    let stream = TcpStream::connect((place.host.as_str(), place.port)).await;
    let mut stream = stream.map_err(|error| format!("{error}; does `idcsync run` run there?"))?;
    let request = format!(
        "GET {} HTTP/1.1\r\nhost: {}\r\nuser-agent: idcsync-health\r\nconnection: close\r\n\r\n",
        place.path,
        place.authority()
    );
    let broken = |error: std::io::Error| format!("the connection broke: {error}");
    stream.write_all(request.as_bytes()).await.map_err(broken)?;
    let mut answer = Vec::new();
    stream.take(LONGEST).read_to_end(&mut answer).await.map_err(broken)?;
    judge(&String::from_utf8_lossy(&answer))
}

fn judge(answer: &str) -> Result<(), String> {
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((answer, ""));
    let mut words = head.split_ascii_whitespace();
    let is_http = words.next().is_some_and(|version| version.starts_with("HTTP/1."));
    let status = words.next().filter(|_| is_http).ok_or("what answers there speaks no HTTP")?;
    if status == "200" {
        return Ok(());
    }
    let told: Option<serde_json::Value> = serde_json::from_str(body).ok();
    let why = told.as_ref().and_then(|v| v["error"].as_str());
    Err(why.map_or_else(|| format!("it answers {status}"), str::to_owned))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_listens_everywhere_is_asked_here() {
        let of = |listen: &str| Place::of(listen.parse().unwrap()).authority();
        assert_eq!(of("0.0.0.0:8080"), "127.0.0.1:8080");
        assert_eq!(of("[::]:8080"), "[::1]:8080");
        assert_eq!(of("10.0.0.7:80"), "10.0.0.7:80");
    }

    #[test]
    fn urls() {
        let of = |url: &str| place(url).map(|p| format!("{} {}", p.authority(), p.path));
        assert_eq!(of("http://svc.example:81"), Ok("svc.example:81 /healthz".to_owned()));
        assert_eq!(of("http://[::1]/x/healthz"), Ok("[::1]:80 /x/healthz".to_owned()));
        for wrong in ["https://svc.example", "svc.example:80", "http://", ""] {
            assert!(place(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn only_200_is_healthy() {
        assert_eq!(judge("HTTP/1.1 200 OK\r\n\r\nok"), Ok(()));
        assert_eq!(judge("HTTP/1.1 503 X\r\n\r\n{\"error\":\"silent\"}"), Err("silent".to_owned()));
        assert_eq!(judge("HTTP/1.1 404 X\r\n\r\n<html>"), Err("it answers 404".to_owned()));
        for other in ["", "SSH-2.0-x", "200 OK", "HTTP/1.1"] {
            assert!(judge(other).is_err_and(|why| why.contains("no HTTP")), "{other}");
        }
    }

    #[tokio::test]
    async fn a_service_is_asked() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let place = Place::of(listener.local_addr().unwrap());
        let app = axum::Router::new().route("/healthz", axum::routing::get(|| async { "ok" }));
        let (stop, stopped) = tokio::sync::watch::channel(false);
        let server = tokio::spawn(crate::service::http::serve(listener, app, stopped));
        assert_eq!(ask(&place).await, Ok(()));
        assert_eq!(
            ask(&Place { path: "/".to_owned(), ..place.clone() }).await,
            Err("it answers 404".to_owned())
        );
        stop.send(true).unwrap();
        server.await.unwrap().unwrap();
        assert!(ask(&place).await.is_err_and(|why| why.contains("idcsync run")));
    }
}
