//! The state database: the same tests on SQLite and on PostgreSQL, and what only one of them has.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "this is test code, where a panic is the report")]

mod support;

/// Each of these as a test on SQLite and as one on PostgreSQL.
macro_rules! on_both {
    ($($name:ident)*) => {
        mod sqlite {
            $(#[tokio::test(flavor = "multi_thread")] async fn $name() { super::$name(super::Engine::Sqlite).await; })*
        }
        mod postgres {
            $(#[tokio::test(flavor = "multi_thread")] async fn $name() { super::$name(super::Engine::Postgres).await; })*
        }
    };
}

#[path = "state/bed.rs"]
mod bed;
#[path = "state/both.rs"]
mod both;
#[path = "state/browse.rs"]
mod browse;
#[path = "state/copies.rs"]
mod copies;
#[path = "state/lease.rs"]
mod lease;
#[path = "state/refused.rs"]
mod refused;
#[path = "state/repair.rs"]
mod repair;
#[path = "state/shape.rs"]
mod shape;
