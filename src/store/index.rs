//! The index, in sled: a derived view that makes looking back quick. It may be deleted at any time.
//!
//! Only a process that runs steps opens it, as sled lets one process in at a time. Where it is locked, missing or
//! damaged, the records themselves answer. When it is closed, the digest of its files is put beside it as its seal;
//! what does not agree with its seal is never opened.

use std::{
    cell::Cell,
    collections::BTreeSet,
    fs::{self, File, Metadata},
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use super::{
    Record, Store, StoreError, digest_file, digest_folder, disk,
    guard::{Trouble, guarded},
};
use crate::base::digest::Digest;

/// The version of what the index holds; an index of another version is made anew.
const FORMAT: &[u8] = b"3";

/// A file changed this recently may change again without its time or its size telling.
const SETTLED: Duration = Duration::from_secs(2);

/// Records by stage, and digests of input files by what the file system says of them.
pub struct Index {
    store: Store,
    /// None once it is closed.
    trees: Option<Trees>,
    /// What became of an index that was damaged.
    note: Option<String>,
    /// Whether it was found damaged while it was in use; then it is asked no more, and moved aside at the end.
    broken: Cell<bool>,
}

struct Trees {
    database: sled::Db,
    records: sled::Tree,
    files: sled::Tree,
}

impl Index {
    /// Opens the index, making it from the records where it is missing or damaged; None where another process has it or
    /// it cannot be written.
    #[must_use]
    pub fn open(store: &Store) -> Option<Self> {
        let trouble = match break_seal(store).and_then(|()| guarded(&store.index(), || Trees::open(store))) {
            Ok(trees) => return Some(Self::of(store, trees, None)),
            Err(trouble) => trouble,
        };
        match trouble {
            Trouble::Taken | Trouble::Disk => None,
            Trouble::Damaged => {
                let aside = store.set_path_aside(&store.index()).ok()?;
                let trees = guarded(&store.index(), || Trees::open(store)).ok()?;
                let note = format!("the index was damaged; it is made again, and kept as {}", aside.display());
                Some(Self::of(store, trees, Some(note)))
            }
        }
    }

    fn of(store: &Store, trees: Trees, note: Option<String>) -> Self {
        Self { store: store.clone(), trees: Some(trees), note, broken: Cell::new(false) }
    }

    /// What a person should know of how it was opened.
    #[must_use]
    pub fn note(&self) -> Option<&str> {
        self.note.as_deref()
    }

    /// Notes a new record. What the index misses it finds when it is opened next.
    pub fn add(&self, record: &Record) {
        self.with(|trees| trees.add(record));
    }

    /// Makes what was added durable.
    pub fn flush(&self) {
        self.with(|trees| trees.database.flush());
    }

    /// The keys of a stage's records, each with the address of its step, the newest first; None where the index cannot
    /// tell.
    pub(super) fn keys(&self, stage: &str) -> Option<Vec<(Digest, String)>> {
        let prefix = [stage.as_bytes(), &[0]].concat();
        let keys =
            self.with(|trees| trees.records.scan_prefix(&prefix).values().rev().collect::<Result<Vec<_>, _>>())?;
        keys.iter().map(|value| told(value)).collect()
    }

    /// The digest of a file, without reading it where its size and time of change are those of last time.
    ///
    /// # Errors
    /// Where the file cannot be read.
    pub fn digest_file(&self, path: &Path, metadata: &Metadata) -> Result<Digest, StoreError> {
        let stamp = format!("{}-{}.{:09}", metadata.len(), metadata.mtime(), metadata.mtime_nsec());
        let name = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
        let name = name.as_os_str().as_encoded_bytes();
        let known = self.with(|trees| trees.files.get(name)).flatten();
        let known = known.as_deref().and_then(|it| str::from_utf8(it).ok()).and_then(|it| it.split_once(' '));
        if let Some(digest) = known.filter(|(then, _)| *then == stamp).and_then(|(_, digest)| digest.parse().ok()) {
            return Ok(digest);
        }
        let digest = digest_file(path)?;
        let age = metadata.modified().ok().and_then(|it| SystemTime::now().duration_since(it).ok());
        if age.is_some_and(|age| age > SETTLED) {
            self.with(|trees| trees.files.insert(name, format!("{stamp} {digest}").into_bytes()));
        }
        Ok(digest)
    }

    fn with<T>(&self, act: impl FnOnce(&Trees) -> sled::Result<T>) -> Option<T> {
        let trees = self.trees.as_ref().filter(|_| !self.broken.get())?;
        let done = guarded(&self.store.index(), || act(trees));
        self.broken.set(matches!(done, Err(Trouble::Damaged)));
        done.ok()
    }
}

impl Drop for Index {
    fn drop(&mut self) {
        let Some(trees) = self.trees.take() else { return };
        let closed = guarded(&self.store.index(), || trees.database.flush().map(|_| drop(trees)));
        // Whatever fails here costs no more than making the index again.
        if self.broken.get() || closed.is_err() {
            let _ = self.store.set_path_aside(&self.store.index());
        } else {
            let _ = seal(&self.store);
        }
    }
}

impl Trees {
    fn open(store: &Store) -> sled::Result<Self> {
        let config = sled::Config::new().path(store.index()).cache_capacity(8 << 20).flush_every_ms(None);
        let database = config.open()?;
        let (records, files) = (database.open_tree("records")?, database.open_tree("files")?);
        let trees = Self { database, records, files };
        trees.catch_up(store)?;
        Ok(trees)
    }

    /// Adds the records that the index has not seen, and forgets those that are gone.
    fn catch_up(&self, store: &Store) -> sled::Result<()> {
        if self.database.get("format")?.as_deref() != Some(FORMAT) {
            self.records.clear()?;
            self.files.clear()?;
            self.database.insert("format", FORMAT)?;
        }
        let mut unseen: BTreeSet<Digest> = store.recorded().collect();
        // Of a record that was made again the newest name stays.
        for entry in self.records.iter().rev() {
            let (name, value) = entry?;
            if !told(&value).is_some_and(|(key, _)| unseen.remove(&key)) {
                self.records.remove(name)?;
            }
        }
        unseen.iter().filter_map(|key| store.record(key)).try_for_each(|record| self.add(&record))?;
        self.database.flush().map(drop)
    }

    fn add(&self, record: &Record) -> sled::Result<()> {
        self.records.insert(name(record), format!("{} {}", record.key, record.address).as_bytes())?;
        Ok(())
    }
}

impl Store {
    fn index(&self) -> PathBuf {
        self.root().join("index")
    }

    fn seal(&self) -> PathBuf {
        self.root().join("index.digest")
    }
}

/// The name of a record in the index: records of one stage lie together, in the order of their making.
fn name(record: &Record) -> Vec<u8> {
    let mut name = record.stage.clone().into_bytes();
    name.push(0);
    name.extend(record.finished.to_be_bytes());
    name.extend(record.key.hex().into_bytes());
    name
}

/// What the index tells of a record: its key, and the address of its step.
fn told(value: &[u8]) -> Option<(Digest, String)> {
    let (key, address) = str::from_utf8(value).ok()?.split_once(' ')?;
    Some((key.parse().ok()?, address.to_owned()))
}

/// Compares the index with its seal and removes the latter. An index without a seal was not closed: its process was
/// killed, which sled itself copes with.
fn break_seal(store: &Store) -> Result<(), Trouble> {
    let Ok(sealed) = fs::read_to_string(store.seal()) else { return Ok(()) };
    // Its database is locked by whoever has it open.
    let lock = File::open(store.index().join("db"));
    if lock.as_ref().is_ok_and(|file| file.try_lock().is_err()) {
        return Err(Trouble::Taken);
    }
    let same = digest_folder(&store.index()).is_ok_and(|digest| digest.hex() == sealed);
    disk::remove_file(&store.seal()).map_err(|_| Trouble::Disk)?;
    if same || !store.index().exists() { Ok(()) } else { Err(Trouble::Damaged) }
}

/// Seals an index that was closed; not where it is open again, or still.
fn seal(store: &Store) -> Result<(), StoreError> {
    let database = store.index().join("db");
    let lock = File::open(&database).map_err(|error| StoreError::file(&database, error))?;
    if lock.try_lock().is_err() {
        return Ok(());
    }
    let digest = digest_folder(&store.index())?;
    let path = store.seal();
    disk::write(&mut disk::create(&path)?, &path, digest.hex().as_bytes())
}
