//! The last cycles as bars: what each did, by kind, and how long it took.

use jiff::SignedDuration;
use serde_json::Value;

use super::When;
use crate::plan::{Sort, grouped};
use crate::state::{Cycle, CycleWord};

/// Cycles that are shown, and the room for each.
const MOST: usize = 40;
const SLOT: u64 = 16;
const HEIGHT: u64 = 100;

#[derive(Default)]
pub(super) struct Chart {
    pub width: u64,
    pub height: u64,
    pub bar: u64,
    pub most_steps: String,
    pub longest: String,
    pub bars: Vec<Bar>,
}

pub(super) struct Bar {
    pub x: u64,
    pub parts: Vec<Piece>,
    pub time_y: u64,
    pub time_height: u64,
    pub well: bool,
    pub started: When,
    pub kind: &'static str,
    pub outcome: &'static str,
    pub told: String,
    pub took: String,
}

pub(super) struct Piece {
    pub class: &'static str,
    pub y: u64,
    pub height: u64,
}

/// In the order in which they are stacked, from below.
const KINDS: [(&str, &str); 5] = [
    ("minus", "taken away"),
    ("change", "changed"),
    ("plus", "added"),
    ("held", "held"),
    ("failed", "failed"),
];

fn kind_of(sort: Sort) -> usize {
    match sort {
        Sort::DeleteUser
        | Sort::DeleteGroup
        | Sort::DisableUser
        | Sort::RevokeUser
        | Sort::ReportUser
        | Sort::RemoveMember => 0,
        Sort::UpdateUser | Sort::UpdateGroup | Sort::AdoptUser | Sort::AdoptGroup | Sort::RebindEntry => 1,
        Sort::EnableUser | Sort::RestoreUser | Sort::CreateUser | Sort::CreateGroup | Sort::AddMember => 2,
    }
}

/// As the cycle counted them.
fn steps(counts: &Value) -> [u64; 5] {
    let number = |value: &Value| value.as_u64().unwrap_or_default();
    let mut steps = [0; 5];
    for sort in Sort::ALL {
        steps[kind_of(*sort)] += number(&counts["done"][sort.word()]);
        steps[4] += number(&counts["failed"][sort.word()]);
    }
    steps[3] = number(&counts["held"]);
    steps
}

/// `cycles`: the newest first.
pub(super) fn chart(cycles: &[Cycle]) -> Chart {
    let ended = cycles.iter().filter_map(|cycle| Some((cycle, cycle.outcome.as_ref()?)));
    let mut shown: Vec<_> = ended.take(MOST).collect();
    shown.reverse();
    let measured: Vec<_> = shown
        .iter()
        .map(|(cycle, outcome)| {
            let took = outcome.finished.duration_since(cycle.started).max(SignedDuration::ZERO);
            (steps(&outcome.counts), u64::try_from(took.as_millis()).unwrap_or_default())
        })
        .collect();
    let most = measured.iter().map(|(steps, _)| steps.iter().sum::<u64>()).max().unwrap_or_default();
    let longest = measured.iter().map(|(_, took)| *took).max().unwrap_or_default();
    let bars = shown.iter().zip(&measured).zip(0..).map(|(((cycle, outcome), (steps, took)), at)| {
        let mut below = 0;
        let parts = KINDS.iter().zip(steps).filter(|(_, count)| **count > 0);
        let parts = parts
            .map(|((class, _), count)| {
                let height = scaled(*count, most).min(HEIGHT - below);
                below += height;
                Piece { class, y: HEIGHT - below, height }
            })
            .collect();
        let time_height = scaled(*took, longest);
        let told: Vec<_> = KINDS
            .iter()
            .zip(steps)
            .filter(|(_, count)| **count > 0)
            .map(|((_, word), count)| format!("{} {word}", grouped(*count)))
            .collect();
        Bar {
            x: at * SLOT + 2,
            parts,
            time_y: HEIGHT - time_height,
            time_height,
            well: outcome.word.is_well() || outcome.word == CycleWord::Stopped,
            started: When(cycle.started),
            kind: cycle.kind.word(),
            outcome: outcome.word.word(),
            told: if told.is_empty() { "none".to_owned() } else { told.join(", ") },
            took: seconds(*took),
        }
    });
    Chart {
        width: SLOT * MOST as u64,
        height: HEIGHT,
        bar: SLOT - 4,
        most_steps: grouped(most),
        longest: seconds(longest),
        bars: bars.collect(),
    }
}

/// What is there is seen, however little.
fn scaled(value: u64, most: u64) -> u64 {
    match (value, most) {
        (0, _) | (_, 0) => 0,
        _ => (u128::from(value) * u128::from(HEIGHT) / u128::from(most)).clamp(2, u128::from(HEIGHT)) as u64,
    }
}

fn seconds(millis: u64) -> String {
    match millis / 1000 {
        0..60 => format!("{}.{} s", millis / 1000, millis % 1000 / 100),
        long => format!("{} min {} s", grouped(long / 60), long % 60),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::ids::CycleId;
    use crate::state::{CycleKind, CycleOutcome};

    fn cycle(no: i64, word: CycleWord, seconds: i64, counts: Value) -> Cycle {
        let started: jiff::Timestamp = "2026-03-01T00:00:00Z".parse().unwrap();
        let finished = started + SignedDuration::from_secs(seconds);
        let outcome = Some(CycleOutcome { word, counts, finished });
        Cycle { id: CycleId(no), kind: CycleKind::Normal, started, outcome, applying: None }
    }

    #[test]
    fn bars_stand_on_each_other_and_fit() {
        let first = json!({ "done": { "create-user": 3000, "add-member": 1000 }, "failed": {}, "held": 0 });
        let small = json!({ "done": { "remove-member": 1, "update-user": 1, "add-member": 1 },
            "failed": { "create-user": 1 }, "held": 1 });
        let cycles = [
            cycle(3, CycleWord::Failed, 5, json!({ "error": "no" })),
            cycle(2, CycleWord::Held, 4, small),
            cycle(1, CycleWord::Done, 125, first),
        ];
        let chart = chart(&cycles);
        assert_eq!((chart.most_steps.as_str(), chart.longest.as_str()), ("4,000", "2 min 5 s"));
        let [big, small, failed] = chart.bars.as_slice() else { panic!("{}", chart.bars.len()) };
        assert_eq!(big.parts.len(), 1);
        assert_eq!((big.parts[0].y, big.parts[0].height, big.parts[0].class), (0, 100, "plus"));
        assert_eq!((big.time_y, big.time_height), (0, 100));
        assert_eq!(small.told, "1 taken away, 1 changed, 1 added, 1 held, 1 failed");
        assert_eq!(small.parts.iter().map(|p| p.height).sum::<u64>(), 10, "each is seen");
        assert!(small.parts.windows(2).all(|pair| pair[1].y + pair[1].height == pair[0].y));
        assert_eq!((failed.told.as_str(), failed.well, failed.took.as_str()), ("none", false, "5.0 s"));
        assert!(big.x < small.x && failed.x + chart.bar <= chart.width);
    }

    #[test]
    fn nothing_is_no_chart() {
        assert!(chart(&[]).bars.is_empty());
        let none = [cycle(1, CycleWord::Nothing, 0, json!({}))];
        assert_eq!(chart(&none).bars[0].time_height, 0);
    }
}
