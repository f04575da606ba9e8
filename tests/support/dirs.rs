//! Where the rig keeps its files: private directories per server, and templates under `target/rig` that are made once.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

use sha2::{Digest, Sha256};
use tempfile::TempDir;

use super::process::run;

/// How many templates of one kind are kept; the oldest go.
const KEPT: usize = 12;

/// The root of the checkout.
pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// `target/rig`, which outlives the run. Not where `CARGO_TARGET_DIR` points: `make setup` uses it as well.
pub fn cache() -> PathBuf {
    let path = root().join("target/rig");
    fs::create_dir_all(&path).expect("make target/rig");
    path
}

/// A directory for one server, short enough for the paths of unix sockets, gone with the value.
pub fn private() -> TempDir {
    tempfile::Builder::new().prefix("idcsync-").tempdir().expect("make a temporary directory")
}

/// Copies a directory with everything in it, holes kept.
pub fn copy(from: &Path, to: &Path) {
    run(Command::new("cp").args(["-a", "--sparse=always", "--"]).arg(from.join(".")).arg(to));
}

/// A short name for what a template is made of.
pub fn digest<'a>(parts: impl IntoIterator<Item = &'a [u8]>) -> String {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update(u64::try_from(part.len()).unwrap_or(u64::MAX).to_le_bytes());
        hash.update(part);
    }
    hash.finalize().iter().take(8).map(|byte| format!("{byte:02x}")).collect()
}

/// The template `kind/name`, made by `make` if it is not there yet; among processes, one makes it and the others
/// wait. `make` gets an empty directory; what it leaves there is the template.
pub fn template(kind: &str, name: &str, make: impl FnOnce(&Path)) -> PathBuf {
    let home = cache().join(kind);
    fs::create_dir_all(&home).expect("make the directory for templates");
    let lock = File::create(home.join(format!("{name}.lock"))).expect("make a lock file");
    lock.lock().expect("lock the template");
    let path = home.join(name);
    if path.exists() {
        // Its age says when it was last of use.
        let _ = File::open(&path).and_then(|dir| dir.set_modified(std::time::SystemTime::now()));
    } else {
        let half = home.join(format!("{name}.half"));
        let _ = fs::remove_dir_all(&half);
        fs::create_dir(&half).expect("make a directory for the template");
        make(&half);
        fs::rename(&half, &path).expect("put the template in its place");
        prune(&home);
    }
    path
}

fn prune(home: &Path) {
    let mut all: Vec<_> = fs::read_dir(home)
        .expect("list the templates")
        .flatten()
        .filter(|entry| entry.path().extension().is_none() && entry.path().is_dir())
        .filter_map(|entry| Some((entry.metadata().ok()?.modified().ok()?, entry.path())))
        .collect();
    all.sort();
    for (used, path) in all.iter().rev().skip(KEPT) {
        // One that was used lately may be in the middle of being copied.
        if used.elapsed().is_ok_and(|age| age.as_secs() > 600) {
            let _ = fs::remove_dir_all(path);
        }
    }
}
