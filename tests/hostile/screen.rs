//! What may never reach a terminal or a reader of lines, told apart by rules of its own.

use std::path::Path;

use serde_json::Value;

use super::support::idcsync::{Idcsync, Run};

/// Clears the screen, sets the clipboard and the title, makes a link, begins lines, turns the direction, hides.
pub const HOSTILE: &str = "e\u{1b}[2J\u{1b}]52;c;ZXZpbA==\u{7}\u{1b}]8;;http://evil\u{1b}\\x\u{9b}31m\u{90}q\u{9c}\u{202e}gnp\u{2066}\u{200b}\u{200d}\u{feff}\u{ad}\u{7f}\r\nINJECTED line\u{2028}INJECTED\u{85}INJECTED\t=cmd|'/c calc'!A1 ${mail} `1` <script> \"'\\ \u{e0041}z";

fn is_evil(c: char) -> bool {
    let code = u32::from(c);
    (code < 0x20 && c != '\n')
        || (0x7f..=0x9f).contains(&code)
        || [0xad, 0x61c, 0x180e, 0xfeff].contains(&code)
        || (0x200b..=0x200f).contains(&code)
        || (0x2028..=0x202e).contains(&code)
        || (0x2060..=0x206f).contains(&code)
        || (0xe0000..=0xe007f).contains(&code)
}

/// Panics where `text` moves something, hides something or has a line that somebody else wrote.
#[track_caller]
pub fn assert_clean(what: &str, text: &str) {
    if let Some(at) = text.char_indices().find(|(_, c)| is_evil(*c)).map(|(at, _)| at) {
        let start = text.floor_char_boundary(at.saturating_sub(150));
        panic!("{what} has {:?} at {at}: {:?}", text[at..].chars().next().unwrap(), &text[start..at + 4]);
    }
    for line in text.lines() {
        assert!(!line.trim_start().starts_with("INJECTED"), "{what}: somebody else's line {line:?}");
    }
}

/// Our own colours aside.
fn without_styles(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some(at) = rest.find("\u{1b}[") {
        out.push_str(&rest[..at]);
        let tail = &rest[at + 2..];
        let end = tail.find(|c: char| !c.is_ascii_digit() && c != ';').unwrap_or(tail.len());
        assert!(tail[end..].starts_with('m'), "a sequence that is no colour: {:?}", &rest[at..]);
        rest = &tail[end + 1..];
    }
    out + rest
}

pub trait Screened: Sized {
    /// Panics where it printed what may not be printed.
    #[track_caller]
    fn shows_clean(self) -> Self;
    /// The same of a run that was to use colours.
    #[track_caller]
    fn shows_clean_in_colour(self) -> Self;
}

impl Screened for Run {
    fn shows_clean(self) -> Self {
        assert_clean("stdout", &self.stdout);
        assert_clean("stderr", &self.stderr);
        self
    }

    fn shows_clean_in_colour(self) -> Self {
        assert_clean("stdout", &without_styles(&self.stdout));
        assert_clean("stderr", &without_styles(&self.stderr));
        self
    }
}

/// All that idcsync has written beside the config, the database aside.
pub fn assert_files_clean(idcsync: &Idcsync, except: &[&str]) {
    for (path, (_, bytes)) in idcsync.files() {
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if name.starts_with("state.db") || name.starts_with("store.json") || except.contains(&name.as_str()) {
            continue;
        }
        assert_clean(&name, &String::from_utf8(bytes).expect("idcsync writes UTF-8"));
    }
}

/// Each line of the file is one JSON value.
pub fn records(path: &Path) -> Vec<Value> {
    let text = std::fs::read_to_string(path).unwrap();
    text.lines().map(|line| serde_json::from_str(line).expect("a record on each line")).collect()
}
