//! Between the attributes of the model and the shapes of the API.
//!
//! Each list has at most one value here, the primary one, which is also all that the API takes. `externalId` is
//! in no input of the API. A type without an address, number or email has nothing to describe and is not sent.

use std::collections::{BTreeMap, HashMap};

use aws_sdk_identitystore::operation::create_user::builders::CreateUserInputBuilder;
use aws_sdk_identitystore::operation::describe_group::DescribeGroupOutput;
use aws_sdk_identitystore::operation::describe_user::DescribeUserOutput;
use aws_sdk_identitystore::types::{Address, Email, ExternalId, Group, Name, PhoneNumber, User, UserStatus};
use aws_smithy_types::Document;

use crate::model::{GroupAttributes, ObservedGroup, ObservedUser, UserAttribute as A, UserAttributes};

/// The only extension that the API knows (CreateUser, `Extensions`).
pub(super) const ENTERPRISE: &str = "aws:identitystore:enterprise";

const ENTERPRISE_ATTRIBUTES: [A; 6] =
    [A::EmployeeNumber, A::CostCenter, A::Organization, A::Division, A::Department, A::Manager];

/// What is empty is absent: the API refuses the empty string.
fn text(attributes: &UserAttributes, attribute: A) -> Option<String> {
    attributes.get(&attribute).filter(|v| !v.is_empty()).cloned()
}

/// The input of CreateUser, but for the identity store's id.
pub(super) fn create_user(attributes: &UserAttributes) -> CreateUserInputBuilder {
    let get = |attribute| text(attributes, attribute);
    CreateUserInputBuilder::default()
        .set_user_name(get(A::UserName))
        .set_display_name(get(A::DisplayName))
        .set_name(name(attributes))
        .set_nick_name(get(A::NickName))
        .set_profile_url(get(A::ProfileUrl))
        .set_emails(email(attributes).map(|e| vec![e]))
        .set_phone_numbers(phone_number(attributes).map(|p| vec![p]))
        .set_addresses(address(attributes).map(|a| vec![a]))
        .set_user_type(get(A::UserType))
        .set_title(get(A::Title))
        .set_preferred_language(get(A::PreferredLanguage))
        .set_locale(get(A::Locale))
        .set_timezone(get(A::Timezone))
        .set_website(get(A::Website))
        .set_extensions(enterprise(attributes).map(|e| HashMap::from([(ENTERPRISE.to_owned(), e)])))
}

fn name(attributes: &UserAttributes) -> Option<Name> {
    let get = |attribute| text(attributes, attribute);
    let name = Name::builder()
        .set_given_name(get(A::GivenName))
        .set_family_name(get(A::FamilyName))
        .set_middle_name(get(A::MiddleName))
        .set_formatted(get(A::FormattedName))
        .set_honorific_prefix(get(A::HonorificPrefix))
        .set_honorific_suffix(get(A::HonorificSuffix))
        .build();
    (name != Name::builder().build()).then_some(name)
}

fn email(attributes: &UserAttributes) -> Option<Email> {
    let value = text(attributes, A::Email)?;
    Some(Email::builder().value(value).set_type(text(attributes, A::EmailType)).primary(true).build())
}

fn phone_number(attributes: &UserAttributes) -> Option<PhoneNumber> {
    let value = text(attributes, A::Phone)?;
    Some(PhoneNumber::builder().value(value).set_type(text(attributes, A::PhoneType)).primary(true).build())
}

fn address(attributes: &UserAttributes) -> Option<Address> {
    let get = |attribute| text(attributes, attribute);
    let builder = Address::builder()
        .set_street_address(get(A::AddressStreet))
        .set_locality(get(A::AddressLocality))
        .set_region(get(A::AddressRegion))
        .set_postal_code(get(A::AddressPostalCode))
        .set_country(get(A::AddressCountry))
        .set_formatted(get(A::AddressFormatted));
    let empty = builder.clone().build() == Address::builder().build();
    (!empty).then(|| builder.set_type(get(A::AddressType)).primary(true).build())
}

fn enterprise(attributes: &UserAttributes) -> Option<Document> {
    let members: HashMap<String, Document> = ENTERPRISE_ATTRIBUTES
        .into_iter()
        .filter_map(|a| Some((enterprise_member(a)?.to_owned(), enterprise_value(attributes, a)?)))
        .collect();
    (!members.is_empty()).then_some(Document::Object(members))
}

/// The member's name within the extension; the same as in SCIM's (RFC 7643 section 4.3).
fn enterprise_member(attribute: A) -> Option<&'static str> {
    attribute.path().strip_prefix("enterprise.")
}

fn enterprise_value(attributes: &UserAttributes, attribute: A) -> Option<Document> {
    let value = Document::String(text(attributes, attribute)?);
    Some(match attribute {
        A::Manager => Document::Object(HashMap::from([("value".to_owned(), value)])),
        _ => value,
    })
}

/// The operations of UpdateUser: path and value, `Null` to unset, each path once. There are fewer paths than the
/// 100 operations that one request may have (UpdateUser, `Operations`).
pub(super) fn update_user(changed: &[A], desired: &UserAttributes) -> BTreeMap<String, Document> {
    changed
        .iter()
        .filter_map(|attribute| {
            let (path, value) = operation(*attribute, desired)?;
            Some((path, value.unwrap_or(Document::Null)))
        })
        .collect()
}

/// Lists are written whole: UpdateUser does not reach into them.
fn operation(attribute: A, desired: &UserAttributes) -> Option<(String, Option<Document>)> {
    Some(match attribute {
        A::Email | A::EmailType => {
            ("emails".to_owned(), email(desired).map(|e| one(entry(e.value, e.r#type))))
        }
        A::Phone | A::PhoneType => {
            ("phoneNumbers".to_owned(), phone_number(desired).map(|p| one(entry(p.value, p.r#type))))
        }
        A::AddressStreet
        | A::AddressLocality
        | A::AddressRegion
        | A::AddressPostalCode
        | A::AddressCountry
        | A::AddressFormatted
        | A::AddressType => ("addresses".to_owned(), address(desired).map(|a| one(address_document(a)))),
        A::ExternalId => return None,
        _ => match enterprise_member(attribute) {
            Some(member) => (format!("{ENTERPRISE}.{member}"), enterprise_value(desired, attribute)),
            None => (attribute.path().to_owned(), text(desired, attribute).map(Document::String)),
        },
    })
}

fn one(document: Document) -> Document {
    Document::Array(vec![document])
}

/// Documents have the member names of SCIM, in camelCase.
fn object(members: impl IntoIterator<Item = (&'static str, Option<String>)>) -> Document {
    let mut object: HashMap<String, Document> = members
        .into_iter()
        .filter_map(|(name, value)| Some((name.to_owned(), Document::String(value?))))
        .collect();
    object.insert("primary".to_owned(), Document::Bool(true));
    Document::Object(object)
}

fn entry(value: Option<String>, kind: Option<String>) -> Document {
    object([("value", value), ("type", kind)])
}

fn address_document(address: Address) -> Document {
    object([
        ("streetAddress", address.street_address),
        ("locality", address.locality),
        ("region", address.region),
        ("postalCode", address.postal_code),
        ("country", address.country),
        ("formatted", address.formatted),
        ("type", address.r#type),
    ])
}

/// The operations of UpdateGroup.
pub(super) fn update_group(
    before: &GroupAttributes,
    desired: &GroupAttributes,
) -> BTreeMap<String, Document> {
    let mut operations = BTreeMap::new();
    if before.display_name != desired.display_name {
        operations.insert("displayName".to_owned(), Document::String(desired.display_name.clone()));
    }
    let (old, new) = (description(before), description(desired));
    if old != new {
        let value = new.map_or(Document::Null, |d| Document::String(d.to_owned()));
        operations.insert("description".to_owned(), value);
    }
    operations
}

pub(super) fn description(group: &GroupAttributes) -> Option<&str> {
    group.description.as_deref().filter(|d| !d.is_empty())
}

/// DescribeUser's answer has the members of ListUsers' users, as another type.
macro_rules! observed_user {
    ($user:expr) => {{
        let user = $user;
        let mut attributes = UserAttributes::new();
        let mut put = |attribute: A, value: Option<String>| {
            if let Some(value) = value.filter(|v| !v.is_empty()) {
                attributes.insert(attribute, value);
            }
        };
        put(A::UserName, user.user_name);
        put(A::DisplayName, user.display_name);
        put(A::NickName, user.nick_name);
        put(A::ProfileUrl, user.profile_url);
        put(A::UserType, user.user_type);
        put(A::Title, user.title);
        put(A::PreferredLanguage, user.preferred_language);
        put(A::Locale, user.locale);
        put(A::Timezone, user.timezone);
        put(A::Website, user.website);
        if let Some(name) = user.name {
            put(A::GivenName, name.given_name);
            put(A::FamilyName, name.family_name);
            put(A::MiddleName, name.middle_name);
            put(A::FormattedName, name.formatted);
            put(A::HonorificPrefix, name.honorific_prefix);
            put(A::HonorificSuffix, name.honorific_suffix);
        }
        if let Some(email) = primary(user.emails, |e| e.primary) {
            put(A::Email, email.value);
            put(A::EmailType, email.r#type);
        }
        if let Some(phone) = primary(user.phone_numbers, |p| p.primary) {
            put(A::Phone, phone.value);
            put(A::PhoneType, phone.r#type);
        }
        if let Some(address) = primary(user.addresses, |a| a.primary) {
            put(A::AddressStreet, address.street_address);
            put(A::AddressLocality, address.locality);
            put(A::AddressRegion, address.region);
            put(A::AddressPostalCode, address.postal_code);
            put(A::AddressCountry, address.country);
            put(A::AddressFormatted, address.formatted);
            put(A::AddressType, address.r#type);
        }
        if let Some(Document::Object(extension)) = user.extensions.and_then(|mut e| e.remove(ENTERPRISE)) {
            for attribute in ENTERPRISE_ATTRIBUTES {
                put(attribute, enterprise_member(attribute).and_then(|m| extension.get(m)).and_then(plain));
            }
        }
        ObservedUser {
            attributes,
            disabled: user.user_status == Some(UserStatus::Disabled),
            external_ids: external_ids(user.external_ids),
        }
    }};
}

pub(super) fn described_user(user: DescribeUserOutput) -> ObservedUser {
    observed_user!(user)
}

pub(super) fn listed_user(user: User) -> ObservedUser {
    observed_user!(user)
}

/// All addresses of a user, the primary one or not.
pub(super) fn emails(user: &User) -> impl Iterator<Item = &str> {
    user.emails().iter().filter_map(Email::value)
}

pub(super) fn described_group(group: DescribeGroupOutput) -> ObservedGroup {
    observed_group(group.display_name, group.description, group.external_ids)
}

pub(super) fn listed_group(group: Group) -> ObservedGroup {
    observed_group(group.display_name, group.description, group.external_ids)
}

fn observed_group(
    display_name: Option<String>,
    description: Option<String>,
    ids: Option<Vec<ExternalId>>,
) -> ObservedGroup {
    ObservedGroup {
        attributes: GroupAttributes {
            display_name: display_name.unwrap_or_default(),
            description: description.filter(|d| !d.is_empty()),
            external_id: None,
        },
        external_ids: external_ids(ids),
        members: None,
    }
}

fn external_ids(ids: Option<Vec<ExternalId>>) -> Vec<(String, String)> {
    ids.unwrap_or_default().into_iter().map(|e| (e.issuer, e.id)).collect()
}

/// The one marked as primary, else the first: people who write by hand often mark none.
fn primary<T>(list: Option<Vec<T>>, is_primary: impl Fn(&T) -> bool) -> Option<T> {
    let mut list = list?;
    let at = list.iter().position(is_primary).unwrap_or(0);
    (at < list.len()).then(|| list.swap_remove(at))
}

/// A text, or the `value` of an object (a manager).
fn plain(document: &Document) -> Option<String> {
    match document {
        Document::String(text) => Some(text.clone()),
        Document::Object(members) => members.get("value")?.as_string().map(str::to_owned),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn everything() -> UserAttributes {
        A::ALL.iter().filter(|a| **a != A::ExternalId).map(|a| (*a, format!("{a} ß"))).collect()
    }

    /// The user that the service would show after this CreateUser.
    fn stored(attributes: &UserAttributes) -> User {
        let input = create_user(attributes).identity_store_id("d-1234567890").build().unwrap();
        User::builder()
            .identity_store_id("d-1234567890")
            .user_id("u")
            .user_arn("")
            .revision("")
            .set_user_name(input.user_name)
            .set_name(input.name)
            .set_display_name(input.display_name)
            .set_nick_name(input.nick_name)
            .set_profile_url(input.profile_url)
            .set_emails(input.emails)
            .set_addresses(input.addresses)
            .set_phone_numbers(input.phone_numbers)
            .set_user_type(input.user_type)
            .set_title(input.title)
            .set_preferred_language(input.preferred_language)
            .set_locale(input.locale)
            .set_timezone(input.timezone)
            .set_website(input.website)
            .set_extensions(input.extensions)
            .build()
            .unwrap()
    }

    #[test]
    fn what_is_created_reads_back_the_same() {
        let mut all = everything();
        assert_eq!(listed_user(stored(&all)).attributes, all);
        // Each attribute alone: none depends on another, but for the types of lists.
        for (attribute, value) in std::mem::take(&mut all) {
            let alone = UserAttributes::from([(attribute, value)]);
            let read = listed_user(stored(&alone)).attributes;
            match attribute {
                A::EmailType | A::PhoneType | A::AddressType => assert!(read.is_empty()),
                _ => assert_eq!(read, alone),
            }
        }
    }

    #[test]
    fn what_is_absent_or_empty_is_not_sent() {
        let input = create_user(&UserAttributes::from([(A::Title, String::new())])).build().unwrap();
        assert_eq!(input, CreateUserInputBuilder::default().build().unwrap());
    }

    #[test]
    fn every_attribute_has_a_path_that_the_api_takes() {
        // UpdateUser's pattern for AttributePath.
        let pattern = r"^(?:\p{L}+:\p{L}+:\p{L}+(?:\.\p{L}+){0,3}|\p{L}+(?:\.\p{L}+){0,2})$";
        let pattern = regex::Regex::new(pattern).unwrap();
        let operations = update_user(A::ALL, &everything());
        for (path, value) in &operations {
            assert!(pattern.is_match(path), "{path}");
            assert_ne!(*value, Document::Null, "{path}");
        }
        // 34 attributes, less externalId, the email's and the phone's type, and six parts of the address.
        assert_eq!(operations.len(), A::ALL.len() - 1 - 2 - 6);
        assert_eq!(
            operations[&format!("{ENTERPRISE}.manager")],
            Document::Object(HashMap::from([("value".to_owned(), "enterprise.manager ß".into())]))
        );
    }

    #[test]
    fn only_what_changed_is_written_and_lists_whole() {
        let desired = UserAttributes::from([
            (A::UserName, "anna".to_owned()),
            (A::Email, "anna@example.com".to_owned()),
            (A::EmailType, "work".to_owned()),
            (A::AddressLocality, "Zürich".to_owned()),
            (A::AddressCountry, "CH".to_owned()),
        ]);
        let changed = [A::EmailType, A::AddressLocality, A::Title, A::PhoneType, A::Manager, A::ExternalId];
        let operations = update_user(&changed, &desired);
        let entries = |list: &[(&str, &str)]| {
            let mut members: HashMap<String, Document> =
                list.iter().map(|(k, v)| ((*k).to_owned(), Document::from(*v))).collect();
            members.insert("primary".to_owned(), true.into());
            Document::Array(vec![Document::Object(members)])
        };
        assert_eq!(
            operations,
            BTreeMap::from([
                ("addresses".to_owned(), entries(&[("locality", "Zürich"), ("country", "CH")])),
                (format!("{ENTERPRISE}.manager"), Document::Null),
                ("emails".to_owned(), entries(&[("value", "anna@example.com"), ("type", "work")])),
                ("phoneNumbers".to_owned(), Document::Null),
                ("title".to_owned(), Document::Null),
            ])
        );
    }

    #[test]
    fn of_several_values_the_primary_is_read_else_the_first() {
        let email = |value: &str, primary| Email::builder().value(value).primary(primary).build();
        let user = |emails| {
            let user = User::builder()
                .identity_store_id("d-1234567890")
                .user_id("u")
                .user_arn("")
                .revision("")
                .set_emails(Some(emails));
            listed_user(user.build().unwrap()).attributes.get(&A::Email).cloned()
        };
        assert_eq!(user(vec![email("a@x", false), email("b@x", true)]), Some("b@x".to_owned()));
        assert_eq!(user(vec![email("a@x", false), email("b@x", false)]), Some("a@x".to_owned()));
        assert_eq!(user(vec![]), None);
    }

    #[test]
    fn a_group_is_updated_where_it_differs() {
        let group = |name: &str, description: Option<&str>| GroupAttributes {
            display_name: name.to_owned(),
            description: description.map(str::to_owned),
            external_id: Some("never sent".to_owned()),
        };
        let old = group("a", Some("x"));
        assert!(update_group(&old, &old).is_empty());
        assert_eq!(
            update_group(&old, &group("a", Some(""))),
            [("description".to_owned(), Document::Null)].into()
        );
        assert_eq!(
            update_group(&old, &group("b", Some("x"))),
            [("displayName".to_owned(), "b".into())].into()
        );
        assert!(update_group(&group("a", None), &group("a", Some(""))).is_empty());
    }
}
