//! The file of a SQLite database: whether it may stand where the url says, and making it.

use std::fs::OpenOptions;
use std::io::ErrorKind;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use super::{Result, StateError};

/// File systems whose locks another host does not see, or sees late.
const NETWORK: &[&str] =
    &["nfs", "nfs3", "nfs4", "cifs", "smb3", "smbfs", "afs", "fuse.sshfs", "fuse.glusterfs", "fuse.s3fs"];

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

/// It holds who is who, and what was done to whom.
pub(super) fn warn_if_everyone_may_read(path: &Path) {
    if std::fs::metadata(path).is_ok_and(|meta| meta.permissions().mode() & 0o007 != 0) {
        tracing::warn!(path = %path.display(), "every user of this machine has access to the state database: chmod o= it");
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

fn directory(path: &Path) -> &Path {
    match path.parent() {
        Some(dir) if !dir.as_os_str().is_empty() => dir,
        _ => Path::new("."),
    }
}

fn refuse_network(path: &Path, dir: &Path) -> Result<()> {
    // The file itself may be a link to elsewhere.
    let real = std::fs::canonicalize(path).or_else(|_| std::fs::canonicalize(dir));
    let (Ok(real), Ok(mounts)) = (real, std::fs::read_to_string("/proc/self/mounts")) else {
        return Ok(());
    };
    match file_system(&mounts, &real) {
        Some(kind) if NETWORK.contains(&kind) => {
            Err(StateError::NetworkFileSystem { path: path.to_owned(), kind: kind.to_owned() })
        }
        _ => Ok(()),
    }
}

/// The type of the file system that holds `path`, by the text of /proc/self/mounts (fstab(5)).
fn file_system<'a>(mounts: &'a str, path: &Path) -> Option<&'a str> {
    let mut best: Option<(usize, &str)> = None;
    for line in mounts.lines() {
        let mut fields = line.split(' ').skip(1);
        let (Some(point), Some(kind)) = (fields.next(), fields.next()) else { continue };
        let point = unescape(point);
        // A later mount on the same point covers the earlier one.
        if path.starts_with(&point) && best.is_none_or(|(length, _)| point.len() >= length) {
            best = Some((point.len(), kind));
        }
    }
    best.map(|(_, kind)| kind)
}

/// `\040` is a space; the same for tab, line end and backslash.
fn unescape(field: &str) -> String {
    field.replace("\\040", " ").replace("\\011", "\t").replace("\\012", "\n").replace("\\134", "\\")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_mount_point_counts_and_the_last_on_it() {
        let mounts = "/dev/vda / ext4 rw 0 0\n\
            fs:/x /var/lib/idcsync nfs4 rw 0 0\n\
            //s/y /mnt/my\\040share cifs rw 0 0\n\
            fs:/z /srv nfs4 rw 0 0\n\
            tmpfs /srv tmpfs rw 0 0\n";
        let kind = |path: &str| file_system(mounts, Path::new(path));
        assert_eq!(kind("/var/lib/idcsync/state.db"), Some("nfs4"));
        assert_eq!(kind("/var/lib/idcsync2/state.db"), Some("ext4"));
        assert_eq!(kind("/mnt/my share/state.db"), Some("cifs"));
        assert_eq!(kind("/srv/state.db"), Some("tmpfs"));
    }

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
