//! The sorts of step, by which they are counted and called.

use serde::Serialize;

/// The sorts of step that are counted, in the order in which they are shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Sort {
    DeleteUser,
    DeleteGroup,
    DisableUser,
    RevokeUser,
    ReportUser,
    RemoveMember,
    RebindEntry,
    AdoptUser,
    AdoptGroup,
    EnableUser,
    RestoreUser,
    UpdateUser,
    UpdateGroup,
    CreateUser,
    CreateGroup,
    AddMember,
}

impl Sort {
    pub const ALL: &'static [Self] = &[
        Self::DeleteUser,
        Self::DeleteGroup,
        Self::DisableUser,
        Self::RevokeUser,
        Self::ReportUser,
        Self::RemoveMember,
        Self::RebindEntry,
        Self::AdoptUser,
        Self::AdoptGroup,
        Self::EnableUser,
        Self::RestoreUser,
        Self::UpdateUser,
        Self::UpdateGroup,
        Self::CreateUser,
        Self::CreateGroup,
        Self::AddMember,
    ];

    pub fn word(self) -> &'static str {
        match self {
            Self::DeleteUser => "delete-user",
            Self::DeleteGroup => "delete-group",
            Self::DisableUser => "disable-user",
            Self::RevokeUser => "revoke-user",
            Self::ReportUser => "report-user",
            Self::EnableUser => "enable-user",
            Self::RestoreUser => "restore-user",
            Self::RemoveMember => "remove-member",
            Self::RebindEntry => "rebind-entry",
            Self::AdoptUser => "adopt-user",
            Self::AdoptGroup => "adopt-group",
            Self::UpdateUser => "update-user",
            Self::UpdateGroup => "update-group",
            Self::CreateUser => "create-user",
            Self::CreateGroup => "create-group",
            Self::AddMember => "add-member",
        }
    }
}
