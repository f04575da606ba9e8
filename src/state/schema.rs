//! The migrations, and whether a database has had them.

use sqlx::migrate::{MigrateError, Migrator};

use super::db::{Db, Pool, Tx, args};
use super::{Result, StateError};

static SQLITE: Migrator = sqlx::migrate!("migrations/sqlite");
static POSTGRES: Migrator = sqlx::migrate!("migrations/postgres");

const APPLIED: &str = "SELECT version, checksum FROM _sqlx_migrations ORDER BY version";
const SQLITE_TABLES: &str = "SELECT count(*), coalesce(sum(name = '_sqlx_migrations'), 0) FROM sqlite_master
    WHERE type = 'table' AND name NOT LIKE 'sqlite^_%' ESCAPE '^'";
const POSTGRES_TABLES: &str = "SELECT count(to_regclass('links')), count(to_regclass('_sqlx_migrations'))";

/// How far a database's schema is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Schema {
    Empty,
    /// Some migrations are missing; the last one that it has.
    Behind(i64),
    Current,
}

fn migrator(pool: &Pool) -> &'static Migrator {
    match pool {
        Pool::Sqlite(_) => &SQLITE,
        Pool::Postgres(_) => &POSTGRES,
    }
}

/// The newest schema that this program knows.
pub(super) fn newest(db: &Db) -> i64 {
    migrator(&db.pool).iter().map(|m| m.version).max().unwrap_or(0)
}

/// Looks without writing. A newer or altered schema, and another program's tables, are errors.
pub(super) async fn look(db: &Db) -> Result<Schema> {
    let tables = match db.pool {
        Pool::Sqlite(_) => SQLITE_TABLES,
        Pool::Postgres(_) => POSTGRES_TABLES,
    };
    let counts = db.fetch_one(tables, args![], |row| Ok((row.next::<i64>()?, row.next::<i64>()?))).await?;
    match counts {
        Some((_, 1..)) => {}
        Some((0, _)) | None => return Ok(Schema::Empty),
        Some(_) => return Err(StateError::Foreign { place: db.place.to_string() }),
    }
    let applied = db.fetch(APPLIED, args![], |row| Ok((row.next::<i64>()?, row.next::<Vec<u8>>()?))).await?;
    let known = migrator(&db.pool);
    for (version, checksum) in &applied {
        match known.iter().find(|m| m.version == *version) {
            Some(migration) if *migration.checksum == **checksum => {}
            Some(_) => return Err(StateError::Altered { place: db.place.to_string(), version: *version }),
            None => {
                let (place, found) = (db.place.to_string(), *version);
                return Err(StateError::Newer { place, found, known: newest(db) });
            }
        }
    }
    Ok(match applied.last() {
        None => Schema::Empty,
        Some(_) if applied.len() == known.iter().count() => Schema::Current,
        Some((version, _)) => Schema::Behind(*version),
    })
}

/// Brings the schema up to date; one opener at a time, the others wait and find it done.
pub(super) async fn migrate(db: &Db) -> Result<()> {
    if look(db).await? == Schema::Current {
        return Ok(());
    }
    let done = match &db.pool {
        // sqlx takes no lock of its own on SQLite: the transaction around it all is one.
        Pool::Sqlite(_) => {
            let mut tx = db.begin().await?;
            let done = match &mut tx {
                Tx::Sqlite(tx, _) => SQLITE.run_direct(None, &mut **tx, false).await,
                Tx::Postgres(..) => Ok(()),
            };
            if done.is_ok() {
                tx.commit().await?;
            }
            done
        }
        // On PostgreSQL it does, and lets go of it before an outer transaction would be committed.
        Pool::Postgres(pool) => match pool.acquire().await {
            Ok(mut connection) => POSTGRES.run_direct(None, &mut *connection, false).await,
            Err(source) => Err(MigrateError::Execute(source)),
        },
    };
    done.map_err(|error| match error {
        MigrateError::Execute(source) | MigrateError::ExecuteMigration(source, _) => {
            StateError::from_engine(&db.place, source)
        }
        source => StateError::Migrate { place: db.place.to_string(), source: Box::new(source) },
    })
}
