//! Ratios and counts against the recorded ones. Times are of a machine, and say nothing on another.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::process::ExitCode;

use serde_json::Value;

/// What is recorded, by name: the more, the worse.
type Figures = BTreeMap<String, f64>;

fn path() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("benches/recorded.json")
}

/// By how much a figure may be over the recorded one. Ratios of times are noisy; counts are not.
fn tolerance(name: &str) -> f64 {
    match name.rsplit('/').next() {
        Some("× floor") => 1.35,
        Some("peak") => 1.15,
        Some("rate left unused") => 1.5,
        _ => 1.02,
    }
}

fn figures(results: &Value) -> Figures {
    let mut figures = Figures::new();
    for part in ["slapd", "samba"] {
        let size = format!("{}/{}", results[part]["people"], results[part]["groups"]);
        let mut floor = None;
        for row in results[part]["runs"].as_array().into_iter().flatten() {
            let name = row["name"].as_str().unwrap_or_default();
            let mut add = |what: &str, value: Option<f64>| {
                if let Some(value) = value {
                    figures.insert(format!("{part} {size}/{name}/{what}"), value);
                }
            };
            let wall = row["wall"].as_f64();
            if name.starts_with("ldapsearch") {
                floor = wall;
            } else {
                // One run alone says little, and what the target takes is in it.
                let several = row["walls"].as_array().is_some_and(|all| all.len() > 1);
                add("× floor", wall.zip(floor).filter(|_| several).map(|(wall, floor)| wall / floor));
                add("peak", row["peak"].as_f64());
            }
            for count in ["searches", "entries", "received"] {
                add(count, row["ldap"][count].as_f64());
            }
        }
    }
    for row in results["target"]["runs"].as_array().into_iter().flatten() {
        let name = row["name"].as_str().unwrap_or_default();
        let mut add = |what: &str, value: Option<f64>| {
            figures.insert(format!("target/{name}/{what}"), value.unwrap_or_default());
        };
        add("sent over the least", row["sent"].as_f64().zip(row["least"].as_f64()).map(|(s, l)| s / l));
        add("throttled", row["throttled"].as_f64());
        add("rate left unused", row["used"].as_f64().map(|used| (1.0 - used).max(0.02)));
    }
    figures
}

/// Of parts that were not measured, what is recorded stays.
pub fn record(results: &Value) {
    let mut recorded: Figures =
        fs::read_to_string(path()).ok().and_then(|text| serde_json::from_str(&text).ok()).unwrap_or_default();
    let part = |name: &str| name.split(['/', ' ']).next().is_some_and(|part| !results[part].is_null());
    recorded.retain(|name, _| !part(name));
    recorded
        .extend(figures(results).into_iter().map(|(name, value)| (name, (value * 1000.0).round() / 1000.0)));
    let text = serde_json::to_string_pretty(&recorded).expect("figures are JSON") + "\n";
    fs::write(path(), text).expect("write benches/recorded.json");
}

/// Says what got worse; fails if anything did.
pub fn compare(results: &Value) -> ExitCode {
    let Ok(text) = fs::read_to_string(path()) else {
        eprintln!("benches/recorded.json cannot be read: `make bench RECORD=1` writes it");
        return ExitCode::from(2);
    };
    let recorded: Figures = serde_json::from_str(&text).expect("benches/recorded.json is JSON");
    let now = figures(results);
    let (mut held, mut worse) = (0, 0);
    for (name, value) in &now {
        let Some(before) = recorded.get(name) else {
            println!("not recorded: {name} ({value:.2})");
            continue;
        };
        if *value > before * tolerance(name) + 1e-9 {
            worse += 1;
            println!("WORSE: {name}: {value:.2}, recorded {before:.2}");
        } else {
            held += 1;
            if value * tolerance(name) < *before {
                println!("better: {name}: {value:.2}, recorded {before:.2}");
            }
        }
    }
    if held + worse == 0 {
        println!("nothing that was measured is recorded for these sizes");
        return ExitCode::from(2);
    }
    println!("{held} figures hold, {worse} are worse");
    if worse == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
