//! A first look at a directory that no config describes yet: what a server says of itself, and which groups there are.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::entry::{self, GroupSort, Sort};
use super::error::{Attempt, DirectoryError};
use super::ldap::{Opened, Opener, Setback, servers};
use super::reader::{Query, RawEntry, Reader};
use super::settings::{DirectorySettings, LdapSettings};
use super::{ldif, range, walk};
use crate::ids::{Anchor, Dn};
use crate::model::{Attributes, DirectoryGroup, DirectoryKind, MemberRead, Wanted};

/// So many pages of groups are looked at.
const MOST_PAGES: u64 = 50;

/// What a server says of itself to whoever may bind.
#[derive(Clone, Debug)]
pub struct Greeting {
    pub server: String,
    /// The name that it gives itself.
    pub host: Option<String>,
    pub vendor: Option<String>,
    /// Active Directory says that it is that; every other server counts as another.
    pub kind: DirectoryKind,
    /// The places where people and groups may be, the likeliest first.
    pub bases: Vec<Dn>,
}

/// The groups of a directory.
#[derive(Clone, Debug, Default)]
pub struct Survey {
    pub groups: Vec<SurveyedGroup>,
    /// There may be more.
    pub cut_short: Option<String>,
}

/// A group, without who is in it.
#[derive(Clone, Debug)]
pub struct SurveyedGroup {
    /// sAMAccountName or cn.
    pub name: String,
    pub group: DirectoryGroup,
    /// Direct members, as far as they came along; 0 where they were not asked for.
    pub members: u64,
    /// A distribution group of Active Directory.
    pub distribution: bool,
}

/// Connects, binds and asks the server what it is. The base DN of the settings is not looked at.
pub async fn greet(settings: &LdapSettings) -> Result<Greeting, DirectoryError> {
    let opener = Opener::new(settings, None)?;
    let mut attempts = Vec::new();
    for url in servers(settings).await? {
        match opener.greet(&url).await {
            Ok(greeting) => return Ok(greeting),
            Err(Setback::Next(why)) => attempts.push(Attempt { server: url, why }),
            Err(Setback::Final(error)) => return Err(error),
        }
    }
    Err(DirectoryError::NoServer(attempts))
}

/// The groups below the base DN, with these attributes; `members`: count them too.
pub async fn survey(
    settings: &DirectorySettings,
    attributes: &BTreeSet<String>,
    members: bool,
) -> Result<Survey, DirectoryError> {
    match settings {
        DirectorySettings::Ldif(settings) => {
            let wanted = Wanted {
                entries: Vec::new(),
                nested: false,
                user_filter: None,
                primary_group: false,
                distribution_groups: false,
                attributes: attributes.clone(),
            };
            let reader = ldif::open(settings, &wanted).await?;
            Ok(groups(&reader, attributes, members).await)
        }
        DirectorySettings::Ldap(settings) => {
            let opener = Opener::new(settings, None)?;
            let mut attempts = Vec::new();
            for url in servers(settings).await? {
                match opener.open(&url, false).await {
                    Ok(Opened { reader, .. }) => {
                        let found = Box::pin(groups(&reader, attributes, members)).await;
                        reader.close().await;
                        return Ok(found);
                    }
                    Err(Setback::Next(why)) => attempts.push(Attempt { server: url, why }),
                    Err(Setback::Final(error)) => return Err(error),
                }
            }
            Err(DirectoryError::NoServer(attempts))
        }
    }
}

async fn groups(reader: &dyn Reader, attributes: &BTreeSet<String>, members: bool) -> Survey {
    let kind = reader.facts().kind;
    let mut asked: BTreeSet<String> = entry::always(kind).iter().map(|a| (*a).to_owned()).collect();
    asked.extend(attributes.iter().cloned());
    if members {
        asked.extend(entry::MEMBER.iter().map(|a| (*a).to_owned()));
    }
    let selection = asked.into_iter().collect();
    let filter = walk::groups_filter(kind);
    let query = Query { filter: &filter, attributes: &selection, pages: Some(MOST_PAGES), verdicts: None };
    let mut survey = Survey::default();
    let ending = reader.search(&query, &mut |raw| survey.groups.extend(one(reader, raw))).await;
    let given_up = ending.given_up.then(|| format!("only the first {MOST_PAGES} pages were looked at"));
    survey.cut_short = reader.facts().gap(&ending).map(|fault| fault.detail).or(given_up);
    survey
}

fn one(reader: &dyn Reader, raw: RawEntry) -> Option<SurveyedGroup> {
    let facts = reader.facts();
    let Sort::Group(sort) = entry::sort(facts.kind, &raw) else { return None };
    let (dn, anchor): (Dn, Anchor) = (Dn::parse(raw.dn()).ok()?, entry::anchor(facts, &raw)?);
    let name = entry::name(facts.kind, true, |attribute| raw.text(attribute).map(str::to_owned))
        .unwrap_or_else(|| dn.to_string());
    let (sid, created) = (entry::sid(&raw), entry::created(facts.kind, &raw));
    let (member_lists, others): (Vec<_>, Vec<_>) = raw
        .attributes()
        .partition(|(n, _)| entry::is_member_attribute(range::split(n).map_or(*n, |(base, _)| base)));
    let members =
        member_lists.iter().flat_map(|(_, values)| *values).filter(|v| !v.is_empty()).count() as u64;
    let attributes = Attributes::new(others.into_iter().map(|(name, values)| (Arc::from(name), values)));
    let group = DirectoryGroup { anchor, dn, sid, created, attributes, members: MemberRead::default() };
    Some(SurveyedGroup { name, group, members, distribution: sort == GroupSort::Distribution })
}
