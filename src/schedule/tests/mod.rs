//! What a schedule promises: by example, over every change of the clocks, and for any sequence of times.

mod properties;
mod zone_changes;

use jiff::tz::{TimeZone, TimeZoneDatabase};
use jiff::{SignedDuration, Timestamp};

use super::*;

/// By the database that comes with the program, so that no machine's own decides what is tested.
fn zone(name: &str) -> TimeZone {
    TimeZoneDatabase::bundled().get(name).unwrap()
}

fn schedule(cron: &str, name: &str, jitter: SignedDuration) -> Schedule {
    Schedule::new(cron, zone(name), jitter, "corp").unwrap()
}

fn plain(cron: &str, name: &str) -> Schedule {
    schedule(cron, name, SignedDuration::ZERO)
}

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

const fn minutes(n: i64) -> SignedDuration {
    SignedDuration::from_mins(n)
}

#[test]
fn a_fixed_time_in_the_gap_runs_at_its_end_and_a_repeated_one_once() {
    let daily = plain("30 2 * * *", "Europe/Zurich");
    assert_eq!(daily.next_after(at("2026-03-28T12:00:00Z")), Some(at("2026-03-29T01:00:00Z")));
    assert_eq!(daily.next_after(at("2026-03-29T01:00:00Z")), Some(at("2026-03-30T00:30:00Z")));
    assert_eq!(daily.next_after(at("2026-10-24T12:00:00Z")), Some(at("2026-10-25T00:30:00Z")));
    assert_eq!(daily.next_after(at("2026-10-25T00:30:00Z")), Some(at("2026-10-26T01:30:00Z")));
    assert_eq!(daily.last_at_or_before(at("2026-10-25T02:00:00Z")), Some(at("2026-10-25T00:30:00Z")));
    // Several in the gap are one.
    let quarters = plain("*/15 2 * * *", "Europe/Zurich");
    assert_eq!(quarters.next_after(at("2026-03-28T12:00:00Z")), Some(at("2026-03-29T01:00:00Z")));
    assert_eq!(quarters.next_after(at("2026-03-29T01:00:00Z")), Some(at("2026-03-30T00:00:00Z")));
    // A whole day that never was (Samoa, 30 December 2011).
    let samoa = plain("0 12 * * *", "Pacific/Apia");
    assert_eq!(samoa.next_after(at("2011-12-29T22:00:00Z")), Some(at("2011-12-30T10:00:00Z")));
}

#[test]
fn every_hour_is_every_hour() {
    let hourly = plain("@hourly", "Europe/Zurich");
    for day in ["2026-03-28T20:00:00Z", "2026-10-24T20:00:00Z"] {
        let mut slot = at(day);
        for _ in 0..12 {
            let next = hourly.next_after(slot).unwrap();
            assert_eq!(next.duration_since(slot), minutes(60));
            slot = next;
        }
    }
}

#[test]
fn a_rare_day_is_found_ahead_and_not_behind() {
    let leap = plain("0 0 29 2 *", "UTC");
    assert_eq!(leap.next_after(at("2026-01-01T00:00:00Z")), Some(at("2028-02-29T00:00:00Z")));
    assert_eq!(leap.last_at_or_before(at("2026-01-01T00:00:00Z")), None);
    assert_eq!(leap.last_at_or_before(at("2029-03-01T00:00:00Z")), Some(at("2028-02-29T00:00:00Z")));
    assert_eq!(leap.next_after(Timestamp::MAX), None);
    assert_eq!(leap.last_at_or_before(Timestamp::MIN), None);
    assert_eq!(leap.due(Some(Timestamp::MAX), Timestamp::MAX), Due::At(Timestamp::MAX));
}

#[test]
fn a_cycle_is_due_once_for_all_that_was_missed() {
    let hourly = plain("0 * * * *", "UTC");
    let due = |last: &str, now: &str| hourly.due(Some(at(last)), at(now));
    let now = |slot: &str, missed| Due::Now { slot: Some(at(slot)), missed };
    assert_eq!(hourly.due(None, at("2026-11-22T10:30:00Z")), Due::Now { slot: None, missed: 0 });
    assert_eq!(due("2026-11-22T10:00:01Z", "2026-11-22T10:59:59Z"), Due::At(at("2026-11-22T11:00:00Z")));
    assert_eq!(due("2026-11-22T10:00:01Z", "2026-11-22T11:00:00Z"), now("2026-11-22T11:00:00Z", 0));
    assert_eq!(due("2026-11-22T10:00:00Z", "2026-11-22T10:00:00Z"), Due::At(at("2026-11-22T11:00:00Z")));
    assert_eq!(due("2026-11-22T06:10:00Z", "2026-11-22T10:30:00Z"), now("2026-11-22T10:00:00Z", 3));
    // By hand, between two slots: the next one stays.
    assert_eq!(due("2026-11-22T10:40:00Z", "2026-11-22T10:41:00Z"), Due::At(at("2026-11-22T11:00:00Z")));
    // A long sleep is not counted out, and the slot is still the latest.
    let minutely = plain("* * * * *", "UTC");
    let woken = minutely.due(Some(at("2025-11-22T10:00:00Z")), at("2026-11-22T10:30:30Z"));
    assert_eq!(woken, now("2026-11-22T10:30:00Z", 100));
}

#[test]
fn a_clock_that_was_set_back_stops_nothing() {
    let hourly = plain("0 * * * *", "UTC");
    let now = at("2026-11-22T10:59:59Z");
    // By a moment: what has begun counts.
    assert_eq!(hourly.due(Some(at("2026-11-22T11:00:00Z")), now), Due::At(at("2026-11-22T12:00:00Z")));
    assert_eq!(hourly.due(Some(at("2026-11-22T11:04:59Z")), now), Due::At(at("2026-11-22T12:00:00Z")));
    // By more: once, now. From then on there is a begin that can be believed.
    for ahead in ["2026-11-22T11:05:00Z", "2027-11-22T11:00:00Z"] {
        assert_eq!(hourly.due(Some(at(ahead)), now), Due::Now { slot: None, missed: 0 }, "{ahead}");
    }
    assert_eq!(hourly.due(Some(now), now), Due::At(at("2026-11-22T11:00:00Z")));
}

#[test]
fn the_jitter_is_the_same_for_all_who_ask_and_differs_by_profile_and_slot() {
    let with = |seed: &str| Schedule::new("0 * * * *", zone("UTC"), minutes(10), seed).unwrap();
    let delays = |s: &Schedule| -> Vec<i128> {
        (0..100)
            .map(|hour| {
                let slot = at("2026-11-22T00:00:00Z") + minutes(60 * hour);
                s.start_of(slot).duration_since(slot).as_millis()
            })
            .collect()
    };
    let (corp, lab) = (delays(&with("corp")), delays(&with("lab")));
    assert_eq!(corp, delays(&with("corp")));
    assert!(corp.iter().zip(&lab).filter(|(a, b)| a == b).count() < 3);
    assert!(corp.iter().all(|d| (0..600_000).contains(d)));
    // All of the ten minutes is used.
    assert!(corp.iter().any(|d| *d < 120_000) && corp.iter().any(|d| *d > 480_000));

    let jittered = with("corp");
    let slot = at("2026-11-22T11:00:00Z");
    let start = jittered.start_of(slot);
    assert!(start > slot);
    let last = Some(at("2026-11-22T10:30:00Z"));
    assert_eq!(jittered.due(last, slot), Due::At(start));
    assert_eq!(jittered.due(last, start), Due::Now { slot: Some(slot), missed: 0 });
    // Begun after the slot and before its start: that was it.
    assert!(matches!(jittered.due(Some(slot), start), Due::At(next) if next > start + minutes(30)));
}

#[test]
fn a_jitter_as_long_as_the_time_between_two_slots_is_refused() {
    let new = |cron, jitter| Schedule::new(cron, TimeZone::UTC, jitter, "corp");
    let refused = |m| Err(ScheduleError::Jitter { shortest: minutes(m) });
    assert_eq!(new("* * * * *", minutes(1)), refused(1));
    assert_eq!(new("*/15 * * * *", minutes(20)), refused(15));
    assert!(new("*/15 * * * *", minutes(14)).is_ok());
    assert!(new("* * * * *", SignedDuration::ZERO).is_ok());
    assert_eq!(
        new("*/15 * * * *", minutes(20)).unwrap_err().to_string(),
        "the jitter must be shorter than the time between two runs, which is 15m"
    );
}

#[test]
fn a_change_can_be_seen_and_told() {
    let one = schedule("0 * * * *", "Europe/Zurich", minutes(2));
    assert_eq!(one, schedule("0 * * * *", "Europe/Zurich", minutes(2)));
    assert_ne!(one, schedule("0 * * * *", "Europe/Zurich", minutes(3)));
    assert_ne!(one, schedule("0 * * * *", "Europe/Paris", minutes(2)));
    assert_ne!(one, schedule("1 * * * *", "Europe/Zurich", minutes(2)));
    assert_eq!(one.describe(), "0 * * * *, Europe/Zurich, up to 2m later");
    assert_eq!(plain("@daily", "UTC").describe(), "@daily, UTC");
}
