//! Databases that cannot be used, and what is said about it.

use std::error::Error;
use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use idcsync::secret::SecretSource;
use idcsync::state::{CycleKind, State, StateError, StateUrl};

use crate::bed::{Bed, Engine, at, cluster};
use crate::support::proxy::{How, Proxy};

async fn refused(bed: &Bed) -> StateError {
    let error = State::open(&bed.url, "corp").await.unwrap_err();
    let copy = State::open_copy(&bed.url, "corp").await.unwrap_err();
    assert_eq!(error.to_string(), copy.to_string(), "a dry run says the same");
    error
}

/// The error and all that is below it.
fn chain(error: &dyn Error) -> String {
    let mut text = format!("{error} / {error:?}");
    let mut source = error.source();
    while let Some(inner) = source {
        text.push_str(&format!(" / {inner}"));
        source = inner.source();
    }
    text
}

#[tokio::test]
async fn a_directory_that_is_missing_is_not_made() {
    let bed = Bed::new(Engine::Sqlite);
    let url = StateUrl::parse("sqlite:no/such/state.db", bed.dir()).unwrap();
    let error = State::open(&url, "corp").await.unwrap_err();
    assert!(matches!(error, StateError::NoDirectory { .. }), "{error:?}");
    assert!(error.to_string().contains("create it") && error.is_unavailable());
    assert!(State::open_copy(&url, "corp").await.is_err());
    assert_eq!(std::fs::read_dir(bed.dir()).unwrap().count(), 0);
}

#[tokio::test]
async fn a_file_that_is_no_database_is_left_alone() {
    let bed = Bed::new(Engine::Sqlite);
    for content in ["dear diary", &"dear diary, ".repeat(1000)] {
        std::fs::write(bed.file(), content).unwrap();
        let error = refused(&bed).await;
        assert!(matches!(error, StateError::NotADatabase { .. }), "{error:?}");
        assert_eq!(std::fs::read_to_string(bed.file()).unwrap(), content);
    }
}

#[tokio::test]
async fn another_programs_database_is_left_alone() {
    for engine in [Engine::Sqlite, Engine::Postgres] {
        let bed = Bed::new(engine);
        bed.sql("CREATE TABLE links (url TEXT)").await;
        let error = refused(&bed).await;
        assert!(matches!(error, StateError::Foreign { .. }), "{error:?}");
        if engine == Engine::Sqlite {
            assert_eq!(std::fs::read_dir(bed.dir()).unwrap().count(), 1, "no log was begun");
        }
    }
}

#[tokio::test]
async fn a_newer_or_altered_schema_is_refused() {
    for engine in [Engine::Sqlite, Engine::Postgres] {
        let bed = Bed::new(engine);
        bed.open().await.close().await;
        let zero = if engine == Engine::Sqlite { "x'00'" } else { "'\\x00'" };
        bed.sql(&format!(
            "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time)
            VALUES (999, 'later', TRUE, {zero}, 0)"
        ))
        .await;
        let error = refused(&bed).await;
        assert!(matches!(error, StateError::Newer { found: 999, .. }), "{error:?}");
        bed.sql(&format!(
            "DELETE FROM _sqlx_migrations WHERE version = 999; UPDATE _sqlx_migrations SET checksum = {zero}"
        ))
        .await;
        let error = refused(&bed).await;
        assert!(matches!(error, StateError::Altered { version: 1, .. }), "{error:?}");
    }
}

/// Nothing comes from it any more, on no connection: each request is given up in its time, and the state serves again once
/// there is a server. (`state::keep` has what becomes of the lease meanwhile.)
#[tokio::test]
async fn a_server_that_falls_silent_is_given_up_and_asked_again() {
    let bed = Bed::new(Engine::Postgres);
    let server = bed.text.split(['@', '/']).find_map(|part| part.parse().ok()).unwrap();
    let proxy = Proxy::start(server);
    let text = bed.text.replace(&server.to_string(), &proxy.address().to_string());
    let state = State::open(&StateUrl::parse(&text, bed.dir()).unwrap(), "corp").await.unwrap();
    let now = at("01T00:00:00");
    let cycle = state.begin_cycle(CycleKind::Normal, now).await.unwrap();
    proxy.after_bytes(0, How::Stall, false);
    // The clock goes on whenever there is nothing to do but wait: nobody sits through the minute.
    tokio::time::pause();
    let begun = tokio::time::Instant::now();
    for _ in 0..2 {
        let error = state.unfinished().await.unwrap_err();
        let text = error.to_string();
        assert!(error.is_unavailable(), "{error:?}");
        assert!(text.contains("did not answer for") || text.contains("could not be reached"), "{text}");
        assert!(!text.contains("rig-secret"), "{text}");
    }
    assert!(begun.elapsed() < Duration::from_secs(150), "{:?}", begun.elapsed());
    tokio::time::resume();
    proxy.pass();
    assert_eq!(state.unfinished().await.unwrap().len(), 0);
    assert_eq!(state.cycles(1).await.unwrap()[0].id, cycle);
}

#[tokio::test]
async fn a_server_that_takes_no_writes_says_so() {
    let bed = Bed::new(Engine::Postgres);
    let database = bed.text.rsplit_once('/').unwrap().1.to_owned();
    bed.open().await.close().await;
    cluster().psql(&format!("ALTER DATABASE {database} SET default_transaction_read_only = on"));
    let state = bed.open().await;
    let error = state.begin_cycle(CycleKind::Normal, at("01T00:00:00")).await.unwrap_err();
    assert!(matches!(error, StateError::ReadOnly { .. }), "{error:?}");
    assert!(error.to_string().contains("cannot be written"), "{error}");
}

#[tokio::test]
async fn a_file_that_cannot_be_written_says_so() {
    let bed = Bed::new(Engine::Sqlite);
    bed.open().await.close().await;
    std::fs::set_permissions(bed.file(), PermissionsExt::from_mode(0o400)).unwrap();
    // Permissions do not hold root back.
    if std::fs::OpenOptions::new().write(true).open(bed.file()).is_err() {
        let result = match State::open(&bed.url, "corp").await {
            Ok(state) => state.begin_cycle(CycleKind::Normal, at("01T00:00:00")).await.map(|_| ()),
            Err(error) => Err(error),
        };
        let error = result.unwrap_err();
        assert!(matches!(error, StateError::ReadOnly { .. } | StateError::CannotOpen { .. }), "{error:?}");
    }
}

#[tokio::test]
async fn files_are_their_owners_alone() {
    let bed = Bed::new(Engine::Sqlite);
    let state = bed.open().await;
    state.begin_cycle(CycleKind::Normal, at("01T00:00:00")).await.unwrap();
    let mut count = 0;
    for entry in std::fs::read_dir(bed.dir()).unwrap() {
        let meta = entry.unwrap().metadata().unwrap();
        assert_eq!(meta.permissions().mode() & 0o777, 0o600);
        count += 1;
    }
    assert_eq!(count, 3, "file, log and shared memory");
}

#[tokio::test]
async fn a_damaged_database_says_so() {
    let bed = Bed::new(Engine::Sqlite);
    bed.open().await.close().await;
    let mut bytes = std::fs::read(bed.file()).unwrap();
    // The first page after its header: the schema's.
    bytes[100..4000].fill(0x5a);
    std::fs::write(bed.file(), bytes).unwrap();
    let error = refused(&bed).await;
    assert!(matches!(error, StateError::Corrupt { .. }), "{error:?}");
}

#[tokio::test]
async fn a_locked_database_says_so() {
    let bed = Bed::new(Engine::Sqlite);
    let state = bed.open().await;
    let options = sqlx::sqlite::SqliteConnectOptions::new().filename(bed.file());
    let other = sqlx::SqlitePool::connect_with(options).await.unwrap();
    let lock = other.begin_with("BEGIN EXCLUSIVE").await.unwrap();
    let error = state.begin_cycle(CycleKind::Normal, at("01T00:00:00")).await.unwrap_err();
    assert!(matches!(error, StateError::Locked { .. }), "{error:?}");
    drop(lock);
    state.begin_cycle(CycleKind::Normal, at("01T00:00:00")).await.unwrap();
}

#[tokio::test]
async fn a_server_that_cannot_be_used_says_why_and_shows_no_password() {
    let url = cluster().url();
    let (start, _) = url.rsplit_once('/').unwrap();
    let user_at = start.find('@').unwrap();
    let password = start[..user_at].rsplit_once(':').unwrap().1;
    let address = &start[user_at + 1..];
    let (host, _) = address.rsplit_once(':').unwrap();
    let dir = tempfile::tempdir().unwrap();
    let open = async |text: String| {
        State::open(&StateUrl::parse(&text, dir.path()).unwrap(), "corp").await.unwrap_err()
    };

    let wrong = open(format!("postgres://idcsync:geheim@{address}/postgres")).await;
    assert!(matches!(wrong, StateError::Login { .. }), "{wrong:?}");
    let missing = open(format!("{start}/nowhere")).await;
    assert!(matches!(missing, StateError::NoDatabase { .. }), "{missing:?}");
    let closed = open(format!("postgres://idcsync:geheim@{host}:1/postgres")).await;
    assert!(matches!(closed, StateError::Unreachable { .. }), "{closed:?}");
    let plain = open(format!("{start}/postgres?sslmode=require")).await;
    assert!(matches!(plain, StateError::Tls { .. }), "{plain:?}");
    let unproven = open(format!("{start}/postgres?sslmode=verify-full")).await;
    assert!(matches!(unproven, StateError::Tls { .. }), "{unproven:?}");
    assert!(chain(&unproven).contains("set up TLS in the server"), "{unproven}");
    for error in [&wrong, &missing, &closed, &plain, &unproven] {
        let text = chain(error);
        assert!(!text.contains("geheim") && !text.contains(password), "{text}");
        assert!(error.is_unavailable() && text.contains(host), "{text}");
    }

    // The password from a file, which is read when the database is opened.
    let file = dir.path().join("password");
    let text = format!("postgres://idcsync@{address}/postgres");
    let url = StateUrl::parse(&text, dir.path()).unwrap();
    let url = url.with_password(Some(SecretSource::File(file.clone()))).unwrap();
    let error = State::open_copy(&url, "corp").await.unwrap_err();
    assert!(matches!(error, StateError::Password(_)), "{error:?}");
    std::fs::write(&file, password).unwrap();
    State::open_copy(&url, "corp").await.unwrap();
}

#[tokio::test]
async fn a_server_must_prove_who_it_is_by_the_ca_that_the_url_names() {
    let server = crate::support::postgres::Postgres::start_with_tls();
    // As if the config file were there.
    let open = async |query: &str| {
        let url = StateUrl::parse(&format!("{}?{query}", server.url()), server.home()).unwrap();
        State::open_copy(&url, "corp").await.map(|_| ())
    };
    open("sslmode=verify-full&sslrootcert=ca.pem").await.unwrap();
    open("sslmode=require").await.unwrap();
    let stranger = open("sslmode=verify-full").await.unwrap_err();
    assert!(matches!(stranger, StateError::Tls { .. }), "{stranger:?}");
    assert!(chain(&stranger).contains("sslrootcert=FILE"), "{stranger}");
    let missing = open("sslmode=verify-full&sslrootcert=none.pem").await.unwrap_err();
    assert!(matches!(&missing, StateError::File { path, .. } if *path == server.home().join("none.pem")));
}

#[tokio::test]
async fn a_server_that_goes_away_and_comes_back() {
    let mut server = crate::support::postgres::Postgres::start();
    let url = StateUrl::parse(&server.url(), std::path::Path::new("/")).unwrap();
    let state = State::open(&url, "corp").await.unwrap();
    state.begin_cycle(CycleKind::Normal, at("01T00:00:00")).await.unwrap();
    server.kill();
    let error = state.begin_cycle(CycleKind::Normal, at("01T00:00:00")).await.unwrap_err();
    assert!(matches!(error, StateError::Unreachable { .. }), "{error:?}");
    server.restart();
    state.begin_cycle(CycleKind::Normal, at("01T00:00:00")).await.unwrap();
    assert_eq!(state.cycles(9).await.unwrap().len(), 2);
}
