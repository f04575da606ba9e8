//! Everything that a cycle needs to know, in five queries however many objects there are.

use jiff::Timestamp;

use super::open::Reader;
use super::{Result, approvals, findings, links, profile};
use crate::model::Known;

impl Reader {
    /// What is known at `now`; all of it as of one moment.
    pub async fn load(&self, now: Timestamp) -> Result<Known> {
        let mut tx = self.db.begin_read().await?;
        let known = Known {
            links: links::load(&mut tx, self.profile_id).await?,
            pins: profile::load_pins(&mut tx, self.profile_id).await?,
            approvals: approvals::load(&mut tx, self.profile_id, now).await?,
            findings: findings::load(&mut tx, self.profile_id)
                .await?
                .into_iter()
                .map(|standing| standing.finding)
                .collect(),
            ..without_objects(profile::load(&mut tx, self.profile_id).await?)
        };
        tx.commit().await?;
        Ok(known)
    }

    /// The same of the profile alone: no object, entry or approval of it.
    pub async fn load_profile(&self) -> Result<Known> {
        let mut tx = self.db.begin_read().await?;
        let profile = profile::load(&mut tx, self.profile_id).await?;
        tx.commit().await?;
        Ok(without_objects(profile))
    }
}

pub(super) fn without_objects(profile: profile::Profile) -> Known {
    Known {
        binding: profile.binding,
        last_complete_read: profile.last_complete_read,
        last_cycle: profile.last_cycle,
        rename_support: profile.rename_support,
        last_server: profile.last_server,
        last_read: profile.last_read,
        last_full: profile.last_full,
        cookie: profile.cookie,
        ..Known::default()
    }
}
