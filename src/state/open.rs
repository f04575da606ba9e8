//! Opening a database: connections, checks, schema, and the profile's row.

use std::collections::BTreeMap;
use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::sqlite::{SqliteConnectOptions, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{ConnectOptions, Connection, Executor, PgConnection};

use super::db::{Db, Pool, args};
use super::probe::Probe;
use super::schema;
use super::url::UrlKind;
use super::words::Word;
use super::{Lease, Result, StateError, StateUrl, place};
use crate::model::RenameSupport;

/// How long to wait for another process' transaction, which are all short.
const BUSY: Duration = Duration::from_secs(10);
/// How long to wait for a connection.
const CONNECT: Duration = Duration::from_secs(15);
/// A cycle, its outcomes as they come, and the status page.
const POSTGRES_CONNECTIONS: u32 = 4;

/// Per session: a stuck statement or a forgotten transaction must not block the others for ever. Set after
/// connecting, because poolers refuse them as start-up parameters.
const POSTGRES_TIMEOUTS: &str = "SET statement_timeout = '50s'; SET lock_timeout = '20s'; \
    SET idle_in_transaction_session_timeout = '30s'";
const POSTGRES_READ_ONLY: &str = "SET default_transaction_read_only = on";

const PROFILE_ID: &str = "SELECT id FROM profiles WHERE name = $1";
const NEW_PROFILE: &str = "INSERT INTO profiles (name, rename_support, last_seq) VALUES ($1, $2, 0)
    ON CONFLICT (name) DO NOTHING";

/// No profile has this id: reads of it find nothing.
const NO_PROFILE: i64 = 0;

/// The reads, of the database itself or of a dry run's copy.
#[derive(Clone, Debug)]
pub struct Reader {
    pub(super) db: Db,
    pub(super) profile_id: i64,
    pub(super) profile: String,
}

/// The state of one profile, open for reading and writing. Clones share the connections.
#[derive(Clone, Debug)]
pub struct State {
    reader: Reader,
    /// The one that was acquired last: what is begun is only taken while it is ours.
    lease: Arc<Mutex<Option<Lease>>>,
    /// The last clone takes the file off the list.
    _open: Option<Arc<OpenFile>>,
}

impl Deref for State {
    type Target = Reader;

    fn deref(&self) -> &Reader {
        &self.reader
    }
}

impl State {
    /// Opens the database, makes it where there is none, brings its schema up to date, and finds or makes the
    /// row of `profile`.
    pub async fn open(url: &StateUrl, profile: &str) -> Result<Self> {
        Self::open_watched(url, profile, None).await
    }

    /// Somebody stands before and after each operation.
    pub fn is_watched(&self) -> bool {
        self.db.place.is_watched()
    }

    /// The same, with somebody who stands before each operation once the database is open.
    pub async fn open_watched(url: &StateUrl, profile: &str, probe: Option<Arc<dyn Probe>>) -> Result<Self> {
        let (mut db, open) = match &url.kind {
            UrlKind::Sqlite(path) => {
                if !place::check(path)? {
                    place::create(path)?;
                }
                place::warn_of_others(path);
                let db = connect_sqlite(path, url.to_string()).await?;
                // Before the first write: what is not ours stays as it is.
                schema::look(&db).await?;
                write_ahead_log(&db).await?;
                (db, Some(Arc::new(OpenFile::new(path))))
            }
            UrlKind::Postgres(options) => {
                let options = url.postgres_with_password(options)?;
                (connect_postgres(options, url.to_string(), false).await?, None)
            }
        };
        schema::migrate(&db).await?;
        let profile_id = match find_profile(&db, profile).await? {
            Some(id) => id,
            None => {
                db.run(NEW_PROFILE, args![profile, RenameSupport::default().word()]).await?;
                find_profile(&db, profile).await?.unwrap_or(NO_PROFILE)
            }
        };
        if let Some(probe) = probe {
            db.place = db.place.watched(probe);
        }
        let reader = Reader { db, profile_id, profile: profile.to_owned() };
        Ok(Self { reader, lease: Arc::default(), _open: open })
    }

    pub fn reader(&self) -> &Reader {
        &self.reader
    }

    pub(super) fn remember_lease(&self, lease: &Lease) {
        *self.lease.lock().unwrap_or_else(PoisonError::into_inner) = Some(lease.clone());
    }

    pub(super) fn forget_lease(&self) {
        *self.lease.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    pub(super) fn remembered_lease(&self) -> Option<Lease> {
        self.lease.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Waits until everything is written and the connections are closed; SQLite's side files go with them. A server that
    /// does not answer is not waited for.
    pub async fn close(self) {
        const PATIENCE: Duration = Duration::from_secs(5);
        let _ = tokio::time::timeout(PATIENCE, self.reader.db.close()).await;
    }
}

impl Reader {
    /// For a copy: the profile may not exist yet.
    pub(super) async fn of_copy(db: Db, profile: &str) -> Result<Self> {
        let profile_id = find_profile(&db, profile).await?.unwrap_or(NO_PROFILE);
        Ok(Self { db, profile_id, profile: profile.to_owned() })
    }

    pub fn profile(&self) -> &str {
        &self.profile
    }

    /// The database, without its password.
    pub fn place(&self) -> &str {
        &self.db.place
    }
}

/// The SQLite files that this process has open, by their real path. They must not be opened in any other way:
/// closing them would take away SQLite's locks.
static OPEN: Mutex<BTreeMap<PathBuf, usize>> = Mutex::new(BTreeMap::new());

#[derive(Debug)]
struct OpenFile(PathBuf);

impl OpenFile {
    fn new(path: &Path) -> Self {
        let path = real(path);
        *OPEN.lock().unwrap_or_else(PoisonError::into_inner).entry(path.clone()).or_default() += 1;
        Self(path)
    }
}

impl Drop for OpenFile {
    fn drop(&mut self) {
        let mut open = OPEN.lock().unwrap_or_else(PoisonError::into_inner);
        match open.get_mut(&self.0) {
            Some(count) if *count > 1 => *count -= 1,
            _ => {
                open.remove(&self.0);
            }
        }
    }
}

pub(super) fn is_open_here(path: &Path) -> bool {
    OPEN.lock().unwrap_or_else(PoisonError::into_inner).contains_key(&real(path))
}

fn real(path: &Path) -> PathBuf {
    std::fs::canonicalize(path).unwrap_or_else(|_| path.to_owned())
}

async fn find_profile(db: &Db, profile: &str) -> Result<Option<i64>> {
    db.fetch_one(PROFILE_ID, args![profile], |row| row.next::<i64>()).await
}

/// Rows that the engine may read before they are asked for.
const ROWS_AHEAD: usize = 2_000;

/// One connection: SQLite has one writer, and so nobody waits for a lock within the process.
pub(super) async fn connect_sqlite(path: &Path, shown: String) -> Result<Db> {
    let options = SqliteConnectOptions::new()
        .filename(path)
        .create_if_missing(false)
        .busy_timeout(BUSY)
        .foreign_keys(true)
        .synchronous(SqliteSynchronous::Full)
        .row_buffer_size(ROWS_AHEAD)
        .disable_statement_logging();
    // Never closed for being idle: a copy's file has no name any more by which to open it again.
    let pool = SqlitePoolOptions::new()
        .max_connections(1)
        .acquire_timeout(CONNECT + BUSY)
        .idle_timeout(None)
        .max_lifetime(None)
        .test_before_acquire(false)
        .connect_with(options)
        .await
        .map_err(|source| StateError::from_engine(&shown, source))?;
    Ok(Db { pool: Pool::Sqlite(pool), place: shown.into() })
}

/// A database in memory, with the schema and nothing in it.
pub(super) async fn empty(shown: String) -> Result<Db> {
    let db = connect_sqlite(Path::new(":memory:"), shown).await?;
    schema::migrate(&db).await?;
    Ok(db)
}

pub(super) async fn connect_postgres(
    options: PgConnectOptions,
    shown: String,
    read_only: bool,
) -> Result<Db> {
    let mut options = options.disable_statement_logging();
    if options.get_application_name().is_none() {
        options = options.application_name("idcsync");
    }
    // By itself first: the pool would try a server that refuses again and again, and not say why at the end.
    let first = tokio::time::timeout(CONNECT, PgConnection::connect_with(&options)).await;
    match first {
        Ok(Ok(connection)) => drop(connection.close().await),
        Ok(Err(source)) => return Err(StateError::from_engine(&shown, source)),
        Err(_) => return Err(StateError::Silent { place: shown, seconds: CONNECT.as_secs() }),
    }
    let pool = PgPoolOptions::new()
        .max_connections(POSTGRES_CONNECTIONS)
        .acquire_timeout(CONNECT)
        .idle_timeout(Duration::from_secs(600))
        .after_connect(move |connection, _| {
            Box::pin(async move {
                connection.execute(sqlx::raw_sql(POSTGRES_TIMEOUTS)).await?;
                if read_only {
                    connection.execute(sqlx::raw_sql(POSTGRES_READ_ONLY)).await?;
                }
                Ok(())
            })
        })
        .connect_lazy_with(options);
    Ok(Db { pool: Pool::Postgres(pool), place: shown.into() })
}

/// Readers are not in the way of the writer then. The mode is kept in the file: it is set once.
async fn write_ahead_log(db: &Db) -> Result<()> {
    let Pool::Sqlite(pool) = &db.pool else { return Ok(()) };
    let deadline = tokio::time::Instant::now() + BUSY;
    loop {
        // SQLite does not wait here by itself when two processes do this to a new file at once.
        let set = sqlx::query("PRAGMA journal_mode = WAL").execute(pool).await;
        match set.map_err(|source| StateError::from_engine(&db.place, source)) {
            Ok(_) => return Ok(()),
            Err(StateError::Locked { .. }) if tokio::time::Instant::now() < deadline => {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            Err(other) => return Err(other),
        }
    }
}
