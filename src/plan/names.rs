//! Uniqueness never trips over itself: who must give up a name before another can take it, who cannot have it,
//! and which swaps need a parking place.

use std::collections::{BTreeMap, BTreeSet};

use petgraph::algo::kosaraju_scc;
use petgraph::graph::DiGraph;

use super::Inputs;
use super::desire::fold;
use super::draft::{self, Content, Draft, Drafts, Key};
use super::step::Change;
use crate::ids::{Anchor, LinkNo, TargetId};
use crate::model::{
    Code, Finding, GroupAttributes, Kind, RenameSupport, Subject, UserAttribute, UserAttributes,
};

/// Drafts that can all be carried out, and in which order.
pub struct Settled {
    /// A step waits for the steps of these objects.
    pub waits: BTreeMap<LinkNo, BTreeSet<LinkNo>>,
    /// Objects that step aside first, with what they are called meanwhile. Whoever waits for one of them waits
    /// for this step.
    pub parked: BTreeMap<LinkNo, Parked>,
}

#[derive(Clone, Debug)]
pub enum Parked {
    User { changes: Vec<Change>, after: UserAttributes },
    Group { before: GroupAttributes, after: GroupAttributes },
}

/// Drops drafts whose names cannot be had (each with a finding), adds those that yield, and orders the rest.
pub fn settle(inputs: &Inputs<'_>, drafts: &mut Drafts) -> Settled {
    let holders = Holders::of(inputs, drafts);
    // Dropping one draft leaves its old name taken, which may cost another draft its new one.
    while let Some((no, verdict)) = first_obstacle(inputs, drafts, &holders) {
        match verdict {
            Obstacle::Yield(holder, draft) => {
                drafts.list.insert(holder, *draft);
            }
            Obstacle::Drop(finding) => {
                drafts.list.remove(&no);
                drafts.findings.push(*finding);
            }
        }
    }
    let mut settled = Settled { waits: BTreeMap::new(), parked: BTreeMap::new() };
    for (no, draft) in &drafts.list {
        let waits: BTreeSet<LinkNo> =
            draft.takes.iter().filter_map(|k| holders.ours.get(k)).copied().filter(|h| h != no).collect();
        if !waits.is_empty() {
            settled.waits.insert(*no, waits);
        }
    }
    while let Some(no) = first_in_cycle(&settled) {
        if let Some(draft) = drafts.list.get(&no) {
            settled.parked.insert(no, park(inputs, no, draft));
        }
    }
    settled
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
            if drafts.gone.contains(&link.no) {
                continue;
            }
            // What was just looked up counts more than what was once applied.
            let keys = match link.kind {
                Kind::User => inputs.observed.users.get(id).map(|u| draft::user_keys(&u.attributes)),
                Kind::Group => inputs.observed.groups.get(id).map(|g| draft::group_keys(&g.attributes)),
            };
            let recorded = || match link.kind {
                Kind::User => {
                    let name = link.name.as_deref().map(|n| Key::UserName(fold(n)));
                    let email = link.email.as_deref().map(|e| Key::Email(fold(e)));
                    name.into_iter().chain(email).collect()
                }
                Kind::Group => link.name.as_deref().map(|n| Key::GroupName(fold(n))).into_iter().collect(),
            };
            ours.extend(keys.unwrap_or_else(recorded).into_iter().map(|k| (k, link.no)));
        }
        for (no, draft) in &drafts.list {
            let Some(id) = &draft.adopt else { continue };
            ids.insert(id.clone());
            ours.extend(draft.frees.iter().map(|k| (k.clone(), *no)));
            ours.extend(kept_keys(draft).into_iter().map(|k| (k, *no)));
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
}

fn kept_keys(draft: &Draft) -> BTreeSet<Key> {
    match &draft.content {
        Content::User { before, .. } => draft::user_keys(before),
        Content::Group { before, .. } => draft::group_keys(before),
        Content::NewUser { .. } | Content::NewGroup { .. } => BTreeSet::new(),
    }
}

enum Obstacle {
    Yield(LinkNo, Box<Draft>),
    Drop(Box<Finding>),
}

fn first_obstacle(inputs: &Inputs<'_>, drafts: &Drafts, holders: &Holders) -> Option<(LinkNo, Obstacle)> {
    for (no, draft) in &drafts.list {
        for key in &draft.takes {
            if let Some(holder) = holders.ours.get(key).filter(|h| *h != no) {
                if drafts.list.get(holder).is_some_and(|d| d.frees.contains(key)) {
                    continue;
                }
                let label = inputs.label(*no);
                let verdict = match yielding(inputs, drafts, *holder, &label) {
                    Some(yielding) if yielding.frees.contains(key) => {
                        Obstacle::Yield(*holder, Box::new(yielding))
                    }
                    _ => Obstacle::Drop(Box::new(claimed(inputs, *no, key, *holder))),
                };
                return Some((*no, verdict));
            }
            if let Some(other) = holders.others.get(key) {
                let (what, value) = match key {
                    Key::UserName(v) => ("userName", v),
                    Key::Email(v) => ("primary address", v),
                    Key::GroupName(v) => ("displayName", v),
                };
                let finding = draft::conflict(subject_of(inputs, *no), what, value, other);
                return Some((*no, Obstacle::Drop(Box::new(finding))));
            }
        }
    }
    None
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

/// A linked object that is proven to be desired no longer gives up its names; nobody else does.
fn yielding(inputs: &Inputs<'_>, drafts: &Drafts, no: LinkNo, newcomer: &str) -> Option<Draft> {
    let link = inputs.known.links.get(&no)?;
    let id = link.target_id.as_ref()?;
    let stays = inputs.desired.users.contains_key(&no)
        || inputs.desired.groups.contains_key(&no)
        || inputs.kept.contains(&no)
        || drafts.protected.contains(&no)
        || draft::is_protected(inputs, &[link.name.as_deref(), link.email.as_deref()]);
    if stays {
        return None;
    }
    let former = |name: &str| format!("former-{}-{name}", short(link.anchor));
    match link.kind {
        Kind::User => {
            let filtered = inputs.scope.users().get(&no).is_some_and(|u| !u.matches_filter);
            if !filtered && inputs.scope.whole().out_of_scope(no).is_none() {
                return None;
            }
            let before = inputs.observed.users.get(id)?.attributes.clone();
            let mut changes = Vec::new();
            if let Some(old) = before.get(&UserAttribute::UserName)
                && inputs.known.rename_support != RenameSupport::Refused
            {
                let new: String = former(old).chars().take(128).collect();
                changes.push(change(UserAttribute::UserName, old, Some(new)));
            }
            if let Some(old) = before.get(&UserAttribute::Email) {
                changes.push(change(UserAttribute::Email, old, None));
            }
            let after = changed(&before, &changes);
            Some(Draft {
                kind: Kind::User,
                frees: &draft::user_keys(&before) - &draft::user_keys(&after),
                content: Content::User { changes, before, after, digest: None },
                adopt: None,
                takes: BTreeSet::new(),
                yields_to: Some(newcomer.to_owned()),
            })
        }
        Kind::Group => {
            if !inputs.scope.whole().is_complete() || inputs.scope.written().contains_key(&no) {
                return None;
            }
            let before = inputs.observed.groups.get(id)?.attributes.clone();
            let after = GroupAttributes { display_name: former(&before.display_name), ..before.clone() };
            Some(Draft {
                kind: Kind::Group,
                frees: draft::group_keys(&before),
                content: Content::Group { before, after, digest: None },
                adopt: None,
                takes: BTreeSet::new(),
                yields_to: Some(newcomer.to_owned()),
            })
        }
    }
}

fn change(attribute: UserAttribute, old: &str, new: Option<String>) -> Change {
    Change { attribute, old: Some(old.to_owned()), new }
}

fn changed(before: &UserAttributes, changes: &[Change]) -> UserAttributes {
    let mut after = before.clone();
    for change in changes {
        match &change.new {
            Some(value) => after.insert(change.attribute, value.clone()),
            None => after.remove(&change.attribute),
        };
    }
    after
}

/// Enough of an anchor to tell former holders of one name apart.
fn short(anchor: Anchor) -> String {
    anchor.to_string().chars().filter(|c| *c != '-').take(8).collect()
}

/// The lowest-numbered object of a ring of names that has not been parked yet; with it aside, the ring is a chain.
fn first_in_cycle(settled: &Settled) -> Option<LinkNo> {
    let mut graph = DiGraph::<LinkNo, ()>::new();
    let mut nodes = BTreeMap::new();
    for (from, waits) in &settled.waits {
        for no in waits.iter().chain([from]) {
            nodes.entry(*no).or_insert_with(|| graph.add_node(*no));
        }
    }
    for (from, waits) in &settled.waits {
        for to in waits.iter().filter(|to| !settled.parked.contains_key(to)) {
            graph.add_edge(nodes[from], nodes[to], ());
        }
    }
    kosaraju_scc(&graph)
        .into_iter()
        .filter(|component| component.len() > 1)
        .flatten()
        .map(|node| graph[node])
        .min()
}

/// Where an object waits while its old names are taken: without an address, or under a name of its own.
fn park(inputs: &Inputs<'_>, no: LinkNo, draft: &Draft) -> Parked {
    let place = format!("parked-{}", short(inputs.anchor(no)));
    match &draft.content {
        Content::Group { before, .. } => Parked::Group {
            before: before.clone(),
            after: GroupAttributes { display_name: place, ..before.clone() },
        },
        Content::User { before, .. } => {
            let mut changes = Vec::new();
            for key in &draft.frees {
                match (key, before.get(&UserAttribute::UserName), before.get(&UserAttribute::Email)) {
                    (Key::UserName(_), Some(old), _) => {
                        let domain = old.split_once('@').map(|(_, d)| format!("@{d}")).unwrap_or_default();
                        let new = format!("{place}{domain}").chars().take(128).collect();
                        changes.push(change(UserAttribute::UserName, old, Some(new)));
                    }
                    (Key::Email(_), _, Some(old)) => changes.push(change(UserAttribute::Email, old, None)),
                    _ => {}
                }
            }
            Parked::User { after: changed(before, &changes), changes }
        }
        // Something new frees nothing and so is in no ring.
        Content::NewUser { .. } | Content::NewGroup { .. } => {
            Parked::User { changes: Vec::new(), after: UserAttributes::new() }
        }
    }
}
