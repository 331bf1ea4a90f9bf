//! A glance at many records at once: what they said when a run ended, for as long as their files have not changed.
//!
//! It is derived, as the index is, but is read in one piece and opened by whoever looks.

use std::{
    cmp::Ordering,
    fs::{self, Metadata},
    os::unix::fs::MetadataExt,
    sync::OnceLock,
};

use super::{Done, FORMAT, Record, Store, StoreError, derived, record::Outline};
use crate::base::digest::Digest;

/// The file's name.
pub(super) const NAME: &str = "records.snapshot";

/// So few records are read as quickly one by one.
pub(super) const WORTHWHILE: usize = 256;

/// What the records said, as far as the planning of other steps asks for it.
///
/// First come the form and the number of entries, then the entries in the order of their keys, each of one length, and then what has none for each of them: the stage, the address, and the files of the object.
#[derive(Debug, Default)]
pub(super) struct Snapshot {
    bytes: Vec<u8>,
    /// The digest of the bytes; None where there is no snapshot.
    digest: Option<Digest>,
    /// For each entry whether its record and its object are as they were, once somebody looked.
    seen: Vec<OnceLock<bool>>,
}

/// What an entry says of a record: what was made, what the file system said of the record's file, and where the rest is
/// told.
#[derive(Clone, Copy, Debug)]
struct Entry {
    done: Done,
    stamp: Stamp,
    rest: u64,
}

/// What the file system says of a file. Nobody can write to a file and keep its time of change.
type Stamp = [u64; 6];

/// The form of these bytes, and that of the records that they tell of.
const FORM: u64 = (FORMAT as u64) << 32 | 3;

const DIGEST: usize = 32;
const WORD: usize = 8;
const HEAD: usize = 2 * WORD;
const ENTRY: usize = 2 * DIGEST + 9 * WORD;

impl Snapshot {
    /// The snapshot of a store; an empty one where there is none, or where it is not as it was written.
    pub(super) fn read(store: &Store) -> Self {
        let read = || {
            let (bytes, digest) = derived::read(store, NAME)?;
            let count = word(bytes.get(WORD..)?).filter(|_| word(&bytes) == Some(FORM))?;
            Some(Self::of(bytes, digest, count as usize))
        };
        read().unwrap_or_default()
    }

    fn of(bytes: Vec<u8>, digest: Digest, count: usize) -> Self {
        Self { bytes, digest: Some(digest), seen: (0..count).map(|_| OnceLock::new()).collect() }
    }

    /// The digest of all that it tells; None where it tells nothing.
    pub(super) fn digest(&self) -> Option<Digest> {
        self.digest
    }

    /// What was made of a key, where its record is as it was and its object is there.
    pub(super) fn done(&self, store: &Store, key: &Digest) -> Option<Done> {
        self.at(store, self.find(key)?)
    }

    /// As [`Snapshot::done`], for the key in a place.
    pub(super) fn at(&self, store: &Store, place: usize) -> Option<Done> {
        self.look(store, place).then(|| self.entry(place))?.map(|entry| entry.done)
    }

    /// How many records it tells of.
    pub(super) fn len(&self) -> usize {
        self.seen.len()
    }

    /// Looks at the record in a place and at its object, once, whoever asks; says whether they are as they were.
    pub(super) fn look(&self, store: &Store, place: usize) -> bool {
        let look = || {
            let Some(entry) = self.entry(place) else { return false };
            let same = fs::metadata(store.record_file(&entry.done.key)).is_ok_and(|it| stamp(&it) == entry.stamp);
            let object = store.object(&entry.done.output);
            let mut files = pairs(self.rest(place)).skip(2).peekable();
            same && files.peek().is_some()
                && files.all(|(name, bytes)| fs::metadata(object.join(name)).is_ok_and(|it| it.len() == bytes))
        };
        self.seen.get(place).is_some_and(|seen| *seen.get_or_init(look))
    }

    /// What tells which records are to be read, of the one in a place, where it is as it was and its object is there.
    pub(super) fn outline(&self, store: &Store, place: usize) -> Option<Outline> {
        let key = self.at(store, place)?.key;
        let mut rest = pairs(self.rest(place));
        let ((stage, finished), (address, _)) = rest.next().zip(rest.next())?;
        Some(Outline { format: FORMAT, key, stage: stage.to_owned(), address: address.to_owned(), finished })
    }

    /// Writes the snapshot of these steps, with what this one has of them, and gives it; None where they are few.
    pub(super) fn renewed(&self, store: &Store, made: impl Iterator<Item = Done>) -> Result<Option<Self>, StoreError> {
        let kept = |done: &Done| {
            let place = self.find(&done.key).filter(|place| self.look(store, *place))?;
            Some((self.entry(place)?, self.rest(place).to_vec()))
        };
        let entries: Vec<_> = made.filter_map(|done| kept(&done).or_else(|| store.entry(&done.key))).collect();
        if entries.len() < WORTHWHILE {
            return Ok(None);
        }
        let (bytes, count) = written(entries);
        let digest = derived::write(store, NAME, &bytes)?;
        Ok(Some(Self::of(bytes, digest, count)))
    }

    /// The place of a key.
    pub(super) fn find(&self, key: &Digest) -> Option<usize> {
        let (mut low, mut high) = (0, self.len());
        while low < high {
            let middle = (low + high) / 2;
            match self.bytes.get(HEAD + middle * ENTRY..)?.get(..DIGEST)?.cmp(key.bytes()) {
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

    /// What is told of an entry that has no length of its own.
    fn rest(&self, place: usize) -> &[u8] {
        let start = |place: usize| self.entry(place).map(|entry| entry.rest as usize);
        let end = if place + 1 < self.len() { start(place + 1) } else { Some(self.bytes.len()) };
        start(place).zip(end).and_then(|(start, end)| self.bytes.get(start..end)).unwrap_or_default()
    }
}

/// The bytes of a snapshot, and how many entries it has.
fn written(mut entries: Vec<(Entry, Vec<u8>)>) -> (Vec<u8>, usize) {
    entries.sort_by_key(|(entry, _)| entry.done.key);
    entries.dedup_by_key(|(entry, _)| entry.done.key);
    let mut bytes = Vec::new();
    [FORM, entries.len() as u64].iter().for_each(|it| bytes.extend(it.to_le_bytes()));
    let mut at = HEAD + entries.len() * ENTRY;
    for (entry, rest) in &entries {
        Entry { rest: at as u64, ..*entry }.write(&mut bytes);
        at += rest.len();
    }
    entries.iter().for_each(|(_, rest)| bytes.extend(rest));
    (bytes, entries.len())
}

impl Entry {
    fn read(bytes: &[u8]) -> Option<Self> {
        let (key, rest) = bytes.split_at_checked(DIGEST)?;
        let (output, rest) = rest.split_at_checked(DIGEST)?;
        let at = |place: usize| word(rest.get(place * WORD..)?);
        let answer_length = Some(f64::from_bits(at(1)?)).filter(|it| !it.is_nan());
        let [key, output] = [Digest::from_bytes(key)?, Digest::from_bytes(output)?];
        let done = Done { key, output, bytes: at(0)?, answer_length };
        Some(Self { done, stamp: [at(2)?, at(3)?, at(4)?, at(5)?, at(6)?, at(7)?], rest: at(8)? })
    }

    fn write(&self, bytes: &mut Vec<u8>) {
        let Done { key, output, bytes: length, answer_length } = &self.done;
        [key, output].iter().for_each(|it| bytes.extend(it.bytes()));
        let words = [*length, answer_length.unwrap_or(f64::NAN).to_bits()];
        words.iter().chain(&self.stamp).chain([&self.rest]).for_each(|it| bytes.extend(it.to_le_bytes()));
    }
}

/// Names, each with a number: a stage with the time of the record, an address, and each file of the object with its
/// length.
fn pairs(mut bytes: &[u8]) -> impl Iterator<Item = (&str, u64)> {
    std::iter::from_fn(move || {
        let (number, name) = (word(bytes)?, word(bytes.get(WORD..)?)? as usize);
        let (name, rest) = bytes.get(2 * WORD..)?.split_at_checked(name)?;
        bytes = rest;
        Some((std::str::from_utf8(name).ok()?, number))
    })
}

fn word(bytes: &[u8]) -> Option<u64> {
    Some(u64::from_le_bytes(bytes.get(..WORD)?.try_into().ok()?))
}

impl Store {
    /// What a snapshot is to say of a record.
    fn entry(&self, key: &Digest) -> Option<(Entry, Vec<u8>)> {
        let stamp = stamp(&fs::metadata(self.record_file(key)).ok()?);
        let record: Record = self.record(key)?;
        let mut rest = Vec::new();
        let known = [(&record.stage, record.finished), (&record.address, 0)].into_iter();
        for (name, number) in known.chain(record.files.iter().map(|file| (&file.name, file.bytes))) {
            [number, name.len() as u64].iter().for_each(|it| rest.extend(it.to_le_bytes()));
            rest.extend(name.as_bytes());
        }
        Some((Entry { done: Done::from(&record), stamp, rest: 0 }, rest))
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
    use crate::store::{Glance, Listed};

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
            finished: u64::from(at % 7),
            run: "1".into(),
            metrics: if at == 8 { [("completions/mean_length".to_owned(), 8.0)].into() } else { BTreeMap::new() },
            cost: None,
            review: None,
        };
        let records: Vec<Record> = (0..records).map(record).collect();
        records.iter().for_each(|it| store.write_record(it, &folder.path().join("scratch/record")).unwrap());
        (folder, store, records)
    }

    fn remember(store: &Store, records: &[Record]) {
        Snapshot::read(store).renewed(store, records.iter().map(Done::from)).unwrap();
    }

    #[test]
    fn a_record_that_has_not_changed_is_taken_from_the_snapshot() {
        let (_folder, store, records) = store(300);
        remember(&store, &records);
        let snapshot = Snapshot::read(&store);
        assert_eq!(snapshot.done(&store, &records[7].key), Some(Done::from(&records[7])));
        assert_eq!(snapshot.done(&store, &records[8].key).unwrap().answer_length, Some(8.0));
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
    fn an_outline_says_what_the_record_says() {
        let (_folder, store, records) = store(300);
        let without = store.outlines(&Glance::new(&store));
        remember(&store, &records);
        let (glance, seven) = (Glance::new(&store), &records[7]);
        assert_eq!(glance.outline(&seven.key).map(|it| it.address), Some("s7".to_owned()));
        assert_eq!(format!("{:?}", store.outlines(&glance)), format!("{without:?}"));
        fs::write(store.record_file(&seven.key), "").unwrap();
        assert_eq!(store.outlines(&Glance::new(&store)).len(), 299);
    }

    #[test]
    fn what_is_kept_of_an_earlier_snapshot_is_what_is_as_it_was() {
        let (_folder, store, records) = store(300);
        remember(&store, &records);
        let first = fs::read(store.root().join(NAME)).unwrap();
        remember(&store, &records);
        assert_eq!(fs::read(store.root().join(NAME)).unwrap(), first);
        // A record that was written anew, as its step was made once more, is told of as it is now.
        let other = Record { bytes: 5, ..records[7].clone() };
        store.write_record(&other, &store.root().join("scratch/record")).unwrap();
        fs::remove_file(store.record_file(&records[8].key)).unwrap();
        remember(&store, &records);
        let snapshot = Snapshot::read(&store);
        assert_eq!(snapshot.len(), 299);
        assert_eq!(snapshot.done(&store, &records[7].key), Some(Done::from(&other)));
        assert_eq!(snapshot.done(&store, &records[9].key), Some(Done::from(&records[9])));
    }

    #[test]
    fn few_records_are_not_worth_a_snapshot() {
        let (_folder, store, records) = store(10);
        remember(&store, &records);
        assert!(!store.root().join(NAME).exists());
    }
}
