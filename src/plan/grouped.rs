//! A plan as people look at it: what takes something away first, then the rest, each step under its object. Order is that
//! of names, so that two plans of the same content read the same.

use std::collections::{BTreeMap, HashMap, HashSet};

use super::approve::ApprovedPlan;
use super::sort::Sort;
use super::step::{Action, PlanObject, Step, StepNo};
use crate::ids::LinkNo;
use crate::model::Kind;

/// A part of what is shown of a plan. Each step is in one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Part {
    /// Steps by which somebody loses something.
    Taken(Kind),
    Entries,
    Rest(Kind),
}

impl Part {
    pub fn title(self) -> &'static str {
        match self {
            Self::Taken(Kind::User) => "Taken away: users",
            Self::Taken(Kind::Group) => "Taken away: groups",
            Self::Entries => "Scope entries",
            Self::Rest(Kind::User) => "Users",
            Self::Rest(Kind::Group) => "Groups",
        }
    }
}

pub(super) type Numbered<'a> = (StepNo, &'a Step);

/// An object with its steps of one part.
pub(super) struct ObjectSteps<'a> {
    pub object: &'a PlanObject,
    /// On the object itself, in the plan's order.
    pub own: Vec<Numbered<'a>>,
    /// Of a group, with who is concerned, by name.
    pub members: Vec<(&'a str, Numbered<'a>)>,
}

impl<'a> ObjectSteps<'a> {
    pub fn steps(&self) -> impl Iterator<Item = &'a Step> {
        self.own.iter().map(|(_, step)| *step).chain(self.members.iter().map(|(_, (_, step))| *step))
    }

    pub fn len(&self) -> usize {
        self.own.len() + self.members.len()
    }
}

impl ApprovedPlan {
    /// The steps of a part, object by object.
    pub(super) fn part(&self, part: Part) -> Vec<ObjectSteps<'_>> {
        let (kind, taken) = match part {
            Part::Taken(kind) => (kind, true),
            Part::Rest(kind) => (kind, false),
            Part::Entries => return Vec::new(),
        };
        let plan = self.plan();
        let mut by_object: BTreeMap<(&str, LinkNo), ObjectSteps<'_>> = BTreeMap::new();
        for (no, step) in self.chosen().filter(|(_, step)| step.action.takes_away() == taken) {
            let Some(link) = step.action.object() else { continue };
            let Some(object) = plan.objects.get(&link).filter(|object| object.kind == kind) else { continue };
            let found = by_object.entry((object.label.as_str(), link)).or_insert_with(|| ObjectSteps {
                object,
                own: Vec::new(),
                members: Vec::new(),
            });
            if matches!(step.action.sort(), Sort::AddMember | Sort::RemoveMember) {
                let label = match &step.action {
                    Action::RemoveStranger { label, .. } => label,
                    other => other.member().map_or("?", |member| plan.label(member)),
                };
                found.members.push((label, (no, step)));
            } else {
                found.own.push((no, step));
            }
        }
        let mut objects: Vec<_> = by_object.into_values().collect();
        // A hundred thousand names are put in order once, and not again wherever they are members.
        let members = objects.iter().flat_map(|object| &object.members);
        let names: HashSet<&str> = members.map(|(label, _)| *label).collect();
        let mut names: Vec<&str> = names.into_iter().collect();
        names.sort_unstable();
        let ranks: HashMap<&str, u32> = names.into_iter().zip(0..).collect();
        for object in &mut objects {
            object.members.sort_by_cached_key(|(label, (no, _))| (ranks.get(label).copied(), *no));
        }
        objects
    }

    /// The steps by which a scope entry follows another object.
    pub(super) fn rebinds(&self) -> impl Iterator<Item = Numbered<'_>> {
        self.chosen().filter(|(_, step)| matches!(step.action, Action::RebindEntry { .. }))
    }
}
