//! The source: Active Directory or another LDAP server, or an LDIF export of one. Yields a [`Snapshot`] in
//! which each part says whether it was read to its end.
//!
//! `walk` decides what to ask and what the answers mean, `fates` does so for single objects that a read did not bring;
//! `reader` is what they ask through; `ldap` and `ldif` answer.

mod check;
mod entry;
mod error;
mod fates;
mod filter;
mod ldap;
mod ldif;
mod mirror;
mod names;
mod range;
mod raw;
mod reader;
mod settings;
mod survey;
mod walk;

use std::collections::{BTreeMap, BTreeSet};

use async_trait::async_trait;

use crate::ids::{Anchor, Dn};
use crate::model::{
    Above, AboveRequest, Entries, FateRequest, Fates, Mark, Mirror, MirrorChange, Position, ReadRequest,
    Snapshot, Wanted,
};

pub use check::check;
pub use error::{Attempt, BindRefusal, DirectoryError, ServerFailure};
pub use filter::check_filter;
pub use ldap::{Ask, Broken, LdapDirectory, Network, Setback, Take, Wire};
pub use ldif::{LdifDirectory, LdifError};
pub use settings::{Bind, DirectorySettings, LdapSettings, LdifSettings, Servers};
pub use survey::{Greeting, Survey, SurveyedGroup, greet, survey};

/// A directory that one cycle reads once.
#[async_trait]
pub trait Directory: Send + Sync {
    /// Reads all that the request's entries reach, from one server. Short reads are not errors: they are marked
    /// in the snapshot. An error means that nothing could be read at all (no server reached, bind refused).
    async fn read(&self, request: &ReadRequest) -> Result<Snapshot, DirectoryError>;

    /// Looks objects up by their anchors, deleted ones included, on the server that the request names. What could
    /// not be asked is marked; an error means that this server could not be asked at all.
    async fn fates(&self, request: &FateRequest) -> Result<Fates, DirectoryError>;

    /// The objects that the request's entries name, without the members of groups, for whoever asks about one of them:
    /// also where a read of the scope would not bring it.
    async fn look(&self, request: &ReadRequest) -> Result<Snapshot, DirectoryError> {
        self.read(request).await
    }

    /// The groups above objects, as far as they can be found in reasonable time; that there may be more is marked.
    async fn above(&self, request: &AboveRequest) -> Result<Above, DirectoryError> {
        let cut_short = Some("this directory cannot be asked for the groups above an object".to_owned());
        Ok(Above { of: vec![Vec::new(); request.objects.len()], cut_short })
    }

    /// The same as [`Directory::read`], by way of what an earlier read has left behind: the server is asked for what has
    /// changed since then. Without a mirror, or where there is any doubt about it, everything is read. Leaves behind what
    /// the next one can start from.
    async fn read_on(&self, request: &ReadRequest, _: Option<Mirror>) -> Result<ReadOn, DirectoryError> {
        Ok(ReadOn { snapshot: self.read(request).await?, by_changes: None, mirror: MirrorChange::Drop })
    }

    /// Whether a mirror that was left with this mark would do for this request.
    fn fits(&self, _: &ReadRequest, _: &Mark) -> bool {
        false
    }

    /// What has changed since the mark, by the server's log: whether a read would find what the last one has found, or
    /// something else with few of those that are held.
    async fn since(&self, _: &Wanted, _: &Mark, _: &dyn Kept) -> Since {
        Since::Unclear
    }

    /// Reads a part of the scope as though nothing else existed, before and after what `plain` has told: `entries` are
    /// those of the mirror with this mark, as it holds them. `None`: more would be needed for that.
    async fn read_part(&self, _: &ReadRequest, _: &Mark, _: &Plain, _: Entries) -> Option<PartRead> {
        None
    }

    /// Looks out for changes of what the mirror with this mark holds, on the server that it is of.
    async fn watch(&self, _: &Wanted, _: &Mark) -> Result<Box<dyn Watch>, DirectoryError> {
        Err(DirectoryError::NoChangeLog)
    }
}

/// What [`Directory::read_on`] gives.
pub struct ReadOn {
    pub snapshot: Snapshot,
    /// How many objects had changed, where the server was asked for changes alone.
    pub by_changes: Option<usize>,
    pub mirror: MirrorChange,
}

/// Who can bring the mirror, if it is needed.
#[async_trait]
pub trait Kept: Sync {
    /// `None`: it is not there any more.
    async fn mirror(&self) -> Option<Mirror>;

    /// Those of these that it holds. `None`: as with the mirror, or too many to ask for one by one.
    async fn entries(&self, anchors: &BTreeSet<Anchor>) -> Option<Entries>;

    /// The mirror without its entries. `None`: as with the mirror.
    async fn answers(&self) -> Option<BTreeMap<String, BTreeSet<Anchor>>>;
}

/// What a server's log tells of the time since a mirror was made.
pub enum Since {
    /// Nothing has changed that counts.
    Nothing(Quiet),
    /// Only what has kept its name and its kind.
    Plain(Box<Plain>),
    /// Only a read can tell.
    Unclear,
}

/// How far a server's log has been looked at.
pub struct Quiet {
    /// As in `SourceInfo`.
    pub binding: String,
    /// Until where that is known.
    pub position: Position,
    /// Objects that have changed, and do not count.
    pub changed: usize,
    pub requests: u64,
    /// By how many seconds the server's clock is ahead of this machine's.
    pub clock_ahead: Option<i64>,
}

/// Changes of objects that are held, and that have the names by which they are held. Whether that is all that follows from
/// them is for whoever knows what is recorded of the groups to say.
pub struct Plain {
    pub quiet: Quiet,
    /// People of whom something is other than before.
    pub people: BTreeSet<Anchor>,
    /// Groups that were reported, and what of their members is other than before.
    pub groups: BTreeMap<Anchor, Membership>,
    /// Names of objects that are not held and were reported: it counts if one of them is a member of anything.
    pub strangers: Vec<Dn>,
    /// Active Directory: which groups somebody says to be in, who is not held (`None`) or is.
    pub within: Vec<(Option<Anchor>, Vec<Dn>)>,
    told: mirror::Told,
}

impl Plain {
    fn of(quiet: Quiet, mut told: mirror::Told) -> Self {
        Self {
            quiet,
            people: std::mem::take(&mut told.people),
            groups: std::mem::take(&mut told.groups),
            strangers: std::mem::take(&mut told.strangers),
            within: std::mem::take(&mut told.within),
            told,
        }
    }

    fn told(&self) -> &mirror::Told {
        &self.told
    }
}

/// Members by their names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Membership {
    pub joined: BTreeSet<Dn>,
    pub left: BTreeSet<Dn>,
    /// Some of those who were and are members.
    pub staying: BTreeSet<Dn>,
}

/// What [`Directory::read_part`] gives.
pub struct PartRead {
    /// As though the changes had not been there yet.
    pub before: Snapshot,
    pub now: Snapshot,
    pub mirror: MirrorChange,
}

/// Somebody who looks out for changes.
#[async_trait]
pub trait Watch: Send {
    /// Whether anything that counts may have changed since the last time; `kept` is what is held now. An error means that a
    /// new watch is needed.
    async fn look(&mut self, kept: &dyn Kept) -> Result<bool, String>;

    /// A read has been there: where it has read the log to.
    fn hold(&mut self, mark: &Mark);
}

/// The directory that the settings describe. Nothing is connected or opened yet.
pub fn open(settings: DirectorySettings) -> Box<dyn Directory> {
    match settings {
        DirectorySettings::Ldap(settings) => Box::new(LdapDirectory::new(settings)),
        DirectorySettings::Ldif(settings) => Box::new(LdifDirectory::new(settings)),
    }
}

/// A user filter that the config let through unread is refused here.
fn checked(request: &ReadRequest) -> Result<(), DirectoryError> {
    match &request.wanted.user_filter {
        Some(filter) => {
            check_filter(filter).map_err(|why| DirectoryError::UserFilter { filter: filter.clone(), why })
        }
        None => Ok(()),
    }
}
