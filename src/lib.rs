//! idcsync keeps the identity store of AWS IAM Identity Center in step with Active Directory and other LDAP directories.

#[cfg(feature = "sandbox")]
pub mod sandbox;
