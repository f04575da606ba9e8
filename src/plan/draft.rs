//! What each object needs, before names are sorted out: one draft for each user or group to be written.

use std::collections::{BTreeMap, BTreeSet};

use super::desire::fold;
use super::step::{Change, Confirmed};
use super::{Adopt, Inputs};
use crate::ids::{Anchor, LinkNo, Sid, TargetId};
use crate::model::{
    Code, Digest, Finding, GroupAttributes, Kind, Link, RenameSupport, Subject, UserAttribute, UserAttributes,
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
    pub adopt: Option<TargetId>,
    /// Keys that the object comes to hold, and those that it gives up.
    pub takes: BTreeSet<Key>,
    pub frees: BTreeSet<Key>,
    /// A newcomer's label, where this only gives up names.
    pub yields_to: Option<String>,
}

#[derive(Clone, Debug)]
pub enum Content {
    NewUser { attributes: UserAttributes, again: bool },
    User { changes: Vec<Change>, before: UserAttributes, after: UserAttributes, digest: Option<Digest> },
    NewGroup { attributes: GroupAttributes, again: bool },
    Group { before: GroupAttributes, after: GroupAttributes, digest: Option<Digest> },
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

pub fn is_protected(inputs: &Inputs<'_>, names: &[Option<&str>]) -> bool {
    inputs.policy.protect.iter().any(|p| names.iter().flatten().any(|n| fold(n) == fold(p)))
}

pub fn user_keys(attributes: &UserAttributes) -> BTreeSet<Key> {
    let name = attributes.get(&UserAttribute::UserName).map(|n| Key::UserName(fold(n)));
    let email = attributes.get(&UserAttribute::Email).map(|e| Key::Email(fold(e)));
    name.into_iter().chain(email).collect()
}

pub fn group_keys(attributes: &GroupAttributes) -> BTreeSet<Key> {
    BTreeSet::from([Key::GroupName(fold(&attributes.display_name))])
}

/// Whether a refusal of exactly these values stands and is not to be tried yet.
fn refused(link: Option<&Link>, digest: Digest, inputs: &Inputs<'_>) -> bool {
    link.and_then(|l| l.retry.as_ref()).is_some_and(|r| r.digest == digest && r.not_before > inputs.now)
}

impl Drafts {
    pub fn gather(inputs: &Inputs<'_>) -> Self {
        let mut drafts = Self::default();
        drafts.users(inputs);
        drafts.groups(inputs);
        drafts
    }

    fn users(&mut self, inputs: &Inputs<'_>) {
        let linked_ids: BTreeMap<&TargetId, LinkNo> = linked_ids(inputs, Kind::User);
        for (no, wish) in &inputs.desired.users {
            let link = inputs.known.links.get(no);
            let digest = Digest::of_user(&wish.attributes);
            let name = wish.attributes.get(&UserAttribute::UserName).map(String::as_str);
            let email = wish.attributes.get(&UserAttribute::Email).map(String::as_str);
            let label = name.unwrap_or_default();
            let subject = || subject(Kind::User, wish.anchor, wish.sid.as_ref(), label);
            if is_protected(inputs, &[name, email, link.and_then(|l| l.name.as_deref())]) {
                self.protected.insert(*no);
                self.findings.push(protected_finding(subject()));
                continue;
            }
            match link.and_then(|l| l.target_id.as_ref()) {
                Some(_) if link.is_some_and(|l| l.digest == Some(digest)) => {}
                Some(id) => match inputs.observed.users.get(id) {
                    _ if refused(link, digest, inputs) => {
                        self.findings.extend(standing_refusal(link, subject()))
                    }
                    None => {
                        self.gone.insert(*no);
                        self.findings.push(gone_finding(subject()));
                        self.list.insert(*no, new_user(&wish.attributes, true));
                    }
                    Some(now) => {
                        let draft = self.user_change(inputs, &now.attributes, &wish.attributes, subject());
                        match draft {
                            Some(draft) => {
                                self.list.insert(*no, draft);
                            }
                            None => {
                                self.confirm_user(*no, &wish.attributes);
                            }
                        }
                    }
                },
                None if refused(link, digest, inputs) => {
                    self.findings.extend(standing_refusal(link, subject()))
                }
                None => {
                    // Who holds the name in the target, if it is none of ours?
                    let strangers = |key: Option<&str>, attribute: UserAttribute| {
                        inputs.observed.users.iter().filter(|(id, _)| !linked_ids.contains_key(id)).find(
                            |(_, u)| {
                                key.is_some_and(|k| {
                                    u.attributes.get(&attribute).is_some_and(|v| fold(v) == fold(k))
                                })
                            },
                        )
                    };
                    let by_name = strangers(name, UserAttribute::UserName);
                    let by_email = strangers(email, UserAttribute::Email);
                    match (by_name, by_email) {
                        (None, None) => {
                            self.list.insert(*no, new_user(&wish.attributes, false));
                        }
                        (Some((id, found)), other) if other.is_none_or(|(o, _)| o == id) => {
                            if inputs.policy.adopt == Adopt::Never {
                                self.findings.push(conflict(subject(), "userName", label, id));
                                continue;
                            }
                            let change =
                                self.user_change(inputs, &found.attributes, &wish.attributes, subject());
                            if change.is_none() {
                                self.confirm_user(*no, &wish.attributes);
                            }
                            let mut draft = change.unwrap_or_else(|| unchanged_user(&wish.attributes));
                            draft.adopt = Some(id.clone());
                            self.list.insert(*no, draft);
                        }
                        (_, Some((id, _))) => {
                            self.findings.push(conflict(
                                subject(),
                                "primary address",
                                email.unwrap_or_default(),
                                id,
                            ));
                        }
                        (Some((id, _)), None) => {
                            self.findings.push(conflict(subject(), "userName", label, id))
                        }
                    }
                }
            }
        }
    }

    /// What has to change so that the mapped attributes are as desired; `None` where nothing has.
    fn user_change(
        &mut self,
        inputs: &Inputs<'_>,
        now: &UserAttributes,
        wish: &UserAttributes,
        subject: Subject,
    ) -> Option<Draft> {
        let mut changes: Vec<Change> = Vec::new();
        let mut whole = true;
        for attribute in inputs.managed {
            let (old, new) = (now.get(attribute), wish.get(attribute));
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
            changes.push(Change { attribute: *attribute, old: old.cloned(), new: new.cloned() });
        }
        if changes.is_empty() {
            return None;
        }
        let mut after = now.clone();
        for change in &changes {
            match &change.new {
                Some(value) => after.insert(change.attribute, value.clone()),
                None => after.remove(&change.attribute),
            };
        }
        let (held, wanted) = (user_keys(now), user_keys(&after));
        Some(Draft {
            kind: Kind::User,
            takes: &wanted - &held,
            frees: &held - &wanted,
            content: Content::User {
                changes,
                before: now.clone(),
                after,
                digest: whole.then(|| Digest::of_user(wish)),
            },
            adopt: None,
            yields_to: None,
        })
    }

    fn confirm_user(&mut self, no: LinkNo, attributes: &UserAttributes) {
        let confirmed = Confirmed {
            digest: Digest::of_user(attributes),
            name: attributes.get(&UserAttribute::UserName).cloned().unwrap_or_default(),
            email: attributes.get(&UserAttribute::Email).cloned(),
        };
        self.confirmed.insert(no, confirmed);
    }

    fn groups(&mut self, inputs: &Inputs<'_>) {
        let linked_ids = linked_ids(inputs, Kind::Group);
        for (no, wish) in &inputs.desired.groups {
            let link = inputs.known.links.get(no);
            let digest = Digest::of_group(&wish.attributes);
            let name = wish.attributes.display_name.as_str();
            let subject = || subject(Kind::Group, wish.anchor, wish.sid.as_ref(), name);
            if is_protected(inputs, &[Some(name), link.and_then(|l| l.name.as_deref())]) {
                self.protected.insert(*no);
                self.findings.push(protected_finding(subject()));
                continue;
            }
            match link.and_then(|l| l.target_id.as_ref()) {
                Some(_) if link.is_some_and(|l| l.digest == Some(digest)) => {}
                _ if refused(link, digest, inputs) => self.findings.extend(standing_refusal(link, subject())),
                Some(id) => match inputs.observed.groups.get(id) {
                    None => {
                        self.gone.insert(*no);
                        self.findings.push(gone_finding(subject()));
                        self.list.insert(*no, new_group(&wish.attributes, true));
                    }
                    Some(now) => match group_change(&now.attributes, &wish.attributes) {
                        Some(draft) => {
                            self.list.insert(*no, draft);
                        }
                        None => {
                            let confirmed = Confirmed { digest, name: name.to_owned(), email: None };
                            self.confirmed.insert(*no, confirmed);
                        }
                    },
                },
                None => {
                    let stranger = inputs.observed.groups.iter().find(|(id, g)| {
                        !linked_ids.contains_key(id) && fold(&g.attributes.display_name) == fold(name)
                    });
                    match stranger {
                        None => {
                            self.list.insert(*no, new_group(&wish.attributes, false));
                        }
                        Some((id, _)) if inputs.policy.adopt == Adopt::Never => {
                            self.findings.push(conflict(subject(), "displayName", name, id));
                        }
                        Some((id, found)) => {
                            let change = group_change(&found.attributes, &wish.attributes);
                            if change.is_none() {
                                let confirmed = Confirmed { digest, name: name.to_owned(), email: None };
                                self.confirmed.insert(*no, confirmed);
                            }
                            let mut draft = change.unwrap_or_else(|| unchanged_group(&wish.attributes));
                            draft.adopt = Some(id.clone());
                            self.list.insert(*no, draft);
                        }
                    }
                }
            }
        }
    }
}

fn linked_ids<'a>(inputs: &'a Inputs<'_>, kind: Kind) -> BTreeMap<&'a TargetId, LinkNo> {
    inputs
        .known
        .links
        .values()
        .filter(|l| l.kind == kind)
        .filter_map(|l| l.target_id.as_ref().map(|id| (id, l.no)))
        .collect()
}

fn new_user(attributes: &UserAttributes, again: bool) -> Draft {
    Draft {
        kind: Kind::User,
        takes: user_keys(attributes),
        frees: BTreeSet::new(),
        content: Content::NewUser { attributes: attributes.clone(), again },
        adopt: None,
        yields_to: None,
    }
}

fn unchanged_user(attributes: &UserAttributes) -> Draft {
    Draft {
        content: Content::User {
            changes: Vec::new(),
            before: attributes.clone(),
            after: attributes.clone(),
            digest: None,
        },
        takes: BTreeSet::new(),
        ..new_user(attributes, false)
    }
}

fn new_group(attributes: &GroupAttributes, again: bool) -> Draft {
    Draft {
        kind: Kind::Group,
        takes: group_keys(attributes),
        frees: BTreeSet::new(),
        content: Content::NewGroup { attributes: attributes.clone(), again },
        adopt: None,
        yields_to: None,
    }
}

fn unchanged_group(attributes: &GroupAttributes) -> Draft {
    Draft {
        content: Content::Group { before: attributes.clone(), after: attributes.clone(), digest: None },
        takes: BTreeSet::new(),
        ..new_group(attributes, false)
    }
}

fn group_change(now: &GroupAttributes, wish: &GroupAttributes) -> Option<Draft> {
    let before = GroupAttributes { external_id: None, ..now.clone() };
    let after = GroupAttributes { external_id: None, ..wish.clone() };
    (before != after).then(|| {
        let (held, wanted) = (group_keys(&before), group_keys(&after));
        Draft {
            kind: Kind::Group,
            takes: &wanted - &held,
            frees: &held - &wanted,
            content: Content::Group { before, after, digest: Some(Digest::of_group(wish)) },
            adopt: None,
            yields_to: None,
        }
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
