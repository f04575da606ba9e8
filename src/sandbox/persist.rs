//! The store on disk: a readable file, and beside it a journal of the changes since that file was written.
//!
//! Writing a file of 100,000 users for each change would be slow, so a change is appended to `NAME.log` as one line of
//! JSON before it is made in memory and before the caller gets its answer. No fsync: the line is in the kernel's hands
//! once written, and survives the death of the process (not that of the machine). At the next start, and at a clean
//! end, the journal is *folded*: `NAME` is written anew (to a temporary file that is then renamed) and the journal
//! goes. Both carry a generation number, which each fold raises; a journal of an older generation than the file was
//! folded already, by a process that died between the two steps, and is dropped. A last line without its end is one
//! that the process died in; nobody was told that it was done, and it is dropped too.
//!
//! All of them are their owner's alone: a rehearsal is done with the people of the real directory.
//!
//! The file `NAME.lock` is locked as long as a process works on the store, so that there is only one.

use std::fs::{self, File, TryLockError};
use std::io::{self, BufWriter, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::store::{Assignment, Change, Claim, Group, Membership, PermissionSet, Refusal, Store, User};
use crate::private_file;

/// The schema of the store file.
pub const STORE_SCHEMA: &str = "idcsync/sandbox-store/v1";
/// The schema of the journal.
pub const JOURNAL_SCHEMA: &str = "idcsync/sandbox-journal/v1";

/// Why a store file could not be read, written or locked.
#[derive(Debug, thiserror::Error)]
pub enum PersistError {
    #[error("cannot read {}", path.display())]
    Read { path: PathBuf, source: io::Error },
    #[error("cannot write {}", path.display())]
    Write { path: PathBuf, source: io::Error },
    #[error("cannot lock {}", path.display())]
    Lock { path: PathBuf, source: io::Error },
    #[error("{} is in use by another sandbox: stop it first, or choose another --store", path.display())]
    InUse { path: PathBuf },
    #[error("{} is not a store file of the sandbox, or is damaged", path.display())]
    Damaged { path: PathBuf, source: serde_json::Error },
    #[error("{} has the schema \"{found}\", and this version of idcsync reads only \"{wanted}\"", path.display())]
    Schema { path: PathBuf, found: String, wanted: &'static str },
    #[error(
        "{} holds the identity store {found}, not {wanted}: give --identity-store-id {found}, or another --store",
        path.display()
    )]
    OtherIdentityStore { path: PathBuf, found: String, wanted: String },
    #[error("{} contradicts itself at {at}", path.display())]
    Inconsistent { path: PathBuf, at: String, source: Refusal },
    #[error("{} is damaged at line {line}", path.display())]
    DamagedJournal { path: PathBuf, line: usize, source: serde_json::Error },
    #[error(
        "{} belongs to a newer state of the store than the file beside it: bring that file back, or remove the journal \
         to lose its changes",
        path.display()
    )]
    JournalAhead { path: PathBuf },
}

/// Why a change was not made.
#[derive(Debug, thiserror::Error)]
pub enum CommitError {
    #[error("the store is open for reading only")]
    ReadOnly,
    #[error("the change does not fit the store")]
    Refused(#[source] Refusal),
    #[error("the change could not be written to the journal")]
    Journal(#[source] PersistError),
}

/// The store and the place where its changes are kept.
#[derive(Debug)]
pub struct Books {
    store: Store,
    home: Home,
}

#[derive(Debug)]
enum Home {
    Memory,
    ReadOnly,
    File(FileHome),
}

#[derive(Debug)]
struct FileHome {
    path: PathBuf,
    identity_store_id: String,
    generation: u64,
    journal: Option<Journal>,
    /// Held, not used: the lock goes with it.
    _lock: File,
}

#[derive(Debug)]
struct Journal {
    file: File,
    len: u64,
}

/// May the files be written?
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    ReadWrite,
    /// No file is written or created; every change is refused.
    ReadOnly,
}

impl Books {
    /// A store that is gone with the process.
    pub fn in_memory(store: Store) -> Self {
        Self { store, home: Home::Memory }
    }

    /// The store in the file `path`, empty if there is none yet, with the changes of its journal.
    pub fn open(path: &Path, identity_store_id: &str, mode: Mode) -> Result<Self, PersistError> {
        let lock = lock(path, mode)?;
        let (mut store, generation) = read_store(path, identity_store_id)?;
        let replayed = replay(path, generation, &mut store)?;
        let home = match (mode, lock) {
            (Mode::ReadWrite, Some(lock)) => {
                let identity_store_id = identity_store_id.to_owned();
                let mut home = FileHome {
                    path: path.to_owned(),
                    identity_store_id,
                    generation,
                    journal: None,
                    _lock: lock,
                };
                if replayed > 0 {
                    home.fold(&store)?;
                } else {
                    home.drop_journal()?;
                }
                Home::File(home)
            }
            _ => Home::ReadOnly,
        };
        Ok(Self { store, home })
    }

    /// The store as it is.
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// Writes the change down, then makes it. It must have been decided on the store as it is now.
    pub fn commit(&mut self, change: Change) -> Result<(), CommitError> {
        match &mut self.home {
            Home::Memory => {}
            Home::ReadOnly => return Err(CommitError::ReadOnly),
            Home::File(home) => home.append(&change).map_err(CommitError::Journal)?,
        }
        self.store.apply(change).map_err(CommitError::Refused)
    }

    /// Writes the store file anew if anything changed since it was written, and drops the journal.
    pub fn fold(&mut self) -> Result<(), PersistError> {
        match &mut self.home {
            Home::File(home) if home.journal.is_some() => home.fold(&self.store),
            _ => Ok(()),
        }
    }
}

impl FileHome {
    fn append(&mut self, change: &Change) -> Result<(), PersistError> {
        let path = beside(&self.path, "log");
        let failed = |source| PersistError::Write { path: path.clone(), source };
        let journal = match &mut self.journal {
            Some(journal) => journal,
            None => {
                let mut journal = Journal { file: private_file::anew(&path).map_err(failed)?, len: 0 };
                let header = JournalHeader { schema: JOURNAL_SCHEMA.to_owned(), generation: self.generation };
                journal.line(&header).map_err(failed)?;
                self.journal.insert(journal)
            }
        };
        journal.line(change).map_err(failed)
    }

    fn fold(&mut self, store: &Store) -> Result<(), PersistError> {
        let generation = self.generation + 1;
        let temporary = beside(&self.path, "tmp");
        write_store(&temporary, &self.identity_store_id, generation, store)
            .map_err(|source| PersistError::Write { path: temporary.clone(), source })?;
        fs::rename(&temporary, &self.path)
            .map_err(|source| PersistError::Write { path: self.path.clone(), source })?;
        self.generation = generation;
        self.drop_journal()
    }

    fn drop_journal(&mut self) -> Result<(), PersistError> {
        self.journal = None;
        let path = beside(&self.path, "log");
        match fs::remove_file(&path) {
            Err(source) if source.kind() != io::ErrorKind::NotFound => {
                Err(PersistError::Write { path, source })
            }
            _ => Ok(()),
        }
    }
}

impl Journal {
    /// Appends one line, whole or not at all.
    fn line(&mut self, content: &impl Serialize) -> io::Result<()> {
        let mut line = serde_json::to_vec(content)?;
        line.push(b'\n');
        if let Err(error) = self.file.write_all(&line) {
            // Half a line would make the lines after it unreadable.
            self.file.set_len(self.len)?;
            self.file.seek(SeekFrom::Start(self.len))?;
            return Err(error);
        }
        self.len += line.len() as u64;
        Ok(())
    }
}

/// `store.json` → `store.json.log`
fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".");
    name.push(suffix);
    PathBuf::from(name)
}

/// The lock, or none where a reader finds that nobody ever wrote.
fn lock(path: &Path, mode: Mode) -> Result<Option<File>, PersistError> {
    let lock = beside(path, "lock");
    let failed = |source| PersistError::Lock { path: lock.clone(), source };
    let (file, taken) = match mode {
        Mode::ReadWrite => {
            let file = private_file::keep(&lock).map_err(failed)?;
            let taken = file.try_lock();
            (file, taken)
        }
        Mode::ReadOnly => match File::open(&lock) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
            file => {
                let file = file.map_err(failed)?;
                let taken = file.try_lock_shared();
                (file, taken)
            }
        },
    };
    match taken {
        Ok(()) => Ok(Some(file)),
        Err(TryLockError::WouldBlock) => Err(PersistError::InUse { path: path.to_owned() }),
        Err(TryLockError::Error(source)) => Err(failed(source)),
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct StoreFile {
    schema: String,
    identity_store_id: String,
    #[serde(default)]
    generation: u64,
    #[serde(default)]
    users: Vec<User>,
    #[serde(default)]
    groups: Vec<Group>,
    #[serde(default)]
    memberships: Vec<Membership>,
    #[serde(default)]
    permission_sets: Vec<PermissionSet>,
    #[serde(default)]
    assignments: Vec<Assignment>,
}

#[derive(Deserialize)]
struct SchemaOnly {
    schema: String,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct JournalHeader {
    schema: String,
    generation: u64,
}

fn read_store(path: &Path, identity_store_id: &str) -> Result<(Store, u64), PersistError> {
    let mut store = Store::new();
    let bytes = match fs::read(path) {
        Ok(bytes) => bytes,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok((store, 0)),
        Err(source) => return Err(PersistError::Read { path: path.to_owned(), source }),
    };
    let path = || path.to_owned();
    let file: StoreFile = serde_json::from_slice(&bytes).map_err(|source| {
        // A file of another version need not have the fields of this one: then the version is what matters.
        match serde_json::from_slice::<SchemaOnly>(&bytes) {
            Ok(other) if other.schema != STORE_SCHEMA => {
                PersistError::Schema { path: path(), found: other.schema, wanted: STORE_SCHEMA }
            }
            _ => PersistError::Damaged { path: path(), source },
        }
    })?;
    if file.schema != STORE_SCHEMA {
        return Err(PersistError::Schema { path: path(), found: file.schema, wanted: STORE_SCHEMA });
    }
    if file.identity_store_id != identity_store_id {
        let (found, wanted) = (file.identity_store_id, identity_store_id.to_owned());
        return Err(PersistError::OtherIdentityStore { path: path(), found, wanted });
    }
    let mut put = |at: String, taken: fn(&Store, &Change) -> bool, change: Change| {
        let result =
            if taken(&store, &change) { Err(Refusal::Duplicate(Claim::Id)) } else { store.apply(change) };
        result.map_err(|source| PersistError::Inconsistent { path: path(), at, source })
    };
    for user in file.users {
        put(format!("user {}", user.id), taken, Change::PutUser(Box::new(user)))?;
    }
    for group in file.groups {
        put(format!("group {}", group.id), taken, Change::PutGroup(Box::new(group)))?;
    }
    for membership in file.memberships {
        put(format!("membership {}", membership.id), taken, Change::PutMembership(membership))?;
    }
    let inconsistent = |at: String| move |source| PersistError::Inconsistent { path: path(), at, source };
    for set in file.permission_sets {
        let at = format!("permission set {}", set.name);
        store.put_permission_set(set).map_err(inconsistent(at))?;
    }
    for (n, assignment) in (1..).zip(file.assignments) {
        store.put_assignment(assignment).map_err(inconsistent(format!("assignment {n}")))?;
    }
    Ok((store, file.generation))
}

/// Whether the file has this id already.
fn taken(store: &Store, change: &Change) -> bool {
    match change {
        Change::PutUser(user) => store.user(user.id).is_some(),
        Change::PutGroup(group) => store.group(group.id).is_some(),
        _ => false,
    }
}

/// Applies the journal, if it goes with this generation, and tells how many changes it held.
fn replay(path: &Path, generation: u64, store: &mut Store) -> Result<usize, PersistError> {
    let path = beside(path, "log");
    let text = match fs::read(&path) {
        Ok(text) => text,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(0),
        Err(source) => return Err(PersistError::Read { path, source }),
    };
    // What follows the last line end was never acknowledged.
    let whole = text.iter().rposition(|b| *b == b'\n').map_or(&text[..0], |end| &text[..end]);
    if whole.is_empty() {
        return Ok(0);
    }
    let mut lines = whole.split(|b| *b == b'\n').enumerate();
    let Some((_, first)) = lines.next() else { return Ok(0) };
    let damaged = |line: usize, source| PersistError::DamagedJournal { path: path.clone(), line, source };
    let header: JournalHeader = serde_json::from_slice(first).map_err(|e| damaged(1, e))?;
    if header.schema != JOURNAL_SCHEMA {
        return Err(PersistError::Schema { path, found: header.schema, wanted: JOURNAL_SCHEMA });
    }
    if header.generation > generation {
        return Err(PersistError::JournalAhead { path });
    }
    if header.generation < generation {
        return Ok(0);
    }
    let mut count = 0;
    for (i, line) in lines {
        let change: Change = serde_json::from_slice(line).map_err(|e| damaged(i + 1, e))?;
        store.apply(change).map_err(|source| PersistError::Inconsistent {
            path: path.clone(),
            at: format!("line {}", i + 1),
            source,
        })?;
        count += 1;
    }
    Ok(count)
}

/// One object a line, sorted by id: to read, to grep and to compare.
fn write_store(path: &Path, identity_store_id: &str, generation: u64, store: &Store) -> io::Result<()> {
    let mut out = BufWriter::new(private_file::anew(path)?);
    writeln!(out, "{{")?;
    writeln!(out, "\"schema\": \"{STORE_SCHEMA}\",")?;
    writeln!(out, "\"identityStoreId\": \"{identity_store_id}\",")?;
    writeln!(out, "\"generation\": {generation},")?;
    write_list(&mut out, "users", store.users())?;
    writeln!(out, ",")?;
    write_list(&mut out, "groups", store.groups())?;
    writeln!(out, ",")?;
    write_list(&mut out, "memberships", store.memberships())?;
    // They come by hand: a store without them does not mention them.
    if store.permission_sets().len() > 0 {
        writeln!(out, ",")?;
        write_list(&mut out, "permissionSets", store.permission_sets())?;
        writeln!(out, ",")?;
        write_list(&mut out, "assignments", store.assignments())?;
    }
    writeln!(out, "\n}}")?;
    out.into_inner()?.sync_all()
}

fn write_list<T: Serialize>(
    out: &mut impl Write,
    name: &str,
    items: impl Iterator<Item = T>,
) -> io::Result<()> {
    write!(out, "\"{name}\": [")?;
    for (i, item) in items.enumerate() {
        out.write_all(if i == 0 { b"\n" } else { b",\n" })?;
        serde_json::to_writer(&mut *out, &item)?;
    }
    write!(out, "\n]")
}

#[cfg(test)]
mod tests;
