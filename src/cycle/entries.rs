//! What the scope's entries resolve to, and how many each brings; and what another scope would change. Reads, plans,
//! and writes nothing.

use std::collections::{BTreeMap, BTreeSet};

use async_trait::async_trait;
use roaring::RoaringBitmap;
use serde::Serialize;

use super::prepare::{check_binding, prepare_seen};
use super::{CycleError, NoJournal, Parts, Profile};
use crate::directory::{Directory, DirectoryError};
use crate::explain::Sight;
use crate::ids::{Anchor, Fingerprint, LinkNo, Sid};
use crate::model::{
    EntryOutcome, EntryRead, FateRequest, Fates, Kind, Known, ObjectRef, ReadRequest, ScopeEntry, Snapshot,
    UserAttribute,
};
use crate::plan::counts;
use crate::scope::Scope;
use crate::state::Reader;

/// One configured entry, and what it stands for now.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct EntryView {
    pub kind: Kind,
    /// As configured.
    pub name: String,
    pub write: bool,
    /// One word.
    pub state: &'static str,
    pub dn: Option<String>,
    pub anchor: Option<Anchor>,
    /// What the object is called now.
    pub called: Option<String>,
    /// Users that may be written, and groups that are, reached by way of this entry.
    pub users: u64,
    pub groups: u64,
    /// What is wrong, and what to do.
    pub problem: Option<String>,
    /// Several objects that the name may mean.
    pub candidates: Vec<String>,
}

impl EntryView {
    pub fn is_resolved(&self) -> bool {
        matches!(self.state, "resolved" | "renamed")
    }
}

/// The scope as a whole.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ScopeView {
    pub entries: Vec<EntryView>,
    pub users: u64,
    pub groups: u64,
    /// Something was not read to its end.
    pub cut_short: Option<String>,
}

/// Everything that a list of entries reaches, read once.
pub struct OneRead<'d> {
    directory: &'d dyn Directory,
    snapshot: Snapshot,
    /// The findings of the last plan are not to be those of entries that it leaves out.
    labels: BTreeSet<String>,
}

impl<'d> OneRead<'d> {
    /// Reads what `profile` wants.
    pub async fn of(
        profile: &Profile<'_>,
        directory: &'d dyn Directory,
        known: &Known,
        now: jiff::Timestamp,
    ) -> Result<Self, CycleError> {
        let (wanted, pins) = (profile.wanted.clone(), known.pins.clone());
        let labels = wanted.entries.iter().map(ToString::to_string).collect();
        let snapshot = directory.read(&ReadRequest { wanted, pins, now, server: None }).await?;
        let found = &snapshot.source.binding;
        let bound = known.binding.as_ref().map(|b| b.directory.as_str());
        if bound.is_none_or(|bound| Sid::parse(bound).is_none() || Sid::parse(found).is_some()) {
            check_binding(profile, known, "directory", found, |b| b.directory.as_str())?;
        }
        Ok(Self { directory, snapshot, labels })
    }

    /// The object that an entry stands for.
    pub fn object(&self, entry: &ScopeEntry) -> Option<Anchor> {
        let read = self.snapshot.entries.iter().find(|read| read.entry == *entry)?;
        match read.outcome {
            EntryOutcome::Resolved { object, .. } => Some(anchor_of(&self.snapshot, object)),
            _ => None,
        }
    }

    /// The userNames, in lower case, that the people of each of these entries would have: of those who may be written.
    pub fn user_names(
        &self,
        profile: &Profile<'_>,
        known: &Known,
        entries: &[ScopeEntry],
    ) -> Vec<BTreeSet<String>> {
        let snapshot = self.restricted(entries);
        let scope = Scope::resolve(&snapshot, known, profile.nested);
        let eligible = scope.eligible();
        let name = |user| profile.mapping.user(user, false).attributes.remove(&UserAttribute::UserName);
        let names: BTreeMap<u32, String> = scope
            .users()
            .iter()
            .filter(|(no, _)| eligible.contains(no.0))
            .filter_map(|(no, user)| Some((no.0, name(user)?.to_lowercase())))
            .collect();
        let people = |entry: &ScopeEntry| {
            let read = snapshot.entries.iter().find(|read| read.entry == *entry)?;
            let object = match read.outcome {
                EntryOutcome::Resolved { object, .. } => object,
                EntryOutcome::Rebound { pinned, .. } => pinned?,
                _ => return None,
            };
            let no = scope.number(anchor_of(&snapshot, object))?;
            Some(match object {
                ObjectRef::User(_) => RoaringBitmap::from([no.0]),
                ObjectRef::Group(_) => scope.below(no)?.all,
            })
        };
        let of =
            |entry| people(entry).into_iter().flatten().filter_map(|no| names.get(&no).cloned()).collect();
        entries.iter().map(of).collect()
    }

    /// What each of these entries stands for.
    pub fn view(&self, profile: &Profile<'_>, known: &Known, entries: &[ScopeEntry]) -> ScopeView {
        let snapshot = self.restricted(entries);
        view(&snapshot, &Scope::resolve(&snapshot, known, profile.nested))
    }

    /// The same with nothing but these entries; who was read for others is there, and not in scope.
    fn restricted(&self, entries: &[ScopeEntry]) -> Snapshot {
        let mut snapshot = self.snapshot.clone();
        let out: BTreeSet<&String> = {
            let kept: BTreeSet<String> = entries.iter().map(ToString::to_string).collect();
            self.labels.iter().filter(|label| !kept.contains(*label)).collect()
        };
        snapshot.entries = entries
            .iter()
            .filter_map(|entry| {
                let same =
                    |read: &&EntryRead| (read.entry.kind, &read.entry.name) == (entry.kind, &entry.name);
                let read = self.snapshot.entries.iter().find(same)?;
                Some(EntryRead { entry: entry.clone(), outcome: read.outcome.clone() })
            })
            .collect();
        snapshot.findings.retain(|f| !out.contains(&f.subject.id));
        snapshot
    }
}

/// In place of the directory, for plans over what was read once. What is read again for a second look, is.
#[async_trait]
impl Directory for OneRead<'_> {
    async fn read(&self, request: &ReadRequest) -> Result<Snapshot, DirectoryError> {
        if request.server.is_some() {
            return self.directory.read(request).await;
        }
        Ok(self.restricted(&request.wanted.entries))
    }

    async fn fates(&self, request: &FateRequest) -> Result<Fates, DirectoryError> {
        self.directory.fates(request).await
    }
}

/// What a plan would do, in numbers.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Planned {
    pub steps: u64,
    /// `3 users to create`, and so on.
    pub counts: Vec<String>,
    pub held: u64,
}

/// What changes with another scope.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ScopeEffect {
    /// Names in the target, as desired; DNs of those that would not be written.
    pub users_in: Vec<String>,
    pub users_out: Vec<String>,
    pub groups_in: Vec<String>,
    pub groups_out: Vec<String>,
    /// The next cycle with the scope as it is.
    pub before: Planned,
    /// And with the other one.
    pub after: Planned,
    /// Why steps would be held that are not held now.
    pub holds: Vec<String>,
    pub newly_held: u64,
    pub cut_short: Option<String>,
}

/// The plans of two scopes over one read. `before` and `after` differ in their entries alone.
pub async fn effect(
    before: &Profile<'_>,
    after: &Profile<'_>,
    parts: &Parts<'_>,
    state: &Reader,
) -> Result<ScopeEffect, CycleError> {
    let old = Box::pin(side(before, parts, state)).await?;
    let new = Box::pin(side(after, parts, state)).await?;
    let only = |these: &BTreeMap<Anchor, String>, those: &BTreeMap<Anchor, String>| {
        let mut names: Vec<String> = these
            .iter()
            .filter(|(anchor, _)| !those.contains_key(anchor))
            .map(|(_, name)| name.clone())
            .collect();
        names.sort();
        names
    };
    let fresh: Vec<&Vec<String>> =
        new.held.iter().filter(|(step, _)| !old.held.contains_key(step)).map(|(_, why)| why).collect();
    let holds: BTreeSet<&String> = fresh.iter().copied().flatten().collect();
    Ok(ScopeEffect {
        users_in: only(&new.users, &old.users),
        users_out: only(&old.users, &new.users),
        groups_in: only(&new.groups, &old.groups),
        groups_out: only(&old.groups, &new.groups),
        newly_held: fresh.len() as u64,
        holds: holds.into_iter().cloned().collect(),
        before: old.planned,
        after: new.planned,
        cut_short: new.cut_short.or(old.cut_short),
    })
}

#[derive(Default)]
struct Side {
    users: BTreeMap<Anchor, String>,
    groups: BTreeMap<Anchor, String>,
    planned: Planned,
    held: BTreeMap<Fingerprint, Vec<String>>,
    cut_short: Option<String>,
}

async fn side(profile: &Profile<'_>, parts: &Parts<'_>, state: &Reader) -> Result<Side, CycleError> {
    let mut side = Side::default();
    let prepared =
        Box::pin(prepare_seen(profile, parts, state, &NoJournal, &mut |sight| side = of(sight))).await?;
    if let Some(error) = prepared.unreadable {
        return Err(error.into());
    }
    side.cut_short = prepared.cut_short;
    Ok(side)
}

fn of(sight: &Sight<'_>) -> Side {
    let (scope, desired) = (sight.scope, &sight.desire.desired);
    let eligible = scope.eligible();
    let users = scope.users().iter().filter(|(no, _)| eligible.contains(no.0)).map(|(no, user)| {
        let name = desired.users.get(no).and_then(|u| u.attributes.get(UserAttribute::UserName));
        (user.anchor, name.map(str::to_owned).unwrap_or_else(|| user.dn.to_string()))
    });
    let groups = scope.written().keys().filter_map(|no| {
        let group = scope.groups().get(no)?;
        let name = desired.groups.get(no).map(|g| g.attributes.display_name.clone());
        Some((group.anchor, name.unwrap_or_else(|| group.dn.to_string())))
    });
    let (approved, plan) = (sight.approved, sight.approved.plan());
    let held = approved.held().iter().map(|(no, holds)| {
        (plan.fingerprint(&plan.step(*no)), holds.iter().map(ToString::to_string).collect())
    });
    Side {
        users: users.collect(),
        groups: groups.collect(),
        planned: Planned {
            steps: plan.steps.len() as u64,
            counts: counts(approved),
            held: approved.held().len() as u64,
        },
        held: held.collect(),
        cut_short: None,
    }
}

fn anchor_of(snapshot: &Snapshot, object: ObjectRef) -> Anchor {
    match object {
        ObjectRef::User(ix) => snapshot.user(ix).anchor,
        ObjectRef::Group(ix) => snapshot.group(ix).anchor,
    }
}

fn view(snapshot: &Snapshot, scope: &Scope<'_>) -> ScopeView {
    let eligible = scope.eligible();
    let short = snapshot.groups.iter().find_map(|g| g.members.completeness.shortfalls().first());
    ScopeView {
        entries: snapshot.entries.iter().map(|read| entry_view(snapshot, scope, &eligible, read)).collect(),
        users: eligible.len(),
        groups: scope.written().len() as u64,
        cut_short: short.map(|s| format!("{}: {}", s.what, s.detail)),
    }
}

fn entry_view(
    snapshot: &Snapshot,
    scope: &Scope<'_>,
    eligible: &RoaringBitmap,
    read: &EntryRead,
) -> EntryView {
    let EntryRead { entry, outcome } = read;
    let label = entry.to_string();
    let problem = snapshot.findings.iter().find(|f| f.subject.id == label).map(|f| f.message.clone());
    let mut view = EntryView {
        kind: entry.kind,
        name: entry.name.clone(),
        write: entry.write,
        state: "",
        dn: None,
        anchor: None,
        called: None,
        users: 0,
        groups: 0,
        problem,
        candidates: Vec::new(),
    };
    let object = match outcome {
        EntryOutcome::Resolved { object, name, renamed } => {
            view.called = Some(name.clone());
            view.state = if *renamed { "renamed" } else { "resolved" };
            Some(*object)
        }
        EntryOutcome::Rebound { pinned, claimant_dn, .. } => {
            view.candidates = vec![claimant_dn.to_string()];
            view.state = "rebound";
            *pinned
        }
        EntryOutcome::Ambiguous(dns) => {
            view.candidates = dns.iter().map(ToString::to_string).collect();
            view.state = "ambiguous";
            None
        }
        EntryOutcome::Deleted { anchor, .. } => {
            view.anchor = Some(*anchor);
            view.state = "deleted";
            None
        }
        EntryOutcome::NotFound => {
            view.state = "not-found";
            None
        }
        EntryOutcome::Unsuitable(why) => {
            view.problem.get_or_insert_with(|| why.clone());
            view.state = "unsuitable";
            None
        }
        EntryOutcome::Unread(short) => {
            view.problem.get_or_insert_with(|| short.detail.clone());
            view.state = "unread";
            None
        }
    };
    let Some(object) = object else { return view };
    let anchor = anchor_of(snapshot, object);
    view.anchor = Some(anchor);
    let Some(no) = scope.number(anchor) else { return view };
    match object {
        ObjectRef::User(ix) => {
            view.dn = Some(snapshot.user(ix).dn.to_string());
            view.users = u64::from(eligible.contains(no.0));
        }
        ObjectRef::Group(ix) => {
            view.dn = Some(snapshot.group(ix).dn.to_string());
            let people = scope.below(no).map(|below| below.all).unwrap_or_default();
            view.users = (people & eligible).len();
            let mut groups: BTreeSet<LinkNo> = scope.groups_below(no);
            groups.insert(no);
            view.groups = groups.iter().filter(|no| scope.written().contains_key(*no)).count() as u64;
        }
    }
    view
}
