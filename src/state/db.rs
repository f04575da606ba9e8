//! The two engines behind one face: everything that differs between them when a statement runs is here.
//!
//! A statement is one constant text for both engines (but for the one by which `links` are loaded), its values are [`Value`]s, its rows are read from left
//! to right with [`Row::next`].

use std::borrow::Cow;
use std::cell::OnceCell;
use std::future::Future;
use std::time::Duration;

use futures::{FutureExt, Stream, TryStreamExt};
use jiff::Timestamp;
use sqlx::postgres::PgRow;
use sqlx::sqlite::SqliteRow;
use sqlx::{AssertSqlSafe, PgPool, Postgres, Row as _, SqlSafeStr, SqlStr, Sqlite, SqlitePool};

use super::probe::{Operation, Place};
use super::{Result, StateError};
use crate::ids::{Anchor, CycleId, LinkNo};

/// A server that does not answer at all is given up after this.
const SILENCE: Duration = Duration::from_secs(60);

/// The moment itself, not the transaction's beginning.
const NOW: &str = "SELECT ceil(extract(epoch FROM clock_timestamp()) * 1000)::BIGINT";

/// Rows in one statement: 22 columns of so many rows stay below SQLite's 32,766 parameters and
/// PostgreSQL's 65,535.
const CHUNK: usize = 500;

#[derive(Clone, Debug)]
pub(super) enum Pool {
    Sqlite(SqlitePool),
    Postgres(PgPool),
}

/// A transaction; dropped without a commit, it is rolled back.
pub(super) enum Tx {
    Sqlite(sqlx::Transaction<'static, Sqlite>, Place),
    Postgres(sqlx::Transaction<'static, Postgres>, Place),
}

/// A pool, and what to call the database in messages.
#[derive(Clone, Debug)]
pub(super) struct Db {
    pub pool: Pool,
    pub place: Place,
}

#[derive(Clone, Debug)]
pub(super) enum Value<'a> {
    Bool(bool),
    Int(Option<i64>),
    Text(Option<Cow<'a, str>>),
    Blob(Option<Cow<'a, [u8]>>),
}

/// One row, read from left to right.
pub(super) struct Row {
    row: EngineRow,
    at: usize,
    place: Place,
}

enum EngineRow {
    Sqlite(SqliteRow),
    Postgres(PgRow),
}

/// What both engines can read from a column.
pub(super) trait Column:
    for<'r> sqlx::Decode<'r, Sqlite>
    + sqlx::Type<Sqlite>
    + for<'r> sqlx::Decode<'r, Postgres>
    + sqlx::Type<Postgres>
{
}

impl<T> Column for T where
    T: for<'r> sqlx::Decode<'r, Sqlite>
        + sqlx::Type<Sqlite>
        + for<'r> sqlx::Decode<'r, Postgres>
        + sqlx::Type<Postgres>
{
}

/// A query of whichever engine with its values bound.
macro_rules! bound {
    ($sql:expr, $persistent:expr, $args:expr) => {{
        let mut query = sqlx::query($sql).persistent($persistent);
        for value in $args {
            query = match value {
                Value::Bool(v) => query.bind(v),
                Value::Int(v) => query.bind(v),
                Value::Text(v) => query.bind(v.map(Cow::into_owned)),
                Value::Blob(v) => query.bind(v.map(Cow::into_owned)),
            };
        }
        query
    }};
}

impl Db {
    /// A transaction that will write. SQLite takes its lock now: a transaction that read first could not.
    pub async fn begin(&self) -> Result<Tx> {
        self.begin_with("BEGIN IMMEDIATE", "BEGIN").await
    }

    /// A transaction that sees one moment of the database.
    pub async fn begin_read(&self) -> Result<Tx> {
        self.begin_with("BEGIN", "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY").await
    }

    async fn begin_with(&self, sqlite: &'static str, postgres: &'static str) -> Result<Tx> {
        // Boxed, for it is part of nearly every future there is.
        match Box::pin(self.try_begin_with(sqlite, postgres)).await {
            Err(StateError::Statement { source: sqlx::Error::InvalidSavePointStatement, .. }) => {
                Box::pin(self.reconnect()).await;
                Box::pin(self.try_begin_with(sqlite, postgres)).await
            }
            done => done,
        }
    }

    /// SQLite ends a transaction by itself when its disk is full; the driver, whose own end then fails, believes for ever
    /// to be in one. Another connection does not.
    async fn reconnect(&self) {
        let Pool::Sqlite(pool) = &self.pool else { return };
        if let Ok(connection) = pool.acquire().await {
            drop(connection.close().await);
        }
    }

    async fn try_begin_with(&self, sqlite: &'static str, postgres: &'static str) -> Result<Tx> {
        // Boxed: the library's future is large.
        let begun = Box::pin(async {
            Ok(match &self.pool {
                Pool::Sqlite(pool) => Tx::Sqlite(pool.begin_with(sqlite).await?, self.place.clone()),
                Pool::Postgres(pool) => Tx::Postgres(pool.begin_with(postgres).await?, self.place.clone()),
            })
        });
        within(&self.place, Operation::Begin, begun).await
    }

    /// One writing statement in a transaction of its own; the number of rows it touched.
    pub async fn run(&self, sql: &'static str, args: Vec<Value<'_>>) -> Result<u64> {
        let mut tx = self.begin().await?;
        let count = tx.run(sql, args).await?;
        tx.commit().await?;
        Ok(count)
    }

    /// One reading statement; once more if the connection broke.
    pub async fn fetch<T>(
        &self,
        sql: &'static str,
        args: Vec<Value<'_>>,
        mut read: impl FnMut(&mut Row) -> Result<T>,
    ) -> Result<Vec<T>> {
        match self.try_fetch(sql, args.clone(), &mut read).await {
            Err(error) if error.is_cut() => self.try_fetch(sql, args, &mut read).await,
            done => done,
        }
    }

    async fn try_fetch<T>(
        &self,
        sql: &'static str,
        args: Vec<Value<'_>>,
        read: &mut impl FnMut(&mut Row) -> Result<T>,
    ) -> Result<Vec<T>> {
        let mut tx = self.begin_read().await?;
        let rows = tx.fetch(sql, args, read).await?;
        tx.commit().await?;
        Ok(rows)
    }

    pub async fn fetch_one<T>(
        &self,
        sql: &'static str,
        args: Vec<Value<'_>>,
        read: impl FnMut(&mut Row) -> Result<T>,
    ) -> Result<Option<T>> {
        Ok(self.fetch(sql, args, read).await?.pop())
    }

    pub async fn close(&self) {
        match &self.pool {
            Pool::Sqlite(pool) => pool.close().await,
            Pool::Postgres(pool) => pool.close().await,
        }
    }
}

impl Tx {
    /// By the database's own clock; SQLite has this machine's. Not earlier than it is.
    pub async fn now(&mut self) -> Result<Timestamp> {
        if matches!(self, Self::Sqlite(..)) {
            return Ok(Timestamp::now());
        }
        let now = self.fetch_one(NOW, args![], |row| row.time("clock_timestamp()")).await?;
        now.ok_or_else(|| StateError::BadValue {
            place: self.place().to_string(),
            column: "clock_timestamp()",
        })
    }

    pub fn place(&self) -> &Place {
        match self {
            Self::Sqlite(_, place) | Self::Postgres(_, place) => place,
        }
    }

    pub async fn commit(self) -> Result<()> {
        let place = self.place().clone();
        within(&place, Operation::Commit, async {
            match self {
                Self::Sqlite(tx, _) => tx.commit().await,
                Self::Postgres(tx, _) => tx.commit().await,
            }
        })
        .await
    }

    /// The number of rows that the statement touched.
    pub async fn run(&mut self, sql: &'static str, args: Vec<Value<'_>>) -> Result<u64> {
        self.run_text(SqlStr::from_static(sql), true, args).await
    }

    /// Runs `sql`, in which `{rows}` stands for a list of rows of `width` values each, in as few statements as
    /// the engines allow.
    pub async fn run_rows(&mut self, sql: &'static str, width: usize, values: Vec<Value<'_>>) -> Result<u64> {
        debug_assert_eq!(values.len() % width, 0, "whole rows");
        let mut count = 0;
        let mut values = values.into_iter().peekable();
        let numbered = matches!(self, Self::Postgres(..));
        // Made once, and only where there is so much to write.
        let full = OnceCell::new();
        let made = || sql.replace("{rows}", &placeholders(CHUNK, width, numbered));
        while values.peek().is_some() {
            let chunk: Vec<_> = values.by_ref().take(CHUNK * width).collect();
            let rows = chunk.len() / width;
            // Only the text of a full chunk comes back often enough to keep it prepared.
            count += if rows == CHUNK {
                self.run_text(AssertSqlSafe(full.get_or_init(made).clone()).into_sql_str(), true, chunk)
                    .await?
            } else {
                let text = sql.replace("{rows}", &placeholders(rows, width, numbered));
                self.run_text(AssertSqlSafe(text).into_sql_str(), rows == 1, chunk).await?
            };
        }
        Ok(count)
    }

    async fn run_text(&mut self, sql: SqlStr, keep: bool, args: Vec<Value<'_>>) -> Result<u64> {
        let place = self.place().clone();
        within(&place, Operation::Write, async {
            Ok(match self {
                Self::Sqlite(tx, _) => bound!(sql, keep, args).execute(&mut **tx).await?.rows_affected(),
                Self::Postgres(tx, _) => bound!(sql, keep, args).execute(&mut **tx).await?.rows_affected(),
            })
        })
        .await
    }

    /// Reads row by row: the engines' rows are many times as large as what is kept of them.
    pub async fn fetch<T>(
        &mut self,
        sql: &'static str,
        args: Vec<Value<'_>>,
        mut read: impl FnMut(&mut Row) -> Result<T>,
    ) -> Result<Vec<T>> {
        let place = self.place().clone();
        let watch =
            |result: sqlx::Result<()>| result.map_err(|source| StateError::from_engine(&place, source));
        let mut found = Vec::new();
        let mut take = |row: EngineRow| -> Result<()> {
            found.push(read(&mut Row { row, at: 0, place: place.clone() })?);
            Ok(())
        };
        watch(place.before(Operation::Read).await)?;
        let all = async {
            match self {
                Self::Sqlite(tx, _) => {
                    let mut rows = bound!(sql, true, args).fetch(&mut **tx);
                    let mut count = 0;
                    while let Some(row) = in_time(&place, next_row(&mut rows, count)).await? {
                        take(EngineRow::Sqlite(row))?;
                        count += 1;
                    }
                }
                Self::Postgres(tx, _) => {
                    let mut rows = bound!(sql, true, args).fetch(&mut **tx);
                    while let Some(row) = in_time(&place, rows.try_next()).await? {
                        take(EngineRow::Postgres(row))?;
                    }
                }
            }
            Ok(())
        };
        let all: Result<()> = all.await;
        watch(place.after(Operation::Read).await)?;
        all?;
        Ok(found)
    }

    pub async fn fetch_one<T>(
        &mut self,
        sql: &'static str,
        args: Vec<Value<'_>>,
        read: impl FnMut(&mut Row) -> Result<T>,
    ) -> Result<Option<T>> {
        Ok(self.fetch(sql, args, read).await?.pop())
    }
}

impl Row {
    pub fn next<T: Column>(&mut self) -> Result<T> {
        let at = self.at;
        self.at += 1;
        let value = match &self.row {
            EngineRow::Sqlite(row) => row.try_get(at),
            EngineRow::Postgres(row) => row.try_get(at),
        };
        value.map_err(|source| StateError::from_engine(&self.place, source))
    }

    pub fn time(&mut self, column: &'static str) -> Result<Timestamp> {
        let millis: i64 = self.next()?;
        Timestamp::from_millisecond(millis).map_err(|_| self.bad(column))
    }

    pub fn opt_time(&mut self, column: &'static str) -> Result<Option<Timestamp>> {
        let millis: Option<i64> = self.next()?;
        millis.map(Timestamp::from_millisecond).transpose().map_err(|_| self.bad(column))
    }

    /// Any unsigned number that is stored as BIGINT.
    pub fn number<T: TryFrom<i64>>(&mut self, column: &'static str) -> Result<T> {
        let number: i64 = self.next()?;
        T::try_from(number).map_err(|_| self.bad(column))
    }

    pub fn link(&mut self, column: &'static str) -> Result<LinkNo> {
        self.number(column).map(LinkNo)
    }

    pub fn anchor(&mut self, column: &'static str) -> Result<Anchor> {
        let bytes: Vec<u8> = self.next()?;
        Anchor::from_bytes(&bytes).ok_or_else(|| self.bad(column))
    }

    /// A word that `parse` knows.
    pub fn word<T>(&mut self, column: &'static str, parse: impl FnOnce(&str) -> Option<T>) -> Result<T> {
        let text: String = self.next()?;
        parse(&text).ok_or_else(|| self.bad(column))
    }

    pub fn opt_word<T>(
        &mut self,
        column: &'static str,
        parse: impl FnOnce(&str) -> Option<T>,
    ) -> Result<Option<T>> {
        let text: Option<String> = self.next()?;
        text.map(|text| parse(&text).ok_or_else(|| self.bad(column))).transpose()
    }

    pub fn json(&mut self, column: &'static str) -> Result<serde_json::Value> {
        let text: String = self.next()?;
        serde_json::from_str(&text).map_err(|_| self.bad(column))
    }

    /// The value just read makes no sense.
    pub fn bad(&self, column: &'static str) -> StateError {
        StateError::BadValue { place: self.place.to_string(), column }
    }
}

/// From this row on an answer is a long one.
const MANY_ROWS: usize = 200;
/// In this time the engine gets well ahead, and does not fill the room for its rows.
const HEAD_START: Duration = Duration::from_millis(1);

/// The next row of an engine whose own thread hands them over one by one. To be woken for each costs more than the row
/// itself: in a long answer it is left alone for a moment whenever it has been caught up with.
async fn next_row<R>(
    rows: &mut (impl Stream<Item = sqlx::Result<R>> + Unpin),
    count: usize,
) -> sqlx::Result<Option<R>> {
    if count < MANY_ROWS {
        return rows.try_next().await;
    }
    loop {
        match rows.try_next().now_or_never() {
            Some(next) => return next,
            None => tokio::time::sleep(HEAD_START).await,
        }
    }
}

/// `($1,$2),($3,$4)` for two rows of two, or `(?,?),(?,?)`. SQLite has no quick way from one of many thousands of
/// numbered parameters to its place.
fn placeholders(rows: usize, width: usize, numbered: bool) -> String {
    let mut text = String::with_capacity(rows * width * 6);
    for row in 0..rows {
        text.push_str(if row == 0 { "(" } else { ",(" });
        for column in 0..width {
            if column > 0 {
                text.push(',');
            }
            if numbered {
                text.push('$');
                text.push_str(&(row * width + column + 1).to_string());
            } else {
                text.push('?');
            }
        }
        text.push(')');
    }
    text
}

async fn within<T>(
    place: &Place,
    operation: Operation,
    work: impl Future<Output = sqlx::Result<T>>,
) -> Result<T> {
    let watched = async {
        place.before(operation).await?;
        let done = work.await;
        place.after(operation).await?;
        done
    };
    in_time(place, watched).await
}

async fn in_time<T>(place: &Place, work: impl Future<Output = sqlx::Result<T>>) -> Result<T> {
    match tokio::time::timeout(SILENCE, work).await {
        Ok(done) => done.map_err(|source| StateError::from_engine(place, source)),
        Err(_) => Err(StateError::Silent { place: place.to_string(), seconds: SILENCE.as_secs() }),
    }
}

impl From<bool> for Value<'_> {
    fn from(value: bool) -> Self {
        Self::Bool(value)
    }
}

impl From<i64> for Value<'_> {
    fn from(value: i64) -> Self {
        Self::Int(Some(value))
    }
}

impl From<u32> for Value<'_> {
    fn from(value: u32) -> Self {
        Self::Int(Some(value.into()))
    }
}

impl From<Timestamp> for Value<'_> {
    fn from(value: Timestamp) -> Self {
        Self::Int(Some(value.as_millisecond()))
    }
}

impl From<Option<Timestamp>> for Value<'_> {
    fn from(value: Option<Timestamp>) -> Self {
        Self::Int(value.map(Timestamp::as_millisecond))
    }
}

impl From<LinkNo> for Value<'_> {
    fn from(value: LinkNo) -> Self {
        Self::from(value.0)
    }
}

impl From<Option<LinkNo>> for Value<'_> {
    fn from(value: Option<LinkNo>) -> Self {
        Self::Int(value.map(|no| no.0.into()))
    }
}

impl From<CycleId> for Value<'_> {
    fn from(value: CycleId) -> Self {
        Self::Int(Some(value.0))
    }
}

impl<'a> From<&'a str> for Value<'a> {
    fn from(value: &'a str) -> Self {
        Self::from(Some(value))
    }
}

impl<'a> From<Option<&'a str>> for Value<'a> {
    fn from(value: Option<&'a str>) -> Self {
        // PostgreSQL has no U+0000 in text.
        Self::Text(value.map(|text| {
            if text.contains('\0') { Cow::Owned(text.replace('\0', "\u{fffd}")) } else { Cow::Borrowed(text) }
        }))
    }
}

impl From<String> for Value<'_> {
    fn from(value: String) -> Self {
        match Value::from(value.as_str()) {
            Value::Text(Some(Cow::Owned(cleaned))) => Self::Text(Some(Cow::Owned(cleaned))),
            _ => Self::Text(Some(Cow::Owned(value))),
        }
    }
}

impl From<Option<String>> for Value<'_> {
    fn from(value: Option<String>) -> Self {
        value.map_or(Self::Text(None), Self::from)
    }
}

impl<'a> From<&'a Anchor> for Value<'a> {
    fn from(value: &'a Anchor) -> Self {
        Self::Blob(Some(Cow::Borrowed(value.as_bytes())))
    }
}

impl<'a> From<Option<&'a [u8; 16]>> for Value<'a> {
    fn from(value: Option<&'a [u8; 16]>) -> Self {
        Self::Blob(value.map(|bytes| Cow::Borrowed(bytes.as_slice())))
    }
}

impl From<Option<Vec<u8>>> for Value<'_> {
    fn from(value: Option<Vec<u8>>) -> Self {
        Self::Blob(value.map(Cow::Owned))
    }
}

/// The values of a statement, each turned into a [`Value`].
macro_rules! args {
    ($($value:expr),* $(,)?) => { vec![$($crate::state::db::Value::from($value)),*] };
}
pub(super) use args;

#[cfg(test)]
mod tests {
    use futures::StreamExt;

    use super::*;

    /// Rows come one by one and in bursts, and with an error in the end.
    #[tokio::test]
    async fn no_row_of_a_long_answer_is_lost() {
        let numbers = futures::stream::iter(0..5 * MANY_ROWS).then(|at| async move {
            if at % 3 == 0 || at % 500 < 30 {
                tokio::task::yield_now().await;
            }
            if at == 4 * MANY_ROWS { Err(sqlx::Error::RowNotFound) } else { Ok(at) }
        });
        let mut rows = Box::pin(numbers);
        let mut found = Vec::new();
        let end = loop {
            match next_row(&mut rows, found.len()).await {
                Ok(Some(row)) => found.push(row),
                end => break end,
            }
        };
        assert!(matches!(end, Err(sqlx::Error::RowNotFound)));
        assert_eq!(found, (0..4 * MANY_ROWS).collect::<Vec<_>>());
    }

    #[test]
    fn placeholders_are_numbered_through() {
        assert_eq!(placeholders(2, 3, true), "($1,$2,$3),($4,$5,$6)");
        assert_eq!(placeholders(2, 1, false), "(?),(?)");
    }

    #[test]
    fn text_is_rid_of_what_postgres_cannot_hold() {
        let Value::Text(Some(text)) = Value::from("a\0b".to_owned()) else { panic!("text") };
        assert_eq!(text, "a\u{fffd}b");
    }
}
