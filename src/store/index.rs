//! The index, in sled: a derived view that makes looking back quick. It may be deleted at any time.
//!
//! Only a process that runs steps opens it, as sled lets one process in at a time. Where it is locked, missing or
//! damaged, the records themselves answer.

use std::{
    cell::OnceCell,
    fs::Metadata,
    os::unix::fs::MetadataExt,
    panic::{AssertUnwindSafe, catch_unwind},
    path::Path,
    rc::Rc,
    time::{Duration, SystemTime},
};

use super::{History, Past, Record, Records, Store, StoreError, digest_file, history::Pasts};
use crate::base::digest::Digest;

/// The version of what the index holds; an index of another version is made anew.
const FORMAT: &[u8] = b"1";

/// A file changed this recently may change again without its time or its size telling.
const SETTLED: Duration = Duration::from_secs(2);

/// Records by stage, and digests of input files by what the file system says of them.
pub struct Index {
    database: sled::Db,
    records: sled::Tree,
    files: sled::Tree,
}

impl Index {
    /// Opens the index, making it from the records where it is missing or damaged; None where another process has it or
    /// it cannot be written.
    #[must_use]
    pub fn open(store: &Store) -> Option<Self> {
        let path = store.root().join("index");
        let open = || {
            let config = sled::Config::new().path(&path).cache_capacity(8 << 20).flush_every_ms(None);
            let database = config.open()?;
            let (records, files) = (database.open_tree("records")?, database.open_tree("files")?);
            Ok::<_, sled::Error>(Self { database, records, files })
        };
        // Sled panics over some kinds of damage, and tells of others.
        let index = match catch_unwind(AssertUnwindSafe(open)) {
            Ok(Ok(index)) => index,
            Err(_) | Ok(Err(sled::Error::Corruption { .. } | sled::Error::Unsupported(_))) => {
                std::fs::remove_dir_all(&path).ok()?;
                open().ok()?
            }
            Ok(Err(_)) => return None,
        };
        index.catch_up(store).ok()?;
        Some(index)
    }

    /// Adds the records that the index has not seen, and forgets those that are gone.
    fn catch_up(&self, store: &Store) -> sled::Result<()> {
        if self.database.get("format")?.as_deref() != Some(FORMAT) {
            self.records.clear()?;
            self.files.clear()?;
            self.database.insert("format", FORMAT)?;
        }
        // Counting names is cheap; only a store that another process wrote to, or that was cleaned, is read again.
        let names = std::fs::read_dir(store.root().join("records")).map_or(0, Iterator::count);
        if self.records.len() != names {
            self.records.clear()?;
            for record in store.records() {
                self.add(&record)?;
            }
            self.flush();
        }
        Ok(())
    }

    /// Notes a new record.
    ///
    /// # Errors
    /// Where the index cannot be written; nothing but speed is lost by that.
    pub fn add(&self, record: &Record) -> sled::Result<()> {
        self.records.insert(name(record), record.key.hex().as_bytes())?;
        Ok(())
    }

    /// Makes what was added durable.
    pub fn flush(&self) {
        // A lost index is made again from the records.
        let _ = self.database.flush();
    }

    /// The digest of a file, without reading it where its size and time of change are those of last time.
    ///
    /// # Errors
    /// Where the file cannot be read.
    pub fn digest_file(&self, path: &Path, metadata: &Metadata) -> Result<Digest, StoreError> {
        let stamp = format!("{}-{}.{:09}", metadata.len(), metadata.mtime(), metadata.mtime_nsec());
        let name = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
        let name = name.as_os_str().as_encoded_bytes();
        let known = self.files.get(name).ok().flatten();
        let known = known.as_deref().and_then(|it| str::from_utf8(it).ok()).and_then(|it| it.split_once(' '));
        if let Some(digest) = known.filter(|(then, _)| *then == stamp).and_then(|(_, digest)| digest.parse().ok()) {
            return Ok(digest);
        }
        let digest = digest_file(path)?;
        let age = metadata.modified().ok().and_then(|it| SystemTime::now().duration_since(it).ok());
        if age.is_some_and(|age| age > SETTLED) {
            let _ = self.files.insert(name, format!("{stamp} {digest}").into_bytes());
        }
        Ok(digest)
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

/// The history by way of the index, which is opened when it is first needed, or of the files where it cannot be.
pub struct Indexed<'a> {
    store: &'a Store,
    index: OnceCell<Option<Index>>,
    files: Records<'a>,
    pasts: Pasts,
}

impl<'a> Indexed<'a> {
    #[must_use]
    pub fn new(store: &'a Store) -> Self {
        Self { store, index: OnceCell::new(), files: Records::new(store), pasts: Pasts::default() }
    }

    /// The index itself; None where another process has it.
    pub fn index(&self) -> Option<&Index> {
        self.index.get_or_init(|| Index::open(self.store)).as_ref()
    }

    /// The index of a store that is there already; None where looking would make one.
    #[must_use]
    pub fn existing(&self) -> Option<&Index> {
        if self.store.root().exists() { self.index() } else { None }
    }

    fn indexed(&self, stage: &str) -> Option<Vec<Rc<Record>>> {
        let prefix = [stage.as_bytes(), &[0]].concat();
        // To look at a store that is not there must not make one.
        if !self.store.root().exists() {
            return Some(Vec::new());
        }
        let keys: sled::Result<Vec<_>> = self.index()?.records.scan_prefix(prefix).values().rev().collect();
        let keys = keys.ok()?;
        let keys = keys.iter().filter_map(|key| str::from_utf8(key).ok()?.parse().ok());
        Some(keys.filter_map(|key| self.store.record(&key)).map(Rc::new).collect())
    }
}

impl History for Indexed<'_> {
    fn done(&self, key: &Digest) -> Option<Record> {
        self.store.done(key)
    }

    fn of_stage(&self, stage: &str) -> Rc<Past> {
        self.pasts.get(stage, || self.indexed(stage).unwrap_or_else(|| self.files.read(stage)))
    }
}
