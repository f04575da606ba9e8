//! What makes a read impossible as a whole. Anything less is marked in the snapshot.

use std::path::PathBuf;
use std::time::Duration;

use crate::ids::Dn;
use crate::model::Code;
use crate::printable::brief;
use crate::secret::SecretError;

use super::ldif::LdifError;

type Source = Box<dyn std::error::Error + Send + Sync>;

#[derive(Debug, thiserror::Error)]
pub enum DirectoryError {
    /// The bind was refused for reasons that lie with the account. Other servers are not tried: each try
    /// would count towards a lockout.
    #[error("{server} refused the bind: {why}")]
    Credentials { server: String, why: BindRefusal },
    #[error("the directory's password cannot be read")]
    Secret(#[source] SecretError),
    #[error("no directory server could be used: {}", list(.0))]
    NoServer(Vec<Attempt>),
    #[error("the servers of {domain} cannot be found through DNS (_ldap._tcp.{domain})")]
    Discovery { domain: String, source: Source },
    #[error("DNS has no SRV records for _ldap._tcp.{0}; name the servers with `urls`")]
    NothingDiscovered(String),
    #[error(
        "{0} would carry a password in the clear, which is refused; use ldaps://, `starttls = true`, or \
         `allow-plaintext = true` if the network is trusted"
    )]
    Plaintext(String),
    #[error(
        "`{0}` is not a url of an LDAP server; it must be ldaps://host or ldap://host, with an optional port"
    )]
    BadUrl(String),
    #[error("{what} {} cannot be used", path.display())]
    Pem { what: &'static str, path: PathBuf, source: Source },
    #[error("no CA certificates could be loaded from the system; name a file with `ca-file`")]
    NoSystemRoots,
    #[error("the TLS settings cannot be used")]
    TlsSettings(#[source] Source),
    #[error("SASL EXTERNAL needs a client certificate over TLS: {0}")]
    External(&'static str),
    #[error(
        "this build of idcsync has no Kerberos support; use a build with the `gssapi` feature, or a simple bind"
    )]
    NoGssapi,
    #[error("the base DN {base} does not exist on {server}, or the bind account may not see it")]
    BaseMissing { base: Dn, server: String },
    #[error("the user filter {filter} is not valid: {why}")]
    UserFilter { filter: String, why: String },
    #[error("the server keeps no log of changes that could be followed")]
    NoChangeLog,
    #[error("the LDIF file {} cannot be read", path.display())]
    Ldif { path: PathBuf, source: LdifError },
}

impl DirectoryError {
    /// The finding that stands for this error.
    pub fn code(&self) -> Code {
        match self {
            Self::Credentials { .. } | Self::Secret(_) => Code::InvalidDirectoryCredentials,
            _ => Code::DirectoryUnavailable,
        }
    }

    /// The account was refused, or there is none: each try counts towards a lockout.
    pub fn is_of_the_account(&self) -> bool {
        self.code() == Code::InvalidDirectoryCredentials
    }

    /// Whether it is the config that has to be corrected, whatever the servers do.
    pub fn lies_with_the_config(&self) -> bool {
        matches!(
            self,
            Self::Secret(_)
                | Self::Plaintext(_)
                | Self::BadUrl(_)
                | Self::Pem { .. }
                | Self::TlsSettings(_)
                | Self::External(_)
                | Self::NoGssapi
                | Self::UserFilter { .. }
        )
    }

    /// The servers that were tried, in order.
    pub fn attempts(&self) -> &[Attempt] {
        match self {
            Self::NoServer(attempts) => attempts,
            _ => &[],
        }
    }
}

/// One server that was tried in vain.
#[derive(Debug, thiserror::Error)]
#[error("{server}: {why}")]
pub struct Attempt {
    pub server: String,
    pub why: ServerFailure,
}

fn list(attempts: &[Attempt]) -> String {
    if attempts.is_empty() {
        return "none is configured".to_owned();
    }
    attempts.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
}

#[derive(Debug, thiserror::Error)]
pub enum ServerFailure {
    #[error("cannot connect ({0})")]
    Connect(String),
    #[error("TLS failed: {0}")]
    Tls(String),
    #[error("no answer within {}s while {stage}", limit.as_secs_f32())]
    Timeout { stage: &'static str, limit: Duration },
    #[error("the bind was refused: {0}")]
    Bind(BindRefusal),
    #[error("the connection was lost while {stage} ({detail})")]
    Lost { stage: &'static str, detail: String },
    #[error("{stage} failed with result code {code}{}{text}", if text.is_empty() { "" } else { ": " })]
    Refused { stage: &'static str, code: u32, text: String },
}

/// Why a bind was refused, with what to do about it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BindRefusal {
    #[error("the name or the password is wrong; check `bind`")]
    WrongPassword,
    #[error("there is no such account; check the DN or name in `bind`")]
    NoSuchAccount,
    #[error("the account may not sign in at this time or from this computer; lift the restriction")]
    Restricted,
    #[error(
        "the account may not sign in to a domain controller over the network; give it the right \"Access this computer \
         from the network\" there, or take it out of \"Deny access to this computer from the network\""
    )]
    NotGranted,
    #[error(
        "the account's kind of sign-in is restricted (an empty password, or a smart card that it must use); use an account that may bind with a password"
    )]
    AccountRestriction,
    #[error(
        "the account is in too many groups for the server to sign it in; use one of its own, in as few as it needs"
    )]
    TooManyGroups,
    #[error("the password of the account has expired; set a new one, best one that does not expire")]
    PasswordExpired,
    #[error("the account is disabled; enable it")]
    Disabled,
    #[error("the account has expired; extend it")]
    AccountExpired,
    #[error("the account must change its password first; set one without that flag")]
    MustChangePassword,
    #[error("the account is locked; unlock it, and find out who uses an old password")]
    Locked,
    #[error("the server demands TLS or signing; use ldaps:// or `starttls = true`")]
    NeedsTls,
    #[error(
        "the server demands a channel binding that this bind did not bring: reach it by its own certificate, without \
         anything that ends TLS in between"
    )]
    ChannelBinding,
    #[error("the server does not offer this way to bind ({0}); try another one in `bind`")]
    Method(String),
    #[error(
        "the server does not accept the account, and says: {0}; look up the number after `data` (a Win32 error code)"
    )]
    Unknown(String),
    #[error("result code {code}{}{text}", if text.is_empty() { "" } else { ": " })]
    Other { code: u32, text: String },
}

impl BindRefusal {
    /// From a bind's result code and diagnostic message (RFC 4511 appendix A.2; the `data` codes are those of
    /// Active Directory, which are Win32 error codes in hexadecimal).
    pub fn read(code: u32, text: &str) -> Self {
        let data = text.split_once("data ").and_then(|(_, after)| after.split([',', ' ']).next());
        match (code, data.map(str::to_ascii_lowercase).as_deref()) {
            (49, Some("525")) => Self::NoSuchAccount,
            (49, Some("52e" | "52d")) => Self::WrongPassword,
            (49, Some("52f")) => Self::AccountRestriction,
            (49, Some("530" | "531")) => Self::Restricted,
            (49, Some("532")) => Self::PasswordExpired,
            (49, Some("533")) => Self::Disabled,
            (49, Some("534" | "569")) => Self::NotGranted,
            (49, Some("568")) => Self::TooManyGroups,
            (49, Some("701")) => Self::AccountExpired,
            (49, Some("773")) => Self::MustChangePassword,
            (49, Some("775")) => Self::Locked,
            // SEC_E_BAD_BINDINGS, where LdapEnforceChannelBinding is on. Not tried elsewhere all the same:
            // to the server it is a failed sign-in.
            (49, Some("80090346")) => Self::ChannelBinding,
            // A number that nobody has told us of: the server's own words are better than a guess.
            (49, Some(_)) => Self::Unknown(brief(text)),
            (49, _) => Self::WrongPassword,
            // Some servers tell a missing entry or a missing password apart from a wrong one.
            (32 | 34, _) => Self::NoSuchAccount,
            (8 | 13, _) => Self::NeedsTls,
            (7, _) => Self::Method(brief(text)),
            (48, _) => Self::Method("the account has no password that fits".to_owned()),
            (19, _) if text.to_lowercase().contains("lock") => Self::Locked,
            _ => Self::Other { code, text: brief(text) },
        }
    }

    /// Whether another server of the same directory would say the same.
    pub fn lies_with_the_account(&self) -> bool {
        !matches!(self, Self::NeedsTls | Self::Method(_) | Self::Other { .. })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_of_active_directory_are_put_into_words() {
        let text = |data| {
            format!(
                "80090308: LdapErr: DSID-0C09042A, comment: AcceptSecurityContext error, data {data}, v3839\0"
            )
        };
        assert_eq!(BindRefusal::read(49, &text("52e")), BindRefusal::WrongPassword);
        assert_eq!(BindRefusal::read(49, &text("532")), BindRefusal::PasswordExpired);
        assert_eq!(BindRefusal::read(49, &text("533")), BindRefusal::Disabled);
        assert_eq!(BindRefusal::read(49, &text("701")), BindRefusal::AccountExpired);
        assert_eq!(BindRefusal::read(49, &text("773")), BindRefusal::MustChangePassword);
        assert_eq!(BindRefusal::read(49, &text("775")), BindRefusal::Locked);
        let unbound = BindRefusal::read(49, &text("80090346"));
        assert!(unbound == BindRefusal::ChannelBinding && unbound.lies_with_the_account());
        assert_eq!(BindRefusal::read(49, &text("52f")), BindRefusal::AccountRestriction);
        assert_eq!(BindRefusal::read(49, &text("569")), BindRefusal::NotGranted);
        assert_eq!(BindRefusal::read(49, &text("568")), BindRefusal::TooManyGroups);
        let unknown = BindRefusal::read(49, &text("6ff"));
        assert!(unknown.to_string().contains("data 6ff") && unknown.lies_with_the_account(), "{unknown}");
        assert_eq!(BindRefusal::read(49, ""), BindRefusal::WrongPassword);
        assert_eq!(BindRefusal::read(8, "stronger"), BindRefusal::NeedsTls);
        assert!(BindRefusal::read(49, "").lies_with_the_account());
        assert!(!BindRefusal::read(51, "busy").lies_with_the_account());
    }

    #[test]
    fn every_server_that_was_tried_is_named() {
        let error = DirectoryError::NoServer(vec![
            Attempt { server: "ldaps://a".to_owned(), why: ServerFailure::Connect("refused".to_owned()) },
            Attempt {
                server: "ldaps://b".to_owned(),
                why: ServerFailure::Timeout { stage: "binding", limit: Duration::from_secs(30) },
            },
        ]);
        let text = error.to_string();
        assert!(text.contains("ldaps://a: cannot connect (refused)"), "{text}");
        assert!(text.contains("ldaps://b: no answer within 30s while binding"), "{text}");
        assert_eq!(error.code(), Code::DirectoryUnavailable);
    }
}
