//! TLS for the directory: rustls with aws-lc-rs, TLS 1.2 and 1.3, names always verified.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};

use crate::directory::DirectoryError;
use crate::directory::settings::{Bind, LdapSettings};

/// `witness` is shown what a server shows.
pub(super) fn config(
    settings: &LdapSettings,
    witness: Option<&Witness>,
) -> Result<Arc<ClientConfig>, DirectoryError> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let roots = roots(settings.ca_file.as_deref())?;
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(|source| DirectoryError::TlsSettings(source.into()))?;
    let builder = match witness {
        None => builder.with_root_certificates(roots),
        Some(witness) => {
            let judge = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider)
                .build()
                .map_err(|source| DirectoryError::TlsSettings(source.into()))?;
            let verifier = Witnessed { judge, witness: witness.clone() };
            builder.dangerous().with_custom_certificate_verifier(Arc::new(verifier))
        }
    };
    let config = match &settings.bind {
        Bind::External { cert_file: Some(cert), key_file: Some(key) } => {
            let chain = certificates("the client certificate", cert)?;
            let key = PrivateKeyDer::from_pem_file(key)
                .map_err(|source| pem("the key of the client certificate", key, source))?;
            builder
                .with_client_auth_cert(chain, key)
                .map_err(|source| DirectoryError::TlsSettings(source.into()))?
        }
        _ => builder.with_no_client_auth(),
    };
    Ok(Arc::new(config))
}

/// The certificates that a server has shown last, whether they were accepted or not.
#[derive(Clone, Debug, Default)]
pub(super) struct Witness(Arc<Mutex<Option<Vec<CertificateDer<'static>>>>>);

impl Witness {
    /// Once.
    pub fn take(&self) -> Option<Vec<CertificateDer<'static>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

/// Judges as rustls does by itself, with somebody who looks on.
#[derive(Debug)]
struct Witnessed {
    judge: Arc<WebPkiServerVerifier>,
    witness: Witness,
}

impl ServerCertVerifier for Witnessed {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let chain =
            std::iter::once(end_entity).chain(intermediates).map(|c| c.clone().into_owned()).collect();
        *self.witness.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(chain);
        self.judge.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.judge.verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.judge.verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.judge.supported_verify_schemes()
    }
}

fn roots(ca_file: Option<&Path>) -> Result<RootCertStore, DirectoryError> {
    let mut store = RootCertStore::empty();
    match ca_file {
        Some(path) => {
            for certificate in certificates("the CA file", path)? {
                store.add(certificate).map_err(|source| pem("the CA file", path, source))?;
            }
        }
        None => {
            // Single files that do not parse are common in system stores, and no reason to trust none.
            store.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
            if store.is_empty() {
                return Err(DirectoryError::NoSystemRoots);
            }
        }
    }
    Ok(store)
}

fn certificates(what: &'static str, path: &Path) -> Result<Vec<CertificateDer<'static>>, DirectoryError> {
    let list = CertificateDer::pem_file_iter(path)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(|source| pem(what, path, source))?;
    if list.is_empty() {
        return Err(pem(what, path, "it holds no certificate in PEM form"));
    }
    Ok(list)
}

fn pem(
    what: &'static str,
    path: &Path,
    source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
) -> DirectoryError {
    DirectoryError::Pem { what, path: path.to_owned(), source: source.into() }
}

/// A TLS failure, with what to do about it. `None` where the error is not one of TLS.
pub(super) fn words(error: &std::io::Error) -> Option<String> {
    let inner = error.get_ref()?;
    match inner.downcast_ref::<rustls::Error>() {
        Some(error) => Some(explain(error)),
        // The library's words for an end in the middle of the handshake.
        None if error.kind() == std::io::ErrorKind::UnexpectedEof => Some(
            "the server ended the connection in the handshake; is this the port of LDAPS (636), or is `starttls` meant?"
                .to_owned(),
        ),
        None => None,
    }
}

pub(super) fn explain(error: &rustls::Error) -> String {
    match error {
        rustls::Error::InvalidCertificate(why) => match why {
            CertificateError::UnknownIssuer => {
                "the server's certificate is signed by a CA that is not trusted; name that CA's file with `ca-file`"
                    .to_owned()
            }
            // As after a CA was renewed: of the same name, with another key.
            CertificateError::BadSignature => {
                "the server's certificate bears the name of a CA that is trusted, and not its signature: was the CA renewed? \
                 Put its present certificate into the file that `ca-file` names"
                    .to_owned()
            }
            CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
                "the server's certificate has expired; renew it (or set this machine's clock)".to_owned()
            }
            CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
                "the server's certificate is not valid yet; is this machine's clock right?".to_owned()
            }
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
                format!(
                    "{error}: the server's certificate is not for the name in the url; use the name that it is \
                     issued to"
                )
            }
            CertificateError::Revoked => "the server's certificate has been revoked".to_owned(),
            _ => format!("the server's certificate is not acceptable ({error})"),
        },
        rustls::Error::AlertReceived(alert) => {
            format!("the server ended the handshake ({alert:?}); does it speak TLS 1.2, or want a client certificate?")
        }
        rustls::Error::InvalidMessage(_) => {
            "the answer is not TLS; is this the port of LDAPS (636), or is `starttls` meant?".to_owned()
        }
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::ids::Dn;
    use crate::model::DirectoryKind;

    #[test]
    fn a_ca_file_that_holds_no_certificate_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("ca.pem");
        std::fs::write(&path, "nothing").unwrap();
        let settings = LdapSettings {
            kind: DirectoryKind::Ldap,
            servers: crate::directory::Servers::Urls(Vec::new()),
            base_dn: Dn::parse("dc=x").unwrap(),
            bind: Bind::Gssapi,
            ca_file: Some(path.clone()),
            starttls: false,
            allow_plaintext: false,
            page_size: 1000,
            timeout: Duration::from_secs(1),
        };
        let error = config(&settings, None).unwrap_err();
        assert!(error.to_string().contains("ca.pem"), "{error}");
        std::fs::remove_file(&path).unwrap();
        assert!(matches!(config(&settings, None), Err(DirectoryError::Pem { .. })));
    }
}
