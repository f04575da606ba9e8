//! What has changed on a server since a known position: by `uSNChanged` on Active Directory, by content
//! synchronisation (RFC 4533) on servers that offer it. Others have no log that tells deletions, and are read as a whole.

use ldap3::controls::RawControl;

use super::changes::Log;
use super::deleted::{SHOW_DELETED, Sight};
use super::facts::Commits;
use super::search::LdapReader;
use super::wire::Ask;
use crate::directory::entry;
use crate::directory::mirror::Feed;
use crate::directory::reader::{RawEntry, Selection};
use crate::model::{DirectoryKind, Position};

/// People, groups, and whatever others may lie below: not computers, which change all the time.
const USN_CLASSES: &str = "(!(objectClass=computer))(|(objectClass=user)(objectClass=group)(objectClass=contact)\
    (objectClass=organizationalUnit)(objectClass=container)(objectClass=builtinDomain)(objectClass=domainDNS)\
    (objectClass=organization)(objectClass=locality)(objectClass=country)(objectClass=lostAndFound))";

const HIDDEN: &str = "the bind account may not see deleted objects (any more)";
const MANY: &str = "so many objects have changed that everything may as well be read";
const SILENT: &str = "the server does not say how far its changes go";

/// What a look at the log shows.
pub(super) enum Glance {
    Nothing,
    Some(Feed, Position),
    /// Too much to be told at a glance.
    Much(Position),
}

fn usn_filter(after: u64) -> String {
    format!("(&(uSNChanged>={}){USN_CLASSES})", after.saturating_add(1))
}

impl LdapReader {
    /// Where the server's log ends now, or ended when the connection was made. `None`: it has none that would do.
    pub(super) async fn position(&self) -> Option<Position> {
        match self.facts.kind {
            DirectoryKind::ActiveDirectory => {
                let commits = self.commits.as_ref()?;
                let invocation = commits.invocation(&self.session).await?;
                let shown = self.shows_deleted().await;
                shown.then_some(Position::Usn { invocation, usn: commits.usn })
            }
            DirectoryKind::Ldap if self.change_log => {
                Some(Position::Sync { cookie: self.first_cookie().await?.bytes })
            }
            DirectoryKind::Ldap => None,
        }
    }

    /// What has changed since `from`, and where the log ends now. `Err`: why that cannot be told.
    pub(super) async fn feed(
        &self,
        from: &Position,
        attributes: &Selection,
        most: usize,
    ) -> Result<(Feed, Position), String> {
        match from {
            Position::Usn { invocation, usn } => {
                let commits = self.commits.as_ref().ok_or(SILENT)?;
                if commits.invocation(&self.session).await != Some(*invocation) {
                    return Err("it is another server, or a restored one".to_owned());
                }
                if commits.usn < *usn {
                    return Err("the server has fewer changes than before: it was restored".to_owned());
                }
                if !self.shows_deleted().await {
                    return Err(HIDDEN.to_owned());
                }
                let feed = if commits.usn == *usn {
                    Feed::default()
                } else {
                    self.changed_usns(*usn, attributes, Some((most / self.facts.page.max(1) + 1) as u64))
                        .await?
                };
                Ok((feed, Position::Usn { invocation: *invocation, usn: commits.usn }))
            }
            Position::Sync { cookie } => self.synchronised(cookie, attributes, most).await,
        }
    }

    /// Whether what was deleted is shown to this account: else it would be kept for good.
    async fn shows_deleted(&self) -> bool {
        matches!(self.sight_of_deleted().await, Some(Sight::Objects | Sight::Container))
    }

    /// What has changed since `from`, at a glance, and where the log ends now.
    pub(super) async fn glance(&self, from: &Position, attributes: &Selection) -> Result<Glance, String> {
        match from {
            Position::Usn { invocation, usn } => {
                let now = Commits::now(&self.session).await.ok_or(SILENT)?.usn;
                let to = Position::Usn { invocation: *invocation, usn: now };
                if now <= *usn {
                    // Fewer than before: a run finds out why.
                    return Ok(if now == *usn { Glance::Nothing } else { Glance::Much(to) });
                }
                match self.changed_usns(*usn, attributes, Some(1)).await {
                    Ok(feed) => Ok(Glance::Some(feed, to)),
                    Err(why) if why == MANY => Ok(Glance::Much(to)),
                    Err(why) => Err(why),
                }
            }
            Position::Sync { cookie } => {
                let now = self.first_cookie().await.ok_or("the server's change log cannot be read")?.bytes;
                if now == *cookie {
                    return Ok(Glance::Nothing);
                }
                match self.synchronised(cookie, attributes, self.facts.page).await {
                    Ok((feed, to)) => Ok(Glance::Some(feed, to)),
                    Err(_) => Ok(Glance::Much(Position::Sync { cookie: now })),
                }
            }
        }
    }

    async fn changed_usns(
        &self,
        after: u64,
        attributes: &Selection,
        pages: Option<u64>,
    ) -> Result<Feed, String> {
        let controls = [RawControl { ctype: SHOW_DELETED.to_owned(), crit: true, val: None }];
        let filter = usn_filter(after);
        let asked: Selection = attributes.iter().cloned().chain(["isdeleted".to_owned()]).collect();
        let mut feed = Feed::default();
        let mut nameless = false;
        // The whole domain: an object that was moved out of the base is to be heard of.
        let ask = Ask {
            base: self.facts.context.as_str(),
            scope: ldap3::Scope::Subtree,
            filter: &filter,
            attributes: &asked,
            page: None,
            controls: &controls,
        };
        let mut keep = |raw: RawEntry| match entry::anchor(&self.facts, &raw) {
            Some(anchor) if entry::is_deleted(self.facts.kind, &raw) => {
                feed.deleted.insert(anchor);
            }
            Some(_) if raw.has("isdeleted") => {
                feed.changed.push(raw.with(|list| list.retain(|(name, _)| name != "isdeleted")));
            }
            Some(_) => feed.changed.push(raw),
            None => nameless = true,
        };
        let ending = self.paged(ask, pages, &mut keep).await;
        if nameless {
            return Err("the server reports an object, and does not show which".to_owned());
        }
        match ending.fault {
            Some(fault) => Err(fault.detail),
            None if ending.given_up => Err(MANY.to_owned()),
            None => Ok(feed),
        }
    }

    async fn synchronised(
        &self,
        cookie: &[u8],
        attributes: &Selection,
        most: usize,
    ) -> Result<(Feed, Position), String> {
        let mut log = Log::of_at_most(most);
        let next = self.synchronise(cookie, &self.facts.base, attributes, &mut log).await?;
        let Log { changed, deleted, present, .. } = log;
        let touched = !changed.is_empty() || !deleted.is_empty() || present.is_some();
        match next {
            Some(cookie) => Ok((Feed { changed, deleted, present }, Position::Sync { cookie })),
            None if !touched => Ok((Feed::default(), Position::Sync { cookie: cookie.to_vec() })),
            // So slapd answers a cookie that it cannot read: with everything, and no word how far that goes.
            None => Err("the server's change log does not go back so far".to_owned()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_filter_begins_after_what_is_known() {
        let filter = usn_filter(4711);
        assert!(filter.starts_with("(&(uSNChanged>=4712)(!(objectClass=computer))(|"), "{filter}");
        assert_eq!(crate::directory::filter::Filter::parse(&filter).map(|f| f.attributes().len()), Ok(13));
    }
}
