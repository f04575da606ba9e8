//! Uniqueness never trips over itself: who must give up a name before another can take it, who cannot have it,
//! and which swaps need a parking place.

use std::collections::{BTreeMap, BTreeSet};

use petgraph::algo::kosaraju_scc;
use petgraph::graph::DiGraph;

use super::Inputs;
use super::draft::{self, Content, Draft, Drafts, Key, Revised, changed};
use super::step::{Change, hex};
use crate::ids::{Anchor, LinkNo, TargetId};
use crate::model::{
    Code, Finding, GroupAttributes, Kind, RenameSupport, Subject, UserAttribute, UserAttributes,
};

/// Drafts that can all be carried out, and in which order.
pub struct Settled {
    /// An object waits for others, each because of the keys that it gives up.
    pub waits: BTreeMap<LinkNo, BTreeMap<LinkNo, BTreeSet<Key>>>,
    /// Objects that step aside first, with what they are called meanwhile.
    pub parked: BTreeMap<LinkNo, Parked>,
}

#[derive(Clone, Debug)]
pub struct Parked {
    /// Whoever waits for these alone waits for the step aside, not for the object's new values.
    pub frees: BTreeSet<Key>,
    pub change: ParkedAs,
}

#[derive(Clone, Debug)]
pub enum ParkedAs {
    User { changes: Vec<Change>, after: UserAttributes },
    Group { before: GroupAttributes, after: GroupAttributes },
}

/// Drops drafts whose names cannot be had (each with a finding), adds those that yield, and orders the rest.
pub fn settle(inputs: &Inputs<'_>, drafts: &mut Drafts) -> Settled {
    let holders = Holders::of(inputs, drafts);
    let contested = holders.contested(drafts);
    drop_obstructed(inputs, drafts, &holders, &contested);
    add_yielding(inputs, drafts, &holders, &contested);
    let mut waits: BTreeMap<LinkNo, BTreeMap<LinkNo, BTreeSet<Key>>> = BTreeMap::new();
    for (no, keys) in contested.iter().filter(|(no, _)| drafts.list.contains_key(no)) {
        for key in keys {
            let Some(holder) = holders.ours.get(key).filter(|h| *h != no && drafts.list.contains_key(h))
            else {
                continue;
            };
            waits.entry(*no).or_default().entry(*holder).or_default().insert(key.clone());
        }
    }
    let parked = park_rings(inputs, drafts, &waits);
    Settled { waits, parked }
}

/// Who holds which key in the target now.
struct Holders {
    ours: BTreeMap<Key, LinkNo>,
    others: BTreeMap<Key, TargetId>,
}

impl Holders {
    fn of(inputs: &Inputs<'_>, drafts: &Drafts) -> Self {
        let mut ours = BTreeMap::new();
        let mut ids = BTreeSet::new();
        for link in inputs.known.links.values() {
            let Some(id) = &link.target_id else { continue };
            ids.insert(id.clone());
            // Whoever is recorded under a name that is to be taken has been asked for; who did not answer is gone
            // and holds nothing.
            let keys = match link.kind {
                Kind::User => inputs.observed.users.get(id).map(|u| draft::user_keys(&u.attributes)),
                Kind::Group => inputs.observed.groups.get(id).map(|g| draft::group_keys(&g.attributes)),
            };
            ours.extend(keys.into_iter().flatten().map(|k| (k, link.no)));
        }
        for (no, draft) in &drafts.list {
            let Some(adoption) = &draft.adopt else { continue };
            ids.insert(adoption.id.clone());
            ours.extend(draft.held().into_iter().map(|k| (k, *no)));
        }
        let mut others = BTreeMap::new();
        for (id, user) in inputs.observed.users.iter().filter(|(id, _)| !ids.contains(*id)) {
            others.extend(draft::user_keys(&user.attributes).into_iter().map(|k| (k, id.clone())));
        }
        for (id, group) in inputs.observed.groups.iter().filter(|(id, _)| !ids.contains(*id)) {
            others.extend(draft::group_keys(&group.attributes).into_iter().map(|k| (k, id.clone())));
        }
        Self { ours, others }
    }

    /// Of what each object comes to hold, what somebody in the target holds now: nothing, of nearly all of them.
    fn contested(&self, drafts: &Drafts) -> Contested {
        let is_held = |key: &Key| self.ours.contains_key(key) || self.others.contains_key(key);
        let held = drafts.list.iter().map(|(no, draft)| {
            let keys: BTreeSet<Key> = draft.takes().into_iter().filter(is_held).collect();
            (*no, keys)
        });
        held.filter(|(_, keys)| !keys.is_empty()).collect()
    }
}

type Contested = BTreeMap<LinkNo, BTreeSet<Key>>;

/// Dropping one draft leaves its old names taken, which may cost others their new ones: each of those is looked
/// at again.
fn drop_obstructed(inputs: &Inputs<'_>, drafts: &mut Drafts, holders: &Holders, contested: &Contested) {
    let mut takers: BTreeMap<&Key, Vec<LinkNo>> = BTreeMap::new();
    for (no, keys) in contested {
        for key in keys {
            takers.entry(key).or_default().push(*no);
        }
    }
    let mut open: BTreeSet<LinkNo> = contested.keys().copied().collect();
    while let Some(no) = open.pop_first() {
        let Some(keys) = contested.get(&no).filter(|_| drafts.list.contains_key(&no)) else { continue };
        let Some(finding) = keys.iter().find_map(|key| obstacle(inputs, drafts, holders, no, key)) else {
            continue;
        };
        drafts.findings.push(finding);
        if let Some(dropped) = drafts.list.remove(&no) {
            open.extend(dropped.frees().iter().filter_map(|k| takers.get(k)).flatten());
        }
    }
}

/// Why an object cannot have a name.
fn obstacle(
    inputs: &Inputs<'_>,
    drafts: &Drafts,
    holders: &Holders,
    no: LinkNo,
    key: &Key,
) -> Option<Finding> {
    if let Some(holder) = holders.ours.get(key).filter(|h| **h != no) {
        let freed = drafts.list.get(holder).is_some_and(|d| d.frees().contains(key));
        return (!freed && !may_yield(inputs, drafts, *holder, key))
            .then(|| claimed(inputs, no, key, *holder));
    }
    let other = holders.others.get(key)?;
    let (what, value) = match key {
        Key::UserName(v) => ("userName", v),
        Key::Email(v) => ("primary address", v),
        Key::GroupName(v) => ("displayName", v),
    };
    Some(draft::conflict(subject_of(inputs, no), what, value, other))
}

fn claimed(inputs: &Inputs<'_>, no: LinkNo, key: &Key, holder: LinkNo) -> Finding {
    let (code, what) = match key {
        Key::UserName(_) => (Code::UserNameClaimed, "userName"),
        Key::Email(_) => (Code::EmailClaimed, "primary address"),
        Key::GroupName(_) => (Code::GroupNameClaimed, "displayName"),
    };
    Finding::new(
        code,
        subject_of(inputs, no),
        format!(
            "its {what} is held by {}, which keeps it. Give one of them another value in the directory",
            inputs.label(holder)
        ),
    )
}

fn subject_of(inputs: &Inputs<'_>, no: LinkNo) -> Subject {
    let label = inputs.label(no);
    if let Some(user) = inputs.desired.users.get(&no) {
        return draft::subject(Kind::User, user.anchor, user.sid.as_ref(), &label);
    }
    if let Some(group) = inputs.desired.groups.get(&no) {
        return draft::subject(Kind::Group, group.anchor, group.sid.as_ref(), &label);
    }
    match inputs.known.links.get(&no) {
        Some(link) => draft::subject(link.kind, link.anchor, link.sid.as_ref(), &label),
        None => Subject { kind: None, id: no.to_string(), label },
    }
}

/// A linked object that is proven to be desired no longer, or whose account is shut and bears another name in the directory, gives up
/// its names; nobody else does.
fn may_yield(inputs: &Inputs<'_>, drafts: &Drafts, no: LinkNo, key: &Key) -> bool {
    let Some(link) = inputs.known.links.get(&no).filter(|l| l.target_id.is_some()) else { return false };
    let stays = inputs.desired.users.contains_key(&no)
        || inputs.desired.groups.contains_key(&no)
        || inputs.kept.contains(&no)
        || drafts.protected.contains(&no);
    if stays {
        return false;
    }
    match link.kind {
        Kind::User => {
            let filtered = inputs.scope.users().get(&no).is_some_and(|u| !u.matches_filter);
            let deleted = link_deleted(inputs, no);
            // Others in scope whose account is shut are kept; who only might be in scope yields nothing.
            let shut = inputs.scope.whole().certain().contains(no.0)
                && inputs.scope.users().get(&no).is_some_and(|u| u.account.is_shut());
            let out = filtered || shut || deleted || inputs.scope.whole().out_of_scope(no).is_some();
            let renameable =
                !matches!(key, Key::UserName(_)) || inputs.known.rename_support != RenameSupport::Refused;
            out && renameable
        }
        Kind::Group => {
            let out = inputs.scope.whole().is_complete() && !inputs.scope.written().contains_key(&no);
            out || link_deleted(inputs, no)
        }
    }
}

/// Proven to be deleted in the directory: its name is free, however incomplete the read.
fn link_deleted(inputs: &Inputs<'_>, no: LinkNo) -> bool {
    inputs.known.links.get(&no).is_some_and(|link| inputs.deletion(link).is_some())
}

/// Whoever stands in the way of a newcomer and may be moved gives up exactly the names that are taken.
fn add_yielding(inputs: &Inputs<'_>, drafts: &mut Drafts, holders: &Holders, contested: &Contested) {
    let mut yields: BTreeMap<LinkNo, (String, BTreeSet<Key>)> = BTreeMap::new();
    for (no, keys) in contested.iter().filter(|(no, _)| drafts.list.contains_key(no)) {
        for key in keys {
            if let Some(holder) = holders.ours.get(key).filter(|h| !drafts.list.contains_key(h)) {
                let (_, keys) = yields.entry(*holder).or_insert_with(|| (inputs.label(*no), BTreeSet::new()));
                keys.insert(key.clone());
            }
        }
    }
    for (holder, (newcomer, keys)) in yields {
        if let Some(draft) = yielding(inputs, holder, &keys, newcomer) {
            drafts.list.insert(holder, draft);
        }
    }
}

fn yielding(inputs: &Inputs<'_>, no: LinkNo, keys: &BTreeSet<Key>, newcomer: String) -> Option<Draft> {
    let link = inputs.known.links.get(&no)?;
    let id = link.target_id.as_ref()?;
    let former = |name: &str, limit: usize| {
        format!("former-{}-{name}", short(link.anchor)).chars().take(limit).collect::<String>()
    };
    let content = match link.kind {
        Kind::User => {
            let before = inputs.observed.users.get(id)?.attributes.clone();
            let changes = vacate(&before, keys, |name| former(name, USER_NAME_LIMIT));
            let after = changed(&before, &changes);
            Content::User(Box::new(Revised { changes, before, after, digest: None }))
        }
        Kind::Group => {
            let before = inputs.observed.groups.get(id)?.attributes.clone();
            let display_name = former(&before.display_name, GROUP_NAME_LIMIT);
            let after = GroupAttributes { display_name, ..before.clone() };
            Content::Group { before: Box::new(before), after: Box::new(after), digest: None }
        }
    };
    Some(Draft { yields_to: Some(newcomer), ..Draft::of(link.kind, content) })
}

/// "CreateUser" and "CreateGroup" of the Identity Store API, in characters.
const USER_NAME_LIMIT: usize = 128;
const GROUP_NAME_LIMIT: usize = 1024;

/// The changes that free the keys: another userName, and no address (nor a type of one).
fn vacate(before: &UserAttributes, keys: &BTreeSet<Key>, rename: impl Fn(&str) -> String) -> Vec<Change> {
    let mut changes = Vec::new();
    for key in keys {
        match key {
            Key::UserName(_) => {
                if let Some(old) = before.get(&UserAttribute::UserName) {
                    changes.push(change(UserAttribute::UserName, old, Some(rename(old))));
                }
            }
            Key::Email(_) => {
                for attribute in [UserAttribute::Email, UserAttribute::EmailType] {
                    changes.extend(before.get(&attribute).map(|old| change(attribute, old, None)));
                }
            }
            Key::GroupName(_) => {}
        }
    }
    changes
}

fn change(attribute: UserAttribute, old: &str, new: Option<String>) -> Change {
    Change { attribute, old: Some(old.to_owned()), new }
}

/// Enough to tell objects of one name apart. Not the anchor's own digits: some servers count those up.
fn short(anchor: Anchor) -> String {
    use sha2::{Digest as _, Sha256};
    hex(&Sha256::digest(anchor.as_bytes())[..4])
}

type Waits = BTreeMap<LinkNo, BTreeMap<LinkNo, BTreeSet<Key>>>;

/// The lowest-numbered object of each ring of names steps aside; what is left of the ring may have rings in it.
fn park_rings(inputs: &Inputs<'_>, drafts: &Drafts, waits: &Waits) -> BTreeMap<LinkNo, Parked> {
    let mut parked: BTreeMap<LinkNo, Parked> = BTreeMap::new();
    let mut open = rings(waits.keys().copied(), waits, &parked);
    while let Some(ring) = open.pop() {
        let Some(first) = ring.first().copied() else { continue };
        let within = ring.iter().filter_map(|m| waits.get(m)?.get(&first)).flatten();
        let keys: BTreeSet<Key> = within.cloned().collect();
        if let Some(aside) = drafts.list.get(&first).and_then(|d| park(inputs, first, d, keys)) {
            parked.insert(first, aside);
            open.extend(rings(ring.into_iter(), waits, &parked));
        }
    }
    parked
}

/// Sets of objects that wait for each other, apart from those who need only wait for a step aside.
fn rings(
    among: impl Iterator<Item = LinkNo>,
    waits: &Waits,
    parked: &BTreeMap<LinkNo, Parked>,
) -> Vec<BTreeSet<LinkNo>> {
    let mut graph = DiGraph::<LinkNo, ()>::new();
    let nodes: BTreeMap<LinkNo, _> = among.map(|no| (no, graph.add_node(no))).collect();
    for (from, node) in &nodes {
        for (to, keys) in waits.get(from).into_iter().flatten() {
            let aside = parked.get(to).is_some_and(|p| keys.is_subset(&p.frees));
            if let Some(to) = nodes.get(to).filter(|_| !aside) {
                graph.add_edge(*node, *to, ());
            }
        }
    }
    kosaraju_scc(&graph)
        .into_iter()
        .filter(|component| component.len() > 1)
        .map(|component| component.into_iter().map(|node| graph[node]).collect())
        .collect()
}

/// Where an object waits while its old names are taken: without an address, or under a name of its own. `None` for
/// something new, which frees nothing and so is in no ring.
fn park(inputs: &Inputs<'_>, no: LinkNo, draft: &Draft, frees: BTreeSet<Key>) -> Option<Parked> {
    let place = format!("parked-{}", short(inputs.anchor(no)));
    let change = match &draft.content {
        Content::Group { before, .. } => ParkedAs::Group {
            before: before.as_ref().clone(),
            after: GroupAttributes { display_name: place, ..before.as_ref().clone() },
        },
        Content::User(revised) => {
            let before = &revised.before;
            let changes = vacate(before, &frees, |old| {
                let domain = old.split_once('@').map(|(_, d)| format!("@{d}")).unwrap_or_default();
                format!("{place}{domain}").chars().take(USER_NAME_LIMIT).collect()
            });
            ParkedAs::User { after: changed(before, &changes), changes }
        }
        Content::NewUser { .. } | Content::NewGroup { .. } => return None,
    };
    Some(Parked { frees, change })
}
