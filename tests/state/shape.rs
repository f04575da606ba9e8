//! The two sets of migrations make the same tables, columns and indexes.

use std::collections::BTreeSet;
use std::path::Path;

use sqlx::Row;

use crate::bed::{Bed, Engine};

#[tokio::test]
async fn both_engines_have_the_same_tables_columns_and_indexes() {
    let (sqlite, postgres) = (Bed::new(Engine::Sqlite), Bed::new(Engine::Postgres));
    sqlite.open().await.close().await;
    postgres.open().await.close().await;

    let options = sqlx::sqlite::SqliteConnectOptions::new().filename(sqlite.file());
    let lite = sqlx::SqlitePool::connect_with(options).await.unwrap();
    let of_sqlite = "SELECT m.name || '.' || c.name || CASE WHEN c.\"notnull\" THEN ' not null' ELSE '' END
        FROM sqlite_master m JOIN pragma_table_info(m.name) c
        WHERE m.type = 'table' AND m.name NOT LIKE 'sqlite^_%' ESCAPE '^' AND m.name <> '_sqlx_migrations'
            AND c.name <> 'id'";
    let of_sqlite = sqlx::query(of_sqlite).fetch_all(&lite).await.unwrap();
    let of_sqlite: BTreeSet<String> = of_sqlite.iter().map(|row| row.get(0)).collect();

    let pg = sqlx::PgPool::connect(&postgres.text).await.unwrap();
    let of_postgres =
        "SELECT table_name || '.' || column_name || CASE is_nullable WHEN 'NO' THEN ' not null' ELSE '' END
        FROM information_schema.columns
        WHERE table_schema = 'public' AND table_name <> '_sqlx_migrations' AND column_name <> 'id'";
    let of_postgres = sqlx::query(of_postgres).fetch_all(&pg).await.unwrap();
    let of_postgres: BTreeSet<String> = of_postgres.iter().map(|row| row.get(0)).collect();
    assert!(of_sqlite.contains("links.anchor not null"), "{of_sqlite:?}");
    assert_eq!(of_sqlite, of_postgres);

    let of_sqlite = "SELECT name FROM sqlite_master WHERE type = 'index' AND sql IS NOT NULL ORDER BY name";
    let of_sqlite = sqlx::query(of_sqlite).fetch_all(&lite).await.unwrap();
    let of_postgres = "SELECT i.relname::text FROM pg_index x JOIN pg_class i ON i.oid = x.indexrelid
        JOIN pg_namespace n ON n.oid = i.relnamespace
        WHERE n.nspname = 'public' AND NOT EXISTS (SELECT 1 FROM pg_constraint c WHERE c.conindid = x.indexrelid)
        ORDER BY i.relname";
    let of_postgres = sqlx::query(of_postgres).fetch_all(&pg).await.unwrap();
    let of_sqlite: Vec<String> = of_sqlite.iter().map(|row| row.get(0)).collect();
    let of_postgres: Vec<String> = of_postgres.iter().map(|row| row.get(0)).collect();
    assert_eq!(of_sqlite, of_postgres);
}

#[test]
fn migrations_are_numbered_alike() {
    let names = |engine: &str| -> BTreeSet<_> {
        let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("migrations").join(engine);
        std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().file_name()).collect()
    };
    assert_eq!(names("sqlite"), names("postgres"));
}
