//! Stands before the state database: a SQLite file, and as real as in earnest.

use std::fmt;
use std::io;
use std::sync::Arc;

use async_trait::async_trait;
use idcsync::state::{Operation, Probe};

use super::hub::{Domain, Hub, Trouble};

pub struct Gatekeeper(pub Arc<Hub>);

impl fmt::Debug for Gatekeeper {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Gatekeeper")
    }
}

#[async_trait]
impl Probe for Gatekeeper {
    async fn before(&self, operation: Operation) -> io::Result<()> {
        match self.0.enter(Domain::State, || format!("{operation:?}")).await {
            Some(Trouble::Broken) => Err(io::Error::other("the database is away")),
            Some(Trouble::Untold) if operation != Operation::Commit => {
                Err(io::Error::other("the database is away"))
            }
            trouble => {
                self.0.occupy();
                self.0.lock().after = trouble;
                Ok(())
            }
        }
    }

    async fn after(&self, operation: Operation) -> io::Result<()> {
        self.0.free();
        let trouble = self.0.lock().after.take();
        match trouble {
            Some(Trouble::Crash { after: true }) => self.0.die().await,
            Some(Trouble::Untold) if operation == Operation::Commit => {
                Err(io::Error::other("the connection broke"))
            }
            _ => Ok(()),
        }
    }
}
