//! The lease: one holder at a time, by the database's clock, and what only the holder may write.

use std::time::Duration;

use idcsync::ids::{IdentityStoreId, LinkNo};
use idcsync::model::{Intent, Outcome, StepResult};
use idcsync::state::{CycleKind, Holder, LEASE_TTL, Lease, LeaseAnswer, State, StateError, StateUrl};
use jiff::Timestamp;
use serde_json::json;

use crate::bed::{Bed, Engine, at, read, store, user, with_links};
use crate::support::postgres::Postgres;

const BOTH: [Engine; 2] = [Engine::Sqlite, Engine::Postgres];
const DAY: Duration = Duration::from_secs(86_400);

/// Somebody on another host, of whom nobody here can say whether they are gone.
fn elsewhere(pid: u32) -> Holder {
    Holder { host: "elsewhere".to_owned(), space: "boot ns".to_owned(), pid, start: 5 }
}

async fn acquired(state: &State, holder: &Holder) -> Lease {
    match state.acquire_lease(&store(), holder, LEASE_TTL).await.unwrap() {
        LeaseAnswer::Acquired(lease) => lease,
        LeaseAnswer::HeldBy { holder, until } => panic!("held by {holder} until {until}"),
    }
}

async fn other_holder(state: &State, holder: &Holder) -> Holder {
    match state.acquire_lease(&store(), holder, LEASE_TTL).await.unwrap() {
        LeaseAnswer::HeldBy { holder, .. } => holder,
        LeaseAnswer::Acquired(_) => panic!("{holder} got it"),
    }
}

/// As if so much time had gone by in the database, and nowhere else.
async fn age(bed: &Bed, by: Duration) {
    bed.sql(&format!("UPDATE leases SET held_until = held_until - {}", by.as_millis())).await;
}

fn intent() -> Intent {
    Intent {
        step: 1,
        action: "create-user".to_owned(),
        link: LinkNo(1),
        member: None,
        detail: json!({}),
        at: at("01T00:00:00"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn it_has_one_holder_until_it_is_given_back() {
    for engine in BOTH {
        let bed = Bed::new(engine);
        let (one, two) = (bed.open().await, State::open(&bed.url, "other").await.unwrap());
        let (a, b) = (elsewhere(1), elsewhere(2));
        let lease = acquired(&one, &a).await;
        assert!(lease.remaining() <= LEASE_TTL && lease.remaining() > LEASE_TTL / 2);
        assert_eq!(other_holder(&two, &b).await, a);
        // Another store has its own lease; the holder may ask again.
        let other_store = IdentityStoreId::new("d-0000000000");
        let other = two.acquire_lease(&other_store, &b, LEASE_TTL).await.unwrap();
        assert!(matches!(other, LeaseAnswer::Acquired(_)));
        let again = acquired(&one, &a).await;
        assert!(one.renew_lease(&again).await.unwrap());
        one.release_lease(&again).await.unwrap();
        assert!(again.remaining().is_zero(), "nothing more is sent under it");
        assert_eq!(one.lease(&store()).await.unwrap(), None);
        acquired(&two, &b).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_has_lost_it_learns_so_and_begins_nothing_more() {
    for engine in BOTH {
        let bed = Bed::new(engine);
        let (one, two) = (bed.open().await, bed.open().await);
        let lease = acquired(&one, &elsewhere(1)).await;
        let cycle = with_links(&one, &[user(1, None)]).await;
        let before = one.intend(cycle, &[intent()]).await.unwrap();

        // Not renewed in time, and nobody came: it is still ours.
        age(&bed, LEASE_TTL + Duration::from_secs(1)).await;
        assert!(one.renew_lease(&lease).await.unwrap());
        assert_eq!(other_holder(&two, &elsewhere(2)).await, elsewhere(1));

        age(&bed, LEASE_TTL + Duration::from_secs(1)).await;
        let theirs = acquired(&two, &elsewhere(2)).await;
        assert!(!lease.remaining().is_zero(), "the first does not know it yet");
        for refused in [one.intend(cycle, &[intent()]).await.map(|_| ()), {
            let links = [user(1, Some("u-1"))];
            one.record_read(cycle, &read(links.iter().collect(), at("01T00:00:00"))).await
        }] {
            let error = refused.unwrap_err();
            assert!(matches!(error, StateError::LeaseLost { .. }) && error.is_unavailable(), "{error:?}");
        }
        assert!(lease.remaining().is_zero());
        assert!(!one.renew_lease(&lease).await.unwrap());
        assert_eq!(one.steps(cycle).await.unwrap().len(), 1, "nothing of it was written");

        // Whoever has it now looks up what became of that, and knows the links better.
        let outcome = Outcome { seq: before[0], result: StepResult::Done, at: at("01T00:00:01") };
        let refused = one.record(std::slice::from_ref(&outcome), &[]).await.unwrap_err();
        assert!(matches!(refused, StateError::LeaseLost { .. }), "{refused:?}");
        assert!(matches!(one.make_sure_of_lease().await, Err(StateError::LeaseLost { .. })));
        assert_eq!(two.unfinished().await.unwrap().len(), 1);
        two.record(&[outcome], &[]).await.unwrap();
        assert_eq!(two.unfinished().await.unwrap(), []);
        // Theirs is not touched by what the first does.
        one.release_lease(&lease).await.unwrap();
        assert!(two.renew_lease(&theirs).await.unwrap());
        let theirs = two.begin_cycle(CycleKind::Normal, at("01T00:01:00")).await.unwrap();
        two.intend(theirs, &[intent()]).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn only_the_databases_clock_counts() {
    let bed = Bed::new(Engine::Postgres);
    let (_, database) = bed.text.rsplit_once('/').unwrap();
    bed.open().await.close().await;
    // A clock of its own, that this machine knows nothing of.
    let set_clock = async |ahead: Duration| {
        bed.sql(&format!(
            "ALTER DATABASE {database} SET search_path = public, pg_catalog;
            CREATE OR REPLACE FUNCTION public.clock_timestamp() RETURNS timestamptz LANGUAGE sql VOLATILE
            AS 'SELECT pg_catalog.clock_timestamp() + interval ''{} s'''",
            ahead.as_secs()
        ))
        .await;
    };
    set_clock(DAY).await;
    let (one, two) = (bed.open().await, bed.open().await);
    assert!(one.clock_ahead().await.unwrap().unwrap() > 80_000, "the clock is set");
    let lease = acquired(&one, &elsewhere(1)).await;
    assert!(lease.remaining() <= LEASE_TTL, "whatever the database's clock says");
    let (_, until) = one.lease(&store()).await.unwrap().unwrap();
    assert!(until > Timestamp::now() + jiff::SignedDuration::from_hours(23), "{until}");
    assert_eq!(other_holder(&two, &elsewhere(2)).await, elsewhere(1));

    set_clock(DAY + LEASE_TTL + Duration::from_secs(1)).await;
    let theirs = acquired(&two, &elsewhere(2)).await;
    assert!(!one.renew_lease(&lease).await.unwrap());
    assert!(lease.remaining().is_zero() && !theirs.remaining().is_zero());
}

#[tokio::test(flavor = "multi_thread")]
async fn of_this_hosts_processes_it_can_be_seen_whether_they_live() {
    for engine in BOTH {
        let bed = Bed::new(engine);
        let (one, two) = (bed.open().await, bed.open().await);
        let me = Holder::current().unwrap();
        let gone = Holder { start: me.start + 1, ..me.clone() };
        let lease = acquired(&one, &gone).await;
        acquired(&two, &me).await;
        assert!(!one.renew_lease(&lease).await.unwrap());
        let stranger = Holder { pid: me.pid + 1, ..me.clone() };
        assert_eq!(other_holder(&one, &stranger).await, me);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn of_many_who_want_it_one_gets_it() {
    for engine in BOTH {
        let bed = Bed::new(engine);
        let (one, two) = (bed.open().await, bed.open().await);
        for _ in 0..5 {
            let tries = (0..8).map(|n| {
                let state = if n % 2 == 0 { one.clone() } else { two.clone() };
                tokio::spawn(
                    async move { state.acquire_lease(&store(), &elsewhere(n), LEASE_TTL).await.unwrap() },
                )
            });
            let answers = futures::future::join_all(tries).await;
            let won = answers.iter().filter(|a| matches!(a, Ok(LeaseAnswer::Acquired(_)))).count();
            assert_eq!(won, 1, "{answers:?}");
            age(&bed, DAY).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_started_again_ends_no_lease() {
    let mut server = Postgres::start();
    let url = StateUrl::parse(&server.url(), std::path::Path::new("/")).unwrap();
    let state = State::open(&url, "corp").await.unwrap();
    let lease = acquired(&state, &elsewhere(1)).await;
    let cycle = with_links(&state, &[user(1, None)]).await;
    let seq = state.intend(cycle, &[intent()]).await.unwrap()[0];
    server.kill();
    let renewal = {
        let (state, lease) = (state.clone(), lease.clone());
        tokio::spawn(async move { state.renew_lease(&lease).await })
    };
    let outcome = {
        let state = state.clone();
        let outcome = Outcome { seq, result: StepResult::Done, at: at("01T00:00:01") };
        tokio::spawn(async move { state.record(&[outcome], &[]).await })
    };
    server.restart();
    assert!(renewal.await.unwrap().unwrap());
    outcome.await.unwrap().unwrap();
    assert!(lease.remaining() > LEASE_TTL / 2);
    assert_eq!(state.unfinished().await.unwrap(), []);
}
