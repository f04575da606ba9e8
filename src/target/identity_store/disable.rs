//! Disabling and enabling, which the API cannot do: over the store's SCIM endpoint, and nothing else goes over that.

use super::IdentityStoreTarget;
use crate::ids::TargetId;
use crate::model::{CheckLine, Kind, ObservedUser, UserAttribute};
use crate::target::{ScimTarget, TargetError, TargetErrorKind};

impl IdentityStoreTarget {
    /// The same id is taken to mean the same user on both sides, which AWS documents nowhere. So before each change
    /// both are asked what they call the user: an endpoint of another store would disable somebody else.
    pub(super) async fn set_active_over_scim(
        &self,
        user: &TargetId,
        active: bool,
    ) -> Result<(), TargetError> {
        let Some(scim) = &self.scim else {
            return Err(TargetError::new(
                TargetErrorKind::Validation,
                "CannotDisable",
                "the Identity Store API cannot disable or enable users: configure `scim` in [target]",
            ));
        };
        let (over_api, over_scim) = futures::try_join!(self.user(user), scim.user(user))?;
        let Some(over_api) = over_api else {
            let gone = "the user is not there (any more)";
            return Err(TargetError::new(
                TargetErrorKind::NotFound(Some(Kind::User)),
                "ResourceNotFoundException",
                gone,
            ));
        };
        match over_scim {
            Some(over_scim) if same_user(&over_api, &over_scim) => scim.send_active(user, active).await,
            _ => Err(TargetError::new(
                TargetErrorKind::Validation,
                "IdsDiffer",
                "the SCIM endpoint does not have the user under the id that the API has: it belongs to another identity \
                 store, so nothing was sent; correct `scim` in [target]",
            )),
        }
    }

    /// Whether a user that the API shows is the same over SCIM.
    pub(super) async fn check_ids(
        &self,
        scim: &ScimTarget,
        user: &TargetId,
        over_api: &ObservedUser,
    ) -> CheckLine {
        const NAME: &str = "SCIM and API";
        const REMEDY: &str = "take `scim.url` and its token from the settings of the IAM Identity Center instance \
                              whose identity store this is";
        match scim.user(user).await {
            Ok(Some(over_scim)) if same_user(over_api, &over_scim) => {
                CheckLine::ok(NAME, "a user has the same id on both sides")
            }
            Ok(_) => CheckLine::fail(NAME, "the SCIM endpoint belongs to another identity store", REMEDY),
            Err(e) => CheckLine::fail(NAME, format!("{}: {}", e.code, e.message), "try again later"),
        }
    }
}

fn name(user: &ObservedUser) -> Option<&str> {
    user.attributes.get(&UserAttribute::UserName).map(String::as_str)
}

fn is_called(user: &ObservedUser, user_name: &str) -> bool {
    name(user).is_some_and(|name| name.to_lowercase() == user_name.to_lowercase())
}

fn same_user(one: &ObservedUser, other: &ObservedUser) -> bool {
    name(one).is_some_and(|name| is_called(other, name))
}
