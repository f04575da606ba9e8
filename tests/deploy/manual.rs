//! The commands of the manual are those of the program.

use std::collections::BTreeSet;
use std::process::Command;

use super::read;

/// Each command line in the code blocks and between backticks: its subcommand, and the options it is given.
fn commands(text: &str) -> BTreeSet<(String, BTreeSet<String>)> {
    let mut found = BTreeSet::new();
    for line in text.lines() {
        for (at, name) in line.match_indices("idcsync ") {
            let before = line[..at].chars().next_back();
            // `/idcsync sync` in a container, `idcsync sync` on a machine; not a namespace, a user or an object of that name.
            let of_another = ["deploy/", "-n ", "-u ", "-o ", "-g ", "--name ", "issued by "];
            if !matches!(before, None | Some(' ' | '/')) || of_another.iter().any(|w| line[..at].ends_with(w))
            {
                continue;
            }
            let rest = line[at + name.len()..].split(['`', '|', '#', ';', '>']).next().unwrap();
            let mut words = rest.split_whitespace();
            let Some(command) = words.next().filter(|w| w.chars().all(|c| c.is_ascii_lowercase())) else {
                continue;
            };
            // A command of a command.
            let more = (command == "scope").then(|| words.clone().next()).flatten();
            let more = more.filter(|w| w.chars().all(|c| c.is_ascii_lowercase()));
            let command = more.map_or_else(|| command.to_owned(), |more| format!("{command} {more}"));
            let options =
                words.map(|w| w.split('=').next().unwrap().to_owned()).filter(|w| w.starts_with("--"));
            found.insert((command, options.collect()));
        }
    }
    found
}

/// What stands in blocks and between backticks: prose says "idcsync does" without meaning a command.
fn code(text: &str) -> String {
    let mut out = String::new();
    for (at, part) in text.split("```").enumerate() {
        if at % 2 == 1 {
            out.push_str(part);
            continue;
        }
        // A span may go on in the next line.
        for span in part.split('`').skip(1).step_by(2) {
            out.push_str(&span.replace('\n', " "));
            out.push('\n');
        }
    }
    out
}

#[test]
fn the_manual_s_commands_and_options_are_real() {
    let (mut seen, mut wrong) = (BTreeSet::new(), Vec::new());
    for document in ["docs/operations.md", "deploy/README.md"] {
        for (command, options) in commands(&code(&read(document))) {
            let program = env!("CARGO_BIN_EXE_idcsync");
            let help = Command::new(program).args(command.split(' ')).arg("--help").output().unwrap();
            if !help.status.success() {
                wrong.push(format!("{document}: there is no `idcsync {command}`"));
            }
            let help = String::from_utf8(help.stdout).unwrap();
            for option in options {
                if !help.split_whitespace().any(|w| w.trim_end_matches([',', '.']) == option) {
                    wrong.push(format!("{document}: `idcsync {command}` has no {option}"));
                }
            }
            seen.insert(command);
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    for command in ["approve", "check", "pause", "resume", "run", "status", "sync"] {
        assert!(seen.contains(command), "the manual never says {command}: {seen:?}");
    }
}
