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

impl Gatekeeper {
    /// A transaction that was begun ends here.
    fn away(&self, operation: Operation) -> io::Error {
        if operation != Operation::Begin {
            self.0.free();
        }
        io::Error::other("the database is away")
    }
}

/// The database works on another thread, for as long as it happens to take: until a transaction has ended nothing else
/// goes on, so that the order of what happens does not depend on that.
#[async_trait]
impl Probe for Gatekeeper {
    async fn before(&self, operation: Operation) -> io::Result<()> {
        match self.0.enter(Domain::State, || format!("{operation:?}")).await {
            Some(Trouble::Broken) => Err(self.away(operation)),
            Some(Trouble::Untold) if operation != Operation::Commit => Err(self.away(operation)),
            trouble => {
                if operation == Operation::Begin {
                    self.0.occupy();
                }
                self.0.lock().after = trouble;
                Ok(())
            }
        }
    }

    async fn after(&self, operation: Operation) -> io::Result<()> {
        if operation == Operation::Commit {
            self.0.free();
        }
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
