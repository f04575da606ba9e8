//! What a cycle costs, beside what it cannot do without: `make bench`.
//!
//! A made-up company in slapd and one in a Samba domain, both from one number; `ldapsearch` reading the same entries and
//! attributes (the floor), and the program beside it, in one run, several times. Then the target: what is sent against
//! the least that would do, and how much of an allowed rate is used.
//!
//! ```text
//! cargo bench --bench cycles -- [--people N] [--groups N] [--seed N] [--runs N] [--only slapd,samba,target] [--check]
//! ```
//!
//! A table goes to stdout, everything to `target/bench.json`. `--check` holds ratios and counts, not times, against
//! `benches/recorded.json`, and fails where something got worse; `--record` writes what was measured into that file.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "this measures and prints; a panic is the report"
)]

#[path = "../../tests/support/mod.rs"]
mod support;

mod check;
mod directory;
mod machine;
mod measure;
mod report;
mod tap;
mod target;

use std::process::ExitCode;

use serde_json::json;

/// What is measured.
#[derive(Debug, Clone)]
pub struct Options {
    pub people: usize,
    pub groups: usize,
    pub seed: u64,
    pub runs: usize,
    pub only: Option<String>,
    pub check: bool,
    pub record: bool,
}

impl Options {
    fn parse(arguments: impl Iterator<Item = String>) -> Result<Self, String> {
        let mut options = Self {
            people: 100_000,
            groups: 10_000,
            seed: 1,
            runs: 5,
            only: None,
            check: false,
            record: false,
        };
        let mut arguments = arguments.filter(|argument| argument != "--bench");
        while let Some(name) = arguments.next() {
            let mut number =
                || arguments.next().and_then(|n| n.parse().ok()).ok_or(format!("{name} needs a number"));
            match name.as_str() {
                "--people" => options.people = number()?,
                "--groups" => options.groups = number()?,
                "--seed" => options.seed = number()? as u64,
                "--runs" => options.runs = number()?.max(1),
                "--only" => options.only = arguments.next(),
                "--check" => options.check = true,
                "--record" => options.record = true,
                other => return Err(format!("{other} is not an option of this benchmark")),
            }
        }
        Ok(options)
    }

    fn has(&self, part: &str) -> bool {
        self.only.as_ref().is_none_or(|only| only.split(',').any(|each| each == part))
    }
}

fn main() -> ExitCode {
    // A test run comes by here, too, and has nothing to do.
    if !std::env::args().any(|argument| argument == "--bench") {
        return ExitCode::SUCCESS;
    }
    let options = match Options::parse(std::env::args().skip(1)) {
        Ok(options) => options,
        Err(why) => {
            eprintln!("{why}");
            return ExitCode::from(2);
        }
    };
    let mut results = json!({ "seed": options.seed, "runs": options.runs, "machine": machine::describe() });
    println!("{}\n", results["machine"].as_str().unwrap_or_default());
    if options.has("slapd") {
        results["slapd"] = directory::of_slapd(&options);
        report::directory("slapd", &results["slapd"]);
    }
    if options.has("samba") {
        results["samba"] = directory::of_samba(&options);
        report::directory("samba", &results["samba"]);
    }
    if options.has("target") {
        results["target"] = target::measure(&options);
        report::target(&results["target"]);
    }
    report::write(&results);
    if options.record {
        check::record(&results);
    }
    if options.check { check::compare(&results) } else { ExitCode::SUCCESS }
}
