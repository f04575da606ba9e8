//! Questions on a terminal. They go to stderr, so that stdout has data alone.

use std::io::{self, BufRead as _, IsTerminal as _, Write as _};

use rustix::termios::{LocalModes, OptionalActions, tcgetattr, tcsetattr};
use secrecy::SecretString;

use crate::printable;

/// Whether there is somebody to ask.
pub fn can_ask() -> bool {
    io::stdin().is_terminal() && io::stderr().is_terminal()
}

/// One line; the default where it is empty.
pub fn line(question: &str, default: Option<&str>) -> io::Result<String> {
    loop {
        let hint = default.map(|d| format!(" [{}]", printable::shown(d))).unwrap_or_default();
        say(&format!("{question}{hint}: "))?;
        let answer = read()?;
        match (answer.is_empty(), default) {
            (false, _) => return Ok(answer),
            (true, Some(default)) => return Ok(default.to_owned()),
            (true, None) => {}
        }
    }
}

/// One line, or nothing.
pub fn optional(question: &str) -> io::Result<Option<String>> {
    say(&format!("{question}: "))?;
    Ok(Some(read()?).filter(|answer| !answer.is_empty()))
}

pub fn yes(question: &str) -> io::Result<bool> {
    say(&format!("{question} [Y/n] "))?;
    Ok(!read()?.to_lowercase().starts_with('n'))
}

/// A line that is not shown while it is typed.
pub fn secret(question: &str) -> io::Result<SecretString> {
    say(&format!("{question} (not shown): "))?;
    let input = io::stdin();
    let before = tcgetattr(&input)?;
    let mut hidden = before.clone();
    hidden.local_modes.remove(LocalModes::ECHO);
    hidden.local_modes.insert(LocalModes::ECHONL);
    tcsetattr(&input, OptionalActions::Now, &hidden)?;
    let answer = read();
    tcsetattr(&input, OptionalActions::Now, &before)?;
    answer.map(SecretString::from)
}

pub fn say(text: &str) -> io::Result<()> {
    let mut out = io::stderr().lock();
    out.write_all(printable::lines(text, false).as_bytes())?;
    out.flush()
}

fn read() -> io::Result<String> {
    let mut answer = String::new();
    if io::stdin().lock().read_line(&mut answer)? == 0 {
        return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the answers ended"));
    }
    Ok(answer.trim().to_owned())
}
