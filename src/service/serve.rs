//! Starts the parts of the service, and ends them in order.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use tokio::net::TcpListener;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::{mpsc, watch};
use tracing::{info, warn};

use super::board::{Ask, Board};
use super::worker::Worker;
use super::{follower, http};
use crate::config::Config;
use crate::run::{Metrics, MetricsError};

#[derive(Debug, thiserror::Error)]
pub enum ServiceError {
    #[error("cannot listen on {address}: give another [service] listen, or end whoever has it")]
    Listen { address: SocketAddr, source: std::io::Error },
    #[error("signals cannot be handled")]
    Signals(#[source] std::io::Error),
    #[error("the metrics cannot be set up")]
    Metrics(#[from] MetricsError),
    #[error("the worker ended by itself, which is a defect: {0}")]
    Worker(String),
}

/// Runs until a SIGTERM or SIGINT. `path`: of the config file, which is read again when it changes.
pub async fn serve(path: PathBuf, config: Config) -> Result<(), ServiceError> {
    let mut signals = Signals::new().map_err(ServiceError::Signals)?;
    let address = config.service.listen;
    let listener =
        TcpListener::bind(address).await.map_err(|source| ServiceError::Listen { address, source })?;
    let address = listener.local_addr().unwrap_or(address);

    let (ask, asks) = mpsc::channel(8);
    let (stop, stopped) = watch::channel(false);
    let metrics = Arc::new(Metrics::new(&config.profile)?);
    info!(
        version = env!("CARGO_PKG_VERSION"),
        profile = config.profile,
        listen = %address,
        schedule = config.schedule.describe(),
        "service started"
    );
    let board = Arc::new(Board::new(Arc::new(config), ask));

    let router = http::router(Arc::clone(&board), Arc::clone(&metrics));
    let web = tokio::spawn(http::serve(listener, router, stopped.clone()));
    let worker = Worker::new(Arc::clone(&board), metrics, path);
    let follower = tokio::spawn(follower::follow(Arc::clone(&board), stopped.clone()));
    let mut work = tokio::spawn(worker.work(asks, stopped));

    let ended = loop {
        tokio::select! {
            ended = &mut work => break Some(ended),
            asked = signals.next() => match asked {
                Asked::Reload => {
                    board.ask(Ask::Reload);
                }
                Asked::Stop => break None,
            },
        }
    };
    let result = match ended {
        Some(ended) => Err(ServiceError::Worker(ended.err().map_or_else(String::new, |e| e.to_string()))),
        None => {
            let grace = board.config().service.grace;
            info!(
                grace_seconds = grace.as_secs(),
                "asked to stop: what is under way is finished, nothing new is begun"
            );
            let _ = stop.send(true);
            tokio::select! {
                _ = &mut work => info!("service stopped"),
                () = tokio::time::sleep(grace) => {
                    warn!("the grace is over: what is under way is left, and looked up by the next run");
                    work.abort();
                }
                () = signals.stop() => {
                    warn!("asked twice: what is under way is left, and looked up by the next run");
                    work.abort();
                }
            }
            Ok(())
        }
    };
    let _ = stop.send(true);
    web.abort();
    follower.abort();
    result
}

enum Asked {
    Reload,
    Stop,
}

struct Signals {
    hangup: Signal,
    interrupt: Signal,
    terminate: Signal,
}

impl Signals {
    fn new() -> std::io::Result<Self> {
        Ok(Self {
            hangup: signal(SignalKind::hangup())?,
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
        })
    }

    async fn stop(&mut self) {
        while !matches!(self.next().await, Asked::Stop) {}
    }

    async fn next(&mut self) -> Asked {
        tokio::select! {
            _ = self.hangup.recv() => Asked::Reload,
            _ = self.interrupt.recv() => Asked::Stop,
            _ = self.terminate.recv() => Asked::Stop,
        }
    }
}
