//! The right to run a step: held through a lock of the kernel, which no crash leaves behind.

use std::{
    collections::BTreeMap,
    fs::{self, File, TryLockError},
    io::ErrorKind,
    io::Seek,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    process,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use serde_json::Value;

use super::{Cost, FORMAT, Record, Store, StoreError, derived, disk, durable};
use crate::base::{
    decision::Reviewed,
    digest::{Digest, FieldHasher},
};

/// How long to wait before asking again for a lock that another holds.
pub(super) const PATIENCE: Duration = Duration::from_millis(50);

/// The right to make the object of one key. Only its holder can commit, and only once.
#[derive(Debug)]
pub struct Claim {
    store: Store,
    key: Digest,
    lock: File,
    scratch: PathBuf,
}

/// What asking for a key gives.
#[derive(Debug)]
pub enum Claimed {
    /// It is for the caller to make.
    Mine(Claim),
    /// It is made already, perhaps by the process waited for.
    Done(Box<Record>),
}

/// A folder to run a step in without keeping what it makes; it is removed in the end.
#[derive(Debug)]
pub struct Rehearsal(Claim);

impl Rehearsal {
    /// The folder for the step to fill.
    #[must_use]
    pub fn out(&self) -> PathBuf {
        self.0.out()
    }

    /// A folder for what the step writes besides.
    ///
    /// # Errors
    /// Where it cannot be made.
    pub fn workspace(&self) -> Result<PathBuf, StoreError> {
        let folder = self.0.scratch.join("workspace");
        disk::create_folder(&folder)?;
        Ok(folder)
    }
}

/// Who holds a lock: the number of its process, where it could be read.
pub type Holder = Option<u32>;

/// What a record says beyond its key and its object.
#[derive(Clone, Debug)]
pub struct Facts {
    pub fields: Value,
    pub stage: String,
    pub address: String,
    pub run: String,
    pub seconds: f64,
    pub metrics: BTreeMap<String, f64>,
    pub cost: Option<Cost>,
    /// Who decided on the rows, where people did.
    pub review: Option<Reviewed>,
}

impl Store {
    /// Claims a key, waiting while another process or thread holds it. `waiting` is told of the holder whenever it has
    /// waited, and says whether to go on doing so.
    ///
    /// # Errors
    /// Where the lock cannot be had for another reason, or the wait was broken off.
    pub fn claim(&self, key: &Digest, waiting: impl FnMut(Holder) -> bool) -> Result<Claimed, StoreError> {
        let claim = self.take(key, waiting)?;
        // Looked up under the lock: whoever held it may just have finished.
        if let Some(record) = self.done(key) {
            return Ok(Claimed::Done(Box::new(record)));
        }
        claim.begin().map(Claimed::Mine)
    }

    /// A folder for the step of a key to fill once more, whether it is done or not. What it writes there is not kept.
    ///
    /// # Errors
    /// Where the folder cannot be made.
    pub fn rehearse(&self, key: &Digest) -> Result<Rehearsal, StoreError> {
        let other = FieldHasher::new().field("rehearsal", key.hex().as_bytes()).finish();
        self.take(&other, |_| true)?.begin().map(Rehearsal)
    }

    fn take(&self, key: &Digest, mut waiting: impl FnMut(Holder) -> bool) -> Result<Claim, StoreError> {
        let lock = loop {
            match try_lock(&self.lock_file(key))? {
                Some(lock) => break lock,
                None if waiting(holder(&self.lock_file(key))) => std::thread::sleep(PATIENCE),
                None => return Err(StoreError::Cancelled),
            }
        };
        let scratch = self.root.join("scratch").join(format!("{key}-{}", process::id()));
        Ok(Claim { store: self.clone(), key: *key, lock, scratch })
    }

    fn lock_file(&self, key: &Digest) -> PathBuf {
        self.root.join("locks").join(key.hex())
    }
}

impl Claim {
    fn begin(mut self) -> Result<Self, StoreError> {
        remove(&self.scratch)?;
        disk::create_folder(&self.out())?;
        let path = self.store.lock_file(&self.key);
        let cleared = disk::set_length(&self.lock, &path, 0);
        cleared.and_then(|()| self.lock.rewind().map_err(|error| StoreError::file(&path, error)))?;
        disk::write(&mut self.lock, &path, process::id().to_string().as_bytes())?;
        Ok(self)
    }

    /// The folder for the step to fill.
    #[must_use]
    pub fn out(&self) -> PathBuf {
        self.scratch.join("out")
    }

    #[must_use]
    pub fn key(&self) -> &Digest {
        &self.key
    }

    /// The folder of this process's attempt, which ends with it.
    pub(super) fn scratch(&self) -> &Path {
        &self.scratch
    }

    /// Keeps what the step wrote: first the object, then the record that makes it count.
    ///
    /// # Errors
    /// Where something could not be written; then the step is not done.
    pub fn commit(self, facts: Facts) -> Result<Record, StoreError> {
        let folder = self.store.install(&self.out())?;
        let record = Record {
            format: FORMAT,
            key: self.key,
            fields: facts.fields,
            stage: facts.stage,
            address: facts.address,
            output: folder.digest(),
            bytes: folder.bytes(),
            files: folder.files,
            seconds: facts.seconds,
            finished: SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |it| it.as_millis() as u64),
            run: facts.run,
            metrics: facts.metrics,
            cost: facts.cost,
            review: facts.review,
        };
        self.store.write_record(&record, &self.scratch.join("record.json"))?;
        Ok(record)
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        // What cannot be removed now is swept by a later run; the lock itself falls with the file's closing.
        let _ = remove(&self.scratch);
        let _ = disk::remove_file(&self.store.lock_file(&self.key));
    }
}

/// Removes what dead processes left in the scratch folder.
pub(super) fn sweep(store: &Store) -> Result<(), StoreError> {
    let folder = store.root.join("scratch");
    for entry in fs::read_dir(&folder).map_err(|error| StoreError::file(&folder, error))?.flatten() {
        match sweep_one(store, &entry.path()) {
            // A program that a killed run left behind may write for a moment yet; a later run sweeps after it.
            Err(StoreError::File { error, .. }) if error.kind() == ErrorKind::DirectoryNotEmpty => {}
            swept => _ = swept?,
        }
    }
    durable::sync_folder(&folder)
}

/// Removes a scratch folder, unless somebody is filling it; says whether it did.
pub(super) fn sweep_one(store: &Store, path: &Path) -> Result<bool, StoreError> {
    match key_of(path) {
        // Whoever fills a scratch folder holds the lock of its key.
        Some(key) => with_lock(store, &key, || disk::remove(path)),
        None if derived::is_left(path) => disk::remove_file(path).map(|()| true),
        None => Ok(false),
    }
}

/// The scratch folders that nobody is filling.
pub(super) fn stale(store: &Store) -> Vec<PathBuf> {
    let mut paths = super::verify::names(&store.root.join("scratch"));
    paths.retain(|path| key_of(path).map_or(derived::is_left(path), |key| !is_locked(&store.lock_file(&key))));
    paths
}

/// Does something under the lock of a key; not at all where another has it, and then says so.
pub(super) fn with_lock(
    store: &Store,
    key: &Digest,
    act: impl FnOnce() -> Result<(), StoreError>,
) -> Result<bool, StoreError> {
    let Some(lock) = try_lock(&store.lock_file(key))? else { return Ok(false) };
    let done = act();
    let _ = disk::remove_file(&store.lock_file(key));
    drop(lock);
    done.map(|()| true)
}

/// Does something under the lock of a key or an object, as soon as nobody else has it.
pub(super) fn alone<T>(
    store: &Store,
    digest: &Digest,
    act: impl FnOnce() -> Result<T, StoreError>,
) -> Result<T, StoreError> {
    let lock = loop {
        match try_lock(&store.lock_file(digest))? {
            Some(lock) => break lock,
            None => std::thread::sleep(PATIENCE),
        }
    };
    let done = act();
    let _ = disk::remove_file(&store.lock_file(digest));
    drop(lock);
    done
}

/// The key in the name of a scratch folder.
fn key_of(path: &Path) -> Option<Digest> {
    path.file_name()?.to_str()?.split('-').next()?.parse().ok()
}

/// Whether another has the lock of a file. To ask changes nothing.
fn is_locked(path: &Path) -> bool {
    File::open(path).is_ok_and(|file| matches!(file.try_lock_shared(), Err(TryLockError::WouldBlock)))
}

/// The lock of a file, or None where another has it.
fn try_lock(path: &Path) -> Result<Option<File>, StoreError> {
    let try_once = || {
        let file = disk::open_to_change(path)?;
        match file.try_lock() {
            Err(TryLockError::WouldBlock) => return Ok(Err(false)),
            Err(TryLockError::Error(error)) => return Err(StoreError::file(path, error)),
            Ok(()) => {}
        }
        // The holder before us removes the file as it lets go; a lock on a removed file keeps nobody out.
        let same = fs::metadata(path).ok().zip(file.metadata().ok()).is_some_and(|(a, b)| a.ino() == b.ino());
        Ok(if same { Ok(file) } else { Err(true) })
    };
    loop {
        match try_once()? {
            Ok(file) => return Ok(Some(file)),
            Err(removed) if removed => {}
            Err(_) => return Ok(None),
        }
    }
}

fn holder(path: &Path) -> Holder {
    fs::read_to_string(path).ok()?.trim().parse().ok()
}

fn remove(folder: &Path) -> Result<(), StoreError> {
    // Most often there is nothing, and then nothing is done to the disk.
    if folder.exists() { disk::remove_folder(folder) } else { Ok(()) }
}
