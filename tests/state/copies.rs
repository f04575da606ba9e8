//! What a dry run reads, and that it leaves no trace.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::SystemTime;

use idcsync::ids::LinkNo;
use idcsync::state::{State, StateError, StateUrl};

use crate::bed::{Bed, Engine, at, full_group, shown, user, with_links};

/// Name, time of change and bytes of all files in a directory.
fn files(dir: &Path) -> BTreeMap<String, (SystemTime, Vec<u8>)> {
    std::fs::read_dir(dir)
        .unwrap()
        .map(|entry| {
            let entry = entry.unwrap();
            let changed = entry.metadata().unwrap().modified().unwrap();
            (entry.file_name().into_string().unwrap(), (changed, std::fs::read(entry.path()).unwrap()))
        })
        .collect()
}

async fn same_links(url: &StateUrl) {
    let copy = State::open_copy(url, "corp").await.unwrap();
    let known = copy.load(at("02T00:00:00")).await.unwrap();
    assert_eq!(shown(&known.links[&LinkNo(7)]), shown(&full_group()));
    assert_eq!((known.links.len(), copy.cycles(5).await.unwrap().len()), (2, 1));
    assert!(
        State::open_copy(url, "nobody")
            .await
            .unwrap()
            .load(at("02T00:00:00"))
            .await
            .unwrap()
            .links
            .is_empty()
    );
}

#[tokio::test]
async fn a_copy_of_a_file_leaves_every_byte_and_time() {
    let bed = Bed::new(Engine::Sqlite);
    let state = bed.open().await;
    with_links(&state, &[full_group(), user(1, None)]).await;
    assert!(matches!(State::open_copy(&bed.url, "corp").await, Err(StateError::OpenHere { .. })));
    state.close().await;
    let before = files(bed.dir());
    assert_eq!(before.keys().collect::<Vec<_>>(), ["state.db"]);
    same_links(&bed.url).await;
    assert_eq!(files(bed.dir()), before);
}

#[tokio::test]
async fn a_copy_holds_what_a_crash_left_in_the_log() {
    let bed = Bed::new(Engine::Sqlite);
    let state = bed.open().await;
    with_links(&state, &[full_group(), user(1, None)]).await;
    // The files as a killed process leaves them.
    let dir = tempfile::tempdir().unwrap();
    for name in ["state.db", "state.db-wal", "state.db-shm"] {
        std::fs::copy(bed.dir().join(name), dir.path().join(name)).unwrap();
    }
    assert!(std::fs::metadata(dir.path().join("state.db-wal")).unwrap().len() > 0);
    let before = files(dir.path());
    let url = StateUrl::parse("sqlite:state.db", dir.path()).unwrap();
    same_links(&url).await;
    assert_eq!(files(dir.path()), before);

    // And the next cycle finds the same.
    let state = State::open(&url, "corp").await.unwrap();
    assert_eq!(state.load(at("02T00:00:00")).await.unwrap().links.len(), 2);
}

#[tokio::test]
async fn where_there_is_nothing_a_copy_makes_nothing() {
    let bed = Bed::new(Engine::Sqlite);
    let copy = State::open_copy(&bed.url, "corp").await.unwrap();
    assert!(copy.load(at("01T00:00:00")).await.unwrap().links.is_empty());
    assert_eq!(copy.latest_held().await.unwrap(), None);
    assert!(files(bed.dir()).is_empty());

    let bed = Bed::new(Engine::Postgres);
    let copy = State::open_copy(&bed.url, "corp").await.unwrap();
    assert!(copy.load(at("01T00:00:00")).await.unwrap().links.is_empty());
    let pool = sqlx::PgPool::connect(&bed.text).await.unwrap();
    let count: i64 = sqlx::query_scalar(
        "SELECT count(*) FROM pg_tables WHERE schemaname NOT IN ('pg_catalog', 'information_schema')",
    )
    .fetch_one(&pool)
    .await
    .unwrap();
    assert_eq!(count, 0);
}

#[tokio::test]
async fn a_copy_of_postgres_reads_in_sessions_that_cannot_write() {
    let bed = Bed::new(Engine::Postgres);
    let state = bed.open().await;
    with_links(&state, &[full_group(), user(1, None)]).await;
    same_links(&bed.url).await;
    // What is begun meanwhile is seen: it is the database itself.
    let copy = State::open_copy(&bed.url, "corp").await.unwrap();
    with_links(&state, &[user(2, None)]).await;
    assert_eq!(copy.load(at("02T00:00:00")).await.unwrap().links.len(), 3);
}
