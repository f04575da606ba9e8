//! A made-up company of any size: deterministic, computed on the fly, with the traps of real directories.
//!
//! Nothing is kept in memory: the n-th person and the n-th group are functions of the seed and n, so that 100,000
//! people cost no more than one. This module stands on its own, so that `examples/company.rs` can include it.
//!
//! What is in it, besides people and teams:
//! - OUs, people and teams with commas, quotes, plus signs, hashes and accents in their names;
//! - people without mail, given name, surname, display name or userPrincipalName; disabled and expired accounts;
//! - teams nested four levels deep, some below two parents; a ring of three; a group that is its own member;
//! - a group with most people as direct members, one whose members have it as their primary group;
//! - distribution lists, empty groups; computers, contacts and a managed service account among the members.

pub mod chance;
mod ldif;
mod names;

use chance::Chance;
pub use ldif::Flavour;

/// A container: read through, not written itself. It holds every second tree of teams (or each), and the special
/// groups.
pub const CONTAINER: &str = "AWS-All";
pub const ADMINS: &str = "AWS-Admins";
/// Its members have it as their primary group (as plain members in the OpenLDAP flavour).
pub const CONTRACTORS: &str = "AWS-Contractors";
/// Most people are direct members.
pub const EVERYONE: &str = "Everyone";
pub const RING: [&str; 3] = ["Ring-A", "Ring-B", "Ring-C"];
/// A group that is a member of itself.
pub const MIRROR: &str = "Mirror";
/// A distribution list, with members that no other group of the scope needs to have.
pub const NEWSLETTER: &str = "Newsletter";
pub const EMPTY: &str = "Vacant";

const SPECIAL: [&str; 10] =
    [CONTAINER, ADMINS, CONTRACTORS, EVERYONE, RING[0], RING[1], RING[2], MIRROR, NEWSLETTER, EMPTY];

/// How the groups are cut into levels: of forty, one is on top, three below it, and so on.
const LEVELS: [usize; 4] = [1, 3, 9, 27];

/// The parameters; everything else follows from them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Company {
    pub seed: u64,
    /// DNS name; the base DN has one `dc` per label.
    pub domain: String,
    pub people: usize,
    /// All groups, the ten special ones included.
    pub groups: usize,
    /// About how many people all teams together have as direct members.
    pub memberships: usize,
    /// Direct members of [`EVERYONE`]: by default four of five people, 20,000 at most.
    pub large_group: usize,
    /// The container holds every tree of teams, so that all of the company is in scope.
    pub every_tree: bool,
}

/// An entry of the scope, as a config would name it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScopeGroup {
    pub name: String,
    /// `false` for a container.
    pub write: bool,
}

impl ScopeGroup {
    pub fn written(name: &str) -> Self {
        Self { name: name.to_owned(), write: true }
    }

    pub fn container(name: &str) -> Self {
        Self { name: name.to_owned(), write: false }
    }
}

#[derive(Debug, Clone)]
pub struct Person {
    pub index: usize,
    /// sAMAccountName, and uid.
    pub account: String,
    pub common_name: String,
    pub given_name: Option<String>,
    pub surname: Option<String>,
    pub display_name: Option<String>,
    pub principal_name: Option<String>,
    pub mail: Option<String>,
    pub title: &'static str,
    pub department: &'static str,
    pub disabled: bool,
    pub expired: bool,
    /// Has [`CONTRACTORS`] as primary group.
    pub contractor: bool,
    /// One of [`Company::units`].
    pub unit: &'static str,
    pub guid: [u8; 16],
}

#[derive(Debug, Clone)]
pub struct Group {
    pub index: usize,
    pub common_name: String,
    /// sAMAccountName, which allows fewer characters.
    pub account: String,
    pub kind: GroupKind,
    pub guid: [u8; 16],
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GroupKind {
    Global,
    Universal,
    DomainLocal,
    /// Universal, but for mail only.
    Distribution,
}

/// What a group may have as direct member.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Member {
    Person(usize),
    Group(usize),
    Computer(usize),
    Contact(usize),
    ServiceAccount,
}

impl Company {
    /// A company with five memberships per person.
    pub fn new(people: usize, groups: usize) -> Self {
        Self {
            seed: 1,
            domain: "corp.example.com".to_owned(),
            people,
            groups: groups.max(SPECIAL.len() + 4),
            memberships: people * 5,
            large_group: (people * 4 / 5).min(20_000),
            every_tree: false,
        }
    }

    pub fn base_dn(&self) -> String {
        self.domain.split('.').map(|label| format!("dc={label}")).collect::<Vec<_>>().join(",")
    }

    /// The scope that goes with it.
    pub fn scope(&self) -> Vec<ScopeGroup> {
        vec![ScopeGroup::container(CONTAINER), ScopeGroup::written(ADMINS), ScopeGroup::written(CONTRACTORS)]
    }

    /// The OUs with people in them.
    pub fn units(&self) -> &'static [&'static str] {
        names::UNITS
    }

    pub fn computers(&self) -> usize {
        self.people / 20 + 2
    }

    pub fn contacts(&self) -> usize {
        self.people / 50 + 2
    }

    pub fn person(&self, index: usize) -> Person {
        let mut chance = self.chance(1, index);
        let first = chance.one_of(names::FIRST);
        let last = chance.one_of(names::LAST);
        let (first_plain, last_plain) = (names::plain(first), names::plain(last));
        let initial = first_plain.get(..1).unwrap_or("x");
        let account = format!("{initial}{}{index}", last_plain.get(..10).unwrap_or(&last_plain));
        let address = format!("{first_plain}.{last_plain}{index}");
        let common_name = if chance.one_in(4) {
            format!("{last}, {first} {index}")
        } else {
            format!("{first} {last} {index}")
        };
        let shouts = chance.one_in(31);
        let principal = if shouts { address.to_uppercase() } else { address.clone() };
        Person {
            index,
            account,
            common_name,
            given_name: (!chance.one_in(53)).then(|| first.to_owned()),
            surname: (!chance.one_in(41)).then(|| last.to_owned()),
            display_name: (!chance.one_in(47)).then(|| format!("{first} {last}")),
            principal_name: (!chance.one_in(13)).then(|| format!("{principal}@{}", self.domain)),
            mail: (!chance.one_in(17)).then(|| format!("{address}@mail.{}", self.domain)),
            title: chance.one_of(names::TITLES),
            department: chance.one_of(names::DEPARTMENTS),
            disabled: chance.one_in(29),
            expired: chance.one_in(97),
            contractor: chance.one_in(37),
            unit: chance.one_of(names::UNITS),
            // Some identifiers are valid UTF-8 by chance, and must be read as bytes all the same.
            guid: guid(&mut chance, index % 100 == 7),
        }
    }

    pub fn group(&self, index: usize) -> Group {
        let mut chance = self.chance(2, index);
        let guid = guid(&mut chance, index % 100 == 7);
        let Some(name) = SPECIAL.get(index) else {
            let (prefix, account) = chance.one_of(names::TEAMS);
            // A team with teams in it may be anything but global; one without, anything but domain local.
            let kind = match chance.below(24) {
                0 => GroupKind::Distribution,
                1..=5 if self.children(index).next().is_none() => GroupKind::Global,
                6 if index.is_multiple_of(2) => GroupKind::DomainLocal,
                _ => GroupKind::Universal,
            };
            return Group {
                index,
                common_name: format!("{prefix} {index}"),
                account: format!("{account} {index}"),
                kind,
                guid,
            };
        };
        let kind = match *name {
            NEWSLETTER => GroupKind::Distribution,
            CONTRACTORS => GroupKind::Global,
            _ => GroupKind::Universal,
        };
        Group { index, common_name: (*name).to_owned(), account: (*name).to_owned(), kind, guid }
    }

    /// The index of a special group.
    pub fn special(&self, name: &str) -> usize {
        SPECIAL.iter().position(|special| *special == name).expect("one of the special groups")
    }

    /// Direct members, each once, those by primary group left out.
    pub fn members(&self, index: usize) -> Box<dyn Iterator<Item = Member> + '_> {
        let Some(name) = SPECIAL.get(index) else {
            return Box::new(self.team_members(index));
        };
        let group = |name: &str| Member::Group(self.special(name));
        let some = |count: usize| self.some_people(index, count).map(Member::Person);
        match *name {
            CONTAINER => Box::new(
                [EVERYONE, RING[0], MIRROR, NEWSLETTER, EMPTY]
                    .map(group)
                    .into_iter()
                    .chain(self.level(0).step_by(if self.every_tree { 1 } else { 2 }).map(Member::Group))
                    .chain(some(1)),
            ),
            ADMINS => Box::new(some(3).chain([Member::Group(self.level(3).start)])),
            EVERYONE => Box::new(
                some(self.large_group)
                    .chain((0..self.computers().min(5)).map(Member::Computer))
                    .chain((0..self.contacts().min(5)).map(Member::Contact))
                    .chain([Member::ServiceAccount]),
            ),
            "Ring-A" => Box::new(some(2).chain([group(RING[1])])),
            "Ring-B" => Box::new(some(2).chain([group(RING[2])])),
            "Ring-C" => Box::new(some(2).chain([group(RING[0])])),
            MIRROR => Box::new(some(4).chain([group(MIRROR)])),
            NEWSLETTER => Box::new(some(self.people / 50 + 3)),
            _ => Box::new(std::iter::empty()),
        }
    }

    /// People whose primary group is [`CONTRACTORS`].
    pub fn contractors(&self) -> impl Iterator<Item = Person> + '_ {
        (0..self.people).map(|index| self.person(index)).filter(|person| person.contractor)
    }

    fn teams(&self) -> usize {
        self.groups.saturating_sub(SPECIAL.len())
    }

    /// The indices of the teams of one level, 0 on top.
    fn level(&self, level: usize) -> std::ops::Range<usize> {
        let teams = self.teams();
        let total: usize = LEVELS.iter().sum();
        // At least one team is left for each level below.
        let end = |level: usize| match level {
            3 => teams,
            _ => (LEVELS.iter().take(level + 1).sum::<usize>() * teams / total).max(level + 1),
        };
        let start = if level == 0 { 0 } else { end(level - 1) };
        SPECIAL.len() + start..SPECIAL.len() + end(level)
    }

    /// The teams directly below a team.
    fn children(&self, index: usize) -> impl Iterator<Item = usize> {
        let level = (0..LEVELS.len()).find(|level| self.level(*level).contains(&index)).unwrap_or(0);
        let own = self.level(level);
        let below = if level + 1 < LEVELS.len() { self.level(level + 1) } else { 0..0 };
        let (place, width) = (index - own.start, own.len());
        // Every seventh team has a second parent, the one after its first.
        let before = (place + width - 1) % width;
        let firsts = (place..below.len()).step_by(width);
        let seconds = (before..below.len()).step_by(width).filter(move |nth| nth % 7 == 6 && before != place);
        firsts.chain(seconds).map(move |nth| below.start + nth)
    }

    fn team_members(&self, index: usize) -> impl Iterator<Item = Member> + '_ {
        let average = (self.memberships / self.teams().max(1)).max(1);
        let mut chance = self.chance(3, index);
        let count = average / 2 + chance.below(average + 1);
        let computer = chance.one_in(5).then(|| Member::Computer(chance.below(self.computers())));
        let contact = chance.one_in(5).then(|| Member::Contact(chance.below(self.contacts())));
        self.some_people(index, count.max(1))
            .map(Member::Person)
            .chain(self.children(index).map(Member::Group))
            .chain(computer)
            .chain(contact)
    }

    /// `count` different people, the same ones every time.
    fn some_people(&self, group: usize, count: usize) -> impl Iterator<Item = usize> {
        let people = self.people.max(1);
        let mut chance = self.chance(4, group);
        let start = chance.below(people);
        let mut step = chance.below(people).max(1);
        // A step without a common divisor visits everybody before it comes back to the first.
        while gcd(step, people) != 1 {
            step += 1;
        }
        (0..count.min(self.people)).map(move |nth| (start + nth * step) % people)
    }

    fn chance(&self, kind: u64, index: usize) -> Chance {
        let mixed = Chance::of(self.seed ^ kind << 56).bits() ^ u64::try_from(index).unwrap_or(u64::MAX);
        Chance::of(mixed)
    }
}

fn guid(chance: &mut Chance, printable: bool) -> [u8; 16] {
    let mut bytes = [0; 16];
    bytes[..8].copy_from_slice(&chance.bits().to_be_bytes());
    bytes[8..].copy_from_slice(&chance.bits().to_be_bytes());
    if printable {
        for byte in &mut bytes {
            *byte = *byte & 0x1f | 0x40;
        }
    }
    bytes
}

fn gcd(a: usize, b: usize) -> usize {
    if b == 0 { a } else { gcd(b, a % b) }
}
