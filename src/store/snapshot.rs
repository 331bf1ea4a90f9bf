//! A glance at many records at once: what they said when a run ended, for as long as their files have not changed.
//!
//! It is derived, as the index is, but is read in one piece and opened by whoever looks. It may be deleted at any time;
//! one that is damaged is not used.

use std::{
    collections::BTreeMap,
    fs::{self, Metadata},
    os::unix::fs::MetadataExt,
    path::PathBuf,
};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{FORMAT, Record, Store, StoreError, disk, durable};
use crate::base::digest::Digest;

/// So few records are read as quickly one by one.
const WORTHWHILE: usize = 256;

/// What the records said. The fields of their keys are left out: a step that is made needs none of them.
#[derive(Debug, Default)]
pub(super) struct Snapshot(BTreeMap<Digest, Entry>);

#[derive(Debug, Serialize, Deserialize)]
struct Entry {
    stamp: Stamp,
    record: Record,
}

/// What the file system says of a file. Nobody can write to a file and keep its time of change.
type Stamp = (u64, u64, i64, i64, i64, i64);

impl Snapshot {
    /// The snapshot of a store; an empty one where there is none, or where it is not as it was written.
    pub(super) fn read(store: &Store) -> Self {
        let read = || {
            let bytes = fs::read(store.snapshot()).ok()?;
            let (check, text) = bytes.split_at_checked(64)?;
            let entries: Vec<Entry> = if Digest::of(text).hex().as_bytes() == check {
                serde_json::from_slice(text).ok()?
            } else {
                return None;
            };
            let current = entries.into_iter().filter(|entry| entry.record.format == FORMAT);
            Some(Self(current.map(|entry| (entry.record.key, entry)).collect()))
        };
        read().unwrap_or_default()
    }

    /// The record of a key, where its file is as it was and its object is there.
    pub(super) fn done(&self, store: &Store, key: &Digest) -> Option<Record> {
        let entry = self.0.get(key)?;
        let same = fs::metadata(store.record_file(key)).is_ok_and(|it| stamp(&it) == entry.stamp);
        (same && store.holds(&entry.record)).then(|| entry.record.clone())
    }
}

impl Store {
    fn snapshot(&self) -> PathBuf {
        self.root().join("records.snapshot")
    }

    /// Keeps what records say, for a quicker look next time; nothing where they are few.
    ///
    /// # Errors
    /// Where it cannot be written; nothing but speed is lost by that.
    pub fn remember<'a>(&self, records: impl Iterator<Item = &'a Record>) -> Result<(), StoreError> {
        let entry = |record: &Record| {
            let stamp = stamp(&fs::metadata(self.record_file(&record.key)).ok()?);
            Some(Entry { stamp, record: Record { fields: Value::Null, ..record.clone() } })
        };
        let entries: Vec<Entry> = records.filter_map(entry).collect();
        if entries.len() < WORTHWHILE {
            return Ok(());
        }
        let path = self.snapshot();
        let text = serde_json::to_string(&entries).map_err(|error| StoreError::file(&path, error.into()))?;
        let scratch = self.root().join("scratch").join(format!("snapshot-{}", std::process::id()));
        let mut file = disk::create(&scratch)?;
        disk::write(&mut file, &scratch, format!("{}{text}", Digest::of(text.as_bytes())).as_bytes())?;
        // It need not be durable: what a power cut leaves of it is found by its digest.
        durable::rename(&scratch, &path)
    }
}

fn stamp(it: &Metadata) -> Stamp {
    (it.ino(), it.len(), it.mtime(), it.mtime_nsec(), it.ctime(), it.ctime_nsec())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::store::Listed;

    /// A store with so many records of one object.
    fn store(records: u32) -> (tempfile::TempDir, Store, Vec<Record>) {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path());
        store.prepare().unwrap();
        let output = Digest::of(b"object");
        fs::create_dir_all(store.object(&output)).unwrap();
        fs::write(store.object(&output).join("rows"), "rows").unwrap();
        let record = |at: u32| Record {
            format: FORMAT,
            key: Digest::of(&at.to_le_bytes()),
            fields: json!({"stage": "write"}),
            stage: "write".into(),
            address: format!("s{at}"),
            output,
            bytes: 4,
            files: vec![Listed { name: "rows".into(), bytes: 4, digest: Digest::of(b"rows") }],
            seconds: 0.5,
            finished: 1,
            run: "1".into(),
            metrics: BTreeMap::new(),
            cost: None,
            review: None,
        };
        let records: Vec<Record> = (0..records).map(record).collect();
        records.iter().for_each(|it| store.write_record(it, &folder.path().join("scratch/record")).unwrap());
        (folder, store, records)
    }

    #[test]
    fn a_record_that_has_not_changed_is_taken_from_the_snapshot() {
        let (_folder, store, records) = store(300);
        store.remember(records.iter()).unwrap();
        let snapshot = Snapshot::read(&store);
        let seen = snapshot.done(&store, &records[7].key).unwrap();
        assert_eq!(seen, Record { fields: Value::Null, ..records[7].clone() });
        // Damaged without a change of its length, and removed: the files have the last word.
        let path = store.record_file(&records[7].key);
        let text = fs::read_to_string(&path).unwrap().replace("0.5", "0.6");
        fs::write(&path, text).unwrap();
        fs::remove_file(store.record_file(&records[8].key)).unwrap();
        assert_eq!([7, 8].map(|at| snapshot.done(&store, &records[at].key)), [None, None]);
        fs::remove_file(store.object(&records[9].output).join("rows")).unwrap();
        assert_eq!(snapshot.done(&store, &records[9].key), None);
    }

    #[test]
    fn a_damaged_snapshot_is_no_snapshot() {
        let (_folder, store, records) = store(300);
        store.remember(records.iter()).unwrap();
        let whole = fs::read(store.snapshot()).unwrap();
        for at in [0, 63, 64, 1_000, whole.len() - 1] {
            let mut bytes = whole.clone();
            bytes[at] ^= 1;
            fs::write(store.snapshot(), &bytes).unwrap();
            assert!(Snapshot::read(&store).0.is_empty(), "byte {at}");
            fs::write(store.snapshot(), &whole[..at]).unwrap();
            assert!(Snapshot::read(&store).0.is_empty(), "cut off at {at}");
        }
    }

    #[test]
    fn few_records_are_not_worth_a_snapshot() {
        let (_folder, store, records) = store(10);
        store.remember(records.iter()).unwrap();
        assert!(!store.snapshot().exists());
    }
}
