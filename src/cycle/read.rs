//! What a cycle reads of the directory: everything, or what has changed since the last read.

use jiff::Timestamp;
use tracing::{Instrument as _, info_span};

use super::{CycleError, Profile};
use crate::directory::{Directory, ReadOn};
use crate::model::{Mark, MirrorChange, ReadRequest, Snapshot};
use crate::state::{Reader, StateError};

pub struct DirectoryRead {
    pub snapshot: Snapshot,
    /// How many objects had changed, where changes alone were read.
    pub by_changes: Option<usize>,
    /// What is to be kept of it; `None` where nothing ever is.
    pub mirror: Option<MirrorChange>,
}

/// Reads by way of the mirror, where the config wants one and there is one that would do.
pub async fn read(
    profile: &Profile<'_>,
    directory: &dyn Directory,
    state: &Reader,
    request: &ReadRequest,
    now: Timestamp,
) -> Result<DirectoryRead, CycleError> {
    if profile.full_read_every.is_none() {
        return whole(directory, request).await;
    }
    let mirror = match usable(profile, directory, state, request, now).await? {
        Some(mark) => state.mirror(&mark).await?,
        None => None,
    };
    let ReadOn { snapshot, by_changes, mirror } =
        directory.read_on(request, mirror).instrument(info_span!("read")).await?;
    Ok(DirectoryRead { snapshot, by_changes, mirror: Some(mirror) })
}

/// Reads everything, and keeps nothing of it.
pub async fn whole(directory: &dyn Directory, request: &ReadRequest) -> Result<DirectoryRead, CycleError> {
    let snapshot = directory.read(request).instrument(info_span!("read")).await?;
    Ok(DirectoryRead { snapshot, by_changes: None, mirror: None })
}

/// The mark of a mirror that may be gone on from; `None` where everything is due.
async fn usable(
    profile: &Profile<'_>,
    directory: &dyn Directory,
    state: &Reader,
    request: &ReadRequest,
    now: Timestamp,
) -> Result<Option<Mark>, StateError> {
    let Some(every) = profile.full_read_every.filter(|_| !profile.full && !profile.rebind) else {
        return Ok(None);
    };
    let every = jiff::SignedDuration::try_from(every).unwrap_or(jiff::SignedDuration::ZERO);
    let mark = state.mirror_mark().await?;
    // A mark from the future was made by a clock that was wrong, or is now.
    let fresh = |mark: &Mark| mark.full <= now && now.duration_since(mark.full) < every;
    Ok(mark.filter(|mark| fresh(mark) && directory.fits(request, mark)))
}
