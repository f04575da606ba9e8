//! The groups of the scope: given, or chosen from those that the directory has.

use std::collections::BTreeSet;

use super::{InitArgs, ask, broken, source::Source, usage};
use crate::cli::{Context, Exit};
use crate::config::DraftGroup;
use crate::cycle::{CycleError, chain};
use crate::directory::{Survey, SurveyedGroup, survey};
use crate::model::NameForm;
use crate::plan::shown;

/// So many are proposed.
const PROPOSED: usize = 12;

pub async fn choose(
    context: &Context,
    args: &InitArgs,
    source: &Source,
    asks: bool,
) -> Result<Vec<DraftGroup>, Exit> {
    let found = survey(&source.settings, &BTreeSet::new(), true).await.map_err(|error| {
        context.complain(&format!("error: {}", chain(&error)));
        Exit::of_run(&CycleError::Directory(error).into())
    })?;
    if !args.group.is_empty() {
        return check(context, &args.group, &found);
    }
    let proposed = proposals(&found);
    if !asks {
        let names: Vec<String> =
            proposed.iter().map(|g| format!("{} ({})", shown(&g.name), members(g))).collect();
        let text = if names.is_empty() {
            "--group is missing, and no group with members can be seen below the base DN".to_owned()
        } else {
            format!("--group is missing; the directory has, among others: {}", names.join(", "))
        };
        return Err(usage(context, &text));
    }
    let failed = |error| broken(context, &error);
    ask::say(if proposed.is_empty() {
        "\nNo group with members can be seen below the base DN; a name or DN can be given all the same.\n"
    } else {
        "\nGroups of the directory:\n"
    })
    .map_err(failed)?;
    for (no, group) in proposed.iter().enumerate() {
        ask::say(&format!("  {:2}  {} ({})\n", no + 1, shown(&group.name), members(group)))
            .map_err(failed)?;
    }
    loop {
        let answer = ask::line("Which ones? Numbers or names, with commas", None).map_err(failed)?;
        let names: Vec<String> = answer
            .split(',')
            .map(str::trim)
            .filter(|word| !word.is_empty())
            .map(|word| {
                let at = word.parse::<usize>().ok().and_then(|no| no.checked_sub(1));
                at.and_then(|at| proposed.get(at)).map_or_else(|| word.to_owned(), |g| unique(g, &found))
            })
            .collect();
        if let Ok(groups) = check(context, &names, &found) {
            return Ok(groups);
        }
    }
}

/// Its name, or its DN where another group has that name too.
fn unique(group: &SurveyedGroup, found: &Survey) -> String {
    let same = found.groups.iter().filter(|g| g.name.eq_ignore_ascii_case(&group.name)).count();
    if same > 1 { group.group.dn.to_string() } else { group.name.clone() }
}

/// Each name must be a group's; those of a form that only a server can tell are left to the dry run.
fn check(context: &Context, names: &[String], found: &Survey) -> Result<Vec<DraftGroup>, Exit> {
    let mut groups: Vec<DraftGroup> = Vec::new();
    let mut wrong = Vec::new();
    for name in names {
        let is_meant = |g: &&SurveyedGroup| match NameForm::of(name) {
            NameForm::Account(name) | NameForm::Domain { name, .. } => g.name.eq_ignore_ascii_case(&name),
            NameForm::Dn(dn) => g.group.dn == dn,
            NameForm::Anchor(anchor) => g.group.anchor == anchor,
            NameForm::Address(_) => false,
        };
        let group = found.groups.iter().find(is_meant);
        let told = matches!(NameForm::of(name), NameForm::Account(_) | NameForm::Dn(_));
        if group.is_none() && told && found.cut_short.is_none() {
            wrong.push(shown(name));
        } else if groups.iter().all(|g| !g.name.eq_ignore_ascii_case(name)) {
            groups.push(DraftGroup { name: name.clone(), comment: group.map(members) });
        }
    }
    if wrong.is_empty() && !groups.is_empty() {
        return Ok(groups);
    }
    Err(usage(context, &refusal(&wrong, found)))
}

fn refusal(wrong: &[String], found: &Survey) -> String {
    let near: Vec<String> = proposals(found).iter().map(|g| shown(&g.name)).collect();
    let what = match wrong {
        [] => "no group is named".to_owned(),
        _ => format!("no group of the directory is called {}", wrong.join(" or ")),
    };
    match near.as_slice() {
        [] => format!("{what}, and none with members can be seen below the base DN"),
        _ => format!("{what}; there are, among others: {}", near.join(", ")),
    }
}

/// Those that are named for AWS first, then the largest ones.
fn proposals(found: &Survey) -> Vec<&SurveyedGroup> {
    let aws = |g: &SurveyedGroup| g.name.to_lowercase().contains("aws");
    let builtin = |g: &SurveyedGroup| g.group.dn.key().contains("cn=builtin");
    let mut list: Vec<&SurveyedGroup> =
        found.groups.iter().filter(|g| !g.distribution && !builtin(g) && (aws(g) || g.members > 0)).collect();
    list.sort_by(|a, b| (aws(b), b.members).cmp(&(aws(a), a.members)).then_with(|| a.name.cmp(&b.name)));
    list.truncate(PROPOSED);
    list
}

fn members(group: &SurveyedGroup) -> String {
    format!("{} direct member{}", group.members, if group.members == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_does_not_end_in_nothing() {
        let none = Survey::default();
        assert_eq!(
            refusal(&[], &none),
            "no group is named, and none with members can be seen below the base DN"
        );
        assert_eq!(
            refusal(&["A".to_owned(), "B".to_owned()], &none),
            "no group of the directory is called A or B, and none with members can be seen below the base DN"
        );
    }
}
