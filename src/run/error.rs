//! Why a run could not be carried out.

use crate::cycle::{CycleError, chain};
use crate::directory::DirectoryError;
use crate::state::StateError;
use crate::target::TargetError;

#[derive(Debug, thiserror::Error)]
pub enum RunError {
    #[error("the state database cannot be used")]
    Url(#[source] StateError),
    #[error("the state database cannot be used")]
    State(#[source] StateError),
    #[error("the state database cannot be read")]
    Copy(#[source] StateError),
    #[error("the target cannot be used")]
    Target(#[source] TargetError),
    #[error(transparent)]
    Cycle(#[from] CycleError),
    /// What is due is due for all.
    #[error(
        "the profile is {0}, for longer than lifecycle.disable-after: the next run puts all its users out of use, and \
         none is run for chosen steps alone. End the pause with `idcsync resume`, or run `idcsync sync` for all"
    )]
    PausedTooLong(String),
}

impl RunError {
    /// With its causes, and what to do about it where they do not say.
    pub fn with_remedy(&self) -> String {
        match self {
            Self::Cycle(error) => error.with_remedy(),
            Self::Url(error) => chain(error),
            other => chain(other),
        }
    }
}

impl RunError {
    /// Whether the same may go well in a minute, with nothing changed by anybody. A refused password is none of these:
    /// each try would count towards a lockout of the account.
    pub fn may_pass(&self) -> bool {
        match self {
            Self::Cycle(CycleError::Directory(DirectoryError::Credentials { .. })) => false,
            Self::Cycle(CycleError::Directory(DirectoryError::Secret(_))) => true,
            _ => !self.lies_with_the_config(),
        }
    }

    /// Nothing but another config can mend it.
    pub fn lies_with_the_config(&self) -> bool {
        match self {
            Self::Url(_) | Self::Cycle(CycleError::OtherBinding { .. }) => true,
            Self::Cycle(CycleError::Directory(error)) => error.lies_with_the_config(),
            _ => false,
        }
    }
}

impl From<StateError> for RunError {
    fn from(error: StateError) -> Self {
        Self::Cycle(CycleError::State(error))
    }
}
