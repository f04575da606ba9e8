//! After a crash: what was written down as intended and has no outcome is looked up in the target, before anything
//! else is done to that object.

use std::collections::BTreeSet;

use jiff::Timestamp;
use serde_json::Value;

use super::perform::{hex, only};
use super::{Journal, JournalError, Links};
use crate::ids::{LinkNo, TargetId};
use crate::model::{
    Digest, Disabled, Link, Observed, Origin, Outcome, PendingIntent, StepResult, UserAttribute, Wants,
};
use crate::target::{Target, TargetError, TargetErrorKind};

#[derive(Debug, thiserror::Error)]
pub enum RecoverError {
    #[error("what became of steps that an earlier run left unfinished could not be looked up")]
    Target(#[source] TargetError),
    #[error(transparent)]
    Journal(#[from] JournalError),
}

/// Looks up every unfinished step and records what was found. Returns how many there were.
pub async fn recover(
    pending: &[PendingIntent],
    target: &dyn Target,
    journal: &dyn Journal,
    links: &mut Links,
    now: Timestamp,
) -> Result<usize, RecoverError> {
    let mut outcomes = Vec::new();
    let mut changed = BTreeSet::new();
    for step in pending {
        changed.extend(groups_to_forget(step, links));
        let found = look_up(step, target, links).await.map_err(RecoverError::Target)?;
        let result = if found { StepResult::Found } else { StepResult::NotDone };
        outcomes.push(Outcome { seq: step.seq, result, at: now });
        changed.insert(step.intent.link);
    }
    let links: Vec<&Link> = changed.into_iter().filter_map(|no| links.get(no)).collect();
    if !outcomes.is_empty() {
        journal.record(&outcomes, &links).await?;
    }
    Ok(outcomes.len())
}

fn text<'v>(detail: &'v Value, key: &str) -> Option<&'v str> {
    detail.get(key).and_then(Value::as_str)
}

fn attributes(detail: &Value) -> Vec<UserAttribute> {
    let names = detail.get("attributes").and_then(Value::as_array);
    names.into_iter().flatten().filter_map(Value::as_str).filter_map(UserAttribute::parse).collect()
}

/// Whether the step was done; brings the link up to date where it was.
async fn look_up(step: &PendingIntent, target: &dyn Target, links: &mut Links) -> Result<bool, TargetError> {
    let (no, detail) = (step.intent.link, &step.intent.detail);
    match step.intent.action.as_str() {
        "create-user" => {
            let Some(name) = text(detail, "userName") else { return Ok(false) };
            let Some((id, user)) = target.find_user(name).await? else { return Ok(false) };
            let written = only(&user.attributes, &attributes(detail));
            // The same name with other values is somebody else's: the plan decides about it.
            if Some(hex(Digest::of_user(&written)).as_str()) != text(detail, "digest")
                || taken(links, no, &id)
            {
                return Ok(false);
            }
            if let Some(link) = links.get_mut(no) {
                link.digest = Some(Digest::of_user(&written));
                link.name = Some(name.to_owned());
                link.email = written.get(&UserAttribute::Email).cloned();
                link.target_id = Some(id);
                link.origin = Origin::Created;
                link.retry = None;
            }
            for group in groups_of(links, no) {
                if let Some(link) = links.get_mut(group) {
                    link.applied.remove(no.0);
                }
            }
            Ok(true)
        }
        "create-group" => {
            let Some(name) = text(detail, "displayName") else { return Ok(false) };
            let Some((id, group)) = target.find_group(name).await? else { return Ok(false) };
            let external_id = group.attributes.external_id.filter(|_| text(detail, "externalId").is_some());
            let written = crate::model::GroupAttributes { external_id, ..group.attributes };
            if Some(hex(Digest::of_group(&written)).as_str()) != text(detail, "digest")
                || taken(links, no, &id)
            {
                return Ok(false);
            }
            if let Some(link) = links.get_mut(no) {
                link.digest = Some(Digest::of_group(&written));
                link.name = Some(written.display_name);
                link.target_id = Some(id);
                link.origin = Origin::Created;
                link.applied.clear();
                link.filled = false;
                link.retry = None;
            }
            Ok(true)
        }
        "update-user" => {
            let Some(id) = links.target_id(no) else { return Ok(false) };
            let wants = Wants { users: BTreeSet::from([id.clone()]), ..Wants::default() };
            let Observed { users, .. } = target.observe(&wants).await?;
            let found = users.get(&id).is_some_and(|user| {
                let written = only(&user.attributes, &attributes(detail));
                Some(hex(Digest::of_user(&written)).as_str()) == text(detail, "digest")
            });
            // Either way the plan compares with what the target has.
            if let Some(link) = links.get_mut(no) {
                link.digest = None;
                if let Some(user) = users.get(&id) {
                    link.name = user.attributes.get(&UserAttribute::UserName).cloned();
                    link.email = user.attributes.get(&UserAttribute::Email).cloned();
                }
            }
            Ok(found)
        }
        "update-group" => {
            let Some(id) = links.target_id(no) else { return Ok(false) };
            let wants = Wants { groups: BTreeSet::from([id.clone()]), ..Wants::default() };
            let Observed { groups, .. } = target.observe(&wants).await?;
            let found = groups.get(&id).is_some_and(|group| {
                Some(hex(Digest::of_group(&group.attributes)).as_str()) == text(detail, "digest")
            });
            if let Some(link) = links.get_mut(no) {
                link.digest = None;
                if let Some(group) = groups.get(&id) {
                    link.name = Some(group.attributes.display_name.clone());
                }
            }
            Ok(found)
        }
        "add-member" | "remove-member" => {
            let added = step.intent.action == "add-member";
            // Someone who belongs to nobody in the directory has no number; the plan finds them again.
            let Some(member) = step.intent.member else { return Ok(false) };
            let (Some(group), Some(user)) = (links.target_id(no), links.target_id(member)) else {
                return Ok(false);
            };
            let is = match target.is_member(&group, &user).await {
                // One of them is gone, which must not keep everything else from going on.
                Err(TargetError { kind: TargetErrorKind::NotFound(_), .. }) => false,
                answer => answer?,
            };
            if let Some(link) = links.get_mut(no) {
                if is {
                    link.applied.insert(member.0);
                } else {
                    link.applied.remove(member.0);
                }
            }
            Ok(is == added)
        }
        "disable-user" | "enable-user" => {
            let Some(id) = links.target_id(no) else { return Ok(false) };
            let wanted = step.intent.action == "disable-user";
            let wants = Wants { users: BTreeSet::from([id.clone()]), ..Wants::default() };
            let Observed { users, .. } = target.observe(&wants).await?;
            let found = users.get(&id).is_some_and(|user| user.disabled == wanted);
            if let Some(link) = links.get_mut(no).filter(|_| found) {
                let word = |key| detail.get(key).cloned().unwrap_or_default();
                link.disabled =
                    match (serde_json::from_value(word("cause")), serde_json::from_value(word("how"))) {
                        (Ok(cause), Ok(how)) if wanted => Some(Disabled { at: step.intent.at, cause, how }),
                        _ => None,
                    };
            }
            Ok(found)
        }
        "delete-user" | "delete-group" => {
            let Some(id) = links.target_id(no) else { return Ok(true) };
            let mut wants = Wants::default();
            if step.intent.action == "delete-user" {
                wants.users.insert(id.clone());
            } else {
                wants.groups.insert(id.clone());
            }
            let observed = target.observe(&wants).await?;
            let gone = !observed.users.contains_key(&id) && !observed.groups.contains_key(&id);
            if gone {
                links.forget(no);
            }
            Ok(gone)
        }
        // An adoption writes to the state alone: it was not recorded, so it was not done.
        _ => Ok(false),
    }
}

/// Whether another object of ours has this id.
fn taken(links: &Links, no: LinkNo, id: &TargetId) -> bool {
    links.iter().any(|l| l.no != no && l.target_id.as_ref() == Some(id))
}

/// Groups whose record a create that turns out to be done changes.
fn groups_to_forget(step: &PendingIntent, links: &Links) -> Vec<LinkNo> {
    if matches!(step.intent.action.as_str(), "create-user" | "delete-user") {
        groups_of(links, step.intent.link)
    } else {
        Vec::new()
    }
}

fn groups_of(links: &Links, user: LinkNo) -> Vec<LinkNo> {
    links.iter().filter(|l| l.applied.contains(user.0)).map(|l| l.no).collect()
}
