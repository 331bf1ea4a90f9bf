//! Models by their sizes: fresh, loaded and merged ones.

use crate::{
    base::work::{Estimate, Known, Made, Shape, Work},
    model::Config,
    stages::init,
};

use super::{MARGIN, ROOM, model, plain};

/// Bytes of a weight.
pub(super) const WEIGHT: f64 = 4.0;

impl From<&Config> for Shape {
    fn from(config: &Config) -> Self {
        let hidden = config.hidden_size() as f64;
        let vocabulary = config.vocab_size() as f64;
        let parameters = config.parameters() as f64;
        let embedding = hidden * vocabulary;
        let layers = config.num_layers() as f64;
        // What a layer keeps of a token for its backward pass: the residual stream and its norms, queries, keys and
        // values, and the inner widths of the experts that see it.
        let (unseen, attention, cache, kept, heads) = match config {
            Config::DeepseekV3(it) => {
                let expert = 3.0 * hidden * it.moe_intermediate_size as f64;
                let sparse = layers - (it.first_k_dense_replace as f64).min(layers);
                let seen = (it.num_experts_per_tok + it.n_shared_experts) as f64;
                let heads = it.num_attention_heads as f64;
                let head = (it.qk_head_dim() + it.v_head_dim) as f64;
                let inner = 3.0 * it.moe_intermediate_size as f64 * seen + (it.num_experts_per_tok as f64) * hidden;
                let dense = 3.0 * it.intermediate_size as f64;
                let layer = 8.0 * hidden + 3.0 * heads * head + 2.0 * it.kv_lora_rank as f64;
                (
                    sparse * expert * (it.n_routed_experts as f64 - it.num_experts_per_tok as f64),
                    layers * heads * head,
                    layers * heads * (it.qk_head_dim() as f64 + it.v_head_dim as f64 + 16.0),
                    layers * layer + sparse * inner + (layers - sparse) * dense,
                    layers * heads,
                )
            }
            Config::Llama(it) => grouped(
                [it.num_attention_heads, it.num_key_value_heads, it.head_dim],
                layers,
                layers * (8.0 * hidden + 3.0 * it.intermediate_size as f64),
                0.0,
            ),
            Config::Qwen2(it) => grouped(
                [it.num_attention_heads, it.num_key_value_heads, it.head_dim],
                layers,
                layers * (8.0 * hidden + 3.0 * it.intermediate_size as f64),
                0.0,
            ),
            Config::Qwen3Moe(it) => {
                let expert = 3.0 * it.moe_intermediate_size as f64;
                let seen = it.num_experts_per_tok as f64;
                let sparse = (0..it.num_hidden_layers).filter(|layer| it.is_sparse(*layer)).count() as f64;
                let dense = (layers - sparse) * 3.0 * it.intermediate_size as f64;
                grouped(
                    [it.num_attention_heads, it.num_key_value_heads, it.head_dim],
                    layers,
                    layers * 8.0 * hidden + dense + sparse * seen * (expert + hidden),
                    sparse * expert * hidden * (it.num_experts as f64 - seen),
                )
            }
        };
        let head = if config.ties_embeddings() { 0.0 } else { embedding };
        Self {
            parameters,
            active: (parameters - head - unseen).max(embedding),
            attention,
            hidden,
            vocabulary,
            positions: config.max_positions() as f64,
            heads,
            slowness: if unseen > 0.0 { MIXTURE } else { 1.0 },
            recounts: if matches!(config, Config::Qwen3Moe(_)) { 1.0 } else { 0.0 },
            cache,
            kept: 0.6 * kept + 2.0 * vocabulary,
            // Random weights never end an answer.
            answer: f64::INFINITY,
            worked: f64::INFINITY,
        }
    }
}

/// Attention with grouped queries: parameters that no token meets, the widths of all heads, what is cached of a token,
/// what is kept of it for the backward pass beside `inner`, and the number of heads.
fn grouped(heads: [usize; 3], layers: f64, inner: f64, unseen: f64) -> (f64, f64, f64, f64, f64) {
    let [queries, shared, width] = heads.map(|it| it as f64);
    let all = queries * width * 2.0;
    let shared = shared * width * 2.0;
    (unseen, layers * all, layers * (shared + 16.0), inner + layers * (1.5 * all + shared), layers * queries)
}

impl Shape {
    pub(super) fn bytes(&self) -> f64 {
        self.parameters * WEIGHT + 16e3
    }

    /// Floating-point operations to read a token that looks back at so many others.
    pub(super) fn forward(&self, looked_at: f64) -> f64 {
        2.0 * (self.active + self.attention * looked_at)
    }
}

/// Seconds to read or write a byte of weights.
pub(super) const BYTE: f64 = 0.6e-9;

/// How many times longer an operation takes where tokens are sorted by their experts.
const MIXTURE: f64 = 1.3;

pub(super) fn init(known: Known) -> Option<Estimate> {
    let vocabulary = known.inputs.values().flatten().find_map(|made| match made {
        Made::Tokenizer { vocabulary } => Some(*vocabulary),
        _ => None,
    })?;
    let shape = Shape::from(&init::config(known.arguments, vocabulary as usize)?);
    let made = Made::Model(shape);
    let work = Work { plain: 3e-3 + 30e-9 * shape.parameters, width: 1.0, ..Work::default() };
    let memory = ROOM + MARGIN * 4.0 * shape.bytes();
    Some(Estimate { work, memory, memory_per_thread: 0.0, bytes: shape.bytes(), state: 0.0, made })
}

pub(super) fn load(known: Known) -> Option<Estimate> {
    let shape = Shape::from(&Config::read(known.files.get("dir")?).ok()?);
    // How long its answers are nobody knows; most models of the hub answer in a few hundred tokens.
    let shape = Shape { answer: 200.0, worked: 800.0, ..shape };
    // It is read twice, before the run and in it.
    let seconds = 5e-3 + 4.0 * BYTE * shape.bytes();
    Some(plain(seconds, 4.0 * shape.bytes(), shape.bytes(), Made::Model(shape)))
}

/// A copy of a model; which one is not known, so it is told as the first.
pub(super) fn best(known: Known) -> Option<Estimate> {
    let shape = model(known)?;
    Some(plain(2.0 * BYTE * shape.bytes(), 64.0 * 1024.0, shape.bytes(), Made::Model(shape)))
}

/// A copy of a model in fewer bytes, or in more.
pub(super) fn cast(known: Known) -> Option<Estimate> {
    let shape = model(known)?;
    let bytes = if known.arguments.get("dtype")?.as_str()? == "bf16" { shape.bytes() / 2.0 } else { shape.bytes() };
    Some(plain(3e-3 + 3.0 * BYTE * shape.bytes(), 4.0 * shape.bytes(), bytes, Made::Model(shape)))
}

pub(super) fn merge(known: Known) -> Option<Estimate> {
    let shape = model(known)?;
    let models = known.inputs.values().map(Vec::len).sum::<usize>() as f64;
    let seconds = 3e-3 + (models + 2.0) * BYTE * shape.bytes();
    Some(plain(seconds, (models + 3.0) * 2.0 * shape.bytes(), shape.bytes(), Made::Model(shape)))
}
