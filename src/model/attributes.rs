//! The attributes of users and groups in the target, by the names that a mapping gives them.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

macro_rules! attributes {
    ($(#[$outer:meta])* $name:ident, $what:literal: $($(#[$meta:meta])* $variant:ident = $path:literal,)*) => {
        $(#[$outer])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum $name { $($(#[$meta])* $variant,)* }

        impl $name {
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// The name in a mapping, in plans and in JSON.
            pub fn path(self) -> &'static str {
                match self { $(Self::$variant => $path,)* }
            }

            /// Case counts, as in RFC 7643's JSON.
            pub fn parse(path: &str) -> Option<Self> {
                Self::ALL.iter().copied().find(|a| a.path() == path)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.path())
            }
        }

        impl Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(self.path())
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let path = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
                Self::parse(&path)
                    .ok_or_else(|| serde::de::Error::custom(format!(concat!("no ", $what, " attribute `{}`"), path)))
            }
        }
    };
}

attributes! {
    /// A writable attribute of a user, named as in RFC 7643 with AWS's `[primary]` form for lists.
    UserAttribute, "user":
    UserName = "userName",
    DisplayName = "displayName",
    GivenName = "name.givenName",
    FamilyName = "name.familyName",
    MiddleName = "name.middleName",
    FormattedName = "name.formatted",
    HonorificPrefix = "name.honorificPrefix",
    HonorificSuffix = "name.honorificSuffix",
    NickName = "nickName",
    ProfileUrl = "profileUrl",
    Email = "emails[primary].value",
    EmailType = "emails[primary].type",
    Phone = "phoneNumbers[primary].value",
    PhoneType = "phoneNumbers[primary].type",
    AddressStreet = "addresses[primary].streetAddress",
    AddressLocality = "addresses[primary].locality",
    AddressRegion = "addresses[primary].region",
    AddressPostalCode = "addresses[primary].postalCode",
    AddressCountry = "addresses[primary].country",
    AddressFormatted = "addresses[primary].formatted",
    AddressType = "addresses[primary].type",
    UserType = "userType",
    Title = "title",
    PreferredLanguage = "preferredLanguage",
    Locale = "locale",
    Timezone = "timezone",
    Website = "website",
    /// Written over SCIM only: the API has it in no input.
    ExternalId = "externalId",
    EmployeeNumber = "enterprise.employeeNumber",
    CostCenter = "enterprise.costCenter",
    Organization = "enterprise.organization",
    Division = "enterprise.division",
    Department = "enterprise.department",
    Manager = "enterprise.manager",
}

attributes! {
    /// A writable attribute of a group.
    GroupAttribute, "group":
    DisplayName = "displayName",
    /// Written over the API only: SCIM has none.
    Description = "description",
    /// Written over SCIM only: the API has it in no input.
    ExternalId = "externalId",
}

impl UserAttribute {
    /// The target refuses a user without these.
    pub fn is_required(self) -> bool {
        matches!(self, Self::UserName | Self::DisplayName | Self::GivenName | Self::FamilyName)
    }
}

/// A user's attributes; what is empty is absent.
pub type UserAttributes = BTreeMap<UserAttribute, String>;

/// A group's attributes; `external_id` is written over SCIM only, `description` over the API only.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct GroupAttributes {
    pub display_name: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub external_id: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_path_is_read_back() {
        for attribute in UserAttribute::ALL {
            assert_eq!(UserAttribute::parse(attribute.path()), Some(*attribute));
        }
        for attribute in GroupAttribute::ALL {
            assert_eq!(GroupAttribute::parse(attribute.path()), Some(*attribute));
        }
        assert_eq!(UserAttribute::parse("username"), None);
    }
}
