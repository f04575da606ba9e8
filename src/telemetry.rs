//! Logs to stderr, and error records: one JSON object for each finding that appears or goes, with AWS's fields.

use std::io::{self, IsTerminal as _, Write};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use jiff::Timestamp;
use serde_json::{Value, json};
use tracing::{info, warn};
use tracing_subscriber::EnvFilter;

use crate::config::{Config, LogFormat, LogSettings};
use crate::directory::{DirectorySettings, Servers};
use crate::ids::IdentityStoreId;
use crate::model::{Finding, Kind, Severity};
use crate::printable::{self, shown};
use crate::private_file;
use crate::state::FindingChanges;

pub struct Settings {
    format: LogFormat,
    /// 0: one line a cycle; 1: what is asked and how often; 2: everything.
    verbose: u8,
    quiet: bool,
    color: bool,
}

impl Settings {
    pub fn of(log: &LogSettings, verbose: u8, quiet: bool, color: bool) -> Self {
        Self { format: log.format, verbose, quiet, color }
    }

    pub fn plain(verbose: u8, quiet: bool, color: bool) -> Self {
        Self { format: LogFormat::Auto, verbose, quiet, color }
    }
}

/// Starts logging. A second start in one process changes nothing.
pub fn start(settings: &Settings) {
    let level = match (settings.quiet, settings.verbose) {
        (true, _) => "error",
        // What the LDAP library says of a lost connection is in our own error.
        (false, 0) => "warn,ldap3=off,idcsync=info",
        (false, 1) => "warn,idcsync=debug",
        (false, _) => "info,idcsync=trace",
    };
    let filter = EnvFilter::try_from_env("IDCSYNC_LOG").unwrap_or_else(|_| EnvFilter::new(level));
    let terminal = std::io::stderr().is_terminal();
    let json = match settings.format {
        LogFormat::Auto => !terminal,
        LogFormat::Text => false,
        LogFormat::Json => true,
    };
    let styled = settings.color && !json;
    let writer = move || Record { json, styled };
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(writer);
    let started = if json {
        builder.json().flatten_event(true).with_current_span(true).try_init()
    } else {
        builder.with_ansi(settings.color).with_target(false).try_init()
    };
    drop(started);
}

/// Stderr, given one record at a time: whatever is in its fields, it is one line and moves nothing.
struct Record {
    json: bool,
    styled: bool,
}

impl Write for Record {
    fn write(&mut self, record: &[u8]) -> io::Result<usize> {
        let text = String::from_utf8_lossy(record);
        let text = if self.json {
            printable::json(&text).into_owned()
        } else {
            printable::record(&text, self.styled)
        };
        io::stderr().lock().write_all(text.as_bytes())?;
        Ok(record.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Logs what appeared and what went, and copies it to the error log where there is one.
pub fn record_findings(config: &Config, store: &IdentityStoreId, changes: &FindingChanges, now: Timestamp) {
    let appeared = changes.appeared.iter().map(|f| (f, "appeared"));
    let gone = changes.gone.iter().map(|(f, _)| (f, "gone"));
    let mut lines = String::new();
    for (finding, event) in appeared.chain(gone) {
        let record = record(config, store, finding, event, now);
        let (code, label) = (finding.code.name(), shown(&finding.subject.label));
        match (event, finding.code.severity()) {
            ("gone", _) => info!(code, object = label, "finding gone"),
            (_, Severity::Info) => info!(code, object = label, "{}", shown(&finding.message)),
            (_, _) => warn!(code, object = label, "{}", shown(&finding.message)),
        }
        lines.push_str(&printable::json(&record.to_string()));
        lines.push('\n');
    }
    if let Some(path) = config.log.error_log.as_ref().filter(|_| !lines.is_empty())
        && let Err(error) = append(path, &lines)
    {
        warn!("the error log {} cannot be written: {error}", path.display());
    }
}

fn append(path: &Path, lines: &str) -> std::io::Result<()> {
    static TOLD: AtomicBool = AtomicBool::new(false);
    let mut file = private_file::append(path)?;
    // Not tightened: a collector of logs may be meant to read it. Told once, not with every line.
    if let Some(why) = private_file::exposed(&file.metadata()?)
        && !TOLD.swap(true, Ordering::Relaxed)
    {
        warn!("the error log {} names people, and {why}", path.display());
    }
    file.write_all(lines.as_bytes())
}

/// One error record, with the fields of AWS's own ("Logging AD sync errors" of the IAM Identity Center guide), and
/// whether the finding appeared or went.
pub fn record(
    config: &Config,
    store: &IdentityStoreId,
    finding: &Finding,
    event: &str,
    now: Timestamp,
) -> Value {
    let (url, domain) = match &config.directory {
        DirectorySettings::Ldap(ldap) => {
            let url = match &ldap.servers {
                Servers::Urls(urls) => urls.join(" "),
                Servers::Discover(domain) => domain.clone(),
            };
            (url, ldap.base_dn.dns_domain())
        }
        DirectorySettings::Ldif(ldif) => (ldif.file.display().to_string(), ldif.base_dn.dns_domain()),
    };
    json!({
        "sync_profile_name": config.profile,
        "error": { "error_code": finding.code.name(), "error_message": finding.message },
        "sync_source": { "url": url, "domain": domain },
        "sync_target": { "arn": format!("arn:aws:identitystore:::identitystore/{store}") },
        "source_entity_id": finding.subject.id,
        "source_entity_type": finding.subject.kind.map(|k| match k {
            Kind::User => "USER",
            Kind::Group => "GROUP",
        }),
        "eventTimestamp": now.as_millisecond().to_string(),
        "event": event,
    })
}
