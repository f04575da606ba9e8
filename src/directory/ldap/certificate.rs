//! What the certificates say that a server shows: for whom, by whom, until when. Whether they are to be trusted is
//! for `tls`.

use std::net::IpAddr;

use jiff::Timestamp;
use rustls::pki_types::CertificateDer;
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::FromDer as _;
use x509_parser::x509::X509Name;

/// Names of a certificate that are told.
const NAMES: usize = 4;

/// A chain as it was shown, the server's own first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::directory) struct Chain {
    pub subject: String,
    pub issuer: String,
    /// DNS names and addresses that it is for.
    pub names: Vec<String>,
    pub not_before: Timestamp,
    /// When the first of the chain ends, and which one that is.
    pub ends: (Timestamp, String),
    pub length: usize,
}

impl Chain {
    /// `None` where the first one cannot be decoded.
    pub(super) fn read(shown: &[CertificateDer<'_>]) -> Option<Self> {
        let decoded = |der| X509Certificate::from_der(der).ok().map(|(_, certificate)| certificate);
        let first = decoded(shown.first()?.as_ref())?;
        let names = first.subject_alternative_name().ok().flatten();
        let names = names.iter().flat_map(|list| &list.value.general_names).filter_map(name).collect();
        let not_before = Timestamp::from_second(first.validity().not_before.timestamp()).ok()?;
        let ends = shown.iter().filter_map(|one| {
            let certificate = decoded(one.as_ref())?;
            let at = Timestamp::from_second(certificate.validity().not_after.timestamp()).ok()?;
            Some((at, called(certificate.subject())))
        });
        Some(Self {
            subject: called(first.subject()),
            issuer: called(first.issuer()),
            names,
            not_before,
            ends: ends.min_by_key(|(at, _)| *at)?,
            length: shown.len(),
        })
    }

    /// `for dc1.example.com, issued by Corp CA`
    pub fn told(&self) -> String {
        let mut names = self.names.iter().take(NAMES).cloned().collect::<Vec<_>>().join(", ");
        if names.is_empty() {
            names = format!("{} (without alternative names)", self.subject);
        }
        if self.names.len() > NAMES {
            names.push_str(&format!(" and {} more", self.names.len() - NAMES));
        }
        format!("for {names}, issued by {}", self.issuer)
    }
}

fn called(name: &X509Name<'_>) -> String {
    let common = name.iter_common_name().find_map(|part| part.as_str().ok());
    common.map_or_else(|| name.to_string(), str::to_owned)
}

fn name(name: &GeneralName<'_>) -> Option<String> {
    match name {
        GeneralName::DNSName(name) => Some((*name).to_owned()),
        GeneralName::IPAddress(bytes) => match *bytes {
            [a, b, c, d] => Some(IpAddr::from([*a, *b, *c, *d]).to_string()),
            other => <[u8; 16]>::try_from(other).ok().map(|bytes| IpAddr::from(bytes).to_string()),
        },
        _ => None,
    }
}
