//! What a layer of any kind of model is made of: how it attends, and which experts it has.

use super::{Config, DeepseekConfig, Rope};

/// How a model attends.
#[derive(Clone, Copy, Debug)]
pub(in crate::model) enum Attending<'a> {
    /// Through a latent that keys and values are made of.
    Latent(&'a DeepseekConfig),
    /// Heads of queries that share heads of keys and values.
    Grouped(GroupedHeads),
}

/// Heads of queries that share heads of keys and values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::model) struct GroupedHeads {
    /// The number of heads of queries.
    pub heads: usize,
    /// The number of heads of keys and values.
    pub kv_heads: usize,
    /// The width of a head.
    pub width: usize,
    /// Whether queries, keys and values have biases.
    pub bias: bool,
    /// Whether each head of queries and keys is normed before it is turned.
    pub norm: bool,
}

/// The experts of a sparse layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::model) struct ExpertShape {
    /// How many are chosen from.
    pub count: usize,
    /// The inner width of one.
    pub inner: usize,
    /// The inner width of all those that see every token, taken together; 0 without any.
    pub shared: usize,
    /// Whether the choice is corrected by a bias.
    pub bias: bool,
}

impl GroupedHeads {
    /// What attention scores are multiplied by.
    pub fn scale(&self) -> f32 {
        (self.width as f64).powf(-0.5) as f32
    }
}

impl Config {
    pub(in crate::model) fn attending(&self) -> Attending<'_> {
        let grouped = |heads, kv_heads, width| GroupedHeads { heads, kv_heads, width, bias: false, norm: false };
        match self {
            Self::DeepseekV3(it) => Attending::Latent(it),
            Self::Llama(it) => Attending::Grouped(grouped(it.num_attention_heads, it.num_key_value_heads, it.head_dim)),
            Self::Qwen2(it) => {
                let heads = grouped(it.num_attention_heads, it.num_key_value_heads, it.head_dim);
                Attending::Grouped(GroupedHeads { bias: true, ..heads })
            }
            Self::Qwen3Moe(it) => {
                let heads = grouped(it.num_attention_heads, it.num_key_value_heads, it.head_dim);
                Attending::Grouped(GroupedHeads { norm: true, ..heads })
            }
        }
    }

    /// The experts of the sparse layers, if there are any.
    pub(in crate::model) fn experts(&self) -> Option<ExpertShape> {
        match self {
            Self::DeepseekV3(it) => Some(ExpertShape {
                count: it.n_routed_experts,
                inner: it.moe_intermediate_size,
                shared: it.moe_intermediate_size * it.n_shared_experts,
                bias: true,
            }),
            Self::Qwen3Moe(it) => {
                Some(ExpertShape { count: it.num_experts, inner: it.moe_intermediate_size, shared: 0, bias: false })
            }
            Self::Llama(_) | Self::Qwen2(_) => None,
        }
    }

    /// Whether a layer holds a mixture of experts; layers that look farther ahead are counted after the others.
    #[must_use]
    pub fn is_sparse(&self, layer: usize) -> bool {
        match self {
            Self::DeepseekV3(config) => layer >= config.first_k_dense_replace,
            Self::Qwen3Moe(config) => config.is_sparse(layer),
            Self::Llama(_) | Self::Qwen2(_) => false,
        }
    }

    /// How many layers look farther ahead than to the next token.
    #[must_use]
    pub fn layers_ahead(&self) -> usize {
        match self {
            Self::DeepseekV3(config) => config.num_nextn_predict_layers,
            Self::Llama(_) | Self::Qwen2(_) | Self::Qwen3Moe(_) => 0,
        }
    }

    /// Positions, and how many numbers of a head turn with them.
    pub(in crate::model) fn turning(&self) -> (&Rope, usize) {
        match self {
            Self::DeepseekV3(config) => (&config.rope, config.qk_rope_head_dim),
            Self::Llama(config) => (&config.rope, config.head_dim),
            Self::Qwen2(config) => (&config.rope, config.head_dim),
            Self::Qwen3Moe(config) => (&config.rope, config.head_dim),
        }
    }
}
