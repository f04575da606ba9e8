//! What a repair would write: the object found in the directory or among the links, and in the target.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::{Proposal, Task};
use crate::cli::sync::explain;
use crate::cli::{Context, Exit};
use crate::config::Config;
use crate::cycle::CycleError;
use crate::ids::{Anchor, LinkNo, Sid, TargetId};
use crate::model::{
    Binding, Code, EntryOutcome, Kind, Known, Link, ObjectRef, Observed, PendingIntent, ReadRequest,
    ScopeEntry, Snapshot, Wanted, Wants,
};
use crate::plan::{
    Candidate, TargetObject, finding_ids, group_differences, groups_of, is_frozen, link_of, linked_by_name,
    owner, shown, tied, untied, user_differences,
};
use crate::run::{clock, open};
use crate::state::Reader;
use crate::target::{Access, Gate, Target};

pub(super) async fn propose(
    context: &Context,
    config: &Config,
    state: &Reader,
    task: Task<'_>,
) -> Result<Proposal, Exit> {
    let failed = |error| explain(context, CycleError::State(error));
    let known = state.load(clock::now()).await.map_err(failed)?;
    let proposal = match task {
        Task::Link { kind, name, id } => {
            propose_link(context, config, state, &known, kind, name, &TargetId::new(id)).await?
        }
        Task::Unlink { kind, name } => {
            let link = find_linked(context, config, &known, kind, name).await?;
            proposal_without("unlink", &known, link)
        }
        Task::Release { name } => {
            let link = find_linked(context, config, &known, Kind::Group, name).await?;
            if !is_frozen(&known, link) {
                return Err(refuse(
                    context,
                    &format!(
                        "the group {} is in scope, so nothing can let go of it: take it out of [scope] first, or use \
                         `idcsync unlink`",
                        label(link)
                    ),
                ));
            }
            let settles = Some((Code::GroupOutOfScope, finding_ids(link).collect()));
            Proposal { settles, ..proposal_without("release", &known, link) }
        }
    };
    let concerned: BTreeSet<LinkNo> = proposal.links.iter().map(|l| l.no).collect();
    let unfinished = state.unfinished().await.map_err(failed)?;
    let open = |p: &PendingIntent| {
        concerned.contains(&p.intent.link) || p.intent.member.is_some_and(|m| concerned.contains(&m))
    };
    if unfinished.iter().any(open) {
        return Err(refuse(
            context,
            "a step of an earlier cycle on it was cut off, and nobody knows how it ended: run `idcsync sync` first, \
             which looks it up",
        ));
    }
    Ok(proposal)
}

fn refuse(context: &Context, why: &str) -> Exit {
    context.complain(&format!("error: {why}"));
    Exit::Usage
}

fn label(link: &Link) -> String {
    shown(link.name.as_deref().unwrap_or(&link.dn))
}

fn proposal_without(action: &'static str, known: &Known, link: &Link) -> Proposal {
    let mut memberships: Vec<String> = match link.kind {
        Kind::User => groups_of(known, link.no).map(label).collect(),
        Kind::Group => link.applied.iter().filter_map(|no| known.links.get(&LinkNo(no))).map(label).collect(),
    };
    memberships.sort();
    Proposal {
        action,
        links: untied(known, link.no),
        binding: None,
        settles: None,
        object: object(link.kind, link.name.as_deref(), link.anchor, &link.dn, link.target_id.as_ref()),
        changes: Vec::new(),
        findings: Vec::new(),
        memberships,
        strangers: Vec::new(),
        idle: false,
    }
}

fn object(kind: Kind, label: Option<&str>, anchor: Anchor, dn: &str, id: Option<&TargetId>) -> Value {
    json!({ "kind": kind, "label": label.unwrap_or(dn), "anchor": anchor, "dn": dn, "targetId": id })
}

/// Among the links first, since the object may be gone from the directory.
async fn find_linked<'k>(
    context: &Context,
    config: &Config,
    known: &'k Known,
    kind: Kind,
    name: &str,
) -> Result<&'k Link, Exit> {
    let found = match linked_by_name(known, kind, name).as_slice() {
        [one] => Some(*one),
        [] => {
            let snapshot = read_one(context, config, known, kind, name).await?;
            resolved(context, &snapshot, kind, name).map(|(anchor, _)| link_of(known, anchor))?
        }
        several => {
            let dns: Vec<String> = several.iter().map(|l| shown(&l.dn)).collect();
            let text = format!(
                "{} {kind}s are linked by that name; give one's DN: {}",
                several.len(),
                dns.join("; ")
            );
            return Err(refuse(context, &text));
        }
    };
    found.filter(|l| l.target_id.is_some()).ok_or_else(|| {
        refuse(context, &format!("the {kind} {} is not linked to anything in the target", shown(name)))
    })
}

/// The directory's answer for this name alone, as for a scope entry.
async fn read_one(
    context: &Context,
    config: &Config,
    known: &Known,
    kind: Kind,
    name: &str,
) -> Result<Snapshot, Exit> {
    let failed = |error: CycleError| explain(context, error);
    let wanted = Wanted {
        entries: vec![ScopeEntry { kind, name: name.to_owned(), write: true }],
        nested: false,
        user_filter: None,
        primary_group: false,
        distribution_groups: config.scope.distribution_groups,
        attributes: config.mapping.attributes_needed(),
    };
    let pins = known.pins.clone();
    let request = ReadRequest { wanted, pins, now: clock::now(), server: None };
    let directory = open::directory(config);
    let snapshot = directory.read(&request).await.map_err(|e| failed(CycleError::Directory(e)))?;
    let (profile, found) = (config.profile.clone(), snapshot.source.binding.clone());
    match known.binding.as_ref().map(|b| b.directory.clone()) {
        Some(bound) if Sid::parse(&bound).is_some() && Sid::parse(&found).is_none() => {
            Err(failed(CycleError::BindingUnread { profile, bound }))
        }
        Some(bound) if bound != found => {
            Err(failed(CycleError::OtherBinding { profile, what: "directory", bound, found }))
        }
        _ => Ok(snapshot),
    }
}

fn resolved(
    context: &Context,
    snapshot: &Snapshot,
    kind: Kind,
    name: &str,
) -> Result<(Anchor, ObjectRef), Exit> {
    let name = shown(name);
    let why = match snapshot.entries.first().map(|e| &e.outcome) {
        Some(EntryOutcome::Resolved { object, .. }) => {
            let anchor = match object {
                ObjectRef::User(ix) => snapshot.user(*ix).anchor,
                ObjectRef::Group(ix) => snapshot.group(*ix).anchor,
            };
            return Ok((anchor, *object));
        }
        None | Some(EntryOutcome::NotFound) => {
            format!("the directory has no {kind} {name}, and none of that name is linked")
        }
        Some(EntryOutcome::Deleted { .. }) => format!("the {kind} {name} was deleted in the directory"),
        Some(EntryOutcome::Ambiguous(dns)) => {
            let dns: Vec<String> = dns.iter().map(|dn| shown(dn.as_str())).collect();
            format!("{name} may be any of these; give one's DN: {}", dns.join("; "))
        }
        Some(EntryOutcome::Rebound { claimant_dn, .. }) => format!(
            "the scope entry {name} stood for another object than {}: give the DN of the one that is meant",
            shown(claimant_dn.as_str())
        ),
        Some(EntryOutcome::Unsuitable(why)) => format!("{name} cannot be linked: {}", shown(why)),
        Some(EntryOutcome::Unread(shortfall)) => {
            context.complain(&format!("error: {name} could not be read: {}", shown(&shortfall.detail)));
            return Err(Exit::Unreachable);
        }
    };
    Err(refuse(context, &why))
}

async fn propose_link(
    context: &Context,
    config: &Config,
    state: &Reader,
    known: &Known,
    kind: Kind,
    name: &str,
    id: &TargetId,
) -> Result<Proposal, Exit> {
    let snapshot = read_one(context, config, known, kind, name).await?;
    let (_, found) = resolved(context, &snapshot, kind, name)?;
    let target = open::target(config, Access::ReadOnly, Gate::Open).await.map_err(|e| explain(context, e))?;
    let store = open::identity_store(target.as_ref()).await.map_err(|e| explain(context, e))?;
    if let Some(bound) = known.binding.as_ref().map(|b| &b.identity_store).filter(|bound| **bound != store) {
        let (profile, bound, found) = (config.profile.clone(), bound.to_string(), store.to_string());
        let error = CycleError::OtherBinding { profile, what: "identity store", bound, found };
        return Err(explain(context, error));
    }
    let observed = look(context, target.as_ref(), kind, id).await?;
    let there = match kind {
        Kind::User => observed.users.get(id).map(TargetObject::User),
        Kind::Group => observed.groups.get(id).map(TargetObject::Group),
    };
    let Some(there) = there else {
        return Err(refuse(context, &format!("the target has no {kind} with the id {}", shown(id.as_str()))));
    };
    if there.is_protected(id, &config.policy) {
        let text = format!("target.protect names {}: it is never linked or written", shown(there.name()));
        return Err(refuse(context, &text));
    }
    let capabilities = target.capabilities();
    let managed = config.mapping.user_expressions().keys();
    let (candidate, changes, findings, writable) = match found {
        ObjectRef::User(ix) => {
            let user = snapshot.user(ix);
            let mapped = config.mapping.user(user, capabilities.writes_external_id);
            let now = observed.users.get(id).map(|u| u.attributes.clone()).unwrap_or_default();
            let writable = mapped.is_writable();
            let candidate = Candidate { kind, anchor: user.anchor, dn: &user.dn, sid: user.sid.as_ref() };
            (candidate, user_differences(managed, &now, &mapped.attributes), mapped.findings, writable)
        }
        ObjectRef::Group(ix) => {
            let group = snapshot.group(ix);
            let (external, description) =
                (capabilities.writes_external_id, capabilities.has_group_description);
            let mapped = config.mapping.group(group, external, description);
            let now = observed.groups.get(id).map(|g| g.attributes.clone()).unwrap_or_default();
            let writable = mapped.is_writable();
            let candidate = Candidate { kind, anchor: group.anchor, dn: &group.dn, sid: group.sid.as_ref() };
            (candidate, group_differences(&now, &mapped.attributes), mapped.findings, writable)
        }
    };
    let old = link_of(known, candidate.anchor);
    let idle = old.is_some_and(|l| l.target_id.as_ref() == Some(id));
    if let Some(other) = old.and_then(|l| l.target_id.as_ref()).filter(|other| *other != id) {
        let text =
            format!("it is linked to {other} already: run `idcsync unlink {kind} {}` first", shown(name));
        return Err(refuse(context, &text));
    }
    if !idle {
        let here = owner(known, kind, id).map(|l| (config.profile.clone(), l.dn.to_string()));
        let elsewhere = match here {
            Some(owner) => Some(owner),
            None => {
                state.owner(&store, kind, id).await.map_err(|e| explain(context, CycleError::State(e)))?
            }
        };
        if let Some((profile, dn)) = elsewhere {
            let text = format!(
                "the {kind} {id} of the target is linked already: by the profile {}, to {}",
                shown(&profile),
                shown(&dn)
            );
            return Err(refuse(context, &text));
        }
    }
    let (memberships, strangers) = members(known, &observed, id);
    Ok(Proposal {
        action: "link",
        links: vec![tied(known, candidate, id, there)],
        binding: known
            .binding
            .is_none()
            .then(|| Binding { directory: snapshot.source.binding.clone(), identity_store: store }),
        settles: None,
        object: object(kind, Some(there.name()), candidate.anchor, candidate.dn.as_str(), Some(id)),
        changes: if writable { changes } else { Vec::new() },
        findings,
        memberships,
        strangers,
        idle,
    })
}

/// The object; of a group its members, with their names.
async fn look(context: &Context, target: &dyn Target, kind: Kind, id: &TargetId) -> Result<Observed, Exit> {
    let failed = |error| explain(context, CycleError::Target(error));
    let one = BTreeSet::from([id.clone()]);
    let wants = match kind {
        Kind::User => Wants { users: one, ..Wants::default() },
        Kind::Group => Wants { groups: one, ..Wants::default() },
    };
    let mut observed = target.observe(&wants).await.map_err(failed)?;
    let Some(group) = observed.groups.get(id) else { return Ok(observed) };
    // Members come with a group that was found by its name.
    let group_names = BTreeSet::from([group.attributes.display_name.clone()]);
    let wants = Wants { groups: [id.clone()].into(), group_names, ..Wants::default() };
    observed.groups.extend(target.observe(&wants).await.map_err(failed)?.groups);
    let members = observed.groups.get(id).and_then(|g| g.members.clone()).unwrap_or_default();
    if !members.is_empty() {
        let wants = Wants { users: members, ..Wants::default() };
        observed.users.extend(target.observe(&wants).await.map_err(failed)?.users);
    }
    Ok(observed)
}

/// Members of the group whom idcsync knows, and the others.
fn members(known: &Known, observed: &Observed, group: &TargetId) -> (Vec<String>, Vec<String>) {
    let (mut ours, mut strangers) = (Vec::new(), Vec::new());
    for id in observed.groups.get(group).and_then(|g| g.members.as_ref()).into_iter().flatten() {
        let name = observed.users.get(id).map(|user| TargetObject::User(user).name().to_owned());
        let side = if owner(known, Kind::User, id).is_some() { &mut ours } else { &mut strangers };
        side.push(shown(name.as_deref().unwrap_or(id.as_str())));
    }
    ours.sort();
    strangers.sort();
    (ours, strangers)
}
