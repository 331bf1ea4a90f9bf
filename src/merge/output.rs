//! Writing tensors as they come, each to its place in one file or in shards with an index.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
};

use rayon::prelude::*;
use serde_json::{Map, Value, json};

use super::{MergeError, precision::Precision};

/// How many numbers one thread writes at a time.
const CHUNK: usize = 1 << 17;

/// What a file will hold under a name.
#[derive(Clone, Debug)]
pub struct Slot {
    pub shape: Vec<usize>,
    pub kind: Kind,
}

/// How a tensor is written.
#[derive(Clone, Debug, PartialEq)]
pub enum Kind {
    Numbers(Precision),
    /// Bytes as they were, with the name of their kind and how many bytes there are.
    Exact(String, usize),
}

/// The files, with room for every tensor.
pub struct Output {
    files: Vec<(PathBuf, File)>,
    places: BTreeMap<String, (usize, u64)>,
    slots: BTreeMap<String, Slot>,
}

impl Slot {
    fn bytes(&self) -> u64 {
        match &self.kind {
            Kind::Numbers(precision) => (self.shape.iter().product::<usize>() * precision.size()) as u64,
            Kind::Exact(_, bytes) => *bytes as u64,
        }
    }

    fn kind_name(&self) -> &str {
        match &self.kind {
            Kind::Numbers(precision) => precision.safetensors(),
            Kind::Exact(name, _) => name,
        }
    }

    /// Larger numbers come first in a file, so that all lie where their size divides their place.
    fn rank(&self) -> usize {
        match &self.kind {
            Kind::Numbers(precision) => 8 - precision.size(),
            Kind::Exact(..) => 8,
        }
    }
}

impl Output {
    /// Makes the files. One is called `model.safetensors`; where the tensors take more than `shard` bytes there are
    /// several, and `model.safetensors.index.json` says which holds what.
    pub fn create(folder: &Path, slots: BTreeMap<String, Slot>, shard: u64) -> Result<Self, MergeError> {
        let shards = divide(&slots, shard);
        let name = |at: usize| match shards.len() {
            1 => "model.safetensors".to_owned(),
            count => format!("model-{:05}-of-{count:05}.safetensors", at + 1),
        };
        let mut output = Self { files: Vec::new(), places: BTreeMap::new(), slots: BTreeMap::new() };
        let mut map = Map::new();
        for (at, names) in shards.iter().enumerate() {
            let path = folder.join(name(at));
            let mut fields = Map::new();
            fields.insert("__metadata__".to_owned(), json!({"format": "pt"}));
            let mut end = 0;
            let mut places = Vec::new();
            for tensor in names {
                let Some(slot) = slots.get(*tensor) else { continue };
                let start = end;
                end += slot.bytes();
                let entry = json!({"dtype": slot.kind_name(), "shape": slot.shape, "data_offsets": [start, end]});
                fields.insert((*tensor).to_owned(), entry);
                map.insert((*tensor).to_owned(), name(at).into());
                places.push(((*tensor).to_owned(), start));
            }
            let mut header = Value::Object(fields).to_string().into_bytes();
            // The numbers begin at a multiple of eight bytes.
            header.resize(header.len().next_multiple_of(8), b' ');
            let first = 8 + header.len() as u64;
            output.places.extend(places.into_iter().map(|(tensor, start)| (tensor, (at, first + start))));
            let file = File::create(&path).map_err(MergeError::file(&path))?;
            let write = || {
                file.set_len(first + end)?;
                file.write_all_at(&(header.len() as u64).to_le_bytes(), 0)?;
                file.write_all_at(&header, 8)
            };
            write().map_err(MergeError::file(&path))?;
            output.files.push((path, file));
        }
        if shards.len() > 1 {
            map.sort_keys();
            let total: u64 = slots.values().map(Slot::bytes).sum();
            let index = json!({"metadata": {"total_size": total}, "weight_map": map});
            let path = folder.join("model.safetensors.index.json");
            fs::write(&path, format!("{index:#}\n")).map_err(MergeError::file(&path))?;
        }
        output.slots = slots;
        Ok(output)
    }

    /// Writes numbers to their place, on all cores.
    pub fn write(&self, name: &str, values: &[f32]) -> Result<(), MergeError> {
        self.write_part(name, 0, values)
    }

    /// Writes some of a tensor's numbers, from the `first`-th on; those that nobody writes are noughts.
    pub fn write_part(&self, name: &str, first: usize, values: &[f32]) -> Result<(), MergeError> {
        let Some(Kind::Numbers(precision)) = self.slots.get(name).map(|slot| &slot.kind) else { return Ok(()) };
        let Some((at, start)) = self.places.get(name) else { return Ok(()) };
        let (path, file) = &self.files[*at];
        values
            .par_chunks(CHUNK)
            .enumerate()
            .try_for_each_init(Vec::new, |bytes: &mut Vec<u8>, (at, values)| {
                precision.encode(values, bytes);
                file.write_all_at(bytes, start + ((first + at * CHUNK) * precision.size()) as u64)
            })
            .map_err(MergeError::file(path))
    }

    /// Writes bytes to their place.
    pub fn write_exact(&self, name: &str, bytes: &[u8]) -> Result<(), MergeError> {
        let Some((at, start)) = self.places.get(name) else { return Ok(()) };
        let (path, file) = &self.files[*at];
        file.write_all_at(bytes, *start).map_err(MergeError::file(path))
    }
}

/// The names of the tensors of each file: in the order of the alphabet, filled up one after the other.
fn divide(slots: &BTreeMap<String, Slot>, shard: u64) -> Vec<Vec<&str>> {
    let mut shards: Vec<Vec<&str>> = vec![Vec::new()];
    let mut filled = 0;
    for (name, slot) in slots {
        if filled > 0 && filled + slot.bytes() > shard {
            shards.push(Vec::new());
            filled = 0;
        }
        filled += slot.bytes();
        if let Some(last) = shards.last_mut() {
            last.push(name);
        }
    }
    for names in &mut shards {
        names.sort_by_key(|name| (slots.get(*name).map(Slot::rank), *name));
    }
    shards
}
