//! The clock of a run. It can be shifted for rehearsals against a stand-in on this machine, and nowhere else: what
//! rests on elapsed time would be done to real people otherwise.

use std::sync::OnceLock;

use jiff::{SignedDuration, Timestamp};

use crate::config::Config;

/// `28d 1h`, `-2h`: how far the clock of this run is ahead of the machine's.
pub const SHIFT_VARIABLE: &str = "IDCSYNC_CLOCK_SHIFT";

static SHIFT: OnceLock<SignedDuration> = OnceLock::new();

pub fn now() -> Timestamp {
    let shift = SHIFT.get().copied().unwrap_or_default();
    Timestamp::now().saturating_add(shift).unwrap_or(Timestamp::MAX)
}

/// Takes over what the environment asks for; gives it, for it is to be said on every run. Why it is refused, else.
pub fn set(config: &Config) -> Result<Option<String>, String> {
    let Some(text) = std::env::var_os(SHIFT_VARIABLE).filter(|v| !v.is_empty()) else { return Ok(None) };
    let text = text.to_string_lossy().into_owned();
    let refuse = |why: &str| Err(format!("{SHIFT_VARIABLE}={text}: {why}"));
    if !config.target.is_stand_in() {
        return refuse(
            "a shifted clock is for rehearsals: the target must be a sandbox, or an endpoint on this machine",
        );
    }
    match parse(&text) {
        Some(shift) => {
            let _ = SHIFT.set(shift);
            Ok(Some(text))
        }
        None => refuse("expected days, hours, minutes and seconds, such as `28d 1h` or `-2h`"),
    }
}

/// A day has 24 hours here.
fn parse(text: &str) -> Option<SignedDuration> {
    let (sign, rest) = match text.trim().strip_prefix('-') {
        Some(rest) => (-1, rest),
        None => (1, text.trim().trim_start_matches('+')),
    };
    let mut seconds = 0_i64;
    for part in rest.split_whitespace() {
        let unit = part.chars().last()?;
        let number: i64 = part[..part.len() - unit.len_utf8()].parse().ok().filter(|n| *n >= 0)?;
        let each = match unit {
            'd' => 86_400,
            'h' => 3_600,
            'm' => 60,
            's' => 1,
            _ => return None,
        };
        seconds = seconds.checked_add(number.checked_mul(each)?)?;
    }
    (!rest.is_empty()).then(|| SignedDuration::from_secs(sign * seconds))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_shift_is_read() {
        assert_eq!(parse("28d 1h"), Some(SignedDuration::from_hours(28 * 24 + 1)));
        assert_eq!(parse("-90m 5s"), Some(SignedDuration::from_secs(-5405)));
        for wrong in ["", "28", "1w", "1h-2m", "x", "--1h"] {
            assert_eq!(parse(wrong), None, "{wrong}");
        }
    }

    proptest! {
        #[test]
        fn no_text_makes_a_shift_panic(text in "-?([0-9]{1,22} ?[dhms]? ?){0,4}|\\PC*") {
            let _ = parse(&text);
        }
    }
}
