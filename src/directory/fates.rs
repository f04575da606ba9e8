//! What became of objects that a read did not bring: they are looked up by their anchors, many at once, and then among
//! the deleted objects. That something was not found counts only after searches that ended well.

use std::collections::{BTreeMap, BTreeSet};

use tracing::debug;

use super::entry;
use super::names;
use super::reader::{Ending, Fault, Query, Reader, Selection};
use crate::ids::{Anchor, Dn};
use crate::model::{
    AccountState, DeletionProof, DirectoryKind, Fate, FateRequest, Fates, Kind, ShortfallKind,
};

/// Looks everything up. `reported` is what the server's change log says was deleted; it is no proof for what is still
/// there, or could not be looked up.
pub(super) async fn fates(
    reader: &dyn Reader,
    request: &FateRequest,
    mut reported: BTreeSet<Anchor>,
) -> Fates {
    let anchors: Vec<Anchor> = request.objects.keys().copied().collect();
    let mut of = BTreeMap::new();
    for chunk in anchors.chunks(reader.facts().batch.max(1)) {
        look_up(reader, request, chunk, &mut of).await;
    }
    for (anchor, fate) in &mut of {
        match fate {
            Fate::Present { .. } => {
                reported.remove(anchor);
            }
            Fate::Absent if reported.contains(anchor) => *fate = Fate::Deleted(DeletionProof::ChangeLog),
            Fate::Absent | Fate::Deleted(_) | Fate::Unread(_) => {}
        }
    }
    let requests = reader.traffic().requests;
    debug!(objects = of.len(), requests, "looked objects up by their anchors");
    Fates { of, reported, cookie: None, requests }
}

async fn look_up(
    reader: &dyn Reader,
    request: &FateRequest,
    chunk: &[Anchor],
    of: &mut BTreeMap<Anchor, Fate>,
) {
    let facts = reader.facts();
    let (ending, strangers) = live(reader, request, chunk, of).await;
    let missing: Vec<Anchor> = chunk.iter().copied().filter(|anchor| !of.contains_key(anchor)).collect();
    if missing.is_empty() {
        return;
    }
    // After a search that failed, the next one would only cost time.
    let (deleted, later) = match ending.fault {
        Some(_) => (BTreeSet::new(), Ending::default()),
        None => reader.deleted(&missing).await,
    };
    let gap = facts.gap(&ending).or(strangers).or_else(|| facts.gap(&later));
    for anchor in missing {
        let fate = match &gap {
            _ if deleted.contains(&anchor) => Fate::Deleted(DeletionProof::Tombstone),
            Some(fault) => Fate::Unread(fault.of(format!("object {anchor}"))),
            None => Fate::Absent,
        };
        of.insert(anchor, fate);
    }
}

/// Those that exist. The fault is for entries that came and cannot be told which they are.
async fn live(
    reader: &dyn Reader,
    request: &FateRequest,
    chunk: &[Anchor],
    of: &mut BTreeMap<Anchor, Fate>,
) -> (Ending, Option<Fault>) {
    let facts = reader.facts();
    let filters: Vec<String> = chunk.iter().map(|anchor| names::by_anchor(facts, *anchor)).collect();
    let attributes = attributes(facts.kind);
    let query = Query { filter: &names::any(&filters), attributes: &attributes, pages: None, verdicts: None };
    let mut strangers = None;
    let ending = reader
        .search(&query, &mut |raw| {
            let anchor = entry::anchor(facts, &raw).filter(|anchor| chunk.contains(anchor));
            let (Some(anchor), Ok(dn)) = (anchor, Dn::parse(raw.dn())) else {
                let detail = format!("{} came, and cannot be told which object it is", raw.dn());
                strangers = Some(Fault::new(ShortfallKind::AttributeUnreadable, detail));
                return;
            };
            let account = match request.objects.get(&anchor) {
                Some(Kind::User) => entry::account(facts.kind, &raw, facts.time(request.now)),
                // Groups do not sign in.
                Some(Kind::Group) | None => AccountState::Unknown,
            };
            of.insert(anchor, Fate::Present { dn, account });
        })
        .await;
    (ending, strangers)
}

fn attributes(kind: DirectoryKind) -> Selection {
    match kind {
        DirectoryKind::ActiveDirectory => {
            ["objectguid", "useraccountcontrol", "accountexpires"].map(str::to_owned).into()
        }
        DirectoryKind::Ldap => ["entryuuid", "nsuniqueid", "nsaccountlock"].map(str::to_owned).into(),
    }
}

#[cfg(test)]
mod tests;
