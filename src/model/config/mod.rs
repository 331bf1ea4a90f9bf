//! The configuration of a model: the `config.json` of the Hugging Face hub, read and written.
//!
//! A field that would change what the model computes, and that this program does not follow, is an error: a model that
//! loads is a model that is computed as its authors meant it.

mod deepseek;
mod fields;
mod llama;
mod qwen2;
mod qwen3_moe;
mod rope;
mod shape;
mod shared;

use std::path::Path;

use serde_json::Value;

use super::error::ModelError;

pub use deepseek::DeepseekConfig;
pub use llama::LlamaConfig;
pub use qwen2::Qwen2Config;
pub use qwen3_moe::Qwen3MoeConfig;
pub use rope::{Rope, Scaling};
pub(super) use shape::{Attending, ExpertShape, GroupedHeads};

/// What kind of model it is, and its sizes.
#[derive(Clone, Debug, PartialEq)]
pub enum Config {
    /// DeepSeek-V3: latent attention and a mixture of experts.
    DeepseekV3(DeepseekConfig),
    /// Llama: grouped-query attention and a dense feed-forward network.
    Llama(LlamaConfig),
    /// Qwen2: Llama with biases on queries, keys and values.
    Qwen2(Qwen2Config),
    /// Qwen3-MoE: grouped-query attention with normed heads, and a mixture of experts.
    Qwen3Moe(Qwen3MoeConfig),
}

/// A field that every kind of model has.
macro_rules! field {
    ($config:expr, $field:ident) => {
        match $config {
            Self::DeepseekV3(config) => &config.$field,
            Self::Llama(config) => &config.$field,
            Self::Qwen2(config) => &config.$field,
            Self::Qwen3Moe(config) => &config.$field,
        }
    };
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
        let config = match name.as_str() {
            "deepseek_v3" | "DeepseekV3ForCausalLM" => Self::DeepseekV3(DeepseekConfig::from_fields(&fields)?),
            "llama" | "LlamaForCausalLM" => Self::Llama(LlamaConfig::from_fields(&fields)?),
            "qwen2" | "Qwen2ForCausalLM" => Self::Qwen2(Qwen2Config::from_fields(&fields)?),
            "qwen3_moe" | "Qwen3MoeForCausalLM" => Self::Qwen3Moe(Qwen3MoeConfig::from_fields(&fields)?),
            "" => return Err(ModelError::Config("missing field `model_type`".to_owned())),
            other => {
                return Err(ModelError::Config(format!(
                    "field `model_type`: expected `deepseek_v3`, `llama`, `qwen2` or `qwen3_moe`, found `{other}`; \
                     this program computes no other kind of model"
                )));
            }
        };
        fields.finish()?;
        Ok(config)
    }

    /// What this kind of model is called.
    #[must_use]
    pub fn family(&self) -> &'static str {
        match self {
            Self::DeepseekV3(_) => "DeepSeek-V3",
            Self::Llama(_) => "Llama",
            Self::Qwen2(_) => "Qwen2",
            Self::Qwen3Moe(_) => "Qwen3-MoE",
        }
    }

    /// The hub's spelling, which every release of transformers loads.
    #[must_use]
    pub fn to_json(&self) -> Value {
        match self {
            Self::DeepseekV3(config) => config.to_json(),
            Self::Llama(config) => config.to_json(),
            Self::Qwen2(config) => config.to_json(),
            Self::Qwen3Moe(config) => config.to_json(),
        }
    }

    /// How many tokens there are.
    #[must_use]
    pub fn vocab_size(&self) -> usize {
        *field!(self, vocab_size)
    }

    /// The width of the residual stream.
    #[must_use]
    pub fn hidden_size(&self) -> usize {
        *field!(self, hidden_size)
    }

    /// The number of layers.
    #[must_use]
    pub fn num_layers(&self) -> usize {
        *field!(self, num_hidden_layers)
    }

    /// The longest sequence that the model was made for.
    #[must_use]
    pub fn max_positions(&self) -> usize {
        *field!(self, max_position_embeddings)
    }

    /// The small number under the root of every normalisation.
    #[must_use]
    pub fn norm_eps(&self) -> f64 {
        *field!(self, rms_norm_eps)
    }

    /// The standard deviation of fresh weights.
    #[must_use]
    pub fn initializer_range(&self) -> f64 {
        *field!(self, initializer_range)
    }

    /// Whether the output head is the embedding.
    #[must_use]
    pub fn ties_embeddings(&self) -> bool {
        *field!(self, tie_word_embeddings)
    }

    /// The special tokens.
    #[must_use]
    pub fn special_tokens(&self) -> &SpecialTokens {
        field!(self, special_tokens)
    }

    /// The special tokens, to be changed.
    pub fn special_tokens_mut(&mut self) -> &mut SpecialTokens {
        match self {
            Self::DeepseekV3(config) => &mut config.special_tokens,
            Self::Llama(config) => &mut config.special_tokens,
            Self::Qwen2(config) => &mut config.special_tokens,
            Self::Qwen3Moe(config) => &mut config.special_tokens,
        }
    }

    /// The inner width of a dense layer's feed-forward network.
    #[must_use]
    pub fn intermediate_size(&self) -> usize {
        *field!(self, intermediate_size)
    }

    /// The number of trainable numbers.
    #[must_use]
    pub fn parameters(&self) -> usize {
        super::weights::Plan::new(self).variables.iter().map(super::weights::Variable::len).sum()
    }
}
