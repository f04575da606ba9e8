//! What holds for any line, zone and sequence of times.

use proptest::prelude::*;

use super::*;

fn any_schedule() -> impl Strategy<Value = Schedule> {
    let lines = [
        "* * * * *",
        "0 * * * *",
        "*/15 * * * *",
        "7 */3 * * *",
        "30 2 * * *",
        "15 1,2,3 * * *",
        "59 1 * * *",
        "0 0 * * 1",
        "0 9-17 1,15 * fri",
    ];
    let zones = ["UTC", "Europe/Zurich", "Australia/Lord_Howe", "Africa/Casablanca", "America/New_York"];
    // In percent of what is allowed.
    (proptest::sample::select(lines.to_vec()), proptest::sample::select(zones.to_vec()), 0_i32..100).prop_map(
        |(line, name, percent)| {
            let jitter = cron::Cron::parse(line).unwrap().shortest() / 100 * percent;
            schedule(line, name, jitter)
        },
    )
}

/// Any second of 2026 and 2027.
fn any_time() -> impl Strategy<Value = Timestamp> {
    let first = at("2026-01-01T00:00:00Z").as_second();
    (0..2 * 365 * 86_400_i64).prop_map(move |s| Timestamp::from_second(first + s).unwrap())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn next_is_later_and_never_goes_back(s in any_schedule(), a in any_time(), b in any_time()) {
        let (a, b) = (a.min(b), a.max(b));
        let (after_a, after_b) = (s.next_after(a).unwrap(), s.next_after(b).unwrap());
        prop_assert!(a < after_a && b < after_b && after_a <= after_b);
    }

    #[test]
    fn no_slot_lies_between_the_last_and_the_next(s in any_schedule(), t in any_time()) {
        let last = s.last_at_or_before(t).unwrap();
        prop_assert!(last <= t);
        prop_assert!(s.next_after(last).unwrap() > t);
        prop_assert_eq!(s.next_after(last), s.next_after(t));
        prop_assert_eq!(s.last_at_or_before(last), Some(last));
    }

    #[test]
    fn each_start_stands_between_its_slot_and_the_next(s in any_schedule(), t in any_time()) {
        let slot = s.next_after(t).unwrap();
        let start = s.start_of(slot);
        prop_assert!(slot <= start && start < s.next_after(slot).unwrap());
        prop_assert!(start.duration_since(slot) < s.jitter().max(SignedDuration::from_nanos(1)));
    }

    /// However somebody looks at the clock, each slot gives one cycle at most, none before its start, and afterwards
    /// nothing is due until another slot has come.
    #[test]
    fn a_slot_gives_one_cycle(
        s in any_schedule(),
        begin in any_time(),
        steps in proptest::collection::vec(prop_oneof![0..90_i64, 0..7200_i64, 0..400_000_i64], 1..20),
    ) {
        let (mut now, mut last) = (begin, begin);
        let mut served: Option<Timestamp> = None;
        for step in steps {
            now += SignedDuration::from_secs(step);
            let passed = s.last_started(now).filter(|slot| *slot > last);
            match s.due(Some(last), now) {
                Due::Now { slot, missed } => {
                    let slot = slot.unwrap();
                    prop_assert_eq!(passed, Some(slot));
                    prop_assert!(served.is_none_or(|before| before < slot), "twice for {}", slot);
                    let mut first = s.next_after(last).unwrap();
                    for _ in 0..missed {
                        first = s.next_after(first).unwrap();
                    }
                    prop_assert!(first == slot || missed == MOST_MISSED);
                    (served, last) = (Some(slot), now);
                    prop_assert!(matches!(s.due(Some(last), now), Due::At(next) if next > now));
                }
                Due::At(next) => {
                    prop_assert_eq!(passed, None);
                    prop_assert!(next > now);
                    // Whoever sleeps until then does not sleep in vain.
                    let woken = matches!(s.due(Some(last), next), Due::Now { missed: 0, .. });
                    prop_assert!(woken);
                }
            }
        }
    }

    /// Wherever the clock jumps, a cycle comes within one interval, if each is recorded as it begins.
    #[test]
    fn a_clock_that_jumps_about_stops_nothing(times in proptest::collection::vec(any_time(), 2..6)) {
        let s = plain("*/15 * * * *", "Europe/Zurich");
        let mut last = None;
        for start in times {
            let mut runs = 0;
            for minute in (0..=30).step_by(3) {
                let now = start + minutes(minute);
                if let Due::Now { .. } = s.due(last, now) {
                    runs += 1;
                    last = Some(now);
                }
            }
            prop_assert!((1..=3).contains(&runs), "{runs} from {start}");
        }
    }

    #[test]
    fn any_text_is_survived(text in "[-0-9*,/ @?#LWHa-zA-Zü]{0,24}") {
        let new = Schedule::new(&text, TimeZone::UTC, SignedDuration::ZERO, "corp");
        if let Err(ScheduleError::Syntax { offset, len, message }) = new {
            prop_assert!(text.get(offset..offset + len).is_some(), "{message}");
            prop_assert!(!message.is_empty() && !message.contains('\n'));
        }
    }
}
