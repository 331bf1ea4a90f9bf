//! Writing tensors as they come, each to its place in one file or in shards with an index.

use std::{
    collections::BTreeMap,
    fs::File,
    io::ErrorKind,
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
};

use rayon::prelude::*;
use serde_json::{Map, Value, json};

use super::MergeError;
use crate::base::{disk, precision::Precision};

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
    /// Which file holds what, where there are several.
    index: Option<Value>,
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
    /// several, and [`Output::write_index`] says which holds what.
    pub fn create(folder: &Path, slots: BTreeMap<String, Slot>, shard: u64) -> Result<Self, MergeError> {
        Self::open(folder, slots, shard, false)
    }

    /// The files of an earlier attempt with all that was written into them; None where they are not there as
    /// [`Output::create`] would make them.
    pub fn reopen(folder: &Path, slots: BTreeMap<String, Slot>, shard: u64) -> Option<Self> {
        Self::open(folder, slots, shard, true).ok()
    }

    fn open(folder: &Path, slots: BTreeMap<String, Slot>, shard: u64, again: bool) -> Result<Self, MergeError> {
        let shards = divide(&slots, shard);
        let name = |at: usize| match shards.len() {
            1 => "model.safetensors".to_owned(),
            count => format!("model-{:05}-of-{count:05}.safetensors", at + 1),
        };
        let mut output = Self { files: Vec::new(), places: BTreeMap::new(), slots: BTreeMap::new(), index: None };
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
            let head = [&(header.len() as u64).to_le_bytes()[..], &header].concat();
            if again {
                let file = disk::reopen(&path).map_err(MergeError::file(&path))?;
                let mut found = vec![0; head.len()];
                let whole = file.metadata().is_ok_and(|it| it.len() == first + end);
                if !whole || file.read_exact_at(&mut found, 0).is_err() || found != head {
                    return Err(MergeError::file(&path)(std::io::ErrorKind::InvalidData.into()));
                }
                output.files.push((path, file));
                continue;
            }
            let file = disk::create(&path).map_err(MergeError::file(&path))?;
            let write = || {
                disk::set_length(&file, &path, first + end)?;
                disk::write_at(&file, &path, &head, 0)
            };
            write().map_err(MergeError::file(&path))?;
            output.files.push((path, file));
        }
        if shards.len() > 1 {
            map.sort_keys();
            let total: u64 = slots.values().map(Slot::bytes).sum();
            output.index = Some(json!({"metadata": {"total_size": total}, "weight_map": map}));
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
                disk::write_at(file, path, bytes, start + ((first + at * CHUNK) * precision.size()) as u64)
            })
            .map_err(MergeError::file(path))
    }

    /// The bytes of a tensor as they were written.
    pub fn read(&self, name: &str) -> Result<Vec<u8>, MergeError> {
        let (Some((at, start)), Some(slot)) = (self.places.get(name), self.slots.get(name)) else {
            return Ok(Vec::new());
        };
        let (path, file) = &self.files[*at];
        let mut bytes = vec![0; slot.bytes() as usize];
        file.read_exact_at(&mut bytes, *start).map_err(MergeError::file(path))?;
        Ok(bytes)
    }

    /// Writes `model.safetensors.index.json` into a folder, where there are several files.
    pub fn write_index(&self, folder: &Path) -> Result<(), MergeError> {
        let Some(index) = &self.index else { return Ok(()) };
        let path = folder.join("model.safetensors.index.json");
        disk::save(&path, format!("{index:#}\n")).map_err(MergeError::file(&path))
    }

    /// Makes durable all that was written.
    pub fn sync(&self) -> Result<(), MergeError> {
        self.files.iter().try_for_each(|(path, file)| disk::sync(file, path).map_err(MergeError::file(path)))
    }

    /// Moves the files to the folder where they belong.
    pub fn move_to(self, folder: &Path) -> Result<(), MergeError> {
        for (path, file) in self.files {
            drop(file);
            let to = folder.join(path.file_name().unwrap_or_default());
            let moved = disk::rename(&path, &to).or_else(|error| match error.kind() {
                ErrorKind::CrossesDevices => disk::copy(&path, &to),
                _ => Err(error),
            });
            moved.map_err(MergeError::file(&to))?;
        }
        Ok(())
    }

    /// Writes bytes to their place.
    pub fn write_exact(&self, name: &str, bytes: &[u8]) -> Result<(), MergeError> {
        let Some((at, start)) = self.places.get(name) else { return Ok(()) };
        let (path, file) = &self.files[*at];
        disk::write_at(file, path, bytes, *start).map_err(MergeError::file(path))
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
