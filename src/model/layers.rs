//! One layer: attention and feed-forward network, each after a norm and beside the residual stream.

use std::sync::Arc;

use candle_core::{DType, Result, Tensor};

use super::balance::Balance;
use super::config::{Attending, Config};
use super::ops::{self, Angles, AttentionLayout, Choice, Piece};
use super::router::Router;
use super::weights::{AttentionPlan, FeedForwardPlan, LayerPlan, Projection, QueryPlan};

/// The weights as the layers see them.
#[derive(Clone)]
pub(super) struct Tensors {
    /// In the order of the plan.
    pub variables: Vec<Tensor>,
    /// The routers' biases.
    pub biases: Vec<Vec<f32>>,
}

/// What is noted down on the way through the layers.
#[derive(Default)]
pub(super) struct Notes {
    /// How many tokens each expert saw, for each sparse layer.
    pub loads: Vec<Vec<u64>>,
    /// The choice and the weights of each router, if they are asked for.
    pub routes: Option<Vec<(Choice, Tensor)>>,
    /// The balance loss of all sparse layers.
    pub balance: f64,
}

impl Tensors {
    pub fn variable(&self, at: usize) -> &Tensor {
        debug_assert_eq!(self.variables[at].dtype(), DType::F32);
        &self.variables[at]
    }

    /// The same numbers, through which no gradient flows: what is computed of them is not kept.
    pub fn detached(&self) -> Self {
        Self { variables: self.variables.iter().map(Tensor::detach).collect(), biases: self.biases.clone() }
    }
}

/// What all layers share in one forward pass.
pub(super) struct Context {
    layout: Arc<AttentionLayout>,
    angles: Arc<Angles>,
    lengths: Arc<[usize]>,
    router: Option<Router>,
    balance: Option<Balance>,
    eps: f64,
}

impl Context {
    pub fn new(config: &Config, lengths: &[usize]) -> Self {
        let longest = lengths.iter().copied().max().unwrap_or(0);
        let (rope, width) = config.turning();
        Self {
            layout: Arc::new(layout(config)),
            angles: Arc::new(Angles::new(&rope.frequencies(width), rope.amplitude(), longest)),
            lengths: lengths.into(),
            router: Router::new(config),
            balance: None,
            eps: config.norm_eps(),
        }
    }

    /// The same with a loss that balances the experts.
    pub fn balanced(self, balance: Option<Balance>) -> Self {
        Self { balance, ..self }
    }
}

/// Where the heads' queries, keys and values lie among the columns of the projections.
fn layout(config: &Config) -> AttentionLayout {
    match config.attending() {
        Attending::Latent(config) => {
            let (plain, turned, value) = (config.qk_nope_head_dim, config.qk_rope_head_dim, config.v_head_dim);
            let (qk, kv) = (plain + turned, plain + value);
            AttentionLayout {
                heads: config.num_attention_heads,
                kv_heads: config.num_attention_heads,
                query: Piece { source: 0, offset: 0, step: qk, width: qk },
                key_plain: Piece { source: 1, offset: 0, step: kv, width: plain },
                // All heads share the part that turns: it comes straight from the latent projection.
                key_turned: Piece { source: 2, offset: config.kv_lora_rank, step: 0, width: turned },
                value: Piece { source: 1, offset: plain, step: kv, width: value },
                interleaved: config.rope_interleave,
                scale: config.attention_scale(),
            }
        }
        Attending::Grouped(shape) => {
            let width = shape.width;
            AttentionLayout {
                heads: shape.heads,
                kv_heads: shape.kv_heads,
                query: Piece { source: 0, offset: 0, step: width, width },
                key_plain: Piece { source: 1, offset: 0, step: width, width: 0 },
                key_turned: Piece { source: 1, offset: 0, step: width, width },
                value: Piece { source: 2, offset: 0, step: width, width },
                interleaved: false,
                scale: shape.scale(),
            }
        }
    }
}

/// The residual stream after a layer.
pub(super) fn layer(
    model: &Tensors,
    plan: &LayerPlan,
    context: &Context,
    x: &Tensor,
    notes: &mut Notes,
) -> Result<Tensor> {
    let (_, x) = attended_and_added(model, plan, context, x)?;
    let normed = norm(model, plan.post_norm, context, &x)?;
    x.add(&feed_forward(model, &plan.feed_forward, context, &normed, notes)?)
}

/// What the heads of a layer read, and the residual stream after its attention.
pub(super) fn attended_and_added(
    model: &Tensors,
    plan: &LayerPlan,
    context: &Context,
    x: &Tensor,
) -> Result<(Tensor, Tensor)> {
    let attended = attended(model, plan, context, x)?;
    let added = ops::linear_add(&attended, model.variable(plan.attention.output()), x)?;
    Ok((attended, added))
}

/// Rows normed by one of the model's norms.
pub(super) fn norm(model: &Tensors, weight: usize, context: &Context, x: &Tensor) -> Result<Tensor> {
    ops::rms_norm(x, model.variable(weight), 0, context.eps)
}

/// What the heads of a layer read.
pub(super) fn attended(model: &Tensors, plan: &LayerPlan, context: &Context, x: &Tensor) -> Result<Tensor> {
    let normed = norm(model, plan.input_norm, context, x)?;
    let linear = |x: &Tensor, weight: usize| ops::linear(x, model.variable(weight));
    let attend = |inputs| ops::attention(inputs, &context.layout, &context.angles, &context.lengths);
    match &plan.attention {
        AttentionPlan::Latent { query, kv_a, kv_a_norm, kv_b, .. } => {
            let query = match query {
                QueryPlan::Whole(weight) => linear(&normed, *weight)?,
                QueryPlan::LowRank { a, norm: between, b } => {
                    linear(&norm(model, *between, context, &linear(&normed, *a)?)?, *b)?
                }
            };
            let latent = linear(&normed, *kv_a)?;
            let keys_values = norm(model, *kv_a_norm, context, &latent)?;
            attend([&query, &linear(&keys_values, *kv_b)?, &latent])
        }
        AttentionPlan::Grouped { inputs, .. } => {
            let [query, key, value] = inputs.map(|input| project(model, input, context.eps, &normed));
            attend([&query?, &key?, &value?])
        }
    }
}

/// Queries, keys or values: the projection, its bias, and the norm of each head.
fn project(model: &Tensors, plan: Projection, eps: f64, x: &Tensor) -> Result<Tensor> {
    let mut out = ops::linear(x, model.variable(plan.weight))?;
    if let Some(bias) = plan.bias {
        out = ops::add_bias(&out, model.variable(bias))?;
    }
    if let Some(norm) = plan.norm {
        let (norm, shape) = (model.variable(norm), out.shape().clone());
        let width = norm.elem_count();
        let heads = out.reshape((shape.elem_count() / width, width))?;
        out = ops::rms_norm(&heads, norm, 0, eps)?.reshape(shape)?;
    }
    Ok(out)
}

fn feed_forward(
    model: &Tensors,
    plan: &FeedForwardPlan,
    context: &Context,
    x: &Tensor,
    notes: &mut Notes,
) -> Result<Tensor> {
    match plan {
        FeedForwardPlan::Dense { gate_up, down } => ops::mlp(x, model.variable(*gate_up), model.variable(*down)),
        FeedForwardPlan::Sparse { bias, gate, experts, shared } => {
            let logits = ops::linear(x, model.variable(*gate))?;
            let (choice, weights, balance) = route(model, context, *bias, &logits)?;
            notes.loads.push(choice.loads());
            notes.balance += balance;
            let routed = ops::experts(x, &weights, model.variable(*experts), &choice)?;
            if let Some(routes) = &mut notes.routes {
                routes.push((choice, weights));
            }
            match shared {
                None => Ok(routed),
                Some((gate_up, down)) => routed.add(&ops::mlp(x, model.variable(*gate_up), model.variable(*down))?),
            }
        }
    }
}

/// The experts that a sparse layer chooses, their weights, and the balance loss.
pub(super) fn route(
    model: &Tensors,
    context: &Context,
    bias: Option<usize>,
    logits: &Tensor,
) -> Result<(Choice, Tensor, f64)> {
    let Some(router) = &context.router else {
        candle_core::bail!("a sparse layer in a model without a router");
    };
    let balance = context.balance.as_ref().map(|balance| (balance, &*context.lengths));
    ops::route_balanced(logits, router, bias.map_or(&[][..], |bias| &model.biases[bias]), balance)
}
