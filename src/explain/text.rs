//! The answer in words.

use std::fmt::{self, Write};

use super::compose::codes;
use super::near::{How, Near};
use super::{Attribute, Explanation, InTarget, LinkFacts, Members, Membership, NextStep, Standing, Verdict};
use crate::ids::PlanId;
use crate::model::{DisableCause, DisableHow, Kind, Origin};
use crate::plan::{approve_command, summary};
use crate::printable::shown;

/// So many of a list are named.
const NAMED: usize = 20;

/// So many characters of a value are shown.
const LONGEST: usize = 100;

/// The whole answer.
pub fn render(explanation: &Explanation) -> String {
    let mut text = String::new();
    // Writing to a String cannot fail.
    let _ = write(&mut text, explanation);
    text
}

fn write(out: &mut String, e: &Explanation) -> fmt::Result {
    head(out, e)?;
    standing(out, &shown(&e.object.label), &e.scope)?;
    if let Some(members) = &e.members {
        group(out, members)?;
    }
    attributes(out, e)?;
    target(out, e)?;
    memberships(out, &e.memberships)?;
    access(out, e)?;
    next(out, e)?;
    if !e.findings.is_empty() {
        writeln!(out, "\nFindings")?;
        for found in &e.findings {
            writeln!(out, "  {}: {}", found.code, shown(&found.message))?;
            writeln!(out, "    remedy: {}", found.remedy)?;
        }
    }
    if !e.journal.is_empty() {
        writeln!(out, "\nLast writes")?;
        for write in &e.journal {
            let other = write.other.as_ref().map(|o| format!(" {}", shown(o))).unwrap_or_default();
            let how = write.result.unwrap_or("not known how it ended");
            let why = write.error.as_ref().map(|w| format!(" ({})", shown(w))).unwrap_or_default();
            writeln!(out, "  {} cycle {}: {}{other}: {how}{why}", write.at, write.cycle, write.action)?;
        }
    }
    Ok(())
}

fn head(out: &mut String, e: &Explanation) -> fmt::Result {
    let (kind, label) = (e.object.kind, shown(&e.object.label));
    match (e.scope.verdict, e.scope.paths.first()) {
        (Verdict::InScope, Some(path)) => {
            writeln!(out, "The {kind} {label} is in scope, by {}.", shown(&path.to_string()))?;
        }
        (Verdict::InScope, None) => writeln!(out, "The {kind} {label} is in scope.")?,
        (Verdict::NotSynced, _) => {
            writeln!(out, "The {kind} {label} is not synced, though a scope entry leads to it:")?;
        }
        (Verdict::OutOfScope, _) => writeln!(out, "The {kind} {label} is not in scope:")?,
        (Verdict::Unsure, _) => {
            writeln!(out, "Whether the {kind} {label} is in scope cannot be said for sure:")?;
        }
    }
    for lack in &e.scope.lacks {
        writeln!(out, "  - {}", shown(&lack.text))?;
    }
    for doubt in &e.scope.doubts {
        writeln!(out, "  - not read to its end: {}", shown(doubt))?;
    }
    if e.scope.verdict == Verdict::Unsure {
        let may = match e.object.kind {
            Kind::User => "; a group that was read to its end may still lose it",
            Kind::Group => "",
        };
        writeln!(out, "  While that stands, it is not taken to have left the scope{may}.")?;
    }
    Ok(())
}

fn standing(out: &mut String, label: &str, scope: &Standing) -> fmt::Result {
    let told = usize::from(scope.verdict == Verdict::InScope);
    let rest: Vec<String> = scope.paths.iter().skip(told).map(|p| shown(&p.to_string())).collect();
    let count = scope.path_count.saturating_sub(told);
    let at_least = if scope.path_count_cut_short { "at least " } else { "" };
    match (told, rest.as_slice()) {
        (_, []) => {}
        (0, [only]) if count == 1 => writeln!(out, "  The path to it: {only}")?,
        (0, rest) => {
            writeln!(out, "  {at_least}{count} paths lead to it, the shortest first:{}", lines(rest))?
        }
        (_, [only]) if count == 1 => writeln!(out, "  And by one other path: {only}")?,
        (_, rest) => writeln!(out, "  And by {at_least}{count} other paths:{}", lines(rest))?,
    }
    if count > rest.len() && !rest.is_empty() {
        writeln!(out, "    and {} more", count - rest.len())?;
    }
    near(out, label, &scope.nearest)?;
    if let Some(why) = &scope.nearest_unsure {
        let what = if scope.nearest.is_empty() {
            "Which scope group is near is not known"
        } else {
            "There may be nearer ones"
        };
        writeln!(out, "  {what}: {}", shown(why))?;
    }
    Ok(())
}

fn lines(list: &[String]) -> String {
    list.iter().fold(String::new(), |all, line| all + "\n    " + line)
}

fn near(out: &mut String, label: &str, list: &[Near]) -> fmt::Result {
    let own: Vec<String> =
        list.iter().filter(|n| n.how == How::InNoScopeGroup).map(|n| shown(&n.group)).collect();
    if !own.is_empty() {
        let is = if own.len() == 1 { "which is" } else { "which are" };
        writeln!(
            out,
            "  It is in {}, {is} not in the scope, and nothing above leads to a scope group.",
            own.join(", ")
        )?;
    }
    for near in list {
        let (group, by) = (shown(&near.group), shown(&near.by.join(" → ")));
        match near.how {
            How::Above => {
                writeln!(out, "  It is below the scope group {group}, by {by}, and that way does not count.")?
            }
            How::Unread => writeln!(
                out,
                "  It is in the scope group {group}, by {by}, and the read did not show it: a list on that way was not \
                 read to its end, or it is newer than the read."
            )?,
            How::SharedGroup => writeln!(
                out,
                "  The nearest scope group is {group}: both are in {}. The way up from {label}: {by}.",
                shown(near.by.last().map_or("", String::as_str))
            )?,
            How::InNoScopeGroup => {}
        }
    }
    Ok(())
}

fn attributes(out: &mut String, e: &Explanation) -> fmt::Result {
    if e.attributes.is_empty() {
        return Ok(());
    }
    let asked = matches!(e.target, InTarget::There | InTarget::Disabled);
    writeln!(out, "\nAttributes (target = directory{})", if asked { "; ≠: the target differs" } else { "" })?;
    let width = e.attributes.iter().map(|a| a.traced.attribute.len()).max().unwrap_or_default();
    for row in &e.attributes {
        let Attribute { traced, now, differs } = row;
        let mark = if *differs { '≠' } else { ' ' };
        write!(out, "{mark} {:<width$} = {}", traced.attribute, optional(traced.value.as_deref()))?;
        if *differs {
            write!(out, "   the target has {}", optional(now.as_deref()))?;
        }
        writeln!(out)?;
        let sources: Vec<String> = traced
            .sources
            .iter()
            .map(|source| {
                let values: Vec<String> = source.values.iter().take(3).map(|v| quoted(v)).collect();
                let more = source.values.len().saturating_sub(3);
                let more = if more > 0 { format!(" and {more} more") } else { String::new() };
                let values = if values.is_empty() { "empty".to_owned() } else { values.join(", ") };
                format!("{} is {values}{more}", shown(&source.attribute))
            })
            .collect();
        let whole = if traced.whole_entry { "the whole entry" } else { "" };
        let sources = sources.iter().map(String::as_str).chain([whole]).filter(|s| !s.is_empty());
        let sources = sources.collect::<Vec<_>>().join("; ");
        let expression = match shown(&traced.expression) {
            text if text.is_empty() => "mapped to nothing".to_owned(),
            text => format!("from {text}"),
        };
        let sep = if sources.is_empty() { "" } else { ": " };
        writeln!(out, "  {:width$}   {expression}{sep}{sources}", "")?;
        if let Some(error) = &traced.error {
            writeln!(out, "  {:width$}   fails: {}", "", shown(error))?;
        }
    }
    Ok(())
}

fn target(out: &mut String, e: &Explanation) -> fmt::Result {
    writeln!(out, "\nLink")?;
    let (dn, anchor) = (shown(&e.object.dn), e.object.anchor);
    writeln!(out, "  in the directory  {dn} ({anchor})")?;
    let link = e.link.as_ref();
    let id = link.and_then(|l| l.target_id.as_ref().map(|id| (l, id)));
    let Some((link, id)) = id else {
        let met = if link.is_some() { ", though it was met in the directory before" } else { "" };
        return writeln!(out, "  in the target     not linked{met}");
    };
    let origin = match link.origin {
        Some(Origin::Adopted) => "adopted",
        _ => "created by idcsync",
    };
    let there = match e.target {
        InTarget::Gone => "; it is not there any more",
        InTarget::Disabled => "; it is disabled there",
        InTarget::There | InTarget::NotLinked => "",
    };
    writeln!(out, "  in the target     {} ({origin}{there})", shown(id.as_str()))?;
    if let Some(at) = link.last_applied {
        writeln!(out, "  last written      {at}")?;
    }
    if let Some(at) = link.last_cycle {
        writeln!(out, "  last synchronised {at}")?;
    }
    lifecycle(out, link)
}

fn lifecycle(out: &mut String, link: &LinkFacts) -> fmt::Result {
    if let Some(since) = link.out_of_scope_since {
        writeln!(out, "  out of scope      since {since}")?;
    }
    if let Some(coming) = &link.countdown {
        let when = match coming.days_left {
            0 => "at the next cycle".to_owned(),
            1 => "within 1 day".to_owned(),
            days => format!("in {days} days"),
        };
        let what = if coming.what == "delete" { "deleted" } else { "disabled" };
        writeln!(out, "  to be {what:<11} {when} ({})", coming.at)?;
    }
    if let Some(disabled) = &link.disabled {
        let how = match disabled.how {
            DisableHow::Deactivated => "disabled by idcsync",
            DisableHow::Revoked => "revoked by idcsync",
            DisableHow::Reported => "reported by idcsync",
        };
        let why = match disabled.cause {
            DisableCause::OutOfScope => "out of scope for too long",
            DisableCause::Paused => "the profile was paused for too long",
            DisableCause::OutOfReach => "the directory was out of reach for too long",
            DisableCause::AccountDisabled => "the account is disabled in the directory",
            DisableCause::AccountExpired => "the account has expired in the directory",
            DisableCause::Deleted => "deleted in the directory",
        };
        writeln!(out, "  {how} on {}: {why}", disabled.at)?;
    }
    if let Some(since) = link.deleted_in_directory_since {
        writeln!(out, "  deleted           in the directory, known since {since}")?;
    }
    if let Some(since) = link.absent_since {
        writeln!(out, "  not found         in the directory since {since}, which proves no deletion")?;
    }
    if let Some(at) = link.retry_not_before {
        writeln!(
            out,
            "  refused           by the target; tried again after {at}, or when its values change"
        )?;
    }
    Ok(())
}

fn memberships(out: &mut String, list: &[Membership]) -> fmt::Result {
    if list.is_empty() {
        return Ok(());
    }
    writeln!(out, "\nGroups in the target ({})", list.len())?;
    for one in list.iter().take(NAMED) {
        let how = match (&one.through, one.wanted, one.there) {
            (_, None, _) => "a member there; whether by the directory could not be read".to_owned(),
            (_, Some(false), _) => "is a member there, and not by the directory".to_owned(),
            (Some(through), Some(true), true) => format!("a member through {}", shown(through)),
            (None, Some(true), true) => "a direct member".to_owned(),
            (Some(through), Some(true), false) => format!("to be a member, through {}", shown(through)),
            (None, Some(true), false) => "to be a direct member".to_owned(),
        };
        writeln!(out, "  {}: {how}", shown(&one.group))?;
    }
    more(out, list.len())
}

fn access(out: &mut String, e: &Explanation) -> fmt::Result {
    let Some(access) = &e.access else { return Ok(()) };
    let head = match e.object.kind {
        Kind::User => "May use in AWS accounts",
        Kind::Group => "Its members may use in AWS accounts",
    };
    writeln!(out, "\n{head}")?;
    if let Some(why) = &access.unread {
        return writeln!(out, "  It could not be read: {}", shown(why));
    }
    if access.by.is_empty() {
        writeln!(out, "  Nothing, by what is assigned now.")?;
    }
    for granted in access.by.iter().take(NAMED) {
        let way = match &granted.group {
            Some(group) => format!("by the group {}", shown(group)),
            None => "assigned to it directly".to_owned(),
        };
        writeln!(out, "  {} ({way})", summary(&granted.assignments))?;
    }
    more(out, access.by.len())
}

fn more(out: &mut String, count: usize) -> fmt::Result {
    if count > NAMED {
        writeln!(out, "  and {} more (--output json has all)", count - NAMED)?;
    }
    Ok(())
}

/// A few of a list in one line.
fn some(list: &[String]) -> String {
    let names: Vec<String> = list.iter().take(NAMED).map(|name| shown(name)).collect();
    let rest = list.len().saturating_sub(NAMED);
    let rest = if rest > 0 { format!("; and {rest} more") } else { String::new() };
    names.join("; ") + &rest
}

fn group(out: &mut String, m: &Members) -> fmt::Result {
    writeln!(out, "\nMembers")?;
    let people = |count: u64| format!("{count} {}", if count == 1 { "person" } else { "people" });
    let groups = match m.direct_groups.len() {
        1 => "1 group".to_owned(),
        count => format!("{count} groups"),
    };
    writeln!(
        out,
        "  {} in effect: {} directly, {groups} in it",
        people(m.effective),
        people(m.direct.len() as u64)
    )?;
    if m.by_primary_group > 0 {
        writeln!(out, "  {} by primary group", m.by_primary_group)?;
    }
    writeln!(out, "  {} synced, {} members in the target by what idcsync wrote", m.synced, m.in_target)?;
    if m.incomplete.is_empty() && m.incomplete_below.is_empty() {
        writeln!(out, "  The list was read to its end.")?;
    }
    for why in &m.incomplete {
        writeln!(
            out,
            "  The list was not read to its end: {}. While that stands, nobody is taken to have left it; who is \
             disabled, expired or deleted is removed all the same.",
            shown(why)
        )?;
    }
    if !m.incomplete_below.is_empty() {
        writeln!(out, "  Not read to the end below it: {}", some(&m.incomplete_below))?;
    }
    if !m.direct.is_empty() {
        writeln!(out, "  directly: {}", some(&m.direct))?;
    }
    for through in m.through.iter().take(NAMED) {
        let group = shown(&through.group);
        let only = match through.only.len() {
            0 => "nobody by it alone".to_owned(),
            count => format!("{count} by it alone: {}", some(&through.only)),
        };
        writeln!(out, "  through {group}: {}, {only}", people(through.count))?;
    }
    more(out, m.through.len())?;
    if m.through_several > 0 {
        writeln!(out, "  through several of these: {}", people(m.through_several))?;
    }
    for unread in m.unreadable.iter().take(NAMED) {
        writeln!(out, "  unreadable: {} is {}", shown(&unread.dn), shown(&unread.why))?;
    }
    more(out, m.unreadable.len())
}

fn next(out: &mut String, e: &Explanation) -> fmt::Result {
    writeln!(out, "\nNext cycle")?;
    if let Some(paused) = &e.next.paused {
        writeln!(out, "  {}.", shown(paused))?;
    }
    if e.next.steps.is_empty() {
        writeln!(out, "  Nothing to do to it{}.", idle(e))?;
    }
    let mut held = false;
    for NextStep { needed, line, holds, .. } in e.next.steps.iter().take(NAMED) {
        let needed = if *needed { "  [needed for it]" } else { "" };
        writeln!(out, "  {}{needed}", shown(line))?;
        for hold in holds {
            held = true;
            writeln!(out, "    held: {}", shown(hold))?;
        }
    }
    held |= e.next.steps.iter().any(|step| !step.holds.is_empty());
    more(out, e.next.steps.len())?;
    for why in &e.next.withheld {
        writeln!(out, "  not taken away: {}", shown(why))?;
    }
    if held {
        let command =
            approve_command(&PlanId::new(e.next.plan.clone()), Some((e.object.kind, e.object.anchor)));
        writeln!(out, "  Held steps are done once they are approved: {command}")?;
    }
    Ok(())
}

/// Why nothing is done to it: that all is as it should be is said of what was looked at alone.
fn idle(e: &Explanation) -> String {
    if e.scope.verdict != Verdict::InScope {
        return String::new();
    }
    let differs =
        matches!(e.target, InTarget::Gone | InTarget::Disabled) || e.attributes.iter().any(|a| a.differs);
    let refused = e.link.as_ref().is_some_and(|link| link.retry_not_before.is_some());
    let mut why = Vec::new();
    if !e.findings.is_empty() {
        why.push(format!("see the findings ({})", codes(&e.findings)));
    } else if refused {
        why.push("the target has refused it, as said above".to_owned());
    }
    if differs && !refused {
        let else_ = if why.is_empty() { "" } else { " else" };
        why.push(format!(
            "what{else_} the target has otherwise than the directory is found by the next full cycle (`idcsync sync \
             --full`), and repaired or reported"
        ));
    }
    if !e.next.withheld.is_empty() {
        why.push("what may have to go is not proven to".to_owned());
    }
    if why.is_empty() && e.memberships.iter().any(|one| one.wanted != Some(one.there)) {
        why.push("why a membership waits is told with its group (`idcsync explain group NAME`)".to_owned());
    }
    if why.is_empty() && e.members.as_ref().is_some_and(|m| m.synced > m.in_target) {
        why.push(
            "why somebody is not in it yet is told with the user (`idcsync explain user NAME`)".to_owned(),
        );
    }
    match (why.is_empty(), e.target) {
        (true, InTarget::There) => ": the target is as the directory has it".to_owned(),
        (true, _) => String::new(),
        (false, _) => format!(" in the next cycle: {}", why.join("; ")),
    }
}

fn quoted(value: &str) -> String {
    let short: String = value.chars().take(LONGEST).collect();
    let more = if short.len() < value.len() { "…" } else { "" };
    // A value cannot close its own quotes.
    format!("\"{}{more}\"", shown(&short.replace('\\', "\\\\").replace('"', "\\\"")))
}

fn optional(value: Option<&str>) -> String {
    value.map_or_else(|| "(none)".to_owned(), quoted)
}
