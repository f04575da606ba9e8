//! What a page shows of the links, asked for piece by piece: nothing here loads them all.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

use super::db::{Row, Tx, args};
use super::links::{bitmap, read, select_links};
use super::open::Reader;
use super::words::Word;
use super::{Result, approvals, profile};
use crate::ids::{Fingerprint, LinkNo};
use crate::model::{Code, Kind, Link};

/// Which links are meant: of a kind, in a state, with this in a name. Groups that left the scope have no mark of their own:
/// their numbers are given.
macro_rules! conditions {
    () => {
        " AND kind = $2
    AND ($3 = 'all'
        OR ($3 = 'in' AND target_id IS NOT NULL AND out_since IS NULL AND deleted_at IS NULL AND disabled_at IS NULL
            AND $8 NOT LIKE '%,' || CAST(no AS TEXT) || ',%')
        OR ($3 = 'out' AND target_id IS NOT NULL AND (out_since IS NOT NULL OR deleted_at IS NOT NULL
            OR $8 LIKE '%,' || CAST(no AS TEXT) || ',%'))
        OR ($3 = 'off' AND target_id IS NOT NULL AND disabled_at IS NOT NULL)
        OR ($3 = 'linked' AND target_id IS NOT NULL)
        OR ($3 = 'none' AND target_id IS NULL))
    AND ($4 = '' OR target_id = $6
        OR lower(COALESCE(name, '')) LIKE $4 ESCAPE '\\' OR lower(COALESCE(name, '')) LIKE $5 ESCAPE '\\'
        OR lower(COALESCE(name, '')) LIKE $7 ESCAPE '\\'
        OR lower(COALESCE(email, '')) LIKE $4 ESCAPE '\\' OR lower(COALESCE(email, '')) LIKE $5 ESCAPE '\\'
        OR lower(COALESCE(email, '')) LIKE $7 ESCAPE '\\'
        OR lower(dn) LIKE $4 ESCAPE '\\' OR lower(dn) LIKE $5 ESCAPE '\\' OR lower(dn) LIKE $7 ESCAPE '\\')"
    };
}

const PAGE: &str =
    select_links!(conditions!(), " ORDER BY lower(COALESCE(name, dn)), no LIMIT $9 OFFSET $10");
const COUNT: &str = concat!("SELECT COUNT(*) FROM links WHERE profile_id = $1", conditions!());
const LEAVING: &str = select_links!(
    " AND target_id IS NOT NULL AND (out_since IS NOT NULL OR deleted_at IS NOT NULL OR disabled_at IS NOT NULL
        OR (kind = 'group' AND $2 LIKE '%,' || CAST(no AS TEXT) || ',%'))"
);
const FROZEN: &str =
    "SELECT subject_id, since FROM findings WHERE profile_id = $1 AND code = $2 AND gone_at IS NULL";
const GROUPS: &str =
    "SELECT no, anchor, sid FROM links WHERE profile_id = $1 AND kind = 'group' AND target_id IS NOT NULL";
const LINKED: &str =
    "SELECT kind, COUNT(*) FROM links WHERE profile_id = $1 AND target_id IS NOT NULL GROUP BY kind";
const APPLIED: &str = "SELECT applied FROM links
    WHERE profile_id = $1 AND kind = 'group' AND target_id IS NOT NULL AND applied IS NOT NULL";

/// How an object stands to the scope.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Standing {
    All,
    /// Linked, and nothing is coming.
    #[default]
    In,
    /// Out of scope, or deleted in the directory.
    Out,
    /// Put out of use by idcsync.
    Off,
    /// In the target, however it stands.
    Linked,
    /// Met in the directory, and not in the target.
    Unlinked,
}

impl Standing {
    pub const ALL: &'static [Self] =
        &[Self::In, Self::Out, Self::Off, Self::Linked, Self::Unlinked, Self::All];

    /// As in the query, and in the address of a page.
    pub fn word(self) -> &'static str {
        match self {
            Self::All => "all",
            Self::In => "in",
            Self::Out => "out",
            Self::Off => "off",
            Self::Linked => "linked",
            Self::Unlinked => "none",
        }
    }
}

/// Which objects are looked for.
#[derive(Clone, Debug)]
pub struct Browse {
    pub kind: Kind,
    pub standing: Standing,
    /// A part of the name, of the address or of the DN, or the whole id in the target. Empty: all.
    pub text: String,
}

/// Linked objects by number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Linked {
    pub users: u64,
    pub groups: u64,
    pub memberships: u64,
}

/// A profile in few words.
#[derive(Clone, Debug, Default)]
pub struct Outline {
    pub last_complete_read: Option<Timestamp>,
    pub last_full: Option<Timestamp>,
    pub linked: Linked,
    /// Approved steps that have not expired and are not done.
    pub approvals: BTreeSet<Fingerprint>,
    /// Linked objects that are on their way out, or put out of use.
    pub leaving: Vec<Link>,
}

impl Reader {
    /// How many there are, and those from `offset` on.
    pub async fn browse(&self, wanted: &Browse, offset: u64, limit: u32) -> Result<(u64, Vec<Link>)> {
        // PostgreSQL takes no such character at all.
        let text = wanted.text.trim().replace('\0', "");
        let text = text.as_str();
        // Where the engine knows no other capital letters than those of ASCII, the others are found as they were typed, and
        // as capital letters.
        let (lower, ascii) = (pattern(&text.to_lowercase()), pattern(&text.to_ascii_lowercase()));
        let capital = pattern(&capitals(text));
        let (kind, standing) = (wanted.kind.word(), wanted.standing.word());
        let mut tx = self.db.begin_read().await?;
        let frozen = frozen(&mut tx, self.profile_id).await?;
        // Users are looked through without them.
        let numbers = if wanted.kind == Kind::Group { numbers(&frozen) } else { String::new() };
        let (lower, ascii, capital) = (lower.as_str(), ascii.as_str(), capital.as_str());
        let count = args![self.profile_id, kind, standing, lower, ascii, text, capital, numbers.as_str()];
        let count = tx.fetch_one(COUNT, count, |row| row.next::<i64>()).await?.unwrap_or_default();
        let offset = i64::try_from(offset).unwrap_or(i64::MAX);
        let page = args![
            self.profile_id,
            kind,
            standing,
            lower,
            ascii,
            text,
            capital,
            numbers.as_str(),
            limit,
            offset
        ];
        let links = tx.fetch(PAGE, page, read).await?;
        tx.commit().await?;
        Ok((u64::try_from(count).unwrap_or_default(), marked(links, &frozen)))
    }

    /// As of one moment.
    pub async fn outline(&self, now: Timestamp) -> Result<Outline> {
        let mut tx = self.db.begin_read().await?;
        let profile = profile::load(&mut tx, self.profile_id).await?;
        let mut linked = Linked::default();
        let kinds = |row: &mut Row| Ok((row.word::<Kind>("links.kind", Word::of)?, row.next::<i64>()?));
        for (kind, count) in tx.fetch(LINKED, args![self.profile_id], kinds).await? {
            let count = u64::try_from(count).unwrap_or_default();
            match kind {
                Kind::User => linked.users = count,
                Kind::Group => linked.groups = count,
            }
        }
        let members =
            tx.fetch(APPLIED, args![self.profile_id], |row| Ok(bitmap(row, "links.applied")?.len()));
        linked.memberships = members.await?.into_iter().sum();
        let frozen = frozen(&mut tx, self.profile_id).await?;
        let leaving = args![self.profile_id, numbers(&frozen)];
        let outline = Outline {
            last_complete_read: profile.last_complete_read,
            last_full: profile.last_full,
            linked,
            approvals: approvals::load(&mut tx, self.profile_id, now).await?,
            leaving: marked(tx.fetch(LEAVING, leaving, read).await?, &frozen),
        };
        tx.commit().await?;
        Ok(outline)
    }
}

/// Linked groups that left the scope, and since when: a finding stands for each.
async fn frozen(tx: &mut Tx, profile_id: i64) -> Result<BTreeMap<LinkNo, Timestamp>> {
    let code = Code::GroupOutOfScope.name();
    let found = |row: &mut Row| Ok((row.next::<String>()?, row.time("findings.since")?));
    let found: BTreeMap<String, Timestamp> =
        tx.fetch(FROZEN, args![profile_id, code], found).await?.into_iter().collect();
    if found.is_empty() {
        return Ok(BTreeMap::new());
    }
    let since = |row: &mut Row| {
        let no = row.link("links.no")?;
        let anchor = row.anchor("links.anchor")?.to_string();
        let sid = row.next::<Option<String>>()?;
        let ids = sid.into_iter().chain([anchor]);
        Ok(ids.filter_map(|id| found.get(&id)).next().map(|since| (no, *since)))
    };
    Ok(tx.fetch(GROUPS, args![profile_id], since).await?.into_iter().flatten().collect())
}

/// For LIKE, as `,7,12,`.
fn numbers(links: &BTreeMap<LinkNo, Timestamp>) -> String {
    links.keys().fold(String::from(","), |all, no| format!("{all}{},", no.0))
}

/// With the time since when they are out of the scope.
fn marked(mut links: Vec<Link>, frozen: &BTreeMap<LinkNo, Timestamp>) -> Vec<Link> {
    for link in &mut links {
        link.out_since = link.out_since.or_else(|| frozen.get(&link.no).copied());
    }
    links
}

/// Letters beyond ASCII as capital ones, where each is one.
fn capitals(text: &str) -> String {
    let capital = |c: char| {
        let mut upper = c.to_uppercase();
        match (upper.next(), upper.next()) {
            (Some(one), None) if !c.is_ascii() => one,
            _ => c.to_ascii_lowercase(),
        }
    };
    text.chars().map(capital).collect()
}

/// For LIKE: what is given stands for itself.
fn pattern(text: &str) -> String {
    if text.is_empty() {
        return String::new();
    }
    let mut out = String::from("%");
    for c in text.chars() {
        if matches!(c, '%' | '_' | '\\') {
            out.push('\\');
        }
        out.push(c);
    }
    out.push('%');
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_looked_for_stands_for_itself() {
        assert_eq!(pattern(""), "");
        assert_eq!(pattern(r"50%_\a"), r"%50\%\_\\a%");
        assert_eq!(capitals("Müller-Weiß"), "mÜller-weiß");
    }

    #[test]
    fn counting_and_listing_ask_for_the_same() {
        let of = |sql: &'static str| {
            let start = sql.find("AND ($3").unwrap();
            sql[start..].split("ORDER BY").next().unwrap().split_whitespace().collect::<Vec<_>>().join(" ")
        };
        assert_eq!(of(PAGE), of(COUNT));
        assert!(Standing::ALL.iter().all(|s| PAGE.contains(&format!("'{}'", s.word()))));
    }
}
