//! Local times as moments: what the room's text says about the changes of the clocks.

use jiff::tz::{AmbiguousOffset, TimeZone};
use jiff::{SignedDuration, Timestamp};

use super::cron::Cron;
use jiff::civil::DateTime;

/// The first slot strictly after.
pub(super) fn next(cron: &Cron, zone: &TimeZone, after: Timestamp) -> Option<Timestamp> {
    match cron.every_hour() {
        true => elapsed(cron, zone, after),
        false => fixed(cron, zone, after),
    }
}

/// From one change of the zone to the next local time runs as elapsed time does, so there the slots are what the line
/// matches; beyond the change the search begins anew with the new offset.
fn elapsed(cron: &Cron, zone: &TimeZone, after: Timestamp) -> Option<Timestamp> {
    let (mut from, mut local) = (after, zone.to_datetime(after));
    loop {
        let slot = zone.to_offset(from).to_timestamp(cron.next(local)?).ok()?;
        let change = zone.following(from).next().map(|change| change.timestamp());
        match change.filter(|change| *change <= slot) {
            None => return Some(slot),
            Some(change) => {
                from = change;
                // The moment of the change may be a slot itself.
                local = zone.to_datetime(change).checked_sub(SignedDuration::from_nanos(1)).ok()?;
            }
        }
    }
}

/// `moment` never goes back as local time goes on, so the first match that lies after is the next slot. Those it skips
/// are the second pass of a repeated time, and the rest of a gap.
fn fixed(cron: &Cron, zone: &TimeZone, after: Timestamp) -> Option<Timestamp> {
    let mut local = zone.to_datetime(after);
    loop {
        local = cron.next(local)?;
        let slot = moment(zone, local)?;
        if slot > after {
            return Some(slot);
        }
    }
}

/// When the local clock shows this; the first time, where it does so twice; the end of the gap, where it never does.
fn moment(zone: &TimeZone, local: DateTime) -> Option<Timestamp> {
    match zone.to_ambiguous_timestamp(local).offset() {
        AmbiguousOffset::Unambiguous { offset } => offset.to_timestamp(local).ok(),
        AmbiguousOffset::Fold { before, .. } => before.to_timestamp(local).ok(),
        AmbiguousOffset::Gap { after, .. } => {
            // By the new offset the time lies before the change, by less than the gap is long.
            let before = after.to_timestamp(local).ok()?;
            let mut changes = zone.following(before).map(|change| change.timestamp());
            changes.find(|change| zone.to_datetime(*change) > local)
        }
    }
}
