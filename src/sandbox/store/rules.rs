//! What a user or a group must look like, whoever writes it: lengths, characters, reserved names, required attributes.
//!
//! Source: Identity Store API Reference, CreateUser, CreateGroup and the shapes that they name.

use std::fmt;
use std::sync::LazyLock;

use regex::Regex;

use super::content::{Enterprise, Entry, ExternalId, GroupContent, UserAttributes, UserContent};

/// The longest userName, in characters.
pub const USER_NAME_MAX: usize = 128;
/// The longest other text, in characters.
pub const TEXT_MAX: usize = 1024;
/// The longest issuer or id of an external id, in characters.
pub const EXTERNAL_ID_MAX: usize = 256;

const NAME_PATTERN: &str = r"[\p{L}\p{M}\p{S}\p{N}\p{P}]+";
const TEXT_PATTERN: &str = "[\\p{L}\\p{M}\\p{S}\\p{N}\\p{P}\\t\\n\\r \u{a0}\u{3000}]+";
const DATE_PATTERN: &str = "[0-9]{4}-[0-9]{2}-[0-9]{2}";

static NAME: LazyLock<Result<Regex, regex::Error>> = LazyLock::new(|| whole(NAME_PATTERN));
static TEXT: LazyLock<Result<Regex, regex::Error>> = LazyLock::new(|| whole(TEXT_PATTERN));
static DATE: LazyLock<Result<Regex, regex::Error>> = LazyLock::new(|| whole(DATE_PATTERN));

fn whole(pattern: &str) -> Result<Regex, regex::Error> {
    Regex::new(&format!("^(?:{pattern})$"))
}

fn fits(pattern: &Result<Regex, regex::Error>, text: &str) -> bool {
    // A test holds that all three compile.
    pattern.as_ref().is_ok_and(|p| p.is_match(text))
}

/// Names that neither a user nor a group may have, whatever the case of the letters.
const RESERVED: [&str; 2] = ["administrator", "awsadministrators"];

/// One thing that is wrong with an input, and where (`name.givenName`, `emails.1.member.value`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    pub path: String,
    pub rule: Rule,
}

/// The rule that was broken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Rule {
    /// IAM Identity Center wants this attribute on every user or group.
    RequiredAttribute,
    /// The request lacks a member.
    NotNull,
    /// The member isn't one of this shape.
    UnknownMember,
    MinLength(usize),
    MaxLength(usize),
    MinValue(i64),
    MaxValue(i64),
    Pattern(&'static str),
    Reserved,
    /// Any other rule, in words that follow "failed to satisfy constraint: ".
    Other(&'static str),
}

impl Violation {
    pub fn new(path: impl Into<String>, rule: Rule) -> Self {
        Self { path: path.into(), rule }
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = &self.path;
        if self.rule == Rule::RequiredAttribute {
            return write!(f, "{path} is a required attribute");
        }
        write!(f, "Value at '{path}' failed to satisfy constraint: ")?;
        match &self.rule {
            Rule::RequiredAttribute | Rule::NotNull => f.write_str("Member must not be null"),
            Rule::UnknownMember => f.write_str("Member is not known"),
            Rule::MinLength(n) => write!(f, "Member must have length greater than or equal to {n}"),
            Rule::MaxLength(n) => write!(f, "Member must have length less than or equal to {n}"),
            Rule::MinValue(n) => write!(f, "Member must have value greater than or equal to {n}"),
            Rule::MaxValue(n) => write!(f, "Member must have value less than or equal to {n}"),
            Rule::Pattern(p) => write!(f, "Member must satisfy regular expression pattern: {p}"),
            Rule::Reserved => {
                f.write_str("Administrator and AWSAdministrators are reserved names and can't be used")
            }
            Rule::Other(words) => f.write_str(words),
        }
    }
}

/// Everything that is wrong with a user's content.
pub fn check_user(content: &UserContent) -> Vec<Violation> {
    let mut check = Check::default();
    let a = &content.attributes;
    check.required("userName", a.user_name.as_deref());
    check.required("name.givenName", a.name.as_ref().and_then(|n| n.given_name.as_deref()));
    check.required("name.familyName", a.name.as_ref().and_then(|n| n.family_name.as_deref()));
    check.required("displayName", a.display_name.as_deref());
    check.user_name(a.user_name.as_deref());
    check.user_texts(a);
    check.user_lists(a);
    if let Some(enterprise) = &a.enterprise {
        check.enterprise(enterprise);
    }
    check.external_ids(&content.external_ids);
    check.found
}

/// Everything that is wrong with a group's content.
pub fn check_group(content: &GroupContent) -> Vec<Violation> {
    let mut check = Check::default();
    check.required("displayName", content.display_name.as_deref());
    check.text("displayName", content.display_name.as_deref());
    check.reserved("displayName", content.display_name.as_deref());
    check.text("description", content.description.as_deref());
    check.external_ids(&content.external_ids);
    check.found
}

#[derive(Default)]
struct Check {
    found: Vec<Violation>,
}

impl Check {
    fn add(&mut self, path: &str, rule: Rule) {
        self.found.push(Violation::new(path, rule));
    }

    fn required(&mut self, path: &str, value: Option<&str>) {
        if value.is_none() {
            self.add(path, Rule::RequiredAttribute);
        }
    }

    fn limited(
        &mut self,
        path: &str,
        value: Option<&str>,
        max: usize,
        pattern: &Result<Regex, regex::Error>,
        shown: &'static str,
    ) {
        let Some(value) = value else { return };
        if value.is_empty() {
            self.add(path, Rule::MinLength(1));
            return;
        }
        if value.chars().count() > max {
            self.add(path, Rule::MaxLength(max));
        }
        if !fits(pattern, value) {
            self.add(path, Rule::Pattern(shown));
        }
    }

    fn text(&mut self, path: &str, value: Option<&str>) {
        self.limited(path, value, TEXT_MAX, &TEXT, TEXT_PATTERN);
    }

    fn user_name(&mut self, value: Option<&str>) {
        self.limited("userName", value, USER_NAME_MAX, &NAME, NAME_PATTERN);
        self.reserved("userName", value);
    }

    fn reserved(&mut self, path: &str, value: Option<&str>) {
        if value.is_some_and(|v| RESERVED.contains(&v.to_lowercase().as_str())) {
            self.add(path, Rule::Reserved);
        }
    }

    fn user_texts(&mut self, a: &UserAttributes) {
        if let Some(name) = &a.name {
            for (path, value) in [
                ("name.formatted", &name.formatted),
                ("name.familyName", &name.family_name),
                ("name.givenName", &name.given_name),
                ("name.middleName", &name.middle_name),
                ("name.honorificPrefix", &name.honorific_prefix),
                ("name.honorificSuffix", &name.honorific_suffix),
            ] {
                self.text(path, value.as_deref());
            }
        }
        for (path, value) in [
            ("displayName", &a.display_name),
            ("nickName", &a.nick_name),
            ("profileUrl", &a.profile_url),
            ("userType", &a.user_type),
            ("title", &a.title),
            ("preferredLanguage", &a.preferred_language),
            ("locale", &a.locale),
            ("timezone", &a.timezone),
            ("website", &a.website),
        ] {
            self.text(path, value.as_deref());
        }
        self.limited("birthdate", a.birthdate.as_deref(), TEXT_MAX, &DATE, DATE_PATTERN);
    }

    fn user_lists(&mut self, a: &UserAttributes) {
        self.entries("emails", &a.emails);
        self.entries("phoneNumbers", &a.phone_numbers);
        self.entries("roles", &a.roles);
        self.at_most("addresses", a.addresses.len(), 1);
        for (i, address) in a.addresses.iter().enumerate() {
            for (member, value) in [
                ("streetAddress", &address.street_address),
                ("locality", &address.locality),
                ("region", &address.region),
                ("postalCode", &address.postal_code),
                ("country", &address.country),
                ("formatted", &address.formatted),
                ("type", &address.kind),
            ] {
                self.text(&member_path("addresses", i, member), value.as_deref());
            }
        }
        self.at_most("photos", a.photos.len(), 3);
        for (i, photo) in a.photos.iter().enumerate() {
            if photo.value.is_none() {
                self.add(&member_path("photos", i, "value"), Rule::NotNull);
            }
            for (member, value) in
                [("value", &photo.value), ("type", &photo.kind), ("display", &photo.display)]
            {
                self.text(&member_path("photos", i, member), value.as_deref());
            }
        }
    }

    fn entries(&mut self, list: &str, entries: &[Entry]) {
        self.at_most(list, entries.len(), 1);
        for (i, entry) in entries.iter().enumerate() {
            self.text(&member_path(list, i, "value"), entry.value.as_deref());
            self.text(&member_path(list, i, "type"), entry.kind.as_deref());
        }
    }

    fn at_most(&mut self, list: &str, len: usize, max: usize) {
        if len > max {
            self.add(list, Rule::MaxLength(max));
        }
    }

    fn enterprise(&mut self, e: &Enterprise) {
        let manager = e.manager.as_ref();
        for (member, value) in [
            ("employeeNumber", e.employee_number.as_deref()),
            ("costCenter", e.cost_center.as_deref()),
            ("organization", e.organization.as_deref()),
            ("division", e.division.as_deref()),
            ("department", e.department.as_deref()),
            ("manager.value", manager.and_then(|m| m.value.as_deref())),
            ("manager.$ref", manager.and_then(|m| m.reference.as_deref())),
            ("manager.displayName", manager.and_then(|m| m.display_name.as_deref())),
        ] {
            self.text(&format!("aws:identitystore:enterprise.{member}"), value);
        }
    }

    fn external_ids(&mut self, ids: &[ExternalId]) {
        self.at_most("externalIds", ids.len(), 10);
        for (i, id) in ids.iter().enumerate() {
            for (member, value) in [("issuer", &id.issuer), ("id", &id.id)] {
                let path = member_path("externalIds", i, member);
                self.limited(&path, Some(value), EXTERNAL_ID_MAX, &NAME, NAME_PATTERN);
            }
        }
    }
}

fn member_path(list: &str, index: usize, member: &str) -> String {
    format!("{list}.{}.member.{member}", index + 1)
}

#[cfg(test)]
mod tests {
    use super::super::content::Name;
    use super::*;

    fn user(user_name: &str) -> UserContent {
        UserContent {
            attributes: UserAttributes {
                user_name: Some(user_name.into()),
                display_name: Some("Ada Lovelace".into()),
                name: Some(Name {
                    given_name: Some("Ada".into()),
                    family_name: Some("Lovelace".into()),
                    ..Name::default()
                }),
                ..UserAttributes::default()
            },
            ..UserContent::default()
        }
    }

    fn rules(found: Vec<Violation>) -> Vec<(String, Rule)> {
        found.into_iter().map(|v| (v.path, v.rule)).collect()
    }

    #[test]
    fn the_patterns_compile() {
        assert!(NAME.is_ok() && TEXT.is_ok() && DATE.is_ok());
    }

    #[test]
    fn a_user_name_has_128_characters_of_any_script_but_no_space() {
        for good in ["ada@example.com", "Zoë", "佐藤", "a<>;:%", "😀", &"é".repeat(128)] {
            assert_eq!(check_user(&user(good)), [], "{good}");
        }
        for bad in ["ada lovelace", "ada\u{a0}l", "ada\t", "a\u{200b}b", "a\u{3000}b"] {
            let found = rules(check_user(&user(bad)));
            assert_eq!(found, [("userName".to_owned(), Rule::Pattern(NAME_PATTERN))], "{bad:?}");
        }
        assert_eq!(
            rules(check_user(&user(&"x".repeat(129)))),
            [("userName".to_owned(), Rule::MaxLength(128))]
        );
        assert_eq!(rules(check_user(&user(""))), [("userName".to_owned(), Rule::MinLength(1))]);
    }

    #[test]
    fn reserved_names_are_refused_for_users_and_groups() {
        for name in ["Administrator", "AWSAdministrators", "administrator"] {
            assert_eq!(rules(check_user(&user(name))), [("userName".to_owned(), Rule::Reserved)]);
            let group = GroupContent { display_name: Some(name.into()), ..GroupContent::default() };
            assert_eq!(rules(check_group(&group)), [("displayName".to_owned(), Rule::Reserved)]);
        }
        assert_eq!(check_user(&user("Administrators")), []);
    }

    #[test]
    fn other_texts_may_have_spaces_and_line_ends_but_no_control_characters() {
        let mut content = user("ada");
        content.attributes.title = Some("Countess\tof\r\nLovelace \u{a0}\u{3000}x".into());
        assert_eq!(check_user(&content), []);
        content.attributes.title = Some("bell\u{7}".into());
        assert_eq!(rules(check_user(&content)), [("title".to_owned(), Rule::Pattern(TEXT_PATTERN))]);
        content.attributes.title = Some("é".repeat(1025));
        assert_eq!(rules(check_user(&content)), [("title".to_owned(), Rule::MaxLength(1024))]);
    }

    #[test]
    fn what_identity_center_requires_is_named_all_at_once() {
        let paths: Vec<_> = check_user(&UserContent::default()).iter().map(ToString::to_string).collect();
        assert_eq!(
            paths,
            [
                "userName is a required attribute",
                "name.givenName is a required attribute",
                "name.familyName is a required attribute",
                "displayName is a required attribute"
            ]
        );
    }

    #[test]
    fn lists_hold_one_value() {
        let mut content = user("ada");
        let entry = Entry { value: Some("a@example.com".into()), ..Entry::default() };
        content.attributes.emails = vec![entry.clone(), entry];
        assert_eq!(rules(check_user(&content)), [("emails".to_owned(), Rule::MaxLength(1))]);
        content.attributes.emails = vec![Entry { value: Some(String::new()), ..Entry::default() }];
        assert_eq!(
            check_user(&content).iter().map(ToString::to_string).collect::<Vec<_>>(),
            [
                "Value at 'emails.1.member.value' failed to satisfy constraint: Member must have length greater \
                 than or equal to 1"
            ]
        );
    }

    #[test]
    fn a_birthdate_is_a_date() {
        let mut content = user("ada");
        content.attributes.birthdate = Some("1815-12-10".into());
        assert_eq!(check_user(&content), []);
        content.attributes.birthdate = Some("10 December 1815".into());
        assert_eq!(rules(check_user(&content)), [("birthdate".to_owned(), Rule::Pattern(DATE_PATTERN))]);
    }
}
