//! Connections: only so many, none that stays silent or unread for ever, and a good end for those that are under way.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::ConnectInfo;
use axum::{Extension, Router};
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tracing::{debug, warn};

use super::patient::Patient;

/// The worker needs file descriptors of its own.
const MOST_CONNECTIONS: usize = 256;
/// For the head of a request, and between two requests of one connection.
const HEAD_LIMIT: Duration = Duration::from_secs(60);
/// For an answer to be read, from the moment in which no more of it can be sent.
const ANSWER_LIMIT: Duration = Duration::from_secs(60);
/// The head of a request is a line and some headers. A token that is longer is none.
const LONGEST_HEAD: usize = 32 * 1024;
/// For what is under way when the service ends.
const GRACE: Duration = Duration::from_secs(5);

/// Serves until `stop` is true, or nobody is left to say so.
pub async fn serve(listener: TcpListener, router: Router, mut stop: watch::Receiver<bool>) -> io::Result<()> {
    let graceful = GracefulShutdown::new();
    let places = Arc::new(Semaphore::new(MOST_CONNECTIONS));
    let mut connections = JoinSet::new();
    loop {
        let next = async {
            let place = Arc::clone(&places).acquire_owned().await.map_err(io::Error::other)?;
            Ok::<_, io::Error>((place, listener.accept().await?))
        };
        let accepted = tokio::select! {
            biased;
            _ = stop.wait_for(|stop| *stop) => break,
            accepted = next => accepted,
        };
        while connections.try_join_next().is_some() {}
        let (place, (stream, remote)) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                if !is_of_the_other_side(&error) {
                    // No file descriptor is left, most likely: that takes time.
                    warn!("no connection can be accepted: {error}");
                    tokio::select! {
                        _ = stop.wait_for(|stop| *stop) => break,
                        () = sleep(Duration::from_secs(1)) => {}
                    }
                }
                continue;
            }
        };
        // Small answers must not wait for the acknowledgement of the one before.
        if let Err(error) = stream.set_nodelay(true) {
            debug!("TCP_NODELAY cannot be set: {error}");
        }
        let service = TowerToHyperService::new(router.clone().layer(Extension(ConnectInfo(remote))));
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(HEAD_LIMIT)
            .max_buf_size(LONGEST_HEAD)
            .serve_connection(TokioIo::new(Patient::new(stream, ANSWER_LIMIT)), service);
        let connection = graceful.watch(connection);
        connections.spawn(async move {
            if let Err(error) = connection.await {
                debug!("a connection broke: {error}");
            }
            drop(place);
        });
    }
    drop(listener);
    // Whatever is left then ends with the set.
    let _ = timeout(GRACE, graceful.shutdown()).await;
    Ok(())
}

fn is_of_the_other_side(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset)
}
