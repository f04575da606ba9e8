//! A target in memory: strict about uniqueness, with faults on demand, a log of writes, and a crash at any of them.

mod target;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};

use tokio::sync::Notify;

use super::journal::{Book, Written};
use crate::ids::{IdentityStoreId, TargetId};
use crate::model::{
    Capabilities, CheckLine, GroupAttributes, Kind, Observed, ObservedGroup, ObservedUser, UserAttribute,
    UserAttributes, Wants,
};
use crate::target::{Target, TargetError, TargetErrorKind, Usage};

pub struct Store {
    book: Arc<Book>,
    inner: Mutex<Inner>,
    crash: Notify,
    hook: Mutex<Option<Hook>>,
}

/// After the write with this number, once.
type Hook = (usize, Box<dyn FnOnce() + Send>);

/// The API's: no `active`, no externalId, one membership a request.
pub const API: Capabilities = Capabilities {
    writes_external_id: false,
    finds_external_id: false,
    has_group_description: true,
    disables: false,
    membership_batch: 1,
};

/// SCIM's.
pub const SCIM: Capabilities = Capabilities {
    writes_external_id: true,
    finds_external_id: true,
    has_group_description: false,
    disables: true,
    membership_batch: 100,
};

#[derive(Clone)]
struct Inner {
    capabilities: Capabilities,
    users: BTreeMap<TargetId, ObservedUser>,
    groups: BTreeMap<TargetId, ObservedGroup>,
    next: u32,
    calls: BTreeMap<&'static str, u64>,
    log: Vec<String>,
    faults: Vec<Fault>,
    refuses_renames: bool,
    missed: BTreeSet<String>,
    /// The write with this number (from 0) never answers.
    crash_at: Option<(usize, Effect)>,
    writes: usize,
    under_way: usize,
    most_under_way: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    None,
    Done,
}

#[derive(Clone, Debug)]
pub struct Fault {
    pub operation: &'static str,
    /// Part of the line in the log.
    pub about: &'static str,
    pub kind: TargetErrorKind,
    pub message: &'static str,
    pub effect: Effect,
    pub times: usize,
}

impl Fault {
    pub fn new(operation: &'static str, about: &'static str, kind: TargetErrorKind) -> Self {
        Self { operation, about, kind, message: "no", effect: Effect::None, times: usize::MAX }
    }
}

pub fn error(kind: TargetErrorKind, message: &str) -> TargetError {
    TargetError { kind, code: format!("{kind:?}"), message: message.to_owned() }
}

fn fold(text: &str) -> String {
    text.to_lowercase()
}

impl Default for Inner {
    fn default() -> Self {
        Self {
            capabilities: API,
            users: BTreeMap::new(),
            groups: BTreeMap::new(),
            next: 0,
            calls: BTreeMap::new(),
            log: Vec::new(),
            faults: Vec::new(),
            refuses_renames: false,
            missed: BTreeSet::new(),
            crash_at: None,
            writes: 0,
            under_way: 0,
            most_under_way: 0,
        }
    }
}

impl Inner {
    fn name(&self, id: &TargetId) -> String {
        let user = self.users.get(id).and_then(|u| u.attributes.get(&UserAttribute::UserName));
        user.or_else(|| self.groups.get(id).map(|g| &g.attributes.display_name))
            .cloned()
            .unwrap_or_else(|| id.to_string())
    }

    fn check_user(&self, own: Option<&TargetId>, attributes: &UserAttributes) -> Result<(), TargetError> {
        for required in UserAttribute::ALL.iter().filter(|a| a.is_required()) {
            if !attributes.contains_key(required) {
                return Err(error(TargetErrorKind::Validation, &format!("{required} is required")));
            }
        }
        for unique in [UserAttribute::UserName, UserAttribute::Email] {
            let Some(value) = attributes.get(&unique) else { continue };
            let taken = self.users.iter().any(|(id, user)| {
                Some(id) != own && user.attributes.get(&unique).is_some_and(|v| fold(v) == fold(value))
            });
            if taken {
                return Err(error(TargetErrorKind::Conflict, &format!("{unique} {value} is taken")));
            }
        }
        Ok(())
    }

    fn check_group(&self, own: Option<&TargetId>, name: &str) -> Result<(), TargetError> {
        let taken = self
            .groups
            .iter()
            .any(|(id, group)| Some(id) != own && fold(&group.attributes.display_name) == fold(name));
        if taken { Err(error(TargetErrorKind::Conflict, &format!("{name} is taken"))) } else { Ok(()) }
    }

    fn check_ends(&self, group: &TargetId, user: &TargetId) -> Result<(), TargetError> {
        if !self.users.contains_key(user) {
            return Err(error(TargetErrorKind::NotFound(Some(Kind::User)), "no such user"));
        }
        if !self.groups.contains_key(group) {
            return Err(error(TargetErrorKind::NotFound(Some(Kind::Group)), "no such group"));
        }
        Ok(())
    }

    fn new_id(&mut self, prefix: &str) -> TargetId {
        self.next += 1;
        TargetId::new(format!("{prefix}-{}", self.next))
    }

    fn batch(&self) -> usize {
        self.capabilities.membership_batch as usize
    }

    fn members(&mut self, group: &TargetId) -> &mut BTreeSet<TargetId> {
        self.groups.get_mut(group).unwrap().members.get_or_insert_default()
    }
}

/// The store by names: each user with its attributes, each group with its description and members.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Contents {
    pub users: BTreeMap<String, UserAttributes>,
    pub groups: BTreeMap<String, (Option<String>, BTreeSet<String>)>,
}

impl Store {
    pub fn new(book: Arc<Book>) -> Self {
        Self { book, inner: Mutex::default(), crash: Notify::new(), hook: Mutex::default() }
    }

    /// The same store beside another journal.
    pub fn copy(&self, book: Arc<Book>) -> Self {
        let inner = Mutex::new(self.inner.lock().unwrap().clone());
        Self { book, inner, crash: Notify::new(), hook: Mutex::default() }
    }

    pub fn contents(&self) -> Contents {
        let inner = self.inner.lock().unwrap();
        let users = inner.users.iter().map(|(id, u)| (inner.name(id), u.attributes.clone())).collect();
        let groups = inner.groups.iter().map(|(id, g)| {
            let members = g.members.iter().flatten().map(|m| inner.name(m)).collect();
            (inner.name(id), (g.attributes.description.clone(), members))
        });
        Contents { users, groups: groups.collect() }
    }

    pub fn members_of(&self, group: &str) -> Vec<String> {
        self.contents().groups[group].1.iter().cloned().collect()
    }

    pub fn user(&self, name: &str) -> UserAttributes {
        self.contents().users[name].clone()
    }

    /// Someone else's user.
    pub fn put_user(&self, name: &str, email: Option<&str>) -> TargetId {
        let mut inner = self.inner.lock().unwrap();
        let id = inner.new_id("other");
        let handle = name.split('@').next().unwrap();
        let mut attributes = UserAttributes::from([
            (UserAttribute::UserName, name.to_owned()),
            (UserAttribute::DisplayName, handle.to_uppercase()),
            (UserAttribute::GivenName, handle.to_owned()),
            (UserAttribute::FamilyName, "Doe".to_owned()),
        ]);
        attributes.extend(email.map(|e| (UserAttribute::Email, e.to_owned())));
        inner.check_user(None, &attributes).unwrap();
        inner.users.insert(id.clone(), ObservedUser { attributes, ..ObservedUser::default() });
        id
    }

    pub fn put_group(&self, name: &str, members: &[&TargetId]) -> TargetId {
        let mut inner = self.inner.lock().unwrap();
        let id = inner.new_id("other");
        let attributes = GroupAttributes { display_name: name.to_owned(), ..GroupAttributes::default() };
        let members = Some(members.iter().map(|m| (*m).clone()).collect());
        inner.groups.insert(id.clone(), ObservedGroup { attributes, members, ..ObservedGroup::default() });
        id
    }

    pub fn set_external_id(&self, id: &TargetId, external: &str) {
        let mut inner = self.inner.lock().unwrap();
        let value = vec![("scim".to_owned(), external.to_owned())];
        if let Some(user) = inner.users.get_mut(id) {
            user.external_ids = value;
        } else {
            inner.groups.get_mut(id).unwrap().external_ids = value;
        }
    }

    pub fn change_user(&self, id: &TargetId, attribute: UserAttribute, value: &str) {
        let mut inner = self.inner.lock().unwrap();
        inner.users.get_mut(id).unwrap().attributes.insert(attribute, value.to_owned());
    }

    /// By someone else.
    pub fn set_disabled(&self, id: &TargetId, disabled: bool) {
        self.inner.lock().unwrap().users.get_mut(id).unwrap().disabled = disabled;
    }

    /// By someone else.
    pub fn set_member(&self, group: &TargetId, user: &TargetId, is: bool) {
        let mut inner = self.inner.lock().unwrap();
        let members = inner.members(group);
        let changed = if is { members.insert(user.clone()) } else { members.remove(user) };
        assert!(changed, "this changes something");
    }

    pub fn exists(&self, id: &TargetId) -> bool {
        let inner = self.inner.lock().unwrap();
        inner.users.contains_key(id) || inner.groups.contains_key(id)
    }

    pub fn is_in(&self, group: &TargetId, user: &TargetId) -> bool {
        self.inner.lock().unwrap().members(group).contains(user)
    }

    /// By someone else, memberships and all.
    pub fn delete(&self, id: &TargetId) {
        let mut inner = self.inner.lock().unwrap();
        inner.users.remove(id);
        inner.groups.remove(id);
        inner.groups.values_mut().filter_map(|g| g.members.as_mut()).for_each(|m| {
            m.remove(id);
        });
    }

    pub fn fail(&self, fault: Fault) {
        self.inner.lock().unwrap().faults.push(fault);
    }

    pub fn mend(&self) {
        self.inner.lock().unwrap().faults.clear();
    }

    pub fn refuse_renames(&self) {
        self.inner.lock().unwrap().refuses_renames = true;
    }

    /// The write with this number from now on, counted from 0, never answers, and the run is dropped.
    pub fn crash_at(&self, write: Option<(usize, Effect)>) {
        let mut inner = self.inner.lock().unwrap();
        inner.crash_at = write;
        inner.writes = 0;
    }

    /// Runs something right after the write with this number from now on.
    pub fn on_write(&self, write: usize, hook: impl FnOnce() + Send + 'static) {
        self.inner.lock().unwrap().writes = 0;
        *self.hook.lock().unwrap() = Some((write, Box::new(hook)));
    }

    /// The next look for this userName finds nobody.
    pub fn miss_once(&self, user_name: &str) {
        self.inner.lock().unwrap().missed.insert(user_name.to_owned());
    }

    pub async fn crashed(&self) {
        self.crash.notified().await;
    }

    /// Writes since the last look, in the order in which they were sent.
    pub fn take_log(&self) -> Vec<String> {
        std::mem::take(&mut self.inner.lock().unwrap().log)
    }

    pub fn take_calls(&self) -> BTreeMap<&'static str, u64> {
        std::mem::take(&mut self.inner.lock().unwrap().calls)
    }

    pub fn forget_most_under_way(&self) {
        self.inner.lock().unwrap().most_under_way = 0;
    }

    pub fn most_under_way(&self) -> usize {
        self.inner.lock().unwrap().most_under_way
    }

    /// What a cycle asks: the wants, and who is in groups that were found by name.
    pub async fn look_up(&self, wants: &Wants) -> Observed {
        if wants.is_empty() {
            return Observed::default();
        }
        let mut observed = self.observe(wants).await.unwrap();
        let members = observed.groups.values().flat_map(|g| g.members.iter().flatten()).cloned().collect();
        let more = self.observe(&Wants { users: members, ..Wants::default() }).await.unwrap();
        observed.users.extend(more.users);
        observed
    }

    fn read(&self, operation: &'static str, about: &str) -> Result<(), TargetError> {
        let mut inner = self.inner.lock().unwrap();
        *inner.calls.entry(operation).or_default() += 1;
        match take_fault(&mut inner, operation, about) {
            Some(fault) => Err(error(fault.kind, fault.message)),
            None => Ok(()),
        }
    }

    async fn write<T>(
        &self,
        operation: &'static str,
        about: String,
        written: Written<'_>,
        perform: impl FnOnce(&mut Inner) -> Result<T, TargetError>,
    ) -> Result<T, TargetError> {
        self.book.assert_intended(operation, &written);
        {
            let mut inner = self.inner.lock().unwrap();
            inner.under_way += 1;
            inner.most_under_way = inner.most_under_way.max(inner.under_way);
        }
        // Others get their turn, as they would during a request.
        tokio::task::yield_now().await;
        let (result, hangs) = self.carry_out(operation, &about, perform);
        let done = self.inner.lock().unwrap().writes - 1;
        let hook = self.hook.lock().unwrap().take_if(|(at, _)| *at == done);
        if let Some((_, hook)) = hook {
            hook();
        }
        if hangs {
            self.crash.notify_one();
            std::future::pending::<()>().await;
        }
        result
    }

    fn carry_out<T>(
        &self,
        operation: &'static str,
        about: &str,
        perform: impl FnOnce(&mut Inner) -> Result<T, TargetError>,
    ) -> (Result<T, TargetError>, bool) {
        let mut inner = self.inner.lock().unwrap();
        inner.under_way -= 1;
        *inner.calls.entry(operation).or_default() += 1;
        inner.log.push(format!("{operation} {about}"));
        let write = inner.writes;
        inner.writes += 1;
        let crash = inner.crash_at.filter(|(at, _)| *at == write).map(|(_, effect)| effect);
        let fault = take_fault(&mut inner, operation, about);
        let effect = crash.or(fault.as_ref().map(|f| f.effect)).unwrap_or(Effect::Done);
        let result = match effect {
            Effect::Done => perform(&mut inner),
            Effect::None => Err(error(TargetErrorKind::Ambiguous, "no answer")),
        };
        match fault {
            Some(fault) => (Err(error(fault.kind, fault.message)), crash.is_some()),
            None => (result, crash.is_some()),
        }
    }
}

impl Store {
    /// From now on, this is what the target can do.
    pub fn become_of_sort(&self, capabilities: Capabilities) {
        self.inner.lock().unwrap().capabilities = capabilities;
    }

    pub fn is_disabled(&self, name: &str) -> bool {
        let inner = self.inner.lock().unwrap();
        inner.users.values().any(|u| {
            u.disabled && u.attributes.get(&UserAttribute::UserName).is_some_and(|n| fold(n) == fold(name))
        })
    }

    fn memberships(&self, group: &TargetId, users: &[TargetId]) -> String {
        let inner = self.inner.lock().unwrap();
        let names: Vec<String> = users.iter().map(|user| inner.name(user)).collect();
        format!("{} {}", inner.name(group), names.join(" "))
    }
}

fn take_fault(inner: &mut Inner, operation: &str, about: &str) -> Option<Fault> {
    let found = inner
        .faults
        .iter_mut()
        .find(|f| f.times > 0 && f.operation == operation && about.contains(f.about))?;
    found.times -= 1;
    Some(found.clone())
}
