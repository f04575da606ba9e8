//! The tables, and the file.

use std::fs;
use std::path::PathBuf;

use serde_json::Value;

pub fn directory(name: &str, results: &Value) {
    println!("### {name}: {} people, {} groups\n", results["people"], results["groups"]);
    println!(
        "| run | wall | × floor | CPU | peak | read by | planned by | searches | entries | received | plan |"
    );
    println!("| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | --- |");
    let empty = Vec::new();
    let rows = results["runs"].as_array().unwrap_or(&empty);
    let mut floor = None;
    for row in rows {
        let number = |name: &str| row[name].as_f64();
        let wall = number("wall").unwrap_or_default();
        if row["name"].as_str().is_some_and(|name| name.starts_with("ldapsearch")) {
            floor = Some(wall);
        }
        let seconds = |value: Option<f64>| value.map_or(String::new(), |s| format!("{s:.2} s"));
        let count = |name: &str| row["ldap"][name].as_u64().map_or(String::new(), |n| n.to_string());
        println!(
            "| {} | {wall:.2} s | {:.2} | {:.2} s | {:.0} MB | {} | {} | {} | {} | {} | {} |",
            row["name"].as_str().unwrap_or_default(),
            wall / floor.unwrap_or(wall),
            number("cpu").unwrap_or_default(),
            number("peak").unwrap_or_default(),
            seconds(number("read")),
            seconds(number("planned")),
            count("searches"),
            count("entries"),
            row["ldap"]["received"].as_f64().map_or(String::new(), |n| format!("{:.1} MB", n / 1e6)),
            row["plan"].as_str().unwrap_or_default(),
        );
    }
    println!("\nstate database: {:.1} MB\n", results["state_bytes"].as_f64().unwrap_or_default() / 1e6);
}

pub fn target(results: &Value) {
    println!("### target: {} people, {} groups\n", results["people"], results["groups"]);
    println!("| target | allowed | steps | least requests | sent | throttled | seconds | rate used |");
    println!("| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |");
    for row in results["runs"].as_array().into_iter().flatten() {
        println!(
            "| {} | {}/s | {} | {} | {} | {} | {:.1} | {:.1}% |",
            row["name"].as_str().unwrap_or_default(),
            row["allowed"],
            row["steps"],
            row["least"],
            row["sent"],
            row["throttled"],
            row["seconds"].as_f64().unwrap_or_default(),
            row["used"].as_f64().unwrap_or_default() * 100.0,
        );
    }
    println!();
}

pub fn write(results: &Value) {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("target/bench.json");
    let text = serde_json::to_string_pretty(results).expect("results are JSON") + "\n";
    fs::write(&path, text).expect("write target/bench.json");
}
