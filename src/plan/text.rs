//! A plan for human eyes: counts first, then what takes something away, then the rest; each object with old → new and
//! the reason.

use std::collections::BTreeMap;
use std::fmt::{self, Write};

use super::approve::{ApprovedPlan, Approving};
use super::assigned::Assigned;
use super::counts::{by_sort, counted, grouped, told, words};
use super::grouped::{ObjectSteps, Part};
use super::step::{Action, Plan, Reason, Step, StepNo};
use crate::model::Kind;
use crate::printable::shown;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Colors {
    On,
    Off,
}

impl Colors {
    /// By a line's mark: what is added, what goes, what changes, what waits; a heading, an aside.
    fn paint(self, mark: char, text: &str) -> String {
        let code = match mark {
            '+' => "32",
            '-' => "31",
            '~' => "33",
            '!' => "35",
            '#' => "1",
            '…' => "2",
            _ => "36",
        };
        match self {
            Self::On => format!("\u{1b}[{code}m{text}\u{1b}[0m"),
            Self::Off => text.to_owned(),
        }
    }
}

/// How a plan is shown.
#[derive(Clone, Copy, Debug)]
pub struct Look {
    pub colors: Colors,
    /// Long lists are cut, each with a line that says what it has more and how to see it.
    pub folded: bool,
}

/// Objects of a part, and members of one group, before the rest is folded: more of what is taken away.
const FOLDED_TAKEN: (usize, usize) = (100, 50);
const FOLDED_REST: (usize, usize) = (20, 10);

/// What is said of a plan without steps.
pub const IN_STEP: &str = "Nothing to do: the target is as the directory has it.";

/// The whole plan.
pub fn render(approved: &ApprovedPlan, colors: Colors) -> String {
    let mut text = String::new();
    // Writing to a String cannot fail.
    let _ = render_to(approved, Look { colors, folded: false }, &mut text);
    text
}

/// The same, line by line: a first plan can have millions of them.
pub fn render_to(approved: &ApprovedPlan, look: Look, text: &mut dyn Write) -> fmt::Result {
    Sheet { approved, colors: look.colors, folded: look.folded, text }.write()
}

struct Sheet<'a> {
    approved: &'a ApprovedPlan,
    colors: Colors,
    folded: bool,
    text: &'a mut dyn Write,
}

impl Sheet<'_> {
    fn plan(&self) -> &Plan {
        self.approved.plan()
    }

    fn write(&mut self) -> fmt::Result {
        self.counts()?;
        self.part(Part::Taken(Kind::User))?;
        self.part(Part::Taken(Kind::Group))?;
        self.entries()?;
        self.part(Part::Rest(Kind::User))?;
        self.part(Part::Rest(Kind::Group))?;
        self.unread_assignments()?;
        self.sessions()?;
        self.withheld()
    }

    fn heading(&mut self, part: Part) -> fmt::Result {
        let mark = if matches!(part, Part::Taken(_)) { '-' } else { '#' };
        writeln!(self.text, "\n{}", self.colors.paint(mark, part.title()))
    }

    fn unread_assignments(&mut self) -> fmt::Result {
        if self.plan().assigned == Assigned::Unread {
            writeln!(self.text, "\nAccount assignments could not be read: the log says why.")?;
        }
        Ok(())
    }

    /// What no step can take back.
    fn sessions(&mut self) -> fmt::Result {
        if self.approved.ends_sessions() {
            writeln!(self.text, "\n{SESSIONS}")?;
        }
        Ok(())
    }

    fn counts(&mut self) -> fmt::Result {
        let plan = self.approved.plan();
        if let Some(nothing) = self.approved.nothing() {
            return writeln!(self.text, "{nothing}");
        }
        let counts = told(&by_sort(self.approved.chosen().map(|(_, step)| step)));
        writeln!(self.text, "Plan {} for profile {}: {counts}.", plan.id, shown(&plan.profile))?;
        let held = self.approved.held();
        if !held.is_empty() {
            let line = format!("{} held:", counted(held.len() as u64, "step is", "steps are"));
            writeln!(self.text, "{}", self.colors.paint('!', &line))?;
            for (why, count) in self.approved.held_reasons() {
                writeln!(self.text, "  {}: {why}", counted(count, "step", "steps"))?;
            }
            self.approving(&self.approved.how_to_approve())?;
        }
        Ok(())
    }

    fn approving(&mut self, how: &Approving) -> fmt::Result {
        let command = &how.command;
        if let Some(run) = &how.first {
            writeln!(self.text, "  Run this first, which records and holds them: {run}")?;
            writeln!(self.text, "  Then approve with: {command}")?;
        } else {
            writeln!(self.text, "  Approve with: {command}")?;
        }
        if how.others > 0 {
            let others = counted(how.others as u64, "step", "steps");
            writeln!(
                self.text,
                "  This also approves {others} not shown here; look first: {command} --show"
            )?;
        }
        Ok(())
    }

    fn entries(&mut self) -> fmt::Result {
        let approved = self.approved;
        for (at, (no, step)) in approved.rebinds().enumerate() {
            if at == 0 {
                self.heading(Part::Entries)?;
            }
            if let Action::RebindEntry { name, from, to, .. } = &step.action {
                let line = format!("~ {}: {from} → {to}", shown(name));
                self.line(2, '~', &line, no, &step)?;
            }
        }
        Ok(())
    }

    /// Objects of one kind by label, each with its steps; memberships stand under their group.
    fn part(&mut self, part: Part) -> fmt::Result {
        let approved = self.approved;
        let objects = approved.part(part);
        if objects.is_empty() {
            return Ok(());
        }
        self.heading(part)?;
        let (most, members) = match (self.folded, part) {
            (false, _) => (usize::MAX, usize::MAX),
            (true, Part::Taken(_)) => FOLDED_TAKEN,
            (true, _) => FOLDED_REST,
        };
        let most = most_of(objects.len(), most);
        for object in objects.iter().take(most) {
            self.object(object, members)?;
        }
        let rest = objects.get(most..).unwrap_or_default();
        if !rest.is_empty() {
            let what = told(&approved.sorts_of(rest.iter().flat_map(ObjectSteps::steps)));
            let kind = if matches!(part, Part::Taken(Kind::User) | Part::Rest(Kind::User)) {
                ("user", "users")
            } else {
                ("group", "groups")
            };
            let more = counted(rest.len() as u64, &format!("more {}", kind.0), &format!("more {}", kind.1));
            self.fold(2, &format!("{more} ({what})"))?;
        }
        Ok(())
    }

    fn object(&mut self, found: &ObjectSteps<'_>, most: usize) -> fmt::Result {
        let (approved, label) = (self.approved, &found.object.label);
        for no in &found.own {
            self.own(label, *no, &approved.plan().step(*no))?;
            if let Some(line) = approved.assigned_line(*no) {
                writeln!(self.text, "      {line}")?;
            }
        }
        if found.own.is_empty() {
            writeln!(self.text, "  {} {}", self.colors.paint('~', "~"), shown(label))?;
        }
        if let Some(line) = self.approved.membership_line(found) {
            writeln!(self.text, "      {line}")?;
        }
        self.members(&found.members, most)
    }

    fn members(&mut self, members: &[StepNo], most: usize) -> fmt::Result {
        let plan = self.approved.plan();
        let most = most_of(members.len(), most);
        for no in members.iter().take(most) {
            let step = plan.step(*no);
            let mark = if step.action.takes_away() { '-' } else { '+' };
            let head = format!("{mark} member {}", shown(plan.member_label(&step)));
            self.line(6, mark, &head, *no, &step)?;
        }
        // In one part a group's memberships are of one sort.
        if let Some(no) = members.get(most) {
            let count = (members.len() - most) as u64;
            let (one, many) = words(plan.step(*no).action.sort());
            let what = if count == 1 { one } else { many };
            self.fold(6, &format!("{} more {what}", grouped(count)))?;
        }
        Ok(())
    }

    fn fold(&mut self, indent: usize, what: &str) -> fmt::Result {
        let line = format!("… and {what}: --full-plan shows all");
        writeln!(self.text, "{:indent$}{}", "", self.colors.paint('…', &line))
    }

    fn own(&mut self, label: &str, no: StepNo, step: &Step) -> fmt::Result {
        let (mark, label) = (step.action.mark(), shown(label));
        let head = match step.action.deed().as_ref() {
            "create" | "update" => format!("{mark} {label}"),
            deed => format!("{mark} {label} ({})", shown(deed)),
        };
        self.line(2, mark, &head, no, step)?;
        let values = step.action.values();
        let width = values.iter().map(|v| v.attribute.len()).max().unwrap_or_default();
        for value in values {
            write!(self.text, "      {:<width$} ", value.attribute)?;
            match value.was {
                Some(old) => writeln!(self.text, "{} → {}", optional(old), optional(value.new))?,
                None => writeln!(self.text, "= {}", optional(value.new))?,
            }
        }
        Ok(())
    }

    fn line(&mut self, indent: usize, mark: char, head: &str, no: StepNo, step: &Step) -> fmt::Result {
        match self.colors {
            Colors::On => write!(self.text, "{:indent$}{}", "", self.colors.paint(mark, head))?,
            Colors::Off => write!(self.text, "{:indent$}{head}", "")?,
        }
        match &step.reason {
            // Nearly all lines of a first plan are memberships.
            Reason::DirectMember => write!(self.text, "  ({})", Reason::DirectMember)?,
            _ => write!(self.text, "  ({})", shown(&self.plan().reason(step)))?,
        }
        if self.approved.held().contains_key(&no) {
            write!(self.text, "  {}", self.colors.paint('!', "[held]"))?;
        }
        writeln!(self.text)
    }

    fn withheld(&mut self) -> fmt::Result {
        for (at, item) in self.approved.withheld().enumerate() {
            if at == 0 {
                writeln!(self.text, "\nNot taken away, because it is not proven:")?;
            }
            let members = counted(item.members, "member", "members");
            writeln!(self.text, "  {}: {members} ({})", shown(&item.group_label), shown(&item.why))?;
        }
        Ok(())
    }
}

/// Beside steps by which somebody loses the use of the target.
pub(super) const SESSIONS: &str = "Role sessions that are running now may last for up to 12 hours after.";

impl ApprovedPlan {
    /// What is said where nothing would be done.
    pub(super) fn nothing(&self) -> Option<&'static str> {
        let plan = self.plan();
        match (plan.steps.len(), plan.withheld.is_empty()) {
            (0, true) => Some(IN_STEP),
            (0, false) => Some("Nothing to do, as far as the directory could be read."),
            (count, _) if count == self.left_out().len() => {
                Some("Nothing to do: none of the chosen steps can be done now.")
            }
            _ => None,
        }
    }

    /// What is held, by reason, with the number of steps.
    pub(super) fn held_reasons(&self) -> BTreeMap<String, u64> {
        let mut by_reason: BTreeMap<String, u64> = BTreeMap::new();
        for hold in self.held().values().flatten().filter(|hold| hold.is_of_itself()) {
            *by_reason.entry(shown(&hold.to_string())).or_default() += 1;
        }
        by_reason
    }

    pub(super) fn ends_sessions(&self) -> bool {
        self.chosen().any(|(_, s)| s.action.deletes() || s.action.disables())
    }
}

/// A fold that hides one of them only would be none.
fn most_of(count: usize, most: usize) -> usize {
    if count == most.saturating_add(1) { count } else { most }
}

fn quoted(value: &str) -> String {
    // A value cannot close its own quotes.
    format!("\"{}\"", shown(&value.replace('\\', "\\\\").replace('"', "\\\"")))
}

fn optional(value: Option<&str>) -> String {
    value.map_or_else(|| "(none)".to_owned(), quoted)
}
