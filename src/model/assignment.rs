//! What a user or group of the target may do in AWS accounts.

use serde::{Deserialize, Serialize};

/// One permission set in one AWS account, assigned to a user or group itself and not through a group.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Assignment {
    pub account: String,
    /// Its ARN.
    pub permission_set: String,
    /// Where it could be read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub permission_set_name: Option<String>,
}
