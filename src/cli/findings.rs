//! Findings in text.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use crate::model::{Code, Finding, Severity};
use crate::plan::shown;

/// The gravest first; each kind once, with those whom it concerns by name.
pub fn findings_text(findings: &[Finding]) -> String {
    if findings.is_empty() {
        return String::new();
    }
    let mut kinds: BTreeMap<(Reverse<Severity>, Code, &str), BTreeSet<String>> = BTreeMap::new();
    for finding in findings {
        let kind = (Reverse(finding.code.severity()), finding.code, finding.message.as_str());
        kinds.entry(kind).or_default().insert(shown(&finding.subject.label));
    }
    let mut text = format!("\nFindings ({}):\n", findings.len());
    let mut lines: BTreeMap<Code, usize> = BTreeMap::new();
    for ((_, code, message), labels) in kinds {
        let (message, count) = (shown(message), labels.len());
        let line = lines.entry(code).or_default();
        *line += 1;
        if *line > LINES {
            continue;
        }
        // Writing to a String cannot fail.
        let _ = match labels.first() {
            Some(only) if count == 1 => writeln!(text, "  {code} {only}: {message}"),
            _ => {
                let some: Vec<_> = labels.into_iter().take(NAMED).collect();
                let more = count.saturating_sub(NAMED);
                let rest = if more > 0 {
                    format!("; and {more} more (--output json has all)")
                } else {
                    String::new()
                };
                writeln!(text, "  {code} ({count}): {message}\n      {}{rest}", some.join("; "))
            }
        };
    }
    for (code, count) in lines.into_iter().filter(|(_, count)| *count > LINES) {
        let _ = writeln!(text, "  {code}: and {} more (--output json has all)", count - LINES);
    }
    text
}

/// So many lines has one code: a group may have a hundred thousand members that cannot be read.
const LINES: usize = 100;

/// So many objects of one kind of finding are named.
const NAMED: usize = 10;
