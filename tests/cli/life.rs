//! Pauses, and what `status` says of those who are on the way out.

use idcsync::model::{Deleted, DeletionProof, DisableCause, DisableHow, Disabled, Kind, Link};
use idcsync::state::{Pause, State};
use jiff::{SignedDuration, Timestamp};

use super::support::export::{Export, people};
use super::support::idcsync::Idcsync;
use super::{offline, offline_config, with_state};

fn synced() -> Idcsync {
    let idcsync = offline(&Export::of(6).group("Team", people(0..6)), &["Team"]);
    idcsync.run(&["sync"]).exits(0);
    idcsync
}

fn ago(hours: i64) -> Timestamp {
    // On the second, as it is printed.
    let now = Timestamp::from_second(Timestamp::now().as_second()).unwrap();
    now.checked_sub(SignedDuration::from_hours(hours)).unwrap()
}

#[test]
fn a_paused_profile_runs_no_cycle_until_it_is_resumed() {
    let idcsync = offline(&Export::of(3).group("Team", people(0..3)), &["Team"]);
    idcsync
        .run(&["pause", "--reason", "moving house", "--by", "alice", "--until", "2d"])
        .exits(0)
        .says("Profile p is paused since ")
        .says(" by alice until ")
        .says("(moving house)")
        .says("End it with: idcsync resume")
        .never_says("disabled");
    idcsync.run(&["sync"]).exits(0).complains("paused since").complains("moving house");
    idcsync.run(&["sync", "--strict"]).exits(5);
    assert!(!idcsync.path("store.json").exists());
    // Looking is always possible.
    idcsync.run(&["sync", "--dry-run"]).exits(0).says("3 users to create");
    idcsync.run(&["status"]).exits(0).says("paused since ").says(" by alice until ").says("(moving house)");

    idcsync.run(&["resume"]).exits(0).says("Profile p runs again; it was paused since ").says("by alice");
    idcsync.run(&["status"]).exits(0).never_says("paused");
    idcsync.run(&["resume"]).exits(0).says("is not paused");
    idcsync.run(&["sync"]).exits(0).says("Applied: ");
}

#[test]
fn a_second_pause_goes_on_from_the_first() {
    let idcsync = Idcsync::new(&offline_config(&["Team"]));
    let first = idcsync.run_json(&["pause", "--reason", "a", "--until", "4h"]).exits(0).json();
    assert_eq!((first["schema"].as_str(), first["profile"].as_str()), (Some("idcsync/pause/v1"), Some("p")));
    assert!(first["before"].is_null() && first["paused"]["disablesAt"].is_null(), "{first}");
    assert_ne!(first["paused"]["by"], "", "{first}");
    let warned = ago(1);
    with_state(&idcsync, async |state: &State| state.warn_of_pause(warned).await.unwrap());

    let second = idcsync.run_json(&["pause", "--by", "bob"]).exits(0).json();
    assert_eq!(second["before"]["reason"], "a");
    let paused = &second["paused"];
    assert_eq!(paused["since"], first["paused"]["since"]);
    assert_eq!(paused["warned"].as_str().unwrap().parse::<Timestamp>().unwrap(), warned);
    assert!(paused["reason"].is_null() && paused["until"].is_null(), "{paused}");
    let since: Timestamp = paused["since"].as_str().unwrap().parse().unwrap();
    let disables: Timestamp = paused["disablesAt"].as_str().unwrap().parse().unwrap();
    assert_eq!(disables.duration_since(since), SignedDuration::from_hours(28 * 24));
    idcsync
        .run(&["pause", "--by", "bob"])
        .exits(0)
        .says("already: its beginning stays, the rest is replaced")
        .says(&format!("all its users are revoked from {disables} on"));
    let status = idcsync.run_json(&["status"]).exits(0).json();
    assert_eq!(
        (&status["paused"]["by"], &status["paused"]["disablesAt"]),
        (&"bob".into(), &paused["disablesAt"])
    );
}

#[test]
fn a_pause_that_is_over_counts_as_none() {
    let idcsync = synced();
    let over = Pause { at: ago(5), reason: None, by: None, until: Some(ago(1)), warned: None };
    with_state(&idcsync, async |state: &State| state.set_pause(&over).await.unwrap());
    idcsync.run(&["status"]).exits(0).never_says("paused");
    assert!(idcsync.run_json(&["status"]).json()["paused"].is_null());
    idcsync.run(&["sync", "--strict"]).exits(0);
    let again = idcsync.run_json(&["pause"]).exits(0).json();
    assert!(again["before"].is_null(), "{again}");
    let since: Timestamp = again["paused"]["since"].as_str().unwrap().parse().unwrap();
    assert!(since > over.at, "{again}");
    with_state(&idcsync, async |state: &State| state.set_pause(&over).await.unwrap());
    idcsync.run(&["resume"]).exits(0).says("is not paused");
}

#[test]
fn a_pause_that_makes_no_sense_is_refused() {
    let idcsync = Idcsync::new(&offline_config(&["Team"]));
    for until in ["2020-01-01", "2020-01-01T00:00:00Z", "0s"] {
        idcsync.run(&["pause", "--until", until]).exits(2).complains("has gone by").complains("--until");
    }
    idcsync.run(&["pause", "--until", "tomorrow"]).exits(2).complains("nor a span such as 4h");
    assert_eq!(idcsync.files().len(), 1, "nothing is written");
}

/// Changes links in the state database.
fn change(idcsync: &Idcsync, change: impl Fn(&mut Link)) {
    with_state(idcsync, async |state: &State| {
        let mut known = state.load(Timestamp::now()).await.unwrap();
        known.links.values_mut().for_each(&change);
        state.record(&[], &known.links.values().collect::<Vec<_>>()).await.unwrap();
    });
}

#[test]
fn status_says_who_is_how_far_from_what() {
    let idcsync = synced();
    let user = |link: &Link, n: &str| link.name.as_deref() == Some(&format!("p0{n}@ex.test"));
    change(&idcsync, |link| {
        if user(link, "0") {
            link.out_since = Some(ago(24));
        } else if user(link, "1") {
            link.out_since = Some(ago(27 * 24 + 12));
        } else if user(link, "2") {
            link.disabled =
                Some(Disabled { at: ago(3), cause: DisableCause::OutOfScope, how: DisableHow::Revoked });
        } else if user(link, "3") {
            link.deleted = Some(Deleted { since: ago(48), proof: DeletionProof::Tombstone });
            link.disabled =
                Some(Disabled { at: ago(48), cause: DisableCause::Deleted, how: DisableHow::Deactivated });
        } else if link.kind == Kind::Group {
            link.deleted = Some(Deleted { since: ago(24 * 8), proof: DeletionProof::ChangeLog });
        }
    });
    let run = idcsync.run(&["status"]).exits(0);
    let lines: Vec<&str> = run.stdout.lines().collect();
    let at = |start: &str| {
        lines.iter().position(|l| l.starts_with(start)).unwrap_or_else(|| panic!("{start}: {}", run.report()))
    };
    let out = at("Out of scope (2; to be revoked after lifecycle.disable-after):");
    assert!(lines[out + 1].starts_with("  p01@ex.test since ") && lines[out + 1].contains(": revoked in 1"));
    assert!(lines[out + 2].starts_with("  p00@ex.test since "), "{}", run.report());
    assert!(lines[out + 2].contains(": revoked in 27 days ("), "{}", run.report());
    let gone = at("Deleted in the directory (2):");
    assert!(lines[gone + 1].starts_with("  group Team@ex.test since "), "{}", run.report());
    assert!(lines[gone + 1].contains("(change-log): deleted in the target at the next cycle"));
    assert!(
        lines[gone + 2].starts_with("  user p03@ex.test since ") && lines[gone + 2].contains("in 5 days")
    );
    let put = at("Put out of use by idcsync (2):");
    assert!(lines[put + 1].starts_with("  p03@ex.test deactivated since "), "{}", run.report());
    assert!(lines[put + 2].starts_with("  p02@ex.test revoked since "), "{}", run.report());
    run.never_says("disables nobody").never_says("p02@ex.test disabled");

    let json = idcsync.run_json(&["status"]).exits(0).json();
    let coming: Vec<_> = json["countdowns"]
        .as_array()
        .unwrap()
        .iter()
        .map(|c| (c["name"].as_str().unwrap(), c["what"].as_str().unwrap(), c["daysLeft"].as_u64().unwrap()))
        .collect();
    let expected = [
        ("Team@ex.test", "delete", 0),
        ("p01@ex.test", "disable", 1),
        ("p03@ex.test", "delete", 5),
        ("p00@ex.test", "disable", 27),
    ];
    assert_eq!(coming, expected, "{json}");
    assert_eq!(json["putOutOfUse"][1]["how"], "revoked");
    assert_eq!(json["deletedInDirectory"][0]["proof"], "change-log");

    // The countdown goes by the config.
    let config =
        offline_config(&["Team"]) + "[lifecycle]\ndisable-after = \"25h\"\ndisable-method = \"report\"\n";
    idcsync.configure(&config);
    let run = idcsync.run(&["status"]).exits(0).says("Out of scope (2; to be reported after");
    let of = |name: &str| run.stdout.lines().find(|l| l.contains(name)).unwrap().to_owned();
    assert!(of("p01@ex.test").contains("reported at the next cycle"), "{}", run.report());
    assert!(
        of("p00@ex.test").contains("minutes (") || of("p00@ex.test").contains("in 1 hour"),
        "{}",
        run.report()
    );
}
