//! What a cycle is to meet: faults, by chance.

use jiff::SignedDuration;

use super::super::company::Guid;
use super::super::hub::{Domain, Hidden, Trouble, Weather};
use super::History;

impl History {
    pub(super) fn weather(&mut self) -> Weather {
        let incremental = self.settings.incremental;
        let chance = &mut self.chance;
        let mut weather = Weather::default();
        if chance.one_in(3) {
            return weather;
        }
        for _ in 0..chance.below(3) {
            let (domain, reach) =
                [(Domain::Directory, 14), (Domain::Target, 30), (Domain::State, 60)][chance.below(3)];
            let trouble = match domain {
                Domain::Directory => match chance.below(6) {
                    0 | 1 => Trouble::Cut(chance.below(5)),
                    2 => Trouble::Silent,
                    // What the log of changes passes over in silence is found by the next read of everything only.
                    5 if incremental => Trouble::Cut(chance.below(4)),
                    5 => Trouble::Omit(chance.below(4)),
                    3 => Trouble::Code([1, 3, 4, 11, 50, 51, 52, 53, 80][chance.below(9)], chance.below(4)),
                    _ => Trouble::Refer,
                },
                Domain::Target => match chance.below(6) {
                    0 => Trouble::Throttled,
                    1 => Trouble::Unavailable,
                    2 => Trouble::LostBefore,
                    3 => Trouble::LostAfter,
                    4 => Trouble::Contended,
                    _ => Trouble::Denied,
                },
                Domain::State => {
                    if chance.one_in(2) {
                        Trouble::Broken
                    } else {
                        Trouble::Untold
                    }
                }
            };
            weather.troubles.insert((domain, chance.below(reach)), trouble);
        }
        if chance.one_in(4) {
            weather.crash = Some((chance.below(110), chance.one_in(2)));
        }
        weather.first_down = chance.one_in(10);
        weather.second_down = chance.one_in(10);
        weather.lag = if chance.one_in(2) { chance.below(4) } else { 0 };
        if chance.one_in(6) {
            let company = self.hub.company();
            let people: Vec<Guid> = company.people.keys().copied().collect();
            let groups: Vec<Guid> = company.groups.keys().copied().collect();
            let mut hidden = Hidden::default();
            match chance.below(5) {
                0 => hidden.objects.extend(chance.pick(&people)),
                1 => hidden.objects.extend(chance.pick(&groups)),
                2 => hidden.members.extend(chance.pick(&groups)),
                3 => hidden.accounts.extend(chance.pick(&people)),
                _ => hidden.tombstones = true,
            }
            // What may not be seen any more is not reported either: the next read of everything finds it.
            weather.hidden = if incremental {
                Hidden { tombstones: hidden.tombstones, ..Hidden::default() }
            } else {
                hidden
            };
        }
        if chance.one_in(15) {
            weather.size_limit = Some(chance.between(1, 5));
        }
        if chance.one_in(8) {
            weather.stale = chance.between(1, 4);
        }
        weather.denied = chance.one_in(30);
        if chance.one_in(10) {
            weather.skew = SignedDuration::from_mins(
                [-3 * 60, 2 * 60, 40 * 24 * 60, -40 * 24 * 60, 20][chance.below(5)],
            );
        }
        if chance.one_in(8) {
            weather.meddling.insert(chance.below(20));
        }
        weather
    }
}
