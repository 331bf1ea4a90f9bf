//! The configuration of DeepSeek-V3.

use serde_json::{Value, json};

use super::fields::Fields;
use super::rope::Rope;
use super::{SpecialTokens, shared};
use crate::model::error::ModelError;

/// The sizes and choices of a DeepSeek-V3 model; the fields are named as in `config.json`.
#[derive(Clone, Debug, PartialEq)]
pub struct DeepseekConfig {
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
    /// How many layers predict tokens farther ahead, each one token more; they are used in training only.
    pub num_nextn_predict_layers: usize,
    /// The number of attention heads.
    pub num_attention_heads: usize,
    /// The rank of the queries' projection; without it the projection is whole.
    pub q_lora_rank: Option<usize>,
    /// The width of the latent that keys and values are made of.
    pub kv_lora_rank: usize,
    /// The part of a key without position.
    pub qk_nope_head_dim: usize,
    /// The part of a key that turns with position; all heads share it.
    pub qk_rope_head_dim: usize,
    /// The width of a value.
    pub v_head_dim: usize,
    /// So many first layers are dense.
    pub first_k_dense_replace: usize,
    /// The number of experts that are chosen from.
    pub n_routed_experts: usize,
    /// The number of experts that see every token.
    pub n_shared_experts: usize,
    /// How many experts a token goes to.
    pub num_experts_per_tok: usize,
    /// Into how many groups the experts are divided.
    pub n_group: usize,
    /// From how many groups a token's experts may come.
    pub topk_group: usize,
    /// Whether the weights of a token's experts are made to sum to 1.
    pub norm_topk_prob: bool,
    /// What the weights are multiplied by.
    pub routed_scaling_factor: f64,
    /// The small number under the root of every normalisation.
    pub rms_norm_eps: f64,
    /// The standard deviation of fresh weights.
    pub initializer_range: f64,
    /// The longest sequence.
    pub max_position_embeddings: usize,
    /// Whether the output head is the embedding.
    pub tie_word_embeddings: bool,
    /// Whether the pairs that turn together lie side by side, as in the released model.
    pub rope_interleave: bool,
    /// Positions.
    pub rope: Rope,
    /// The special tokens.
    pub special_tokens: SpecialTokens,
}

impl DeepseekConfig {
    /// The width of a query or key: the part without position and the part that turns.
    #[must_use]
    pub fn qk_head_dim(&self) -> usize {
        self.qk_nope_head_dim + self.qk_rope_head_dim
    }

    /// What attention scores are multiplied by.
    #[must_use]
    pub fn attention_scale(&self) -> f32 {
        ((self.qk_head_dim() as f64).powf(-0.5) * self.rope.attention_scale()) as f32
    }

    pub(super) fn from_fields(fields: &Fields<'_>) -> Result<Self, ModelError> {
        shared::refuse_what_is_not_computed(fields)?;
        fields.only("attention_bias", &[json!(false)])?;
        fields.only("output_router_logits", &[json!(false)])?;
        fields.only("moe_layer_freq", &[json!(1)])?;
        fields.only("scoring_func", &[json!("sigmoid")])?;
        fields.only("topk_method", &[json!("noaux_tc")])?;
        let config = Self {
            vocab_size: fields.positive("vocab_size")?,
            hidden_size: fields.positive("hidden_size")?,
            intermediate_size: fields.positive("intermediate_size")?,
            moe_intermediate_size: fields.positive("moe_intermediate_size")?,
            num_hidden_layers: fields.positive("num_hidden_layers")?,
            num_nextn_predict_layers: fields.optional_size("num_nextn_predict_layers")?.unwrap_or(0),
            num_attention_heads: fields.positive("num_attention_heads")?,
            q_lora_rank: fields.optional_size("q_lora_rank")?,
            kv_lora_rank: fields.positive("kv_lora_rank")?,
            qk_nope_head_dim: fields.positive("qk_nope_head_dim")?,
            qk_rope_head_dim: fields.positive("qk_rope_head_dim")?,
            v_head_dim: fields.positive("v_head_dim")?,
            first_k_dense_replace: fields.size("first_k_dense_replace")?,
            n_routed_experts: fields.positive("n_routed_experts")?,
            n_shared_experts: fields.size("n_shared_experts")?,
            num_experts_per_tok: fields.positive("num_experts_per_tok")?,
            n_group: fields.positive("n_group")?,
            topk_group: fields.positive("topk_group")?,
            norm_topk_prob: fields.optional_flag("norm_topk_prob")?.unwrap_or(true),
            routed_scaling_factor: fields.number("routed_scaling_factor")?,
            rms_norm_eps: fields.number("rms_norm_eps")?,
            initializer_range: fields.optional_number("initializer_range")?.unwrap_or(0.02),
            max_position_embeddings: fields.positive("max_position_embeddings")?,
            tie_word_embeddings: fields.optional_flag("tie_word_embeddings")?.unwrap_or(false),
            rope_interleave: fields.optional_flag("rope_interleave")?.unwrap_or(true),
            rope: Rope::from_fields(fields)?,
            special_tokens: fields.special_tokens()?,
        };
        fields.only("num_mtp_layers", &[json!(config.num_nextn_predict_layers)])?;
        fields.only("num_key_value_heads", &[json!(config.num_attention_heads)])?;
        fields.only("num_local_experts", &[json!(config.n_routed_experts)])?;
        fields.only("qk_head_dim", &[json!(config.qk_head_dim())])?;
        fields.only("head_dim", &[json!(config.qk_rope_head_dim)])?;
        config.check(fields)?;
        Ok(config)
    }

    pub(super) fn to_json(&self) -> Value {
        json!({
            "architectures": ["DeepseekV3ForCausalLM"],
            "model_type": "deepseek_v3",
            "attention_bias": false,
            "attention_dropout": 0.0,
            "bos_token_id": self.special_tokens.bos,
            "eos_token_id": self.special_tokens.eos_to_json(),
            "pad_token_id": self.special_tokens.pad,
            "first_k_dense_replace": self.first_k_dense_replace,
            "hidden_act": "silu",
            "hidden_size": self.hidden_size,
            "initializer_range": self.initializer_range,
            "intermediate_size": self.intermediate_size,
            "kv_lora_rank": self.kv_lora_rank,
            "max_position_embeddings": self.max_position_embeddings,
            "moe_intermediate_size": self.moe_intermediate_size,
            "moe_layer_freq": 1,
            "n_group": self.n_group,
            "n_routed_experts": self.n_routed_experts,
            "n_shared_experts": self.n_shared_experts,
            "norm_topk_prob": self.norm_topk_prob,
            "num_attention_heads": self.num_attention_heads,
            "num_experts_per_tok": self.num_experts_per_tok,
            "num_hidden_layers": self.num_hidden_layers,
            "num_key_value_heads": self.num_attention_heads,
            "num_nextn_predict_layers": self.num_nextn_predict_layers,
            "q_lora_rank": self.q_lora_rank,
            "qk_nope_head_dim": self.qk_nope_head_dim,
            "qk_rope_head_dim": self.qk_rope_head_dim,
            "rms_norm_eps": self.rms_norm_eps,
            "rope_interleave": self.rope_interleave,
            "rope_scaling": self.rope.scaling_to_json(),
            "rope_theta": self.rope.theta,
            "routed_scaling_factor": self.routed_scaling_factor,
            "scoring_func": "sigmoid",
            "tie_word_embeddings": self.tie_word_embeddings,
            "topk_group": self.topk_group,
            "topk_method": "noaux_tc",
            "torch_dtype": "float32",
            "use_cache": true,
            "v_head_dim": self.v_head_dim,
            "vocab_size": self.vocab_size,
        })
    }

    fn check(&self, fields: &Fields<'_>) -> Result<(), ModelError> {
        if !self.n_routed_experts.is_multiple_of(self.n_group) {
            let text =
                format!("expected a divisor of `n_routed_experts` {}, found {}", self.n_routed_experts, self.n_group);
            return Err(fields.error("n_group", &text));
        }
        if self.topk_group > self.n_group {
            let text = format!("expected at most `n_group` {}, found {}", self.n_group, self.topk_group);
            return Err(fields.error("topk_group", &text));
        }
        let reach = self.n_routed_experts / self.n_group * self.topk_group;
        if self.num_experts_per_tok > reach {
            let text = format!(
                "expected at most {reach}, the experts of `topk_group` groups, found {}",
                self.num_experts_per_tok
            );
            return Err(fields.error("num_experts_per_tok", &text));
        }
        if !self.qk_rope_head_dim.is_multiple_of(2) {
            let text = format!("expected an even number, found {}", self.qk_rope_head_dim);
            return Err(fields.error("qk_rope_head_dim", &text));
        }
        Ok(())
    }
}
