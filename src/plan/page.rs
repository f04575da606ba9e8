//! A plan as one page that can be mailed to whoever is to approve it: it needs nothing but itself, runs nothing, and stays
//! openable whatever the number of steps.

use std::borrow::Cow;
use std::cmp::Reverse;
use std::fmt::Write;

use askama::Template;

use super::approve::{ApprovedPlan, Approving};
use super::assigned::Assigned;
use super::counts::{by_sort, counted, grouped, told, words};
use super::deed::Value;
use super::grouped::{Numbered, ObjectSteps, Part};
use super::json::PlanView;
use super::sort::Sort;
use super::step::{Action, Plan, Withheld};
use super::steps::whole;
use super::text::SESSIONS;
use crate::markup::source_hash;
use crate::model::{Finding, Kind};

/// In the template without the end of its last line.
const STYLE: &str = include_str!("../../templates/page.css");

/// Objects that are shown unfolded, in each part.
const UNFOLDED: usize = 50;
/// Steps that are shown of one part, and of one object in it.
const TAKEN: (usize, usize) = (3000, 500);
const REST: (usize, usize) = (1500, 100);
const HELD: usize = 500;
const FINDINGS: usize = 500;

/// Writes a plan as a page.
pub struct PlanPage<'a> {
    pub view: &'a PlanView<'a>,
    /// The name of the plan file that is written beside it.
    pub json: Option<&'a str>,
}

#[derive(Template)]
#[template(path = "plan.html")]
struct Page<'a> {
    plan: &'a Plan,
    style_hash: String,
    json_file: &'a str,
    json_written: bool,
    nothing: Option<&'static str>,
    counts: Vec<Count>,
    sessions: bool,
    sessions_last: &'static str,
    unread_assignments: bool,
    held_count: String,
    approving: Approving,
    held_reasons: Vec<(String, String)>,
    held: Shown<Row<'a>>,
    parts: Vec<PartView<'a>>,
    withheld: &'a [Withheld],
    findings_count: String,
    findings: Shown<&'a Finding>,
}

struct Count {
    number: String,
    what: &'static str,
    taken: bool,
}

/// Rows, and what is said of those that are left out.
struct Shown<T> {
    rows: Vec<T>,
    more: Option<String>,
}

struct PartView<'a> {
    id: &'static str,
    title: &'static str,
    /// Of the first column.
    column: &'static str,
    taken: bool,
    users: bool,
    told: String,
    open: Vec<ObjectView<'a>>,
    folded: Vec<ObjectView<'a>>,
    folded_title: String,
    more: Option<String>,
}

struct ObjectView<'a> {
    label: &'a str,
    dn: &'a str,
    told: String,
    rows: Vec<Row<'a>>,
    more: Option<String>,
}

struct Row<'a> {
    number: String,
    mark: char,
    class: &'static str,
    deed: Cow<'static, str>,
    who: &'a str,
    group: Option<&'a str>,
    values: Vec<Value<'a>>,
    assigned: Option<String>,
    reason: String,
    held: Vec<String>,
    approved: bool,
}

impl PlanPage<'_> {
    pub fn write_to(&self, out: &mut dyn Write) -> askama::Result<()> {
        let approved = self.view.approved;
        let plan = approved.plan();
        let parts = [
            Part::Taken(Kind::User),
            Part::Taken(Kind::Group),
            Part::Entries,
            Part::Rest(Kind::User),
            Part::Rest(Kind::Group),
        ];
        let mut findings: Vec<&Finding> = self.view.findings.iter().collect();
        findings.sort_by_key(|f| (Reverse(f.code.severity()), f.code, &f.subject.label, &f.message));
        let page = Page {
            plan,
            style_hash: source_hash(STYLE.strip_suffix('\n').unwrap_or(STYLE)),
            json_file: self.json.unwrap_or("plan.json"),
            json_written: self.json.is_some(),
            nothing: approved.nothing(),
            counts: counts(approved),
            sessions: approved.ends_sessions(),
            sessions_last: SESSIONS,
            unread_assignments: plan.assigned == Assigned::Unread,
            held_count: counted(approved.held().len() as u64, "step", "steps"),
            approving: approved.how_to_approve(),
            held_reasons: (approved.held_reasons().into_iter())
                .map(|(why, count)| (why, counted(count, "step", "steps")))
                .collect(),
            held: shown(
                approved.held().keys().map(|no| approved.row((*no, plan.step(*no)))),
                HELD,
                ("held step", "held steps"),
            ),
            parts: parts.into_iter().filter_map(|part| approved.part_view(part)).collect(),
            withheld: &plan.withheld,
            findings_count: counted(findings.len() as u64, "finding", "findings"),
            findings: shown(findings.into_iter(), FINDINGS, ("finding", "findings")),
        };
        page.render_into(out)
    }
}

fn counts(approved: &ApprovedPlan) -> Vec<Count> {
    let all = by_sort(approved.chosen().map(|(_, step)| step));
    let of = |(sort, count)| {
        let (one, many) = words(sort);
        let taken = matches!(
            sort,
            Sort::DeleteUser | Sort::DeleteGroup | Sort::DisableUser | Sort::RevokeUser | Sort::RemoveMember
        );
        Count { number: grouped(count), what: if count == 1 { one } else { many }, taken }
    };
    all.into_iter().map(of).collect()
}

fn shown<T>(rows: impl ExactSizeIterator<Item = T>, most: usize, words: (&str, &str)) -> Shown<T> {
    let left = rows.len().saturating_sub(most);
    let more = (left > 0).then(|| left_out(&counted(left as u64, words.0, words.1)));
    Shown { rows: rows.take(most).collect(), more }
}

fn left_out(what: &str) -> String {
    format!("Left out here, to keep the page openable: {what}. The plan file (plan.json) has all.")
}

impl ApprovedPlan {
    fn part_view(&self, part: Part) -> Option<PartView<'_>> {
        let (id, users) = match part {
            Part::Taken(Kind::User) => ("taken-users", true),
            Part::Taken(Kind::Group) => ("taken-groups", false),
            Part::Entries => ("entries", true),
            Part::Rest(Kind::User) => ("users", true),
            Part::Rest(Kind::Group) => ("groups", false),
        };
        let taken = matches!(part, Part::Taken(_));
        let (mut budget, most) = if taken { TAKEN } else { REST };
        let objects = self.part(part);
        let told_of = told(&self.sorts_of(objects.iter().flat_map(ObjectSteps::steps)));
        let mut views = Vec::new();
        let mut left = objects.len();
        for object in &objects {
            if budget == 0 {
                break;
            }
            let view = self.object_view(object, most.min(budget));
            budget -= view.rows.len();
            left -= 1;
            views.push(view);
        }
        let more = (left > 0).then(|| {
            let steps = objects.iter().skip(objects.len() - left).flat_map(ObjectSteps::steps);
            let what = if users { ("user", "users") } else { ("group", "groups") };
            left_out(&format!("{} ({})", counted(left as u64, what.0, what.1), told(&self.sorts_of(steps))))
        });
        if part == Part::Entries {
            let plan = self.plan();
            views = self.rebinds().map(|step| self.entry_view(plan, step)).collect();
        }
        if views.is_empty() {
            return None;
        }
        let folded = views.split_off(views.len().min(UNFOLDED));
        let what = if users { ("more user", "more users") } else { ("more group", "more groups") };
        Some(PartView {
            id,
            title: part.title(),
            column: if part == Part::Entries { "Entry" } else { "User" },
            taken,
            users,
            told: told_of,
            open: views,
            folded_title: counted(folded.len() as u64, what.0, what.1),
            folded,
            more,
        })
    }

    fn object_view<'a>(&'a self, found: &ObjectSteps<'a>, most: usize) -> ObjectView<'a> {
        let rows: Vec<_> = found.steps().take(most).map(|no| self.row((no, self.plan().step(no)))).collect();
        let left = found.steps().skip(rows.len());
        let more = (found.len() > rows.len()).then(|| left_out(&told(&self.sorts_of(left))));
        let told = told(&self.sorts_of(found.steps()));
        ObjectView { label: &found.object.label, dn: &found.object.dn, told, rows, more }
    }

    fn entry_view<'a>(&'a self, plan: &'a Plan, step: Numbered<'a>) -> ObjectView<'a> {
        let mut row = self.row(step.clone());
        if let Action::RebindEntry { from, to, .. } = &step.1.action {
            row.reason = format!("{}: {from} → {to}", plan.reason(&step.1));
        }
        ObjectView { label: row.who, dn: "", told: String::new(), rows: vec![row], more: None }
    }

    fn row<'a>(&'a self, (no, step): Numbered<'a>) -> Row<'a> {
        let (plan, action) = (self.plan(), &step.action);
        let object = action.object().map_or("?", |object| plan.label(object));
        let (who, group) = match action.sort() {
            Sort::AddMember | Sort::RemoveMember => (plan.member_label(&step), Some(object)),
            _ => (object, None),
        };
        let (who, values) = match whole(&step).map(|step| &step.action) {
            Some(Action::RebindEntry { name, .. }) => (name.as_str(), Vec::new()),
            Some(action) => (who, action.values()),
            None => (who, Vec::new()),
        };
        let mark = action.mark();
        Row {
            number: grouped(u64::from(no.0) + 1),
            mark,
            class: match mark {
                '+' => "plus",
                '-' => "minus",
                _ => "change",
            },
            deed: action.deed(),
            who,
            group,
            values,
            assigned: self.assigned_line(no),
            reason: plan.reason(&step),
            held: self.held().get(&no).into_iter().flatten().map(ToString::to_string).collect(),
            approved: self.approved().contains(&no),
        }
    }
}
