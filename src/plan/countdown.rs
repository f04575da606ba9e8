//! Who is how far from being disabled or deleted, if nothing changes: for `status`, the log and metrics.

use jiff::{SignedDuration, Timestamp};

use super::policy::{Lifecycle, OnDelete};
use crate::ids::LinkNo;
use crate::model::{Kind, Link};

/// What is going to happen to one linked object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Countdown {
    pub link: LinkNo,
    pub what: Coming,
    /// At the first cycle after this.
    pub at: Timestamp,
    /// Days until then, a part of one counting whole; 0: it is due.
    pub days_left: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Coming {
    /// Or what `disable-method` puts in its place.
    Disable,
    Delete,
}

impl Coming {
    /// As in JSON.
    pub fn word(self) -> &'static str {
        match self {
            Self::Disable => "disable",
            Self::Delete => "delete",
        }
    }
}

/// So many days before something is due it is told.
const TOLD: [u8; 4] = [1, 3, 7, 14];
const DAY: SignedDuration = SignedDuration::from_hours(24);

/// All that is coming, the first first.
pub fn countdowns<'a>(
    links: impl IntoIterator<Item = &'a Link>,
    lifecycle: &Lifecycle,
    now: Timestamp,
) -> Vec<Countdown> {
    let mut all: Vec<Countdown> = links
        .into_iter()
        .filter(|link| link.target_id.is_some())
        .filter_map(|link| {
            let (what, at) = coming(link, lifecycle)?;
            Some(Countdown { link: link.no, what, at, days_left: days_left(at, now) })
        })
        .collect();
    all.sort_by_key(|c| (c.at, c.link));
    all
}

/// The next moment at which time alone changes what is said or done: something is due, or one of the days before it that
/// are told comes. `now` where something is due already.
pub fn next_moment<'a>(
    links: impl IntoIterator<Item = &'a Link>,
    lifecycle: &Lifecycle,
    now: Timestamp,
) -> Option<Timestamp> {
    let marks = |due: Timestamp| {
        TOLD.map(|days| due.checked_sub(DAY * i32::from(days)).unwrap_or(Timestamp::MIN))
            .into_iter()
            .filter(move |mark| *mark > now)
            .chain([due.max(now)])
    };
    let links = links.into_iter().filter(|link| link.target_id.is_some());
    links.filter_map(|link| coming(link, lifecycle)).flat_map(|(_, at)| marks(at)).min()
}

fn coming(link: &Link, lifecycle: &Lifecycle) -> Option<(Coming, Timestamp)> {
    if let Some(deleted) = link.deleted {
        let delete = lifecycle.on_directory_delete == OnDelete::Delete;
        return delete.then(|| (Coming::Delete, after(deleted.since, lifecycle.delete_after)));
    }
    // A group out of scope is frozen, however long.
    if link.kind == Kind::Group || link.disabled.is_some() {
        return None;
    }
    link.out_since.map(|since| (Coming::Disable, after(since, lifecycle.disable_after)))
}

/// When everybody is disabled if a pause that began at `since` goes on; `None` where it ends before.
pub fn pause_disables_at(
    since: Timestamp,
    until: Option<Timestamp>,
    lifecycle: &Lifecycle,
) -> Option<Timestamp> {
    let at = after(since, lifecycle.disable_after);
    until.is_none_or(|until| until > at).then_some(at)
}

/// The smallest of 14, 7, 3 and 1 days before `due` that came to pass after `before` and no later than `now`.
pub fn crossed(before: Timestamp, now: Timestamp, due: Timestamp) -> Option<u8> {
    TOLD.into_iter()
        .find(|days| due.checked_sub(DAY * i32::from(*days)).is_ok_and(|mark| before < mark && mark <= now))
}

fn after(since: Timestamp, time: SignedDuration) -> Timestamp {
    since.checked_add(time).unwrap_or(Timestamp::MAX)
}

fn days_left(at: Timestamp, now: Timestamp) -> u32 {
    let left = at.duration_since(now);
    if left <= SignedDuration::ZERO {
        return 0;
    }
    let whole = left.as_hours() / 24;
    let part = i64::from(left > DAY * i32::try_from(whole).unwrap_or(i32::MAX));
    u32::try_from(whole + part).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::{Anchor, TargetId};
    use crate::model::{Deleted, DeletionProof, DisableCause, DisableHow, Disabled, Known};

    fn at(text: &str) -> Timestamp {
        format!("2026-03-{text}:00:00Z").parse().unwrap()
    }

    fn link(no: u32, kind: Kind) -> Link {
        let mut link = Link::new(LinkNo(no), kind, Anchor::from_u128(no.into()), format!("CN={no}"));
        link.target_id = Some(TargetId::new(no.to_string()));
        link
    }

    fn known(links: Vec<Link>) -> Known {
        Known { links: links.into_iter().map(|l| (l.no, l)).collect(), ..Known::default() }
    }

    fn deleted(since: &str) -> Option<Deleted> {
        Some(Deleted { since: at(since), proof: DeletionProof::Tombstone })
    }

    fn lifecycle(disable: i64, delete: i64) -> Lifecycle {
        Lifecycle {
            disable_after: SignedDuration::from_hours(disable),
            delete_after: SignedDuration::from_hours(delete),
            ..Lifecycle::default()
        }
    }

    #[test]
    fn what_comes_first_stands_first() {
        let mut early = link(1, Kind::User);
        early.out_since = Some(at("02T00"));
        let mut later = link(2, Kind::User);
        later.out_since = Some(at("02T01"));
        let mut gone = link(3, Kind::User);
        (gone.out_since, gone.deleted) = (Some(at("01T00")), deleted("01T00"));
        let mut group = link(4, Kind::Group);
        group.deleted = deleted("01T12");
        let known = known(vec![later, early, gone, group]);
        let all = countdowns(known.links.values(), &lifecycle(48, 24), at("02T12"));
        let brief: Vec<_> = all.iter().map(|c| (c.link.0, c.what, c.at, c.days_left)).collect();
        assert_eq!(
            brief,
            [
                (3, Coming::Delete, at("02T00"), 0),
                (4, Coming::Delete, at("02T12"), 0),
                (1, Coming::Disable, at("04T00"), 2),
                (2, Coming::Disable, at("04T01"), 2),
            ]
        );
        // A day before, to the hour, and just after.
        let first = |now: &str| countdowns(known.links.values(), &lifecycle(48, 24), at(now))[2].days_left;
        assert_eq!((first("02T23"), first("03T00"), first("03T01"), first("05T00")), (2, 1, 1, 0));
    }

    #[test]
    fn nothing_comes_for_those_who_are_in_disabled_or_not_ours() {
        let inside = link(1, Kind::User);
        let mut frozen = link(2, Kind::Group);
        frozen.out_since = Some(at("01T00"));
        let mut disabled = link(3, Kind::User);
        disabled.out_since = Some(at("01T00"));
        disabled.disabled =
            Some(Disabled { at: at("01T00"), cause: DisableCause::OutOfScope, how: DisableHow::Revoked });
        let mut unlinked = link(4, Kind::User);
        (unlinked.target_id, unlinked.out_since, unlinked.deleted) =
            (None, Some(at("01T00")), deleted("01T00"));
        let known = known(vec![inside, frozen, disabled, unlinked]);
        assert_eq!(countdowns(known.links.values(), &lifecycle(48, 24), at("02T00")), []);
    }

    #[test]
    fn who_stays_disabled_for_good_is_never_deleted() {
        let mut gone = link(1, Kind::User);
        (gone.out_since, gone.deleted) = (Some(at("01T00")), deleted("01T00"));
        let stay = Lifecycle { on_directory_delete: OnDelete::Disable, ..lifecycle(48, 24) };
        assert_eq!(countdowns([&gone], &stay, at("02T00")), []);
    }

    #[test]
    fn a_pause_disables_unless_it_ends_before() {
        let policy = lifecycle(48, 24);
        assert_eq!(pause_disables_at(at("01T00"), None, &policy), Some(at("03T00")));
        assert_eq!(pause_disables_at(at("01T00"), Some(at("04T00")), &policy), Some(at("03T00")));
        assert_eq!(pause_disables_at(at("01T00"), Some(at("03T00")), &policy), None);
    }

    #[test]
    fn the_next_moment_is_a_mark_or_what_is_due() {
        let mut out = link(1, Kind::User);
        out.out_since = Some(at("01T00"));
        let next = |now: &str, link: &Link| next_moment([link], &lifecycle(28 * 24, 24), at(now));
        // Due on the 29th.
        assert_eq!(next("01T00", &out), Some(at("15T00")));
        assert_eq!(next("15T00", &out), Some(at("22T00")));
        assert_eq!(next("27T00", &out), Some(at("28T00")));
        assert_eq!(next("28T00", &out), Some(at("29T00")));
        assert_eq!(next("30T00", &out), Some(at("30T00")));
        assert_eq!(next("01T00", &link(2, Kind::User)), None);
        out.target_id = None;
        assert_eq!(next("01T00", &out), None);
    }

    #[test]
    fn each_mark_is_crossed_once() {
        let due = at("29T00");
        let marks = |from: &str, to: &str| crossed(at(from), at(to), due);
        assert_eq!(marks("14T00", "14T23"), None);
        assert_eq!(marks("14T23", "15T00"), Some(14));
        assert_eq!(marks("15T00", "15T01"), None);
        assert_eq!(marks("21T23", "22T01"), Some(7));
        assert_eq!(marks("25T23", "26T00"), Some(3));
        assert_eq!(marks("27T12", "28T12"), Some(1));
        assert_eq!(marks("28T12", "30T00"), None);
        // After a long silence only what is nearest is told.
        assert_eq!(marks("01T00", "26T12"), Some(3));
        assert_eq!(marks("01T00", "31T00"), Some(1));
        assert_eq!(crossed(Timestamp::MIN, at("01T00"), Timestamp::MIN), None);
    }
}
