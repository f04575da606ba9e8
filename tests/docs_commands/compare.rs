//! Pasted output against what was printed.

use std::sync::LazyLock;

use regex::Regex;

/// What may differ from run to run, and what stands for it.
static MASKS: LazyLock<Vec<(Regex, &'static str)>> = LazyLock::new(|| {
    [
        (r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z", "TIME"),
        (r"\d{4}-\d\d-\d\d \d\d:\d\d(:\d\d)? UTC", "TIME"),
        (r"TIME in \d+ s\b", "TIME in N s"),
        (r"\b(Plan|plan|approve) [0-9a-f]{12}\b", "$1 ID"),
        (r"\b\d{10}-[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\b", "TARGET-ID"),
        (r"seconds=[0-9.]+", "seconds=N"),
        (r"(timestamp_seconds\{[^}]*\}) [0-9.]+", "$1 N"),
    ]
    .into_iter()
    .map(|(pattern, with)| (Regex::new(pattern).unwrap(), with))
    .collect()
});

fn masked(line: &str) -> String {
    MASKS.iter().fold(line.trim_end().to_owned(), |line, (pattern, with)| {
        pattern.replace_all(&line, *with).into_owned()
    })
}

/// The first stretch of pasted lines that was not printed where it should have been; `None` where all is as pasted.
pub fn difference(pasted: &[String], printed: &str) -> Option<String> {
    let mut printed: Vec<String> = printed.lines().map(masked).collect();
    while printed.last().is_some_and(String::is_empty) {
        printed.pop();
    }
    let mut at = 0;
    let mut stretches = pasted.split(|line| line == "…").peekable();
    let mut first = true;
    while let Some(stretch) = stretches.next() {
        let wanted: Vec<String> = stretch.iter().map(|line| masked(line)).collect();
        let is_last = stretches.peek().is_none();
        let rest = &printed[at..];
        let fits = |from: usize| rest.get(from..from + wanted.len()) == Some(wanted.as_slice());
        let found = match (first, is_last) {
            (true, true) => (rest == wanted).then_some(0),
            (true, false) => fits(0).then_some(0),
            // What ends the block ends the output.
            (false, true) => rest.len().checked_sub(wanted.len()).filter(|from| fits(*from)),
            (false, false) => (0..=rest.len()).find(|from| fits(*from)),
        };
        let Some(from) = found else { return Some(stretch.join("\n")) };
        at += from + wanted.len();
        first = false;
    }
    None
}

#[test]
fn three_dots_stand_for_any_lines_and_nothing_else_does() {
    let pasted = |lines: &str| lines.lines().map(str::to_owned).collect::<Vec<_>>();
    let printed = "Plan 0123456789ab for x\na\nb\nc\n";
    for good in [
        "Plan ffffffffffff for x\na\nb\nc",
        "…",
        "…\nb\n…",
        "Plan ffffffffffff for x\n…\nc",
        "…\nc",
        "…\na\nb\n…\nc",
    ] {
        assert_eq!(difference(&pasted(good), printed), None, "{good}");
    }
    for bad in ["Plan ffffffffffff for x\na\nb", "a\n…", "…\nb", "…\nc\n…\na\n…", "…\nd\n…", "…\na\nc\n…", ""]
    {
        assert!(difference(&pasted(bad), printed).is_some(), "{bad}");
    }
}
