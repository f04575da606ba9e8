//! Puts the answer together.

use std::collections::BTreeSet;

use roaring::RoaringBitmap;

use super::members::members;
use super::near::Terrain;
use super::standing::{Verdict, standing};
use super::{
    Attribute, Coming, DisabledBy, Explanation, InTarget, LinkFacts, Membership, Next, NextStep, Object,
    SCHEMA, Sight, Standing, Told,
};
use crate::ids::{Anchor, LinkNo, Sid};
use crate::mapping::Traced;
use crate::model::{
    DirectoryGroup, DirectoryUser, DisableHow, GroupAttribute, Kind, Link, ObjectRef, Observed, Snapshot,
    UserAttribute,
};
use crate::plan::{Action, Coming as What, Purpose, Step, StepNo, countdowns, groups_of};

/// Groups of a user for which the way is looked for: each takes a walk.
const MOST_WAYS: usize = 500;

/// Whom the question is about.
#[derive(Clone, Copy)]
pub struct Asked<'a> {
    pub kind: Kind,
    pub anchor: Anchor,
    /// As the directory shows it when asked for it alone; the snapshot may not have it.
    pub user: Option<&'a DirectoryUser>,
    pub group: Option<&'a DirectoryGroup>,
}

impl<'a> Asked<'a> {
    /// `look`: the answer of the directory for this one object.
    pub fn new(kind: Kind, anchor: Anchor, look: Option<&'a Snapshot>) -> Self {
        let user = look.and_then(|s| s.users.iter().find(|u| u.anchor == anchor));
        let group = look.and_then(|s| s.groups.iter().find(|g| g.anchor == anchor));
        Self { kind, anchor, user, group }
    }
}

/// What a person calls it: the name in the target as desired, else as known, else the DN's leaf.
pub(super) fn label(sight: &Sight<'_>, no: LinkNo) -> String {
    let wished = (sight.desire.desired.users.get(&no))
        .and_then(|u| u.attributes.get(UserAttribute::UserName))
        .or_else(|| sight.desire.desired.groups.get(&no).map(|g| g.attributes.display_name.as_str()));
    let known = || sight.known.links.get(&no).and_then(|l| l.name.as_deref());
    wished.or_else(known).map_or_else(|| leaf(sight, no), str::to_owned)
}

fn leaf(sight: &Sight<'_>, no: LinkNo) -> String {
    let read = (sight.scope.users().get(&no).map(|u| &u.dn))
        .or_else(|| sight.scope.groups().get(&no).map(|g| &g.dn));
    match (read, sight.known.links.get(&no)) {
        (Some(dn), _) => dn.leaf(),
        (None, Some(link)) => link.dn.to_string(),
        (None, None) => no.to_string(),
    }
}

/// The answer as far as the cycle knows it, and what is needed to tell which scope group is near.
pub fn explain(sight: &Sight<'_>, asked: &Asked<'_>) -> (Explanation, Terrain) {
    let no = number(sight, asked.anchor);
    let link = no.and_then(|no| sight.known.links.get(&no));
    let object = object(sight, asked, no, link);
    let mut scope = standing(sight, asked, no);
    let findings = findings(sight, &object);
    name_findings(&mut scope, &findings);
    let out = matches!(scope.verdict, Verdict::OutOfScope | Verdict::Unsure);
    let explanation = Explanation {
        schema: SCHEMA,
        profile: sight.approved.plan().profile.clone(),
        attributes: traced(sight, asked, no)
            .into_iter()
            .map(|traced| Attribute { traced, now: None, differs: false })
            .collect(),
        target: InTarget::NotLinked,
        link: link.map(|link| facts(sight, link)),
        memberships: match (asked.kind, no) {
            (Kind::User, Some(no)) => memberships(sight, no),
            _ => Vec::new(),
        },
        members: no.filter(|_| asked.kind == Kind::Group).and_then(|no| members(sight, no)),
        next: no.map(|no| next(sight, no)).unwrap_or_default(),
        findings,
        access: None,
        journal: Vec::new(),
        object,
        scope,
    };
    (explanation, if out { Terrain::of(sight) } else { Terrain::default() })
}

/// Objects that were met before have a number, whether they were read now or not.
fn number(sight: &Sight<'_>, anchor: Anchor) -> Option<LinkNo> {
    sight.scope.number(anchor)
}

fn object(sight: &Sight<'_>, asked: &Asked<'_>, no: Option<LinkNo>, link: Option<&Link>) -> Object {
    let read_user = no.and_then(|no| sight.scope.users().get(&no).copied()).or(asked.user);
    let read_group = no.and_then(|no| sight.scope.groups().get(&no).copied()).or(asked.group);
    let (dn, sid): (String, Option<Sid>) = match (read_user, read_group, link) {
        (Some(user), ..) => (user.dn.to_string(), user.sid.clone()),
        (None, Some(group), _) => (group.dn.to_string(), group.sid.clone()),
        (None, None, Some(link)) => (link.dn.to_string(), link.sid.clone()),
        (None, None, None) => (String::new(), None),
    };
    let mapped = || match (read_user, read_group) {
        (Some(user), _) => sight.mapping.user(user, false).attributes.remove(&UserAttribute::UserName),
        (None, Some(group)) => {
            Some(sight.mapping.group(group, false, false).attributes.display_name).filter(|n| !n.is_empty())
        }
        (None, None) => None,
    };
    let known = || link.and_then(|l| l.name.clone());
    let label = mapped().or_else(known).unwrap_or_else(|| dn.clone());
    Object { kind: asked.kind, label, dn, anchor: asked.anchor, sid }
}

/// What the next cycle goes by is what it has read; else what the directory says when asked.
fn traced(sight: &Sight<'_>, asked: &Asked<'_>, no: Option<LinkNo>) -> Vec<Traced> {
    let target = sight.target;
    match asked.kind {
        Kind::User => {
            let Some(user) = no.and_then(|no| sight.scope.users().get(&no).copied()).or(asked.user) else {
                return Vec::new();
            };
            let mut all = sight.mapping.trace_user(user, target.writes_external_id);
            // A claim that was lost leaves its mark on what is desired.
            if let Some(desired) = no.and_then(|no| sight.desire.desired.users.get(&no)) {
                for row in &mut all {
                    let attribute = UserAttribute::parse(row.attribute);
                    row.value = attribute.and_then(|a| desired.attributes.get(a)).map(str::to_owned);
                }
            }
            all
        }
        Kind::Group => no
            .and_then(|no| sight.scope.groups().get(&no).copied())
            .or(asked.group)
            .map(|group| {
                sight.mapping.trace_group(group, target.writes_external_id, target.has_group_description)
            })
            .unwrap_or_default(),
    }
}

/// Holds the answer against what the target has; to be called only where it was asked.
pub fn hold_against(explanation: &mut Explanation, observed: &Observed) {
    let Some(id) = explanation.link.as_ref().and_then(|l| l.target_id.clone()) else { return };
    let user = observed.users.get(&id).filter(|_| explanation.object.kind == Kind::User);
    let group = observed.groups.get(&id).filter(|_| explanation.object.kind == Kind::Group);
    explanation.target = match (user, group) {
        (Some(user), _) if user.disabled => InTarget::Disabled,
        (Some(_), _) | (_, Some(_)) => InTarget::There,
        (None, None) => InTarget::Gone,
    };
    if explanation.target == InTarget::Gone {
        return;
    }
    for row in &mut explanation.attributes {
        row.now = match (user, group) {
            (Some(user), _) => {
                UserAttribute::parse(row.traced.attribute).and_then(|a| user.attributes.get(&a).cloned())
            }
            (None, Some(group)) => match GroupAttribute::parse(row.traced.attribute) {
                Some(GroupAttribute::DisplayName) => Some(group.attributes.display_name.clone()),
                Some(GroupAttribute::Description) => group.attributes.description.clone(),
                Some(GroupAttribute::ExternalId) => group.attributes.external_id.clone(),
                None => None,
            },
            (None, None) => None,
        };
        row.differs = row.now != row.traced.value;
    }
}

fn facts(sight: &Sight<'_>, link: &Link) -> LinkFacts {
    let coming = countdowns([link], sight.lifecycle, sight.now).into_iter().next();
    LinkFacts {
        target_id: link.target_id.clone(),
        origin: link.target_id.as_ref().map(|_| link.origin),
        name: link.name.clone(),
        out_of_scope_since: link.out_since,
        disabled: link.disabled.map(|d| DisabledBy { at: d.at, cause: d.cause, how: d.how }),
        deleted_in_directory_since: link.deleted.map(|d| d.since),
        absent_since: link.absent_since,
        countdown: coming.map(|c| Coming {
            what: match c.what {
                What::Disable => "disable",
                What::Delete => "delete",
            },
            at: c.at,
            days_left: c.days_left,
        }),
        retry_not_before: link.retry.as_ref().map(|r| r.not_before),
        last_applied: None,
        last_cycle: sight.known.last_cycle,
        last_complete_read: sight.known.last_complete_read,
    }
}

fn memberships(sight: &Sight<'_>, user: LinkNo) -> Vec<Membership> {
    let there: BTreeSet<LinkNo> = groups_of(sight.known, user).map(|l| l.no).collect();
    let synced = sight.desire.desired.users.contains_key(&user) || sight.desire.kept.contains(&user);
    let eligible = synced && sight.scope.eligible().contains(user.0);
    let unknown = sight.scope.unknown().contains(user.0);
    let of_group = |group: &LinkNo| {
        // A group that is not synced any more was not read for it.
        let closure = &sight.scope.written().get(group)?.closure;
        match closure.certain().contains(user.0) {
            true if unknown => None,
            true => Some(eligible),
            false => closure.not_a_member(user).map(|_| false),
        }
    };
    let wanted: BTreeSet<LinkNo> =
        sight.scope.written().keys().copied().filter(|no| of_group(no) == Some(true)).collect();
    let one = RoaringBitmap::from_iter([user.0]);
    let mut list: Vec<Membership> = there
        .union(&wanted)
        .enumerate()
        .map(|(at, group)| {
            let wants = wanted.contains(group);
            let ways =
                if wants && at < MOST_WAYS { sight.scope.direct_holders(*group, &one) } else { Vec::new() };
            let holder = ways.first().map(|(_, holder)| *holder).filter(|holder| holder != group);
            Membership {
                group: label(sight, *group),
                wanted: of_group(group),
                there: there.contains(group),
                through: holder.map(|holder| leaf(sight, holder)),
            }
        })
        .collect();
    list.sort_by(|a, b| a.group.cmp(&b.group));
    list
}

fn next(sight: &Sight<'_>, no: LinkNo) -> Next {
    let approved = sight.approved;
    let plan = approved.plan();
    let own = plan.about(no);
    let all = plan.with_needs(own.clone());
    let steps = all.into_iter().map(|at| {
        let step = plan.step(at);
        let holds = approved.held().get(&at).into_iter().flatten();
        NextStep {
            needed: !own.contains(&at),
            step: approved.step_json(at),
            line: line(sight, no, at, &step),
            holds: holds.map(ToString::to_string).collect(),
        }
    });
    let leaves = |group: LinkNo| {
        let written = sight.scope.written().get(&group);
        let applied = sight.known.links.get(&group).is_some_and(|l| l.applied.contains(no.0));
        applied && written.is_none_or(|w| !w.closure.certain().contains(no.0))
    };
    let withheld = (plan.withheld.iter())
        .filter(|w| w.group == no || leaves(w.group))
        .map(|w| format!("{}: {} may have left, which is not proven: {}", w.group_label, w.members, w.why));
    Next {
        plan: plan.id.to_string(),
        steps: steps.collect(),
        withheld: withheld.collect(),
        ..Next::default()
    }
}

/// One step in words, seen from the object.
fn line(sight: &Sight<'_>, seen_from: LinkNo, at: StepNo, step: &Step) -> String {
    let plan = sight.approved.plan();
    let name = |no: LinkNo| plan.label(no).to_owned();
    let it = |no: LinkNo| if no == seen_from { "it".to_owned() } else { name(no) };
    let text = match &step.action {
        Action::RebindEntry { name, .. } => format!("let the scope entry {name} follow its name"),
        Action::CreateUser { user: no, .. } | Action::CreateGroup { group: no, .. } => {
            format!("create {} in the target", it(*no))
        }
        Action::AdoptUser { user: no, id, .. } | Action::AdoptGroup { group: no, id, .. } => {
            format!("take over {id} of the target for {}", it(*no))
        }
        Action::UpdateUser { user, purpose, changes, .. } => {
            let list: Vec<String> = changes
                .iter()
                .map(|c| format!("{} {} → {}", c.attribute, value(c.old.as_deref()), value(c.new.as_deref())))
                .collect();
            format!("{} {}: {}", update(*purpose), it(*user), list.join(", "))
        }
        Action::UpdateGroup { group, purpose, before, after, .. } => {
            let pairs = [
                ("displayName", Some(&before.display_name), Some(&after.display_name)),
                ("description", before.description.as_ref(), after.description.as_ref()),
                ("externalId", before.external_id.as_ref(), after.external_id.as_ref()),
            ];
            let list: Vec<String> = pairs
                .into_iter()
                .filter(|(_, old, new)| old != new)
                .map(|(a, old, new)| {
                    format!("{a} {} → {}", value(old.map(String::as_str)), value(new.map(String::as_str)))
                })
                .collect();
            format!("{} {}: {}", update(*purpose), it(*group), list.join(", "))
        }
        Action::AddMember { group, user, .. } => format!("add {} to {}", it(*user), it(*group)),
        Action::RemoveMember { group, user, .. } => format!("remove {} from {}", it(*user), it(*group)),
        Action::RemoveStranger { group, label, .. } => format!("remove {label} from {}", it(*group)),
        Action::DisableUser { user, how, .. } => match how {
            DisableHow::Deactivated => format!("disable {}", it(*user)),
            DisableHow::Revoked => {
                format!("revoke {}: memberships go, sign-in and direct assignments stay", it(*user))
            }
            DisableHow::Reported => format!("report {}: to be disabled by hand", it(*user)),
        },
        Action::EnableUser { user, how } => {
            let word = if *how == DisableHow::Deactivated { "enable" } else { "restore" };
            format!("{word} {}", it(*user))
        }
        Action::DeleteUser { user: no, .. } | Action::DeleteGroup { group: no, .. } => {
            format!("delete {}, with its account assignments", it(*no))
        }
    };
    let left = if sight.approved.is_left_out(at) { "  [left out]" } else { "" };
    format!("{text}  ({}){left}", plan.reason(step))
}

fn update(purpose: Purpose) -> &'static str {
    match purpose {
        Purpose::Values => "update",
        Purpose::Yield => "rename out of the way",
        Purpose::Park => "park",
    }
}

fn value(value: Option<&str>) -> String {
    value.map_or_else(|| "(none)".to_owned(), |value| format!("\"{value}\""))
}

/// They stand far below what they are the reason of.
fn name_findings(scope: &mut Standing, findings: &[Told]) {
    for lack in scope.lacks.iter_mut().filter(|lack| lack.code == "not-writable" && !findings.is_empty()) {
        lack.text += &format!(" ({})", codes(findings));
    }
}

/// Each once.
pub(super) fn codes(findings: &[Told]) -> String {
    let codes: BTreeSet<&str> = findings.iter().map(|found| found.code.name()).collect();
    codes.into_iter().collect::<Vec<_>>().join(", ")
}

/// Those about the object, and about the scope entry that names it.
fn findings(sight: &Sight<'_>, object: &Object) -> Vec<Told> {
    let entries = sight.snapshot.entries.iter().filter(|read| {
        let resolved = match &read.outcome {
            crate::model::EntryOutcome::Resolved { object, .. } => Some(*object),
            crate::model::EntryOutcome::Rebound { pinned, .. } => *pinned,
            _ => None,
        };
        resolved.is_some_and(|found| {
            object.anchor
                == match found {
                    ObjectRef::User(ix) => sight.snapshot.user(ix).anchor,
                    ObjectRef::Group(ix) => sight.snapshot.group(ix).anchor,
                }
        })
    });
    let mut ids: BTreeSet<String> = entries.map(|read| read.entry.to_string()).collect();
    ids.insert(object.anchor.to_string());
    ids.extend(object.sid.as_ref().map(ToString::to_string));
    let about = sight.findings.iter().filter(|f| ids.contains(&f.subject.id));
    about.map(|f| Told { code: f.code, message: f.message.clone(), remedy: f.code.remedy() }).collect()
}
