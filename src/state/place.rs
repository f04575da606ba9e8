//! The file of a SQLite database: whether it may stand where the url says, and making it.

use std::fs::OpenOptions;
use std::io::ErrorKind;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use super::{Result, StateError, mounts};
use crate::private_file;

/// Checks directory and file system; whether the file exists.
pub(super) fn check(path: &Path) -> Result<bool> {
    let dir = directory(path);
    match std::fs::metadata(dir) {
        Ok(meta) if meta.is_dir() => {}
        Ok(_) => return Err(StateError::NoDirectory { path: dir.to_owned() }),
        Err(e) if e.kind() == ErrorKind::NotFound => {
            return Err(StateError::NoDirectory { path: dir.to_owned() });
        }
        Err(source) => return Err(file_error("look at the directory", dir, source)),
    }
    refuse_network(path, dir)?;
    // The file itself is not opened: closing it again would take away the locks that SQLite holds on it in
    // this process ("How To Corrupt An SQLite Database File", section 2.2).
    match std::fs::metadata(path) {
        Ok(meta) if meta.is_file() => Ok(true),
        Ok(_) => Err(StateError::NotAFile { path: path.to_owned() }),
        Err(e) if e.kind() == ErrorKind::NotFound => Ok(false),
        Err(source) => Err(file_error("look at", path, source)),
    }
}

/// It holds who is who, and decides what is taken away from whom.
pub(super) fn warn_of_others(path: &Path) {
    if let Some(why) = std::fs::metadata(path).ok().as_ref().and_then(private_file::exposed) {
        tracing::warn!(path = %path.display(), "the state database is not idcsync's alone: {why}");
    }
    // A journal that is put beside the file is taken for its own.
    let dir = directory(path);
    if std::fs::metadata(dir).is_ok_and(|meta| meta.permissions().mode() & 0o002 != 0) {
        tracing::warn!(
            path = %dir.display(),
            "every user of this machine can put files beside the state database: keep it in a directory of its own"
        );
    }
}

/// Makes the file for its owner alone; SQLite gives its side files the same mode.
pub(super) fn create(path: &Path) -> Result<()> {
    match OpenOptions::new().write(true).create_new(true).mode(0o600).open(path) {
        Ok(_) => Ok(()),
        // Another process was faster.
        Err(e) if e.kind() == ErrorKind::AlreadyExists => Ok(()),
        Err(source) => Err(file_error("create", path, source)),
    }
}

pub(super) fn file_error(what: &'static str, path: &Path, source: std::io::Error) -> StateError {
    StateError::File { what, path: path.to_owned(), source }
}

/// The file's name with something after it: `state.db-wal`.
pub(super) fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

pub(super) fn directory(path: &Path) -> &Path {
    match path.parent() {
        Some(dir) if !dir.as_os_str().is_empty() => dir,
        _ => Path::new("."),
    }
}

fn refuse_network(path: &Path, dir: &Path) -> Result<()> {
    // The file itself may be a link to elsewhere.
    let real = std::fs::canonicalize(path).or_else(|_| std::fs::canonicalize(dir));
    let (Ok(real), Ok(mounts)) = (real, std::fs::read("/proc/self/mountinfo")) else {
        return Ok(());
    };
    match mounts::network_kind(&String::from_utf8_lossy(&mounts), &real) {
        Some(kind) => Err(StateError::NetworkFileSystem { path: path.to_owned(), kind }),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_file_is_its_owners_alone() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("state.db");
        assert!(!check(&path).unwrap());
        create(&path).unwrap();
        create(&path).unwrap();
        assert!(check(&path).unwrap());
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    }

    #[test]
    fn a_place_that_cannot_be_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("notes.txt");
        std::fs::write(&path, "dear diary").unwrap();
        assert!(matches!(check(&path.join("state.db")), Err(StateError::NoDirectory { .. })));
        assert!(matches!(check(&dir.path().join("a/state.db")), Err(StateError::NoDirectory { .. })));
        assert!(matches!(check(dir.path()), Err(StateError::NotAFile { .. })));
    }
}
