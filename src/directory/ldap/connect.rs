//! Opens a connection, with TLS where it must be, and binds.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use ldap3::{LdapConnAsync, LdapConnSettings, LdapError, LdapResult, StdStream};
use rustls::ClientConfig;
use secrecy::ExposeSecret;
use tracing::debug;

use super::certificate::Chain;
use super::facts;
use super::guard::{self, Line, Verdict};
use super::search::LdapReader;
use super::session::Session;
use super::tls::{self, Witness};
use super::wire::{Connection, Network};
use crate::directory::error::{BindRefusal, DirectoryError, ServerFailure};
use crate::directory::settings::{Bind, LdapSettings};
use crate::directory::survey::Greeting;
use crate::printable::brief;

/// Everything that can be made ready, or refused, before anything is sent.
pub(in crate::directory) struct Opener<'a> {
    settings: &'a LdapSettings,
    through: Through<'a>,
    witness: Option<Witness>,
}

/// How a server is reached.
enum Through<'a> {
    /// Over the network, with TLS where it must be.
    Tls(Arc<ClientConfig>),
    /// By somebody in place of it.
    Other(&'a dyn Network),
}

/// A server that can be read from.
pub(in crate::directory) struct Opened {
    pub reader: LdapReader,
    pub host: Option<String>,
    pub vendor: Option<String>,
    pub is_ad: bool,
}

/// Why a server could not be used.
pub enum Setback {
    /// Another server may do better.
    Next(ServerFailure),
    /// No other server would.
    Final(DirectoryError),
}

impl<'a> Opener<'a> {
    pub fn new(settings: &'a LdapSettings, network: Option<&'a dyn Network>) -> Result<Self, DirectoryError> {
        Self::with(settings, network, None)
    }

    /// The same, keeping what servers show of themselves: for `check`.
    pub fn looking_on(settings: &'a LdapSettings) -> Result<Self, DirectoryError> {
        Self::with(settings, None, Some(Witness::default()))
    }

    /// What the server showed that was connected to last, if that was by TLS.
    pub fn shown(&self) -> Option<Chain> {
        Chain::read(&self.witness.as_ref()?.take()?)
    }

    fn with(
        settings: &'a LdapSettings,
        network: Option<&'a dyn Network>,
        witness: Option<Witness>,
    ) -> Result<Self, DirectoryError> {
        if matches!(settings.bind, Bind::Gssapi) && cfg!(not(feature = "gssapi")) {
            return Err(DirectoryError::NoGssapi);
        }
        if let Bind::External { cert_file, key_file } = &settings.bind
            && (cert_file.is_none() || key_file.is_none())
        {
            return Err(DirectoryError::External("name its files"));
        }
        // A password that is not there is said before a server is tried.
        if let Bind::Simple { password, .. } = &settings.bind {
            password.read().map_err(DirectoryError::Secret)?;
        }
        let through = match network {
            Some(network) => Through::Other(network),
            None => Through::Tls(tls::config(settings, witness.as_ref())?),
        };
        Ok(Self { settings, through, witness })
    }

    pub async fn open(&self, url: &str, need_domain_name: bool) -> Result<Opened, Setback> {
        let session = self.session(url).await?;
        let now = || match &self.through {
            Through::Tls(_) => Timestamp::now(),
            Through::Other(network) => network.now(),
        };
        let learned = facts::learn(&session, self.settings, url, need_domain_name, &now).await?;
        let (host, vendor, is_ad) = (learned.host.clone(), learned.vendor.clone(), learned.is_ad);
        debug!(
            server = url,
            binding = learned.facts.binding,
            paging = learned.paging,
            "the directory answers"
        );
        Ok(Opened { reader: LdapReader::new(session, learned), host, vendor, is_ad })
    }

    /// Only what the server says of itself.
    pub async fn greet(&self, url: &str) -> Result<Greeting, Setback> {
        let session = self.session(url).await?;
        let greeting = facts::greet(&session, self.settings, url).await;
        session.close().await;
        greeting
    }

    /// Connected and bound.
    async fn session(&self, url: &str) -> Result<Session, Setback> {
        let settings = self.settings;
        let tls = match &self.through {
            Through::Tls(tls) => tls.clone(),
            Through::Other(network) => return network.connect(url).await.map(Session::new),
        };
        let secure = self.permitted(url).map_err(Setback::Final)?;
        #[cfg(feature = "gssapi")]
        if matches!(settings.bind, Bind::Gssapi) {
            let connection = self.unguarded(url, secure, tls).await?;
            self.bind(&connection, url).await?;
            return Ok(Session::new(Box::new(connection)));
        }
        let (host, port) = place(url).ok_or_else(|| bad_url(url))?;
        let limit = settings.timeout;
        let tls = (secure != Security::None).then_some(tls);
        let connecting = guard::connect(host, port, tls, secure == Security::StartTls);
        let line = match tokio::time::timeout(limit, connecting).await {
            Ok(line) => line.map_err(Setback::Next)?,
            Err(_) => return Err(Setback::Next(ServerFailure::Timeout { stage: "connecting", limit })),
        };
        let connection = guarded(line, limit).await.map_err(|e| connect_failure(e, url, limit))?;
        self.bind(&connection, url).await?;
        Ok(Session::new(Box::new(connection)))
    }

    /// Straight to the library: what Kerberos seals only the library can open.
    #[cfg(feature = "gssapi")]
    async fn unguarded(
        &self,
        url: &str,
        secure: Security,
        tls: Arc<ClientConfig>,
    ) -> Result<Connection, Setback> {
        let limit = self.settings.timeout;
        let (host, port) = place(url).ok_or_else(|| bad_url(url))?;
        let connecting = async { guard::tcp(host, port).await?.into_std() };
        let tcp = match tokio::time::timeout(limit, connecting).await {
            Ok(tcp) => tcp.map_err(|e| Setback::Next(ServerFailure::Connect(brief(&e.to_string()))))?,
            Err(_) => return Err(Setback::Next(ServerFailure::Timeout { stage: "connecting", limit })),
        };
        let connection = LdapConnSettings::new()
            .set_conn_timeout(limit)
            .set_std_stream(StdStream::Tcp(tcp))
            .set_config(tls)
            .set_starttls(secure == Security::StartTls);
        let (driver, ldap) = LdapConnAsync::with_settings(connection, url)
            .await
            .map_err(|error| connect_failure(error, url, limit))?;
        let driver = tokio::spawn(async move {
            if let Err(error) = driver.drive().await {
                debug!(%error, "the connection to the directory ended");
            }
        });
        Ok(Connection::new(ldap, driver, limit, Verdict::default()))
    }

    /// How the connection is protected; an error where a password would not be.
    fn permitted(&self, url: &str) -> Result<Security, DirectoryError> {
        let settings = self.settings;
        let host = host(url).ok_or_else(|| DirectoryError::BadUrl(url.to_owned()))?;
        debug!(host, "connecting");
        let security = match (url.starts_with("ldaps://"), settings.starttls) {
            (true, _) => Security::Tls,
            (false, true) => Security::StartTls,
            (false, false) => Security::None,
        };
        match (&settings.bind, security) {
            (Bind::Simple { .. }, Security::None) if !settings.allow_plaintext => {
                Err(DirectoryError::Plaintext(url.to_owned()))
            }
            (Bind::External { .. }, Security::None) => {
                Err(DirectoryError::External("use ldaps:// or `starttls = true`"))
            }
            _ => Ok(security),
        }
    }

    async fn bind(&self, connection: &Connection, url: &str) -> Result<(), Setback> {
        let mut ldap = connection.handle();
        let limit = self.settings.timeout;
        let answer = match &self.settings.bind {
            Bind::Simple { dn, password } => {
                // Read anew for each connection: it may have been changed.
                let password =
                    password.read().map_err(|source| Setback::Final(DirectoryError::Secret(source)))?;
                tokio::time::timeout(limit, ldap.simple_bind(dn, password.expose_secret())).await
            }
            Bind::External { .. } => tokio::time::timeout(limit, ldap.sasl_external_bind()).await,
            #[cfg(feature = "gssapi")]
            Bind::Gssapi => {
                let host = host(url).unwrap_or_default().to_owned();
                tokio::time::timeout(limit, ldap.sasl_gssapi_bind(&host)).await
            }
            #[cfg(not(feature = "gssapi"))]
            Bind::Gssapi => return Err(Setback::Final(DirectoryError::NoGssapi)),
        };
        let stage = "binding";
        let result = match answer {
            Err(_) => return Err(Setback::Next(ServerFailure::Timeout { stage, limit })),
            Ok(Err(error)) => {
                let words = || match error {
                    // The library's words for it name its channels.
                    LdapError::ResultRecv { .. } | LdapError::OpSend { .. } => CLOSED.to_owned(),
                    ref other => brief(&other.to_string()),
                };
                let detail = connection.verdict().map_or_else(words, str::to_owned);
                return Err(Setback::Next(ServerFailure::Lost { stage, detail }));
            }
            Ok(Ok(result)) => result,
        };
        let LdapResult { rc, text, .. } = result;
        if rc == 0 {
            return Ok(());
        }
        let why = BindRefusal::read(rc, &self.without_password(text));
        if why.lies_with_the_account() {
            return Err(Setback::Final(DirectoryError::Credentials { server: url.to_owned(), why }));
        }
        Err(Setback::Next(ServerFailure::Bind(why)))
    }
}

impl Opener<'_> {
    /// A server may say back what it was sent, and what it says goes into the log.
    fn without_password(&self, text: String) -> String {
        match &self.settings.bind {
            Bind::Simple { password, .. } => match password.read() {
                Ok(password) => text.replace(password.expose_secret(), "***"),
                Err(_) => text,
            },
            Bind::External { .. } | Bind::Gssapi => text,
        }
    }
}
const CLOSED: &str = "the server closed the connection";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Security {
    Tls,
    StartTls,
    None,
}

/// The library on one end of a pair of sockets, the server on the other, and the relay between them.
async fn guarded(line: Box<dyn Line>, timeout: Duration) -> Result<Connection, LdapError> {
    let (near, far) = std::os::unix::net::UnixStream::pair()?;
    far.set_nonblocking(true)?;
    let far = tokio::net::UnixStream::from_std(far)?;
    let connection = LdapConnSettings::new().set_std_stream(StdStream::Unix(near));
    let (driver, ldap) = LdapConnAsync::with_settings(connection, "ldapi://guarded").await?;
    let verdict = Verdict::default();
    let relayed = guard::relay(line, far, verdict.clone());
    let task = tokio::spawn(async move {
        let mut relayed = Box::pin(relayed);
        let mut driven = Box::pin(driver.drive());
        let result = tokio::select! {
            result = &mut driven => {
                // What was sent last is on its way.
                let _ = tokio::time::timeout(Duration::from_secs(1), relayed).await;
                result
            }
            () = &mut relayed => driven.await,
        };
        if let Err(error) = result {
            debug!(%error, "the connection to the directory ended");
        }
    });
    Ok(Connection::new(ldap, task, timeout, verdict))
}

/// Host and port of a url.
pub(super) fn place(url: &str) -> Option<(&str, u16)> {
    let host = host(url)?;
    let given = url.trim_end_matches('/').rsplit_once(':').and_then(|(_, port)| port.parse().ok());
    Some((host, given.unwrap_or(if url.starts_with("ldaps://") { 636 } else { 389 })))
}

fn bad_url(url: &str) -> Setback {
    Setback::Final(DirectoryError::BadUrl(url.to_owned()))
}

/// The host of `ldap://host:port` or `ldaps://host:port`; `None` where it is neither.
fn host(url: &str) -> Option<&str> {
    let rest = url.strip_prefix("ldaps://").or_else(|| url.strip_prefix("ldap://"))?;
    let authority = rest.trim_end_matches('/');
    let (host, port) = match authority.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, Some(port)),
        _ => (authority, None),
    };
    let fits = !host.is_empty()
        && !host.contains(['/', '?', '@', ' '])
        && port.is_none_or(|p| p.parse::<u16>().is_ok_and(|p| p > 0));
    fits.then_some(host)
}

fn connect_failure(error: LdapError, url: &str, limit: Duration) -> Setback {
    Setback::Next(match error {
        LdapError::Timeout { .. } => ServerFailure::Timeout { stage: "connecting", limit },
        LdapError::Io { source } => match tls::words(&source) {
            Some(words) => ServerFailure::Tls(words),
            None => ServerFailure::Connect(source.to_string()),
        },
        LdapError::Rustls { source } => ServerFailure::Tls(tls::explain(&source)),
        LdapError::DNSName { .. } => {
            ServerFailure::Tls("the url's host is not a name that TLS can verify".to_owned())
        }
        LdapError::LdapResult { result } => ServerFailure::Tls(format!(
            "the server refuses StartTLS (result code {}{}{})",
            result.rc,
            if result.text.is_empty() { "" } else { ": " },
            brief(&result.text)
        )),
        LdapError::UrlParsing { .. } | LdapError::UnknownScheme(_) => {
            return bad_url(url);
        }
        // The library's words for it name its channels.
        LdapError::ResultRecv { .. } | LdapError::OpSend { .. } => ServerFailure::Connect(CLOSED.to_owned()),
        other => ServerFailure::Connect(brief(&other.to_string())),
    })
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;
    use crate::directory::Servers;
    use crate::ids::Dn;
    use crate::model::DirectoryKind;
    use crate::secret::SecretSource;

    fn settings() -> LdapSettings {
        LdapSettings {
            kind: DirectoryKind::Ldap,
            servers: Servers::Urls(Vec::new()),
            base_dn: Dn::parse("dc=x").unwrap(),
            bind: Bind::Simple {
                dn: "cn=a".to_owned(),
                password: SecretSource::File(PathBuf::from("/does/not/exist")),
            },
            ca_file: None,
            starttls: false,
            allow_plaintext: false,
            page_size: 1000,
            timeout: Duration::from_secs(5),
        }
    }

    fn tls() -> Arc<ClientConfig> {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let tls = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(rustls::RootCertStore::empty())
            .with_no_client_auth();
        Arc::new(tls)
    }

    fn permitted(settings: &LdapSettings, url: &str) -> Result<Security, DirectoryError> {
        Opener { settings, through: Through::Tls(tls()), witness: None }.permitted(url)
    }

    #[test]
    fn a_password_does_not_travel_in_the_clear() {
        let mut settings = settings();
        assert!(matches!(permitted(&settings, "ldap://h"), Err(DirectoryError::Plaintext(_))));
        assert_eq!(permitted(&settings, "ldaps://h").unwrap(), Security::Tls);
        settings.starttls = true;
        assert_eq!(permitted(&settings, "ldap://h:3890").unwrap(), Security::StartTls);
        settings.starttls = false;
        settings.allow_plaintext = true;
        assert_eq!(permitted(&settings, "ldap://h").unwrap(), Security::None);
    }

    #[test]
    fn a_password_that_the_server_says_back_is_not_shown() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("password");
        std::fs::write(&path, "geheim\n").unwrap();
        let mut settings = settings();
        settings.bind = Bind::Simple { dn: "cn=a".to_owned(), password: SecretSource::File(path) };
        let opener = Opener { settings: &settings, through: Through::Tls(tls()), witness: None };
        assert_eq!(opener.without_password("no: geheim!".to_owned()), "no: ***!");
    }

    #[test]
    fn a_client_certificate_needs_tls_and_its_files() {
        let mut settings = settings();
        settings.bind = Bind::External { cert_file: None, key_file: None };
        assert!(matches!(permitted(&settings, "ldap://h"), Err(DirectoryError::External(_))));
        assert!(matches!(Opener::new(&settings, None), Err(DirectoryError::External(_))));
    }

    #[cfg(not(feature = "gssapi"))]
    #[test]
    fn kerberos_needs_its_feature() {
        let mut settings = settings();
        settings.bind = Bind::Gssapi;
        assert!(matches!(Opener::new(&settings, None), Err(DirectoryError::NoGssapi)));
    }

    #[test]
    fn urls_are_read() {
        assert_eq!(host("ldaps://dc1.corp.example"), Some("dc1.corp.example"));
        assert_eq!(host("ldap://127.0.0.1:3890/"), Some("127.0.0.1"));
        assert_eq!(host("ldaps://[::1]:636"), Some("[::1]"));
        for bad in ["http://x", "ldap://", "ldap://h:0", "ldap://h:x", "ldap://u@h", "ldap://h/dc=x", "dc1"] {
            assert_eq!(host(bad), None, "{bad}");
        }
        assert_eq!(place("ldaps://dc1.corp.example/"), Some(("dc1.corp.example", 636)));
        assert_eq!(place("ldap://127.0.0.1:3890/"), Some(("127.0.0.1", 3890)));
        assert_eq!(place("ldap://[::1]"), Some(("[::1]", 389)));
        assert_eq!(place("ldaps://[::1]:1636"), Some(("[::1]", 1636)));
    }
}
