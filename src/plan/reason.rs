//! Why a step is planned, in words.

use std::fmt;

use super::step::{Plan, Reason, Step};

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::InScope(Some(path)) => write!(f, "in scope by {path}"),
            Self::InScope(None) => f.write_str("in scope"),
            Self::GoneFromTarget => f.write_str("in scope, and deleted in the target by someone else"),
            Self::DirectoryChanged => f.write_str("the directory has other values"),
            Self::NameTakenBy(label) => write!(f, "out of scope: gives its name to {label}"),
            Self::SwapOfNames => f.write_str("steps aside for a swap of names"),
            Self::SameName(name) => write!(f, "the target has {name} already"),
            Self::SameAnchor => f.write_str("the target shows it with this object's id in the directory"),
            Self::DirectMember => f.write_str("a direct member"),
            Self::MemberThrough(_) => f.write_str("a member through a nested group"),
            Self::Proof(proof) => proof.fmt(f),
            Self::OutSince(since, proof) => {
                let proof = proof.to_string();
                let why = proof.strip_prefix("out of scope: ").unwrap_or(&proof);
                write!(f, "out of scope since {}: {why}", minute(*since))
            }
            Self::DeletedSince(since, proof) => write!(f, "{proof}, first on {}", minute(*since)),
            Self::PausedSince(since) => {
                write!(f, "paused since {}, longer than lifecycle.disable-after", minute(*since))
            }
            Self::OutOfReachSince(since) => {
                let since = minute(*since);
                write!(f, "the directory was last read on {since}, longer ago than lifecycle.disable-after")
            }
            Self::BackInScope(cause) => write!(f, "desired again; idcsync had disabled it: {}", cause.word()),
            Self::EnabledByOthers => {
                f.write_str("idcsync had disabled it, and someone else enabled it in the target")
            }
            Self::TargetChanged => f.write_str("changed in the target by someone else"),
            Self::NotInDirectory => {
                f.write_str("nobody in the directory: membership of a managed group is authoritative")
            }
            Self::EntryRebound => f.write_str("the configured name is on another object now"),
        }
    }
}

/// To the minute: enough for a person.
fn minute(at: jiff::Timestamp) -> String {
    at.strftime("%Y-%m-%d %H:%M UTC").to_string()
}

impl Plan {
    /// The reason with the names that it needs.
    pub fn reason(&self, step: &Step) -> String {
        match &step.reason {
            Reason::MemberThrough(group) => format!("a member through {}", self.label(*group)),
            other => other.to_string(),
        }
    }
}
