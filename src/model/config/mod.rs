//! The configuration of a model: the `config.json` of the Hugging Face hub, read and written.
//!
//! A field that would change what the model computes, and that this program does not follow, is an error: a model that
//! loads is a model that is computed as its authors meant it.

mod deepseek;
mod fields;
mod llama;
mod rope;

use std::path::Path;

use serde_json::Value;

use super::error::ModelError;

pub use deepseek::DeepseekConfig;
pub use llama::LlamaConfig;
pub use rope::{Rope, Scaling};

/// What kind of model it is, and its sizes.
#[derive(Clone, Debug, PartialEq)]
pub enum Config {
    /// DeepSeek-V3: latent attention and a mixture of experts.
    DeepseekV3(DeepseekConfig),
    /// Llama: grouped-query attention and a dense feed-forward network.
    Llama(LlamaConfig),
}

/// The special tokens that a configuration names.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SpecialTokens {
    /// The token that begins a text.
    pub bos: Option<u32>,
    /// The tokens that end a text.
    pub eos: Vec<u32>,
    /// The token that fills up a batch.
    pub pad: Option<u32>,
}

impl Config {
    /// Reads `config.json`, given the file or the folder that holds it.
    pub fn read(path: &Path) -> Result<Self, ModelError> {
        let file = if path.is_dir() { path.join("config.json") } else { path.to_path_buf() };
        let text = std::fs::read_to_string(&file).map_err(ModelError::file(&file))?;
        let value: Value = serde_json::from_str(&text)
            .map_err(|error| ModelError::Config(format!("`{}` is not JSON: {error}", file.display())))?;
        Self::from_json(&value).map_err(|error| error.in_file(&file))
    }

    /// Understands the spellings of the hub (`rope_theta`, `rope_scaling`) and of transformers 5 (`rope_parameters`).
    pub fn from_json(value: &Value) -> Result<Self, ModelError> {
        let fields = fields::Fields::new(value)?;
        let name = match fields.optional_text("model_type")? {
            Some(name) => name,
            None => fields.first_text("architectures")?.unwrap_or_default(),
        };
        match name.as_str() {
            "deepseek_v3" | "DeepseekV3ForCausalLM" => DeepseekConfig::from_fields(&fields).map(Self::DeepseekV3),
            "llama" | "LlamaForCausalLM" => LlamaConfig::from_fields(&fields).map(Self::Llama),
            "" => Err(ModelError::Config("missing field `model_type`".to_owned())),
            other => Err(ModelError::Config(format!(
                "field `model_type`: expected `deepseek_v3` or `llama`, found `{other}`; \
                 this program computes no other kind of model"
            ))),
        }
    }

    /// The hub's spelling, which every release of transformers loads.
    #[must_use]
    pub fn to_json(&self) -> Value {
        match self {
            Self::DeepseekV3(config) => config.to_json(),
            Self::Llama(config) => config.to_json(),
        }
    }

    /// How many tokens there are.
    #[must_use]
    pub fn vocab_size(&self) -> usize {
        match self {
            Self::DeepseekV3(config) => config.vocab_size,
            Self::Llama(config) => config.vocab_size,
        }
    }

    /// The width of the residual stream.
    #[must_use]
    pub fn hidden_size(&self) -> usize {
        match self {
            Self::DeepseekV3(config) => config.hidden_size,
            Self::Llama(config) => config.hidden_size,
        }
    }

    /// The number of layers.
    #[must_use]
    pub fn num_layers(&self) -> usize {
        match self {
            Self::DeepseekV3(config) => config.num_hidden_layers,
            Self::Llama(config) => config.num_hidden_layers,
        }
    }

    /// The longest sequence that the model was made for.
    #[must_use]
    pub fn max_positions(&self) -> usize {
        match self {
            Self::DeepseekV3(config) => config.max_position_embeddings,
            Self::Llama(config) => config.max_position_embeddings,
        }
    }

    /// The small number under the root of every normalisation.
    #[must_use]
    pub fn norm_eps(&self) -> f64 {
        match self {
            Self::DeepseekV3(config) => config.rms_norm_eps,
            Self::Llama(config) => config.rms_norm_eps,
        }
    }

    /// The standard deviation of fresh weights.
    #[must_use]
    pub fn initializer_range(&self) -> f64 {
        match self {
            Self::DeepseekV3(config) => config.initializer_range,
            Self::Llama(config) => config.initializer_range,
        }
    }

    /// Whether the output head is the embedding.
    #[must_use]
    pub fn ties_embeddings(&self) -> bool {
        match self {
            Self::DeepseekV3(config) => config.tie_word_embeddings,
            Self::Llama(config) => config.tie_word_embeddings,
        }
    }

    /// The special tokens.
    #[must_use]
    pub fn special_tokens(&self) -> &SpecialTokens {
        match self {
            Self::DeepseekV3(config) => &config.special_tokens,
            Self::Llama(config) => &config.special_tokens,
        }
    }

    /// Whether a layer holds a mixture of experts.
    #[must_use]
    pub fn is_sparse(&self, layer: usize) -> bool {
        match self {
            Self::DeepseekV3(config) => layer >= config.first_k_dense_replace,
            Self::Llama(_) => false,
        }
    }

    /// The number of trainable numbers.
    #[must_use]
    pub fn parameters(&self) -> usize {
        super::weights::Plan::new(self).variables.iter().map(super::weights::Variable::len).sum()
    }
}
