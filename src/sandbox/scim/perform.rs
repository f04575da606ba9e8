//! The operations themselves, against the store.

use serde_json::{Map, Value};
use uuid::Uuid;

use super::error::ScimError;
use super::filter::{self, GroupFilter, UserFilter};
use super::list::Pager;
use super::operation::ScimOperation;
use super::patch;
use super::patch_group::{self, GroupPatch, Stumble};
use super::patch_user::{self, WroteEmails};
use super::query::{self, ListQuery};
use super::route::{Route, ScimRequest};
use super::{ScimSettings, about, group, user};
use crate::sandbox::persist::Books;
use crate::sandbox::store::{
    Change, ExternalId, Group, GroupId, MembershipId, Millis, ResourceId, Store, User, UserId,
};

/// What an operation works with.
#[derive(Debug)]
pub struct Context<'a> {
    pub books: &'a mut Books,
    pub settings: &'a ScimSettings,
    pub store_id: &'a str,
    /// Of the external ids that SCIM knows.
    pub issuer: &'a str,
    pub now: Millis,
}

/// An answer that is no error.
#[derive(Debug, Clone, PartialEq)]
pub struct Answer {
    pub status: u16,
    pub body: Option<Value>,
}

impl Answer {
    fn ok(body: Value) -> Self {
        Self { status: 200, body: Some(body) }
    }

    fn created(body: Value) -> Self {
        Self { status: 201, body: Some(body) }
    }

    pub fn none() -> Self {
        Self { status: 204, body: None }
    }
}

pub fn perform(route: &Route, request: &ScimRequest, cx: &mut Context<'_>) -> Result<Answer, ScimError> {
    use ScimOperation as O;
    let id = route.id.as_str();
    match route.operation {
        O::CreateUser => create_user(json(request)?, cx),
        O::GetUser => Ok(Answer::ok(user::answer(found_user(cx.books.store(), id)?, cx.issuer)?)),
        O::ListUsers => list_users(&query::parse(request.query.as_deref())?, cx),
        O::PatchUser => patch_user(id, json(request)?, cx),
        O::PutUser => put_user(id, json(request)?, cx),
        O::DeleteUser => {
            let user = found_user(cx.books.store(), id)?.id;
            let change = cx.books.store().delete_user(user, None)?;
            cx.books.commit(change)?;
            Ok(Answer::none())
        }
        O::CreateGroup => create_group(json(request)?, cx),
        O::GetGroup => Ok(Answer::ok(group::answer(found_group(cx.books.store(), id)?, cx.issuer, true))),
        O::ListGroups => list_groups(&query::parse(request.query.as_deref())?, cx),
        O::PatchGroup => patch_group(id, json(request)?, cx),
        O::DeleteGroup => {
            let group = found_group(cx.books.store(), id)?.id;
            let change = cx.books.store().delete_group(group, None)?;
            cx.books.commit(change)?;
            Ok(Answer::none())
        }
        O::ServiceProviderConfig => Ok(Answer::ok(about::service_provider_config(cx.settings.paging))),
        O::ListSchemas => Ok(Answer::ok(about::schemas())),
        O::GetSchema => about::schema(id).map(Answer::ok).ok_or_else(|| ScimError::not_found("schema")),
        O::ListResourceTypes => Ok(Answer::ok(about::resource_types())),
    }
}

/// The body, which must be an object.
fn json(request: &ScimRequest) -> Result<Map<String, Value>, ScimError> {
    serde_json::from_slice(&request.body).map_err(|e| ScimError::invalid(e.to_string()))
}

fn found_user<'a>(store: &'a Store, id: &str) -> Result<&'a User, ScimError> {
    let found = id.parse().ok().and_then(|id| store.user(id));
    found.ok_or_else(|| ScimError::not_found("user"))
}

fn found_group<'a>(store: &'a Store, id: &str) -> Result<&'a Group, ScimError> {
    let found = id.parse().ok().and_then(|id| store.group(id));
    found.ok_or_else(|| ScimError::not_found("group"))
}

fn new_id(cx: &Context<'_>) -> ResourceId {
    ResourceId::new(cx.store_id, Uuid::new_v4())
}

fn create_user(document: Map<String, Value>, cx: &mut Context<'_>) -> Result<Answer, ScimError> {
    let content = user::content(document, None, cx.issuer, true)?;
    let id = UserId(new_id(cx));
    let change = cx.books.store().create_user(id, content, cx.now)?;
    cx.books.commit(change)?;
    Ok(Answer::created(user::answer(written_user(cx, id)?, cx.issuer)?))
}

fn written_user<'a>(cx: &'a Context<'_>, id: UserId) -> Result<&'a User, ScimError> {
    cx.books.store().user(id).ok_or_else(|| ScimError::internal("The user is gone"))
}

fn put_user(id: &str, document: Map<String, Value>, cx: &mut Context<'_>) -> Result<Answer, ScimError> {
    let old = found_user(cx.books.store(), id)?;
    let content = user::content(document, Some(old), cx.issuer, true)?;
    let (id, change) = (old.id, cx.books.store().replace_user(old.id, content, None, cx.now)?);
    cx.books.commit(change)?;
    Ok(Answer::ok(user::answer(written_user(cx, id)?, cx.issuer)?))
}

fn patch_user(id: &str, body: Map<String, Value>, cx: &mut Context<'_>) -> Result<Answer, ScimError> {
    let old = found_user(cx.books.store(), id)?;
    let mut document = user::document(old, cx.issuer)?;
    let WroteEmails(emails) = patch_user::apply(&mut document, patch::operations(body)?)?;
    let content = user::content(document, Some(old), cx.issuer, emails)?;
    let (id, change) = (old.id, cx.books.store().replace_user(old.id, content, None, cx.now)?);
    cx.books.commit(change)?;
    Ok(Answer::ok(user::answer(written_user(cx, id)?, cx.issuer)?))
}

fn external(cx: &Context<'_>, id: String) -> ExternalId {
    ExternalId { issuer: cx.issuer.to_owned(), id }
}

fn list_users(query: &ListQuery, cx: &Context<'_>) -> Result<Answer, ScimError> {
    let store = cx.books.store();
    let filter = filter::users(query.filter.as_deref())?;
    let scope = format!("{}/scim/users/{filter:?}", cx.store_id);
    let pager = Pager::new(cx.settings, query, &scope)?;
    let last = pager.last().map(UserId);
    let by_id = |id: &str| id.parse().ok().and_then(|id| store.user(id));
    let managed = |user: &User, id: &str| {
        let manager = user.attributes.enterprise.as_ref().and_then(|e| e.manager.as_ref());
        manager.and_then(|m| m.value.as_deref()) == Some(id)
    };
    let users: Box<dyn Iterator<Item = &User>> = match filter {
        UserFilter::All => Box::new(store.users_after(last)),
        UserFilter::MemberOf(group) => {
            let group = found_group(store, &group)?.id;
            Box::new(store.members_after(group, last).filter_map(|m| store.user(m.user)))
        }
        UserFilter::Manager(id) => Box::new(store.users_after(last).filter(move |u| managed(u, &id))),
        UserFilter::UserName(name) => {
            Box::new(store.user_by_name(&name).and_then(|u| store.user(u)).into_iter())
        }
        UserFilter::ExternalId(id) => {
            let found = store.user_by_external_id(&external(cx, id)).and_then(|u| store.user(u));
            Box::new(found.into_iter())
        }
        UserFilter::Id(id) => Box::new(by_id(&id).into_iter()),
        UserFilter::IdAndManager(id, manager) => {
            Box::new(by_id(&id).filter(|user| managed(user, &manager)).into_iter())
        }
    };
    let page = users.filter(|user| Some(user.id) > last);
    Ok(Answer::ok(pager.answer(page, |user| user.id.0, |user| user::answer(user, cx.issuer))?))
}

fn list_groups(query: &ListQuery, cx: &Context<'_>) -> Result<Answer, ScimError> {
    let store = cx.books.store();
    let filter = filter::groups(query.filter.as_deref())?;
    let scope = format!("{}/scim/groups/{filter:?}", cx.store_id);
    let pager = Pager::new(cx.settings, query, &scope)?;
    let last = pager.last().map(GroupId);
    let by_id = |id: &str| id.parse().ok().and_then(|id| store.group(id));
    let groups: Box<dyn Iterator<Item = &Group>> = match filter {
        GroupFilter::All => Box::new(store.groups_after(last)),
        GroupFilter::WithMember(user) => {
            let user = found_user(store, &user)?.id;
            Box::new(store.memberships_after(user, last).filter_map(|m| store.group(m.group)))
        }
        GroupFilter::DisplayName(name) => {
            Box::new(store.group_by_name(&name).and_then(|g| store.group(g)).into_iter())
        }
        GroupFilter::ExternalId(id) => {
            let found = store.group_by_external_id(&external(cx, id)).and_then(|g| store.group(g));
            Box::new(found.into_iter())
        }
        GroupFilter::Id(id) => Box::new(by_id(&id).into_iter()),
        GroupFilter::IdAndMember(id, member) => {
            let member = found_user(store, &member)?.id;
            let group = by_id(&id).filter(|group| store.membership_of(group.id, member).is_some());
            Box::new(group.into_iter())
        }
    };
    let page = groups.filter(|group| Some(group.id) > last);
    Ok(Answer::ok(pager.answer(
        page,
        |group| group.id.0,
        |group| Ok(group::answer(group, cx.issuer, true)),
    )?))
}

fn create_group(document: Map<String, Value>, cx: &mut Context<'_>) -> Result<Answer, ScimError> {
    let new = group::new_group(document, cx.issuer)?;
    let id = GroupId(new_id(cx));
    let change = cx.books.store().create_group(id, new.content, cx.now)?;
    for member in &new.members {
        found_user(cx.books.store(), &member.to_string())?;
    }
    cx.books.commit(change)?;
    if let Err(error) = add_members(id, &new.members, cx) {
        // One of them is in too many groups already. Nobody has seen the group yet.
        let undo = cx.books.store().delete_group(id, None)?;
        cx.books.commit(undo)?;
        return Err(error);
    }
    let made = cx.books.store().group(id).ok_or_else(|| ScimError::internal("The group is gone"))?;
    Ok(Answer::created(group::answer(made, cx.issuer, false)))
}

/// The same member twice is one member.
fn add_members(group: GroupId, members: &[UserId], cx: &mut Context<'_>) -> Result<(), ScimError> {
    for user in members {
        if cx.books.store().membership_of(group, *user).is_none() {
            let change = cx.books.store().add_member(MembershipId(new_id(cx)), group, *user, cx.now)?;
            cx.books.commit(change)?;
        }
    }
    Ok(())
}

fn patch_group(id: &str, body: Map<String, Value>, cx: &mut Context<'_>) -> Result<Answer, ScimError> {
    let old = found_group(cx.books.store(), id)?;
    let (id, content) = (old.id, old.content());
    let patch = match patch_group::read(content, patch::operations(body)?, cx.issuer) {
        Ok(patch) => patch,
        Err(Stumble::Refused(error)) => return Err(error),
        Err(Stumble::Emptied(error)) => {
            let members: Vec<_> = cx.books.store().members_after(id, None).map(|m| m.id).collect();
            for membership in members {
                let change = cx.books.store().remove_membership(membership)?;
                cx.books.commit(change)?;
            }
            return Err(error);
        }
    };
    // All is decided before anything is done; no two of the changes are about the same thing.
    for change in changes(id, patch, cx)? {
        cx.books.commit(change)?;
    }
    Ok(Answer::none())
}

fn changes(group: GroupId, patch: GroupPatch, cx: &Context<'_>) -> Result<Vec<Change>, ScimError> {
    let store = cx.books.store();
    let mut changes = Vec::new();
    for (user, member) in patch.members {
        if store.user(user).is_none() {
            return Err(ScimError::not_found("user"));
        }
        match (store.membership_of(group, user), member) {
            (None, true) => {
                changes.push(store.add_member(MembershipId(new_id(cx)), group, user, cx.now)?);
            }
            (Some(membership), false) => changes.push(store.remove_membership(membership.id)?),
            // It is so already.
            (Some(_), true) | (None, false) => {}
        }
    }
    if let Some(content) = patch.content {
        changes.push(store.replace_group(group, content, None, cx.now)?);
    }
    Ok(changes)
}
