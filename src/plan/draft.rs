//! What each object needs, before names are sorted out: one draft for each user or group to be written.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use super::desire::fold;
use super::step::{Change, Confirmed, Found};
use super::{Adopt, Inputs, Policy};
use crate::ids::{Anchor, LinkNo, Sid, TargetId};
use crate::model::{
    Code, DesiredGroup, DesiredUser, Digest, Finding, GroupAttributes, Kind, Link, ObservedGroup,
    ObservedUser, RenameSupport, Subject, UserAttribute, UserAttributes, UserValues,
};

/// A value that the target holds once only, without regard to case.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Key {
    UserName(String),
    Email(String),
    GroupName(String),
}

#[derive(Clone, Debug)]
pub struct Draft {
    pub kind: Kind,
    pub content: Content,
    /// An existing object of the target that is taken over first.
    pub adopt: Option<Box<Adoption>>,
    /// A newcomer's label, where this only gives up names.
    pub yields_to: Option<String>,
    /// The directory is as it was; the target has other values than were written.
    pub drifted: bool,
}

#[derive(Clone, Debug)]
pub struct Adoption {
    pub id: TargetId,
    /// The target shows the object's anchor as its external id: it is the same for certain.
    pub same_anchor: bool,
    pub found: Found,
}

/// Nearly all of a first plan are new users: what others have more stands apart.
#[derive(Clone, Debug)]
pub enum Content {
    NewUser { attributes: UserValues, again: bool },
    User(Box<Revised>),
    NewGroup { attributes: Box<GroupAttributes>, again: bool },
    Group { before: Box<GroupAttributes>, after: Box<GroupAttributes>, digest: Option<Digest> },
}

/// What becomes of an existing user.
#[derive(Clone, Debug)]
pub struct Revised {
    pub changes: Vec<Change>,
    pub before: UserAttributes,
    pub after: UserAttributes,
    pub digest: Option<Digest>,
}

impl Draft {
    /// Keys that the object comes to hold.
    pub fn takes(&self) -> BTreeSet<Key> {
        // Under the name of its own that it gets instead nobody else is looked for.
        if self.yields_to.is_some() { BTreeSet::new() } else { &self.wanted() - &self.held() }
    }

    /// Keys that the object gives up.
    pub fn frees(&self) -> BTreeSet<Key> {
        &self.held() - &self.wanted()
    }

    /// Keys that the object holds now.
    pub fn held(&self) -> BTreeSet<Key> {
        match &self.content {
            Content::NewUser { .. } | Content::NewGroup { .. } => BTreeSet::new(),
            Content::User(revised) => user_keys(&revised.before),
            Content::Group { before, .. } => group_keys(before),
        }
    }

    fn wanted(&self) -> BTreeSet<Key> {
        match &self.content {
            Content::NewUser { attributes, .. } => {
                keys_of(attributes.get(UserAttribute::UserName), attributes.get(UserAttribute::Email))
            }
            Content::NewGroup { attributes, .. } => group_keys(attributes),
            Content::User(revised) => user_keys(&revised.after),
            Content::Group { after, .. } => group_keys(after),
        }
    }
}

#[derive(Default)]
pub struct Drafts {
    pub list: BTreeMap<LinkNo, Draft>,
    pub confirmed: BTreeMap<LinkNo, Confirmed>,
    pub findings: Vec<Finding>,
    /// Objects that were linked and are gone from the target.
    pub gone: BTreeSet<LinkNo>,
    /// Objects that `protect` names: nothing is done to them.
    pub protected: BTreeSet<LinkNo>,
}

pub fn subject(kind: Kind, anchor: Anchor, sid: Option<&Sid>, label: &str) -> Subject {
    Subject {
        kind: Some(kind),
        id: sid.map_or_else(|| anchor.to_string(), ToString::to_string),
        label: label.to_owned(),
    }
}

/// What `target.protect` names: userNames, addresses, group names and ids of the target, case without regard.
pub struct Protect(BTreeSet<String>);

impl Protect {
    pub fn of(policy: &Policy) -> Self {
        Self(policy.protect.iter().map(|p| fold(p)).collect())
    }

    pub fn covers<'n>(&self, names: impl IntoIterator<Item = Option<&'n str>>) -> bool {
        !self.0.is_empty() && names.into_iter().flatten().any(|n| self.0.contains(&fold(n)))
    }

    pub fn covers_user(&self, id: &TargetId, user: &ObservedUser) -> bool {
        self.covers([name_of(&user.attributes), email_of(&user.attributes), Some(id.as_str())])
    }

    fn covers_group(&self, id: &TargetId, group: &ObservedGroup) -> bool {
        self.covers([Some(group.attributes.display_name.as_str()), Some(id.as_str())])
    }

    /// Linked objects that are named by what was last written to them, or by what they are called now.
    fn linked(&self, inputs: &Inputs<'_>) -> BTreeSet<LinkNo> {
        let named = |link: &&Link| {
            let Some(id) = &link.target_id else { return false };
            self.covers([link.name.as_deref(), link.email.as_deref(), Some(id.as_str())])
                || match link.kind {
                    Kind::User => inputs.observed.users.get(id).is_some_and(|u| self.covers_user(id, u)),
                    Kind::Group => inputs.observed.groups.get(id).is_some_and(|g| self.covers_group(id, g)),
                }
        };
        if self.0.is_empty() {
            return BTreeSet::new();
        }
        inputs.known.links.values().filter(named).map(|l| l.no).collect()
    }
}

fn name_of(attributes: &UserAttributes) -> Option<&str> {
    attributes.get(&UserAttribute::UserName).map(String::as_str)
}

fn email_of(attributes: &UserAttributes) -> Option<&str> {
    attributes.get(&UserAttribute::Email).map(String::as_str)
}

pub fn user_keys(attributes: &UserAttributes) -> BTreeSet<Key> {
    keys_of(name_of(attributes), email_of(attributes))
}

fn keys_of(name: Option<&str>, email: Option<&str>) -> BTreeSet<Key> {
    let name = name.map(|n| Key::UserName(fold(n)));
    let email = email.map(|e| Key::Email(fold(e)));
    name.into_iter().chain(email).collect()
}

pub fn group_keys(attributes: &GroupAttributes) -> BTreeSet<Key> {
    BTreeSet::from([Key::GroupName(fold(&attributes.display_name))])
}

/// Whether a refusal of exactly these values stands and is not to be tried yet.
fn refused(link: Option<&Link>, digest: Digest, inputs: &Inputs<'_>) -> bool {
    link.and_then(|l| l.retry.as_ref()).is_some_and(|r| r.digest == digest && r.not_before > inputs.now)
}

/// Who in the target holds a name and is none of ours.
struct Strangers<'a> {
    users: BTreeMap<Key, (&'a TargetId, &'a ObservedUser)>,
    groups: BTreeMap<Key, (&'a TargetId, &'a ObservedGroup)>,
    /// By the anchors that the target shows as external ids.
    users_by_anchor: BTreeMap<Anchor, (&'a TargetId, &'a ObservedUser)>,
    groups_by_anchor: BTreeMap<Anchor, (&'a TargetId, &'a ObservedGroup)>,
}

fn anchors(external_ids: &[(String, String)]) -> impl Iterator<Item = Anchor> {
    external_ids.iter().filter_map(|(_, id)| Anchor::parse(id))
}

impl<'a> Strangers<'a> {
    fn of(inputs: &'a Inputs<'_>) -> Self {
        let ours: HashSet<&TargetId> =
            inputs.known.links.values().filter_map(|l| l.target_id.as_ref()).collect();
        let users = inputs.observed.users.iter().filter(|(id, _)| !ours.contains(id));
        let groups = inputs.observed.groups.iter().filter(|(id, _)| !ours.contains(id));
        Self {
            users_by_anchor: users
                .clone()
                .flat_map(|(id, u)| anchors(&u.external_ids).map(move |a| (a, (id, u))))
                .collect(),
            groups_by_anchor: groups
                .clone()
                .flat_map(|(id, g)| anchors(&g.external_ids).map(move |a| (a, (id, g))))
                .collect(),
            users: users
                .flat_map(|(id, u)| user_keys(&u.attributes).into_iter().map(move |k| (k, (id, u))))
                .collect(),
            groups: groups
                .flat_map(|(id, g)| group_keys(&g.attributes).into_iter().map(move |k| (k, (id, g))))
                .collect(),
        }
    }
}

impl Drafts {
    pub fn gather(inputs: &Inputs<'_>) -> Self {
        let protect = Protect::of(inputs.policy);
        let strangers = Strangers::of(inputs);
        let mut drafts = Self { protected: protect.linked(inputs), ..Self::default() };
        for (no, wish) in &inputs.desired.users {
            drafts.user(inputs, &protect, &strangers, *no, wish);
        }
        for (no, wish) in &inputs.desired.groups {
            drafts.group(inputs, &protect, &strangers, *no, wish);
        }
        // As a whole: nodes of a map that grows by one at its end stay half empty.
        drafts.list = std::mem::take(&mut drafts.list).into_iter().collect();
        drafts
    }

    fn user(
        &mut self,
        inputs: &Inputs<'_>,
        protect: &Protect,
        strangers: &Strangers<'_>,
        no: LinkNo,
        wish: &DesiredUser,
    ) {
        let link = inputs.known.links.get(&no);
        let digest = wish.digest;
        let (name, email) =
            (wish.attributes.get(UserAttribute::UserName), wish.attributes.get(UserAttribute::Email));
        let label = name.unwrap_or_default();
        let subject = || subject(Kind::User, wish.anchor, wish.sid.as_ref(), label);
        if self.protected.contains(&no) || protect.covers([name, email]) {
            self.protected.insert(no);
            self.findings.push(protected_finding(subject()));
            return;
        }
        let id = link.and_then(|l| l.target_id.as_ref());
        let unchanged = link.is_some_and(|l| l.digest == Some(digest));
        if id.is_some() && unchanged && !inputs.full {
            return;
        }
        if refused(link, digest, inputs) {
            self.findings.extend(standing_refusal(link, subject()));
            return;
        }
        if let Some(id) = id {
            let Some(now) = inputs.observed.users.get(id) else {
                self.gone.insert(no);
                self.findings.push(gone_finding(subject()));
                self.list.insert(no, new_user(&wish.attributes, true));
                return;
            };
            match self.compare_user(inputs, &now.attributes, &wish.attributes, subject()) {
                Compared::Differs(draft) => {
                    self.list.insert(no, Draft { drifted: unchanged, ..draft });
                }
                Compared::Same if unchanged => {}
                Compared::Same => {
                    let found = Found::of_user(&now.attributes);
                    self.confirmed.insert(no, Confirmed { digest, name: found.name, email: found.email });
                }
                Compared::OnlyName => {}
            }
            return;
        }
        let holder = |key: Option<Key>| key.and_then(|k| strangers.users.get(&k)).copied();
        let by_name = holder(name.map(|n| Key::UserName(fold(n))));
        let by_email = holder(email.map(|e| Key::Email(fold(e))));
        let by_anchor = strangers.users_by_anchor.get(&wish.anchor).copied();
        if let Some((id, _)) = by_anchor
            && let Some((other, what, value)) =
                [(by_name, "userName", name), (by_email, "primary address", email)]
                    .into_iter()
                    .find_map(|(held, what, value)| Some((held.filter(|(o, _)| *o != id)?.0, what, value?)))
        {
            self.findings.push(two_candidates(subject(), id, what, value, other));
            return;
        }
        match (by_anchor.or(by_name), by_email) {
            (None, None) => {
                self.list.insert(no, new_user(&wish.attributes, false));
            }
            (Some((id, found)), other) if other.is_none_or(|(o, _)| o == id) => {
                if protect.covers_user(id, found) {
                    self.protected.insert(no);
                    self.findings.push(protected_finding(subject()));
                    return;
                }
                if let Some(profile) = inputs.known.elsewhere.get(&(Kind::User, id.clone())) {
                    self.findings.push(linked_elsewhere(subject(), id, profile));
                    return;
                }
                let same_anchor = has_anchor(&found.external_ids, wish.anchor);
                if inputs.policy.adopt == Adopt::Never && !same_anchor {
                    self.findings.push(conflict(subject(), "userName", label, id));
                    return;
                }
                let mut known = Found::of_user(&found.attributes);
                let draft = match self.compare_user(inputs, &found.attributes, &wish.attributes, subject()) {
                    Compared::Differs(draft) => draft,
                    Compared::Same => {
                        known.digest = Some(digest);
                        unchanged_user(&found.attributes)
                    }
                    Compared::OnlyName => unchanged_user(&found.attributes),
                };
                let adopt = Some(Box::new(Adoption { id: id.clone(), same_anchor, found: known }));
                self.list.insert(no, Draft { adopt, ..draft });
            }
            (_, Some((id, _))) => {
                let value = email.unwrap_or_default();
                self.findings.push(conflict(subject(), "primary address", value, id));
            }
            (Some((id, _)), None) => self.findings.push(conflict(subject(), "userName", label, id)),
        }
    }

    /// What has to change so that the mapped attributes are as desired.
    fn compare_user(
        &mut self,
        inputs: &Inputs<'_>,
        now: &UserAttributes,
        wish: &UserValues,
        subject: Subject,
    ) -> Compared {
        let mut changes: Vec<Change> = Vec::new();
        let mut whole = true;
        for attribute in inputs.managed {
            let (old, new) = (now.get(attribute).map(String::as_str), wish.get(*attribute));
            if old == new {
                continue;
            }
            if *attribute == UserAttribute::UserName && inputs.known.rename_support == RenameSupport::Refused
            {
                self.findings.push(Finding::new(
                    Code::UserNameChangeRefused,
                    subject.clone(),
                    "the identity store refused a changed userName before: the user keeps the old one. \
                     Rename the user by hand in IAM Identity Center, or map userName from an attribute that stays",
                ));
                whole = false;
                continue;
            }
            changes.push(Change {
                attribute: *attribute,
                old: old.map(str::to_owned),
                new: new.map(str::to_owned),
            });
        }
        if changes.is_empty() {
            return if whole { Compared::Same } else { Compared::OnlyName };
        }
        let after = changed(now, &changes);
        let digest = whole.then(|| Digest::of_values(wish));
        let revised = Revised { changes, before: now.clone(), after, digest };
        Compared::Differs(Draft::of(Kind::User, Content::User(Box::new(revised))))
    }

    fn group(
        &mut self,
        inputs: &Inputs<'_>,
        protect: &Protect,
        strangers: &Strangers<'_>,
        no: LinkNo,
        wish: &DesiredGroup,
    ) {
        let link = inputs.known.links.get(&no);
        let digest = Digest::of_group(&wish.attributes);
        let name = wish.attributes.display_name.as_str();
        let subject = || subject(Kind::Group, wish.anchor, wish.sid.as_ref(), name);
        if self.protected.contains(&no) || protect.covers([Some(name)]) {
            self.protected.insert(no);
            self.findings.push(protected_finding(subject()));
            return;
        }
        let id = link.and_then(|l| l.target_id.as_ref());
        let unchanged = link.is_some_and(|l| l.digest == Some(digest));
        if id.is_some() && unchanged && !inputs.full {
            return;
        }
        if refused(link, digest, inputs) {
            self.findings.extend(standing_refusal(link, subject()));
            return;
        }
        if let Some(id) = id {
            let Some(now) = inputs.observed.groups.get(id) else {
                self.gone.insert(no);
                self.findings.push(gone_finding(subject()));
                self.list.insert(no, new_group(&wish.attributes, true));
                return;
            };
            match group_change(&now.attributes, &wish.attributes) {
                Some(draft) => {
                    self.list.insert(no, Draft { drifted: unchanged, ..draft });
                }
                None if unchanged => {}
                None => {
                    self.confirmed.insert(no, Confirmed { digest, name: name.to_owned(), email: None });
                }
            }
            return;
        }
        let by_name = strangers.groups.get(&Key::GroupName(fold(name))).copied();
        let by_anchor = strangers.groups_by_anchor.get(&wish.anchor).copied();
        if let (Some((id, _)), Some((other, _))) = (by_anchor, by_name)
            && id != other
        {
            self.findings.push(two_candidates(subject(), id, "displayName", name, other));
            return;
        }
        let Some((id, found)) = by_anchor.or(by_name) else {
            self.list.insert(no, new_group(&wish.attributes, false));
            return;
        };
        let same_anchor = has_anchor(&found.external_ids, wish.anchor);
        if protect.covers_group(id, found) {
            self.protected.insert(no);
            self.findings.push(protected_finding(subject()));
        } else if let Some(profile) = inputs.known.elsewhere.get(&(Kind::Group, id.clone())) {
            self.findings.push(linked_elsewhere(subject(), id, profile));
        } else if inputs.policy.adopt == Adopt::Never && !same_anchor {
            self.findings.push(conflict(subject(), "displayName", name, id));
        } else {
            let change = group_change(&found.attributes, &wish.attributes);
            let known = Found {
                name: found.attributes.display_name.clone(),
                email: None,
                digest: change.is_none().then_some(digest),
            };
            let draft = change.unwrap_or_else(|| unchanged_group(&found.attributes));
            let adopt = Some(Box::new(Adoption { id: id.clone(), same_anchor, found: known }));
            self.list.insert(no, Draft { adopt, ..draft });
        }
    }
}

/// A linked or found user against what is desired.
enum Compared {
    Same,
    /// Only the userName differs, which the target does not let change.
    OnlyName,
    Differs(Draft),
}

/// Whether one of the external ids is the object's own anchor.
fn has_anchor(external_ids: &[(String, String)], anchor: Anchor) -> bool {
    external_ids.iter().any(|(_, id)| Anchor::parse(id) == Some(anchor))
}

pub fn changed(before: &UserAttributes, changes: &[Change]) -> UserAttributes {
    let mut after = before.clone();
    for change in changes {
        match &change.new {
            Some(value) => after.insert(change.attribute, value.clone()),
            None => after.remove(&change.attribute),
        };
    }
    after
}

impl Draft {
    pub fn of(kind: Kind, content: Content) -> Self {
        Self { kind, content, adopt: None, yields_to: None, drifted: false }
    }
}

fn new_user(attributes: &UserValues, again: bool) -> Draft {
    Draft::of(Kind::User, Content::NewUser { attributes: attributes.clone(), again })
}

fn unchanged_user(attributes: &UserAttributes) -> Draft {
    let (before, after) = (attributes.clone(), attributes.clone());
    let revised = Revised { changes: Vec::new(), before, after, digest: None };
    Draft::of(Kind::User, Content::User(Box::new(revised)))
}

fn new_group(attributes: &GroupAttributes, again: bool) -> Draft {
    Draft::of(Kind::Group, Content::NewGroup { attributes: Box::new(attributes.clone()), again })
}

fn unchanged_group(attributes: &GroupAttributes) -> Draft {
    let both = Box::new(attributes.clone());
    Draft::of(Kind::Group, Content::Group { before: both.clone(), after: both, digest: None })
}

fn group_change(now: &GroupAttributes, wish: &GroupAttributes) -> Option<Draft> {
    // Over the API there is none to be wished for, and whoever else has given one keeps it.
    let external_id = wish.external_id.as_ref().and(now.external_id.clone());
    let before = GroupAttributes { external_id, ..now.clone() };
    let after = wish.clone();
    (before != after).then(|| {
        let digest = Some(Digest::of_group(wish));
        Draft::of(Kind::Group, Content::Group { before: Box::new(before), after: Box::new(after), digest })
    })
}

fn protected_finding(subject: Subject) -> Finding {
    Finding::new(Code::Protected, subject, "named by `target.protect`: never adopted, written or removed")
}

fn gone_finding(subject: Subject) -> Finding {
    Finding::new(
        Code::TargetObjectMissing,
        subject,
        "it was deleted in the target by someone else; it is created again, with its memberships. Account \
         assignments that were deleted with it do not come back",
    )
}

fn standing_refusal(link: Option<&Link>, subject: Subject) -> Option<Finding> {
    let retry = link.and_then(|l| l.retry.as_ref())?;
    Some(Finding::new(
        Code::TargetRefused,
        subject,
        format!(
            "the target refused these values with {} and is asked again after {}",
            retry.code, retry.not_before
        ),
    ))
}

fn two_candidates(subject: Subject, id: &TargetId, what: &str, value: &str, other: &TargetId) -> Finding {
    Finding::new(
        Code::ConflictError,
        subject,
        format!(
            "two objects of the target could be this one: {id} bears its external id, and {other} holds the {what} \
             {value}. Remove or rename one of them, or decide with `idcsync link`"
        ),
    )
}

fn linked_elsewhere(subject: Subject, id: &TargetId, profile: &str) -> Finding {
    Finding::new(
        Code::ConflictError,
        subject,
        format!(
            "it is in the target as {id}, which belongs to the profile `{profile}` already, and to one profile only. \
             Take it out of one of the two scopes; the other one lets go of it with `idcsync unlink`"
        ),
    )
}

pub fn conflict(subject: Subject, what: &str, value: &str, holder: &TargetId) -> Finding {
    Finding::new(
        Code::ConflictError,
        subject,
        format!(
            "the {what} {value} is held in the target by {holder}, which this profile does not manage. Rename or \
             remove that one, or let it be adopted (target.adopt)"
        ),
    )
}
