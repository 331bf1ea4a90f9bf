//! The configuration of Qwen3-MoE: grouped queries with a norm on every head, and a mixture of experts.

use serde_json::{Value, json};

use super::fields::Fields;
use super::rope::Rope;
use super::{SpecialTokens, shared};
use crate::model::error::ModelError;

/// The sizes and choices of a Qwen3-MoE model; the fields are named as in `config.json`.
#[derive(Clone, Debug, PartialEq)]
pub struct Qwen3MoeConfig {
    /// How many tokens there are.
    pub vocab_size: usize,
    /// The width of the residual stream.
    pub hidden_size: usize,
    /// The inner width of a dense layer.
    pub intermediate_size: usize,
    /// The inner width of one expert.
    pub moe_intermediate_size: usize,
    /// The number of layers.
    pub num_hidden_layers: usize,
    /// The number of heads of queries.
    pub num_attention_heads: usize,
    /// The number of heads of keys and values.
    pub num_key_value_heads: usize,
    /// The width of a head.
    pub head_dim: usize,
    /// The number of experts that are chosen from.
    pub num_experts: usize,
    /// How many experts a token goes to.
    pub num_experts_per_tok: usize,
    /// Whether the weights of a token's experts are made to sum to 1.
    pub norm_topk_prob: bool,
    /// Every so many-th layer is sparse, counted from one.
    pub decoder_sparse_step: usize,
    /// Layers, counted from zero, that are dense whatever the step says.
    pub mlp_only_layers: Vec<usize>,
    /// The weight of transformers' balancing loss, kept for the file: it is taken only where `output_router_logits` asks
    /// for it, which is refused here.
    pub router_aux_loss_coef: f64,
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

impl Qwen3MoeConfig {
    /// Whether a layer holds a mixture of experts.
    #[must_use]
    pub fn is_sparse(&self, layer: usize) -> bool {
        !self.mlp_only_layers.contains(&layer) && (layer + 1).is_multiple_of(self.decoder_sparse_step)
    }

    pub(super) fn from_fields(fields: &Fields<'_>) -> Result<Self, ModelError> {
        shared::refuse_what_is_not_computed(fields)?;
        fields.only("attention_bias", &[json!(false)])?;
        fields.only("mlp_bias", &[json!(false)])?;
        fields.only("output_router_logits", &[json!(false)])?;
        let hidden_size = fields.positive("hidden_size")?;
        let num_attention_heads = fields.positive("num_attention_heads")?;
        // Two names for one number: the hub's, and that of transformers 5.
        let local = fields.optional_size("num_local_experts")?;
        let num_experts = match (fields.optional_size("num_experts")?, local) {
            (Some(number), Some(other)) if number != other => {
                let text = format!("expected `num_experts` {number}, found {other}");
                return Err(fields.error("num_local_experts", &text));
            }
            (number, other) => number.or(other).map_or_else(|| fields.positive("num_experts"), Ok)?,
        };
        let config = Self {
            vocab_size: fields.positive("vocab_size")?,
            hidden_size,
            intermediate_size: fields.positive("intermediate_size")?,
            moe_intermediate_size: fields.positive("moe_intermediate_size")?,
            num_hidden_layers: fields.positive("num_hidden_layers")?,
            num_attention_heads,
            num_key_value_heads: fields.positive("num_key_value_heads")?,
            head_dim: fields.optional_size("head_dim")?.unwrap_or(hidden_size / num_attention_heads),
            num_experts,
            num_experts_per_tok: fields.positive("num_experts_per_tok")?,
            norm_topk_prob: fields.flag("norm_topk_prob")?,
            decoder_sparse_step: fields.optional_size("decoder_sparse_step")?.unwrap_or(1),
            mlp_only_layers: fields.sizes("mlp_only_layers")?,
            router_aux_loss_coef: fields.optional_number("router_aux_loss_coef")?.unwrap_or(0.001),
            rms_norm_eps: fields.number("rms_norm_eps")?,
            initializer_range: fields.optional_number("initializer_range")?.unwrap_or(0.02),
            max_position_embeddings: fields.positive("max_position_embeddings")?,
            tie_word_embeddings: fields.optional_flag("tie_word_embeddings")?.unwrap_or(false),
            rope: Rope::from_fields(fields)?,
            special_tokens: fields.special_tokens()?,
        };
        shared::check_heads(fields, num_attention_heads, config.num_key_value_heads, config.head_dim)?;
        shared::refuse_sliding_window(fields, config.num_hidden_layers, config.max_position_embeddings)?;
        config.check(fields)?;
        Ok(config)
    }

    pub(super) fn to_json(&self) -> Value {
        json!({
            "architectures": ["Qwen3MoeForCausalLM"],
            "model_type": "qwen3_moe",
            "attention_bias": false,
            "attention_dropout": 0.0,
            "bos_token_id": self.special_tokens.bos,
            "eos_token_id": self.special_tokens.eos_to_json(),
            "pad_token_id": self.special_tokens.pad,
            "decoder_sparse_step": self.decoder_sparse_step,
            "head_dim": self.head_dim,
            "hidden_act": "silu",
            "hidden_size": self.hidden_size,
            "initializer_range": self.initializer_range,
            "intermediate_size": self.intermediate_size,
            "max_position_embeddings": self.max_position_embeddings,
            "max_window_layers": self.num_hidden_layers,
            "mlp_only_layers": self.mlp_only_layers,
            "moe_intermediate_size": self.moe_intermediate_size,
            "norm_topk_prob": self.norm_topk_prob,
            "num_attention_heads": self.num_attention_heads,
            "num_experts": self.num_experts,
            "num_experts_per_tok": self.num_experts_per_tok,
            "num_hidden_layers": self.num_hidden_layers,
            "num_key_value_heads": self.num_key_value_heads,
            "output_router_logits": false,
            "rms_norm_eps": self.rms_norm_eps,
            "rope_scaling": self.rope.scaling_to_json(),
            "rope_theta": self.rope.theta,
            "router_aux_loss_coef": self.router_aux_loss_coef,
            "sliding_window": null,
            "tie_word_embeddings": self.tie_word_embeddings,
            "torch_dtype": "float32",
            "use_cache": true,
            "use_sliding_window": false,
            "vocab_size": self.vocab_size,
        })
    }

    fn check(&self, fields: &Fields<'_>) -> Result<(), ModelError> {
        if self.num_experts == 0 {
            return Err(fields.error("num_experts", "expected a number above 0, found 0"));
        }
        if self.num_experts_per_tok > self.num_experts {
            let text =
                format!("expected at most `num_experts` {}, found {}", self.num_experts, self.num_experts_per_tok);
            return Err(fields.error("num_experts_per_tok", &text));
        }
        if self.decoder_sparse_step == 0 {
            return Err(fields.error("decoder_sparse_step", "expected a number above 0, found 0"));
        }
        if let Some(layer) = self.mlp_only_layers.iter().find(|layer| **layer >= self.num_hidden_layers) {
            let text = format!("expected layers below `num_hidden_layers` {}, found {layer}", self.num_hidden_layers);
            return Err(fields.error("mlp_only_layers", &text));
        }
        Ok(())
    }
}
