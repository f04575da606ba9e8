//! The model company: what its Active Directory holds at one moment, and what happens to it.

use std::collections::{BTreeMap, BTreeSet};

use super::chance::Chance;

/// What an object is known by for ever; the bytes are those of objectGUID.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Guid(pub [u8; 16]);

impl Guid {
    /// The number makes it; the rest is there to be no text.
    fn of(number: u32) -> Self {
        let mut bytes = [0xa5, 0x28, 0x29, 0x2a, 0x5c, 0xff, 0x00, 0xfe, 0x80, 0x0a, 0, 0, 0, 0, 0, 0];
        bytes[10] = 0x3d;
        bytes[12..].copy_from_slice(&number.to_be_bytes());
        Self(bytes)
    }

    /// As Active Directory writes it: the first three fields are little-endian.
    pub fn text(self) -> String {
        uuid::Uuid::from_bytes_le(self.0).to_string()
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Account {
    Enabled,
    Disabled,
    Expired,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Person {
    pub guid: Guid,
    pub number: u32,
    /// sAMAccountName, CN, and the front part of the addresses.
    pub name: String,
    pub upn: Option<String>,
    pub mail: Option<String>,
    pub surname: Option<String>,
    pub title: Option<String>,
    pub unit: &'static str,
    pub account: Account,
    /// The group that is the primary one, if it is one of the company's own.
    pub primary: Option<Guid>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group {
    pub guid: Guid,
    pub number: u32,
    pub name: String,
    pub unit: &'static str,
    pub people: BTreeSet<Guid>,
    pub groups: BTreeSet<Guid>,
}

pub const UNITS: [&str; 3] = ["Staff", "Sales", "Old, (closed)"];

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Company {
    pub people: BTreeMap<Guid, Person>,
    pub groups: BTreeMap<Guid, Group>,
    /// Deleted, and still shown to whoever asks for deleted objects.
    pub tombstones: BTreeSet<Guid>,
    /// When each object was created and last changed, counted in commits.
    pub stamps: BTreeMap<Guid, Stamp>,
    pub commits: u64,
    /// Each object says which groups it is in (`memberOf`).
    pub says_member_of: bool,
    next: u32,
}

/// `uSNCreated` and `uSNChanged`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp {
    pub created: u64,
    pub changed: u64,
}

impl Company {
    pub fn hire(&mut self, name: &str) -> Guid {
        let number = self.number();
        let guid = Guid::of(number);
        let person = Person {
            guid,
            number,
            name: name.to_owned(),
            upn: Some(format!("{name}@corp.example")),
            mail: Some(format!("{name}@mail.example")),
            surname: Some("Doe".to_owned()),
            title: None,
            unit: UNITS[0],
            account: Account::Enabled,
            primary: None,
        };
        self.people.insert(guid, person);
        guid
    }

    pub fn found(&mut self, name: &str) -> Guid {
        let number = self.number();
        let guid = Guid::of(number);
        let group = Group {
            guid,
            number,
            name: name.to_owned(),
            unit: UNITS[0],
            people: BTreeSet::new(),
            groups: BTreeSet::new(),
        };
        self.groups.insert(guid, group);
        guid
    }

    /// Stamps what is other than before as Active Directory does: that a member was renamed or deleted does not count as
    /// a change of the group.
    pub fn commit(&mut self, before: &Self) {
        let mut changed: Vec<Guid> = self
            .people
            .iter()
            .filter(|(guid, p)| before.people.get(guid) != Some(p))
            .map(|(g, _)| *g)
            .collect();
        for (guid, group) in &self.groups {
            let old = before.groups.get(guid);
            let same = old.is_some_and(|old| {
                let still = |of: &BTreeSet<Guid>| -> BTreeSet<Guid> {
                    of.iter().filter(|g| !self.tombstones.contains(g)).copied().collect()
                };
                (&old.name, old.unit) == (&group.name, group.unit)
                    && still(&old.people) == group.people
                    && still(&old.groups) == group.groups
            });
            if !same {
                changed.push(*guid);
            }
        }
        changed.extend(self.tombstones.difference(&before.tombstones));
        for guid in changed {
            self.stamp(guid);
        }
    }

    /// The object has changed, if only in who may see it.
    pub fn stamp(&mut self, guid: Guid) {
        self.commits += 1;
        let commits = self.commits;
        self.stamps.entry(guid).or_insert(Stamp { created: commits, changed: commits }).changed = commits;
    }

    fn number(&mut self) -> u32 {
        self.next += 1;
        self.next
    }

    /// With a tombstone; memberships go with it.
    pub fn delete(&mut self, guid: Guid) {
        self.people.remove(&guid);
        self.groups.remove(&guid);
        self.tombstones.insert(guid);
        for group in self.groups.values_mut() {
            group.people.remove(&guid);
            group.groups.remove(&guid);
        }
        for person in self.people.values_mut() {
            person.primary = person.primary.filter(|primary| *primary != guid);
        }
    }

    pub fn group_named(&self, name: &str) -> Option<&Group> {
        self.groups.values().find(|g| g.name.eq_ignore_ascii_case(name))
    }

    pub fn person_named(&self, name: &str) -> Option<&Person> {
        self.people.values().find(|p| p.name.eq_ignore_ascii_case(name))
    }

    /// All groups that are reached from these, themselves included.
    pub fn reached(&self, from: impl IntoIterator<Item = Guid>) -> BTreeSet<Guid> {
        let mut seen = BTreeSet::new();
        let mut open: Vec<Guid> = from.into_iter().collect();
        while let Some(guid) = open.pop() {
            let Some(group) = self.groups.get(&guid) else { continue };
            if seen.insert(guid) {
                open.extend(group.groups.iter().copied());
            }
        }
        seen
    }

    /// Who is a member directly.
    fn direct(&self, guid: Guid) -> BTreeSet<Guid> {
        let Some(group) = self.groups.get(&guid) else { return BTreeSet::new() };
        let primary = self.people.values().filter(|p| p.primary == Some(guid)).map(|p| p.guid);
        group.people.iter().copied().chain(primary).collect()
    }

    /// Who is a member, through nested groups too where they count.
    pub fn members(&self, guid: Guid, nested: bool) -> BTreeSet<Guid> {
        if !nested {
            return self.direct(guid);
        }
        self.reached([guid]).into_iter().flat_map(|group| self.direct(group)).collect()
    }

    /// One thing that happens in a company; what it was, in words.
    pub fn happen(&mut self, chance: &mut Chance) -> Option<String> {
        let people: Vec<Guid> = self.people.keys().copied().collect();
        let groups: Vec<Guid> = self.groups.keys().copied().collect();
        let (person, other) = (chance.pick(&people)?, chance.pick(&people)?);
        let (group, inner) = (chance.pick(&groups)?, chance.pick(&groups)?);
        let name = self.people[&person].name.clone();
        let title = self.groups[&group].name.clone();
        Some(match chance.below(30) {
            0..=2 => {
                let new = self.hire(&format!("new{}", self.next + 1));
                self.groups.get_mut(&group)?.people.insert(new);
                format!("{} is hired into {title}", self.people[&new].name)
            }
            3 => {
                self.delete(person);
                format!("{name} is deleted")
            }
            4 => {
                // A new person under the names of the old one.
                self.delete(person);
                let new = self.hire(&name);
                self.groups.get_mut(&group)?.people.insert(new);
                format!("{name} is deleted, and another {name} hired into {title}")
            }
            5 | 6 => {
                let account = [Account::Disabled, Account::Expired, Account::Enabled][chance.below(3)];
                self.people.get_mut(&person)?.account = account;
                format!("{name}'s account is {account:?} now")
            }
            7 | 8 => {
                let new = format!("{name}x");
                let person = self.people.get_mut(&person)?;
                person.upn = Some(format!("{new}@corp.example"));
                person.mail = Some(format!("{new}@mail.example"));
                person.name = new.clone();
                format!("{name} is called {new} now")
            }
            9 => {
                let (a, b) = (self.people[&person].clone(), self.people[&other].clone());
                self.take_names(person, &b);
                self.take_names(other, &a);
                format!("{name} and {} swap their names", b.name)
            }
            10..=14 => {
                self.groups.get_mut(&group)?.people.insert(person);
                format!("{name} joins {title}")
            }
            15..=18 => {
                let members: Vec<Guid> = self.groups[&group].people.iter().copied().collect();
                let leaver = chance.pick(&members)?;
                self.groups.get_mut(&group)?.people.remove(&leaver);
                let name = self.people.get(&leaver).map(|p| p.name.clone()).unwrap_or_default();
                format!("{name} leaves {title}")
            }
            19 | 20 => {
                self.groups.get_mut(&group)?.groups.insert(inner);
                format!("{} is nested into {title}", self.groups[&inner].name)
            }
            21 | 22 => {
                let nested: Vec<Guid> = self.groups[&group].groups.iter().copied().collect();
                let inner = chance.pick(&nested)?;
                self.groups.get_mut(&group)?.groups.remove(&inner);
                let name = self.groups.get(&inner).map(|g| g.name.clone()).unwrap_or_default();
                format!("{name} is taken out of {title}")
            }
            23 => {
                let unit = chance.pick(&UNITS)?;
                self.people.get_mut(&person)?.unit = unit;
                self.groups.get_mut(&group)?.unit = chance.pick(&UNITS)?;
                format!("{name} is moved to {unit}, and {title} too")
            }
            24 => {
                let new = format!("{title}-r");
                self.groups.get_mut(&group)?.name = new.clone();
                format!("the group {title} is called {new} now")
            }
            25 if groups.len() > 3 => {
                let (members, nested) =
                    (self.groups[&group].people.clone(), self.groups[&group].groups.clone());
                self.delete(group);
                if chance.one_in(2) {
                    let new = self.found(&title);
                    let group = self.groups.get_mut(&new)?;
                    group.people = members;
                    group.groups = nested.into_iter().filter(|g| *g != new).collect();
                    format!("the group {title} is deleted, and made anew")
                } else {
                    format!("the group {title} is deleted")
                }
            }
            26 => {
                let person = self.people.get_mut(&person)?;
                match chance.below(3) {
                    0 => person.mail = None,
                    1 => person.surname = None,
                    _ => person.title = Some(format!("T{}", chance.below(9))),
                }
                format!("{name} has other values: {:?} {:?} {:?}", person.mail, person.surname, person.title)
            }
            27 => {
                let mail = self.people[&other].mail.clone();
                self.people.get_mut(&person)?.mail = mail;
                format!("{name} is given the address of {}", self.people[&other].name)
            }
            28 => {
                self.people.get_mut(&person)?.primary = chance.one_in(2).then_some(group);
                format!("the primary group of {name} is {title}, or not")
            }
            _ => {
                // The great cut that somebody makes by mistake.
                let members = std::mem::take(&mut self.groups.get_mut(&group)?.people);
                format!("{title} is emptied of {} people", members.len())
            }
        })
    }

    /// Of what happens each hour: somebody joins or leaves a group, or is told apart by another title.
    pub fn happen_little(&mut self, chance: &mut Chance) -> Option<String> {
        let people: Vec<Guid> = self.people.keys().copied().collect();
        let groups: Vec<Guid> = self.groups.keys().copied().collect();
        let (person, group) = (chance.pick(&people)?, chance.pick(&groups)?);
        let name = self.people[&person].name.clone();
        let title = self.groups[&group].name.clone();
        Some(match chance.below(12) {
            0..=2 => {
                self.groups.get_mut(&group)?.people.insert(person);
                format!("{name} joins {title}")
            }
            3..=5 => {
                let members: Vec<Guid> = self.groups[&group].people.iter().copied().collect();
                let leaver = chance.pick(&members)?;
                self.groups.get_mut(&group)?.people.remove(&leaver);
                let name = self.people.get(&leaver).map(|p| p.name.clone()).unwrap_or_default();
                format!("{name} leaves {title}")
            }
            10 => {
                // Whoever wants a name that another has waits for it.
                let other = self.people[&chance.pick(&people)?].mail.clone();
                self.people.get_mut(&person)?.mail = other;
                format!("{name} is given the address of somebody")
            }
            6 | 11 => {
                let account = [Account::Disabled, Account::Enabled, Account::Enabled][chance.below(3)];
                self.people.get_mut(&person)?.account = account;
                format!("{name}'s account is {account:?} now")
            }
            7 => {
                self.people.get_mut(&person)?.surname = chance.one_in(2).then(|| "Surname".to_owned());
                format!("{name} has another surname, or none")
            }
            _ => {
                self.people.get_mut(&person)?.title = Some(format!("T{}", chance.below(9)));
                format!("{name} has another title")
            }
        })
    }

    /// As Active Directory does it: of the new one somebody is no member by value any more, and of the old one again. So
    /// nobody joins or leaves a group by it.
    pub fn change_primary(&mut self, chance: &mut Chance) -> Option<String> {
        let people: Vec<Guid> = self.people.keys().copied().collect();
        let guid = chance.pick(&people)?;
        let of: Vec<Guid> =
            self.groups.values().filter(|g| g.people.contains(&guid)).map(|g| g.guid).collect();
        // Mostly one of their groups; else the one that all have, which is none of ours.
        let new = if chance.one_in(4) { None } else { chance.pick(&of) };
        let person = self.people.get_mut(&guid)?;
        let old = std::mem::replace(&mut person.primary, new);
        let name = person.name.clone();
        if let Some(group) = old.and_then(|old| self.groups.get_mut(&old)) {
            group.people.insert(guid);
        }
        let title = new.and_then(|new| self.groups.get_mut(&new)).map(|group| {
            group.people.remove(&guid);
            group.name.clone()
        });
        Some(format!("the primary group of {name} is {title:?} now, in place of a membership"))
    }

    fn take_names(&mut self, who: Guid, from: &Person) {
        let Some(person) = self.people.get_mut(&who) else { return };
        person.name.clone_from(&from.name);
        person.upn.clone_from(&from.upn);
        person.mail.clone_from(&from.mail);
    }

    /// Puts an end to what needs a person's decision: two with one address, someone without a surname.
    pub fn tidy(&mut self) {
        let mut taken = BTreeSet::new();
        for person in self.people.values_mut() {
            let fresh = taken.insert(person.name.clone());
            if !fresh {
                person.name = format!("{}-{}", person.name, person.number);
                taken.insert(person.name.clone());
            }
            person.upn = Some(format!("{}@corp.example", person.name));
            person.mail = Some(format!("{}@mail.example", person.name));
            person.surname = Some("Doe".to_owned());
        }
        let mut taken = BTreeSet::new();
        for group in self.groups.values_mut() {
            if !taken.insert(group.name.clone()) {
                group.name = format!("{}-{}", group.name, group.number);
                taken.insert(group.name.clone());
            }
        }
    }
}
