//! Something wrong with one object or one scope entry; it never stops the others.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::Kind;

macro_rules! codes {
    ($($(#[$meta:meta])* $variant:ident: $severity:ident,)*) => {
        /// Stable names of what can be wrong; docs/errors.md gives cause and remedy of each.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        pub enum Code { $($(#[$meta])* $variant,)* }

        impl Code {
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            pub fn name(self) -> &'static str {
                match self { $(Self::$variant => stringify!($variant),)* }
            }

            pub fn severity(self) -> Severity {
                match self { $(Self::$variant => Severity::$severity,)* }
            }
        }
    };
}

/// How much a finding asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Severity {
    /// Worth knowing.
    Info,
    /// One object is not as the directory has it.
    Warning,
    /// Something that ought to be taken away is not, or a scope entry gives nothing.
    Error,
}

codes! {
    /// A scope entry matches nothing.
    ScopeEntryNotFound: Error,
    /// A scope entry matches several objects.
    ScopeEntryAmbiguous: Error,
    /// A pinned object has another name now; it is followed.
    ScopeEntryRenamed: Info,
    /// The configured name is on another object now.
    ScopeEntryRebound: Error,
    /// The object that a scope entry stands for was deleted in the directory.
    ScopeEntryDeleted: Error,
    /// A scope entry names something that is not synced.
    ScopeEntryUnsuitable: Error,
    /// A scope entry could not be read.
    ScopeEntryUnread: Error,
    /// A member that no configured directory can read.
    MemberUnreadable: Warning,
    /// A group whose members could not be read to the end.
    GroupReadIncomplete: Error,
    /// A group whose members are kept in an attribute that is not understood.
    GroupMembersUnsupported: Warning,
    /// No entry of an export has an attribute that the user filter looks at.
    FilterAttributeUnseen: Warning,
    /// Removals that lack a proof and wait for one.
    RemovalWithheld: Error,
    /// `userAccountControl` of a person could not be read.
    AccountUnknown: Warning,
    /// Disabled or expired in the directory.
    AccountDisabled: Info,
    /// A value that the target requires is missing.
    RequiredAttributeMissing: Warning,
    /// A value breaks a limit of the target.
    AttributeInvalid: Warning,
    /// A mapping expression failed on this entry.
    MappingFailed: Warning,
    /// No primary address.
    EmailMissing: Info,
    /// A userName that is not of the form name@domain, which SAML's nameID must match.
    UserNameNotAnAddress: Warning,
    /// Another desired user claims the same userName.
    UserNameClaimed: Warning,
    /// Another desired user claims the same primary address.
    EmailClaimed: Warning,
    /// Another desired group claims the same displayName.
    GroupNameClaimed: Warning,
    /// An object that is not managed by this profile holds the name.
    ConflictError: Warning,
    /// `protect` forbids it.
    Protected: Info,
    /// The target refused a step in a way that a retry cannot mend.
    TargetRefused: Warning,
    /// A step failed in a way that a retry may mend.
    TargetFailed: Error,
    /// The SCIM token ends soon, or has ended.
    TokenExpiring: Warning,
    /// The store does not accept a changed userName.
    UserNameChangeRefused: Warning,
    /// A linked object was gone from the target.
    TargetObjectMissing: Warning,
    /// In scope, and disabled in the target by someone else.
    DisabledByOthers: Warning,
    /// To be disabled by a person (`disable-method = "report"`).
    DisableByHand: Error,
    /// The profile has been paused for so long that everybody will be disabled.
    PausedTooLong: Error,
    /// The directory has been out of reach for so long that everybody would be disabled.
    DirectoryOutOfReach: Error,
    /// The clock cannot be trusted: what rests on elapsed time waits.
    ClockUntrusted: Error,
    /// Reads were too far apart for the time between them to count.
    TimeNotCounted: Info,
    /// A managed group is no longer reached from the scope.
    GroupOutOfScope: Warning,
    /// The config file of a running service has changed and cannot be taken up.
    ConfigInvalid: Error,
    /// Steps wait for an approval.
    StepsHeld: Error,
    /// The directory refused the credentials.
    InvalidDirectoryCredentials: Error,
    /// The directory could not be reached, or a read of it failed as a whole.
    DirectoryUnavailable: Error,
    /// The target could not be reached, or refused everything.
    TargetUnavailable: Error,
}

impl Code {
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|c| c.name() == name)
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What a finding is about.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Subject {
    pub kind: Option<Kind>,
    /// The SID, else the anchor, else the entry's or the profile's name: stable while the finding stands.
    pub id: String,
    /// What a person calls it.
    pub label: String,
}

/// One standing finding is told apart from others by code and `subject.id`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Finding {
    pub code: Code,
    pub subject: Subject,
    /// What is wrong, and what to do next. No secrets; no personal data beyond what identifies the object.
    pub message: String,
}

impl Finding {
    pub fn new(code: Code, subject: Subject, message: impl Into<String>) -> Self {
        Self { code, subject, message: message.into() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_is_read_back() {
        for code in Code::ALL {
            assert_eq!(Code::parse(code.name()), Some(*code));
        }
    }
}
