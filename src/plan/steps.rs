//! The steps of a plan, in their order. A first plan has millions, nearly all of which put somebody into a group: of those
//! only the numbers are kept, group by group.

use std::borrow::Cow;
use std::iter;

use super::after::After;
use super::step::{Action, Reason, Step, StepNo};
use crate::ids::LinkNo;

#[derive(Clone, Debug, Default)]
pub struct Steps {
    /// In order; each goes on to where the next one begins.
    runs: Vec<Run>,
    whole: Vec<Step>,
    joins: Vec<Join>,
}

/// Steps that follow one another and are kept in one way.
#[derive(Clone, Copy, Debug)]
struct Run {
    first: u32,
    /// Where its first step is kept.
    at: u32,
    /// The group of joins.
    joined: Option<LinkNo>,
}

/// Somebody is put into the run's group.
#[derive(Clone, Copy, Debug)]
struct Join {
    user: LinkNo,
    /// The group that holds the user directly.
    holder: LinkNo,
    /// [`Join::NOTHING`] behind the last one.
    after: [StepNo; 2],
}

impl Join {
    const NOTHING: StepNo = StepNo(u32::MAX);

    fn of(step: &Step) -> Option<(LinkNo, Self)> {
        let Action::AddMember { group, user } = step.action else { return None };
        let holder = match step.reason {
            Reason::DirectMember => group,
            Reason::MemberThrough(holder) if holder != group => holder,
            _ => return None,
        };
        let after = match *step.after {
            [] => [Self::NOTHING; 2],
            [one] => [one, Self::NOTHING],
            [one, two] => [one, two],
            _ => return None,
        };
        Some((group, Self { user, holder, after }))
    }

    fn step(self, group: LinkNo) -> Step {
        let Self { user, holder, after } = self;
        let count = after.iter().take_while(|no| **no != Self::NOTHING).count();
        let reason = if holder == group { Reason::DirectMember } else { Reason::MemberThrough(holder) };
        let after = After::from(after.get(..count).unwrap_or_default());
        Step { action: Action::AddMember { group, user }, reason, after }
    }
}

impl Steps {
    /// Puts it behind the others.
    pub fn push(&mut self, step: Step) -> StepNo {
        let no = self.end();
        match Join::of(&step) {
            Some((group, join)) => {
                self.run(no, Some(group), self.joins.len());
                self.joins.push(join);
            }
            None => {
                self.run(no, None, self.whole.len());
                self.whole.push(step);
            }
        }
        StepNo(no)
    }

    fn run(&mut self, first: u32, joined: Option<LinkNo>, at: usize) {
        if self.runs.last().is_none_or(|last| last.joined != joined) {
            self.runs.push(Run { first, at: number(at), joined });
        }
    }

    fn end(&self) -> u32 {
        number(self.len())
    }

    pub fn len(&self) -> usize {
        self.whole.len() + self.joins.len()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// So many will join groups, and there will be about so many others.
    pub(super) fn reserve(&mut self, others: usize, joins: usize) {
        self.whole.reserve_exact(others);
        self.joins.reserve_exact(joins);
    }

    /// `no` is one of these.
    pub fn get(&self, no: StepNo) -> Cow<'_, Step> {
        let run = self.runs.partition_point(|run| run.first <= no.0) - 1;
        self.at(self.runs[run], no.0)
    }

    fn at(&self, run: Run, no: u32) -> Cow<'_, Step> {
        let at = (run.at + (no - run.first)) as usize;
        match run.joined {
            Some(group) => Cow::Owned(self.joins[at].step(group)),
            None => Cow::Borrowed(&self.whole[at]),
        }
    }

    pub fn iter(&self) -> impl Iterator<Item = Cow<'_, Step>> {
        self.numbered().map(|(_, step)| step)
    }

    pub fn numbered(&self) -> impl Iterator<Item = (StepNo, Cow<'_, Step>)> {
        let ends = self.runs.iter().skip(1).map(|run| run.first).chain(iter::once(self.end()));
        self.runs
            .iter()
            .zip(ends)
            .flat_map(move |(run, end)| (run.first..end).map(move |no| (StepNo(no), self.at(*run, no))))
    }
}

/// The step itself, where it is more than numbers: with all that it holds, it lasts as long as the plan.
pub(super) fn whole<'a>(step: &Cow<'a, Step>) -> Option<&'a Step> {
    match step {
        Cow::Borrowed(step) => Some(step),
        Cow::Owned(_) => None,
    }
}

impl FromIterator<Step> for Steps {
    fn from_iter<I: IntoIterator<Item = Step>>(steps: I) -> Self {
        let mut all = Self::default();
        for step in steps {
            all.push(step);
        }
        all
    }
}

/// Steps are numbered by 32 bits: as many would not fit into any machine's memory.
fn number(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::model::DisableHow;

    /// Few groups, so that joins of one group follow one another and do not.
    fn step() -> impl Strategy<Value = Step> {
        let no = || (0u32..3).prop_map(LinkNo);
        let after = prop::collection::vec((0u32..9).prop_map(StepNo), 0..4);
        (no(), no(), 0..5, no(), after).prop_map(|(group, user, kind, holder, after)| {
            let (action, reason) = match kind {
                0 => (Action::EnableUser { user, how: DisableHow::Revoked }, Reason::EnabledByOthers),
                1 => (Action::AddMember { group, user }, Reason::NotInDirectory),
                2 => (Action::AddMember { group, user }, Reason::MemberThrough(holder)),
                _ => (Action::AddMember { group, user }, Reason::DirectMember),
            };
            Step { action, reason, after: After::from(after.as_slice()) }
        })
    }

    proptest! {
        #[test]
        fn what_is_put_in_comes_out(list in prop::collection::vec(step(), 0..40)) {
            let steps: Steps = list.iter().cloned().collect();
            prop_assert_eq!(steps.len(), list.len());
            prop_assert_eq!(steps.is_empty(), list.is_empty());
            prop_assert_eq!(steps.iter().map(Cow::into_owned).collect::<Vec<_>>(), list.clone());
            for ((no, step), (place, expected)) in steps.numbered().zip(list.iter().enumerate()) {
                prop_assert_eq!(no.0 as usize, place);
                prop_assert_eq!(&*step, expected);
                prop_assert_eq!(&*steps.get(no), expected);
            }
        }
    }
}
