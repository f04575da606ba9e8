//! Every change of the clocks of two years in five zones, held against minutes that were counted one by one.

use std::collections::BTreeSet;

use jiff::civil::{DateTime, Weekday};

use super::*;

const ZONES: [&str; 5] =
    ["Europe/Zurich", "America/New_York", "Australia/Lord_Howe", "Africa/Casablanca", "Pacific/Chatham"];

struct Line {
    cron: &'static str,
    every_hour: bool,
    /// What the line says, without reading it.
    matches: fn(DateTime) -> bool,
}

const LINES: [Line; 7] = [
    Line { cron: "0 * * * *", every_hour: true, matches: |t| t.minute() == 0 },
    Line { cron: "*/15 * * * *", every_hour: true, matches: |t| t.minute() % 15 == 0 },
    Line { cron: "5 */2 * * *", every_hour: true, matches: |t| t.minute() == 5 && t.hour() % 2 == 0 },
    Line { cron: "30 2 * * *", every_hour: false, matches: |t| t.hour() == 2 && t.minute() == 30 },
    Line {
        cron: "15 1,2,3 * * *",
        every_hour: false,
        matches: |t| [1, 2, 3].contains(&t.hour()) && t.minute() == 15,
    },
    Line {
        cron: "*/10 1-3 * * *",
        every_hour: false,
        matches: |t| [1, 2, 3].contains(&t.hour()) && t.minute() % 10 == 0,
    },
    Line {
        cron: "0 0 * * 1",
        every_hour: false,
        matches: |t| t.weekday() == Weekday::Monday && t.hour() == 0 && t.minute() == 0,
    },
];

/// When the offset changes in 2026 and 2027.
fn changes(zone: &TimeZone) -> Vec<Timestamp> {
    let (from, to) = (at("2026-01-01T00:00:00Z"), at("2028-01-01T00:00:00Z"));
    let moment = SignedDuration::from_secs(1);
    zone.following(from)
        .map(|change| change.timestamp())
        .take_while(|change| *change < to)
        .filter(|change| zone.to_offset(*change) != zone.to_offset(*change - moment))
        .collect()
}

/// Minute by minute: what the local clock shows, what it has shown before, and what it has just jumped over.
fn by_hand(line: &Line, zone: &TimeZone, from: Timestamp, to: Timestamp) -> Vec<Timestamp> {
    let minute = minutes(1);
    let (mut runs, mut shown) = (Vec::new(), BTreeSet::new());
    let mut now = from;
    // What was shown shortly before counts as shown, too.
    for back in 0..600 {
        shown.insert(zone.to_datetime(from - minutes(back + 1)));
    }
    while now <= to {
        let local = zone.to_datetime(now);
        let mut run = (line.matches)(local) && (line.every_hour || !shown.contains(&local));
        if !line.every_hour {
            let mut jumped = zone.to_datetime(now - minute) + minute;
            while jumped < local {
                run |= (line.matches)(jumped);
                jumped += minute;
            }
        }
        if run {
            runs.push(now);
        }
        shown.insert(local);
        now += minute;
    }
    runs
}

#[test]
fn every_change_of_two_years_in_five_zones() {
    let mut seen = 0;
    for name in ZONES {
        let zone = zone(name);
        let changes = changes(&zone);
        assert!(changes.len() >= 3, "{name}: {changes:?}");
        for (change, line) in changes.iter().flat_map(|c| LINES.iter().map(move |l| (*c, l))) {
            let (from, to) = (change - minutes(1440), change + minutes(2 * 1440));
            let expected = by_hand(line, &zone, from, to);
            let schedule = plain(line.cron, name);
            let mut found = Vec::new();
            let mut slot = schedule.next_after(from - minutes(1)).unwrap();
            while slot <= to {
                found.push(slot);
                slot = schedule.next_after(slot).unwrap();
            }
            assert_eq!(found, expected, "{} in {name} at {change}", line.cron);

            // From any minute around the change, and backwards.
            for minute in (-200..200).step_by(4) {
                let now = change + minutes(minute);
                let after = expected.iter().find(|slot| **slot > now);
                if let Some(after) = after {
                    assert_eq!(schedule.next_after(now), Some(*after), "{} in {name} after {now}", line.cron);
                }
                let before = expected.iter().rev().find(|slot| **slot <= now);
                if let Some(before) = before.filter(|_| minute % 5 == 0) {
                    let last = schedule.last_at_or_before(now);
                    assert_eq!(last, Some(*before), "{} in {name} up to {now}", line.cron);
                }
            }
            seen += expected.len();
        }
    }
    assert!(seen > 5_000, "{seen}");
}
