//! Metrics of a one-shot run, for node-exporter's textfile collector.
//!
//! Counters in it are those of one run, and begin at 0 with the next.

use std::fs::{self, OpenOptions, Permissions};
use std::io::{self, Write as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use super::{Metrics, MetricsError};

/// Nothing depends on the file: to be logged, no more.
#[derive(Debug, thiserror::Error)]
pub enum TextfileError {
    #[error(transparent)]
    Render(#[from] MetricsError),
    #[error("[metrics] textfile: {} names no file", .0.display())]
    NoFile(PathBuf),
    #[error(
        "the metrics cannot be written to {}: its directory must be there and writable to idcsync", path.display()
    )]
    Write { path: PathBuf, source: io::Error },
}

/// Puts the whole file in the place of the one before: whoever reads sees one or the other.
pub fn write_textfile(path: &Path, metrics: &Metrics) -> Result<(), TextfileError> {
    let text = metrics.render()?;
    let name = path.file_name().ok_or_else(|| TextfileError::NoFile(path.to_owned()))?;
    // The collector reads `*.prom` and nothing else.
    let half = path.with_file_name(format!(".{}.{}.tmp", name.to_string_lossy(), std::process::id()));
    let written = write(&half, &text).and_then(|()| fs::rename(&half, path));
    written.map_err(|source| {
        let _ = fs::remove_file(&half);
        TextfileError::Write { path: path.to_owned(), source }
    })
}

fn write(half: &Path, text: &str) -> io::Result<()> {
    // Left by a run that was killed. What is put there is a new file and no link of somebody else's.
    match fs::remove_file(half) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o644).open(half)?;
    // The collector runs as somebody else, whatever the umask is here.
    file.set_permissions(Permissions::from_mode(0o644))?;
    file.write_all(text.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_is_replaced_as_a_whole_and_everyone_may_read_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("idcsync.prom");
        let half = dir.path().join(format!(".idcsync.prom.{}.tmp", std::process::id()));
        fs::write(&half, "left behind").unwrap();
        let metrics = Metrics::new("corp").unwrap();
        for _ in 0..2 {
            write_textfile(&path, &metrics).unwrap();
        }
        assert_eq!(fs::read_to_string(&path).unwrap(), metrics.render().unwrap());
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o644);
        let names: Vec<_> = fs::read_dir(dir.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
        assert_eq!(names, ["idcsync.prom"]);
    }

    #[test]
    fn a_link_in_its_place_is_not_followed() {
        let dir = tempfile::tempdir().unwrap();
        let other = dir.path().join("other");
        fs::write(&other, "theirs").unwrap();
        let half = dir.path().join(format!(".idcsync.prom.{}.tmp", std::process::id()));
        std::os::unix::fs::symlink(&other, &half).unwrap();
        write_textfile(&dir.path().join("idcsync.prom"), &Metrics::new("corp").unwrap()).unwrap();
        assert_eq!(fs::read_to_string(&other).unwrap(), "theirs");
    }

    #[test]
    fn a_directory_that_is_not_there_is_said() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("none/idcsync.prom");
        let error = write_textfile(&path, &Metrics::new("corp").unwrap()).unwrap_err();
        assert!(error.to_string().contains("none/idcsync.prom"), "{error}");
        // A directory stands where the file is to be: nothing is left beside it.
        let taken = dir.path().join("idcsync.prom");
        fs::create_dir(&taken).unwrap();
        fs::write(taken.join("x"), "").unwrap();
        write_textfile(&taken, &Metrics::new("corp").unwrap()).unwrap_err();
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }
}
