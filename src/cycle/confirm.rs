//! What is only *not seen* is looked at once more before anything is taken away for it; and a server that was not read
//! before has to show it twice.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use roaring::RoaringBitmap;
use tracing::{info, warn};

use super::{Profile, chain, record};
use crate::directory::Directory;
use crate::ids::LinkNo;
use crate::model::{Kind, Known, Link, ReadRequest, ScopeEntry, Snapshot};
use crate::plan::{Action, Plan};
use crate::scope::Scope;

/// Memberships that a read from another server than before does not show, by group: they count from the second
/// cycle on.
pub type Doubtful = BTreeMap<LinkNo, RoaringBitmap>;

/// After a change of server, absences that it is the first to show wait.
pub fn doubt_new_server(snapshot: &Snapshot, scope: &mut Scope<'_>, known: &Known) -> Doubtful {
    let server = &snapshot.source.server;
    let Some(before) = known.last_server.as_ref().filter(|before| *before != server) else {
        return Doubtful::new();
    };
    let why = format!(
        "read from {server}, before from {before}: what is missing there counts from the second cycle"
    );
    let mut doubtful = Doubtful::new();
    let groups: Vec<LinkNo> = scope.written().keys().copied().collect();
    for group in groups {
        let (Some(link), Some(written)) = (known.links.get(&group), scope.written().get(&group)) else {
            continue;
        };
        let missing = &link.applied - written.closure.certain();
        scope.unsettle(group, &why);
        if missing.is_empty() {
            continue;
        }
        scope.doubt_members(group, &(&missing - &link.doubtful), &why);
        doubtful.insert(group, missing);
    }
    // Who has been out before has been shown so by the other server, too.
    let newly: RoaringBitmap = known
        .links
        .values()
        .filter(|l| l.kind == Kind::User && l.target_id.is_some() && l.out_since.is_none())
        .map(|l| l.no.0)
        .filter(|no| !scope.whole().certain().contains(*no))
        .collect();
    scope.doubt_leavers(&newly, &why);
    scope.unsettle_scope(&why);
    doubtful
}

/// What has to be seen missing a second time.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Concerned {
    groups: BTreeSet<LinkNo>,
    /// Steps that rest on the scope as a whole.
    scope: bool,
    /// Steps that rest on somebody not having been found for long.
    pub absent: bool,
}

impl Concerned {
    pub fn of(plan: &Plan) -> Self {
        let mut concerned = Self::default();
        for step in plan.steps.iter() {
            let Some(proof) = step.action.proof().filter(|p| p.rests_on_absence()) else { continue };
            if proof.is_long_absence() {
                concerned.absent = true;
            } else if proof.is_of_scope() {
                concerned.scope = true;
            } else if let Action::RemoveMember { group, .. } | Action::RemoveStranger { group, .. } =
                &step.action
            {
                concerned.groups.insert(*group);
            }
        }
        concerned
    }

    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Whether groups or the scope are to be read again.
    pub fn is_of_members(&self) -> bool {
        self.scope || !self.groups.is_empty()
    }
}

/// What came of a second look.
pub struct Again {
    /// Requests that it took.
    pub requests: u64,
    /// What of it was cut short.
    pub cut_short: Option<String>,
    /// It did not show anybody whom the first one missed.
    pub confirmed: bool,
}

/// Reads the objects concerned once more, from the same server, and the server itself: never by way of a mirror. Whoever
/// the second read shows, or does not clearly show missing, stays.
pub async fn look_again(
    directory: &dyn Directory,
    profile: &Profile<'_>,
    server: &str,
    scope: &mut Scope<'_>,
    known: &Known,
    concerned: &Concerned,
    now: Timestamp,
) -> Again {
    let mut wanted = profile.wanted.clone();
    let mut pins = known.pins.clone();
    if !concerned.scope {
        wanted.entries = concerned
            .groups
            .iter()
            .filter_map(|no| scope.groups().get(no))
            .map(|g| ScopeEntry { kind: Kind::Group, name: g.anchor.to_string(), write: true })
            .collect();
        pins.clear();
    }
    let request = ReadRequest { wanted, pins, now, server: Some(server.to_owned()) };
    let why = "a second look did not confirm it";
    let second = match directory.read(&request).await {
        Ok(second) => second,
        Err(error) => {
            let why = chain(&error);
            warn!("the second look failed, so nothing is taken away that only was not seen: {why}");
            doubt_all(scope, known, concerned, "a second look was not possible");
            return Again { requests: 0, cut_short: Some(why), confirmed: false };
        }
    };
    let again = Scope::resolve(&second, known, profile.nested);
    let mut unconfirmed = 0;
    let linked = linked_users(known);
    for group in &concerned.groups {
        // What is not on record yet has another number in another read.
        let number = scope.groups().get(group).and_then(|g| again.number(g.anchor));
        let second = number.and_then(|no| again.written().get(&no)).map(|w| &w.closure);
        let gone = second.map_or_else(RoaringBitmap::new, |closure| closure.absent_of(&linked));
        let there = scope.written().get(group).map(|w| w.closure.certain().clone()).unwrap_or_default();
        let doubt = &linked - &gone - &there;
        unconfirmed += doubt.len();
        scope.doubt_members(*group, &doubt, why);
        if second.is_none_or(|closure| closure.not_a_stranger().is_none()) {
            scope.unsettle(*group, why);
        }
    }
    if concerned.scope {
        let outside: RoaringBitmap = super::fates::outside(scope, known).iter().map(|no| no.0).collect();
        let doubt = &outside - &again.whole().absent_of(&outside);
        unconfirmed += doubt.len();
        scope.doubt_leavers(&doubt, why);
        let known_again = again.written().keys().filter(|no| known.links.contains_key(no));
        let reached_again = known_again.into_iter().any(|no| !scope.written().contains_key(no));
        if reached_again || again.whole().group_out_of_scope().is_none() {
            scope.unsettle_scope(why);
        }
    }
    if unconfirmed > 0 {
        info!(unconfirmed, "a second look did not confirm all that the first one missed");
    }
    let (requests, cut_short) = (second.source.requests, record::cut_short(&second));
    Again { requests, cut_short, confirmed: unconfirmed == 0 }
}

fn doubt_all(scope: &mut Scope<'_>, known: &Known, concerned: &Concerned, why: &str) {
    for group in &concerned.groups {
        scope.doubt_members(*group, &linked_users(known), why);
        scope.unsettle(*group, why);
    }
    if concerned.scope {
        let all: RoaringBitmap = super::fates::outside(scope, known).iter().map(|no| no.0).collect();
        scope.doubt_leavers(&all, why);
        scope.unsettle_scope(why);
    }
}

fn linked_users(known: &Known) -> RoaringBitmap {
    let linked = |l: &&Link| l.kind == Kind::User && l.target_id.is_some();
    known.links.values().filter(linked).map(|l| l.no.0).collect()
}
