//! The cron line: minute, hour, day of the month, month, day of the week, as in crontab(5).
//!
//! `cronexpr` reads and matches it. It is asked about local time as if that were UTC, and never about a zone: across
//! changes of the clocks it knows one rule only, which is not the one for fixed hours (see the room's own text). What
//! it takes beyond crontab(5) (a zone after the fields, L, W, # and H) is refused.

use cronexpr::{Crontab, FallbackTimezoneOption, MakeTimestamp, ParseOptions};
use jiff::SignedDuration;
use jiff::civil::{DateTime, date};
use jiff::tz::Offset;

use super::ScheduleError;

const FIELDS: [&str; 5] = ["minute", "hour", "day of the month", "month", "day of the week"];
const NICKNAMES: [(&str, &str); 7] = [
    ("@hourly", "0 * * * *"),
    ("@daily", "0 0 * * *"),
    ("@midnight", "0 0 * * *"),
    ("@weekly", "0 0 * * 0"),
    ("@monthly", "0 0 1 * *"),
    ("@yearly", "0 0 1 1 *"),
    ("@annually", "0 0 1 1 *"),
];

const DAY: SignedDuration = SignedDuration::from_hours(24);
/// The library looks four years ahead; 29 February on a given day of the week may be further off.
const STEPS_OF_FOUR_YEARS: usize = 10;
/// Further on the library's own arithmetic would leave the calendar.
const LAST_YEAR: i16 = 9900;

#[derive(Clone, Debug)]
pub(super) struct Cron {
    crontab: Crontab,
    every_hour: bool,
}

impl Cron {
    pub fn parse(text: &str) -> Result<Self, ScheduleError> {
        let line = match text.starts_with('@') {
            true => nickname(text)?,
            false => {
                check_fields(text)?;
                text
            }
        };
        let crontab = library(line).map_err(|message| syntax(0, text.len(), message))?;
        let hours = line.split_whitespace().nth(1).unwrap_or_default();
        let cron = Self { every_hour: names_every_hour(hours), crontab };
        match cron.next(REFERENCE) {
            Some(_) => Ok(cron),
            None => Err(ScheduleError::Never),
        }
    }

    /// Whether the line follows elapsed time, and not the hours that it names.
    pub fn every_hour(&self) -> bool {
        self.every_hour
    }

    /// The first local time strictly after that the line matches, if there is one within 40 years.
    pub fn next(&self, after: DateTime) -> Option<DateTime> {
        let mut from = after;
        for _ in 0..STEPS_OF_FOUR_YEARS {
            if from.year() >= LAST_YEAR {
                return None;
            }
            let as_utc = Offset::UTC.to_timestamp(from).ok()?;
            if let Ok(found) = self.crontab.find_next(MakeTimestamp(as_utc)) {
                return Some(found.datetime());
            }
            from = from.checked_add(jiff::Span::new().years(4)).ok()?;
        }
        None
    }

    /// The shortest time between two matches: the same on each day that matches, and from one such day to the next at
    /// least what it would be if they followed each other.
    pub fn shortest(&self) -> SignedDuration {
        let Some(first) = self.next(REFERENCE) else { return DAY };
        let (mut last, mut shortest) = (first, DAY);
        while let Some(next) = self.next(last).filter(|next| next.date() == first.date()) {
            shortest = shortest.min(next.duration_since(last));
            last = next;
        }
        shortest.min(DAY - last.duration_since(first))
    }
}

/// Some midnight before everything that is asked.
const REFERENCE: DateTime = date(2000, 1, 1).at(0, 0, 0, 0);

fn syntax(offset: usize, len: usize, message: impl Into<String>) -> ScheduleError {
    ScheduleError::Syntax { offset, len, message: message.into() }
}

fn nickname(text: &str) -> Result<&'static str, ScheduleError> {
    match NICKNAMES.iter().find(|(name, _)| name.eq_ignore_ascii_case(text)) {
        Some((_, line)) => Ok(line),
        None => {
            let known: Vec<&str> = NICKNAMES.iter().map(|(name, _)| *name).collect();
            Err(syntax(0, text.len(), format!("known names are {}", known.join(", "))))
        }
    }
}

/// Each field by itself, so that what is wrong has its place.
fn check_fields(text: &str) -> Result<(), ScheduleError> {
    let (mut fields, mut at) = (Vec::new(), 0);
    for word in text.split([' ', '\t']) {
        if !word.is_empty() {
            fields.push((at, word));
        }
        at += word.len() + 1;
    }
    if fields.len() != FIELDS.len() {
        let message = format!("five fields are expected, {}; here are {}", FIELDS.join(", "), fields.len());
        return Err(syntax(0, text.len(), message));
    }
    for (index, ((at, field), name)) in fields.into_iter().zip(FIELDS).enumerate() {
        let mut alone = ["*"; FIELDS.len()];
        if let Some(place) = alone.get_mut(index) {
            *place = field;
        }
        let checked = in_crontab(field).and_then(|()| library(&alone.join(" ")).map(|_| ()));
        checked.map_err(|why| syntax(at, field.len(), format!("the {name} is wrong: {why}")))?;
    }
    Ok(())
}

/// Names of months and days have three letters; fewer or more are extensions.
fn in_crontab(field: &str) -> Result<(), String> {
    if let Some(odd) = field.chars().find(|c| !c.is_ascii_alphanumeric() && !"*,-/".contains(*c)) {
        return Err(format!("`{}` has no meaning here", odd.escape_default()));
    }
    let words = field.split(|c: char| !c.is_ascii_alphabetic()).filter(|word| !word.is_empty());
    match words.into_iter().find(|word| word.len() != 3) {
        Some(word) => Err(format!("`{word}` has no meaning here")),
        None => Ok(()),
    }
}

fn library(line: &str) -> Result<Crontab, String> {
    let mut options = ParseOptions::default();
    options.fallback_timezone_option = FallbackTimezoneOption::UTC;
    cronexpr::parse_crontab_with(line, options).map_err(|error| {
        // Its message ends with a caret under the line, and the reason beside the caret.
        let text = error.to_string();
        let reason = text.lines().last().unwrap_or_default().trim_start_matches([' ', '^']);
        match reason {
            "" | "malformed expression" => "it is none of *, */2, 5, 1-5, 1-5/2 or a list of such".to_owned(),
            reason => reason.to_owned(),
        }
    })
}

fn names_every_hour(hours: &str) -> bool {
    let every = |crontab: Crontab| {
        (0..24).all(|hour| {
            let time = Offset::UTC.to_timestamp(date(2000, 1, 1).at(hour, 0, 0, 0));
            time.is_ok_and(|time| crontab.matches(MakeTimestamp(time)).unwrap_or(false))
        })
    };
    hours.starts_with('*') || library(&format!("0 {hours} * * *")).is_ok_and(every)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn place(text: &str) -> (usize, usize, String) {
        match Cron::parse(text) {
            Err(ScheduleError::Syntax { offset, len, message }) => (offset, len, message),
            other => panic!("{text}: {other:?}"),
        }
    }

    /// The next matches after the last midnight of 2025, a Wednesday.
    fn next(text: &str, count: usize) -> Vec<String> {
        let cron = Cron::parse(text).unwrap();
        let mut at = date(2025, 12, 31).at(23, 59, 59, 999_999_999);
        (0..count)
            .map(|_| {
                at = cron.next(at).unwrap();
                at.strftime("%m-%d %H:%M").to_string()
            })
            .collect()
    }

    #[test]
    fn lines_of_crontab() {
        assert_eq!(next("0 * * * *", 2), ["01-01 00:00", "01-01 01:00"]);
        assert_eq!(next("@hourly", 2), ["01-01 00:00", "01-01 01:00"]);
        assert_eq!(next("@Daily", 2), ["01-01 00:00", "01-02 00:00"]);
        assert_eq!(next("@weekly", 2), ["01-04 00:00", "01-11 00:00"]);
        assert_eq!(
            next("5,35 8-17/9 * * mon-fri", 4),
            ["01-01 08:05", "01-01 08:35", "01-01 17:05", "01-01 17:35"]
        );
        assert_eq!(next("0 0 * feb,NOV 7", 1), ["02-01 00:00"]);
        // Either day will do where both are given (crontab(5)).
        assert_eq!(next("0 0 3 * 1", 3), ["01-03 00:00", "01-05 00:00", "01-12 00:00"]);
        assert_eq!(next("30\t2   29 2 *", 1), ["02-29 02:30"]);
    }

    #[test]
    fn what_is_wrong_has_its_place() {
        assert_eq!(place("0 25 * * *"), (2, 2, place("0 25 * * *").2));
        assert!(place("0 25 * * *").2.starts_with("the hour is wrong: "), "{}", place("0 25 * * *").2);
        assert_eq!((place("0 * * *").0, place("0 * * *").1), (0, 7));
        assert!(place("0 0 0 * * *").2.contains("here are 6"));
        assert!(place("0 0 * * * Europe/Zurich").2.contains("here are 6"));
        assert!(place("@reboot").2.contains("@hourly"));
        for (text, at, len) in [
            ("0 0 L * *", 4, 1),
            ("0 0 15W * *", 4, 3),
            ("0 0 * * 5L", 8, 2),
            ("0 0 * * MON#2", 8, 5),
            ("H * * * *", 0, 1),
            ("mon * * * *", 0, 3),
            ("0 0 * mon *", 6, 3),
            ("*/0 * * * *", 0, 3),
            ("61 * * * *", 0, 2),
            ("99999999999999999999999 * * * *", 0, 23),
            ("5-1 * * * *", 0, 3),
            ("1,,2 * * * *", 0, 4),
            ("? * * * *", 0, 1),
            ("0  ü * * *", 3, 2),
        ] {
            let (offset, length, message) = place(text);
            assert_eq!((offset, length), (at, len), "{text}: {message}");
            assert!(!message.contains('\n'), "{message}");
        }
    }

    #[test]
    fn a_day_that_never_comes_is_refused_and_a_rare_one_is_not() {
        assert_eq!(Cron::parse("0 0 30 2 *").unwrap_err(), ScheduleError::Never);
        assert_eq!(Cron::parse("0 0 31 4,6,9,11 *").unwrap_err(), ScheduleError::Never);
        let leap = Cron::parse("0 0 29 2 *").unwrap();
        let year = |y| leap.next(date(y, 3, 1).at(0, 0, 0, 0)).unwrap().year();
        assert_eq!((year(2024), year(2096)), (2028, 2104));
        // A day field that begins with `*` narrows the other down, as in Vixie's cron.
        assert_eq!(
            Cron::parse("0 0 29 2 */5").unwrap().next(date(2032, 3, 1).at(0, 0, 0, 0)).unwrap().year(),
            2036
        );
        assert_eq!(leap.next(DateTime::MAX), None);
    }

    #[test]
    fn the_hour_field_says_what_a_line_follows() {
        for every in
            ["0 * * * *", "0 */2 * * *", "@hourly", "0 0-23 * * *", "0 0-11,12-23 * * *", "* *,3 * * *"]
        {
            assert!(Cron::parse(every).unwrap().every_hour(), "{every}");
        }
        for fixed in ["* 2 * * *", "*/15 1-3 * * *", "0 0-22 * * *", "0 0-23/2 * * *", "@daily"] {
            assert!(!Cron::parse(fixed).unwrap().every_hour(), "{fixed}");
        }
    }

    #[test]
    fn the_shortest_time_between_two_matches() {
        for (text, minutes) in [
            ("* * * * *", 1),
            ("*/15 * * * *", 15),
            ("*/25 * * * *", 10),
            ("0 * * * *", 60),
            ("0 9,17 * * *", 8 * 60),
            ("50,10 0,23 * * *", 20),
            ("30 2 * * *", 24 * 60),
            ("0 0 1 * *", 24 * 60),
        ] {
            assert_eq!(Cron::parse(text).unwrap().shortest(), SignedDuration::from_mins(minutes), "{text}");
        }
    }

    proptest! {
        #[test]
        fn no_text_makes_a_cron_line_panic(text in "([0-9*,/LW#?-]{1,8} ){0,6}[A-Za-z0-9*]{0,4}|@[a-z]{0,9}|\\PC*") {
            let _ = Cron::parse(&text);
        }
    }
}
