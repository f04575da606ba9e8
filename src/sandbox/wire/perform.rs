//! The operations themselves: a decoded request against the store.

use serde_json::{Value, json};
use uuid::Uuid;

use super::answer;
use super::failure::Failure;
use super::patch;
use super::request::{Alternate, Decoded, Request};
use super::sso_admin;
use crate::sandbox::persist::{Books, CommitError};
use crate::sandbox::store::{
    Change, GroupContent, GroupId, Kind, MembershipId, Millis, ResourceId, Store, User, UserContent, UserId,
};

/// What an operation works with.
#[derive(Debug)]
pub struct Context<'a> {
    pub books: &'a mut Books,
    /// The one identity store that exists.
    pub store_id: &'a str,
    pub region: &'a str,
    pub now: Millis,
    /// For the new object, if there is one.
    pub new_id: Uuid,
}

/// Performs the request and gives the members of its answer.
pub fn perform(decoded: Decoded, cx: &mut Context<'_>) -> Result<Value, Failure> {
    if let Some(store) = &decoded.store
        && store != cx.store_id
    {
        return Err(Failure::identity_store_not_found(store));
    }
    match decoded.request {
        Request::CreateUser { .. }
        | Request::UpdateUser { .. }
        | Request::DeleteUser { .. }
        | Request::CreateGroup { .. }
        | Request::UpdateGroup { .. }
        | Request::DeleteGroup { .. }
        | Request::CreateGroupMembership { .. }
        | Request::DeleteGroupMembership { .. } => write(decoded.request, cx),
        _ => read(decoded.request, cx),
    }
}

fn write(request: Request, cx: &mut Context<'_>) -> Result<Value, Failure> {
    let (at, id) = (cx.now, ResourceId::new(cx.store_id, cx.new_id));
    let store = cx.books.store();
    match request {
        Request::CreateUser { attributes } => {
            let content = UserContent { attributes: *attributes, ..UserContent::default() };
            let change = store.create_user(UserId(id), content, at)?;
            commit(change, cx)?;
            written_user(UserId(id), cx)
        }
        Request::UpdateUser { user, operations, revision } => {
            let mut content = found_user(store, user)?.content();
            content.attributes = patch::patch_user(&content.attributes, &operations)?;
            let change = store.replace_user(user, content, revision, at)?;
            commit(change, cx)?;
            written_user(user, cx)
        }
        Request::DeleteUser { user, revision } => {
            let change = store.delete_user(user, revision)?;
            commit(change, cx)
        }
        Request::CreateGroup { display_name, description } => {
            let content = GroupContent { display_name, description, external_ids: Vec::new() };
            let change = store.create_group(GroupId(id), content, at)?;
            commit(change, cx)?;
            written_group(GroupId(id), cx)
        }
        Request::UpdateGroup { group, operations, revision } => {
            let content = found_group(store, group)?.content();
            let content = patch::patch_group(&content, &operations)?;
            let change = store.replace_group(group, content, revision, at)?;
            commit(change, cx)?;
            written_group(group, cx)
        }
        Request::DeleteGroup { group, revision } => {
            let change = store.delete_group(group, revision)?;
            commit(change, cx)
        }
        Request::CreateGroupMembership { group, user } => {
            let change = store.add_member(MembershipId(id), group, user, at)?;
            commit(change, cx)?;
            Ok(membership_key(cx.store_id, MembershipId(id)))
        }
        Request::DeleteGroupMembership { membership } => {
            let change = store.remove_membership(membership)?;
            commit(change, cx)
        }
        _ => Err(Failure::unknown_operation()),
    }
}

fn read(request: Request, cx: &Context<'_>) -> Result<Value, Failure> {
    let (store, id) = (cx.books.store(), cx.store_id);
    match request {
        Request::DescribeUser { user, extensions } => answer::user(id, found_user(store, user)?, extensions),
        Request::GetUserId { by } => {
            let user = match by {
                Alternate::UserName(name) => store.user_by_name(&name),
                Alternate::Email(email) => store.user_by_email(&email),
                Alternate::External(external) => store.user_by_external_id(&external),
                Alternate::DisplayName(_) => None,
            };
            let user = user.ok_or_else(|| Failure::not_found(Kind::User, None))?;
            Ok(json!({"IdentityStoreId": id, "UserId": user, "UserArn": answer::user_arn(user)}))
        }
        Request::ListUsers { page, user_name, extensions } => {
            let scope = format!("{id}/users/{user_name:?}");
            let last = page.start(&scope)?;
            let found = match user_name {
                Some(name) => {
                    let user = store.user_by_name(&name).and_then(|user| store.user(user));
                    page.page(&scope, user.into_iter().filter(|u| Some(u.id) > last), |u| u.id)
                }
                None => page.page(&scope, store.users_after(last), |u| u.id),
            };
            let users: Result<_, _> =
                found.items.iter().map(|user| answer::user(id, user, extensions)).collect();
            Ok(answer::page("Users", users?, found.next_token))
        }
        Request::DescribeGroup { group } => Ok(answer::group(id, found_group(store, group)?)),
        Request::GetGroupId { by } => {
            let group = match by {
                Alternate::DisplayName(name) => store.group_by_name(&name),
                Alternate::External(external) => store.group_by_external_id(&external),
                Alternate::UserName(_) | Alternate::Email(_) => None,
            };
            let group = group.ok_or_else(|| Failure::not_found(Kind::Group, None))?;
            Ok(json!({"IdentityStoreId": id, "GroupId": group, "GroupArn": answer::group_arn(group)}))
        }
        Request::ListGroups { page, display_name } => {
            let scope = format!("{id}/groups/{display_name:?}");
            let last = page.start(&scope)?;
            let found = match display_name {
                Some(name) => {
                    let group = store.group_by_name(&name).and_then(|group| store.group(group));
                    page.page(&scope, group.into_iter().filter(|g| Some(g.id) > last), |g| g.id)
                }
                None => page.page(&scope, store.groups_after(last), |g| g.id),
            };
            let groups = found.items.iter().map(|group| answer::group(id, group)).collect();
            Ok(answer::page("Groups", groups, found.next_token))
        }
        Request::DescribeGroupMembership { membership } => match store.membership(membership) {
            Some(found) => Ok(answer::membership(id, found)),
            None => Err(Failure::not_found(Kind::Membership, Some(membership.to_string()))),
        },
        Request::GetGroupMembershipId { group, user } => {
            found_group(store, group)?;
            found_user(store, user)?;
            let membership = store.membership_of(group, user);
            let membership = membership.ok_or_else(|| Failure::not_found(Kind::Membership, None))?;
            Ok(membership_key(id, membership.id))
        }
        Request::IsMemberInGroups { user, groups } => {
            found_user(store, user)?;
            let result = |group: &GroupId| {
                let exists = store.membership_of(*group, user).is_some();
                json!({"GroupId": group, "MemberId": {"UserId": user}, "MembershipExists": exists})
            };
            Ok(json!({"Results": groups.iter().map(result).collect::<Vec<_>>()}))
        }
        Request::ListGroupMemberships { group, page } => {
            found_group(store, group)?;
            let scope = format!("{id}/members/{group}");
            let last = page.start(&scope)?;
            let found = page.page(&scope, store.members_after(group, last), |m| m.user);
            let memberships = found.items.iter().map(|m| answer::membership(id, m)).collect();
            Ok(answer::page("GroupMemberships", memberships, found.next_token))
        }
        Request::ListGroupMembershipsForMember { user, page } => {
            found_user(store, user)?;
            let scope = format!("{id}/memberships/{user}");
            let last = page.start(&scope)?;
            let found = page.page(&scope, store.memberships_after(user, last), |m| m.group);
            let memberships = found.items.iter().map(|m| answer::membership(id, m)).collect();
            Ok(answer::page("GroupMemberships", memberships, found.next_token))
        }
        Request::ListInstances => Ok(answer::instances(id, cx.region, 0)),
        Request::SsoAdmin(question) => sso_admin::perform(question, cx),
        _ => Err(Failure::unknown_operation()),
    }
}

fn found_user(store: &Store, id: UserId) -> Result<&User, Failure> {
    store.user(id).ok_or_else(|| Failure::not_found(Kind::User, Some(id.to_string())))
}

fn found_group(store: &Store, id: GroupId) -> Result<&crate::sandbox::store::Group, Failure> {
    store.group(id).ok_or_else(|| Failure::not_found(Kind::Group, Some(id.to_string())))
}

/// Makes the change; the answer of a delete is an empty structure.
fn commit(change: Change, cx: &mut Context<'_>) -> Result<Value, Failure> {
    match cx.books.commit(change) {
        Ok(()) => Ok(json!({})),
        Err(CommitError::ReadOnly) => Err(Failure::access_denied("This sandbox is open for reading only")),
        Err(CommitError::Refused(refusal)) => Err(refusal.into()),
        Err(error @ CommitError::Journal(_)) => {
            tracing::error!(error = &error as &dyn std::error::Error, "a change was not written");
            Err(Failure::internal("The change could not be stored"))
        }
    }
}

fn written_user(id: UserId, cx: &Context<'_>) -> Result<Value, Failure> {
    let revision = found_user(cx.books.store(), id)?.revision.0.to_string();
    Ok(json!({
        "IdentityStoreId": cx.store_id,
        "UserId": id,
        "UserArn": answer::user_arn(id),
        "Revision": revision,
    }))
}

fn written_group(id: GroupId, cx: &Context<'_>) -> Result<Value, Failure> {
    let revision = found_group(cx.books.store(), id)?.revision.0.to_string();
    Ok(json!({
        "IdentityStoreId": cx.store_id,
        "GroupId": id,
        "GroupArn": answer::group_arn(id),
        "Revision": revision,
    }))
}

fn membership_key(store: &str, id: MembershipId) -> Value {
    json!({"IdentityStoreId": store, "MembershipId": id, "MembershipArn": answer::membership_arn(id)})
}
