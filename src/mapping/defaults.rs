//! What is mapped where the config says nothing: AWS's own mappings for Active Directory ("Attribute mappings
//! for your directory"), and their like for other servers.

use std::collections::BTreeMap;

use super::expression::{Expression, ExpressionError};
use crate::model::{DirectoryKind, GroupAttribute, UserAttribute};

/// Alternatives, the first that is not empty counts.
type Line<A> = (A, &'static [&'static str]);

const USER_AD: &[Line<UserAttribute>] = &[
    (UserAttribute::UserName, &["${userprincipalname}", "${samaccountname}@${associateddomain}"]),
    (UserAttribute::DisplayName, &["${displayname}"]),
    (UserAttribute::GivenName, &["${givenname}"]),
    (UserAttribute::FamilyName, &["${sn}"]),
    (UserAttribute::MiddleName, &["${initials}"]),
    (UserAttribute::Email, &["${mail}"]),
    (UserAttribute::ExternalId, &["${objectguid}"]),
];

const USER_LDAP: &[Line<UserAttribute>] = &[
    (UserAttribute::UserName, &["${mail}", "${uid}@${associateddomain}"]),
    (UserAttribute::DisplayName, &["${displayname}", "${cn}"]),
    (UserAttribute::GivenName, &["${givenname}"]),
    (UserAttribute::FamilyName, &["${sn}"]),
    (UserAttribute::MiddleName, &["${initials}"]),
    (UserAttribute::Email, &["${mail}"]),
    (UserAttribute::ExternalId, &["${entryuuid}"]),
];

const GROUP_AD: &[Line<GroupAttribute>] = &[
    (GroupAttribute::DisplayName, &["${samaccountname}@${associateddomain}"]),
    (GroupAttribute::Description, &["${description}"]),
    (GroupAttribute::ExternalId, &["${objectguid}"]),
];

const GROUP_LDAP: &[Line<GroupAttribute>] = &[
    (GroupAttribute::DisplayName, &["${cn}@${associateddomain}"]),
    (GroupAttribute::Description, &["${description}"]),
    (GroupAttribute::ExternalId, &["${entryuuid}"]),
];

pub(super) fn user(kind: DirectoryKind) -> BTreeMap<UserAttribute, Expression> {
    compiled(match kind {
        DirectoryKind::ActiveDirectory => USER_AD,
        DirectoryKind::Ldap => USER_LDAP,
    })
}

pub(super) fn group(kind: DirectoryKind) -> BTreeMap<GroupAttribute, Expression> {
    compiled(match kind {
        DirectoryKind::ActiveDirectory => GROUP_AD,
        DirectoryKind::Ldap => GROUP_LDAP,
    })
}

/// Constants that do not compile would be missing, which the tests rule out.
fn compiled<A: Copy + Ord>(lines: &[Line<A>]) -> BTreeMap<A, Expression> {
    lines
        .iter()
        .filter_map(|(attribute, templates)| {
            let list: Result<Vec<_>, ExpressionError> =
                templates.iter().map(|template| Expression::template(template)).collect();
            let mut list = list.ok()?;
            let expression = if list.len() == 1 { list.remove(0) } else { Expression::first(list) };
            Some((*attribute, expression))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_default_compiles() {
        assert_eq!(user(DirectoryKind::ActiveDirectory).len(), USER_AD.len());
        assert_eq!(user(DirectoryKind::Ldap).len(), USER_LDAP.len());
        assert_eq!(group(DirectoryKind::ActiveDirectory).len(), GROUP_AD.len());
        assert_eq!(group(DirectoryKind::Ldap).len(), GROUP_LDAP.len());
    }

    #[test]
    fn every_required_attribute_has_a_default() {
        for kind in [DirectoryKind::ActiveDirectory, DirectoryKind::Ldap] {
            let user = user(kind);
            for attribute in UserAttribute::ALL.iter().filter(|a| a.is_required()) {
                assert!(user.contains_key(attribute), "{attribute}");
            }
            assert!(group(kind).contains_key(&GroupAttribute::DisplayName));
        }
    }

    #[test]
    fn a_fallback_is_told_in_words() {
        let user = user(DirectoryKind::ActiveDirectory);
        assert_eq!(
            user[&UserAttribute::UserName].to_string(),
            "${userprincipalname}, else ${samaccountname}@${associateddomain}"
        );
    }
}
