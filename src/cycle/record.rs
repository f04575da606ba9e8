//! What a read changes in the state: objects met, where they are, whom groups hold, who left the scope.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use jiff::Timestamp;
use roaring::RoaringBitmap;

use super::confirm::Doubtful;
use super::part::Part;
use crate::apply::Links;
use crate::ids::{Anchor, CycleId, Dn, IdentityStoreId, LinkNo, Sid};
use crate::model::{
    Binding, ChangeCookie, Deleted, EntryOutcome, Fate, Kind, Known, Link, Mark, MirrorChange, ObjectRef,
    Pin, ShortfallKind, Snapshot,
};
use crate::plan::{Action, ApprovedPlan, Elapsed};
use crate::scope::Scope;
use crate::state::{ReadRecord, State, StateError};

/// Prepared while the snapshot is at hand, written when the cycle goes on.
#[derive(Default)]
pub struct Record {
    changed: BTreeMap<LinkNo, Box<Link>>,
    /// People who are met for the first time: of a first read, everybody. Their links are made when they are written.
    newcomers: Vec<Newcomer>,
    pins: BTreeMap<(Kind, String), Pin>,
    complete_read: Option<Timestamp>,
    binding: Option<Binding>,
    rebind: bool,
    server: Option<String>,
    read: Option<Timestamp>,
    pub clock: Option<Timestamp>,
    pub full: Option<Timestamp>,
    pub cookie: Option<ChangeCookie>,
    pub mirror: Option<MirrorChange>,
}

struct Newcomer {
    no: LinkNo,
    anchor: Anchor,
    dn: Arc<str>,
    sid: Option<Sid>,
}

impl Newcomer {
    fn into_link(self) -> Link {
        Link { sid: self.sid, ..Link::new(self.no, Kind::User, self.anchor, self.dn) }
    }
}

/// What a cycle has seen, and what was known before.
pub struct Seen<'a> {
    pub snapshot: &'a Snapshot,
    pub scope: &'a Scope<'a>,
    pub known: &'a Known,
    pub fates: &'a BTreeMap<LinkNo, Fate>,
    pub doubtful: &'a Doubtful,
    pub elapsed: Elapsed,
    /// The clock can be trusted: without that, no time is written that something would rest on later.
    pub trusted: bool,
}

impl Record {
    pub fn of(
        seen: &Seen<'_>,
        approved: &ApprovedPlan,
        suspects: &Suspects,
        identity_store: IdentityStoreId,
        now: Timestamp,
    ) -> Self {
        let Seen { snapshot, scope, known, .. } = *seen;
        let complete = scope.whole().is_complete();
        let mut record = Self {
            rebind: false,
            server: complete.then(|| snapshot.source.server.clone()),
            read: seen.trusted.then_some(now),
            clock: None,
            full: None,
            cookie: None,
            mirror: None,
            changed: BTreeMap::new(),
            newcomers: Vec::new(),
            pins: pins(snapshot, known),
            complete_read: (complete && seen.trusted).then_some(now),
            binding: known
                .binding
                .is_none()
                .then(|| Binding { directory: snapshot.source.binding.clone(), identity_store }),
        };
        let Suspects { held, silent } = suspects;
        let mut met = scope.whole().certain().clone();
        for (no, group) in scope.groups() {
            let mut link = link_of(known, *no, Kind::Group, group.anchor, &group.dn);
            link.sid.clone_from(&group.sid);
            let found = scope
                .record_of(*no)
                .filter(|found| !(held.contains(no) || silent.contains(no)) || !found.suspect);
            if let Some(found) = found {
                met |= &found.direct;
                link.direct = found.direct;
                link.primary = found.primary;
                link.hidden = found.hidden;
                link.unreadable = found.unreadable;
            }
            record.keep_if_changed(known, link);
        }
        let is_known = |no: &LinkNo| known.links.contains_key(no);
        let users = || scope.users().iter().filter(|(no, _)| met.contains(no.0) || is_known(no));
        record.newcomers.reserve_exact(users().filter(|(no, _)| !is_known(no)).count());
        for (no, user) in users() {
            let same = |link: &Link| *link.dn == *user.dn.as_str() && link.sid == user.sid;
            match known.links.get(no) {
                Some(link) if same(link) => {}
                Some(_) => {
                    let mut link = link_of(known, *no, Kind::User, user.anchor, &user.dn);
                    link.sid.clone_from(&user.sid);
                    record.keep_if_changed(known, link);
                }
                None => record.newcomers.push(Newcomer {
                    no: *no,
                    anchor: user.anchor,
                    dn: user.dn.shared_text(),
                    sid: user.sid.clone(),
                }),
            }
        }
        record.note_leavers(seen, now);
        record.note_fates(seen, now);
        for (no, confirmed) in &approved.plan().confirmed {
            let Some(link) = known.links.get(no).filter(|l| l.target_id.is_some()) else { continue };
            let mut link = record.changed.get(no).map_or(link, Box::as_ref).clone();
            link.digest = Some(confirmed.digest);
            link.name = Some(confirmed.name.clone());
            link.email.clone_from(&confirmed.email);
            link.retry = None;
            record.changed.insert(*no, Box::new(link));
        }
        for (group, present) in &approved.plan().read_back {
            record.change(known, *group, |link| link.applied = present.iter().map(|no| no.0).collect());
        }
        for (no, name) in &approved.plan().found_again {
            record.change(known, *no, |link| link.name = Some(name.clone()));
        }
        for no in &approved.plan().vanished {
            record.change(known, *no, Link::untie);
        }
        // Whatever it was a member of, one that is made anew some day is not.
        let gone: RoaringBitmap = approved.plan().vanished.iter().map(|no| no.0).collect();
        for group in known.links.values().filter(|l| !gone.is_disjoint(&l.applied)) {
            record.change(known, group.no, |link| link.applied -= &gone);
        }
        record
    }

    /// Of a cycle that finds all as it was. `moved`: the mark, where the log has gone on.
    pub fn of_rest(server: &str, now: Timestamp, cookie: Option<ChangeCookie>, moved: Option<Mark>) -> Self {
        Self {
            complete_read: Some(now),
            server: Some(server.to_owned()),
            read: Some(now),
            clock: Some(now),
            cookie,
            mirror: moved.map(MirrorChange::only),
            ..Self::default()
        }
    }

    /// Every scope entry was read to its end.
    pub fn is_complete(&self) -> bool {
        self.complete_read.is_some()
    }

    /// Nothing of it is other than before, but when it was.
    pub fn is_still(&self) -> bool {
        self.changed.is_empty()
            && self.newcomers.is_empty()
            && self.pins.is_empty()
            && self.binding.is_none()
            && !self.rebind
    }

    /// Everything that was tied is written anew, untied, and the profile bound to what it points to now.
    pub fn rebind(&mut self, known: &Known) {
        self.rebind = true;
        for link in known.links.values() {
            self.changed.entry(link.no).or_insert_with(|| Box::new(link.clone()));
        }
    }

    /// Of a part alone: with what of its groups was not looked at.
    pub fn complete(&mut self, part: &Part) {
        self.changed.values_mut().for_each(|link| part.complete(link));
    }

    fn change(&mut self, known: &Known, no: LinkNo, change: impl FnOnce(&mut Link)) {
        let changed = self.changed.get(&no).map(Box::as_ref);
        let Some(old) = changed.or_else(|| known.links.get(&no)) else { return };
        let mut link = old.clone();
        change(&mut link);
        if *old != link {
            self.changed.insert(no, Box::new(link));
        }
    }

    /// Deletions that are proven, objects that are only not found, and memberships that wait for a second look.
    fn note_fates(&mut self, seen: &Seen<'_>, now: Timestamp) {
        let Seen { scope, known, fates, doubtful, elapsed, trusted, .. } = *seen;
        for old in known.links.values().filter(|l| l.target_id.is_some()) {
            let read = scope.users().contains_key(&old.no) || scope.groups().contains_key(&old.no);
            let noted = old.deleted.is_some() || old.absent_since.is_some();
            if read && old.kind == Kind::User && !noted {
                continue;
            }
            let fate = fates.get(&old.no);
            self.change(known, old.no, |link| {
                match fate {
                    _ if read => (link.deleted, link.absent_since) = (None, None),
                    Some(Fate::Present { .. }) => (link.deleted, link.absent_since) = (None, None),
                    Some(Fate::Deleted(_) | Fate::Absent) if !trusted => {}
                    Some(Fate::Deleted(proof)) => {
                        let since = link.deleted.map_or(now, |d| d.since);
                        link.deleted = Some(Deleted { since, proof: *proof });
                    }
                    Some(Fate::Absent) => {
                        let since = link.absent_since.filter(|_| !elapsed.is_unread());
                        link.absent_since = Some(since.unwrap_or(now));
                    }
                    Some(Fate::Unread(_)) | None => {}
                }
                if link.kind == Kind::Group {
                    link.doubtful = doubtful.get(&link.no).cloned().unwrap_or_default();
                }
            });
        }
    }

    /// Linked users whom complete reads show outside the scope, and those who came back.
    fn note_leavers(&mut self, seen: &Seen<'_>, now: Timestamp) {
        let Seen { scope, known, elapsed, trusted, .. } = *seen;
        for old in known.links.values().filter(|l| l.kind == Kind::User && l.target_id.is_some()) {
            let read = scope.users().get(&old.no);
            let filtered = read.is_some_and(|u| !u.matches_filter);
            let inside = scope.whole().certain().contains(old.no.0) && !filtered;
            let outside = filtered || scope.whole().out_of_scope(old.no).is_some();
            let since = if inside {
                None
            } else if outside && trusted {
                // Nobody looked for too long: who was out before may have been in meanwhile.
                let broken = if filtered { elapsed.is_unread() } else { elapsed.is_broken() };
                old.out_since.filter(|_| !broken).or(Some(now))
            } else {
                continue;
            };
            if since != old.out_since {
                let mut link = self.changed.get(&old.no).map_or(old, Box::as_ref).clone();
                link.out_since = since;
                self.changed.insert(old.no, Box::new(link));
            }
        }
    }

    fn keep_if_changed(&mut self, known: &Known, link: Link) {
        if known.links.get(&link.no) != Some(&link) {
            self.changed.insert(link.no, Box::new(link));
        }
    }

    #[cfg(test)]
    pub fn into_links(self) -> BTreeMap<LinkNo, Link> {
        let newcomers = self.newcomers.into_iter().map(|new| (new.no, new.into_link()));
        self.changed.into_iter().map(|(no, link)| (no, *link)).chain(newcomers).collect()
    }

    /// Into `links` and the database.
    pub async fn write(
        self,
        links: &mut Links,
        state: &State,
        cycle: CycleId,
        now: Timestamp,
    ) -> Result<(), StateError> {
        let Self { mut changed, newcomers, pins, complete_read, binding, rebind, .. } = self;
        let Self { server, read, clock, full, cookie, mirror, .. } = self;
        changed.extend(newcomers.into_iter().map(|new| (new.no, Box::new(new.into_link()))));
        let record = ReadRecord {
            links: changed.values().map(Box::as_ref).collect(),
            pins,
            complete_read,
            binding,
            rebind,
            server,
            read,
            clock,
            full,
            cookie,
            mirror,
            now,
        };
        state.record_read(cycle, &record).await?;
        links.extend(changed.into_iter().map(|(no, link)| (no, *link)));
        Ok(())
    }
}

/// Groups that suddenly read as empty, and of which it is not settled that they are. Their old members stay on record:
/// else the next read would find nothing strange about them.
pub struct Suspects {
    /// With removals that wait for an approval.
    pub held: BTreeSet<LinkNo>,
    /// Without, such as a container; and linked users would leave the scope.
    pub silent: BTreeSet<LinkNo>,
}

impl Suspects {
    pub fn of(scope: &Scope<'_>, known: &Known, approved: &ApprovedPlan) -> Self {
        let (mut held, mut settled) = (BTreeSet::new(), BTreeSet::new());
        for (no, step) in approved.plan().numbered() {
            if let Action::RemoveMember { suspects: Some(suspects), .. } = &step.action {
                let side = if approved.waits(no) { &mut held } else { &mut settled };
                side.extend(suspects.iter().copied());
            }
        }
        let mut linked = known.links.values().filter(|l| l.kind == Kind::User && l.target_id.is_some());
        let doubted = scope.doubted_anywhere();
        let silent = if linked.any(|l| doubted.contains(l.no.0)) {
            let suspect = |no: &LinkNo| scope.record_of(*no).is_some_and(|r| r.suspect);
            let all = scope.groups().keys().copied().filter(suspect);
            all.filter(|no| !held.contains(no) && !settled.contains(no)).collect()
        } else {
            BTreeSet::new()
        };
        Self { held, silent }
    }
}

fn link_of(known: &Known, no: LinkNo, kind: Kind, anchor: Anchor, dn: &Dn) -> Link {
    match known.links.get(&no) {
        Some(link) if *link.dn == *dn.as_str() => link.clone(),
        Some(link) => Link { dn: dn.shared_text(), ..link.clone() },
        None => Link::new(no, kind, anchor, dn.shared_text()),
    }
}

/// Entries that were resolved for the first time, or whose object has another name now.
fn pins(snapshot: &Snapshot, known: &Known) -> BTreeMap<(Kind, String), Pin> {
    snapshot
        .entries
        .iter()
        .filter_map(|read| match &read.outcome {
            EntryOutcome::Resolved { object, name, .. } => {
                let anchor = match object {
                    ObjectRef::User(ix) => snapshot.user(*ix).anchor,
                    ObjectRef::Group(ix) => snapshot.group(*ix).anchor,
                };
                let key = (read.entry.kind, read.entry.name.clone());
                let pin = Pin { anchor, name: name.clone() };
                (known.pins.get(&key) != Some(&pin)).then_some((key, pin))
            }
            _ => None,
        })
        .collect()
}

/// What the directory, the network or a limit cut short (unlike: a name that matches nothing): the server, and why.
pub fn cut_short(snapshot: &Snapshot) -> Option<String> {
    let short = |kind: ShortfallKind| kind != ShortfallKind::AttributeUnreadable;
    let groups = snapshot.groups.iter().flat_map(|g| g.members.completeness.shortfalls());
    let entries = snapshot.entries.iter().filter_map(|e| match &e.outcome {
        EntryOutcome::Unread(shortfall) => Some(shortfall),
        _ => None,
    });
    let first = groups.chain(entries).find(|s| short(s.kind))?;
    Some(format!("{}: {}", snapshot.source.server, first.detail))
}
