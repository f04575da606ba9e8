//! A new database of either engine for each test.

use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

use idcsync::ids::{Anchor, IdentityStoreId, LinkNo, Sid, TargetId};
use idcsync::model::{
    Binding, Deleted, DeletionProof, Digest, DisableCause, DisableHow, Disabled, GroupSets, Kind, Link,
    Origin, Retry, UserAttribute, UserAttributes,
};
use idcsync::state::{CycleKind, ReadRecord, State, StateUrl};
use jiff::Timestamp;
use roaring::RoaringBitmap;
use tempfile::TempDir;

use crate::support::postgres::Postgres;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Engine {
    Sqlite,
    Postgres,
}

pub struct Bed {
    pub url: StateUrl,
    /// The url with its password.
    pub text: String,
    dir: TempDir,
}

/// One cluster for all tests; each gets its own database in it.
pub fn cluster() -> &'static Postgres {
    static CLUSTER: OnceLock<Postgres> = OnceLock::new();
    CLUSTER.get_or_init(Postgres::start)
}

pub fn new_database() -> String {
    static NEXT: AtomicU32 = AtomicU32::new(1);
    let name = format!("state{}", NEXT.fetch_add(1, Ordering::Relaxed));
    cluster().psql(&format!("CREATE DATABASE {name}"));
    let url = cluster().url();
    let (server, _) = url.rsplit_once('/').unwrap();
    format!("{server}/{name}")
}

impl Bed {
    pub fn new(engine: Engine) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let text = match engine {
            Engine::Sqlite => format!("sqlite://{}/state.db", dir.path().display()),
            Engine::Postgres => new_database(),
        };
        let url = StateUrl::parse(&text, dir.path()).unwrap();
        Self { url, text, dir }
    }

    pub async fn open(&self) -> State {
        State::open(&self.url, "corp").await.unwrap()
    }

    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    pub fn file(&self) -> PathBuf {
        self.url.path().unwrap().to_owned()
    }

    /// Runs SQL behind the state's back.
    pub async fn sql(&self, sql: &str) {
        if let Some(path) = self.url.path() {
            let options = sqlx::sqlite::SqliteConnectOptions::new().filename(path).create_if_missing(true);
            let pool = sqlx::SqlitePool::connect_with(options).await.unwrap();
            sqlx::raw_sql(sqlx::AssertSqlSafe(sql)).execute(&pool).await.unwrap();
            pool.close().await;
        } else {
            let pool = sqlx::PgPool::connect(&self.text).await.unwrap();
            sqlx::raw_sql(sqlx::AssertSqlSafe(sql)).execute(&pool).await.unwrap();
            pool.close().await;
        }
    }
}

pub fn at(text: &str) -> Timestamp {
    format!("2026-03-{text}Z").parse().unwrap()
}

pub fn store() -> IdentityStoreId {
    IdentityStoreId::new("d-1234567890")
}

pub fn binding() -> Binding {
    Binding { directory: "S-1-5-21-1-2-3".to_owned(), identity_store: store() }
}

pub fn user(no: u32, target: Option<&str>) -> Link {
    let mut link = Link::new(LinkNo(no), Kind::User, Anchor::from_u128(no.into()), format!("CN=u{no},DC=x"));
    link.target_id = target.map(TargetId::new);
    link
}

/// A link with a value in every column.
pub fn full_group() -> Link {
    let attributes = UserAttributes::from([(UserAttribute::UserName, "a".to_owned())]);
    Link {
        no: LinkNo(7),
        kind: Kind::Group,
        anchor: Anchor::from_u128(u128::MAX - 1),
        dn: "CN=Führung\\, Zürich 🏔,OU=Büro,DC=x".into(),
        sid: Some(Sid::parse("S-1-5-21-1-2-3-500").unwrap()),
        target_id: Some(TargetId::new("g-7")),
        origin: Origin::Adopted,
        name: Some("Führung".to_owned()),
        email: Some("a@b.example".to_owned()),
        digest: Some(Digest::of_user(&attributes)),
        out_since: Some(at("01T00:00:00.123")),
        filled: true,
        of_group: GroupSets {
            direct: RoaringBitmap::from_iter([1, 2, 70_000, u32::MAX]),
            primary: RoaringBitmap::from_iter([3]),
            hidden: RoaringBitmap::from_iter([2]),
            unreadable: ["cn=fremd,dc=y".to_owned(), "cn=\"x\"".to_owned()].into(),
            applied: (1..5000).collect(),
            doubtful: RoaringBitmap::from_iter([3, 4]),
        }
        .into(),
        disabled: Some(Disabled {
            at: at("04T10:00:00"),
            cause: DisableCause::OutOfReach,
            how: DisableHow::Revoked,
        }),
        deleted: Some(Deleted { since: at("05T10:00:00"), proof: DeletionProof::ChangeLog }),
        absent_since: Some(at("06T10:00:00")),
        retry: Some(Box::new(Retry {
            attempts: 3,
            not_before: at("02T00:00:00"),
            code: "ConflictException".to_owned(),
            digest: Digest::of_user(&UserAttributes::new()),
        })),
    }
}

/// All that a link holds, to compare by.
pub fn shown(link: &Link) -> String {
    format!("{link:?} {:?} {:?} {:?}", link.direct, link.hidden, link.applied)
}

pub fn read<'a>(links: Vec<&'a Link>, now: Timestamp) -> ReadRecord<'a> {
    ReadRecord {
        links,
        pins: Default::default(),
        complete_read: None,
        binding: Some(binding()),
        rebind: false,
        server: None,
        full: None,
        read: None,
        clock: None,
        cookie: None,
        mirror: None,
        now,
    }
}

/// Begins a cycle and records links in it.
pub async fn with_links(state: &State, links: &[Link]) -> idcsync::ids::CycleId {
    let now = at("01T00:00:00");
    let cycle = state.begin_cycle(CycleKind::Normal, now).await.unwrap();
    state.record_read(cycle, &read(links.iter().collect(), now)).await.unwrap();
    cycle
}
