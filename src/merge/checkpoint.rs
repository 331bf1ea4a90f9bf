//! A model's folder, of which only the headers are held; tensors are read one at a time, on all cores.
//!
//! Tensors are read by their place in the file, not through a mapping: what is held is then what was asked for, and a
//! file that shrinks meanwhile is an error and not a signal.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::{self, File},
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
};

use rayon::prelude::*;
use serde::Deserialize;
use serde_json::Value;

use super::MergeError;
use crate::base::precision::Precision;

/// How many numbers one thread reads at a time.
const CHUNK: usize = 1 << 17;
/// A longer header is no header.
const LONGEST_HEADER: u64 = 1 << 28;

/// The headers of a model's files.
pub struct Checkpoint {
    pub folder: PathBuf,
    /// `config.json`.
    pub config: Value,
    files: Vec<(PathBuf, File)>,
    tensors: BTreeMap<String, Stored>,
}

/// Where a tensor is, and what it holds.
#[derive(Clone, Debug)]
pub struct Stored {
    pub shape: Vec<usize>,
    /// The name of its kind of numbers in the file.
    pub kind: String,
    file: usize,
    offset: u64,
    bytes: u64,
}

#[derive(Deserialize)]
struct Entry {
    dtype: String,
    shape: Vec<usize>,
    data_offsets: (u64, u64),
}

impl Stored {
    /// None where it holds no numbers that can be merged.
    #[must_use]
    pub fn precision(&self) -> Option<Precision> {
        Precision::parse(&self.kind)
    }

    /// How many numbers it holds.
    #[must_use]
    pub fn count(&self) -> usize {
        self.shape.iter().product()
    }

    /// How many bytes it takes in the file.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.bytes as usize
    }

    /// Whether it holds whole numbers or truth values, which are carried along and not computed with.
    #[must_use]
    pub fn is_exact(&self) -> bool {
        ["I64", "I32", "I16", "I8", "U64", "U32", "U16", "U8", "BOOL"].contains(&self.kind.as_str())
    }
}

impl Checkpoint {
    /// Reads the configuration and the headers.
    pub fn open(folder: &Path) -> Result<Self, MergeError> {
        if !folder.is_dir() {
            let message = format!("there is no folder `{}`", folder.display());
            return Err(MergeError::request(message).with_hint(
                "models are read from this machine, as folders with `config.json` and safetensors; nothing is downloaded",
            ));
        }
        let config = json(&folder.join("config.json"))?;
        let mut checkpoint = Self { folder: folder.to_owned(), config, files: Vec::new(), tensors: BTreeMap::new() };
        for path in checkpoint.weight_files()? {
            checkpoint.add(path)?;
        }
        Ok(checkpoint)
    }

    /// The tensors by name.
    #[must_use]
    pub fn tensors(&self) -> &BTreeMap<String, Stored> {
        &self.tensors
    }

    /// A number of the configuration, by the first of the names that is there.
    #[must_use]
    pub fn size(&self, names: &[&str]) -> Option<usize> {
        let value = names.iter().find_map(|name| self.config.get(*name)?.as_u64())?;
        usize::try_from(value).ok()
    }

    /// How many layers the configuration speaks of.
    pub fn layers(&self) -> Result<usize, MergeError> {
        self.size(&["num_hidden_layers", "n_layer", "num_layers"])
            .ok_or_else(|| MergeError::model(&self.folder, "`config.json` has no `num_hidden_layers`"))
    }

    /// Whether the output head is the embedding.
    #[must_use]
    pub fn is_tied(&self) -> bool {
        self.config.get("tie_word_embeddings").and_then(Value::as_bool).unwrap_or(false)
    }

    /// A tensor as f32.
    pub fn read(&self, name: &str) -> Result<Vec<f32>, MergeError> {
        let stored = self.find(name)?;
        let Some(precision) = stored.precision() else {
            let message = format!("expected numbers of F32, BF16, F16 or F64, found {}", stored.kind);
            return Err(MergeError::tensor(&self.folder, name, message));
        };
        let (path, file) = &self.files[stored.file];
        let mut values = vec![0.0; stored.count()];
        values
            .par_chunks_mut(CHUNK)
            .enumerate()
            .try_for_each_init(Vec::new, |bytes: &mut Vec<u8>, (at, values)| {
                bytes.resize(values.len() * precision.size(), 0);
                file.read_exact_at(bytes, stored.offset + (at * CHUNK * precision.size()) as u64)?;
                precision.decode(bytes, values);
                Ok(())
            })
            .map_err(MergeError::file(path))?;
        Ok(values)
    }

    /// A tensor's bytes as they are.
    pub fn bytes(&self, name: &str) -> Result<Vec<u8>, MergeError> {
        let stored = self.find(name)?;
        let (path, file) = &self.files[stored.file];
        let mut bytes = vec![0; stored.bytes as usize];
        file.read_exact_at(&mut bytes, stored.offset).map_err(MergeError::file(path))?;
        Ok(bytes)
    }

    fn find(&self, name: &str) -> Result<&Stored, MergeError> {
        self.tensors.get(name).ok_or_else(|| MergeError::model(&self.folder, format!("missing tensor `{name}`")))
    }

    /// One file, or those that the index names.
    fn weight_files(&self) -> Result<Vec<PathBuf>, MergeError> {
        let index = self.folder.join("model.safetensors.index.json");
        let whole = self.folder.join("model.safetensors");
        if whole.is_file() {
            return Ok(vec![whole]);
        }
        if !index.is_file() {
            let message = "expected `model.safetensors` or `model.safetensors.index.json`, found neither";
            return Err(MergeError::model(&self.folder, message));
        }
        let index_json = json(&index)?;
        let map = index_json
            .get("weight_map")
            .and_then(Value::as_object)
            .ok_or_else(|| MergeError::model(&index, "missing field `weight_map`"))?;
        let names: BTreeSet<&str> = map.values().filter_map(Value::as_str).collect();
        Ok(names.into_iter().map(|name| self.folder.join(name)).collect())
    }

    fn add(&mut self, path: PathBuf) -> Result<(), MergeError> {
        let damaged = |what: &str| MergeError::model(&path, format!("is truncated or not a safetensors file: {what}"));
        let file = File::open(&path).map_err(MergeError::file(&path))?;
        let length = file.metadata().map_err(MergeError::file(&path))?.len();
        let mut size = [0; 8];
        file.read_exact_at(&mut size, 0).map_err(|_| damaged("it has no header"))?;
        let size = u64::from_le_bytes(size);
        if size > LONGEST_HEADER || size + 8 > length {
            return Err(damaged("its header is longer than the file"));
        }
        let mut header = vec![0; size as usize];
        file.read_exact_at(&mut header, 8).map_err(MergeError::file(&path))?;
        let entries: BTreeMap<String, Value> =
            serde_json::from_slice(&header).map_err(|error| damaged(&error.to_string()))?;
        for (name, entry) in entries {
            if name == "__metadata__" {
                continue;
            }
            let entry = Entry::deserialize(entry).map_err(|error| damaged(&format!("tensor `{name}`: {error}")))?;
            let (from, to) = entry.data_offsets;
            let stored = Stored {
                shape: entry.shape,
                kind: entry.dtype,
                file: self.files.len(),
                offset: 8 + size + from,
                bytes: to.saturating_sub(from),
            };
            let fits = stored.precision().is_none_or(|it| (stored.count() * it.size()) as u64 == stored.bytes);
            if from > to || 8 + size + to > length || !fits {
                return Err(damaged(&format!("tensor `{name}` lies outside it")));
            }
            if self.tensors.insert(name.clone(), stored).is_some() {
                return Err(MergeError::tensor(&self.folder, &name, "is there twice"));
            }
        }
        self.files.push((path, file));
        Ok(())
    }
}

/// A JSON file.
pub fn json(path: &Path) -> Result<Value, MergeError> {
    let text = fs::read_to_string(path).map_err(MergeError::file(path))?;
    serde_json::from_str(&text).map_err(|error| MergeError::model(path, format!("is not JSON: {error}")))
}
