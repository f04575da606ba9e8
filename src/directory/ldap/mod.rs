//! Directories over LDAP: connect and bind (`connect`, `tls`, `discover`), what `check` tells beside (`reach`, `certificate`, `about`), what a server may send at all (`guard`,
//! `message`), what it says of itself (`facts`),
//! single requests with their result codes (`session`), whole searches (`search`), objects that were deleted
//! (`deleted`), and what the server says that it has deleted (`changes`). All goes through a `wire`.

mod about;
mod ber;
mod certificate;
mod changes;
mod connect;
mod deleted;
mod discover;
mod facts;
mod guard;
mod increment;
mod message;
mod reach;
mod search;
mod session;
mod tls;
mod wire;

use std::sync::{Arc, OnceLock};

use async_trait::async_trait;
use jiff::Timestamp;
use tracing::{debug, info, warn};

pub(super) use self::about::{About, SessionLog};
pub(super) use self::certificate::Chain;
pub use self::connect::Setback;
pub(super) use self::connect::{Opened, Opener};
pub(super) use self::deleted::Sight;
use self::increment::Glance;
pub(super) use self::reach::reach;
pub(super) use self::search::LdapReader;
pub use self::wire::{Ask, Broken, Network, Take, Wire};
use super::error::{Attempt, BindRefusal, ServerFailure};
use super::mirror::{self, Feed, Mirroring, News, Told};
use super::reader::{Reader as _, Selection};
use super::settings::{LdapSettings, Servers};
use super::{
    Directory, DirectoryError, Kept, PartRead, Plain, Quiet, ReadOn, Since, Watch, checked, entry, fates,
    walk,
};
use crate::model::{
    Above, AboveRequest, Entries, FateRequest, Fates, Mark, Mirror, MirrorChange, NameForm, Position,
    ReadRequest, ShortfallKind, Snapshot, Wanted,
};

pub struct LdapDirectory {
    settings: LdapSettings,
    /// Who connects in place of the network.
    network: Option<Arc<dyn Network>>,
    /// The server that has refused the account, and why: one wrong try in a run is enough, since each counts towards a
    /// lockout.
    refused: OnceLock<(String, BindRefusal)>,
}

impl LdapDirectory {
    pub fn new(settings: LdapSettings) -> Self {
        Self { settings, network: None, refused: OnceLock::new() }
    }

    /// Over servers that somebody has in hand: for rehearsals.
    pub fn over(settings: LdapSettings, network: Arc<dyn Network>) -> Self {
        Self { settings, network: Some(network), refused: OnceLock::new() }
    }

    fn opener(&self) -> Result<Opener<'_>, DirectoryError> {
        Opener::new(&self.settings, self.network.as_deref())
    }

    fn not_refused_before(&self) -> Result<(), DirectoryError> {
        let Some((server, why)) = self.refused.get() else { return Ok(()) };
        Err(DirectoryError::Credentials { server: server.clone(), why: why.clone() })
    }

    fn note(&self, error: DirectoryError) -> DirectoryError {
        if let DirectoryError::Credentials { server, why } = &error {
            let _ = self.refused.set((server.clone(), why.clone()));
        }
        error
    }
}

#[async_trait]
impl Directory for LdapDirectory {
    async fn read(&self, request: &ReadRequest) -> Result<Snapshot, DirectoryError> {
        Ok(self.read_whole(request, false).await?.snapshot)
    }

    async fn read_on(&self, request: &ReadRequest, mirror: Option<Mirror>) -> Result<ReadOn, DirectoryError> {
        if let Some(mirror) = mirror {
            match self.read_changes(request, mirror).await {
                Ok(read) => return Ok(read),
                Err(Setback::Final(error)) => return Err(self.note(error)),
                Err(Setback::Next(why)) => info!(%why, "the changes alone will not do: everything is read"),
            }
        }
        self.read_whole(request, true).await
    }

    fn fits(&self, request: &ReadRequest, mark: &Mark) -> bool {
        self.digest(request).is_some_and(|digest| digest == mark.digest)
    }

    async fn since(&self, wanted: &Wanted, mark: &Mark, kept: &dyn Kept) -> Since {
        // Whatever is wrong, the read that follows finds out and says.
        let Ok(reader) = self.reader_of(&mark.server).await else { return Since::Unclear };
        let since = since(&reader, wanted, mark, kept).await;
        reader.close().await;
        since.unwrap_or(Since::Unclear)
    }

    async fn read_part(
        &self,
        request: &ReadRequest,
        mark: &Mark,
        plain: &Plain,
        entries: Entries,
    ) -> Option<PartRead> {
        checked(request).ok()?;
        let reader = self.reader_of(&mark.server).await.ok()?;
        let read = read_part(&reader, request, mark, plain, entries).await;
        reader.close().await;
        read
    }

    async fn watch(&self, wanted: &Wanted, mark: &Mark) -> Result<Box<dyn Watch>, DirectoryError> {
        let reader = self.reader_of(&mark.server).await?;
        let attributes = mirror::to_judge(self.settings.kind, wanted);
        let (position, full) = (mark.position.clone(), mark.full);
        Ok(Box::new(Watcher { reader, position, news: None, full, wanted: wanted.clone(), attributes }))
    }

    async fn look(&self, request: &ReadRequest) -> Result<Snapshot, DirectoryError> {
        checked(request)?;
        let mut attempts = Vec::new();
        self.not_refused_before()?;
        let opener = self.opener()?;
        for url in servers(&self.settings).await? {
            match opener.open(&url, names_a_domain(request)).await {
                Ok(Opened { reader, .. }) => {
                    let found = Box::pin(walk::look(&reader, request)).await;
                    reader.close().await;
                    return Ok(found);
                }
                Err(Setback::Next(why)) => attempts.push(Attempt { server: url, why }),
                Err(Setback::Final(error)) => return Err(self.note(error)),
            }
        }
        Err(DirectoryError::NoServer(attempts))
    }

    async fn above(&self, request: &AboveRequest) -> Result<Above, DirectoryError> {
        self.not_refused_before()?;
        let opener = self.opener()?;
        let reader = only(&opener, &request.server).await.map_err(|e| self.note(e))?;
        let found = Box::pin(walk::above(&reader, request)).await;
        reader.close().await;
        Ok(found)
    }

    async fn fates(&self, request: &FateRequest) -> Result<Fates, DirectoryError> {
        self.not_refused_before()?;
        let opener = self.opener()?;
        let mut reader = only(&opener, &request.server).await.map_err(|e| self.note(e))?;
        // First the log, then the look: what is deleted in between is reported the next time, and not lost.
        let changes = reader.changes(request.cookie.as_ref()).await;
        let mut before = 0;
        if reader.is_lost() {
            info!(server = request.server, "the change log cost the connection; going on without it");
            before = reader.traffic().requests;
            reader = only(&opener, &request.server).await.map_err(|e| self.note(e))?;
        }
        let fates = Box::pin(fates::fates(&reader, request, changes.reported)).await;
        reader.close().await;
        Ok(Fates { cookie: changes.cookie, requests: fates.requests + before, ..fates })
    }
}

impl LdapDirectory {
    async fn reader_of(&self, server: &str) -> Result<LdapReader, DirectoryError> {
        self.not_refused_before()?;
        let opener = self.opener()?;
        only(&opener, server).await.map_err(|e| self.note(e))
    }

    fn digest(&self, request: &ReadRequest) -> Option<String> {
        mirror::digest(&self.settings, &request.wanted)
    }

    /// `keep`: so that the next read can start from it.
    async fn read_whole(&self, request: &ReadRequest, keep: bool) -> Result<ReadOn, DirectoryError> {
        checked(request)?;
        self.not_refused_before()?;
        let opener = self.opener()?;
        let mut attempts: Vec<Attempt> = Vec::new();
        let urls = match &request.server {
            Some(url) => vec![url.clone()],
            None => servers(&self.settings).await?,
        };
        for url in urls {
            let reader = match opener.open(&url, names_a_domain(request)).await {
                Ok(Opened { reader, .. }) => reader,
                Err(Setback::Next(why)) => {
                    info!(server = url, %why, "this server cannot be used");
                    attempts.push(Attempt { server: url, why });
                    continue;
                }
                Err(Setback::Final(error)) => return Err(self.note(error)),
            };
            let read = if keep {
                Box::pin(kept(&reader, request, self.digest(request))).await
            } else {
                let snapshot = Box::pin(walk::read(&reader, request)).await;
                ReadOn { snapshot, by_changes: None, mirror: MirrorChange::Drop }
            };
            // One snapshot comes from one server: once it has shown anything, another one would be a second opinion.
            if let Some(fault) = reader.lost_before_anything_came() {
                warn!(server = url, fault.detail, "the server was lost before it showed anything");
                attempts.push(Attempt { server: url, why: failure(&fault, &self.settings) });
                continue;
            }
            reader.close().await;
            return Ok(read);
        }
        Err(DirectoryError::NoServer(attempts))
    }

    /// [`Setback::Next`]: why everything has to be read instead.
    async fn read_changes(&self, request: &ReadRequest, mirror: Mirror) -> Result<ReadOn, Setback> {
        checked(request).map_err(Setback::Final)?;
        self.not_refused_before().map_err(Setback::Final)?;
        let opener = self.opener().map_err(Setback::Final)?;
        let url = mirror.mark.server.clone();
        let Opened { reader, .. } = opener.open(&url, names_a_domain(request)).await?;
        let doubt = |detail| Setback::Next(ServerFailure::Lost { stage: "asking for changes", detail });
        let attributes = walk::of_all(self.settings.kind, &request.wanted);
        let mark = mirror.mark.clone();
        let asked = mirror::telling(&attributes);
        let most = mirror::most_changes(&mirror);
        let (feed, position) = reader.feed(&mark.position, &asked, most).await.map_err(doubt)?;
        let (mirroring, changed) =
            Mirroring::after(&reader, mirror, feed, &attributes).await.map_err(doubt)?;
        let snapshot = Box::pin(walk::read(&mirroring, request)).await;
        if let Some(fault) = reader.lost_before_anything_came() {
            return Err(doubt(fault.detail));
        }
        let mark = Mark { position, reads: mark.reads.saturating_add(1), ..mark };
        let mirror = mirroring.finish_part(mark, &snapshot).unwrap_or(MirrorChange::Drop);
        reader.close().await;
        debug!(server = url, changed, "read by changes");
        Ok(ReadOn { snapshot, by_changes: Some(changed), mirror })
    }
}

const MADE_UP: &str = "an attribute that servers make up is used in the mapping or the user filter";
const NO_LOG: &str = "the server shows no log of changes that tells deletions too";

/// Why a read of changes is impossible with this server and these settings.
pub(super) async fn no_changes(
    reader: &LdapReader,
    settings: &LdapSettings,
    wanted: &Wanted,
) -> Option<&'static str> {
    if mirror::digest(settings, wanted).is_none() {
        return Some(MADE_UP);
    }
    reader.position().await.is_none().then_some(NO_LOG)
}

const CUT_SHORT: &str = "the read did not bring everything";

/// Everything from this server, kept under the digest.
async fn kept(reader: &LdapReader, request: &ReadRequest, digest: Option<String>) -> ReadOn {
    let (snapshot, mirror) = try_keep(reader, request, digest).await;
    let mirror = mirror.unwrap_or_else(|why| {
        info!(why, "nothing is kept of this read, so the next one is of everything too");
        MirrorChange::Drop
    });
    ReadOn { snapshot, by_changes: None, mirror }
}

/// With the reason where nothing can be kept of it.
async fn try_keep(
    reader: &LdapReader,
    request: &ReadRequest,
    digest: Option<String>,
) -> (Snapshot, Result<MirrorChange, &'static str>) {
    let Some(digest) = digest else { return (walk::read(reader, request).await, Err(MADE_UP)) };
    // Before anything is read: what changes meanwhile is asked for again.
    let Some(position) = reader.position().await else {
        return (walk::read(reader, request).await, Err(NO_LOG));
    };
    let mirroring = Mirroring::anew(reader);
    let snapshot = walk::read(&mirroring, request).await;
    let kept = mirroring.finish(digest, position, &snapshot, request.now).ok_or(CUT_SHORT);
    (snapshot, kept)
}

/// `None`: only a read can tell.
async fn since(reader: &LdapReader, wanted: &Wanted, mark: &Mark, kept: &dyn Kept) -> Option<Since> {
    let facts = reader.facts();
    let attributes = mirror::to_judge(facts.kind, wanted);
    let (feed, position) = reader.feed(&mark.position, &attributes, facts.page).await.ok()?;
    let changed = feed.changed.len() + feed.deleted.len();
    let quiet = || Quiet {
        binding: facts.binding.clone(),
        position: position.clone(),
        changed,
        requests: reader.traffic().requests,
        clock_ahead: facts.clock_ahead,
    };
    if changed == 0 && feed.present.is_none() {
        return Some(Since::Nothing(quiet()));
    }
    Some(match judge(reader, &feed, kept, wanted).await? {
        Judged::Plain(told) if told.is_nothing() => Since::Nothing(quiet()),
        Judged::Plain(told) => Since::Plain(Box::new(Plain::of(quiet(), told))),
        Judged::In => return None,
        Judged::Open => {
            let mirror = kept.mirror().await?;
            if News::of(facts, &mirror, wanted).are_in(facts, &feed) {
                return None;
            }
            Since::Nothing(quiet())
        }
    })
}

/// What can be said of changes by the entries concerned alone.
enum Judged {
    /// It counts, and what it is is plain; or there was nothing that might count.
    Plain(Told),
    /// It counts.
    In,
    /// All that is held has to say.
    Open,
}

/// `None`: what is held is another one by now.
async fn judge(reader: &LdapReader, feed: &Feed, kept: &dyn Kept, wanted: &Wanted) -> Option<Judged> {
    let facts = reader.facts();
    let named = feed.changed.iter().filter_map(|raw| entry::anchor(facts, raw));
    let named = named.chain(feed.deleted.iter().copied()).collect();
    let Some(held) = kept.entries(&named).await else { return Some(Judged::Open) };
    let told = Told::of(reader, feed, &held, kept.answers().await?, wanted).await;
    Some(match told.filter(|told| told.is_of_held() || told.is_nothing()) {
        Some(told) => Judged::Plain(told),
        None if mirror::plainly_in(facts, feed, &held, wanted) => Judged::In,
        None => Judged::Open,
    })
}

async fn read_part(
    reader: &LdapReader,
    request: &ReadRequest,
    mark: &Mark,
    plain: &Plain,
    entries: Entries,
) -> Option<PartRead> {
    let told = plain.told();
    let part = Mirroring::of_part(reader, entries.clone(), told.answers.clone())?;
    let before = Box::pin(walk::read(&part, request)).await;
    part.finish_part(mark.clone(), &before)?;
    let part = Mirroring::of_part_after(reader, entries, told, &request.wanted)?;
    let now = Box::pin(walk::read(&part.reader, request)).await;
    let position = plain.quiet.position.clone();
    let mirror = part.finish(Mark { position, reads: mark.reads.saturating_add(1), ..mark.clone() }, &now)?;
    Some(PartRead { before, now, mirror })
}

/// Looks out for changes over a connection of its own.
struct Watcher {
    reader: LdapReader,
    position: Position,
    /// Of all that is held, where something had to be held against it.
    news: Option<News>,
    /// When everything was read last.
    full: Timestamp,
    wanted: Wanted,
    attributes: Selection,
}

#[async_trait]
impl Watch for Watcher {
    async fn look(&mut self, kept: &dyn Kept) -> Result<bool, String> {
        let (counts, to) = match self.reader.glance(&self.position, &self.attributes).await? {
            Glance::Nothing => return Ok(false),
            Glance::Much(to) => {
                self.news = None;
                (true, to)
            }
            Glance::Some(feed, to) => (self.counts(&feed, kept).await, to),
        };
        self.position = to;
        Ok(counts)
    }

    fn hold(&mut self, mark: &Mark) {
        // What is held against all that is held goes on with the log from where it was.
        if self.news.is_none() || self.full != mark.full {
            self.news = None;
            self.position = mark.position.clone();
            self.full = mark.full;
        }
    }
}

impl Watcher {
    async fn counts(&mut self, feed: &Feed, kept: &dyn Kept) -> bool {
        let facts = self.reader.facts();
        let counts = match judge(&self.reader, feed, kept, &self.wanted).await {
            Some(Judged::Plain(told)) => {
                let news = self.news.take();
                self.news = news.and_then(|mut news| news.take(facts, &told.changed).then_some(news));
                return !told.is_nothing();
            }
            // It cannot be told: a run finds out.
            Some(Judged::In) | None => true,
            Some(Judged::Open) => {
                if self.news.is_none() {
                    self.news = kept.mirror().await.map(|mirror| News::of(facts, &mirror, &self.wanted));
                }
                self.news.as_mut().is_none_or(|news| news.are_in(facts, feed))
            }
        };
        if counts {
            self.news = None;
        }
        counts
    }
}

/// The reader of this server, and of no other one.
async fn only(opener: &Opener<'_>, url: &str) -> Result<LdapReader, DirectoryError> {
    match opener.open(url, false).await {
        Ok(Opened { reader, .. }) => Ok(reader),
        Err(Setback::Next(why)) => {
            Err(DirectoryError::NoServer(vec![Attempt { server: url.to_owned(), why }]))
        }
        Err(Setback::Final(error)) => Err(error),
    }
}

fn failure(fault: &super::reader::Fault, settings: &LdapSettings) -> ServerFailure {
    let stage = "searching";
    match fault.kind {
        ShortfallKind::Timeout => ServerFailure::Timeout { stage, limit: settings.timeout },
        _ => ServerFailure::Lost { stage, detail: fault.detail.clone() },
    }
}

/// The urls to try, in turn.
pub(super) async fn servers(settings: &LdapSettings) -> Result<Vec<String>, DirectoryError> {
    match &settings.servers {
        Servers::Urls(urls) => Ok(urls.clone()),
        Servers::Discover(domain) => discover::discover(domain, settings).await,
    }
}

/// Whether the NetBIOS name of the domain is needed.
pub(super) fn names_a_domain(request: &ReadRequest) -> bool {
    request.wanted.entries.iter().any(|e| matches!(e.form(), NameForm::Domain { .. }))
}
