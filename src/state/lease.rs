//! The lease: one process at a time works on an identity store.
//!
//! It cannot recall a request that is on its way. So a holder sends none when little of its lease is left, and
//! its successor looks up what has no outcome.
//!
//! Times in the table are the database's own, so that no other machine's clock decides who may work. A holder counts by
//! its monotonic clock, from before it asked: it never believes to hold the lease for longer than the table says.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use tokio::time::Instant;

use super::db::{Row, Tx, Value, args};
use super::open::{Reader, State};
use super::{Holder, Result, StateError};
use crate::deadline::LeaseDeadline;
use crate::ids::IdentityStoreId;

/// How long a lease lasts if its holder falls silent. Long enough for a database to be started again meanwhile; short
/// enough that somebody else goes on within a minute.
pub const LEASE_TTL: Duration = Duration::from_secs(45);

/// In one statement, so that of two who try at once, one wins on either engine. The holder gets it again.
const ACQUIRE: &str = "INSERT INTO leases
        (identity_store_id, host, space, pid, start_ticks, acquired_at, held_until)
    VALUES ($1, $2, $3, $4, $5, $6, $7)
    ON CONFLICT (identity_store_id) DO UPDATE SET host = excluded.host, space = excluded.space,
        pid = excluded.pid, start_ticks = excluded.start_ticks, acquired_at = excluded.acquired_at,
        held_until = excluded.held_until
    WHERE leases.held_until <= excluded.acquired_at
        OR (leases.host = excluded.host AND leases.space = excluded.space AND leases.pid = excluded.pid
            AND leases.start_ticks = excluded.start_ticks)";
const HOLDER: &str =
    "SELECT host, space, pid, start_ticks, held_until FROM leases WHERE identity_store_id = $1";
/// From a holder that is gone; nothing happens if somebody else was faster.
const TAKE_OVER: &str =
    "UPDATE leases SET host = $2, space = $3, pid = $4, start_ticks = $5, acquired_at = $6,
        held_until = $7
    WHERE identity_store_id = $1 AND host = $8 AND space = $9 AND pid = $10 AND start_ticks = $11";
const RENEW: &str = "UPDATE leases SET held_until = $6
    WHERE identity_store_id = $1 AND host = $2 AND space = $3 AND pid = $4 AND start_ticks = $5";
/// Changes nothing and locks the row, so that nobody takes the lease before this transaction has ended.
const FENCE: &str = "UPDATE leases SET held_until = held_until
    WHERE identity_store_id = $1 AND host = $2 AND space = $3 AND pid = $4 AND start_ticks = $5";
const RELEASE: &str = "DELETE FROM leases
    WHERE identity_store_id = $1 AND host = $2 AND space = $3 AND pid = $4 AND start_ticks = $5";

/// A lease that was ours when it was got. Clones are of the same lease.
#[derive(Clone, Debug)]
pub struct Lease {
    store: IdentityStoreId,
    holder: Holder,
    ttl: Duration,
    deadline: LeaseDeadline,
}

#[derive(Clone, Debug)]
pub enum LeaseAnswer {
    Acquired(Lease),
    /// Until then by the database's clock, if it is not renewed.
    HeldBy {
        holder: Holder,
        until: Timestamp,
    },
}

impl Lease {
    /// For whoever sends requests under it.
    pub fn deadline(&self) -> LeaseDeadline {
        self.deadline.clone()
    }

    pub fn remaining(&self) -> Duration {
        self.deadline.remaining()
    }

    fn new(store: &IdentityStoreId, holder: &Holder, begun: Instant, ttl: Duration) -> Self {
        let deadline = LeaseDeadline::new(begun + ttl);
        Self { store: store.clone(), holder: holder.clone(), ttl, deadline }
    }

    fn args(&self) -> Vec<Value<'_>> {
        args_of(&self.store, &self.holder)
    }
}

impl State {
    /// Takes the lease of `store` for `ttl`, if nobody has it, it has run out, or its holder was a process of
    /// this host that has ended. From then on, intents are only taken while it is ours.
    pub async fn acquire_lease(
        &self,
        store: &IdentityStoreId,
        holder: &Holder,
        ttl: Duration,
    ) -> Result<LeaseAnswer> {
        // Round again only if the lease has changed hands in between.
        loop {
            let begun = Instant::now();
            let mut tx = self.db.begin().await?;
            let now = tx.now().await?;
            let mut args = args_of(store, holder);
            args.extend(args![now, after(now, ttl)]);
            let mut ours = tx.run(ACQUIRE, args.clone()).await? > 0;
            if !ours {
                let found = tx.fetch_one(HOLDER, args![store.as_str()], read).await?;
                match found {
                    Some((other, until)) if !other.is_gone(&Holder::current()?) => {
                        tx.commit().await?;
                        return Ok(LeaseAnswer::HeldBy { holder: other, until });
                    }
                    Some((gone, _)) => {
                        args.extend(gone.values());
                        ours = tx.run(TAKE_OVER, args).await? > 0;
                    }
                    None => {}
                }
            }
            tx.commit().await?;
            if ours {
                let lease = Lease::new(store, holder, begun, ttl);
                self.remember_lease(&lease);
                return Ok(LeaseAnswer::Acquired(lease));
            }
        }
    }

    /// Prolongs the lease by its whole time from now; `false` where it is not ours any more, and nothing may be sent from
    /// now on. After an error it is ours for as long as it was before.
    pub async fn renew_lease(&self, lease: &Lease) -> Result<bool> {
        let begun = Instant::now();
        let mut tx = self.db.begin().await?;
        let now = tx.now().await?;
        let mut args = lease.args();
        args.push(Value::from(after(now, lease.ttl)));
        let ours = tx.run(RENEW, args).await? > 0;
        if ours {
            tx.commit().await?;
            lease.deadline.extend(begun + lease.ttl);
        } else {
            lease.deadline.end();
        }
        Ok(ours)
    }

    /// Gives the lease back; nothing happens if it is not ours any more.
    pub async fn release_lease(&self, lease: &Lease) -> Result<()> {
        lease.deadline.end();
        self.forget_lease();
        self.db.run(RELEASE, lease.args()).await?;
        Ok(())
    }

    /// That the lease is ours still, before more is concluded from what was done under it.
    pub async fn make_sure_of_lease(&self) -> Result<()> {
        let mut tx = self.db.begin().await?;
        self.fence(&mut tx).await?;
        tx.commit().await
    }

    /// That the lease is ours until this transaction has ended, where this state has ever acquired one.
    pub(super) async fn fence(&self, tx: &mut Tx) -> Result<()> {
        let Some(lease) = self.remembered_lease() else { return Ok(()) };
        if !lease.deadline.is_over() {
            if tx.run(FENCE, lease.args()).await? > 0 {
                return Ok(());
            }
            lease.deadline.end();
        }
        Err(StateError::LeaseLost { store: lease.store })
    }
}

impl Reader {
    /// Who has or last had the lease of `store`, and until when.
    pub async fn lease(&self, store: &IdentityStoreId) -> Result<Option<(Holder, Timestamp)>> {
        self.db.fetch_one(HOLDER, args![store.as_str()], read).await
    }
}

impl Reader {
    /// Who has the lease of `store` now, by the database's clock.
    pub async fn lease_in_force(&self, store: &IdentityStoreId) -> Result<Option<(Holder, Timestamp)>> {
        let mut tx = self.db.begin_read().await?;
        let now = tx.now().await?;
        let found = tx.fetch_one(HOLDER, args![store.as_str()], read).await?;
        tx.commit().await?;
        Ok(found.filter(|(_, until)| *until > now))
    }
}

fn args_of<'a>(store: &'a IdentityStoreId, holder: &'a Holder) -> Vec<Value<'a>> {
    let mut args = args![store.as_str()];
    args.extend(holder.values());
    args
}

fn read(row: &mut Row) -> Result<(Holder, Timestamp)> {
    let holder = Holder {
        host: row.next()?,
        space: row.next()?,
        pid: row.number("leases.pid")?,
        start: row.number("leases.start_ticks")?,
    };
    Ok((holder, row.time("leases.held_until")?))
}

fn after(now: Timestamp, ttl: Duration) -> Timestamp {
    SignedDuration::try_from(ttl).ok().and_then(|ttl| now.checked_add(ttl).ok()).unwrap_or(Timestamp::MAX)
}
