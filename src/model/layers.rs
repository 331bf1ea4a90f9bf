//! One layer: attention and feed-forward network, each after a norm and beside the residual stream.

use std::sync::Arc;

use candle_core::{DType, Result, Tensor};

use super::balance::Balance;
use super::config::{Attending, Config};
use super::ops::{self, Angles, Attended, AttentionLayout, Choice, Piece};
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

impl Notes {
    /// Notes down what the router of a sparse layer said.
    pub fn add(&mut self, choice: Choice, weights: Tensor, balance: f64) {
        self.loads.push(choice.loads());
        self.balance += balance;
        if let Some(routes) = &mut self.routes {
            routes.push((choice, weights));
        }
    }
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
    let attended = attend(context, &inputs(model, plan, context, x)?)?;
    let x = add_attended(model, plan, &attended, x)?;
    let sum =
        normed(model, plan.post_norm, context, &x, |it| feed_forward(model, &plan.feed_forward, context, it, notes))?;
    let out = x.add(&sum)?;
    ops::forget(&sum)?;
    Ok(out)
}

/// The residual stream after a layer's attention.
pub(super) fn add_attended(model: &Tensors, plan: &LayerPlan, attended: &Tensor, x: &Tensor) -> Result<Tensor> {
    ops::linear_add(attended, model.variable(plan.attention.output()), x)
}

/// Rows normed by one of the model's norms.
pub(super) fn norm(model: &Tensors, weight: usize, context: &Context, x: &Tensor) -> Result<Tensor> {
    ops::rms_norm(x, model.variable(weight), 0, context.eps)
}

/// What a function makes of normed rows, which a backward pass norms again.
fn normed<R>(
    model: &Tensors,
    weight: usize,
    context: &Context,
    x: &Tensor,
    function: impl FnOnce(&Tensor) -> Result<R>,
) -> Result<R> {
    let normed = norm(model, weight, context, x)?;
    let result = function(&normed)?;
    ops::forget_norm(&normed, x, model.variable(weight), context.eps)?;
    Ok(result)
}

/// What the heads of a layer read.
pub(super) fn attend(context: &Context, [first, second, third]: &[Tensor; 3]) -> Result<Tensor> {
    ops::attention([first, second, third], &context.layout, &context.angles, &context.lengths)
}

/// The same outside of Candle's graph.
pub(super) fn attend_apart(context: &Context, [first, second, third]: &[Tensor; 3]) -> Result<Attended> {
    Attended::new([first, second, third], &context.layout, &context.angles, &context.lengths)
}

/// The projections of which attention takes queries, keys and values.
pub(super) fn inputs(model: &Tensors, plan: &LayerPlan, context: &Context, x: &Tensor) -> Result<[Tensor; 3]> {
    let linear = |x: &Tensor, weight: usize| ops::linear(x, model.variable(weight));
    normed(model, plan.input_norm, context, x, |x| match &plan.attention {
        AttentionPlan::Latent { query, kv_a, kv_a_norm, kv_b, .. } => {
            let query = match query {
                QueryPlan::Whole(weight) => linear(x, *weight)?,
                QueryPlan::LowRank { a, norm, b } => normed(model, *norm, context, &linear(x, *a)?, |x| linear(x, *b))?,
            };
            let latent = linear(x, *kv_a)?;
            let keys_values = normed(model, *kv_a_norm, context, &latent, |x| linear(x, *kv_b))?;
            Ok([query, keys_values, latent])
        }
        AttentionPlan::Grouped { inputs, .. } => {
            let [query, key, value] = inputs.map(|input| project(model, input, context.eps, x));
            Ok([query?, key?, value?])
        }
    })
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
    let FeedForwardPlan::Sparse { bias, gate, .. } = plan else { return network(model, plan, x, None) };
    let logits = ops::linear(x, model.variable(*gate))?;
    let (choice, weights, balance) = route(model, context, *bias, &logits)?;
    let routes = (choice, weights);
    let out = network(model, plan, x, Some(&routes))?;
    notes.add(routes.0, routes.1, balance);
    Ok(out)
}

/// The feed-forward network, given the experts of a sparse layer and their weights.
pub(super) fn network(
    model: &Tensors,
    plan: &FeedForwardPlan,
    x: &Tensor,
    routes: Option<&(Choice, Tensor)>,
) -> Result<Tensor> {
    let gated = |gate_up: usize, down: usize| ops::mlp(x, model.variable(gate_up), model.variable(down));
    match (plan, routes) {
        (FeedForwardPlan::Dense { gate_up, down }, _) => gated(*gate_up, *down),
        (FeedForwardPlan::Sparse { experts, shared, .. }, Some((choice, weights))) => {
            let routed = ops::experts(x, weights, model.variable(*experts), choice)?;
            match shared {
                None => Ok(routed),
                Some((gate_up, down)) => {
                    let shared = gated(*gate_up, *down)?;
                    let sum = routed.add(&shared)?;
                    ops::forget(&routed)?;
                    ops::forget(&shared)?;
                    Ok(sum)
                }
            }
        }
        (FeedForwardPlan::Sparse { .. }, None) => candle_core::bail!("a sparse layer without routes"),
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
