//! The writes, one request each, and what is looked up where an answer leaves doubt.

use reqwest::{Method, Url};
use serde_json::Value;

use super::failure::On;
use super::list::not_understood;
use super::request::Ask;
use super::{BATCH, ScimTarget, convert, endpoint};
use crate::ids::TargetId;
use crate::model::{GroupAttributes, Kind, UserAttribute, UserAttributes};
use crate::target::pacing::Repeat;
use crate::target::{TargetError, TargetErrorKind};

impl ScimTarget {
    pub(super) async fn send_create_user(
        &self,
        attributes: &UserAttributes,
    ) -> Result<TargetId, TargetError> {
        self.create(Kind::User, convert::new_user(attributes), On::Endpoint).await
    }

    pub(super) async fn send_create_group(
        &self,
        group: &GroupAttributes,
        members: &[TargetId],
    ) -> Result<TargetId, TargetError> {
        within_batch(members)?;
        let on = if members.is_empty() { On::Endpoint } else { On::Naming };
        match self.create(Kind::Group, convert::new_group(group, members), on).await {
            Err(e) if e.kind == TargetErrorKind::NotFound(None) => {
                self.prove().await?;
                Err(TargetError { kind: TargetErrorKind::NotFound(Some(Kind::User)), ..e })
            }
            created => created,
        }
    }

    /// A conflict is one: nothing that may have been received is sent again, neither here nor by the HTTP client.
    async fn create(&self, kind: Kind, body: Value, on: On) -> Result<TargetId, TargetError> {
        let operation = match kind {
            Kind::User => "scim:CreateUser",
            Kind::Group => "scim:CreateGroup",
        };
        let ask = Ask {
            operation,
            repeat: Repeat::Create,
            on,
            method: Method::POST,
            url: self.url(&[endpoint(kind)]),
            body: Some(body),
        };
        let created = self.send(&ask).await?;
        // It exists, and is not known by what id.
        convert::id(&created).ok_or_else(|| TargetError {
            kind: TargetErrorKind::Ambiguous,
            ..not_understood("a created object without an id")
        })
    }

    pub(super) async fn send_update_user(
        &self,
        user: &TargetId,
        changed: &[UserAttribute],
        desired: &UserAttributes,
    ) -> Result<(), TargetError> {
        let operations = convert::user_changes(changed, desired);
        self.patch("scim:PatchUser", On::Object(Kind::User), self.place(Kind::User, user), operations)
            .await
            .map(drop)
    }

    pub(super) async fn send_update_group(
        &self,
        group: &TargetId,
        before: &GroupAttributes,
        desired: &GroupAttributes,
    ) -> Result<(), TargetError> {
        let operations = convert::group_changes(before, desired);
        self.patch("scim:PatchGroup", On::Object(Kind::Group), self.place(Kind::Group, group), operations)
            .await
            .map(drop)
    }

    pub(super) async fn send_members(
        &self,
        group: &TargetId,
        users: &[TargetId],
        add: bool,
    ) -> Result<(), TargetError> {
        within_batch(users)?;
        let operations = convert::member_changes(users, add, self.rfc_remove);
        let place = self.place(Kind::Group, group);
        match self.patch("scim:PatchGroup", On::Members, place, operations).await {
            Ok(_) => Ok(()),
            // Not told what was not found: the group, or one of the users.
            Err(e) if e.kind == TargetErrorKind::NotFound(None) => {
                let there = self.resource(Kind::Group, group).await?.is_some();
                match users {
                    // Who is not there is no member.
                    [_] if there && !add => Ok(()),
                    _ if there => Err(TargetError { kind: TargetErrorKind::NotFound(Some(Kind::User)), ..e }),
                    _ => Err(TargetError { kind: TargetErrorKind::NotFound(Some(Kind::Group)), ..e }),
                }
            }
            Err(e) => Err(e),
        }
    }

    /// Only what the endpoint shows counts as done.
    pub(in crate::target) async fn send_active(
        &self,
        user: &TargetId,
        active: bool,
    ) -> Result<(), TargetError> {
        let place = self.place(Kind::User, user);
        let answer =
            self.patch("scim:PatchUser", On::Object(Kind::User), place, convert::activity(active)).await?;
        let shown = if answer.is_null() {
            // RFC 7644 section 3.5.2 lets a server answer 204; AWS answers with the user.
            let gone = || {
                let message = "the user is gone";
                TargetError::new(TargetErrorKind::NotFound(Some(Kind::User)), "HTTP404", message)
            };
            // The change was taken: that it could not be looked at afterwards does not undo it.
            let unseen = |e| TargetError { kind: TargetErrorKind::Ambiguous, ..e };
            self.resource(Kind::User, user).await.map_err(unseen)?.ok_or_else(gone)?
        } else {
            answer
        };
        let same_user = convert::id(&shown).as_ref() == Some(user);
        if same_user && convert::active(&shown) == Some(active) {
            return Ok(());
        }
        let wanted = if active { "active" } else { "inactive" };
        Err(TargetError::new(
            TargetErrorKind::Ambiguous,
            "ActiveNotVerified",
            format!("the SCIM endpoint took the change and does not show the user as {wanted} after it"),
        ))
    }

    pub(super) async fn send_delete(&self, kind: Kind, id: &TargetId) -> Result<(), TargetError> {
        let operation = match kind {
            Kind::User => "scim:DeleteUser",
            Kind::Group => "scim:DeleteGroup",
        };
        let ask = Ask {
            operation,
            repeat: Repeat::Write,
            on: On::Object(kind),
            method: Method::DELETE,
            url: self.place(kind, id),
            body: None,
        };
        match self.send(&ask).await {
            Ok(_) => Ok(()),
            Err(e) if e.kind == TargetErrorKind::NotFound(Some(kind)) => self.prove().await,
            Err(e) => Err(e),
        }
    }

    fn place(&self, kind: Kind, id: &TargetId) -> Url {
        self.url(&[endpoint(kind), id.as_str()])
    }

    /// Without operations nothing is sent.
    async fn patch(
        &self,
        operation: &'static str,
        on: On,
        url: Url,
        operations: Vec<Value>,
    ) -> Result<Value, TargetError> {
        if operations.is_empty() {
            return Ok(Value::Null);
        }
        let body = Some(convert::patch(operations));
        self.send(&Ask { operation, repeat: Repeat::Write, on, method: Method::PATCH, url, body }).await
    }
}

fn within_batch(users: &[TargetId]) -> Result<(), TargetError> {
    if users.len() > BATCH {
        let why = format!("{} members at once, and AWS takes {BATCH}", users.len());
        return Err(TargetError::invalid_request(why));
    }
    Ok(())
}
