//! A record says which step made which object, from what, and at what cost. It stands for itself.

use std::{cmp::Reverse, collections::BTreeMap, fs, path::Path};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{
    Cost, Glance, Listed, Store, StoreError, disk, durable,
    sealed::{unchanged, with_check},
};
use crate::base::{decision::Reviewed, digest::Digest};

/// The version of the records' form; a record of another version counts as not there.
pub const FORMAT: u32 = 2;

/// What `records/<key>.json` says.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Record {
    pub format: u32,
    pub key: Digest,
    /// Everything that went into the key.
    pub fields: Value,
    pub stage: String,
    /// The step's address in the recipe that made it, which is no part of the key.
    pub address: String,
    /// The digest of the object.
    pub output: Digest,
    pub bytes: u64,
    pub files: Vec<Listed>,
    pub seconds: f64,
    /// Milliseconds since the epoch at which the step was done.
    pub finished: u64,
    pub run: String,
    /// The last figures that the step told.
    pub metrics: BTreeMap<String, f64>,
    /// What it was expected to cost and did cost; records of earlier versions do not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cost: Option<Cost>,
    /// Who decided on the rows, where people did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub review: Option<Reviewed>,
}

/// What tells which records are to be read.
#[derive(Debug, Deserialize)]
pub(super) struct Outline {
    pub(super) format: u32,
    pub(super) key: Digest,
    pub(super) stage: String,
    pub(super) address: String,
    pub(super) finished: u64,
}

impl Store {
    /// The record of a key. One that cannot be read, or that is not of this key, is none.
    #[must_use]
    pub fn record(&self, key: &Digest) -> Option<Record> {
        let bytes = fs::read(self.record_file(key)).ok()?;
        let record: Record = serde_json::from_slice(unchanged(&bytes)?).ok()?;
        (record.format == FORMAT && record.key == *key).then_some(record)
    }

    /// The record of a step that is done: its object is there as well, each file with its length.
    #[must_use]
    pub fn done(&self, key: &Digest) -> Option<Record> {
        self.record(key).filter(|record| self.holds(record))
    }

    /// Every record that can be read, the newest first.
    #[must_use]
    pub fn records(&self) -> Vec<Record> {
        let mut records: Vec<Record> = self.recorded().filter_map(|key| self.record(&key)).collect();
        records.sort_by_key(|record| (Reverse(record.finished), record.key));
        records
    }

    /// The outline of every record, the newest first. Whether a record is as it was written is seen when it is read; those
    /// that a glance has seen are not.
    pub(super) fn outlines(&self, glance: &Glance) -> Vec<Outline> {
        let read = |key: &Digest| {
            let outline: Outline = serde_json::from_slice(&fs::read(self.record_file(key)).ok()?).ok()?;
            (outline.format == FORMAT && outline.key == *key).then_some(outline)
        };
        let outline = |key: Digest| glance.outline(&key).or_else(|| read(&key));
        let mut outlines: Vec<Outline> = self.recorded().filter_map(outline).collect();
        outlines.sort_by_key(|outline| (Reverse(outline.finished), outline.key));
        outlines
    }

    /// The keys for which there are files.
    pub(super) fn recorded(&self) -> impl Iterator<Item = Digest> {
        let entries = fs::read_dir(self.root().join("records")).into_iter().flatten().flatten();
        entries.filter_map(|entry| entry.file_name().to_str()?.strip_suffix(".json")?.parse().ok())
    }

    /// Removes the record of a key, so that its step is to be made again.
    pub(super) fn forget(&self, key: &Digest) -> Result<(), StoreError> {
        disk::remove_file(&self.record_file(key))?;
        durable::sync_folder(&self.root().join("records"))
    }

    pub(super) fn write_record(&self, record: &Record, scratch: &Path) -> Result<(), StoreError> {
        let path = self.record_file(&record.key);
        let text = serde_json::to_string_pretty(record).map_err(|error| StoreError::file(&path, error.into()))?;
        durable::write(&path, with_check(&text).as_bytes(), scratch)
    }
}

/// Whether a file is the record of another version of the program.
pub(super) fn is_of_another_version(path: &Path) -> bool {
    let read = || serde_json::from_slice::<Value>(&fs::read(path).ok()?).ok()?.get("format")?.as_u64();
    read().is_some_and(|format| format != u64::from(FORMAT))
}
