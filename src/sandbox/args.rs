//! `idcsync sandbox`: its options, and the server from start to end.

use std::future::Future;
use std::io::Write;
use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;

use super::fault::FaultSpec;
use super::handler::{DEFAULT_IDENTITY_STORE_ID, DEFAULT_REGION, Sandbox, Settings};
use super::{SandboxError, http};

/// How long requests under way may take once the server was told to stop.
const GRACE: Duration = Duration::from_secs(10);

/// A strict local stand-in for the AWS Identity Store API, to rehearse against.
#[derive(Debug, Clone, clap::Args)]
pub struct SandboxArgs {
    /// Where to listen; port 0 takes a free one
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "127.0.0.1:4566")]
    pub listen: SocketAddr,

    /// The file that keeps the store (made if it isn't there); without it, the store is gone at the end
    #[arg(long, value_name = "FILE")]
    pub store: Option<PathBuf>,

    /// Answer requests beyond this rate, of all callers together, with ThrottlingException (AWS allows 20)
    #[arg(long, value_name = "N")]
    pub requests_per_second: Option<NonZeroU32>,

    /// Wait so long before each answer
    #[arg(long, value_name = "MILLISECONDS", default_value_t = 0)]
    pub latency_ms: u64,

    /// And up to so much longer, at random
    #[arg(long, value_name = "MILLISECONDS", default_value_t = 0)]
    pub jitter_ms: u64,

    /// Let calls fail (may be repeated): OPERATION:KIND for every call, OPERATION:KIND@N for the Nth, OPERATION:KIND%P
    /// for P percent. OPERATION is a name like CreateUser, a beginning like Create*, or *. KIND is one of throttle,
    /// internal, conflict, access-denied, validation, quota, timeout-before (not done, no answer), timeout-after (done,
    /// no answer)
    #[arg(long = "fault", value_name = "SPEC")]
    pub faults: Vec<FaultSpec>,

    /// The seed from which percentages of faults and the jitter are drawn
    #[arg(long, value_name = "NUMBER", default_value_t = 0)]
    pub seed: u64,

    /// Append one JSON line for each request to this file
    #[arg(long, value_name = "FILE")]
    pub request_log: Option<PathBuf>,

    /// The id of the identity store
    #[arg(long, value_name = "ID", default_value = DEFAULT_IDENTITY_STORE_ID)]
    pub identity_store_id: String,

    /// The region that it says it is in
    #[arg(long, value_name = "REGION", default_value = DEFAULT_REGION)]
    pub region: String,
}

impl SandboxArgs {
    /// The settings of the sandbox that these options describe.
    pub fn settings(&self) -> Settings {
        Settings {
            identity_store_id: self.identity_store_id.clone(),
            region: self.region.clone(),
            store: self.store.clone(),
            read_only: false,
            requests_per_second: self.requests_per_second.map(NonZeroU32::get),
            latency: Duration::from_millis(self.latency_ms),
            jitter: Duration::from_millis(self.jitter_ms),
            faults: self.faults.clone(),
            seed: self.seed,
            request_log: self.request_log.clone(),
        }
    }
}

/// Serves until SIGINT or SIGTERM, then writes the store file. Prints `sandbox listening on http://ADDRESS:PORT` to
/// stdout when it is ready, for scripts to wait for.
pub async fn run(args: SandboxArgs) -> Result<(), SandboxError> {
    let stop = stop_signal()?;
    let sandbox = Arc::new(Sandbox::open(args.settings())?);
    let address = args.listen;
    let failed = |source| SandboxError::Listen { address, source };
    let listener = TcpListener::bind(address).await.map_err(failed)?;
    let bound = listener.local_addr().map_err(failed)?;
    if !bound.ip().is_loopback() {
        tracing::warn!(address = %bound, "the sandbox verifies no signature, and others can reach it at this address");
    }
    announce(bound).map_err(SandboxError::Announce)?;

    let (told, wait) = tokio::sync::oneshot::channel::<()>();
    let server = http::serve(listener, Arc::clone(&sandbox), async {
        // Both ends mean the same: stop.
        let _ = wait.await;
    });
    tokio::pin!(server);
    let served = tokio::select! {
        served = &mut server => served,
        () = stop => {
            tracing::info!("stopping");
            let _ = told.send(());
            tokio::time::timeout(GRACE, &mut server).await.unwrap_or(Ok(()))
        }
    };
    sandbox.close()?;
    served.map_err(SandboxError::Serve)
}

fn announce(bound: SocketAddr) -> std::io::Result<()> {
    let mut stdout = std::io::stdout().lock();
    writeln!(stdout, "sandbox listening on http://{bound}")?;
    stdout.flush()
}

#[cfg(unix)]
fn stop_signal() -> Result<impl Future<Output = ()>, SandboxError> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut terminate = signal(SignalKind::terminate()).map_err(SandboxError::Signal)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(SandboxError::Signal)?;
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    })
}

#[cfg(not(unix))]
fn stop_signal() -> Result<impl Future<Output = ()>, SandboxError> {
    Ok(async {
        if let Err(error) = tokio::signal::ctrl_c().await {
            tracing::error!(error = &error as &dyn std::error::Error, "Ctrl-C cannot be waited for");
            std::future::pending::<()>().await;
        }
    })
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Cli {
        #[command(flatten)]
        args: SandboxArgs,
    }

    #[test]
    fn the_defaults_are_those_of_the_contract() {
        let args = Cli::try_parse_from(["x"]).unwrap().args;
        assert_eq!(args.listen.to_string(), "127.0.0.1:4566");
        let settings = args.settings();
        assert_eq!(settings.identity_store_id, "d-1234567890");
        assert_eq!(settings.requests_per_second, None);
        assert!(settings.store.is_none() && settings.faults.is_empty());
    }

    #[test]
    fn options_become_settings() {
        let args = Cli::try_parse_from([
            "x",
            "--listen=127.0.0.1:0",
            "--requests-per-second=20",
            "--latency-ms=50",
            "--jitter-ms=10",
            "--fault=CreateUser:throttle",
            "--fault=*:internal%10",
        ])
        .unwrap()
        .args;
        let settings = args.settings();
        assert_eq!(settings.requests_per_second, Some(20));
        assert_eq!(settings.latency, Duration::from_millis(50));
        assert_eq!(settings.jitter, Duration::from_millis(10));
        let faults: Vec<_> = settings.faults.iter().map(ToString::to_string).collect();
        assert_eq!(faults, ["CreateUser:throttle", "*:internal%10"]);
        for wrong in ["--fault=CreateUser:boom", "--requests-per-second=0", "--listen=nowhere"] {
            assert!(Cli::try_parse_from(["x", wrong]).is_err(), "{wrong}");
        }
    }
}
