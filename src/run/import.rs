//! A scope for an identity store that holds people and groups already: whom of them the directory has. Reads the target
//! and the directory, and writes nothing anywhere.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use super::scope::{ScopeDesk, ScopeLook};
use super::{RunError, Surroundings, open};
use crate::config::Config;
use crate::cycle::CycleError;
use crate::directory::{Survey, SurveyedGroup, survey};
use crate::ids::TargetId;
use crate::model::{Kind, NameForm, Observed, ScopeEntry, UserAttribute};
use crate::target::{Access, Gate};

/// So many users that no group brings are looked up in the directory.
const MOST_USERS: usize = 500;

/// What of the target has its match in the directory.
#[derive(Clone, Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Import {
    pub identity_store: String,
    pub groups: Vec<MatchedGroup>,
    pub other_groups: Vec<Unmatched>,
    /// Users whom none of the groups brings, and whom the directory has: as scope entries.
    pub users: Vec<String>,
    pub other_users: Vec<Unmatched>,
    /// Users that the groups bring.
    pub users_by_groups: u64,
    pub users_in_target: u64,
}

#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct MatchedGroup {
    /// As in the target.
    pub display_name: String,
    /// For [scope].
    pub name: String,
    pub dn: String,
    /// The scope has it already.
    pub configured: bool,
    pub in_both: u64,
    pub only_in_target: Vec<String>,
    pub only_in_directory: u64,
}

#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Unmatched {
    pub name: String,
    pub why: String,
}

impl Import {
    /// What the scope is to have beside what it has.
    pub fn entries(&self) -> Vec<ScopeEntry> {
        let entry = |kind, name: &String| ScopeEntry { kind, name: name.clone(), write: true };
        let groups = self.groups.iter().filter(|g| !g.configured).map(|g| entry(Kind::Group, &g.name));
        groups.chain(self.users.iter().map(|name| entry(Kind::User, name))).collect()
    }
}

pub async fn import(around: &dyn Surroundings, config: &Config) -> Result<Import, RunError> {
    let failed = |error| RunError::Cycle(CycleError::Target(error));
    let target = around.target(config, Access::ReadOnly, Gate::Open).await?;
    let identity_store = open::identity_store(target.as_ref()).await?.to_string();
    let listed = target.read_back(&BTreeSet::new()).await.map_err(failed)?;
    let ids: BTreeSet<TargetId> = listed.groups.into_keys().collect();
    let observed = target.read_back(&ids).await.map_err(failed)?;

    let attributes = config.mapping.attributes_needed();
    let found = survey(&config.directory, &attributes, false).await.map_err(CycleError::Directory)?;
    let capabilities = target.capabilities();
    let called = |group: &SurveyedGroup| {
        let mapped = config.mapping.group(
            &group.group,
            capabilities.writes_external_id,
            capabilities.has_group_description,
        );
        mapped.attributes.display_name
    };
    let names = Names::of(&found, config.scope.distribution_groups, called);
    let mut import = Import { identity_store, ..Import::default() };
    let mut pairs: Vec<(TargetId, &SurveyedGroup)> = Vec::new();
    for (id, group) in &observed.groups {
        let name = &group.attributes.display_name;
        let is_protected = config.policy.protect.iter().any(|p| p.eq_ignore_ascii_case(name));
        match names.of_target(name) {
            _ if is_protected => {
                let why = "target.protect names it: it is never written".to_owned();
                import.other_groups.push(Unmatched { name: name.clone(), why });
            }
            Ok(found) => pairs.push((id.clone(), found)),
            Err(why) => import.other_groups.push(Unmatched { name: name.clone(), why }),
        }
    }
    let entries: Vec<ScopeEntry> = pairs
        .iter()
        .map(|(_, g)| ScopeEntry { kind: Kind::Group, name: names.for_scope(g), write: true })
        .collect();
    let desk = ScopeDesk::open(around, config).await?;
    let look = desk.read(&entries).await?;
    // All in one go: each go takes a copy of all that was read.
    let mut brought = look.user_names(&[config.scope.entries.as_slice(), &entries].concat());
    let new = brought.split_off(config.scope.entries.len());
    let mut covered: BTreeSet<String> = brought.into_iter().flatten().collect();
    for (((id, group), entry), here) in pairs.iter().zip(&entries).zip(new) {
        let there = members(&observed, id);
        let configured = config.scope.entries.iter().find(|e| {
            e.kind == Kind::Group && look.object(e).is_some_and(|anchor| anchor == group.group.anchor)
        });
        let name = &observed.groups[id].attributes.display_name;
        if configured.is_none() && look.object(entry) != Some(group.group.anchor) {
            let view = look.view(std::slice::from_ref(entry)).entries.pop();
            let why = view.and_then(|v| v.problem).unwrap_or_else(|| format!("{entry} does not lead to it"));
            import.other_groups.push(Unmatched { name: name.clone(), why });
            continue;
        }
        import.groups.push(MatchedGroup {
            display_name: name.clone(),
            name: configured.map_or_else(|| entry.name.clone(), |e| e.name.clone()),
            dn: group.group.dn.to_string(),
            configured: configured.is_some(),
            in_both: there.keys().filter(|name| here.contains(*name)).count() as u64,
            only_in_target: there
                .iter()
                .filter(|(key, _)| !here.contains(*key))
                .map(|(_, n)| n.clone())
                .collect(),
            only_in_directory: here.iter().filter(|name| !there.contains_key(*name)).count() as u64,
        });
        covered.extend(here);
    }
    let all = users(&observed);
    import.users_in_target = all.len() as u64;
    import.users_by_groups = all.keys().filter(|name| covered.contains(*name)).count() as u64;
    let rest: Vec<&String> =
        all.iter().filter(|(key, _)| !covered.contains(*key)).map(|(_, name)| name).collect();
    place(config, &desk, &rest, &mut import).await?;
    import.groups.sort_by(|a, b| a.name.cmp(&b.name));
    import.other_groups.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(import)
}

/// Users whom no group brings: looked up by their names.
async fn place(
    config: &Config,
    desk: &ScopeDesk<'_>,
    rest: &[&String],
    import: &mut Import,
) -> Result<(), RunError> {
    let protected = |name: &str| config.policy.protect.iter().any(|p| p.eq_ignore_ascii_case(name));
    let wanted: Vec<&String> = rest.iter().copied().filter(|name| !protected(name)).collect();
    let entries: Vec<ScopeEntry> = wanted
        .iter()
        .take(MOST_USERS)
        .map(|name| ScopeEntry { kind: Kind::User, name: (*name).clone(), write: true })
        .collect();
    let look: Option<ScopeLook<'_>> =
        if entries.is_empty() { None } else { Some(desk.read(&entries).await?) };
    let brought = look.as_ref().map(|look| look.user_names(&entries)).unwrap_or_default();
    for (entry, names) in entries.iter().zip(&brought) {
        let found = look.as_ref().map(|look| (look.object(entry), names));
        let why = match found {
            Some((Some(_), _)) if !is_plain(&entry.name) => {
                "the directory has it, and [scope] cannot have it by this name: add it by its DN".to_owned()
            }
            Some((Some(_), names)) if names.contains(&entry.name.to_lowercase()) => {
                import.users.push(entry.name.clone());
                continue;
            }
            Some((Some(_), names)) => names.first().map_or_else(
                || {
                    "the directory has it, and it cannot be written (disabled, filtered out, a value missing)"
                        .to_owned()
                },
                |name| format!("the directory has it, and the mapping would call it {name}"),
            ),
            _ => "the directory has no user of that name".to_owned(),
        };
        import.other_users.push(Unmatched { name: entry.name.clone(), why });
    }
    let passed =
        wanted.iter().skip(MOST_USERS).map(|name| ((*name).clone(), "not looked up: there are too many"));
    let kept =
        rest.iter().filter(|name| protected(name)).map(|name| ((*name).clone(), "target.protect names it"));
    let more = passed.chain(kept).map(|(name, why)| Unmatched { name, why: why.to_owned() });
    import.other_users.extend(more);
    Ok(())
}

/// The directory's groups by what they would be called in the target, and by their own names.
struct Names<'s> {
    called: BTreeMap<String, Vec<&'s SurveyedGroup>>,
    own: BTreeMap<String, Vec<&'s SurveyedGroup>>,
    renamed: BTreeMap<String, String>,
    cut_short: Option<&'s String>,
    /// scope.include-distribution-groups
    distribution: bool,
}

impl<'s> Names<'s> {
    fn of(survey: &'s Survey, distribution: bool, called: impl Fn(&SurveyedGroup) -> String) -> Self {
        let mut names = Self {
            called: BTreeMap::new(),
            own: BTreeMap::new(),
            renamed: BTreeMap::new(),
            cut_short: survey.cut_short.as_ref(),
            distribution,
        };
        for group in &survey.groups {
            let wish = called(group);
            names.called.entry(wish.to_lowercase()).or_default().push(group);
            names.own.entry(group.name.to_lowercase()).or_default().push(group);
            names.renamed.insert(group.name.to_lowercase(), wish);
        }
        names
    }

    /// The one group that would be called that, or why there is none.
    fn of_target(&self, name: &str) -> Result<&'s SurveyedGroup, String> {
        let key = name.to_lowercase();
        match self.called.get(&key).map(Vec::as_slice) {
            Some([one]) if one.distribution && !self.distribution => {
                Err("it is a distribution group there (scope.include-distribution-groups)".to_owned())
            }
            Some([one]) => Ok(one),
            Some(several) => {
                let dns: Vec<String> = several.iter().map(|g| g.group.dn.to_string()).collect();
                Err(format!("several groups would be called that: {}", dns.join("; ")))
            }
            None => Err(match (self.renamed.get(&key), self.cut_short) {
                (Some(wish), _) => format!(
                    "the directory has a group of that name, which the mapping would call {wish}: set displayName in \
                     [mapping.group], and try again"
                ),
                (None, Some(why)) => format!("not found, and not all groups could be looked at: {why}"),
                (None, None) => "no group of the directory would be called that".to_owned(),
            }),
        }
    }

    /// Its name where that means it and nothing else in [scope], else its DN.
    fn for_scope(&self, group: &SurveyedGroup) -> String {
        let same = self.own.get(&group.name.to_lowercase()).map_or(0, Vec::len);
        let is_account = matches!(NameForm::of(&group.name), NameForm::Account(_));
        if same == 1 && is_account && is_plain(&group.name) {
            group.name.clone()
        } else {
            group.group.dn.to_string()
        }
    }
}

/// Whether the config takes it for the name that it is.
fn is_plain(name: &str) -> bool {
    let name_is_whole = name.trim() == name && !name.contains(['=', '"']);
    name_is_whole
        && match NameForm::of(name) {
            NameForm::Account(_) => true,
            NameForm::Address(address) => !address.starts_with('@') && !address.ends_with('@'),
            NameForm::Anchor(_) | NameForm::Dn(_) | NameForm::Domain { .. } => false,
        }
}

/// Names of users, by their lower case.
fn users(observed: &Observed) -> BTreeMap<String, String> {
    let names = observed.users.values().filter_map(|u| u.attributes.get(&UserAttribute::UserName));
    names.map(|name| (name.to_lowercase(), name.clone())).collect()
}

fn members(observed: &Observed, group: &TargetId) -> BTreeMap<String, String> {
    let ids = observed.groups.get(group).and_then(|g| g.members.as_ref()).into_iter().flatten();
    let name = |id: &TargetId| {
        let user = observed.users.get(id);
        let name = user.and_then(|u| u.attributes.get(&UserAttribute::UserName));
        name.cloned().unwrap_or_else(|| id.to_string())
    };
    ids.map(name).map(|name| (name.to_lowercase(), name)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::{Anchor, Dn};
    use crate::model::{Attributes, DirectoryGroup, MemberRead};

    fn group(number: u128, name: &str, distribution: bool) -> SurveyedGroup {
        let group = DirectoryGroup {
            anchor: Anchor::from_u128(number),
            dn: Dn::parse(&format!("CN=g{number},DC=ex")).unwrap(),
            sid: None,
            created: None,
            attributes: Attributes::default(),
            members: MemberRead::default(),
        };
        SurveyedGroup { name: name.to_owned(), group, members: 0, distribution }
    }

    #[test]
    fn a_name_that_means_something_else_in_the_scope_gives_way_to_the_dn() {
        let odd =
            ["devs@corp", "a=b", "with \"quotes\"", "CORP\\x", "00000000-0000-0000-0000-000000000009", " x"];
        let mut groups: Vec<SurveyedGroup> =
            (1..).zip(odd).map(|(no, name)| group(no, name, false)).collect();
        groups.extend([
            group(7, "Twice", false),
            group(8, "twice", false),
            group(9, "Müller & Söhne", false),
        ]);
        let survey = Survey { groups, cut_short: None };
        let names = Names::of(&survey, false, |g| g.name.clone());
        let written: Vec<String> = survey.groups.iter().map(|g| names.for_scope(g)).collect();
        let expected: Vec<String> = (1..=8).map(|no| format!("CN=g{no},DC=ex")).collect();
        assert_eq!(written, [expected, vec!["Müller & Söhne".to_owned()]].concat());
    }

    #[test]
    fn a_distribution_group_counts_where_the_config_says_so() {
        let survey = Survey { groups: vec![group(1, "Mail", true)], cut_short: None };
        let found = |allowed| {
            Names::of(&survey, allowed, |g| g.name.clone()).of_target("mail").map(|g| g.group.anchor)
        };
        assert_eq!(found(true), Ok(Anchor::from_u128(1)));
        assert!(found(false).unwrap_err().contains("include-distribution-groups"));
    }
}
