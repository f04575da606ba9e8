//! What `status` says of a cycle that runs in another process.

use idcsync::model::Progress;
use idcsync::state::{CycleKind, CycleOutcome, CycleWord, State};
use jiff::{SignedDuration, Timestamp};

use super::support::export::{Export, people};
use super::{offline, with_state};

#[test]
fn a_running_apply_is_shown_with_the_time_that_is_left() {
    let idcsync = offline(&Export::of(3).group("Team", people(0..3)), &["Team"]);
    idcsync.run(&["sync"]).exits(0);
    idcsync.run(&["status"]).exits(0).never_says("left");
    assert!(idcsync.run_json(&["status"]).exits(0).json()["applying"].is_null());

    let cycle = with_state(&idcsync, async |state: &State| {
        state.begin_cycle(CycleKind::Normal, Timestamp::now()).await.unwrap()
    });
    let note = |progress: Progress, ago: i64| {
        let at = Timestamp::now().checked_sub(SignedDuration::from_secs(ago)).unwrap();
        with_state(&idcsync, async |state: &State| state.note_progress(cycle, &progress, at).await.unwrap());
    };
    let begun = Progress { done: 0, total: 5000, pending: 4000, per_second: None };
    note(begun, 1);
    idcsync.run(&["status"]).exits(0).says("0 of 5000 steps done, time left not known yet (4000 requests)");
    let json = idcsync.run_json(&["status"]).exits(0).json();
    assert!(
        json["applying"]["secondsLeft"].is_null() && json["applying"]["pendingRequests"] == 4000,
        "{json}"
    );

    let half = Progress { done: 2500, pending: 2000, per_second: Some(20.0), ..begun };
    note(half, 1);
    idcsync
        .run(&["status"])
        .exits(0)
        .says("2500 of 5000 steps done, 1 min 40 s left (2000 requests, 20.0 a second)");
    let json = idcsync.run_json(&["status"]).exits(0).json();
    let applying = &json["applying"];
    assert_eq!((&applying["secondsLeft"], &applying["requestsPerSecond"]), (&100.into(), &20.0.into()));
    assert_eq!((&applying["done"], &applying["total"]), (&2500.into(), &5000.into()));
    assert!(json["lastCycle"]["outcome"].is_null());

    // Not heard of for longer than a running one can be.
    note(half, 3600);
    idcsync.run(&["status"]).exits(0).says("2500 of 5000 steps done at ").says("killed before its end");
    assert!(idcsync.run_json(&["status"]).exits(0).json()["applying"].is_null());

    with_state(&idcsync, async |state: &State| {
        let counts = serde_json::json!({});
        let outcome = CycleOutcome { word: CycleWord::Done, counts, finished: Timestamp::now() };
        state.finish_cycle(cycle, &outcome).await.unwrap();
    });
    idcsync.run(&["status"]).exits(0).never_says("2500").says("done at ");
}
