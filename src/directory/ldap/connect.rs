//! Opens a connection, with TLS where it must be, and binds.

use std::sync::Arc;
use std::time::Duration;

use ldap3::{Ldap, LdapConnAsync, LdapConnSettings, LdapError, LdapResult};
use rustls::ClientConfig;
use secrecy::ExposeSecret;
use tracing::debug;

use super::facts::{self, Learned};
use super::search::LdapReader;
use super::session::Session;
use super::tls;
use crate::directory::error::{BindRefusal, DirectoryError, ServerFailure, printable};
use crate::directory::settings::{Bind, LdapSettings};

/// Everything that can be made ready, or refused, before anything is sent.
pub(in crate::directory) struct Opener<'a> {
    settings: &'a LdapSettings,
    tls: Arc<ClientConfig>,
}

/// A server that can be read from.
pub(in crate::directory) struct Opened {
    pub reader: LdapReader,
    pub host: Option<String>,
    pub vendor: Option<String>,
    pub is_ad: bool,
}

/// Why a server could not be used.
pub(in crate::directory) enum Setback {
    /// Another server may do better.
    Next(ServerFailure),
    /// No other server would.
    Final(DirectoryError),
}

impl<'a> Opener<'a> {
    pub fn new(settings: &'a LdapSettings) -> Result<Self, DirectoryError> {
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
        Ok(Self { settings, tls: tls::config(settings)? })
    }

    pub async fn open(&self, url: &str, need_domain_name: bool) -> Result<Opened, Setback> {
        let session = self.session(url).await?;
        let learned = facts::learn(&session, self.settings, url, need_domain_name).await?;
        let Learned { facts, paging, host, vendor, is_ad, change_log } = learned;
        debug!(server = url, binding = facts.binding, paging, "the directory answers");
        Ok(Opened { reader: LdapReader::new(session, facts, paging, change_log), host, vendor, is_ad })
    }

    /// Connected and bound.
    async fn session(&self, url: &str) -> Result<Session, Setback> {
        let settings = self.settings;
        let secure = self.permitted(url).map_err(Setback::Final)?;
        let connection = LdapConnSettings::new()
            .set_conn_timeout(settings.timeout)
            .set_config(self.tls.clone())
            .set_starttls(secure == Security::StartTls);
        let (driver, ldap) = LdapConnAsync::with_settings(connection, url)
            .await
            .map_err(|error| connect_failure(error, url, settings.timeout))?;
        let driver = tokio::spawn(async move {
            if let Err(error) = driver.drive().await {
                debug!(%error, "the connection to the directory ended");
            }
        });
        let session = Session::new(ldap, driver, settings.timeout);
        self.bind(session.handle(), url).await?;
        Ok(session)
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

    async fn bind(&self, mut ldap: Ldap, url: &str) -> Result<(), Setback> {
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
                let detail = match error {
                    // The library's words for it name its channels.
                    LdapError::ResultRecv { .. } | LdapError::OpSend { .. } => CLOSED.to_owned(),
                    other => printable(&other.to_string()),
                };
                return Err(Setback::Next(ServerFailure::Lost { stage, detail }));
            }
            Ok(Ok(result)) => result,
        };
        let LdapResult { rc, text, .. } = result;
        if rc == 0 {
            return Ok(());
        }
        let why = BindRefusal::read(rc, &text);
        if why.lies_with_the_account() {
            return Err(Setback::Final(DirectoryError::Credentials { server: url.to_owned(), why }));
        }
        Err(Setback::Next(ServerFailure::Bind(why)))
    }
}

const CLOSED: &str = "the server closed the connection";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Security {
    Tls,
    StartTls,
    None,
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
            printable(&result.text)
        )),
        LdapError::UrlParsing { .. } | LdapError::UnknownScheme(_) => {
            return Setback::Final(DirectoryError::BadUrl(url.to_owned()));
        }
        // The library's words for it name its channels.
        LdapError::ResultRecv { .. } | LdapError::OpSend { .. } => ServerFailure::Connect(CLOSED.to_owned()),
        other => ServerFailure::Connect(printable(&other.to_string())),
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

    fn permitted(settings: &LdapSettings, url: &str) -> Result<Security, DirectoryError> {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let tls = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(rustls::RootCertStore::empty())
            .with_no_client_auth();
        Opener { settings, tls: Arc::new(tls) }.permitted(url)
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
    fn a_client_certificate_needs_tls_and_its_files() {
        let mut settings = settings();
        settings.bind = Bind::External { cert_file: None, key_file: None };
        assert!(matches!(permitted(&settings, "ldap://h"), Err(DirectoryError::External(_))));
        assert!(matches!(Opener::new(&settings), Err(DirectoryError::External(_))));
    }

    #[cfg(not(feature = "gssapi"))]
    #[test]
    fn kerberos_needs_its_feature() {
        let mut settings = settings();
        settings.bind = Bind::Gssapi;
        assert!(matches!(Opener::new(&settings), Err(DirectoryError::NoGssapi)));
    }

    #[test]
    fn urls_are_read() {
        assert_eq!(host("ldaps://dc1.corp.example"), Some("dc1.corp.example"));
        assert_eq!(host("ldap://127.0.0.1:3890/"), Some("127.0.0.1"));
        assert_eq!(host("ldaps://[::1]:636"), Some("[::1]"));
        for bad in ["http://x", "ldap://", "ldap://h:0", "ldap://h:x", "ldap://u@h", "ldap://h/dc=x", "dc1"] {
            assert_eq!(host(bad), None, "{bad}");
        }
    }
}
