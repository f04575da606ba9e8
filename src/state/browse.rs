//! What a page shows of the links, asked for piece by piece: nothing here loads them all.

use std::collections::BTreeSet;

use jiff::Timestamp;

use super::db::{Row, args};
use super::links::{bitmap, read, select_links};
use super::open::Reader;
use super::words::Word;
use super::{Result, approvals, profile};
use crate::ids::Fingerprint;
use crate::model::{Kind, Link};

/// Which links are meant: of a kind, in a state, with this in a name.
macro_rules! conditions {
    () => {
        " AND kind = $2
    AND ($3 = 'all'
        OR ($3 = 'in' AND target_id IS NOT NULL AND out_since IS NULL AND deleted_at IS NULL AND disabled_at IS NULL)
        OR ($3 = 'out' AND target_id IS NOT NULL AND (out_since IS NOT NULL OR deleted_at IS NOT NULL))
        OR ($3 = 'off' AND target_id IS NOT NULL AND disabled_at IS NOT NULL)
        OR ($3 = 'none' AND target_id IS NULL))
    AND ($4 = '' OR target_id = $6
        OR lower(COALESCE(name, '')) LIKE $4 ESCAPE '\\' OR lower(COALESCE(name, '')) LIKE $5 ESCAPE '\\'
        OR lower(COALESCE(email, '')) LIKE $4 ESCAPE '\\'
        OR lower(dn) LIKE $4 ESCAPE '\\' OR lower(dn) LIKE $5 ESCAPE '\\')"
    };
}

const PAGE: &str = select_links!(conditions!(), " ORDER BY lower(COALESCE(name, dn)), no LIMIT $7 OFFSET $8");
const COUNT: &str = concat!("SELECT COUNT(*) FROM links WHERE profile_id = $1", conditions!());
const LEAVING: &str = select_links!(
    " AND target_id IS NOT NULL AND (out_since IS NOT NULL OR deleted_at IS NOT NULL OR disabled_at IS NOT NULL)"
);
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
    /// Met in the directory, and not in the target.
    Unlinked,
}

impl Standing {
    pub const ALL: &'static [Self] = &[Self::In, Self::Out, Self::Off, Self::Unlinked, Self::All];

    /// As in the query, and in the address of a page.
    pub fn word(self) -> &'static str {
        match self {
            Self::All => "all",
            Self::In => "in",
            Self::Out => "out",
            Self::Off => "off",
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
        // Where the engine knows no other capital letters than those of ASCII, the second one finds them.
        let (lower, ascii) = (pattern(&text.to_lowercase()), pattern(&text.to_ascii_lowercase()));
        let (kind, standing) = (wanted.kind.word(), wanted.standing.word());
        let mut tx = self.db.begin_read().await?;
        let count = args![self.profile_id, kind, standing, lower.as_str(), ascii.as_str(), text];
        let count = tx.fetch_one(COUNT, count, |row| row.next::<i64>()).await?.unwrap_or_default();
        let offset = i64::try_from(offset).unwrap_or(i64::MAX);
        let page =
            args![self.profile_id, kind, standing, lower.as_str(), ascii.as_str(), text, limit, offset];
        let links = tx.fetch(PAGE, page, read).await?;
        tx.commit().await?;
        Ok((u64::try_from(count).unwrap_or_default(), links))
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
        let outline = Outline {
            last_complete_read: profile.last_complete_read,
            last_full: profile.last_full,
            linked,
            approvals: approvals::load(&mut tx, self.profile_id, now).await?,
            leaving: tx.fetch(LEAVING, args![self.profile_id], read).await?,
        };
        tx.commit().await?;
        Ok(outline)
    }
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
