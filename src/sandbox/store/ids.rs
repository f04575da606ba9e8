//! The ids of the store: `1234567890-` (optional) and a UUID, held in 22 bytes so that millions of memberships fit.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use uuid::Uuid;

/// An id as the identity store gives them out: ten hexadecimal digits of the store and a UUID, or (in stores that came
/// from the old AWS SSO) the UUID alone. Shown in lower case, and equal whatever the case of the letters.
///
/// Source: Identity Store API Reference, ResourceNotFoundException, ResourceId.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ResourceId {
    prefix: Option<[u8; 5]>,
    uuid: [u8; 16],
}

/// The text is not an id of the identity store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not an id of the form 1234567890-xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx")]
pub struct NotAnId;

impl ResourceId {
    /// The id of a new resource in the identity store `store`: `d-1234567890` gives the prefix, a UUID gives none.
    pub fn new(store: &str, uuid: Uuid) -> Self {
        let prefix = store.strip_prefix("d-").and_then(parse_prefix);
        Self { prefix, uuid: uuid.into_bytes() }
    }
}

fn parse_prefix(text: &str) -> Option<[u8; 5]> {
    let lower_hex = text.len() == 10 && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
    if !lower_hex {
        return None;
    }
    let number = u64::from_str_radix(text, 16).ok()?;
    let [_, _, _, bytes @ ..] = number.to_be_bytes();
    Some(bytes)
}

impl FromStr for ResourceId {
    type Err = NotAnId;

    fn from_str(text: &str) -> Result<Self, NotAnId> {
        let (prefix, uuid) = match text.len() {
            36 => (None, text),
            47 => {
                let (prefix, rest) = text.split_at_checked(10).ok_or(NotAnId)?;
                let prefix = parse_prefix(prefix).ok_or(NotAnId)?;
                (Some(prefix), rest.strip_prefix('-').ok_or(NotAnId)?)
            }
            _ => return Err(NotAnId),
        };
        // 36 characters leave only the form with dashes.
        let uuid = Uuid::try_parse(uuid).map_err(|_| NotAnId)?;
        Ok(Self { prefix, uuid: uuid.into_bytes() })
    }
}

impl fmt::Display for ResourceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(prefix) = self.prefix {
            for byte in prefix {
                write!(f, "{byte:02x}")?;
            }
            f.write_str("-")?;
        }
        write!(f, "{}", Uuid::from_bytes(self.uuid).as_hyphenated())
    }
}

impl fmt::Debug for ResourceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

impl Serialize for ResourceId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for ResourceId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        text.parse().map_err(|e| de::Error::custom(format_args!("{text:?}: {e}")))
    }
}

macro_rules! id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub ResourceId);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}({})", stringify!($name), self.0)
            }
        }

        impl FromStr for $name {
            type Err = NotAnId;

            fn from_str(text: &str) -> Result<Self, NotAnId> {
                text.parse().map(Self)
            }
        }
    };
}

id!(
    /// The id of a user in the sandbox's store.
    UserId
);
id!(
    /// The id of a group in the sandbox's store.
    GroupId
);
id!(
    /// The id of one user's membership of one group in the sandbox's store.
    MembershipId
);

#[cfg(test)]
mod tests {
    use super::*;

    const WITH: &str = "906762d1c7-01234567-89ab-4def-8123-456789abcdef";

    #[test]
    fn both_forms_survive_a_round_trip() {
        for text in [WITH, &WITH[11..]] {
            assert_eq!(text.parse::<ResourceId>().unwrap().to_string(), text);
            let json = serde_json::to_string(&text.parse::<UserId>().unwrap()).unwrap();
            assert_eq!(json, format!("\"{text}\""));
            assert_eq!(serde_json::from_str::<UserId>(&json).unwrap().to_string(), text);
        }
    }

    #[test]
    fn the_uuid_may_be_upper_case_but_not_the_prefix() {
        let upper = format!("906762d1c7-{}", WITH[11..].to_uppercase());
        assert_eq!(upper.parse::<ResourceId>(), WITH.parse());
        assert_eq!(WITH.to_uppercase().parse::<ResourceId>(), Err(NotAnId));
    }

    #[test]
    fn anything_else_is_refused() {
        for text in [
            "",
            "x",
            "01234567-89ab-4def-8123-456789abcde",
            "0123456789ab4def8123456789abcdef",
            "906762d1c7+01234567-89ab-4def-8123-456789abcdef",
            "+06762d1c7-01234567-89ab-4def-8123-456789abcdef",
            "906762d1c7-0123456789ab4def8123456789abcdef0000",
            "ééééé-01234567-89ab-4def-8123-456789abcdef",
            "{1234567-89ab-4def-8123-456789abcde}",
        ] {
            assert_eq!(text.parse::<ResourceId>(), Err(NotAnId), "{text}");
        }
    }

    #[test]
    fn a_new_id_carries_the_store_it_belongs_to() {
        let uuid = Uuid::from_u128(7);
        let id = ResourceId::new("d-9067642ac7", uuid).to_string();
        assert_eq!(id, "9067642ac7-00000000-0000-0000-0000-000000000007");
        let legacy = ResourceId::new("01234567-89ab-4def-8123-456789abcdef", uuid).to_string();
        assert_eq!(legacy, "00000000-0000-0000-0000-000000000007");
        assert_eq!(std::mem::size_of::<ResourceId>(), 22);
    }
}
