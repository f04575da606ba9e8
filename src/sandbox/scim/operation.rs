//! The operations of the SCIM endpoint, by AWS's names for them.

use crate::sandbox::wire::Access;

macro_rules! operations {
    ($($access:ident $name:ident,)*) => {
        /// An operation of the SCIM endpoint.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum ScimOperation {
            $($name,)*
        }

        impl ScimOperation {
            /// All of them.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// AWS's name after `scim:`, so that it is never taken for the API's of the same name.
            pub fn name(self) -> &'static str {
                match self {
                    $(Self::$name => concat!("scim:", stringify!($name)),)*
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

operations! {
    Write CreateUser,
    Read GetUser,
    Read ListUsers,
    Write PatchUser,
    Write PutUser,
    Write DeleteUser,
    Write CreateGroup,
    Read GetGroup,
    Read ListGroups,
    Write PatchGroup,
    Write DeleteGroup,
    Read ServiceProviderConfig,
    Read ListSchemas,
    Read GetSchema,
    Read ListResourceTypes,
}
