//! The lease: one process at a time works on an identity store.
//!
//! It cannot recall a request that is on its way. So a holder sends none when little of its lease is left, and
//! its successor looks up what has no outcome.

use std::fmt;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use super::db::{Row, Value, args};
use super::open::{Reader, State};
use super::{Result, StateError};
use crate::ids::IdentityStoreId;

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
const RELEASE: &str = "DELETE FROM leases
    WHERE identity_store_id = $1 AND host = $2 AND space = $3 AND pid = $4 AND start_ticks = $5";

/// A process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holder {
    pub host: String,
    /// The boot and the name space in which `pid` has a meaning: containers may share a host's name.
    pub space: String,
    pub pid: u32,
    /// When the process began, in ticks since boot: tells it from a later one of the same id.
    pub start: u64,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LeaseAnswer {
    /// Ours until then, if it is not renewed.
    Acquired {
        until: Timestamp,
    },
    HeldBy {
        holder: Holder,
        until: Timestamp,
    },
}

impl Holder {
    /// This process.
    pub fn current() -> Result<Self> {
        let pid = std::process::id();
        let read = |path: &str| {
            std::fs::read_to_string(path)
                .map(|text| text.trim().to_owned())
                .map_err(|source| StateError::File { what: "read", path: path.into(), source })
        };
        let stat = read(&format!("/proc/{pid}/stat"))?;
        let Some((_, start)) = parse_stat(&stat) else {
            let source = std::io::Error::from(std::io::ErrorKind::InvalidData);
            return Err(StateError::File {
                what: "understand",
                path: format!("/proc/{pid}/stat").into(),
                source,
            });
        };
        Ok(Self { host: read("/proc/sys/kernel/hostname")?, space: space(), pid, start })
    }

    /// As far as can be seen from here.
    pub fn has_ended(&self) -> bool {
        Self::current().is_ok_and(|here| self.is_gone(&here))
    }

    /// Whether the process has certainly ended. Of another host, boot or container this cannot be said.
    fn is_gone(&self, here: &Self) -> bool {
        if self.host != here.host || self.space != here.space || self.space.is_empty() {
            return false;
        }
        match std::fs::read_to_string(format!("/proc/{}/stat", self.pid)) {
            // A zombie does nothing any more.
            Ok(stat) => parse_stat(&stat)
                .is_some_and(|(state, start)| start != self.start || matches!(state, 'Z' | 'X')),
            Err(e) => e.kind() == std::io::ErrorKind::NotFound,
        }
    }

    fn values(&self) -> [Value<'_>; 4] {
        // Ticks since boot do not come near the limit.
        let start = i64::try_from(self.start).unwrap_or(i64::MAX);
        [
            Value::from(self.host.as_str()),
            Value::from(self.space.as_str()),
            Value::from(self.pid),
            Value::from(start),
        ]
    }
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "process {} on {}", self.pid, self.host)
    }
}

impl State {
    /// Takes the lease of `store` for `ttl`, if nobody has it, it has run out, or its holder was a process of
    /// this host that has ended.
    pub async fn acquire_lease(
        &self,
        store: &IdentityStoreId,
        holder: &Holder,
        now: Timestamp,
        ttl: Duration,
    ) -> Result<LeaseAnswer> {
        let until = after(now, ttl);
        let mut args = args![store.as_str()];
        args.extend(holder.values());
        args.extend(args![now, until]);
        // Round again only if the lease has changed hands in between.
        loop {
            if self.db.run(ACQUIRE, args.clone()).await? > 0 {
                return Ok(LeaseAnswer::Acquired { until });
            }
            let Some((other, held_until)) = self.lease(store).await? else { continue };
            if other.is_gone(&Holder::current()?) {
                let mut args = args.clone();
                args.extend(other.values());
                if self.db.run(TAKE_OVER, args).await? > 0 {
                    return Ok(LeaseAnswer::Acquired { until });
                }
                continue;
            }
            return Ok(LeaseAnswer::HeldBy { holder: other, until: held_until });
        }
    }

    /// Prolongs the lease; `false` where it is not ours any more, and nothing may be sent from now on.
    pub async fn renew_lease(
        &self,
        store: &IdentityStoreId,
        holder: &Holder,
        now: Timestamp,
        ttl: Duration,
    ) -> Result<bool> {
        let mut args = args![store.as_str()];
        args.extend(holder.values());
        args.push(Value::from(after(now, ttl)));
        Ok(self.db.run(RENEW, args).await? > 0)
    }

    /// Gives the lease back; nothing happens if it is not ours any more.
    pub async fn release_lease(&self, store: &IdentityStoreId, holder: &Holder) -> Result<()> {
        let mut args = args![store.as_str()];
        args.extend(holder.values());
        self.db.run(RELEASE, args).await?;
        Ok(())
    }
}

impl Reader {
    /// Who has or last had the lease of `store`, and until when.
    pub async fn lease(&self, store: &IdentityStoreId) -> Result<Option<(Holder, Timestamp)>> {
        self.db.fetch_one(HOLDER, args![store.as_str()], read).await
    }
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

/// Empty where either cannot be read; then no holder is ever taken for gone.
fn space() -> String {
    let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id");
    let pids = std::fs::read_link("/proc/self/ns/pid");
    match (boot, pids) {
        (Ok(boot), Ok(pids)) => format!("{} {}", boot.trim(), pids.display()),
        _ => String::new(),
    }
}

/// State and start time of /proc/PID/stat (proc(5)): the third and the 22nd field. The second, the command in
/// parentheses, may hold spaces and parentheses itself.
fn parse_stat(stat: &str) -> Option<(char, u64)> {
    let (_, rest) = stat.rsplit_once(')')?;
    let mut fields = rest.split_ascii_whitespace();
    let state = fields.next()?.chars().next()?;
    Some((state, fields.nth(18)?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_known_by_its_start() {
        let me = Holder::current().unwrap();
        assert!(!me.is_gone(&me));
        let earlier = Holder { start: me.start + 1, ..me.clone() };
        assert!(earlier.is_gone(&me));
        let elsewhere = Holder { host: "other".to_owned(), ..earlier.clone() };
        assert!(!elsewhere.is_gone(&me));
        let container = Holder { space: "another boot pid:[1]".to_owned(), ..earlier };
        assert!(!container.is_gone(&me));
    }

    #[test]
    fn a_process_that_has_ended_is_gone() {
        let me = Holder::current().unwrap();
        let mut child = std::process::Command::new("sleep").arg("60").spawn().unwrap();
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", child.id())).unwrap();
        let other = Holder { pid: child.id(), start: parse_stat(&stat).unwrap().1, ..me.clone() };
        assert!(!other.is_gone(&me));
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(other.is_gone(&me));
    }

    #[test]
    fn a_command_may_look_like_the_rest_of_the_line() {
        let stat = "42 (a) R 1) S 1 1 1 0 -1 0 0 0 0 0 1 2 3 4 20 0 1 0 98765 0 0";
        assert_eq!(parse_stat(stat), Some(('S', 98765)));
    }
}
