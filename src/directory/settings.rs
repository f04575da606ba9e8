//! How a directory is reached: plain data, made by `config`.

use std::path::PathBuf;
use std::time::Duration;

use crate::ids::Dn;
use crate::model::DirectoryKind;
use crate::secret::SecretSource;

#[derive(Clone, Debug)]
pub enum DirectorySettings {
    Ldap(LdapSettings),
    Ldif(LdifSettings),
}

#[derive(Clone, Debug)]
pub struct LdapSettings {
    pub kind: DirectoryKind,
    pub servers: Servers,
    pub base_dn: Dn,
    pub bind: Bind,
    /// PEM file with the CAs to trust; the system's where absent.
    pub ca_file: Option<PathBuf>,
    /// For `ldap://` urls.
    pub starttls: bool,
    /// Lets a password travel over `ldap://` without StartTLS.
    pub allow_plaintext: bool,
    /// Entries a page (RFC 2696).
    pub page_size: u32,
    /// For every single operation: connect, bind, each page.
    pub timeout: Duration,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Servers {
    /// `ldap://` or `ldaps://` urls, tried in turn.
    Urls(Vec<String>),
    /// A DNS domain whose `_ldap._tcp` SRV records (RFC 2782) name the servers.
    Discover(String),
}

#[derive(Clone, Debug)]
pub enum Bind {
    Simple {
        dn: String,
        password: SecretSource,
    },
    /// SASL EXTERNAL with a client certificate and its key, both PEM.
    External {
        cert_file: Option<PathBuf>,
        key_file: Option<PathBuf>,
    },
    /// Kerberos, from the credentials cache of the process.
    Gssapi,
}

impl Bind {
    /// With a password that is in a file.
    pub fn with_file(dn: impl Into<String>, password: PathBuf) -> Self {
        Self::Simple { dn: dn.into(), password: SecretSource::File(password) }
    }
}

#[derive(Clone, Debug)]
pub struct LdifSettings {
    pub file: PathBuf,
    pub base_dn: Dn,
    /// Which attributes the export carries: those of Active Directory, or of another server.
    pub kind: DirectoryKind,
}
