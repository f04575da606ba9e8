//! The mapping of a profile as a whole: one directory object → what the target should hold of it, and what is
//! wrong with it.

use std::collections::{BTreeMap, BTreeSet};

use super::expression::{AttributesNeeded, Expression};
use super::limits::{self, Problem};
use super::view::View;
use super::{defaults, subject};
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
        let about = subject::of(Kind::User, user.anchor, user.sid.as_ref(), &user.dn);
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
        findings.extend(missing_finding(&about, &missing));
        findings.extend(invalid_finding(&about, &limits::check_user(&attributes)));
        if !attributes.contains_key(&UserAttribute::Email) && !failed.contains_key(&UserAttribute::Email) {
            let message = "has no primary e-mail address: synced without one. Fill the attribute that \
                 `emails[primary].value` is mapped from, if applications need an address";
            findings.push(Finding::new(Code::EmailMissing, about.clone(), message));
        }
        if attributes.get(&UserAttribute::UserName).is_some_and(|name| !limits::is_address(name)) {
            let message = "the userName is not of the form name@domain, which the nameID of SAML sign-in must \
                 match: map userName to an attribute that holds such a name";
            findings.push(Finding::new(Code::UserNameNotAnAddress, about, message));
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
        let about = subject::of(Kind::Group, group.anchor, group.sid.as_ref(), &group.dn);
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
            findings
                .extend(missing_finding(&about, &[missing(attribute.path(), self.group.get(&attribute))]));
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
fn missing_finding(about: &Subject, missing: &[String]) -> Option<Finding> {
    let first = missing.first()?;
    let mut message = format!(
        "no value for {}: not created, or left as it is. Fill the attribute in the directory, or map {} to \
         something that is never empty",
        missing.join(", "),
        if missing.len() == 1 { "it" } else { "them" }
    );
    if first.contains("associateddomain") {
        message.push_str(" (associateddomain is empty for a DN without DC components)");
    }
    Some(Finding::new(Code::RequiredAttributeMissing, about.clone(), message))
}

fn invalid_finding(about: &Subject, problems: &[Problem]) -> Option<Finding> {
    if problems.is_empty() {
        return None;
    }
    let list = problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ");
    let message = format!(
        "the target would refuse a value: {list}. Not created, or left as it is: change the value in the \
         directory, or the mapping"
    );
    Some(Finding::new(Code::AttributeInvalid, about.clone(), message))
}

fn failed_finding<'a>(
    about: &Subject,
    failed: impl Iterator<Item = (&'static str, &'a String)>,
) -> Option<Finding> {
    let list = failed.map(|(attribute, why)| format!("{attribute}: {why}")).collect::<Vec<_>>().join("; ");
    (!list.is_empty()).then(|| {
        let message = format!(
            "{list}. Not created, or left as it is: change the expression so that it holds for this entry"
        );
        Finding::new(Code::MappingFailed, about.clone(), message)
    })
}
