//! From the bytes of an entry to what they mean: what it is, its anchor, whether its account may sign in.

use jiff::Timestamp;
use jiff::civil::DateTime;

use super::reader::{Facts, RawEntry};
use crate::ids::{Anchor, Sid};
use crate::model::{AccountState, DirectoryKind};

/// What an entry is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sort {
    Person,
    Group(GroupSort),
    /// Neither, with the words for it.
    Other(&'static str),
    /// `objectClass` could not be read.
    Unclear,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum GroupSort {
    Security,
    Distribution,
    /// `groupType` could not be read.
    Unclear,
    /// A posixGroup that names its members by `memberUid` only.
    MemberUid,
}

/// `groupType`: the group may be used for access ([MS-ADTS] 2.2.12).
const SECURITY_ENABLED: u32 = 0x8000_0000;
/// `sAMAccountType` of the account that stands for a trust to another domain ([MS-ADTS] 2.2.15).
const TRUST_ACCOUNT: i64 = 0x3000_0002;
/// `userAccountControl` ([MS-ADTS] 2.2.16).
const ACCOUNT_DISABLED: i64 = 0x2;
const INTERDOMAIN_TRUST: i64 = 0x800;

const AD_NOT_PEOPLE: [(&str, &str); 4] = [
    ("computer", "a computer"),
    ("msds-managedserviceaccount", "a managed service account"),
    ("msds-groupmanagedserviceaccount", "a managed service account"),
    ("msds-delegatedmanagedserviceaccount", "a managed service account"),
];
pub(super) const LDAP_PEOPLE: [&str; 4] = ["person", "inetOrgPerson", "organizationalPerson", "posixAccount"];
pub(super) const LDAP_GROUPS: [&str; 6] =
    ["groupOfNames", "groupOfUniqueNames", "groupOfMembers", "groupOfEntries", "ipaUserGroup", "posixGroup"];

/// The attributes that hold members, in lower case.
pub(super) const MEMBER: [&str; 2] = ["member", "uniquemember"];

/// What every read fetches, beside what the mapping needs. In lower case.
pub(super) fn always(kind: DirectoryKind) -> &'static [&'static str] {
    match kind {
        DirectoryKind::ActiveDirectory => &[
            "objectclass",
            "objectguid",
            "objectsid",
            "samaccountname",
            "samaccounttype",
            "userprincipalname",
            "mail",
            "useraccountcontrol",
            "accountexpires",
            "whencreated",
            "grouptype",
            "primarygroupid",
        ],
        // The operational ones are returned only when asked for by name (RFC 4511 section 4.5.1.8).
        DirectoryKind::Ldap => &[
            "objectclass",
            "entryuuid",
            "nsuniqueid",
            "uid",
            "cn",
            "mail",
            "nsaccountlock",
            "createtimestamp",
            "memberuid",
        ],
    }
}

/// What stays with an entry in the snapshot whether the mapping asked for it or not: its names.
pub(super) fn naming(kind: DirectoryKind) -> &'static [&'static str] {
    match kind {
        DirectoryKind::ActiveDirectory => &["samaccountname", "userprincipalname", "mail"],
        DirectoryKind::Ldap => &["uid", "cn", "mail"],
    }
}

pub(super) fn sort(kind: DirectoryKind, entry: &RawEntry) -> Sort {
    let classes = entry.values("objectclass");
    if classes.is_empty() {
        return Sort::Unclear;
    }
    let has = |class: &str| classes.into_iter().any(|c| c.eq_ignore_ascii_case(class.as_bytes()));
    match kind {
        DirectoryKind::ActiveDirectory => {
            if has("group") {
                return Sort::Group(match entry.number("grouptype").and_then(|t| i32::try_from(t).ok()) {
                    None => GroupSort::Unclear,
                    Some(bits) if bits.cast_unsigned() & SECURITY_ENABLED != 0 => GroupSort::Security,
                    Some(_) => GroupSort::Distribution,
                });
            }
            if let Some((_, words)) = AD_NOT_PEOPLE.iter().find(|(class, _)| has(class)) {
                return Sort::Other(words);
            }
            // inetOrgPerson is a subclass of user there.
            if !has("user") {
                return Sort::Other(if has("contact") {
                    "a contact"
                } else {
                    "neither a person nor a group"
                });
            }
            let control = entry.number("useraccountcontrol").unwrap_or(0);
            if entry.number("samaccounttype") == Some(TRUST_ACCOUNT) || control & INTERDOMAIN_TRUST != 0 {
                return Sort::Other("the account of a trust");
            }
            Sort::Person
        }
        DirectoryKind::Ldap => {
            if LDAP_GROUPS.iter().any(|c| has(c)) {
                let by_name = entry.attributes().any(|(n, _)| is_member_attribute(n));
                let only_uids = !by_name && entry.has("memberuid");
                return Sort::Group(if only_uids { GroupSort::MemberUid } else { GroupSort::Security });
            }
            if LDAP_PEOPLE.iter().any(|c| has(c)) {
                return Sort::Person;
            }
            Sort::Other("neither a person nor a group")
        }
    }
}

pub(super) fn is_group(kind: DirectoryKind, entry: &RawEntry) -> bool {
    matches!(sort(kind, entry), Sort::Group(_))
}

/// With or without options.
pub(super) fn is_member_attribute(name: &str) -> bool {
    MEMBER.contains(&name.split(';').next().unwrap_or_default())
}

/// The text of one value of `uniqueMember`, whose syntax (RFC 4517 section 3.3.21) allows `#'0101'B` after the DN.
pub(super) fn without_unique_id(value: &str) -> &str {
    let Some(at) = value.rfind('#') else { return value };
    let bits = value[at + 1..].strip_prefix('\'').and_then(|b| b.strip_suffix("'B"));
    match bits {
        Some(bits) if bits.bytes().all(|b| matches!(b, b'0' | b'1')) => &value[..at],
        _ => value,
    }
}

pub(super) fn anchor(facts: &Facts, entry: &RawEntry) -> Option<Anchor> {
    if facts.kind == DirectoryKind::ActiveDirectory {
        return entry.values("objectguid").first().and_then(Anchor::from_object_guid);
    }
    // 389 DS may give an entryUUID to some entries only; one server must yield one sort of anchor.
    let name = if facts.ns_unique_id { "nsuniqueid" } else { "entryuuid" };
    entry.text(name).and_then(Anchor::parse)
}

/// Whether this is what is left of a deleted object.
pub(super) fn is_deleted(kind: DirectoryKind, entry: &RawEntry) -> bool {
    match kind {
        DirectoryKind::ActiveDirectory => {
            entry.text("isdeleted").is_some_and(|text| text.eq_ignore_ascii_case("true"))
        }
        DirectoryKind::Ldap => {
            entry.values("objectclass").any(|class| class.eq_ignore_ascii_case(b"nsTombstone"))
        }
    }
}

pub(super) fn sid(entry: &RawEntry) -> Option<Sid> {
    entry.values("objectsid").first().and_then(Sid::from_bytes)
}

/// Whether the account may sign in at `now`.
pub(super) fn account(kind: DirectoryKind, entry: &RawEntry, now: Timestamp) -> AccountState {
    match kind {
        DirectoryKind::ActiveDirectory => {
            let Some(control) = entry.number("useraccountcontrol") else { return AccountState::Unknown };
            if control & ACCOUNT_DISABLED != 0 {
                return AccountState::Disabled;
            }
            if !entry.has("accountexpires") {
                return AccountState::Enabled;
            }
            match entry.number("accountexpires") {
                None => AccountState::Unknown,
                // Both mean never ([MS-ADA1] accountExpires).
                Some(0 | i64::MAX) => AccountState::Enabled,
                Some(ticks) if filetime_seconds(ticks) <= now.as_second() => AccountState::Expired,
                Some(_) => AccountState::Enabled,
            }
        }
        DirectoryKind::Ldap => {
            let locked = entry.text("nsaccountlock").is_some_and(|t| t.eq_ignore_ascii_case("true"));
            if locked { AccountState::Disabled } else { AccountState::Enabled }
        }
    }
}

/// When the account expires, or expired; `None`: never, or nobody knows.
pub(super) fn expires(kind: DirectoryKind, entry: &RawEntry) -> Option<Timestamp> {
    let ticks = match kind {
        DirectoryKind::ActiveDirectory => entry.number("accountexpires")?,
        DirectoryKind::Ldap => return None,
    };
    if matches!(ticks, 0 | i64::MAX) { None } else { Timestamp::from_second(filetime_seconds(ticks)).ok() }
}

/// FILETIME (100 ns since 1601, [MS-DTYP] 2.3.3) as seconds since 1970.
fn filetime_seconds(ticks: i64) -> i64 {
    ticks / 10_000_000 - 11_644_473_600
}

pub(super) fn created(kind: DirectoryKind, entry: &RawEntry) -> Option<Timestamp> {
    let name = match kind {
        DirectoryKind::ActiveDirectory => "whencreated",
        DirectoryKind::Ldap => "createtimestamp",
    };
    entry.text(name).and_then(generalized_time)
}

/// GeneralizedTime (RFC 4517 section 3.3.13): `20261103120000.0Z`, `202611031200+0100`. Fractions of a second are left
/// out; those of an hour or of a minute, which it allows too, are not.
pub(super) fn generalized_time(text: &str) -> Option<Timestamp> {
    let text = text.trim();
    let (stem, offset) = match text.find(['Z', '+', '-']) {
        Some(at) if text[at..].starts_with('Z') => (&text[..at], 0),
        Some(at) => {
            let (sign, digits) = text[at..].split_at(1);
            if !matches!(digits.len(), 2 | 4) || !digits.bytes().all(|b| b.is_ascii_digit()) {
                return None;
            }
            let hours: i32 = digits[..2].parse().ok()?;
            let minutes: i32 = if digits.len() == 4 { digits[2..].parse().ok()? } else { 0 };
            let seconds = (hours * 60 + minutes) * 60;
            (&text[..at], if sign == "-" { -seconds } else { seconds })
        }
        None => return None,
    };
    let (digits, fraction) = stem.split_once(['.', ',']).unwrap_or((stem, ""));
    if !fraction.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    if digits.len() < 10 || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let part = |from: usize, to: usize| digits.get(from..to).map_or(Some(0), |t| t.parse::<i8>().ok());
    let year = digits.get(..4)?.parse().ok()?;
    // A leap second has no place in a civil time.
    let second = part(12, 14)?.min(59);
    let civil = DateTime::new(year, part(4, 6)?, part(6, 8)?, part(8, 10)?, part(10, 12)?, second, 0).ok()?;
    let unit: i64 = match digits.len() {
        10 => 3600,
        12 => 60,
        _ => 1,
    };
    let fraction = fraction.get(..fraction.len().min(9))?;
    let scale = 10_i64.pow(u32::try_from(fraction.len()).ok()?);
    let more = unit * fraction.parse::<i64>().unwrap_or(0) / scale;
    let offset = jiff::tz::Offset::from_seconds(offset).ok()?;
    offset.to_timestamp(civil).ok()?.checked_add(jiff::SignedDuration::from_secs(more)).ok()
}

/// What the object is called: sAMAccountName, uid (people) or cn (groups).
pub(super) fn name(
    kind: DirectoryKind,
    group: bool,
    attribute: impl Fn(&str) -> Option<String>,
) -> Option<String> {
    attribute(match kind {
        DirectoryKind::ActiveDirectory => "samaccountname",
        DirectoryKind::Ldap if group => "cn",
        DirectoryKind::Ldap => "uid",
    })
}

#[cfg(test)]
pub(super) mod tests {
    use proptest::prelude::*;

    use super::*;

    pub(in crate::directory) fn raw(dn: &str, list: &[(&str, &[&str])]) -> RawEntry {
        RawEntry::new(dn, list.iter().map(|(name, values)| (name.to_lowercase(), *values)))
    }

    const AD: DirectoryKind = DirectoryKind::ActiveDirectory;
    const USER: &[&str] = &["top", "person", "organizationalPerson", "user"];

    fn user(more: &[(&str, &[&str])]) -> RawEntry {
        let mut list: Vec<(&str, &[&str])> = vec![("objectClass", USER)];
        list.extend_from_slice(more);
        raw("CN=a,DC=x", &list)
    }

    #[test]
    fn only_people_are_people() {
        assert_eq!(sort(AD, &user(&[])), Sort::Person);
        let computer = raw("CN=a", &[("objectClass", &["user", "computer"])]);
        assert_eq!(sort(AD, &computer), Sort::Other("a computer"));
        let gmsa = raw("CN=a", &[("objectClass", &["user", "computer", "msDS-GroupManagedServiceAccount"])]);
        assert!(matches!(sort(AD, &gmsa), Sort::Other(_)));
        let msa = raw("CN=a", &[("objectClass", &["user", "msDS-ManagedServiceAccount"])]);
        assert_eq!(sort(AD, &msa), Sort::Other("a managed service account"));
        let contact = raw("CN=a", &[("objectClass", &["person", "contact"])]);
        assert_eq!(sort(AD, &contact), Sort::Other("a contact"));
        let inet = raw("CN=a", &[("objectClass", &["person", "user", "inetOrgPerson"])]);
        assert_eq!(sort(AD, &inet), Sort::Person);
        let trust = user(&[("sAMAccountType", &["805306370"])]);
        assert_eq!(sort(AD, &trust), Sort::Other("the account of a trust"));
        assert_eq!(sort(AD, &raw("CN=a", &[])), Sort::Unclear);
    }

    #[test]
    fn group_type_tells_security_from_distribution() {
        let group = |t: &[&str]| raw("CN=g", &[("objectClass", &["top", "group"]), ("groupType", t)]);
        assert_eq!(sort(AD, &group(&["-2147483646"])), Sort::Group(GroupSort::Security));
        assert_eq!(sort(AD, &group(&["2"])), Sort::Group(GroupSort::Distribution));
        assert_eq!(sort(AD, &group(&[])), Sort::Group(GroupSort::Unclear));
        let posix = |extra: &[(&str, &[&str])]| {
            let mut list: Vec<(&str, &[&str])> = vec![("objectClass", &["posixGroup"])];
            list.extend_from_slice(extra);
            sort(DirectoryKind::Ldap, &raw("cn=g", &list))
        };
        assert_eq!(posix(&[("memberUid", &["a"])]), Sort::Group(GroupSort::MemberUid));
        assert_eq!(posix(&[("memberUid", &["a"]), ("member", &["cn=a"])]), Sort::Group(GroupSort::Security));
    }

    #[test]
    fn the_state_of_an_account() {
        let now: Timestamp = "2026-11-03T12:00:00Z".parse().unwrap();
        let state = |more: &[(&str, &[&str])]| account(AD, &user(more), now);
        assert_eq!(state(&[]), AccountState::Unknown);
        assert_eq!(state(&[("userAccountControl", &["512"])]), AccountState::Enabled);
        assert_eq!(state(&[("userAccountControl", &["514"])]), AccountState::Disabled);
        let expires = |at: &str| state(&[("userAccountControl", &["512"]), ("accountExpires", &[at])]);
        assert_eq!(expires("0"), AccountState::Enabled);
        assert_eq!(expires("9223372036854775807"), AccountState::Enabled);
        // 2026-11-03T12:00:00Z is 134381808000000000.
        assert_eq!(expires("134381808000000000"), AccountState::Expired);
        assert_eq!(expires("134381808010000000"), AccountState::Enabled);
        assert_eq!(expires("soon"), AccountState::Unknown);
        let when = |at: &str| super::expires(AD, &user(&[("accountExpires", &[at])])).map(|t| t.to_string());
        assert_eq!(when("134381808000000000").as_deref(), Some("2026-11-03T12:00:00Z"));
        assert_eq!(
            ["0", "9223372036854775807", "soon", "-9223372036854775808"].map(when),
            [None, None, None, None]
        );
        let lock = |v: &str| {
            let e = raw("uid=a", &[("objectClass", &["person"]), ("nsAccountLock", &[v])]);
            account(DirectoryKind::Ldap, &e, now)
        };
        assert_eq!(lock("TRUE"), AccountState::Disabled);
        assert_eq!(lock("false"), AccountState::Enabled);
    }

    #[test]
    fn generalized_times() {
        let at = |t: &str| generalized_time(t).map(|t| t.to_string());
        assert_eq!(at("20261103120000.0Z").as_deref(), Some("2026-11-03T12:00:00Z"));
        assert_eq!(at("20261103120000Z").as_deref(), Some("2026-11-03T12:00:00Z"));
        assert_eq!(at("202611031200+0130").as_deref(), Some("2026-11-03T10:30:00Z"));
        assert_eq!(at("2026110312-01").as_deref(), Some("2026-11-03T13:00:00Z"));
        for odd in ["20261103120000+0035791395", "20261103120000+-1", "20261103120000+", "20261103120000+1é"]
        {
            assert_eq!(at(odd), None, "{odd}");
        }
        assert_eq!(at("20261103120000.999Z").as_deref(), Some("2026-11-03T12:00:00Z"));
        assert_eq!(at("2026110312.5Z").as_deref(), Some("2026-11-03T12:30:00Z"));
        assert_eq!(at("202611031200,25+0100").as_deref(), Some("2026-11-03T11:00:15Z"));
        assert_eq!(at("20261103120000.0000000000000000001Z").as_deref(), Some("2026-11-03T12:00:00Z"));
        assert_eq!(at("20261103120000.xZ"), None);
        assert_eq!(at("yesterday"), None);
        assert_eq!(at("20261303120000Z"), None);
    }

    #[test]
    fn the_unique_id_behind_a_name_is_dropped() {
        assert_eq!(without_unique_id("cn=a,dc=x#'0101'B"), "cn=a,dc=x");
        assert_eq!(without_unique_id("cn=a#b,dc=x"), "cn=a#b,dc=x");
        assert_eq!(without_unique_id("cn=a,dc=x"), "cn=a,dc=x");
    }

    proptest! {
        #[test]
        fn no_value_makes_an_entry_panic(
            time in "[0-9]{0,20}[.,]?[0-9]{0,12}(Z|[+-][0-9+-]{0,12})?|\\PC*",
            value in prop::collection::vec(any::<u8>(), 0..40),
            name in "objectsid|objectguid|grouptype|useraccountcontrol|accountexpires|entryuuid|whencreated",
        ) {
            let _ = generalized_time(&time);
            let _ = without_unique_id(&time);
            let entry = user(&[("userAccountControl", &["512"])]).with(|list| list.push((name, vec![value])));
            let now = Timestamp::UNIX_EPOCH;
            for kind in [AD, DirectoryKind::Ldap] {
                let _ = (sort(kind, &entry), account(kind, &entry, now), created(kind, &entry), sid(&entry));
            }
        }
    }
}
