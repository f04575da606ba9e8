//! Memberships: who is to be added, who is proven to have left, and who only seems to.

use std::collections::{BTreeMap, BTreeSet};

use roaring::RoaringBitmap;

use super::draft::{Content, Draft, Drafts, Protect};
use super::lifecycle::Ends;
use super::policy::OnGroupOut;
use super::step::{Action, Reason, Withheld};
use super::{Inputs, Sweep};
use crate::ids::{LinkNo, TargetId};
use crate::model::{Absence, DisableHow, Kind, Link, ObservedUser, UserAttribute};

/// One removal, before it is put in order.
pub struct Member {
    pub group: LinkNo,
    pub user: Option<LinkNo>,
    pub action: Action,
    pub reason: Reason,
}

#[derive(Default)]
pub struct Members {
    /// Who is to be added, by group.
    pub adds: BTreeMap<LinkNo, RoaringBitmap>,
    pub removes: Vec<Member>,
    pub withheld: Vec<Withheld>,
    /// Groups that will exist, and how many members each has before this plan.
    pub sizes: BTreeMap<LinkNo, u64>,
    /// Of adopted groups and those that were read back: members that are there already.
    pub present: BTreeMap<LinkNo, BTreeSet<LinkNo>>,
}

/// All memberships of those who are to be disabled, or were by someone else, in a profile that is swept.
pub fn swept(inputs: &Inputs<'_>, drafts: &Drafts, ends: &Ends, sweep: Sweep) -> Members {
    let mut members = Members::default();
    let mut leaving: RoaringBitmap =
        (ends.out.iter()).filter(|(_, end)| end.action.disables()).map(|(no, _)| no.0).collect();
    if inputs.target.disables {
        let found = |link: &Link| inputs.observed.users.get(link.target_id.as_ref()?);
        let links = inputs.known.links.values().filter(|l| !drafts.protected.contains(&l.no));
        leaving.extend(links.filter(|l| found(l).is_some_and(|user| user.disabled)).map(|l| l.no.0));
    }
    leaving.extend(put_out(inputs, drafts));
    for link in inputs.known.links.values().filter(|l| l.kind == Kind::Group && l.target_id.is_some()) {
        if drafts.protected.contains(&link.no) {
            continue;
        }
        members.sizes.insert(link.no, link.applied.len());
        let gone = &link.applied & &leaving;
        members.removes.extend(gone.iter().map(|no| removal(link.no, LinkNo(no), sweep.proof, None)));
    }
    members
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
            if !adds.is_empty() {
                members.adds.insert(*group, adds);
            }
        }
        let stays = certain & &people.in_good_standing;
        let gone = &(&before.applied - &stays) - &people.protected;
        let mut unproven = Vec::new();
        for user in gone.iter().map(LinkNo) {
            if let Some(proof) = people.barred.get(&user) {
                members.removes.push(removal(*group, user, *proof, None));
                continue;
            }
            let proof = if written.frozen { None } else { written.closure.not_a_member(user) };
            match proof {
                Some(proof) => {
                    let suspects = inputs.scope.doubt(*group, user);
                    members.removes.push(removal(*group, user, proof, suspects));
                }
                // Frozen, or an account of which nothing is known: not short of a proof, but of an approval or
                // a permission, which has a finding of its own.
                None if written.frozen || certain.contains(user.0) => {}
                None => unproven.push(user),
            }
        }
        if let Some(proof) = written.closure.not_a_stranger().filter(|_| !written.frozen) {
            let unlinked = people.unlinked(inputs, &(certain - &want));
            for (id, label) in before.strangers {
                if unlinked.might_be(inputs.observed.users.get(&id), &label) {
                    continue;
                }
                let label = label.into_boxed_str();
                let action = Action::RemoveStranger { group: *group, user: id, label, proof };
                members.removes.push(Member {
                    group: *group,
                    user: None,
                    action,
                    reason: Reason::NotInDirectory,
                });
            }
        }
        if !unproven.is_empty() {
            let why =
                written.closure.shortfalls().iter().map(ToString::to_string).take(3).collect::<Vec<_>>();
            let doubts = written.closure.doubts();
            let why = if !why.is_empty() {
                why.join("; ")
            } else if !doubts.is_empty() {
                doubts.join("; ")
            } else {
                "they may be members through one that the server cannot show".to_owned()
            };
            let group_label = inputs.label(*group);
            let sid = inputs.scope.groups().get(group).and_then(|g| g.sid.as_ref());
            let group_id = sid.map_or_else(|| inputs.anchor(*group).to_string(), ToString::to_string);
            members.withheld.push(Withheld {
                group: *group,
                group_id,
                group_label,
                members: unproven.len() as u64,
                users: unproven,
                why,
            });
        }
        if let Some(present) = before.present {
            members.present.insert(*group, present);
        }
    }
    frozen_out_of_scope(inputs, drafts, &people, &mut members);
    members
}

/// Put out of use before: what could not be taken from them then is taken now.
fn put_out<'i>(inputs: &'i Inputs<'_>, drafts: &'i Drafts) -> impl Iterator<Item = u32> + 'i {
    let out = |l: &&Link| {
        l.kind == Kind::User
            && l.target_id.is_some()
            && l.disabled.is_some_and(|d| d.how != DisableHow::Reported)
            && !drafts.protected.contains(&l.no)
    };
    inputs.known.links.values().filter(out).map(|l| l.no.0)
}

/// Groups that left the scope: nobody is added; who is disabled or left the scope is removed.
fn frozen_out_of_scope(inputs: &Inputs<'_>, drafts: &Drafts, people: &People, members: &mut Members) {
    for link in inputs.known.links.values() {
        let linked = link.kind == Kind::Group && link.target_id.is_some();
        if !linked || drafts.protected.contains(&link.no) || inputs.scope.written().contains_key(&link.no) {
            continue;
        }
        let Some(before) = Before::of(inputs, drafts, link.no, people) else { continue };
        let applied = before.applied;
        members.sizes.insert(link.no, applied.len() + before.strangers.len() as u64);
        members.present.extend(before.present.map(|present| (link.no, present)));
        let of_group = inputs.deletion(link).map(|d| Absence::from_deletion(d.proof)).or_else(|| {
            let empties = inputs.policy.lifecycle.on_group_out_of_scope == OnGroupOut::Empty;
            // While a group is suspect, those below it may be reached through it.
            let settled = inputs.scope.doubted_anywhere().is_empty();
            inputs.scope.whole().group_out_of_scope().filter(|_| empties && settled)
        });
        for user in (applied - &people.protected).iter().map(LinkNo) {
            let own =
                || people.barred.get(&user).copied().or_else(|| inputs.scope.whole().out_of_scope(user));
            let proof = of_group.or_else(own);
            if let Some(proof) = proof {
                members.removes.push(removal(link.no, user, proof, None));
            }
        }
    }
}

fn removal(group: LinkNo, user: LinkNo, proof: Absence, suspects: Option<&BTreeSet<LinkNo>>) -> Member {
    let suspects = suspects.map(|s| Box::new(s.clone()));
    let action = Action::RemoveMember { group, user, proof, suspects };
    Member { group, user: Some(user), action, reason: Reason::Proof(proof) }
}

/// Members in the directory whom the target has under no link of ours (values that cannot be written, a conflict): one
/// who only seems to be a stranger may be one of them.
struct Unlinked(BTreeSet<String>);

impl Unlinked {
    fn of(inputs: &Inputs<'_>, members: &RoaringBitmap) -> Self {
        let users = members.iter().filter_map(|no| inputs.scope.users().get(&LinkNo(no)));
        let values = users.flat_map(|user| {
            let texts = user.attributes.iter().flat_map(|(_, values)| values);
            let texts = texts.filter_map(|value| std::str::from_utf8(value).ok()).map(str::to_lowercase);
            texts.chain(std::iter::once(user.anchor.to_string()))
        });
        Self(values.collect())
    }

    fn might_be(&self, user: Option<&ObservedUser>, name: &str) -> bool {
        if self.0.is_empty() {
            return false;
        }
        let email = user.and_then(|u| u.attributes.get(&UserAttribute::Email));
        let external = user.into_iter().flat_map(|u| u.external_ids.iter().map(|(_, id)| id.as_str()));
        let known_as = |value: &str| self.0.contains(&value.to_lowercase());
        // A userName that is made of a name and the domain: its first part is the account's name.
        let account = name.split_once('@').is_some_and(|(account, _)| known_as(account));
        account || known_as(name) || email.is_some_and(|e| known_as(e)) || external.into_iter().any(known_as)
    }
}

struct People {
    /// Exist in the target, or will by this plan, and may be added.
    settled: RoaringBitmap,
    /// May not be removed where they are certainly members.
    in_good_standing: RoaringBitmap,
    /// Positively read as someone who is to be a member of nothing.
    barred: BTreeMap<LinkNo, Absence>,
    protected: RoaringBitmap,
    /// Exist in the target now, linked or to be adopted. Of others nothing is there: what was once applied for
    /// someone who was deleted in the target by others is gone too.
    present: RoaringBitmap,
    /// Filled where members were read back, or a group is taken over.
    by_target_id: BTreeMap<TargetId, LinkNo>,
    protect: Protect,
}

impl People {
    fn of(inputs: &Inputs<'_>, drafts: &Drafts) -> Self {
        let adopts = |draft: &Draft| draft.kind == Kind::Group && draft.adopt.is_some();
        let reads_back = inputs.full || drafts.list.values().any(adopts);
        let mut by_target_id = BTreeMap::new();
        let mut present = RoaringBitmap::new();
        for link in inputs.known.links.values().filter(|l| l.kind == Kind::User) {
            if let Some(id) = &link.target_id {
                if reads_back {
                    by_target_id.insert(id.clone(), link.no);
                }
                if !inputs.is_gone(link) {
                    present.insert(link.no.0);
                }
            }
        }
        let mut coming = RoaringBitmap::new();
        for (no, draft) in drafts.list.iter().filter(|(_, d)| d.kind == Kind::User) {
            if matches!(draft.content, Content::NewUser { .. }) {
                coming.insert(no.0);
            }
            if let Some(adoption) = &draft.adopt {
                by_target_id.insert(adoption.id.clone(), *no);
                present.insert(no.0);
            }
        }
        present -= &coming;
        present -= drafts.gone.iter().map(|no| no.0).collect::<RoaringBitmap>();
        let eligible = inputs.scope.eligible();
        let unread = inputs.known.links.values().filter(|l| {
            l.kind == Kind::User && l.target_id.is_some() && !inputs.scope.users().contains_key(&l.no)
        });
        let barred = (inputs.scope.users().keys().copied())
            .chain(unread.map(|l| l.no))
            .filter_map(|no| inputs.barred(no).map(|proof| (no, proof)))
            .collect();
        Self {
            settled: &eligible & (&present | &coming),
            in_good_standing: eligible | inputs.scope.unknown(),
            barred,
            protected: drafts.protected.iter().map(|no| no.0).collect(),
            present,
            by_target_id,
            protect: Protect::of(inputs.policy),
        }
    }

    /// Of these members, those whom a stranger in the target might be. Not whoever is to be a member of nothing: such a
    /// one has no business there, whatever the tie.
    fn unlinked(&self, inputs: &Inputs<'_>, members: &RoaringBitmap) -> Unlinked {
        let barred: RoaringBitmap = self.barred.keys().map(|no| no.0).collect();
        Unlinked::of(inputs, &(members - &self.present - barred))
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
        if draft.is_some_and(|d| matches!(d.content, Content::NewGroup { .. })) {
            return Some(nothing);
        }
        if let Some(adoption) = draft.and_then(|d| d.adopt.as_ref()) {
            let found = inputs.observed.groups.get(&adoption.id).and_then(|g| g.members.as_ref());
            return Some(Self::adopted(inputs, people, found));
        }
        // Gone from the target, and refused when it was to be made again: nothing is there.
        let link = link.filter(|_| !drafts.gone.contains(&group))?;
        let id = link.target_id.as_ref()?;
        if inputs.full {
            let found = inputs.observed.groups.get(id)?;
            if let Some(members) = &found.members {
                return Some(Self::adopted(inputs, people, Some(members)));
            }
        }
        Some(Self { applied: &link.applied & &people.present, ..nothing })
    }

    fn adopted(inputs: &Inputs<'_>, people: &People, found: Option<&BTreeSet<TargetId>>) -> Self {
        let mut applied = RoaringBitmap::new();
        let mut strangers = Vec::new();
        for id in found.into_iter().flatten() {
            if let Some(no) = people.by_target_id.get(id) {
                applied.insert(no.0);
                continue;
            }
            // Someone who could not be looked up might be protected.
            let Some(user) = inputs.observed.users.get(id) else { continue };
            if !people.protect.covers_user(id, user) {
                let name = user.attributes.get(&UserAttribute::UserName);
                strangers.push((id.clone(), name.map_or_else(|| id.to_string(), Clone::clone)));
            }
        }
        let present = Some(applied.iter().map(LinkNo).collect());
        Self { applied, strangers, present }
    }
}
