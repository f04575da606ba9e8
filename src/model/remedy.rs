//! What to do about each finding: the words of docs/errors.md, which a test holds to these.

use super::Code;

impl Code {
    /// What to do about it.
    pub fn remedy(self) -> &'static str {
        match self {
            Self::ScopeEntryNotFound => "correct the name, the base DN, or what the bind account may see",
            Self::ScopeEntryAmbiguous => "name it by its DN or objectGUID",
            Self::ScopeEntryRenamed => "write the new name into the config",
            Self::ScopeEntryRebound => {
                "approve the plan to follow the name, or write the old object's new name or objectGUID \
                 into the config"
            }
            Self::ScopeEntryDeleted => {
                "take the entry out of `scope`, or restore the object in the directory"
            }
            Self::ScopeEntryUnsuitable => {
                "name another object; for distribution groups see `include-distribution-groups`"
            }
            Self::ScopeEntryUnread => "see the message; the next cycle tries again",
            Self::MemberUnreadable => {
                "widen `base-dn` or the bind account's permissions, or remove the member. Whoever may \
                 hide behind it keeps access"
            }
            Self::GroupReadIncomplete => {
                "see the message: a limit of the server, a cut connection, a missing permission"
            }
            Self::GroupMembersUnsupported => "use a group with `member` or `uniqueMember`",
            Self::RemovalWithheld => {
                "mend the read: let the bind account read the members. A container that really is empty \
                 is taken out of `scope`. After 24 hours the exit code is 3"
            }
            Self::FilterAttributeUnseen => {
                "export the attribute too; nothing is to be done if nobody has a value there"
            }
            Self::AccountUnknown => "let the bind account read it",
            Self::AccountDisabled => {
                "none, if that is meant; else enable the account in the directory, or set \
                 `lifecycle.on-directory-disable`"
            }
            Self::RequiredAttributeMissing => {
                "fill the attribute, or map it to something that is never empty"
            }
            Self::AttributeInvalid => "correct the value or the mapping",
            Self::MappingFailed => "correct the expression",
            Self::EmailMissing => "fill `mail`, if applications need an address",
            Self::UserNameNotAnAddress => "map userName to such an attribute",
            Self::UserNameClaimed => "give one of them another value in the directory",
            Self::EmailClaimed => "give one of them another address in the directory",
            Self::GroupNameClaimed => {
                "give one of them another name in the directory, or map displayName to something that \
                 differs"
            }
            Self::ConflictError => {
                "rename or remove it, or let it be adopted (`target.adopt`); take it out of one of the \
                 two scopes"
            }
            Self::Protected => "none, if that is meant",
            Self::TargetRefused => "see the message",
            Self::TargetFailed => "none; the next cycle tries again",
            Self::TokenExpiring => {
                "make a second token in IAM Identity Center, put it into `token-file`, and correct \
                 `token-expires`"
            }
            Self::UserNameChangeRefused => "rename by hand, or map userName from an attribute that stays",
            Self::TargetObjectMissing => {
                "find out who did; account assignments deleted with it do not come back"
            }
            Self::DisabledByOthers => "enable the user in IAM Identity Center, or take it out of the scope",
            Self::DisableByHand => "disable the user in IAM Identity Center",
            Self::PausedTooLong => "`idcsync resume`",
            Self::DirectoryOutOfReach => {
                "mend the connection, and nothing happens; or approve, if the directory is gone for good"
            }
            Self::ClockUntrusted => "set the clock right (NTP), of this machine or of the other one",
            Self::TimeNotCounted => "run cycles more often than that",
            Self::GroupOutOfScope => {
                "bring it back into the scope, let go of it with `idcsync release group NAME`, or delete \
                 it by hand"
            }
            Self::ConfigInvalid => "see the message, and correct the file; it is read again within seconds",
            Self::StepsHeld => "`idcsync approve PLAN-ID --show`, then without `--show`",
            Self::InvalidDirectoryCredentials => "see the message: wrong password, expired, locked",
            Self::DirectoryUnavailable => "see the message: name, port, TLS, base DN",
            Self::TargetUnavailable => "credentials, region, endpoint, permissions: `idcsync check`",
        }
    }
}
