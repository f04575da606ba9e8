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
use super::pace::Others;
use super::scim::{DEFAULT_SCIM_TENANT, ScimPaging, ScimSettings};
use super::{SandboxError, http};
use crate::secret::SecretSource;

/// How long requests under way may take once the server was told to stop.
const GRACE: Duration = Duration::from_secs(10);

/// A strict local stand-in for the AWS Identity Store API and its SCIM endpoint, to rehearse against.
#[derive(Debug, Clone, clap::Args)]
pub struct SandboxArgs {
    /// Where to listen; port 0 takes a free one
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "127.0.0.1:4566")]
    pub listen: SocketAddr,

    /// The file that keeps the store (made if it isn't there); without it, the store is gone at the end
    #[arg(long, value_name = "FILE")]
    pub store: Option<PathBuf>,

    /// Answer requests beyond this rate, of all callers together, with ThrottlingException (AWS allows 20 on each of
    /// the API and SCIM: so it is counted for each)
    #[arg(long, value_name = "N")]
    pub requests_per_second: Option<NonZeroU32>,

    /// Pretend that others use the same limit (may be repeated): RATE requests a second, or RATE@FROM+FOR from the
    /// second FROM after the start on, for FOR seconds. They come first
    #[arg(long = "others", value_name = "SPEC", requires = "requests_per_second")]
    pub others: Vec<Others>,

    /// Wait so long before each answer
    #[arg(long, value_name = "MILLISECONDS", default_value_t = 0)]
    pub latency_ms: u64,

    /// And up to so much longer, at random
    #[arg(long, value_name = "MILLISECONDS", default_value_t = 0)]
    pub jitter_ms: u64,

    /// Let calls fail (may be repeated): OPERATION:KIND for every call, OPERATION:KIND@N for the Nth, OPERATION:KIND%P
    /// for P percent. OPERATION is a name like CreateUser or scim:CreateUser, a beginning like Create* or scim:*,
    /// or *. KIND is one of throttle, internal, conflict, access-denied, validation, quota, timeout-before (not done, no
    /// answer), timeout-after (done, no answer), internal-after (done, answered as internal)
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

    /// The tenant in the base URL of SCIM: http://ADDRESS:PORT/NAME/scim/v2
    #[arg(long, value_name = "NAME", default_value = DEFAULT_SCIM_TENANT)]
    pub scim_tenant: String,

    /// The file that holds the bearer token for SCIM; without it, the token is sandbox-token
    #[arg(long, value_name = "FILE")]
    pub scim_token_file: Option<PathBuf>,

    /// The environment variable that holds the bearer token for SCIM
    #[arg(long, value_name = "VARIABLE", conflicts_with = "scim_token_file")]
    pub scim_token_env: Option<String>,

    /// How lists come over SCIM
    #[arg(long, value_name = "FORM", value_enum, default_value_t)]
    pub scim_paging: ScimPaging,

    /// Let pages of SCIM hold less than was asked for, or nothing, although more follows
    #[arg(long)]
    pub scim_short_pages: bool,
}

impl SandboxArgs {
    fn scim(&self) -> Result<ScimSettings, SandboxError> {
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
        if self.scim_tenant.is_empty() || !self.scim_tenant.chars().all(plain) {
            return Err(SandboxError::ScimTenant(self.scim_tenant.clone()));
        }
        let file = self.scim_token_file.clone().map(SecretSource::File);
        let source = file.or(self.scim_token_env.clone().map(SecretSource::Env));
        let settings = ScimSettings {
            tenant: self.scim_tenant.clone(),
            paging: self.scim_paging,
            short_pages: self.scim_short_pages,
            ..ScimSettings::default()
        };
        Ok(match source {
            Some(source) => ScimSettings { token: source.read()?, ..settings },
            None => settings,
        })
    }

    /// The settings of the sandbox that these options describe. Reads the token for SCIM.
    pub fn settings(&self) -> Result<Settings, SandboxError> {
        Ok(Settings {
            identity_store_id: self.identity_store_id.clone(),
            region: self.region.clone(),
            store: self.store.clone(),
            read_only: false,
            requests_per_second: self.requests_per_second.map(NonZeroU32::get),
            others: self.others.clone(),
            latency: Duration::from_millis(self.latency_ms),
            jitter: Duration::from_millis(self.jitter_ms),
            faults: self.faults.clone(),
            seed: self.seed,
            request_log: self.request_log.clone(),
            scim: self.scim()?,
        })
    }
}

/// Serves until SIGINT or SIGTERM, then writes the store file. Prints `sandbox listening on http://ADDRESS:PORT` to
/// stdout when it is ready, for scripts to wait for, and after it the base URL of SCIM.
pub async fn run(args: SandboxArgs) -> Result<(), SandboxError> {
    let stop = stop_signal()?;
    let sandbox = Arc::new(Sandbox::open(args.settings()?)?);
    let address = args.listen;
    let failed = |source| SandboxError::Listen { address, source };
    let listener = TcpListener::bind(address).await.map_err(failed)?;
    let bound = listener.local_addr().map_err(failed)?;
    if !bound.ip().is_loopback() {
        tracing::warn!(address = %bound, "the sandbox verifies no signature, and others can reach it at this address");
    }
    announce(bound, &sandbox.scim().base_path()).map_err(SandboxError::Announce)?;

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

fn announce(bound: SocketAddr, scim: &str) -> std::io::Result<()> {
    let mut stdout = std::io::stdout().lock();
    writeln!(stdout, "sandbox listening on http://{bound}")?;
    writeln!(stdout, "sandbox SCIM base URL http://{bound}{scim}")?;
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
    use secrecy::ExposeSecret;

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
        let settings = args.settings().unwrap();
        assert_eq!(settings.identity_store_id, "d-1234567890");
        assert_eq!(settings.requests_per_second, None);
        assert!(settings.store.is_none() && settings.faults.is_empty());
    }

    #[test]
    fn scim_has_a_tenant_a_token_and_a_form_of_lists() {
        let scim = |options: &[&str]| {
            let all = std::iter::once(&"x").chain(options);
            Cli::try_parse_from(all).unwrap().args.settings().map(|settings| settings.scim)
        };
        let plain = scim(&[]).unwrap();
        assert_eq!(
            (plain.base_path().as_str(), plain.token.expose_secret()),
            ("/tenant/scim/v2", "sandbox-token")
        );
        assert!(plain.paging == ScimPaging::Cursor && !plain.short_pages);

        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("token");
        std::fs::write(&file, "geheim\n").unwrap();
        let file = format!("--scim-token-file={}", file.display());
        let own = ["--scim-tenant=t-1", "--scim-paging=older", "--scim-short-pages", &file];
        let own_settings = scim(&own).unwrap();
        assert_eq!((own_settings.tenant.as_str(), own_settings.token.expose_secret()), ("t-1", "geheim"));
        assert!(own_settings.paging == ScimPaging::Older && own_settings.short_pages);
        assert!(!format!("{own_settings:?}").contains("geheim"));

        for tenant in ["--scim-tenant=", "--scim-tenant=a/b", "--scim-tenant=a b"] {
            assert!(matches!(scim(&[tenant]), Err(SandboxError::ScimTenant(_))), "{tenant}");
        }
        let missing = scim(&["--scim-token-env=IDCSYNC_TEST_NO_SUCH_VARIABLE"]);
        assert!(matches!(missing, Err(SandboxError::ScimToken(_))));
        assert!(Cli::try_parse_from(["x", "--scim-token-env=A", "--scim-token-file=b"]).is_err());
    }

    #[test]
    fn options_become_settings() {
        let args = Cli::try_parse_from([
            "x",
            "--listen=127.0.0.1:0",
            "--requests-per-second=20",
            "--others=10@30+60",
            "--latency-ms=50",
            "--jitter-ms=10",
            "--fault=CreateUser:throttle",
            "--fault=*:internal%10",
        ])
        .unwrap()
        .args;
        let settings = args.settings().unwrap();
        assert_eq!(settings.requests_per_second, Some(20));
        let others: Vec<_> = settings.others.iter().map(ToString::to_string).collect();
        assert_eq!(others, ["10@30+60"]);
        assert_eq!(settings.latency, Duration::from_millis(50));
        assert_eq!(settings.jitter, Duration::from_millis(10));
        let faults: Vec<_> = settings.faults.iter().map(ToString::to_string).collect();
        assert_eq!(faults, ["CreateUser:throttle", "*:internal%10"]);
        for wrong in [
            "--scim-paging=index",
            "--fault=CreateUser:boom",
            "--requests-per-second=0",
            "--listen=nowhere",
            "--others=10",
        ] {
            assert!(Cli::try_parse_from(["x", wrong]).is_err(), "{wrong}");
        }
    }
}
