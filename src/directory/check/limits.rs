//! How much the server gives at once: pages, values of one attribute, entries in all.

use crate::directory::ldap::LdapReader;
use crate::directory::reader::{Query, Reader as _, Selection};
use crate::directory::settings::LdapSettings;
use crate::directory::{entry, walk};
use crate::ids::Dn;
use crate::model::{CheckLine, DirectoryKind};

/// Pages that are read to see whether a limit is met.
const PAGES: u64 = 10;

pub(super) async fn limits(reader: &LdapReader, settings: &LdapSettings, lines: &mut Vec<CheckLine>) {
    let policy = reader.about().await.limits;
    let limit = |name: &str| policy.iter().find(|(n, _)| n == name).map(|(_, number)| *number);
    let page = reader.facts().page;
    lines.push(if reader.has_paging() {
        let most = limit("MaxPageSize");
        let told = most.map_or_else(String::new, |most| format!("; the default query policy allows {most}"));
        let detail = format!("{page} entries a page{told}");
        if most.is_some_and(|most| u64::try_from(page).is_ok_and(|page| page > most)) {
            CheckLine::warn("paging", detail, "set `page-size` to what the policy allows")
        } else {
            CheckLine::ok("paging", detail)
        }
    } else {
        CheckLine::warn(
            "paging",
            "the server has no paged results (RFC 2696); a size limit would cut reads short",
            "raise the server's size limit for the bind account",
        )
    });
    if settings.kind == DirectoryKind::ActiveDirectory {
        lines.push(ranges(reader, limit("MaxValRange")).await);
    }
    lines.push(size_limit(reader, settings.kind).await);
}

/// Whether a group of more members than the server gives at once can be read to its end.
async fn ranges(reader: &LdapReader, policy: Option<u64>) -> CheckLine {
    const NAME: &str = "ranges of members";
    let told = match policy {
        Some(most) => format!("the default query policy (MaxValRange) gives {most} values at once"),
        None => "the query policy is not shown to this account".to_owned(),
    };
    let Some((group, anchor)) = a_group(reader).await else {
        return CheckLine::unknown(NAME, format!("{told}; no group shows members to try it on"));
    };
    match reader.range(anchor, &group, "member", 0).await {
        Ok(entry) if entry.attributes().any(|(name, _)| name.starts_with("member;range=")) => CheckLine::ok(
            NAME,
            format!("{told}; the rest is asked for part by part, and the server answers that"),
        ),
        Ok(_) => CheckLine::warn(
            NAME,
            format!("{told}; asked for a range of {group}, the server answers without one"),
            "a group with more members than the server gives at once may not be read to its end: nothing is taken away then",
        ),
        Err(fault) => {
            CheckLine::warn(NAME, format!("{told}; {}", fault.detail), "check what the bind account may read")
        }
    }
}

async fn a_group(reader: &LdapReader) -> Option<(Dn, crate::ids::Anchor)> {
    let attributes: Selection = ["objectGUID", "member"].map(str::to_owned).into();
    let filter = format!("(&{}(member=*))", walk::groups_filter(reader.facts().kind));
    let mut found = None;
    let query = Query { filter: &filter, attributes: &attributes, pages: Some(1), verdicts: None };
    reader
        .search(&query, &mut |raw| {
            if found.is_none() {
                found = Dn::parse(raw.dn()).ok().zip(entry::anchor(reader.facts(), &raw));
            }
        })
        .await;
    found
}

/// Reads names only, and no more than a few pages.
async fn size_limit(reader: &LdapReader, kind: DirectoryKind) -> CheckLine {
    const NAME: &str = "size limit";
    // No attributes (RFC 4511 section 4.5.1.8).
    let attributes: Selection = ["1.1".to_owned()].into();
    let filter = format!("(|{}{})", walk::people_filter(kind), walk::groups_filter(kind));
    let mut entries = 0_u64;
    let query = Query { filter: &filter, attributes: &attributes, pages: Some(PAGES), verdicts: None };
    let ending = reader.search(&query, &mut |_| entries += 1).await;
    match ending.fault {
        None if ending.given_up => {
            CheckLine::ok(NAME, format!("none met in the first {entries} people and groups"))
        }
        None => CheckLine::ok(NAME, format!("none met: {entries} people and groups below the base DN")),
        Some(fault) => CheckLine::fail(
            NAME,
            format!("after {entries} people and groups: {}", fault.detail),
            "raise the server's limits for the bind account (slapd: `limits`; Active Directory: the query policy): a \
             read that is cut short takes nothing away",
        ),
    }
}
