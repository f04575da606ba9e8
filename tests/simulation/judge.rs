//! Holds each write against the truth, at the moment in which it has its effect. It knows every state that the directory
//! was in and which of them were shown to this cycle; of the program it believes nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard};

use idcsync::ids::TargetId;
use idcsync::model::{GroupAttributes, ObservedGroup, ObservedUser, UserAttribute, UserAttributes};
use jiff::{SignedDuration, Timestamp};

use super::company::{Account, Company, Guid};
use super::hub::Hub;
use super::store::{Contents, group_guid, user_guid};

/// By so much a clock may be wrong without being found out (an hour against the directory's).
const SLACK: SignedDuration = SignedDuration::from_mins(70);

pub struct Judge {
    hub: Arc<Hub>,
    inner: Mutex<Laws>,
}

/// What the config says, and what was seen so far.
#[derive(Clone, Debug, Default)]
pub struct Laws {
    pub groups: Vec<String>,
    /// Those of the groups that are read through, and not written.
    pub containers: BTreeSet<String>,
    pub users: Vec<String>,
    pub nested: bool,
    pub disable_after: SignedDuration,
    pub delete_after: SignedDuration,
    /// Who is to be disabled is deleted.
    pub method_delete: bool,
    pub paused_since: Option<Timestamp>,
    /// All that ever bore the name of a scope entry.
    bearers: BTreeMap<String, BTreeSet<Guid>>,
    last_in_scope: BTreeMap<Guid, Timestamp>,
    /// However an entry is understood.
    last_perhaps_in_scope: BTreeMap<Guid, Timestamp>,
    dead_since: BTreeMap<Guid, Timestamp>,
    /// When somebody was last in scope in a read that nothing kept from seeing it.
    last_seen_in_scope: BTreeMap<Guid, Timestamp>,
    /// At the end so much time is let go by that those are disabled too who came back only between two reads.
    pub at_rest: bool,
    pub protected: BTreeSet<TargetId>,
    /// Objects of others that somebody let idcsync take over.
    pub adopted: BTreeMap<TargetId, String>,
    /// What was done: the journal has to know of it.
    pub writes: Vec<Written>,
}

/// A write that had its effect: the word of the journal, and whom it was about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Written {
    pub words: &'static [&'static str],
    pub object: Option<String>,
    pub member: Option<String>,
}

impl Laws {
    fn note_bearers(&mut self, company: &Company) {
        for name in &self.groups {
            let found = company.group_named(name).map(|g| g.guid);
            self.bearers.entry(name.clone()).or_default().extend(found);
        }
        for name in &self.users {
            let found = company.person_named(name).map(|p| p.guid);
            self.bearers.entry(name.clone()).or_default().extend(found);
        }
    }

    /// The groups in scope. `least`: only what is in scope however an entry is understood whose name has gone over to
    /// another object.
    pub fn groups_in_scope(&self, company: &Company, least: bool) -> BTreeSet<Guid> {
        let entries = self.groups.iter().filter_map(|name| self.bearers.get(name));
        let named: BTreeSet<Guid> = entries.filter(|b| !least || b.len() == 1).flatten().copied().collect();
        if self.nested {
            company.reached(named)
        } else {
            named.into_iter().filter(|g| company.groups.contains_key(g)).collect()
        }
    }

    /// The people in scope, whatever their accounts are.
    pub fn people_in_scope(&self, company: &Company, least: bool) -> BTreeSet<Guid> {
        let groups = self.groups_in_scope(company, least);
        let mut people: BTreeSet<Guid> =
            groups.into_iter().flat_map(|group| company.members(group, self.nested)).collect();
        let named = self.users.iter().filter_map(|name| self.bearers.get(name));
        let named = named.filter(|b| !least || b.len() == 1).flatten();
        people.extend(named.filter(|g| company.people.contains_key(g)));
        people
    }

    /// Groups that are not written. `least`: only what is a container however its entry is understood.
    pub fn containers(&self, company: &Company, least: bool) -> BTreeSet<Guid> {
        let mut found = BTreeSet::new();
        for name in self.groups.iter().filter(|name| self.containers.contains(*name)) {
            let Some(bearers) = self.bearers.get(name) else { continue };
            if !least {
                found.extend(bearers);
            } else if bearers.len() == 1 {
                // Under another name by now: it may never have been found.
                let named = company.group_named(name).map(|g| g.guid);
                found.extend(named.filter(|guid| bearers.contains(guid)));
            }
        }
        found
    }

    /// Whether it may be written.
    fn may_be_written(&self, company: &Company, group: Guid) -> bool {
        self.groups_in_scope(company, false).contains(&group)
            && !self.containers(company, true).contains(&group)
    }

    /// Since when somebody has certainly been out of the scope; `None`: never in it.
    pub fn out_since(&self, person: Guid) -> Option<Timestamp> {
        self.last_perhaps_in_scope.get(&person).copied()
    }

    /// What was adopted over SCIM keeps what externalId it had: it is known by whom it was approved for.
    pub fn group_guid<'a>(&'a self, id: &TargetId, group: &'a ObservedGroup) -> Option<&'a str> {
        group_guid(group).or_else(|| self.adopted.get(id).map(String::as_str))
    }

    fn is_enabled(company: &Company, guid: Guid) -> bool {
        company.people.get(&guid).is_some_and(|p| p.account == Account::Enabled)
    }
}

impl Judge {
    pub fn new(hub: Arc<Hub>) -> Self {
        Self { hub, inner: Mutex::default() }
    }

    pub fn laws(&self) -> MutexGuard<'_, Laws> {
        self.inner.lock().unwrap()
    }

    /// Time has gone by, or something has happened.
    pub fn look(&self) {
        let (company, now) = (self.hub.company(), self.hub.true_now());
        let mut laws = self.laws();
        laws.note_bearers(&company);
        for guid in laws.people_in_scope(&company, true) {
            laws.last_in_scope.insert(guid, now);
        }
        for guid in laws.people_in_scope(&company, false) {
            laws.last_perhaps_in_scope.insert(guid, now);
        }
        for guid in &company.tombstones {
            laws.dead_since.entry(*guid).or_insert(now);
        }
    }

    /// A cycle has been carried out in fair weather.
    pub fn looked(&self) {
        let (company, now) = (self.hub.company(), self.hub.true_now());
        let mut laws = self.laws();
        for guid in laws.people_in_scope(&company, true) {
            laws.last_seen_in_scope.insert(guid, now);
        }
    }

    fn guid(text: Option<&str>) -> Option<Guid> {
        let uuid = uuid::Uuid::parse_str(text?).ok()?;
        Some(Guid(uuid.to_bytes_le()))
    }

    fn written(&self, words: &'static [&'static str], object: Option<&str>, member: Option<&str>) {
        let written = Written { words, object: object.map(str::to_owned), member: member.map(str::to_owned) };
        self.laws().writes.push(written);
    }

    fn managed(&self, what: &str, id: &TargetId) {
        let laws = self.laws();
        let others = id.as_str().starts_with("other-");
        if laws.protected.contains(id) || others && !laws.adopted.contains_key(id) {
            drop(laws);
            self.hub.accuse(format!("{what}: {id} is not ours"));
        }
    }

    pub fn creates_user(&self, now: &Contents, attributes: &UserAttributes) {
        let text = attributes.get(&UserAttribute::NickName).map(String::as_str);
        self.written(&["create-user"], text, None);
        let Some(guid) = Self::guid(text) else {
            return self.hub.accuse(format!("a user without its GUID is created: {attributes:?}"));
        };
        if !now.user_of(&guid.text()).is_empty() {
            self.hub.accuse(format!("{} is created a second time", guid.text()));
        }
        let served = self.hub.served();
        let laws = self.laws();
        let right = served
            .iter()
            .any(|v| Laws::is_enabled(v, guid) && laws.people_in_scope(v, false).contains(&guid));
        drop(laws);
        if !right {
            self.hub.accuse(format!("{} is created, and was not in scope in what was shown", guid.text()));
        }
    }

    pub fn creates_group(&self, now: &Contents, attributes: &GroupAttributes) {
        let text = attributes.external_id.as_deref().or(attributes.description.as_deref());
        self.written(&["create-group"], text, None);
        let Some(guid) = Self::guid(text) else {
            return self.hub.accuse(format!("a group without its GUID is created: {attributes:?}"));
        };
        if !now.groups_of(&guid.text()).is_empty() {
            self.hub.accuse(format!("group {} is created a second time", guid.text()));
        }
        let served = self.hub.served();
        let laws = self.laws();
        let right = served.iter().any(|v| laws.may_be_written(v, guid));
        drop(laws);
        if !right {
            self.hub.accuse(format!("group {} is created, and was not in scope to be written", guid.text()));
        }
    }

    pub fn updates(&self, id: &TargetId) {
        self.managed("an update", id);
    }

    pub fn adds(&self, user: &ObservedUser, group: &ObservedGroup, user_id: &TargetId, group_id: &TargetId) {
        self.managed("a new member", group_id);
        self.managed("a membership", user_id);
        self.written(&["add-member", "create-group"], group_guid(group), user_guid(user));
        let (Some(person), Some(of)) = (Self::guid(user_guid(user)), Self::guid(group_guid(group))) else {
            return;
        };
        let served = self.hub.served();
        let laws = self.laws();
        let right = served.iter().any(|v| {
            Laws::is_enabled(v, person)
                && v.members(of, laws.nested).contains(&person)
                && laws.may_be_written(v, of)
        });
        drop(laws);
        if !right {
            self.hub.accuse(format!("{user_id} is added to {group_id}, which nothing that was shown says"));
        }
    }

    /// `now`: without the membership already.
    pub fn removes(&self, now: &Contents, group_id: &TargetId, user_id: &TargetId) {
        let (group, user) = (&now.groups[group_id], &now.users[user_id]);
        self.managed("a removal", group_id);
        if self.laws().protected.contains(user_id) {
            self.hub.accuse(format!("{user_id} is protected and removed from {group_id}"));
        }
        self.written(&["remove-member"], group_guid(group), user_guid(user));
        let (Some(person), Some(of)) = (Self::guid(user_guid(user)), Self::guid(group_guid(group))) else {
            // Somebody who is nobody in the directory.
            return;
        };
        let served = self.hub.served();
        let laws = self.laws();
        let left = served.iter().any(|v| {
            // Of a container only those are taken out who have left the scope.
            let member =
                v.members(of, laws.nested).contains(&person) || laws.containers(v, true).contains(&of);
            !Laws::is_enabled(v, person) || !member || !laws.people_in_scope(v, true).contains(&person)
        });
        drop(laws);
        if !left && !self.may_be_disabled(person) {
            self.hub
                .accuse(format!("{user_id} ({}) is removed from {group_id} without proof", person.text()));
        }
    }

    /// Whether anything that was shown, or time, allows it.
    fn may_be_disabled(&self, person: Guid) -> bool {
        let served = self.hub.served();
        let now = self.hub.true_now();
        let laws = self.laws();
        let long = |since: Timestamp| now.duration_since(since) + SLACK >= laws.disable_after;
        let paused = laws.paused_since.is_some_and(long);
        let gone = laws.dead_since.contains_key(&person);
        let last = if laws.at_rest { &laws.last_seen_in_scope } else { &laws.last_in_scope };
        let out = last.get(&person).is_none_or(|last| long(*last));
        let by_account =
            served.iter().any(|v| v.people.get(&person).is_some_and(|p| p.account != Account::Enabled));
        paused || gone || out || by_account
    }

    pub fn disables(&self, id: &TargetId, user: &ObservedUser) {
        self.managed("a disablement", id);
        self.written(&["disable-user"], user_guid(user), None);
        if let Some(person) = Self::guid(user_guid(user))
            && !self.may_be_disabled(person)
        {
            let last = self.laws().last_in_scope.get(&person).copied();
            self.hub.accuse(format!(
                "{id} ({}) is disabled without proof, last in scope {last:?}",
                person.text()
            ));
        }
    }

    pub fn enables(&self, id: &TargetId, user: &ObservedUser) {
        self.managed("an enablement", id);
        self.written(&["enable-user"], user_guid(user), None);
        let Some(person) = Self::guid(user_guid(user)) else { return };
        let served = self.hub.served();
        let laws = self.laws();
        let right = served
            .iter()
            .any(|v| Laws::is_enabled(v, person) && laws.people_in_scope(v, false).contains(&person));
        drop(laws);
        if !right {
            self.hub.accuse(format!("{id} is enabled, which nothing that was shown says"));
        }
    }

    pub fn deletes_user(&self, id: &TargetId, user: &ObservedUser) {
        self.managed("a deletion", id);
        self.written(&["delete-user"], user_guid(user), None);
        let Some(person) = Self::guid(user_guid(user)) else {
            return self.hub.accuse(format!("{id} is deleted, and nobody knows who that is"));
        };
        let now = self.hub.true_now();
        let laws = self.laws();
        let waited = |since: &Timestamp| now.duration_since(*since) + SLACK >= laws.delete_after;
        let right = laws.dead_since.get(&person).is_some_and(waited);
        let by_method = laws.method_delete;
        drop(laws);
        if !(right || by_method && self.may_be_disabled(person)) {
            self.hub.accuse(format!("{id} ({}) is deleted without proof, or too early", person.text()));
        }
    }

    pub fn deletes_group(&self, id: &TargetId, group: &ObservedGroup) {
        self.managed("a deletion", id);
        self.written(&["delete-group"], group_guid(group), None);
        let Some(of) = Self::guid(group_guid(group)) else {
            return self.hub.accuse(format!("{id} is deleted, and nobody knows which group that is"));
        };
        if !self.laws().dead_since.contains_key(&of) {
            self.hub.accuse(format!("group {id} ({}) is deleted without proof", of.text()));
        }
    }

    /// Somebody of ours whom other hands may delete.
    pub fn somebody(&self, now: &Contents) -> Option<(String, TargetId)> {
        let ids: Vec<TargetId> = now
            .users
            .keys()
            .chain(now.groups.keys())
            .filter(|id| !id.as_str().starts_with("other-"))
            .cloned()
            .collect();
        let id = self.hub.lock().chance.pick(&ids)?;
        Some((format!("{id} is deleted in the target"), id))
    }
}
