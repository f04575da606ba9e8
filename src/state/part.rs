//! What a cycle loads that looks at a part of the scope alone.

use std::collections::BTreeSet;

use jiff::Timestamp;
use roaring::RoaringBitmap;

use super::db::{Row, args};
use super::links::{bitmap, dn_key, read, select_links};
use super::load::without_objects;
use super::open::Reader;
use super::{Result, approvals, profile};
use crate::ids::{Anchor, Dn, LinkNo};
use crate::model::{Known, Link};

const GROUPS: &str = "SELECT no, anchor, dn, direct, primary_members, applied, hidden, doubtful, unreadable
    FROM links WHERE profile_id = $1 AND kind = 'group'";
const BY_NO: &str = select_links!(" AND no = $2");
const BY_ANCHOR: &str = select_links!(" AND anchor = $2");
const BY_DN: &str = select_links!(" AND dn_key = $2");

/// Who is recorded to be in a group, as a [`Link`] has it.
#[derive(Clone, Debug)]
pub struct RecordedGroup {
    pub no: LinkNo,
    pub anchor: Anchor,
    pub dn: String,
    pub direct: RoaringBitmap,
    pub primary: RoaringBitmap,
    pub applied: RoaringBitmap,
    /// Some may be members without having been read, or no members any more.
    pub uncertain: bool,
    /// Normal forms of the names of members that the server could not show.
    pub unreadable: BTreeSet<String>,
}

/// By what links are asked for one by one.
#[derive(Clone, Copy, Debug)]
pub enum Which<'a> {
    Numbers(&'a BTreeSet<LinkNo>),
    Anchors(&'a BTreeSet<Anchor>),
    /// Several objects may have had the same one.
    Names(&'a BTreeSet<Dn>),
}

impl Reader {
    /// As [`Reader::load`] without any object, and without findings.
    pub async fn load_without_objects(&self, now: Timestamp) -> Result<Known> {
        let mut tx = self.db.begin_read().await?;
        let known = Known {
            pins: profile::load_pins(&mut tx, self.profile_id).await?,
            approvals: approvals::load(&mut tx, self.profile_id, now).await?,
            ..without_objects(profile::load(&mut tx, self.profile_id).await?)
        };
        tx.commit().await?;
        Ok(known)
    }

    /// Every group ever met.
    pub async fn recorded_groups(&self) -> Result<Vec<RecordedGroup>> {
        let read = |row: &mut Row| {
            let (no, anchor, dn) = (row.link("links.no")?, row.anchor("links.anchor")?, row.next()?);
            let (direct, primary) = (bitmap(row, "links.direct")?, bitmap(row, "links.primary_members")?);
            let applied = bitmap(row, "links.applied")?;
            let (hidden, doubtful) =
                (row.next::<Option<Vec<u8>>>()?.is_some(), row.next::<Option<Vec<u8>>>()?.is_some());
            let unreadable = match row.next::<Option<String>>()? {
                Some(text) => serde_json::from_str(&text).map_err(|_| row.bad("links.unreadable"))?,
                None => BTreeSet::new(),
            };
            Ok(RecordedGroup {
                no,
                anchor,
                dn,
                direct,
                primary,
                applied,
                uncertain: hidden || doubtful,
                unreadable,
            })
        };
        self.db.fetch(GROUPS, args![self.profile_id], read).await
    }

    /// Single links, as far as there are any.
    pub async fn links_of(&self, which: Which<'_>) -> Result<Vec<Link>> {
        let mut tx = self.db.begin_read().await?;
        let mut links = Vec::new();
        match which {
            Which::Numbers(all) => {
                for no in all {
                    links.extend(tx.fetch(BY_NO, args![self.profile_id, *no], read).await?);
                }
            }
            Which::Anchors(all) => {
                for anchor in all {
                    links.extend(tx.fetch(BY_ANCHOR, args![self.profile_id, anchor], read).await?);
                }
            }
            Which::Names(all) => {
                for dn in all {
                    links.extend(tx.fetch(BY_DN, args![self.profile_id, Some(dn_key(dn))], read).await?);
                }
            }
        }
        tx.commit().await?;
        Ok(links)
    }
}
