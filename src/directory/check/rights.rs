//! What the bind account may read: members, people, the domain itself, and what was deleted.

use crate::directory::entry::{self, Sort};
use crate::directory::ldap::{LdapReader, Sight};
use crate::directory::reader::{Query, RawEntry, Reader, Selection};
use crate::directory::walk;
use crate::ids::Sid;
use crate::model::{CheckLine, DirectoryKind};

/// Whether the attributes that matter can be read, from a few groups and people.
pub(super) async fn look_around(reader: &dyn Reader, lines: &mut Vec<CheckLine>) {
    let kind = reader.facts().kind;
    let groups =
        sample(reader, &walk::groups_filter(kind), &[&entry::MEMBER, &["memberuid"]], |_| true).await;
    lines.push(members(groups.seen, groups.having[0], groups.having[1]));
    let anchor = match (kind, reader.facts().ns_unique_id) {
        (DirectoryKind::ActiveDirectory, _) => "objectGUID",
        (DirectoryKind::Ldap, true) => "nsUniqueId",
        (DirectoryKind::Ldap, false) => "entryUUID",
    };
    // Accounts of trusts come along, and are nobody.
    let counted: [&[&str]; 3] = [&[anchor], &["useraccountcontrol"], &["accountexpires"]];
    let is_person = |raw: &RawEntry| !matches!(entry::sort(kind, raw), Sort::Other(_) | Sort::Group(_));
    let people = sample(reader, &walk::people_filter(kind), &counted, is_person).await;
    let seen = people.seen;
    if seen == 0 {
        lines.push(CheckLine::warn(
            "people",
            "nobody can be seen below the base DN",
            "check `base-dn` and the permissions",
        ));
    } else {
        lines.push(anchors(anchor, seen, people.having[0]));
    }
    if kind == DirectoryKind::ActiveDirectory {
        lines.push(domain(reader));
        if seen > 0 {
            lines.push(controls(seen, people.having[1]));
            lines.push(expiries(seen, people.having[2]));
        }
    }
}

fn members(seen: u64, with_members: u64, by_uid: u64) -> CheckLine {
    match (seen, with_members, by_uid) {
        (0, ..) => CheckLine::warn(
            "groups",
            "no group can be seen below the base DN",
            "check `base-dn` and the permissions",
        ),
        (_, 0, 0) => CheckLine::warn(
            "members",
            format!("none of {seen} groups shows a member"),
            "let the bind account read `member`",
        ),
        (_, 0, _) => CheckLine::warn(
            "members",
            format!("none of {seen} groups shows a member but by memberUid, which idcsync does not read"),
            "use groups with `member` or `uniqueMember`",
        ),
        _ => CheckLine::ok(
            "members",
            format!("readable ({with_members} of the first {seen} groups show some)"),
        ),
    }
}

fn anchors(anchor: &str, seen: u64, readable: u64) -> CheckLine {
    const NAME: &str = "people";
    let remedy = format!("let the bind account read {anchor} of everybody");
    if readable == 0 {
        let detail = format!("{anchor} cannot be read of any of {seen}: nobody can be told from others");
        return CheckLine::fail(NAME, detail, remedy);
    }
    let detail = format!("{anchor} readable of {readable} of the first {seen}");
    if readable < seen {
        let so = "whoever has none cannot be synced, and no group with them in it is read to its end";
        return CheckLine::warn(NAME, format!("{detail}: {so}"), remedy);
    }
    CheckLine::ok(NAME, detail)
}

fn controls(seen: u64, readable: u64) -> CheckLine {
    const NAME: &str = "userAccountControl";
    if readable == 0 {
        return CheckLine::fail(
            NAME,
            format!("cannot be read of any of {seen} people"),
            "let the bind account read userAccountControl and accountExpires; without it nobody is created or \
             disabled",
        );
    }
    let detail = format!("readable of {readable} of the first {seen} people");
    if readable < seen {
        return CheckLine::warn(
            NAME,
            format!("{detail}: of the others nobody is created, disabled or removed"),
            "let the bind account read userAccountControl and accountExpires of everybody",
        );
    }
    CheckLine::ok(NAME, detail)
}

/// Active Directory sets it on every user: where it is not there, it is not shown.
fn expiries(seen: u64, readable: u64) -> CheckLine {
    const NAME: &str = "accountExpires";
    if readable < seen {
        return CheckLine::warn(
            NAME,
            format!(
                "readable of {readable} of the first {seen} people: an expired account counts as an enabled one \
                 where it is not"
            ),
            "let the bind account read accountExpires of everybody",
        );
    }
    CheckLine::ok(NAME, format!("readable of {readable} of the first {seen} people"))
}

/// The profile is bound to the domain by its SID.
fn domain(reader: &dyn Reader) -> CheckLine {
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

/// Of one page.
struct Sample {
    /// Entries that count.
    seen: u64,
    /// How many of them have one of these attributes.
    having: Vec<u64>,
}

/// `counted`: attributes, and what may stand in place of each.
async fn sample(
    reader: &dyn Reader,
    filter: &str,
    counted: &[&[&str]],
    counts: impl Fn(&RawEntry) -> bool + Send + Sync,
) -> Sample {
    let by = ["objectclass", "samaccounttype"].iter().chain(counted.iter().copied().flatten());
    let selection: Selection = by.map(|a| (*a).to_owned()).collect();
    let mut found = Sample { seen: 0, having: vec![0; counted.len()] };
    let query = Query { filter, attributes: &selection, pages: Some(1), verdicts: None };
    reader
        .search(&query, &mut |raw| {
            if !counts(&raw) {
                return;
            }
            found.seen += 1;
            for (having, names) in found.having.iter_mut().zip(counted) {
                // A long attribute may come as a range only.
                let has = raw.attributes().any(|(name, values)| {
                    let name = name.split(';').next().unwrap_or_default();
                    !values.is_empty() && names.iter().any(|wanted| wanted.eq_ignore_ascii_case(name))
                });
                *having += u64::from(has);
            }
        })
        .await;
    found
}
