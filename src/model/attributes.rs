//! The attributes of users and groups in the target, by the names that a mapping gives them.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

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

/// The same in one piece of memory, for the hundred thousand users that are desired at one time: for each attribute its
/// place among all of them, the value's length, and the value.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct UserValues(Arc<[u8]>);

/// Nearly all are short: seven bits in a byte, the lowest first, and another byte follows where the eighth is set.
fn put_length(packed: &mut Vec<u8>, mut length: usize) {
    while length > 0x7f {
        packed.push(length.to_le_bytes()[0] | 0x80);
        length >>= 7;
    }
    packed.push(length.to_le_bytes()[0]);
}

fn length(packed: &[u8]) -> Option<(usize, &[u8])> {
    let mut length = 0;
    for (at, byte) in packed.iter().enumerate() {
        length |= usize::from(byte & 0x7f).checked_shl(u32::try_from(7 * at).ok()?)?;
        if byte & 0x80 == 0 {
            return Some((length, packed.get(at + 1..)?));
        }
    }
    None
}

impl UserValues {
    pub fn get(&self, attribute: UserAttribute) -> Option<&str> {
        self.iter().find(|(other, _)| *other == attribute).map(|(_, value)| value)
    }

    /// In the order of the attributes.
    pub fn iter(&self) -> impl Iterator<Item = (UserAttribute, &str)> {
        let mut left = &*self.0;
        std::iter::from_fn(move || {
            let (place, rest) = left.split_first()?;
            let (length, rest) = length(rest)?;
            let (value, rest) = rest.split_at_checked(length)?;
            left = rest;
            Some((*UserAttribute::ALL.get(usize::from(*place))?, std::str::from_utf8(value).ok()?))
        })
    }

    pub fn to_attributes(&self) -> UserAttributes {
        self.iter().map(|(attribute, value)| (attribute, value.to_owned())).collect()
    }
}

impl From<&UserAttributes> for UserValues {
    fn from(attributes: &UserAttributes) -> Self {
        let mut packed = Vec::new();
        for (attribute, value) in attributes {
            packed.push(*attribute as u8);
            put_length(&mut packed, value.len());
            packed.extend_from_slice(value.as_bytes());
        }
        Self(packed.into())
    }
}

impl fmt::Debug for UserValues {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter()).finish()
    }
}

impl Serialize for UserValues {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.iter())
    }
}

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

    #[test]
    fn values_in_one_piece_are_those_that_were_put_in() {
        // Lengths of one, two and three bytes.
        let value = |attribute: UserAttribute| {
            let times = [1, 64, 8_192][attribute as usize % 3];
            (attribute, format!("é \u{0} {attribute}").repeat(times))
        };
        let all: UserAttributes = UserAttribute::ALL.iter().copied().map(value).collect();
        let some: UserAttributes = UserAttribute::ALL.iter().copied().step_by(3).map(value).collect();
        for attributes in [all, some, UserAttributes::new()] {
            let values = UserValues::from(&attributes);
            assert_eq!(values.to_attributes(), attributes);
            for attribute in UserAttribute::ALL {
                assert_eq!(values.get(*attribute), attributes.get(attribute).map(String::as_str));
            }
            let json = |what: serde_json::Result<serde_json::Value>| what.unwrap();
            assert_eq!(json(serde_json::to_value(&values)), json(serde_json::to_value(&attributes)));
        }
    }
}
