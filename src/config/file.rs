//! The config file on disk: read once, and replaced as a whole or not at all.

use std::fs::{self, File, Metadata, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _, fchown};
use std::path::{Path, PathBuf};

use super::{Config, ConfigError, LONGEST};

/// Why the file was not written.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    #[error("the config file {} has been changed meanwhile, so it was left alone: try again", .0.display())]
    Changed(PathBuf),
    #[error("the config file {} exists, and is left alone: name another one with --config", .0.display())]
    Exists(PathBuf),
    #[error(
        "the config file {} cannot be written; change it where it comes from (a ConfigMap, a repository)",
        path.display()
    )]
    Write { path: PathBuf, source: io::Error },
    #[error(transparent)]
    Config(#[from] ConfigError),
}

/// A config file as it was read.
pub struct OnDisk {
    /// As it was named: relative paths within start beside it.
    path: PathBuf,
    text: String,
}

impl OnDisk {
    /// Reads and checks it.
    pub fn load(path: &Path) -> Result<(Self, Config), ConfigError> {
        let bytes = read(path).map_err(|source| ConfigError::Read { path: path.to_owned(), source })?;
        let config = Config::from_bytes(&bytes, path)?;
        // It is UTF-8, or it would be no config.
        let text = String::from_utf8_lossy(&bytes).into_owned();
        Ok((Self { path: path.to_owned(), text }, config))
    }

    pub fn text(&self) -> &str {
        &self.text
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What it would be with another text.
    pub fn checked(&self, text: &str) -> Result<Config, ConfigError> {
        Config::from_bytes(text.as_bytes(), &self.path)
    }

    /// Puts another text in its place, at once and for everybody who reads it: the file that a link leads to, with its
    /// mode and owner. Refused where somebody else has changed it since it was read.
    pub fn replace(&self, text: &str) -> Result<(), FileError> {
        self.checked(text)?;
        let real = fs::canonicalize(&self.path).map_err(|source| self.failed(source))?;
        let meta = fs::metadata(&real).map_err(|source| self.failed(source))?;
        let beside = beside(&real);
        let written = write_beside(&beside, text, Some(&meta))
            .map_err(|source| self.failed(source))
            .and_then(|()| self.unchanged())
            .and_then(|()| fs::rename(&beside, &real).map_err(|source| self.failed(source)));
        if written.is_err() {
            // What is in the way of the next attempt; that it cannot be removed changes nothing.
            let _ = fs::remove_file(&beside);
        }
        written?;
        sync_dir(&real);
        Ok(())
    }

    /// A new file, which nobody else may read: it names servers and accounts. Never in place of another one.
    pub fn create(path: &Path, text: &str) -> Result<(), FileError> {
        let failed = |source| FileError::Write { path: path.to_owned(), source };
        Config::from_bytes(text.as_bytes(), path)?;
        let beside = beside(path);
        let made = write_beside(&beside, text, None).map_err(failed).and_then(|()| {
            fs::hard_link(&beside, path).map_err(|source| match source.kind() {
                io::ErrorKind::AlreadyExists => FileError::Exists(path.to_owned()),
                _ => failed(source),
            })
        });
        let _ = fs::remove_file(&beside);
        made?;
        sync_dir(path);
        Ok(())
    }

    fn unchanged(&self) -> Result<(), FileError> {
        let now = read(&self.path).map_err(|source| self.failed(source))?;
        if now == self.text.as_bytes() { Ok(()) } else { Err(FileError::Changed(self.path.clone())) }
    }

    fn failed(&self, source: io::Error) -> FileError {
        FileError::Write { path: self.path.clone(), source }
    }
}

pub(super) fn read(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(LONGEST + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > LONGEST {
        let what = format!("it has more than {LONGEST} bytes, so it is something else");
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, what));
    }
    Ok(bytes)
}

/// In the same directory, so that one can be put in the other's place.
fn beside(path: &Path) -> PathBuf {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    path.with_file_name(format!(".{name}.{}.new", std::process::id()))
}

fn write_beside(path: &Path, text: &str, like: Option<&Metadata>) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(text.as_bytes())?;
    if let Some(like) = like {
        let mine = file.metadata()?;
        if (mine.uid(), mine.gid()) != (like.uid(), like.gid()) {
            fchown(&file, Some(like.uid()), Some(like.gid()))?;
        }
        file.set_permissions(fs::Permissions::from_mode(like.mode() & 0o7777))?;
    }
    file.sync_all()
}

/// That a name now stands for another file is to outlast a power cut.
fn sync_dir(path: &Path) {
    let dir = path.parent().filter(|d| !d.as_os_str().is_empty()).unwrap_or(Path::new("."));
    // Not every file system can; the file itself is safe by now.
    let _ = File::open(dir).and_then(|dir| dir.sync_all());
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "profile = \"p\"\n[directory]\nkind = \"ldif\"\nfile = \"d.ldif\"\nbase-dn = \"DC=x\"\n[scope]\n\
                        groups = [\"a\"]\n[target]\nkind = \"sandbox\"\nstore = \"s.json\"\n";

    fn other() -> String {
        TEXT.replace("[\"a\"]", "[\"a\", \"b\"]")
    }

    fn names(dir: &Path) -> Vec<String> {
        let list = fs::read_dir(dir).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap());
        let mut list: Vec<String> = list.collect();
        list.sort();
        list
    }

    #[test]
    fn what_a_link_leads_to_is_replaced_and_keeps_its_mode() {
        let dir = tempfile::tempdir().unwrap();
        let (real, link) = (dir.path().join("real.toml"), dir.path().join("idcsync.toml"));
        fs::write(&real, TEXT).unwrap();
        fs::set_permissions(&real, fs::Permissions::from_mode(0o640)).unwrap();
        std::os::unix::fs::symlink("real.toml", &link).unwrap();
        let (file, _) = OnDisk::load(&link).unwrap();
        file.replace(&other()).unwrap();
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
        assert_eq!(fs::read_to_string(&real).unwrap(), other());
        assert_eq!(fs::metadata(&real).unwrap().permissions().mode() & 0o777, 0o640);
        assert_eq!(names(dir.path()), ["idcsync.toml", "real.toml"]);
    }

    #[test]
    fn what_is_wrong_or_was_changed_is_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("c.toml");
        fs::write(&path, TEXT).unwrap();
        let (file, _) = OnDisk::load(&path).unwrap();
        assert!(matches!(file.replace("profile = 3"), Err(FileError::Config(_))));
        fs::write(&path, format!("{TEXT}# mine\n")).unwrap();
        assert!(matches!(file.replace(&other()), Err(FileError::Changed(_))));
        assert_eq!(fs::read_to_string(&path).unwrap(), format!("{TEXT}# mine\n"));
        assert!(matches!(OnDisk::create(&path, TEXT), Err(FileError::Exists(_))));
        assert_eq!(names(dir.path()), ["c.toml"]);
    }

    #[test]
    fn a_new_file_is_its_owners_alone() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("new.toml");
        OnDisk::create(&path, TEXT).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(names(dir.path()), ["new.toml"]);
    }
}
