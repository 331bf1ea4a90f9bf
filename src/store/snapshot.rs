//! A glance at many records at once: what they said when a run ended, for as long as their files have not changed.
//!
//! It is derived, as the index is, but is read in one piece and opened by whoever looks. It may be deleted at any time;
//! one that is damaged is not used.

use std::{
    cmp::Ordering,
    fs::{self, Metadata},
    os::unix::fs::MetadataExt,
    path::PathBuf,
    sync::{Arc, OnceLock},
};

use serde_json::Value;

use super::{FORMAT, Record, Store, StoreError, disk, durable};
use crate::base::digest::Digest;

/// So few records are read as quickly one by one.
const WORTHWHILE: usize = 256;

/// What the records said. The fields of their keys are left out: a step that is made needs none of them.
///
/// After the digest of all that follows come the number of entries, the entries in the order of their keys, each of one
/// length, and then the records as JSON, which are read when they are asked for.
#[derive(Debug, Default)]
pub(super) struct Snapshot {
    bytes: Vec<u8>,
    /// For each entry the record, once it was looked at; None where its file or its object is not as it was.
    seen: Vec<OnceLock<Option<Arc<Record>>>>,
}

/// What an entry says of a record: where its JSON starts and ends, and what the file system said of its file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Entry {
    key: Digest,
    start: u64,
    end: u64,
    stamp: Stamp,
}

/// What the file system says of a file. Nobody can write to a file and keep its time of change.
type Stamp = [u64; 6];

const DIGEST: usize = 32;
const WORD: usize = 8;
const HEAD: usize = DIGEST + WORD;
const ENTRY: usize = DIGEST + WORD * 8;

impl Snapshot {
    /// The snapshot of a store; an empty one where there is none, or where it is not as it was written.
    pub(super) fn read(store: &Store) -> Self {
        let read = || {
            let bytes = fs::read(store.snapshot()).ok()?;
            let (check, rest) = bytes.split_at_checked(DIGEST)?;
            let count = word(rest).filter(|_| Digest::of(rest).bytes() == check)?;
            Some(Self { bytes, seen: (0..count).map(|_| OnceLock::new()).collect() })
        };
        read().unwrap_or_default()
    }

    /// The record of a key, where its file is as it was and its object is there.
    pub(super) fn done(&self, store: &Store, key: &Digest) -> Option<Arc<Record>> {
        self.look(store, self.find(key)?)
    }

    /// How many records it has.
    pub(super) fn len(&self) -> usize {
        self.seen.len()
    }

    /// Looks at the record in a place, once, whoever asks.
    pub(super) fn look(&self, store: &Store, place: usize) -> Option<Arc<Record>> {
        let look = || {
            let entry = self.entry(place)?;
            let same = fs::metadata(store.record_file(&entry.key)).is_ok_and(|it| stamp(&it) == entry.stamp);
            let text = self.bytes.get(entry.start as usize..entry.end as usize).filter(|_| same)?;
            let record: Record = serde_json::from_slice(text).ok()?;
            (record.format == FORMAT && store.holds(&record)).then(|| Arc::new(record))
        };
        self.seen.get(place)?.get_or_init(look).clone()
    }

    fn find(&self, key: &Digest) -> Option<usize> {
        let (mut low, mut high) = (0, self.len());
        while low < high {
            let middle = (low + high) / 2;
            match Digest::from_bytes(self.bytes.get(HEAD + middle * ENTRY..)?.get(..DIGEST)?)?.cmp(key) {
                Ordering::Less => low = middle + 1,
                Ordering::Greater => high = middle,
                Ordering::Equal => return Some(middle),
            }
        }
        None
    }

    fn entry(&self, place: usize) -> Option<Entry> {
        Entry::read(self.bytes.get(HEAD + place * ENTRY..)?)
    }

    /// The bytes of a snapshot of these records.
    fn write(mut records: Vec<(Digest, Stamp, Vec<u8>)>) -> Vec<u8> {
        records.sort_by_key(|(key, ..)| *key);
        records.dedup_by_key(|(key, ..)| *key);
        let mut bytes = vec![0; DIGEST];
        bytes.extend((records.len() as u64).to_le_bytes());
        let mut at = (HEAD + records.len() * ENTRY) as u64;
        for (key, stamp, text) in &records {
            bytes.extend(key.bytes());
            let end = at + text.len() as u64;
            [at, end].iter().chain(stamp).for_each(|it| bytes.extend(it.to_le_bytes()));
            at = end;
        }
        records.iter().for_each(|(_, _, text)| bytes.extend(text));
        let check = bytes.get(DIGEST..).map(Digest::of);
        bytes.iter_mut().zip(check.iter().flat_map(|it| it.bytes())).for_each(|(slot, it)| *slot = *it);
        bytes
    }
}

impl Entry {
    fn read(bytes: &[u8]) -> Option<Self> {
        let (key, rest) = bytes.split_at_checked(DIGEST)?;
        let at = |place: usize| word(rest.get(place * WORD..)?);
        let stamp = [at(2)?, at(3)?, at(4)?, at(5)?, at(6)?, at(7)?];
        Some(Self { key: Digest::from_bytes(key)?, start: at(0)?, end: at(1)?, stamp })
    }
}

fn word(bytes: &[u8]) -> Option<u64> {
    Some(u64::from_le_bytes(bytes.get(..WORD)?.try_into().ok()?))
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
            let text = serde_json::to_vec(&Record { fields: Value::Null, ..record.clone() }).ok()?;
            Some((record.key, stamp, text))
        };
        let entries: Vec<_> = records.filter_map(entry).collect();
        if entries.len() < WORTHWHILE {
            return Ok(());
        }
        let path = self.snapshot();
        let scratch = self.root().join("scratch").join(format!("snapshot-{}", std::process::id()));
        let mut file = disk::create(&scratch)?;
        disk::write(&mut file, &scratch, &Snapshot::write(entries))?;
        // It need not be durable: what a power cut leaves of it is found by its digest.
        durable::rename(&scratch, &path)
    }
}

fn stamp(it: &Metadata) -> Stamp {
    let signed = [it.mtime(), it.mtime_nsec(), it.ctime(), it.ctime_nsec()].map(|it| it as u64);
    let [modified, part, changed, rest] = signed;
    [it.ino(), it.len(), modified, part, changed, rest]
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

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
        assert_eq!(*seen, Record { fields: Value::Null, ..records[7].clone() });
        let snapshot = Snapshot::read(&store);
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
        for at in [0, 31, 32, 1_000, whole.len() - 1] {
            let mut bytes = whole.clone();
            bytes[at] ^= 1;
            fs::write(store.snapshot(), &bytes).unwrap();
            assert!(Snapshot::read(&store).bytes.is_empty(), "byte {at}");
            fs::write(store.snapshot(), &whole[..at]).unwrap();
            assert!(Snapshot::read(&store).bytes.is_empty(), "cut off at {at}");
        }
    }

    #[test]
    fn few_records_are_not_worth_a_snapshot() {
        let (_folder, store, records) = store(10);
        store.remember(records.iter()).unwrap();
        assert!(!store.snapshot().exists());
    }
}
