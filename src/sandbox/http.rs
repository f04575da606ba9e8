//! The sandbox over HTTP: `POST /` with `X-Amz-Target`, as the SDKs send it; `/TENANT/scim/v2/…` for SCIM.
//!
//! A withheld answer closes the connection without a byte. axum has no way to say so from within a handler; so each
//! connection carries a switch that the handler throws, and from then on every write to it fails.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};

use axum::Router;
use axum::body::Body;
use axum::extract::{ConnectInfo, DefaultBodyLimit, State, connect_info::Connected};
use axum::http::{HeaderMap, Method, StatusCode, Uri, header};
use axum::response::Response;
use axum::serve::{IncomingStream, Listener};
use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use uuid::Uuid;

use super::handler::{RawRequest, RawResponse, Sandbox, Withheld};
use super::scim::{self, ScimRequest};
use super::wire::Failure;

/// More than any request can rightly have.
const BODY_LIMIT: usize = 1024 * 1024;

/// Serves until `shutdown` is done and the requests under way are answered.
pub async fn serve(
    listener: TcpListener,
    sandbox: Arc<Sandbox>,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> io::Result<()> {
    let app = Router::new()
        .fallback(answer)
        .layer(DefaultBodyLimit::max(BODY_LIMIT))
        .with_state(sandbox)
        .into_make_service_with_connect_info::<Switch>();
    axum::serve(Switched(listener), app).with_graceful_shutdown(shutdown).await
}

async fn answer(
    State(sandbox): State<Arc<Sandbox>>,
    ConnectInfo(switch): ConnectInfo<Switch>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Result<Bytes, axum::extract::rejection::BytesRejection>,
) -> Response {
    let refuse = |status: StatusCode, failure: Failure| {
        let id = Uuid::new_v4().to_string();
        response(RawResponse {
            status: status.as_u16(),
            headers: vec![
                ("content-type", "application/x-amz-json-1.1".to_owned()),
                ("x-amzn-errortype", failure.code.to_owned()),
            ],
            body: Bytes::from(failure.body(&id).to_string()),
        })
    };
    if scim::is_scim_path(uri.path()) {
        let Ok(body) = body else { return response(scim::too_large()) };
        let header = |name| headers.get(name).map(|v| String::from_utf8_lossy(v.as_bytes()).into_owned());
        let request = ScimRequest {
            method: method.to_string(),
            path: uri.path().to_owned(),
            query: uri.query().map(str::to_owned),
            authorization: header(header::AUTHORIZATION),
            user_agent: header(header::USER_AGENT),
            body,
        };
        return deliver(sandbox.handle_scim(request).await, &switch);
    }
    if method != Method::POST || uri.path() != "/" {
        return refuse(StatusCode::NOT_FOUND, Failure::unknown_operation());
    }
    let Ok(body) = body else {
        return refuse(StatusCode::PAYLOAD_TOO_LARGE, Failure::too_large());
    };
    let target = headers.get("x-amz-target").and_then(|v| v.to_str().ok()).map(str::to_owned);
    let agent = headers.get(header::USER_AGENT).and_then(|v| v.to_str().ok()).map(str::to_owned);
    let request =
        RawRequest { target, body, authorization: headers.contains_key(header::AUTHORIZATION), agent };
    deliver(sandbox.handle(request).await, &switch)
}

fn deliver(answer: Result<RawResponse, Withheld>, switch: &Switch) -> Response {
    match answer {
        Ok(answer) => response(answer),
        Err(_withheld) => {
            switch.throw();
            Response::new(Body::empty())
        }
    }
}

fn response(raw: RawResponse) -> Response {
    let mut response = Response::builder().status(raw.status);
    for (name, value) in raw.headers {
        response = response.header(name, value);
    }
    response.body(Body::from(raw.body)).unwrap_or_else(|error| {
        tracing::error!(error = &error as &dyn std::error::Error, "an answer is no HTTP");
        let mut response = Response::new(Body::empty());
        *response.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
        response
    })
}

/// Once thrown, the connection takes no byte any more.
#[derive(Debug, Clone, Default)]
struct Switch(Arc<AtomicBool>);

impl Switch {
    fn throw(&self) {
        self.0.store(true, Ordering::Release);
    }

    fn check(&self) -> io::Result<()> {
        if self.0.load(Ordering::Acquire) { Err(io::ErrorKind::ConnectionAborted.into()) } else { Ok(()) }
    }
}

impl Connected<IncomingStream<'_, Switched>> for Switch {
    fn connect_info(stream: IncomingStream<'_, Switched>) -> Self {
        stream.io().switch.clone()
    }
}

/// A listener whose connections have a switch.
struct Switched(TcpListener);

impl Listener for Switched {
    type Io = Connection;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Connection, SocketAddr) {
        let (stream, address) = Listener::accept(&mut self.0).await;
        // Small answers must not wait for the acknowledgement of the one before.
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(error = &error as &dyn std::error::Error, "TCP_NODELAY cannot be set");
        }
        (Connection { stream, switch: Switch::default() }, address)
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.0.local_addr()
    }
}

struct Connection {
    stream: TcpStream,
    switch: Switch,
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Connection {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self.switch.check() {
            Ok(()) => Pin::new(&mut self.stream).poll_write(cx, bytes),
            Err(error) => Poll::Ready(Err(error)),
        }
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self.switch.check() {
            Ok(()) => Pin::new(&mut self.stream).poll_write_vectored(cx, slices),
            Err(error) => Poll::Ready(Err(error)),
        }
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests;
