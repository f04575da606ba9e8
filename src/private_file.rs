//! Files that hold who is who: made for their owner alone, and never through a link that somebody else put there.

use std::fs::{self, File, Metadata, OpenOptions};
use std::io;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::Path;

use rustix::fs::OFlags;
use rustix::io::Errno;

/// Opens it for appending, and makes it where it is missing. A link is followed if it is our own or the system's
/// (`/dev/stderr`, a log on another volume).
pub fn append(path: &Path) -> io::Result<File> {
    open(path, OpenOptions::new().create(true).append(true))
}

/// Opens it for writing, what it holds as it is, and makes it where it is missing; links as above.
pub fn keep(path: &Path) -> io::Result<File> {
    open(path, OpenOptions::new().create(true).truncate(false).write(true))
}

/// An empty file in the place of whatever had this name: nobody who had that open, and no link, is written to.
pub fn anew(path: &Path) -> io::Result<File> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)
}

fn open(path: &Path, options: &mut OpenOptions) -> io::Result<File> {
    let mut direct = options.mode(0o600).clone();
    match direct.custom_flags(OFlags::NOFOLLOW.bits().cast_signed()).open(path) {
        Err(error) if error.raw_os_error() == Some(Errno::LOOP.raw_os_error()) => {
            refuse_foreign_link(path)?;
            options.open(path)
        }
        opened => opened,
    }
}

/// An error where `path` is a link that neither root nor the user of this process made: in a directory that many may
/// write to, it was put there to have something else overwritten.
pub fn refuse_foreign_link(path: &Path) -> io::Result<()> {
    match fs::symlink_metadata(path) {
        Ok(found) if found.is_symlink() && !is_ours(&found) => Err(io::Error::new(
            io::ErrorKind::PermissionDenied,
            "it is a link that belongs to another user, which is not followed: remove it, or name another place",
        )),
        Ok(_) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
    }
}

/// Who beside the owner has a file, as a warning; `None` where nobody has. The group is the operator's choice.
pub fn exposed(meta: &Metadata) -> Option<&'static str> {
    if !meta.is_file() {
        None
    } else if meta.permissions().mode() & 0o007 != 0 {
        Some("every user of this machine has access to it: chmod o= it")
    } else if !is_ours(meta) && !rustix::process::geteuid().is_root() {
        Some("it belongs to another user: chown it")
    } else {
        None
    }
}

fn is_ours(meta: &Metadata) -> bool {
    meta.uid() == 0 || meta.uid() == rustix::process::geteuid().as_raw()
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;
    use std::os::unix::fs::symlink;

    use super::*;

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    #[test]
    fn what_is_made_is_the_owners_alone() {
        let dir = tempfile::tempdir().unwrap();
        for (name, make) in [("a", append as fn(&Path) -> _), ("k", keep), ("n", anew)] {
            let path = dir.path().join(name);
            let file = make(&path).unwrap();
            assert_eq!(mode(&path), 0o600);
            assert_eq!(exposed(&file.metadata().unwrap()), None);
        }
    }

    #[test]
    fn what_was_laxer_is_told_and_never_loosened() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        fs::write(&path, "one\n").unwrap();
        for (had, warned) in [(0o644, true), (0o602, true), (0o640, false), (0o400, false)] {
            fs::set_permissions(&path, fs::Permissions::from_mode(had)).unwrap();
            assert_eq!(exposed(&fs::metadata(&path).unwrap()).is_some(), warned, "{had:o}");
        }
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        append(&path).unwrap().write_all(b"two\n").unwrap();
        keep(&path).unwrap();
        assert_eq!((mode(&path), fs::read_to_string(&path).unwrap()), (0o640, "one\ntwo\n".to_owned()));
        anew(&path).unwrap();
        assert_eq!((mode(&path), fs::read_to_string(&path).unwrap()), (0o600, String::new()));
    }

    #[test]
    fn links_of_our_own_are_followed_and_replaced_where_the_file_is_to_be_new() {
        let dir = tempfile::tempdir().unwrap();
        let (link, there) = (dir.path().join("link"), dir.path().join("there"));
        symlink(&there, &link).unwrap();
        append(&link).unwrap().write_all(b"x").unwrap();
        assert_eq!(fs::read_to_string(&there).unwrap(), "x");
        refuse_foreign_link(&link).unwrap();
        anew(&link).unwrap();
        assert_eq!(fs::read_to_string(&there).unwrap(), "x");
        assert!(!fs::symlink_metadata(&link).unwrap().is_symlink());
    }
}
