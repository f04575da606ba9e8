//! What a dry run reads: never the database itself, so that it leaves no trace there, not even SQLite's side
//! files.

use std::fs::{File, Metadata};
use std::io::{ErrorKind, Read};
use std::ops::Deref;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use super::open::{Reader, connect_postgres, connect_sqlite, empty, is_open_here};
use super::schema::{self, Schema};
use super::url::UrlKind;
use super::{Result, State, StateError, StateUrl, place};

/// What belongs to a database beside its file: the write-ahead log, or the journal of a first transaction.
const BESIDE: [&str; 2] = ["-wal", "-journal"];
/// Time stamps of files are this coarse (a tick of the kernel, with room): what was changed less long ago may
/// have been changed again without showing it.
const TICK: Duration = Duration::from_millis(20);
const ATTEMPTS: u32 = 200;

/// The state as it was at one moment. There is no way to write to it.
#[derive(Clone, Debug)]
pub struct StateCopy {
    reader: Reader,
    /// Of the database itself; `None`: there is none, or nothing in it.
    schema: Option<i64>,
    /// The reads go to the database itself, and not to a copy or to an empty state.
    is_of_server: bool,
}

impl Deref for StateCopy {
    type Target = Reader;

    fn deref(&self) -> &Reader {
        &self.reader
    }
}

impl State {
    /// Opens what a dry run reads. SQLite: a private copy of the file, or an empty state where there is none.
    /// PostgreSQL: the database itself in read-only sessions, or an empty state where its tables are missing.
    /// Not for a SQLite file that this process has open as a [`State`], which can be read as it is.
    pub async fn open_copy(url: &StateUrl, profile: &str) -> Result<StateCopy> {
        let mut found = None;
        let mut is_of_server = false;
        let db = match &url.kind {
            UrlKind::Sqlite(path) if !place::check(path)? => empty(url.to_string()).await?,
            UrlKind::Sqlite(path) if is_open_here(path) => {
                return Err(StateError::OpenHere { path: path.clone() });
            }
            UrlKind::Sqlite(path) => {
                let source = path.clone();
                let copied = tokio::task::spawn_blocking(move || copy(&source)).await;
                let private =
                    copied.map_err(|e| place::file_error("copy", path, std::io::Error::other(e)))??;
                let db = connect_sqlite(&private.file(), url.to_string()).await?;
                found = match schema::look(&db).await? {
                    Schema::Current => Some(schema::newest(&db)),
                    Schema::Behind(version) => Some(version),
                    Schema::Empty => None,
                };
                schema::migrate(&db).await?;
                // `private` goes here: the one connection keeps the file, and no way of ending leaves it behind.
                db
            }
            UrlKind::Postgres(options) => {
                let options = url.postgres_with_password(options)?;
                let db = connect_postgres(options, url.to_string(), true).await?;
                match schema::look(&db).await? {
                    Schema::Current => {
                        found = Some(schema::newest(&db));
                        is_of_server = true;
                        db
                    }
                    Schema::Empty => empty(url.to_string()).await?,
                    Schema::Behind(found) => {
                        let (place, known) = (db.place.to_string(), schema::newest(&db));
                        return Err(StateError::Older { place, found, known });
                    }
                }
            }
        };
        Ok(StateCopy { reader: Reader::of_copy(db, profile).await?, schema: found, is_of_server })
    }
}

impl StateCopy {
    pub fn reader(&self) -> &Reader {
        &self.reader
    }

    /// The schema of the database, and the one that this program makes of it.
    pub(super) fn schema(&self) -> (Option<i64>, i64) {
        (self.schema, schema::newest(&self.reader.db))
    }

    pub(super) fn is_of_server(&self) -> bool {
        self.is_of_server
    }
}

/// A directory that only its owner can enter, removed when dropped.
struct PrivateDir(PathBuf);

impl PrivateDir {
    fn new() -> Result<Self> {
        let path = std::env::temp_dir().join(format!("idcsync-{}", uuid::Uuid::new_v4().simple()));
        let made = std::fs::DirBuilder::new().mode(0o700).create(&path);
        made.map_err(|source| {
            place::file_error("create (set TMPDIR to a place that can be written)", &path, source)
        })?;
        Ok(Self(path))
    }

    fn file(&self) -> PathBuf {
        self.0.join("state.db")
    }
}

impl Drop for PrivateDir {
    fn drop(&mut self) {
        // Nothing to be done about a failure; what is left can be read by its owner alone.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Copies the database and what belongs to it at a moment in which nobody wrote. Such a moment is like that
/// of a crash, from which SQLite recovers by itself.
fn copy(path: &Path) -> Result<PrivateDir> {
    let dir = PrivateDir::new()?;
    for _ in 0..ATTEMPTS {
        let before = stamps(path)?;
        if before.settled() {
            copy_file(path, &dir.file())?;
            for suffix in BESIDE {
                copy_file(&place::beside(path, suffix), &place::beside(&dir.file(), suffix))?;
            }
            if before.files == stamps(path)?.files {
                return Ok(dir);
            }
        }
        std::thread::sleep(TICK);
    }
    Err(StateError::Busy { path: path.to_owned() })
}

/// One file, or its absence.
fn copy_file(from: &Path, to: &Path) -> Result<()> {
    let mut source = match File::open(from) {
        Ok(file) => file,
        Err(e) if e.kind() == ErrorKind::NotFound => {
            return match std::fs::remove_file(to) {
                Err(e) if e.kind() != ErrorKind::NotFound => Err(place::file_error("remove", to, e)),
                _ => Ok(()),
            };
        }
        Err(source) => return Err(place::file_error("read", from, source)),
    };
    let target = std::fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(to);
    let mut target = target.map_err(|source| place::file_error("create", to, source))?;
    std::io::copy(&mut source, &mut target).map_err(|source| {
        place::file_error("copy the state database to (set TMPDIR to a place with room)", to, source)
    })?;
    Ok(())
}

#[derive(Debug)]
struct Stamps {
    /// Time of change, length and first bytes of each file.
    files: Vec<Option<(SystemTime, u64, Vec<u8>)>>,
    at: SystemTime,
}

impl Stamps {
    fn settled(&self) -> bool {
        // A stamp in the future (a clock set back) says nothing and does not get older by waiting.
        let recent = |changed: &SystemTime| self.at.duration_since(*changed).is_ok_and(|age| age < TICK);
        !self.files.iter().flatten().any(|(changed, ..)| recent(changed))
    }
}

fn stamps(path: &Path) -> Result<Stamps> {
    let at = SystemTime::now();
    let mut files = vec![stamp(path)?];
    for suffix in BESIDE {
        files.push(stamp(&place::beside(path, suffix))?);
    }
    Ok(Stamps { files, at })
}

/// With the header: the log's holds a salt that is new each time it is begun again, the file's a counter.
fn stamp(path: &Path) -> Result<Option<(SystemTime, u64, Vec<u8>)>> {
    let read = || -> std::io::Result<_> {
        let file = File::open(path)?;
        let meta: Metadata = file.metadata()?;
        let mut header = Vec::with_capacity(100);
        file.take(100).read_to_end(&mut header)?;
        Ok((meta.modified()?, meta.len(), header))
    };
    match read() {
        Ok(stamp) => Ok(Some(stamp)),
        Err(e) if e.kind() == ErrorKind::NotFound => Ok(None),
        Err(source) => Err(place::file_error("read", path, source)),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_copy_is_private_whole_and_gone_afterwards() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("state.db");
        std::fs::write(&path, "file").unwrap();
        std::fs::write(dir.path().join("state.db-wal"), "log").unwrap();
        std::fs::write(dir.path().join("state.db-shm"), "shared memory").unwrap();
        let private = copy(&path).unwrap();
        let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&private.0), mode(&private.file())), (0o700, 0o600));
        let names = std::fs::read_dir(&private.0).unwrap().map(|e| e.unwrap().file_name());
        let mut names: Vec<_> = names.collect();
        names.sort();
        assert_eq!(names, ["state.db", "state.db-wal"]);
        assert_eq!(std::fs::read(private.0.join("state.db-wal")).unwrap(), b"log");
        let at = private.0.clone();
        drop(private);
        assert!(!at.exists());
    }

    #[test]
    fn what_was_just_changed_is_not_settled() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("state.db");
        std::fs::write(&path, "a").unwrap();
        let stamps = stamps(&path).unwrap();
        let later = Stamps { at: stamps.at + TICK * 50, ..stamps };
        assert!(later.settled());
        let earlier = Stamps { at: later.files[0].as_ref().unwrap().0, ..later };
        assert!(!earlier.settled());
    }
}
