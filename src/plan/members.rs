//! Memberships: who is to be added, who is proven to have left, and who only seems to.

use std::collections::{BTreeMap, BTreeSet};

use roaring::RoaringBitmap;

use super::Inputs;
use super::draft::{self, Content, Drafts};
use super::step::{Action, Reason, Withheld};
use crate::ids::{LinkNo, TargetId};
use crate::model::{Absence, Kind};

/// One membership step, before it is put in order.
pub struct Member {
    pub group: LinkNo,
    pub user: Option<LinkNo>,
    pub action: Action,
    pub reason: Reason,
}

#[derive(Default)]
pub struct Members {
    pub adds: Vec<Member>,
    pub removes: Vec<Member>,
    pub withheld: Vec<Withheld>,
    /// Groups that will exist, and how many members each has before this plan.
    pub sizes: BTreeMap<LinkNo, u64>,
    /// Of adopted groups: members that are there already.
    pub present: BTreeMap<LinkNo, BTreeSet<LinkNo>>,
}

pub fn members(inputs: &Inputs<'_>, drafts: &Drafts) -> Members {
    let mut members = Members::default();
    let people = People::of(inputs, drafts);
    for (group, written) in inputs.scope.written() {
        if drafts.protected.contains(group) {
            continue;
        }
        let Some(before) = Before::of(inputs, drafts, *group, &people) else { continue };
        members.sizes.insert(*group, before.applied.len() + before.strangers.len() as u64);
        let certain = written.closure.certain();
        let want = &(certain & &people.settled) - &people.protected;
        if !written.frozen {
            let adds = &want - &before.applied;
            let via = inputs.scope.direct_holders(*group, &adds);
            for user in adds.iter().map(LinkNo) {
                let reason = match via.get(&user) {
                    Some(holder) if holder != group => Reason::MemberThrough(*holder),
                    _ => Reason::DirectMember,
                };
                let action = Action::AddMember { group: *group, user };
                members.adds.push(Member { group: *group, user: Some(user), action, reason });
            }
        }
        let stays = certain & &people.in_good_standing;
        let gone = &(&before.applied - &stays) - &people.protected;
        let mut unproven = 0_u64;
        for user in gone.iter().map(LinkNo) {
            let proof = people
                .barred
                .get(&user)
                .copied()
                .or_else(|| if written.frozen { None } else { written.closure.not_a_member(user) });
            match proof {
                Some(proof) => members.removes.push(removal(inputs, *group, user, proof)),
                // Frozen, or an account of which nothing is known: not short of a proof, but of an approval or
                // a permission, which has a finding of its own.
                None if written.frozen || certain.contains(user.0) => {}
                None => unproven += 1,
            }
        }
        if let Some(proof) = written.closure.not_a_stranger().filter(|_| !written.frozen) {
            for (id, label) in before.strangers {
                let action = Action::RemoveStranger { group: *group, user: id, label, proof };
                members.removes.push(Member {
                    group: *group,
                    user: None,
                    action,
                    reason: Reason::NotInDirectory,
                });
            }
        }
        if unproven > 0 {
            let why =
                written.closure.shortfalls().iter().map(ToString::to_string).take(3).collect::<Vec<_>>();
            let why = if why.is_empty() {
                "they may be members through one that the server cannot show".to_owned()
            } else {
                why.join("; ")
            };
            let group_label = inputs.label(*group);
            members.withheld.push(Withheld { group: *group, group_label, members: unproven, why });
        }
        if let Some(present) = before.present {
            members.present.insert(*group, present);
        }
    }
    frozen_out_of_scope(inputs, drafts, &people, &mut members);
    members
}

/// Groups that left the scope: nobody is added; who is disabled or left the scope is removed.
fn frozen_out_of_scope(inputs: &Inputs<'_>, drafts: &Drafts, people: &People, members: &mut Members) {
    for link in inputs.known.links.values() {
        let linked = link.kind == Kind::Group && link.target_id.is_some();
        let protected = draft::is_protected(inputs, &[link.name.as_deref()]);
        if !linked
            || protected
            || drafts.protected.contains(&link.no)
            || inputs.scope.written().contains_key(&link.no)
        {
            continue;
        }
        members.sizes.insert(link.no, link.applied.len());
        for user in (&link.applied - &people.protected).iter().map(LinkNo) {
            let proof = people.barred.get(&user).copied().or_else(|| inputs.scope.whole().out_of_scope(user));
            if let Some(proof) = proof {
                members.removes.push(removal(inputs, link.no, user, proof));
            }
        }
    }
}

fn removal(inputs: &Inputs<'_>, group: LinkNo, user: LinkNo, proof: Absence) -> Member {
    let suspects = inputs.scope.doubt(group, user).map(|s| Box::new(s.clone()));
    let action = Action::RemoveMember { group, user, proof, suspects };
    Member { group, user: Some(user), action, reason: Reason::Proof(proof) }
}

struct People {
    /// Exist in the target, or will by this plan, and may be added.
    settled: RoaringBitmap,
    /// May not be removed where they are certainly members.
    in_good_standing: RoaringBitmap,
    /// Positively read as someone who is to be a member of nothing.
    barred: BTreeMap<LinkNo, Absence>,
    protected: RoaringBitmap,
    /// Deleted in the target by others: what was applied for them is gone too.
    void: RoaringBitmap,
}

impl People {
    fn of(inputs: &Inputs<'_>, drafts: &Drafts) -> Self {
        let linked: RoaringBitmap = inputs
            .known
            .links
            .values()
            .filter(|l| l.kind == Kind::User && l.target_id.is_some())
            .map(|l| l.no.0)
            .collect();
        let coming: RoaringBitmap =
            drafts.list.iter().filter(|(_, d)| d.kind == Kind::User).map(|(no, _)| no.0).collect();
        let void: RoaringBitmap = drafts.gone.iter().map(|no| no.0).collect();
        let eligible = inputs.scope.eligible();
        let exist = (&linked - &void) | &coming;
        let barred = (inputs.scope.users().iter())
            .filter_map(|(no, user)| {
                Absence::from_account(user.account)
                    .or_else(|| Absence::from_filter(user.matches_filter))
                    .map(|proof| (*no, proof))
            })
            .collect();
        let mut protected: RoaringBitmap = drafts.protected.iter().map(|no| no.0).collect();
        for link in inputs.known.links.values().filter(|l| l.kind == Kind::User) {
            if draft::is_protected(inputs, &[link.name.as_deref(), link.email.as_deref()]) {
                protected.insert(link.no.0);
            }
        }
        Self {
            settled: &eligible & &exist,
            in_good_standing: eligible | inputs.scope.unknown(),
            barred,
            protected,
            void,
        }
    }
}

/// What a group holds before the plan; `None` where it does not exist and will not.
struct Before {
    applied: RoaringBitmap,
    strangers: Vec<(TargetId, String)>,
    present: Option<BTreeSet<LinkNo>>,
}

impl Before {
    fn of(inputs: &Inputs<'_>, drafts: &Drafts, group: LinkNo, people: &People) -> Option<Self> {
        let draft = drafts.list.get(&group);
        let link = inputs.known.links.get(&group).filter(|l| l.target_id.is_some());
        let nothing = Self { applied: RoaringBitmap::new(), strangers: Vec::new(), present: None };
        match (draft, link) {
            (Some(draft), _) if matches!(draft.content, Content::NewGroup { .. }) => Some(nothing),
            (Some(draft), _) if draft.adopt.is_some() => {
                let found = draft.adopt.as_ref().and_then(|id| inputs.observed.groups.get(id));
                Some(Self::adopted(inputs, drafts, found.and_then(|g| g.members.as_ref())))
            }
            (_, Some(link)) => {
                // Gone from the target, and refused when it was to be made again.
                (!drafts.gone.contains(&group))
                    .then(|| Self { applied: &link.applied - &people.void, ..nothing })
            }
            _ => None,
        }
    }

    fn adopted(inputs: &Inputs<'_>, drafts: &Drafts, found: Option<&BTreeSet<TargetId>>) -> Self {
        let mut by_id: BTreeMap<&TargetId, LinkNo> = BTreeMap::new();
        for link in inputs.known.links.values().filter(|l| l.kind == Kind::User) {
            by_id.extend(link.target_id.as_ref().map(|id| (id, link.no)));
        }
        for (no, draft) in drafts.list.iter().filter(|(_, d)| d.kind == Kind::User) {
            by_id.extend(draft.adopt.as_ref().map(|id| (id, *no)));
        }
        let mut before =
            Self { applied: RoaringBitmap::new(), strangers: Vec::new(), present: Some(BTreeSet::new()) };
        for id in found.into_iter().flatten() {
            if let Some(no) = by_id.get(id) {
                before.applied.insert(no.0);
                before.present.get_or_insert_default().insert(*no);
                continue;
            }
            let seen = inputs.observed.users.get(id);
            let name = seen.and_then(|u| u.attributes.get(&crate::model::UserAttribute::UserName));
            let email = seen.and_then(|u| u.attributes.get(&crate::model::UserAttribute::Email));
            let names = [name.map(String::as_str), email.map(String::as_str), Some(id.as_str())];
            if !draft::is_protected(inputs, &names) {
                before.strangers.push((id.clone(), name.map_or_else(|| id.to_string(), Clone::clone)));
            }
        }
        before
    }
}
