//! Lays the weights of a model out for the decoder, by their names on the hub.

use crate::model::config::{Attending, Config, DeepseekConfig, ExpertShape, GroupedHeads};
use crate::model::error::ModelError;
use crate::model::router::Router;

use super::attention::Heads;
use super::cache::CacheShape;
use super::decoder::{Attention, Decoder, FeedForward, Layer};
use super::feed_forward::{Experts, Gated};
use super::grouped::Grouped;
use super::latent::{Latent, Queries};
use super::matrix::Matrix;
use super::table::Table;

/// Finds the numbers of a tensor by its name on the hub.
pub type Find<'a> = &'a dyn Fn(&str) -> Result<Vec<f32>, ModelError>;

impl Decoder {
    /// Packs a model's weights.
    pub fn pack(config: &Config, find: Find<'_>) -> Result<Self, ModelError> {
        let hidden = config.hidden_size();
        let embedding = find("model.embed_tokens.weight")?;
        let head = if config.ties_embeddings() {
            Matrix::pack(hidden, &[&embedding])
        } else {
            Matrix::pack(hidden, &[&find("lm_head.weight")?])
        };
        let layers = (0..config.num_layers()).map(|index| {
            let tensors = Tensors { find, prefix: format!("model.layers.{index}.") };
            Ok(Layer {
                attention_norm: tensors.get("input_layernorm")?,
                attention: match config.attending() {
                    Attending::Latent(config) => Attention::Latent(tensors.latent(config)?),
                    Attending::Grouped(shape) => Attention::Grouped(tensors.grouped(config, shape)?),
                },
                feed_forward_norm: tensors.get("post_attention_layernorm")?,
                feed_forward: match config.experts().zip(Router::new(config)) {
                    Some((shape, router)) if config.is_sparse(index) => {
                        FeedForward::Experts(tensors.experts(hidden, shape, router)?)
                    }
                    _ => FeedForward::Gated(tensors.gated("mlp", hidden)?),
                },
            })
        });
        let (rope, turning) = config.turning();
        let (heads, key, value) = match config.attending() {
            Attending::Latent(it) => (it.num_attention_heads, it.qk_head_dim(), it.v_head_dim),
            Attending::Grouped(it) => (it.kv_heads, it.width, it.width),
        };
        Ok(Self {
            hidden,
            embedding: Table::new(&embedding),
            layers: layers.collect::<Result<_, ModelError>>()?,
            norm: find("model.norm.weight")?,
            head,
            epsilon: config.norm_eps() as f32,
            frequencies: rope.frequencies(turning),
            amplitude: rope.amplitude(),
            cache: CacheShape { layers: config.num_layers(), heads, key, value },
        })
    }
}

/// The tensors of one layer.
struct Tensors<'a> {
    find: Find<'a>,
    prefix: String,
}

impl Tensors<'_> {
    fn get(&self, name: &str) -> Result<Vec<f32>, ModelError> {
        (self.find)(&format!("{}{name}.weight", self.prefix))
    }

    fn attention(&self, name: &str) -> Result<Vec<f32>, ModelError> {
        self.get(&format!("self_attn.{name}"))
    }

    fn latent(&self, config: &DeepseekConfig) -> Result<Latent, ModelError> {
        let hidden = config.hidden_size;
        let (first, queries) = match config.q_lora_rank {
            None => (self.attention("q_proj")?, Queries::Whole),
            Some(rank) => {
                let raise = Matrix::pack(rank, &[&self.attention("q_b_proj")?]);
                (self.attention("q_a_proj")?, Queries::Raised { norm: self.attention("q_a_layernorm")?, raise })
            }
        };
        Ok(Latent {
            lower: Matrix::pack(hidden, &[&first, &self.attention("kv_a_proj_with_mqa")?]),
            queries,
            latent_norm: self.attention("kv_a_layernorm")?,
            expand: Matrix::pack(config.kv_lora_rank, &[&self.attention("kv_b_proj")?]),
            output: Matrix::pack(config.num_attention_heads * config.v_head_dim, &[&self.attention("o_proj")?]),
            heads: Heads { count: config.num_attention_heads, scale: config.attention_scale() },
            still: config.qk_nope_head_dim,
            turning: config.qk_rope_head_dim,
            value: config.v_head_dim,
            interleaved: config.rope_interleave,
            epsilon: config.rms_norm_eps as f32,
        })
    }

    fn grouped(&self, config: &Config, shape: GroupedHeads) -> Result<Grouped, ModelError> {
        let inputs = [self.attention("q_proj")?, self.attention("k_proj")?, self.attention("v_proj")?];
        let bias = |name: &str| (self.find)(&format!("{}self_attn.{name}_proj.bias", self.prefix));
        let bias = if shape.bias { Some([bias("q")?, bias("k")?, bias("v")?].concat()) } else { None };
        let norms = if shape.norm { Some([self.attention("q_norm")?, self.attention("k_norm")?]) } else { None };
        Ok(Grouped {
            inputs: Matrix::pack(config.hidden_size(), &inputs.each_ref().map(Vec::as_slice)),
            bias,
            norms,
            output: Matrix::pack(shape.heads * shape.width, &[&self.attention("o_proj")?]),
            heads: Heads { count: shape.heads, scale: shape.scale() },
            shared_heads: shape.kv_heads,
            head: shape.width,
            epsilon: config.norm_eps() as f32,
        })
    }

    fn gated(&self, module: &str, hidden: usize) -> Result<Gated, ModelError> {
        let part = |name: &str| self.get(&format!("{module}.{name}_proj"));
        let (gate, up, down) = (part("gate")?, part("up")?, part("down")?);
        Ok(Gated { gate_up: Matrix::pack(hidden, &[&gate, &up]), down: Matrix::pack(gate.len() / hidden, &[&down]) })
    }

    fn experts(&self, hidden: usize, shape: ExpertShape, router: Router) -> Result<Experts, ModelError> {
        let bias = || (self.find)(&format!("{}mlp.gate.e_score_correction_bias", self.prefix));
        let shared = (shape.shared > 0).then(|| self.gated("mlp.shared_experts", hidden));
        let routed = (0..shape.count).map(|expert| self.gated(&format!("mlp.experts.{expert}"), hidden));
        Ok(Experts {
            router,
            router_weight: Matrix::pack(hidden, &[&self.get("mlp.gate")?]),
            router_bias: if shape.bias { bias()? } else { Vec::new() },
            routed: routed.collect::<Result<_, _>>()?,
            shared: shared.transpose()?,
        })
    }
}
