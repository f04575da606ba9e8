//! Links: whole rows, one for each directory object ever met.

use std::collections::{BTreeMap, BTreeSet};

use roaring::RoaringBitmap;
use serde::Deserialize;
use sha2::{Digest as _, Sha256};

use super::db::{Row, Tx, Value, args};
use super::open::{Reader, State};
use super::words::Word;
use super::{Result, StateError};
use crate::ids::{Anchor, Dn, IdentityStoreId, LinkNo, Sid, TargetId};
use crate::model::{Deleted, Digest, Disabled, GroupSets, Kind, Link, Retry};

const UPSERT: &str = "INSERT INTO links (profile_id, no, kind, anchor, dn, sid, identity_store_id, target_id,
        origin, name, email, digest, out_since, filled, direct, hidden,
        unreadable, applied, retry_attempts, retry_not_before, retry_code, retry_digest,
        disabled_at, disabled_cause, disabled_how, deleted_at, deletion_proof, absent_since, doubtful, primary_members,
        dn_key)
    VALUES {rows}
    ON CONFLICT (profile_id, no) DO UPDATE SET
        kind = excluded.kind, anchor = excluded.anchor, dn = excluded.dn, sid = excluded.sid,
        identity_store_id = excluded.identity_store_id, target_id = excluded.target_id,
        origin = excluded.origin, name = excluded.name, email = excluded.email, digest = excluded.digest,
        out_since = excluded.out_since, filled = excluded.filled, direct = excluded.direct,
        hidden = excluded.hidden, unreadable = excluded.unreadable, applied = excluded.applied, retry_attempts = excluded.retry_attempts,
        retry_not_before = excluded.retry_not_before, retry_code = excluded.retry_code,
        retry_digest = excluded.retry_digest, disabled_at = excluded.disabled_at,
        disabled_cause = excluded.disabled_cause, disabled_how = excluded.disabled_how,
        deleted_at = excluded.deleted_at, deletion_proof = excluded.deletion_proof,
        absent_since = excluded.absent_since, doubtful = excluded.doubtful,
        primary_members = excluded.primary_members, dn_key = excluded.dn_key";
const WIDTH: usize = 31;
const DN_KEY: usize = 16;

/// What nearly every link has.
macro_rules! common {
    () => {
        "no, kind, anchor, dn, sid, target_id, origin, name, email, digest, filled"
    };
}

/// What groups have, and now and then somebody.
macro_rules! particular {
    () => {
        "out_since, direct, hidden, unreadable, applied, retry_attempts, retry_not_before, retry_code, retry_digest,
            disabled_at, disabled_cause, disabled_how, deleted_at, deletion_proof, absent_since, doubtful,
            primary_members"
    };
}

/// Whole rows, for [`read`]; more of the WHERE follows.
macro_rules! select_links {
    ($($more:tt)*) => {
        concat!(
            "SELECT ",
            $crate::state::links::common!(),
            ", ",
            $crate::state::links::particular!(),
            " FROM links WHERE profile_id = $1",
            $($more)*
        )
    };
}
pub(super) use {common, particular, select_links};

/// A row costs by its columns, and there are a hundred thousand of them: those that are mostly empty are asked for where
/// one of them is not.
const COMMON: &str = concat!("SELECT ", common!(), " FROM links WHERE profile_id = $1");
/// The same in one value, for SQLite, whose rows come from another thread value by value.
const COMMON_IN_ONE: &str =
    "SELECT json_array(no, kind, hex(anchor), dn, sid, target_id, origin, name, email,
        hex(digest), filled)
    FROM links WHERE profile_id = $1";
const PARTICULAR: &str = concat!(
    "SELECT no, ",
    particular!(),
    " FROM links WHERE profile_id = $1 AND (out_since IS NOT NULL OR direct IS NOT NULL OR hidden IS NOT NULL
        OR unreadable IS NOT NULL OR applied IS NOT NULL OR retry_attempts IS NOT NULL OR retry_not_before IS NOT NULL
        OR retry_code IS NOT NULL OR retry_digest IS NOT NULL OR disabled_at IS NOT NULL OR disabled_cause IS NOT NULL
        OR disabled_how IS NOT NULL OR deleted_at IS NOT NULL OR deletion_proof IS NOT NULL
        OR absent_since IS NOT NULL OR doubtful IS NOT NULL OR primary_members IS NOT NULL)"
);

const ELSEWHERE: &str =
    "SELECT l.kind, l.target_id, p.name FROM links l JOIN profiles p ON p.id = l.profile_id
    WHERE l.identity_store_id = $1 AND l.profile_id <> $2 AND l.target_id IS NOT NULL";
const STORE: &str = "SELECT identity_store_id FROM profiles WHERE id = $1";
const OWNER: &str = "SELECT p.name, l.dn FROM links l JOIN profiles p ON p.id = l.profile_id
    WHERE l.identity_store_id = $1 AND l.kind = $2 AND l.target_id = $3
        AND NOT (l.profile_id = $4 AND l.no = $5)";

impl State {
    /// Writes whole rows in the transaction.
    pub(super) async fn write_links(&self, tx: &mut Tx, links: &[&Link]) -> Result<()> {
        if links.is_empty() {
            return Ok(());
        }
        let store = tx.fetch_one(STORE, args![self.profile_id], |row| row.next::<Option<String>>()).await?;
        let store = store.flatten();
        if store.is_none() && links.iter().any(|l| l.target_id.is_some()) {
            return Err(StateError::NotBound { profile: self.profile.clone() });
        }
        // Each once: PostgreSQL refuses to write a row twice in one statement. And those that give up a target
        // id first, in case another takes it over.
        let by_no: BTreeMap<LinkNo, &Link> = links.iter().map(|link| (link.no, *link)).collect();
        let mut values = Vec::with_capacity(by_no.len() * WIDTH);
        let (without, with): (Vec<&Link>, Vec<&Link>) =
            by_no.values().partition(|link| link.target_id.is_none());
        for link in without.into_iter().chain(with) {
            values.extend(
                row_of(self.profile_id, store.as_deref(), link)
                    .map_err(|source| StateError::Bitmap { no: link.no, source })?,
            );
        }
        tx.run_rows(UPSERT, WIDTH, values).await?;
        Ok(())
    }

    /// Where a row was refused because it exists already: which link owns the target object.
    pub(super) async fn name_owner(&self, error: StateError, links: &[&Link]) -> StateError {
        if !error.is_duplicate() {
            return error;
        }
        let Ok(Some(Some(store))) =
            self.db.fetch_one(STORE, args![self.profile_id], |row| row.next::<Option<String>>()).await
        else {
            return error;
        };
        for link in links {
            let Some(target) = &link.target_id else { continue };
            let owner = self.other_owner(&store, link.kind, target, link.no).await;
            if let Ok(Some((profile, dn))) = owner {
                return StateError::Owned { kind: link.kind, target: target.clone(), profile, dn };
            }
        }
        error
    }
}

impl Reader {
    /// Profile and DN of the link, other than this profile's `no`, that owns the target object.
    pub(super) async fn other_owner(
        &self,
        store: &str,
        kind: Kind,
        target: &TargetId,
        no: LinkNo,
    ) -> Result<Option<(String, String)>> {
        let args = args![store, kind.word(), target.as_str(), self.profile_id, no];
        self.db.fetch_one(OWNER, args, |row| Ok((row.next()?, row.next()?))).await
    }
}

impl Reader {
    /// Objects of the identity store that other profiles have linked, with their names.
    pub async fn linked_elsewhere(
        &self,
        store: &IdentityStoreId,
    ) -> Result<BTreeMap<(Kind, TargetId), String>> {
        let read = |row: &mut Row| {
            let kind = row.word("links.kind", Word::of)?;
            Ok(((kind, TargetId::new(row.next::<String>()?)), row.next()?))
        };
        let owned = self.db.fetch(ELSEWHERE, args![store.as_str(), self.profile_id], read).await?;
        Ok(owned.into_iter().collect())
    }
}

/// All links of a profile.
pub(super) async fn load(tx: &mut Tx, profile_id: i64) -> Result<BTreeMap<LinkNo, Link>> {
    // With its number, so that the map takes the list over as it is.
    let numbered = |link: Link| (link.no, link);
    let links = match tx {
        Tx::Sqlite(..) => {
            tx.fetch(COMMON_IN_ONE, args![profile_id], |row| read_common_in_one(row).map(numbered)).await?
        }
        Tx::Postgres(..) => tx.fetch(COMMON, args![profile_id], |row| read_common(row).map(numbered)).await?,
    };
    let mut links: BTreeMap<LinkNo, Link> = links.into_iter().collect();
    let read = |row: &mut Row| {
        let no = row.link("links.no")?;
        // Of one moment: each is among those.
        let link = links.get_mut(&no).ok_or_else(|| row.bad("links.no"))?;
        read_particular(row, link)
    };
    tx.fetch(PARTICULAR, args![profile_id], read).await?;
    Ok(links)
}

/// By which links are found by their names.
pub(super) fn dn_key(dn: &Dn) -> Vec<u8> {
    Sha256::digest(dn.key())[..DN_KEY].to_vec()
}

fn row_of<'a>(profile_id: i64, store: Option<&'a str>, link: &'a Link) -> std::io::Result<Vec<Value<'a>>> {
    let retry = link.retry.as_ref();
    let unreadable =
        if link.unreadable.is_empty() { None } else { Some(serde_json::to_string(&link.unreadable)?) };
    let target = link.target_id.as_ref().map(TargetId::as_str);
    Ok(args![
        profile_id,
        link.no,
        link.kind.word(),
        &link.anchor,
        &*link.dn,
        link.sid.as_ref().map(Sid::as_str),
        target.and(store),
        target,
        link.origin.word(),
        link.name.as_deref(),
        link.email.as_deref(),
        link.digest.as_ref().map(Digest::as_bytes),
        link.out_since,
        link.filled,
        bitmap_bytes(&link.direct)?,
        bitmap_bytes(&link.hidden)?,
        unreadable,
        bitmap_bytes(&link.applied)?,
        Value::Int(retry.map(|r| r.attempts.into())),
        retry.map(|r| r.not_before),
        retry.map(|r| r.code.as_str()),
        retry.map(|r| r.digest.as_bytes()),
        link.disabled.map(|d| d.at),
        link.disabled.map(|d| Word::word(d.cause)),
        link.disabled.map(|d| Word::word(d.how)),
        link.deleted.map(|d| d.since),
        link.deleted.map(|d| Word::word(d.proof)),
        link.absent_since,
        bitmap_bytes(&link.doubtful)?,
        bitmap_bytes(&link.primary)?,
        Dn::parse(&link.dn).ok().map(|dn| dn_key(&dn)),
    ])
}

pub(super) fn read(row: &mut Row) -> Result<Link> {
    let mut link = read_common(row)?;
    read_particular(row, &mut link)?;
    Ok(link)
}

fn read_common(row: &mut Row) -> Result<Link> {
    let (no, kind) = (row.link("links.no")?, row.word("links.kind", Word::of)?);
    let (anchor, dn) = (row.anchor("links.anchor")?, row.next::<String>()?);
    Ok(Link {
        sid: match row.next::<Option<String>>()? {
            Some(text) => Some(Sid::parse(&text).ok_or_else(|| row.bad("links.sid"))?),
            None => None,
        },
        target_id: row.next::<Option<String>>()?.map(TargetId::new),
        origin: row.word("links.origin", Word::of)?,
        name: row.next()?,
        email: row.next()?,
        digest: digest(row, "links.digest")?,
        filled: row.next()?,
        ..Link::new(no, kind, anchor, dn)
    })
}

/// As [`COMMON_IN_ONE`] has them.
#[derive(Deserialize)]
struct Common<'t>(
    u32,
    &'t str,
    &'t str,
    String,
    Option<String>,
    Option<String>,
    &'t str,
    Option<String>,
    Option<String>,
    &'t str,
    u8,
);

fn read_common_in_one(row: &mut Row) -> Result<Link> {
    let text: String = row.next()?;
    let Ok(Common(no, kind, anchor, dn, sid, target, origin, name, email, digest, filled)) =
        serde_json::from_str(&text)
    else {
        return Err(row.bad("links.no"));
    };
    let kind = Word::of(kind).ok_or_else(|| row.bad("links.kind"))?;
    let anchor =
        bytes_of(anchor).and_then(|b| Anchor::from_bytes(&b)).ok_or_else(|| row.bad("links.anchor"))?;
    let sid = sid.map(|text| Sid::parse(&text).ok_or_else(|| row.bad("links.sid"))).transpose()?;
    let digest = match digest {
        "" => None,
        digest => {
            let found = bytes_of(digest).and_then(|b| Digest::from_bytes(&b));
            Some(found.ok_or_else(|| row.bad("links.digest"))?)
        }
    };
    Ok(Link {
        sid,
        target_id: target.map(TargetId::new),
        origin: Word::of(origin).ok_or_else(|| row.bad("links.origin"))?,
        name,
        email,
        digest,
        filled: filled != 0,
        ..Link::new(LinkNo(no), kind, anchor, dn)
    })
}

/// 16 bytes in hexadecimal digits.
fn bytes_of(hex: &str) -> Option<[u8; 16]> {
    (hex.len() == 32).then(|| u128::from_str_radix(hex, 16).ok().map(u128::to_be_bytes)).flatten()
}

fn read_particular(row: &mut Row, link: &mut Link) -> Result<()> {
    link.out_since = row.opt_time("links.out_since")?;
    let mut sets = GroupSets {
        direct: bitmap(row, "links.direct")?,
        hidden: bitmap(row, "links.hidden")?,
        unreadable: match row.next::<Option<String>>()? {
            Some(text) => serde_json::from_str(&text).map_err(|_| row.bad("links.unreadable"))?,
            None => BTreeSet::new(),
        },
        applied: bitmap(row, "links.applied")?,
        ..GroupSets::default()
    };
    link.retry = retry(row)?;
    link.disabled = disabled(row)?;
    link.deleted = deleted(row)?;
    link.absent_since = row.opt_time("links.absent_since")?;
    sets.doubtful = bitmap(row, "links.doubtful")?;
    sets.primary = bitmap(row, "links.primary_members")?;
    link.of_group = sets.into();
    Ok(())
}

fn disabled(row: &mut Row) -> Result<Option<Disabled>> {
    let at = row.opt_time("links.disabled_at")?;
    let cause = row.opt_word("links.disabled_cause", Word::of)?;
    let how = row.opt_word("links.disabled_how", Word::of)?;
    match (at, cause, how) {
        (None, None, None) => Ok(None),
        (Some(at), Some(cause), Some(how)) => Ok(Some(Disabled { at, cause, how })),
        _ => Err(row.bad("links.disabled_at")),
    }
}

fn deleted(row: &mut Row) -> Result<Option<Deleted>> {
    let since = row.opt_time("links.deleted_at")?;
    let proof = row.opt_word("links.deletion_proof", Word::of)?;
    match (since, proof) {
        (None, None) => Ok(None),
        (Some(since), Some(proof)) => Ok(Some(Deleted { since, proof })),
        _ => Err(row.bad("links.deleted_at")),
    }
}

fn retry(row: &mut Row) -> Result<Option<Box<Retry>>> {
    let attempts = row.next::<Option<i64>>()?;
    let not_before = row.opt_time("links.retry_not_before")?;
    let code = row.next::<Option<String>>()?;
    let digest = digest(row, "links.retry_digest")?;
    match (attempts, not_before, code, digest) {
        (None, None, None, None) => Ok(None),
        (Some(attempts), Some(not_before), Some(code), Some(digest)) => {
            let attempts = u32::try_from(attempts).map_err(|_| row.bad("links.retry_attempts"))?;
            Ok(Some(Box::new(Retry { attempts, not_before, code, digest })))
        }
        _ => Err(row.bad("links.retry_attempts")),
    }
}

fn digest(row: &mut Row, column: &'static str) -> Result<Option<Digest>> {
    match row.next::<Option<Vec<u8>>>()? {
        Some(bytes) => Digest::from_bytes(&bytes).map(Some).ok_or_else(|| row.bad(column)),
        None => Ok(None),
    }
}

pub(super) fn bitmap(row: &mut Row, column: &'static str) -> Result<RoaringBitmap> {
    match row.next::<Option<Vec<u8>>>()? {
        Some(bytes) => RoaringBitmap::deserialize_from(bytes.as_slice()).map_err(|_| row.bad(column)),
        None => Ok(RoaringBitmap::new()),
    }
}

/// Roaring's portable format; nothing for an empty one, which most are.
fn bitmap_bytes(bitmap: &RoaringBitmap) -> std::io::Result<Option<Vec<u8>>> {
    if bitmap.is_empty() {
        return Ok(None);
    }
    let mut bytes = Vec::with_capacity(bitmap.serialized_size());
    bitmap.serialize_into(&mut bytes)?;
    Ok(Some(bytes))
}
