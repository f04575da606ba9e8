//! The mapping of a profile as a whole: one directory object → what the target should hold of it, and what is
//! wrong with it.

use std::cell::LazyCell;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Deref;

use super::expression::{AttributesNeeded, Expression};
use super::limits::{self, Problem};
use super::view::View;
use super::{defaults, subject};
use crate::ids::Dn;
use crate::model::{
    Code, DirectoryGroup, DirectoryKind, DirectoryUser, Finding, GroupAttribute, GroupAttributes, Kind,
    Subject, UserAttribute, UserAttributes,
};

/// Expressions for the attributes of users and groups, the defaults among them.
#[derive(Clone, Debug)]
pub struct Mapping {
    kind: DirectoryKind,
    user: BTreeMap<UserAttribute, Expression>,
    group: BTreeMap<GroupAttribute, Expression>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MappedUser {
    pub attributes: UserAttributes,
    pub findings: Vec<Finding>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MappedGroup {
    pub attributes: GroupAttributes,
    pub findings: Vec<Finding>,
}

impl MappedUser {
    /// Whether the target would take these attributes. Where not, the user is not created, and one that is
    /// linked keeps its last good values.
    pub fn is_writable(&self) -> bool {
        is_writable(&self.findings)
    }
}

impl MappedGroup {
    /// As [`MappedUser::is_writable`].
    pub fn is_writable(&self) -> bool {
        is_writable(&self.findings)
    }
}

fn is_writable(findings: &[Finding]) -> bool {
    let stops = [Code::RequiredAttributeMissing, Code::AttributeInvalid, Code::MappingFailed];
    !findings.iter().any(|finding| stops.contains(&finding.code))
}

impl Mapping {
    /// `user` and `group` are what the config names; everything else keeps the default for the kind of
    /// directory.
    pub fn new(
        kind: DirectoryKind,
        user: BTreeMap<UserAttribute, Expression>,
        group: BTreeMap<GroupAttribute, Expression>,
    ) -> Self {
        let mut all_user = defaults::user(kind);
        all_user.extend(user);
        let mut all_group = defaults::group(kind);
        all_group.extend(group);
        Self { kind, user: all_user, group: all_group }
    }

    pub fn kind(&self) -> DirectoryKind {
        self.kind
    }

    /// Every attribute of users that is mapped, and how.
    pub fn user_expressions(&self) -> &BTreeMap<UserAttribute, Expression> {
        &self.user
    }

    /// Every attribute of groups that is mapped, and how.
    pub fn group_expressions(&self) -> &BTreeMap<GroupAttribute, Expression> {
        &self.group
    }

    /// What must be read from the directory, names in lower case; with `*` where an expression may look at
    /// everything (operational attributes are then still named one by one).
    pub fn attributes_needed(&self) -> BTreeSet<String> {
        let mut names = BTreeSet::new();
        for expression in self.user.values().chain(self.group.values()) {
            let AttributesNeeded { all, names: named } = expression.attributes();
            names.extend(named);
            if all {
                names.insert("*".to_owned());
            }
        }
        names
    }

    /// `writes_external_id` is the target's: without it `externalId` is left out.
    pub fn user(&self, user: &DirectoryUser, writes_external_id: bool) -> MappedUser {
        // Nearly nobody has a finding.
        let about = LazyCell::new(|| subject::of(Kind::User, user.anchor, user.sid.as_ref(), &user.dn));
        let wanted = |attribute: UserAttribute| writes_external_id || attribute != UserAttribute::ExternalId;
        let expressions = self.user.iter().filter(|(attribute, _)| wanted(**attribute));
        let (mut attributes, failed) = evaluate(&View::of_user(self.kind, user), expressions);
        drop_bare_types(&mut attributes);

        let missing: Vec<String> = UserAttribute::ALL
            .iter()
            .filter(|a| a.is_required() && !attributes.contains_key(a) && !failed.contains_key(*a))
            .map(|a| missing(a.path(), self.user.get(a)))
            .collect();
        let mut findings = Vec::new();
        findings.extend(failed_finding(&about, failed.iter().map(|(a, e)| (a.path(), e))));
        findings.extend(missing_finding(&about, &missing, &user.dn));
        findings.extend(invalid_finding(&about, &limits::check_user(&attributes)));
        if !attributes.contains_key(&UserAttribute::Email) && !failed.contains_key(&UserAttribute::Email) {
            let message = "has no primary e-mail address: synced without one. Fill the attribute that \
                 `emails[primary].value` is mapped from, if applications need an address";
            findings.push(Finding::new(Code::EmailMissing, about.clone(), message));
        }
        if attributes.get(&UserAttribute::UserName).is_some_and(|name| !limits::is_address(name)) {
            let message = "the userName is not of the form name@domain, which the nameID of SAML sign-in must \
                 match: map userName to an attribute that holds such a name";
            findings.push(Finding::new(Code::UserNameNotAnAddress, about.clone(), message));
        }
        MappedUser { attributes, findings }
    }

    /// Both flags are the target's: what it cannot write is left out.
    pub fn group(
        &self,
        group: &DirectoryGroup,
        writes_external_id: bool,
        has_description: bool,
    ) -> MappedGroup {
        let about = LazyCell::new(|| subject::of(Kind::Group, group.anchor, group.sid.as_ref(), &group.dn));
        let expressions = self.group.iter().filter(|(attribute, _)| match attribute {
            GroupAttribute::DisplayName => true,
            GroupAttribute::Description => has_description,
            GroupAttribute::ExternalId => writes_external_id,
        });
        let (mut values, failed) = evaluate(&View::of_group(self.kind, group), expressions);
        let display_name = values.remove(&GroupAttribute::DisplayName);
        let named = display_name.is_some() || failed.contains_key(&GroupAttribute::DisplayName);
        let attributes = GroupAttributes {
            display_name: display_name.unwrap_or_default(),
            description: values.remove(&GroupAttribute::Description),
            external_id: values.remove(&GroupAttribute::ExternalId),
        };

        let mut findings = Vec::new();
        findings.extend(failed_finding(&about, failed.iter().map(|(a, e)| (a.path(), e))));
        let mut problems = limits::check_group(&attributes);
        if attributes.display_name.is_empty() {
            problems.retain(|problem| problem.attribute != GroupAttribute::DisplayName.path());
        }
        if !named {
            let attribute = GroupAttribute::DisplayName;
            findings.extend(missing_finding(
                &about,
                &[missing(attribute.path(), self.group.get(&attribute))],
                &group.dn,
            ));
        }
        findings.extend(invalid_finding(&about, &problems));
        MappedGroup { attributes, findings }
    }
}

/// The values, and why there are none.
fn evaluate<'m, A: Copy + Ord + 'm>(
    entry: &View<'_>,
    expressions: impl Iterator<Item = (&'m A, &'m Expression)>,
) -> (BTreeMap<A, String>, BTreeMap<A, String>) {
    let (mut values, mut failed) = (BTreeMap::new(), BTreeMap::new());
    for (attribute, expression) in expressions {
        match expression.evaluate(entry) {
            Ok(Some(value)) => {
                values.insert(*attribute, value);
            }
            Ok(None) => {}
            Err(error) => {
                failed.insert(*attribute, error.to_string());
            }
        }
    }
    (values, failed)
}

/// The type of an address that is not there would be written as an address without a value.
fn drop_bare_types(attributes: &mut UserAttributes) {
    use UserAttribute as A;
    let lists: [(A, &[A]); 3] = [
        (A::EmailType, &[A::Email]),
        (A::PhoneType, &[A::Phone]),
        (
            A::AddressType,
            &[
                A::AddressStreet,
                A::AddressLocality,
                A::AddressRegion,
                A::AddressPostalCode,
                A::AddressCountry,
                A::AddressFormatted,
            ],
        ),
    ];
    for (kind, values) in lists {
        if !values.iter().any(|value| attributes.contains_key(value)) {
            attributes.remove(&kind);
        }
    }
}

fn missing(attribute: &str, expression: Option<&Expression>) -> String {
    match expression.map(ToString::to_string).filter(|text| !text.is_empty()) {
        Some(text) => format!("{attribute} (from `{text}`)"),
        None => format!("{attribute} (mapped to nothing)"),
    }
}

/// One finding for all that is missing: a finding is known by its code and its object.
fn missing_finding(about: &impl Deref<Target = Subject>, missing: &[String], dn: &Dn) -> Option<Finding> {
    if missing.is_empty() {
        return None;
    }
    let mut message = format!(
        "no value for {}: not created, or left as it is. Fill the attribute in the directory, or map {} to \
         something that is never empty",
        missing.join(", "),
        if missing.len() == 1 { "it" } else { "them" }
    );
    if dn.dns_domain().is_empty() && missing.iter().any(|m| m.contains("associateddomain")) {
        message.push_str(" (`associateddomain` is empty: the DN has no DC components)");
    }
    Some(Finding::new(Code::RequiredAttributeMissing, Subject::clone(about), message))
}

fn invalid_finding(about: &impl Deref<Target = Subject>, problems: &[Problem]) -> Option<Finding> {
    if problems.is_empty() {
        return None;
    }
    let list = problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ");
    let message = format!(
        "the target would refuse a value: {list}. Not created, or left as it is: change the value in the \
         directory, or the mapping"
    );
    Some(Finding::new(Code::AttributeInvalid, Subject::clone(about), message))
}

fn failed_finding<'a>(
    about: &impl Deref<Target = Subject>,
    failed: impl Iterator<Item = (&'static str, &'a String)>,
) -> Option<Finding> {
    let list = failed.map(|(attribute, why)| format!("{attribute}: {why}")).collect::<Vec<_>>().join("; ");
    (!list.is_empty()).then(|| {
        let message = format!(
            "{list}. Not created, or left as it is: change the expression so that it holds for this entry"
        );
        Finding::new(Code::MappingFailed, Subject::clone(about), message)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::{Anchor, Dn, Sid};
    use crate::model::{AccountState, Attributes, MemberRead};

    fn someone(attributes: Attributes) -> DirectoryUser {
        DirectoryUser {
            anchor: Anchor::from_u128(1),
            dn: Dn::parse("CN=Anna Weiß,DC=corp,DC=example").unwrap(),
            sid: Sid::parse("S-1-5-21-1-2-3-1104"),
            account: AccountState::Enabled,
            matches_filter: true,
            created: None,
            attributes,
        }
    }

    fn anna() -> Vec<(&'static str, &'static str)> {
        vec![
            ("samaccountname", "anna"),
            ("userprincipalname", "anna@corp.example"),
            ("displayname", "Anna Weiß"),
            ("givenname", "Anna"),
            ("sn", "Weiß"),
            ("mail", "anna@example.com"),
        ]
    }

    fn attributes(list: &[(&str, &str)]) -> Attributes {
        Attributes::new(list.iter().map(|(n, v)| ((*n).into(), [v])))
    }

    fn without(name: &str) -> Attributes {
        attributes(&anna().into_iter().filter(|(n, _)| *n != name).collect::<Vec<_>>())
    }

    fn with(name: &'static str, value: &'static str) -> Attributes {
        let mut list: Vec<_> = anna().into_iter().filter(|(n, _)| *n != name).collect();
        list.push((name, value));
        attributes(&list)
    }

    fn ad(user: &[(UserAttribute, &str)]) -> Mapping {
        let user = user.iter().map(|(a, t)| (*a, Expression::template(t).unwrap())).collect();
        Mapping::new(DirectoryKind::ActiveDirectory, user, BTreeMap::new())
    }

    fn codes(mapped: &MappedUser) -> Vec<Code> {
        mapped.findings.iter().map(|f| f.code).collect()
    }

    #[test]
    fn the_defaults_for_active_directory() {
        let mapped = ad(&[]).user(&someone(with("initials", "M")), true);
        let expected: UserAttributes = [
            (UserAttribute::UserName, "anna@corp.example"),
            (UserAttribute::DisplayName, "Anna Weiß"),
            (UserAttribute::GivenName, "Anna"),
            (UserAttribute::FamilyName, "Weiß"),
            (UserAttribute::MiddleName, "M"),
            (UserAttribute::Email, "anna@example.com"),
            (UserAttribute::ExternalId, "00000000-0000-0000-0000-000000000001"),
        ]
        .into_iter()
        .map(|(a, v)| (a, v.to_owned()))
        .collect();
        assert_eq!(mapped.attributes, expected);
        assert_eq!(mapped.findings, []);
        let by_api = ad(&[]).user(&someone(with("initials", "M")), false);
        assert!(!by_api.attributes.contains_key(&UserAttribute::ExternalId));

        let fallback = ad(&[]).user(&someone(without("userprincipalname")), false);
        assert_eq!(fallback.attributes[&UserAttribute::UserName], "anna@corp.example");
    }

    #[test]
    fn the_defaults_for_other_servers() {
        let ldap = Mapping::new(DirectoryKind::Ldap, BTreeMap::new(), BTreeMap::new());
        let list = [("uid", "anna"), ("cn", "Anna Weiß"), ("givenname", "Anna"), ("sn", "Weiß")];
        let mapped = ldap.user(&someone(attributes(&list)), true);
        assert_eq!(mapped.attributes[&UserAttribute::UserName], "anna@corp.example");
        assert_eq!(mapped.attributes[&UserAttribute::DisplayName], "Anna Weiß");
        assert_eq!(mapped.attributes[&UserAttribute::ExternalId], "00000000-0000-0000-0000-000000000001");
        assert_eq!(codes(&mapped), [Code::EmailMissing]);
        assert!(mapped.is_writable());
        let needed: Vec<_> = ldap.attributes_needed().into_iter().collect();
        assert_eq!(
            needed,
            ["cn", "description", "displayname", "entryuuid", "givenname", "initials", "mail", "sn", "uid"]
        );
    }

    #[test]
    fn what_is_missing_is_one_finding_without_values() {
        let mapped = ad(&[]).user(&someone(attributes(&[("mail", "anna@example.com")])), false);
        assert_eq!(codes(&mapped), [Code::RequiredAttributeMissing]);
        assert!(!mapped.is_writable());
        let finding = &mapped.findings[0];
        assert_eq!(
            (finding.subject.id.as_str(), finding.subject.label.as_str()),
            ("S-1-5-21-1-2-3-1104", "Anna Weiß")
        );
        assert_eq!(
            finding.message,
            "no value for userName (from `${userprincipalname}, else ${samaccountname}@${associateddomain}`), \
             displayName (from `${displayname}`), name.givenName (from `${givenname}`), name.familyName (from \
             `${sn}`): not created, or left as it is. Fill the attribute in the directory, or map them to something \
             that is never empty"
        );
        let mut elsewhere = someone(attributes(&[("mail", "anna@example.com")]));
        elsewhere.dn = Dn::parse("CN=Anna,O=Example").unwrap();
        let mapped = ad(&[]).user(&elsewhere, false);
        assert!(
            mapped.findings[0]
                .message
                .ends_with("(`associateddomain` is empty: the DN has no DC components)")
        );
        let mapped = ad(&[(UserAttribute::FamilyName, "")]).user(&someone(without("")), false);
        assert!(mapped.findings[0].message.starts_with("no value for name.familyName (mapped to nothing)"));
    }

    #[test]
    fn what_the_target_would_refuse() {
        let mapped = ad(&[]).user(&someone(with("displayname", "Anna\u{200f}")), false);
        assert_eq!(codes(&mapped), [Code::AttributeInvalid]);
        assert!(!mapped.is_writable());
        assert!(mapped.findings[0].message.contains("displayName contains the character U+200F"));
        assert!(!mapped.findings[0].message.contains("Anna"));

        let mapped = ad(&[]).user(&someone(with("userprincipalname", "administrator")), false);
        assert_eq!(codes(&mapped), [Code::AttributeInvalid, Code::UserNameNotAnAddress]);

        // White space around a value is not the value's.
        let mapped = ad(&[]).user(&someone(with("userprincipalname", " anna@corp.example\n")), false);
        assert_eq!(mapped.attributes[&UserAttribute::UserName], "anna@corp.example");
        assert_eq!(mapped.findings, []);
    }

    #[test]
    fn a_user_name_that_is_no_address_is_told_and_written() {
        let mapped = ad(&[(UserAttribute::UserName, "${samaccountname}")]).user(&someone(without("")), false);
        assert_eq!(codes(&mapped), [Code::UserNameNotAnAddress]);
        assert!(mapped.is_writable());
    }

    #[test]
    fn an_expression_that_fails_is_not_an_empty_value() {
        let title = Expression::jmespath("memberof").unwrap();
        let email = Expression::jmespath("starts_with(absent, 'x')").unwrap();
        let mapping = Mapping::new(
            DirectoryKind::ActiveDirectory,
            BTreeMap::from([(UserAttribute::Title, title), (UserAttribute::Email, email)]),
            BTreeMap::new(),
        );
        let mut list: Vec<(std::sync::Arc<str>, Vec<Vec<u8>>)> =
            anna().into_iter().map(|(n, v)| (n.into(), vec![v.as_bytes().to_vec()])).collect();
        list.push(("memberof".into(), vec![b"cn=a".to_vec(), b"cn=b".to_vec()]));
        let mapped = mapping.user(&someone(Attributes::new(list)), false);
        assert_eq!(codes(&mapped), [Code::MappingFailed]);
        assert!(!mapped.is_writable());
        assert!(mapped.findings[0].message.contains("title: `memberof` gives a list of 2 values"));
        assert!(mapped.findings[0].message.contains("emails[primary].value: "));
        assert!(!mapped.findings[0].message.contains("cn=a"));
    }

    #[test]
    fn a_type_is_not_written_without_its_value() {
        let mapping = ad(&[
            (UserAttribute::EmailType, "work"),
            (UserAttribute::PhoneType, "work"),
            (UserAttribute::AddressType, "work"),
            (UserAttribute::AddressLocality, "${l}"),
        ]);
        let mapped = mapping.user(&someone(without("mail")), false);
        for kind in [UserAttribute::EmailType, UserAttribute::PhoneType, UserAttribute::AddressType] {
            assert!(!mapped.attributes.contains_key(&kind), "{kind}");
        }
        let mapped = mapping.user(&someone(with("l", "Zürich")), false);
        assert_eq!(mapped.attributes[&UserAttribute::EmailType], "work");
        assert_eq!(mapped.attributes[&UserAttribute::AddressType], "work");
        assert!(!mapped.attributes.contains_key(&UserAttribute::PhoneType));
    }

    #[test]
    fn groups() {
        let group = |list: &[(&str, &str)]| DirectoryGroup {
            anchor: Anchor::from_u128(2),
            dn: Dn::parse("CN=AWS\\, Admins,DC=corp,DC=example").unwrap(),
            sid: None,
            created: None,
            attributes: attributes(list),
            members: MemberRead::default(),
        };
        let mapping = ad(&[]);
        let full = group(&[("samaccountname", "AWS-Admins"), ("description", "d")]);
        let mapped = mapping.group(&full, true, true);
        assert_eq!(mapped.attributes.display_name, "AWS-Admins@corp.example");
        assert_eq!(mapped.attributes.description.as_deref(), Some("d"));
        assert_eq!(mapped.attributes.external_id.as_deref(), Some("00000000-0000-0000-0000-000000000002"));
        assert!(mapped.is_writable() && mapped.findings.is_empty());
        let mapped = mapping.group(&full, false, false);
        assert_eq!((mapped.attributes.description, mapped.attributes.external_id), (None, None));

        let mapped = mapping.group(&group(&[]), true, true);
        assert!(!mapped.is_writable());
        let [finding] = mapped.findings.as_slice() else { panic!("one finding") };
        assert_eq!(finding.code, Code::RequiredAttributeMissing);
        assert_eq!(finding.subject.label, "AWS, Admins");
        assert_eq!(finding.subject.id, "00000000-0000-0000-0000-000000000002");

        let name = Expression::template("${samaccountname}").unwrap();
        let mapping = Mapping::new(
            DirectoryKind::ActiveDirectory,
            BTreeMap::new(),
            BTreeMap::from([(GroupAttribute::DisplayName, name)]),
        );
        let mapped = mapping.group(&group(&[("samaccountname", "Administrator")]), false, true);
        assert_eq!(mapped.findings[0].code, Code::AttributeInvalid);
    }

    #[test]
    fn an_expression_over_everything_asks_for_everything_and_still_for_what_is_named() {
        let mapping = Mapping::new(
            DirectoryKind::Ldap,
            BTreeMap::from([(UserAttribute::Title, Expression::jmespath("keys(@)[0]").unwrap())]),
            BTreeMap::new(),
        );
        let needed = mapping.attributes_needed();
        assert!(needed.contains("*") && needed.contains("entryuuid"));
        assert!(!needed.contains("associateddomain") && !needed.contains("distinguishedname"));
    }
}
