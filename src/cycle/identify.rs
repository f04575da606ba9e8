//! Which object somebody means by a name, whether the scope leads to it or not.

use jiff::Timestamp;

use super::prepare::check_binding;
use super::{CycleError, Profile};
use crate::directory::Directory;
use crate::ids::{Anchor, Sid, TargetId};
use crate::model::{EntryOutcome, Kind, Known, Link, ObjectRef, ReadRequest, ScopeEntry, Snapshot, Wanted};
use crate::plan::linked_by_name;

/// What a name was found to mean.
pub enum Named {
    One {
        anchor: Anchor,
        /// As the directory shows it now; `None` where it does not.
        look: Option<Box<Snapshot>>,
    },
    /// Neither the directory nor the links have it.
    Nothing,
    /// Several objects, by their DNs.
    Several(Vec<String>),
    /// It is there, and of no sort that is synced.
    Unsuitable(String),
    /// The directory did not answer to the end.
    Unread(String),
}

/// Asks the directory for the name as for a scope entry, and the links for what they know by it: userName or
/// displayName, address, DN or id in the target.
pub async fn identify(
    profile: &Profile<'_>,
    directory: &dyn Directory,
    known: &Known,
    kind: Kind,
    name: &str,
    now: Timestamp,
) -> Result<Named, CycleError> {
    let mut attributes = profile.wanted.attributes.clone();
    // By which a person is a member of a group that does not name it.
    attributes.insert("primarygroupid".to_owned());
    let wanted = Wanted {
        entries: vec![ScopeEntry { kind, name: name.to_owned(), write: true }],
        nested: false,
        attributes,
        ..profile.wanted.clone()
    };
    // Pins would answer for what a name meant before.
    let request = ReadRequest { wanted, pins: Default::default(), now, server: None };
    let look = directory.look(&request).await?;
    if !profile.rebind {
        let found = &look.source.binding;
        let bound = known.binding.as_ref().map(|b| b.directory.as_str());
        if bound.is_none_or(|bound| Sid::parse(bound).is_none() || Sid::parse(found).is_some()) {
            check_binding(profile, known, "directory", found, |b| b.directory.as_str())?;
        }
    }
    let linked = linked(known, kind, name);
    let one = |anchor, look| Named::One { anchor, look };
    Ok(match look.entries.first().map(|entry| entry.outcome.clone()) {
        Some(EntryOutcome::Resolved { object, .. }) => {
            let (anchor, dn) = match object {
                ObjectRef::User(ix) => (look.user(ix).anchor, look.user(ix).dn.to_string()),
                ObjectRef::Group(ix) => (look.group(ix).anchor, look.group(ix).dn.to_string()),
            };
            let others: Vec<String> =
                linked.iter().filter(|l| l.anchor != anchor).map(|l| l.dn.to_string()).collect();
            if others.is_empty() {
                one(anchor, Some(Box::new(look)))
            } else {
                Named::Several([vec![dn], others].concat())
            }
        }
        Some(EntryOutcome::Ambiguous(dns)) => Named::Several(dns.iter().map(ToString::to_string).collect()),
        Some(EntryOutcome::Unread(shortfall)) => Named::Unread(shortfall.detail),
        outcome => match (linked.as_slice(), outcome) {
            ([link], _) => again(directory, link, request).await?,
            ([], Some(EntryOutcome::Unsuitable(why))) => Named::Unsuitable(why),
            ([], _) => Named::Nothing,
            (several, _) => Named::Several(several.iter().map(|l| l.dn.to_string()).collect()),
        },
    })
}

/// A link that the name means, though the directory does not know it by that: the object as it is there, if it is.
async fn again(
    directory: &dyn Directory,
    link: &Link,
    mut request: ReadRequest,
) -> Result<Named, CycleError> {
    request.wanted.entries = vec![ScopeEntry { kind: link.kind, name: link.anchor.to_string(), write: true }];
    let look = directory.look(&request).await?;
    let there = match look.entries.first().map(|entry| &entry.outcome) {
        Some(EntryOutcome::Resolved { .. }) => true,
        Some(EntryOutcome::Unread(shortfall)) => return Ok(Named::Unread(shortfall.detail.clone())),
        _ => false,
    };
    Ok(Named::One { anchor: link.anchor, look: there.then(|| Box::new(look)) })
}

/// Links that the name means: by what is known of them in the target, and those that were only met in the directory by
/// their DN or anchor.
fn linked<'k>(known: &'k Known, kind: Kind, name: &str) -> Vec<&'k Link> {
    let mut found = linked_by_name(known, kind, name);
    let id = TargetId::new(name);
    let more = known.links.values().filter(|l| l.kind == kind && l.target_id.as_ref() == Some(&id));
    let met = Anchor::parse(name);
    let more = more.chain(known.links.values().filter(|l| l.kind == kind && met == Some(l.anchor)));
    for link in more {
        if found.iter().all(|known| known.no != link.no) {
            found.push(link);
        }
    }
    found
}
