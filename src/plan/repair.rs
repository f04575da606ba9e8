//! Repairs by hand: what tying and untying one object changes in the links. Nothing of it touches the target.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use super::desire::fold;
use super::draft::Protect;
use super::policy::Policy;
use crate::ids::{Anchor, Dn, LinkNo, Sid, TargetId};
use crate::model::{
    Code, GroupAttributes, Kind, Known, Link, ObservedGroup, ObservedUser, Origin, UserAttribute,
    UserAttributes,
};

/// What the next cycle would change of an object that is tied to another one in the target.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Difference {
    pub attribute: &'static str,
    pub old: Option<String>,
    pub new: Option<String>,
}

/// `managed`: attributes that the mapping is in charge of.
pub fn user_differences<'m>(
    managed: impl Iterator<Item = &'m UserAttribute>,
    now: &UserAttributes,
    wish: &UserAttributes,
) -> Vec<Difference> {
    managed
        .map(|a| Difference { attribute: a.path(), old: now.get(a).cloned(), new: wish.get(a).cloned() })
        .filter(|d| d.old != d.new)
        .collect()
}

pub fn group_differences(now: &GroupAttributes, wish: &GroupAttributes) -> Vec<Difference> {
    let name = |g: &GroupAttributes| Some(g.display_name.clone());
    [
        ("displayName", name(now), name(wish)),
        ("description", now.description.clone(), wish.description.clone()),
    ]
    .into_iter()
    .map(|(attribute, old, new)| Difference { attribute, old, new })
    .filter(|d| d.old != d.new)
    .collect()
}

/// A directory object that is to be tied to one of the target.
#[derive(Clone, Copy, Debug)]
pub struct Candidate<'a> {
    pub kind: Kind,
    pub anchor: Anchor,
    pub dn: &'a Dn,
    pub sid: Option<&'a Sid>,
}

/// What of the target it is to be tied to.
#[derive(Clone, Copy, Debug)]
pub enum TargetObject<'a> {
    User(&'a ObservedUser),
    Group(&'a ObservedGroup),
}

impl TargetObject<'_> {
    pub fn name(&self) -> &str {
        match self {
            Self::User(user) => user.attributes.get(&UserAttribute::UserName).map_or("", String::as_str),
            Self::Group(group) => &group.attributes.display_name,
        }
    }

    fn email(&self) -> Option<&str> {
        match self {
            Self::User(user) => user.attributes.get(&UserAttribute::Email).map(String::as_str),
            Self::Group(_) => None,
        }
    }

    /// Whether `target.protect` names it.
    pub fn is_protected(&self, id: &TargetId, policy: &Policy) -> bool {
        Protect::of(policy).covers([Some(self.name()), self.email(), Some(id.as_str())])
    }
}

/// The object's link, if it was ever met.
pub fn link_of(known: &Known, anchor: Anchor) -> Option<&Link> {
    known.links.values().find(|l| l.anchor == anchor)
}

/// Who of this profile has that object of the target already.
pub fn owner<'k>(known: &'k Known, kind: Kind, id: &TargetId) -> Option<&'k Link> {
    known.links.values().find(|l| l.kind == kind && l.target_id.as_ref() == Some(id))
}

/// The link of `object` once it is tied to `id`. The next cycle asks the target what it has, and who of its members
/// belong there.
pub fn tied(known: &Known, object: Candidate<'_>, id: &TargetId, found: TargetObject<'_>) -> Link {
    let dn = object.dn.shared_text();
    let old = link_of(known, object.anchor).cloned();
    let mut link = old.unwrap_or_else(|| Link::new(known.next_no(), object.kind, object.anchor, dn.clone()));
    forget_target(&mut link);
    link.dn = dn;
    link.sid = object.sid.cloned();
    link.target_id = Some(id.clone());
    link.origin = Origin::Adopted;
    link.name = Some(found.name().to_owned());
    link.email = found.email().map(str::to_owned);
    if let TargetObject::Group(group) = found {
        let members = group.members.iter().flatten();
        link.applied = members.filter_map(|id| owner(known, Kind::User, id)).map(|l| l.no.0).collect();
    }
    link
}

/// All links that change when `no` is untied from the target, its own among them.
pub fn untied(known: &Known, no: LinkNo) -> Vec<Link> {
    let mut changed = BTreeMap::new();
    if let Some(link) = known.links.get(&no) {
        let mut link = link.clone();
        forget_target(&mut link);
        changed.insert(no, link);
    }
    for group in groups_of(known, no) {
        let mut group = group.clone();
        group.applied.remove(no.0);
        changed.insert(group.no, group);
    }
    changed.into_values().collect()
}

/// Groups that hold this user as a member, as far as idcsync made it one.
pub fn groups_of(known: &Known, user: LinkNo) -> impl Iterator<Item = &Link> {
    known.links.values().filter(move |l| l.kind == Kind::Group && l.applied.contains(user.0))
}

/// Everything that was known of it in the target, and what has been going on since when.
fn forget_target(link: &mut Link) {
    link.target_id = None;
    link.name = None;
    link.email = None;
    link.digest = None;
    link.retry = None;
    link.disabled = None;
    link.deleted = None;
    link.out_since = None;
    link.absent_since = None;
    link.applied.clear();
    link.doubtful.clear();
    link.filled = false;
}

/// Linked objects of that kind with this name, address, DN or objectGUID; or that a scope entry of this name stands
/// for.
pub fn linked_by_name<'k>(known: &'k Known, kind: Kind, name: &str) -> Vec<&'k Link> {
    let anchor = Anchor::parse(name);
    let dn = Dn::parse(name).ok().filter(|_| name.contains('='));
    let pinned = known.pins.get(&(kind, name.to_owned())).map(|pin| pin.anchor);
    let same = |text: Option<&String>| text.is_some_and(|text| fold(text) == fold(name));
    let is_it = |link: &&Link| {
        anchor == Some(link.anchor)
            || pinned == Some(link.anchor)
            || dn.as_ref().is_some_and(|dn| Dn::parse(&link.dn).is_ok_and(|other| *dn == other))
            || same(link.name.as_ref())
            || same(link.email.as_ref())
    };
    known.links.values().filter(|l| l.kind == kind && l.target_id.is_some()).filter(is_it).collect()
}

/// Whether no scope entry reaches a managed group any more.
pub fn is_frozen(known: &Known, group: &Link) -> bool {
    let ids: BTreeSet<String> = finding_ids(group).collect();
    group.out_since.is_some()
        || known.findings.iter().any(|f| f.code == Code::GroupOutOfScope && ids.contains(&f.subject.id))
}

/// By what findings name it.
pub fn finding_ids(link: &Link) -> impl Iterator<Item = String> {
    link.sid.iter().map(ToString::to_string).chain([link.anchor.to_string()])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Digest, DisableCause, DisableHow, Disabled, Finding, Pin, Subject};

    fn linked(no: u32, kind: Kind, name: &str) -> Link {
        let mut link = Link::new(LinkNo(no), kind, Anchor::from_u128(no.into()), format!("CN={name},DC=x"));
        link.target_id = Some(TargetId::new(format!("t{no}")));
        link.name = Some(name.to_owned());
        link.digest = Some(Digest::of_user(&UserAttributes::new()));
        link
    }

    fn known(links: impl IntoIterator<Item = Link>) -> Known {
        Known { links: links.into_iter().map(|l| (l.no, l)).collect(), ..Known::default() }
    }

    fn team() -> Known {
        let mut group = linked(3, Kind::Group, "Team");
        group.applied = [1, 2].into_iter().collect();
        group.filled = true;
        known([linked(1, Kind::User, "anna"), linked(2, Kind::User, "bob"), group])
    }

    #[test]
    fn whoever_is_untied_is_nobodys_member() {
        let mut known = team();
        let at = "2026-03-01T00:00:00Z".parse().unwrap();
        if let Some(anna) = known.links.get_mut(&LinkNo(1)) {
            anna.out_since = Some(at);
            anna.disabled = Some(Disabled { at, cause: DisableCause::OutOfScope, how: DisableHow::Revoked });
        }
        let changed = untied(&known, LinkNo(1));
        let [anna, team] = changed.as_slice() else { panic!("{changed:?}") };
        let bare = Link::new(LinkNo(1), Kind::User, Anchor::from_u128(1), "CN=anna,DC=x".to_owned());
        assert_eq!(*anna, bare, "as if it had only been met");
        assert_eq!((team.no, team.applied.iter().collect::<Vec<_>>()), (LinkNo(3), vec![2]));
        assert!(team.filled && team.target_id.is_some());

        let changed = untied(&known, LinkNo(3));
        let [team] = changed.as_slice() else { panic!("{changed:?}") };
        assert!(team.applied.is_empty() && !team.filled && team.target_id.is_none());
    }

    #[test]
    fn what_is_tied_is_adopted_and_looked_up_again() {
        let known = team();
        let dn = Dn::parse("CN=Ops,DC=x").unwrap();
        let object = Candidate { kind: Kind::Group, anchor: Anchor::from_u128(9), dn: &dn, sid: None };
        let members = ["t1", "stranger"].map(TargetId::new).into();
        let group = ObservedGroup {
            attributes: GroupAttributes { display_name: "ops".to_owned(), ..GroupAttributes::default() },
            members: Some(members),
            ..ObservedGroup::default()
        };
        let id = TargetId::new("g9");
        let link = tied(&known, object, &id, TargetObject::Group(&group));
        assert_eq!((link.no, link.origin, link.digest), (LinkNo(4), Origin::Adopted, None));
        assert_eq!((link.target_id.as_ref(), link.name.as_deref()), (Some(&id), Some("ops")));
        assert_eq!(link.applied.iter().collect::<Vec<_>>(), [1]);
        assert!(!link.filled);

        // Somebody who was met before keeps the number.
        let again = Candidate { kind: Kind::User, anchor: Anchor::from_u128(2), dn: &dn, sid: None };
        let user = ObservedUser::default();
        assert_eq!(tied(&known, again, &id, TargetObject::User(&user)).no, LinkNo(2));
    }

    #[test]
    fn names_that_a_person_would_use() {
        let mut known = team();
        let pin = Pin { anchor: Anchor::from_u128(3), name: "Team".to_owned() };
        known.pins.insert((Kind::Group, "CORP\\team".to_owned()), pin);
        let found =
            |kind, name: &str| linked_by_name(&known, kind, name).iter().map(|l| l.no.0).collect::<Vec<_>>();
        assert_eq!(found(Kind::User, "ANNA"), [1]);
        assert_eq!(found(Kind::User, "cn = Anna, dc=X"), [1]);
        assert_eq!(found(Kind::User, "00000000-0000-0000-0000-000000000002"), [2]);
        assert_eq!(found(Kind::Group, "CORP\\team"), [3]);
        assert_eq!(found(Kind::Group, "anna"), [] as [u32; 0]);
        assert_eq!(found(Kind::User, "nobody"), [] as [u32; 0]);
    }

    #[test]
    fn a_group_is_frozen_by_its_finding_or_its_date() {
        let mut known = team();
        let frozen = |known: &Known| is_frozen(known, &known.links[&LinkNo(3)]);
        assert!(!frozen(&known));
        let id = known.links[&LinkNo(3)].anchor.to_string();
        let subject = Subject { kind: Some(Kind::Group), id, label: "Team".to_owned() };
        known.findings.push(Finding::new(Code::GroupMembersUnsupported, subject.clone(), "x"));
        assert!(!frozen(&known));
        known.findings.push(Finding::new(Code::GroupOutOfScope, subject, "x"));
        assert!(frozen(&known));
        known.findings.clear();
        known.links.get_mut(&LinkNo(3)).unwrap().out_since = Some("2026-03-01T00:00:00Z".parse().unwrap());
        assert!(frozen(&known));
    }

    #[test]
    fn only_managed_attributes_differ() {
        let of = |list: &[(UserAttribute, &str)]| -> UserAttributes {
            list.iter().map(|(a, v)| (*a, (*v).to_owned())).collect()
        };
        let now =
            of(&[(UserAttribute::UserName, "a"), (UserAttribute::Title, "t"), (UserAttribute::Locale, "l")]);
        let wish = of(&[(UserAttribute::UserName, "b"), (UserAttribute::Locale, "l")]);
        let managed = [UserAttribute::UserName, UserAttribute::Locale];
        let differences = user_differences(managed.iter(), &now, &wish);
        let only = Difference { attribute: "userName", old: Some("a".to_owned()), new: Some("b".to_owned()) };
        assert_eq!(differences, [only]);
    }
}
