//! What the operator allows: limits for the guard, what becomes of objects that already exist, and who is never
//! touched. Plain data, made by `config`.

/// How much one cycle may change without someone's approval. Counts are per cycle.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GuardLimits {
    pub max_deletes: u32,
    pub max_disables: u32,
    /// Memberships taken away.
    pub max_removals: u32,
    /// Changes of userName, and attributes that become empty.
    pub max_renames: u32,
    /// Members that one group gains, once it has been filled.
    pub max_growth: u32,
    /// Of the linked users or groups, and of one group's members: 1 to 100. Counts from 5 steps on.
    pub max_percent: u32,
}

impl Default for GuardLimits {
    fn default() -> Self {
        Self {
            max_deletes: 50,
            max_disables: 50,
            max_removals: 500,
            max_renames: 50,
            max_growth: 200,
            max_percent: 20,
        }
    }
}

/// What becomes of a user or group of the same name that the target already holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Adopt {
    /// Held until someone approves.
    #[default]
    Approve,
    Auto,
    /// Left alone: a finding.
    Never,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Policy {
    pub guard: GuardLimits,
    pub adopt: Adopt,
    /// userNames, addresses and group names of the target that are never adopted, written or removed.
    pub protect: Vec<String>,
}
