//! The end of a history: faults stop, what waits is approved, and the target is what the directory says.

use std::collections::BTreeSet;

use idcsync::ids::TargetId;
use idcsync::model::{Code, UserAttribute};
use idcsync::run::Done;
use jiff::{SignedDuration, Timestamp};

use super::super::company::{Account, Guid};
use super::super::hub::Weather;
use super::super::settings::Way;
use super::super::store::user_guid;
use super::History;
use super::checks::surplus;

/// Hours between two cycles while nothing but time is missing: less than what counts as a break.
const STRIDE: i64 = 6 * 24;

impl History {
    /// Faults stop, what is undecided is decided, and everything is as it should be.
    pub(super) fn come_to_rest(&mut self) {
        self.hub.say(|| "=== the end: everything becomes well".to_owned());
        if self.judge.laws().paused_since.is_some() {
            self.pause_or_resume();
        }
        let mut company = (*self.hub.company()).clone();
        company.tidy();
        self.settings.groups.retain(|name| company.group_named(name).is_some());
        self.settings.users.retain(|name| company.person_named(name).is_some());
        if self.settings.groups.is_empty() {
            let name = company.groups.values().next().unwrap().name.clone();
            self.settings.groups.push(name);
        }
        self.hub.change(company);
        self.obey();
        self.clear_the_way();
        let began = self.hub.true_now();
        self.judge.laws().at_rest = true;
        self.settle(1);
        if self.hub.lock().violations.is_empty() && self.wait_for_the_disabled(began) {
            self.settle(26);
        }
        if self.hub.lock().violations.is_empty() {
            self.check_out_of_use(began);
            self.check_rest();
        }
    }

    /// Whoever has a name that one of ours is to have, and was not adopted, gives way.
    pub(super) fn clear_the_way(&mut self) {
        let adopted: BTreeSet<TargetId> = self.judge.laws().adopted.keys().cloned().collect();
        self.store.meddle(|contents| {
            for id in ["other-p1", "other-team1@corp.example"].map(TargetId::new) {
                if !adopted.contains(&id) {
                    contents.delete(&id);
                }
            }
        });
    }

    /// Cycles in fair weather, until nothing is left to do.
    pub(super) fn settle(&mut self, hours: i64) {
        let mut quiet = 0;
        for round in 0..14 {
            // A refusal is tried again with growing pauses of up to a day.
            self.pass(if round == 0 { hours } else { 26 });
            let Some(done) = self.cycle(Weather::default()) else {
                self.hub.accuse("a cycle in fair weather was not carried out".to_owned());
                return;
            };
            if !self.hub.lock().violations.is_empty() {
                return;
            }
            self.follow_advice(&done);
            let applied = &done.report.applied;
            if applied.done.is_empty() && applied.failed.is_empty() && done.report.outcome.held == 0 {
                quiet += 1;
            } else {
                quiet = 0;
                self.approve();
            }
            // Nothing follows, and it was long enough for every retry to have come.
            if quiet >= 2 && self.lent.is_empty() {
                break;
            }
        }
        if quiet < 2 {
            self.hub.accuse("it does not come to rest".to_owned());
        }
    }

    /// People of ours in the target who have been out of the scope since the end began, or for longer; and since when,
    /// as far as the cycles of the end have witnessed it.
    fn outsiders(&self, began: Timestamp) -> Vec<(Guid, Timestamp)> {
        let (company, contents) = (self.hub.company(), self.store.contents());
        let laws = self.judge.laws();
        let inside = laws.people_in_scope(&company, false);
        let outside = company.people.keys().filter(|guid| !inside.contains(*guid));
        outside
            .filter(|guid| !contents.user_of(&guid.text()).is_empty())
            .map(|guid| (*guid, laws.out_since(*guid).map_or(began, |last| last.max(began))))
            .collect()
    }

    /// Lets the time of `disable-after` go by, where somebody is out of scope and still in use; whether it did.
    fn wait_for_the_disabled(&mut self, began: Timestamp) -> bool {
        let limit = self.judge.laws().disable_after + SignedDuration::from_hours(STRIDE);
        let mut waited = false;
        loop {
            let still = self.in_use(&self.outsiders(began));
            let now = self.hub.true_now();
            // Whoever is in use after that is accused.
            if !still.iter().any(|(_, since)| now.duration_since(*since) <= limit) {
                return waited;
            }
            waited = true;
            self.pass(STRIDE);
            let Some(_) = self.cycle(Weather::default()) else {
                self.hub.accuse("a cycle in fair weather was not carried out".to_owned());
                return false;
            };
            if !self.hub.lock().violations.is_empty() {
                return false;
            }
            self.approve();
        }
    }

    /// Those who are not disabled, in the way that the target has or the config chose.
    fn in_use(&mut self, people: &[(Guid, Timestamp)]) -> Vec<(Guid, Timestamp)> {
        if people.is_empty() {
            return Vec::new();
        }
        let contents = self.store.contents();
        let by_api = self.settings.way == Way::Api;
        let delete = self.judge.laws().method_delete;
        // Over the API nothing but the state tells those who were only relieved of their memberships.
        let revoked: BTreeSet<String> = self.with_state(async |state, now| {
            let links = state.load(now).await.expect("load").links;
            links.values().filter(|l| l.disabled.is_some()).map(|l| l.anchor.to_string()).collect()
        });
        let in_use = |guid: &Guid| {
            let text = guid.text();
            let found = contents.user_of(&text);
            if by_api {
                !found.is_empty() && (delete || !revoked.contains(&text))
            } else {
                found.iter().any(|(_, user)| !user.disabled)
            }
        };
        people.iter().filter(|(guid, _)| in_use(guid)).copied().collect()
    }

    /// Whoever has been out of scope for longer than `disable-after` is disabled.
    fn check_out_of_use(&mut self, began: Timestamp) {
        let limit = self.judge.laws().disable_after + SignedDuration::from_hours(STRIDE);
        let now = self.hub.true_now();
        for (guid, since) in self.in_use(&self.outsiders(began)) {
            if now.duration_since(since) > limit {
                self.hub.accuse(format!(
                    "at rest: {} has been out of scope since {since}, and is not disabled",
                    guid.text()
                ));
            }
        }
    }

    /// A group that had members and reads as having none waits for a person: who takes it out of the scope, or gives it a
    /// member, for one run.
    fn follow_advice(&mut self, done: &Done) {
        let mut company = (*self.hub.company()).clone();
        let returned = std::mem::take(&mut self.lent);
        let mut stays = false;
        for (group, person) in &returned {
            if let Some(group) = company.groups.get_mut(group) {
                group.people.remove(person);
            }
        }
        for finding in done.report.findings.iter().filter(|f| f.code == Code::RemovalWithheld) {
            let Some(group) = company.group_named(&finding.subject.label).map(|g| g.guid) else { continue };
            if !finding.message.contains("give it a member who is") {
                continue;
            }
            // Where groups are not read through, one that holds nothing else counts as having none.
            let found = &company.groups[&group];
            if !found.people.is_empty() || self.settings.nested && !found.groups.is_empty() {
                self.hub.accuse(format!("{} is said to be empty, and is not", finding.subject.label));
            }
            let name = found.name.clone();
            if self.settings.containers.contains(&name) && self.settings.groups.len() > 1 {
                self.hub.say(|| format!("scope: {name} is taken out of it"));
                self.settings.groups.retain(|entry| *entry != name);
                continue;
            }
            // The last one to leave is in doubt in turn: so it is somebody who is in scope anyway, or who stays.
            let inside = self.judge.laws().people_in_scope(&company, true);
            // A member by primary group gives it no value of `member`.
            let fits = |guid: &&Guid| {
                let person = &company.people[*guid];
                person.account == Account::Enabled && person.primary != Some(group)
            };
            let anyway = inside.iter().find(fits).copied();
            let anybody = || company.people.values().find(|p| p.primary != Some(group)).map(|p| p.guid);
            let Some(person) = anyway.or_else(anybody) else { continue };
            company.groups.get_mut(&group).unwrap().people.insert(person);
            self.hub
                .say(|| format!("directory: {name} is given a member, for one run: {}", anyway.is_some()));
            if anyway.is_some() {
                self.lent.push((group, person));
            } else {
                stays = true;
            }
        }
        if stays || !returned.is_empty() || !self.lent.is_empty() {
            self.hub.change(company);
        }
        self.obey();
    }

    /// The managed part of the target is what the directory says.
    fn check_rest(&mut self) {
        let (company, contents) = (self.hub.company(), self.store.contents());
        let laws = self.judge.laws().clone();
        let mut wrong = Vec::new();
        // Entries whose name went over to another object follow it once that was approved.
        let named: BTreeSet<Guid> =
            laws.groups.iter().filter_map(|name| company.group_named(name)).map(|g| g.guid).collect();
        let groups = if laws.nested { company.reached(named) } else { named };
        let mut people: BTreeSet<Guid> =
            groups.iter().flat_map(|group| company.members(*group, laws.nested)).collect();
        people.extend(laws.users.iter().filter_map(|name| company.person_named(name)).map(|p| p.guid));
        people.retain(|guid| company.people[guid].account == Account::Enabled);
        for guid in &people {
            let person = &company.people[guid];
            match contents.user_of(&guid.text()).as_slice() {
                [(id, user)] => {
                    let value = |attribute| user.attributes.get(&attribute).map(String::as_str);
                    let want = [
                        (UserAttribute::UserName, person.upn.as_deref()),
                        (UserAttribute::Email, person.mail.as_deref()),
                        (UserAttribute::FamilyName, person.surname.as_deref()),
                        (UserAttribute::Title, person.title.as_deref()),
                    ];
                    for (attribute, wanted) in want {
                        if value(attribute) != wanted {
                            wrong
                                .push(format!("{id}: {attribute} is {:?}, not {wanted:?}", value(attribute)));
                        }
                    }
                    if user.disabled {
                        wrong.push(format!("{id} ({}) is disabled", person.name));
                    }
                }
                other => wrong.push(format!("{} is there {} times", person.name, other.len())),
            }
        }
        let containers: BTreeSet<Guid> = laws
            .groups
            .iter()
            .filter(|name| laws.containers.contains(*name))
            .filter_map(|name| company.group_named(name).map(|g| g.guid))
            .collect();
        for guid in groups.difference(&containers) {
            let group = &company.groups[guid];
            let text = guid.text();
            let there: Vec<_> = contents
                .groups
                .iter()
                .filter(|(id, found)| laws.group_guid(id, found) == Some(text.as_str()))
                .collect();
            match there.as_slice() {
                [(id, found)] => {
                    if found.attributes.display_name != format!("{}@corp.example", group.name) {
                        wrong.push(format!(
                            "{id} is called {}, not {}",
                            found.attributes.display_name, group.name
                        ));
                    }
                    let members: BTreeSet<String> = contents
                        .members(id)
                        .iter()
                        .map(|m| contents.users.get(m).and_then(user_guid).unwrap_or(m.as_str()).to_owned())
                        .collect();
                    let wanted: BTreeSet<String> = company
                        .members(*guid, laws.nested)
                        .intersection(&people)
                        .map(|guid| guid.text())
                        .collect();
                    // Somebody protected stays wherever others put them.
                    let protected = |m: &String| laws.protected.iter().any(|p| p.as_str() == m);
                    let members: BTreeSet<String> = members.into_iter().filter(|m| !protected(m)).collect();
                    if members != wanted {
                        wrong.push(format!("{}: members {members:?}, not {wanted:?}", group.name));
                    }
                }
                other => wrong.push(format!("group {} is there {} times", group.name, other.len())),
            }
        }
        if self.settings.way != Way::Api {
            for guid in laws.people_in_scope(&company, true) {
                let shut = company.people.get(&guid).is_some_and(|p| p.account != Account::Enabled);
                for (id, user) in contents.user_of(&guid.text()) {
                    if shut && !user.disabled {
                        wrong.push(format!("{id} is in use, and shut in the directory"));
                    }
                }
            }
        }
        for (group, user) in surplus(&contents, &company, &laws, true) {
            wrong.push(format!("{user} is still in {group}"));
        }
        for guid in &company.tombstones {
            for (id, user) in contents.user_of(&guid.text()) {
                let active = !user.disabled && self.settings.way != Way::Api;
                if active {
                    wrong.push(format!("{id} was deleted in the directory, and is in use"));
                }
            }
        }
        for what in wrong {
            self.hub.accuse(format!("at rest: {what}"));
        }
    }
}
