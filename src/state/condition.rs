//! How a state database is, without a write: for `check`.

use std::path::Path;

use rustix::fs::{Access, access, statvfs};

use super::copy::StateCopy;
use super::db::args;
use super::place::directory;
use super::{Result, StateUrl};
use crate::model::CheckLine;

/// The history of a large company for a year takes less.
const LITTLE: u64 = 256 << 20;

const SERVER: &str = "SELECT current_setting('server_version'),
        coalesce((SELECT CASE WHEN ssl THEN version ELSE '' END FROM pg_stat_ssl WHERE pid = pg_backend_pid()), ''),
        pg_is_in_recovery(),
        coalesce(has_table_privilege(to_regclass('links'), 'INSERT')
            AND has_table_privilege(to_regclass('links'), 'UPDATE')
            AND has_table_privilege(to_regclass('links'), 'DELETE'),
            has_schema_privilege(current_schema(), 'CREATE'), false)";

/// The PostgreSQL server that was asked.
struct Server {
    version: String,
    /// Empty: none.
    tls: String,
    is_standby: bool,
    may_write: bool,
}

impl StateCopy {
    /// Schema, whether it can be written, room. The lease and the cycles are for whoever knows the profile.
    pub async fn check(&self, url: &StateUrl) -> Result<Vec<CheckLine>> {
        let mut lines = vec![self.check_schema()];
        match url.path() {
            Some(path) => {
                lines.push(check_file(path));
                lines.extend(check_room(path));
            }
            None => {
                let server = self.db.fetch_one(SERVER, args![], |row| {
                    Ok(Server {
                        version: row.next()?,
                        tls: row.next()?,
                        is_standby: row.next()?,
                        may_write: row.next()?,
                    })
                });
                // Where there are no tables yet, an empty state stands for them.
                if self.is_of_server() {
                    lines.extend(server.await?.iter().flat_map(Server::lines));
                }
            }
        }
        Ok(lines)
    }

    fn check_schema(&self) -> CheckLine {
        const NAME: &str = "schema";
        let (found, known) = self.schema();
        match found {
            None => CheckLine::ok(NAME, format!("none yet: the first sync makes it (version {known})")),
            Some(found) if found == known => {
                CheckLine::ok(NAME, format!("version {found}, which is this program's"))
            }
            Some(found) => CheckLine::warn(
                NAME,
                format!("version {found}, and this program's is {known}"),
                "make a back-up: the next sync brings it up to date, and there is no way back",
            ),
        }
    }
}

impl Server {
    fn lines(&self) -> [CheckLine; 2] {
        let way = if self.tls.is_empty() { "without TLS".to_owned() } else { format!("over {}", self.tls) };
        let about = CheckLine::ok("server", format!("PostgreSQL {}, {way}", self.version));
        const NAME: &str = "writable";
        let writable = if self.is_standby {
            CheckLine::fail(NAME, "no: the server is a standby", "name the primary in [state] url")
        } else if self.may_write {
            CheckLine::ok(NAME, "yes, by the user's privileges")
        } else {
            CheckLine::fail(
                NAME,
                "no: the user may not write to its tables",
                "have the user in [state] url own the database or its schema",
            )
        };
        [about, writable]
    }
}

/// By what the system says of file and directory: SQLite needs both.
fn check_file(path: &Path) -> CheckLine {
    const NAME: &str = "writable";
    let dir = directory(path);
    let remedy =
        "give file and directory to the user that runs idcsync, on a file system that is not read-only";
    for place in [dir, path] {
        if place.exists()
            && let Err(error) = access(place, Access::READ_OK | Access::WRITE_OK)
        {
            return CheckLine::fail(NAME, format!("no: {}: {error}", place.display()), remedy);
        }
    }
    CheckLine::ok(NAME, "yes, by the permissions of file and directory")
}

fn check_room(path: &Path) -> Option<CheckLine> {
    let stat = statvfs(directory(path)).ok()?;
    let free = stat.f_bavail.saturating_mul(stat.f_frsize);
    let size = std::fs::metadata(path).map_or(0, |meta| meta.len());
    let told = format!("{} free; the database has {}", mebibytes(free), mebibytes(size));
    // A migration, a back-up beside it, and the log may need as much again.
    Some(if free < LITTLE.max(size.saturating_mul(2)) {
        CheckLine::warn("disk space", told, "free some: a full disk ends a cycle before its first write")
    } else {
        CheckLine::ok("disk space", told)
    })
}

fn mebibytes(bytes: u64) -> String {
    if bytes >= 10 << 30 {
        format!("{} GiB", bytes >> 30)
    } else {
        format!("{} MiB", bytes.div_ceil(1 << 20))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::CheckState;

    #[test]
    fn a_standby_or_a_user_without_privileges_cannot_be_written() {
        let server = |is_standby, may_write, tls: &str| Server {
            version: "17.1".to_owned(),
            tls: tls.to_owned(),
            is_standby,
            may_write,
        };
        let [about, writable] = server(false, true, "TLSv1.3").lines();
        assert_eq!(
            (about.detail.as_str(), writable.state),
            ("PostgreSQL 17.1, over TLSv1.3", CheckState::Ok)
        );
        let [about, writable] = server(true, true, "").lines();
        assert_eq!(
            (about.detail.as_str(), writable.state),
            ("PostgreSQL 17.1, without TLS", CheckState::Fail)
        );
        assert_eq!(server(false, false, "").lines()[1].state, CheckState::Fail);
    }

    #[test]
    fn sizes_in_one_unit() {
        assert_eq!(mebibytes(0), "0 MiB");
        assert_eq!(mebibytes(1), "1 MiB");
        assert_eq!(mebibytes(10 << 30), "10 GiB");
    }
}
