//! What the operator allows: limits for the guard, what becomes of objects that already exist, and who is never
//! touched. Plain data, made by `config`.

use jiff::SignedDuration;

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

/// What becomes of people who leave: `[lifecycle]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lifecycle {
    /// Out of scope (or paused) for longer: disabled.
    pub disable_after: SignedDuration,
    /// What follows `delete_after` once a deletion in the directory is proven.
    pub on_directory_delete: OnDelete,
    /// From the proof of a deletion to the delete in the target; zero: at once.
    pub delete_after: SignedDuration,
    /// Not found for so long counts as deleted; `None`: never.
    pub delete_on_absence: Option<SignedDuration>,
    /// Whether a delete that the server's change log reports is a proof. slapd reports an entry that was moved out of
    /// the bind account's sight in the same way, so that it is one only where nothing is hidden from the account.
    pub trust_change_log: bool,
    /// Whether an account that is disabled or expired in the directory is disabled.
    pub on_directory_disable: OnDisable,
    /// What is done where the target cannot disable.
    pub disable_method: DisableMethod,
    pub on_group_out_of_scope: OnGroupOut,
}

impl Default for Lifecycle {
    fn default() -> Self {
        Self {
            disable_after: SignedDuration::from_hours(28 * 24),
            on_directory_delete: OnDelete::Delete,
            delete_after: SignedDuration::from_hours(7 * 24),
            delete_on_absence: None,
            trust_change_log: false,
            on_directory_disable: OnDisable::Disable,
            disable_method: DisableMethod::Revoke,
            on_group_out_of_scope: OnGroupOut::Freeze,
        }
    }
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnDelete {
    #[default]
    Delete,
    /// Stays disabled for good.
    Disable,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnDisable {
    #[default]
    Disable,
    /// Such an account counts like any other.
    Ignore,
}

/// What stands for disabling where the target has no way to do it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DisableMethod {
    /// Managed memberships are removed; sign-in and direct assignments stay.
    #[default]
    Revoke,
    /// A finding until the store shows DISABLED.
    Report,
    Delete,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnGroupOut {
    /// Nobody is added; who is disabled, deleted or leaves the scope is removed.
    #[default]
    Freeze,
    /// Its managed members are removed.
    Empty,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Policy {
    pub guard: GuardLimits,
    pub lifecycle: Lifecycle,
    pub adopt: Adopt,
    /// userNames, addresses and group names of the target that are never adopted, written or removed.
    pub protect: Vec<String>,
}
