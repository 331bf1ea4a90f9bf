//! Reading a model from a folder: `config.json`, and `model.safetensors` or the shards that its index names.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use safetensors::{Dtype, SafeTensors};

use super::config::Config;
use super::error::ModelError;
use super::transformer::Transformer;
use super::weights::{HubTensor, Plan};
use crate::base::precision::Precision;

const WEIGHTS: &str = "model.safetensors";
const INDEX: &str = "model.safetensors.index.json";

impl Transformer {
    /// Reads a model. Every tensor that the configuration asks for must be there in its shape, and no other.
    pub fn load(dir: &Path) -> Result<Self, ModelError> {
        let config = Config::read(dir)?;
        if is_scoring(dir)? {
            return Err(ModelError::Config(format!(
                "`{}` holds a reward model, `..{CLASSIFICATION}`; expected a language model, `..ForCausalLM`",
                dir.display()
            )));
        }
        let plan = Plan::new(&config);
        Self::read(dir, config, plan)
    }

    /// Reads a reward model, transformers' `..ForSequenceClassification` of one label.
    pub fn load_scoring(dir: &Path) -> Result<Self, ModelError> {
        let config = Config::read(dir)?;
        if !is_scoring(dir)? {
            return Err(ModelError::Config(format!(
                "`{}` holds a language model; expected a reward model, `..{CLASSIFICATION}` of one label",
                dir.display()
            )));
        }
        let plan = Plan::scoring(&config);
        Self::read(dir, config, plan)
    }

    fn read(dir: &Path, config: Config, plan: Plan) -> Result<Self, ModelError> {
        let mut reader = Reader::new(&config, &plan);
        for file in weight_files(dir)? {
            reader.read(&file)?;
        }
        reader.finish(dir)?;
        let Reader { values, biases, .. } = reader;
        Self::from_parts(config, plan, values, biases)
    }
}

/// How the names of transformers' classes end that score a text.
pub(super) const CLASSIFICATION: &str = "ForSequenceClassification";

/// Whether the configuration of a folder names a class that scores.
fn is_scoring(dir: &Path) -> Result<bool, ModelError> {
    let file = dir.join("config.json");
    let text = std::fs::read_to_string(&file).map_err(ModelError::file(&file))?;
    let value: serde_json::Value = serde_json::from_str(&text)
        .map_err(|error| ModelError::Config(format!("`{}` is not JSON: {error}", file.display())))?;
    let class = value.pointer("/architectures/0").and_then(serde_json::Value::as_str);
    Ok(class.is_some_and(|it| it.ends_with(CLASSIFICATION)))
}

/// The files of weights: one, or those that an index names.
fn weight_files(dir: &Path) -> Result<Vec<PathBuf>, ModelError> {
    let index = dir.join(INDEX);
    if dir.join(WEIGHTS).exists() || !index.exists() {
        return Ok(vec![dir.join(WEIGHTS)]);
    }
    let text = std::fs::read_to_string(&index).map_err(ModelError::file(&index))?;
    let value: serde_json::Value = serde_json::from_str(&text)
        .map_err(|error| ModelError::Weights(format!("`{}` is not JSON: {error}", index.display())))?;
    let map = value
        .get("weight_map")
        .and_then(serde_json::Value::as_object)
        .ok_or_else(|| ModelError::Weights(format!("`{}`: missing field `weight_map`", index.display())))?;
    let names: BTreeSet<&str> = map.values().filter_map(serde_json::Value::as_str).collect();
    Ok(names.into_iter().map(|name| dir.join(name)).collect())
}

/// Where the tensors of the files go.
struct Reader<'a> {
    plan: &'a Plan,
    /// The tensors still awaited: where each goes.
    awaited: BTreeMap<&'a str, Place<'a>>,
    values: Vec<Vec<f32>>,
    biases: Vec<Vec<f32>>,
    /// What copies of tensors hold: the name, whose copy it is, and the numbers.
    copies: Vec<(&'a str, &'a str, Vec<f32>)>,
    /// Whether a copy of the embedding under the head's name is allowed, as some files of tied models hold.
    tied: bool,
}

#[derive(Clone, Copy)]
enum Place<'a> {
    Variable(usize, &'a HubTensor),
    Bias(usize, &'a HubTensor),
}

impl<'a> Reader<'a> {
    fn new(config: &Config, plan: &'a Plan) -> Self {
        let variables = plan.variables.iter().enumerate();
        let variables = variables.flat_map(|(at, variable)| {
            variable.tensors.iter().map(move |tensor| (tensor.name.as_str(), Place::Variable(at, tensor)))
        });
        let biases = plan.biases.iter().enumerate().map(|(at, bias)| (bias.name.as_str(), Place::Bias(at, bias)));
        Self {
            plan,
            awaited: variables.chain(biases).collect(),
            values: plan.variables.iter().map(|variable| vec![0.0; variable.len()]).collect(),
            biases: plan.biases.iter().map(|bias| vec![0.0; bias.range().len()]).collect(),
            copies: Vec::new(),
            tied: config.ties_embeddings(),
        }
    }

    fn read(&mut self, file: &Path) -> Result<(), ModelError> {
        let bytes = std::fs::read(file).map_err(ModelError::file(file))?;
        let tensors = SafeTensors::deserialize(&bytes).map_err(|error| {
            ModelError::Weights(format!("`{}` is truncated or not a safetensors file: {error}", file.display()))
        })?;
        let names: BTreeSet<&str> = tensors.names().into_iter().collect();
        for name in names {
            if self.tied && name == "lm_head.weight" {
                continue;
            }
            let view = tensors.tensor(name).map_err(|error| self.fault(file, name, &error.to_string()))?;
            if let Some((copy, of)) = self.plan.copies.iter().find(|(copy, _)| copy == name) {
                let numbers = decode(view.dtype(), view.data()).unwrap_or_default();
                self.copies.push((copy, of, numbers));
                continue;
            }
            let Some(place) = self.awaited.remove(name) else {
                let text = if self.plan.find(name).is_some() { "is there twice" } else { "is not part of this model" };
                return Err(self.fault(file, name, text));
            };
            let (Place::Variable(_, tensor) | Place::Bias(_, tensor)) = place;
            if view.shape() != tensor.shape {
                let text = format!("expected shape {:?}, found {:?}", tensor.shape, view.shape());
                return Err(self.fault(file, name, &text));
            }
            let numbers = decode(view.dtype(), view.data()).ok_or_else(|| {
                self.fault(file, name, &format!("expected numbers of F32, F16 or BF16, found {:?}", view.dtype()))
            })?;
            match place {
                Place::Variable(at, tensor) => self.values[at][tensor.range()].copy_from_slice(&numbers),
                Place::Bias(at, _) => self.biases[at].copy_from_slice(&numbers),
            }
        }
        Ok(())
    }

    /// Complains about tensors that no file held.
    fn finish(&self, dir: &Path) -> Result<(), ModelError> {
        let mut missing = self.awaited.keys();
        match (missing.next(), missing.len()) {
            (None, _) => self.compare_copies(dir),
            (Some(name), 0) => Err(ModelError::Weights(format!("`{}`: missing tensor `{name}`", dir.display()))),
            (Some(name), more) => {
                Err(ModelError::Weights(format!("`{}`: missing tensor `{name}` and {more} more", dir.display())))
            }
        }
    }

    /// Copies may be left out, but where they are they must be copies: this program has one tensor for both.
    fn compare_copies(&self, dir: &Path) -> Result<(), ModelError> {
        for (name, of, numbers) in &self.copies {
            let found = self.plan.find(of).is_some_and(|(at, tensor)| self.values[at][tensor.range()] == **numbers);
            if !found {
                return Err(self.fault(dir, name, &format!("expected the numbers of `{of}`, found others")));
            }
        }
        Ok(())
    }

    fn fault(&self, file: &Path, name: &str, text: &str) -> ModelError {
        ModelError::Weights(format!("`{}`: tensor `{name}`: {text}", file.display()))
    }
}

/// The numbers as f32: each is the one that the file holds.
fn decode(kind: Dtype, bytes: &[u8]) -> Option<Vec<f32>> {
    let precision = match kind {
        Dtype::F32 => Precision::F32,
        Dtype::F16 => Precision::F16,
        Dtype::BF16 => Precision::BF16,
        _ => return None,
    };
    let mut numbers = vec![0.0; bytes.len() / precision.size()];
    precision.decode(bytes, &mut numbers);
    Some(numbers)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn brain_floats_are_the_upper_half_of_f32() {
        assert_eq!(decode(Dtype::BF16, &[0x80, 0x3f, 0x00, 0xc0]), Some(vec![1.0, -2.0]));
        assert_eq!(decode(Dtype::I32, &[0; 4]), None);
    }
}
