//! The source: Active Directory or another LDAP server, or an LDIF export of one. Yields a [`Snapshot`] in
//! which each part says whether it was read to its end.

mod settings;

use async_trait::async_trait;

use crate::model::{ReadRequest, Snapshot};

pub use settings::{Bind, DirectorySettings, LdapSettings, LdifSettings, Servers};

/// A directory that one cycle reads once.
#[async_trait]
pub trait Directory: Send + Sync {
    /// Reads all that the request's entries reach, from one server. Short reads are not errors: they are marked
    /// in the snapshot. An error means that nothing could be read at all (no server reached, bind refused).
    async fn read(&self, request: &ReadRequest) -> Result<Snapshot, DirectoryError>;
}

#[derive(Debug, thiserror::Error)]
pub enum DirectoryError {}
