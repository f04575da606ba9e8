//! After a crash: what was written down as intended and has no outcome is looked up in the target, before anything
//! else is done to that object.

use std::collections::{BTreeMap, BTreeSet};

use futures::{StreamExt as _, TryStreamExt as _, stream};
use jiff::Timestamp;
use serde_json::Value;

use super::perform::{hex, only};
use super::{Journal, JournalError, Links};
use crate::ids::{LinkNo, TargetId};
use crate::model::{
    Digest, Disabled, GroupAttributes, Kind, Link, ObservedGroup, ObservedUser, Origin, Outcome,
    PendingIntent, StepResult, UserAttribute, Wants,
};
use crate::target::{Target, TargetError, TargetErrorKind};

#[derive(Debug, thiserror::Error)]
pub enum RecoverError {
    #[error("what became of steps that an earlier run left unfinished could not be looked up")]
    Target(#[source] TargetError),
    #[error(transparent)]
    Journal(#[from] JournalError),
}

/// Look-ups on their way at once: enough that the round trip does not cap the rate.
const IN_FLIGHT: usize = 16;

/// Looks up every unfinished step and records what was found. Returns how many there were.
///
/// The target is asked side by side: there may be hundreds of steps (a request over SCIM has a hundred memberships), and
/// the next cycle waits for them all. Objects that a lost create may have made come first, since memberships that were
/// sent with it are asked for by their ids. What is concluded is the same as one by one, in the order of the steps.
///
/// `elsewhere`: what other profiles have linked there, which is none of ours however like it is.
pub async fn recover(
    pending: &[PendingIntent],
    target: &dyn Target,
    journal: &dyn Journal,
    links: &mut Links,
    elsewhere: &BTreeMap<(Kind, TargetId), String>,
    now: Timestamp,
) -> Result<usize, RecoverError> {
    let mut outcomes = Vec::new();
    let mut changed = BTreeSet::new();
    let creates = |step: &&PendingIntent| step.intent.action.starts_with("create-");
    let (first, rest): (Vec<&PendingIntent>, Vec<&PendingIntent>) = pending.iter().partition(creates);
    for steps in [first, rest] {
        let asks: Vec<_> = steps.iter().map(|step| look_up(step, target, links)).collect();
        let asked = stream::iter(asks).buffered(IN_FLIGHT).try_collect::<Vec<Found>>().await;
        let asked = asked.map_err(RecoverError::Target)?;
        for (step, found) in steps.into_iter().zip(asked) {
            changed.extend(groups_to_forget(step, links));
            let done = conclude(step, found, links, elsewhere);
            let result = if done { StepResult::Found } else { StepResult::NotDone };
            outcomes.push(Outcome { seq: step.seq, result, at: now });
            changed.insert(step.intent.link);
        }
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

/// What the target answered. `Nothing`: there was nothing to ask it for.
enum Found {
    Nothing,
    User(Option<(TargetId, ObservedUser)>),
    Group(Option<(TargetId, ObservedGroup)>),
    Member(bool),
    /// Whether it is gone.
    Gone(bool),
}

async fn look_up(step: &PendingIntent, target: &dyn Target, links: &Links) -> Result<Found, TargetError> {
    let (no, detail) = (step.intent.link, &step.intent.detail);
    let user = async |id: TargetId| {
        let wants = Wants { users: BTreeSet::from([id.clone()]), ..Wants::default() };
        Ok::<_, TargetError>(target.observe(&wants).await?.users.remove(&id).map(|user| (id, user)))
    };
    let group = async |id: TargetId| {
        let wants = Wants { groups: BTreeSet::from([id.clone()]), ..Wants::default() };
        Ok::<_, TargetError>(target.observe(&wants).await?.groups.remove(&id).map(|group| (id, group)))
    };
    let id = links.target_id(no);
    Ok(match (step.intent.action.as_str(), id) {
        ("create-user", _) => match text(detail, "userName") {
            Some(name) => Found::User(target.find_user(name).await?),
            None => Found::Nothing,
        },
        ("create-group", _) => match text(detail, "displayName") {
            Some(name) => Found::Group(target.find_group(name).await?),
            None => Found::Nothing,
        },
        ("update-user" | "disable-user" | "enable-user", Some(id)) => Found::User(user(id).await?),
        ("update-group", Some(id)) => Found::Group(group(id).await?),
        ("add-member" | "remove-member", Some(id)) => {
            // Someone who belongs to nobody in the directory has no number; the plan finds them again.
            let Some(member) = step.intent.member.and_then(|no| links.target_id(no)) else {
                return Ok(Found::Nothing);
            };
            match target.is_member(&id, &member).await {
                // One of them is gone, which must not keep everything else from going on.
                Err(TargetError { kind: TargetErrorKind::NotFound(_), .. }) => Found::Member(false),
                answer => Found::Member(answer?),
            }
        }
        ("delete-user", Some(id)) => Found::Gone(user(id).await?.is_none()),
        ("delete-group", Some(id)) => Found::Gone(group(id).await?.is_none()),
        ("delete-user" | "delete-group", None) => Found::Gone(true),
        // An adoption writes to the state alone: it was not recorded, so it was not done.
        _ => Found::Nothing,
    })
}

/// Whether the step was done; brings the link up to date where it was.
fn conclude(
    step: &PendingIntent,
    found: Found,
    links: &mut Links,
    elsewhere: &BTreeMap<(Kind, TargetId), String>,
) -> bool {
    let (no, detail) = (step.intent.link, &step.intent.detail);
    let others = |kind, id: &TargetId| elsewhere.contains_key(&(kind, id.clone()));
    let is_as_written = |digest: Digest| Some(hex(digest).as_str()) == text(detail, "digest");
    match (step.intent.action.as_str(), found) {
        ("create-user", Found::User(Some((id, user)))) => {
            let written = only(&user.attributes, &attributes(detail));
            // The same name with other values is somebody else's: the plan decides about it.
            if !is_as_written(Digest::of_user(&written)) || taken(links, no, &id) || others(Kind::User, &id) {
                return false;
            }
            if let Some(link) = links.get_mut(no) {
                link.digest = Some(Digest::of_user(&written));
                link.name = text(detail, "userName").map(str::to_owned);
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
            true
        }
        ("create-group", Found::Group(Some((id, group)))) => {
            let external_id = group.attributes.external_id.filter(|_| text(detail, "externalId").is_some());
            let written = GroupAttributes { external_id, ..group.attributes };
            if !is_as_written(Digest::of_group(&written)) || taken(links, no, &id) || others(Kind::Group, &id)
            {
                return false;
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
            true
        }
        ("update-user", Found::User(user)) => {
            let user = user.map(|(_, user)| user.attributes);
            let done = user
                .as_ref()
                .is_some_and(|user| is_as_written(Digest::of_user(&only(user, &attributes(detail)))));
            // Either way the plan compares with what the target has.
            if let Some(link) = links.get_mut(no) {
                link.digest = None;
                if let Some(user) = user {
                    link.name = user.get(&UserAttribute::UserName).cloned();
                    link.email = user.get(&UserAttribute::Email).cloned();
                }
            }
            done
        }
        ("update-group", Found::Group(group)) => {
            let group = group.map(|(_, group)| group.attributes);
            let done = group.as_ref().is_some_and(|group| is_as_written(Digest::of_group(group)));
            if let Some(link) = links.get_mut(no) {
                link.digest = None;
                if let Some(group) = group {
                    link.name = Some(group.display_name);
                }
            }
            done
        }
        (action @ ("add-member" | "remove-member"), Found::Member(is)) => {
            if let (Some(link), Some(member)) = (links.get_mut(no), step.intent.member) {
                if is {
                    link.applied.insert(member.0);
                } else {
                    link.applied.remove(member.0);
                }
            }
            is == (action == "add-member")
        }
        (action @ ("disable-user" | "enable-user"), Found::User(user)) => {
            let wanted = action == "disable-user";
            let done = user.is_some_and(|(_, user)| user.disabled == wanted);
            if let Some(link) = links.get_mut(no).filter(|_| done) {
                let word = |key| detail.get(key).cloned().unwrap_or_default();
                link.disabled =
                    match (serde_json::from_value(word("cause")), serde_json::from_value(word("how"))) {
                        (Ok(cause), Ok(how)) if wanted => Some(Disabled { at: step.intent.at, cause, how }),
                        _ => None,
                    };
            }
            done
        }
        (_, Found::Gone(true)) => {
            if links.target_id(no).is_some() {
                links.forget(no);
            }
            true
        }
        _ => false,
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
