//! What belongs to the profile as a whole: binding, pins, pause, and what a read of the directory has shown.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::db::{Pool, Row, Tx, Value, args};
use super::open::{Reader, State};
use super::words::Word;
use super::{Result, StateError, mirror};
use crate::ids::{CycleId, IdentityStoreId};
use crate::model::{Binding, ChangeCookie, Kind, Link, MirrorChange, Pin, RenameSupport};

const PROFILE: &str =
    "SELECT directory, identity_store_id, last_complete_read, last_cycle_at, rename_support,
        last_server, last_read_at, last_full_at, change_server, change_cookie
    FROM profiles WHERE id = $1";
const BIND: &str = "UPDATE profiles SET directory = $2, identity_store_id = $3, bound_at = $4
    WHERE id = $1 AND directory IS NULL";
/// To something else than before, where someone asked for it.
const REBIND: &str =
    "UPDATE profiles SET directory = $2, identity_store_id = $3, bound_at = $4 WHERE id = $1";
const BINDING: &str = "SELECT directory, identity_store_id FROM profiles WHERE id = $1";
const COMPLETE_READ: &str = "UPDATE profiles SET last_complete_read = $2 WHERE id = $1";
const LAST_SERVER: &str = "UPDATE profiles SET last_server = $2 WHERE id = $1";
const LAST_CYCLE: &str = "UPDATE profiles SET last_cycle_at = $2 WHERE id = $1";
const LAST_READ: &str = "UPDATE profiles SET last_read_at = $2 WHERE id = $1";
const LAST_FULL: &str = "UPDATE profiles SET last_full_at = $2 WHERE id = $1";
const COOKIE: &str = "UPDATE profiles SET change_server = $2, change_cookie = $3 WHERE id = $1";
const RENAME_SUPPORT: &str = "UPDATE profiles SET rename_support = $2 WHERE id = $1";
const REST: &str = "SELECT rest FROM profiles WHERE id = $1";
const SET_REST: &str = "UPDATE profiles SET rest = $2 WHERE id = $1";
const PINS: &str = "SELECT kind, entry, anchor, object_name FROM pins WHERE profile_id = $1";
const SET_PINS: &str = "INSERT INTO pins (profile_id, kind, entry, anchor, object_name, pinned_at)
    VALUES {rows}
    ON CONFLICT (profile_id, kind, entry) DO UPDATE SET
        pinned_at = CASE WHEN pins.anchor = excluded.anchor THEN pins.pinned_at ELSE excluded.pinned_at END,
        anchor = excluded.anchor, object_name = excluded.object_name";
const PAUSE: &str = "UPDATE profiles
    SET paused_at = $2, pause_reason = $3, paused_by = $4, paused_until = $5, pause_warned_at = $6 WHERE id = $1";
const WARNED: &str = "UPDATE profiles SET pause_warned_at = $2 WHERE id = $1 AND paused_at IS NOT NULL";
const PAUSED: &str = "SELECT paused_at, pause_reason, paused_by, paused_until, pause_warned_at
    FROM profiles WHERE id = $1";

/// What one read of the directory has changed.
#[derive(Clone, Debug)]
pub struct ReadRecord<'a> {
    /// Whole rows, new and changed ones.
    pub links: Vec<&'a Link>,
    /// New and changed ones.
    pub pins: BTreeMap<(Kind, String), Pin>,
    /// Set if every scope entry was read completely: when that was.
    pub complete_read: Option<Timestamp>,
    /// Set at the first apply; later ones must be the same.
    pub binding: Option<Binding>,
    /// Whether `binding` may be another one than before (`--rebind`).
    pub rebind: bool,
    /// The server that was read, where the read was complete.
    pub server: Option<String>,
    /// The directory answered, however incompletely: when that was.
    pub read: Option<Timestamp>,
    /// Set if the clock could be trusted: what it said. Later clocks are held against it.
    pub clock: Option<Timestamp>,
    /// Set if the target was read back as a whole: when that was.
    pub full: Option<Timestamp>,
    /// How far the change log has been read now.
    pub cookie: Option<ChangeCookie>,
    /// What becomes of the mirror.
    pub mirror: Option<MirrorChange>,
    pub now: Timestamp,
}

/// All cycles of a profile are stopped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pause {
    pub at: Timestamp,
    pub reason: Option<String>,
    pub by: Option<String>,
    pub until: Option<Timestamp>,
    /// When it was first said that the pause will soon disable everybody.
    pub warned: Option<Timestamp>,
}

impl Pause {
    /// Whether its end has come: it counts as no pause then.
    pub fn is_over(&self, now: Timestamp) -> bool {
        self.until.is_some_and(|until| until <= now)
    }
}

/// The columns of the profile that a cycle needs.
#[derive(Debug, Default)]
pub(super) struct Profile {
    pub binding: Option<Binding>,
    pub last_complete_read: Option<Timestamp>,
    pub last_cycle: Option<Timestamp>,
    pub rename_support: RenameSupport,
    pub last_server: Option<String>,
    pub last_read: Option<Timestamp>,
    pub last_full: Option<Timestamp>,
    pub cookie: Option<ChangeCookie>,
}

impl State {
    /// Records what a read has shown, before anything is applied: all of it or nothing.
    pub async fn record_read(&self, cycle: CycleId, read: &ReadRecord<'_>) -> Result<()> {
        match self.try_record_read(cycle, read).await {
            Err(error) => Err(self.name_owner(error, &read.links).await),
            done => done,
        }
    }

    async fn try_record_read(&self, cycle: CycleId, read: &ReadRecord<'_>) -> Result<()> {
        let mut tx = self.db.begin().await?;
        self.check_running(&mut tx, cycle).await?;
        if let Some(binding) = &read.binding {
            if read.rebind {
                let store = binding.identity_store.as_str();
                tx.run(REBIND, args![self.profile_id, binding.directory.as_str(), store, read.now]).await?;
            }
            self.bind(&mut tx, binding, read.now).await?;
        }
        self.write_links(&mut tx, &read.links).await?;
        write_pins(&mut tx, self.profile_id, read.pins.iter(), read.now).await?;
        if let Some(at) = read.complete_read {
            tx.run(COMPLETE_READ, args![self.profile_id, at]).await?;
        }
        if let Some(server) = &read.server {
            tx.run(LAST_SERVER, args![self.profile_id, server.as_str()]).await?;
        }
        if let Some(at) = read.read {
            tx.run(LAST_READ, args![self.profile_id, at]).await?;
        }
        if let Some(at) = read.clock {
            tx.run(LAST_CYCLE, args![self.profile_id, at]).await?;
        }
        if let Some(at) = read.full {
            tx.run(LAST_FULL, args![self.profile_id, at]).await?;
        }
        if let Some(cookie) = &read.cookie {
            let bytes = Some(cookie.bytes.clone());
            tx.run(COOKIE, args![self.profile_id, cookie.server.as_str(), bytes]).await?;
        }
        if let Some(change) = &read.mirror {
            mirror::write(&mut tx, self.profile_id, change).await?;
        }
        self.fence(&mut tx).await?;
        tx.commit().await
    }

    pub(super) async fn bind(&self, tx: &mut Tx, binding: &Binding, now: Timestamp) -> Result<()> {
        let store = binding.identity_store.as_str();
        tx.run(BIND, args![self.profile_id, binding.directory.as_str(), store, now]).await?;
        let bound = tx
            .fetch_one(BINDING, args![self.profile_id], |row| {
                Ok((row.next::<String>()?, row.next::<String>()?))
            })
            .await?;
        let Some((directory, found_store)) = bound else { return Ok(()) };
        let differs = |what, found: String, given: &str| {
            let (profile, given) = (self.profile.clone(), given.to_owned());
            Err(StateError::BoundElsewhere { profile, what, found, given })
        };
        if directory != binding.directory {
            return differs("the directory", directory, &binding.directory);
        }
        if found_store != store {
            return differs("the identity store", found_store, store);
        }
        Ok(())
    }

    /// Pins an entry, or pins it anew where that was approved.
    pub async fn set_pin(&self, kind: Kind, entry: &str, pin: &Pin, now: Timestamp) -> Result<()> {
        let mut tx = self.db.begin().await?;
        self.fence(&mut tx).await?;
        let key = (kind, entry.to_owned());
        write_pins(&mut tx, self.profile_id, std::iter::once((&key, pin)), now).await?;
        tx.commit().await
    }

    /// A full cycle has found nothing, or done all that it found.
    pub async fn set_last_full(&self, at: Timestamp) -> Result<()> {
        let mut tx = self.db.begin().await?;
        self.fence(&mut tx).await?;
        tx.run(LAST_FULL, args![self.profile_id, at]).await?;
        tx.commit().await
    }

    /// What the next cycle may go by instead of looking at everything; only `cycle` reads it.
    pub async fn set_rest(&self, rest: &str) -> Result<()> {
        let mut tx = self.db.begin().await?;
        self.fence(&mut tx).await?;
        tx.run(SET_REST, args![self.profile_id, rest]).await?;
        tx.commit().await
    }

    pub async fn set_rename_support(&self, support: RenameSupport) -> Result<()> {
        self.db.run(RENAME_SUPPORT, args![self.profile_id, support.word()]).await?;
        Ok(())
    }

    pub async fn set_pause(&self, pause: &Pause) -> Result<()> {
        let (reason, by) = (pause.reason.as_deref(), pause.by.as_deref());
        self.db.run(PAUSE, args![self.profile_id, pause.at, reason, by, pause.until, pause.warned]).await?;
        Ok(())
    }

    /// Notes that it has been said what the pause leads to.
    pub async fn warn_of_pause(&self, now: Timestamp) -> Result<()> {
        self.db.run(WARNED, args![self.profile_id, now]).await?;
        Ok(())
    }

    pub async fn clear_pause(&self) -> Result<()> {
        let nothing = Value::Int(None);
        let none: Option<&str> = None;
        self.db
            .run(PAUSE, args![self.profile_id, nothing.clone(), none, none, nothing.clone(), nothing])
            .await?;
        Ok(())
    }
}

impl Reader {
    pub async fn pause(&self) -> Result<Option<Pause>> {
        let read = |row: &mut Row| {
            let Some(at) = row.opt_time("profiles.paused_at")? else { return Ok(None) };
            let (reason, by) = (row.next()?, row.next()?);
            let until = row.opt_time("profiles.paused_until")?;
            Ok(Some(Pause { at, reason, by, until, warned: row.opt_time("profiles.pause_warned_at")? }))
        };
        Ok(self.db.fetch_one(PAUSED, args![self.profile_id], read).await?.flatten())
    }
}

impl Reader {
    /// What a cycle has left with `set_rest`.
    pub async fn rest(&self) -> Result<Option<String>> {
        let read = |row: &mut Row| row.next::<Option<String>>();
        Ok(self.db.fetch_one(REST, args![self.profile_id], read).await?.flatten())
    }

    /// By how many seconds the database's clock is ahead of this machine's; `None` where it has none of its own.
    pub async fn clock_ahead(&self) -> Result<Option<i64>> {
        if matches!(self.db.pool, Pool::Sqlite(_)) {
            return Ok(None);
        }
        let mut tx = self.db.begin_read().await?;
        let there = tx.now().await?;
        tx.commit().await?;
        Ok(Some(there.as_second() - Timestamp::now().as_second()))
    }
}

async fn write_pins<'a>(
    tx: &mut Tx,
    profile_id: i64,
    pins: impl Iterator<Item = (&'a (Kind, String), &'a Pin)>,
    now: Timestamp,
) -> Result<()> {
    let values: Vec<Value<'_>> = pins
        .flat_map(|((kind, entry), pin)| {
            args![profile_id, kind.word(), entry.as_str(), &pin.anchor, pin.name.as_str(), now]
        })
        .collect();
    tx.run_rows(SET_PINS, 6, values).await?;
    Ok(())
}

pub(super) async fn load(tx: &mut Tx, profile_id: i64) -> Result<Profile> {
    let profile = tx
        .fetch_one(PROFILE, args![profile_id], |row| {
            let directory: Option<String> = row.next()?;
            let store: Option<String> = row.next()?;
            Ok(Profile {
                binding: directory.zip(store).map(|(directory, store)| Binding {
                    directory,
                    identity_store: IdentityStoreId::new(store),
                }),
                last_complete_read: row.opt_time("profiles.last_complete_read")?,
                last_cycle: row.opt_time("profiles.last_cycle_at")?,
                rename_support: row.word("profiles.rename_support", Word::of)?,
                last_server: row.next()?,
                last_read: row.opt_time("profiles.last_read_at")?,
                last_full: row.opt_time("profiles.last_full_at")?,
                cookie: {
                    let (server, bytes) = (row.next::<Option<String>>()?, row.next::<Option<Vec<u8>>>()?);
                    server.zip(bytes).map(|(server, bytes)| ChangeCookie { server, bytes })
                },
            })
        })
        .await?;
    Ok(profile.unwrap_or_default())
}

pub(super) async fn load_pins(tx: &mut Tx, profile_id: i64) -> Result<BTreeMap<(Kind, String), Pin>> {
    let pins = tx
        .fetch(PINS, args![profile_id], |row| {
            let kind = row.word("pins.kind", Word::of)?;
            let entry: String = row.next()?;
            Ok(((kind, entry), Pin { anchor: row.anchor("pins.anchor")?, name: row.next()? }))
        })
        .await?;
    Ok(pins.into_iter().collect())
}
