//! Exit codes: part of the contract.

use std::process::ExitCode;

use crate::cycle::Outcome;
use crate::run::RunError;

/// How the process ends. Of several that apply the worst counts, in this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    Done,
    Unexpected,
    Usage,
    Unsettled,
    Held,
    Paused,
    Unreachable,
    LeaseElsewhere,
    Pending,
}

impl Exit {
    pub fn code(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::Unexpected => 1,
            Self::Usage => 2,
            Self::Unsettled => 3,
            Self::Held => 4,
            Self::Paused => 5,
            Self::Unreachable => 6,
            Self::LeaseElsewhere => 7,
            Self::Pending => 8,
        }
    }

    /// Of a cycle that was carried out, or planned (`pending`: and the caller wants to know of changes).
    pub fn of_cycle(outcome: &Outcome, strict: bool, pending: bool) -> Self {
        if outcome.cut_short || outcome.target_unavailable {
            Self::Unreachable
        } else if outcome.held > 0 {
            Self::Held
        } else if outcome.retryable > 0 || outcome.withheld_long || (strict && outcome.findings > 0) {
            Self::Unsettled
        } else if pending && outcome.steps > 0 {
            Self::Pending
        } else {
            Self::Done
        }
    }

    pub fn of_run(error: &RunError) -> Self {
        match error {
            RunError::PausedTooLong(_) => Self::Usage,
            _ if error.lies_with_the_config() => Self::Usage,
            RunError::Url(_)
            | RunError::State(_)
            | RunError::Copy(_)
            | RunError::Target(_)
            | RunError::Cycle(_) => Self::Unreachable,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.code())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_order_is_that_of_the_contract() {
        let all = Outcome { steps: 1, held: 1, retryable: 1, cut_short: true, ..Outcome::default() };
        assert_eq!(Exit::of_cycle(&all, false, true).code(), 6);
        let held = Outcome { cut_short: false, ..all };
        assert_eq!(Exit::of_cycle(&held, false, true).code(), 4);
        let failed = Outcome { held: 0, ..held };
        assert_eq!(Exit::of_cycle(&failed, false, true).code(), 3);
        let pending = Outcome { retryable: 0, ..failed };
        assert_eq!(Exit::of_cycle(&pending, false, true).code(), 8);
        assert_eq!(Exit::of_cycle(&pending, false, false).code(), 0);
        let findings = Outcome { findings: 2, ..Outcome::default() };
        assert_eq!(Exit::of_cycle(&findings, false, false).code(), 0);
        assert_eq!(Exit::of_cycle(&findings, true, false).code(), 3);
    }
}
