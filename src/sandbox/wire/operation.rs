//! The operations that the sandbox knows, by the name in `X-Amz-Target`.

use std::fmt;

macro_rules! operations {
    ($($access:ident $name:ident,)*) => {
        /// An operation of the Identity Store API, or one of those of the SSO Admin API by which a store is found and
        /// account assignments are read.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
        pub enum Operation {
            $($name,)*
        }

        impl Operation {
            /// All of them.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// The name as in the API Reference.
            pub fn name(self) -> &'static str {
                match self {
                    $(Self::$name => stringify!($name),)*
                }
            }

            /// Whether it reads or writes.
            pub fn access(self) -> Access {
                match self {
                    $(Self::$name => Access::$access,)*
                }
            }
        }
    };
}

/// Whether an operation changes anything.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    Read,
    Write,
}

impl Access {
    /// The word for it in the request log.
    pub fn name(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Write => "write",
        }
    }
}

operations! {
    Write CreateUser,
    Read DescribeUser,
    Write UpdateUser,
    Write DeleteUser,
    Read GetUserId,
    Read ListUsers,
    Write CreateGroup,
    Read DescribeGroup,
    Write UpdateGroup,
    Write DeleteGroup,
    Read GetGroupId,
    Read ListGroups,
    Write CreateGroupMembership,
    Read DescribeGroupMembership,
    Write DeleteGroupMembership,
    Read GetGroupMembershipId,
    Read IsMemberInGroups,
    Read ListGroupMemberships,
    Read ListGroupMembershipsForMember,
    Read ListInstances,
    Read ListAccountAssignmentsForPrincipal,
    Read DescribePermissionSet,
}

impl Operation {
    /// The operation that a target header names: `AWSIdentityStore.CreateUser`, `SWBExternalService.ListInstances`.
    pub fn from_target(target: &str) -> Option<Self> {
        let (service, name) = target.split_once('.')?;
        let operation = Self::from_name(name)?;
        let of_service = if operation.is_of_sso_admin() { "SWBExternalService" } else { "AWSIdentityStore" };
        (service == of_service).then_some(operation)
    }

    /// Whether it belongs to the SSO Admin API.
    pub fn is_of_sso_admin(self) -> bool {
        matches!(
            self,
            Self::ListInstances | Self::ListAccountAssignmentsForPrincipal | Self::DescribePermissionSet
        )
    }

    /// The operation with this name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|o| o.name() == name)
    }
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_names_service_and_operation() {
        assert_eq!(Operation::from_target("AWSIdentityStore.CreateUser"), Some(Operation::CreateUser));
        assert_eq!(
            Operation::from_target("SWBExternalService.ListInstances"),
            Some(Operation::ListInstances)
        );
        for wrong in [
            "",
            "CreateUser",
            "AWSIdentityStore.createUser",
            "AWSIdentityStore.ListInstances",
            "X.CreateUser",
        ] {
            assert_eq!(Operation::from_target(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn writes_are_those_that_change_something() {
        let writes: Vec<_> =
            Operation::ALL.iter().filter(|o| o.access() == Access::Write).map(|o| o.name()).collect();
        assert_eq!(
            writes,
            [
                "CreateUser",
                "UpdateUser",
                "DeleteUser",
                "CreateGroup",
                "UpdateGroup",
                "DeleteGroup",
                "CreateGroupMembership",
                "DeleteGroupMembership"
            ]
        );
    }
}
