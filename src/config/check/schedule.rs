//! `[schedule]`: when the service runs cycles, and how often one looks at everything.

use std::time::Duration;

use jiff::SignedDuration;
use jiff::tz::TimeZone;

use super::directory::Directory;
use super::lifecycle::{LONGEST, signed};
use crate::config::keys::nearest;
use crate::config::raw::{Reader, Section, shown};
use crate::config::values::{DAY, HOUR, SECOND};
use crate::directory::DirectorySettings;
use crate::schedule::{Schedule, ScheduleError};

const DEFAULT_DRIFT_CHECK: Duration = Duration::from_secs(24 * 60 * 60);
/// Tombstones stay for longer, and so does any log of changes worth the name.
const WEEK: Duration = Duration::from_secs(7 * 24 * 60 * 60);
const DEFAULT_CRON: &str = "0 * * * *";
const SUCH_AS: &str =
    "five fields as in crontab(5), such as \"0 * * * *\" (hourly) or \"30 2 * * mon-fri\"; or \"@hourly\"";

/// `profile` sets its delays apart from those of other profiles.
pub(super) fn read<'t>(r: &mut Reader<'t>, section: &Section<'t>, profile: &str) -> Option<Schedule> {
    let cron = section.string(r, "cron", "a cron line");
    let zone = zone(r, section);
    let jitter = section.duration(r, "jitter", Duration::ZERO..=DAY).map_or(SignedDuration::ZERO, signed);
    if cron.is_none() && section.has("cron") {
        return None;
    }
    let line = cron.as_ref().map_or(DEFAULT_CRON, |text| text.value);
    // The line is looked at even where the zone is wrong, so that everything is said at once.
    let checked = Schedule::new(line, zone.clone().unwrap_or(TimeZone::UTC), jitter, profile);
    match (checked, cron) {
        (Ok(schedule), _) => zone.map(|_| schedule),
        (Err(ScheduleError::Syntax { offset, len, message }), Some(text)) => {
            let place = r.within(&text, offset, len);
            r.error(place, format!("`cron` cannot be \"{}\"", shown(text.value)))
                .because(message)
                .help(SUCH_AS);
            None
        }
        (Err(error @ ScheduleError::Never), Some(text)) => {
            r.error(text.span, format!("`cron` cannot be \"{}\"", shown(text.value)))
                .because(error.to_string());
            None
        }
        (Err(error), cron) => {
            let jitter = section.value("jitter").map(|v| v.span).unwrap_or(section.at.clone());
            let problem = r.error(jitter, error.to_string());
            problem.label("too long");
            if let Some(text) = cron {
                problem.also(text.span, "runs so often");
            }
            None
        }
    }
}

/// By its name in the system's time zone database, or in the one that comes with the program.
fn zone<'t>(r: &mut Reader<'t>, section: &Section<'t>) -> Option<TimeZone> {
    if !section.has("timezone") {
        return Some(TimeZone::UTC);
    }
    let text = section.string(r, "timezone", "the name of a time zone")?;
    let known =
        TimeZone::get(text.value).ok().filter(|zone| !zone.is_unknown() && zone.iana_name().is_some());
    if known.is_none() {
        let names: Vec<String> = jiff::tz::db().available().map(|name| name.as_str().to_owned()).collect();
        let names = || names.iter().map(String::as_str);
        let is_its_city =
            |name: &&str| name.rsplit('/').next().is_some_and(|c| c.eq_ignore_ascii_case(text.value));
        let help = match names().find(is_its_city).or_else(|| nearest(text.value, names())) {
            Some(near) => format!("did you mean \"{near}\"?"),
            None => "a name of the IANA database, such as \"Europe/Zurich\" or \"UTC\"".to_owned(),
        };
        r.error(text.span, format!("there is no time zone \"{}\"", shown(text.value)))
            .label("no time zone")
            .help(help);
    }
    known
}

/// How often a cycle also reads the target back.
pub(super) fn drift_check<'t>(r: &mut Reader<'t>, section: &Section<'t>) -> Duration {
    section.duration(r, "drift-check", HOUR..=LONGEST).unwrap_or(DEFAULT_DRIFT_CHECK)
}

/// How often the whole directory is read, where it is not in each cycle; and how often it is looked for changes.
pub(super) fn following<'t>(
    r: &mut Reader<'t>,
    section: &Section<'t>,
    directory: Option<&Directory>,
) -> (Option<Duration>, Option<Duration>) {
    if matches!(directory, Some(Directory { settings: Some(DirectorySettings::Ldif(_)), .. })) {
        section.refuse(
            r,
            &["full-read-every", "follow"],
            "an LDIF file has no changes that could be asked for",
        );
        return (None, None);
    }
    let every = section.duration(r, "full-read-every", HOUR..=WEEK);
    let follow = section.duration(r, "follow", SECOND..=HOUR);
    if follow.is_some() && !section.tries("full-read-every") {
        let span = section.key_span("follow").unwrap_or(section.at.clone());
        r.error(span, "`follow` needs `full-read-every`: what follows changes reads changes only")
            .label("without `full-read-every`")
            .help("full-read-every = \"24h\"");
    }
    (every, follow)
}
