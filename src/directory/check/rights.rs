//! What the bind account may read: members, people, the domain itself, and what was deleted.

use crate::directory::ldap::{LdapReader, Sight};
use crate::directory::reader::{Query, Reader as _, Selection};
use crate::directory::settings::LdapSettings;
use crate::directory::walk;
use crate::ids::Sid;
use crate::model::{CheckLine, DirectoryKind};

/// Whether the attributes that matter can be read, from a few groups and people.
pub(super) async fn look_around(reader: &LdapReader, settings: &LdapSettings, lines: &mut Vec<CheckLine>) {
    let kind = settings.kind;
    let groups = sample(reader, &walk::groups_filter(kind), &["member", "uniqueMember", "memberUid"]).await;
    let (seen, readable) = groups;
    let with_members = readable.iter().sum::<u64>();
    lines.push(match (seen, with_members) {
        (0, _) => CheckLine::warn(
            "groups",
            "no group can be seen below the base DN",
            "check `base-dn` and the permissions",
        ),
        (_, 0) => CheckLine::warn(
            "members",
            format!("none of {seen} groups shows a member"),
            "let the bind account read `member`",
        ),
        _ => CheckLine::ok(
            "members",
            format!("readable ({with_members} of the first {seen} groups show some)"),
        ),
    });
    let anchor = match (kind, reader.facts().ns_unique_id) {
        (DirectoryKind::ActiveDirectory, _) => "objectGUID",
        (DirectoryKind::Ldap, true) => "nsUniqueId",
        (DirectoryKind::Ldap, false) => "entryUUID",
    };
    let (seen, readable) = sample(reader, &walk::people_filter(kind), &[anchor, "userAccountControl"]).await;
    lines.push(match (seen, readable[0]) {
        (0, _) => CheckLine::warn(
            "people",
            "nobody can be seen below the base DN",
            "check `base-dn` and the permissions",
        ),
        (_, 0) => CheckLine::fail(
            "people",
            format!("{anchor} cannot be read of any of {seen}: nobody can be told from others"),
            format!("let the bind account read {anchor}"),
        ),
        (_, readable) => {
            CheckLine::ok("people", format!("{anchor} readable of {readable} of the first {seen}"))
        }
    });
    if kind == DirectoryKind::ActiveDirectory {
        lines.push(domain(reader));
        let readable = readable[1];
        lines.extend((seen > 0).then(|| match (seen, readable) {
            (_, 0) => CheckLine::fail(
                "userAccountControl",
                format!("cannot be read of any of {seen} people"),
                "let the bind account read userAccountControl and accountExpires; without it nobody is created or \
                 disabled",
            ),
            _ => CheckLine::ok("userAccountControl", format!("readable of {readable} of the first {seen} people")),
        }));
    }
}

/// The profile is bound to the domain by its SID.
fn domain(reader: &LdapReader) -> CheckLine {
    const NAME: &str = "objectSid of the domain";
    let facts = reader.facts();
    match Sid::parse(&facts.binding) {
        Some(sid) => CheckLine::ok(NAME, sid.to_string()),
        None => CheckLine::fail(
            NAME,
            format!("cannot be read of {}", facts.context),
            "let the bind account read objectSid of the domain: by it a profile knows its directory, and members by \
             primary group are found",
        ),
    }
}

/// Whether a deletion can be told from an object that merely is not found. Nothing is deleted without that.
pub(super) async fn deletions(reader: &LdapReader) -> CheckLine {
    const NAME: &str = "deleted objects";
    let context = &reader.facts().context;
    let without = "a user who is not found any more counts as one who left the scope";
    if let Some(sight) = reader.sight_of_deleted().await {
        let remedy = match reader.facts().kind {
            DirectoryKind::ActiveDirectory => format!(
                "give the bind account List Contents and Read Property on the Deleted Objects container: \
                 dsacls \"CN=Deleted Objects,{context}\" /takeOwnership, then the same with /G DOMAIN\\account:LCRP"
            ),
            DirectoryKind::Ldap => {
                "let the bind account read entries with objectClass=nsTombstone, or set `delete-on-absence`"
                    .to_owned()
            }
        };
        return match sight {
            Sight::Objects => CheckLine::ok(NAME, "shown to the bind account"),
            Sight::Container => CheckLine::warn(
                NAME,
                format!(
                    "the container is shown, but no object in it: there is none, or they are hidden and {without}"
                ),
                remedy,
            ),
            Sight::Nothing(Some(fault)) => CheckLine::warn(
                NAME,
                format!("not shown to the bind account ({}): {without}", fault.detail),
                remedy,
            ),
            Sight::Nothing(None) => {
                CheckLine::warn(NAME, format!("not shown to the bind account: {without}"), remedy)
            }
        };
    }
    let log = "the change log (RFC 4533)";
    match reader.change_log_answers().await {
        Some(true) => CheckLine::ok(
            NAME,
            format!(
                "{log} of {context} can be read; it is a proof only where the bind account may read every entry, and \
                 where the server keeps a session log (syncprov-sessionlog)"
            ),
        ),
        Some(false) => CheckLine::warn(
            NAME,
            format!("{log} of {context} cannot be read: {without}"),
            "let the bind account read contextCSN, and have the overlay syncprov on that database",
        ),
        None => CheckLine::warn(
            NAME,
            format!("the server offers no change log (RFC 4533): {without}"),
            "add the overlay syncprov with syncprov-sessionlog (slapd), or set `delete-on-absence`",
        ),
    }
}

/// Of one page: how many entries came, and how many of them had each attribute.
async fn sample(reader: &LdapReader, filter: &str, attributes: &[&str]) -> (u64, Vec<u64>) {
    let selection: Selection = attributes.iter().map(|a| (*a).to_owned()).collect();
    let (mut seen, mut having) = (0, vec![0; attributes.len()]);
    let query = Query { filter, attributes: &selection, pages: Some(1), verdicts: None };
    reader
        .search(&query, &mut |raw| {
            seen += 1;
            for (at, attribute) in attributes.iter().enumerate() {
                let wanted = attribute.to_lowercase();
                // A long attribute may come as a range only.
                let has = raw
                    .attributes
                    .iter()
                    .any(|(n, values)| !values.is_empty() && n.split(';').next() == Some(wanted.as_str()));
                having[at] += u64::from(has);
            }
        })
        .await;
    (seen, having)
}
