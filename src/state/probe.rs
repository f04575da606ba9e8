//! Who stands between the program and its database: nobody in earnest, in a rehearsal somebody who makes operations fail
//! or ends the process between two of them.

use std::fmt;
use std::io;
use std::ops::Deref;
use std::sync::Arc;

use async_trait::async_trait;

/// One exchange with the database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    Begin,
    Read,
    Write,
    Commit,
}

/// Is asked before and after each operation. An error takes the place of the operation's own result, as if the connection
/// had broken: before it, nothing has been done; after it, it has, and nobody was told.
#[async_trait]
pub trait Probe: fmt::Debug + Send + Sync {
    async fn before(&self, operation: Operation) -> io::Result<()>;
    async fn after(&self, operation: Operation) -> io::Result<()>;
}

/// What to call a database in messages, and who watches it.
#[derive(Clone, Debug)]
pub(super) struct Place {
    name: Arc<str>,
    probe: Option<Arc<dyn Probe>>,
}

impl Place {
    pub fn is_watched(&self) -> bool {
        self.probe.is_some()
    }

    pub fn watched(self, probe: Arc<dyn Probe>) -> Self {
        Self { probe: Some(probe), ..self }
    }

    pub async fn before(&self, operation: Operation) -> sqlx::Result<()> {
        match &self.probe {
            Some(probe) => probe.before(operation).await.map_err(sqlx::Error::Io),
            None => Ok(()),
        }
    }

    pub async fn after(&self, operation: Operation) -> sqlx::Result<()> {
        match &self.probe {
            Some(probe) => probe.after(operation).await.map_err(sqlx::Error::Io),
            None => Ok(()),
        }
    }
}

impl From<String> for Place {
    fn from(name: String) -> Self {
        Self { name: name.into(), probe: None }
    }
}

impl Deref for Place {
    type Target = str;

    fn deref(&self) -> &str {
        &self.name
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}
