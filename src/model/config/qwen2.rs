//! The configuration of Qwen2: Llama with biases on the queries, keys and values.

use serde_json::{Value, json};

use super::fields::Fields;
use super::rope::Rope;
use super::{SpecialTokens, shared};
use crate::model::error::ModelError;

/// The sizes and choices of a Qwen2 model; the fields are named as in `config.json`.
#[derive(Clone, Debug, PartialEq)]
pub struct Qwen2Config {
    /// How many tokens there are.
    pub vocab_size: usize,
    /// The width of the residual stream.
    pub hidden_size: usize,
    /// The inner width of the feed-forward network.
    pub intermediate_size: usize,
    /// The number of layers.
    pub num_hidden_layers: usize,
    /// The number of heads of queries.
    pub num_attention_heads: usize,
    /// The number of heads of keys and values.
    pub num_key_value_heads: usize,
    /// The width of a head.
    pub head_dim: usize,
    /// The small number under the root of every normalisation.
    pub rms_norm_eps: f64,
    /// The standard deviation of fresh weights.
    pub initializer_range: f64,
    /// The longest sequence.
    pub max_position_embeddings: usize,
    /// Whether the output head is the embedding.
    pub tie_word_embeddings: bool,
    /// Positions.
    pub rope: Rope,
    /// The special tokens.
    pub special_tokens: SpecialTokens,
}

impl Qwen2Config {
    pub(super) fn from_fields(fields: &Fields<'_>) -> Result<Self, ModelError> {
        shared::refuse_what_is_not_computed(fields)?;
        // The biases of queries, keys and values are part of the architecture, and have no field of their own.
        fields.only("attention_bias", &[json!(true)])?;
        fields.only("mlp_bias", &[json!(false)])?;
        let hidden_size = fields.positive("hidden_size")?;
        let num_attention_heads = fields.positive("num_attention_heads")?;
        let config = Self {
            vocab_size: fields.positive("vocab_size")?,
            hidden_size,
            intermediate_size: fields.positive("intermediate_size")?,
            num_hidden_layers: fields.positive("num_hidden_layers")?,
            num_attention_heads,
            num_key_value_heads: fields.positive("num_key_value_heads")?,
            head_dim: fields.optional_size("head_dim")?.unwrap_or(hidden_size / num_attention_heads),
            rms_norm_eps: fields.number("rms_norm_eps")?,
            initializer_range: fields.optional_number("initializer_range")?.unwrap_or(0.02),
            max_position_embeddings: fields.positive("max_position_embeddings")?,
            tie_word_embeddings: fields.optional_flag("tie_word_embeddings")?.unwrap_or(false),
            rope: Rope::from_fields(fields)?,
            special_tokens: fields.special_tokens()?,
        };
        shared::check_heads(fields, num_attention_heads, config.num_key_value_heads, config.head_dim)?;
        shared::refuse_sliding_window(fields, config.num_hidden_layers, config.max_position_embeddings)?;
        Ok(config)
    }

    pub(super) fn to_json(&self) -> Value {
        json!({
            "architectures": ["Qwen2ForCausalLM"],
            "model_type": "qwen2",
            "attention_dropout": 0.0,
            "bos_token_id": self.special_tokens.bos,
            "eos_token_id": self.special_tokens.eos_to_json(),
            "pad_token_id": self.special_tokens.pad,
            "head_dim": self.head_dim,
            "hidden_act": "silu",
            "hidden_size": self.hidden_size,
            "initializer_range": self.initializer_range,
            "intermediate_size": self.intermediate_size,
            "max_position_embeddings": self.max_position_embeddings,
            "max_window_layers": self.num_hidden_layers,
            "num_attention_heads": self.num_attention_heads,
            "num_hidden_layers": self.num_hidden_layers,
            "num_key_value_heads": self.num_key_value_heads,
            "rms_norm_eps": self.rms_norm_eps,
            "rope_scaling": self.rope.scaling_to_json(),
            "rope_theta": self.rope.theta,
            "sliding_window": null,
            "tie_word_embeddings": self.tie_word_embeddings,
            "torch_dtype": "float32",
            "use_cache": true,
            "use_sliding_window": false,
            "vocab_size": self.vocab_size,
        })
    }
}
