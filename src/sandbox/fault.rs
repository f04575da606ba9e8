//! Faults on demand: `OPERATION:KIND`, with `@N` for the Nth matching call alone, or `%P` for P percent of them.
//!
//! | spec | what happens |
//! | --- | --- |
//! | `CreateUser:throttle` | every CreateUser is answered with ThrottlingException |
//! | `CreateUser:internal@3` | the third CreateUser is answered with InternalServerException, nothing is done |
//! | `*:internal%10` | one in ten calls, chosen from a seed |
//! | `CreateGroupMembership:timeout-after@5` | the fifth one is done, and the connection closed without an answer |
//! | `Create*:timeout-before%1` | one in a hundred creates is not done, and the connection closed without an answer |
//! | `UpdateUser:conflict@1` | ConflictException (CONCURRENT_MODIFICATION), nothing is done |
//! | `List*:access-denied` | AccessDeniedException |
//! | `CreateUser:validation@2`, `CreateUser:quota@2` | ValidationException, ServiceQuotaExceededException |
//! | `scim:CreateUser:internal-after@1` | the first POST of a user over SCIM is done, and answered with HTTP 500 |
//!
//! OPERATION is the name of an operation, or its beginning and a `*`. The operations of the SCIM endpoint begin with
//! `scim:`, and the answers are then HTTP 429, 500, 409, 403, 400; `*` alone means those of both. Calls are counted for
//! each spec on its own, from 1, and only those that came past the rate limit. Of several specs that match, the first
//! that is due wins.

use std::fmt;
use std::str::FromStr;
use std::sync::atomic::{AtomicU64, Ordering};

use super::scim::ScimOperation;
use super::wire::{Failure, Operation};

/// What goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FaultKind {
    /// ThrottlingException.
    Throttle,
    /// InternalServerException.
    Internal,
    /// ConflictException, CONCURRENT_MODIFICATION.
    Conflict,
    /// AccessDeniedException.
    AccessDenied,
    /// ValidationException.
    Validation,
    /// ServiceQuotaExceededException.
    Quota,
    /// Nothing is done and nothing answered.
    TimeoutBefore,
    /// It is done, and nothing answered.
    TimeoutAfter,
    /// It is done, and answered with InternalServerException.
    InternalAfter,
}

impl FaultKind {
    const ALL: [(&'static str, Self); 9] = [
        ("throttle", Self::Throttle),
        ("internal", Self::Internal),
        ("conflict", Self::Conflict),
        ("access-denied", Self::AccessDenied),
        ("validation", Self::Validation),
        ("quota", Self::Quota),
        ("timeout-before", Self::TimeoutBefore),
        ("timeout-after", Self::TimeoutAfter),
        ("internal-after", Self::InternalAfter),
    ];

    /// The word for it in a spec.
    pub fn name(self) -> &'static str {
        Self::ALL.iter().find(|(_, kind)| *kind == self).map_or("", |(name, _)| name)
    }

    /// Whether the connection ends without an answer.
    pub fn withholds(self) -> bool {
        matches!(self, Self::TimeoutBefore | Self::TimeoutAfter)
    }

    /// The answer that takes the place of the real one, if there is one, and of what would have been done.
    pub fn failure(self, operation: Operation) -> Option<Failure> {
        Some(match self {
            Self::Throttle => Failure::throttled(1),
            Self::Internal => Failure::internal("A fault on demand"),
            Self::Conflict => Failure::concurrent_modification(),
            Self::AccessDenied => {
                let service = if operation.is_of_sso_admin() { "sso" } else { "identitystore" };
                Failure::access_denied(format!(
                    "User is not authorized to perform: {service}:{operation} (a fault on demand)"
                ))
            }
            Self::Validation => Failure::validation("A fault on demand"),
            Self::Quota => Failure::quota("A fault on demand"),
            Self::TimeoutBefore | Self::TimeoutAfter | Self::InternalAfter => return None,
        })
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Calls {
    Every,
    Nth(u64),
    Percent(u64),
}

/// One `--fault`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FaultSpec {
    /// The name of an operation, or its beginning.
    operation: String,
    prefix: bool,
    kind: FaultKind,
    calls: Calls,
}

/// The text is not a fault spec.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FaultSpecError {
    #[error("a fault is written OPERATION:KIND, OPERATION:KIND@N or OPERATION:KIND%P")]
    Form,
    #[error("no operation is called {0}")]
    Operation(String),
    #[error("no fault is called {0}: use one of {names}", names = names())]
    Kind(String),
    #[error("{0} is not the number of a call (1 or more)")]
    Call(String),
    #[error("{0} is not a percentage (1 to 100)")]
    Percent(String),
}

fn names() -> String {
    FaultKind::ALL.map(|(name, _)| name).join(", ")
}

impl FromStr for FaultSpec {
    type Err = FaultSpecError;

    fn from_str(text: &str) -> Result<Self, FaultSpecError> {
        // The names of SCIM's operations have a colon of their own.
        let after = if text.starts_with("scim:") { "scim:".len() } else { 0 };
        let colon = text[after..].find(':').ok_or(FaultSpecError::Form)? + after;
        let (operation, rest) = (&text[..colon], &text[colon + 1..]);
        let (name, prefix) = match operation.strip_suffix('*') {
            Some(beginning) => (beginning, true),
            None => (operation, false),
        };
        let known = |o: &str| if prefix { o.starts_with(name) } else { o == name };
        let scim = ScimOperation::ALL.iter().map(|o| o.name());
        if !Operation::ALL.iter().map(|o| o.name()).chain(scim).any(known) {
            return Err(FaultSpecError::Operation(operation.to_owned()));
        }
        let (kind, calls) = if let Some((kind, n)) = rest.split_once('@') {
            let call = n.parse().ok().filter(|n| *n > 0);
            (kind, Calls::Nth(call.ok_or_else(|| FaultSpecError::Call(n.to_owned()))?))
        } else if let Some((kind, p)) = rest.split_once('%') {
            let percent = p.parse().ok().filter(|p| (1..=100).contains(p));
            (kind, Calls::Percent(percent.ok_or_else(|| FaultSpecError::Percent(p.to_owned()))?))
        } else {
            (rest, Calls::Every)
        };
        let found = FaultKind::ALL.iter().find(|(name, _)| *name == kind);
        let (_, kind) = found.ok_or_else(|| FaultSpecError::Kind(kind.to_owned()))?;
        Ok(Self { operation: name.to_owned(), prefix, kind: *kind, calls })
    }
}

impl fmt::Display for FaultSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let star = if self.prefix { "*" } else { "" };
        write!(f, "{}{star}:{}", self.operation, self.kind.name())?;
        match self.calls {
            Calls::Every => Ok(()),
            Calls::Nth(n) => write!(f, "@{n}"),
            Calls::Percent(p) => write!(f, "%{p}"),
        }
    }
}

impl FaultSpec {
    fn matches(&self, operation: &str) -> bool {
        if self.prefix { operation.starts_with(&self.operation) } else { operation == self.operation }
    }
}

/// All specs with their counters.
#[derive(Debug)]
pub struct Faults {
    specs: Vec<(FaultSpec, AtomicU64)>,
    seed: u64,
}

impl Faults {
    pub fn new(specs: Vec<FaultSpec>, seed: u64) -> Self {
        Self { specs: specs.into_iter().map(|s| (s, AtomicU64::new(0))).collect(), seed }
    }

    /// Counts this call of the operation with this name, and tells what goes wrong with it.
    pub fn next(&self, operation: &str) -> Option<FaultKind> {
        let mut due = None;
        for (index, (spec, calls)) in (0_u64..).zip(&self.specs) {
            if !spec.matches(operation) {
                continue;
            }
            let call = calls.fetch_add(1, Ordering::Relaxed) + 1;
            let fires = match spec.calls {
                Calls::Every => true,
                Calls::Nth(n) => n == call,
                Calls::Percent(p) => mix(self.seed ^ mix(index) ^ call) % 100 < p,
            };
            if fires && due.is_none() {
                due = Some(spec.kind);
            }
        }
        due
    }
}

/// A well-mixed number from another (the finaliser of SplitMix64): enough chance for a test tool, and repeatable.
pub(super) fn mix(n: u64) -> u64 {
    let n = n.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let n = (n ^ (n >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let n = (n ^ (n >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    n ^ (n >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn faults(specs: &[&str], seed: u64) -> Faults {
        Faults::new(specs.iter().map(|s| s.parse().unwrap()).collect(), seed)
    }

    #[test]
    fn specs_survive_a_round_trip() {
        for text in [
            "CreateUser:throttle",
            "CreateUser:internal@3",
            "CreateGroupMembership:timeout-after@5",
            "*:internal%10",
            "List*:access-denied",
            "UpdateUser:conflict@1",
            "*:timeout-before%100",
            "CreateUser:quota",
            "CreateUser:validation",
            "scim:CreateUser:internal-after@2",
            "scim:*:throttle",
            "scim:Patch*:timeout-after%50",
        ] {
            assert_eq!(text.parse::<FaultSpec>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn wrong_specs_say_what_is_wrong() {
        for (text, error) in [
            ("CreateUser", FaultSpecError::Form),
            ("createUser:throttle", FaultSpecError::Operation("createUser".into())),
            ("Make*:throttle", FaultSpecError::Operation("Make*".into())),
            ("scim:CreateUser", FaultSpecError::Form),
            ("scim:DescribeUser:throttle", FaultSpecError::Operation("scim:DescribeUser".into())),
            ("CreateUser:boom", FaultSpecError::Kind("boom".into())),
            ("CreateUser:internal@0", FaultSpecError::Call("0".into())),
            ("CreateUser:internal@x", FaultSpecError::Call("x".into())),
            ("CreateUser:internal%101", FaultSpecError::Percent("101".into())),
        ] {
            assert_eq!(text.parse::<FaultSpec>(), Err(error), "{text}");
        }
        let kind = "*:boom".parse::<FaultSpec>().unwrap_err().to_string();
        assert!(kind.contains("timeout-after"), "{kind}");
    }

    #[test]
    fn the_nth_matching_call_fails_and_no_other() {
        let faults = faults(&["CreateUser:internal@3"], 0);
        let fired: Vec<_> = (0..5)
            .map(|_| {
                assert_eq!(faults.next("CreateGroup"), None);
                faults.next("CreateUser")
            })
            .collect();
        assert_eq!(fired, [None, None, Some(FaultKind::Internal), None, None]);
    }

    #[test]
    fn the_two_endpoints_are_told_apart_except_by_a_star_alone() {
        let faults = faults(&["CreateUser:throttle", "scim:Create*:conflict", "*:internal@3"], 0);
        assert_eq!(faults.next("CreateUser"), Some(FaultKind::Throttle));
        assert_eq!(faults.next("scim:CreateUser"), Some(FaultKind::Conflict));
        assert_eq!(faults.next("scim:GetUser"), Some(FaultKind::Internal));
        assert_eq!(faults.next("scim:GetUser"), None);
    }

    #[test]
    fn every_spec_counts_and_the_first_due_wins() {
        let faults = faults(&["Create*:conflict@2", "*:throttle@2", "CreateUser:quota@3"], 0);
        let fired: Vec<_> = (0..3).map(|_| faults.next("CreateUser")).collect();
        assert_eq!(fired, [None, Some(FaultKind::Conflict), Some(FaultKind::Quota)]);
    }

    #[test]
    fn a_percentage_is_met_and_repeatable() {
        let run = |seed| {
            let faults = faults(&["*:internal%10"], seed);
            (0..10_000).map(|_| faults.next("ListUsers").is_some()).collect::<Vec<_>>()
        };
        let hits = run(7).iter().filter(|hit| **hit).count();
        assert!((850..1150).contains(&hits), "{hits}");
        assert_eq!(run(7), run(7));
        assert_ne!(run(7), run(8));
    }
}
