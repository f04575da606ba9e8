//! What a step waits for.

use std::fmt;
use std::ops::Deref;

use super::step::StepNo;

/// Steps that must have been done before. A membership, of which there are millions, waits for its group and its person at
/// most.
#[derive(Clone, PartialEq, Eq)]
pub enum After {
    Few(u8, [StepNo; 2]),
    Many(Box<[StepNo]>),
}

impl From<&[StepNo]> for After {
    fn from(steps: &[StepNo]) -> Self {
        match *steps {
            [] => Self::Few(0, [StepNo(0); 2]),
            [one] => Self::Few(1, [one; 2]),
            [one, two] => Self::Few(2, [one, two]),
            _ => Self::Many(steps.into()),
        }
    }
}

impl Deref for After {
    type Target = [StepNo];

    fn deref(&self) -> &[StepNo] {
        match self {
            Self::Few(count, steps) => &steps[..usize::from(*count)],
            Self::Many(steps) => steps,
        }
    }
}

impl fmt::Debug for After {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}
