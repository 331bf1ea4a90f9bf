//! Writing a model to a folder, with the names and shapes of the hub; the same model gives the same bytes.
//!
//! Of a model in bf16 the biases of the routers stay in f32, as in the files that DeepSeek released.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::io::Write;
use std::path::Path;

use serde_json::{Value, json};

use super::error::ModelError;
use super::load::CLASSIFICATION;
use super::ops;
use super::transformer::Transformer;
use crate::base::{
    disk::{self, Writer},
    precision::Precision,
};

/// How many numbers are encoded at a time.
const CHUNK: usize = 1 << 16;

/// The tensors to write, by how many bytes a number has (the most first, so that all lie at multiples of their size) and
/// by their names on the hub.
type HubTensors<'a> = BTreeMap<(Reverse<usize>, &'a str), HubValues<'a>>;

#[derive(Clone)]
struct HubValues<'a> {
    shape: &'a [usize],
    precision: Precision,
    values: Vec<f32>,
}

impl Transformer {
    /// Writes `config.json`, `generation_config.json` and `model.safetensors` (tensors in the order of their names,
    /// f32). A model that scores generates nothing.
    pub fn save(&self, dir: &Path) -> Result<(), ModelError> {
        self.save_in(dir, Precision::F32)
    }

    /// As [`Transformer::save`], with the weights in some precision, each rounded to the nearest.
    pub fn save_in(&self, dir: &Path, precision: Precision) -> Result<(), ModelError> {
        disk::create_folder(dir).map_err(ModelError::file(dir))?;
        write_json(&dir.join("config.json"), &self.config_json(precision))?;
        if !self.is_scoring() {
            write_json(&dir.join("generation_config.json"), &self.generation_config())?;
        }
        let file = dir.join("model.safetensors");
        let tensors = self.hub_tensors(precision)?;
        let bytes = header(&tensors)?;
        let write = || {
            let mut out = Writer::buffered(&file, 1 << 20)?;
            out.write_all(&bytes)?;
            let mut bytes = Vec::new();
            for tensor in tensors.values() {
                for values in tensor.values.chunks(CHUNK) {
                    tensor.precision.encode(values, &mut bytes);
                    out.write_all(&bytes)?;
                }
            }
            out.flush()
        };
        write().map_err(ModelError::file(&file))
    }

    /// The configuration; of a model that scores it names the class that scores, and its one label.
    fn config_json(&self, precision: Precision) -> Value {
        let mut config = self.config().to_json();
        config["torch_dtype"] = json!(precision.to_string());
        if let (true, Some(fields)) = (self.is_scoring(), config.as_object_mut()) {
            let class = fields.get("architectures").and_then(|it| it.get(0)?.as_str()).unwrap_or_default();
            let class = class.replace("ForCausalLM", CLASSIFICATION);
            fields.insert("architectures".to_owned(), json!([class]));
            fields.insert("id2label".to_owned(), json!({"0": "LABEL_0"}));
            fields.insert("label2id".to_owned(), json!({"LABEL_0": 0}));
        }
        config
    }

    /// What transformers asks for when it generates: the special tokens.
    fn generation_config(&self) -> Value {
        let tokens = self.config().special_tokens();
        json!({
            "bos_token_id": tokens.bos,
            "eos_token_id": tokens.eos_to_json(),
            "pad_token_id": tokens.pad,
        })
    }

    fn hub_tensors(&self, precision: Precision) -> Result<HubTensors<'_>, ModelError> {
        let mut tensors = BTreeMap::new();
        for (variable, (_, var)) in self.plan().variables.iter().zip(self.variables()) {
            ops::read(var, |values| {
                for tensor in &variable.tensors {
                    let values = values[tensor.range()].to_vec();
                    let name = (Reverse(precision.size()), tensor.name.as_str());
                    tensors.insert(name, HubValues { shape: &tensor.shape, precision, values });
                }
            })?;
        }
        for (copy, of) in &self.plan().copies {
            if let Some(original) = tensors.get(&(Reverse(precision.size()), of.as_str())).cloned() {
                tensors.insert((Reverse(precision.size()), copy.as_str()), original);
            }
        }
        for (bias, values) in self.plan().biases.iter().zip(self.router_biases()) {
            let name = (Reverse(Precision::F32.size()), bias.name.as_str());
            let values = values.clone();
            tensors.insert(name, HubValues { shape: &bias.shape, precision: Precision::F32, values });
        }
        Ok(tensors)
    }
}

/// The header of a safetensors file: its length, and the place of each tensor.
fn header(tensors: &HubTensors<'_>) -> Result<Vec<u8>, ModelError> {
    let mut fields = serde_json::Map::new();
    fields.insert("__metadata__".to_owned(), json!({"format": "pt"}));
    let mut offset = 0;
    for ((_, name), HubValues { shape, precision, values }) in tensors {
        let end = offset + precision.size() * values.len();
        let kind = precision.safetensors();
        fields.insert((*name).to_owned(), json!({"dtype": kind, "shape": shape, "data_offsets": [offset, end]}));
        offset = end;
    }
    let mut text = Value::Object(fields).to_string().into_bytes();
    // The numbers begin at a multiple of eight bytes.
    text.resize(text.len().next_multiple_of(8), b' ');
    let mut bytes = (text.len() as u64).to_le_bytes().to_vec();
    bytes.append(&mut text);
    Ok(bytes)
}

fn write_json(file: &Path, value: &Value) -> Result<(), ModelError> {
    let text = format!("{value:#}\n");
    disk::save(file, text).map_err(ModelError::file(file))
}
