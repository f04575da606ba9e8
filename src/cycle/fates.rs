//! What became of linked objects that the read did not bring: asked for by their anchors, and what is noted of it.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use tracing::warn;

use super::chain;
use crate::directory::Directory;
use crate::ids::{Anchor, LinkNo};
use crate::model::{
    ChangeCookie, DeletionProof, DirectoryKind, Fate, FateRequest, Fates, Kind, Known, Shortfall,
    ShortfallKind, Snapshot,
};
use crate::scope::Scope;

#[derive(Debug, Default)]
pub struct Asked {
    pub of: BTreeMap<LinkNo, Fate>,
    pub cookie: Option<ChangeCookie>,
    pub requests: u64,
    /// Not all of them could be asked for: by which server, and why not.
    pub cut_short: Option<String>,
}

impl Asked {
    /// Whoever a second look does not miss again is not absent.
    pub fn confirm(&mut self, again: Self) {
        self.requests += again.requests;
        self.cut_short = self.cut_short.take().or(again.cut_short);
        let absent = self.of.iter_mut().filter(|(_, fate)| **fate == Fate::Absent);
        for (no, fate) in absent {
            *fate = again.of.get(no).cloned().unwrap_or_else(|| Fate::Unread(not_again()));
        }
    }
}

fn not_again() -> Shortfall {
    Shortfall {
        kind: ShortfallKind::ConnectionLost,
        what: "the second look".to_owned(),
        detail: "not possible".to_owned(),
    }
}

/// Asks the server that the snapshot came from. That it cannot be asked concludes nothing. `trust_change_log`: see
/// `lifecycle.trust-change-log`; without it, what a change log reports proves nothing.
pub async fn ask(
    directory: &dyn Directory,
    trust_change_log: bool,
    snapshot: &Snapshot,
    scope: &Scope<'_>,
    known: &Known,
    now: Timestamp,
) -> Asked {
    let missing: BTreeMap<Anchor, (LinkNo, Kind)> = known
        .links
        .values()
        .filter(|l| l.target_id.is_some())
        .filter(|l| !scope.users().contains_key(&l.no) && !scope.groups().contains_key(&l.no))
        .map(|l| (l.anchor, (l.no, l.kind)))
        .collect();
    // A change log is followed without a break: what it said while nobody asked may be gone from it.
    let follows =
        known.cookie.is_some() || (snapshot.source.kind == DirectoryKind::Ldap && known.binding.is_none());
    if missing.is_empty() && !follows {
        return Asked::default();
    }
    let request = FateRequest {
        server: snapshot.source.server.clone(),
        objects: missing.iter().map(|(anchor, (_, kind))| (*anchor, *kind)).collect(),
        now,
        cookie: known.cookie.clone().filter(|_| trust_change_log),
    };
    let proven = |fate| match fate {
        Fate::Deleted(DeletionProof::ChangeLog) if !trust_change_log => Fate::Absent,
        other => other,
    };
    match directory.fates(&request).await {
        Ok(fates) => Asked {
            cut_short: lost(&fates).map(|why| format!("{}: {why}", request.server)),
            // The log says it once; as long as it was not acted on, it is asked from the same place again.
            cookie: if is_heard(&fates, known) { fates.cookie } else { known.cookie.clone() }
                .filter(|_| trust_change_log),
            of: fates
                .of
                .into_iter()
                .filter_map(|(a, fate)| Some((missing.get(&a)?.0, proven(fate))))
                .collect(),
            requests: fates.requests,
        },
        Err(error) => {
            let why = chain(&error);
            warn!(
                objects = missing.len(),
                "objects that were not read could not be looked up, so nothing is concluded about them: {why}"
            );
            Asked { cut_short: Some(why), ..Asked::default() }
        }
    }
}

/// Whether all that the log reports of linked objects is in the answers: not what was deleted after the read that had
/// brought it, nor what could not be looked up.
pub fn is_heard(fates: &Fates, known: &Known) -> bool {
    let linked = || known.links.values().filter(|l| l.target_id.is_some());
    fates.reported.is_empty()
        || linked()
            .filter(|l| fates.reported.contains(&l.anchor))
            .all(|l| fates.of.get(&l.anchor).is_some_and(|fate| !matches!(fate, Fate::Unread(_))))
}

/// Why the server was lost in the middle, where it was.
fn lost(fates: &Fates) -> Option<&str> {
    fates.of.values().find_map(|fate| match fate {
        Fate::Unread(short)
            if matches!(short.kind, ShortfallKind::ConnectionLost | ShortfallKind::Timeout) =>
        {
            Some(short.detail.as_str())
        }
        _ => None,
    })
}

/// Numbers of all linked users that the scope does not certainly have.
pub fn outside(scope: &Scope<'_>, known: &Known) -> BTreeSet<LinkNo> {
    known
        .links
        .values()
        .filter(|l| l.kind == Kind::User && l.target_id.is_some())
        .map(|l| l.no)
        .filter(|no| !scope.whole().certain().contains(no.0))
        .collect()
}
