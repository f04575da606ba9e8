//! What can go wrong with the state database, and what to do about it.

use std::path::PathBuf;

use crate::ids::{CycleId, IdentityStoreId, LinkNo, TargetId};
use crate::model::Kind;
use crate::secret::SecretError;

/// `place` is the database's url without its password.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    #[error("the state url `{url}` cannot be used: {problem}")]
    Url { url: String, problem: String },
    #[error("the password of the state database cannot be read")]
    Password(#[source] SecretError),
    #[error("the directory {} for the state database does not exist: create it, owned by the user that runs idcsync", path.display())]
    NoDirectory { path: PathBuf },
    #[error("{} is on a network file system ({kind}), whose locks SQLite cannot trust: put the state database on a local disk, or use a postgres:// url", path.display())]
    NetworkFileSystem { path: PathBuf, kind: String },
    #[error("{} is open in this process: read it through the open state", path.display())]
    OpenHere { path: PathBuf },
    #[error("{} is not a file: give another path in the state url", path.display())]
    NotAFile { path: PathBuf },
    #[error(
        "{place} is not a SQLite database: give another path in the state url, or restore the file from a backup"
    )]
    NotADatabase { place: String, source: sqlx::Error },
    #[error("{place} holds another program's tables: give idcsync a database of its own")]
    Foreign { place: String },
    #[error("cannot {what} {}", path.display())]
    File { what: &'static str, path: PathBuf, source: std::io::Error },
    #[error(
        "{place} was written by a newer idcsync (its schema is {found}, this program knows {known}): run that version, or restore a backup from before the upgrade"
    )]
    Newer { place: String, found: i64, known: i64 },
    #[error(
        "{place} has schema {found} and this program needs {known}: a dry run upgrades nothing; the next sync does"
    )]
    Older { place: String, found: i64, known: i64 },
    #[error(
        "{place} has a schema {version} that is not the one of this program: it was made by a build that was never released, or changed by hand; restore a backup"
    )]
    Altered { place: String, version: i64 },
    #[error("the schema of {place} could not be brought up to date")]
    Migrate { place: String, source: Box<sqlx::migrate::MigrateError> },

    #[error("no space is left for {place}: free some, then run again (nothing that was recorded is lost)")]
    Full { place: String, source: sqlx::Error },
    #[error(
        "{place} cannot be written: check who owns the file and its directory and that the file system is not read-only; for PostgreSQL, that it is not a standby"
    )]
    ReadOnly { place: String, source: sqlx::Error },
    #[error(
        "{place} is locked by another process: wait until it has ended, or find it with `fuser` (SQLite) or in pg_stat_activity"
    )]
    Locked { place: String, source: sqlx::Error },
    #[error("{place} is damaged: stop idcsync, keep a copy, and restore a backup")]
    Corrupt { place: String, source: sqlx::Error },
    #[error(
        "the disk under {place} reported an error: look into the kernel's log, and check the disk before the next run"
    )]
    Disk { place: String, source: sqlx::Error },
    #[error(
        "{place} cannot be opened: check that the path exists and that the user who runs idcsync may read and write the file and its directory, and that their file system is not read-only"
    )]
    CannotOpen { place: String, source: sqlx::Error },
    #[error("{place} could not be reached: check host, port and network, and that the server runs")]
    Unreachable { place: String, source: sqlx::Error },
    #[error(
        "{place} did not answer for {seconds} seconds: check the network and what the server is busy with"
    )]
    Silent { place: String, seconds: u64 },
    #[error(
        "{place} gives no safe connection: set up TLS in the server, with a certificate for the host name in the state url, and name its CA by sslrootcert=FILE there; an sslmode in that url asks for something else than verify-full"
    )]
    Tls { place: String, source: sqlx::Error },
    #[error("{place} refused the login: check user, password and pg_hba.conf")]
    Login { place: String, source: sqlx::Error },
    #[error("{place} does not exist: create it (`createdb`), owned by the user in the state url")]
    NoDatabase { place: String, source: sqlx::Error },
    #[error("the user in the state url may not do this in {place}: it must own the database or its schema")]
    Permission { place: String, source: sqlx::Error },
    #[error("a statement failed in {place}")]
    Statement { place: String, source: sqlx::Error },
    #[error("{place} holds a value that makes no sense in {column}: restore a backup")]
    BadValue { place: String, column: &'static str },
    #[error("{} changed all the while it was being copied: try the dry run again when no cycle is running", path.display())]
    Busy { path: PathBuf },

    #[error(
        "the lease on {store} was lost: it ran out while the state database could not be reached or this process stood still, or another run has taken over; nothing more is begun, and the next run goes on from here"
    )]
    LeaseLost { store: IdentityStoreId },
    #[error("the {kind} {target} of the target belongs to the profile `{profile}` already (its {dn})")]
    Owned { kind: Kind, target: TargetId, profile: String, dn: String },
    #[error("the members of link {no} could not be encoded")]
    Bitmap { no: LinkNo, source: std::io::Error },
    #[error("the profile `{profile}` has links to the target, but is not tied to an identity store yet")]
    NotBound { profile: String },
    #[error(
        "the profile `{profile}` is tied to {what} {found}, not to {given}: use another profile, or another state database"
    )]
    BoundElsewhere { profile: String, what: &'static str, found: String, given: String },
    #[error("cycle {cycle} is not a running cycle of the profile `{profile}`")]
    NotRunning { cycle: CycleId, profile: String },
    #[error("the journal of the profile `{profile}` has no step {seq}")]
    NoSuchStep { seq: i64, profile: String },
}

impl StateError {
    /// Another run is at work by now, or may be.
    pub fn is_of_a_lost_lease(&self) -> bool {
        matches!(self, Self::LeaseLost { .. })
    }

    /// Whether the database itself could not be read or reached, rather than having refused what was asked.
    pub fn is_unavailable(&self) -> bool {
        !matches!(
            self,
            Self::Url { .. }
                | Self::Owned { .. }
                | Self::NotBound { .. }
                | Self::BoundElsewhere { .. }
                | Self::Bitmap { .. }
                | Self::OpenHere { .. }
                | Self::NotRunning { .. }
                | Self::NoSuchStep { .. }
        )
    }

    /// Whether the connection broke, and another one may be had at once: nobody waited for one in vain.
    pub(super) fn is_cut(&self) -> bool {
        matches!(self, Self::Unreachable { source, .. }
            if !matches!(source, sqlx::Error::PoolTimedOut | sqlx::Error::PoolClosed))
    }

    /// Whether the error is that a row exists already.
    pub(super) fn is_duplicate(&self) -> bool {
        matches!(self, Self::Statement { source: sqlx::Error::Database(e), .. } if e.is_unique_violation())
    }

    /// Sorts the engines' errors by what to do about them.
    pub(super) fn from_engine(place: &str, source: sqlx::Error) -> Self {
        let place = place.to_owned();
        match &source {
            sqlx::Error::Database(error) => {
                let code = error.code().unwrap_or_default();
                match Trouble::of(&code, error.try_downcast_ref::<sqlx::sqlite::SqliteError>().is_some()) {
                    Trouble::Full => Self::Full { place, source },
                    Trouble::ReadOnly => Self::ReadOnly { place, source },
                    Trouble::Locked => Self::Locked { place, source },
                    Trouble::Corrupt => Self::Corrupt { place, source },
                    Trouble::Disk => Self::Disk { place, source },
                    Trouble::NotADatabase => Self::NotADatabase { place, source },
                    Trouble::CannotOpen => Self::CannotOpen { place, source },
                    Trouble::Unreachable => Self::Unreachable { place, source },
                    Trouble::Login => Self::Login { place, source },
                    Trouble::NoDatabase => Self::NoDatabase { place, source },
                    Trouble::Permission => Self::Permission { place, source },
                    Trouble::Other => Self::Statement { place, source },
                }
            }
            // A handshake that failed.
            sqlx::Error::Io(error) if error.get_ref().is_some_and(|e| e.is::<rustls::Error>()) => {
                Self::Tls { place, source }
            }
            sqlx::Error::Io(_) | sqlx::Error::Protocol(_) | sqlx::Error::WorkerCrashed => {
                Self::Unreachable { place, source }
            }
            sqlx::Error::Tls(_) => Self::Tls { place, source },
            // SQLite has one connection: whoever has it, does not give it back.
            sqlx::Error::PoolTimedOut if place.starts_with("sqlite:") => Self::Locked { place, source },
            sqlx::Error::PoolTimedOut | sqlx::Error::PoolClosed => Self::Unreachable { place, source },
            _ => Self::Statement { place, source },
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Trouble {
    Full,
    ReadOnly,
    Locked,
    Corrupt,
    Disk,
    NotADatabase,
    CannotOpen,
    Unreachable,
    Login,
    NoDatabase,
    Permission,
    Other,
}

impl Trouble {
    /// By SQLite's result code ("Result and Error Codes") or the SQLSTATE ("PostgreSQL Error Codes").
    fn of(code: &str, sqlite: bool) -> Self {
        if sqlite {
            // The low byte is the primary code.
            let code = code.parse::<u32>().unwrap_or_default();
            return match code & 0xff {
                // SQLITE_IOERR_SHMSIZE: the file beside could not be made as large as it has to be.
                _ if code == 4874 => Self::Full,
                13 => Self::Full,
                8 => Self::ReadOnly,
                5 | 6 => Self::Locked,
                10 => Self::Disk,
                11 => Self::Corrupt,
                26 => Self::NotADatabase,
                14 => Self::CannotOpen,
                3 | 23 => Self::Permission,
                _ => Self::Other,
            };
        }
        match code {
            "53100" => Self::Full,
            "58030" => Self::Disk,
            "25006" => Self::ReadOnly,
            "55P03" | "40P01" | "57014" => Self::Locked,
            "3D000" | "3F000" => Self::NoDatabase,
            "42501" => Self::Permission,
            _ => match code.get(..2) {
                Some("08" | "53" | "57") => Self::Unreachable,
                Some("28") => Self::Login,
                Some("XX") => Self::Corrupt,
                _ => Self::Other,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_of_both_engines_mean_the_same_trouble() {
        for (sqlite, postgres, trouble) in [
            ("13", "53100", Trouble::Full),
            ("8", "25006", Trouble::ReadOnly),
            ("5", "55P03", Trouble::Locked),
            ("11", "XX001", Trouble::Corrupt),
            ("10", "58030", Trouble::Disk),
            ("1", "42601", Trouble::Other),
        ] {
            assert_eq!(Trouble::of(sqlite, true), trouble);
            assert_eq!(Trouble::of(postgres, false), trouble);
        }
        // Extended codes: SQLITE_READONLY_DIRECTORY, SQLITE_BUSY_SNAPSHOT.
        assert_eq!(Trouble::of("1544", true), Trouble::ReadOnly);
        assert_eq!(Trouble::of("517", true), Trouble::Locked);
        // SQLITE_IOERR_SHMSIZE, and SQLITE_IOERR_READ.
        assert_eq!(Trouble::of("4874", true), Trouble::Full);
        assert_eq!(Trouble::of("266", true), Trouble::Disk);
        assert_eq!(Trouble::of("57P01", false), Trouble::Unreachable);
        assert_eq!(Trouble::of("28P01", false), Trouble::Login);
    }
}
