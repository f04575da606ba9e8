//! A plan as people look at it: what takes something away first, then the rest, each step under its object. Order is that
//! of names, so that two plans of the same content read the same.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};

use super::approve::ApprovedPlan;
use super::counts::by_sort;
use super::sort::Sort;
use super::step::{Action, Plan, PlanObject, Step, StepNo};
use super::steps::whole;
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

pub(super) type Numbered<'a> = (StepNo, Cow<'a, Step>);

/// An object with its steps of one part. Numbers alone: there may be millions.
pub(super) struct ObjectSteps<'a> {
    pub object: &'a PlanObject,
    /// On the object itself, in the plan's order.
    pub own: Vec<StepNo>,
    /// Of a group, by the name of who is concerned.
    pub members: Vec<StepNo>,
}

impl ObjectSteps<'_> {
    pub fn steps(&self) -> impl Iterator<Item = StepNo> {
        self.own.iter().chain(&self.members).copied()
    }

    pub fn len(&self) -> usize {
        self.own.len() + self.members.len()
    }
}

/// Who joins or leaves.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum Concerned {
    Member(LinkNo),
    /// By the step that removes somebody unknown.
    Stranger(StepNo),
}

impl Concerned {
    fn by(no: StepNo, step: &Step) -> Self {
        step.action.member().map_or(Self::Stranger(no), Self::Member)
    }
}

impl Plan {
    /// The place of each by name, the same for those of one name. A hundred thousand names are put in order once, and not
    /// again wherever they are members.
    fn ranks(&self, concerned: HashSet<Concerned>) -> HashMap<Concerned, u32> {
        let label = |who: &Concerned| match who {
            Concerned::Member(no) => self.label(*no),
            Concerned::Stranger(no) => self.member_label(&self.step(*no)),
        };
        let mut named: Vec<(&str, Concerned)> = concerned.into_iter().map(|who| (label(&who), who)).collect();
        named.sort_unstable_by_key(|(label, _)| *label);
        let (mut rank, mut last) = (0, None);
        let ranked = named.into_iter().map(|(label, who)| {
            rank += u32::from(last.replace(label).is_some_and(|last| last != label));
            (who, rank)
        });
        ranked.collect()
    }

    /// What whoever joins or leaves is called.
    pub(super) fn member_label<'a>(&'a self, step: &Cow<'a, Step>) -> &'a str {
        match whole(step).map(|step| &step.action) {
            Some(Action::RemoveStranger { label, .. }) => label,
            _ => step.action.member().map_or("?", |member| self.label(member)),
        }
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
        let mut by_object: HashMap<LinkNo, ObjectSteps<'_>> = HashMap::new();
        let mut concerned: HashSet<Concerned> = HashSet::new();
        for (no, step) in self.chosen().filter(|(_, step)| step.action.takes_away() == taken) {
            let Some(link) = step.action.object() else { continue };
            let Some(object) = plan.objects.get(&link).filter(|object| object.kind == kind) else { continue };
            let found = by_object.entry(link).or_insert_with(|| ObjectSteps {
                object,
                own: Vec::new(),
                members: Vec::new(),
            });
            if matches!(step.action.sort(), Sort::AddMember | Sort::RemoveMember) {
                concerned.insert(Concerned::by(no, &step));
                found.members.push(no);
            } else {
                found.own.push(no);
            }
        }
        let mut objects: Vec<_> = by_object.into_iter().collect();
        objects.sort_unstable_by_key(|(link, found)| (found.object.label.as_str(), *link));
        let ranks = plan.ranks(concerned);
        let rank = |no: &StepNo| (ranks.get(&Concerned::by(*no, &plan.step(*no))).copied(), *no);
        objects.iter_mut().for_each(|(_, found)| found.members.sort_by_cached_key(rank));
        objects.into_iter().map(|(_, found)| found).collect()
    }

    /// How many of these steps there are of each sort.
    pub(super) fn sorts_of(&self, steps: impl IntoIterator<Item = StepNo>) -> Vec<(Sort, u64)> {
        by_sort(steps.into_iter().map(|no| self.plan().step(no)))
    }

    /// The steps by which a scope entry follows another object.
    pub(super) fn rebinds(&self) -> impl Iterator<Item = Numbered<'_>> {
        self.chosen().filter(|(_, step)| matches!(step.action, Action::RebindEntry { .. }))
    }
}
