//! What the store knows of where things come from: which step made what, from which steps and which files.

use std::{
    collections::BTreeMap,
    fs,
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
};

use serde_json::Value;

use crate::{
    base::digest::Digest,
    run::{Event, Logged},
    store::{Record, Store},
};

/// Every record of a store, by what it made.
pub struct Lineage<'a> {
    store: &'a Store,
    records: Vec<Record>,
    makers: BTreeMap<Digest, usize>,
}

/// A thing that went into a step.
#[derive(Clone, Debug, PartialEq)]
pub struct Source {
    /// The port, or the argument that names the file.
    pub name: String,
    pub digest: Digest,
    pub kind: SourceKind,
}

#[derive(Clone, Debug, PartialEq)]
pub enum SourceKind {
    /// What another step made.
    Artifact,
    /// A file or folder from outside the store, with its path where the run's log still tells it.
    File(Option<PathBuf>),
}

impl<'a> Lineage<'a> {
    #[must_use]
    pub fn new(store: &'a Store) -> Self {
        let records = store.records();
        let mut makers = BTreeMap::new();
        // Of several that made the same, such as a filter that kept all, the oldest did it from something else.
        for (at, record) in records.iter().enumerate() {
            if !takes(record, &record.output) {
                makers.insert(record.output, at);
            }
        }
        Self { store, records, makers }
    }

    /// The records that a name stands for: the key or the object of that digest (its first digits are enough), else the
    /// newest record of that address.
    #[must_use]
    pub fn find(&self, name: &str) -> Vec<&Record> {
        let hex = name.len() >= 4 && name.chars().all(|c| c.is_ascii_hexdigit());
        let named = |it: &&Record| hex && (it.key.hex().starts_with(name) || it.output.hex().starts_with(name));
        let found: Vec<&Record> = self.records.iter().filter(named).collect();
        if !found.is_empty() {
            return found;
        }
        self.records.iter().find(|record| record.address == name).into_iter().collect()
    }

    /// Every address in the store, for suggestions.
    pub fn addresses(&self) -> impl Iterator<Item = &str> {
        self.records.iter().map(|record| record.address.as_str())
    }

    /// The oldest record of a step that made an object out of other things.
    #[must_use]
    pub fn maker(&self, object: &Digest) -> Option<&Record> {
        self.records.get(*self.makers.get(object)?)
    }

    /// All that went into a step: its artifacts by port, then its files.
    #[must_use]
    pub fn sources(&self, record: &Record) -> Vec<Source> {
        let digest = |it: &Value| it.as_str()?.parse::<Digest>().ok();
        let mut sources = Vec::new();
        for (port, value) in members(record, "inputs") {
            let digests: Vec<Digest> = value.as_array().into_iter().flatten().filter_map(digest).collect();
            let many = digests.len() > 1;
            for (at, digest) in digests.into_iter().enumerate() {
                let name = if many { format!("{port}[{at}]") } else { port.clone() };
                sources.push(Source { name, digest, kind: SourceKind::Artifact });
            }
        }
        let mut paths = None;
        for (argument, value) in members(record, "files") {
            let Some(digest) = digest(value) else { continue };
            let paths = paths.get_or_insert_with(|| self.paths(record));
            sources.push(Source {
                name: argument.clone(),
                digest,
                kind: SourceKind::File(paths.get(argument).cloned()),
            });
        }
        sources
    }

    /// Where an object is.
    #[must_use]
    pub fn folder(&self, object: &Digest) -> PathBuf {
        self.store.object(object)
    }

    /// How many rows an object has, where it is a data set.
    #[must_use]
    pub fn rows(&self, object: &Digest) -> Option<u64> {
        let summary = fs::read(self.folder(object).join("dataset.json")).ok()?;
        serde_json::from_slice::<Value>(&summary).ok()?.get("rows")?.as_u64()
    }

    /// The paths of the files that a step read, as the log of its run tells them.
    fn paths(&self, record: &Record) -> BTreeMap<String, PathBuf> {
        let started = events(&self.store.run_file(&record.run)).find_map(|it| match it.event {
            Event::StepStarted { key, files, .. } if key == record.key => Some(files),
            _ => None,
        });
        started.unwrap_or_default()
    }
}

/// The events of a run's log. A line that a kill cut off, or that another version wrote, is passed over.
pub fn events(log: &Path) -> impl Iterator<Item = Logged> + use<> {
    let lines = fs::File::open(log).ok().map(|file| BufReader::new(file).lines().map_while(Result::ok));
    lines.into_iter().flatten().filter_map(|line| serde_json::from_str(&line).ok())
}

/// Whether an object is among the inputs of a step.
fn takes(record: &Record, object: &Digest) -> bool {
    let name = object.hex();
    members(record, "inputs").any(|(_, value)| value.as_array().into_iter().flatten().any(|it| *it == name.as_str()))
}

/// The members of one part of a key's fields.
fn members<'r>(record: &'r Record, part: &str) -> impl Iterator<Item = (&'r String, &'r Value)> + use<'r> {
    record.fields.get(part).and_then(Value::as_object).into_iter().flatten()
}
