//! Directories over LDAP: connect and bind (`connect`, `tls`, `discover`), what the server says of itself (`facts`),
//! single requests with their result codes (`session`), whole searches (`search`).

mod connect;
mod discover;
mod facts;
mod search;
mod session;
mod tls;

use async_trait::async_trait;
use tracing::{info, warn};

pub(super) use self::connect::{Opened, Opener, Setback};
pub(super) use self::search::LdapReader;
use super::error::{Attempt, ServerFailure};
use super::settings::{LdapSettings, Servers};
use super::{Directory, DirectoryError, checked, walk};
use crate::model::{Fate, FateRequest, Fates, NameForm, ReadRequest, Shortfall, ShortfallKind, Snapshot};

pub struct LdapDirectory {
    settings: LdapSettings,
}

impl LdapDirectory {
    pub fn new(settings: LdapSettings) -> Self {
        Self { settings }
    }
}

#[async_trait]
impl Directory for LdapDirectory {
    async fn read(&self, request: &ReadRequest) -> Result<Snapshot, DirectoryError> {
        checked(request)?;
        let opener = Opener::new(&self.settings)?;
        let mut attempts: Vec<Attempt> = Vec::new();
        for url in servers(&self.settings).await? {
            let reader = match opener.open(&url, names_a_domain(request)).await {
                Ok(Opened { reader, .. }) => reader,
                Err(Setback::Next(why)) => {
                    info!(server = url, %why, "this server cannot be used");
                    attempts.push(Attempt { server: url, why });
                    continue;
                }
                Err(Setback::Final(error)) => return Err(error),
            };
            let snapshot = Box::pin(walk::read(&reader, request)).await;
            // One snapshot comes from one server: once it has shown anything, another one would be a second opinion.
            if let Some(fault) = reader.lost_before_anything_came() {
                warn!(server = url, fault.detail, "the server was lost before it showed anything");
                attempts.push(Attempt { server: url, why: failure(&fault, &self.settings) });
                continue;
            }
            reader.close().await;
            return Ok(snapshot);
        }
        Err(DirectoryError::NoServer(attempts))
    }

    async fn fates(&self, request: &FateRequest) -> Result<Fates, DirectoryError> {
        let unread = Shortfall {
            kind: ShortfallKind::Timeout,
            what: "looking up by anchor".to_owned(),
            detail: "not asked".to_owned(),
        };
        let of = request.objects.keys().map(|anchor| (*anchor, Fate::Unread(unread.clone()))).collect();
        Ok(Fates { of, ..Fates::default() })
    }
}

fn failure(fault: &super::reader::Fault, settings: &LdapSettings) -> ServerFailure {
    let stage = "searching";
    match fault.kind {
        ShortfallKind::Timeout => ServerFailure::Timeout { stage, limit: settings.timeout },
        _ => ServerFailure::Lost { stage, detail: fault.detail.clone() },
    }
}

/// The urls to try, in turn.
pub(super) async fn servers(settings: &LdapSettings) -> Result<Vec<String>, DirectoryError> {
    match &settings.servers {
        Servers::Urls(urls) => Ok(urls.clone()),
        Servers::Discover(domain) => discover::discover(domain, settings).await,
    }
}

/// Whether the NetBIOS name of the domain is needed.
pub(super) fn names_a_domain(request: &ReadRequest) -> bool {
    request.wanted.entries.iter().any(|e| matches!(e.form(), NameForm::Domain { .. }))
}
