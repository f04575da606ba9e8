//! The members of CreateUser that make up a user.

use serde_json::Value;

use super::members::{Members, Problems};
use super::patch;
use super::request::{ENTERPRISE, known_extension};
use crate::sandbox::store::{Address, Enterprise, Entry, Name, Photo, Rule, UserAttributes};

/// Reads them all; the store's own rules look at lengths and characters afterwards.
pub fn read(m: &mut Members, p: &mut Problems) -> UserAttributes {
    UserAttributes {
        user_name: m.text("UserName", p),
        name: m.structure("Name", p).map(|n| name(n, p)),
        display_name: m.text("DisplayName", p),
        nick_name: m.text("NickName", p),
        profile_url: m.text("ProfileUrl", p),
        emails: list(m, "Emails", 1, entry, p),
        addresses: list(m, "Addresses", 1, address, p),
        phone_numbers: list(m, "PhoneNumbers", 1, entry, p),
        user_type: m.text("UserType", p),
        title: m.text("Title", p),
        preferred_language: m.text("PreferredLanguage", p),
        locale: m.text("Locale", p),
        timezone: m.text("Timezone", p),
        website: m.text("Website", p),
        birthdate: m.text("Birthdate", p),
        photos: list(m, "Photos", 3, photo, p),
        roles: list(m, "Roles", 1, entry, p),
        enterprise: extensions(m, p),
    }
}

fn list<T>(
    m: &mut Members,
    member: &str,
    max: usize,
    read: fn(Members, &mut Problems) -> T,
    p: &mut Problems,
) -> Vec<T> {
    let items = m.structures(member, (1, max), p).unwrap_or_default();
    // A list that is too long is a problem already; what is past its end need not be looked at.
    items.into_iter().take(max).map(|item| read(item, p)).collect()
}

fn name(mut m: Members, p: &mut Problems) -> Name {
    let name = Name {
        formatted: m.text("Formatted", p),
        family_name: m.text("FamilyName", p),
        given_name: m.text("GivenName", p),
        middle_name: m.text("MiddleName", p),
        honorific_prefix: m.text("HonorificPrefix", p),
        honorific_suffix: m.text("HonorificSuffix", p),
    };
    m.finish(p);
    name
}

fn entry(mut m: Members, p: &mut Problems) -> Entry {
    let entry =
        Entry { value: m.text("Value", p), kind: m.text("Type", p), primary: m.boolean("Primary", p) };
    m.finish(p);
    entry
}

fn address(mut m: Members, p: &mut Problems) -> Address {
    let address = Address {
        street_address: m.text("StreetAddress", p),
        locality: m.text("Locality", p),
        region: m.text("Region", p),
        postal_code: m.text("PostalCode", p),
        country: m.text("Country", p),
        formatted: m.text("Formatted", p),
        kind: m.text("Type", p),
        primary: m.boolean("Primary", p),
    };
    m.finish(p);
    address
}

fn photo(mut m: Members, p: &mut Problems) -> Photo {
    let photo = Photo {
        value: m.text("Value", p),
        kind: m.text("Type", p),
        display: m.text("Display", p),
        primary: m.boolean("Primary", p),
    };
    m.finish(p);
    photo
}

/// `Extensions` is a map from the extension's name to a document with its attributes in camelCase.
fn extensions(m: &mut Members, p: &mut Problems) -> Option<Enterprise> {
    let mut map = m.structure("Extensions", p)?;
    let names = map.names();
    if names.is_empty() {
        p.add("extensions", Rule::MinLength(1));
    }
    let mut enterprise = None;
    for name in names {
        known_extension("extensions", &name, p);
        let document = map.document(&name);
        if name == ENTERPRISE
            && let Some(document @ Value::Object(_)) = document
            && let Ok(attributes) = serde_json::from_value::<Enterprise>(document)
        {
            enterprise = Some(attributes);
        } else if name == ENTERPRISE {
            p.add(format!("extensions.{name}"), Rule::Other(patch::NOT_ENTERPRISE));
        }
    }
    enterprise
}
