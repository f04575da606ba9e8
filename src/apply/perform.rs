//! One step as a call on the target, and what became of it.

use std::borrow::Cow;
use std::time::Duration;

use jiff::Timestamp;
use serde_json::json;

use super::Links;
use crate::ids::TargetId;
use crate::model::{
    Digest, DisableHow, GroupAttributes, Intent, Kind, ObservedUser, UserAttribute, UserAttributes,
};
use crate::plan::{Action, Plan, Step, StepNo};
use crate::target::{Target, TargetError, TargetErrorKind};

/// Everything that the call needs, looked up before it is made.
pub enum Call {
    CreateUser(UserAttributes),
    UpdateUser {
        user: TargetId,
        changed: Vec<UserAttribute>,
        after: UserAttributes,
    },
    /// With its first members.
    CreateGroup(GroupAttributes, Vec<TargetId>),
    UpdateGroup {
        group: TargetId,
        before: GroupAttributes,
        after: GroupAttributes,
    },
    /// Of one group, all added or all taken out.
    Members {
        group: TargetId,
        users: Vec<TargetId>,
        add: bool,
    },
    SetActive {
        user: TargetId,
        active: bool,
    },
    DeleteUser(TargetId),
    DeleteGroup(TargetId),
    /// The state alone is written.
    Nothing(Option<TargetId>),
    /// An id that a step before should have brought is not there; so many steps.
    Impossible(usize),
}

pub enum Performed {
    /// `found`: a look-up showed that it had been done.
    Done {
        id: Option<TargetId>,
        found: bool,
    },
    /// A removal from or of something that does not exist any more.
    Moot(Option<Kind>),
    Failed(TargetError),
    /// Sent, and nobody can say what became of it.
    Unknown(TargetError),
}

impl Performed {
    const DONE: Self = Self::Done { id: None, found: false };
}

/// The call of one batch.
pub fn call(plan: &Plan, steps: &[Cow<'_, Step>], links: &Links) -> Call {
    try_call(plan, steps, links).unwrap_or(Call::Impossible(steps.len()))
}

fn try_call(plan: &Plan, steps: &[Cow<'_, Step>], links: &Links) -> Option<Call> {
    let id = |no| links.target_id(no).or_else(|| plan.objects.get(&no).and_then(|o| o.target_id.clone()));
    let set_active = |user, active| Some(Call::SetActive { user: id(user)?, active });
    let people = |steps: &[Cow<'_, Step>]| -> Option<Vec<TargetId>> {
        let of = |step: &Cow<'_, Step>| match &step.action {
            Action::RemoveStranger { user, .. } => Some(user.clone()),
            other => other.member().and_then(id),
        };
        steps.iter().map(of).collect()
    };
    let (first, rest) = steps.split_first()?;
    match &first.action {
        Action::RebindEntry { .. } => Some(Call::Nothing(None)),
        Action::AdoptUser { id, .. } | Action::AdoptGroup { id, .. } => Some(Call::Nothing(Some(id.clone()))),
        Action::CreateUser { attributes, .. } => Some(Call::CreateUser(attributes.to_attributes())),
        Action::UpdateUser { user, changes, after, .. } => Some(Call::UpdateUser {
            user: id(*user)?,
            changed: changes.iter().map(|c| c.attribute).collect(),
            after: (**after).clone(),
        }),
        Action::CreateGroup { attributes, .. } => {
            Some(Call::CreateGroup((**attributes).clone(), people(rest)?))
        }
        Action::UpdateGroup { group, before, after, .. } => Some(Call::UpdateGroup {
            group: id(*group)?,
            before: (**before).clone(),
            after: (**after).clone(),
        }),
        Action::AddMember { group, .. } => {
            Some(Call::Members { group: id(*group)?, users: people(steps)?, add: true })
        }
        Action::RemoveMember { group, .. } | Action::RemoveStranger { group, .. } => {
            Some(Call::Members { group: id(*group)?, users: people(steps)?, add: false })
        }
        Action::DisableUser { user, how: DisableHow::Deactivated, .. } => set_active(*user, false),
        Action::EnableUser { user, how: DisableHow::Deactivated } => set_active(*user, true),
        Action::DisableUser { .. } | Action::EnableUser { .. } => Some(Call::Nothing(None)),
        Action::DeleteUser { user, .. } => Some(Call::DeleteUser(id(*user)?)),
        Action::DeleteGroup { group, .. } => Some(Call::DeleteGroup(id(*group)?)),
    }
}

/// What is written down before the call: enough to look it up after a crash.
pub fn intent(plan: &Plan, no: StepNo, links: &Links, at: Timestamp) -> Intent {
    let step = &*plan.step(no);
    let object = step.action.object().unwrap_or(crate::ids::LinkNo(0));
    let detail = match &step.action {
        Action::CreateUser { attributes, .. } => json!({
            "userName": attributes.get(UserAttribute::UserName),
            "attributes": attributes.iter().map(|(attribute, _)| attribute).collect::<Vec<_>>(),
            "digest": hex(Digest::of_values(attributes)),
            "reason": plan.reason(step),
        }),
        Action::UpdateUser { changes, after, purpose, .. } => {
            let changed = changes.iter().map(|c| c.attribute).collect::<Vec<_>>();
            json!({
                "attributes": changed,
                "digest": hex(Digest::of_user(&only(after, &changed))),
                "purpose": purpose,
                "reason": plan.reason(step),
            })
        }
        Action::CreateGroup { attributes, .. } => json!({
            "displayName": attributes.display_name,
            "externalId": attributes.external_id,
            "digest": hex(Digest::of_group(attributes)),
        }),
        Action::UpdateGroup { after, purpose, .. } => json!({
            "displayName": after.display_name,
            "digest": hex(Digest::of_group(after)),
            "purpose": purpose,
        }),
        Action::AdoptUser { id, .. } => json!({ "targetId": id }),
        // For who asks later: no other step tells of them.
        Action::AdoptGroup { id, present, .. } => json!({ "targetId": id, "present": present }),
        Action::RemoveMember { proof, .. } => {
            let reason = plan.reason(step);
            json!({ "proof": proof.word(), "groupId": links.target_id(object), "reason": reason })
        }
        Action::RemoveStranger { user, proof, .. } => json!({ "proof": proof.word(), "userId": user }),
        Action::AddMember { .. } => json!({ "reason": plan.reason(step) }),
        Action::DisableUser { cause, how, proof, .. } => {
            json!({ "cause": cause, "how": how, "proof": proof.word(), "reason": plan.reason(step) })
        }
        Action::EnableUser { how, .. } => json!({ "how": how, "reason": plan.reason(step) }),
        Action::DeleteUser { proof, .. } | Action::DeleteGroup { proof, .. } => {
            json!({ "proof": proof.word(), "targetId": links.target_id(object), "reason": plan.reason(step) })
        }
        Action::RebindEntry { name, from, to, .. } => json!({ "entry": name, "from": from, "to": to }),
    };
    let action = step.action.sort().word().to_owned();
    Intent { step: no.0, action, link: object, member: step.action.member(), detail, at }
}

pub fn hex(digest: Digest) -> String {
    digest.as_bytes().iter().map(|b| format!("{b:02x}")).collect()
}

pub fn only(attributes: &UserAttributes, which: &[UserAttribute]) -> UserAttributes {
    which.iter().filter_map(|a| attributes.get(a).map(|v| (*a, v.clone()))).collect()
}

/// One outcome for each step of the batch.
pub async fn perform(call: Call, target: &dyn Target) -> Vec<Performed> {
    let done = |result: Result<(), TargetError>| {
        vec![match result {
            Ok(()) => Performed::DONE,
            Err(error) if error.kind == TargetErrorKind::Ambiguous => Performed::Unknown(error),
            Err(error) => Performed::Failed(error),
        }]
    };
    match call {
        Call::Nothing(id) => vec![Performed::Done { id, found: false }],
        Call::Impossible(steps) => {
            let missing = || TargetError {
                kind: TargetErrorKind::NotFound(None),
                code: "MissingId".to_owned(),
                message: "an object that the step needs has no id in the target".to_owned(),
            };
            (0..steps).map(|_| Performed::Failed(missing())).collect()
        }
        Call::SetActive { user, active } => match target.set_active(&user, active).await {
            // Who is gone cannot sign in.
            Err(TargetError { kind: TargetErrorKind::NotFound(what), .. }) if !active => {
                vec![Performed::Moot(what)]
            }
            other => done(other),
        },
        Call::DeleteUser(user) => done(target.delete_user(&user).await),
        Call::DeleteGroup(group) => done(target.delete_group(&group).await),
        Call::CreateUser(attributes) => vec![create(target, &NewUser(&attributes)).await],
        Call::CreateGroup(attributes, users) => create_group(target, &attributes, &users).await,
        Call::UpdateUser { user, changed, after } => done(target.update_user(&user, &changed, &after).await),
        Call::UpdateGroup { group, before, after } => {
            done(target.update_group(&group, &before, &after).await)
        }
        Call::Members { group, users, add } => members(target, &group, &users, add).await,
    }
}

/// A group with its first members; where one of those is in the way, without them, and they follow.
async fn create_group(
    target: &dyn Target,
    attributes: &GroupAttributes,
    users: &[TargetId],
) -> Vec<Performed> {
    let mut made = create(target, &NewGroup { attributes, members: users }).await;
    let blames_members = |error: &TargetError| {
        matches!(error.kind, TargetErrorKind::Validation | TargetErrorKind::NotFound(_))
    };
    let mut along = true;
    if !users.is_empty() && matches!(&made, Performed::Failed(error) if blames_members(error)) {
        made = create(target, &NewGroup { attributes, members: &[] }).await;
        along = false;
    }
    let rest = match &made {
        Performed::Done { found: false, .. } if along => users.iter().map(|_| Performed::DONE).collect(),
        // Found after a lost answer: nobody has said what became of its members.
        Performed::Done { id: Some(group), .. } if !users.is_empty() => {
            members(target, group, users, true).await
        }
        Performed::Failed(error) | Performed::Unknown(error) => {
            users.iter().map(|_| Performed::Failed(because_of(error))).collect()
        }
        Performed::Done { .. } | Performed::Moot(_) => Vec::new(),
    };
    std::iter::once(made).chain(rest).collect()
}

/// The group could not be made, and so has no members.
fn because_of(error: &TargetError) -> TargetError {
    TargetError { kind: error.kind, code: error.code.clone(), message: error.message.clone() }
}

/// Several memberships in one request; one by one where the request is refused, since it does not say for whom, and a
/// refusal does not prove that nothing happened. Where nobody has answered, nobody is asked a hundred times more: what
/// became of it is looked up later.
async fn members(target: &dyn Target, group: &TargetId, users: &[TargetId], add: bool) -> Vec<Performed> {
    if let [_, _, ..] = users {
        let result = if add {
            target.add_members(group, users).await
        } else {
            target.remove_members(group, users).await
        };
        let all_of = |of: &dyn Fn(TargetError) -> Performed, error: &TargetError| {
            users.iter().map(|_| of(because_of(error))).collect()
        };
        match result {
            Ok(()) => return users.iter().map(|_| Performed::DONE).collect(),
            Err(error) => match error.kind {
                TargetErrorKind::Throttled | TargetErrorKind::Unavailable | TargetErrorKind::AccessDenied => {
                    return all_of(&Performed::Failed, &error);
                }
                TargetErrorKind::Ambiguous => return all_of(&Performed::Unknown, &error),
                _ => {}
            },
        }
    }
    let mut all: Vec<Performed> = Vec::with_capacity(users.len());
    for user in users {
        let one = member(target, group, user, add).await;
        let broken = match &one {
            Performed::Failed(error) | Performed::Unknown(error) if error.is_of_the_whole() => {
                Some(because_of(error))
            }
            _ => None,
        };
        all.push(one);
        if let Some(error) = broken {
            // Not sent by themselves; whether the refused request had done a part of it is looked up.
            let rest = users.len() - all.len();
            all.extend((0..rest).map(|_| Performed::Unknown(because_of(&error))));
            break;
        }
    }
    all
}

async fn member(target: &dyn Target, group: &TargetId, user: &TargetId, add: bool) -> Performed {
    let one = std::slice::from_ref(user);
    let result =
        if add { target.add_members(group, one).await } else { target.remove_members(group, one).await };
    match result {
        Ok(()) => Performed::DONE,
        Err(error) if matches!(error.kind, TargetErrorKind::Ambiguous | TargetErrorKind::InPart) => {
            member_after(target, group, user, add, error).await
        }
        // Who is gone is a member of nothing, and what is gone has no members.
        Err(error) => match error.kind {
            TargetErrorKind::NotFound(what) if !add => Performed::Moot(what),
            _ => Performed::Failed(error),
        },
    }
}

/// What became of a membership call whose answer was lost, or says too little.
async fn member_after(
    target: &dyn Target,
    group: &TargetId,
    user: &TargetId,
    wanted: bool,
    error: TargetError,
) -> Performed {
    match target.is_member(group, user).await {
        Ok(is) if is == wanted => Performed::Done { id: None, found: true },
        Ok(_) if error.kind == TargetErrorKind::InPart => {
            Performed::Failed(TargetError { kind: TargetErrorKind::Validation, ..error })
        }
        Ok(_) => Performed::Failed(TargetError { kind: TargetErrorKind::Unavailable, ..error }),
        Err(_) => Performed::Unknown(TargetError { kind: TargetErrorKind::Ambiguous, ..error }),
    }
}

#[async_trait::async_trait]
trait New: Send + Sync {
    async fn create(&self, target: &dyn Target) -> Result<TargetId, TargetError>;
    /// The object that holds the name, and whether it is what was to be created.
    async fn look_up(&self, target: &dyn Target) -> Result<Option<(TargetId, bool)>, TargetError>;
}

struct NewUser<'a>(&'a UserAttributes);
struct NewGroup<'a> {
    attributes: &'a GroupAttributes,
    members: &'a [TargetId],
}

#[async_trait::async_trait]
impl New for NewUser<'_> {
    async fn create(&self, target: &dyn Target) -> Result<TargetId, TargetError> {
        target.create_user(self.0).await
    }

    async fn look_up(&self, target: &dyn Target) -> Result<Option<(TargetId, bool)>, TargetError> {
        let Some(name) = self.0.get(&UserAttribute::UserName) else { return Ok(None) };
        let found = target.find_user(name).await?;
        Ok(found.map(|(id, user)| (id, same_user(&user, self.0))))
    }
}

/// Whether a user has all that was to be written.
pub fn same_user(found: &ObservedUser, wanted: &UserAttributes) -> bool {
    wanted.iter().all(|(attribute, value)| found.attributes.get(attribute) == Some(value))
}

#[async_trait::async_trait]
impl New for NewGroup<'_> {
    async fn create(&self, target: &dyn Target) -> Result<TargetId, TargetError> {
        target.create_group(self.attributes, self.members).await
    }

    async fn look_up(&self, target: &dyn Target) -> Result<Option<(TargetId, bool)>, TargetError> {
        let wanted = self.attributes;
        let found = target.find_group(&wanted.display_name).await?;
        let same = |group: &GroupAttributes| {
            group.description == wanted.description
                && (wanted.external_id.is_none() || group.external_id == wanted.external_id)
        };
        Ok(found.map(|(id, group)| (id, same(&group.attributes))))
    }
}

/// How often a create whose answer was lost is looked up and tried again.
const CREATE_ATTEMPTS: u32 = 3;

/// A create whose answer is lost is looked up before it is repeated; a conflict is only ours after such a loss.
async fn create(target: &dyn Target, new: &dyn New) -> Performed {
    let mut lost = false;
    let mut attempt = 0;
    loop {
        attempt += 1;
        let error = match new.create(target).await {
            Ok(id) => return Performed::Done { id: Some(id), found: false },
            Err(error) => error,
        };
        match error.kind {
            TargetErrorKind::Ambiguous => lost = true,
            TargetErrorKind::Conflict if lost => {}
            // An earlier attempt may still have its effect.
            _ if lost => return Performed::Unknown(error),
            _ => return Performed::Failed(error),
        }
        // The effect may follow the lost answer by a little.
        tokio::time::sleep(Duration::from_millis(300) * attempt).await;
        match new.look_up(target).await {
            Ok(Some((id, true))) => return Performed::Done { id: Some(id), found: true },
            Ok(Some((_, false))) => return Performed::Failed(error),
            Ok(None) if attempt < CREATE_ATTEMPTS => {}
            Ok(None) | Err(_) => return Performed::Unknown(error),
        }
    }
}

pub fn renames_user(action: &Action) -> bool {
    matches!(action, Action::UpdateUser { changes, .. }
        if changes.iter().any(|c| c.attribute == UserAttribute::UserName))
}

/// Whether the store says that a userName cannot be changed at all (unlike: is taken, is malformed, is too long).
pub fn refuses_rename(error: &TargetError) -> bool {
    const SAYINGS: &[&str] = &[
        "immutable",
        "read-only",
        "readonly",
        "not mutable",
        "not modifiable",
        "not updatable",
        "cannot be changed",
        "cannot be modified",
        "cannot be updated",
        "can't be changed",
        "can't be modified",
        "can't be updated",
        "cannot change",
        "cannot modify",
        "cannot update",
        "update is not supported",
        "updating username is not supported",
        "changing username is not supported",
    ];
    let message = error.message.to_lowercase();
    error.kind == TargetErrorKind::Validation
        && message.contains("username")
        && SAYINGS.iter().any(|saying| message.contains(saying))
}

/// The kind of object that a step is on, for findings.
pub fn kind(plan: &Plan, step: &Step) -> Option<Kind> {
    step.action.object().and_then(|o| plan.objects.get(&o)).map(|o| o.kind)
}
