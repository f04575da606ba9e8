//! The words by which enums are stored. They may not change: databases hold them.

use crate::model::{DeletionProof, DisableCause, DisableHow, Kind, Origin, RenameSupport};

/// An enum with a stored word for each variant.
pub(super) trait Word: Sized + Copy {
    fn word(self) -> &'static str;
    fn of(word: &str) -> Option<Self>;
}

macro_rules! words {
    ($name:ident { $($variant:ident = $word:literal,)* }) => {
        impl $crate::state::words::Word for $name {
            fn word(self) -> &'static str {
                match self { $(Self::$variant => $word,)* }
            }

            fn of(word: &str) -> Option<Self> {
                match word { $($word => Some(Self::$variant),)* _ => None }
            }
        }
    };
}
pub(super) use words;

words! { Kind { User = "user", Group = "group", } }
words! { Origin { Created = "created", Adopted = "adopted", } }
words! { RenameSupport { Unknown = "unknown", Accepted = "accepted", Refused = "refused", } }
words! { DisableCause {
    OutOfScope = "out-of-scope", Paused = "paused", OutOfReach = "out-of-reach",
    AccountDisabled = "account-disabled", AccountExpired = "account-expired", Deleted = "deleted",
} }
words! { DisableHow { Deactivated = "deactivated", Revoked = "revoked", Reported = "reported", } }
words! { DeletionProof { Tombstone = "tombstone", ChangeLog = "change-log", LongAbsence = "long-absence", } }
