//! Desired against known: drafts, their names settled, memberships, all put in order.
//!
//! The order: what takes away first, one person's removal and addition side by side; then updates, adoptions and
//! creates, then additions. A step that needs another is preceded by it.

use std::collections::{BTreeMap, BTreeSet};

use roaring::RoaringBitmap;

use super::Inputs;
use super::assigned::Assigned;
use super::draft::{self, Drafts};
use super::lifecycle;
use super::members::{members, swept};
use super::names::settle;
use super::order::Order;
use super::step::{Action, Base, Plan, PlanObject, Reason};
use super::steps::Steps;
use crate::ids::{LinkNo, PlanId};
use crate::model::{Code, EntryRead, Finding, Kind, Link, UserAttribute};

/// Plans one cycle. The same inputs give the same plan.
pub fn plan(inputs: &Inputs<'_>, entries: &[EntryRead]) -> Plan {
    let mut drafts = Drafts::gather(inputs);
    let settled = settle(inputs, &mut drafts);
    let (ends, members) = match inputs.sweep {
        Some(sweep) => {
            let ends = lifecycle::sweep(inputs, &drafts, sweep);
            let members = swept(inputs, &drafts, &ends, sweep);
            (ends, members)
        }
        None => (lifecycle::ends(inputs, &drafts), members(inputs, &drafts)),
    };
    let lifecycle::Ends { out, back, vanished, findings: of_ends } = ends;
    let steps = Order::new(inputs, &drafts, &settled, &members.present, &back).all(
        entries,
        members.removes,
        members.adds,
        out,
    );
    let mut findings = drafts.findings;
    findings.extend(of_ends);
    findings.extend(out_of_scope_groups(inputs));
    findings.sort();
    findings.dedup();
    let mut plan = Plan {
        profile: inputs.profile.to_owned(),
        id: PlanId::new(""),
        objects: objects(inputs, &drafts.list, &steps, &members.sizes),
        steps,
        withheld: members.withheld,
        confirmed: drafts.confirmed,
        read_back: if inputs.full { members.present } else { BTreeMap::new() },
        found_again: found_again(inputs),
        vanished,
        full: inputs.full,
        base: base(inputs),
        assigned: Assigned::default(),
        findings,
    };
    plan.id = plan.id_of();
    plan
}

/// A plan without a step, where it is known that there is nothing to do.
pub fn nothing(profile: &str, base: Base) -> Plan {
    let mut plan = Plan {
        profile: profile.to_owned(),
        id: PlanId::new(""),
        objects: BTreeMap::new(),
        steps: Steps::default(),
        withheld: Vec::new(),
        confirmed: BTreeMap::new(),
        read_back: BTreeMap::new(),
        found_again: BTreeMap::new(),
        vanished: BTreeSet::new(),
        full: false,
        base,
        assigned: Assigned::default(),
        findings: Vec::new(),
    };
    plan.id = plan.id_of();
    plan
}

fn found_again(inputs: &Inputs<'_>) -> BTreeMap<LinkNo, String> {
    let name = |link: &Link| {
        let id = link.target_id.as_ref().filter(|_| link.name.is_none())?;
        match link.kind {
            Kind::User => inputs.observed.users.get(id)?.attributes.get(&UserAttribute::UserName).cloned(),
            Kind::Group => Some(inputs.observed.groups.get(id)?.attributes.display_name.clone()),
        }
    };
    inputs.known.links.values().filter_map(|link| Some((link.no, name(link)?))).collect()
}

fn base(inputs: &Inputs<'_>) -> Base {
    let linked =
        |kind| inputs.known.links.values().filter(|l| l.kind == kind && l.target_id.is_some()).count() as u64;
    let active = |l: &&Link| l.kind == Kind::User && l.target_id.is_some() && l.disabled.is_none();
    Base {
        linked_users: linked(Kind::User),
        active_users: inputs.known.links.values().filter(active).count() as u64,
        linked_groups: linked(Kind::Group),
    }
}

/// Every object that a step names, with what is known of it before the plan.
fn objects(
    inputs: &Inputs<'_>,
    drafts: &BTreeMap<LinkNo, draft::Draft>,
    steps: &Steps,
    sizes: &BTreeMap<LinkNo, u64>,
) -> BTreeMap<LinkNo, Box<PlanObject>> {
    let mut objects = BTreeMap::new();
    // Of millions of memberships nearly all name somebody who was named before.
    let mut seen = RoaringBitmap::new();
    for step in steps.iter() {
        let through = match &step.reason {
            Reason::MemberThrough(no) => Some(*no),
            _ => None,
        };
        let suspects = match &step.action {
            Action::RemoveMember { suspects, .. } => suspects.as_deref(),
            _ => None,
        };
        let named = [step.action.object(), step.action.member(), through].into_iter().flatten();
        for no in named.chain(suspects.into_iter().flatten().copied()) {
            if seen.insert(no.0) {
                objects.insert(no, Box::new(object(inputs, drafts, sizes, no)));
            }
        }
    }
    objects
}

fn object(
    inputs: &Inputs<'_>,
    drafts: &BTreeMap<LinkNo, draft::Draft>,
    sizes: &BTreeMap<LinkNo, u64>,
    no: LinkNo,
) -> PlanObject {
    let link = inputs.known.links.get(&no);
    let draft = drafts.get(&no);
    let is_new = draft.is_some_and(|d| {
        matches!(d.content, draft::Content::NewUser { .. } | draft::Content::NewGroup { .. })
    });
    let kind = crate::scope::kind_of(inputs.scope, no).or_else(|| link.map(|l| l.kind)).unwrap_or(Kind::User);
    let sid = (inputs.scope.users().get(&no).and_then(|u| u.sid.clone()))
        .or_else(|| inputs.scope.groups().get(&no).and_then(|g| g.sid.clone()))
        .or_else(|| link.and_then(|l| l.sid.clone()));
    let known_id = || link.and_then(|l| l.target_id.clone());
    PlanObject {
        kind,
        anchor: inputs.anchor(no),
        label: inputs.label(no),
        dn: inputs.dn(no),
        sid,
        target_id: if is_new {
            None
        } else {
            draft.and_then(|d| d.adopt.as_ref()).map(|a| a.id.clone()).or_else(known_id)
        },
        members: sizes.get(&no).copied().unwrap_or_default(),
        filled: !is_new && link.is_some_and(|l| l.filled),
    }
}

fn out_of_scope_groups(inputs: &Inputs<'_>) -> Vec<Finding> {
    let out = |l: &&Link| {
        l.kind == Kind::Group
            && l.target_id.is_some()
            && inputs.scope.whole().is_complete()
            && !inputs.scope.written().contains_key(&l.no)
    };
    (inputs.known.links.values().filter(out))
        .map(|l| {
            let label = inputs.label(l.no);
            Finding::new(
                Code::GroupOutOfScope,
                draft::subject(Kind::Group, l.anchor, l.sid.as_ref(), &label),
                "no scope entry reaches it any more: it is frozen. Nobody is added; whoever is disabled or leaves \
                 the scope is removed. Bring it back into the scope, or let go of it with `idcsync release group`",
            )
        })
        .collect()
}
