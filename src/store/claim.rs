//! The right to run a step: held through a lock of the kernel, which no crash leaves behind.

use std::{
    collections::BTreeMap,
    fs::{self, File, TryLockError},
    io::{Seek, Write},
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    process,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use serde_json::Value;

use super::{Cost, FORMAT, Record, Store, StoreError, durable};
use crate::base::digest::Digest;

/// How long to wait before asking again for a lock that another holds.
const PATIENCE: Duration = Duration::from_millis(50);

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
}

impl Store {
    /// Claims a key, waiting while another process or thread holds it. `waiting` is told of the holder whenever it has
    /// waited, and says whether to go on doing so.
    ///
    /// # Errors
    /// Where the lock cannot be had for another reason, or the wait was broken off.
    pub fn claim(&self, key: &Digest, mut waiting: impl FnMut(Holder) -> bool) -> Result<Claimed, StoreError> {
        let lock = loop {
            match try_lock(&self.lock_file(key))? {
                Some(lock) => break lock,
                None if waiting(holder(&self.lock_file(key))) => std::thread::sleep(PATIENCE),
                None => return Err(StoreError::Cancelled),
            }
        };
        let scratch = self.root.join("scratch").join(format!("{key}-{}", process::id()));
        let claim = Claim { store: self.clone(), key: *key, lock, scratch };
        // Looked up under the lock: whoever held it may just have finished.
        if let Some(record) = self.done(key) {
            return Ok(Claimed::Done(Box::new(record)));
        }
        claim.begin().map(Claimed::Mine)
    }

    fn lock_file(&self, key: &Digest) -> PathBuf {
        self.root.join("locks").join(key.hex())
    }
}

impl Claim {
    fn begin(mut self) -> Result<Self, StoreError> {
        remove(&self.scratch)?;
        let out = self.out();
        fs::create_dir_all(&out).map_err(|error| StoreError::file(&out, error))?;
        let path = self.store.lock_file(&self.key);
        let mut sign = || {
            self.lock.set_len(0)?;
            self.lock.rewind()?;
            write!(self.lock, "{}", process::id())
        };
        sign().map_err(|error| StoreError::file(&path, error))?;
        Ok(self)
    }

    /// The folder for the step to fill.
    #[must_use]
    pub fn out(&self) -> PathBuf {
        self.scratch.join("out")
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
        };
        self.store.write_record(&record, &self.scratch.join("record.json"))?;
        Ok(record)
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        // What cannot be removed now is swept by a later run; the lock itself falls with the file's closing.
        let _ = remove(&self.scratch);
        let _ = fs::remove_file(self.store.lock_file(&self.key));
    }
}

/// Removes the scratch folders of steps that nobody is running any more.
pub(super) fn sweep(store: &Store) -> Result<(), StoreError> {
    let folder = store.root.join("scratch");
    for entry in fs::read_dir(&folder).map_err(|error| StoreError::file(&folder, error))?.flatten() {
        let name = entry.file_name();
        let key = name.to_str().and_then(|name| name.split('-').next()?.parse::<Digest>().ok());
        let Some(key) = key else { continue };
        // Whoever fills a scratch folder holds the lock of its key.
        if let Some(lock) = try_lock(&store.lock_file(&key))? {
            remove(&entry.path())?;
            let _ = fs::remove_file(store.lock_file(&key));
            drop(lock);
        }
    }
    durable::sync_folder(&folder)
}

/// The lock of a file, or None where another has it.
fn try_lock(path: &Path) -> Result<Option<File>, StoreError> {
    let try_once = || {
        let file = File::options().read(true).write(true).create(true).truncate(false).open(path)?;
        match file.try_lock() {
            Err(TryLockError::WouldBlock) => return Ok(Err(false)),
            Err(TryLockError::Error(error)) => return Err(error),
            Ok(()) => {}
        }
        // The holder before us removes the file as it lets go; a lock on a removed file keeps nobody out.
        let same = fs::metadata(path).ok().zip(file.metadata().ok()).is_some_and(|(a, b)| a.ino() == b.ino());
        Ok(if same { Ok(file) } else { Err(true) })
    };
    loop {
        match try_once().map_err(|error| StoreError::file(path, error))? {
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
    if folder.exists() {
        fs::remove_dir_all(folder).map_err(|error| StoreError::file(folder, error))?;
    }
    Ok(())
}
