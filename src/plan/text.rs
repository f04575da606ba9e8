//! A plan for human eyes: counts first, then each object with old → new and the reason. Order is that of names,
//! so that two plans of the same content read the same.

use std::collections::BTreeMap;
use std::fmt::{self, Write};

use super::approve::{ApprovedPlan, Hold};
use super::assigned::Assigned;
use super::step::{Action, Plan, Purpose, Reason, Sort, Step, StepNo};
use crate::ids::LinkNo;
use crate::model::{DisableHow, GroupAttributes, Kind};
use crate::printable::shown;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Colors {
    On,
    Off,
}

impl Colors {
    fn paint(self, mark: char, text: &str) -> String {
        let code = match mark {
            '+' => "32",
            '-' => "31",
            '~' => "33",
            '!' => "35",
            _ => "36",
        };
        match self {
            Self::On => format!("\u{1b}[{code}m{text}\u{1b}[0m"),
            Self::Off => text.to_owned(),
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::InScope(Some(path)) => write!(f, "in scope by {path}"),
            Self::InScope(None) => f.write_str("in scope"),
            Self::GoneFromTarget => f.write_str("in scope, and deleted in the target by someone else"),
            Self::DirectoryChanged => f.write_str("the directory has other values"),
            Self::NameTakenBy(label) => write!(f, "out of scope: gives its name to {label}"),
            Self::SwapOfNames => f.write_str("steps aside for a swap of names"),
            Self::SameName(name) => write!(f, "the target has {name} already"),
            Self::SameAnchor => f.write_str("the target shows it with this object's id in the directory"),
            Self::DirectMember => f.write_str("a direct member"),
            Self::MemberThrough(_) => f.write_str("a member through a nested group"),
            Self::Proof(proof) => proof.fmt(f),
            Self::OutSince(since, proof) => {
                let proof = proof.to_string();
                let why = proof.strip_prefix("out of scope: ").unwrap_or(&proof);
                write!(f, "out of scope since {}: {why}", minute(*since))
            }
            Self::DeletedSince(since, proof) => write!(f, "{proof}, first on {}", minute(*since)),
            Self::PausedSince(since) => {
                write!(f, "paused since {}, longer than lifecycle.disable-after", minute(*since))
            }
            Self::OutOfReachSince(since) => {
                let since = minute(*since);
                write!(f, "the directory was last read on {since}, longer ago than lifecycle.disable-after")
            }
            Self::BackInScope(cause) => write!(f, "desired again; idcsync had disabled it: {}", cause.word()),
            Self::EnabledByOthers => {
                f.write_str("idcsync had disabled it, and someone else enabled it in the target")
            }
            Self::TargetChanged => f.write_str("changed in the target by someone else"),
            Self::NotInDirectory => {
                f.write_str("nobody in the directory: membership of a managed group is authoritative")
            }
            Self::EntryRebound => f.write_str("the configured name is on another object now"),
        }
    }
}

/// To the minute: enough for a person.
fn minute(at: jiff::Timestamp) -> String {
    at.strftime("%Y-%m-%d %H:%M UTC").to_string()
}

impl Plan {
    /// The reason with the names that it needs.
    pub fn reason(&self, step: &Step) -> String {
        match &step.reason {
            Reason::MemberThrough(group) => format!("a member through {}", self.label(*group)),
            other => other.to_string(),
        }
    }
}

/// What is said of a plan without steps.
pub const IN_STEP: &str = "Nothing to do: the target is as the directory has it.";

/// The whole plan.
pub fn render(approved: &ApprovedPlan, colors: Colors) -> String {
    let mut text = String::new();
    // Writing to a String cannot fail.
    let _ = render_to(approved, colors, &mut text);
    text
}

/// The same, line by line: a first plan can have millions of them.
pub fn render_to(approved: &ApprovedPlan, colors: Colors, text: &mut dyn Write) -> fmt::Result {
    Page { approved, colors, text }.write()
}

struct Page<'a> {
    approved: &'a ApprovedPlan,
    colors: Colors,
    text: &'a mut dyn Write,
}

/// `1 user`, `2 users`.
pub(super) fn counted(count: u64, one: &str, many: &str) -> String {
    format!("{count} {}", if count == 1 { one } else { many })
}

impl Page<'_> {
    fn plan(&self) -> &Plan {
        self.approved.plan()
    }

    fn write(&mut self) -> fmt::Result {
        self.counts()?;
        self.entries()?;
        self.objects(Kind::User)?;
        self.objects(Kind::Group)?;
        self.unread_assignments()?;
        self.sessions()?;
        self.withheld()
    }

    fn unread_assignments(&mut self) -> fmt::Result {
        if self.plan().assigned == Assigned::Unread {
            writeln!(self.text, "\nAccount assignments could not be read: the log says why.")?;
        }
        Ok(())
    }

    /// What no step can take back.
    fn sessions(&mut self) -> fmt::Result {
        let ends = |s: &Step| s.action.deletes() || s.action.disables();
        if self.plan().steps.iter().any(ends) {
            writeln!(self.text, "\nRole sessions that are running now may last for up to 12 hours after.")?;
        }
        Ok(())
    }

    fn counts(&mut self) -> fmt::Result {
        let plan = self.approved.plan();
        if plan.steps.is_empty() && !plan.withheld.is_empty() {
            return writeln!(self.text, "Nothing to do, as far as the directory could be read.");
        }
        if self.approved.left_out().len() == plan.steps.len() && !plan.steps.is_empty() {
            return writeln!(self.text, "Nothing to do: none of the chosen steps can be done now.");
        }
        if plan.steps.is_empty() {
            return if plan.withheld.is_empty() {
                writeln!(self.text, "{IN_STEP}")
            } else {
                writeln!(self.text, "Nothing to do for now.")
            };
        }
        // Who only steps aside for a swap has another step of the same sort.
        let mut counts: BTreeMap<Sort, u64> = BTreeMap::new();
        for (_, step) in self.approved.chosen().filter(|(_, s)| !s.action.parks()) {
            *counts.entry(step.action.sort()).or_default() += 1;
        }
        let of = |sort| counts.get(&sort).copied().unwrap_or_default();
        let mut parts = Vec::new();
        for (count, one, many) in [
            (of(Sort::DeleteUser), "user to delete", "users to delete"),
            (of(Sort::DeleteGroup), "group to delete", "groups to delete"),
            (of(Sort::DisableUser), "user to disable", "users to disable"),
            (of(Sort::RevokeUser), "user to revoke", "users to revoke"),
            (of(Sort::ReportUser), "user to report", "users to report"),
            (of(Sort::RemoveMember), "membership to remove", "memberships to remove"),
            (of(Sort::EnableUser), "user to enable", "users to enable"),
            (of(Sort::RestoreUser), "user to restore", "users to restore"),
            (of(Sort::UpdateUser), "user to update", "users to update"),
            (of(Sort::UpdateGroup), "group to update", "groups to update"),
            (of(Sort::AdoptUser), "user to adopt", "users to adopt"),
            (of(Sort::AdoptGroup), "group to adopt", "groups to adopt"),
            (of(Sort::CreateUser), "user to create", "users to create"),
            (of(Sort::CreateGroup), "group to create", "groups to create"),
            (of(Sort::AddMember), "membership to add", "memberships to add"),
            (of(Sort::RebindEntry), "scope entry to rebind", "scope entries to rebind"),
        ] {
            if count > 0 {
                parts.push(counted(count, one, many));
            }
        }
        writeln!(self.text, "Plan {} for profile {}: {}.", plan.id, shown(&plan.profile), parts.join(", "))?;
        let held = self.approved.held();
        if !held.is_empty() {
            let line = format!("{} held:", counted(held.len() as u64, "step is", "steps are"));
            writeln!(self.text, "{}", self.colors.paint('!', &line))?;
            let mut by_reason: BTreeMap<String, u64> = BTreeMap::new();
            for hold in held
                .values()
                .flatten()
                .filter(|h| !matches!(h, Hold::DependsOn { .. } | Hold::OnlyFor { .. }))
            {
                *by_reason.entry(shown(&hold.to_string())).or_default() += 1;
            }
            for (why, count) in by_reason {
                writeln!(self.text, "  {}: {why}", counted(count, "step", "steps"))?;
            }
            writeln!(self.text, "  Approve with: idcsync approve {}", plan.id)?;
        }
        Ok(())
    }

    fn entries(&mut self) -> fmt::Result {
        let mut first = true;
        let approved = self.approved;
        for (no, step) in approved.chosen() {
            if let Action::RebindEntry { name, from, to, .. } = &step.action {
                if std::mem::take(&mut first) {
                    writeln!(self.text, "\nScope entries")?;
                }
                let line = format!("~ {}: {from} → {to}", shown(name));
                self.line(2, '~', &line, no, Some(step))?;
            }
        }
        Ok(())
    }

    /// Objects of one kind by label, each with its steps; memberships stand under their group.
    fn objects(&mut self, kind: Kind) -> fmt::Result {
        let plan = self.approved.plan();
        let mut by_object: BTreeMap<(&str, LinkNo), Vec<(StepNo, &Step)>> = BTreeMap::new();
        let approved = self.approved;
        for (no, step) in approved.chosen() {
            let object = step.action.object().and_then(|o| plan.objects.get(&o).map(|found| (o, found)));
            if let Some((link, found)) = object.filter(|(_, found)| found.kind == kind) {
                by_object.entry((found.label.as_str(), link)).or_default().push((no, step));
            }
        }
        if by_object.is_empty() {
            return Ok(());
        }
        writeln!(self.text, "\n{}", if kind == Kind::User { "Users" } else { "Groups" })?;
        for ((label, _), steps) in by_object {
            let (members, own): (Vec<_>, Vec<_>) = steps
                .into_iter()
                .partition(|(_, s)| matches!(s.action.sort(), Sort::AddMember | Sort::RemoveMember));
            for (no, step) in &own {
                self.own(label, *no, step)?;
                if let Some(line) = self.approved.assigned_line(*no) {
                    writeln!(self.text, "      {line}")?;
                }
            }
            if own.is_empty() {
                writeln!(self.text, "  {} {}", self.colors.paint('~', "~"), shown(label))?;
            }
            self.members(members)?;
        }
        Ok(())
    }

    fn own(&mut self, label: &str, no: StepNo, step: &Step) -> fmt::Result {
        let label = shown(label);
        match &step.action {
            Action::CreateUser { attributes, .. } => {
                self.line(2, '+', &format!("+ {label}"), no, Some(step))?;
                let width = attributes.keys().map(|a| a.path().len()).max().unwrap_or_default();
                for (attribute, value) in attributes.as_ref() {
                    writeln!(self.text, "      {:<width$} = {}", attribute.path(), quoted(value))?;
                }
            }
            Action::UpdateUser { purpose, changes, .. } => {
                self.line(2, '~', &format!("~ {label}{}", purpose_word(*purpose)), no, Some(step))?;
                let width = changes.iter().map(|c| c.attribute.path().len()).max().unwrap_or_default();
                for change in changes {
                    let (old, new) = (optional(change.old.as_deref()), optional(change.new.as_deref()));
                    writeln!(self.text, "      {:<width$} {old} → {new}", change.attribute.path())?;
                }
            }
            Action::CreateGroup { attributes, .. } => {
                self.line(2, '+', &format!("+ {label}"), no, Some(step))?;
                if let Some(description) = &attributes.description {
                    writeln!(self.text, "      description = {}", quoted(description))?;
                }
            }
            Action::UpdateGroup { purpose, before, after, .. } => {
                self.line(2, '~', &format!("~ {label}{}", purpose_word(*purpose)), no, Some(step))?;
                self.group_changes(before, after)?;
            }
            Action::AdoptUser { id, .. } | Action::AdoptGroup { id, .. } => {
                self.line(2, '~', &format!("~ {label} (adopt {})", shown(id.as_str())), no, Some(step))?;
            }
            Action::DisableUser { how, .. } => {
                let (mark, head) = match how {
                    DisableHow::Deactivated => ('-', format!("- {label} (disable)")),
                    DisableHow::Revoked => (
                        '-',
                        format!("- {label} (revoke: memberships go; sign-in and direct assignments stay)"),
                    ),
                    DisableHow::Reported => {
                        ('~', format!("~ {label} (report: to be disabled in IAM Identity Center by hand)"))
                    }
                };
                self.line(2, mark, &head, no, Some(step))?;
            }
            Action::EnableUser { how, .. } => {
                let word = if *how == DisableHow::Deactivated { "enable" } else { "restore" };
                self.line(2, '+', &format!("+ {label} ({word})"), no, Some(step))?;
            }
            Action::DeleteUser { .. } => {
                let head = format!("- {label} (delete, with its account assignments)");
                self.line(2, '-', &head, no, Some(step))?;
            }
            Action::DeleteGroup { .. } => {
                let head = format!("- {label} (delete, with its account assignments)");
                self.line(2, '-', &head, no, Some(step))?;
            }
            _ => {}
        }
        Ok(())
    }

    fn group_changes(&mut self, before: &GroupAttributes, after: &GroupAttributes) -> fmt::Result {
        if before.display_name != after.display_name {
            let (old, new) = (quoted(&before.display_name), quoted(&after.display_name));
            writeln!(self.text, "      displayName {old} → {new}")?;
        }
        if before.description != after.description {
            let (old, new) =
                (optional(before.description.as_deref()), optional(after.description.as_deref()));
            writeln!(self.text, "      description {old} → {new}")?;
        }
        Ok(())
    }

    fn members(&mut self, steps: Vec<(StepNo, &Step)>) -> fmt::Result {
        let plan = self.approved.plan();
        let mut lines: Vec<(char, &str, StepNo, &Step)> = steps
            .into_iter()
            .map(|(no, step)| {
                let mark = if step.action.sort() == Sort::RemoveMember { '-' } else { '+' };
                let label = match &step.action {
                    Action::RemoveStranger { label, .. } => label,
                    other => other.member().map_or("?", |m| plan.label(m)),
                };
                (mark, label, no, step)
            })
            .collect();
        // What is taken away first; '-' sorts after '+'.
        lines.sort_by_key(|(mark, label, no, _)| (std::cmp::Reverse(*mark), *label, *no));
        for (mark, label, no, step) in lines {
            self.line(6, mark, &format!("{mark} member {}", shown(label)), no, Some(step))?;
        }
        Ok(())
    }

    fn line(
        &mut self,
        indent: usize,
        mark: char,
        head: &str,
        no: StepNo,
        step: Option<&Step>,
    ) -> fmt::Result {
        match self.colors {
            Colors::On => write!(self.text, "{:indent$}{}", "", self.colors.paint(mark, head))?,
            Colors::Off => write!(self.text, "{:indent$}{head}", "")?,
        }
        match step.map(|step| (step, &step.reason)) {
            // Nearly all lines of a first plan are memberships.
            Some((_, Reason::DirectMember)) => write!(self.text, "  ({})", Reason::DirectMember)?,
            Some((step, _)) => write!(self.text, "  ({})", shown(&self.plan().reason(step)))?,
            None => {}
        }
        if self.approved.held().contains_key(&no) {
            write!(self.text, "  {}", self.colors.paint('!', "[held]"))?;
        }
        writeln!(self.text)
    }

    fn withheld(&mut self) -> fmt::Result {
        let withheld = &self.approved.plan().withheld;
        if withheld.is_empty() {
            return Ok(());
        }
        writeln!(self.text, "\nNot taken away, because it is not proven:")?;
        for item in withheld {
            let members = counted(item.members, "member", "members");
            writeln!(self.text, "  {}: {members} ({})", shown(&item.group_label), shown(&item.why))?;
        }
        Ok(())
    }
}

fn purpose_word(purpose: Purpose) -> &'static str {
    match purpose {
        Purpose::Values => "",
        Purpose::Yield => " (renamed out of the way)",
        Purpose::Park => " (parked)",
    }
}

fn quoted(value: &str) -> String {
    // A value cannot close its own quotes.
    format!("\"{}\"", shown(&value.replace('\\', "\\\\").replace('"', "\\\"")))
}

fn optional(value: Option<&str>) -> String {
    value.map_or_else(|| "(none)".to_owned(), quoted)
}
