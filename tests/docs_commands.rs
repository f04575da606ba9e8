//! Every ```` ```console ```` block of the documents is run, and what it prints is held to what is pasted there.
//!
//! A comment before the block says how:
//!
//! | comment | what it does |
//! | --- | --- |
//! | `<!-- run: quickstart -->` | runs its commands, in a shell of the page's own, in a copy of this tree's config and test data |
//! | `…, after: COMMANDS -->` | runs these before, unseen |
//! | `…, background -->` | the last command goes on, as on a terminal, while the blocks below are run |
//! | `…, background ends after TEXT -->` | sends it a SIGTERM once it has said that; the block is the rest of what it says |
//! | `<!-- not run: WHY -->` | leaves it out |
//! | `<!-- file: NAME -->`, `<!-- file: NAME, after OTHER -->` | before a block of any other kind: it is that file, or the other one and the block |
//!
//! Where a block has output pasted, `…` alone on a line stands for any number of lines; times, durations, and the ids of
//! plans may differ. Where it has none, only the exit code counts, which must then be 0.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "this is test code, where a panic is the report")]

#[path = "docs_commands/compare.rs"]
mod compare;
#[path = "docs_commands/page.rs"]
mod page;
#[path = "support/ports.rs"]
#[allow(dead_code, reason = "the rig's, of which one part is used here")]
mod ports;
#[path = "docs_commands/shell.rs"]
mod shell;

use std::fs;
use std::path::{Path, PathBuf};

use page::{Block, How, Page};
use shell::Shell;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn pages() -> Vec<PathBuf> {
    let mut names: Vec<PathBuf> = fs::read_dir(root().join("docs"))
        .unwrap()
        .map(|entry| Path::new("docs").join(entry.unwrap().file_name()))
        .filter(|name| name.extension().is_some_and(|e| e == "md"))
        .collect();
    names.extend(["README.md".into(), "deploy/README.md".into()]);
    names.sort();
    names
}

/// What is wrong with a block of the page, by its line.
type Wrong = Vec<String>;

#[test]
fn every_block_says_how_it_is_run_or_why_not() {
    let (mut run, mut wrong) = (0, Wrong::new());
    for name in pages() {
        let page = Page::parse(&fs::read_to_string(root().join(&name)).unwrap());
        run += page.blocks.iter().filter(|b| matches!(b.how, How::Run { .. })).count();
        wrong.extend(page.wrong.iter().map(|w| format!("{}:{w}", name.display())));
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(run > 15, "only {run} blocks are run");
}

#[test]
fn what_is_pasted_is_what_is_printed() {
    let mut wrong = Wrong::new();
    for name in pages() {
        let page = Page::parse(&fs::read_to_string(root().join(&name)).unwrap());
        if page.blocks.iter().any(|block| matches!(block.how, How::Run { .. })) {
            wrong.extend(run(&page).into_iter().map(|w| format!("{}:{w}", name.display())));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
}

fn run(page: &Page) -> Wrong {
    let mut shell = Shell::start(root());
    let mut wrong = Wrong::new();
    for block in &page.blocks {
        match &block.how {
            How::NotRun => {}
            How::File { name, after } => {
                let before = after.as_ref().map_or(String::new(), |other| shell.read(other));
                shell.write(name, &format!("{before}{}", block.text()));
            }
            How::Run { after, background, ends } => {
                if let Some(commands) = after {
                    let (code, printed) = shell.run(commands);
                    assert!(code == 0, "{}: `{commands}` ends with {code}:\n{printed}", block.line);
                }
                if let Some(text) = ends {
                    shell.await_background(|printed| printed.contains(text.as_str()));
                    shell.end_background();
                    check(&mut wrong, block.line, &block.lines, &shell.background_rest());
                } else {
                    commands(&mut shell, block, *background, &mut wrong);
                }
            }
        }
    }
    wrong
}

fn commands(shell: &mut Shell, block: &Block, background: bool, wrong: &mut Wrong) {
    let all = block.commands();
    for (no, command) in all.iter().enumerate() {
        if background && no + 1 == all.len() {
            let done = shell.start_background(&command.text, |printed| {
                compare::difference(&command.output, printed).is_none()
            });
            if !done {
                check(wrong, command.line, &command.output, &shell.background_rest());
            }
            shell.background_seen();
            continue;
        }
        let (code, printed) = shell.run(&command.text);
        if command.output.is_empty() {
            if code != 0 {
                wrong.push(format!("{}: `{}` ends with {code}:\n{printed}", command.line, command.text));
            }
        } else {
            check(wrong, command.line, &command.output, &printed);
        }
    }
}

fn check(wrong: &mut Wrong, line: usize, pasted: &[String], printed: &str) {
    if let Some(missing) = compare::difference(pasted, printed) {
        wrong.push(format!("{line}: not printed: {missing}\n--- printed is:\n{printed}"));
    }
}
