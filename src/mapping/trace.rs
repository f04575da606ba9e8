//! How an attribute of the target comes about: from which values, by which expression.

use serde::Serialize;

use super::expression::Expression;
use super::mapped::Mapping;
use super::view::{ASSOCIATED_DOMAIN, DISTINGUISHED_NAME, View};
use crate::model::{DirectoryGroup, DirectoryUser, GroupAttribute, UserAttribute};

/// One attribute, from the directory to the target.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Traced {
    /// In the target.
    pub attribute: &'static str,
    pub expression: String,
    /// The attributes of the directory that it looks at, with what they hold.
    pub sources: Vec<Source>,
    /// It may look at every attribute: `sources` has only those that it names.
    pub whole_entry: bool,
    pub value: Option<String>,
    /// Why the expression gave nothing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// An attribute of the directory.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Source {
    pub attribute: String,
    pub values: Vec<String>,
}

impl Mapping {
    /// All attributes of a user that the mapping is in charge of, and the target can be written.
    pub fn trace_user(&self, user: &DirectoryUser, writes_external_id: bool) -> Vec<Traced> {
        let view = View::of_user(self.kind(), user);
        let written = self.user(user, writes_external_id).attributes;
        let wanted = |a: &UserAttribute| writes_external_id || *a != UserAttribute::ExternalId;
        self.user_expressions()
            .iter()
            .filter(|(attribute, _)| wanted(attribute))
            .map(|(attribute, expression)| {
                let value = written.get(attribute).cloned();
                traced(&view, attribute.path(), expression, value)
            })
            .collect()
    }

    /// The same of a group.
    pub fn trace_group(
        &self,
        group: &DirectoryGroup,
        writes_external_id: bool,
        has_description: bool,
    ) -> Vec<Traced> {
        let view = View::of_group(self.kind(), group);
        let written = self.group(group, writes_external_id, has_description).attributes;
        let value = |attribute: GroupAttribute| match attribute {
            GroupAttribute::DisplayName => Some(written.display_name.clone()).filter(|n| !n.is_empty()),
            GroupAttribute::Description => written.description.clone(),
            GroupAttribute::ExternalId => written.external_id.clone(),
        };
        self.group_expressions()
            .iter()
            .filter(|(attribute, _)| match attribute {
                GroupAttribute::DisplayName => true,
                GroupAttribute::Description => has_description,
                GroupAttribute::ExternalId => writes_external_id,
            })
            .map(|(attribute, expression)| traced(&view, attribute.path(), expression, value(*attribute)))
            .collect()
    }
}

fn traced(
    view: &View<'_>,
    attribute: &'static str,
    expression: &Expression,
    value: Option<String>,
) -> Traced {
    let needed = expression.attributes();
    let text = expression.to_string();
    // What is computed from the name is not read, but looked at all the same.
    let computed = [ASSOCIATED_DOMAIN, DISTINGUISHED_NAME].into_iter();
    let computed = computed.filter(|name| text.to_lowercase().contains(name)).map(str::to_owned);
    let sources = needed
        .names
        .into_iter()
        .chain(computed)
        .map(|attribute| {
            let values = view.texts(&attribute).into_iter().map(std::borrow::Cow::into_owned).collect();
            Source { attribute, values }
        })
        .collect();
    let error = expression.evaluate(view).err().map(|error| error.to_string());
    Traced { attribute, expression: text, sources, whole_entry: needed.all, value, error }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::ids::{Anchor, Dn};
    use crate::model::{AccountState, Attributes, DirectoryKind};

    fn anna() -> DirectoryUser {
        DirectoryUser {
            anchor: Anchor::from_u128(1),
            dn: Dn::parse("CN=Anna,DC=corp,DC=example").unwrap(),
            sid: None,
            account: AccountState::Enabled,
            matches_filter: true,
            created: None,
            attributes: Attributes::from([("sAMAccountName", "anna"), ("mail", "a@x"), ("title", "Dr.")]),
        }
    }

    #[test]
    fn a_value_is_told_with_where_it_comes_from() {
        let user = BTreeMap::from([
            (UserAttribute::Title, Expression::jmespath("upper(title)").unwrap()),
            (UserAttribute::Locale, Expression::jmespath("[title, mail]").unwrap()),
        ]);
        let mapping = Mapping::new(DirectoryKind::ActiveDirectory, user, BTreeMap::new());
        let all = mapping.trace_user(&anna(), false);
        let of = |path: &str| all.iter().find(|t| t.attribute == path).unwrap();
        let title = of("title");
        assert_eq!((title.expression.as_str(), title.value.as_deref()), ("upper(title)", Some("DR.")));
        assert_eq!(title.sources, [Source { attribute: "title".to_owned(), values: vec!["Dr.".to_owned()] }]);
        let name = of("userName");
        assert_eq!(name.value.as_deref(), Some("anna@corp.example"));
        let looked_at: Vec<&str> = name.sources.iter().map(|s| s.attribute.as_str()).collect();
        assert_eq!(looked_at, ["samaccountname", "userprincipalname", "associateddomain"]);
        assert_eq!(name.sources[2].values, ["corp.example"]);
        assert!(name.sources[1].values.is_empty() && name.error.is_none());
        assert!(of("locale").error.as_ref().is_some_and(|e| e.contains("one value is needed")));
        assert!(all.iter().all(|t| t.attribute != "externalId"), "the target cannot be written it");
        assert!(mapping.trace_user(&anna(), true).iter().any(|t| t.attribute == "externalId"));
    }

    #[test]
    fn a_group_is_told_of_what_its_target_takes() {
        let group = DirectoryGroup {
            anchor: Anchor::from_u128(2),
            dn: Dn::parse("CN=G,DC=corp,DC=example").unwrap(),
            sid: None,
            created: None,
            attributes: Attributes::from([("sAMAccountName", "G"), ("description", "all")]),
            members: crate::model::MemberRead::default(),
        };
        let mapping = Mapping::new(DirectoryKind::ActiveDirectory, BTreeMap::new(), BTreeMap::new());
        let paths = |external, description| {
            let all = mapping.trace_group(&group, external, description);
            all.into_iter().map(|t| (t.attribute, t.value.unwrap_or_default())).collect::<Vec<_>>()
        };
        let name = ("displayName", "G@corp.example".to_owned());
        assert_eq!(paths(false, true), [name.clone(), ("description", "all".to_owned())]);
        assert_eq!(paths(true, false)[1].0, "externalId");
        assert_eq!(paths(false, false), [name]);
    }
}
