//! Which tensors a model has: their names on the hub, their shapes, and how they are held in memory.
//!
//! Some variables hold several tensors of the hub end to end (the gate and up projections of a layer; all its experts),
//! so that one kernel sees them at once. Each of the hub's tensors is one range of a variable.

use std::ops::Range;
use std::sync::Arc;

use super::config::{Attending, Config, DeepseekConfig, GroupedHeads};

/// One tensor by the name it has in `model.safetensors`.
#[derive(Clone, Debug, PartialEq)]
pub struct HubTensor {
    /// The name on the hub.
    pub name: String,
    /// The shape on the hub.
    pub shape: Vec<usize>,
    /// Where its numbers begin inside the variable.
    pub offset: usize,
}

/// The numbers of one of the hub's tensors, copied.
#[derive(Clone, Debug, PartialEq)]
pub struct Weight {
    /// The shape on the hub.
    pub shape: Vec<usize>,
    /// The numbers, row by row.
    pub values: Vec<f32>,
}

/// A trainable variable, made of one or more of the hub's tensors.
#[derive(Clone, Debug, PartialEq)]
pub struct Variable {
    /// Its name: that of the hub's tensor, or of the module for a variable of several.
    pub name: String,
    /// Its shape in memory.
    pub shape: Vec<usize>,
    /// The hub's tensors that it holds, in the order of memory.
    pub tensors: Vec<HubTensor>,
}

/// All that a configuration says about the tensors of a model.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    /// The trainable variables, in a fixed order.
    pub variables: Vec<Variable>,
    /// The biases of the routers, which are not trained by gradients: one for each sparse layer.
    pub biases: Vec<HubTensor>,
    pub(super) embedding: usize,
    pub(super) norm: usize,
    /// The output head; the embedding itself if they are tied.
    pub(super) head: usize,
    /// Whether the head gives one number, a score, instead of the logits of the next token.
    pub(super) scoring: bool,
    pub(super) layers: Vec<Arc<LayerPlan>>,
    /// The layers that look farther ahead than to the next token.
    pub(super) ahead: Vec<AheadPlan>,
    /// Tensors that files hold a second time, under names of their own: the copy, and whose it is.
    pub(super) copies: Vec<(String, String)>,
}

/// Indices into the variables for one layer that looks ahead (V3's multi-token prediction).
#[derive(Clone, Debug, PartialEq)]
pub(super) struct AheadPlan {
    /// The norm of the embedding of the token that is known by then.
    pub embedding_norm: usize,
    /// The norm of what the depth before knew.
    pub hidden_norm: usize,
    /// From both, side by side, to the width of the residual stream.
    pub projection: usize,
    pub layer: Arc<LayerPlan>,
    /// The norm before the output head.
    pub norm: usize,
}

/// Indices into the variables for one layer.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct LayerPlan {
    /// All of them, which lie side by side.
    pub variables: Range<usize>,
    pub input_norm: usize,
    pub attention: AttentionPlan,
    pub post_norm: usize,
    pub feed_forward: FeedForwardPlan,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) enum AttentionPlan {
    /// Latent attention; the queries come from one projection or from two with a norm between.
    Latent { query: QueryPlan, kv_a: usize, kv_a_norm: usize, kv_b: usize, output: usize },
    Grouped {
        /// Queries, keys and values.
        inputs: [Projection; 3],
        output: usize,
    },
}

/// One of the projections to queries, keys and values.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Projection {
    pub weight: usize,
    pub bias: Option<usize>,
    /// The norm of each of its heads.
    pub norm: Option<usize>,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) enum QueryPlan {
    Whole(usize),
    LowRank { a: usize, norm: usize, b: usize },
}

#[derive(Clone, Debug, PartialEq)]
pub(super) enum FeedForwardPlan {
    Dense {
        gate_up: usize,
        down: usize,
    },
    Sparse {
        /// Which of the routers' biases corrects the choice, if one does.
        bias: Option<usize>,
        gate: usize,
        experts: usize,
        shared: Option<(usize, usize)>,
    },
}

impl AttentionPlan {
    /// The projection of what the heads read.
    pub fn output(&self) -> usize {
        let (Self::Latent { output, .. } | Self::Grouped { output, .. }) = self;
        *output
    }
}

impl Variable {
    /// How many numbers it holds.
    #[must_use]
    #[expect(clippy::len_without_is_empty, reason = "a variable always holds something")]
    pub fn len(&self) -> usize {
        self.shape.iter().product()
    }

    /// Whether it is a matrix (or a stack of them): what weight decay applies to.
    #[must_use]
    pub fn is_matrix(&self) -> bool {
        self.shape.len() >= 2
    }

    /// Whether it is the bias of a projection, which begins at zero.
    #[must_use]
    pub fn is_bias(&self) -> bool {
        self.name.ends_with(".bias")
    }
}

impl HubTensor {
    /// The range of its numbers inside the variable.
    #[must_use]
    pub fn range(&self) -> std::ops::Range<usize> {
        self.offset..self.offset + self.shape.iter().product::<usize>()
    }
}

impl Plan {
    /// The numbers of the layers that choose experts, those that look ahead after the others.
    #[must_use]
    pub fn sparse_layers(&self) -> Vec<usize> {
        let layers = self.layers.iter().chain(self.ahead.iter().map(|it| &it.layer)).enumerate();
        let sparse = layers.filter(|(_, it)| matches!(it.feed_forward, FeedForwardPlan::Sparse { .. }));
        sparse.map(|(number, _)| number).collect()
    }

    /// The tensors of a language model with this configuration.
    #[must_use]
    pub fn new(config: &Config) -> Self {
        let mut plan = Self::backbone(config);
        let (vocab, hidden) = (config.vocab_size(), config.hidden_size());
        plan.head =
            if config.ties_embeddings() { plan.embedding } else { plan.matrix("lm_head.weight", vocab, hidden) };
        for layer in config.num_layers()..config.num_layers() + config.layers_ahead() {
            let planned = plan.layer_ahead(config, layer);
            plan.ahead.push(planned);
        }
        plan
    }

    /// The tensors of a reward model with this configuration: transformers' `..ForSequenceClassification` of one label.
    #[must_use]
    pub fn scoring(config: &Config) -> Self {
        let mut plan = Self::backbone(config);
        plan.head = plan.matrix("score.weight", 1, config.hidden_size());
        plan.scoring = true;
        plan
    }

    /// The tensors below the head.
    fn backbone(config: &Config) -> Self {
        let mut plan = Self {
            variables: Vec::new(),
            biases: Vec::new(),
            embedding: 0,
            norm: 0,
            head: 0,
            scoring: false,
            layers: Vec::new(),
            ahead: Vec::new(),
            copies: Vec::new(),
        };
        let (vocab, hidden) = (config.vocab_size(), config.hidden_size());
        plan.embedding = plan.matrix("model.embed_tokens.weight", vocab, hidden);
        for layer in 0..config.num_layers() {
            let planned = plan.layer(config, layer);
            plan.layers.push(Arc::new(planned));
        }
        plan.norm = plan.vector("model.norm.weight", hidden);
        plan
    }

    /// Finds a tensor of the hub: the index of its variable, and the tensor.
    #[must_use]
    pub fn find(&self, name: &str) -> Option<(usize, &HubTensor)> {
        let all = self.variables.iter().enumerate();
        all.flat_map(|(at, variable)| variable.tensors.iter().map(move |tensor| (at, tensor)))
            .find(|(_, tensor)| tensor.name == name)
    }

    fn layer(&mut self, config: &Config, layer: usize) -> LayerPlan {
        let prefix = format!("model.layers.{layer}");
        let (hidden, attention) = (config.hidden_size(), format!("{prefix}.self_attn"));
        let first = self.variables.len();
        let plan = LayerPlan {
            variables: first..first,
            input_norm: self.vector(&format!("{prefix}.input_layernorm.weight"), hidden),
            attention: match config.attending() {
                Attending::Latent(config) => self.latent(&attention, config),
                Attending::Grouped(heads) => self.grouped(&attention, hidden, heads),
            },
            post_norm: self.vector(&format!("{prefix}.post_attention_layernorm.weight"), hidden),
            feed_forward: self.feed_forward(&format!("{prefix}.mlp"), config, layer),
        };
        LayerPlan { variables: first..self.variables.len(), ..plan }
    }

    /// A layer that looks ahead; its embedding and its head are those of the model, of which files hold copies.
    fn layer_ahead(&mut self, config: &Config, layer: usize) -> AheadPlan {
        let prefix = format!("model.layers.{layer}");
        let hidden = config.hidden_size();
        for (copy, of) in [("embed_tokens", self.embedding), ("shared_head.head", self.head)] {
            self.copies.push((format!("{prefix}.{copy}.weight"), self.variables[of].name.clone()));
        }
        AheadPlan {
            embedding_norm: self.vector(&format!("{prefix}.enorm.weight"), hidden),
            hidden_norm: self.vector(&format!("{prefix}.hnorm.weight"), hidden),
            projection: self.matrix(&format!("{prefix}.eh_proj.weight"), hidden, 2 * hidden),
            layer: Arc::new(self.layer(config, layer)),
            norm: self.vector(&format!("{prefix}.shared_head.norm.weight"), hidden),
        }
    }

    fn latent(&mut self, module: &str, config: &DeepseekConfig) -> AttentionPlan {
        let (hidden, heads, latent) = (config.hidden_size, config.num_attention_heads, config.kv_lora_rank);
        let queries = heads * config.qk_head_dim();
        let query = match config.q_lora_rank {
            None => QueryPlan::Whole(self.matrix(&format!("{module}.q_proj.weight"), queries, hidden)),
            Some(rank) => QueryPlan::LowRank {
                a: self.matrix(&format!("{module}.q_a_proj.weight"), rank, hidden),
                norm: self.vector(&format!("{module}.q_a_layernorm.weight"), rank),
                b: self.matrix(&format!("{module}.q_b_proj.weight"), queries, rank),
            },
        };
        let rope = config.qk_rope_head_dim;
        let keys_values = heads * (config.qk_nope_head_dim + config.v_head_dim);
        AttentionPlan::Latent {
            query,
            kv_a: self.matrix(&format!("{module}.kv_a_proj_with_mqa.weight"), latent + rope, hidden),
            kv_a_norm: self.vector(&format!("{module}.kv_a_layernorm.weight"), latent),
            kv_b: self.matrix(&format!("{module}.kv_b_proj.weight"), keys_values, latent),
            output: self.matrix(&format!("{module}.o_proj.weight"), hidden, heads * config.v_head_dim),
        }
    }

    fn grouped(&mut self, module: &str, hidden: usize, shape: GroupedHeads) -> AttentionPlan {
        let mut projection = |name: &str, heads: usize, normed: bool| Projection {
            weight: self.matrix(&format!("{module}.{name}_proj.weight"), heads * shape.width, hidden),
            bias: shape.bias.then(|| self.vector(&format!("{module}.{name}_proj.bias"), heads * shape.width)),
            norm: normed.then(|| self.vector(&format!("{module}.{name}_norm.weight"), shape.width)),
        };
        let inputs = [
            projection("q", shape.heads, shape.norm),
            projection("k", shape.kv_heads, shape.norm),
            projection("v", shape.kv_heads, false),
        ];
        let output = self.matrix(&format!("{module}.o_proj.weight"), hidden, shape.heads * shape.width);
        AttentionPlan::Grouped { inputs, output }
    }

    fn feed_forward(&mut self, module: &str, config: &Config, layer: usize) -> FeedForwardPlan {
        let hidden = config.hidden_size();
        let Some(shape) = config.experts().filter(|_| config.is_sparse(layer)) else {
            let (gate_up, down) = self.gated(module, hidden, config.intermediate_size());
            return FeedForwardPlan::Dense { gate_up, down };
        };
        FeedForwardPlan::Sparse {
            bias: shape.bias.then(|| {
                let name = format!("{module}.gate.e_score_correction_bias");
                self.biases.push(HubTensor { name, shape: vec![shape.count], offset: 0 });
                self.biases.len() - 1
            }),
            gate: self.matrix(&format!("{module}.gate.weight"), shape.count, hidden),
            experts: self.experts(&format!("{module}.experts"), shape.count, hidden, shape.inner),
            shared: (shape.shared > 0).then(|| self.gated(&format!("{module}.shared_experts"), hidden, shape.shared)),
        }
    }

    fn vector(&mut self, name: &str, len: usize) -> usize {
        self.add(name, vec![len], vec![HubTensor { name: name.to_owned(), shape: vec![len], offset: 0 }])
    }

    fn matrix(&mut self, name: &str, rows: usize, columns: usize) -> usize {
        let shape = vec![rows, columns];
        self.add(name, shape.clone(), vec![HubTensor { name: name.to_owned(), shape, offset: 0 }])
    }

    /// The gate's rows over the up projection's in one variable, and the down projection in another.
    fn gated(&mut self, module: &str, hidden: usize, inner: usize) -> (usize, usize) {
        let tensor = |name: &str, offset| HubTensor {
            name: format!("{module}.{name}.weight"),
            shape: vec![inner, hidden],
            offset,
        };
        let tensors = vec![tensor("gate_proj", 0), tensor("up_proj", inner * hidden)];
        let gate_up = self.add(&format!("{module}.gate_up_proj.weight"), vec![2 * inner, hidden], tensors);
        (gate_up, self.matrix(&format!("{module}.down_proj.weight"), hidden, inner))
    }

    /// All experts in one variable: for each its gate, up and down projections end to end.
    fn experts(&mut self, module: &str, experts: usize, hidden: usize, inner: usize) -> usize {
        let size = inner * hidden;
        let mut tensors = Vec::with_capacity(3 * experts);
        for expert in 0..experts {
            for (at, name) in ["gate_proj", "up_proj", "down_proj"].into_iter().enumerate() {
                let shape = if name == "down_proj" { vec![hidden, inner] } else { vec![inner, hidden] };
                let name = format!("{module}.{expert}.{name}.weight");
                tensors.push(HubTensor { name, shape, offset: (3 * expert + at) * size });
            }
        }
        self.add(module, vec![experts, 3, size], tensors)
    }

    fn add(&mut self, name: &str, shape: Vec<usize>, tensors: Vec<HubTensor>) -> usize {
        self.variables.push(Variable { name: name.to_owned(), shape, tensors });
        self.variables.len() - 1
    }
}
