//! Whether an object is in scope, by which paths, and what it lacks where it is not.

use serde::Serialize;

use super::Sight;
use super::compose::Asked;
use super::near::Near;
use crate::ids::LinkNo;
use crate::model::{AccountState, DirectoryUser, EntryOutcome, EntryRead, Kind, ObjectRef};
use crate::plan::OnDisable;
use crate::scope::Path;

/// So many paths are looked for: their number can be exponential.
const MOST_PATHS: usize = 500;

/// So many are told.
const NAMED: usize = 5;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    InScope,
    /// An entry leads to it, and it is not synced all the same.
    NotSynced,
    OutOfScope,
    /// The read was not enough to say.
    Unsure,
}

/// One thing that keeps it out, or from being synced.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Lack {
    pub code: &'static str,
    pub text: String,
}

impl Lack {
    fn new(code: &'static str, text: impl Into<String>) -> Self {
        Self { code, text: text.into() }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Standing {
    pub verdict: Verdict,
    /// From a scope entry, the shortest first: the first few.
    pub paths: Vec<Path>,
    pub path_count: usize,
    /// There are more than were counted.
    pub path_count_cut_short: bool,
    pub lacks: Vec<Lack>,
    /// Why it cannot be said.
    pub doubts: Vec<String>,
    /// Scope groups that it is nearest to, where it is out of scope.
    pub nearest: Vec<Near>,
    /// Why there may be nearer ones, or why nobody looked.
    pub nearest_unsure: Option<String>,
}

pub fn standing(sight: &Sight<'_>, asked: &Asked<'_>, no: Option<LinkNo>) -> Standing {
    let paths = no.map(|no| sight.scope.paths_to(no, MOST_PATHS)).unwrap_or_default();
    let count = paths.len();
    let (verdict, lacks, doubts) = match asked.kind {
        Kind::User => of_user(sight, asked, no),
        Kind::Group => of_group(sight, asked, no),
    };
    Standing {
        verdict,
        paths: paths.into_iter().take(NAMED).collect(),
        path_count: count,
        path_count_cut_short: count >= MOST_PATHS,
        lacks,
        doubts,
        nearest: Vec::new(),
        nearest_unsure: None,
    }
}

type Judged = (Verdict, Vec<Lack>, Vec<String>);

fn of_user(sight: &Sight<'_>, asked: &Asked<'_>, no: Option<LinkNo>) -> Judged {
    let scope = sight.scope;
    let read = no.and_then(|no| scope.users().get(&no).copied());
    let user = read.or(asked.user);
    let reached = no.is_some_and(|no| scope.whole().certain().contains(no.0));
    let mut lacks: Vec<Lack> = user.map(|user| about_person(sight, user)).unwrap_or_default();
    if reached {
        let no = no.unwrap_or(LinkNo(0));
        let desired = sight.desire.desired.users.contains_key(&no);
        if user.is_some_and(|u| !u.matches_filter) {
            return (Verdict::OutOfScope, lacks, Vec::new());
        }
        if lacks.is_empty() && !desired {
            lacks.push(if scope.only_frozen().contains(no.0) {
                Lack::new(
                    "entry-rebound",
                    "it is reached only by a scope entry whose name is on another object now: nobody is added by it \
                     until that is approved",
                )
            } else {
                Lack::new("not-writable", "its values cannot be written as they are: see the findings")
            });
        }
        let verdict = if lacks.is_empty() { Verdict::InScope } else { Verdict::NotSynced };
        return (verdict, lacks, Vec::new());
    }
    let Some(user) = user else {
        lacks.insert(0, gone(sight, asked, no));
        return (Verdict::OutOfScope, lacks, Vec::new());
    };
    // Only a read that was enough says that somebody is not in.
    let whole = scope.whole();
    let sure = no.map_or_else(|| whole.is_complete(), |no| whole.out_of_scope(no).is_some());
    let mut doubts: Vec<String> = Vec::new();
    if !sure {
        doubts.extend(whole.shortfalls().iter().take(3).map(ToString::to_string));
        doubts.extend(whole.doubts().iter().cloned());
        if doubts.is_empty() {
            doubts.push("a member that the server cannot show may be this one".to_owned());
        }
    }
    let what = format!("{} is a member of no group of the scope, and no entry names it", user.dn.leaf());
    lacks.insert(0, Lack::new("not-a-member", what));
    (if sure { Verdict::OutOfScope } else { Verdict::Unsure }, lacks, doubts)
}

/// What keeps a person from being synced, wherever it is.
fn about_person(sight: &Sight<'_>, user: &DirectoryUser) -> Vec<Lack> {
    let mut lacks = Vec::new();
    let ignored = sight.lifecycle.on_directory_disable == OnDisable::Ignore;
    match user.account {
        AccountState::Enabled => {}
        AccountState::Disabled | AccountState::Expired if ignored => {}
        AccountState::Disabled => {
            lacks.push(Lack::new("disabled", "the account is disabled in the directory"));
        }
        AccountState::Expired => lacks.push(Lack::new("expired", "the account has expired in the directory")),
        AccountState::Unknown => lacks.push(Lack::new(
            "account-unreadable",
            "whether the account may sign in cannot be read: let the bind account read userAccountControl and \
             accountExpires",
        )),
    }
    if !user.matches_filter {
        let filter = sight.filter.unwrap_or_default();
        lacks.push(Lack::new("filtered", format!("it does not match scope.user-filter {filter}")));
    }
    lacks
}

fn of_group(sight: &Sight<'_>, asked: &Asked<'_>, no: Option<LinkNo>) -> Judged {
    let scope = sight.scope;
    if let Some(written) = no.and_then(|no| scope.written().get(&no)) {
        let no = no.unwrap_or(LinkNo(0));
        let mut lacks = Vec::new();
        if written.frozen {
            lacks.push(Lack::new(
                "entry-rebound",
                "it is reached only by a scope entry whose name is on another object now: nobody is added or removed \
                 until that is approved",
            ));
        } else if !sight.desire.desired.groups.contains_key(&no) {
            let text = "its values cannot be written as they are: see the findings";
            lacks.push(Lack::new("not-writable", text));
        }
        let verdict = if lacks.is_empty() { Verdict::InScope } else { Verdict::NotSynced };
        return (verdict, lacks, Vec::new());
    }
    if no.is_some_and(|no| scope.groups().contains_key(&no)) {
        let entry = no.and_then(|no| entry_of(sight, no));
        let lack = match entry {
            Some(read) if !read.entry.write => Lack::new(
                "container",
                format!(
                    "the scope entry {} has `write = false`: its members are in scope, the group itself is not written",
                    read.entry.name
                ),
            ),
            _ if !sight.nested => Lack::new(
                "nested",
                "it is in a scope group, and scope.nested-groups is \"direct\": groups in groups are not followed",
            ),
            _ => Lack::new("not-written", "it was read, and nothing says that it is to be written"),
        };
        let reached = !scope.paths_to(no.unwrap_or(LinkNo(0)), 1).is_empty();
        return (if reached { Verdict::NotSynced } else { Verdict::OutOfScope }, vec![lack], Vec::new());
    }
    if asked.group.is_none() {
        return (Verdict::OutOfScope, vec![gone(sight, asked, no)], Vec::new());
    }
    let text = "no scope entry names it or leads to it";
    let lacks = vec![Lack::new("not-reached", text)];
    let whole = scope.whole();
    if whole.is_complete() {
        return (Verdict::OutOfScope, lacks, Vec::new());
    }
    let doubts =
        whole.shortfalls().iter().take(3).map(ToString::to_string).chain(whole.doubts().iter().cloned());
    (Verdict::Unsure, lacks, doubts.collect())
}

/// The directory does not show it.
fn gone(sight: &Sight<'_>, asked: &Asked<'_>, no: Option<LinkNo>) -> Lack {
    let link = no.and_then(|no| sight.known.links.get(&no));
    match link.and_then(|l| l.deleted) {
        Some(deleted) => Lack::new(
            "deleted",
            format!("it was deleted in the directory, as is known since {}", deleted.since),
        ),
        None => Lack::new(
            "not-in-directory",
            format!(
                "the directory does not show the {} any more: deleted, outside the base DN, or hidden from the bind \
                 account. That is no proof of a deletion",
                asked.kind
            ),
        ),
    }
}

/// The scope entry that names the object itself.
fn entry_of<'a>(sight: &Sight<'a>, no: LinkNo) -> Option<&'a EntryRead> {
    sight.snapshot.entries.iter().find(|read| {
        let object = match &read.outcome {
            EntryOutcome::Resolved { object, .. } => Some(*object),
            EntryOutcome::Rebound { pinned, .. } => *pinned,
            _ => None,
        };
        let anchor = object.map(|object| match object {
            ObjectRef::User(ix) => sight.snapshot.user(ix).anchor,
            ObjectRef::Group(ix) => sight.snapshot.group(ix).anchor,
        });
        anchor.is_some_and(|anchor| sight.scope.number(anchor) == Some(no))
    })
}
